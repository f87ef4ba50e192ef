//! The name of every immutable file: the BLAKE3 digest of its bytes.
//!
//! One [`Digest`] names a segment in the catalog, on local disk and in a repository, so it is
//! computed while the bytes are written ([`DigestWriter`]) and computed again wherever they are
//! read back from something that may lie: a disk ([`DigestReader`]), or a store.
//!
//! A digest is only ever made by hashing or by parsing exactly 64 lower-case hex digits, so its
//! text is always safe as a file name or as part of a remote key.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in a digest.
pub const DIGEST_LEN: usize = 32;

/// Read size when a whole file is hashed: large enough for BLAKE3's wide SIMD lanes.
const FILE_BUFFER_BYTES: usize = 256 * 1024;

/// The BLAKE3 digest of some bytes. In SQLite it is a 32-byte BLOB, in JSON and in names it is
/// 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; DIGEST_LEN]);

/// A text or blob that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a BLAKE3 digest (64 lower-case hex digits expected)")]
pub struct ParseDigestError;

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest and the length of a whole file. Blocks the thread: call it where that is fine.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = DigestHasher::new();
        let mut buffer = vec![0; FILE_BUFFER_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A digest from its raw bytes, as they were stored by [`Digest::as_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; DIGEST_LEN]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(DIGEST_LEN * 2);
        for byte in self.0 {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
        text
    }

    /// The first two hex digits: the fan-out directory of a repository.
    #[must_use]
    pub fn shard(&self) -> String {
        let mut text = self.to_hex();
        text.truncate(2);
        text
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != DIGEST_LEN * 2 {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; DIGEST_LEN];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Upper-case digits are refused: one digest has one spelling, and so one object.
fn nibble(digit: u8) -> Result<u8, ParseDigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseDigestError),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor;
        impl serde::de::Visitor<'_> for HexVisitor {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 lower-case hex digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(HexVisitor)
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let blob = value.as_blob()?;
        let bytes = blob.try_into().map_err(|_| FromSqlError::Other(Box::new(ParseDigestError)))?;
        Ok(Self(bytes))
    }
}

/// Hashes bytes as they come and counts them.
#[derive(Clone, Default)]
pub struct DigestHasher {
    hasher: blake3::Hasher,
    len: u64,
}

impl DigestHasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Bytes seen so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was hashed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The digest and the number of bytes seen so far.
    #[must_use]
    pub fn finish(&self) -> (Digest, u64) {
        (Digest(*self.hasher.finalize().as_bytes()), self.len)
    }
}

impl fmt::Debug for DigestHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestHasher").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A writer that hashes exactly the bytes its inner writer accepted.
#[derive(Debug)]
pub struct DigestWriter<W> {
    inner: W,
    hasher: DigestHasher,
}

impl<W: Write> DigestWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: DigestHasher::new() }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.hasher.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hasher.is_empty()
    }

    /// The inner writer, not flushed, with the digest and the length of what went through.
    #[must_use]
    pub fn finish(self) -> (W, Digest, u64) {
        let (digest, len) = self.hasher.finish();
        (self.inner, digest, len)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that hashes exactly the bytes it handed out.
#[derive(Debug)]
pub struct DigestReader<R> {
    inner: R,
    hasher: DigestHasher,
}

impl<R: Read> DigestReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: DigestHasher::new() }
    }

    /// The digest and the length of what was read so far.
    #[must_use]
    pub fn digest(&self) -> (Digest, u64) {
        self.hasher.finish()
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published digest of no bytes at all.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn hex_is_one_spelling() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        assert_eq!(Digest::of(b"").shard(), "af");
        for wrong in ["", "af", &EMPTY[1..], &EMPTY.to_uppercase(), &format!("{EMPTY}00"), &EMPTY.replace('a', "g")] {
            assert_eq!(wrong.parse::<Digest>(), Err(ParseDigestError), "{wrong}");
        }
    }

    #[test]
    fn writer_reader_and_file_agree() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut writer = DigestWriter::new(std::fs::File::create(&path).unwrap());
        writer.write_all(&bytes).unwrap();
        let (_, digest, len) = writer.finish();
        let mut reader = DigestReader::new(&bytes[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();

        assert_eq!((digest, len), (Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(reader.digest(), (digest, len));
        assert_eq!(Digest::of_file(&path).unwrap(), (digest, len));
    }

    #[test]
    fn json_and_sqlite_round_trip() {
        let digest = Digest::of(b"x");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"xyz\"").is_err());

        let db = rusqlite::Connection::open_in_memory().unwrap();
        let back: Digest = db.query_row("SELECT ?1", [digest], |row| row.get(0)).unwrap();
        assert_eq!(back, digest);
        let short = db.query_row("SELECT x'00'", [], |row| row.get::<_, Digest>(0));
        assert!(short.is_err());
    }
}
