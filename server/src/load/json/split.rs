//! Where each row of a JSON stream begins and ends.
//!
//! Only brackets, quotes and backslashes are looked at; whether a row is JSON is found when it is read. A newline inside
//! a string ends the row it spoils, so that in a file of one object a line the next line is read well again.

use memchr::memchr3;

use crate::load::LoadError;

/// What the stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Rows, one after another.
    Rows,
    /// Arrays of rows.
    OuterArray,
    /// Documents to be looked into.
    Documents,
}

/// Cuts a stream into values.
pub(super) struct Splitter {
    shape: Shape,
    bytes_max: usize,
    state: State,
    /// Whether the value being read is an element of the outer array.
    in_array: bool,
    /// Bytes of the value being read that came with earlier chunks.
    begun: Vec<u8>,
    at_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value, or before a comma when an element of the outer array has just ended.
    Between { after_element: bool },
    /// In an object or an array.
    Nested { depth: usize },
    /// In a string of an object or an array.
    InString { depth: usize, escaped: bool },
    /// In a value that is neither.
    Scalar,
}

/// Takes one value.
type Take<'a> = dyn FnMut(&[u8]) -> Result<(), LoadError> + 'a;

impl Splitter {
    /// A splitter of values of at most `bytes_max` bytes.
    pub(super) fn new(shape: Shape, bytes_max: usize) -> Splitter {
        Splitter {
            shape,
            bytes_max,
            state: State::Between { after_element: false },
            in_array: false,
            begun: Vec::new(),
            at_start: true,
        }
    }

    /// Takes the next bytes and hands on the values they complete.
    pub(super) fn push(&mut self, chunk: &[u8], take: &mut Take<'_>) -> Result<(), LoadError> {
        let mut at = 0;
        // Where in this chunk the value being read begins.
        let mut start = 0;
        while at < chunk.len() {
            let byte = chunk[at];
            match self.state {
                State::Between { after_element } => {
                    start = at;
                    at += 1;
                    self.begin(byte, after_element)?;
                    if self.state == State::Scalar {
                        // Looked at once more as part of the value.
                        at = start;
                    }
                }
                State::Nested { depth } => {
                    at += 1;
                    match byte {
                        b'"' => self.state = State::InString { depth, escaped: false },
                        b'{' | b'[' => self.state = State::Nested { depth: depth + 1 },
                        b'}' | b']' if depth == 1 => self.end(&chunk[start..at], take)?,
                        b'}' | b']' => self.state = State::Nested { depth: depth - 1 },
                        _ => {}
                    }
                }
                State::InString { depth, escaped: true } => {
                    at += 1;
                    self.state = State::InString { depth, escaped: false };
                }
                State::InString { depth, escaped: false } => match memchr3(b'"', b'\\', b'\n', &chunk[at..]) {
                    None => at = chunk.len(),
                    Some(found) => {
                        at += found + 1;
                        match chunk[at - 1] {
                            b'"' => self.state = State::Nested { depth },
                            b'\\' => self.state = State::InString { depth, escaped: true },
                            _ => self.end(&chunk[start..at], take)?,
                        }
                    }
                },
                State::Scalar => {
                    let ends = matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'[')
                        || (self.in_array && matches!(byte, b',' | b']'));
                    if ends && (at > start || !self.begun.is_empty()) {
                        // What ends it is looked at again.
                        self.end(&chunk[start..at], take)?;
                    } else {
                        at += 1;
                    }
                }
            }
        }
        if !matches!(self.state, State::Between { .. }) {
            if self.begun.len() + (chunk.len() - start) > self.bytes_max {
                return Err(LoadError::Input(format!(
                    "a JSON value is longer than {} bytes: is a quote or a bracket missing?",
                    self.bytes_max
                )));
            }
            self.begun.extend_from_slice(&chunk[start..]);
        }
        Ok(())
    }

    /// The stream is over: hands on what was begun.
    pub(super) fn finish(&mut self, take: &mut Take<'_>) -> Result<(), LoadError> {
        if self.in_array {
            return Err(LoadError::Input("the outer JSON array is not closed: is the input cut short?".to_owned()));
        }
        match self.state {
            State::Between { .. } => Ok(()),
            _ => self.end(&[], take),
        }
    }

    /// Looks at a byte between values.
    fn begin(&mut self, byte: u8, after_element: bool) -> Result<(), LoadError> {
        let at_start = std::mem::take(&mut self.at_start);
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.at_start = at_start,
            // The byte order mark of UTF-8, which may come in pieces.
            0xEF | 0xBB | 0xBF if at_start => self.at_start = true,
            b',' if self.in_array && after_element => self.state = State::Between { after_element: false },
            b']' if self.in_array => {
                self.in_array = false;
                self.state = State::Between { after_element: false };
            }
            _ if self.in_array && after_element => {
                return Err(LoadError::Input(
                    "a comma is missing between the elements of the outer JSON array".to_owned(),
                ));
            }
            b'[' if self.shape == Shape::OuterArray && !self.in_array => {
                self.in_array = true;
                self.state = State::Between { after_element: false };
            }
            b'[' if self.shape == Shape::Rows => {
                return Err(LoadError::Input("JSON data is an array: set strip_outer_array to true".to_owned()));
            }
            b'{' if self.shape == Shape::OuterArray && !self.in_array => {
                return Err(LoadError::Input("JSON data is an object: set strip_outer_array to false".to_owned()));
            }
            b'{' | b'[' => self.state = State::Nested { depth: 1 },
            _ => self.state = State::Scalar,
        }
        Ok(())
    }

    /// Hands on a value whose last bytes are these.
    fn end(&mut self, tail: &[u8], take: &mut Take<'_>) -> Result<(), LoadError> {
        self.state = State::Between { after_element: self.in_array };
        if self.begun.is_empty() {
            return take(tail);
        }
        let mut value = std::mem::take(&mut self.begun);
        value.extend_from_slice(tail);
        take(&value)?;
        // Kept for the next value, unless it has grown beyond what rows usually need.
        const KEPT_BYTES_MAX: usize = 1 << 20;
        if value.capacity() <= KEPT_BYTES_MAX {
            value.clear();
            self.begun = value;
        }
        Ok(())
    }
}
