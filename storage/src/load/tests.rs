//! Loads: what becomes visible, what is refused, what is left behind, and who waits for memory.

mod crash;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray};

use super::*;
use crate::catalog::{LoadRow, LoadState as CatalogState, SegmentMeta};
use crate::schema::{ColumnId, DataType, Distribution, Partitioning};
use crate::testing::*;

fn labelled(label: &str) -> LoadSpec {
    LoadSpec { label: Some(label.to_owned()), ..spec("t", LoadKind::StreamLoad) }
}

fn states(storage: &Storage) -> Vec<(String, CatalogState)> {
    let loads = storage.catalog().read(|read| {
        let database = read.database("d")?.id;
        read.loads(database)
    });
    loads.unwrap().into_iter().map(|load| (load.label, load.state)).collect()
}

fn latest_load(storage: &Storage) -> LoadRow {
    let loads = storage.catalog().read(|read| read.loads(read.database("d")?.id));
    loads.unwrap().remove(0)
}

#[tokio::test]
async fn rows_become_visible_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 3, 2);
    let before = storage.table_snapshot("d", "t").unwrap();
    let mut load = storage.begin_load(labelled("first")).await.unwrap();
    let mut wanted = rows(0..30);
    wanted.push((Some(5), None));
    wanted.push((None, Some("null goes to the lowest partition".chars().take(20).collect())));
    for part in wanted.chunks(7) {
        assert_eq!(load.write(batch(part)).await.unwrap(), RefusedRows::default());
    }
    assert!(table_rows(&storage, "t").is_empty());
    let receipt = load.commit().await.unwrap();
    assert_eq!((receipt.rows, receipt.filtered_rows, receipt.label.as_str()), (32, 0, "first"));

    wanted.sort();
    assert_eq!(table_rows(&storage, "t"), wanted);
    assert!(rows_of(&before).is_empty());
    let snapshot = storage.table_snapshot("d", "t").unwrap();
    for partition in &snapshot.state().partitions {
        assert_eq!(partition.partition.visible_version, 2);
        assert!(partition.tablets.iter().all(|tablet| tablet.segments().count() <= 1));
    }
    assert!(staged(&storage).is_empty());
    assert_eq!(states(&storage), [("first".to_owned(), CatalogState::Visible)]);
}

#[tokio::test]
async fn a_label_loads_once_and_is_free_again_after_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    let running = storage.begin_load(labelled("a")).await.unwrap();
    let error = storage.begin_load(labelled("a")).await.unwrap_err();
    assert!(matches!(error, Error::LabelTaken { running: true, .. }), "{error}");
    running.abort("test").await;
    load(&storage, labelled("a"), &rows(0..3)).await.unwrap();
    let error = storage.begin_load(labelled("a")).await.unwrap_err();
    assert!(matches!(error, Error::LabelTaken { running: false, .. }), "{error}");
    assert_eq!(table_rows(&storage, "t"), rows(0..3));
}

#[tokio::test]
async fn a_dropped_load_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.memtable_bytes_max = 1;
    let storage = open(config);
    create_table(&storage, "t", 1);
    let mut load = storage.begin_load(labelled("a")).await.unwrap();
    load.write(batch(&rows(0..100))).await.unwrap();
    assert!(!staged(&storage).is_empty(), "with no memory to speak of, rows are spilled at once");
    drop(load);
    for _ in 0..500 {
        if staged(&storage).is_empty() && storage.begin_load(labelled("a")).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the load is still there: {:?}, {:?}", staged(&storage), states(&storage));
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    let mut definition = definition(Partitioning::Range { columns: vec![ColumnId(1)] }, 1);
    definition.columns[0].nullable = false;
    definition.columns[1].data_type = DataType::Varchar { length: 3 };
    definition.columns.push(column(3, "m", DataType::Decimal { precision: 4, scale: 2 }));
    create_partitioned_table(&storage, "other", 1, 1);
    let partitions = [partition_of_ten(&storage, 0, 1), partition_of_ten(&storage, 1, 1)];
    storage.create_table("d", "t", &definition, &partitions).unwrap();

    let keys: ArrayRef =
        Arc::new(Int64Array::from(vec![Some(1), None, Some(20), Some(3), Some(4), Some(1 << 40), Some(6)]));
    let texts: ArrayRef = Arc::new(LargeStringArray::from(vec!["abc", "a", "a", "äö", "a", "a", ""]));
    let numbers = Decimal128Array::from(vec![Some(1), Some(1), Some(1), Some(1), Some(10_000), Some(1), None]);
    let numbers: ArrayRef = Arc::new(numbers.with_precision_and_scale(38, 2).unwrap());
    let rows = RecordBatch::try_from_iter([("M", numbers), ("v", texts), ("K", keys)]).unwrap();

    let mut load =
        storage.begin_load(LoadSpec { max_filter_ratio: 0.72, ..spec("t", LoadKind::Insert) }).await.unwrap();
    let mut refused = load.write(rows.clone()).await.unwrap();
    refused.rows.sort_by_key(|row| row.index);
    let reasons: Vec<(usize, &str)> = refused.rows.iter().map(|row| (row.index, row.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (1, "NULL value in non-nullable column 'k'"),
            (2, "no partition of table 't' that is being loaded holds the row with k = 20"),
            (3, "value of column 'v' is too long: 4 bytes do not fit into varchar(3)"),
            (4, "value of column 'm' is out of the range of type decimal(4, 2)"),
            (5, "value of column 'k' is out of the range of type int(11)"),
        ]
    );
    assert_eq!((refused.count, load.rows(), load.filtered_rows()), (5, 2, 5));
    let receipt = load.commit().await.unwrap();
    assert_eq!((receipt.rows, receipt.filtered_rows), (2, 5));
    assert_eq!(table_rows(&storage, "t"), [(Some(1), Some("abc".to_owned())), (Some(6), Some(String::new()))]);

    let mut load =
        storage.begin_load(LoadSpec { max_filter_ratio: 0.72, ..spec("t", LoadKind::Insert) }).await.unwrap();
    load.write(rows.clone()).await.unwrap();
    load.add_filtered(1);
    let error = load.commit().await.unwrap_err().to_string();
    assert!(error.starts_with("too many filtered rows: 6 of 8 rows"), "{error}");
    let aborted = latest_load(&storage);
    assert_eq!((aborted.rows, aborted.filtered_rows, aborted.visible_rows()), (2, 6, 0));

    let mut load = storage.begin_load(spec("t", LoadKind::StreamLoad)).await.unwrap();
    load.write(rows.slice(0, 1)).await.unwrap();
    load.refuse(&rows).unwrap();
    load.add_filtered(1);
    load.abort("a bad row").await;
    let aborted = latest_load(&storage);
    assert_eq!((aborted.state, aborted.rows, aborted.filtered_rows), (CatalogState::Aborted, 3, 6));
    assert_eq!(table_rows(&storage, "t").len(), 2);

    let only = LoadSpec { partitions: Some(vec!["P1".to_owned()]), ..spec("t", LoadKind::Insert) };
    let mut load = storage.begin_load(only).await.unwrap();
    assert_eq!(load.write(rows.slice(0, 1)).await.unwrap().count, 1);
    drop(load);
    let unknown = LoadSpec { partitions: Some(vec!["p7".to_owned()]), ..spec("t", LoadKind::Insert) };
    let error = storage.begin_load(unknown).await.unwrap_err().to_string();
    assert_eq!(error, "partition 'p7' does not exist");
    let mut load = storage.begin_load(spec("t", LoadKind::Insert)).await.unwrap();
    let error = load.write(batch(&[])).await.unwrap_err().to_string();
    assert_eq!(error, "column 'm' is missing from the rows to load");
    let strange = RecordBatch::try_from_iter([("x", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
    let error = load.write(strange).await.unwrap_err().to_string();
    assert_eq!(error, "Unknown column 'x' in the rows to load");
}

#[tokio::test]
async fn overwrite_replaces_what_its_partitions_hold() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 3, 2);
    insert(&storage, "t", &rows(0..30)).await;
    let old = storage.table_snapshot("d", "t").unwrap();

    let some = LoadSpec { partitions: Some(vec!["p1".to_owned()]), ..spec("t", LoadKind::Overwrite) };
    load(&storage, some, &rows([11])).await.unwrap();
    assert_eq!(table_rows(&storage, "t"), rows((0..10).chain([11]).chain(20..30)));
    assert_eq!(rows_of(&old), rows(0..30));
    assert!(storage.catalog().read(|read| read.garbage_count()).unwrap() > 0);

    let receipt = load(&storage, spec("t", LoadKind::Overwrite), &[]).await.unwrap();
    assert_eq!((receipt.rows, receipt.bytes), (0, 0));
    assert!(table_rows(&storage, "t").is_empty());
    // The same rows give the same files, which are garbage by now: they must be taken off that list.
    insert(&storage, "t", &rows(0..30)).await;
    assert_eq!(table_rows(&storage, "t"), rows(0..30));
    let snapshot = storage.table_snapshot("d", "t").unwrap();
    let garbage = storage.catalog().read(|read| read.unpinned_garbage(0, 1000)).unwrap();
    let live: Vec<_> = files(&snapshot);
    assert!(garbage.iter().all(|row| !live.contains(&(row.tablet_id, row.digest))));
}

fn files(snapshot: &crate::TableSnapshot) -> Vec<(crate::ids::TabletId, crate::digest::Digest)> {
    let tablets = snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets);
    tablets.flat_map(|tablet| tablet.segments().map(|segment| (tablet.tablet.id, segment.digest))).collect()
}

#[tokio::test]
async fn a_table_that_changed_meanwhile_refuses_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_partitioned_table(&storage, "t", 3, 1);
    let catalog = storage.catalog();
    let table = storage.table_snapshot("d", "t").unwrap().table().clone();
    let begin = async |kind: LoadKind, keys: &[i32]| {
        let mut load = storage.begin_load(spec("t", kind)).await.unwrap();
        load.write(batch(&rows(keys.iter().copied()))).await.unwrap();
        load
    };

    let (touches, passes_by, overwrites) = (
        begin(LoadKind::Insert, &[5]).await,
        begin(LoadKind::Insert, &[15]).await,
        begin(LoadKind::Overwrite, &[15]).await,
    );
    let partition = catalog.read(|read| read.partition(table.id, "p0")).unwrap();
    catalog.write(|write| write.drop_partition(partition.id, true)).unwrap();
    for load in [touches, overwrites] {
        let error = load.commit().await.unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error}");
        assert!(error.to_string().contains("partition 'p0' of table 't' was dropped or replaced"), "{error}");
    }
    passes_by.commit().await.unwrap();
    assert_eq!(table_rows(&storage, "t"), rows([15]));
    // Of the two files that were installed in vain, one has the very bytes of the load that went through.
    assert_eq!(catalog.read(|read| read.garbage_count()).unwrap(), 1);

    let load = begin(LoadKind::Insert, &[16]).await;
    let mut wider = (*table.definition).clone();
    wider.columns.push(column(3, "new", DataType::Int));
    catalog.write(|write| write.set_table_definition(table.id, &wider)).unwrap();
    assert!(load.commit().await.unwrap_err().to_string().contains("columns of table 't' changed"));
    catalog.write(|write| write.set_table_definition(table.id, &table.definition)).unwrap();

    let (renamed, dropped) = (begin(LoadKind::Insert, &[17]).await, begin(LoadKind::Insert, &[18]).await);
    catalog.write(|write| write.rename_table(&table, "u")).unwrap();
    renamed.commit().await.unwrap();
    assert_eq!(table_rows(&storage, "u"), rows([15, 17]));
    catalog.write(|write| write.drop_table(table.id)).unwrap();
    assert!(matches!(dropped.commit().await.unwrap_err(), Error::NotFound { .. }));
    assert!(staged(&storage).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_larger_than_memory_spill_and_still_make_few_sorted_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.memtable_bytes_max = 64 << 10;
    let storage = open(config);
    create_table(&storage, "t", 2);
    create_table(&storage, "asleep", 1);
    // A load whose client has gone quiet holds memory that others need.
    let mut asleep = storage.begin_load(spec("asleep", LoadKind::Insert)).await.unwrap();
    asleep.write(batch(&rows(0..1000))).await.unwrap();

    let keys: Vec<i32> = (0..30_000).map(|key| (key * 7919) % 30_011).collect();
    let shares = keys.chunks(10_000).map(|keys| {
        let (storage, rows) = (Arc::clone(&storage), rows(keys.iter().copied()));
        async move { load(&storage, spec("t", LoadKind::Insert), &rows).await.unwrap() }
    });
    let receipts = futures::future::join_all(shares).await;
    assert_eq!(receipts.iter().map(|receipt| receipt.rows).sum::<u64>(), 30_000);
    assert_eq!(segment_count(&storage, "t"), 6, "one for each load and bucket, however many runs there were");
    let mut wanted = rows(keys);
    wanted.sort();
    assert_eq!(table_rows(&storage, "t"), wanted);
    asleep.commit().await.unwrap();
    let mut wanted = rows(0..1000);
    wanted.sort();
    assert_eq!(table_rows(&storage, "asleep"), wanted);
    assert!(staged(&storage).is_empty());
    assert_eq!(storage.memtables().used_bytes(), 0);
}

/// Goal: a byte of a run that changes on the disk becomes nobody's row. Method: one byte after the other, over the whole file.
#[tokio::test]
async fn a_run_that_changes_on_the_disk_ends_the_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.memtable_bytes_max = 1;
    let storage = open(config);
    create_table(&storage, "t", 1);
    for place in 0..20 {
        let mut load = storage.begin_load(labelled("a")).await.unwrap();
        load.write(batch(&rows(0..100))).await.unwrap();
        let [staging] = &staged(&storage)[..] else { panic!("one load has one staging") };
        let directory = storage.roots().all()[0].path.join("staging").join(staging);
        let run = std::fs::read_dir(directory).unwrap().next().expect("rows are spilled at once").unwrap().path();
        let mut bytes = std::fs::read(&run).unwrap();
        let position = place * (bytes.len() - 1) / 19;
        bytes[position] ^= 1;
        std::fs::write(&run, bytes).unwrap();
        let error = load.commit().await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path, .. } if *path == run), "byte {position}: {error}");
        assert_eq!(table_rows(&storage, "t"), []);
        assert!(staged(&storage).is_empty());
    }
    load(&storage, labelled("a"), &rows(0..100)).await.unwrap();
    assert_eq!(table_rows(&storage, "t").len(), 100);
}

#[tokio::test]
async fn replicas_get_the_same_files_and_a_broken_one_does_not_stop_a_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.roots = ["a", "b", "c"].map(|name| dir.path().join(name)).to_vec();
    let storage = open(config);
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..10)).await;
    let snapshot = storage.table_snapshot("d", "t").unwrap();
    let tablet = &snapshot.state().partitions[0].tablets[0];
    let segment: &SegmentMeta = tablet.segments().next().unwrap();
    assert_eq!(tablet.replicas.len(), 3);
    let paths: Vec<_> = tablet
        .replicas
        .iter()
        .map(|replica| {
            let kind = crate::catalog::FileKind::Segment;
            storage.roots().file_path(replica.root_id, tablet.tablet.id, &segment.digest, kind).unwrap()
        })
        .collect();
    for path in &paths {
        assert_eq!(crate::digest::Digest::of_file(path).unwrap(), (segment.digest, segment.bytes));
    }
    // The first is lost, the second cut short: the third answers, and the catalog knows.
    std::fs::remove_file(&paths[0]).unwrap();
    std::fs::write(&paths[1], b"short").unwrap();
    assert_eq!(snapshot.segment_path(tablet, segment).unwrap(), paths[2]);
    assert_eq!(table_rows(&storage, "t"), rows(0..10));
    let health = |storage: &Storage| -> Vec<bool> {
        let replicas = storage.catalog().read(|read| read.replicas(tablet.tablet.id)).unwrap();
        replicas.into_iter().map(|replica| replica.healthy).collect()
    };
    assert_eq!(health(&storage), [false, false, true]);

    // A root that cannot be written: a file stands where the tablet's directory was.
    let blocked = storage.roots().tablet_dir(tablet.replicas[2].root_id, tablet.tablet.id).unwrap();
    std::fs::rename(&blocked, dir.path().join("moved")).unwrap();
    std::fs::write(&blocked, b"").unwrap();
    load(&storage, spec("t", LoadKind::Overwrite), &rows(5..9)).await.unwrap();
    assert_eq!(health(&storage), [false, false, false]);
    assert_eq!(table_rows(&storage, "t"), rows(5..9), "bad replicas still answer for what they have");
}

#[tokio::test]
async fn random_distribution_takes_turns() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    let mut definition = definition(Partitioning::Unpartitioned, 3);
    definition.distribution = Distribution::Random;
    create_table_as(&storage, "t", &definition);
    for key in 0..6 {
        insert(&storage, "t", &rows([key])).await;
    }
    let mut load = storage.begin_load(spec("t", LoadKind::Insert)).await.unwrap();
    for key in 6..12 {
        load.write(batch(&rows([key]))).await.unwrap();
    }
    load.commit().await.unwrap();
    let snapshot = storage.table_snapshot("d", "t").unwrap();
    let counts: Vec<u64> = snapshot.state().partitions[0]
        .tablets
        .iter()
        .map(|tablet| tablet.segments().map(SegmentMeta::live_rows).sum())
        .collect();
    assert!(counts.iter().all(|count| *count >= 2), "{counts:?}");
    assert_eq!(table_rows(&storage, "t").len(), 12);
}

#[tokio::test]
async fn auto_increment_values_are_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    let table = storage.table_snapshot("d", "t").unwrap().table().id;
    assert_eq!(storage.take_auto_increment(table, 1).unwrap(), 1);
    assert_eq!(storage.take_auto_increment(table, 10).unwrap(), 2);
    assert_eq!(storage.take_auto_increment(table, 0).unwrap(), 12);
    let large = storage.take_auto_increment(table, 5000).unwrap();
    assert!(large >= 12);
    assert!(storage.take_auto_increment(table, 1).unwrap() >= large + 5000);
    storage.catalog().write(|write| write.raise_auto_increment(table, 1_000_000)).unwrap();
    assert_eq!(storage.take_auto_increment(table, 1).unwrap(), 1_000_000);
    drop(storage);
    let storage = open(config(dir.path()));
    assert!(storage.take_auto_increment(table, 1).unwrap() > 1_000_000);
    assert!(storage.take_auto_increment(TableId(1), 1).is_err());

    // A restore brings rows with values that were taken before and not yet handed out, whatever counter it brings.
    let counter = |storage: &Storage| {
        storage.catalog().read(|read| Ok(read.table_by_id(table)?.map(|row| row.auto_increment_next))).unwrap().unwrap()
    };
    for next in [1, counter(&storage)] {
        let end = counter(&storage);
        storage.catalog().write(|write| write.pass_auto_increment(table, next)).unwrap();
        assert!(storage.take_auto_increment(table, 1).unwrap() > end);
    }
}

#[tokio::test]
async fn a_restart_aborts_what_was_running() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..3)).await;
    let database = storage.catalog().read(|read| read.database("d")).unwrap().id;
    storage.catalog().write(|write| write.begin_load(database, "t", Some("cut off"), LoadKind::StreamLoad)).unwrap();
    storage.roots().create_staging(storage.roots().configured()[0], "77").unwrap();
    drop(storage);
    let storage = open(config(dir.path()));
    assert!(staged(&storage).is_empty());
    assert!(states(&storage).contains(&("cut off".to_owned(), CatalogState::Aborted)));
    assert_eq!(table_rows(&storage, "t"), rows(0..3));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["9"]));
    let mut load = storage.begin_load(labelled("cut off")).await.unwrap();
    load.write(RecordBatch::try_from_iter([("k", keys), ("v", texts)]).unwrap()).await.unwrap();
    load.commit().await.unwrap();
    assert_eq!(table_rows(&storage, "t").len(), 4);
}
