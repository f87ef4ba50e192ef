//! Every type as text: for VARCHAR columns, for JSON columns, for messages.
//!
//! Numbers print as MySQL prints them, booleans as 1 and 0, nested values as JSON.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast_with_options;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use ebla_storage::schema::{format_date, format_datetime};

use super::SAFE;
use crate::load::LoadError;

/// A column as text.
pub(super) fn to_text(source: &ArrayRef) -> Result<ArrayRef, LoadError> {
    match source.data_type() {
        ArrowType::Utf8 => Ok(Arc::clone(source)),
        from if from.is_integer() || is_text(from) || from.is_decimal() => {
            Ok(cast_with_options(source, &ArrowType::Utf8, &SAFE)?)
        }
        _ => Ok(each(source, |row| text_of(source, row))),
    }
}

/// A column as JSON documents.
pub(super) fn to_json(source: &ArrayRef) -> Result<ArrayRef, LoadError> {
    Ok(each(source, |row| {
        let mut document = String::new();
        push_json(source, row, &mut document);
        Some(document)
    }))
}

fn each(source: &ArrayRef, text: impl Fn(usize) -> Option<String>) -> ArrayRef {
    let nulls = source.logical_nulls();
    let mut texts = StringBuilder::with_capacity(source.len(), source.len() * 8);
    for row in 0..source.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            texts.append_null();
        } else {
            texts.append_option(text(row));
        }
    }
    Arc::new(texts.finish())
}

/// One value as text; `None` for NULL.
pub(crate) fn text_of(array: &ArrayRef, row: usize) -> Option<String> {
    if array.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
        return None;
    }
    Some(match array.data_type() {
        ArrowType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        ArrowType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        ArrowType::Utf8View => array.as_string_view().value(row).to_owned(),
        ArrowType::Binary => String::from_utf8_lossy(array.as_binary::<i32>().value(row)).into_owned(),
        ArrowType::Boolean => if array.as_boolean().value(row) { "1" } else { "0" }.to_owned(),
        ArrowType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(value, f64::from(value), 1e12)
        }
        ArrowType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(value, value, 1e16)
        }
        ArrowType::Date32 => format_date(array.as_primitive::<Date32Type>().value(row)),
        ArrowType::Timestamp(TimeUnit::Microsecond, None) => {
            format_datetime(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        ArrowType::Timestamp(..) | ArrowType::Date64 => {
            let target = ArrowType::Timestamp(TimeUnit::Microsecond, None);
            let moment = cast_with_options(&array.slice(row, 1), &target, &SAFE).ok()?;
            text_of(&moment, 0)?
        }
        from if from.is_nested() => {
            let mut document = String::new();
            push_json(array, row, &mut document);
            document
        }
        _ => array_value_to_string(array, row).ok()?,
    })
}

/// Plain digits where they are short, an exponent where they would be long.
fn float(value: impl std::fmt::Display + std::fmt::LowerExp, wide: f64, plain_max: f64) -> String {
    let magnitude = wide.abs();
    if magnitude == 0.0 {
        // Negative zero, too.
        "0".to_owned()
    } else if wide.is_finite() && !(1e-5..plain_max).contains(&magnitude) {
        format!("{value:e}")
    } else {
        value.to_string().to_lowercase()
    }
}

fn is_text(data_type: &ArrowType) -> bool {
    matches!(data_type, ArrowType::LargeUtf8 | ArrowType::Utf8View)
}

/// Appends one value as JSON.
fn push_json(array: &ArrayRef, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        ArrowType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        ArrowType::List(_) => push_items(&array.as_list::<i32>().value(row), out),
        ArrowType::LargeList(_) => push_items(&array.as_list::<i64>().value(row), out),
        ArrowType::FixedSizeList(..) => push_items(&array.as_fixed_size_list().value(row), out),
        ArrowType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push('{');
            for entry in 0..entries.len() {
                push_comma(entry, out);
                // A key is a string in JSON, whatever its type.
                push_string(&text_of(keys, entry).unwrap_or_default(), out);
                out.push_str(": ");
                push_json(values, entry, out);
            }
            out.push('}');
        }
        ArrowType::Struct(fields) => {
            let columns = array.as_struct().columns();
            out.push('{');
            for (position, (field, column)) in fields.iter().zip(columns).enumerate() {
                push_comma(position, out);
                push_string(field.name(), out);
                out.push_str(": ");
                push_json(column, row, out);
            }
            out.push('}');
        }
        from if from.is_integer() || from.is_decimal() => out.push_str(&text_of(array, row).unwrap_or_default()),
        ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => {
            let number = text_of(array, row).unwrap_or_default();
            // JSON has no NaN and no infinity.
            let finite = number.parse::<f64>().is_ok_and(f64::is_finite);
            out.push_str(if finite { &number } else { "null" });
        }
        _ => push_string(&text_of(array, row).unwrap_or_default(), out),
    }
}

fn push_items(items: &ArrayRef, out: &mut String) {
    out.push('[');
    for item in 0..items.len() {
        push_comma(item, out);
        push_json(items, item, out);
    }
    out.push(']');
}

fn push_comma(position: usize, out: &mut String) {
    if position > 0 {
        out.push_str(", ");
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
