//! What is played: each operation that leaves something on disk or in a repository, from a start that is prepared, to
//! an end that is the same however often it was interrupted.

mod deed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::DurableStep;
use crate::backup::{BackupObjects, Ttl};
use crate::catalog::{LoadKind, Removal};
use crate::clock::{Clock, ManualClock};
use crate::digest::Digest;
use crate::error::Result;
use crate::job::bed::{
    Bed, DATABASE, REPOSITORY, Row, backup_spec, damage, definition, partition, range, restore_spec, rows, table_as,
};
use crate::job::{FailPoint, JobConfig};
use crate::restore::RestoreObjects;
use crate::storage::StorageConfig;
use crate::testing::create_table_as;
use deed::{
    abandon_large_file, add_repository, cancel_at, collect_repository, create_account, create_database, delete,
    done_or_there, drop_database, drop_repository, drop_snapshot, grantee, in_table, leave_what_a_crash_leaves,
    lifecycle, load, load_into, make_root, objects, recover, repair, segment_paths, stay_at, upload_large_file, verify,
};

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
