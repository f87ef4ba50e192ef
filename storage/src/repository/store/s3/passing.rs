//! A request's body that keeps the pace that the bandwidth allows, and tells how far it has come.
//!
//! The SDK signs, and computes its checksum of, a body that lies in memory, and must go on doing so: the form of the
//! request depends on it. So the body is put into its wrapping last, when nothing but sending is left to be done, and anew
//! for every attempt. What an attempt waits for its pace is not taken from its time.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{AsyncSleep, Builder, ConfigBag, Intercept, RuntimeComponents, Sleep};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::{Pace, Passage, Turn};

/// Bytes that are handed to the connection at a time: it takes the next ones when it has sent most of what it has.
const PIECE_BYTES: usize = 64 * 1024;

/// Wraps the bodies of one request.
#[derive(Debug)]
pub(super) struct PassBody {
    passage: Option<Arc<Passage>>,
    pace: Option<Arc<Pace>>,
}

/// The sleep that an attempt's time is measured by.
#[derive(Debug)]
struct StoreTime(Arc<Pace>);

impl PassBody {
    /// As the call under way in this task asks for.
    pub(super) fn of_this_call() -> Self {
        Self { passage: Passage::current(), pace: Pace::current() }
    }

    /// Has timeouts measure the time of the store alone.
    pub(super) fn measured(&self, timeouts: Builder) -> Builder {
        match &self.pace {
            Some(pace) => timeouts.sleep_impl(StoreTime(Arc::clone(pace))),
            None => timeouts,
        }
    }
}

impl AsyncSleep for StoreTime {
    fn sleep(&self, duration: Duration) -> Sleep {
        let pace = Arc::clone(&self.0);
        Sleep::new(async move { pace.store_time(duration).await })
    }
}

impl Intercept for PassBody {
    fn name(&self) -> &'static str {
        "PassBody"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.passage.is_none() && self.pace.is_none() {
            return Ok(());
        }
        if let Some(passage) = &self.passage {
            passage.begin();
        }
        let body = context.request_mut().body_mut();
        let inner = mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Passing::new(inner, self.passage.clone(), self.pace.clone()));
        Ok(())
    }
}

/// A body in small pieces, each told as it is taken.
#[derive(Debug)]
struct Passing {
    inner: SdkBody,
    /// What has been taken from the body and not been handed on.
    piece: Bytes,
    piece_bytes_max: usize,
    passage: Option<Arc<Passage>>,
    pace: Option<Arc<Pace>>,
    /// That of the next piece, when it has been asked for.
    turn: Option<Turn>,
}

impl Passing {
    fn new(inner: SdkBody, passage: Option<Arc<Passage>>, pace: Option<Arc<Pace>>) -> Self {
        let piece_bytes_max = pace.as_ref().map_or(PIECE_BYTES, |pace| pace.piece_bytes(PIECE_BYTES));
        Self { inner, piece: Bytes::new(), piece_bytes_max, passage, pace, turn: None }
    }
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
        let bytes = self.piece.len().min(self.piece_bytes_max);
        if let Some(pace) = &self.pace {
            let turn = pace.clone();
            let turn = self.turn.get_or_insert_with(|| turn.turn(bytes));
            ready!(Pin::new(turn).poll(context));
            self.turn = None;
        }
        let piece = self.piece.split_to(bytes);
        if let Some(passage) = &self.passage {
            passage.pass(bytes as u64);
        }
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
        let mut body = Passing::new(inner, Some(passage), None);
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
