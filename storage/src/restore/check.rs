//! Whether what a snapshot says makes sense, before anything is built of it.
//!
//! The repository has checked that nodes are whole, well-formed and agree in their sums. Here it is the meaning:
//! columns that are named but not there, ranges that overlap, buckets beyond the last, zone maps of the wrong type.
//! A snapshot is data from outside; whoever wrote it, nothing in it may lead to a panic or to a table that cannot be.

use std::collections::HashSet;

use crate::catalog::ZoneMap;
use crate::repository::format::{FormatError, PartitionNode, TableNode};
use crate::schema::{
    Bound, ColumnId, DataType, Distribution, PartitionBounds, PartitionKey, Partitioning, TableDefinition, Value,
};

/// Most columns of a table: beyond what anybody has.
const COLUMNS_MAX: usize = 10_000;

/// Deepest nesting of a type: beyond it, code that recurses over types would be at risk.
const NESTING_MAX: usize = 32;

/// Most tablets of a table. Each is rows in the catalog and a directory.
pub(super) const TABLETS_MAX: u64 = 1_000_000;

/// Longest name of a table in bytes.
const TABLE_NAME_BYTES_MAX: usize = 4 * 1024;

/// Errors when a table cannot be what its node says.
pub(crate) fn table(name: &str, node: &TableNode) -> Result<(), FormatError> {
    ensure(name.len() <= TABLE_NAME_BYTES_MAX, || "a table's name is too long".to_owned())?;
    ensure(node.indexes.len() == 1, || {
        format!("table '{name}' has materialized indexes, which this version cannot restore: use a newer one")
    })?;
    definition(&node.definition)?;
    ensure(node.auto_increment_next.is_none_or(|next| next >= 1), || {
        "an AUTO_INCREMENT counter is below 1".to_owned()
    })?;
    ensure(!node.partitions.is_empty() || !node.definition.partition_columns().is_empty(), || {
        format!("table '{name}' is not partitioned and has no partition")
    })?;
    let tablets = node.partitions.iter().map(|partition| u64::from(partition.buckets)).fold(0, u64::saturating_add);
    ensure(tablets <= TABLETS_MAX, || format!("table '{name}' has {tablets} tablets, more than {TABLETS_MAX}"))?;
    for partition in &node.partitions {
        bounds(&node.definition, &partition.name, &partition.bounds)?;
        ensure(partition.replication_num >= 1, || format!("partition '{}' has no replica", partition.name))?;
    }
    let mut sorted: Vec<_> = node.partitions.iter().collect();
    sorted.sort_by(|left, right| match (&left.bounds, &right.bounds) {
        (PartitionBounds::Range { lower: left, .. }, PartitionBounds::Range { lower: right, .. }) => {
            left.compare(right)
        }
        _ => std::cmp::Ordering::Equal,
    });
    // In order, only neighbours can meet.
    match sorted.windows(2).find(|pair| pair[0].bounds.overlaps(&pair[1].bounds)) {
        Some(pair) => fail(format!("partitions '{}' and '{}' overlap", pair[0].name, pair[1].name)),
        None => Ok(()),
    }
}

/// Errors when a partition's files cannot be those of its table.
pub(crate) fn partition(definition: &TableDefinition, node: &PartitionNode) -> Result<(), FormatError> {
    for segment in node.segments() {
        ensure(segment.rows > 0 && segment.rows <= u64::from(u32::MAX), || {
            format!("segment {} has {} rows", segment.digest, segment.rows)
        })?;
        ensure(segment.bytes > 0, || format!("segment {} is empty", segment.digest))?;
        ensure(segment.deletes.is_none_or(|deletes| deletes.bytes > 0 && deletes.digest != segment.digest), || {
            format!("the delete vector of segment {} makes no sense", segment.digest)
        })?;
        for zone_map in &segment.zone_maps {
            zone_map_fits(definition, zone_map, segment.rows)?;
        }
    }
    Ok(())
}

fn definition(definition: &TableDefinition) -> Result<(), FormatError> {
    let columns = &definition.columns;
    ensure(columns.len() <= COLUMNS_MAX, || format!("{} columns are too many", columns.len()))?;
    let ids: HashSet<ColumnId> = columns.iter().map(|column| column.id).collect();
    ensure(ids.len() == columns.len(), || "two columns have one id".to_owned())?;
    let names: HashSet<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
    ensure(names.len() == columns.len(), || "two columns have one name".to_owned())?;
    for column in columns {
        data_type(&column.name, &column.data_type, 1)?;
        ensure(!column.key || column.data_type.can_be_key(), || format!("column '{}' cannot be a key", column.name))?;
    }
    let distribution = match &definition.distribution {
        Distribution::Hash { columns } => columns.as_slice(),
        Distribution::Random => &[],
    };
    ensure(!matches!(&definition.distribution, Distribution::Hash { columns } if columns.is_empty()), || {
        "a hash distribution has no column".to_owned()
    })?;
    ensure(!matches!(&definition.partitioning, Partitioning::Range { columns } if columns.is_empty()), || {
        "a range partitioning has no column".to_owned()
    })?;
    let keys = definition.sort_key.iter().chain(definition.partition_columns()).chain(distribution);
    for id in keys {
        let fits = definition.column_by_id(*id).is_some_and(|column| column.data_type.can_be_key());
        ensure(fits, || format!("column {} orders or divides rows, and is not there or cannot", id.0))?;
    }
    for id in definition.indexes.iter().flat_map(|index| &index.columns) {
        ensure(ids.contains(id), || format!("an index is over column {}, which is not there", id.0))?;
    }
    ensure(definition.buckets >= 1, || "a table has no bucket".to_owned())
}

fn data_type(column: &str, of: &DataType, depth: usize) -> Result<(), FormatError> {
    ensure(depth <= NESTING_MAX, || format!("the type of column '{column}' is nested too deeply"))?;
    match of {
        DataType::Decimal { precision, scale } => {
            let fits = (1..=DataType::DECIMAL_PRECISION_MAX).contains(precision) && scale <= precision;
            ensure(fits, || format!("column '{column}' is a decimal({precision}, {scale})"))
        }
        DataType::Array { element } => data_type(column, element, depth + 1),
        DataType::Map { key, value } => {
            data_type(column, key, depth + 1)?;
            data_type(column, value, depth + 1)
        }
        DataType::Struct { fields } => {
            let names: HashSet<String> = fields.iter().map(|field| field.name.to_lowercase()).collect();
            ensure(!fields.is_empty() && names.len() == fields.len(), || {
                format!("the fields of column '{column}' are none, or two have one name")
            })?;
            fields.iter().try_for_each(|field| data_type(column, &field.data_type, depth + 1))
        }
        _ => Ok(()),
    }
}

fn bounds(definition: &TableDefinition, name: &str, of: &PartitionBounds) -> Result<(), FormatError> {
    let columns = definition.partition_columns();
    let fits = match of {
        PartitionBounds::All => columns.is_empty(),
        PartitionBounds::Range { lower, upper } => {
            !columns.is_empty() && !of.is_empty() && [lower, upper].into_iter().all(|key| key_fits(definition, key))
        }
    };
    ensure(fits, || format!("the range {of} of partition '{name}' is none of its table's"))
}

fn key_fits(definition: &TableDefinition, key: &PartitionKey) -> bool {
    let columns = definition.partition_columns();
    key.0.len() <= columns.len()
        && key.0.iter().zip(columns).all(|(bound, column)| match bound {
            Bound::MinValue | Bound::MaxValue => true,
            Bound::Value(value) => {
                definition.column_by_id(*column).is_some_and(|column| value_fits(value, &column.data_type))
            }
        })
}

fn zone_map_fits(definition: &TableDefinition, zone_map: &ZoneMap, rows: u64) -> Result<(), FormatError> {
    ensure(zone_map.nulls <= rows, || "a zone map counts more NULLs than there are rows".to_owned())?;
    // A column that has been dropped since may still be in old segments.
    let Some(column) = definition.column_by_id(zone_map.column) else {
        return Ok(());
    };
    let fits = [&zone_map.min, &zone_map.max].into_iter().all(|value| value_fits(value, &column.data_type))
        && zone_map.min.compare(&zone_map.max).is_le();
    ensure(fits, || format!("the zone map of column '{}' is of another type or upside down", column.name))
}

/// Whether a value can be one of a column of this type.
fn value_fits(value: &Value, of: &DataType) -> bool {
    match (value, of) {
        (Value::Null, _) | (Value::Boolean(_), DataType::Boolean) => true,
        (Value::Int(_), of) => of.is_integer(),
        (Value::Float(_), DataType::Float | DataType::Double) => true,
        (Value::Decimal { scale, .. }, DataType::Decimal { scale: expected, .. }) => scale == expected,
        (Value::Date(_), DataType::Date) | (Value::DateTime(_), DataType::DateTime) => true,
        (Value::String(_), DataType::Char { .. } | DataType::Varchar { .. } | DataType::Json) => true,
        (Value::Binary(_), DataType::Varbinary { .. }) => true,
        _ => false,
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), FormatError> {
    if holds { Ok(()) } else { fail(otherwise()) }
}

fn fail(text: String) -> Result<(), FormatError> {
    Err(FormatError::Inconsistent(text))
}

#[cfg(test)]
mod tests;
