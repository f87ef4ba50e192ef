//! One client and its database: what it has been promised, and what was under way when the server died.
//!
//! It says one thing after the other, so at any moment at most one statement, one backup and one restore can be in doubt.
//! The first thing it does with a new server is to find out what became of them ([`Worker::recover`]); every doubt has
//! few answers, and what the server holds must be one of these, whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebla_tests::client::{Client, Record};
use ebla_tests::http::{Body, Request};
use ebla_tests::server::{ROOT_PASSWORD, basic};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::look::{Blind, look};
use crate::op::{Op, Step, names_like};
use crate::state::{Table, Tables, difference, restored};

/// Between two looks at a job.
const POLL: Duration = Duration::from_millis(20);

/// How long a job may take: far above any here, also on a busy machine.
const JOB_PATIENCE: Duration = Duration::from_secs(120);

/// One statement of so many is followed by a look at everything.
const LOOK_SHARE: u32 = 6;

/// Restores are of the newest so many snapshots: what was proven long ago stays proven.
const SNAPSHOTS_KEPT: usize = 12;

/// MySQL's number for a database that is not there.
const UNKNOWN_DATABASE: u16 = 1049;

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Address {
    pub mysql: String,
    pub http: String,
}

/// A snapshot that SHOW BACKUP has called finished.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub label: String,
    /// The states it may be of: those that the database was in between the submission and the moment at which the cut
    /// was known to be taken. Once it has been restored, the one that was found.
    pub cuts: Vec<Tables>,
}

/// What a worker has seen, for the report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub acknowledged: u64,
    pub in_doubt: u64,
    pub in_doubt_done: u64,
    pub backups: u64,
    pub cancelled: u64,
    pub restores: u64,
    pub looks: u64,
}

/// One client with its database.
#[derive(Debug)]
pub struct Worker {
    pub db: String,
    /// What has been acknowledged leads to this.
    pub state: Tables,
    pub snapshots: Vec<Snapshot>,
    pub seen: Seen,
    /// Counts what has been answered, over all workers.
    pulse: Arc<AtomicU64>,
    doubt: Option<Doubt>,
    backup: Option<Backup>,
    /// The snapshot that is being restored into a database of its own.
    copied: Option<Snapshot>,
    next_load: u32,
    next_label: u32,
}

/// What has been said, and not been answered.
#[derive(Debug)]
enum Doubt {
    Op(Op),
    Restore {
        label: String,
        /// The last restore before it.
        after_job: u64,
        accepted: bool,
        outcomes: Vec<Tables>,
    },
}

/// A backup whose end is not known.
#[derive(Debug)]
struct Backup {
    label: String,
    accepted: bool,
    cancelled: bool,
    /// Whether the cut may still be to come.
    open: bool,
    cuts: Vec<Tables>,
}

impl Worker {
    pub fn new(db: &str, pulse: &Arc<AtomicU64>) -> Worker {
        Worker {
            db: db.to_owned(),
            state: Tables::new(),
            snapshots: Vec::new(),
            seen: Seen::default(),
            pulse: Arc::clone(pulse),
            doubt: None,
            backup: None,
            copied: None,
            next_load: 1,
            next_label: 1,
        }
    }

    /// Works until the server is gone. An error is something that must not be.
    pub async fn live(&mut self, at: &Address, seed: u64) -> Result<(), String> {
        let mut random = StdRng::seed_from_u64(seed);
        match self.work(at, &mut random).await {
            Err(Blind::Gone) => Ok(()),
            Err(Blind::Wrong(text)) => Err(self.told(&text)),
            Ok(never) => match never {},
        }
    }

    /// Finds out about everything that is in doubt, and proves the newest snapshot.
    pub async fn settle(&mut self, at: &Address) -> Result<(), String> {
        let settled = async {
            let mut client = connect(at).await?;
            self.recover(at, &mut client).await?;
            self.await_backup(&mut client).await?;
            if !self.snapshots.is_empty() {
                self.restore_copy(&mut client, self.snapshots.len() - 1).await?;
            }
            self.compare(&mut client).await
        };
        match settled.await {
            Ok(()) => Ok(()),
            Err(Blind::Gone) => Err(format!("{}: the server is gone, and nobody killed it", self.db)),
            Err(Blind::Wrong(text)) => Err(self.told(&text)),
        }
    }

    /// Compares all of the database.
    pub async fn look_again(&mut self, at: &Address) -> Result<(), String> {
        let looked = async { self.compare(&mut connect(at).await?).await };
        looked.await.map_err(|blind| format!("{blind:?}"))
    }

    /// Makes a backup and waits for it.
    pub async fn back_up(&mut self, at: &Address) -> Result<(), String> {
        let backed_up = async {
            let mut client = connect(at).await?;
            self.begin_backup(&mut client).await?;
            self.await_backup(&mut client).await
        };
        backed_up.await.map_err(|blind: Blind| format!("{blind:?}"))
    }

    /// Nothing is being copied any more.
    pub fn forget_copy(&mut self) {
        self.copied = None;
    }

    /// Labels that SHOW SNAPSHOT must list, and no others of this database.
    pub fn labels(&self) -> Vec<&str> {
        self.snapshots.iter().map(|snapshot| snapshot.label.as_str()).collect()
    }

    fn told(&self, text: &str) -> String {
        format!("{}: {text}\nin doubt: {:?}, {:?}", self.db, self.doubt, self.backup)
    }

    async fn work(&mut self, at: &Address, random: &mut StdRng) -> Result<std::convert::Infallible, Blind> {
        let mut client = connect(at).await?;
        self.recover(at, &mut client).await?;
        loop {
            self.look_at_backup(&mut client).await?;
            match Step::choose(random, &self.state, self.next_load, self.backup.is_some()) {
                Step::Op(op) => self.say(at, &mut client, op).await?,
                Step::Backup => self.begin_backup(&mut client).await?,
                Step::CancelBackup => self.cancel_backup(&mut client).await?,
                Step::AwaitBackup => self.await_backup(&mut client).await?,
                Step::Restore(number) => {
                    let Some((label, cuts)) = self.pick(number) else { continue };
                    let outcomes = cuts.iter().map(|cut| restored(&self.state, cut)).collect();
                    self.restore(&mut client, &label, "", outcomes).await?;
                }
                Step::RestoreAs(number) => {
                    let Some((label, cuts)) = self.pick(number) else { continue };
                    let Some((table, alias, outcomes)) = self.aliased(random, &cuts) else { continue };
                    self.restore(&mut client, &label, &format!(" ON ({table} AS {alias})"), outcomes).await?;
                }
                Step::RestoreCopy(number) => {
                    let newest = self.snapshots.len().min(SNAPSHOTS_KEPT);
                    let Some(back) = number.checked_rem(newest) else { continue };
                    self.restore_copy(&mut client, self.snapshots.len() - 1 - back).await?;
                }
            }
            self.pulse.fetch_add(1, Ordering::Relaxed);
            if random.random_range(0..LOOK_SHARE) == 0 {
                self.compare(&mut client).await?;
            }
        }
    }

    /// What became of everything that was under way.
    async fn recover(&mut self, at: &Address, client: &mut Client) -> Result<(), Blind> {
        match &self.doubt {
            Some(Doubt::Op(op)) => {
                let op = op.clone();
                self.resolve(at, client, op).await?;
            }
            Some(Doubt::Restore { .. }) => self.await_restore(client).await?,
            None => {}
        }
        self.compare(client).await?;
        self.look_at_backup(client).await?;
        self.finish_copy(client).await
    }

    /// A statement was said, and the server died: it has happened whole, or not at all.
    async fn resolve(&mut self, at: &Address, client: &mut Client, op: Op) -> Result<(), Blind> {
        self.seen.in_doubt += 1;
        let (before, after) = (self.state.clone(), op.apply(&self.state));
        let found = look(client, &self.db).await?;
        if found != before && found != after {
            return Err(Blind::Wrong(format!(
                "{op:?} was cut off, and is half there: beside not at all, {}; beside wholly, {}",
                difference(&before, &found),
                difference(&after, &found)
            )));
        }
        self.seen.in_doubt_done += u64::from(found == after);
        self.arrive(found.clone());
        let Some(label) = op.label() else {
            self.doubt = None;
            return Ok(());
        };
        // The label knows too, and decides what becomes of the same load sent again.
        let known = client.try_query(&format!("SHOW LOAD FROM {} WHERE LABEL = \"{label}\"", self.db)).await?;
        let happened = known.column("State").contains(&"FINISHED");
        if before != after && happened != (found == after) {
            return Err(Blind::Wrong(format!("{op:?}: its label says {known}\nand the rows say otherwise")));
        }
        match (self.send(at, client, &op).await, happened) {
            (Ok(()), false) => self.arrive(after),
            (Ok(()), true) => return Err(Blind::Wrong(format!("{op:?} was loaded twice under its label"))),
            (Err(Refused::Taken), true) => {}
            (Err(Refused::Taken), false) => {
                return Err(Blind::Wrong(format!("{op:?} was not loaded, and its label is taken")));
            }
            (Err(Refused::Blind(blind)), _) => return Err(blind),
        }
        self.doubt = None;
        self.compare(client).await
    }

    /// Says something, and believes the answer.
    async fn say(&mut self, at: &Address, client: &mut Client, op: Op) -> Result<(), Blind> {
        self.next_load += u32::from(op.label().is_some());
        self.doubt = Some(Doubt::Op(op.clone()));
        match self.send(at, client, &op).await {
            Ok(()) => {}
            Err(Refused::Taken) => return Err(Blind::Wrong(format!("{op:?}: its label is taken"))),
            Err(Refused::Blind(blind)) => return Err(blind),
        }
        self.doubt = None;
        self.seen.acknowledged += 1;
        self.arrive(op.apply(&self.state));
        Ok(())
    }

    /// The database is in this state now, and a cut that is still to come may find it there.
    fn arrive(&mut self, state: Tables) {
        if let Some(backup) = self.backup.as_mut().filter(|backup| backup.open)
            && !backup.cuts.contains(&state)
        {
            backup.cuts.push(state.clone());
        }
        self.state = state;
    }

    async fn send(&self, at: &Address, client: &mut Client, op: &Op) -> Result<(), Refused> {
        if let Some(statement) = op.sql(&self.db) {
            return match client.try_query(&statement).await {
                Ok(_) => Ok(()),
                Err(error) if error.message.contains("has already been used") => Err(Refused::Taken),
                Err(error) if error.code == 0 => Err(Refused::Blind(Blind::Gone)),
                Err(error) => Err(Refused::Blind(Blind::Wrong(format!("{statement}\nis refused: {error}")))),
            };
        }
        let (table, body) = op.body().unwrap_or_default();
        let request = Request::new("PUT", &format!("/api/{}/{table}/_stream_load", self.db))
            .header("Authorization", &basic("root", ROOT_PASSWORD))
            .header("Expect", "100-continue")
            .header("column_separator", ",")
            .header("label", &op.label().unwrap_or_default())
            .body(Body::Bytes(body.into_bytes()));
        let Ok(response) = request.send(&at.http).await else {
            return Err(Refused::Blind(Blind::Gone));
        };
        let text = response.text();
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match answer["Status"].as_str() {
            Some("Success") => Ok(()),
            Some("Label Already Exists") => Err(Refused::Taken),
            _ => Err(Refused::Blind(Blind::Wrong(format!("{op:?}: {} {text}", response.status)))),
        }
    }

    async fn compare(&mut self, client: &mut Client) -> Result<(), Blind> {
        self.seen.looks += 1;
        let found = look(client, &self.db).await?;
        if found == self.state {
            return Ok(());
        }
        Err(Blind::Wrong(format!("what was acknowledged is not what is there: {}", difference(&self.state, &found))))
    }

    async fn begin_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let label = format!("{}_{}", self.db, self.next_label);
        self.next_label += 1;
        let statement = format!("BACKUP SNAPSHOT {}.{label} TO repo", self.db);
        let cuts = vec![self.state.clone()];
        self.backup = Some(Backup { label, accepted: false, cancelled: false, open: true, cuts });
        client.try_query(&statement).await?;
        self.backup.iter_mut().for_each(|backup| backup.accepted = true);
        Ok(())
    }

    /// Gives the backup up. That it is too late is an answer too.
    async fn cancel_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(backup) = &mut self.backup else { return Ok(()) };
        backup.cancelled = true;
        match client.try_query(&format!("CANCEL BACKUP FROM {}", self.db)).await {
            Err(error) if error.code == 0 => return Err(Blind::Gone),
            _ => {}
        }
        self.await_backup(client).await
    }

    async fn await_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let begun = std::time::Instant::now();
        while self.backup.is_some() {
            self.look_at_backup(client).await?;
            if begun.elapsed() > JOB_PATIENCE {
                return Err(Blind::Wrong("a backup does not end".to_owned()));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// How far the backup is; an end of it is noted.
    async fn look_at_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(backup) = &mut self.backup else { return Ok(()) };
        let shown = client.try_query(&format!("SHOW BACKUP FROM {}", self.db)).await?.record(0);
        let Some(job) = shown.filter(|job| job.field("SnapshotName") == backup.label) else {
            if backup.accepted {
                return Err(Blind::Wrong(format!("backup {} was accepted, and is not known", backup.label)));
            }
            // It was said, and never heard.
            self.backup = None;
            return Ok(());
        };
        backup.accepted = true;
        match job.field("State") {
            "PENDING" | "SNAPSHOTING" => {}
            "FINISHED" => {
                if job.field("Status") != "[OK]" {
                    return Err(Blind::Wrong(format!("a finished backup says\n{job}")));
                }
                self.seen.backups += 1;
                let (label, cuts) = (backup.label.clone(), std::mem::take(&mut backup.cuts));
                self.snapshots.push(Snapshot { label, cuts });
                self.backup = None;
            }
            "CANCELLED" => {
                // Somebody asked for it, or there was nothing to back up when its time had come.
                let (cancelled, empty) = (backup.cancelled, job.field("Status").contains("is empty"));
                if !has_reason(&job) || !(cancelled || empty) {
                    return Err(Blind::Wrong(format!("a backup was cancelled, and nobody asked for it:\n{job}")));
                }
                self.seen.cancelled += 1;
                self.backup = None;
            }
            _ => backup.open = false,
        }
        Ok(())
    }

    /// One of the newest snapshots, by any number.
    fn pick(&self, number: usize) -> Option<(String, Vec<Tables>)> {
        let newest = self.snapshots.len().min(SNAPSHOTS_KEPT);
        let back = number.checked_rem(newest)?;
        let snapshot = &self.snapshots[self.snapshots.len() - 1 - back];
        Some((snapshot.label.clone(), snapshot.cuts.clone()))
    }

    /// A table that is in all these cuts, another name for it, and what there may be under that name.
    fn aliased(&self, random: &mut StdRng, cuts: &[Tables]) -> Option<(String, String, Vec<Tables>)> {
        let first = cuts.first()?;
        let common: Vec<&String> = first.keys().filter(|name| cuts.iter().all(|cut| cut.contains_key(*name))).collect();
        let table = (*common.get(random.random_range(0..common.len().max(1)))?).clone();
        let aliases: Vec<&str> = names_like(&table).filter(|name| *name != table).collect();
        let alias = aliases[random.random_range(0..aliases.len())].to_owned();
        let under = |table: &Table| Tables::from([(alias.clone(), table.clone())]);
        let outcomes = cuts.iter().map(|cut| restored(&self.state, &under(&cut[&table]))).collect();
        Some((table, alias, outcomes))
    }

    async fn restore(
        &mut self,
        client: &mut Client,
        label: &str,
        objects: &str,
        outcomes: Vec<Tables>,
    ) -> Result<(), Blind> {
        // One job a database.
        self.await_backup(client).await?;
        let after_job = self.last_restore(client).await?.map_or(0, |job| number(&job, "JobId"));
        self.doubt = Some(Doubt::Restore { label: label.to_owned(), after_job, accepted: false, outcomes });
        client.try_query(&format!("RESTORE SNAPSHOT {}.{label} FROM repo{objects}", self.db)).await?;
        if let Some(Doubt::Restore { accepted, .. }) = &mut self.doubt {
            *accepted = true;
        }
        self.await_restore(client).await
    }

    async fn last_restore(&self, client: &mut Client) -> Result<Option<Record>, Blind> {
        Ok(client.try_query(&format!("SHOW RESTORE FROM {}", self.db)).await?.record(0))
    }

    /// Waits for the end of the restore that was begun, if it was: then one of the outcomes is there, else nothing has
    /// changed.
    async fn await_restore(&mut self, client: &mut Client) -> Result<(), Blind> {
        let begun = std::time::Instant::now();
        let Some(Doubt::Restore { label, after_job, accepted, outcomes }) = &self.doubt else { return Ok(()) };
        loop {
            let job = self.last_restore(client).await?.filter(|job| number(job, "JobId") > *after_job);
            let Some(job) = job else {
                if *accepted {
                    return Err(Blind::Wrong(format!("restore of {label} was accepted, and is not known")));
                }
                break;
            };
            match job.field("State") {
                "FINISHED" => {
                    let found = look(client, &self.db).await?;
                    if job.field("Status") != "[OK]" || !outcomes.contains(&found) {
                        let differences: Vec<String> =
                            outcomes.iter().map(|outcome| difference(outcome, &found)).collect();
                        return Err(Blind::Wrong(format!(
                            "{job}\nleads to a state that is of no cut: {differences:?}"
                        )));
                    }
                    self.seen.restores += 1;
                    self.state = found;
                    break;
                }
                "CANCELLED" => {
                    return Err(Blind::Wrong(format!("a restore was cancelled, and nobody asked for it:\n{job}")));
                }
                _ if begun.elapsed() > JOB_PATIENCE => {
                    return Err(Blind::Wrong(format!("a restore does not end:\n{job}")));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
        self.doubt = None;
        self.compare(client).await
    }

    /// Restores a snapshot into a database of its own, and compares.
    async fn restore_copy(&mut self, client: &mut Client, index: usize) -> Result<(), Blind> {
        let snapshot = self.snapshots[index].clone();
        let statement = format!("RESTORE SNAPSHOT {}_copy.{} FROM repo", self.db, snapshot.label);
        self.copied = Some(snapshot);
        client.try_query(&statement).await?;
        self.finish_copy(client).await
    }

    /// Waits until the copy is there, holds it against the snapshot's cuts, and drops it. A copy that was never begun, or
    /// is dropped, is none.
    async fn finish_copy(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(snapshot) = self.copied.clone() else { return Ok(()) };
        let copy = format!("{}_copy", self.db);
        let begun = std::time::Instant::now();
        loop {
            let shown = match client.try_query(&format!("SHOW RESTORE FROM {copy}")).await {
                // Nobody has restored into it yet.
                Err(error) if error.code == UNKNOWN_DATABASE => break,
                shown => shown?,
            };
            let Some(job) = shown.record(0) else { break };
            match job.field("State") {
                "FINISHED" => break,
                "CANCELLED" => {
                    return Err(Blind::Wrong(format!("a restore was cancelled, and nobody asked for it:\n{job}")));
                }
                _ if begun.elapsed() > JOB_PATIENCE => {
                    return Err(Blind::Wrong(format!("a restore does not end:\n{job}")));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
        let there = !client.try_query(&format!("SHOW DATABASES LIKE '{copy}'")).await?.rows.is_empty();
        if there {
            let found = look(client, &copy).await?;
            self.prove(&snapshot.label, &found).map_err(Blind::Wrong)?;
            self.seen.restores += 1;
            client.try_query(&format!("DROP DATABASE {copy} FORCE")).await?;
        }
        self.copied = None;
        Ok(())
    }

    /// Holds what a snapshot has been restored to against the states it may be of; from now on it is of this one.
    pub fn prove(&mut self, label: &str, found: &Tables) -> Result<(), String> {
        let known = self.snapshots.iter_mut().find(|snapshot| snapshot.label == label);
        let snapshot = known.ok_or_else(|| format!("snapshot {label} is not known"))?;
        if !snapshot.cuts.contains(found) {
            let differences: Vec<String> = snapshot.cuts.iter().map(|cut| difference(cut, found)).collect();
            return Err(format!("snapshot {label} restores to what never was: {differences:?}"));
        }
        snapshot.cuts = vec![found.clone()];
        Ok(())
    }
}

/// Why something that was said was not done.
enum Refused {
    /// The label has been loaded.
    Taken,
    Blind(Blind),
}

async fn connect(at: &Address) -> Result<Client, Blind> {
    Ok(Client::try_connect(&at.mysql, "root", ROOT_PASSWORD).await?)
}

fn number(job: &Record, column: &str) -> u64 {
    job.field(column).parse().unwrap_or(0)
}

/// Whether Status says more than that something happened.
fn has_reason(job: &Record) -> bool {
    job.field("Status").split_once("msg: ").is_some_and(|(_, reason)| reason.len() > 5)
}
