//! Goal: what BACKUP and RESTORE tell of their progress moves while bytes do, also where all of them are of one file, and
//! SHOW and information_schema tell the same.
//! Method: a proxy lets bodies through slowly; both are asked again and again until the job has ended.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::noise::noise;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::server::Server;
use ebla_tests::wait::assert_finished;
use ebla_tests::weed::Weed;

/// Bytes a second that the proxy lets through each connection.
const SLOW: u64 = 2_500_000;

/// Between two looks at a job.
const POLL: Duration = Duration::from_millis(20);

/// Figures between nothing and the total that must be seen. What goes up counts when the system takes it, which is some
/// megabytes at first and then as much as has left.
const FIGURES_MIN: usize = 5;

/// What was seen of a job.
struct Seen {
    /// Every figure of the column, in order, each once.
    figures: Vec<u64>,
    /// Every percentage that Progress had, in order, each once.
    percents: Vec<u64>,
    /// How often there was a remaining time.
    etas: usize,
}

/// Looks at the only job until it has ended.
async fn watch(client: &mut Client, table: &str, column: &str, state: &str) -> Seen {
    let mut seen = Seen { figures: Vec::new(), percents: Vec::new(), etas: 0 };
    let sql = format!(
        "SELECT STATE, {column} AS FIGURE, PROGRESS, STATUS FROM information_schema.{table} ORDER BY JOB_ID DESC LIMIT 1"
    );
    loop {
        let job = client.query(&sql).await.record(0).expect("a job was begun");
        let figure: u64 = job.field("FIGURE").parse().unwrap();
        let last = seen.figures.last().copied().unwrap_or(0);
        assert!(figure >= last, "{column} fell from {last} to {figure}");
        if seen.figures.last() != Some(&figure) {
            seen.figures.push(figure);
        }
        if job.field("STATE") == state
            && let Some(percent) = percent(job.field("PROGRESS"))
        {
            seen.etas += usize::from(job.field("PROGRESS").contains(", ETA "));
            assert!(seen.percents.last().is_none_or(|last| *last <= percent), "{:?}, {percent}", seen.percents);
            if seen.percents.last() != Some(&percent) {
                seen.percents.push(percent);
            }
        }
        if matches!(job.field("STATE"), "FINISHED" | "CANCELLED") {
            assert_eq!((job.field("STATE"), job.field("STATUS")), ("FINISHED", "[OK]"));
            return seen;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The number before `%)`.
fn percent(progress: &str) -> Option<u64> {
    progress.split_once("%)")?.0.rsplit_once('(')?.1.parse().ok()
}

impl Seen {
    #[track_caller]
    fn assert_moving(&self, total: u64) {
        assert_eq!(self.figures.last(), Some(&total), "{:?}", self.figures);
        let between = self.figures.iter().filter(|figure| **figure > 0 && **figure < total).count();
        assert!(between >= FIGURES_MIN, "{:?}", self.figures);
        assert!(self.percents.len() >= FIGURES_MIN && self.etas > 0, "{:?}, {} ETA", self.percents, self.etas);
        assert!(self.percents.iter().all(|percent| *percent <= 100), "{:?}", self.percents);
    }
}

/// A file that goes up and comes down with one request, and one that goes in parts.
#[tokio::test]
async fn progress_moves_within_one_file() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    for (name, rows) in [("whole", 400_u64), ("parts", 700)] {
        let proxy = S3Proxy::start(&weed.endpoint());
        let bucket = proxy.bucket(&weed.bucket(&format!("progress-{name}")).await);
        let server = Server::start(name).await;
        let mut client = server.client().await;
        client.query("CREATE DATABASE d").await;
        client
            .query("CREATE TABLE d.t (k BIGINT, v VARCHAR(65533)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1")
            .await;
        let lines = (0..rows).map(|key| format!("{key}\t{}\n", noise(key, 50_000)).into_bytes());
        server.load("d", "t", &[], Body::Chunks(Box::new(lines))).await;
        client.query(&bucket.create_repository("repo", "progress")).await;

        let slow = [Operation::PutObject, Operation::UploadPart, Operation::GetObject]
            .map(|operation| proxy.rule(Rule::new(Fault::Throttle(SLOW)).on(operation).key("/objects/")));
        client.query("BACKUP SNAPSHOT d.s TO repo").await;
        let seen = watch(&mut client, "backup_jobs", "BYTES_UPLOADED", "UPLOADING").await;
        let sql = "SELECT BYTES_TOTAL, FILES_TOTAL, FILES_UPLOADED FROM information_schema.backup_jobs";
        let ended = client.query(sql).await.record(0).unwrap();
        assert_eq!((ended.field("FILES_TOTAL"), ended.field("FILES_UPLOADED")), ("1", "1"));
        let total: u64 = ended.field("BYTES_TOTAL").parse().unwrap();
        assert!(total > rows * 35_000, "the file has {total} bytes");
        seen.assert_moving(total);

        client.query("DROP TABLE d.t FORCE").await;
        client.query("RESTORE SNAPSHOT d.s FROM repo").await;
        let seen = watch(&mut client, "restore_jobs", "BYTES_DOWNLOADED", "DOWNLOADING").await;
        seen.assert_moving(total);
        assert!(slow.iter().map(|rule| rule.hits()).sum::<usize>() >= 2, "nothing was slowed");
        assert_eq!(client.value("SELECT count(*) FROM d.t").await, rows.to_string());
    }
}

/// Goal: SHOW tells what information_schema tells, and what failed on its way counts once. Method: the store refuses in the
/// middle of bodies, again and again; then the job is stopped in the middle of a file, and both are asked.
#[tokio::test]
async fn what_begins_again_is_told_once() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let proxy = S3Proxy::start(&weed.endpoint());
    let bucket = proxy.bucket(&weed.bucket("progress-again").await);
    let server = Server::start("again").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client
        .query("CREATE TABLE d.t (k BIGINT, v VARCHAR(65533)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1")
        .await;
    let lines = (0..100_u64).map(|key| format!("{key}\t{}\n", noise(key, 50_000)).into_bytes());
    server.load("d", "t", &[], Body::Chunks(Box::new(lines))).await;
    client.query(&bucket.create_repository("repo", "progress")).await;

    let cut = ebla_tests::proxy::Ending::Reset;
    let up = proxy.rule(Rule::new(Fault::CutRequest(cut)).on(Operation::PutObject).key("/objects/").times(3));
    client.query("BACKUP SNAPSHOT d.s TO repo").await;
    let seen = watch(&mut client, "backup_jobs", "BYTES_UPLOADED", "UPLOADING").await;
    let total: u64 = client.value("SELECT BYTES_TOTAL FROM information_schema.backup_jobs").await.parse().unwrap();
    assert_eq!((seen.figures.last(), up.hits()), (Some(&total), 3));

    client.query("DROP TABLE d.t FORCE").await;
    let down = proxy.rule(Rule::new(Fault::CutAnswer(cut)).on(Operation::GetObject).key("/objects/").times(3));
    client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    let seen = watch(&mut client, "restore_jobs", "BYTES_DOWNLOADED", "DOWNLOADING").await;
    assert_eq!((seen.figures.last(), down.hits()), (Some(&total), 3));

    client.query("DROP TABLE d.t FORCE").await;
    let stop = proxy.rule(Rule::new(Fault::StopAfter(1_000_000)).on(Operation::GetObject).key("/objects/"));
    client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    stop.wait_hit(Duration::from_secs(120)).await;
    let sql = "SELECT BYTES_DOWNLOADED AS FIGURE FROM information_schema.restore_jobs ORDER BY JOB_ID DESC LIMIT 1";
    let client = tokio::sync::Mutex::new(&mut client);
    ebla_tests::wait::wait_until(Duration::from_secs(120), async || {
        let mut client = client.lock().await;
        let figure: u64 = client.value(sql).await.parse().unwrap();
        let shown = client.query("SHOW RESTORE FROM d").await.record(0).unwrap();
        let percent = percent(shown.field("Progress"));
        // It stands still there, so that both are of one moment.
        let told = figure > 900_000 && figure < total && percent == Some(figure * 100 / total);
        if told { Ok(()) } else { Err(format!("{figure} of {total}\n{shown}")) }
    })
    .await;
    let client = client.into_inner();
    client.query("CANCEL RESTORE FROM d").await;
    let job = ebla_tests::wait::wait_restore(client, "d").await;
    assert_eq!(job.field("State"), "CANCELLED");
    let figure: u64 = client.value(sql).await.parse().unwrap();
    assert!(figure > 900_000 && figure < total, "a job that was stopped tells what it has moved: {figure} of {total}");
    stop.lift();
    client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    assert_finished(&ebla_tests::wait::wait_restore(client, "d").await);
}
