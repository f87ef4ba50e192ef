//! Who needs what is damaged: the tree is walked once more, from the snapshots that are there now, but only when
//! something was found. What no snapshot needs any more was dropped meanwhile and is no error.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::VerifyJob;
use super::census::{Snapshots, snapshot_key};
use super::reader::{Read, Reader};
use crate::catalog::{FileKind, Problem};
use crate::digest::Digest;
use crate::error::Result;
use crate::repository::format::{PartitionNode, SnapshotManifest, TableNode};
use crate::repository::{HeldNode, RepositoryError, SnapshotListing, layout};

/// Snapshots that are named for each finding, and tables for each of those; more are counted.
const NAMED_MAX: usize = 8;

/// Partition nodes of one table that are read at the same time.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// Who needs an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Snapshots.
    pub(super) snapshots: u64,
    /// The first of them with their tables, for people.
    pub(super) named: Vec<String>,
}

/// Objects of one snapshot that are named to the catalog; that there are more is told as well.
const OBJECTS_OF_SNAPSHOT_MAX: usize = 64;

/// Who needs what is damaged.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// For each finding of the job by its key.
    pub(super) of_keys: HashMap<String, Need>,
    /// The keys that a snapshot needs, and whether there are more, for each snapshot that needs one.
    pub(super) of_snapshots: HashMap<(String, String), (Vec<String>, bool)>,
}

/// Who needs what the job has found. Nobody does when nothing was found.
pub(super) async fn find(reader: &Reader<'_>, job: &VerifyJob, snapshots: &Snapshots) -> Result<Option<Needs>> {
    if job.counts.errors == 0 {
        return Ok(None);
    }
    let id = reader.context.id;
    let findings = reader.context.read(move |read| read.findings(id)).await?;
    let keys = findings.into_iter().filter(|finding| finding.problem != Problem::Foreign);
    let keys: Vec<String> = keys.map(|finding| finding.object_key).collect();
    let mut search = Search {
        reader,
        places: keys.iter().enumerate().map(|(place, key)| (key.clone(), place)).collect(),
        tables: HashMap::new(),
        partitions: HashMap::new(),
        needs: vec![Need::default(); keys.len()],
        of_snapshots: HashMap::new(),
    };
    for listing in &snapshots.listed {
        let read = || reader.repository.read_manifest(&listing.label, &listing.timestamp);
        match reader.read("read snapshot", read).await? {
            Read::Whole(manifest) => search.snapshot(&manifest).await?,
            Read::Damaged(fault) => {
                let found = search.needs_itself(listing);
                if fault.problem == Problem::Missing && !snapshots.may_be_dropped && !found {
                    let (label, timestamp) = (listing.label.clone(), listing.timestamp.to_string());
                    return Err(RepositoryError::SnapshotNotFound { label, timestamp }.into());
                }
            }
        }
    }
    search.everybody_needs(layout::repository_info().as_str(), &snapshots.listed);
    let named = |(places, more): (Vec<usize>, bool)| {
        (places.into_iter().map(|place| keys[place].clone()).collect::<Vec<_>>(), more)
    };
    let of_snapshots = search.of_snapshots.into_iter().map(|(snapshot, places)| (snapshot, named(places))).collect();
    Ok(Some(Needs { of_snapshots, of_keys: keys.iter().cloned().zip(search.needs).collect() }))
}

/// Which of the keys a node is or refers to, by their places.
type Hits = Arc<Vec<usize>>;

struct Search<'a> {
    reader: &'a Reader<'a>,
    places: HashMap<String, usize>,
    tables: HashMap<Digest, Hits>,
    partitions: HashMap<Digest, Hits>,
    needs: Vec<Need>,
    /// By label and timestamp: places of keys, and whether there are more.
    of_snapshots: HashMap<(String, String), (Vec<usize>, bool)>,
}

impl Search<'_> {
    async fn snapshot(&mut self, manifest: &SnapshotManifest) -> Result<()> {
        let mut tables_of: HashMap<usize, Vec<&str>> = HashMap::new();
        for table in &manifest.tables {
            for place in self.table(table.node.digest, table).await?.iter() {
                tables_of.entry(*place).or_default().push(&table.name);
            }
        }
        for (place, tables) in tables_of {
            let more = match tables.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let tables = tables[..tables.len().min(NAMED_MAX)].join(", ");
            self.add(place, format!("{} ({}): {tables}{more}", manifest.label, manifest.timestamp));
            self.note(manifest.label.clone(), manifest.timestamp.to_string(), place);
        }
        Ok(())
    }

    fn note(&mut self, label: String, timestamp: String, place: usize) {
        let (places, more) = self.of_snapshots.entry((label, timestamp)).or_default();
        match places.len() < OBJECTS_OF_SNAPSHOT_MAX {
            true => places.push(place),
            false => *more = true,
        }
    }

    async fn table(&mut self, digest: Digest, entry: &crate::repository::format::SnapshotTable) -> Result<Hits> {
        if let Some(hits) = self.tables.get(&digest) {
            return Ok(Arc::clone(hits));
        }
        let reader = self.reader;
        let mut hits: Vec<usize> = self.place_of_node(&digest).into_iter().collect();
        let read = reader.read("read table node", || reader.repository.read_table_node(&entry.node)).await?;
        if let Read::Whole(node) = read {
            let node: HeldNode<TableNode> = node;
            let this = &*self;
            let mut unknown: Vec<_> = node
                .partitions
                .iter()
                .map(|partition| partition.node)
                .filter(|node| !self.partitions.contains_key(&node.digest))
                .collect();
            // Any number of partitions may have one node.
            unknown.sort_unstable_by_key(|node| node.digest);
            unknown.dedup_by_key(|node| node.digest);
            let mut reads = stream::iter(0..unknown.len())
                .map(|position| {
                    let node = unknown[position];
                    async move {
                        let read = || reader.repository.read_partition_node(&node);
                        let read = reader.read("read partition node", read).await?;
                        // At once: what waits for its turn here must not keep the room that others wait for.
                        Ok::<_, crate::Error>((node.digest, Arc::new(this.hits_of_partition(&node.digest, &read))))
                    }
                    .boxed()
                })
                .buffered(NODES_IN_FLIGHT_MAX);
            let mut known = Vec::new();
            while let Some(hits) = reads.try_next().await? {
                known.push(hits);
            }
            drop(reads);
            self.partitions.extend(known);
            for partition in &node.partitions {
                hits.extend(self.partitions.get(&partition.node.digest).into_iter().flat_map(|hits| hits.iter()));
            }
        }
        hits.sort_unstable();
        hits.dedup();
        let hits = Arc::new(hits);
        self.tables.insert(digest, Arc::clone(&hits));
        Ok(hits)
    }

    fn hits_of_partition(&self, digest: &Digest, read: &Read<HeldNode<PartitionNode>>) -> Vec<usize> {
        let mut hits: Vec<usize> = self.place_of_node(digest).into_iter().collect();
        if let Read::Whole(node) = read {
            for segment in node.segments() {
                let deletes = segment.deletes.map(|deletes| (FileKind::DeleteVector, deletes.digest));
                for (kind, digest) in std::iter::once((FileKind::Segment, segment.digest)).chain(deletes) {
                    hits.extend(self.places.get(layout::object(kind, &digest).as_str()));
                }
            }
        }
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    fn place_of_node(&self, digest: &Digest) -> Option<usize> {
        self.places.get(layout::tree(digest).as_str()).copied()
    }

    /// A snapshot whose commit object cannot be read needs it. Returns whether that was found before.
    fn needs_itself(&mut self, listing: &SnapshotListing) -> bool {
        let place = self.places.get(&snapshot_key(listing)).copied();
        if let Some(place) = place {
            self.add(place, format!("{} ({})", listing.label, listing.timestamp));
            self.note(listing.label.clone(), listing.timestamp.to_string(), place);
        }
        place.is_some()
    }

    fn everybody_needs(&mut self, key: &str, listed: &[SnapshotListing]) {
        let Some(place) = self.places.get(key).copied() else { return };
        let named = vec!["every snapshot of the repository".to_owned()];
        self.needs[place] = Need { snapshots: listed.len() as u64, named };
        for snapshot in listed {
            self.note(snapshot.label.clone(), snapshot.timestamp.to_string(), place);
        }
    }

    fn add(&mut self, place: usize, named: String) {
        let need = &mut self.needs[place];
        need.snapshots += 1;
        if need.named.len() < NAMED_MAX {
            need.named.push(named);
        }
    }
}

impl Need {
    /// For people: who needs it.
    pub(super) fn describe(&self) -> String {
        let more = match self.snapshots.saturating_sub(self.named.len() as u64) {
            more if more > 0 && self.named.len() == NAMED_MAX => format!("; and {more} more"),
            _ => String::new(),
        };
        format!("{}{more}", self.named.join("; "))
    }
}
