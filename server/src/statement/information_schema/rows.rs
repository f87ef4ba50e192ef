//! The rows of `information_schema`, made from the catalog as it is when a query reads them.
//!
//! Every function looks at what its viewer may see and at nothing else.

use ebla_storage::catalog::{TableRow, TableState};
use ebla_storage::schema::{Column, DataType as ColumnType};

use super::{Cell, Viewer, names};
use crate::auth::privilege::Object;
use crate::error::Result;
use crate::query::source::INFORMATION_SCHEMA;
use crate::statement::show_server::COLLATION;
use crate::statement::{DEFAULT_CATALOG, show_create, show_table};

pub(super) fn no_rows(_: &Viewer) -> Result<Vec<Vec<Cell>>> {
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

pub(super) fn schemata(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let databases = viewer.server.storage.catalog().read(|read| read.databases())?;
    let names = databases.into_iter().map(|database| database.name).filter(|name| viewer.access.sees_database(name));
    Ok(names
        .chain([INFORMATION_SCHEMA.to_owned()])
        .map(|name| {
            vec![DEFAULT_CATALOG.into(), name.into(), "utf8mb4".into(), COLLATION.into(), Cell::Null, "NO".into()]
        })
        .collect())
}

pub(super) fn tables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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
            COLLATION.into(),
            Cell::Null,
            "".into(),
            state.table.definition.comment.clone().into(),
        ]);
    }
    Ok(rows)
}

pub(super) fn columns(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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
        is_text.then_some(COLLATION).into(),
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

pub(super) fn tables_config(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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

pub(super) fn partitions(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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
                Cell::Null,
            ]);
        }
    }
    Ok(rows)
}

pub(super) fn partitions_meta(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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

pub(super) fn loads(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for database in viewer.server.storage.catalog().read(|read| read.databases())? {
        for load in viewer.server.storage.catalog().read(|read| read.loads(database.id))? {
            if !viewer.access.sees_table(&database.name, &load.table_name) {
                continue;
            }
            let visible_rows = load.visible_rows();
            rows.push(vec![
                load.label.into(),
                Cell::Number(load.id.0),
                database.name.as_str().into(),
                load.table_name.into(),
                crate::statement::insert::load_state(load.state).into(),
                load.kind.to_string().into(),
                (load.rows + load.filtered_rows).into(),
                load.filtered_rows.into(),
                visible_rows.into(),
                load.bytes.into(),
                Cell::Time(load.created_at_ms),
                load.finished_at_ms.map_or(Cell::Null, Cell::Time),
                load.reason.into(),
            ]);
        }
    }
    Ok(rows)
}

pub(super) fn repositories(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
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

pub(super) fn session_variables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    Ok(viewer.variables.iter().map(|(name, value)| vec![name.into(), value.into()]).collect())
}

pub(super) fn global_variables(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let globals = viewer.server.globals.read();
    Ok(globals.iter().map(|(name, value)| vec![name.into(), value.into()]).collect())
}

/// The connections that SHOW FULL PROCESSLIST prints.
pub(super) fn processlist(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    let sees_all = viewer.access.allows("OPERATE", Object::System);
    let now_ms = viewer.server.now_ms();
    Ok(viewer
        .server
        .processes
        .list()
        .into_iter()
        .filter(|process| sees_all || process.user == viewer.user)
        .map(|process| {
            let is_running = process.statement.is_some();
            vec![
                Cell::Number(process.id.into()),
                process.user.into(),
                process.peer.to_string().into(),
                process.database.into(),
                if is_running { "Query" } else { "Sleep" }.into(),
                Cell::Number((now_ms - process.since_ms).max(0) / 1000),
                if is_running { "OK" } else { "" }.into(),
                process.statement.into(),
            ]
        })
        .collect())
}
