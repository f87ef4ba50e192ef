//! A checked segment as the Parquet decoder wants it: any bytes at any time.
//!
//! The decoder asks for the header of a page, then for its body, column by column in turn. Every such read is a whole
//! group of the hash tree at least, so the groups read last are kept: one for each column, and some.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::tree::GROUP_BYTES;
use crate::tablet::SegmentHandle;

/// Groups kept at most: 8 MiB for a reader.
const GROUPS_MAX: usize = 128;

/// The bytes of one segment for one decoder.
#[derive(Debug, Clone)]
pub(super) struct SegmentChunks {
    segment: Arc<SegmentHandle>,
    recent: Arc<Mutex<RecentGroups>>,
}

/// The groups read last, the least recently used first.
#[derive(Debug)]
struct RecentGroups {
    groups: Vec<(u64, Bytes)>,
    groups_max: usize,
}

/// Reads on from a place.
#[derive(Debug)]
pub(super) struct ChunkRead {
    chunks: SegmentChunks,
    at: u64,
}

impl SegmentChunks {
    pub(super) fn new(segment: Arc<SegmentHandle>, columns: usize) -> SegmentChunks {
        let groups_max = (columns + 2).min(GROUPS_MAX);
        SegmentChunks { segment, recent: Arc::new(Mutex::new(RecentGroups { groups: Vec::new(), groups_max })) }
    }

    /// The checked bytes of one group.
    fn group(&self, number: u64) -> Result<Bytes> {
        if let Some(bytes) = self.recent.lock().get(number) {
            return Ok(bytes);
        }
        let start = number * GROUP_BYTES;
        let end = (start + GROUP_BYTES).min(self.len());
        let bytes = self.segment.read(start..end).map_err(external)?;
        self.recent.lock().put(number, bytes.clone());
        Ok(bytes)
    }
}

impl Length for SegmentChunks {
    fn len(&self) -> u64 {
        self.segment.meta().bytes
    }
}

impl ChunkReader for SegmentChunks {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<ChunkRead> {
        Ok(ChunkRead { chunks: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len());
        let Some(end) = end else {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are asked for, of {}", self.len())));
        };
        let (first, last) = (start / GROUP_BYTES, end.saturating_sub(1) / GROUP_BYTES);
        let from = (start - first * GROUP_BYTES) as usize;
        if last <= first {
            return if length == 0 { Ok(Bytes::new()) } else { Ok(self.group(first)?.slice(from..from + length)) };
        }
        // What lies between the two ends is read at once, and by nobody else again.
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(&self.group(first)?[from..]);
        let inner = (first + 1) * GROUP_BYTES..last * GROUP_BYTES;
        if !inner.is_empty() {
            bytes.extend_from_slice(&self.segment.read(inner).map_err(external)?);
        }
        bytes.extend_from_slice(&self.group(last)?[..(end - last * GROUP_BYTES) as usize]);
        Ok(bytes.freeze())
    }
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.chunks.len() || buffer.is_empty() {
            return Ok(0);
        }
        let group = self.chunks.group(self.at / GROUP_BYTES).map_err(io::Error::other)?;
        let rest = &group[(self.at % GROUP_BYTES) as usize..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

impl RecentGroups {
    fn get(&mut self, number: u64) -> Option<Bytes> {
        let at = self.groups.iter().position(|(known, _)| *known == number)?;
        let entry = self.groups.remove(at);
        let bytes = entry.1.clone();
        self.groups.push(entry);
        Some(bytes)
    }

    fn put(&mut self, number: u64, bytes: Bytes) {
        if self.groups.len() >= self.groups_max {
            self.groups.remove(0);
        }
        self.groups.push((number, bytes));
    }
}

fn external(error: crate::error::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
