//! INSERT, DELETE, UPDATE.

use sqlparser::ast::{Expr, Value};
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use super::query;
use crate::sql::ast::Statement;
use crate::sql::ast::dml::{Delete, Insert, InsertMode, InsertSource, InsertValue, Update};
use crate::sql::ast::name::Properties;

/// `INSERT {INTO | OVERWRITE} …`, `REPLACE INTO …`
pub(super) fn insert(c: &mut Cursor) -> Result<Statement> {
    let mode = if c.accept("REPLACE") {
        c.accept("INTO");
        InsertMode::Replace
    } else {
        c.need("INSERT")?;
        if c.accept("OVERWRITE") {
            InsertMode::Overwrite
        } else {
            c.need("INTO")?;
            InsertMode::Into
        }
    };
    c.accept("TABLE");
    let table = c.table_name()?;
    let temporary_partitions = c.is("TEMPORARY PARTITION") || c.is("TEMPORARY PARTITIONS");
    if temporary_partitions {
        c.skip(1);
    }
    let partitions = c.partitions()?;

    let mut label = None;
    let mut properties = Properties::default();
    let mut columns = Vec::new();
    // The label stands before the columns in StarRocks's grammar and after them in people's habit.
    loop {
        if label.is_none() && c.accept("WITH LABEL") {
            label = Some(c.name_or_string("a label")?);
        } else if properties.is_empty() && c.is("PROPERTIES") {
            properties = c.properties()?;
        } else if columns.is_empty() && c.is_symbol(&Token::LParen) && !query::is_next(c) {
            columns = c.names("a column")?;
        } else {
            break;
        }
    }
    let source = if c.is_any(&["VALUES", "VALUE"]) && *c.peek(1) == Token::LParen {
        c.skip(1);
        let rows = c.list(row)?;
        if c.is("ON DUPLICATE") {
            return Err(
                c.refuse("ON DUPLICATE KEY UPDATE is not of this dialect; a PRIMARY KEY table updates by INSERT")
            );
        }
        InsertSource::Values(rows)
    } else {
        InsertSource::Query(query::query(c)?)
    };
    let insert = Insert { mode, table, partitions, temporary_partitions, label, properties, columns, source };
    Ok(Statement::Insert(Box::new(insert)))
}

/// `(value, …)`; empty for `()`, which means a row of defaults.
fn row(c: &mut Cursor) -> Result<Vec<InsertValue>> {
    if *c.peek(0) == Token::LParen && *c.peek(1) == Token::RParen {
        c.skip(2);
        return Ok(Vec::new());
    }
    c.parenthesised(value)
}

/// An expression or DEFAULT. A literal alone, which nearly all of them are, is taken without asking the parser.
fn value(c: &mut Cursor) -> Result<InsertValue> {
    // DEFAULT(column) is a function of MySQL; DEFAULT alone is the column's own.
    if c.is("DEFAULT") && *c.peek(1) != Token::LParen {
        c.skip(1);
        return Ok(InsertValue::Default);
    }
    if matches!(c.peek(1), Token::Comma | Token::RParen | Token::EOF) {
        let literal = match c.peek(0) {
            Token::SingleQuotedString(text) => Some(Value::SingleQuotedString(text.clone())),
            Token::Number(digits, long) => Some(Value::Number(digits.clone(), *long)),
            _ => None,
        };
        if let Some(literal) = literal {
            c.skip(1);
            return Ok(InsertValue::Expr(Expr::value(literal)));
        }
    }
    c.expr().map(InsertValue::Expr)
}

/// `DELETE FROM t [PARTITION …] WHERE …`
pub(super) fn delete(c: &mut Cursor) -> Result<Statement> {
    c.need("DELETE FROM")?;
    let table = c.table_name()?;
    let partitions = c.partitions()?;
    if c.at_end() {
        return Err(c.analysis("Where clause is not set; DELETE needs one, TRUNCATE TABLE empties a table"));
    }
    c.need("WHERE")?;
    Ok(Statement::Delete(Box::new(Delete { table, partitions, selection: c.expr()? })))
}

/// `UPDATE t SET c = v[, …] [WHERE …]`
pub(super) fn update(c: &mut Cursor) -> Result<Statement> {
    c.need("UPDATE")?;
    let table = c.table_name()?;
    c.need("SET")?;
    let assignments = c.list(|c| {
        let column = c.name("a column")?;
        c.need_symbol(&Token::Eq)?;
        Ok((column, value(c)?))
    })?;
    let selection = if c.accept("WHERE") { Some(c.expr()?) } else { None };
    Ok(Statement::Update(Box::new(Update { table, assignments, selection })))
}
