//! Tables and views: CREATE, DROP, TRUNCATE.
//!
//! CREATE TABLE has three forms with one head: a column list, `LIKE` another table, or `AS` a query. ALTER TABLE is in
//! [`alter`](super::alter), partitions and buckets in [`partition`](super::partition).

use sqlparser::ast::{Expr, Query};

use super::name::{Properties, TableName};
use super::partition::{Distribution, PartitionBy};
use super::types::DataType;

/// `CREATE [TEMPORARY | EXTERNAL] TABLE [IF NOT EXISTS] t (columns …) …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `EXTERNAL`: a table of another engine.
    pub external: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table to make.
    pub table: TableName,
    /// The columns in order.
    pub columns: Vec<ColumnDef>,
    /// Everything that may follow the column list.
    pub options: TableOptions,
}

/// What follows the column list of CREATE TABLE, shared with CREATE TABLE … AS SELECT.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableOptions {
    /// `INDEX …` entries of the column list.
    pub indexes: Vec<IndexDef>,
    /// `ENGINE = name`, as written; `olap` is meant when absent.
    pub engine: Option<String>,
    /// The key clause. `PRIMARY KEY` written inside the column list, as MySQL has it, is found here too.
    pub keys: Option<Keys>,
    /// `COMMENT "…"`
    pub comment: Option<String>,
    /// `PARTITION BY …`
    pub partition_by: Option<PartitionBy>,
    /// `DISTRIBUTED BY …`
    pub distribution: Option<Distribution>,
    /// `ROLLUP (…)`
    pub rollups: Vec<RollupDef>,
    /// `ORDER BY (columns)`: the sort key, when it is not the table's key.
    pub order_by: Vec<String>,
    /// `PROPERTIES (…)`
    pub properties: Properties,
}

/// `CREATE TABLE t LIKE source`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTableLike {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table to make.
    pub table: TableName,
    /// The table whose definition is taken.
    pub source: TableName,
    /// `PROPERTIES (…)` that differ from the source's.
    pub properties: Properties,
}

/// `CREATE TABLE t [(names)] … AS SELECT …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTableAs {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table to make.
    pub table: TableName,
    /// Names for the query's columns; the query's own when empty.
    pub columns: Vec<String>,
    /// Everything that may stand before `AS`.
    pub options: TableOptions,
    /// The rows.
    pub query: Box<Query>,
}

/// One column of CREATE TABLE or ALTER TABLE.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// The column's name.
    pub name: String,
    /// The column's type. A generated column may leave it out in ALTER TABLE, never in CREATE TABLE.
    pub data_type: DataType,
    /// `KEY`: a key column.
    pub is_key: bool,
    /// The aggregate function of a value column.
    pub aggregation: Option<Aggregation>,
    /// `NULL` (true), `NOT NULL` (false), or neither.
    pub nullable: Option<bool>,
    /// `DEFAULT …`
    pub default: Option<DefaultValue>,
    /// `AUTO_INCREMENT`
    pub auto_increment: bool,
    /// `AS (expr)`
    pub generated: Option<Expr>,
    /// `COMMENT "…"`
    pub comment: Option<String>,
}

/// How an AGGREGATE KEY table merges a value column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// `SUM`
    Sum,
    /// `MIN`
    Min,
    /// `MAX`
    Max,
    /// `REPLACE`
    Replace,
    /// `REPLACE_IF_NOT_NULL`
    ReplaceIfNotNull,
    /// `HLL_UNION`
    HllUnion,
    /// `BITMAP_UNION`
    BitmapUnion,
    /// `PERCENTILE_UNION`
    PercentileUnion,
}

/// `DEFAULT …` of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// `DEFAULT 'text'`, also a number or a boolean: the text without its quotes.
    Literal(String),
    /// `DEFAULT NULL`
    Null,
    /// `DEFAULT CURRENT_TIMESTAMP[(precision)]`, also `now()`
    CurrentTimestamp {
        /// Digits of the fraction of a second, when given.
        precision: Option<u8>,
    },
    /// `DEFAULT (uuid())`: the function's name in lower case.
    Function(String),
}

/// `DUPLICATE | AGGREGATE | UNIQUE | PRIMARY KEY (columns)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The table model.
    pub model: TableModel,
    /// The key columns.
    pub columns: Vec<String>,
}

/// The four table models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableModel {
    /// `DUPLICATE KEY`: every row is kept.
    Duplicate,
    /// `AGGREGATE KEY`: rows of one key are merged by function.
    Aggregate,
    /// `UNIQUE KEY`: the last row of a key wins.
    Unique,
    /// `PRIMARY KEY`: the last row of a key wins, and rows can be updated.
    Primary,
}

/// `INDEX name (columns) [USING type [("k" = "v")]] [COMMENT '…']`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    /// The index's name.
    pub name: String,
    /// The indexed columns.
    pub columns: Vec<String>,
    /// `BITMAP`, `NGRAMBF`, `GIN`, … in upper case.
    pub index_type: Option<String>,
    /// The index's own properties.
    pub properties: Properties,
    /// `COMMENT '…'`
    pub comment: Option<String>,
}

/// One rollup of CREATE TABLE or `ALTER TABLE … ADD ROLLUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupDef {
    /// The rollup's name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// `DUPLICATE KEY (columns)` of its own.
    pub duplicate_key: Vec<String>,
    /// `FROM index`: what it is built from.
    pub from: Option<String>,
    /// `PROPERTIES (…)`
    pub properties: Properties,
}

/// `DROP [TEMPORARY] TABLE [IF EXISTS] t [FORCE]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropTable {
    /// `TEMPORARY`
    pub temporary: bool,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The table to drop.
    pub table: TableName,
    /// `FORCE`: it cannot be recovered.
    pub force: bool,
}

/// `TRUNCATE TABLE t [PARTITION (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncateTable {
    /// The table to empty.
    pub table: TableName,
    /// Only these partitions; all when empty.
    pub partitions: Vec<String>,
}

/// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(columns)] [COMMENT "…"] AS query`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The view to make.
    pub view: TableName,
    /// Its columns, the query's own when empty.
    pub columns: Vec<ViewColumn>,
    /// `COMMENT "…"`
    pub comment: Option<String>,
    /// The query.
    pub query: Box<Query>,
}

/// A named column of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewColumn {
    /// The column's name.
    pub name: String,
    /// `COMMENT "…"`
    pub comment: Option<String>,
}

/// `DROP VIEW [IF EXISTS] v`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropView {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The view to drop.
    pub view: TableName,
}
