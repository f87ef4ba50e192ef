//! Whether a job may go on: where CANCEL, the timeout and the server's end meet the job's own commit.
//!
//! Exactly one of them wins. Once closed, a gate stays closed and the job never enters its commit; while the job is
//! in its commit, closing is refused, so that nobody is told "cancelled" about something that then happens.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// Why a job has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The user asked for it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// The server ends; the job goes on when it starts again.
    ShuttingDown,
}

/// The gate of one job.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    token: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    Committing {
        /// The server ends and has asked in vain: when the attempt fails, there is to be no other.
        shutting_down: bool,
    },
    Closed(StopReason),
}

/// The job is committing and cannot be stopped. Dropping this says that it is not committing any more.
#[derive(Debug)]
pub struct Committing {
    gate: Arc<Gate>,
}

impl Gate {
    /// Closes the gate. Returns false when that is too late because the job is committing. A gate that is closed
    /// already keeps its first reason, unless that was only the server's end. The server's end is remembered: should
    /// the commit fail, the gate closes then.
    pub fn close(&self, reason: StopReason) -> bool {
        let mut state = self.state.lock();
        match &mut *state {
            State::Committing { shutting_down } => {
                *shutting_down |= reason == StopReason::ShuttingDown;
                return false;
            }
            State::Open | State::Closed(StopReason::ShuttingDown) => *state = State::Closed(reason),
            State::Closed(_) => {}
        }
        self.token.cancel();
        true
    }

    /// Why the gate is closed, if it is.
    pub fn closed_because(&self) -> Option<StopReason> {
        match *self.state.lock() {
            State::Closed(reason) => Some(reason),
            State::Open | State::Committing { .. } => None,
        }
    }

    /// Whether the job is committing.
    pub fn is_committing(&self) -> bool {
        matches!(*self.state.lock(), State::Committing { .. })
    }

    /// Waits until the gate is closed.
    pub async fn closed(&self) {
        self.token.cancelled().await;
    }

    /// A token that is cancelled when the gate closes, for those who do the work.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// From here on the job cannot be stopped, until what is returned is dropped. Errors when it was stopped before.
    pub fn enter_commit(self: &Arc<Self>) -> Result<Committing> {
        let mut state = self.state.lock();
        match *state {
            State::Closed(_) => Err(Error::Cancelled),
            State::Open | State::Committing { .. } => {
                *state = State::Committing { shutting_down: false };
                Ok(Committing { gate: Arc::clone(self) })
            }
        }
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        match *state {
            State::Committing { shutting_down: true } => {
                *state = State::Closed(StopReason::ShuttingDown);
                self.gate.token.cancel();
            }
            State::Committing { shutting_down: false } => *state = State::Open,
            State::Open | State::Closed(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_commit() {
        let gate = Arc::new(Gate::default());
        assert!(gate.close(StopReason::Cancelled));
        assert!(gate.close(StopReason::TimedOut), "closing twice is no error");
        assert_eq!(gate.closed_because(), Some(StopReason::Cancelled), "the first reason stays");
        assert!(matches!(gate.enter_commit(), Err(Error::Cancelled)));
        assert!(gate.token().is_cancelled());
    }

    #[test]
    fn a_committing_job_cannot_be_stopped_until_it_fails() {
        let gate = Arc::new(Gate::default());
        let committing = gate.enter_commit().unwrap();
        assert!(gate.is_committing());
        assert!(!gate.close(StopReason::Cancelled));
        assert!(!gate.token().is_cancelled());
        drop(committing);
        assert!(gate.close(StopReason::Cancelled));
    }

    #[test]
    fn a_commit_that_fails_while_the_server_ends_is_not_tried_again() {
        let gate = Arc::new(Gate::default());
        let committing = gate.enter_commit().unwrap();
        assert!(!gate.close(StopReason::ShuttingDown));
        assert!(gate.is_committing() && !gate.token().is_cancelled());
        drop(committing);
        assert_eq!(gate.closed_because(), Some(StopReason::ShuttingDown));
        assert!(gate.token().is_cancelled() && gate.enter_commit().is_err());
    }

    #[test]
    fn a_cancel_outlives_the_end_of_the_server() {
        let gate = Gate::default();
        assert!(gate.close(StopReason::ShuttingDown));
        assert!(gate.close(StopReason::Cancelled));
        assert_eq!(gate.closed_because(), Some(StopReason::Cancelled));
    }
}
