//! Cells in which snapshots end, what they held is collected, and what is left is verified.

use ebla_tests::client::{Client, Record};
use ebla_tests::wait::{assert_finished, wait_until};

use super::{Outcome, Play};
use crate::bed::{Bed, Database, GRACE, Lane, backup_end};
use crate::cell::SOON;
use crate::site::{Before, Work};
use crate::trouble::Expect;

impl Play<'_> {
    /// DROP SNAPSHOT: it is listed no more, or it is whole; its label is free.
    pub(super) async fn drop(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        let database = lane.database(bed, Before::Nothing).await;
        let prefix = self.repository.clone();
        self.prepare(bed, lane, &database, &prefix, "parent").await;
        lane.source.query(&self.bucket.create_repository(&self.repository, &prefix)).await;
        let statement = format!("DROP SNAPSHOT parent ON {}", self.repository);
        self.lie();
        let dropped = lane.source.try_query(&statement).await;
        self.heal().await;
        let outcome = match dropped {
            Ok(_) => {
                self.judge_success();
                Outcome::Finished
            }
            Err(error) if error.message.starts_with("Snapshot does not exist") => {
                // A listing that lied, or an attempt that had come through.
                assert_ne!(self.expected(), Expect::Finishes, "{error}");
                Outcome::Believed
            }
            // Whose it is cannot be told of one that cannot be read.
            Err(error) if error.message.contains("does not record which cluster created it") => {
                assert_ne!(self.expected(), Expect::Finishes, "{error}");
                Outcome::FailedClearly
            }
            Err(error) => {
                self.judge_failure(&error.message);
                Outcome::FailedClearly
            }
        };
        let listed = lane.source.query(&format!("SHOW SNAPSHOT ON {}", self.repository)).await;
        if !listed.rows.is_empty() {
            assert_ne!(outcome, Outcome::Finished, "it is dropped, and listed:\n{listed}");
            lane.verify(bed, &database, &prefix, "parent").await;
            lane.source.query(&statement).await;
        }
        self.backup_goes_on(bed, lane, &database, "parent").await;
        outcome
    }

    /// A turn of collection: whatever comes of it, the snapshot that is there stays whole, and backups go on.
    pub(super) async fn clean(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        let before = lane.database(bed, Before::Parent).await;
        let prefix = self.repository.clone();
        self.prepare(bed, lane, &before, &prefix, "parent").await;
        let database = lane.grow(bed, &before).await;
        self.leave_garbage(bed, lane, &database).await;
        lane.source.query(&self.bucket.create_repository(&self.repository, &prefix)).await;
        self.lie();
        let cleaned = lane.source.try_query(&format!("ADMIN CLEAN REPOSITORY {}", self.repository)).await;
        self.heal().await;
        let outcome = match cleaned {
            Ok(turn) => {
                let turn = turn.record(0).expect("a row");
                self.judge_success();
                if let Some((_, why)) = turn.field("Notes").split_once("not everything could be removed: ") {
                    assert!(why.contains(&format!("cannot {} '", self.cell.site.verb)), "{turn}");
                }
                Outcome::Finished
            }
            Err(error) => {
                self.judge_failure(&error.message);
                Outcome::FailedClearly
            }
        };
        lane.verify(bed, &database, &prefix, "s").await;
        self.backup_goes_on(bed, lane, &database, "next").await;
        outcome
    }

    /// A snapshot `s` of the database, and nodes that only a dropped one referred to, older than the grace; marked, before a
    /// sweep.
    async fn leave_garbage(&self, bed: &Bed, lane: &mut Lane, database: &Database) {
        let direct = format!("g{}", self.number);
        lane.source.query(&bed.direct().create_repository(&direct, &self.repository)).await;
        lane.source.query(&format!("BACKUP SNAPSHOT {}.s TO {direct}", database.name)).await;
        assert_finished(&backup_end(&mut lane.source, &database.name).await);
        lane.source.query(&format!("DROP SNAPSHOT parent ON {direct}")).await;
        tokio::time::sleep(3 * GRACE).await; // By the store's clock, which may count whole seconds.
        if self.cell.site.work == Work::Sweep {
            let turn = lane.source.query(&format!("ADMIN CLEAN REPOSITORY {direct}")).await.record(0).expect("a row");
            assert_ne!(turn.field("MarkedObjects"), "0", "{turn}");
            tokio::time::sleep(3 * GRACE).await;
        }
        lane.source.query(&format!("DROP REPOSITORY {direct}")).await;
    }

    /// The next backup waits for nothing, and restores.
    async fn backup_goes_on(&self, bed: &Bed, lane: &mut Lane, database: &Database, label: &str) {
        lane.source.query(&format!("BACKUP SNAPSHOT {}.{label} TO {}", database.name, self.repository)).await;
        assert_finished(&backup_end(&mut lane.source, &database.name).await);
        lane.verify(bed, database, &self.repository, label).await;
        lane.source.query(&format!("DROP REPOSITORY {}", self.repository)).await;
    }

    /// VERIFY SNAPSHOT: it finds nothing in what is whole, unless every answer says otherwise; the next one finds nothing.
    pub(super) async fn verify(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        lane.database(bed, Before::Nothing).await;
        let kept = lane.kept();
        self.attach(&mut lane.target, &kept).await;
        let statement = format!("VERIFY SNAPSHOT s ON {}", self.repository);
        self.lie();
        let asked = lane.target.try_query(&statement).await;
        let outcome = match asked {
            Err(error) if self.cell.site.state.is_none() => {
                self.heal().await;
                assert_ne!(self.expected(), Expect::Finishes, "{error}");
                if !error.message.contains("does not exist") {
                    self.judge_failure(&error.message);
                }
                Outcome::FailedClearly
            }
            Err(error) => panic!("{statement}\n{error}"),
            Ok(_) => {
                let job = self.verified(&mut lane.target).await;
                self.heal().await;
                if job.field("State") == "FINISHED" && job.field("Errors") == "0" {
                    assert_eq!(job.field("Status"), "[OK]", "{job}");
                    self.judge_success();
                    Outcome::Finished
                } else if job.field("State") == "FINISHED" {
                    assert_ne!(self.expected(), Expect::Finishes, "{job}");
                    assert!(job.field("FirstError").contains(self.cell.site.key), "{job}");
                    Outcome::FailedClearly
                } else {
                    self.judge_failure(job.field("Status"));
                    Outcome::FailedClearly
                }
            }
        };
        if outcome != Outcome::Finished {
            lane.target.query(&statement).await;
            let job = self.verified(&mut lane.target).await;
            assert!(job.field("State") == "FINISHED" && job.field("Status") == "[OK]", "{job}");
        }
        lane.target.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    /// The end of this cell's last verification.
    async fn verified(&self, client: &mut Client) -> Record {
        wait_until(2 * SOON, async || {
            let rows = client.query("SHOW VERIFY").await;
            let mut jobs = (0..rows.rows.len()).filter_map(|row| rows.record(row));
            let last = jobs.rfind(|job| job.field("Repository") == self.repository);
            match last {
                Some(job) if matches!(job.field("State"), "FINISHED" | "CANCELLED") => Ok(job),
                job => Err(format!("{job:?}")),
            }
        })
        .await
    }
}
