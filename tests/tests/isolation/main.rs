//! Goal: every statement happens at one moment between its beginning and its end, in one order for the whole server, and
//! so do the cut of a backup and the end of a restore. Each query sees one version of all the tables it names, each
//! snapshot is one version, a load is there whole or not at all, whatever partitions it fell into.
//!
//! Method: writers, readers and keepers of backups work on two databases at once and note what they said, what came back,
//! and when (`work`). The data tells which statements a query has seen (`history`). Then the checker looks for an order
//! that explains it all (`order`), and says with as few operations as it can why there is none (`explain`). That it finds
//! what it is there to find is shown by histories made by hand (`known`), and by runs in which somebody does something wrong
//! on purpose.
//!
//! `EBLA_ISOLATION_OPS` is how many operations are noted, `EBLA_ISOLATION_SEED` what everybody chooses. A run with the same
//! seed is alike, not the same: who meets whom is the machine's choice.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a failing helper is a failing test")]

mod explain;
mod history;
mod known;
mod order;
mod work;

use std::time::{Duration, Instant};

use ebla_tests::server::Server;
use ebla_tests::wait::wait_until;
use futures::FutureExt;
use futures::future::{LocalBoxFuture, join, join_all};

use explain::{Anomaly, Kind, check};
use history::{Action, History, Op, Outcome};
use work::{DATABASES, Flaw, Work};

/// Operations of a run when nobody says how many: half a minute on two idle cores in a debug build.
const OPS: u64 = 1_000;

/// Chooses the run when nobody else does.
const SEED: u64 = 1;

const WRITERS: u32 = 3;
const READERS: u32 = 4;

/// Snapshots and restores without which a run shows too little.
const SNAPSHOTS_MIN: usize = 4;
const RESTORES_MIN: usize = 2;

/// How long a run may take, on a busy machine, for each thousand operations.
const PATIENCE_PER_THOUSAND: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn every_query_and_every_snapshot_is_of_one_moment() {
    let (ops, seed) = (number("EBLA_ISOLATION_OPS").unwrap_or(OPS), number("EBLA_ISOLATION_SEED").unwrap_or(SEED));
    let start = Instant::now();
    let (history, refusals) = run("isolation", seed, Flaw::None, |work| {
        let snapshots = work.count(|op| matches!(op.action, Action::Snapshot { .. }));
        let restores = work.count(|op| matches!(op.action, Action::Restore { .. }) && op.outcome == Outcome::Done);
        work.len() as u64 >= ops && snapshots >= SNAPSHOTS_MIN && restores >= RESTORES_MIN
    })
    .await;
    let ran = start.elapsed();
    let start = Instant::now();
    match check(&history) {
        Ok(explained) => {
            println!("{}", report(&history, &refusals));
            println!(
                "seed {seed}: {:.1} s of work, an order found in {:.1} s, at most {} worlds at one moment",
                ran.as_secs_f64(),
                start.elapsed().as_secs_f64(),
                explained.worlds_most
            );
        }
        Err(anomaly) => panic!("seed {seed}: {anomaly}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_made_of_two_statements_is_found() {
    let anomaly = broken(Flaw::SplitRead, 8).await;
    assert_eq!(anomaly.kind, Kind::FracturedRead, "{anomaly}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_old_is_found() {
    let anomaly = broken(Flaw::StaleRead, 4).await;
    // What the old answer is called depends on whom it met: beside an overwrite it looks like the middle of it, and when
    // nobody else has seen a load before it was overwritten, like the loss of it.
    let names = [Kind::StaleRead, Kind::FracturedRead, Kind::IntermediateRead, Kind::LostUpdate];
    assert!(names.contains(&anomaly.kind), "{anomaly}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_made_of_two_statements_is_found() {
    let anomaly = broken(Flaw::SplitLoad, 3).await;
    assert_eq!(anomaly.kind, Kind::NonAtomicLoad, "{anomaly}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_made_of_two_backups_is_found() {
    let anomaly = broken(Flaw::TornSnapshot, 4).await;
    assert_eq!(anomaly.kind, Kind::TornSnapshot, "{anomaly}");
}

/// What is found when somebody does something wrong so often.
async fn broken(flaw: Flaw, times: u64) -> Anomaly {
    let (history, _) = run(&format!("isolation-{flaw:?}").to_lowercase(), SEED, flaw, |work| {
        let snapshots = work.count(|op| matches!(op.action, Action::Snapshot { .. }));
        work.flawed() >= times && (flaw != Flaw::TornSnapshot || snapshots > 0)
    })
    .await;
    let anomaly = check(&history).expect_err("what is done wrong is found");
    println!("{anomaly}");
    assert!(anomaly.ops.len() <= 12, "an explanation of {} operations explains nothing:\n{anomaly}", anomaly.ops.len());
    anomaly
}

/// Has everybody work until enough is done, and gives what they noted and what they were refused with.
async fn run(name: &str, seed: u64, flaw: Flaw, enough: impl Fn(&Work) -> bool) -> (History, Vec<String>) {
    let server = Server::start(name).await;
    let work = Work::begin(&server, seed, flaw).await;
    let mut workers: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    workers.extend((0..WRITERS).map(|process| work::write(&work, process).boxed_local()));
    workers.extend((WRITERS..WRITERS + READERS).map(|process| work::read(&work, process).boxed_local()));
    if [Flaw::None, Flaw::TornSnapshot].contains(&flaw) {
        let keepers = (WRITERS + READERS..).zip(DATABASES);
        workers.extend(keepers.map(|(process, db)| work::keep(&work, process, db).boxed_local()));
    }
    let ops = u32::try_from(number("EBLA_ISOLATION_OPS").unwrap_or(OPS) / 1_000 + 1).expect("as many as fit a number");
    let end = async {
        let look = async || if enough(&work) { Ok(()) } else { Err(format!("{} operations", work.len())) };
        wait_until(PATIENCE_PER_THOUSAND * ops, look).await;
        work.stop();
    };
    join(join_all(workers), end).await;
    work::read_all(&work, 63).await;
    (History { ops: work.ops() }, work.refusals())
}

fn report(history: &History, refusals: &[String]) -> String {
    let count = |fits: fn(&Op) -> bool| history.ops.iter().filter(|op| fits(op)).count();
    let done = |op: &Op| op.outcome == Outcome::Done;
    let mut reasons: Vec<&str> = refusals.iter().map(|text| text.rsplit(": ").next().unwrap_or(text)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    format!(
        "{} operations: {} loads, {} deletes, {} overwrites and truncations, {} queries, {} snapshots, {} restores; {} refused: {reasons:?}",
        history.ops.len(),
        count(|op| matches!(op.action, Action::Load { .. }) && op.outcome == Outcome::Done),
        count(|op| matches!(op.action, Action::Delete { .. }) && op.outcome == Outcome::Done),
        count(
            |op| matches!(op.action, Action::Overwrite { .. } | Action::Truncate { .. }) && op.outcome == Outcome::Done
        ),
        count(|op| matches!(op.action, Action::Read { .. })),
        count(|op| matches!(op.action, Action::Snapshot { .. })),
        count(|op| matches!(op.action, Action::Restore { .. }) && op.outcome == Outcome::Done),
        history.ops.iter().filter(|op| !done(op)).count(),
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is '{text}', which is no number")))
}
