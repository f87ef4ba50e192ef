//! VERIFY SNAPSHOT, VERIFY REPOSITORY, SHOW VERIFY, CANCEL VERIFY: is what a repository holds what its snapshots need?
//!
//! Reading a repository is what SHOW SNAPSHOT and RESTORE may: REPOSITORY on SYSTEM.

use ebla_protocol::sql::ast::backup::VerifySnapshot;
use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::sql::ast::repository::VerifyRepository;
use ebla_protocol::sql::ast::show::ShowTail;
use ebla_protocol::wire::Outcome;
use ebla_storage::verify::{VerifyProperties, VerifySpec, WantedSnapshot};

use super::done;
use super::information_schema::{Cell, Viewer};
use super::rows::{TextRows, text};
use super::scope::pairs;
use super::snapshot::check_repository;
use crate::auth::privilege::Object;
use crate::error::Result;
use crate::session::Session;

/// Where in the columns of SHOW VERIFY the label stands, which LIKE compares; a VERIFY REPOSITORY has none.
const SNAPSHOT: usize = 2;

/// VERIFY REPOSITORY.
pub async fn repository(session: &Session, statement: VerifyRepository) -> Result<Outcome> {
    submit(session, statement.name, None, &statement.properties).await
}

/// VERIFY SNAPSHOT.
pub async fn snapshot(session: &Session, statement: VerifySnapshot) -> Result<Outcome> {
    let VerifySnapshot { label, repository, timestamp, properties } = statement;
    submit(session, repository, Some(WantedSnapshot { label, timestamp }), &properties).await
}

async fn submit(
    session: &Session,
    repository: String,
    snapshot: Option<WantedSnapshot>,
    properties: &Properties,
) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    check_repository(session, &repository)?;
    let properties = VerifyProperties::parse(&pairs(properties))?;
    session.server.jobs.submit_verify(VerifySpec { repository, snapshot, properties }).await?;
    done()
}

/// CANCEL VERIFY.
pub async fn cancel(session: &Session, repository: &str) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    session.server.jobs.cancel_verify(repository).await?;
    done()
}

/// SHOW VERIFY.
pub async fn show(session: &Session, repository: Option<&str>, like: Option<&str>, tail: &ShowTail) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    repository.map_or(Ok(()), |name| check_repository(session, name))?;
    let mut rows = TextRows::new([
        "JobId",
        "Repository",
        "Snapshot",
        "Timestamp",
        "Depth",
        "State",
        "Progress",
        "Snapshots",
        "ObjectsChecked",
        "BytesChecked",
        "Errors",
        "FirstError",
        "Mended",
        "Unreferenced",
        "UnreferencedBytes",
        "Foreign",
        "CreateTime",
        "FinishedTime",
        "TaskErrMsg",
        "Status",
        "Timeout",
    ])
    .numbers(&[
        "JobId",
        "Snapshots",
        "ObjectsChecked",
        "BytesChecked",
        "Errors",
        "Mended",
        "Unreferenced",
        "UnreferencedBytes",
        "Foreign",
        "Timeout",
    ]);
    for row in session.server.jobs.verify_rows(repository)? {
        let counts = row.counts;
        rows.push(vec![
            text(row.job_id),
            text(row.repository),
            row.label,
            row.timestamp,
            text(row.depth),
            text(row.state),
            text(row.progress),
            text(counts.snapshots),
            text(counts.objects_checked()),
            text(counts.bytes_checked()),
            text(counts.errors),
            row.first_error,
            text(counts.mended),
            text(counts.unreferenced),
            text(counts.unreferenced_bytes),
            text(counts.foreign),
            text(session.format_time(row.created_at_ms)),
            row.finished_at_ms.map(|at_ms| session.format_time(at_ms)),
            text(row.task_errors),
            text(row.status),
            text(row.timeout_s),
        ]);
    }
    rows.like(SNAPSHOT, like).tailed(session, tail).await
}

/// Rows of `information_schema.verify_jobs`.
pub fn history(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    if !viewer.access.allows("REPOSITORY", Object::System) {
        return Ok(Vec::new());
    }
    let rows = viewer.server.jobs.verify_rows(None)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            vec![
                Cell::Number(row.job_id.0),
                row.repository.into(),
                row.label.into(),
                row.timestamp.into(),
                row.depth.into(),
                row.state.into(),
                Cell::Time(row.created_at_ms),
                row.finished_at_ms.map_or(Cell::Null, Cell::Time),
                row.progress.into(),
                row.task_errors.into(),
                row.status.to_string().into(),
                Cell::Number(row.timeout_s),
                row.counts.snapshots.into(),
                row.counts.objects_checked().into(),
                row.counts.bytes_checked().into(),
                row.counts.errors.into(),
                row.first_error.into(),
                row.counts.mended.into(),
                row.counts.unreferenced.into(),
                row.counts.unreferenced_bytes.into(),
                row.counts.foreign.into(),
            ]
        })
        .collect())
}

/// Rows of `information_schema.verify_findings`.
pub fn findings(viewer: &Viewer) -> Result<Vec<Vec<Cell>>> {
    if !viewer.access.allows("REPOSITORY", Object::System) {
        return Ok(Vec::new());
    }
    let found = viewer.server.jobs.verify_findings()?;
    Ok(found
        .into_iter()
        .map(|(repository, finding)| {
            vec![
                Cell::Number(finding.job_id.0),
                repository.into(),
                finding.object_key.into(),
                finding.problem.to_string().into(),
                finding.expected.into(),
                finding.found.into(),
                finding.snapshots.into(),
                finding.needed_by.into(),
                Some(finding.held_by).filter(|table| !table.is_empty()).into(),
                Cell::Time(finding.found_at_ms),
                finding.mended_at_ms.map_or(Cell::Null, Cell::Time),
            ]
        })
        .collect())
}
