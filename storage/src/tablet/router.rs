//! Which partition each row of a batch belongs to.
//!
//! Rows and bounds are brought to bytes whose order is the order of the keys, so that a row is found by binary search
//! whatever the partition columns' types. MINVALUE is the empty rest of a key, MAXVALUE a byte above every other.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType as ArrowType, SortOptions};

use crate::error::{Error, Result};
use crate::schema::{Bound, PartitionBounds, PartitionKey, TableDefinition, Value};

/// Above the first byte of every encoded value.
const MAX_VALUE: u8 = 0xff;

/// Finds the partitions of rows.
#[derive(Debug)]
pub struct PartitionRouter {
    columns: Vec<usize>,
    fields: Vec<SortField>,
    /// Lower and upper bound with the partition's place in the list given, lowest first.
    ranges: Vec<EncodedRange>,
    /// The partition of every row, when there is no range.
    all: Option<usize>,
}

#[derive(Debug)]
struct EncodedRange {
    lower: Vec<u8>,
    upper: Vec<u8>,
    partition: usize,
}

impl PartitionRouter {
    /// A router over these partitions of a table. Their bounds do not meet.
    pub fn new<'a>(
        definition: &TableDefinition,
        partitions: impl IntoIterator<Item = &'a PartitionBounds>,
    ) -> Result<PartitionRouter> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for id in definition.partition_columns() {
            let position = definition
                .position(*id)
                .ok_or_else(|| Error::Internal(format!("partition column {} is not in the table", id.0)))?;
            columns.push(position);
            fields.push(field(&definition.columns[position].data_type.to_arrow()));
        }
        let mut router = PartitionRouter { columns, fields, ranges: Vec::new(), all: None };
        for (partition, bounds) in partitions.into_iter().enumerate() {
            match bounds {
                PartitionBounds::All => router.all = Some(partition),
                PartitionBounds::Range { lower, upper } => {
                    let types: Vec<ArrowType> = router
                        .columns
                        .iter()
                        .map(|position| definition.columns[*position].data_type.to_arrow())
                        .collect();
                    let (lower, upper) = (encode_bound(lower, &types)?, encode_bound(upper, &types)?);
                    router.ranges.push(EncodedRange { lower, upper, partition });
                }
            }
        }
        router.ranges.sort_by(|left, right| left.lower.cmp(&right.lower));
        Ok(router)
    }

    /// For each row its partition's place in the list the router was made from; `None` for a row that fits none.
    pub fn route(&self, batch: &RecordBatch) -> Result<Vec<Option<usize>>> {
        if self.all.is_some() || self.columns.is_empty() {
            return Ok(vec![self.all; batch.num_rows()]);
        }
        let columns: Vec<ArrayRef> = self.columns.iter().map(|position| Arc::clone(batch.column(*position))).collect();
        let rows = RowConverter::new(self.fields.clone())?.convert_columns(&columns)?;
        let mut last: Option<&EncodedRange> = None;
        let mut found = Vec::with_capacity(batch.num_rows());
        for (position, row) in rows.iter().enumerate() {
            let key = row.data();
            // Rows come in runs of one partition more often than not.
            let hit = match last {
                Some(range) if range.holds(key) => Some(range),
                _ => self.find(key),
            };
            // NULL belongs to the lowest partition, even where that begins with a value.
            let hit = hit.or_else(|| self.ranges.first().filter(|_| columns[0].is_null(position)));
            last = hit.or(last);
            found.push(hit.map(|range| range.partition));
        }
        Ok(found)
    }

    fn find(&self, key: &[u8]) -> Option<&EncodedRange> {
        let after = self.ranges.partition_point(|range| range.lower.as_slice() <= key);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        range.holds(key).then_some(range)
    }
}

impl EncodedRange {
    fn holds(&self, key: &[u8]) -> bool {
        self.lower.as_slice() <= key && key < self.upper.as_slice()
    }
}

fn field(data_type: &ArrowType) -> SortField {
    SortField::new_with_options(data_type.clone(), SortOptions { descending: false, nulls_first: true })
}

fn encode_bound(key: &PartitionKey, types: &[ArrowType]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (bound, data_type) in key.0.iter().zip(types) {
        match bound {
            Bound::MinValue => break,
            Bound::MaxValue => {
                bytes.push(MAX_VALUE);
                break;
            }
            Bound::Value(value) => {
                let array = value_to_array(value, data_type)?;
                let rows = RowConverter::new(vec![field(data_type)])?.convert_columns(&[array])?;
                bytes.extend_from_slice(rows.row(0).data());
            }
        }
    }
    Ok(bytes)
}

/// A value as an array of one. Errors when it is none of the type.
pub fn value_to_array(value: &Value, data_type: &ArrowType) -> Result<ArrayRef> {
    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array,
        Int8Array, Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    let misfit = || Error::Internal(format!("value {value} is not of type {data_type}"));
    Ok(match (value, data_type) {
        (Value::Null, _) => new_null_array(data_type, 1),
        (Value::Boolean(value), ArrowType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        (Value::Int(value), ArrowType::Int8) => {
            Arc::new(Int8Array::from(vec![i8::try_from(*value).map_err(|_| misfit())?]))
        }
        (Value::Int(value), ArrowType::Int16) => {
            Arc::new(Int16Array::from(vec![i16::try_from(*value).map_err(|_| misfit())?]))
        }
        (Value::Int(value), ArrowType::Int32) => {
            Arc::new(Int32Array::from(vec![i32::try_from(*value).map_err(|_| misfit())?]))
        }
        (Value::Int(value), ArrowType::Int64) => {
            Arc::new(Int64Array::from(vec![i64::try_from(*value).map_err(|_| misfit())?]))
        }
        (Value::Int(value), ArrowType::Decimal256(precision, scale)) => {
            let array = Decimal256Array::from(vec![arrow_buffer::i256::from_i128(*value)]);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        (Value::Float(value), ArrowType::Float32) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Value::Float(value), ArrowType::Float64) => Arc::new(Float64Array::from(vec![*value])),
        (Value::Decimal { unscaled, scale }, ArrowType::Decimal128(precision, wanted))
            if i8::try_from(*scale) == Ok(*wanted) =>
        {
            Arc::new(Decimal128Array::from(vec![*unscaled]).with_precision_and_scale(*precision, *wanted)?)
        }
        (Value::Date(days), ArrowType::Date32) => Arc::new(Date32Array::from(vec![*days])),
        (Value::DateTime(micros), ArrowType::Timestamp(..)) => Arc::new(TimestampMicrosecondArray::from(vec![*micros])),
        (Value::String(text), ArrowType::Utf8) => Arc::new(StringArray::from(vec![text.as_str()])),
        (Value::Binary(bytes), ArrowType::Binary) => Arc::new(BinaryArray::from(vec![bytes.as_slice()])),
        _ => return Err(misfit()),
    })
}

#[cfg(test)]
mod tests;
