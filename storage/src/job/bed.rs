//! A whole store in a temporary directory, for the tests of jobs, backup and restore: a storage, a file repository, a
//! job runner, and tables of one shape that can be filled, emptied, compacted and read as plain rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use tokio::sync::Notify;

use crate::backup::{BackupObjects, BackupProperties, BackupSpec, TableSelection};
use crate::catalog::{DeleteVectorMeta, FileKind, JobRow, NewPartition, SegmentMeta};
use crate::clock::{Clock, SystemClock, SystemRandom};
use crate::error::{Error, Result};
use crate::ids::{JobId, TabletId};
use crate::job::{
    BackupRow, FailPoint, FailPoints, JobConfig, JobContext, JobFiles, JobRunner, RestoreRow, RetryPolicy,
};
use crate::repositories::{Repositories, RepositoriesConfig, RepositorySpec};
use crate::repository::{Access, Repository, RepositoryPolicy, RepositoryProperties, RequestLimits};
use crate::restore::{RestoreObjects, RestoreProperties, RestoreSelection, RestoreSpec};
use crate::roots::{StagedFile, create_file, sync_file};
use crate::schema::{
    Bound, Column, ColumnId, DataType, Distribution, PartitionBounds, PartitionKey, Partitioning, TableDefinition,
    Value,
};
use crate::segment::{DeleteVector, SegmentFormat, sort, write_segments};
use crate::storage::{Storage, StorageConfig};
use crate::tablet::{PartitionRouter, bucket_of};
use crate::testing::{column, table_of};

/// How long a machine under load may take for what is done in a moment. Waits end as soon as it is.
const PATIENCE: Duration = Duration::from_secs(180);

/// A row of the tables here.
pub(crate) type Row = (i64, String);

/// A store.
pub(crate) struct Bed {
    pub(crate) data_dir: PathBuf,
    pub(crate) storage: Arc<Storage>,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) runner: Arc<JobRunner>,
    pub(crate) failpoints: Arc<TestFailPoints>,
}

/// The database of every test.
pub(crate) const DATABASE: &str = "d";

/// The repository of every test.
pub(crate) const REPOSITORY: &str = "r";

/// Fail points that a test arms: a job that comes to one fails, or waits there until it is let go.
#[derive(Debug, Default)]
pub(crate) struct TestFailPoints {
    armed: Mutex<Vec<(FailPoint, Action)>>,
    reached: Mutex<Vec<FailPoint>>,
    news: Notify,
    go: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The step fails for good.
    Fail,
    /// The job waits there for ever, or until it is stopped.
    Wait,
}

#[async_trait]
impl FailPoints for TestFailPoints {
    async fn reach(&self, _job: JobId, point: FailPoint) -> Result<()> {
        // Before anybody sees that the place is reached: who is let go then is let go.
        let go = self.go.notified();
        self.reached.lock().push(point);
        self.news.notify_waiters();
        let action = self.armed.lock().iter().find(|(armed, _)| *armed == point).map(|(_, action)| *action);
        match action {
            None => Ok(()),
            Some(Action::Fail) => Err(Error::Internal(format!("failed on purpose at {point:?}"))),
            Some(Action::Wait) => {
                go.await;
                Ok(())
            }
        }
    }
}

impl TestFailPoints {
    pub(crate) fn arm(&self, point: FailPoint, action: Action) {
        self.armed.lock().push((point, action));
    }

    /// Jobs that come to a place from now on pass; those that wait go on waiting.
    pub(crate) fn forget(&self) {
        self.armed.lock().clear();
    }

    pub(crate) fn disarm(&self) {
        self.armed.lock().clear();
        self.go.notify_waiters();
    }

    /// Waits until a job has come to a place.
    pub(crate) async fn wait_for(&self, point: FailPoint) {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if self.reached.lock().contains(&point) {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the place is reached");
    }
}

impl Bed {
    /// A store in a directory of its own: `data` beside `repository`.
    pub(crate) async fn temporary() -> (tempfile::TempDir, Bed) {
        let dir = tempfile::tempdir().unwrap();
        let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
        (dir, bed)
    }

    /// A store in `data_dir` on `roots` storage roots with a repository in `repository_dir`.
    pub(crate) async fn open(data_dir: &Path, repository_dir: &Path, roots: usize) -> Bed {
        let bed = Bed::open_with(data_dir, roots, Arc::new(SystemClock), JobConfig::default());
        bed.add_repository(&format!("file://{}", repository_dir.display()), Access::ReadWrite).await;
        bed
    }

    /// A store without a repository.
    pub(crate) fn open_with(data_dir: &Path, roots: usize, clock: Arc<dyn Clock>, jobs: JobConfig) -> Bed {
        let mut config = StorageConfig::new(data_dir);
        config.roots = (0..roots).map(|root| data_dir.join(format!("root{root}"))).collect();
        Bed::open_as(config, clock, jobs)
    }

    /// The same with every setting.
    pub(crate) fn open_as(config: StorageConfig, clock: Arc<dyn Clock>, jobs: JobConfig) -> Bed {
        // No statement here is about how long one may take.
        let requests = RequestLimits { statement_timeout: PATIENCE, ..RequestLimits::default() };
        let policy = Arc::new(RepositoryPolicy { requests, ..RepositoryPolicy::default() });
        Bed::open_with_repositories(config, clock, jobs, RepositoriesConfig { policy, ..RepositoriesConfig::default() })
    }

    /// The same with those of repositories too.
    pub(crate) fn open_with_repositories(
        config: StorageConfig,
        clock: Arc<dyn Clock>,
        mut jobs: JobConfig,
        repositories: RepositoriesConfig,
    ) -> Bed {
        let data_dir = config.data_dir.clone();
        let storage = Storage::open(config, clock, Arc::new(SystemRandom)).expect("storage opens");
        let known = storage.catalog().read(|read| read.find_database(DATABASE)).unwrap().is_some();
        if !known {
            storage.catalog().write(|write| write.create_database(DATABASE, &BTreeMap::new())).unwrap();
        }
        let repositories = Arc::new(Repositories::open(Arc::clone(&storage), repositories).expect("repositories open"));
        let failpoints = Arc::new(TestFailPoints::default());
        jobs.failpoints = Arc::clone(&failpoints) as Arc<dyn FailPoints>;
        jobs.retry = RetryPolicy {
            attempts_max: 4,
            delay_first: Duration::from_millis(5),
            delay_max: Duration::from_millis(50),
        };
        let runner = JobRunner::start(Arc::clone(&storage), Arc::clone(&repositories), jobs).expect("jobs start");
        Bed { data_dir, storage, repositories, runner: Arc::new(runner), failpoints }
    }

    pub(crate) async fn add_repository(&self, location: &str, access: Access) {
        let none = RepositoryProperties::parse(Vec::<(String, String)>::new()).unwrap();
        self.add_repository_with(location, access, none).await;
    }

    pub(crate) async fn add_repository_with(&self, location: &str, access: Access, properties: RepositoryProperties) {
        let known = self.storage.catalog().read(|read| read.find_repository(REPOSITORY)).unwrap().is_some();
        if known {
            return;
        }
        let spec = RepositorySpec {
            name: REPOSITORY.into(),
            location: location.into(),
            access,
            broker: String::new(),
            properties,
        };
        self.repositories.create(spec).await.expect("the repository is made");
    }

    /// Ends the store as a server's end would; its directory can be opened again.
    pub(crate) async fn close(self) -> PathBuf {
        self.runner.shutdown().await;
        self.data_dir
    }

    /// What a step of a job that is nobody's works with.
    pub(crate) fn context(&self) -> JobContext {
        let id = JobId(0);
        JobContext {
            id,
            created_at_ms: self.storage.clock().now_ms(),
            timeout_ms: crate::job::DEFAULT_TIMEOUT_MS,
            storage: Arc::clone(&self.storage),
            config: Arc::default(),
            files: JobFiles::new(&self.data_dir, id),
            progress: Arc::default(),
            gate: Arc::default(),
            resumed: false,
            repositories: Arc::clone(&self.repositories),
            troubles: Arc::default(),
            unsettled: Arc::default(),
        }
    }

    /// The repository as jobs use it, with the counts of their requests.
    pub(crate) async fn repository(&self) -> Arc<Repository> {
        let row = self.repositories.find(REPOSITORY).await.unwrap().0;
        self.repositories.get(row.id).await.unwrap()
    }

    /// Makes a table partitioned by `k` at these bounds, or unpartitioned when there are none.
    pub(crate) fn create_table(&self, name: &str, bounds: &[i128], buckets: u32) {
        let partitions: Vec<NewPartition> = match bounds {
            [] => vec![partition(name, PartitionBounds::All, buckets)],
            bounds => bounds
                .windows(2)
                .enumerate()
                .map(|(number, pair)| partition(&format!("p{number}"), range(pair[0], pair[1]), buckets))
                .collect(),
        };
        let definition = definition(!bounds.is_empty(), buckets);
        self.storage.create_table(DATABASE, name, &definition, &partitions).expect("the table is made");
    }

    /// Loads rows, as one rowset a tablet.
    pub(crate) fn load(&self, table: &str, rows: &[Row]) {
        let snapshot = self.storage.table_snapshot(DATABASE, table).unwrap();
        let definition = Arc::new(snapshot.definition().clone());
        let state = snapshot.state();
        let batch = batch(&definition, rows);
        let router =
            PartitionRouter::new(&definition, state.partitions.iter().map(|part| &part.partition.bounds)).unwrap();
        let routes = router.route(&batch).unwrap();
        let buckets = state.partitions.first().map_or(1, |part| part.partition.buckets);
        let buckets = bucket_of(&[Arc::clone(batch.column(0))], buckets).unwrap();
        for (position, part) in state.partitions.iter().enumerate() {
            let mut written = Vec::new();
            for tablet in &part.tablets {
                let mine: Vec<Row> = (0..rows.len())
                    .filter(|row| routes[*row] == Some(position) && buckets[*row] == tablet.tablet.bucket)
                    .map(|row| rows[row].clone())
                    .collect();
                if !mine.is_empty() {
                    written.push((tablet.tablet.id, self.write(&definition, tablet.tablet.id, &mine)));
                }
            }
            if written.is_empty() {
                continue;
            }
            self.storage
                .catalog()
                .write(|write| {
                    let version = write.raise_visible_version(part.partition.id)?;
                    for (tablet, segments) in &written {
                        write.create_rowset(*tablet, version, segments)?;
                    }
                    Ok(())
                })
                .unwrap();
        }
    }

    /// Deletes the rows of these keys.
    pub(crate) fn delete(&self, table: &str, keys: &[i64]) {
        let snapshot = self.storage.table_snapshot(DATABASE, table).unwrap();
        for tablet in snapshot.state().partitions.iter().flat_map(|part| &part.tablets) {
            for rowset in &tablet.rowsets {
                for segment in &rowset.segments {
                    let mut deleted = snapshot
                        .delete_vector(tablet, segment)
                        .unwrap()
                        .map_or_else(RoaringBitmap::new, |old| (*old).clone());
                    let before = deleted.len();
                    for batch in snapshot.segment(tablet, segment).open(snapshot.schema()).unwrap() {
                        let batch = batch.unwrap();
                        let column = batch.rows.column(0).as_primitive::<Int64Type>();
                        for row in 0..column.len() {
                            if keys.contains(&column.value(row)) {
                                deleted.insert(batch.first_row as u32 + row as u32);
                            }
                        }
                    }
                    if deleted.len() == before {
                        continue;
                    }
                    let (bytes, digest) = DeleteVector::encode(&deleted);
                    for replica in &tablet.replicas {
                        let staging = self.storage.roots().create_staging(replica.root_id, "delete").unwrap();
                        let path = staging.join(format!("{digest}.dv"));
                        std::fs::write(&path, &bytes).unwrap();
                        let staged = StagedFile { path, digest, kind: FileKind::DeleteVector };
                        self.storage.roots().install(replica.root_id, tablet.tablet.id, &[staged]).unwrap();
                    }
                    let after = DeleteVectorMeta { digest, bytes: bytes.len() as u64, rows: deleted.len() };
                    let changed = self.storage.catalog().write(|write| {
                        write.replace_deletes(
                            tablet.tablet.id,
                            rowset.id,
                            &segment.digest,
                            segment.deletes.as_ref(),
                            &after,
                        )
                    });
                    assert!(changed.unwrap());
                }
            }
        }
    }

    /// Rewrites every tablet of a table as one rowset.
    pub(crate) fn compact(&self, table: &str) {
        let snapshot = self.storage.table_snapshot(DATABASE, table).unwrap();
        let definition = Arc::new(snapshot.definition().clone());
        for part in &snapshot.state().partitions {
            for tablet in part.tablets.iter().filter(|tablet| !tablet.rowsets.is_empty()) {
                let rows = read_tablet(&snapshot, tablet);
                let id = tablet.tablet.id;
                let segments = if rows.is_empty() { Vec::new() } else { self.write(&definition, id, &rows) };
                self.storage
                    .catalog()
                    .write(|write| {
                        for rowset in &tablet.rowsets {
                            write.delete_rowset(rowset)?;
                        }
                        if !segments.is_empty() {
                            write.create_rowset(id, part.partition.visible_version, &segments)?;
                        }
                        Ok(())
                    })
                    .unwrap();
            }
        }
    }

    /// Writes rows into a tablet's directory on every replica.
    fn write(&self, definition: &Arc<TableDefinition>, tablet: TabletId, rows: &[Row]) -> Vec<SegmentMeta> {
        let format = SegmentFormat::new(definition, self.storage.config()).unwrap();
        let replicas = self.storage.catalog().read(|read| read.replicas(tablet)).unwrap();
        let mut metas = Vec::new();
        for replica in replicas {
            let name = format!("write-{tablet}");
            let staging = self.storage.roots().create_staging(replica.root_id, &name).unwrap();
            let sorted = sort(format.sort_key(), vec![batch(definition, rows)]).unwrap();
            let written = write_segments(&format, &staging, "s", sorted, rows.len() as u64, u64::MAX).unwrap();
            let staged: Vec<StagedFile> = written
                .iter()
                .map(|segment| StagedFile {
                    path: segment.path.clone(),
                    digest: segment.meta.digest,
                    kind: FileKind::Segment,
                })
                .collect();
            self.storage.roots().install(replica.root_id, tablet, &staged).unwrap();
            self.storage.roots().remove_staging(&name).unwrap();
            metas = written.into_iter().map(|segment| segment.meta).collect();
        }
        metas
    }

    /// Every row of a table, sorted.
    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        self.rows_in(DATABASE, table)
    }

    /// Every row of a table of some database, sorted.
    pub(crate) fn rows_in(&self, database: &str, table: &str) -> Vec<Row> {
        let snapshot = self.storage.table_snapshot(database, table).unwrap();
        let tablets = snapshot.state().partitions.iter().flat_map(|part| &part.tablets);
        let mut rows: Vec<Row> = tablets.flat_map(|tablet| read_tablet(&snapshot, tablet)).collect();
        rows.sort();
        rows
    }

    pub(crate) fn has_table(&self, table: &str) -> bool {
        self.storage.table_snapshot(DATABASE, table).is_ok()
    }

    pub(crate) fn drop_table(&self, table: &str) {
        self.storage
            .catalog()
            .write(|write| {
                let database = write.database(DATABASE)?.id;
                write.drop_table(write.table(database, table)?.id)
            })
            .unwrap();
    }

    /// Submits a backup of everything and waits for its end.
    pub(crate) async fn backup(&self, label: &str) -> BackupRow {
        self.backup_of(label, BackupObjects::All).await
    }

    pub(crate) async fn backup_of(&self, label: &str, objects: BackupObjects) -> BackupRow {
        let id = self.runner.submit_backup(backup_spec(label, objects)).await.expect("the backup is accepted");
        self.ended(id).await;
        self.backup_row(id)
    }

    /// Submits a restore of everything in a label's only snapshot and waits for its end.
    pub(crate) async fn restore(&self, label: &str) -> RestoreRow {
        self.restore_of(label, RestoreObjects::All).await
    }

    pub(crate) async fn restore_of(&self, label: &str, objects: RestoreObjects) -> RestoreRow {
        let id = self.runner.submit_restore(restore_spec(label, objects)).await.expect("the restore is accepted");
        self.ended(id).await;
        self.restore_row(id)
    }

    pub(crate) async fn ended(&self, id: JobId) -> JobRow {
        let waited = tokio::time::timeout(PATIENCE, self.runner.wait(id));
        waited.await.expect("the job ends in time").unwrap().expect("the job is known")
    }

    pub(crate) fn backup_row(&self, id: JobId) -> BackupRow {
        self.runner.backup_history().unwrap().into_iter().find(|row| row.job_id == id).expect("a backup")
    }

    pub(crate) fn restore_row(&self, id: JobId) -> RestoreRow {
        self.runner.restore_history().unwrap().into_iter().find(|row| row.job_id == id).expect("a restore")
    }

    /// Errors unless the catalog and the disks hold nothing of a job that has ended.
    pub(crate) fn assert_nothing_left(&self) {
        let read =
            |look: fn(&crate::catalog::ReadTransaction<'_>) -> Result<i64>| self.storage.catalog().read(look).unwrap();
        assert_eq!(read(|read| Ok(read.pin_count()? as i64)), 0, "pins");
        for table in ["databases", "tables", "partitions"] {
            let sql = format!("SELECT count(*) FROM {table} WHERE hidden_by IS NOT NULL");
            let hidden: i64 =
                self.storage.catalog().read(|read| Ok(read.query_row(&sql, [], |row| row.get(0))?)).unwrap();
            assert_eq!(hidden, 0, "hidden {table}");
        }
        let jobs = self.data_dir.join("jobs");
        let left = std::fs::read_dir(&jobs).map_or(0, |entries| entries.count());
        assert_eq!(left, 0, "files of jobs");
        for root in self.storage.roots().all() {
            for tablet in self.storage.roots().tablets_on_disk(root.id).unwrap() {
                let known: bool = self
                    .storage
                    .catalog()
                    .read(|read| {
                        Ok(read.query_row("SELECT EXISTS (SELECT 1 FROM tablets WHERE id = ?1)", [tablet], |row| {
                            row.get(0)
                        })?)
                    })
                    .unwrap();
                assert!(known, "tablet {tablet} lies on disk and is of nobody");
            }
        }
    }
}

fn read_tablet(snapshot: &crate::TableSnapshot, tablet: &crate::catalog::TabletState) -> Vec<Row> {
    let mut rows = Vec::new();
    for segment in tablet.segments() {
        let deletes = snapshot.delete_vector(tablet, segment).unwrap();
        for batch in snapshot.segment(tablet, segment).open(snapshot.schema()).unwrap() {
            let live = batch.unwrap().live_rows(deletes.as_deref()).unwrap();
            let keys = live.column(0).as_primitive::<Int64Type>();
            let texts = live.column(1).as_string::<i32>();
            rows.extend((0..live.num_rows()).map(|row| (keys.value(row), texts.value(row).to_owned())));
        }
    }
    rows
}

/// Errors unless a backup has ended well.
#[track_caller]
pub(crate) fn assert_backed_up(row: &BackupRow) {
    assert_eq!((row.state.as_str(), row.status.to_string().as_str()), ("FINISHED", "[OK]"), "{row:?}");
}

/// Errors unless a restore has ended well.
#[track_caller]
pub(crate) fn assert_restored(row: &RestoreRow) {
    assert_eq!((row.state.as_str(), row.status.to_string().as_str()), ("FINISHED", "[OK]"), "{row:?}");
}

/// Every file below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Cuts a file short, as a store that loses the end of what it is given does.
pub(crate) fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Rows of consecutive keys.
pub(crate) fn rows(keys: std::ops::Range<i64>) -> Vec<Row> {
    keys.map(|key| (key, format!("value {key} of some length, so that files have a size"))).collect()
}

pub(crate) fn backup_spec(label: &str, objects: BackupObjects) -> BackupSpec {
    BackupSpec {
        database: DATABASE.into(),
        label: label.into(),
        repository: REPOSITORY.into(),
        objects,
        properties: BackupProperties::parse(&BTreeMap::new()).unwrap(),
    }
}

pub(crate) fn restore_spec(label: &str, objects: RestoreObjects) -> RestoreSpec {
    RestoreSpec {
        database: Some(DATABASE.into()),
        source_database: None,
        label: label.into(),
        repository: REPOSITORY.into(),
        objects,
        properties: RestoreProperties::parse(&BTreeMap::new()).unwrap(),
    }
}

pub(crate) fn some_tables(names: &[&str]) -> BackupObjects {
    let selection = |name: &&str| TableSelection { table: (*name).to_owned(), partitions: Vec::new() };
    BackupObjects::Tables(names.iter().map(selection).collect())
}

pub(crate) fn table_as(name: &str, alias: &str) -> RestoreObjects {
    RestoreObjects::Tables(vec![RestoreSelection { alias: Some(alias.into()), ..RestoreSelection::whole(name) }])
}

pub(crate) fn definition(partitioned: bool, buckets: u32) -> TableDefinition {
    let key = Column { nullable: false, ..column(1, "k", DataType::BigInt) };
    TableDefinition {
        partitioning: if partitioned {
            Partitioning::Range { columns: vec![ColumnId(1)] }
        } else {
            Partitioning::Unpartitioned
        },
        distribution: Distribution::Hash { columns: vec![ColumnId(1)] },
        buckets,
        ..table_of(vec![key, column(2, "v", DataType::Varchar { length: 100 })])
    }
}

pub(crate) fn range(lower: i128, upper: i128) -> PartitionBounds {
    let key = |value| PartitionKey(vec![Bound::Value(Value::Int(value))]);
    PartitionBounds::Range { lower: key(lower), upper: key(upper) }
}

pub(crate) fn partition(name: &str, bounds: PartitionBounds, buckets: u32) -> NewPartition {
    NewPartition { name: name.into(), bounds, buckets, replication_num: 1, properties: BTreeMap::new() }
}

pub(crate) fn batch(definition: &TableDefinition, rows: &[Row]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|(key, _)| *key));
    let texts = StringArray::from_iter_values(rows.iter().map(|(_, text)| text.as_str()));
    RecordBatch::try_new(definition.to_arrow(), vec![Arc::new(keys), Arc::new(texts)]).unwrap()
}

/// Overwrites some bytes in the middle of a file, keeping its size.
pub(crate) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::remove_file(path).unwrap();
    let mut file = create_file(path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    sync_file(&file, path).unwrap();
}
