//! HTTP/1.1 messages as bytes: heads, and the three ways a body says where it ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A head longer than this is no head of ours.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// The first part of a message, up to and with the empty line, exactly as it came.
#[derive(Debug, Clone)]
pub struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// The bytes, to be passed on unchanged.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The request line or the status line.
    pub fn start_line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    /// The status code, when this heads a response.
    pub fn status(&self) -> Option<u16> {
        self.start_line().strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
    }

    /// Method and target, when this heads a request.
    pub fn request(&self) -> Option<(&str, &str)> {
        let mut words = self.start_line().split(' ');
        let request = (words.next()?, words.next()?);
        words.next()?.starts_with("HTTP/").then_some(request)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether a header holds this word, in whatever case.
    pub fn says(&self, name: &str, word: &str) -> bool {
        let mut words = self.header(name).unwrap_or_default().split(',');
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.bytes).unwrap_or_default().split("\r\n")
    }
}

/// Reads a head; `None` when the peer has closed before its first byte.
pub async fn read_head(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if from.read_until(b'\n', &mut bytes).await? == 0 {
            return if bytes.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if &bytes[before..] == b"\r\n" && before > 0 {
            return Ok(Some(Head { bytes }));
        }
        if bytes == b"\r\n" {
            bytes.clear(); // A stray empty line between messages.
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head does not end"));
        }
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// After this many bytes.
    Known(u64),
    /// After the last chunk.
    Chunked,
    /// Where the peer closes.
    UntilClose,
}

impl BodyLength {
    /// The length of the body after a request's head.
    pub fn of_request(head: &Head) -> BodyLength {
        if head.says("transfer-encoding", "chunked") {
            return BodyLength::Chunked;
        }
        BodyLength::Known(content_length(head).unwrap_or(0))
    }

    /// The length of the body after a response's head, which also depends on the question.
    pub fn of_response(head: &Head, method: &str) -> BodyLength {
        if method == "HEAD" || matches!(head.status(), Some(100..200 | 204 | 304)) {
            return BodyLength::Known(0);
        }
        if head.says("transfer-encoding", "chunked") {
            return BodyLength::Chunked;
        }
        content_length(head).map_or(BodyLength::UntilClose, BodyLength::Known)
    }
}

fn content_length(head: &Head) -> Option<u64> {
    head.header("content-length")?.parse().ok()
}

/// How fast bytes may pass, and whether they stop.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Bytes a second; as fast as it goes when `None`.
    pub bytes_per_second: Option<u64>,
    /// At most this many bytes pass, and then nothing any more.
    pub stop_after: Option<u64>,
}

impl Pace {
    /// As fast as it goes.
    pub fn free() -> Pace {
        Pace::default()
    }

    /// Waits until the next `count` bytes may pass, which makes `total`.
    async fn admit(&self, count: usize, total: u64) {
        if self.stop_after.is_some_and(|limit| total > limit) {
            std::future::pending::<()>().await;
        }
        if let Some(rate) = self.bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
        }
    }
}

/// Passes a body on byte for byte, chunk frames included. Gives the bytes of content that passed.
pub async fn copy_body(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: BodyLength,
    pace: &Pace,
) -> io::Result<u64> {
    let mut total = 0;
    match length {
        BodyLength::Known(bytes) => copy_exact(from, to, bytes, pace, &mut total).await?,
        BodyLength::UntilClose => loop {
            let buffer = from.fill_buf().await?;
            let count = buffer.len();
            if count == 0 {
                break;
            }
            total += count as u64;
            pace.admit(count, total).await;
            to.write_all(buffer).await?;
            to.flush().await?;
            from.consume(count);
        },
        BodyLength::Chunked => loop {
            let (line, size) = read_chunk_line(from).await?;
            to.write_all(&line).await?;
            if size > 0 {
                copy_exact(from, to, size, pace, &mut total).await?;
                let mut unseen = 0;
                copy_exact(from, to, 2, &Pace::free(), &mut unseen).await?;
                continue;
            }
            // Trailers, up to and with the empty line.
            loop {
                let mut line = Vec::new();
                from.read_until(b'\n', &mut line).await?;
                to.write_all(&line).await?;
                if line.len() <= 2 {
                    break;
                }
            }
            break;
        },
    }
    to.flush().await?;
    Ok(total)
}

/// Reads a body whole, without its chunk frames.
pub async fn read_body(from: &mut (impl AsyncBufRead + Unpin), length: BodyLength) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match length {
        BodyLength::Known(bytes) => {
            if from.take(bytes).read_to_end(&mut body).await? as u64 != bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        BodyLength::UntilClose => {
            from.read_to_end(&mut body).await?;
        }
        BodyLength::Chunked => loop {
            let (_, size) = read_chunk_line(from).await?;
            let before = body.len();
            if from.take(size).read_to_end(&mut body).await? as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let ended = body.len() == before;
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).await? > 2 {
                line.clear(); // A trailer.
            }
            if ended {
                break;
            }
        },
    }
    Ok(body)
}

async fn copy_exact(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: u64,
    pace: &Pace,
    total: &mut u64,
) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        pace.admit(count, *total + count as u64).await;
        to.write_all(&buffer[..count]).await?;
        from.consume(count);
        left -= count as u64;
        *total += count as u64;
    }
    to.flush().await
}

async fn read_chunk_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<(Vec<u8>, u64)> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).await?;
    let text = String::from_utf8_lossy(&line);
    let digits = text.trim().split(';').next().unwrap_or_default();
    let size = u64::from_str_radix(digits, 16).map_err(|_| io::Error::other(format!("no chunk size: {text:?}")))?;
    Ok((line, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunked_bodies_pass_unchanged_and_decode() {
        let wire = b"4;ext=1\r\nwiki\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\nNEXT";
        let mut passed = Vec::new();
        let mut from: &[u8] = wire;
        let count = copy_body(&mut from, &mut passed, BodyLength::Chunked, &Pace::free()).await.unwrap();
        assert_eq!((count, from), (7, b"NEXT".as_slice()));
        assert_eq!(passed, &wire[..wire.len() - 4]);

        let mut from: &[u8] = wire;
        assert_eq!(read_body(&mut from, BodyLength::Chunked).await.unwrap(), b"wikiabc");
        assert_eq!(from, b"NEXT");
    }

    #[tokio::test]
    async fn heads_say_where_the_body_ends() {
        let mut from: &[u8] = b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: a, B\r\n\r\nrest";
        let head = read_head(&mut from).await.unwrap().unwrap();
        assert_eq!((head.status(), from), (Some(200), b"rest".as_slice()));
        assert_eq!(BodyLength::of_response(&head, "GET"), BodyLength::Known(12));
        assert_eq!(BodyLength::of_response(&head, "HEAD"), BodyLength::Known(0));
        assert!(head.says("x", "b") && !head.says("x", "c"));
        assert!(read_head(&mut b"".as_slice()).await.unwrap().is_none());
        assert!(read_head(&mut b"GET / HTTP/1.1\r\n".as_slice()).await.is_err());
    }
}
