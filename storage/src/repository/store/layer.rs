//! What all layers around a backend have in common: whatever a layer does not change passes through it.
//!
//! A layer says what it wraps and what it does differently; nothing here knows any one of them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

use super::{
    ListPage, MultipartUpload, ObjectKey, ObjectLock, ObjectMeta, ObjectStore, PageToken, Place, Put, StoreResult,
};

/// A store around another store: every call goes to the one within unless the layer has its own way. The calls are
/// those of [`ObjectStore`], which every layer is.
#[async_trait]
pub trait StoreLayer: fmt::Debug + Send + Sync + 'static {
    /// The store within.
    fn inner(&self) -> &Arc<dyn ObjectStore>;

    /// See [`ObjectStore::put_create`].
    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        self.inner().put_create(key, body).await
    }

    /// See [`ObjectStore::start_multipart`].
    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner().start_multipart(key, bytes).await
    }

    /// See [`ObjectStore::get`].
    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        self.inner().get(key, bytes_max).await
    }

    /// See [`ObjectStore::get_range`].
    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        self.inner().get_range(key, offset, bytes).await
    }

    /// See [`ObjectStore::head`].
    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.inner().head(key).await
    }

    /// See [`ObjectStore::list`].
    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.inner().list(prefix, page).await
    }

    /// See [`ObjectStore::object_lock`].
    fn object_lock(&self) -> Option<ObjectLock> {
        self.inner().object_lock()
    }

    /// See [`ObjectStore::renew_lock`].
    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        self.inner().renew_lock(key).await
    }
}

#[async_trait]
impl<L: StoreLayer> ObjectStore for L {
    fn place(&self) -> Place {
        self.inner().place()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        StoreLayer::put_create(self, key, body).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        StoreLayer::start_multipart(self, key, bytes).await
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        StoreLayer::get(self, key, bytes_max).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        StoreLayer::get_range(self, key, offset, bytes).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        StoreLayer::head(self, key).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        StoreLayer::list(self, prefix, page).await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        StoreLayer::object_lock(self)
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        StoreLayer::renew_lock(self, key).await
    }
}

/// An upload whose parts go the usual way and which ends in a way of its own. `complete` is handed the upload within,
/// which it must complete or abort.
pub(super) fn completing<F>(upload: Box<dyn MultipartUpload>, complete: F) -> Box<dyn MultipartUpload>
where
    F: FnOnce(Box<dyn MultipartUpload>) -> BoxFuture<'static, StoreResult<Put>> + Send + Sync + 'static,
{
    Box::new(Completing { upload, complete })
}

struct Completing<F> {
    upload: Box<dyn MultipartUpload>,
    complete: F,
}

impl<F> fmt::Debug for Completing<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completing").field("upload", &self.upload).finish_non_exhaustive()
    }
}

#[async_trait]
impl<F> MultipartUpload for Completing<F>
where
    F: FnOnce(Box<dyn MultipartUpload>) -> BoxFuture<'static, StoreResult<Put>> + Send + Sync + 'static,
{
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        self.upload.put_part(index, body).await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let Self { upload, complete } = *self;
        complete(upload).await
    }

    async fn abort(self: Box<Self>) {
        self.upload.abort().await;
    }
}
