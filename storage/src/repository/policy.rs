//! Where repositories may lie, whatever a statement asks for: the operator's word, from the configuration.
//!
//! Whoever may create a repository makes this server send requests and read and write files. So an endpoint must not be
//! an address that only this machine can reach for its own sake (`metadata` says which), neither by its text nor by what
//! its name resolves to; directories and certificates must lie below one root each; and an allowlist narrows buckets and
//! hosts down further.

mod allowlist;
mod metadata;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use allowlist::{LocationPattern, NoPattern};

use super::properties::{S3Settings, aws, host_of};
use super::store::{RequestLimits, read_bundle};

/// What all repositories of a server go by.
#[derive(Debug, Clone, Default)]
pub struct RepositoryPolicy {
    /// Buckets of AWS, and buckets of other hosts. Empty allows all.
    pub location_allowlist: Vec<LocationPattern>,
    /// The directory below which `file://` repositories must lie; `None` lets them lie anywhere.
    pub file_root: Option<PathBuf>,
    /// Certificates that are trusted beside the system's, for repositories that name none of their own.
    pub ca_bundle: Option<PathBuf>,
    /// The directory below which `aws.s3.ca_bundle` must lie; `None` lets it lie anywhere.
    pub ca_bundle_root: Option<PathBuf>,
    /// Timeouts and attempts.
    pub requests: RequestLimits,
}

/// A location that the policy does not allow, with what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAllowed(String);

impl RepositoryPolicy {
    /// Errors unless a directory lies below the root.
    pub fn check_directory(&self, directory: &Path) -> Result<(), NotAllowed> {
        let Some(root) = &self.file_root else {
            return Ok(());
        };
        if real_path_below(root, directory).is_some() {
            return Ok(());
        }
        Err(NotAllowed(format!(
            "file repositories must lie below {}, and {} does not; choose a directory there, or set \
             repository_file_root in the server's configuration",
            root.display(),
            directory.display()
        )))
    }

    /// Errors unless the certificates that the configuration names can be used: said when a server starts, and not when
    /// the first repository needs them.
    pub async fn check_ca_bundle(&self) -> Result<(), NotAllowed> {
        let Some(path) = &self.ca_bundle else {
            return Ok(());
        };
        read_bundle(path).await.map(|_| ()).map_err(|reason| {
            NotAllowed(format!(
                "s3_ca_bundle is {}, which cannot be used: {reason}; name a PEM file of CA certificates that the server can \
                 read, or leave it out",
                path.display()
            ))
        })
    }

    /// The file that `aws.s3.ca_bundle` names, without symbolic links. Of a file elsewhere than below the root nothing is
    /// said, not even whether it is there: whoever may create a repository need not know.
    pub fn ca_bundle_file(&self, bundle: &Path) -> Result<PathBuf, NotAllowed> {
        let Some(root) = &self.ca_bundle_root else {
            return Ok(bundle.to_owned());
        };
        real_path_below(root, bundle).ok_or_else(|| {
            NotAllowed(format!(
                "aws.s3.ca_bundle must name a file below {}, and {} does not; put the certificates there, or set \
                 s3_ca_bundle_root in the server's configuration",
                root.display(),
                bundle.display()
            ))
        })
    }

    /// Errors unless the bucket may be used and its endpoint, and that of STS, may be reached.
    pub fn check_bucket(&self, bucket: &str, settings: &S3Settings) -> Result<(), NotAllowed> {
        let normal = |endpoint: &str| host_of(endpoint).trim_end_matches('.').to_ascii_lowercase();
        let endpoint = settings.endpoint.as_deref().map(normal);
        let sts = settings.assume_role.as_ref().and_then(|role| role.sts_endpoint.as_deref()).map(normal);
        for (property, host) in [("aws.s3.endpoint", &endpoint), ("aws.s3.sts.endpoint", &sts)] {
            if let Some(host) = host {
                self.check_host(property, host)?;
            }
        }
        if let Some(bundle) = &settings.ca_bundle {
            self.ca_bundle_file(bundle)?;
        }
        if self.location_allowlist.is_empty() {
            return Ok(());
        }
        // Without an endpoint it is AWS, at the region's own.
        let of_aws = endpoint.as_deref().is_none_or(|host| aws::s3_host(host).is_some());
        let region = settings.region.as_deref().unwrap_or("us-east-1");
        let host = endpoint.unwrap_or_else(|| format!("s3.{region}.amazonaws.com"));
        if !self.location_allowlist.iter().any(|pattern| pattern.allows(bucket, &host, of_aws)) {
            let (place, entry) = match of_aws {
                true => (format!("bucket '{bucket}' of AWS"), bucket.to_owned()),
                false => (format!("bucket '{bucket}' at {host}"), format!("{host}/{bucket}")),
            };
            return Err(NotAllowed(format!(
                "repository_location_allowlist of the server's configuration does not have {place}; use one that it \
                 has, or add '{entry}' there"
            )));
        }
        match sts {
            Some(host) if aws::sts_host(&host).is_none() && !self.has_host(&host) => Err(NotAllowed(format!(
                "repository_location_allowlist of the server's configuration does not have {host}, which \
                 aws.s3.sts.endpoint names; add '{host}/*' there"
            ))),
            _ => Ok(()),
        }
    }

    /// Errors when a host is a metadata service by its text, or an address in a spelling that not everybody reads alike.
    fn check_host(&self, property: &str, host: &str) -> Result<(), NotAllowed> {
        let (address, plain) = match metadata::spelled(host) {
            metadata::Spelling::Name => (None, true),
            metadata::Spelling::Address(address) => (Some(address), true),
            metadata::Spelling::OldNumbers(address) => (address.map(IpAddr::V4), false),
        };
        let forbidden = match address {
            Some(address) => metadata::is_forbidden(address) && !self.has_address(address),
            None => metadata::is_service(host),
        };
        if forbidden {
            return Err(NotAllowed(format!(
                "{property} must not be the link-local or metadata address {host}, which serves this machine's own \
                 secrets; if it really is an object store, name its address in repository_location_allowlist"
            )));
        }
        match (plain, address) {
            (true, _) => Ok(()),
            (false, Some(address)) => {
                Err(NotAllowed(format!("{property} spells an address as {host}; write it as {address}")))
            }
            (false, None) => {
                Err(NotAllowed(format!("{property} is neither a host's name nor an address: {host}; write host:port")))
            }
        }
    }

    /// Whether an address that a name resolved to may be connected to.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        !metadata::is_forbidden(address) || self.has_address(address)
    }

    fn has_host(&self, host: &str) -> bool {
        self.location_allowlist.iter().any(|pattern| pattern.has_host(host))
    }

    /// Whether the allowlist has this very address. A star does not stand for it: nobody means the metadata service.
    fn has_address(&self, address: IpAddr) -> bool {
        self.location_allowlist.iter().any(|pattern| pattern.address() == Some(address))
    }
}

/// The path with every symbolic link followed, when it is below `root`.
fn real_path_below(root: &Path, path: &Path) -> Option<PathBuf> {
    // The root need not be there yet: the first repository makes it.
    let real_root = std::path::absolute(root).and_then(|root| real_path(&root)).unwrap_or_else(|_| root.to_owned());
    real_path(path).ok().filter(|real| *real != real_root && real.starts_with(&real_root))
}

/// The path with every symbolic link followed; of what is not there yet, the parents.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(real_path(parent)?.join(name)),
            _ => Err(error),
        },
        real => real,
    }
}

#[cfg(test)]
mod tests;
