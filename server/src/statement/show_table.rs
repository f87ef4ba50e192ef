//! SHOW and DESCRIBE of databases and tables: names, columns, partitions, tablets, sizes.

use ebla_protocol::sql::ast::name::TableName;
use ebla_protocol::sql::ast::show::{Describe, ShowFilter, ShowTail};
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{PartitionRow, PartitionState, TableRow, TableState};
use ebla_storage::schema::{Bound, Column, PartitionBounds, PartitionKey};

use super::rows::{TextRows, text};
use super::{check_catalog, partitions, resolve_table_name, show_create};
use crate::error::{Error, Result};
use crate::query::source::INFORMATION_SCHEMA;
use crate::session::Session;

/// SHOW DATABASES.
pub async fn databases(session: &Session, catalog: Option<&str>, filter: Option<&ShowFilter>) -> Result<Outcome> {
    check_catalog(catalog)?;
    let access = session.access()?;
    let mut names: Vec<String> = session
        .server
        .storage
        .catalog()
        .read(|read| read.databases())?
        .into_iter()
        .map(|database| database.name)
        .filter(|name| access.sees_database(name))
        .collect();
    names.push(INFORMATION_SCHEMA.to_owned());
    names.sort();
    let mut rows = TextRows::new(["Database"]);
    names.into_iter().for_each(|name| rows.push(vec![Some(name)]));
    rows.filtered(session, filter).await
}

/// SHOW CREATE DATABASE.
pub fn create_database(session: &Session, if_not_exists: bool, name: &str) -> Result<Outcome> {
    session.access()?.require_database(name)?;
    if !name.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        session.server.storage.catalog().read(|read| read.database(name))?;
    }
    let exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
    TextRows::new(["Database", "Create Database"])
        .with(vec![text(name), Some(format!("CREATE DATABASE {exists}{}", show_create::identifier(name)))])
        .into_outcome()
}

/// `SHOW [FULL] TABLES`.
pub async fn tables(
    session: &Session,
    full: bool,
    catalog: Option<&str>,
    database: Option<&str>,
    filter: Option<&ShowFilter>,
) -> Result<Outcome> {
    check_catalog(catalog)?;
    let database = session.database_or_current(database)?;
    let heading = format!("Tables_in_{database}");
    let mut rows = match full {
        true => TextRows::new([heading.as_str(), "Table_type"]),
        false => TextRows::new([heading.as_str()]),
    };
    let mut push = |name: &str, kind: &str| match full {
        true => rows.push(vec![text(name), text(kind)]),
        false => rows.push(vec![text(name)]),
    };
    if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        for name in super::information_schema::names() {
            push(name, "SYSTEM VIEW");
        }
    } else {
        for table in visible_tables(session, &database)? {
            push(&table.name, "BASE TABLE");
        }
        rows = rows.exact();
    }
    rows.filtered(session, filter).await
}

/// SHOW TABLE STATUS.
pub async fn table_status(session: &Session, database: Option<&str>, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let database = session.database_or_current(database)?;
    let mut rows = TextRows::new([
        "Name",
        "Engine",
        "Version",
        "Row_format",
        "Rows",
        "Avg_row_length",
        "Data_length",
        "Max_data_length",
        "Index_length",
        "Data_free",
        "Auto_increment",
        "Create_time",
        "Update_time",
        "Check_time",
        "Collation",
        "Checksum",
        "Create_options",
        "Comment",
    ])
    .numbers(&["Rows", "Avg_row_length", "Data_length"]);
    for table in visible_tables(session, &database)? {
        let state = session.server.storage.catalog().read(|read| read.table_state(table.id))?;
        let (count, bytes) = (state.live_rows(), state.bytes());
        let updated = state.partitions.iter().map(|state| state.partition.visible_version_at_ms).max();
        rows.push(vec![
            text(&table.name),
            text("OLAP"),
            None,
            None,
            text(count),
            text(bytes.checked_div(count).unwrap_or(0)),
            text(bytes),
            None,
            None,
            None,
            None,
            text(session.format_time(table.created_at_ms)),
            updated.map(|at_ms| session.format_time(at_ms)),
            None,
            text(super::show_server::COLLATION),
            None,
            None,
            text(&table.definition.comment),
        ]);
    }
    rows.exact().filtered(session, filter).await
}

/// `SHOW [FULL] COLUMNS`.
pub async fn columns(session: &Session, full: bool, table: &TableName, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let mut rows = match full {
        true => {
            TextRows::new(["Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"])
        }
        false => TextRows::new(["Field", "Type", "Null", "Key", "Default", "Extra"]),
    };
    let (database, name) = resolve_table_name(session, table)?;
    if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        let schema = super::table_schema(session, &database, &name)?;
        for field in schema.fields() {
            let kind = super::information_schema::type_name(field.data_type());
            let short = vec![text(field.name()), text(kind), text("YES"), text("false"), None, text("")];
            rows.push(if full { widen(short, "") } else { short });
        }
    } else {
        let table = visible_table(session, &database, &name)?;
        for column in &table.definition.columns {
            let short = describe_column(column);
            rows.push(if full { widen(short, &column.comment) } else { short });
        }
    }
    rows.filtered(session, filter).await
}

/// A row of SHOW COLUMNS as one of SHOW FULL COLUMNS.
fn widen(short: Vec<Option<String>>, comment: &str) -> Vec<Option<String>> {
    let mut full = short;
    full.insert(2, None);
    full.push(text("select,insert,update,references"));
    full.push(text(comment));
    full
}

fn describe_column(column: &Column) -> Vec<Option<String>> {
    vec![
        text(&column.name),
        text(&column.data_type),
        text(if column.nullable { "YES" } else { "NO" }),
        text(if column.key { "true" } else { "false" }),
        show_create::default_text(column),
        text(if column.auto_increment { "auto_increment" } else { "" }),
    ]
}

/// DESC.
pub async fn describe(session: &Session, statement: &Describe) -> Result<Outcome> {
    if !statement.all {
        return columns(session, false, &statement.table, None).await;
    }
    let (database, name) = resolve_table_name(session, &statement.table)?;
    let table = visible_table(session, &database, &name)?;
    let mut rows = TextRows::new(["IndexName", "IndexKeysType", "Field", "Type", "Null", "Key", "Default", "Extra"]);
    for (position, column) in table.definition.columns.iter().enumerate() {
        let (index, keys) = match position {
            0 => (name.clone(), table.definition.keys_type.to_string().replace("DUPLICATE KEY", "DUP_KEYS")),
            _ => (String::new(), String::new()),
        };
        let mut row = vec![Some(index), Some(keys)];
        row.extend(describe_column(column));
        rows.push(row);
    }
    rows.into_outcome()
}

/// SHOW INDEX.
pub async fn index(session: &Session, table: &TableName, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let (database, name) = resolve_table_name(session, table)?;
    let mut rows = TextRows::new([
        "Table",
        "Non_unique",
        "Key_name",
        "Seq_in_index",
        "Column_name",
        "Collation",
        "Cardinality",
        "Sub_part",
        "Packed",
        "Null",
        "Index_type",
        "Comment",
        "Index_comment",
        "Visible",
        "Expression",
    ])
    .numbers(&["Non_unique", "Seq_in_index"]);
    if !database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        let table = visible_table(session, &database, &name)?;
        for index in &table.definition.indexes {
            for (position, column) in table.definition.names(&index.columns).into_iter().enumerate() {
                rows.push(vec![
                    text(&name),
                    text(1),
                    text(&index.name),
                    text(position + 1),
                    text(column),
                    None,
                    None,
                    None,
                    None,
                    text("YES"),
                    text(&index.kind),
                    text(""),
                    text(&index.comment),
                    text("YES"),
                    None,
                ]);
            }
        }
    }
    rows.filtered(session, filter).await
}

/// SHOW CREATE TABLE.
pub fn create_table(session: &Session, table: &TableName) -> Result<Outcome> {
    let (database, name) = resolve_table_name(session, table)?;
    if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        let schema = super::table_schema(session, &database, &name)?;
        return TextRows::new(["Table", "Create Table"])
            .with(vec![text(&name), Some(show_create::create_virtual_table(&name, &schema))])
            .into_outcome();
    }
    let table = visible_table(session, &database, &name)?;
    let partitions = session.server.storage.catalog().read(|read| read.partitions(table.id))?;
    TextRows::new(["Table", "Create Table"])
        .with(vec![text(&name), Some(show_create::create_table(&table, &partitions))])
        .into_outcome()
}

/// SHOW PARTITIONS.
pub async fn show_partitions(
    session: &Session,
    temporary: bool,
    table: &TableName,
    tail: &ShowTail,
) -> Result<Outcome> {
    let mut rows = TextRows::new([
        "PartitionId",
        "PartitionName",
        "VisibleVersion",
        "VisibleVersionTime",
        "VisibleVersionHash",
        "State",
        "PartitionKey",
        "Range",
        "DistributionKey",
        "Buckets",
        "ReplicationNum",
        "StorageMedium",
        "CooldownTime",
        "LastConsistencyCheckTime",
        "DataSize",
        "IsInMemory",
        "RowCount",
    ])
    .numbers(&["PartitionId", "VisibleVersion", "VisibleVersionHash", "Buckets", "ReplicationNum", "RowCount"]);
    let (database, name) = resolve_table_name(session, table)?;
    let table = table_state(session, &database, &name)?;
    let definition = &table.table.definition;
    let distribution = match definition.distribution_columns() {
        [] => "ALL KEY".to_owned(),
        columns => definition.names(columns).join(", "),
    };
    for state in if temporary { &[][..] } else { &table.partitions[..] } {
        let partition = &state.partition;
        rows.push(vec![
            text(partition.id),
            text(&partition.name),
            text(partition.visible_version),
            text(session.format_time(partition.visible_version_at_ms)),
            text(0),
            text("NORMAL"),
            text(definition.names(definition.partition_columns()).join(", ")),
            text(range_text(&table, &partition.bounds)),
            text(&distribution),
            text(partition.buckets),
            text(partition.replication_num),
            text(storage_medium(&table, partition)),
            text("9999-12-31 23:59:59"),
            None,
            text(short_size(state.bytes())),
            text("false"),
            text(state.live_rows()),
        ]);
    }
    rows.tailed(session, tail).await
}

/// What a partition or its table was told about its medium; it is kept and shown, nothing more.
fn storage_medium(table: &TableState, partition: &PartitionRow) -> String {
    let told = partition.properties.get("storage_medium");
    let told = told.or_else(|| table.table.definition.properties.get("storage_medium"));
    told.map_or_else(|| "HDD".to_owned(), |medium| medium.to_uppercase())
}

/// A partition's bounds as SHOW PARTITIONS prints them: `[types: [DATE]; keys: [2019-01-01]; ..types: …; )`.
pub fn range_text(table: &TableState, bounds: &PartitionBounds) -> String {
    let PartitionBounds::Range { lower, upper } = bounds else { return String::new() };
    let definition = &table.table.definition;
    let types: Vec<&str> = definition
        .partition_columns()
        .iter()
        .filter_map(|id| definition.column_by_id(*id))
        .map(|column| partitions::type_name(&column.data_type))
        .collect();
    let key = |key: &PartitionKey| {
        let keys: Vec<String> = key
            .0
            .iter()
            .map(|bound| match bound {
                Bound::MinValue => "MINVALUE".to_owned(),
                Bound::MaxValue => "MAXVALUE".to_owned(),
                Bound::Value(value) => value.to_string(),
            })
            .collect();
        format!("types: [{}]; keys: [{}]; ", types.join(", "), keys.join(", "))
    };
    format!("[{}..{})", key(lower), key(upper))
}

/// SHOW TABLET FROM.
pub async fn tablets(session: &Session, table: &TableName, partitions: &[String], tail: &ShowTail) -> Result<Outcome> {
    let mut rows = TextRows::new([
        "TabletId",
        "ReplicaId",
        "BackendId",
        "SchemaHash",
        "Version",
        "VersionHash",
        "LstSuccessVersion",
        "LstSuccessVersionHash",
        "LstFailedVersion",
        "LstFailedVersionHash",
        "LstFailedTime",
        "DataSize",
        "RowCount",
        "State",
        "LstConsistencyCheckTime",
        "CheckVersion",
        "CheckVersionHash",
        "VersionCount",
        "PathHash",
        "MetaUrl",
        "CompactionStatus",
    ])
    .numbers(&[
        "TabletId",
        "ReplicaId",
        "BackendId",
        "SchemaHash",
        "Version",
        "VersionHash",
        "LstSuccessVersion",
        "LstSuccessVersionHash",
        "LstFailedVersion",
        "LstFailedVersionHash",
        "RowCount",
        "CheckVersion",
        "CheckVersionHash",
        "VersionCount",
        "PathHash",
    ]);
    let (database, name) = resolve_table_name(session, table)?;
    let table = table_state(session, &database, &name)?;
    for state in chosen(&table, partitions)? {
        for tablet in &state.tablets {
            for replica in &tablet.replicas {
                let bytes: u64 = tablet.segments().map(|segment| segment.total_bytes()).sum();
                let count: u64 = tablet.segments().map(|segment| segment.live_rows()).sum();
                let version = text(state.partition.visible_version);
                rows.push(vec![
                    text(tablet.tablet.id),
                    text(replica.id),
                    text(replica.root_id),
                    text(0),
                    version.clone(),
                    text(0),
                    version,
                    text(0),
                    text(if replica.healthy { -1 } else { state.partition.visible_version }),
                    text(0),
                    None,
                    text(short_size(bytes)),
                    text(count),
                    text(if replica.healthy { "NORMAL" } else { "BAD" }),
                    None,
                    text(-1),
                    text(-1),
                    text(tablet.rowsets.len()),
                    text(replica.root_id),
                    text(""),
                    text(""),
                ]);
            }
        }
    }
    rows.tailed(session, tail).await
}

/// SHOW TABLET of one id.
pub fn tablet(session: &Session, id: u64) -> Result<Outcome> {
    let mut rows = TextRows::new([
        "DbName",
        "TableName",
        "PartitionName",
        "IndexName",
        "DbId",
        "TableId",
        "PartitionId",
        "IndexId",
        "IsSync",
        "DetailCmd",
    ]);
    let access = session.access()?;
    for database in session.server.storage.catalog().read(|read| read.databases())? {
        for table in session.server.storage.catalog().read(|read| read.tables(database.id))? {
            if !access.sees_table(&database.name, &table.name) {
                continue;
            }
            let state = session.server.storage.catalog().read(|read| read.table_state(table.id))?;
            for partition in &state.partitions {
                for tablet in &partition.tablets {
                    if u64::try_from(tablet.tablet.id.0) != Ok(id) {
                        continue;
                    }
                    rows.push(vec![
                        text(&database.name),
                        text(&table.name),
                        text(&partition.partition.name),
                        text(&table.name),
                        text(database.id),
                        text(table.id),
                        text(partition.partition.id),
                        text(tablet.tablet.index_id),
                        text("true"),
                        Some(format!(
                            "SHOW TABLET FROM {}.{} WHERE TabletId = {id}",
                            show_create::identifier(&database.name),
                            show_create::identifier(&table.name)
                        )),
                    ]);
                }
            }
        }
    }
    rows.into_outcome()
}

/// SHOW DATA.
pub fn data(session: &Session, table: Option<&TableName>) -> Result<Outcome> {
    match table {
        Some(table) => {
            let (database, name) = resolve_table_name(session, table)?;
            let state = table_state(session, &database, &name)?;
            let (bytes, replicas, count) = (stored_bytes(&state), replica_count(&state), state.live_rows());
            TextRows::new(["TableName", "IndexName", "Size", "ReplicaCount", "RowCount"])
                .with(vec![text(&name), text(&name), text(long_size(bytes)), text(replicas), text(count)])
                .with(vec![text(""), text("Total"), text(long_size(bytes)), text(replicas), text("")])
                .into_outcome()
        }
        None => {
            let database = session.database_or_current(None)?;
            let mut rows = TextRows::new(["TableName", "Size", "ReplicaCount"]);
            let (mut bytes, mut replicas) = (0, 0);
            for table in visible_tables(session, &database)? {
                let state = session.server.storage.catalog().read(|read| read.table_state(table.id))?;
                let (table_bytes, table_replicas) = (stored_bytes(&state), replica_count(&state));
                bytes += table_bytes;
                replicas += table_replicas;
                rows.push(vec![text(&table.name), text(long_size(table_bytes)), text(table_replicas)]);
            }
            rows.push(vec![text("Total"), text(long_size(bytes)), text(replicas)]);
            rows.push(vec![text("Quota"), text("unlimited"), text("unlimited")]);
            rows.push(vec![text("Left"), text("unlimited"), text("unlimited")]);
            rows.into_outcome()
        }
    }
}

fn chosen<'a>(table: &'a TableState, partitions: &[String]) -> Result<Vec<&'a PartitionState>> {
    if partitions.is_empty() {
        return Ok(table.partitions.iter().map(AsRef::as_ref).collect());
    }
    partitions
        .iter()
        .map(|name| {
            table.partition(name).map(AsRef::as_ref).ok_or_else(|| {
                Error::Storage(ebla_storage::Error::not_found(ebla_storage::error::Noun::Partition, name))
            })
        })
        .collect()
}

fn stored_bytes(state: &TableState) -> u64 {
    state
        .partitions
        .iter()
        .flat_map(|partition| &partition.tablets)
        .map(|tablet| {
            let bytes: u64 = tablet.segments().map(|segment| segment.total_bytes()).sum();
            bytes * tablet.replicas.len() as u64
        })
        .sum()
}

fn replica_count(state: &TableState) -> usize {
    state.partitions.iter().flat_map(|partition| &partition.tablets).map(|tablet| tablet.replicas.len()).sum()
}

/// The tables of a database that the session's account may see, by name. Errors unless it may see the database.
pub fn visible_tables(session: &Session, database: &str) -> Result<Vec<TableRow>> {
    if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return Ok(Vec::new());
    }
    let access = session.access()?;
    access.require_database(database)?;
    let tables = session.server.storage.catalog().read(|read| read.tables(read.database(database)?.id))?;
    Ok(tables.into_iter().filter(|table| access.sees_table(database, &table.name)).collect())
}

/// A table that the session's account may see. Whether it may is asked first.
pub fn visible_table(session: &Session, database: &str, name: &str) -> Result<TableRow> {
    if database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        super::table_schema(session, database, name)?;
        return Err(Error::NotOlapTable(format!("{INFORMATION_SCHEMA}.{name}")));
    }
    session.access()?.require_table(database, name)?;
    let found = session.server.storage.catalog().read(|read| read.find_table(read.database(database)?.id, name))?;
    found.ok_or_else(|| Error::UnknownTable(format!("{database}.{name}")))
}

fn table_state(session: &Session, database: &str, name: &str) -> Result<TableState> {
    let table = visible_table(session, database, name)?;
    Ok(session.server.storage.catalog().read(|read| read.table_state(table.id))?)
}

/// `4KB`, as SHOW PARTITIONS prints sizes.
pub fn short_size(bytes: u64) -> String {
    let (value, unit) = scaled(bytes);
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `900.000 B`, as SHOW DATA prints sizes.
fn long_size(bytes: u64) -> String {
    let (value, unit) = scaled(bytes);
    format!("{value:.3} {unit}")
}

fn scaled(bytes: u64) -> (f64, &'static str) {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    (value, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(short_size(0), "0B");
        assert_eq!(short_size(4096), "4KB");
        assert_eq!(short_size(1536), "1.5KB");
        assert_eq!(long_size(900), "900.000 B");
        assert_eq!(long_size(3 << 30), "3.000 GB");
    }
}
