//! The census: everything that snapshots refer to, each thing once. On the way every commit object and every node is
//! read and checked as a restore would check it, on its own and against what refers to it.
//!
//! What comes from a repository is somebody else's: a node that fails a check is a finding, and what it refers to is not
//! looked at. Memory is bounded by [`OBJECTS_MAX`] and by the nodes in flight.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::VerifiedSnapshot;
use super::reader::{Fault, Finding, Read, Reader};
use crate::catalog::{FileKind, Problem};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::repository::format::{NodeRef, PartitionEntry, PartitionNode, SnapshotManifest, SnapshotTable, TableNode};
use crate::repository::{HeldNode, ObjectRef, SnapshotListing, layout};
use crate::restore::check;
use crate::schema::TableDefinition;

/// Most objects that one verification looks at: they are held in memory together, about a hundred bytes each.
const OBJECTS_MAX: usize = 5_000_000;

/// Most bytes of different definitions of tables, as JSON: they are held in memory together.
const DEFINITIONS_BYTES_MAX: usize = 256 << 20;

/// Commit objects that are read at the same time.
const MANIFESTS_IN_FLIGHT_MAX: usize = 4;

/// Tables of one snapshot that are read at the same time.
const TABLES_IN_FLIGHT_MAX: usize = 4;

/// Partition nodes of one table that are read at the same time.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// What the snapshots refer to.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Segments and delete vectors, in the order of their digests.
    pub(super) objects: Vec<WantedObject>,
    /// Nodes.
    pub(super) nodes: HashSet<Digest>,
    /// The definitions of the tables that segments are of.
    pub(super) definitions: Vec<Arc<TableDefinition>>,
    /// What is wrong with the tree, and keys among the snapshots that none can have.
    pub(super) findings: BTreeMap<String, Fault>,
    /// Snapshots that were read.
    pub(super) snapshots: u64,
    /// Commit objects and nodes that were read.
    pub(super) tree_objects: u64,
    /// Bytes of those.
    pub(super) tree_bytes: u64,
}

/// An object that snapshots need.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedObject {
    pub(super) object: ObjectRef,
    pub(super) role: Role,
    /// Its size in a listing that was made after the tree was read.
    pub(super) listed: Option<u64>,
}

/// What an object is to be, beyond its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A segment of so many rows, of the table with the definition at this position.
    Segment { rows: u64, definition: u32 },
    /// A delete vector that deletes so many rows of a segment of so many; of the smallest, when there are several.
    Deletes { rows: u64, of_rows: u64 },
}

/// The snapshots a job is about.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    pub(super) listed: Vec<SnapshotListing>,
    /// Whether one that is not there any more was dropped, and not lost: it had been listed.
    pub(super) may_be_dropped: bool,
    /// What is wrong beside the snapshots: the repository's own object, keys that no snapshot can have.
    pub(super) findings: Vec<Finding>,
}

/// The snapshots a job is about: one, or all there are.
pub(super) async fn snapshots(reader: &Reader<'_>, one: Option<&VerifiedSnapshot>) -> Result<Snapshots> {
    let mut findings = Vec::new();
    let identity = reader.read("look at the repository", || reader.repository.verify_identity()).await?;
    if let Read::Damaged(fault) = identity {
        findings.push(Finding { key: layout::repository_info().to_string(), fault });
    }
    if let Some(one) = one {
        let listing = SnapshotListing { label: one.label.clone(), timestamp: one.timestamp.clone() };
        return Ok(Snapshots { listed: vec![listing], may_be_dropped: false, findings });
    }
    let listings = reader.ask("list snapshots", || reader.repository.list_snapshots()).await?;
    let foreign = Fault::new(Problem::Foreign, "<label>/<timestamp>.json", "a key that no snapshot has");
    findings.extend(listings.invalid.into_iter().map(|key| Finding { key, fault: foreign.clone() }));
    Ok(Snapshots { listed: listings.snapshots, may_be_dropped: true, findings })
}

/// Reads the tree below the snapshots.
pub(super) async fn take(reader: &Reader<'_>, snapshots: &Snapshots) -> Result<Census> {
    let walk = Walk { reader, seen: Mutex::default() };
    for Finding { key, fault } in snapshots.findings.iter().cloned() {
        walk.find(key, fault);
    }
    let mut manifests = stream::iter(0..snapshots.listed.len())
        .map(|position| {
            async move {
                let listing = &snapshots.listed[position];
                let read = reader
                    .read("read snapshot", || reader.repository.read_manifest(&listing.label, &listing.timestamp));
                Ok::<_, Error>((listing, read.await?))
            }
            .boxed()
        })
        .buffered(MANIFESTS_IN_FLIGHT_MAX);
    while let Some((listing, read)) = manifests.try_next().await? {
        match read {
            Read::Whole(manifest) => walk.snapshot(&manifest).await?,
            Read::Damaged(fault) if fault.problem == Problem::Missing && snapshots.may_be_dropped => {}
            Read::Damaged(fault) => walk.find(snapshot_key(listing), fault),
        }
    }
    drop(manifests);
    Ok(walk.seen.into_inner().into_census())
}

/// The key of a snapshot that was listed.
pub(super) fn snapshot_key(listing: &SnapshotListing) -> String {
    // A label that came out of a key goes back into one; the fallback is for people's eyes alone.
    layout::snapshot(&listing.label, &listing.timestamp).map_or_else(|_| listing.label.clone(), |key| key.to_string())
}

/// A walk through the tree.
struct Walk<'a> {
    reader: &'a Reader<'a>,
    seen: Mutex<Seen>,
}

/// What the walk has met. A node is read again only for somebody who says something else about it.
#[derive(Default)]
struct Seen {
    census: Census,
    tables: HashSet<(NodeRef, [u64; 4])>,
    partitions: HashSet<(NodeRef, [u64; 5])>,
    objects: HashMap<(Digest, FileKind), (u64, Role)>,
    definitions: HashMap<Digest, u32>,
    definitions_bytes: usize,
}

impl Walk<'_> {
    fn find(&self, key: String, fault: Fault) {
        self.seen.lock().census.findings.entry(key).or_insert(fault);
    }

    async fn snapshot(&self, manifest: &SnapshotManifest) -> Result<()> {
        let tables: Vec<&SnapshotTable> = {
            let mut seen = self.seen.lock();
            seen.census.snapshots += 1;
            seen.census.tree_objects += 1;
            let is_new = |table: &&SnapshotTable| {
                let says = [table.partitions, table.objects, table.rows, table.bytes];
                seen.tables.insert((table.node, says))
            };
            manifest.tables.iter().filter(is_new).collect()
        };
        stream::iter((0..tables.len()).map(Ok))
            .try_for_each_concurrent(TABLES_IN_FLIGHT_MAX, |position| self.table(tables[position]).boxed())
            .await
    }

    async fn table(&self, entry: &SnapshotTable) -> Result<()> {
        let key = layout::tree(&entry.node.digest).to_string();
        let read = self.reader.read("read table node", || self.reader.repository.read_table_node(&entry.node)).await?;
        let node: HeldNode<TableNode> = match read {
            Read::Whole(node) => node,
            Read::Damaged(fault) => {
                self.seen.lock().census.nodes.insert(entry.node.digest);
                self.find(key, fault);
                return Ok(());
            }
        };
        let checked = entry.check(&node).and_then(|()| check::table(&entry.name, &node));
        let (definition, partitions) = {
            let mut seen = self.seen.lock();
            seen.count_node(&entry.node);
            let is_new = |partition: &&PartitionEntry| {
                let PartitionEntry { objects, rows, bytes, buckets, .. } = **partition;
                let says = [objects, rows, bytes, u64::from(buckets), node.indexes.len() as u64];
                seen.partitions.insert((partition.node, says))
            };
            let partitions: Vec<&PartitionEntry> = match checked {
                Ok(()) => node.partitions.iter().filter(is_new).collect(),
                Err(_) => Vec::new(),
            };
            if seen.partitions.len() > OBJECTS_MAX {
                return Err(too_much(&format!("{OBJECTS_MAX} partitions")));
            }
            (seen.definition(&node.definition)?, partitions)
        };
        if let Err(error) = checked {
            self.find(key, Fault::content(error.to_string()));
        }
        let node = &*node;
        stream::iter((0..partitions.len()).map(Ok))
            .try_for_each_concurrent(NODES_IN_FLIGHT_MAX, |position| {
                self.partition(node, definition, partitions[position]).boxed()
            })
            .await
    }

    async fn partition(&self, table: &TableNode, definition: u32, entry: &PartitionEntry) -> Result<()> {
        let key = layout::tree(&entry.node.digest).to_string();
        let reader = self.reader;
        let read = reader.read("read partition node", || reader.repository.read_partition_node(&entry.node)).await?;
        let node: HeldNode<PartitionNode> = match read {
            Read::Whole(node) => node,
            Read::Damaged(fault) => {
                self.seen.lock().census.nodes.insert(entry.node.digest);
                self.find(key, fault);
                return Ok(());
            }
        };
        let checked = entry.check(&node, table.indexes.len()).and_then(|()| check::partition(&table.definition, &node));
        self.seen.lock().count_node(&entry.node);
        if let Err(error) = checked {
            self.find(key, Fault::content(error.to_string()));
            return Ok(());
        }
        for segment in node.segments() {
            let role = Role::Segment { rows: segment.rows, definition };
            self.want(FileKind::Segment, segment.digest, segment.bytes, role)?;
            if let Some(deletes) = segment.deletes {
                let role = Role::Deletes { rows: deletes.rows, of_rows: segment.rows };
                self.want(FileKind::DeleteVector, deletes.digest, deletes.bytes, role)?;
            }
        }
        Ok(())
    }

    /// Notes an object that is referred to. Two who say different things about one cannot both be right.
    fn want(&self, kind: FileKind, digest: Digest, bytes: u64, role: Role) -> Result<()> {
        let contradiction = {
            let mut seen = self.seen.lock();
            match seen.objects.get_mut(&(digest, kind)) {
                None => {
                    if seen.objects.len() >= OBJECTS_MAX {
                        return Err(too_much(&format!("{OBJECTS_MAX} objects")));
                    }
                    seen.objects.insert((digest, kind), (bytes, role));
                    false
                }
                Some((known_bytes, known)) => {
                    let agrees = *known_bytes == bytes && known.agrees(role);
                    known.narrow(role);
                    !agrees
                }
            }
        };
        if contradiction {
            let key = layout::object(kind, &digest).to_string();
            self.find(key, Fault::content("nodes that refer to it name different sizes or numbers of rows"));
        }
        Ok(())
    }
}

fn too_much(what: &str) -> Error {
    Error::invalid(format!(
        "the snapshots refer to more than {what}, more than one verification holds in memory: verify snapshots one at a \
         time, with VERIFY SNAPSHOT"
    ))
}

impl Role {
    fn agrees(&self, other: Role) -> bool {
        match (self, other) {
            (Role::Segment { rows, .. }, Role::Segment { rows: others, .. })
            | (Role::Deletes { rows, .. }, Role::Deletes { rows: others, .. }) => *rows == others,
            _ => false,
        }
    }

    /// A delete vector must fit every segment that has it.
    fn narrow(&mut self, other: Role) {
        if let (Role::Deletes { of_rows, .. }, Role::Deletes { of_rows: others, .. }) = (self, other) {
            *of_rows = (*of_rows).min(others);
        }
    }
}

impl Seen {
    fn count_node(&mut self, node: &NodeRef) {
        if self.census.nodes.insert(node.digest) {
            self.census.tree_objects += 1;
            self.census.tree_bytes = self.census.tree_bytes.saturating_add(node.bytes);
        }
    }

    /// Snapshots of one table mostly have one definition.
    fn definition(&mut self, definition: &TableDefinition) -> Result<u32> {
        let json = serde_json::to_vec(definition)?;
        let digest = Digest::of(&json);
        let next = u32::try_from(self.census.definitions.len())
            .map_err(|_| Error::invalid("the snapshots have more table definitions than can be counted"))?;
        let known = *self.definitions.entry(digest).or_insert(next);
        if known == next {
            self.definitions_bytes = self.definitions_bytes.saturating_add(json.len());
            if self.definitions_bytes > DEFINITIONS_BYTES_MAX {
                return Err(too_much(&format!("{DEFINITIONS_BYTES_MAX} bytes of table definitions")));
            }
            self.census.definitions.push(Arc::new(definition.clone()));
        }
        Ok(known)
    }

    fn into_census(self) -> Census {
        let mut census = self.census;
        census.objects = self
            .objects
            .into_iter()
            .map(|((digest, kind), (bytes, role))| WantedObject {
                object: ObjectRef { kind, digest, bytes },
                role,
                listed: None,
            })
            .collect();
        census.objects.sort_unstable_by_key(|wanted| wanted.place());
        census
    }
}

impl WantedObject {
    /// Its place in the order of all.
    pub(super) fn place(&self) -> (Digest, FileKind) {
        (self.object.digest, self.object.kind)
    }
}
