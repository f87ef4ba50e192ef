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
use futures::FutureExt;

use super::layer::completing;
use super::{KnownCapabilities, MultipartUpload, ObjectKey, ObjectStore, Put, StoreLayer, StoreResult};

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
impl StoreLayer for HeadFirst {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
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
        let (store, key) = (Arc::clone(&self.inner), key.clone());
        let complete = move |upload: Box<dyn MultipartUpload>| {
            async move {
                if store.head(&key).await?.is_none() {
                    return upload.complete().await;
                }
                upload.abort().await;
                Ok(Put::Exists)
            }
            .boxed()
        };
        Ok(completing(upload, complete))
    }
}
