//! Goal: a repository that does not answer holds nobody but those who want the same label of it, and what only one may
//! have still goes to one. Method: a store that takes connections and says nothing, until it is told to speak; statements
//! wait an hour for it, so whoever is answered meanwhile has not waited, whatever the machine's load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::JobRunner;
use crate::backup::{BackupObjects, BackupProperties, BackupSpec};
use crate::clock::SystemClock;
use crate::error::Result;
use crate::ids::JobId;
use crate::job::bed::{Action, Bed, REPOSITORY, backup_spec, definition, partition, restore_spec};
use crate::job::{FailPoint, JobConfig};
use crate::lifecycle::{DropSpec, Lifecycle, LifecycleConfig, SnapshotChoice};
use crate::repositories::{RepositoriesConfig, RepositorySpec};
use crate::repository::store::tests::servers::{ACCESS_KEY, SECRET_KEY, SilentS3, s3_properties};
use crate::repository::{Access, RepositoryPolicy, RepositoryProperties, RequestLimits};
use crate::restore::{RestoreObjects, RestoreSpec};
use crate::schema::PartitionBounds;
use crate::storage::StorageConfig;
use crate::verify::{VerifyProperties, VerifySpec};

/// How long statements wait for a store here.
const STATEMENT: Duration = Duration::from_secs(3_600);

/// How long a machine under load may take for what nobody holds up.
const SOON: Duration = Duration::from_secs(180);

/// The repository that falls silent.
const SILENT: &str = "silent";

/// The second database.
const OTHER: &str = "e";

struct Ground {
    bed: Arc<Bed>,
    store: SilentS3,
    _dir: TempDir,
}

impl Ground {
    /// Two databases with a table each, a repository in a directory, and one in a store that can fall silent.
    async fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let requests = RequestLimits {
            statement_timeout: STATEMENT,
            connect_timeout: STATEMENT,
            attempt_timeout: STATEMENT,
            ..RequestLimits::default()
        };
        let policy = RepositoryPolicy { requests, ..RepositoryPolicy::default() };
        let repositories = RepositoriesConfig { policy: Arc::new(policy), ..RepositoriesConfig::default() };
        let config = StorageConfig::new(dir.path().join("data"));
        let bed = Bed::open_with_repositories(config, Arc::new(SystemClock), JobConfig::default(), repositories);
        bed.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadWrite).await;
        bed.create_table("t", &[], 1);
        bed.storage.catalog().write(|write| write.create_database(OTHER, &BTreeMap::new())).unwrap();
        let whole = [partition("u", PartitionBounds::All, 1)];
        bed.storage.create_table(OTHER, "u", &definition(false, 1), &whole).unwrap();
        let store = SilentS3::start().await;
        let ground = Ground { bed: Arc::new(bed), store, _dir: dir };
        ground.create(SILENT).await.unwrap();
        ground
    }

    async fn create(&self, name: &str) -> Result<()> {
        self.create_at(name, name).await
    }

    async fn create_at(&self, name: &str, prefix: &str) -> Result<()> {
        let spec = RepositorySpec {
            name: name.into(),
            location: format!("s3://bucket/{prefix}"),
            access: Access::ReadWrite,
            broker: String::new(),
            properties: s3_properties(&self.store.endpoint(), ACCESS_KEY, SECRET_KEY),
        };
        self.bed.repositories.create(spec).await.map(drop)
    }

    fn backup(&self, database: &str, label: &str, repository: &str) -> JoinHandle<Result<JobId>> {
        let spec = BackupSpec {
            database: database.into(),
            repository: repository.into(),
            ..backup_spec(label, BackupObjects::All)
        };
        let bed = Arc::clone(&self.bed);
        tokio::spawn(async move { bed.runner.submit_backup(spec).await })
    }

    /// Jobs and the lifecycle that asks them, over the same catalog.
    fn lifecycle(&self) -> (Arc<JobRunner>, Arc<Lifecycle>) {
        self.lifecycle_with(LifecycleConfig::default())
    }

    fn lifecycle_with(&self, lifecycle: LifecycleConfig) -> (Arc<JobRunner>, Arc<Lifecycle>) {
        let bed = &self.bed;
        let (storage, repositories) = (Arc::clone(&bed.storage), Arc::clone(&bed.repositories));
        let config = JobConfig { failpoints: Arc::clone(&bed.failpoints) as _, ..JobConfig::default() };
        let jobs = Arc::new(JobRunner::start(Arc::clone(&storage), Arc::clone(&repositories), config).unwrap());
        let lifecycle = Lifecycle::new(storage, repositories, Arc::clone(&jobs), lifecycle);
        (jobs, lifecycle)
    }

    /// The identity of the silent repository.
    async fn silent_id(&self) -> String {
        self.bed.repositories.find(SILENT).await.unwrap().0.identity
    }
}

fn verify_of(repository: &str) -> VerifySpec {
    let properties = VerifyProperties::parse(&BTreeMap::new()).unwrap();
    VerifySpec { repository: repository.into(), snapshot: None, properties }
}

/// DROP SNAPSHOT … WHERE SNAPSHOT = label.
fn drop_snapshot(lifecycle: &Arc<Lifecycle>, repository: &str, label: &str) -> JoinHandle<Result<usize>> {
    let lifecycle = Arc::clone(lifecycle);
    let labels = vec![label.to_owned()];
    let choice = SnapshotChoice::Where { labels, timestamp: None, not_before: None, not_after: None };
    let spec = DropSpec { repository: repository.into(), choice, force: false };
    tokio::spawn(async move { lifecycle.drop_snapshots(&spec).await })
}

/// What a submission is answered, which nobody holds up.
async fn answer<T>(submission: JoinHandle<T>) -> T {
    tokio::time::timeout(SOON, submission).await.expect("it is answered").unwrap()
}

/// Waits until so many have a turn at a label of the silent repository, or wait for one.
async fn wait_for_takers(ground: &Ground, label: &str, number: usize) {
    let id = ground.silent_id().await;
    let waiting = async {
        while ground.bed.runner.takers(&id, label) < number {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("they come to the turn");
}

/// A backup to the silent repository holds neither the other repository nor the database; it comes too late for that.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_silent_repository_waits_alone() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    ground.store.fall_silent();
    let held = ground.backup("d", "x", SILENT);
    ground.store.wait_for_connections(1).await;
    // Statements of every kind that ask the silent one, beside it.
    let others = [
        ground.backup(OTHER, "y", SILENT),
        tokio::spawn({
            let spec = RestoreSpec { repository: SILENT.into(), ..restore_spec("z", RestoreObjects::All) };
            let bed = Arc::clone(bed);
            async move { bed.runner.submit_restore(spec).await }
        }),
        tokio::spawn({
            let bed = Arc::clone(bed);
            let change = vec![("aws.s3.enable_path_style_access".to_owned(), "true".to_owned())];
            async move { bed.repositories.alter(SILENT, change).await.map(|()| JobId(0)) }
        }),
        tokio::spawn({
            let bed = Arc::clone(bed);
            async move { bed.runner.submit_verify(verify_of(SILENT)).await }
        }),
    ];
    ground.store.wait_for_connections(5).await;

    // The same database, the same label, the other repository.
    bed.failpoints.arm(FailPoint::StepBegins("SNAPSHOTING"), Action::Wait);
    let first = answer(ground.backup("d", "x", REPOSITORY)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::StepBegins("SNAPSHOTING")).await;
    let verified = bed.runner.submit_verify(verify_of(REPOSITORY));
    let verified = tokio::time::timeout(SOON, verified).await.unwrap().unwrap();
    assert_eq!(bed.ended(verified).await.state, "FINISHED");
    let alter = bed.repositories.alter(REPOSITORY, vec![("aws.s3.region".to_owned(), "here-1".to_owned())]);
    let altered = tokio::time::timeout(SOON, alter).await.expect("it is answered");
    assert!(altered.is_ok() || altered.unwrap_err().to_string().contains("aws.s3.region"));
    assert!(!held.is_finished() && others.iter().all(|other| !other.is_finished()), "the silent one still waits");

    ground.store.speak();
    let error = answer(held).await.unwrap_err().to_string();
    assert!(error.starts_with("Can only run one backup or restore job of a database at same time"), "{error}");
    let [backup, restore, alter, verify] = others;
    assert!(answer(backup).await.is_ok());
    assert!(answer(restore).await.is_err(), "there is no such snapshot");
    answer(alter).await.unwrap();
    let verified = answer(verify).await.unwrap();
    assert_eq!(bed.ended(verified).await.state, "FINISHED");
    bed.failpoints.disarm();
    assert_eq!(bed.ended(first).await.state, "FINISHED");
}

/// A job gives a request up after half a minute, and its error comes back after several of those; it says before that what
/// it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_that_its_repository_is_silent() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    let place = FailPoint::StepBegins("VERIFYING");
    bed.failpoints.arm(place, Action::Wait);
    let id = bed.runner.submit_verify(verify_of(SILENT)).await.unwrap();
    bed.failpoints.wait_for(place).await;
    ground.store.fall_silent();
    bed.failpoints.disarm();
    let told = async {
        loop {
            let row = bed.runner.verify_rows(Some(SILENT)).unwrap().remove(0);
            assert_eq!(row.state, "VERIFYING");
            if !row.task_errors.is_empty() {
                return row.task_errors;
            }
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(SOON, told).await.expect("it is told");
    let begin = format!("[{id}: look at the repository: no answer for ");
    assert!(told.starts_with(&begin) && told.ends_with(" s, waiting for one]"), "{told}");
    ground.store.speak();
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    assert_eq!(bed.runner.verify_rows(Some(SILENT)).unwrap().remove(0).task_errors, "");
}

/// A collection in the silent repository holds none in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_waits_for_its_own_repository_alone() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    let jobs = super::JobRunner::start(Arc::clone(&bed.storage), Arc::clone(&bed.repositories), JobConfig::default());
    let lifecycle = Lifecycle::new(
        Arc::clone(&bed.storage),
        Arc::clone(&bed.repositories),
        Arc::new(jobs.unwrap()),
        LifecycleConfig::default(),
    );
    ground.store.fall_silent();
    let held = tokio::spawn({
        let lifecycle = Arc::clone(&lifecycle);
        async move { lifecycle.collect(SILENT).await.map(drop) }
    });
    ground.store.wait_for_connections(1).await;
    tokio::time::timeout(SOON, lifecycle.collect(REPOSITORY)).await.expect("it is not held").unwrap();
    assert!(!held.is_finished());
    held.abort();
    lifecycle.shutdown().await;
}

/// Nor does the end of a snapshot in another wait for one that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_waits_for_its_own_repository_alone() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    ground.store.fall_silent();
    let expiry_interval = Duration::from_millis(20);
    let (_jobs, lifecycle) = ground.lifecycle_with(LifecycleConfig { expiry_interval, ..LifecycleConfig::default() });
    lifecycle.start_background();
    ground.store.wait_for_connections(1).await;

    let ttl = BTreeMap::from([("ttl".to_owned(), "1 SECOND".to_owned())]);
    let properties = BackupProperties::parse(&ttl).unwrap();
    let spec = BackupSpec { properties, ..backup_spec("x", BackupObjects::All) };
    let id = bed.runner.submit_backup(spec).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    let repository = bed.repository().await;
    let gone = async {
        while !repository.list_snapshots().await.unwrap().snapshots.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it expires");
    lifecycle.shutdown().await;
}

/// A repository that is dropped while a backup to it is being submitted: nobody is told a number, and no job begins that has
/// nowhere to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_to_a_repository_that_is_dropped_meanwhile() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    ground.store.fall_silent();
    let submitted = ground.backup("d", "x", SILENT);
    ground.store.wait_for_connections(1).await;
    let (row, _) = bed.repositories.find(SILENT).await.unwrap();
    bed.storage.catalog().write(|write| write.drop_repository(row.id)).unwrap();
    ground.store.speak();
    let early = bed.repositories.get(row.id).await.unwrap_err();
    for error in [answer(submitted).await.unwrap_err(), early] {
        let said = "the repository was dropped meanwhile: create it again, or use another, and run the statement again";
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(bed.storage.catalog().read(|read| read.running_jobs()).unwrap().len(), 0);
}

/// Of two backups of one label, of different databases, one comes to be; while both ask the repository nobody knows which.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_goes_to_one_of_two() {
    let ground = Ground::new().await;
    ground.store.fall_silent();
    let first = ground.backup("d", "x", SILENT);
    ground.store.wait_for_connections(1).await;
    let second = ground.backup(OTHER, "x", SILENT);
    wait_for_takers(&ground, "x", 2).await;
    ground.store.speak();
    let id = answer(first).await.unwrap();
    let error = answer(second).await.unwrap_err().to_string();
    assert_eq!(error, "Snapshot with name 'x' already exist in repository");
    assert_eq!(ground.bed.ended(id).await.state, "FINISHED");
}

/// Who looks for a job that is in the way, and finds none, asks the repository; of two who do so in one moment the late one is
/// told which job is, also when they know the repository by different names.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_by_a_moment_is_told_what_runs() {
    const AGAIN: &str = "again";
    fn verify(ground: &Ground, name: &'static str) -> JoinHandle<Result<JobId>> {
        let bed = Arc::clone(&ground.bed);
        tokio::spawn(async move { bed.runner.submit_verify(verify_of(name)).await })
    }
    let of_repository = "Can only run one verify job of a repository at same time. Running: job";
    for other in [SILENT, AGAIN] {
        let ground = Ground::new().await;
        ground.create_at(AGAIN, SILENT).await.unwrap();
        let both = || [verify(&ground, SILENT), verify(&ground, other)];
        late_by_a_moment(&ground, "VERIFYING", both, of_repository).await;
    }
    let ground = Ground::new().await;
    let both = || ["x", "y"].map(|label| ground.backup("d", label, SILENT));
    let of_database = "Can only run one backup or restore job of a database at same time. Running: label";
    late_by_a_moment(&ground, "SNAPSHOTING", both, of_database).await;
}

/// Submits two jobs that may not run beside each other, holds both in the silent repository, and whichever begins at its step.
async fn late_by_a_moment(
    ground: &Ground,
    step: &'static str,
    submit: impl FnOnce() -> [JoinHandle<Result<JobId>>; 2],
    words: &str,
) {
    ground.bed.failpoints.arm(FailPoint::StepBegins(step), Action::Wait);
    ground.store.fall_silent();
    let [one, other] = submit();
    ground.store.wait_for_connections(2).await;
    ground.store.speak();
    let (id, error) = match (answer(one).await, answer(other).await) {
        (Ok(id), Err(error)) | (Err(error), Ok(id)) => (id, error.to_string()),
        both => panic!("one begins: {both:?}"),
    };
    assert!(error.starts_with(words) && error.contains(", state "), "{error}");
    ground.bed.failpoints.disarm();
    assert_eq!(ground.bed.ended(id).await.state, "FINISHED");
}

/// No restore begins of what is being dropped, and nothing is dropped that a restore has begun to look at.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_dropped_or_restored() {
    let ground = Ground::new().await;
    let bed = &ground.bed;
    let made = answer(ground.backup("d", "x", SILENT)).await.unwrap();
    assert_eq!(bed.ended(made).await.state, "FINISHED");
    let (jobs, lifecycle) = ground.lifecycle();
    let drop_x = || drop_snapshot(&lifecycle, SILENT, "x");
    let restore = || {
        let jobs = Arc::clone(&jobs);
        let spec = RestoreSpec { repository: SILENT.into(), ..restore_spec("x", RestoreObjects::All) };
        tokio::spawn(async move { jobs.submit_restore(spec).await })
    };
    let id = ground.silent_id().await;

    // A restore that has its turn and waits for the store; the drop comes when it has become a job.
    let turn = jobs.turn_beside_others(&id, "x").await.unwrap();
    let dropping = drop_x();
    let waiting = async {
        while jobs.takers(&id, "x") < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("the drop waits for its turn");
    assert!(!dropping.is_finished());
    drop(turn);
    assert_eq!(answer(dropping).await.unwrap(), 1);
    assert!(answer(restore()).await.is_err(), "it is gone");

    let made = answer(ground.backup("d", "x", SILENT)).await.unwrap();
    assert_eq!(bed.ended(made).await.state, "FINISHED");
    bed.failpoints.arm(FailPoint::StepBegins("DOWNLOAD"), Action::Wait);
    let restored = answer(restore()).await.unwrap();
    bed.failpoints.wait_for(FailPoint::StepBegins("DOWNLOAD")).await;
    let error = answer(drop_x()).await.unwrap_err().to_string();
    assert_eq!(error, "Can not drop snapshot x: a restore is reading it");
    let turn = jobs.turn_alone(&id, "x").await.unwrap();
    let late = restore();
    let waiting = async {
        while jobs.takers(&id, "x") < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("the restore waits for its turn");
    assert!(!late.is_finished(), "nobody restores what is being dropped");
    drop(turn);
    let error = answer(late).await.unwrap_err().to_string();
    assert!(error.starts_with("Can only run one backup or restore job of a database at same time"), "{error}");
    bed.failpoints.disarm();
    assert_eq!(jobs.wait(restored).await.unwrap().unwrap().state, "FINISHED");
}

/// Nothing is dropped while a job reads it, whatever name of the repository each of them uses, nor below a verification of
/// the whole repository.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_read_is_dropped_under_no_name() {
    const AGAIN: &str = "again";
    let ground = Ground::new().await;
    let bed = &ground.bed;
    let (jobs, lifecycle) = ground.lifecycle();
    let location = bed.repositories.find(REPOSITORY).await.unwrap().0.location;
    let properties = RepositoryProperties::parse(Vec::<(String, String)>::new()).unwrap();
    let spec =
        RepositorySpec { name: AGAIN.into(), location, access: Access::ReadWrite, broker: String::new(), properties };
    bed.repositories.create(spec).await.unwrap();
    let made = answer(ground.backup("d", "x", REPOSITORY)).await.unwrap();
    assert_eq!(bed.ended(made).await.state, "FINISHED");

    bed.failpoints.arm(FailPoint::StepBegins("DOWNLOAD"), Action::Wait);
    let restored = jobs.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::StepBegins("DOWNLOAD")).await;
    for name in [REPOSITORY, AGAIN] {
        let error = answer(drop_snapshot(&lifecycle, name, "x")).await.unwrap_err().to_string();
        assert_eq!(error, "Can not drop snapshot x: a restore is reading it", "{name}");
    }
    bed.failpoints.disarm();
    assert_eq!(jobs.wait(restored).await.unwrap().unwrap().state, "FINISHED");

    bed.failpoints.arm(FailPoint::StepBegins("VERIFYING"), Action::Wait);
    let whole = |repository: &str| VerifySpec {
        repository: repository.into(),
        snapshot: None,
        properties: VerifyProperties::parse(&BTreeMap::new()).unwrap(),
    };
    let verified = jobs.submit_verify(whole(AGAIN)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::StepBegins("VERIFYING")).await;
    for name in [REPOSITORY, AGAIN] {
        let error = answer(drop_snapshot(&lifecycle, name, "x")).await.unwrap_err().to_string();
        assert_eq!(error, "Can not drop snapshot x: a verify is reading it", "{name}");
    }
    let error = jobs.submit_verify(whole(REPOSITORY)).await.unwrap_err().to_string();
    assert!(error.starts_with("Can only run one verify job of a repository at same time"), "{error}");
    bed.failpoints.disarm();
    assert_eq!(jobs.wait(verified).await.unwrap().unwrap().state, "FINISHED");
    assert_eq!(answer(drop_snapshot(&lifecycle, AGAIN, "x")).await.unwrap(), 1);
}
