//! Locks what was there before a put as long as what the put would have made.
//!
//! A put that finds its object creates nothing, so the lock that it asked for is not set; a snapshot that is going to
//! refer to the object still needs it. So does what is put in parts where the store forgets the lock of such objects. Where no
//! locks are asked for, every call is passed on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;

use super::layer::completing;
use super::{KnownCapabilities, MultipartUpload, ObjectKey, ObjectStore, Put, StoreLayer, StoreResult};
use crate::repository::layout;

/// A store in which a put leaves a locked object behind, whoever has made it.
#[derive(Debug)]
pub struct Relocked {
    inner: Arc<dyn ObjectStore>,
    known: Arc<KnownCapabilities>,
}

/// How an object came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Parts,
}

impl Relocked {
    /// Wraps a store that perhaps locks objects.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, known: Arc<KnownCapabilities>) -> Self {
        Self { inner, known }
    }
}

/// Locks the object anew when it was not the put that locked it.
async fn relock(
    store: &dyn ObjectStore,
    known: &KnownCapabilities,
    key: &ObjectKey,
    form: Form,
    put: Put,
) -> StoreResult<Put> {
    let has_lock = put == Put::Created && (form == Form::Whole || known.get().locks_parts);
    if !has_lock && store.object_lock().is_some() && layout::is_of_snapshots(key.as_str()) {
        store.renew_lock(key).await?;
    }
    Ok(put)
}

#[async_trait]
impl StoreLayer for Relocked {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        let put = self.inner.put_create(key, body).await?;
        relock(&*self.inner, &self.known, key, Form::Whole, put).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let upload = self.inner.start_multipart(key, bytes).await?;
        let (store, known, key) = (Arc::clone(&self.inner), Arc::clone(&self.known), key.clone());
        Ok(completing(upload, move |upload| {
            async move { relock(&*store, &known, &key, Form::Parts, upload.complete().await?).await }.boxed()
        }))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::clock::SystemRandom;
    use crate::digest::Digest;
    use crate::repository::Location;
    use crate::repository::properties::{LockMode, ObjectLock};
    use crate::repository::store::{Capabilities, FileStore};

    /// A store that writes down which locks are renewed.
    #[derive(Debug)]
    struct Locking {
        inner: Arc<dyn ObjectStore>,
        lock: Option<ObjectLock>,
        renewed: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl StoreLayer for Locking {
        fn inner(&self) -> &Arc<dyn ObjectStore> {
            &self.inner
        }

        fn object_lock(&self) -> Option<ObjectLock> {
            self.lock
        }

        async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
            self.renewed.lock().push(key.to_string());
            Ok(())
        }
    }

    /// What is there already is locked anew, whole or in parts, and only where locks are asked for and only what
    /// belongs to snapshots.
    #[tokio::test]
    async fn what_exists_is_locked_anew() {
        for (lock, expected) in [(Some(ObjectLock { mode: LockMode::Governance, days: 1 }), 2), (None, 0)] {
            let directory = tempfile::tempdir().unwrap();
            let Location::File(file) = Location::try_from(directory.path().join("r")).unwrap() else {
                panic!("a directory is a directory");
            };
            let inner = Arc::new(FileStore::new(&file, Arc::new(SystemRandom)));
            let bare = Arc::new(Locking { inner, lock, renewed: Mutex::default() });
            let known = Arc::new(KnownCapabilities::new(Capabilities::ALL));
            let store = Relocked::new(Arc::clone(&bare) as Arc<dyn ObjectStore>, Arc::clone(&known));
            let store: Arc<dyn ObjectStore> = Arc::new(store);
            let body = Bytes::from_static(b"x");
            for key in [layout::repository_info(), layout::probe()] {
                assert_eq!(store.put_create(&key, body.clone()).await.unwrap(), Put::Created);
                assert_eq!(*bare.renewed.lock(), Vec::<String>::new(), "a put locks what it makes");
            }
            for key in [layout::repository_info(), layout::probe()] {
                assert_eq!(store.put_create(&key, body.clone()).await.unwrap(), Put::Exists);
                let upload = store.start_multipart(&key, 1).await.unwrap();
                upload.put_part(0, body.clone()).await.unwrap();
                assert_eq!(upload.complete().await.unwrap(), Put::Exists);
            }
            let renewed = bare.renewed.lock().clone();
            assert_eq!(renewed.len(), expected, "{renewed:?}");
            assert!(renewed.iter().all(|key| *key == layout::repository_info().to_string()), "{renewed:?}");

            // What is put in parts, where the store is known to forget the lock of that.
            for (locks_parts, again) in [(true, 0), (false, expected / 2)] {
                known.set(Capabilities { locks_parts, ..Capabilities::ALL });
                bare.renewed.lock().clear();
                let key = layout::tree(&Digest::of(if locks_parts { b"x" } else { b"y" }));
                let upload = store.start_multipart(&key, 1).await.unwrap();
                upload.put_part(0, body.clone()).await.unwrap();
                assert_eq!(upload.complete().await.unwrap(), Put::Created);
                assert_eq!(bare.renewed.lock().len(), again, "{locks_parts}");
            }
            let whole = layout::tree(&Digest::of(b"z"));
            bare.renewed.lock().clear();
            assert_eq!(store.put_create(&whole, body.clone()).await.unwrap(), Put::Created);
            assert!(bare.renewed.lock().is_empty(), "a put locks what it makes");
        }
    }
}
