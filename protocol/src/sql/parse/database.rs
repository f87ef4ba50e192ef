//! CREATE, DROP and ALTER DATABASE.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use crate::sql::ast::Statement;
use crate::sql::ast::database::{AlterDatabase, AlterDatabaseAction, CreateDatabase, DropDatabase};

/// `CREATE DATABASE | SCHEMA [IF NOT EXISTS] d [PROPERTIES (…)]`
pub(super) fn create(c: &mut Cursor) -> Result<Statement> {
    c.skip(2);
    let if_not_exists = c.accept("IF NOT EXISTS");
    let (catalog, database) = c.database_name()?;
    // MySQL's options, which change nothing here.
    loop {
        let default = c.accept("DEFAULT");
        if !(c.accept("CHARACTER SET") || c.accept_any(&["CHARSET", "COLLATE", "ENCRYPTION"])) {
            if default {
                return Err(c.expected("CHARACTER SET or COLLATE"));
            }
            break;
        }
        c.accept_equals();
        c.name_or_string("a character set or collation")?;
    }
    Ok(Statement::CreateDatabase(CreateDatabase { if_not_exists, catalog, database, properties: c.properties()? }))
}

/// `DROP DATABASE | SCHEMA [IF EXISTS] d [FORCE]`
pub(super) fn drop_database(c: &mut Cursor) -> Result<Statement> {
    c.skip(2);
    let if_exists = c.accept("IF EXISTS");
    let (catalog, database) = c.database_name()?;
    Ok(Statement::DropDatabase(DropDatabase { if_exists, catalog, database, force: c.accept("FORCE") }))
}

/// `ALTER DATABASE d …`
pub(super) fn alter(c: &mut Cursor) -> Result<Statement> {
    c.skip(2);
    let database = c.name("a database")?;
    let action = if c.accept("RENAME") {
        AlterDatabaseAction::Rename(c.name("a database")?)
    } else if c.accept("SET DATA QUOTA") {
        AlterDatabaseAction::SetDataQuota(quota(c)?)
    } else if c.accept("SET REPLICA QUOTA") {
        AlterDatabaseAction::SetReplicaQuota(c.number("a quota")?)
    } else if c.is("SET") && *c.peek(1) == Token::LParen {
        c.skip(1);
        AlterDatabaseAction::SetProperties(c.property_list()?)
    } else {
        return Err(c.expected("RENAME, SET DATA QUOTA, SET REPLICA QUOTA or SET (…)"));
    };
    Ok(Statement::AlterDatabase(AlterDatabase { database, action }))
}

/// `10T`, `10995116277760`: the tokenizer takes the first for a word.
fn quota(c: &mut Cursor) -> Result<String> {
    match c.peek(0) {
        Token::Word(word) if word.value.starts_with(|first: char| first.is_ascii_digit()) => {
            let size = word.value.to_ascii_uppercase();
            c.skip(1);
            Ok(size)
        }
        Token::Number(digits, _) => {
            let mut size = digits.clone();
            c.skip(1);
            // `10 T` and `1.5T`, whose unit is a token of its own.
            if let Some(unit) = c.word(0) {
                size.push_str(&unit);
                c.skip(1);
            }
            Ok(size)
        }
        _ => Err(c.expected("a size such as 10T")),
    }
}
