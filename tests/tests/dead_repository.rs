//! Goal: a repository whose store has stopped answering is told of in time to everybody who asks it, however many do at once, and
//! holds nobody who asks another one. Method: one store, reached straight and through a proxy that holds requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::{Duration, Instant};

use ebla_tests::client::{Client, SqlError};
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use tokio::task::JoinHandle;

/// How long a machine under load may take for what nobody holds up.
const SOON: Duration = Duration::from_secs(60);

/// The longest that can be set: whoever is answered while others wait for this has not waited for it himself.
const LONG_MS: &str = "120000";

/// Requests that all jobs together have in flight.
const REQUESTS_IN_FLIGHT: usize = 16;

/// How long statements wait where it is measured.
const SHORT_MS: &str = "4000";

/// Who waits for a second turn of that, behind others who wait, takes twice as long.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(7_900);

/// Clients that ask at once.
const CLIENTS: usize = 20;

/// Two databases, and two repositories that each have a snapshot `s` of the first: `dead`, through the proxy, and `well`.
struct World {
    server: Server,
    client: Client,
    proxy: S3Proxy,
    /// The bucket behind the proxy.
    dead: Bucket,
    timestamp: String,
    _store: S3sFs,
}

impl World {
    async fn new(name: &str, statement_timeout_ms: &str) -> World {
        let store = S3sFs::start();
        let bucket = store.bucket(name).await;
        let proxy = S3Proxy::start(&bucket.endpoint);
        let dead = proxy.bucket(&bucket);
        let server = Server::configure(name)
            .env("EBLA_S3_STATEMENT_TIMEOUT_MS", statement_timeout_ms)
            // A request of a job is not given up while a test runs, nor is what it holds.
            .env("EBLA_S3_ATTEMPT_TIMEOUT_MS", LONG_MS)
            .start()
            .await;
        let mut client = server.client().await;
        for database in ["d", "e"] {
            client.query(&format!("CREATE DATABASE {database}")).await;
            let table = format!("CREATE TABLE {database}.t (k INT) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1");
            client.query(&table).await;
            client.query(&format!("INSERT INTO {database}.t VALUES (1), (2)")).await;
        }
        client.query(&bucket.create_repository("well", "well")).await;
        client.query(&dead.create_repository("dead", "dead")).await;
        for repository in ["well", "dead"] {
            client.query(&format!("BACKUP SNAPSHOT d.s TO {repository}")).await;
            assert_finished(&wait_backup(&mut client, "d").await);
        }
        let snapshots = client.query("SHOW SNAPSHOT ON dead WHERE SNAPSHOT = 's'").await;
        let timestamp = snapshots.record(0).unwrap().field("Timestamp").to_string();
        World { server, client, proxy, dead, timestamp, _store: store }
    }

    /// Statements of every kind that ask the dead repository, one of each.
    fn askers(&self) -> Vec<String> {
        let timestamp = &self.timestamp;
        vec![
            self.dead.create_repository("other", "other"),
            "ALTER REPOSITORY dead PROPERTIES (\"aws.s3.enable_path_style_access\" = \"true\")".to_string(),
            "BACKUP SNAPSHOT e.x TO dead".to_string(),
            format!("RESTORE SNAPSHOT e.s FROM dead PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")"),
            "RESTORE SNAPSHOT e.s FROM dead".to_string(),
            "VERIFY SNAPSHOT s ON dead".to_string(),
            format!("VERIFY SNAPSHOT s ON dead PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")"),
            "VERIFY REPOSITORY dead".to_string(),
            "ADMIN CLEAN REPOSITORY dead".to_string(),
            "SHOW SNAPSHOT ON dead".to_string(),
            format!("SHOW SNAPSHOT ON dead WHERE SNAPSHOT = 's' AND TIMESTAMP = '{timestamp}'"),
            "DROP SNAPSHOT ON dead WHERE SNAPSHOT = 's'".to_string(),
        ]
    }

    /// Asks on a connection of its own; gives the refusal, and how long it took.
    async fn ask(&self, statement: &str) -> JoinHandle<(SqlError, Duration)> {
        let (mut client, statement) = (self.server.client().await, statement.to_string());
        tokio::spawn(async move {
            let start = Instant::now();
            let error = client.refused(&statement).await;
            (error, start.elapsed())
        })
    }
}

#[tokio::test]
async fn who_asks_another_repository_does_not_wait() {
    let mut world = World::new("another", LONG_MS).await;
    let hold = world.proxy.rule(Rule::new(Fault::Hold));
    let mut waiting = Vec::new();
    for statement in world.askers() {
        waiting.push(world.ask(&statement).await);
    }
    let all = waiting.len();
    wait_until(SOON, async || if hold.hits() >= all { Ok(()) } else { Err(format!("{} requests", hold.hits())) }).await;

    let client = &mut world.client;
    client.query("BACKUP SNAPSHOT e.x TO well").await;
    assert_finished(&wait_backup(client, "e").await);
    client.query("RESTORE SNAPSHOT e.s FROM well").await;
    assert_finished(&wait_restore(client, "e").await);
    client.query("VERIFY SNAPSHOT s ON well").await;
    client.query("ALTER REPOSITORY well PROPERTIES (\"aws.s3.enable_path_style_access\" = \"true\")").await;
    assert_eq!(client.query("SHOW SNAPSHOT ON well").await.rows.len(), 2);
    client.query("DROP SNAPSHOT x ON well").await;
    assert_eq!(client.query("SHOW SNAPSHOT ON well").await.column("Snapshot"), ["s"]);
    // What is told of the dead one without asking it.
    assert_eq!(client.query("SHOW REPOSITORIES").await.rows.len(), 2);
    client.query("SHOW CREATE REPOSITORY FOR dead").await;
    for statement in ["SHOW BACKUP", "SHOW RESTORE", "SHOW VERIFY", "SHOW VERIFY ON dead"] {
        client.query(statement).await;
    }
    assert!(waiting.iter().all(|asked| !asked.is_finished()), "they wait for the dead one all the time");
    waiting.iter().for_each(JoinHandle::abort);
    hold.lift();
}

/// More files than there are requests in flight, all of them on their way to the dead repository for good.
#[tokio::test]
async fn its_jobs_do_not_hold_those_of_another() {
    let mut world = World::new("starved", LONG_MS).await;
    let client = &mut world.client;
    let table = "CREATE TABLE e.wide (k INT) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 48 PROPERTIES \
                 (\"replication_num\" = \"1\")";
    client.query(table).await;
    let rows: Vec<String> = (0..2_000).map(|k| format!("({k})")).collect();
    client.query(&format!("INSERT INTO e.wide VALUES {}", rows.join(", "))).await;
    let hold = world.proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/objects/"));
    client.query("BACKUP SNAPSHOT e.wide_dead TO dead").await;
    let all = REQUESTS_IN_FLIGHT;
    wait_until(SOON, async || if hold.hits() >= all { Ok(()) } else { Err(format!("{} requests", hold.hits())) }).await;

    client.query("BACKUP SNAPSHOT d.well TO well").await;
    assert_finished(&wait_backup(client, "d").await);
    client.query("RESTORE SNAPSHOT copy.well FROM well").await;
    assert_finished(&wait_restore(client, "copy").await);
    client.query("VERIFY REPOSITORY well").await;
    wait_until(SOON, async || {
        let state = client.query("SHOW VERIFY ON well").await.column("State").concat();
        if state == "FINISHED" { Ok(()) } else { Err(state) }
    })
    .await;
    let shown = client.query("SHOW BACKUP FROM e").await;
    let job = shown.record(0).unwrap();
    assert_eq!(job.field("State"), "UPLOADING");
    wait_until(SOON, async || {
        let shown = client.query("SHOW BACKUP FROM e").await;
        let told = shown.record(0).unwrap().field("TaskErrMsg").to_string();
        if told.contains(": no answer for ") { Ok(()) } else { Err(told) }
    })
    .await;
    hold.lift();
    assert_finished(&wait_backup(client, "e").await);
}

#[tokio::test]
async fn whoever_asks_it_is_told_in_time_however_many_ask() {
    let world = World::new("many", SHORT_MS).await;
    let _hold = world.proxy.rule(Rule::new(Fault::Hold));
    for statement in ["SHOW SNAPSHOT ON dead".to_string(), world.dead.create_repository("other", "other")] {
        let mut waiting = Vec::new();
        for _ in 0..CLIENTS {
            waiting.push((statement.clone(), world.ask(&statement).await));
        }
        told_in_time(waiting).await;
    }
    let mut waiting = Vec::new();
    for statement in world.askers().into_iter().cycle().take(CLIENTS) {
        waiting.push((statement.clone(), world.ask(&statement).await));
    }
    told_in_time(waiting).await;
    assert_eq!(world.server.client().await.value("SELECT count(*) FROM d.t").await, "2");
}

async fn told_in_time(waiting: Vec<(String, JoinHandle<(SqlError, Duration)>)>) {
    for (statement, asked) in waiting {
        let (error, took) = asked.await.unwrap();
        assert!(took < ANSWER_TIME_MAX, "{statement} took {took:?}: {error}");
        // Of those who want the same, one asks.
        let known = ["no answer in time", "is being submitted. Please wait", "is under way. Please wait"];
        assert!(known.iter().any(|text| error.message.contains(text)), "{statement}: {error}");
    }
}
