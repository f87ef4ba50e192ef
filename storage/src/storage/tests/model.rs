//! Random loads, overwrites, deletes, truncations, compactions, passes of the collector and restarts, against a list of
//! rows: the table always reads as the list, a snapshot taken before reads as the list was then, and in the end the
//! disk holds what the catalog names and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use crate::catalog::{FileKind, LoadKind};
use crate::delete::DeleteSpec;
use crate::digest::Digest;
use crate::ids::{StorageRootId, TabletId};
use crate::load::LoadSpec;
use crate::storage::{Storage, StorageConfig};
use crate::table_snapshot::TableSnapshot;
use crate::testing::*;

const PARTITIONS: i32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<i32>),
    /// A load that is dropped before it commits.
    GiveUp(Vec<i32>),
    /// Replaces one partition, or all, with rows.
    Overwrite(Option<i32>, Vec<i32>),
    Delete {
        divisor: i32,
        remainder: i32,
    },
    Truncate(Option<i32>),
    Compact,
    CompactAll,
    Collect,
    Hold,
    Release,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || prop::collection::vec(0..PARTITIONS * 10, 0..60);
    let partition = || prop::option::of(0..PARTITIONS);
    let step = prop_oneof![
        8 => keys().prop_map(Step::Insert),
        1 => keys().prop_map(Step::GiveUp),
        1 => (partition(), keys()).prop_map(|(partition, keys)| Step::Overwrite(partition, keys)),
        4 => (1..7, 0..7).prop_map(|(divisor, remainder)| Step::Delete { divisor, remainder }),
        1 => partition().prop_map(Step::Truncate),
        4 => Just(Step::Compact),
        1 => Just(Step::CompactAll),
        3 => Just(Step::Collect),
        3 => Just(Step::Hold),
        1 => Just(Step::Release),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

fn settings(dir: &std::path::Path) -> StorageConfig {
    let mut config = config(dir);
    config.roots = vec![dir.join("a"), dir.join("b")];
    config.compaction_fan_in = 2;
    config.segment_bytes_target = 3 << 10;
    config.memtable_bytes_max = 4 << 10;
    config
}

struct World {
    dir: tempfile::TempDir,
    storage: Arc<Storage>,
    rows: Vec<Row>,
    held: Vec<(Arc<TableSnapshot>, Vec<Row>)>,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(settings(dir.path()));
        create_partitioned_table(&storage, "t", PARTITIONS, 2);
        World { dir, storage, rows: Vec::new(), held: Vec::new() }
    }

    async fn apply(&mut self, step: Step) {
        let storage = Arc::clone(&self.storage);
        match step {
            Step::Insert(keys) => {
                insert(&storage, "t", &rows(keys.iter().copied())).await;
                self.rows.extend(rows(keys));
            }
            Step::GiveUp(keys) => {
                let mut load = storage.begin_load(spec("t", LoadKind::Insert)).await.unwrap();
                load.write(batch(&rows(keys))).await.unwrap();
                load.abort("given up").await;
            }
            Step::Overwrite(partition, keys) => {
                let holds = |key: i32| partition.is_none_or(|partition| key / 10 == partition);
                let new = rows(keys.into_iter().filter(|key| holds(*key)));
                let partitions = partition.map(|partition| vec![format!("p{partition}")]);
                load(&storage, LoadSpec { partitions, ..spec("t", LoadKind::Overwrite) }, &new).await.unwrap();
                self.rows.retain(|(key, _)| !holds(key.unwrap()));
                self.rows.extend(new);
            }
            Step::Delete { divisor, remainder } => {
                let matches = move |key: i32| key % divisor == remainder;
                let deleted = storage.delete(delete(matches)).await.unwrap().rows;
                let before = self.rows.len();
                self.rows.retain(|(key, _)| !matches(key.unwrap()));
                assert_eq!(deleted, (before - self.rows.len()) as u64);
            }
            Step::Truncate(partition) => {
                let names = partition.map(|partition| vec![format!("p{partition}")]);
                storage.truncate("d", "t", names.as_deref()).unwrap();
                self.rows.retain(|(key, _)| partition.is_some_and(|partition| key.unwrap() / 10 != partition));
            }
            Step::Compact => drop(storage.compact_once().await.unwrap()),
            Step::CompactAll => storage.compact_table("d", "t").await.unwrap(),
            Step::Collect => drop(storage.collect_garbage().unwrap()),
            Step::Hold => self.held.push((storage.table_snapshot("d", "t").unwrap(), self.rows.clone())),
            Step::Release => self.held.clear(),
            Step::Reopen => {
                self.held.clear();
                drop(storage);
                self.storage.shutdown().await;
                // The lock goes with the storage, so the old one must be gone first.
                let elsewhere = tempfile::tempdir().unwrap();
                drop(std::mem::replace(&mut self.storage, open(config(elsewhere.path()))));
                self.storage = open(settings(self.dir.path()));
            }
        }
        self.rows.sort();
    }

    fn check(&self) {
        assert_eq!(table_rows(&self.storage, "t"), self.rows);
        for (snapshot, rows) in &self.held {
            assert_eq!(&rows_of(snapshot), rows);
        }
        assert!(staged(&self.storage).is_empty());
    }

    /// With no reader left, the disk holds what the catalog names, on every replica, and nothing else.
    fn check_disk(&mut self) {
        self.held.clear();
        let report = self.storage.collect_garbage().unwrap();
        assert_eq!((report.left_files, report.failure), (0, None));
        assert_eq!(self.storage.sweep_orphans().unwrap(), 0);
        let snapshot = self.storage.table_snapshot("d", "t").unwrap();
        let mut named = BTreeSet::new();
        for tablet in snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets) {
            for replica in &tablet.replicas {
                assert!(replica.healthy);
                for segment in tablet.segments() {
                    let deletes = segment.deletes.map(|deletes| (deletes.digest, FileKind::DeleteVector));
                    for (digest, kind) in deletes.into_iter().chain([(segment.digest, FileKind::Segment)]) {
                        named.insert((replica.root_id, tablet.tablet.id, digest, kind));
                    }
                }
            }
        }
        assert_eq!(on_disk(&self.storage), named);
    }
}

fn on_disk(storage: &Storage) -> BTreeSet<(StorageRootId, TabletId, Digest, FileKind)> {
    let mut files = BTreeSet::new();
    for root in storage.roots().all() {
        for tablet in storage.roots().tablets_on_disk(root.id).unwrap() {
            for (digest, kind) in storage.roots().files_on_disk(root.id, tablet).unwrap() {
                let path = storage.roots().file_path(root.id, tablet, &digest, kind).unwrap();
                assert_eq!(Digest::of_file(&path).unwrap().0, digest);
                files.insert((root.id, tablet, digest, kind));
            }
        }
    }
    files
}

fn delete(matches: impl Fn(i32) -> bool + Send + Sync + 'static) -> DeleteSpec {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    DeleteSpec {
        database: "d".to_owned(),
        table: "t".to_owned(),
        partitions: None,
        columns: vec!["k".to_owned()],
        predicate: Arc::new(move |batch| {
            Ok(batch.column(0).as_primitive::<Int32Type>().iter().map(|key| key.map(&matches)).collect())
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_table_is_the_list_of_its_rows(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.apply(step).await;
                world.check();
            }
            world.check_disk();
            world.check();
        });
    }
}
