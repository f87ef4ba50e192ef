//! Writing segments: sorted batches in, synced Parquet files with digest and zone maps out.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::format::SegmentFormat;
use super::sort::{SortedStream, batch_bytes};
use super::zone_map::ZoneMapBuilder;
use crate::catalog::SegmentMeta;
use crate::digest::{Digest, DigestWriter};
use crate::error::{Error, Result};
use crate::roots::{create_file, sync_file};

/// A delete vector counts rows in 32 bits.
pub(super) const SEGMENT_ROWS_MAX: u64 = u32::MAX as u64;

/// Most bytes of a page, before it is compressed. The writer ends a page after a MiB, but not within the values it was
/// given at once, so it is given half of this at most.
pub(super) const PAGE_BYTES_MAX: u64 = 256 << 20;

/// A segment that is written and synced, but not yet in its tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSegment {
    /// Where it lies.
    pub path: PathBuf,
    /// What the catalog will say of it.
    pub meta: SegmentMeta,
}

/// Writes sorted rows as segments of at least `bytes_target` bytes each, but for the last, named `<name>-<n>` in
/// `directory`. `rows_max` bounds the number of rows. No rows, no segment.
pub fn write_segments(
    format: &SegmentFormat,
    directory: &Path,
    name: &str,
    rows: SortedStream,
    rows_max: u64,
    bytes_target: u64,
) -> Result<Vec<WrittenSegment>> {
    let mut written = Vec::new();
    let mut current: Option<SegmentWriter> = None;
    for batch in rows {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let mut writer = match current.take() {
            Some(writer) => writer,
            None => {
                SegmentWriter::create(format, directory.join(format!("{name}-{}", written.len())), rows_max, &batch)?
            }
        };
        writer.write(&batch)?;
        if writer.is_full(bytes_target) {
            written.push(writer.finish()?);
        } else {
            current = Some(writer);
        }
    }
    if let Some(writer) = current {
        written.push(writer.finish()?);
    }
    Ok(written)
}

/// Writes sorted rows as one run: a file that only this process reads again. It is not synced. Returns what its bytes must
/// be when they are read.
pub fn write_run(format: &SegmentFormat, path: &Path, rows: SortedStream) -> Result<Digest> {
    let file = DigestWriter::new(create_file(path)?);
    let created = ArrowWriter::try_new(file, format.schema().clone(), Some(format.run_properties()));
    let mut writer = created.map_err(|error| cannot_write(path, error))?;
    for batch in rows {
        writer.write(&batch?).map_err(|error| cannot_write(path, error))?;
    }
    let written = writer.into_inner().map_err(|error| cannot_write(path, error))?;
    let (_, digest, _) = written.finish();
    Ok(digest)
}

/// What Parquet says of a file that it cannot write does not tell which one.
fn cannot_write(path: &Path, error: ParquetError) -> Error {
    Error::Io { action: "write", path: path.to_owned(), source: io::Error::other(error) }
}

struct SegmentWriter {
    path: PathBuf,
    writer: ArrowWriter<DigestWriter<File>>,
    zone_maps: ZoneMapBuilder,
    rows: u64,
}

impl SegmentWriter {
    fn create(format: &SegmentFormat, path: PathBuf, rows_max: u64, first: &RecordBatch) -> Result<SegmentWriter> {
        let file = DigestWriter::new(create_file(&path)?);
        let properties = format.properties(rows_max, first);
        let created = ArrowWriter::try_new(file, format.schema().clone(), Some(properties));
        Ok(SegmentWriter {
            writer: created.map_err(|error| cannot_write(&path, error))?,
            zone_maps: ZoneMapBuilder::new(format.definition()),
            path,
            rows: 0,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encode(batch)?;
        self.zone_maps.add(batch);
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Batches are small on average only, and one row is as large as somebody makes it. What no reader would take is not
    /// written.
    fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        let (rows, bytes, bytes_max) = (batch.num_rows(), batch_bytes(batch) as u64, PAGE_BYTES_MAX / 2);
        if bytes <= bytes_max {
            return self.writer.write(batch).map_err(|error| cannot_write(&self.path, error));
        }
        if rows <= 1 {
            let text =
                format!("a row has {bytes} bytes, and at most {bytes_max} can be stored: divide it into several");
            return Err(Error::invalid(text));
        }
        let (first, rest) = (batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2));
        self.encode(&first)?;
        self.encode(&rest)
    }

    fn is_full(&self, bytes_target: u64) -> bool {
        let bytes = self.writer.bytes_written() + self.writer.in_progress_size();
        bytes as u64 >= bytes_target || self.rows + super::sort::OUTPUT_ROWS as u64 > SEGMENT_ROWS_MAX
    }

    fn finish(self) -> Result<WrittenSegment> {
        let written = self.writer.into_inner().map_err(|error| cannot_write(&self.path, error))?;
        let (file, digest, bytes) = written.finish();
        sync_file(&file, &self.path)?;
        metrics::counter!("ebla_segments_written_total").increment(1);
        metrics::counter!("ebla_segment_bytes_written_total").increment(bytes);
        let zone_maps = self.zone_maps.finish();
        let meta = SegmentMeta { digest, rows: self.rows, bytes, zone_maps, deletes: None };
        Ok(WrittenSegment { path: self.path, meta })
    }
}
