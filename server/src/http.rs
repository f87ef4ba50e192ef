//! The HTTP side of the server: Stream Load, health, metrics.
//!
//! [`serve`] takes connections until it is told to stop, then lets running requests end, for a while. Each connection is
//! bounded: headers by size and time, a waiting connection by time, all connections by number. What a request does is in
//! [`stream_load`]; this file only brings it there. Nothing here decides who may do what: see [`auth`].

pub mod answer;
pub mod auth;
mod body;
mod error_log;
pub mod options;
mod stream_load;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use ebla_storage::Storage;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::load::columns::LoadEnvironments;
use auth::{HttpAuth, HttpPrivileges};
use error_log::ErrorLog;

/// Limits of the HTTP side. The defaults suit a server of a few cores and some gigabytes.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Open connections; more wait to be accepted.
    pub connections_max: usize,
    /// Loads that run at the same time; more wait. Each holds a few batches beside what storage bounds itself.
    pub loads_max: usize,
    /// Bytes of a request's headers, a `columns` expression among them.
    pub header_bytes_max: usize,
    /// How long a client may take to send a request's headers, and how long a connection may wait for a request.
    pub header_timeout: Duration,
    /// Bytes of a body, as they come over the wire.
    pub body_bytes_max: u64,
    /// How long a client may send nothing in the middle of a body.
    pub body_idle_timeout: Duration,
    /// How long requests may go on after the server was told to stop.
    pub drain_grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            connections_max: 1_024,
            loads_max: 32,
            header_bytes_max: 128 << 10,
            header_timeout: Duration::from_secs(60),
            body_bytes_max: 100 << 30,
            body_idle_timeout: Duration::from_secs(120),
            drain_grace: Duration::from_secs(30),
        }
    }
}

/// What the HTTP side needs of the server.
#[derive(Clone)]
pub struct HttpState {
    /// Where rows go.
    pub storage: Arc<Storage>,
    /// Who sends a request.
    pub auth: Arc<dyn HttpAuth>,
    /// What they may load.
    pub privileges: Arc<dyn HttpPrivileges>,
    /// What evaluates the expressions of a load.
    pub environments: Arc<dyn LoadEnvironments>,
    /// What is wrong with the server, for `/api/health`; nothing when empty.
    pub health: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The recorder of metrics.
    pub metrics: PrometheusHandle,
    /// Brings metrics up to date that are counted when they are asked for.
    pub before_metrics: Arc<dyn Fn() + Send + Sync>,
    /// The server's version.
    pub version: String,
    /// Limits.
    pub limits: HttpLimits,
}

/// What handlers share.
struct Shared {
    state: HttpState,
    error_log: ErrorLog,
    /// Lets only so many loads run.
    load_permits: Semaphore,
    /// Loads that run, whether their connection is still there or not.
    loads: TaskTracker,
    /// Told when loads must stop.
    stop_loads: CancellationToken,
    /// Told when the server stops.
    shutdown: CancellationToken,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

/// How long accepting pauses after the system refused a connection: most often no file descriptor is left, and a few
/// must be closed before another try makes sense.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long loads that were told to stop may take to end.
const STOP_LOADS_GRACE: Duration = Duration::from_secs(10);

/// How long the answers of loads that were stopped may take to be sent.
const LAST_ANSWERS_GRACE: Duration = Duration::from_secs(2);

/// Serves HTTP until `shutdown`, then lets requests end. Returns once no load runs any more.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: CancellationToken) -> std::io::Result<()> {
    let limits = state.limits.clone();
    let shared = Arc::new(Shared {
        load_permits: Semaphore::new(limits.loads_max),
        state,
        error_log: ErrorLog::default(),
        loads: TaskTracker::new(),
        stop_loads: CancellationToken::new(),
        shutdown: shutdown.clone(),
    });
    let router = router(Arc::clone(&shared));
    let connections = TaskTracker::new();
    let close_connections = CancellationToken::new();
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = serve_connection(stream, peer, router.clone(), limits.clone(), shutdown.clone());
                let close = close_connections.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = close.cancelled() => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    shared.loads.close();
    let ended = tokio::time::timeout(limits.drain_grace, async {
        connections.wait().await;
        shared.loads.wait().await;
    });
    if ended.await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            loads = shared.loads.len(),
            "HTTP requests did not end in time and are stopped"
        );
        shared.stop_loads.cancel();
        // Loads first, so that their clients still get an answer.
        let _ = tokio::time::timeout(STOP_LOADS_GRACE, shared.loads.wait()).await;
        let _ = tokio::time::timeout(LAST_ANSWERS_GRACE, connections.wait()).await;
        close_connections.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// Waits until one more connection may be there, then for that connection.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: HttpLimits,
    shutdown: CancellationToken,
) {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients come and go; a connection that broke in a load is told by the load.
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/{database}/{table}/_stream_load", put(stream_load::handle))
        .route("/api/_load_error_log", get(load_error_log))
        .route("/api/health", get(health))
        .route("/metrics", get(metrics_text))
        .fallback(|uri: Uri| async move { answer::not_found(&format!("no such path: {}", uri.path())) })
        .with_state(shared)
}

/// `GET /api/health`: OK, or what is wrong. 503 only when the server takes no more work.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let version = &shared.state.version;
    if shared.shutdown.is_cancelled() {
        let body = Json(json!({"status": "STOPPING", "version": version}));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    }
    let check = Arc::clone(&shared.state.health);
    let reasons = match tokio::task::spawn_blocking(move || check()).await {
        Ok(reasons) => reasons,
        Err(error) => vec![format!("the check itself failed: {error}")],
    };
    if reasons.is_empty() {
        Json(json!({"status": "OK", "version": version})).into_response()
    } else {
        Json(json!({"status": "DEGRADED", "reasons": reasons, "version": version})).into_response()
    }
}

/// `GET /metrics`: Prometheus text.
async fn metrics_text(State(shared): State<Arc<Shared>>) -> Response {
    let count = Arc::clone(&shared.state.before_metrics);
    if let Err(error) = tokio::task::spawn_blocking(move || count()).await {
        tracing::warn!(%error, "count for metrics");
    }
    shared.state.metrics.run_upkeep();
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], shared.state.metrics.render()).into_response()
}

/// `GET /api/_load_error_log?file=…`: the first bad rows of a load.
async fn load_error_log(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let mut parameters = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let found = parameters.find(|(name, _)| *name == "file").and_then(|(_, name)| shared.error_log.find(name));
    match found {
        Some(text) => {
            let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
            ([(header::CONTENT_TYPE, content_type)], text.to_string()).into_response()
        }
        None => answer::not_found("no such error log: only those of recent loads are kept"),
    }
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState")
            .field("version", &self.version)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
