//! A writer that keeps the last byte of an answer back until the proxy has noted the exchange.
//!
//! Whoever has an answer whole finds it in the proxy's log then, whatever the proxy's task was doing at the time. It never
//! keeps more than one byte, and what has gone out once is not changed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Passes on all but the last byte of what is written, until it is released.
pub(super) struct HeldBack<W> {
    inner: W,
    held: Option<u8>,
}

impl<W: AsyncWrite + Unpin> HeldBack<W> {
    pub(super) fn new(inner: W) -> HeldBack<W> {
        HeldBack { inner, held: None }
    }

    /// Where it writes.
    pub(super) fn inner(&self) -> &W {
        &self.inner
    }

    /// Passes the byte on that was kept back.
    pub(super) async fn release(&mut self) -> io::Result<()> {
        if let Some(byte) = self.held.take() {
            self.inner.write_all(&[byte]).await?;
        }
        self.inner.flush().await
    }

    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(byte) = self.held
            && ready!(Pin::new(&mut self.inner).poll_write(context, &[byte]))? == 1
        {
            self.held = None;
        }
        match self.held {
            Some(_) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for HeldBack<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some((last, before)) = bytes.split_last() else {
            return Poll::Ready(Ok(0));
        };
        ready!(self.poll_held(context))?;
        if before.is_empty() {
            self.held = Some(*last);
            return Poll::Ready(Ok(1));
        }
        Pin::new(&mut self.inner).poll_write(context, before)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_byte_waits_and_no_other_does() {
        let mut writer = HeldBack::new(Vec::new());
        writer.write_all(b"head ").await.unwrap();
        writer.write_all(b"").await.unwrap();
        writer.write_all(b"b").await.unwrap();
        writer.write_all(b"ody").await.unwrap();
        writer.flush().await.unwrap();
        assert_eq!(writer.inner(), b"head bod");
        writer.release().await.unwrap();
        writer.release().await.unwrap();
        assert_eq!(writer.inner(), b"head body");
    }
}
