//! opensrv-mysql at work: its command loop on one side, a [`Connection`] on the other.
//!
//! opensrv drives the command phase: it asks for packets, routes them by command and statement id, keeps the
//! registry of prepared statements, and calls us back. What it reads and what it writes both pass by us,
//! because version 0.7 cannot be left alone with a client. It
//!
//! - panics on a parameter of unknown type, on COM_STMT_EXECUTE cut short, on types never sent, on frames
//!   whose numbers do not follow, and (in a debug build) on a command numbered 255;
//! - drops the connection on text that is not UTF-8 and on an unknown statement id;
//! - answers `SELECT @@max_allowed_packet` and `USE` by itself, and OK to every command it does not know
//!   (COM_STATISTICS, COM_RESET_CONNECTION, COM_CHANGE_USER, COM_SET_OPTION, COM_STMT_RESET, …);
//! - reads packets of any size, and keeps a connection's largest one allocated;
//! - writes columns without length, decimals and character set, an OK without warnings and with its info
//!   text unmeasured, an EOF without status, errors of its own enum only, and nothing to end a row of
//!   exactly 2^24-1 bytes.
//!
//! So it reads from [`Guard`], which lets through commands that were checked, each without its payload, which
//! waits in the connection; and it writes to a sink: the connection phase it wants to see is played to it by
//! [`Guard`], and answers are written by the connection. What is left in opensrv's hands it does well.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use opensrv_mysql::{
    AsyncMysqlIntermediary, AsyncMysqlShim, CapabilityFlags, InitWriter, IntermediaryOptions, ParamParser,
    QueryResultWriter, StatementMetaWriter,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Sink};
use tokio::sync::Mutex;
use tokio_util::sync::ReusableBoxFuture;

use super::Handler;
use super::auth::NATIVE_PASSWORD;
use super::connection::Connection;
use super::packet::PacketWriter;
use super::task::Task;

/// opensrv and the guard take turns, so the lock is never waited for.
type SharedConnection<H, R, W> = Arc<Mutex<Connection<H, R, W>>>;

/// Runs a connection's command phase to its end.
pub(super) async fn run<H, R, W>(connection: SharedConnection<H, R, W>)
where
    H: Handler,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let guard = Guard::new(connection.clone());
    let shim = Shim { connection };
    let options =
        IntermediaryOptions { process_use_statement_on_query: true, reject_connection_on_dbname_absence: false };
    // The connection knows how it ended; opensrv's error only repeats it.
    let _ = AsyncMysqlIntermediary::run_with_options(shim, guard, tokio::io::sink(), &options).await;
}

/// What opensrv calls back.
struct Shim<H: Handler, R, W> {
    connection: SharedConnection<H, R, W>,
}

impl<H, R, W> Shim<H, R, W>
where
    H: Handler,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    async fn run_task(&self) -> io::Result<Option<u32>> {
        let done = self.connection.lock().await.run().await?;
        Ok(done.prepared)
    }
}

#[async_trait]
impl<H, R, W> AsyncMysqlShim<Sink> for Shim<H, R, W>
where
    H: Handler,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    type Error = io::Error;

    async fn on_query<'a>(&'a mut self, _text: &'a str, _results: QueryResultWriter<'a, Sink>) -> io::Result<()> {
        self.run_task().await.map(drop)
    }

    async fn on_init<'a>(&'a mut self, _name: &'a str, _: InitWriter<'a, Sink>) -> io::Result<()> {
        self.run_task().await.map(drop)
    }

    async fn on_prepare<'a>(&'a mut self, _text: &'a str, statement: StatementMetaWriter<'a, Sink>) -> io::Result<()> {
        match self.run_task().await? {
            // Enters it in opensrv's registry; the client has its answer.
            Some(id) => statement.reply(id, [], []).await,
            None => Ok(()),
        }
    }

    async fn on_execute<'a>(
        &'a mut self,
        _id: u32,
        _parameters: ParamParser<'a>,
        _results: QueryResultWriter<'a, Sink>,
    ) -> io::Result<()> {
        self.run_task().await.map(drop)
    }

    async fn on_close<'a>(&'a mut self, _id: u32)
    where
        Sink: 'async_trait,
    {
        // An end of the connection is noticed at the next packet.
        let _ = self.run_task().await;
    }
}

/// What opensrv reads: first a client's side of a connection phase, then one checked command at a time.
struct Guard<H: Handler, R, W> {
    connection: SharedConnection<H, R, W>,
    /// A packet that opensrv has not taken in full.
    packet: Vec<u8>,
    taken: usize,
    next: Option<ReusableBoxFuture<'static, Option<Vec<u8>>>>,
}

impl<H, R, W> Guard<H, R, W>
where
    H: Handler,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn new(connection: SharedConnection<H, R, W>) -> Self {
        Self { connection, packet: stand_in_login(), taken: 0, next: None }
    }

    async fn next_packet(connection: SharedConnection<H, R, W>) -> Option<Vec<u8>> {
        let mut connection = connection.lock().await;
        connection.next_task().await.map(stand_in)
    }
}

impl<H, R, W> AsyncRead for Guard<H, R, W>
where
    H: Handler,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.taken == guard.packet.len() {
            let connection = &guard.connection;
            let next = guard.next.get_or_insert_with(|| ReusableBoxFuture::new(Self::next_packet(connection.clone())));
            let packet = ready!(next.poll(context));
            guard.next = None;
            guard.taken = 0;
            // No packet leaves the buffer unfilled, which is the end of the stream.
            guard.packet = packet.unwrap_or_default();
        }
        let rest = &guard.packet[guard.taken..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        guard.taken += taken;
        Poll::Ready(Ok(()))
    }
}

/// The answer of a client to opensrv's greeting: nobody in particular, without a password or database.
fn stand_in_login() -> Vec<u8> {
    let capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH;
    framed(|out| {
        out.extend_from_slice(&capabilities.bits().to_le_bytes());
        // Packet limit, character set, filler, an empty name, an empty answer.
        out.extend_from_slice(&[0; 4 + 1 + 23 + 1 + 1]);
        out.extend_from_slice(NATIVE_PASSWORD.as_bytes());
        out.push(0);
    })
}

/// The packet that makes opensrv route a task: its command and statement id, all it needs to know.
fn stand_in(task: &Task) -> Vec<u8> {
    const INIT_DB: u8 = 0x02;
    const QUERY: u8 = 0x03;
    const PING: u8 = 0x0e;
    const STMT_PREPARE: u8 = 0x16;
    const STMT_EXECUTE: u8 = 0x17;
    const STMT_CLOSE: u8 = 0x19;
    framed(|out| match task {
        Task::Query(_) => out.push(QUERY),
        Task::InitDb(_) => out.push(INIT_DB),
        Task::Prepare(_) => out.push(STMT_PREPARE),
        Task::Execute { statement_id, .. } => {
            out.push(STMT_EXECUTE);
            out.extend_from_slice(&statement_id.to_le_bytes());
            out.extend_from_slice(&[0; 5]);
        }
        Task::Close { statement_id } | Task::Forget { statement_id } => {
            out.push(STMT_CLOSE);
            out.extend_from_slice(&statement_id.to_le_bytes());
        }
        // Never handed out; a ping calls nobody back.
        _ => out.push(PING),
    })
}

fn framed(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = PacketWriter::new(tokio::io::sink());
    packet.packet(fill);
    packet.into_buffer()
}
