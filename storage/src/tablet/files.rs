//! Where the bytes of a tablet are: the one place that turns a segment or a delete vector into a path.
//!
//! A replica that lacks a file, or has it cut short, is marked as bad in the catalog and the next one is asked. A bad
//! replica is rebuilt from a good one by [`crate::Storage::repair_replicas`]. Bytes that live elsewhere than on a disk would be
//! fetched here.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::catalog::{Catalog, FileKind, ReplicaRow, SegmentMeta, TabletState};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::failpoint::{DurableStep, durable};
use crate::ids::{ReplicaId, TabletId};
use crate::roots::{CORRUPT_EXTENSION, StorageRoots};
use crate::segment::DeleteVector;

/// Finds and reads the files of tablets.
#[derive(Debug)]
pub struct TabletFiles {
    roots: Arc<StorageRoots>,
    catalog: Arc<Catalog>,
    delete_vectors: Mutex<DeleteVectorCache>,
}

/// Decoded delete vectors, the least recently used dropped first.
#[derive(Debug)]
struct DeleteVectorCache {
    entries: HashMap<Digest, CachedDeleteVector>,
    bytes: usize,
    bytes_max: usize,
    turn: u64,
}

#[derive(Debug)]
struct CachedDeleteVector {
    positions: Arc<RoaringBitmap>,
    bytes: usize,
    last_used: u64,
}

impl TabletFiles {
    pub(crate) fn new(roots: Arc<StorageRoots>, catalog: Arc<Catalog>, delete_vector_bytes_max: usize) -> Self {
        TabletFiles {
            roots,
            catalog,
            delete_vectors: Mutex::new(DeleteVectorCache {
                entries: HashMap::new(),
                bytes: 0,
                bytes_max: delete_vector_bytes_max,
                turn: 0,
            }),
        }
    }

    /// Where a segment's bytes are.
    pub fn segment_path(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<PathBuf> {
        self.find(tablet.tablet.id, &tablet.replicas, &segment.digest, FileKind::Segment, segment.bytes)
    }

    /// Which rows of a segment are deleted; `None` when none is. The bytes are checked against their digest.
    pub fn delete_vector(&self, tablet: &TabletState, segment: &SegmentMeta) -> Result<Option<Arc<RoaringBitmap>>> {
        let Some(deletes) = &segment.deletes else { return Ok(None) };
        if let Some(positions) = self.delete_vectors.lock().get(&deletes.digest) {
            return Ok(Some(positions));
        }
        let id = tablet.tablet.id;
        loop {
            let path = self.find(id, &tablet.replicas, &deletes.digest, FileKind::DeleteVector, deletes.bytes)?;
            match read_delete_vector(&path, &deletes.digest, segment.rows) {
                Ok(positions) => {
                    let positions = Arc::new(positions);
                    self.delete_vectors.lock().put(deletes.digest, Arc::clone(&positions), deletes.bytes as usize);
                    return Ok(Some(positions));
                }
                Err(detail) => self.set_aside(id, &path, &detail)?,
            }
        }
    }

    /// Where a file of a tablet is, asking the catalog for the replicas: for files a job has pinned, whose tablet may
    /// be gone from the catalog by now.
    pub fn find_pinned(&self, tablet: TabletId, digest: &Digest, kind: FileKind, bytes: u64) -> Result<PathBuf> {
        let replicas = self.catalog.read(|read| read.replicas(tablet))?;
        self.find(tablet, &replicas, digest, kind, bytes)
    }

    /// Says that the bytes at `path` are not what they should be: the replica is marked as bad and the file is set
    /// aside, so that nobody reads it again. Errors when the file cannot be set aside.
    pub fn report_corrupt(&self, tablet: TabletId, path: &Path, detail: &str) -> Result<()> {
        self.set_aside(tablet, path, detail)
    }

    /// The first whole copy of a file: healthy replicas first, then the others, then roots the tablet once lay on.
    fn find(
        &self,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        digest: &Digest,
        kind: FileKind,
        bytes: u64,
    ) -> Result<PathBuf> {
        let healthy = replicas.iter().filter(|replica| replica.healthy);
        for replica in healthy.clone() {
            let path = self.roots.file_path(replica.root_id, tablet, digest, kind)?;
            match check_file(&path, bytes) {
                Ok(()) => return Ok(path),
                Err(detail) => self.mark_bad(tablet, replica.id, &path, &detail),
            }
        }
        for root in self.roots.all() {
            if healthy.clone().any(|replica| replica.root_id == root.id) {
                continue;
            }
            let path = self.roots.file_path(root.id, tablet, digest, kind)?;
            if check_file(&path, bytes).is_ok() {
                return Ok(path);
            }
        }
        let root = replicas.first().map_or(self.roots.configured()[0], |replica| replica.root_id);
        Err(Error::Corrupt {
            tablet,
            path: self.roots.file_path(root, tablet, digest, kind)?,
            detail: "no replica has the file: restore the table from a backup".to_owned(),
        })
    }

    fn set_aside(&self, tablet: TabletId, path: &Path, detail: &str) -> Result<()> {
        let replicas = self.catalog.read(|read| read.replicas(tablet))?;
        for replica in replicas {
            if path.starts_with(self.roots.tablet_dir(replica.root_id, tablet)?) {
                self.mark_bad(tablet, replica.id, path, detail);
            }
        }
        let aside = path.with_extension(CORRUPT_EXTENSION);
        match durable(DurableStep::Rename, || fs::rename(path, &aside)) {
            Ok(()) => Ok(()),
            // Another reader was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(_) => Err(Error::Corrupt { tablet, path: path.to_owned(), detail: detail.to_owned() }),
        }
    }

    /// Tells the catalog and the log. A catalog that cannot write is no reason to fail the read.
    fn mark_bad(&self, tablet: TabletId, replica: ReplicaId, path: &Path, detail: &str) {
        metrics::counter!("ebla_replica_failures_total").increment(1);
        tracing::error!(%tablet, %replica, path = %path.display(), detail, "replica is bad, using another");
        if let Err(error) = self.catalog.write(|write| write.set_replica_health(replica, false)) {
            tracing::error!(%tablet, %replica, %error, "cannot mark the replica as bad");
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

fn read_delete_vector(path: &Path, digest: &Digest, rows: u64) -> Result<RoaringBitmap, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if Digest::of(&bytes) != *digest {
        return Err("the bytes do not match their digest".to_owned());
    }
    DeleteVector::decode(&bytes, rows)
}

impl DeleteVectorCache {
    fn get(&mut self, digest: &Digest) -> Option<Arc<RoaringBitmap>> {
        self.turn += 1;
        let entry = self.entries.get_mut(digest)?;
        entry.last_used = self.turn;
        Some(Arc::clone(&entry.positions))
    }

    fn put(&mut self, digest: Digest, positions: Arc<RoaringBitmap>, bytes: usize) {
        self.turn += 1;
        let entry = CachedDeleteVector { positions, bytes, last_used: self.turn };
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(digest, entry) {
            self.bytes -= before.bytes;
        }
        while self.bytes > self.bytes_max {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
            let Some(removed) = oldest.and_then(|digest| self.entries.remove(&digest)) else { break };
            self.bytes -= removed.bytes;
        }
    }
}
