//! Goal: a collection takes nothing that a backup of another server needs, however the two come to meet in one repository.
//! Method: two servers before one real store. First each is held still at the request at which they meet, by a proxy, and told
//! to go on after the other has come to its own; then both work as fast as they can, and what is listed in the end is restored
//! and compared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ebla_tests::client::{Client, Record};
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// For what takes a moment, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long a collection leaves alone what nothing names.
const GRACE: Duration = Duration::from_secs(1);

/// Backups beside a collection that never rests.
const ROUNDS: u32 = 16;

/// States of the table, which come again, so that a backup needs what has become garbage meanwhile.
const STATES: u32 = 3;

const CREATE_TABLE: &str = "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) \
                            DISTRIBUTED BY HASH(id) BUCKETS 2 PROPERTIES (\"replication_num\" = \"1\")";

/// A server that does nothing by itself, with the repository `r` seen through a proxy of its own.
struct Side {
    _server: Server,
    client: Client,
    proxy: S3Proxy,
}

impl Side {
    async fn new(name: &str, bucket: &Bucket) -> Side {
        let proxy = S3Proxy::start(&bucket.endpoint);
        let server = Server::configure(name)
            .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
            .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
            .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "0")
            .start()
            .await;
        let mut client = server.client().await;
        client.query(&proxy.bucket(bucket).create_repository("r", "p")).await;
        Side { _server: server, client, proxy }
    }

    async fn back_up(&mut self, label: &str) {
        self.client.query(&format!("BACKUP SNAPSHOT d.{label} TO r")).await;
        assert_finished(&wait_backup(&mut self.client, "d").await);
    }

    async fn restore(&mut self, database: &str, label: &str) -> u64 {
        let properties = "PROPERTIES (\"replication_num\" = \"1\")";
        self.client.query(&format!("RESTORE SNAPSHOT {database}.{label} FROM r {properties}")).await;
        assert_finished(&wait_restore(&mut self.client, database).await);
        table_checksum(&mut self.client, &format!("{database}.t")).await
    }

    async fn collect(&mut self) -> Record {
        self.client.query("ADMIN CLEAN REPOSITORY r").await.record(0).unwrap()
    }

    /// Turns until what nobody needs is older than the grace, and marked. Returns how much it is.
    async fn mark(&mut self) -> u64 {
        wait_until(PATIENCE, async || {
            let turn = self.collect().await;
            let marked: u64 = turn.field("MarkedObjects").parse().unwrap();
            if marked > 0 { Ok(marked) } else { Err(turn.to_string()) }
        })
        .await
    }

    /// Turns until everything has been swept that is marked.
    async fn collect_all(&mut self) {
        wait_until(PATIENCE, async || {
            let turn = self.collect().await;
            let idle = turn.field("MarkedObjects") == "0" && turn.field("Notes").is_empty();
            if idle { Ok(()) } else { Err(turn.to_string()) }
        })
        .await;
    }
}

fn rows(state: u32) -> String {
    let first = state * 1_000;
    (first..first + 50).map(|id| format!("({id}, 'name {id}')")).collect::<Vec<_>>().join(", ")
}

/// `here` has a snapshot `first`; `there` has its table, so a backup of `there` needs what `first` consists of.
async fn two_sides(name: &str, bucket: &Bucket) -> (Side, Side, u64) {
    let (mut here, mut there) =
        (Side::new(&format!("{name}-one"), bucket).await, Side::new(&format!("{name}-two"), bucket).await);
    here.client.query("CREATE DATABASE d").await;
    here.client.query(CREATE_TABLE).await;
    here.client.query(&format!("INSERT INTO d.t VALUES {}", rows(0))).await;
    here.back_up("first").await;
    let sum = there.restore("d", "first").await;
    (here, there, sum)
}

#[tokio::test]
async fn a_backup_that_stands_still_before_its_end() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("race-backup").await;
    let (mut here, mut there, sum) = two_sides("race-backup", &bucket).await;
    // It has found everything there, and only its commit object is to come.
    let held = there.proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/snapshots/"));
    there.client.query("BACKUP SNAPSHOT d.second TO r").await;
    held.wait_hit(PATIENCE).await;
    here.client.query("DROP SNAPSHOT first ON r").await;
    // All that the dropped snapshot consisted of is marked, and is not swept.
    let marked = here.mark().await;
    assert!(marked >= 3, "segments and nodes: {marked}");
    wait_until(PATIENCE, async || {
        let turn = here.collect().await;
        assert_eq!(turn.field("RemovedObjects"), "0", "{turn}");
        if turn.field("Notes").contains("waits for the backup 'second'") { Ok(()) } else { Err(turn.to_string()) }
    })
    .await;
    held.lift();
    assert_finished(&wait_backup(&mut there.client, "d").await);
    here.collect_all().await;
    assert_eq!(here.restore("back", "second").await, sum);
}

#[tokio::test]
async fn a_collection_that_stands_still_before_its_first_removal() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("race-sweep").await;
    let (mut here, mut there, sum) = two_sides("race-sweep", &bucket).await;
    here.client.query("DROP SNAPSHOT first ON r").await;
    here.mark().await;
    let held = here.proxy.rule(Rule::new(Fault::Hold).on(Operation::DeleteObject).key("ebla/objects/"));
    let swept = AtomicBool::new(false);
    let sweeping = async {
        here.collect_all().await;
        swept.store(true, Ordering::Relaxed);
    };
    let backing_up = async {
        held.wait_hit(PATIENCE).await;
        // What the backup needs is being removed. It waits, and puts again what is gone.
        there.client.query("BACKUP SNAPSHOT d.second TO r").await;
        wait_until(PATIENCE, async || {
            let job = there.client.query("SHOW BACKUP FROM d").await.record(0).unwrap().to_string();
            if job.contains("waiting for the collection of garbage under mark") { Ok(()) } else { Err(job) }
        })
        .await;
        assert!(!swept.load(Ordering::Relaxed));
        held.lift();
        assert_finished(&wait_backup(&mut there.client, "d").await);
    };
    tokio::join!(sweeping, backing_up);
    here.collect_all().await;
    assert_eq!(here.restore("back", "second").await, sum);
}

#[tokio::test]
async fn backups_beside_a_collection_that_never_rests() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("race").await;
    let (mut here, mut there, _) = two_sides("race", &bucket).await;
    let over = AtomicBool::new(false);
    let collecting = async {
        let (mut removed, mut turns) = (0_u64, 0_u64);
        while !over.load(Ordering::Relaxed) {
            let turn = here.collect().await;
            removed += turn.field("RemovedObjects").parse::<u64>().unwrap();
            turns += 1;
        }
        (here, removed, turns)
    };
    let backing_up = async {
        let mut sums = BTreeMap::new();
        for round in 0..ROUNDS {
            there.client.query(&format!("INSERT OVERWRITE d.t VALUES {}", rows(round % STATES))).await;
            sums.insert(format!("s{round}"), table_checksum(&mut there.client, "d.t").await);
            there.back_up(&format!("s{round}")).await;
            // The state of two rounds ago is nobody's any more, and comes again in the next round.
            if let Some(old) = round.checked_sub(2) {
                there.client.query(&format!("DROP SNAPSHOT s{old} ON r")).await;
                sums.remove(&format!("s{old}"));
            }
            // So long that a mark may be swept: now and then, before the state comes again.
            if round % 4 == 3 {
                tokio::time::sleep(2 * GRACE).await;
            }
        }
        over.store(true, Ordering::Relaxed);
        sums
    };
    let ((mut here, removed, turns), sums) = tokio::join!(collecting, backing_up);
    assert!(removed > 0 && turns > u64::from(ROUNDS), "{removed} objects in {turns} turns");
    println!("{removed} objects were removed in {turns} turns beside {ROUNDS} backups");
    here.collect_all().await;
    for (label, sum) in sums {
        assert_eq!(here.restore(&format!("back_{label}"), &label).await, sum, "{label}");
    }
}
