//! One statement after the other, each with something of the disk refused, and what it must leave.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebla_tests::client::{Client, Record};
use ebla_tests::disk::fault::{Class, Errno, Fault, Faults};
use ebla_tests::disk::{Layer, Watched};
use ebla_tests::folder::Folder;
use ebla_tests::http::Body;
use ebla_tests::server::Server;
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_backup, wait_until};

use crate::statement::{DISK, MEMORY, Statement, keys, table};

/// How many of a statement's operations of one class in one area are made to fail, one at a time. Those in between are
/// like those beside them.
const ORDINALS: u64 = 4;

/// The same of loads that are so large that each takes a second or more.
const ORDINALS_OF_LARGE: u64 = 2;

/// What is cleared away behind a statement, or at a start, is soon gone.
const SOON: Duration = Duration::from_secs(120);

/// A server with a failing disk, and what must be in it.
pub struct Walk {
    server: Server,
    faults: Faults,
    client: Client,
    /// Stays connected while everything fails.
    reader: Client,
    rows: BTreeSet<i64>,
    /// Its storage roots.
    roots: Vec<PathBuf>,
    /// See [`ORDINALS`].
    ordinals: u64,
    turn: u64,
    /// Faults that were met, and of them those that a statement has told.
    met: u64,
    told: u64,
}

/// What came of a statement.
enum Outcome {
    Done,
    Refused(String),
}

impl Walk {
    /// A server with a table, a repository and a snapshot.
    pub async fn start(name: &str, layer: &Layer) -> Walk {
        let folder = Folder::new(name);
        let watched = Watched::new(layer, folder.path());
        // What one ADMIN CLEAN REPOSITORY marks a later one sweeps.
        let builder = Server::configure(name).data("disk/data").env("EBLA_REPOSITORY_COLLECTION_GRACE_S", "1");
        let (builder, faults) = watched.fail(builder);
        Walk::of(builder.start_in(folder).await, faults).await
    }

    /// A server of two disks that keeps little of a load in memory.
    pub async fn of_large_loads(name: &str, layer: &Layer) -> Walk {
        let folder = Folder::new(name);
        let watched = Watched::new(layer, folder.path());
        let roots = ["a", "b"].map(|root| watched.root().join(root).display().to_string());
        let builder = Server::configure(name)
            .data("disk/data")
            .env("EBLA_STORAGE_ROOTS", &roots.join(","))
            .env("EBLA_LOAD_MEMORY_LIMIT", &MEMORY.to_string());
        let (builder, faults) = watched.fail(builder);
        let mut walk = Walk::of(builder.start_in(folder).await, faults).await;
        walk.roots = roots.map(PathBuf::from).to_vec();
        walk.ordinals = ORDINALS_OF_LARGE;
        walk
    }

    /// The same on a server that runs already.
    pub async fn of(server: Server, faults: Faults) -> Walk {
        let mut client = server.client().await;
        let repository = server.folder().join("disk/repository");
        client.query("CREATE DATABASE d").await;
        client
            .query(&format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"file://{}\"", repository.display()))
            .await;
        let rows: BTreeSet<i64> = (0..40).collect();
        let values: Vec<String> = rows.iter().map(|k| format!("({k}, {}, 'row {k}')", k % 10)).collect();
        for name in ["d.t", "d.u"] {
            client.query(&table(name, 40)).await;
            client.query(&format!("INSERT INTO {name} VALUES {}", values.join(", "))).await;
        }
        client.query("BACKUP SNAPSHOT d.first TO repo ON (u)").await;
        assert_finished(&wait_backup(&mut client, "d").await);
        let reader = server.client().await;
        let roots = vec![server.data_dir().join("storage")];
        Walk { roots, ordinals: ORDINALS, server, faults, client, reader, rows, turn: 0, met: 0, told: 0 }
    }

    /// What `d.t` must hold.
    pub fn rows(&self) -> &BTreeSet<i64> {
        &self.rows
    }

    /// The server, when the walk is over.
    pub fn into_server(self) -> Server {
        self.server
    }

    /// Has the operations of one class in one area fail under a statement, one after the other, of a full disk and of a
    /// broken one. Returns how many there are.
    pub async fn cell(&mut self, statement: Statement, area: &'static str, class: Class) -> u64 {
        let fault = |skip, count, error| Fault { class, area, error, skip, count };
        // Counts them first.
        let what = format!("{statement:?} without a fault");
        let seen = self.run(statement, &what, |faults| faults.arm(fault(0, 0, Errno::Io))).await;
        let most = std::env::var("EBLA_FAULTS_PER_CELL").ok().map_or(self.ordinals, |text| text.parse().unwrap());
        let step = seen.div_ceil(most).max(1);
        // A full disk can be read.
        let errors: &[Errno] = if class == Class::Read { &[Errno::Io] } else { &[Errno::NoSpace, Errno::Io] };
        for skip in (0..seen).step_by(step as usize) {
            for error in errors.iter().copied() {
                let what = format!("{statement:?} with {class:?} number {skip} of {seen} in {area} failing: {error:?}");
                self.run(statement, &what, |faults| faults.arm(fault(skip, 1, error))).await;
            }
        }
        if seen > 0 {
            let error = errors[seen as usize % errors.len()];
            let what = format!("{statement:?} with every {class:?} in {area} failing: {error:?}");
            self.run(statement, &what, |faults| faults.arm(fault(0, u64::MAX, error))).await;
        }
        seen
    }

    /// Has the disk fill up under a statement.
    pub async fn full(&mut self, statement: Statement, room: u64) {
        let what = format!("{statement:?} with room for {room} bytes");
        self.run(statement, &what, |faults| faults.leave_room(room)).await;
    }

    /// Runs a statement with a fault, and again without one when it was refused. Returns how many operations were like
    /// those that were to fail.
    async fn run(&mut self, statement: Statement, what: &str, arm: impl FnOnce(&Faults)) -> u64 {
        self.turn += 1;
        let turn = self.turn;
        eprintln!("{what} (turn {turn})");
        for sql in statement.before(turn) {
            self.client.query(&sql).await;
            if sql.starts_with("BACKUP") {
                assert_finished(&wait_backup(&mut self.client, "d").await);
            }
        }
        if statement == Statement::FirstInsert {
            self.rows.clear();
        }
        arm(&self.faults);
        let outcome = self.attempt(statement, turn, what).await;
        let (seen, failed) = (self.faults.seen(), self.faults.failed());
        self.met += u64::from(failed > 0);
        // Whatever happened, it answers, and what is there is what was told.
        if let Outcome::Refused(text) = &outcome {
            self.told += 1;
            assert!(failed > 0, "{what}: nothing failed, and yet: {text}");
            self.check_text(what, text);
        }
        self.check(statement, turn, what, matches!(outcome, Outcome::Done)).await;
        self.faults.release();
        if matches!(outcome, Outcome::Refused(_)) {
            if statement == Statement::Spill {
                self.room_is_given_back(what).await;
            }
            let again = self.attempt(statement, turn, what).await;
            if let Outcome::Refused(text) = again {
                panic!("{what}: with the disk whole again it is refused: {text}\n{}", self.server.process().log_tail());
            }
            self.check(statement, turn, what, true).await;
        }
        for sql in statement.after(turn) {
            self.client.query(&sql).await;
        }
        let log = self.server.process().log();
        assert!(!log.contains("panicked"), "{what}\n{}", self.server.process().log_tail());
        seen
    }

    async fn attempt(&mut self, statement: Statement, turn: u64, what: &str) -> Outcome {
        let disk = format!("file://{}", self.server.folder().join("disk").display());
        let sql = statement.sql(turn).replace(DISK, &disk);
        if statement == Statement::StreamLoad {
            let body: String = keys(turn).iter().map(|k| format!("{k}\t{}\tloaded\n", k % 10)).collect();
            let body = Body::Bytes(body.into_bytes());
            let answer = self.server.stream_load("d", "t", &[("label", &sql)], body).await;
            return match answer["Status"].as_str() {
                Some("Success") => Outcome::Done,
                _ => Outcome::Refused(answer["Message"].as_str().unwrap_or_default().to_string()),
            };
        }
        if let Err(error) = self.client.try_query(&sql).await {
            assert_ne!(error.code, 0, "{what}: the connection is gone: {error}\n{}", self.server.process().log_tail());
            return Outcome::Refused(error.message);
        }
        if !statement.is_job() {
            return Outcome::Done;
        }
        let job = self.job(statement, turn).await;
        match job.field("State") {
            "FINISHED" => Outcome::Done,
            _ => Outcome::Refused(job.field("Status").to_string()),
        }
    }

    /// Waits for the end of a job. One that waits for the disk to be mended says so, and has it mended then.
    async fn job(&mut self, statement: Statement, turn: u64) -> Record {
        let show = match statement {
            Statement::Backup => "SHOW BACKUP FROM d".to_string(),
            _ => format!("SHOW RESTORE FROM copy{turn}"),
        };
        let faults = &self.faults;
        let reader = tokio::sync::Mutex::new(&mut self.reader);
        wait_until(JOB_PATIENCE, async || {
            let job = reader.lock().await.query(&show).await.record(0);
            let job = job.ok_or_else(|| format!("{show} is empty"))?;
            if matches!(job.field("State"), "FINISHED" | "CANCELLED") {
                return Ok(job);
            }
            if !matches!(job.field("TaskErrMsg"), "" | "NULL") {
                faults.disarm();
            }
            Err(format!("{job}"))
        })
        .await
    }

    /// What a load had written before it failed goes without a restart, and nothing of it stays in memory.
    async fn room_is_given_back(&self, what: &str) {
        wait_until(SOON, async || match self.files("staging") {
            files if files.is_empty() => Ok(()),
            files => Err(format!("{what}: left in staging: {files:?}")),
        })
        .await;
        wait_until(SOON, async || {
            let metrics = self.server.http_get("/metrics").await.text();
            let held = metrics.lines().find(|line| line.starts_with("ebla_memtable_bytes "));
            match held {
                Some("ebla_memtable_bytes 0") => Ok(()),
                held => Err(format!("{what}: {held:?}")),
            }
        })
        .await;
    }

    /// Files in one directory of every storage root.
    fn files(&self, directory: &str) -> Vec<String> {
        self.roots.iter().flat_map(|root| files_below(&root.join(directory))).collect()
    }

    /// A refusal names what could not be done, where, and why.
    fn check_text(&self, what: &str, text: &str) {
        let causes = ["No space left on device", "Input/output error"];
        assert!(causes.iter().any(|cause| text.contains(cause)), "{what}: no cause is told: {text}");
        assert!(text.contains("/disk/"), "{what}: no path is told: {text}");
        assert!(
            !text.contains("corrupt") && !text.contains("internal error"),
            "{what}: the disk is not blamed: {text}"
        );
    }

    /// While the fault stays: it can be read, and holds what it must.
    async fn check(&mut self, statement: Statement, turn: u64, what: &str, done: bool) {
        if done {
            statement.change(turn, &mut self.rows);
        }
        let found = rows_of(&mut self.reader, "d.t").await;
        assert_eq!(found, self.rows, "{what}: rows of d.t, done: {done}");
        if let Some((sql, expected)) = statement.done(turn) {
            let count = format!("{} rows", self.reader.query(&sql).await.rows.len());
            assert_eq!(count == expected, done, "{what}: {sql} gives {count}");
            assert!(done || statement != Statement::Spill || count == "0 rows", "{what}: {sql} gives {count}");
        }
        if let Some((sql, expected)) = statement.always(turn) {
            let count = format!("{} rows", self.reader.query(&sql).await.rows.len());
            assert_eq!(count, expected, "{what}: {sql}");
        }
        if statement == Statement::CreateRepository {
            let there =
                self.reader.query("SHOW REPOSITORIES").await.column("RepoName").contains(&format!("r{turn}").as_str());
            assert_eq!(there, done, "{what}: repository r{turn}");
        }
        if statement == Statement::DropSnapshot && done {
            let left = self.reader.query(&format!("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = 's{turn}'")).await;
            assert_eq!(left.rows.len(), 0, "{what}: snapshots s{turn}");
        }
        if statement == Statement::Restore {
            let databases = self.reader.query("SHOW DATABASES").await;
            let there = databases.rows.iter().any(|row| row[0].as_deref() == Some(&format!("copy{turn}")));
            assert_eq!(there, done, "{what}: database copy{turn}");
            if done {
                let rows = rows_of(&mut self.reader, &format!("copy{turn}.u")).await;
                assert_eq!(rows, (0..40).collect::<BTreeSet<i64>>(), "{what}");
            }
        }
    }

    /// At the end: faults were met, and nothing is left of them.
    pub async fn end(mut self, statements: usize) {
        assert!(self.met >= 2 * statements as u64, "only {} faults were met", self.met);
        assert!(self.told > 0, "no statement has told of one");
        eprintln!("{} turns, {} met a fault, {} told it", self.turn, self.met, self.told);
        // What could not be cleared away while the disk failed goes at the next start at the latest.
        self.server.restart_with(Watched::leave).await;
        let mut client = self.server.client().await;
        assert_eq!(rows_of(&mut client, "d.t").await, self.rows);
        assert_eq!(self.files("staging"), Vec::<String>::new(), "staging after a restart");
        // Segments of failed statements do not stay beside those that are named.
        client.query("DROP DATABASE d FORCE").await;
        self.server.restart().await;
        wait_until(SOON, async || match self.files("tablets") {
            files if files.is_empty() => Ok(()),
            files => Err(format!("left in tablets: {files:?}")),
        })
        .await;
        wait_until(SOON, async || match files_below(&self.server.data_dir().join("jobs")) {
            files if files.is_empty() => Ok(()),
            files => Err(format!("left of jobs: {files:?}")),
        })
        .await;
    }
}

/// The keys of a table, each once.
pub async fn rows_of(client: &mut Client, table: &str) -> BTreeSet<i64> {
    let rows = client.query(&format!("SELECT k FROM {table}")).await.rows;
    let keys: Vec<i64> = rows.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect();
    let set: BTreeSet<i64> = keys.iter().copied().collect();
    assert_eq!(set.len(), keys.len(), "{table} holds a row twice");
    set
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => files.push(path.display().to_string()),
            }
        }
    }
    files
}
