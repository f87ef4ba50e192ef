//! What a backup does about marks, between its announcement and finding out what is present.
//!
//! List the marks once, after the announcement: a mark that comes later has this backup among its writers. For each mark
//! that names something the snapshot needs: cancel it, or wait until the sweep under it is over. A mark that names
//! nothing of it is left alone.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::CLAIM_WAIT;
use crate::repository::format::{Decision, Mark, SweepDecision};
use crate::repository::layout::MarkPart;
use crate::repository::{Put, Repository, RepositoryError, RepositoryResult};

/// Time between two looks at a mark that is being swept.
pub(crate) const MARK_POLL: Duration = Duration::from_secs(2);

/// A mark that may not be over.
#[derive(Debug)]
pub(crate) struct OpenMark {
    id: String,
    /// Nothing when it cannot be read: then it may name anything.
    mark: Option<Mark>,
}

/// One backup's dealings with marks.
#[derive(Debug)]
pub(crate) struct MarkWatch {
    cluster_id: String,
    /// When each claim was seen first.
    claims: Mutex<HashMap<String, Duration>>,
}

impl OpenMark {
    /// The mark, unless it cannot be read.
    pub(crate) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl MarkWatch {
    /// A backup of this cluster.
    pub(crate) fn new(cluster_id: &str) -> MarkWatch {
        MarkWatch { cluster_id: cluster_id.to_owned(), claims: Mutex::default() }
    }

    /// The marks there are. One request when there is none.
    pub(crate) async fn list(repository: &Repository) -> RepositoryResult<Vec<OpenMark>> {
        let mut open = Vec::new();
        for (id, listing) in repository.list_marks().await? {
            if listing.marked_at_ms.is_none() {
                continue;
            }
            match repository.read_mark_part::<Mark>(&id, MarkPart::Mark).await {
                Ok(Some(mark)) => open.push(OpenMark { id, mark: Some(mark) }),
                Ok(None) => {} // It was over in between.
                Err(error @ RepositoryError::Format { .. }) => {
                    tracing::warn!(mark = id, %error, "a mark cannot be read, so it counts as naming everything");
                    open.push(OpenMark { id, mark: None });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(open)
    }

    /// Does away with a mark that names something this backup needs. Returns whether that is done; if not, a sweep is
    /// under way and this is to be called again. `now` is time that only goes forward.
    pub(crate) async fn settle(
        &self,
        repository: &Repository,
        open: &OpenMark,
        now: Duration,
        token: String,
    ) -> RepositoryResult<bool> {
        let cancel = SweepDecision::new(Decision::Cancelled, &self.cluster_id, token);
        if repository.put_mark_part(&open.id, MarkPart::Sweep, &cancel).await? == Put::Created {
            return Ok(true);
        }
        let decided = match repository.read_mark_part::<SweepDecision>(&open.id, MarkPart::Sweep).await {
            Ok(decided) => decided.map(|decided| decided.decision),
            // A decision that cannot be read may be a claim.
            Err(RepositoryError::Format { .. }) => Some(Decision::Claimed),
            Err(error) => return Err(error),
        };
        if decided == Some(Decision::Cancelled) || !repository.has_mark_part(&open.id, MarkPart::Mark).await? {
            return Ok(true);
        }
        let seen = *self.claims.lock().entry(open.id.clone()).or_insert(now);
        Ok(now.saturating_sub(seen) >= CLAIM_WAIT)
    }
}
