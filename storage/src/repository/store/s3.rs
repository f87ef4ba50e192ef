//! An S3-compatible bucket as an object store, on the AWS SDK.
//!
//! Objects are created with `If-None-Match: *`; their bodies are in memory, so that the checksum goes in a header
//! and the signature covers the bytes, the one form every store takes. Over https the signature leaves the body out:
//! TLS and the CRC32 protect it, and SHA-256 over every byte would cost more CPU than all the rest.
//!
//! The SDK retries what never reached the store or what the store calls its own fault, with backoff, jitter and a
//! budget that stops retry storms. Retried here is what the SDK does not know of: a body that broke off, a digest the
//! store did not like, two conditional writes that met. Every attempt has a timeout that grows with its body.

mod bounded;
mod client;
mod failure;
mod head;
mod http;
mod identity;
mod lock;
mod multipart;
mod passing;
mod role;
mod settings;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use tokio::time::Instant;

pub use client::RequestLimits;
pub(in crate::repository) use http::read_bundle;

use super::{
    Capabilities, LIST_PAGE_KEYS, ListEntry, ListPage, MultipartUpload, ObjectDelete, ObjectKey, ObjectMeta,
    ObjectStore, Operation, PageToken, Passage, Place, Put, StoreError, StoreErrorKind, StoreResult, StoreStats,
    deadline,
};
use crate::clock::Clock;
use crate::clock::Random;
use crate::repository::RepositoryContext;
use crate::repository::layout;
use crate::repository::location::S3Location;
use crate::repository::properties::{Encryption, ObjectLock, S3Settings, Secret, WriteOptions};
use failure::{Failed, Scrubber};
use identity::Identity;
use lock::Standing;
use passing::PassBody;

/// Value of `If-None-Match` that allows a put only where nothing is.
const NOTHING: &str = "*";

/// Tries of what the SDK does not retry.
const ATTEMPTS_MAX: u32 = 4;

/// Pause before the second of those tries; it doubles, and a random half of it is left out.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What of the time for a statement's request may be over when another of those tries begins.
const AGAIN_SHARE: f64 = 0.5;

/// What stores call a checksum that a body does not have.
const CHECKSUM_REFUSALS: [&str; 3] = ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"];

/// Headers of a request that creates an object.
struct Asked {
    encryption: Option<ServerSideEncryption>,
    kms_key_id: Option<String>,
    storage_class: Option<StorageClass>,
    lock: Option<Standing>,
}

impl Asked {
    // Both take it apart without `..`, so that nothing that is asked for can be left out of one of them.

    fn of_put(self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        let Asked { encryption, kms_key_id, storage_class, lock } = self;
        request
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key_id)
            .set_storage_class(storage_class)
            .set_object_lock_mode(lock.map(|lock| lock.put_mode()))
            .set_object_lock_retain_until_date(lock.map(|lock| lock.until()))
    }

    fn of_upload(self, request: CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder {
        let Asked { encryption, kms_key_id, storage_class, lock } = self;
        request
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key_id)
            .set_storage_class(storage_class)
            .set_object_lock_mode(lock.map(|lock| lock.put_mode()))
            .set_object_lock_retain_until_date(lock.map(|lock| lock.until()))
    }
}

/// How long requests are tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Patience {
    /// Somebody waits for the answer: few tries, short timeouts, so that a mistake is reported within seconds.
    Interactive,
    /// A job waits, which has all day.
    Job,
}

/// A bucket, and the prefix in it, that holds objects.
///
/// What it holds can be led to another client ([`S3Store::follow`]): requests made from then on, also those of uploads
/// that have begun, go out with the new credentials.
#[derive(Debug, Clone)]
pub struct S3Store {
    current: Arc<RwLock<Arc<Inner>>>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    bucket: String,
    place: Place,
    patience: Patience,
    limits: RequestLimits,
    signs_bodies: bool,
    writes: WriteOptions,
    identity: Identity,
    scrubber: Scrubber,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl S3Store {
    /// Makes the client; no request is sent yet, except that the SDK's default chain may ask for a region.
    pub async fn connect(
        location: &S3Location,
        settings: &S3Settings,
        secrets: Vec<Secret>,
        patience: Patience,
        capabilities: Capabilities,
        stats: Arc<StoreStats>,
        context: &RepositoryContext,
    ) -> StoreResult<Self> {
        let prefix = match location.prefix() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let mut place = Place {
            endpoint: settings.endpoint.clone().unwrap_or_else(|| endpoint_of_aws(settings.region.as_deref())),
            bucket: location.bucket().to_owned(),
            prefix,
        };
        let made = client::make(settings, patience, stats, context).await.map_err(|unmade| {
            StoreError::new(unmade.kind, Operation::Connect, &place, "", unmade.message).with_advice(unmade.advice)
        })?;
        if settings.endpoint.is_none() {
            place.endpoint = endpoint_of_aws(Some(&made.region));
        }
        let inner = Inner {
            client: made.client,
            bucket: location.bucket().to_owned(),
            // Over https TLS and the checksum protect the body; where nobody looks at the checksum, the signature must.
            signs_bodies: place.endpoint.starts_with("http://") || !capabilities.upload_checksums,
            place,
            patience,
            limits: context.policy.requests,
            writes: settings.writes.clone(),
            identity: Identity::of(settings),
            scrubber: Scrubber::new(secrets),
            clock: Arc::clone(&context.clock),
            random: Arc::clone(&context.random),
        };
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(inner))) })
    }

    /// From the next request on, asks as `other` does.
    pub fn follow(&self, other: &S3Store) {
        let inner = other.inner();
        *self.current.write() = inner;
    }

    fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.current.read())
    }

    /// Offers a body with this checksum, which it does not have; says whether the store looks at it. What says nothing of the
    /// checksum is the failure that it is.
    pub async fn refuses_checksum(&self, key: &ObjectKey, body: &'static [u8], crc32: &str) -> StoreResult<bool> {
        self.persist(async |inner| {
            let request = inner.creating_put(key.as_str()).checksum_crc32(crc32).body(ByteStream::from_static(body));
            match request.send().await {
                Ok(_) => Ok(false),
                Err(error) => {
                    let failed = failure::failed(&inner, Operation::Put, key.as_str(), &error);
                    is_of_checksum(&failed.error).ok_or(failed)
                }
            }
        })
        .await
    }

    /// Calls until it works, fails for good, or has been tried often enough; each time with the client of that time.
    /// When somebody waits, a call that has taken long is not made again.
    async fn persist<T, F>(&self, mut call: impl FnMut(Arc<Inner>) -> F + Send) -> StoreResult<T>
    where
        F: Future<Output = Result<T, Failed>> + Send,
    {
        let mut pause = RETRY_PAUSE;
        let start = Instant::now();
        for _ in 1..ATTEMPTS_MAX {
            let inner = self.inner();
            let has_time = || {
                inner.patience == Patience::Job || start.elapsed() < inner.limits.statement_timeout.mul_f64(AGAIN_SHARE)
            };
            let result = call(Arc::clone(&inner)).await;
            note(&result);
            match result {
                Err(failed) if failed.again && has_time() => {
                    tracing::debug!(error = %failed.error, "request failed, trying again");
                    let half_ms = u64::try_from(pause.as_millis() / 2).unwrap_or(u64::MAX).max(1);
                    tokio::time::sleep(pause - Duration::from_millis(inner.random.next_u64() % half_ms)).await;
                    pause *= 2;
                }
                result => return result.map_err(|failed| failed.error),
            }
        }
        let result = call(self.inner()).await;
        note(&result);
        result.map_err(|failed| failed.error)
    }
}

/// Whether an answer to a wrong checksum refuses that; `None` when it is about something else, which may pass.
fn is_of_checksum(error: &StoreError) -> Option<bool> {
    match (error.kind(), error.code(), error.http_status()) {
        // Where it was taken before, it is there: that is an answer too, and nothing is written twice.
        (StoreErrorKind::AlreadyExists, ..) => Some(false),
        (_, Some(code), Some(400..=499)) if CHECKSUM_REFUSALS.contains(&code) => Some(true),
        (StoreErrorKind::Invalid, Some("InvalidRequest"), Some(400)) => Some(true),
        // It does not like the request, and nobody knows why: what is made up for without need costs a little and is right.
        (StoreErrorKind::Invalid, Some(_), Some(400)) => Some(false),
        _ => None,
    }
}

/// Where AWS itself is asked, for messages; the region may not be known yet.
fn endpoint_of_aws(region: Option<&str>) -> String {
    match region {
        Some(region) if region.starts_with("cn-") => format!("https://s3.{region}.amazonaws.com.cn"),
        Some(region) => format!("https://s3.{region}.amazonaws.com"),
        None => "https://s3.amazonaws.com".to_owned(),
    }
}

/// An answer is an answer, also to a request of the proof that no layer sees: the statement's deadline moves on.
fn note<T>(result: &Result<T, Failed>) {
    deadline::note(&result.as_ref().map_err(|failed| &failed.error));
}

impl Inner {
    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.place.prefix)
    }

    fn corrupt(&self, operation: Operation, key: &str, message: impl AsRef<str>) -> StoreError {
        StoreError::new(StoreErrorKind::Corrupt, operation, &self.place, key, message)
    }

    /// Reads a body of `expected` bytes, or, when the response does not say how many, of at most `bytes_max`.
    async fn read_body(
        &self,
        operation: Operation,
        key: &str,
        mut body: ByteStream,
        expected: Option<u64>,
        bytes_max: u64,
    ) -> Result<Bytes, Failed> {
        if let Some(bytes) = expected.filter(|bytes| *bytes > bytes_max) {
            let message = format!("it has {bytes} bytes, more than the {bytes_max} it may have");
            return Err(Failed::for_good(self.corrupt(operation, key, message)));
        }
        let unavailable = |kind, message: String| {
            Failed::worth_another_try(StoreError::new(kind, operation, &self.place, key, message))
        };
        let passage = Passage::current();
        if let Some(passage) = &passage {
            passage.begin();
        }
        let read = async {
            let capacity = usize::try_from(expected.unwrap_or(0)).unwrap_or(0);
            let mut whole = BytesMut::with_capacity(capacity);
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| {
                    let message = format!("the answer broke off: {}", failure::innermost(&error));
                    unavailable(StoreErrorKind::Unavailable, message)
                })?;
                if (whole.len() + chunk.len()) as u64 > bytes_max {
                    let message = format!("the answer has more than {bytes_max} bytes");
                    return Err(Failed::for_good(self.corrupt(operation, key, message)));
                }
                whole.extend_from_slice(&chunk);
                if let Some(passage) = &passage {
                    passage.pass(chunk.len() as u64);
                }
            }
            Ok(whole.freeze())
        };
        let timeout =
            client::attempt_timeout(&self.limits, self.patience, bytes_max.min(expected.unwrap_or(bytes_max)));
        let whole = tokio::time::timeout(timeout, read).await.unwrap_or_else(|_| {
            Err(unavailable(StoreErrorKind::Timeout, format!("no whole answer within {} s", timeout.as_secs())))
        })?;
        match expected {
            Some(expected) if expected != whole.len() as u64 => {
                let message = format!("the answer ended after {} of {expected} bytes", whole.len());
                Err(unavailable(StoreErrorKind::Unavailable, message))
            }
            _ => Ok(whole),
        }
    }

    /// What the store is asked to do with the object of this key.
    fn asked(&self, key: &str) -> Asked {
        let encryption = self.writes.encryption.as_ref();
        // Proofs are put as segments are, so that what is refused for these is refused then.
        let is_probe = layout::is_probe(key);
        // Manifests, nodes and the like are read by every statement; only what is large is worth another class.
        let is_segment = layout::parse_object(key).is_some();
        let storage_class =
            self.writes.storage_class.as_deref().filter(|_| is_segment || is_probe).map(StorageClass::from);
        Asked {
            encryption: encryption.map(|encryption| ServerSideEncryption::from(encryption.name())),
            kms_key_id: encryption.and_then(Encryption::key_id).map(str::to_owned),
            storage_class,
            lock: self.writes.lock.and_then(|lock| Standing::of_put(&lock, key, self.clock.now_ms())),
        }
    }

    /// A put of an object with all that is asked for it; only the body is missing. Every put begins here.
    fn creating_put(&self, key: &str) -> PutObjectFluentBuilder {
        let request = self.client.put_object().bucket(&self.bucket).key(self.full_key(key)).if_none_match(NOTHING);
        self.asked(key).of_put(request)
    }

    /// The same for an object in parts: its parts and its completion ask for nothing more.
    fn creating_upload(&self, key: &str) -> CreateMultipartUploadFluentBuilder {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(self.full_key(key));
        self.asked(key).of_upload(request)
    }

    async fn put_once(&self, key: &str, body: Bytes) -> Result<Put, Failed> {
        let passing = PassBody::of_this_call();
        let timeouts = passing.measured(client::timeouts(&self.limits, self.patience, body.len() as u64));
        let request = self
            .creating_put(key)
            .body(ByteStream::from(body))
            .customize()
            .interceptor(passing)
            .config_override(timeouts);
        let request = if self.signs_bodies { request } else { request.disable_payload_signing() };
        match request.send().await {
            Ok(_) => Ok(Put::Created),
            Err(error) => match failure::failed(self, Operation::Put, key, &error) {
                failed if failed.error.kind() == StoreErrorKind::AlreadyExists => Ok(Put::Exists),
                failed => Err(failed),
            },
        }
    }

    async fn get_once(
        &self,
        operation: Operation,
        key: &str,
        range: Option<(u64, u64)>,
        bytes_max: u64,
    ) -> Result<Bytes, Failed> {
        let range_text = range.map(|(offset, bytes)| format!("bytes={offset}-{}", offset + bytes - 1));
        let response = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .set_range(range_text)
            .send()
            .await
            .map_err(|error| failure::failed(self, operation, key, &error))?;
        let said = response.content_length().and_then(|bytes| u64::try_from(bytes).ok());
        match range {
            Some((offset, bytes)) if said.is_some_and(|said| said != bytes) => {
                let message = format!("asked for {bytes} bytes from byte {offset} on, got {}", said.unwrap_or(0));
                // It may have been cut short on its way; what is stored is not called damaged before it came so often.
                Err(Failed::worth_another_try(self.corrupt(operation, key, message)))
            }
            Some((_, bytes)) => self.read_body(operation, key, response.body, Some(bytes), bytes_max).await,
            None => self.read_body(operation, key, response.body, said, bytes_max).await,
        }
    }

    /// One page. An answer that was cut short may still read as XML: it must be there to its end, say whether more
    /// follows, and hold as many keys as it says.
    async fn list_once(&self, prefix: &str, page: Option<&PageToken>) -> Result<ListPage, Failed> {
        let damaged = |message: &str| Failed::worth_another_try(self.corrupt(Operation::List, prefix, message));
        let end = whole::LookForEnd::default();
        let response = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.full_key(prefix))
            .set_continuation_token(page.map(|page| page.0.clone()))
            .max_keys(i32::try_from(LIST_PAGE_KEYS).unwrap_or(i32::MAX))
            .customize()
            .interceptor(end.clone())
            .send()
            .await
            .map_err(|error| failure::failed(self, Operation::List, prefix, &error))?;
        if !end.found() {
            return Err(damaged("the listing was cut short: its end is missing"));
        }
        let wanted = self.full_key(prefix);
        let mut entries = Vec::with_capacity(response.contents().len());
        for object in response.contents() {
            let full = object.key().unwrap_or_default();
            let key = full.starts_with(&wanted).then(|| full.strip_prefix(&self.place.prefix)).flatten();
            let Some(key) = key else {
                let message = format!("the listing has a key that does not begin with '{wanted}'");
                return Err(damaged(&message));
            };
            entries.push(ListEntry {
                key: key.to_owned(),
                bytes: object.size().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                modified_at_ms: object.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or(0),
            });
        }
        let Some(more) = response.is_truncated() else {
            return Err(damaged("the listing was cut short: it does not say whether more keys follow"));
        };
        if response.key_count().is_some_and(|keys| usize::try_from(keys) != Ok(entries.len())) {
            let (keys, listed) = (response.key_count().unwrap_or_default(), entries.len());
            return Err(damaged(&format!("the listing was cut short: it has {listed} of {keys} keys")));
        }
        match response.next_continuation_token {
            Some(next) if more => Ok(ListPage { entries, next: Some(PageToken(next)) }),
            None if more => Err(damaged("more keys follow, but the store does not say how to get them")),
            _ => Ok(ListPage { entries, next: None }),
        }
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn place(&self) -> Place {
        self.inner().place.clone()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        self.persist(async |inner| inner.put_once(key.as_str(), body.clone()).await).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let upload = multipart::S3Upload::start(self.clone(), key.clone(), bytes).await?;
        Ok(Box::new(upload))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        self.persist(async |inner| inner.get_once(Operation::Get, key.as_str(), None, bytes_max).await).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        if bytes == 0 {
            return Ok(Bytes::new()); // A range header cannot say it.
        }
        let range = Some((offset, bytes));
        self.persist(async |inner| inner.get_once(Operation::GetRange, key.as_str(), range, bytes).await).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.persist(async |inner| match inner.head_once(key.as_str()).await {
            Ok(found) => match found.content_length().map(u64::try_from) {
                Some(Ok(bytes)) => Ok(Some(ObjectMeta { bytes })),
                _ => {
                    let message = "the answer does not say how large it is";
                    Err(Failed::for_good(inner.corrupt(Operation::Head, key.as_str(), message)))
                }
            },
            Err(failed) if failed.error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(failed) => Err(failed),
        })
        .await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.persist(async |inner| inner.list_once(prefix, page).await).await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        self.inner().writes.lock
    }

    async fn renew_lock(&self, key: &ObjectKey) -> StoreResult<()> {
        self.lock(key).await
    }
}

#[async_trait]
impl ObjectDelete for S3Store {
    async fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        let deleted = self.persist(async |inner| {
            let request = inner.client.delete_object().bucket(&inner.bucket).key(inner.full_key(key.as_str()));
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) => Err(failure::failed(&inner, Operation::Delete, key.as_str(), &error)),
            }
        });
        match deleted.await {
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(()),
            Err(error) => Err(lock::explain_refusal(&self.inner(), key.as_str(), error).await),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
