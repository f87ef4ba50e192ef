//! Which jobs may run at the same time.
//!
//! There are so many slots for all, and each repository has one of its own besides: jobs that wait for a store that does not
//! answer keep theirs for long, and would keep the jobs of every other repository from beginning. A job takes of both what
//! there is and needs but one, so the jobs of one repository are no more than the slots for all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::RepositoryId;

/// Slots that each repository has beside the shared ones.
const OWN_SLOTS: usize = 1;

/// The slots.
#[derive(Debug)]
pub(super) struct Slots {
    shared: Arc<Semaphore>,
    own: Mutex<HashMap<RepositoryId, Arc<Semaphore>>>,
}

/// What a running job has; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _shared: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// So many for all; one at least.
    pub(super) fn new(shared: usize) -> Self {
        Self { shared: Arc::new(Semaphore::new(shared.clamp(1, Semaphore::MAX_PERMITS))), own: Mutex::default() }
    }

    /// Waits for a slot for a job of this repository.
    pub(super) async fn acquire(&self, repository: RepositoryId) -> Slot {
        let (shared, own) = (&self.shared, self.own_of(repository));
        // Neither is ever closed; if one were, going on without a permit would be right.
        tokio::select! {
            biased;
            permit = Arc::clone(shared).acquire_owned() => {
                Slot { _shared: permit.ok(), _own: own.try_acquire_owned().ok() }
            }
            permit = Arc::clone(&own).acquire_owned() => {
                Slot { _shared: Arc::clone(shared).try_acquire_owned().ok(), _own: permit.ok() }
            }
        }
    }

    fn own_of(&self, repository: RepositoryId) -> Arc<Semaphore> {
        let mut all = self.own.lock();
        // Those that nobody has or waits for, so that there are no more than repositories with jobs.
        all.retain(|_, own| Arc::strong_count(own) > 1);
        Arc::clone(all.entry(repository).or_insert_with(|| Arc::new(Semaphore::new(OWN_SLOTS))))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_repository_whose_jobs_hang_keeps_no_other_from_beginning() {
        let slots = Slots::new(2);
        let take = |repository| slots.acquire(RepositoryId(repository)).now_or_never();
        let hanging: Vec<_> = (0..9).map_while(|_| take(1)).collect();
        assert_eq!(hanging.len(), 2, "one repository has no more than there are for all");
        for repository in 2..5 {
            let first = take(repository).expect("each other begins one");
            assert!(take(repository).is_none(), "and no more");
            drop(first);
        }
        drop(hanging);
        let (one, other) = (take(1), take(2));
        assert!(one.is_some() && other.is_some() && take(1).is_none());
        drop((one, other));
        assert!(take(3).is_some() && slots.own.lock().len() == 1, "what nobody has is forgotten");
    }
}
