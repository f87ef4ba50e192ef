//! One value of a scalar column, outside Arrow: partition bounds, zone maps, constants.

use std::cmp::Ordering;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::data_type::DataType;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One value. Two values compare when they come from columns of one type; NULL is the least.
///
/// The JSON form is `null` or an object of one text, `{"int":"5"}`, so that it is exact and the same on every machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// Any integer type.
    Int(i128),
    /// FLOAT or DOUBLE.
    Float(f64),
    /// DECIMAL: `unscaled` divided by ten to the power of `scale`.
    Decimal {
        /// The digits.
        unscaled: i128,
        /// Digits after the point.
        scale: u8,
    },
    /// DATE: days since 1970-01-01.
    Date(i32),
    /// DATETIME: microseconds since 1970-01-01 00:00:00, without zone.
    DateTime(i64),
    /// CHAR, VARCHAR, JSON.
    String(String),
    /// VARBINARY.
    Binary(Vec<u8>),
}

/// A text that is no value of the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a value of type {data_type}{hint}")]
pub struct ValueError {
    text: String,
    data_type: String,
    hint: &'static str,
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.encode().hash(state);
    }
}

impl Value {
    /// Orders two values of one type; NULL is the least, NaN the greatest.
    pub fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
            (Value::Int(left), Value::Int(right)) => left.cmp(right),
            (Value::Float(left), Value::Float(right)) => left.total_cmp(right),
            (
                Value::Decimal { unscaled: left, scale: left_scale },
                Value::Decimal { unscaled: right, scale: right_scale },
            ) if left_scale == right_scale => left.cmp(right),
            (Value::Date(left), Value::Date(right)) => left.cmp(right),
            (Value::DateTime(left), Value::DateTime(right)) => left.cmp(right),
            (Value::String(left), Value::String(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Value::Binary(left), Value::Binary(right)) => left.cmp(right),
            // Values of different types never meet in one column; any total order will do.
            _ => self.encode().cmp(&other.encode()),
        }
    }

    /// Reads a constant as the user writes it in DDL, for a column of `data_type`.
    pub fn parse(text: &str, data_type: &DataType) -> Result<Value, ValueError> {
        let trimmed = text.trim();
        let error = |hint| ValueError { text: text.to_owned(), data_type: data_type.to_string(), hint };
        let integer = |min: i128, max: i128| {
            trimmed
                .parse::<i128>()
                .ok()
                .filter(|number| (min..=max).contains(number))
                .map(Value::Int)
                .ok_or_else(|| error(": write a whole number within its range"))
        };
        match data_type {
            DataType::Boolean => match trimmed.to_lowercase().as_str() {
                "true" | "1" => Ok(Value::Boolean(true)),
                "false" | "0" => Ok(Value::Boolean(false)),
                _ => Err(error(": write true or false")),
            },
            DataType::TinyInt => integer(i8::MIN.into(), i8::MAX.into()),
            DataType::SmallInt => integer(i16::MIN.into(), i16::MAX.into()),
            DataType::Int => integer(i32::MIN.into(), i32::MAX.into()),
            DataType::BigInt => integer(i64::MIN.into(), i64::MAX.into()),
            DataType::LargeInt => integer(i128::MIN, i128::MAX),
            DataType::Float | DataType::Double => {
                trimmed.parse::<f64>().map(Value::Float).map_err(|_| error(": write a number"))
            }
            DataType::Decimal { precision, scale } => parse_decimal(trimmed, *precision, *scale)
                .map(|unscaled| Value::Decimal { unscaled, scale: *scale })
                .ok_or_else(|| error(": write a number that fits")),
            DataType::Date => parse_date(trimmed)
                .or_else(|| {
                    // A whole day written as a DATETIME is a DATE.
                    parse_datetime(trimmed)
                        .filter(|micros| micros.rem_euclid(MICROS_PER_DAY) == 0)
                        .and_then(|micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok())
                })
                .map(Value::Date)
                .ok_or_else(|| error(": write it as yyyy-MM-dd")),
            DataType::DateTime => {
                parse_datetime(trimmed).map(Value::DateTime).ok_or_else(|| error(": write it as yyyy-MM-dd HH:mm:ss"))
            }
            DataType::Char { length } | DataType::Varchar { length } => {
                if text.len() > *length as usize {
                    return Err(error(": it is too long"));
                }
                Ok(Value::String(text.to_owned()))
            }
            DataType::Json => Ok(Value::String(text.to_owned())),
            DataType::Varbinary { .. } => Ok(Value::Binary(text.as_bytes().to_vec())),
            DataType::Array { .. } | DataType::Map { .. } | DataType::Struct { .. } => {
                Err(error(": such a type has no constants"))
            }
        }
    }

    /// The value of `array` at `row`; `None` for types that have no scalar form (nested ones).
    pub fn from_array(array: &ArrayRef, row: usize) -> Option<Value> {
        use arrow_schema::{DataType as Arrow, TimeUnit};
        if array.is_null(row) {
            return Some(Value::Null);
        }
        Some(match array.data_type() {
            Arrow::Boolean => Value::Boolean(array.as_boolean().value(row)),
            Arrow::Int8 => Value::Int(array.as_primitive::<Int8Type>().value(row).into()),
            Arrow::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
            Arrow::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
            Arrow::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row).into()),
            Arrow::Decimal256(_, 0) => Value::Int(array.as_primitive::<Decimal256Type>().value(row).to_i128()?),
            Arrow::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
            Arrow::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
            Arrow::Decimal128(_, scale) => Value::Decimal {
                unscaled: array.as_primitive::<Decimal128Type>().value(row),
                scale: u8::try_from(*scale).ok()?,
            },
            Arrow::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
            Arrow::Timestamp(TimeUnit::Microsecond, None) => {
                Value::DateTime(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            Arrow::Utf8 => Value::String(array.as_string::<i32>().value(row).to_owned()),
            Arrow::Binary => Value::Binary(array.as_binary::<i32>().value(row).to_vec()),
            _ => return None,
        })
    }

    fn encode(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(value) => ("boolean", value.to_string()),
            Value::Int(value) => ("int", value.to_string()),
            // The bits: exact for every number, NaN and both zeros included.
            Value::Float(value) => ("float", format!("{:016x}", value.to_bits())),
            Value::Decimal { unscaled, scale } => ("decimal", format!("{unscaled}e-{scale}")),
            Value::Date(days) => ("date", days.to_string()),
            Value::DateTime(micros) => ("datetime", micros.to_string()),
            Value::String(text) => ("string", text.clone()),
            Value::Binary(bytes) => ("binary", to_hex(bytes)),
        })
    }

    fn decode(kind: &str, text: &str) -> Option<Value> {
        Some(match kind {
            "boolean" => Value::Boolean(text.parse().ok()?),
            "int" => Value::Int(text.parse().ok()?),
            "float" => Value::Float(f64::from_bits(u64::from_str_radix(text, 16).ok()?)),
            "decimal" => {
                let (unscaled, scale) = text.split_once("e-")?;
                Value::Decimal { unscaled: unscaled.parse().ok()?, scale: scale.parse().ok()? }
            }
            "date" => Value::Date(text.parse().ok()?),
            "datetime" => Value::DateTime(text.parse().ok()?),
            "string" => Value::String(text.to_owned()),
            "binary" => Value::Binary(from_hex(text)?),
            _ => return None,
        })
    }
}

/// The value as SHOW prints it, without quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Boolean(value) => write!(f, "{}", u8::from(*value)),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Decimal { unscaled, scale } => {
                let scale = usize::from(*scale);
                let sign = if *unscaled < 0 { "-" } else { "" };
                let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                let point = if scale == 0 { "" } else { "." };
                write!(f, "{sign}{whole}{point}{fraction}")
            }
            Value::Date(days) => f.write_str(&format_date(*days)),
            Value::DateTime(micros) => f.write_str(&format_datetime(*micros)),
            Value::String(text) => f.write_str(text),
            Value::Binary(bytes) => write!(f, "0x{}", to_hex(bytes)),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self.encode() {
            None => serializer.serialize_unit(),
            Some((kind, text)) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(kind, &text)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use std::collections::BTreeMap;
        let Some(entries) = Option::<BTreeMap<String, String>>::deserialize(deserializer)? else {
            return Ok(Value::Null);
        };
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (Some((kind, text)), None) => Value::decode(&kind, &text)
                .ok_or_else(|| de::Error::custom(format!("'{text}' is no value of kind '{kind}'"))),
            _ => Err(de::Error::custom("a value is null or an object of one text")),
        }
    }
}

/// Days since 1970-01-01 of a date written `yyyy-MM-dd` or `yyyyMMdd`.
pub fn parse_date(text: &str) -> Option<i32> {
    let (year, month, day) = if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        (&text[..4], &text[4..6], &text[6..])
    } else {
        let mut parts = text.splitn(3, '-');
        (parts.next()?, parts.next()?, parts.next()?)
    };
    let number = |part: &str, digits_max: usize| {
        let fits = (1..=digits_max).contains(&part.len());
        (fits && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u32>().ok()).flatten()
    };
    let year = i32::try_from(number(year, 4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(month, 2)?, number(day, 2)?)?;
    Some(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE)
}

/// Microseconds since 1970-01-01 00:00:00 of `yyyy-MM-dd[ HH:mm[:ss[.ffffff]]]` (a `T` may stand for the space).
pub fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = match text.find([' ', 'T']) {
        Some(position) => (&text[..position], text[position + 1..].trim()),
        None if text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let days = i64::from(parse_date(&text[..8])?);
            let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().ok();
            let time = chrono::NaiveTime::from_hms_opt(part(8..10)?, part(10..12)?, part(12..14)?)?;
            return Some(days * MICROS_PER_DAY + i64::from(time.num_seconds_from_midnight()) * 1_000_000);
        }
        None => (text, ""),
    };
    let days = i64::from(parse_date(date)?);
    if time.is_empty() {
        return Some(days * MICROS_PER_DAY);
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let mut number = |required: bool| match parts.next() {
        Some(part) if (1..=2).contains(&part.len()) => {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok())?
        }
        Some(_) => None,
        None => (!required).then_some(0),
    };
    let (hour, minute, second) = (number(true)?, number(true)?, number(false)?);
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time = chrono::NaiveTime::from_hms_opt(hour, minute, second)?;
    // Digits beyond the microsecond are cut, as the type keeps six.
    let micros: i64 = format!("{:0<6}", &fraction[..fraction.len().min(6)]).parse().ok()?;
    Some(days * MICROS_PER_DAY + i64::from(time.num_seconds_from_midnight()) * 1_000_000 + micros)
}

/// `yyyy-MM-dd` of days since 1970-01-01.
pub fn format_date(days: i32) -> String {
    days.checked_add(EPOCH_DAYS_FROM_CE)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map_or_else(|| format!("day {days}"), |date| date.format("%Y-%m-%d").to_string())
}

/// `yyyy-MM-dd HH:mm:ss[.ffffff]` of microseconds since 1970-01-01 00:00:00.
pub fn format_datetime(micros: i64) -> String {
    let Some(moment) = chrono::DateTime::from_timestamp_micros(micros) else {
        return format!("microsecond {micros}");
    };
    let moment: NaiveDateTime = moment.naive_utc();
    let format = if moment.nanosecond() == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
    moment.format(format).to_string()
}

/// Days from 0001-01-01 to 1970-01-01, counted as chrono counts them (the first day is 1).
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// The unscaled digits of a decimal text, rounded half away from zero to `scale`; `None` if it does not fit.
fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let scale = usize::from(scale);
    let kept = &fraction[..fraction.len().min(scale)];
    let mut unscaled: i128 = format!("0{whole}{kept:0<scale$}").parse().ok()?;
    if fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5') {
        unscaled = unscaled.checked_add(1)?;
    }
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (unscaled < limit).then_some(if negative { -unscaled } else { unscaled })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
