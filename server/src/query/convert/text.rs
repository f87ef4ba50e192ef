//! Values as MySQL prints them.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

/// A DOUBLE: as short as reads back the same, with an exponent only where plain digits would be long.
pub(crate) fn format_double(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(1e-5..1e16).contains(&magnitude) {
        format!("{value:e}")
    } else if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else {
        // Negative zero prints as zero.
        format!("{}", if value == 0.0 { 0.0 } else { value })
    }
}

/// A FLOAT, by its own shortest digits.
pub(crate) fn format_float(value: f32) -> String {
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(1e-5..1e12).contains(&magnitude) {
        format!("{value:e}")
    } else if value.is_finite() {
        format!("{}", if value == 0.0 { 0.0 } else { value })
    } else {
        format_double(f64::from(value))
    }
}

/// Reads a BOOLEAN: `true`, `false`, or a number.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim_ascii();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        super::number::parse_double(text).map(|number| number != 0.0)
    }
}

/// One row of an ARRAY, MAP or STRUCT as StarRocks prints it: `[1,2]`, `{"k":1}`.
pub(crate) fn format_nested(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let mut out = String::new();
    push_value(array, row, &mut out)?;
    Ok(out)
}

fn push_value(array: &ArrayRef, row: usize, out: &mut String) -> Result<(), ArrowError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(_) => push_items(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => push_items(&array.as_list::<i64>().value(row), out),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(',');
                }
                push_value(entries.column(0), index, out)?;
                out.push(':');
                push_value(entries.column(1), index, out)?;
            }
            out.push('}');
            Ok(())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            out.push('{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                // Writing to a String cannot fail.
                let _ = write!(out, "\"{}\":", field.name());
                push_value(columns.column(index), row, out)?;
            }
            out.push('}');
            Ok(())
        }
        data_type => {
            let quoted = super::is_string(data_type) || super::is_temporal(data_type);
            let one = Arc::clone(array).slice(row, 1);
            let text = super::to_strings(&one)?;
            if quoted {
                out.push('"');
                out.push_str(&text.value(0).replace('\\', "\\\\").replace('"', "\\\""));
                out.push('"');
            } else {
                out.push_str(text.value(0));
            }
            Ok(())
        }
    }
}

fn push_items(items: &ArrayRef, out: &mut String) -> Result<(), ArrowError> {
    out.push('[');
    for index in 0..items.len() {
        if index > 0 {
            out.push(',');
        }
        push_value(items, index, out)?;
    }
    out.push(']');
    Ok(())
}
