//! Goal: what the server has acknowledged survives the loss of its process, and a job goes on where it was.
//! Method: SIGKILL at a moment that is held still, by a proxy before the store or by the server itself, whose jobs stay at
//! the place that a variable of the environment names; restart on the same data directory, look.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::proxy::{Fault, Operation, Rule, RuleHandle, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

const ROWS: usize = 20_000;

/// How long a job may take until it reaches the request that a rule waits for.
const SOON: Duration = Duration::from_secs(60);

/// The promise for CANCEL is two seconds, whatever is under way; a machine under load may need more. A job that waited for
/// its request instead of dropping it would need [`REQUEST_MS`].
const CANCEL_MAX: Duration = Duration::from_secs(90);

/// How long a request that stands still is waited for by the servers here, in milliseconds.
const REQUEST_MS: &str = "600000";

/// Names the place at which a server's jobs stay.
const STAY_AT: &str = "EBLA_TEST_STOP_JOB_AT";

/// What the server's log says when a job stays there.
const STAYS: &str = "job stays at a place";

/// Every place of a backup: the state that SHOW BACKUP tells there, and whether the cut is still to be taken (again).
const BACKUP_PLACES: [(&str, &str, bool); 10] = [
    ("StepBegins(\"PENDING\")", "PENDING", true),
    ("StepBegins(\"SNAPSHOTING\")", "SNAPSHOTING", true),
    ("BackupPinned", "SNAPSHOTING", true),
    ("StepBegins(\"UPLOAD_SNAPSHOT\")", "UPLOAD_SNAPSHOT", false),
    ("StepBegins(\"UPLOADING\")", "UPLOADING", false),
    ("BackupFileUploaded", "UPLOADING", false),
    ("StepBegins(\"SAVE_META\")", "SAVE_META", false),
    ("StepBegins(\"UPLOAD_INFO\")", "UPLOAD_INFO", false),
    ("BackupBeforeCommit", "UPLOAD_INFO", false),
    ("BackupAfterCommit", "UPLOAD_INFO", false),
];

/// Every place of a restore: the state that SHOW RESTORE tells there, and whether the old table still answers.
const RESTORE_PLACES: [(&str, &str, bool); 11] = [
    ("StepBegins(\"PENDING\")", "PENDING", true),
    ("RestorePlanned", "PENDING", true),
    ("StepBegins(\"SNAPSHOTING\")", "SNAPSHOTING", true),
    ("RestoreHidden", "SNAPSHOTING", true),
    ("StepBegins(\"DOWNLOAD\")", "DOWNLOAD", true),
    ("StepBegins(\"DOWNLOADING\")", "DOWNLOADING", true),
    ("RestoreFileFetched", "DOWNLOADING", true),
    ("StepBegins(\"COMMIT\")", "COMMIT", true),
    ("StepBegins(\"COMMITTING\")", "COMMITTING", true),
    ("RestoreBeforeCommit", "COMMITTING", true),
    ("RestoreAfterCommit", "FINISHED", false),
];

/// A server with one table of a few tablets, and a repository behind a proxy.
struct World {
    server: Server,
    client: Client,
    proxy: S3Proxy,
    bucket: Bucket,
    checksum: u64,
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
        client
            .query("CREATE TABLE d.t (k BIGINT, v VARCHAR(100)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 4")
            .await;
        let rows = (0..ROWS).map(|k| format!("{k}\trow {k} of {ROWS}\n").into_bytes());
        server.load("d", "t", &[], Body::Chunks(Box::new(rows))).await;
        client.query(&bucket.create_repository("repo", "crash")).await;
        let checksum = table_checksum(&mut client, "d.t").await;
        World { server, client, proxy, bucket, checksum }
    }

    /// Kills the server once the rule has struck, and starts it again with the rule lifted.
    async fn kill_when(&mut self, rule: &RuleHandle) {
        rule.wait_hit(SOON).await;
        self.server.kill9();
        rule.lift();
        self.server.restart().await;
        self.client = self.server.client().await;
    }

    /// Starts the server again, so that its jobs stay at a place; at none when the name is empty.
    async fn restart_staying_at(&mut self, place: &str) {
        self.server.restart_with(|server| server.env(STAY_AT, place)).await;
        self.client = self.server.client().await;
    }

    /// Submits a job and waits until it stays at the place.
    async fn submit_and_stay(&mut self, statement: &str) {
        let stays = |server: &Server| server.process().log().matches(STAYS).count();
        let before = stays(&self.server);
        self.client.query(statement).await;
        wait_until(SOON, async || if stays(&self.server) > before { Ok(()) } else { Err("no job stays".into()) }).await;
    }

    /// An empty table like the first one, without anything of it.
    async fn new_table(&mut self) {
        self.client.query("DROP TABLE IF EXISTS d.t FORCE").await;
        self.client
            .query("CREATE TABLE d.t (k BIGINT, v VARCHAR(100)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 4")
            .await;
    }

    async fn restores(&mut self, label: &str) {
        self.client.query("DROP TABLE d.t FORCE").await;
        self.client
            .query(&format!("RESTORE SNAPSHOT d.{label} FROM repo PROPERTIES (\"replication_num\" = \"1\")"))
            .await;
        assert_finished(&wait_restore(&mut self.client, "d").await);
        assert_eq!(table_checksum(&mut self.client, "d.t").await, self.checksum);
    }
}

#[tokio::test]
async fn acknowledged_loads_survive_a_kill() {
    let mut server = Server::start("loads").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query("CREATE TABLE d.t (k BIGINT, v VARCHAR(20)) DISTRIBUTED BY HASH(k) BUCKETS 2").await;
    for round in 0..3 {
        client.query(&format!("INSERT INTO d.t VALUES ({round}, 'inserted')")).await;
        let body = Body::Bytes(format!("{round}\tloaded\n").into_bytes());
        server.load("d", "t", &[("label", &format!("round-{round}"))], body).await;
        server.kill9();
        server.restart().await;
        client = server.client().await;
        assert_eq!(client.value("SELECT COUNT(*) FROM d.t").await, (2 * (round + 1)).to_string());
        // The label is taken, also after the kill.
        let body = Body::Bytes(b"0\tagain\n".to_vec());
        let again = server.stream_load("d", "t", &[("label", &format!("round-{round}"))], body).await;
        assert_eq!(again["Status"], "Label Already Exists", "{again:#}");
    }
    server.terminate().await;
    server.restart().await;
    assert_eq!(server.client().await.value("SELECT COUNT(*) FROM d.t").await, "6");
}

#[tokio::test]
async fn a_backup_killed_at_any_write_goes_on_after_the_restart() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    for (label, class) in [("segments", "/objects/"), ("trees", "/trees/"), ("commit", "/snapshots/")] {
        let mut world = World::new(label, &weed).await;
        let hold = world.proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key(class));
        world.client.query(&format!("BACKUP SNAPSHOT d.{label} TO repo")).await;
        world.kill_when(&hold).await;
        assert_finished(&wait_backup(&mut world.client, "d").await);
        world.restores(label).await;
        let commits = world.bucket.list("crash/ebla/snapshots/").await;
        assert_eq!(commits.len(), 1, "{commits:?}");
    }
}

#[tokio::test]
async fn a_restore_killed_while_downloading_goes_on_and_the_old_data_answers_until_then() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("download", &weed).await;
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    assert_finished(&wait_backup(&mut world.client, "d").await);
    // Other rows under the same name, so that nothing of the snapshot is at hand.
    world.new_table().await;
    world.client.query("INSERT INTO d.t VALUES (-1, 'old')").await;

    let hold = world.proxy.rule(Rule::new(Fault::Hold).on(Operation::GetObject).key("/objects/"));
    world.client.query("RESTORE SNAPSHOT d.s FROM repo PROPERTIES (\"replication_num\" = \"1\")").await;
    hold.wait_hit(SOON).await;
    assert_eq!(world.client.value("SELECT v FROM d.t").await, "old");
    world.kill_when(&hold).await;
    assert_finished(&wait_restore(&mut world.client, "d").await);
    assert_eq!(table_checksum(&mut world.client, "d.t").await, world.checksum);
}

/// Each round loads a row while the job stays at its place: the load is acknowledged, so it must be there afterwards, and
/// the snapshot holds it only where its cut came later.
#[tokio::test]
async fn a_backup_killed_in_every_state_is_finished_by_the_next_process() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("states", &weed).await;
    for (round, (place, state, cut_to_come)) in BACKUP_PLACES.into_iter().enumerate() {
        world.restart_staying_at(place).await;
        world.client.query(&format!("INSERT INTO d.t VALUES (-1, 'before {round}')")).await;
        let before = table_checksum(&mut world.client, "d.t").await;
        world.submit_and_stay(&format!("BACKUP SNAPSHOT d.l{round} TO repo")).await;
        assert_eq!(world.client.query("SHOW BACKUP FROM d").await.record(0).unwrap().field("State"), state, "{place}");
        world.client.query(&format!("INSERT INTO d.t VALUES (-2, 'meanwhile {round}')")).await;
        let after = table_checksum(&mut world.client, "d.t").await;

        world.server.kill9();
        world.restart_staying_at("").await;
        assert_finished(&wait_backup(&mut world.client, "d").await);
        assert_eq!(table_checksum(&mut world.client, "d.t").await, after, "{place}: an acknowledged load is lost");
        assert_eq!(world.bucket.list(&format!("crash/ebla/snapshots/l{round}/")).await.len(), 1, "{place}");
        world.client.query(&format!("RESTORE SNAPSHOT l{round} FROM repo DATABASE d AS copy")).await;
        assert_finished(&wait_restore(&mut world.client, "copy").await);
        let expected = if cut_to_come { after } else { before };
        assert_eq!(table_checksum(&mut world.client, "copy.t").await, expected, "{place}");
        world.client.query("DROP DATABASE copy FORCE").await;
    }
}

/// Each round restores over a table with one old row, which answers until the moment everything changes hands.
#[tokio::test]
async fn a_restore_killed_in_every_state_is_finished_by_the_next_process() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("restores", &weed).await;
    world.client.query("BACKUP SNAPSHOT d.s TO repo ON (t)").await;
    assert_finished(&wait_backup(&mut world.client, "d").await);
    world.client.query("CREATE TABLE d.other (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1").await;
    for (round, (place, state, old_answers)) in RESTORE_PLACES.into_iter().enumerate() {
        world.restart_staying_at(place).await;
        world.new_table().await;
        world.client.query("INSERT INTO d.t VALUES (-1, 'old')").await;
        world.submit_and_stay("RESTORE SNAPSHOT d.s FROM repo ON (t)").await;
        assert_eq!(world.client.query("SHOW RESTORE FROM d").await.record(0).unwrap().field("State"), state, "{place}");
        let count = world.client.value("SELECT COUNT(*) FROM d.t").await;
        assert_eq!(count, if old_answers { "1".to_string() } else { ROWS.to_string() }, "{place}");
        world.client.query(&format!("INSERT INTO d.other VALUES ({round})")).await;

        world.server.kill9();
        world.restart_staying_at("").await;
        assert_finished(&wait_restore(&mut world.client, "d").await);
        assert_eq!(table_checksum(&mut world.client, "d.t").await, world.checksum, "{place}");
        assert_eq!(world.client.value("SELECT COUNT(*) FROM d.other").await, (round + 1).to_string(), "{place}");
    }
}

#[tokio::test]
async fn cancelling_is_prompt_in_the_middle_of_an_upload_and_leaves_no_snapshot() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let mut world = World::new("cancel", &weed).await;
    let stop = world.proxy.rule(Rule::new(Fault::StopAfter(0)).on(Operation::PutObject).key("/objects/"));
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    stop.wait_hit(SOON).await;
    let start = Instant::now();
    world.client.query("CANCEL BACKUP FROM d").await;
    let job = wait_backup(&mut world.client, "d").await;
    assert!(start.elapsed() < CANCEL_MAX, "cancelling took {:?}", start.elapsed());
    assert_eq!((job.field("State"), job.field("Status")), ("CANCELLED", "[COMMON_ERROR, msg: user cancelled]"));
    stop.lift();
    // What stands under its name is a fence, which keeps a commit object from coming late.
    assert!(world.client.query("SHOW SNAPSHOT ON repo").await.record(0).is_none());
    // The label is free again, and nothing of the cancelled one is in the way.
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    assert_finished(&wait_backup(&mut world.client, "d").await);
    world.restores("s").await;
}
