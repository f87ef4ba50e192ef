//! A server from start to stop.
//!
//! Start: lock and open storage → accounts → query engine → job runner resumes what was running → both listeners →
//! `addresses.json`. Stop: listeners close, statements drain, jobs stop between steps, storage closes. Nothing here
//! decides what a statement means.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ebla_protocol::wire::{self, ConnectInfo, Credential, ListenerConfig, WireError};
use ebla_storage::Storage;
use ebla_storage::clock::{SystemClock, SystemRandom};
use ebla_storage::job::{JobConfig, JobRunner, StopAt};
use ebla_storage::lifecycle::Lifecycle;
use ebla_storage::repositories::{Repositories, RepositoriesConfig};
use ebla_storage::repository::{KEY_VARIABLE, Secret, TransferLimits};
use ebla_storage::storage::StorageConfig;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::{Accounts, Identity};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::query::{QueryConfig, QueryEngine};
use crate::session::Session;
use crate::session::process::ProcessList;
use crate::session::variables::Variables;

/// The version of this server.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the greeting and VERSION() call the server. Clients choose their dialect by the number in front.
pub const MYSQL_VERSION: &str = concat!("8.0.33-ebla-", env!("CARGO_PKG_VERSION"));

/// How long running statements may go on after SIGTERM.
const DRAIN_GRACE: Duration = Duration::from_secs(30);

/// How often the values of histograms are summed up: a few thousand of them are kept meanwhile on a busy server.
const METRICS_SUMMED_UP_EVERY: Duration = Duration::from_secs(5);

/// Requests that all jobs together keep in flight: enough to hide a store's latency.
const TRANSFER_REQUESTS_MAX: usize = 16;

/// Memory for parts on their way to or from repositories: bounds jobs whatever the tables' size.
const TRANSFER_MEMORY_BYTES_MAX: u64 = 128 << 20;

/// How much all queries together may spill to disk; beyond it a query fails instead of filling the disk.
const SPILL_BYTES_MAX: u64 = 100 << 30;

/// File in the data directory that names the addresses and the process, written once both listeners are up.
const ADDRESSES_FILE: &str = "addresses.json";

/// File in the data directory with root's first password, when none was given.
const ROOT_PASSWORD_FILE: &str = "root-password";

/// Environment variable with root's first password.
const ROOT_PASSWORD_VARIABLE: &str = "EBLA_ROOT_PASSWORD";

/// Names a place at which jobs are to stay, for tests that kill the server there (see [`StopAt`]).
const STOP_JOB_VARIABLE: &str = "EBLA_TEST_STOP_JOB_AT";

/// A running server, shared by everything that serves a client.
#[derive(Debug)]
pub struct Server {
    /// What it was told at its start.
    pub config: Config,
    /// Where it listens.
    pub addresses: Addresses,
    /// What is kept.
    pub storage: Arc<Storage>,
    /// Backups and restores.
    pub jobs: Arc<JobRunner>,
    /// Drops, expiry and collection in the repositories.
    pub lifecycle: Arc<Lifecycle>,
    /// The repositories jobs and statements reach.
    pub repositories: Arc<Repositories>,
    /// What answers queries.
    pub engine: Arc<QueryEngine>,
    /// Who may connect.
    pub accounts: Arc<Accounts>,
    /// Who is connected.
    pub processes: ProcessList,
    /// Global variables.
    pub globals: RwLock<Variables>,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
}

/// The addresses a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Addresses {
    /// For MySQL clients.
    pub mysql: SocketAddr,
    /// For Stream Load, health and metrics.
    pub http: SocketAddr,
}

/// A server with its listeners, not serving yet.
#[derive(Debug)]
pub struct Bound {
    /// The server.
    pub server: Arc<Server>,
    mysql: TcpListener,
    http: TcpListener,
}

impl Server {
    /// Milliseconds since the Unix epoch, by the server's clock.
    pub fn now_ms(&self) -> i64 {
        self.storage.catalog().clock().now_ms()
    }

    /// Global variables as they are before anything is set.
    pub fn default_variables(&self) -> Variables {
        Variables::new(&facts(&self.config, self.addresses), Default::default())
    }

    /// Opens everything and binds both addresses.
    pub async fn bind(config: Config) -> Result<Bound> {
        config.repository_policy.check_ca_bundle().await.map_err(|error| Error::refused(error.to_string()))?;
        let opened = {
            let storage_config = StorageConfig {
                roots: config.storage_roots.clone(),
                memtable_bytes_max: config.load_memory_limit as u64,
                trash_expire: config.trash_expire,
                garbage_interval: config.garbage_interval,
                ..StorageConfig::new(&config.data_dir)
            };
            tokio::task::spawn_blocking(move || {
                Storage::open(storage_config, Arc::new(SystemClock), Arc::new(SystemRandom))
            })
            .await
            .map_err(|error| Error::Internal(error.to_string()))?
        };
        let storage = opened?;
        let accounts = Arc::new(Accounts::new(Arc::clone(storage.catalog())));
        first_start(&config, &storage, &accounts)?;
        let engine = Arc::new(QueryEngine::new(&QueryConfig {
            memory_bytes: config.query_memory_limit,
            spill_dir: config.data_dir.join("spill"),
            spill_bytes_max: SPILL_BYTES_MAX,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        })?);
        let repositories_config = RepositoriesConfig {
            limits: Arc::new(transfer_limits(&config)),
            policy: Arc::new(config.repository_policy.clone()),
            secret_key: std::env::var(KEY_VARIABLE).ok().map(Secret::new),
        };
        let repositories = Arc::new(Repositories::open(Arc::clone(&storage), repositories_config)?);
        repositories.rescue_lost_files();
        let job_config = job_config(&config);
        let jobs = Arc::new(JobRunner::start(Arc::clone(&storage), Arc::clone(&repositories), job_config)?);
        let lifecycle = Lifecycle::new(
            Arc::clone(&storage),
            Arc::clone(&repositories),
            Arc::clone(&jobs),
            config.lifecycle.clone(),
        );
        let mysql = listen(config.mysql_addr, "mysql_addr").await?;
        let http = listen(config.http_addr, "http_addr").await?;
        let addresses = Addresses { mysql: address_of(&mysql)?, http: address_of(&http)? };
        let kept = storage.catalog().read(|read| read.variables())?;
        let globals = RwLock::new(Variables::new(&facts(&config, addresses), kept));
        let started_at_ms = storage.catalog().clock().now_ms();
        // Jobs have been found again by now, so nothing they need looks like an orphan.
        storage.start_background();
        lifecycle.start_background();
        let server = Arc::new(Server {
            config,
            addresses,
            storage,
            jobs,
            lifecycle,
            repositories,
            engine,
            accounts,
            processes: ProcessList::default(),
            globals,
            started_at_ms,
        });
        Ok(Bound { server, mysql, http })
    }
}

impl Bound {
    /// Serves until `shutdown`, then drains.
    pub async fn serve(
        self,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let Bound { server, mysql, http } = self;
        let listener_config = ListenerConfig {
            server_version: MYSQL_VERSION.to_owned(),
            connections_max: server.config.max_connections,
            max_allowed_packet_bytes: server.config.max_allowed_packet,
            drain_grace: DRAIN_GRACE,
            ..ListenerConfig::default()
        };
        write_addresses(&server.config.data_dir, server.addresses)?;
        tracing::info!(
            mysql = %server.addresses.mysql,
            http = %server.addresses.http,
            data_dir = %server.config.data_dir.display(),
            version = VERSION,
            "serving"
        );
        let handler = Arc::new(Handler { server: Arc::clone(&server) });
        let state = crate::http_state::state(&server, metrics.clone());
        let ((), http_done, ()) = tokio::join!(
            wire::listener::serve(mysql, handler, listener_config, shutdown.clone()),
            crate::http::serve(http, state, shutdown.clone()),
            sum_up(metrics, shutdown),
        );
        tracing::info!("listeners are closed");
        // The next start must not read the addresses of this one.
        #[expect(clippy::disallowed_methods, reason = "the next start writes the file anew in any case")]
        let _ = std::fs::remove_file(server.config.data_dir.join(ADDRESSES_FILE));
        server.lifecycle.shutdown().await;
        server.jobs.shutdown().await;
        server.storage.shutdown().await;
        http_done.map_err(|error| Error::Internal(format!("HTTP listener: {error}")))?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Sums up what histograms have been told, until `shutdown`. Each value is kept until then, and nobody may ever ask for
/// `/metrics`, where it is done as well.
async fn sum_up(metrics: metrics_exporter_prometheus::PrometheusHandle, shutdown: CancellationToken) {
    let mut turns = tokio::time::interval(METRICS_SUMMED_UP_EVERY);
    while shutdown.run_until_cancelled(turns.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

/// The seam of the MySQL listener.
#[derive(Debug)]
struct Handler {
    server: Arc<Server>,
}

#[async_trait]
impl wire::Handler for Handler {
    type Session = Session;

    async fn credential(&self, user: &str, peer: SocketAddr) -> Option<Credential> {
        self.server.accounts.credential(user, peer).unwrap_or_else(|error| {
            tracing::error!(%error, "look up account");
            None
        })
    }

    async fn open(&self, connect: ConnectInfo) -> Result<Session, WireError> {
        let account = self.server.accounts.find(&connect.user, connect.peer.ip())?;
        let Some(account) = account else {
            // Dropped between the check of the password and now.
            return Err(WireError::new(1045, *b"28000", format!("Access denied for user '{}'", connect.user)));
        };
        let identity = Identity { user: account.name, host: account.host };
        Ok(Session::open(Arc::clone(&self.server), identity, &connect)?)
    }
}

/// Makes root at the first start, with the password that was given, or a random one kept in a file.
fn first_start(config: &Config, storage: &Storage, accounts: &Accounts) -> Result<()> {
    let path = config.data_dir.join(ROOT_PASSWORD_FILE);
    let made = accounts.bootstrap(|| {
        if config.initialize_insecure {
            return Ok(None);
        }
        match std::env::var(ROOT_PASSWORD_VARIABLE) {
            Ok(password) if !password.is_empty() => Ok(Some(password)),
            _ => {
                let password = storage.catalog().random().identifier();
                // It must be there before root is: nobody could tell the password otherwise.
                ebla_storage::disk::write_secret(&path, &password)
                    .map_err(|error| Error::Internal(format!("cannot write {}: {error}", path.display())))?;
                Ok(Some(password))
            }
        }
    })?;
    if made && path.exists() {
        tracing::info!(path = %path.display(), "root has a random password; read it there, then change it");
    }
    if made && config.initialize_insecure {
        tracing::warn!("root has an empty password: set one with SET PASSWORD");
    }
    Ok(())
}

/// Writes where the server listens, whole or not at all: scripts and tests wait for this file.
#[expect(clippy::disallowed_methods, reason = "it is not kept: every start writes it anew")]
fn write_addresses(data_dir: &Path, addresses: Addresses) -> Result<()> {
    let text = serde_json::json!({
        "mysql": addresses.mysql,
        "http": addresses.http,
        "pid": std::process::id(),
    });
    let path = data_dir.join(ADDRESSES_FILE);
    let temporary: PathBuf = data_dir.join(format!("{ADDRESSES_FILE}.new"));
    std::fs::write(&temporary, text.to_string())
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|error| Error::Internal(format!("cannot write {}: {error}", path.display())))
}

async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Error::refused(format!("cannot listen on {address}: {error}: choose another {option}")))
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::Internal(error.to_string()))
}

fn job_config(config: &Config) -> JobConfig {
    let defaults = JobConfig {
        concurrent_jobs_max: config.max_concurrent_jobs,
        retry: config.job_retry,
        history_keep: config.job_history_keep,
        ..JobConfig::default()
    };
    match std::env::var(STOP_JOB_VARIABLE) {
        Ok(place) => JobConfig { failpoints: Arc::new(StopAt::new(place)), ..defaults },
        Err(_) => defaults,
    }
}

/// What all repositories may use together: requests in flight, memory for parts, upload bandwidth.
fn transfer_limits(config: &Config) -> TransferLimits {
    TransferLimits::new(TRANSFER_REQUESTS_MAX, TRANSFER_MEMORY_BYTES_MAX, config.max_backup_bandwidth)
}

fn facts(config: &Config, addresses: Addresses) -> Vec<(&'static str, String)> {
    vec![
        ("max_allowed_packet", config.max_allowed_packet.to_string()),
        ("max_connections", config.max_connections.to_string()),
        ("port", addresses.mysql.port().to_string()),
        ("version", MYSQL_VERSION.to_owned()),
        ("datadir", config.data_dir.display().to_string()),
    ]
}
