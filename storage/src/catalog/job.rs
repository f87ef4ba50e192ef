//! Jobs: durable work, one running per database, or one of a kind per repository.

use std::fmt;
use std::str::FromStr;

use rusqlite::{OptionalExtension, Row};

use super::load::text_enum;
use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::{JobId, RepositoryId};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Writes a snapshot.
    Backup,
    /// Brings one back.
    Restore,
    /// Looks whether a repository, or one snapshot in it, is whole.
    Verify,
}

text_enum!(JobKind, Backup = "BACKUP", Restore = "RESTORE", Verify = "VERIFY");

/// One job as the catalog keeps it. What a job means is its module's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its identity; jobs are numbered in the order they were submitted.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The database whose slot it takes, by name: a restore may have to make it first. Empty for a job of a repository.
    pub database: String,
    /// The snapshot's label; empty for a job about more than one.
    pub label: String,
    /// The repository it reads or writes.
    pub repository_id: RepositoryId,
    /// Its state as SHOW prints it.
    pub state: String,
    /// The job as its module stores it.
    pub payload: String,
    /// Whether CANCEL was asked for.
    pub cancel_requested: bool,
    /// How long it may take, from its creation.
    pub timeout_ms: i64,
    /// When it was submitted.
    pub created_at_ms: i64,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
}

/// What a new job is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// The database whose slot it takes; empty for a job of a repository.
    pub database: String,
    /// The snapshot's label; empty for a job about more than one.
    pub label: String,
    /// The repository it reads or writes.
    pub repository_id: RepositoryId,
    /// Its first state.
    pub state: String,
    /// The job as its module stores it.
    pub payload: String,
    /// How long it may take.
    pub timeout_ms: i64,
    /// When it was submitted: for a backup, the snapshot's timestamp.
    pub created_at_ms: i64,
    /// Tables of the database that it is going to create or replace, by name: while it runs nobody else may.
    pub targets: Vec<String>,
}

const COLUMNS: &str = "id, kind, database, label, repository_id, state, payload, cancel_requested, timeout_ms, \
                       created_at_ms, finished_at_ms";

/// Jobs that ended at or before `?1`, but for the last `?2` of their kind.
const FORGOTTEN: &str = "finished_at_ms <= ?1 AND (
    SELECT count(*) FROM jobs AS later WHERE later.database = jobs.database AND later.id > jobs.id
    AND (jobs.database <> '' OR (later.repository_id = jobs.repository_id AND later.kind = jobs.kind))
) >= ?2";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<JobRow>> {
    let kind = match row.get_ref(1)?.as_str()?.parse() {
        Ok(kind) => kind,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(JobRow {
        id: row.get(0)?,
        kind,
        database: row.get(2)?,
        label: row.get(3)?,
        repository_id: row.get(4)?,
        state: row.get(5)?,
        payload: row.get(6)?,
        cancel_requested: row.get(7)?,
        timeout_ms: row.get(8)?,
        created_at_ms: row.get(9)?,
        finished_at_ms: row.get(10)?,
    }))
}

impl ReadTransaction<'_> {
    /// The job of this id.
    pub fn job(&self, id: JobId) -> Result<Option<JobRow>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
        self.prepare_cached(&sql)?.query_row([id], from_row).optional()?.transpose()
    }

    /// Every job kept, oldest first.
    pub fn jobs(&self) -> Result<Vec<JobRow>> {
        let mut statement = self.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs ORDER BY id"))?;
        let rows = statement.query_map([], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// Jobs that have not ended, oldest first.
    pub fn running_jobs(&self) -> Result<Vec<JobRow>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE state NOT IN ('FINISHED', 'CANCELLED') ORDER BY id");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// Jobs that have not ended and have to do with the repository that carries this identity, by whichever of its names here.
    pub fn running_jobs_in(&self, identity: &str) -> Result<Vec<JobRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE state NOT IN ('FINISHED', 'CANCELLED')
             AND repository_id IN (SELECT id FROM repositories WHERE identity = ?1) ORDER BY id"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([identity], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// The last job of a database, of whichever kind.
    pub fn last_job(&self, database: &str) -> Result<Option<JobRow>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE database = ?1 ORDER BY id DESC LIMIT 1");
        self.prepare_cached(&sql)?.query_row([database], from_row).optional()?.transpose()
    }

    /// The last job of each database, of whichever kind, in the order of the databases' names.
    pub fn last_jobs(&self) -> Result<Vec<JobRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE id IN (SELECT max(id) FROM jobs WHERE database <> '' GROUP BY database)
             ORDER BY database"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// The last backup of a database into a repository that was published.
    pub fn last_finished_backup(&self, database: &str, repository: RepositoryId) -> Result<Option<JobRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE database = ?1 AND repository_id = ?2 AND kind = 'BACKUP'
             AND state = 'FINISHED' ORDER BY id DESC LIMIT 1"
        );
        self.prepare_cached(&sql)?.query_row((database, repository), from_row).optional()?.transpose()
    }

    /// Whether [`WriteTransaction::forget_jobs`] would forget one.
    pub fn has_jobs_to_forget(&self, before_ms: i64, keep: u32) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM jobs WHERE {FORGOTTEN})");
        Ok(self.prepare_cached(&sql)?.query_row((before_ms, keep), |row| row.get(0))?)
    }

    /// The job that holds a database's slot, if one does.
    pub fn running_job(&self, database: &str) -> Result<Option<JobRow>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE database = ?1 AND state NOT IN ('FINISHED', 'CANCELLED')");
        self.prepare_cached(&sql)?.query_row([database], from_row).optional()?.transpose()
    }
}

impl WriteTransaction<'_> {
    /// Submits a job. Errors when the database's slot is taken, or the repository's for jobs of this kind.
    pub fn create_job(&self, new: &NewJob) -> Result<JobId> {
        let id = JobId(self.next_id()?);
        let inserted = self
            .prepare_cached(
                "INSERT INTO jobs (id, kind, database, label, repository_id, state, payload, timeout_ms, created_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                id,
                new.kind.to_string(),
                &new.database,
                &new.label,
                new.repository_id,
                &new.state,
                &new.payload,
                new.timeout_ms,
                new.created_at_ms,
            ));
        match inserted {
            Ok(_) => {
                self.hold_tables(id, &new.targets)?;
                Ok(id)
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let slot = match new.database.as_str() {
                    "" => "one job of this kind of a repository",
                    _ => "one backup or restore job of a database",
                };
                Err(Error::Conflict(format!("Can only run {slot} at same time")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a job's new state and payload; with `finished`, its end as well.
    pub fn update_job(&self, id: JobId, state: &str, payload: &str, finished: bool) -> Result<()> {
        self.prepare_cached("UPDATE jobs SET state = ?2, payload = ?3, finished_at_ms = ?4 WHERE id = ?1")?
            .execute((id, state, payload, finished.then(|| self.now_ms())))?;
        Ok(())
    }

    /// Takes the jobs that have ended in a database along under its new name. What they have in their payloads is what was
    /// done, under the name of then.
    pub(super) fn rename_database_of_jobs(&self, name: &str, new: &str) -> Result<()> {
        self.prepare_cached(
            "UPDATE jobs SET database = ?2 WHERE database = ?1 AND state IN ('FINISHED', 'CANCELLED')",
        )?
        .execute((name, new))?;
        Ok(())
    }

    /// Asks a job to stop. Returns false when it has ended already.
    pub fn request_job_cancel(&self, id: JobId) -> Result<bool> {
        let changed = self
            .prepare_cached(
                "UPDATE jobs SET cancel_requested = 1 WHERE id = ?1 AND state NOT IN ('FINISHED', 'CANCELLED')",
            )?
            .execute([id])?;
        Ok(changed > 0)
    }

    /// Forgets jobs that ended at or before `before_ms`, but for the last `keep` jobs of each database, and of each kind of
    /// each repository.
    pub fn forget_jobs(&self, before_ms: i64, keep: u32) -> Result<usize> {
        let deleted = self.execute(&format!("DELETE FROM jobs WHERE {FORGOTTEN}"), (before_ms, keep))?;
        Ok(deleted)
    }
}
