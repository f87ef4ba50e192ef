//! The seam to what is stored: names in, an immutable view of a table out.
//!
//! The statement layer implements [`Catalog`] over storage. A [`TableView`] is one version of one table: partitions,
//! their tablets, their segments, and for each segment how its bytes are read and what its columns range over. The view
//! is kept alive by the plan and by the stream of the query, and `pin` with it, so no file it names is deleted meanwhile.
//! Nothing here opens a file.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use roaring::RoaringBitmap;

use super::error::QueryError;
use super::value::Value;

/// The name of the database of virtual tables; it matches in any case, unlike every other database.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// Resolves names for one statement. Implementations check the user's privileges here, too.
///
/// Calls may read the catalog's database for a moment, so planning runs off the socket's thread.
pub trait Catalog: Send + Sync {
    /// Whether a database of this exact name exists.
    fn has_database(&self, database: &str) -> Result<bool, QueryError>;

    /// The relation of this exact name (any case inside `information_schema`), `None` when there is none.
    fn relation(&self, database: &str, name: &str) -> Result<Option<Relation>, QueryError>;
}

/// What a name in FROM stands for.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table with tablets and segments.
    Table(Arc<TableView>),
    /// A table whose rows are made when they are asked for.
    Virtual(VirtualTable),
}

/// One version of one table.
///
/// Names of columns are as defined; queries match them in any case.
pub struct TableView {
    /// The database the table is in.
    pub database: String,
    /// The table's name.
    pub name: String,
    /// The columns. A field's metadata may carry `PARQUET:field_id`, by which files are matched before names are, and
    /// `ebla.mysql_type` ("LARGEINT", "JSON", ...) where the Arrow type says too little.
    pub schema: SchemaRef,
    /// For each column, the value that rows of files older than the column have; missing entries mean NULL.
    pub defaults: Vec<Value>,
    /// Indexes of the range partition columns; empty for an unpartitioned table.
    pub partition_columns: Vec<usize>,
    /// The partitions, in any order.
    pub partitions: Vec<PartitionView>,
    /// How rows are spread over the buckets of a partition; `None` for random distribution.
    pub distribution: Option<Distribution>,
    /// Whatever keeps the files of this view from being deleted.
    pub pin: Arc<dyn Any + Send + Sync>,
}

/// One partition of a [`TableView`].
#[derive(Debug, Clone)]
pub struct PartitionView {
    /// The partition's id.
    pub id: u64,
    /// The partition's name.
    pub name: String,
    /// The rows it takes; `None` for an unpartitioned table.
    pub range: Option<PartitionRange>,
    /// How many buckets it has.
    pub buckets: u32,
    /// Its tablets, one a bucket.
    pub tablets: Vec<TabletView>,
}

/// Lower bound inclusive, upper bound exclusive; one key part for each partition column.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionRange {
    /// `None` when the partition reaches down to the smallest value (and takes NULL).
    pub lower: Option<Vec<KeyPart>>,
    /// `None` when the partition reaches up to the largest value.
    pub upper: Option<Vec<KeyPart>>,
}

/// One part of a partition bound.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPart {
    /// Below every value, NULL included.
    Min,
    /// A value.
    Value(Value),
    /// MAXVALUE.
    Max,
}

/// One bucket of one partition.
#[derive(Debug, Clone)]
pub struct TabletView {
    /// The tablet's id.
    pub id: u64,
    /// Its bucket number, from 0.
    pub bucket: u32,
    /// Its visible segments.
    pub segments: Vec<SegmentFile>,
}

/// One Parquet file of a tablet.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    /// Its name, which tells its content: another file has another name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its rows, deleted ones included.
    pub rows: u64,
    /// How many of them no longer exist.
    pub deleted_rows: u64,
    /// What each column of the table ranges over in this file; may be shorter than the schema.
    pub zones: Vec<Zone>,
    /// Its bytes.
    pub data: Arc<dyn SegmentData>,
}

/// Reads the bytes of one segment. Calls block. What they give is what was written: an implementation checks it.
pub trait SegmentData: fmt::Debug + Send + Sync {
    /// The bytes of these ranges.
    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, QueryError>;

    /// Row numbers within the file that no longer exist; `None` when all do.
    fn deleted(&self) -> Result<Option<Arc<RoaringBitmap>>, QueryError>;
}

/// The zone map of one column of one segment. Bounds may be wider than the data, never narrower.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Zone {
    /// No value is smaller; `None` when unknown.
    pub min: Option<Value>,
    /// No value is larger; `None` when unknown.
    pub max: Option<Value>,
    /// How many values are NULL; `None` when unknown.
    pub null_count: Option<u64>,
}

/// Hash distribution.
#[derive(Clone)]
pub struct Distribution {
    /// Indexes of the columns hashed, in order.
    pub columns: Vec<usize>,
    /// The bucket of each row, given the columns (of the table's types) and the number of buckets. Must be the very
    /// function that loads use.
    pub bucket_of: BucketFn,
}

/// See [`Distribution::bucket_of`].
pub type BucketFn = Arc<dyn Fn(&[ArrayRef], u32) -> Result<Vec<u32>, QueryError> + Send + Sync>;

/// A table whose rows are made when a query reads it.
#[derive(Clone)]
pub struct VirtualTable {
    /// The columns, names as SHOW and `SELECT *` print them.
    pub schema: SchemaRef,
    /// Makes all rows; called once a scan, off the socket's thread.
    pub rows: Arc<dyn Fn() -> Result<RecordBatch, QueryError> + Send + Sync>,
}

impl VirtualTable {
    /// A virtual table of these columns, filled by `rows` when it is read.
    pub fn new(schema: SchemaRef, rows: impl Fn() -> Result<RecordBatch, QueryError> + Send + Sync + 'static) -> Self {
        Self { schema, rows: Arc::new(rows) }
    }
}

/// A set of virtual tables found by name in any case: `information_schema`.
#[derive(Clone, Default)]
pub struct VirtualTables {
    tables: Vec<(String, VirtualTable)>,
}

impl VirtualTables {
    /// The set of these tables.
    pub fn new(tables: Vec<(String, VirtualTable)>) -> Self {
        Self { tables }
    }

    /// The table of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&VirtualTable> {
        self.tables.iter().find(|(table, _)| table.eq_ignore_ascii_case(name)).map(|(_, table)| table)
    }

    /// All names, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }
}

impl fmt::Debug for TableView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableView")
            .field("database", &self.database)
            .field("name", &self.name)
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl fmt::Debug for VirtualTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}
