//! What a backup has to upload: the cut minus what the repository holds.
//!
//! What it holds is known from a parent, a snapshot of the same database: what a parent names is there, and because
//! nodes are named by their content, a whole unchanged table is recognised by one digest. Only where digests differ are
//! the parent's nodes read, so a backup without changes costs the same few requests whatever the size of the database.
//!
//! Where no parent can tell (the first backup, a table that the parent left out, a job that was interrupted), listing
//! the objects once is cheaper than offering each of them, as soon as there are more than a few. An object that is
//! offered although it is there costs a request and is left alone; so a wrong guess is never wrong data.
//!
//! A store that has lost or damaged something is believed until a VERIFY finds it out. What that has found is not taken
//! for present, whatever any parent says: a backup that needs it puts it again, so that no later snapshot refers to it.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::ParentCandidate;
use super::cut::{Cut, CutPartition, CutTable, load_node};
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{RepositoryId, TabletId};
use crate::job::{Amount, JobContext};
use crate::repository::format::{NodeRef, PartitionEntry, PartitionNode, SnapshotLock, SnapshotManifest, TableNode};
use crate::repository::{
    HeldNode, ObjectLock, ObjectRef, Repository, RepositoryError, RepositoryResult, StoreErrorKind, layout,
};

/// The file that holds the plan.
const PLAN: &str = "upload.json";

/// Files of unknown presence from which on the objects of the repository are listed: a page of the listing tells of
/// a thousand objects, an offer of one.
const LIST_WORTH_FILES_MIN: usize = 16;

/// Nodes of the parent that are read at the same time.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// What a backup has to upload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadPlan {
    /// Files, largest first, so that none of the large ones is begun last.
    pub(super) objects: Vec<WantedObject>,
    /// Nodes of partitions.
    pub(super) partition_nodes: Vec<NodeRef>,
    /// Nodes of tables.
    pub(super) table_nodes: Vec<NodeRef>,
    /// Files that are there although the parent does not name them.
    #[serde(default)]
    pub(super) present: Vec<WantedObject>,
    /// The lock that what is uploaded gets.
    #[serde(default)]
    pub(super) lock: Option<ObjectLock>,
    /// The lock that everything the parent names has at least.
    #[serde(default)]
    pub(super) parent_lock: Option<SnapshotLock>,
    /// Keys of what was found damaged in the repository and is put again.
    #[serde(default)]
    pub(super) mends: Vec<String>,
}

/// A file to upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WantedObject {
    /// What it is.
    pub(super) kind: FileKind,
    /// Its name and checksum.
    pub(super) digest: Digest,
    /// Its size.
    pub(super) bytes: u64,
    /// A tablet that has it.
    pub(super) tablet: TabletId,
    /// The table of that tablet, for people.
    pub(super) table: String,
    /// Whether the repository's own is known to be missing or damaged.
    #[serde(default)]
    pub(super) mend: bool,
}

/// What is known of a repository's contents.
#[derive(Debug, Default)]
struct Presence {
    /// Files that are there.
    objects: HashSet<(FileKind, Digest)>,
}

impl UploadPlan {
    /// Compares the cut with the repository.
    pub(super) async fn make(
        context: &JobContext,
        repository: &Repository,
        repository_id: RepositoryId,
        cut: &Cut,
        database: &str,
        parents: &[ParentCandidate],
    ) -> Result<UploadPlan> {
        let parent = find_parent(context, repository, database, parents).await?;
        let mut plan = UploadPlan {
            lock: repository.object_lock(),
            parent_lock: parent.as_ref().and_then(|parent| parent.locked),
            ..UploadPlan::default()
        };
        let mut seen = HashSet::new();
        let mut unknown = 0;
        let is_changed = |table: &&CutTable| {
            let in_parent = |parent: &SnapshotManifest| {
                parent.tables.iter().any(|other| other.node.digest == table.entry.node.digest)
            };
            !parent.as_ref().is_some_and(in_parent)
        };
        let changed: Vec<&CutTable> = cut.tables.iter().filter(is_changed).collect();
        let mut befores = stream::iter(0..changed.len())
            .map(|position| table_before(context, repository, parent.as_ref(), changed[position]).boxed())
            .buffered(NODES_IN_FLIGHT_MAX);
        for table in &changed {
            plan.table_nodes.push(table.entry.node);
            let before = befores.try_next().await?.flatten();
            let changed: Vec<(&CutPartition, Option<&PartitionEntry>)> = table
                .partitions
                .iter()
                .filter_map(|partition| match &before {
                    Some(before) if before.partitions.iter().any(|other| other.node == partition.node) => None,
                    Some(before) => Some((partition, before.partition(&partition.name))),
                    None => Some((partition, None)),
                })
                .collect();
            let mut known = stream::iter(0..changed.len())
                .map(|position| Presence::of_entry(context, repository, changed[position].1).boxed())
                .buffered(NODES_IN_FLIGHT_MAX);
            for (partition, _) in &changed {
                plan.partition_nodes.push(partition.node);
                let known = known.try_next().await?.flatten();
                // What came into being after the parent can be in no older snapshot of this cluster.
                let newer = parent.as_ref().is_some_and(|parent| parent.timestamp_ms < partition.created_at_ms);
                let guessed = known.is_none() && !newer;
                let wanted = wanted_objects(context, table, partition, &known.unwrap_or_default()).await?;
                if guessed {
                    unknown += wanted.len();
                }
                plan.objects.extend(wanted.into_iter().filter(|object| seen.insert((object.kind, object.digest))));
            }
        }
        plan.add_damaged(context, repository_id, cut).await?;
        plan.partition_nodes.sort_unstable_by_key(|node| node.digest);
        plan.partition_nodes.dedup();
        plan.table_nodes.sort_unstable_by_key(|node| node.digest);
        plan.table_nodes.dedup();
        if unknown >= LIST_WORTH_FILES_MIN || context.resumed {
            plan.leave_out_present(context, repository).await?;
        }
        plan.objects.sort_by(|left, right| right.bytes.cmp(&left.bytes).then(left.digest.cmp(&right.digest)));
        Ok(plan)
    }

    /// Adds what the cut needs of what a VERIFY found missing or damaged. As a rule there is nothing of the kind, and then
    /// no node of the cut is read for it.
    async fn add_damaged(&mut self, context: &JobContext, repository: RepositoryId, cut: &Cut) -> Result<()> {
        let damage = context.read(move |read| read.damage(repository)).await?;
        if damage.is_empty() {
            return Ok(());
        }
        let objects: HashSet<(FileKind, Digest)> =
            damage.iter().filter_map(|finding| layout::parse_object(&finding.object_key)).collect();
        let nodes: HashSet<Digest> =
            damage.iter().filter_map(|finding| layout::parse_tree(&finding.object_key)).collect();
        let mut mends = BTreeSet::new();
        let mut known: HashMap<(FileKind, Digest), usize> =
            self.objects.iter().enumerate().map(|(place, object)| ((object.kind, object.digest), place)).collect();
        for table in &cut.tables {
            if nodes.contains(&table.entry.node.digest) {
                self.table_nodes.push(table.entry.node);
                mends.insert(layout::tree(&table.entry.node.digest).to_string());
            }
            for partition in &table.partitions {
                if nodes.contains(&partition.node.digest) {
                    self.partition_nodes.push(partition.node);
                    mends.insert(layout::tree(&partition.node.digest).to_string());
                }
                for mut wanted in objects_of(context, table, partition).await? {
                    let name = (wanted.kind, wanted.digest);
                    if !objects.contains(&name) {
                        continue;
                    }
                    mends.insert(layout::object(wanted.kind, &wanted.digest).to_string());
                    match known.get(&name) {
                        Some(place) => self.objects[*place].mend = true,
                        None => {
                            wanted.mend = true;
                            known.insert(name, self.objects.len());
                            self.objects.push(wanted);
                        }
                    }
                }
            }
        }
        tracing::info!(found = damage.len(), needed = mends.len(), "objects were found damaged in the repository");
        self.mends = mends.into_iter().collect();
        Ok(())
    }

    /// Remembers that what was found damaged has been put again.
    pub(super) async fn forget_damage(&self, context: &JobContext, repository: RepositoryId) -> Result<()> {
        if self.mends.is_empty() {
            return Ok(());
        }
        let mends = self.mends.clone();
        context.write("UPLOAD_INFO", move |write, _| write.mend_findings(repository, &mends)).await
    }

    /// Lists the objects of the repository once, when that is worth it, and leaves out those that are there.
    pub(super) async fn leave_out_present(&mut self, context: &JobContext, repository: &Repository) -> Result<()> {
        if self.objects.len() < LIST_WORTH_FILES_MIN {
            return Ok(());
        }
        let present = context.retry("list objects", || async { Ok(repository.list_objects().await?) }).await?;
        let before = self.objects.len();
        // One of the wrong size is offered again, and the repository says what is wrong with it.
        let is_present = |object: &mut WantedObject| {
            !object.mend && present.get(&(object.kind, object.digest)) == Some(&object.bytes)
        };
        self.present.extend(self.objects.extract_if(.., is_present));
        tracing::info!(wanted = before, present = before - self.objects.len(), "listed the repository's objects");
        Ok(())
    }

    /// Files to upload.
    pub(super) fn files(&self) -> Amount {
        let bytes = self.objects.iter().map(|object| object.bytes).fold(0, u64::saturating_add);
        Amount { files: self.objects.len() as u64, bytes }
    }

    /// Bytes of nodes to put.
    pub(super) fn node_bytes(&self) -> u64 {
        let nodes = self.partition_nodes.iter().chain(&self.table_nodes);
        nodes.map(|node| node.bytes).fold(0, u64::saturating_add)
    }

    /// Writes the plan down.
    pub(super) async fn save(&self, context: &JobContext) -> Result<()> {
        let (files, bytes) = (context.files.clone(), serde_json::to_vec(self)?);
        context.blocking(move || files.put(PLAN, &bytes)).await
    }

    /// Reads the plan that was written.
    pub(super) async fn load(context: &JobContext) -> Result<UploadPlan> {
        let files = context.files.clone();
        context.blocking(move || Ok(serde_json::from_slice(&files.get(PLAN)?)?)).await
    }
}

impl WantedObject {
    /// The file as repositories know it.
    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef { kind: self.kind, digest: self.digest, bytes: self.bytes }
    }
}

impl Presence {
    /// What a partition of the parent names; nothing when there is none.
    async fn of_entry(
        context: &JobContext,
        repository: &Repository,
        entry: Option<&PartitionEntry>,
    ) -> Result<Option<Presence>> {
        let Some(entry) = entry else {
            return Ok(None);
        };
        let node: Option<HeldNode<PartitionNode>> = context
            .retry("read partition node", || async { usable(repository.recall_node(&entry.node).await) })
            .await?;
        Ok(node.map(|node| Presence::of_partition(&node)))
    }

    fn of_partition(node: &PartitionNode) -> Presence {
        let objects = node.segments().flat_map(|segment| {
            let deletes = segment.deletes.map(|deletes| (FileKind::DeleteVector, deletes.digest));
            std::iter::once((FileKind::Segment, segment.digest)).chain(deletes)
        });
        Presence { objects: objects.collect() }
    }

    fn has(&self, kind: FileKind, digest: Digest) -> bool {
        self.objects.contains(&(kind, digest))
    }
}

/// The first candidate that is there and is of this database.
async fn find_parent(
    context: &JobContext,
    repository: &Repository,
    database: &str,
    candidates: &[ParentCandidate],
) -> Result<Option<SnapshotManifest>> {
    for candidate in candidates {
        let read = context
            .retry("read parent snapshot", || async {
                usable(repository.read_manifest(&candidate.label, &candidate.timestamp).await)
            })
            .await?;
        if let Some(manifest) = read.filter(|manifest| manifest.database == database) {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// The table as the parent has it.
async fn table_before(
    context: &JobContext,
    repository: &Repository,
    parent: Option<&SnapshotManifest>,
    table: &CutTable,
) -> Result<Option<TableNode>> {
    let Some(entry) = parent.and_then(|parent| parent.table(&table.entry.name)) else {
        return Ok(None);
    };
    let node: Option<HeldNode<TableNode>> =
        context.retry("read table node", || async { usable(repository.recall_node(&entry.node).await) }).await?;
    Ok(node.map(HeldNode::into_inner))
}

/// What was read of a parent; `None` when it has been dropped meanwhile or is damaged. A parent only saves work: an old
/// snapshot that is beyond use must not keep anybody from making a new one.
fn usable<T>(read: RepositoryResult<T>) -> Result<Option<T>> {
    let beyond_use = match &read {
        Ok(_) => false,
        Err(RepositoryError::Store(error)) => {
            matches!(error.kind(), StoreErrorKind::NotFound | StoreErrorKind::Corrupt)
        }
        Err(error) => matches!(
            error,
            RepositoryError::SnapshotNotFound { .. }
                | RepositoryError::Format { .. }
                | RepositoryError::CorruptObject { .. }
        ),
    };
    match read {
        Err(error) if beyond_use => {
            tracing::warn!(%error, "an earlier snapshot cannot be used to tell what the repository holds");
            Ok(None)
        }
        read => Ok(read.map(Some)?),
    }
}

/// All files of a partition.
pub(super) async fn objects_of(
    context: &JobContext,
    table: &CutTable,
    partition: &CutPartition,
) -> Result<Vec<WantedObject>> {
    wanted_objects(context, table, partition, &Presence::default()).await
}

/// The files of a partition that are not known to be present.
async fn wanted_objects(
    context: &JobContext,
    table: &CutTable,
    partition: &CutPartition,
    known: &Presence,
) -> Result<Vec<WantedObject>> {
    let node: PartitionNode = load_node(context, partition.node).await?;
    let mut wanted = Vec::new();
    for tablet in &node.tablets {
        let id = partition.tablet(tablet.index, tablet.bucket)?;
        for segment in tablet.rowsets.iter().flat_map(|rowset| &rowset.segments) {
            let deletes = segment.deletes.map(|deletes| (FileKind::DeleteVector, deletes.digest, deletes.bytes));
            let files = std::iter::once((FileKind::Segment, segment.digest, segment.bytes)).chain(deletes);
            let missing = files.filter(|(kind, digest, _)| !known.has(*kind, *digest));
            wanted.extend(missing.map(|(kind, digest, bytes)| WantedObject {
                kind,
                digest,
                bytes,
                tablet: id,
                table: table.entry.name.clone(),
                mend: false,
            }));
        }
    }
    Ok(wanted)
}
