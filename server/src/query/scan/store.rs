//! The bytes of a scan's segments, for the Parquet reader: every read goes to [`SegmentData`], which checks what it
//! gives, on a thread for blocking work.
//!
//! The reader knows stores of objects and places in them. This one holds the segments of one scan under their names, and
//! can do nothing but read. What a segment says of itself when it cannot be read comes out of the query unchanged.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::error::Result as EngineResult;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};

use crate::query::error::QueryError;
use crate::query::source::{SegmentData, SegmentFile};

/// The segments of one scan, by the place that [`object_meta`] gives them.
#[derive(Debug)]
pub(super) struct SegmentStore {
    segments: HashMap<Path, (ObjectMeta, Arc<dyn SegmentData>)>,
}

/// Makes the reader of each file of a scan.
#[derive(Debug)]
pub(super) struct SegmentReaderFactory {
    pub(super) store: Arc<SegmentStore>,
    pub(super) footers: Arc<dyn FileMetadataCache>,
}

/// Reads one segment for one thread of a scan.
struct SegmentFileReader {
    store: Arc<SegmentStore>,
    footers: Arc<dyn FileMetadataCache>,
    footer_hint: Option<usize>,
    meta: ObjectMeta,
    metrics: ParquetFileMetrics,
}

/// Where a segment lies in the store. Its name tells its content, so footers stay cached under it for good.
pub(super) fn object_meta(segment: &SegmentFile) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(segment.name.as_str()),
        // Segments never change, so a constant keeps cached footers valid for good.
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: segment.size_bytes,
        e_tag: None,
        version: None,
    }
}

impl SegmentStore {
    pub(super) fn new(segments: &[&SegmentFile]) -> Self {
        let segments = segments
            .iter()
            .map(|segment| {
                let meta = object_meta(segment);
                (meta.location.clone(), (meta, Arc::clone(&segment.data)))
            })
            .collect();
        Self { segments }
    }

    fn find(&self, location: &Path) -> Result<&(ObjectMeta, Arc<dyn SegmentData>)> {
        self.segments.get(location).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "the segment is of another scan".into(),
        })
    }

    async fn read(&self, location: &Path, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let data = Arc::clone(&self.find(location)?.1);
        let read = tokio::task::spawn_blocking(move || data.read(&ranges)).await;
        let read = read.unwrap_or_else(|error| Err(QueryError::Internal(format!("reading a segment: {error}"))));
        read.map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })
    }
}

const STORE: &str = "segments";

fn read_only() -> Error {
    Error::NotSupported { source: "segments of a scan are only read".into() }
}

impl fmt::Display for SegmentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for SegmentStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let meta = self.find(location)?.0.clone();
        let range = match options.range {
            None => 0..meta.size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(meta.size),
            Some(GetRange::Offset(start)) => start..meta.size,
            Some(GetRange::Suffix(bytes)) => meta.size.saturating_sub(bytes)..meta.size,
        };
        let payload = if options.head {
            futures::stream::empty().boxed()
        } else {
            let bytes = self.read(location, vec![range.clone()]).await?;
            futures::stream::iter(bytes.into_iter().map(Ok)).boxed()
        };
        let attributes = Default::default();
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read(location, ranges.to_vec()).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(read_only())).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::iter([Err(read_only())]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

impl ParquetFileReaderFactory for SegmentReaderFactory {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> EngineResult<Box<dyn AsyncFileReader + Send>> {
        let metrics = ParquetFileMetrics::new(partition, file.object_meta.location.as_ref(), metrics);
        Ok(Box::new(SegmentFileReader {
            store: Arc::clone(&self.store),
            footers: Arc::clone(&self.footers),
            footer_hint,
            meta: file.object_meta,
            metrics,
        }))
    }
}

impl AsyncFileReader for SegmentFileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let mut bytes = self.get_byte_ranges(vec![range]).await?;
            bytes.pop().ok_or_else(|| ParquetError::General("a read gave nothing".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let bytes: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.metrics.bytes_scanned.add(usize::try_from(bytes).unwrap_or(usize::MAX));
        async move { Ok(self.store.read(&self.meta.location, ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            DFParquetMetadata::new(self.store.as_ref(), &self.meta)
                .with_file_metadata_cache(Some(Arc::clone(&self.footers)))
                .with_metadata_size_hint(self.footer_hint)
                .with_page_index_policy(options.map(|options| options.column_index_policy()))
                .fetch_metadata()
                .await
                .map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }
}

impl Drop for SegmentFileReader {
    fn drop(&mut self) {
        self.metrics.scan_efficiency_ratio.add_part(self.metrics.bytes_scanned.value());
        // Several readers may share a file, and its size counts once.
        self.metrics.scan_efficiency_ratio.set_total(usize::try_from(self.meta.size).unwrap_or(usize::MAX));
    }
}
