//! What a server is told at its start: command line over environment over file over default.
//!
//! Every option has one name in three spellings: `--mysql-addr`, `EBLA_MYSQL_ADDR`, and `mysql_addr` in the TOML file.
//! A file with an unknown key is refused, so that a typing mistake does not pass for a setting; a variable that is named
//! like an option and is none is told in the log.

mod environment;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ebla_storage::job::{HISTORY_KEEP, RetryPolicy};
use ebla_storage::lifecycle::LifecycleConfig;
use ebla_storage::repository::{LocationPattern, NoPattern, RepositoryPolicy, RequestLimits};
use ebla_storage::storage::{GARBAGE_INTERVAL, TRASH_EXPIRE};
use serde::Deserialize;

pub use environment::{unknown_variables, warn_of_unknown_variables};

/// Options as they are given: each may be absent.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Directory of the catalog, and of the tables unless storage roots say otherwise
    #[arg(long, env = "EBLA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address MySQL clients connect to; port 0 takes a free one
    #[arg(long, env = "EBLA_MYSQL_ADDR")]
    pub mysql_addr: Option<SocketAddr>,
    /// Address of Stream Load, health and metrics
    #[arg(long, env = "EBLA_HTTP_ADDR")]
    pub http_addr: Option<SocketAddr>,
    /// Directories for tables, one a disk, comma separated; replicas of a tablet lie on different ones
    #[arg(long, env = "EBLA_STORAGE_ROOTS", value_delimiter = ',')]
    pub storage_roots: Option<Vec<PathBuf>>,
    /// Most connections at a time
    #[arg(long, env = "EBLA_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// Largest statement, in bytes
    #[arg(long, env = "EBLA_MAX_ALLOWED_PACKET")]
    pub max_allowed_packet: Option<usize>,
    /// Memory that queries may use together, in bytes; beyond it they spill to disk
    #[arg(long, env = "EBLA_QUERY_MEMORY_LIMIT")]
    pub query_memory_limit: Option<usize>,
    /// Memory that loads may use together, in bytes
    #[arg(long, env = "EBLA_LOAD_MEMORY_LIMIT")]
    pub load_memory_limit: Option<usize>,
    /// Backup and restore jobs that may run at a time, each in a database of its own
    #[arg(long, env = "EBLA_MAX_CONCURRENT_JOBS")]
    pub max_concurrent_jobs: Option<usize>,
    /// Bytes per second that all backups may upload together; 0 is unlimited
    #[arg(long, env = "EBLA_MAX_BACKUP_BANDWIDTH")]
    pub max_backup_bandwidth: Option<u64>,
    /// Buckets that repositories may use, comma separated: `bucket` is one of AWS, `host/bucket` one of another store; `*`
    /// stands for any letters. Empty allows all but link-local and metadata addresses, which must be named
    #[arg(long, env = "EBLA_REPOSITORY_LOCATION_ALLOWLIST", value_delimiter = ',')]
    pub repository_location_allowlist: Option<Vec<String>>,
    /// Directory below which file:// repositories must lie
    #[arg(long, env = "EBLA_REPOSITORY_FILE_ROOT")]
    pub repository_file_root: Option<PathBuf>,
    /// PEM file of certificates that S3 endpoints may show beside those the system trusts
    #[arg(long, env = "EBLA_S3_CA_BUNDLE")]
    pub s3_ca_bundle: Option<PathBuf>,
    /// Directory below which files that aws.s3.ca_bundle names must lie
    #[arg(long, env = "EBLA_S3_CA_BUNDLE_ROOT")]
    pub s3_ca_bundle_root: Option<PathBuf>,
    /// Time to open a connection to S3, in milliseconds
    #[arg(long, env = "EBLA_S3_CONNECT_TIMEOUT_MS")]
    pub s3_connect_timeout_ms: Option<u64>,
    /// Time for one request to S3, all attempts together, while a statement waits for it, in milliseconds
    #[arg(long, env = "EBLA_S3_STATEMENT_TIMEOUT_MS")]
    pub s3_statement_timeout_ms: Option<u64>,
    /// Time for one attempt at a request to S3 in a job, body apart, in milliseconds
    #[arg(long, env = "EBLA_S3_ATTEMPT_TIMEOUT_MS")]
    pub s3_attempt_timeout_ms: Option<u64>,
    /// Attempts at one request to S3 in a job
    #[arg(long, env = "EBLA_S3_ATTEMPTS_MAX")]
    pub s3_attempts_max: Option<u32>,
    /// Seconds for which a dropped database, table or partition can be recovered
    #[arg(long, env = "EBLA_TRASH_EXPIRE_S")]
    pub trash_expire_s: Option<u64>,
    /// Seconds between two passes of the garbage collector
    #[arg(long, env = "EBLA_GARBAGE_INTERVAL_S")]
    pub garbage_interval_s: Option<u64>,
    /// Seconds between two looks for snapshots whose ttl is over; 0 for none
    #[arg(long, env = "EBLA_SNAPSHOT_EXPIRY_INTERVAL_S")]
    pub snapshot_expiry_interval_s: Option<u64>,
    /// Seconds between two turns of collecting garbage in each repository; 0 for none
    #[arg(long, env = "EBLA_REPOSITORY_COLLECTION_INTERVAL_S")]
    pub repository_collection_interval_s: Option<u64>,
    /// Seconds an object of a repository must be without a snapshot before it is marked, and marked before it is removed
    #[arg(long, env = "EBLA_REPOSITORY_COLLECTION_GRACE_S")]
    pub repository_collection_grace_s: Option<u64>,
    /// Time a body to or from S3 may stand still before its attempt is given up, in milliseconds
    #[arg(long, env = "EBLA_S3_STALL_TIMEOUT_MS")]
    pub s3_stall_timeout_ms: Option<u64>,
    /// Slowest transfer to or from S3 that is waited for, in bytes per second; an attempt has that time for its body
    #[arg(long, env = "EBLA_S3_BYTES_PER_SECOND_MIN")]
    pub s3_bytes_per_second_min: Option<u64>,
    /// Times a job does one thing whose errors may pass, such as moving a file, before it fails
    #[arg(long, env = "EBLA_JOB_ATTEMPTS_MAX")]
    pub job_attempts_max: Option<u32>,
    /// Longest pause between these, in milliseconds
    #[arg(long, env = "EBLA_JOB_PAUSE_MAX_MS")]
    pub job_pause_max_ms: Option<u64>,
    /// Seconds for which jobs that have ended are kept as history; the last of each database always are
    #[arg(long, env = "EBLA_JOB_HISTORY_KEEP_S")]
    pub job_history_keep_s: Option<u64>,
    /// Form of the log
    #[arg(long, env = "EBLA_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or directives such as `info,ebla_storage=debug`
    #[arg(long, env = "EBLA_LOG")]
    pub log: Option<String>,
    /// Give root an empty password at the first start; refused unless all addresses are loopback
    #[arg(long, env = "EBLA_INITIALIZE_INSECURE", num_args = 0..=1, default_missing_value = "true")]
    pub initialize_insecure: Option<bool>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Options with their defaults filled in and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// See [`Options::data_dir`].
    pub data_dir: PathBuf,
    /// See [`Options::mysql_addr`].
    pub mysql_addr: SocketAddr,
    /// See [`Options::http_addr`].
    pub http_addr: SocketAddr,
    /// See [`Options::storage_roots`].
    pub storage_roots: Vec<PathBuf>,
    /// See [`Options::max_connections`].
    pub max_connections: usize,
    /// See [`Options::max_allowed_packet`].
    pub max_allowed_packet: usize,
    /// See [`Options::query_memory_limit`].
    pub query_memory_limit: usize,
    /// See [`Options::load_memory_limit`].
    pub load_memory_limit: usize,
    /// See [`Options::max_concurrent_jobs`].
    pub max_concurrent_jobs: usize,
    /// See [`Options::max_backup_bandwidth`]; `None` is unlimited.
    pub max_backup_bandwidth: Option<u64>,
    /// Where repositories may lie, and how long requests to them are tried for.
    pub repository_policy: RepositoryPolicy,
    /// See [`Options::trash_expire_s`].
    pub trash_expire: Duration,
    /// See [`Options::garbage_interval_s`].
    pub garbage_interval: Duration,
    /// When snapshots expire and repositories are collected by themselves.
    pub lifecycle: LifecycleConfig,
    /// How often jobs do again what has failed and may pass.
    pub job_retry: RetryPolicy,
    /// See [`Options::job_history_keep_s`].
    pub job_history_keep: Duration,
    /// See [`Options::log_format`].
    pub log_format: LogFormat,
    /// See [`Options::log`].
    pub log: String,
    /// See [`Options::initialize_insecure`].
    pub initialize_insecure: bool,
}

/// A configuration that cannot be used; the text says what to change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Least and most of [`Options::trash_expire_s`]: ten years are as good as for ever.
const TRASH_EXPIRE_S: (u64, u64) = (1, 315_360_000);

/// Least and most of [`Options::garbage_interval_s`]: a pass costs a look at the catalog, and what it does not do the
/// disk has to hold.
const GARBAGE_INTERVAL_S: (u64, u64) = (1, 86_400);

/// Least and most of [`Options::s3_connect_timeout_ms`].
const S3_CONNECT_TIMEOUT_MS: (u128, u128) = (100, 60_000);

/// Least and most of [`Options::s3_statement_timeout_ms`]: somebody waits.
const S3_STATEMENT_TIMEOUT_MS: (u128, u128) = (1_000, 120_000);

/// Least and most of [`Options::s3_attempt_timeout_ms`].
const S3_ATTEMPT_TIMEOUT_MS: (u128, u128) = (1_000, 600_000);

/// Least and most of [`Options::s3_attempts_max`]; jobs try again by themselves after these.
const S3_ATTEMPTS: (u128, u128) = (1, 20);

/// Least and most of [`Options::repository_collection_grace_s`]: a second for tests, a year.
const COLLECTION_GRACE_S: (u128, u128) = (1, 366 * 86_400);

/// Least and most of [`Options::s3_stall_timeout_ms`].
const S3_STALL_TIMEOUT_MS: (u128, u128) = (1_000, 600_000);

/// Least and most of [`Options::s3_bytes_per_second_min`].
const S3_BYTES_PER_SECOND_MIN: (u128, u128) = (1_024, 1 << 30);

/// Least and most of [`Options::job_attempts_max`].
const JOB_ATTEMPTS: (u128, u128) = (1, 1_000);

/// Least and most of [`Options::job_pause_max_ms`]: without a pause an outage would be met by a storm.
const JOB_PAUSE_MAX_MS: (u128, u128) = (100, 3_600_000);

/// Least and most of [`Options::job_history_keep_s`]: ten years are as good as for ever.
const JOB_HISTORY_KEEP_S: (u128, u128) = (1, 315_360_000);

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

impl Options {
    /// Reads a TOML file.
    pub fn from_file(path: &Path) -> Result<Options, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read configuration {}: {error}", path.display())))?;
        toml::from_str(&text)
            .map_err(|error| ConfigError(format!("configuration {} is wrong: {error}", path.display())))
    }

    /// These options, and `other`'s where these say nothing.
    pub fn or(self, other: Options) -> Options {
        Options {
            data_dir: self.data_dir.or(other.data_dir),
            mysql_addr: self.mysql_addr.or(other.mysql_addr),
            http_addr: self.http_addr.or(other.http_addr),
            storage_roots: self.storage_roots.or(other.storage_roots),
            max_connections: self.max_connections.or(other.max_connections),
            max_allowed_packet: self.max_allowed_packet.or(other.max_allowed_packet),
            query_memory_limit: self.query_memory_limit.or(other.query_memory_limit),
            load_memory_limit: self.load_memory_limit.or(other.load_memory_limit),
            max_concurrent_jobs: self.max_concurrent_jobs.or(other.max_concurrent_jobs),
            max_backup_bandwidth: self.max_backup_bandwidth.or(other.max_backup_bandwidth),
            repository_location_allowlist: self.repository_location_allowlist.or(other.repository_location_allowlist),
            repository_file_root: self.repository_file_root.or(other.repository_file_root),
            s3_ca_bundle: self.s3_ca_bundle.or(other.s3_ca_bundle),
            s3_ca_bundle_root: self.s3_ca_bundle_root.or(other.s3_ca_bundle_root),
            s3_connect_timeout_ms: self.s3_connect_timeout_ms.or(other.s3_connect_timeout_ms),
            s3_statement_timeout_ms: self.s3_statement_timeout_ms.or(other.s3_statement_timeout_ms),
            s3_attempt_timeout_ms: self.s3_attempt_timeout_ms.or(other.s3_attempt_timeout_ms),
            s3_attempts_max: self.s3_attempts_max.or(other.s3_attempts_max),
            trash_expire_s: self.trash_expire_s.or(other.trash_expire_s),
            garbage_interval_s: self.garbage_interval_s.or(other.garbage_interval_s),
            snapshot_expiry_interval_s: self.snapshot_expiry_interval_s.or(other.snapshot_expiry_interval_s),
            repository_collection_interval_s: self
                .repository_collection_interval_s
                .or(other.repository_collection_interval_s),
            repository_collection_grace_s: self.repository_collection_grace_s.or(other.repository_collection_grace_s),
            s3_stall_timeout_ms: self.s3_stall_timeout_ms.or(other.s3_stall_timeout_ms),
            s3_bytes_per_second_min: self.s3_bytes_per_second_min.or(other.s3_bytes_per_second_min),
            job_attempts_max: self.job_attempts_max.or(other.job_attempts_max),
            job_pause_max_ms: self.job_pause_max_ms.or(other.job_pause_max_ms),
            job_history_keep_s: self.job_history_keep_s.or(other.job_history_keep_s),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
            initialize_insecure: self.initialize_insecure.or(other.initialize_insecure),
        }
    }

    /// Fills in the defaults and checks what can be checked without touching the disk.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let data_dir = self.data_dir.ok_or_else(|| {
            ConfigError("no data directory: give --data-dir, EBLA_DATA_DIR or data_dir in the file".to_owned())
        })?;
        let (requests, lifecycle) = (RequestLimits::default(), LifecycleConfig::default());
        let repository_policy = RepositoryPolicy {
            location_allowlist: allowlist(&self.repository_location_allowlist.unwrap_or_default())?,
            file_root: Some(self.repository_file_root.unwrap_or_else(|| data_dir.join("repositories"))),
            ca_bundle: self.s3_ca_bundle,
            ca_bundle_root: Some(self.s3_ca_bundle_root.unwrap_or_else(|| data_dir.join("certificates"))),
            requests: RequestLimits {
                connect_timeout: self.s3_connect_timeout_ms.map_or(requests.connect_timeout, Duration::from_millis),
                statement_timeout: self
                    .s3_statement_timeout_ms
                    .map_or(requests.statement_timeout, Duration::from_millis),
                attempt_timeout: self.s3_attempt_timeout_ms.map_or(requests.attempt_timeout, Duration::from_millis),
                attempts_max: self.s3_attempts_max.unwrap_or(requests.attempts_max),
                bytes_per_second_min: self.s3_bytes_per_second_min.unwrap_or(requests.bytes_per_second_min),
                stall_timeout: self.s3_stall_timeout_ms.map_or(requests.stall_timeout, Duration::from_millis),
            },
        };
        let retry = RetryPolicy::default();
        let job_retry = RetryPolicy {
            attempts_max: self.job_attempts_max.unwrap_or(retry.attempts_max),
            delay_max: self.job_pause_max_ms.map_or(retry.delay_max, Duration::from_millis),
            ..retry
        };
        let config = Config {
            mysql_addr: self.mysql_addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9030))),
            http_addr: self.http_addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8030))),
            storage_roots: self.storage_roots.unwrap_or_else(|| vec![data_dir.join("storage")]),
            max_connections: self.max_connections.unwrap_or(1024),
            max_allowed_packet: self.max_allowed_packet.unwrap_or(64 * MIB),
            query_memory_limit: self.query_memory_limit.unwrap_or(2 * GIB),
            load_memory_limit: self.load_memory_limit.unwrap_or(GIB),
            max_concurrent_jobs: self.max_concurrent_jobs.unwrap_or(4),
            max_backup_bandwidth: self.max_backup_bandwidth.filter(|limit| *limit > 0),
            repository_policy,
            trash_expire: self.trash_expire_s.map_or(TRASH_EXPIRE, Duration::from_secs),
            garbage_interval: self.garbage_interval_s.map_or(GARBAGE_INTERVAL, Duration::from_secs),
            lifecycle: LifecycleConfig {
                expiry_interval: self.snapshot_expiry_interval_s.map_or(lifecycle.expiry_interval, Duration::from_secs),
                collection_interval: self
                    .repository_collection_interval_s
                    .map_or(lifecycle.collection_interval, Duration::from_secs),
                collection_grace: self
                    .repository_collection_grace_s
                    .map_or(lifecycle.collection_grace, Duration::from_secs),
            },
            job_retry,
            job_history_keep: self.job_history_keep_s.map_or(HISTORY_KEEP, Duration::from_secs),
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            initialize_insecure: self.initialize_insecure.unwrap_or(false),
            data_dir,
        };
        config.check()?;
        Ok(config)
    }
}

fn allowlist(entries: &[String]) -> Result<Vec<LocationPattern>, ConfigError> {
    let refuse = |said: String| ConfigError(format!("repository_location_allowlist: {said}"));
    let parse = |entry: &str| match entry.trim() {
        // Passed over, a list of nothing else would allow everything.
        "" => Err(refuse("an entry is empty; leave it out, or the whole option to allow all places".to_owned())),
        entry => entry.parse().map_err(|error: NoPattern| refuse(error.to_string())),
    };
    entries.iter().map(|entry| parse(entry)).collect()
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let loopback = self.mysql_addr.ip().is_loopback() && self.http_addr.ip().is_loopback();
        if self.initialize_insecure && !loopback {
            return Err(ConfigError(
                "--initialize-insecure gives root an empty password, which is refused while an address is not \
                 loopback: set EBLA_ROOT_PASSWORD instead"
                    .to_owned(),
            ));
        }
        let positive = [
            ("max_connections", self.max_connections),
            ("max_concurrent_jobs", self.max_concurrent_jobs),
            ("storage_roots", self.storage_roots.len()),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError(format!("{name} is 0: it must be at least 1")));
        }
        let seconds = [
            ("trash_expire_s", self.trash_expire, TRASH_EXPIRE_S),
            ("garbage_interval_s", self.garbage_interval, GARBAGE_INTERVAL_S),
        ];
        let outside = seconds.iter().find(|(_, value, (least, most))| !(*least..=*most).contains(&value.as_secs()));
        if let Some((name, value, (least, most))) = outside {
            return Err(ConfigError(format!("{name} is {}: it must be from {least} to {most}", value.as_secs())));
        }
        let floors = [
            ("max_allowed_packet", self.max_allowed_packet, MIB),
            ("query_memory_limit", self.query_memory_limit, 64 * MIB),
            ("load_memory_limit", self.load_memory_limit, 64 * MIB),
        ];
        if let Some((name, value, floor)) = floors.iter().find(|(_, value, floor)| value < floor) {
            return Err(ConfigError(format!("{name} is {value} bytes: it must be at least {floor}")));
        }
        self.check_repositories()
    }

    fn check_repositories(&self) -> Result<(), ConfigError> {
        let RepositoryPolicy { file_root, ca_bundle_root, requests, .. } = &self.repository_policy;
        let roots = [
            ("repository_file_root", file_root, "repositories"),
            ("s3_ca_bundle_root", ca_bundle_root, "certificates"),
        ];
        if let Some((name, _, what)) = roots.iter().find(|(_, root, _)| root.as_deref() == Some(Path::new("/"))) {
            return Err(ConfigError(format!("{name} is /: name a directory for {what} alone")));
        }
        let grace_s = u128::from(self.lifecycle.collection_grace.as_secs());
        let bounded = [
            ("s3_connect_timeout_ms", requests.connect_timeout.as_millis(), S3_CONNECT_TIMEOUT_MS),
            ("s3_statement_timeout_ms", requests.statement_timeout.as_millis(), S3_STATEMENT_TIMEOUT_MS),
            ("s3_attempt_timeout_ms", requests.attempt_timeout.as_millis(), S3_ATTEMPT_TIMEOUT_MS),
            ("s3_attempts_max", u128::from(requests.attempts_max), S3_ATTEMPTS),
            ("repository_collection_grace_s", grace_s, COLLECTION_GRACE_S),
            ("s3_stall_timeout_ms", requests.stall_timeout.as_millis(), S3_STALL_TIMEOUT_MS),
            ("s3_bytes_per_second_min", u128::from(requests.bytes_per_second_min), S3_BYTES_PER_SECOND_MIN),
            ("job_attempts_max", u128::from(self.job_retry.attempts_max), JOB_ATTEMPTS),
            ("job_pause_max_ms", self.job_retry.delay_max.as_millis(), JOB_PAUSE_MAX_MS),
            ("job_history_keep_s", u128::from(self.job_history_keep.as_secs()), JOB_HISTORY_KEEP_S),
        ];
        match bounded.iter().find(|(_, value, (least, most))| value < least || value > most) {
            Some((name, value, (least, most))) => {
                Err(ConfigError(format!("{name} is {value}: it must be from {least} to {most}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Config, String> {
        let options: Options = toml::from_str(text).map_err(|error| error.to_string())?;
        options.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_listen_on_loopback() {
        let config = options("data_dir = 'd'").expect("a data directory is enough");
        assert_eq!(config.mysql_addr.to_string(), "127.0.0.1:9030");
        assert_eq!(config.http_addr.to_string(), "127.0.0.1:8030");
        assert_eq!(config.storage_roots, [PathBuf::from("d/storage")]);
    }

    #[test]
    fn mistakes_are_refused_with_their_name() {
        for (text, expected) in [
            ("", "no data directory"),
            ("data_dir = 'd'\nmysql_port = 1", "mysql_port"),
            ("data_dir = 'd'\nmax_connections = 0", "max_connections is 0"),
            ("data_dir = 'd'\nquery_memory_limit = 5", "query_memory_limit is 5 bytes"),
            ("data_dir = 'd'\ns3_attempts_max = 0", "s3_attempts_max is 0: it must be from 1 to 20"),
            ("data_dir = 'd'\ns3_statement_timeout_ms = 5", "s3_statement_timeout_ms is 5"),
            ("data_dir = 'd'\ntrash_expire_s = 0", "trash_expire_s is 0: it must be from 1 to 315360000"),
            ("data_dir = 'd'\ngarbage_interval_s = 90000", "garbage_interval_s is 90000"),
            ("data_dir = 'd'\njob_attempts_max = 0", "job_attempts_max is 0: it must be from 1 to 1000"),
            ("data_dir = 'd'\njob_pause_max_ms = 5", "job_pause_max_ms is 5"),
            ("data_dir = 'd'\njob_history_keep_s = 0", "job_history_keep_s is 0: it must be from 1 to 315360000"),
            ("data_dir = 'd'\ns3_bytes_per_second_min = 5", "s3_bytes_per_second_min is 5"),
            ("data_dir = 'd'\ns3_stall_timeout_ms = 5", "s3_stall_timeout_ms is 5"),
            ("data_dir = 'd'\nrepository_file_root = '/'", "repository_file_root is /"),
            ("data_dir = 'd'\ns3_ca_bundle_root = '/'", "s3_ca_bundle_root is /"),
            ("data_dir = 'd'\nrepository_location_allowlist = ['169.254.1.1']", "such as 169.254.1.1/*"),
            ("data_dir = 'd'\nrepository_location_allowlist = ['']", "an entry is empty; leave it out"),
            ("data_dir = 'd'\nrepository_location_allowlist = ['', ' ', '']", "an entry is empty"),
            ("data_dir = 'd'\nrepository_location_allowlist = ['backup', '']", "an entry is empty"),
            (
                "data_dir = 'd'\nrepository_collection_grace_s = 0",
                "repository_collection_grace_s is 0: it must be from 1",
            ),
            ("data_dir = 'd'\nmysql_addr = '0.0.0.0:9030'\ninitialize_insecure = true", "EBLA_ROOT_PASSWORD"),
        ] {
            let error = options(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    /// Goal: a list of nothing never allows everything. Method: the command line, as it is split at its commas.
    #[test]
    fn an_allowlist_of_nothing_is_refused() {
        for list in ["", ",", ",, ", " ", "backup,", ",backup"] {
            let line = ["ebla", "--data-dir", "d", "--repository-location-allowlist", list];
            let options = <TestLine as clap::Parser>::try_parse_from(line).expect("a list is a list").options;
            let error = options.resolve().expect_err(list).to_string();
            assert!(error.contains("repository_location_allowlist: an entry is empty"), "'{list}': {error}");
        }
        let line = ["ebla", "--data-dir", "d", "--repository-location-allowlist", "backup, s3.example.com/*"];
        let options = <TestLine as clap::Parser>::try_parse_from(line).expect("a list is a list").options;
        let config = options.resolve().expect("it has no empty entry");
        assert_eq!(config.repository_policy.location_allowlist.len(), 2);
    }

    #[derive(clap::Parser)]
    struct TestLine {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn what_comes_first_wins() {
        let first = Options { max_connections: Some(1), ..Options::default() };
        let second = Options { max_connections: Some(2), data_dir: Some("d".into()), ..Options::default() };
        let config = first.or(second).resolve().expect("both together are complete");
        assert_eq!(config.max_connections, 1);
        assert_eq!(config.data_dir, PathBuf::from("d"));
    }
}
