//! SHOW in all its forms.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use super::{account, backup, session};
use crate::sql::ast::Statement;
use crate::sql::ast::name::TableName;
use crate::sql::ast::session::VariableScope;
use crate::sql::ast::show::{AlterJobKind, Show, ShowFilter, ShowLimit, ShowTail};

/// `SHOW …`
pub(super) fn show(c: &mut Cursor) -> Result<Statement> {
    c.need("SHOW")?;
    let show = if c.accept("CREATE") { show_create(c)? } else { show_by_word(c)? };
    Ok(Statement::Show(Box::new(show)))
}

fn show_create(c: &mut Cursor) -> Result<Show> {
    if c.accept_any(&["DATABASE", "SCHEMA"]) {
        let if_not_exists = c.accept("IF NOT EXISTS");
        return Ok(Show::CreateDatabase { if_not_exists, database: c.database_name()?.1 });
    }
    if c.accept("TABLE") {
        return c.table_name().map(Show::CreateTable);
    }
    if c.accept("VIEW") {
        return c.table_name().map(Show::CreateView);
    }
    if c.accept("MATERIALIZED VIEW") {
        return c.table_name().map(Show::CreateMaterializedView);
    }
    if c.accept("REPOSITORY") {
        c.accept("FOR");
        return c.name_or_string("a repository").map(Show::CreateRepository);
    }
    if c.accept("USER") {
        return account::user(c).map(Show::CreateUser);
    }
    Err(c.expected("TABLE, DATABASE, VIEW, MATERIALIZED VIEW, REPOSITORY or USER"))
}

fn show_by_word(c: &mut Cursor) -> Result<Show> {
    let full = c.accept("FULL");
    if !full {
        let scope = session::accept_scope(c);
        if scope != VariableScope::Unspecified || c.is_any(&["VARIABLES", "STATUS"]) {
            return variables_or_status(c, scope);
        }
    }
    // EXTENDED is MySQL's and shows more than there is.
    c.accept("EXTENDED");
    let Some(word) = c.word(0) else { return Err(c.expected("what to show")) };
    c.skip(1);
    match word.as_str() {
        "TABLES" => {
            let (catalog, database) = from_catalog_database(c)?;
            Ok(Show::Tables { full, catalog, database, filter: filter(c)? })
        }
        "COLUMNS" | "FIELDS" => Ok(Show::Columns { full, table: from_table(c)?, filter: filter(c)? }),
        "PROCESSLIST" => Ok(Show::Processlist { full }),
        "FUNCTIONS" => functions(c),
        _ if full && !c.is("FUNCTIONS") => Err(c.refuse_last(format!("SHOW FULL {word} is not known"))),
        "DATABASES" | "SCHEMAS" => {
            let catalog = if c.accept_any(&["FROM", "IN"]) { Some(c.name("a catalog")?) } else { None };
            Ok(Show::Databases { catalog, filter: filter(c)? })
        }
        "TABLE" => {
            c.need("STATUS")?;
            Ok(Show::TableStatus { database: c.database_clause()?, filter: filter(c)? })
        }
        "INDEX" | "INDEXES" | "KEYS" => Ok(Show::Index { table: from_table(c)?, filter: filter(c)? }),
        "TEMPORARY" => {
            c.need("PARTITIONS")?;
            partitions(c, true)
        }
        "PARTITIONS" => partitions(c, false),
        "TABLET" | "TABLETS" => tablets(c),
        "DATA" => Ok(Show::Data(if c.accept_any(&["FROM", "IN"]) { Some(c.table_name()?) } else { None })),
        "WARNINGS" => limit(c).map(Show::Warnings),
        "ERRORS" => limit(c).map(Show::Errors),
        "COUNT" => count(c),
        "ENGINES" => Ok(Show::Engines),
        "STORAGE" => c.need("ENGINES").map(|()| Show::Engines),
        "CHARSET" => filter(c).map(Show::Charset),
        "CHARACTER" => {
            c.need("SET")?;
            filter(c).map(Show::Charset)
        }
        "COLLATION" => filter(c).map(Show::Collation),
        "PLUGINS" => Ok(Show::Plugins),
        "PROCEDURE" => {
            c.need("STATUS")?;
            filter(c).map(Show::ProcedureStatus)
        }
        "FUNCTION" => {
            c.need("STATUS")?;
            filter(c).map(Show::FunctionStatus)
        }
        "BUILTIN" => c.need("FUNCTIONS").and_then(|()| functions(c)),
        "TRIGGERS" => Ok(Show::Triggers { database: c.database_clause()?, filter: filter(c)? }),
        "EVENTS" => Ok(Show::Events { database: c.database_clause()?, filter: filter(c)? }),
        "OPEN" => {
            c.need("TABLES")?;
            Ok(Show::OpenTables { database: c.database_clause()?, filter: filter(c)? })
        }
        "MATERIALIZED" => {
            if !c.accept_any(&["VIEWS", "VIEW"]) {
                return Err(c.expected("VIEWS"));
            }
            Ok(Show::MaterializedViews { database: c.database_clause()?, filter: filter(c)? })
        }
        "DYNAMIC" => {
            c.need("PARTITION TABLES")?;
            Ok(Show::DynamicPartitionTables { database: c.database_clause()? })
        }
        "ALTER" => alter_jobs(c),
        "LOAD" => Ok(Show::Load { database: c.database_clause()?, tail: tail(c)? }),
        "GRANTS" => grants(c),
        "USERS" => Ok(Show::Users),
        "ROLES" => Ok(Show::Roles),
        "AUTHENTICATION" => authentication(c, false),
        "PRIVILEGES" => Ok(Show::Privileges),
        "FRONTENDS" => Ok(Show::Frontends),
        "BACKENDS" => Ok(Show::Backends),
        "COMPUTE" => c.need("NODES").map(|()| Show::ComputeNodes),
        "BROKER" => Ok(Show::Broker),
        "PROC" => c.string("a path").map(Show::Proc),
        "CATALOGS" => filter(c).map(Show::Catalogs),
        "MASTER" if c.accept("STATUS") => Ok(Show::MasterStatus),
        "MASTER" | "BINARY" if c.accept("LOGS") => Ok(Show::BinaryLogs),
        "BINARY" if c.accept("LOG STATUS") => Ok(Show::MasterStatus),
        "SLAVE" | "SLAVES" | "REPLICA" | "REPLICAS" => c.need("STATUS").map(|()| Show::ReplicaStatus),
        "ALL" if c.accept("AUTHENTICATION") => authentication(c, true),
        "ALL" if c.accept_any(&["SLAVES", "REPLICAS"]) => c.need("STATUS").map(|()| Show::ReplicaStatus),
        "PROFILES" => Ok(Show::Profiles),
        "BACKUP" => Ok(Show::Backup { database: c.database_clause()?, like: like(c)?, tail: tail(c)? }),
        "RESTORE" => Ok(Show::Restore { brief: false, database: c.database_clause()?, like: like(c)?, tail: tail(c)? }),
        "BRIEF" => {
            c.need("RESTORE")?;
            Ok(Show::Restore { brief: true, database: c.database_clause()?, like: like(c)?, tail: tail(c)? })
        }
        "SNAPSHOT" => backup::show_snapshot(c).map(Show::Snapshot),
        "REPOSITORIES" => Ok(Show::Repositories),
        "VERIFY" => {
            let named = c.accept_any(&["FROM", "ON"]);
            let repository = if named { Some(c.name_or_string("a repository")?) } else { None };
            Ok(Show::Verify { repository, like: like(c)?, tail: tail(c)? })
        }
        _ => Err(c.refuse_last(format!("SHOW {word} is not known"))),
    }
}

fn variables_or_status(c: &mut Cursor, scope: VariableScope) -> Result<Show> {
    if c.accept("VARIABLES") {
        return Ok(Show::Variables { scope, filter: filter(c)? });
    }
    if c.accept("STATUS") {
        return Ok(Show::Status { scope, filter: filter(c)? });
    }
    if c.accept("FUNCTIONS") {
        return functions(c);
    }
    Err(c.expected("VARIABLES or STATUS"))
}

/// `{FROM | IN} [catalog.]database` if it comes next.
fn from_catalog_database(c: &mut Cursor) -> Result<(Option<String>, Option<String>)> {
    if !c.accept_any(&["FROM", "IN"]) {
        return Ok((None, None));
    }
    let (catalog, database) = c.database_name()?;
    Ok((catalog, Some(database)))
}

/// `{FROM | IN} t [{FROM | IN} d]`
fn from_table(c: &mut Cursor) -> Result<TableName> {
    if !c.accept_any(&["FROM", "IN"]) {
        return Err(c.expected("FROM"));
    }
    let mut table = c.table_name()?;
    if let Some(database) = c.database_clause()? {
        table.database = Some(database);
    }
    Ok(table)
}

fn filter(c: &mut Cursor) -> Result<Option<ShowFilter>> {
    if let Some(pattern) = like(c)? {
        return Ok(Some(ShowFilter::Like(pattern)));
    }
    if c.accept("WHERE") {
        return c.expr().map(|condition| Some(ShowFilter::Where(condition)));
    }
    Ok(None)
}

fn like(c: &mut Cursor) -> Result<Option<String>> {
    if c.accept("LIKE") { c.string("a pattern").map(Some) } else { Ok(None) }
}

fn tail(c: &mut Cursor) -> Result<ShowTail> {
    let selection = if c.accept("WHERE") { Some(c.expr()?) } else { None };
    order_and_limit(c, selection)
}

/// `[ORDER BY …] [LIMIT …]`, after a `WHERE` that has been read.
pub(super) fn order_and_limit(c: &mut Cursor, selection: Option<Expr>) -> Result<ShowTail> {
    let order_by = if c.accept("ORDER BY") { c.list(Cursor::order_by_expr)? } else { Vec::new() };
    Ok(ShowTail { selection, order_by, limit: limit(c)? })
}

/// `LIMIT count [OFFSET offset]`, `LIMIT offset, count`
fn limit(c: &mut Cursor) -> Result<Option<ShowLimit>> {
    if !c.accept("LIMIT") {
        return Ok(None);
    }
    let first = c.number("how many rows")?;
    if c.accept_symbol(&Token::Comma) {
        return Ok(Some(ShowLimit { count: c.number("how many rows")?, offset: first }));
    }
    let offset = if c.accept("OFFSET") { c.number("how many rows to pass over")? } else { 0 };
    Ok(Some(ShowLimit { count: first, offset }))
}

fn functions(c: &mut Cursor) -> Result<Show> {
    c.accept("FUNCTIONS");
    Ok(Show::Functions { database: c.database_clause()?, filter: filter(c)? })
}

fn partitions(c: &mut Cursor, temporary: bool) -> Result<Show> {
    if !c.accept_any(&["FROM", "IN"]) {
        return Err(c.expected("FROM"));
    }
    Ok(Show::Partitions { temporary, table: c.table_name()?, tail: tail(c)? })
}

/// `id`, or `FROM t [PARTITION (…)] …`
fn tablets(c: &mut Cursor) -> Result<Show> {
    if !c.accept_any(&["FROM", "IN"]) {
        return c.number("FROM or a tablet's id").map(Show::Tablet);
    }
    Ok(Show::Tablets { table: c.table_name()?, partitions: c.partitions()?, tail: tail(c)? })
}

/// `COUNT(*) WARNINGS | ERRORS`
fn count(c: &mut Cursor) -> Result<Show> {
    for symbol in [Token::LParen, Token::Mul, Token::RParen] {
        c.need_symbol(&symbol)?;
    }
    if c.accept("WARNINGS") {
        return Ok(Show::CountWarnings);
    }
    c.need("ERRORS").map(|()| Show::CountErrors)
}

/// What comes after `SHOW ALTER`.
fn alter_jobs(c: &mut Cursor) -> Result<Show> {
    let kind = if c.accept("MATERIALIZED VIEW") || c.accept("TABLE ROLLUP") {
        AlterJobKind::Rollup
    } else if c.accept("TABLE COLUMN") {
        AlterJobKind::Column
    } else if c.accept("TABLE OPTIMIZE") {
        AlterJobKind::Optimize
    } else {
        return Err(c.expected("TABLE COLUMN, TABLE ROLLUP, TABLE OPTIMIZE or MATERIALIZED VIEW"));
    };
    Ok(Show::AlterJobs { kind, database: c.database_clause()?, tail: tail(c)? })
}

/// `GRANTS [FOR u | FOR ROLE r]`
fn grants(c: &mut Cursor) -> Result<Show> {
    if !c.accept("FOR") {
        return Ok(Show::Grants(None));
    }
    if c.accept("CURRENT_USER") {
        if c.accept_symbol(&Token::LParen) {
            c.need_symbol(&Token::RParen)?;
        }
        return Ok(Show::Grants(None));
    }
    account::grantee(c).map(|grantee| Show::Grants(Some(grantee)))
}

fn authentication(c: &mut Cursor, all: bool) -> Result<Show> {
    let user = if c.accept("FOR") { Some(account::user(c)?) } else { None };
    Ok(Show::Authentication { all, user })
}
