//! Create-only puts for a store that ignores `If-None-Match`: look first, then put.
//!
//! Two writers of one key can both find nothing and both put. For objects and tree nodes that is harmless, because
//! their key is the digest of their bytes. For a commit object the last writer wins, which needs two clusters that
//! back up under one label in the same millisecond; docs/repository-format.md says so.
//!
//! Where conditional puts are to be relied on, nothing is looked up and every call is passed on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    KnownCapabilities, ListPage, MultipartUpload, ObjectKey, ObjectLock, ObjectMeta, ObjectStore, PageToken, Place,
    Put, StoreResult,
};

/// A store that looks before it puts, when it must.
#[derive(Debug)]
pub struct HeadFirst {
    inner: Arc<dyn ObjectStore>,
    known: Arc<KnownCapabilities>,
}

impl HeadFirst {
    /// Wraps a store whose conditional put is perhaps not to be relied on.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, known: Arc<KnownCapabilities>) -> Self {
        Self { inner, known }
    }
}

#[async_trait]
impl ObjectStore for HeadFirst {
    fn place(&self) -> Place {
        self.inner.place()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        if !self.known.get().conditional_put && self.inner.head(key).await?.is_some() {
            return Ok(Put::Exists);
        }
        self.inner.put_create(key, body).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let upload = self.inner.start_multipart(key, bytes).await?;
        if self.known.get().conditional_put {
            return Ok(upload);
        }
        Ok(Box::new(HeadFirstUpload { upload, store: Arc::clone(&self.inner), key: key.clone() }))
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
struct HeadFirstUpload {
    upload: Box<dyn MultipartUpload>,
    store: Arc<dyn ObjectStore>,
    key: ObjectKey,
}

#[async_trait]
impl MultipartUpload for HeadFirstUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        self.upload.put_part(index, body).await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        match self.store.head(&self.key).await? {
            Some(_) => {
                self.upload.abort().await;
                Ok(Put::Exists)
            }
            None => self.upload.complete().await,
        }
    }

    async fn abort(self: Box<Self>) {
        self.upload.abort().await;
    }
}
