//! One budget for every repository and job of the process: requests in flight, bytes held in memory, bytes a second.
//!
//! A node takes more memory read than stored, and is kept as long as what is below it is read: those who read nodes ask
//! for room for what theirs becomes ([`TransferLimits::hold_node`]).
//!
//! A store that has stopped answering keeps what its requests have taken until they are given up, again and again. So each
//! repository has a little of each beside what is shared ([`TransferLimits::of_a_repository`]): whoever finds everything taken by
//! others goes on with its own.
//!
//! A request waits for its permit; its body then goes at the pace that the bandwidth allows ([`Pace`]). Of large bodies only
//! as many go at a time as are quickly out: many that crawl would all have to begin anew when something goes wrong. Memory is
//! asked for by whoever fills a buffer, before it is filled ([`TransferLimits::hold_memory`]): a permit at the door of the
//! store would come too late.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::super::format::{NODE_BYTES_MAX, NodeLevel};
use super::pace::{Pace, TokenBucket};
use super::{
    ListPage, MultipartUpload, ObjectKey, ObjectMeta, ObjectStore, PART_BYTES, PageToken, Put, SINGLE_PUT_BYTES_MAX,
    StoreLayer, StoreResult,
};

/// Requests in flight when nothing else is configured: enough to fill a fast link, few enough for a small store.
const REQUESTS_MAX_DEFAULT: usize = 16;

/// Memory for buffers when nothing else is configured: eight parts.
const MEMORY_BYTES_MAX_DEFAULT: u64 = 8 * PART_BYTES;

/// Memory for nodes of each level that are read and in use: what the largest one may take.
const NODE_MEMORY_BYTES_MAX: u64 = 4 * NODE_BYTES_MAX;

/// How many bytes of memory a byte of a node's JSON may take, the JSON included: numbers and names as Rust has them.
const MEMORY_PER_NODE_BYTE: u64 = 4;

/// Memory is handed out in units of this size, because a semaphore counts in 32 bits.
const MEMORY_UNIT_BYTES: u64 = 4 * 1024;

/// Those of [`NODE_MEMORY_BYTES_MAX`].
const NODE_UNITS_MAX: u32 = (NODE_MEMORY_BYTES_MAX / MEMORY_UNIT_BYTES) as u32;

/// Bodies of up to this size do not wait, though they count: marks, announcements and what takes them back, which are hardly
/// larger than the headers that nobody counts, and without which a cancelled job does not come to its end.
const SMALL_BYTES_MAX: u64 = 4 * 1024;

/// Larger bodies than this take one of a few places while there is a limit to the bandwidth.
const LARGE_BYTES: u64 = 1024 * 1024;

/// Bandwidth for each of those places: what one connection can surely use.
const PLACE_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// Places for large bodies that each repository has beside the shared ones.
const OWN_PLACES_MAX: usize = 1;

/// Requests in flight that each repository has beside the shared ones.
const OWN_REQUESTS_MAX: usize = 2;

/// Memory for buffers that each repository has beside the shared one: one object that is put whole, or two parts.
const OWN_MEMORY_BYTES_MAX: u64 = SINGLE_PUT_BYTES_MAX;

/// Those of [`OWN_MEMORY_BYTES_MAX`].
const OWN_MEMORY_UNITS_MAX: u32 = (OWN_MEMORY_BYTES_MAX / MEMORY_UNIT_BYTES) as u32;

/// Memory for nodes of each level that each repository has beside the shared one: all but the very largest fit.
const OWN_NODE_BYTES_MAX: u64 = NODE_MEMORY_BYTES_MAX / 16;

/// Those of [`OWN_NODE_BYTES_MAX`].
const OWN_NODE_UNITS_MAX: u32 = (OWN_NODE_BYTES_MAX / MEMORY_UNIT_BYTES) as u32;

/// The budget. Made once, shared by all.
#[derive(Debug)]
pub struct TransferLimits {
    shared: Arc<Shared>,
    own: Option<Own>,
}

/// What all repositories use together.
#[derive(Debug)]
struct Shared {
    requests: Semaphore,
    memory: Arc<Semaphore>,
    memory_units_max: u32,
    /// One for each level: who has room for a node of one level may wait for room for one of the next, never the other
    /// way.
    nodes: [Arc<Semaphore>; 2],
    upload: Option<Upload>,
}

/// What bodies go through while there is a limit to the bandwidth.
#[derive(Debug)]
struct Upload {
    bucket: Arc<TokenBucket>,
    /// Places for large bodies.
    places: Semaphore,
}

/// What one repository has besides.
#[derive(Debug)]
struct Own {
    requests: Semaphore,
    places: Semaphore,
    memory: Arc<Semaphore>,
    nodes: [Arc<Semaphore>; 2],
}

/// Memory that a buffer occupies; given back when dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl TransferLimits {
    /// A budget of `requests_max` requests in flight, `memory_bytes_max` bytes in buffers and, when given,
    /// `upload_bytes_per_second_max` (the configured `max_backup_bandwidth`).
    #[must_use]
    pub fn new(requests_max: usize, memory_bytes_max: u64, upload_bytes_per_second_max: Option<u64>) -> Self {
        let memory_units = memory_bytes_max.div_ceil(MEMORY_UNIT_BYTES);
        let memory_units_max = u32::try_from(memory_units).unwrap_or(u32::MAX).max(1);
        let upload = upload_bytes_per_second_max.map(|bytes_per_second| {
            let places = usize::try_from(bytes_per_second / PLACE_BYTES_PER_SECOND).unwrap_or(requests_max);
            let places = Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS));
            Upload { bucket: Arc::new(TokenBucket::new(bytes_per_second)), places }
        });
        let shared = Shared {
            requests: Semaphore::new(requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            memory: Arc::new(Semaphore::new(memory_units_max as usize)),
            memory_units_max,
            nodes: [(); 2].map(|()| Arc::new(Semaphore::new(NODE_UNITS_MAX as usize))),
            upload,
        };
        Self { shared: Arc::new(shared), own: None }
    }

    /// The same budget for one repository, with a little besides that is its alone.
    #[must_use]
    pub fn of_a_repository(&self) -> Self {
        let own = Own {
            requests: Semaphore::new(OWN_REQUESTS_MAX),
            places: Semaphore::new(OWN_PLACES_MAX),
            memory: Arc::new(Semaphore::new(OWN_MEMORY_UNITS_MAX as usize)),
            nodes: [(); 2].map(|()| Arc::new(Semaphore::new(OWN_NODE_UNITS_MAX as usize))),
        };
        Self { shared: Arc::clone(&self.shared), own: Some(own) }
    }

    /// Waits until `bytes` more bytes may be held. A buffer larger than the whole budget waits for all of it.
    pub async fn hold_memory(&self, bytes: u64) -> MemoryPermit {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX);
        let shared = Arc::clone(&self.shared.memory).acquire_many_owned(units.min(self.shared.memory_units_max));
        // No semaphore here is ever closed; if one were, going on without a permit would be right.
        let permit = match self.own.as_ref().filter(|_| units <= OWN_MEMORY_UNITS_MAX) {
            None => shared.await,
            Some(own) => tokio::select! {
                biased;
                permit = shared => permit,
                permit = Arc::clone(&own.memory).acquire_many_owned(units) => permit,
            },
        };
        MemoryPermit { _permit: permit.ok() }
    }

    /// Waits until a node of this level, of so many bytes of JSON, may be read and kept. Whoever waits here must have
    /// no other node of the level, nor a buffer.
    pub async fn hold_node(&self, level: NodeLevel, json_bytes: u64) -> MemoryPermit {
        let bytes = json_bytes.saturating_mul(MEMORY_PER_NODE_BYTE);
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX).min(NODE_UNITS_MAX);
        let level = match level {
            NodeLevel::Table => 0,
            NodeLevel::Partition => 1,
        };
        let shared = Arc::clone(&self.shared.nodes[level]).acquire_many_owned(units);
        let permit = match self.own.as_ref().filter(|_| units <= OWN_NODE_UNITS_MAX) {
            None => shared.await,
            Some(own) => tokio::select! {
                biased;
                permit = shared => permit,
                permit = Arc::clone(&own.nodes[level]).acquire_many_owned(units) => permit,
            },
        };
        // Never closed, as above.
        MemoryPermit { _permit: permit.ok() }
    }

    /// Waits for a place for a large body, and for a request.
    async fn admit(&self, upload_bytes: u64) -> Admitted<'_> {
        let own = self.own.as_ref();
        let place = match &self.shared.upload {
            Some(upload) if upload_bytes > LARGE_BYTES => either(&upload.places, own.map(|own| &own.places)).await,
            _ => None,
        };
        Admitted { _place: place, _request: either(&self.shared.requests, own.map(|own| &own.requests)).await }
    }

    /// Makes a call whose body of `bytes` bytes keeps the pace that the bandwidth allows.
    async fn paced<T>(&self, bytes: u64, call: impl Future<Output = T>) -> T {
        match &self.shared.upload {
            Some(upload) if bytes > SMALL_BYTES_MAX => Pace::new(Arc::clone(&upload.bucket)).kept(call).await,
            Some(upload) => {
                upload.bucket.count(bytes);
                call.await
            }
            None => call.await,
        }
    }
}

/// What a request holds while it is made.
struct Admitted<'a> {
    _place: Option<SemaphorePermit<'a>>,
    _request: Option<SemaphorePermit<'a>>,
}

/// A permit of those that are shared, or of one's own.
async fn either<'a>(shared: &'a Semaphore, own: Option<&'a Semaphore>) -> Option<SemaphorePermit<'a>> {
    let permit = match own {
        None => shared.acquire().await,
        Some(own) => tokio::select! {
            biased;
            permit = shared.acquire() => permit,
            permit = own.acquire() => permit,
        },
    };
    permit.ok() // Never closed, as above.
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self::new(REQUESTS_MAX_DEFAULT, MEMORY_BYTES_MAX_DEFAULT, None)
    }
}

/// A store within the budget.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn ObjectStore>,
    limits: Arc<TransferLimits>,
}

impl Limited {
    /// Keeps requests to `inner` within `limits`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, limits: Arc<TransferLimits>) -> Self {
        Self { inner, limits }
    }
}

#[async_trait]
impl StoreLayer for Limited {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        let bytes = body.len() as u64;
        let _admitted = self.limits.admit(bytes).await;
        self.limits.paced(bytes, self.inner.put_create(key, body)).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let _admitted = self.limits.admit(0).await;
        let inner = self.inner.start_multipart(key, bytes).await?;
        Ok(Box::new(LimitedUpload { inner, limits: Arc::clone(&self.limits), bytes }))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        let _admitted = self.limits.admit(0).await;
        self.inner.get(key, bytes_max).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let _admitted = self.limits.admit(0).await;
        self.inner.get_range(key, offset, bytes).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        let _admitted = self.limits.admit(0).await;
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        let _admitted = self.limits.admit(0).await;
        self.inner.list(prefix, page).await
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        let _admitted = self.limits.admit(0).await;
        self.inner.renew_lock(key).await
    }
}

#[derive(Debug)]
struct LimitedUpload {
    inner: Box<dyn MultipartUpload>,
    limits: Arc<TransferLimits>,
    /// Of the whole object.
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for LimitedUpload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        let bytes = body.len() as u64;
        let _admitted = self.limits.admit(bytes).await;
        self.limits.paced(bytes, self.inner.put_part(index, body)).await
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        let Self { inner, limits, bytes } = *self;
        let _admitted = limits.admit(0).await;
        // Where there are no uploads in parts, the body goes now.
        limits.paced(bytes, inner.complete()).await
    }

    async fn abort(self: Box<Self>) {
        // Not limited: it frees what others wait for.
        self.inner.abort().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn memory_is_bounded_and_given_back() {
        let limits = TransferLimits::new(1, 10 * MEMORY_UNIT_BYTES, None);
        let all = limits.hold_memory(u64::MAX).await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), limits.hold_memory(1)).await;
        assert!(waiting.is_err());
        drop(all);
        let _one = limits.hold_memory(1).await;
        let _more = limits.hold_memory(9 * MEMORY_UNIT_BYTES).await;
    }

    #[tokio::test]
    async fn one_largest_node_of_each_level_is_in_use_at_once() {
        use futures::FutureExt;

        let limits = TransferLimits::default();
        let table = limits.hold_node(NodeLevel::Table, NODE_BYTES_MAX).await;
        assert!(limits.hold_node(NodeLevel::Table, 1).now_or_never().is_none());
        let partition = limits.hold_node(NodeLevel::Partition, NODE_BYTES_MAX).await;
        assert!(limits.hold_node(NodeLevel::Partition, 1).now_or_never().is_none());
        drop((table, partition));
        let small = limits.hold_node(NodeLevel::Table, NODE_BYTES_MAX / 2).await;
        assert!(limits.hold_node(NodeLevel::Table, NODE_BYTES_MAX / 2).now_or_never().is_some());
        drop(small);
    }

    /// Whatever others have taken for good, a repository goes on; and what it has besides is its alone.
    #[tokio::test]
    async fn a_repository_has_a_little_of_its_own() {
        use futures::FutureExt;

        let all = TransferLimits::new(3, 4 * PART_BYTES, None);
        let (dead, well) = (all.of_a_repository(), all.of_a_repository());
        let mut requests = Vec::new();
        while let Some(permit) = dead.admit(0).now_or_never() {
            requests.push(permit);
        }
        assert_eq!(requests.len(), 3 + OWN_REQUESTS_MAX);
        for _ in 0..10 {
            assert!(well.admit(0).now_or_never().is_some(), "the other goes on");
        }
        let mut buffers = Vec::new();
        while let Some(permit) = dead.hold_memory(PART_BYTES).now_or_never() {
            buffers.push(permit);
        }
        assert_eq!(buffers.len() as u64, 4 + OWN_MEMORY_BYTES_MAX / PART_BYTES);
        for _ in 0..10 {
            assert!(well.hold_memory(SINGLE_PUT_BYTES_MAX).now_or_never().is_some(), "the other goes on");
        }
        assert!(well.hold_memory(SINGLE_PUT_BYTES_MAX + 1).now_or_never().is_none(), "it waits for the shared one");
        let json_bytes = OWN_NODE_BYTES_MAX / MEMORY_PER_NODE_BYTE;
        for level in [NodeLevel::Table, NodeLevel::Partition] {
            let mut nodes = Vec::new();
            while let Some(permit) = dead.hold_node(level, json_bytes).now_or_never() {
                nodes.push(permit);
            }
            assert_eq!(nodes.len() as u64, NODE_MEMORY_BYTES_MAX / OWN_NODE_BYTES_MAX + 1);
            for _ in 0..10 {
                assert!(well.hold_node(level, json_bytes).now_or_never().is_some(), "the other goes on");
            }
            assert!(well.hold_node(level, json_bytes + 1_024).now_or_never().is_none(), "it waits for the shared one");
        }
    }

    /// Large bodies crawl one after the other, and hold up neither small ones nor another repository.
    #[tokio::test]
    async fn of_large_bodies_few_go_at_a_time() {
        use futures::FutureExt;

        let all = TransferLimits::new(16, 4 * PART_BYTES, Some(1_000));
        let (one, other) = (all.of_a_repository(), all.of_a_repository());
        let mut large = Vec::new();
        while let Some(admitted) = one.admit(PART_BYTES).now_or_never() {
            large.push(admitted);
        }
        assert_eq!(large.len(), 1 + OWN_PLACES_MAX);
        assert!(one.admit(LARGE_BYTES).now_or_never().is_some(), "a small one goes");
        assert!(other.admit(PART_BYTES).now_or_never().is_some(), "the other goes on");
        let unlimited = TransferLimits::new(16, 4 * PART_BYTES, None);
        let large: Vec<_> = (0..16).map_while(|_| unlimited.admit(PART_BYTES).now_or_never()).collect();
        assert_eq!(large.len(), 16);
    }
}
