//! Files that need not be fetched: a segment is named by its content, so one that any tablet here holds is the one
//! that is wanted. It is linked, so no copy is made on the same storage root, and hashed before it is trusted.
//!
//! The other tablet's file is not pinned. Once it is linked it need not be; one that goes just before is passed over,
//! and fetched like any other that is not here.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::hidden::{Hidden, HiddenTablet, WantedFile, staging_name};
use crate::catalog::Catalog;
use crate::digest::Digest;
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::ids::{StorageRootId, TabletId};
use crate::job::{Amount, FileProgress, JobContext};
use crate::roots::{StagedFile, StorageRoots, copy_synced, link_or_copy};

/// Tablets whose files are hashed and linked at the same time: hashing is bound by the disk or by one core each.
const TABLETS_IN_FLIGHT_MAX: usize = 2;

/// Links what is here into the hidden tablets. Returns how many bytes that saved. While it runs, progress tells how much
/// of `wanted` has been looked for.
pub(super) async fn link_local(context: &JobContext, hidden: Hidden, wanted: Amount) -> Result<u64> {
    let mut linked = 0;
    context.progress.begin(wanted, wanted, context.now_ms());
    context.progress.begin_linking();
    for position in 0..hidden.partitions.len() {
        let (of, files) = (hidden.clone(), context.files.clone());
        let tablets = context.blocking(move || of.partitions[position].wanted_files(&files)).await?;
        linked += stream::iter(tablets)
            .map(|(tablet, wanted)| link_tablet(context, tablet, wanted))
            .buffer_unordered(TABLETS_IN_FLIGHT_MAX)
            .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
            .await?;
    }
    context.progress.forget();
    Ok(linked)
}

async fn link_tablet(context: &JobContext, tablet: HiddenTablet, wanted: Vec<WantedFile>) -> Result<u64> {
    let mut linked = 0;
    for file in wanted {
        // One file a call: a cancel waits for one file to be hashed, not for all.
        let (storage, tablet, staging) = (Arc::clone(&context.storage), tablet.clone(), staging_name(context.id));
        let bytes =
            context.blocking(move || link_file(storage.catalog(), storage.roots(), &tablet, &file, &staging)).await?;
        context.progress.add_linked(bytes);
        FileProgress::new(&context.progress, file.object.bytes).arrived();
        linked += bytes;
    }
    Ok(linked)
}

/// Links one file into every replica of a tablet, as far as whole copies of it are here. What is missing after that is
/// fetched.
fn link_file(
    catalog: &Catalog,
    roots: &StorageRoots,
    tablet: &HiddenTablet,
    file: &WantedFile,
    staging: &str,
) -> Result<u64> {
    let missing: Vec<StorageRootId> =
        tablet.roots.iter().copied().filter(|root| !is_there(roots, *root, tablet.id, file).unwrap_or(false)).collect();
    if missing.is_empty() {
        return Ok(file.object.bytes);
    }
    let copies = find_copies(catalog, roots, tablet, file)?;
    for root in missing {
        if !link_copy(roots, root, tablet.id, file, staging, &copies)? {
            return Ok(0);
        }
    }
    Ok(file.object.bytes)
}

/// A copy of a wanted file in another tablet. Nobody keeps it there for the restore: the collector may delete it, and a
/// reader that finds it damaged may set it aside, at any moment.
struct LocalCopy {
    root: StorageRootId,
    path: PathBuf,
}

fn find_copies(
    catalog: &Catalog,
    roots: &StorageRoots,
    tablet: &HiddenTablet,
    file: &WantedFile,
) -> Result<Vec<LocalCopy>> {
    // A delete vector lies beside its segment.
    let holders = catalog.read(|read| read.tablets_with_digest(&file.segment))?;
    let mut copies = Vec::new();
    for root in roots.all() {
        for holder in holders.iter().filter(|holder| **holder != tablet.id) {
            let path = roots.file_path(root.id, *holder, &file.object.digest, file.object.kind)?;
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.object.bytes) {
                copies.push(LocalCopy { root: root.id, path });
            }
        }
    }
    Ok(copies)
}

/// Gives the tablet's replica on `root` the first copy that is whole. Returns whether there was one.
fn link_copy(
    roots: &StorageRoots,
    root: StorageRootId,
    tablet: TabletId,
    file: &WantedFile,
    staging: &str,
    copies: &[LocalCopy],
) -> Result<bool> {
    let object = file.object;
    let path = roots.create_staging(root, staging)?.join(format!("{tablet}-{}.{}", object.digest, object.kind));
    // One on the same root is linked; one from elsewhere is copied, so that replicas do not share their bytes.
    let (here, elsewhere): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| copy.root == root);
    for copy in here.into_iter().chain(elsewhere) {
        remove_if_there(&path)?;
        let staged = match copy.root == root {
            true => link_or_copy(&copy.path, &path),
            false => copy_synced(&copy.path, &path).map(drop),
        };
        match staged {
            // It went after it had been found.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            staged => staged?,
        }
        // From here on the bytes stay, whatever becomes of the copy. They are hashed under the name that is going to
        // be used, so what was looked at is what is installed.
        let whole =
            Digest::of_file(&path).is_ok_and(|(digest, bytes)| digest == object.digest && bytes == object.bytes);
        if whole {
            roots.install(root, tablet, &[StagedFile { path, digest: object.digest, kind: object.kind }])?;
            return Ok(true);
        }
    }
    remove_if_there(&path)?;
    Ok(false)
}

/// Whether a file lies where it should. Files come there only whole and verified, so its size tells enough.
pub(super) fn is_there(roots: &StorageRoots, root: StorageRootId, tablet: TabletId, file: &WantedFile) -> Result<bool> {
    let path = roots.file_path(root, tablet, &file.object.digest, file.object.kind)?;
    Ok(fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.object.bytes))
}

/// Removes what an earlier attempt left.
pub(super) fn remove_if_there(path: &PathBuf) -> Result<()> {
    disk::remove_file_if_there(path).at("remove", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::FileKind;
    use crate::clock::{ManualClock, SystemRandom};
    use crate::repository::ObjectRef;

    /// Goal: a copy that goes, or turns out damaged, between the look and the link is passed over. Method: name copies
    /// that are not there any more.
    #[test]
    fn copies_that_are_gone_or_damaged_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&dir.path().join("catalog.db"), ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
        let roots = StorageRoots::open(&catalog, dir.path(), &[dir.path().join("a"), dir.path().join("b")]).unwrap();
        let [here, there] = *roots.configured() else { panic!("two roots") };
        let digest = Digest::of(b"bytes");
        let object = ObjectRef { kind: FileKind::Segment, digest, bytes: 5 };
        let file = WantedFile { object, segment: digest };
        let copy = |root, name: &str, bytes: Option<&[u8]>| {
            let path = roots.path(root).unwrap().join(name);
            if let Some(bytes) = bytes {
                fs::write(&path, bytes).unwrap();
            }
            LocalCopy { root, path }
        };
        let gone = [copy(here, "gone", None), copy(there, "gone", None), copy(here, "damaged", Some(b"bites"))];
        assert!(!link_copy(&roots, here, TabletId(7), &file, "restore-1", &gone).unwrap());
        assert!(!is_there(&roots, here, TabletId(7), &file).unwrap());
        assert_eq!(fs::read_dir(roots.staging_dir(here, "restore-1").unwrap()).unwrap().count(), 0);
        let mut copies = Vec::from(gone);
        copies.push(copy(there, "whole", Some(b"bytes")));
        assert!(link_copy(&roots, here, TabletId(7), &file, "restore-1", &copies).unwrap());
        assert!(is_there(&roots, here, TabletId(7), &file).unwrap());
    }
}
