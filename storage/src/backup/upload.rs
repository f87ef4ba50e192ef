//! Bringing the files of a plan into the repository, several at a time.

use std::path::Path;

use futures::{FutureExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::plan::{UploadPlan, WantedObject};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::{Amount, FailPoint, FileProgress, JobContext};
use crate::repository::{Put, Repository, RepositoryError, RepositoryResult};

/// How often a file may be read wrong that is right when it is looked at: a machine that does so more often must not
/// write backups.
const MISREADS_MAX: u32 = 2;

/// Uploads every file of the plan. An interrupted attempt is not repeated: what has arrived is left out, and the plan
/// is written down without it; of what was `planned` at first, it counts as done.
pub(super) async fn run(
    context: &JobContext,
    repository: &Repository,
    database: &str,
    mut plan: UploadPlan,
    planned: Amount,
) -> Result<()> {
    if context.resumed {
        plan.leave_out_present(context, repository).await?;
        plan.save(context).await?;
    }
    context.progress.begin(planned, plan.files(), context.now_ms());
    let objects = &plan.objects;
    stream::iter((0..objects.len()).map(Ok))
        .try_for_each_concurrent(context.config.upload_concurrency_max.max(1), |position| {
            async move {
                upload(context, repository, database, &objects[position]).await?;
                context.reach(FailPoint::BackupFileUploaded).await
            }
            .boxed()
        })
        .await?;
    context.progress.end();
    Ok(())
}

/// Uploads one file from the first replica that is whole. A damaged one is reported, so that it is read no more and
/// can be rebuilt.
pub(super) async fn upload(
    context: &JobContext,
    repository: &Repository,
    database: &str,
    wanted: &WantedObject,
) -> Result<()> {
    let WantedObject { kind, digest, bytes, tablet, ref table, .. } = *wanted;
    let mut misreads = 0;
    let mut failed = Vec::new();
    let progress = FileProgress::new(&context.progress, bytes);
    loop {
        let (files, passed_over) = (context.storage.files().clone(), failed.clone());
        let path = context
            .blocking(move || files.find_pinned(tablet, &digest, kind, bytes, &passed_over))
            .await
            .map_err(|error| name_place(error, database, table))?;
        let uploaded = context
            .retry(format!("upload {digest}.{kind} of table {database}.{table}"), || async {
                Ok(put(repository, wanted, &path, &progress, context.gate.token()).await?)
            })
            .await;
        let error = match uploaded {
            Ok(_) => {
                progress.arrived();
                return Ok(());
            }
            Err(Error::Repository(error @ RepositoryError::CorruptLocal { .. })) => error,
            Err(error) => return Err(error),
        };
        // It may have come wrong from the disk and not lie wrong on it. Giving up the only copy ends the backup, so it is
        // read once more first.
        let again = path.clone();
        let whole = context.blocking(move || {
            Ok(Digest::of_file(&again).is_ok_and(|(found, length)| found == digest && length == bytes))
        });
        if whole.await? {
            if misreads == MISREADS_MAX {
                return Err(error.into());
            }
            tracing::warn!(%tablet, %error, "a file was read wrong and lies right, trying again");
            misreads += 1;
            continue;
        }
        let (files, damaged) = (context.storage.files().clone(), path.clone());
        let mark = move || {
            files.mark_copy_bad(tablet, &damaged, &error.to_string());
            Ok(())
        };
        context.blocking(mark).await?;
        // It is not found again: the loop ends when no replica is left.
        failed.push(path);
    }
}

/// Puts a file; one whose object is known, or turns out, to be damaged, in a way that a reader gets the right bytes.
async fn put(
    repository: &Repository,
    wanted: &WantedObject,
    path: &Path,
    progress: &FileProgress<'_>,
    cancel: &CancellationToken,
) -> RepositoryResult<Put> {
    let object = wanted.object();
    if wanted.mend {
        return repository.mend_object(&object, path, progress, cancel).await;
    }
    match repository.put_object(&object, path, progress, cancel).await {
        Err(RepositoryError::CorruptObject { key, detail }) => {
            tracing::warn!(key, detail, "an object of the repository is damaged");
            repository.mend_object(&object, path, progress, cancel).await
        }
        put => put,
    }
}

/// Says which table a damaged file belongs to: people know tables, not tablets.
fn name_place(error: Error, database: &str, table: &str) -> Error {
    match error {
        Error::Corrupt { tablet, path, detail } => Error::Corrupt {
            tablet,
            path,
            detail: format!(
                "{detail} (table {database}.{table}); it cannot be backed up: restore the table from an earlier snapshot"
            ),
        },
        other => other,
    }
}
