//! One cell: a fault at a place, the statement it befalls, and what has come of it.

mod ending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebla_tests::client::{Client, Record, Rows};
use ebla_tests::proxy::{Fault, Operation, Rule, RuleHandle, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

use crate::bed::{Bed, Database, Lane, backup_end, restore_end};
use crate::check::{assert_bounded, assert_goes_on, assert_helps};
use crate::site::{Before, SITES, Site, Way, Work};
use crate::trouble::{Expect, Span, Trouble};

/// How long a job may take until it reaches the place, on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// How long a CANCEL may take on a busy machine: far less than the attempts it cuts short.
const CANCEL_MAX: Duration = Duration::from_secs(10);

/// A cell.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub site: &'static Site,
    trouble: Trouble,
    span: Span,
}

/// What has come of a cell that is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It worked through the fault.
    Finished,
    /// It failed with a text that helps; once the fault was over, it worked.
    FailedClearly,
    /// It was cancelled while it stood; once the fault was over, it worked.
    Cancelled,
    /// It could not be cancelled any more, was told so, and worked once the fault was over.
    TooLateToCancel,
    /// A listing that lied was believed: nothing in it can be checked.
    Believed,
}

/// The product of places and faults.
pub fn table() -> Vec<Cell> {
    let of_site = |site: &'static Site| {
        Trouble::ALL
            .into_iter()
            .flat_map(move |trouble| trouble.spans(site).iter().map(move |span| Cell { site, trouble, span: *span }))
    };
    SITES.iter().flat_map(of_site).collect()
}

impl Cell {
    pub fn name(&self) -> String {
        let Site { work, state, name, .. } = self.site;
        let work = format!("{work:?}").to_uppercase();
        format!("{work} {} {name} × {:?} {:?}", state.unwrap_or("statement"), self.trouble, self.span)
    }
}

/// A cell that is being played.
struct Play<'a> {
    cell: &'a Cell,
    number: u64,
    proxy: S3Proxy,
    bucket: Bucket,
    /// The repository through the liar.
    repository: String,
    rule: Option<RuleHandle>,
    /// What leads to the place.
    way: Option<RuleHandle>,
}

/// Plays a cell.
pub async fn play(bed: &Bed, lane: &mut Lane, cell: &Cell) -> Outcome {
    let number = bed.number();
    let (proxy, bucket) = bed.liar(&cell.name());
    let mut play = Play { cell, number, proxy, bucket, repository: format!("c{number}"), rule: None, way: None };
    match cell.site.work {
        Work::Create => play.create(lane).await,
        Work::Show => play.show(lane).await,
        Work::Backup => play.backup(bed, lane).await,
        Work::Restore => play.restore(bed, lane).await,
        Work::Drop => play.drop(bed, lane).await,
        Work::Mark | Work::Sweep => play.clean(bed, lane).await,
        Work::Verify => play.verify(bed, lane).await,
    }
}

impl Play<'_> {
    /// From here on it lies.
    fn lie(&mut self) {
        self.proxy.reset();
        self.way = self.cell.site.way().map(|way| self.proxy.rule(way));
        let rule = self.cell.site.rule(self.cell.trouble.fault());
        let rule = if self.cell.span == Span::Once { rule.times(1) } else { rule };
        self.rule = Some(self.proxy.rule(rule));
    }

    /// The lie is over. Checks that there was one, and that nobody has stormed.
    async fn heal(&self) {
        let rule = self.rule.as_ref().unwrap();
        if self.cell.site.operation == Operation::AbortMultipartUpload {
            rule.wait_hit(SOON).await; // An upload is given up beside the job.
        }
        rule.lift();
        self.way.iter().for_each(RuleHandle::lift);
        let exchanges = self.proxy.exchanges();
        // An answer may have had no body to change.
        let struck = if matches!(self.cell.trouble, Trouble::FlippedDown | Trouble::HalvedDown | Trouble::SwappedDown) {
            exchanges.iter().filter(|exchange| exchange.disturbed && exchange.key.contains(self.cell.site.key)).count()
        } else {
            rule.hits()
        };
        assert!(struck > 0, "the fault has not struck:\n{}", self.proxy.tally());
        assert_bounded(&exchanges);
        if self.cell.span == Span::Once && self.cell.site.way == Way::Straight {
            assert_goes_on(&exchanges, self.cell.site.size);
        }
        if self.cell.trouble == Trouble::Late {
            let hits = rule.hits();
            wait_until(SOON, async || match self.proxy.late().len() {
                landed if landed == hits => Ok(()),
                landed => Err(format!("{landed} of {hits} late requests have landed")),
            })
            .await;
        }
    }

    /// Judges a failure against what was expected.
    fn judge_failure(&self, text: &str) {
        assert!(self.expected() != Expect::Finishes, "it should have worked, and said: {text}");
        // A listing that leaves out the snapshot: nothing came back that could be told.
        if !matches!(self.cell.trouble, Trouble::EmptyListing | Trouble::StaleListing) {
            assert_helps(self.cell.site, &self.bucket, text);
        }
    }

    fn judge_success(&self) {
        assert!(self.expected() != Expect::Fails, "it should have failed:\n{}", self.proxy.tally());
    }

    fn expected(&self) -> Expect {
        self.cell.trouble.expect(self.cell.site, self.cell.span)
    }

    async fn create(&mut self, lane: &mut Lane) -> Outcome {
        let statement = self.bucket.create_repository(&self.repository, &self.repository);
        self.lie();
        let created = lane.source.try_query(&statement).await;
        self.heal().await;
        let outcome = match created {
            Ok(_) => {
                self.judge_success();
                Outcome::Finished
            }
            Err(error) => {
                self.judge_failure(&error.message);
                lane.source.query(&statement).await;
                Outcome::FailedClearly
            }
        };
        // What was learned of the store is true.
        let shown = lane.source.query(&format!("SHOW CREATE REPOSITORY FOR {}", self.repository)).await;
        let shown = shown.record(0).unwrap().field("Create Repository").to_string();
        assert!(!shown.lines().any(|line| line.starts_with("-- ")), "{shown}");
        lane.source.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    async fn show(&mut self, lane: &mut Lane) -> Outcome {
        let kept = lane.kept();
        self.attach(&mut lane.target, &kept).await;
        let what = match self.cell.site.operation {
            Operation::ListObjectsV2 => String::new(),
            _ => format!(" WHERE SNAPSHOT = 's' AND TIMESTAMP = '{}'", lane.timestamp),
        };
        let statement = format!("SHOW SNAPSHOT ON {}{what}", self.repository);
        let truth = lane.target.query(&statement).await;
        self.lie();
        let shown = lane.target.try_query(&statement).await;
        self.heal().await;
        let outcome = match shown.map_err(|error| error.message).and_then(told) {
            Ok(rows) if rows == truth => {
                self.judge_success();
                Outcome::Finished
            }
            Ok(rows) if self.expected() == Expect::Either => {
                drop(rows);
                Outcome::Believed
            }
            Ok(rows) => panic!("this is not the truth:\n{rows}"),
            Err(text) => {
                self.judge_failure(&text);
                assert_eq!(lane.target.query(&statement).await, truth);
                Outcome::FailedClearly
            }
        };
        lane.target.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    /// Makes the repository that only reads.
    async fn attach(&self, client: &mut Client, prefix: &str) {
        let create = self.bucket.create_repository(&self.repository, prefix);
        client.query(&create.replacen("CREATE", "CREATE READ ONLY", 1)).await;
    }

    async fn backup(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        let site = self.cell.site;
        if site.before == Before::SameLabel {
            return self.backup_of_taken_label(bed, lane).await;
        }
        let mut database = lane.database(bed, site.before).await;
        let prefix = self.repository.clone();
        if matches!(site.before, Before::Parent | Before::Leftovers) {
            self.prepare(bed, lane, &database, &prefix, "parent").await;
        }
        if site.before == Before::Parent {
            database = lane.grow(bed, &database).await;
        }
        lane.source.query(&self.bucket.create_repository(&self.repository, &prefix)).await;
        let statement = format!("BACKUP SNAPSHOT {}.s TO {}", database.name, self.repository);
        self.lie();
        let outcome = match lane.source.try_query(&statement).await {
            Err(error) if site.state.is_none() => {
                self.heal().await;
                self.judge_failure(&error.message);
                Outcome::FailedClearly
            }
            Err(error) => panic!("{statement}\n{error}"),
            Ok(_) if self.cell.span == Span::Cancelled => self.cancel(lane, "BACKUP", &database.name).await,
            Ok(_) => {
                let job = backup_end(&mut lane.source, &database.name).await;
                self.heal().await;
                self.judge_job(&job)
            }
        };
        // Nobody may find a snapshot that is not whole; a commit object that came late is of one that is.
        let published = bed.is_published(&prefix).await;
        let works = matches!(outcome, Outcome::Finished | Outcome::TooLateToCancel);
        assert!(published || !works, "it says that it has finished, and there is no snapshot");
        // A job that could not learn whether its commit object has arrived says so.
        let may_be_there = works
            || site.way == Way::CommitLost
            || matches!(self.cell.trouble, Trouble::Late | Trouble::AnswerLost | Trouble::AnswerSilent);
        assert!(!published || may_be_there, "it says that it has failed, and there is a snapshot");
        if !published {
            lane.source.query(&statement).await;
            assert_finished(&backup_end(&mut lane.source, &database.name).await);
        }
        lane.verify(bed, &database, &prefix, "s").await;
        lane.source.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    /// The label is taken: BACKUP says so, unless a listing lied. Then there are two snapshots, each whole.
    async fn backup_of_taken_label(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        let database = lane.database(bed, Before::SameLabel).await;
        let prefix = self.repository.clone();
        self.prepare(bed, lane, &database, &prefix, "s").await;
        lane.source.query(&self.bucket.create_repository(&self.repository, &prefix)).await;
        self.lie();
        let said = lane.source.try_query(&format!("BACKUP SNAPSHOT {}.s TO {}", database.name, self.repository)).await;
        if said.is_ok() {
            assert_finished(&backup_end(&mut lane.source, &database.name).await);
        }
        self.heal().await;
        let outcome = match said {
            Err(error) if error.message.contains("already exist") => {
                self.judge_success();
                Outcome::Finished
            }
            Err(error) => {
                self.judge_failure(&error.message);
                Outcome::FailedClearly
            }
            Ok(_) => {
                assert_eq!(self.expected(), Expect::Either, "a label is given twice");
                Outcome::Believed
            }
        };
        let listed = lane.source.query(&format!("SHOW SNAPSHOT ON {} WHERE SNAPSHOT = 's'", self.repository)).await;
        let timestamps = listed.record(0).expect("the first is there").field("Timestamp").to_owned();
        assert_eq!(timestamps.lines().count(), 1 + usize::from(outcome == Outcome::Believed), "{listed}");
        for timestamp in timestamps.lines() {
            let property = format!(" PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")");
            lane.verify_one(bed, &database, &prefix, "s", &property).await;
        }
        lane.source.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    /// Backs up past the liar, so that something is there.
    async fn prepare(&self, bed: &Bed, lane: &mut Lane, database: &Database, prefix: &str, label: &str) {
        let direct = format!("d{}", self.number);
        lane.source.query(&bed.direct().create_repository(&direct, prefix)).await;
        lane.source.query(&format!("BACKUP SNAPSHOT {}.{label} TO {direct}", database.name)).await;
        assert_finished(&backup_end(&mut lane.source, &database.name).await);
        if self.cell.site.before == Before::Leftovers {
            for object in bed.direct().list(&format!("{prefix}/ebla/snapshots/")).await {
                bed.direct().delete(&object.key).await;
            }
        }
        lane.source.query(&format!("DROP REPOSITORY {direct}")).await;
    }

    async fn restore(&mut self, bed: &Bed, lane: &mut Lane) -> Outcome {
        let site = self.cell.site;
        let database = lane.database(bed, site.before).await;
        let kept = lane.kept();
        self.attach(&mut lane.target, &kept).await;
        let name = format!("r{}", self.number);
        let which = match site.operation {
            Operation::ListObjectsV2 => String::new(),
            _ => format!(" PROPERTIES (\"backup_timestamp\" = \"{}\")", lane.timestamp),
        };
        let statement = format!("RESTORE SNAPSHOT {name}.s FROM {}{which}", self.repository);
        lane.passing.push(name.clone());
        self.lie();
        let outcome = match lane.target.try_query(&statement).await {
            Err(error) if site.state.is_none() => {
                self.heal().await;
                self.judge_failure(&error.message);
                Outcome::FailedClearly
            }
            Err(error) => panic!("{statement}\n{error}"),
            Ok(_) if self.cell.span == Span::Cancelled => self.cancel(lane, "RESTORE", &name).await,
            Ok(_) => {
                let job = restore_end(&mut lane.target, &name).await;
                self.heal().await;
                self.judge_job(&job)
            }
        };
        if outcome != Outcome::Finished {
            if let Ok(tables) = lane.target.try_query(&format!("SHOW TABLES FROM {name}")).await {
                assert!(tables.rows.is_empty(), "a restore that failed has left\n{tables}");
            }
            lane.target.query(&statement).await;
            assert_finished(&restore_end(&mut lane.target, &name).await);
        }
        database.assert_same(&mut lane.target, &name).await;
        lane.drop_passing().await;
        lane.target.query(&format!("DROP REPOSITORY {}", self.repository)).await;
        outcome
    }

    fn judge_job(&self, job: &Record) -> Outcome {
        if job.field("State") == "FINISHED" {
            assert_eq!(job.field("Status"), "[OK]", "{job}");
            self.judge_success();
            return Outcome::Finished;
        }
        self.judge_failure(job.field("Status"));
        Outcome::FailedClearly
    }

    /// Cancels the job where it stands.
    async fn cancel(&self, lane: &mut Lane, kind: &str, database: &str) -> Outcome {
        let client = if kind == "BACKUP" { &mut lane.source } else { &mut lane.target };
        self.rule.as_ref().unwrap().wait_hit(SOON).await;
        let running = client.query(&format!("SHOW {kind} FROM {database}")).await.record(0).unwrap();
        assert_eq!(Some(running.field("State")), self.cell.site.state, "{running}");
        let start = Instant::now();
        let cancelled = client.try_query(&format!("CANCEL {kind} FROM {database}")).await;
        let outcome = match cancelled {
            Ok(_) => {
                let job = match kind {
                    "BACKUP" => backup_end(client, database).await,
                    _ => restore_end(client, database).await,
                };
                assert!(start.elapsed() < CANCEL_MAX, "CANCEL took {:?}", start.elapsed());
                if self.cell.site.way == Way::CommitLost && job.field("State") == "FINISHED" {
                    Outcome::TooLateToCancel // It was published, and the job has found out.
                } else {
                    assert_eq!(job.field("State"), "CANCELLED", "{job}");
                    assert!(job.field("Status").contains("user cancelled"), "{job}");
                    Outcome::Cancelled
                }
            }
            Err(error) => {
                let is_published = self.cell.site.work == Work::Backup && self.cell.site.key.contains("snapshots");
                assert!(is_published && error.message.contains("can not be cancelled"), "{error}");
                self.rule.as_ref().unwrap().lift();
                assert_finished(&backup_end(client, database).await);
                Outcome::TooLateToCancel
            }
        };
        self.heal().await;
        outcome
    }
}

/// The rows, or what they say of an error.
fn told(rows: Rows) -> Result<Rows, String> {
    let status = rows.record(0).and_then(|row| row.get("Status").map(str::to_string)).unwrap_or_default();
    if status.starts_with("ERROR: ") { Err(status) } else { Ok(rows) }
}

/// A backup and a restore through ten seconds of latency at every object, with the limits a server has by default.
pub async fn late_but_whole(weed: &Arc<Weed>) {
    let latency = Duration::from_secs(10);
    let proxy = S3Proxy::start(&weed.endpoint());
    let bucket = proxy.bucket(&weed.bucket("latency").await);
    let server = Server::start("latency").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query("CREATE TABLE d.t (k BIGINT) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 2").await;
    client.query("INSERT INTO d.t VALUES (1), (2), (3)").await;
    client.query(&bucket.create_repository("r", "slow")).await;
    proxy.reset();
    let late = proxy.rule(Rule::new(Fault::Delay(latency)).key("ebla/objects/"));
    let start = Instant::now();
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    client.query("DROP TABLE d.t FORCE").await;
    client.query("RESTORE SNAPSHOT d.s FROM r").await;
    assert_finished(&wait_restore(&mut client, "d").await);
    assert!(start.elapsed() >= 2 * latency && late.hits() >= 2, "{:?}, {} requests", start.elapsed(), late.hits());
    assert_eq!(proxy.tally().rows().iter().map(|row| row.failures).sum::<u64>(), 0, "nothing was given up");
    assert_eq!(client.value("SELECT SUM(k) FROM d.t").await, "6");
}
