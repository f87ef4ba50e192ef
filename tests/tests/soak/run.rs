//! The order of events: an hour passes, its work is done, the server is restarted when it is time, and measured when all is settled.

use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::folder::Folder;
use ebla_tests::server::{Server, ServerBuilder};
use ebla_tests::simulated::{SimulatedStore, SimulatedTime};
use ebla_tests::usage;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::flat::median;
use crate::plan::Plan;
use crate::sample::{self, Sample};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Between two passes of the collector of files, and a little.
const GARBAGE_PASS: Duration = Duration::from_secs(31);

/// Passes until nothing is left to be deleted, at most: a merge may come in between.
const PASSES_MAX: u32 = 200;

/// Between two looks at the garbage, in real time.
const LOOK: Duration = Duration::from_millis(50);

/// For how long labels are remembered, in hours. No option changes it.
const LABELS_KEPT: u32 = 72;

/// A server, its store, and what is known of both.
pub struct Soak {
    pub plan: Plan,
    pub random: StdRng,
    pub time: SimulatedTime,
    pub server: Server,
    /// What the tables hold, and what there is to be restored.
    pub known: Known,
    store: SimulatedStore,
    process: usize,
    samples: Vec<Sample>,
    /// Of whole backups, since the last sample: requests and milliseconds.
    pub backups: Vec<(f64, f64)>,
    /// Processor seconds of this process at the last sample, and the hour of that.
    cpu: (f64, u32),
    began: Instant,
    // Dropped last: time's file is in it.
    _folder: Folder,
}

/// What has been done, and what must be there.
#[derive(Debug, Default)]
pub struct Known {
    /// Hours whose rows are in `orders`.
    pub orders: Vec<u32>,
    /// Partitions of `events`, and the hours whose rows are in each.
    pub events: Vec<(u32, u32)>,
    /// The last whole backup: its label, and the rows of `orders` in it.
    pub whole: Option<(String, u64)>,
    /// Whether the database of the day is there.
    pub scratch: bool,
    /// The last snapshot that may be dropped by hand.
    pub droppable: Option<String>,
    pub tally: Tally,
}

/// What a run has done.
#[derive(Debug, Default)]
pub struct Tally {
    pub loads: u32,
    pub backups: u32,
    pub dropped: u32,
    pub restores: u32,
    pub verifications: u32,
    pub recovered: u32,
    pub kills: u32,
    pub stops: u32,
    pub wrong_clocks: u32,
}

impl Soak {
    /// A server with a repository and its first tables. `None` after a skip.
    pub async fn begin(seed: u64, plan: Plan, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Option<Soak> {
        let folder = Folder::new("soak-time");
        let time = SimulatedTime::new(folder.path())?;
        let store = SimulatedStore::start(&time);
        let hours = |hours: u32| (u64::from(hours) * 3_600).to_string();
        let server = Server::configure("soak")
            .env("EBLA_TRASH_EXPIRE_S", &hours(plan.trash))
            .env("EBLA_JOB_HISTORY_KEEP_S", &hours(plan.history))
            .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &hours(plan.grace))
            .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", &hours(plan.collection_every));
        let server = change(time.rule(server)).start().await;
        let mut client = server.client().await;
        client.query(&store.bucket().create_repository("repo", "soak")).await;
        let soak = Soak {
            plan,
            random: StdRng::seed_from_u64(seed),
            time,
            server,
            known: Known::default(),
            store,
            process: 0,
            samples: Vec::new(),
            backups: Vec::new(),
            cpu: (0.0, 0),
            began: Instant::now(),
            _folder: folder,
        };
        soak.create_tables(&mut client).await;
        client.close().await;
        Some(soak)
    }

    /// All hours.
    pub async fn run(&mut self) {
        for hour in 0..self.plan.hours {
            let mut client = self.hour_passes().await;
            self.work(&mut client, hour).await;
            client.close().await;
            if self.plan.restarts(hour) {
                self.restart(hour).await;
            }
            if (hour + 1).is_multiple_of(self.plan.sample_every) {
                self.measure(hour + 1).await;
            }
        }
    }

    /// The store.
    pub fn store(&self) -> &SimulatedStore {
        &self.store
    }

    /// What rose.
    pub fn complaints(&self) -> Vec<String> {
        sample::complaints(&self.samples, &self.plan)
    }

    /// Lets an hour pass, and what is due begin and end. Connections do not outlive it.
    async fn hour_passes(&mut self) -> Client {
        self.store.quiet().await;
        self.time.pass(HOUR);
        let client = self.woken().await;
        self.store.quiet().await;
        client
    }

    /// A connection. Whatever wakes the server has it look at its timers.
    async fn woken(&self) -> Client {
        let mut client = self.server.client().await;
        client.query("SELECT 1").await;
        client
    }

    /// Stops or kills the server in the middle of a backup, which must end after the next start.
    async fn restart(&mut self, hour: u32) {
        let mut client = self.server.client().await;
        client.query(&format!("BACKUP SNAPSHOT shop.restart_{hour} TO repo {}", self.ttl())).await;
        if (hour / self.plan.restart_every).is_multiple_of(2) {
            self.server.kill9();
            self.known.tally.kills += 1;
        } else {
            self.server.terminate().await;
            self.known.tally.stops += 1;
        }
        self.server.restart().await;
        let mut client = self.server.client().await;
        let job = ebla_tests::wait::wait_backup(&mut client, "shop").await;
        ebla_tests::wait::assert_finished(&job);
        self.known.tally.backups += 1;
        self.process += 1;
        self.cpu = (0.0, hour);
        client.close().await;
    }

    /// Waits until nothing is left to be done, and measures.
    async fn measure(&mut self, hour: u32) {
        let data_dir = self.server.data_dir();
        let mut passes = 0;
        loop {
            self.store.quiet().await;
            self.time.pass(GARBAGE_PASS);
            self.woken().await.close().await;
            tokio::time::sleep(LOOK).await;
            let garbage = sample::garbage(&data_dir);
            if garbage == 0 {
                break;
            }
            passes += 1;
            assert!(passes < PASSES_MAX, "{garbage} files stay on the list of garbage");
        }
        let mut client = self.woken().await;
        let pid = self.server.process().pid();
        let mut sample = Sample::of_data_dir(&data_dir);
        sample.hour = hour;
        sample.process = self.process;
        sample.live_rows = self.check_rows(&mut client).await;
        sample.memory_bytes = usage::memory_bytes(pid);
        for (key, bytes) in self.store.objects() {
            sample.repository_objects += 1;
            sample.repository_bytes += bytes;
            let folder = key.split('/').nth(2).unwrap_or_default().to_string();
            *sample.repository.entry(folder).or_default() += 1;
        }
        let (mut requests, mut ms): (Vec<f64>, Vec<f64>) = self.backups.drain(..).unzip();
        (sample.backup_requests, sample.backup_ms) = (median(&mut requests), median(&mut ms));
        let cpu = usage::cpu_seconds(pid);
        sample.cpu_ms = (cpu - self.cpu.0) * 1_000.0 / f64::from((hour - self.cpu.1).max(1));
        self.cpu = (cpu, hour);
        self.check_history(&sample);
        println!("{}", line(&sample));
        self.samples.push(sample);
        client.close().await;
    }

    /// Histories hold what came within the time they are kept, and no more.
    fn check_history(&self, sample: &Sample) {
        let hours = |kept: u32| u64::from(kept + 1);
        for (table, rows_max) in
            [("loads", hours(LABELS_KEPT) * LOADS_AN_HOUR), ("jobs", hours(self.plan.history) * JOBS_AN_HOUR)]
        {
            // A clock that was wrong by days may keep as much once more.
            let rows = sample.catalog[table];
            assert!(rows <= rows_max * 2, "hour {}: {rows} rows in {table}, of {rows_max}", sample.hour);
        }
        assert!(sample.log_bytes <= LOG_BYTES_MAX, "hour {}: {} bytes of log", sample.hour, sample.log_bytes);
    }

    /// What the run was, and a table of its samples.
    pub fn report(&self) -> String {
        let mut text = format!(
            "{} hours in {:.0} s: {:?}; {} requests refused for a wrong clock\n{HEADING}\n",
            self.plan.hours,
            self.began.elapsed().as_secs_f64(),
            self.known.tally,
            self.store.skewed()
        );
        for sample in &self.samples {
            text.push_str(&line(sample));
            text.push('\n');
        }
        if let Some(last) = self.samples.last() {
            text.push_str(&format!("rows of the catalog at the end: {:?}\n", last.catalog));
            text.push_str(&format!("objects of the repository at the end: {:?}\n", last.repository));
        }
        text
    }
}

/// The catalog's log is written back every thousand pages; a transaction more may lie behind them.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// The most there is in an hour.
const LOADS_AN_HOUR: u64 = 6;
const JOBS_AN_HOUR: u64 = 5;

const HEADING: &str = "| hour | process | live rows | live KB | memory MB | files | data KB | catalog KB | catalog rows | \
                       objects | repository KB | requests | backup ms | CPU ms an hour |\n\
                       |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// A line of the table.
fn line(sample: &Sample) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.0} | {} | {} | {:.0} | {:.0} | {:.0} |",
        sample.hour,
        sample.process,
        sample.live_rows,
        sample.live_bytes >> 10,
        sample.memory_bytes >> 20,
        sample.data_files,
        sample.data_bytes >> 10,
        sample.catalog_bytes >> 10,
        sample.catalog_rows(),
        sample.repository_objects,
        sample.repository_bytes >> 10,
        sample.backup_requests,
        sample.backup_ms,
        sample.cpu_ms
    )
}
