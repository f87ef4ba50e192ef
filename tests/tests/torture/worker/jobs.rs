//! Backups and restores of one client: begun, watched, found again after a death, and held against the model.

use std::time::{Duration, Instant};

use ebla_tests::client::{Client, Record};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Backup, Doubt, Snapshot, Worker};
use crate::look::{Blind, look};
use crate::op::{Ttl, names_like};
use crate::state::{Table, Tables, difference, restored};

/// Between two looks at a job.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How long a job may take: far above any here, also on a busy machine.
pub(super) const JOB_PATIENCE: Duration = Duration::from_secs(120);

/// Restores are of the newest so many snapshots: what was proven long ago stays proven.
const SNAPSHOTS_KEPT: usize = 12;

/// MySQL's number for a database that is not there.
const UNKNOWN_DATABASE: u16 = 1049;

impl Worker {
    pub(super) async fn begin_backup(&mut self, client: &mut Client, ttl: Ttl) -> Result<(), Blind> {
        let label = format!("{}_{}", self.db, self.next_label);
        self.next_label += 1;
        let statement = format!("BACKUP SNAPSHOT {}.{label} TO repo{}", self.db, ttl.properties());
        let cuts = vec![self.state.clone()];
        self.backup = Some(Backup { label, ttl, accepted: false, cancelled: false, open: true, cuts });
        client.try_query(&statement).await?;
        self.backup.iter_mut().for_each(|backup| backup.accepted = true);
        Ok(())
    }

    /// Gives the backup up. That it is too late is an answer too.
    pub(super) async fn cancel_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(backup) = &mut self.backup else { return Ok(()) };
        backup.cancelled = true;
        match client.try_query(&format!("CANCEL BACKUP FROM {}", self.db)).await {
            Err(error) if error.code == 0 => return Err(Blind::Gone),
            _ => {}
        }
        self.await_backup(client).await
    }

    pub(super) async fn await_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
        let begun = Instant::now();
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
    pub(super) async fn look_at_backup(&mut self, client: &mut Client) -> Result<(), Blind> {
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
                match backup.ttl {
                    Ttl::Seconds => self.passing.push(label),
                    Ttl::Ever | Ttl::Week => self.snapshots.push(Snapshot { label, cuts }),
                }
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
    pub(super) fn pick(&self, number: usize) -> Option<(String, Vec<Tables>)> {
        let snapshot = &self.snapshots[self.pick_index(number)?];
        Some((snapshot.label.clone(), snapshot.cuts.clone()))
    }

    /// The place of one of the newest snapshots, by any number.
    pub(super) fn pick_index(&self, number: usize) -> Option<usize> {
        let back = number.checked_rem(self.snapshots.len().min(SNAPSHOTS_KEPT))?;
        Some(self.snapshots.len() - 1 - back)
    }

    /// A table that is in all these cuts, another name for it, and what there may be under that name.
    pub(super) fn aliased(&self, random: &mut StdRng, cuts: &[Tables]) -> Option<(String, String, Vec<Tables>)> {
        let first = cuts.first()?;
        let common: Vec<&String> = first.keys().filter(|name| cuts.iter().all(|cut| cut.contains_key(*name))).collect();
        let table = (*common.get(random.random_range(0..common.len().max(1)))?).clone();
        let aliases: Vec<&str> = names_like(&table).filter(|name| *name != table).collect();
        let alias = aliases[random.random_range(0..aliases.len())].to_owned();
        let under = |table: &Table| Tables::from([(alias.clone(), table.clone())]);
        let outcomes = cuts.iter().map(|cut| restored(&self.state, &under(&cut[&table]))).collect();
        Some((table, alias, outcomes))
    }

    pub(super) async fn restore(
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
    pub(super) async fn await_restore(&mut self, client: &mut Client) -> Result<(), Blind> {
        let begun = Instant::now();
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
    pub(super) async fn restore_copy(&mut self, client: &mut Client, index: usize) -> Result<(), Blind> {
        let snapshot = self.snapshots[index].clone();
        let statement = format!("RESTORE SNAPSHOT {}_copy.{} FROM repo", self.db, snapshot.label);
        self.copied = Some(snapshot);
        client.try_query(&statement).await?;
        self.finish_copy(client).await
    }

    /// Waits until the copy is there, holds it against the snapshot's cuts, and drops it. A copy that was never begun, or
    /// is dropped, is none.
    pub(super) async fn finish_copy(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(snapshot) = self.copied.clone() else { return Ok(()) };
        let copy = format!("{}_copy", self.db);
        let begun = Instant::now();
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

pub(super) fn number(job: &Record, column: &str) -> u64 {
    job.field(column).parse().unwrap_or(0)
}

/// Whether Status says more than that something happened.
fn has_reason(job: &Record) -> bool {
    job.field("Status").split_once("msg: ").is_some_and(|(_, reason)| reason.len() > 5)
}
