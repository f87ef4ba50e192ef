//! The seam between a repository and the thing that holds its bytes.
//!
//! [`ObjectStore`] can list, read and create; it has no word for overwriting, renaming or deleting, so code that
//! makes backups cannot do those things. Deleting is [`ObjectDelete`], which only lifecycle code is handed.
//!
//! [`S3Store`] and [`FileStore`] are the two backends. What both need is added by wrapping, never by asking which
//! backend it is; a [`StoreLayer`] says what it does differently. [`Metered`] counts; [`SizeChecked`], [`WholePuts`] and [`HeadFirst`] make up for what a store lacks;
//! [`Relocked`] extends the locks of what was there before; [`Limited`] keeps requests and bytes within what the whole
//! process may use, and names the [`Pace`] at which a backend sends bodies; [`Punctual`] ends what a statement has waited for long enough. [`layered`] stacks them up.

mod capabilities;
mod deadline;
mod error;
mod file;
mod head_first;
mod key;
mod layer;
mod limited;
mod metered;
mod pace;
mod passage;
mod relocked;
mod s3;
mod silence;
mod size_checked;
mod whole_puts;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::properties::ObjectLock;
pub use capabilities::{Capabilities, KnownCapabilities};
pub use deadline::{Deadline, Punctual, within};
pub use error::{Operation, Place, StoreError, StoreErrorKind, StoreResult};
pub use file::FileStore;
pub use head_first::HeadFirst;
pub use key::{InvalidKey, ObjectKey};
pub use layer::StoreLayer;
pub use limited::{Limited, MemoryPermit, TransferLimits};
pub use metered::{Metered, MeteredDelete, OperationCounts, StoreCounts, StoreStats};
pub use pace::{Pace, Turn};
pub use passage::{Passage, watched};
pub use relocked::Relocked;
pub(super) use s3::read_bundle;
pub use s3::{Patience, RequestLimits, S3Store};
pub use silence::Silence;
pub use size_checked::SizeChecked;
pub use whole_puts::WholePuts;

/// Bytes of one part of a large object, both ways. With a few parts in flight it bounds memory, and it is large
/// enough that a request's fixed cost does not matter.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;

/// Largest object that is put with one request: below it, the three requests of a multipart upload cost more than
/// they save.
pub const SINGLE_PUT_BYTES_MAX: u64 = 2 * PART_BYTES;

/// Most parts S3 takes in one upload.
pub const PARTS_MAX: u64 = 10_000;

/// Keys in one page of a listing: what S3 gives at most.
pub const LIST_PAGE_KEYS: usize = 1_000;

/// Pages without keys in a row that are still taken for a listing.
const EMPTY_PAGES_MAX: usize = 100;

/// Outcome of a create-only put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now and was not before.
    Created,
    /// Something was there already; it is unchanged and may differ from what was offered.
    Exists,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its size.
    pub bytes: u64,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Its key below the location. It comes from outside: parse it, never join it into a path.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was created, by the store's clock; 0 when the store does not say.
    pub modified_at_ms: i64,
}

/// One page of a listing. A directory lists in the order of the keys' bytes, as S3 does; other stores list a
/// directory before its siblings, so nobody may rely on an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The objects.
    pub entries: Vec<ListEntry>,
    /// What to ask the next page with; `None` after the last one.
    pub next: Option<PageToken>,
}

/// A store's own mark of how far a listing has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub(crate) String);

/// What holds the bytes of a repository. Keys are relative to its location.
#[async_trait]
pub trait ObjectStore: fmt::Debug + Send + Sync + 'static {
    /// Where requests go, for messages.
    fn place(&self) -> Place;

    /// Creates an object, or finds that one of that key exists and leaves it alone. When this returns, the object
    /// is durable in either case.
    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put>;

    /// Begins an object of `bytes` bytes that is put in parts of [`part_bytes`] each (the last may be shorter).
    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>>;

    /// Reads a whole object. One larger than `bytes_max` is an error before it is in memory.
    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes>;

    /// Reads exactly `bytes` bytes from `offset` on; fewer is an error.
    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes>;

    /// Looks whether an object is there.
    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>>;

    /// One page of the objects whose keys begin with `prefix` (empty, or ending in a slash): the first, or the one
    /// that the page before it names.
    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage>;

    /// The lock that objects get which are put here; `None` where none is asked for.
    fn object_lock(&self) -> Option<ObjectLock>;

    /// Sees to it that an object is locked as if it were put now. Does nothing where no lock is asked for.
    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()>;
}

/// An object that is being put in parts. Until [`MultipartUpload::complete`] says so it does not exist; dropping it
/// aborts it as well as a drop can.
#[async_trait]
pub trait MultipartUpload: fmt::Debug + Send + Sync {
    /// Puts part `index`, counted from 0. Parts may come in any order and at the same time; a part that failed may
    /// be put again.
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()>;

    /// Creates the object from its parts, or finds that one of that key exists and leaves it alone.
    async fn complete(self: Box<Self>) -> StoreResult<Put>;

    /// Gives up and frees what the parts hold.
    async fn abort(self: Box<Self>);
}

/// The right to delete, apart from everything else.
#[async_trait]
pub trait ObjectDelete: fmt::Debug + Send + Sync + 'static {
    /// Deletes an object; one that is not there is no error.
    async fn delete(&self, key: &ObjectKey) -> StoreResult<()>;
}

/// Size of each part but the last of an object of `bytes` bytes.
#[must_use]
pub fn part_bytes(bytes: u64) -> u64 {
    PART_BYTES.max(bytes.div_ceil(PARTS_MAX))
}

/// Offset and size of part `index` of an object of `bytes` bytes; `None` beyond its end.
#[must_use]
pub fn part_range(bytes: u64, index: u64) -> Option<(u64, u64)> {
    let part = part_bytes(bytes);
    let offset = part.checked_mul(index).filter(|offset| *offset < bytes)?;
    Some((offset, part.min(bytes - offset)))
}

/// Puts the wrapping layers around a backend, innermost first: requests are counted where they are made, what the
/// store lacks is made up for, what is there already is locked anew, a permit is waited for before anything else, and a
/// statement waits for all of that no longer than it may.
#[must_use]
pub fn layered(
    backend: Arc<dyn ObjectStore>,
    stats: &Arc<StoreStats>,
    limits: &Arc<TransferLimits>,
    known: &Arc<KnownCapabilities>,
) -> Arc<dyn ObjectStore> {
    let metered: Arc<dyn ObjectStore> = Arc::new(Metered::new(backend, Arc::clone(stats)));
    let checked: Arc<dyn ObjectStore> = Arc::new(SizeChecked::new(metered, Arc::clone(known)));
    let whole: Arc<dyn ObjectStore> = Arc::new(WholePuts::new(checked, Arc::clone(known)));
    let creating: Arc<dyn ObjectStore> = Arc::new(HeadFirst::new(whole, Arc::clone(known)));
    let relocked: Arc<dyn ObjectStore> = Arc::new(Relocked::new(creating, Arc::clone(known)));
    Arc::new(Punctual::new(Arc::new(Limited::new(relocked, Arc::clone(limits)))))
}

/// Calls `each` for every object under `prefix`, page by page. A store that goes round in circles, or lists more than
/// `keys_max` keys, is refused.
pub async fn for_each_listed<F>(store: &dyn ObjectStore, prefix: &str, keys_max: usize, mut each: F) -> StoreResult<()>
where
    F: FnMut(ListEntry) + Send,
{
    let refuse =
        |message: &str| StoreError::new(StoreErrorKind::Corrupt, Operation::List, &store.place(), prefix, message);
    let (mut page, mut keys, mut empty_pages) = (None, 0, 0);
    loop {
        let listed = store.list(prefix, page.as_ref()).await?;
        keys += listed.entries.len();
        empty_pages = if listed.entries.is_empty() { empty_pages + 1 } else { 0 };
        if keys > keys_max || empty_pages > EMPTY_PAGES_MAX {
            return Err(refuse("the listing does not end"));
        }
        listed.entries.into_iter().for_each(&mut each);
        match listed.next {
            None => return Ok(()),
            Some(next) if page.as_ref() == Some(&next) => return Err(refuse("the listing goes round in circles")),
            next => page = next,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
