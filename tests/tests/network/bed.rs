//! Two servers before one store: `source` has the tables and backs them up, `target` has none and restores. Each lane of
//! cells has tables of its own, whose bytes no other lane has, so that no file is found on the target already.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ebla_tests::client::{Client, Record};
use ebla_tests::http::Body;
use ebla_tests::proxy::S3Proxy;
use ebla_tests::s3::Bucket;
use ebla_tests::server::{Server, ServerBuilder};
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::assert_finished;
use ebla_tests::weed::Weed;
use rand::SeedableRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;

use crate::site::Before;

/// `s3_attempts_max` of the servers.
pub const S3_ATTEMPTS: u64 = 2;

/// `job_attempts_max` of the servers.
pub const JOB_ATTEMPTS: u64 = 3;

/// The limits of the servers: short, so that what fails fails soon, and long enough for a busy machine.
const LIMITS: [(&str, &str); 7] = [
    ("EBLA_S3_STATEMENT_TIMEOUT_MS", "6000"),
    ("EBLA_S3_ATTEMPT_TIMEOUT_MS", "4000"),
    ("EBLA_S3_STALL_TIMEOUT_MS", "2000"),
    ("EBLA_S3_BYTES_PER_SECOND_MIN", "2097152"),
    ("EBLA_S3_ATTEMPTS_MAX", "2"),
    ("EBLA_JOB_ATTEMPTS_MAX", "3"),
    ("EBLA_JOB_PAUSE_MAX_MS", "300"),
];

/// What none of these limits lets a job exceed: three times two attempts of four seconds and what lies between, for each of
/// the few requests that a fault can befall one after the other; and a busy machine.
const JOB_MAX: Duration = Duration::from_secs(180);

/// For how long a collection leaves alone what nothing names; it collects when it is told to.
pub const GRACE: Duration = Duration::from_secs(1);

/// Between two looks at a job.
const POLL: Duration = Duration::from_millis(60);

/// Of which tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// Files of some ten kilobytes.
    Small,
    /// One file that goes up in parts.
    Large,
}

/// The servers.
pub struct Bed {
    pub source: Server,
    pub target: Server,
    pub seed: u64,
    bucket: Bucket,
    counter: AtomicU64,
    _weed: Arc<Weed>,
}

/// One after the other, cells are played in a lane.
pub struct Lane {
    pub source: Client,
    pub target: Client,
    index: usize,
    size: Size,
    databases: HashMap<&'static str, Database>,
    /// Databases on the target that are there for the moment.
    pub passing: Vec<String>,
    /// Timestamp of the snapshot `s` of this lane's tables, below [`Lane::kept`].
    pub timestamp: String,
}

/// A database of the source.
#[derive(Debug, Clone)]
pub struct Database {
    pub name: String,
    tables: Vec<String>,
    checksums: Vec<u64>,
}

impl Bed {
    pub async fn new(weed: Arc<Weed>, seed: u64) -> Bed {
        let bucket = weed.bucket("network").await;
        let (source, target) = tokio::join!(limited("network-source").start(), limited("network-target").start());
        Bed { source, target, seed, bucket, counter: AtomicU64::new(0), _weed: weed }
    }

    /// A number for names, new each time.
    pub fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// A liar before the store, which tells the truth until it is given a rule; and the bucket through it. Of one name it
    /// always lies in the same way.
    pub fn liar(&self, name: &str) -> (S3Proxy, Bucket) {
        let mut hasher = DefaultHasher::new();
        (self.seed, name).hash(&mut hasher);
        let proxy = S3Proxy::seeded(&self.bucket.endpoint, hasher.finish());
        let bucket = proxy.bucket(&self.bucket);
        (proxy, bucket)
    }

    /// Whether a commit object of the label `s` lies below this prefix. What fences a backup that was given up is none.
    pub async fn is_published(&self, prefix: &str) -> bool {
        for object in self.bucket.list(&format!("{prefix}/ebla/snapshots/s/")).await {
            if String::from_utf8_lossy(&self.bucket.get(&object.key).await).contains("\"tables\"") {
                return true;
            }
        }
        false
    }

    /// The bucket itself.
    pub fn direct(&self) -> &Bucket {
        &self.bucket
    }
}

fn limited(name: &str) -> ServerBuilder {
    let builder = Server::configure(name)
        .env("EBLA_MAX_CONCURRENT_JOBS", "32")
        .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
        .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
        .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "0");
    LIMITS.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

impl Lane {
    pub async fn new(bed: &Bed, index: usize, size: Size) -> Lane {
        let (source, target) = (bed.source.client().await, bed.target.client().await);
        let databases = HashMap::new();
        let (passing, timestamp) = (Vec::new(), String::new());
        let mut lane = Lane { source, target, index, size, databases, passing, timestamp };
        let database = lane.database(bed, Before::Nothing).await;
        let kept = lane.kept();
        lane.source.query(&bed.direct().create_repository(&kept, &kept)).await;
        // The second is one whose commit object an answer to another request can be of.
        for label in ["s", "other"] {
            lane.source.query(&format!("BACKUP SNAPSHOT {}.{label} TO {kept}", database.name)).await;
            assert_finished(&backup_end(&mut lane.source, &database.name).await);
        }
        let shown = lane.source.query(&format!("SHOW SNAPSHOT ON {kept} WHERE SNAPSHOT = 's'")).await;
        lane.timestamp = shown.record(0).unwrap().field("Timestamp").to_string();
        lane
    }

    /// Prefix and name of the repository that holds this lane's tables.
    pub fn kept(&self) -> String {
        format!("kept{}", self.index)
    }

    /// The database that fits what is to be found in the repository; made when it is first asked for.
    pub async fn database(&mut self, bed: &Bed, before: Before) -> Database {
        let kind = match (self.size, before) {
            (Size::Large, _) => "large",
            (Size::Small, Before::ManyFiles) => "many",
            (Size::Small, Before::Parent) => "grows",
            (Size::Small, _) => "small",
        };
        if let Some(database) = self.databases.get(kind) {
            return database.clone();
        }
        let name = format!("{kind}{}", self.index);
        self.source.query(&format!("CREATE DATABASE {name}")).await;
        // Table, buckets, rows, letters of a value.
        let tables: &[(&str, u32, u64, usize)] = match kind {
            "large" => &[("t", 1, 440, 52_000)],
            "many" => &[("t", 16, 400, 40)],
            "grows" => &[("t", 1, 40, 400)],
            _ => &[("t", 2, 200, 500), ("u", 1, 20, 400)],
        };
        let mut database = Database { name: name.clone(), tables: Vec::new(), checksums: Vec::new() };
        for (table, buckets, rows, letters) in tables {
            let columns = "(k BIGINT, v VARCHAR(65533)) DUPLICATE KEY (k)";
            let create = format!("CREATE TABLE {name}.{table} {columns} DISTRIBUTED BY HASH(k) BUCKETS {buckets}");
            self.source.query(&create).await;
            load(bed, &name, table, (self.index as u64) << 32, *rows, *letters).await;
            database.tables.push((*table).to_string());
        }
        database.checksums = database.look(&mut self.source, &name).await;
        self.databases.insert(kind, database.clone());
        database
    }

    /// Changes a database, so that its next backup has something new.
    pub async fn grow(&mut self, bed: &Bed, database: &Database) -> Database {
        let key = 1_000_000 + bed.number();
        self.source.query(&format!("INSERT INTO {}.t VALUES ({key}, 'row {key}')", database.name)).await;
        let mut grown = database.clone();
        grown.checksums = grown.look(&mut self.source, &database.name).await;
        self.databases.insert("grows", grown.clone());
        grown
    }

    /// Restores a snapshot past the liar into an empty database, and compares it with what was backed up.
    pub async fn verify(&mut self, bed: &Bed, database: &Database, prefix: &str, label: &str) {
        self.verify_one(bed, database, prefix, label, "").await;
    }

    /// The same for a label of which there are several; the property says which.
    pub async fn verify_one(&mut self, bed: &Bed, database: &Database, prefix: &str, label: &str, property: &str) {
        let number = bed.number();
        let (repository, name) = (format!("v{number}"), format!("v{number}"));
        let create = bed.direct().create_repository(&repository, prefix).replacen("CREATE", "CREATE READ ONLY", 1);
        self.target.query(&create).await;
        self.passing.push(name.clone());
        self.target.query(&format!("RESTORE SNAPSHOT {name}.{label} FROM {repository}{property}")).await;
        let job = restore_end(&mut self.target, &name).await;
        assert!(job.field("State") == "FINISHED", "a snapshot that is listed does not restore:\n{job}");
        let id = job.field("JobId");
        let linked = format!("SELECT BYTES_LINKED FROM information_schema.restore_jobs WHERE JOB_ID = {id}");
        assert_eq!(self.target.value(&linked).await, "0", "every byte must come from the store");
        assert_eq!(database.look(&mut self.target, &name).await, database.checksums, "a snapshot holds something else");
        self.drop_passing().await;
        self.target.query(&format!("DROP REPOSITORY {repository}")).await;
    }

    /// Drops what was restored: its files would be found by the next restore.
    pub async fn drop_passing(&mut self) {
        for name in std::mem::take(&mut self.passing) {
            self.target.query(&format!("DROP DATABASE IF EXISTS {name} FORCE")).await;
        }
    }

    /// Ends what a cell that went wrong has left running.
    pub async fn tidy(&mut self, bed: &Bed) {
        (self.source, self.target) = (bed.source.client().await, bed.target.client().await);
        // What does not run, or is too far, is refused.
        for database in self.databases.clone().into_values() {
            let _ = self.source.try_query(&format!("CANCEL BACKUP FROM {}", database.name)).await;
        }
        for name in std::mem::take(&mut self.passing) {
            let _ = self.target.try_query(&format!("CANCEL RESTORE FROM {name}")).await;
            let _ = self.target.try_query(&format!("DROP DATABASE IF EXISTS {name} FORCE")).await;
        }
    }
}

impl Database {
    /// Checksums of its tables, as they are in the database of this name.
    async fn look(&self, client: &mut Client, name: &str) -> Vec<u64> {
        let mut checksums = Vec::new();
        for table in &self.tables {
            checksums.push(table_checksum(client, &format!("{name}.{table}")).await);
        }
        checksums
    }

    /// Checks that the database of this name has what was backed up.
    pub async fn assert_same(&self, client: &mut Client, name: &str) {
        assert_eq!(self.look(client, name).await, self.checksums, "what was restored is something else");
    }
}

/// Loads rows with random values, which do not compress.
async fn load(bed: &Bed, database: &str, table: &str, first: u64, rows: u64, letters: usize) {
    let mut dice = StdRng::seed_from_u64(first ^ letters as u64);
    let lines = (first..first + rows)
        .map(move |key| format!("{key}\t{}\n", Alphanumeric.sample_string(&mut dice, letters)).into_bytes());
    bed.source.load(database, table, &[], Body::Chunks(Box::new(lines))).await;
}

/// Waits until the last backup of the database has ended.
pub async fn backup_end(client: &mut Client, database: &str) -> Record {
    job_end(client, &format!("SHOW BACKUP FROM {database}")).await
}

/// Waits until the last restore of the database has ended.
pub async fn restore_end(client: &mut Client, database: &str) -> Record {
    job_end(client, &format!("SHOW RESTORE FROM {database}")).await
}

async fn job_end(client: &mut Client, show: &str) -> Record {
    let start = Instant::now();
    loop {
        let job = client.query(show).await.record(0).unwrap_or_else(|| panic!("{show} is empty"));
        if matches!(job.field("State"), "FINISHED" | "CANCELLED") {
            return job;
        }
        assert!(start.elapsed() < JOB_MAX, "the job hangs:\n{job}");
        tokio::time::sleep(POLL).await;
    }
}
