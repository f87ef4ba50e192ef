//! Reading what is wanted of a snapshot: commit object, table nodes, partition nodes, each checked on its own and
//! against what refers to it. The partition nodes are kept beside the job, so that no later step reads them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::{RestoreJob, RestoreSelection, Source, SourcePartition, SourceTable, check, submit};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::{BundleWriter, JobContext, JobFiles};
use crate::repository::format::{FormatError, PartitionEntry, PartitionNode, SnapshotTable, TableNode};
use crate::repository::{HeldNode, Repository, layout};

/// The bundle of the partition nodes, by the digests they have in the repository.
const PARTITIONS: &str = "partitions";

/// Most tablets of one restore, and most partitions: as many as of one table. They are made in one transaction, and
/// until then held in memory.
const TABLETS_MAX: u64 = check::TABLETS_MAX;

/// Most files of one restore, one that is named twice counted twice. Each is pinned in the catalog.
const FILES_MAX: u64 = 5_000_000;

/// What the partition nodes are added to as they come.
type Kept = Arc<Mutex<BundleWriter>>;

/// Tables that are read at the same time: most have few partitions, and each begins with one request.
const TABLES_IN_FLIGHT_MAX: usize = 4;

/// Partition nodes of one table that are read at the same time.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// What is wanted of all tables together. Tables may refer to one node, and partitions to one, so little in a repository
/// can stand for more than there is room for anywhere.
#[derive(Debug, Default)]
struct Size {
    tablets: AtomicU64,
    files: AtomicU64,
}

impl Size {
    /// Adds what is wanted of a table, before anything is made of it.
    fn add(&self, wanted: &[PartitionEntry]) -> Result<()> {
        let add = |to: &AtomicU64, number: fn(&PartitionEntry) -> u64| {
            let more = wanted.iter().map(number).fold(0, u64::saturating_add);
            // Both are below the limits of a table, so that their sum is a number.
            to.fetch_add(more, Ordering::Relaxed).saturating_add(more)
        };
        let tablets = add(&self.tablets, |partition| u64::from(partition.buckets));
        let files = add(&self.files, |partition| partition.objects);
        for (what, wanted, max) in [("tablets", tablets, TABLETS_MAX), ("files", files, FILES_MAX)] {
            if wanted > max {
                return Err(Error::invalid(format!(
                    "the snapshot has more than {max} {what}, more than one restore can bring: restore its tables one \
                     after the other, with RESTORE SNAPSHOT … (TABLE …)"
                )));
            }
        }
        Ok(())
    }
}

/// Reads what is wanted of the job's snapshot.
pub(super) async fn read(
    context: &JobContext,
    repository: &Repository,
    job: &RestoreJob,
) -> Result<(Source, Vec<RestoreSelection>)> {
    let files = context.files.clone();
    let kept = context
        .blocking(move || {
            files.reset()?;
            Ok(Arc::new(Mutex::new(files.bundle(PARTITIONS)?)))
        })
        .await?;
    let manifest = context
        .retry("read snapshot", || async { Ok(repository.read_manifest(&job.label, &job.timestamp).await?) })
        .await?;
    let selections = submit::select(&job.objects, &manifest)?;
    // Selected from these very tables.
    let entries = selections.iter().filter_map(|selection| Some((manifest.table(&selection.table)?, selection)));
    let entries: Vec<(&SnapshotTable, &RestoreSelection)> = entries.collect();
    let all = Size::default();
    let tables = stream::iter(0..entries.len())
        .map(|position| {
            let (entry, selection) = entries[position];
            read_table(context, repository, &kept, &all, entry, selection).boxed()
        })
        .buffered(TABLES_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    // Everybody else who had it is done.
    let kept = Arc::into_inner(kept).ok_or_else(|| Error::Internal("a partition node is still being kept".into()))?;
    context.blocking(move || kept.into_inner().finish()).await?;
    let source = Source {
        label: manifest.label,
        timestamp: manifest.timestamp.to_string(),
        database: manifest.database,
        tables,
    };
    Ok((source, selections))
}

/// A partition node that was read before.
pub(super) fn load_partition(files: &JobFiles, node: &Digest) -> Result<PartitionNode> {
    Ok(serde_json::from_slice(&files.get_piece(PARTITIONS, node)?)?)
}

async fn read_table(
    context: &JobContext,
    repository: &Repository,
    kept: &Kept,
    all: &Size,
    entry: &SnapshotTable,
    selection: &RestoreSelection,
) -> Result<SourceTable> {
    let node: HeldNode<TableNode> =
        context.retry("read table node", || async { Ok(repository.read_table_node(&entry.node).await?) }).await?;
    entry.check(&node).map_err(|error| unusable(&entry.node.digest, error))?;
    check::table(&entry.name, &node).map_err(|error| unusable(&entry.node.digest, error))?;
    let is_wanted = |partition: &PartitionEntry| {
        selection.partitions.is_empty()
            || selection.partitions.iter().any(|name| name.eq_ignore_ascii_case(&partition.name))
    };
    let wanted: Vec<PartitionEntry> =
        node.partitions.iter().filter(|partition| is_wanted(partition)).cloned().collect();
    all.add(&wanted)?;
    let node = &*node;
    let partitions = stream::iter(wanted.into_iter().map(Ok::<_, Error>))
        .map_ok(|partition| read_partition(context, repository, kept, node, partition))
        .try_buffered(NODES_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok(SourceTable {
        name: entry.name.clone(),
        auto_increment_next: node.auto_increment_next.unwrap_or(1),
        definition: node.definition.clone(),
        partitions,
    })
}

async fn read_partition(
    context: &JobContext,
    repository: &Repository,
    kept: &Kept,
    table: &TableNode,
    entry: PartitionEntry,
) -> Result<SourcePartition> {
    let node: HeldNode<PartitionNode> = context
        .retry("read partition node", || async { Ok(repository.read_partition_node(&entry.node).await?) })
        .await?;
    entry.check(&node, table.indexes.len()).map_err(|error| unusable(&entry.node.digest, error))?;
    check::partition(&table.definition, &node).map_err(|error| unusable(&entry.node.digest, error))?;
    let (kept, digest) = (Arc::clone(kept), entry.node.digest);
    context.blocking(move || kept.lock().add(digest, &serde_json::to_vec(&*node)?)).await?;
    Ok(SourcePartition {
        name: entry.name,
        bounds: entry.bounds,
        buckets: entry.buckets,
        replication_num: entry.replication_num,
        properties: entry.properties,
        node: entry.node.digest,
        rows: entry.rows,
        bytes: entry.bytes,
        files: entry.objects,
    })
}

/// A node that reads but makes no sense.
fn unusable(node: &Digest, source: FormatError) -> Error {
    crate::repository::RepositoryError::Format { key: layout::tree(node).to_string(), source }.into()
}
