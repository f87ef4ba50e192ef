//! The listener: accepts, counts, drains.
//!
//! Accept → a place among `connections_max`, or 1040 → the connection phase, within its timeout → a session →
//! commands. On shutdown: no more accepts, idle connections are told 1053 and closed, running statements get
//! `drain_grace`, what still runs is cut with 1053, and what does not let itself be cut is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use super::connection::{Client, Connection, Identity};
use super::errors::Numbers;
use super::handshake::{Door, Refusal};
use super::packet::{Inbound, PacketReader, PacketWriter};
use super::task::Task;
use super::{CloseReason, Completion, Handler, ListenerConfig, WireError, auth, errors, handshake, reply, shim};

/// Out of file descriptors, most likely: wait for connections to end instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a connection that was cut may take to end by itself.
const CUT_GRACE: Duration = Duration::from_secs(2);
/// How long a refused peer may take to read why.
const REFUSAL_LINGER: Duration = Duration::from_millis(500);
/// Peers beyond the limit who are told so at the same time; further ones are closed without a word.
const REFUSALS_MAX: usize = 64;

/// What all connections of a listener have in common.
pub(super) struct Shared<H: Handler> {
    pub handler: Arc<H>,
    pub config: ListenerConfig,
    /// No new work.
    pub shutdown: CancellationToken,
    /// No work at all.
    pub cut: CancellationToken,
    started: Instant,
    last_connection_id: AtomicU32,
    questions: AtomicU64,
    connections: Arc<Semaphore>,
}

/// Serves a listener until `shutdown`, and returns when the last connection has ended.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    config: ListenerConfig,
    shutdown: CancellationToken,
) {
    let shared = Arc::new(Shared::new(handler, config, shutdown));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let dropped = CancellationToken::new();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "accept connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Answers are flushed whole; waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = shared.connections.clone().try_acquire_owned() {
            let shared = shared.clone();
            let dropped = dropped.clone();
            tasks.spawn(async move {
                serve_place(shared, stream, peer, dropped).await;
                drop(place);
            });
        } else if let Ok(permit) = refusals.clone().try_acquire_owned() {
            tasks.spawn(async move {
                refuse_connection(stream, &errors::too_many_connections()).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    drain(&shared, &tasks, &dropped).await;
}

/// Serves one connection on any stream: what [`serve`] does with each, without its limits.
pub async fn serve_stream<H, S>(
    stream: S,
    peer: SocketAddr,
    handler: Arc<H>,
    config: ListenerConfig,
    shutdown: CancellationToken,
) where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let shared = Arc::new(Shared::new(handler, config, shutdown));
    serve_place(shared, stream, peer, CancellationToken::new()).await;
}

async fn drain<H: Handler>(shared: &Shared<H>, tasks: &TaskTracker, dropped: &CancellationToken) {
    tasks.close();
    let grace = shared.config.drain_grace;
    if tokio::time::timeout(grace, tasks.wait()).await.is_ok() {
        return;
    }
    warn!(connections = tasks.len(), "cutting statements that outlasted the drain");
    shared.cut.cancel();
    if tokio::time::timeout(CUT_GRACE, tasks.wait()).await.is_err() {
        dropped.cancel();
        tasks.wait().await;
    }
}

/// One connection, from greeting to close, inside of its tracing span.
async fn serve_place<H, S>(shared: Arc<Shared<H>>, stream: S, peer: SocketAddr, dropped: CancellationToken)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let connection_id = shared.next_connection_id();
    let span = info_span!("connection", id = connection_id, %peer);
    let identity = Identity { connection_id, peer, salt: auth::salt(), kill: CancellationToken::new() };
    async {
        if let Some(connection) = connect(&shared, stream, identity, &dropped).await {
            let connection = Arc::new(Mutex::new(connection));
            tokio::select! {
                biased;
                () = dropped.cancelled() => {}
                () = shim::run(connection.clone()) => {}
            }
            connection.lock().await.close(CloseReason::Shutdown).await;
        }
    }
    .instrument(span)
    .await;
}

type StreamConnection<H, S> = Connection<H, ReadHalf<S>, WriteHalf<S>>;

/// The connection phase and the session; `None` when nobody came in.
async fn connect<H, S>(
    shared: &Arc<Shared<H>>,
    stream: S,
    identity: Identity,
    dropped: &CancellationToken,
) -> Option<StreamConnection<H, S>>
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let mut reader = PacketReader::new(read);
    let mut writer = PacketWriter::new(write);
    let entered = tokio::select! {
        biased;
        () = dropped.cancelled() => return None,
        () = shared.shutdown.cancelled() => Err(errors::shutdown().into()),
        entered = enter(shared, &mut reader, &mut writer, &identity) => entered,
        () = tokio::time::sleep(shared.config.handshake_timeout) => {
            Err(errors::handshake_timeout().into())
        }
    };
    match entered {
        Ok((session, client)) => Some(Connection::new(shared.clone(), session, reader, writer, client, identity)),
        Err(Refusal::Tell(error)) => {
            info!(code = error.code, %error, "connection refused");
            tell_refusal(&mut reader, &mut writer, |out| reply::err(out, &error, Numbers::All)).await;
            None
        }
        Err(Refusal::Gone) => {
            debug!("peer left during the handshake");
            None
        }
    }
}

type Entered<H> = (<H as Handler>::Session, Client);

async fn enter<H, R, W>(
    shared: &Shared<H>,
    reader: &mut PacketReader<R>,
    writer: &mut PacketWriter<W>,
    identity: &Identity,
) -> Result<Entered<H>, Refusal>
where
    H: Handler,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let handler = shared.handler.as_ref();
    let version = &shared.config.server_version;
    let door = Door { reader, writer, salt: &identity.salt, peer: identity.peer };
    let login = door.enter(handler, version, identity.connection_id).await?;
    let client = Client { capabilities: login.capabilities, numbers: Numbers::shown_by(&login.attributes) };
    let user = login.user.clone();
    let session = handler.open(identity.connect_info(login)).await?;
    debug!(user, "connection opened");
    writer.packet(|out| reply::ok(out, &Completion::default(), reply::status(false)));
    writer.flush().await?;
    Ok((session, client))
}

async fn refuse_connection(stream: impl AsyncRead + AsyncWrite, error: &WireError) {
    let (read, write) = tokio::io::split(stream);
    let told = |out: &mut Vec<u8>| reply::err_before_greeting(out, error);
    tell_refusal(&mut PacketReader::new(read), &mut PacketWriter::new(write), told).await;
}

/// Says why, then waits for the peer to hang up: a socket closed with unread input resets the connection,
/// and the reason might be lost on the way.
async fn tell_refusal<R, W>(reader: &mut PacketReader<R>, writer: &mut PacketWriter<W>, told: impl FnOnce(&mut Vec<u8>))
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let farewell = async {
        writer.packet(told);
        writer.flush().await?;
        writer.shutdown().await?;
        while let Inbound::Packet(_) | Inbound::TooLarge = reader.read(handshake::PACKET_BYTES_MAX).await? {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSAL_LINGER, farewell).await;
}

impl<H: Handler> Shared<H> {
    fn new(handler: Arc<H>, config: ListenerConfig, shutdown: CancellationToken) -> Self {
        let connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            handler,
            config,
            shutdown,
            cut: CancellationToken::new(),
            started: Instant::now(),
            last_connection_id: AtomicU32::new(0),
            questions: AtomicU64::new(0),
            connections: Arc::new(Semaphore::new(connections_max)),
        }
    }

    pub(super) fn count_question(&self, task: &Task) {
        if task.is_question() {
            self.questions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The line that answers COM_STATISTICS, in MySQL's form.
    pub(super) fn statistics(&self) -> String {
        let uptime = self.started.elapsed().as_secs();
        let questions = self.questions.load(Ordering::Relaxed);
        let threads = self.config.connections_max.saturating_sub(self.connections.available_permits());
        let per_second = questions as f64 / uptime.max(1) as f64;
        format!(
            "Uptime: {uptime}  Threads: {threads}  Questions: {questions}  Slow queries: 0  \
             Opens: 0  Flush tables: 0  Open tables: 0  Queries per second avg: {per_second:.3}"
        )
    }

    /// Ids are given once, until four billion have been; 0 is nobody's.
    fn next_connection_id(&self) -> u32 {
        loop {
            let last = self.last_connection_id.fetch_add(1, Ordering::Relaxed);
            match last.wrapping_add(1) {
                0 => {}
                id => return id,
            }
        }
    }
}
