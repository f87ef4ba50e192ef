//! From hidden to visible.
//!
//! [`name_files`] makes the rowsets of the hidden tablets, some thousands at a time, so that the transaction that
//! matters is short however much is restored. [`show`] is that transaction's content: everything changes hands at once.
//! What the plan saw is held for it, so its targets are what they were; they are looked at all the same, because what is
//! shown here is somebody's data.

use std::collections::HashMap;
use std::sync::Arc;

use super::hidden::{FILES_PER_TRANSACTION, Hidden, HiddenPartition, hidden_table};
use super::{PartitionPlan, RestorePlan, TablePlan};
use crate::catalog::{PartitionRow, SegmentMeta, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::{JobId, PartitionId, TableId};
use crate::job::{JobContext, JobFiles};
use crate::repository::format::PartitionNode;
use crate::schema::PartitionBounds;

/// Names the files in the hidden tablets, several partitions in one transaction. A partition that has its rowsets is
/// left alone.
pub(super) async fn name_files(context: &JobContext, hidden: Hidden) -> Result<()> {
    let mut position = 0;
    while position < hidden.partitions.len() {
        let (of, files) = (hidden.clone(), context.files.clone());
        let (next, nodes) = context.blocking(move || nodes_from(&of, position, &files)).await?;
        let (of, from) = (hidden.clone(), position);
        position = next;
        context
            .write("COMMIT", move |write, _| {
                let mut partitions = of.partitions[from..].iter().zip(&nodes);
                partitions.try_for_each(|(partition, node)| name_partition(write, partition, node))
            })
            .await?;
    }
    Ok(())
}

/// The nodes of the partitions from `position` on, as many as one transaction takes, and where to go on.
fn nodes_from(hidden: &Hidden, mut position: usize, files: &JobFiles) -> Result<(usize, Vec<PartitionNode>)> {
    let (mut nodes, mut segments) = (Vec::new(), 0);
    while let Some(partition) = hidden.partitions.get(position)
        && segments < FILES_PER_TRANSACTION
    {
        let node = partition.node(files)?;
        segments += node.segments().count();
        nodes.push(node);
        position += 1;
    }
    Ok((position, nodes))
}

fn name_partition(write: &WriteTransaction<'_>, partition: &HiddenPartition, node: &PartitionNode) -> Result<()> {
    let row = write
        .partition_by_id(partition.id)?
        .ok_or_else(|| Error::Conflict(format!("a partition of table {} has been dropped", partition.table)))?;
    if node.tablets.is_empty() || row.visible_version > 1 {
        return Ok(());
    }
    let version = write.raise_visible_version(partition.id)?;
    for entry in &node.tablets {
        let tablet = partition.tablet(entry.bucket)?.id;
        for rowset in &entry.rowsets {
            let segments: Vec<SegmentMeta> = rowset.segments.iter().map(SegmentMeta::from).collect();
            write.create_rowset(tablet, version, &segments)?;
        }
    }
    Ok(())
}

/// Shows what the plan restored and takes out of sight what it replaces. Errors when a target does not fit any more;
/// then nothing has changed.
pub(super) fn show(write: &WriteTransaction<'_>, job: JobId, plan: &Arc<RestorePlan>) -> Result<()> {
    match plan.database_id {
        Some(id) => {
            let database = write.database_by_id(id)?.filter(|database| database.dropped_at_ms.is_none());
            database.ok_or_else(|| Error::Conflict(format!("database {} has been dropped", plan.database)))?;
        }
        None => {
            if let Some(hidden) = write.database_hidden_by(job)? {
                write.show_hidden_database(&hidden)?;
            }
        }
    }
    for table in &plan.tables {
        match table.existing {
            Some(id) => replace_partitions(write, job, id, table)?,
            None => write.show_hidden_table(hidden_table(write, job, table)?)?,
        }
    }
    Ok(())
}

/// Swaps the partitions of a table that was here.
fn replace_partitions(write: &WriteTransaction<'_>, job: JobId, id: TableId, plan: &TablePlan) -> Result<()> {
    let table = write
        .table_by_id(id)?
        .filter(|table| table.dropped_at_ms.is_none())
        .ok_or_else(|| Error::Conflict(format!("table {} has been dropped", plan.target)))?;
    let differences = plan.definition.differences(&table.definition);
    if let Some(difference) = differences.first() {
        return Err(Error::Conflict(format!(
            "table {} has been altered meanwhile: {} was {} and is {}: restore again",
            table.name, difference.item, difference.expected, difference.found
        )));
    }
    let restored = restored_partitions(write, job, id)?;
    // Read once: a table may have thousands of partitions, and each is compared with those that stay.
    let mut live = write.partitions(id)?;
    for partition in &plan.partitions {
        let shown = restored
            .get(&partition.target.to_lowercase())
            .ok_or_else(|| Error::Conflict(format!("hidden partition {} is gone", partition.target)))?;
        if !take_out(write, &mut live, partition)? {
            refuse_misfit(&live, partition)?;
        }
        write.show_checked_partition(*shown)?;
    }
    match table.definition.columns.iter().any(|column| column.auto_increment) {
        true => write.pass_auto_increment(id, plan.auto_increment_next),
        false => write.raise_auto_increment(id, plan.auto_increment_next),
    }
}

/// The partitions that the job made for a table, by their names in lower case.
fn restored_partitions(
    write: &WriteTransaction<'_>,
    job: JobId,
    table: TableId,
) -> Result<HashMap<String, PartitionId>> {
    let hidden = write.partitions_hidden_by(job)?.into_iter().filter(|row| row.table_id == table);
    Ok(hidden.map(|row| (row.name.to_lowercase(), row.id)).collect())
}

/// Takes the partition out of sight that is to be replaced, and out of `live`. Returns whether there is one.
fn take_out(write: &WriteTransaction<'_>, live: &mut Vec<PartitionRow>, plan: &PartitionPlan) -> Result<bool> {
    let unpartitioned = plan.bounds == PartitionBounds::All;
    let position = live.iter().position(|row| {
        row.name.eq_ignore_ascii_case(&plan.target) || (unpartitioned && row.bounds == PartitionBounds::All)
    });
    let Some(position) = position else {
        return Ok(false);
    };
    let row = live.swap_remove(position);
    if row.bounds != plan.bounds || row.buckets != plan.buckets {
        return Err(Error::Conflict(format!(
            "partition {} has been replaced meanwhile by one of range {} and {} buckets: restore again",
            row.name, row.bounds, row.buckets
        )));
    }
    // Kept a while for undo; its name belongs to the restored one from now on.
    write.drop_partition(row.id, false)?;
    Ok(true)
}

/// Errors when a partition that replaces none meets one that stays.
fn refuse_misfit(live: &[PartitionRow], plan: &PartitionPlan) -> Result<()> {
    match live.iter().find(|row| row.bounds.overlaps(&plan.bounds)) {
        None => Ok(()),
        Some(row) => Err(Error::Conflict(format!(
            "partition {} of range {} has been added meanwhile and overlaps {}: restore again",
            row.name, row.bounds, plan.target
        ))),
    }
}
