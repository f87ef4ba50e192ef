//! What a step of a job works with, and the few things every step must do alike: leave the runtime's threads for
//! blocking work, write to the catalog only while the job still stands where the step began, try again what may pass.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::Instant;

use super::runner::JobConfig;
use super::{FailPoint, Gate, JobFiles, Progress};
use crate::catalog::{JobRow, ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{JobId, RepositoryId};
use crate::repositories::Repositories;
use crate::repository::Repository;
use crate::repository::store::Silence;
use crate::storage::{Storage, blocking};

/// Messages that TaskErrMsg shows at most: one is often all of them.
const TROUBLES_SHOWN_MAX: usize = 3;

/// How long a store may be silent before that is told: longer than an answer of one that is well takes, and so short that
/// who looks within ten seconds sees it.
const SILENCE_TOLD_AFTER: Duration = Duration::from_secs(5);

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

/// What is being tried again at the moment, or waited for, and why.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<(u64, BTreeMap<u64, Told>)>);

/// One thing that may be told of; forgotten when dropped.
pub(crate) struct Trouble<'a> {
    troubles: &'a Troubles,
    id: Option<u64>,
}

/// What there is to tell of one thing.
#[derive(Debug)]
struct Told {
    /// What went wrong, or what is waited for besides a store.
    message: Option<String>,
    /// When it is tried again.
    again_at: Option<Instant>,
    /// What is done, and whether the store says anything to it.
    call: Option<(String, Arc<Silence>)>,
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
        let silence = Arc::new(Silence::default());
        let mut trouble = self.trouble();
        trouble.may_wait(what.to_string(), Arc::clone(&silence));
        let random = self.storage.catalog().random();
        let mut attempts = 1;
        loop {
            let error = match Arc::clone(&silence).kept(attempt()).await {
                Err(error) if error.is_retryable() => error,
                done => return done,
            };
            let Some(delay) = self.config.retry.delay(attempts, random.as_ref()) else {
                tracing::warn!(job = %self.id, %what, attempts, %error, "giving up");
                return Err(error);
            };
            tracing::warn!(job = %self.id, %what, attempts, ?delay, %error, "trying again");
            trouble.tell_again_in(format!("{what}: {error}"), delay);
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
        self.describe_at(job, Instant::now())
    }

    fn describe_at(&self, job: JobId, now: Instant) -> String {
        let troubles = self.0.lock();
        let messages = troubles.1.values().filter_map(|told| told.describe(now));
        let shown: Vec<String> =
            messages.take(TROUBLES_SHOWN_MAX).map(|message| format!("[{job}: {message}]")).collect();
        shown.join(", ")
    }
}

impl Told {
    fn describe(&self, now: Instant) -> Option<String> {
        let until_again = self.again_at.map(|at| at.saturating_duration_since(now)).filter(|left| !left.is_zero());
        if let (Some(message), Some(left)) = (&self.message, until_again) {
            return Some(format!("{message}; tried again in {} s", left.as_secs() + 1));
        }
        let silent = self.call.as_ref().and_then(|(what, silence)| {
            silence.lasts(now).filter(|lasts| *lasts >= SILENCE_TOLD_AFTER).map(|lasts| (what, lasts.as_secs()))
        });
        match (&self.message, self.again_at, silent) {
            (Some(message), _, Some((_, seconds))) => {
                Some(format!("{message}; tried again, no answer for {seconds} s"))
            }
            (Some(message), Some(_), None) => Some(format!("{message}; being tried again")),
            (Some(message), None, None) => Some(message.clone()),
            (None, _, Some((what, seconds))) => Some(format!("{what}: no answer for {seconds} s, waiting for one")),
            (None, _, None) => None,
        }
    }
}

impl Trouble<'_> {
    /// What is wrong now.
    pub(crate) fn tell(&mut self, message: String) {
        self.change(|told| (told.message, told.again_at) = (Some(message), None));
    }

    /// What went wrong, and is tried again then.
    fn tell_again_in(&mut self, message: String, delay: Duration) {
        let again_at = Instant::now() + delay;
        self.change(|told| (told.message, told.again_at) = (Some(message), Some(again_at)));
    }

    /// What is done from now on, by calls to a store that may say nothing to them.
    fn may_wait(&mut self, what: String, silence: Arc<Silence>) {
        self.change(|told| told.call = Some((what, silence)));
    }

    fn change(&mut self, change: impl FnOnce(&mut Told)) {
        let mut troubles = self.troubles.0.lock();
        let id = *self.id.get_or_insert_with(|| {
            troubles.0 += 1;
            troubles.0
        });
        change(troubles.1.entry(id).or_insert(Told { message: None, again_at: None, call: None }));
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

    #[tokio::test]
    async fn it_is_told_when_a_thing_is_tried_again() {
        let troubles = Troubles::default();
        let mut trouble = Trouble { troubles: &troubles, id: None };
        trouble.may_wait("list objects".into(), Arc::default());
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        assert_eq!(troubles.describe_at(JobId(7), now + seconds(60)), "", "no store is asked");
        trouble.tell_again_in("list objects: slow down".into(), seconds(30));
        let text = troubles.describe_at(JobId(7), now + seconds(10));
        let told =
            ["[7: list objects: slow down; tried again in 20 s]", "[7: list objects: slow down; tried again in 21 s]"];
        assert!(told.contains(&text.as_str()), "{text}");
        let text = troubles.describe_at(JobId(7), Instant::now() + seconds(31));
        assert_eq!(text, "[7: list objects: slow down; being tried again]");
    }
}
