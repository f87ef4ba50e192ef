//! The first bad rows of recent loads, for people who follow `ErrorURL`.
//!
//! Kept in memory: a few kilobytes a load, the last loads only. A name is random and long, so only who was told it can
//! read the rows it stands for.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use ebla_storage::clock::Random;
use parking_lot::Mutex;

use crate::load::text_batch::BadText;

/// Loads whose bad rows are kept. With [`LOG_BYTES_MAX`] this bounds the memory to 32 MiB.
const LOGS_MAX: usize = 128;

/// Text kept of one load, in bytes.
const LOG_BYTES_MAX: usize = 256 << 10;

/// The logs of recent loads.
#[derive(Debug, Default)]
pub(super) struct ErrorLog {
    logs: Mutex<VecDeque<(String, Arc<str>)>>,
}

impl ErrorLog {
    /// Keeps what is known about a load's bad rows and returns the name to ask for it.
    pub(super) fn keep(&self, bad_rows: &[BadText], filtered: u64, random: &dyn Random) -> String {
        let mut text = String::new();
        for bad in bad_rows {
            let start = text.len();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "Error: {}. Row {}: {}", bad.reason, bad.row, bad.text);
            if text.len() > LOG_BYTES_MAX {
                text.truncate(start);
                break;
            }
        }
        let described = text.lines().filter(|line| line.starts_with("Error: ")).count() as u64;
        if filtered > described {
            let _ = writeln!(text, "{} more bad rows are not shown", filtered - described);
        }
        let name = format!("error_log_{}", random.identifier());
        let mut logs = self.logs.lock();
        if logs.len() >= LOGS_MAX {
            logs.pop_front();
        }
        logs.push_back((name.clone(), text.into()));
        name
    }

    /// What was kept under this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<str>> {
        self.logs.lock().iter().find(|(other, _)| other == name).map(|(_, text)| Arc::clone(text))
    }
}

#[cfg(test)]
mod tests {
    use ebla_storage::clock::SystemRandom;

    use super::*;

    #[test]
    fn keeps_the_last_ones() {
        let log = ErrorLog::default();
        let bad = |row| BadText { row, reason: "wrong".to_owned(), text: "a,b".to_owned() };
        let first = log.keep(&[bad(3)], 2, &SystemRandom);
        let text = log.find(&first).expect("kept");
        assert_eq!(&*text, "Error: wrong. Row 3: a,b\n1 more bad rows are not shown\n");
        for _ in 0..LOGS_MAX {
            log.keep(&[], 0, &SystemRandom);
        }
        assert!(log.find(&first).is_none());
        let many: Vec<BadText> = (0..10_000).map(|row| BadText { text: "x".repeat(200), ..bad(row) }).collect();
        let text = log.find(&log.keep(&many, 10_000, &SystemRandom)).expect("kept");
        assert!(text.len() <= LOG_BYTES_MAX + 100);
    }
}
