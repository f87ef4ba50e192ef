//! VERIFY SNAPSHOT and VERIFY REPOSITORY as a durable job: is what the repository holds what its snapshots need?
//!
//! A [`VerifySpec`] is what the user asked for, a [`VerifyJob`] what was decided, stored in the catalog. PENDING (reach
//! the repository) → VERIFYING → FINISHED, each may go to CANCELLED. FINISHED says that everything was looked at; what is
//! wrong is told by the Status and, object by object, by the findings in the catalog.
//!
//! VERIFYING reads the tree first: commit objects, table nodes, partition nodes, each once, each checked as a restore
//! checks it (`census`). Then it lists, when that is cheaper than asking for each object, and looks at every segment and
//! delete vector as deep as was asked (`inspect`, `rows`), in the order of their digests. After each batch the findings
//! and how far it has come are stored in one transaction, so a resumed job reads the tree again and goes on from there.
//! Last it finds out which snapshots need what is damaged (`owners`): what none needs any more was dropped meanwhile.
//!
//! It never writes to the repository and never changes a table. What it finds missing or damaged the next backup of
//! this cluster does not take for present (`backup::plan`), so that whatever still lies here whole comes back.

mod census;
mod finish;
mod inspect;
mod listing;
mod owners;
mod properties;
mod reader;
mod rows;
mod submit;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use properties::VerifyProperties;
pub(crate) use submit::decide;

use crate::catalog::{FileKind, WriteTransaction};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::{JobId, RepositoryId};
use crate::job::{Abandon, JobContext, JobStatus, StatusCode, encode_payload, human_seconds};
use crate::repository::SnapshotTimestamp;

/// What a VERIFY statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifySpec {
    /// The repository's name.
    pub repository: String,
    /// One snapshot of it; all of it when absent.
    pub snapshot: Option<WantedSnapshot>,
    /// PROPERTIES.
    pub properties: VerifyProperties,
}

/// The snapshot that VERIFY SNAPSHOT names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSnapshot {
    /// Its label.
    pub label: String,
    /// Its timestamp as the user typed it; the label's only one when absent.
    pub timestamp: Option<String>,
}

/// How deep objects are looked at. Commit objects and nodes are always read and compared whole: without them nobody
/// knows which objects there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Is it there?
    Exists,
    /// Has it the right size?
    Length,
    /// Has it the right bytes? Everything is downloaded and nothing kept.
    Digest,
    /// Has it the right rows, and does it read? As `Digest`; besides, one file for each object in flight is decoded.
    Rows,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VerifyState {
    /// Submitted.
    Pending,
    /// Under way.
    Verifying,
    /// Everything was looked at.
    Finished,
    /// Not everything was looked at.
    Cancelled,
}

/// A VERIFY job as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyJob {
    /// How far it has come.
    pub state: VerifyState,
    /// The repository.
    pub repository_id: RepositoryId,
    /// The repository's name.
    pub repository: String,
    /// The one snapshot it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<VerifiedSnapshot>,
    /// How deep it looks.
    pub depth: Depth,
    /// The last object that was looked at, in the order of their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_to: Option<(Digest, FileKind)>,
    /// What it has seen.
    #[serde(default)]
    pub counts: VerifyCounts,
    /// The first thing that was found wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// How the job is doing.
    #[serde(default)]
    pub status: JobStatus,
}

/// The snapshot a job is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedSnapshot {
    /// Its label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: SnapshotTimestamp,
}

/// What a verification has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyCounts {
    /// Snapshots.
    pub snapshots: u64,
    /// Commit objects and nodes, each once, and their bytes.
    pub tree_objects: u64,
    /// Bytes of those.
    pub tree_bytes: u64,
    /// Segments and delete vectors that were looked at.
    pub objects: u64,
    /// Bytes of those that were read and compared.
    pub bytes: u64,
    /// Objects that are damaged under their own name and whole as their mended copy.
    pub mended: u64,
    /// Things that are wrong.
    pub errors: u64,
    /// Of those, what is beyond the limit of what is listed.
    pub unlisted: u64,
    /// Objects and nodes that no snapshot refers to: what unfinished backups and dropped snapshots left.
    pub unreferenced: u64,
    /// Bytes of those.
    pub unreferenced_bytes: u64,
    /// Keys that are none of a repository's.
    pub foreign: u64,
}

impl VerifyCounts {
    /// Objects of every kind that were looked at.
    #[must_use]
    pub fn objects_checked(&self) -> u64 {
        self.objects + self.tree_objects
    }

    /// Bytes that were read and compared.
    #[must_use]
    pub fn bytes_checked(&self) -> u64 {
        self.bytes.saturating_add(self.tree_bytes)
    }
}

impl VerifyJob {
    /// One attempt at the current state. Returns the job at its next one.
    pub(crate) async fn step(self, context: &JobContext) -> Result<VerifyJob> {
        match self.state {
            VerifyState::Pending => self.on_pending(context).await,
            VerifyState::Verifying => self.on_verifying(context).await,
            VerifyState::Finished | VerifyState::Cancelled => Ok(self),
        }
    }

    /// Makes sure that the repository can be reached with what this server knows of it.
    async fn on_pending(self, context: &JobContext) -> Result<VerifyJob> {
        context.repository(self.repository_id).await?;
        Ok(self.at(VerifyState::Verifying))
    }

    /// Looks at everything. Retries what may pass; ends the job when the repository stays out of reach. Run again, it
    /// reads the tree again and goes on after the last batch that was stored.
    async fn on_verifying(self, context: &JobContext) -> Result<VerifyJob> {
        let repository = context.repository(self.repository_id).await?;
        let reader = reader::Reader::new(context, &repository);
        let snapshots = census::snapshots(&reader, self.snapshot.as_ref()).await?;
        let mut census = census::take(&reader, &snapshots).await?;
        let listed = match self.snapshot {
            None => Some(listing::whole(&reader, &mut census).await?),
            Some(_) => listing::of_objects(&reader, &mut census, self.depth).await?,
        };
        let job = finish::store_census(context, self, &census, listed.unwrap_or_default()).await?;
        let job = inspect::run(&reader, job, &census).await?;
        let needs = owners::find(&reader, &job, &snapshots).await?;
        finish::end(context, job, &snapshots, &census, needs).await
    }

    /// Gives up: keeps what was found so far and stores CANCELLED with the reason.
    pub(crate) async fn abandon(mut self, context: &JobContext, why: &Abandon) -> Result<VerifyJob> {
        context.progress.end();
        self.status = match why {
            Abandon::Cancelled => JobStatus::new(StatusCode::CommonError, "user cancelled"),
            Abandon::TimedOut => JobStatus::new(
                StatusCode::Timeout,
                format!(
                    "verify job timeout after {} objects: it may take {}; raise \"timeout\", or look less deep",
                    self.counts.objects,
                    human_seconds(context.timeout_ms.unsigned_abs() / 1_000)
                ),
            ),
            Abandon::Failed(error) => JobStatus::of_error(error),
        };
        let job = self.at(VerifyState::Cancelled);
        job.remove_scratch(context).await?;
        let stored = job.clone();
        context.write_unfinished(move |write, row| stored.store(write, row.id)).await?;
        Ok(job)
    }

    /// Removes what decoding left in staging.
    async fn remove_scratch(&self, context: &JobContext) -> Result<()> {
        let (roots, staging) = (std::sync::Arc::clone(context.storage.roots()), scratch_name(context.id));
        context.blocking(move || roots.remove_staging(&staging)).await
    }

    /// Stores the job as it stands.
    pub(crate) fn store(&self, write: &WriteTransaction<'_>, id: JobId) -> Result<()> {
        write.update_job(id, self.state.as_str(), &encode_payload(self)?, self.state.is_done())
    }

    fn at(mut self, state: VerifyState) -> VerifyJob {
        self.state = state;
        self
    }
}

/// The staging directory of a job's objects that are being decoded.
fn scratch_name(job: JobId) -> String {
    format!("verify-{job}")
}

impl VerifyState {
    /// Every state, in the order of a job's life.
    pub const ALL: [VerifyState; 4] =
        [VerifyState::Pending, VerifyState::Verifying, VerifyState::Finished, VerifyState::Cancelled];

    /// The State column.
    pub fn as_str(self) -> &'static str {
        match self {
            VerifyState::Pending => "PENDING",
            VerifyState::Verifying => "VERIFYING",
            VerifyState::Finished => "FINISHED",
            VerifyState::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job has ended.
    pub fn is_done(self) -> bool {
        matches!(self, VerifyState::Finished | VerifyState::Cancelled)
    }
}

impl Depth {
    /// Every depth, the shallowest first.
    pub const ALL: [Depth; 4] = [Depth::Exists, Depth::Length, Depth::Digest, Depth::Rows];
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Depth::Exists => "exists",
            Depth::Length => "length",
            Depth::Digest => "digest",
            Depth::Rows => "rows",
        })
    }
}

#[cfg(test)]
mod tests;
