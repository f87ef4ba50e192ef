//! Plays a case: each operation on the servers and on the model, and then both are compared.
//!
//! A statement that must be refused, because the model says so, is said too and must change nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebla_tests::client::{Client, Record};
use ebla_tests::folder::Folder;
use ebla_tests::http::Body;
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use tokio::sync::Mutex;

use crate::check::{compare, compare_table, rows_of_all};
use crate::op::{Meanwhile, NAMES, Op, Row, SLOT_WIDTH, Scope, Target, quoted};
use crate::state::{Snapshot, Table, Tables, restored};

/// How long a backup may take until its cut is taken, on a busy machine.
const CUT_PATIENCE: Duration = Duration::from_secs(60);

/// The servers and the repository that all cases share.
pub struct World {
    server: Mutex<Server>,
    other: Server,
    cases: AtomicU64,
    _repository: Option<Folder>,
}

/// One case.
pub struct Case<'a> {
    world: &'a World,
    client: Client,
    other: Client,
    db: String,
    tables: Tables,
    snapshots: Vec<Snapshot>,
    /// The snapshot of a backup that may still run.
    running: Option<Snapshot>,
    /// Labels handed out.
    labels: usize,
    /// What was said, for replay.
    said: Vec<String>,
}

impl World {
    /// With a repository in a directory.
    pub async fn on_a_directory() -> World {
        let folder = Folder::new("model-repository");
        let location = format!("file://{}", folder.path().display());
        let statement = format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"{location}\"");
        World::new(&statement, Some(folder)).await
    }

    /// With a repository in a bucket.
    pub async fn on_s3(bucket: &Bucket) -> World {
        World::new(&bucket.create_repository("repo", "model"), None).await
    }

    async fn new(create_repository: &str, folder: Option<Folder>) -> World {
        let server = Server::start("model").await;
        server.client().await.query(create_repository).await;
        let other = Server::start("model-other").await;
        let read_only = create_repository.replacen("CREATE", "CREATE READ ONLY", 1);
        other.client().await.query(&read_only).await;
        World { server: Mutex::new(server), other, cases: AtomicU64::new(0), _repository: folder }
    }
}

impl<'a> Case<'a> {
    /// A case in a new, empty database.
    pub async fn new(world: &'a World) -> Case<'a> {
        let db = format!("m{}", world.cases.fetch_add(1, Ordering::Relaxed));
        let client = world.server.lock().await.client().await;
        let other = world.other.client().await;
        let (tables, snapshots, said) = (Tables::new(), Vec::new(), Vec::new());
        let mut case = Case { world, client, other, db, tables, snapshots, running: None, labels: 0, said };
        case.run(&format!("CREATE DATABASE {}", case.db)).await;
        case
    }

    /// Plays all of it, and then restores every snapshot into the other server, which has nothing.
    pub async fn play(&mut self, ops: &[Op]) {
        for op in ops {
            self.apply(op).await;
        }
        self.compare().await;
        self.settle().await;
        for snapshot in self.snapshots.clone() {
            self.restore_elsewhere(&snapshot).await;
        }
    }

    /// Leaves nothing behind, however the case went, and gives the statements it was made of.
    pub async fn end(mut self) -> String {
        // What is refused here was never made, or has ended.
        self.client = self.world.server.lock().await.client().await;
        let _ = self.client.try_query(&format!("CANCEL BACKUP FROM {}", self.db)).await;
        let _ = self.client.try_query(&format!("CANCEL RESTORE FROM {}", self.db)).await;
        let _ = self.client.try_query(&format!("DROP DATABASE {} FORCE", self.db)).await;
        let _ = self.client.try_query(&format!("DROP DATABASE {}_copy FORCE", self.db)).await;
        self.said.join("\n")
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { name, ranged } => self.create(*name, *ranged).await,
            Op::Drop { table, force } => self.drop_table(*table, *force).await,
            Op::Truncate { table, slot } => self.truncate(*table, *slot).await,
            Op::Rename { table, name } => self.rename(*table, *name).await,
            Op::AddPartition { table, slot } => self.add_partition(*table, *slot).await,
            Op::DropPartition { table, slot, force } => self.drop_partition(*table, *slot, *force).await,
            Op::Insert { table, rows } => self.insert(*table, rows, "INTO").await,
            Op::Overwrite { table, rows } => self.insert(*table, rows, "OVERWRITE").await,
            Op::StreamLoad { table, rows } => self.stream_load(*table, rows).await,
            Op::Copy { from, to } => self.copy(*from, *to).await,
            Op::Delete { table, slot, predicate } => {
                let Some(name) = self.pick(*table).filter(|name| slot.is_none_or(|slot| self.tables[name].has(slot)))
                else {
                    return;
                };
                let partition = slot.map_or(String::new(), |slot| format!(" PARTITION p{slot}"));
                let table = self.qualified(&name);
                self.run(&format!("DELETE FROM {table}{partition} WHERE {}", predicate.sql())).await;
                self.table(&name).delete(*slot, *predicate);
                self.compare_table(&name).await;
            }
            Op::Compact { table } => {
                let Some(name) = self.pick(*table) else { return };
                self.run(&format!("ALTER TABLE {} COMPACT", self.qualified(&name))).await;
                self.compare_table(&name).await;
            }
            Op::Backup(scope) => self.backup(*scope).await,
            Op::CancelBackup => self.cancel_backup().await,
            Op::Restore { snapshot, target, meanwhile } => self.restore(*snapshot, *target, *meanwhile).await,
            Op::Kill => self.kill().await,
        }
    }

    async fn create(&mut self, name: u8, ranged: bool) {
        let name = NAMES[usize::from(name) % NAMES.len()];
        if self.tables.contains_key(name) {
            return;
        }
        let table = Table::new(ranged);
        let partitions: Vec<String> = table.slots.iter().flatten().map(|slot| partition(*slot)).collect();
        let by = if ranged { format!(" PARTITION BY RANGE (g) ({})", partitions.join(", ")) } else { String::new() };
        self.run(&format!(
            "CREATE TABLE {} (k INT NOT NULL, g INT NOT NULL, v VARCHAR(50)) DUPLICATE KEY (k){by} \
             DISTRIBUTED BY HASH(k) BUCKETS 2",
            self.qualified(name)
        ))
        .await;
        self.tables.insert(name.to_string(), table);
    }

    async fn drop_table(&mut self, table: u8, force: bool) {
        let Some(name) = self.pick(table) else { return };
        let force = if force { " FORCE" } else { "" };
        self.run(&format!("DROP TABLE {}{force}", self.qualified(&name))).await;
        self.tables.remove(&name);
    }

    async fn truncate(&mut self, table: u8, slot: Option<u8>) {
        let Some(name) = self.pick(table) else { return };
        let slot = slot.filter(|slot| self.tables[&name].has(*slot));
        let only = slot.map_or(String::new(), |slot| format!(" PARTITION (p{slot})"));
        self.run(&format!("TRUNCATE TABLE {}{only}", self.qualified(&name))).await;
        self.table(&name).remove(slot, |_| true);
        self.compare_table(&name).await;
    }

    async fn rename(&mut self, table: u8, name: u8) {
        let Some(old) = self.pick(table) else { return };
        let new = NAMES[usize::from(name) % NAMES.len()];
        if self.tables.contains_key(new) {
            return;
        }
        self.run(&format!("ALTER TABLE {} RENAME `{new}`", self.qualified(&old))).await;
        let table = self.tables.remove(&old).unwrap();
        self.tables.insert(new.to_string(), table);
        self.compare_table(new).await;
    }

    async fn add_partition(&mut self, table: u8, slot: u8) {
        let Some(name) = self.pick(table) else { return };
        if self.tables[&name].slots.is_none() || self.tables[&name].has(slot) {
            return;
        }
        self.run(&format!("ALTER TABLE {} ADD {}", self.qualified(&name), partition(slot))).await;
        self.table(&name).slots.as_mut().unwrap().insert(slot);
    }

    async fn drop_partition(&mut self, table: u8, slot: u8, force: bool) {
        let Some(name) = self.pick(table) else { return };
        // The last one stays.
        if !self.tables[&name].has(slot) || self.tables[&name].slots.as_ref().is_none_or(|slots| slots.len() < 2) {
            return;
        }
        let force = if force { " FORCE" } else { "" };
        self.run(&format!("ALTER TABLE {} DROP PARTITION p{slot}{force}", self.qualified(&name))).await;
        let table = self.table(&name);
        table.remove(Some(slot), |_| true);
        table.slots.as_mut().unwrap().remove(&slot);
        self.compare_table(&name).await;
    }

    /// INSERT INTO or OVERWRITE. With a row that no partition takes, nothing of it happens.
    async fn insert(&mut self, table: u8, rows: &[Row], how: &str) {
        let Some(name) = self.pick(table) else { return };
        let values: Vec<String> = rows
            .iter()
            .map(|row| format!("({}, {}, {})", row.k, row.g, row.v.map_or("NULL".to_string(), quoted)))
            .collect();
        let statement = format!("INSERT {how} {} VALUES {}", self.qualified(&name), values.join(", "));
        if self.tables[&name].takes(rows) {
            self.run(&statement).await;
            let table = self.table(&name);
            if how == "OVERWRITE" {
                table.rows.clear();
            }
            table.rows.extend_from_slice(rows);
        } else {
            self.say(&statement);
            self.client.refused(&statement).await;
        }
        self.compare_table(&name).await;
    }

    async fn stream_load(&mut self, table: u8, rows: &[Row]) {
        let Some(name) = self.pick(table) else { return };
        let lines = rows.iter().map(|row| format!("{}|{}|{}\n", row.k, row.g, row.v.unwrap_or("\\N")));
        let body: String = lines.collect();
        self.say(&format!("-- Stream Load into {}, column_separator |\n{body}", self.qualified(&name)));
        let target = name.replace(' ', "%20");
        let server = self.world.server.lock().await;
        let answer =
            server.stream_load(&self.db, &target, &[("column_separator", "|")], Body::Bytes(body.into_bytes())).await;
        drop(server);
        let expected = if self.tables[&name].takes(rows) {
            self.table(&name).rows.extend_from_slice(rows);
            "Success"
        } else {
            "Fail"
        };
        assert_eq!(answer["Status"], expected, "{answer:#}");
        self.compare_table(&name).await;
    }

    /// INSERT of what another table, or the same one, holds.
    async fn copy(&mut self, from: u8, to: u8) {
        let (Some(from), Some(to)) = (self.pick(from), self.pick(to)) else { return };
        let rows: Vec<Row> = self.tables[&from].rows.iter().filter(|row| row.k < 50).cloned().collect();
        if !self.tables[&to].takes(&rows) {
            return;
        }
        let (source, target) = (self.qualified(&from), self.qualified(&to));
        self.run(&format!("INSERT INTO {target} SELECT * FROM {source} WHERE k < 50")).await;
        self.table(&to).rows.extend(rows);
        self.compare_table(&to).await;
    }

    /// Begins a backup and waits for its cut only.
    async fn backup(&mut self, scope: Scope) {
        self.settle().await;
        let Some((tables, clause)) = self.scope(scope) else { return };
        self.labels += 1;
        let label = format!("{}_s{}", self.db, self.labels);
        self.run(&format!("BACKUP SNAPSHOT {}.{label} TO repo{clause}", self.db)).await;
        let show = format!("SHOW BACKUP FROM {}", self.db);
        let client = Mutex::new(&mut self.client);
        wait_until(CUT_PATIENCE, async || {
            let job = client.lock().await.query(&show).await.record(0);
            match job.as_ref().map(|job| job.field("State")) {
                None | Some("PENDING" | "SNAPSHOTING") => Err(format!("{job:?}")),
                Some(_) => Ok(()),
            }
        })
        .await;
        self.running = Some(Snapshot { label, tables });
    }

    /// What a scope holds now, and how it is said; nothing when there is nothing to back up.
    fn scope(&self, scope: Scope) -> Option<(Tables, String)> {
        let masked = |mask: u8| -> Tables {
            let chosen = self.tables.iter().enumerate().filter(|(index, _)| mask & (1 << index) != 0);
            chosen.map(|(_, (name, table))| (name.clone(), table.clone())).collect()
        };
        let (tables, clause) = match scope {
            Scope::Database => (self.tables.clone(), String::new()),
            Scope::Tables(mask) => (masked(mask), format!(" ON ({})", names(&masked(mask)))),
            Scope::AllBut(mask) if masked(mask).is_empty() => (self.tables.clone(), String::new()),
            Scope::AllBut(mask) => (masked(!mask), format!(" EXCLUDE ({})", names(&masked(mask)))),
            Scope::Partition(table, slot) => {
                let name = self.pick(table).filter(|name| self.tables[name].has(slot))?;
                let only = Tables::from([(name.clone(), self.tables[&name].only(slot))]);
                (only, format!(" ON (`{name}` PARTITION (p{slot}))"))
            }
        };
        (!tables.is_empty()).then_some((tables, clause))
    }

    /// Cancels the backup that may still run: there is a snapshot afterwards, or there is none.
    async fn cancel_backup(&mut self) {
        let Some(snapshot) = self.running.take() else { return };
        let statement = format!("CANCEL BACKUP FROM {}", self.db);
        self.say(&statement);
        // Too late is an answer too.
        let _ = self.client.try_query(&statement).await;
        let job = wait_backup(&mut self.client, &self.db).await;
        match job.field("State") {
            "FINISHED" => self.snapshots.push(snapshot),
            _ => assert_eq!(job.field("Status"), "[COMMON_ERROR, msg: user cancelled]", "{job}"),
        }
    }

    /// Waits until no backup runs.
    async fn settle(&mut self) {
        if let Some(snapshot) = self.running.take() {
            assert_finished(&wait_backup(&mut self.client, &self.db).await);
            self.snapshots.push(snapshot);
        }
    }

    async fn restore(&mut self, snapshot: u8, target: Target, meanwhile: Meanwhile) {
        self.settle().await;
        let Some(snapshot) = nth(self.snapshots.iter(), snapshot).cloned() else { return };
        let pick = |table: u8| nth(snapshot.tables.iter(), table).map(|(name, table)| (name.clone(), table.clone()));
        let (tables, clause) = match target {
            Target::InPlace => (snapshot.tables.clone(), String::new()),
            Target::OtherServer => return self.restore_elsewhere(&snapshot).await,
            Target::OtherDatabase => return self.restore_copy(&snapshot).await,
            Target::Tables(mask) => {
                let chosen = snapshot.tables.iter().enumerate().filter(|(index, _)| mask & (1 << index) != 0);
                let chosen: Tables = chosen.map(|(_, (name, table))| (name.clone(), table.clone())).collect();
                let clause = format!(" ON ({})", names(&chosen));
                (chosen, clause)
            }
            Target::Partition(table, slot) => {
                let Some((name, table)) = pick(table).filter(|(_, table)| table.has(slot)) else { return };
                let clause = format!(" ON (`{name}` PARTITION (p{slot}))");
                (Tables::from([(name, table.only(slot))]), clause)
            }
            Target::As(table, alias) => {
                let Some((name, table)) = pick(table) else { return };
                let alias = NAMES[usize::from(alias) % NAMES.len()];
                (Tables::from([(alias.to_string(), table)]), format!(" ON (`{name}` AS `{alias}`)"))
            }
        };
        if tables.is_empty() {
            return;
        }
        let statement = format!("RESTORE SNAPSHOT {}.{} FROM repo{clause}", self.db, snapshot.label);
        self.run(&statement).await;
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Load => self.load_beside(&tables).await,
            Meanwhile::Kill => self.start_again().await,
        }
        match restored(&self.tables, &tables) {
            Ok(after) => {
                let job = self.watch_restore(&after).await;
                assert_finished(&job);
                self.tables = after;
            }
            Err(_) => {
                let job = wait_restore(&mut self.client, &self.db).await;
                assert_eq!(job.field("State"), "CANCELLED", "{job}");
                assert!(job.field("Status").contains("different schema"), "{job}");
            }
        }
        self.compare().await;
    }

    /// Loads a row into a table that these are not, if there is one.
    async fn load_beside(&mut self, tables: &Tables) {
        let row = Row { k: 7, g: 7, v: None };
        let beside =
            |(name, table): &(&String, &Table)| !tables.contains_key(*name) && table.takes(std::slice::from_ref(&row));
        let Some(name) = self.tables.iter().find(beside).map(|(name, _)| name.clone()) else { return };
        self.run(&format!("INSERT INTO {} VALUES (7, 7, NULL)", self.qualified(&name))).await;
        self.table(&name).rows.push(row);
    }

    /// Waits for the end of a restore. Until then its tables answer with what they held or with what they are going to
    /// hold, all of them at the same moment.
    async fn watch_restore(&mut self, after: &Tables) -> Record {
        let watched = self.tables.iter().filter(|(name, before)| after.get(*name) != Some(before));
        let watched: Vec<String> = watched.map(|(name, _)| name.clone()).collect();
        let sorted =
            |tables: &Tables| -> Vec<Vec<Row>> { watched.iter().map(|name| tables[name].sorted_rows()).collect() };
        let (before, after) = (sorted(&self.tables), sorted(after));
        let names: Vec<String> = watched.iter().map(|name| self.qualified(name)).collect();
        let show = format!("SHOW RESTORE FROM {}", self.db);
        loop {
            let job = self.client.query(&show).await.record(0).expect("a restore was begun");
            if matches!(job.field("State"), "FINISHED" | "CANCELLED") {
                return job;
            }
            if !names.is_empty() {
                let found = rows_of_all(&mut self.client, &names).await;
                let is_known = found == before || found == after;
                assert!(is_known, "{names:?} show neither what was nor what will be: {found:?}");
            }
        }
    }

    /// Restores a snapshot into another database of the same server.
    async fn restore_copy(&mut self, snapshot: &Snapshot) {
        let copy = format!("{}_copy", self.db);
        self.run(&format!("RESTORE SNAPSHOT {copy}.{} FROM repo", snapshot.label)).await;
        assert_finished(&wait_restore(&mut self.client, &copy).await);
        compare(&mut self.client, &copy, &snapshot.tables).await;
        self.run(&format!("DROP DATABASE {copy} FORCE")).await;
    }

    /// Restores a snapshot into the other server, where there is nothing.
    async fn restore_elsewhere(&mut self, snapshot: &Snapshot) {
        let statement = format!("RESTORE SNAPSHOT {}.{} FROM repo", self.db, snapshot.label);
        self.say(&format!("-- on the other server\n{statement}"));
        self.other.query(&statement).await;
        assert_finished(&wait_restore(&mut self.other, &self.db).await);
        compare(&mut self.other, &self.db, &snapshot.tables).await;
        self.other.query(&format!("DROP DATABASE {} FORCE", self.db)).await;
    }

    /// The server is killed. A backup goes on with the cut it has taken.
    async fn kill(&mut self) {
        self.start_again().await;
        self.compare().await;
    }

    /// SIGKILL and a new start.
    async fn start_again(&mut self) {
        self.say("-- kill -9, start again");
        let mut server = self.world.server.lock().await;
        server.kill9();
        server.restart().await;
        self.client = server.client().await;
    }

    async fn compare(&mut self) {
        compare(&mut self.client, &self.db, &self.tables).await;
    }

    async fn compare_table(&mut self, name: &str) {
        let table = self.qualified(name);
        compare_table(&mut self.client, &table, &self.tables[name]).await;
    }

    async fn run(&mut self, statement: &str) {
        self.say(statement);
        self.client.query(statement).await;
    }

    fn say(&mut self, statement: &str) {
        self.said.push(format!("{statement};"));
    }

    /// The table that a number means.
    fn pick(&self, number: u8) -> Option<String> {
        nth(self.tables.keys(), number).cloned()
    }

    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.get_mut(name).expect("a table that was picked")
    }

    fn qualified(&self, name: &str) -> String {
        format!("{}.`{name}`", self.db)
    }
}

fn partition(slot: u8) -> String {
    let low = i32::from(slot) * SLOT_WIDTH;
    format!("PARTITION p{slot} VALUES [(\"{low}\"), (\"{}\"))", low + SLOT_WIDTH)
}

fn names(tables: &Tables) -> String {
    tables.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The thing that a number means among those there are.
fn nth<T>(mut things: impl ExactSizeIterator<Item = T>, number: u8) -> Option<T> {
    let count = things.len();
    things.nth(usize::from(number).checked_rem(count)?)
}
