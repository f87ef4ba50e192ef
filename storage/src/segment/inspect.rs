//! Looking into a segment that came from elsewhere, before anything decodes it.
//!
//! A digest says that bytes are what somebody wrote, not that they are a segment. The decoders of Parquet believe what
//! a file says of its own sizes: they make room for it, and panic where it makes no sense. So before a file from a
//! repository is opened, everything it says of sizes and places is held against what is there: the footer, each column
//! chunk, the header of each page, the indexes of pages, bloom filters. What passes makes room for no more than the
//! named limits of this module, and every byte of it has one place.
//!
//! Order: the ends of the file, its footer as Thrift ([`thrift`]), the footer as the decoder understands it, then chunk
//! by chunk. No value is decoded: what a page holds is for those to judge who read it, and they bear any answer
//! ([`super::SegmentReader`]). Only a page whose codec does not keep to a length is decompressed here, and thrown away.

mod chunk;
mod shapes;
mod thrift;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use self::thrift::{Malformed, Walk};
use super::writer::SEGMENT_ROWS_MAX;
use crate::schema::{PARQUET_FIELD_ID_KEY, TableDefinition};

/// Largest footer: hundreds of thousands of column chunks.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Most elements of a schema: what the most columns of a table take, nested ones included.
const SCHEMA_ELEMENTS_MAX: usize = 100_000;

/// Deepest nesting of a schema: three levels for each of a type's. Beyond it, code that recurses would be at risk.
const SCHEMA_DEPTH_MAX: usize = 128;

/// At the beginning and at the end of the file.
const MAGIC: &[u8; 4] = b"PAR1";

/// What follows the footer: its length, and the magic.
const TAIL_BYTES: u64 = 8;

/// Looks into the segment at `path`, which must have the columns of `definition`. Returns how many rows it has, or what
/// is wrong with it. Blocks.
pub fn inspect(path: &Path, definition: &TableDefinition) -> Result<u64, String> {
    let file = File::open(path).map_err(|error| format!("it cannot be opened: {error}"))?;
    catch_panic(|| {
        let metadata = sound(&file)?;
        columns_fit(&definition.to_arrow(), metadata.schema(), definition)?;
        rows(&metadata)
    })?
}

/// Runs what may panic on bytes of others. What it has made so far is dropped.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| format!("the decoder gave up: {}", reason(panic.as_ref())))
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it does not say why")
}

/// Whether all that the file says of sizes and places is so.
fn sound(file: &File) -> Result<ArrowReaderMetadata, String> {
    let bytes = file.metadata().map_err(|error| format!("it cannot be looked up: {error}"))?.len();
    let footer = footer(file, bytes)?;
    let data_end = bytes - TAIL_BYTES - footer.len() as u64;
    schema_is_bounded(&footer)?;
    // The page indexes are not read yet: they may be as large as they say.
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())
        .map_err(|error| format!("it is no Parquet file: {error}"))?;
    for group in metadata.metadata().row_groups() {
        chunk::group_is_sound(file, data_end, group)?;
    }
    chunk::indexes_are_bounded(metadata.metadata().row_groups())?;
    Ok(metadata)
}

/// The bytes of the footer.
fn footer(file: &File, bytes: u64) -> Result<Vec<u8>, String> {
    if bytes < MAGIC.len() as u64 + TAIL_BYTES {
        return Err(format!("it is no Parquet file: it has {bytes} bytes"));
    }
    let (head, tail) = (read(file, 0, 4)?, read(file, bytes - TAIL_BYTES, TAIL_BYTES)?);
    if head != MAGIC || tail[4..] != MAGIC[..] {
        return Err("it is no Parquet file: it does not begin and end as one".to_owned());
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > FOOTER_BYTES_MAX || length > bytes - TAIL_BYTES - MAGIC.len() as u64 {
        return Err(format!(
            "it is no Parquet file: it says that its footer has {length} bytes, of {bytes} in all; at most \
             {FOOTER_BYTES_MAX} are read"
        ));
    }
    read(file, bytes - TAIL_BYTES - length, length)
}

/// Walks the footer, and bounds what its schema leads to.
fn schema_is_bounded(footer: &[u8]) -> Result<(), String> {
    let wrong = |malformed| format!("its footer makes no sense: {}", describe(malformed));
    Walk::new(footer).check(shapes::FILE_META_DATA).map_err(wrong)?;
    let mut seen = 0;
    Walk::new(footer)
        .fields(shapes::FILE_META_DATA, |walk, id, _| {
            if id != 2 {
                return Ok(false);
            }
            seen += 1;
            let (_, count) = walk.list()?;
            if count > SCHEMA_ELEMENTS_MAX {
                return Err(Malformed::Wrong("its schema has too many elements"));
            }
            // How many children the elements above the next one still lack.
            let mut lacking: Vec<i64> = Vec::new();
            for left in (0..count).rev() {
                while lacking.last() == Some(&0) {
                    lacking.pop();
                }
                if let Some(last) = lacking.last_mut() {
                    *last -= 1;
                }
                let mut children = 0;
                walk.fields(shapes::SCHEMA_ELEMENT, |walk, id, kind| {
                    let known = id == 5;
                    if known {
                        children = walk.number(kind)?;
                    }
                    Ok(known)
                })?;
                if children < 0 || usize::try_from(children).map_or(true, |children| children > left) {
                    return Err(Malformed::Wrong("its schema names more columns than it has"));
                }
                lacking.push(children);
                if lacking.len() > SCHEMA_DEPTH_MAX {
                    return Err(Malformed::Wrong("its schema is nested too deeply"));
                }
            }
            Ok(true)
        })
        .map_err(wrong)?;
    // A second one would be read in the place of the first.
    if seen == 1 { Ok(()) } else { Err(format!("its footer has {seen} schemas")) }
}

fn describe(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::CutOff => "it ends too early",
        Malformed::Wrong(why) => why,
    }
}

fn rows(metadata: &ArrowReaderMetadata) -> Result<u64, String> {
    let groups = metadata.metadata().row_groups();
    // Each has been found to be a number of rows.
    let counted = groups.iter().map(|group| group.num_rows().unsigned_abs()).fold(0, u64::saturating_add);
    let said = metadata.metadata().file_metadata().num_rows();
    if u64::try_from(said) != Ok(counted) || counted > SEGMENT_ROWS_MAX {
        return Err(format!("it says that it has {said} rows, its row groups have {counted}"));
    }
    Ok(counted)
}

/// Whether a segment with the columns `stored` can be read as one of a table with these columns.
fn columns_fit(wanted: &SchemaRef, stored: &SchemaRef, definition: &TableDefinition) -> Result<(), String> {
    for (field, column) in wanted.fields().iter().zip(&definition.columns) {
        let id = field.metadata().get(PARQUET_FIELD_ID_KEY);
        let mut of_that_id = stored.fields().iter().filter(|other| other.metadata().get(PARQUET_FIELD_ID_KEY) == id);
        match (of_that_id.next(), of_that_id.next()) {
            (Some(_), Some(_)) => return Err(format!("column '{}' is in it twice", column.name)),
            (Some(stored), None) if stored.data_type() != field.data_type() => {
                return Err(format!(
                    "column '{}' is {} in it and {} in the table",
                    column.name,
                    stored.data_type(),
                    field.data_type()
                ));
            }
            (Some(_), None) => {}
            // Written before the column was added; readers fill it up.
            (None, _) if column.nullable || column.default.is_some() => {}
            (None, _) => return Err(format!("column '{}' is missing in it", column.name)),
        }
    }
    Ok(())
}

/// Some bytes of the file, which lie in it.
fn read(file: &File, start: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| "it is too large for this machine".to_owned())?];
    file.read_exact_at(&mut bytes, start).map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(bytes)
}
