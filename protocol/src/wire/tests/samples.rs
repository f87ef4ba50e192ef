//! One row of every type, and what clients must read from it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::{Int32Type, IntervalMonthDayNano};
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema};

use crate::wire::column;

/// A column of one value: name, array, the value as text, and the SQL type to declare, if any.
type Sample = (&'static str, ArrayRef, &'static str, Option<&'static str>);

pub(super) fn samples() -> Vec<Sample> {
    let decimal = |value: i128, precision, scale| {
        let array = Decimal128Array::from(vec![value]);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![true])), "1", None),
        ("i8", Arc::new(Int8Array::from(vec![i8::MIN])), "-128", None),
        ("i16", Arc::new(Int16Array::from(vec![i16::MIN])), "-32768", None),
        ("i32", Arc::new(Int32Array::from(vec![i32::MIN])), "-2147483648", None),
        ("i64", Arc::new(Int64Array::from(vec![i64::MIN])), "-9223372036854775808", None),
        ("u8", Arc::new(UInt8Array::from(vec![u8::MAX])), "255", None),
        ("u16", Arc::new(UInt16Array::from(vec![u16::MAX])), "65535", None),
        ("u32", Arc::new(UInt32Array::from(vec![u32::MAX])), "4294967295", None),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615", None),
        ("f32", Arc::new(Float32Array::from(vec![0.1])), "0.1", None),
        ("f64", Arc::new(Float64Array::from(vec![-1.5e20])), "-1.5e20", None),
        ("dec", decimal(-12345, 10, 2), "-123.45", None),
        (
            "dec256",
            Arc::new(Decimal256Array::from_iter_values([7_i8.into()]).with_precision_and_scale(76, 3).unwrap()),
            "0.007",
            None,
        ),
        ("largeint", decimal(i128::MAX / 10, 38, 0), "17014118346046923173168730371588410572", Some("LARGEINT")),
        ("utf8", Arc::new(StringArray::from(vec!["Ebla ✓"])), "Ebla ✓", Some("VARCHAR(20)")),
        ("large_utf8", Arc::new(LargeStringArray::from(vec![""])), "", None),
        (
            "view",
            Arc::new(StringViewArray::from(vec!["a text that is too long to be inlined"])),
            "a text that is too long to be inlined",
            None,
        ),
        ("json", Arc::new(StringArray::from(vec!["{\"a\": 1}"])), "{\"a\": 1}", Some("JSON")),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"raw"[..]])), "raw", None),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter([b"four"].into_iter()).unwrap()), "four", None),
        ("date", Arc::new(Date32Array::from(vec![19_782])), "2024-02-29", None),
        ("date64", Arc::new(Date64Array::from(vec![-1])), "1969-12-31", None),
        ("ts_s", Arc::new(TimestampSecondArray::from(vec![1_709_210_096])), "2024-02-29 12:34:56", None),
        (
            "ts_us",
            Arc::new(TimestampMicrosecondArray::from(vec![1_709_210_096_000_007])),
            "2024-02-29 12:34:56.000007",
            Some("DATETIME"),
        ),
        (
            "ts_tz",
            Arc::new(TimestampNanosecondArray::from(vec![0]).with_timezone("+08:00")),
            "1970-01-01 08:00:00",
            None,
        ),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![3_723_000_000])), "01:02:03", None),
        ("duration", Arc::new(DurationMillisecondArray::from(vec![-90_061_500])), "-25:01:01.500000", None),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, 3, 1_500_000_000)])),
            "14 months 3 days 00:00:01.500000",
            None,
        ),
        ("dict", dictionary(), "again", None),
        ("list", list(), "[1,null,3]", None),
        ("struct", structure(), "{\"a\":1,\"b\":\"x\\\"y\"}", None),
        ("map", map(), "{\"k\":5}", None),
    ]
}

/// One row of every type.
pub(super) fn all_types() -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = samples()
        .into_iter()
        .map(|(name, array, _, declared)| {
            let metadata = declared.map(|sql| (column::MYSQL_TYPE.to_owned(), sql.to_owned()));
            let field = Field::new(name, array.data_type().clone(), true).with_metadata(HashMap::from_iter(metadata));
            (field, array)
        })
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// The same columns, all NULL, and one of type Null.
pub(super) fn all_nulls() -> RecordBatch {
    let schema = all_types().schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("null", DataType::Null, true)));
    let arrays = fields.iter().map(|f| new_null_array(f.data_type(), 1)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// A date that the text protocol can carry and the binary one cannot.
pub(super) fn year_ten_thousand() -> RecordBatch {
    let array: ArrayRef = Arc::new(Date32Array::from(vec![2_932_897]));
    RecordBatch::try_from_iter([("d", array)]).unwrap()
}

fn dictionary() -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    builder.append_value("unused");
    builder.append_value("again");
    Arc::new(builder.finish().slice(1, 1))
}

fn list() -> ArrayRef {
    let mut builder = ListBuilder::new(Int32Builder::new());
    builder.append_value([Some(9)]);
    builder.append_value([Some(1), None, Some(3)]);
    Arc::new(builder.finish().slice(1, 1))
}

fn structure() -> ArrayRef {
    let a: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let b: ArrayRef = Arc::new(StringArray::from(vec!["x\"y"]));
    Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int32, true)), a),
        (Arc::new(Field::new("b", DataType::Utf8, true)), b),
    ]))
}

fn map() -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    builder.keys().append_value("k");
    builder.values().append_value(5);
    builder.append(true).unwrap();
    Arc::new(builder.finish())
}
