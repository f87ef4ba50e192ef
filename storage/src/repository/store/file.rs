//! A directory as an object store, as durable as the file system below it.
//!
//! Creating an object: write a temporary file under `.ebla-staging`, fsync it, make its directory durable, link it
//! to its name (which fails when the name is taken), fsync that directory, unlink the temporary name. At no moment
//! is there a file under an object's name that is not whole and synced, and nothing is ever overwritten.
//!
//! Keys cannot leave the root: they are checked ([`ObjectKey`]), a symbolic link or a device in the place of an
//! object is refused, listings do not follow links. What a crash leaves in `.ebla-staging` is swept after a day.
//! Every call blocks, so every call runs on tokio's blocking threads.

mod create;
mod list;

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    ListPage, MultipartUpload, ObjectDelete, ObjectKey, ObjectLock, ObjectMeta, ObjectStore, Operation, Pace,
    PageToken, Passage, Place, Put, StoreError, StoreErrorKind, StoreResult,
};
use crate::clock::Random;
use crate::disk;
use crate::repository::location::FileLocation;

/// Bytes that are written at a time while there is a limit to the bandwidth.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// A directory that holds objects.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: Arc<Root>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    place: Place,
    random: Arc<dyn Random>,
    /// Directories this process has made durable, so that each costs its fsyncs once.
    durable: Mutex<HashSet<PathBuf>>,
}

impl FileStore {
    /// A store in this directory, which need not exist before the first object is put.
    #[must_use]
    pub fn new(location: &FileLocation, random: Arc<dyn Random>) -> Self {
        let path = location.path().to_owned();
        let place = Place { endpoint: String::new(), bucket: path.display().to_string(), prefix: String::new() };
        Self { root: Arc::new(Root { path, place, random, durable: Mutex::default() }) }
    }

    /// Runs a blocking operation and gives its error the operation's name.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        work: impl FnOnce(&Root) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        let root = Arc::clone(&self.root);
        match tokio::task::spawn_blocking(move || work(&root)).await {
            Ok(result) => result.map_err(|fault| self.root.error(operation, key, fault)),
            Err(_) => {
                let died = Fault::Store(StoreErrorKind::Unavailable, "the task that did it died".to_owned());
                Err(self.root.error(operation, key, died))
            }
        }
    }

    /// Writes a body into a temporary file: at once, or piece by piece at the pace that the bandwidth allows.
    async fn write(
        &self,
        operation: Operation,
        key: &ObjectKey,
        staged: &Arc<create::Staged>,
        mut body: Bytes,
        mut offset: u64,
    ) -> StoreResult<()> {
        let (passage, pace) = (Passage::current(), Pace::current());
        if let Some(passage) = &passage {
            passage.begin();
        }
        while !body.is_empty() {
            let whole = body.len();
            let bytes = pace.as_ref().map_or(whole, |pace| pace.piece_bytes(PIECE_BYTES_MAX).min(whole));
            if let Some(pace) = &pace {
                pace.turn(bytes).await;
            }
            let (staged, piece) = (Arc::clone(staged), body.split_to(bytes));
            let write = move |_: &Root| Ok(staged.file().write_all_at(&piece, offset)?);
            self.run(operation, key.as_str(), write).await?;
            offset += bytes as u64;
            if let Some(passage) = &passage {
                passage.pass(bytes as u64);
            }
        }
        Ok(())
    }
}

/// Why a file operation failed.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Store(StoreErrorKind, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl Fault {
    fn corrupt(message: impl Into<String>) -> Self {
        Fault::Store(StoreErrorKind::Corrupt, message.into())
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    fn place(&self) -> Place {
        self.root.place.clone()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        let path = self.root.path_of(key);
        let begin = {
            let path = path.clone();
            self.run(Operation::Put, key.as_str(), move |root| {
                Ok(if path.exists() { Err(root.found(&path)?) } else { Ok(root.stage()?) })
            })
        };
        let staged = match begin.await? {
            Ok(staged) => Arc::new(staged),
            Err(found) => return Ok(found),
        };
        self.write(Operation::Put, key, &staged, body, 0).await?;
        self.run(Operation::Put, key.as_str(), move |root| root.publish(Arc::into_inner(staged), &path)).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let staged = self.run(Operation::StartMultipart, key.as_str(), |root| Ok(root.stage()?)).await?;
        let parts = Mutex::default();
        Ok(Box::new(FileUpload { store: self.clone(), key: key.clone(), bytes, staged: Arc::new(staged), parts }))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        let path = self.root.path_of(key);
        self.run(Operation::Get, key.as_str(), move |_| {
            let (file, bytes) = open_object(&path)?;
            if bytes > bytes_max {
                return Err(Fault::corrupt(format!("it has {bytes} bytes, more than the {bytes_max} it may have")));
            }
            read_exactly(&file, 0, bytes)
        })
        .await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let path = self.root.path_of(key);
        self.run(Operation::GetRange, key.as_str(), move |_| {
            let (file, found) = open_object(&path)?;
            if offset.checked_add(bytes).is_none_or(|end| end > found) {
                return Err(Fault::corrupt(format!("it ends after {found} bytes, before byte {offset} + {bytes}")));
            }
            read_exactly(&file, offset, bytes)
        })
        .await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        let path = self.root.path_of(key);
        self.run(Operation::Head, key.as_str(), move |_| match open_object(&path) {
            Ok((_, bytes)) => Ok(Some(ObjectMeta { bytes })),
            Err(Fault::Io(error)) if is_absent(&error) => Ok(None),
            Err(fault) => Err(fault),
        })
        .await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        let (wanted, after) = (prefix.to_owned(), page.map(|page| page.0.clone()));
        self.run(Operation::List, prefix, move |root| list::page(&root.path, &wanted, after.as_deref())).await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        None
    }

    async fn renew_lock(&self, _key: &ObjectKey) -> StoreResult<()> {
        Ok(())
    }
}

#[async_trait]
impl ObjectDelete for FileStore {
    async fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let path = self.root.path_of(key);
        self.run(Operation::Delete, key.as_str(), move |_| {
            match disk::remove_file(&path) {
                Ok(()) => {}
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            // Directories stay: another writer may be about to link into them.
            if let Some(directory) = path.parent() {
                disk::sync_directory(directory)?;
            }
            Ok(())
        })
        .await
    }
}

/// An object that is being written in parts, in its temporary file.
#[derive(Debug)]
struct FileUpload {
    store: FileStore,
    key: ObjectKey,
    bytes: u64,
    staged: Arc<create::Staged>,
    /// Parts that are written.
    parts: Mutex<BTreeSet<u64>>,
}

#[async_trait]
impl MultipartUpload for FileUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        let offset = match super::part_range(self.bytes, index) {
            Some((offset, bytes)) if bytes == body.len() as u64 => offset,
            _ => {
                let wrong = Fault::Store(StoreErrorKind::Invalid, format!("part {index} has the wrong size"));
                return Err(self.store.root.error(Operation::PutPart, self.key.as_str(), wrong));
            }
        };
        self.store.write(Operation::PutPart, &self.key, &self.staged, body, offset).await?;
        self.parts.lock().insert(index);
        Ok(())
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let Self { store, key, bytes, staged, parts } = *self;
        let path = store.root.path_of(&key);
        let (parts, expected) = (parts.into_inner().len() as u64, bytes.div_ceil(super::part_bytes(bytes)));
        store
            .run(Operation::CompleteMultipart, key.as_str(), move |root| {
                if parts != expected {
                    return Err(Fault::Store(StoreErrorKind::Invalid, format!("{parts} of {expected} parts were put")));
                }
                root.publish(Arc::into_inner(staged), &path)
            })
            .await
    }

    async fn abort(self: Box<Self>) {
        // Dropping the last handle unlinks the temporary file.
    }
}

impl Root {
    fn path_of(&self, key: &ObjectKey) -> PathBuf {
        // The key's segments are checked, so this stays below the root.
        self.path.join(key.as_str())
    }

    fn error(&self, operation: Operation, key: &str, fault: Fault) -> StoreError {
        let (kind, message) = match fault {
            Fault::Store(kind, message) => (kind, message),
            Fault::Io(error) => (kind_of(&error), error.to_string()),
        };
        let error = StoreError::new(kind, operation, &self.place, key, message);
        match kind {
            StoreErrorKind::PermissionDenied => {
                let right = match operation {
                    Operation::Get | Operation::GetRange | Operation::Head | Operation::List => "read",
                    _ => "write to",
                };
                error.with_advice(format!("let the server's user {right} this directory"))
            }
            StoreErrorKind::Unavailable => error.with_advice("check the disk or mount and its free space"),
            _ => error,
        }
    }
}

fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        ErrorKind::NotFound => StoreErrorKind::NotFound,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreErrorKind::PermissionDenied,
        ErrorKind::AlreadyExists => StoreErrorKind::AlreadyExists,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidInput | ErrorKind::Unsupported => {
            StoreErrorKind::Invalid
        }
        // A full disk, a lost mount, an I/O error: somebody may mend it while the job waits.
        _ => StoreErrorKind::Unavailable,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Opens what must be a plain file: a link is not followed, a pipe does not block.
fn open_object(path: &Path) -> Result<(File, u64), Fault> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            Fault::corrupt("a symbolic link stands in its place")
        } else {
            Fault::Io(error)
        }
    })?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Fault::corrupt("something that is no file stands in its place"));
    }
    Ok((file, meta.len()))
}

fn read_exactly(file: &File, offset: u64, bytes: u64) -> Result<Bytes, Fault> {
    let length = usize::try_from(bytes).map_err(|_| Fault::corrupt("it is too large for this machine"))?;
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, offset)?;
    Ok(Bytes::from(body))
}
