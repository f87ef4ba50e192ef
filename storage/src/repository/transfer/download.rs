//! From an object to a local file, or to nothing but its digest.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::checked;
use super::super::error::{RepositoryError, RepositoryResult};
use super::super::store::{ObjectKey, ObjectStore, PART_BYTES, StoreErrorKind, TransferLimits, part_range, watched};
use super::{Attempt, ObjectRef, PARTS_IN_FLIGHT_MAX, Progress, on_file, unless_cancelled};
use crate::digest::{Digest, DigestHasher};
use crate::disk;

/// How often an object is fetched before its bytes, and not the way they took, are called damaged.
const ATTEMPTS_MAX: u32 = 3;

/// What to do about an object that cannot be used.
const ADVICE: &str = "restore another snapshot, or only tables that do not need this object";

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
    let found = read_through(store, limits, key, object, Destination::Durable(path), progress, cancel).await;
    let damaged = match found {
        Ok(digest) if digest == object.digest => return Ok(()),
        Ok(digest) => {
            let place = store.place();
            let detail = format!(
                "its digest is {digest} instead of {}, {ATTEMPTS_MAX} times in a row, as it comes from {place}; {ADVICE}",
                object.digest
            );
            RepositoryError::CorruptObject { key: key.to_string(), detail }
        }
        Err(error) => missing_is_damage(key, error),
    };
    remove(path).await;
    Err(damaged)
}

/// Where the bytes of an object go while they are hashed.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Destination<'a> {
    /// Nowhere.
    Nowhere,
    /// Into a file that is soon forgotten.
    Scratch(&'a Path),
    /// Into a file that is to stay: it is synced.
    Durable(&'a Path),
}

/// Reads an object from its beginning to its end and says what its digest is. A wrong one is only said after the object
/// came wrong several times, and so is that it is too short or too long; that one is too long is not noticed when it comes
/// in parts. An object that is not there is the store's error.
pub(in super::super) async fn read_through(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    object: &ObjectRef,
    to: Destination<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> RepositoryResult<Digest> {
    let mut attempt = 1;
    loop {
        match unless_cancelled(cancel, fetch(store, limits, key, object, to, progress)).await {
            Ok(digest) if digest == object.digest => return Ok(digest),
            Ok(digest) => {
                if attempt == ATTEMPTS_MAX {
                    return Ok(digest);
                }
                checked::note_wrong(key, &format!("its digest is {digest}"));
            }
            // Too short or too long; or cut short on its way with a length to match, or the answer to another request.
            Err(error) if error.is_corrupt_object() && attempt < ATTEMPTS_MAX => {
                checked::note_wrong(key, &error.to_string());
            }
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

/// Fetches the bytes once and says what their digest is. Those of another digest than the object's have moved in vain.
async fn fetch(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    object: &ObjectRef,
    to: Destination<'_>,
    progress: &dyn Progress,
) -> RepositoryResult<Digest> {
    let target = Target::create(to).await?;
    let attempt = Attempt::new(progress);
    if object.bytes <= PART_BYTES {
        let _memory = limits.hold_memory(object.bytes).await;
        let body = watched(&attempt, object.bytes, store.get(key, object.bytes)).await?;
        if body.len() as u64 != object.bytes {
            let (bytes, wanted, place) = (body.len(), object.bytes, store.place());
            let detail = format!("it has {bytes} bytes instead of {wanted}, as it comes from {place}; {ADVICE}");
            return Err(RepositoryError::CorruptObject { key: key.to_string(), detail });
        }
        target.append(body).await?;
    } else {
        // Several parts come at the same time and are written in order. Each asks for memory in that order too, so
        // the one that is waited for never waits for memory that a later one holds.
        let indexes = stream::iter((0..).map_while(|index| part_range(object.bytes, index)));
        let attempt = &attempt;
        indexes
            .map(|(offset, bytes)| async move {
                let memory = limits.hold_memory(bytes).await;
                let body = watched(attempt, bytes, store.get_range(key, offset, bytes)).await?;
                Ok::<_, RepositoryError>((body, memory))
            })
            .buffered(PARTS_IN_FLIGHT_MAX)
            .try_for_each(|(body, _memory)| {
                let target = &target;
                async move { target.append(body).await }
            })
            .await?;
    }
    let digest = target.finish().await?;
    if digest == object.digest {
        attempt.keep();
    }
    Ok(digest)
}

/// A snapshot that refers to an object that is not there, or is too short or too long, is damaged.
fn missing_is_damage(key: &ObjectKey, error: RepositoryError) -> RepositoryError {
    match error.store_kind() {
        Some(StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => {
            RepositoryError::CorruptObject { key: key.to_string(), detail: format!("{error}; {ADVICE}") }
        }
        _ => error,
    }
}

/// What the bytes of an object are hashed by, and written into, from their beginning to their end.
struct Target<'a> {
    to: Destination<'a>,
    file: Option<Arc<File>>,
    hasher: Arc<Mutex<DigestHasher>>,
}

impl<'a> Target<'a> {
    async fn create(to: Destination<'a>) -> RepositoryResult<Self> {
        let file = match to.path() {
            None => None,
            Some(path) => {
                let created = path.to_owned();
                let open = move || OpenOptions::new().write(true).create(true).truncate(true).open(created);
                Some(Arc::new(on_file("create", path, open).await?))
            }
        };
        Ok(Self { to, file, hasher: Arc::default() })
    }

    async fn append(&self, body: Bytes) -> RepositoryResult<()> {
        let (file, hasher) = (self.file.clone(), Arc::clone(&self.hasher));
        on_file("write", self.to.path().unwrap_or(Path::new("")), move || {
            hasher.lock().update(&body);
            file.map_or(Ok(()), |file| (&*file).write_all(&body))
        })
        .await
    }

    async fn finish(self) -> RepositoryResult<Digest> {
        if let (Destination::Durable(path), Some(file)) = (self.to, self.file) {
            on_file("sync", path, move || disk::sync_file(&file)).await?;
        }
        let (digest, _) = self.hasher.lock().finish();
        Ok(digest)
    }
}

impl<'a> Destination<'a> {
    fn path(self) -> Option<&'a Path> {
        match self {
            Destination::Nowhere => None,
            Destination::Scratch(path) | Destination::Durable(path) => Some(path),
        }
    }
}

/// Best effort: what stays lies in a staging directory that is swept.
async fn remove(path: &Path) {
    let removed = path.to_owned();
    let _ = on_file("remove", path, move || disk::remove_file(&removed)).await;
}
