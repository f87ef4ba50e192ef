//! Column chunks: where they lie, what the headers of their pages say, whether indexes and bloom filters agree.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::thrift::{Fields, Malformed, Walk};
use super::{describe, read, shapes};
use crate::segment::writer::PAGE_BYTES_MAX;

/// Most bytes of all page indexes of a segment, which a reader reads as one.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Largest bloom filter, as the format has it.
const BLOOM_FILTER_BYTES_MAX: u64 = 128 << 20;

/// A bloom filter is made of such blocks.
const BLOOM_FILTER_BLOCK_BYTES: i64 = 32;

/// Bytes of a column's page and dictionary when neither holds a large value: both end after a MiB, or soon after.
const COLUMN_BYTES_USUAL: u64 = 4 << 20;

/// How many bytes one byte of LZ4 or Snappy can become at most. Their decoders fill the room that a page asks for before
/// they look how far its bytes go.
const LZ4_GROWTH_MAX: u64 = 256;
const SNAPPY_GROWTH_MAX: u64 = 32;

/// Bytes in which most headers of pages are.
const HEADER_BYTES: u64 = 512;

/// Longest header of a page. What makes one long is the least and the greatest value.
const HEADER_BYTES_MAX: u64 = 4 << 20;

const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;

/// A data page: where its header begins, the bytes of header and body, and how many values come before it.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    start: u64,
    bytes: u64,
    first_value: u64,
}

/// The pages of a chunk.
#[derive(Debug, Default)]
struct Pages {
    data: Vec<Page>,
    /// Bytes of the largest, once decompressed, and of the dictionary: what a reader holds of the chunk.
    held: u64,
}

/// What the header of a page says.
#[derive(Debug, Default)]
struct Header {
    page_type: i64,
    uncompressed: i64,
    compressed: i64,
    /// Of the struct that belongs to its type.
    values: Option<i64>,
}

/// Whether the chunks of a row group lie where they say, before `data_end`, and are what they say.
pub(super) fn group_is_sound(file: &File, data_end: u64, group: &RowGroupMetaData) -> Result<(), String> {
    let rows = u64::try_from(group.num_rows()).map_err(|_| format!("a row group has {} rows", group.num_rows()))?;
    let mut held = 0_u64;
    for column in group.columns() {
        held += chunk_is_sound(file, data_end, rows, column)
            .map_err(|detail| format!("column {}: {detail}", column.column_path().string().escape_debug()))?;
    }
    // A reader has a page of each column at a time.
    let held_max = PAGE_BYTES_MAX + COLUMN_BYTES_USUAL * group.columns().len() as u64;
    if held > held_max {
        return Err(format!("the largest pages of its columns become {held} bytes; at most {held_max} are read"));
    }
    Ok(())
}

/// Whether the page indexes, which are read from the first to the last at once, are no more than a reader can take.
pub(super) fn indexes_are_bounded(groups: &[RowGroupMetaData]) -> Result<(), String> {
    let places = groups.iter().flat_map(RowGroupMetaData::columns).flat_map(|column| {
        let (columns, offsets) = (column_index(column), offset_index(column));
        [columns, offsets].into_iter().flatten()
    });
    let (mut first, mut last) = (u64::MAX, 0);
    for (offset, length) in places {
        // They were found to lie in the file.
        let start = offset.unsigned_abs();
        first = first.min(start);
        last = last.max(start + length.unsigned_abs());
    }
    let bytes = last.saturating_sub(first);
    if bytes > INDEX_BYTES_MAX {
        return Err(format!("its page indexes are spread over {bytes} bytes; at most {INDEX_BYTES_MAX} are read"));
    }
    Ok(())
}

/// Gives the bytes that a reader of the chunk holds.
fn chunk_is_sound(file: &File, data_end: u64, rows: u64, column: &ColumnChunkMetaData) -> Result<u64, String> {
    if column.file_path().is_some() {
        return Err("it is said to lie in another file".to_owned());
    }
    let values = u64::try_from(column.num_values()).map_err(|_| "it has less than no values".to_owned())?;
    // Each row of a column that nothing nests has one value, NULL included; nested in lists, one at least.
    let flat = column.column_descr().max_rep_level() == 0;
    if values < rows || (flat && values != rows) {
        return Err(format!("it has {values} values in {rows} rows"));
    }
    if column.uncompressed_size() < 0 {
        return Err(format!("it has {} bytes", column.uncompressed_size()));
    }
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let chunk = place((start, column.compressed_size()), data_end)?;
    let Pages { data: pages, held } = walk_pages(file, &chunk, values, column)?;
    let first_data = pages.first().map_or(chunk.start, |page| page.start);
    if column.data_page_offset().unsigned_abs() != first_data && !pages.is_empty() {
        return Err(format!("its data begins at {first_data}, not at {}", column.data_page_offset()));
    }
    if let Some(index) = offset_index(column) {
        let bytes = read_place(file, place(index, data_end)?, INDEX_BYTES_MAX)?;
        offsets_agree(&bytes, &pages, rows, flat).map_err(|detail| format!("its offset index: {detail}"))?;
    }
    if let Some(index) = column_index(column) {
        let bytes = read_place(file, place(index, data_end)?, INDEX_BYTES_MAX)?;
        described_pages(&bytes, pages.len()).map_err(|detail| format!("its column index: {detail}"))?;
    }
    if let Some(offset) = column.bloom_filter_offset() {
        let length = column.bloom_filter_length().ok_or("its bloom filter has no length")?;
        let filter = place((offset, i64::from(length)), data_end)?;
        bloom_filter_is_sound(file, &filter).map_err(|detail| format!("its bloom filter: {detail}"))?;
    }
    Ok(held)
}

/// Where the column index lies, and its length; nothing when it has none.
fn column_index(column: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    Some((column.column_index_offset()?, i64::from(column.column_index_length()?)))
}

/// Where the offset index lies, and its length; nothing when it has none.
fn offset_index(column: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    Some((column.offset_index_offset()?, i64::from(column.offset_index_length()?)))
}

/// A start and a length as a range between the magic and the footer.
fn place((start, length): (i64, i64), data_end: u64) -> Result<Range<u64>, String> {
    let range = u64::try_from(start).ok().zip(u64::try_from(length).ok());
    range
        .and_then(|(start, length)| Some(start..start.checked_add(length)?))
        .filter(|range| range.start >= super::MAGIC.len() as u64 && range.end <= data_end)
        .ok_or_else(|| format!("{length} bytes at {start} are outside the {data_end} that the file has for them"))
}

fn read_place(file: &File, place: Range<u64>, bytes_max: u64) -> Result<Vec<u8>, String> {
    let bytes = place.end - place.start;
    if bytes > bytes_max {
        return Err(format!("an index has {bytes} bytes; at most {bytes_max} are read"));
    }
    read(file, place.start, bytes)
}

/// The pages of a chunk, which fill it from its beginning to its end.
fn walk_pages(file: &File, chunk: &Range<u64>, values: u64, column: &ColumnChunkMetaData) -> Result<Pages, String> {
    let mut pages = Pages::default();
    let (mut at, mut counted, mut dictionary, mut largest) = (chunk.start, 0, 0, 0);
    while at < chunk.end {
        let (header_bytes, header) = page_header(file, at, chunk.end)?;
        let body = at + header_bytes..chunk.end;
        let in_page = page_is_bounded(file, &header, &body, column.compression())
            .map_err(|detail| format!("the page at {at}: {detail}"))?;
        // Both sizes were found to be.
        let (bytes, becomes) = (header_bytes + header.compressed.unsigned_abs(), header.uncompressed.unsigned_abs());
        match header.page_type {
            DICTIONARY_PAGE if at != chunk.start => return Err(format!("a second dictionary lies at {at}")),
            DICTIONARY_PAGE => dictionary = becomes,
            _ => {
                pages.data.push(Page { start: at, bytes, first_value: counted });
                counted += in_page;
                largest = largest.max(becomes);
            }
        }
        at += bytes;
    }
    pages.held = dictionary + largest;
    if counted == values { Ok(pages) } else { Err(format!("its pages have {counted} values, it says {values}")) }
}

/// How many values a page has, if what it says of its sizes can be.
fn page_is_bounded(file: &File, header: &Header, body: &Range<u64>, compression: Compression) -> Result<u64, String> {
    if !matches!(header.page_type, DATA_PAGE | DICTIONARY_PAGE) {
        return Err(format!("its type is {}, which no segment has", header.page_type));
    }
    let size = |bytes: i64| u64::try_from(bytes).ok().filter(|bytes| *bytes <= PAGE_BYTES_MAX);
    let (Some(compressed), Some(uncompressed)) = (size(header.compressed), size(header.uncompressed)) else {
        return Err(format!(
            "it says that its {} bytes become {}; at most {PAGE_BYTES_MAX} are read",
            header.compressed, header.uncompressed
        ));
    };
    if compressed > body.end - body.start {
        return Err(format!("it says that it has {compressed} bytes, {} are left", body.end - body.start));
    }
    let values = header.values.and_then(|values| u64::try_from(values).ok()).ok_or("it does not count its values")?;
    // A dictionary is made room for before it is read. Each of its values takes a byte at least.
    if header.page_type == DICTIONARY_PAGE && values > uncompressed {
        return Err(format!("it says that {values} values are in {uncompressed} bytes"));
    }
    match compression {
        Compression::UNCOMPRESSED if compressed != uncompressed => {
            Err(format!("it says that its {compressed} bytes become {uncompressed}, and it is not compressed"))
        }
        Compression::LZ4_RAW if uncompressed > compressed.saturating_mul(LZ4_GROWTH_MAX) => Err(grows(header)),
        Compression::SNAPPY if uncompressed > compressed.saturating_mul(SNAPPY_GROWTH_MAX) => Err(grows(header)),
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::LZ4_RAW => Ok(values),
        Compression::GZIP(_) => {
            let bytes = read(file, body.start, compressed)?;
            becomes(&bytes, uncompressed)?;
            Ok(values)
        }
        other => Err(format!("it is compressed as {other}, which no segment is")),
    }
}

fn grows(header: &Header) -> String {
    format!("it says that its {} bytes become {}, which they cannot", header.compressed, header.uncompressed)
}

/// The decoder of gzip goes on to the end, whatever the page says: so it is seen here how far that is.
fn becomes(compressed: &[u8], bytes: u64) -> Result<(), String> {
    // A page without a value that is not NULL has no bytes, and nothing decompresses it.
    if bytes == 0 {
        return Ok(());
    }
    let found = io::copy(&mut MultiGzDecoder::new(compressed).take(bytes + 1), &mut io::sink());
    match found.map_err(|error| format!("it cannot be decompressed: {error}"))? {
        found if found == bytes => Ok(()),
        _ => Err(format!("it becomes other than the {bytes} bytes it says")),
    }
}

/// The header at a place of a chunk that ends at `end`, and its length.
fn page_header(file: &File, at: u64, end: u64) -> Result<(u64, Header), String> {
    let mut take = HEADER_BYTES;
    loop {
        let bytes = read(file, at, take.min(end - at))?;
        match parse_header(&bytes) {
            Err(Malformed::CutOff) if take < HEADER_BYTES_MAX && take < end - at => take = HEADER_BYTES_MAX,
            Err(malformed) => {
                return Err(format!("the header of the page at {at} makes no sense: {}", describe(malformed)));
            }
            Ok((length, header)) => return Ok((length as u64, header)),
        }
    }
}

fn parse_header(bytes: &[u8]) -> Result<(usize, Header), Malformed> {
    let mut checked = Walk::new(bytes);
    checked.check(shapes::PAGE_HEADER)?;
    let (mut header, mut data, mut dictionary) = (Header::default(), None, None);
    Walk::new(bytes).fields(shapes::PAGE_HEADER, |walk, id, kind| {
        match id {
            1 => header.page_type = walk.number(kind)?,
            2 => header.uncompressed = walk.number(kind)?,
            3 => header.compressed = walk.number(kind)?,
            5 => data = first_number(walk)?,
            7 => dictionary = first_number(walk)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    header.values = if header.page_type == DICTIONARY_PAGE { dictionary } else { data };
    Ok((checked.read(), header))
}

/// Field 1 of a struct: in the headers of both kinds of pages, how many values there are.
fn first_number(walk: &mut Walk<'_>) -> Result<Option<i64>, Malformed> {
    let mut number = None;
    walk.fields(&[], |walk, id, kind| {
        let known = id == 1;
        if known {
            number = Some(walk.number(kind)?);
        }
        Ok(known)
    })?;
    Ok(number)
}

fn checked<'a>(bytes: &'a [u8], fields: Fields) -> Result<Walk<'a>, String> {
    Walk::new(bytes).check(fields).map_err(|malformed| describe(malformed).to_owned())?;
    Ok(Walk::new(bytes))
}

/// Whether an offset index names the pages that are there.
fn offsets_agree(bytes: &[u8], pages: &[Page], rows: u64, flat: bool) -> Result<(), String> {
    let mut named = 0;
    let mut row_before = None;
    let mut agrees = |index: usize, place: [i64; 3]| {
        let [start, bytes, first_row] = place.map(|number| u64::try_from(number).ok());
        let fits = pages.get(index).is_some_and(|page| {
            start == Some(page.start)
                && bytes == Some(page.bytes)
                && first_row.is_some_and(|row| {
                    if flat { row == page.first_value } else { row < rows && row_before <= Some(row) }
                })
        });
        row_before = first_row;
        fits
    };
    checked(bytes, shapes::OFFSET_INDEX)?
        .fields(shapes::OFFSET_INDEX, |walk, id, _| {
            if id != 1 {
                return Ok(false);
            }
            let (_, count) = walk.list()?;
            for _ in 0..count {
                let mut place = [-1; 3];
                walk.fields(shapes::PAGE_LOCATION, |walk, id, kind| {
                    let number = usize::try_from(id).ok().and_then(|id| place.get_mut(id.checked_sub(1)?));
                    let Some(number) = number else { return Ok(false) };
                    *number = walk.number(kind)?;
                    Ok(true)
                })?;
                if !agrees(named, place) {
                    return Err(Malformed::Wrong("it names a page that is not there"));
                }
                named += 1;
            }
            Ok(true)
        })
        .map_err(|malformed| describe(malformed).to_owned())?;
    if named == pages.len() { Ok(()) } else { Err(format!("it names {named} pages of {}", pages.len())) }
}

/// Whether a column index describes as many pages as there are.
fn described_pages(bytes: &[u8], pages: usize) -> Result<(), String> {
    let mut named = true;
    checked(bytes, shapes::COLUMN_INDEX)?
        .fields(shapes::COLUMN_INDEX, |walk, id, _| {
            // NULLs only, least, greatest; how many NULLs. Levels come several to a page.
            if matches!(id, 1 | 2 | 3 | 5) {
                let mut copy = walk.clone();
                named &= copy.list()?.1 == pages;
            }
            Ok(false)
        })
        .map_err(|malformed| describe(malformed).to_owned())?;
    if named { Ok(()) } else { Err(format!("it describes other than the {pages} pages there are")) }
}

/// Whether a bloom filter has the bits that it says, and some.
fn bloom_filter_is_sound(file: &File, filter: &Range<u64>) -> Result<(), String> {
    let bytes = filter.end - filter.start;
    if bytes > BLOOM_FILTER_BYTES_MAX + HEADER_BYTES {
        return Err(format!("it has {bytes} bytes"));
    }
    let head = read(file, filter.start, bytes.min(HEADER_BYTES))?;
    let wrong = |malformed: Malformed| describe(malformed).to_owned();
    let mut walk = Walk::new(&head);
    walk.check(shapes::BLOOM_FILTER_HEADER).map_err(wrong)?;
    let bits = first_number(&mut Walk::new(&head)).map_err(wrong)?.unwrap_or(0);
    let whole = bits > 0 && bits % BLOOM_FILTER_BLOCK_BYTES == 0;
    if !whole || u64::try_from(bits) != Ok(bytes - walk.read() as u64) {
        return Err(format!("it says that it has {bits} bytes of {bytes}"));
    }
    Ok(())
}
