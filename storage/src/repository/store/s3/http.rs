//! The HTTP clients beneath the SDK's: which certificates are trusted, and which addresses a name may resolve to.
//!
//! The store and STS are reached with one that does not connect to what the policy forbids, whatever the name resolves to at
//! the time, and that trusts the CA bundle as well. What hands out the process's own credentials is reached with another: a
//! metadata service is what the first one must not reach. Neither is the SDK's own, which would follow HTTP_PROXY and its
//! like in the process's environment past the policy.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::repository::policy::RepositoryPolicy;
use crate::repository::properties::S3Settings;

/// Who speaks TLS.
const PROVIDER: Provider = Provider::Rustls(CryptoMode::AwsLc);

/// Largest CA bundle: the one of a whole system has a quarter of this.
const BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// The client for the store and STS. Errors are a sentence and an advice.
pub(super) async fn client(
    settings: &S3Settings,
    policy: &RepositoryPolicy,
) -> Result<SharedHttpClient, (String, String)> {
    let own = settings.ca_bundle.as_deref().map(|own| policy.ca_bundle_file(own)).transpose();
    let own = own.map_err(|error| (error.to_string(), "put the certificates there".to_owned()))?;
    // What is reached over http has no certificates: a bundle that cannot be read is of no consequence there.
    let is_tls = |endpoint: Option<&str>| endpoint.is_none_or(|endpoint| endpoint.starts_with("https://"));
    let sts_is_tls = settings.assume_role.as_ref().is_some_and(|role| is_tls(role.sts_endpoint.as_deref()));
    let bundle =
        own.as_ref().or(policy.ca_bundle.as_ref()).filter(|_| is_tls(settings.endpoint.as_deref()) || sts_is_tls);
    let mut trust = TrustStore::default();
    if let Some(path) = bundle {
        let pem = read_bundle(path).await.map_err(|reason| {
            let advice = "aws.s3.ca_bundle (or s3_ca_bundle of the configuration) must be a PEM file of CA \
                          certificates that the server can read";
            (format!("the CA bundle {} cannot be used: {reason}", path.display()), advice.to_owned())
        })?;
        trust.add_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|error| (format!("TLS cannot be set up: {error}"), "check the CA bundle".to_owned()))?;
    let resolver = GuardedResolver { policy: Arc::new(policy.clone()) };
    Ok(Builder::new().tls_provider(PROVIDER).tls_context(tls).build_with_resolver(resolver))
}

/// The client for what hands out the process's own credentials: the metadata service of its instance or container, and the
/// STS that its environment or its profile names.
pub(super) fn client_of_surroundings() -> SharedHttpClient {
    Builder::new().tls_provider(PROVIDER).build_https()
}

/// The certificates of a bundle, after a look at each: the TLS library takes only good ones, and does not say which
/// is bad.
pub(in crate::repository) async fn read_bundle(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?;
    // A device or a pipe has no length and may have no end.
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let bytes = metadata.len();
    if bytes > BUNDLE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, more than the {BUNDLE_BYTES_MAX} it may have"));
    }
    let pem = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| "it is not PEM throughout".to_owned())?;
        roots.add(certificate).map_err(|error| format!("a certificate in it is wrong: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(pem)
}

/// The system's resolver, without the addresses that the policy forbids.
#[derive(Debug, Clone)]
struct GuardedResolver {
    policy: Arc<RepositoryPolicy>,
}

impl ResolveDns for GuardedResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            let (allowed, forbidden): (Vec<IpAddr>, Vec<IpAddr>) =
                found.map(|address| address.ip()).partition(|address| self.policy.allows_address(*address));
            match (allowed.is_empty(), forbidden.first()) {
                (true, Some(address)) => Err(ResolveDnsError::new(std::io::Error::other(format!(
                    "{name} resolves to the link-local or metadata address {address}, which is not connected to"
                )))),
                _ => Ok(allowed),
            }
        })
    }
}
