//! The embedded S3: the s3s-fs crate on loopback, with one bucket.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use super::AnyError;

/// How to reach the embedded S3.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedS3 {
    /// `http://127.0.0.1:port`.
    pub(crate) endpoint: String,
    /// Its one bucket.
    pub(crate) bucket: &'static str,
    /// Keys made for this run.
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

const BUCKET: &str = "bucket-s3";

/// Starts it; it runs as long as the runtime does.
pub(crate) async fn start(dir: &Path) -> Result<EmbeddedS3, AnyError> {
    use ebla_storage::clock::{Random, SystemRandom};
    // s3s-fs keeps a bucket as a directory.
    #[expect(clippy::disallowed_methods, reason = "a store that is only shown, and keeps nothing over a crash")]
    std::fs::create_dir_all(dir.join(BUCKET))?;
    let access_key = format!("EBLA{}", &SystemRandom.identifier()[..16]);
    let secret_key = SystemRandom.identifier();
    let files = s3s_fs::FileSystem::new(dir).map_err(|error| format!("cannot open {}: {error:?}", dir.display()))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(access_key.clone(), secret_key.clone()));
    let service = service.build();

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service.clone();
            tokio::spawn(async move {
                // A connection that breaks is its client's affair.
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(EmbeddedS3 { endpoint, bucket: BUCKET, access_key, secret_key })
}
