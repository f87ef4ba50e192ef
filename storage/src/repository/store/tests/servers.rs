//! Stores to test against.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use s3s::auth::{S3Auth, SecretKey, SimpleAuth};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use tempfile::TempDir;
use tokio::sync::watch;

use super::super::{Capabilities, FileStore, ObjectDelete, ObjectStore, Patience, S3Store, StoreStats};
use crate::clock::{Random, SystemRandom};
use crate::repository::RepositoryContext;
use crate::repository::location::Location;
use crate::repository::properties::RepositoryProperties;

pub(crate) const ACCESS_KEY: &str = "AKIDCANARY";
pub(crate) const SECRET_KEY: &str = "SECRETCANARY";

/// A store, and what it can be held to.
pub(crate) struct TestStore {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) delete: Arc<dyn ObjectDelete>,
    /// Whether one of several racing creators wins.
    pub(crate) atomic: bool,
    /// Whether completing an upload leaves an object alone that exists.
    pub(crate) conditional_complete: bool,
    pub(crate) root: Option<TempDir>,
}

pub(crate) fn file_store() -> TestStore {
    let root = tempfile::tempdir().unwrap();
    let Location::File(location) = Location::try_from(root.path().join("repository")).unwrap() else {
        panic!("a file location");
    };
    let store = FileStore::new(&location, Arc::new(SystemRandom));
    TestStore {
        store: Arc::new(store.clone()),
        delete: Arc::new(store),
        atomic: true,
        conditional_complete: true,
        root: Some(root),
    }
}

/// An S3 server in this process with one bucket, `bucket`. It stops with the test's runtime.
pub(crate) async fn in_process_s3() -> (SocketAddr, TempDir) {
    serve(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY)).await
}

/// The same with keys that change.
pub(crate) struct RotatingS3 {
    address: SocketAddr,
    keys: Keys,
    _root: TempDir,
}

#[derive(Clone, Default)]
struct Keys(Arc<Mutex<(String, String)>>);

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let keys = self.0.lock();
        if keys.0 == access_key { Ok(SecretKey::from(keys.1.clone())) } else { Err(s3_error!(InvalidAccessKeyId)) }
    }
}

impl RotatingS3 {
    pub(crate) async fn start() -> RotatingS3 {
        let keys = Keys::default();
        let (address, root) = serve(keys.clone()).await;
        RotatingS3 { address, keys, _root: root }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on these keys, and no others.
    pub(crate) fn accept(&self, access_key: &str, secret_key: &str) {
        *self.keys.0.lock() = (access_key.to_owned(), secret_key.to_owned());
    }
}

/// The same, until it falls silent: then it takes connections and never answers on them.
pub(crate) struct SilentS3 {
    address: SocketAddr,
    silence: Silence,
    _root: TempDir,
}

/// Whether connections are answered, and those that are not.
type Silence = Arc<(watch::Sender<bool>, watch::Sender<usize>)>;

impl SilentS3 {
    pub(crate) async fn start() -> SilentS3 {
        let silence = Silence::default();
        let auth = SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
        let (address, root) = serve_unless(auth, Arc::clone(&silence)).await;
        SilentS3 { address, silence, _root: root }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it does not answer on new connections.
    pub(crate) fn fall_silent(&self) {
        self.silence.0.send_replace(true);
    }

    /// It answers on new connections again, and closes those it did not answer on.
    pub(crate) fn speak(&self) {
        self.silence.0.send_replace(false);
    }

    /// Waits until so many have connected in vain.
    pub(crate) async fn wait_for_connections(&self, number: usize) {
        let mut held = self.silence.1.subscribe();
        let _ = held.wait_for(|held| *held >= number).await;
    }
}

async fn serve(auth: impl S3Auth) -> (SocketAddr, TempDir) {
    serve_unless(auth, Silence::default()).await
}

async fn serve_unless(auth: impl S3Auth, silence: Silence) -> (SocketAddr, TempDir) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("bucket")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
    service.set_auth(auth);
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, mut silent) = (service.clone(), silence.0.subscribe());
            if *silent.borrow() {
                silence.1.send_modify(|held| *held += 1);
                tokio::spawn(async move {
                    let _ = silent.wait_for(|silent| !silent).await;
                    drop(socket);
                });
                continue;
            }
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    (address, root)
}

pub(crate) fn s3_properties(endpoint: &str, access_key: &str, secret_key: &str) -> RepositoryProperties {
    RepositoryProperties::parse([
        ("aws.s3.endpoint", endpoint),
        ("aws.s3.access_key", access_key),
        ("aws.s3.secret_key", secret_key),
    ])
    .unwrap()
}

pub(crate) async fn s3_store(location: &str, properties: &RepositoryProperties, patience: Patience) -> S3Store {
    let Location::S3(location) = Location::parse(location).unwrap() else {
        panic!("an S3 location");
    };
    let settings = properties.s3(location.bucket()).unwrap();
    let (stats, context) = (StoreStats::new(), RepositoryContext::default());
    let secrets = properties.secrets();
    S3Store::connect(&location, &settings, secrets, patience, Capabilities::ALL, stats, &context).await.unwrap()
}

pub(crate) async fn in_process_s3_store() -> TestStore {
    let (address, root) = in_process_s3().await;
    let properties = s3_properties(&format!("http://{address}"), ACCESS_KEY, SECRET_KEY);
    let store = s3_store("s3://bucket/some/prefix", &properties, Patience::Job).await;
    TestStore {
        store: Arc::new(store.clone()),
        delete: Arc::new(store),
        atomic: false,
        conditional_complete: false,
        root: Some(root),
    }
}

/// Location and properties of the server that the environment names, with a prefix of its own.
pub(crate) fn external_s3() -> Option<(String, RepositoryProperties)> {
    let variable = |name: &str| std::env::var(format!("EBLA_TEST_S3_{name}")).ok();
    let endpoint = variable("ENDPOINT")?;
    let bucket = variable("BUCKET").unwrap_or_else(|| "backup".to_owned());
    let properties = s3_properties(&endpoint, &variable("ACCESS_KEY")?, &variable("SECRET_KEY")?);
    Some((format!("s3a://{bucket}/test-{}", SystemRandom.identifier()), properties))
}

pub(crate) async fn external_s3_store() -> Option<TestStore> {
    let (location, properties) = external_s3()?;
    let store = s3_store(&location, &properties, Patience::Job).await;
    Some(TestStore {
        store: Arc::new(store.clone()),
        delete: Arc::new(store),
        atomic: true,
        conditional_complete: true,
        root: None,
    })
}
