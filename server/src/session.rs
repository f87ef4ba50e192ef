//! One connection: its account, database, variables and prepared statements, and the way of a statement through it.
//!
//! Text → parsed statements → one at a time: noted in the process list, run by [`crate::statement`], stopped by KILL
//! QUERY or by its timeout, its outcome handed to the wire. Whatever a statement does, the session goes on.

pub mod process;
pub mod variables;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use ebla_protocol::sql::{self, ParseOptions, Template, ast::Statement};
use ebla_protocol::wire::{self, CloseReason, Completion, ConnectInfo, Outcome, Parameter, Prepared, Rows, WireError};
use futures::StreamExt;
use sqlparser::ast::Value as AstValue;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::auth::Identity;
use crate::auth::privilege::Access;
use crate::error::{Error, Result};
use crate::query::TimeZone;
use crate::server::Server;
use crate::statement;
use process::Process;
use variables::Variables;

/// Prepared statements a session may hold: a client that never closes them must not fill memory.
const PREPARED_STATEMENTS_MAX: usize = 16_384;

/// Statements of one text: bounds what a single packet can queue.
const STATEMENTS_PER_TEXT_MAX: usize = 1024;

/// One connection of an authenticated account.
#[derive(Debug)]
pub struct Session {
    /// The server it is connected to.
    pub server: Arc<Server>,
    /// Who is connected.
    pub identity: Identity,
    /// The database unqualified names belong to.
    pub database: Option<String>,
    /// Its variables.
    pub variables: Variables,
    /// `@name` variables, by lower-case name.
    pub user_variables: HashMap<String, crate::query::Value>,
    /// Roles in force; `None` while they are the account's default ones.
    pub active_roles: Option<Vec<String>>,
    /// LAST_INSERT_ID().
    pub last_insert_id: u64,
    /// What SHOW WARNINGS lists: level, code, text.
    pub warnings: Vec<(&'static str, u16, String)>,
    /// Its entry in the process list.
    pub process: Arc<Process>,
    /// Statements by the names that PREPARE gave them.
    pub named_statements: HashMap<String, Template>,
    prepared: HashMap<u32, Template>,
    next_statement_id: u32,
    /// What is left of a text of several statements.
    queue: VecDeque<Statement>,
    multi_statements: bool,
    /// Whether a person sits at the client.
    interactive: bool,
}

impl Session {
    /// Opens the session of an account that has been authenticated.
    pub fn open(server: Arc<Server>, identity: Identity, connect: &ConnectInfo) -> Result<Session> {
        let process = server.processes.add(
            connect.connection_id,
            &identity.user,
            connect.peer,
            connect.kill.clone(),
            server.now_ms(),
        );
        let variables = initial_variables(&server, connect.interactive)?;
        let mut session = Session {
            identity,
            database: None,
            user_variables: HashMap::new(),
            active_roles: None,
            last_insert_id: 0,
            warnings: Vec::new(),
            process,
            named_statements: HashMap::new(),
            prepared: HashMap::new(),
            next_statement_id: 1,
            queue: VecDeque::new(),
            multi_statements: connect.multi_statements,
            interactive: connect.interactive,
            variables,
            server,
        };
        if session.variables.is_on("activate_all_roles_on_login") {
            session.activate_all_roles()?;
        }
        if let Some(database) = &connect.database {
            session.use_named_database(database)?;
        }
        Ok(session)
    }

    /// What this session may do now.
    pub fn access(&self) -> Result<Access> {
        self.server.accounts.access(&self.identity, self.active_roles.as_deref())
    }

    /// The database a statement is about: the one it names, or the session's.
    pub fn database_or_current(&self, named: Option<&str>) -> Result<String> {
        named.map(str::to_owned).or_else(|| self.database.clone()).ok_or(Error::NoDatabase)
    }

    /// The session's time zone; UTC when the variable says SYSTEM.
    pub fn time_zone(&self) -> TimeZone {
        self.variables.get("time_zone").and_then(|name| TimeZone::parse(name).ok()).unwrap_or(TimeZone::UTC)
    }

    /// `yyyy-MM-dd HH:mm:ss` in the session's zone.
    pub fn format_time(&self, at_ms: i64) -> String {
        let micros = at_ms.saturating_mul(1000);
        let local = self.time_zone().to_local(micros).unwrap_or(micros);
        ebla_storage::schema::format_datetime(local.div_euclid(1_000_000) * 1_000_000)
    }

    /// Makes every role the account holds active.
    pub fn activate_all_roles(&mut self) -> Result<()> {
        let held = self.server.storage.catalog().read(|read| read.roles_of(&self.identity.grantee()))?;
        self.active_roles = Some(held.into_iter().map(|(role, _)| role).collect());
        Ok(())
    }

    /// Changes the database to `[catalog.]database`.
    pub fn use_named_database(&mut self, name: &str) -> Result<()> {
        let database = match name.split_once('.') {
            // What StarRocks's own SQLAlchemy dialect sends; the name before the dot is the catalog.
            Some((catalog, database)) if catalog.eq_ignore_ascii_case(statement::DEFAULT_CATALOG) => database,
            _ => name,
        };
        if database.is_empty() {
            return Ok(());
        }
        let is_virtual = database.eq_ignore_ascii_case(crate::query::source::INFORMATION_SCHEMA);
        if !is_virtual {
            self.access()?.require_database(database)?;
            let known = self.server.storage.catalog().read(|read| read.find_database(database))?;
            if known.is_none() {
                return Err(Error::UnknownDatabase(database.to_owned()));
            }
        }
        self.database = Some(if is_virtual { crate::query::source::INFORMATION_SCHEMA } else { database }.to_owned());
        self.process.set_database(self.database.as_deref());
        Ok(())
    }

    /// Runs one statement to its outcome.
    async fn run(&mut self, parsed: Statement) -> Result<Outcome, WireError> {
        let kind = parsed.kind();
        let span = tracing::info_span!("statement", connection = self.process.id, kind);
        let keeps_warnings = statement::keeps_warnings(&parsed);
        if !keeps_warnings {
            self.warnings.clear();
        }
        let cancel = self.process.begin(parsed.redacted(), self.server.now_ms());
        metrics::counter!("ebla_statements_total", "kind" => kind).increment(1);
        let timeout = self.statement_timeout(&parsed);
        let stop = stopped(cancel.clone(), timeout);
        let outcome = async {
            tokio::select! {
                outcome = statement::execute(self, parsed) => outcome,
                reason = stop => Err(reason),
            }
        }
        .instrument(span)
        .await;
        let outcome = match outcome {
            Ok(Outcome::Rows(rows)) => Ok(self.watched(rows, cancel, timeout)),
            Ok(done) => {
                self.process.end(self.server.now_ms());
                Ok(done)
            }
            Err(error) => {
                self.process.end(self.server.now_ms());
                metrics::counter!("ebla_statement_errors_total", "kind" => kind).increment(1);
                Err(WireError::from(error))
            }
        };
        if let (Err(error), false) = (&outcome, keeps_warnings) {
            self.warnings.push(("Error", error.code, error.message.clone()));
        }
        outcome
    }

    /// Rows that stop when the statement is stopped, and that keep it in the process list until they are done.
    fn watched(&self, rows: Rows, cancel: CancellationToken, timeout: Option<Duration>) -> Outcome {
        struct End(Arc<Process>, Arc<Server>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.end(self.1.now_ms());
            }
        }
        let end = End(Arc::clone(&self.process), Arc::clone(&self.server));
        let mut batches = rows.batches;
        let stream = async_stream(move |sender| async move {
            let _end = end;
            let stop = stopped(cancel, timeout);
            tokio::pin!(stop);
            loop {
                let next = tokio::select! {
                    next = batches.next() => next,
                    reason = &mut stop => Some(Err(WireError::from(reason))),
                };
                let Some(item) = next else { return };
                let failed = item.is_err();
                if sender.send(item).await.is_err() || failed {
                    return;
                }
            }
        });
        Outcome::Rows(Rows { schema: rows.schema, batches: stream, warnings: rows.warnings })
    }

    fn statement_timeout(&self, statement: &Statement) -> Option<Duration> {
        if !matches!(statement, Statement::Query(_)) {
            return None;
        }
        let millis = self.variables.number("max_execution_time").filter(|millis| *millis > 0);
        let seconds = self.variables.number("query_timeout").filter(|seconds| *seconds > 0);
        millis.map(Duration::from_millis).or(seconds.map(Duration::from_secs))
    }

    /// How this session's texts are to be read.
    pub fn parse_options(&self) -> ParseOptions {
        let modes = self.variables.get("sql_mode").unwrap_or_default();
        let has = |wanted: &[&str]| modes.split(',').any(|mode| wanted.contains(&mode));
        ParseOptions { pipes_as_concat: has(&["PIPES_AS_CONCAT", "ANSI"]) }
    }

    fn parse(&self, text: &str) -> Result<VecDeque<Statement>> {
        let statements = sql::parse_with(text, self.parse_options())?;
        if statements.len() > 1 && !self.multi_statements {
            return Err(Error::refused(
                "Several statements in one text: send them one by one, or connect with multi statements allowed",
            ));
        }
        if statements.len() > STATEMENTS_PER_TEXT_MAX {
            return Err(Error::refused(format!("More than {STATEMENTS_PER_TEXT_MAX} statements in one text")));
        }
        Ok(statements.into())
    }
}

/// What a session's variables begin with.
fn initial_variables(server: &Server, interactive: bool) -> Result<Variables> {
    let globals = server.globals.read();
    let mut variables = globals.clone();
    if interactive {
        variables.set("wait_timeout", globals.get("interactive_timeout"), &globals)?;
    }
    Ok(variables)
}

/// Resolves with the reason when a statement is to stop.
async fn stopped(cancel: CancellationToken, timeout: Option<Duration>) -> Error {
    let timer = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Error::Interrupted("Query execution was interrupted".to_owned()),
        () = timer => Error::Interrupted(format!(
            "Query exceeded its time limit of {} seconds: narrow it, or raise query_timeout",
            timeout.unwrap_or_default().as_secs_f64()
        )),
    }
}

/// A stream fed by a future that is dropped with the stream. The channel holds one item, so the future never runs
/// further ahead than that.
fn async_stream<T, F, Fut>(feed: F) -> futures::stream::BoxStream<'static, T>
where
    T: Send + 'static,
    F: FnOnce(tokio::sync::mpsc::Sender<T>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(feed(sender)));
    futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
        receiver.recv().await.map(|item| (item, (receiver, task)))
    })
    .boxed()
}

#[async_trait]
impl wire::Session for Session {
    async fn query(&mut self, text: &str) -> Result<Outcome, WireError> {
        self.queue = self.parse(text)?;
        match self.queue.pop_front() {
            Some(statement) => self.run(statement).await,
            // A comment is enough of a statement, as in MySQL: dumps have some that are for other servers.
            None if text.contains(|c: char| !c.is_whitespace() && c != ';') => Ok(Outcome::Ok(Completion::default())),
            None => Err(WireError::new(1065, *b"42000", "Query was empty")),
        }
    }

    fn more_results(&self) -> bool {
        !self.queue.is_empty()
    }

    async fn next_result(&mut self) -> Result<Outcome, WireError> {
        match self.queue.pop_front() {
            Some(statement) => {
                let outcome = self.run(statement).await;
                if outcome.is_err() {
                    // What follows a failed statement is not run.
                    self.queue.clear();
                }
                outcome
            }
            None => Ok(Outcome::Ok(Completion::default())),
        }
    }

    fn set_multi_statements(&mut self, allowed: bool) {
        self.multi_statements = allowed;
    }

    async fn use_database(&mut self, name: &str) -> Result<(), WireError> {
        Ok(self.use_named_database(name)?)
    }

    async fn prepare(&mut self, text: &str) -> Result<Prepared, WireError> {
        let mut statements = sql::prepare(text, self.parse_options()).map_err(Error::from)?;
        let template = match (statements.pop(), statements.is_empty()) {
            (Some(template), true) => template,
            (None, _) => return Err(WireError::new(1065, *b"42000", "Query was empty")),
            (Some(_), false) => {
                return Err(WireError::new(1295, *b"HY000", "Only one statement can be prepared at a time"));
            }
        };
        if self.prepared.len() >= PREPARED_STATEMENTS_MAX {
            return Err(WireError::new(
                1461,
                *b"42000",
                format!("Can't create more than {PREPARED_STATEMENTS_MAX} prepared statements: close some"),
            ));
        }
        let parameter_count = u16::try_from(template.parameter_count())
            .map_err(|_| WireError::new(1390, *b"HY000", "Prepared statement contains too many placeholders"))?;
        let columns = statement::describe(self, template.statement()).await.unwrap_or_else(|_| no_columns());
        let statement_id = self.next_statement_id;
        // Some clients read the highest id as "the last one"; wrapping keeps away from it and from 0.
        self.next_statement_id = if statement_id >= u32::MAX - 1 { 1 } else { statement_id + 1 };
        self.prepared.insert(statement_id, template);
        Ok(Prepared { statement_id, parameter_count, columns })
    }

    async fn execute(&mut self, statement_id: u32, parameters: Vec<Parameter>) -> Result<Outcome, WireError> {
        let template = self.prepared.get(&statement_id).ok_or_else(|| {
            WireError::new(1243, *b"HY000", format!("Unknown prepared statement handler ({statement_id}) given"))
        })?;
        let values: Vec<AstValue> = parameters.into_iter().map(literal).collect();
        let bound = template.bind(&values).map_err(Error::from)?;
        self.run(bound).await
    }

    async fn close_statement(&mut self, statement_id: u32) {
        self.prepared.remove(&statement_id);
    }

    async fn reset(&mut self) -> Result<(), WireError> {
        self.variables = initial_variables(&self.server, self.interactive)?;
        self.user_variables.clear();
        self.active_roles = None;
        self.last_insert_id = 0;
        self.warnings.clear();
        self.prepared.clear();
        self.named_statements.clear();
        self.queue.clear();
        Ok(())
    }

    async fn list_fields(&mut self, table: &str) -> Result<Option<SchemaRef>, WireError> {
        let Some(database) = self.database.clone() else { return Ok(None) };
        let fields = statement::table_schema(self, &database, table).ok();
        Ok(fields)
    }

    fn idle_limit(&self) -> Option<Duration> {
        self.variables.number("wait_timeout").map(Duration::from_secs)
    }

    fn closed(&mut self, reason: CloseReason) {
        tracing::debug!(connection = self.process.id, ?reason, "connection closed");
        self.process.end(self.server.now_ms());
        self.server.processes.remove(&self.process);
    }
}

/// The schema of a statement that returns no rows.
fn no_columns() -> SchemaRef {
    Arc::new(Schema::empty())
}

/// A parameter as a literal of the dialect.
fn literal(parameter: Parameter) -> AstValue {
    let text = |text: String| AstValue::SingleQuotedString(text);
    let number = |digits: String| AstValue::Number(digits, false);
    match parameter {
        Parameter::Null => AstValue::Null,
        Parameter::Int(value) => number(value.to_string()),
        Parameter::UInt(value) => number(value.to_string()),
        Parameter::Float(value) if value.is_finite() => number(format!("{value:e}")),
        Parameter::Double(value) if value.is_finite() => number(format!("{value:e}")),
        // SQL has no literal for them.
        Parameter::Float(_) | Parameter::Double(_) => AstValue::Null,
        Parameter::Decimal(digits) => match digits.parse::<f64>() {
            Ok(_) => number(digits),
            Err(_) => text(digits),
        },
        Parameter::Text(value) => text(value),
        Parameter::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(value) => text(value),
            Err(error) => {
                AstValue::HexStringLiteral(error.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect())
            }
        },
        Parameter::Date(value) => text(value.to_string()),
        Parameter::DateTime(value) => text(value.to_string()),
        Parameter::Time(value) => text(value.to_string()),
    }
}
