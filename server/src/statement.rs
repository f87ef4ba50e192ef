//! What each statement does: one file a family, one match that lists them all.
//!
//! [`execute`] checks nothing itself. Each statement first names what it is about, then requires the privileges it
//! needs, then checks what it was told, then acts; a refusal at any of these leaves everything as it was.

mod account;
mod admin;
mod alter;
mod backup;
mod database;
mod definition;
mod delete;
mod information_schema;
mod insert;
mod lifecycle;
mod partitions;
pub(crate) mod query;
mod repository;
mod restore;
pub(crate) mod rows;
mod scope;
mod set;
mod show_create;
mod show_server;
mod show_table;
mod snapshot;
mod table;
mod tables;
mod verify;

use arrow::datatypes::SchemaRef;
use ebla_protocol::sql::ast::Statement;
use ebla_protocol::sql::ast::name::TableName;
use ebla_protocol::sql::ast::show::Show;
use ebla_protocol::wire::{Completion, Outcome};

use crate::error::{Error, Result};
use crate::session::Session;

/// The one catalog there is.
pub const DEFAULT_CATALOG: &str = "default_catalog";

/// Runs a statement.
pub async fn execute(session: &mut Session, statement: Statement) -> Result<Outcome> {
    match statement {
        Statement::Query(query) => query::execute(session, *query).await,
        Statement::Explain(explain) => query::explain(session, explain).await,
        Statement::Describe(describe) => show_table::describe(session, &describe).await,

        Statement::CreateDatabase(create) => database::create(session, create),
        Statement::DropDatabase(drop) => database::drop(session, drop),
        Statement::AlterDatabase(alter) => database::alter(session, alter),
        Statement::Use(target) => database::use_database(session, target),
        Statement::Recover(recover) => database::recover(session, recover),

        Statement::CreateTable(create) => table::create(session, *create),
        Statement::CreateTableLike(create) => table::create_like(session, create),
        Statement::CreateTableAs(create) => table::create_as(session, *create).await,
        Statement::DropTable(drop) => table::drop(session, drop),
        Statement::TruncateTable(truncate) => table::truncate(session, truncate),
        Statement::AlterTable(alter) => alter::execute(session, alter).await,

        Statement::Insert(insert) => insert::execute(session, *insert).await,
        Statement::Delete(delete) => delete::execute(session, *delete).await,

        Statement::Show(show) => execute_show(session, *show).await,

        Statement::Set(items) => set::execute(session, items).await,
        Statement::SetCatalog(catalog) => check_catalog(Some(&catalog)).and_then(|()| done()),
        // Each statement is a transaction of its own; what clients send around it by habit changes nothing.
        Statement::Transaction(_) | Statement::LockTables(_) | Statement::UnlockTables | Statement::Flush(_) => done(),
        Statement::Kill(kill) => admin::kill(session, kill),
        Statement::Prepared(prepared) => set::prepared(session, prepared).await,
        Statement::Admin(admin) => admin::execute(session, admin).await,

        Statement::CreateUser(create) => account::create_user(session, create),
        Statement::AlterUser(alter) => account::alter_user(session, alter),
        Statement::DropUser(drop) => account::drop_user(session, drop),
        Statement::SetPassword(set) => account::set_password(session, set),
        Statement::CreateRole(create) => account::create_role(session, create),
        Statement::DropRole(drop) => account::drop_role(session, drop),
        Statement::SetRole(choice) => account::set_role(session, choice),
        Statement::SetDefaultRole(set) => account::set_default_role(session, set),
        Statement::GrantPrivileges(grant) => account::grant_privileges(session, grant),
        Statement::RevokePrivileges(grant) => account::revoke_privileges(session, grant),
        Statement::GrantRoles(grant) => account::grant_roles(session, grant),
        Statement::RevokeRoles(grant) => account::revoke_roles(session, grant),

        Statement::CreateRepository(create) => repository::create(session, create).await,
        Statement::AlterRepository(alter) => repository::alter(session, alter).await,
        Statement::DropRepository(drop) => repository::drop(session, drop),
        Statement::DropSnapshot(drop) => lifecycle::drop_snapshot(session, drop).await,
        Statement::Backup(statement) => backup::submit(session, statement).await,
        Statement::CancelBackup(target) => backup::cancel(session, target).await,
        Statement::Restore(statement) => restore::submit(session, statement).await,
        Statement::CancelRestore(target) => restore::cancel(session, target).await,
        Statement::VerifyRepository(statement) => verify::repository(session, statement).await,
        Statement::VerifySnapshot(statement) => verify::snapshot(session, statement).await,
        Statement::CancelVerify(repository) => verify::cancel(session, &repository).await,

        Statement::NotYet(not_yet) => Err(Error::not_yet(not_yet.name)),
        Statement::CreateView(_) => Err(Error::not_yet(
            "CREATE VIEW (write its query where its name would stand: WITH name AS (query) SELECT …)",
        )),
        Statement::DropView(_) => Err(Error::not_yet("DROP VIEW (there are no views to drop)")),
        Statement::Update(_) => Err(Error::not_yet(
            "UPDATE (DELETE the rows and INSERT them as they shall be, or replace their partition by INSERT OVERWRITE)",
        )),
        Statement::ExecuteAs(_) => Err(Error::not_yet("EXECUTE AS (connect as the user)")),
    }
}

async fn execute_show(session: &mut Session, show: Show) -> Result<Outcome> {
    let session = &*session;
    match show {
        Show::Databases { catalog, filter } => {
            show_table::databases(session, catalog.as_deref(), filter.as_ref()).await
        }
        Show::Tables { full, catalog, database, filter } => {
            show_table::tables(session, full, catalog.as_deref(), database.as_deref(), filter.as_ref()).await
        }
        Show::TableStatus { database, filter } => {
            show_table::table_status(session, database.as_deref(), filter.as_ref()).await
        }
        Show::Columns { full, table, filter } => show_table::columns(session, full, &table, filter.as_ref()).await,
        Show::Index { table, filter } => show_table::index(session, &table, filter.as_ref()).await,
        Show::CreateDatabase { if_not_exists, database } => {
            show_table::create_database(session, if_not_exists, &database)
        }
        Show::CreateTable(table) => show_table::create_table(session, &table),
        Show::CreateRepository(name) => repository::show_create(session, &name),
        Show::Partitions { temporary, table, tail } => {
            show_table::show_partitions(session, temporary, &table, &tail).await
        }
        Show::Tablets { table, partitions, tail } => show_table::tablets(session, &table, &partitions, &tail).await,
        Show::Tablet(id) => show_table::tablet(session, id),
        Show::Data(table) => show_table::data(session, table.as_ref()),

        Show::Variables { scope, filter } => show_server::variables(session, scope, filter.as_ref()).await,
        Show::Status { filter, .. } => show_server::status(session, filter.as_ref()).await,
        Show::Processlist { full } => show_server::processlist(session, full),
        Show::Warnings(limit) => show_server::warnings(session, false, limit).await,
        Show::Errors(limit) => show_server::warnings(session, true, limit).await,
        Show::CountWarnings => show_server::count_warnings(session, false),
        Show::CountErrors => show_server::count_warnings(session, true),
        Show::Engines => show_server::engines(),
        Show::Charset(filter) => show_server::charset(session, filter.as_ref()).await,
        Show::Collation(filter) => show_server::collation(session, filter.as_ref()).await,
        Show::Catalogs(filter) => show_server::catalogs(session, filter.as_ref()).await,
        Show::Frontends => show_server::frontends(session),
        Show::Backends => show_server::backends(session),
        Show::Privileges => show_server::privileges(),

        Show::Grants(grantee) => account::show_grants(session, grantee),
        Show::Users => account::show_users(session),
        Show::Roles => account::show_roles(session),
        Show::Authentication { all, user } => account::show_authentication(session, all, user),

        Show::Backup { database, like, tail } => {
            backup::show(session, database.as_deref(), like.as_deref(), &tail).await
        }
        Show::Restore { brief: _, database, like, tail } => {
            restore::show(session, database.as_deref(), like.as_deref(), &tail).await
        }
        Show::Snapshot(show) => snapshot::show(session, show).await,
        Show::Repositories => repository::show(session),
        Show::Verify { repository, like, tail } => {
            verify::show(session, repository.as_deref(), like.as_deref(), &tail).await
        }
        Show::Load { database, tail } => insert::show_load(session, database.as_deref(), &tail).await,

        Show::Plugins => show_server::nothing(session, &["Name", "Status", "Type", "Library", "License"], None).await,
        Show::ProcedureStatus(filter) | Show::FunctionStatus(filter) => {
            let columns = [
                "Db",
                "Name",
                "Type",
                "Definer",
                "Modified",
                "Created",
                "Security_type",
                "Comment",
                "character_set_client",
                "collation_connection",
                "Database Collation",
            ];
            show_server::nothing(session, &columns, filter.as_ref()).await
        }
        Show::Functions { filter, .. } => {
            let columns = ["Signature", "Return Type", "Function Type", "Intermediate Type", "Properties"];
            show_server::nothing(session, &columns, filter.as_ref()).await
        }
        Show::Triggers { filter, .. } => {
            let columns = [
                "Trigger",
                "Event",
                "Table",
                "Statement",
                "Timing",
                "Created",
                "sql_mode",
                "Definer",
                "character_set_client",
                "collation_connection",
                "Database Collation",
            ];
            show_server::nothing(session, &columns, filter.as_ref()).await
        }
        Show::Events { filter, .. } => {
            let columns = [
                "Db",
                "Name",
                "Definer",
                "Time",
                "Type",
                "Execute at",
                "Interval value",
                "Interval field",
                "Starts",
                "Ends",
                "Status",
                "Originator",
                "character_set_client",
                "collation_connection",
                "Database Collation",
            ];
            show_server::nothing(session, &columns, filter.as_ref()).await
        }
        Show::OpenTables { filter, .. } => {
            show_server::nothing(session, &["Database", "Table", "In_use", "Name_locked"], filter.as_ref()).await
        }
        Show::MaterializedViews { filter, .. } => {
            let columns = [
                "id",
                "database_name",
                "name",
                "refresh_type",
                "is_active",
                "inactive_reason",
                "partition_type",
                "task_id",
                "task_name",
                "rows",
                "text",
            ];
            show_server::nothing(session, &columns, filter.as_ref()).await
        }
        Show::Broker => {
            let columns = ["Name", "IP", "Port", "Alive", "LastStartTime", "LastUpdateTime", "ErrMsg"];
            show_server::nothing(session, &columns, None).await
        }
        // Nothing of these is made or running: a schema change, a dynamic partition, a compute node.
        Show::AlterJobs { tail, kind, .. } => show_server::alter_jobs(session, kind, &tail).await,
        Show::DynamicPartitionTables { .. } => {
            let columns = [
                "TableName",
                "Enable",
                "TimeUnit",
                "Start",
                "End",
                "Prefix",
                "Buckets",
                "ReplicationNum",
                "StartOf",
                "LastUpdateTime",
                "LastSchedulerTime",
                "State",
                "LastUpdateMsg",
                "LastSchedulerMsg",
            ];
            show_server::nothing(session, &columns, None).await
        }
        Show::ComputeNodes => {
            let columns = ["ComputeNodeId", "IP", "HttpPort", "LastStartTime", "Alive", "ErrMsg", "Version"];
            show_server::nothing(session, &columns, None).await
        }
        Show::Profiles => show_server::nothing(session, &["Query_ID", "Duration", "Query"], None).await,
        Show::MasterStatus | Show::BinaryLogs | Show::ReplicaStatus => {
            show_server::nothing(session, &["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB"], None).await
        }
        Show::CreateView(_) | Show::CreateMaterializedView(_) | Show::CreateUser(_) | Show::Proc(_) => {
            Err(Error::not_yet(show.kind()))
        }
    }
}

/// The columns a statement returns, for clients that prepare it; an error when they are not known beforehand.
pub async fn describe(session: &Session, statement: &Statement) -> Result<SchemaRef> {
    match statement {
        Statement::Query(query) => query::output_schema(session, query).await,
        _ => Err(Error::refused("the columns are known once the statement is executed")),
    }
}

/// The columns of a table, or of one of `information_schema`.
pub fn table_schema(session: &Session, database: &str, table: &str) -> Result<SchemaRef> {
    if database.eq_ignore_ascii_case(crate::query::source::INFORMATION_SCHEMA) {
        return information_schema::schema(table).ok_or_else(|| {
            Error::UnknownTable(format!("{}.{}", crate::query::source::INFORMATION_SCHEMA, table.to_lowercase()))
        });
    }
    Ok(show_table::visible_table(session, database, table)?.definition.to_arrow())
}

/// Whether a statement leaves the warnings of the one before it in place.
pub fn keeps_warnings(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Show(show)
            if matches!(**show, Show::Warnings(_) | Show::Errors(_) | Show::CountWarnings | Show::CountErrors)
    )
}

/// Nothing to say but that it is done.
fn done() -> Result<Outcome> {
    Ok(Outcome::Ok(Completion::default()))
}

/// Errors unless the catalog that was named is the one there is.
fn check_catalog(catalog: Option<&str>) -> Result<()> {
    match catalog {
        None => Ok(()),
        Some(name) if name.eq_ignore_ascii_case(DEFAULT_CATALOG) => Ok(()),
        Some(name) => Err(Error::refused(format!("Unknown catalog '{name}': the only catalog is {DEFAULT_CATALOG}"))),
    }
}

/// Database and table of a name that is to be made, changed or filled: not one of `information_schema`.
fn resolve_own_table(session: &Session, name: &TableName) -> Result<(String, String)> {
    let (database, table) = resolve_table_name(session, name)?;
    check_own_database(&database)?;
    Ok((database, table))
}

/// Errors when a database is the one whose tables are worked out.
fn check_own_database(database: &str) -> Result<()> {
    match database.eq_ignore_ascii_case(crate::query::source::INFORMATION_SCHEMA) {
        true => Err(Error::ReadOnlyDatabase),
        false => Ok(()),
    }
}

/// Database and table of a name, the session's database where it names none.
fn resolve_table_name(session: &Session, name: &TableName) -> Result<(String, String)> {
    check_catalog(name.catalog.as_deref())?;
    let database = session.database_or_current(name.database.as_deref())?;
    Ok((database, name.table.clone()))
}
