//! Jobs: BACKUP, RESTORE and VERIFY as durable work.
//!
//! A job is a row in the catalog. What the user asked for is its spec; what was decided is in the row's payload and,
//! when it is large, in files beside it ([`JobFiles`]); one call of `step` is one attempt at its current state. A step
//! takes the job as it stands and returns it as it stands next; the [`JobRunner`] stores that before the next step
//! begins. So after a crash the job is found at the step that did not end, and every step is written to be run again.
//!
//! The order of events: submit checks everything that can be refused at once and inserts the row (the catalog allows
//! one running job a database, and one that verifies a repository) → the runner drives steps, each raced against CANCEL, the timeout and the server's end
//! ([`Gate`]) → the last step commits, exactly once and all at once → the row stays as history.
//!
//! What ends a job early (a cancel, the timeout, an error that no further attempt can mend) leads to `abandon`, which
//! takes back what the job made and stores CANCELLED with the reason. Nothing here knows SQL or a remote key.

#[cfg(test)]
pub(crate) mod bed;
mod bundle;
mod context;
mod files;
mod gate;
#[cfg(test)]
mod model;
mod progress;
mod retry;
mod row;
mod runner;
mod slot;
mod status;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use bundle::BundleWriter;
pub use context::JobContext;
pub use files::JobFiles;
pub use gate::{Committing, Gate, StopReason};
pub use progress::{Amount, FileProgress, Progress, ProgressCounts, human_bytes, human_seconds};
pub use retry::RetryPolicy;
pub use row::{BACKEND_ID, BackupRow, RestoreRow, VerifyRow};
pub use runner::{HISTORY_KEEP, JobConfig, JobRunner};
pub(crate) use slot::{refuse_busy_database, refuse_busy_repository};
pub use status::{JobStatus, StatusCode};

pub use crate::failpoint::{FailPoint, FailPoints, NoFailPoints, StopAt};

use crate::backup::BackupJob;
use crate::catalog::{JobKind, JobRow, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::restore::RestoreJob;
use crate::verify::VerifyJob;

/// The form of a payload that this version writes.
const PAYLOAD_VERSION: u32 = 1;

/// How long a job may take when its submission does not say.
pub const DEFAULT_TIMEOUT_MS: i64 = 86_400_000;

/// The shortest timeout that can be asked for.
pub const TIMEOUT_MS_MIN: i64 = 600_000;

/// A job of whichever kind.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Backup(BackupJob),
    Restore(RestoreJob),
    Verify(VerifyJob),
}

/// A payload as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Payload<T> {
    format_version: u32,
    job: T,
}

impl Job {
    /// The job of a row. Errors when the row was written by a newer version.
    pub(crate) fn from_row(row: &JobRow) -> Result<Job> {
        Ok(match row.kind {
            JobKind::Backup => Job::Backup(decode_payload(&row.payload)?),
            JobKind::Restore => Job::Restore(decode_payload(&row.payload)?),
            JobKind::Verify => Job::Verify(decode_payload(&row.payload)?),
        })
    }

    /// Its state as SHOW prints it.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Job::Backup(job) => job.state.as_str(),
            Job::Restore(job) => job.state.as_str(),
            Job::Verify(job) => job.state.as_str(),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Job::Backup(job) => job.state.is_done(),
            Job::Restore(job) => job.state.is_done(),
            Job::Verify(job) => job.state.is_done(),
        }
    }

    /// One attempt at its current state. Returns the job at its next state; when that is an end, it is stored already,
    /// because the end changes more than the row.
    pub(crate) fn step<'a>(&self, context: &'a JobContext) -> BoxFuture<'a, Result<Job>> {
        match self.clone() {
            Job::Backup(job) => async move { Ok(Job::Backup(job.step(context).await?)) }.boxed(),
            Job::Restore(job) => async move { Ok(Job::Restore(job.step(context).await?)) }.boxed(),
            Job::Verify(job) => async move { Ok(Job::Verify(job.step(context).await?)) }.boxed(),
        }
    }

    /// Takes back what the job has made and stores its end with the reason. Safe to call again after an error.
    pub(crate) fn abandon<'a>(&self, context: &'a JobContext, why: &'a Abandon) -> BoxFuture<'a, Result<Job>> {
        match self.clone() {
            Job::Backup(job) => async move { Ok(Job::Backup(job.abandon(context, why).await?)) }.boxed(),
            Job::Restore(job) => async move { Ok(Job::Restore(job.abandon(context, why).await?)) }.boxed(),
            Job::Verify(job) => async move { Ok(Job::Verify(job.abandon(context, why).await?)) }.boxed(),
        }
    }

    /// Stores the job as it stands.
    pub(crate) fn store(&self, write: &WriteTransaction<'_>, id: JobId) -> Result<()> {
        match self {
            Job::Backup(job) => job.store(write, id),
            Job::Restore(job) => job.store(write, id),
            Job::Verify(job) => job.store(write, id),
        }
    }
}

/// Why a job is abandoned.
#[derive(Debug)]
pub(crate) enum Abandon {
    /// The user asked for it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// A step failed for good.
    Failed(Error),
}

/// The payload of a job.
pub(crate) fn encode_payload<T: Serialize>(job: &T) -> Result<String> {
    Ok(serde_json::to_string(&Payload { format_version: PAYLOAD_VERSION, job })?)
}

/// The job in a payload.
pub(crate) fn decode_payload<T: DeserializeOwned>(payload: &str) -> Result<T> {
    /// The version alone: the rest of a newer payload need not read.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let version: Version = serde_json::from_str(payload)?;
    if version.format_version > PAYLOAD_VERSION {
        return Err(Error::invalid(format!(
            "the job was written in form {} by a newer version; this version knows form {PAYLOAD_VERSION}",
            version.format_version
        )));
    }
    let payload: Payload<T> = serde_json::from_str(payload)?;
    Ok(payload.job)
}

#[cfg(test)]
mod tests;
