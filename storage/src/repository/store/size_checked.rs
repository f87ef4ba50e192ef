//! For a store that does not check the checksums of uploads, and for uploads in parts, whose list of parts no checksum
//! protects: what was put is looked up, and must have its size.
//!
//! The bytes themselves are protected on their way by the signature, which covers them; a restore checks every digest.
//! What this finds at once is a store that adds framing to bodies or keeps half of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    KnownCapabilities, ListPage, MultipartUpload, ObjectKey, ObjectLock, ObjectMeta, ObjectStore, Operation, PageToken,
    Place, Put, StoreError, StoreErrorKind, StoreResult,
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
impl ObjectStore for SizeChecked {
    fn place(&self) -> Place {
        self.inner.place()
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
        Ok(Box::new(SizeCheckedUpload { upload, store: Arc::clone(&self.inner), key: key.clone(), bytes }))
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
struct SizeCheckedUpload {
    upload: Box<dyn MultipartUpload>,
    store: Arc<dyn ObjectStore>,
    key: ObjectKey,
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for SizeCheckedUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        self.upload.put_part(index, body).await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let put = self.upload.complete().await?;
        if put == Put::Created {
            check(&*self.store, Operation::CompleteMultipart, &self.key, self.bytes).await?;
        }
        Ok(put)
    }

    async fn abort(self: Box<Self>) {
        self.upload.abort().await;
    }
}
