//! One segment of a tablet, read from whichever replica has it whole: the one way to a segment's bytes.
//!
//! A read widens its ranges to whole groups of the segment's hash tree, reads them from the first replica that is
//! believed to be good, and hashes them before it hands out a byte. Bytes that do not fit are read once more, as they
//! may have come wrong from the disk and not lie wrong on it; then the replica is marked as bad and the same ranges are
//! read from the next one, in the middle of a query if need be. When no replica is left, the error names table,
//! partition, tablet and file. Nothing here changes or removes a file but the derived `<digest>.tree`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::TabletFiles;
use crate::catalog::{FileKind, ReplicaRow, SegmentMeta, TabletState};
use crate::error::{Error, Result};
use crate::ids::TabletId;
use crate::segment::{GROUP_BYTES, SegmentReader, SegmentTree};

/// One segment of a tablet. It holds no pin: whoever has it holds the snapshot that names the segment.
#[derive(Debug)]
pub struct SegmentHandle {
    files: Arc<TabletFiles>,
    tablet: TabletId,
    replicas: Vec<ReplicaRow>,
    segment: SegmentMeta,
    copy: Mutex<CopyInUse>,
}

/// The copy that is read, and those that have failed.
#[derive(Debug, Default)]
struct CopyInUse {
    open: Option<Arc<OpenCopy>>,
    failed: Vec<PathBuf>,
}

/// One replica's file, opened, with the tree that its bytes must fit.
#[derive(Debug)]
pub(super) struct OpenCopy {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) tree: Arc<SegmentTree>,
}

impl SegmentHandle {
    /// A segment of a tablet. Opens nothing yet.
    pub(crate) fn new(files: &Arc<TabletFiles>, tablet: &TabletState, segment: &SegmentMeta) -> SegmentHandle {
        SegmentHandle {
            files: Arc::clone(files),
            tablet: tablet.tablet.id,
            replicas: tablet.replicas.clone(),
            segment: segment.clone(),
            copy: Mutex::default(),
        }
    }

    /// What the catalog says of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.segment
    }

    /// Its tablet.
    pub fn tablet(&self) -> TabletId {
        self.tablet
    }

    /// Which of its rows are deleted; `None` when none is. Blocks.
    pub fn delete_vector(&self) -> Result<Option<Arc<RoaringBitmap>>> {
        self.files.delete_vector_of(self.tablet, &self.replicas, &self.segment)
    }

    /// Its rows as batches of `schema`, whose columns carry field ids. Blocks.
    pub fn open(self: Arc<Self>, schema: &SchemaRef) -> Result<SegmentReader> {
        SegmentReader::checked(self, schema)
    }

    /// The bytes of these ranges, checked. Blocks.
    pub fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(beyond) = ranges.iter().find(|range| range.start > range.end || range.end > self.segment.bytes) {
            return Err(self.corrupt(format!(
                "bytes {} to {} are asked for, of {}",
                beyond.start, beyond.end, self.segment.bytes
            )));
        }
        loop {
            let copy = self.open_copy()?;
            let failure = match copy.read_ranges(ranges) {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            // Once more: a flaky cable or a bit that flipped on the way is no reason to give a replica up.
            match copy.read_ranges(ranges) {
                Ok(bytes) => {
                    metrics::counter!("ebla_misread_segments_total").increment(1);
                    tracing::warn!(tablet = %self.tablet, path = %copy.path.display(), %failure, "read wrong, then right");
                    return Ok(bytes);
                }
                Err(again) => self.give_up(&copy, &again.to_string()),
            }
        }
    }

    /// The bytes of one range, checked. Blocks.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut bytes = self.read_ranges(&[range])?;
        bytes.pop().ok_or_else(|| Error::Internal("a read gave nothing".to_owned()))
    }

    /// The copies that have failed.
    #[cfg(test)]
    pub(super) fn failed_copies(&self) -> Vec<PathBuf> {
        self.copy.lock().failed.clone()
    }

    /// The copy to read from: the one in use, or the next that is believed to be good.
    fn open_copy(&self) -> Result<Arc<OpenCopy>> {
        let mut copy = self.copy.lock();
        if let Some(open) = &copy.open {
            return Ok(Arc::clone(open));
        }
        loop {
            let SegmentMeta { digest, bytes, .. } = self.segment;
            let found = self.files.find(self.tablet, &self.replicas, &digest, FileKind::Segment, bytes, &copy.failed);
            let Some(path) = found? else { return Err(self.lost()) };
            match self.files.open_copy(path.clone(), &self.segment) {
                Ok(open) => return Ok(Arc::clone(copy.open.insert(Arc::new(open)))),
                Err(detail) => {
                    self.files.mark_copy_bad(self.tablet, &path, &detail);
                    copy.failed.push(path);
                }
            }
        }
    }

    /// Does not read this copy again.
    fn give_up(&self, bad: &Arc<OpenCopy>, detail: &str) {
        let mut copy = self.copy.lock();
        // Another thread may have been faster.
        if copy.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, bad)) {
            copy.open = None;
        }
        if !copy.failed.contains(&bad.path) {
            self.files.mark_copy_bad(self.tablet, &bad.path, detail);
            copy.failed.push(bad.path.clone());
        }
    }

    fn lost(&self) -> Error {
        self.corrupt(self.files.describe_loss(self.tablet))
    }

    fn corrupt(&self, detail: String) -> Error {
        let path = self.files.first_path(self.tablet, &self.replicas, &self.segment.digest, FileKind::Segment);
        Error::Corrupt { tablet: self.tablet, path, detail }
    }
}

impl OpenCopy {
    /// Reads each range; neighbours that share a group, or touch, are read and hashed together.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|at| ranges[*at].start);
        let mut spans: Vec<Range<u64>> = Vec::new();
        for at in &order {
            let span = self.tree.whole_groups(&ranges[*at]);
            match spans.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => spans.push(span),
            }
        }
        let read = spans.iter().map(|span| self.read_span(span)).collect::<io::Result<Vec<Bytes>>>()?;
        Ok(ranges
            .iter()
            .map(|range| {
                // The last span that begins at or before the range holds it: spans were made of the ranges.
                let at = spans.partition_point(|span| span.start <= range.start) - 1;
                let from = (range.start - spans[at].start) as usize;
                read[at].slice(from..from + (range.end - range.start) as usize)
            })
            .collect())
    }

    /// Reads whole groups and hashes them.
    fn read_span(&self, span: &Range<u64>) -> io::Result<Bytes> {
        let mut buffer = vec![0; (span.end - span.start) as usize];
        self.file.read_exact_at(&mut buffer, span.start)?;
        self.tree.check(span.start, &buffer).map_err(|group| {
            let (from, to) = (group * GROUP_BYTES, ((group + 1) * GROUP_BYTES).min(span.end));
            io::Error::new(io::ErrorKind::InvalidData, format!("bytes {from} to {to} do not match their digest"))
        })?;
        Ok(Bytes::from(buffer))
    }
}
