//! One job from where it stands to its end: step, store, step, store.
//!
//! A step is raced against the gate. When the gate closes first, or the step fails, the job is abandoned, unless it is
//! only the server that ends: then the job stays where it stands. A step that panics has failed like any other.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tracing::Instrument;

use super::Shared;
use crate::catalog::{JobKind, JobRow};
use crate::error::{Error, Noun, Result};
use crate::job::{Abandon, FailPoint, Job, JobContext, JobStatus, StatusCode, StopReason};
use crate::restore::purge_hidden;

/// How often a running job is compared with its deadline. The clock may be set, or be a test's, so one long sleep
/// would not do.
const DEADLINE_TICK: Duration = Duration::from_millis(250);

/// How long a step may take to wind up once the gate is closed: requests in flight are dropped at once, and what was
/// begun in a repository is given up in order.
const WIND_UP: Duration = Duration::from_secs(1);

/// Delay before an end that could not be stored is stored again: the disk is full, or worse.
const ABANDON_RETRY_DELAY: Duration = Duration::from_secs(5);

impl Shared {
    /// Drives one job until it has ended or the server does.
    pub(super) async fn drive(&self, row: JobRow, context: &JobContext) {
        let span =
            tracing::info_span!("job", id = %row.id, kind = %row.kind, database = row.database, label = row.label);
        async {
            let watch = watch_deadline(context);
            tokio::pin!(watch);
            tokio::select! {
                () = self.drive_steps(&row, context) => {}
                () = &mut watch => {}
            }
        }
        .instrument(span)
        .await;
    }

    async fn drive_steps(&self, row: &JobRow, context: &JobContext) {
        let mut job = match Job::from_row(row) {
            Ok(job) => job,
            Err(error) => return self.end_unreadable(row, context, error).await,
        };
        let slot = async {
            match row.kind {
                JobKind::Backup | JobKind::Restore => (Some(self.slots.acquire(row.repository_id).await), None),
                // A repository has one at a time.
                JobKind::Verify => (None, self.verify_slots.acquire().await.ok()),
            }
        };
        // Dropped with the job's end. A job that is stopped while it waits never gets one and is abandoned below.
        let _slot = tokio::select! {
            biased;
            () = context.gate.closed() => None,
            slot = slot => Some(slot),
        };
        while !job.is_done() {
            let why = match attempt(&job, context).await {
                Ok(next) => {
                    tracing::info!(state = next.state(), "job advanced");
                    job = next;
                    continue;
                }
                Err(error) => match context.gate.closed_because() {
                    Some(StopReason::ShuttingDown) => return,
                    Some(StopReason::Cancelled) => Abandon::Cancelled,
                    Some(StopReason::TimedOut) => Abandon::TimedOut,
                    None => Abandon::Failed(error),
                },
            };
            context.settle().await;
            job = match self.end_early(job, context, &why).await {
                Some(ended) => ended,
                None => return,
            };
        }
        context.progress.end();
        self.after_end(row.kind, &job, context).await;
    }

    /// Ends a job early, trying as often as it takes. Returns nothing when the server ends first.
    async fn end_early(&self, job: Job, context: &JobContext, why: &Abandon) -> Option<Job> {
        match why {
            Abandon::Cancelled => tracing::info!(state = job.state(), "job is cancelled"),
            Abandon::TimedOut => tracing::warn!(state = job.state(), "job has run out of time"),
            Abandon::Failed(error) => tracing::warn!(state = job.state(), %error, "job has failed"),
        }
        let mut trouble = context.trouble();
        loop {
            match abandon_stored(context, why).await {
                Ok(ended) => return Some(ended),
                Err(error) => {
                    tracing::error!(%error, "cannot end the job yet");
                    trouble.tell(format!("the job has to end and its end cannot be stored: {error}"));
                }
            }
            if self.tasks.is_closed() {
                return None;
            }
            tokio::time::sleep(ABANDON_RETRY_DELAY).await;
        }
    }

    async fn after_end(&self, kind: JobKind, job: &Job, context: &JobContext) {
        metrics::counter!("ebla_jobs_total", "kind" => kind.to_string(), "state" => job.state()).increment(1);
        let files = context.files.clone();
        // Leftovers are swept at the next start; the job itself has ended well.
        if let Err(error) = context.blocking(move || files.remove()).await {
            tracing::warn!(%error, "cannot remove the files of an ended job");
        }
        if let Err(error) = self.forget_old_jobs() {
            tracing::warn!(%error, "cannot forget old jobs");
        }
    }

    /// Ends a job whose row does not read: nobody could ever resume it, and it would hold its slot for ever.
    async fn end_unreadable(&self, row: &JobRow, context: &JobContext, error: Error) {
        tracing::error!(%error, "cannot read the job; it is cancelled");
        let status = JobStatus::new(StatusCode::Unsupported, error.to_string());
        let (catalog, files, row) = (self.storage.catalog().clone(), context.files.clone(), row.clone());
        let ended = context
            .blocking(move || {
                catalog.write(|write| {
                    if row.kind == JobKind::Restore {
                        // What it had hidden is found by the job's id alone; the collector removes its files.
                        purge_hidden(write, row.id)?;
                    }
                    write.release_pins(row.id)?;
                    // The payload is left as it is: a newer version may still show it.
                    write.update_job(row.id, "CANCELLED", &row.payload, true)
                })?;
                files.remove()
            })
            .await;
        if let Err(error) = ended {
            tracing::error!(%error, %status, "cannot cancel the job");
        }
    }
}

/// One step, raced against the gate, and its outcome stored.
async fn attempt(job: &Job, context: &JobContext) -> Result<Job> {
    let step = async {
        context.reach(FailPoint::StepBegins(job.state())).await?;
        let next = job.step(context).await?;
        if !next.is_done() {
            context.reach(FailPoint::StepDone(next.state())).await?;
            let (stored, id) = (next.clone(), context.id);
            context.write(job.state(), move |write, _| stored.store(write, id)).await?;
        }
        Ok(next)
    };
    if context.gate.closed_because().is_some() {
        return Err(Error::Cancelled);
    }
    let step = AssertUnwindSafe(step).catch_unwind();
    let stopped = async {
        context.gate.closed().await;
        tokio::time::sleep(WIND_UP).await;
    };
    tokio::select! {
        biased;
        outcome = step => outcome.unwrap_or_else(|panic| {
            Err(Error::Internal(format!("a step of the job panicked: {}", panic_text(&*panic))))
        }),
        () = stopped => Err(Error::Cancelled),
    }
}

/// Abandons the job as the catalog has it: the step that was dropped may have been stored at its last moment.
async fn abandon_stored(context: &JobContext, why: &Abandon) -> Result<Job> {
    let id = context.id;
    let row = context.read(move |read| read.job(id)).await?;
    let job = Job::from_row(&row.ok_or_else(|| Error::not_found(Noun::Job, id.to_string()))?)?;
    if job.is_done() { Ok(job) } else { job.abandon(context, why).await }
}

/// Closes the gate when the job's time is over. Never returns.
async fn watch_deadline(context: &JobContext) {
    let deadline_ms = context.created_at_ms.saturating_add(context.timeout_ms);
    loop {
        if context.now_ms() >= deadline_ms {
            context.gate.close(StopReason::TimedOut);
        }
        tokio::time::sleep(DEADLINE_TICK).await;
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
