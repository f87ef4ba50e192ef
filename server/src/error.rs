//! The one map from everything that can go wrong to what a client reads: MySQL code, SQLSTATE, text.
//!
//! Inside, errors are rich and typed where they arise; here they become few kinds, each of which tells the user what to
//! do next. Texts keep the phrases that StarRocks's users and their scripts look for. No text holds a secret.

use ebla_protocol::sql::{SyntaxError, SyntaxErrorKind, TemplateError};
use ebla_protocol::wire::WireError;
use ebla_storage::error::Noun;
use ebla_storage::repository::RepositoryError;

use crate::query::{QueryError, Reason};

/// The result of running a statement.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// MySQL's numbers for what is not there: drivers and tools decide by them whether a name is free.
const UNKNOWN_DATABASE: (u16, &[u8; 5]) = (1049, b"42000");
const UNKNOWN_TABLE: (u16, &[u8; 5]) = (1146, b"42S02");

/// What can go wrong with a statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not in the grammar, or is refused whatever the catalog holds.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// A query failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// Storage refused.
    #[error("{}", storage_text(.0))]
    Storage(#[from] ebla_storage::Error),
    /// A table definition, a property or an expression makes no sense; found before anything was done.
    #[error("Getting analyzing error. Detail message: {0}.")]
    Analysis(String),
    /// The statement is sound but cannot be done; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A privilege is missing.
    #[error("{0}")]
    AccessDenied(String),
    /// The database is not there.
    #[error("Unknown database '{0}'")]
    UnknownDatabase(String),
    /// The table is not there.
    #[error("Unknown table '{0}'")]
    UnknownTable(String),
    /// A table that a job is to be about is not there.
    #[error("Incorrect table name '{table}': it does not exist in database '{database}'")]
    WrongTable {
        /// The database.
        database: String,
        /// The table.
        table: String,
    },
    /// DROP TABLE of a table that is not there; `database.table`.
    #[error("Unknown table '{0}'")]
    NoTableToDrop(String),
    /// DROP DATABASE of a database that is not there.
    #[error("Can't drop database '{0}'; database doesn't exist")]
    NoDatabaseToDrop(String),
    /// A change to `information_schema`, which holds what is worked out and nothing else.
    #[error("Access denied: information_schema is read only")]
    ReadOnlyDatabase,
    /// A label that is none.
    #[error("Wrong label: [{0}]: {rule}", rule = crate::load::LABEL_RULE)]
    WrongLabel(String),
    /// DROP PARTITION would leave a table without any.
    #[error("{0}")]
    LastPartition(String),
    /// Partitions, tablets or sizes of something that has none.
    #[error("Table '{0}' is not an OLAP table: it has neither partitions nor tablets")]
    NotOlapTable(String),
    /// No database was named and none is in use.
    #[error("No database selected")]
    NoDatabase,
    /// Known to StarRocks, not done here yet.
    #[error("Not supported yet: {0}")]
    NotYet(String),
    /// A value a variable cannot take.
    #[error("Variable '{name}' can't be set to the value of '{value}'")]
    BadVariableValue {
        /// The variable.
        name: String,
        /// The value.
        value: String,
    },
    /// A SQL mode in which double quotes hold names.
    #[error(
        "Variable 'sql_mode' can't be set to the value of '{0}': double quotes always hold texts here; quote names with \
         backticks, and set the mode's other parts (such as PIPES_AS_CONCAT) by their own names"
    )]
    AnsiQuotes(String),
    /// A variable that tells a fact.
    #[error("Variable '{0}' is a read only variable")]
    ReadOnlyVariable(String),
    /// A variable that is not there.
    #[error("Unknown system variable '{0}'")]
    UnknownVariable(String),
    /// KILL names a connection that is not there.
    #[error("Unknown thread id: {0}")]
    UnknownThread(u64),
    /// A configuration item that is not there or cannot change while running.
    #[error("{0}")]
    Config(String),
    /// The statement was stopped by KILL QUERY or its timeout.
    #[error("{0}")]
    Interrupted(String),
    /// A name that does not follow the rules for its kind.
    #[error("{0}")]
    BadName(String),
    /// A fault of the server.
    #[error("Internal error: {0}")]
    Internal(String),
}

impl Error {
    /// A statement whose meaning is wrong. The text has no full stop at its end.
    pub fn analysis(text: impl Into<String>) -> Self {
        Error::Analysis(text.into())
    }

    /// A statement that cannot be done now.
    pub fn refused(text: impl Into<String>) -> Self {
        Error::Refused(text.into())
    }

    /// A feature that comes later.
    pub fn not_yet(what: impl Into<String>) -> Self {
        Error::NotYet(what.into())
    }

    /// Code and SQLSTATE as clients know them.
    fn code(&self) -> (u16, &'static [u8; 5]) {
        match self {
            Error::Syntax(error) => match error.kind {
                SyntaxErrorKind::Syntax => (1064, b"42000"),
                SyntaxErrorKind::Analysis => (5064, b"42000"),
            },
            Error::Query(error) => query_code(error),
            Error::Storage(error) => storage_code(error),
            Error::Analysis(_) | Error::Refused(_) => (5064, b"42000"),
            Error::AccessDenied(_) => (5203, b"42000"),
            Error::UnknownDatabase(_) => UNKNOWN_DATABASE,
            Error::UnknownTable(_) => UNKNOWN_TABLE,
            Error::NoTableToDrop(_) => (1051, b"42S02"),
            Error::NoDatabaseToDrop(_) => (1008, b"HY000"),
            Error::WrongLabel(_) => (5082, b"42000"),
            Error::LastPartition(_) => (1508, b"HY000"),
            Error::NotOlapTable(_) => (5503, b"42000"),
            Error::ReadOnlyDatabase => (1044, b"42000"),
            Error::WrongTable { .. } => (1104, b"42000"),
            Error::NoDatabase => (1046, b"3D000"),
            Error::NotYet(_) => (1235, b"42000"),
            Error::BadVariableValue { .. } | Error::AnsiQuotes(_) => (1231, b"42000"),
            Error::ReadOnlyVariable(_) => (1238, b"HY000"),
            Error::UnknownVariable(_) => (1193, b"HY000"),
            Error::UnknownThread(_) => (1094, b"HY000"),
            Error::Config(_) => (5102, b"F0000"),
            Error::Interrupted(_) => (1317, b"70100"),
            Error::BadName(_) => (5063, b"42000"),
            Error::Internal(_) => (1105, b"HY000"),
        }
    }
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Count(error) => Error::analysis(error.to_string()),
            TemplateError::Syntax(error) => Error::Syntax(error),
        }
    }
}

fn query_code(error: &QueryError) -> (u16, &'static [u8; 5]) {
    match error {
        QueryError::UnknownDatabase(_) => UNKNOWN_DATABASE,
        QueryError::UnknownTable(_) => UNKNOWN_TABLE,
        QueryError::UnknownPartition { .. } => (1567, b"HY000"),
        QueryError::UnknownColumn { .. } => (1054, b"42S22"),
        QueryError::UnknownFunction(_) => (1305, b"42000"),
        QueryError::UnknownVariable(_) => (1193, b"HY000"),
        QueryError::NotGrouped(_) => (1055, b"42000"),
        QueryError::OutOfRange(_) => (1690, b"22003"),
        QueryError::TooLong { .. } => (1301, b"HY000"),
        QueryError::MisplacedAggregate => (1111, b"HY000"),
        QueryError::RecursionTooDeep(_) => (3636, b"HY000"),
        QueryError::NameTooLong(_) => (1059, b"42000"),
        QueryError::NoDatabase => (1046, b"3D000"),
        QueryError::Unsupported(_) => (1235, b"42000"),
        QueryError::Semantic(_) => (1064, b"42000"),
        QueryError::Refused(reason, _) => reason_code(*reason),
        QueryError::AccessDenied(_) => (5203, b"42000"),
        QueryError::OutOfMemory(_) => (1038, b"HY001"),
        QueryError::Cancelled => (1317, b"70100"),
        QueryError::Corrupt(_) => (1194, b"HY000"),
        QueryError::Internal(_) => (1105, b"HY000"),
    }
}

fn reason_code(reason: Reason) -> (u16, &'static [u8; 5]) {
    match reason {
        Reason::AmbiguousColumn => (1052, b"23000"),
        Reason::DuplicateColumn => (1060, b"42S21"),
        Reason::DuplicateTable => (1066, b"42000"),
        Reason::Pattern => (1139, b"42000"),
        Reason::Argument => (1210, b"HY000"),
        Reason::Columns => (1241, b"21000"),
        Reason::Rows => (1242, b"21000"),
        Reason::Value => (1292, b"22007"),
        Reason::DivisionByZero => (1365, b"22012"),
        Reason::NotSelected => (3065, b"HY000"),
        Reason::UnknownAlias => (1051, b"42S02"),
        Reason::SetColumns => (1222, b"21000"),
        Reason::FrameOrder => (3587, b"HY000"),
        Reason::FrameOfTimes => (3588, b"HY000"),
        Reason::FrameOfNumbers => (3589, b"HY000"),
    }
}

fn storage_code(error: &ebla_storage::Error) -> (u16, &'static [u8; 5]) {
    use ebla_storage::Error as Storage;
    match error {
        Storage::NotFound { noun, .. } => match noun {
            Noun::Database => UNKNOWN_DATABASE,
            Noun::Table => UNKNOWN_TABLE,
            Noun::Partition => (1567, b"HY000"),
            Noun::Column => (1054, b"42S22"),
            _ => (5064, b"42000"),
        },
        Storage::AlreadyExists { noun, .. } | Storage::Held { noun, .. } => match noun {
            Noun::Database => (1007, b"HY000"),
            Noun::Table => (1050, b"42S01"),
            Noun::Partition => (1517, b"HY000"),
            _ => (5064, b"42000"),
        },
        Storage::BeingRestored { .. } => (5014, b"HY000"),
        Storage::Repository(RepositoryError::Label(_)) => (5082, b"42000"),
        Storage::Cancelled => (1317, b"70100"),
        Storage::Corrupt { .. } => (1194, b"HY000"),
        Storage::Io { .. } | Storage::CatalogDisk { .. } => (1030, b"HY000"),
        Storage::Catalog(_) | Storage::Migration(_) | Storage::Stored(_) | Storage::Internal(_) => (1105, b"HY000"),
        _ => (5064, b"42000"),
    }
}

/// What a refusal of storage reads like to a client: the words of the field where it has words of its own.
pub fn storage_text(error: &ebla_storage::Error) -> String {
    use ebla_storage::Error as Storage;
    match error {
        Storage::NotFound { noun: noun @ (Noun::Database | Noun::Table | Noun::Partition | Noun::Column), name } => {
            format!("Unknown {noun} '{name}'")
        }
        Storage::AlreadyExists { noun: Noun::Database, name } => {
            format!("Can't create database '{name}'; database exists")
        }
        Storage::AlreadyExists { noun: Noun::Table, name } => format!("Table '{name}' already exists"),
        Storage::AlreadyExists { noun: Noun::Partition, name } => format!("Duplicate partition name {name}"),
        Storage::Held { noun, name, holder } => {
            let taken = storage_text(&Storage::already_exists(*noun, name));
            format!("{taken}: restore job {} is going to create it; {holder}", holder.job)
        }
        Storage::BeingRestored { noun, name, holder } => format!(
            "The state of {noun} '{name}' is not NORMAL: restore job {} is going to replace what is in it; {holder}",
            holder.job
        ),
        other => other.to_string(),
    }
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        let (code, sqlstate) = error.code();
        if code == 1105 {
            tracing::error!(%error, "statement failed inside the server");
        }
        WireError::new(code, *sqlstate, error.to_string())
    }
}
