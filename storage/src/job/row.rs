//! Jobs as SHOW BACKUP, SHOW RESTORE, SHOW VERIFY and the history views print them: every column typed, in the order of the columns.

use crate::backup::BackupTotals;
use crate::ids::JobId;
use crate::job::{JobStatus, ProgressCounts};
use crate::verify::VerifyCounts;

/// What UnfinishedTasks names as the node that works: there is one, and ids from the catalog begin above it.
pub const BACKEND_ID: i64 = 10_000;

/// One BACKUP job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRow {
    /// JobId.
    pub job_id: JobId,
    /// SnapshotName: the label.
    pub snapshot_name: String,
    /// DbName.
    pub database: String,
    /// State.
    pub state: String,
    /// BackupObjs: `[db.t1], [db.t2PARTITIONS (p1, p2)]`.
    pub objects: String,
    /// CreateTime; to the millisecond the snapshot's timestamp.
    pub created_at_ms: i64,
    /// SnapshotFinishedTime.
    pub snapshot_finished_at_ms: Option<i64>,
    /// UploadFinishedTime.
    pub upload_finished_at_ms: Option<i64>,
    /// FinishedTime.
    pub finished_at_ms: Option<i64>,
    /// UnfinishedTasks: `taskid=backendid`, empty when nothing is under way.
    pub unfinished_tasks: String,
    /// Progress, empty when nothing is under way.
    pub progress: String,
    /// TaskErrMsg: what is being tried again right now; empty when nothing is.
    pub task_errors: String,
    /// Status.
    pub status: JobStatus,
    /// Timeout, in seconds.
    pub timeout_s: i64,
    /// The tables, so that rows can be hidden from those who may not see them.
    pub tables: Vec<String>,
    /// The repository's name.
    pub repository: String,
    /// Progress as numbers.
    pub counts: Option<ProgressCounts>,
    /// What the snapshot holds and what of it was new.
    pub totals: BackupTotals,
}

/// One RESTORE job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRow {
    /// JobId.
    pub job_id: JobId,
    /// Label.
    pub label: String,
    /// Timestamp.
    pub timestamp: String,
    /// DbName: the target.
    pub database: String,
    /// State.
    pub state: String,
    /// AllowLoad.
    pub allow_load: bool,
    /// ReplicationNum: what was asked for, or what comes of it when nothing was.
    pub replication_num: u32,
    /// RestoreObjs: `t1 PARTITIONS [p1, p2], t2`.
    pub objects: String,
    /// CreateTime.
    pub created_at_ms: i64,
    /// MetaPreparedTime.
    pub meta_prepared_at_ms: Option<i64>,
    /// SnapshotFinishedTime.
    pub snapshot_finished_at_ms: Option<i64>,
    /// DownloadFinishedTime.
    pub download_finished_at_ms: Option<i64>,
    /// FinishedTime.
    pub finished_at_ms: Option<i64>,
    /// UnfinishedTasks: `taskid=backendid`, empty when nothing is under way.
    pub unfinished_tasks: String,
    /// Progress, empty when nothing is under way.
    pub progress: String,
    /// TaskErrMsg: what is being tried again right now; empty when nothing is.
    pub task_errors: String,
    /// Status.
    pub status: JobStatus,
    /// Timeout, in seconds.
    pub timeout_s: i64,
    /// The repository's name.
    pub repository: String,
    /// Progress as numbers.
    pub counts: Option<ProgressCounts>,
    /// Bytes that came from the repository.
    pub bytes_downloaded: u64,
    /// Bytes that were here already and were linked.
    pub bytes_linked: u64,
}

/// One VERIFY job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRow {
    /// JobId.
    pub job_id: JobId,
    /// Repository: its name.
    pub repository: String,
    /// Snapshot: the label; none when it is about the whole repository.
    pub label: Option<String>,
    /// Timestamp of that snapshot.
    pub timestamp: Option<String>,
    /// Depth.
    pub depth: String,
    /// State.
    pub state: String,
    /// Progress, empty when nothing is under way.
    pub progress: String,
    /// What it has seen. Objects and bytes of a running job are as of its last batch.
    pub counts: VerifyCounts,
    /// FirstError: the first thing that was found wrong.
    pub first_error: Option<String>,
    /// CreateTime.
    pub created_at_ms: i64,
    /// FinishedTime.
    pub finished_at_ms: Option<i64>,
    /// TaskErrMsg: what is being tried again right now; empty when nothing is.
    pub task_errors: String,
    /// Status.
    pub status: JobStatus,
    /// Timeout, in seconds.
    pub timeout_s: i64,
}
