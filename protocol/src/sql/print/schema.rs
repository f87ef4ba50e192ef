//! Databases, types, partitions and buckets.

use std::fmt::{self, Display, Formatter};

use super::{display, ident, list, names, string, tree, when, write_properties};
use crate::sql::ast::database::{AlterDatabase, AlterDatabaseAction, CreateDatabase, DropDatabase, Recover, Use};
use crate::sql::ast::partition::{
    Distribution, DistributionKind, IntervalUnit, PartitionBatch, PartitionBy, PartitionDef, PartitionStep,
    PartitionValue, PartitionValues,
};
use crate::sql::ast::types::{DataType, StructField};

impl Display for CreateDatabase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE DATABASE ")?;
        f.write_str(when(self.if_not_exists, "IF NOT EXISTS "))?;
        write!(f, "{}", in_catalog(self.catalog.as_deref(), &self.database))?;
        write_properties(f, &self.properties)
    }
}

impl Display for DropDatabase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DROP DATABASE ")?;
        f.write_str(when(self.if_exists, "IF EXISTS "))?;
        write!(f, "{}{}", in_catalog(self.catalog.as_deref(), &self.database), when(self.force, " FORCE"))
    }
}

impl Display for AlterDatabase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER DATABASE {} ", ident(&self.database))?;
        match &self.action {
            AlterDatabaseAction::Rename(name) => write!(f, "RENAME {}", ident(name)),
            AlterDatabaseAction::SetDataQuota(size) => write!(f, "SET DATA QUOTA {size}"),
            AlterDatabaseAction::SetReplicaQuota(count) => write!(f, "SET REPLICA QUOTA {count}"),
            AlterDatabaseAction::SetProperties(properties) => write!(f, "SET {properties}"),
        }
    }
}

impl Display for Use {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "USE {}", in_catalog(self.catalog.as_deref(), &self.database))
    }
}

impl Display for Recover {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(database) => write!(f, "RECOVER DATABASE {}", ident(database)),
            Self::Table(table) => write!(f, "RECOVER TABLE {table}"),
            Self::Partition { partition, table } => write!(f, "RECOVER PARTITION {} FROM {table}", ident(partition)),
        }
    }
}

/// `[catalog.]database`
pub(super) fn in_catalog<'a>(catalog: Option<&'a str>, database: &'a str) -> impl Display + 'a {
    display(move |f| {
        if let Some(catalog) = catalog {
            write!(f, "{}.", ident(catalog))?;
        }
        write!(f, "{}", ident(database))
    })
}

impl Display for DataType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::LargeInt => f.write_str("LARGEINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision: Some(precision), scale: Some(scale) } => {
                write!(f, "DECIMAL({precision}, {scale})")
            }
            Self::Decimal { precision: Some(precision), scale: None } => write!(f, "DECIMAL({precision})"),
            Self::Decimal { .. } => f.write_str("DECIMAL"),
            Self::Date => f.write_str("DATE"),
            Self::DateTime => f.write_str("DATETIME"),
            Self::Time => f.write_str("TIME"),
            Self::Char(length) => with_length(f, "CHAR", *length),
            Self::Varchar(length) => with_length(f, "VARCHAR", *length),
            Self::String => f.write_str("STRING"),
            Self::Binary(length) => with_length(f, "BINARY", *length),
            Self::Varbinary(length) => with_length(f, "VARBINARY", *length),
            Self::Json => f.write_str("JSON"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Struct(fields) => write!(f, "STRUCT<{}>", list(fields)),
            Self::Bitmap => f.write_str("BITMAP"),
            Self::Hll => f.write_str("HLL"),
            Self::Percentile => f.write_str("PERCENTILE"),
        }
    }
}

impl Display for StructField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", ident(&self.name), self.data_type)
    }
}

fn with_length(f: &mut Formatter<'_>, name: &str, length: Option<u32>) -> fmt::Result {
    match length {
        Some(length) => write!(f, "{name}({length})"),
        None => f.write_str(name),
    }
}

/// What comes after `PARTITION BY`.
impl Display for PartitionBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { columns, partitions } => {
                write!(f, "RANGE{}{}", names(columns), definitions(partitions, true))
            }
            Self::List { columns, partitions } => write!(f, "LIST{}{}", names(columns), definitions(partitions, true)),
            Self::Expression { exprs, partitions } => {
                f.write_str("(")?;
                for (nth, expr) in exprs.iter().enumerate() {
                    write!(f, "{}{}", when(nth > 0, ", "), tree(expr))?;
                }
                write!(f, "){}", definitions(partitions, false))
            }
        }
    }
}

/// ` (…)`; nothing when the list is empty and need not be there.
fn definitions(partitions: &[PartitionDef], always: bool) -> impl Display + '_ {
    display(move |f| {
        if partitions.is_empty() {
            return f.write_str(when(always, " ()"));
        }
        f.write_str(" (")?;
        for (nth, partition) in partitions.iter().enumerate() {
            let word = when(matches!(partition, PartitionDef::Single { .. }), "PARTITION ");
            write!(f, "{}{word}{partition}", when(nth > 0, ", "))?;
        }
        f.write_str(")")
    })
}

/// Without the word PARTITION, which stands in different places.
impl Display for PartitionDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => write!(f, "{batch}"),
            Self::Single { if_not_exists, name, values, properties } => {
                write!(f, "{}{} VALUES {values}", when(*if_not_exists, "IF NOT EXISTS "), ident(name))?;
                if properties.is_empty() { Ok(()) } else { write!(f, " {properties}") }
            }
        }
    }
}

impl Display for PartitionBatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "START ({}) END ({}) EVERY ({})", string(&self.start), string(&self.end), self.step)
    }
}

impl Display for PartitionStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval { count, unit } => write!(f, "INTERVAL {count} {unit}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Display for IntervalUnit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Quarter => "QUARTER",
            Self::Year => "YEAR",
        })
    }
}

impl Display for PartitionValues {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LessThan(values) => write!(f, "LESS THAN ({})", list(values)),
            Self::Fixed { lower, upper } => write!(f, "[({}), ({}))", list(lower), list(upper)),
            Self::In(rows) => {
                let single = rows.iter().all(|row| row.len() == 1);
                f.write_str("IN (")?;
                for (nth, row) in rows.iter().enumerate() {
                    let (open, close) = if single { ("", "") } else { ("(", ")") };
                    write!(f, "{}{open}{}{close}", when(nth > 0, ", "), list(row))?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Display for PartitionValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(text) => write!(f, "{}", string(text)),
            Self::MinValue => f.write_str("MINVALUE"),
            Self::MaxValue => f.write_str("MAXVALUE"),
            Self::Null => f.write_str("NULL"),
        }
    }
}

impl Display for Distribution {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DistributionKind::Hash(columns) => write!(f, "DISTRIBUTED BY HASH{}", names(columns))?,
            DistributionKind::Random => f.write_str("DISTRIBUTED BY RANDOM")?,
        }
        match self.buckets {
            Some(buckets) => write!(f, " BUCKETS {buckets}"),
            None => Ok(()),
        }
    }
}
