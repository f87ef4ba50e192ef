//! SHOW of the server itself: variables, connections, engines, character sets, and what MySQL's tools ask for by habit.

use ebla_protocol::sql::ast::session::VariableScope;
use ebla_protocol::sql::ast::show::{AlterJobKind, ShowFilter, ShowLimit, ShowTail};
use ebla_protocol::wire::Outcome;

use super::rows::{TextRows, text};
use crate::auth::privilege::{self, Object};
use crate::error::Result;
use crate::session::Session;

/// The one collation there is in truth: text compares byte by byte.
pub const COLLATION: &str = "utf8mb4_0900_bin";

/// Characters of a statement that SHOW PROCESSLIST prints without FULL.
const PROCESSLIST_INFO_LENGTH: usize = 100;

/// SHOW VARIABLES.
pub async fn variables(session: &Session, scope: VariableScope, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let mut rows = TextRows::new(["Variable_name", "Value"]);
    let globals = session.server.globals.read().clone();
    let variables = if scope == VariableScope::Global { &globals } else { &session.variables };
    for (name, value) in variables.iter() {
        rows.push(vec![text(name), text(shown(name, value))]);
    }
    rows.filtered(session, filter).await
}

/// Variables that are switches: they read ON and OFF in SHOW, 1 and 0 in SELECT, as MySQL has it.
const SWITCHES: [&str; 15] = [
    "autocommit",
    "foreign_key_checks",
    "unique_checks",
    "sql_notes",
    "sql_warnings",
    "sql_auto_is_null",
    "tx_read_only",
    "transaction_read_only",
    "read_only",
    "big_tables",
    "sql_safe_updates",
    "performance_schema",
    "local_infile",
    "log_bin",
    "profiling",
];

/// The value of a variable as SHOW has it.
fn shown(name: &str, value: &str) -> String {
    let value = match value {
        "1" if SWITCHES.contains(&name) => "ON",
        "0" if SWITCHES.contains(&name) => "OFF",
        _ => value,
    };
    value.to_owned()
}

/// SHOW STATUS.
pub async fn status(session: &Session, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let uptime_s = (session.server.now_ms() - session.server.started_at_ms) / 1000;
    let mut rows = TextRows::new(["Variable_name", "Value"]);
    rows.push(vec![text("Threads_connected"), text(session.server.processes.len())]);
    rows.push(vec![text("Uptime"), text(uptime_s)]);
    rows.filtered(session, filter).await
}

/// SHOW PROCESSLIST.
pub fn processlist(session: &Session, full: bool) -> Result<Outcome> {
    let access = session.access()?;
    let sees_all = access.allows("OPERATE", Object::System);
    let now_ms = session.server.now_ms();
    let mut rows =
        TextRows::new(["Id", "User", "Host", "Db", "Command", "ConnectionStartTime", "Time", "State", "Info"]);
    for process in session.server.processes.list() {
        if !sees_all && process.user != session.identity.user {
            continue;
        }
        let info = process.statement.as_ref().map(|statement| match full {
            true => statement.clone(),
            false => statement.chars().take(PROCESSLIST_INFO_LENGTH).collect(),
        });
        rows.push(vec![
            text(process.id),
            text(&process.user),
            text(process.peer),
            process.database.or_else(|| Some(String::new())),
            text(if process.statement.is_some() { "Query" } else { "Sleep" }),
            text(session.format_time(process.connected_at_ms)),
            text((now_ms - process.since_ms).max(0) / 1000),
            text(if process.statement.is_some() { "OK" } else { "" }),
            info,
        ]);
    }
    rows.into_outcome()
}

/// SHOW WARNINGS, SHOW ERRORS.
pub async fn warnings(session: &Session, errors_only: bool, limit: Option<ShowLimit>) -> Result<Outcome> {
    let mut rows = TextRows::new(["Level", "Code", "Message"]);
    for (level, code, message) in &session.warnings {
        if !errors_only || *level == "Error" {
            rows.push(vec![text(level), text(code), text(message)]);
        }
    }
    rows.tailed(session, &ShowTail { limit, ..ShowTail::default() }).await
}

/// SHOW COUNT(*) WARNINGS, SHOW COUNT(*) ERRORS.
pub fn count_warnings(session: &Session, errors_only: bool) -> Result<Outcome> {
    let count = session.warnings.iter().filter(|(level, ..)| !errors_only || *level == "Error").count();
    let heading = if errors_only { "@@session.error_count" } else { "@@session.warning_count" };
    TextRows::new([heading]).with(vec![text(count)]).into_outcome()
}

/// SHOW ENGINES.
pub fn engines() -> Result<Outcome> {
    TextRows::new(["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"])
        .with(vec![
            text("OLAP"),
            text("DEFAULT"),
            text("Tablets of immutable Parquet segments"),
            text("NO"),
            text("NO"),
            text("NO"),
        ])
        .into_outcome()
}

/// SHOW CHARACTER SET.
pub async fn charset(session: &Session, filter: Option<&ShowFilter>) -> Result<Outcome> {
    TextRows::new(["Charset", "Description", "Default collation", "Maxlen"])
        .numbers(&["Maxlen"])
        .with(vec![text("utf8mb4"), text("UTF-8 Unicode"), text(COLLATION), text(4)])
        .filtered(session, filter)
        .await
}

/// SHOW COLLATION.
pub async fn collation(session: &Session, filter: Option<&ShowFilter>) -> Result<Outcome> {
    let mut rows =
        TextRows::new(["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"]).numbers(&["Id", "Sortlen"]);
    for (name, id, default) in [(COLLATION, 309, "Yes"), ("utf8mb4_bin", 46, ""), ("utf8mb4_general_ci", 45, "")] {
        rows.push(vec![text(name), text("utf8mb4"), text(id), text(default), text("Yes"), text(1)]);
    }
    rows.filtered(session, filter).await
}

/// A SHOW whose subject does not exist here: the right columns and no row.
pub async fn nothing(session: &Session, columns: &[&str], filter: Option<&ShowFilter>) -> Result<Outcome> {
    TextRows::new(columns.iter().copied()).filtered(session, filter).await
}

/// SHOW ALTER TABLE: no change of a table runs in the background yet, so there is never a row.
pub async fn alter_jobs(session: &Session, kind: AlterJobKind, tail: &ShowTail) -> Result<Outcome> {
    let columns: &[&str] = match kind {
        AlterJobKind::Column => &[
            "JobId",
            "TableName",
            "CreateTime",
            "FinishTime",
            "IndexName",
            "IndexId",
            "OriginIndexId",
            "SchemaVersion",
            "TransactionId",
            "State",
            "Msg",
            "Progress",
            "Timeout",
        ],
        AlterJobKind::Rollup => &[
            "JobId",
            "TableName",
            "CreateTime",
            "FinishedTime",
            "BaseIndexName",
            "RollupIndexName",
            "RollupId",
            "TransactionId",
            "State",
            "Msg",
            "Progress",
            "Timeout",
        ],
        AlterJobKind::Optimize => &[
            "JobId",
            "TableName",
            "CreateTime",
            "FinishTime",
            "Operation",
            "TransactionId",
            "State",
            "Msg",
            "Progress",
            "Timeout",
        ],
    };
    TextRows::new(columns.iter().copied()).tailed(session, tail).await
}

/// SHOW CATALOGS.
pub async fn catalogs(session: &Session, filter: Option<&ShowFilter>) -> Result<Outcome> {
    TextRows::new(["Catalog", "Type", "Comment"])
        .with(vec![
            text(super::DEFAULT_CATALOG),
            text("Internal"),
            text("An internal catalog contains this cluster's self-managed tables."),
        ])
        .filtered(session, filter)
        .await
}

/// SHOW FRONTENDS: this process.
pub fn frontends(session: &Session) -> Result<Outcome> {
    session.access()?.require_any(&["OPERATE", "NODE"], Object::System)?;
    let addresses = &session.server.addresses;
    TextRows::new(["Name", "IP", "HttpPort", "QueryPort", "Role", "ClusterId", "Join", "Alive", "StartTime", "Version"])
        .with(vec![
            text("ebla"),
            text(addresses.mysql.ip()),
            text(addresses.http.port()),
            text(addresses.mysql.port()),
            text("LEADER"),
            text(session.server.storage.catalog().cluster_id()),
            text("true"),
            text("true"),
            text(session.format_time(session.server.started_at_ms)),
            text(crate::server::VERSION),
        ])
        .into_outcome()
}

/// SHOW BACKENDS: the storage roots, each of which holds replicas as a backend does.
pub fn backends(session: &Session) -> Result<Outcome> {
    session.access()?.require_any(&["OPERATE", "NODE"], Object::System)?;
    let addresses = &session.server.addresses;
    let mut rows =
        TextRows::new(["BackendId", "IP", "HttpPort", "LastStartTime", "Alive", "TabletNum", "Path", "Version"]);
    let (roots, counts) =
        session.server.storage.catalog().read(|read| Ok((read.storage_roots()?, read.replica_counts()?)))?;
    for root in roots {
        rows.push(vec![
            text(root.id),
            text(addresses.http.ip()),
            text(addresses.http.port()),
            text(session.format_time(session.server.started_at_ms)),
            text(session.server.storage.roots().path(root.id).is_ok_and(|path| path.is_dir())),
            text(counts.get(&root.id).copied().unwrap_or(0)),
            text(root.path.display()),
            text(crate::server::VERSION),
        ]);
    }
    rows.into_outcome()
}

/// SHOW PRIVILEGES.
pub fn privileges() -> Result<Outcome> {
    let mut rows = TextRows::new(["Privilege", "Context", "Comment"]);
    for kind in ["SYSTEM", "CATALOG", "DATABASE", "TABLE"] {
        for name in privilege::privileges_on(kind) {
            rows.push(vec![text(name), text(kind), text("")]);
        }
    }
    rows.into_outcome()
}
