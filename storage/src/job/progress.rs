//! How far the running phase of a job has come: counted in memory by whoever moves bytes, printed by SHOW.
//!
//! Bytes count as they pass, and each once: where a file has to begin again, what counts is the furthest that any attempt
//! has come. So what is told never falls, never exceeds the total, and reaches it when the last file is there.
//!
//! Nothing of it is stored. After a restart a phase begins with what an earlier process has moved, and the rate and the
//! remaining time are those of this one.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::ids::JobId;
use crate::repository;

/// Counts of one job's running phase.
#[derive(Debug, Default)]
pub struct Progress {
    phase: Mutex<Option<Phase>>,
    bytes_done: AtomicU64,
    files_done: AtomicU64,
    bytes_linked: AtomicU64,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Phase {
    total: Amount,
    /// Bytes that had been moved when it began.
    bytes_before: u64,
    started_at_ms: i64,
}

/// Counts the bytes of one file, through all attempts at it.
#[derive(Debug)]
pub struct FileProgress<'a> {
    progress: &'a Progress,
    bytes: u64,
    reach: Mutex<Reach>,
}

#[derive(Debug, Default)]
struct Reach {
    /// How far the attempt under way has come.
    now: u64,
    /// How far any has come: what is counted.
    furthest: u64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressCounts {
    /// Bytes that have been moved.
    pub bytes_done: u64,
    /// Bytes to be moved in this phase.
    pub bytes_total: u64,
    /// Files that have been moved whole.
    pub files_done: u64,
    /// Files to be moved in this phase.
    pub files_total: u64,
    /// Bytes that had been moved when the phase began.
    pub bytes_before: u64,
    /// Since when the phase runs.
    pub started_at_ms: i64,
}

impl Progress {
    /// Begins a phase that moves `total`, of which `left` is still to be moved.
    pub fn begin(&self, total: Amount, left: Amount, now_ms: i64) {
        let mut phase = self.phase.lock();
        let bytes_before = total.bytes.saturating_sub(left.bytes);
        self.bytes_done.store(bytes_before, Ordering::Relaxed);
        self.files_done.store(total.files.saturating_sub(left.files), Ordering::Relaxed);
        *phase = Some(Phase { total, bytes_before, started_at_ms: now_ms });
    }

    /// Ends the phase: nothing is shown until the next one begins.
    pub fn end(&self) {
        *self.phase.lock() = None;
    }

    /// Ends the phase, and forgets what it has moved: the next one moves something else.
    pub fn forget(&self) {
        self.end();
        self.bytes_done.store(0, Ordering::Relaxed);
        self.files_done.store(0, Ordering::Relaxed);
    }

    /// What the phase that runs, or ran last, has moved.
    pub fn moved(&self) -> Amount {
        Amount { files: self.files_done.load(Ordering::Relaxed), bytes: self.bytes_done.load(Ordering::Relaxed) }
    }

    /// Counts a file that was found on this machine and need not be moved.
    pub fn add_linked(&self, bytes: u64) {
        self.bytes_linked.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Begins to count anew what is found on this machine.
    pub fn begin_linking(&self) {
        self.bytes_linked.store(0, Ordering::Relaxed);
    }

    /// Bytes that were found on this machine.
    pub fn linked(&self) -> u64 {
        self.bytes_linked.load(Ordering::Relaxed)
    }

    /// The counts now, while a phase runs.
    pub fn counts(&self) -> Option<ProgressCounts> {
        let phase = self.phase.lock();
        let phase = (*phase)?;
        Some(ProgressCounts {
            bytes_done: self.bytes_done.load(Ordering::Relaxed).min(phase.total.bytes),
            bytes_total: phase.total.bytes,
            files_done: self.files_done.load(Ordering::Relaxed).min(phase.total.files),
            files_total: phase.total.files,
            bytes_before: phase.bytes_before,
            started_at_ms: phase.started_at_ms,
        })
    }
}

impl<'a> FileProgress<'a> {
    /// A file of `bytes` bytes that begins.
    pub fn new(progress: &'a Progress, bytes: u64) -> Self {
        FileProgress { progress, bytes, reach: Mutex::default() }
    }

    /// The file is there whole, however it came there.
    pub fn arrived(self) {
        self.count(&mut self.reach.lock(), self.bytes);
        self.progress.files_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what is beyond all that was reached before.
    fn count(&self, reach: &mut Reach, now: u64) {
        reach.now = now;
        let more = now.min(self.bytes).saturating_sub(reach.furthest);
        reach.furthest += more;
        self.progress.bytes_done.fetch_add(more, Ordering::Relaxed);
    }
}

impl repository::Progress for FileProgress<'_> {
    fn moved(&self, bytes: u64) {
        let mut reach = self.reach.lock();
        let now = reach.now.saturating_add(bytes);
        self.count(&mut reach, now);
    }

    fn moved_in_vain(&self, bytes: u64) {
        let mut reach = self.reach.lock();
        reach.now = reach.now.saturating_sub(bytes);
    }
}

impl ProgressCounts {
    /// The Progress column: the words that scripts know, then what people want to know.
    ///
    /// `[ task id: 10440 -> finished part:2/ total number of subtasks:6, 12.3 MB of 40.1 MB (30%), 8.2 MB/s, ETA 3 s]`
    pub fn describe(&self, job: JobId, now_ms: i64) -> String {
        let mut text = format!(
            "[ task id: {job} -> finished part:{}/ total number of subtasks:{}",
            self.files_done, self.files_total
        );
        if self.bytes_total > 0 {
            let percent = u128::from(self.bytes_done) * 100 / u128::from(self.bytes_total);
            let (done, total) = (human_bytes(self.bytes_done), human_bytes(self.bytes_total));
            // Writing to a String cannot fail.
            let _ = write!(text, ", {done} of {total} ({percent}%)");
        }
        if let Some(rate) = self.bytes_per_second(now_ms) {
            let _ = write!(text, ", {}/s", human_bytes(rate));
            let left = self.bytes_total.saturating_sub(self.bytes_done);
            if left > 0 {
                let _ = write!(text, ", ETA {}", human_seconds(left.div_ceil(rate)));
            }
        }
        text.push(']');
        text
    }

    /// The mean rate since the phase began; `None` before there is one.
    pub fn bytes_per_second(&self, now_ms: i64) -> Option<u64> {
        let elapsed_ms = u64::try_from(now_ms.saturating_sub(self.started_at_ms)).ok()?;
        let moved = self.bytes_done.saturating_sub(self.bytes_before);
        let rate = u128::from(moved) * 1_000 / u128::from(elapsed_ms.max(1));
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        (elapsed_ms > 0 && rate > 0).then_some(rate)
    }
}

/// A size as people read it, in decimal units: `532 B`, `12.3 MB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A duration as people read it: `3 s`, `4 min 10 s`, `2 h 5 min`.
pub fn human_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests;
