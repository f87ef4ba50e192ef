//! Paths into JSON rows: `$.a.b[0]`, `$['a b']`, `$."a.b"`.

use std::fmt;
use std::str::FromStr;

use super::scan::{self, Cell, ScanError};
use crate::load::LoadError;

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// A path from a row, or a document, to a value in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Item(usize),
}

impl JsonPath {
    /// The value at the end of the path; `None` where there is none.
    pub(crate) fn find<'a>(&self, from: Cell<'a>) -> Result<Option<Cell<'a>>, ScanError> {
        let mut current = from;
        for step in &self.steps {
            let next = match (step, current.raw().as_bytes().first()) {
                (Step::Name(wanted), Some(b'{')) => {
                    let mut found = None;
                    scan::each_entry(current.raw(), |name, cell| {
                        if name == wanted.as_str() {
                            found = Some(cell);
                        }
                    })?;
                    found
                }
                (Step::Item(wanted), Some(b'[')) => scan::array_items(current.raw())?.get(*wanted).copied(),
                _ => None,
            };
            match next {
                Some(cell) => current = cell,
                None => return Ok(None),
            }
        }
        Ok(Some(current))
    }
}

/// Reads the `jsonpaths` header: a JSON array of paths.
pub fn parse_paths(text: &str) -> Result<Vec<JsonPath>, LoadError> {
    let paths: Vec<String> = serde_json::from_str(text)
        .map_err(|error| LoadError::invalid(format!("jsonpaths is not a JSON array of strings: {error}")))?;
    paths.iter().map(|path| path.parse()).collect()
}

impl FromStr for JsonPath {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<JsonPath, LoadError> {
        let wrong = |why: &str| LoadError::invalid(format!("'{text}' is no JSON path: {why}"));
        if text.len() > PATH_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let mut rest = text.trim().strip_prefix('$').ok_or_else(|| wrong("it begins with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix('.') {
                let (name, tail) = match tail.strip_prefix('"') {
                    Some(quoted) => quoted.split_once('"').ok_or_else(|| wrong("a quote is not closed"))?,
                    None => tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len())),
                };
                if name.is_empty() {
                    return Err(wrong("a name is empty"));
                }
                if name == "*" {
                    return Err(wrong("* is not supported; name one value"));
                }
                steps.push(Step::Name(name.to_owned()));
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix('[') {
                let quote = tail.chars().next().filter(|letter| matches!(letter, '\'' | '"'));
                if let Some(quote) = quote {
                    let (name, tail) = tail[1..].split_once(quote).ok_or_else(|| wrong("a quote is not closed"))?;
                    steps.push(Step::Name(name.to_owned()));
                    rest = tail.strip_prefix(']').ok_or_else(|| wrong("a bracket is not closed"))?;
                } else {
                    let (number, tail) = tail.split_once(']').ok_or_else(|| wrong("a bracket is not closed"))?;
                    let number =
                        number.trim().parse().map_err(|_| wrong("in brackets is a position or a name in quotes"))?;
                    steps.push(Step::Item(number));
                    rest = tail;
                }
            } else {
                return Err(wrong("a step begins with . or ["));
            }
        }
        Ok(JsonPath { steps })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Name(name) => write!(f, ".{name}"),
            Step::Item(number) => write!(f, "[{number}]"),
        })
    }
}
