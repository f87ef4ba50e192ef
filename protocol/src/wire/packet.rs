//! Packets: MySQL's frames of a three-byte length, a sequence number and a payload, and the small encodings
//! inside them.
//!
//! A payload of 2^24-1 bytes or more travels as several frames, the last one shorter, possibly empty. The
//! reader joins them and stores no more than its limit: what lies beyond is read and dropped, so the
//! connection stays usable. Memory follows the bytes that arrive, never the length a header claims.
//! Neither side judges the sequence numbers a client sends; answers continue from them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::WireError;

/// The longest payload of one frame.
pub(super) const FRAME_PAYLOAD_MAX: usize = 0xff_ffff;
const HEADER_BYTES: usize = 4;

/// One read from the socket asks for this much.
const READ_CHUNK_BYTES: usize = 16 << 10;
/// A large payload grows by at most this much before more of it has arrived.
const PAYLOAD_GROWTH_BYTES_MAX: usize = 1 << 20;
/// What a client may send ahead while a statement runs. Beyond it the socket is no longer read, so a
/// closed one is noticed only by the next write.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;
/// Rows gather to this size before they are handed to the socket.
const FLUSH_BYTES: usize = 64 << 10;
/// A write buffer that one huge row has grown past this is given back.
const WRITE_BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    /// A whole payload.
    Packet(Vec<u8>),
    /// A payload beyond the limit; it has been read and dropped.
    TooLarge,
    /// The peer closed between two packets.
    Closed,
}

/// Reads packets.
pub(super) struct PacketReader<R> {
    stream: R,
    /// Bytes read and not yet consumed begin at `start`.
    buffer: Vec<u8>,
    start: usize,
    sequence: u8,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, sequence: 0 }
    }

    /// The number that an answer to the packet last read begins with.
    pub(super) fn next_sequence(&self) -> u8 {
        self.sequence.wrapping_add(1)
    }

    /// Reads a packet of at most `payload_bytes_max`. Must not be dropped halfway, unless for good.
    pub(super) async fn read(&mut self, payload_bytes_max: usize) -> io::Result<Inbound> {
        let mut payload = Vec::new();
        let mut total_bytes = 0_usize;
        let mut first = true;
        loop {
            let Some(frame_bytes) = self.header(first).await? else {
                return Ok(Inbound::Closed);
            };
            first = false;
            total_bytes = total_bytes.saturating_add(frame_bytes);
            if total_bytes > payload_bytes_max {
                payload = Vec::new();
                self.skip(frame_bytes).await?;
            } else {
                self.take(frame_bytes, &mut payload).await?;
            }
            if frame_bytes < FRAME_PAYLOAD_MAX {
                break;
            }
        }
        Ok(if total_bytes > payload_bytes_max { Inbound::TooLarge } else { Inbound::Packet(payload) })
    }

    /// Completes when a packet has begun to arrive, or when none will. May be dropped at any time.
    pub(super) async fn wait(&mut self) {
        if self.buffered().is_empty() {
            // What went wrong is met again by the read that follows.
            let _ = self.fill().await;
        }
    }

    /// Completes when the peer closes. What it sends meanwhile is kept for [`PacketReader::read`].
    /// May be dropped at any time.
    pub(super) async fn closed(&mut self) {
        while self.buffered().len() < READ_AHEAD_BYTES_MAX {
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Reads the next frame's header and returns its length; `None` when the peer closed before it.
    async fn header(&mut self, first: bool) -> io::Result<Option<usize>> {
        while self.buffered().len() < HEADER_BYTES {
            if self.fill().await? == 0 {
                return match first && self.buffered().is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
        let header = self.buffered();
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        self.sequence = header[3];
        self.start += HEADER_BYTES;
        Ok(Some(length as usize))
    }

    /// Appends the next `bytes` bytes of the stream to `payload`.
    async fn take(&mut self, bytes: usize, payload: &mut Vec<u8>) -> io::Result<()> {
        let here = bytes.min(self.buffered().len());
        payload.extend_from_slice(&self.buffered()[..here]);
        self.start += here;
        let mut missing = bytes - here;
        while missing > 0 {
            payload.reserve(missing.min(PAYLOAD_GROWTH_BYTES_MAX));
            let mut rest = (&mut self.stream).take(missing as u64);
            match rest.read_buf(payload).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        Ok(())
    }

    async fn skip(&mut self, bytes: usize) -> io::Result<()> {
        let mut missing = bytes;
        loop {
            let here = missing.min(self.buffered().len());
            self.start += here;
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads once; 0 at the end of the stream. Keeps everything it read when dropped.
    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(READ_CHUNK_BYTES);
        self.stream.read_buf(&mut self.buffer).await
    }
}

/// Writes packets, gathering them until [`PacketWriter::flush`].
pub(super) struct PacketWriter<W> {
    stream: W,
    buffer: Vec<u8>,
    /// What of the buffer the socket has taken, when a flush was dropped halfway.
    flushed: usize,
    /// Where the packet begins that is being filled. Seen later only when a panic left it half filled.
    unfinished: Option<usize>,
    sequence: u8,
}

impl<W: AsyncWrite + Unpin> PacketWriter<W> {
    pub(super) fn new(stream: W) -> Self {
        Self { stream, buffer: Vec::new(), flushed: 0, unfinished: None, sequence: 0 }
    }

    /// Sets the number of the next packet.
    pub(super) fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Adds a packet whose payload `fill` appends; leaves no trace of it when `fill` fails.
    pub(super) fn try_packet(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.drop_unfinished();
        let start = self.buffer.len();
        self.unfinished = Some(start);
        self.buffer.extend_from_slice(&[0; HEADER_BYTES]);
        if let Err(error) = fill(&mut self.buffer) {
            self.drop_unfinished();
            return Err(error);
        }
        self.unfinished = None;
        let payload_bytes = self.buffer.len() - start - HEADER_BYTES;
        if payload_bytes < FRAME_PAYLOAD_MAX {
            let header = self.next_header(payload_bytes);
            self.buffer[start..start + HEADER_BYTES].copy_from_slice(&header);
        } else {
            let payload = self.buffer.split_off(start + HEADER_BYTES);
            self.buffer.truncate(start);
            self.frames(&payload);
        }
        Ok(())
    }

    /// Adds a packet whose payload `fill` appends.
    pub(super) fn packet(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let written = self.try_packet(|payload| {
            fill(payload);
            Ok(())
        });
        debug_assert!(written.is_ok());
    }

    /// Whether enough has gathered to be worth a flush.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Hands everything to the socket. May be dropped and called again: it continues where it was.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.drop_unfinished();
        while self.flushed < self.buffer.len() {
            match self.stream.write(&self.buffer[self.flushed..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.flushed += written,
            }
        }
        self.buffer.clear();
        self.flushed = 0;
        self.buffer.shrink_to(WRITE_BUFFER_KEPT_BYTES_MAX);
        self.stream.flush().await
    }

    /// What was gathered and never flushed.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Tells the peer that nothing more will come.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    fn drop_unfinished(&mut self) {
        if let Some(start) = self.unfinished.take() {
            self.buffer.truncate(start);
        }
    }

    /// Appends a payload of 2^24-1 bytes or more as frames.
    fn frames(&mut self, payload: &[u8]) {
        for chunk in payload.chunks(FRAME_PAYLOAD_MAX) {
            let header = self.next_header(chunk.len());
            self.buffer.extend_from_slice(&header);
            self.buffer.extend_from_slice(chunk);
        }
        if payload.len().is_multiple_of(FRAME_PAYLOAD_MAX) {
            // A full frame announces another one, so the end has to be said.
            let header = self.next_header(0);
            self.buffer.extend_from_slice(&header);
        }
    }

    fn next_header(&mut self, payload_bytes: usize) -> [u8; HEADER_BYTES] {
        let [low, middle, high, _] = (payload_bytes as u32).to_le_bytes();
        let header = [low, middle, high, self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        header
    }
}

/// Appends a length-encoded integer.
pub(super) fn put_lenenc_int(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..=0xfa => out.push(bytes[0]),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends a length-encoded string.
pub(super) fn put_lenenc_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_lenenc_int(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Takes fields off the front of a payload. Every method returns `None`, and takes nothing anyone may rely
/// on, when the payload is too short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string up to a NUL, or up to the end: some clients leave out the NUL of a last field.
    pub(super) fn nul_string(&mut self) -> &'a [u8] {
        match self.0.iter().position(|byte| *byte == 0) {
            Some(end) => {
                let taken = &self.0[..end];
                self.0 = &self.0[end + 1..];
                taken
            }
            None => std::mem::take(&mut self.0),
        }
    }

    pub(super) fn lenenc_int(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=0xfa => Some(u64::from(small)),
            0xfc => self.u16().map(u64::from),
            0xfd => {
                let [low, middle, high] = self.array()?;
                Some(u64::from(u32::from_le_bytes([low, middle, high, 0])))
            }
            0xfe => self.u64(),
            // 0xfb is NULL and 0xff an error: no length.
            _ => None,
        }
    }

    pub(super) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.lenenc_int()?).ok()?;
        self.take(length)
    }
}
