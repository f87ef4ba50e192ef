//! What a statement does to its own session: variables, transactions, locks, prepared statements, KILL.

use sqlparser::ast::{Expr, Value};

use super::name::TableName;

/// One item of `SET item[, …]`.
#[derive(Debug, Clone, PartialEq)]
pub enum SetItem {
    /// `[GLOBAL | SESSION | @@global. | @@session.] name = value`
    Variable {
        /// Whose variable; the session's when not said.
        scope: VariableScope,
        /// The variable's name in lower case.
        name: String,
        /// Its new value.
        value: SetValue,
    },
    /// `@name = expr`
    UserVariable {
        /// The name without the `@`, in lower case.
        name: String,
        /// Its new value.
        value: Expr,
    },
    /// `NAMES charset [COLLATE collation]`
    Names {
        /// The character set; none stands for `DEFAULT`.
        charset: Option<String>,
        /// The collation.
        collation: Option<String>,
    },
    /// `CHARACTER SET charset`, `CHARSET charset`
    CharacterSet(Option<String>),
    /// `[SESSION | GLOBAL] TRANSACTION …`
    Transaction {
        /// Whose transactions; [`VariableScope::Unspecified`] means the next one only.
        scope: VariableScope,
        /// What they shall be like.
        modes: Vec<TransactionMode>,
    },
}

/// Whose variable SET and SHOW VARIABLES speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VariableScope {
    /// Not said: the session's.
    #[default]
    Unspecified,
    /// `SESSION`, `LOCAL`, `@@session.`
    Session,
    /// `GLOBAL`, `PERSIST`, `@@global.`
    Global,
}

/// The right side of `SET name = …`.
#[expect(clippy::large_enum_variant, reason = "one a statement, nearly always an expression")]
#[derive(Debug, Clone, PartialEq)]
pub enum SetValue {
    /// An expression. A bare word (`SET sql_mode = ANSI`, `SET autocommit = ON`) is an identifier.
    Expr(Expr),
    /// `DEFAULT`
    Default,
}

impl SetValue {
    /// The value as text when it is a literal or a bare word: `ON`, `1`, `'x'`, `-1`, `true`. `NULL` and everything
    /// that must be computed give none.
    pub fn as_text(&self) -> Option<String> {
        let Self::Expr(expr) = self else { return None };
        match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                Value::Number(digits, _) => Some(digits.clone()),
                Value::Boolean(flag) => Some(flag.to_string()),
                _ => None,
            },
            Expr::Identifier(word) if !word.value.starts_with('@') => Some(word.value.clone()),
            Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr } => {
                Self::Expr((**expr).clone()).as_text().map(|digits| format!("-{digits}"))
            }
            _ => None,
        }
    }
}

/// One property of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionMode {
    /// `ISOLATION LEVEL …`
    Isolation(IsolationLevel),
    /// `READ ONLY`
    ReadOnly,
    /// `READ WRITE`
    ReadWrite,
    /// `WITH CONSISTENT SNAPSHOT`
    ConsistentSnapshot,
}

/// The four isolation levels of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// `READ UNCOMMITTED`
    ReadUncommitted,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

/// Transaction control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// `BEGIN [WORK]`, `START TRANSACTION [modes]`
    Begin(Vec<TransactionMode>),
    /// `COMMIT [WORK]`
    Commit,
    /// `ROLLBACK [WORK]`
    Rollback,
    /// `SAVEPOINT s`
    Savepoint(String),
    /// `ROLLBACK [WORK] TO [SAVEPOINT] s`
    RollbackTo(String),
    /// `RELEASE SAVEPOINT s`
    Release(String),
}

/// One table of `LOCK TABLES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockTable {
    /// The table.
    pub table: TableName,
    /// Its alias.
    pub alias: Option<String>,
    /// For reading or for writing.
    pub mode: LockMode,
}

/// What a table is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// `READ [LOCAL]`
    Read,
    /// `[LOW_PRIORITY] WRITE`
    Write,
}

/// `KILL [CONNECTION | QUERY] {id | CONNECTION_ID()}`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// The connection, or only what it runs.
    pub target: KillTarget,
    /// The connection's id; `None` for `CONNECTION_ID()`, that of the connection which says so.
    pub id: Option<u64>,
}

/// What KILL ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillTarget {
    /// The connection and what it runs.
    Connection,
    /// Only what it runs.
    Query,
}

/// `PREPARE`, `EXECUTE` and `DEALLOCATE` as text statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// `PREPARE name FROM 'text' | @variable`
    Prepare {
        /// The statement's name.
        name: String,
        /// Where its text is.
        source: PrepareSource,
    },
    /// `EXECUTE name [USING @a, …]`
    Execute {
        /// The statement's name.
        name: String,
        /// User variables, without the `@`, one a placeholder.
        using: Vec<String>,
    },
    /// `DEALLOCATE | DROP PREPARE name`
    Deallocate {
        /// The statement's name.
        name: String,
    },
}

/// Where the text of a prepared statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepareSource {
    /// In a string literal.
    Text(String),
    /// In a user variable, named without the `@`.
    Variable(String),
}
