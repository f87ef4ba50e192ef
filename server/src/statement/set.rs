//! SET of variables, and PREPARE, EXECUTE, DEALLOCATE as statements.

use ebla_protocol::sql;
use ebla_protocol::sql::ast::Statement;
use ebla_protocol::sql::ast::session::{
    IsolationLevel, PrepareSource, Prepared, SetItem, SetValue, TransactionMode, VariableScope,
};
use ebla_protocol::wire::Outcome;

use super::{done, query};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::query::Value;
use crate::session::Session;

/// Statements a session may hold by name.
const NAMED_STATEMENTS_MAX: usize = 1024;

/// User variables a session may hold.
const USER_VARIABLES_MAX: usize = 4096;

/// SET.
pub async fn execute(session: &mut Session, items: Vec<SetItem>) -> Result<Outcome> {
    for item in items {
        match item {
            SetItem::Variable { scope, name, value } => {
                let value = match &value {
                    SetValue::Default => None,
                    SetValue::Expr(expr) => Some(match value.as_text() {
                        Some(text) => text,
                        None => match query::scalar(session, expr).await? {
                            // `SET character_set_results = NULL` asks for no conversion, which is what happens.
                            Value::Null => "utf8mb4".to_owned(),
                            value => value.to_string(),
                        },
                    }),
                };
                set_variable(session, scope, &name, value.as_deref())?;
            }
            SetItem::UserVariable { name, value } => {
                let value = query::scalar(session, &value).await?;
                if session.user_variables.len() >= USER_VARIABLES_MAX && !session.user_variables.contains_key(&name) {
                    return Err(Error::refused(format!("A session may hold at most {USER_VARIABLES_MAX} variables")));
                }
                session.user_variables.insert(name, value);
            }
            SetItem::Names { charset, collation } => {
                check_charset(charset.as_deref())?;
                if let Some(collation) = &collation {
                    set_variable(session, VariableScope::Session, "collation_connection", Some(collation))?;
                }
                set_charset(session, charset.as_deref())?;
            }
            SetItem::CharacterSet(charset) => {
                check_charset(charset.as_deref())?;
                set_charset(session, charset.as_deref())?;
            }
            SetItem::Transaction { scope, modes } => {
                for mode in modes {
                    let (name, value) = match mode {
                        TransactionMode::Isolation(level) => ("transaction_isolation", isolation_name(level)),
                        TransactionMode::ReadOnly => ("transaction_read_only", "1"),
                        TransactionMode::ReadWrite => ("transaction_read_only", "0"),
                        TransactionMode::ConsistentSnapshot => continue,
                    };
                    // "The next transaction only" has nothing to end it here, so it is left out.
                    if scope != VariableScope::Unspecified {
                        set_variable(session, scope, name, Some(value))?;
                    }
                }
            }
        }
    }
    done()
}

fn set_variable(session: &mut Session, scope: VariableScope, name: &str, value: Option<&str>) -> Result<()> {
    let name = name.to_ascii_lowercase();
    if scope != VariableScope::Global {
        let globals = session.server.globals.read().clone();
        session.variables.set(&name, value, &globals)?;
        return Ok(());
    }
    session.access()?.require("OPERATE", Object::System)?;
    let mut globals = session.server.globals.write();
    let defaults = session.server.default_variables();
    let mut changed = globals.clone();
    let kept = changed.set(&name, value, &defaults)?;
    session.server.storage.catalog().write(|write| write.set_variable(&name, &kept))?;
    *globals = changed;
    Ok(())
}

fn check_charset(charset: Option<&str>) -> Result<()> {
    const TAKEN: [&str; 6] = ["utf8", "utf8mb3", "utf8mb4", "binary", "ascii", "latin1"];
    match charset {
        Some(name) if !TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) => {
            Err(Error::refused(format!("Unknown character set: '{name}': this server speaks utf8mb4")))
        }
        _ => Ok(()),
    }
}

fn set_charset(session: &mut Session, charset: Option<&str>) -> Result<()> {
    for name in ["character_set_client", "character_set_connection", "character_set_results"] {
        set_variable(session, VariableScope::Session, name, charset)?;
    }
    Ok(())
}

fn isolation_name(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::ReadUncommitted => "READ-UNCOMMITTED",
        IsolationLevel::ReadCommitted => "READ-COMMITTED",
        IsolationLevel::RepeatableRead => "REPEATABLE-READ",
        IsolationLevel::Serializable => "SERIALIZABLE",
    }
}

/// PREPARE, EXECUTE, DEALLOCATE.
pub async fn prepared(session: &mut Session, statement: Prepared) -> Result<Outcome> {
    match statement {
        Prepared::Prepare { name, source } => {
            let text = match source {
                PrepareSource::Text(text) => text,
                PrepareSource::Variable(variable) => {
                    session.user_variables.get(&variable).unwrap_or(&Value::Null).to_string()
                }
            };
            let mut statements = sql::prepare(&text, session.parse_options())?;
            let (Some(template), true) = (statements.pop(), statements.is_empty()) else {
                return Err(Error::refused("PREPARE takes exactly one statement"));
            };
            if matches!(template.statement(), Statement::Prepared(_)) {
                return Err(Error::refused("This command is not supported in the prepared statement protocol yet"));
            }
            if session.named_statements.len() >= NAMED_STATEMENTS_MAX && !session.named_statements.contains_key(&name) {
                return Err(Error::refused(format!("A session may hold at most {NAMED_STATEMENTS_MAX} statements")));
            }
            session.named_statements.insert(name, template);
            done()
        }
        Prepared::Execute { name, using } => {
            let template = session.named_statements.get(&name).ok_or_else(|| {
                Error::refused(format!("Unknown prepared statement handler ({name}) given to EXECUTE"))
            })?;
            let values: Vec<_> = using
                .iter()
                .map(|variable| query::literal(session.user_variables.get(variable).unwrap_or(&Value::Null)))
                .collect();
            let bound = template.bind(&values)?;
            Box::pin(super::execute(session, bound)).await
        }
        Prepared::Deallocate { name } => match session.named_statements.remove(&name) {
            Some(_) => done(),
            None => Err(Error::refused(format!("Unknown prepared statement handler ({name}) given to DEALLOCATE"))),
        },
    }
}
