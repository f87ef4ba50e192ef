//! Goal: what a running RESTORE is going to create or replace is nobody else's, also after the server was killed, and is
//! free again when the job has ended.
//! Method: the job stays at a place that a variable of the environment names; everything that could get in its way is
//! said through the port.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::fs;
use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};

/// How long a job may take until it stays at its place.
const SOON: Duration = Duration::from_secs(120);

/// Names the place at which a server's jobs stay.
const STAY_AT: &str = "EBLA_TEST_STOP_JOB_AT";

/// What the server's log says when a job stays there.
const STAYS: &str = "job stays at a place";

const PARTITIONED: &str = "(k INT) PARTITION BY RANGE(k) (PARTITION p0 VALUES [(\"0\"), (\"100\")), PARTITION p1 VALUES \
                           [(\"100\"), (\"200\"))) DISTRIBUTED BY HASH(k) BUCKETS 1";

/// Statements about tables that the restore of `t` and `u` must not meet, with the numbers of their refusals.
const ABOUT_TABLES: [(&str, u16); 10] = [
    ("CREATE TABLE d.t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1", 1050),
    ("CREATE TABLE IF NOT EXISTS d.t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1", 1050),
    ("CREATE TABLE d.t LIKE d.other", 1050),
    ("CREATE TABLE d.t AS SELECT 1 AS k", 1050),
    ("ALTER TABLE d.other RENAME t", 1050),
    ("RECOVER TABLE d.t", 1050),
    ("ALTER TABLE d.u RENAME v", 5014),
    ("DROP TABLE d.u", 5014),
    ("DROP TABLE d.u FORCE", 5014),
    ("DROP TABLE IF EXISTS d.u", 5014),
];

/// Statements about partitions of `u`, of which the restore replaces `p0` and makes `p1`.
const ABOUT_PARTITIONS: [(&str, u16); 7] = [
    ("ALTER TABLE d.u ADD PARTITION p1 VALUES [(\"500\"), (\"600\"))", 1517),
    ("ALTER TABLE d.u ADD PARTITION q VALUES [(\"150\"), (\"160\"))", 5064),
    ("ALTER TABLE d.u RENAME PARTITION p2 p1", 1517),
    ("ALTER TABLE d.u RENAME PARTITION p0 q", 5014),
    ("ALTER TABLE d.u DROP PARTITION p0", 5014),
    ("ALTER TABLE d.u DROP PARTITION p0 FORCE", 5014),
    ("RECOVER PARTITION p1 FROM d.u", 1517),
];

/// Statements about a database that a restore makes.
const ABOUT_DATABASES: [(&str, u16); 4] = [
    ("CREATE DATABASE new", 1007),
    ("CREATE DATABASE IF NOT EXISTS new", 1007),
    ("ALTER DATABASE e RENAME new", 1007),
    ("RECOVER DATABASE new", 1007),
];

/// A server with a snapshot of `t` and `u`. What the restore is going to make waits to be recovered.
async fn server(name: &str) -> (Server, Client) {
    let server = Server::start(name).await;
    let mut client = server.client().await;
    fs::create_dir(server.folder().join("repository")).unwrap();
    let location = format!("file://{}", server.folder().join("repository").display());
    for statement in [
        &format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"{location}\""),
        "CREATE DATABASE d",
        "CREATE DATABASE e",
        "CREATE DATABASE new",
        "DROP DATABASE new",
        "CREATE TABLE d.t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1",
        "INSERT INTO d.t VALUES (1), (2)",
        &format!("CREATE TABLE d.u {PARTITIONED}"),
        "INSERT INTO d.u VALUES (5), (150)",
        "BACKUP SNAPSHOT d.s TO repo",
    ] {
        client.query(statement).await;
    }
    assert_finished(&wait_backup(&mut client, "d").await);
    for statement in [
        "CREATE TABLE d.other (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1",
        "DROP TABLE d.t",
        "ALTER TABLE d.u ADD PARTITION p2 VALUES [(\"300\"), (\"400\"))",
        "ALTER TABLE d.u DROP PARTITION p1",
    ] {
        client.query(statement).await;
    }
    (server, client)
}

/// Waits until one more job than `before` has come to its place.
async fn wait_stay(server: &Server, before: usize) {
    let stays = async || if stays(server) > before { Ok(()) } else { Err("no job stays".to_owned()) };
    wait_until(SOON, stays).await;
}

fn stays(server: &Server) -> usize {
    server.process().log().matches(STAYS).count()
}

async fn assert_refused(client: &mut Client, statements: &[(&str, u16)], target: &str, place: &str) {
    let advice = format!("stop it with CANCEL RESTORE FROM `{target}`");
    for (statement, code) in statements {
        let error = client.refused(statement).await;
        assert_eq!(error.code, *code, "{place}: {statement}\n{error}");
        assert!(error.message.contains("restore job ") && error.message.contains(&advice), "{statement}\n{error}");
    }
}

/// Each round kills the server while the job stays at its place, and looks again; then cancels, and what was refused
/// goes; the last one lets the job go on.
#[tokio::test]
async fn what_a_restore_is_going_to_make_is_nobody_elses() {
    let (mut server, _) = server("reserved").await;
    for (place, planned) in
        [("StepBegins(\"PENDING\")", false), ("RestorePlanned", true), ("RestoreBeforeCommit", true)]
    {
        server.restart_with(|server| server.env(STAY_AT, place)).await;
        let mut client = server.client().await;
        let before = stays(&server);
        client.query("RESTORE SNAPSHOT d.s FROM repo").await;
        wait_stay(&server, before).await;
        for round in 0..2 {
            if round == 1 {
                server.kill9();
                let before = stays(&server);
                server.restart().await;
                client = server.client().await;
                wait_stay(&server, before).await;
            }
            assert_refused(&mut client, &ABOUT_TABLES, "d", place).await;
            if planned {
                assert_refused(&mut client, &ABOUT_PARTITIONS, "d", place).await;
            }
            // The library of the command-line client would answer 5014 with "Malformed packet".
            if let Some(cli) = server.cli() {
                let refused = cli.error("DROP TABLE d.u;\n").await;
                let text = "ERROR 1105 (HY000) at line 1: The state of table 'u' is not NORMAL: restore job ";
                assert!(refused.contains(text), "{refused}");
            }
            // The table answers and takes rows, and what is beside goes its way.
            client.query(&format!("INSERT INTO d.u VALUES ({})", 10 + round)).await;
            client.query("TRUNCATE TABLE d.other").await;
            client.query("ALTER TABLE d.u RENAME PARTITION p2 p3").await;
            client.query("ALTER TABLE d.u RENAME PARTITION p3 p2").await;
        }
        client.query("CANCEL RESTORE FROM d").await;
        assert_eq!(wait_restore(&mut client, "d").await.field("State"), "CANCELLED");
        for statement in [
            "CREATE TABLE d.t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1",
            "DROP TABLE d.t",
            "ALTER TABLE d.u ADD PARTITION q VALUES [(\"150\"), (\"160\"))",
            "ALTER TABLE d.u DROP PARTITION q FORCE",
            "ALTER TABLE d.u RENAME v",
            "ALTER TABLE d.v RENAME u",
        ] {
            client.query(statement).await;
        }
    }
    server.restart_with(|server| server.env(STAY_AT, "RestoreBeforeCommit")).await;
    let mut client = server.client().await;
    let before = stays(&server);
    client.query("RESTORE SNAPSHOT d.s FROM repo").await;
    wait_stay(&server, before).await;
    server.kill9();
    server.restart_with(|server| server.env(STAY_AT, "")).await;
    let mut client = server.client().await;
    assert_finished(&wait_restore(&mut client, "d").await);
    assert_eq!(client.value("SELECT count(*) FROM d.t").await, "2");
    assert_eq!(client.query("SELECT k FROM d.u ORDER BY k").await.column("k"), ["5", "150"]);
    client.query("DROP TABLE d.t").await;
    client.query("DROP TABLE d.u FORCE").await;
}

#[tokio::test]
async fn a_database_that_a_restore_is_going_to_make_is_nobody_elses() {
    let (mut server, _) = server("reserved-database").await;
    for place in ["StepBegins(\"PENDING\")", "RestoreBeforeCommit"] {
        server.restart_with(|server| server.env(STAY_AT, place)).await;
        let mut client = server.client().await;
        let before = stays(&server);
        client.query("RESTORE SNAPSHOT s FROM repo DATABASE d AS new").await;
        wait_stay(&server, before).await;
        assert_refused(&mut client, &ABOUT_DATABASES, "new", place).await;
        client.query("CANCEL RESTORE FROM new").await;
        assert_eq!(wait_restore(&mut client, "new").await.field("State"), "CANCELLED");
        client.query("CREATE DATABASE new").await;
        client.query("DROP DATABASE new").await;
    }
}
