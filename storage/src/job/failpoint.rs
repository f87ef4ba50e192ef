//! Named places at which a test can make a job fail, wait, or die with its whole process.
//!
//! In production nothing listens ([`NoFailPoints`]). The places are those where the order of writes matters: a crash
//! just there must leave either nothing visible or everything. Whoever tests a whole server from outside has its jobs
//! come to one place and stay there ([`StopAt`]), and kills it.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::JobId;

/// A place in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailPoint {
    /// A step is about to run in this state.
    StepBegins(&'static str),
    /// A step has led to this state, which is not stored yet.
    StepDone(&'static str),
    /// BACKUP: the files are pinned, the cut is not on disk.
    BackupPinned,
    /// BACKUP: one file has been uploaded.
    BackupFileUploaded,
    /// BACKUP: every node is in the repository, the commit object is not.
    BackupBeforeCommit,
    /// BACKUP: the commit object is in the repository, the job's end is not stored.
    BackupAfterCommit,
    /// RESTORE: hidden tablets are in the catalog, no file is in them.
    RestoreHidden,
    /// RESTORE: one file has been fetched and verified.
    RestoreFileFetched,
    /// RESTORE: the hidden tablets hold everything, nothing is visible.
    RestoreBeforeCommit,
    /// RESTORE: everything is visible.
    RestoreAfterCommit,
}

/// Whoever listens at the places.
#[async_trait]
pub trait FailPoints: fmt::Debug + Send + Sync + 'static {
    /// A job has come to a place. An error makes its step fail; not returning makes it wait.
    async fn reach(&self, job: JobId, point: FailPoint) -> Result<()>;
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFailPoints;

#[async_trait]
impl FailPoints for NoFailPoints {
    async fn reach(&self, _job: JobId, _point: FailPoint) -> Result<()> {
        Ok(())
    }
}

/// Jobs that come to a place stay there, until they are cancelled or the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopAt(String);

impl StopAt {
    /// The place as its [`fmt::Debug`] form names it, such as `BackupPinned` or `StepBegins("UPLOADING")`.
    pub fn new(place: impl Into<String>) -> StopAt {
        StopAt(place.into())
    }
}

#[async_trait]
impl FailPoints for StopAt {
    async fn reach(&self, job: JobId, point: FailPoint) -> Result<()> {
        if format!("{point:?}") != self.0 {
            return Ok(());
        }
        tracing::warn!(%job, place = self.0, "job stays at a place, as a test wants it");
        std::future::pending().await
    }
}
