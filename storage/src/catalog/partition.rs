//! Partitions with their tablets and replicas.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row};

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{IndexId, JobId, PartitionId, ReplicaId, StorageRootId, TableId, TabletId};
use crate::roots::check_replication_num;
use crate::schema::PartitionBounds;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRow {
    /// Its identity.
    pub id: PartitionId,
    /// Its table.
    pub table_id: TableId,
    /// Its name, matched without regard to case.
    pub name: String,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Buckets, each of them a tablet per index.
    pub buckets: u32,
    /// Replicas of each tablet.
    pub replication_num: u32,
    /// Properties as shown back.
    pub properties: BTreeMap<String, String>,
    /// The version readers see; 1 is empty, every publish adds one.
    pub visible_version: i64,
    /// When that version became visible.
    pub visible_version_at_ms: i64,
    /// When it was created.
    pub created_at_ms: i64,
    /// The job it belongs to until that job commits.
    pub hidden_by: Option<JobId>,
    /// When it was dropped or replaced.
    pub dropped_at_ms: Option<i64>,
    /// Whether RECOVER may bring it back once dropped.
    pub recoverable: bool,
}

/// What a new partition is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Its name.
    pub name: String,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Buckets.
    pub buckets: u32,
    /// Replicas of each tablet.
    pub replication_num: u32,
    /// Properties as shown back.
    pub properties: BTreeMap<String, String>,
}

/// What becomes of something that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// RECOVER may bring it back for a while.
    Recoverable,
    /// It is gone at once.
    ForGood,
}

/// One tablet: one bucket of one partition of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletRow {
    /// Its identity.
    pub id: TabletId,
    /// Its partition.
    pub partition_id: PartitionId,
    /// Its index.
    pub index_id: IndexId,
    /// Its bucket, from 0.
    pub bucket: u32,
}

/// One copy of a tablet on one storage root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Its identity.
    pub id: ReplicaId,
    /// Its tablet.
    pub tablet_id: TabletId,
    /// Where it lies.
    pub root_id: StorageRootId,
    /// Whether reads may use it.
    pub healthy: bool,
}

const COLUMNS: &str = "id, table_id, name, bounds, buckets, replication_num, properties, visible_version, \
                       visible_version_at_ms, created_at_ms, hidden_by, dropped_at_ms, recoverable";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<PartitionRow>> {
    let bounds: String = row.get(3)?;
    let properties: String = row.get(6)?;
    let stored = serde_json::from_str(&bounds).and_then(|bounds| Ok((bounds, serde_json::from_str(&properties)?)));
    let (bounds, properties) = match stored {
        Ok(stored) => stored,
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(Ok(PartitionRow {
        id: row.get(0)?,
        table_id: row.get(1)?,
        name: row.get(2)?,
        bounds,
        buckets: row.get(4)?,
        replication_num: row.get(5)?,
        properties,
        visible_version: row.get(7)?,
        visible_version_at_ms: row.get(8)?,
        created_at_ms: row.get(9)?,
        hidden_by: row.get(10)?,
        dropped_at_ms: row.get(11)?,
        recoverable: row.get(12)?,
    }))
}

impl ReadTransaction<'_> {
    /// Live partitions of a table, lowest bounds first.
    pub fn partitions(&self, table: TableId) -> Result<Vec<PartitionRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM partitions WHERE table_id = ?1 AND dropped_at_ms IS NULL AND hidden_by IS NULL"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([table], from_row)?;
        let mut partitions: Vec<PartitionRow> = rows.map(|row| row?).collect::<Result<_>>()?;
        partitions.sort_by(|left, right| match (&left.bounds, &right.bounds) {
            (PartitionBounds::Range { lower: left, .. }, PartitionBounds::Range { lower: right, .. }) => {
                left.compare(right)
            }
            _ => left.id.cmp(&right.id),
        });
        Ok(partitions)
    }

    /// The live partition of this name.
    pub fn partition(&self, table: TableId, name: &str) -> Result<PartitionRow> {
        let sql = format!(
            "SELECT {COLUMNS} FROM partitions
             WHERE table_id = ?1 AND name = ?2 AND dropped_at_ms IS NULL AND hidden_by IS NULL"
        );
        self.prepare_cached(&sql)?
            .query_row((table, name), from_row)
            .optional()?
            .ok_or_else(|| Error::not_found(Noun::Partition, name))?
    }

    /// The partition of this id, whatever its state.
    pub fn partition_by_id(&self, id: PartitionId) -> Result<Option<PartitionRow>> {
        let sql = format!("SELECT {COLUMNS} FROM partitions WHERE id = ?1");
        self.prepare_cached(&sql)?.query_row([id], from_row).optional()?.transpose()
    }

    /// The recoverable partition of this name that was dropped last, if one waits.
    pub fn dropped_partition(&self, table: TableId, name: &str) -> Result<Option<PartitionRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM partitions
             WHERE table_id = ?1 AND name = ?2 AND dropped_at_ms IS NOT NULL AND recoverable
             ORDER BY dropped_at_ms DESC, id DESC LIMIT 1"
        );
        self.prepare_cached(&sql)?.query_row((table, name), from_row).optional()?.transpose()
    }

    /// Partitions dropped at or before `before_ms`.
    pub fn partitions_dropped_before(&self, before_ms: i64) -> Result<Vec<PartitionId>> {
        let mut statement = self.prepare_cached("SELECT id FROM partitions WHERE dropped_at_ms <= ?1")?;
        let rows = statement.query_map([before_ms], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Partitions a job made and has not shown yet.
    pub fn partitions_hidden_by(&self, job: JobId) -> Result<Vec<PartitionRow>> {
        let sql = format!("SELECT {COLUMNS} FROM partitions WHERE hidden_by = ?1 ORDER BY id");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([job], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// Every partition of a table, dropped and hidden ones included.
    pub fn partition_ids_of_table(&self, table: TableId) -> Result<Vec<PartitionId>> {
        let mut statement = self.prepare_cached("SELECT id FROM partitions WHERE table_id = ?1")?;
        let rows = statement.query_map([table], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The tablets of a partition, by index and bucket.
    pub fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletRow>> {
        let mut statement = self.prepare_cached(
            "SELECT id, partition_id, index_id, bucket FROM tablets WHERE partition_id = ?1 ORDER BY index_id, bucket",
        )?;
        let rows = statement.query_map([partition], |row| {
            Ok(TabletRow { id: row.get(0)?, partition_id: row.get(1)?, index_id: row.get(2)?, bucket: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The replicas of a tablet in the order they were made.
    pub fn replicas(&self, tablet: TabletId) -> Result<Vec<ReplicaRow>> {
        let mut statement = self
            .prepare_cached("SELECT id, tablet_id, root_id, healthy FROM replicas WHERE tablet_id = ?1 ORDER BY id")?;
        let rows = statement.query_map([tablet], |row| {
            Ok(ReplicaRow { id: row.get(0)?, tablet_id: row.get(1)?, root_id: row.get(2)?, healthy: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Replicas on each storage root, so that new ones go where there are fewest.
    pub fn replica_counts(&self) -> Result<BTreeMap<StorageRootId, u64>> {
        let mut statement = self.prepare_cached("SELECT root_id, count(*) FROM replicas GROUP BY root_id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// Makes an empty partition with its tablets and their replicas on `roots`, taken in turn from the first on (see
    /// [`crate::ddl::RootSpread`]); each tablet's replicas lie on different roots. Errors when the name is taken, when
    /// the bounds meet another partition's, of those too that a running restore is going to show, or when there are
    /// fewer roots than replicas. Hidden partitions are the business of their job.
    pub fn create_partition(
        &self,
        table: TableId,
        new: &NewPartition,
        roots: &[StorageRootId],
        hidden_by: Option<JobId>,
    ) -> Result<PartitionId> {
        if hidden_by.is_none() {
            self.check_partition_fits(table, &new.name, &new.bounds)?;
        }
        self.create_checked_partition(table, new, roots, hidden_by)
    }

    /// [`WriteTransaction::create_partition`] for a caller who has checked that the partition fits, as checking each
    /// of many against all others takes long.
    pub(crate) fn create_checked_partition(
        &self,
        table: TableId,
        new: &NewPartition,
        roots: &[StorageRootId],
        hidden_by: Option<JobId>,
    ) -> Result<PartitionId> {
        let replicas = new.replication_num as usize;
        check_replication_num(new.replication_num, roots.len())?;
        let id = PartitionId(self.next_id()?);
        self.prepare_cached(
            "INSERT INTO partitions (id, table_id, name, bounds, buckets, replication_num, properties,
                                     visible_version, visible_version_at_ms, created_at_ms, hidden_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8, ?9)",
        )?
        .execute((
            id,
            table,
            &new.name,
            serde_json::to_string(&new.bounds)?,
            new.buckets,
            new.replication_num,
            serde_json::to_string(&new.properties)?,
            self.now_ms(),
            hidden_by,
        ))?;
        let mut turn = 0;
        for index in self.indexes(table)? {
            for bucket in 0..new.buckets {
                let tablet = TabletId(self.next_id()?);
                self.prepare_cached(
                    "INSERT INTO tablets (id, partition_id, index_id, bucket) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((tablet, id, index.id, bucket))?;
                for copy in 0..replicas {
                    let root = roots[(turn + copy) % roots.len()];
                    self.create_replica(tablet, root)?;
                }
                turn += 1;
            }
        }
        Ok(id)
    }

    /// Adds a replica of a tablet on a root.
    pub fn create_replica(&self, tablet: TabletId, root: StorageRootId) -> Result<ReplicaId> {
        let id = ReplicaId(self.next_id()?);
        self.prepare_cached("INSERT INTO replicas (id, tablet_id, root_id) VALUES (?1, ?2, ?3)")?
            .execute((id, tablet, root))?;
        Ok(id)
    }

    /// Marks a replica as good or bad to read.
    pub fn set_replica_health(&self, id: ReplicaId, healthy: bool) -> Result<()> {
        self.prepare_cached("UPDATE replicas SET healthy = ?2 WHERE id = ?1")?.execute((id, healthy))?;
        Ok(())
    }

    /// Errors when a live partition of the table, or one that a running restore is going to show, has this name or
    /// meets these bounds.
    pub fn check_partition_fits(&self, table: TableId, name: &str, bounds: &PartitionBounds) -> Result<()> {
        for other in self.partitions(table)? {
            if other.name.eq_ignore_ascii_case(name) {
                return Err(Error::already_exists(Noun::Partition, name));
            }
            if other.bounds.overlaps(bounds) {
                return Err(Error::invalid(format!(
                    "range {bounds} of partition '{name}' intersects with range {} of partition '{}'",
                    other.bounds, other.name
                )));
            }
        }
        self.refuse_held_partition(table, name, bounds)
    }

    /// Raises the visible version by one and returns it.
    pub fn raise_visible_version(&self, id: PartitionId) -> Result<i64> {
        let version = self
            .prepare_cached(
                "UPDATE partitions SET visible_version = visible_version + 1, visible_version_at_ms = ?2
                 WHERE id = ?1 RETURNING visible_version",
            )?
            .query_row((id, self.now_ms()), |row| row.get(0))?;
        Ok(version)
    }

    /// Renames a live partition. Errors when the name is taken, or a running restore is going to take it or to replace
    /// the partition.
    pub fn rename_partition(&self, partition: &PartitionRow, name: &str) -> Result<()> {
        if let Some(held) = self.held_partitions(partition.table_id)? {
            held.refuse_replaced(partition)?;
            if held.partitions.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                return Err(held.taken(name));
            }
        }
        let taken = self
            .partitions(partition.table_id)?
            .iter()
            .any(|other| other.id != partition.id && other.name.eq_ignore_ascii_case(name));
        if taken {
            return Err(Error::already_exists(Noun::Partition, name));
        }
        self.prepare_cached("UPDATE partitions SET name = ?2 WHERE id = ?1")?.execute((partition.id, name))?;
        Ok(())
    }

    /// Replaces a partition's properties.
    pub fn set_partition_properties(&self, id: PartitionId, properties: &BTreeMap<String, String>) -> Result<()> {
        self.prepare_cached("UPDATE partitions SET properties = ?2 WHERE id = ?1")?
            .execute((id, serde_json::to_string(properties)?))?;
        Ok(())
    }

    /// Drops live partitions of a table; RECOVER may bring them back until they are purged, unless they are to go for good.
    /// Errors when a running restore is going to replace one of them.
    pub fn drop_partitions(&self, table: TableId, partitions: &[PartitionRow], removal: Removal) -> Result<()> {
        let held = self.held_partitions(table)?;
        for partition in partitions {
            if let Some(held) = &held {
                held.refuse_replaced(partition)?;
            }
            match removal {
                Removal::Recoverable => self.drop_partition(partition.id, true)?,
                Removal::ForGood => self.purge_partition(partition.id)?,
            }
        }
        Ok(())
    }

    /// Takes a partition out of sight, whatever a restore is going to do. With `recoverable`, RECOVER may bring it back
    /// until it is purged; what an overwrite or a restore replaced is kept as long, but its name now belongs to another.
    pub fn drop_partition(&self, id: PartitionId, recoverable: bool) -> Result<()> {
        self.prepare_cached("UPDATE partitions SET dropped_at_ms = ?2, recoverable = ?3 WHERE id = ?1")?.execute((
            id,
            self.now_ms(),
            recoverable,
        ))?;
        Ok(())
    }

    /// Brings a dropped partition back. Errors when its name or its bounds are taken by now, or a running restore is
    /// going to take them.
    pub fn recover_partition(&self, partition: &PartitionRow) -> Result<()> {
        self.check_partition_fits(partition.table_id, &partition.name, &partition.bounds)?;
        self.prepare_cached("UPDATE partitions SET dropped_at_ms = NULL WHERE id = ?1")?.execute([partition.id])?;
        Ok(())
    }

    /// Shows a partition that a job made. The caller has checked that it fits.
    pub(crate) fn show_checked_partition(&self, id: PartitionId) -> Result<()> {
        self.prepare_cached("UPDATE partitions SET hidden_by = NULL WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Takes a partition out of the catalog for good; its files become garbage.
    pub fn purge_partition(&self, id: PartitionId) -> Result<()> {
        for tablet in self.tablets(id)? {
            self.clear_tablet(tablet.id)?;
        }
        self.prepare_cached("DELETE FROM partitions WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}
