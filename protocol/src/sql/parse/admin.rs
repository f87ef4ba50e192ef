//! ADMIN, and the statements of StarRocks that Ebla knows by name only.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use crate::sql::ast::Statement;
use crate::sql::ast::admin::{Admin, NotYet};
use crate::sql::dialect::STARROCKS;
use crate::sql::{lex, print};

/// What is recognised and answered with "not yet". A longer one stands before its own beginning.
const NOT_YET: &[&str] = &[
    "CREATE MATERIALIZED VIEW",
    "ALTER MATERIALIZED VIEW",
    "DROP MATERIALIZED VIEW",
    "REFRESH MATERIALIZED VIEW",
    "CANCEL REFRESH MATERIALIZED VIEW",
    "ALTER VIEW",
    "CREATE EXTERNAL CATALOG",
    "CREATE CATALOG",
    "ALTER CATALOG",
    "DROP CATALOG",
    "CREATE GLOBAL FUNCTION",
    "CREATE FUNCTION",
    "DROP GLOBAL FUNCTION",
    "DROP FUNCTION",
    "CREATE RESOURCE GROUP",
    "ALTER RESOURCE GROUP",
    "DROP RESOURCE GROUP",
    "CREATE EXTERNAL RESOURCE",
    "CREATE RESOURCE",
    "ALTER RESOURCE",
    "DROP RESOURCE",
    "CREATE STORAGE VOLUME",
    "ALTER STORAGE VOLUME",
    "DROP STORAGE VOLUME",
    "CREATE INDEX",
    "DROP INDEX",
    "CREATE FILE",
    "DROP FILE",
    "CREATE DICTIONARY",
    "DROP DICTIONARY",
    "CREATE PIPE",
    "ALTER PIPE",
    "DROP PIPE",
    "CREATE ROUTINE LOAD",
    "ALTER ROUTINE LOAD",
    "PAUSE ROUTINE LOAD",
    "RESUME ROUTINE LOAD",
    "STOP ROUTINE LOAD",
    "LOAD LABEL",
    "ALTER LOAD",
    "CANCEL LOAD",
    "EXPORT TABLE",
    "CANCEL EXPORT",
    "CANCEL ALTER TABLE",
    "CANCEL ALTER MATERIALIZED VIEW",
    "SUBMIT TASK",
    "DROP TASK",
    "ANALYZE",
    "CREATE ANALYZE",
    "DROP ANALYZE",
    "KILL ANALYZE",
    "DROP STATS",
    "DROP MULTIPLE COLUMNS STATS",
    "ALTER SYSTEM",
    "CANCEL DECOMMISSION",
    "INSTALL PLUGIN",
    "UNINSTALL PLUGIN",
    "SET PROPERTY",
    "SET DEFAULT STORAGE VOLUME",
    "ADMIN CHECK TABLET",
    "ADMIN REPAIR",
    "ADMIN CANCEL REPAIR",
    "ADMIN SET REPLICA STATUS",
    "ADMIN SHOW REPLICA",
    "ADMIN SET AUTOMATED CLUSTER SNAPSHOT",
    "TRACE",
    "SYNC",
];

/// One of the statements above, if it comes next; its tokens are taken.
pub(super) fn not_yet(c: &mut Cursor) -> Option<Statement> {
    let name = *NOT_YET.iter().find(|name| c.is(name))?;
    let mut text = String::new();
    let mut tokens = Vec::new();
    while !c.at_end() {
        let token = c.take().token;
        let previous = tokens.last().unwrap_or(&Token::EOF);
        let number = matches!(previous, Token::Number(..)) || matches!(token, Token::Number(..));
        let glued = matches!(previous, Token::EOF | Token::LParen)
            || matches!(token, Token::Comma | Token::RParen)
            || (!number && (*previous == Token::Period || token == Token::Period));
        if !glued {
            text.push(' ');
        }
        text.push_str(&print::token(&token));
        tokens.push(token);
    }
    // The grammar of these is not known, so any soup of words comes here, also one that reads as another when it is printed.
    if !reads_as(&text, &tokens) {
        text = name.to_owned();
    }
    Some(Statement::NotYet(NotYet { name, text }))
}

fn reads_as(text: &str, tokens: &[Token]) -> bool {
    let Ok(statements) = lex::split(&STARROCKS, text) else { return false };
    matches!(statements.as_slice(), [one] if one.tokens.iter().map(|again| &again.token).eq(tokens))
}

/// `ADMIN SHOW FRONTEND CONFIG [LIKE 'p']`, `ADMIN SET FRONTEND CONFIG (…)`, `ADMIN CLEAN REPOSITORY r`
pub(super) fn admin(c: &mut Cursor) -> Result<Statement> {
    c.need("ADMIN")?;
    if c.accept("SHOW") {
        c.need("FRONTEND CONFIG")?;
        let like = if c.accept("LIKE") { Some(c.string("a pattern")?) } else { None };
        return Ok(Statement::Admin(Admin::ShowConfig { like }));
    }
    if c.accept("SET") {
        c.need("FRONTEND CONFIG")?;
        let properties = c.property_list()?;
        return Ok(Statement::Admin(Admin::SetConfig { properties, persistent: c.accept("WITH PERSISTENT") }));
    }
    if c.accept("CLEAN") {
        c.need("REPOSITORY")?;
        return Ok(Statement::Admin(Admin::CleanRepository { name: c.name_or_string("a repository")? }));
    }
    Err(c.expected("SHOW FRONTEND CONFIG, SET FRONTEND CONFIG or CLEAN REPOSITORY"))
}
