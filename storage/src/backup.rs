//! BACKUP as a durable job.
//!
//! A [`BackupSpec`] is what the user asked for. A [`BackupJob`] is what was decided, stored in the catalog. One call of
//! `step` is one attempt at the current state.
//!
//! PENDING → SNAPSHOTING (cut the database's state, pin its files) → UPLOAD_SNAPSHOT (announce the snapshot, then find
//! out what the repository lacks) → UPLOADING (bring it there) → SAVE_META (write the commit object down) → UPLOAD_INFO (tree nodes, then the
//! commit object) → FINISHED. Each may go to CANCELLED. The put of the commit object is the commit point: before it the
//! snapshot does not exist, after it a repeated step finds it and finishes.
//!
//! The cut is taken once. It lies beside the row, as the very tree nodes that are going to be uploaded, so a resumed
//! job publishes what the first attempt saw, however much has been loaded since. This module never changes a table,
//! never deletes in a repository, and never builds a remote key.

mod announce;
mod cut;
mod lock;
mod plan;
mod properties;
mod publish;
mod submit;
mod ttl;
mod upload;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use properties::parse_timeout;
pub use properties::{BackupProperties, BackupType};
pub(crate) use submit::{check, decide};
pub use ttl::Ttl;

use crate::catalog::WriteTransaction;
use crate::error::{Error, Result};
use crate::ids::{JobId, RepositoryId};
use crate::job::{
    Abandon, Amount, FailPoint, JobContext, JobStatus, StatusCode, encode_payload, human_bytes, human_seconds,
};
use crate::repository::{RepositoryError, SnapshotTimestamp};
use announce::Withdrawn;
use cut::Cut;
use plan::UploadPlan;

/// What a BACKUP statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSpec {
    /// The database.
    pub database: String,
    /// The snapshot's label.
    pub label: String,
    /// The repository's name.
    pub repository: String,
    /// What of the database.
    pub objects: BackupObjects,
    /// PROPERTIES.
    pub properties: BackupProperties,
}

/// What of a database is to be in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupObjects {
    /// Every table there is at the moment of the cut.
    All,
    /// Every table there is at the moment of the cut; of these, the partitions they name.
    AllWith(Vec<TableSelection>),
    /// Every table there is at the moment of the cut, but for these.
    AllBut(Vec<String>),
    /// These tables.
    Tables(Vec<TableSelection>),
}

/// One table of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSelection {
    /// The table.
    pub table: String,
    /// Only these partitions; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<String>,
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackupState {
    /// Submitted.
    Pending,
    /// About to cut. One T, as StarRocks spells it.
    Snapshoting,
    /// The cut is taken and pinned.
    UploadSnapshot,
    /// What the repository lacks is known and under way.
    Uploading,
    /// Every file is in the repository.
    SaveMeta,
    /// The commit object is written down.
    UploadInfo,
    /// The snapshot exists.
    Finished,
    /// The snapshot does not exist.
    Cancelled,
}

/// A BACKUP job as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupJob {
    /// How far it has come.
    pub state: BackupState,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The repository's name.
    pub repository: String,
    /// The database.
    pub database: String,
    /// The snapshot's label.
    pub label: String,
    /// The snapshot's timestamp: the moment of the submission.
    pub timestamp: SnapshotTimestamp,
    /// What was asked for.
    pub objects: BackupObjects,
    /// What is shown: the tables at the submission, then those of the cut.
    pub shown: Vec<TableSelection>,
    /// How long the snapshot is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
    /// Snapshots that were in the repository at the submission and may share files with this one, best first.
    #[serde(default)]
    pub parents: Vec<ParentCandidate>,
    /// When the cut was taken and written down.
    #[serde(default)]
    pub snapshot_finished_at_ms: Option<i64>,
    /// When the last file was in the repository.
    #[serde(default)]
    pub upload_finished_at_ms: Option<i64>,
    /// What the snapshot holds and what of it is new.
    #[serde(default)]
    pub totals: BackupTotals,
    /// Whether the commit object may be in the repository.
    #[serde(default)]
    pub publishing: bool,
    /// How the job is doing.
    #[serde(default)]
    pub status: JobStatus,
}

/// A snapshot that may share files with the one being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCandidate {
    /// Its label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: SnapshotTimestamp,
}

/// What a snapshot holds and what of it is new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTotals {
    /// Rows that a query sees.
    pub rows: u64,
    /// Files.
    pub objects: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Files that the repository lacked.
    pub objects_uploaded: u64,
    /// Bytes of those.
    pub bytes_uploaded: u64,
    /// Bytes of new tree nodes.
    #[serde(default)]
    pub node_bytes_uploaded: u64,
}

impl BackupTotals {
    /// The files that the repository lacked.
    fn uploaded(&self) -> Amount {
        Amount { files: self.objects_uploaded, bytes: self.bytes_uploaded }
    }

    fn set_uploaded(&mut self, uploaded: Amount) {
        (self.objects_uploaded, self.bytes_uploaded) = (uploaded.files, uploaded.bytes);
    }
}

impl BackupJob {
    /// One attempt at the current state. Returns the job at its next one.
    pub(crate) async fn step(self, context: &JobContext) -> Result<BackupJob> {
        match self.state {
            BackupState::Pending => self.on_pending(context).await,
            BackupState::Snapshoting => self.on_snapshoting(context).await,
            BackupState::UploadSnapshot => self.on_upload_snapshot(context).await,
            BackupState::Uploading => self.on_uploading(context).await,
            BackupState::SaveMeta => self.on_save_meta(context).await,
            BackupState::UploadInfo => self.on_upload_info(context).await,
            BackupState::Finished | BackupState::Cancelled => Ok(self),
        }
    }

    /// Makes sure that the repository is the one it was, before anything relies on what an earlier snapshot put there.
    async fn on_pending(self, context: &JobContext) -> Result<BackupJob> {
        let repository = context.repository(self.repository_id).await?;
        context.retry("look at the repository", || async { Ok(repository.verify_identity().await?) }).await?;
        Ok(self.at(BackupState::Snapshoting))
    }

    /// Cuts the state of the database in one transaction that pins every file, and writes the cut down.
    /// Run again, it forgets what it had pinned and cuts anew: nobody has been told of a moment yet.
    async fn on_snapshoting(mut self, context: &JobContext) -> Result<BackupJob> {
        let catalog = Arc::clone(context.storage.catalog());
        // What has changed on the disk since the start must not go on into a repository.
        context.blocking(move || catalog.verify()).await?;
        let cut = Cut::take(context, &self.database, &self.objects).await?;
        self.shown = cut.selections();
        self.totals = cut.totals();
        self.snapshot_finished_at_ms = Some(context.now_ms());
        Ok(self.at(BackupState::UploadSnapshot))
    }

    /// Announces the snapshot, so that nothing it needs is removed; then compares the cut with what the repository
    /// holds, and writes down what it lacks.
    /// Retries what may pass. Run again, it finds its announcement and compares again.
    async fn on_upload_snapshot(mut self, context: &JobContext) -> Result<BackupJob> {
        let repository = context.repository(self.repository_id).await?;
        let cut = Cut::load(context).await?;
        self.announce(context, &repository, &cut).await?;
        let plan =
            UploadPlan::make(context, &repository, self.repository_id, &cut, &self.database, &self.parents).await?;
        plan.save(context).await?;
        self.totals.set_uploaded(plan.files());
        self.totals.node_bytes_uploaded = plan.node_bytes();
        Ok(self.at(BackupState::Uploading))
    }

    /// Uploads what the repository lacks.
    /// Retries what may pass; a damaged local file is replaced by another replica's, and ends the job when there is
    /// none. Run again, it leaves out what has arrived.
    async fn on_uploading(mut self, context: &JobContext) -> Result<BackupJob> {
        let repository = context.repository(self.repository_id).await?;
        let plan = UploadPlan::load(context).await?;
        upload::run(context, &repository, &self.database, plan, self.totals.uploaded()).await?;
        self.upload_finished_at_ms = Some(context.now_ms());
        Ok(self.at(BackupState::SaveMeta))
    }

    /// Writes the commit object down, so that however often it is put, it is the same bytes.
    async fn on_save_meta(self, context: &JobContext) -> Result<BackupJob> {
        let repository = context.repository(self.repository_id).await?;
        let cut = Cut::load(context).await?;
        let plan = UploadPlan::load(context).await?;
        publish::save_manifest(context, &self, &repository, cut, &plan).await?;
        Ok(self.at(BackupState::UploadInfo))
    }

    /// Puts the tree nodes that the repository lacks, partitions before tables, extends the locks of what was there
    /// before (where there are locks), then puts the commit object.
    /// Retries what may pass. Cannot be cancelled while a put of the commit object is under way. Run again, it finds
    /// its own objects and goes on.
    async fn on_upload_info(mut self, context: &JobContext) -> Result<BackupJob> {
        let repository = context.repository(self.repository_id).await?;
        if context.resumed {
            // Nobody has looked at it since another process did: what that one uploaded must be in this repository.
            context.retry("look at the repository", || async { Ok(repository.verify_identity().await?) }).await?;
            self.check_announced(context, &repository).await?;
        }
        let plan = UploadPlan::load(context).await?;
        publish::put_nodes(context, &repository, &plan).await?;
        lock::extend(context, &repository, &self.database, &plan).await?;
        plan.forget_damage(context, self.repository_id).await?;
        context.reach(FailPoint::BackupBeforeCommit).await?;
        if !self.publishing {
            self.publishing = true;
            self.save(context).await?;
        }
        let committing = publish::put_manifest(context, &repository).await?; // Commit point.
        context.reach(FailPoint::BackupAfterCommit).await?;
        let finished = self.at(BackupState::Finished).end(context).await?;
        drop(committing);
        Ok(finished)
    }

    /// Gives up: releases the pins and stores CANCELLED with the reason. What has been uploaded stays and serves the
    /// next backup. A tombstone takes the place of the commit object, so that no collection waits for this backup; one
    /// that turns out to be published is finished instead.
    pub(crate) async fn abandon(mut self, context: &JobContext, why: &Abandon) -> Result<BackupJob> {
        context.progress.end();
        if self.state == BackupState::Uploading {
            // What was planned has not come to be.
            self.totals.set_uploaded(context.progress.moved());
            self.totals.node_bytes_uploaded = 0;
        }
        let mut doubt = String::new();
        if self.may_be_announced() && !is_elsewhere(why) {
            match self.withdraw(context).await {
                Ok(Withdrawn::Published) => return self.at(BackupState::Finished).end(context).await,
                Ok(Withdrawn::Yes) => {}
                Err(error) if self.publishing => {
                    doubt = format!(
                        "; whether the snapshot was published could not be learned ({error}): SHOW SNAPSHOT will tell"
                    );
                }
                // Collections wait for it until its timeout has passed, and do no harm in the meantime.
                Err(error) => tracing::warn!(%error, "the announcement of the backup could not be taken back"),
            }
        }
        self.status = self.status_of(context, why);
        self.status.message.push_str(&doubt);
        self.at(BackupState::Cancelled).end(context).await
    }

    fn may_be_announced(&self) -> bool {
        !matches!(self.state, BackupState::Pending | BackupState::Snapshoting)
    }

    /// The Status column of a job that is abandoned here.
    fn status_of(&self, context: &JobContext, why: &Abandon) -> JobStatus {
        match why {
            Abandon::Cancelled => JobStatus::new(StatusCode::CommonError, "user cancelled"),
            Abandon::TimedOut => JobStatus::new(
                StatusCode::Timeout,
                format!(
                    "backup job with label: {} timeout in state {}: it may take {}; raise \"timeout\", what has been \
                     uploaded is not uploaded again",
                    self.label,
                    self.state.as_str(),
                    human_seconds(context.timeout_ms.unsigned_abs() / 1_000)
                ),
            ),
            Abandon::Failed(error) => JobStatus::of_error(error),
        }
    }

    /// Stores the end together with the release of every pin. A snapshot that exists is known from here on, whatever a
    /// listing says.
    async fn end(self, context: &JobContext) -> Result<BackupJob> {
        let job = self.clone();
        context
            .write_unfinished(move |write, row| {
                write.release_pins(row.id)?;
                if job.state == BackupState::Finished
                    && let Some(repository) = write.repository_by_id(job.repository_id)?
                {
                    let name = (job.label.clone(), job.timestamp.to_string());
                    write.know_snapshots(&repository.identity, &[name])?;
                }
                job.store(write, row.id)
            })
            .await?;
        let BackupTotals { rows, bytes, bytes_uploaded, .. } = self.totals;
        tracing::info!(
            state = self.state.as_str(),
            rows,
            bytes = human_bytes(bytes),
            uploaded = human_bytes(bytes_uploaded),
            status = %self.status,
            "backup ended"
        );
        Ok(self)
    }

    async fn save(&self, context: &JobContext) -> Result<()> {
        let (job, state) = (self.clone(), self.state.as_str());
        context.write(state, move |write, row| job.store(write, row.id)).await
    }

    /// Stores the job as it stands.
    pub(crate) fn store(&self, write: &WriteTransaction<'_>, id: JobId) -> Result<()> {
        write.update_job(id, self.state.as_str(), &encode_payload(self)?, self.state.is_done())
    }

    fn at(mut self, state: BackupState) -> BackupJob {
        self.state = state;
        self
    }

    /// The BackupObjs column.
    pub(crate) fn describe_objects(&self) -> String {
        let objects: Vec<String> = self
            .shown
            .iter()
            .map(|selection| match selection.partitions.as_slice() {
                [] => format!("[{}.{}]", self.database, selection.table),
                partitions => {
                    format!("[{}.{}PARTITIONS ({})]", self.database, selection.table, partitions.join(", "))
                }
            })
            .collect();
        objects.join(", ")
    }

    /// The tables that are shown.
    pub(crate) fn table_names(&self) -> Vec<String> {
        self.shown.iter().map(|selection| selection.table.clone()).collect()
    }
}

/// Whether what is at the location is not the repository that the backup was announced in.
fn is_elsewhere(why: &Abandon) -> bool {
    matches!(
        why,
        Abandon::Failed(Error::Repository(RepositoryError::Replaced { .. } | RepositoryError::NotARepository { .. }))
    )
}

impl BackupState {
    /// Every one, in order.
    pub const ALL: [BackupState; 8] = [
        BackupState::Pending,
        BackupState::Snapshoting,
        BackupState::UploadSnapshot,
        BackupState::Uploading,
        BackupState::SaveMeta,
        BackupState::UploadInfo,
        BackupState::Finished,
        BackupState::Cancelled,
    ];

    /// The State column.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupState::Pending => "PENDING",
            BackupState::Snapshoting => "SNAPSHOTING",
            BackupState::UploadSnapshot => "UPLOAD_SNAPSHOT",
            BackupState::Uploading => "UPLOADING",
            BackupState::SaveMeta => "SAVE_META",
            BackupState::UploadInfo => "UPLOAD_INFO",
            BackupState::Finished => "FINISHED",
            BackupState::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job has ended.
    pub fn is_done(self) -> bool {
        matches!(self, BackupState::Finished | BackupState::Cancelled)
    }
}

#[cfg(test)]
mod tests;
