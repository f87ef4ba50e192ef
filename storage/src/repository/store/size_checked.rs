//! For a store that does not check the checksums of uploads, and for uploads in parts, whose list of parts no checksum
//! protects: what was put is looked up, and must have its size.
//!
//! The bytes themselves are protected on their way by the signature, which covers them; a restore checks every digest.
//! What this finds at once is a store that adds framing to bodies or keeps half of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;

use super::layer::completing;
use super::{
    KnownCapabilities, MultipartUpload, ObjectKey, ObjectStore, Operation, Put, StoreError, StoreErrorKind, StoreLayer,
    StoreResult,
};

/// A store whose objects are looked up after they were put, when it must be.
#[derive(Debug)]
pub struct SizeChecked {
    inner: Arc<dyn ObjectStore>,
    known: Arc<KnownCapabilities>,
}

impl SizeChecked {
    /// Wraps a store that perhaps takes bodies unchecked.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, known: Arc<KnownCapabilities>) -> Self {
        Self { inner, known }
    }
}

/// Errors unless the object is there with this size.
async fn check(store: &dyn ObjectStore, operation: Operation, key: &ObjectKey, bytes: u64) -> StoreResult<()> {
    let detail = match store.head(key).await? {
        Some(meta) if meta.bytes == bytes => return Ok(()),
        Some(meta) => format!("it keeps {} bytes of the {bytes} it was given", meta.bytes),
        None => "the object is not there after its put".to_owned(),
    };
    Err(StoreError::new(StoreErrorKind::Corrupt, operation, &store.place(), key.as_str(), detail).with_advice(
        "this store does not keep what it is given, unless something between changed it: remove the object, or use another \
         store",
    ))
}

#[async_trait]
impl StoreLayer for SizeChecked {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        let bytes = body.len() as u64;
        let put = self.inner.put_create(key, body).await?;
        if put == Put::Created && !self.known.get().upload_checksums {
            check(&*self.inner, Operation::Put, key, bytes).await?;
        }
        Ok(put)
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let upload = self.inner.start_multipart(key, bytes).await?;
        let (store, key) = (Arc::clone(&self.inner), key.clone());
        let complete = move |upload: Box<dyn MultipartUpload>| {
            async move {
                let put = upload.complete().await?;
                if put == Put::Created {
                    check(&*store, Operation::CompleteMultipart, &key, bytes).await?;
                }
                Ok(put)
            }
            .boxed()
        };
        Ok(completing(upload, complete))
    }
}
