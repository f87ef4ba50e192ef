//! The s3s-fs crate as an S3 store in this process: up at once, for quick tests.
//!
//! It checks signatures, but it neither syncs nor creates atomically, so it proves nothing about durability or races:
//! those tests use [`crate::weed`].

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::{S3Auth, SimpleAuth};
use s3s::service::S3ServiceBuilder;

use crate::background::Background;
use crate::folder::Folder;
use crate::keys::LiveKeys;
use crate::s3::{Bucket, S3Endpoint};

const KEYS: (&str, &str) = ("EBLATESTQUICK0000000", "ebla-test-quick-secret-0000000000000000");

/// A running s3s-fs.
#[derive(Debug)]
pub struct S3sFs {
    endpoint: S3Endpoint,
    _background: Background,
    folder: Folder,
}

impl S3sFs {
    /// An empty store.
    pub fn start() -> S3sFs {
        S3sFs::with_auth(SimpleAuth::from_single(KEYS.0, KEYS.1))
    }

    /// An empty store that takes the keys that live at the time of a request, and its own.
    pub fn with_keys(keys: &LiveKeys) -> S3sFs {
        keys.add(KEYS.0, KEYS.1, None);
        S3sFs::with_auth(keys.clone())
    }

    fn with_auth(auth: impl S3Auth) -> S3sFs {
        let folder = Folder::new("s3s-fs");
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(auth);
        let service = service.build();

        let background = Background::new("s3s-fs");
        let listener = background.listen();
        let endpoint = S3Endpoint {
            url: format!("http://{}", listener.local_addr().unwrap()),
            region: "us-east-1".to_string(),
            access_key: KEYS.0.to_string(),
            secret_key: KEYS.1.to_string(),
        };
        background.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that closes in the middle is the client's affair.
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        S3sFs { endpoint, _background: background, folder }
    }

    /// Where it listens, with keys.
    pub fn endpoint(&self) -> S3Endpoint {
        self.endpoint.clone()
    }

    /// A new bucket whose name begins with `name`.
    pub async fn bucket(&self, name: &str) -> Bucket {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        self.endpoint.client().create_bucket(&name).await;
        Bucket { endpoint: self.endpoint(), name }
    }

    /// The folder that holds the buckets.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
