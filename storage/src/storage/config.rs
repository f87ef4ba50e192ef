//! What a data directory is opened with: where things lie and every limit by name.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Size a segment is cut at. Large enough that a table of some hundred million rows has few files, small enough that
/// one file is a sensible unit to upload, to lose and to rewrite.
pub const SEGMENT_BYTES_TARGET: u64 = 192 << 20;

/// Most rows of one row group: what a reader can skip or hand to one thread.
pub const ROW_GROUP_ROWS_MAX: usize = 1 << 20;

/// Most encoded bytes of one row group, which a writer holds in memory until it is complete.
pub const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// Bytes of rows that all loads of the process together keep in memory before they spill to staging.
pub const MEMTABLE_BYTES_MAX: u64 = 768 << 20;

/// How long a dropped database, table or partition can be recovered.
pub const TRASH_EXPIRE: Duration = Duration::from_secs(86_400);

/// How long the label of a finished load stays taken.
pub const LABEL_KEEP: Duration = Duration::from_secs(3 * 86_400);

/// How often the collector runs by itself.
pub const GARBAGE_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes of delete vectors kept decoded.
pub const DELETE_VECTOR_CACHE_BYTES_MAX: usize = 64 << 20;

/// Segments of one size tier of a tablet that start a compaction. With tiers this many times apart, a row is rewritten
/// about once a tier.
pub const COMPACTION_FAN_IN: usize = 8;

/// Percent of a segment's rows that must be deleted before it is rewritten for that alone.
pub const COMPACTION_DELETED_PERCENT: u64 = 30;

/// What a data directory is opened with.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Holds the catalog and the lock.
    pub data_dir: PathBuf,
    /// Directories that hold tablets, one a disk; `<data-dir>/storage` when empty.
    pub roots: Vec<PathBuf>,
    /// See [`SEGMENT_BYTES_TARGET`].
    pub segment_bytes_target: u64,
    /// See [`ROW_GROUP_ROWS_MAX`].
    pub row_group_rows_max: usize,
    /// See [`ROW_GROUP_BYTES_MAX`].
    pub row_group_bytes_max: usize,
    /// See [`MEMTABLE_BYTES_MAX`].
    pub memtable_bytes_max: u64,
    /// Tablets that are sorted and encoded at the same time, over all loads; as many as there are cores.
    pub encode_threads: usize,
    /// See [`TRASH_EXPIRE`].
    pub trash_expire: Duration,
    /// See [`LABEL_KEEP`].
    pub label_keep: Duration,
    /// See [`GARBAGE_INTERVAL`].
    pub garbage_interval: Duration,
    /// See [`DELETE_VECTOR_CACHE_BYTES_MAX`].
    pub delete_vector_cache_bytes_max: usize,
    /// See [`COMPACTION_FAN_IN`].
    pub compaction_fan_in: usize,
    /// See [`COMPACTION_DELETED_PERCENT`].
    pub compaction_deleted_percent: u64,
}

impl StorageConfig {
    /// The defaults for this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        StorageConfig {
            data_dir: data_dir.into(),
            roots: Vec::new(),
            segment_bytes_target: SEGMENT_BYTES_TARGET,
            row_group_rows_max: ROW_GROUP_ROWS_MAX,
            row_group_bytes_max: ROW_GROUP_BYTES_MAX,
            memtable_bytes_max: MEMTABLE_BYTES_MAX,
            encode_threads: std::thread::available_parallelism().map_or(2, usize::from),
            trash_expire: TRASH_EXPIRE,
            label_keep: LABEL_KEEP,
            garbage_interval: GARBAGE_INTERVAL,
            delete_vector_cache_bytes_max: DELETE_VECTOR_CACHE_BYTES_MAX,
            compaction_fan_in: COMPACTION_FAN_IN,
            compaction_deleted_percent: COMPACTION_DELETED_PERCENT,
        }
    }

    /// Where the catalog lies.
    pub fn catalog_path(&self) -> PathBuf {
        self.data_dir.join("catalog.db")
    }

    /// The file whose lock says that a server uses the directory.
    pub fn lock_path(&self) -> PathBuf {
        self.data_dir.join("LOCK")
    }

    /// The directories that hold tablets.
    pub fn root_paths(&self) -> Vec<PathBuf> {
        if self.roots.is_empty() { vec![default_root(&self.data_dir)] } else { self.roots.clone() }
    }
}

fn default_root(data_dir: &Path) -> PathBuf {
    data_dir.join("storage")
}
