//! For a store without multipart uploads: the parts of an object are collected and put with one request.
//!
//! A whole object is in memory meanwhile: at most the size of a segment for each one in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    KnownCapabilities, ListPage, MultipartUpload, ObjectKey, ObjectLock, ObjectMeta, ObjectStore, Operation, PageToken,
    Place, Put, StoreError, StoreErrorKind, StoreResult,
};

/// A store whose objects are put whole, when they must be.
#[derive(Debug)]
pub struct WholePuts {
    inner: Arc<dyn ObjectStore>,
    known: Arc<KnownCapabilities>,
}

impl WholePuts {
    /// Wraps a store that perhaps knows no parts.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, known: Arc<KnownCapabilities>) -> Self {
        Self { inner, known }
    }
}

#[async_trait]
impl ObjectStore for WholePuts {
    fn place(&self) -> Place {
        self.inner.place()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        self.inner.put_create(key, body).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        if self.known.get().multipart {
            return self.inner.start_multipart(key, bytes).await;
        }
        let store = Arc::clone(&self.inner);
        Ok(Box::new(WholeUpload { store, key: key.clone(), bytes, parts: Mutex::default() }))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        self.inner.get(key, bytes_max).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        self.inner.get_range(key, offset, bytes).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.inner.list(prefix, page).await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        self.inner.object_lock()
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        self.inner.renew_lock(key).await
    }
}

#[derive(Debug)]
struct WholeUpload {
    store: Arc<dyn ObjectStore>,
    key: ObjectKey,
    bytes: u64,
    parts: Mutex<BTreeMap<u64, Bytes>>,
}

#[async_trait]
impl MultipartUpload for WholeUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        self.parts.lock().insert(index, body);
        Ok(())
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let parts = self.parts.into_inner();
        let mut body = BytesMut::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        parts.values().for_each(|part| body.extend_from_slice(part));
        if body.len() as u64 != self.bytes {
            let message = format!("{} of {} bytes were put", body.len(), self.bytes);
            let (place, key) = (self.store.place(), self.key.as_str());
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::CompleteMultipart, &place, key, message));
        }
        self.store.put_create(&self.key, body.freeze()).await
    }

    async fn abort(self: Box<Self>) {}
}
