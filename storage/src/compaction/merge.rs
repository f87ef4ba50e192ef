//! One compaction: reads the inputs, writes the outputs to staging, installs them, and shows them by one transaction.
//!
//! Until that transaction commits nothing has happened: staging is removed whatever comes, and files that were
//! installed in vain become garbage. After it, the inputs are garbage, and those who still read them keep them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{CompactionPlan, SegmentPlace};
use super::{CompactionReport, Outcome, only_tablet};
use crate::catalog::{FileKind, ReadTransaction, RowsetRow, SegmentMeta, TabletState, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::RowsetId;
use crate::roots::{StagedFile, StorageRoots};
use crate::segment::{SegmentFormat, SortedStream, WrittenSegment, merge, write_segments};
use crate::storage::Storage;
use crate::table_snapshot::TableSnapshot;
use crate::tablet::{StagedTablet, staging_for};

/// The segments of a plan, with what the catalog said of them.
type Inputs<'a> = Vec<(SegmentPlace, &'a SegmentMeta)>;

pub(super) fn run(storage: &Storage, snapshot: &Arc<TableSnapshot>, plan: &CompactionPlan) -> Result<Outcome> {
    let tablet = only_tablet(snapshot)?;
    let inputs = inputs_of(plan, &tablet.rowsets)?;
    let staging = Staging::new(storage.roots(), format!("compaction-{}", tablet.tablet.id))?;
    let (root, directory) = staging_for(storage.roots(), tablet.tablet.id, &tablet.replicas, &staging.name)?;

    let written = write(storage, snapshot, tablet, &inputs, plan, &directory)?;
    if storage.catalog().read(|read| is_overtaken(read, snapshot, tablet, &inputs))? {
        return Ok(Outcome::Overtaken);
    }
    let files = written
        .iter()
        .map(|segment| StagedFile { path: segment.path.clone(), digest: segment.meta.digest, kind: FileKind::Segment })
        .collect();
    let mut staged =
        StagedTablet::stage(storage.roots(), &staging.name, tablet.tablet.id, &tablet.replicas, root, files)?;
    let outputs: Vec<SegmentMeta> = written.into_iter().map(|segment| segment.meta).collect();

    let _gate = storage.pins().install_guard();
    let installed = staged.install(storage.roots());
    let published = installed.and_then(|()| {
        storage.catalog().write(|write| {
            if is_overtaken(write, snapshot, tablet, &inputs)? {
                for output in &outputs {
                    write.discard_file(tablet.tablet.id, &output.digest, FileKind::Segment)?;
                }
                return Ok(false);
            }
            replace(write, tablet, &inputs, &outputs)?;
            staged.mark_bad_replicas(write)?;
            Ok(true)
        })
    }); // Commit point.
    if !published.inspect_err(|_| storage.expect_orphans())? {
        return Ok(Outcome::Overtaken);
    }
    Ok(Outcome::Done(CompactionReport {
        tablet: tablet.tablet.id,
        reason: plan.reason,
        input_segments: inputs.len(),
        input_bytes: inputs.iter().map(|(_, segment)| segment.bytes).sum(),
        output_segments: outputs.len(),
        output_bytes: outputs.iter().map(|segment| segment.bytes).sum(),
        rows: outputs.iter().map(|segment| segment.rows).sum(),
    }))
}

fn inputs_of<'a>(plan: &CompactionPlan, rowsets: &'a [RowsetRow]) -> Result<Inputs<'a>> {
    plan.inputs.iter().map(|place| Ok((*place, find(rowsets, place).ok_or_else(not_there)?))).collect()
}

fn find<'a>(rowsets: &'a [RowsetRow], place: &SegmentPlace) -> Option<&'a SegmentMeta> {
    rowsets.iter().find(|rowset| rowset.id == place.rowset)?.segments.get(place.ordinal)
}

fn not_there() -> Error {
    Error::Internal("a compaction plan names a segment that is not there".to_owned())
}

/// Writes the live rows of the inputs, sorted, to `directory`.
fn write(
    storage: &Storage,
    snapshot: &TableSnapshot,
    tablet: &TabletState,
    inputs: &Inputs<'_>,
    plan: &CompactionPlan,
    directory: &std::path::Path,
) -> Result<Vec<WrittenSegment>> {
    let live_rows: u64 = inputs.iter().map(|(_, segment)| segment.live_rows()).sum();
    if live_rows == 0 {
        return Ok(Vec::new());
    }
    let id = tablet.tablet.id;
    let format = SegmentFormat::new(&snapshot.table().definition, storage.config())?;
    let mut streams: Vec<SortedStream> = Vec::with_capacity(inputs.len());
    for (_, segment) in inputs {
        if storage.background().is_stopping() {
            return Err(Error::Cancelled);
        }
        let segment = snapshot.segment(tablet, segment);
        let deletes = segment.delete_vector()?;
        let reader = segment.open(format.schema())?;
        streams.push(Box::new(reader.map(move |batch| batch?.live_rows(deletes.as_deref()))));
    }
    let stopping = storage.background().stopping();
    let merged = merge(format.sort_key(), streams)?
        .map(move |batch| if stopping.is_cancelled() { Err(Error::Cancelled) } else { batch });
    let written = write_segments(&format, directory, &id.to_string(), Box::new(merged), live_rows, plan.bytes_target)?;
    let rows: u64 = written.iter().map(|segment| segment.meta.rows).sum();
    if rows != live_rows {
        return Err(Error::Internal(format!("compaction of tablet {id} read {rows} rows where {live_rows} are live")));
    }
    Ok(written)
}

/// Whether an input is not what it was, or the table's columns are not.
fn is_overtaken(
    read: &ReadTransaction<'_>,
    snapshot: &TableSnapshot,
    tablet: &TabletState,
    inputs: &Inputs<'_>,
) -> Result<bool> {
    let Some(table) = read.table_by_id(snapshot.table().id)? else { return Ok(true) };
    let now = read.rowsets(tablet.tablet.id)?;
    let unchanged = inputs.iter().all(|(place, segment)| find(&now, place) == Some(*segment));
    Ok(!unchanged || table.definition.columns != snapshot.definition().columns)
}

/// Puts the outputs in place of the inputs. What else was in an input's rowset stays in a rowset of that version.
fn replace(
    write: &WriteTransaction<'_>,
    tablet: &TabletState,
    inputs: &Inputs<'_>,
    outputs: &[SegmentMeta],
) -> Result<()> {
    let mut replaced: BTreeMap<RowsetId, Vec<usize>> = BTreeMap::new();
    for (place, _) in inputs {
        replaced.entry(place.rowset).or_default().push(place.ordinal);
    }
    let mut version = 0;
    for rowset in write.rowsets(tablet.tablet.id)? {
        let Some(ordinals) = replaced.get(&rowset.id) else { continue };
        version = version.max(rowset.version);
        write.delete_rowset(&rowset)?;
        let others = rowset.segments.iter().enumerate().filter(|(ordinal, _)| !ordinals.contains(ordinal));
        let others: Vec<SegmentMeta> = others.map(|(_, segment)| segment.clone()).collect();
        if !others.is_empty() {
            write.create_rowset(tablet.tablet.id, rowset.version, &others)?;
        }
    }
    if !outputs.is_empty() {
        write.create_rowset(tablet.tablet.id, version, outputs)?;
    }
    Ok(())
}

/// The staging directories of one compaction, removed when it ends.
struct Staging<'a> {
    roots: &'a StorageRoots,
    name: String,
}

impl Staging<'_> {
    fn new(roots: &StorageRoots, name: String) -> Result<Staging<'_>> {
        roots.remove_staging(&name)?;
        Ok(Staging { roots, name })
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // Not to be done later by somebody else: the next compaction of the tablet has the same name, and begins with it.
        if let Err(error) = self.roots.remove_staging(&self.name) {
            tracing::warn!(%error, "staging of a compaction waits for the next one, or for the next start");
        }
    }
}
