//! Zone maps: the least and the greatest value of each scalar column of a segment, gathered while it is written.
//!
//! A bound may be wider than the values, never narrower. Long texts are cut: the lower bound by cutting, the upper by
//! cutting and raising the last character.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType as ArrowType, TimeUnit};

use crate::catalog::ZoneMap;
use crate::schema::{ColumnId, DataType, TableDefinition, Value};

/// Longest bound of a text column, in bytes.
const BOUND_BYTES_MAX: usize = 64;

/// Gathers the zone maps of one segment.
#[derive(Debug)]
pub struct ZoneMapBuilder {
    columns: Vec<ColumnBounds>,
}

#[derive(Debug)]
struct ColumnBounds {
    position: usize,
    column: ColumnId,
    bounds: Option<(Value, Value)>,
    nulls: u64,
}

impl ZoneMapBuilder {
    /// A builder for segments of a table.
    pub fn new(definition: &TableDefinition) -> Self {
        let columns = definition
            .columns
            .iter()
            .enumerate()
            // The order of JSON documents is not the order of their texts.
            .filter(|(_, column)| !column.data_type.is_nested() && column.data_type != DataType::Json)
            .map(|(position, column)| ColumnBounds { position, column: column.id, bounds: None, nulls: 0 })
            .collect();
        ZoneMapBuilder { columns }
    }

    /// Takes in a batch of the table's schema.
    pub fn add(&mut self, batch: &RecordBatch) {
        for column in &mut self.columns {
            let array = batch.column(column.position);
            column.nulls += array.null_count() as u64;
            let Some((least, greatest)) = extremes(array) else { continue };
            column.bounds = Some(match column.bounds.take() {
                None => (least, greatest),
                Some((min, max)) => (
                    if least.compare(&min).is_lt() { least } else { min },
                    if greatest.compare(&max).is_gt() { greatest } else { max },
                ),
            });
        }
    }

    /// The zone maps. A column whose greatest value cannot be cut and raised has none.
    pub fn finish(self) -> Vec<ZoneMap> {
        self.columns
            .into_iter()
            .filter_map(|column| {
                let (min, max) = match column.bounds {
                    None => (Value::Null, Value::Null),
                    Some((min, max)) => (cut_lower(min), raise_upper(max)?),
                };
                Some(ZoneMap { column: column.column, min, max, nulls: column.nulls })
            })
            .collect()
    }
}

/// The least and the greatest value that is not NULL; `None` when there is none.
fn extremes(array: &ArrayRef) -> Option<(Value, Value)> {
    if array.null_count() == array.len() {
        return None;
    }
    let (least, greatest) = match array.data_type() {
        ArrowType::Boolean => positions(array, |a, b| array.as_boolean().value(a).cmp(&array.as_boolean().value(b))),
        ArrowType::Int8 => ordered::<Int8Type>(array),
        ArrowType::Int16 => ordered::<Int16Type>(array),
        ArrowType::Int32 => ordered::<Int32Type>(array),
        ArrowType::Int64 => ordered::<Int64Type>(array),
        ArrowType::Date32 => ordered::<Date32Type>(array),
        ArrowType::Timestamp(TimeUnit::Microsecond, None) => ordered::<TimestampMicrosecondType>(array),
        ArrowType::Decimal128(..) => ordered::<Decimal128Type>(array),
        ArrowType::Decimal256(..) => ordered::<Decimal256Type>(array),
        ArrowType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            positions(array, |a, b| values.value(a).total_cmp(&values.value(b)))
        }
        ArrowType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            positions(array, |a, b| values.value(a).total_cmp(&values.value(b)))
        }
        ArrowType::Utf8 => {
            let values = array.as_string::<i32>();
            positions(array, |a, b| values.value(a).cmp(values.value(b)))
        }
        ArrowType::Binary => {
            let values = array.as_binary::<i32>();
            positions(array, |a, b| values.value(a).cmp(values.value(b)))
        }
        _ => None,
    }?;
    Some((Value::from_array(array, least)?, Value::from_array(array, greatest)?))
}

/// Positions of the least and the greatest value of a primitive array.
fn ordered<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<(usize, usize)>
where
    T::Native: Ord,
{
    let array: &PrimitiveArray<T> = array.as_primitive::<T>();
    let values = array.values();
    let mut found: Option<(usize, usize)> = None;
    for position in 0..values.len() {
        if array.is_null(position) {
            continue;
        }
        found = Some(match found {
            None => (position, position),
            Some((least, greatest)) => (
                if values[position] < values[least] { position } else { least },
                if values[position] > values[greatest] { position } else { greatest },
            ),
        });
    }
    found
}

fn positions(array: &ArrayRef, compare: impl Fn(usize, usize) -> std::cmp::Ordering) -> Option<(usize, usize)> {
    let mut found: Option<(usize, usize)> = None;
    for position in 0..array.len() {
        if array.is_null(position) {
            continue;
        }
        found = Some(match found {
            None => (position, position),
            Some((least, greatest)) => (
                if compare(position, least).is_lt() { position } else { least },
                if compare(position, greatest).is_gt() { position } else { greatest },
            ),
        });
    }
    found
}

fn cut_lower(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > BOUND_BYTES_MAX => {
            Value::String(text[..text.floor_char_boundary(BOUND_BYTES_MAX)].to_owned())
        }
        Value::Binary(bytes) if bytes.len() > BOUND_BYTES_MAX => Value::Binary(bytes[..BOUND_BYTES_MAX].to_vec()),
        short => short,
    }
}

fn raise_upper(value: Value) -> Option<Value> {
    match value {
        Value::String(text) if text.len() > BOUND_BYTES_MAX => {
            let mut cut = text[..text.floor_char_boundary(BOUND_BYTES_MAX)].to_owned();
            while let Some(last) = cut.pop() {
                if let Some(next) = next_char(last) {
                    cut.push(next);
                    return Some(Value::String(cut));
                }
            }
            None
        }
        Value::Binary(bytes) if bytes.len() > BOUND_BYTES_MAX => {
            let mut cut = bytes[..BOUND_BYTES_MAX].to_vec();
            while let Some(last) = cut.pop() {
                if let Some(next) = last.checked_add(1) {
                    cut.push(next);
                    return Some(Value::Binary(cut));
                }
            }
            None
        }
        short => Some(short),
    }
}

/// The character after this one, in the order of code points, which is the order of UTF-8 bytes.
fn next_char(character: char) -> Option<char> {
    match character {
        '\u{d7ff}' => Some('\u{e000}'),
        _ => char::from_u32(u32::from(character) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn long_texts_are_cut_outwards() {
        let long = "ä".repeat(40);
        let Value::String(lower) = cut_lower(Value::String(long.clone())) else { panic!() };
        let Some(Value::String(upper)) = raise_upper(Value::String(long.clone())) else { panic!() };
        assert_eq!(lower, "ä".repeat(32));
        assert_eq!(upper, format!("{}å", "ä".repeat(31)));
        assert!(lower.as_str() < long.as_str() && long.as_str() < upper.as_str());

        assert_eq!(raise_upper(Value::String("\u{10ffff}".repeat(20))), None);
        let ends = format!("a{}", "\u{10ffff}".repeat(20));
        assert_eq!(raise_upper(Value::String(ends)), Some(Value::String("b".to_owned())));
        assert_eq!(raise_upper(Value::Binary(vec![255; 80])), None);
        assert_eq!(next_char('\u{d7ff}'), Some('\u{e000}'));
        assert_eq!(raise_upper(Value::String("z".repeat(64))), Some(Value::String("z".repeat(64))));
    }

    #[test]
    fn extremes_skip_nulls_and_order_nan_last() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(2.0), Some(f64::NAN), Some(-1.0)]));
        let (least, greatest) = extremes(&floats).unwrap();
        assert_eq!(least, Value::Float(-1.0));
        assert!(matches!(greatest, Value::Float(value) if value.is_nan()));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("")]));
        assert_eq!(extremes(&texts), Some((Value::String(String::new()), Value::String("b".to_owned()))));
        let nulls: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 3]));
        assert_eq!(extremes(&nulls), None);
    }
}
