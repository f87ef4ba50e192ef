//! Text → statements.
//!
//! [`parse`] cuts the text into token lists (`sql::lex`), and each list is read by the function of its first words, one
//! file a family. Queries and expressions go to sqlparser; everything around them is read by a [`Cursor`] over the same
//! parser's tokens. Nothing here panics, whatever the text: depth is bounded by `sql::limits` and by the parser.

mod account;
mod admin;
mod alter;
mod backup;
mod cursor;
mod database;
mod dml;
mod partition;
mod query;
mod repository;
mod session;
mod show;
mod table;
mod types;

use super::ast::Statement;
use super::ast::database::{Recover, Use};
use super::dialect::{STARROCKS, STARROCKS_PIPES_AS_CONCAT, StarRocks};
use super::error::SyntaxError;
use super::lex::{self, StatementTokens};

use cursor::{Cursor, Result};

/// What of the session changes how a text reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// `PIPES_AS_CONCAT` is in `sql_mode`: `a || b` joins strings. Otherwise it means OR.
    pub pipes_as_concat: bool,
}

impl ParseOptions {
    /// The dialect that reads so.
    pub(super) fn dialect(self) -> &'static StarRocks {
        if self.pipes_as_concat { &STARROCKS_PIPES_AS_CONCAT } else { &STARROCKS }
    }
}

/// Reads a text of any number of statements separated by `;`. Empty ones vanish, so the answer may be empty.
///
/// The text's size is the caller's to bound. All or nothing: one bad statement makes the whole text bad.
pub fn parse(text: &str) -> std::result::Result<Vec<Statement>, SyntaxError> {
    parse_with(text, ParseOptions::default())
}

/// [`parse`], for a session whose settings are not the default.
pub fn parse_with(text: &str, options: ParseOptions) -> std::result::Result<Vec<Statement>, SyntaxError> {
    lex::split(options.dialect(), text)?.into_iter().map(|statement| tokens(statement, options)).collect()
}

/// One statement that may have `?` wherever a literal may stand; what they stand for is not known yet.
pub(super) fn template(tokens: StatementTokens, options: ParseOptions) -> std::result::Result<Statement, SyntaxError> {
    whole(Cursor::over_template(options.dialect(), tokens))
}

/// One statement from its tokens.
pub(super) fn tokens(tokens: StatementTokens, options: ParseOptions) -> std::result::Result<Statement, SyntaxError> {
    whole(Cursor::new(options.dialect(), tokens))
}

fn whole(mut cursor: Cursor) -> std::result::Result<Statement, SyntaxError> {
    let parsed = statement(&mut cursor)?;
    cursor.need_end()?;
    Ok(parsed)
}

/// One statement, by its first words.
fn statement(c: &mut Cursor) -> Result<Statement> {
    if query::is_next(c) {
        return query::statement(c);
    }
    if let Some(not_yet) = admin::not_yet(c) {
        return Ok(not_yet);
    }
    let Some(word) = c.word(0) else { return Err(c.expected("a statement")) };
    match word.as_str() {
        "EXPLAIN" | "DESC" | "DESCRIBE" => query::explain_or_describe(c),
        "CREATE" => create(c),
        "DROP" => drop_statement(c),
        "ALTER" => alter_statement(c),
        "TRUNCATE" => table::truncate(c),
        "INSERT" | "REPLACE" => dml::insert(c),
        "DELETE" => dml::delete(c),
        "UPDATE" => dml::update(c),
        "SHOW" => show::show(c),
        "USE" => use_database(c),
        "RECOVER" => recover(c),
        "SET" => session::set(c),
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => session::transaction(c),
        "LOCK" => session::lock_tables(c),
        "UNLOCK" => session::unlock_tables(c),
        "FLUSH" => session::flush(c),
        "KILL" => session::kill(c),
        "PREPARE" | "DEALLOCATE" => session::prepared(c),
        "EXECUTE" if c.is("EXECUTE AS") => account::execute_as(c),
        "EXECUTE" => session::prepared(c),
        "GRANT" => account::grant(c),
        "REVOKE" => account::revoke(c),
        "BACKUP" => backup::backup(c),
        "RESTORE" => backup::restore(c),
        "CANCEL" => backup::cancel(c),
        "VERIFY" => backup::verify(c),
        "ADMIN" => admin::admin(c),
        _ => Err(c.expected("a statement")),
    }
}

fn create(c: &mut Cursor) -> Result<Statement> {
    if c.is("CREATE DATABASE") || c.is("CREATE SCHEMA") {
        database::create(c)
    } else if c.is("CREATE REPOSITORY") || c.is("CREATE READ ONLY REPOSITORY") {
        repository::create(c)
    } else if c.is("CREATE USER") {
        account::create_user(c)
    } else if c.is("CREATE ROLE") {
        account::create_role(c)
    } else if c.is("CREATE VIEW") || c.is("CREATE OR REPLACE VIEW") {
        table::create_view(c)
    } else if c.is("CREATE TABLE") || c.is("CREATE TEMPORARY TABLE") || c.is("CREATE EXTERNAL TABLE") {
        table::create(c)
    } else {
        c.skip(1);
        Err(c.expected("TABLE, DATABASE, VIEW, USER, ROLE or [READ ONLY] REPOSITORY"))
    }
}

fn drop_statement(c: &mut Cursor) -> Result<Statement> {
    if c.is("DROP DATABASE") || c.is("DROP SCHEMA") {
        database::drop_database(c)
    } else if c.is("DROP TABLE") || c.is("DROP TEMPORARY TABLE") {
        table::drop_table(c)
    } else if c.is("DROP VIEW") {
        table::drop_view(c)
    } else if c.is("DROP USER") {
        account::drop_user(c)
    } else if c.is("DROP ROLE") {
        account::drop_role(c)
    } else if c.is("DROP REPOSITORY") {
        repository::drop_repository(c)
    } else if c.is("DROP SNAPSHOT") {
        backup::drop_snapshot(c)
    } else if c.is("DROP PREPARE") {
        session::prepared(c)
    } else {
        c.skip(1);
        Err(c.expected("TABLE, DATABASE, VIEW, USER, ROLE, REPOSITORY or SNAPSHOT"))
    }
}

fn alter_statement(c: &mut Cursor) -> Result<Statement> {
    if c.is("ALTER DATABASE") || c.is("ALTER SCHEMA") {
        database::alter(c)
    } else if c.is("ALTER TABLE") {
        alter::alter_table(c)
    } else if c.is("ALTER USER") {
        account::alter_user(c)
    } else if c.is("ALTER REPOSITORY") {
        repository::alter(c)
    } else {
        c.skip(1);
        Err(c.expected("TABLE, DATABASE, USER or REPOSITORY"))
    }
}

/// `USE [catalog.]database`, also in quotes as StarRocks's clients send it: `USE 'catalog database'`.
fn use_database(c: &mut Cursor) -> Result<Statement> {
    c.need("USE")?;
    let (catalog, database) = c.database_name()?;
    Ok(Statement::Use(Use { catalog, database }))
}

fn recover(c: &mut Cursor) -> Result<Statement> {
    c.need("RECOVER")?;
    Ok(Statement::Recover(if c.accept("DATABASE") || c.accept("SCHEMA") {
        Recover::Database(c.name("a database")?)
    } else if c.accept("TABLE") {
        Recover::Table(c.table_name()?)
    } else if c.accept("PARTITION") {
        let partition = c.name("a partition")?;
        c.need("FROM")?;
        Recover::Partition { partition, table: c.table_name()? }
    } else {
        return Err(c.expected("DATABASE, TABLE or PARTITION"));
    }))
}
