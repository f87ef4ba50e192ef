//! Bringing from the repository what is not here: each object once, however many tablets and replicas want it.
//!
//! An object is downloaded into staging, verified and synced there, and only then renamed into its tablet's directory.
//! So a file that lies in a tablet is whole, and a resumed job need not look at it again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{FutureExt, TryStreamExt, stream};

use super::hidden::{Hidden, staging_name};
use super::link::{is_there, remove_if_there};
use crate::error::{Error, Result};
use crate::ids::{StorageRootId, TabletId};
use crate::job::{Amount, FailPoint, FileProgress, JobContext, human_bytes};
use crate::repository::{ObjectRef, Repository};
use crate::roots::{StagedFile, StorageRoots, copy_synced, link_or_copy};
use crate::tablet::check_staged;

/// An object to fetch, and where it is wanted.
#[derive(Debug, Clone)]
pub(super) struct MissingFile {
    pub(super) object: ObjectRef,
    pub(super) places: Vec<(StorageRootId, TabletId)>,
}

/// What is not here, largest first.
pub(super) async fn missing(context: &JobContext, hidden: Hidden) -> Result<Vec<MissingFile>> {
    let (files, roots) = (context.files.clone(), Arc::clone(context.storage.roots()));
    context
        .blocking(move || {
            let mut missing: HashMap<ObjectRef, Vec<(StorageRootId, TabletId)>> = HashMap::new();
            for partition in hidden.partitions.iter() {
                for (tablet, wanted) in partition.wanted_files(&files)? {
                    for file in wanted {
                        for root in &tablet.roots {
                            if !is_there(&roots, *root, tablet.id, &file)? {
                                missing.entry(file.object).or_default().push((*root, tablet.id));
                            }
                        }
                    }
                }
            }
            let mut missing: Vec<MissingFile> =
                missing.into_iter().map(|(object, places)| MissingFile { object, places }).collect();
            missing
                .sort_by(|left, right| right.object.bytes.cmp(&left.object.bytes).then(left.object.cmp(&right.object)));
            Ok(missing)
        })
        .await
}

/// Errors when a storage root has no room for what is to lie on it. Room may still run out; this is for what is plain
/// beforehand.
pub(super) fn refuse_without_room(context: &JobContext, missing: &[MissingFile]) -> Result<()> {
    let mut needed: BTreeMap<StorageRootId, u64> = BTreeMap::new();
    for file in missing {
        for (root, _) in &file.places {
            let of_root = needed.entry(*root).or_default();
            *of_root = of_root.saturating_add(file.object.bytes);
        }
    }
    let roots = context.storage.roots();
    for (root, bytes) in needed {
        let free = roots.free_bytes(root)?;
        if bytes > free {
            return Err(Error::Conflict(format!(
                "storage root {} has {} free and the restore needs {}: make room, or add a storage root",
                roots.path(root)?.display(),
                human_bytes(free),
                human_bytes(bytes)
            )));
        }
    }
    Ok(())
}

/// Files and their bytes, each once.
pub(super) fn amount(missing: &[MissingFile]) -> Amount {
    let bytes = missing.iter().map(|file| file.object.bytes).fold(0, u64::saturating_add);
    Amount { files: missing.len() as u64, bytes }
}

/// Fetches everything that is missing; what was `planned` beyond that is there.
pub(super) async fn run(
    context: &JobContext,
    repository: &Repository,
    missing: &[MissingFile],
    planned: Amount,
) -> Result<()> {
    context.progress.begin(planned, amount(missing), context.now_ms());
    stream::iter((0..missing.len()).map(Ok))
        .try_for_each_concurrent(context.config.download_concurrency_max.max(1), |position| {
            async move {
                fetch(context, repository, &missing[position]).await?;
                context.reach(FailPoint::RestoreFileFetched).await
            }
            .boxed()
        })
        .await?;
    context.progress.end();
    let (roots, staging) = (Arc::clone(context.storage.roots()), staging_name(context.id));
    context.blocking(move || roots.remove_staging(&staging)).await
}

async fn fetch(context: &JobContext, repository: &Repository, file: &MissingFile) -> Result<()> {
    let object = file.object;
    let Some((first_root, _)) = file.places.first().copied() else {
        return Ok(());
    };
    let (roots, staging) = (Arc::clone(context.storage.roots()), staging_name(context.id));
    let directory = context.blocking(move || roots.create_staging(first_root, &staging)).await?;
    let path = directory.join(format!("{}.{}", object.digest, object.kind));
    let progress = FileProgress::new(&context.progress, object.bytes);
    context
        .retry(format!("download {}.{}", object.digest, object.kind), || async {
            Ok(repository.get_object(&object, &path, &progress, context.gate.token()).await?)
        })
        .await?;
    let (roots, staging, file) = (Arc::clone(context.storage.roots()), staging_name(context.id), file.clone());
    context.blocking(move || place(&roots, &staging, &path, &file)).await?;
    progress.arrived();
    Ok(())
}

/// Gives a verified file its name in every tablet that wants it.
fn place(roots: &StorageRoots, staging: &str, path: &Path, file: &MissingFile) -> Result<()> {
    let object = file.object;
    let staged = |path: PathBuf| StagedFile { path, digest: object.digest, kind: object.kind };
    let Some(((first_root, first_tablet), others)) = file.places.split_first() else {
        return Ok(());
    };
    for (root, tablet) in others {
        let copy = roots.create_staging(*root, staging)?.join(format!("{tablet}-{}.{}", object.digest, object.kind));
        if root == first_root {
            link_or_copy(path, &copy)?;
        } else {
            remove_if_there(&copy)?;
            check_staged(*tablet, path, object.digest, copy_synced(path, &copy)?)?;
        }
        roots.install(*root, *tablet, &[staged(copy)])?;
    }
    roots.install(*first_root, *first_tablet, &[staged(path.to_path_buf())])
}
