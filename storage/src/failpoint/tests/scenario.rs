//! What is played: each operation that leaves something on disk or in a repository, from a start that is prepared, to
//! an end that is the same however often it was interrupted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tokio_util::sync::CancellationToken;

use super::super::DurableStep;
use crate::backup::BackupObjects;
use crate::catalog::{FileKind, LoadKind};
use crate::clock::{Clock, ManualClock};
use crate::delete::DeleteSpec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::bed::{
    Action, Bed, DATABASE, REPOSITORY, Row, backup_spec, batch, damage, definition, partition, range, restore_spec,
    rows, table_as,
};
use crate::job::{FailPoint, JobConfig};
use crate::load::LoadSpec;
use crate::repository::{Access, ObjectRef};
use crate::restore::RestoreObjects;
use crate::storage::StorageConfig;
use crate::testing::create_table_as;
use crate::verify::{Depth, VerifyProperties, VerifySpec};

/// When scenarios begin, and when the trash of then has expired.
const BEGIN_MS: i64 = 1_700_000_000_000;
const LATER_MS: i64 = BEGIN_MS + 10 * 86_400_000;

/// More than a single PUT takes.
const LARGE_BYTES: usize = 17 << 20;

listed! {
    /// An operation to die in.
    pub(super) enum Scenario {
        /// An empty directory becomes a data directory.
        FirstStart,
        /// A load, a job and a tablet that a crash left are cleared away.
        StartAfterCrash,
        Load,
        LoadThatSpills,
        Overwrite,
        Delete,
        Compact,
        CreateTable,
        AddPartitions,
        Truncate,
        DropTable,
        /// What was dropped long ago goes, from the catalog and from the disk.
        Collect,
        SweepOrphans,
        Repair,
        CreateRepository,
        UploadLargeFile,
        Backup,
        ResumeBackup,
        CancelBackup,
        /// Over an older table, from another store: every file is fetched.
        Restore,
        /// Beside the table that was backed up: every file is linked.
        RestoreAs,
        ResumeRestore,
        CancelRestore,
        /// As deep as it goes, so that objects are decoded beside the tablets.
        Verify,
    }
}

/// What people can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Each table's partitions and rows.
    tables: BTreeMap<String, (Vec<String>, Vec<Row>)>,
    /// The labels in the repository; nothing when there is no repository.
    snapshots: Option<Vec<String>>,
}

impl State {
    pub(super) async fn of(bed: &Bed) -> State {
        let catalog = bed.storage.catalog();
        let names: Vec<(String, Vec<String>)> = catalog
            .read(|read| {
                let tables = read.tables(read.database(DATABASE)?.id)?;
                let named = tables.into_iter().map(|table| {
                    let partitions = read.partitions(table.id)?.into_iter().map(|row| row.name).collect();
                    Ok((table.name, partitions))
                });
                named.collect::<Result<_>>()
            })
            .unwrap();
        let mut tables = BTreeMap::new();
        for (name, partitions) in names {
            let rows = bed.rows(&name);
            tables.insert(name, (partitions, rows));
        }
        let known = catalog.read(|read| read.find_repository(REPOSITORY)).unwrap().is_some();
        let mut snapshots = None;
        if known {
            let listed = bed.repository().await.list_snapshots().await.unwrap().snapshots;
            snapshots = Some(listed.into_iter().map(|listing| listing.label).collect());
        }
        State { tables, snapshots }
    }

    fn rows(&self, table: &str) -> Option<&[Row]> {
        self.tables.get(table).map(|(_, rows)| rows.as_slice())
    }

    fn has_snapshot(&self) -> bool {
        self.snapshots.as_deref() == Some(&["x".to_owned()])
    }
}

impl Scenario {
    /// Whether what is played is the start itself.
    pub(super) fn is_start(self) -> bool {
        use Scenario::{FirstStart, ResumeBackup, ResumeRestore, StartAfterCrash};
        matches!(self, FirstStart | StartAfterCrash | ResumeBackup | ResumeRestore)
    }

    /// Steps that it cannot do without.
    pub(super) fn steps(self) -> &'static [DurableStep] {
        use DurableStep::{
            Commit, CompleteMultipart, Link, MakeDirectory, Put, PutPart, RemoveDirectory, Rename, SyncDirectory,
            SyncFile, Unlink,
        };
        match self {
            Scenario::FirstStart => &[MakeDirectory, SyncDirectory, Commit],
            Scenario::StartAfterCrash => &[Commit, RemoveDirectory],
            Scenario::Load | Scenario::LoadThatSpills | Scenario::Overwrite | Scenario::Delete | Scenario::Compact => {
                &[MakeDirectory, SyncFile, Rename, SyncDirectory, Commit, RemoveDirectory]
            }
            Scenario::CreateTable | Scenario::AddPartitions | Scenario::Truncate | Scenario::DropTable => &[Commit],
            Scenario::Collect => &[Commit, Unlink, SyncDirectory, RemoveDirectory],
            Scenario::SweepOrphans => &[Unlink],
            Scenario::Repair => &[SyncFile, Rename, SyncDirectory, Commit],
            Scenario::CreateRepository => &[Put, SyncFile, Rename, Commit],
            Scenario::UploadLargeFile => &[PutPart, CompleteMultipart, SyncFile, Link, SyncDirectory],
            Scenario::Backup => &[Commit, SyncFile, Rename, Put, RemoveDirectory],
            Scenario::ResumeBackup => &[Commit, Put, RemoveDirectory],
            Scenario::CancelBackup => &[Commit, Put, RemoveDirectory],
            Scenario::Restore => &[Commit, SyncFile, Rename, SyncDirectory, RemoveDirectory],
            Scenario::RestoreAs => &[Commit, Link, Rename, SyncDirectory, RemoveDirectory],
            Scenario::ResumeRestore => &[Commit, RemoveDirectory],
            Scenario::CancelRestore => &[Commit, Rename, SyncDirectory, RemoveDirectory],
            Scenario::Verify => &[Commit, RemoveDirectory],
        }
    }

    /// Opens the place it is played at.
    pub(super) fn open(self, place: &Path) -> Bed {
        // A job that was begun ten days ago would have run out of time.
        self.open_at(place, if self == Scenario::Collect { LATER_MS } else { BEGIN_MS })
    }

    fn open_at(self, place: &Path, now_ms: i64) -> Bed {
        let mut config = StorageConfig::new(place.join("data"));
        // Two replicas where files are made; jobs are more readable with one.
        let roots = if self.is_job() { 1 } else { 2 };
        config.roots = (0..roots).map(|root| place.join(format!("data/root{root}"))).collect();
        config.encode_threads = 1;
        if self == Scenario::LoadThatSpills {
            config.memtable_bytes_max = 1;
        }
        let clock: Arc<dyn Clock> = ManualClock::at(now_ms);
        Bed::open_as(config, clock, JobConfig::default())
    }

    fn is_job(self) -> bool {
        self >= Scenario::Backup
    }

    /// Makes the start, and returns how it looks.
    pub(super) async fn prepare(self, place: &Path) -> State {
        match self {
            Scenario::FirstStart => return State { tables: BTreeMap::new(), snapshots: None },
            Scenario::Restore | Scenario::ResumeRestore | Scenario::CancelRestore => {
                let other = self.open_at(&place.join("other"), BEGIN_MS);
                add_repository(&other, place).await;
                other.create_table("t", &[0, 100, 200, 300], 1);
                other.load("t", &rows(0..300));
                assert_eq!(other.backup("x").await.state, "FINISHED");
                other.close().await;
                std::fs::remove_dir_all(place.join("other")).unwrap();
            }
            _ => {}
        }
        let bed = self.open_at(place, BEGIN_MS);
        self.fill(&bed, place).await;
        let state = State::of(&bed).await;
        bed.close().await;
        state
    }

    async fn fill(self, bed: &Bed, place: &Path) {
        if self.is_job() || self == Scenario::UploadLargeFile {
            add_repository(bed, place).await;
        }
        match self {
            Scenario::FirstStart | Scenario::CreateRepository | Scenario::UploadLargeFile => {}
            Scenario::AddPartitions => bed.create_table("t", &[0, 100, 200], 1),
            Scenario::Backup
            | Scenario::ResumeBackup
            | Scenario::CancelBackup
            | Scenario::RestoreAs
            | Scenario::Verify => {
                bed.create_table("t", &[0, 100, 200, 300], 1);
                bed.load("t", &rows(0..300));
                bed.delete("t", &[7, 8]);
            }
            Scenario::Restore | Scenario::ResumeRestore | Scenario::CancelRestore => {
                bed.create_table("t", &[0, 100, 200, 300], 1);
                bed.load("t", &rows(0..5));
            }
            _ => {
                create_table_as(&bed.storage, "t", &definition(false, 2));
                load(bed, "first", LoadKind::Insert, 0..40).await;
            }
        }
        match self {
            Scenario::StartAfterCrash => leave_what_a_crash_leaves(bed),
            Scenario::Compact => {
                load(bed, "second", LoadKind::Insert, 40..80).await;
                delete(bed, 10..50).await;
            }
            Scenario::Collect => {
                create_table_as(&bed.storage, "u", &definition(false, 1));
                load_into(bed, "u", "second", LoadKind::Insert, 0..10).await.unwrap();
                delete(bed, 0..5).await;
                delete(bed, 5..9).await;
                bed.drop_table("u");
            }
            Scenario::SweepOrphans => {
                for path in segment_paths(bed, 0) {
                    std::fs::write(path.with_file_name(format!("{}.parquet", Digest::of(b"stray"))), b"stray").unwrap();
                }
            }
            Scenario::Repair => segment_paths(bed, 0).iter().for_each(|path| damage(path)),
            Scenario::RestoreAs | Scenario::Verify => assert_eq!(bed.backup("x").await.state, "FINISHED"),
            Scenario::ResumeBackup => stay_at(bed, self, FailPoint::BackupFileUploaded).await,
            Scenario::ResumeRestore => stay_at(bed, self, FailPoint::RestoreFileFetched).await,
            _ => {}
        }
    }

    /// Does the work, or finds it done.
    pub(super) async fn act(self, bed: &Bed) {
        let storage = &bed.storage;
        match self {
            Scenario::FirstStart | Scenario::StartAfterCrash => {}
            Scenario::Load | Scenario::LoadThatSpills => load(bed, "l", LoadKind::StreamLoad, 100..140).await,
            Scenario::Overwrite => load(bed, "l", LoadKind::Overwrite, 100..140).await,
            Scenario::Delete => delete(bed, 10..20).await,
            Scenario::Compact => storage.compact_table(DATABASE, "t").await.unwrap(),
            Scenario::CreateTable => {
                let partitions = [0, 100].map(|lower| partition(&format!("p{lower}"), range(lower, lower + 100), 1));
                done_or_there(storage.create_table(DATABASE, "u", &definition(true, 1), &partitions).map(drop));
            }
            Scenario::AddPartitions => {
                let new = [("p2", 200), ("p3", 300)].map(|(name, lower)| partition(name, range(lower, lower + 100), 1));
                done_or_there(storage.add_partitions(DATABASE, "t", &new));
            }
            Scenario::Truncate => storage.truncate(DATABASE, "t", None).unwrap(),
            Scenario::DropTable if bed.has_table("t") => bed.drop_table("t"),
            Scenario::DropTable => {}
            Scenario::Collect => drop(storage.collect_garbage().unwrap()),
            Scenario::SweepOrphans => drop(storage.sweep_orphans().unwrap()),
            Scenario::Repair => repair(bed),
            Scenario::CreateRepository => {
                let place = bed.data_dir.parent().expect("the data lies in the place");
                add_repository(bed, place).await;
            }
            Scenario::UploadLargeFile => upload_large_file(bed).await,
            Scenario::Backup | Scenario::Restore | Scenario::RestoreAs => self.run_job(bed).await,
            Scenario::ResumeBackup | Scenario::ResumeRestore => {
                super::settle(bed).await;
                self.run_job(bed).await;
            }
            Scenario::CancelBackup => cancel_at(bed, self, FailPoint::BackupBeforeCommit).await,
            Scenario::CancelRestore => cancel_at(bed, self, FailPoint::RestoreBeforeCommit).await,
            Scenario::Verify => verify(bed).await,
        }
    }

    /// Whether work that is done looks like this.
    pub(super) fn is_end(self, state: &State) -> bool {
        let t = state.rows("t");
        let both = |first: std::ops::Range<i64>, second| Some(rows(first).into_iter().chain(rows(second)).collect());
        let is = |wanted: Option<Vec<Row>>| t == wanted.as_deref();
        match self {
            Scenario::FirstStart => state.tables.is_empty() && state.snapshots.is_none(),
            Scenario::CreateRepository | Scenario::UploadLargeFile => state.snapshots == Some(Vec::new()),
            Scenario::StartAfterCrash | Scenario::SweepOrphans | Scenario::Repair => is(Some(rows(0..40))),
            Scenario::Load | Scenario::LoadThatSpills => is(both(0..40, 100..140)),
            Scenario::Overwrite => is(Some(rows(100..140))),
            Scenario::Delete => is(both(0..10, 20..40)),
            Scenario::Compact => is(both(0..10, 50..80)),
            Scenario::CreateTable => is(Some(rows(0..40))) && state.tables.get("u").is_some_and(|u| u.0.len() == 2),
            Scenario::AddPartitions => state.tables.get("t").is_some_and(|t| t.0.len() == 4),
            Scenario::Truncate => is(Some(Vec::new())),
            Scenario::DropTable => t.is_none(),
            Scenario::Collect => is(Some(rows(9..40))) && state.rows("u").is_none(),
            Scenario::Backup | Scenario::ResumeBackup | Scenario::Verify => {
                is(both(0..7, 9..300)) && state.has_snapshot()
            }
            Scenario::CancelBackup => is(both(0..7, 9..300)),
            Scenario::Restore | Scenario::ResumeRestore => is(Some(rows(0..300))),
            Scenario::RestoreAs => is(both(0..7, 9..300)) && state.rows("t2") == t,
            // Cancelled, or done when the wish to cancel died with the process.
            Scenario::CancelRestore => is(Some(rows(0..5))) || is(Some(rows(0..300))),
        }
    }

    /// Whether this may be found after a crash in the middle.
    pub(super) fn is_possible(self, before: &State, after: &State, found: &State) -> bool {
        match self {
            Scenario::CancelBackup | Scenario::CancelRestore => self.is_end(found),
            // A resumed job comes to its end, whatever happened.
            Scenario::ResumeBackup | Scenario::ResumeRestore => found == after,
            _ => found == before || found == after,
        }
    }

    /// What else must hold after a crash: a snapshot that is there restores to the state of its cut.
    pub(super) async fn check(self, bed: &Bed, place: &Path, told: &str) {
        if !matches!(self, Scenario::Backup | Scenario::ResumeBackup | Scenario::CancelBackup)
            || !State::of(bed).await.has_snapshot()
        {
            return;
        }
        let other = self.open(&place.join("other"));
        add_repository(&other, place).await;
        assert_eq!(other.restore("x").await.state, "FINISHED", "{told}");
        assert_eq!(other.rows("t"), bed.rows("t"), "{told}: the snapshot is that of its cut");
        other.close().await;
    }

    /// Submits the job and waits for its end, unless it is done.
    async fn run_job(self, bed: &Bed) {
        if self.is_end(&State::of(bed).await) {
            return;
        }
        let id = self.submit(bed).await.unwrap();
        assert_eq!(bed.ended(id).await.state, "FINISHED");
    }

    async fn submit(self, bed: &Bed) -> Result<crate::ids::JobId> {
        match self {
            Scenario::Backup | Scenario::ResumeBackup | Scenario::CancelBackup => {
                bed.runner.submit_backup(backup_spec("x", BackupObjects::All)).await
            }
            Scenario::RestoreAs => bed.runner.submit_restore(restore_spec("x", table_as("t", "t2"))).await,
            _ => bed.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await,
        }
    }
}

/// Verifies the repository; nothing is wrong with it, whatever became of verifications before.
async fn verify(bed: &Bed) {
    let properties = VerifyProperties { depth: Depth::Rows, ..VerifyProperties::default() };
    let spec = VerifySpec { repository: REPOSITORY.to_owned(), snapshot: None, properties };
    let id = bed.runner.submit_verify(spec).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    for row in bed.runner.verify_rows(None).unwrap() {
        assert_eq!((row.state.as_str(), row.counts.errors), ("FINISHED", 0), "{row:?}");
    }
}

async fn add_repository(bed: &Bed, place: &Path) {
    bed.add_repository(&format!("file://{}", place.join("repository").display()), Access::ReadWrite).await;
}

async fn load(bed: &Bed, label: &str, kind: LoadKind, keys: std::ops::Range<i64>) {
    match load_into(bed, "t", label, kind, keys).await {
        Ok(()) | Err(Error::LabelTaken { running: false, .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn load_into(bed: &Bed, table: &str, label: &str, kind: LoadKind, keys: std::ops::Range<i64>) -> Result<()> {
    let spec = LoadSpec {
        database: DATABASE.to_owned(),
        table: table.to_owned(),
        label: Some(label.to_owned()),
        kind,
        partitions: None,
        max_filter_ratio: 0.0,
    };
    let mut load = bed.storage.begin_load(spec).await?;
    for rows in rows(keys).chunks(20) {
        load.write(batch(&definition(false, 2), rows)).await?;
    }
    load.commit().await.map(drop)
}

async fn delete(bed: &Bed, keys: std::ops::Range<i64>) {
    let spec = DeleteSpec {
        database: DATABASE.to_owned(),
        table: "t".to_owned(),
        partitions: None,
        columns: vec!["k".to_owned()],
        predicate: Arc::new(move |batch| {
            let found = batch.column(0).as_primitive::<Int64Type>();
            Ok(found.iter().map(|key| key.map(|key| keys.contains(&key))).collect())
        }),
    };
    bed.storage.delete(spec).await.unwrap();
}

/// What somebody who asks again is told when it had happened.
fn done_or_there(result: Result<()>) {
    match result {
        Ok(()) | Err(Error::AlreadyExists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A load that is not over, with a file in staging and one in its tablet, and the directory of a job that has ended.
fn leave_what_a_crash_leaves(bed: &Bed) {
    let (storage, roots) = (&bed.storage, bed.storage.roots());
    let begin = |label| {
        storage.catalog().write(|write| {
            let database = write.database(DATABASE)?.id;
            write.begin_load(database, "t", Some(label), LoadKind::StreamLoad)
        })
    };
    let transaction = begin("cut-off").unwrap().id;
    for root in roots.configured() {
        let staging = roots.create_staging(*root, &transaction.to_string()).unwrap();
        std::fs::write(staging.join("1-0"), b"half a segm").unwrap();
    }
    for path in segment_paths(bed, 0) {
        std::fs::write(path.with_file_name(format!("{}.parquet", Digest::of(b"unnamed"))), b"unnamed").unwrap();
    }
    let job = bed.data_dir.join("jobs/99");
    std::fs::create_dir_all(&job).unwrap();
    std::fs::write(job.join("plan.json"), b"{}").unwrap();
}

/// The segments of `t` on one of the roots.
fn segment_paths(bed: &Bed, root: usize) -> Vec<std::path::PathBuf> {
    let roots = bed.storage.roots();
    let root = roots.configured()[root];
    let snapshot = bed.storage.table_snapshot(DATABASE, "t").unwrap();
    let tablets = snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets);
    let paths = tablets.flat_map(|tablet| {
        tablet
            .segments()
            .map(|segment| roots.file_path(root, tablet.tablet.id, &segment.digest, FileKind::Segment).unwrap())
    });
    paths.collect()
}

/// Reports what is damaged on the first root, as a reader would, and has it rebuilt.
fn repair(bed: &Bed) {
    let (storage, root) = (&bed.storage, bed.storage.roots().configured()[0]);
    for tablet in storage.catalog().read(|read| read.tablet_ids()).unwrap() {
        for file in storage.catalog().read(|read| read.tablet_files(tablet)).unwrap() {
            let path = storage.roots().file_path(root, tablet, &file.digest, file.kind).unwrap();
            let damaged = Digest::of_file(&path).is_ok_and(|(digest, _)| digest != file.digest);
            if damaged {
                storage.files().mark_copy_bad(tablet, &path, "the bytes do not match their digest");
            }
        }
    }
    storage.repair_replicas().unwrap().into_result().unwrap();
}

async fn upload_large_file(bed: &Bed) {
    let bytes: Vec<u8> = (0..LARGE_BYTES).map(|position| (position / 7) as u8).collect();
    let path = bed.data_dir.join("large");
    std::fs::write(&path, &bytes).unwrap();
    let object = ObjectRef { kind: FileKind::Segment, digest: Digest::of(&bytes), bytes: bytes.len() as u64 };
    let repository = bed.repository().await;
    repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap();
    assert!(repository.has_object(&object).await.unwrap());
}

/// Submits a job and waits until it stands at a place.
async fn stay_at(bed: &Bed, scenario: Scenario, point: FailPoint) {
    bed.failpoints.arm(point, Action::Wait);
    scenario.submit(bed).await.unwrap();
    bed.failpoints.wait_for(point).await;
}

/// Submits a job and cancels it at a place. A label that is taken says that it was published before it could be.
async fn cancel_at(bed: &Bed, scenario: Scenario, point: FailPoint) {
    bed.failpoints.arm(point, Action::Wait);
    let id = match scenario.submit(bed).await {
        Ok(id) => id,
        Err(error) if error.to_string().contains("already exist") => return,
        Err(error) => panic!("{error}"),
    };
    bed.failpoints.wait_for(point).await;
    let last = bed.storage.catalog().read(|read| read.job(id)).unwrap().expect("the job");
    bed.runner.cancel(last.kind, DATABASE).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "CANCELLED");
}
