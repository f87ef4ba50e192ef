//! Reading JSON without building it: values are found and handed on as the text they were written in.
//!
//! Everything that is passed over is checked to be JSON (but for control characters in strings, which are let through).
//! Nesting is bounded, so no input can exhaust the stack.

use std::borrow::Cow;
use std::fmt;

use ebla_storage::schema::DataType;
use memchr::memchr2;

/// The deepest nesting of a row.
const DEPTH_MAX: usize = 128;

/// More digits than any integer has.
const WHOLE_DIGITS_MAX: usize = 40;

/// One JSON value, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    raw: &'a str,
}

/// What is wrong with a text that should be JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanError {
    at: usize,
    expected: &'static str,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl<'a> Cell<'a> {
    /// As it was written.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw
    }

    /// A string's characters, any other value as it was written; `None` for null.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self.raw.as_bytes().first() {
            Some(b'n') => None,
            Some(b'"') => Some(unescape(self.raw)),
            _ => Some(Cow::Borrowed(self.raw)),
        }
    }

    /// As [`Cell::text`], in the form from which a column of this type is read.
    pub(crate) fn text_for(&self, data_type: &DataType) -> Option<Cow<'a, str>> {
        match (data_type, self.raw) {
            (_, "null") => None,
            (DataType::Json, raw) => Some(Cow::Borrowed(raw)),
            (data_type, "true") if is_number(data_type) => Some(Cow::Borrowed("1")),
            (data_type, "false") if is_number(data_type) => Some(Cow::Borrowed("0")),
            (data_type, raw) if data_type.is_integer() => match whole(raw) {
                Some(whole) => Some(Cow::Owned(whole)),
                None => self.text(),
            },
            _ => self.text(),
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float | DataType::Double | DataType::Decimal { .. })
}

/// A JSON number without what stands behind its point, as an INSERT of the number leaves it out; `None` for what is no
/// number, or is whole as it is written. A text that looks like a number is a text: it must be a whole one.
fn whole(raw: &str) -> Option<String> {
    let (sign, digits) = match raw.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", raw),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    // Where the point is among the digits, when all of it is written out.
    let point = i64::try_from(before.len()).ok()?.checked_add(exponent)?;
    if behind.is_empty() && exponent >= 0 {
        return None;
    }
    let digits = [before, behind].concat();
    Some(match usize::try_from(point) {
        Err(_) | Ok(0) => "0".to_owned(),
        Ok(point) if point <= digits.len() => format!("{sign}{}", &digits[..point]),
        // Digits behind these are zeros; as many as no integer has are too large whatever stands before them.
        Ok(point) if point <= WHOLE_DIGITS_MAX => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
        Ok(_) => return None,
    })
}

/// The text as one value.
pub(crate) fn value(text: &str) -> Result<Cell<'_>, ScanError> {
    let mut scanner = Scanner { text, at: 0, bare_names: false };
    let cell = scanner.value(0)?;
    scanner.end()?;
    Ok(cell)
}

/// The items of a text that is an array. Names in what these hold may be bare, as in [`object_entries`].
pub(crate) fn array_items(text: &str) -> Result<Vec<Cell<'_>>, ScanError> {
    let mut items = Vec::new();
    let mut scanner = Scanner { text, at: 0, bare_names: true };
    scanner.blanks();
    scanner.array(0, &mut |item| items.push(item))?;
    scanner.end()?;
    Ok(items)
}

/// The names and values of a text that is an object. Names that are numbers may be bare: `{1:"a"}` is how a MAP is shown.
pub(crate) fn object_entries(text: &str) -> Result<Vec<(Cow<'_, str>, Cell<'_>)>, ScanError> {
    let mut entries = Vec::new();
    entries_of(Scanner { text, at: 0, bare_names: true }, |name, cell| entries.push((name, cell)))?;
    Ok(entries)
}

/// Calls `take` for each name and value of a text that is an object.
pub(crate) fn each_entry<'a>(text: &'a str, take: impl FnMut(Cow<'a, str>, Cell<'a>)) -> Result<(), ScanError> {
    entries_of(Scanner { text, at: 0, bare_names: false }, take)
}

fn entries_of<'a>(mut scanner: Scanner<'a>, mut take: impl FnMut(Cow<'a, str>, Cell<'a>)) -> Result<(), ScanError> {
    scanner.blanks();
    scanner.object(0, &mut |name, cell| {
        take(if name.starts_with('"') { unescape(name) } else { Cow::Borrowed(name) }, cell);
    })?;
    scanner.end()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether names that are numbers need no quotes.
    bare_names: bool,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, ScanError> {
        Err(ScanError { at: self.at, expected })
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ScanError> {
        self.blanks();
        if self.peek() != Some(byte) {
            return self.error(expected);
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), ScanError> {
        self.blanks();
        if self.at < self.text.len() { self.error("the end") } else { Ok(()) }
    }

    /// Passes over the next value.
    fn value(&mut self, depth: usize) -> Result<Cell<'a>, ScanError> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(depth, &mut |_, _| ())?,
            Some(b'[') => self.array(depth, &mut |_| ())?,
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => {
                let word = ["null", "true", "false"].into_iter().find(|word| self.text[start..].starts_with(word));
                match word {
                    Some(word) => self.at += word.len(),
                    None => return self.error("a value"),
                }
            }
        }
        // Every value begins and ends with an ASCII character, so the cut is at characters.
        Ok(Cell { raw: self.text.get(start..self.at).unwrap_or_default() })
    }

    fn object(&mut self, depth: usize, take: &mut dyn FnMut(&'a str, Cell<'a>)) -> Result<(), ScanError> {
        if depth >= DEPTH_MAX {
            return self.error("less nesting");
        }
        self.expect(b'{', "an object")?;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            let start = self.at;
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') if self.bare_names => self.number()?,
                _ => return self.error("a name in quotes"),
            }
            let name = self.text.get(start..self.at).unwrap_or_default();
            self.expect(b':', "a colon")?;
            take(name, self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.error("a comma or a closing brace"),
            }
        }
    }

    fn array(&mut self, depth: usize, take: &mut dyn FnMut(Cell<'a>)) -> Result<(), ScanError> {
        if depth >= DEPTH_MAX {
            return self.error("less nesting");
        }
        self.expect(b'[', "an array")?;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            take(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.error("a comma or a closing bracket"),
            }
        }
    }

    /// Passes over a string, from its opening quote.
    fn string(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        loop {
            let bytes = self.text.as_bytes();
            match memchr2(b'"', b'\\', &bytes[self.at..]) {
                Some(found) if bytes[self.at + found] == b'"' => {
                    self.at += found + 1;
                    return Ok(());
                }
                Some(found) => {
                    self.at += found;
                    let escape = &bytes[self.at..];
                    self.at += match escape.get(1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if escape.len() >= 6 && escape[2..6].iter().all(u8::is_ascii_hexdigit) => 6,
                        _ => return self.error("an escape"),
                    };
                }
                None => {
                    self.at = bytes.len();
                    return self.error("a closing quote");
                }
            }
        }
    }

    /// Passes over `-?digits[.digits][e[+-]digits]`.
    fn number(&mut self) -> Result<(), ScanError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.error("a digit") } else { Ok(()) }
    }
}

/// The characters of a string that was passed over, quotes included. Half of a surrogate pair reads as U+FFFD.
fn unescape(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        let escape = &rest[position..];
        let (letter, used) = match escape.as_bytes().get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unescape_unicode(escape),
            Some(other) => (char::from(*other), 2),
            None => ('\\', 1),
        };
        out.push(letter);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `\uXXXX`, or of two of them that make a pair, and how many bytes it takes.
fn unescape_unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    let units = [first, unit(6).unwrap_or(0)];
    let pair = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&units[1]);
    let units = if pair { &units[..] } else { &units[..1] };
    let letter = char::decode_utf16(units.iter().copied()).next().and_then(Result::ok);
    (letter.unwrap_or(char::REPLACEMENT_CHARACTER), units.len() * 6)
}
