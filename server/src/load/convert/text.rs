//! Text to every type of column.
//!
//! Readers give one string a value; the common forms (plain digits, `yyyy-MM-dd`, `yyyy-MM-dd HH:mm:ss`) are read without
//! allocating. A number is a whole text: `12x` is no number, `1.0` is the integer 1, `1.5` is none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanBuilder, PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::compute::cast_with_options;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, i256,
};
use chrono::{Datelike, NaiveDate};
use ebla_storage::schema::{DataType, parse_date, parse_datetime};

use super::{Converted, SAFE, nested, strings};
use crate::load::LoadError;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Days from the first day that chrono counts to 1970-01-01.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// Longest JSON document of a JSON column, in bytes.
const JSON_BYTES_MAX: usize = 16 << 20;

/// Converts a column of strings.
pub(super) fn convert(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    let texts = strings(source)?;
    Ok(match target {
        DataType::Char { .. } | DataType::Varchar { .. } => Converted::all(Arc::clone(source)),
        DataType::Varbinary { .. } => Converted::all(cast_with_options(source, &ArrowType::Binary, &SAFE)?),
        DataType::Json => to_json(source, texts),
        DataType::Boolean => to_booleans(texts),
        DataType::TinyInt => parse::<Int8Type>(texts, |text| parse_integer(text).and_then(|n| n.try_into().ok())),
        DataType::SmallInt => parse::<Int16Type>(texts, |text| parse_integer(text).and_then(|n| n.try_into().ok())),
        DataType::Int => parse::<Int32Type>(texts, |text| parse_integer(text).and_then(|n| n.try_into().ok())),
        DataType::BigInt => parse::<Int64Type>(texts, parse_integer),
        DataType::LargeInt => parse_with::<Decimal256Type>(
            texts,
            |text| parse_large_integer(text).map(i256::from_i128),
            |array| Ok(array.with_precision_and_scale(DataType::LARGEINT_PRECISION, 0)?),
        )?,
        DataType::Float => parse::<Float32Type>(texts, |text| {
            // Through the text, not through DOUBLE: rounding twice may end elsewhere.
            // Plus zero, which makes zero of negative zero.
            number_text(text)?.parse::<f32>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
        }),
        DataType::Double => parse::<Float64Type>(texts, parse_double),
        DataType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            parse_with::<Decimal128Type>(
                texts,
                |text| parse_decimal(text, precision, scale),
                // Scale is at most 38, so the cast keeps it.
                |array| Ok(array.with_precision_and_scale(precision, scale as i8)?),
            )?
        }
        DataType::Date => parse::<Date32Type>(texts, day_of_text),
        DataType::DateTime => parse::<TimestampMicrosecondType>(texts, micros_of_text),
        DataType::Array { .. } | DataType::Map { .. } | DataType::Struct { .. } => nested::from_text(texts, target)?,
    })
}

fn parse<T: ArrowPrimitiveType>(texts: &StringArray, read: impl Fn(&str) -> Option<T::Native>) -> Converted {
    let mut failed = Vec::new();
    Converted { array: Arc::new(parse_values::<T>(texts, read, &mut failed)), failed }
}

fn parse_with<T: ArrowPrimitiveType>(
    texts: &StringArray,
    read: impl Fn(&str) -> Option<T::Native>,
    finish: impl FnOnce(PrimitiveArray<T>) -> Result<PrimitiveArray<T>, LoadError>,
) -> Result<Converted, LoadError> {
    let mut failed = Vec::new();
    let array = finish(parse_values::<T>(texts, read, &mut failed))?;
    Ok(Converted { array: Arc::new(array), failed })
}

fn parse_values<T: ArrowPrimitiveType>(
    texts: &StringArray,
    read: impl Fn(&str) -> Option<T::Native>,
    failed: &mut Vec<u32>,
) -> PrimitiveArray<T> {
    let mut values = PrimitiveBuilder::<T>::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        match text {
            None => values.append_null(),
            Some(text) => match read(text) {
                Some(value) => values.append_value(value),
                None => {
                    failed.push(row as u32);
                    values.append_null();
                }
            },
        }
    }
    values.finish()
}

fn to_booleans(texts: &StringArray) -> Converted {
    let mut failed = Vec::new();
    let mut values = BooleanBuilder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let value = text.map(parse_boolean);
        if value == Some(None) {
            failed.push(row as u32);
        }
        values.append_option(value.flatten());
    }
    Converted { array: Arc::new(values.finish()), failed }
}

/// JSON text is kept as it is. Text that is no JSON becomes a JSON string, as StarRocks does, unless it begins like a
/// document: then it is one that is broken.
fn to_json(source: &ArrayRef, texts: &StringArray) -> Converted {
    let is_json =
        |text: &str| text.len() <= JSON_BYTES_MAX && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if texts.iter().flatten().all(is_json) {
        return Converted::all(Arc::clone(source));
    }
    let mut failed = Vec::new();
    let mut documents = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for (row, text) in texts.iter().enumerate() {
        match text {
            None => documents.append_null(),
            Some(text) if is_json(text) => documents.append_value(text),
            Some(text) if text.len() > JSON_BYTES_MAX || text.trim_ascii_start().starts_with(['{', '[', '"']) => {
                failed.push(row as u32);
                documents.append_null();
            }
            Some(text) => documents.append_value(serde_json::Value::from(text).to_string()),
        }
    }
    Converted { array: Arc::new(documents.finish()), failed }
}

/// `true`, `false`, or a whole number.
fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.trim_ascii();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        parse_integer(text).map(|number| number != 0)
    }
}

/// A whole number of 64 bits.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // Eighteen digits cannot overflow.
    if (1..=18).contains(&digits.len()) {
        let mut number = 0i64;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return parse_large_integer(text).and_then(|number| number.try_into().ok());
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        return Some(if negative { -number } else { number });
    }
    parse_large_integer(text).and_then(|number| number.try_into().ok())
}

/// A whole number of 128 bits. `1.0` and `1e3` are whole numbers, too.
pub(super) fn parse_large_integer(text: &str) -> Option<i128> {
    let number = Decimal::parse(text, 0)?;
    if number.rounded { None } else { number.signed() }
}

/// Digits at this scale, rounded half away from zero; `None` when there are more than `precision`.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let number = Decimal::parse(text, scale)?;
    let limit = 10u128.checked_pow(u32::from(precision))?;
    if number.magnitude < limit { number.signed() } else { None }
}

/// A decimal number at a given scale.
struct Decimal {
    negative: bool,
    magnitude: u128,
    /// Whether digits other than zero were lost.
    rounded: bool,
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    fn parse(text: &str, scale: u8) -> Option<Decimal> {
        let bytes = text.trim_ascii().as_bytes();
        let (negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let end = bytes.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(bytes.len());
        let (mantissa, exponent) = (&bytes[..end], bytes.get(end + 1..));
        let exponent = match exponent {
            Some(digits) => parse_exponent(digits)?,
            None => 0,
        };
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let whole = &mantissa[..point.unwrap_or(mantissa.len())];
        let fraction = point.map_or(&[][..], |point| &mantissa[point + 1..]);
        if (whole.is_empty() && fraction.is_empty()) || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        // How many of the digits, counted from the first, lie before the last place that is kept.
        let kept = i64::try_from(whole.len()).ok()? + exponent + i64::from(scale);
        let mut number = Decimal { negative, magnitude: 0, rounded: false };
        let mut round_up = false;
        let mut position = 0i64;
        for digit in whole.iter().chain(fraction) {
            let digit = digit - b'0';
            if position < kept {
                number.magnitude = number.magnitude.checked_mul(10)?.checked_add(u128::from(digit))?;
            } else {
                round_up |= position == kept && digit >= 5;
                number.rounded |= digit != 0;
            }
            position += 1;
        }
        if number.magnitude != 0 && kept > position {
            let power = u32::try_from(kept - position).ok()?;
            number.magnitude = number.magnitude.checked_mul(10u128.checked_pow(power)?)?;
        }
        if round_up {
            number.magnitude = number.magnitude.checked_add(1)?;
        }
        Some(number)
    }

    fn signed(&self) -> Option<i128> {
        if self.negative { 0i128.checked_sub_unsigned(self.magnitude) } else { self.magnitude.try_into().ok() }
    }
}

/// The digits after `e`. What lies beyond every type's range is cut to something that still does.
fn parse_exponent(digits: &[u8]) -> Option<i64> {
    const BEYOND_ALL: i64 = 1_000_000_000;
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(BEYOND_ALL));
    Some(if negative { -value } else { value })
}

fn parse_double(text: &str) -> Option<f64> {
    number_text(text)?.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
}

/// The text, unless it begins like none of SQL's numbers: the standard parser also takes `inf` and `nan`.
fn number_text(text: &str) -> Option<&str> {
    let text = text.trim_ascii();
    let first = text.trim_start_matches(['+', '-']).bytes().next()?;
    (first.is_ascii_digit() || first == b'.').then_some(text)
}

/// The day of `yyyy-MM-dd`, `yyyy/MM/dd`, `yyyyMMdd`, or of a day with a time, which is dropped.
pub(super) fn day_of_text(text: &str) -> Option<i32> {
    let text = text.trim_ascii();
    if let Some(day) = plain_day(text.as_bytes()) {
        return Some(day);
    }
    let dashed = with_dashes(text);
    let text = dashed.as_deref().unwrap_or(text);
    parse_date(text).or_else(|| {
        let micros = parse_datetime(text)?;
        i32::try_from(micros.div_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND)).ok()
    })
}

/// The microsecond of `yyyy-MM-dd HH:mm:ss[.ffffff]` and its shorter forms.
pub(super) fn micros_of_text(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some(micros) = plain_datetime(text.as_bytes()) {
        return Some(micros);
    }
    let dashed = with_dashes(text);
    parse_datetime(dashed.as_deref().unwrap_or(text))
}

/// `yyyy/MM/dd…` with dashes; `None` when there is nothing to replace.
fn with_dashes(text: &str) -> Option<String> {
    text.contains('/').then(|| text.replace('/', "-"))
}

/// Exactly `yyyy-MM-dd`.
fn plain_day(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    let year = two_digits(*y0, *y1)? * 100 + two_digits(*y2, *y3)?;
    let date = NaiveDate::from_ymd_opt(year.try_into().ok()?, two_digits(*m0, *m1)?, two_digits(*d0, *d1)?)?;
    Some(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE)
}

/// Exactly `yyyy-MM-dd HH:mm:ss`.
fn plain_datetime(text: &[u8]) -> Option<i64> {
    let [day @ .., b' ' | b'T', h0, h1, b':', m0, m1, b':', s0, s1] = text else {
        return None;
    };
    let (hour, minute, second) = (two_digits(*h0, *h1)?, two_digits(*m0, *m1)?, two_digits(*s0, *s1)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(plain_day(day)?) * SECONDS_PER_DAY + i64::from((hour * 60 + minute) * 60 + second);
    Some(seconds * MICROS_PER_SECOND)
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}
