//! `information_schema`: what there is, as tables that can be joined and filtered.
//!
//! Rows are made when a query reads them, from the catalog as it is then, and hold only what the asking account may
//! see. The tables that MySQL's tools look for and that have no counterpart here are there and empty.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ebla_storage::catalog::{TableRow, TableState};
use ebla_storage::schema::{Column, DataType as ColumnType};

use super::{DEFAULT_CATALOG, show_create, show_table};
use crate::auth::privilege::Access;
use crate::error::Result;
use crate::query::source::{INFORMATION_SCHEMA, VirtualTable, VirtualTables};
use crate::query::{QueryError, TimeZone};
use crate::server::Server;
use crate::session::Session;

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
use Kind::{Number, Text, Time};

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
    variables: crate::session::variables::Variables,
    time_zone: TimeZone,
}

const TABLES: &[Definition] = &[
    Definition {
        name: "backup_jobs",
        columns: &[
            ("JOB_ID", Number),
            ("SNAPSHOT_NAME", Text),
            ("DATABASE_NAME", Text),
            ("REPOSITORY_NAME", Text),
            ("STATE", Text),
            ("BACKUP_OBJECTS", Text),
            ("CREATE_TIME", Time),
            ("SNAPSHOT_FINISHED_TIME", Time),
            ("UPLOAD_FINISHED_TIME", Time),
            ("FINISHED_TIME", Time),
            ("PROGRESS", Text),
            ("TASK_ERROR", Text),
            ("STATUS", Text),
            ("TIMEOUT_SECONDS", Number),
            ("BYTES_TOTAL", Number),
            ("BYTES_UPLOADED", Number),
            ("FILES_TOTAL", Number),
            ("FILES_UPLOADED", Number),
        ],
        rows: super::backup::history,
    },
    Definition {
        name: "character_sets",
        columns: &[
            ("CHARACTER_SET_NAME", Text),
            ("DEFAULT_COLLATE_NAME", Text),
            ("DESCRIPTION", Text),
            ("MAXLEN", Number),
        ],
        rows: |_| Ok(vec![vec!["utf8mb4".into(), "utf8mb4_0900_bin".into(), "UTF-8 Unicode".into(), 4.into()]]),
    },
    Definition {
        name: "collations",
        columns: &[
            ("COLLATION_NAME", Text),
            ("CHARACTER_SET_NAME", Text),
            ("ID", Number),
            ("IS_DEFAULT", Text),
            ("IS_COMPILED", Text),
            ("SORTLEN", Number),
        ],
        rows: |_| {
            let row = |name: &str, id: i64, default: &str| {
                vec![name.into(), "utf8mb4".into(), id.into(), default.into(), "Yes".into(), 1.into()]
            };
            Ok(vec![row("utf8mb4_0900_bin", 309, "Yes"), row("utf8mb4_bin", 46, ""), row("utf8mb4_general_ci", 45, "")])
        },
    },
    Definition { name: "columns", columns: COLUMNS_COLUMNS, rows: columns },
    Definition {
        name: "engines",
        columns: &[
            ("ENGINE", Text),
            ("SUPPORT", Text),
            ("COMMENT", Text),
            ("TRANSACTIONS", Text),
            ("XA", Text),
            ("SAVEPOINTS", Text),
        ],
        rows: |_| {
            Ok(vec![vec![
                "OLAP".into(),
                "DEFAULT".into(),
                "Tablets of immutable Parquet segments".into(),
                "NO".into(),
                "NO".into(),
                "NO".into(),
            ]])
        },
    },
    Definition {
        name: "events",
        columns: &[("EVENT_CATALOG", Text), ("EVENT_SCHEMA", Text), ("EVENT_NAME", Text)],
        rows: no_rows,
    },
    Definition {
        name: "files",
        columns: &[
            ("FILE_ID", Number),
            ("FILE_NAME", Text),
            ("FILE_TYPE", Text),
            ("TABLESPACE_NAME", Text),
            ("LOGFILE_GROUP_NAME", Text),
            ("TOTAL_EXTENTS", Number),
            ("INITIAL_SIZE", Number),
            ("ENGINE", Text),
            ("EXTRA", Text),
            ("EXTENT_SIZE", Number),
        ],
        rows: no_rows,
    },
    Definition { name: "global_variables", columns: VARIABLE_COLUMNS, rows: global_variables },
    Definition {
        name: "key_column_usage",
        columns: &[
            ("CONSTRAINT_CATALOG", Text),
            ("CONSTRAINT_SCHEMA", Text),
            ("CONSTRAINT_NAME", Text),
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("COLUMN_NAME", Text),
            ("ORDINAL_POSITION", Number),
            ("POSITION_IN_UNIQUE_CONSTRAINT", Number),
            ("REFERENCED_TABLE_SCHEMA", Text),
            ("REFERENCED_TABLE_NAME", Text),
            ("REFERENCED_COLUMN_NAME", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "keywords",
        columns: &[("WORD", Text), ("RESERVED", Number)],
        rows: |_| Ok(RESERVED_WORDS.iter().map(|word| vec![(*word).into(), 1.into()]).collect()),
    },
    Definition {
        name: "loads",
        columns: &[
            ("LABEL", Text),
            ("TXN_ID", Number),
            ("DB_NAME", Text),
            ("TABLE_NAME", Text),
            ("STATE", Text),
            ("TYPE", Text),
            ("SCAN_ROWS", Number),
            ("FILTERED_ROWS", Number),
            ("SINK_ROWS", Number),
            ("SINK_BYTES", Number),
            ("CREATE_TIME", Time),
            ("LOAD_FINISH_TIME", Time),
            ("ERROR_MSG", Text),
        ],
        rows: loads,
    },
    Definition {
        name: "materialized_views",
        columns: &[
            ("MATERIALIZED_VIEW_ID", Number),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("REFRESH_TYPE", Text),
            ("IS_ACTIVE", Text),
            ("INACTIVE_REASON", Text),
            ("TABLE_ROWS", Number),
            ("MATERIALIZED_VIEW_DEFINITION", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "parameters",
        columns: &[
            ("SPECIFIC_CATALOG", Text),
            ("SPECIFIC_SCHEMA", Text),
            ("SPECIFIC_NAME", Text),
            ("ORDINAL_POSITION", Number),
            ("PARAMETER_MODE", Text),
            ("PARAMETER_NAME", Text),
            ("DATA_TYPE", Text),
            ("ROUTINE_TYPE", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "partitions",
        columns: &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("PARTITION_NAME", Text),
            ("PARTITION_ORDINAL_POSITION", Number),
            ("PARTITION_METHOD", Text),
            ("PARTITION_EXPRESSION", Text),
            ("PARTITION_DESCRIPTION", Text),
            ("TABLE_ROWS", Number),
            ("DATA_LENGTH", Number),
        ],
        rows: partitions,
    },
    Definition {
        name: "partitions_meta",
        columns: &[
            ("DB_NAME", Text),
            ("TABLE_NAME", Text),
            ("PARTITION_NAME", Text),
            ("PARTITION_ID", Number),
            ("VISIBLE_VERSION", Number),
            ("VISIBLE_VERSION_TIME", Time),
            ("PARTITION_KEY", Text),
            ("PARTITION_VALUE", Text),
            ("DISTRIBUTION_KEY", Text),
            ("BUCKETS", Number),
            ("REPLICATION_NUM", Number),
            ("STORAGE_MEDIUM", Text),
            ("COOLDOWN_TIME", Time),
            ("DATA_SIZE", Text),
            ("ROW_COUNT", Number),
        ],
        rows: partitions_meta,
    },
    Definition {
        name: "referential_constraints",
        columns: &[
            ("CONSTRAINT_CATALOG", Text),
            ("CONSTRAINT_SCHEMA", Text),
            ("CONSTRAINT_NAME", Text),
            ("UNIQUE_CONSTRAINT_CATALOG", Text),
            ("UNIQUE_CONSTRAINT_SCHEMA", Text),
            ("UNIQUE_CONSTRAINT_NAME", Text),
            ("MATCH_OPTION", Text),
            ("UPDATE_RULE", Text),
            ("DELETE_RULE", Text),
            ("TABLE_NAME", Text),
            ("REFERENCED_TABLE_NAME", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "repositories",
        columns: &[
            ("REPOSITORY_ID", Number),
            ("REPOSITORY_NAME", Text),
            ("CREATE_TIME", Time),
            ("IS_READ_ONLY", Text),
            ("LOCATION", Text),
            ("BROKER", Text),
            ("ERROR_MSG", Text),
        ],
        rows: repositories,
    },
    Definition {
        name: "restore_jobs",
        columns: &[
            ("JOB_ID", Number),
            ("SNAPSHOT_NAME", Text),
            ("SNAPSHOT_TIMESTAMP", Text),
            ("DATABASE_NAME", Text),
            ("REPOSITORY_NAME", Text),
            ("STATE", Text),
            ("RESTORE_OBJECTS", Text),
            ("CREATE_TIME", Time),
            ("META_PREPARED_TIME", Time),
            ("SNAPSHOT_FINISHED_TIME", Time),
            ("DOWNLOAD_FINISHED_TIME", Time),
            ("FINISHED_TIME", Time),
            ("PROGRESS", Text),
            ("TASK_ERROR", Text),
            ("STATUS", Text),
            ("TIMEOUT_SECONDS", Number),
            ("BYTES_DOWNLOADED", Number),
            ("BYTES_LINKED", Number),
        ],
        rows: super::restore::history,
    },
    Definition {
        name: "routines",
        columns: &[
            ("SPECIFIC_NAME", Text),
            ("ROUTINE_CATALOG", Text),
            ("ROUTINE_SCHEMA", Text),
            ("ROUTINE_NAME", Text),
            ("ROUTINE_TYPE", Text),
            ("DATA_TYPE", Text),
            ("ROUTINE_COMMENT", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "schema_privileges",
        columns: &[
            ("GRANTEE", Text),
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("PRIVILEGE_TYPE", Text),
            ("IS_GRANTABLE", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "schemata",
        columns: &[
            ("CATALOG_NAME", Text),
            ("SCHEMA_NAME", Text),
            ("DEFAULT_CHARACTER_SET_NAME", Text),
            ("DEFAULT_COLLATION_NAME", Text),
            ("SQL_PATH", Text),
            ("DEFAULT_ENCRYPTION", Text),
        ],
        rows: schemata,
    },
    Definition { name: "session_variables", columns: VARIABLE_COLUMNS, rows: session_variables },
    Definition {
        name: "statistics",
        columns: &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("NON_UNIQUE", Number),
            ("INDEX_SCHEMA", Text),
            ("INDEX_NAME", Text),
            ("SEQ_IN_INDEX", Number),
            ("COLUMN_NAME", Text),
            ("COLLATION", Text),
            ("CARDINALITY", Number),
            ("SUB_PART", Number),
            ("PACKED", Text),
            ("NULLABLE", Text),
            ("INDEX_TYPE", Text),
            ("COMMENT", Text),
            ("INDEX_COMMENT", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "table_constraints",
        columns: &[
            ("CONSTRAINT_CATALOG", Text),
            ("CONSTRAINT_SCHEMA", Text),
            ("CONSTRAINT_NAME", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("CONSTRAINT_TYPE", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "table_privileges",
        columns: &[
            ("GRANTEE", Text),
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("PRIVILEGE_TYPE", Text),
            ("IS_GRANTABLE", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "tables",
        columns: &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("TABLE_TYPE", Text),
            ("ENGINE", Text),
            ("VERSION", Number),
            ("ROW_FORMAT", Text),
            ("TABLE_ROWS", Number),
            ("AVG_ROW_LENGTH", Number),
            ("DATA_LENGTH", Number),
            ("MAX_DATA_LENGTH", Number),
            ("INDEX_LENGTH", Number),
            ("DATA_FREE", Number),
            ("AUTO_INCREMENT", Number),
            ("CREATE_TIME", Time),
            ("UPDATE_TIME", Time),
            ("CHECK_TIME", Time),
            ("TABLE_COLLATION", Text),
            ("CHECKSUM", Number),
            ("CREATE_OPTIONS", Text),
            ("TABLE_COMMENT", Text),
        ],
        rows: tables,
    },
    Definition {
        name: "tables_config",
        columns: &[
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("TABLE_ENGINE", Text),
            ("TABLE_MODEL", Text),
            ("PRIMARY_KEY", Text),
            ("PARTITION_KEY", Text),
            ("DISTRIBUTE_KEY", Text),
            ("DISTRIBUTE_TYPE", Text),
            ("DISTRIBUTE_BUCKET", Number),
            ("SORT_KEY", Text),
            ("PROPERTIES", Text),
            ("TABLE_ID", Number),
        ],
        rows: tables_config,
    },
    Definition {
        name: "triggers",
        columns: &[
            ("TRIGGER_CATALOG", Text),
            ("TRIGGER_SCHEMA", Text),
            ("TRIGGER_NAME", Text),
            ("EVENT_MANIPULATION", Text),
            ("EVENT_OBJECT_SCHEMA", Text),
            ("EVENT_OBJECT_TABLE", Text),
            ("ACTION_STATEMENT", Text),
            ("ACTION_TIMING", Text),
        ],
        rows: no_rows,
    },
    Definition {
        name: "user_privileges",
        columns: &[("GRANTEE", Text), ("TABLE_CATALOG", Text), ("PRIVILEGE_TYPE", Text), ("IS_GRANTABLE", Text)],
        rows: no_rows,
    },
    Definition {
        name: "views",
        columns: &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("VIEW_DEFINITION", Text),
            ("CHECK_OPTION", Text),
            ("IS_UPDATABLE", Text),
            ("DEFINER", Text),
            ("SECURITY_TYPE", Text),
            ("CHARACTER_SET_CLIENT", Text),
            ("COLLATION_CONNECTION", Text),
        ],
        rows: no_rows,
    },
];

const VARIABLE_COLUMNS: &[(&str, Kind)] = &[("VARIABLE_NAME", Text), ("VARIABLE_VALUE", Text)];

const COLUMNS_COLUMNS: &[(&str, Kind)] = &[
    ("TABLE_CATALOG", Text),
    ("TABLE_SCHEMA", Text),
    ("TABLE_NAME", Text),
    ("COLUMN_NAME", Text),
    ("ORDINAL_POSITION", Number),
    ("COLUMN_DEFAULT", Text),
    ("IS_NULLABLE", Text),
    ("DATA_TYPE", Text),
    ("CHARACTER_MAXIMUM_LENGTH", Number),
    ("CHARACTER_OCTET_LENGTH", Number),
    ("NUMERIC_PRECISION", Number),
    ("NUMERIC_SCALE", Number),
    ("DATETIME_PRECISION", Number),
    ("CHARACTER_SET_NAME", Text),
    ("COLLATION_NAME", Text),
    ("COLUMN_TYPE", Text),
    ("COLUMN_KEY", Text),
    ("EXTRA", Text),
    ("PRIVILEGES", Text),
    ("COLUMN_COMMENT", Text),
    ("COLUMN_SIZE", Number),
    ("DECIMAL_DIGITS", Number),
    ("GENERATION_EXPRESSION", Text),
    ("SRS_ID", Number),
];

/// Words that need backquotes as names, for clients that ask.
const RESERVED_WORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CREATE",
    "CROSS",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATABASE",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "EXISTS",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "PRIMARY",
    "RIGHT",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

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
                Text => DataType::Utf8,
                Number => DataType::Int64,
                Time => DataType::Timestamp(TimeUnit::Microsecond, None),
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
            Text => {
                let mut builder = StringBuilder::new();
                cells.for_each(|cell| match cell {
                    Cell::Text(text) => builder.append_value(text),
                    Cell::Number(number) => builder.append_value(number.to_string()),
                    _ => builder.append_null(),
                });
                Arc::new(builder.finish()) as ArrayRef
            }
            Number => {
                let mut builder = Int64Builder::new();
                cells.for_each(|cell| match cell {
                    Cell::Number(number) => builder.append_value(*number),
                    _ => builder.append_null(),
                });
                Arc::new(builder.finish()) as ArrayRef
            }
            Time => {
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

fn no_rows(_: &Viewer) -> Result<Vec<Vec<Cell>>> {
    Ok(Vec::new())
}

/// Every table the viewer may see, with the name of its database.
fn visible(viewer: &Viewer) -> Result<Vec<(String, TableRow)>> {
    let catalog = viewer.server.storage.catalog();
    let tables = catalog.read(|read| {
        let mut found = Vec::new();
        for database in read.databases()? {
            for table in read.tables(database.id)? {
                if viewer.access.sees_table(&database.name, &table.name) {
                    found.push((database.name.clone(), table));
                }
            }
        }
        Ok(found)
    })?;
    Ok(tables)
}

fn states(viewer: &Viewer) -> Result<Vec<(String, TableState)>> {
    let catalog = viewer.server.storage.catalog();
    visible(viewer)?
        .into_iter()
        .map(|(database, table)| Ok((database, catalog.read(|read| read.table_state(table.id))?)))
        .collect()
}

fn schemata(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let databases = viewer.server.storage.catalog().read(|read| read.databases())?;
    let names = databases.into_iter().map(|database| database.name).filter(|name| viewer.access.sees_database(name));
    Ok(names
        .chain([INFORMATION_SCHEMA.to_owned()])
        .map(|name| {
            vec![
                DEFAULT_CATALOG.into(),
                name.into(),
                "utf8mb4".into(),
                "utf8mb4_0900_bin".into(),
                Cell::Null,
                "NO".into(),
            ]
        })
        .collect())
}

fn tables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows: Vec<Vec<Cell>> = names()
        .map(|name| {
            let mut row = vec![
                DEFAULT_CATALOG.into(),
                INFORMATION_SCHEMA.into(),
                name.into(),
                "SYSTEM VIEW".into(),
                "MEMORY".into(),
            ];
            row.resize(21, Cell::Null);
            row[20] = "".into();
            row
        })
        .collect();
    for (database, state) in states(viewer)? {
        let (count, bytes) = (state.live_rows(), state.bytes());
        let updated = state.partitions.iter().map(|state| state.partition.visible_version_at_ms).max();
        let counter = state
            .table
            .definition
            .columns
            .iter()
            .any(|column| column.auto_increment)
            .then_some(state.table.auto_increment_next);
        rows.push(vec![
            DEFAULT_CATALOG.into(),
            database.into(),
            state.table.name.clone().into(),
            "BASE TABLE".into(),
            "OLAP".into(),
            Cell::Null,
            Cell::Null,
            count.into(),
            bytes.checked_div(count).unwrap_or(0).into(),
            bytes.into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            counter.into(),
            Cell::Time(state.table.created_at_ms),
            updated.map_or(Cell::Null, Cell::Time),
            Cell::Null,
            "utf8mb4_0900_bin".into(),
            Cell::Null,
            "".into(),
            state.table.definition.comment.clone().into(),
        ]);
    }
    Ok(rows)
}

fn columns(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for (database, table) in visible(viewer)? {
        for (position, column) in table.definition.columns.iter().enumerate() {
            rows.push(column_row(&database, &table.name, position, column));
        }
    }
    Ok(rows)
}

fn column_row(database: &str, table: &str, position: usize, column: &Column) -> Vec<Cell> {
    let length = match &column.data_type {
        ColumnType::Char { length } | ColumnType::Varchar { length } | ColumnType::Varbinary { length } => {
            Some(i64::from(*length))
        }
        _ => None,
    };
    let is_text = matches!(column.data_type, ColumnType::Char { .. } | ColumnType::Varchar { .. });
    let (precision, scale): (Option<i64>, Option<i64>) = match &column.data_type {
        ColumnType::TinyInt => (Some(3), Some(0)),
        ColumnType::SmallInt => (Some(5), Some(0)),
        ColumnType::Int => (Some(10), Some(0)),
        ColumnType::BigInt => (Some(19), Some(0)),
        ColumnType::LargeInt => (Some(39), Some(0)),
        ColumnType::Float => (Some(12), None),
        ColumnType::Double => (Some(22), None),
        ColumnType::Decimal { precision, scale } => (Some((*precision).into()), Some((*scale).into())),
        _ => (None, None),
    };
    let is_time = column.data_type == ColumnType::DateTime;
    vec![
        DEFAULT_CATALOG.into(),
        database.into(),
        table.into(),
        column.name.as_str().into(),
        Cell::Number(position as i64 + 1),
        show_create::default_text(column).into(),
        if column.nullable { "YES" } else { "NO" }.into(),
        show_create::base_type(&column.data_type).into(),
        length.into(),
        length.into(),
        precision.into(),
        scale.into(),
        is_time.then_some(6i64).into(),
        is_text.then_some("utf8mb4").into(),
        is_text.then_some("utf8mb4_0900_bin").into(),
        column.data_type.to_string().into(),
        if column.key { "DUP" } else { "" }.into(),
        if column.auto_increment { "auto_increment" } else { "" }.into(),
        "select,insert,update,references".into(),
        column.comment.as_str().into(),
        precision.or(length).into(),
        scale.into(),
        "".into(),
        Cell::Null,
    ]
}

fn tables_config(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    Ok(visible(viewer)?
        .into_iter()
        .map(|(database, table)| {
            let definition = &table.definition;
            let quoted = |ids: &[_]| {
                definition.names(ids).iter().map(|name| show_create::identifier(name)).collect::<Vec<_>>().join(", ")
            };
            let model = definition.keys_type.to_string().replace("DUPLICATE KEY", "DUP_KEYS");
            let kind = if definition.distribution_columns().is_empty() { "RANDOM" } else { "HASH" };
            vec![
                database.into(),
                table.name.clone().into(),
                "OLAP".into(),
                model.into(),
                "".into(),
                quoted(definition.partition_columns()).into(),
                quoted(definition.distribution_columns()).into(),
                kind.into(),
                Cell::Number(definition.buckets.into()),
                quoted(&definition.sort_key).into(),
                serde_json::to_string(&definition.properties).unwrap_or_default().into(),
                Cell::Number(table.id.0),
            ]
        })
        .collect())
}

fn partitions(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for (database, state) in states(viewer)? {
        let definition = &state.table.definition;
        for (position, partition) in state.partitions.iter().enumerate() {
            rows.push(vec![
                DEFAULT_CATALOG.into(),
                database.as_str().into(),
                state.table.name.as_str().into(),
                partition.partition.name.as_str().into(),
                Cell::Number(position as i64 + 1),
                definition.partitioning.kind().into(),
                definition.names(definition.partition_columns()).join(", ").into(),
                show_table::range_text(&state, &partition.partition.bounds).into(),
                partition.live_rows().into(),
                partition.bytes().into(),
            ]);
        }
    }
    Ok(rows)
}

fn partitions_meta(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for (database, state) in states(viewer)? {
        let definition = &state.table.definition;
        for partition in &state.partitions {
            let row = &partition.partition;
            rows.push(vec![
                database.as_str().into(),
                state.table.name.as_str().into(),
                row.name.as_str().into(),
                Cell::Number(row.id.0),
                Cell::Number(row.visible_version),
                Cell::Time(row.visible_version_at_ms),
                definition.names(definition.partition_columns()).join(", ").into(),
                show_table::range_text(&state, &row.bounds).into(),
                definition.names(definition.distribution_columns()).join(", ").into(),
                Cell::Number(row.buckets.into()),
                Cell::Number(row.replication_num.into()),
                "HDD".into(),
                Cell::Null,
                show_table::short_size(partition.bytes()).into(),
                partition.live_rows().into(),
            ]);
        }
    }
    Ok(rows)
}

fn loads(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for database in viewer.server.storage.catalog().read(|read| read.databases())? {
        for load in viewer.server.storage.catalog().read(|read| read.loads(database.id))? {
            if !viewer.access.sees_table(&database.name, &load.table_name) {
                continue;
            }
            rows.push(vec![
                load.label.into(),
                Cell::Number(load.id.0),
                database.name.as_str().into(),
                load.table_name.into(),
                super::insert::load_state(load.state).into(),
                load.kind.to_string().into(),
                (load.rows + load.filtered_rows).into(),
                load.filtered_rows.into(),
                load.rows.into(),
                load.bytes.into(),
                Cell::Time(load.created_at_ms),
                load.finished_at_ms.map_or(Cell::Null, Cell::Time),
                load.reason.into(),
            ]);
        }
    }
    Ok(rows)
}

fn repositories(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let repositories = viewer.server.storage.catalog().read(|read| read.repositories())?;
    Ok(repositories
        .into_iter()
        .map(|repository| {
            vec![
                Cell::Number(repository.id.0),
                repository.name.into(),
                Cell::Time(repository.created_at_ms),
                repository.read_only.to_string().into(),
                repository.location.into(),
                repository.broker.into(),
                repository.error.into(),
            ]
        })
        .collect())
}

fn session_variables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    Ok(viewer.variables.iter().map(|(name, value)| vec![name.into(), value.into()]).collect())
}

fn global_variables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let globals = viewer.server.globals.read();
    Ok(globals.iter().map(|(name, value)| vec![name.into(), value.into()]).collect())
}
