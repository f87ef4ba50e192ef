//! Goal: a byte that changes in the log before its last transaction is found or means nothing, whichever byte, most of all one of
//! those that say where a transaction ends. Method: logs of SQLite's own with three transactions; each byte in turn becomes
//! others; what SQLite then reads is compared with what was committed.

use std::fs;

use rusqlite::Connection;

use super::*;

/// As small as SQLite has them, so that every byte can be had.
const SMALL_PAGE: usize = 512;

/// What the catalog has; below a header that is broken no other is known.
const CATALOG_PAGE: usize = 4096;

struct Log {
    dir: tempfile::TempDir,
    db: Vec<u8>,
    log: Vec<u8>,
    /// Where each of the three transactions ends.
    ends: [usize; 3],
    frame_bytes: usize,
}

impl Log {
    /// Three transactions of a row each, of so many characters.
    fn of_three(page_bytes: usize, characters: usize) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA page_size = {page_bytes}; PRAGMA journal_mode = WAL")).unwrap();
        connection.execute_batch("CREATE TABLE t (n, text); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let log = || fs::read(dir.path().join("c-wal")).unwrap();
        let ends = [1, 2, 3].map(|n| {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (n, "a".repeat(characters))).unwrap();
            log().len()
        });
        let (db, log) = (fs::read(&path).unwrap(), log());
        drop(connection);
        Log { dir, db, log, ends, frame_bytes: FRAME_HEADER_BYTES + page_bytes }
    }

    fn is_of_last(&self, at: usize) -> bool {
        at >= self.ends[1]
    }

    fn frames(&self) -> impl Iterator<Item = usize> + use<> {
        (HEADER_BYTES..self.log.len()).step_by(self.frame_bytes)
    }

    /// The transactions that SQLite finds in a log; `None` when it finds nonsense.
    fn found_by_sqlite(&self, log: &[u8]) -> Option<String> {
        let path = self.dir.path().join("changed");
        fs::write(&path, &self.db).unwrap();
        fs::write(self.dir.path().join("changed-wal"), log).unwrap();
        let _ = fs::remove_file(self.dir.path().join("changed-shm"));
        let connection = Connection::open(&path).unwrap();
        connection.query_row("SELECT coalesce(group_concat(n), '') FROM t", [], |row| row.get(0)).ok()
    }

    /// Changes a byte. It must be found, mean nothing, or cost the last transaction alone and be of it; true when it does.
    fn change(&self, at: usize, value: u8) -> bool {
        let mut changed = self.log.clone();
        changed[at] = value;
        if check_log(changed.as_slice()).unwrap().is_some() {
            return false;
        }
        let said = self.found_by_sqlite(&changed);
        let is_dropped = said.as_deref() == Some("1,2") && self.is_of_last(at);
        let (was, ends) = (self.log[at], self.ends);
        assert!(
            is_dropped || said.as_deref() == Some("1,2,3"),
            "byte {at} from {was} to {value}, transactions end at {ends:?}: {said:?} is believed"
        );
        is_dropped
    }
}

/// Transactions of one frame and of several.
fn small_logs() -> [Log; 2] {
    let [one, several] = [10, 800].map(|characters| Log::of_three(SMALL_PAGE, characters));
    assert_eq!(one.ends[2] - one.ends[1], one.frame_bytes);
    assert!(several.ends[2] - several.ends[1] > several.frame_bytes);
    [one, several]
}

#[test]
fn no_byte_of_a_page_changes_unseen() {
    for log in small_logs() {
        assert_eq!(check_log(log.log.as_slice()).unwrap(), None);
        assert_eq!(log.found_by_sqlite(&log.log).as_deref(), Some("1,2,3"));
        let pages = log.frames().flat_map(|frame| frame + FRAME_HEADER_BYTES..frame + log.frame_bytes);
        // SQLite is asked for long enough about a part of the last transaction, which nobody promises anything of.
        let pages = pages.filter(|at| !log.is_of_last(*at) || at % 16 == 0);
        let mut dropped = 0;
        for at in pages {
            // What a disk makes of a byte: another bit, all others, nothing.
            let was = log.log[at];
            let values: &[u8] = if log.is_of_last(at) { &[0] } else { &[was ^ 1, was ^ 255, 0] };
            dropped += values.iter().filter(|value| **value != was && log.change(at, **value)).count();
        }
        assert!(dropped > 0, "the last transaction cannot be told from one that was torn");
    }
}

/// Every value of every byte: page number, mark of the commit, salts, checksums.
#[test]
fn no_byte_of_a_frames_header_changes_unseen() {
    for log in small_logs() {
        for at in log.frames().flat_map(|frame| frame..frame + FRAME_HEADER_BYTES) {
            let values = if log.is_of_last(at) { 0..=0 } else { 0..=u8::MAX };
            for value in values.filter(|value| *value != log.log[at]) {
                log.change(at, value);
            }
        }
    }
}

#[test]
fn no_byte_of_the_logs_header_changes_unseen() {
    let log = Log::of_three(CATALOG_PAGE, 10);
    for at in 0..HEADER_BYTES {
        for value in (0..=u8::MAX).filter(|value| *value != log.log[at]) {
            assert!(!log.change(at, value), "byte {at} to {value}");
        }
    }
}
