//! How far the running phase of a job has come: counted in memory by whoever moves bytes, printed by SHOW.
//!
//! Nothing of it is stored. After a restart a phase begins to count again, with what is already there left out of its
//! total, so that percent, rate and remaining time stay true.

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
}

#[derive(Debug, Clone, Copy)]
struct Phase {
    bytes_total: u64,
    files_total: u64,
    started_at_ms: i64,
}

/// Counts the bytes of one file. Unless it arrives, they are taken back: the file has to begin again.
#[derive(Debug)]
pub struct FileProgress<'a> {
    progress: &'a Progress,
    bytes: AtomicU64,
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
    /// Since when the phase runs.
    pub started_at_ms: i64,
}

impl Progress {
    /// Begins a phase that moves so much.
    pub fn begin(&self, files_total: u64, bytes_total: u64, now_ms: i64) {
        let mut phase = self.phase.lock();
        self.bytes_done.store(0, Ordering::Relaxed);
        self.files_done.store(0, Ordering::Relaxed);
        *phase = Some(Phase { bytes_total, files_total, started_at_ms: now_ms });
    }

    /// Ends the phase: nothing is shown until the next one begins.
    pub fn end(&self) {
        *self.phase.lock() = None;
    }

    /// Counts bytes of a file that is under way.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back bytes of a file that has to begin again.
    pub fn take_back_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a file that has arrived.
    pub fn add_file(&self) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now, while a phase runs.
    pub fn counts(&self) -> Option<ProgressCounts> {
        let phase = self.phase.lock();
        let phase = (*phase)?;
        Some(ProgressCounts {
            bytes_done: self.bytes_done.load(Ordering::Relaxed).min(phase.bytes_total),
            bytes_total: phase.bytes_total,
            files_done: self.files_done.load(Ordering::Relaxed).min(phase.files_total),
            files_total: phase.files_total,
            started_at_ms: phase.started_at_ms,
        })
    }
}

impl<'a> FileProgress<'a> {
    /// A file that begins.
    pub fn new(progress: &'a Progress) -> Self {
        FileProgress { progress, bytes: AtomicU64::new(0) }
    }

    /// The file has arrived whole.
    pub fn arrived(self) {
        self.bytes.store(0, Ordering::Relaxed);
    }
}

impl Drop for FileProgress<'_> {
    fn drop(&mut self) {
        self.progress.take_back_bytes(self.bytes.load(Ordering::Relaxed));
    }
}

impl repository::Progress for FileProgress<'_> {
    fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.add_bytes(bytes);
    }

    fn moved_in_vain(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.progress.take_back_bytes(bytes);
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
        let rate = u128::from(self.bytes_done) * 1_000 / u128::from(elapsed_ms.max(1));
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
mod tests {
    use super::*;

    #[test]
    fn progress_keeps_the_known_words_and_adds_the_useful_ones() {
        let progress = Progress::default();
        assert_eq!(progress.counts(), None);
        progress.begin(6, 40_100_000, 1_000);
        assert_eq!(
            progress.counts().unwrap().describe(JobId(10440), 1_000),
            "[ task id: 10440 -> finished part:0/ total number of subtasks:6, 0 B of 40.1 MB (0%)]"
        );
        progress.add_bytes(12_300_000);
        progress.add_file();
        progress.add_file();
        assert_eq!(
            progress.counts().unwrap().describe(JobId(10440), 2_500),
            "[ task id: 10440 -> finished part:2/ total number of subtasks:6, 12.3 MB of 40.1 MB (30%), 8.2 MB/s, \
             ETA 4 s]"
        );
        {
            let failing = FileProgress::new(&progress);
            repository::Progress::moved(&failing, 500);
            assert_eq!(progress.counts().unwrap().bytes_done, 12_300_500);
        }
        assert_eq!(progress.counts().unwrap().bytes_done, 12_300_000);
        let arriving = FileProgress::new(&progress);
        repository::Progress::moved(&arriving, 500);
        arriving.arrived();
        assert_eq!(progress.counts().unwrap().bytes_done, 12_300_500);
        progress.end();
        assert_eq!(progress.counts(), None);
    }

    #[test]
    fn sizes_and_durations_read_well() {
        let sizes = [0, 999, 1_000, 999_949, 999_950, 12_345_678, u64::MAX].map(human_bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 KB", "999.9 KB", "1.0 MB", "12.3 MB", "18446.7 PB"]);
        assert_eq!([3, 250, 7_500].map(human_seconds), ["3 s", "4 min 10 s", "2 h 5 min"]);
    }
}
