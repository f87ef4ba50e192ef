//! BACKUP, SHOW BACKUP, CANCEL BACKUP.
//!
//! A backup is checked in StarRocks's order, then becomes a job; what goes wrong after that is told by SHOW BACKUP.

use std::collections::BTreeMap;

use ebla_protocol::sql::ast::backup::{
    Backup, CancelTarget, ObjectKind, ObjectRef, ObjectScope, RelationKind, RelationRef,
};
use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::sql::ast::show::ShowFilter;
use ebla_protocol::wire::Outcome;
use ebla_storage::backup::{BackupObjects, BackupProperties, BackupSpec, TableSelection};
use ebla_storage::catalog::JobKind;
use ebla_storage::job::BackupRow;

use super::done;
use super::information_schema::{Cell, Viewer};
use super::rows::{TextRows, text};
use crate::auth::privilege::{Access, Object};
use crate::error::{Error, Result};
use crate::session::Session;

/// BACKUP.
pub async fn submit(session: &Session, statement: Backup) -> Result<Outcome> {
    if statement.catalogs.is_some() {
        return Err(Error::not_yet("BACKUP of external catalogs"));
    }
    let database = session.database_or_current(statement.database.as_deref())?;
    let objects = objects(&statement.scope)?;
    let properties = BackupProperties::parse(&pairs(&statement.properties))?;
    require(session, &database, &objects)?;
    session
        .server
        .jobs
        .submit_backup(BackupSpec {
            database,
            label: statement.label,
            repository: statement.repository,
            objects,
            properties,
        })
        .await?;
    done()
}

/// REPOSITORY on SYSTEM, and EXPORT on every table of the backup.
fn require(session: &Session, database: &str, objects: &BackupObjects) -> Result<()> {
    let access = session.access()?;
    access.require("REPOSITORY", Object::System)?;
    let tables: Vec<String> = match objects {
        BackupObjects::Tables(selections) => selections.iter().map(|selection| selection.table.clone()).collect(),
        BackupObjects::All | BackupObjects::AllBut(_) => {
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
        .try_for_each(|table| access.require("EXPORT", Object::Table(database, table)))
}

fn objects(scope: &ObjectScope) -> Result<BackupObjects> {
    match scope {
        ObjectScope::Everything => Ok(BackupObjects::All),
        ObjectScope::Exclude(objects) => {
            let selections = selections(objects)?;
            if let Some(selection) = selections.iter().find(|selection| !selection.partitions.is_empty()) {
                return Err(Error::not_yet(format!("EXCLUDE of partitions (table '{}')", selection.table)));
            }
            Ok(BackupObjects::AllBut(selections.into_iter().map(|selection| selection.table).collect()))
        }
        ObjectScope::On(objects) => {
            if objects.iter().any(|object| matches!(object, ObjectRef::All(ObjectKind::Tables))) {
                return Ok(BackupObjects::All);
            }
            Ok(BackupObjects::Tables(selections(objects)?))
        }
    }
}

fn selections(objects: &[ObjectRef]) -> Result<Vec<TableSelection>> {
    objects
        .iter()
        .map(|object| {
            let relation = table_of(object)?;
            if relation.temporary_partitions {
                return Err(Error::refused("Do not support backing up temp partitions"));
            }
            Ok(TableSelection { table: relation.name.clone(), partitions: relation.partitions.clone() })
        })
        .collect()
}

/// The table an object is; other kinds come later.
pub fn table_of(object: &ObjectRef) -> Result<&RelationRef> {
    match object {
        ObjectRef::Relation(relation) => match relation.kind {
            None | Some(RelationKind::Table) => Ok(relation),
            Some(RelationKind::View) => Err(Error::not_yet("BACKUP and RESTORE of views")),
            Some(RelationKind::MaterializedView) => Err(Error::not_yet("BACKUP and RESTORE of materialized views")),
        },
        ObjectRef::Function { .. } | ObjectRef::All(ObjectKind::Functions) => {
            Err(Error::not_yet("BACKUP and RESTORE of functions"))
        }
        ObjectRef::All(ObjectKind::Views) => Err(Error::not_yet("BACKUP and RESTORE of views")),
        ObjectRef::All(ObjectKind::MaterializedViews) => {
            Err(Error::not_yet("BACKUP and RESTORE of materialized views"))
        }
        ObjectRef::All(ObjectKind::Tables) => Err(Error::analysis("ALL TABLES cannot be combined with EXCLUDE")),
    }
}

/// PROPERTIES as storage reads them; the last of a key that is given twice counts.
pub fn pairs(properties: &Properties) -> BTreeMap<String, String> {
    properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
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
pub async fn show(session: &Session, database: Option<&str>, filter: Option<&ShowFilter>) -> Result<Outcome> {
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
    ]);
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
    rows.filtered(session, filter).await
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
