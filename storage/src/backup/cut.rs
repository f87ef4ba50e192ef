//! The cut: what a snapshot is going to hold, fixed at one moment and written down.
//!
//! One catalog transaction reads the state of every wanted table and pins every file it names, so the cut is
//! consistent across tables and its files outlive compaction and DROP. Then the state becomes tree nodes, in a bundle
//! beside the job's row: they are what will be uploaded, bit for bit. An index of them, written last, makes the cut.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BackupObjects, BackupTotals, TableSelection};
use crate::catalog::{IndexRow, PartitionState, TableRow, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{IndexId, JobId, TabletId};
use crate::job::{BundleWriter, FailPoint, JobContext, JobFiles};
use crate::repository::format::{
    EncodedNode, IndexEntry, Node, NodeRef, PartitionEntry, PartitionNode, RowsetEntry, SegmentEntry, SnapshotTable,
    TableNode, TabletEntry, decode_node, encode_node,
};

/// The file that makes the cut: while it is missing, there is none.
const INDEX: &str = "cut.json";

/// The bundle of its nodes, by their digests.
const NODES: &str = "nodes";

/// What a snapshot is going to hold. The nodes it refers to lie beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    /// The moment.
    pub(super) cut_at_ms: i64,
    /// The tables, in the order of their names.
    pub(super) tables: Vec<CutTable>,
}

/// One table of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CutTable {
    /// What the commit object will say of it.
    pub(super) entry: SnapshotTable,
    /// When it was created.
    pub(super) created_at_ms: i64,
    /// The partitions that were asked for by name; all when empty.
    pub(super) asked: Vec<String>,
    /// Its partitions, in the order of the node.
    pub(super) partitions: Vec<CutPartition>,
}

/// One partition of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CutPartition {
    /// Its name.
    pub(super) name: String,
    /// Its node.
    pub(super) node: NodeRef,
    /// When it was created.
    pub(super) created_at_ms: i64,
    /// Where its files lie: index, bucket and tablet, in the order of the node.
    pub(super) tablets: Vec<(u32, u32, TabletId)>,
}

/// A table as the transaction saw it.
struct SeenTable {
    row: TableRow,
    indexes: Vec<IndexRow>,
    asked: Vec<String>,
    partitions: Vec<PartitionState>,
}

impl Cut {
    /// Takes the cut. What an earlier attempt pinned and wrote is forgotten first.
    pub(super) async fn take(context: &JobContext, database: &str, objects: &BackupObjects) -> Result<Cut> {
        let (database, objects) = (database.to_owned(), objects.clone());
        let (cut_at_ms, seen) = context
            .write("SNAPSHOTING", move |write, row| {
                write.release_pins(row.id)?;
                let seen = see_tables(write, &database, &objects)?;
                pin_files(write, row.id, &seen)?;
                Ok((write.now_ms(), seen))
            })
            .await?;
        context.reach(FailPoint::BackupPinned).await?;
        let files = context.files.clone();
        context.blocking(move || write_down(&files, cut_at_ms, seen)).await
    }

    /// Reads the cut that was taken.
    pub(super) async fn load(context: &JobContext) -> Result<Cut> {
        let files = context.files.clone();
        context.blocking(move || Ok(serde_json::from_slice(&files.get(INDEX)?)?)).await
    }

    /// What SHOW prints.
    pub(super) fn selections(&self) -> Vec<TableSelection> {
        let shown =
            |table: &CutTable| TableSelection { table: table.entry.name.clone(), partitions: table.asked.clone() };
        self.tables.iter().map(shown).collect()
    }

    /// Sums over the tables.
    pub(super) fn totals(&self) -> BackupTotals {
        // The parts were summed without overflow when the nodes were made; a database is far from 2^64 rows.
        let sum = |number: fn(&SnapshotTable) -> u64| {
            self.tables.iter().map(|table| number(&table.entry)).fold(0, u64::saturating_add)
        };
        BackupTotals {
            rows: sum(|entry| entry.rows),
            objects: sum(|entry| entry.objects),
            bytes: sum(|entry| entry.bytes),
            ..BackupTotals::default()
        }
    }
}

/// Reads a node of the cut.
pub(super) async fn load_node<N: Node + 'static>(context: &JobContext, node: NodeRef) -> Result<N> {
    let files = context.files.clone();
    context
        .blocking(move || {
            let stored = files.get_piece(NODES, &node.digest)?;
            decode_node(&node, &stored).map_err(|error| Error::Internal(format!("a node of the cut: {error}")))
        })
        .await
}

/// The stored bytes of a node of the cut.
pub(super) async fn load_stored(context: &JobContext, node: NodeRef) -> Result<EncodedNode> {
    let files = context.files.clone();
    context.blocking(move || Ok(EncodedNode { node, stored: files.get_piece(NODES, &node.digest)?.into() })).await
}

/// The wanted tables with their wanted partitions, in the order of the tables' names.
fn see_tables(write: &WriteTransaction<'_>, database: &str, objects: &BackupObjects) -> Result<Vec<SeenTable>> {
    let database_row = write
        .find_database(database)?
        .ok_or_else(|| Error::NotFound { noun: Noun::Database, name: database.to_owned() })?;
    let rows = write.tables(database_row.id)?;
    let mut wanted: Vec<(TableRow, Vec<String>)> = match objects {
        BackupObjects::All => rows.into_iter().map(|row| (row, Vec::new())).collect(),
        BackupObjects::AllBut(names) => {
            rows.into_iter().filter(|row| !names.contains(&row.name)).map(|row| (row, Vec::new())).collect()
        }
        BackupObjects::AllWith(selections) => {
            find_selected(&rows, selections)?;
            let asked = |row: &TableRow| {
                let named = selections.iter().find(|selection| selection.table == row.name);
                named.map_or_else(Vec::new, |selection| selection.partitions.clone())
            };
            rows.into_iter()
                .map(|row| {
                    let asked = asked(&row);
                    (row, asked)
                })
                .collect()
        }
        BackupObjects::Tables(selections) => find_selected(&rows, selections)?,
    };
    if wanted.is_empty() {
        return Err(Error::invalid(format!("Database: {database} is empty")));
    }
    wanted.sort_by(|(left, _), (right, _)| left.name.cmp(&right.name));
    wanted.into_iter().map(|(row, asked)| see_table(write, row, asked)).collect()
}

/// The selected tables. Errors with the first one that is not there any more.
fn find_selected(rows: &[TableRow], selections: &[TableSelection]) -> Result<Vec<(TableRow, Vec<String>)>> {
    let find = |selection: &TableSelection| {
        let row = rows
            .iter()
            .find(|row| row.name == selection.table)
            .ok_or_else(|| Error::Conflict(format!("table {} has been dropped or renamed", selection.table)))?;
        Ok((row.clone(), selection.partitions.clone()))
    };
    selections.iter().map(find).collect()
}

/// A table with its partitions that are asked for, however their names were spelled.
fn see_table(write: &WriteTransaction<'_>, row: TableRow, mut asked: Vec<String>) -> Result<SeenTable> {
    let mut partitions = write.partitions(row.id)?;
    if !asked.is_empty() {
        for name in &mut asked {
            let Some(meant) = partitions.iter().find(|partition| partition.name.eq_ignore_ascii_case(name)) else {
                return Err(Error::Conflict(format!("partition {name} of table {} has been dropped", row.name)));
            };
            name.clone_from(&meant.name);
        }
        partitions.retain(|partition| asked.contains(&partition.name));
    }
    Ok(SeenTable {
        indexes: write.indexes(row.id)?,
        partitions: write.partition_states(row.id, partitions)?,
        row,
        asked,
    })
}

fn pin_files(write: &WriteTransaction<'_>, job: JobId, seen: &[SeenTable]) -> Result<()> {
    for partition in seen.iter().flat_map(|table| &table.partitions) {
        write.pin_partition(job, partition.partition.id)?;
    }
    Ok(())
}

/// Turns what was seen into nodes and writes them, then the index. One table at a time, so that the largest table
/// bounds memory beyond what the transaction saw.
fn write_down(files: &JobFiles, cut_at_ms: i64, seen: Vec<SeenTable>) -> Result<Cut> {
    files.reset()?;
    let mut nodes = files.bundle(NODES)?;
    let mut tables = Vec::with_capacity(seen.len());
    for table in seen {
        tables.push(write_table(&mut nodes, table)?);
    }
    nodes.finish()?;
    let cut = Cut { cut_at_ms, tables };
    files.put(INDEX, &serde_json::to_vec(&cut)?)?;
    Ok(cut)
}

fn write_table(nodes: &mut BundleWriter, seen: SeenTable) -> Result<CutTable> {
    let SeenTable { row, indexes, asked, partitions } = seen;
    let mut entries = Vec::with_capacity(partitions.len());
    let mut cut_partitions = Vec::with_capacity(partitions.len());
    for state in partitions {
        let (node, tablets) = partition_node(&indexes, &state)?;
        let (objects, rows, bytes) = node.totals().map_err(|error| unfit(&row, error))?;
        let encoded = encode_node(&node).map_err(|error| unfit(&row, error))?;
        nodes.add(encoded.node.digest, &encoded.stored)?;
        let partition = state.partition;
        cut_partitions.push(CutPartition {
            name: partition.name.clone(),
            node: encoded.node,
            created_at_ms: partition.created_at_ms,
            tablets,
        });
        entries.push(PartitionEntry {
            name: partition.name,
            bounds: partition.bounds,
            buckets: partition.buckets,
            replication_num: partition.replication_num,
            properties: partition.properties,
            node: encoded.node,
            objects,
            rows,
            bytes,
        });
    }
    let counts = row.definition.columns.iter().any(|column| column.auto_increment);
    let index_entries = indexes.into_iter().map(|index| IndexEntry { name: index.name }).collect();
    let definition = Arc::unwrap_or_clone(row.definition.clone());
    let node = TableNode::new(definition, counts.then_some(row.auto_increment_next), index_entries, entries);
    let encoded = encode_node(&node).map_err(|error| unfit(&row, error))?;
    nodes.add(encoded.node.digest, &encoded.stored)?;
    let entry = SnapshotTable::of(&row.name, &node, encoded.node).map_err(|error| unfit(&row, error))?;
    Ok(CutTable {
        entry: SnapshotTable { partial: !asked.is_empty(), ..entry },
        created_at_ms: row.created_at_ms,
        asked,
        partitions: cut_partitions,
    })
}

/// The node of a partition, and where each of its tablets lies.
fn partition_node(indexes: &[IndexRow], state: &PartitionState) -> Result<(PartitionNode, Vec<(u32, u32, TabletId)>)> {
    let position =
        |id: IndexId| indexes.iter().position(|index| index.id == id).and_then(|position| u32::try_from(position).ok());
    let mut places = Vec::with_capacity(state.tablets.len());
    let mut tablets = Vec::with_capacity(state.tablets.len());
    for tablet in &state.tablets {
        let index = position(tablet.tablet.index_id)
            .ok_or_else(|| Error::Internal(format!("tablet {} is of no index", tablet.tablet.id)))?;
        places.push((index, tablet.tablet.bucket, tablet.tablet.id));
        tablets.push(TabletEntry {
            index,
            bucket: tablet.tablet.bucket,
            rowsets: tablet
                .rowsets
                .iter()
                .map(|rowset| RowsetEntry { segments: rowset.segments.iter().map(SegmentEntry::from).collect() })
                .collect(),
        });
    }
    places.sort_unstable();
    Ok((PartitionNode::new(tablets), places))
}

/// A table that cannot be written in the format of repositories.
fn unfit(table: &TableRow, error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("table {} does not fit into a snapshot: {error}", table.name))
}

impl CutPartition {
    /// Where the tablet of an index and a bucket lies.
    pub(super) fn tablet(&self, index: u32, bucket: u32) -> Result<TabletId> {
        self.tablets
            .binary_search_by_key(&(index, bucket), |(index, bucket, _)| (*index, *bucket))
            .map(|found| self.tablets[found].2)
            .map_err(|_| Error::Internal(format!("the cut has no tablet for bucket {bucket}")))
    }
}
