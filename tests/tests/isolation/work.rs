//! Who works on the server while the history is written: writers, readers, and a keeper of backups for each database.
//!
//! Each is a process with a connection of its own that does one thing after the other and notes what it said, what came
//! back, and when. What each does next is decided by the seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ebla_tests::client::{Client, Rows, SqlError};
use ebla_tests::http::{Body, Request};
use ebla_tests::server::{ROOT_PASSWORD, Server, basic};
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_backup, wait_restore, wait_until};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::history::{Action, Content, Op, Outcome, ROWS_MAX, Seen};

/// Databases, each with these tables.
pub const DATABASES: [&str; 2] = ["d0", "d1"];
const TABLES: [&str; 2] = ["a", "b"];

/// Loads that a table may hold before it is rather emptied: bounds the time of a query.
const LOADS_MAX: usize = 24;

/// Writes that are waited for between two halves of what should have been one.
const BETWEEN_HALVES: u64 = 8;

/// How long anything may take that is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What somebody does wrong on purpose, so that the checker has something to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// A reader asks each table with a statement of its own.
    SplitRead,
    /// A reader gives the answer before the last.
    StaleRead,
    /// A writer loads in two statements.
    SplitLoad,
    /// A keeper backs each table up by itself.
    TornSnapshot,
}

/// What all share.
#[derive(Debug)]
pub struct Work {
    mysql: String,
    http: String,
    origin: Instant,
    seed: u64,
    flaw: Flaw,
    ops: Mutex<Vec<Op>>,
    next_load: AtomicU32,
    writes: AtomicU64,
    reads: AtomicU64,
    flawed: AtomicU64,
    stop: AtomicBool,
    /// What statements were refused with.
    refusals: Mutex<Vec<String>>,
}

impl Work {
    /// Makes the tables.
    pub async fn begin(server: &Server, seed: u64, flaw: Flaw) -> Work {
        let mut client = server.client().await;
        for (db, table) in DATABASES.iter().flat_map(|db| TABLES.map(|table| (db, table))) {
            client.query(&format!("CREATE DATABASE IF NOT EXISTS {db}")).await;
            client
                .query(&format!(
                    "CREATE TABLE {db}.{table} (k BIGINT NOT NULL, g INT NOT NULL, l INT NOT NULL, r INT NOT NULL, \
                     b BIGINT NOT NULL) DUPLICATE KEY (k) PARTITION BY RANGE (g) (PARTITION p0 VALUES LESS THAN (\"1\"), \
                     PARTITION p1 VALUES LESS THAN (\"2\"), PARTITION p2 VALUES LESS THAN (\"3\")) \
                     DISTRIBUTED BY HASH(k) BUCKETS 2"
                ))
                .await;
        }
        let repository = server.folder().join("repository");
        client
            .query(&format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"file://{}\"", repository.display()))
            .await;
        Work {
            mysql: server.mysql_addr().to_owned(),
            http: server.http_addr().to_owned(),
            origin: Instant::now(),
            seed,
            flaw,
            ops: Mutex::default(),
            next_load: AtomicU32::new(1),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            flawed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            refusals: Mutex::default(),
        }
    }

    /// Ends what runs, after what it is at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Operations so far.
    pub fn len(&self) -> usize {
        self.ops.lock().unwrap().len()
    }

    /// Operations so far that fit this.
    pub fn count(&self, fits: impl Fn(&Op) -> bool) -> usize {
        self.ops.lock().unwrap().iter().filter(|op| fits(op)).count()
    }

    /// What was done wrong on purpose so far.
    pub fn flawed(&self) -> u64 {
        self.flawed.load(Ordering::SeqCst)
    }

    /// All operations.
    pub fn ops(&self) -> Vec<Op> {
        self.ops.lock().unwrap().clone()
    }

    /// What statements were refused with.
    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap().clone()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_micros().try_into().expect("a test does not take so long")
    }

    fn random(&self, process: u32) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000).wrapping_add(process.into()))
    }

    async fn client(&self) -> Client {
        Client::connect(&self.mysql, "root", ROOT_PASSWORD).await
    }

    fn note(&self, process: u32, begun: u64, outcome: Outcome, action: Action) {
        let ended = self.now();
        if action.is_read() {
            self.reads.fetch_add(1, Ordering::SeqCst);
        } else if outcome == Outcome::Done {
            self.writes.fetch_add(1, Ordering::SeqCst);
        }
        self.ops.lock().unwrap().push(Op { process, action, outcome, begun, ended });
    }

    fn refuse(&self, what: &str, error: &str) {
        self.refusals.lock().unwrap().push(format!("{what}: {error}"));
    }

    /// Waits until so many more writes, or reads, have been answered.
    async fn wait_for(&self, counter: &AtomicU64, more: u64) {
        let goal = counter.load(Ordering::SeqCst) + more;
        wait_until(PATIENCE, async || {
            let now = counter.load(Ordering::SeqCst);
            if now >= goal || self.stopped() { Ok(()) } else { Err(format!("{now} of {goal} answers")) }
        })
        .await;
    }
}

/// Writes until the end.
pub async fn write(work: &Work, process: u32) {
    let mut random = work.random(process);
    let mut client = work.client().await;
    let mut since_emptied = 0;
    while !work.stopped() {
        let table = any_table(&mut random);
        let load = work.next_load.fetch_add(1, Ordering::SeqCst);
        let rows = 1 | random.random_range(0..1_u64 << ROWS_MAX);
        since_emptied += 1;
        let is_full = since_emptied > LOADS_MAX;
        let (sql, action) = match random.random_range(0..100) {
            0..2 => {
                // It changes nothing that anybody sees, so it is no operation.
                client.query(&format!("ALTER TABLE {table} COMPACT")).await;
                continue;
            }
            2..5 if !is_full => (format!("TRUNCATE TABLE {table}"), Action::Truncate { table }),
            2..12 => {
                since_emptied = 0;
                let sql = format!("INSERT OVERWRITE {table} VALUES {}", values(load, rows));
                (sql, Action::Overwrite { table, load, rows })
            }
            12..30 => {
                let row = random.random_range(1..ROWS_MAX);
                let sql = format!("DELETE FROM {table} WHERE r = {row}");
                (sql, Action::Delete { table, rows: 1 << row, taken: None })
            }
            30..45 => {
                stream_load(work, process, table, load, rows).await;
                continue;
            }
            _ if work.flaw == Flaw::SplitLoad && process == 0 => {
                split_load(work, &mut client, process, table, load).await;
                continue;
            }
            _ => {
                let sql = format!("INSERT INTO {table} VALUES {}", values(load, rows));
                (sql, Action::Load { table, load, rows })
            }
        };
        let begun = work.now();
        let (outcome, action) = match (client.try_query(&sql).await, action) {
            (Ok(answer), Action::Delete { table, rows, .. }) => {
                (Outcome::Done, Action::Delete { table, rows, taken: Some(answer.affected) })
            }
            (Ok(_), action) => (Outcome::Done, action),
            (Err(error), action) => {
                assert_ne!(error.code, 0, "the connection failed in {sql}: {error}");
                work.refuse(&sql, &error.message);
                (Outcome::Refused, action)
            }
        };
        work.note(process, begun, outcome, action);
    }
}

async fn stream_load(work: &Work, process: u32, table: String, load: u32, rows: u64) {
    let lines: String = cells(load, rows).map(|cells| cells.join(",") + "\n").collect();
    let (db, name) = table.split_once('.').expect("a table is named with its database");
    let request = Request::new("PUT", &format!("/api/{db}/{name}/_stream_load"))
        .header("Authorization", &basic("root", ROOT_PASSWORD))
        .header("Expect", "100-continue")
        .header("column_separator", ",")
        .body(Body::Bytes(lines.into_bytes()));
    let begun = work.now();
    let text = request.send(&work.http).await.unwrap().text();
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("a Stream Load answers {text}"));
    let outcome = if answer["Status"] == "Success" { Outcome::Done } else { Outcome::Refused };
    if outcome == Outcome::Refused {
        work.refuse("Stream Load", answer["Message"].as_str().unwrap_or(&text));
    }
    work.note(process, begun, outcome, Action::Load { table, load, rows });
}

/// What should have been one statement.
async fn split_load(work: &Work, client: &mut Client, process: u32, table: String, load: u32) {
    let begun = work.now();
    let rows = (1 << ROWS_MAX) - 1;
    for half in [rows & 0x0f, rows & !0x0f] {
        client.query(&format!("INSERT INTO {table} VALUES {}", values(load, half))).await;
        work.wait_for(&work.reads, BETWEEN_HALVES).await;
    }
    work.flawed.fetch_add(1, Ordering::SeqCst);
    work.note(process, begun, Outcome::Done, Action::Load { table, load, rows });
}

/// Reads until the end.
pub async fn read(work: &Work, process: u32) {
    let mut random = work.random(process);
    let mut client = work.client().await;
    let mut last: Option<Seen> = None;
    while !work.stopped() {
        let mut tables = all_tables();
        tables.shuffle(&mut random);
        let begun = work.now();
        let seen = match (work.flaw, process % 4) {
            (Flaw::SplitRead, 0) => {
                let mut seen = Seen::new();
                for table in &tables[..2] {
                    seen.extend(union(&mut client, std::slice::from_ref(table)).await);
                    work.wait_for(&work.writes, BETWEEN_HALVES).await;
                }
                work.flawed.fetch_add(1, Ordering::SeqCst);
                seen
            }
            (Flaw::StaleRead, 0) => {
                let now = union(&mut client, &all_tables()).await;
                let told = last.replace(now.clone()).unwrap_or(now);
                work.flawed.fetch_add(1, Ordering::SeqCst);
                told
            }
            _ => match random.random_range(0..10) {
                0..5 => union(&mut client, &tables).await,
                5..6 => prepared(&mut client, &tables[..2]).await,
                6..8 => join(&mut client, &tables[0], &tables[1]).await,
                8 => twice(&mut client, &tables[0]).await,
                _ => {
                    let again = [tables[0].clone(), tables[1].clone(), tables[0].clone()];
                    union(&mut client, &again).await
                }
            },
        };
        work.note(process, begun, Outcome::Done, Action::Read { seen });
        if work.flaw == Flaw::StaleRead && process.is_multiple_of(4) {
            work.wait_for(&work.writes, BETWEEN_HALVES).await;
        }
    }
}

/// Every table, once everybody has stopped.
pub async fn read_all(work: &Work, process: u32) {
    let mut client = work.client().await;
    let begun = work.now();
    let seen = union(&mut client, &all_tables()).await;
    work.note(process, begun, Outcome::Done, Action::Read { seen });
}

/// Backs a database up, looks what the snapshot holds, and restores it over what is there now and then, until the end.
pub async fn keep(work: &Work, process: u32, db: &str) {
    let mut random = work.random(process);
    let mut client = work.client().await;
    let mut snapshots: Vec<(String, Seen)> = Vec::new();
    while !work.stopped() {
        let label = format!("{db}_{}", snapshots.len());
        // Now and then one table alone; with the flaw, each alone and called one snapshot.
        let parts: &[&str] = match (work.flaw, random.random_range(0..4)) {
            (Flaw::TornSnapshot, _) => &["ON (a)", "ON (b)"],
            (_, 0) => &["ON (b)"],
            _ => &[""],
        };
        let begun = work.now();
        let mut labels = Vec::new();
        let mut cut = 0;
        for (number, on) in parts.iter().enumerate() {
            let label = format!("{label}_{number}");
            client.query(&format!("BACKUP SNAPSHOT {db}.{label} TO repo {on}")).await;
            cut = wait_cut(work, &mut client, db).await;
            assert_finished(&wait_backup(&mut client, db).await);
            labels.push(label);
            if work.flaw == Flaw::TornSnapshot {
                work.flawed.fetch_add(1, Ordering::SeqCst);
                work.wait_for(&work.writes, 4 * BETWEEN_HALVES).await;
            }
        }
        let mut seen = Seen::new();
        for label in &labels {
            seen.extend(look_into(&mut client, db, label).await);
        }
        let snapshot = Action::Snapshot { label: label.clone(), seen: seen.clone() };
        work.reads.fetch_add(1, Ordering::SeqCst);
        work.ops.lock().unwrap().push(Op { process, action: snapshot, outcome: Outcome::Done, begun, ended: cut });
        snapshots.push((labels[0].clone(), seen));
        if work.flaw == Flaw::None && random.random_bool(0.7) && !work.stopped() {
            let (label, tables) = snapshots.choose(&mut random).cloned().expect("one has just been made");
            let begun = work.now();
            client.query(&format!("RESTORE SNAPSHOT {db}.{label} FROM repo")).await;
            let job = wait_restore(&mut client, db).await;
            let outcome = if job.field("State") == "FINISHED" { Outcome::Done } else { Outcome::Refused };
            if outcome == Outcome::Refused {
                work.refuse("RESTORE", job.field("Status"));
            }
            work.note(process, begun, outcome, Action::Restore { label, tables });
        }
    }
}

/// Waits until the cut of the backup is taken, and says when that was known.
async fn wait_cut(work: &Work, client: &mut Client, db: &str) -> u64 {
    wait_until(JOB_PATIENCE, async || {
        let shown = client.query(&format!("SHOW BACKUP FROM {db}")).await;
        let job = shown.record(0).ok_or("no backup")?;
        let is_over = job.get("SnapshotFinishedTime").is_some() || job.field("State") == "CANCELLED";
        if is_over { Ok(work.now()) } else { Err(job.to_string()) }
    })
    .await
}

/// What a snapshot holds, by a restore into a database of its own.
async fn look_into(client: &mut Client, db: &str, label: &str) -> Seen {
    let copy = format!("{db}_copy");
    client.query(&format!("DROP DATABASE IF EXISTS {copy} FORCE")).await;
    client.query(&format!("RESTORE SNAPSHOT {copy}.{label} FROM repo")).await;
    assert_finished(&wait_restore(client, &copy).await);
    let shown = client.query(&format!("SHOW TABLES FROM {copy}")).await;
    let tables: Vec<String> =
        shown.rows.iter().filter_map(|row| Some(format!("{copy}.{}", row[0].as_ref()?))).collect();
    let seen = union(client, &tables).await;
    seen.into_iter().map(|(table, content)| (table.replace(&copy, db), content)).collect()
}

fn all_tables() -> Vec<String> {
    DATABASES.iter().flat_map(|db| TABLES.map(|table| format!("{db}.{table}"))).collect()
}

fn any_table(random: &mut StdRng) -> String {
    all_tables().choose(random).cloned().expect("there are tables")
}

fn cells(load: u32, rows: u64) -> impl Iterator<Item = [String; 5]> {
    (0..ROWS_MAX).filter(move |row| rows & (1 << row) != 0).map(move |row| {
        [u64::from(load) * 64 + u64::from(row), u64::from(row % 3), load.into(), row.into(), 1 << row]
            .map(|cell| cell.to_string())
    })
}

fn values(load: u32, rows: u64) -> String {
    cells(load, rows).map(|cells| format!("({})", cells.join(", "))).collect::<Vec<_>>().join(", ")
}

/// One branch of a query: the loads of a table, each with its rows as a mask, and their number.
fn select(number: usize, table: &str) -> String {
    format!("SELECT {number} AS t, l, SUM(b) AS m, COUNT(*) AS n FROM {table} GROUP BY l")
}

fn union_of(tables: &[String]) -> String {
    tables.iter().enumerate().map(|(number, table)| select(number, table)).collect::<Vec<_>>().join(" UNION ALL ")
}

async fn union(client: &mut Client, tables: &[String]) -> Seen {
    let sql = union_of(tables);
    collect(&sql, client.try_query(&sql).await, tables)
}

async fn prepared(client: &mut Client, tables: &[String]) -> Seen {
    let sql = union_of(tables);
    collect(&sql, client.try_exec(&sql, ()).await, tables)
}

/// The same table by one name for it, used twice.
async fn twice(client: &mut Client, table: &str) -> Seen {
    let sql =
        format!("WITH x AS ({}) SELECT t, l, m, n FROM x UNION ALL SELECT t + 1, l, m, n FROM x", select(0, table));
    collect(&sql, client.try_query(&sql).await, &[table.to_owned(), table.to_owned()])
}

/// Two tables side by side. No load is in both, so each row has one of them.
async fn join(client: &mut Client, left: &str, right: &str) -> Seen {
    let sql = format!(
        "SELECT coalesce(x.t, y.t), coalesce(x.l, y.l), coalesce(x.m, y.m), coalesce(x.n, y.n) \
         FROM ({}) x FULL JOIN ({}) y ON x.l = y.l",
        select(0, left),
        select(1, right)
    );
    collect(&sql, client.try_query(&sql).await, &[left.to_owned(), right.to_owned()])
}

/// Rows of table, load, mask and number as what was seen.
fn collect(sql: &str, answer: Result<Rows, SqlError>, tables: &[String]) -> Seen {
    let rows = answer.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    let mut seen: Seen = tables.iter().map(|table| (table.clone(), Content::new())).collect();
    for row in &rows.rows {
        let number = |index: usize| -> u64 {
            let cell = row[index].as_deref().unwrap_or("NULL");
            cell.parse().unwrap_or_else(|_| panic!("{sql}\nanswers {cell} in\n{rows}"))
        };
        let (table, load, mask) = (number(0), number(1), number(2));
        assert_eq!(number(3), u64::from(mask.count_ones()), "rows of load {load} are there twice: {sql}\n{rows}");
        let content = &mut seen[usize::try_from(table).expect("a small number")].1;
        let twice = content.insert(u32::try_from(load).expect("a number of a load"), mask);
        assert_eq!(twice, None, "load {load} is there twice: {sql}\n{rows}");
    }
    seen
}
