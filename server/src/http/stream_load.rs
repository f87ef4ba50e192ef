//! `PUT /api/{database}/{table}/_stream_load`: one body becomes rows of one table, or nothing does.
//!
//! Order of events: password → headers → privilege, table, expressions → label and transaction → body → ratio of bad rows
//! → commit → answer. Everything up to the transaction happens before the body is asked for, so a client that sent
//! `Expect: 100-continue` sends no body that would be refused.
//!
//! Three run at once: this task reads the socket, one thread cuts and converts rows, storage writes them. Between them are
//! short queues, so a slow disk slows the socket and memory stays bounded. The load runs in a task of its own: when the
//! connection breaks it sees the body end early and aborts; once the body is complete it ends by itself, and the label
//! tells the client that asks again what became of it.

mod run;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::answer::{ExistingJobStatus, LoadAnswer, LoadStatus, unauthorized};
use super::auth::{Credentials, HttpIdentity};
use super::body::LimitedBody;
use super::options::LoadOptions;
use super::{Peer, Shared};
use crate::load::LoadError;
use crate::load::rows::RowCounts;
use run::LoadRun;

/// One load as it was asked for.
struct LoadRequest {
    database: String,
    table: String,
    identity: HttpIdentity,
    options: LoadOptions,
}

/// What became of a load, for its answer.
#[derive(Default)]
struct LoadReport {
    txn_id: Option<i64>,
    label: String,
    counts: RowCounts,
    load_bytes: u64,
    begin_ms: u64,
    plan_ms: u64,
    read_ms: u64,
    write_ms: u64,
    commit_ms: u64,
    /// The name of the error log, when rows were bad.
    error_log: Option<String>,
}

/// Serves the request.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path((database, table)): Path<(String, String)>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limits = &shared.state.limits;
    let body = LimitedBody::new(body, promised, limits.body_bytes_max, limits.body_idle_timeout);

    let label = given_label(&headers);
    let identity = match authenticate(&shared, &headers, peer).await {
        Ok(Some(identity)) => identity,
        Ok(None) => return refuse(unauthorized(&access_denied(&headers, peer)), &headers, body).await,
        Err(error) => {
            let report = LoadReport { label, ..LoadReport::default() };
            return refuse(answer_of(&shared, &headers, Err(error), report, started), &headers, body).await;
        }
    };
    let options = match LoadOptions::parse(&headers) {
        Ok(options) => options,
        Err(error) => {
            let report = LoadReport { label, ..LoadReport::default() };
            return refuse(answer_of(&shared, &headers, Err(error), report, started), &headers, body).await;
        }
    };
    let request = LoadRequest { database, table, identity, options };
    // A task of its own: when the client goes away this handler is dropped in the middle, but a load must not be.
    let task = shared.loads.spawn(run_load(Arc::clone(&shared), request, body, expects_continue(&headers)));
    let (outcome, report) = match task.await {
        Ok(ended) => ended,
        Err(error) => {
            let report = LoadReport { label, ..LoadReport::default() };
            (Err(LoadError::Internal(format!("the load ended early: {error}"))), report)
        }
    };
    answer_of(&shared, &headers, outcome, report, started)
}

/// Runs a load to its end, whatever that is.
async fn run_load(
    shared: Arc<Shared>,
    request: LoadRequest,
    mut body: LimitedBody,
    expects_continue: bool,
) -> (Result<(), LoadError>, LoadReport) {
    let mut report = LoadReport { label: request.options.label.clone().unwrap_or_default(), ..LoadReport::default() };
    let outcome = LoadRun::new(&shared, &request, &mut report).run(&mut body).await;
    report.load_bytes = body.bytes();
    match &outcome {
        Ok(()) => tracing::info!(
            database = request.database,
            table = request.table,
            label = report.label,
            txn = report.txn_id,
            rows = report.counts.loaded,
            bytes = report.load_bytes,
            "stream load finished"
        ),
        Err(error) => tracing::warn!(
            database = request.database,
            table = request.table,
            label = report.label,
            txn = report.txn_id,
            %error,
            "stream load failed"
        ),
    }
    // A client that is still sending reads its answer only when it has sent all, or sees the connection close. One that
    // waits for leave to send is not given it.
    let is_broken = matches!(outcome, Err(LoadError::Interrupted(_)));
    if outcome.is_err() && !is_broken && (!expects_continue || body.bytes() > 0) {
        body.discard().await;
    }
    (outcome, report)
}

async fn authenticate(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    peer: std::net::SocketAddr,
) -> Result<Option<HttpIdentity>, LoadError> {
    let Some(credentials) = Credentials::of(headers) else {
        return Ok(None);
    };
    let auth = Arc::clone(&shared.state.auth);
    tokio::task::spawn_blocking(move || auth.authenticate(&credentials.user, &credentials.password, peer))
        .await
        .map_err(|error| LoadError::Internal(error.to_string()))?
}

fn access_denied(headers: &HeaderMap, peer: std::net::SocketAddr) -> String {
    match Credentials::of(headers) {
        Some(credentials) => format!(
            "Access denied for user '{}'@'{}' (using password: {})",
            credentials.user,
            peer.ip(),
            if credentials.password.is_empty() { "NO" } else { "YES" }
        ),
        None => "Need auth information: send user and password by Basic authentication".to_owned(),
    }
}

/// The label as the client gave it, for answers that come before it was checked.
fn given_label(headers: &HeaderMap) -> String {
    let label = headers.get("label").map(|label| String::from_utf8_lossy(label.as_bytes()).into_owned());
    crate::load::excerpt(&label.unwrap_or_default())
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Answers a request whose body is not wanted. The connection ends with it, since the body is still on its way.
async fn refuse(mut response: Response, headers: &HeaderMap, body: LimitedBody) -> Response {
    if !expects_continue(headers) {
        body.discard().await;
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn answer_of(
    shared: &Shared,
    headers: &HeaderMap,
    outcome: Result<(), LoadError>,
    report: LoadReport,
    started: Instant,
) -> Response {
    let mut answer = LoadAnswer {
        txn_id: report.txn_id.unwrap_or(-1),
        label: report.label,
        status: LoadStatus::Success,
        message: "OK".to_owned(),
        number_total_rows: report.counts.total,
        number_loaded_rows: report.counts.loaded,
        number_filtered_rows: report.counts.filtered,
        number_unselected_rows: report.counts.unselected,
        load_bytes: report.load_bytes,
        load_time_ms: millis_since(started),
        begin_txn_time_ms: report.begin_ms,
        stream_load_plan_time_ms: report.plan_ms,
        read_data_time_ms: report.read_ms,
        write_data_time_ms: report.write_ms,
        commit_and_publish_time_ms: report.commit_ms,
        ..LoadAnswer::default()
    };
    answer.error_url = report.error_log.map(|name| format!("http://{}/api/_load_error_log?file={name}", host(headers)));
    if let Err(error) = outcome {
        answer.status = LoadStatus::Fail;
        answer.number_loaded_rows = 0;
        answer.message = error.to_string();
        if let LoadError::Storage(ebla_storage::Error::LabelTaken { transaction, running, .. }) = &error {
            answer.status = LoadStatus::LabelAlreadyExists;
            answer.txn_id = *transaction;
            answer.existing_job_status =
                Some(if *running { ExistingJobStatus::Running } else { ExistingJobStatus::Finished });
        }
    }
    count(shared, &answer);
    answer.into_response()
}

/// The host that the client called the server by; its characters are checked, since they go into a link.
fn host(headers: &HeaderMap) -> &str {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty() && host.bytes().all(is_fine))
        .unwrap_or("localhost")
}

fn count(_shared: &Shared, answer: &LoadAnswer) {
    let status = answer.status.label();
    metrics::counter!("ebla_stream_loads_total", "status" => status).increment(1);
    metrics::counter!("ebla_stream_load_bytes_total").increment(answer.load_bytes);
    metrics::counter!("ebla_stream_load_rows_total", "outcome" => "loaded").increment(answer.number_loaded_rows);
    metrics::counter!("ebla_stream_load_rows_total", "outcome" => "filtered").increment(answer.number_filtered_rows);
    metrics::histogram!("ebla_stream_load_seconds", "status" => status).record(answer.load_time_ms as f64 / 1_000.0);
}

fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
