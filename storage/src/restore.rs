//! RESTORE as a durable job.
//!
//! A [`RestoreSpec`] is what the user asked for; a [`RestorePlan`] is what will be done, a pure value in which every
//! refusal has happened; a [`RestoreJob`] is the row in the catalog. One call of `step` is one attempt at the current
//! state.
//!
//! PENDING (read the snapshot, make the plan, make hidden tables, partitions and tablets) → SNAPSHOTING (link what is on
//! this machine already) → DOWNLOAD (count what is missing) → DOWNLOADING (fetch and verify it) → COMMIT (look at every
//! file once more, name them in the hidden tablets) → COMMITTING (one transaction shows everything and takes out of
//! sight what it replaces) → FINISHED. Each may go to CANCELLED.
//!
//! The names of the database and of the tables are held from the submission on, partitions from the plan on: a plan that
//! fitted still fits when it commits, because nobody else can make, drop or rename what it counts on meanwhile.
//!
//! That transaction is the commit point. Before it the old tables answer queries and take loads; a job that ends
//! early, for whatever reason, drops its hidden rows and its files and leaves nothing. After it the partitions that
//! were replaced stay on disk a while for undo. What comes from the repository is somebody else's: it is checked for
//! its meaning before anything is built of it, and again as bytes before anything is visible.

pub(crate) mod check;
mod commit;
mod fetch;
mod hidden;
mod link;
mod plan;
mod properties;
mod source;
mod submit;
mod verify;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use hidden::purge as purge_hidden;
pub use plan::{
    PartitionPlan, RestorePlan, Source, SourcePartition, SourceTable, TablePlan, Target, TargetPartition, TargetTable,
};
pub use properties::RestoreProperties;
pub(crate) use submit::{decide, find_snapshot};
pub(crate) use verify::{deletes_fit, segment_fits};

use crate::catalog::WriteTransaction;
use crate::error::{Error, Result};
use crate::ids::{JobId, RepositoryId};
use crate::job::{Abandon, Amount, FailPoint, JobContext, JobStatus, StatusCode, encode_payload, human_bytes};
use crate::repository::{Repository, RepositoryError, SnapshotTimestamp};
use hidden::Hidden;

/// The file that holds the plan.
const PLAN: &str = "plan.json";

/// What a RESTORE statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSpec {
    /// The database to restore into; the snapshot's own when absent.
    pub database: Option<String>,
    /// The database the snapshot must be of, when the statement names one.
    pub source_database: Option<String>,
    /// The snapshot's label.
    pub label: String,
    /// The repository's name.
    pub repository: String,
    /// What of the snapshot.
    pub objects: RestoreObjects,
    /// PROPERTIES.
    pub properties: RestoreProperties,
}

/// What of a snapshot is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreObjects {
    /// Everything in it.
    All,
    /// Everything in it; these tables in the way they say.
    AllWith(Vec<RestoreSelection>),
    /// Everything in it, but for these tables.
    AllBut(Vec<String>),
    /// These tables.
    Tables(Vec<RestoreSelection>),
}

/// One table of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSelection {
    /// The table, as the snapshot names it.
    pub table: String,
    /// Only these partitions; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<String>,
    /// Its name here, when that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RestoreState {
    /// Submitted.
    Pending,
    /// The plan is made, and the hidden tablets are. One T, as StarRocks spells it.
    Snapshoting,
    /// They have every file that was on this machine.
    Download,
    /// What is missing is known and under way.
    Downloading,
    /// Every file is here.
    Commit,
    /// The hidden tablets name their files.
    Committing,
    /// Everything is visible.
    Finished,
    /// Nothing of it ever was.
    Cancelled,
}

/// A RESTORE job as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreJob {
    /// How far it has come.
    pub state: RestoreState,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The repository's name.
    pub repository: String,
    /// The database that is restored into.
    pub database: String,
    /// The snapshot's label.
    pub label: String,
    /// The snapshot's timestamp.
    pub timestamp: SnapshotTimestamp,
    /// What was asked for.
    pub objects: RestoreObjects,
    /// What is shown.
    pub shown: Vec<RestoreSelection>,
    /// Replicas that were asked for.
    #[serde(default)]
    pub replication_num: Option<u32>,
    /// Replicas that are shown.
    pub replication_num_shown: u32,
    /// `allow_load`, shown back.
    pub allow_load: bool,
    /// When the plan was made.
    #[serde(default)]
    pub meta_prepared_at_ms: Option<i64>,
    /// When the hidden tablets were there.
    #[serde(default)]
    pub snapshot_finished_at_ms: Option<i64>,
    /// When the last file was here.
    #[serde(default)]
    pub download_finished_at_ms: Option<i64>,
    /// Files that came, or are to come, from the repository.
    #[serde(default)]
    pub files_downloaded: u64,
    /// Bytes of those.
    #[serde(default)]
    pub bytes_downloaded: u64,
    /// Bytes that were here already.
    #[serde(default)]
    pub bytes_linked: u64,
    /// How the job is doing.
    #[serde(default)]
    pub status: JobStatus,
}

impl RestoreJob {
    /// One attempt at the current state. Returns the job at its next one.
    pub(crate) async fn step(self, context: &JobContext) -> Result<RestoreJob> {
        match self.state {
            RestoreState::Pending => self.on_pending(context).await,
            RestoreState::Snapshoting => self.on_snapshoting(context).await,
            RestoreState::Download => self.on_download(context).await,
            RestoreState::Downloading => self.on_downloading(context).await,
            RestoreState::Commit => self.on_commit(context).await,
            RestoreState::Committing => self.on_committing(context).await,
            RestoreState::Finished | RestoreState::Cancelled => Ok(self),
        }
    }

    /// Reads what is wanted of the snapshot, makes the plan, and with it hidden tables, partitions and tablets, in one
    /// transaction that finds the target as it was when the plan was made. Every refusal happens here, before a byte of
    /// a table moves. Retries what may pass. Run again, it plans again and makes anew what it had made.
    async fn on_pending(mut self, context: &JobContext) -> Result<RestoreJob> {
        let repository = context.repository(self.repository_id).await?;
        let (source, selections) = source::read(context, &repository, &self).await?;
        let plan = self.plan_and_hide(context, &source, &selections).await?;
        tracing::info!(%plan, "restore planned");
        context.reach(FailPoint::RestorePlanned).await?;
        let replicas = plan.partitions().map(|(_, partition)| partition.replication_num).max();
        self.replication_num_shown = replicas.unwrap_or(self.replication_num_shown);
        self.meta_prepared_at_ms = Some(context.now_ms());
        Ok(self.at(RestoreState::Snapshoting))
    }

    /// Plans until nobody has changed the target between the look at it and the transaction that makes what the plan
    /// needs. The plan is written down first: what is hidden never stands without it.
    async fn plan_and_hide(
        &self,
        context: &JobContext,
        source: &Source,
        selections: &[RestoreSelection],
    ) -> Result<Arc<RestorePlan>> {
        let roots = context.storage.roots().configured().len();
        loop {
            let (database, wanted) = (self.database.clone(), selections.to_vec());
            let target = context.read(move |read| submit::look_at_target(read, &database, &wanted, roots)).await?;
            let plan = Arc::new(RestorePlan::make(source, selections, &target, self.replication_num)?);
            let (files, bytes) = (context.files.clone(), serde_json::to_vec(&plan)?);
            context.blocking(move || files.put(PLAN, &bytes)).await?;
            if Hidden::make(context, &plan, target, selections).await? {
                return Ok(plan);
            }
            tracing::info!("what is restored into has changed meanwhile, planning again");
        }
    }

    /// Pins the files to come, then links into the hidden tablets what lies on this machine under the same digest, once
    /// its bytes are found to be right. Run again, it leaves alone what it had linked.
    async fn on_snapshoting(mut self, context: &JobContext) -> Result<RestoreJob> {
        let hidden = self.hidden(context).await?;
        let wanted = hidden.pin(context).await?;
        context.reach(FailPoint::RestoreHidden).await?;
        self.bytes_linked = link::link_local(context, hidden, wanted).await?;
        self.snapshot_finished_at_ms = Some(context.now_ms());
        Ok(self.at(RestoreState::Download))
    }

    /// Counts what is missing, and refuses what the disks have no room for.
    async fn on_download(mut self, context: &JobContext) -> Result<RestoreJob> {
        let hidden = self.hidden(context).await?;
        let missing = fetch::missing(context, hidden).await?;
        fetch::refuse_without_room(context, &missing)?;
        self.set_downloaded(fetch::amount(&missing));
        Ok(self.at(RestoreState::Downloading))
    }

    /// Fetches what is missing, verified by its digest, synced, and only then named in its tablet's directory.
    /// Retries what may pass; an object that is damaged in the repository ends the job. Run again, it leaves out what
    /// has arrived.
    async fn on_downloading(mut self, context: &JobContext) -> Result<RestoreJob> {
        let repository = context.repository(self.repository_id).await?;
        let hidden = self.hidden(context).await?;
        let missing = fetch::missing(context, hidden).await?;
        let planned = Amount { files: self.files_downloaded, bytes: self.bytes_downloaded };
        if let Err(error) = fetch::run(context, &repository, &missing, planned).await {
            return Err(self.unless_dropped(&repository, error).await);
        }
        self.download_finished_at_ms = Some(context.now_ms());
        Ok(self.at(RestoreState::Commit))
    }

    /// What ended the restore: of a snapshot that another cluster has dropped meanwhile, what is missing is not damaged.
    async fn unless_dropped(&self, repository: &Repository, error: Error) -> Error {
        if !matches!(error, Error::Repository(RepositoryError::CorruptObject { .. })) {
            return error;
        }
        match repository.has_commit(&(self.label.clone(), self.timestamp.clone())).await {
            Ok(false) => Error::Conflict(format!(
                "snapshot {} was dropped from repository {} while it was restored: restore another one",
                self.label, self.repository
            )),
            _ => error,
        }
    }

    /// Looks into every file, because its digest only says that it is what somebody wrote: rows and columns must be
    /// those of the table. Then names the files in the hidden tablets, partition by partition. Run again, it leaves
    /// out partitions that are done.
    async fn on_commit(self, context: &JobContext) -> Result<RestoreJob> {
        let hidden = self.hidden(context).await?;
        verify::run(context, &hidden).await?;
        commit::name_files(context, hidden).await?;
        Ok(self.at(RestoreState::Committing))
    }

    /// Shows everything and ends the job, in one transaction that first makes sure that the targets still fit. Cannot
    /// be cancelled. Run again, it has not happened.
    async fn on_committing(self, context: &JobContext) -> Result<RestoreJob> {
        let plan = self.plan(context).await?;
        context.reach(FailPoint::RestoreBeforeCommit).await?;
        let committing = context.gate.enter_commit()?;
        let finished = self.at(RestoreState::Finished);
        let job = finished.clone();
        context
            .write("COMMITTING", move |write, row| {
                commit::show(write, row.id, &plan)?;
                write.release_pins(row.id)?;
                job.store(write, row.id)
            })
            .await?; // Commit point.
        context.reach(FailPoint::RestoreAfterCommit).await?;
        drop(committing);
        finished.tell_end();
        Ok(finished)
    }

    /// Gives up: takes the hidden rows away, lists their files for the collector and stores CANCELLED with the
    /// reason, in one transaction. What was there before has never been touched.
    pub(crate) async fn abandon(mut self, context: &JobContext, why: &Abandon) -> Result<RestoreJob> {
        context.progress.end();
        match self.state {
            RestoreState::Snapshoting => self.bytes_linked = context.progress.linked(),
            // What was planned has not come to be.
            RestoreState::Downloading => self.set_downloaded(context.progress.moved()),
            _ => {}
        }
        self.status = self.status_of(why);
        // First what no row names: when the disk is full of it, the transaction below needs the room.
        hidden::remove_staging(context).await;
        let cancelled = self.at(RestoreState::Cancelled);
        let job = cancelled.clone();
        let tablets = context
            .write_unfinished(move |write, row| {
                let tablets = hidden::purge(write, row.id)?;
                write.release_pins(row.id)?;
                job.store(write, row.id)?;
                Ok(tablets)
            })
            .await?;
        hidden::remove_files(context, tablets).await;
        cancelled.tell_end();
        Ok(cancelled)
    }

    /// The Status column of a job that is abandoned here.
    fn status_of(&self, why: &Abandon) -> JobStatus {
        match why {
            Abandon::Cancelled => JobStatus::new(
                StatusCode::CommonError,
                format!("user cancelled, current state: {}", self.state.as_str()),
            ),
            Abandon::TimedOut => JobStatus::new(
                StatusCode::Timeout,
                format!(
                    "restore job with label: {}  timeout. It was in state {}: raise \"timeout\" and restore again",
                    self.label,
                    self.state.as_str()
                ),
            ),
            Abandon::Failed(error) => JobStatus::of_error(error),
        }
    }

    async fn plan(&self, context: &JobContext) -> Result<Arc<RestorePlan>> {
        let files = context.files.clone();
        context.blocking(move || Ok(Arc::new(serde_json::from_slice(&files.get(PLAN)?)?))).await
    }

    async fn hidden(&self, context: &JobContext) -> Result<Hidden> {
        let plan = self.plan(context).await?;
        Hidden::find(context, &plan)
            .await?
            .ok_or_else(|| Error::Conflict("the hidden tables of this restore are gone: restore again".to_owned()))
    }

    /// Stores the job as it stands.
    pub(crate) fn store(&self, write: &WriteTransaction<'_>, id: JobId) -> Result<()> {
        write.update_job(id, self.state.as_str(), &encode_payload(self)?, self.state.is_done())
    }

    fn tell_end(&self) {
        tracing::info!(
            state = self.state.as_str(),
            downloaded = human_bytes(self.bytes_downloaded),
            linked = human_bytes(self.bytes_linked),
            status = %self.status,
            "restore ended"
        );
    }

    fn set_downloaded(&mut self, downloaded: Amount) {
        (self.files_downloaded, self.bytes_downloaded) = (downloaded.files, downloaded.bytes);
    }

    fn at(mut self, state: RestoreState) -> RestoreJob {
        self.state = state;
        self
    }

    /// The RestoreObjs column: names of the snapshot, not aliases; the partition of an unpartitioned table is left
    /// out.
    pub(crate) fn describe_objects(&self) -> String {
        let objects: Vec<String> = self
            .shown
            .iter()
            .map(|selection| {
                let partitions: Vec<&str> = selection
                    .partitions
                    .iter()
                    .map(String::as_str)
                    .filter(|partition| *partition != selection.table)
                    .collect();
                match partitions.as_slice() {
                    [] => selection.table.clone(),
                    partitions => format!("{} PARTITIONS [{}]", selection.table, partitions.join(", ")),
                }
            })
            .collect();
        objects.join(", ")
    }
}

impl RestoreState {
    /// Every one, in order.
    pub const ALL: [RestoreState; 8] = [
        RestoreState::Pending,
        RestoreState::Snapshoting,
        RestoreState::Download,
        RestoreState::Downloading,
        RestoreState::Commit,
        RestoreState::Committing,
        RestoreState::Finished,
        RestoreState::Cancelled,
    ];

    /// The State column.
    pub fn as_str(self) -> &'static str {
        match self {
            RestoreState::Pending => "PENDING",
            RestoreState::Snapshoting => "SNAPSHOTING",
            RestoreState::Download => "DOWNLOAD",
            RestoreState::Downloading => "DOWNLOADING",
            RestoreState::Commit => "COMMIT",
            RestoreState::Committing => "COMMITTING",
            RestoreState::Finished => "FINISHED",
            RestoreState::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job has ended.
    pub fn is_done(self) -> bool {
        matches!(self, RestoreState::Finished | RestoreState::Cancelled)
    }
}

#[cfg(test)]
mod tests;
