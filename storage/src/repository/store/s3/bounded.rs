//! How long an answer may be.
//!
//! Whoever reads an object knows how large it may be, and looks while it reads. Every other answer, and every refusal, is
//! collected in memory by the SDK before anybody sees it, and one without a length need not end. So their bodies are bounded
//! here, beneath the SDK's reader: one that is longer than what can be in it breaks off.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::LIST_PAGE_KEYS;

/// Longest key of S3.
const KEY_BYTES_MAX: u64 = 1024;

/// Bytes that one of them may take in XML, as `&quot;` does.
const ESCAPED_BYTES_MAX: u64 = 6;

/// What a listing says of an object besides its key: time, digest, size, class, owner, each within its tags.
const ENTRY_BYTES_MAX: u64 = 1024;

/// What a listing holds besides its objects, each at most as long as one: its name, its prefix, where it began, what the next
/// page begins with, and its header.
const LISTING_HEAD_ENTRIES: u64 = 8;

/// Longest page of a listing: full of keys of full length, each byte of them escaped.
const LISTING_BYTES_MAX: u64 =
    (LIST_PAGE_KEYS as u64 + LISTING_HEAD_ENTRIES) * (KEY_BYTES_MAX * ESCAPED_BYTES_MAX + ENTRY_BYTES_MAX);

/// Longest other answer. Those of S3 and of STS have a few kilobytes; the error pages of what stands between may have more.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Names of the SDK's operations whose answers have bounds of their own.
const LIST: &str = "ListObjectsV2";
const GET: &str = "GetObject";

/// Bounds the answers to all requests of a client.
#[derive(Debug)]
pub(super) struct BoundAnswers;

/// An answer goes on beyond its bound.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more than {bytes_max} bytes, which no answer of S3 to such a request has")]
pub(super) struct TooLong {
    bytes_max: u64,
}

impl Intercept for BoundAnswers {
    fn name(&self) -> &'static str {
        "BoundAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        let answer = context.response_mut();
        if operation == GET && answer.status().is_success() {
            return Ok(());
        }
        let bytes_max = if operation == LIST { LISTING_BYTES_MAX } else { ANSWER_BYTES_MAX };
        let body = answer.body_mut();
        let inner = mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Bounded { inner, bytes_max, bytes: 0 });
        Ok(())
    }
}

/// A body that breaks off when it becomes too long.
#[derive(Debug)]
struct Bounded {
    inner: SdkBody,
    bytes_max: u64,
    /// What has come of it.
    bytes: u64,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)).transpose()? else {
            return Poll::Ready(None);
        };
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.bytes > self.bytes_max {
            return Poll::Ready(Some(Err(TooLong { bytes_max: self.bytes_max }.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
