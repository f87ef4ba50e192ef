//! What must be there after a loss of power.

use std::collections::BTreeMap;

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::server::Server;
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_restore, wait_until};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use crate::load::{History, State, Table, Tables, value};
use crate::root;

/// Holds a server against what its clients had been told at a place of the record.
pub async fn everything(server: &mut Server, histories: &[History], position: u64, rng: &mut StdRng) {
    let mut client = server.client_as(root().0, root().1).await;
    for db in databases(&mut client).await {
        settle(&mut client, &db).await;
    }
    // A restore that was under way may have made one.
    let databases = databases(&mut client).await;
    let repositories = names_in(&mut client, "SHOW REPOSITORIES", "RepoName").await;
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    if repositories.iter().any(|name| name == "p_repo") {
        let shown = client.query("SHOW SNAPSHOT ON p_repo").await;
        for index in 0..shown.rows.len() {
            let snapshot = shown.record(index).unwrap();
            assert_eq!(snapshot.field("Status"), "OK", "{snapshot}");
            listed.insert(snapshot.field("Snapshot").to_string(), snapshot.field("Timestamp").to_string());
        }
    }
    let mut restorable = Vec::new();
    for history in histories {
        let prefix = format!("{}_", history.prefix);
        let mut found = State::default();
        for db in databases.iter().filter(|name| name.starts_with(&prefix)) {
            found.databases.insert(db.clone(), tables(&mut client, db).await);
        }
        for name in repositories.iter().filter(|name| name.starts_with(&prefix)) {
            // The keys of one of them are sealed: they must open.
            client.query(&format!("SHOW SNAPSHOT ON {name}")).await;
            found.repositories.insert(name.clone());
        }
        found.users = users(server, history, position).await;
        let expected = history.expected(position);
        // What a snapshot holds is seen when it is restored; here it counts that it is there.
        let known = |label: &str| expected.iter().find_map(|(state, _)| state.snapshots.get(label).cloned());
        for label in listed.keys().filter(|label| label.starts_with(&prefix)) {
            let tables =
                known(label).unwrap_or_else(|| panic!("snapshot {label} is there, and nobody has made it yet"));
            restorable.push((label.clone(), tables.clone()));
            found.snapshots.insert(label.clone(), tables);
        }
        // The same for labels: whether one is taken shows when it is used again.
        let matching =
            expected.iter().find(|(state, _)| State { labels: found.labels.clone(), ..state.clone() } == found);
        let Some((state, _)) = matching else {
            let wanted: Vec<String> = expected.iter().map(|(state, said)| format!("{said}\n  {state:?}")).collect();
            panic!("client {} finds\n  {found:?}\nand expects, {}", history.prefix, wanted.join("\nor, "));
        };
        if let Some(label) = state.labels.iter().choose(rng) {
            is_taken(server, label, state).await;
        }
    }
    if let Some((label, tables)) = restorable.iter().choose(rng) {
        restores(&mut client, label, &listed[label], tables).await;
    }
    works(&mut client, rng).await;
    check_log(server);
}

/// Holds a first start against what it must have left: a password that is right.
pub async fn password(server: &mut Server, _: &[History], _: u64, _: &mut StdRng) {
    let password = std::fs::read_to_string(server.data_dir().join("root-password")).expect("a file with the password");
    let mut client = server.client_as("root", password.trim()).await;
    client.query("CREATE DATABASE d").await;
    check_log(server);
}

/// Waits for the jobs of a database: each finishes, or is cancelled with a reason.
async fn settle(client: &mut Client, db: &str) {
    for show in ["SHOW BACKUP", "SHOW RESTORE"] {
        wait_until(JOB_PATIENCE, async || {
            let jobs = client.query(&format!("{show} FROM {db}")).await;
            for index in 0..jobs.rows.len() {
                let job = jobs.record(index).unwrap();
                match job.field("State") {
                    "FINISHED" => {}
                    "CANCELLED" => assert_ne!(job.field("Status"), "[OK]", "{job}"),
                    _ => return Err(format!("{job}")),
                }
            }
            Ok(())
        })
        .await;
    }
}

async fn databases(client: &mut Client) -> Vec<String> {
    let mut databases = names(client, "SHOW DATABASES").await;
    databases.retain(|name| name != "information_schema");
    databases
}

async fn names(client: &mut Client, sql: &str) -> Vec<String> {
    client.query(sql).await.rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect()
}

async fn names_in(client: &mut Client, sql: &str, column: &str) -> Vec<String> {
    client.query(sql).await.column(column).into_iter().map(str::to_string).collect()
}

async fn tables(client: &mut Client, db: &str) -> Tables {
    let mut tables = Tables::new();
    for table in names(client, &format!("SHOW TABLES FROM {db}")).await {
        let found = rows(client, &format!("{db}.{table}")).await;
        tables.insert(table, found);
    }
    tables
}

/// The keys of a table, each seen once and with its whole row.
async fn rows(client: &mut Client, table: &str) -> Table {
    let mut found = Table::new();
    for row in client.query(&format!("SELECT k, g, v FROM {table}")).await.rows {
        let k: i64 = row[0].as_deref().unwrap().parse().unwrap();
        assert_eq!(row[1].as_deref(), Some((k % 3).to_string().as_str()), "row {k} of {table}");
        assert_eq!(row[2].as_deref(), Some(value(k).as_str()), "row {k} of {table}");
        assert!(found.insert(k), "row {k} of {table} is there twice");
    }
    found
}

/// Which of the history's users can connect.
async fn users(server: &Server, history: &History, position: u64) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    let wanted = history.expected(position).into_iter().flat_map(|(state, _)| state.users);
    for user in wanted {
        if Client::try_connect(server.mysql_addr(), &user, "p").await.is_ok() {
            found.insert(user);
        }
    }
    found
}

/// A load that has arrived is not loaded again; one that has not is.
async fn is_taken(server: &Server, label: &str, state: &State) {
    let (db, label) = label.split_once('.').unwrap();
    let Some(table) = state.databases[db].keys().next() else { return };
    let answer =
        server.stream_load(db, table, &[("label", label)], Body::Bytes(b"-3\t0\trow -3 of many\n".to_vec())).await;
    assert_eq!(answer["Status"], "Label Already Exists", "label {label} of a load that is there: {answer:#}");
    assert_eq!(answer["ExistingJobStatus"], "FINISHED", "{answer:#}");
}

/// A snapshot that is listed restores with all that is in it.
async fn restores(client: &mut Client, label: &str, timestamp: &str, expected: &Tables) {
    let sql = format!(
        "RESTORE SNAPSHOT {label} FROM p_repo DATABASE {}_db AS restored PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")",
        &label[..1]
    );
    client.query(&sql).await;
    assert_finished(&wait_restore(client, "restored").await);
    assert_eq!(&tables(client, "restored").await, expected, "what snapshot {label} holds");
}

/// It takes new data, and gives it back.
async fn works(client: &mut Client, rng: &mut StdRng) {
    let k = rng.random_range(-999..-9);
    client.query("CREATE DATABASE works").await;
    client.query("CREATE TABLE works.t (k BIGINT) DISTRIBUTED BY HASH(k) BUCKETS 1").await;
    client.query(&format!("INSERT INTO works.t VALUES ({k})")).await;
    assert_eq!(client.value("SELECT k FROM works.t").await, k.to_string());
}

fn check_log(server: &Server) {
    let log = server.process().log();
    for word in ["panicked", "replica is bad"] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "the server's log says: {}", line.unwrap_or_default());
    }
}
