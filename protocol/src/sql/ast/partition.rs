//! How a table is cut: partitions and buckets, as CREATE TABLE and ALTER TABLE write them.

use sqlparser::ast::Expr;

use super::name::Properties;

/// `PARTITION BY …`
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionBy {
    /// `PARTITION BY RANGE (columns) (partitions)`
    Range {
        /// The partition columns.
        columns: Vec<String>,
        /// The partitions that the statement names; single ones and batches may be mixed.
        partitions: Vec<PartitionDef>,
    },
    /// `PARTITION BY LIST (columns) (partitions)`
    List {
        /// The partition columns.
        columns: Vec<String>,
        /// The partitions that the statement names.
        partitions: Vec<PartitionDef>,
    },
    /// `PARTITION BY date_trunc('day', dt)`, `PARTITION BY (a, b)` or `PARTITION BY RANGE (expr)`:
    /// partitions come into being with the rows.
    Expression {
        /// The partition expressions; a plain column is an identifier.
        exprs: Vec<Expr>,
        /// Partitions to make at once, if any.
        partitions: Vec<PartitionDef>,
    },
}

/// One entry of a partition list, also what `ALTER TABLE … ADD PARTITION[S]` adds.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionDef {
    /// `PARTITION [IF NOT EXISTS] name VALUES … [("k" = "v")]`
    Single {
        /// Do nothing when a partition of this name exists.
        if_not_exists: bool,
        /// The partition's name.
        name: String,
        /// Which rows belong to it.
        values: PartitionValues,
        /// Properties of this partition alone.
        properties: Properties,
    },
    /// `START ("…") END ("…") EVERY (…)`: one partition a step, named by the server.
    Batch(PartitionBatch),
}

/// `START ("a") END ("b") EVERY (INTERVAL n unit | n)`, end excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBatch {
    /// The first value.
    pub start: String,
    /// The end, which is not included.
    pub end: String,
    /// The width of each partition.
    pub step: PartitionStep,
}

/// The width of each partition of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionStep {
    /// `EVERY (INTERVAL count unit)`
    Interval {
        /// How many units.
        count: u64,
        /// The unit.
        unit: IntervalUnit,
    },
    /// `EVERY (n)` for integer columns
    Number(u64),
}

/// The units that partitions may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalUnit {
    /// `MINUTE`
    Minute,
    /// `HOUR`
    Hour,
    /// `DAY`
    Day,
    /// `WEEK`
    Week,
    /// `MONTH`
    Month,
    /// `QUARTER`
    Quarter,
    /// `YEAR`
    Year,
}

/// Which rows belong to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionValues {
    /// `VALUES LESS THAN (…)`: everything up to this bound that no earlier partition has. Fewer values than partition
    /// columns are allowed; a bare `MAXVALUE` is one [`PartitionValue::MaxValue`].
    LessThan(Vec<PartitionValue>),
    /// `VALUES [(lower), (upper))`: lower included, upper not.
    Fixed {
        /// The lower bound, one value a column.
        lower: Vec<PartitionValue>,
        /// The upper bound, one value a column.
        upper: Vec<PartitionValue>,
    },
    /// `VALUES IN (…)`: one row of values a member; a row has one value for each partition column.
    In(Vec<Vec<PartitionValue>>),
}

/// One value of a partition's bound. Quoted and unquoted literals are the same here: the column's type decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionValue {
    /// A literal, without its quotes.
    Value(String),
    /// `MINVALUE`: below every value, NULL included.
    MinValue,
    /// `MAXVALUE`
    MaxValue,
    /// `NULL`, for list partitions.
    Null,
}

/// `DISTRIBUTED BY … [BUCKETS n]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// How a row finds its bucket.
    pub kind: DistributionKind,
    /// How many buckets; the server decides when absent.
    pub buckets: Option<u32>,
}

/// How a row finds its bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DistributionKind {
    /// `HASH (columns)`
    Hash(Vec<String>),
    /// `RANDOM`
    Random,
}
