//! One client and its database: what it has been promised, and what was under way when the server died.
//!
//! It says one thing after the other, so at any moment at most one statement, one backup and one restore can be in doubt.
//! The first thing it does with a new server is to find out what became of them ([`Worker::recover`]); every doubt has
//! few answers, and what the server holds must be one of these, whole. What concerns backups and restores is in `jobs`,
//! what concerns the snapshots that there are in `keep`.

mod jobs;
mod keep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ebla_tests::client::Client;
use ebla_tests::http::{Body, Request};
use ebla_tests::server::{ROOT_PASSWORD, basic};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::look::{Blind, look};
use crate::op::{Op, Step, Ttl};
use crate::state::{Tables, difference, restored};

/// One statement of so many is followed by a look at everything.
const LOOK_SHARE: u32 = 6;

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
    /// Snapshots that were dropped.
    pub dropped: u64,
    /// Verifications that came to their end.
    pub verified: u64,
}

/// One client with its database.
#[derive(Debug)]
pub struct Worker {
    pub db: String,
    /// What has been acknowledged leads to this.
    pub state: Tables,
    pub snapshots: Vec<Snapshot>,
    /// Labels of snapshots whose ttl is over by now, or soon.
    pub passing: Vec<String>,
    pub seen: Seen,
    /// Counts what has been answered, over all workers.
    pulse: Arc<AtomicU64>,
    doubt: Option<Doubt>,
    backup: Option<Backup>,
    /// The snapshot that is being restored into a database of its own.
    copied: Option<Snapshot>,
    /// The snapshot that is being dropped: from the statement on it is none any more, and may still be listed.
    dropping: Option<String>,
    verifying: Option<Verifying>,
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

/// A verification whose end is not known.
#[derive(Debug, Clone)]
struct Verifying {
    label: String,
    /// The last verification of this snapshot before it.
    after_job: u64,
    accepted: bool,
}

/// A backup whose end is not known.
#[derive(Debug)]
struct Backup {
    label: String,
    ttl: Ttl,
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
            passing: Vec::new(),
            seen: Seen::default(),
            pulse: Arc::clone(pulse),
            doubt: None,
            backup: None,
            copied: None,
            dropping: None,
            verifying: None,
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
            self.begin_backup(&mut client, Ttl::Ever).await?;
            self.await_backup(&mut client).await
        };
        backed_up.await.map_err(|blind: Blind| format!("{blind:?}"))
    }

    /// Has the newest snapshot verified.
    pub async fn verify_newest(&mut self, at: &Address) -> Result<(), String> {
        let verified = async { self.verify(&mut connect(at).await?, self.snapshots.len() - 1).await };
        let verified = verified.await;
        self.verifying = None;
        verified.map_err(|blind: Blind| format!("{blind:?}"))
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
                Step::Backup(ttl) => self.begin_backup(&mut client, ttl).await?,
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
                    let Some(index) = self.pick_index(number) else { continue };
                    self.restore_copy(&mut client, index).await?;
                }
                Step::Verify(number) => {
                    let Some(index) = self.pick_index(number) else { continue };
                    self.verify(&mut client, index).await?;
                }
                Step::DropSnapshot(number) => {
                    let Some(index) = self.pick_index(number) else { continue };
                    self.drop_snapshot(&mut client, index).await?;
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
        self.finish_copy(client).await?;
        self.await_verification(client).await?;
        self.finish_drop(client).await
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
