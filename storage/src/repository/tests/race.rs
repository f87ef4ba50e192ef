//! Goal: those who create a repository at the same place at the same time come to the same one, also where puts replace what is
//! there. Method: proofs against a store in memory that knows no create-only put, led to meet at the worst moments.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Barrier, Notify};

use super::super::probe::{self, Candidate};
use super::super::properties::ObjectLock;
use super::super::store::{ListPage, MultipartUpload, ObjectMeta, Operation, PageToken, Place, StoreResult, layered};
use super::*;

/// Objects that any put replaces, as one client sees them.
#[derive(Debug)]
struct Replacing {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    meets: Meets,
}

/// Where a proof waits for another.
#[derive(Debug, Clone)]
enum Meets {
    /// Before its first put: it says that it has come so far and goes on when it is told to.
    AfterItsFirstLook(Arc<(Notify, Notify)>),
    /// Before it puts `repository.json`, having looked.
    BetweenLookAndPut(Arc<Barrier>),
    Nobody,
}

#[async_trait]
impl ObjectStore for Replacing {
    fn place(&self) -> Place {
        Place { endpoint: String::new(), bucket: "memory".to_owned(), prefix: String::new() }
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        match &self.meets {
            Meets::AfterItsFirstLook(signals) if *key == layout::probe() => {
                signals.0.notify_one();
                signals.1.notified().await;
                signals.1.notify_one(); // Its later puts do not wait.
            }
            Meets::BetweenLookAndPut(barrier) if *key == layout::repository_info() => {
                barrier.wait().await;
            }
            _ => {}
        }
        self.objects.lock().insert(key.to_string(), body);
        Ok(Put::Created)
    }

    async fn start_multipart(&self, key: &ObjectKey, _bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let message = "no uploads in parts";
        Err(StoreError::new(StoreErrorKind::Invalid, Operation::StartMultipart, &self.place(), key.as_str(), message)
            .with_response(Some(501), Some("NotImplemented"), None))
    }

    async fn get(&self, key: &ObjectKey, _bytes_max: u64) -> StoreResult<Bytes> {
        let found = self.objects.lock().get(key.as_str()).cloned();
        found
            .ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, Operation::Get, &self.place(), key.as_str(), "no"))
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let (offset, bytes) = (usize::try_from(offset).unwrap(), usize::try_from(bytes).unwrap());
        Ok(self.get(key, u64::MAX).await?.slice(offset..offset + bytes))
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        Ok(self.objects.lock().get(key.as_str()).map(|body| ObjectMeta { bytes: body.len() as u64 }))
    }

    async fn list(&self, _prefix: &str, _page: Option<&PageToken>) -> StoreResult<ListPage> {
        Ok(ListPage::default())
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        None
    }

    async fn renew_lock(&self, _key: &ObjectKey) -> StoreResult<()> {
        Ok(())
    }
}

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// Creates a repository as CREATE REPOSITORY does; gives its id.
async fn create(objects: &Objects, meets: Meets) -> String {
    let context = RepositoryContext::default();
    let known = Arc::new(KnownCapabilities::new(Capabilities::ALL));
    let limits = context.limits(Patience::Interactive);
    let bare = Arc::new(Replacing { objects: Arc::clone(objects), meets });
    let store = layered(bare, &StoreStats::new(), &limits, &known);
    let candidate = Candidate { store, known, s3: None };
    let location = Location::parse("s3://bucket/p").unwrap();
    let (info, capabilities) = probe::create(&candidate, &location, None, &context).await.unwrap();
    assert!(!capabilities.conditional_put && !capabilities.multipart, "{capabilities:?}");
    info.repository_id
}

fn id_in(objects: &Objects) -> String {
    let stored = objects.lock()[layout::repository_info().as_str()].clone();
    RepositoryInfo::from_stored(&stored).unwrap().repository_id
}

#[tokio::test]
async fn one_that_comes_to_be_during_a_proof_is_taken() {
    let objects = Objects::default();
    let signals = Arc::new((Notify::new(), Notify::new()));
    let slow = create(&objects, Meets::AfterItsFirstLook(Arc::clone(&signals)));
    let fast = async {
        signals.0.notified().await;
        let id = create(&objects, Meets::Nobody).await;
        signals.1.notify_one();
        id
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert_eq!(slow, fast);
    assert_eq!(id_in(&objects), fast);
}

#[tokio::test]
async fn two_that_both_find_none_and_both_put_take_the_same() {
    let objects = Objects::default();
    let barrier = Arc::new(Barrier::new(2));
    let one = create(&objects, Meets::BetweenLookAndPut(Arc::clone(&barrier)));
    let other = create(&objects, Meets::BetweenLookAndPut(barrier));
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one, other);
    assert_eq!(id_in(&objects), one);
}
