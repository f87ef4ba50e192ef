//! The hidden half of a restore: databases, tables, partitions and tablets that belong to the job and that nobody
//! else sees until it commits.
//!
//! They are made in the transaction that sees once more that the plan fits, and from then on nobody else can take their
//! place (see `catalog::reservation`). They are found by the job's id, never by a name, so a resumed job finds exactly
//! what it had made. Every file that is going to lie in them is pinned before the first one does, which keeps the
//! collector away from files that no rowset names yet, and tells a cancelled job what to throw away.

use std::io;
use std::sync::Arc;

use super::submit::look_at_target;
use super::{PartitionPlan, RestorePlan, RestoreSelection, TablePlan, Target, source};
use crate::catalog::{FileKind, NewPartition, ReadTransaction, WriteTransaction};
use crate::ddl::RootSpread;
use crate::digest::Digest;
use crate::disk;
use crate::error::{Error, Result};
use crate::ids::{JobId, PartitionId, StorageRootId, TableId, TabletId};
use crate::job::{Amount, JobContext, JobFiles};
use crate::repository::ObjectRef;
use crate::repository::format::{PartitionNode, SegmentEntry};
use crate::schema::TableDefinition;

/// Files that are pinned or named in one transaction: each transaction costs a sync, and keeps loads waiting meanwhile.
pub(super) const FILES_PER_TRANSACTION: usize = 2_000;

/// The hidden partitions of a restore, in the order of its plan.
#[derive(Debug, Clone)]
pub(super) struct Hidden {
    pub(super) partitions: Arc<Vec<HiddenPartition>>,
}

/// One hidden partition.
#[derive(Debug, Clone)]
pub(super) struct HiddenPartition {
    pub(super) id: PartitionId,
    /// The name of its table here, for people.
    pub(super) table: String,
    pub(super) definition: Arc<TableDefinition>,
    /// The node that names its files.
    pub(super) node: Digest,
    /// Its tablets, by bucket.
    pub(super) tablets: Vec<HiddenTablet>,
}

/// One hidden tablet.
#[derive(Debug, Clone)]
pub(super) struct HiddenTablet {
    pub(super) id: TabletId,
    pub(super) bucket: u32,
    /// Where its replicas lie.
    pub(super) roots: Vec<StorageRootId>,
}

/// One file that is to lie in a hidden tablet.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedFile {
    pub(super) object: ObjectRef,
    /// The segment it is, or whose delete vector it is.
    pub(super) segment: Digest,
}

impl Hidden {
    /// Makes everything hidden that the plan needs, instead of what an earlier attempt has made, when the target is
    /// still what the plan was made for. Returns whether it is.
    pub(super) async fn make(
        context: &JobContext,
        plan: &Arc<RestorePlan>,
        target: Target,
        selections: &[RestoreSelection],
    ) -> Result<bool> {
        let roots = context.storage.roots().configured().to_vec();
        let (plan, selections) = (Arc::clone(plan), selections.to_vec());
        context
            .write("PENDING", move |write, row| {
                purge(write, row.id)?;
                if look_at_target(write, &plan.database, &selections, roots.len())? != target {
                    return Ok(false);
                }
                make(write, row.id, &plan, &roots)?;
                Ok(true)
            })
            .await
    }

    /// Pins the files to come, and counts them.
    pub(super) async fn pin(&self, context: &JobContext) -> Result<Amount> {
        let mut amount = Amount::default();
        let mut position = 0;
        while position < self.partitions.len() {
            let (of, files) = (self.clone(), context.files.clone());
            let (next, pins) = context.blocking(move || of.pins_from(position, &files)).await?;
            position = next;
            amount.files += pins.len() as u64;
            amount.bytes = pins.iter().map(|(_, object)| object.bytes).fold(amount.bytes, u64::saturating_add);
            context
                .write("SNAPSHOTING", move |write, row| {
                    for (tablet, object) in &pins {
                        write.pin_file(row.id, *tablet, &object.digest, object.kind)?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(amount)
    }

    /// The files of the partitions from `position` on, as many as one transaction takes, and where to go on.
    fn pins_from(&self, mut position: usize, files: &JobFiles) -> Result<(usize, Vec<(TabletId, ObjectRef)>)> {
        let mut pins = Vec::new();
        while let Some(partition) = self.partitions.get(position)
            && pins.len() < FILES_PER_TRANSACTION
        {
            for (tablet, wanted) in partition.wanted_files(files)? {
                pins.extend(wanted.into_iter().map(|file| (tablet.id, file.object)));
            }
            position += 1;
        }
        Ok((position, pins))
    }

    /// Finds what was made; `None` when something of it is missing.
    pub(super) async fn find(context: &JobContext, plan: &Arc<RestorePlan>) -> Result<Option<Hidden>> {
        let (plan, job) = (Arc::clone(plan), context.id);
        context.read(move |read| find(read, job, &plan)).await
    }
}

impl HiddenPartition {
    /// The node that names its files.
    pub(super) fn node(&self, files: &JobFiles) -> Result<PartitionNode> {
        source::load_partition(files, &self.node)
    }

    /// Every tablet with the files it is to have, each file once.
    pub(super) fn wanted_files(&self, files: &JobFiles) -> Result<Vec<(HiddenTablet, Vec<WantedFile>)>> {
        let node = self.node(files)?;
        let mut wanted = Vec::with_capacity(node.tablets.len());
        for entry in &node.tablets {
            let segments = entry.rowsets.iter().flat_map(|rowset| &rowset.segments);
            let mut of_tablet: Vec<WantedFile> = segments.flat_map(files_of).collect();
            of_tablet.sort_unstable_by_key(|file| file.object);
            of_tablet.dedup_by_key(|file| (file.object.kind, file.object.digest));
            wanted.push((self.tablet(entry.bucket)?.clone(), of_tablet));
        }
        Ok(wanted)
    }

    /// The tablet of a bucket.
    pub(super) fn tablet(&self, bucket: u32) -> Result<&HiddenTablet> {
        self.tablets
            .iter()
            .find(|tablet| tablet.bucket == bucket)
            .ok_or_else(|| Error::Internal(format!("hidden partition {} has no bucket {bucket}", self.id)))
    }
}

/// A segment's file and, when it has one, its delete vector's.
fn files_of(segment: &SegmentEntry) -> impl Iterator<Item = WantedFile> + use<> {
    let file = |kind, digest, bytes| WantedFile { object: ObjectRef { kind, digest, bytes }, segment: segment.digest };
    let deletes = segment.deletes.map(|deletes| file(FileKind::DeleteVector, deletes.digest, deletes.bytes));
    std::iter::once(file(FileKind::Segment, segment.digest, segment.bytes)).chain(deletes)
}

fn make(write: &WriteTransaction<'_>, job: JobId, plan: &RestorePlan, roots: &[StorageRootId]) -> Result<()> {
    let database = match plan.database_id {
        Some(id) => id,
        None => write.create_hidden_database(&plan.database, job)?,
    };
    let mut spread = RootSpread::new(write, roots)?;
    for table in &plan.tables {
        let (id, hidden_by) = match table.existing {
            Some(id) => (id, Some(job)),
            // Inside a hidden table a partition need not hide.
            None => (write.create_table(database, &table.target, &table.definition, Some(job))?, None),
        };
        if table.existing.is_none() {
            write.raise_auto_increment(id, table.auto_increment_next)?;
        }
        for partition in &table.partitions {
            let new = new_partition(partition);
            // The plan has compared the ranges with what is there, and nothing that meets them can come any more.
            write.create_checked_partition(id, &new, &spread.order(), hidden_by)?;
            spread.count(&new);
        }
    }
    Ok(())
}

fn new_partition(plan: &PartitionPlan) -> NewPartition {
    NewPartition {
        name: plan.target.clone(),
        bounds: plan.bounds.clone(),
        buckets: plan.buckets,
        replication_num: plan.replication_num,
        properties: plan.properties.clone(),
    }
}

fn find(read: &ReadTransaction<'_>, job: JobId, plan: &RestorePlan) -> Result<Option<Hidden>> {
    let tables = read.tables_hidden_by(job)?;
    let in_existing = read.partitions_hidden_by(job)?;
    let mut partitions = Vec::new();
    for table in &plan.tables {
        let rows = match table.existing {
            Some(id) => in_existing.iter().filter(|partition| partition.table_id == id).cloned().collect(),
            None => match tables.iter().find(|row| row.name == table.target) {
                Some(row) => read.partitions(row.id)?,
                None => return Ok(None),
            },
        };
        let definition = Arc::new(table.definition.clone());
        for partition in &table.partitions {
            let Some(row) = rows.iter().find(|row| row.name.eq_ignore_ascii_case(&partition.target)) else {
                return Ok(None);
            };
            let mut tablets = Vec::new();
            for tablet in read.tablets(row.id)? {
                let roots = read.replicas(tablet.id)?.into_iter().map(|replica| replica.root_id).collect();
                tablets.push(HiddenTablet { id: tablet.id, bucket: tablet.bucket, roots });
            }
            partitions.push(HiddenPartition {
                id: row.id,
                table: table.target.clone(),
                definition: Arc::clone(&definition),
                node: partition.node,
                tablets,
            });
        }
    }
    Ok(Some(Hidden { partitions: Arc::new(partitions) }))
}

/// The hidden table that was made for a plan's table.
pub(super) fn hidden_table(read: &ReadTransaction<'_>, job: JobId, table: &TablePlan) -> Result<TableId> {
    let tables = read.tables_hidden_by(job)?;
    let row = tables.iter().find(|row| row.name == table.target);
    row.map(|row| row.id).ok_or_else(|| Error::Conflict(format!("hidden table {} is gone", table.target)))
}

/// Takes everything hidden out of the catalog and lists its files for the collector. Returns the tablets.
pub(crate) fn purge(write: &WriteTransaction<'_>, job: JobId) -> Result<Vec<TabletId>> {
    write.discard_pinned(job)?;
    let mut partitions: Vec<PartitionId> =
        write.partitions_hidden_by(job)?.into_iter().map(|partition| partition.id).collect();
    let tables = write.tables_hidden_by(job)?;
    for table in &tables {
        partitions.extend(write.partition_ids_of_table(table.id)?);
    }
    let mut tablets = Vec::new();
    for partition in partitions {
        tablets.extend(write.tablets(partition)?.into_iter().map(|tablet| tablet.id));
        write.purge_partition(partition)?;
    }
    for table in tables {
        write.purge_table(table.id)?;
    }
    if let Some(database) = write.database_hidden_by(job)? {
        write.purge_database(database.id)?;
    }
    Ok(tablets)
}

/// Removes the job's staging. What cannot be removed now is swept at start.
pub(super) async fn remove_staging(context: &JobContext) {
    let (roots, staging) = (Arc::clone(context.storage.roots()), staging_name(context.id));
    if let Err(error) = context.blocking(move || roots.remove_staging(&staging)).await {
        tracing::warn!(%error, "cannot remove what a restore has staged");
    }
}

/// Removes the directories of tablets that are gone. What cannot be removed now is garbage that the collector finds in
/// its list.
pub(super) async fn remove_files(context: &JobContext, tablets: Vec<TabletId>) {
    let roots = Arc::clone(context.storage.roots());
    let removed = context
        .blocking(move || {
            for tablet in tablets {
                for root in roots.all() {
                    let directory = roots.tablet_dir(root.id, tablet)?;
                    match disk::remove_dir_all(&directory) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            tracing::warn!(directory = %directory.display(), %error, "cannot remove a tablet yet");
                        }
                        _ => {}
                    }
                }
            }
            Ok(())
        })
        .await;
    if let Err(error) = removed {
        tracing::warn!(%error, "cannot remove what a restore left");
    }
}

/// The staging directory of a restore.
pub(super) fn staging_name(job: JobId) -> String {
    format!("restore-{job}")
}
