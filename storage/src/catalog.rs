//! The catalog: every fact about databases, tables, tablets, segments, accounts, repositories and jobs, in one SQLite
//! file with real transactions.
//!
//! [`Catalog::write`] is the one way to change anything. A write is one transaction: it takes the only writer, bumps
//! the catalog version and commits with a sync, so that what it reports is on disk. [`Catalog::read`] sees one
//! consistent state, and never waits for a writer (write-ahead log). One file a noun below; rows are typed there.
//!
//! The catalog never touches a data file. Files that a transaction takes out of use are named in `garbage`, and
//! deleting them is the collector's business.

mod account;
mod database;
mod finding;
mod garbage;
mod job;
mod load;
mod migrations;
mod partition;
mod repository;
mod root;
mod rowset;
mod snapshot;
mod table;
mod upkeep;
mod variable;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

pub use account::{Grantee, PrivilegeRow, RoleRow, UserRow};
pub use database::DatabaseRow;
pub use finding::{FindingRow, Problem};
pub use garbage::{FileKind, GarbageRow};
pub use job::{JobKind, JobRow, NewJob};
pub use load::{LoadKind, LoadRow, LoadState};
pub use partition::{NewPartition, PartitionRow, ReplicaRow, TabletRow};
pub use repository::{NewRepository, RepositoryRow};
pub use root::StorageRootRow;
pub use rowset::{DeleteVectorMeta, RowsetRow, SegmentMeta, ZoneMap};
pub use snapshot::{PartitionState, TableState, TabletState};
pub use table::{BASE_INDEX_NAME, IndexRow, TableRow};
pub use upkeep::{Expired, TabletFile, TabletOwner};

use crate::clock::{Clock, Random};
use crate::error::Result;
use crate::failpoint::{DurableStep, durable};

/// How long a reader or a second process waits for SQLite's own locks before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reader connections kept open between reads; more are made under load and closed again.
const IDLE_READERS_MAX: usize = 8;

/// The catalog of one data directory.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    writer: Mutex<Connection>,
    idle_readers: Mutex<Vec<Connection>>,
    /// The version of the last committed write, so that caches can ask without a query.
    version: AtomicI64,
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
    /// Errors when the file is not a catalog, or was written by a newer version of the program.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Catalog> {
        let mut writer = Connection::open(path)?;
        prepare(&writer)?;
        // Checkpoints must not lose a commit either: FULL syncs the log at every commit.
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        migrations::migrate(&mut writer)?;
        let cluster_id = ensure_cluster_id(&writer, random.as_ref(), clock.as_ref())?;
        let version = meta_number(&writer, "catalog_version")?;
        Ok(Catalog {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            idle_readers: Mutex::new(Vec::new()),
            version: AtomicI64::new(version),
            cluster_id,
            clock,
            random,
        })
    }

    /// Runs `change` as one transaction. When it returns an error, nothing has changed.
    ///
    /// The commit is the commit point of every load, DDL and restore: when this returns `Ok`, the change is on disk.
    pub fn write<T>(&self, change: impl FnOnce(&WriteTransaction<'_>) -> Result<T>) -> Result<T> {
        let mut writer = self.writer.lock();
        let transaction = Transaction::new(&mut writer, TransactionBehavior::Immediate).map_err(crate::Error::from)?;
        let write =
            WriteTransaction { read: ReadTransaction { connection: &transaction, now_ms: self.clock.now_ms() } };
        let value = change(&write)?;
        let version: i64 = transaction
            .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'catalog_version' RETURNING value")?
            .query_row([], |row| row.get(0))?;
        durable(DurableStep::Commit, || transaction.commit())?; // Commit point.
        self.version.store(version, Ordering::Release);
        Ok(value)
    }

    /// Runs `look` on one consistent state.
    pub fn read<T>(&self, look: impl FnOnce(&ReadTransaction<'_>) -> Result<T>) -> Result<T> {
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

fn ensure_cluster_id(connection: &Connection, random: &dyn Random, clock: &dyn Clock) -> Result<String> {
    let known: Option<String> =
        connection.query_row("SELECT cluster_id FROM cluster", [], |row| row.get(0)).optional()?;
    if let Some(cluster_id) = known {
        return Ok(cluster_id);
    }
    let cluster_id = random.identifier();
    connection
        .execute("INSERT INTO cluster (cluster_id, created_at_ms) VALUES (?1, ?2)", (&cluster_id, clock.now_ms()))?;
    Ok(cluster_id)
}
