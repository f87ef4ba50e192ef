//! What background work asks of the catalog: which tablets there are, which files are named at all, what has expired,
//! what has changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::OptionalExtension;

use super::{FileKind, PartitionRow, ReadTransaction, ReplicaRow, TableRow, TabletRow};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{RowsetId, TabletId};

/// A tablet with everything it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletOwner {
    /// Its table.
    pub table: TableRow,
    /// The name of the table's database.
    pub database: String,
    /// Its partition.
    pub partition: PartitionRow,
    /// The tablet.
    pub tablet: TabletRow,
    /// Whether nothing above it is dropped.
    pub live: bool,
    /// Whether a job is still making it or something above it.
    pub hidden: bool,
}

/// A file that a replica of a tablet must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TabletFile {
    /// Its name.
    pub digest: Digest,
    /// What it is.
    pub kind: FileKind,
    /// Its size.
    pub bytes: u64,
}

/// What has been dropped or has ended for so long that it is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Dropped databases, tables and partitions.
    pub dropped: bool,
    /// Ended loads.
    pub loads: bool,
}

impl ReadTransaction<'_> {
    /// Every tablet, of dropped and hidden partitions too.
    pub fn tablet_ids(&self) -> Result<HashSet<TabletId>> {
        let mut statement = self.prepare_cached("SELECT id FROM tablets")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A tablet with what it belongs to, whatever its state.
    pub fn tablet_owner(&self, id: TabletId) -> Result<Option<TabletOwner>> {
        let tablet = self
            .prepare_cached("SELECT id, partition_id, index_id, bucket FROM tablets WHERE id = ?1")?
            .query_row([id], |row| {
                Ok(TabletRow { id: row.get(0)?, partition_id: row.get(1)?, index_id: row.get(2)?, bucket: row.get(3)? })
            })
            .optional()?;
        let Some(tablet) = tablet else { return Ok(None) };
        let Some(partition) = self.partition_by_id(tablet.partition_id)? else { return Ok(None) };
        let Some(table) = self.table_by_id(partition.table_id)? else { return Ok(None) };
        let Some(database) = self.database_by_id(table.database_id)? else { return Ok(None) };
        let dropped = [partition.dropped_at_ms, table.dropped_at_ms, database.dropped_at_ms];
        let hidden = [partition.hidden_by, table.hidden_by, database.hidden_by];
        Ok(Some(TabletOwner {
            live: dropped.iter().all(Option::is_none),
            hidden: hidden.iter().any(Option::is_some),
            database: database.name,
            table,
            partition,
            tablet,
        }))
    }

    /// Every file that a row of the tablet names, each once.
    pub fn tablet_files(&self, tablet: TabletId) -> Result<BTreeSet<TabletFile>> {
        let mut statement = self.prepare_cached(
            "SELECT segments.digest, segments.bytes, segments.deletes_digest, segments.deletes_bytes
             FROM rowsets JOIN segments ON segments.rowset_id = rowsets.id WHERE rowsets.tablet_id = ?1",
        )?;
        let mut rows = statement.query([tablet])?;
        let mut files = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let number = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
            files.insert(TabletFile { digest: row.get(0)?, kind: FileKind::Segment, bytes: number(1)? });
            if let Some(digest) = row.get::<_, Option<Digest>>(2)? {
                files.insert(TabletFile { digest, kind: FileKind::DeleteVector, bytes: number(3)? });
            }
        }
        Ok(files)
    }

    /// Every file of the tablet that a row, the list of garbage or a job's pin names.
    pub fn named_files(&self, tablet: TabletId) -> Result<HashSet<Digest>> {
        let mut named: HashSet<Digest> = self.tablet_files(tablet)?.into_iter().map(|file| file.digest).collect();
        named.extend(self.pinned_files(tablet)?);
        let mut statement = self.prepare_cached("SELECT digest FROM garbage WHERE tablet_id = ?1")?;
        for digest in statement.query_map([tablet], |row| row.get(0))? {
            named.insert(digest?);
        }
        Ok(named)
    }

    /// Every file of the tablet that a job has pinned.
    pub fn pinned_files(&self, tablet: TabletId) -> Result<HashSet<Digest>> {
        let mut statement = self.prepare_cached("SELECT digest FROM pins WHERE tablet_id = ?1")?;
        let rows = statement.query_map([tablet], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether something was dropped at or before `dropped_before_ms`, or a load ended at or before `loads_before_ms`.
    pub fn expired(&self, dropped_before_ms: i64, loads_before_ms: i64) -> Result<Expired> {
        let dropped = self
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM partitions WHERE dropped_at_ms <= ?1)
                     OR EXISTS (SELECT 1 FROM tables WHERE dropped_at_ms <= ?1)
                     OR EXISTS (SELECT 1 FROM databases WHERE dropped_at_ms <= ?1)",
            )?
            .query_row([dropped_before_ms], |row| row.get(0))?;
        let loads = self
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM loads WHERE finished_at_ms <= ?1)")?
            .query_row([loads_before_ms], |row| row.get(0))?;
        Ok(Expired { dropped, loads })
    }

    /// Tablets that were given a rowset after the rowset `after`, and the newest rowset there is.
    pub fn tablets_changed_since(&self, after: RowsetId) -> Result<(Vec<TabletId>, RowsetId)> {
        let newest: Option<RowsetId> =
            self.prepare_cached("SELECT max(id) FROM rowsets")?.query_row([], |row| row.get(0))?;
        let mut statement = self.prepare_cached("SELECT DISTINCT tablet_id FROM rowsets WHERE id > ?1")?;
        let rows = statement.query_map([after], |row| row.get(0))?;
        Ok((rows.collect::<rusqlite::Result<_>>()?, newest.unwrap_or(after).max(after)))
    }

    /// Tablets with a segment of which more than `percent` of the rows are deleted, or all of them.
    pub fn tablets_with_deleted_percent(&self, percent: u64) -> Result<Vec<TabletId>> {
        let mut statement = self.prepare_cached(
            "SELECT DISTINCT rowsets.tablet_id
             FROM segments INDEXED BY segments_with_deletes JOIN rowsets ON rowsets.id = segments.rowset_id
             WHERE segments.deletes_digest IS NOT NULL
             AND (segments.deletes_rows * 100 > segments.rows * ?1 OR segments.deletes_rows >= segments.rows)",
        )?;
        let rows = statement.query_map([percent as i64], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Every replica, by tablet.
    pub fn replicas_by_tablet(&self) -> Result<BTreeMap<TabletId, Vec<ReplicaRow>>> {
        let mut statement = self.prepare_cached("SELECT id, tablet_id, root_id, healthy FROM replicas ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(ReplicaRow { id: row.get(0)?, tablet_id: row.get(1)?, root_id: row.get(2)?, healthy: row.get(3)? })
        })?;
        let mut replicas: BTreeMap<TabletId, Vec<ReplicaRow>> = BTreeMap::new();
        for row in rows {
            let replica = row?;
            replicas.entry(replica.tablet_id).or_default().push(replica);
        }
        Ok(replicas)
    }

    /// Tablets with a replica that is marked as bad.
    pub fn tablets_with_bad_replica(&self) -> Result<Vec<TabletId>> {
        let mut statement = self.prepare_cached("SELECT DISTINCT tablet_id FROM replicas WHERE NOT healthy")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
