//! Goal: VERIFY tells what is wrong with a repository and who needs it, at every depth, and the next BACKUP puts back what
//! is still here.
//! Method: a person at the `mariadb` client, a server and a SeaweedFS; between two statements objects are deleted, cut,
//! flipped and swapped in the bucket. Then the server is killed while it verifies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::cli::Cli;
use ebla_tests::client::{Client, Record};
use ebla_tests::golden;
use ebla_tests::golden::Normaliser;
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// How long a job may take until it comes to the place at which it stays.
const SOON: Duration = Duration::from_secs(120);

struct Person {
    cli: Cli,
    client: Client,
    bucket: Bucket,
    normaliser: Normaliser,
}

impl Person {
    async fn types(&self, script: &str) -> String {
        // `\G` ends a statement as well as a semicolon does.
        let end = if script.ends_with("\\G") { "\n" } else { ";\n" };
        self.normaliser.apply(&self.cli.transcript(&format!("{script}{end}")).await)
    }

    async fn backup(&mut self, label: &str) {
        self.client.query(&format!("BACKUP SNAPSHOT d.{label} TO repo")).await;
        assert_finished(&wait_backup(&mut self.client, "d").await);
    }

    /// Verifies and waits; gives the row of SHOW VERIFY.
    async fn verify(&mut self, statement: &str) -> Record {
        self.client.query(statement).await;
        last_verify(&mut self.client).await
    }

    /// Keys of the segments, in their order.
    async fn segments(&self) -> Vec<String> {
        let keys = self.bucket.list("jobs/ebla/objects/").await.into_iter().map(|object| object.key);
        keys.filter(|key| key.ends_with(".parquet")).collect()
    }
}

/// Waits until the last verification has ended.
async fn last_verify(client: &mut Client) -> Record {
    wait_until(JOB_PATIENCE, async || {
        let rows = client.query("SHOW VERIFY").await;
        let last = rows.rows.len().checked_sub(1).and_then(|last| rows.record(last));
        let Some(job) = last else { return Err("SHOW VERIFY is empty".to_owned()) };
        let ended = matches!(job.field("State"), "FINISHED" | "CANCELLED");
        if ended { Ok(job) } else { Err(job.to_string()) }
    })
    .await
}

/// Two tables of four tablets each, so that every object has another size and place.
async fn fill(client: &mut Client) {
    client.query("CREATE DATABASE d").await;
    for (table, rows) in [("t", 400), ("u", 40)] {
        let columns = "(k BIGINT, v VARCHAR(100)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 4";
        client.query(&format!("CREATE TABLE d.{table} {columns}")).await;
        let values: Vec<String> = (0..rows).map(|k| format!("({k}, 'row {k} of {rows}')")).collect();
        client.query(&format!("INSERT INTO d.{table} VALUES {}", values.join(", "))).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_at_every_depth_and_put_back() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let server = Server::start("verify").await;
    let bucket = weed.bucket("verify").await;
    let Some(cli) = server.cli() else {
        return;
    };
    let mut client = server.client().await;
    fill(&mut client).await;
    client.query(&bucket.create_repository("repo", "jobs")).await;
    let normaliser = ["JobId", "JOB_ID", "BytesChecked", "UnreferencedBytes"]
        .into_iter()
        .fold(Normaliser::new(), |normaliser, column| normaliser.column(column, "N"));
    let mut person = Person { cli, client, bucket, normaliser };
    person.backup("s").await;
    let before = (table_checksum(&mut person.client, "d.t").await, table_checksum(&mut person.client, "d.u").await);

    person.verify("VERIFY SNAPSHOT s ON repo").await;
    golden!("verify/1_whole", person.types("SHOW VERIFY\\G").await);

    // Deleted, cut, flipped, and two that have changed places.
    let keys = person.segments().await;
    let [missing, short, flipped, left, right, ..] = keys.as_slice() else { panic!("{keys:?}") };
    let names: Vec<String> = keys.iter().map(|key| key.trim_start_matches("jobs/").to_owned()).collect();
    person.bucket.delete(missing).await;
    let bytes = person.bucket.get(short).await;
    person.bucket.put(short, &bytes[..bytes.len() / 2]).await;
    let mut bytes = person.bucket.get(flipped).await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    person.bucket.put(flipped, &bytes).await;
    let (one, other) = (person.bucket.get(left).await, person.bucket.get(right).await);
    person.bucket.put(left, &other).await;
    person.bucket.put(right, &one).await;
    let swapped_as_long = u64::from(one.len() == other.len()) * 2;

    for (depth, errors) in [("exists", 1), ("length", 4 - swapped_as_long), ("digest", 5), ("rows", 5)] {
        for what in ["SNAPSHOT s ON repo", "REPOSITORY repo"] {
            let job = person.verify(&format!("VERIFY {what} PROPERTIES (\"depth\" = \"{depth}\")")).await;
            assert_eq!(job.field("State"), "FINISHED", "{job}");
            assert_eq!(job.field("Errors"), errors.to_string(), "{what} {depth}\n{job}");
            assert!(job.field("Status").starts_with("[BAD_FILE, msg: "), "{job}");
        }
    }
    let found = person
        .client
        .query(
            "SELECT OBJECT_KEY, PROBLEM, SNAPSHOTS, NEEDED_BY, HELD_BY FROM information_schema.verify_findings \
             WHERE JOB_ID = (SELECT MAX(JOB_ID) FROM information_schema.verify_jobs) ORDER BY OBJECT_KEY",
        )
        .await;
    assert_eq!(found.column("OBJECT_KEY"), names[..5]);
    assert_eq!(found.column("PROBLEM")[..3], ["missing", "length", "digest"]);
    assert!(found.column("SNAPSHOTS").iter().all(|snapshots| *snapshots == "1"), "{found:?}");
    assert!(found.column("NEEDED_BY").iter().all(|needs| needs.starts_with("s (20")), "{found:?}");
    assert!(found.column("HELD_BY").iter().all(|table| ["d.t", "d.u"].contains(table)), "{found:?}");
    golden!(
        "verify/2_damaged",
        person.types("SELECT SNAPSHOT_NAME, DEPTH, STATE, ERRORS, STATUS FROM information_schema.verify_jobs WHERE DEPTH = 'rows'").await
    );

    // Who looks at the list of snapshots is told, too.
    for which in ["", " WHERE SNAPSHOT = 's'"] {
        let shown = person.client.query(&format!("SHOW SNAPSHOT ON repo{which}")).await.record(0).unwrap();
        let status = shown.field("Status");
        assert!(status.starts_with("ERROR: VERIFY job "), "{shown}");
        assert!(
            status.contains(&format!("found that 5 of its objects are missing or damaged: {} (missing)", names[0]))
        );
        assert!(status.ends_with("VERIFY SNAPSHOT s ON repo looks again"), "{shown}");
        let one = format!("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = 's' AND TIMESTAMP = '{}'", shown.field("Timestamp"));
        let one = person.client.query(&one).await.record(0).unwrap();
        assert_eq!((one.field("Status"), one.field("Database")), (status, "d"), "{one}");
    }

    // Nothing has changed here, so the parent has all of it; the backup puts it again all the same.
    person.backup("again").await;
    let job = person.verify("VERIFY REPOSITORY repo PROPERTIES (\"depth\" = \"rows\")").await;
    assert_eq!((job.field("Errors"), job.field("Status")), ("0", "[OK]"), "{job}");
    assert_eq!(job.field("Mended"), "4", "all but the missing one are beside the damaged ones: {job}");
    let shown = person.client.query("SHOW SNAPSHOT ON repo").await;
    assert_eq!(shown.column("Status"), ["OK", "OK"], "{shown}");
    for label in ["s", "again"] {
        person.client.query("DROP TABLE d.t FORCE").await;
        person.client.query("DROP TABLE d.u FORCE").await;
        person.client.query(&format!("RESTORE SNAPSHOT d.{label} FROM repo")).await;
        assert_finished(&wait_restore(&mut person.client, "d").await);
        let after = (table_checksum(&mut person.client, "d.t").await, table_checksum(&mut person.client, "d.u").await);
        assert_eq!(after, before, "{label}");
    }

    golden!("verify/3_refused", {
        let mut refused = String::new();
        for statement in [
            "VERIFY REPOSITORY nowhere",
            "VERIFY SNAPSHOT unknown ON repo",
            "VERIFY REPOSITORY repo PROPERTIES (\"depth\" = \"deep\")",
            "VERIFY REPOSITORY repo PROPERTIES (\"colour\" = \"red\")",
            "CANCEL VERIFY ON repo",
            "SHOW VERIFY ON nowhere",
        ] {
            refused.push_str(&format!("mysql> {statement};\n{}\n", person.cli.error(&format!("{statement};\n")).await));
        }
        refused
    });
    person.client.query("CREATE USER mallory IDENTIFIED BY 'm'").await;
    let mut mallory = server.client_as("mallory", "m").await;
    for statement in ["VERIFY REPOSITORY repo", "VERIFY SNAPSHOT s ON repo", "SHOW VERIFY", "CANCEL VERIFY ON repo"] {
        let refused = mallory.refused(statement).await;
        assert!(refused.message.contains("REPOSITORY"), "{statement}: {refused:?}");
    }
    assert_eq!(mallory.value("SELECT COUNT(*) FROM information_schema.verify_findings").await, "0");
}

#[tokio::test]
async fn a_verification_goes_on_after_the_server_is_killed() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.bucket("verify-killed").await;
    for place in ["StepBegins(\"PENDING\")", "StepBegins(\"VERIFYING\")", "VerifyBatchStored"] {
        let prefix = place.replace(|letter: char| !letter.is_ascii_alphabetic(), "-").to_lowercase();
        let mut server = Server::start("verify-killed").await;
        let mut client = server.client().await;
        fill(&mut client).await;
        client.query(&bucket.create_repository("repo", &prefix)).await;
        client.query("BACKUP SNAPSHOT d.s TO repo").await;
        assert_finished(&wait_backup(&mut client, "d").await);
        let objects = bucket.list(&format!("{prefix}/ebla/objects/")).await;
        bucket.delete(&objects[0].key).await;
        server.restart_with(|builder| builder.env("EBLA_TEST_STOP_JOB_AT", place)).await;
        let mut client = server.client().await;
        client.query("VERIFY REPOSITORY repo").await;
        wait_until(SOON, async || {
            let stays = server.process().log().contains("job stays at a place");
            if stays { Ok(()) } else { Err("the job does not stay yet".to_owned()) }
        })
        .await;
        let state = client.query("SHOW VERIFY").await.record(0).unwrap().field("State").to_owned();
        assert_eq!(state, if place.contains("PENDING") { "PENDING" } else { "VERIFYING" });
        server.kill9();
        server.restart_with(|builder| builder.env("EBLA_TEST_STOP_JOB_AT", "")).await;
        let job = last_verify(&mut server.client().await).await;
        assert_eq!((job.field("State"), job.field("Errors")), ("FINISHED", "1"), "{place}\n{job}");
        assert_eq!(job.field("Snapshots"), "1");
    }
}
