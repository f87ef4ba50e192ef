//! Compaction changes nothing but the number of files, whatever else happens meanwhile.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::catalog::{DeleteVectorMeta, FileKind};
use crate::roots::{StagedFile, create_file, sync_file};
use crate::segment::DeleteVector;
use crate::storage::StorageConfig;
use crate::testing::{Row, config, create_table, insert, open, rows, rows_of, segment_count, staged, table_rows};

/// Files of some KiB are large here.
fn small_config(dir: &std::path::Path) -> StorageConfig {
    let mut config = config(dir);
    config.segment_bytes_target = 16 << 10;
    config.compaction_fan_in = 4;
    config
}

fn tablets(storage: &Storage, table: &str) -> Vec<TabletState> {
    let snapshot = storage.table_snapshot("d", table).unwrap();
    snapshot.state().partitions.iter().flat_map(|partition| partition.tablets.clone()).collect()
}

/// Deletes the rows that `is_deleted` picks by segment and position, as a DELETE would.
fn delete(storage: &Storage, table: &str, is_deleted: impl Fn(usize, u64) -> bool) {
    let mut number = 0;
    for tablet in tablets(storage, table) {
        for rowset in &tablet.rowsets {
            for segment in &rowset.segments {
                let before = storage.files().delete_vector(&tablet, segment).unwrap();
                let mut positions: RoaringBitmap = before.map(|before| before.as_ref().clone()).unwrap_or_default();
                positions.extend((0..segment.rows).filter(|row| is_deleted(number, *row)).map(|row| row as u32));
                number += 1;
                if positions.is_empty() {
                    continue;
                }
                let (bytes, digest) = DeleteVector::encode(&positions);
                let after = DeleteVectorMeta { digest, bytes: bytes.len() as u64, rows: positions.len() };
                let _gate = storage.pins().install_guard();
                for replica in &tablet.replicas {
                    let path = storage.roots().create_staging(replica.root_id, "delete").unwrap().join("vector");
                    let mut file = create_file(&path).unwrap();
                    std::io::Write::write_all(&mut file, &bytes).unwrap();
                    sync_file(&file, &path).unwrap();
                    let staged = StagedFile { path, digest, kind: FileKind::DeleteVector };
                    storage.roots().install(replica.root_id, tablet.tablet.id, &[staged]).unwrap();
                }
                let (id, rowset) = (tablet.tablet.id, rowset.id);
                let replaced = storage
                    .catalog()
                    .write(|write| write.replace_deletes(id, rowset, &segment.digest, segment.deletes.as_ref(), &after))
                    .unwrap();
                assert!(replaced);
            }
        }
    }
    storage.roots().remove_staging("delete").unwrap();
}

async fn compact_all(storage: &Arc<Storage>) -> Vec<CompactionReport> {
    let mut reports = Vec::new();
    while let Some(report) = storage.compact_once().await.unwrap() {
        reports.push(report);
    }
    reports
}

#[tokio::test]
async fn a_thousand_loads_of_one_row_leave_few_segments() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(config(dir.path()));
    create_table(&storage, "t", 1);
    let (mut most, mut rewritten) = (0, 0);
    for key in 0..1000 {
        insert(&storage, "t", &rows([999 - key])).await;
        if let Some(report) = storage.compact_once().await.unwrap() {
            rewritten += report.output_bytes;
        }
        most = most.max(segment_count(&storage, "t"));
    }
    assert_eq!(table_rows(&storage, "t"), rows(0..1000));
    println!("at most {most} segments, {} KiB rewritten", rewritten >> 10);
    assert!(most <= 8, "{most} segments");
    storage.collect_garbage().unwrap();
    let on_disk: usize = tablets(&storage, "t")
        .iter()
        .map(|tablet| {
            let root = storage.roots().configured()[0];
            storage.roots().files_on_disk(root, tablet.tablet.id).unwrap().len()
        })
        .sum();
    assert_eq!(on_disk, segment_count(&storage, "t"));
}

#[tokio::test]
async fn the_background_compacts_what_was_loaded_before_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(small_config(dir.path()));
    create_table(&storage, "t", 2);
    for part in 0..12 {
        insert(&storage, "t", &rows(part * 10..part * 10 + 10)).await;
    }
    assert_eq!(segment_count(&storage, "t"), 24);
    storage.start_background();
    for _ in 0..1000 {
        if segment_count(&storage, "t") <= 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    storage.shutdown().await;
    assert!(segment_count(&storage, "t") <= 6);
    assert_eq!(table_rows(&storage, "t"), rows(0..120));
    insert(&storage, "t", &rows(120..140)).await;
    insert(&storage, "t", &rows(140..160)).await;
    let stopped = storage.compact_table("d", "t").await.unwrap_err();
    assert!(matches!(stopped, Error::Cancelled), "{stopped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_readers_compaction_and_collector_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = small_config(dir.path());
    config.garbage_interval = Duration::from_millis(5);
    let storage = open(config);
    create_table(&storage, "t", 2);
    storage.start_background();
    let mut loaders = tokio::task::JoinSet::new();
    for loader in 0..4 {
        let storage = Arc::clone(&storage);
        loaders.spawn(async move {
            for part in 0..20 {
                let first = (loader * 20 + part) * 10;
                insert(&storage, "t", &rows(first..first + 10)).await;
            }
        });
    }
    let reader = {
        let storage = Arc::clone(&storage);
        tokio::task::spawn_blocking(move || {
            let mut seen = 0;
            while seen < 800 {
                // Every load is seen whole, none is lost again, and every file of the snapshot is there.
                let now = table_rows(&storage, "t").len();
                assert!(now >= seen && now.is_multiple_of(10), "{now} rows after {seen}");
                seen = now;
            }
        })
    };
    while let Some(loaded) = loaders.join_next().await {
        loaded.unwrap();
    }
    reader.await.unwrap();
    for _ in 0..1000 {
        if segment_count(&storage, "t") <= 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    storage.shutdown().await;
    assert_eq!(table_rows(&storage, "t"), rows(0..800));
    assert!(segment_count(&storage, "t") <= 6);
    assert_eq!(storage.collect_garbage().unwrap().left_files, 0);
    assert_eq!(storage.sweep_orphans().unwrap(), 0);
}

#[tokio::test]
async fn a_request_merges_all_but_final_segments() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(small_config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..20_000)).await;
    let large: Vec<_> = tablets(&storage, "t")[0].segments().map(|segment| segment.digest).collect();
    for part in 0..3 {
        insert(&storage, "t", &rows(20_000 + part..20_001 + part)).await;
    }
    let before = tablets(&storage, "t").remove(0);
    let policy = CompactionPolicy::new(storage.config());
    let is_final = |digest| before.segments().any(|segment| segment.digest == digest && policy.is_final(segment));
    let kept: Vec<_> = large.iter().copied().filter(|digest| is_final(*digest)).collect();
    assert!(!kept.is_empty());

    storage.compact_table("d", "t").await.unwrap();
    let after: Vec<_> = tablets(&storage, "t")[0].segments().map(|segment| segment.digest).collect();
    assert_eq!(after.len(), kept.len() + 1);
    assert!(kept.iter().all(|digest| after.contains(digest)), "final segments stay as they are");
    assert_eq!(table_rows(&storage, "t"), rows(0..20_003));
    let version = tablets(&storage, "t")[0].rowsets.iter().map(|rowset| rowset.version).max();
    assert_eq!(version, before.rowsets.iter().map(|rowset| rowset.version).max());
    storage.compact_table("d", "t").await.unwrap();
    assert_eq!(tablets(&storage, "t")[0].segments().count(), after.len());
    assert!(storage.compact_table("d", "x").await.is_err());
}

#[tokio::test]
async fn deleted_rows_go_when_they_are_many() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(small_config(dir.path()));
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..100)).await;
    insert(&storage, "t", &rows(100..200)).await;
    insert(&storage, "t", &rows(200..300)).await;
    delete(&storage, "t", |segment, row| match segment {
        0 => true,
        1 => row < 30,
        _ => row < 31,
    });
    let wanted: Vec<Row> = rows(130..200).into_iter().chain(rows(231..300)).collect();
    let mut wanted = wanted;
    wanted.sort();
    let reader = storage.table_snapshot("d", "t").unwrap();
    let reports = compact_all(&storage).await;
    let seen: Vec<_> = reports.iter().map(|report| (report.reason, report.input_segments, report.rows)).collect();
    assert_eq!(seen, [(CompactionReason::Emptied, 1, 0), (CompactionReason::Deleted, 1, 69)]);
    assert_eq!(table_rows(&storage, "t"), wanted);

    storage.collect_garbage().unwrap();
    assert_eq!(rows_of(&reader), wanted, "who began to read before reads on");
    drop(reader);
    assert_eq!(storage.collect_garbage().unwrap().left_files, 0);
    assert_eq!(table_rows(&storage, "t"), wanted);
}

#[tokio::test]
async fn a_compaction_that_is_overtaken_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(small_config(dir.path()));
    create_table(&storage, "t", 1);
    for part in 0..4 {
        insert(&storage, "t", &rows(part * 10..part * 10 + 10)).await;
    }
    let tablet = tablets(&storage, "t")[0].tablet.id;
    let decide = || {
        let snapshot = storage.tablet_snapshot(tablet).unwrap().unwrap();
        let policy = CompactionPolicy::new(storage.config());
        let plan = policy.next_requested(&only_tablet(&snapshot).unwrap().rowsets).unwrap();
        (snapshot, plan)
    };

    let (snapshot, plan) = decide();
    delete(&storage, "t", |segment, row| segment == 2 && row == 0);
    assert!(matches!(merge::run(&storage, &snapshot, &plan).unwrap(), Outcome::Overtaken));
    assert_eq!(table_rows(&storage, "t").len(), 39);

    drop(snapshot);

    // A load that comes meanwhile is no matter.
    let (snapshot, plan) = decide();
    insert(&storage, "t", &rows(40..50)).await;
    assert!(matches!(merge::run(&storage, &snapshot, &plan).unwrap(), Outcome::Done(_)));
    assert_eq!((table_rows(&storage, "t").len(), segment_count(&storage, "t")), (49, 2));
    drop(snapshot);

    let (snapshot, plan) = decide();
    storage.truncate("d", "t", None).unwrap();
    assert!(matches!(merge::run(&storage, &snapshot, &plan).unwrap(), Outcome::Overtaken));
    assert_eq!(table_rows(&storage, "t"), []);
    drop(snapshot);
    assert_eq!(staged(&storage), Vec::<String>::new());
    assert_eq!(storage.collect_garbage().unwrap().left_files, 0);
    assert_eq!(storage.sweep_orphans().unwrap(), 0);
}

#[tokio::test]
async fn damaged_bytes_get_no_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = small_config(dir.path());
    config.roots = vec![dir.path().join("a"), dir.path().join("b")];
    let storage = open(config);
    create_table(&storage, "t", 1);
    for part in 0..4 {
        insert(&storage, "t", &rows(part * 10..part * 10 + 10)).await;
    }
    let tablet = tablets(&storage, "t").remove(0);
    let path = storage.files().segment_path(&tablet, &tablet.rowsets[0].segments[0]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[6] ^= 1;
    fs::write(&path, bytes).unwrap();
    // The other replica is read in the middle of the merge.
    storage.compact_table("d", "t").await.unwrap();
    assert!(!storage.catalog().read(|read| read.tablets_with_bad_replica()).unwrap().is_empty());
    assert_eq!(segment_count(&storage, "t"), 1);
    assert_eq!(table_rows(&storage, "t"), rows(0..40));
    storage.repair_replicas().unwrap();
    for root in storage.roots().configured() {
        storage.collect_garbage().unwrap();
        assert_eq!(storage.roots().files_on_disk(*root, tablet.tablet.id).unwrap().len(), 1);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Load(Vec<Option<i32>>),
    Delete(u8),
    Compact,
    Request,
    Collect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = prop::collection::vec(prop::option::of(0..50), 1..200);
    let step = prop_oneof![
        6 => keys.prop_map(Step::Load),
        2 => (1..6_u8).prop_map(Step::Delete),
        4 => Just(Step::Compact),
        1 => Just(Step::Request),
        1 => Just(Step::Collect),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_rows_stay_the_rows(steps in steps()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut config = small_config(dir.path());
            config.segment_bytes_target = 4 << 10;
            let storage = open(config);
            create_table(&storage, "t", 2);
            for (number, step) in steps.into_iter().enumerate() {
                let before = table_rows(&storage, "t");
                match step {
                    Step::Load(keys) => {
                        let loaded: Vec<Row> = keys.iter().map(|key| (*key, Some(format!("{number}")))).collect();
                        insert(&storage, "t", &loaded).await;
                        let mut wanted = before;
                        wanted.extend(loaded);
                        wanted.sort();
                        assert_eq!(table_rows(&storage, "t"), wanted);
                    }
                    Step::Delete(every) => {
                        delete(&storage, "t", |segment, row| (segment as u64 + row).is_multiple_of(every.into()));
                    }
                    Step::Compact => {
                        storage.compact_once().await.unwrap();
                        assert_eq!(table_rows(&storage, "t"), before);
                    }
                    Step::Request => {
                        storage.compact_table("d", "t").await.unwrap();
                        assert_eq!(table_rows(&storage, "t"), before);
                    }
                    Step::Collect => {
                        storage.collect_garbage().unwrap();
                        assert_eq!(table_rows(&storage, "t"), before);
                    }
                }
            }
            compact_all(&storage).await;
            storage.collect_garbage().unwrap();
            assert_eq!(storage.sweep_orphans().unwrap(), 0);
        });
    }
}
