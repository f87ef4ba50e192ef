//! SHOW SNAPSHOT: one listing of the repository, whatever the number of snapshots. Only the details of one snapshot
//! take more: its commit object and its table nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ebla_protocol::sql::ast::backup::ShowSnapshot;
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{SnapshotDamage, SnapshotName};
use ebla_storage::repository::format::{NodeRef, SnapshotManifest};
use ebla_storage::repository::{Repository, SnapshotTimestamp, layout};
use futures::{StreamExt, TryStreamExt, stream};

use super::rows::{TextRows, text};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// Table nodes that are read at the same time for the details of one snapshot.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// Most bytes of names of tables and partitions in the details of one snapshot: what clients take as one answer.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// Bytes that a name takes in the details beside itself.
const NAME_OVERHEAD_BYTES: usize = 16;

/// What the details tell of a table.
struct TableDetails {
    name: String,
    partitions: Vec<String>,
    auto_increment_next: Option<i64>,
}

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
    session.server.repositories.promptly(rows).await?.tailed(session, &statement.tail).await
}

/// Errors when no repository has this name.
pub fn check_repository(session: &Session, name: &str) -> Result<()> {
    match session.server.storage.catalog().read(|read| read.find_repository(name))? {
        Some(_) => Ok(()),
        None => Err(Error::refused(format!("Repository [{name}] does not exist"))),
    }
}

async fn show_many(session: &Session, repository: &str, labels: &[String]) -> Result<TextRows> {
    let name = repository;
    let (row, repository) = session.server.repositories.find(name).await?;
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
    let damaged = damaged(session, &row.identity, None)?;
    let mut rows = TextRows::new(["Snapshot", "Timestamp", "Status"]);
    for (label, timestamps) in by_label {
        let wrong: Vec<String> = timestamps
            .iter()
            .filter_map(|timestamp| {
                let damage = damaged.get(&(label.to_owned(), (*timestamp).to_owned()))?;
                let of = if timestamps.len() > 1 { format!("{timestamp}: ") } else { String::new() };
                Some(format!("ERROR: {of}{}", damage_text(session, name, label, damage)))
            })
            .collect();
        let status = if wrong.is_empty() { "OK".to_owned() } else { wrong.join("\n") };
        rows.push(vec![text(label), text(timestamps.join("\n")), text(status)]);
    }
    if labels.is_empty() {
        for key in &listed.invalid {
            rows.push(vec![text(key), None, text(format!("Invalid: {key}"))]);
        }
    }
    Ok(rows)
}

async fn show_one(session: &Session, repository: &str, label: &str, timestamp: &str) -> Result<TextRows> {
    let name = repository;
    let (row, repository) = session.server.repositories.find(name).await?;
    let listed = repository.list_snapshots_of(label).await.map_err(ebla_storage::Error::from)?;
    let damaged = damaged(session, &row.identity, Some(label))?;
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
                text(match damaged.get(&(label.to_owned(), timestamp.as_str().to_owned())) {
                    Some(damage) => format!("ERROR: {}", damage_text(session, name, label, damage)),
                    None => "OK".to_owned(),
                }),
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

/// What VERIFY of this server has found and nothing has cleared since.
fn damaged(session: &Session, identity: &str, label: Option<&str>) -> Result<BTreeMap<SnapshotName, SnapshotDamage>> {
    Ok(session.server.storage.catalog().read(|read| read.damaged_snapshots(identity, label))?)
}

/// What is said of a snapshot that is damaged.
fn damage_text(session: &Session, repository: &str, label: &str, damage: &SnapshotDamage) -> String {
    let SnapshotDamage { job_id, found_at_ms, objects, more, first } = damage;
    let found = format!("VERIFY job {job_id} ({})", session.format_time(*found_at_ms));
    let look = format!("VERIFY SNAPSHOT {label} ON {repository} looks again");
    match first {
        None => format!("{found} found more damage in the repository than is kept here; {look}"),
        Some((key, problem)) => {
            let least = if *more { "at least " } else { "" };
            let verb = if *objects == 1 && !more { "objects is" } else { "objects are" };
            format!(
                "{found} found that {least}{objects} of its {verb} missing or damaged: {key} ({problem}){}; \
                 information_schema.verify_findings lists them with what to do, {look}",
                if *objects > 1 || *more { ", …" } else { "" }
            )
        }
    }
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
) -> Result<(SnapshotManifest, Vec<TableDetails>), String> {
    let manifest = repository.read_manifest(label, timestamp).await.map_err(|error| error.to_string())?;
    let totals = manifest.totals;
    // Tables may share one node, so few bytes in a repository can stand for any number of names.
    let names_bytes = &AtomicUsize::new(0);
    let entries: Vec<(String, NodeRef)> =
        manifest.tables.iter().map(|table| (table.name.clone(), table.node)).collect();
    let tables = stream::iter(entries)
        .map(|(name, node)| async move {
            let node = repository.read_table_node(&node).await.map_err(|error| error.to_string())?;
            let names = node.partitions.iter().map(|partition| &partition.name).chain([&name]);
            let more: usize = names.map(|name| name.len() + NAME_OVERHEAD_BYTES).sum();
            if names_bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more) > NAMES_BYTES_MAX {
                return Err(format!(
                    "its {} tables and {} partitions have more names than one answer holds ({NAMES_BYTES_MAX} bytes); \
                     VERIFY SNAPSHOT checks them, and RESTORE takes tables and partitions by name",
                    totals.tables, totals.partitions
                ));
            }
            let partitions = node.partitions.iter().map(|partition| partition.name.clone()).collect();
            // The node goes here: the next ones wait for its room.
            Ok(TableDetails { name, partitions, auto_increment_next: node.auto_increment_next })
        })
        .buffered(NODES_IN_FLIGHT_MAX)
        .try_collect()
        .await?;
    Ok((manifest, tables))
}

/// The Details column: pretty JSON with one space of indent, keys as StarRocks names them, then Ebla's own.
fn details(manifest: &SnapshotManifest, tables: &[TableDetails]) -> String {
    let objects: serde_json::Map<String, serde_json::Value> = tables
        .iter()
        .map(|table| {
            let partitions: serde_json::Map<String, serde_json::Value> =
                table.partitions.iter().map(|partition| (partition.clone(), serde_json::json!({}))).collect();
            let mut object = serde_json::json!({ "partitions": partitions });
            if let Some(next) = table.auto_increment_next {
                object["autoIncrementId"] = next.into();
            }
            (table.name.clone(), object)
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
