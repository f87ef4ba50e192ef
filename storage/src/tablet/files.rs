//! Where the bytes of a tablet are: the one place that turns a segment or a delete vector into a path.
//!
//! A replica that lacks a file, has it cut short or has other bytes in it is marked as bad in the catalog and the next
//! one is asked; a replica known to be bad is asked last, as what it has is checked like everything else. A bad replica
//! is rebuilt by [`crate::Storage::repair_replicas`], which is told at once. Bytes that live elsewhere than on a disk
//! would be fetched here.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;
use tokio::sync::Notify;

use super::cache::DigestCache;
use super::segment::{OpenCopy, SegmentHandle};
use crate::catalog::{Catalog, FileKind, ReplicaRow, SegmentMeta, TabletState};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::TabletId;
use crate::roots::{StorageRoots, TREE_EXTENSION};
use crate::segment::{DeleteVector, SegmentTree};

/// Bytes of hash trees kept in memory: those of some 64 GiB of segments.
const TREE_CACHE_BYTES_MAX: usize = 32 << 20;

/// Finds and reads the files of tablets.
#[derive(Debug)]
pub struct TabletFiles {
    roots: Arc<StorageRoots>,
    catalog: Arc<Catalog>,
    delete_vectors: DigestCache<RoaringBitmap>,
    trees: DigestCache<SegmentTree>,
    /// Rung when a replica turns out bad, so that repair need not wait for its turn.
    trouble: Notify,
}

impl TabletFiles {
    pub(crate) fn new(roots: Arc<StorageRoots>, catalog: Arc<Catalog>, delete_vector_bytes_max: usize) -> Self {
        TabletFiles {
            roots,
            catalog,
            delete_vectors: DigestCache::new(delete_vector_bytes_max),
            trees: DigestCache::new(TREE_CACHE_BYTES_MAX),
            trouble: Notify::new(),
        }
    }

    /// A segment to read from. Opens nothing yet.
    pub fn segment(self: &Arc<Self>, tablet: &TabletState, segment: &SegmentMeta) -> SegmentHandle {
        SegmentHandle::new(self, tablet, segment)
    }

    /// Where a segment's file is. Its bytes are not looked at: read them by [`TabletFiles::segment`].
    pub fn segment_path(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<PathBuf> {
        self.find_any(tablet.tablet.id, &tablet.replicas, &segment.digest, FileKind::Segment, segment.bytes, &[])
    }

    /// Which rows of a segment are deleted; `None` when none is. The bytes are checked against their digest.
    pub fn delete_vector(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<Option<Arc<RoaringBitmap>>> {
        self.delete_vector_of(tablet.tablet.id, &tablet.replicas, segment)
    }

    pub(super) fn delete_vector_of(
        &self,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        segment: &SegmentMeta,
    ) -> Result<Option<Arc<RoaringBitmap>>> {
        let Some(deletes) = &segment.deletes else { return Ok(None) };
        if let Some(positions) = self.delete_vectors.get(&deletes.digest) {
            return Ok(Some(positions));
        }
        let mut failed = Vec::new();
        loop {
            let found = self.find(tablet, replicas, &deletes.digest, FileKind::DeleteVector, deletes.bytes, &failed)?;
            let Some(path) = found else {
                let path = self.first_path(tablet, replicas, &deletes.digest, FileKind::DeleteVector);
                return Err(Error::Corrupt { tablet, path, detail: self.describe_loss(tablet) });
            };
            match read_delete_vector(&path, &deletes.digest, segment.rows) {
                Ok(positions) => {
                    let positions = Arc::new(positions);
                    self.delete_vectors.put(deletes.digest, Arc::clone(&positions), deletes.bytes as usize);
                    return Ok(Some(positions));
                }
                Err(detail) => {
                    self.mark_copy_bad(tablet, &path, &detail);
                    failed.push(path);
                }
            }
        }
    }

    /// Opens a replica's file of a segment, with the tree its bytes must fit; or what is wrong with it.
    pub(super) fn open_copy(&self, path: PathBuf, segment: &SegmentMeta) -> Result<OpenCopy, String> {
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let tree = self.tree(&path, &file, &segment.digest, segment.bytes).map_err(|error| error.to_string())?;
        let tree = tree.ok_or_else(|| "the bytes do not match their digest".to_owned())?;
        Ok(OpenCopy { file, path, tree })
    }

    /// The hash tree of a segment: remembered, or from the file beside the segment, or from reading the whole segment,
    /// which makes that file. `None` when the segment has to be read for it and is not whole.
    fn tree(&self, path: &Path, file: &File, digest: &Digest, bytes: u64) -> io::Result<Option<Arc<SegmentTree>>> {
        if let Some(tree) = self.trees.get(digest) {
            return Ok(Some(tree));
        }
        let beside = path.with_extension(TREE_EXTENSION);
        let stored = || SegmentTree::decode(*digest, bytes, &fs::read(&beside).ok()?);
        let tree = match SegmentTree::of_one_group(*digest, bytes).or_else(stored) {
            Some(tree) => tree,
            None => {
                let Some(tree) = SegmentTree::build(*digest, bytes, file)? else { return Ok(None) };
                // Half of it, or none, is as good: it is made again then. A full disk is no reason to fail a read.
                if tree.has_file()
                    && let Err(error) = fs::write(&beside, tree.encode())
                {
                    tracing::debug!(path = %beside.display(), %error, "cannot keep the hash tree of a segment");
                }
                tree
            }
        };
        let tree = Arc::new(tree);
        self.trees.put(*digest, Arc::clone(&tree), tree.memory());
        Ok(Some(tree))
    }

    /// Where a file of a tablet is, asking the catalog for the replicas: for files a job has pinned, whose tablet may
    /// be gone from the catalog by now. Copies that have `failed` the caller are passed over.
    pub(crate) fn find_pinned(
        &self,
        tablet: TabletId,
        digest: &Digest,
        kind: FileKind,
        bytes: u64,
        failed: &[PathBuf],
    ) -> Result<PathBuf> {
        let replicas = self.catalog.read(|read| read.replicas(tablet))?;
        self.find_any(tablet, &replicas, digest, kind, bytes, failed)
    }

    /// Returns when a replica has turned out bad since the last call.
    pub(crate) async fn trouble(&self) {
        self.trouble.notified().await;
    }

    /// The first copy of a file that has its size and has not `failed`; an error when there is none.
    fn find_any(
        &self,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        digest: &Digest,
        kind: FileKind,
        bytes: u64,
        failed: &[PathBuf],
    ) -> Result<PathBuf> {
        self.find(tablet, replicas, digest, kind, bytes, failed)?.ok_or_else(|| Error::Corrupt {
            tablet,
            path: self.first_path(tablet, replicas, digest, kind),
            detail: "no replica has a whole copy of this file: restore the table from a backup".to_owned(),
        })
    }

    /// The first copy of a file that has its size and has not `failed`: healthy replicas first, then the others, then
    /// roots the tablet once lay on.
    pub(super) fn find(
        &self,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        digest: &Digest,
        kind: FileKind,
        bytes: u64,
        failed: &[PathBuf],
    ) -> Result<Option<PathBuf>> {
        let healthy = replicas.iter().filter(|replica| replica.healthy);
        for replica in healthy.clone() {
            let path = self.roots.file_path(replica.root_id, tablet, digest, kind)?;
            if failed.contains(&path) {
                continue;
            }
            match check_file(&path, bytes) {
                Ok(()) => return Ok(Some(path)),
                Err(detail) => self.mark_bad(tablet, replica, &path, &detail),
            }
        }
        for root in self.roots.all() {
            if healthy.clone().any(|replica| replica.root_id == root.id) {
                continue;
            }
            let path = self.roots.file_path(root.id, tablet, digest, kind)?;
            if !failed.contains(&path) && check_file(&path, bytes).is_ok() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Where a file should be, to name it.
    pub(super) fn first_path(
        &self,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        digest: &Digest,
        kind: FileKind,
    ) -> PathBuf {
        let root = replicas.first().map(|replica| replica.root_id).or_else(|| Some(self.roots.all().first()?.id));
        root.and_then(|root| self.roots.file_path(root, tablet, digest, kind).ok())
            .unwrap_or_else(|| PathBuf::from(format!("{digest}.{kind}")))
    }

    /// What to say of a file of which no replica has a whole copy: what it is part of, and what helps.
    pub(super) fn describe_loss(&self, tablet: TabletId) -> String {
        let owner = self.catalog.read(|read| read.tablet_owner(tablet));
        let place = match owner {
            Ok(Some(owner)) => {
                format!(" of partition '{}' of table '{}.{}'", owner.partition.name, owner.database, owner.table.name)
            }
            // Dropped meanwhile, or the catalog cannot be read: the tablet is named beside this.
            Ok(None) | Err(_) => String::new(),
        };
        format!(
            "no replica has a whole copy of this file{place}; it is fetched by itself from a repository that has it, \
             else restore this partition from a snapshot"
        )
    }

    /// Says that the bytes at `path` are not what they should be: the replica is marked as bad, and is rebuilt. The file
    /// stays: what is read of it is checked, and it may be the last copy.
    pub(crate) fn mark_copy_bad(&self, tablet: TabletId, path: &Path, detail: &str) {
        let replicas = match self.catalog.read(|read| read.replicas(tablet)) {
            Ok(replicas) => replicas,
            Err(error) => {
                tracing::error!(%tablet, path = %path.display(), detail, %error, "cannot mark the replica as bad");
                return;
            }
        };
        let directory = |replica: &ReplicaRow| self.roots.tablet_dir(replica.root_id, tablet);
        match replicas.iter().find(|replica| directory(replica).is_ok_and(|directory| path.starts_with(directory))) {
            Some(replica) => self.mark_bad(tablet, replica, path, detail),
            None => tracing::error!(%tablet, path = %path.display(), detail, "a file is bad, using another"),
        }
    }

    /// Tells the catalog and the log. A catalog that cannot write is no reason to fail the read.
    fn mark_bad(&self, tablet: TabletId, replica: &ReplicaRow, path: &Path, detail: &str) {
        let id = replica.id;
        let owner = self.catalog.read(|read| Ok((read.replicas(tablet)?, read.tablet_owner(tablet)?)));
        let (replicas, owner) = owner.unwrap_or_default();
        let (table, partition) = match &owner {
            Some(owner) => (format!("{}.{}", owner.database, owner.table.name), owner.partition.name.as_str()),
            None => (String::new(), ""),
        };
        metrics::counter!("ebla_replica_failures_total").increment(1);
        tracing::error!(%tablet, table, partition, replica = %id, path = %path.display(), detail,
            "replica is bad, using another");
        // A snapshot may be older than what is known by now: a transaction for each of its files would be a flood.
        if replicas.iter().any(|replica| replica.id == id && !replica.healthy) {
            return;
        }
        match self.catalog.write(|write| write.set_replica_health(id, false)) {
            Ok(()) => self.trouble.notify_one(),
            Err(error) => tracing::error!(%tablet, replica = %id, %error, "cannot mark the replica as bad"),
        }
    }
}

fn check_file(path: &Path, bytes: u64) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == bytes => Ok(()),
        Ok(metadata) => Err(format!("the file has {} bytes, not {bytes}", metadata.len())),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn read_delete_vector(path: &Path, digest: &Digest, rows: u64) -> Result<RoaringBitmap, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if Digest::of(&bytes) != *digest {
        return Err("the bytes do not match their digest".to_owned());
    }
    DeleteVector::decode(&bytes, rows)
}
