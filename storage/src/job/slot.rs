//! The slots of jobs: a database has one running backup or restore, a repository one running verification.
//!
//! A submission looks twice: before it asks its repository anything, and in the transaction that makes the job, for
//! whoever came to be in between. The catalog's own constraint stands behind both.

use crate::catalog::{JobKind, JobRow, NewJob, ReadTransaction, RepositoryRow};
use crate::error::{Error, Result};

/// Errors when one of the running jobs holds the slot of this database.
pub(crate) fn refuse_busy_database(running: &[JobRow], database: &str) -> Result<()> {
    match running.iter().find(|job| job.database == database) {
        None => Ok(()),
        Some(job) => Err(Error::Conflict(format!(
            "Can only run one backup or restore job of a database at same time. Running: label {}, state {}",
            job.label, job.state
        ))),
    }
}

/// Errors when one of the jobs that run in this repository, under whichever of its names, verifies it.
pub(crate) fn refuse_busy_repository(running_in: &[JobRow], repository: &str) -> Result<()> {
    match running_in.iter().find(|job| job.kind == JobKind::Verify) {
        None => Ok(()),
        Some(job) => Err(Error::Conflict(format!(
            "Can only run one verify job of a repository at same time. Running: job {}, state {}; SHOW VERIFY ON \
             {repository} shows it, CANCEL VERIFY ON {repository} ends it",
            job.id, job.state
        ))),
    }
}

/// Errors when the slot that a new job is to take is taken by now.
pub(super) fn refuse_taken(read: &ReadTransaction<'_>, repository: &RepositoryRow, new: &NewJob) -> Result<()> {
    match new.kind {
        JobKind::Backup | JobKind::Restore => refuse_busy_database(&read.running_jobs()?, &new.database),
        JobKind::Verify => refuse_busy_repository(&read.running_jobs_in(&repository.identity)?, &repository.name),
    }
}
