//! The end of snapshots: DROP SNAPSHOT, ttl, and the collection of what no snapshot refers to any more.
//!
//! Backups of any cluster, drops and collections work on one repository at the same time, and nothing locks it: each of
//! them may stall for hours, die, or come back. What keeps them apart is that a store creates an object once. Seven rules
//! (`collect::Rule`; docs/repository-format.md is the norm, docs/reliability.md says which are shown to be needed):
//!
//! 1. **Announce.** Before a backup takes any object for present it creates an announcement under `writers/`, named by the
//!    commit object it is going to put and by its timeout. The backup is over once something stands at that key.
//! 2. **Look.** Then it lists the marks. One that names an object the snapshot needs is cancelled first (`MarkWatch`),
//!    by creating its `sweep.json`; if a collector has claimed it, the backup waits until the sweep is over. Only then it
//!    finds out what is present.
//! 3. **Mark.** A collector writes down what no snapshot refers to and what is older than the grace, *then* who is
//!    announced: those may not have seen the mark (`Collector`).
//! 4. **Wait.** A grace later, it sweeps, once every one of them is over. One whose timeout has passed, by the store's
//!    clock, is fenced: a tombstone at the key of its commit object decides between the two.
//! 5. **Look again.** What snapshots refer to by now is no candidate any more. The announcements are listed before the
//!    snapshots, never after.
//! 6. **Claim.** Creating `sweep.json` decides between the collector and a backup that cancels. The mark must still be
//!    there after that: a `sweep.json` that was cleaned away could be created a second time.
//! 7. **In time.** A claim is good for ten minutes; who needs a candidate of it waits for thirty.
//!
//! A drop removes the commit object and puts a tombstone in its place, so that no put of it that was on its way brings
//! the snapshot back. Announcements and tombstones go when nobody can be on the way any more: a grace after the timeout.
//!
//! One assumption about time is left: a request is carried out within twenty minutes of its being sent, or never. S3
//! refuses a request whose signature is older than fifteen.

mod collect;
mod daemon;
mod drop;
mod expire;
mod marks;
mod survey;
mod timer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use collect::CollectionReport;
use collect::Collector;
pub use drop::{DropSpec, SnapshotChoice};
pub(crate) use marks::{MARK_POLL, MarkWatch};
pub use timer::{Monotonic, SystemTimer};

use crate::job::JobRunner;
use crate::repositories::Repositories;
use crate::storage::Storage;
use crate::storage::turns::Turns;
use daemon::Background;
use expire::KnownExpiries;

/// How long a claim of a mark is good for, from before it is put.
pub(crate) const CLAIM_TIME: Duration = Duration::from_secs(600);

/// How long somebody who needs a candidate of a claimed mark waits, from when the claim was first seen.
pub(crate) const CLAIM_WAIT: Duration = Duration::from_secs(1_800);

/// When collection and expiry happen by themselves, and how careful they are.
#[derive(Debug, Clone)]
pub struct LifecycleConfig {
    /// Time between two looks for snapshots whose ttl is over; zero for none.
    pub expiry_interval: Duration,
    /// Time between two turns of collection in each repository; zero for none.
    pub collection_interval: Duration,
    /// How old an object without a snapshot must be to be marked, and how old a mark to be swept.
    pub collection_grace: Duration,
}

/// Drops, expires and collects in the repositories of this cluster. One for each data directory.
pub struct Lifecycle {
    storage: Arc<Storage>,
    repositories: Arc<Repositories>,
    jobs: Arc<JobRunner>,
    config: LifecycleConfig,
    timer: Arc<dyn Monotonic>,
    /// What was read of snapshots that may expire.
    expiries: Mutex<KnownExpiries>,
    /// One turn of collection at a time in a repository, which is named by its identity: a second one in this process would
    /// only meet the first one's mark.
    collecting: Turns<String>,
    background: Background,
    stopping: CancellationToken,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        LifecycleConfig {
            expiry_interval: Duration::from_secs(300),
            collection_interval: Duration::from_secs(6 * 3_600),
            collection_grace: Duration::from_secs(86_400),
        }
    }
}

impl Lifecycle {
    /// Nothing happens by itself before [`Lifecycle::start_background`].
    pub fn new(
        storage: Arc<Storage>,
        repositories: Arc<Repositories>,
        jobs: Arc<JobRunner>,
        config: LifecycleConfig,
    ) -> Arc<Lifecycle> {
        Arc::new(Lifecycle {
            storage,
            repositories,
            jobs,
            config,
            timer: Arc::new(SystemTimer::default()),
            expiries: Mutex::default(),
            collecting: Turns::default(),
            background: Background::default(),
            stopping: CancellationToken::new(),
        })
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
