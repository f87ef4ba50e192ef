//! Values: one Arrow column, downcast once per batch, then written cell by cell.
//!
//! A cell has three forms: bare text (the text protocol, and text-like types in the binary one), a binary
//! value, and JSON inside of lists, structs and maps, which print as StarRocks prints them:
//! `[1,2]`, `{"a":1}`, with text and dates in double quotes and NULL as `null`.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::timezone::Tz;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, Decimal32Array, Decimal64Array, Decimal128Array,
    Decimal256Array, FixedSizeBinaryArray, Float16Array, IntervalDayTimeArray, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::number::{put_decimal, put_display, put_float};
use super::packet::put_lenenc_bytes;
use super::temporal::{self, Clock, Day};
use super::{WireError, errors};

const MILLIS_PER_DAY: i64 = 86_400_000;
/// A length up to this takes one byte.
const SHORT_LENGTH_MAX: usize = 0xfa;

/// A column of a batch, ready to be written.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float16(&'a Float16Array),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal32(&'a Decimal32Array, i8),
    Decimal64(&'a Decimal64Array, i8),
    Decimal128(&'a Decimal128Array, i8),
    Decimal256(&'a Decimal256Array, i8),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedSizeBinary(&'a FixedSizeBinaryArray),
    Date32(&'a [i32]),
    Date64(&'a [i64]),
    Timestamp(&'a [i64], TimeUnit, Option<Tz>),
    Time32(&'a [i32], TimeUnit),
    Time64(&'a [i64], TimeUnit),
    Duration(&'a [i64], TimeUnit),
    IntervalYearMonth(&'a IntervalYearMonthArray),
    IntervalDayTime(&'a IntervalDayTimeArray),
    IntervalMonthDayNano(&'a IntervalMonthDayNanoArray),
    List(Ranges<'a>, Box<Cells<'a>>),
    Struct(Vec<(&'a str, Cells<'a>)>),
    Map(&'a [i32], Box<Cells<'a>>, Box<Cells<'a>>),
    Dictionary(Vec<usize>, Box<Cells<'a>>),
}

/// Where the items of a list lie.
enum Ranges<'a> {
    Offsets(&'a [i32]),
    LargeOffsets(&'a [i64]),
    Views(&'a [i32], &'a [i32]),
    LargeViews(&'a [i64], &'a [i64]),
    Fixed(usize),
}

impl<'a> Cells<'a> {
    /// Downcasts a column; types without a form on this wire are an error.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, WireError> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Values::UInt8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => Values::UInt16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => Values::UInt32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Values::UInt64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float16 => Values::Float16(array.as_primitive::<Float16Type>()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal32(_, scale) => Values::Decimal32(array.as_primitive::<Decimal32Type>(), *scale),
            DataType::Decimal64(_, scale) => Values::Decimal64(array.as_primitive::<Decimal64Type>(), *scale),
            DataType::Decimal128(_, scale) => Values::Decimal128(array.as_primitive::<Decimal128Type>(), *scale),
            DataType::Decimal256(_, scale) => Values::Decimal256(array.as_primitive::<Decimal256Type>(), *scale),
            DataType::Utf8 => Values::Utf8(array.as_string()),
            DataType::LargeUtf8 => Values::LargeUtf8(array.as_string()),
            DataType::Utf8View => Values::Utf8View(array.as_string_view()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::LargeBinary => Values::LargeBinary(array.as_binary()),
            DataType::BinaryView => Values::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Values::FixedSizeBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Values::Date32(array.as_primitive::<Date32Type>().values()),
            DataType::Date64 => Values::Date64(array.as_primitive::<Date64Type>().values()),
            DataType::Timestamp(unit, zone) => {
                Values::Timestamp(timestamps(array, *unit), *unit, temporal::zone(zone.as_deref()))
            }
            DataType::Time32(unit) => Values::Time32(
                match unit {
                    TimeUnit::Second => array.as_primitive::<Time32SecondType>().values(),
                    _ => array.as_primitive::<Time32MillisecondType>().values(),
                },
                *unit,
            ),
            DataType::Time64(unit) => Values::Time64(
                match unit {
                    TimeUnit::Microsecond => array.as_primitive::<Time64MicrosecondType>().values(),
                    _ => array.as_primitive::<Time64NanosecondType>().values(),
                },
                *unit,
            ),
            DataType::Duration(unit) => Values::Duration(durations(array, *unit), *unit),
            DataType::Interval(IntervalUnit::YearMonth) => {
                Values::IntervalYearMonth(array.as_primitive::<IntervalYearMonthType>())
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                Values::IntervalDayTime(array.as_primitive::<IntervalDayTimeType>())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Values::IntervalMonthDayNano(array.as_primitive::<IntervalMonthDayNanoType>())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(Ranges::Offsets(list.value_offsets()), items(list.values())?)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Values::List(Ranges::LargeOffsets(list.value_offsets()), items(list.values())?)
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                let ranges = Ranges::Views(list.value_offsets(), list.value_sizes());
                Values::List(ranges, items(list.values())?)
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                let ranges = Ranges::LargeViews(list.value_offsets(), list.value_sizes());
                Values::List(ranges, items(list.values())?)
            }
            DataType::FixedSizeList(_, length) => {
                let ranges = Ranges::Fixed(usize::try_from(*length).unwrap_or_default());
                Values::List(ranges, items(array.as_fixed_size_list().values())?)
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let named = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().as_str(), Cells::new(column.as_ref())?)));
                Values::Struct(named.collect::<Result<_, WireError>>()?)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                Values::Map(map.value_offsets(), items(map.keys())?, items(map.values())?)
            }
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                let keys = match dictionary.values().is_empty() {
                    // Every key is NULL then, and none is looked up.
                    true => Vec::new(),
                    false => dictionary.normalized_keys(),
                };
                Values::Dictionary(keys, items(dictionary.values())?)
            }
            other => {
                let message = format!("a column of type {other} cannot be sent to a MySQL client");
                return Err(errors::internal(message));
            }
        };
        Ok(Self { array, values })
    }

    /// Whether a cell is NULL, also where the array itself does not say so.
    pub(super) fn is_null(&self, row: usize) -> bool {
        match &self.values {
            Values::Null => true,
            Values::Dictionary(keys, values) => {
                self.array.is_null(row) || keys.get(row).is_none_or(|key| values.is_null(*key))
            }
            _ => self.array.is_null(row),
        }
    }

    /// Appends length and text of a cell that is not NULL.
    pub(super) fn put_lenenc_text(&self, row: usize, out: &mut Vec<u8>) {
        if let Some(bytes) = self.bytes(row) {
            put_lenenc_bytes(out, bytes);
            return;
        }
        // Nearly every other text is short: its length is filled in afterwards.
        let start = out.len();
        out.push(0);
        self.put_text(row, out);
        let length = out.len() - start - 1;
        if length <= SHORT_LENGTH_MAX {
            out[start] = length as u8;
        } else {
            let text = out.split_off(start + 1);
            out.truncate(start);
            put_lenenc_bytes(out, &text);
        }
    }

    /// Appends a cell that is not NULL as its type travels in the binary protocol.
    pub(super) fn put_binary(&self, row: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
        match &self.values {
            Values::Null => {}
            Values::Boolean(values) => out.push(u8::from(values.value(row))),
            Values::Int8(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Int16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Int32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Int64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::UInt8(values) => out.push(values[row]),
            Values::UInt16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::UInt32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::UInt64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Float16(values) => {
                out.extend_from_slice(&values.value(row).to_f32().to_le_bytes());
            }
            Values::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Date32(values) => {
                Day::from_epoch_days(i64::from(values[row])).put_binary(out)?;
            }
            Values::Date64(values) => {
                Day::from_epoch_days(values[row].div_euclid(MILLIS_PER_DAY)).put_binary(out)?;
            }
            Values::Timestamp(values, unit, zone) => {
                let (day, clock) = temporal::datetime(values[row], *unit, zone.as_ref());
                temporal::put_datetime_binary(out, day, clock)?;
            }
            Values::Time32(values, unit) => {
                let (negative, clock) = temporal::span(i64::from(values[row]), *unit);
                clock.put_binary(out, negative);
            }
            Values::Time64(values, unit) => {
                let (negative, clock) = temporal::span(values[row], *unit);
                clock.put_binary(out, negative);
            }
            Values::Dictionary(keys, values) => values.put_binary(keys[row], out)?,
            _ => self.put_lenenc_text(row, out),
        }
        Ok(())
    }

    /// Text or bytes that are stored as such.
    fn bytes(&self, row: usize) -> Option<&[u8]> {
        Some(match &self.values {
            Values::Utf8(values) => values.value(row).as_bytes(),
            Values::LargeUtf8(values) => values.value(row).as_bytes(),
            Values::Utf8View(values) => values.value(row).as_bytes(),
            Values::Binary(values) => values.value(row),
            Values::LargeBinary(values) => values.value(row),
            Values::BinaryView(values) => values.value(row),
            Values::FixedSizeBinary(values) => values.value(row),
            Values::Dictionary(keys, values) => return values.bytes(keys[row]),
            _ => return None,
        })
    }

    /// Appends the text of a cell that is not NULL.
    fn put_text(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Null => {}
            Values::Boolean(values) => out.push(if values.value(row) { b'1' } else { b'0' }),
            Values::Int8(values) => put_display(out, values[row]),
            Values::Int16(values) => put_display(out, values[row]),
            Values::Int32(values) => put_display(out, values[row]),
            Values::Int64(values) => put_display(out, values[row]),
            Values::UInt8(values) => put_display(out, values[row]),
            Values::UInt16(values) => put_display(out, values[row]),
            Values::UInt32(values) => put_display(out, values[row]),
            Values::UInt64(values) => put_display(out, values[row]),
            Values::Float16(values) => put_float(out, values.value(row).to_f32()),
            Values::Float32(values) => put_float(out, values[row]),
            Values::Float64(values) => put_float(out, values[row]),
            Values::Decimal32(values, scale) => put_decimal(out, values.value(row), *scale),
            Values::Decimal64(values, scale) => put_decimal(out, values.value(row), *scale),
            Values::Decimal128(values, scale) => put_decimal(out, values.value(row), *scale),
            Values::Decimal256(values, scale) => put_decimal(out, values.value(row), *scale),
            Values::Date32(values) => Day::from_epoch_days(i64::from(values[row])).put_text(out),
            Values::Date64(values) => {
                Day::from_epoch_days(values[row].div_euclid(MILLIS_PER_DAY)).put_text(out);
            }
            Values::Timestamp(values, unit, zone) => {
                let (day, clock) = temporal::datetime(values[row], *unit, zone.as_ref());
                temporal::put_datetime_text(out, day, clock);
            }
            Values::Time32(values, unit) => {
                temporal::put_span_text(out, temporal::span(i64::from(values[row]), *unit));
            }
            Values::Time64(values, unit) | Values::Duration(values, unit) => {
                temporal::put_span_text(out, temporal::span(values[row], *unit));
            }
            Values::IntervalYearMonth(values) => put_interval(out, values.value(row), 0, 0),
            Values::IntervalDayTime(values) => {
                let value = values.value(row);
                put_interval(out, 0, value.days, i64::from(value.milliseconds) * 1_000_000);
            }
            Values::IntervalMonthDayNano(values) => {
                let value = values.value(row);
                put_interval(out, value.months, value.days, value.nanoseconds);
            }
            Values::List(ranges, items) => {
                put_sequence(out, [b'[', b']'], ranges.of(row), |item, out| {
                    items.put_json(item, out);
                });
            }
            Values::Struct(columns) => {
                put_sequence(out, [b'{', b'}'], 0..columns.len(), |index, out| {
                    let (name, cells) = &columns[index];
                    put_quoted(out, name.as_bytes());
                    out.push(b':');
                    cells.put_json(row, out);
                });
            }
            Values::Map(offsets, keys, values) => {
                put_sequence(out, [b'{', b'}'], range(offsets, row), |entry, out| {
                    keys.put_json(entry, out);
                    out.push(b':');
                    values.put_json(entry, out);
                });
            }
            Values::Dictionary(keys, values) => values.put_text(keys[row], out),
            Values::Utf8(_)
            | Values::LargeUtf8(_)
            | Values::Utf8View(_)
            | Values::Binary(_)
            | Values::LargeBinary(_)
            | Values::BinaryView(_)
            | Values::FixedSizeBinary(_) => out.extend_from_slice(self.bytes(row).unwrap_or(b"")),
        }
    }

    /// Appends a cell as it looks inside of a list, struct or map.
    fn put_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Dictionary(keys, values) => values.put_json(keys[row], out),
            Values::Utf8(_) | Values::LargeUtf8(_) | Values::Utf8View(_) => {
                put_quoted(out, self.bytes(row).unwrap_or(b""));
            }
            Values::Binary(_) | Values::LargeBinary(_) | Values::BinaryView(_) | Values::FixedSizeBinary(_) => {
                // Bytes need not be text; JSON has to be.
                out.push(b'"');
                for byte in self.bytes(row).unwrap_or(b"") {
                    put_display(out, format_args!("{byte:02x}"));
                }
                out.push(b'"');
            }
            Values::Date32(_)
            | Values::Date64(_)
            | Values::Timestamp(..)
            | Values::Time32(..)
            | Values::Time64(..)
            | Values::Duration(..)
            | Values::IntervalYearMonth(_)
            | Values::IntervalDayTime(_)
            | Values::IntervalMonthDayNano(_) => {
                out.push(b'"');
                self.put_text(row, out);
                out.push(b'"');
            }
            _ => self.put_text(row, out),
        }
    }
}

impl Ranges<'_> {
    fn of(&self, row: usize) -> Range<usize> {
        match self {
            Self::Offsets(offsets) => range(offsets, row),
            Self::LargeOffsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Self::Views(starts, sizes) => {
                let start = starts[row] as usize;
                start..start + sizes[row] as usize
            }
            Self::LargeViews(starts, sizes) => {
                let start = starts[row] as usize;
                start..start + sizes[row] as usize
            }
            Self::Fixed(length) => row * length..(row + 1) * length,
        }
    }
}

fn range(offsets: &[i32], row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn items(array: &dyn Array) -> Result<Box<Cells<'_>>, WireError> {
    Cells::new(array).map(Box::new)
}

fn timestamps(array: &dyn Array, unit: TimeUnit) -> &[i64] {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
    }
}

fn durations(array: &dyn Array, unit: TimeUnit) -> &[i64] {
    match unit {
        TimeUnit::Second => array.as_primitive::<DurationSecondType>().values(),
        TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().values(),
        TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().values(),
        TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().values(),
    }
}

/// Months, days and time do not convert into each other, so each part is named: `14 months 3 days 04:05:06`.
fn put_interval(out: &mut Vec<u8>, months: i32, days: i32, nanoseconds: i64) {
    let start = out.len();
    for (count, name) in [(months, "months"), (days, "days")] {
        if count != 0 {
            put_display(out, format_args!("{count} {name} "));
        }
    }
    let (negative, clock) = temporal::span(nanoseconds, TimeUnit::Nanosecond);
    if clock != Clock::from_micros(0) || out.len() == start {
        temporal::put_span_text(out, (negative, clock));
    } else {
        out.pop(); // the space after the last part
    }
}

fn put_sequence(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: Range<usize>,
    put_item: impl Fn(usize, &mut Vec<u8>),
) {
    out.push(open);
    for index in items.clone() {
        if index != items.start {
            out.push(b',');
        }
        put_item(index, out);
    }
    out.push(close);
}

/// Appends a JSON string.
fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control @ 0..=0x1f => put_display(out, format_args!("\\u{control:04x}")),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}
