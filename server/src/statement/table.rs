//! Tables: CREATE (three forms), DROP, TRUNCATE.

use ebla_protocol::sql::ast::dml::{Insert, InsertMode, InsertSource};
use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::sql::ast::table::{
    ColumnDef, CreateTable, CreateTableAs, CreateTableLike, DropTable, TruncateTable,
};
use ebla_protocol::sql::ast::types::DataType as AstType;
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{NewPartition, ReadTransaction};

use super::definition::{self, NewTable};
use super::{done, insert, query, resolve_own_table, resolve_table_name};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// CREATE TABLE with columns.
pub fn create(session: &Session, statement: CreateTable) -> Result<Outcome> {
    refuse_kinds(statement.temporary, statement.external)?;
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("CREATE TABLE", Object::Database(&database))?;
    let table = definition::resolve(&name, &statement.columns, &statement.options, replication_default(session))?;
    make(session, &database, &name, &table, statement.if_not_exists)?;
    done()
}

/// CREATE TABLE LIKE.
pub fn create_like(session: &Session, statement: CreateTableLike) -> Result<Outcome> {
    refuse_kinds(statement.temporary, false)?;
    let (database, name) = resolve_own_table(session, &statement.table)?;
    let (source_database, source) = resolve_table_name(session, &statement.source)?;
    let access = session.access()?;
    access.require("CREATE TABLE", Object::Database(&database))?;
    access.require("SELECT", Object::Table(&source_database, &source))?;
    definition::check_table_name(&name)?;
    let mut table = session.server.storage.catalog().read(|read| {
        let table = read.table(read.database(&source_database)?.id, &source)?;
        let unpartitioned = table.definition.partition_columns().is_empty();
        let partitions = read
            .partitions(table.id)?
            .into_iter()
            .map(|partition| NewPartition {
                name: if unpartitioned { name.clone() } else { partition.name },
                bounds: partition.bounds,
                buckets: partition.buckets,
                replication_num: partition.replication_num,
                properties: partition.properties,
            })
            .collect();
        Ok(NewTable { definition: (*table.definition).clone(), partitions })
    })?;
    definition::replace_properties(&mut table, &statement.properties)?;
    make(session, &database, &name, &table, statement.if_not_exists)?;
    done()
}

/// CREATE TABLE AS SELECT: the table and its rows, or neither.
pub async fn create_as(session: &mut Session, statement: CreateTableAs) -> Result<Outcome> {
    refuse_kinds(statement.temporary, false)?;
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("CREATE TABLE", Object::Database(&database))?;
    let schema = query::output_schema(session, &statement.query).await?;
    if !statement.columns.is_empty() && statement.columns.len() != schema.fields().len() {
        return Err(Error::analysis(format!(
            "Number of columns ({}) does not match that of the query ({})",
            statement.columns.len(),
            schema.fields().len()
        )));
    }
    let columns: Vec<ColumnDef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| {
            let name = statement.columns.get(position).unwrap_or(field.name()).clone();
            Ok(ColumnDef {
                data_type: ast_type(field).ok_or_else(|| {
                    Error::analysis(format!("Column '{name}' of type {} cannot be kept in a table", field.data_type()))
                })?,
                name,
                is_key: false,
                aggregation: None,
                nullable: Some(true),
                default: None,
                auto_increment: false,
                generated: None,
                comment: None,
            })
        })
        .collect::<Result<_>>()?;
    let table = definition::resolve(&name, &columns, &statement.options, replication_default(session))?;
    if !make(session, &database, &name, &table, statement.if_not_exists)? {
        return done();
    }
    let insert = Insert {
        mode: InsertMode::Into,
        table: ebla_protocol::sql::ast::name::TableName::of(&database, &name),
        partitions: Vec::new(),
        temporary_partitions: false,
        label: None,
        properties: Properties::default(),
        columns: Vec::new(),
        source: InsertSource::Query(statement.query),
    };
    match insert::execute_checked(session, insert).await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            session.server.storage.catalog().write(|write| {
                let database = write.database(&database)?;
                match write.find_table(database.id, &name)?.map(|table| write.drop_table_for_good(table.id)) {
                    // It stays until the restore replaces it.
                    None | Some(Err(ebla_storage::Error::BeingRestored { .. })) => Ok(()),
                    Some(dropped) => dropped,
                }
            })?;
            Err(error)
        }
    }
}

/// DROP TABLE.
pub fn drop(session: &Session, statement: DropTable) -> Result<Outcome> {
    if statement.temporary {
        return Err(Error::not_yet("TEMPORARY tables"));
    }
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("DROP", Object::Table(&database, &name))?;
    let dropped = session.server.storage.catalog().write(|write| {
        let Some(database) = write.find_database(&database)? else { return Ok(false) };
        let Some(table) = write.find_table(database.id, &name)? else { return Ok(false) };
        if statement.force {
            write.drop_table_for_good(table.id)?
        } else {
            write.drop_table(table.id)?
        };
        Ok(true)
    })?;
    if !dropped && !statement.if_exists {
        return Err(Error::NoTableToDrop(format!("{database}.{name}")));
    }
    done()
}

/// TRUNCATE TABLE.
pub fn truncate(session: &Session, statement: TruncateTable) -> Result<Outcome> {
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("DELETE", Object::Table(&database, &name))?;
    let partitions = (!statement.partitions.is_empty()).then_some(statement.partitions.as_slice());
    session.server.storage.truncate(&database, &name, partitions)?;
    done()
}

/// Makes a table. Returns false when it is there already and that is allowed.
fn make(session: &Session, database: &str, name: &str, table: &NewTable, if_not_exists: bool) -> Result<bool> {
    // Those of partitions are checked where replicas are given their places; a table may have no partition yet.
    if let Some(wanted) = table.definition.properties.get("replication_num") {
        let wanted = definition::parse_replication_num(wanted)?;
        if let Err(refusal) = session.server.storage.roots().check_replication_num(wanted) {
            let is_there = |read: &ReadTransaction<'_>| match read.find_database(database)? {
                Some(database) => Ok(read.tables(database.id)?.iter().any(|table| table.name == name)),
                None => Ok(false),
            };
            let is_made = if_not_exists && session.server.storage.catalog().read(is_there)?;
            return if is_made { Ok(false) } else { Err(refusal.into()) };
        }
    }
    let made = session.server.storage.create_table(database, name, &table.definition, &table.partitions);
    match made {
        Err(ebla_storage::Error::AlreadyExists { noun: ebla_storage::error::Noun::Table, .. }) if if_not_exists => {
            Ok(false)
        }
        other => {
            other?;
            Ok(true)
        }
    }
}

fn replication_default(session: &Session) -> u32 {
    session.server.storage.roots().default_replication_num()
}

fn refuse_kinds(temporary: bool, external: bool) -> Result<()> {
    match (temporary, external) {
        (true, _) => Err(Error::not_yet("TEMPORARY tables")),
        (_, true) => Err(Error::not_yet("EXTERNAL tables")),
        _ => Ok(()),
    }
}

/// The column type that keeps what a query returns.
fn ast_type(field: &arrow::datatypes::Field) -> Option<AstType> {
    use arrow::datatypes::DataType as Arrow;
    let mark = field.metadata().get(ebla_storage::schema::MYSQL_TYPE_KEY).map(String::as_str);
    Some(match field.data_type() {
        _ if mark == Some("LARGEINT") => AstType::LargeInt,
        _ if mark == Some("JSON") => AstType::Json,
        Arrow::Null | Arrow::Boolean => AstType::Boolean,
        Arrow::Int8 => AstType::TinyInt,
        Arrow::Int16 | Arrow::UInt8 => AstType::SmallInt,
        Arrow::Int32 | Arrow::UInt16 => AstType::Int,
        Arrow::Int64 | Arrow::UInt32 => AstType::BigInt,
        Arrow::UInt64 => AstType::LargeInt,
        Arrow::Float16 | Arrow::Float32 => AstType::Float,
        Arrow::Float64 => AstType::Double,
        Arrow::Decimal128(precision, scale)
        | Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
            if *scale >= 0 =>
        {
            AstType::Decimal { precision: Some(*precision), scale: Some(scale.unsigned_abs()) }
        }
        Arrow::Decimal256(_, 0) => AstType::LargeInt,
        Arrow::Decimal256(_, scale) if *scale >= 0 => {
            AstType::Decimal { precision: Some(38), scale: Some(scale.unsigned_abs().min(38)) }
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => AstType::String,
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView => AstType::Varbinary(None),
        Arrow::Date32 | Arrow::Date64 => AstType::Date,
        Arrow::Timestamp(..) => AstType::DateTime,
        Arrow::List(element) | Arrow::LargeList(element) => AstType::Array(Box::new(ast_type(element)?)),
        _ => return None,
    })
}
