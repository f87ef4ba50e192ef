//! SET, transactions, locks, KILL, text prepared statements.

use std::fmt::{self, Display, Formatter};

use super::{ident, list, string, tree, when};
use crate::sql::ast::session::{
    IsolationLevel, Kill, KillTarget, LockMode, LockTable, PrepareSource, Prepared, SetItem, SetValue, Transaction,
    TransactionMode, VariableScope,
};

impl Display for SetItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { scope, name, value } => {
                let scope = scope_word(*scope);
                // A name may be dotted, and each part may need quotes.
                write!(f, "{scope}")?;
                for (nth, part) in name.split('.').enumerate() {
                    write!(f, "{}{}", when(nth > 0, "."), ident(part))?;
                }
                write!(f, " = {value}")
            }
            Self::UserVariable { name, value } => write!(f, "{} = {}", user_variable(name), tree(value)),
            Self::Names { charset, collation } => {
                f.write_str("NAMES ")?;
                write_charset(f, charset.as_ref())?;
                match collation {
                    Some(collation) => write!(f, " COLLATE {}", string(collation)),
                    None => Ok(()),
                }
            }
            Self::CharacterSet(charset) => {
                f.write_str("CHARACTER SET ")?;
                write_charset(f, charset.as_ref())
            }
            Self::Transaction { scope, modes } => write!(f, "{}TRANSACTION {}", scope_word(*scope), list(modes)),
        }
    }
}

/// `SESSION `, `GLOBAL ` or nothing.
pub(super) fn scope_word(scope: VariableScope) -> &'static str {
    match scope {
        VariableScope::Unspecified => "",
        VariableScope::Session => "SESSION ",
        VariableScope::Global => "GLOBAL ",
    }
}

fn user_variable(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!("@{name}") } else { format!("@`{}`", name.replace('`', "``")) }
}

fn write_charset(f: &mut Formatter<'_>, charset: Option<&String>) -> fmt::Result {
    match charset {
        Some(charset) => write!(f, "{}", string(charset)),
        None => f.write_str("DEFAULT"),
    }
}

impl Display for SetValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("DEFAULT"),
            Self::Expr(expr) => write!(f, "{}", tree(expr)),
        }
    }
}

impl Display for TransactionMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Isolation(IsolationLevel::ReadUncommitted) => "ISOLATION LEVEL READ UNCOMMITTED",
            Self::Isolation(IsolationLevel::ReadCommitted) => "ISOLATION LEVEL READ COMMITTED",
            Self::Isolation(IsolationLevel::RepeatableRead) => "ISOLATION LEVEL REPEATABLE READ",
            Self::Isolation(IsolationLevel::Serializable) => "ISOLATION LEVEL SERIALIZABLE",
            Self::ReadOnly => "READ ONLY",
            Self::ReadWrite => "READ WRITE",
            Self::ConsistentSnapshot => "WITH CONSISTENT SNAPSHOT",
        })
    }
}

impl Display for Transaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(modes) if modes.is_empty() => f.write_str("BEGIN"),
            Self::Begin(modes) => write!(f, "START TRANSACTION {}", list(modes)),
            Self::Commit => f.write_str("COMMIT"),
            Self::Rollback => f.write_str("ROLLBACK"),
            Self::Savepoint(name) => write!(f, "SAVEPOINT {}", ident(name)),
            Self::RollbackTo(name) => write!(f, "ROLLBACK TO SAVEPOINT {}", ident(name)),
            Self::Release(name) => write!(f, "RELEASE SAVEPOINT {}", ident(name)),
        }
    }
}

impl Display for LockTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table)?;
        if let Some(alias) = &self.alias {
            write!(f, " AS {}", ident(alias))?;
        }
        f.write_str(match self.mode {
            LockMode::Read => " READ",
            LockMode::Write => " WRITE",
        })
    }
}

impl Display for Kill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.target {
            KillTarget::Connection => "KILL CONNECTION ",
            KillTarget::Query => "KILL QUERY ",
        })?;
        match self.id {
            Some(id) => write!(f, "{id}"),
            None => f.write_str("CONNECTION_ID()"),
        }
    }
}

impl Display for Prepared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { name, source: PrepareSource::Text(text) } => {
                write!(f, "PREPARE {} FROM {}", ident(name), string(text))
            }
            Self::Prepare { name, source: PrepareSource::Variable(variable) } => {
                write!(f, "PREPARE {} FROM {}", ident(name), user_variable(variable))
            }
            Self::Execute { name, using } => {
                write!(f, "EXECUTE {}", ident(name))?;
                for (nth, variable) in using.iter().enumerate() {
                    write!(f, "{}{}", if nth == 0 { " USING " } else { ", " }, user_variable(variable))?;
                }
                Ok(())
            }
            Self::Deallocate { name } => write!(f, "DEALLOCATE PREPARE {}", ident(name)),
        }
    }
}
