//! Goal: whatever lies between Ebla and its store does wrong, a job finishes correctly or fails with a Status that helps; no
//! snapshot says OK and is not, no request is repeated beyond the configured limits, nothing hangs, CANCEL works.
//! Method: a proxy that lies before a real store. A table of places (which request, of which statement, in which state of
//! the job: `site`) is multiplied with a table of faults (`trouble`): each product is a cell, played by `cell` and judged by
//! `check`. What has been backed up through the liar is restored past it, into another server, and compared. `random`
//! has several faults at once.
//!
//! `EBLA_NETWORK_SEED` (a number) chooses bits, halves and the random cases; `EBLA_NETWORK_CASES` plays more of these;
//! `EBLA_NETWORK_ONLY` plays the cells alone whose names hold this text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod bed;
mod cell;
mod check;
mod random;
mod site;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ebla_tests::weed::Weed;
use futures::FutureExt;
use futures::future::join_all;

use bed::{Bed, Lane, Size};
use cell::{Cell, Outcome};

/// Lanes of small tables, and of large ones. What a cell does most is wait.
const LANES: [(Size, usize); 2] = [(Size::Small, 7), (Size::Large, 2)];

/// What the table must come to at least.
const CELLS_MIN: usize = 250;

/// Chooses bits and cases when nobody else does.
const SEED: u64 = 1;

/// Random cases when nobody asks for more.
const CASES: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_place() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let start = Instant::now();
    let only = std::env::var("EBLA_NETWORK_ONLY").unwrap_or_default();
    let cells = cell::table();
    assert!(cells.len() >= CELLS_MIN, "{} cells", cells.len());
    let picked: Vec<Cell> = cells.into_iter().filter(|cell| cell.name().contains(&only)).collect();
    let count = picked.len();
    let bed = Bed::new(weed, number("EBLA_NETWORK_SEED").unwrap_or(SEED)).await;
    let queues = Queues::default();
    for cell in picked {
        queues.lock().unwrap().entry(cell.site.size).or_default().push_back(cell);
    }
    let ended = Mutex::new(Vec::new());
    let lanes = LANES.iter().flat_map(|(size, lanes)| std::iter::repeat_n(*size, *lanes)).enumerate();
    join_all(lanes.map(|(index, size)| play_lane(&bed, index, size, &queues, &ended))).await;
    let ended = ended.into_inner().unwrap();
    let failed = report(&ended, start.elapsed());
    assert_eq!(ended.len(), count);
    assert!(failed.is_empty(), "{} of {count} cells:\n\n{}", failed.len(), failed.join("\n\n"));
}

/// Plays cells of one size until none is left.
async fn play_lane(bed: &Bed, index: usize, size: Size, queues: &Queues, ended: &Mutex<Vec<Ended>>) {
    let next = || queues.lock().unwrap().get_mut(&size).and_then(VecDeque::pop_front);
    let mut lane = None;
    while let Some(cell) = next() {
        if lane.is_none() {
            lane = Some(Lane::new(bed, index, size).await);
        }
        let lane = lane.as_mut().unwrap();
        let start = Instant::now();
        let played = AssertUnwindSafe(cell::play(bed, lane, &cell)).catch_unwind().await;
        if played.is_err() {
            lane.tidy(bed).await;
        }
        ended.lock().unwrap().push((cell.name(), start.elapsed(), played.map_err(text)));
    }
}

/// Ten seconds of latency, which some stores have on a bad day, are within the default timeouts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_of_latency_are_waited_for() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    cell::late_but_whole(&weed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_faults_at_once() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let seed = number("EBLA_NETWORK_SEED").unwrap_or(SEED);
    random::play(weed, seed, number("EBLA_NETWORK_CASES").unwrap_or(CASES)).await;
}

type Queues = Mutex<BTreeMap<Size, VecDeque<Cell>>>;

type Ended = (String, Duration, Result<Outcome, String>);

/// Prints what has come of the cells; gives those that are wrong.
fn report(ended: &[Ended], took: Duration) -> Vec<String> {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (name, _, outcome) in ended {
        let outcome = match outcome {
            Ok(outcome) => format!("{outcome:?}"),
            Err(text) => {
                failed.push(format!("{name}:\n{text}"));
                "wrong".to_string()
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    let mut slowest: Vec<&Ended> = ended.iter().collect();
    slowest.sort_by_key(|(_, took, _)| std::cmp::Reverse(*took));
    eprintln!("{} cells in {:.0} s: {outcomes:?}", ended.len(), took.as_secs_f64());
    for (name, took, _) in slowest.iter().take(5) {
        eprintln!("  {:>5.1} s {name}", took.as_secs_f64());
    }
    failed
}

fn text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is '{text}', which is no number")))
}
