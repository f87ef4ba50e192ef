//! Counts what is asked of a store: for `/metrics`, for a job's figures, for tests that bound the requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    ListPage, MultipartUpload, ObjectDelete, ObjectKey, ObjectMeta, ObjectStore, Operation, PageToken, Put, Silence,
    StoreLayer, StoreResult, deadline,
};
use crate::failpoint::{DurableStep, durable_async};

/// What was asked of one repository since it was opened.
#[derive(Debug, Default)]
pub struct StoreStats {
    operations: [OperationStats; Operation::ALL.len()],
    http_attempts: AtomicU64,
}

#[derive(Debug, Default)]
struct OperationStats {
    calls: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// By operation, those that were used.
    pub operations: BTreeMap<Operation, OperationCounts>,
    /// Requests that went over the wire, tries that failed included. Stays 0 for a directory.
    pub http_attempts: u64,
}

/// The counters of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Bytes of the bodies of calls that succeeded.
    pub bytes: u64,
    /// Time spent, summed over calls that ran at the same time.
    pub micros: u64,
}

impl StoreStats {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let operations = Operation::ALL
            .into_iter()
            .zip(&self.operations)
            .map(|(operation, stats)| (operation, stats.counts()))
            .filter(|(_, counts)| counts.calls > 0)
            .collect();
        StoreCounts { operations, http_attempts: self.http_attempts.load(Ordering::Relaxed) }
    }

    /// Counts one request on the wire.
    pub(super) fn count_http_attempt(&self) {
        self.http_attempts.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("ebla_repository_http_attempts_total").increment(1);
    }

    fn record(&self, operation: Operation, outcome: Result<u64, ()>, took: Duration) {
        // `ALL` has every operation at the place of its discriminant; a test holds it to that.
        let Some(stats) = self.operations.get(operation as usize) else {
            return;
        };
        stats.calls.fetch_add(1, Ordering::Relaxed);
        stats.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let name = operation.name();
        let outcome_name = if outcome.is_ok() { "ok" } else { "error" };
        metrics::counter!("ebla_repository_requests_total", "operation" => name, "outcome" => outcome_name)
            .increment(1);
        metrics::histogram!("ebla_repository_request_seconds", "operation" => name).record(took.as_secs_f64());
        match outcome {
            Ok(bytes) => {
                stats.bytes.fetch_add(bytes, Ordering::Relaxed);
                metrics::counter!("ebla_repository_bytes_total", "operation" => name).increment(bytes);
            }
            Err(()) => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl OperationStats {
    fn counts(&self) -> OperationCounts {
        OperationCounts {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

impl StoreCounts {
    /// Calls of every operation together.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.operations.values().map(|counts| counts.calls).sum()
    }

    /// Calls of one operation.
    #[must_use]
    pub fn calls_of(&self, operation: Operation) -> u64 {
        self.operations.get(&operation).map_or(0, |counts| counts.calls)
    }

    /// Bytes that went to the store.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.bytes_of(&[Operation::Put, Operation::PutPart])
    }

    /// Bytes that came from the store.
    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        self.bytes_of(&[Operation::Get, Operation::GetRange])
    }

    fn bytes_of(&self, operations: &[Operation]) -> u64 {
        operations.iter().filter_map(|operation| self.operations.get(operation)).map(|counts| counts.bytes).sum()
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ObjectStore>,
    stats: Arc<StoreStats>,
}

impl Metered {
    /// Counts what is asked of `inner` in `stats`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, stats: Arc<StoreStats>) -> Self {
        Self { inner, stats }
    }
}

/// Deletions that are counted.
#[derive(Debug)]
pub struct MeteredDelete {
    inner: Arc<dyn ObjectDelete>,
    stats: Arc<StoreStats>,
}

impl MeteredDelete {
    /// Counts what is deleted through `inner` in `stats`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectDelete>, stats: Arc<StoreStats>) -> Self {
        Self { inner, stats }
    }
}

#[async_trait]
impl ObjectDelete for MeteredDelete {
    async fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let delete = durable_async(DurableStep::Delete, self.inner.delete(key));
        measure(&self.stats, Operation::Delete, |()| 0, delete).await
    }
}

/// Times one call and counts its outcome.
async fn measure<T>(
    stats: &StoreStats,
    operation: Operation,
    bytes: impl FnOnce(&T) -> u64 + Send,
    call: impl Future<Output = StoreResult<T>> + Send,
) -> StoreResult<T> {
    let start = Instant::now();
    let waiting = Silence::current().map(Silence::call);
    let result = call.await;
    drop(waiting);
    deadline::note(&result.as_ref());
    let outcome = result.as_ref().map(bytes).map_err(|_| ());
    stats.record(operation, outcome, start.elapsed());
    result
}

#[async_trait]
impl StoreLayer for Metered {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        let bytes = body.len() as u64;
        let put = durable_async(DurableStep::Put, self.inner.put_create(key, body));
        measure(&self.stats, Operation::Put, |_| bytes, put).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let start = durable_async(DurableStep::StartMultipart, self.inner.start_multipart(key, bytes));
        let inner = measure(&self.stats, Operation::StartMultipart, |_| 0, start).await?;
        Ok(Box::new(MeteredUpload { inner, stats: Arc::clone(&self.stats) }))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        let get = self.inner.get(key, bytes_max);
        measure(&self.stats, Operation::Get, |body: &Bytes| body.len() as u64, get).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let get = self.inner.get_range(key, offset, bytes);
        measure(&self.stats, Operation::GetRange, |body: &Bytes| body.len() as u64, get).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        measure(&self.stats, Operation::Head, |_| 0, self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        measure(&self.stats, Operation::List, |_| 0, self.inner.list(prefix, page)).await
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        measure(&self.stats, Operation::Lock, |()| 0, self.inner.renew_lock(key)).await
    }
}

#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    stats: Arc<StoreStats>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        let bytes = body.len() as u64;
        let put = durable_async(DurableStep::PutPart, self.inner.put_part(index, body));
        measure(&self.stats, Operation::PutPart, |()| bytes, put).await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let Self { inner, stats } = *self;
        let complete = durable_async(DurableStep::CompleteMultipart, inner.complete());
        measure(&stats, Operation::CompleteMultipart, |_| 0, complete).await
    }

    async fn abort(self: Box<Self>) {
        let Self { inner, stats } = *self;
        let abort = async {
            durable_async(DurableStep::AbortMultipart, inner.abort()).await;
            Ok(())
        };
        // An abort has no outcome to report: the backend logs what it must.
        let _ = measure(&stats, Operation::AbortMultipart, |()| 0, abort).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_own_counters() {
        let stats = StoreStats::new();
        for (position, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, position, "{operation:?}");
            stats.record(operation, Ok(position as u64), Duration::ZERO);
        }
        stats.record(Operation::Get, Err(()), Duration::ZERO);
        let counts = stats.counts();
        assert_eq!(counts.calls(), Operation::ALL.len() as u64 + 1);
        assert_eq!(counts.operations[&Operation::Get].failures, 1);
        assert_eq!(counts.operations[&Operation::Delete].bytes, 10);
    }
}
