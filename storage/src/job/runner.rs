//! The one who drives jobs: submits them, runs each in a task of its own, resumes at start what the last process left,
//! hands CANCEL on, and tells SHOW how it goes.
//!
//! A submission asks its repository, and one that does not answer holds only those who want the same label of it. That a
//! database has one running job, and a repository one verification, is looked at again in the transaction that makes the
//! job; whether a label is free is found out in turns of that label. Whoever is late is refused by one of the two.
//!
//! There is no polling: a submitted job begins at once. Jobs of different databases run side by side, at most
//! [`JobConfig::concurrent_jobs_max`] of them and one of each repository ([`Slots`]); requests, memory and bandwidth are budgets of the whole process that
//! the repositories keep. The runner never decides what a job does.

mod drive;
mod look;
mod slots;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio_util::task::TaskTracker;

use self::slots::Slots;
use super::context::Troubles;
use super::slot::refuse_taken;
use super::{FailPoints, Gate, JobContext, JobFiles, NoFailPoints, Progress, RetryPolicy, StopReason};
use crate::backup::{self, BackupSpec};
use crate::catalog::{JobKind, JobRow, NewJob};
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::repositories::{Repositories, dropped_meanwhile, in_time};
use crate::restore::{self, RestoreSpec};
use crate::storage::turns::{OwnTurn, SharedTurn, Turns};
use crate::storage::{Storage, blocking};
use crate::verify::{self, VerifySpec};

/// How long CANCEL waits to see its job end before it answers. The job ends anyway.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// Whose end is waited for by who wants a turn at a label.
const OTHERS_OF_LABEL: &str = "other statements on the same label of the repository";

/// How long ended jobs are kept as history: a quarter's audit, and some thousand rows for an hourly backup.
pub const HISTORY_KEEP: Duration = Duration::from_secs(90 * 86_400);

/// Limits and policies of jobs.
#[derive(Debug, Clone)]
pub struct JobConfig {
    /// Backups and restores that run at the same time, beside one of each repository that has none among them; more wait
    /// in PENDING. Each may keep the disk busy by itself.
    pub concurrent_jobs_max: usize,
    /// Verifications that run at the same time, beside those; more wait in PENDING.
    pub concurrent_verifies_max: usize,
    /// Objects after which a verification stores how far it has come.
    pub verify_batch_objects_max: usize,
    /// Files that one job uploads at the same time. Small files need several in flight to hide the store's latency;
    /// memory is bounded by the repositories' budget, not by this.
    pub upload_concurrency_max: usize,
    /// Files that one job downloads at the same time.
    pub download_concurrency_max: usize,
    /// How requests that may pass are tried again.
    pub retry: RetryPolicy,
    /// How long ended jobs are kept as history. See [`HISTORY_KEEP`].
    pub history_keep: Duration,
    /// Jobs of each database that are kept however old they are.
    pub history_jobs_min: u32,
    /// Whoever wants to interfere; nobody in production.
    pub failpoints: Arc<dyn FailPoints>,
}

/// Drives jobs. One for each data directory.
pub struct JobRunner {
    shared: Arc<Shared>,
}

/// What the tasks of all jobs share.
pub(super) struct Shared {
    storage: Arc<Storage>,
    repositories: Arc<Repositories>,
    config: Arc<JobConfig>,
    /// The labels of repositories: a backup looks for its own there and among running jobs, and nobody else may take or
    /// drop it in between; who reads a snapshot does so beside others, and nobody drops it meanwhile.
    /// By the identity that a repository carries itself: it may have several names here.
    labels: Turns<(String, String)>,
    slots: Slots,
    /// Verifications have slots of their own: they take long, and no backup is to wait for one.
    verify_slots: Semaphore,
    running: Mutex<HashMap<JobId, Arc<Running>>>,
    tasks: TaskTracker,
}

/// A job that has a task.
pub(super) struct Running {
    gate: Arc<Gate>,
    progress: Arc<Progress>,
    troubles: Arc<Troubles>,
    ended: watch::Sender<bool>,
}

impl Default for JobConfig {
    fn default() -> Self {
        JobConfig {
            concurrent_jobs_max: 4,
            // They wait for the network most of the time, and nobody waits for them.
            concurrent_verifies_max: 2,
            verify_batch_objects_max: 512,
            // As many requests as the repositories' budget lets through.
            upload_concurrency_max: 16,
            download_concurrency_max: 16,
            retry: RetryPolicy::default(),
            history_keep: HISTORY_KEEP,
            history_jobs_min: 10,
            failpoints: Arc::new(NoFailPoints),
        }
    }
}

impl JobRunner {
    /// Sweeps what ended jobs left behind and resumes every job that has not ended. Needs a runtime.
    pub fn start(storage: Arc<Storage>, repositories: Arc<Repositories>, config: JobConfig) -> Result<JobRunner> {
        let unfinished = storage.catalog().read(|read| read.running_jobs())?;
        let ids: Vec<JobId> = unfinished.iter().map(|row| row.id).collect();
        JobFiles::sweep(&storage.config().data_dir, &ids)?;
        let shared = Arc::new(Shared {
            slots: Slots::new(config.concurrent_jobs_max),
            verify_slots: Semaphore::new(config.concurrent_verifies_max.max(1)),
            storage,
            repositories,
            config: Arc::new(config),
            labels: Turns::default(),
            running: Mutex::new(HashMap::new()),
            tasks: TaskTracker::new(),
        });
        shared.forget_old_jobs()?;
        for row in unfinished {
            tracing::info!(job = %row.id, kind = %row.kind, database = row.database, state = row.state, "resume job");
            shared.launch(row, true);
        }
        Ok(JobRunner { shared })
    }

    /// Submits a backup. Whatever can be refused is refused here, in the order StarRocks checks; the rest is
    /// told by SHOW BACKUP.
    pub async fn submit_backup(&self, spec: BackupSpec) -> Result<JobId> {
        let shared = &self.shared;
        shared.refuse_when_ending()?;
        let submission = async {
            let checked = backup::check(&shared.storage, spec).await?;
            let (repository, label) = checked.snapshot();
            let _turn = self.turn_alone(repository, label).await?;
            self.submit(backup::decide(&shared.storage, &shared.repositories, checked).await?).await
        };
        shared.repositories.promptly(submission).await
    }

    /// The first part of [`JobRunner::submit_backup`]: what the catalog alone can refuse. For those who have checks of
    /// their own that come between it and the rest.
    pub async fn check_backup(&self, spec: BackupSpec) -> Result<()> {
        backup::check(&self.shared.storage, spec).await.map(drop)
    }

    /// Submits a restore. Whatever can be refused without reading the whole snapshot is refused here; the rest is
    /// told by SHOW RESTORE before a byte moves.
    pub async fn submit_restore(&self, spec: RestoreSpec) -> Result<JobId> {
        let shared = &self.shared;
        shared.refuse_when_ending()?;
        let submission = async {
            let (row, repository) = shared.repositories.find(&spec.repository).await?;
            let _turn = self.turn_beside_others(&row.identity, &spec.label).await?;
            self.submit(restore::decide(&shared.storage, row.id, &repository, spec).await?).await
        };
        shared.repositories.promptly(submission).await
    }

    /// Submits a verification. Only what is named and not there, a repository that cannot be reached, and another one of the
    /// repository, is refused here; the rest is told by SHOW VERIFY.
    pub async fn submit_verify(&self, spec: VerifySpec) -> Result<JobId> {
        let shared = &self.shared;
        shared.refuse_when_ending()?;
        let submission = async {
            let (row, repository) = shared.repositories.find(&spec.repository).await?;
            let _turn = match &spec.snapshot {
                Some(wanted) => Some(self.turn_beside_others(&row.identity, &wanted.label).await?),
                None => None,
            };
            self.submit(verify::decide(&shared.storage, &row, &repository, spec).await?).await
        };
        shared.repositories.promptly(submission).await
    }

    /// Asks the running backup or restore of a database to stop, and waits a moment to see it end.
    pub async fn cancel(&self, kind: JobKind, database: &str) -> Result<()> {
        let (catalog, name) = (Arc::clone(self.shared.storage.catalog()), database.to_owned());
        let last = blocking(move || catalog.read(|read| read.last_job(&name))).await?;
        let none_running = match kind {
            JobKind::Backup => "No backup job is currently running",
            JobKind::Restore | JobKind::Verify => "No restore is currently running",
        };
        let row = last.filter(|row| row.kind == kind).ok_or_else(|| Error::Conflict(none_running.to_owned()))?;
        self.cancel_job(row).await
    }

    /// Asks the verification that runs on a repository to stop, and waits a moment to see it end.
    pub async fn cancel_verify(&self, repository: &str) -> Result<()> {
        let (catalog, name) = (Arc::clone(self.shared.storage.catalog()), repository.to_owned());
        let running = blocking(move || {
            catalog.read(|read| {
                let row = read.find_repository(&name)?;
                let row = row.ok_or_else(|| Error::invalid(format!("Repository [{name}] does not exist")))?;
                let is_meant = |job: &JobRow| job.kind == JobKind::Verify && job.repository_id == row.id;
                Ok(read.running_jobs()?.into_iter().find(is_meant))
            })
        });
        let none = || Error::Conflict(format!("No verify job of repository {repository} is currently running"));
        self.cancel_job(running.await?.ok_or_else(none)?).await
    }

    async fn cancel_job(&self, row: JobRow) -> Result<()> {
        let kind = row.kind;
        let too_late = |state: &str, why: &str| {
            Error::Conflict(format!(
                "Failed to cancel job: Job with label {} can not be cancelled. state: {state}{why}",
                row.label
            ))
        };
        let Some(running) = self.shared.running.lock().get(&row.id).cloned() else {
            return Err(too_late(&row.state, ""));
        };
        if !running.gate.close(StopReason::Cancelled) {
            let state = match kind {
                JobKind::Backup => "UPLOAD_INFO: the snapshot is being published",
                JobKind::Restore => "COMMITTING: the data is being made visible",
                // It has no commit that could not be stopped.
                JobKind::Verify => row.state.as_str(),
            };
            return Err(too_late(state, ""));
        }
        // The job ends although this were not stored; a restart in between must not forget the wish.
        let (catalog, id) = (Arc::clone(self.shared.storage.catalog()), row.id);
        blocking(move || catalog.write(|write| write.request_job_cancel(id))).await?;
        let mut ended = running.ended.subscribe();
        // An elapsed wait is no error: the job has heard, and SHOW tells when it is done.
        let _ = tokio::time::timeout(CANCEL_WAIT, ended.wait_for(|ended| *ended)).await;
        let (catalog, id) = (Arc::clone(self.shared.storage.catalog()), row.id);
        match blocking(move || catalog.read(|read| read.job(id))).await? {
            // Its commit had happened in an earlier process, and was found when it was to be taken back.
            Some(row) if row.state == "FINISHED" => Err(too_late("FINISHED", "")),
            _ => Ok(()),
        }
    }

    /// Waits until a job has ended, and returns how. A job that is not known has ended.
    pub async fn wait(&self, id: JobId) -> Result<Option<JobRow>> {
        let running = self.shared.running.lock().get(&id).cloned();
        if let Some(running) = running {
            let mut ended = running.ended.subscribe();
            // The sender lives in `running`, so this ends only when the job does.
            let _ = ended.wait_for(|ended| *ended).await;
        }
        let catalog = Arc::clone(self.shared.storage.catalog());
        blocking(move || catalog.read(|read| read.job(id))).await
    }

    /// Stops every job where it stands, to be resumed by the next process; a job that is committing comes to its end.
    pub async fn shutdown(&self) {
        self.shared.tasks.close();
        let running: Vec<Arc<Running>> = self.shared.running.lock().values().cloned().collect();
        for running in running {
            running.gate.close(StopReason::ShuttingDown);
        }
        self.shared.tasks.wait().await;
    }

    /// Waits until nobody else has to do with a label of the repository that carries this identity. Until what is returned is
    /// dropped, no job of it begins.
    pub(crate) async fn turn_alone(&self, repository: &str, label: &str) -> Result<OwnTurn> {
        let turn = self.shared.labels.alone((repository.to_owned(), label.to_owned()));
        in_time(OTHERS_OF_LABEL, turn).await.ok_or_else(being_submitted)
    }

    /// Waits until nobody makes or drops a label of the repository that carries this identity. Until what is returned is
    /// dropped, nobody does.
    async fn turn_beside_others(&self, repository: &str, label: &str) -> Result<SharedTurn> {
        let turn = self.shared.labels.beside_others((repository.to_owned(), label.to_owned()));
        in_time(OTHERS_OF_LABEL, turn).await.ok_or_else(being_submitted)
    }

    /// How many have a turn at a label, or wait for one.
    #[cfg(test)]
    pub(crate) fn takers(&self, repository: &str, label: &str) -> usize {
        self.shared.labels.takers(&(repository.to_owned(), label.to_owned()))
    }

    async fn submit(&self, new: NewJob) -> Result<JobId> {
        let catalog = Arc::clone(self.shared.storage.catalog());
        let row = blocking(move || {
            let id = catalog.write(|write| match write.repository_by_id(new.repository_id)? {
                Some(repository) => {
                    refuse_taken(write, &repository, &new)?;
                    // From here on the job keeps it from being dropped.
                    write.create_job(&new)
                }
                None => Err(dropped_meanwhile()),
            })?;
            let row = catalog.read(|read| read.job(id))?;
            row.ok_or_else(|| Error::Internal(format!("job {id} is gone right after it was made")))
        })
        .await?;
        let id = row.id;
        tracing::info!(job = %id, kind = %row.kind, database = row.database, label = row.label, "job submitted");
        self.shared.launch(row, false);
        Ok(id)
    }
}

/// StarRocks's words, and what there is here besides.
fn being_submitted() -> Error {
    Error::Conflict("Another backup, restore or verify job is being submitted. Please wait and try again".to_owned())
}

impl Shared {
    fn refuse_when_ending(&self) -> Result<()> {
        if self.tasks.is_closed() {
            return Err(Error::Conflict("the server is shutting down: submit again when it is back".to_owned()));
        }
        Ok(())
    }

    /// Gives a job its task.
    fn launch(self: &Arc<Self>, row: JobRow, resumed: bool) {
        let running = Arc::new(Running {
            gate: Arc::default(),
            progress: Arc::default(),
            troubles: Arc::default(),
            ended: watch::Sender::new(false),
        });
        if row.cancel_requested {
            running.gate.close(StopReason::Cancelled);
        }
        let context = JobContext {
            id: row.id,
            created_at_ms: row.created_at_ms,
            timeout_ms: row.timeout_ms,
            storage: Arc::clone(&self.storage),
            config: Arc::clone(&self.config),
            files: JobFiles::new(&self.storage.config().data_dir, row.id),
            progress: Arc::clone(&running.progress),
            gate: Arc::clone(&running.gate),
            resumed,
            repositories: Arc::clone(&self.repositories),
            troubles: Arc::clone(&running.troubles),
            unsettled: Arc::new(RwLock::new(())),
        };
        self.running.lock().insert(row.id, Arc::clone(&running));
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let id = row.id;
            shared.drive(row, &context).await;
            shared.running.lock().remove(&id);
            // With every job that ends, so that history is bounded however long the server runs.
            let forgetting = Arc::clone(&shared);
            if let Err(error) = blocking(move || forgetting.forget_old_jobs()).await {
                tracing::warn!(%error, "old jobs stay in the history until the next job ends");
            }
            // A value that nobody waits for is no error.
            let _ = running.ended.send_replace(true);
        });
    }

    /// Forgets history that is older than is kept.
    fn forget_old_jobs(&self) -> Result<()> {
        let keep_ms = i64::try_from(self.config.history_keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.storage.clock().now_ms().saturating_sub(keep_ms);
        let keep = self.config.history_jobs_min;
        let catalog = self.storage.catalog();
        // Looked first: a transaction that changes nothing is a write to the disk all the same.
        if catalog.read(|read| read.has_jobs_to_forget(before_ms, keep))? {
            catalog.write(|write| write.forget_jobs(before_ms, keep))?;
        }
        Ok(())
    }
}

impl fmt::Debug for JobRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRunner").field("running", &self.shared.running.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
