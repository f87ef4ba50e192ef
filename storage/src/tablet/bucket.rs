//! Which bucket a row belongs to under hash distribution.
//!
//! The bucket is `hash % buckets`, where the hash is XXH64 with seed 0 over the row's distribution columns, one after
//! another in the order of the definition. A column is one byte, 0 for NULL and 1 for a value, and after a 1 the value:
//!
//! | type | bytes |
//! |---|---|
//! | BOOLEAN | 1: 0 or 1 |
//! | TINYINT to LARGEINT | 16: the number, little-endian, two's complement |
//! | DATE | 4: days since 1970-01-01, little-endian |
//! | DATETIME | 8: microseconds since 1970-01-01 00:00:00, little-endian |
//! | DECIMAL | 16: the unscaled number, little-endian |
//! | CHAR, VARCHAR | 4: length in bytes, little-endian; then the bytes |
//!
//! This never changes: it says where every row on every disk and in every repository lies.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Int8Array, Int16Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use twox_hash::XxHash64;

use crate::error::{Error, Result};
use crate::schema::Value;

const SEED: u64 = 0;

/// The bucket of a row with these distribution-column values. Errors for a type that cannot distribute.
pub fn bucket_of_key(key: &[Value], buckets: u32) -> Result<u32> {
    let mut bytes = Vec::new();
    for value in key {
        if *value == Value::Null {
            bytes.push(0);
            continue;
        }
        bytes.push(1);
        match value {
            Value::Boolean(value) => bytes.push(u8::from(*value)),
            Value::Int(value) | Value::Decimal { unscaled: value, .. } => bytes.extend(value.to_le_bytes()),
            Value::Date(days) => bytes.extend(days.to_le_bytes()),
            Value::DateTime(micros) => bytes.extend(micros.to_le_bytes()),
            Value::String(text) => put_text(text, &mut bytes),
            Value::Null | Value::Float(_) | Value::Binary(_) => {
                return Err(Error::Internal(format!("value {value} cannot be hashed to a bucket")));
            }
        }
    }
    Ok(bucket(&bytes, buckets))
}

/// The bucket of each row, given the distribution columns.
pub fn bucket_of(columns: &[ArrayRef], buckets: u32) -> Result<Vec<u32>> {
    let encoders = columns.iter().map(Encoder::new).collect::<Result<Vec<_>>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    if buckets <= 1 {
        return Ok(vec![0; rows]);
    }
    let mut bytes = Vec::with_capacity(64);
    let mut found = Vec::with_capacity(rows);
    for row in 0..rows {
        bytes.clear();
        for encoder in &encoders {
            encoder.put(row, &mut bytes);
        }
        found.push(bucket(&bytes, buckets));
    }
    Ok(found)
}

fn bucket(bytes: &[u8], buckets: u32) -> u32 {
    // The remainder is below a 32-bit number.
    (XxHash64::oneshot(SEED, bytes) % u64::from(buckets.max(1))) as u32
}

fn put_text(text: &str, bytes: &mut Vec<u8>) {
    // A text is at most a megabyte.
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// One distribution column, by type.
enum Encoder<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    LargeInt(&'a Decimal256Array),
    Decimal(&'a Decimal128Array),
    Date(&'a Date32Array),
    DateTime(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
}

impl<'a> Encoder<'a> {
    fn new(array: &'a ArrayRef) -> Result<Encoder<'a>> {
        Ok(match array.data_type() {
            ArrowType::Boolean => Encoder::Boolean(array.as_boolean()),
            ArrowType::Int8 => Encoder::Int8(array.as_primitive::<Int8Type>()),
            ArrowType::Int16 => Encoder::Int16(array.as_primitive::<Int16Type>()),
            ArrowType::Int32 => Encoder::Int32(array.as_primitive::<Int32Type>()),
            ArrowType::Int64 => Encoder::Int64(array.as_primitive::<Int64Type>()),
            ArrowType::Decimal256(..) => Encoder::LargeInt(array.as_primitive::<Decimal256Type>()),
            ArrowType::Decimal128(..) => Encoder::Decimal(array.as_primitive::<Decimal128Type>()),
            ArrowType::Date32 => Encoder::Date(array.as_primitive::<Date32Type>()),
            ArrowType::Timestamp(TimeUnit::Microsecond, None) => {
                Encoder::DateTime(array.as_primitive::<TimestampMicrosecondType>())
            }
            ArrowType::Utf8 => Encoder::Text(array.as_string::<i32>()),
            other => return Err(Error::Internal(format!("a column of type {other} cannot distribute rows"))),
        })
    }

    fn put(&self, row: usize, bytes: &mut Vec<u8>) {
        if self.is_null(row) {
            bytes.push(0);
            return;
        }
        bytes.push(1);
        let mut put_int = |value: i128| bytes.extend(value.to_le_bytes());
        match self {
            Encoder::Boolean(array) => bytes.push(u8::from(array.value(row))),
            Encoder::Int8(array) => put_int(array.value(row).into()),
            Encoder::Int16(array) => put_int(array.value(row).into()),
            Encoder::Int32(array) => put_int(array.value(row).into()),
            Encoder::Int64(array) => put_int(array.value(row).into()),
            // A LARGEINT column holds 128-bit numbers only.
            Encoder::LargeInt(array) => put_int(array.value(row).as_i128()),
            Encoder::Decimal(array) => put_int(array.value(row)),
            Encoder::Date(array) => bytes.extend(array.value(row).to_le_bytes()),
            Encoder::DateTime(array) => bytes.extend(array.value(row).to_le_bytes()),
            Encoder::Text(array) => put_text(array.value(row), bytes),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Encoder::Boolean(array) => array.is_null(row),
            Encoder::Int8(array) => array.is_null(row),
            Encoder::Int16(array) => array.is_null(row),
            Encoder::Int32(array) => array.is_null(row),
            Encoder::Int64(array) => array.is_null(row),
            Encoder::LargeInt(array) => array.is_null(row),
            Encoder::Decimal(array) => array.is_null(row),
            Encoder::Date(array) => array.is_null(row),
            Encoder::DateTime(array) => array.is_null(row),
            Encoder::Text(array) => array.is_null(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_buffer::i256;
    use std::sync::Arc;

    fn columns() -> Vec<ArrayRef> {
        let large = Decimal256Array::from(vec![Some(i256::from_i128(i128::MIN)), None, Some(i256::from_i128(3))]);
        vec![
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(Int8Array::from(vec![Some(-1), None, Some(7)])),
            Arc::new(Int16Array::from(vec![Some(-300), None, Some(7)])),
            Arc::new(Int32Array::from(vec![Some(-70_000), None, Some(7)])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])),
            Arc::new(large.with_precision_and_scale(39, 0).unwrap()),
            Arc::new(Decimal128Array::from(vec![Some(-5), None, Some(5)]).with_precision_and_scale(10, 2).unwrap()),
            Arc::new(Date32Array::from(vec![Some(-1), None, Some(19_000)])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_000_000)])),
            Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
        ]
    }

    #[test]
    fn one_row_and_many_agree() {
        let columns = columns();
        for width in 1..=columns.len() {
            for offset in 0..=columns.len() - width {
                let key = &columns[offset..offset + width];
                let many = bucket_of(key, 1000).unwrap();
                for (row, bucket) in many.iter().enumerate() {
                    let values: Vec<Value> = key.iter().map(|column| Value::from_array(column, row).unwrap()).collect();
                    assert_eq!(bucket_of_key(&values, 1000).unwrap(), *bucket, "{values:?}");
                }
            }
        }
    }

    /// These numbers must never change: rows on disk and in repositories lie where they say.
    #[test]
    fn buckets_stay_what_they_are() {
        let buckets: Vec<u32> = [
            vec![Value::Int(1)],
            vec![Value::Int(-1)],
            vec![Value::Null],
            vec![Value::String("ebla".to_owned())],
            vec![Value::Date(19_000), Value::DateTime(5), Value::Boolean(true)],
            vec![Value::Decimal { unscaled: 12_345, scale: 2 }],
        ]
        .iter()
        .map(|key| bucket_of_key(key, 1_000_000).unwrap())
        .collect();
        assert_eq!(buckets, [756_541, 327_930, 757_544, 403_252, 233_507, 691_280]);
    }

    #[test]
    fn buckets_fill_evenly() {
        let keys: ArrayRef = Arc::new((0..10_000).collect::<Int64Array>());
        let mut counts = [0; 8];
        for bucket in bucket_of(&[keys], 8).unwrap() {
            counts[bucket as usize] += 1;
        }
        assert!(counts.iter().all(|count| (1100..1400).contains(count)), "{counts:?}");
    }
}
