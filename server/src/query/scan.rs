//! Reading a table: from a [`TableView`] to a plan over Parquet files.
//!
//! Order of events: the optimizer hands over projection, filters and limit; [`prune`] drops partitions by their range,
//! tablets by their bucket and segments by their zone maps; what is left becomes one Parquet scan that knows its exact
//! row count, reads checked bytes ([`store`]), skips deleted rows ([`deletes`]) and reads files of older schemas
//! ([`adapter`]). Filters are never
//! promised to be exact here: the plan above keeps them until the Parquet reader takes them over.
//!
//! The view travels inside the plan with every file, so its pin holds until the last batch is read.

mod adapter;
mod deletes;
mod prune;
mod store;
mod virtual_table;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use store::{SegmentReaderFactory, SegmentStore, object_meta};
pub(crate) use virtual_table::VirtualProvider;

use super::error::QueryError;
use super::source::{SegmentFile, TableView, Zone};

/// Field metadata: the column's name as it was defined. Inside the engine names are lower case.
pub(crate) const DEFINED_NAME: &str = "ebla.name";
/// Field metadata: the MySQL type where the Arrow type says too little.
pub(crate) const MYSQL_TYPE: &str = "ebla.mysql_type";

/// What a scan reads and what it was spared, for EXPLAIN.
#[derive(Debug, Clone)]
pub(crate) struct ScanReport {
    pub(crate) table: String,
    pub(crate) partitions: (usize, usize),
    pub(crate) tablets: (usize, usize),
    pub(crate) segments: (usize, usize),
    pub(crate) rows: u64,
}

impl fmt::Display for ScanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} partitions={}/{} tablets={}/{} segments={}/{} rows={}",
            self.table,
            self.partitions.0,
            self.partitions.1,
            self.tablets.0,
            self.tablets.1,
            self.segments.0,
            self.segments.1,
            self.rows
        )
    }
}

/// Attached to every file of a scan: what EXPLAIN says about it, and the view whose pin keeps the file.
pub(crate) struct ScanTag {
    pub(crate) report: ScanReport,
    _view: Arc<TableView>,
}

/// A table as the engine sees it.
pub(crate) struct SegmentTable {
    view: Arc<TableView>,
    schema: SchemaRef,
    /// Partitions named in `FROM t PARTITION (p, ...)`; empty for all.
    only_partitions: Vec<String>,
    /// Where scans leave their reports, in the order they are planned.
    reports: Reports,
}

/// Collects the reports of one statement's scans.
pub(crate) type Reports = Arc<parking_lot::Mutex<Vec<ScanReport>>>;

impl SegmentTable {
    /// The table of a view, optionally only some of its partitions.
    pub(crate) fn try_new(
        view: Arc<TableView>,
        only_partitions: Vec<String>,
        reports: Reports,
    ) -> Result<Self, QueryError> {
        for wanted in &only_partitions {
            if !view.partitions.iter().any(|p| p.name.eq_ignore_ascii_case(wanted)) {
                return Err(QueryError::UnknownPartition { partition: wanted.clone(), table: view.name.clone() });
            }
        }
        Ok(Self { schema: lower_case_schema(&view.schema), view, only_partitions, reports })
    }

    fn statistics_of(&self, segments: &[&SegmentFile]) -> Statistics {
        let rows: u64 = segments.iter().map(|segment| live_rows(segment)).sum();
        let bytes: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
        let columns = (0..self.schema.fields().len()).map(|column| self.column_statistics(column, segments)).collect();
        Statistics {
            num_rows: Precision::Exact(to_usize(rows)),
            total_byte_size: Precision::Inexact(to_usize(bytes)),
            column_statistics: columns,
        }
    }

    /// The union of the zones: bounds may be wider than the data, so they serve the optimizer, never an answer.
    fn column_statistics(&self, column: usize, segments: &[&SegmentFile]) -> ColumnStatistics {
        let data_type = self.schema.field(column).data_type();
        let mut statistics = ColumnStatistics::new_unknown();
        let mut bounds: Option<(ScalarValue, ScalarValue)> = None;
        let mut nulls = Some(0u64);
        for segment in segments {
            let Some(zone) = segment.zones.get(column) else {
                return statistics;
            };
            nulls = nulls.zip(zone.null_count).map(|(sum, count)| sum + count);
            if zone.null_count == Some(segment.rows) {
                continue;
            }
            let Some((min, max)) = zone_bounds(zone, data_type) else {
                return statistics;
            };
            bounds = Some(match bounds {
                Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
                None => (min, max),
            });
        }
        if let Some((min, max)) = bounds.filter(|(min, max)| !is_whole_range(min, max)) {
            statistics.min_value = Precision::Inexact(min);
            statistics.max_value = Precision::Inexact(max);
        }
        if let Some(nulls) = nulls {
            statistics.null_count = Precision::Inexact(to_usize(nulls));
        }
        statistics
    }

    /// What the reader may use to skip the whole file when a filter becomes known only while the query runs.
    fn file_statistics(&self, segment: &SegmentFile) -> Statistics {
        let columns = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(column, field)| {
                let mut statistics = ColumnStatistics::new_unknown();
                if let Some(zone) = segment.zones.get(column) {
                    if let Some((min, max)) = zone_bounds(zone, field.data_type()) {
                        statistics.min_value = Precision::Exact(min);
                        statistics.max_value = Precision::Exact(max);
                    }
                    if let Some(nulls) = zone.null_count {
                        statistics.null_count = Precision::Exact(to_usize(nulls));
                    }
                }
                statistics
            })
            .collect();
        Statistics {
            num_rows: Precision::Exact(to_usize(segment.rows)),
            total_byte_size: Precision::Inexact(to_usize(segment.size_bytes)),
            column_statistics: columns,
        }
    }

    async fn plan_files(
        &self,
        state: &dyn Session,
        segments: &[&SegmentFile],
        report: &ScanReport,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = Arc::new(SegmentStore::new(segments));
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let tag = Arc::new(ScanTag { report: report.clone(), _view: Arc::clone(&self.view) });

        let mut files = Vec::with_capacity(segments.len());
        for segment in segments {
            let meta = object_meta(segment);
            let access = match segment.deleted_rows {
                0 => None,
                _ => Some(deletes::access_plan(store.as_ref(), &cache, &meta, segment).await?),
            };
            let mut file = PartitionedFile::new_from_meta(meta)
                .with_statistics(Arc::new(self.file_statistics(segment)))
                .with_extension(Arc::clone(&tag));
            if let Some(access) = access {
                file = file.with_extension(access);
            }
            files.push(file);
        }

        let mut options = state.config_options().clone();
        let parquet = std::mem::take(&mut options.execution.parquet);
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(datafusion::config::TableParquetOptions {
                global: parquet,
                ..Default::default()
            })
            .with_parquet_file_reader_factory(Arc::new(SegmentReaderFactory { store, footers: cache }));
        let defaults = adapter::defaults(&self.view, &self.schema);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(group_files(files, state.config().target_partitions()))
            .with_statistics(self.statistics_of(segments))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(adapter::SegmentAdapterFactory::new(defaults))))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for SegmentTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let segments: Vec<&SegmentFile> = self
            .view
            .partitions
            .iter()
            .flat_map(|partition| &partition.tablets)
            .flat_map(|tablet| &tablet.segments)
            .collect();
        Some(self.statistics_of(&segments))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pruned = prune::prune(&self.view, &self.schema, &self.only_partitions, filters, state)?;
        let report = pruned.report(&self.view);
        self.reports.lock().push(report.clone());
        if pruned.segments.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // A limit over filters that are applied later would cut rows that the filters want.
        let limit = if filters.is_empty() { limit } else { None };
        self.plan_files(state, &pruned.segments, &report, projection, limit).await
    }
}

impl fmt::Debug for SegmentTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentTable").field("view", &self.view).finish_non_exhaustive()
    }
}

/// The schema with lower-case names; each field remembers how it was defined.
pub(crate) fn lower_case_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = field.metadata().clone();
            metadata.insert(DEFINED_NAME.to_owned(), field.name().clone());
            field.as_ref().clone().with_name(field.name().to_lowercase()).with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Spreads files over the partitions of the scan, largest first, each to the group that has least so far.
fn group_files(mut files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let count = partitions.clamp(1, files.len().max(1));
    files.sort_by_key(|file| std::cmp::Reverse(file.object_meta.size));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for file in files {
        if let Some(group) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            group.0 += file.object_meta.size;
            group.1.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}

/// The rows of a segment that still exist.
fn live_rows(segment: &SegmentFile) -> u64 {
    segment.rows.saturating_sub(segment.deleted_rows)
}

fn zone_bounds(zone: &Zone, data_type: &datafusion::arrow::datatypes::DataType) -> Option<(ScalarValue, ScalarValue)> {
    let min = zone.min.as_ref()?.to_scalar(data_type)?;
    let max = zone.max.as_ref()?.to_scalar(data_type)?;
    (!min.is_null() && !max.is_null()).then_some((min, max))
}

/// Bounds that span every BIGINT say nothing, and the engine cannot count the values between them.
fn is_whole_range(min: &ScalarValue, max: &ScalarValue) -> bool {
    matches!((min, max), (ScalarValue::Int64(Some(i64::MIN)), ScalarValue::Int64(Some(i64::MAX))))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// An array of one scalar a row; `None` stands for a value that is not known.
fn scalars_to_array(
    scalars: Vec<Option<ScalarValue>>,
    data_type: &datafusion::arrow::datatypes::DataType,
) -> Option<ArrayRef> {
    let null = ScalarValue::try_from(data_type).ok()?;
    ScalarValue::iter_to_array(scalars.into_iter().map(|scalar| scalar.unwrap_or_else(|| null.clone()))).ok()
}

/// The tag of a scan's file, if it is one of ours.
pub(crate) fn scan_tag(file: &PartitionedFile) -> Option<&ScanTag> {
    file.extension::<Arc<ScanTag>>().map(AsRef::as_ref)
}
