//! Goal: `docs/sql.md` is true. What it shows as an example works, or is refused with the error that stands behind it, and the
//! columns it names are the columns that are printed.
//! Method: every example is run through the real port, section by section, on a server where what the document speaks of is
//! there: `sr_hub` with its tables, `test_repo` with a snapshot, the user jack.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::path::Path;
use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};

/// What stands behind an example that is refused, before the error's number.
const REFUSED: &str = "-- refused: ";

/// The timestamp that stands in the examples.
const TIMESTAMP: &str = "2023-02-07-14-45-53-143";

/// The snapshot of the examples.
const BACKUP: &str = "BACKUP SNAPSHOT sr_hub.sr_member_backup TO test_repo";

/// What every section finds, whatever the one before it has left.
const WORLD: &[&str] = &[
    "DROP DATABASE IF EXISTS sr_hub FORCE",
    "DROP DATABASE IF EXISTS sr_hub_old FORCE",
    "DROP DATABASE IF EXISTS sr_copy FORCE",
    "DROP USER IF EXISTS jack",
    "DROP USER IF EXISTS 'jack'@'10.0.%'",
    "DROP ROLE IF EXISTS backup_operator",
    "CREATE DATABASE sr_hub",
    "USE sr_hub",
    "CREATE TABLE sr_member (sr_id INT, name STRING, city_code INT, reg_date DATE, verified BOOLEAN, INDEX by_name (name)) \
     PARTITION BY RANGE (reg_date) (PARTITION p1 VALUES LESS THAN (\"2022-01-01\"), PARTITION p2 VALUES LESS THAN (\"2023-01-01\")) \
     DISTRIBUTED BY HASH (city_code)",
    "CREATE TABLE sr_member_2 LIKE sr_member",
    "CREATE TABLE by_city (city_code INT, n BIGINT)",
    "CREATE TABLE t (k INT, v INT, dt DATETIME)",
    "INSERT INTO sr_member VALUES (1, 'ada', 10, '2021-05-01', true), (2, 'tom', 20, '2022-05-01', false)",
    "INSERT INTO t VALUES (1, 2, '2024-01-31 10:00:00')",
    "CREATE USER jack",
    "CREATE ROLE backup_operator",
];

/// What an example needs beyond that, by how it begins: mostly that what it makes is not there yet.
const BEFORE: &[(&str, &str)] = &[
    ("CREATE TABLE sr_member (", "DROP TABLE sr_member FORCE"),
    ("CREATE TABLE sr_member_2 ", "DROP TABLE sr_member_2 FORCE"),
    ("CREATE TABLE by_city ", "DROP TABLE by_city FORCE"),
    ("RECOVER TABLE sr_hub.sr_member", "DROP TABLE sr_hub.sr_member"),
    ("CREATE ROLE backup_operator", "DROP ROLE backup_operator"),
    ("CREATE REPOSITORY test_repo", "DROP REPOSITORY test_repo"),
    (BACKUP, "DROP SNAPSHOT sr_member_backup ON test_repo"),
    ("REVOKE SELECT ON TABLE", "GRANT SELECT ON TABLE sr_hub.sr_member TO USER jack"),
];

/// There is no job to cancel, and that is the answer; that jobs are cancelled, other tests see.
const NO_JOB: &[&str] = &["CANCEL BACKUP FROM sr_hub", "CANCEL RESTORE FROM sr_hub"];

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md")).unwrap()
}

/// An example and the number it is to be refused with, 0 for none.
type Example = (String, u16);

/// The sections with examples, each with its text.
fn sections(text: &str) -> Vec<(&str, Vec<Example>)> {
    let sections = text.split("\n### ").flat_map(|section| section.split("\n## "));
    sections
        .map(|section| (section, section.split("```sql\n").skip(1).flat_map(examples).collect::<Vec<_>>()))
        .filter(|(_, examples)| !examples.is_empty())
        .collect()
}

/// The statements of a block. Each ends with a line.
fn examples(block: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut statement = String::new();
    for line in block.lines().take_while(|line| *line != "```") {
        let (sql, code) = match line.split_once(REFUSED) {
            Some((sql, code)) => (sql.trim_end(), code.parse().unwrap()),
            None => (line, 0),
        };
        statement.push_str(sql);
        match statement.strip_suffix(';') {
            Some(whole) => {
                found.push((whole.to_string(), code));
                statement.clear();
            }
            None => statement.push('\n'),
        }
    }
    assert!(statement.is_empty(), "no semicolon ends {statement}");
    found
}

/// Makes the world anew.
async fn reset(client: &mut Client, bucket: &Bucket) {
    for statement in WORLD {
        client.query(statement).await;
    }
    client.query("DROP REPOSITORY IF EXISTS test_repo").await;
    client.query(&bucket.create_repository("test_repo", "path")).await;
    if client.query("SHOW SNAPSHOT ON test_repo").await.column("Snapshot").contains(&"sr_member_backup") {
        return;
    }
    client.query(&format!("{BACKUP} ON (sr_member)")).await;
    assert_finished(&wait_backup(client, "sr_hub").await);
}

/// Waits for what an example has started.
async fn settle(client: &mut Client, sql: &str) {
    if sql.starts_with("BACKUP") {
        assert_finished(&wait_backup(client, "sr_hub").await);
    } else if sql.starts_with("RESTORE") {
        let database = if sql.contains(" AS sr_copy") { "sr_copy" } else { "sr_hub" };
        assert_finished(&wait_restore(client, database).await);
    } else if sql.starts_with("VERIFY") {
        wait_until(Duration::from_secs(120), async || {
            let jobs = client.query("SHOW VERIFY").await;
            let states = jobs.column("State");
            if states.iter().all(|state| *state == "FINISHED") { Ok(()) } else { Err(jobs.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn the_examples_do_what_the_document_says() {
    let store = S3sFs::start();
    let server = Server::start("examples").await;
    let bucket = store.bucket("examples").await;
    let mut client = server.client().await;
    let other = server.client().await;
    let text = document();

    let (mut wrong, mut count) = (String::new(), 0);
    for (section, examples) in sections(&text) {
        reset(&mut client, &bucket).await;
        for (example, code) in examples {
            count += 1;
            for (_, needed) in BEFORE.iter().filter(|(beginning, _)| example.replace('\n', " ").starts_with(beginning))
            {
                client.query(needed).await;
            }
            let mut sql = example.replace("\"…\"", "\"token\"");
            if sql.contains(TIMESTAMP) {
                let snapshots = client.query("SHOW SNAPSHOT ON test_repo WHERE SNAPSHOT = 'sr_member_backup'").await;
                sql = sql.replace(TIMESTAMP, snapshots.column("Timestamp")[0]);
            }
            if sql.starts_with("CREATE REPOSITORY test_repo") {
                sql = bucket.create_repository("test_repo", "path");
            }
            sql = sql.replace("KILL QUERY 12", &format!("KILL QUERY {}", other.connection_id()));
            let expected = if NO_JOB.contains(&example.as_str()) { 5064 } else { code };
            let answer = client
                .try_query(&sql)
                .await
                .map_or_else(|error| (error.code, error.to_string()), |_| (0, "OK".to_string()));
            if answer.0 != expected {
                wrong.push_str(&format!("{example}\n  documented {expected}, answered {}\n", answer.1));
            } else if expected == 0 {
                settle(&mut client, &sql).await;
            }
            // Who reads only the first lines of a section must learn it too.
            if code != 0 && !section.contains(&format!("({code})")) && !section.contains(&format!("with {code}")) {
                wrong.push_str(&format!("{example}\n  is refused, and its section does not say so in words\n"));
            }
        }
    }
    assert!(count > 80, "only {count} examples");
    assert!(wrong.is_empty(), "docs/sql.md and the server differ:\n{wrong}");
}

/// The statements of `docs/sql.md` under which a table of columns stands, with these columns.
fn documented() -> Vec<(String, Vec<String>)> {
    let text = document();
    let mut found = Vec::new();
    for part in text.split("\n#### `").skip(1) {
        let (statement, rest) = part.split_once("`\n").unwrap();
        let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let columns = rows.skip(2).map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`').to_string());
        found.push((statement.to_string(), columns.collect()));
    }
    found
}

#[tokio::test]
async fn the_document_names_the_columns_that_are_printed() {
    let store = S3sFs::start();
    let server = Server::start("columns").await;
    let bucket = store.bucket("columns").await;
    let mut client = server.client().await;
    for statement in [
        "CREATE DATABASE sr_hub",
        "USE sr_hub",
        "CREATE TABLE sr_member (sr_id INT, name STRING, INDEX by_name (name)) DISTRIBUTED BY HASH(sr_id)",
        "INSERT INTO sr_member VALUES (1, 'ada')",
        &bucket.create_repository("test_repo", "path"),
        "BACKUP SNAPSHOT sr_hub.sr_member_backup TO test_repo ON (sr_member)",
    ] {
        client.query(statement).await;
    }
    assert_finished(&wait_backup(&mut client, "sr_hub").await);
    client
        .query("RESTORE SNAPSHOT sr_hub.sr_member_backup FROM test_repo PROPERTIES (\"replication_num\" = \"1\")")
        .await;
    assert_finished(&wait_restore(&mut client, "sr_hub").await);
    let snapshots = client.query("SHOW SNAPSHOT ON test_repo").await;
    let timestamp = snapshots.column("Timestamp")[0].to_string();
    let tablets = client.query("SHOW TABLET FROM sr_member").await;
    let tablet = tablets.column("TabletId")[0].to_string();

    let documented = documented();
    assert!(documented.len() > 40, "only {} statements have their columns documented", documented.len());
    let mut wrong = String::new();
    for (statement, columns) in documented {
        let sql = statement
            .replace("2023-02-07-14-45-53-143", &timestamp)
            .replace("TABLET 10005", &format!("TABLET {tablet}"));
        let printed = client.query(&sql).await.columns;
        if printed != columns {
            wrong.push_str(&format!("{statement}\n  printed    {printed:?}\n  documented {columns:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "docs/sql.md and the server differ:\n{wrong}");
}
