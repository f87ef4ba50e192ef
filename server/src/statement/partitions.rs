//! From partition clauses to partitions: bounds worked out, batches counted out, names given.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use ebla_protocol::sql::ast::partition::{
    IntervalUnit, PartitionBatch, PartitionDef, PartitionStep, PartitionValue, PartitionValues,
};
use ebla_storage::catalog::{NewPartition, PartitionRow};
use ebla_storage::schema::{Bound, Column, DataType, PartitionBounds, PartitionKey, TableDefinition, Value};

use super::definition::{check_kept, check_other_name, parse_replication_num};
use crate::error::{Error, Result};

/// Most partitions that one batch may make.
const BATCH_PARTITIONS_MAX: usize = 4096;

/// Works out every partition of `defs`, beside those that are there. Ones that exist already and are said
/// IF NOT EXISTS are left out.
pub fn resolve_all(
    definition: &TableDefinition,
    defs: &[PartitionDef],
    existing: &[PartitionRow],
    replication_num: u32,
) -> Result<Vec<NewPartition>> {
    let columns: Vec<&Column> =
        definition.partition_columns().iter().filter_map(|id| definition.column_by_id(*id)).collect();
    let mut resolved: Vec<NewPartition> = Vec::new();
    for def in defs {
        match def {
            PartitionDef::Single { if_not_exists, name, values, properties } => {
                check_other_name(name)?;
                if *if_not_exists && existing.iter().any(|row| row.name.eq_ignore_ascii_case(name)) {
                    continue;
                }
                properties.iter().try_for_each(|(key, value)| check_kept(&key.to_ascii_lowercase(), value))?;
                let replication_num = match properties.get("replication_num") {
                    Some(text) => parse_replication_num(text)?,
                    None => replication_num,
                };
                let upper_before = last_upper(existing, &resolved);
                resolved.push(NewPartition {
                    name: name.clone(),
                    bounds: resolve_bounds(&columns, values, upper_before)?,
                    buckets: definition.buckets,
                    replication_num,
                    properties: properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                });
            }
            PartitionDef::Batch(batch) => {
                for (name, lower, upper) in count_out(&columns, batch)? {
                    resolved.push(NewPartition {
                        name,
                        bounds: PartitionBounds::Range {
                            lower: PartitionKey(vec![Bound::Value(lower)]),
                            upper: PartitionKey(vec![Bound::Value(upper)]),
                        },
                        buckets: definition.buckets,
                        replication_num,
                        properties: BTreeMap::new(),
                    });
                }
            }
        }
    }
    check_together(&resolved)?;
    Ok(resolved)
}

/// Names of the partitions a batch speaks of, for DROP PARTITIONS.
pub fn batch_names(definition: &TableDefinition, batch: &PartitionBatch) -> Result<Vec<String>> {
    let columns: Vec<&Column> =
        definition.partition_columns().iter().filter_map(|id| definition.column_by_id(*id)).collect();
    Ok(count_out(&columns, batch)?.into_iter().map(|(name, ..)| name).collect())
}

/// The highest upper bound so far: where the next LESS THAN begins.
fn last_upper(existing: &[PartitionRow], resolved: &[NewPartition]) -> Option<PartitionKey> {
    let bounds = existing.iter().map(|row| &row.bounds).chain(resolved.iter().map(|new| &new.bounds));
    bounds
        .filter_map(|bounds| match bounds {
            PartitionBounds::Range { upper, .. } => Some(upper.clone()),
            PartitionBounds::All => None,
        })
        .max_by(PartitionKey::compare)
}

fn resolve_bounds(
    columns: &[&Column],
    values: &PartitionValues,
    upper_before: Option<PartitionKey>,
) -> Result<PartitionBounds> {
    let bounds = match values {
        PartitionValues::LessThan(values) => PartitionBounds::Range {
            lower: upper_before.unwrap_or_else(|| PartitionKey(vec![Bound::MinValue; columns.len()])),
            upper: resolve_key(columns, values, Bound::MinValue)?,
        },
        PartitionValues::Fixed { lower, upper } => PartitionBounds::Range {
            lower: resolve_key(columns, lower, Bound::MinValue)?,
            upper: resolve_key(columns, upper, Bound::MinValue)?,
        },
        PartitionValues::In(_) => return Err(Error::not_yet("VALUES IN (list partitions)")),
    };
    if bounds.is_empty() {
        return Err(Error::analysis(match (values, &bounds) {
            (PartitionValues::LessThan(_), PartitionBounds::Range { lower, .. }) if is_end(lower) => {
                "No partition can be added behind one that reaches to MAXVALUE: drop that one first".into()
            }
            (PartitionValues::LessThan(_), PartitionBounds::Range { lower, upper }) => format!(
                "VALUES LESS THAN must be strictly increasing for each partition: {upper} is not above {lower}, where the \
                 last one ends; write VALUES [(lower), (upper)) for a partition between others"
            ),
            _ => format!("Partition range {bounds} is empty or runs backwards"),
        }));
    }
    Ok(bounds)
}

/// Whether nothing lies behind a bound.
fn is_end(key: &PartitionKey) -> bool {
    key.0.first() == Some(&Bound::MaxValue)
}

fn resolve_key(columns: &[&Column], values: &[PartitionValue], missing: Bound) -> Result<PartitionKey> {
    if values.is_empty() || values.len() > columns.len() {
        return Err(Error::analysis(format!(
            "A partition bound has 1 to {} values, one a partition column, not {}",
            columns.len(),
            values.len()
        )));
    }
    if values == [PartitionValue::MaxValue] {
        return Ok(PartitionKey(vec![Bound::MaxValue; columns.len()]));
    }
    let mut bounds = Vec::with_capacity(columns.len());
    for (position, column) in columns.iter().enumerate() {
        bounds.push(match values.get(position) {
            None => missing.clone(),
            Some(PartitionValue::MinValue) => Bound::MinValue,
            Some(PartitionValue::MaxValue) => Bound::MaxValue,
            Some(PartitionValue::Null) => Bound::Value(Value::Null),
            Some(PartitionValue::Value(text)) => {
                let value = Value::parse(text, &column.data_type).map_err(|error| {
                    Error::analysis(format!("Invalid partition value for column '{}': {error}", column.name))
                })?;
                Bound::Value(value)
            }
        });
    }
    Ok(PartitionKey(bounds))
}

/// Errors when two new partitions have one name or meet.
fn check_together(partitions: &[NewPartition]) -> Result<()> {
    for (position, one) in partitions.iter().enumerate() {
        for other in &partitions[..position] {
            if one.name.eq_ignore_ascii_case(&other.name) {
                return Err(Error::analysis(format!("Duplicate partition name '{}'", one.name)));
            }
            if one.bounds.overlaps(&other.bounds) {
                return Err(Error::analysis(format!(
                    "Range {} of partition '{}' intersects with range {} of partition '{}'",
                    one.bounds, one.name, other.bounds, other.name
                )));
            }
        }
    }
    Ok(())
}

/// The partitions of a batch: name, lower bound, upper bound.
fn count_out(columns: &[&Column], batch: &PartitionBatch) -> Result<Vec<(String, Value, Value)>> {
    let [column] = columns else {
        return Err(Error::analysis("START … END … EVERY needs exactly one partition column"));
    };
    let parse = |text: &str| {
        Value::parse(text, &column.data_type)
            .map_err(|error| Error::analysis(format!("Invalid partition value for column '{}': {error}", column.name)))
    };
    let (start, end) = (parse(&batch.start)?, parse(&batch.end)?);
    if start.compare(&end).is_ge() {
        return Err(Error::analysis(format!("START ({}) must be before END ({})", batch.start, batch.end)));
    }
    let mut partitions = Vec::new();
    let mut lower = start.clone();
    while lower.compare(&end).is_lt() {
        if partitions.len() >= BATCH_PARTITIONS_MAX {
            return Err(Error::analysis(format!(
                "The batch has more than {BATCH_PARTITIONS_MAX} partitions: widen EVERY or split the batch"
            )));
        }
        // Counted from the start, so that a month of 31 days does not shift the ones after a month of 28.
        let next = advance(column, &start, batch.step, partitions.len() as u64 + 1)?;
        let upper = if next.compare(&end).is_gt() { end.clone() } else { next };
        if upper.compare(&lower).is_le() {
            return Err(Error::analysis("EVERY must be greater than zero"));
        }
        partitions.push((batch_name(&lower, batch.step), lower, upper.clone()));
        lower = upper;
    }
    Ok(partitions)
}

fn advance(column: &Column, start: &Value, step: PartitionStep, steps: u64) -> Result<Value> {
    let too_far = || Error::analysis("The batch runs beyond the last value of its type");
    match (start, step) {
        (Value::Int(number), PartitionStep::Number(width)) => {
            let next = number + i128::from(width) * i128::from(steps);
            Value::parse(&next.to_string(), &column.data_type).map_err(|_| too_far())
        }
        (Value::Date(days), PartitionStep::Interval { count, unit }) => {
            let sub_day = matches!(unit, IntervalUnit::Hour | IntervalUnit::Minute);
            if sub_day {
                return Err(Error::analysis("A DATE column takes steps of a day or more"));
            }
            let moment =
                add_interval(date_time(i64::from(*days) * MICROS_PER_DAY).ok_or_else(too_far)?, count, unit, steps)
                    .ok_or_else(too_far)?;
            let days = moment.and_utc().timestamp().div_euclid(86_400);
            Ok(Value::Date(i32::try_from(days).map_err(|_| too_far())?))
        }
        (Value::DateTime(micros), PartitionStep::Interval { count, unit }) => {
            let moment =
                add_interval(date_time(*micros).ok_or_else(too_far)?, count, unit, steps).ok_or_else(too_far)?;
            Ok(Value::DateTime(moment.and_utc().timestamp_micros()))
        }
        (Value::Int(_), PartitionStep::Interval { .. }) => {
            Err(Error::analysis(format!("Column '{}' is an integer: write EVERY (n)", column.name)))
        }
        _ => Err(Error::analysis(format!(
            "Column '{}' is of type {}: write EVERY (INTERVAL n unit)",
            column.name, column.data_type
        ))),
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn date_time(micros: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}

fn add_interval(start: NaiveDateTime, count: u64, unit: IntervalUnit, steps: u64) -> Option<NaiveDateTime> {
    let units = count.checked_mul(steps)?;
    let months = |factor: u64| start.checked_add_months(Months::new(u32::try_from(units.checked_mul(factor)?).ok()?));
    match unit {
        IntervalUnit::Minute => start.checked_add_signed(TimeDelta::try_minutes(i64::try_from(units).ok()?)?),
        IntervalUnit::Hour => start.checked_add_signed(TimeDelta::try_hours(i64::try_from(units).ok()?)?),
        IntervalUnit::Day => start.checked_add_days(Days::new(units)),
        IntervalUnit::Week => start.checked_add_days(Days::new(units.checked_mul(7)?)),
        IntervalUnit::Month => months(1),
        IntervalUnit::Quarter => months(3),
        IntervalUnit::Year => months(12),
    }
}

/// The name StarRocks gives: `p` and as much of the lower bound as the step needs.
fn batch_name(lower: &Value, step: PartitionStep) -> String {
    let moment = match lower {
        Value::Date(days) => date_time(i64::from(*days) * MICROS_PER_DAY),
        Value::DateTime(micros) => date_time(*micros),
        other => return format!("p{other}").replace('-', "_"),
    };
    let Some(moment) = moment else { return format!("p{lower}") };
    let date: NaiveDate = moment.date();
    match step {
        PartitionStep::Interval { unit: IntervalUnit::Minute, .. } => moment.format("p%Y%m%d%H%M").to_string(),
        PartitionStep::Interval { unit: IntervalUnit::Hour, .. } => moment.format("p%Y%m%d%H").to_string(),
        PartitionStep::Interval { unit: IntervalUnit::Month | IntervalUnit::Quarter, .. } if date.day() == 1 => {
            date.format("p%Y%m").to_string()
        }
        PartitionStep::Interval { unit: IntervalUnit::Year, .. } if date.ordinal() == 1 => {
            date.format("p%Y").to_string()
        }
        PartitionStep::Interval { unit: IntervalUnit::Week, .. } if moment.hour() == 0 => {
            format!("p{}_{:02}", date.iso_week().year(), date.iso_week().week())
        }
        _ => date.format("p%Y%m%d").to_string(),
    }
}

/// The bound of `data_type` as SHOW PARTITIONS names its type.
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date => "DATE",
        DataType::DateTime => "DATETIME",
        DataType::TinyInt => "TINYINT",
        DataType::SmallInt => "SMALLINT",
        DataType::Int => "INT",
        DataType::BigInt => "BIGINT",
        DataType::LargeInt => "LARGEINT",
        _ => "VARCHAR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebla_storage::schema::ColumnId;

    fn column(data_type: DataType) -> Column {
        Column {
            id: ColumnId(1),
            name: "k".into(),
            data_type,
            nullable: true,
            key: true,
            aggregation: None,
            default: None,
            auto_increment: false,
            comment: String::new(),
        }
    }

    fn batch(start: &str, end: &str, step: PartitionStep) -> PartitionBatch {
        PartitionBatch { start: start.into(), end: end.into(), step }
    }

    #[test]
    fn months_are_counted_from_the_start() {
        let step = PartitionStep::Interval { count: 1, unit: IntervalUnit::Month };
        let made = count_out(&[&column(DataType::Date)], &batch("2024-01-31", "2024-04-01", step)).expect("a batch");
        let lowers: Vec<String> = made.iter().map(|(_, lower, _)| lower.to_string()).collect();
        assert_eq!(lowers, ["2024-01-31", "2024-02-29", "2024-03-31"]);
    }

    #[test]
    fn names_follow_the_step() {
        let interval = |unit| PartitionStep::Interval { count: 1, unit };
        for (data_type, start, end, step, expected) in [
            (DataType::Date, "2024-01-01", "2024-02-01", interval(IntervalUnit::Month), "p202401"),
            (DataType::Date, "2024-01-01", "2024-01-02", interval(IntervalUnit::Day), "p20240101"),
            (
                DataType::DateTime,
                "2024-01-01 05:00:00",
                "2024-01-01 06:00:00",
                interval(IntervalUnit::Hour),
                "p2024010105",
            ),
            (DataType::Int, "10", "20", PartitionStep::Number(10), "p10"),
            (DataType::Date, "2024-01-01", "2025-01-01", interval(IntervalUnit::Year), "p2024"),
        ] {
            let made = count_out(&[&column(data_type)], &batch(start, end, step)).expect(start);
            assert_eq!(made[0].0, expected);
            assert_eq!(made.len(), 1);
        }
    }

    #[test]
    fn endless_batches_are_refused() {
        let step = PartitionStep::Number(1);
        let error = count_out(&[&column(DataType::Int)], &batch("0", "1000000", step)).expect_err("too many");
        assert!(error.to_string().contains("more than 4096 partitions"));
        assert!(count_out(&[&column(DataType::Int)], &batch("0", "5", PartitionStep::Number(0))).is_err());
        assert!(count_out(&[&column(DataType::Int)], &batch("5", "0", step)).is_err());
    }
}
