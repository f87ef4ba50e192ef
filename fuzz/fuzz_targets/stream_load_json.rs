//! A JSON body, cut anywhere: nothing panics, and the rows do not depend on where it was cut.
//!
//! The first byte chooses the format, the second the length of the pieces; the rest is the body.

#![no_main]

use ebla_server::load::LoadError;
use ebla_server::load::json::path::parse_paths;
use ebla_server::load::json::{JsonColumn, JsonFormat, JsonReader};
use ebla_server::load::text_batch::{ReadRows, RowReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, piece, body @ ..] = data else {
        return;
    };
    let format = JsonFormat {
        strip_outer_array: flags & 1 == 1,
        json_root: (flags & 2 == 2).then(|| "$.a".parse().expect("a path")),
        paths: (flags & 4 == 4).then(|| parse_paths(r#"["$.a.b[1]", "$[0]"]"#).expect("paths")),
    };
    let whole = read(&format, body, body.len());
    let pieces = read(&format, body, usize::from(*piece));
    assert_eq!(whole.ok(), pieces.ok());
});

/// The numbers of the good rows, how many are bad, and all text.
fn read(format: &JsonFormat, body: &[u8], piece: usize) -> Result<(Vec<u64>, u64, String), LoadError> {
    let columns = ["a", "n"].map(|name| JsonColumn { name: name.to_owned(), data_type: None });
    let mut reader = JsonReader::new(format.clone(), columns.to_vec())?;
    let mut rows = ReadRows::default();
    for bytes in body.chunks(piece.max(1)) {
        reader.push(bytes, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    let numbers = rows.batches.iter().flat_map(|batch| batch.row_numbers.clone()).collect();
    let text = rows.batches.iter().map(|batch| format!("{:?}", batch.batch.columns())).collect();
    Ok((numbers, rows.bad_rows, text))
}
