//! SET, transactions, locks, KILL, text prepared statements.

use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::{Token, Word};

use super::account;
use super::cursor::{Cursor, Result};
use crate::sql::ast::Statement;
use crate::sql::ast::session::{
    IsolationLevel, Kill, KillTarget, LockMode, LockTable, PrepareSource, Prepared, SetItem, SetValue, Transaction,
    TransactionMode, VariableScope,
};

/// `SET …` in all its forms; passwords and roles are read by the account family.
pub(super) fn set(c: &mut Cursor) -> Result<Statement> {
    c.need("SET")?;
    let next_is_name = |c: &Cursor, nth| matches!(c.peek(nth), Token::Word(_)) || c.is_string_at(nth);
    if c.is("PASSWORD") {
        account::set_password(c)
    } else if c.is("ROLE") && next_is_name(c, 1) {
        account::set_role(c)
    } else if c.is("DEFAULT ROLE") {
        account::set_default_role(c)
    } else if c.is("CATALOG") && next_is_name(c, 1) {
        c.skip(1);
        c.name_or_string("a catalog").map(Statement::SetCatalog)
    } else {
        c.list(set_item).map(Statement::Set)
    }
}

fn set_item(c: &mut Cursor) -> Result<SetItem> {
    if c.is("NAMES") && *c.peek(1) != Token::Eq {
        c.skip(1);
        let charset = charset(c)?;
        let collation = if c.accept("COLLATE") { Some(c.name_or_string("a collation")?) } else { None };
        return Ok(SetItem::Names { charset, collation });
    }
    if c.accept("CHARACTER SET") || (c.is("CHARSET") && *c.peek(1) != Token::Eq && c.accept("CHARSET")) {
        return charset(c).map(SetItem::CharacterSet);
    }
    let mut scope = VariableScope::Unspecified;
    if *c.peek(1) != Token::Eq && *c.peek(1) != Token::Assignment {
        scope = accept_scope(c);
    }
    if c.is("TRANSACTION") && c.is_name_at(1) {
        c.skip(1);
        return Ok(SetItem::Transaction { scope, modes: c.list(transaction_mode)? });
    }

    let name = variable(c)?;
    if !(c.accept_equals() || c.accept_symbol(&Token::Assignment)) {
        return Err(c.expected("'='"));
    }
    let Some(user_variable) = name.strip_prefix('@').filter(|rest| !rest.starts_with('@')) else {
        return system_variable(c, scope, &name);
    };
    Ok(SetItem::UserVariable { name: user_variable.to_owned(), value: c.expr()? })
}

/// `GLOBAL`, `SESSION`, … before a variable's name, if one comes next.
pub(super) fn accept_scope(c: &mut Cursor) -> VariableScope {
    if c.accept_any(&["SESSION", "LOCAL"]) {
        VariableScope::Session
    } else if c.accept_any(&["GLOBAL", "PERSIST", "VERBOSE"]) {
        VariableScope::Global
    } else {
        VariableScope::Unspecified
    }
}

/// `name`, `@name`, `` @`name` ``, `@@name`, `@@session.name`, in lower case.
fn variable(c: &mut Cursor) -> Result<String> {
    let mut name = match c.peek(0) {
        Token::Word(Word { value, .. }) => value.to_lowercase(),
        _ => return Err(c.expected("a variable")),
    };
    c.skip(1);
    if name == "@" && c.adjoins_previous() {
        match c.peek(0) {
            Token::Word(Word { value, .. }) | Token::SingleQuotedString(value) => name.push_str(&value.to_lowercase()),
            _ => return Err(c.expected("a variable")),
        }
        c.skip(1);
    }
    while c.accept_symbol(&Token::Period) {
        name.push('.');
        name.push_str(&c.any_word("a variable")?.to_lowercase());
    }
    if name.trim_start_matches('@').is_empty() { Err(c.expected("a variable")) } else { Ok(name) }
}

fn system_variable(c: &mut Cursor, mut scope: VariableScope, name: &str) -> Result<SetItem> {
    let mut name = name.trim_start_matches('@');
    for (prefix, meant) in [
        ("session.", VariableScope::Session),
        ("local.", VariableScope::Session),
        ("global.", VariableScope::Global),
        ("persist.", VariableScope::Global),
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            (name, scope) = (rest, meant);
        }
    }
    Ok(SetItem::Variable { scope, name: name.to_owned(), value: set_value(c)? })
}

/// DEFAULT, a word alone such as ON, or an expression.
fn set_value(c: &mut Cursor) -> Result<SetValue> {
    if matches!(c.peek(1), Token::Comma | Token::EOF) {
        if c.accept("DEFAULT") {
            return Ok(SetValue::Default);
        }
        if let Some(word) = c.word(0).filter(|word| !matches!(word.as_str(), "NULL" | "TRUE" | "FALSE"))
            && !word.starts_with('@')
        {
            let word = c.any_word("a value")?;
            return Ok(SetValue::Expr(Expr::Identifier(Ident::new(word))));
        }
    }
    c.expr().map(SetValue::Expr)
}

/// A character set, or none for DEFAULT.
fn charset(c: &mut Cursor) -> Result<Option<String>> {
    if c.accept("DEFAULT") {
        return Ok(None);
    }
    c.name_or_string("a character set").map(Some)
}

/// `BEGIN`, `START TRANSACTION`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `RELEASE SAVEPOINT`
pub(super) fn transaction(c: &mut Cursor) -> Result<Statement> {
    let transaction = if c.accept("BEGIN") {
        c.accept("WORK");
        Transaction::Begin(Vec::new())
    } else if c.accept("START") {
        c.need("TRANSACTION")?;
        let modes = if c.at_end() { Vec::new() } else { c.list(transaction_mode)? };
        Transaction::Begin(modes)
    } else if c.accept("COMMIT") {
        end_of_transaction(c)?;
        Transaction::Commit
    } else if c.accept("ROLLBACK") {
        c.accept("WORK");
        if c.accept("TO") {
            c.accept("SAVEPOINT");
            Transaction::RollbackTo(c.name("a savepoint")?)
        } else {
            end_of_transaction(c)?;
            Transaction::Rollback
        }
    } else if c.accept("SAVEPOINT") {
        Transaction::Savepoint(c.name("a savepoint")?)
    } else {
        c.need("RELEASE SAVEPOINT")?;
        Transaction::Release(c.name("a savepoint")?)
    };
    Ok(Statement::Transaction(transaction))
}

/// `[WORK] [AND NO CHAIN] [NO RELEASE]`: MySQL's words for what happens anyway.
fn end_of_transaction(c: &mut Cursor) -> Result<()> {
    c.accept("WORK");
    c.accept("AND NO CHAIN");
    c.accept("NO RELEASE");
    if c.is("AND CHAIN") || c.is("RELEASE") {
        return Err(c.refuse("AND CHAIN and RELEASE are not of this dialect"));
    }
    Ok(())
}

fn transaction_mode(c: &mut Cursor) -> Result<TransactionMode> {
    for (words, mode) in [
        ("READ ONLY", TransactionMode::ReadOnly),
        ("READ WRITE", TransactionMode::ReadWrite),
        ("WITH CONSISTENT SNAPSHOT", TransactionMode::ConsistentSnapshot),
        ("ISOLATION LEVEL READ UNCOMMITTED", TransactionMode::Isolation(IsolationLevel::ReadUncommitted)),
        ("ISOLATION LEVEL READ COMMITTED", TransactionMode::Isolation(IsolationLevel::ReadCommitted)),
        ("ISOLATION LEVEL REPEATABLE READ", TransactionMode::Isolation(IsolationLevel::RepeatableRead)),
        ("ISOLATION LEVEL SERIALIZABLE", TransactionMode::Isolation(IsolationLevel::Serializable)),
    ] {
        if c.accept(words) {
            return Ok(mode);
        }
    }
    Err(c.expected("READ ONLY, READ WRITE, WITH CONSISTENT SNAPSHOT or ISOLATION LEVEL …"))
}

/// `LOCK TABLES t [AS a] READ | WRITE, …`
pub(super) fn lock_tables(c: &mut Cursor) -> Result<Statement> {
    c.need("LOCK")?;
    if !c.accept_any(&["TABLES", "TABLE"]) {
        return Err(c.expected("TABLES"));
    }
    c.list(|c| {
        let table = c.table_name()?;
        let explicit = c.accept("AS");
        let has_alias = explicit || (c.is_name_at(0) && !c.is_any(&["READ", "WRITE", "LOW_PRIORITY"]));
        let alias = if has_alias { Some(c.name("an alias")?) } else { None };
        let mode = if c.accept("READ") {
            c.accept("LOCAL");
            LockMode::Read
        } else {
            c.accept("LOW_PRIORITY");
            c.need("WRITE")?;
            LockMode::Write
        };
        Ok(LockTable { table, alias, mode })
    })
    .map(Statement::LockTables)
}

/// `UNLOCK TABLES`
pub(super) fn unlock_tables(c: &mut Cursor) -> Result<Statement> {
    c.need("UNLOCK")?;
    if !c.accept_any(&["TABLES", "TABLE"]) {
        return Err(c.expected("TABLES"));
    }
    Ok(Statement::UnlockTables)
}

/// `FLUSH [LOCAL | NO_WRITE_TO_BINLOG] what[, …]`
pub(super) fn flush(c: &mut Cursor) -> Result<Statement> {
    c.need("FLUSH")?;
    while c.word(1).is_some() && c.accept_any(&["LOCAL", "NO_WRITE_TO_BINLOG"]) {}
    let mut what = String::new();
    while let Some(word) = c.word(0) {
        if !what.is_empty() && !what.ends_with(", ") {
            what.push(' ');
        }
        what.push_str(&word);
        c.skip(1);
        if c.accept_symbol(&Token::Comma) {
            what.push_str(", ");
        }
    }
    if what.is_empty() || what.ends_with(", ") {
        return Err(c.expected("what to flush"));
    }
    Ok(Statement::Flush(what))
}

/// `KILL [CONNECTION | QUERY] {id | CONNECTION_ID()}`
pub(super) fn kill(c: &mut Cursor) -> Result<Statement> {
    c.need("KILL")?;
    let target = if c.accept("QUERY") {
        KillTarget::Query
    } else {
        c.accept("CONNECTION");
        KillTarget::Connection
    };
    let id = if c.accept("CONNECTION_ID") {
        c.need_symbol(&Token::LParen)?;
        c.need_symbol(&Token::RParen)?;
        None
    } else {
        Some(c.number("a connection's id")?)
    };
    Ok(Statement::Kill(Kill { target, id }))
}

/// `PREPARE`, `EXECUTE`, `DEALLOCATE PREPARE`, `DROP PREPARE`
pub(super) fn prepared(c: &mut Cursor) -> Result<Statement> {
    let prepared = if c.accept("PREPARE") {
        let name = c.name("a prepared statement")?;
        c.need("FROM")?;
        let source = match c.accept_string() {
            Some(text) => PrepareSource::Text(text),
            None => PrepareSource::Variable(user_variable(c)?),
        };
        Prepared::Prepare { name, source }
    } else if c.accept("EXECUTE") {
        let name = c.name("a prepared statement")?;
        let using = if c.accept("USING") { c.list(user_variable)? } else { Vec::new() };
        Prepared::Execute { name, using }
    } else {
        c.skip(1);
        c.accept("PREPARE");
        Prepared::Deallocate { name: c.name("a prepared statement")? }
    };
    Ok(Statement::Prepared(prepared))
}

/// `@name`, without the `@`
fn user_variable(c: &mut Cursor) -> Result<String> {
    let starts = matches!(c.peek(0), Token::Word(Word { value, quote_style: None, .. }) if value.starts_with('@') && !value.starts_with("@@"));
    if !starts {
        return Err(c.expected("a user variable"));
    }
    Ok(variable(c)?.trim_start_matches('@').to_owned())
}
