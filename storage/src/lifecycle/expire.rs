//! ttl: drops the snapshots of this cluster whose time is over.
//!
//! When a snapshot expires stands in its commit object, which never changes, so each is read once in a process's life. A
//! snapshot goes only when both clocks say so, this machine's and the store's: a clock that was set to the next year must
//! not empty a repository. Right before it is dropped everything is looked at again, while no job can begin.

use std::collections::HashMap;

use super::Lifecycle;
use super::collect::millis;
use super::drop::{refuse_busy, remove_snapshot};
use crate::catalog::RepositoryRow;
use crate::error::{Error, Result};
use crate::ids::RepositoryId;
use crate::repository::format::{FORMAT_VERSION, MarkWriters};
use crate::repository::layout::MarkPart;
use crate::repository::{CommitName, Repository, RepositoryError};

/// When the snapshots of each repository expire, by their names: nothing for one that never does, or is of another cluster.
pub(super) type KnownExpiries = HashMap<RepositoryId, HashMap<CommitName, Option<i64>>>;

impl Lifecycle {
    /// Drops what has expired in one repository. Returns how many.
    pub(crate) async fn expire(&self, row: &RepositoryRow) -> Result<usize> {
        let repository = self.repositories.get(row.id).await?;
        let mut expired = self.expired_by(&repository, row, self.storage.clock().now_ms()).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        let store_now_ms = self.store_now_ms(&repository).await?;
        expired.retain(|(_, expires_at_ms)| *expires_at_ms <= store_now_ms);
        let (mut dropped, mut first_error) = (0, None);
        for (name, _) in expired {
            match self.drop_expired(&repository, row, &name).await {
                Ok(done) => dropped += usize::from(done),
                Err(error) => {
                    metrics::counter!("ebla_snapshots_expired_total", "outcome" => "error").increment(1);
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            None => Ok(dropped),
            Some(error) => Err(error),
        }
    }

    /// The snapshots of this cluster that expire at `now_ms` or before.
    async fn expired_by(
        &self,
        repository: &Repository,
        row: &RepositoryRow,
        now_ms: i64,
    ) -> Result<Vec<(CommitName, i64)>> {
        let known = self.expiries.lock().remove(&row.id).unwrap_or_default();
        let mut current = HashMap::new();
        for snapshot in repository.list_snapshots().await?.snapshots {
            let name = (snapshot.label, snapshot.timestamp);
            let expires_at_ms = match known.get(&name) {
                Some(known) => *known,
                None => match repository.read_manifest(&name.0, &name.1).await {
                    Ok(manifest) if manifest.cluster_id == self.storage.catalog().cluster_id() => {
                        manifest.expires_at_ms
                    }
                    Ok(_) => None,
                    // One that cannot be read does not say that it expires.
                    Err(RepositoryError::SnapshotNotFound { .. } | RepositoryError::Format { .. }) => None,
                    Err(error) => return Err(error.into()),
                },
            };
            current.insert(name, expires_at_ms);
        }
        let expired = |(name, expires): (&CommitName, &Option<i64>)| {
            expires.filter(|expires| *expires <= now_ms).map(|expires| (name.clone(), expires))
        };
        let mut due: Vec<(CommitName, i64)> = current.iter().filter_map(expired).collect();
        due.sort_unstable();
        self.expiries.lock().insert(row.id, current);
        Ok(due)
    }

    /// Drops one, unless a job uses it. Returns whether it did.
    async fn drop_expired(&self, repository: &Repository, row: &RepositoryRow, name: &CommitName) -> Result<bool> {
        let _turn = self.jobs.turn_alone(&row.identity, &name.0).await?;
        if refuse_busy(&self.running_in(row).await?, &name.0).is_err() {
            return Ok(false);
        }
        let manifest = match repository.read_manifest(&name.0, &name.1).await {
            Ok(manifest) => manifest,
            Err(RepositoryError::SnapshotNotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let own = manifest.cluster_id == self.storage.catalog().cluster_id();
        let over = manifest.expires_at_ms.is_some_and(|at_ms| at_ms <= self.storage.clock().now_ms());
        if !own || !over {
            return Ok(false);
        }
        remove_snapshot(repository, &*self.timer, name).await?;
        metrics::counter!("ebla_snapshots_expired_total", "outcome" => "ok").increment(1);
        tracing::info!(repository = row.name, label = name.0, timestamp = %name.1, "snapshot expired");
        Ok(true)
    }

    /// The time by the store's clock: that of an object which is put for it and removed.
    async fn store_now_ms(&self, repository: &Repository) -> Result<i64> {
        let id = self.storage.catalog().random().identifier();
        // Who may not remove objects is refused here and leaves nothing behind.
        repository.remove_mark_part(&id, MarkPart::Clock).await?;
        let content = MarkWriters { format_version: FORMAT_VERSION, writers: Vec::new() };
        repository.put_mark_part(&id, MarkPart::Clock, &content).await?;
        let marks = repository.list_marks().await?;
        repository.remove_mark_part(&id, MarkPart::Clock).await?;
        let clock = marks.get(&id).and_then(|mark| mark.clock_at_ms).filter(|now_ms| *now_ms > 0);
        // A store that counts whole seconds lags behind by less than one.
        clock.map(|now_ms| now_ms.saturating_add(millis(STORE_CLOCK_STEP))).ok_or_else(|| {
            Error::Conflict("snapshots do not expire here: the store does not say when an object was put".to_owned())
        })
    }
}

/// How coarsely stores tell the time.
const STORE_CLOCK_STEP: std::time::Duration = std::time::Duration::from_secs(1);
