//! Goal: when the disk is full or fails, the statement that meets it says so, nothing of it is half there, the server
//! stays up and answers, what it had taken of the disk is given back, and the next attempt succeeds.
//! Method: a layer below the server (see `ebla_tests::disk`) refuses one operation at a time: for each statement, each
//! area of the disk and each class of operations it is counted how many the statement makes there, and then it is run
//! again with the first of them failing, the second, and so on; once for a single failure, and for a failure that stays.
//! The files: `statement` is what is run, `walk` how it is held against what it must leave.
//!
//! `EBLA_FAULTS_PER_CELL` walks more of each statement's operations than a few.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod statement;
mod walk;

use ebla_tests::disk::fault::{Class, Errno, Fault};
use ebla_tests::disk::model::{Disk, Loss};
use ebla_tests::disk::{Layer, Watched};
use ebla_tests::folder::Folder;
use ebla_tests::server::Server;
use rand::SeedableRng;
use rand::rngs::StdRng;

use statement::Statement;
use walk::Walk;

/// Parts of paths.
const CATALOG: &str = "/catalog.db";
const STAGING: &str = "/staging";
const TABLETS: &str = "/tablets";
const JOBS: &str = "/jobs";
const REPOSITORY: &str = "/repository";

/// What changes files, and what reads them where nothing else reads at the same time.
const CLASSES: [Class; 8] = [
    Class::Write,
    Class::Sync,
    Class::Create,
    Class::Rename,
    Class::Link,
    Class::Mkdir,
    Class::Unlink,
    Class::Truncate,
];

async fn walk(name: &str, statements: &[Statement], areas: &[&'static str]) {
    let Some(layer) = Layer::get() else { return };
    let mut walk = Walk::start(name, &layer).await;
    for statement in statements {
        let mut seen = 0;
        for area in areas {
            for class in CLASSES {
                seen += walk.cell(*statement, area, class).await;
            }
        }
        assert!(seen > 0, "{statement:?} does nothing in {areas:?} that could fail");
    }
    walk.end(statements.len()).await;
}

#[tokio::test]
async fn loads_and_deletes_meet_a_failing_disk() {
    let statements =
        [Statement::Insert, Statement::StreamLoad, Statement::Delete, Statement::FirstInsert, Statement::Overwrite];
    walk("faults-load", &statements, &[CATALOG, STAGING, TABLETS]).await;
}

/// Rows that do not fit into memory go to staging and come back from there: writing them and reading them may fail.
#[tokio::test]
async fn loads_larger_than_memory_meet_a_failing_disk() {
    let Some(layer) = Layer::get() else { return };
    let mut walk = Walk::of_large_loads("faults-spill", &layer).await;
    let mut seen = 0;
    for class in CLASSES.into_iter().chain([Class::Read]) {
        let there = walk.cell(Statement::Spill, STAGING, class).await;
        assert!(there > 0 || !matches!(class, Class::Create | Class::Write | Class::Read), "{class:?} in staging");
        seen += there;
    }
    // Room for nothing, for a part of the runs, for all runs and not the segments.
    for room in [0, 700, 5_000, 30_000] {
        walk.full(Statement::Spill, room).await;
    }
    assert!(seen > 0, "a load that spills does nothing in staging that could fail");
    walk.end(1).await;
}

#[tokio::test]
async fn definitions_and_compaction_meet_a_failing_disk() {
    let statements = [
        Statement::CreateTable,
        Statement::AddPartition,
        Statement::Truncate,
        Statement::Rename,
        Statement::DropTable,
        Statement::Compact,
    ];
    walk("faults-define", &statements, &[CATALOG, STAGING, TABLETS]).await;
}

#[tokio::test]
async fn backups_and_restores_meet_a_failing_disk() {
    let statements = [Statement::Backup, Statement::Restore];
    walk("faults-jobs", &statements, &[CATALOG, STAGING, TABLETS, JOBS, REPOSITORY]).await;
}

#[tokio::test]
async fn repositories_meet_a_failing_disk() {
    let statements = [Statement::CreateRepository, Statement::DropSnapshot, Statement::Clean];
    walk("faults-keep", &statements, &[CATALOG, REPOSITORY]).await;
}

/// Everything that grows a file fails at some byte, and so does everything after it until there is room again.
#[tokio::test]
async fn a_full_disk_stops_what_grows_and_nothing_else() {
    let Some(layer) = Layer::get() else { return };
    let mut walk = Walk::start("full", &layer).await;
    let statements = [
        Statement::Insert,
        Statement::StreamLoad,
        Statement::Delete,
        Statement::CreateTable,
        Statement::Compact,
        Statement::Backup,
        Statement::Restore,
    ];
    for statement in statements {
        for room in [0, 700, 5_000, 30_000] {
            walk.full(statement, room).await;
        }
    }
    walk.end(statements.len()).await;
}

/// A commit whose sync has failed is no commit, also when the process is killed before it writes anything else: the pages
/// of it that the kernel still has are not taken for one by the next process.
#[tokio::test]
async fn a_commit_that_was_refused_does_not_come_back_after_a_kill() {
    let Some(layer) = Layer::get() else { return };
    let folder = Folder::new("refused");
    let watched = Watched::new(&layer, folder.path());
    let (builder, faults) = watched.fail(Server::configure("refused").data("disk/data"));
    let mut server = builder.start_in(folder).await;
    server.client().await.query("CREATE DATABASE d").await;
    for turn in 0..4 {
        let mut client = server.client().await;
        faults.arm(Fault { class: Class::Sync, area: CATALOG, error: Errno::Io, skip: 0, count: 1 });
        let error =
            client.refused(&format!("CREATE TABLE d.t{turn} (k BIGINT) DISTRIBUTED BY HASH(k) BUCKETS 1")).await;
        assert!(error.message.contains("Input/output error"), "{error}");
        server.kill9();
        faults.release();
        server.restart().await;
        let mut client = server.client().await;
        assert_eq!(client.query("SHOW TABLES FROM d").await.rows, Vec::<Vec<Option<String>>>::new());
    }
}

/// A sync that has failed is believed to have failed: what was written before it is not relied on, however the syncs
/// after it go, since the kernel has forgotten what it could not write.
#[tokio::test]
async fn what_a_failed_sync_has_lost_is_not_relied_on() {
    let Some(layer) = Layer::get() else { return };
    let folder = Folder::new("fsync");
    let watched = Watched::new(&layer, folder.path());
    let (builder, faults) = watched.fail(watched.record(Server::configure("fsync").data("disk/data")));
    let server = builder.start_in(folder).await;
    let mut walk = Walk::of(server, faults).await;
    let mut told = Vec::new();
    for statement in [Statement::StreamLoad, Statement::Delete, Statement::Restore, Statement::FirstInsert] {
        let mut seen = 0;
        for area in [CATALOG, STAGING, TABLETS, JOBS, REPOSITORY] {
            seen += walk.cell(statement, area, Class::Sync).await;
            told.push((watched.position(), walk.rows().clone()));
        }
        assert!(seen > 0, "{statement:?} syncs nothing");
    }
    let mut server = walk.into_server();
    server.kill9();
    server.reconfigure(Watched::leave);
    let events = watched.events();
    let mut disk = Disk::new();
    disk.know_root(watched.root());
    let (mut done, mut rng) = (0, StdRng::seed_from_u64(1));
    for (position, rows) in told {
        let place = events.partition_point(|event| event.end <= position);
        disk.play(&events[done..place]);
        done = place;
        disk.power_loss(Loss::HARDEST, &mut rng).write(watched.root());
        server.restart().await;
        assert_eq!(walk::rows_of(&mut server.client().await, "d.t").await, rows, "after {place} operations");
        server.kill9();
    }
}
