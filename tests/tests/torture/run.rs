//! The order of events: work, SIGKILL, start, and again; rest now and then; rest at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ebla_tests::server::Server;
use ebla_tests::wait::wait_until;
use futures::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::disk;
use crate::worker::{Address, Worker};

/// Databases, and clients: more than cores, so that they meet.
const WORKERS: usize = 3;

/// Kills between two rests.
const REST_EVERY: u32 = 25;

/// One kill of so many falls into the start itself.
const KILLED_STARTS: u32 = 8;

/// How long a start is let go on before it is killed, at most: longer than most starts take.
const START_MS_MAX: u64 = 400;

/// Answers the server gives after a start, at most, and the shares of short, middling and long lives. Short ones fall
/// into recovery, long ones into whatever comes. Counted in answers, and not in seconds, a life is as full on a busy machine.
const LIVES_MAX: [u64; 5] = [0, 6, 6, 16, 40];

/// From the last of these answers until the kill, at most.
const MOMENT_US_MAX: u64 = 60_000;

/// No life is longer: a job may keep a client waiting.
const LIFE_MAX: Duration = Duration::from_secs(10);

/// Between two looks at the count of answers.
const POLL: Duration = Duration::from_millis(1);

/// How long the collector may take to come round once all is at rest, on a busy machine.
const COLLECT_PATIENCE: Duration = Duration::from_secs(120);

/// A server and those who work with it.
pub struct Torture {
    pub server: Server,
    pub workers: Vec<Worker>,
    /// Answers that all workers have got.
    pulse: Arc<AtomicU64>,
    seed: u64,
    began: Instant,
    kills: u32,
    killed_starts: u32,
    rests: u32,
    /// Snapshots whose ttl was over.
    expired: usize,
    walked: disk::Walked,
    start_slowest: Duration,
    starts_took: Duration,
}

impl Torture {
    /// Starts a server with a repository and a database for each worker.
    pub async fn begin(seed: u64, create_repository: &str) -> Torture {
        // What is dropped is to be gone by the next rest, and the collector to come round often.
        let server = Server::configure("torture")
            .arg("--trash-expire-s=1")
            .arg("--garbage-interval-s=1")
            .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "1")
            .start()
            .await;
        let mut client = server.client().await;
        client.query(create_repository).await;
        let pulse = Arc::default();
        let workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(&format!("d{number}"), &pulse)).collect();
        for worker in &workers {
            client.query(&format!("CREATE DATABASE {}", worker.db)).await;
        }
        Torture {
            server,
            workers,
            pulse,
            seed,
            began: Instant::now(),
            kills: 0,
            killed_starts: 0,
            rests: 0,
            expired: 0,
            walked: disk::Walked::default(),
            start_slowest: Duration::ZERO,
            starts_took: Duration::ZERO,
        }
    }

    /// So many kills, and a rest at the end.
    pub async fn run(&mut self, kills: u32) -> Result<(), String> {
        for round in 0..kills {
            let told = |found| format!("after {round} kills: {found}");
            self.kill(round).await.map_err(told)?;
            if round % REST_EVERY == REST_EVERY - 1 {
                self.rest().await.map_err(told)?;
            }
        }
        self.rest().await
    }

    /// Where the server listens.
    pub fn address(&self) -> Address {
        Address { mysql: self.server.mysql_addr().to_owned(), http: self.server.http_addr().to_owned() }
    }

    /// Lets everybody work for a while, kills the server, and starts it again.
    async fn kill(&mut self, round: u32) -> Result<(), String> {
        let mut random = StdRng::seed_from_u64(self.seed_of(round, WORKERS));
        let life_max = LIVES_MAX[random.random_range(0..LIVES_MAX.len())];
        let last_answer = self.pulse.load(Ordering::Relaxed) + random.random_range(0..=life_max);
        let moment = Duration::from_micros(random.random_range(0..=MOMENT_US_MAX));
        let at = self.address();
        let seeds: Vec<u64> = (0..WORKERS).map(|number| self.seed_of(round, number)).collect();
        let killed = AtomicBool::new(false);
        let working = self.workers.iter_mut().zip(seeds).map(|(worker, seed)| {
            let (at, killed) = (&at, &killed);
            async move {
                worker.live(at, seed).await?;
                if killed.load(Ordering::SeqCst) {
                    return Ok(());
                }
                Err(format!("{}: a connection was lost while nobody had killed the server", worker.db))
            }
        });
        let (server, pulse) = (&mut self.server, &self.pulse);
        let killing = async {
            let begun = Instant::now();
            while pulse.load(Ordering::Relaxed) < last_answer && begun.elapsed() < LIFE_MAX {
                tokio::time::sleep(POLL).await;
            }
            // A moment is what this is about, not a condition.
            tokio::time::sleep(moment).await;
            let was_running = server.is_running();
            killed.store(true, Ordering::SeqCst);
            server.kill9();
            was_running
        };
        let (found, was_running) = join(join_all(working), killing).await;
        self.kills += 1;
        found.into_iter().collect::<Result<Vec<()>, String>>()?;
        if !was_running {
            return Err(format!("the server ended by itself\n{}", self.server.process().log_tail()));
        }
        if random.random_ratio(1, KILLED_STARTS) {
            let after = Duration::from_millis(random.random_range(0..=START_MS_MAX));
            self.server.restart_and_kill(after).await;
            self.kills += 1;
            self.killed_starts += 1;
        }
        self.server.restart().await;
        self.starts_took += self.server.started_in();
        self.start_slowest = self.start_slowest.max(self.server.started_in());
        Ok(())
    }

    /// Everybody compares.
    pub async fn look_again(&mut self) -> Result<(), String> {
        let at = self.address();
        for worker in &mut self.workers {
            worker.look_again(&at).await?;
        }
        Ok(())
    }

    /// Everything comes to its end; then nothing may be wrong, and nothing be left.
    pub async fn rest(&mut self) -> Result<(), String> {
        let at = self.address();
        let settled = join_all(self.workers.iter_mut().map(|worker| worker.settle(&at))).await;
        settled.into_iter().collect::<Result<Vec<()>, String>>()?;
        self.compare_snapshots().await?;
        let data_dir = self.server.data_dir();
        let begun = Instant::now();
        self.walked = wait_until(COLLECT_PATIENCE * 2, async || match disk::walk(&data_dir) {
            // A verdict, for a while: the collector may still be on its way.
            Err(complaints) if begun.elapsed() < COLLECT_PATIENCE => Err(complaints.join("; ")),
            verdict => Ok(verdict),
        })
        .await
        .map_err(|complaints| format!("the data directory is not what its catalog says: {}", complaints.join("; ")))?;
        self.rests += 1;
        let log = self.server.process().log();
        match log.lines().find(|line| line.contains("panicked at")) {
            Some(line) => Err(format!("the server has panicked: {line}")),
            None => Ok(()),
        }
    }

    /// SHOW SNAPSHOT lists the backups that have finished, and no others: those that were dropped, and whose ttl is over,
    /// are gone.
    async fn compare_snapshots(&mut self) -> Result<(), String> {
        let client = tokio::sync::Mutex::new(self.server.client().await);
        let passing: Vec<String> =
            self.workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.passing)).collect();
        let begun = Instant::now();
        let listed = wait_until(COLLECT_PATIENCE * 2, async || {
            let listed = client.lock().await.query("SHOW SNAPSHOT ON repo").await;
            let late = listed.column("Snapshot").into_iter().find(|label| passing.iter().any(|other| other == label));
            match late {
                // A verdict, for a while: expiry may still be on its way.
                Some(label) if begun.elapsed() < COLLECT_PATIENCE => Err(format!("{label} is still listed")),
                _ => Ok(listed),
            }
        })
        .await;
        self.expired += passing.len();
        let broken = listed.rows.iter().find(|row| !row.contains(&Some("OK".to_owned())));
        if let Some(row) = broken {
            return Err(format!("SHOW SNAPSHOT says {row:?}"));
        }
        let mut found = listed.column("Snapshot");
        let mut wanted: Vec<&str> = self.workers.iter().flat_map(Worker::labels).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        if found == wanted {
            return Ok(());
        }
        let missing: Vec<_> = wanted.iter().filter(|label| !found.contains(label)).collect();
        let extra: Vec<_> = found.iter().filter(|label| !wanted.contains(label)).collect();
        Err(format!("SHOW SNAPSHOT lacks {missing:?}, and lists {extra:?} that no backup finished"))
    }

    /// What was seen.
    pub fn report(&self) -> String {
        let sum = |of: fn(&Worker) -> u64| self.workers.iter().map(of).sum::<u64>();
        let starts = f64::from(self.kills.saturating_sub(self.killed_starts).max(1));
        format!(
            "torture: seed {}: {} kills, {} of them while it started, in {:.0} s\n\
             acknowledged: {} statements and loads; in doubt when it died: {}, of which {} had happened\n\
             backups: {} finished, {} cancelled when asked to; restores that were compared: {}\n\
             snapshots: {} dropped, {} gone with their ttl; verifications: {}\n\
             looks at a whole database: {}; rests: {}, the last over {} tablets and {} files\n\
             a start took {:.2} s, the slowest {:.2} s",
            self.seed,
            self.kills,
            self.killed_starts,
            self.began.elapsed().as_secs_f64(),
            sum(|worker| worker.seen.acknowledged),
            sum(|worker| worker.seen.in_doubt),
            sum(|worker| worker.seen.in_doubt_done),
            sum(|worker| worker.seen.backups),
            sum(|worker| worker.seen.cancelled),
            sum(|worker| worker.seen.restores),
            sum(|worker| worker.seen.dropped),
            self.expired,
            sum(|worker| worker.seen.verified),
            sum(|worker| worker.seen.looks),
            self.rests,
            self.walked.tablets,
            self.walked.files,
            self.starts_took.as_secs_f64() / starts,
            self.start_slowest.as_secs_f64(),
        )
    }

    /// Random numbers of one worker, or of the killer, in one round.
    fn seed_of(&self, round: u32, who: usize) -> u64 {
        // StdRng spreads what it is seeded with, so neighbours have nothing in common.
        self.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(round) * (WORKERS as u64 + 1) + who as u64)
    }
}
