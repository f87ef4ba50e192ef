//! Goal: whatever a month brings, what the server takes of the machine and of the store follows the data that is live, and
//! not the time that has passed.
//!
//! Method: the real binary lives through days in minutes, because its clocks, and those of its store, go on when the test says so
//! ([`ebla_tests::simulated`]). Every hour has loads, deletes, a backup with a ttl, and what else a day brings: tables and
//! databases that are dropped, recovered, restored and made again, snapshots dropped by hand, verifications, compactions and
//! collections by themselves, kills, restarts, and clocks that are wrong (`hour`). What is live stays the same from day to
//! day. Now and then everything settles and is measured (`sample`); at the end a line is laid through each figure, and one that rises
//! more than what is live does is a finding (`flat`). What the tables hold, and what a snapshot brings back, is counted besides.
//!
//! That a leak would be found is shown by making some: without collection, and with a store that keeps what is removed.
//!
//! `EBLA_SOAK_DAYS` and `EBLA_SOAK_SEED` choose another run: twelve days or more, with a day between samples and the retentions
//! that are the default; the short one keeps for hours what that keeps for days.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a failing helper is a failing test")]

mod flat;
mod hour;
mod plan;
mod run;
mod sample;

use plan::Plan;
use run::Soak;

/// Chooses the run when nobody else does.
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn what_it_takes_stays_flat_against_what_is_live() {
    let plan = match number("EBLA_SOAK_DAYS") {
        Some(days) => Plan::long(u32::try_from(days).expect("as many days as fit a number")),
        None => Plan::short(),
    };
    let seed = number("EBLA_SOAK_SEED").unwrap_or(SEED);
    let Some(mut soak) = Soak::begin(seed, plan, |server| server).await else {
        return;
    };
    soak.run().await;
    println!("{}", soak.report());
    let complaints = soak.complaints();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
}

/// Goal: the check is no check unless it can fail. Method: nothing is collected.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_that_is_not_collected_is_found() {
    let off = |server: ebla_tests::server::ServerBuilder| server.env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0");
    let Some(mut soak) = Soak::begin(SEED, Plan::short(), off).await else {
        return;
    };
    soak.run().await;
    let complaints = soak.complaints().join("\n");
    for figure in ["repository objects", "repository bytes"] {
        assert!(complaints.contains(figure), "{figure} is missing: {complaints}\n{}", soak.report());
    }
}

/// Goal: one object that stays for each backup is enough. Method: the store says that announcements are removed, and keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn one_object_left_for_each_backup_is_found() {
    let Some(mut soak) = Soak::begin(SEED, Plan::short(), |server| server).await else {
        return;
    };
    soak.store().keep("/writers/");
    soak.run().await;
    let complaints = soak.complaints().join("\n");
    assert!(complaints.contains("objects in the repository's writers"), "{complaints}\n{}", soak.report());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is '{text}', which is no number")))
}
