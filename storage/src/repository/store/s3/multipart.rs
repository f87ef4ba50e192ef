//! A large object in parts. It exists once completed; until then its parts are invisible and cost storage, so every
//! way out that is not completion aborts it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use parking_lot::Mutex;

use super::super::{
    MultipartUpload, ObjectKey, Operation, Put, StoreError, StoreErrorKind, StoreResult, part_bytes, part_range,
};
use super::failure::{self, Failed};
use super::passing::PassBody;
use super::{Inner, NOTHING, Patience, S3Store, client};

/// Time an abort may take: nobody waits for it, but it must not outlive the process's shutdown for long.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// An upload that was begun.
#[derive(Debug)]
pub(super) struct S3Upload {
    store: S3Store,
    key: ObjectKey,
    bytes: u64,
    upload_id: String,
    parts: Mutex<BTreeMap<i32, CompletedPart>>,
    /// Whether parts may still lie at the store.
    open: bool,
}

impl S3Upload {
    pub(super) async fn start(store: S3Store, key: ObjectKey, bytes: u64) -> StoreResult<Self> {
        let upload_id = store.persist(async |inner| S3Upload::start_once(&inner, &key).await).await?;
        Ok(Self { store, key, bytes, upload_id, parts: Mutex::default(), open: true })
    }

    async fn start_once(inner: &Inner, key: &ObjectKey) -> Result<String, Failed> {
        let response = inner
            .creating_upload(key.as_str())
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|error| failure::failed(inner, Operation::StartMultipart, key.as_str(), &error))?;
        response.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            let message = "the store did not name the upload";
            Failed::worth_another_try(inner.corrupt(Operation::StartMultipart, key.as_str(), message))
        })
    }

    async fn put_once(&self, inner: &Inner, number: i32, body: Bytes) -> Result<CompletedPart, Failed> {
        let passing = PassBody::of_this_call();
        let timeouts = passing.measured(client::timeouts(&inner.limits, inner.patience, body.len() as u64));
        let request = inner
            .client
            .upload_part()
            .bucket(&inner.bucket)
            .key(inner.full_key(self.key.as_str()))
            .upload_id(&self.upload_id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body))
            .customize()
            .interceptor(passing)
            .config_override(timeouts);
        let request = if inner.signs_bodies { request } else { request.disable_payload_signing() };
        let response = request
            .send()
            .await
            .map_err(|error| failure::failed(inner, Operation::PutPart, self.key.as_str(), &error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(response.e_tag)
            .set_checksum_crc32(response.checksum_crc32)
            .build())
    }

    async fn complete_once(&self, inner: &Inner, parts: &CompletedMultipartUpload) -> Result<Put, Failed> {
        // The store may have to put the parts together before it answers; where somebody waits there is one small part.
        let put_together = match inner.patience {
            Patience::Job => super::super::PART_BYTES,
            Patience::Interactive => 0,
        };
        let timeouts = client::timeouts(&inner.limits, inner.patience, put_together);
        let completed = inner
            .client
            .complete_multipart_upload()
            .bucket(&inner.bucket)
            .key(inner.full_key(self.key.as_str()))
            .upload_id(&self.upload_id)
            .if_none_match(NOTHING)
            .multipart_upload(parts.clone())
            .customize()
            .config_override(timeouts)
            .send()
            .await;
        match completed {
            Ok(_) => Ok(Put::Created),
            Err(error) => match failure::failed(inner, Operation::CompleteMultipart, self.key.as_str(), &error) {
                failed if failed.error.kind() == StoreErrorKind::AlreadyExists => Ok(Put::Exists),
                failed => Err(failed),
            },
        }
    }

    /// The store no longer knows the upload. When it is because a completion succeeded whose answer was lost, the
    /// object is there.
    async fn completed_before(&self, unknown: StoreError) -> StoreResult<Put> {
        let inner = self.store.inner();
        let request = inner.client.head_object().bucket(&inner.bucket);
        match request.key(inner.full_key(self.key.as_str())).send().await {
            Ok(found) if found.content_length().and_then(|bytes| u64::try_from(bytes).ok()) == Some(self.bytes) => {
                Ok(Put::Exists)
            }
            _ => Err(unknown),
        }
    }

    fn completed_parts(&self) -> StoreResult<CompletedMultipartUpload> {
        let parts: Vec<CompletedPart> = self.parts.lock().values().cloned().collect();
        let expected = self.bytes.div_ceil(part_bytes(self.bytes)).max(1);
        if parts.len() as u64 != expected {
            let message = format!("{} of {expected} parts were put", parts.len());
            let (place, key) = (self.store.inner().place.clone(), self.key.as_str());
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::CompleteMultipart, &place, key, message));
        }
        Ok(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
    }
}

#[async_trait]
impl MultipartUpload for S3Upload {
    async fn put_part(&self, index: u64, body: Bytes) -> StoreResult<()> {
        let range = part_range(self.bytes, index);
        let number = i32::try_from(index + 1).ok();
        let (Some(number), true) = (number, range.is_some_and(|(_, bytes)| bytes == body.len() as u64)) else {
            let message = format!("part {index} has the wrong size");
            let (place, key) = (self.store.inner().place.clone(), self.key.as_str());
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::PutPart, &place, key, message));
        };
        let put = self.store.persist(async |inner| self.put_once(&inner, number, body.clone()).await);
        let part = put.await.map_err(begin_anew)?;
        self.parts.lock().insert(number, part);
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> StoreResult<Put> {
        let parts = self.completed_parts()?;
        let completed = match self.store.persist(async |inner| self.complete_once(&inner, &parts).await).await {
            Err(error) if error.kind() == StoreErrorKind::NotFound => {
                self.open = error.code() != Some("NoSuchUpload");
                match self.store.inner().patience {
                    Patience::Job => self.completed_before(error).await,
                    // A proof must know whether it has replaced what was there, which nothing tells any more.
                    Patience::Interactive => Err(error),
                }
                .map_err(begin_anew)
            }
            completed => completed,
        }?;
        if completed == Put::Created {
            self.open = false;
        }
        Ok(completed) // When it exists already, the drop frees the parts.
    }

    async fn abort(mut self: Box<Self>) {
        self.open = false;
        let (inner, key, id) = (self.store.inner(), self.key.clone(), self.upload_id.clone());
        // In a task of its own, so that whoever stops waiting does not stop it.
        let _ = tokio::spawn(abort(inner, key, id)).await;
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // Outside a runtime nothing can be sent; the bucket's lifecycle rule for incomplete uploads is the last resort.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(abort(self.store.inner(), self.key.clone(), std::mem::take(&mut self.upload_id)));
        }
    }
}

/// An upload that the store has forgotten, or has never known by this name, is no reason to give up: another can begin.
fn begin_anew(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::NotFound => error.with_kind(StoreErrorKind::Unavailable).with_advice(
            "uploads that have begun must not be removed while they run: look at the bucket's rules for incomplete \
             uploads",
        ),
        _ => error,
    }
}

/// Frees the parts, as well as it can.
async fn abort(inner: Arc<Inner>, key: ObjectKey, upload_id: String) {
    let request = inner
        .client
        .abort_multipart_upload()
        .bucket(&inner.bucket)
        .key(inner.full_key(key.as_str()))
        .upload_id(upload_id)
        .send();
    match tokio::time::timeout(ABORT_TIMEOUT, request).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            let error = failure::failed(&inner, Operation::AbortMultipart, key.as_str(), &error).error;
            if error.kind() != StoreErrorKind::NotFound {
                tracing::warn!(%error, "parts of an upload that was given up stay at the store");
            }
        }
        Err(_) => tracing::warn!(%key, "aborting an upload took too long, its parts stay at the store"),
    }
}
