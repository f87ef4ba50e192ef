//! What a VERIFY is checked for before it becomes a job.

use std::sync::Arc;

use super::reader::Fault;
use super::{VerifiedSnapshot, VerifyCounts, VerifyJob, VerifySpec, VerifyState};
use crate::catalog::{JobKind, NewJob, RepositoryRow};
use crate::error::Result;
use crate::job::{JobStatus, encode_payload, refuse_busy_repository};
use crate::repository::Repository;
use crate::restore::find_snapshot;
use crate::storage::{Storage, blocking};

/// Checks a verification and makes the job. The repository is asked who it is, so that one that cannot be reached is told
/// of at once and not by the job; a snapshot is looked for with one listing, or none when its timestamp is given whole.
pub(crate) async fn decide(
    storage: &Arc<Storage>,
    row: &RepositoryRow,
    repository: &Repository,
    spec: VerifySpec,
) -> Result<NewJob> {
    let catalog = Arc::clone(storage.catalog());
    let identity = row.identity.clone();
    let running = blocking(move || catalog.read(|read| read.running_jobs_in(&identity))).await?;
    refuse_busy_repository(&running, &spec.repository)?;
    if let Err(error) = repository.verify_identity().await
        && Fault::of(&error).is_none()
    {
        // What is damaged is for the job to find.
        return Err(error.into());
    }
    let snapshot = match spec.snapshot {
        None => None,
        Some(wanted) => {
            let text = wanted.timestamp.or(spec.properties.backup_timestamp);
            let timestamp = find_snapshot(repository, &wanted.label, text.as_deref()).await?;
            Some(VerifiedSnapshot { label: wanted.label, timestamp })
        }
    };
    let job = VerifyJob {
        state: VerifyState::Pending,
        repository_id: row.id,
        repository: spec.repository,
        snapshot,
        depth: spec.properties.depth,
        checked_to: None,
        counts: VerifyCounts::default(),
        first_error: None,
        status: JobStatus::OK,
    };
    Ok(NewJob {
        targets: Vec::new(),
        kind: JobKind::Verify,
        // It takes no database's slot: backups and restores go on beside it.
        database: String::new(),
        label: job.snapshot.as_ref().map_or_else(String::new, |snapshot| snapshot.label.clone()),
        repository_id: job.repository_id,
        state: job.state.as_str().to_owned(),
        payload: encode_payload(&job)?,
        timeout_ms: spec.properties.timeout_ms,
        created_at_ms: storage.clock().now_ms(),
    })
}
