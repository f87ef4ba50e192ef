//! Conversions value by value: text, numbers, dates, nested.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array,
    Int32Array, Int64Array, ListArray, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, i256};
use ebla_storage::schema::{DataType, StructField};

use super::format::text_of;
use super::{Converted, convert};

const BAD: &str = "<bad>";

/// Each value converted and printed; NULL prints as `NULL`, what failed as `<bad>`.
fn converted(source: ArrayRef, target: &DataType) -> Vec<String> {
    let Converted { array, failed } = convert(&source, target).expect("converts");
    assert_eq!(array.data_type(), &target.to_arrow());
    assert_eq!(array.len(), source.len());
    (0..array.len())
        .map(|row| {
            if failed.contains(&(row as u32)) {
                assert!(array.is_null(row), "what failed is NULL");
                BAD.to_owned()
            } else {
                text_of(&array, row).unwrap_or_else(|| "NULL".to_owned())
            }
        })
        .collect()
}

fn check(target: &DataType, cases: &[(&str, &str)]) {
    let texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(converted(Arc::new(StringArray::from(texts.clone())), target), expected, "{target}");
    assert_eq!(converted(Arc::new(StringViewArray::from(texts)), target), expected, "{target} of views");
}

#[test]
fn text_to_integers() {
    check(
        &DataType::TinyInt,
        &[
            ("1", "1"),
            (" -128 ", "-128"),
            ("+7", "7"),
            ("128", BAD),
            ("", BAD),
            ("1x", BAD),
            ("1.0", "1"),
            ("1.5", BAD),
        ],
    );
    check(
        &DataType::BigInt,
        &[
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", BAD),
            ("1e3", "1000"),
            ("12e-1", BAD),
            ("-", BAD),
            ("1 2", BAD),
            ("é", BAD),
        ],
    );
    check(
        &DataType::LargeInt,
        &[
            ("170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
            ("-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
            ("170141183460469231731687303715884105728", BAD),
            ("1e40", BAD),
            ("000000000000000000000000000000000000000000000000001", "1"),
        ],
    );
}

#[test]
fn text_to_decimals() {
    check(
        &DataType::Decimal { precision: 5, scale: 2 },
        &[
            ("1", "1.00"),
            ("1.005", "1.01"),
            ("-1.005", "-1.01"),
            ("999.994", "999.99"),
            ("999.995", BAD),
            ("1000", BAD),
            (".5", "0.50"),
            ("5.", "5.00"),
            (".", BAD),
            ("1e2", "100.00"),
            ("12345e-3", "12.35"),
            ("1e-400", "0.00"),
            ("0e999999999999", "0.00"),
            ("1e999999999999", BAD),
            ("1.2.3", BAD),
            ("0.10000000000000000000000000000000000000000000000000001", "0.10"),
        ],
    );
    let widest = "9".repeat(38);
    check(&DataType::Decimal { precision: 38, scale: 0 }, &[(&widest, &widest), ("1e38", BAD)]);
}

#[test]
fn text_to_floats_and_booleans() {
    check(
        &DataType::Double,
        &[("1.5", "1.5"), ("1e300", "1e300"), ("1e999", BAD), ("nan", BAD), ("inf", BAD), ("-.5", "-0.5")],
    );
    check(&DataType::Float, &[("0.1", "0.1"), ("1e39", BAD)]);
    check(
        &DataType::Boolean,
        &[("true", "1"), ("FALSE", "0"), ("1", "1"), ("0", "0"), ("2", "1"), ("yes", BAD), ("", BAD)],
    );
}

#[test]
fn text_to_dates() {
    check(
        &DataType::Date,
        &[
            ("2024-02-29", "2024-02-29"),
            ("2023-02-29", BAD),
            ("20240131", "2024-01-31"),
            ("2024/1/3", "2024-01-03"),
            ("2024-01-31 23:59:59", "2024-01-31"),
            (" 1969-12-31 ", "1969-12-31"),
            ("31.01.2024", BAD),
            ("", BAD),
        ],
    );
    check(
        &DataType::DateTime,
        &[
            ("2024-01-31 12:34:56", "2024-01-31 12:34:56"),
            ("2024-01-31T12:34:56.5", "2024-01-31 12:34:56.500000"),
            ("2024-01-31", "2024-01-31 00:00:00"),
            ("2024/01/31 12:34", "2024-01-31 12:34:00"),
            ("20240131123456", "2024-01-31 12:34:56"),
            ("2024-01-31 24:00:00", BAD),
            ("1969-12-31 23:59:59", "1969-12-31 23:59:59"),
        ],
    );
}

#[test]
fn text_to_json() {
    check(
        &DataType::Json,
        &[
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("[1,2]", "[1,2]"),
            ("plain", r#""plain""#),
            ("12", "12"),
            (r#"{"a": "#, BAD),
            ("", r#""""#),
        ],
    );
}

#[test]
fn text_to_nested() {
    let array = DataType::Array { element: Box::new(DataType::Int) };
    check(
        &array,
        &[("[1, 2,null]", "[1, 2, null]"), ("[]", "[]"), ("[1,\"x\"]", BAD), ("1", BAD), ("[1", BAD), ("[[1]]", BAD)],
    );
    let map = DataType::Map { key: Box::new(DataType::Int), value: Box::new(DataType::Varchar { length: 10 }) };
    check(&map, &[(r#"{"1": "a", "2": null}"#, r#"{"1": "a", "2": null}"#), (r#"{"x": "a"}"#, BAD), ("{}", "{}")]);
    let deep = DataType::Array {
        element: Box::new(DataType::Struct {
            fields: vec![
                StructField { name: "n".into(), data_type: DataType::Decimal { precision: 38, scale: 1 } },
                StructField { name: "j".into(), data_type: DataType::Json },
            ],
        }),
    };
    check(
        &deep,
        &[
            (
                r#"[{"N": 1234567890123456789012345678901234567.85, "j": {"x": [1]}}]"#,
                r#"[{"n": 1234567890123456789012345678901234567.9, "j": "{\"x\": [1]}"}]"#,
            ),
            (r#"[{"other": 1}]"#, r#"[{"n": null, "j": null}]"#),
            (r#"[{"n": "x"}]"#, BAD),
        ],
    );
}

#[test]
fn null_stays_null() {
    let nested = DataType::Array { element: Box::new(DataType::Int) };
    for target in [DataType::Int, DataType::Json, DataType::Date, DataType::LargeInt, DataType::Boolean, nested] {
        assert_eq!(converted(Arc::new(StringArray::from(vec![None::<&str>])), &target), ["NULL"], "{target}");
        assert_eq!(converted(arrow::array::new_null_array(&arrow::datatypes::DataType::Null, 1), &target), ["NULL"]);
    }
}

#[test]
fn numbers_to_numbers() {
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(300), None, Some(-5)]));
    assert_eq!(converted(Arc::clone(&integers), &DataType::TinyInt), ["1", BAD, "NULL", "-5"]);
    assert_eq!(converted(Arc::clone(&integers), &DataType::LargeInt), ["1", "300", "NULL", "-5"]);
    assert_eq!(converted(Arc::clone(&integers), &DataType::Boolean), ["1", "1", "NULL", "1"]);
    let small = DataType::Decimal { precision: 3, scale: 1 };
    assert_eq!(converted(integers, &small), ["1.0", BAD, "NULL", "-5.0"]);

    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.9, -1.9, 1e10, f64::NAN, 0.25]));
    assert_eq!(converted(Arc::clone(&doubles), &DataType::Int), ["1", "-1", BAD, BAD, "0"]);
    assert_eq!(converted(doubles, &small), ["1.9", "-1.9", BAD, BAD, "0.3"]);
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1e39, 0.5]));
    assert_eq!(converted(doubles, &DataType::Float), [BAD, "0.5"]);

    let decimals = Decimal128Array::from(vec![12_345, -12_355]).with_precision_and_scale(10, 2).expect("fits");
    let decimals: ArrayRef = Arc::new(decimals);
    assert_eq!(converted(Arc::clone(&decimals), &DataType::Decimal { precision: 4, scale: 1 }), ["123.5", "-123.6"]);
    assert_eq!(converted(Arc::clone(&decimals), &DataType::Int), ["123", "-123"]);
    assert_eq!(converted(Arc::clone(&decimals), &DataType::Boolean), ["1", "1"]);
    assert_eq!(converted(decimals, &DataType::Varchar { length: 10 }), ["123.45", "-123.55"]);

    let wide = Decimal256Array::from(vec![i256::from_i128(i128::MAX), i256::from_i128(i128::MAX) + i256::ONE]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(39, 0).expect("fits"));
    assert_eq!(converted(wide, &DataType::LargeInt), [i128::MAX.to_string().as_str(), BAD]);
}

#[test]
fn booleans_and_dates() {
    let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    for target in [DataType::Int, DataType::Double, DataType::LargeInt, DataType::Varchar { length: 5 }] {
        assert_eq!(converted(Arc::clone(&booleans), &target), ["1", "0"], "{target}");
    }
    assert_eq!(converted(Arc::clone(&booleans), &DataType::Json), ["true", "false"]);
    assert!(convert(&booleans, &DataType::Date).is_err());

    let days: ArrayRef = Arc::new(Date32Array::from(vec![0, -1]));
    assert_eq!(converted(Arc::clone(&days), &DataType::DateTime), ["1970-01-01 00:00:00", "1969-12-31 00:00:00"]);
    assert_eq!(converted(Arc::clone(&days), &DataType::Int), ["19700101", "19691231"]);
    assert_eq!(converted(days, &DataType::Varchar { length: 10 }), ["1970-01-01", "1969-12-31"]);

    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 86_400_000_000]));
    assert_eq!(converted(Arc::clone(&times), &DataType::Date), ["1969-12-31", "1970-01-02"]);
    assert_eq!(converted(times, &DataType::BigInt), ["19691231235959", "19700102000000"]);

    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![20_240_131, 5]));
    assert_eq!(converted(numbers, &DataType::Date), ["2024-01-31", BAD]);
}

#[test]
fn bytes() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"7"[..], b"\xff"]));
    assert_eq!(converted(Arc::clone(&bytes), &DataType::Int), ["7", BAD]);
    assert_eq!(converted(bytes, &DataType::Varbinary { length: 10 }), ["7", "\u{fffd}"]);
}

#[test]
fn lists_of_lists_and_slices() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1_000)]),
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2), Some(1_000)]),
    ]);
    let list: ArrayRef = Arc::new(list.slice(1, 4));
    let target = DataType::Array { element: Box::new(DataType::TinyInt) };
    assert_eq!(converted(list, &target), ["[1, null]", "NULL", "[]", BAD]);
}
