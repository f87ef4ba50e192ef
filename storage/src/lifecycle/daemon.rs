//! What happens by itself: expiry and collection, each at its interval, in every repository that may be written.
//!
//! A failure is logged once for each repository, counted, and tried again at the next interval.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::collect::Knowledge;
use super::{CollectionReport, Collector, Lifecycle};
use crate::background::Step;
use crate::catalog::{JobKind, RepositoryRow, SnapshotName};
use crate::error::{Error, Result};
use crate::ids::{JobId, RepositoryId};
use crate::repository::CommitName;
use crate::repository::format::Announcement;
use crate::storage::{Storage, blocking};

/// When the first turn comes at the latest, so that a server which is restarted every day collects too.
const FIRST_TURN_AFTER_MAX: Duration = Duration::from_secs(600);

/// Time between two looks whether repositories can be reached, which SHOW REPOSITORIES tells: as often as StarRocks does.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);

/// The tasks.
#[derive(Debug, Default)]
pub(super) struct Background {
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Lifecycle {
    /// Starts what happens by itself. Needs a runtime; a second call does nothing.
    pub fn start_background(self: &Arc<Self>) {
        let mut tasks = self.background.tasks.lock();
        if !tasks.is_empty() || self.stopping.is_cancelled() {
            return;
        }
        tasks.push(tokio::spawn(Arc::clone(self).look_at_intervals()));
        if !self.config.expiry_interval.is_zero() {
            tasks.push(tokio::spawn(Arc::clone(self).expire_at_intervals()));
        }
        if !self.config.collection_interval.is_zero() {
            tasks.push(tokio::spawn(Arc::clone(self).collect_at_intervals()));
        }
    }

    /// Ends it. What is under way breaks off between two requests; the next start goes on.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.background.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task ended early");
            }
        }
    }

    /// One turn of collection in the repository of this name. It goes on when whoever asked for it goes away.
    pub async fn collect(self: &Arc<Self>, name: &str) -> Result<CollectionReport> {
        let (row, _) = self.repositories.find(name).await?;
        if row.read_only {
            return Err(Error::invalid(format!("Repository {} is read only", row.name)));
        }
        let lifecycle = Arc::clone(self);
        let turn = tokio::spawn(async move {
            let stopping = lifecycle.stopping.clone();
            stopping.run_until_cancelled(lifecycle.collect_in(&row)).await.unwrap_or(Err(Error::Cancelled))
        });
        turn.await.map_err(|error| Error::Internal(format!("collection: {error}")))?
    }

    async fn collect_in(&self, row: &RepositoryRow) -> Result<CollectionReport> {
        let _turn = self.collecting.alone(row.identity.clone()).await;
        let collector = Collector {
            repository: self.repositories.get(row.id).await?,
            cluster_id: self.storage.catalog().cluster_id().to_owned(),
            own: Arc::new(Remembered { storage: Arc::clone(&self.storage), identity: row.identity.clone() }),
            grace: self.config.collection_grace,
            random: Arc::clone(self.storage.catalog().random()),
            timer: Arc::clone(&self.timer),
            #[cfg(test)]
            without: None,
        };
        let turn = collector.turn().await;
        let outcome = if turn.is_ok() { "ok" } else { "error" };
        metrics::counter!("ebla_repository_collections_total", "outcome" => outcome).increment(1);
        let report = turn?;
        metrics::counter!("ebla_repository_marked_objects_total").increment(report.marked_objects);
        metrics::counter!("ebla_repository_removed_objects_total").increment(report.removed_objects);
        metrics::counter!("ebla_repository_removed_bytes_total").increment(report.removed_bytes);
        tracing::info!(
            repository = row.name,
            marked = report.marked_objects,
            removed = report.removed_objects,
            removed_bytes = report.removed_bytes,
            notes = report.notes.join("; "),
            "collected garbage of a repository"
        );
        Ok(report)
    }

    async fn look_at_intervals(self: Arc<Self>) {
        while self.pause(LOOK_INTERVAL).await {
            if let Some(Err(error)) = self.stopping.run_until_cancelled(self.repositories.look()).await {
                tracing::warn!(%error, "cannot look at repositories");
            }
        }
    }

    /// Looks at all repositories side by side, and at none before the last look at it has ended: one that does not answer
    /// holds up nobody but itself.
    async fn expire_at_intervals(self: Arc<Self>) {
        let interval = self.config.expiry_interval;
        let mut steps = Steps::new("expire snapshots");
        let (mut looks, mut looked_at) = (FuturesUnordered::new(), HashSet::new());
        loop {
            let mut pause = std::pin::pin!(self.pause(interval));
            loop {
                tokio::select! {
                    goes_on = &mut pause => match goes_on {
                        true => break,
                        false => return,
                    },
                    Some((row, expired)) = looks.next() => {
                        let row: RepositoryRow = row;
                        looked_at.remove(&row.id);
                        steps.note(&row, expired);
                    }
                }
            }
            for row in self.writable_repositories().await {
                if looked_at.insert(row.id) {
                    let lifecycle = Arc::clone(&self);
                    looks.push(async move {
                        let expired = lifecycle.stopping.run_until_cancelled(lifecycle.expire(&row)).await;
                        (row, expired.unwrap_or(Err(Error::Cancelled)))
                    });
                }
            }
        }
    }

    async fn collect_at_intervals(self: Arc<Self>) {
        let interval = self.config.collection_interval;
        let mut steps = Steps::new("collect garbage of a repository");
        let mut pause = interval.min(FIRST_TURN_AFTER_MAX);
        while self.pause(pause).await {
            for row in self.writable_repositories().await {
                let collected = self.stopping.run_until_cancelled(self.collect_in(&row)).await;
                steps.note(&row, collected.unwrap_or(Err(Error::Cancelled)));
            }
            pause = interval;
        }
    }

    /// Waits. Returns false when background work is to end.
    async fn pause(&self, duration: Duration) -> bool {
        self.stopping.run_until_cancelled(tokio::time::sleep(duration)).await.is_some()
    }

    async fn writable_repositories(&self) -> Vec<RepositoryRow> {
        let catalog = self.storage.catalog().clone();
        match blocking(move || catalog.read(|read| read.repositories())).await {
            Ok(rows) => rows.into_iter().filter(|row| !row.read_only).collect(),
            Err(error) => {
                tracing::error!(%error, "list repositories");
                Vec::new()
            }
        }
    }
}

/// What the catalog remembers of a repository.
#[derive(Debug)]
struct Remembered {
    storage: Arc<Storage>,
    /// The repository's own.
    identity: String,
}

#[async_trait]
impl Knowledge for Remembered {
    async fn has_ended(&self, announcement: &Announcement) -> bool {
        let (catalog, id) = (self.storage.catalog().clone(), JobId(announcement.job_id));
        match blocking(move || catalog.read(|read| read.job(id))).await {
            // The label, because a copy of a data directory numbers its jobs on in the same way.
            Ok(Some(job)) => {
                job.kind == JobKind::Backup && job.label == announcement.label && job.finished_at_ms.is_some()
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "look for the job of an announcement");
                false
            }
        }
    }

    async fn known_snapshots(&self) -> Result<HashSet<CommitName>> {
        let (catalog, identity) = (self.storage.catalog().clone(), self.identity.clone());
        let known = blocking(move || catalog.read(|read| read.known_snapshots(&identity))).await?;
        let parsed = known.into_iter().map(|(label, timestamp)| match timestamp.parse() {
            Ok(timestamp) => Ok((label, timestamp)),
            Err(error) => {
                Err(Error::Internal(format!("a snapshot that is known, '{label}' of '{timestamp}': {error}")))
            }
        });
        parsed.collect()
    }

    async fn learn(&self, new: Vec<CommitName>, gone: Vec<CommitName>) -> Result<()> {
        let (catalog, identity) = (self.storage.catalog().clone(), self.identity.clone());
        let [new, gone] = [new, gone].map(|names| -> Vec<SnapshotName> {
            names.into_iter().map(|(label, timestamp)| (label, timestamp.to_string())).collect()
        });
        let learned = blocking(move || {
            catalog.write(|write| {
                write.know_snapshots(&identity, &new)?;
                write.forget_snapshots(&identity, &gone)
            })
        });
        learned.await
    }
}

/// One kind of work in each repository.
struct Steps {
    name: &'static str,
    steps: HashMap<RepositoryId, Step>,
}

impl Steps {
    fn new(name: &'static str) -> Steps {
        Steps { name, steps: HashMap::new() }
    }

    fn note<T>(&mut self, row: &RepositoryRow, result: Result<T>) {
        let named = result.map_err(|error| match error {
            Error::Cancelled => Error::Cancelled,
            error => Error::Conflict(format!("repository {}: {error}", row.name)),
        });
        self.steps.entry(row.id).or_insert_with(|| Step::new(self.name)).note(named);
    }
}
