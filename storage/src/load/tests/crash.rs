//! Loads, deletes and compactions in a child process that is killed at any moment, again and again over one data
//! directory. What must hold after each kill: every load that was acknowledged is there exactly once, every other one
//! is there whole or not at all, the same for deletes, and nothing is left in staging or without a name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::*;
use crate::clock::{Random, SystemRandom};
use crate::delete::DeleteSpec;

const DIRECTORY: &str = "EBLA_CRASH_TEST_DIRECTORY";
const FIRST: &str = "EBLA_CRASH_TEST_FIRST";

/// Kills of one run.
const ROUNDS: u32 = 6;

/// Rows of one load.
const ROWS: i32 = 10;

fn settings(dir: &Path) -> crate::storage::StorageConfig {
    let mut config = config(dir);
    config.compaction_fan_in = 2;
    // Every load spills.
    config.memtable_bytes_max = 1;
    config.garbage_interval = Duration::from_millis(20);
    config
}

fn label(number: i32) -> String {
    format!("load-{number}")
}

fn keys(number: i32) -> std::ops::Range<i32> {
    number * ROWS..(number + 1) * ROWS
}

/// The child: loads and deletes until it is killed, and says what was acknowledged.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let first: i32 = std::env::var(FIRST).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let storage = open(settings(Path::new(&directory)));
        storage.start_background();
        let writers = (0..2).map(|writer| {
            let storage = Arc::clone(&storage);
            tokio::spawn(async move {
                for number in (first + writer..).step_by(2) {
                    let spec = LoadSpec { label: Some(label(number)), ..spec("t", LoadKind::StreamLoad) };
                    load(&storage, spec, &rows(keys(number))).await.unwrap();
                    println!("loaded {number}");
                    if number % 3 == 0 {
                        storage.delete(delete(number)).await.unwrap();
                        println!("deleted {number}");
                    }
                }
            })
        });
        futures::future::join_all(writers).await;
    });
}

fn delete(number: i32) -> DeleteSpec {
    DeleteSpec {
        database: "d".to_owned(),
        table: "t".to_owned(),
        partitions: None,
        columns: vec!["k".to_owned()],
        predicate: Arc::new(move |batch| {
            let found = batch.column(0).as_primitive::<Int32Type>();
            Ok(found.iter().map(|key| key.map(|key| keys(number).contains(&key))).collect())
        }),
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_nothing_is_half_there() {
    let dir = tempfile::tempdir().unwrap();
    create_table(&open(settings(dir.path())), "t", 2);
    let (mut loaded, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    let mut next = 0;
    for round in 0..ROUNDS {
        let lines = 1 + (SystemRandom.next_u64() % 30) as usize;
        for line in run_and_kill(dir.path(), next, lines) {
            // The first line shares its place with what the test harness prints.
            let mut words = line.split_whitespace().rev();
            match (words.next().and_then(|number| number.parse::<i32>().ok()), words.next()) {
                (Some(number), Some("loaded")) => drop(loaded.insert(number)),
                (Some(number), Some(word)) if word.ends_with("deleted") => drop(deleted.insert(number)),
                (Some(number), Some(word)) if word.ends_with("loaded") => drop(loaded.insert(number)),
                _ => {}
            }
        }
        check(dir.path(), &loaded, &deleted, round);
        // Beyond every number the child may have begun.
        next = loaded.last().map_or(next, |last| last + 10);
    }
}

/// Runs the child until it has said `lines` lines, kills it a moment later, and returns all it said.
fn run_and_kill(directory: &Path, first: i32, lines: usize) -> Vec<String> {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["load::tests::crash::child", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said: Vec<String> = output.by_ref().filter(|line| line.contains("ed ")).take(lines).collect();
    assert_eq!(said.len(), lines, "the child ended by itself: {said:?}");
    std::thread::sleep(Duration::from_micros(SystemRandom.next_u64() % 30_000));
    child.kill().unwrap();
    said.extend(output);
    child.wait().unwrap();
    said
}

fn check(directory: &Path, loaded: &BTreeSet<i32>, deleted: &BTreeSet<i32>, round: u32) {
    let storage = open(settings(directory));
    assert!(staged(&storage).is_empty());
    let visible: BTreeSet<String> = states(&storage)
        .into_iter()
        .filter(|(label, state)| label.starts_with("load-") && *state == CatalogState::Visible)
        .map(|(label, _)| label)
        .collect();
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for (key, _) in table_rows(&storage, "t") {
        *counts.entry(key.unwrap()).or_default() += 1;
    }
    for number in loaded {
        assert!(visible.contains(&label(*number)), "round {round}: load {number} was acknowledged and is lost");
    }
    let numbers: BTreeSet<i32> = counts.keys().map(|key| key / ROWS).collect();
    for number in &numbers {
        assert!(visible.contains(&label(*number)), "round {round}: load {number} is not visible but has rows");
        assert!(!deleted.contains(number), "round {round}: the rows of load {number} were deleted");
    }
    for name in &visible {
        let number: i32 = name.trim_start_matches("load-").parse().unwrap();
        let found: Vec<usize> = keys(number).map(|key| counts.get(&key).copied().unwrap_or(0)).collect();
        let whole = found.iter().all(|count| *count == 1);
        // A delete that was not acknowledged may have happened.
        let gone = number % 3 == 0 && found.iter().all(|count| *count == 0);
        assert!(whole || gone, "round {round}: load {number} has {found:?}");
    }
    // What a kill left between installing files and naming them is swept; then garbage comes to nothing.
    storage.sweep_orphans().unwrap();
    storage.collect_garbage().unwrap();
    assert_eq!(storage.catalog().read(|read| read.garbage_count()).unwrap(), 0);
    let mut expected = 0;
    let snapshot = storage.table_snapshot("d", "t").unwrap();
    let mut files = 0;
    for tablet in snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets) {
        expected += storage.catalog().read(|read| read.tablet_files(tablet.tablet.id)).unwrap().len();
        files += storage.roots().files_on_disk(tablet.replicas[0].root_id, tablet.tablet.id).unwrap().len();
    }
    assert_eq!(files, expected, "round {round}: files without a name");
}
