//! The end of a backup: nodes, then the commit object.
//!
//! The commit object is written down beside the job before it is put for the first time, so every put of it, in this
//! process or the next, is of the same bytes, and one that is there already can be told from somebody else's.

use std::time::Duration;

use futures::{FutureExt, TryStreamExt, stream};

use super::BackupJob;
use super::cut::{Cut, load_stored};
use super::lock;
use super::plan::UploadPlan;
use crate::error::{Error, Result};
use crate::job::{Committing, JobContext};
use crate::repository::Repository;
use crate::repository::format::{FORMAT_VERSION, NodeRef, SnapshotManifest};

/// The file that holds the commit object's bytes.
const MANIFEST: &str = "manifest.json";

/// How long an abandoned job tries to take its announcement back. CANCEL waits for the answer.
pub(super) const PUBLISHED_WAIT: Duration = Duration::from_millis(1_500);

/// Makes the commit object and writes it down.
pub(super) async fn save_manifest(
    context: &JobContext,
    job: &BackupJob,
    repository: &Repository,
    cut: Cut,
    plan: &UploadPlan,
) -> Result<()> {
    let finished_at_ms = context.now_ms();
    let tables: Vec<_> = cut.tables.into_iter().map(|table| table.entry).collect();
    let manifest = SnapshotManifest {
        format_version: FORMAT_VERSION,
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        repository_id: repository.info().repository_id.clone(),
        cluster_id: context.storage.catalog().cluster_id().to_owned(),
        database: job.database.clone(),
        label: job.label.clone(),
        timestamp: job.timestamp.clone(),
        timestamp_ms: context.created_at_ms,
        cut_at_ms: cut.cut_at_ms,
        finished_at_ms,
        ttl: job.ttl.map(|ttl| ttl.to_string()),
        expires_at_ms: job.ttl.map(|ttl| ttl.expires_at_ms(finished_at_ms)),
        locked: lock::promise(context, repository, plan),
        totals: SnapshotManifest::totals_of(
            &tables,
            job.totals.bytes_uploaded.saturating_add(job.totals.node_bytes_uploaded),
        )
        .map_err(unfit)?,
        tables,
    };
    let (files, stored) = (context.files.clone(), manifest.to_stored().map_err(unfit)?);
    context.blocking(move || files.put(MANIFEST, &stored)).await
}

/// Puts the nodes that the repository lacks. Partitions come before tables, so that a node that is there has
/// everything below it.
pub(super) async fn put_nodes(context: &JobContext, repository: &Repository, plan: &UploadPlan) -> Result<()> {
    for level in [&plan.partition_nodes, &plan.table_nodes] {
        stream::iter((0..level.len()).map(Ok))
            .try_for_each_concurrent(context.config.upload_concurrency_max.max(1), |position| {
                async move { put_node(context, repository, level[position]).await }.boxed()
            })
            .await?;
    }
    Ok(())
}

/// Puts one node of the cut.
pub(super) async fn put_node(context: &JobContext, repository: &Repository, node: NodeRef) -> Result<()> {
    let encoded = load_stored(context, node).await?;
    context.retry("upload node", || async { Ok(repository.put_node(&encoded).await?) }).await?;
    Ok(())
}

/// Puts the commit object. Each attempt is closed to CANCEL; between attempts it gets its chance. What is returned
/// keeps it out until the job's end is stored.
pub(super) async fn put_manifest(context: &JobContext, repository: &Repository) -> Result<Committing> {
    let manifest = load_manifest(context).await?;
    context
        .retry("publish snapshot", || async {
            let committing = context.gate.enter_commit()?;
            repository.put_manifest(&manifest).await?;
            Ok(committing)
        })
        .await
}

/// The commit object that was written down.
pub(super) async fn load_manifest(context: &JobContext) -> Result<SnapshotManifest> {
    let files = context.files.clone();
    let stored = context.blocking(move || files.get(MANIFEST)).await?;
    SnapshotManifest::from_stored(&stored)
        .map_err(|error| Error::Internal(format!("the commit object that was written down: {error}")))
}

fn unfit(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the snapshot cannot be described: {error}"))
}
