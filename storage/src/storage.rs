//! One data directory, opened: the catalog, the storage roots and everything that works on them.
//!
//! [`Storage::open`] takes the directory's lock, opens the catalog and the roots, aborts the loads that were running
//! when the last process ended, and empties staging. After that the state is what the catalog says, whatever happened
//! before. Jobs are resumed by the job runner, which is given the storage.

mod auto_increment;
mod config;
mod pins;
mod snapshots;
pub(crate) mod turns;
mod unfinished;

use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock, Weak};

use rustix::fs::FlockOperation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use config::{
    COMPACTION_DELETED_PERCENT, COMPACTION_FAN_IN, DELETE_VECTOR_CACHE_BYTES_MAX, GARBAGE_INTERVAL, LABEL_KEEP,
    MEMTABLE_BYTES_MAX, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX, SEGMENT_BYTES_TARGET, StorageConfig, TRASH_EXPIRE,
};
pub use pins::{InstallGuard, Pins};
use turns::PublishTurns;

use crate::background::Background;
use crate::catalog::Catalog;
use crate::clock::{Clock, Random};
use crate::compaction::Compactor;
use crate::error::{Error, IoContext, Result};
use crate::gc::Collector;
use crate::load::MemtableBudget;
use crate::repair::Rescue;
use crate::roots::{StorageRoots, keep_private_dir};
use crate::tablet::TabletFiles;
use auto_increment::AutoIncrementRanges;
use snapshots::SnapshotCache;
use unfinished::Unfinished;

/// One data directory, opened.
#[derive(Debug)]
pub struct Storage {
    config: StorageConfig,
    catalog: Arc<Catalog>,
    roots: Arc<StorageRoots>,
    files: Arc<TabletFiles>,
    pins: Pins,
    publish_turns: PublishTurns,
    snapshots: SnapshotCache,
    collector: Collector,
    compactor: Compactor,
    background: Background,
    rescue: OnceLock<Weak<dyn Rescue>>,
    memtables: MemtableBudget,
    auto_increment: AutoIncrementRanges,
    unfinished: Unfinished,
    /// One permit for each tablet that is sorted and encoded at a time.
    encoders: Arc<Semaphore>,
    /// Locked until the process ends or the storage is dropped.
    _lock: File,
}

impl Storage {
    /// Opens a data directory, making it when it is not there. Errors when another server uses it.
    pub fn open(config: StorageConfig, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Arc<Storage>> {
        keep_private_dir(&config.data_dir)?;
        let lock = take_lock(&config)?;
        let catalog = Arc::new(Catalog::open(&config.catalog_path(), clock, random)?);
        let roots = Arc::new(StorageRoots::open(&catalog, &config.data_dir, &config.root_paths())?);
        let aborted = catalog.write(|write| write.abort_orphaned_loads())?;
        let swept = roots.sweep_staging()?;
        tracing::info!(
            data_dir = %config.data_dir.display(),
            roots = roots.configured().len(),
            aborted_loads = aborted,
            swept_staging = swept,
            "storage is open"
        );
        let files = TabletFiles::new(Arc::clone(&roots), Arc::clone(&catalog), config.delete_vector_cache_bytes_max);
        let memtables = MemtableBudget::new(config.memtable_bytes_max);
        let encoders = Arc::new(Semaphore::new(config.encode_threads.max(1)));
        Ok(Arc::new(Storage {
            config,
            catalog,
            roots,
            files: Arc::new(files),
            pins: Pins::default(),
            publish_turns: PublishTurns::default(),
            snapshots: SnapshotCache::default(),
            collector: Collector::default(),
            compactor: Compactor::default(),
            background: Background::default(),
            rescue: OnceLock::new(),
            memtables,
            auto_increment: AutoIncrementRanges::default(),
            unfinished: Unfinished::default(),
            encoders,
            _lock: lock,
        }))
    }

    /// What the directory was opened with.
    pub fn config(&self) -> &StorageConfig {
        &self.config
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The storage roots.
    pub fn roots(&self) -> &Arc<StorageRoots> {
        &self.roots
    }

    /// Where the bytes of tablets are.
    pub fn files(&self) -> &Arc<TabletFiles> {
        &self.files
    }

    /// Who may show rows of a table.
    pub(crate) fn publish_turns(&self) -> &PublishTurns {
        &self.publish_turns
    }

    /// What keeps files from the collector.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.catalog.clock()
    }

    /// What the collector remembers.
    pub(crate) fn collector(&self) -> &Collector {
        &self.collector
    }

    /// What decides which tablet is compacted next.
    pub(crate) fn compactor(&self) -> &Compactor {
        &self.compactor
    }

    /// The background work of this storage.
    pub(crate) fn background(&self) -> &Background {
        &self.background
    }

    /// What is to be cleared away as soon as the disk lets it.
    pub(crate) fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    /// Where files come from that no replica has.
    pub(crate) fn rescue(&self) -> &OnceLock<Weak<dyn Rescue>> {
        &self.rescue
    }

    pub(crate) fn memtables(&self) -> &MemtableBudget {
        &self.memtables
    }

    /// Waits for a turn to sort and encode.
    pub(crate) async fn encoder(&self) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.encoders).acquire_owned().await;
        turn.map_err(|_| Error::Internal("the encoders are gone".to_owned()))
    }

    /// Stops background work and waits until it has ended. Loads that are running are theirs to end.
    pub async fn shutdown(&self) {
        self.background.stop().await;
        self.catalog.empty_log();
    }
}

/// Runs blocking work on the runtime's threads for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result,
        Err(error) => Err(Error::Internal(format!("a storage task ended early: {error}"))),
    }
}

/// Takes the lock of a data directory, for as long as the file is open.
pub(crate) fn take_lock(config: &StorageConfig) -> Result<File> {
    let path = config.lock_path();
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Who holds it is a courtesy: the text stands without.
            let _ = (&file).take(20).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => String::new(),
                pid => format!(" (process {pid})"),
            };
            return Err(Error::Conflict(format!(
                "data directory {} is in use by another server{holder}: stop it, or choose another data directory",
                config.data_dir.display()
            )));
        }
        Err(error) => return Err(std::io::Error::from(error)).at("lock", &path),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).at("write", &path)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
