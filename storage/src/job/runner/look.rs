//! What SHOW BACKUP, SHOW RESTORE, SHOW VERIFY and the history views see: the stored row, and beside it what a running job counts
//! in memory.

use super::{JobRunner, Shared};
use crate::backup::BackupJob;
use crate::catalog::{FindingRow, JobKind, JobRow};
use crate::error::Result;
use crate::ids::JobId;
use crate::job::{BACKEND_ID, BackupRow, JobStatus, ProgressCounts, RestoreRow, StatusCode, VerifyRow, decode_payload};
use crate::restore::RestoreJob;
use crate::verify::VerifyJob;

/// What only the process knows of a job; empty for one that has ended.
#[derive(Debug, Default)]
struct Live {
    unfinished_tasks: String,
    progress: String,
    task_errors: String,
    counts: Option<ProgressCounts>,
}

impl JobRunner {
    /// SHOW BACKUP: the last job of the database, or of every database, where that is a backup.
    pub fn backup_rows(&self, database: Option<&str>) -> Result<Vec<BackupRow>> {
        Ok(self.last_jobs(JobKind::Backup, database)?.into_iter().map(|row| self.shared.backup_row(row)).collect())
    }

    /// SHOW RESTORE: the last job of the database, or of every database, where that is a restore.
    pub fn restore_rows(&self, database: Option<&str>) -> Result<Vec<RestoreRow>> {
        Ok(self.last_jobs(JobKind::Restore, database)?.into_iter().map(|row| self.shared.restore_row(row)).collect())
    }

    /// Every backup that is remembered, oldest first.
    pub fn backup_history(&self) -> Result<Vec<BackupRow>> {
        Ok(self.all_jobs(JobKind::Backup)?.into_iter().map(|row| self.shared.backup_row(row)).collect())
    }

    /// Every restore that is remembered, oldest first.
    pub fn restore_history(&self) -> Result<Vec<RestoreRow>> {
        Ok(self.all_jobs(JobKind::Restore)?.into_iter().map(|row| self.shared.restore_row(row)).collect())
    }

    /// SHOW VERIFY: every verification that is remembered, of every repository or of the one of this name, oldest first.
    pub fn verify_rows(&self, repository: Option<&str>) -> Result<Vec<VerifyRow>> {
        let rows = self.all_jobs(JobKind::Verify)?.into_iter().map(|row| self.shared.verify_row(row));
        Ok(rows.filter(|row| repository.is_none_or(|name| row.repository == name)).collect())
    }

    /// What verifications have found, job by job, with the name of each one's repository.
    pub fn verify_findings(&self) -> Result<Vec<(String, FindingRow)>> {
        let mut found = Vec::new();
        for row in self.verify_rows(None)? {
            let findings = self.shared.storage.catalog().read(|read| read.findings(row.job_id))?;
            found.extend(findings.into_iter().map(|finding| (row.repository.clone(), finding)));
        }
        Ok(found)
    }

    fn last_jobs(&self, kind: JobKind, database: Option<&str>) -> Result<Vec<JobRow>> {
        let rows = self.shared.storage.catalog().read(|read| match database {
            Some(database) => Ok(read.last_job(database)?.into_iter().collect()),
            None => read.last_jobs(),
        })?;
        Ok(rows.into_iter().filter(|row| row.kind == kind).collect())
    }

    fn all_jobs(&self, kind: JobKind) -> Result<Vec<JobRow>> {
        let rows = self.shared.storage.catalog().read(|read| read.jobs())?;
        Ok(rows.into_iter().filter(|row| row.kind == kind).collect())
    }
}

impl Shared {
    fn live(&self, id: JobId) -> Live {
        let Some(running) = self.running.lock().get(&id).cloned() else {
            return Live::default();
        };
        let counts = running.progress.counts();
        let now_ms = self.storage.clock().now_ms();
        Live {
            unfinished_tasks: counts.map_or(String::new(), |_| format!("{id}={BACKEND_ID}")),
            progress: counts.map_or(String::new(), |counts| counts.describe(id, now_ms)),
            task_errors: running.troubles.describe(id),
            counts,
        }
    }

    fn backup_row(&self, row: JobRow) -> BackupRow {
        let job: Result<BackupJob> = decode_payload(&row.payload);
        let live = if row.finished_at_ms.is_some() { Live::default() } else { self.live(row.id) };
        let (job, status) = match job {
            Ok(job) => (Some(job.clone()), job.status),
            Err(error) => (None, JobStatus::new(StatusCode::Unsupported, error.to_string())),
        };
        BackupRow {
            job_id: row.id,
            snapshot_name: row.label,
            objects: job.as_ref().map_or(String::new(), |job| job.describe_objects()),
            database: row.database,
            state: row.state,
            created_at_ms: row.created_at_ms,
            snapshot_finished_at_ms: job.as_ref().and_then(|job| job.snapshot_finished_at_ms),
            upload_finished_at_ms: job.as_ref().and_then(|job| job.upload_finished_at_ms),
            finished_at_ms: row.finished_at_ms,
            unfinished_tasks: live.unfinished_tasks,
            progress: live.progress,
            task_errors: live.task_errors,
            status,
            timeout_s: row.timeout_ms / 1_000,
            tables: job.as_ref().map_or_else(Vec::new, |job| job.table_names()),
            repository: job.as_ref().map_or(String::new(), |job| job.repository.clone()),
            counts: live.counts,
            totals: job.map(|job| job.totals).unwrap_or_default(),
        }
    }

    fn restore_row(&self, row: JobRow) -> RestoreRow {
        let job: Result<RestoreJob> = decode_payload(&row.payload);
        let live = if row.finished_at_ms.is_some() { Live::default() } else { self.live(row.id) };
        let (job, status) = match job {
            Ok(job) => (Some(job.clone()), job.status),
            Err(error) => (None, JobStatus::new(StatusCode::Unsupported, error.to_string())),
        };
        RestoreRow {
            job_id: row.id,
            label: row.label,
            timestamp: job.as_ref().map_or(String::new(), |job| job.timestamp.to_string()),
            database: row.database,
            state: row.state,
            allow_load: job.as_ref().is_some_and(|job| job.allow_load),
            replication_num: job.as_ref().map_or(0, |job| job.replication_num_shown),
            objects: job.as_ref().map_or(String::new(), |job| job.describe_objects()),
            created_at_ms: row.created_at_ms,
            meta_prepared_at_ms: job.as_ref().and_then(|job| job.meta_prepared_at_ms),
            snapshot_finished_at_ms: job.as_ref().and_then(|job| job.snapshot_finished_at_ms),
            download_finished_at_ms: job.as_ref().and_then(|job| job.download_finished_at_ms),
            finished_at_ms: row.finished_at_ms,
            unfinished_tasks: live.unfinished_tasks,
            progress: live.progress,
            task_errors: live.task_errors,
            status,
            timeout_s: row.timeout_ms / 1_000,
            repository: job.as_ref().map_or(String::new(), |job| job.repository.clone()),
            counts: live.counts,
            bytes_downloaded: job.as_ref().map_or(0, |job| job.bytes_downloaded),
            bytes_linked: job.map_or(0, |job| job.bytes_linked),
        }
    }

    fn verify_row(&self, row: JobRow) -> VerifyRow {
        let job: Result<VerifyJob> = decode_payload(&row.payload);
        let live = if row.finished_at_ms.is_some() { Live::default() } else { self.live(row.id) };
        let (job, status) = match job {
            Ok(job) => (Some(job.clone()), job.status),
            Err(error) => (None, JobStatus::new(StatusCode::Unsupported, error.to_string())),
        };
        let snapshot = job.as_ref().and_then(|job| job.snapshot.as_ref());
        VerifyRow {
            job_id: row.id,
            repository: job.as_ref().map_or(String::new(), |job| job.repository.clone()),
            label: snapshot.map(|snapshot| snapshot.label.clone()),
            timestamp: snapshot.map(|snapshot| snapshot.timestamp.to_string()),
            depth: job.as_ref().map_or(String::new(), |job| job.depth.to_string()),
            state: row.state,
            progress: live.progress,
            counts: job.as_ref().map(|job| job.counts).unwrap_or_default(),
            first_error: job.and_then(|job| job.first_error),
            created_at_ms: row.created_at_ms,
            finished_at_ms: row.finished_at_ms,
            task_errors: live.task_errors,
            status,
            timeout_s: row.timeout_ms / 1_000,
        }
    }
}
