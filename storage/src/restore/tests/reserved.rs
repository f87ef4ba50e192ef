//! What a running restore is going to create or replace is nobody else's meanwhile.
//!
//! Goal: a restore that was not refused when its plan was made is not refused later, whatever others do. Method: at
//! several places of a restore, try everything that could get in its way; release it by every end a job can have; and
//! let statements come at any moment.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::catalog::{NewPartition, PartitionRow, Removal, WriteTransaction};
use crate::clock::{Clock, ManualClock, SystemRandom};
use crate::error::Noun;
use crate::job::JobConfig;
use crate::job::bed::{DATABASE, partition, range};
use crate::storage::{Storage, StorageConfig};

/// A moment.
const NOW_MS: i64 = 1_700_000_000_000;

/// Places of a restore from the submission on.
const PLACES: [FailPoint; 5] = [
    FailPoint::StepBegins("PENDING"),
    FailPoint::RestorePlanned,
    FailPoint::StepBegins("SNAPSHOTING"),
    FailPoint::StepBegins("DOWNLOADING"),
    FailPoint::RestoreBeforeCommit,
];

/// A store with a snapshot `x` of `t` and `u` in which the restore of it makes `t`, and in `u` replaces `p0` and makes
/// `p1`. A table `t` and a partition `p1` wait to be recovered; `other` and `p2` are nobody's business.
async fn bed_in(dir: &Path, clock: Arc<dyn Clock>) -> Bed {
    let bed = open(dir, clock.clone()).await;
    bed.create_table("t", &[0, 100], 1);
    bed.create_table("u", &[0, 100, 200], 1);
    bed.load("t", &rows(0..50));
    bed.load("u", &rows(0..200));
    bed.backup("x").await;
    bed.create_table("other", &[], 1);
    bed.drop_table("t");
    change(&bed.storage, |write, table| {
        let p1 = write.partition(table, "p1")?;
        write.drop_partitions(table, &[p1], Removal::Recoverable)
    })
    .unwrap();
    bed.storage.add_partitions(DATABASE, "u", &[ranged("p2", 300, 400)]).unwrap();
    // One whose fail points no job has come to: the backup has passed places that have the names of a restore's.
    bed.close().await;
    open(dir, clock).await
}

async fn open(dir: &Path, clock: Arc<dyn Clock>) -> Bed {
    let bed = Bed::open_with(&dir.join("data"), 1, clock, JobConfig::default());
    bed.add_repository(&format!("file://{}", dir.join("repository").display()), Access::ReadWrite).await;
    bed
}

fn ranged(name: &str, lower: i128, upper: i128) -> NewPartition {
    partition(name, range(lower, upper), 1)
}

/// Changes `u`.
fn change<T>(
    storage: &Storage,
    change: impl FnOnce(&WriteTransaction<'_>, crate::ids::TableId) -> Result<T>,
) -> Result<T> {
    storage.catalog().write(|write| {
        let table = write.table(write.database(DATABASE)?.id, "u")?.id;
        change(write, table)
    })
}

fn create_t(storage: &Storage) -> Result<()> {
    storage.create_table(DATABASE, "t", &definition(true, 1), &[ranged("p0", 0, 100)]).map(drop)
}

#[track_caller]
fn assert_held(result: Result<()>, noun: Noun, name: &str) {
    match result {
        Err(Error::Held { noun: found, name: held, holder }) => {
            assert_eq!((found, held.as_str(), holder.database.as_str()), (noun, name, DATABASE));
        }
        other => panic!("{noun} {name} is free: {other:?}"),
    }
}

#[track_caller]
fn assert_restored_now(result: Result<()>, noun: Noun, name: &str) {
    match result {
        Err(Error::BeingRestored { noun: found, name: held, .. }) => assert_eq!((found, held.as_str()), (noun, name)),
        other => panic!("{noun} {name} is not protected: {other:?}"),
    }
}

/// What is held from the submission on.
#[track_caller]
fn assert_tables_are_held(storage: &Storage) {
    let catalog = storage.catalog();
    let database = catalog.read(|read| Ok(read.database(DATABASE)?.id)).unwrap();
    assert_held(create_t(storage), Noun::Table, "t");
    let renamed = catalog.write(|write| write.rename_table(&write.table(database, "other")?, "t"));
    assert_held(renamed, Noun::Table, "t");
    let recovered = catalog.write(|write| write.recover_table(&write.dropped_table(database, "t")?.expect("t")));
    assert_held(recovered, Noun::Table, "t");
    let renamed = catalog.write(|write| write.rename_table(&write.table(database, "u")?, "v"));
    assert_restored_now(renamed, Noun::Table, "u");
    assert_restored_now(change(storage, |write, table| write.drop_table(table)), Noun::Table, "u");
    assert_restored_now(change(storage, |write, table| write.drop_table_for_good(table)), Noun::Table, "u");
}

/// What is held from the plan on.
#[track_caller]
fn assert_partitions_are_held(storage: &Storage) {
    let add = |new: NewPartition| storage.add_partitions(DATABASE, "u", &[new]);
    assert_held(add(ranged("P1", 500, 600)), Noun::Partition, "P1");
    let error = add(ranged("q", 150, 160)).unwrap_err().to_string();
    assert!(error.contains("of partition 'p1', which restore job ") && error.contains("CANCEL RESTORE"), "{error}");
    let row =
        |write: &WriteTransaction<'_>, table, name: &str| -> Result<PartitionRow> { write.partition(table, name) };
    let rename = |from: &'static str, to: &'static str| {
        change(storage, |write, table| write.rename_partition(&row(write, table, from)?, to))
    };
    assert_held(rename("p2", "p1"), Noun::Partition, "p1");
    assert_restored_now(rename("p0", "q"), Noun::Partition, "p0");
    for removal in [Removal::Recoverable, Removal::ForGood] {
        let dropped =
            change(storage, |write, table| write.drop_partitions(table, &[row(write, table, "p0")?], removal));
        assert_restored_now(dropped, Noun::Partition, "p0");
    }
    let recovered = change(storage, |write, table| {
        write.recover_partition(&write.dropped_partition(table, "p1")?.expect("p1 was dropped"))
    });
    assert_held(recovered, Noun::Partition, "p1");
}

/// What is nobody's business, and undone again: what is in a table, and what is beside what the restore wants.
fn assert_the_rest_is_free(storage: &Storage) {
    storage.truncate(DATABASE, "u", None).unwrap();
    storage.add_partitions(DATABASE, "u", &[ranged("p3", 400, 500)]).unwrap();
    for (from, to) in [("p3", "p4"), ("p2", "p3"), ("p3", "p2")] {
        change(storage, |write, table| write.rename_partition(&write.partition(table, from)?, to)).unwrap();
    }
    change(storage, |write, table| {
        let p4 = write.partition(table, "p4")?;
        write.drop_partitions(table, &[p4], Removal::ForGood)
    })
    .unwrap();
    storage.create_table(DATABASE, "another", &definition(true, 1), &[]).unwrap();
    let catalog = storage.catalog();
    catalog
        .write(|write| {
            let database = write.database(DATABASE)?.id;
            write.rename_table(&write.table(database, "another")?, "more")?;
            write.drop_table_for_good(write.table(database, "more")?.id)
        })
        .unwrap();
    // Another database has names of its own.
    catalog.write(|write| write.create_database("e", &Default::default())).unwrap();
    storage.create_table("e", "t", &definition(true, 1), &[]).unwrap();
    catalog.write(|write| write.purge_database(write.database("e")?.id)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_wants_is_held_at_every_place() {
    for place in PLACES {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_in(dir.path(), Arc::new(SystemClock)).await;
        bed.failpoints.arm(place, Action::Wait);
        let id = bed.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap();
        bed.failpoints.wait_for(place).await;
        assert_tables_are_held(&bed.storage);
        if place != FailPoint::StepBegins("PENDING") {
            assert_partitions_are_held(&bed.storage);
        }
        assert_the_rest_is_free(&bed.storage);
        bed.failpoints.disarm();
        bed.ended(id).await;
        assert_restored(&bed.restore_row(id));
        assert_eq!((bed.rows("t"), bed.rows("u")), (rows(0..50), rows(0..200)).sorted());
        bed.assert_nothing_left();
        // Nothing is held any more.
        bed.drop_table("t");
        bed.drop_table("u");
        create_t(&bed.storage).unwrap();
    }
}

/// Goal: every end gives everything back. Method: a cancel, the timeout, a failure, a payload nobody can read.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_ends_early_holds_nothing() {
    for place in PLACES {
        for end in ["cancel", "timeout", "failure", "unreadable"] {
            let dir = tempfile::tempdir().unwrap();
            let clock = ManualClock::at(NOW_MS);
            let bed = bed_in(dir.path(), clock.clone()).await;
            let action = if end == "failure" { Action::Fail } else { Action::Wait };
            bed.failpoints.arm(place, action);
            let mut spec = restore_spec("x", RestoreObjects::All);
            spec.properties.timeout_ms = 600_000;
            let id = bed.runner.submit_restore(spec).await.unwrap();
            bed.failpoints.wait_for(place).await;
            let bed = match end {
                "cancel" => {
                    bed.runner.cancel(crate::catalog::JobKind::Restore, DATABASE).await.unwrap();
                    bed
                }
                "timeout" => {
                    clock.advance_ms(600_001);
                    bed
                }
                "unreadable" => {
                    let spoil = |write: &WriteTransaction<'_>| {
                        let row = write.job(id)?.expect("the job");
                        write.update_job(id, &row.state, "{\"format_version\":99}", false)
                    };
                    bed.storage.catalog().write(spoil).unwrap();
                    bed.close().await;
                    open(dir.path(), clock.clone()).await
                }
                _ => bed,
            };
            assert_eq!(bed.ended(id).await.state, "CANCELLED", "{place:?} {end}");
            bed.storage.collect_garbage().unwrap();
            bed.assert_nothing_left();
            create_t(&bed.storage).unwrap();
            bed.storage.add_partitions(DATABASE, "u", &[ranged("p1", 100, 200)]).unwrap();
            bed.drop_table("u");
        }
    }
}

/// Goal: what is held survives the process. Method: end it at every place; look at the catalog before jobs go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_survives_a_restart() {
    for place in PLACES {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_in(dir.path(), Arc::new(SystemClock)).await;
        bed.failpoints.arm(place, Action::Wait);
        let id = bed.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap();
        bed.failpoints.wait_for(place).await;
        let data_dir = bed.close().await;
        let mut config = StorageConfig::new(&data_dir);
        config.roots = vec![data_dir.join("root0")];
        let storage = Storage::open(config, ManualClock::at(NOW_MS), Arc::new(SystemRandom)).unwrap();
        assert_tables_are_held(&storage);
        if place != FailPoint::StepBegins("PENDING") {
            assert_partitions_are_held(&storage);
        }
        drop(storage);
        let bed = open(dir.path(), Arc::new(SystemClock)).await;
        bed.ended(id).await;
        assert_restored(&bed.restore_row(id));
        assert_eq!((bed.rows("t"), bed.rows("u")), (rows(0..50), rows(0..200)).sorted());
        bed.assert_nothing_left();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_database_to_come_is_held() {
    for place in PLACES {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_in(dir.path(), Arc::new(SystemClock)).await;
        let catalog = bed.storage.catalog();
        let make = |name: &str| catalog.write(|write| write.create_database(name, &Default::default()).map(drop));
        make("new").unwrap();
        catalog.write(|write| write.drop_database(write.database("new")?.id)).unwrap();
        make("e").unwrap();
        bed.failpoints.arm(place, Action::Wait);
        let spec = || RestoreSpec { database: Some("new".into()), ..restore_spec("x", RestoreObjects::All) };
        let id = bed.runner.submit_restore(spec()).await.unwrap();
        bed.failpoints.wait_for(place).await;
        let rename = || catalog.write(|write| write.rename_database(write.database("e")?.id, "new"));
        let recover = || catalog.write(|write| write.recover_database(&write.dropped_database("new")?.expect("new")));
        for result in [make("new"), rename(), recover()] {
            assert!(matches!(&result, Err(Error::Held { noun: Noun::Database, .. })), "{place:?}: {result:?}");
        }
        bed.runner.cancel(crate::catalog::JobKind::Restore, "new").await.unwrap();
        assert_eq!(bed.ended(id).await.state, "CANCELLED");
        rename().unwrap();
        catalog.write(|write| write.purge_database(write.database("new")?.id)).unwrap();
        bed.failpoints.disarm();
        let id = bed.runner.submit_restore(spec()).await.unwrap();
        bed.ended(id).await;
        assert_restored(&bed.restore_row(id));
        assert_eq!(bed.rows_in("new", "u"), rows(0..200).sorted());
    }
}

/// Goal: whoever changes the target while the plan is made either comes first, and the plan counts with it, or is
/// refused; no restore fails after its plan. Method: partitions and tables come and go all the time beside restores.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_restore_is_refused_after_its_plan() {
    let dir = tempfile::tempdir().unwrap();
    let bed = bed_in(dir.path(), Arc::new(SystemClock)).await;
    let done = Arc::new(AtomicBool::new(false));
    let (storage, over) = (Arc::clone(&bed.storage), Arc::clone(&done));
    let restless = tokio::task::spawn_blocking(move || {
        let mut refused = 0;
        while !over.load(Ordering::Acquire) {
            let drop_named = |name: &str| {
                change(&storage, |write, table| {
                    let partition = write.partition(table, name)?;
                    write.drop_partitions(table, &[partition], Removal::ForGood)
                })
            };
            let rename =
                |from, to| change(&storage, |write, table| write.rename_partition(&write.partition(table, from)?, to));
            let drop_t = || {
                storage.catalog().write(|write| {
                    let database = write.database(DATABASE)?.id;
                    write.drop_table_for_good(write.table(database, "t")?.id)
                })
            };
            let results = [
                drop_named("p1"),
                storage.add_partitions(DATABASE, "u", &[ranged("q", 150, 160)]),
                drop_named("q"),
                rename("p0", "r"),
                rename("r", "p0"),
                drop_t(),
                create_t(&storage),
            ];
            let held =
                |error: &Error| matches!(error, Error::Held { .. } | Error::BeingRestored { .. } | Error::Conflict(_));
            refused += results.iter().filter(|result| result.as_ref().is_err_and(held)).count();
        }
        refused
    });
    let mut finished = 0;
    for _ in 0..60 {
        let row = bed.restore("x").await;
        match row.state.as_str() {
            "FINISHED" => finished += 1,
            _ => assert_eq!(row.meta_prepared_at_ms, None, "refused after its plan: {}", row.status),
        }
    }
    done.store(true, Ordering::Release);
    let refused = restless.await.unwrap();
    assert!(finished > 0 && refused > 0, "{finished} restores finished, {refused} statements were refused");
    bed.storage.collect_garbage().unwrap();
    bed.assert_nothing_left();
}

/// Goal: what a plan does not count on does not make it anew. Method: look at a target, load into it, let it grow.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_plan_counts_on_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::open_with(&dir.path().join("data"), 1, Arc::new(SystemClock), JobConfig::default());
    bed.create_table("t", &[0, 100], 1);
    let selections = [RestoreSelection::whole("t")];
    let look = || {
        let read = |read: &crate::catalog::ReadTransaction<'_>| submit::look_at_target(read, DATABASE, &selections, 1);
        bed.storage.catalog().read(read).unwrap()
    };
    let before = look();
    assert_eq!(look(), before);
    bed.load("t", &rows(0..10));
    assert_eq!(look(), before, "what is in a table does not matter");
    bed.storage.add_partitions(DATABASE, "t", &[ranged("p1", 100, 200)]).unwrap();
    assert_ne!(look(), before);
}
