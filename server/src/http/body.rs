//! Request bodies, piece by piece: bounded in size, in time, and in how much is held.

use std::io::Write;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::StreamExt;

use crate::load::LoadError;

use super::options::Compression;

/// Compressed bytes that are unpacked at a time. gzip packs at most about a thousand to one, so what comes out of one
/// step stays below 16 MiB whatever is sent.
const GZIP_STEP_BYTES: usize = 16 << 10;

/// What is read of a body that nobody wants any more, so that the client reads the answer instead of failing to send.
const DISCARD_BYTES_MAX: u64 = 64 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// A body that is read under limits.
pub(super) struct LimitedBody {
    stream: BodyDataStream,
    bytes: u64,
    bytes_max: u64,
    /// What Content-Length promised.
    promised: Option<u64>,
    idle_timeout: Duration,
}

impl LimitedBody {
    pub(super) fn new(body: Body, promised: Option<u64>, bytes_max: u64, idle_timeout: Duration) -> LimitedBody {
        LimitedBody { stream: body.into_data_stream(), bytes: 0, bytes_max, promised, idle_timeout }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece; `None` at the end of a body that is complete. Asking for the first piece is what tells a client
    /// that sent `Expect: 100-continue` to go on.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LoadError> {
        let Ok(piece) = tokio::time::timeout(self.idle_timeout, self.stream.next()).await else {
            let seconds = self.idle_timeout.as_secs();
            return Err(LoadError::Interrupted(format!("the client sent nothing for {seconds} seconds")));
        };
        match piece {
            Some(Ok(piece)) => {
                self.bytes += piece.len() as u64;
                if self.bytes > self.bytes_max {
                    return Err(LoadError::Input(format!(
                        "the body is larger than {} bytes: load it in parts",
                        self.bytes_max
                    )));
                }
                Ok(Some(piece))
            }
            Some(Err(error)) => Err(LoadError::Interrupted(format!("the connection broke: {error}"))),
            None if self.promised.is_some_and(|promised| promised != self.bytes) => {
                Err(LoadError::Interrupted("the connection broke: the body is cut short".to_owned()))
            }
            None => Ok(None),
        }
    }

    /// Reads and forgets what is left, within reason.
    pub(super) async fn discard(mut self) {
        let limit = self.bytes + DISCARD_BYTES_MAX;
        let discard = async {
            while let Some(Ok(piece)) = self.stream.next().await {
                self.bytes += piece.len() as u64;
                if self.bytes > limit {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME_MAX, discard).await;
    }
}

/// Unpacks a body.
pub(super) enum Unpacker {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    pub(super) fn new(compression: Compression) -> Unpacker {
        match compression {
            Compression::None => Unpacker::Plain,
            Compression::Gzip => Unpacker::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
        }
    }

    /// Unpacks a piece and hands on what comes out, step by step.
    pub(super) fn unpack(
        &mut self,
        piece: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        match self {
            Unpacker::Plain => take(piece),
            Unpacker::Gzip(decoder) => {
                for step in piece.chunks(GZIP_STEP_BYTES) {
                    decoder.write_all(step).map_err(broken_gzip)?;
                    take(decoder.get_ref())?;
                    decoder.get_mut().clear();
                }
                Ok(())
            }
        }
    }

    /// The body is over: hands on the rest. Errors when the compressed data is cut short.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        match self {
            Unpacker::Plain => Ok(()),
            Unpacker::Gzip(decoder) => {
                decoder.try_finish().map_err(broken_gzip)?;
                take(decoder.get_ref())
            }
        }
    }
}

fn broken_gzip(error: std::io::Error) -> LoadError {
    LoadError::Input(format!("the body is not valid gzip: {error}"))
}

#[cfg(test)]
mod tests {
    use flate2::write::GzEncoder;

    use super::*;

    fn unpack(bytes: &[u8], chunk: usize) -> Result<Vec<u8>, LoadError> {
        let mut unpacker = Unpacker::new(Compression::Gzip);
        let mut out = Vec::new();
        let mut take = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        for piece in bytes.chunks(chunk) {
            unpacker.unpack(piece, &mut take)?;
        }
        unpacker.finish(&mut take)?;
        Ok(out)
    }

    #[test]
    fn gzip_in_pieces() {
        let text = "a row of text\n".repeat(10_000);
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("writes");
        let packed = encoder.finish().expect("packs");
        for chunk in [1, 100, packed.len()] {
            assert_eq!(unpack(&packed, chunk).expect("unpacks"), text.as_bytes());
        }
        let twice = [packed.as_slice(), packed.as_slice()].concat();
        assert_eq!(unpack(&twice, 1_000).expect("unpacks").len(), 2 * text.len());
        assert!(unpack(&packed[..packed.len() - 1], 100).is_err(), "cut short");
        assert!(unpack(b"not gzip at all", 100).is_err());
    }
}
