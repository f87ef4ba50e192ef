//! The end of a program's log, followed line by line: to learn of an event the moment it happens, at no cost to the
//! program.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::process::Process;

/// Between two looks: what is timed by a log is timed to this much. A look is one `read` of a local file.
const POLL: Duration = Duration::from_millis(1);

/// A place in a program's log.
#[derive(Debug)]
pub struct LogTail {
    path: PathBuf,
    offset: u64,
    // Read, but not yet a whole line.
    partial: Vec<u8>,
    // Whole, and not yet looked at.
    waiting: VecDeque<String>,
}

impl LogTail {
    /// The end of the log as it is now.
    pub fn of(process: &Process) -> LogTail {
        let path = process.log_path().to_path_buf();
        let offset = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        LogTail { path, offset, partial: Vec::new(), waiting: VecDeque::new() }
    }

    /// Waits for a line that holds this text, and gives it; lines before it are passed over. Panics after `patience`.
    pub async fn wait_line(&mut self, patience: Duration, text: &str) -> String {
        let start = Instant::now();
        let mut seen = String::new();
        loop {
            self.read();
            while let Some(line) = self.waiting.pop_front() {
                if line.contains(text) {
                    return line;
                }
                seen = line;
            }
            assert!(start.elapsed() < patience, "no line with '{text}' within {patience:?}; the last was: {seen}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes in what has come since the last look.
    fn read(&mut self) {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        let read = file.read_to_end(&mut self.partial).unwrap();
        self.offset += read as u64;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        self.waiting.extend(String::from_utf8_lossy(&whole).lines().map(str::to_string));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use std::process::Command;

    #[tokio::test]
    async fn lines_are_waited_for() {
        let folder = Folder::new("log-tail");
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two and half; echo three"]);
        let process = Process::start("sh", command, folder.path());
        let mut tail = LogTail { offset: 0, ..LogTail::of(&process) };
        let patience = Duration::from_secs(30);
        assert_eq!(tail.wait_line(patience, "two").await, "two and half");
        assert_eq!(tail.wait_line(patience, "three").await, "three");
    }
}
