//! Repositories: where backups go and come back from.
//!
//! A repository is a [`Location`] (a bucket or a directory), the [`RepositoryProperties`] to reach it, and a layout
//! of write-once objects below it: segments and delete vectors named by their digests, Merkle nodes that refer to
//! them, and one commit object per snapshot, which is written last. Nothing is ever changed or renamed; what may be
//! removed, and when, is the business of [`crate::lifecycle`] alone.
//!
//! [`Repository::prove`] proves a location when CREATE or ALTER REPOSITORY names it; what it learns is an
//! [`Attachment`], which the catalog keeps, sealed by [`Vault`]; [`Repository::open`] makes a handle of it without a
//! request. A handle is cheap to share and keeps its connections: keep one per repository, not one per job.
//! [`Repository::adopt`] leads a handle in use over to other credentials.
//!
//! Readers go from the commit object down ([`Repository::read_manifest`], [`Repository::read_table_node`],
//! [`Repository::read_partition_node`], [`Repository::get_object`]), writers from the segments up
//! ([`Repository::put_object`], [`Repository::put_node`], [`Repository::put_manifest`]). `format` says what the
//! objects hold, `layout` how they are named, `store` how they are moved.

mod attachment;
mod checked;
mod commit;
mod error;
pub mod format;
mod held;
mod inspect;
pub mod layout;
mod lifecycle;
pub mod location;
mod policy;
mod probe;
pub mod properties;
mod recent;
pub mod store;
mod timestamp;
mod transfer;
mod vault;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

pub use attachment::Attachment;
pub use error::{RepositoryError, RepositoryResult};
pub use held::HeldNode;
pub use inspect::{Copy, Inspection};
pub(crate) use lifecycle::{AnnouncementListing, AnnouncementName, CommitListing, CommitName, Entombed, MarkListing};
pub use location::{Location, LocationError};
pub use policy::{LocationPattern, NoPattern, NotAllowed, RepositoryPolicy};
pub use properties::{LockMode, ObjectLock, PropertiesError, RepositoryProperties, Secret};
pub use store::{Capabilities, Patience, Put, RequestLimits, StoreCounts, StoreError, StoreErrorKind, TransferLimits};
pub use timestamp::{InvalidTimestamp, SnapshotTimestamp};
pub use transfer::{ObjectRef, Progress};
pub use vault::{KEY_VARIABLE, Vault, VaultError};

use crate::catalog::FileKind;
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::digest::Digest;
use format::{
    EncodedNode, NODE_STORED_BYTES_MAX, Node, NodeRef, PartitionNode, RepositoryInfo, TOMBSTONE_BYTES, TableNode,
};
use recent::RecentNodes;
use store::{FileStore, KnownCapabilities, ObjectDelete, ObjectKey, ObjectStore, S3Store, StoreStats};

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
    /// Where repositories may lie, and how long requests are tried for.
    pub policy: Arc<RepositoryPolicy>,
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
    info: RepositoryInfo,
    attachment: RwLock<Attachment>,
    access: Access,
    patience: Patience,
    store: Arc<dyn ObjectStore>,
    /// For the lifecycle alone.
    deletes: Arc<dyn ObjectDelete>,
    /// The S3 client beneath the layers, when it is S3.
    s3: Option<S3Store>,
    known: Arc<KnownCapabilities>,
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
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            limits: Arc::default(),
            policy: Arc::default(),
        }
    }
}

impl RepositoryContext {
    /// What a handle of this patience may use. Jobs share one budget, of which none takes what the others need to go on. Statements make few and small requests, and somebody waits for them: they
    /// do not queue behind jobs, which may hold the whole budget, for long when a store has stopped answering.
    fn limits(&self, patience: Patience) -> Arc<TransferLimits> {
        match patience {
            Patience::Job => Arc::new(self.limits.of_a_repository()),
            Patience::Interactive => Arc::default(),
        }
    }
}

impl Repository {
    /// Proves that a location can be listed and read and, unless it is only to be read, written; makes the repository
    /// there or attaches to the one that exists, which must be the one of the `expected` id if there is such a one: nothing
    /// is written elsewhere. An error says what is missing, within the time a statement has.
    pub async fn prove(
        location: &Location,
        properties: &RepositoryProperties,
        access: Access,
        expected: Option<&str>,
        context: &RepositoryContext,
    ) -> RepositoryResult<Attachment> {
        properties.check(location)?;
        let stats = StoreStats::new();
        let backend =
            Backend::connect(location, properties, Patience::Interactive, Capabilities::ALL, &stats, context).await?;
        let known = Arc::new(KnownCapabilities::new(Capabilities::ALL));
        let limits = context.limits(Patience::Interactive);
        let store = store::layered(backend.store, &stats, &limits, &known);
        let candidate = probe::Candidate { store, known, s3: backend.s3 };
        let (info, capabilities) = match access {
            Access::ReadOnly => {
                let info = probe::attach(&*candidate.store, location, expected).await?;
                (info, Capabilities { conditional_put: false, ..Capabilities::ALL })
            }
            Access::ReadWrite => probe::create(&candidate, location, expected, context).await?,
        };
        Ok(Attachment { info, capabilities, properties: properties.clone() })
    }

    /// [`Self::prove`], then [`Self::open`] for jobs.
    pub async fn create_or_attach(
        location: &Location,
        properties: &RepositoryProperties,
        access: Access,
        context: &RepositoryContext,
    ) -> RepositoryResult<Self> {
        let attachment = Self::prove(location, properties, access, None, context).await?;
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
        let stats = StoreStats::new();
        let (properties, capabilities) = (&attachment.properties, attachment.capabilities);
        let backend = Backend::connect(location, properties, patience, capabilities, &stats, context).await?;
        let known = Arc::new(KnownCapabilities::new(capabilities));
        let limits = context.limits(patience);
        Ok(Self {
            location: location.clone(),
            info: attachment.info.clone(),
            attachment: RwLock::new(attachment.clone()),
            access,
            patience,
            store: store::layered(backend.store, &stats, &limits, &known),
            deletes: Arc::new(store::MeteredDelete::new(backend.deletes, Arc::clone(&stats))),
            s3: backend.s3,
            known,
            stats,
            limits,
            recent: RecentNodes::default(),
        })
    }

    /// Goes on with what was proven anew for the same repository: requests from now on, also those of a job or an
    /// upload that has begun, go out with these properties. Makes no request.
    pub async fn adopt(&self, attachment: Attachment, context: &RepositoryContext) -> RepositoryResult<()> {
        let (properties, capabilities) = (&attachment.properties, attachment.capabilities);
        let (location, stats) = (&self.location, &self.stats);
        let next = Backend::connect(location, properties, self.patience, capabilities, stats, context).await?;
        self.known.set(capabilities);
        if let (Some(current), Some(next)) = (&self.s3, &next.s3) {
            current.follow(next);
        }
        *self.attachment.write() = attachment;
        Ok(())
    }

    /// What the catalog keeps of it.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        self.attachment.read().clone()
    }

    /// Its identity.
    #[must_use]
    pub fn info(&self) -> &RepositoryInfo {
        &self.info
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
        let is_own = |info: &RepositoryInfo| info.repository_id == self.info().repository_id;
        let mut found = probe::read_info(&*self.store).await?;
        if found.as_ref().is_some_and(|info| !is_own(info)) {
            // An answer to somebody else's request looks the same.
            found = probe::read_info(&*self.store).await?;
        }
        match found {
            Some(info) if is_own(&info) => Ok(()),
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
            Some(_) if entry.bytes == TOMBSTONE_BYTES => {}
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

    /// Reads a table's node.
    pub async fn read_table_node(&self, node: &NodeRef) -> RepositoryResult<HeldNode<TableNode>> {
        self.read_node(node).await
    }

    /// Reads a partition's node.
    pub async fn read_partition_node(&self, node: &NodeRef) -> RepositoryResult<HeldNode<PartitionNode>> {
        self.read_node(node).await
    }

    /// A node of a snapshot that is known to be there, without a request when this process has put or read it lately:
    /// to compare with it. Whether the repository still holds it is not learned.
    pub async fn recall_node<N: Node>(&self, node: &NodeRef) -> RepositoryResult<HeldNode<N>> {
        if let Some(stored) = self.recent.find(&node.digest)
            && format::check_stored::<N>(node, &stored).is_ok()
            && let Ok(held) = HeldNode::read(&self.limits, &stored).await
        {
            return Ok(held);
        }
        self.read_node(node).await
    }

    /// Reads a node under its own name; when it is not whole there, its mended copy.
    async fn read_node<N: Node>(&self, node: &NodeRef) -> RepositoryResult<HeldNode<N>> {
        let key = layout::tree(&node.digest);
        let error = match self.read_node_at(&key, node).await {
            Err(error) if is_damage(&error) => error,
            read => return read,
        };
        match self.read_node_at(&layout::mended(&key), node).await {
            Err(also) if is_damage(&also) => Err(error),
            read => read,
        }
    }

    async fn read_node_at<N: Node>(&self, key: &ObjectKey, node: &NodeRef) -> RepositoryResult<HeldNode<N>> {
        let bytes_max = node.bytes.min(NODE_STORED_BYTES_MAX);
        let memory = self.limits.hold_memory(bytes_max).await;
        let stored = checked::read(&*self.store, key, bytes_max, |stored| {
            format::check_stored::<N>(node, stored).map(|()| stored.clone())
        })
        .await?;
        // Whoever has room for a node may be waiting for this.
        drop(memory);
        let held = HeldNode::read(&self.limits, &stored).await;
        let held = held.map_err(|source| RepositoryError::Format { key: key.to_string(), source })?;
        self.recent.keep(node.digest, &stored);
        Ok(held)
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
    /// directory when it gives the file its final name. When it is not whole under its own name, its mended copy is
    /// fetched.
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
            let download = async |key: &ObjectKey| {
                transfer::download(&*self.store, &self.limits, key, object, path, progress, cancel).await
            };
            let error = match download(&key).await {
                Err(error @ RepositoryError::CorruptObject { .. }) => error,
                done => return done,
            };
            match download(&layout::mended(&key)).await {
                Err(RepositoryError::CorruptObject { .. }) => Err(error),
                done => done,
            }
        })
    }

    /// Looks whether a segment or delete vector is there, whole as far as its size tells.
    pub async fn has_object(&self, object: &ObjectRef) -> RepositoryResult<bool> {
        let key = layout::object(object.kind, &object.digest);
        Ok(self.store.head(&key).await?.is_some_and(|meta| meta.bytes == object.bytes))
    }

    /// The lock that objects of new snapshots get; `None` where none is asked for.
    #[must_use]
    pub fn object_lock(&self) -> Option<ObjectLock> {
        self.store.object_lock()
    }

    /// Locks a segment or delete vector that is there as if it were put now; says whether it is there.
    pub async fn lock_object(&self, object: &ObjectRef) -> RepositoryResult<bool> {
        self.renew_lock(&layout::object(object.kind, &object.digest)).await
    }

    /// Locks a node that is there as if it were put now; says whether it is there.
    pub async fn lock_node(&self, node: &NodeRef) -> RepositoryResult<bool> {
        self.renew_lock(&layout::tree(&node.digest)).await
    }

    /// Locks the repository's identity, without which no snapshot can be read, as if it were put now.
    pub async fn lock_identity(&self) -> RepositoryResult<()> {
        let key = layout::repository_info();
        match self.renew_lock(&key).await? {
            true => Ok(()),
            false => {
                let location = self.location.to_string();
                Err(RepositoryError::NotARepository { location, key: key.to_string() })
            }
        }
    }

    /// Locks every mended copy that is there as if it were put now: readers may depend on any. As a rule there is none.
    pub async fn lock_mended(&self) -> RepositoryResult<()> {
        let mut copies = Vec::new();
        store::for_each_listed(&*self.store, layout::MENDED, OBJECTS_MAX, |entry| {
            copies.extend(layout::parse_mended(&entry.key).and_then(|own| ObjectKey::new(own).ok()));
        })
        .await?;
        for own in &copies {
            self.renew_lock(&layout::mended(own)).await?;
        }
        Ok(())
    }

    async fn renew_lock(&self, key: &ObjectKey) -> RepositoryResult<bool> {
        self.check_writable()?;
        match self.store.renew_lock(key).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a node, unless it is there. One that is there is looked at: a snapshot must not refer to a damaged one, so
    /// beside that a whole copy is put.
    pub async fn put_node(&self, encoded: &EncodedNode) -> RepositoryResult<Put> {
        self.check_writable()?;
        let key = layout::tree(&encoded.node.digest);
        let mut put = self.store.put_create(&key, encoded.stored.clone()).await?;
        if put == Put::Exists && !checked::holds(&*self.store, &key, &encoded.stored).await? {
            let copy = layout::mended(&key);
            tracing::warn!(%key, %copy, "a node of the repository is damaged, a whole copy is put beside it");
            put = self.store.put_create(&copy, encoded.stored.clone()).await?;
            if put == Put::Exists && !checked::holds(&*self.store, &copy, &encoded.stored).await? {
                return Err(inspect::damaged_twice(&key, &copy));
            }
        }
        self.recent.keep(encoded.node.digest, &encoded.stored);
        Ok(put)
    }

    fn check_writable(&self) -> RepositoryResult<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(RepositoryError::ReadOnly { location: self.location.to_string() }),
        }
    }
}

/// Whether an error says that something is not there, or is not what its name says.
fn is_damage(error: &RepositoryError) -> bool {
    match error {
        RepositoryError::Store(error) => matches!(error.kind(), StoreErrorKind::NotFound | StoreErrorKind::Corrupt),
        RepositoryError::Format { source, .. } => matches!(source, format::FormatError::WrongDigest { .. }),
        _ => false,
    }
}

/// What holds the bytes, before any layer.
struct Backend {
    store: Arc<dyn ObjectStore>,
    deletes: Arc<dyn ObjectDelete>,
    s3: Option<S3Store>,
}

impl Backend {
    /// Makes the client, when the policy allows the place.
    async fn connect(
        location: &Location,
        properties: &RepositoryProperties,
        patience: Patience,
        capabilities: Capabilities,
        stats: &Arc<StoreStats>,
        context: &RepositoryContext,
    ) -> RepositoryResult<Backend> {
        match location {
            Location::File(file) => {
                context.policy.check_directory(file.path())?;
                let store = FileStore::new(file, Arc::clone(&context.random));
                Ok(Backend { store: Arc::new(store.clone()), deletes: Arc::new(store), s3: None })
            }
            Location::S3(place) => {
                let settings = properties.s3(place.bucket())?;
                context.policy.check_bucket(place.bucket(), &settings)?;
                let (secrets, stats) = (properties.secrets(), Arc::clone(stats));
                let s3 = S3Store::connect(place, &settings, secrets, patience, capabilities, stats, context).await?;
                Ok(Backend { store: Arc::new(s3.clone()), deletes: Arc::new(s3.clone()), s3: Some(s3) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
