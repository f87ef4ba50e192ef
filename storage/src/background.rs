//! Work that nobody asks for: collecting garbage, repairing replicas, compacting, checking the catalog.
//!
//! [`Storage::start_background`] starts it once the storage is open, [`Storage::shutdown`] stops it and waits. Each
//! task runs one step after the other and pauses in between. A step that fails is logged once, not at every turn, and
//! tried again at the next; nothing here ever ends the process. The tasks do not keep the storage alive: they end when
//! it is dropped.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::storage::{Storage, blocking};

/// The tasks of one storage.
#[derive(Debug, Default)]
pub(crate) struct Background {
    stopping: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    /// Whether background work is to end. Long steps ask often.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// The same for somebody who cannot hold the storage.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task ended early");
            }
        }
    }
}

impl Storage {
    /// Starts background work. Call it in a runtime, once the storage is open; a second call does nothing.
    pub fn start_background(self: &Arc<Self>) {
        let mut tasks = self.background().tasks.lock();
        if !tasks.is_empty() || self.background().is_stopping() {
            return;
        }
        tasks.push(tokio::spawn(housekeeping(self.worker())));
        tasks.push(tokio::spawn(compaction(self.worker())));
        tasks.push(tokio::spawn(catalog_check(self.worker())));
    }

    fn worker(self: &Arc<Self>) -> Worker {
        Worker { storage: Arc::downgrade(self), stopping: self.background().stopping.clone() }
    }
}

/// How long compaction waits for something to do.
const COMPACTION_PAUSE: Duration = Duration::from_millis(500);

/// The most it waits after a merge.
const COMPACTION_BREATH_MAX: Duration = Duration::from_secs(1);

/// A look around may take this share of the time at most: 1 in so many.
const COMPACTION_LOOK_SHARE: u32 = 20;

/// Garbage and replicas: looked over once at the start, then at every interval.
async fn housekeeping(worker: Worker) {
    let Some(interval) = worker.storage().map(|storage| storage.config().garbage_interval) else { return };
    let mut sweeping = Step::new("sweep orphans");
    let mut collecting = Step::new("collect garbage");
    let mut repairing = Step::new("repair replicas");
    let mut finishing = Step::new("clear away what failed");
    worker.run(&mut sweeping, |storage| storage.sweep_orphans().map(drop)).await;
    worker.run(&mut repairing, |storage| storage.repair_replicas()?.into_result()).await;
    loop {
        worker.run(&mut finishing, |storage| storage.finish_unfinished()).await;
        worker.run(&mut collecting, |storage| storage.collect_garbage()?.into_result()).await;
        if worker.pause_until_trouble(interval).await.is_none() {
            return;
        }
        worker.run(&mut repairing, |storage| storage.repair_bad_replicas()?.into_result()).await;
    }
}

/// One compaction after the other, with half of its time as a pause, so that loads and queries have the cores too.
async fn compaction(worker: Worker) {
    let mut compacting = Step::new("compact");
    loop {
        let began = Instant::now();
        let done = worker.run(&mut compacting, |storage| storage.compact_next()).await;
        let pause = match done {
            Some(Some(_)) => (began.elapsed() / 2).min(COMPACTION_BREATH_MAX),
            Some(None) | None => (began.elapsed() * COMPACTION_LOOK_SHARE).max(COMPACTION_PAUSE),
        };
        if worker.pause(pause).await.is_none() {
            return;
        }
    }
}

/// How often the catalog is held against its checksums when that takes no time to speak of. The start and every backup do
/// it besides.
const CATALOG_CHECK_PAUSE: Duration = Duration::from_secs(60);

/// The checks may take this share of the time at most: 1 in so many.
const CATALOG_CHECK_SHARE: u32 = 200;

/// Looks whether the catalog has changed on the disk. Once it has, the catalog says so to everybody.
async fn catalog_check(worker: Worker) {
    let mut checking = Step::new("check catalog");
    let mut took = Duration::ZERO;
    while worker.pause(CATALOG_CHECK_PAUSE.max(took * CATALOG_CHECK_SHARE)).await.is_some() {
        let began = Instant::now();
        worker.run(&mut checking, |storage| storage.catalog().verify()).await;
        took = began.elapsed();
    }
}

/// One task's hold on the storage.
struct Worker {
    storage: Weak<Storage>,
    stopping: CancellationToken,
}

impl Worker {
    /// The storage, unless background work is to end.
    fn storage(&self) -> Option<Arc<Storage>> {
        if self.stopping.is_cancelled() { None } else { self.storage.upgrade() }
    }

    /// Runs one step on a thread for blocking work. Returns what it returned; nothing when it failed.
    async fn run<T: Send + 'static>(
        &self,
        step: &mut Step,
        work: impl FnOnce(&Arc<Storage>) -> Result<T> + Send + 'static,
    ) -> Option<T> {
        let storage = self.storage()?;
        step.note(blocking(move || work(&storage)).await)
    }

    /// Waits. Returns nothing when background work is to end.
    async fn pause(&self, duration: Duration) -> Option<()> {
        tokio::select! {
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep(duration) => (self.storage.strong_count() > 0).then_some(()),
        }
    }
}

impl Worker {
    /// Waits, but no longer than until a replica turns out bad. Returns nothing when background work is to end.
    async fn pause_until_trouble(&self, duration: Duration) -> Option<()> {
        let files = Arc::clone(self.storage()?.files());
        tokio::select! {
            paused = self.pause(duration) => paused,
            () = files.trouble() => Some(()),
        }
    }
}

/// One kind of work, with the failure it ended in the last time.
pub(crate) struct Step {
    name: &'static str,
    failure: Option<String>,
}

impl Step {
    /// Has not failed yet.
    pub(crate) fn new(name: &'static str) -> Step {
        Step { name, failure: None }
    }

    /// Logs a failure that is not the one of the last time, and that one has passed.
    pub(crate) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.failure.take().is_some() {
                    tracing::info!(step = self.name, "background work is well again");
                }
                Some(value)
            }
            Err(Error::Cancelled) => None,
            Err(error) => {
                metrics::counter!("ebla_background_failures_total", "step" => self.name).increment(1);
                let text = error.to_string();
                if self.failure.as_ref() != Some(&text) {
                    tracing::error!(step = self.name, %error, "background work failed, it is tried again");
                    self.failure = Some(text);
                }
                None
            }
        }
    }
}
