//! `ebla quickstart`: the whole story on one machine, told as a client would live it.
//!
//! An embedded S3 (s3s-fs on loopback) and a server come up in this process; TPC-H data and the page's `sr_member` are
//! loaded; then every statement goes through a MySQL connection and is printed with its result: repository, full
//! backup, one more load, incremental backup, SHOW SNAPSHOT, DROP TABLE, RESTORE. Counts and checksums before and after
//! must agree, else the exit code is not zero. Afterwards everything stays up, unless `--exit`.
//!
//! The embedded S3 neither syncs nor creates atomically: it is for looking, never for keeping.

mod data;
mod play;
mod s3;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::config::Options;
use crate::server::Server;
use crate::threads;
use play::Player;

/// Anything that goes wrong ends the story with its text.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Options of the story.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// End after the story instead of staying up
    #[arg(long)]
    exit: bool,
    /// TPC-H scale factor of the data: 1 is about 1 GB of text
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Directory for everything; a new one under the system's temporary directory when absent
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Address MySQL clients connect to; a free port when it is taken
    #[arg(long, default_value = "127.0.0.1:9030")]
    mysql_addr: SocketAddr,
    /// Address of Stream Load and metrics; a free port when it is taken
    #[arg(long, default_value = "127.0.0.1:8030")]
    http_addr: SocketAddr,
}

/// Tells the story.
pub fn run(arguments: Arguments) -> Result<(), AnyError> {
    if !(arguments.scale > 0.0 && arguments.scale <= 100.0) {
        return Err("--scale must be greater than 0 and at most 100".into());
    }
    let runtime = threads::runtime("ebla", None)?;
    runtime.block_on(tell(arguments))
}

async fn tell(arguments: Arguments) -> Result<(), AnyError> {
    let began = Instant::now();
    let (dir, is_ours) = match &arguments.dir {
        Some(dir) => (dir.clone(), false),
        None => (std::env::temp_dir().join(format!("ebla-quickstart-{}", std::process::id())), true),
    };
    let data_dir = dir.join("data");
    let s3 = s3::start(&dir.join("s3")).await?;
    let options = Options {
        data_dir: Some(data_dir),
        mysql_addr: Some(free_or_any(arguments.mysql_addr).await),
        http_addr: Some(free_or_any(arguments.http_addr).await),
        initialize_insecure: Some(true),
        ..Options::default()
    };
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let bound = Server::bind(options.resolve()?).await?;
    let addresses = bound.server.addresses;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(bound.serve(metrics, shutdown.clone()));

    println!("Ebla {} tells its story. Everything is in {}.", crate::server::VERSION, dir.display());
    let story = async {
        let mut player = Player::connect(addresses, s3).await?;
        play::story(&mut player, arguments.scale).await
    };
    let told = tokio::select! {
        told = story => told,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    if told.is_ok() {
        println!("\nThe story took {:.1} s, and everything agrees.", began.elapsed().as_secs_f64());
        if !arguments.exit {
            println!("Connect with:\n\n    mysql -h {} -P {} -u root\n", addresses.mysql.ip(), addresses.mysql.port());
            println!("Ctrl-C ends it{}.", if is_ours { " and removes its files" } else { "" });
            tokio::signal::ctrl_c().await?;
        }
    }
    shutdown.cancel();
    serving.await??;
    if is_ours {
        #[expect(clippy::disallowed_methods, reason = "the quickstart's own directory, after its end")]
        std::fs::remove_dir_all(&dir)?;
    }
    told
}

/// The address, or any free port beside it when it is taken.
async fn free_or_any(address: SocketAddr) -> SocketAddr {
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}
