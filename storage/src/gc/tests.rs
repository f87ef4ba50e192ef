//! What the collector deletes and what it leaves.

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::catalog::{
    DeleteVectorMeta, FileKind, JobKind, LoadKind, NewJob, NewPartition, RowsetRow, SegmentMeta, TabletRow,
};
use crate::clock::{ManualClock, SystemRandom};
use crate::digest::Digest;
use crate::ids::{JobId, RepositoryId, StorageRootId, TableId};
use crate::roots::{StagedFile, create_file, sync_file};
use crate::schema::{DataType, PartitionBounds, TableDefinition};
use crate::storage::{StorageConfig, TRASH_EXPIRE};
use crate::testing::{column, table_of};

type File = (StorageRootId, TabletId, Digest);

/// A data directory with two roots and the database `d`.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    storage: Arc<Storage>,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(1_000);
        let storage = Self::open(dir.path(), &clock);
        storage.catalog().write(|write| write.create_database("d", &BTreeMap::new())).unwrap();
        Bench { dir, clock, storage }
    }

    fn open(dir: &std::path::Path, clock: &Arc<ManualClock>) -> Arc<Storage> {
        let mut config = StorageConfig::new(dir);
        config.roots = vec![dir.join("a"), dir.join("b")];
        Storage::open(config, Arc::clone(clock) as Arc<_>, Arc::new(SystemRandom)).unwrap()
    }

    fn create_table(&self, name: &str) -> TableId {
        let definition = TableDefinition { buckets: 2, ..table_of(vec![column(1, "k", DataType::Int)]) };
        self.storage.create_table("d", name, &definition, &[partition(name)]).unwrap()
    }

    fn tablets(&self, table: TableId) -> Vec<TabletRow> {
        let state = self.storage.catalog().read(|read| read.table_state(table)).unwrap();
        state.partitions.iter().flat_map(|state| &state.tablets).map(|state| state.tablet.clone()).collect()
    }

    /// Puts a file into every replica of a tablet, named by nothing yet.
    fn install(&self, tablet: TabletId, content: &str, kind: FileKind) -> Digest {
        let digest = Digest::of(content.as_bytes());
        for replica in self.storage.catalog().read(|read| read.replicas(tablet)).unwrap() {
            let staging = self.storage.roots().create_staging(replica.root_id, "test").unwrap();
            let path = staging.join("file");
            let mut file = create_file(&path).unwrap();
            io::Write::write_all(&mut file, content.as_bytes()).unwrap();
            sync_file(&file, &path).unwrap();
            self.storage.roots().install(replica.root_id, tablet, &[StagedFile { path, digest, kind }]).unwrap();
        }
        digest
    }

    /// Loads one segment into every tablet of a table; equal contents are equal segments.
    fn load(&self, table: TableId, content: &str) {
        for tablet in self.tablets(table) {
            let _gate = self.storage.pins().install_guard();
            let digest = self.install(tablet.id, content, FileKind::Segment);
            let bytes = content.len() as u64;
            let segment = SegmentMeta { digest, rows: 100, bytes, zone_maps: Vec::new(), deletes: None };
            self.storage
                .catalog()
                .write(|write| {
                    let version = write.raise_visible_version(tablet.partition_id)?;
                    write.create_rowset(tablet.id, version, &[segment])
                })
                .unwrap();
        }
    }

    /// Replaces the delete vector of the first segment of every tablet.
    fn delete(&self, table: TableId, content: &str) {
        for tablet in self.tablets(table) {
            let rowsets = self.storage.catalog().read(|read| read.rowsets(tablet.id)).unwrap();
            let Some(RowsetRow { id, segments, .. }) = rowsets.first() else { continue };
            let _gate = self.storage.pins().install_guard();
            let digest = self.install(tablet.id, content, FileKind::DeleteVector);
            let after = DeleteVectorMeta { digest, bytes: content.len() as u64, rows: 1 };
            let before = segments[0].deletes;
            self.storage
                .catalog()
                .write(|write| write.replace_deletes(tablet.id, *id, &segments[0].digest, before.as_ref(), &after))
                .unwrap();
        }
    }

    fn begin_job(&self, number: usize) -> JobId {
        let job = NewJob {
            targets: Vec::new(),
            kind: JobKind::Backup,
            database: format!("job{number}"),
            label: String::new(),
            repository_id: RepositoryId(1),
            state: "PENDING".to_owned(),
            payload: String::new(),
            timeout_ms: 1,
            created_at_ms: 0,
        };
        self.storage.catalog().write(|write| write.create_job(&job)).unwrap()
    }

    fn on_disk(&self) -> BTreeSet<File> {
        let roots = self.storage.roots();
        let mut files = BTreeSet::new();
        for root in roots.all() {
            for tablet in roots.tablets_on_disk(root.id).unwrap() {
                let listed = roots.files_on_disk(root.id, tablet).unwrap();
                files.extend(listed.into_iter().map(|(digest, _)| (root.id, tablet, digest)));
            }
        }
        files
    }

    fn tablet_dirs(&self) -> usize {
        let roots = self.storage.roots();
        roots.all().iter().map(|root| roots.tablets_on_disk(root.id).unwrap().len()).sum()
    }

    fn garbage(&self) -> u64 {
        self.storage.catalog().read(|read| read.garbage_count()).unwrap()
    }

    fn expire(&self) {
        self.clock.advance_ms(TRASH_EXPIRE.as_millis() as i64);
    }
}

fn partition(name: &str) -> NewPartition {
    NewPartition {
        name: name.to_owned(),
        bounds: PartitionBounds::All,
        buckets: 2,
        replication_num: 2,
        properties: BTreeMap::new(),
    }
}

#[test]
fn a_reader_and_a_job_keep_what_they_need() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "one");
    bench.delete(table, "vector");
    let files = bench.on_disk();
    assert_eq!(files.len(), 8, "two tablets, two replicas, a segment and a delete vector");

    let snapshot = bench.storage.table_snapshot("d", "t").unwrap();
    let job = bench.begin_job(0);
    let partition = snapshot.state().partitions[0].partition.id;
    bench.storage.catalog().write(|write| write.pin_partition(job, partition)).unwrap();
    bench.storage.truncate("d", "t", None).unwrap();
    assert_eq!(bench.storage.collect_garbage().unwrap(), GarbageReport { left_files: 8, ..Default::default() });

    drop(snapshot);
    assert_eq!(bench.storage.collect_garbage().unwrap().left_files, 8);
    let snapshot = bench.storage.table_snapshot("d", "t").unwrap();
    bench.storage.catalog().write(|write| write.release_pins(job)).unwrap();
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.deleted_files, report.deleted_bytes, report.left_files), (8, 4 * 9, 0));
    assert_eq!(bench.on_disk(), BTreeSet::new());
    drop(snapshot);
}

#[test]
fn what_is_dropped_can_be_recovered_for_a_day_and_is_gone_after() {
    let bench = Bench::new();
    let (table, other) = (bench.create_table("t"), bench.create_table("other"));
    bench.load(table, "one");
    bench.load(other, "two");
    let catalog = bench.storage.catalog();
    let database = catalog.read(|read| Ok(read.database("d")?.id)).unwrap();
    catalog.write(|write| write.drop_table(table)).unwrap();
    bench.clock.advance_ms(TRASH_EXPIRE.as_millis() as i64 - 1);
    assert_eq!(bench.storage.collect_garbage().unwrap(), GarbageReport::default());
    let dropped = catalog.read(|read| read.dropped_table(database, "t")).unwrap().unwrap();
    catalog.write(|write| write.recover_table(&dropped)).unwrap();
    bench.expire();
    assert_eq!(bench.storage.collect_garbage().unwrap(), GarbageReport::default());

    catalog.write(|write| write.drop_table(table)).unwrap();
    bench.expire();
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.purged_tables, report.deleted_files, report.removed_tablets), (1, 4, 4));
    assert!(catalog.read(|read| read.dropped_table(database, "t")).unwrap().is_none());

    let label = catalog.write(|write| write.begin_load(database, "other", Some("l"), LoadKind::Insert)).unwrap();
    catalog.write(|write| write.finish_load(label.id, 1, 0, 1)).unwrap();
    bench.clock.advance_ms(bench.storage.config().label_keep.as_millis() as i64);
    assert_eq!(bench.storage.collect_garbage().unwrap().forgotten_loads, 1);

    let partition = catalog.read(|read| Ok(read.partitions(other)?.remove(0))).unwrap();
    catalog.write(|write| write.drop_partition(partition.id, false)).unwrap();
    catalog.write(|write| write.drop_database(database)).unwrap();
    bench.expire();
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.purged_databases, report.deleted_files, report.removed_tablets), (1, 4, 4));
    assert_eq!((bench.garbage(), bench.tablet_dirs()), (0, 0));
}

#[test]
fn a_gone_tablet_that_somebody_reads_keeps_its_directory() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "one");
    let snapshot = bench.storage.table_snapshot("d", "t").unwrap();
    bench.storage.catalog().write(|write| write.purge_table(table)).unwrap();
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.deleted_files, report.removed_tablets, report.left_files), (0, 0, 4));
    assert_eq!(bench.on_disk().len(), 4);
    drop(snapshot);
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.deleted_files, report.removed_tablets, report.left_files), (4, 4, 0));
}

#[test]
fn the_sweep_takes_what_nothing_names_and_leaves_hidden_tablets() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "named");
    let named = bench.on_disk();
    let tablet = bench.tablets(table)[0].id;
    bench.install(tablet, "orphan", FileKind::Segment);
    let orphan = bench.install(tablet, "aside", FileKind::Segment);
    let root = bench.storage.roots().configured()[0];
    let aside = bench.storage.roots().file_path(root, tablet, &orphan, FileKind::Segment).unwrap();
    fs::rename(&aside, aside.with_extension(crate::roots::CORRUPT_EXTENSION)).unwrap();
    fs::write(aside.with_file_name("README"), "not ours").unwrap();

    let job = bench.begin_job(0);
    let hidden = bench
        .storage
        .catalog()
        .write(|write| {
            let roots = bench.storage.roots().configured();
            let partition = write.create_partition(table, &partition("t"), roots, Some(job))?;
            Ok(write.tablets(partition)?.remove(0).id)
        })
        .unwrap();
    let received = bench.install(hidden, "received", FileKind::Segment);

    assert_eq!(bench.storage.sweep_orphans().unwrap(), 4);
    bench.storage.collect_garbage().unwrap();
    let mut left = named;
    left.extend(bench.storage.roots().configured().iter().map(|root| (*root, hidden, received)));
    assert_eq!(bench.on_disk(), left);
    assert!(aside.with_file_name("README").exists());
    assert_eq!(bench.storage.sweep_orphans().unwrap(), 0);

    // The restore is given up: its tablets are gone, and with them what nobody named.
    bench
        .storage
        .catalog()
        .write(|write| write.partitions_hidden_by(job)?.iter().try_for_each(|row| write.purge_partition(row.id)))
        .unwrap();
    assert_eq!(bench.storage.collect_garbage().unwrap().removed_tablets, 2);
}

#[test]
fn a_file_that_cannot_be_deleted_stops_no_other() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "one");
    bench.storage.truncate("d", "t", None).unwrap();
    let (root, tablet, digest) = *bench.on_disk().first().unwrap();
    let path = bench.storage.roots().file_path(root, tablet, &digest, FileKind::Segment).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let report = bench.storage.collect_garbage().unwrap();
    assert_eq!((report.deleted_files, report.left_files), (3, 1));
    assert!(report.failure.clone().unwrap().contains("cannot delete"), "{report:?}");
    assert!(report.into_result().is_err());
    fs::remove_dir(&path).unwrap();
    assert_eq!(bench.storage.collect_garbage().unwrap(), GarbageReport::default());
}

#[test]
fn a_file_that_is_named_again_is_no_garbage_any_more() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "same");
    bench.storage.truncate("d", "t", None).unwrap();
    bench.load(table, "same");
    assert_eq!(bench.garbage(), 0);
    bench.storage.collect_garbage().unwrap();
    assert_eq!(bench.on_disk().len(), 4);

    let tablet = bench.tablets(table)[0].id;
    let digest = bench.install(tablet, "in vain", FileKind::Segment);
    bench.storage.catalog().write(|write| write.discard_file(tablet, &digest, FileKind::Segment)).unwrap();
    let same = Digest::of(b"same");
    bench.storage.catalog().write(|write| write.discard_file(tablet, &same, FileKind::Segment)).unwrap();
    assert_eq!(bench.storage.collect_garbage().unwrap().deleted_files, 2);
    assert_eq!(bench.on_disk().len(), 4);
}

#[tokio::test]
async fn the_background_collects_and_stops() {
    let bench = Bench::new();
    let table = bench.create_table("t");
    bench.load(table, "one");
    bench.storage.truncate("d", "t", None).unwrap();
    bench.storage.start_background();
    bench.storage.start_background();
    for _ in 0..500 {
        if bench.garbage() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((bench.garbage(), bench.on_disk().len()), (0, 0));
    bench.storage.shutdown().await;
    bench.storage.start_background();
    bench.storage.shutdown().await;
}
