//! A request's body that tells how far it has come.
//!
//! The SDK signs, and computes its checksum of, a body that lies in memory, and must go on doing so: the form of the
//! request depends on it. So the body is put into its wrapping last, when nothing but sending is left to be done, and anew
//! for every attempt.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::Passage;

/// Bytes that are handed to the connection at a time: it takes the next ones when it has sent most of what it has.
const PIECE_BYTES: usize = 64 * 1024;

/// Wraps the bodies of one request.
#[derive(Debug)]
pub(super) struct TellPassage(pub(super) Option<Arc<Passage>>);

impl Intercept for TellPassage {
    fn name(&self) -> &'static str {
        "TellPassage"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(passage) = &self.0 {
            passage.begin();
            let body = context.request_mut().body_mut();
            let inner = mem::replace(body, SdkBody::taken());
            *body = SdkBody::from_body_1_x(Passing { inner, piece: Bytes::new(), passage: Arc::clone(passage) });
        }
        Ok(())
    }
}

/// A body in small pieces, each told as it is taken.
#[derive(Debug)]
struct Passing {
    inner: SdkBody,
    /// What has been taken from the body and not been handed on.
    piece: Bytes,
    passage: Arc<Passage>,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.piece.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)).transpose()? else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => self.piece = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let bytes = self.piece.len().min(PIECE_BYTES);
        let piece = self.piece.split_to(bytes);
        self.passage.pass(bytes as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, piece) = (self.inner.size_hint(), self.piece.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + piece);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + piece);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_passes_unchanged_in_pieces_that_are_told() {
        let whole: Vec<u8> = (0..200_000_u32).map(|position| position as u8).collect();
        let passage = Arc::new(Passage::default());
        let inner = SdkBody::from(whole.clone());
        let mut body = Passing { inner, piece: Bytes::new(), passage };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut sent = Vec::new();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PIECE_BYTES);
            sent.extend_from_slice(&data);
            assert_eq!(body.size_hint().exact(), Some(200_000 - sent.len() as u64));
        }
        assert!(body.is_end_stream());
        assert_eq!(sent, whole);
    }
}
