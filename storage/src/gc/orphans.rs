//! Files in tablets that nothing names: what a crash left between installing files and naming them.
//!
//! Most of what is on disk is named by a row, so the sweep reads every directory and every name once. It works at any
//! time, as it holds the gate of [`crate::storage::Pins`] tablet by tablet, but one at the start is enough: while the
//! server runs, whoever installs a file in vain lists it as garbage.
//!
//! It passes over hidden tablets, which a restore fills before it names anything, and entries whose names are not ours.

use std::fs;
use std::io;
use std::path::Path;

use crate::digest::Digest;
use crate::disk;
use crate::error::{IoContext, Result};
use crate::ids::{StorageRootId, TabletId};
use crate::roots::{CORRUPT_EXTENSION, TREE_EXTENSION};
use crate::storage::Storage;

impl Storage {
    /// Deletes every file in a tablet's directory that no row, no garbage and no pin names. Returns how many. It
    /// blocks.
    pub fn sweep_orphans(&self) -> Result<u64> {
        let mut swept = 0;
        for root in self.roots().all() {
            for tablet in self.roots().tablets_on_disk(root.id)? {
                swept += self.sweep_tablet(root.id, tablet)?;
            }
        }
        if swept > 0 {
            metrics::counter!("ebla_orphan_files_deleted_total").increment(swept);
            tracing::warn!(files = swept, "files that nothing names are deleted");
        }
        Ok(swept)
    }

    fn sweep_tablet(&self, root: StorageRootId, tablet: TabletId) -> Result<u64> {
        let Some(_alone) = self.pins().collect_guard() else { return Ok(0) };
        let named = self.catalog().read(|read| match read.tablet_owner(tablet)? {
            // The directory of a tablet that is gone goes as a whole, when nobody reads it.
            None => Ok(None),
            Some(owner) if owner.hidden => Ok(None),
            Some(_) => Ok(Some(read.named_files(tablet)?)),
        })?;
        let Some(named) = named else { return Ok(0) };
        let directory = self.roots().tablet_dir(root, tablet)?;
        let mut swept = 0;
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.at("list", &directory)?,
        };
        for entry in entries {
            let path = entry.at("list", &directory)?.path();
            let orphan = digest_of(&path).is_some_and(|digest| !named.contains(&digest));
            if orphan {
                tracing::debug!(%tablet, path = %path.display(), "deleting a file that nothing names");
                disk::remove_file(&path).at("delete", &path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// The digest in the name of a segment, a hash tree, a delete vector or a file that was set aside.
fn digest_of(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    let (digest, extension) = name.split_once('.')?;
    let ours = ["parquet", "dv", CORRUPT_EXTENSION, TREE_EXTENSION].contains(&extension);
    ours.then(|| digest.parse().ok()).flatten()
}
