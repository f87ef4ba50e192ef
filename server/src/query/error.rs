//! What can go wrong with a query, in the few kinds that a caller acts upon.
//!
//! Everything the engine below reports is mapped here, once: by variant where the engine has one, by message only
//! where it has none. Texts speak of tables, columns and memory, never of the engine's inner parts ([`words`]).

mod phrases;
mod words;

pub use words::of_type;

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;

use super::rewrite::without_marks;
use phrases::{from_call, from_phrase};

/// A failed query. Each kind tells the caller what to do: correct the text, free memory, repair a file, report a bug.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The database named does not exist.
    #[error("Unknown database '{0}'")]
    UnknownDatabase(String),
    /// The table named does not exist; the text is `database.table` as far as it is known.
    #[error("Unknown table '{0}'")]
    UnknownTable(String),
    /// The table has no partition of this name.
    #[error("Unknown partition '{partition}' in table '{table}'")]
    UnknownPartition {
        /// The partition as the statement names it.
        partition: String,
        /// The table.
        table: String,
    },
    /// No relation of the FROM clause has this column.
    #[error("Column '{column}' cannot be resolved{hint}")]
    UnknownColumn {
        /// The column as the statement names it.
        column: String,
        /// Empty, or a hint that starts with a separator.
        hint: String,
    },
    /// No function has this name.
    #[error("No matching function with name: {0}")]
    UnknownFunction(String),
    /// No system variable has this name.
    #[error("Unknown system variable '{0}'")]
    UnknownVariable(String),
    /// No database was named and none is in use.
    #[error("No database selected")]
    NoDatabase,
    /// The statement is well formed, but asks for something this server does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The statement makes no sense as it is written.
    #[error("{0}")]
    Semantic(String),
    /// It makes none, or meets a value that makes none, for a reason that clients know by a number.
    #[error("{1}")]
    Refused(Reason, String),
    /// A result that its type cannot hold.
    #[error("{0}")]
    OutOfRange(String),
    /// A text that a function makes and that is longer than any may be.
    #[error(
        "Result of {function}() was larger than {bytes_max} bytes, which is the longest text that a function answers"
    )]
    TooLong {
        /// The function.
        function: String,
        /// How long a text may be.
        bytes_max: usize,
    },
    /// An aggregate stands where rows are not grouped.
    #[error(
        "Invalid use of group function: it may stand in a select list, in HAVING and in ORDER BY, and not in another one"
    )]
    MisplacedAggregate,
    /// A recursive CTE does not come to its end.
    #[error(
        "Recursive query aborted after {0} iterations. Try increasing @@cte_max_recursion_depth to a larger value."
    )]
    RecursionTooDeep(u64),
    /// A name that is too long.
    #[error("Identifier name '{0}' is too long")]
    NameTooLong(String),
    /// A column of a grouped SELECT is neither grouped nor aggregated.
    #[error("'{0}' must be an aggregate expression or appear in GROUP BY clause")]
    NotGrouped(String),
    /// The user may not do this; the text comes from the statement layer.
    #[error("{0}")]
    AccessDenied(String),
    /// Memory or spill space is used up.
    #[error("Memory limit exceeded: {0}")]
    OutOfMemory(String),
    /// The query was stopped from outside.
    #[error("Query execution was interrupted")]
    Cancelled,
    /// A file that should hold data cannot be read as such.
    #[error("Corrupt data: {0}")]
    Corrupt(String),
    /// Nothing the user can correct; worth a bug report.
    #[error("Internal error: {0}")]
    Internal(String),
}

/// What is said of RANGE with a length over what has no lengths.
pub(crate) const FRAME_ORDER: &str = "Window with RANGE n PRECEDING or FOLLOWING requires exactly one ORDER BY expression, of \
                                      numeric or temporal type: use ROWS";

/// Reasons to refuse a query, or to end it, for which MySQL has a number each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A name stands for columns of several tables.
    AmbiguousColumn,
    /// Two columns of a table or subquery have one name.
    DuplicateColumn,
    /// Two tables of a FROM clause have one name.
    DuplicateTable,
    /// A regular expression that is none.
    Pattern,
    /// An argument that the function cannot take.
    Argument,
    /// A row or a subquery has more or fewer columns than are compared.
    Columns,
    /// A subquery that stands for a value has several rows.
    Rows,
    /// A text that is no value of the type it is to be.
    Value,
    /// A division by zero that is not NULL.
    DivisionByZero,
    /// SELECT DISTINCT is ordered by what it does not show.
    NotSelected,
    /// A table that FROM does not name.
    UnknownAlias,
    /// Queries of UNION and the like have different numbers of columns.
    SetColumns,
    /// RANGE with a length over what has no lengths.
    FrameOrder,
    /// RANGE with a number over dates.
    FrameOfTimes,
    /// RANGE with an INTERVAL over numbers.
    FrameOfNumbers,
}

impl Reason {
    /// All of them.
    const ALL: [Self; 15] = [
        Self::AmbiguousColumn,
        Self::DuplicateColumn,
        Self::DuplicateTable,
        Self::Pattern,
        Self::Argument,
        Self::Columns,
        Self::Rows,
        Self::Value,
        Self::DivisionByZero,
        Self::NotSelected,
        Self::UnknownAlias,
        Self::SetColumns,
        Self::FrameOrder,
        Self::FrameOfTimes,
        Self::FrameOfNumbers,
    ];
}

impl QueryError {
    /// A BIGINT that would need more than 64 bits; `what` is the operation, with its values where they are known.
    pub(crate) fn bigint_out_of_range(what: &str) -> Self {
        Self::OutOfRange(format!("BIGINT value is out of range in '{what}'; CAST an argument to LARGEINT or DECIMAL"))
    }

    /// A decimal that would need more digits than its type has.
    pub(crate) fn decimal_out_of_range(what: &str, digits: u8) -> Self {
        Self::OutOfRange(format!(
            "DECIMAL value is out of range in '{what}': it has more than {digits} digits; CAST an argument to DOUBLE"
        ))
    }

    /// A row or subquery that should have so many columns.
    pub(crate) fn columns(wanted: usize) -> Self {
        Self::Refused(Reason::Columns, format!("Operand should contain {wanted} column(s)"))
    }

    /// A number that is none of an output.
    pub(crate) fn no_place(number: &str, clause: &str) -> Self {
        let hint = format!(" in {clause}: the places of the select list count from 1");
        Self::UnknownColumn { column: number.to_owned(), hint }
    }

    /// A function in FROM; `unnest` has another place where it is known.
    pub(crate) fn no_table_function(name: &str) -> Self {
        Self::Unsupported(match name.to_ascii_lowercase().as_str() {
            "unnest" => {
                "Table function unnest is not supported in FROM: write SELECT unnest(column) FROM table".to_owned()
            }
            name => format!(
                "Table function {name} is not supported: FROM takes tables, views of information_schema and subqueries"
            ),
        })
    }

    /// A task of the engine that did not come to its end.
    pub(super) fn from_join(error: &tokio::task::JoinError) -> Self {
        if error.is_cancelled() {
            return Self::Cancelled;
        }
        tracing::error!(%error, "a task of the query engine failed");
        Self::Internal("a part of the query engine failed; see the log".to_owned())
    }

    /// Carries this error through the engine's own error type; [`From`] takes it out again unchanged.
    pub(crate) fn wrap(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => from_external(inner),
            DataFusionError::Context(_, inner) => Self::from(*inner),
            DataFusionError::Diagnostic(_, inner) => Self::from(*inner),
            DataFusionError::Shared(inner) => from_shared(&inner),
            DataFusionError::Collection(errors) => errors
                .into_iter()
                .next()
                .map_or_else(|| Self::Internal("empty error collection".to_owned()), Self::from),
            DataFusionError::SchemaError(error, _) => from_schema(*error),
            DataFusionError::ResourcesExhausted(text) => Self::OutOfMemory(clean_memory(&text)),
            DataFusionError::ParquetError(error) => from_parquet(*error),
            DataFusionError::ArrowError(error, _) => from_arrow(*error),
            DataFusionError::ObjectStore(error) => {
                carried(error.as_ref()).unwrap_or_else(|| Self::Corrupt(error.to_string()))
            }
            DataFusionError::IoError(error) => from_io(&error),
            DataFusionError::SQL(error, _) => Self::Semantic(error.to_string()),
            DataFusionError::NotImplemented(text) => from_not_implemented(&text),
            DataFusionError::Plan(text) => from_plan(&text),
            DataFusionError::Configuration(text) => Self::Internal(words::of_the_field(&clean(&text))),
            DataFusionError::Execution(text) => from_execution(&text),
            DataFusionError::ExecutionJoin(error) => Self::from_join(&error),
            DataFusionError::Internal(text) => from_internal(&text),
            other => Self::Internal(words::of_the_field(&clean(&other.to_string()))),
        }
    }
}

impl From<ArrowError> for QueryError {
    fn from(error: ArrowError) -> Self {
        from_arrow(error)
    }
}

fn from_external(inner: Box<dyn std::error::Error + Send + Sync>) -> QueryError {
    match inner.downcast::<QueryError>() {
        Ok(error) => *error,
        Err(inner) => match inner.downcast::<DataFusionError>() {
            Ok(error) => QueryError::from(*error),
            Err(inner) => match inner.downcast::<ArrowError>() {
                Ok(error) => from_arrow(*error),
                Err(other) => carried(other.as_ref()).unwrap_or_else(|| from_execution(&other.to_string())),
            },
        },
    }
}

/// What one of ours said, however deep the engine has wrapped it.
fn carried(error: &(dyn std::error::Error + 'static)) -> Option<QueryError> {
    let mut error = error;
    loop {
        if let Some(ours) = error.downcast_ref::<QueryError>() {
            return Some(ours.clone());
        }
        error = error.source()?;
    }
}

/// A shared error cannot be taken apart, so its kind is found by looking through the references.
fn from_shared(error: &Arc<DataFusionError>) -> QueryError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(error) => error.clone(),
            None => from_execution(&inner.to_string()),
        },
        DataFusionError::ResourcesExhausted(text) => QueryError::OutOfMemory(clean_memory(text)),
        DataFusionError::ParquetError(error) => {
            let error = error.as_ref();
            carried(error)
                .or_else(|| from_filter(&error.to_string()))
                .unwrap_or_else(|| QueryError::Corrupt(error.to_string()))
        }
        DataFusionError::ArrowError(error, _) => arrow_text(error),
        DataFusionError::Execution(text) => from_execution(text),
        DataFusionError::Plan(text) => from_plan(text),
        DataFusionError::IoError(error) => from_io(error),
        DataFusionError::NotImplemented(text) => from_not_implemented(text),
        other => QueryError::Internal(words::of_the_field(&clean(&other.to_string()))),
    }
}

fn from_schema(error: SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let column = without_marks(&field.flat_name());
            let near = valid_fields
                .iter()
                .map(|valid| valid.name.clone())
                .filter(|valid| edit_distance(&field.name, valid) <= field.name.chars().count() / 3)
                .min_by_key(|valid| edit_distance(&field.name, valid));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            QueryError::UnknownColumn { column, hint }
        }
        SchemaError::AmbiguousReference { field } => {
            QueryError::Refused(Reason::AmbiguousColumn, format!("Column '{}' is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, qualifier } => {
            let qualifier = without_marks(&qualifier.to_string());
            let text = format!("Not unique table/alias: '{qualifier}' (column '{name}' occurs twice)");
            QueryError::Refused(Reason::DuplicateTable, text)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            QueryError::Refused(Reason::DuplicateColumn, format!("Duplicate column name '{name}'"))
        }
    }
}

fn from_parquet(error: ParquetError) -> QueryError {
    match error {
        ParquetError::External(inner) => match inner.downcast::<DataFusionError>() {
            Ok(error) => QueryError::from(*error),
            Err(other) => carried(other.as_ref())
                .or_else(|| from_filter(&other.to_string()))
                .unwrap_or_else(|| QueryError::Corrupt(other.to_string())),
        },
        ParquetError::ArrowError(text) => from_filter(&text).unwrap_or_else(|| from_execution(&text)),
        other => from_filter(&other.to_string()).unwrap_or_else(|| QueryError::Corrupt(other.to_string())),
    }
}

/// A filter that the reader of a file computes, and cannot: the file is not at fault. The error comes as the text that
/// debugging has of it.
fn from_filter(text: &str) -> Option<QueryError> {
    let (_, reason) = text.split_once("Error evaluating filter predicate: ")?;
    // The innermost text is what was said first.
    let said = |kind: &str| {
        let (_, rest) = reason.split_once(kind)?;
        let end = rest.find("\")").unwrap_or(rest.len());
        Some(rest[..end].replace("\\\"", "\""))
    };
    let out_of_range = said("OutOfRange(\"").map(QueryError::OutOfRange);
    let semantic = || said("Semantic(\"").map(QueryError::Semantic);
    let refused = || {
        let by = |reason| said(&format!("Refused({reason:?}, \"")).map(|text| QueryError::Refused(reason, text));
        Reason::ALL.into_iter().find_map(by)
    };
    let memory = || said("ResourcesExhausted(\"").map(|text| QueryError::OutOfMemory(clean_memory(&text)));
    let other = || said("Error(\"").or_else(|| said("Execution(\"")).map(|text| from_execution(&text));
    out_of_range.or_else(semantic).or_else(refused).or_else(memory).or_else(other).or_else(|| {
        tracing::warn!(reason, "a filter failed");
        Some(QueryError::Semantic("A condition of WHERE or ON cannot be computed for some rows".to_owned()))
    })
}

fn from_arrow(error: ArrowError) -> QueryError {
    match error {
        ArrowError::ExternalError(inner) => from_external(inner),
        other => arrow_text(&other),
    }
}

fn arrow_text(error: &ArrowError) -> QueryError {
    match error {
        ArrowError::DivideByZero => QueryError::Refused(Reason::DivisionByZero, "Division by 0".to_owned()),
        ArrowError::ArithmeticOverflow(_) => {
            QueryError::OutOfRange("A value is out of range: CAST an argument to DOUBLE".to_owned())
        }
        ArrowError::ParquetError(text) => from_filter(text).unwrap_or_else(|| QueryError::Corrupt(text.clone())),
        ArrowError::MemoryError(text) => QueryError::OutOfMemory(text.clone()),
        ArrowError::NotYetImplemented(text) => from_not_implemented(text),
        other => from_execution(&other.to_string()),
    }
}

fn from_io(error: &std::io::Error) -> QueryError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            QueryError::OutOfMemory(format!("no space left to spill to: {error}"))
        }
        _ => QueryError::Corrupt(error.to_string()),
    }
}

fn from_plan(text: &str) -> QueryError {
    let text = clean(text);
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        return QueryError::UnknownFunction(name.to_owned());
    }
    if text.contains("require unique expression names") {
        let expr = text.split('"').nth(1).unwrap_or("?");
        let name = expr.rsplit_once(" AS ").map_or(expr, |(_, name)| name);
        return QueryError::Refused(Reason::DuplicateColumn, format!("Duplicate column name '{name}'"));
    }
    if text.contains("must appear in the GROUP BY clause") {
        let column = text.split('"').nth(1).unwrap_or("?");
        return QueryError::NotGrouped(column.to_owned());
    }
    if let Some(error) = from_call(&text) {
        return error;
    }
    from_phrase(&text)
}

fn from_execution(text: &str) -> QueryError {
    let text = clean(text);
    if text.contains("Resources exhausted") || text.contains("Failed to allocate") {
        return QueryError::OutOfMemory(clean_memory(&text));
    }
    from_phrase(&text)
}

fn from_internal(text: &str) -> QueryError {
    let text = clean(text);
    if text.contains("No functions registered") {
        return QueryError::Unsupported("unknown function".to_owned());
    }
    if text.contains("not implemented") {
        return from_not_implemented(&text);
    }
    // What the engine takes for its own fault may be a wrong argument.
    if let Some(error) = from_call(&text) {
        return error;
    }
    match from_phrase(&text) {
        QueryError::Semantic(text) => QueryError::Internal(text),
        known => known,
    }
}

/// What the engine has no operator or no cast for.
fn from_not_implemented(text: &str) -> QueryError {
    let text = clean(text);
    match from_phrase(&text) {
        QueryError::Semantic(text) => QueryError::Unsupported(format!("Not supported: {text}")),
        known => known,
    }
}

/// Takes the engine's own phrases off a message.
fn clean(text: &str) -> String {
    const PREFIXES: [&str; 12] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer rule ",
        "This feature is not implemented: ",
        "Schema error: ",
        "Internal error: ",
        "External error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Invalid argument error: ",
    ];
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or(text);
    text = text.split("\nThis issue was likely caused by").next().unwrap_or(text);
    text = text.split(".\nThis issue was likely caused by").next().unwrap_or(text);
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    without_marks(&text.replace("DataFusion", "the engine")).trim().to_owned()
}

/// Keeps of a memory error what an administrator can use: who wanted how much.
fn clean_memory(text: &str) -> String {
    let text = clean(text);
    let text = text.trim_start_matches("Resources exhausted: ");
    let text = text.split("with top memory consumers").next().unwrap_or(text).trim();
    format!("{text}; narrow the query, or raise query_memory_limit")
}

/// Edits between two short names, for "did you mean".
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = previous + usize::from(ca != *cb);
            previous = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
