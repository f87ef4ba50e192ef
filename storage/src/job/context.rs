//! What a step of a job works with, and the few things every step must do alike: leave the runtime's threads for
//! blocking work, write to the catalog only while the job still stands where the step began, try again what may pass.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::RwLock;

use super::runner::JobConfig;
use super::{FailPoint, Gate, JobFiles, Progress};
use crate::catalog::{JobRow, ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{JobId, RepositoryId};
use crate::repositories::Repositories;
use crate::repository::Repository;
use crate::storage::{Storage, blocking};

/// Messages that TaskErrMsg shows at most: one is often all of them.
const TROUBLES_SHOWN_MAX: usize = 3;

/// What a step of a job works with.
#[derive(Clone)]
pub struct JobContext {
    /// The job.
    pub id: JobId,
    /// When it was submitted.
    pub created_at_ms: i64,
    /// How long it may take.
    pub timeout_ms: i64,
    /// The local data.
    pub storage: Arc<Storage>,
    /// Limits and policies.
    pub config: Arc<JobConfig>,
    /// What the job keeps beside its row.
    pub files: JobFiles,
    /// How far the running phase has come.
    pub progress: Arc<Progress>,
    /// Whether the job may go on.
    pub gate: Arc<Gate>,
    /// Whether an earlier process has worked on the job: remote state is then not what the row says.
    pub resumed: bool,
    pub(super) repositories: Arc<Repositories>,
    pub(super) troubles: Arc<Troubles>,
    /// Held shared by blocking work that may outlive the step that began it.
    pub(super) unsettled: Arc<RwLock<()>>,
}

/// What is being tried again at the moment, and why.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<(u64, BTreeMap<u64, String>)>);

/// One thing that is being tried again; forgotten when dropped.
pub(crate) struct Trouble<'a> {
    troubles: &'a Troubles,
    id: Option<u64>,
}

impl JobContext {
    /// The time by the catalog's clock.
    pub fn now_ms(&self) -> i64 {
        self.storage.clock().now_ms()
    }

    /// The repository, connected.
    pub async fn repository(&self, id: RepositoryId) -> Result<Arc<Repository>> {
        self.repositories.get(id).await
    }

    /// Comes to a place where a test may interfere.
    pub async fn reach(&self, point: FailPoint) -> Result<()> {
        failpoint::pass(point);
        self.config.failpoints.reach(self.id, point).await
    }

    /// Runs blocking work. Should the step be dropped meanwhile, [`JobContext::settle`] waits for it.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let unsettled = Arc::clone(&self.unsettled).read_owned().await;
        blocking(move || {
            let _unsettled = unsettled;
            work()
        })
        .await
    }

    /// Reads the catalog.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let catalog = Arc::clone(self.storage.catalog());
        self.blocking(move || catalog.read(look)).await
    }

    /// Changes the catalog, unless the job no longer stands at `state`: then somebody else has ended it, and what
    /// this step would write must not be.
    pub async fn write<T: Send + 'static>(
        &self,
        state: &'static str,
        change: impl FnOnce(&WriteTransaction<'_>, &JobRow) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (catalog, id) = (Arc::clone(self.storage.catalog()), self.id);
        self.blocking(move || {
            catalog.write(|write| {
                let row = write.job(id)?.filter(|row| row.state == state).ok_or(Error::Cancelled)?;
                change(write, &row)
            })
        })
        .await
    }

    /// Changes the catalog, unless the job has ended: for the end itself, which may come at any state.
    pub async fn write_unfinished<T: Send + 'static>(
        &self,
        change: impl FnOnce(&WriteTransaction<'_>, &JobRow) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (catalog, id) = (Arc::clone(self.storage.catalog()), self.id);
        self.blocking(move || {
            catalog.write(|write| {
                let row = write.job(id)?.filter(|row| row.finished_at_ms.is_none()).ok_or(Error::Cancelled)?;
                change(write, &row)
            })
        })
        .await
    }

    /// Waits until no blocking work of a dropped step is left.
    pub(super) async fn settle(&self) {
        drop(self.unsettled.write().await);
    }

    /// Something that may have to be tried again, for TaskErrMsg.
    pub(crate) fn trouble(&self) -> Trouble<'_> {
        Trouble { troubles: &self.troubles, id: None }
    }

    /// Does something that talks to the outside, and does it again while its errors are of the passing kind, until
    /// the policy has had enough. `what` names it for people.
    pub async fn retry<T, F>(&self, what: impl fmt::Display, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut trouble = self.trouble();
        let random = self.storage.catalog().random();
        let mut attempts = 1;
        loop {
            let error = match attempt().await {
                Err(error) if error.is_retryable() => error,
                done => return done,
            };
            let Some(delay) = self.config.retry.delay(attempts, random.as_ref()) else {
                tracing::warn!(job = %self.id, %what, attempts, %error, "giving up");
                return Err(error);
            };
            tracing::warn!(job = %self.id, %what, attempts, ?delay, %error, "trying again");
            trouble.tell(format!("{what}: {error}"));
            // Whoever closes the gate need not wait for a delay to pass.
            if self.gate.token().run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return Err(Error::Cancelled);
            }
            attempts += 1;
        }
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("id", &self.id).field("resumed", &self.resumed).finish_non_exhaustive()
    }
}

impl Troubles {
    /// The TaskErrMsg column: `[taskid: message]` of what is wrong now, empty when nothing is.
    pub(super) fn describe(&self, job: JobId) -> String {
        let troubles = self.0.lock();
        let shown: Vec<String> =
            troubles.1.values().take(TROUBLES_SHOWN_MAX).map(|message| format!("[{job}: {message}]")).collect();
        shown.join(", ")
    }
}

impl Trouble<'_> {
    /// What is wrong now.
    pub(crate) fn tell(&mut self, message: String) {
        let mut troubles = self.troubles.0.lock();
        let id = *self.id.get_or_insert_with(|| {
            troubles.0 += 1;
            troubles.0
        });
        troubles.1.insert(id, message);
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.troubles.0.lock().1.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_live_trouble_is_shown() {
        let troubles = Troubles::default();
        assert_eq!(troubles.describe(JobId(7)), "");
        let mut first = Trouble { troubles: &troubles, id: None };
        let mut second = Trouble { troubles: &troubles, id: None };
        first.tell("upload segment a: no answer".into());
        second.tell("upload segment b: no answer".into());
        first.tell("upload segment a: slow down".into());
        assert_eq!(troubles.describe(JobId(7)), "[7: upload segment a: slow down], [7: upload segment b: no answer]");
        drop(first);
        assert_eq!(troubles.describe(JobId(7)), "[7: upload segment b: no answer]");
        drop(second);
        assert_eq!(troubles.describe(JobId(7)), "");
    }
}
