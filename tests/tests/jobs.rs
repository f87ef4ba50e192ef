//! Goal: what BACKUP and RESTORE promise to those who work meanwhile, and what they cost.
//! Method: a proxy before a real store counts requests, slows them or holds them, so that a job stands in the middle of its
//! work while others load, query, or cancel it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::noise::noise;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// How long a job may take until it reaches the request that a rule waits for.
const SOON: Duration = Duration::from_secs(60);

/// The promise for CANCEL is two seconds, whatever is under way; a machine under load may need more. A job that waited for
/// its request instead of dropping it would need [`REQUEST_MS`].
const CANCEL_MAX: Duration = Duration::from_secs(90);

/// How long a request that stands still is waited for by the servers here, in milliseconds.
const REQUEST_MS: &str = "600000";

/// The promise for a backup without changes.
const REQUESTS_MAX: u64 = 10;

/// A server with an empty database, and a repository behind a proxy.
struct World {
    server: Server,
    client: Client,
    proxy: S3Proxy,
    bucket: Bucket,
}

impl World {
    async fn new(name: &str, weed: &Weed) -> World {
        let proxy = S3Proxy::start(&weed.endpoint());
        let bucket = proxy.bucket(&weed.bucket(name).await);
        let server = Server::configure(name)
            .env("EBLA_S3_ATTEMPT_TIMEOUT_MS", REQUEST_MS)
            .env("EBLA_S3_STALL_TIMEOUT_MS", REQUEST_MS)
            .start()
            .await;
        let mut client = server.client().await;
        client.query("CREATE DATABASE d").await;
        client.query(&bucket.create_repository("repo", "jobs")).await;
        World { server, client, proxy, bucket }
    }

    async fn create(&mut self, table: &str) {
        let columns = "(k BIGINT, v VARCHAR(65533)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1";
        self.client.query(&format!("CREATE TABLE d.{table} {columns}")).await;
    }

    /// Loads rows of consecutive keys whose values do not compress.
    async fn load(&self, table: &str, first: u64, rows: u64, value_bytes: usize) {
        let lines = (first..first + rows).map(move |key| format!("{key}\t{}\n", noise(key, value_bytes)).into_bytes());
        self.server.load("d", table, &[], Body::Chunks(Box::new(lines))).await;
    }

    async fn backup(&mut self, label: &str) {
        self.client.query(&format!("BACKUP SNAPSHOT d.{label} TO repo")).await;
        assert_finished(&wait_backup(&mut self.client, "d").await);
    }
}

#[tokio::test]
async fn a_backup_costs_what_has_changed() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("cost", &weed).await;
    world.create("t").await;
    world.load("t", 0, 50_000, 100).await;
    world.backup("full").await;
    let full = world.proxy.tally().uploaded_bytes("objects/*.parquet");

    world.proxy.reset();
    world.backup("same").await;
    let tally = world.proxy.tally();
    assert!(tally.requests() <= REQUESTS_MAX, "a backup without changes made these requests:\n{tally}");
    assert_eq!(tally.uploaded_bytes("objects/*.parquet") + tally.uploaded_bytes("trees"), 0, "{tally}");

    world.load("t", 50_000, 500, 100).await;
    world.proxy.reset();
    world.backup("more").await;
    let tally = world.proxy.tally();
    let more = tally.uploaded_bytes("objects/*.parquet") + tally.uploaded_bytes("trees");
    // One percent of the rows; a file of its own has a footer of its own.
    assert!(more * 1000 < full * 15, "{more} of {full} bytes were uploaded for 1 % more rows:\n{tally}");

    // One listing, however many snapshots there are.
    world.proxy.reset();
    assert_eq!(world.client.query("SHOW SNAPSHOT ON repo").await.rows.len(), 3);
    let tally = world.proxy.tally();
    assert_eq!((tally.requests(), tally.requests_of(Operation::ListObjectsV2)), (1, 1), "{tally}");
}

#[tokio::test]
async fn cancelling_is_prompt_in_the_middle_of_large_files() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("large", &weed).await;
    world.create("t").await;
    // More than goes up with one request.
    world.load("t", 0, 900, 40_000).await;
    let checksum = table_checksum(&mut world.client, "d.t").await;

    let stop = world.proxy.rule(Rule::new(Fault::StopAfter(100_000)).on(Operation::UploadPart).key("/objects/"));
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    stop.wait_hit(SOON).await;
    let running = world.client.query("SHOW BACKUP FROM d").await.record(0).unwrap();
    assert_eq!(running.field("State"), "UPLOADING");
    assert!(running.field("Progress").contains("total number of subtasks:1, "), "{running}");
    let start = Instant::now();
    world.client.query("CANCEL BACKUP FROM d").await;
    let job = wait_backup(&mut world.client, "d").await;
    assert!(start.elapsed() < CANCEL_MAX, "cancelling the backup took {:?}", start.elapsed());
    assert_eq!((job.field("State"), job.field("Status")), ("CANCELLED", "[COMMON_ERROR, msg: user cancelled]"));
    stop.lift();
    assert!(world.bucket.list("jobs/ebla/objects/").await.is_empty(), "a part of a file is no object");
    world.backup("s").await;

    world.client.query("DROP TABLE d.t FORCE").await;
    let stop = world.proxy.rule(Rule::new(Fault::StopAfter(100_000)).on(Operation::GetObject).key("/objects/"));
    world.client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    stop.wait_hit(SOON).await;
    let running = world.client.query("SHOW RESTORE FROM d").await.record(0).unwrap();
    assert_eq!(running.field("State"), "DOWNLOADING");
    let start = Instant::now();
    world.client.query("CANCEL RESTORE FROM d").await;
    let job = wait_restore(&mut world.client, "d").await;
    assert!(start.elapsed() < CANCEL_MAX, "cancelling the restore took {:?}", start.elapsed());
    assert_eq!(job.field("State"), "CANCELLED");
    assert_eq!(job.field("Status"), "[COMMON_ERROR, msg: user cancelled, current state: DOWNLOADING]");
    stop.lift();
    assert!(world.client.query("SHOW TABLES FROM d").await.rows.is_empty());
    world.client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    assert_finished(&wait_restore(&mut world.client, "d").await);
    assert_eq!(table_checksum(&mut world.client, "d.t").await, checksum);
}

/// What one query saw of both tables: their kinds of rows, loads left aside.
type Seen = Vec<(String, String)>;

/// Goal: while a restore runs and when it commits, a reader sees the old tables or the new ones, never a mixture, not even
/// in a query over both; a load is acknowledged and there until the table it went into is replaced, or is refused.
/// Method: readers and a loader that never pause, from before the first byte until after the end.
#[tokio::test]
async fn readers_and_loads_go_on_while_a_restore_replaces_their_tables() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("meanwhile", &weed).await;
    for table in ["t", "u"] {
        world.create(table).await;
        world.client.query(&format!("INSERT INTO d.{table} VALUES (1, 'new'), (2, 'new'), (3, 'new')")).await;
    }
    world.backup("s").await;
    for table in ["t", "u"] {
        world.client.query(&format!("DROP TABLE d.{table} FORCE")).await;
        world.create(table).await;
        world.client.query(&format!("INSERT INTO d.{table} VALUES (1, 'old'), (2, 'old')")).await;
    }

    let hold = world.proxy.rule(Rule::new(Fault::Hold).on(Operation::GetObject).key("/objects/"));
    world.client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    hold.wait_hit(SOON).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (mut client, done) = (world.server.client().await, Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            let mut seen: Seen = Vec::new();
            while !done.load(Ordering::Acquire) {
                seen.push(look(&mut client).await);
            }
            seen.push(look(&mut client).await);
            seen
        }));
    }
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::<u64>::new()));
    let loader = {
        let (mut client, done, acknowledged) =
            (world.server.client().await, Arc::clone(&done), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            for key in 100.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                match client.try_query(&format!("INSERT INTO d.t VALUES ({key}, 'load')")).await {
                    Ok(_) => acknowledged.lock().unwrap().push(key),
                    Err(error) => {
                        assert!(error.message.contains("was dropped or replaced while rows were loaded"), "{error:?}")
                    }
                }
            }
        })
    };
    let loaded = async |wanted: usize| {
        let enough = || acknowledged.lock().unwrap().len() >= wanted;
        wait_until(SOON, async || if enough() { Ok(()) } else { Err(format!("fewer than {wanted} loads")) }).await;
    };
    loaded(5).await;
    assert_eq!(world.client.value("SELECT MIN(v) FROM d.t WHERE v <> 'load'").await, "old");
    hold.lift();
    assert_finished(&wait_restore(&mut world.client, "d").await);
    let so_far = acknowledged.lock().unwrap().len();
    loaded(so_far + 5).await;
    done.store(true, Ordering::Release);
    loader.await.unwrap();

    let (old, new) = ("2 old".to_string(), "3 new".to_string());
    for reader in readers {
        let seen = reader.await.unwrap();
        let first_new = seen.iter().position(|(t, _)| *t == new).expect("the new table is seen in the end");
        assert!(first_new > 0, "the old table was seen first");
        for (position, (t, u)) in seen.iter().enumerate() {
            let expected = if position < first_new { &old } else { &new };
            assert_eq!((t, u), (expected, expected), "reading {position} of {}", seen.len());
        }
    }
    let kept = world.client.query("SELECT k FROM d.t WHERE v = 'load' ORDER BY k").await;
    let kept: Vec<u64> = kept.rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let gone = acknowledged.len() - kept.len();
    assert!(gone >= 5, "what was loaded into the old table went with it");
    assert_eq!(kept, acknowledged[gone..], "every load after the restore is there");
}

/// The rows of both tables, by one query.
async fn look(client: &mut Client) -> (String, String) {
    let kinds = |table: &str| format!("SELECT v, COUNT(*) AS c FROM d.{table} WHERE v <> 'load' GROUP BY v");
    let sql = format!(
        "SELECT 't' AS s, a.v, a.c FROM ({}) a UNION ALL SELECT 'u', b.v, b.c FROM ({}) b",
        kinds("t"),
        kinds("u")
    );
    let rows = client.query(&sql).await.rows;
    let of = |table: &str| {
        let mine = rows.iter().filter(|row| row[0].as_deref() == Some(table));
        let kinds: Vec<String> =
            mine.map(|row| format!("{} {}", row[2].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
        kinds.join(" and ")
    };
    (of("t"), of("u"))
}
