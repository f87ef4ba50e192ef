//! ALTER TABLE: one statement, one or more actions.

use sqlparser::ast::Expr;

use super::name::{Properties, TableName};
use super::partition::{Distribution, PartitionBatch, PartitionDef};
use super::table::{ColumnDef, IndexDef, RollupDef};

/// `ALTER TABLE t action[, action …]`
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    /// The table to change.
    pub table: TableName,
    /// What to do, at least one action.
    pub actions: Vec<AlterAction>,
}

/// One action of ALTER TABLE.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `ADD [TEMPORARY] PARTITION[S] …`
    AddPartition {
        /// `TEMPORARY`
        temporary: bool,
        /// The partition, or a batch of them.
        partition: PartitionDef,
        /// `DISTRIBUTED BY …`, when it differs from the table's.
        distribution: Option<Distribution>,
        /// Properties after the distribution.
        properties: Properties,
    },
    /// `DROP [TEMPORARY] PARTITION[S] [IF EXISTS] … [FORCE]`
    DropPartition {
        /// `TEMPORARY`
        temporary: bool,
        /// `IF EXISTS`
        if_exists: bool,
        /// Which ones.
        target: DropPartitionTarget,
        /// `FORCE`: they cannot be recovered.
        force: bool,
    },
    /// `TRUNCATE PARTITION (…)`
    TruncatePartition(Vec<String>),
    /// `MODIFY PARTITION p | (p, …) | (*) SET (…)`
    ModifyPartition {
        /// Which ones.
        target: ModifyPartitionTarget,
        /// The properties to set.
        properties: Properties,
    },
    /// `REPLACE PARTITION (…) WITH TEMPORARY PARTITION (…) [PROPERTIES (…)]`
    ReplacePartition {
        /// The partitions to replace.
        partitions: Vec<String>,
        /// The temporary partitions that take their place.
        temporary_partitions: Vec<String>,
        /// `PROPERTIES (…)`
        properties: Properties,
    },
    /// `RENAME new`
    Rename(String),
    /// `RENAME PARTITION from to`
    RenamePartition {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// `RENAME COLUMN from TO to`
    RenameColumn {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// `RENAME ROLLUP from to`
    RenameRollup {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// `SET ("k" = "v", …)`
    Set(Properties),
    /// `COMMENT = "…"`
    Comment(String),
    /// `ADD COLUMN c …` or `ADD COLUMN (c …, …)`
    AddColumns {
        /// The new columns.
        columns: Vec<ColumnDef>,
        /// Where the column goes; only with a single one.
        position: Option<ColumnPosition>,
        /// `TO | IN rollup`
        rollup: Option<String>,
        /// `PROPERTIES (…)`
        properties: Properties,
    },
    /// `DROP COLUMN c [FROM rollup]`
    DropColumn {
        /// The column to drop.
        column: String,
        /// The rollup to drop it from.
        rollup: Option<String>,
        /// `PROPERTIES (…)`
        properties: Properties,
    },
    /// `MODIFY COLUMN c …`
    ModifyColumn {
        /// The column as it shall be.
        column: Box<ColumnDef>,
        /// Where the column goes.
        position: Option<ColumnPosition>,
        /// `FROM rollup`
        rollup: Option<String>,
        /// `PROPERTIES (…)`
        properties: Properties,
    },
    /// `ORDER BY (c, …) [FROM rollup]`
    OrderColumns {
        /// The new order.
        columns: Vec<String>,
        /// `FROM rollup`
        rollup: Option<String>,
        /// `PROPERTIES (…)`
        properties: Properties,
    },
    /// `ADD ROLLUP r (…)[, …]`
    AddRollup(Vec<RollupDef>),
    /// `DROP ROLLUP r[, …]`
    DropRollup(Vec<String>),
    /// `ADD INDEX …`
    AddIndex(IndexDef),
    /// `DROP INDEX i`
    DropIndex(String),
    /// `SWAP WITH other`
    SwapWith(String),
    /// `DISABLE KEYS` or `ENABLE KEYS`, which dumps put around the rows of a table. There are none to build here.
    Keys {
        /// `ENABLE`
        enabled: bool,
    },
    /// `[BASE | CUMULATIVE] COMPACT [p | (p, …)]`
    Compact {
        /// Which compaction.
        kind: CompactKind,
        /// Only these partitions; all when empty.
        partitions: Vec<String>,
    },
    /// `DISTRIBUTED BY …`
    Distribution(Distribution),
}

/// What `DROP PARTITION` names.
#[expect(clippy::large_enum_variant, reason = "one a statement")]
#[derive(Debug, Clone, PartialEq)]
pub enum DropPartitionTarget {
    /// Partitions by name.
    Names(Vec<String>),
    /// `START … END … EVERY …`
    Batch(PartitionBatch),
    /// `WHERE expr`
    Where(Expr),
}

/// What `MODIFY PARTITION` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModifyPartitionTarget {
    /// Partitions by name.
    Names(Vec<String>),
    /// `(*)`
    All,
}

/// Where a new or moved column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPosition {
    /// `FIRST`
    First,
    /// `AFTER column`
    After(String),
}

/// Which compaction `COMPACT` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactKind {
    /// `COMPACT`: the server decides.
    Any,
    /// `BASE COMPACT`
    Base,
    /// `CUMULATIVE COMPACT`
    Cumulative,
}
