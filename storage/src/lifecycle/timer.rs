//! Time that only goes forward: for what a collector or a backup must do within, or not before, so many minutes.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// A clock that nobody sets.
pub trait Monotonic: fmt::Debug + Send + Sync + 'static {
    /// Time since some fixed moment.
    fn elapsed(&self) -> Duration;
}

/// The operating system's.
#[derive(Debug, Clone, Copy)]
pub struct SystemTimer(Instant);

impl Default for SystemTimer {
    fn default() -> Self {
        SystemTimer(Instant::now())
    }
}

impl Monotonic for SystemTimer {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
