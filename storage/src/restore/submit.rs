//! What a RESTORE is checked for before it becomes a job, in the order and the words that StarRocks has, and what the
//! plan needs to know of this cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    RestoreJob, RestoreObjects, RestoreSelection, RestoreSpec, RestoreState, Target, TargetPartition, TargetTable,
};
use crate::catalog::{JobKind, NewJob, ReadTransaction};
use crate::error::{Error, Result};
use crate::ids::{DatabaseId, RepositoryId, TableId};
use crate::job::{JobStatus, encode_payload, refuse_busy_database};
use crate::repository::format::{SnapshotManifest, TableNode};
use crate::repository::{Repository, RepositoryError, SnapshotTimestamp};
use crate::storage::{Storage, blocking};

/// Most bytes of the names of partitions that a job shows though nobody named them: its row in the catalog has them.
const SHOWN_BYTES_MAX: usize = 8 << 20;

/// Checks a restore and makes the job. Reads the commit object, and the nodes of tables whose partitions are named
/// here or were named in the backup.
pub(crate) async fn decide(
    storage: &Arc<Storage>,
    repository_id: RepositoryId,
    repository: &Repository,
    spec: RestoreSpec,
) -> Result<NewJob> {
    let timestamp = find_snapshot(repository, &spec.label, spec.properties.backup_timestamp.as_deref()).await?;
    let manifest = read_manifest(repository, &spec.label, &timestamp).await?;
    if let Some(source) = spec.source_database.as_ref().filter(|source| **source != manifest.database) {
        return Err(Error::invalid(format!("target database: {source} is not existed in snapshot")));
    }
    let named = spec.database.or(spec.source_database);
    let database = named.unwrap_or_else(|| manifest.database.clone());
    check_database_name(&database)?;
    let catalog = Arc::clone(storage.catalog());
    let running = blocking(move || catalog.read(|read| read.running_jobs())).await?;
    refuse_busy_database(&running, &database)?;
    let mut shown = select(&spec.objects, &manifest)?;
    check_partitions(repository, &manifest, &mut shown).await?;
    let replication_num_shown =
        spec.properties.replication_num.unwrap_or_else(|| storage.roots().default_replication_num());
    let job = RestoreJob {
        state: RestoreState::Pending,
        repository_id,
        repository: spec.repository,
        database,
        label: spec.label,
        timestamp,
        objects: spec.objects,
        shown,
        replication_num: spec.properties.replication_num,
        replication_num_shown,
        allow_load: spec.properties.allow_load,
        meta_prepared_at_ms: None,
        snapshot_finished_at_ms: None,
        download_finished_at_ms: None,
        files_downloaded: 0,
        bytes_downloaded: 0,
        bytes_linked: 0,
        status: JobStatus::OK,
    };
    Ok(NewJob {
        kind: JobKind::Restore,
        targets: job.shown.iter().map(|selection| selection.target().to_owned()).collect(),
        database: job.database.clone(),
        label: job.label.clone(),
        repository_id: job.repository_id,
        state: job.state.as_str().to_owned(),
        payload: encode_payload(&job)?,
        timeout_ms: spec.properties.timeout_ms,
        created_at_ms: storage.clock().now_ms(),
    })
}

/// What is wanted of a snapshot, as its commit object names it.
pub(super) fn select(objects: &RestoreObjects, manifest: &SnapshotManifest) -> Result<Vec<RestoreSelection>> {
    let names: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
    objects.select(&manifest.label, &names)
}

/// What the plan needs to know of this cluster: the target database and the tables whose names are wanted.
pub(super) fn look_at_target(
    read: &ReadTransaction<'_>,
    database: &str,
    selections: &[RestoreSelection],
    roots: usize,
) -> Result<Target> {
    let row = read.find_database(database)?;
    let mut tables = BTreeMap::new();
    if let Some(row) = &row {
        for name in selections.iter().map(RestoreSelection::target) {
            if let Some((id, table)) = look_at_table(read, row.id, name)? {
                tables.insert(name.to_owned(), TargetTable { id, ..table });
            }
        }
    }
    let roots = u32::try_from(roots).unwrap_or(u32::MAX);
    Ok(Target { database: database.to_owned(), database_id: row.map(|row| row.id), tables, roots })
}

fn look_at_table(
    read: &ReadTransaction<'_>,
    database: DatabaseId,
    name: &str,
) -> Result<Option<(TableId, TargetTable)>> {
    let Some(row) = read.find_table(database, name)? else {
        return Ok(None);
    };
    let partitions = read.partitions(row.id)?.into_iter().map(|partition| TargetPartition {
        name: partition.name,
        bounds: partition.bounds,
        buckets: partition.buckets,
        replication_num: partition.replication_num,
    });
    let partitions = partitions.collect();
    Ok(Some((row.id, TargetTable { id: row.id, definition: Arc::unwrap_or_clone(row.definition), partitions })))
}

/// The timestamp of the snapshot that is meant: the one that was typed, or the only one of the label.
pub(crate) async fn find_snapshot(
    repository: &Repository,
    label: &str,
    typed: Option<&str>,
) -> Result<SnapshotTimestamp> {
    if let Some(timestamp) = typed.and_then(|text| text.parse().ok()) {
        return Ok(timestamp);
    }
    let listing = repository.list_snapshots_of(label).await?.snapshots;
    let mut of_label = listing.into_iter().filter(|snapshot| snapshot.label == label).peekable();
    let known = of_label.peek().is_some();
    let mut meant = of_label
        .filter(|snapshot| typed.is_none_or(|text| snapshot.timestamp.matches(text)))
        .map(|snapshot| snapshot.timestamp);
    match (meant.next(), meant.next(), typed) {
        (Some(timestamp), None, _) => Ok(timestamp),
        (None, _, Some(typed)) if known => {
            let why = format!("none of this name has the timestamp '{}'", typed.escape_debug());
            Err(failed_to_get_info(label, &why))
        }
        (None, ..) => Err(failed_to_get_info(label, "it does not exist in the repository")),
        (Some(first), Some(second), _) => Err(Error::invalid(format!(
            "Missing backup_timestamp property: snapshot '{label}' has several, {first} and {second} among them; choose \
             one that SHOW SNAPSHOT prints"
        ))),
    }
}

async fn read_manifest(
    repository: &Repository,
    label: &str,
    timestamp: &SnapshotTimestamp,
) -> Result<SnapshotManifest> {
    repository.read_manifest(label, timestamp).await.map_err(|error| match error {
        RepositoryError::SnapshotNotFound { .. } | RepositoryError::Format { .. } => {
            failed_to_get_info(label, &error.to_string())
        }
        other => other.into(),
    })
}

fn failed_to_get_info(label: &str, why: &str) -> Error {
    Error::invalid(format!(
        "Failed to get info of snapshot '{label}' because: {why}. Maybe specified wrong backup timestamp"
    ))
}

/// Refuses partitions that are not in the snapshot, and shows the others by the names they have there. Of a table that was backed up in part, the partitions that there are
/// become those that are shown, so that nobody takes them for the table.
async fn check_partitions(
    repository: &Repository,
    manifest: &SnapshotManifest,
    selections: &mut [RestoreSelection],
) -> Result<()> {
    let mut shown_bytes = 0_usize;
    for selection in selections {
        let entry = manifest.table(&selection.table);
        let Some(entry) = entry.filter(|entry| entry.partial || !selection.partitions.is_empty()) else {
            continue;
        };
        let node: TableNode = repository.read_table_node(&entry.node).await?.into_inner();
        if selection.partitions.is_empty() {
            shown_bytes += node.partitions.iter().map(|partition| partition.name.len()).sum::<usize>();
            if shown_bytes > SHOWN_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "snapshot '{}' has more names of partitions than a job can show: restore its tables one after the \
                     other, and name the partitions of '{}', which was backed up in part",
                    manifest.label, selection.table
                )));
            }
            selection.partitions = node.partitions.into_iter().map(|partition| partition.name).collect();
            continue;
        }
        let mut named: Vec<String> = Vec::with_capacity(selection.partitions.len());
        for name in &selection.partitions {
            if named.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(Error::invalid(format!("Duplicated partition: {name} of table {}", selection.table)));
            }
            let Some(meant) = node.partition(name) else {
                return Err(Error::invalid(format!(
                    "Partition {name} of table {} does not exist in snapshot {}",
                    selection.table, manifest.label
                )));
            };
            named.push(meant.name.clone());
        }
        selection.partitions = named;
    }
    Ok(())
}

/// The name of a database that may have to be made. It may come from the repository.
fn check_database_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "Incorrect database name '{}': choose another with DATABASE … AS or RESTORE SNAPSHOT database.label",
            name.escape_debug()
        )));
    }
    Ok(())
}
