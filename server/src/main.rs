//! The `ebla` program: reads its options, sets up logs and metrics, runs a server until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use ebla_server::config::{Config, LogFormat, Options};
use ebla_server::server::Server;
use ebla_server::threads;
use ebla_storage::clock::{Clock, Random, SystemClock, SystemRandom};
use ebla_storage::fsck::{FsckOptions, Verdict};
use ebla_storage::repository::{KEY_VARIABLE, Secret};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A MySQL-wire OLAP database whose backups are first-class.
#[derive(Debug, Parser)]
#[command(name = "ebla", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    Serve(Box<Serve>),
    /// Tell the whole story on this machine: load, back up to an embedded S3, drop, restore, compare
    Quickstart(ebla_server::quickstart::Arguments),
    /// Look at a data directory that no server uses: hash every file, check the catalog, compare replicas. Exits with 0
    /// when everything is what was written, 1 when what is damaged has a whole copy, 2 when something is lost
    Fsck(Fsck),
}

#[derive(Debug, clap::Args)]
struct Fsck {
    /// Directory of the catalog
    #[arg(long, env = "EBLA_DATA_DIR")]
    data_dir: PathBuf,
    /// Rebuild replicas from each other, and move files that nothing names to the quarantine of their storage root
    #[arg(long)]
    repair: bool,
    /// Take what a damaged catalog says for true from now on
    #[arg(long)]
    trust_catalog: bool,
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// TOML file with any of the options below
    #[arg(long, env = "EBLA_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => run_server(*serve),
        Command::Quickstart(arguments) => ebla_server::quickstart::run(arguments),
        Command::Fsck(fsck) => return check_directory(fsck),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ebla: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_server(serve: Serve) -> Result<(), AnyError> {
    let from_file = serve.config.as_deref().map(Options::from_file).transpose()?.unwrap_or_default();
    let config = serve.options.or(from_file).resolve()?;
    set_up_logs(&config)?;
    ebla_server::config::warn_of_unknown_variables();
    let metrics = set_up_metrics()?;
    let runtime = threads::runtime("ebla", None)?;
    runtime.block_on(async {
        let bound = Server::bind(config).await?;
        let shutdown = CancellationToken::new();
        stop_on_signals(shutdown.clone())?;
        bound.serve(metrics, shutdown).await?;
        Ok(())
    })
}

/// Prints what is found; the exit code says what it comes to.
fn check_directory(fsck: Fsck) -> ExitCode {
    let secret_key = std::env::var(KEY_VARIABLE).ok().map(Secret::new);
    let options =
        FsckOptions { data_dir: fsck.data_dir, repair: fsck.repair, trust_catalog: fsck.trust_catalog, secret_key };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    match ebla_storage::fsck::fsck(&options, &clock, &random) {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(match report.verdict() {
                Verdict::Whole => 0,
                Verdict::Healable => 1,
                Verdict::Lost => 2,
            })
        }
        Err(error) => {
            eprintln!("ebla: {error}");
            ExitCode::from(2)
        }
    }
}

fn set_up_logs(config: &Config) -> Result<(), AnyError> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| format!("log is '{}', which is not understood: {error}", config.log))?;
    let discreet = filter_fn(|line| *line.level() <= Level::WARN || !is_indiscreet(line.target()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colours).finish().with(discreet).init();
        }
        LogFormat::Json => builder.json().finish().with(discreet).init(),
    }
    Ok(())
}

/// Whether lines of this target show requests and identities as they are, but for warnings: those of the AWS SDK, which
/// tells of key ids that it found in a profile, and of the HTTP libraries beneath it. No setting may let credentials into a
/// log.
fn is_indiscreet(target: &str) -> bool {
    ["aws_", "hyper", "h2::"].iter().any(|library| target.starts_with(library))
}

fn set_up_metrics() -> Result<PrometheusHandle, AnyError> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}

/// SIGTERM and SIGINT ask for an orderly stop; a second one ends the process at once.
fn stop_on_signals(shutdown: CancellationToken) -> Result<(), AnyError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "stopping; once more stops at once");
        shutdown.cancel();
        next().await;
        std::process::exit(130);
    });
    Ok(())
}
