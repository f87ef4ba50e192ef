//! SHOW SNAPSHOT: one listing of the repository, whatever the number of snapshots. Only the details of one snapshot
//! take more: its commit object and its table nodes.

use std::collections::BTreeMap;

use ebla_protocol::sql::ast::backup::ShowSnapshot;
use ebla_protocol::wire::Outcome;
use ebla_storage::repository::format::{NodeRef, SnapshotManifest, TableNode};
use ebla_storage::repository::{Repository, RepositoryResult, SnapshotTimestamp, layout};
use futures::{StreamExt, TryStreamExt, stream};

use super::rows::{TextRows, text};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// Table nodes that are read at the same time for the details of one snapshot.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// SHOW SNAPSHOT.
pub async fn show(session: &Session, statement: ShowSnapshot) -> Result<Outcome> {
    session.access()?.require("REPOSITORY", Object::System)?;
    let name = &statement.repository;
    check_repository(session, name)?;
    let rows = async {
        match (&statement.timestamp, statement.labels.as_slice()) {
            (Some(timestamp), [label]) => show_one(session, name, label, timestamp).await,
            _ => show_many(session, name, &statement.labels).await,
        }
    };
    session.server.repositories.promptly(rows).await?.limited(statement.limit)
}

/// Errors when no repository has this name.
pub fn check_repository(session: &Session, name: &str) -> Result<()> {
    match session.server.storage.catalog().read(|read| read.find_repository(name))? {
        Some(_) => Ok(()),
        None => Err(Error::refused(format!("Repository [{name}] does not exist"))),
    }
}

async fn show_many(session: &Session, repository: &str, labels: &[String]) -> Result<TextRows> {
    let (_, repository) = session.server.repositories.find(repository).await?;
    let listed = match labels {
        [label] => repository.list_snapshots_of(label).await,
        _ => repository.list_snapshots().await,
    };
    let listed = listed.map_err(ebla_storage::Error::from)?;
    let mut by_label: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for snapshot in &listed.snapshots {
        if labels.is_empty() || labels.contains(&snapshot.label) {
            by_label.entry(&snapshot.label).or_default().push(snapshot.timestamp.as_str());
        }
    }
    let mut rows = TextRows::new(["Snapshot", "Timestamp", "Status"]);
    for (label, timestamps) in by_label {
        rows.push(vec![text(label), text(timestamps.join("\n")), text("OK")]);
    }
    if labels.is_empty() {
        for key in &listed.invalid {
            rows.push(vec![text(key), None, text(format!("Invalid: {key}"))]);
        }
    }
    Ok(rows)
}

async fn show_one(session: &Session, repository: &str, label: &str, timestamp: &str) -> Result<TextRows> {
    let (_, repository) = session.server.repositories.find(repository).await?;
    let listed = repository.list_snapshots_of(label).await.map_err(ebla_storage::Error::from)?;
    let found = listed
        .snapshots
        .iter()
        .find(|snapshot| snapshot.label == label && snapshot.timestamp.matches(timestamp))
        .map(|snapshot| snapshot.timestamp.clone());
    let rows = TextRows::new([
        "Snapshot",
        "Timestamp",
        "Database",
        "Details",
        "Status",
        "ClusterId",
        "FinishTime",
        "TTL",
        "ExpireTime",
    ]);
    let row = match found {
        None => {
            vec![text(label), text(timestamp), None, None, text(not_found(label, timestamp)), None, None, None, None]
        }
        Some(timestamp) => match read(&repository, label, &timestamp).await {
            Ok((manifest, tables)) => vec![
                text(label),
                text(timestamp.as_str()),
                text(&manifest.database),
                Some(details(&manifest, &tables)),
                text("OK"),
                text(&manifest.cluster_id),
                text(session.format_time(manifest.finished_at_ms)),
                manifest.ttl.clone(),
                manifest.expires_at_ms.map(|at_ms| session.format_time(at_ms)),
            ],
            Err(error) => {
                vec![
                    text(label),
                    text(timestamp.as_str()),
                    None,
                    None,
                    text(format!("ERROR: Failed to get info: {error}")),
                    None,
                    None,
                    None,
                    None,
                ]
            }
        },
    };
    Ok(rows.with(row))
}

/// What is said of a snapshot that is not there, in the known words: scripts look for them.
fn not_found(label: &str, timestamp: &str) -> String {
    let prefix = layout::snapshots_of(label).unwrap_or_default();
    format!("Failed to get info: Expected one file with path: {prefix}{timestamp}.json. get: 0")
}

async fn read(
    repository: &Repository,
    label: &str,
    timestamp: &SnapshotTimestamp,
) -> RepositoryResult<(SnapshotManifest, Vec<(String, TableNode)>)> {
    let manifest = repository.read_manifest(label, timestamp).await?;
    let tables: Vec<(String, NodeRef)> = manifest.tables.iter().map(|table| (table.name.clone(), table.node)).collect();
    let tables = stream::iter(tables)
        .map(|(name, node)| async move { RepositoryResult::Ok((name, repository.read_table_node(&node).await?)) })
        .buffered(NODES_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok((manifest, tables))
}

/// The Details column: pretty JSON with one space of indent, keys as StarRocks names them, then Ebla's own.
fn details(manifest: &SnapshotManifest, tables: &[(String, TableNode)]) -> String {
    let objects: serde_json::Map<String, serde_json::Value> = tables
        .iter()
        .map(|(name, node)| {
            let partitions: serde_json::Map<String, serde_json::Value> =
                node.partitions.iter().map(|partition| (partition.name.clone(), serde_json::json!({}))).collect();
            let mut object = serde_json::json!({ "partitions": partitions });
            if let Some(next) = node.auto_increment_next {
                object["autoIncrementId"] = next.into();
            }
            (name.clone(), object)
        })
        .collect();
    let value = serde_json::json!({
        "name": manifest.label,
        "database": manifest.database,
        "backup_time": manifest.timestamp_ms,
        "backup_objects": objects,
        "backup_result": "succeed",
        "format_version": manifest.format_version,
        "engine_version": manifest.engine_version,
        "cluster_id": manifest.cluster_id,
        "rows": manifest.totals.rows,
        "bytes": manifest.totals.bytes,
        "bytes_uploaded": manifest.totals.bytes_uploaded,
        "objects": manifest.totals.objects,
    });
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match serde::Serialize::serialize(&value, &mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => error.to_string(),
    }
}
