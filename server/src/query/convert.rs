//! From one SQL type to another as MySQL users expect it.
//!
//! What cannot be converted becomes NULL, never an error: `CAST('x' AS INT)`, a string compared with a number, a date
//! given to a function as text. The modules hold the rules for single values; [`cast`] applies them to arrays, and
//! leaves every pair of types on which the engine's own cast agrees to it.

pub(crate) mod datetime;
mod list;
pub(crate) mod number;
pub(crate) mod text;

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;

/// LARGEINT: 128 bits, which a 39-digit decimal holds.
pub(crate) const LARGEINT: DataType = DataType::Decimal256(39, 0);

/// DATETIME as it is stored.
pub(crate) const DATETIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The engine's cast with NULL for what does not convert.
const LENIENT: CastOptions<'static> =
    CastOptions { safe: true, format_options: datafusion::arrow::util::display::FormatOptions::new() };

/// Whether `data_type` is one of the string types.
pub(crate) fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether `data_type` is a number, decimals included.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Whether `data_type` is DECIMAL or LARGEINT.
pub(crate) fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

/// Whether `data_type` is DATE or DATETIME.
pub(crate) fn is_temporal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// Whether numbers of this type may have digits behind the point.
fn is_fractional(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale > 0,
        data_type => data_type.is_floating(),
    }
}

/// Whether the engine's own cast between these types means the same as MySQL's.
pub(crate) fn is_native(from: &DataType, to: &DataType) -> bool {
    if is_string(from) && matches!(to, DataType::List(_)) {
        return false;
    }
    if from == to || from.is_null() || from.is_nested() || to.is_nested() {
        return true;
    }
    match (from, to) {
        (from, to) if is_string(from) => {
            is_string(to) || matches!(to, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        }
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, _) => true,
        // An integer, whose digits behind the point are left out; the engine would round.
        (from, to) if *to == LARGEINT && is_fractional(from) => false,
        // The engine takes a wide decimal between 2^64 and 2^127 for what its low half says.
        (DataType::Decimal256(..), to) if to.is_integer() => false,
        (from, to) if is_number(from) && is_number(to) => !from.is_floating() || !to.is_integer(),
        (from, DataType::Boolean) => is_number(from),
        // The engine has no such cast.
        (DataType::Boolean, to) => is_number(to) && !is_decimal(to),
        (from, to) if is_string(to) => from.is_integer() || is_decimal(from),
        (from, to) if is_temporal(from) && is_temporal(to) => true,
        _ => false,
    }
}

/// `array` as `to`; values that do not convert become NULL.
pub(crate) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    if is_native(from, to) {
        return cast_with_options(array, to, &LENIENT);
    }
    if is_string(to) {
        let text: ArrayRef = Arc::new(to_strings(array)?);
        return cast_with_options(&text, to, &LENIENT);
    }
    match to {
        DataType::List(item) => Ok(Arc::new(list::lists_of(&to_strings(array)?, item)?)),
        to if *to == LARGEINT && is_string(from) => {
            let whole: ArrayRef = Arc::new(number::integers_of(&to_strings(array)?)?);
            cast_with_options(&whole, to, &LENIENT)
        }
        to if *to == LARGEINT && from.is_floating() => {
            let whole: Float64Array = to_doubles(array)?.iter().map(|value| value.map(f64::trunc)).collect();
            cast_with_options(&(Arc::new(whole) as ArrayRef), to, &LENIENT)
        }
        to if *to == LARGEINT && is_fractional(from) => {
            let scale =
                if let DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) = from { *scale } else { 0 };
            let wide = cast_with_options(array, &DataType::Decimal256(76, scale), &LENIENT)?;
            let whole: ArrayRef = Arc::new(number::integers_of_decimals(wide.as_primitive())?);
            cast_with_options(&whole, to, &LENIENT)
        }
        to if is_decimal(to) && *from == DataType::Boolean => {
            let small = cast_with_options(array, &DataType::Int8, &LENIENT)?;
            cast_with_options(&small, to, &LENIENT)
        }
        DataType::Boolean => Ok(Arc::new(to_booleans(array)?)),
        DataType::Date32 => Ok(Arc::new(to_dates(array)?)),
        DataType::Timestamp(..) => {
            let times: ArrayRef = Arc::new(to_datetimes(array)?);
            cast_with_options(&times, to, &LENIENT)
        }
        to if to.is_integer() && is_string(from) => {
            // Through a wide decimal, so that "9223372036854775807" and LARGEINT-sized texts stay exact.
            let wide: ArrayRef = Arc::new(number::integers_of(&to_strings(array)?)?);
            cast(&wide, to)
        }
        to if to.is_integer() && matches!(from, DataType::Decimal256(..)) => {
            let whole: ArrayRef = Arc::new(number::whole_of(array.as_primitive())?);
            cast_with_options(&whole, to, &LENIENT)
        }
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if is_string(from) => {
            let wide: ArrayRef = Arc::new(number::decimals_of(&to_strings(array)?, *scale)?);
            cast_with_options(&wide, to, &LENIENT)
        }
        to if to.is_floating() && is_string(from) => {
            let doubles: ArrayRef = Arc::new(to_doubles(array)?);
            cast_with_options(&doubles, to, &LENIENT)
        }
        to if to.is_integer() && from.is_floating() => {
            let doubles = to_doubles(array)?;
            let whole: Int64Array = doubles.iter().map(|value| value.and_then(number::double_to_int)).collect();
            let whole: ArrayRef = Arc::new(whole);
            cast_with_options(&whole, to, &LENIENT)
        }
        to if is_number(to) && is_temporal(from) => {
            let numbers: ArrayRef = Arc::new(temporal_numbers(array)?);
            cast_with_options(&numbers, to, &LENIENT)
        }
        to => cast_with_options(array, to, &LENIENT),
    }
}

/// Any array as text, in the form MySQL prints.
pub(crate) fn to_strings(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    if let Some(strings) = array.as_string_opt::<i32>() {
        return Ok(strings.clone());
    }
    match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => {
            let cast = cast_with_options(array, &DataType::Utf8, &LENIENT)?;
            Ok(cast.as_string::<i32>().clone())
        }
        DataType::Boolean => Ok(build_strings(array.as_boolean().iter(), |value, out| {
            out.push_str(if value { "1" } else { "0" });
        })),
        DataType::Date32 => Ok(build_strings(array.as_primitive::<Date32Type>().iter(), |days, out| {
            datetime::push_date(days, out);
        })),
        DataType::Timestamp(..) | DataType::Date64 => {
            let times = to_datetimes(array)?;
            Ok(build_strings(times.iter(), datetime::push_datetime))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<datafusion::arrow::datatypes::Float32Type>();
            Ok(build_strings(values.iter(), |value, out| out.push_str(&text::format_float(value))))
        }
        DataType::Float64 | DataType::Float16 => {
            let values = to_doubles(array)?;
            Ok(build_strings(values.iter(), |value, out| out.push_str(&text::format_double(value))))
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => {
            let mut builder = StringBuilder::new();
            for row in 0..array.len() {
                if array.is_null(row) {
                    builder.append_null();
                } else {
                    builder.append_value(text::format_nested(array, row)?);
                }
            }
            Ok(builder.finish())
        }
        _ => {
            let cast = cast_with_options(array, &DataType::Utf8, &LENIENT)?;
            Ok(cast.as_string::<i32>().clone())
        }
    }
}

/// Any array as DOUBLE.
pub(crate) fn to_doubles(array: &ArrayRef) -> Result<Float64Array, ArrowError> {
    let from = array.data_type();
    if is_string(from) {
        let strings = to_strings(array)?;
        return Ok(strings.iter().map(|text| text.and_then(number::parse_double)).collect());
    }
    let source = if is_temporal(from) { Arc::new(temporal_numbers(array)?) as ArrayRef } else { Arc::clone(array) };
    let cast = cast_with_options(&source, &DataType::Float64, &LENIENT)?;
    Ok(cast.as_primitive::<datafusion::arrow::datatypes::Float64Type>().clone())
}

/// Any array as BIGINT.
pub(crate) fn to_ints(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let cast = cast(array, &DataType::Int64)?;
    Ok(cast.as_primitive::<Int64Type>().clone())
}

/// Any array as BOOLEAN.
pub(crate) fn to_booleans(array: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let from = array.data_type();
    if is_string(from) {
        let strings = to_strings(array)?;
        return Ok(strings.iter().map(|text| text.and_then(text::parse_bool)).collect());
    }
    let source = if is_temporal(from) {
        Arc::new(temporal_numbers(array)?) as ArrayRef
    } else if is_decimal(from) {
        Arc::new(to_doubles(array)?) as ArrayRef
    } else {
        Arc::clone(array)
    };
    Ok(cast_with_options(&source, &DataType::Boolean, &LENIENT)?.as_boolean().clone())
}

/// Any array as DATETIME: text and numbers are read as dates.
pub(crate) fn to_datetimes(array: &ArrayRef) -> Result<TimestampMicrosecondArray, ArrowError> {
    let from = array.data_type();
    if is_string(from) {
        let strings = to_strings(array)?;
        return Ok(strings.iter().map(|text| text.and_then(datetime::parse_datetime)).collect());
    }
    if is_number(from) {
        let numbers = to_ints(array)?;
        return Ok(numbers.iter().map(|number| number.and_then(datetime::datetime_of_number)).collect());
    }
    let cast = cast_with_options(array, &DATETIME, &LENIENT)?;
    Ok(cast.as_primitive::<TimestampMicrosecondType>().clone())
}

/// Any array as DATE.
pub(crate) fn to_dates(array: &ArrayRef) -> Result<Date32Array, ArrowError> {
    if let Some(dates) = array.as_primitive_opt::<Date32Type>() {
        return Ok(dates.clone());
    }
    let times = to_datetimes(array)?;
    Ok(times.iter().map(|micros| micros.map(datetime::days_of)).collect())
}

/// Dates as the numbers MySQL computes with: 20240131 or 20240131120000.
fn temporal_numbers(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    if let Some(dates) = array.as_primitive_opt::<Date32Type>() {
        return Ok(dates.iter().map(|days| days.map(datetime::number_of_date)).collect());
    }
    let times = to_datetimes(array)?;
    Ok(times.iter().map(|micros| micros.map(datetime::number_of_datetime)).collect())
}

fn build_strings<T>(values: impl Iterator<Item = Option<T>>, mut write: impl FnMut(T, &mut String)) -> StringArray {
    let mut builder = StringBuilder::new();
    let mut scratch = String::new();
    for value in values {
        match value {
            Some(value) => {
                scratch.clear();
                write(value, &mut scratch);
                builder.append_value(&scratch);
            }
            None => builder.append_null(),
        }
    }
    builder.finish()
}
