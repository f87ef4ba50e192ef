//! From an object to a local file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::error::{RepositoryError, RepositoryResult};
use super::super::store::{ObjectKey, ObjectStore, PART_BYTES, StoreErrorKind, TransferLimits, part_range};
use super::{ObjectRef, PARTS_IN_FLIGHT_MAX, Progress, on_file, unless_cancelled};
use crate::digest::{Digest, DigestHasher};
use crate::failpoint::{DurableStep, durable};

/// How often an object is fetched before its bytes, and not the way they took, are called damaged.
const ATTEMPTS_MAX: u32 = 3;

/// Downloads `object` to the file at `path`, which is replaced if it exists. When this returns, the file has the
/// digest it should have and is synced; its directory is not. After an error no file is left.
pub(in super::super) async fn download(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    object: &ObjectRef,
    path: &Path,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> RepositoryResult<()> {
    let mut attempt = 1;
    loop {
        let fetched = unless_cancelled(cancel, fetch(store, limits, key, object, path, progress)).await;
        let damaged = match fetched {
            Ok(digest) if digest == object.digest => return Ok(()),
            Ok(digest) => {
                progress.moved_in_vain(object.bytes);
                format!("its digest is {digest} instead of {}", object.digest)
            }
            Err(error) => {
                remove(path).await;
                return Err(error);
            }
        };
        if attempt == ATTEMPTS_MAX {
            remove(path).await;
            return Err(RepositoryError::CorruptObject { key: key.to_string(), detail: damaged });
        }
        tracing::warn!(%key, attempt, detail = damaged, "object arrived damaged, fetching it again");
        attempt += 1;
    }
}

/// Fetches the bytes once and says what their digest is.
async fn fetch(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    object: &ObjectRef,
    path: &Path,
    progress: &dyn Progress,
) -> RepositoryResult<Digest> {
    let target = Target::create(path).await?;
    if object.bytes <= PART_BYTES {
        let _memory = limits.hold_memory(object.bytes).await;
        let body = missing_is_damage(key, store.get(key, object.bytes).await)?;
        if body.len() as u64 != object.bytes {
            let detail = format!("it has {} bytes instead of {}", body.len(), object.bytes);
            return Err(RepositoryError::CorruptObject { key: key.to_string(), detail });
        }
        target.append(body).await?;
        progress.moved(object.bytes);
    } else {
        // Several parts come at the same time and are written in order. Each asks for memory in that order too, so
        // the one that is waited for never waits for memory that a later one holds.
        let indexes = stream::iter((0..).map_while(|index| part_range(object.bytes, index)));
        indexes
            .map(|(offset, bytes)| async move {
                let memory = limits.hold_memory(bytes).await;
                let body = missing_is_damage(key, store.get_range(key, offset, bytes).await)?;
                Ok::<_, RepositoryError>((body, memory))
            })
            .buffered(PARTS_IN_FLIGHT_MAX)
            .try_for_each(|(body, _memory)| {
                let target = &target;
                async move {
                    let bytes = body.len() as u64;
                    target.append(body).await?;
                    progress.moved(bytes);
                    Ok(())
                }
            })
            .await?;
    }
    target.finish().await
}

/// A snapshot that refers to an object that is not there, or is too short or too long, is damaged.
fn missing_is_damage(key: &ObjectKey, got: Result<Bytes, super::super::store::StoreError>) -> RepositoryResult<Bytes> {
    got.map_err(|error| match error.kind() {
        StoreErrorKind::NotFound | StoreErrorKind::Corrupt => {
            RepositoryError::CorruptObject { key: key.to_string(), detail: error.to_string() }
        }
        _ => error.into(),
    })
}

/// A local file that is written from its beginning to its end and hashed on the way.
struct Target<'a> {
    path: &'a Path,
    file: Arc<File>,
    hasher: Arc<Mutex<DigestHasher>>,
}

impl<'a> Target<'a> {
    async fn create(path: &'a Path) -> RepositoryResult<Self> {
        let created = path.to_owned();
        let file = on_file("create", path, move || {
            OpenOptions::new().write(true).create(true).truncate(true).open(created).map(Arc::new)
        })
        .await?;
        Ok(Self { path, file, hasher: Arc::default() })
    }

    async fn append(&self, body: Bytes) -> RepositoryResult<()> {
        let (file, hasher) = (Arc::clone(&self.file), Arc::clone(&self.hasher));
        on_file("write", self.path, move || {
            hasher.lock().update(&body);
            (&*file).write_all(&body)
        })
        .await
    }

    async fn finish(self) -> RepositoryResult<Digest> {
        let file = self.file;
        on_file("sync", self.path, move || durable(DurableStep::SyncFile, || file.sync_all())).await?;
        let (digest, _) = self.hasher.lock().finish();
        Ok(digest)
    }
}

/// Best effort: what stays lies in a staging directory that is swept.
async fn remove(path: &Path) {
    let removed = path.to_owned();
    let _ = on_file("remove", path, move || std::fs::remove_file(removed)).await;
}
