//! JSON: shapes, paths, chunks, and random bytes.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::load::assemble::shown;
use path::parse_paths;

fn columns(names: &[&str]) -> Vec<JsonColumn> {
    names.iter().map(|name| JsonColumn { name: (*name).to_owned(), data_type: None }).collect()
}

fn read(
    format: &JsonFormat,
    columns: Vec<JsonColumn>,
    input: &[u8],
    chunk: usize,
) -> Result<(Vec<String>, Vec<u64>), LoadError> {
    let mut reader = JsonReader::new(format.clone(), columns)?;
    let mut out = ReadRows::default();
    for part in input.chunks(chunk.max(1)) {
        reader.push(part, &mut out)?;
    }
    reader.finish(&mut out)?;
    let mut rows = Vec::new();
    for batch in &out.batches {
        for row in 0..batch.batch.num_rows() {
            let values: Vec<String> = batch.batch.columns().iter().map(|column| shown(column, row)).collect();
            rows.push(format!("{}:{}", batch.row_numbers[row], values.join("|")));
        }
    }
    Ok((rows, out.bad_texts.iter().map(|bad| bad.row).collect()))
}

fn check(format: &JsonFormat, names: &[&str], input: &str, rows: &[&str], bad: &[u64]) {
    for chunk in [input.len(), 1, 2, 5] {
        let (read_rows, read_bad) = read(format, columns(names), input.as_bytes(), chunk).expect("reads");
        assert_eq!(read_rows, rows, "chunks of {chunk}");
        assert_eq!(read_bad, bad, "chunks of {chunk}");
    }
}

fn error(format: &JsonFormat, input: &str) -> String {
    read(format, columns(&["a"]), input.as_bytes(), 3).expect_err("fails").to_string()
}

fn outer_array() -> JsonFormat {
    JsonFormat { strip_outer_array: true, ..JsonFormat::default() }
}

#[test]
fn objects_by_name() {
    let plain = JsonFormat::default();
    check(
        &plain,
        &["a", "B"],
        "\u{feff}{\"a\": 1, \"b\": \"x\\n\\u00e4\\ud83d\\ude00\"}\n{\"B\":null,\"c\":[{}]} {\"a\":{\"x\": [1, \"}\"]}}{\"a\":1.50}",
        &["1:1|x\nä😀", "2:NULL|NULL", "3:{\"x\": [1, \"}\"]}|NULL", "4:1.50|NULL"],
        &[],
    );
    check(&plain, &["a"], "{\"a\":1,\"a\":2}", &["1:2"], &[]);
    check(&plain, &["a"], "", &[], &[]);
}

#[test]
fn bad_objects() {
    let plain = JsonFormat::default();
    check(&plain, &["a"], "{\"a\" 1}\n{\"a\":2}\n3 {\"a\":4}\n\"x\"\n", &["2:2", "4:4"], &[1, 3, 5]);
    // A string that is not closed spoils its own line only.
    check(&plain, &["a"], "{\"a\":\"x}\n{\"a\":2}\n", &["2:2"], &[1]);
    check(&plain, &["a"], "{\"a\":1}\n{\"a\":", &["1:1"], &[2]);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    check(&plain, &["a"], &deep, &[], &[1]);
    assert!(error(&plain, "[{\"a\":1}]").contains("set strip_outer_array to true"));
}

#[test]
fn outer_arrays() {
    check(&outer_array(), &["a"], "[{\"a\":1} , {\"a\":\"]\"},5 , []]", &["1:1", "2:]"], &[3, 4]);
    check(&outer_array(), &["a"], " [ ] \n[{\"a\":1}]", &["1:1"], &[]);
    assert!(error(&outer_array(), "{\"a\":1}").contains("set strip_outer_array to false"));
    assert!(error(&outer_array(), "[{\"a\":1}").contains("not closed"));
    assert!(error(&outer_array(), "[{\"a\":1}{\"a\":2}]").contains("comma"));
}

#[test]
fn roots_and_paths() {
    let paths = parse_paths(r#"["$.a.b[1]", "$[\"c d\"]", "$.\"e.f\"", "$"]"#).expect("paths");
    let format = JsonFormat { paths: Some(paths), ..JsonFormat::default() };
    check(
        &format,
        &["w", "x", "y", "z"],
        "{\"a\":{\"b\":[1,2]},\"c d\":\"x\",\"e.f\":true}\n{\"a\":{\"b\":5}}",
        &["1:2|x|true|{\"a\":{\"b\":[1,2]},\"c d\":\"x\",\"e.f\":true}", "2:NULL|NULL|NULL|{\"a\":{\"b\":5}}"],
        &[],
    );
    let positions = JsonFormat { paths: Some(parse_paths(r#"["$[1]"]"#).expect("paths")), ..outer_array() };
    check(&positions, &["a"], "[[1,2],[3,4]]", &["1:2", "2:4"], &[]);

    let root: JsonPath = "$.data.rows".parse().expect("a path");
    let format = JsonFormat { json_root: Some(root), ..outer_array() };
    check(&format, &["a"], "{\"data\": {\"rows\": [{\"a\":1}, {\"a\":2}]}}", &["1:1", "2:2"], &[]);
    assert!(error(&format, "{\"data\": 1}").contains("json_root $.data.rows is not in the document"));
    assert!(error(&format, "{\"data\": {\"rows\": {}}}").contains("is no array"));

    for text in ["a", "$.", "$x", "$[x]", "$['x", "$.*", "$[1", "$['x'"] {
        assert!(text.parse::<JsonPath>().is_err(), "{text}");
    }
    assert!(parse_paths("$.a").is_err());
    assert!(JsonReader::new(positions, columns(&["a", "b"])).is_err());
}

#[test]
fn types_decide_the_form() {
    let typed = |data_type| vec![JsonColumn { name: "a".into(), data_type: Some(data_type) }];
    let one = |data_type, input: &str| {
        let (rows, _) = read(&JsonFormat::default(), typed(data_type), input.as_bytes(), 100).expect("reads");
        rows[0][2..].to_owned()
    };
    assert_eq!(one(DataType::Json, "{\"a\": \"x\"}"), "\"x\"");
    assert_eq!(one(DataType::Varchar { length: 5 }, "{\"a\": \"x\"}"), "x");
    assert_eq!(one(DataType::Varchar { length: 5 }, "{\"a\": true}"), "true");
    assert_eq!(one(DataType::TinyInt, "{\"a\": true}"), "1");
    assert_eq!(one(DataType::Json, "{\"a\": null}"), "NULL");
    for (written, whole) in [
        ("12.7", "12"),
        ("-12.7", "-12"),
        ("-0.9", "-0"),
        ("12", "12"),
        ("1e3", "1e3"),
        ("1.25e1", "12"),
        ("1.25e4", "12500"),
        ("125e-1", "12"),
        ("125e-9", "0"),
        ("1.5e99999", "1.5e99999"),
        ("9223372036854775807.9", "9223372036854775807"),
        // A text is not a number.
        ("\"12.7\"", "12.7"),
        ("[1.5]", "[1.5]"),
    ] {
        assert_eq!(one(DataType::BigInt, &format!("{{\"a\": {written}}}")), whole, "{written}");
    }
    assert_eq!(one(DataType::Double, "{\"a\": 12.7}"), "12.7");
    assert_eq!(one(DataType::Varchar { length: 5 }, "{\"a\": 12.7}"), "12.7");
}

#[test]
fn values_are_bounded() {
    let mut reader = JsonReader::new(JsonFormat::default(), columns(&["a"])).expect("a reader");
    let mut out = ReadRows::default();
    let chunk = vec![b'['; 4 << 20];
    reader.push(b"{\"a\":", &mut out).expect("reads");
    let pushed = (0..10).try_for_each(|_| reader.push(&chunk, &mut out));
    assert!(matches!(pushed, Err(LoadError::Input(_))));
}

fn any_text(random: &mut StdRng) -> String {
    let letters = random.random_range(0..6);
    let letter = || *['a', '"', '\\', '\n', '\t', '\u{1}', 'ä', '😀', '{', ']', ','].choose(random).expect("a choice");
    std::iter::repeat_with(letter).take(letters).collect()
}

fn any_value(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::from(random.random::<bool>()),
        2 => Value::from(random.random::<i64>()),
        3 => json!(random.random::<f64>() * 1e20),
        4 => Value::from(any_text(random)),
        5 => (0..random.random_range(0..4)).map(|_| any_value(random, depth - 1)).collect(),
        _ => {
            let entries = (0..random.random_range(0..4)).map(|_| (any_text(random), any_value(random, depth - 1)));
            Value::Object(entries.collect())
        }
    }
}

/// What serde_json writes is read back, plain and pretty, whatever the chunks.
#[test]
fn written_is_read() {
    for seed in 0..1_000 {
        let mut random = StdRng::seed_from_u64(seed);
        // Through text once, since serde_json does not read every number back to the last bit.
        let settled = |value: Value| serde_json::from_str(&value.to_string()).expect("JSON");
        let values: Vec<Value> = (0..random.random_range(0..6)).map(|_| settled(any_value(&mut random, 3))).collect();
        let rows: Vec<Value> = values.iter().map(|value| json!({"x": 1, "a": value})).collect();
        let text = if random.random() { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) };
        let column = vec![JsonColumn { name: "a".into(), data_type: Some(DataType::Json) }];
        let mut reader = JsonReader::new(outer_array(), column).expect("a reader");
        let mut out = ReadRows::default();
        let chunk = random.random_range(1..40);
        for part in text.expect("writes").as_bytes().chunks(chunk) {
            reader.push(part, &mut out).expect("reads");
        }
        reader.finish(&mut out).expect("reads");
        assert_eq!(out.bad_rows, 0, "seed {seed}: {:?}", out.bad_texts);
        let mut read: Vec<Value> = Vec::new();
        for batch in &out.batches {
            let texts = arrow::array::AsArray::as_string::<i32>(batch.batch.column(0));
            read.extend(texts.iter().map(|text| serde_json::from_str(text.unwrap_or("null")).expect("JSON")));
        }
        let values: Vec<Value> = values.into_iter().map(settled).collect();
        assert_eq!(read, values, "seed {seed}");
    }
}

fn any_input(random: &mut StdRng, letters: &[u8], length_max: usize) -> Vec<u8> {
    let length = random.random_range(0..length_max);
    (0..length).map(|_| *letters.choose(random).expect("a choice")).collect()
}

/// Whatever the bytes and however they are cut, reading them ends, without a panic, in the same rows.
#[test]
fn any_bytes() {
    for seed in 0..5_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut input = any_input(&mut random, b"{}[]\",:\\an1\n u", 120);
        if let Some(byte) = input.first_mut().filter(|_| seed % 7 == 0) {
            *byte = random.random();
        }
        let json_root = random.random::<bool>().then(|| "$.a".parse().expect("a path"));
        let format = JsonFormat { strip_outer_array: random.random(), json_root, paths: None };
        let whole = read(&format, columns(&["a", "n"]), &input, input.len());
        let parts = read(&format, columns(&["a", "n"]), &input, random.random_range(1..20));
        match (whole, parts) {
            (Ok(whole), Ok(parts)) => assert_eq!(whole, parts, "seed {seed}"),
            (Err(_), Err(_)) => {}
            (whole, parts) => panic!("seed {seed}: {whole:?} {parts:?}"),
        }
    }
}

/// What the scanner takes for JSON is JSON to serde_json, and the other way round. Leading zeros and halves of surrogate
/// pairs, which it lets through, are left out.
#[test]
fn scanner_agrees() {
    for seed in 0..20_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let input = any_input(&mut random, b"{}[]\",:\\an1.eE+- utrfls", 16);
        let text = String::from_utf8(input).expect("ASCII");
        if text.contains("\\u") {
            continue;
        }
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        assert_eq!(scan::value(&text).is_ok(), theirs, "seed {seed}: {text}");
    }
}
