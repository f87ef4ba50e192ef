//! How long a statement waits for stores that do not answer.
//!
//! Every request has its own timeout, but a statement also waits before its first one (for its turn, for a permit, for a
//! client to be made), and all of that counts for whoever waits for the statement. So a statement works [`within`] a
//! [`Deadline`]: it lies as far ahead as the patience that was given, and every answer of a store moves it on by as much. A
//! store that is slow and answers is no worse than a fast one; one that is silent is reported in time, however many
//! statements ask it at once.
//!
//! Who waits for the turn of another statement first waits for half of the time at most ([`Deadline::turn_by`]): what is left
//! is the store's, and when that is silent, the error says what else was waited for.
//!
//! Jobs have no deadline of this kind: what has none passes through [`Punctual`] as if it were not there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    ListPage, MultipartUpload, ObjectKey, ObjectMeta, ObjectStore, Operation, PageToken, Put, StoreError, StoreLayer,
    StoreResult,
};

/// What part of the time a wait for something else must be to be told of.
const WAIT_TOLD_SHARE: u32 = 10;

tokio::task_local! {
    static CURRENT: Arc<Deadline>;
}

/// When the statement under way gives up, unless a store answers before.
#[derive(Debug)]
pub struct Deadline {
    patience: Duration,
    at: Mutex<Instant>,
    /// What else than a store was waited for, and how long.
    waited: Mutex<Option<Waited>>,
}

/// A wait for something else than a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waited {
    what: String,
    long: Duration,
    of: Duration,
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (long, of) = (self.long.as_secs_f64(), self.of.as_secs_f64());
        write!(f, "of {of:.1} s, {long:.1} s were spent waiting for {}", self.what)
    }
}

/// Does a statement's work, which gives up when no store has answered for so long.
pub async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> T {
    let at = Mutex::new(Instant::now() + patience);
    CURRENT.scope(Arc::new(Deadline { patience, at, waited: Mutex::default() }), work).await
}

impl Deadline {
    /// The one of the statement under way in this task, if it has one.
    pub fn current() -> Option<Arc<Deadline>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// When the statement gives up, as things stand.
    pub fn at(&self) -> Instant {
        *self.at.lock()
    }

    /// Until when the statement may wait for its turn, so that there is time left for the store.
    pub fn turn_by(&self) -> Instant {
        let at = self.at();
        at.checked_sub(self.patience / 2).unwrap_or(at)
    }

    /// So long was waited for something else than a store.
    pub fn note_wait(&self, what: impl Into<String>, long: Duration) {
        let mut waited = self.waited.lock();
        let before = waited.take().map_or(Duration::ZERO, |waited| waited.long);
        *waited = Some(Waited { what: what.into(), long: before + long, of: self.patience });
    }

    /// What else than the store was waited for, when it was long enough to matter.
    fn waited(&self) -> Option<Waited> {
        self.waited.lock().clone().filter(|waited| waited.long >= self.patience / WAIT_TOLD_SHARE)
    }

    /// A store has answered.
    fn move_on(&self) {
        *self.at.lock() = Instant::now() + self.patience;
        *self.waited.lock() = None;
    }

    /// Returns when it is over, however often it was moved on.
    async fn over(&self) {
        loop {
            let at = self.at();
            if Instant::now() >= at {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }
}

/// Moves the deadline on when a call has got an answer, be it a refusal.
pub(super) fn note<T>(result: &Result<T, &StoreError>) {
    let answered = match result {
        Ok(_) => true,
        Err(error) => error.http_status().is_some(),
    };
    if let Some(deadline) = Deadline::current().filter(|_| answered) {
        deadline.move_on();
    }
}

/// A store whose calls end when the deadline of their statement is over.
#[derive(Debug)]
pub struct Punctual {
    inner: Arc<dyn ObjectStore>,
}

impl Punctual {
    /// Wraps everything that a call may wait for.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }

    async fn in_time<T>(
        &self,
        operation: Operation,
        key: &str,
        call: impl Future<Output = StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        let Some(deadline) = Deadline::current() else {
            return call.await;
        };
        tokio::select! {
            biased;
            result = call => result,
            () = deadline.over() => {
                Err(StoreError::no_answer(operation, &self.inner.place(), key, deadline.waited().as_ref()))
            }
        }
    }
}

#[async_trait]
impl StoreLayer for Punctual {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        self.in_time(Operation::Put, key.as_str(), self.inner.put_create(key, body)).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        self.in_time(Operation::StartMultipart, key.as_str(), self.inner.start_multipart(key, bytes)).await
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        self.in_time(Operation::Get, key.as_str(), self.inner.get(key, bytes_max)).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        self.in_time(Operation::GetRange, key.as_str(), self.inner.get_range(key, offset, bytes)).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.in_time(Operation::Head, key.as_str(), self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.in_time(Operation::List, prefix, self.inner.list(prefix, page)).await
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        self.in_time(Operation::Lock, key.as_str(), self.inner.renew_lock(key)).await
    }
}

#[cfg(test)]
mod tests;
