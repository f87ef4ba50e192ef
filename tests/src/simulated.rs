//! Time that passes when the test says so: for an unmodified `ebla`, and for the store that it backs up to.
//!
//! A small library of C that LD_PRELOAD puts between the program and libc adds to its clocks what stands in a file. Both the
//! wall clock and the clock that intervals are measured by go on, so whatever the server does every so often, it does; in
//! between, both run as fast as they always do. The wall clock can be wrong besides, as clocks of machines are.
//!
//! What waits for an answer while an hour passes has waited for an hour: a test lets time pass when nobody waits
//! ([`SimulatedStore::quiet`]). The store has the same time, but never a wrong clock; it stamps its objects with it and
//! refuses requests that are signed more than a quarter of an hour off, as AWS does; it tells its time in every answer.

mod store;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use crate::preload;
use crate::server::ServerBuilder;
use crate::skip;

pub use store::{Request, SimulatedStore};

const SOURCE: &str = include_str!("simulated/layer.c");

/// Where the numbers of the file are; the layer has the same.
const PASSED: u64 = 0;
const WRONG: u64 = 8;

/// A time that servers and a store share.
#[derive(Debug, Clone)]
pub struct SimulatedTime {
    library: PathBuf,
    path: PathBuf,
    file: Arc<File>,
    passed_ms: Arc<AtomicI64>,
}

impl SimulatedTime {
    /// Time as it is, with its file in a folder; `None` after a skip where there is no C compiler.
    pub fn new(folder: &Path) -> Option<SimulatedTime> {
        static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| preload::library("time-layer", SOURCE));
        let library = match &*BUILT {
            Ok(library) => library.clone(),
            Err(reason) => {
                skip::skip(reason);
                return None;
            }
        };
        let path = folder.join("time");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(WRONG + 8).unwrap();
        Some(SimulatedTime { library, path, file: Arc::new(file), passed_ms: Arc::default() })
    }

    /// Lets a server live in this time.
    #[must_use]
    pub fn rule(&self, server: ServerBuilder) -> ServerBuilder {
        server.env("LD_PRELOAD", self.library.to_str().unwrap()).env("TIME_LAYER_FILE", self.path.to_str().unwrap())
    }

    /// Lets this much time pass at once.
    pub fn pass(&self, time: Duration) {
        let by_ms = i64::try_from(time.as_millis()).unwrap();
        let passed_ms = self.passed_ms.fetch_add(by_ms, Ordering::SeqCst) + by_ms;
        self.put(PASSED, passed_ms);
    }

    /// Lets the wall clocks of servers be wrong by so many seconds from now on; 0 sets them right.
    pub fn be_wrong_by(&self, seconds: i64) {
        self.put(WRONG, seconds * 1_000);
    }

    /// The right time.
    pub fn now(&self) -> SystemTime {
        let passed_ms = self.passed_ms.load(Ordering::SeqCst);
        SystemTime::now() + Duration::from_millis(passed_ms.unsigned_abs())
    }

    fn put(&self, at: u64, milliseconds: i64) {
        self.file.write_all_at(&(milliseconds * 1_000_000).to_ne_bytes(), at).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use std::process::Command;

    /// Seconds since 1970 by the clock of another program in this time.
    fn told(time: &SimulatedTime) -> u64 {
        let mut date = Command::new("date");
        date.arg("+%s").env("LD_PRELOAD", &time.library).env("TIME_LAYER_FILE", &time.path);
        String::from_utf8(date.output().unwrap().stdout).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_program_sees_the_time_that_was_made_to_pass_and_a_wrong_clock() {
        let folder = Folder::new("time");
        let Some(time) = SimulatedTime::new(folder.path()) else {
            return;
        };
        let right = || time.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let began = right();
        time.pass(Duration::from_secs(86_400));
        let before = right();
        assert!(before >= began + 86_400);
        assert!((before..=right()).contains(&told(&time)));
        time.be_wrong_by(-7_200);
        let before = right();
        assert!((before - 7_200..=right() - 7_200).contains(&told(&time)));
        time.be_wrong_by(0);
        assert!(told(&time) >= before);
    }
}
