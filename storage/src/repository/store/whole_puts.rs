//! For a store without multipart uploads: the parts of an object are collected and put with one request.
//!
//! A whole object is in memory meanwhile: at most the size of a segment for each one in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    KnownCapabilities, MultipartUpload, ObjectKey, ObjectStore, Operation, Put, StoreError, StoreErrorKind, StoreLayer,
    StoreResult,
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
impl StoreLayer for WholePuts {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        if self.known.get().multipart {
            return self.inner.start_multipart(key, bytes).await;
        }
        let store = Arc::clone(&self.inner);
        Ok(Box::new(WholeUpload { store, key: key.clone(), bytes, parts: Mutex::default() }))
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
