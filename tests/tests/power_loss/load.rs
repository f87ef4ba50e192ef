//! What the clients do while the disk is recorded, and what they were told.
//!
//! Each client works in databases of its own, one statement after the other, so its history is a list of states: at any
//! place of the record all acknowledged steps are done, the one that was under way is done or not, and no other is.

use std::collections::{BTreeMap, BTreeSet};

use ebla_tests::client::Client;
use ebla_tests::disk::Watched;
use ebla_tests::http::Body;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

/// Clients at a time: enough that their operations meet.
const CLIENTS: usize = 3;

/// Steps of each.
const STEPS: usize = 22;

/// Rows of one table by their keys.
pub type Table = BTreeSet<i64>;

/// Tables by their names.
pub type Tables = BTreeMap<String, Table>;

/// What a client has reason to expect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Tables by their databases.
    pub databases: BTreeMap<String, Tables>,
    /// Snapshots by their labels.
    pub snapshots: BTreeMap<String, Tables>,
    /// Labels of loads that are taken.
    pub labels: BTreeSet<String>,
    /// Users that can connect.
    pub users: BTreeSet<String>,
    /// Repositories that can be read.
    pub repositories: BTreeSet<String>,
}

/// A statement, and the state once it is done.
#[derive(Debug)]
pub struct Step {
    /// For people.
    pub said: String,
    /// Where the record was before the client said it.
    pub begun: u64,
    /// Where the record was when the client had its answer.
    pub acknowledged: u64,
    /// What holds from then on.
    pub after: State,
}

/// What a client did.
#[derive(Debug)]
pub struct History {
    /// What the names of its databases, labels and users begin with.
    pub prefix: String,
    /// In their order.
    pub steps: Vec<Step>,
}

impl History {
    /// Where the record was at each acknowledgement.
    pub fn acknowledged(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().map(|step| step.acknowledged)
    }

    /// The states that may be found when the power has gone here, with what was said last.
    pub fn expected(&self, position: u64) -> Vec<(State, String)> {
        let done = self.steps.partition_point(|step| step.acknowledged <= position);
        let state = |count: usize| match count.checked_sub(1).map(|last| &self.steps[last]) {
            Some(step) => (step.after.clone(), format!("after {}", step.said)),
            None => (State::default(), "before anything".to_string()),
        };
        let mut expected = vec![state(done)];
        if self.steps.get(done).is_some_and(|next| next.begun < position) {
            expected.push(state(done + 1));
        }
        expected
    }
}

/// Runs the load to its end.
pub async fn run(server: &Server, watched: &Watched, s3: &S3sFs, rng: &mut StdRng) -> Vec<History> {
    let repository = watched.root().join("repository");
    let sealed = s3.bucket("sealed").await.create_repository("p_sealed", "x");
    let mut setup = Worker::new("p", server, watched, rng.random()).await;
    setup
        .say(
            &format!("CREATE REPOSITORY p_repo WITH BROKER ON LOCATION \"file://{}\"", repository.display()),
            |state| {
                state.repositories.insert("p_repo".to_string());
            },
        )
        .await;
    setup
        .say(&sealed, |state| {
            state.repositories.insert("p_sealed".to_string());
        })
        .await;
    setup
        .say("CREATE USER p_user IDENTIFIED BY 'p'", |state| {
            state.users.insert("p_user".to_string());
        })
        .await;
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.random()).collect();
    let workers = seeds.iter().enumerate().map(|(index, seed)| {
        let prefix = ["a", "b", "c", "d"][index];
        async move {
            let mut worker = Worker::new(prefix, server, watched, *seed).await;
            worker.work().await;
            worker.history
        }
    });
    let mut histories = futures::future::join_all(workers).await;
    histories.push(setup.history);
    histories
}

/// One client.
struct Worker<'a> {
    server: &'a Server,
    watched: &'a Watched,
    client: Client,
    rng: StdRng,
    state: State,
    history: History,
    /// The next key; none comes twice.
    next_key: i64,
    names: usize,
}

impl<'a> Worker<'a> {
    async fn new(prefix: &str, server: &'a Server, watched: &'a Watched, seed: u64) -> Worker<'a> {
        Worker {
            server,
            watched,
            client: server.client().await,
            rng: StdRng::seed_from_u64(seed),
            state: State::default(),
            history: History { prefix: prefix.to_string(), steps: Vec::new() },
            next_key: 0,
            names: 0,
        }
    }

    /// Says a statement and notes what it changes.
    async fn say(&mut self, sql: &str, change: impl FnOnce(&mut State)) {
        let begun = self.watched.position();
        self.client.query(sql).await;
        self.note(begun, sql, change);
    }

    fn note(&mut self, begun: u64, said: &str, change: impl FnOnce(&mut State)) {
        change(&mut self.state);
        let acknowledged = self.watched.position();
        let said = said.to_string();
        self.history.steps.push(Step { said, begun, acknowledged, after: self.state.clone() });
    }

    async fn work(&mut self) {
        let db = format!("{}_db", self.history.prefix);
        self.say(&format!("CREATE DATABASE {db}"), |state| {
            state.databases.insert(db.clone(), Tables::new());
        })
        .await;
        self.create(&db).await;
        self.insert(&db).await;
        for step in 0..STEPS {
            match self.rng.random_range(0..22) {
                0..5 => self.insert(&db).await,
                5..9 => self.stream_load(&db).await,
                9..12 => self.delete(&db).await,
                12 => self.create(&db).await,
                13 => self.rename(&db).await,
                14 => self.truncate(&db).await,
                15 => self.drop_table(&db).await,
                16 => self.compact(&db).await,
                17..19 => self.backup(&db).await,
                19 => self.drop_snapshot(&db).await,
                20 => self.clean().await,
                _ => self.restore(&db).await,
            }
            // Whatever the lot says, each client has snapshots, a restore, and a snapshot that it drops; what that alone
            // referred to is marked, and swept.
            match step {
                8 | 10 => self.backup(&db).await,
                12 => self.drop_snapshot(&db).await,
                14 => self.restore(&db).await,
                13 | 16 | 19 => self.clean().await,
                _ => {}
            }
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{}_{kind}{}", self.history.prefix, self.names)
    }

    fn table(&mut self, db: &str) -> String {
        self.state.databases[db].keys().choose(&mut self.rng).expect("one is never dropped").clone()
    }

    fn keys(&mut self) -> Table {
        let count = self.rng.random_range(1..30);
        let first = self.next_key;
        self.next_key += count;
        (first..self.next_key).collect()
    }

    async fn create(&mut self, db: &str) {
        let table = self.name("t");
        let sql = format!(
            "CREATE TABLE {db}.{table} (k BIGINT NOT NULL, g INT NOT NULL, v VARCHAR(40)) DUPLICATE KEY (k) \
             PARTITION BY RANGE (g) (PARTITION p0 VALUES LESS THAN (\"2\"), PARTITION p1 VALUES LESS THAN (\"3\")) \
             DISTRIBUTED BY HASH(k) BUCKETS 2"
        );
        self.say(&sql, |state| {
            state.databases.get_mut(db).unwrap().insert(table, Table::new());
        })
        .await;
    }

    async fn insert(&mut self, db: &str) {
        let (table, keys) = (self.table(db), self.keys());
        let rows: Vec<String> = keys.iter().map(|k| format!("({k}, {}, '{}')", k % 3, value(*k))).collect();
        let sql = format!("INSERT INTO {db}.{table} VALUES {}", rows.join(", "));
        self.say(&sql, |state| state.databases.get_mut(db).unwrap().get_mut(&table).unwrap().extend(keys)).await;
    }

    async fn stream_load(&mut self, db: &str) {
        let (table, keys, label) = (self.table(db), self.keys(), self.name("label"));
        let body: String = keys.iter().map(|k| format!("{k}\t{}\t{}\n", k % 3, value(*k))).collect();
        let begun = self.watched.position();
        self.server.load(db, &table, &[("label", &label)], Body::Bytes(body.into_bytes())).await;
        self.note(begun, &format!("Stream Load {label} into {db}.{table}"), |state| {
            state.databases.get_mut(db).unwrap().get_mut(&table).unwrap().extend(keys);
            state.labels.insert(format!("{db}.{label}"));
        });
    }

    async fn delete(&mut self, db: &str) {
        let (table, rest) = (self.table(db), self.rng.random_range(0..4));
        let sql = format!("DELETE FROM {db}.{table} WHERE k % 4 = {rest}");
        self.say(&sql, |state| state.databases.get_mut(db).unwrap().get_mut(&table).unwrap().retain(|k| k % 4 != rest))
            .await;
    }

    async fn rename(&mut self, db: &str) {
        let (table, to) = (self.table(db), self.name("r"));
        self.say(&format!("ALTER TABLE {db}.{table} RENAME {to}"), |state| {
            let tables = state.databases.get_mut(db).unwrap();
            let rows = tables.remove(&table).unwrap();
            tables.insert(to, rows);
        })
        .await;
    }

    async fn truncate(&mut self, db: &str) {
        let table = self.table(db);
        let sql = format!("TRUNCATE TABLE {db}.{table} PARTITION (p1)");
        self.say(&sql, |state| state.databases.get_mut(db).unwrap().get_mut(&table).unwrap().retain(|k| k % 3 != 2))
            .await;
    }

    async fn drop_table(&mut self, db: &str) {
        if self.state.databases[db].len() < 2 {
            return self.create(db).await;
        }
        let table = self.table(db);
        self.say(&format!("DROP TABLE {db}.{table} FORCE"), |state| {
            state.databases.get_mut(db).unwrap().remove(&table);
        })
        .await;
    }

    async fn compact(&mut self, db: &str) {
        let table = self.table(db);
        self.say(&format!("ALTER TABLE {db}.{table} COMPACT"), |_| {}).await;
    }

    async fn backup(&mut self, db: &str) {
        let label = self.name("s");
        let begun = self.watched.position();
        let sql = format!("BACKUP SNAPSHOT {db}.{label} TO p_repo");
        self.client.query(&sql).await;
        assert_finished(&wait_backup(&mut self.client, db).await);
        self.note(begun, &sql, |state| {
            state.snapshots.insert(label, state.databases[db].clone());
        });
    }

    async fn drop_snapshot(&mut self, db: &str) {
        let Some(label) = self.state.snapshots.keys().choose(&mut self.rng).cloned() else {
            return self.backup(db).await;
        };
        self.say(&format!("DROP SNAPSHOT {label} ON p_repo"), |state| {
            state.snapshots.remove(&label);
        })
        .await;
    }

    async fn clean(&mut self) {
        self.say("ADMIN CLEAN REPOSITORY p_repo", |_| {}).await;
    }

    /// Into a new database, or over the one it came from.
    async fn restore(&mut self, db: &str) {
        let Some(label) = self.state.snapshots.keys().choose(&mut self.rng).cloned() else {
            return self.backup(db).await;
        };
        let copy = self.name("copy");
        let begun = self.watched.position();
        let sql = format!("RESTORE SNAPSHOT {label} FROM p_repo DATABASE {db} AS {copy}");
        self.client.query(&sql).await;
        assert_finished(&wait_restore(&mut self.client, &copy).await);
        self.note(begun, &sql, |state| {
            state.databases.insert(copy, state.snapshots[&label].clone());
        });
    }
}

/// What stands in the row of a key.
pub fn value(k: i64) -> String {
    format!("row {k} of many")
}
