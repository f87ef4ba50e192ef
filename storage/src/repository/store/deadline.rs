//! How long a statement waits for stores that do not answer.
//!
//! Every request has its own timeout, but a statement also waits before its first one (for its turn, for a permit, for a
//! client to be made), and all of that counts for whoever waits for the statement. So a statement works [`within`] a
//! [`Deadline`]: it lies as far ahead as the patience that was given, and every answer of a store moves it on by as much. A
//! store that is slow and answers is no worse than a fast one; one that is silent is reported in time, however many
//! statements ask it at once.
//!
//! Jobs have no deadline of this kind: what has none passes through [`Punctual`] as if it were not there.

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

tokio::task_local! {
    static CURRENT: Arc<Deadline>;
}

/// When the statement under way gives up, unless a store answers before.
#[derive(Debug)]
pub struct Deadline {
    patience: Duration,
    at: Mutex<Instant>,
}

/// Does a statement's work, which gives up when no store has answered for so long.
pub async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> T {
    let at = Mutex::new(Instant::now() + patience);
    CURRENT.scope(Arc::new(Deadline { patience, at }), work).await
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

    /// A store has answered.
    fn move_on(&self) {
        *self.at.lock() = Instant::now() + self.patience;
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
            () = deadline.over() => Err(StoreError::no_answer(operation, &self.inner.place(), key)),
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
