//! One connection's command phase: take a packet, make a [`Task`] of it, do the task, answer.
//!
//! Tasks run one at a time. While one runs, the socket is watched: a peer that closes, a kill and the end of
//! a drain each drop the task where it stands. Between tasks a kill or a shutdown ends the connection at
//! once. Errors are answers; only a broken socket, a goodbye or one of the above ends a connection.
//!
//! Half of the tasks are taken by way of opensrv (`shim.rs`), which calls [`Connection::next_task`] when it
//! wants a packet and [`Connection::run`] when it has routed one.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use opensrv_mysql::CapabilityFlags;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::auth::SALT_BYTES;
use super::command::{Command, Invalid};
use super::errors::Numbers;
use super::handshake::{Door, Login, Refusal};
use super::listener::Shared;
use super::packet::{Inbound, PacketReader, PacketWriter};
use super::statements::Statements;
use super::task::{Done, Task, Work};
use super::{CloseReason, Completion, ConnectInfo, Handler, Session, WireError, errors, reply};

/// How long a last word may take to leave; the peer may not be reading any more.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection whose user is known.
pub(super) struct Connection<H: Handler, R, W> {
    shared: Arc<Shared<H>>,
    session: H::Session,
    reader: PacketReader<R>,
    writer: PacketWriter<W>,
    capabilities: CapabilityFlags,
    /// The client's library is the same for every user it changes to.
    numbers: Numbers,
    statements: Statements,
    /// What [`Connection::run`] is to do.
    task: Option<Task>,
    /// Statements that opensrv must still be told to forget.
    forgotten: Vec<u32>,
    identity: Identity,
    /// Why the connection ended, once it has.
    ended: Option<CloseReason>,
}

/// How the program at the other end wants to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    pub capabilities: CapabilityFlags,
    pub numbers: Numbers,
}

/// What stays the same when the user changes.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub connection_id: u32,
    pub peer: SocketAddr,
    pub salt: [u8; SALT_BYTES],
    pub kill: CancellationToken,
}

impl Identity {
    pub(super) fn connect_info(&self, login: Login) -> ConnectInfo {
        ConnectInfo {
            connection_id: self.connection_id,
            user: login.user,
            peer: self.peer,
            database: login.database,
            attributes: login.attributes,
            multi_statements: login.capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS),
            found_rows: login.capabilities.contains(CapabilityFlags::CLIENT_FOUND_ROWS),
            interactive: login.capabilities.contains(CapabilityFlags::CLIENT_INTERACTIVE),
            kill: self.kill.clone(),
        }
    }
}

/// How the race between a task and the rest of the world came out.
enum Race {
    Finished(io::Result<Result<Done, WireError>>),
    Panicked,
    Dropped(CloseReason),
}

impl<H, R, W> Connection<H, R, W>
where
    H: Handler,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    pub(super) fn new(
        shared: Arc<Shared<H>>,
        session: H::Session,
        reader: PacketReader<R>,
        writer: PacketWriter<W>,
        client: Client,
        identity: Identity,
    ) -> Self {
        Self {
            shared,
            session,
            reader,
            writer,
            capabilities: client.capabilities,
            numbers: client.numbers,
            statements: Statements::default(),
            task: None,
            forgotten: Vec::new(),
            identity,
            ended: None,
        }
    }

    /// Reads commands until there is one that opensrv routes, and leaves it for [`Connection::run`].
    /// The rest are answered on the way. `None` when the connection has ended.
    pub(super) async fn next_task(&mut self) -> Option<&Task> {
        while self.ended.is_none() {
            if let Some(statement_id) = self.forgotten.pop() {
                return Some(self.task.insert(Task::Forget { statement_id }));
            }
            let command = self.read_command().await?;
            match self.accept(command).await {
                Ok(Some(task)) => {
                    let is_routed = task.is_routed();
                    self.task = Some(task);
                    if is_routed {
                        return self.task.as_ref();
                    }
                    // A failure has been noted in `ended`.
                    let _ = self.run().await;
                }
                Ok(None) => {}
                Err(error) => self.answer_error(&error).await,
            }
        }
        None
    }

    /// Does what [`Connection::next_task`] left, and answers. An error means that the connection has ended.
    pub(super) async fn run(&mut self) -> io::Result<Done> {
        let Some(task) = self.task.take() else {
            return Ok(Done::default());
        };
        self.shared.count_question(&task);
        let race = self.race(task).await;
        match race {
            Race::Finished(Ok(Ok(done))) => Ok(done),
            Race::Finished(Ok(Err(error))) => {
                self.answer_error(&error).await;
                match self.ended {
                    Some(_) => Err(io::ErrorKind::BrokenPipe.into()),
                    None => Ok(Done::default()),
                }
            }
            Race::Finished(Err(error)) => {
                self.ended = Some(CloseReason::PeerGone);
                Err(error)
            }
            Race::Panicked => {
                error!("a statement panicked");
                let error = errors::internal("internal error: the statement panicked; see the log");
                self.end(CloseReason::Failed, Some(&error)).await
            }
            Race::Dropped(reason) => {
                let error = match reason {
                    CloseReason::Killed => Some(errors::interrupted()),
                    CloseReason::Shutdown => Some(errors::shutdown()),
                    _ => None,
                };
                self.end(reason, error.as_ref()).await
            }
        }
    }

    /// Tells the session that it is over.
    pub(super) async fn close(&mut self, otherwise: CloseReason) {
        let reason = self.ended.unwrap_or(otherwise);
        debug!(?reason, "connection closed");
        self.session.closed(reason);
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, self.writer.shutdown()).await;
    }

    /// Runs a task, unless something ends it first.
    async fn race(&mut self, task: Task) -> Race {
        let work = Work {
            session: &mut self.session,
            writer: &mut self.writer,
            statements: &mut self.statements,
            forgotten: &mut self.forgotten,
            capabilities: self.capabilities,
        };
        tokio::select! {
            biased;
            result = AssertUnwindSafe(work.perform(task)).catch_unwind() => match result {
                Ok(result) => Race::Finished(result),
                Err(_) => Race::Panicked,
            },
            () = self.identity.kill.cancelled() => Race::Dropped(CloseReason::Killed),
            () = self.shared.cut.cancelled() => Race::Dropped(CloseReason::Shutdown),
            () = self.reader.closed() => Race::Dropped(CloseReason::PeerGone),
        }
    }

    async fn read_command(&mut self) -> Option<Vec<u8>> {
        loop {
            let packet_bytes_max = self.shared.config.max_allowed_packet_bytes;
            let idle_limit = self.session.idle_limit();
            // What has begun to arrive may take its time.
            let inbound = async {
                let begun = self.reader.wait();
                match idle_limit {
                    Some(limit) => tokio::time::timeout(limit, begun).await.ok()?,
                    None => begun.await,
                }
                Some(self.reader.read(packet_bytes_max).await)
            };
            let inbound = tokio::select! {
                biased;
                () = self.identity.kill.cancelled() => {
                    let _ = self.end(CloseReason::Killed, None).await;
                    return None;
                }
                () = self.shared.shutdown.cancelled() => {
                    // Nobody asked, so this starts a conversation.
                    self.writer.set_sequence(0);
                    let _ = self.end(CloseReason::Shutdown, Some(&errors::shutdown())).await;
                    return None;
                }
                inbound = inbound => inbound,
            };
            let Some(inbound) = inbound else {
                self.writer.set_sequence(0);
                let _ = self.end(CloseReason::Idle, Some(&errors::idle())).await;
                return None;
            };
            self.writer.set_sequence(self.reader.next_sequence());
            match inbound {
                Ok(Inbound::Packet(packet)) => return Some(packet),
                Ok(Inbound::TooLarge) => {
                    self.answer_error(&errors::packet_too_large()).await;
                    if self.ended.is_some() {
                        return None;
                    }
                }
                Ok(Inbound::Closed) | Err(_) => {
                    self.ended = Some(CloseReason::PeerGone);
                    return None;
                }
            }
        }
    }

    /// Makes a task of a packet; `None` when there is nothing to do, or when it has been done.
    async fn accept(&mut self, packet: Vec<u8>) -> Result<Option<Task>, WireError> {
        let command = match Command::parse(packet) {
            Ok(command) => command,
            Err(Invalid::Answer(error)) => return Err(error),
            Err(Invalid::Ignore) => return Ok(None),
        };
        Ok(Some(match command {
            Command::Quit => {
                self.ended = Some(CloseReason::Quit);
                return Ok(None);
            }
            Command::ChangeUser(payload) => {
                self.change_user(&payload).await;
                return Ok(None);
            }
            Command::SendLongData { statement_id, parameter, data } => {
                let bytes_max = self.shared.config.max_allowed_packet_bytes;
                self.statements.append(statement_id, parameter, &data, bytes_max);
                return Ok(None);
            }
            Command::CloseStatement { statement_id } => {
                if !self.statements.close(statement_id) {
                    return Ok(None);
                }
                Task::Close { statement_id }
            }
            Command::Execute { statement_id, payload } => {
                Task::Execute { statement_id, parameters: self.statements.parameters(statement_id, &payload)? }
            }
            Command::ResetStatement { statement_id } => {
                self.statements.reset(statement_id)?;
                Task::ResetStatement
            }
            Command::Fetch { statement_id } => {
                self.statements.check_open(statement_id, "mysqld_stmt_fetch")?;
                return Err(errors::no_open_cursor(statement_id));
            }
            Command::Prepare(sql) => {
                self.statements.check_room()?;
                Task::Prepare(sql)
            }
            // An old command for what is a statement today.
            Command::ProcessKill { connection_id } => Task::Query(format!("KILL {connection_id}")),
            Command::Query(sql) => Task::Query(sql),
            Command::InitDb(name) => Task::InitDb(name),
            Command::FieldList { table } => Task::FieldList { table },
            Command::Statistics => Task::Statistics(self.shared.statistics()),
            Command::Ping => Task::Ping,
            Command::SetMultiStatements(allowed) => Task::SetMultiStatements(allowed),
            Command::ResetConnection => Task::Reset,
        }))
    }

    /// Gives the connection to another user; one who is refused loses it.
    async fn change_user(&mut self, payload: &[u8]) {
        let shared = self.shared.clone();
        let timeout = shared.config.handshake_timeout;
        let opened = tokio::time::timeout(timeout, self.open_for_other_user(payload)).await;
        let refusal = match opened.unwrap_or_else(|_| Err(errors::handshake_timeout().into())) {
            Ok(session) => {
                self.session.closed(CloseReason::UserChanged);
                self.session = session;
                self.forgotten.extend(self.statements.close_all());
                self.answer_ok().await;
                return;
            }
            Err(refusal) => refusal,
        };
        let _ = match refusal {
            Refusal::Tell(error) => self.end(CloseReason::Failed, Some(&error)).await,
            Refusal::Gone => self.end(CloseReason::PeerGone, None).await,
        };
    }

    async fn open_for_other_user(&mut self, payload: &[u8]) -> Result<H::Session, Refusal> {
        let door = Door {
            reader: &mut self.reader,
            writer: &mut self.writer,
            salt: &self.identity.salt,
            peer: self.identity.peer,
        };
        let handler = &self.shared.handler;
        let login = door.change_user(handler.as_ref(), payload, self.capabilities).await?;
        Ok(handler.open(self.identity.connect_info(login)).await?)
    }

    async fn answer_ok(&mut self) {
        let completion = Completion::default();
        self.writer.packet(|out| reply::ok(out, &completion, reply::status(false)));
        self.flush().await;
    }

    async fn answer_error(&mut self, error: &WireError) {
        self.writer.packet(|out| reply::err(out, error, self.numbers));
        self.flush().await;
    }

    /// Flushes an answer that no task watches over.
    async fn flush(&mut self) {
        let flushed = tokio::select! {
            biased;
            flushed = self.writer.flush() => flushed.map_err(|_| CloseReason::PeerGone),
            () = self.identity.kill.cancelled() => Err(CloseReason::Killed),
            () = self.shared.cut.cancelled() => Err(CloseReason::Shutdown),
        };
        if let Err(reason) = flushed {
            self.ended = Some(reason);
        }
    }

    /// Ends the connection, with a last word where there is one. Always returns an error.
    async fn end(&mut self, reason: CloseReason, error: Option<&WireError>) -> io::Result<Done> {
        self.ended = Some(reason);
        if let Some(error) = error {
            self.writer.packet(|out| reply::err(out, error, self.numbers));
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, self.writer.flush()).await;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
