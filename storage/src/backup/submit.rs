//! What a BACKUP is checked for before it becomes a job, in the order and the words that StarRocks has.
//!
//! [`check`] asks the catalog alone. [`decide`] runs while nobody else takes or drops the label: it takes the slot of the
//! database into account, as far as it is taken by then, and asks the repository whether the label is free, with one
//! listing, which also tells from which snapshots the new one may inherit.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::Local;

use super::{BackupJob, BackupObjects, BackupSpec, BackupState, BackupTotals, ParentCandidate, TableSelection};
use crate::catalog::{JobKind, JobRow, NewJob, ReadTransaction, RepositoryRow};
use crate::error::{Error, Result};
use crate::ids::DatabaseId;
use crate::job::{JobStatus, encode_payload, refuse_busy_database};
use crate::repositories::Repositories;
use crate::repository::layout::{LabelError, encode_label};
use crate::repository::{RepositoryError, SnapshotListing, SnapshotTimestamp};
use crate::storage::{Storage, blocking};

/// Snapshots that are looked at to find one of the same database, when the history knows none.
const PARENT_LOOKS_MAX: usize = 4;

/// A specification that the catalog agrees with.
#[derive(Debug)]
pub(crate) struct Checked {
    spec: BackupSpec,
    repository: RepositoryRow,
    shown: Vec<TableSelection>,
}

impl Checked {
    /// The identity of the repository, and the label that the snapshot is to have there.
    pub(crate) fn snapshot(&self) -> (&str, &str) {
        (&self.repository.identity, &self.spec.label)
    }
}

/// Checks what the catalog knows: repository, database, tables, partitions, label. Nothing of the properties.
pub(crate) async fn check(storage: &Arc<Storage>, spec: BackupSpec) -> Result<Checked> {
    let catalog = Arc::clone(storage.catalog());
    blocking(move || {
        catalog.read(|read| {
            let repository = read
                .find_repository(&spec.repository)?
                .ok_or_else(|| Error::invalid(format!("Repository [{}] does not exist", spec.repository)))?;
            let database = read.database(&spec.database)?;
            let shown = resolve(read, database.id, &spec)?;
            check_label(&spec.label)?;
            Ok(Checked { spec, repository, shown })
        })
    })
    .await
}

/// Checks what only the moment tells, and makes the job.
pub(crate) async fn decide(storage: &Arc<Storage>, repositories: &Repositories, checked: Checked) -> Result<NewJob> {
    let Checked { spec, repository: row, shown } = checked;
    let (catalog, database) = (Arc::clone(storage.catalog()), spec.database.clone());
    let (identity, repository_id) = (row.identity.clone(), row.id);
    let (running, writing, last_backup) = blocking(move || {
        catalog.read(|read| {
            let writing = read.running_jobs_in(&identity)?;
            Ok((read.running_jobs()?, writing, read.last_finished_backup(&database, repository_id)?))
        })
    })
    .await?;
    refuse_busy_database(&running, &spec.database)?;
    if row.read_only {
        return Err(Error::invalid(format!("Repository {} is read only", spec.repository)));
    }
    let taken = || Error::Conflict(format!("Snapshot with name '{}' already exist in repository", spec.label));
    if writing.iter().any(|job| job.kind == JobKind::Backup && job.label == spec.label) {
        return Err(taken());
    }
    let repository = repositories.get_interactive(row.id).await?;
    let listing = repository.list_snapshots().await?.snapshots;
    if listing.iter().any(|snapshot| snapshot.label == spec.label) {
        return Err(taken());
    }
    let created_at_ms = storage.clock().now_ms();
    let job = BackupJob {
        state: BackupState::Pending,
        repository_id: row.id,
        repository: spec.repository,
        database: spec.database,
        label: spec.label,
        timestamp: SnapshotTimestamp::from_ms(created_at_ms, &Local)
            .ok_or_else(|| Error::invalid("the system clock shows a year that no timestamp can spell: set it"))?,
        objects: spec.objects,
        shown,
        ttl: spec.properties.ttl,
        parents: parents(listing, last_backup.as_ref()),
        snapshot_finished_at_ms: None,
        upload_finished_at_ms: None,
        totals: BackupTotals::default(),
        publishing: false,
        status: JobStatus::OK,
    };
    Ok(NewJob {
        targets: Vec::new(),
        kind: JobKind::Backup,
        database: job.database.clone(),
        label: job.label.clone(),
        repository_id: job.repository_id,
        state: job.state.as_str().to_owned(),
        payload: encode_payload(&job)?,
        timeout_ms: spec.properties.timeout_ms,
        created_at_ms,
    })
}

/// The tables that are wanted, as they are shown.
fn resolve(read: &ReadTransaction<'_>, database: DatabaseId, spec: &BackupSpec) -> Result<Vec<TableSelection>> {
    let whole = |name: String| TableSelection { table: name, partitions: Vec::new() };
    let all = || Ok::<_, Error>(read.tables(database)?.into_iter().map(|table| table.name));
    let shown: Vec<TableSelection> = match &spec.objects {
        BackupObjects::All => all()?.map(whole).collect(),
        BackupObjects::AllWith(selections) => {
            let selections = named_selections(read, database, selections)?;
            let named = |name: &String| selections.iter().find(|selection| selection.table == *name).cloned();
            all()?.map(|name| named(&name).unwrap_or_else(|| whole(name))).collect()
        }
        BackupObjects::AllBut(names) => {
            for name in names {
                read.table(database, name)?;
            }
            all()?.filter(|name| !names.contains(name)).map(whole).collect()
        }
        BackupObjects::Tables(selections) => named_selections(read, database, selections)?,
    };
    if shown.is_empty() {
        return Err(Error::invalid(format!("Database: {} is empty", spec.database)));
    }
    Ok(shown)
}

/// The selections with the names that partitions have, however they were spelled. Errors with the first table that is
/// given twice and the first name that is not there.
fn named_selections(
    read: &ReadTransaction<'_>,
    database: DatabaseId,
    selections: &[TableSelection],
) -> Result<Vec<TableSelection>> {
    let mut named = selections.to_vec();
    for (position, selection) in named.iter_mut().enumerate() {
        if selections[..position].iter().any(|other| other.table == selection.table) {
            return Err(Error::invalid(format!("Duplicated table: {}", selection.table)));
        }
        let table = read.table(database, &selection.table)?;
        let partitions = read.partitions(table.id)?;
        for name in &mut selection.partitions {
            let Some(meant) = partitions.iter().find(|partition| partition.name.eq_ignore_ascii_case(name)) else {
                return Err(Error::invalid(format!("partition[{name}] does not exist  in table{}", selection.table)));
            };
            name.clone_from(&meant.name);
        }
    }
    Ok(named)
}

fn check_label(label: &str) -> Result<()> {
    encode_label(label).map(|_| ()).map_err(|error: LabelError| RepositoryError::from(error).into())
}

/// Snapshots that the new one may share files with, best first: the last one of this database that this cluster
/// published, when it is still there; else the newest few of anybody's.
fn parents(mut listing: Vec<SnapshotListing>, last_backup: Option<&JobRow>) -> Vec<ParentCandidate> {
    let candidate = |snapshot: &SnapshotListing| ParentCandidate {
        label: snapshot.label.clone(),
        timestamp: snapshot.timestamp.clone(),
    };
    if let Some(last) = last_backup {
        let timestamp = SnapshotTimestamp::from_ms(last.created_at_ms, &Local);
        let known = listing
            .iter()
            .find(|snapshot| snapshot.label == last.label && Some(&snapshot.timestamp) == timestamp.as_ref());
        if let Some(known) = known {
            return vec![candidate(known)];
        }
    }
    listing.sort_by_key(|snapshot| Reverse(snapshot.timestamp.clone()));
    listing.iter().take(PARENT_LOOKS_MAX).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, RepositoryId};

    fn listed(label: &str, timestamp: &str) -> SnapshotListing {
        SnapshotListing { label: label.into(), timestamp: timestamp.parse().unwrap() }
    }

    #[test]
    fn the_last_backup_of_the_database_is_the_parent_while_it_is_there() {
        let created_at_ms = 1_700_000_000_000;
        let timestamp = SnapshotTimestamp::from_ms(created_at_ms, &Local).unwrap();
        let last = JobRow {
            id: JobId(1),
            kind: JobKind::Backup,
            database: "d".into(),
            label: "monday".into(),
            repository_id: RepositoryId(1),
            state: "FINISHED".into(),
            payload: String::new(),
            cancel_requested: false,
            timeout_ms: 0,
            created_at_ms,
            finished_at_ms: Some(created_at_ms),
        };
        let others = [
            listed("a", "2020-01-01-00-00-00-000"),
            listed("b", "2030-01-01-00-00-00-000"),
            listed("c", "2025-01-01-00-00-00-000"),
        ];
        let mut listing = others.to_vec();
        listing.push(SnapshotListing { label: "monday".into(), timestamp });
        let labels =
            |parents: Vec<ParentCandidate>| -> Vec<String> { parents.into_iter().map(|parent| parent.label).collect() };
        assert_eq!(labels(parents(listing, Some(&last))), ["monday"]);
        assert_eq!(labels(parents(others.to_vec(), Some(&last))), ["b", "c", "a"], "it was dropped: the newest lead");
        assert_eq!(labels(parents(others.to_vec(), None)), ["b", "c", "a"]);
    }
}
