//! The catalog: every fact about databases, tables, tablets, segments, accounts, repositories and jobs, in one SQLite
//! file with real transactions.
//!
//! [`Catalog::write`] is the one way to change anything. A write is one transaction: it takes the only writer, bumps
//! the catalog version and commits with a sync, so that what it reports is on disk. [`Catalog::read`] sees one
//! consistent state, and never waits for a writer (write-ahead log). One file a noun below; rows are typed there.
//!
//! Pages of SQLite carry no checksums, so the catalog keeps its own ([`checksum`]): a catalog in which a byte has changed
//! on the disk is refused when it is opened, and no longer answers when that is found later.
//!
//! The catalog never touches a data file. Files that a transaction takes out of use are named in `garbage`, and
//! deleting them is the collector's business.

mod account;
mod checksum;
mod damaged;
mod database;
mod finding;
mod garbage;
mod grant;
mod job;
mod known;
mod load;
mod migrations;
mod partition;
mod repository;
mod reservation;
mod root;
mod rowset;
mod snapshot;
mod table;
mod upkeep;
mod variable;
mod wal;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

pub use account::{Grantee, PrivilegeRow, RoleRow, UserRow};
pub use damaged::{DamagedObject, SnapshotDamage, SnapshotVerdict};
pub use database::DatabaseRow;
pub use finding::{FindingRow, Problem};
pub use garbage::{FileKind, GarbageRow};
pub use job::{JobKind, JobRow, NewJob};
pub use known::SnapshotName;
pub use load::{FailedLoad, LoadKind, LoadRow, LoadState};
pub use partition::{NewPartition, PartitionRow, Removal, ReplicaRow, TabletRow};
pub use repository::{NewRepository, RepositoryRow};
pub(crate) use reservation::HeldPartitions;
pub use reservation::Holder;
pub use root::StorageRootRow;
pub use rowset::{DeleteVectorMeta, RowsetRow, SegmentMeta, ZoneMap};
pub use snapshot::{PartitionState, TableState, TabletState};
pub use table::{BASE_INDEX_NAME, IndexRow, TableRow};
pub use upkeep::{Expired, TabletFile, TabletOwner};

use crate::clock::{Clock, Random};
use crate::disk;
use crate::error::{Error, IoContext, Result};
pub(crate) use checksum::CatalogCheck;
use checksum::Sums;

/// How long a reader or a second process waits for SQLite's own locks before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reader connections kept open between reads; more are made under load and closed again.
const IDLE_READERS_MAX: usize = 8;

/// Up to this size every index is compared with its table when the catalog is opened: about a second's work. Beyond it
/// only `ebla fsck` does.
const FULL_CHECK_BYTES_MAX: u64 = 256 << 20;

/// The catalog of one data directory.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    // Before the writer, as fields are dropped in this order: the last to close must be one that may empty the log.
    idle_readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
    /// The version of the last committed write, so that caches can ask without a query.
    version: AtomicI64,
    sums: Sums,
    /// What was found wrong with it while it was in use.
    damage: OnceLock<String>,
    cluster_id: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// One consistent state of the catalog.
#[derive(Debug)]
pub struct ReadTransaction<'a> {
    connection: &'a Connection,
    now_ms: i64,
}

/// One change of the catalog, all or nothing.
#[derive(Debug)]
pub struct WriteTransaction<'a> {
    read: ReadTransaction<'a>,
}

impl Catalog {
    /// Opens the catalog at `path`, making it when it is not there, and brings it to the newest schema.
    ///
    /// Errors when the file is not a catalog, has changed on the disk, or was written by a newer version of the program.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Catalog> {
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if bytes > 0 {
            let check = if bytes <= FULL_CHECK_BYTES_MAX { CatalogCheck::Full } else { CatalogCheck::Quick };
            if let Some(detail) = Catalog::find_damage(path, check)? {
                return Err(Error::CatalogDamaged { path: path.to_owned(), detail });
            }
        }
        let mut writer = Connection::open(path)?;
        prepare(&writer)?;
        // Checkpoints must not lose a commit either: FULL syncs the log at every commit.
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        migrations::migrate(&mut writer)?;
        let sums = Sums::attach(&writer)?;
        let cluster_id = ensure_cluster_id(&mut writer, &sums, random.as_ref(), clock.as_ref())?;
        let version = meta_number(&writer, "catalog_version")?;
        Ok(Catalog {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            idle_readers: Mutex::new(Vec::new()),
            version: AtomicI64::new(version),
            sums,
            damage: OnceLock::new(),
            cluster_id,
            clock,
            random,
        })
    }

    /// Reads every row and compares it with what was written. Once a difference is found, the catalog answers nothing
    /// any more. It blocks for as long as a read of the whole file takes.
    pub fn verify(&self) -> Result<()> {
        let found = self.read(|read| match checksum::verify(read.connection) {
            Err(Error::Catalog(error)) if is_damage(&error) => Ok(Some(error.to_string())),
            found => found,
        })?;
        let Some(detail) = found else { return Ok(()) };
        tracing::error!(path = %self.path.display(), detail, "the catalog has changed on the disk");
        let _ = self.damage.set(detail);
        self.refuse_if_damaged()
    }

    /// What is wrong with the catalog at `path`, which nobody has open; `None` when nothing is.
    pub(crate) fn find_damage(path: &Path, check: CatalogCheck) -> Result<Option<String>> {
        let log = log_path(path);
        if let Some(detail) = wal::check(&log).at("read", &log)? {
            return Ok(Some(detail));
        }
        let look = || -> Result<Option<String>> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            match checksum::check_structure(&connection, check)? {
                Some(detail) => Ok(Some(detail)),
                None => checksum::verify(&connection),
            }
        };
        match look() {
            Err(Error::Catalog(error)) if is_damage(&error) => Ok(Some(error.to_string())),
            looked => looked,
        }
    }

    /// Takes what a damaged catalog says for true: its checksums are made anew, if it can be read at all.
    pub(crate) fn accept_damage(path: &Path) -> Result<()> {
        checksum::accept(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
    }

    /// The storage roots that a damaged catalog names, as far as it can be read.
    pub(crate) fn roots_of_damaged(path: &Path) -> Vec<PathBuf> {
        let read = || -> Result<Vec<PathBuf>> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let read = ReadTransaction { connection: &connection, now_ms: 0 };
            Ok(read.storage_roots()?.into_iter().map(|root| root.path).collect())
        };
        read().unwrap_or_default()
    }

    /// Brings what is in the log into the file and empties it, so that an orderly stop leaves a catalog of one file whose
    /// every byte the next start checks. A log that stays is no fault.
    pub(crate) fn empty_log(&self) {
        let emptied = self.writer.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match emptied {
            Ok(0) => {}
            Ok(_) => tracing::debug!("the log of the catalog stays: somebody reads it"),
            Err(error) => tracing::warn!(%error, "the log of the catalog stays"),
        }
    }

    fn refuse_if_damaged(&self) -> Result<()> {
        match self.damage.get() {
            None => Ok(()),
            Some(detail) => Err(Error::CatalogDamaged { path: self.path.clone(), detail: detail.clone() }),
        }
    }

    /// Runs `change` as one transaction. When it returns an error, nothing has changed.
    ///
    /// The commit is the commit point of every load, DDL and restore: when this returns `Ok`, the change is on disk.
    pub fn write<T>(&self, change: impl FnOnce(&WriteTransaction<'_>) -> Result<T>) -> Result<T> {
        self.refuse_if_damaged()?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, change).map_err(|error| self.tell_disk("write", error))
    }

    fn write_with<T>(
        &self,
        writer: &mut Connection,
        change: impl FnOnce(&WriteTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.sums.begin();
        let transaction = Transaction::new(writer, TransactionBehavior::Immediate)?;
        let write =
            WriteTransaction { read: ReadTransaction { connection: &transaction, now_ms: self.clock.now_ms() } };
        let value = change(&write)?;
        let version: i64 = transaction
            .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'catalog_version' RETURNING value")?
            .query_row([], |row| row.get(0))?;
        self.sums.store(&transaction)?;
        let committed = disk::commit(transaction); // Commit point.
        committed.map_err(|error| self.take_back(writer, error))?;
        self.sums.commit();
        self.version.store(version, Ordering::Release);
        Ok(value)
    }

    /// A commit has failed, and SQLite has forgotten it, but its pages may stand in the write-ahead log: a process that
    /// is killed now would leave them to the next one, which would take them for a commit. So something that changes
    /// nothing is written over them. When that fails as well, the error says that the outcome is not known.
    fn take_back(&self, writer: &Connection, error: rusqlite::Error) -> Error {
        let write_over = || -> Result<i64> {
            // The sums of what was refused are forgotten with it.
            self.sums.begin();
            let transaction = writer.unchecked_transaction()?;
            // Not with RETURNING: the row would come before the commit.
            transaction.execute("UPDATE meta SET value = value + 1 WHERE key = 'catalog_version'", [])?;
            self.sums.store(&transaction)?;
            disk::commit(transaction)?;
            self.sums.commit();
            meta_number(writer, "catalog_version")
        };
        match write_over() {
            Ok(version) => {
                self.version.store(version, Ordering::Release);
                error.into()
            }
            Err(again) => {
                tracing::error!(%error, %again, "a commit has failed and cannot be taken back");
                match self.tell_disk("write", error.into()) {
                    Error::CatalogDisk { action, path, detail } => {
                        let unknown = "; whether the change is kept is only known after the next start";
                        Error::CatalogDisk { action, path, detail: detail + unknown }
                    }
                    other => other,
                }
            }
        }
    }

    /// Says of an error of the disk below the catalog where it was and what to do.
    fn tell_disk(&self, action: &'static str, error: Error) -> Error {
        let cause = match &error {
            Error::Catalog(rusqlite::Error::SqliteFailure(failure, _)) => match failure.code {
                ErrorCode::DiskFull => "No space left on device",
                ErrorCode::SystemIoFailure => "Input/output error",
                ErrorCode::CannotOpen => "it cannot be opened",
                ErrorCode::ReadOnly => "it cannot be written",
                _ => return error,
            },
            _ => return error,
        };
        let detail = format!("{cause} ({error}): check the disk and its free space, then try again");
        Error::CatalogDisk { action, path: self.path.clone(), detail }
    }

    /// Runs `look` on one consistent state.
    pub fn read<T>(&self, look: impl FnOnce(&ReadTransaction<'_>) -> Result<T>) -> Result<T> {
        self.refuse_if_damaged()?;
        self.read_with(look).map_err(|error| self.tell_disk("read", error))
    }

    fn read_with<T>(&self, look: impl FnOnce(&ReadTransaction<'_>) -> Result<T>) -> Result<T> {
        let connection = match self.idle_readers.lock().pop() {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let value = {
            let transaction = connection.unchecked_transaction()?;
            let read = ReadTransaction { connection: &transaction, now_ms: self.clock.now_ms() };
            look(&read)
        };
        let mut idle = self.idle_readers.lock();
        if idle.len() < IDLE_READERS_MAX {
            idle.push(connection);
        }
        value
    }

    /// The version of the last committed write. It rises with every write and never falls.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// The identity of this cluster: made at first start, written into every snapshot.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The clock this catalog stamps rows with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The randomness this catalog draws from.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }

    /// Where the catalog lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_reader(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    }
}

impl<'a> Deref for ReadTransaction<'a> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl ReadTransaction<'_> {
    /// The moment the transaction began, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The version of the state that is seen.
    pub fn version(&self) -> Result<i64> {
        meta_number(self.connection, "catalog_version")
    }
}

impl<'a> Deref for WriteTransaction<'a> {
    type Target = ReadTransaction<'a>;

    fn deref(&self) -> &ReadTransaction<'a> {
        &self.read
    }
}

impl WriteTransaction<'_> {
    /// A number never handed out before.
    pub fn next_id(&self) -> Result<i64> {
        let id = self
            .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'next_id' RETURNING value - 1")?
            .query_row([], |row| row.get(0))?;
        Ok(id)
    }
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

fn meta_number(connection: &Connection, key: &str) -> Result<i64> {
    let number =
        connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0))?;
    Ok(number)
}

fn ensure_cluster_id(
    connection: &mut Connection,
    sums: &Sums,
    random: &dyn Random,
    clock: &dyn Clock,
) -> Result<String> {
    let known: Option<String> =
        connection.query_row("SELECT cluster_id FROM cluster", [], |row| row.get(0)).optional()?;
    if let Some(cluster_id) = known {
        return Ok(cluster_id);
    }
    let cluster_id = random.identifier();
    sums.begin();
    let transaction = connection.transaction()?;
    transaction
        .execute("INSERT INTO cluster (cluster_id, created_at_ms) VALUES (?1, ?2)", (&cluster_id, clock.now_ms()))?;
    sums.store(&transaction)?;
    disk::commit(transaction)?;
    sums.commit();
    Ok(cluster_id)
}

/// Whether an error says that the file is not what it should be. What else can go wrong in reading everything, such as a
/// missing permission, is not that.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied};
    use rusqlite::ErrorCode::{ReadOnly, SystemIoFailure};
    !matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}

/// The write-ahead log beside a catalog.
fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

#[cfg(test)]
impl Drop for Catalog {
    /// Every test of this crate is one of the checksums as well.
    fn drop(&mut self) {
        if self.damage.get().is_none() && !std::thread::panicking() {
            let found = checksum::verify(&self.writer.lock());
            assert!(matches!(found, Ok(None)), "the checksums of the catalog are wrong: {found:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemRandom};
    use rusqlite::ffi;

    #[test]
    fn what_the_disk_refuses_names_the_file_and_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let catalog = Catalog::open(&path, ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
        let fails = |code| Error::Catalog(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for (code, cause) in
            [(ffi::SQLITE_FULL, "No space left on device"), (ffi::SQLITE_IOERR_FSYNC, "Input/output error")]
        {
            let error = catalog.write(|_| -> Result<()> { Err(fails(code)) }).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot write the catalog {}: {cause}", path.display())), "{error}");
        }
        let busy = catalog.read(|_| -> Result<()> { Err(fails(ffi::SQLITE_BUSY)) }).unwrap_err();
        assert!(matches!(busy, Error::Catalog(_)), "{busy}");
    }

    /// Goal: a commit that failed is written over. Method: a transaction that fails as SQLite's do, then the catalog's
    /// version, which tells that something was written.
    #[test]
    fn a_failed_commit_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&dir.path().join("catalog.db"), ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
        let before = catalog.version();
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None);
        catalog.take_back(&catalog.writer.lock(), error);
        assert_eq!(catalog.version(), before + 1);
        assert_eq!(catalog.read(|read| read.version()).unwrap(), before + 1);
    }
}
