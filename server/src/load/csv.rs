//! CSV as Stream Load reads it: any separator, any row delimiter, `\N` for NULL.
//!
//! Bytes come in chunks that may end anywhere. What is left of a chunk after its last whole row is kept until the next
//! one. Without `enclose` and `escape`, rows and columns are found by searching for their separators and nothing is
//! copied but the values; with them, a row is read character by character.
//!
//! Blank rows are skipped. A row with too few or too many columns, or with bytes that are not UTF-8, is bad. A carriage
//! return before a newline that ends a row is dropped. A byte order mark at the start is dropped.

use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2, memchr3};

use super::text_batch::{ReadRows, RowReader, TextBatchBuilder};
use super::{LoadError, ROW_BYTES_MAX};

/// The bytes that stand for NULL.
const NULL: &[u8] = b"\\N";

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Longest separator or delimiter, in bytes.
const SEPARATOR_BYTES_MAX: usize = 50;

/// How the rows of a CSV input are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFormat {
    /// Between the columns of a row.
    pub column_separator: Vec<u8>,
    /// Between rows.
    pub row_delimiter: Vec<u8>,
    /// How many rows are skipped first.
    pub skip_header: u64,
    /// Whether blanks around values are dropped.
    pub trim_space: bool,
    /// The quote around values that hold separators.
    pub enclose: Option<u8>,
    /// The character before one that is meant as it stands.
    pub escape: Option<u8>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        CsvFormat {
            column_separator: b"\t".to_vec(),
            row_delimiter: b"\n".to_vec(),
            skip_header: 0,
            trim_space: false,
            enclose: None,
            escape: None,
        }
    }
}

/// Reads a separator as headers and properties write it: itself, or with `\t`, `\n`, `\r`, `\0`, `\\` and `\x01` (also
/// `\\x01` and `0x01`, as Hive's users write it).
pub fn parse_separator(text: &str) -> Result<Vec<u8>, LoadError> {
    let wrong = |why: &str| LoadError::invalid(format!("'{text}' is no separator: {why}"));
    let bytes = parse_separator_bytes(text).ok_or_else(|| wrong("after \\x come two hexadecimal digits"))?;
    if bytes.is_empty() {
        return Err(wrong("it is empty"));
    }
    if bytes.len() > SEPARATOR_BYTES_MAX {
        return Err(wrong("it is longer than 50 bytes"));
    }
    Ok(bytes)
}

fn parse_separator_bytes(text: &str) -> Option<Vec<u8>> {
    let hexadecimal = ["\\\\x", "\\x", "0x", "\\\\X", "\\X", "0X"].iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(digits) = hexadecimal {
        let is_all_hex =
            !digits.is_empty() && digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_all_hex {
            return digits.as_bytes().chunks(2).map(hex_byte).collect();
        }
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, used) = match tail {
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'0', ..] => (0, 1),
            [b'x', digits @ ..] => (hex_byte(digits.get(..2)?)?, 3),
            [b'\\', b'x', digits @ ..] => (hex_byte(digits.get(..2)?)?, 4),
            [b'\\', ..] => (b'\\', 1),
            // A backslash before anything else is a backslash.
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &tail[used..];
    }
    Some(bytes)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?;
    u8::try_from(value).ok()
}

/// Cuts CSV into rows.
pub struct CsvReader {
    format: CsvFormat,
    column_finder: Finder<'static>,
    row_finder: Finder<'static>,
    builder: TextBatchBuilder,
    /// Bytes not yet cut into rows.
    rest: Vec<u8>,
    /// Where in `rest` the search for the end of its first row goes on: nothing before it can end the row.
    searched: usize,
    /// With quotes a row is read from its start each time; this is how much must be there before it is tried again, so
    /// that a long row costs no more than a few readings.
    retry_at: usize,
    at_start: bool,
    rows: u64,
    /// The columns of the row being read, kept to save allocations.
    fields: Vec<Field>,
    /// Values whose quotes and escapes were taken out.
    unquoted: Vec<u8>,
    /// Whether the input ended inside a quoted value.
    unclosed: bool,
}

/// Where one value of a row is.
#[derive(Debug, Clone)]
enum Field {
    Null,
    InRow(Range<usize>),
    Unquoted(Range<usize>),
}

impl CsvReader {
    /// A reader of rows with these columns. A separator that is empty is taken as the default one.
    pub fn new(mut format: CsvFormat, columns: &[String]) -> CsvReader {
        if format.column_separator.is_empty() {
            format.column_separator = CsvFormat::default().column_separator;
        }
        if format.row_delimiter.is_empty() {
            format.row_delimiter = CsvFormat::default().row_delimiter;
        }
        CsvReader {
            column_finder: Finder::new(&format.column_separator).into_owned(),
            row_finder: Finder::new(&format.row_delimiter).into_owned(),
            builder: TextBatchBuilder::new(columns),
            rest: Vec::new(),
            searched: 0,
            retry_at: 0,
            at_start: true,
            rows: 0,
            fields: Vec::new(),
            unquoted: Vec::new(),
            unclosed: false,
            format,
        }
    }

    /// Cuts the whole rows off `bytes` and returns how many bytes they were.
    fn cut(&mut self, bytes: &[u8], last: bool, out: &mut ReadRows) -> Result<usize, LoadError> {
        let quoted = self.format.enclose.is_some() || self.format.escape.is_some();
        let mut start = 0;
        while start < bytes.len() {
            let found = if quoted { self.quoted_row(&bytes[start..], last) } else { self.plain_row(&bytes[start..]) };
            let (row, next) = match found {
                Some((row, next)) => (row, start + next),
                None if last => (bytes.len() - start, bytes.len()),
                None => break,
            };
            if row > ROW_BYTES_MAX {
                return Err(row_too_long(self.rows + 1));
            }
            self.searched = 0;
            self.take_row(&bytes[start..start + row], quoted, out)?;
            start = next;
        }
        Ok(start)
    }

    /// Length of the first row without its delimiter, and where the next begins.
    fn plain_row(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let from = self.searched.min(bytes.len());
        let end = match *self.format.row_delimiter {
            [delimiter] => memchr(delimiter, &bytes[from..]),
            _ => self.row_finder.find(&bytes[from..]),
        }?;
        Some((from + end, from + end + self.format.row_delimiter.len()))
    }

    /// As [`Self::plain_row`], and leaves the row's columns in `fields`.
    fn quoted_row(&mut self, bytes: &[u8], last: bool) -> Option<(usize, usize)> {
        self.fields.clear();
        self.unquoted.clear();
        let mut at = 0;
        loop {
            let (field, end) = self.quoted_field(bytes, at, last)?;
            self.fields.push(field);
            at = end;
            if bytes[at..].starts_with(&self.format.column_separator) {
                at += self.format.column_separator.len();
            } else if bytes[at..].starts_with(&self.format.row_delimiter) {
                return Some((at, at + self.format.row_delimiter.len()));
            } else {
                // Only the end of the input ends a value without a separator.
                return Some((at, at));
            }
        }
    }

    /// The value that begins at `at`, and where it ends: at a separator, a delimiter or, when the input is over, its end.
    /// `None` when more bytes are needed.
    fn quoted_field(&mut self, bytes: &[u8], at: usize, last: bool) -> Option<(Field, usize)> {
        let mut position = at;
        if self.format.trim_space {
            position += bytes[at..].iter().take_while(|byte| **byte == b' ').count();
        }
        let enclose = self.format.enclose;
        let escape = self.format.escape;
        let mut inside = enclose.is_some() && bytes.get(position).copied() == enclose;
        let opened = inside;
        let content_start = position;
        if inside {
            position += 1;
        }
        let unquoted_start = self.unquoted.len();
        let mut changed = opened;
        // End of what must not be trimmed away: quoted blanks are part of the value.
        let mut firm_end = unquoted_start;
        // Enough bytes must lie ahead to tell a separator from its beginning.
        let ahead = self.format.column_separator.len().max(self.format.row_delimiter.len()).max(2);
        loop {
            if !last && position + ahead > bytes.len() {
                return None;
            }
            let Some(&byte) = bytes.get(position) else {
                break;
            };
            if !inside {
                let tail = &bytes[position..];
                if tail.starts_with(&self.format.column_separator) || tail.starts_with(&self.format.row_delimiter) {
                    break;
                }
            }
            if escape == Some(byte) && (escape != enclose) && position + 1 < bytes.len() {
                // An unquoted \N is NULL, not an escaped N.
                let is_null = !opened && bytes[content_start..position].is_empty() && bytes[position + 1] == b'N';
                if is_null {
                    self.unquoted.extend_from_slice(NULL);
                } else {
                    changed = true;
                    self.unquoted.push(bytes[position + 1]);
                }
                firm_end = self.unquoted.len();
                position += 2;
                continue;
            }
            if inside && enclose == Some(byte) {
                if bytes.get(position + 1) == Some(&byte) {
                    self.unquoted.push(byte);
                    position += 2;
                } else {
                    inside = false;
                    position += 1;
                }
                firm_end = self.unquoted.len();
                continue;
            }
            // Up to the next byte that could mean something, all bytes are part of the value.
            let ordinary = &bytes[position + 1..];
            let run = match (inside, enclose) {
                (true, Some(enclose)) => memchr2(enclose, escape.unwrap_or(enclose), ordinary),
                _ => {
                    let (column, row) = (self.format.column_separator[0], self.format.row_delimiter[0]);
                    memchr3(column, row, escape.unwrap_or(column), ordinary)
                }
            };
            let end = position + 1 + run.unwrap_or(ordinary.len());
            self.unquoted.extend_from_slice(&bytes[position..end]);
            if inside {
                firm_end = self.unquoted.len();
            }
            position = end;
        }
        self.unclosed |= inside;
        let ends_row = bytes[position..].starts_with(&self.format.row_delimiter) || position == bytes.len();
        let newline = self.format.row_delimiter == b"\n";
        if ends_row && newline && self.unquoted.len() > firm_end && self.unquoted.last() == Some(&b'\r') {
            self.unquoted.pop();
        }
        if self.format.trim_space {
            while self.unquoted.len() > firm_end && self.unquoted.last() == Some(&b' ') {
                self.unquoted.pop();
            }
        }
        let value = unquoted_start..self.unquoted.len();
        let field =
            if !changed && &self.unquoted[value.clone()] == NULL { Field::Null } else { Field::Unquoted(value) };
        Some((field, position))
    }

    /// Splits a row without quotes into `fields`.
    fn split(&mut self, row: &[u8]) {
        self.fields.clear();
        let separator = self.format.column_separator.len();
        let mut start = 0;
        loop {
            let found = match *self.format.column_separator {
                [byte] => memchr(byte, &row[start..]),
                _ => self.column_finder.find(&row[start..]),
            };
            let end = found.map_or(row.len(), |found| start + found);
            let mut value = start..end;
            if self.format.trim_space {
                let blanks = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| **byte == b' ').count();
                value.start += blanks(&mut row[value.clone()].iter());
                value.end -= blanks(&mut row[value.clone()].iter().rev());
            }
            self.fields.push(if &row[value.clone()] == NULL { Field::Null } else { Field::InRow(value) });
            match found {
                Some(_) => start = end + separator,
                None => return,
            }
        }
    }

    fn take_row(&mut self, row: &[u8], quoted: bool, out: &mut ReadRows) -> Result<(), LoadError> {
        let newline = self.format.row_delimiter == b"\n";
        let row = if newline { row.strip_suffix(b"\r").unwrap_or(row) } else { row };
        self.rows += 1;
        if self.rows <= self.format.skip_header || row.is_empty() {
            return Ok(());
        }
        if !quoted {
            self.split(row);
        }
        let number = self.rows;
        if self.unclosed {
            out.reject(number, || "The input ends inside a quoted value".to_owned(), row);
            return Ok(());
        }
        let expected = self.builder.width();
        if self.fields.len() != expected {
            let got = self.fields.len();
            let separator = String::from_utf8_lossy(&self.format.column_separator).escape_default().to_string();
            let reason = || {
                format!(
                    "Value count does not match column count. Expect {expected}, but got {got}. Column separator: '{separator}'"
                )
            };
            out.reject(number, reason, row);
            return Ok(());
        }
        let text = |field: &Field| match field {
            Field::Null => Ok(None),
            Field::InRow(range) => std::str::from_utf8(&row[range.clone()]).map(Some),
            Field::Unquoted(range) => std::str::from_utf8(&self.unquoted[range.clone()]).map(Some),
        };
        if self.fields.iter().any(|field| text(field).is_err()) {
            out.reject(number, || "The row is not UTF-8".to_owned(), row);
            return Ok(());
        }
        self.builder.add(number, self.fields.iter().map(|field| text(field).unwrap_or(None)));
        if self.builder.is_full() {
            self.builder.flush(out)?;
        }
        Ok(())
    }
}

impl RowReader for CsvReader {
    fn push(&mut self, chunk: &[u8], out: &mut ReadRows) -> Result<(), LoadError> {
        let mut bytes = std::mem::take(&mut self.rest);
        // A chunk that begins a row is cut where it lies; only its tail is copied.
        let direct = bytes.is_empty() && !self.at_start;
        if !direct {
            bytes.extend_from_slice(chunk);
            if self.at_start {
                if bytes.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&bytes) {
                    self.rest = bytes;
                    return Ok(());
                }
                self.at_start = false;
                if bytes.starts_with(BYTE_ORDER_MARK) {
                    bytes.drain(..BYTE_ORDER_MARK.len());
                }
            }
        }
        let available = if direct { chunk } else { &bytes[..] };
        if available.len() < self.retry_at {
            self.rest = if direct { chunk.to_vec() } else { bytes };
            return Ok(());
        }
        let used = self.cut(available, false, out)?;
        let left = available.len() - used;
        if left > ROW_BYTES_MAX {
            return Err(row_too_long(self.rows + 1));
        }
        // A delimiter may have begun at the very end of what was searched.
        self.searched = (left + 1).saturating_sub(self.format.row_delimiter.len());
        self.retry_at = left + left.min(ROW_BYTES_MAX - left) + 1;
        if self.format.enclose.is_none() && self.format.escape.is_none() {
            self.retry_at = 0;
        }
        self.rest = if direct {
            chunk[used..].to_vec()
        } else {
            bytes.drain(..used);
            bytes
        };
        Ok(())
    }

    fn finish(&mut self, out: &mut ReadRows) -> Result<(), LoadError> {
        let mut bytes = std::mem::take(&mut self.rest);
        if self.at_start && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        self.cut(&bytes, true, out)?;
        self.builder.flush(out)
    }
}

fn row_too_long(row: u64) -> LoadError {
    LoadError::Input(format!(
        "row {row} is longer than {ROW_BYTES_MAX} bytes: check row_delimiter, and enclose when values hold it"
    ))
}

/// Writes one value so that a reader of `format` reads it back: for tests and for whoever unloads.
pub fn write_value(value: Option<&str>, format: &CsvFormat, out: &mut Vec<u8>) {
    let Some(value) = value else {
        return out.extend_from_slice(NULL);
    };
    let Some(enclose) = format.enclose else {
        return out.extend_from_slice(value.as_bytes());
    };
    out.push(enclose);
    for byte in value.bytes() {
        let is_escape = format.escape == Some(byte) && format.escape != format.enclose;
        if byte == enclose {
            out.push(enclose);
        } else if is_escape {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(enclose);
}

#[cfg(test)]
mod tests;
