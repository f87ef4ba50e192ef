//! What one action costs a server: time, requests to the store, processor time, memory.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use ebla_tests::log::LogTail;
use ebla_tests::s3::S3Object;
use ebla_tests::server::Server;
use ebla_tests::usage;

/// Nothing that is measured takes longer, also in a debug build.
const PATIENCE: Duration = Duration::from_secs(900);

/// The server's count of what it has sent to stores, retries included.
const REQUESTS_METRIC: &str = "ebla_repository_http_attempts_total";

/// An action being measured.
pub struct Meter {
    pid: u32,
    log: LogTail,
    requests_before: u64,
    cpu_before: f64,
    memory_before: u64,
    start: Instant,
}

/// What an action has cost.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// From the statement to the end of what it began.
    pub seconds: f64,
    /// On all processors.
    pub cpu_seconds: f64,
    /// Peak of the memory in use, less what was in use before.
    pub memory_bytes: u64,
    /// Bytes of the objects that were written or read.
    pub bytes: u64,
    /// Those objects.
    pub objects: usize,
    /// Requests to the store.
    pub requests: u64,
}

impl Meter {
    /// Begins; the next thing to do is what is to be measured.
    pub async fn start(server: &Server) -> Meter {
        let pid = server.process().pid();
        let requests_before = requests(server).await;
        usage::reset_memory_peak(pid);
        Meter {
            pid,
            log: LogTail::of(server.process()),
            requests_before,
            cpu_before: usage::cpu_seconds(pid),
            memory_before: usage::memory_bytes(pid),
            start: Instant::now(),
        }
    }

    /// Waits until the server logs this. Asking it by SHOW in a loop would be a part of what is measured.
    pub async fn wait_log(&mut self, text: &str) {
        self.log.wait_line(PATIENCE, text).await;
    }

    /// Ends.
    pub fn stop(self) -> Sample {
        let seconds = self.start.elapsed().as_secs_f64();
        Sample {
            seconds,
            cpu_seconds: usage::cpu_seconds(self.pid) - self.cpu_before,
            memory_bytes: usage::memory_peak_bytes(self.pid).saturating_sub(self.memory_before),
            // Completed by `requests_until_now`: asking takes the server's time.
            requests: self.requests_before,
            ..Sample::default()
        }
    }
}

impl Sample {
    /// Adds what was written or read.
    pub fn moved(mut self, objects: &[S3Object]) -> Sample {
        self.objects = objects.len();
        self.bytes = objects.iter().map(|object| object.size_bytes).sum();
        self
    }

    /// Counts the requests since the meter was started.
    pub async fn requests_until_now(mut self, server: &Server) -> Sample {
        self.requests = requests(server).await - self.requests;
        self
    }

    /// Processor time for each 10⁹ bytes.
    pub fn cpu_seconds_per_gb(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / 1e9)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { seconds, cpu_seconds, objects, requests, .. } = self;
        let (bytes, memory) = (self.bytes as f64 / 1e6, self.memory_bytes as f64 / 1e6);
        write!(f, "{seconds:.3} s, {bytes:.2} MB, {objects} objects, {requests} requests, ")?;
        write!(f, "{cpu_seconds:.2} CPU-s, +{memory:.0} MB memory")
    }
}

/// What was written before goes to the disks first, so that nobody's measurement pays for it.
pub fn settle_disks() {
    let status = Command::new("sync").status().unwrap();
    assert!(status.success(), "sync ended with {status}");
}

async fn requests(server: &Server) -> u64 {
    let metrics = server.http_get("/metrics").await.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(REQUESTS_METRIC)?.trim().parse().ok());
    // A counter that was never raised is not there.
    value.unwrap_or(0)
}
