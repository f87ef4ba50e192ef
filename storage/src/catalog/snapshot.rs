//! A table with everything below it, as one consistent value.

use std::collections::HashMap;
use std::sync::Arc;

use super::rowset::segment_from_row;
use super::{PartitionRow, ReadTransaction, ReplicaRow, RowsetRow, SegmentMeta, TableRow, TabletRow};
use crate::error::{Error, Result};
use crate::ids::{PartitionId, RowsetId, TableId, TabletId};

/// A table with its live partitions, their tablets and what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// The table.
    pub table: TableRow,
    /// The catalog version this was read at.
    pub catalog_version: i64,
    /// Its live partitions, lowest bounds first.
    pub partitions: Vec<Arc<PartitionState>>,
}

/// A partition with its tablets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The partition.
    pub partition: PartitionRow,
    /// Its tablets, by index and bucket.
    pub tablets: Vec<TabletState>,
}

/// A tablet with its replicas and rowsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletState {
    /// The tablet.
    pub tablet: TabletRow,
    /// Its replicas.
    pub replicas: Vec<ReplicaRow>,
    /// Its rowsets in the order they were published.
    pub rowsets: Vec<RowsetRow>,
}

impl TabletState {
    /// Every segment, in the order of publication.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.rowsets.iter().flat_map(|rowset| &rowset.segments)
    }
}

impl PartitionState {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.tablets.iter().flat_map(TabletState::segments).map(SegmentMeta::live_rows).sum()
    }

    /// Bytes of one replica of every file.
    pub fn bytes(&self) -> u64 {
        self.tablets.iter().flat_map(TabletState::segments).map(SegmentMeta::total_bytes).sum()
    }
}

impl TableState {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.live_rows()).sum()
    }

    /// Bytes of one replica of every file.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes()).sum()
    }

    /// The live partition of this name, without regard to case.
    pub fn partition(&self, name: &str) -> Option<&Arc<PartitionState>> {
        self.partitions.iter().find(|state| state.partition.name.eq_ignore_ascii_case(name))
    }
}

impl ReadTransaction<'_> {
    /// The table with everything below it.
    pub fn table_state(&self, table: TableId) -> Result<TableState> {
        let row =
            self.table_by_id(table)?.ok_or_else(|| Error::not_found(crate::error::Noun::Table, table.to_string()))?;
        let partitions = self.partitions(table)?;
        let partitions = self.partition_states(table, partitions)?;
        Ok(TableState {
            table: row,
            catalog_version: self.version()?,
            partitions: partitions.into_iter().map(Arc::new).collect(),
        })
    }

    /// These partitions of a table with everything below them, in four queries whatever their number.
    pub fn partition_states(&self, table: TableId, partitions: Vec<PartitionRow>) -> Result<Vec<PartitionState>> {
        let mut tablets: HashMap<PartitionId, Vec<TabletState>> = HashMap::new();
        let mut rowsets: HashMap<TabletId, Vec<RowsetRow>> = HashMap::new();
        let mut replicas: HashMap<TabletId, Vec<ReplicaRow>> = HashMap::new();
        let mut segments: HashMap<RowsetId, Vec<SegmentMeta>> = HashMap::new();

        let mut statement = self.prepare_cached(
            "SELECT segments.rowset_id, segments.digest, segments.rows, segments.bytes, segments.zone_maps,
                    segments.deletes_digest, segments.deletes_bytes, segments.deletes_rows
             FROM partitions
             JOIN tablets ON tablets.partition_id = partitions.id
             JOIN rowsets ON rowsets.tablet_id = tablets.id
             JOIN segments ON segments.rowset_id = rowsets.id
             WHERE partitions.table_id = ?1
             ORDER BY segments.rowset_id, segments.ordinal",
        )?;
        let rows = statement.query_map([table], |row| Ok((row.get(0)?, segment_from_row(row, 1)?)))?;
        for row in rows {
            let (rowset, segment): (RowsetId, Result<SegmentMeta>) = row?;
            segments.entry(rowset).or_default().push(segment?);
        }

        let mut statement = self.prepare_cached(
            "SELECT rowsets.id, rowsets.tablet_id, rowsets.version, rowsets.created_at_ms
             FROM partitions
             JOIN tablets ON tablets.partition_id = partitions.id
             JOIN rowsets ON rowsets.tablet_id = tablets.id
             WHERE partitions.table_id = ?1
             ORDER BY rowsets.version, rowsets.id",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok(RowsetRow {
                id: row.get(0)?,
                tablet_id: row.get(1)?,
                version: row.get(2)?,
                created_at_ms: row.get(3)?,
                segments: Vec::new(),
            })
        })?;
        for row in rows {
            let mut rowset = row?;
            rowset.segments = segments.remove(&rowset.id).unwrap_or_default();
            rowsets.entry(rowset.tablet_id).or_default().push(rowset);
        }

        let mut statement = self.prepare_cached(
            "SELECT replicas.id, replicas.tablet_id, replicas.root_id, replicas.healthy
             FROM partitions
             JOIN tablets ON tablets.partition_id = partitions.id
             JOIN replicas ON replicas.tablet_id = tablets.id
             WHERE partitions.table_id = ?1
             ORDER BY replicas.id",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok(ReplicaRow { id: row.get(0)?, tablet_id: row.get(1)?, root_id: row.get(2)?, healthy: row.get(3)? })
        })?;
        for row in rows {
            let replica = row?;
            replicas.entry(replica.tablet_id).or_default().push(replica);
        }

        let mut statement = self.prepare_cached(
            "SELECT tablets.id, tablets.partition_id, tablets.index_id, tablets.bucket
             FROM partitions JOIN tablets ON tablets.partition_id = partitions.id
             WHERE partitions.table_id = ?1
             ORDER BY tablets.index_id, tablets.bucket",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok(TabletRow { id: row.get(0)?, partition_id: row.get(1)?, index_id: row.get(2)?, bucket: row.get(3)? })
        })?;
        for row in rows {
            let tablet = row?;
            let state = TabletState {
                replicas: replicas.remove(&tablet.id).unwrap_or_default(),
                rowsets: rowsets.remove(&tablet.id).unwrap_or_default(),
                tablet,
            };
            tablets.entry(state.tablet.partition_id).or_default().push(state);
        }

        Ok(partitions
            .into_iter()
            .map(|partition| PartitionState { tablets: tablets.remove(&partition.id).unwrap_or_default(), partition })
            .collect())
    }
}
