//! A CSV body in any format, cut anywhere: nothing panics, and the rows do not depend on where it was cut.
//!
//! The first six bytes choose the format, the seventh the length of the pieces; the rest is the body.

#![no_main]

use ebla_server::load::LoadError;
use ebla_server::load::csv::{CsvFormat, CsvReader};
use ebla_server::load::text_batch::{ReadRows, RowReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
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
    let whole = read(&format, columns, body, body.len());
    let pieces = read(&format, columns, body, usize::from(*piece));
    assert_eq!(whole.ok(), pieces.ok());
});

fn choose<'a>(from: &[&'a [u8]], by: u8) -> &'a [u8] {
    from[usize::from(by) % from.len()]
}

/// The numbers of the good rows, how many are bad, and all text.
fn read(format: &CsvFormat, columns: usize, body: &[u8], piece: usize) -> Result<(Vec<u64>, u64, String), LoadError> {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let mut reader = CsvReader::new(format.clone(), &names);
    let mut rows = ReadRows::default();
    for bytes in body.chunks(piece.max(1)) {
        reader.push(bytes, &mut rows)?;
    }
    reader.finish(&mut rows)?;
    let numbers = rows.batches.iter().flat_map(|batch| batch.row_numbers.clone()).collect();
    let text = rows.batches.iter().map(|batch| format!("{:?}", batch.batch.columns())).collect();
    Ok((numbers, rows.bad_rows, text))
}
