//! Reading segments back, batch by batch: for compaction, DELETE and tests. Queries have their own reader.
//!
//! Columns are found by field id, so a segment written before a column was added or renamed reads well: what it lacks
//! is NULL.
//!
//! Decoders of Parquet panic on some bytes that make no sense. Such bytes have the digest they should have when somebody
//! wrote them so, into a repository for example; so no panic leaves this module: it is an error that names the file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::BooleanBufferBuilder;
use arrow_cast::cast;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use roaring::RoaringBitmap;

use super::chunks::SegmentChunks;
use super::inspect::catch_panic;
use super::sort::{OUTPUT_BYTES, OUTPUT_ROWS};
use crate::catalog::FileKind;
use crate::error::{Error, IoContext, Result};
use crate::ids::TabletId;
use crate::schema::PARQUET_FIELD_ID_KEY;
use crate::tablet::SegmentHandle;

/// Reads one segment as batches of `schema`, deleted rows included.
#[derive(Debug)]
pub struct SegmentReader {
    tablet: TabletId,
    path: PathBuf,
    /// `None` once it has failed: what is left of a decoder then is not used again.
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
    /// For each column of `schema`, its position in the batches read.
    sources: Vec<Option<usize>>,
    next_row: u64,
}

/// Some rows of a segment.
#[derive(Debug, Clone)]
pub struct SegmentBatch {
    /// Position in the segment of the first row.
    pub first_row: u64,
    /// The rows.
    pub rows: RecordBatch,
}

impl SegmentReader {
    /// Opens a file that this process has written and nobody else has seen, such as a run of a load, to read the columns
    /// of `schema`, which carry field ids. A segment in its tablet is read by [`SegmentHandle::open`].
    pub fn open(tablet: TabletId, path: &Path, schema: &SchemaRef) -> Result<SegmentReader> {
        let file = File::open(path).at("open", path)?;
        SegmentReader::read(tablet, path.to_owned(), file, schema)
    }

    /// Reads a segment that is in its tablet: every byte is checked before it is decoded.
    pub(crate) fn checked(segment: Arc<SegmentHandle>, schema: &SchemaRef) -> Result<SegmentReader> {
        let tablet = segment.tablet();
        let path = PathBuf::from(format!("{}.{}", segment.meta().digest, FileKind::Segment));
        SegmentReader::read(tablet, path, SegmentChunks::new(segment, schema.fields().len()), schema)
    }

    fn read<T: ChunkReader + 'static>(
        tablet: TabletId,
        path: PathBuf,
        bytes: T,
        schema: &SchemaRef,
    ) -> Result<SegmentReader> {
        match catch_panic(|| SegmentReader::decoder(bytes, schema)) {
            Ok(Ok((reader, sources))) => {
                let schema = Arc::clone(schema);
                Ok(SegmentReader { tablet, path, reader: Some(reader), schema, sources, next_row: 0 })
            }
            Ok(Err(error)) => Err(from_parquet(error, tablet, &path)),
            Err(detail) => Err(Error::Corrupt { tablet, path, detail }),
        }
    }

    /// The decoder of what is stored of `schema`, and for each of its columns the position in the decoder's batches.
    fn decoder<T: ChunkReader + 'static>(
        bytes: T,
        schema: &SchemaRef,
    ) -> Result<(ParquetRecordBatchReader, Vec<Option<usize>>), ParquetError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let stored = Arc::clone(builder.schema());
        let wanted: Vec<Option<usize>> = schema
            .fields()
            .iter()
            .map(|field| {
                let id = field.metadata().get(PARQUET_FIELD_ID_KEY);
                stored
                    .fields()
                    .iter()
                    .position(|other| id.is_some() && other.metadata().get(PARQUET_FIELD_ID_KEY) == id)
            })
            .collect();
        // The reader gives the columns in the order of the file, whatever the order of the request.
        let mut read: Vec<usize> = wanted.iter().flatten().copied().collect();
        read.sort_unstable();
        read.dedup();
        let sources =
            wanted.iter().map(|column| column.map(|column| read.partition_point(|other| *other < column))).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let batch_rows = batch_rows(builder.metadata());
        Ok((builder.with_projection(mask).with_batch_size(batch_rows).build()?, sources))
    }

    /// The next batch of the decoder; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<SegmentBatch>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        match reader.next().transpose().map_err(|error| from_arrow(error, self.tablet, &self.path))? {
            Some(batch) => self.arrange(&batch).map(Some),
            None => Ok(None),
        }
    }

    fn arrange(&mut self, batch: &RecordBatch) -> Result<SegmentBatch> {
        let rows = batch.num_rows();
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(&self.sources)
            .map(|(field, source)| match source {
                Some(source) if batch.column(*source).data_type() == field.data_type() => {
                    Ok(Arc::clone(batch.column(*source)))
                }
                Some(source) => Ok(cast(batch.column(*source), field.data_type())?),
                None => Ok(new_null_array(field.data_type(), rows)),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let first_row = self.next_row;
        self.next_row += rows.num_rows() as u64;
        Ok(SegmentBatch { first_row, rows })
    }
}

impl Iterator for SegmentReader {
    type Item = Result<SegmentBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = catch_panic(|| self.next_batch())
            .unwrap_or_else(|detail| Err(Error::Corrupt { tablet: self.tablet, path: self.path.clone(), detail }));
        if batch.is_err() {
            self.reader = None;
        }
        batch.transpose()
    }
}

impl SegmentBatch {
    /// Which of the rows are not deleted; `None` when all are not.
    pub fn live(&self, deletes: Option<&RoaringBitmap>) -> Option<BooleanArray> {
        let deletes = deletes?;
        let rows = self.rows.num_rows();
        // A segment has fewer rows than 32 bits count.
        let first = self.first_row as u32;
        if deletes.range_cardinality(first..first.saturating_add(rows as u32)) == 0 {
            return None;
        }
        let mut live = BooleanBufferBuilder::new(rows);
        for row in 0..rows {
            live.append(!deletes.contains(first + row as u32));
        }
        Some(BooleanArray::new(live.finish(), None))
    }

    /// The rows that are not deleted.
    pub fn live_rows(self, deletes: Option<&RoaringBitmap>) -> Result<RecordBatch> {
        match self.live(deletes) {
            Some(live) => Ok(filter_record_batch(&self.rows, &live)?),
            None => Ok(self.rows),
        }
    }
}

/// Takes out what a handle said; whatever else the decoder cannot read is damage.
fn from_arrow(error: ArrowError, tablet: TabletId, path: &Path) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_external(inner, tablet, path),
        // The decoder of rows passes on the text alone of what the reader below it could not read.
        ArrowError::ParquetError(text) => match os_error(&text) {
            Some(number) => {
                Error::Io { action: "read", path: path.to_owned(), source: io::Error::from_raw_os_error(number) }
            }
            None => {
                let detail = ArrowError::ParquetError(text).to_string();
                Error::Corrupt { tablet, path: path.to_owned(), detail }
            }
        },
        other => Error::Corrupt { tablet, path: path.to_owned(), detail: other.to_string() },
    }
}

/// The number with which the text of an error of the operating system ends.
fn os_error(text: &str) -> Option<i32> {
    text.strip_suffix(')')?.rsplit_once("(os error ")?.1.parse().ok()
}

fn from_parquet(error: ParquetError, tablet: TabletId, path: &Path) -> Error {
    match error {
        ParquetError::External(inner) => from_external(inner, tablet, path),
        other => Error::Corrupt { tablet, path: path.to_owned(), detail: other.to_string() },
    }
}

fn from_external(inner: Box<dyn std::error::Error + Send + Sync>, tablet: TabletId, path: &Path) -> Error {
    let inner = match inner.downcast::<Error>() {
        Ok(error) => return *error,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<ParquetError>() {
        Ok(error) => return from_parquet(*error, tablet, path),
        Err(inner) => inner,
    };
    match inner.downcast::<io::Error>() {
        // What the system says of the disk is not about the bytes.
        Ok(source) if source.raw_os_error().is_some() => {
            Error::Io { action: "read", path: path.to_owned(), source: *source }
        }
        Ok(other) => Error::Corrupt { tablet, path: path.to_owned(), detail: other.to_string() },
        Err(other) => Error::Corrupt { tablet, path: path.to_owned(), detail: other.to_string() },
    }
}

/// Rows of a batch, so that batches of long texts stay small.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let row_bytes_max = metadata
        .row_groups()
        .iter()
        .map(|group| {
            let bytes = group
                .columns()
                .iter()
                // A dictionary hides how long the texts are that it stands for.
                .map(|column| column.unencoded_byte_array_data_bytes().unwrap_or(0).max(column.uncompressed_size()))
                .fold(0, i64::saturating_add);
            bytes.unsigned_abs() as usize / (group.num_rows().unsigned_abs() as usize).max(1)
        })
        .max()
        .unwrap_or(0);
    (OUTPUT_BYTES / row_bytes_max.max(1)).clamp(1, OUTPUT_ROWS)
}

/// The columns of `schema` at `positions`, in that order.
pub fn project(schema: &Schema, positions: &[usize]) -> Result<SchemaRef> {
    Ok(Arc::new(schema.project(positions)?))
}
