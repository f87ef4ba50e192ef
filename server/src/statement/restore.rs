//! RESTORE, SHOW RESTORE, CANCEL RESTORE.

use ebla_protocol::sql::ast::backup::{CancelTarget, RelationRef, Restore};
use ebla_protocol::sql::ast::show::ShowTail;
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::JobKind;
use ebla_storage::restore::{RestoreObjects, RestoreProperties, RestoreSelection, RestoreSpec};

use super::backup::{cancel_job, check_database};
use super::database::check_name;
use super::definition::check_table_name;
use super::done;
use super::information_schema::{Cell, Viewer};
use super::rows::{TextRows, text};
use super::scope::{Scope, pairs};
use super::snapshot::check_repository;
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// Where in the columns of SHOW RESTORE the label stands, which LIKE compares.
const LABEL: usize = 1;

/// RESTORE.
pub async fn submit(session: &Session, statement: Restore) -> Result<Outcome> {
    if statement.catalogs.is_some() {
        return Err(Error::not_yet("RESTORE of external catalogs"));
    }
    // Before anything is looked up, as for BACKUP.
    session.access()?.require("REPOSITORY", Object::System)?;
    let scope = Scope::of(&statement.scope)?;
    let objects = objects(&scope);
    // `RESTORE SNAPSHOT label` with no database anywhere means the snapshot's own; the old form means the session's.
    let target = statement.target_database.clone().or_else(|| match &statement.source_database {
        Some(_) => None,
        None => session.database.clone(),
    });
    let database = target.as_deref().or(statement.source_database.as_deref());
    require(session, database, &objects)?;
    check_repository(session, &statement.repository)?;
    if let Some(refusal) = statement.refusal() {
        return Err(Error::analysis(refusal));
    }
    let properties = RestoreProperties::parse(&pairs(&statement.properties))?;
    // A restore makes the database it is to go into.
    database.map_or(Ok(()), check_name)?;
    // And the tables, under names that CREATE TABLE would refuse as well.
    scope.relations().iter().filter_map(|relation| relation.alias.as_deref()).try_for_each(check_table_name)?;
    if scope.relations().iter().any(|relation| relation.temporary_partitions) {
        return Err(Error::refused("Do not support restoring temporary partitions"));
    }
    session
        .server
        .jobs
        .submit_restore(RestoreSpec {
            database: target,
            source_database: statement.source_database,
            label: statement.label,
            repository: statement.repository,
            objects,
            properties,
        })
        .await?;
    done()
}

/// What it takes to make what the restore may have to make, and INSERT on tables that are there and may be replaced.
fn require(session: &Session, database: Option<&str>, objects: &RestoreObjects) -> Result<()> {
    let access = session.access()?;
    if let (Some(database), RestoreObjects::Tables(selections)) = (database, objects) {
        access.require("CREATE TABLE", Object::Database(database))?;
        let Some(tables) = tables_of(session, database)? else {
            return access.require("CREATE DATABASE", Object::Catalog);
        };
        let mut named = selections
            .iter()
            .map(|selection| selection.target())
            .filter(|name| tables.iter().any(|table| table == name));
        return named.try_for_each(|name| access.require("INSERT", Object::Table(database, name)));
    }
    access.require("CREATE DATABASE", Object::Catalog)?;
    // Which tables are in the snapshot is not known yet, and of one that names no database not even that.
    let databases = match database {
        Some(database) => vec![database.to_owned()],
        None => {
            let all = session.server.storage.catalog().read(|read| read.databases())?;
            all.into_iter().map(|database| database.name).collect()
        }
    };
    let spared = |table: &String| matches!(objects, RestoreObjects::AllBut(names) if names.contains(table));
    for database in databases {
        let tables = tables_of(session, &database)?.unwrap_or_default();
        let mut replaced = tables.iter().filter(|table| !spared(table));
        replaced.try_for_each(|table| access.require_unnamed("INSERT", &database, table))?;
    }
    Ok(())
}

/// The tables of a database; `None` when it is not there.
fn tables_of(session: &Session, database: &str) -> Result<Option<Vec<String>>> {
    let found = session.server.storage.catalog().read(|read| match read.find_database(database)? {
        Some(database) => Ok(Some(read.tables(database.id)?)),
        None => Ok(None),
    })?;
    Ok(found.map(|tables| tables.into_iter().map(|table| table.name).collect()))
}

fn objects(scope: &Scope<'_>) -> RestoreObjects {
    let selections = || {
        let selection = |relation: &&RelationRef| RestoreSelection {
            table: relation.name.clone(),
            partitions: relation.partitions.clone(),
            alias: relation.alias.clone(),
        };
        scope.relations().iter().map(selection).collect()
    };
    match scope {
        Scope::All => RestoreObjects::All,
        Scope::AllWith(_) => RestoreObjects::AllWith(selections()),
        Scope::AllBut(names) => RestoreObjects::AllBut(names.clone()),
        Scope::Tables(_) => RestoreObjects::Tables(selections()),
    }
}

/// CANCEL RESTORE.
pub async fn cancel(session: &Session, target: CancelTarget) -> Result<Outcome> {
    cancel_job(session, JobKind::Restore, target).await
}

/// SHOW RESTORE.
pub async fn show(session: &Session, database: Option<&str>, like: Option<&str>, tail: &ShowTail) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    check_database(session, database)?;
    let mut rows = TextRows::new([
        "JobId",
        "Label",
        "Timestamp",
        "DbName",
        "State",
        "AllowLoad",
        "ReplicationNum",
        "RestoreObjs",
        "CreateTime",
        "MetaPreparedTime",
        "SnapshotFinishedTime",
        "DownloadFinishedTime",
        "FinishedTime",
        "UnfinishedTasks",
        "Progress",
        "TaskErrMsg",
        "Status",
        "Timeout",
    ])
    .numbers(&["JobId", "ReplicationNum", "Timeout"]);
    for row in session.server.jobs.restore_rows(database)? {
        let time = |at_ms: Option<i64>| at_ms.map(|at_ms| session.format_time(at_ms));
        rows.push(vec![
            text(row.job_id),
            text(row.label),
            text(row.timestamp),
            text(row.database),
            text(row.state),
            text(row.allow_load),
            text(row.replication_num),
            text(row.objects),
            time(Some(row.created_at_ms)),
            time(row.meta_prepared_at_ms),
            time(row.snapshot_finished_at_ms),
            time(row.download_finished_at_ms),
            time(row.finished_at_ms),
            text(row.unfinished_tasks),
            text(row.progress),
            text(row.task_errors),
            text(row.status),
            text(row.timeout_s),
        ]);
    }
    rows.like(LABEL, like).tailed(session, tail).await
}

/// Rows of `information_schema.restore_jobs`.
pub fn history(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    if !viewer.access.allows("REPOSITORY", Object::System) {
        return Ok(Vec::new());
    }
    let rows = viewer.server.jobs.restore_history()?;
    Ok(rows
        .into_iter()
        .map(|row| {
            vec![
                Cell::Number(row.job_id.0),
                row.label.into(),
                row.timestamp.into(),
                row.database.into(),
                row.repository.into(),
                row.state.into(),
                row.objects.into(),
                Cell::Time(row.created_at_ms),
                row.meta_prepared_at_ms.map_or(Cell::Null, Cell::Time),
                row.snapshot_finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.download_finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.progress.into(),
                row.task_errors.into(),
                row.status.to_string().into(),
                Cell::Number(row.timeout_s),
                row.bytes_downloaded.into(),
                row.bytes_linked.into(),
            ]
        })
        .collect())
}
