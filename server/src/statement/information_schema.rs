//! `information_schema`: what there is, as tables that can be joined and filtered.
//!
//! `definitions` lists the tables and their columns, `rows` makes what is in them; this file ties both to the query
//! engine. Rows are made when a query reads them, from the catalog as it is then, and hold only what the asking account may
//! see. The tables that MySQL's tools look for and that have no counterpart here are there and empty.

mod definitions;
mod rows;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::auth::privilege::Access;
use crate::error::Result;
use crate::query::source::{VirtualTable, VirtualTables};
use crate::query::{QueryError, TimeZone};
use crate::server::Server;
use crate::session::Session;
use definitions::TABLES;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// VARCHAR.
    Text,
    /// BIGINT.
    Number,
    /// DATETIME.
    Time,
}

/// One value of a row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Text(String),
    Number(i64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

/// A table: its name, its columns, and what makes its rows.
struct Definition {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    rows: fn(&Viewer) -> Result<Vec<Vec<Cell>>>,
}

/// Whoever asks, and the server that answers.
pub(super) struct Viewer {
    pub(super) server: Arc<Server>,
    pub(super) access: Access,
    /// The name of the account.
    user: String,
    variables: crate::session::variables::Variables,
    time_zone: TimeZone,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Cell::Number(number.into())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Number(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

/// The tables' names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

/// The columns of a table, by its name in any case.
pub fn schema(name: &str) -> Option<SchemaRef> {
    TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name)).map(schema_of)
}

/// The tables as a session may see them.
pub fn tables_of(session: &Session) -> Result<VirtualTables> {
    let viewer = Arc::new(Viewer {
        server: Arc::clone(&session.server),
        access: session.access()?,
        user: session.identity.user.clone(),
        variables: session.variables.clone(),
        time_zone: session.time_zone(),
    });
    let tables = TABLES.iter().map(|table| {
        let schema = schema_of(table);
        let (viewer, made_schema) = (Arc::clone(&viewer), Arc::clone(&schema));
        let rows = move || {
            let rows = (table.rows)(&viewer).map_err(|error| QueryError::Internal(error.to_string()))?;
            into_batch(&made_schema, table.columns, &rows, viewer.time_zone)
        };
        (table.name.to_owned(), VirtualTable::new(schema, rows))
    });
    Ok(VirtualTables::new(tables.collect()))
}

fn schema_of(table: &Definition) -> SchemaRef {
    let fields: Vec<Field> = table
        .columns
        .iter()
        .map(|(name, kind)| {
            let data_type = match kind {
                Kind::Text => DataType::Utf8,
                Kind::Number => DataType::Int64,
                Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            };
            Field::new(*name, data_type, true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn into_batch(
    schema: &SchemaRef,
    columns: &[(&str, Kind)],
    rows: &[Vec<Cell>],
    time_zone: TimeZone,
) -> Result<RecordBatch, QueryError> {
    let arrays = columns.iter().enumerate().map(|(position, (_, kind))| {
        let cells = rows.iter().map(|row| row.get(position).unwrap_or(&Cell::Null));
        match kind {
            Kind::Text => {
                let mut builder = StringBuilder::new();
                cells.for_each(|cell| match cell {
                    Cell::Text(text) => builder.append_value(text),
                    Cell::Number(number) => builder.append_value(number.to_string()),
                    _ => builder.append_null(),
                });
                Arc::new(builder.finish()) as ArrayRef
            }
            Kind::Number => {
                let mut builder = Int64Builder::new();
                cells.for_each(|cell| match cell {
                    Cell::Number(number) => builder.append_value(*number),
                    _ => builder.append_null(),
                });
                Arc::new(builder.finish()) as ArrayRef
            }
            Kind::Time => {
                let mut builder = TimestampMicrosecondBuilder::new();
                cells.for_each(|cell| match cell {
                    Cell::Time(at_ms) => {
                        let micros = at_ms.saturating_mul(1000);
                        let local = time_zone.to_local(micros).unwrap_or(micros);
                        builder.append_value(local.div_euclid(1_000_000) * 1_000_000);
                    }
                    _ => builder.append_null(),
                });
                Arc::new(builder.finish()) as ArrayRef
            }
        }
    });
    RecordBatch::try_new(Arc::clone(schema), arrays.collect()).map_err(|error| QueryError::Internal(error.to_string()))
}

/// How DESC names the type of a column of these tables.
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int64 => "bigint(20)",
        DataType::Timestamp(..) => "datetime",
        _ => "varchar(1048576)",
    }
}
