//! The body of a Stream Load, cut anywhere: the rows do not depend on where it was cut.

use ebla_server::load::LoadError;
use ebla_server::load::csv::{CsvFormat, CsvReader};
use ebla_server::load::json::path::parse_paths;
use ebla_server::load::json::{JsonColumn, JsonFormat, JsonReader};
use ebla_server::load::text_batch::{ReadRows, RowReader};

/// The numbers of the good rows, how many are bad, and all text.
type Read = (Vec<u64>, u64, String);

/// CSV in any format. The first six bytes choose the format, the seventh the length of the pieces; the rest is the
/// body.
pub fn stream_load_csv(data: &[u8]) {
    let [separator, delimiter, enclose, escape, flags, columns, piece, body @ ..] = data else {
        return;
    };
    let format = CsvFormat {
        column_separator: choose(&[b",", b"||", b"\x01", b"ab"], *separator).to_vec(),
        row_delimiter: choose(&[b"\n", b"\r\n", b";;"], *delimiter).to_vec(),
        skip_header: u64::from(flags >> 1 & 3),
        trim_space: flags & 1 == 1,
        enclose: choose(&[b"", b"\"", b"'"], *enclose).first().copied(),
        escape: choose(&[b"", b"\\", b"\""], *escape).first().copied(),
    };
    let columns = usize::from(columns % 4) + 1;
    let whole = read_csv(&format, columns, body, body.len());
    let pieces = read_csv(&format, columns, body, usize::from(*piece));
    assert_eq!(whole.ok(), pieces.ok());
}

/// JSON. The first byte chooses the format, the second the length of the pieces; the rest is the body.
pub fn stream_load_json(data: &[u8]) {
    let [flags, piece, body @ ..] = data else {
        return;
    };
    let format = JsonFormat {
        strip_outer_array: flags & 1 == 1,
        json_root: (flags & 2 == 2).then(|| "$.a".parse().expect("a path")),
        paths: (flags & 4 == 4).then(|| parse_paths(r#"["$.a.b[1]", "$[0]"]"#).expect("paths")),
    };
    let whole = read_json(&format, body, body.len());
    let pieces = read_json(&format, body, usize::from(*piece));
    assert_eq!(whole.ok(), pieces.ok());
}

fn choose<'a>(from: &[&'a [u8]], by: u8) -> &'a [u8] {
    from[usize::from(by) % from.len()]
}

fn read_csv(format: &CsvFormat, columns: usize, body: &[u8], piece: usize) -> Result<Read, LoadError> {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    read(CsvReader::new(format.clone(), &names), body, piece)
}

fn read_json(format: &JsonFormat, body: &[u8], piece: usize) -> Result<Read, LoadError> {
    let columns = ["a", "n"].map(|name| JsonColumn { name: name.to_owned(), data_type: None });
    read(JsonReader::new(format.clone(), columns.to_vec())?, body, piece)
}

fn read(mut reader: impl RowReader, body: &[u8], piece: usize) -> Result<Read, LoadError> {
    let mut rows = ReadRows::default();
    for bytes in body.chunks(piece.max(1)) {
        reader.push(bytes, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    let numbers = rows.batches.iter().flat_map(|batch| batch.row_numbers.clone()).collect();
    let text = rows.batches.iter().map(|batch| format!("{:?}", batch.batch.columns())).collect();
    Ok((numbers, rows.bad_rows, text))
}
