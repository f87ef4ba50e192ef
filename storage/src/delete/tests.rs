//! DELETE: what goes, what stays, what is left behind, and who wins when several change the same segment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

use super::*;
use crate::catalog::{LoadState, ZoneMap};
use crate::schema::Value;
use crate::testing::*;

fn keys(matches: impl Fn(i32) -> bool + Send + Sync + 'static) -> DeleteSpec {
    DeleteSpec {
        database: "d".to_owned(),
        table: "t".to_owned(),
        partitions: None,
        columns: vec!["K".to_owned()],
        predicate: Arc::new(move |batch| {
            let keys = batch.column(0).as_primitive::<Int32Type>();
            Ok(keys.iter().map(|key| key.map(&matches)).collect())
        }),
    }
}

fn garbage(storage: &Storage) -> u64 {
    storage.catalog().read(|read| read.garbage_count()).unwrap()
}

#[tokio::test]
async fn rows_that_match_are_gone_and_snapshots_keep_them() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 4, 2);
    insert(&storage, "t", &rows(0..40)).await;
    insert(&storage, "t", &[(None, Some("null".to_owned()))]).await;
    let before = storage.table_snapshot("d", "t").unwrap();

    let receipt = storage.delete(keys(|key| key % 3 == 0)).await.unwrap();
    assert_eq!((receipt.rows, receipt.filtered_rows), (14, 0));
    let mut wanted = rows((0..40).filter(|key| key % 3 != 0));
    wanted.insert(0, (None, Some("null".to_owned())));
    assert_eq!(table_rows(&storage, "t"), wanted);
    assert_eq!(rows_of(&before).len(), 41);
    let versions = |storage: &Storage| -> Vec<i64> {
        let snapshot = storage.table_snapshot("d", "t").unwrap();
        snapshot.state().partitions.iter().map(|state| state.partition.visible_version).collect()
    };
    assert_eq!(versions(&storage), [4, 3, 3, 3]);

    // Again: nothing matches, nothing changes.
    assert_eq!(storage.delete(keys(|key| key % 3 == 0)).await.unwrap().rows, 0);
    assert_eq!(versions(&storage), [4, 3, 3, 3]);

    // More rows of the same segments: the vectors before become garbage.
    let some = DeleteSpec { partitions: Some(vec!["P1".to_owned()]), ..keys(|key| key % 2 == 0) };
    assert_eq!(storage.delete(some).await.unwrap().rows, 3);
    assert!(garbage(&storage) > 0);
    wanted.retain(|(key, _)| key.is_none_or(|key| key % 2 != 0 || !(10..20).contains(&key)));
    assert_eq!(table_rows(&storage, "t"), wanted);

    // Every row that is left: the segments go.
    let receipt = storage.delete(keys(|_| true)).await.unwrap();
    assert_eq!(receipt.rows, wanted.len() as u64 - 1);
    assert_eq!(table_rows(&storage, "t"), wanted[..1]);
    assert_eq!(segment_count(&storage, "t"), 1);
    assert!(staged(&storage).is_empty());
    let loads = storage.catalog().read(|read| read.loads(read.database("d")?.id)).unwrap();
    assert!(loads.iter().all(|load| load.state == LoadState::Visible));
    drop(storage);
    assert_eq!(table_rows(&open(config(dir.path())), "t"), wanted[..1]);
}

#[tokio::test]
async fn a_condition_without_columns_and_one_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..5)).await;
    let none = |answer: bool| DeleteSpec {
        columns: Vec::new(),
        predicate: Arc::new(move |batch| Ok(BooleanArray::from(vec![answer; batch.num_rows()]))),
        ..keys(|_| true)
    };
    assert_eq!(storage.delete(none(false)).await.unwrap().rows, 0);

    let fails = DeleteSpec { predicate: Arc::new(|_| Err(Error::invalid("no"))), ..keys(|_| true) };
    assert_eq!(storage.delete(fails).await.unwrap_err().to_string(), "no");
    let short = DeleteSpec { predicate: Arc::new(|_| Ok(BooleanArray::from(vec![true]))), ..keys(|_| true) };
    assert!(storage.delete(short).await.is_err());
    let unknown = DeleteSpec { columns: vec!["x".to_owned()], ..keys(|_| true) };
    assert_eq!(storage.delete(unknown).await.unwrap_err().to_string(), "column 'x' does not exist");
    let unknown = DeleteSpec { partitions: Some(vec!["x".to_owned()]), ..keys(|_| true) };
    assert_eq!(storage.delete(unknown).await.unwrap_err().to_string(), "partition 'x' does not exist");
    assert_eq!(table_rows(&storage, "t"), rows(0..5));

    assert_eq!(storage.delete(none(true)).await.unwrap().rows, 5);
    assert!(table_rows(&storage, "t").is_empty());
}

#[tokio::test]
async fn the_condition_never_sees_a_deleted_row() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..20_000)).await;
    storage.delete(keys(|key| key % 7 == 3)).await.unwrap();
    let receipt = storage
        .delete(keys(|key| {
            assert!(key % 7 != 3, "row {key} is deleted");
            key % 7 == 4
        }))
        .await
        .unwrap();
    assert_eq!(receipt.rows, 2857);
    let mut wanted = rows((0..20_000).filter(|key| key % 7 != 3 && key % 7 != 4));
    wanted.sort();
    assert_eq!(table_rows(&storage, "t"), wanted);
}

#[tokio::test]
async fn only_segments_that_pass_the_filter_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    for key in 0..10 {
        insert(&storage, "t", &rows([key])).await;
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let spec = keys(move |key| {
        count.fetch_add(1, Ordering::Relaxed);
        key == 4
    });
    let holds_four =
        |zone: &ZoneMap| zone.min.compare(&Value::Int(4)).is_le() && zone.max.compare(&Value::Int(4)).is_ge();
    let filter: SegmentFilter = Arc::new(move |segment| holds_four(&segment.zone_maps[0]));
    assert_eq!(storage.delete_in(spec, filter).await.unwrap().rows, 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(segment_count(&storage, "t"), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_of_one_segment_at_the_same_time_all_count() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..100)).await;
    let deletes = (0..8).map(|share| {
        let storage = Arc::clone(&storage);
        tokio::spawn(async move { storage.delete(keys(move |key| key % 10 == share)).await.unwrap().rows })
    });
    let deleted: u64 = futures::future::join_all(deletes).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(deleted, 80);
    let mut wanted = rows((0..100).filter(|key| key % 10 >= 8));
    wanted.sort();
    assert_eq!(table_rows(&storage, "t"), wanted);
    // All vectors but the last are garbage, those that lost a race included: none is left without a name.
    storage.collect_garbage().unwrap();
    assert_eq!(garbage(&storage), 0);
    assert_eq!(storage.sweep_orphans().unwrap(), 0);
    assert_eq!(table_rows(&storage, "t"), wanted);
}

#[tokio::test]
async fn a_segment_that_is_rewritten_meanwhile_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 2, 1);
    insert(&storage, "t", &rows(0..20)).await;
    // The first look finds the table emptied under it: one partition truncated, one dropped.
    let (meanwhile, looks) = (Arc::clone(&storage), AtomicUsize::new(0));
    let spec = keys(move |_| {
        if looks.fetch_add(1, Ordering::Relaxed) == 0 {
            meanwhile.truncate("d", "t", Some(&["p0".to_owned()])).unwrap();
            let table = meanwhile.table_snapshot("d", "t").unwrap().table().id;
            let partition = meanwhile.catalog().read(|read| read.partition(table, "p1")).unwrap();
            meanwhile.catalog().write(|write| write.drop_partition(partition.id, true)).unwrap();
        }
        true
    });
    assert_eq!(storage.delete(spec).await.unwrap().rows, 0);
    assert!(staged(&storage).is_empty());
    let table = storage.table_snapshot("d", "t").unwrap().table().id;
    let dropped = storage.catalog().read(|read| read.dropped_partition(table, "p1")).unwrap().unwrap();
    storage.catalog().write(|write| write.recover_partition(&dropped)).unwrap();
    assert_eq!(table_rows(&storage, "t"), rows(10..20), "what was dropped in time comes back whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_while_it_looks_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 2, 1);
    insert(&storage, "t", &rows([1, 2])).await;
    // Each of the first looks finds that more has come, into the same partition, into another, and after a turn alone has
    // been asked for: then the load is let in before it or waits, and in the end the answer is the same.
    let (meanwhile, looks) = (Arc::clone(&storage), AtomicUsize::new(0));
    let runtime = tokio::runtime::Handle::current();
    let (begun, late) = (Arc::new(tokio::sync::Notify::new()), Arc::clone(&storage));
    let waits = Arc::clone(&begun);
    let loader = tokio::spawn(async move {
        waits.notified().await;
        insert(&late, "t", &rows([7, 17])).await;
    });
    let spec = keys(move |key| {
        match looks.fetch_add(1, Ordering::Relaxed) {
            0 => drop(runtime.block_on(insert(&meanwhile, "t", &rows([3, 5, 15])))),
            2 => begun.notify_one(),
            _ => {}
        }
        key % 2 == 1
    });
    let deleted = storage.delete(spec).await.unwrap().rows;
    loader.await.unwrap();
    let left = table_rows(&storage, "t");
    // The last load was before the DELETE or after it, with all its rows.
    let late_ones = left.iter().filter(|(key, _)| matches!(key, Some(7 | 17))).count();
    assert_eq!((late_ones as u64 + deleted, late_ones % 2), (4 + 2, 0), "{left:?}");
    assert!(left.iter().all(|(key, _)| matches!(key, Some(2 | 7 | 17))), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_without_end_do_not_keep_a_delete_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..10)).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let loaders: Vec<_> = (1..4)
        .map(|loader| {
            let (storage, done) = (Arc::clone(&storage), Arc::clone(&done));
            tokio::spawn(async move {
                let mut next = loader * 1_000;
                while !done.load(Ordering::Relaxed) {
                    insert(&storage, "t", &rows([next])).await;
                    next += 1;
                }
            })
        })
        .collect();
    for key in 0..10 {
        assert_eq!(storage.delete(keys(move |other| other == key)).await.unwrap().rows, 1);
    }
    done.store(true, Ordering::Relaxed);
    for loader in loaders {
        loader.await.unwrap();
    }
    assert!(table_rows(&storage, "t").iter().all(|(key, _)| key.is_some_and(|key| key >= 1_000)));
}
