//! Rowsets, their segments and the delete vectors over them.

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::{FileKind, ReadTransaction, WriteTransaction};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{RowsetId, TabletId};
use crate::schema::{ColumnId, Value};

/// The least and the greatest value of one column in one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneMap {
    /// The column.
    pub column: ColumnId,
    /// A value no row is below; NULL when every row is NULL. Long texts are cut, so it need not occur.
    pub min: Value,
    /// A value no row is above; NULL when every row is NULL. Long texts are cut and raised, so it need not occur.
    pub max: Value,
    /// Rows that are NULL.
    pub nulls: u64,
}

/// One segment: an immutable Parquet file, named by the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// Its name and checksum.
    pub digest: Digest,
    /// Rows in the file, deleted ones included.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Zone maps of the scalar columns.
    pub zone_maps: Vec<ZoneMap>,
    /// Which of its rows are deleted, when any is.
    pub deletes: Option<DeleteVectorMeta>,
}

/// The rows of one segment that are deleted: an immutable file, named by the digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteVectorMeta {
    /// Its name and checksum.
    pub digest: Digest,
    /// Size of the file.
    pub bytes: u64,
    /// Rows it deletes.
    pub rows: u64,
}

/// One rowset: the result of one load or compaction in one tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsetRow {
    /// Its identity.
    pub id: RowsetId,
    /// Its tablet.
    pub tablet_id: TabletId,
    /// The partition version that published it.
    pub version: i64,
    /// When.
    pub created_at_ms: i64,
    /// Its segments, in order.
    pub segments: Vec<SegmentMeta>,
}

impl SegmentMeta {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows - self.deletes.map_or(0, |deletes| deletes.rows.min(self.rows))
    }

    /// Size of the segment and of its delete vector.
    pub fn total_bytes(&self) -> u64 {
        self.bytes + self.deletes.map_or(0, |deletes| deletes.bytes)
    }
}

/// Reads the columns `digest, rows, bytes, zone_maps, deletes_digest, deletes_bytes, deletes_rows` from `first` on.
pub(super) fn segment_from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Result<SegmentMeta>> {
    let zone_maps: String = row.get(first + 3)?;
    let zone_maps = match serde_json::from_str(&zone_maps) {
        Ok(zone_maps) => zone_maps,
        Err(error) => return Ok(Err(error.into())),
    };
    let number = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let deletes = match row.get::<_, Option<Digest>>(first + 4)? {
        None => None,
        Some(digest) => Some(DeleteVectorMeta { digest, bytes: number(first + 5)?, rows: number(first + 6)? }),
    };
    Ok(Ok(SegmentMeta {
        digest: row.get(first)?,
        rows: number(first + 1)?,
        bytes: number(first + 2)?,
        zone_maps,
        deletes,
    }))
}

impl ReadTransaction<'_> {
    /// The rowsets of a tablet in the order they were published.
    pub fn rowsets(&self, tablet: TabletId) -> Result<Vec<RowsetRow>> {
        let mut statement = self.prepare_cached(
            "SELECT id, tablet_id, version, created_at_ms FROM rowsets WHERE tablet_id = ?1 ORDER BY version, id",
        )?;
        let rows = statement.query_map([tablet], |row| {
            Ok(RowsetRow {
                id: row.get(0)?,
                tablet_id: row.get(1)?,
                version: row.get(2)?,
                created_at_ms: row.get(3)?,
                segments: Vec::new(),
            })
        })?;
        let mut rowsets: Vec<RowsetRow> = rows.collect::<rusqlite::Result<_>>()?;
        for rowset in &mut rowsets {
            rowset.segments = self.segments(rowset.id)?;
        }
        Ok(rowsets)
    }

    /// The segments of a rowset, in order.
    pub fn segments(&self, rowset: RowsetId) -> Result<Vec<SegmentMeta>> {
        let mut statement = self.prepare_cached(
            "SELECT digest, rows, bytes, zone_maps, deletes_digest, deletes_bytes, deletes_rows
             FROM segments WHERE rowset_id = ?1 ORDER BY ordinal",
        )?;
        let rows = statement.query_map([rowset], |row| segment_from_row(row, 0))?;
        rows.map(|row| row?).collect()
    }

    /// Tablets that hold the segment or delete vector of this digest, so that a restore can link instead of fetch.
    pub fn tablets_with_digest(&self, digest: &Digest) -> Result<Vec<TabletId>> {
        let mut statement = self.prepare_cached(
            "SELECT DISTINCT rowsets.tablet_id FROM segments JOIN rowsets ON rowsets.id = segments.rowset_id
             WHERE segments.digest = ?1",
        )?;
        let rows = statement.query_map([digest], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Tablets that hold a file. Delete vectors are looked for one by one: ask for few.
    pub fn tablets_with_file(&self, kind: FileKind, digest: &Digest) -> Result<Vec<TabletId>> {
        match kind {
            FileKind::Segment => self.tablets_with_digest(digest),
            FileKind::DeleteVector => {
                let mut statement = self.prepare_cached(
                    "SELECT DISTINCT rowsets.tablet_id FROM segments JOIN rowsets ON rowsets.id = segments.rowset_id
                     WHERE segments.deletes_digest = ?1",
                )?;
                let rows = statement.query_map([digest], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            }
        }
    }
}

impl WriteTransaction<'_> {
    /// Adds a rowset to a tablet at a partition version.
    pub fn create_rowset(&self, tablet: TabletId, version: i64, segments: &[SegmentMeta]) -> Result<RowsetId> {
        let id = RowsetId(self.next_id()?);
        self.prepare_cached("INSERT INTO rowsets (id, tablet_id, version, created_at_ms) VALUES (?1, ?2, ?3, ?4)")?
            .execute((id, tablet, version, self.now_ms()))?;
        let mut insert = self.prepare_cached(
            "INSERT INTO segments (rowset_id, ordinal, digest, rows, bytes, zone_maps,
                                   deletes_digest, deletes_bytes, deletes_rows)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for (ordinal, segment) in segments.iter().enumerate() {
            insert.execute((
                id,
                ordinal as i64,
                segment.digest,
                segment.rows as i64,
                segment.bytes as i64,
                serde_json::to_string(&segment.zone_maps)?,
                segment.deletes.map(|deletes| deletes.digest),
                segment.deletes.map(|deletes| deletes.bytes as i64),
                segment.deletes.map(|deletes| deletes.rows as i64),
            ))?;
            // The bytes may have lain here before, as garbage that is not yet collected.
            self.reclaim_garbage(tablet, &segment.digest)?;
            if let Some(deletes) = &segment.deletes {
                self.reclaim_garbage(tablet, &deletes.digest)?;
            }
        }
        Ok(id)
    }

    /// Takes a rowset out of a tablet; its files become garbage unless another rowset of the tablet names them.
    pub fn delete_rowset(&self, rowset: &RowsetRow) -> Result<()> {
        self.prepare_cached("DELETE FROM rowsets WHERE id = ?1")?.execute([rowset.id])?;
        for segment in &rowset.segments {
            self.add_garbage(rowset.tablet_id, &segment.digest, FileKind::Segment)?;
            if let Some(deletes) = &segment.deletes {
                self.add_garbage(rowset.tablet_id, &deletes.digest, FileKind::DeleteVector)?;
            }
        }
        Ok(())
    }

    /// Takes every rowset out of a tablet.
    pub fn clear_tablet(&self, tablet: TabletId) -> Result<()> {
        for rowset in self.rowsets(tablet)? {
            self.delete_rowset(&rowset)?;
        }
        Ok(())
    }

    /// Takes one segment out of a rowset, and the rowset out of the tablet when it was the last; the files become
    /// garbage. Returns false when the rowset no longer holds the segment with this delete vector: another change was
    /// faster.
    pub fn remove_segment(&self, tablet: TabletId, rowset: RowsetId, segment: &SegmentMeta) -> Result<bool> {
        let deleted = self
            .prepare_cached("DELETE FROM segments WHERE rowset_id = ?1 AND digest = ?2 AND deletes_digest IS ?3")?
            .execute((rowset, segment.digest, segment.deletes.map(|deletes| deletes.digest)))?;
        if deleted == 0 {
            return Ok(false);
        }
        self.prepare_cached(
            "DELETE FROM rowsets WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM segments WHERE rowset_id = ?1)",
        )?
        .execute([rowset])?;
        self.add_garbage(tablet, &segment.digest, FileKind::Segment)?;
        if let Some(deletes) = &segment.deletes {
            self.add_garbage(tablet, &deletes.digest, FileKind::DeleteVector)?;
        }
        Ok(true)
    }

    /// Replaces the delete vector of one segment; the one before becomes garbage. Returns false when the rowset no
    /// longer holds the segment with the delete vector `before`: another change was faster.
    pub fn replace_deletes(
        &self,
        tablet: TabletId,
        rowset: RowsetId,
        segment: &Digest,
        before: Option<&DeleteVectorMeta>,
        after: &DeleteVectorMeta,
    ) -> Result<bool> {
        let changed = self
            .prepare_cached(
                "UPDATE segments SET deletes_digest = ?4, deletes_bytes = ?5, deletes_rows = ?6
                 WHERE rowset_id = ?1 AND digest = ?2 AND deletes_digest IS ?3",
            )?
            .execute((
                rowset,
                segment,
                before.map(|before| before.digest),
                after.digest,
                after.bytes as i64,
                after.rows as i64,
            ))?;
        if changed == 0 {
            return Ok(false);
        }
        self.reclaim_garbage(tablet, &after.digest)?;
        if let Some(before) = before {
            self.add_garbage(tablet, &before.digest, FileKind::DeleteVector)?;
        }
        Ok(true)
    }
}
