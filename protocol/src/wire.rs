//! The MySQL wire: everything between a socket and a statement's text, and between a result and a socket.
//!
//! This file is the seam. The server implements [`Handler`] (one per process) and [`Session`] (one per
//! connection), hands both to [`listener::serve`], and sees nothing of MySQL's packets. Results are Arrow
//! batches, errors are [`WireError`]s; how they look on the wire is decided below this line.
//!
//! Order of events on one connection: greeting and authentication (`wire/handshake.rs`) → [`Handler::open`] →
//! commands, one at a time, each answered before the next is taken → [`Session::closed`].
//!
//! The command phase runs on opensrv-mysql (see `wire/shim.rs` for what it is trusted with and why); its
//! names stop in this module. Nothing a client sends may panic, and no statement's error ends a connection.

pub mod auth;
mod cell;
pub mod column;
mod command;
mod connection;
mod errors;
mod handshake;
pub mod listener;
mod literals;
mod number;
mod packet;
mod reply;
mod results;
mod shim;
mod statements;
mod task;
mod temporal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

/// How a listener treats the world. Units are in the names; every limit has its reason beside it.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// What the greeting calls the server. Clients choose their dialect from the leading number.
    pub server_version: String,
    /// Open connections, those still in the handshake included. One more gets 1040.
    pub connections_max: usize,
    /// From accept to the end of authentication; a silent peer must not hold a connection's place.
    pub handshake_timeout: Duration,
    /// The largest packet a client may send (statement text and parameters). A larger one is skipped
    /// without being stored, and answered with 1153.
    pub max_allowed_packet_bytes: usize,
    /// How long running statements may go on after shutdown was asked for.
    pub drain_grace: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            server_version: concat!("8.0.33-ebla-", env!("CARGO_PKG_VERSION")).to_owned(),
            connections_max: 1024,
            handshake_timeout: Duration::from_secs(10),
            max_allowed_packet_bytes: 64 << 20,
            drain_grace: Duration::from_secs(30),
        }
    }
}

/// What the server knows of an account's password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// The account has no password: only an empty answer is right.
    Empty,
    /// `SHA1(SHA1(password))`, as `mysql_native_password` stores it ([`auth::double_sha1`] makes it).
    NativePassword([u8; 20]),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash is enough to log in with, so it never reaches a log.
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::NativePassword(_) => "NativePassword(..)",
        })
    }
}

/// What is known of a connection when its session opens. The password has been checked by then.
#[derive(Debug, Clone)]
pub struct ConnectInfo {
    /// Unique within this listener; what `KILL` names.
    pub connection_id: u32,
    /// The account as the client wrote it.
    pub user: String,
    /// The client's address.
    pub peer: SocketAddr,
    /// The database named in the handshake, possibly `catalog.database`. Never empty.
    pub database: Option<String>,
    /// What the client says about itself (`_client_name`, `program_name`, …).
    pub attributes: Vec<(String, String)>,
    /// Whether the client asked to send several statements in one text.
    /// [`Session::set_multi_statements`] tells of later changes.
    pub multi_statements: bool,
    /// Whether the client wants affected rows to count matched instead of changed rows.
    pub found_rows: bool,
    /// Whether a person sits at the client, who may be away for longer than a program.
    pub interactive: bool,
    /// Ends this connection when cancelled, whatever it is doing: `KILL <id>` cancels the victim's token.
    /// (`KILL QUERY` is the session's own business: it makes the running statement return 1317.)
    /// The wire never cancels it, so it says nothing about a connection that ended by itself.
    pub kill: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said goodbye.
    Quit,
    /// The socket closed or broke without a goodbye.
    PeerGone,
    /// [`ConnectInfo::kill`] was cancelled.
    Killed,
    /// The server is shutting down.
    Shutdown,
    /// The client sent nothing for as long as [`Session::idle_limit`] says.
    Idle,
    /// The client broke the protocol, or a statement panicked.
    Failed,
    /// Another user took over the connection (COM_CHANGE_USER); a new session follows.
    UserChanged,
}

/// One per server: knows the accounts and opens sessions.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// What this handler opens.
    type Session: Session;

    /// Looks up the credential of an account; `None` for an unknown one. The wire does the check, in time
    /// that does not depend on the answer; implementors should not take longer for known users either.
    async fn credential(&self, user: &str, peer: SocketAddr) -> Option<Credential>;

    /// Opens the session of an authenticated user. An error (1049 for an unknown database, say) is sent to
    /// the client and ends the connection.
    async fn open(&self, connect: ConnectInfo) -> Result<Self::Session, WireError>;
}

/// One per connection. Methods are called one at a time.
///
/// **Every future and stream here may be dropped at any await**: when the client's socket closes, when the
/// connection is killed, when a drain's grace ends. Dropping is how work stops; work that must not stop
/// halfway (a commit) belongs in a task of its own. [`Session::closed`] is called after such a drop.
#[async_trait]
pub trait Session: Send + 'static {
    /// Runs a statement. The text is what the client sent, whole: comments, several statements and all.
    async fn query(&mut self, sql: &str) -> Result<Outcome, WireError>;

    /// Changes the current database (COM_INIT_DB; a `USE` statement arrives by [`Session::query`]).
    async fn use_database(&mut self, name: &str) -> Result<(), WireError>;

    /// Prepares a statement. The session chooses the id; it is unique within the session until closed.
    async fn prepare(&mut self, sql: &str) -> Result<Prepared, WireError>;

    /// Runs a prepared statement. The wire has checked that the statement is open and that `parameters`
    /// has as many entries as were announced.
    async fn execute(&mut self, statement_id: u32, parameters: Vec<Parameter>) -> Result<Outcome, WireError>;

    /// Forgets a prepared statement.
    async fn close_statement(&mut self, statement_id: u32);

    /// Returns to the state of a fresh session of the same user (COM_RESET_CONNECTION): variables, temporary
    /// state, prepared statements. The current database stays, as MySQL has it.
    async fn reset(&mut self) -> Result<(), WireError>;

    /// The columns of a table of the current database, for clients that complete names (COM_FIELD_LIST).
    /// `None` means that the session does not serve them, which clients take well.
    async fn list_fields(&mut self, table: &str) -> Result<Option<SchemaRef>, WireError> {
        let _ = table;
        Ok(None)
    }

    /// Whether another outcome follows the one just returned, for a text of several statements.
    /// Asked when an outcome has been sent but for its last packet.
    fn more_results(&self) -> bool {
        false
    }

    /// The next outcome of a text of several statements; called only while [`Session::more_results`].
    async fn next_result(&mut self) -> Result<Outcome, WireError> {
        Ok(Outcome::Ok(Completion::default()))
    }

    /// The client switched several statements in one text on or off (COM_SET_OPTION).
    fn set_multi_statements(&mut self, allowed: bool) {
        let _ = allowed;
    }

    /// How long the client may send nothing before its connection is ended; `None` for as long as it likes. Asked
    /// whenever an answer has been sent.
    fn idle_limit(&self) -> Option<Duration> {
        None
    }

    /// Called once, last, however the connection ended. What ran has been dropped by then.
    /// (A panic outside of a statement skips it, so what must not leak is released by `Drop`.)
    fn closed(&mut self, reason: CloseReason) {
        let _ = reason;
    }
}

/// What a statement leads to.
#[derive(Debug)]
pub enum Outcome {
    /// No rows.
    Ok(Completion),
    /// Rows, sent as they come.
    Rows(Rows),
}

/// The numbers and the text of an OK packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// Rows inserted, changed or deleted.
    pub affected_rows: u64,
    /// The first value AUTO_INCREMENT made, or 0.
    pub last_insert_id: u64,
    /// How many warnings SHOW WARNINGS would list.
    pub warnings: u16,
    /// Free text, for example `{'label':'…','status':'VISIBLE','txnId':'…'}`.
    pub info: String,
}

/// A result set. A batch is fetched when the one before has been handed to the socket, so a slow client
/// slows the stream instead of filling memory.
///
/// A field's metadata may refine what its column is called on the wire: see [`mod@column`].
pub struct Rows {
    /// The columns. Batches must have them, in this order.
    pub schema: SchemaRef,
    /// The rows. An error ends the result set and is what the client sees.
    pub batches: BoxStream<'static, Result<RecordBatch, WireError>>,
    /// How many warnings SHOW WARNINGS would list.
    pub warnings: u16,
}

impl Rows {
    /// Rows that come from a stream.
    pub fn new(schema: SchemaRef, batches: BoxStream<'static, Result<RecordBatch, WireError>>) -> Self {
        Self { schema, batches, warnings: 0 }
    }

    /// Rows that are already there: what a SHOW statement answers.
    pub fn from_batch(batch: RecordBatch) -> Self {
        let schema = batch.schema();
        Self::new(schema, Box::pin(futures::stream::once(async move { Ok(batch) })))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// A statement ready to be executed.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What the client will call it. Not 0xFFFF_FFFF, which some clients read as "the last one".
    pub statement_id: u32,
    /// How many `?` it has.
    pub parameter_count: u16,
    /// The columns of its result; without fields when it returns none, or when they are not known yet.
    /// When there are any, the result must have just these: Connector/J relies on it.
    pub columns: SchemaRef,
}

/// A parameter of a prepared statement, decoded from the binary protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// SQL NULL.
    Null,
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// A single precision number: its shortest text is often what was meant (0.1, not 0.10000000149).
    Float(f32),
    /// A double precision number.
    Double(f64),
    /// An exact number as the client wrote it; not checked to be one.
    Decimal(String),
    /// Text.
    Text(String),
    /// A BLOB, or text that is not UTF-8. Some clients send text so, too.
    Bytes(Vec<u8>),
    /// A date.
    Date(DateParameter),
    /// A date with time of day.
    DateTime(DateTimeParameter),
    /// A time, which may be negative and longer than a day.
    Time(TimeParameter),
}

/// A date as a client sent it: `0000-00-00` and the 31st of February are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateParameter {
    /// 0 to 65535.
    pub year: u16,
    /// 0 to 255, though months end at 12.
    pub month: u8,
    /// 0 to 255, though months end at 31.
    pub day: u8,
}

/// A date with time of day as a client sent it, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateTimeParameter {
    /// The date.
    pub date: DateParameter,
    /// Hour of the day.
    pub hour: u8,
    /// Minute of the hour.
    pub minute: u8,
    /// Second of the minute.
    pub second: u8,
    /// Microseconds of the second.
    pub microsecond: u32,
}

/// A time as a client sent it, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeParameter {
    /// Whether it lies before zero.
    pub negative: bool,
    /// Whole days.
    pub days: u32,
    /// Hours beyond the days.
    pub hours: u8,
    /// Minutes.
    pub minutes: u8,
    /// Seconds.
    pub seconds: u8,
    /// Microseconds.
    pub microseconds: u32,
}

/// An error as a client sees it. It answers one statement and leaves the connection open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// MySQL's number, or one of StarRocks's own (5203, …).
    pub code: u16,
    /// Five characters.
    pub sqlstate: [u8; 5],
    /// What to tell the user.
    pub message: String,
}

impl WireError {
    /// An error from its parts: `WireError::new(1049, *b"42000", "Unknown database 'd'")`.
    pub fn new(code: u16, sqlstate: [u8; 5], message: impl Into<String>) -> Self {
        Self { code, sqlstate, message: message.into() }
    }
}

impl fmt::Display for DateParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for DateTimeParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:{:02}", self.date, self.hour, self.minute, self.second)?;
        match self.microsecond {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl fmt::Display for TimeParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let hours = u64::from(self.days) * 24 + u64::from(self.hours);
        write!(f, "{sign}{hours:02}:{:02}:{:02}", self.minutes, self.seconds)?;
        match self.microseconds {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}
