//! How the segments of one table are written: the Parquet properties that follow from its definition.
//!
//! Other engines read these files, so everything here is plain Parquet: format version 1 pages, widely known
//! encodings, the page index, sorting columns, bloom filters on request. The same rows written with the same
//! definition by the same version give the same bytes.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType as ArrowType, SchemaRef};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::encoding;
use super::sort::SortKey;
use crate::error::{Error, Result};
use crate::schema::{DataType, TableDefinition};
use crate::storage::StorageConfig;

/// The table property that names the compression.
const COMPRESSION_PROPERTY: &str = "compression";

/// The table property that names the columns with bloom filters.
const BLOOM_FILTER_PROPERTY: &str = "bloom_filter_columns";

/// Level of zstd when a table does not say: beyond it, files hardly shrink and loads slow down.
const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// Chance that a bloom filter lets through a value that is not there.
const BLOOM_FILTER_FALSE_POSITIVES: f64 = 0.01;

/// Rows of a page: what a reader can skip by the page index.
const PAGE_ROWS_MAX: usize = 20_000;

/// How the segments of one table are written.
#[derive(Debug, Clone)]
pub struct SegmentFormat {
    schema: SchemaRef,
    definition: Arc<TableDefinition>,
    sort_key: SortKey,
    compression: Compression,
    bloom_filter_columns: Vec<String>,
    row_group_rows_max: usize,
    row_group_bytes_max: usize,
}

impl SegmentFormat {
    /// The format of a table. Errors when a property does not make sense.
    pub fn new(definition: &Arc<TableDefinition>, config: &StorageConfig) -> Result<SegmentFormat> {
        let compression = match definition.properties.get(COMPRESSION_PROPERTY) {
            Some(text) => parse_compression(text)?,
            None => zstd(ZSTD_LEVEL_DEFAULT)?,
        };
        let bloom_filter_columns = definition
            .properties
            .get(BLOOM_FILTER_PROPERTY)
            .into_iter()
            .flat_map(|names| names.split(','))
            .filter_map(|name| definition.column(name.trim()))
            .filter(|column| !column.data_type.is_nested() && column.data_type != DataType::Boolean)
            .map(|column| column.name.clone())
            .collect();
        Ok(SegmentFormat {
            schema: definition.to_arrow(),
            definition: Arc::clone(definition),
            sort_key: SortKey::new(definition)?,
            compression,
            bloom_filter_columns,
            row_group_rows_max: config.row_group_rows_max.max(1),
            row_group_bytes_max: config.row_group_bytes_max.max(1),
        })
    }

    /// The Arrow schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table's definition.
    pub fn definition(&self) -> &Arc<TableDefinition> {
        &self.definition
    }

    /// What rows are sorted by.
    pub fn sort_key(&self) -> &SortKey {
        &self.sort_key
    }

    /// Properties of a segment of at most `rows_max` rows, the first of which are `first`.
    pub(super) fn properties(&self, rows_max: u64, first: &RecordBatch) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            // The form that readers of the Parquet world take apart.
            .set_created_by(format!("ebla version {}", env!("CARGO_PKG_VERSION")))
            .set_compression(self.compression)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_data_page_row_count_limit(PAGE_ROWS_MAX)
            .set_max_row_group_row_count(Some(self.row_group_rows_max))
            .set_max_row_group_bytes(Some(self.row_group_bytes_max))
            .set_sorting_columns(Some(self.sorting_columns()));
        let leading = self.sort_key.positions().first().copied();
        let group_rows = rows_max.clamp(1, self.row_group_rows_max as u64);
        for (position, column) in self.definition.columns.iter().enumerate() {
            let path = ColumnPath::new(vec![column.name.clone()]);
            let encoding = encoding::choose(first.column(position), group_rows, leading == Some(position));
            properties = properties.set_column_dictionary_enabled(path.clone(), encoding.dictionary);
            if let Some(fallback) = encoding.fallback {
                properties = properties.set_column_encoding(path.clone(), fallback);
            }
            if self.bloom_filter_columns.contains(&column.name) {
                properties = properties
                    .set_column_bloom_filter_fpp(path.clone(), BLOOM_FILTER_FALSE_POSITIVES)
                    .set_column_bloom_filter_ndv(path, group_rows);
            }
        }
        properties.build()
    }

    /// Properties of a run: a sorted file that only this process reads again, so that writing it must be quick.
    pub(super) fn run_properties(&self) -> WriterProperties {
        WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_max_row_group_bytes(Some(self.row_group_bytes_max))
            .build()
    }

    fn sorting_columns(&self) -> Vec<SortingColumn> {
        let leaf_of = |position: usize| -> usize {
            self.schema.fields()[..position].iter().map(|field| leaves(field.data_type())).sum()
        };
        self.sort_key
            .positions()
            .iter()
            .map(|position| SortingColumn {
                // A table has at most some thousand columns.
                column_idx: leaf_of(*position) as i32,
                descending: false,
                nulls_first: true,
            })
            .collect()
    }
}

/// Parquet columns that a column of this type becomes.
fn leaves(data_type: &ArrowType) -> usize {
    match data_type {
        ArrowType::List(element) | ArrowType::Map(element, _) => leaves(element.data_type()),
        ArrowType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

/// Reads the value of the table property `compression`: LZ4, ZSTD, ZSTD(level), SNAPPY, ZLIB or NO_COMPRESSION, without
/// regard to case.
pub fn parse_compression(text: &str) -> Result<Compression> {
    let upper = text.trim().to_uppercase();
    match upper.as_str() {
        "ZSTD" | "DEFAULT" | "DEFAULT_COMPRESSION" => zstd(ZSTD_LEVEL_DEFAULT),
        "LZ4" | "LZ4_FRAME" => Ok(Compression::LZ4_RAW),
        "SNAPPY" => Ok(Compression::SNAPPY),
        "ZLIB" | "GZIP" | "DEFLATE" => Ok(Compression::GZIP(GzipLevel::default())),
        "NO_COMPRESSION" | "NONE" | "UNCOMPRESSED" => Ok(Compression::UNCOMPRESSED),
        _ => upper
            .strip_prefix("ZSTD(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|level| level.trim().parse().ok())
            .and_then(|level| zstd(level).ok())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "unknown compression '{text}': use LZ4, ZSTD, ZSTD(level) with a level of 1 to 22, SNAPPY, ZLIB or NO_COMPRESSION"
                ))
            }),
    }
}

fn zstd(level: i32) -> Result<Compression> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(level)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_names() {
        assert_eq!(parse_compression("lz4").unwrap(), Compression::LZ4_RAW);
        assert_eq!(parse_compression(" zstd(9)").unwrap(), zstd(9).unwrap());
        assert_eq!(parse_compression("ZSTD").unwrap(), zstd(3).unwrap());
        for wrong in ["", "zstd(", "zstd(99)", "brotli"] {
            assert!(parse_compression(wrong).unwrap_err().to_string().contains("use LZ4"), "{wrong}");
        }
    }
}
