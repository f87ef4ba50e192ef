//! CSV: formats, chunks, and random bytes.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

fn names(columns: usize) -> Vec<String> {
    (0..columns).map(|column| format!("c{column}")).collect()
}

/// Reads `input` in chunks of `chunk` bytes: rows as text, and the reasons of bad rows.
fn read(
    format: &CsvFormat,
    columns: usize,
    input: &[u8],
    chunk: usize,
) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let mut reader = CsvReader::new(format.clone(), &names(columns));
    let mut out = ReadRows::default();
    for part in input.chunks(chunk.max(1)) {
        reader.push(part, &mut out)?;
    }
    reader.finish(&mut out)?;
    let mut rows = Vec::new();
    for batch in &out.batches {
        for row in 0..batch.batch.num_rows() {
            let values: Vec<String> =
                batch.batch.columns().iter().map(|column| crate::load::assemble::shown(column, row)).collect();
            rows.push(format!("{}:{}", batch.row_numbers[row], values.join("|")));
        }
    }
    let bad = out.bad_texts.iter().map(|bad| format!("{}:{}", bad.row, bad.reason)).collect();
    Ok((rows, bad))
}

/// The same rows, whatever the chunks.
fn check(format: &CsvFormat, columns: usize, input: &[u8], rows: &[&str], bad: &[&str]) {
    for chunk in [input.len(), 1, 2, 3, 7] {
        let (read_rows, read_bad) = read(format, columns, input, chunk).expect("reads");
        assert_eq!(read_rows, rows, "chunks of {chunk}");
        let matches = read_bad.len() == bad.len() && read_bad.iter().zip(bad).all(|(read, bad)| read.starts_with(bad));
        assert!(matches, "chunks of {chunk}: {read_bad:?}");
    }
}

fn comma() -> CsvFormat {
    CsvFormat { column_separator: b",".to_vec(), ..CsvFormat::default() }
}

#[test]
fn plain_rows() {
    check(&CsvFormat::default(), 2, b"1\ta\n2\t\\N\n\n3\t", &["1:1|a", "2:2|NULL", "4:3|"], &[]);
    check(&comma(), 2, b"1,a\r\n2,b\r\n", &["1:1|a", "2:2|b"], &[]);
    check(&comma(), 2, "\u{feff}1,ä\n".as_bytes(), &["1:1|ä"], &[]);
    check(&comma(), 1, b"", &[], &[]);
    check(&comma(), 1, b"\n\n", &[], &[]);
}

#[test]
fn bad_rows() {
    check(
        &comma(),
        2,
        b"1\n1,2,3\n1,2\n\xff,2\n",
        &["3:1|2"],
        &[
            "1:Value count does not match column count. Expect 2, but got 1.",
            "2:Value count does not match column count. Expect 2, but got 3.",
            "4:The row is not UTF-8",
        ],
    );
}

#[test]
fn long_separators_header_and_blanks() {
    let format = CsvFormat {
        column_separator: b"||".to_vec(),
        row_delimiter: b"<end>".to_vec(),
        skip_header: 1,
        trim_space: true,
        ..CsvFormat::default()
    };
    check(&format, 2, b"id||name<end> 1 || a b <end>2||\\N <end>3||<e", &["2:1|a b", "3:2|NULL", "4:3|<e"], &[]);
    // A separator that is not UTF-8.
    let format = CsvFormat { column_separator: b"\xff".to_vec(), ..CsvFormat::default() };
    check(
        &format,
        2,
        "ä\u{0}\n".as_bytes().iter().map(|b| if *b == 0 { 0xff } else { *b }).collect::<Vec<_>>().as_slice(),
        &["1:ä|"],
        &[],
    );
}

#[test]
fn quotes_and_escapes() {
    let format = CsvFormat { enclose: Some(b'"'), ..comma() };
    check(
        &format,
        2,
        b"\"a,\"\"b\"\"\nc\",1\n\"\",\\N\n\"\\N\",x\"y\r\n",
        &["1:a,\"b\"\nc|1", "2:|NULL", "3:\\N|x\"y"],
        &[],
    );
    check(&format, 2, b"1,2\n\"open,3\n", &["1:1|2"], &["2:The input ends inside a quoted value"]);
    check(&format, 2, b"\"a\"b,\"c\"\r\n", &["1:ab|c"], &[]);

    let format = CsvFormat { escape: Some(b'\\'), ..comma() };
    check(&format, 2, b"a\\,b,\\N\nc\\\\,d\\\ne\n", &["1:a,b|NULL", "2:c\\|d\ne"], &[]);

    let format = CsvFormat { enclose: Some(b'\''), escape: Some(b'\\'), trim_space: true, ..comma() };
    check(&format, 2, b"  ' a\\' '  , b  \n", &["1: a' |b"], &[]);
}

#[test]
fn separators_as_headers_write_them() {
    let cases: &[(&str, &[u8])] = &[
        (",", b","),
        ("\\t", b"\t"),
        ("\\x01", b"\x01"),
        ("\\\\x01", b"\x01"),
        ("0x0102", b"\x01\x02"),
        ("\\x01\\x02", b"\x01\x02"),
        ("|\\n", b"|\n"),
        ("\\r\\n", b"\r\n"),
        ("\\\\", b"\\"),
        ("\\", b"\\"),
        ("\\0", b"\0"),
        ("||", b"||"),
    ];
    for (text, expected) in cases {
        assert_eq!(&parse_separator(text).expect("a separator"), expected, "{text}");
    }
    for text in ["", "\\xg1", "\\x1", &"x".repeat(51)] {
        assert!(parse_separator(text).is_err(), "{text}");
    }
}

#[test]
fn rows_are_bounded() {
    let chunk = vec![b'x'; 4 << 20];
    for format in [comma(), CsvFormat { enclose: Some(b'"'), ..comma() }] {
        let mut reader = CsvReader::new(format, &names(1));
        let mut out = ReadRows::default();
        let pushed = (0..10).try_for_each(|_| reader.push(&chunk, &mut out));
        assert!(matches!(pushed, Err(LoadError::Input(_))));
    }
}

#[test]
fn batches_are_bounded() {
    let input = "1,2\n".repeat(40_000);
    let mut reader = CsvReader::new(comma(), &names(2));
    let mut out = ReadRows::default();
    reader.push(input.as_bytes(), &mut out).expect("reads");
    reader.finish(&mut out).expect("reads");
    let rows: Vec<usize> = out.batches.iter().map(|batch| batch.batch.num_rows()).collect();
    assert_eq!(rows, [16_384, 16_384, 7_232]);
}

fn any_format(random: &mut StdRng) -> CsvFormat {
    let mut choose = |from: &[&[u8]]| from.choose(random).expect("a choice").to_vec();
    CsvFormat {
        column_separator: choose(&[b",", b"||", b"\x01", b"ab"]),
        row_delimiter: choose(&[b"\n", b"\r\n", b";;"]),
        enclose: choose(&[b"", b"\"", b"'"]).first().copied(),
        escape: choose(&[b"", b"\\", b"\""]).first().copied(),
        skip_header: random.random_range(0..3),
        trim_space: random.random(),
    }
}

/// Whatever the bytes and however they are cut, reading them ends, without a panic, in the same rows.
#[test]
fn any_bytes() {
    for seed in 0..3_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let format = any_format(&mut random);
        let input: Vec<u8> = (0..random.random_range(0..200))
            .map(|_| match random.random_range(0..20) {
                0 => random.random(),
                _ => *b",|\n\r;\"'\\N ab\x01".choose(&mut random).expect("a choice"),
            })
            .collect();
        let columns = random.random_range(1..4);
        let whole = read(&format, columns, &input, input.len()).expect("reads");
        let parts = read(&format, columns, &input, random.random_range(1..50)).expect("reads");
        assert_eq!(whole, parts, "seed {seed}: {format:?} {input:?}");
    }
}

/// What is written with quotes is read back.
#[test]
fn written_is_read() {
    for seed in 0..1_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let escape = random.random::<bool>().then_some(b'\\');
        let format = CsvFormat { enclose: Some(b'"'), escape, ..comma() };
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for number in 1..=random.random_range(1..10) {
            let values: Vec<Option<String>> = (0..2)
                .map(|_| {
                    let letters = random.random_range(0..8);
                    let value = || *[',', '"', '\n', '\\', 'N', 'ä', '😀', ' '].choose(&mut random).expect("a choice");
                    let value: String = std::iter::repeat_with(value).take(letters).collect();
                    (letters < 7).then_some(value)
                })
                .collect();
            write_value(values[0].as_deref(), &format, &mut text);
            text.push(b',');
            write_value(values[1].as_deref(), &format, &mut text);
            text.push(b'\n');
            let shown: Vec<&str> = values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            expected.push(format!("{number}:{}", shown.join("|")));
        }
        let (read, bad) = read(&format, 2, &text, random.random_range(1..50)).expect("reads");
        assert_eq!(read, expected, "seed {seed}");
        assert!(bad.is_empty(), "seed {seed}: {bad:?}");
    }
}
