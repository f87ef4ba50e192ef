//! The end of snapshots: DROP SNAPSHOT, ADMIN CLEAN REPOSITORY.
//!
//! Both need REPOSITORY on SYSTEM, the second OPERATE as well, as all of ADMIN. What may be dropped and what is garbage storage decides; here is only what was said and
//! what is answered.

use ebla_protocol::sql::ast::backup::{DropSnapshot, DropSnapshotTarget, SnapshotFilter};
use ebla_protocol::wire::Outcome;
use ebla_storage::lifecycle::{DropSpec, SnapshotChoice};

use super::done;
use super::rows::{TextRows, text};
use super::snapshot::check_repository;
use crate::auth::privilege::Object;
use crate::error::Result;
use crate::session::Session;

/// DROP SNAPSHOT.
pub async fn drop_snapshot(session: &Session, statement: DropSnapshot) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    check_repository(session, &statement.repository)?;
    let spec = DropSpec {
        repository: statement.repository,
        choice: match statement.target {
            DropSnapshotTarget::Label(label) => SnapshotChoice::Label(label),
            DropSnapshotTarget::Where(SnapshotFilter { labels, timestamp, not_before, not_after }) => {
                SnapshotChoice::Where { labels, timestamp, not_before, not_after }
            }
        },
        force: statement.force,
    };
    session.server.lifecycle.drop_snapshots(&spec).await?;
    done()
}

/// ADMIN CLEAN REPOSITORY: one turn of collection, and what it did.
pub async fn clean(session: &Session, repository: &str) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    check_repository(session, repository)?;
    session.server.repositories.reach(repository).await?;
    let report = session.server.lifecycle.collect(repository).await?;
    let rows = TextRows::new([
        "Repository",
        "MarkedObjects",
        "MarkedBytes",
        "RemovedObjects",
        "RemovedBytes",
        "FencedBackups",
        "Notes",
    ]);
    rows.with(vec![
        text(repository),
        text(report.marked_objects),
        text(report.marked_bytes),
        text(report.removed_objects),
        text(report.removed_bytes),
        text(report.fenced),
        text(report.notes.join("; ")),
    ])
    .into_outcome()
}
