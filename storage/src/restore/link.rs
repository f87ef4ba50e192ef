//! Files that need not be fetched: a segment is named by its content, so one that any tablet here holds is the one
//! that is wanted. It is hashed before it is trusted, and linked: no copy is made on the same storage root.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::hidden::{Hidden, HiddenTablet, WantedFile, staging_name};
use crate::catalog::Catalog;
use crate::digest::Digest;
use crate::error::{IoContext, Result};
use crate::ids::{StorageRootId, TabletId};
use crate::job::JobContext;
use crate::roots::{StagedFile, StorageRoots, copy_synced, link_or_copy};

/// Tablets whose files are hashed and linked at the same time: hashing is bound by the disk or by one core each.
const TABLETS_IN_FLIGHT_MAX: usize = 2;

/// Links what is here into the hidden tablets. Returns how many bytes that saved.
pub(super) async fn link_local(context: &JobContext, hidden: Hidden) -> Result<u64> {
    let mut linked = 0;
    for position in 0..hidden.partitions.len() {
        let (of, files) = (hidden.clone(), context.files.clone());
        let tablets = context.blocking(move || of.partitions[position].wanted_files(&files)).await?;
        linked += stream::iter(tablets)
            .map(|(tablet, wanted)| link_tablet(context, tablet, wanted))
            .buffer_unordered(TABLETS_IN_FLIGHT_MAX)
            .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
            .await?;
    }
    Ok(linked)
}

async fn link_tablet(context: &JobContext, tablet: HiddenTablet, wanted: Vec<WantedFile>) -> Result<u64> {
    let mut linked = 0;
    for file in wanted {
        // One file a call: a cancel waits for one file to be hashed, not for all.
        let (storage, tablet, staging) = (Arc::clone(&context.storage), tablet.clone(), staging_name(context.id));
        linked +=
            context.blocking(move || link_file(storage.catalog(), storage.roots(), &tablet, &file, &staging)).await?;
    }
    Ok(linked)
}

/// Links one file into every replica of a tablet, as far as copies of it are here. A copy that turns out damaged is
/// passed over: the file is fetched then.
fn link_file(
    catalog: &Catalog,
    roots: &StorageRoots,
    tablet: &HiddenTablet,
    file: &WantedFile,
    staging: &str,
) -> Result<u64> {
    let object = file.object;
    let missing: Vec<StorageRootId> =
        tablet.roots.iter().copied().filter(|root| !is_there(roots, *root, tablet.id, file).unwrap_or(false)).collect();
    if missing.is_empty() {
        return Ok(object.bytes);
    }
    // A delete vector lies beside its segment.
    let holders = catalog.read(|read| read.tablets_with_digest(&file.segment))?;
    let mut copies: Vec<(StorageRootId, PathBuf)> = Vec::new();
    for root in roots.all() {
        for holder in holders.iter().filter(|holder| **holder != tablet.id) {
            let path = roots.file_path(root.id, *holder, &object.digest, object.kind)?;
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == object.bytes) {
                copies.push((root.id, path));
            }
        }
    }
    let mut verified: HashMap<PathBuf, bool> = HashMap::new();
    let mut is_whole = |path: &PathBuf| {
        *verified.entry(path.clone()).or_insert_with(|| {
            Digest::of_file(path).is_ok_and(|(digest, bytes)| digest == object.digest && bytes == object.bytes)
        })
    };
    for root in missing {
        // A copy on the same root is linked; one from elsewhere is copied, so that replicas do not share their bytes.
        let here = copies.iter().find(|(other, path)| *other == root && is_whole(path)).map(|(_, path)| path.clone());
        let source = match here {
            Some(path) => Some((path, true)),
            None => copies.iter().find(|(_, path)| is_whole(path)).map(|(_, path)| (path.clone(), false)),
        };
        let Some((source, same_root)) = source else {
            return Ok(0);
        };
        let path =
            roots.create_staging(root, staging)?.join(format!("{}-{}.{}", tablet.id, object.digest, object.kind));
        if same_root {
            link_or_copy(&source, &path)?;
        } else {
            remove_if_there(&path)?;
            copy_synced(&source, &path)?;
        }
        roots.install(root, tablet.id, &[StagedFile { path, digest: object.digest, kind: object.kind }])?;
    }
    Ok(object.bytes)
}

/// Whether a file lies where it should. Files come there only whole and verified, so its size tells enough.
pub(super) fn is_there(roots: &StorageRoots, root: StorageRootId, tablet: TabletId, file: &WantedFile) -> Result<bool> {
    let path = roots.file_path(root, tablet, &file.object.digest, file.object.kind)?;
    Ok(fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.object.bytes))
}

/// Removes what an earlier attempt left.
pub(super) fn remove_if_there(path: &PathBuf) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}
