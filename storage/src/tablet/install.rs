//! Putting new files into a tablet: staged once, copied to the root of every replica, installed on all of them.
//!
//! A replica that cannot take the files is given up as long as another one can: it is to be marked as bad in the same
//! transaction that publishes the files, and is rebuilt later. Only when no replica takes them is it an error.

use std::path::{Path, PathBuf};

use crate::catalog::{ReplicaRow, WriteTransaction};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::{ReplicaId, StorageRootId, TabletId};
use crate::roots::{StagedFile, StorageRoots, copy_synced};

/// New files of one tablet, staged on the root of each replica that could take them.
#[derive(Debug)]
pub(crate) struct StagedTablet {
    tablet: TabletId,
    replicas: Vec<StagedReplica>,
    bad: Vec<ReplicaId>,
}

#[derive(Debug)]
struct StagedReplica {
    id: ReplicaId,
    root: StorageRootId,
    files: Vec<StagedFile>,
}

/// The root of a tablet where new files are to be written, with the staging directory `name` on it: that of the first
/// good replica.
pub(crate) fn staging_for(
    roots: &StorageRoots,
    tablet: TabletId,
    replicas: &[ReplicaRow],
    name: &str,
) -> Result<(StorageRootId, PathBuf)> {
    let mut failure = None;
    let healthy_first = replicas.iter().filter(|replica| replica.healthy).chain(replicas.iter().filter(|r| !r.healthy));
    for replica in healthy_first {
        match roots.create_staging(replica.root_id, name) {
            Ok(directory) => return Ok((replica.root_id, directory)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::Internal(format!("tablet {tablet} has no replica"))))
}

impl StagedTablet {
    /// Copies synced files from staging on `root` to staging on the root of every other replica.
    pub(crate) fn stage(
        roots: &StorageRoots,
        name: &str,
        tablet: TabletId,
        replicas: &[ReplicaRow],
        root: StorageRootId,
        files: Vec<StagedFile>,
    ) -> Result<StagedTablet> {
        let mut staged = StagedTablet { tablet, replicas: Vec::with_capacity(replicas.len()), bad: Vec::new() };
        for replica in replicas {
            let copied = match replica.root_id == root {
                true => Ok(files.clone()),
                false => copy_to(roots, name, tablet, replica.root_id, &files),
            };
            match copied {
                // What every replica is to have is not what was written.
                Err(error @ Error::Corrupt { .. }) => return Err(error),
                Ok(files) => staged.replicas.push(StagedReplica { id: replica.id, root: replica.root_id, files }),
                Err(error) => staged.give_up(replica.id, &error),
            }
        }
        Ok(staged)
    }

    /// Moves the files into the tablet's directory on every root. The caller holds an install guard until the
    /// transaction that names them is done.
    pub(crate) fn install(&mut self, roots: &StorageRoots) -> Result<()> {
        let mut failure = None;
        let mut installed = 0;
        for replica in std::mem::take(&mut self.replicas) {
            match roots.install(replica.root, self.tablet, &replica.files) {
                Ok(()) => installed += 1,
                Err(error) => {
                    self.give_up(replica.id, &error);
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if installed == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Marks the replicas that did not take the files.
    pub(crate) fn mark_bad_replicas(&self, write: &WriteTransaction<'_>) -> Result<()> {
        self.bad.iter().try_for_each(|replica| write.set_replica_health(*replica, false))
    }

    fn give_up(&mut self, replica: ReplicaId, error: &Error) {
        metrics::counter!("ebla_replica_failures_total").increment(1);
        tracing::error!(tablet = %self.tablet, %replica, %error, "replica cannot take new files");
        self.bad.push(replica);
    }
}

/// Errors when the bytes of a staged file are not those that were written to it.
pub(crate) fn check_staged(tablet: TabletId, path: &Path, written: Digest, read: Digest) -> Result<()> {
    if read == written {
        return Ok(());
    }
    let detail =
        "its bytes have changed since they were written to staging. Nothing of this statement is kept: look at the \
                  disk, and give it again"
            .to_owned();
    Err(Error::Corrupt { tablet, path: path.to_owned(), detail })
}

fn copy_to(
    roots: &StorageRoots,
    name: &str,
    tablet: TabletId,
    root: StorageRootId,
    files: &[StagedFile],
) -> Result<Vec<StagedFile>> {
    let directory = roots.create_staging(root, name)?;
    let mut copies = Vec::with_capacity(files.len());
    for file in files {
        let name = file.path.file_name().ok_or_else(|| Error::Internal("a staged file has no name".to_owned()))?;
        let path = directory.join(name);
        check_staged(tablet, &file.path, file.digest, copy_synced(&file.path, &path)?)?;
        copies.push(StagedFile { path, digest: file.digest, kind: file.kind });
    }
    Ok(copies)
}
