//! The wire from outside: real sockets, a scripted server behind the seam.
//!
//! `clients` speaks through real clients, `raw` byte by byte, `random` sends what no client would. All of
//! them talk to [`Scripted`], whose statements are single words (see [`ScriptedSession::run`]).

mod clients;
mod random;
mod raw;
mod samples;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    CloseReason, Completion, ConnectInfo, Credential, Handler, ListenerConfig, Outcome, Parameter, Prepared, Rows,
    Session, WireError, auth, listener,
};

/// Long enough for a loaded machine, short enough to fail a hanging test.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the scripted server saw.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Opened {
        user: String,
        database: Option<String>,
    },
    Started,
    /// A statement's future or stream was dropped before its end.
    Dropped,
    Closed(CloseReason),
    StatementClosed(u32),
    Reset,
}

/// Accounts `root` (no password) and `ada` (password `secret`); databases `d` and `c.d`.
struct Scripted {
    events: mpsc::UnboundedSender<Event>,
    kills: Mutex<Vec<CancellationToken>>,
}

struct ScriptedSession {
    connect: ConnectInfo,
    database: Option<String>,
    events: mpsc::UnboundedSender<Event>,
    next_statement: u32,
    statements: Vec<(u32, String)>,
    /// Statements of a multi-statement text that are still to run.
    pending: Vec<String>,
}

/// Says [`Event::Dropped`] unless disarmed.
struct DropBell(Option<mpsc::UnboundedSender<Event>>);

impl Drop for DropBell {
    fn drop(&mut self) {
        if let Some(events) = &self.0 {
            let _ = events.send(Event::Dropped);
        }
    }
}

#[async_trait]
impl Handler for Scripted {
    type Session = ScriptedSession;

    async fn credential(&self, user: &str, _peer: SocketAddr) -> Option<Credential> {
        match user {
            "root" => Some(Credential::Empty),
            "ada" => Some(Credential::NativePassword(auth::double_sha1(b"secret"))),
            _ => None,
        }
    }

    async fn open(&self, connect: ConnectInfo) -> Result<ScriptedSession, WireError> {
        let database = connect.database.clone();
        if let Some(name) = &database {
            check_database(name)?;
        }
        self.kills.lock().unwrap().push(connect.kill.clone());
        let _ = self.events.send(Event::Opened { user: connect.user.clone(), database: database.clone() });
        Ok(ScriptedSession {
            connect,
            database,
            events: self.events.clone(),
            next_statement: 1,
            statements: Vec::new(),
            pending: Vec::new(),
        })
    }
}

fn check_database(name: &str) -> Result<(), WireError> {
    match name {
        "d" | "c.d" => Ok(()),
        _ => {
            let message = format!("Unknown database '{name}'");
            Err(WireError::new(1049, *b"42000", message))
        }
    }
}

#[async_trait]
impl Session for ScriptedSession {
    async fn query(&mut self, sql: &str) -> Result<Outcome, WireError> {
        let mut parts = sql.split(';').map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        self.pending = parts.rev().collect();
        self.run(&first).await
    }

    async fn use_database(&mut self, name: &str) -> Result<(), WireError> {
        check_database(name)?;
        self.database = Some(name.to_owned());
        Ok(())
    }

    async fn prepare(&mut self, sql: &str) -> Result<Prepared, WireError> {
        let statement_id = self.next_statement;
        self.next_statement += 1;
        self.statements.push((statement_id, sql.to_owned()));
        let columns = match sql.split(' ').next() {
            Some("types") => samples::all_types().schema(),
            Some("echo") => text_rows(&vec![String::new(); sql.matches('?').count()]).schema(),
            _ => Arc::new(Schema::empty()),
        };
        Ok(Prepared { statement_id, parameter_count: sql.matches('?').count() as u16, columns })
    }

    async fn execute(&mut self, statement_id: u32, parameters: Vec<Parameter>) -> Result<Outcome, WireError> {
        let found = self.statements.iter().find(|(id, _)| *id == statement_id);
        let sql = found.expect("the wire has checked it").1.clone();
        match sql.starts_with("echo") {
            true => {
                let shown: Vec<_> = parameters.iter().map(|p| format!("{p:?}")).collect();
                Ok(rows(text_rows(&shown)))
            }
            false => self.run(&sql).await,
        }
    }

    async fn close_statement(&mut self, statement_id: u32) {
        self.statements.retain(|(id, _)| *id != statement_id);
        let _ = self.events.send(Event::StatementClosed(statement_id));
    }

    async fn reset(&mut self) -> Result<(), WireError> {
        self.statements.clear();
        let _ = self.events.send(Event::Reset);
        Ok(())
    }

    async fn list_fields(&mut self, table: &str) -> Result<Option<SchemaRef>, WireError> {
        Ok((table == "t").then(|| samples::all_types().schema()))
    }

    fn more_results(&self) -> bool {
        !self.pending.is_empty()
    }

    async fn next_result(&mut self) -> Result<Outcome, WireError> {
        let sql = self.pending.pop().expect("asked for only when there are more");
        self.run(&sql).await
    }

    fn idle_limit(&self) -> Option<Duration> {
        self.connect.interactive.then_some(Duration::from_millis(100))
    }

    fn closed(&mut self, reason: CloseReason) {
        let _ = self.events.send(Event::Closed(reason));
    }
}

impl ScriptedSession {
    async fn run(&mut self, sql: &str) -> Result<Outcome, WireError> {
        let (word, rest) = sql.trim().split_once(' ').unwrap_or((sql.trim(), ""));
        let number = rest.parse::<usize>().unwrap_or_default();
        match word {
            "types" => Ok(rows(samples::all_types())),
            "nulls" => Ok(rows(samples::all_nulls())),
            "say" => Ok(rows(text_rows(&[rest.to_owned()]))),
            "where" => {
                let database = self.database.clone().unwrap_or_default();
                Ok(rows(text_rows(&[self.connect.user.clone(), database])))
            }
            "letters" => Ok(rows(text_rows(&["x".repeat(number)]))),
            "count" => Ok(count_to(number)),
            "change" => Ok(Outcome::Ok(Completion {
                affected_rows: 3,
                last_insert_id: 70_000,
                warnings: 2,
                info: "i".repeat(number),
            })),
            "broken" => Ok(fails_after_rows()),
            "wrong" => Ok(wrong_schema()),
            "year" => Ok(rows(samples::year_ten_thousand())),
            "error" => Err(WireError::new(number as u16, *b"HY000", "as asked")),
            "panic" => panic!("as scripted"),
            "sleep" => {
                let mut bell = DropBell(Some(self.events.clone()));
                let _ = self.events.send(Event::Started);
                tokio::time::sleep(Duration::from_millis(number as u64)).await;
                bell.0 = None;
                Ok(Outcome::Ok(Completion::default()))
            }
            "trickle" => Ok(endless(self.events.clone())),
            "KILL" => Ok(rows(text_rows(&[sql.to_owned()]))),
            // What the mariadb client asks by itself; it crashes on a row of fewer columns.
            "select" | "SELECT" => {
                Ok(rows(text_rows(&["scripted".to_owned(), "".to_owned(), "".to_owned(), "".to_owned()])))
            }
            _ => Err(WireError::new(1064, *b"42000", format!("no such word: {word}"))),
        }
    }
}

fn rows(batch: RecordBatch) -> Outcome {
    Outcome::Rows(Rows::from_batch(batch))
}

/// One row of text columns `c0`, `c1`, …; a single empty column for no values.
fn text_rows(values: &[String]) -> RecordBatch {
    let columns = values.iter().enumerate().map(|(index, value)| {
        let array: ArrayRef = Arc::new(StringArray::from(vec![value.as_str()]));
        (format!("c{index}"), array)
    });
    match values {
        [] => RecordBatch::try_from_iter([("c0", Arc::new(StringArray::from(Vec::<&str>::new())) as ArrayRef)]),
        _ => RecordBatch::try_from_iter(columns),
    }
    .unwrap()
}

fn numbers(from: usize, to: usize) -> RecordBatch {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values((from..to).map(|n| n as i64)));
    RecordBatch::try_from_iter([("n", array)]).unwrap()
}

fn count_to(end: usize) -> Outcome {
    const BATCH_ROWS: usize = 8192;
    let starts = (0..end).step_by(BATCH_ROWS);
    let batches = starts.map(move |from| Ok(numbers(from, end.min(from + BATCH_ROWS))));
    let batches = futures::stream::iter(batches).boxed();
    Outcome::Rows(Rows::new(numbers(0, 0).schema(), batches))
}

fn fails_after_rows() -> Outcome {
    let error = WireError::new(1105, *b"HY000", "the disk is gone");
    let batches = futures::stream::iter([Ok(numbers(0, 10)), Err(error)]).boxed();
    Outcome::Rows(Rows::new(numbers(0, 0).schema(), batches))
}

fn wrong_schema() -> Outcome {
    let batches = futures::stream::iter([Ok(text_rows(&["surprise".to_owned()]))]).boxed();
    Outcome::Rows(Rows::new(numbers(0, 0).schema(), batches))
}

/// Rows without end, one batch at a time, as fast as they are taken.
fn endless(events: mpsc::UnboundedSender<Event>) -> Outcome {
    let _ = events.send(Event::Started);
    let bell = DropBell(Some(events));
    let batches = futures::stream::repeat_with(move || {
        let _ = &bell;
        Ok(numbers(0, 8192))
    });
    Outcome::Rows(Rows::new(numbers(0, 0).schema(), batches.boxed()))
}

/// A listener on a port of its own.
struct Server {
    address: SocketAddr,
    handler: Arc<Scripted>,
    events: mpsc::UnboundedReceiver<Event>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl FnOnce(&mut ListenerConfig)) -> Self {
        let mut config = ListenerConfig::default();
        adjust(&mut config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handler, events) = scripted();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(listener::serve(listener, handler.clone(), config, shutdown.clone()));
        Self { address, handler, events, shutdown, served }
    }

    async fn next_event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("a running server")
    }

    /// Waits for an event, whatever comes before.
    async fn wait_for(&mut self, wanted: Event) {
        while self.next_event().await != wanted {}
    }

    fn kill_all(&self) {
        for kill in self.handler.kills.lock().unwrap().iter() {
            kill.cancel();
        }
    }

    async fn stopped(self) {
        let served = tokio::time::timeout(PATIENCE, self.served).await;
        served.expect("the listener stops").unwrap();
    }
}

fn scripted() -> (Arc<Scripted>, mpsc::UnboundedReceiver<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    let handler = Scripted { events: sender, kills: Mutex::default() };
    (Arc::new(handler), events)
}
