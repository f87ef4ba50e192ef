//! Goal: every snapshot that is restored equals the state of the database at the moment of its cut, across all its
//! tables, whatever came before, during and after the backup.
//! Method: proptest makes cases of random DDL, loads, deletes, compactions, backups and restores; each is played through
//! the real port, against a real repository, and on a model that is a few ordered sets. The files: `op` says what can
//! happen and how often, `state` is the model, `play` does both and compares.
//!
//! A backup is not waited for: what follows its cut meets it while it uploads. At the end of a case every snapshot is
//! restored into an empty server too. A case that fails is shrunk, and its statements are printed for replay.
//!
//! The cases are the same every time. `EBLA_MODEL_CASES` plays more of them, `EBLA_MODEL_SEED` (a number) others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod check;
mod op;
mod play;
mod state;

use std::panic::AssertUnwindSafe;

use ebla_tests::weed::Weed;
use futures::FutureExt;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use play::{Case, World};

/// Cases on a directory: about half a minute in a debug build.
const CASES_ON_A_DIRECTORY: u32 = 20;

/// Cases on an S3 store.
const CASES_ON_S3: u32 = 4;

/// How long a failing case is made smaller.
const SHRINK_MS: u32 = 120_000;

/// Chooses the cases when nobody else does.
const SEED: u64 = 1;

#[test]
fn snapshots_in_a_directory_restore_to_the_state_at_their_cut() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::on_a_directory());
    play_all(&runtime, &world, CASES_ON_A_DIRECTORY);
}

#[test]
fn snapshots_on_s3_restore_to_the_state_at_their_cut() {
    let runtime = Runtime::new().unwrap();
    let Some(weed) = runtime.block_on(Weed::shared()) else {
        return;
    };
    let world = runtime.block_on(async { World::on_s3(&weed.bucket("model").await).await });
    play_all(&runtime, &world, CASES_ON_S3);
}

fn play_all(runtime: &Runtime, world: &World, cases: u32) {
    let cases = number("EBLA_MODEL_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(cases);
    let seed = number("EBLA_MODEL_SEED").unwrap_or(SEED);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_time: SHRINK_MS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&op::cases(), |ops| {
        let mut case = runtime.block_on(Case::new(world));
        let played = runtime.block_on(AssertUnwindSafe(case.play(&ops)).catch_unwind());
        // Also after a failure, so that the next, smaller case finds an idle server.
        let replay = runtime.block_on(case.end());
        played.map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
            TestCaseError::fail(format!("{text}\n\nto replay (seed {seed}), type:\n{replay}\n"))
        })
    });
    match outcome {
        Ok(()) => {}
        // The statements say more than the operations they were made of.
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(other) => panic!("{other}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is '{text}', which is no number")))
}
