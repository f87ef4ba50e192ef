//! Where repositories may lie, whatever a statement asks for: the operator's word, from the configuration.
//!
//! Whoever may create a repository makes this server send requests and write files. So an endpoint must not be an
//! address that only this machine can reach for its own sake (link-local, among them the metadata services that hand
//! out credentials), neither by its text nor by what its name resolves to; a directory must lie below one root; and
//! an allowlist narrows buckets and hosts down further.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::properties::{S3Settings, host_of};
use super::store::RequestLimits;

/// Metadata services by name. Their addresses are link-local, or in [`METADATA_ADDRESSES`].
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];

/// Metadata services whose addresses are not link-local: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
const METADATA_ADDRESSES: &[IpAddr] = &[
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Domains of AWS itself, which STS may always be reached at.
const AWS_DOMAINS: &[&str] = &["amazonaws.com", "amazonaws.com.cn"];

/// What all repositories of a server go by.
#[derive(Debug, Clone, Default)]
pub struct RepositoryPolicy {
    /// Buckets of AWS, hosts of other endpoints, or `host/bucket`; `*` stands for any letters. Empty allows all.
    pub location_allowlist: Vec<String>,
    /// The directory below which `file://` repositories must lie; `None` lets them lie anywhere.
    pub file_root: Option<PathBuf>,
    /// Certificates that are trusted beside the system's, for repositories that name none of their own.
    pub ca_bundle: Option<PathBuf>,
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
        let real_root = std::fs::canonicalize(root).unwrap_or_else(|_| root.clone());
        let below = real_path(directory).is_ok_and(|real| real != real_root && real.starts_with(&real_root));
        if below {
            return Ok(());
        }
        Err(NotAllowed(format!(
            "file repositories must lie below {}, and {} does not; choose a directory there, or set \
             repository_file_root in the server's configuration",
            root.display(),
            directory.display()
        )))
    }

    /// Errors unless the bucket may be used and its endpoint, and that of STS, may be reached.
    pub fn check_bucket(&self, bucket: &str, settings: &S3Settings) -> Result<(), NotAllowed> {
        let endpoint = settings.endpoint.as_deref().map(|endpoint| host_of(endpoint).to_ascii_lowercase());
        let sts = settings.assume_role.as_ref().and_then(|role| role.sts_endpoint.as_deref());
        let sts = sts.map(|endpoint| host_of(endpoint).to_ascii_lowercase());
        for (property, host) in [("aws.s3.endpoint", &endpoint), ("aws.s3.sts.endpoint", &sts)] {
            if let Some(host) = host
                && is_metadata_host(host)
                && !self.names(host)
            {
                return Err(NotAllowed(format!(
                    "{property} must not be the link-local or metadata address {host}, which serves this machine's own \
                     secrets; if it really is an object store, name it in repository_location_allowlist"
                )));
            }
        }
        if self.location_allowlist.is_empty() {
            return Ok(());
        }
        let allowed = self.location_allowlist.iter().any(|pattern| match (pattern.split_once('/'), &endpoint) {
            (Some((host_pattern, bucket_pattern)), Some(host)) => {
                matches(host_pattern, host) && matches(bucket_pattern, bucket)
            }
            (Some(_), None) => false,
            (None, Some(host)) => matches(pattern, host),
            (None, None) => matches(pattern, bucket),
        });
        if !allowed {
            let place = match &endpoint {
                Some(host) => format!("bucket '{bucket}' at {host}"),
                None => format!("bucket '{bucket}'"),
            };
            return Err(NotAllowed(format!(
                "repository_location_allowlist of the server's configuration does not have {place}; use one that it \
                 has, or add it there"
            )));
        }
        let of_aws = |host: &str| AWS_DOMAINS.iter().any(|domain| host.ends_with(&format!(".{domain}")));
        match sts {
            Some(host) if !of_aws(&host) && !self.names(&host) => Err(NotAllowed(format!(
                "repository_location_allowlist of the server's configuration does not have {host}, which \
                 aws.s3.sts.endpoint names; add it there"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether an address that `host` resolved to may be connected to.
    pub fn allows_address(&self, host: &str, address: IpAddr) -> bool {
        !is_metadata_address(address) || self.names(host)
    }

    /// Whether the allowlist has this host, by whatever pattern.
    fn names(&self, host: &str) -> bool {
        self.location_allowlist.iter().any(|pattern| {
            let host_pattern = pattern.split_once('/').map_or(pattern.as_str(), |(host, _)| host);
            // A lone star allows every bucket; nobody means the metadata service with it.
            host_pattern != "*" && matches(host_pattern, host)
        })
    }
}

fn is_metadata_host(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => is_metadata_address(address),
        Err(_) => METADATA_NAMES.contains(&host) || is_legacy_number(host),
    }
}

/// `2852039166`, `0xa9fea9fe` and `0251.0376.0251.0376` are spellings of 169.254.169.254 that resolvers understand.
fn is_legacy_number(host: &str) -> bool {
    let is_number = |part: &str| {
        let hex = part.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        hex || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    host.split('.').all(is_number)
}

fn is_metadata_address(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || METADATA_ADDRESSES.contains(&address)
}

/// Whether `text` is the pattern, in which `*` stands for any letters. Case does not matter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty(); // There is no star.
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
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
mod tests {
    use super::*;
    use crate::repository::RepositoryProperties;

    fn policy(allowlist: &[&str]) -> RepositoryPolicy {
        let location_allowlist = allowlist.iter().map(|pattern| (*pattern).to_owned()).collect();
        RepositoryPolicy { location_allowlist, ..RepositoryPolicy::default() }
    }

    fn settings(endpoint: &str) -> S3Settings {
        let mut pairs = vec![("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s"), ("aws.s3.region", "x-1")];
        if !endpoint.is_empty() {
            pairs.push(("aws.s3.endpoint", endpoint));
        }
        RepositoryProperties::parse(pairs).unwrap().s3("backup").unwrap()
    }

    /// Goal: no spelling of a metadata service passes, unless the operator names it.
    #[test]
    fn metadata_services_are_refused() {
        for endpoint in [
            "http://169.254.169.254",
            "http://169.254.170.2:80/x",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]",
            "http://100.100.100.200",
            "http://METADATA.google.internal",
            "http://2852039166",
            "http://169.254.169.254.",
            "http://0xa9.254.0251.254",
        ] {
            let error = policy(&[]).check_bucket("backup", &settings(endpoint)).unwrap_err().to_string();
            assert!(error.contains("link-local or metadata address"), "{endpoint}: {error}");
            let error = policy(&["*"]).check_bucket("backup", &settings(endpoint)).unwrap_err().to_string();
            assert!(error.contains("link-local"), "{endpoint}: {error}");
        }
        policy(&["169.254.1.1"]).check_bucket("backup", &settings("http://169.254.1.1")).unwrap();
        policy(&[]).check_bucket("backup", &settings("http://127.0.0.1:9000")).unwrap();
        assert!(!policy(&[]).allows_address("s3.example.com", "169.254.169.254".parse().unwrap()));
        assert!(policy(&[]).allows_address("s3.example.com", "10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_allowlist_has_buckets_and_hosts() {
        for (allowlist, endpoint, allowed) in [
            (&["backup"][..], "", true),
            (&["back*"], "", true),
            (&["other"], "", false),
            // A bucket of AWS is no licence to send it elsewhere.
            (&["backup"], "https://evil.example.com", false),
            (&["*.example.com"], "https://s3.EXAMPLE.com:9000", true),
            (&["*.example.com"], "https://s3.example.org", false),
            (&["s3.example.com/back*"], "https://s3.example.com", true),
            (&["s3.example.com/other"], "https://s3.example.com", false),
            (&["s3.example.com/backup"], "", false),
        ] {
            let checked = policy(allowlist).check_bucket("backup", &settings(endpoint));
            assert_eq!(checked.is_ok(), allowed, "{allowlist:?} {endpoint}: {checked:?}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "A", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn directories_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("there")).unwrap();
        std::os::unix::fs::symlink("/", root.join("way-out")).unwrap();
        let policy = RepositoryPolicy { file_root: Some(root.clone()), ..RepositoryPolicy::default() };
        policy.check_directory(&root.join("there")).unwrap();
        policy.check_directory(&root.join("not/yet/there")).unwrap();
        for outside in [root.clone(), dir.path().join("rooted"), root.join("way-out/tmp/x"), "/etc".into()] {
            let error = policy.check_directory(&outside).unwrap_err().to_string();
            assert!(error.contains("repository_file_root"), "{error}");
        }
    }
}
