//! DROP SNAPSHOT: checks all that is to be dropped, then drops one after the other.
//!
//! The commit object is removed, which ends the snapshot; then a tombstone takes its place, so that nothing brings it
//! back. Between the two the announcement of the backup, if it is still there, stands for it. What the snapshot alone
//! referred to is garbage from then on.
//!
//! A removal that had no answer may be carried out later, and then takes the tombstone away. So none is sent unless the
//! commit object was seen shortly before: a tombstone that has stood for half an hour is met by no removal any more, and
//! before that no collection takes it for the end of its backup.

use std::collections::BTreeSet;

use super::{CLAIM_TIME, Lifecycle, Monotonic};
use crate::catalog::{JobKind, JobRow, RepositoryRow};
use crate::error::{Error, Result};
use crate::repository::format::Tombstone;
use crate::repository::{
    CommitName, Entombed, InvalidTimestamp, Repository, RepositoryError, RepositoryResult, SnapshotListing,
    SnapshotTimestamp,
};
use crate::storage::blocking;

/// How often a commit object is removed that comes back before the tombstone does.
const REMOVALS_MAX: u32 = 3;

/// What DROP SNAPSHOT asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropSpec {
    /// The repository's name.
    pub repository: String,
    /// Which snapshots.
    pub choice: SnapshotChoice,
    /// Also what another cluster wrote, and what does not say who wrote it.
    pub force: bool,
}

/// Which snapshots of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// Those of a label; it is an error when there is none.
    Label(String),
    /// Those for which all of these hold, perhaps none.
    Where {
        /// One of these labels; any when empty.
        labels: Vec<String>,
        /// This timestamp, in full or without milliseconds.
        timestamp: Option<String>,
        /// At this timestamp or later.
        not_before: Option<String>,
        /// At this timestamp or earlier.
        not_after: Option<String>,
    },
}

impl Lifecycle {
    /// Drops snapshots. Nothing is dropped unless all of them may be. Returns how many there were.
    pub async fn drop_snapshots(&self, spec: &DropSpec) -> Result<usize> {
        spec.choice.check()?;
        self.repositories.promptly(self.check_and_drop(spec)).await
    }

    async fn check_and_drop(&self, spec: &DropSpec) -> Result<usize> {
        let (row, repository) = self.repositories.find(&spec.repository).await?;
        if row.read_only {
            return Err(Error::invalid(format!("Repository {} is read only", row.name)));
        }
        // No job of these labels begins between the checks and the removal.
        let mut turns = Vec::new();
        let listing = match &spec.choice {
            SnapshotChoice::Label(label) => {
                turns.push(self.jobs.turn_alone(&row.identity, label).await?);
                refuse_busy(&self.running_in(&row).await?, label)?;
                let listed = repository.list_snapshots_of(label).await?.snapshots;
                if listed.is_empty() {
                    let text = format!("Snapshot does not exist in repository {}: {label}", row.name);
                    return Err(Error::invalid(text));
                }
                listed
            }
            SnapshotChoice::Where { .. } => repository.list_snapshots().await?.snapshots,
        };
        let chosen: Vec<SnapshotListing> = listing.into_iter().filter(|snapshot| spec.choice.takes(snapshot)).collect();
        if turns.is_empty() {
            // In the order of their names, so that of two who drop the same each comes to its end.
            for label in chosen.iter().map(|snapshot| snapshot.label.as_str()).collect::<BTreeSet<_>>() {
                turns.push(self.jobs.turn_alone(&row.identity, label).await?);
            }
        }
        let running = self.running_in(&row).await?;
        for snapshot in &chosen {
            refuse_busy(&running, &snapshot.label)?;
            if !spec.force {
                self.refuse_foreign(&row, &repository, snapshot).await?;
            }
        }
        for snapshot in &chosen {
            let name = (snapshot.label.clone(), snapshot.timestamp.clone());
            remove_snapshot(&repository, &*self.timer, &name).await?;
            tracing::info!(
                repository = row.name,
                label = snapshot.label,
                timestamp = %snapshot.timestamp,
                force = spec.force,
                "snapshot dropped"
            );
        }
        Ok(chosen.len())
    }

    /// Jobs that read or write the repository, by whichever name.
    pub(super) async fn running_in(&self, row: &RepositoryRow) -> Result<Vec<JobRow>> {
        let (catalog, identity) = (self.storage.catalog().clone(), row.identity.clone());
        blocking(move || catalog.read(|read| read.running_jobs_in(&identity))).await
    }

    async fn refuse_foreign(
        &self,
        row: &RepositoryRow,
        repository: &Repository,
        snapshot: &SnapshotListing,
    ) -> Result<()> {
        let own = self.storage.catalog().cluster_id();
        let whose = match repository.read_manifest(&snapshot.label, &snapshot.timestamp).await {
            Ok(manifest) if manifest.cluster_id == own => return Ok(()),
            Ok(manifest) => format!("was created by cluster {}", manifest.cluster_id),
            Err(RepositoryError::SnapshotNotFound { .. }) => return Ok(()), // Somebody else has dropped it.
            Err(RepositoryError::Format { .. }) => "does not record which cluster created it".to_owned(),
            Err(error) => return Err(error.into()),
        };
        Err(Error::Conflict(format!(
            "Snapshot {} in repository {} {whose}, and this cluster is {own}. Use DROP SNAPSHOT ... FORCE to drop it \
             anyway",
            snapshot.label, row.name
        )))
    }
}

/// Removes a snapshot that may be removed. Safe to call again.
pub(super) async fn remove_snapshot(repository: &Repository, timer: &dyn Monotonic, name: &CommitName) -> Result<()> {
    remove_seen(repository, timer, name).await?; // Commit point.
    match keep_away(repository, timer, name).await {
        Ok(()) => {}
        // The snapshot is gone. As long as its announcement is there nothing is taken from it; without one, nobody is on
        // the way to put it again.
        Err(error) => tracing::warn!(label = name.0, %error, "no tombstone stands in a dropped snapshot's place"),
    }
    metrics::counter!("ebla_snapshots_dropped_total").increment(1);
    Ok(())
}

/// Puts the tombstone, also if the commit object comes back once more.
async fn keep_away(repository: &Repository, timer: &dyn Monotonic, name: &CommitName) -> Result<()> {
    if !repository.creates_atomically() {
        return Ok(()); // Nothing is collected there, so nothing has to be decided.
    }
    for _ in 0..REMOVALS_MAX {
        if repository.entomb(name, Tombstone::Dropped).await? == Entombed::Yes {
            return Ok(());
        }
        remove_seen(repository, timer, name).await?;
    }
    Err(Error::Conflict("its commit object comes back whenever it is removed".to_owned()))
}

/// Removes a commit object that is there: it was seen no longer ago than a claim is good for.
async fn remove_seen(repository: &Repository, timer: &dyn Monotonic, name: &CommitName) -> RepositoryResult<()> {
    loop {
        let asked_at = timer.elapsed();
        if !repository.has_commit(name).await? {
            return Ok(());
        }
        // Who was suspended meanwhile looks again.
        if timer.elapsed().saturating_sub(asked_at) < CLAIM_TIME {
            return repository.remove_commit(name).await;
        }
    }
}

/// Errors while a job of this cluster reads or writes a snapshot of this label.
pub(super) fn refuse_busy(running: &[JobRow], label: &str) -> Result<()> {
    // A verification without a label reads them all.
    match running.iter().find(|job| job.label == label || job.kind == JobKind::Verify && job.label.is_empty()) {
        None => Ok(()),
        Some(job) => Err(Error::Conflict(match job.kind {
            JobKind::Backup => format!("Can not drop snapshot {label}: a backup is writing it"),
            kind => format!("Can not drop snapshot {label}: a {} is reading it", kind.to_string().to_lowercase()),
        })),
    }
}

impl SnapshotChoice {
    /// Errors when a timestamp is none: compared as text it would choose something that nobody meant.
    fn check(&self) -> Result<()> {
        let SnapshotChoice::Where { timestamp, not_before, not_after, .. } = self else {
            return Ok(());
        };
        [timestamp, not_before, not_after].into_iter().flatten().try_for_each(|text| {
            let whole: std::result::Result<SnapshotTimestamp, InvalidTimestamp> = match text.len() {
                19 => format!("{text}-000").parse(),
                _ => text.parse(),
            };
            whole.map(drop).map_err(|error| Error::invalid(format!("'{text}': {error}")))
        })
    }

    fn takes(&self, snapshot: &SnapshotListing) -> bool {
        let SnapshotChoice::Where { labels, timestamp, not_before, not_after } = self else {
            return true; // The listing is of the label.
        };
        let at = &snapshot.timestamp;
        (labels.is_empty() || labels.contains(&snapshot.label))
            && timestamp.as_ref().is_none_or(|text| at.matches(text))
            && not_before.as_ref().is_none_or(|text| at.as_str() >= text.as_str())
            // Without milliseconds, the whole second is meant.
            && not_after.as_ref().is_none_or(|text| at.as_str() <= text.as_str() || at.matches(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(choice: &SnapshotChoice) -> Vec<&'static str> {
        let all = ["2023-01-01-00-00-00-000", "2023-01-01-00-00-00-999", "2023-01-01-00-00-01-000"];
        let listed = |text: &str| SnapshotListing { label: "x".into(), timestamp: text.parse().unwrap() };
        all.into_iter().filter(|text| choice.takes(&listed(text))).collect()
    }

    fn only(timestamp: Option<&str>, not_before: Option<&str>, not_after: Option<&str>) -> SnapshotChoice {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        SnapshotChoice::Where {
            labels: Vec::new(),
            timestamp: owned(timestamp),
            not_before: owned(not_before),
            not_after: owned(not_after),
        }
    }

    #[test]
    fn a_timestamp_without_milliseconds_means_the_second() {
        assert_eq!(chosen(&only(Some("2023-01-01-00-00-00"), None, None)).len(), 2);
        assert_eq!(chosen(&only(None, None, Some("2023-01-01-00-00-00"))).len(), 2);
        assert_eq!(chosen(&only(None, Some("2023-01-01-00-00-00"), None)).len(), 3);
        assert_eq!(chosen(&only(None, Some("2023-01-01-00-00-00-999"), None)).len(), 2);
        assert_eq!(chosen(&only(None, None, Some("2023-01-01-00-00-00-000"))).len(), 1);
        let other =
            SnapshotChoice::Where { labels: vec!["y".into()], timestamp: None, not_before: None, not_after: None };
        assert_eq!(chosen(&other).len(), 0);
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        assert!(only(Some("2023-01-01-00-00-00"), None, Some("2023-01-01-00-00-00-123")).check().is_ok());
        for text in ["2023", "yesterday", "2023-01-01 00:00:00", "2023-13-01-00-00-00"] {
            assert!(only(None, None, Some(text)).check().is_err(), "{text}");
        }
    }
}
