//! What stands at the key of a commit object, read so that an answer to another request is not taken for it.
//!
//! A commit object says whose it is. A tombstone does not: every one of a kind has the same bytes. So one is believed when
//! the store also says, asked for the size alone, that no commit object is there.

use super::checked;
use super::error::{RepositoryError, RepositoryResult};
use super::format::{FormatError, MANIFEST_BYTES_MAX, SnapshotManifest, Tombstone};
use super::store::{Put, StoreErrorKind};
use super::timestamp::SnapshotTimestamp;
use super::{Repository, layout};

/// What stands at the key of a commit object.
#[derive(Debug)]
pub(super) enum Commit {
    /// The snapshot's own commit object.
    Snapshot(Box<SnapshotManifest>),
    /// The snapshot is gone, or must never come.
    Tombstone(Tombstone),
}

impl Repository {
    /// Reads a snapshot's commit object.
    pub async fn read_manifest(
        &self,
        label: &str,
        timestamp: &SnapshotTimestamp,
    ) -> RepositoryResult<SnapshotManifest> {
        let not_found =
            || RepositoryError::SnapshotNotFound { label: label.to_owned(), timestamp: timestamp.to_string() };
        match self.read_commit(label, timestamp).await {
            Ok(Commit::Snapshot(manifest)) => Ok(*manifest),
            Ok(Commit::Tombstone(_)) => Err(not_found()),
            Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Err(not_found()),
            Err(error) => Err(error),
        }
    }

    /// Puts a snapshot's commit object: the commit point of a backup. A replay with the same manifest succeeds and
    /// says [`Put::Exists`]; a different snapshot of that name is an error.
    pub async fn put_manifest(&self, manifest: &SnapshotManifest) -> RepositoryResult<Put> {
        self.check_writable()?;
        let key = layout::snapshot(&manifest.label, &manifest.timestamp)?;
        let stored = manifest.to_stored().map_err(RepositoryError::Encode)?;
        if self.store.put_create(&key, stored.clone()).await? == Put::Created {
            return Ok(Put::Created);
        }
        if checked::holds(&*self.store, &key, &stored).await? {
            return Ok(Put::Exists);
        }
        let (label, timestamp) = (manifest.label.clone(), manifest.timestamp.to_string());
        match self.read_commit(&manifest.label, &manifest.timestamp).await {
            Ok(Commit::Snapshot(found)) if *found == *manifest => Ok(Put::Exists),
            Ok(Commit::Snapshot(_)) => Err(RepositoryError::SnapshotExists { label, timestamp }),
            Ok(Commit::Tombstone(tombstone)) => Err(RepositoryError::SnapshotFenced { label, timestamp, tombstone }),
            Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => {
                Err(self.unsteady(&key, "the store says that the object exists, and then that it does not"))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what stands there. Errors as the store does when nothing does.
    pub(super) async fn read_commit(&self, label: &str, timestamp: &SnapshotTimestamp) -> RepositoryResult<Commit> {
        let key = layout::snapshot(label, timestamp)?;
        // Another snapshot's commit object is whole and still the wrong answer, so it too is asked for again.
        let check_own = |manifest: SnapshotManifest| match manifest.label == label && manifest.timestamp == *timestamp {
            true => Ok(Commit::Snapshot(Box::new(manifest))),
            false => Err(FormatError::Inconsistent(format!(
                "it says that it is '{}' of {}",
                manifest.label, manifest.timestamp
            ))),
        };
        let decode = |stored: &bytes::Bytes| match Tombstone::from_stored(stored) {
            Some(tombstone) => Ok(Commit::Tombstone(tombstone)),
            None => SnapshotManifest::from_stored(stored).and_then(check_own),
        };
        for _ in 0..checked::READS_MAX {
            let commit = checked::read(&*self.store, &key, MANIFEST_BYTES_MAX, decode).await?;
            if matches!(commit, Commit::Snapshot(_)) || !self.has_commit(&(label.to_owned(), timestamp.clone())).await?
            {
                return Ok(commit);
            }
            checked::note_wrong(&key, "another snapshot's tombstone came");
        }
        let source =
            FormatError::Inconsistent("a tombstone comes, and the store says that it is larger than one".into());
        Err(RepositoryError::Format { key: key.to_string(), source })
    }
}
