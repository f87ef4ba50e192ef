//! Tables in a temporary directory, and a way to ask about them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use sqlparser::ast::{Expr, Query, SelectItem};

use crate::query::source::{
    Catalog, PartitionView, Relation, SegmentData, SegmentFile, TableView, TabletView, VirtualTable, VirtualTables,
    Zone,
};
use crate::query::{
    QueryConfig, QueryEngine, QueryError, StatementContext, TimeZone, Value, VariableScope, Variables, convert,
};

/// The engine of all tests that need no limits of their own.
pub(super) static ENGINE: LazyLock<QueryEngine> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("ebla-query-tests-{}", std::process::id()));
    QueryEngine::new(&QueryConfig { memory_bytes: 256 << 20, spill_dir: dir, spill_bytes_max: 1 << 30, threads: 2 })
        .unwrap()
});

/// A database `db` (and others) over a temporary directory.
pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) catalog: Arc<TestCatalog>,
    pub(super) context: StatementContext,
}

#[derive(Default)]
pub(super) struct TestCatalog {
    pub(super) relations: Mutex<HashMap<(String, String), Relation>>,
    pub(super) virtual_tables: Mutex<VirtualTables>,
}

impl Catalog for TestCatalog {
    fn has_database(&self, database: &str) -> Result<bool, QueryError> {
        Ok(matches!(database, "db" | "other" | "information_schema"))
    }

    fn relation(&self, database: &str, name: &str) -> Result<Option<Relation>, QueryError> {
        if database == "information_schema" {
            return Ok(self.virtual_tables.lock().get(name).cloned().map(Relation::Virtual));
        }
        let key = (database.to_owned(), name.to_owned());
        Ok(self.relations.lock().get(&key).cloned())
    }
}

struct TestVariables {
    sql_mode: &'static str,
}

/// Variables of a session with this `sql_mode`.
pub(super) fn variables(sql_mode: &'static str) -> Arc<dyn Variables> {
    Arc::new(TestVariables { sql_mode })
}

impl Variables for TestVariables {
    fn system(&self, _scope: VariableScope, name: &str) -> Option<Value> {
        match name {
            "autocommit" => Some(Value::Int(1)),
            "version_comment" => Some(Value::String("Ebla".to_owned())),
            "max_allowed_packet" => Some(Value::Int(67_108_864)),
            "sql_mode" => Some(Value::String(self.sql_mode.to_owned())),
            "group_concat_max_len" => Some(Value::Int(1024)),
            "missing" => None,
            _ => Some(Value::String(format!("<{name}>"))),
        }
    }

    fn user(&self, name: &str) -> Value {
        if name == "x" { Value::Int(42) } else { Value::Null }
    }
}

impl Fixture {
    pub(super) fn new() -> Self {
        let catalog = Arc::new(TestCatalog::default());
        let context = StatementContext {
            catalog: Arc::clone(&catalog) as Arc<dyn Catalog>,
            variables: variables("STRICT_TRANS_TABLES"),
            database: Some("db".to_owned()),
            user: "'root'@'127.0.0.1'".to_owned(),
            current_user: "'root'@'%'".to_owned(),
            current_role: "root".to_owned(),
            connection_id: 7,
            version: "8.0.33-ebla-0.1.0".to_owned(),
            current_version: "0.1.0".to_owned(),
            last_insert_id: 3,
            now: DateTime::<Utc>::from_timestamp(1_706_704_496, 123_456_000).unwrap(), // 2024-01-31 12:34:56.123456
            time_zone: TimeZone::UTC,
            select_limit: None,
        };
        Self { dir: tempfile::tempdir().unwrap(), catalog, context }
    }

    /// A table of one partition, one tablet, one segment a batch.
    pub(super) fn table(&self, name: &str, batches: &[RecordBatch]) -> Arc<TableView> {
        let schema = batches[0].schema();
        let segments = batches.iter().map(|batch| self.segment(batch)).collect();
        let view = TableView {
            database: "db".to_owned(),
            name: name.to_owned(),
            defaults: vec![Value::Null; schema.fields().len()],
            schema,
            partition_columns: Vec::new(),
            partitions: vec![PartitionView {
                id: 1,
                name: name.to_owned(),
                range: None,
                buckets: 1,
                tablets: vec![TabletView { id: 1, bucket: 0, segments }],
            }],
            distribution: None,
            pin: Arc::new(()),
        };
        self.register(view)
    }

    pub(super) fn register(&self, view: TableView) -> Arc<TableView> {
        let key = (view.database.clone(), view.name.clone());
        let view = Arc::new(view);
        self.catalog.relations.lock().insert(key, Relation::Table(Arc::clone(&view)));
        view
    }

    /// Writes a batch as a Parquet file with small row groups and tells its zones.
    pub(super) fn segment(&self, batch: &RecordBatch) -> SegmentFile {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.dir.path().join(format!("{number}.parquet"));
        write_parquet(&path, batch);
        segment_of(path, batch, None)
    }

    pub(super) fn virtual_table(&self, name: &str, batch: RecordBatch) {
        let mut tables: Vec<(String, VirtualTable)> = {
            let known = self.catalog.virtual_tables.lock();
            known.names().map(|name| (name.to_owned(), known.get(name).unwrap().clone())).collect()
        };
        tables.push((name.to_owned(), VirtualTable::new(batch.schema(), move || Ok(batch.clone()))));
        *self.catalog.virtual_tables.lock() = VirtualTables::new(tables);
    }

    /// Headers and rows of a query, as text.
    pub(super) fn try_query(&self, sql: &str) -> Result<(Vec<String>, Vec<Vec<String>>), QueryError> {
        let query = parse_query(sql);
        let planned = ENGINE.plan(&query, &self.context)?;
        let headers = planned.columns().fields().iter().map(|f| f.name().clone()).collect();
        let batches = block_on(async { ENGINE.execute(planned).await?.collect_all().await })?;
        Ok((headers, batches.iter().flat_map(rows_of).collect()))
    }

    /// The rows of a query, cells joined by `|`.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        match self.try_query(sql) {
            Ok((_, rows)) => rows.into_iter().map(|row| row.join("|")).collect(),
            Err(error) => panic!("{sql}\n  {error:?}"),
        }
    }

    /// The one value of a query.
    pub(super) fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].clone()
    }

    /// The headers of a query.
    pub(super) fn headers(&self, sql: &str) -> Vec<String> {
        match self.try_query(sql) {
            Ok((headers, _)) => headers,
            Err(error) => panic!("{sql}\n  {error:?}"),
        }
    }

    /// The text of a query's error.
    pub(super) fn error(&self, sql: &str) -> String {
        match self.try_query(sql) {
            Ok((_, rows)) => panic!("{sql} succeeded: {rows:?}"),
            Err(error) => error.to_string(),
        }
    }

    pub(super) fn explain(&self, sql: &str) -> String {
        let planned = ENGINE.plan(&parse_query(sql), &self.context).unwrap();
        let lines = block_on(ENGINE.explain(&planned, crate::query::ExplainMode::Plan)).unwrap();
        lines.join("\n")
    }
}

/// Each query and its rows; all that differ are told at once.
pub(super) fn check_rows(f: &Fixture, cases: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let actual = match f.try_query(sql) {
            Ok((_, rows)) => rows.iter().map(|row| row.join("|")).collect(),
            Err(error) => vec![format!("error: {error}")],
        };
        if actual != *expected {
            wrong.push(format!("{sql}\n    expected {expected:?}\n    got      {actual:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(super) fn parse_query(sql: &str) -> Query {
    let mut statements = ebla_protocol::sql::parse(sql).unwrap_or_else(|error| panic!("{sql}\n  {error}"));
    match statements.remove(0) {
        ebla_protocol::sql::ast::Statement::Query(query) => *query,
        _ => panic!("no query: {sql}"),
    }
}

pub(super) fn parse_expr(sql: &str) -> Expr {
    let query = parse_query(&format!("SELECT {sql}"));
    let select = query.body.as_select().unwrap().clone();
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(expr)) => expr,
        other => panic!("no expression: {other:?}"),
    }
}

pub(super) fn rows_of(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<StringArray> = batch.columns().iter().map(|column| convert::to_strings(column).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| {
                    use arrow::array::Array as _;
                    if column.is_null(row) { "NULL".to_owned() } else { column.value(row).to_owned() }
                })
                .collect()
        })
        .collect()
}

pub(super) fn write_parquet(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub(super) fn segment_of(path: PathBuf, batch: &RecordBatch, deleted: Option<RoaringBitmap>) -> SegmentFile {
    SegmentFile {
        size_bytes: std::fs::metadata(&path).unwrap().len(),
        name: path.to_str().unwrap().to_owned(),
        rows: batch.num_rows() as u64,
        deleted_rows: deleted.as_ref().map_or(0, RoaringBitmap::len),
        zones: batch.columns().iter().map(zone_of).collect(),
        data: Arc::new(PlainFile { path, deleted: deleted.map(Arc::new) }),
    }
}

/// A file that is read as it is.
#[derive(Debug)]
struct PlainFile {
    path: PathBuf,
    deleted: Option<Arc<RoaringBitmap>>,
}

impl SegmentData for PlainFile {
    fn read(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>, QueryError> {
        let bytes = std::fs::read(&self.path)
            .map_err(|error| QueryError::Corrupt(format!("{}: {error}", self.path.display())))?;
        let bytes = bytes::Bytes::from(bytes);
        Ok(ranges.iter().map(|range| bytes.slice(range.start as usize..range.end as usize)).collect())
    }

    fn deleted(&self) -> Result<Option<Arc<RoaringBitmap>>, QueryError> {
        Ok(self.deleted.clone())
    }
}

fn zone_of(column: &ArrayRef) -> Zone {
    let mut zone = Zone { null_count: Some(column.null_count() as u64), ..Zone::default() };
    if column.data_type().is_nested() {
        return zone;
    }
    let values =
        (0..column.len()).map(|row| ScalarValue::try_from_array(column, row).unwrap()).filter(|value| !value.is_null());
    for value in values {
        let known = |bound: &Option<Value>| bound.as_ref().and_then(|bound| bound.to_scalar(column.data_type()));
        if known(&zone.min).is_none_or(|min| value < min) {
            zone.min = Value::from_scalar(&value);
        }
        if known(&zone.max).is_none_or(|max| value > max) {
            zone.max = Value::from_scalar(&value);
        }
    }
    zone
}

/// A batch out of SQL literals: `columns` are `name type`, cells are texts converted to the type; `\N` is NULL.
pub(super) fn batch(columns: &[(&str, DataType)], rows: &[&[&str]]) -> RecordBatch {
    let schema: SchemaRef = Arc::new(Schema::new(
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>(),
    ));
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(index, (_, data_type))| {
            let texts: ArrayRef = Arc::new(StringArray::from(
                rows.iter().map(|row| Some(row[index]).filter(|cell| *cell != "\\N")).collect::<Vec<_>>(),
            ));
            convert::cast(&texts, data_type).unwrap()
        })
        .collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

pub(super) const DATETIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
