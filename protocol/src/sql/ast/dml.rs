//! Rows: INSERT, DELETE, UPDATE.

use sqlparser::ast::{Expr, Query};

use super::name::{Properties, TableName};

/// `INSERT {INTO | OVERWRITE} t [PARTITION (…)] [WITH LABEL l] [(columns)] {VALUES … | query}`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// INTO, OVERWRITE, or MySQL's REPLACE.
    pub mode: InsertMode,
    /// Where the rows go.
    pub table: TableName,
    /// `PARTITION (…)`: only these partitions; all when empty.
    pub partitions: Vec<String>,
    /// `TEMPORARY PARTITION (…)`: the names above are of temporary partitions.
    pub temporary_partitions: bool,
    /// `WITH LABEL l`: loaded at most once.
    pub label: Option<String>,
    /// `PROPERTIES (…)` of the load.
    pub properties: Properties,
    /// The target columns; all in their order when empty.
    pub columns: Vec<String>,
    /// The rows.
    pub source: InsertSource,
}

/// What happens to rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertMode {
    /// `INSERT INTO`
    Into,
    /// `INSERT OVERWRITE`
    Overwrite,
    /// `REPLACE INTO`, MySQL's upsert
    Replace,
}

/// Where the rows of an INSERT come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `VALUES (…), …`
    Values(Vec<Vec<InsertValue>>),
    /// A query.
    Query(Box<Query>),
}

/// One value of `VALUES (…)` or of `SET c = …`.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are expressions, and there are many: a box each would cost more"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum InsertValue {
    /// An expression.
    Expr(Expr),
    /// `DEFAULT`
    Default,
}

/// `DELETE FROM t [PARTITION[S] p | (p, …)] WHERE …`
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// Where rows are deleted.
    pub table: TableName,
    /// Only in these partitions; in all when empty.
    pub partitions: Vec<String>,
    /// Which rows. A DELETE without WHERE is refused by the parser; `WHERE TRUE` says "all" on purpose.
    pub selection: Expr,
}

/// `UPDATE t SET c = v[, …] [WHERE …]`
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Where rows are updated.
    pub table: TableName,
    /// Column and value.
    pub assignments: Vec<(String, InsertValue)>,
    /// Which rows; all when absent.
    pub selection: Option<Expr>,
}
