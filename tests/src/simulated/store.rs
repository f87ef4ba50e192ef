//! An S3 store in this process that lives in simulated time: objects bear its stamps, requests are counted.
//!
//! It keeps everything in memory, creates atomically, and lists a prefix without looking at the rest, so that a month of
//! requests takes seconds. Signatures are checked by s3s. It has no multipart uploads; none are needed for what fits one request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::SimulatedTime;
use crate::background::Background;
use crate::s3::{Bucket, S3Endpoint};
use crate::wait::wait_until;

const KEYS: (&str, &str) = ("EBLATESTTIMED0000000", "ebla-test-timed-secret-0000000000000000");

/// The only bucket.
const BUCKET: &str = "soak";

/// How far the clock of who signs may be off.
const SKEW_MAX: Duration = Duration::from_secs(900);

/// Nobody waits for anything when no request has been under way for so long.
const QUIET: Duration = Duration::from_millis(40);

/// For a request that is being answered, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running store.
#[derive(Debug)]
pub struct SimulatedStore {
    url: String,
    shared: Arc<Shared>,
    _background: Background,
}

/// A request that was answered: the operation's name, and the key or prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As S3 calls it.
    pub operation: &'static str,
    /// The object's key; the prefix for a listing.
    pub key: String,
}

#[derive(Debug)]
struct Shared {
    time: SimulatedTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<String, Stored>,
    log: Vec<Request>,
    /// Requests that have begun and not ended.
    under_way: usize,
    /// When one began or ended last.
    last: Instant,
    /// Requests that were refused for the clock of who signed them.
    skewed: u64,
    /// Objects whose keys hold this text are not removed, whatever is asked: a leak for tests.
    kept: Option<String>,
}

#[derive(Debug, Clone)]
struct Stored {
    body: Bytes,
    modified: Timestamp,
}

impl SimulatedStore {
    /// An empty store in this time.
    pub fn start(time: &SimulatedTime) -> SimulatedStore {
        let state = State {
            objects: BTreeMap::new(),
            log: Vec::new(),
            under_way: 0,
            last: Instant::now(),
            skewed: 0,
            kept: None,
        };
        let shared = Arc::new(Shared { time: time.clone(), state: Mutex::new(state) });
        let mut service = S3ServiceBuilder::new(Served(Arc::clone(&shared)));
        service.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
        service.set_access(Served(Arc::clone(&shared)));
        // Its own clock is the machine's; ours is asked in `check`.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let service = service.build();
        let background = Background::new("simulated-store");
        let listener = background.listen();
        let url = format!("http://{}", listener.local_addr().unwrap());
        background.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = service.clone();
                tokio::spawn(async move {
                    let mut builder = Builder::new(TokioExecutor::new());
                    // It would be the machine's.
                    builder.http1().auto_date_header(false);
                    // A client that closes in the middle is the client's affair.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        SimulatedStore { url, shared, _background: background }
    }

    /// Its bucket.
    pub fn bucket(&self) -> Bucket {
        let endpoint = S3Endpoint {
            url: self.url.clone(),
            region: "us-east-1".to_string(),
            access_key: KEYS.0.to_string(),
            secret_key: KEYS.1.to_string(),
        };
        Bucket { endpoint, name: BUCKET.to_string() }
    }

    /// Waits until no request has been under way for a moment.
    pub async fn quiet(&self) {
        wait_until(PATIENCE, async || {
            let state = self.shared.state.lock().unwrap();
            match state.under_way {
                0 if state.last.elapsed() >= QUIET => Ok(()),
                under_way => Err(format!("{under_way} requests are under way")),
            }
        })
        .await;
    }

    /// Keys and sizes of all objects.
    pub fn objects(&self) -> Vec<(String, u64)> {
        let state = self.shared.state.lock().unwrap();
        state.objects.iter().map(|(key, stored)| (key.clone(), stored.body.len() as u64)).collect()
    }

    /// The requests answered since the last call.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.state.lock().unwrap().log)
    }

    /// How many requests were refused for the clock of who signed them.
    pub fn skewed(&self) -> u64 {
        self.shared.state.lock().unwrap().skewed
    }

    /// From now on says that objects whose keys hold this text are removed, and keeps them.
    pub fn keep(&self, text: &str) {
        self.shared.state.lock().unwrap().kept = Some(text.to_string());
    }
}

/// The store as s3s asks it.
struct Served(Arc<Shared>);

/// A request that is under way, until it is dropped.
struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.under_way -= 1;
        state.last = Instant::now();
    }
}

impl Served {
    fn begin(&self, operation: &'static str, key: &str) -> UnderWay<'_> {
        let mut state = self.0.state.lock().unwrap();
        state.under_way += 1;
        state.last = Instant::now();
        state.log.push(Request { operation, key: key.to_string() });
        UnderWay(&self.0)
    }

    fn find(&self, key: &str) -> S3Result<Stored> {
        let state = self.0.state.lock().unwrap();
        state.objects.get(key).cloned().ok_or_else(|| self.dated(s3_error!(NoSuchKey)))
    }

    /// An answer with the store's time in its head: who finds his own clock far from it signs by it from then on.
    fn answer<T>(&self, output: T) -> S3Response<T> {
        let mut text = Vec::new();
        Timestamp::from(self.0.time.now()).format(TimestampFormat::HttpDate, &mut text).unwrap();
        let mut response = S3Response::new(output);
        response.headers.insert("date", String::from_utf8(text).unwrap().parse().unwrap());
        response
    }

    fn dated(&self, mut error: S3Error) -> S3Error {
        error.set_headers(self.answer(()).headers);
        error
    }
}

#[async_trait]
impl S3Access for Served {
    /// Who signs by a clock that is far off is refused.
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied));
        }
        let date = context.headers().get("x-amz-date").and_then(|date| date.to_str().ok());
        let signed = date.and_then(signed_at).ok_or_else(|| s3_error!(AccessDenied))?;
        let now = seconds(self.0.time.now());
        if signed.abs_diff(now) > SKEW_MAX.as_secs() {
            self.0.state.lock().unwrap().skewed += 1;
            return Err(self.dated(s3_error!(
                RequestTimeTooSkewed,
                "The difference between the request time and the current time is too large."
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl S3 for Served {
    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        Ok(self.answer(HeadBucketOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let _under_way = self.begin("GetObject", &input.key);
        let stored = self.find(&input.key)?;
        let whole = stored.body.len() as u64;
        let (body, content_range) = match input.range {
            None => (stored.body, None),
            Some(range) => {
                let range = range.check(whole)?;
                let said = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
                let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
                (stored.body.slice(start..end), Some(said))
            }
        };
        Ok(self.answer(GetObjectOutput {
            content_length: Some(length(&body)),
            content_range,
            e_tag: Some(e_tag(&body)),
            last_modified: Some(stored.modified),
            body: Some(StreamingBlob::from(s3s::Body::from(body))),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _under_way = self.begin("HeadObject", &request.input.key);
        let stored = self.find(&request.input.key)?;
        Ok(self.answer(HeadObjectOutput {
            content_length: Some(length(&stored.body)),
            e_tag: Some(e_tag(&stored.body)),
            last_modified: Some(stored.modified),
            ..Default::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let _under_way = self.begin("PutObject", &input.key);
        let mut body = BytesMut::new();
        let mut stream = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(|error| s3_error!(IncompleteBody, "{error}"))?);
        }
        let body = body.freeze();
        let e_tag = e_tag(&body);
        let mut state = self.0.state.lock().unwrap();
        if matches!(input.if_none_match, Some(ETagCondition::Any)) && state.objects.contains_key(&input.key) {
            return Err(self.dated(s3_error!(PreconditionFailed)));
        }
        state.objects.insert(input.key, Stored { body, modified: Timestamp::from(self.0.time.now()) });
        Ok(self.answer(PutObjectOutput { e_tag: Some(e_tag), ..Default::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let key = request.input.key;
        let _under_way = self.begin("DeleteObject", &key);
        let mut state = self.0.state.lock().unwrap();
        if !state.kept.as_ref().is_some_and(|kept| key.contains(kept)) {
            state.objects.remove(&key);
        }
        Ok(self.answer(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "this store knows no delimiters"));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        let _under_way = self.begin("ListObjectsV2", &prefix);
        let keys_max = usize::try_from(input.max_keys.unwrap_or(1_000)).unwrap_or(0).min(1_000);
        let from = input.continuation_token.clone().or_else(|| input.start_after.clone()).unwrap_or_default();
        let state = self.0.state.lock().unwrap();
        let mut found = state
            .objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| *key > &from)
            .map(|(key, stored)| Object {
                key: Some(key.clone()),
                size: Some(length(&stored.body)),
                last_modified: Some(stored.modified.clone()),
                e_tag: Some(e_tag(&stored.body)),
                ..Default::default()
            });
        let contents: Vec<Object> = found.by_ref().take(keys_max).collect();
        let is_truncated = found.next().is_some();
        let last = contents.last().and_then(|object| object.key.clone());
        Ok(self.answer(ListObjectsV2Output {
            key_count: Some(i32::try_from(contents.len()).unwrap()),
            contents: Some(contents),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            continuation_token: input.continuation_token,
            max_keys: input.max_keys,
            name: Some(input.bucket),
            prefix: Some(prefix),
            ..Default::default()
        }))
    }
}

fn length(body: &Bytes) -> i64 {
    i64::try_from(body.len()).unwrap()
}

fn e_tag(body: &Bytes) -> ETag {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(body);
    ETag::Strong(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Seconds since 1970 of `20240131T235959Z`.
fn signed_at(date: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| date.get(range);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    let timestamp = Timestamp::parse(TimestampFormat::DateTime, &iso).ok()?;
    let mut text = Vec::new();
    timestamp.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split('.').next()?.parse().ok()
}
