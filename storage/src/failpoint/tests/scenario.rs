//! What is played: each operation that leaves something on disk or in a repository, from a start that is prepared, to
//! an end that is the same however often it was interrupted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tokio_util::sync::CancellationToken;

use super::super::DurableStep;
use crate::backup::{BackupObjects, Ttl};
use crate::catalog::{FileKind, Grantee, LoadKind, Removal, TableRow, WriteTransaction};
use crate::clock::{Clock, ManualClock};
use crate::delete::DeleteSpec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::bed::{
    Action, Bed, DATABASE, REPOSITORY, Row, backup_spec, batch, damage, definition, files_below, partition, range,
    restore_spec, rows, table_as,
};
use crate::job::{FailPoint, JobConfig};
use crate::lifecycle::{DropSpec, Lifecycle, LifecycleConfig, SnapshotChoice};
use crate::load::LoadSpec;
use crate::repository::{Access, ObjectRef};
use crate::restore::RestoreObjects;
use crate::storage::StorageConfig;
use crate::testing::create_table_as;
use crate::verify::{Depth, VerifyProperties, VerifySpec};

/// When scenarios begin, and when the trash of then has expired.
const BEGIN_MS: i64 = 1_700_000_000_000;
const LATER_MS: i64 = BEGIN_MS + 10 * 86_400_000;

/// What is created and dropped besides.
const OTHER: &str = "other";
const USER: &str = "u";
const ROLE: &str = "reader";

/// File of the data directory that has root's first password.
const ROOT_PASSWORD: &str = "root-password";

/// File beside the repository that says how many objects a collection leaves.
const KEPT: &str = "kept";

/// The grace of collections, and how much older everything is made before each. More than a job may take as well.
const GRACE: Duration = Duration::from_secs(3_600);
const LONG_BEFORE: Duration = Duration::from_secs(3 * 86_400);

/// Turns after which nothing is left to collect: one that ends what a crash has begun, one that marks, one that sweeps,
/// one that takes away the mark, and one for what the others left.
const COLLECTIONS: usize = 5;

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
        Rename,
        /// Of a table that was dropped.
        Recover,
        DropPartition,
        CreateDatabase,
        DropDatabase,
        /// A user with a role.
        CreateAccount,
        /// Root's password is written down, and then root is made.
        FirstAccount,
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
        /// Its last part shows that the file is not what it should be: what was sent is taken back.
        AbandonLargeFile,
        DropSnapshot,
        /// Its ttl is over.
        ExpireSnapshot,
        /// What a dropped snapshot alone referred to is marked, and swept in a later turn.
        CollectRepository,
        AlterRepository,
        DropRepository,
    }
}

/// What people can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Each table's partitions and rows.
    tables: BTreeMap<String, (Vec<String>, Vec<Row>)>,
    /// The labels in the repository; nothing when there is no repository.
    snapshots: Option<Vec<String>>,
    /// What is said to be wrong with the repository.
    trouble: Option<String>,
    databases: Vec<String>,
    /// Each user's roles.
    users: BTreeMap<String, Vec<String>>,
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
        let known = catalog.read(|read| read.find_repository(REPOSITORY)).unwrap();
        let mut snapshots = None;
        if known.is_some() {
            let listed = bed.repository().await.list_snapshots().await.unwrap().snapshots;
            snapshots = Some(listed.into_iter().map(|listing| listing.label).collect());
        }
        let databases = catalog.read(|read| read.databases()).unwrap().into_iter().map(|row| row.name).collect();
        let users = catalog
            .read(|read| {
                let named = read.users()?.into_iter().map(|user| {
                    let roles = read.roles_of(&grantee(&user.name))?;
                    Ok((user.name, roles.into_iter().map(|(role, _)| role).collect()))
                });
                named.collect::<Result<_>>()
            })
            .unwrap();
        State { tables, snapshots, trouble: known.and_then(|row| row.error), databases, users }
    }

    /// Of a directory where nothing has been done yet.
    fn first() -> State {
        State {
            tables: BTreeMap::new(),
            snapshots: None,
            trouble: None,
            databases: vec![DATABASE.to_owned()],
            users: BTreeMap::new(),
        }
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
            AbortMultipart, Commit, CompleteMultipart, Delete, Link, MakeDirectory, Put, PutPart, RemoveDirectory,
            Rename, SyncDirectory, SyncFile, Unlink,
        };
        match self {
            Scenario::FirstStart => &[MakeDirectory, SyncDirectory, Commit],
            Scenario::StartAfterCrash => &[Commit, RemoveDirectory],
            Scenario::Load | Scenario::LoadThatSpills | Scenario::Overwrite | Scenario::Delete | Scenario::Compact => {
                &[MakeDirectory, SyncFile, Rename, SyncDirectory, Commit, RemoveDirectory]
            }
            Scenario::CreateTable
            | Scenario::AddPartitions
            | Scenario::Truncate
            | Scenario::DropTable
            | Scenario::Rename
            | Scenario::Recover
            | Scenario::DropPartition
            | Scenario::CreateDatabase
            | Scenario::DropDatabase
            | Scenario::CreateAccount
            | Scenario::DropRepository => &[Commit],
            Scenario::FirstAccount => &[SyncFile, Rename, SyncDirectory, Commit],
            Scenario::AbandonLargeFile => &[PutPart, AbortMultipart, Unlink],
            Scenario::DropSnapshot | Scenario::ExpireSnapshot => &[Delete, Unlink, SyncDirectory, Put, Link],
            Scenario::CollectRepository => &[Put, Link, Delete, Unlink, SyncDirectory],
            Scenario::AlterRepository => &[Put, Commit],
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
        self.open_at(place, if self.is_later() { LATER_MS } else { BEGIN_MS })
    }

    fn is_later(self) -> bool {
        matches!(self, Scenario::Collect | Scenario::ExpireSnapshot)
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
            Scenario::FirstStart => return State::first(),
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
            Scenario::FirstStart
            | Scenario::FirstAccount
            | Scenario::CreateRepository
            | Scenario::UploadLargeFile
            | Scenario::AbandonLargeFile => {}
            Scenario::DropPartition => {
                bed.create_table("t", &[0, 100, 200], 1);
                bed.load("t", &rows(90..110));
            }
            Scenario::AddPartitions => bed.create_table("t", &[0, 100, 200], 1),
            Scenario::Backup
            | Scenario::ResumeBackup
            | Scenario::CancelBackup
            | Scenario::RestoreAs
            | Scenario::Verify
            | Scenario::DropSnapshot
            | Scenario::ExpireSnapshot
            | Scenario::CollectRepository
            | Scenario::AlterRepository
            | Scenario::DropRepository => {
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
            Scenario::Recover => bed.drop_table("t"),
            Scenario::DropDatabase => create_database(bed),
            Scenario::AlterRepository => bed
                .storage
                .catalog()
                .write(|write| {
                    let repository = write.find_repository(REPOSITORY)?.expect("it was made").id;
                    write.set_repository_error(repository, Some("it was away"))
                })
                .unwrap(),
            Scenario::ExpireSnapshot => {
                let mut spec = backup_spec("x", BackupObjects::All);
                spec.properties.ttl = Ttl::parse("1 DAY").unwrap();
                let id = bed.runner.submit_backup(spec).await.unwrap();
                assert_eq!(bed.ended(id).await.state, "FINISHED");
            }
            Scenario::CollectRepository => {
                assert_eq!(bed.backup("x").await.state, "FINISHED");
                std::fs::write(place.join(KEPT), objects(place).to_string()).unwrap();
                bed.load("t", &rows(10..20));
                assert_eq!(bed.backup("y").await.state, "FINISHED");
                drop_snapshot(bed, "y").await;
            }
            Scenario::RestoreAs | Scenario::Verify | Scenario::DropSnapshot | Scenario::DropRepository => {
                assert_eq!(bed.backup("x").await.state, "FINISHED")
            }
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
            Scenario::Rename => in_table(bed, "t", |write, table| write.rename_table(table, "renamed")),
            Scenario::Recover => recover(bed),
            Scenario::DropPartition => in_table(bed, "t", |write, table| {
                let mut partitions = write.partitions(table.id)?;
                partitions.retain(|row| row.bounds == range(0, 100));
                write.drop_partitions(table.id, &partitions, Removal::ForGood)
            }),
            Scenario::CreateDatabase => create_database(bed),
            Scenario::DropDatabase => drop_database(bed),
            Scenario::CreateAccount => create_account(bed),
            Scenario::FirstAccount => make_root(bed),
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
            Scenario::AbandonLargeFile => abandon_large_file(bed).await,
            Scenario::DropSnapshot => drop_snapshot(bed, "x").await,
            Scenario::ExpireSnapshot => {
                let (row, _) = bed.repositories.find(REPOSITORY).await.unwrap();
                lifecycle(bed).expire(&row).await.unwrap();
            }
            Scenario::CollectRepository => collect_repository(bed).await,
            Scenario::AlterRepository => bed.repositories.alter(REPOSITORY, Vec::new()).await.unwrap(),
            Scenario::DropRepository => drop_repository(bed),
        }
    }

    /// Whether work that is done looks like this.
    pub(super) fn is_end(self, state: &State) -> bool {
        let t = state.rows("t");
        let both = |first: std::ops::Range<i64>, second| Some(rows(first).into_iter().chain(rows(second)).collect());
        let is = |wanted: Option<Vec<Row>>| t == wanted.as_deref();
        match self {
            Scenario::FirstStart => state.tables.is_empty() && state.snapshots.is_none(),
            Scenario::CreateRepository | Scenario::UploadLargeFile | Scenario::AbandonLargeFile => {
                state.snapshots == Some(Vec::new())
            }
            Scenario::Rename => t.is_none() && state.rows("renamed") == Some(&rows(0..40)),
            Scenario::Recover => is(Some(rows(0..40))),
            Scenario::DropPartition => is(Some(rows(100..110))),
            Scenario::CreateDatabase => state.databases.iter().any(|name| name == OTHER),
            Scenario::DropDatabase => !state.databases.iter().any(|name| name == OTHER),
            Scenario::CreateAccount => state.users.get(USER).is_some_and(|roles| *roles == [ROLE]),
            Scenario::FirstAccount => state.users.contains_key("root"),
            Scenario::DropSnapshot | Scenario::ExpireSnapshot => {
                is(both(0..7, 9..300)) && state.snapshots == Some(Vec::new())
            }
            Scenario::CollectRepository => t.is_some_and(|t| t.len() == 308) && state.has_snapshot(),
            Scenario::AlterRepository => state.trouble.is_none() && state.snapshots == Some(Vec::new()),
            Scenario::DropRepository => is(both(0..7, 9..300)) && state.snapshots.is_none(),
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

    /// What else must hold after a crash: a snapshot that is there restores to the state of its cut, none lacks what a
    /// collection took, and a root that is there has the password that was written down.
    pub(super) async fn check(self, bed: &Bed, place: &Path, told: &str) {
        if self == Scenario::FirstAccount && State::of(bed).await.users.contains_key("root") {
            let path = bed.data_dir.join(ROOT_PASSWORD);
            assert_eq!(std::fs::read_to_string(path).unwrap(), "secret\n", "{told}: nobody could tell the password");
        }
        if self == Scenario::CollectRepository {
            verify(bed).await;
        }
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

/// Sends a large file that is not the one it should be: what was sent is found wrong at its end.
async fn abandon_large_file(bed: &Bed) {
    let path = bed.data_dir.join("large");
    std::fs::write(&path, vec![1; LARGE_BYTES]).unwrap();
    let digest = Digest::of(b"what the catalog says");
    let object = ObjectRef { kind: FileKind::Segment, digest, bytes: LARGE_BYTES as u64 };
    let repository = bed.repository().await;
    repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap_err();
    assert!(!repository.has_object(&object).await.unwrap());
}

fn lifecycle(bed: &Bed) -> Arc<Lifecycle> {
    let config = LifecycleConfig { collection_grace: GRACE, ..LifecycleConfig::default() };
    let (storage, repositories) = (Arc::clone(&bed.storage), Arc::clone(&bed.repositories));
    Lifecycle::new(storage, repositories, Arc::clone(&bed.runner), config)
}

async fn drop_snapshot(bed: &Bed, label: &str) {
    let choice = SnapshotChoice::Label(label.to_owned());
    let spec = DropSpec { repository: REPOSITORY.to_owned(), choice, force: false };
    match lifecycle(bed).drop_snapshots(&spec).await {
        Err(error) if !error.to_string().contains("does not exist") => panic!("{error}"),
        _ => {}
    }
}

/// As many turns as it takes, each long after the one before. In the end there is what the snapshot refers to and
/// nothing else.
async fn collect_repository(bed: &Bed) {
    let place = bed.data_dir.parent().expect("the data lies in the place");
    let lifecycle = lifecycle(bed);
    for _ in 0..COLLECTIONS {
        for file in files_below(&place.join("repository")) {
            let file = std::fs::File::options().write(true).open(file).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - LONG_BEFORE).unwrap();
        }
        lifecycle.collect(REPOSITORY).await.unwrap();
    }
    let kept = std::fs::read_to_string(place.join(KEPT)).unwrap();
    assert_eq!(objects(place).to_string(), kept, "objects after {COLLECTIONS} turns");
    assert_eq!(files_below(&place.join("repository/ebla/garbage")), Vec::<std::path::PathBuf>::new(), "marks");
}

/// How many objects and nodes the repository has.
fn objects(place: &Path) -> usize {
    let repository = place.join("repository/ebla");
    ["objects", "trees"].iter().map(|folder| files_below(&repository.join(folder)).len()).sum()
}

fn drop_repository(bed: &Bed) {
    let drop = bed.storage.catalog().write(|write| match write.find_repository(REPOSITORY)? {
        Some(row) => write.drop_repository(row.id),
        None => Ok(()),
    });
    drop.unwrap();
}

/// Changes a table, unless that has been done and the table is not there any more.
fn in_table(bed: &Bed, name: &str, change: impl FnOnce(&WriteTransaction<'_>, &TableRow) -> Result<()>) {
    let changed = bed.storage.catalog().write(|write| match write.find_table(write.database(DATABASE)?.id, name)? {
        Some(table) => change(write, &table),
        None => Ok(()),
    });
    changed.unwrap();
}

fn recover(bed: &Bed) {
    let recovered = bed.storage.catalog().write(|write| {
        let database = write.database(DATABASE)?.id;
        match write.dropped_table(database, "t")? {
            Some(table) => write.recover_table(&table),
            None => Ok(()),
        }
    });
    recovered.unwrap();
}

fn create_database(bed: &Bed) {
    done_or_there(bed.storage.catalog().write(|write| write.create_database(OTHER, &BTreeMap::new())).map(drop));
}

fn drop_database(bed: &Bed) {
    let dropped = bed.storage.catalog().write(|write| match write.find_database(OTHER)? {
        Some(database) => write.drop_database(database.id),
        None => Ok(()),
    });
    dropped.unwrap();
}

fn grantee(user: &str) -> Grantee {
    Grantee::User { name: user.to_owned(), host: "%".to_owned() }
}

fn create_account(bed: &Bed) {
    done_or_there(bed.storage.catalog().write(|write| {
        write.create_user(USER, "%", Some(&[7; 20]))?;
        write.create_role(ROLE, false, "")?;
        write.grant_role(&grantee(USER), ROLE)
    }));
}

/// As a first start of the server does it.
fn make_root(bed: &Bed) {
    let catalog = bed.storage.catalog();
    if catalog.read(|read| read.find_user("root", "%")).unwrap().is_none() {
        crate::disk::write_secret(&bed.data_dir.join(ROOT_PASSWORD), "secret").unwrap();
        catalog.write(|write| write.create_user("root", "%", Some(&[1; 20]))).unwrap();
    }
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
