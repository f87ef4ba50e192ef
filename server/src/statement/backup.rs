//! BACKUP, SHOW BACKUP, CANCEL BACKUP.
//!
//! A backup is checked in this order: the privileges, so that a refusal tells nobody what there is; what the catalog
//! knows; the properties; what only the moment and the repository can tell. Then it becomes a job; what goes wrong after
//! that is told by SHOW BACKUP.

use ebla_protocol::sql::ast::backup::{Backup, CancelTarget, RelationRef};
use ebla_protocol::sql::ast::show::ShowTail;
use ebla_protocol::wire::Outcome;
use ebla_storage::backup::{BackupObjects, BackupProperties, BackupSpec, TableSelection};
use ebla_storage::catalog::JobKind;
use ebla_storage::error::Noun;
use ebla_storage::job::BackupRow;

use super::done;
use super::information_schema::{Cell, Viewer};
use super::rows::{TextRows, text};
use super::scope::{Scope, pairs};
use crate::auth::privilege::{Access, Object};
use crate::error::{Error, Result};
use crate::query::source::INFORMATION_SCHEMA;
use crate::session::Session;

/// Where in the columns of SHOW BACKUP the label stands, which LIKE compares.
const SNAPSHOT_NAME: usize = 1;

/// BACKUP.
pub async fn submit(session: &Session, statement: Backup) -> Result<Outcome> {
    if statement.catalogs.is_some() {
        return Err(Error::not_yet("BACKUP of external catalogs"));
    }
    // Before anything is looked up, so that nobody learns from a refusal which repositories and databases there are.
    session.access()?.require("REPOSITORY", Object::System)?;
    let refusal = statement.refusal();
    let scope = Scope::of(&statement.scope)?;
    let mut spec = BackupSpec {
        database: session.database_or_current(statement.database.as_deref())?,
        label: statement.label,
        repository: statement.repository,
        objects: objects(&scope),
        properties: BackupProperties::default(),
    };
    if spec.database.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return Err(Error::refused(format!(
            "Can not back up {INFORMATION_SCHEMA}: its tables are worked out when they are read, and hold no data of their own"
        )));
    }
    require(session, &spec.database, &spec.objects)?;
    let jobs = &session.server.jobs;
    if let Some(refusal) = refusal {
        // What is not there is told before what is there twice.
        let database = spec.database.clone();
        spec.objects = each_once(spec.objects);
        jobs.check_backup(spec).await.map_err(|error| in_known_words(error, &database))?;
        return Err(Error::analysis(refusal));
    }
    jobs.check_backup(spec.clone()).await.map_err(|error| in_known_words(error, &spec.database))?;
    spec.properties = BackupProperties::parse(&pairs(&statement.properties))?;
    if scope.relations().iter().any(|relation| relation.temporary_partitions) {
        return Err(Error::refused("Do not support backing up temp partitions"));
    }
    jobs.submit_backup(spec).await?;
    done()
}

/// What is not there, in the words that BACKUP has for it.
fn in_known_words(error: ebla_storage::Error, database: &str) -> Error {
    match error {
        ebla_storage::Error::NotFound { noun: Noun::Database, name } => Error::UnknownDatabase(name),
        ebla_storage::Error::NotFound { noun: Noun::Table, name } => {
            Error::WrongTable { database: database.to_owned(), table: name }
        }
        other => other.into(),
    }
}

/// EXPORT on every table of the backup; where they are not named, something in the database must be held first.
fn require(session: &Session, database: &str, objects: &BackupObjects) -> Result<()> {
    let access = session.access()?;
    let tables: Vec<String> = match objects {
        BackupObjects::Tables(selections) => {
            let mut names = selections.iter().map(|selection| &selection.table);
            return names.try_for_each(|table| access.require("EXPORT", Object::Table(database, table)));
        }
        BackupObjects::All | BackupObjects::AllWith(_) | BackupObjects::AllBut(_) => {
            access.require_database(database)?;
            let found = session.server.storage.catalog().read(|read| match read.find_database(database)? {
                Some(database) => read.tables(database.id),
                None => Ok(Vec::new()),
            })?;
            found.into_iter().map(|table| table.name).collect()
        }
    };
    let left_out = |table: &String| matches!(objects, BackupObjects::AllBut(names) if names.contains(table));
    tables
        .iter()
        .filter(|table| !left_out(table))
        .try_for_each(|table| access.require_unnamed("EXPORT", database, table))
}

fn objects(scope: &Scope<'_>) -> BackupObjects {
    let selections = || {
        let selection = |relation: &&RelationRef| TableSelection {
            table: relation.name.clone(),
            // Of temporary partitions there is none; they are refused in their turn.
            partitions: if relation.temporary_partitions { Vec::new() } else { relation.partitions.clone() },
        };
        scope.relations().iter().map(selection).collect()
    };
    match scope {
        Scope::All => BackupObjects::All,
        Scope::AllWith(_) => BackupObjects::AllWith(selections()),
        Scope::AllBut(names) => BackupObjects::AllBut(names.clone()),
        Scope::Tables(_) => BackupObjects::Tables(selections()),
    }
}

/// Tables that are named twice as one, with the partitions of both.
fn each_once(objects: BackupObjects) -> BackupObjects {
    let merged = |selections: Vec<TableSelection>| {
        let mut once: Vec<TableSelection> = Vec::new();
        for selection in selections {
            match once.iter_mut().find(|other| other.table == selection.table) {
                Some(other) => other.partitions.extend(selection.partitions),
                None => once.push(selection),
            }
        }
        once
    };
    match objects {
        BackupObjects::Tables(selections) => BackupObjects::Tables(merged(selections)),
        BackupObjects::AllWith(selections) => BackupObjects::AllWith(merged(selections)),
        other => other,
    }
}

/// CANCEL BACKUP.
pub async fn cancel(session: &Session, target: CancelTarget) -> Result<Outcome> {
    cancel_job(session, JobKind::Backup, target).await
}

/// CANCEL BACKUP and CANCEL RESTORE.
pub async fn cancel_job(session: &Session, kind: JobKind, target: CancelTarget) -> Result<Outcome> {
    let CancelTarget::Database(database) = target else {
        return Err(Error::refused(format!(
            "No {} job of external catalogs is running",
            kind.to_string().to_lowercase()
        )));
    };
    let database = session.database_or_current(database.as_deref())?;
    let access = session.access()?;
    access.require("REPOSITORY", Object::System)?;
    check_database(session, Some(&database))?;
    if kind == JobKind::Backup {
        for row in session.server.jobs.backup_rows(Some(&database))? {
            for table in &row.tables {
                access.require("EXPORT", Object::Table(&database, table))?;
            }
        }
    }
    session.server.jobs.cancel(kind, &database).await?;
    done()
}

/// SHOW BACKUP.
pub async fn show(session: &Session, database: Option<&str>, like: Option<&str>, tail: &ShowTail) -> Result<Outcome> {
    let access = session.access()?;
    access.require("REPOSITORY", Object::System)?;
    check_database(session, database)?;
    let mut rows = TextRows::new([
        "JobId",
        "SnapshotName",
        "DbName",
        "State",
        "BackupObjs",
        "CreateTime",
        "SnapshotFinishedTime",
        "UploadFinishedTime",
        "FinishedTime",
        "UnfinishedTasks",
        "Progress",
        "TaskErrMsg",
        "Status",
        "Timeout",
    ])
    .numbers(&["JobId", "Timeout"]);
    for row in session.server.jobs.backup_rows(database)? {
        if !sees(&access, &row) {
            continue;
        }
        let time = |at_ms: Option<i64>| at_ms.map(|at_ms| session.format_time(at_ms));
        rows.push(vec![
            text(row.job_id),
            text(row.snapshot_name),
            text(row.database),
            text(row.state),
            text(row.objects),
            time(Some(row.created_at_ms)),
            time(row.snapshot_finished_at_ms),
            time(row.upload_finished_at_ms),
            time(row.finished_at_ms),
            text(row.unfinished_tasks),
            text(row.progress),
            text(row.task_errors),
            text(row.status),
            text(row.timeout_s),
        ]);
    }
    rows.like(SNAPSHOT_NAME, like).tailed(session, tail).await
}

/// Errors when a database is named that is not there and has no jobs either.
pub fn check_database(session: &Session, database: Option<&str>) -> Result<()> {
    let Some(name) = database else { return Ok(()) };
    let known = session
        .server
        .storage
        .catalog()
        .read(|read| Ok(read.find_database(name)?.is_some() || read.last_job(name)?.is_some()))?;
    if known { Ok(()) } else { Err(Error::UnknownDatabase(name.to_owned())) }
}

fn sees(access: &Access, row: &BackupRow) -> bool {
    row.tables.iter().all(|table| access.allows("EXPORT", Object::Table(&row.database, table)))
}

/// Rows of `information_schema.backup_jobs`.
pub fn history(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    if !viewer.access.allows("REPOSITORY", Object::System) {
        return Ok(Vec::new());
    }
    let rows = viewer.server.jobs.backup_history()?;
    Ok(rows
        .into_iter()
        .filter(|row| sees(&viewer.access, row))
        .map(|row| {
            vec![
                Cell::Number(row.job_id.0),
                row.snapshot_name.into(),
                row.database.into(),
                row.repository.into(),
                row.state.into(),
                row.objects.into(),
                Cell::Time(row.created_at_ms),
                row.snapshot_finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.upload_finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.progress.into(),
                row.task_errors.into(),
                row.status.to_string().into(),
                Cell::Number(row.timeout_s),
                row.totals.bytes.into(),
                row.totals.bytes_uploaded.into(),
                row.totals.objects.into(),
                row.totals.objects_uploaded.into(),
            ]
        })
        .collect())
}
