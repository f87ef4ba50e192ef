//! What SHOW BACKUP, SHOW RESTORE, SHOW VERIFY and the history views see: the stored row, and beside it what a running job counts
//! in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::{JobRunner, Running, Shared};
use crate::backup::{BackupJob, BackupState};
use crate::catalog::{FindingRow, JobKind, JobRow};
use crate::error::Result;
use crate::ids::JobId;
use crate::job::{
    Amount, BACKEND_ID, BackupRow, JobStatus, ProgressCounts, RestoreRow, StatusCode, VerifyRow, decode_payload,
};
use crate::restore::{RestoreJob, RestoreState};
use crate::verify::VerifyJob;

/// What only the process knows of a job; empty for one that has ended.
#[derive(Debug, Default)]
struct Live {
    unfinished_tasks: String,
    progress: String,
    task_errors: String,
    counts: Option<ProgressCounts>,
    moved: Amount,
    linked: u64,
}

impl JobRunner {
    /// SHOW BACKUP: the last job of the database, or of every database, where that is a backup.
    pub fn backup_rows(&self, database: Option<&str>) -> Result<Vec<BackupRow>> {
        let running = self.running();
        let rows = self.last_jobs(JobKind::Backup, database)?.into_iter();
        Ok(rows.map(|row| self.shared.backup_row(row, &running)).collect())
    }

    /// SHOW RESTORE: the last job of the database, or of every database, where that is a restore.
    pub fn restore_rows(&self, database: Option<&str>) -> Result<Vec<RestoreRow>> {
        let running = self.running();
        let rows = self.last_jobs(JobKind::Restore, database)?.into_iter();
        Ok(rows.map(|row| self.shared.restore_row(row, &running)).collect())
    }

    /// Every backup that is remembered, oldest first.
    pub fn backup_history(&self) -> Result<Vec<BackupRow>> {
        let running = self.running();
        let rows = self.all_jobs(JobKind::Backup)?.into_iter();
        Ok(rows.map(|row| self.shared.backup_row(row, &running)).collect())
    }

    /// Every restore that is remembered, oldest first.
    pub fn restore_history(&self) -> Result<Vec<RestoreRow>> {
        let running = self.running();
        let rows = self.all_jobs(JobKind::Restore)?.into_iter();
        Ok(rows.map(|row| self.shared.restore_row(row, &running)).collect())
    }

    /// SHOW VERIFY: every verification that is remembered, of every repository or of the one of this name, oldest first.
    pub fn verify_rows(&self, repository: Option<&str>) -> Result<Vec<VerifyRow>> {
        let running = self.running();
        let rows = self.all_jobs(JobKind::Verify)?.into_iter().map(|row| self.shared.verify_row(row, &running));
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

    /// The jobs that have a task. Asked for before the rows are read: a job that ends in between is then still found, and
    /// what it tells does not fall back to nothing.
    fn running(&self) -> HashMap<JobId, Arc<Running>> {
        self.shared.running.lock().clone()
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
    fn live(&self, row: &JobRow, running: &HashMap<JobId, Arc<Running>>) -> Live {
        let id = row.id;
        let Some(running) = running.get(&id).filter(|_| row.finished_at_ms.is_none()) else {
            return Live::default();
        };
        let counts = running.progress.counts();
        let now_ms = self.storage.clock().now_ms();
        Live {
            unfinished_tasks: counts.map_or(String::new(), |_| format!("{id}={BACKEND_ID}")),
            progress: counts.map_or(String::new(), |counts| counts.describe(id, now_ms)),
            task_errors: running.troubles.describe(id),
            counts,
            moved: running.progress.moved(),
            linked: running.progress.linked(),
        }
    }

    fn backup_row(&self, row: JobRow, running: &HashMap<JobId, Arc<Running>>) -> BackupRow {
        let job: Result<BackupJob> = decode_payload(&row.payload);
        let live = self.live(&row, running);
        let (job, status) = match job {
            Ok(job) => (Some(job.clone()), job.status),
            Err(error) => (None, JobStatus::new(StatusCode::Unsupported, error.to_string())),
        };
        let mut totals = job.as_ref().map(|job| job.totals).unwrap_or_default();
        if job.as_ref().is_some_and(|job| job.state == BackupState::Uploading) {
            (totals.objects_uploaded, totals.bytes_uploaded) = (live.moved.files, live.moved.bytes);
        }
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
            totals,
        }
    }

    fn restore_row(&self, row: JobRow, running: &HashMap<JobId, Arc<Running>>) -> RestoreRow {
        let job: Result<RestoreJob> = decode_payload(&row.payload);
        let live = self.live(&row, running);
        let (job, status) = match job {
            Ok(job) => (Some(job.clone()), job.status),
            Err(error) => (None, JobStatus::new(StatusCode::Unsupported, error.to_string())),
        };
        let state = job.as_ref().map(|job| job.state);
        let bytes_downloaded = match state {
            Some(RestoreState::Downloading) => live.moved.bytes,
            _ => job.as_ref().map_or(0, |job| job.bytes_downloaded),
        };
        let bytes_linked = match state {
            Some(RestoreState::Snapshoting) => live.linked,
            _ => job.as_ref().map_or(0, |job| job.bytes_linked),
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
            bytes_downloaded,
            bytes_linked,
        }
    }

    fn verify_row(&self, row: JobRow, running: &HashMap<JobId, Arc<Running>>) -> VerifyRow {
        let job: Result<VerifyJob> = decode_payload(&row.payload);
        let live = self.live(&row, running);
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
