//! Creating a file that is either wholly there, durable, under its name, or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Fault, Put, Root, StoreErrorKind, open_object};
use crate::disk;

/// Where files wait for their names. The dot keeps it out of listings.
pub(super) const STAGING: &str = ".ebla-staging";

/// Age from which a temporary file is a leftover: no upload waits a day between two writes.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A temporary file. Unlinked when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    file: File,
}

impl Staged {
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Best effort: what stays is swept as a leftover.
        let _ = disk::remove_file(&self.path);
    }
}

impl Root {
    /// A new temporary file in the root's file system.
    pub(super) fn stage(&self) -> io::Result<Staged> {
        let directory = self.path.join(STAGING);
        if !directory.is_dir() {
            disk::create_dir_all(&directory)?;
        }
        if self.durable.lock().insert(directory.clone()) {
            // The first write of this process, so the sweep costs one directory read per open repository.
            sweep(&directory);
        }
        let path = directory.join(self.random.identifier());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Staged { path, file })
    }

    /// Gives a written file its name, unless the name is taken.
    ///
    /// It takes what is left of a shared one, which is nothing while somebody still writes into it.
    pub(super) fn publish(&self, staged: Option<Staged>, path: &Path) -> Result<Put, Fault> {
        let Some(staged) = staged else {
            let message = "a part is still being written".to_owned();
            return Err(Fault::Store(StoreErrorKind::Invalid, message));
        };
        disk::sync_file(&staged.file)?;
        let directory = path.parent().unwrap_or(&self.path);
        self.make_durable(directory)?;
        match link(&staged.path, path) {
            Ok(()) => {
                disk::sync_directory(directory)?; // The object exists from here on.
                Ok(Put::Created)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.found(path),
            Err(error) => Err(error.into()),
        }
    }

    /// An object is there already. Another writer may have linked it a moment ago, so its name is made durable
    /// before anybody relies on it; its bytes were synced before it had a name.
    pub(super) fn found(&self, path: &Path) -> Result<Put, Fault> {
        open_object(path)?;
        disk::sync_directory(path.parent().unwrap_or(&self.path))?;
        Ok(Put::Exists)
    }

    /// Makes a directory and syncs every directory above it, up to the one that holds the root: whoever made them
    /// may not have synced them yet.
    fn make_durable(&self, directory: &Path) -> io::Result<()> {
        if self.durable.lock().contains(directory) {
            return Ok(());
        }
        disk::create_dir_all(directory)?;
        let above_root = self.path.parent().unwrap_or(&self.path);
        let chain = directory.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(above_root));
        for ancestor in chain {
            match disk::sync_directory(ancestor) {
                // The directory above the root may be readable by nobody but its owner; it is not ours to sync then.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && ancestor == above_root => {}
                synced => synced?,
            }
        }
        self.durable.lock().insert(directory.to_owned());
        Ok(())
    }
}

/// Gives a file a name that must be free. Where a file system has no links, a rename that replaces nothing does it.
fn link(staged: &Path, path: &Path) -> io::Result<()> {
    match disk::hard_link(staged, path) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            // Only "the name is taken" says more than why linking failed.
            disk::rename_to_free(staged, path)
                .map_err(|renaming| if renaming.kind() == ErrorKind::AlreadyExists { renaming } else { error })
        }
        linked => linked,
    }
}

/// Removes temporary files that a crash left long ago.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > LEFTOVER_AGE) {
            // Another process may sweep at the same time.
            let _ = disk::remove_file(&entry.path());
        }
    }
}
