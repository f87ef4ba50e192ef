//! Repositories: where backups go and come back from.
//!
//! A repository is a [`Location`] (a bucket or a directory), the [`RepositoryProperties`] to reach it, and a layout
//! of write-once objects below it: segments and delete vectors named by their digests, Merkle nodes that refer to
//! them, and one commit object per snapshot, which is written last. Nothing is ever changed, renamed or deleted here.
//!
//! [`Repository::create_or_attach`] proves a location when CREATE REPOSITORY names it; what it learns is an
//! [`Attachment`], which the catalog keeps; [`Repository::open`] makes a handle of it without a request. A handle is
//! cheap to share and keeps its connections: keep one per repository, not one per job.
//!
//! Readers go from the commit object down ([`Repository::read_manifest`], [`Repository::read_table_node`],
//! [`Repository::read_partition_node`], [`Repository::get_object`]), writers from the segments up
//! ([`Repository::put_object`], [`Repository::put_node`], [`Repository::put_manifest`]). `format` says what the
//! objects hold, `layout` how they are named, `store` how they are moved.

mod attachment;
mod error;
pub mod format;
pub mod layout;
pub mod location;
mod probe;
pub mod properties;
mod recent;
pub mod store;
mod timestamp;
mod transfer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use attachment::Attachment;
pub use error::{RepositoryError, RepositoryResult};
pub use location::{Location, LocationError};
pub use probe::Capabilities;
pub use properties::{PropertiesError, RepositoryProperties, Secret};
pub use store::{Patience, Put, StoreCounts, StoreError, StoreErrorKind, TransferLimits};
pub use timestamp::{InvalidTimestamp, SnapshotTimestamp};
pub use transfer::{ObjectRef, Progress};

use crate::catalog::FileKind;
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::digest::Digest;
use format::{
    EncodedNode, MANIFEST_BYTES_MAX, NODE_STORED_BYTES_MAX, Node, NodeRef, PartitionNode, RepositoryInfo,
    SnapshotManifest, TableNode,
};
use recent::RecentNodes;
use store::{FileStore, ObjectKey, ObjectStore, Operation, S3Store, StoreStats};

/// Most snapshots of a repository that are listed.
const SNAPSHOTS_MAX: usize = 1_000_000;

/// Most objects of a repository that are listed: they are held in memory together.
const OBJECTS_MAX: usize = 20_000_000;

/// What repositories ask of their surroundings.
#[derive(Debug, Clone)]
pub struct RepositoryContext {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for identities and for the jitter of retries.
    pub random: Arc<dyn Random>,
    /// The budget of the whole process.
    pub limits: Arc<TransferLimits>,
}

/// What may be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// RESTORE and SHOW SNAPSHOT.
    ReadOnly,
    /// BACKUP too.
    ReadWrite,
}

/// A handle on one repository.
#[derive(Debug)]
pub struct Repository {
    location: Location,
    attachment: Attachment,
    access: Access,
    store: Arc<dyn ObjectStore>,
    stats: Arc<StoreStats>,
    limits: Arc<TransferLimits>,
    recent: RecentNodes,
}

/// The snapshots of a repository, as one listing gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotListings {
    /// Sorted by label, then by timestamp.
    pub snapshots: Vec<SnapshotListing>,
    /// Keys among them that no snapshot can have; SHOW SNAPSHOT prints them as `Invalid: …`.
    pub invalid: Vec<String>,
}

/// One snapshot of a listing: its name and nothing else, because its commit object was not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotListing {
    /// Its label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: SnapshotTimestamp,
}

impl Default for RepositoryContext {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom), limits: Arc::default() }
    }
}

impl Repository {
    /// Proves that a location can be listed and read and, unless it is only to be read, written; makes the repository
    /// there or attaches to the one that exists. Answers within seconds; an error says what is missing.
    pub async fn create_or_attach(
        location: &Location,
        properties: &RepositoryProperties,
        access: Access,
        context: &RepositoryContext,
    ) -> RepositoryResult<Self> {
        let (backend, stats) = backend(location, properties, Patience::Interactive, context).await?;
        let store = store::layered(backend, &stats, &context.limits, true);
        let place = store.place().clone();
        let proof = async {
            match access {
                Access::ReadOnly => {
                    let info = probe::attach(&*store, location).await?;
                    Ok((info, Capabilities { conditional_put: false }))
                }
                Access::ReadWrite => probe::create(&*store, location, context).await,
            }
        };
        let (info, capabilities) = tokio::time::timeout(probe::PROBE_TIMEOUT, proof).await.unwrap_or_else(|_| {
            let message = format!("it did not answer everything within {} s", probe::PROBE_TIMEOUT.as_secs());
            let advice = "check that the endpoint is right, and that it can be reached from this machine quickly";
            let error = StoreError::new(StoreErrorKind::Timeout, Operation::Connect, &place, "", message);
            Err(error.with_advice(advice).into())
        })?;
        let attachment = Attachment { info, capabilities, properties: properties.clone() };
        Self::open(location, &attachment, access, Patience::Job, context).await
    }

    /// A handle on a repository that was proven before. Makes no request.
    pub async fn open(
        location: &Location,
        attachment: &Attachment,
        access: Access,
        patience: Patience,
        context: &RepositoryContext,
    ) -> RepositoryResult<Self> {
        let (backend, stats) = backend(location, &attachment.properties, patience, context).await?;
        let store = store::layered(backend, &stats, &context.limits, attachment.capabilities.conditional_put);
        Ok(Self {
            location: location.clone(),
            attachment: attachment.clone(),
            access,
            store,
            stats,
            limits: Arc::clone(&context.limits),
            recent: RecentNodes::default(),
        })
    }

    /// What the catalog keeps of it.
    #[must_use]
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Its identity.
    #[must_use]
    pub fn info(&self) -> &RepositoryInfo {
        &self.attachment.info
    }

    /// Where it lies.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What was asked of the store through this handle so far.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        self.stats.counts()
    }

    /// Reads the identity again and errors when the repository is gone or another: before a job relies on what
    /// an earlier snapshot put there. One request.
    pub async fn verify_identity(&self) -> RepositoryResult<()> {
        let location = self.location.to_string();
        match probe::read_info(&*self.store).await? {
            Some(info) if info.repository_id == self.info().repository_id => Ok(()),
            Some(info) => {
                let expected = self.info().repository_id.clone();
                Err(RepositoryError::Replaced { location, expected, found: info.repository_id })
            }
            None => Err(RepositoryError::NotARepository { location, key: layout::repository_info().to_string() }),
        }
    }

    /// Every snapshot: one request per thousand, whatever they hold.
    pub async fn list_snapshots(&self) -> RepositoryResult<SnapshotListings> {
        self.list_under(layout::SNAPSHOTS).await
    }

    /// The snapshots of one label.
    pub async fn list_snapshots_of(&self, label: &str) -> RepositoryResult<SnapshotListings> {
        self.list_under(&layout::snapshots_of(label)?).await
    }

    async fn list_under(&self, prefix: &str) -> RepositoryResult<SnapshotListings> {
        let mut listings = SnapshotListings::default();
        store::for_each_listed(&*self.store, prefix, SNAPSHOTS_MAX, |entry| match layout::parse_snapshot(&entry.key) {
            Some((label, timestamp)) => listings.snapshots.push(SnapshotListing { label, timestamp }),
            None => listings.invalid.push(entry.key),
        })
        .await?;
        listings.snapshots.sort_unstable();
        listings.snapshots.dedup();
        Ok(listings)
    }

    /// Every segment and delete vector that is there, with its size: for a job that resumes without knowing what it
    /// had uploaded, and for verification. One request per thousand.
    pub async fn list_objects(&self) -> RepositoryResult<HashMap<(FileKind, Digest), u64>> {
        let mut objects = HashMap::new();
        store::for_each_listed(&*self.store, layout::OBJECTS, OBJECTS_MAX, |entry| {
            if let Some(object) = layout::parse_object(&entry.key) {
                objects.insert(object, entry.bytes);
            }
        })
        .await?;
        Ok(objects)
    }

    /// Reads a snapshot's commit object.
    pub async fn read_manifest(
        &self,
        label: &str,
        timestamp: &SnapshotTimestamp,
    ) -> RepositoryResult<SnapshotManifest> {
        let key = layout::snapshot(label, timestamp)?;
        let stored = self.store.get(&key, MANIFEST_BYTES_MAX).await.map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => {
                RepositoryError::SnapshotNotFound { label: label.to_owned(), timestamp: timestamp.to_string() }
            }
            _ => error.into(),
        })?;
        let unusable = |source| RepositoryError::Format { key: key.to_string(), source };
        let manifest = SnapshotManifest::from_stored(&stored).map_err(unusable)?;
        if manifest.label != label || manifest.timestamp != *timestamp {
            let name = format!("it says that it is '{}' of {}", manifest.label, manifest.timestamp);
            return Err(unusable(format::FormatError::Inconsistent(name)));
        }
        Ok(manifest)
    }

    /// Reads a table's node.
    pub async fn read_table_node(&self, node: &NodeRef) -> RepositoryResult<TableNode> {
        self.read_node(node).await
    }

    /// Reads a partition's node.
    pub async fn read_partition_node(&self, node: &NodeRef) -> RepositoryResult<PartitionNode> {
        self.read_node(node).await
    }

    /// A node of a snapshot that is known to be there, without a request when this process has put or read it lately:
    /// to compare with it. Whether the repository still holds it is not learned.
    pub async fn recall_node<N: Node>(&self, node: &NodeRef) -> RepositoryResult<N> {
        let remembered = self.recent.find(&node.digest);
        match remembered.and_then(|stored| format::decode_node(node, &stored).ok()) {
            Some(decoded) => Ok(decoded),
            None => self.read_node(node).await,
        }
    }

    async fn read_node<N: Node>(&self, node: &NodeRef) -> RepositoryResult<N> {
        let key = layout::tree(&node.digest);
        let mut attempt = 1;
        loop {
            let _memory = self.limits.hold_memory(node.bytes.min(NODE_STORED_BYTES_MAX)).await;
            let stored = self.store.get(&key, node.bytes.min(NODE_STORED_BYTES_MAX)).await?;
            match format::decode_node(node, &stored) {
                Ok(decoded) => {
                    self.recent.keep(node.digest, &stored);
                    return Ok(decoded);
                }
                // It may have been damaged on its way; what is stored is not called damaged before it came twice.
                Err(format::FormatError::WrongDigest { .. }) if attempt < 2 => attempt += 1,
                Err(source) => return Err(RepositoryError::Format { key: key.to_string(), source }),
            }
        }
    }

    /// Puts a segment or delete vector from a local file, unless it is there. The file's digest is checked on the way;
    /// when it is wrong the object does not come to be.
    ///
    /// Boxed, so that callers with several in flight need not prove its inner lifetimes to the compiler.
    pub fn put_object<'a>(
        &'a self,
        object: &'a ObjectRef,
        path: &'a Path,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, RepositoryResult<Put>> {
        Box::pin(async move {
            self.check_writable()?;
            let key = layout::object(object.kind, &object.digest);
            transfer::upload(&*self.store, &self.limits, &key, object, path, progress, cancel).await
        })
    }

    /// Fetches a segment or delete vector into a local file, which is checked and synced. The caller syncs the
    /// directory when it gives the file its final name.
    ///
    /// Boxed for the same reason as [`Self::put_object`].
    pub fn get_object<'a>(
        &'a self,
        object: &'a ObjectRef,
        path: &'a Path,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, RepositoryResult<()>> {
        Box::pin(async move {
            let key = layout::object(object.kind, &object.digest);
            transfer::download(&*self.store, &self.limits, &key, object, path, progress, cancel).await
        })
    }

    /// Looks whether a segment or delete vector is there, whole as far as its size tells.
    pub async fn has_object(&self, object: &ObjectRef) -> RepositoryResult<bool> {
        let key = layout::object(object.kind, &object.digest);
        Ok(self.store.head(&key).await?.is_some_and(|meta| meta.bytes == object.bytes))
    }

    /// Puts a node, unless it is there. One that is there is looked at: a snapshot must not refer to a damaged one.
    pub async fn put_node(&self, encoded: &EncodedNode) -> RepositoryResult<Put> {
        self.check_writable()?;
        let key = layout::tree(&encoded.node.digest);
        let put = self.store.put_create(&key, encoded.stored.clone()).await?;
        if put == Put::Exists && !self.holds(&key, &encoded.stored).await? {
            return Err(RepositoryError::CorruptObject {
                key: key.to_string(),
                detail: "its bytes are not those that its name says: remove it, and the next backup puts it again"
                    .to_owned(),
            });
        }
        self.recent.keep(encoded.node.digest, &encoded.stored);
        Ok(put)
    }

    /// Puts a snapshot's commit object: the commit point of a backup. A replay with the same manifest succeeds and
    /// says [`Put::Exists`]; a different snapshot of that name is an error.
    pub async fn put_manifest(&self, manifest: &SnapshotManifest) -> RepositoryResult<Put> {
        self.check_writable()?;
        let key = layout::snapshot(&manifest.label, &manifest.timestamp)?;
        let stored = manifest.to_stored().map_err(RepositoryError::Encode)?;
        match self.store.put_create(&key, stored.clone()).await? {
            Put::Created => Ok(Put::Created),
            Put::Exists if self.holds(&key, &stored).await? => Ok(Put::Exists),
            Put::Exists => Err(RepositoryError::SnapshotExists {
                label: manifest.label.clone(),
                timestamp: manifest.timestamp.to_string(),
            }),
        }
    }

    /// Whether the object holds exactly these bytes.
    async fn holds(&self, key: &ObjectKey, bytes: &[u8]) -> RepositoryResult<bool> {
        match self.store.get(key, bytes.len() as u64).await {
            Ok(stored) => Ok(stored == bytes),
            // Larger than these bytes.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn check_writable(&self) -> RepositoryResult<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(RepositoryError::ReadOnly { location: self.location.to_string() }),
        }
    }
}

/// The backend of a location, and the counters for what is asked of it.
async fn backend(
    location: &Location,
    properties: &RepositoryProperties,
    patience: Patience,
    context: &RepositoryContext,
) -> RepositoryResult<(Arc<dyn ObjectStore>, Arc<StoreStats>)> {
    let stats = StoreStats::new();
    let random = Arc::clone(&context.random);
    let backend: Arc<dyn ObjectStore> = match location {
        Location::File(file) => Arc::new(FileStore::new(file, random)),
        Location::S3(s3) => {
            let settings = properties.s3(s3.bucket())?;
            let secrets = properties.secrets();
            Arc::new(S3Store::connect(s3, &settings, secrets, patience, Arc::clone(&stats), random).await?)
        }
    };
    Ok((backend, stats))
}

#[cfg(test)]
mod tests;
