//! DELETE: the rows that meet a condition go into delete vectors; segments stay as they are.
//!
//! 1. Take the table's current snapshot and look through its segments, several at a time, for matching rows.
//! 2. Write a delete vector for each segment that has some, in staging, and install them on every replica.
//! 3. In one transaction, put every new vector in the place of the one that was read, take out segments of which no row
//!    is left, and raise the versions. If a segment has changed since it was read, because compaction rewrote it or
//!    another DELETE was faster, or rows have come, nothing is changed and all begins again; what was found in other
//!    segments is kept, and loads of the table wait with their last step, so that there is an end.
//!
//! So a DELETE happens at the moment of its transaction: it takes every matching row that anybody could see by then, and
//! none that is seen only later. Until then nobody sees anything of it, and it leaves nothing when it fails.

mod find;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use roaring::RoaringBitmap;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::catalog::{
    DeleteVectorMeta, FailedLoad, FileKind, LoadKind, LoadRow, PartitionRow, PartitionState, SegmentMeta, TabletState,
    WriteTransaction,
};
use crate::digest::Digest;
use crate::disk;
use crate::error::{Error, IoContext, Noun, Result};
use crate::ids::{PartitionId, RowsetId, TableId, TabletId};
use crate::load::LoadReceipt;
use crate::roots::{StagedFile, create_file, sync_file};
use crate::segment::{DeleteVector, project};
use crate::storage::{Storage, blocking};
use crate::table_snapshot::TableSnapshot;
use crate::tablet::{StagedTablet, staging_for};

/// Attempts before a DELETE gives up. Each one has only the segments to read that changed during the last, so more than
/// a few mean that somebody changes the table without end.
const ATTEMPTS_MAX: usize = 20;

/// Says for each row of a batch whether it is to be deleted; NULL is no.
pub type RowPredicate = Arc<dyn Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync>;

/// Says whether a segment may hold rows to delete; by its zone maps, say.
pub type SegmentFilter = Arc<dyn Fn(&SegmentMeta) -> bool + Send + Sync>;

/// What is to be deleted.
#[derive(Clone)]
pub struct DeleteSpec {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The partitions to look through; all when not given.
    pub partitions: Option<Vec<String>>,
    /// Columns that the condition sees, in this order.
    pub columns: Vec<String>,
    /// The condition.
    pub predicate: RowPredicate,
}

impl fmt::Debug for DeleteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteSpec")
            .field("database", &self.database)
            .field("table", &self.table)
            .field("partitions", &self.partitions)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// Deletes the rows that meet a condition. The receipt says how many.
    pub async fn delete(self: &Arc<Self>, spec: DeleteSpec) -> Result<LoadReceipt> {
        self.delete_in(spec, Arc::new(|_| true)).await
    }

    /// Deletes the rows that meet a condition, looking only through segments that pass `filter`.
    pub async fn delete_in(self: &Arc<Self>, spec: DeleteSpec, filter: SegmentFilter) -> Result<LoadReceipt> {
        let (storage, database, table) = (Arc::clone(self), spec.database.clone(), spec.table.clone());
        let load = blocking(move || {
            let id = storage.table_snapshot(&database, &table)?.table().database_id;
            storage.catalog().write(|write| write.begin_load(id, &table, None, LoadKind::Delete))
        })
        .await?;
        let span = tracing::info_span!("delete", transaction = %load.id, table = %spec.table);
        let running = Running { storage: Arc::clone(self), load, ended: false };
        running.run(&spec, &filter).instrument(span).await
    }
}

/// A DELETE that is running. Dropping it aborts it.
struct Running {
    storage: Arc<Storage>,
    load: LoadRow,
    ended: bool,
}

/// A segment to look through.
#[derive(Debug, Clone)]
struct Candidate {
    partition: PartitionId,
    tablet: TabletState,
    rowset: RowsetId,
    segment: SegmentMeta,
}

/// What a segment is known by: its tablet, its bytes, the rows that were deleted before.
type SegmentKey = (TabletId, Digest, Option<Digest>);

/// The rows to be deleted of the segments looked through so far; `None` where no row matches.
type Found = HashMap<SegmentKey, Option<Arc<RoaringBitmap>>>;

/// What was looked through.
#[derive(Debug)]
struct Read {
    table: TableId,
    versions: Vec<(PartitionId, i64)>,
}

/// A segment that loses rows.
#[derive(Debug)]
struct Change {
    candidate: Candidate,
    /// The vector to come; `None` when no row is left.
    after: Option<DeleteVectorMeta>,
}

impl Candidate {
    fn key(&self) -> SegmentKey {
        (self.tablet.tablet.id, self.segment.digest, self.segment.deletes.map(|deletes| deletes.digest))
    }
}

impl Running {
    async fn run(mut self, spec: &DeleteSpec, filter: &SegmentFilter) -> Result<LoadReceipt> {
        let mut found = Found::new();
        let mut turn = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.storage.table_snapshot(&spec.database, &spec.table)?;
            let candidates = candidates(&snapshot, spec.partitions.as_deref(), filter)?;
            let schema = projected(&snapshot, &spec.columns)?;
            self.find(&snapshot, &candidates, &schema, &spec.predicate, &mut found).await?;
            let read = Read { table: snapshot.table().id, versions: versions(&snapshot.state().partitions, spec) };
            if let Some(receipt) = self.apply(&candidates, &found, spec, read).await? {
                self.ended = true;
                metrics::counter!("ebla_deleted_rows_total").increment(receipt.rows);
                return Ok(receipt);
            }
            metrics::counter!("ebla_delete_retries_total").increment(1);
            // The one that is held is given back first: the table of this name may be another one by now.
            drop(turn.take());
            turn = Some(self.storage.publish_turns().alone(snapshot.table().id).await);
        }
        Err(Error::Conflict(format!(
            "table '{}' changed again and again while rows were deleted: try again later",
            spec.table
        )))
    }

    /// Looks through the candidates that are not known yet.
    async fn find(
        &self,
        snapshot: &Arc<TableSnapshot>,
        candidates: &[Candidate],
        schema: &SchemaRef,
        predicate: &RowPredicate,
        found: &mut Found,
    ) -> Result<()> {
        let mut tasks = JoinSet::new();
        for candidate in candidates {
            let key = candidate.key();
            if found.contains_key(&key) {
                continue;
            }
            // The same bytes may be there more than once.
            found.insert(key, None);
            let (snapshot, candidate) = (Arc::clone(snapshot), candidate.clone());
            let (schema, predicate) = (Arc::clone(schema), Arc::clone(predicate));
            let permit = self.storage.encoder().await?;
            tasks.spawn(blocking(move || {
                let _permit = permit;
                let positions = find::find(&snapshot, &candidate.tablet, &candidate.segment, &schema, &predicate)?;
                Ok((key, positions))
            }));
        }
        while let Some(done) = tasks.join_next().await {
            let (key, positions) =
                done.map_err(|error| Error::Internal(format!("a delete task ended early: {error}")))??;
            found.insert(key, positions.map(Arc::new));
        }
        Ok(())
    }

    /// Writes the delete vectors and publishes them. `None` when something has changed since it was read.
    async fn apply(
        &self,
        candidates: &[Candidate],
        found: &Found,
        spec: &DeleteSpec,
        read: Read,
    ) -> Result<Option<LoadReceipt>> {
        let hits: Vec<(Candidate, Arc<RoaringBitmap>)> = candidates
            .iter()
            .filter_map(|candidate| {
                let positions = found.get(&candidate.key())?.as_ref()?;
                Some((candidate.clone(), Arc::clone(positions)))
            })
            .collect();
        let (storage, load, spec) = (Arc::clone(&self.storage), self.load.clone(), spec.clone());
        blocking(move || {
            let staging = load.id.to_string();
            let (changes, mut staged) = stage(&storage, &staging, hits)?;
            let _guard = storage.pins().install_guard();
            let installed = staged.iter_mut().try_for_each(|tablet| tablet.install(storage.roots()));
            let published = installed.and_then(|()| publish(&storage, &load, &spec, &read, &changes, &staged));
            if !matches!(published, Ok(Some(_))) {
                discard(&storage, &changes);
            }
            // It may be published by now, so what cannot be cleared away is no reason to fail.
            storage.clear_staging(&staging);
            published
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (storage, id) = (Arc::clone(&self.storage), self.load.id);
        let end = move || {
            storage.abort_load(FailedLoad::uncounted(id, "the statement failed or was cancelled"));
            storage.clear_staging(&id.to_string());
        };
        match tokio::runtime::Handle::try_current() {
            // A runtime that stops may not run it: then the next start does.
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

/// The segments that may hold matching rows. Errors when a partition is not there.
fn candidates(
    snapshot: &TableSnapshot,
    partitions: Option<&[String]>,
    filter: &SegmentFilter,
) -> Result<Vec<Candidate>> {
    if let Some(name) = partitions.into_iter().flatten().find(|name| snapshot.state().partition(name).is_none()) {
        return Err(Error::not_found(Noun::Partition, name));
    }
    let mut candidates = Vec::new();
    for partition in snapshot.state().partitions.iter().filter(|state| is_wanted(partitions, &state.partition.name)) {
        for tablet in &partition.tablets {
            // What else is in the tablet does not matter for one segment.
            let place = TabletState { rowsets: Vec::new(), ..tablet.clone() };
            for rowset in &tablet.rowsets {
                for segment in rowset.segments.iter().filter(|segment| segment.live_rows() > 0 && filter(segment)) {
                    candidates.push(Candidate {
                        partition: partition.partition.id,
                        tablet: place.clone(),
                        rowset: rowset.id,
                        segment: segment.clone(),
                    });
                }
            }
        }
    }
    Ok(candidates)
}

/// Whether a partition is one of those that are to be looked through.
fn is_wanted(partitions: Option<&[String]>, name: &str) -> bool {
    partitions.is_none_or(|names| names.iter().any(|other| other.eq_ignore_ascii_case(name)))
}

/// The versions of the partitions that are looked through: no row has come as long as they are the same.
fn versions(partitions: &[Arc<PartitionState>], spec: &DeleteSpec) -> Vec<(PartitionId, i64)> {
    let rows = partitions.iter().map(|state| &state.partition);
    versions_of(rows, spec)
}

fn versions_of<'a>(rows: impl Iterator<Item = &'a PartitionRow>, spec: &DeleteSpec) -> Vec<(PartitionId, i64)> {
    let wanted = rows.filter(|row| is_wanted(spec.partitions.as_deref(), &row.name));
    wanted.map(|row| (row.id, row.visible_version)).collect()
}

/// The schema of the columns the condition sees.
fn projected(snapshot: &TableSnapshot, columns: &[String]) -> Result<SchemaRef> {
    let definition = snapshot.definition();
    let positions = columns
        .iter()
        .map(|name| {
            let column = definition.column(name).ok_or_else(|| Error::not_found(Noun::Column, name))?;
            definition.position(column.id).ok_or_else(|| Error::not_found(Noun::Column, name))
        })
        .collect::<Result<Vec<usize>>>()?;
    project(snapshot.schema(), &positions)
}

/// Writes and syncs the delete vectors in staging, on the root of every replica.
fn stage(
    storage: &Storage,
    staging: &str,
    hits: Vec<(Candidate, Arc<RoaringBitmap>)>,
) -> Result<(Vec<Change>, Vec<StagedTablet>)> {
    let mut changes = Vec::with_capacity(hits.len());
    let mut by_tablet: BTreeMap<TabletId, (TabletState, Vec<Vec<u8>>)> = BTreeMap::new();
    for (candidate, positions) in hits {
        let mut after = None;
        if positions.len() < candidate.segment.rows {
            let (bytes, digest) = DeleteVector::encode(&positions);
            after = Some(DeleteVectorMeta { digest, bytes: bytes.len() as u64, rows: positions.len() });
            let tablet =
                by_tablet.entry(candidate.tablet.tablet.id).or_insert_with(|| (candidate.tablet.clone(), Vec::new()));
            tablet.1.push(bytes);
        }
        changes.push(Change { candidate, after });
    }
    let mut staged = Vec::with_capacity(by_tablet.len());
    for (id, (tablet, vectors)) in by_tablet {
        let (root, directory) = staging_for(storage.roots(), id, &tablet.replicas, staging)?;
        let mut files: BTreeMap<Digest, StagedFile> = BTreeMap::new();
        for bytes in vectors {
            let digest = Digest::of(&bytes);
            // Two segments may lose the same rows.
            if files.contains_key(&digest) {
                continue;
            }
            let path = directory.join(format!("{id}-{digest}"));
            write_file(&path, &bytes)?;
            files.insert(digest, StagedFile { path, digest, kind: FileKind::DeleteVector });
        }
        let files = files.into_values().collect();
        staged.push(StagedTablet::stage(storage.roots(), staging, id, &tablet.replicas, root, files)?);
    }
    Ok((changes, staged))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    // An attempt before this one may have left it.
    disk::remove_file_if_there(path).at("remove", path)?;
    let mut file = create_file(path)?;
    file.write_all(bytes).at("write", path)?;
    sync_file(&file, path)
}

/// One transaction: every change, or none and `None` when a segment has changed since it was read, or rows have come.
fn publish(
    storage: &Storage,
    load: &LoadRow,
    spec: &DeleteSpec,
    read: &Read,
    changes: &[Change],
    staged: &[StagedTablet],
) -> Result<Option<LoadReceipt>> {
    let rows: u64 = changes.iter().map(Change::rows).sum();
    let bytes: u64 = changes.iter().filter_map(|change| change.after).map(|after| after.bytes).sum();
    let published = storage.catalog().write(|write| {
        if versions_of(write.partitions(read.table)?.iter(), spec) != read.versions {
            return Err(Error::Conflict(CHANGED.to_owned()));
        }
        let mut partitions: Vec<PartitionId> = changes.iter().map(|change| change.candidate.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        for partition in partitions {
            check_live(write, partition)?;
            write.raise_visible_version(partition)?;
        }
        let mut done: Vec<(RowsetId, Digest)> = Vec::with_capacity(changes.len());
        for change in changes {
            let place = (change.candidate.rowset, change.candidate.segment.digest);
            // The same bytes twice in one rowset are changed together.
            if !done.contains(&place) {
                change.apply(write)?;
                done.push(place);
            }
        }
        staged.iter().try_for_each(|tablet| tablet.mark_bad_replicas(write))?;
        write.finish_load(load.id, rows, 0, bytes)
    }); // Commit point.
    match published {
        Ok(()) => {
            let (transaction_id, label) = (load.id, load.label.clone());
            Ok(Some(LoadReceipt { transaction_id, label, rows, filtered_rows: 0, bytes }))
        }
        // Only what this very transaction found changed leads here.
        Err(Error::Conflict(text)) if text == CHANGED => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a transaction is given up that finds something changed. Never shown.
const CHANGED: &str = "the table has changed";

impl Change {
    /// Rows that this change deletes.
    fn rows(&self) -> u64 {
        let segment = &self.candidate.segment;
        let before = segment.deletes.map_or(0, |deletes| deletes.rows);
        self.after.map_or(segment.rows, |after| after.rows) - before
    }

    fn apply(&self, write: &WriteTransaction<'_>) -> Result<()> {
        let Candidate { tablet, rowset, segment, .. } = &self.candidate;
        let tablet = tablet.tablet.id;
        let changed = match &self.after {
            None => write.remove_segment(tablet, *rowset, segment)?,
            Some(after) => write.replace_deletes(tablet, *rowset, &segment.digest, segment.deletes.as_ref(), after)?,
        };
        if changed { Ok(()) } else { Err(Error::Conflict(CHANGED.to_owned())) }
    }
}

fn check_live(write: &WriteTransaction<'_>, partition: PartitionId) -> Result<()> {
    let live = match write.partition_by_id(partition)? {
        Some(partition) if partition.dropped_at_ms.is_none() && partition.hidden_by.is_none() => {
            let table = write.table_by_id(partition.table_id)?;
            table.is_some_and(|table| table.dropped_at_ms.is_none() && table.hidden_by.is_none())
        }
        _ => false,
    };
    if live { Ok(()) } else { Err(Error::Conflict(CHANGED.to_owned())) }
}

/// Hands installed delete vectors that nothing names to the collector.
fn discard(storage: &Storage, changes: &[Change]) {
    let discarded = storage.catalog().write(|write| {
        for change in changes {
            if let Some(after) = &change.after {
                write.discard_file(change.candidate.tablet.tablet.id, &after.digest, FileKind::DeleteVector)?;
            }
        }
        Ok(())
    });
    if let Err(error) = discarded {
        tracing::warn!(%error, "files of a failed delete stay for a while");
        storage.expect_orphans();
    }
}

#[cfg(test)]
mod tests;
