//! Files no row names any more, and files a job still needs.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

use super::{ReadTransaction, WriteTransaction};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{JobId, PartitionId, StorageRootId, TabletId};

/// What a file of a tablet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A segment.
    Segment,
    /// A delete vector.
    DeleteVector,
}

/// One file that may be deleted once nobody reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GarbageRow {
    /// Its place in the list.
    pub id: i64,
    /// Where its tablet's replica lies or lay.
    pub root_id: StorageRootId,
    /// Its tablet, which may be gone from the catalog.
    pub tablet_id: TabletId,
    /// Its name.
    pub digest: Digest,
    /// What it is.
    pub kind: FileKind,
    /// Since when.
    pub since_ms: i64,
}

impl FileKind {
    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            FileKind::Segment => "parquet",
            FileKind::DeleteVector => "dv",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl ToSql for FileKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.extension().into())
    }
}

impl FromSql for FileKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "parquet" => Ok(FileKind::Segment),
            "dv" => Ok(FileKind::DeleteVector),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl ReadTransaction<'_> {
    /// Garbage that no job has pinned, oldest first, at most `limit` files, after the file `after`.
    pub fn unpinned_garbage(&self, after: i64, limit: usize) -> Result<Vec<GarbageRow>> {
        let mut statement = self.prepare_cached(
            "SELECT id, root_id, tablet_id, digest, kind, since_ms FROM garbage
             WHERE id > ?1 AND NOT EXISTS (
                 SELECT 1 FROM pins WHERE pins.tablet_id = garbage.tablet_id AND pins.digest = garbage.digest)
             ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map((after, limit as i64), |row| {
            Ok(GarbageRow {
                id: row.get(0)?,
                root_id: row.get(1)?,
                tablet_id: row.get(2)?,
                digest: row.get(3)?,
                kind: row.get(4)?,
                since_ms: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Files that are garbage, pinned or not.
    pub fn garbage_count(&self) -> Result<u64> {
        let count: i64 = self.query_row("SELECT count(*) FROM garbage", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Pins of all jobs.
    pub fn pin_count(&self) -> Result<u64> {
        let count: i64 = self.query_row("SELECT count(*) FROM pins", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Whether any row names this file of the tablet.
    pub fn is_file_live(&self, tablet: TabletId, digest: &Digest) -> Result<bool> {
        let live = self
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM rowsets JOIN segments ON segments.rowset_id = rowsets.id
                 WHERE rowsets.tablet_id = ?1 AND (segments.digest = ?2 OR segments.deletes_digest = ?2))",
            )?
            .query_row((tablet, digest), |row| row.get(0))?;
        Ok(live)
    }
}

impl WriteTransaction<'_> {
    /// Lists a file of every replica of a tablet for deletion, unless a row of the tablet still names it.
    pub(super) fn add_garbage(&self, tablet: TabletId, digest: &Digest, kind: FileKind) -> Result<()> {
        if self.is_file_live(tablet, digest)? {
            return Ok(());
        }
        self.prepare_cached(
            "INSERT INTO garbage (root_id, tablet_id, digest, kind, since_ms)
             SELECT root_id, tablet_id, ?2, ?3, ?4 FROM replicas WHERE tablet_id = ?1",
        )?
        .execute((tablet, digest, kind, self.now_ms()))?;
        Ok(())
    }

    /// Lists a file that was put into a tablet and then not needed, unless a row of the tablet names it.
    pub(crate) fn discard_file(&self, tablet: TabletId, digest: &Digest, kind: FileKind) -> Result<()> {
        self.reclaim_garbage(tablet, digest)?;
        self.add_garbage(tablet, digest, kind)
    }

    /// Takes a file off the list: a row names it again.
    pub(super) fn reclaim_garbage(&self, tablet: TabletId, digest: &Digest) -> Result<()> {
        self.prepare_cached("DELETE FROM garbage WHERE tablet_id = ?1 AND digest = ?2")?.execute((tablet, digest))?;
        Ok(())
    }

    /// Takes files off the list: they are deleted.
    pub fn forget_garbage(&self, rows: &[GarbageRow]) -> Result<()> {
        let mut delete = self.prepare_cached("DELETE FROM garbage WHERE id = ?1")?;
        for row in rows {
            delete.execute([row.id])?;
        }
        Ok(())
    }

    /// Keeps a file of a tablet from the collector until the job's pins are released.
    pub fn pin_file(&self, job: JobId, tablet: TabletId, digest: &Digest, kind: FileKind) -> Result<()> {
        self.prepare_cached("INSERT OR IGNORE INTO pins (job_id, tablet_id, digest, kind) VALUES (?1, ?2, ?3, ?4)")?
            .execute((job, tablet, digest, kind))?;
        Ok(())
    }

    /// Keeps every file of a partition, in two statements however many there are. Returns how many are kept.
    pub fn pin_partition(&self, job: JobId, partition: PartitionId) -> Result<u64> {
        let segments = self
            .prepare_cached(
                "INSERT OR IGNORE INTO pins (job_id, tablet_id, digest, kind)
                 SELECT ?1, tablets.id, segments.digest, ?3 FROM tablets
                 JOIN rowsets ON rowsets.tablet_id = tablets.id
                 JOIN segments ON segments.rowset_id = rowsets.id
                 WHERE tablets.partition_id = ?2",
            )?
            .execute((job, partition, FileKind::Segment))?;
        let deletes = self
            .prepare_cached(
                "INSERT OR IGNORE INTO pins (job_id, tablet_id, digest, kind)
                 SELECT ?1, tablets.id, segments.deletes_digest, ?3 FROM tablets
                 JOIN rowsets ON rowsets.tablet_id = tablets.id
                 JOIN segments ON segments.rowset_id = rowsets.id
                 WHERE tablets.partition_id = ?2 AND segments.deletes_digest IS NOT NULL",
            )?
            .execute((job, partition, FileKind::DeleteVector))?;
        Ok(segments as u64 + deletes as u64)
    }

    /// Lists every file that a job has pinned for deletion: for a job that put those files there itself, and that ends
    /// without a rowset naming them. Call it while the replicas are still in the catalog.
    pub fn discard_pinned(&self, job: JobId) -> Result<()> {
        self.prepare_cached(
            "INSERT INTO garbage (root_id, tablet_id, digest, kind, since_ms)
             SELECT replicas.root_id, pins.tablet_id, pins.digest, pins.kind, ?2
             FROM pins JOIN replicas ON replicas.tablet_id = pins.tablet_id WHERE pins.job_id = ?1",
        )?
        .execute((job, self.now_ms()))?;
        Ok(())
    }

    /// Releases every pin of a job.
    pub fn release_pins(&self, job: JobId) -> Result<()> {
        self.prepare_cached("DELETE FROM pins WHERE job_id = ?1")?.execute([job])?;
        Ok(())
    }
}
