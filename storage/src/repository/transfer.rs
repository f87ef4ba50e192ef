//! Moving segments and delete vectors between local files and a store, checked at both ends.
//!
//! A file is hashed while it is read for upload, and the object only comes to be when the digest is right: bit rot on
//! the local disk is reported, not backed up. A download is hashed while it is written; when the digest is wrong the
//! bytes are fetched again, in case they were damaged on the way, and the file is synced before it is reported done.
//!
//! Memory is held for each part before it is read and given back once it is sent or written, so the process-wide
//! budget bounds what any number of transfers use. Cancelling drops the requests that are in flight.

mod download;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

pub(super) use download::{Destination, download, read_through};
pub(super) use upload::upload;

use super::error::{RepositoryError, RepositoryResult};
use crate::catalog::FileKind;
use crate::digest::Digest;

/// Parts of one object in flight: with several objects at a time, more would only hold memory.
const PARTS_IN_FLIGHT_MAX: usize = 4;

/// One segment or delete vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// What it is.
    pub kind: FileKind,
    /// Its name and checksum.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Told how many bytes have moved, as they move.
pub trait Progress: Send + Sync {
    /// These bytes have come, or are handed to the network.
    fn moved(&self, bytes: u64);

    /// These bytes were reported and have to move again.
    fn moved_in_vain(&self, bytes: u64);
}

/// What one attempt at an object has moved. Unless it is kept, it has moved in vain: the object has to begin again.
struct Attempt<'a> {
    progress: &'a dyn Progress,
    moved: AtomicU64,
}

impl<'a> Attempt<'a> {
    fn new(progress: &'a dyn Progress) -> Self {
        Attempt { progress, moved: AtomicU64::new(0) }
    }

    /// The object has moved whole.
    fn keep(self) {
        self.moved.store(0, Ordering::Relaxed);
    }
}

impl Progress for Attempt<'_> {
    fn moved(&self, bytes: u64) {
        self.moved.moved(bytes);
        self.progress.moved(bytes);
    }

    fn moved_in_vain(&self, bytes: u64) {
        self.moved.moved_in_vain(bytes);
        self.progress.moved_in_vain(bytes);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        match self.moved.load(Ordering::Relaxed) {
            0 => {}
            bytes => self.progress.moved_in_vain(bytes),
        }
    }
}

impl Progress for AtomicU64 {
    fn moved(&self, bytes: u64) {
        self.fetch_add(bytes, Ordering::Relaxed);
    }

    fn moved_in_vain(&self, bytes: u64) {
        self.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Nobody is interested.
impl Progress for () {
    fn moved(&self, _bytes: u64) {}

    fn moved_in_vain(&self, _bytes: u64) {}
}

/// Runs `work` until it is done or `cancel` is called, whichever comes first.
async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = RepositoryResult<T>>,
) -> RepositoryResult<T> {
    cancel.run_until_cancelled(work).await.unwrap_or(Err(RepositoryError::Cancelled))
}

/// Runs file work on a thread that may block.
async fn on_file<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> RepositoryResult<T> {
    let local_io = |source| RepositoryError::LocalIo { action, path: PathBuf::from(path), source };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(local_io),
        Err(died) => Err(local_io(std::io::Error::other(died))),
    }
}
