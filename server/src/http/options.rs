//! The headers of a Stream Load.
//!
//! Headers that are not known are ignored, as HTTP clients send many. Headers that StarRocks knows and that would change
//! what is loaded, but are not done here, are refused: a load that silently did something else would be worse.

use std::time::Duration;

use axum::http::{HeaderMap, header};

use crate::load::columns::{parse_columns, parse_condition};
use crate::load::csv::{CsvFormat, parse_separator};
use crate::load::json::JsonFormat;
use crate::load::json::path::parse_paths;
use crate::load::rows::{InputFormat, RowsSpec};
use crate::load::{self, LoadError, Strictness};

/// How long a load may take when it does not say, and at most, in seconds.
pub const TIMEOUT_DEFAULT_SECS: u64 = 600;
/// See [`TIMEOUT_DEFAULT_SECS`].
pub const TIMEOUT_MAX_SECS: u64 = 259_200;

/// Bad rows described in the error log when `log_rejected_record_num` does not say, and at most.
const DESCRIBED_DEFAULT: usize = 50;
const DESCRIBED_MAX: usize = 1_000;

/// What the headers of a Stream Load ask for.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The load's label; one is made up when `None`.
    pub label: Option<String>,
    /// What to do with the input.
    pub rows: RowsSpec,
    /// How the body is compressed.
    pub compression: Compression,
    /// Only these partitions; all when empty.
    pub partitions: Vec<String>,
    /// The share of bad rows up to which a load succeeds.
    pub max_filter_ratio: f64,
    /// How long the load may take.
    pub timeout: Duration,
    /// The time zone of expressions and CURRENT_TIMESTAMP; the server's when `None`.
    pub time_zone: Option<String>,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
}

impl LoadOptions {
    /// Reads the headers of a request.
    pub fn parse(headers: &HeaderMap) -> Result<LoadOptions, LoadError> {
        let headers = Headers(headers);
        headers.refuse_what_is_not_done()?;
        let label = headers.text("label")?.map(check_label).transpose()?;
        let columns = headers.text("columns")?.map(parse_columns).transpose()?;
        let condition = headers.text("where")?.map(parse_condition).transpose()?;
        let strictness = if headers.boolean("strict_mode")? { Strictness::Strict } else { Strictness::Lenient };
        let max_filter_ratio = match headers.text("max_filter_ratio")? {
            None => 0.0,
            Some(text) => text
                .parse::<f64>()
                .ok()
                .filter(|ratio| (0.0..=1.0).contains(ratio))
                .ok_or_else(|| wrong("max_filter_ratio", text, "write a number from 0 to 1"))?,
        };
        let timeout = headers.number("timeout", 1, TIMEOUT_MAX_SECS)?.unwrap_or(TIMEOUT_DEFAULT_SECS);
        Ok(LoadOptions {
            rows: RowsSpec {
                format: headers.format()?,
                columns,
                condition,
                strictness,
                described_max: headers.described_max()?,
            },
            compression: headers.compression()?,
            partitions: headers.partitions()?,
            label,
            max_filter_ratio,
            timeout: Duration::from_secs(timeout),
            time_zone: headers.text("timezone")?.map(str::to_owned),
        })
    }
}

fn check_label(label: &str) -> Result<String, LoadError> {
    match load::is_label(label) {
        true => Ok(label.to_owned()),
        false => Err(wrong("label", label, load::LABEL_RULE)),
    }
}

fn wrong(header: &str, value: &str, hint: &str) -> LoadError {
    LoadError::invalid(format!("invalid {header} '{}': {hint}", crate::load::excerpt(value)))
}

struct Headers<'a>(&'a HeaderMap);

impl<'a> Headers<'a> {
    /// The header's text without blanks around it; `None` when it is absent or empty.
    fn text(&self, name: &str) -> Result<Option<&'a str>, LoadError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| LoadError::invalid(format!("header {name} is not UTF-8")))?
            .trim();
        Ok((!text.is_empty()).then_some(text))
    }

    fn boolean(&self, name: &str) -> Result<bool, LoadError> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(wrong(name, text, "write true or false")),
        }
    }

    fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, LoadError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        number.map(Some).ok_or_else(|| wrong(name, text, &format!("write a whole number from {min} to {max}")))
    }

    fn format(&self) -> Result<InputFormat, LoadError> {
        match self.text("format")? {
            None => self.csv().map(InputFormat::Csv),
            Some(text) if text.eq_ignore_ascii_case("csv") => self.csv().map(InputFormat::Csv),
            Some(text) if text.eq_ignore_ascii_case("json") => self.json().map(InputFormat::Json),
            Some(text) => Err(wrong("format", text, "use CSV or JSON")),
        }
    }

    fn csv(&self) -> Result<CsvFormat, LoadError> {
        let default = CsvFormat::default();
        let byte = |name: &str| -> Result<Option<u8>, LoadError> {
            match self.text(name)? {
                None => Ok(None),
                Some(text) => match *parse_separator(text)? {
                    [byte] => Ok(Some(byte)),
                    _ => Err(wrong(name, text, "give one character of one byte")),
                },
            }
        };
        Ok(CsvFormat {
            column_separator: self.text("column_separator")?.map_or(Ok(default.column_separator), parse_separator)?,
            row_delimiter: self.text("row_delimiter")?.map_or(Ok(default.row_delimiter), parse_separator)?,
            skip_header: self.number("skip_header", 0, u64::MAX)?.unwrap_or(0),
            trim_space: self.boolean("trim_space")?,
            enclose: byte("enclose")?,
            escape: byte("escape")?,
        })
    }

    fn json(&self) -> Result<JsonFormat, LoadError> {
        Ok(JsonFormat {
            strip_outer_array: self.boolean("strip_outer_array")?,
            json_root: self.text("json_root")?.map(str::parse).transpose()?,
            paths: self.text("jsonpaths")?.map(parse_paths).transpose()?,
        })
    }

    fn described_max(&self) -> Result<usize, LoadError> {
        match self.text("log_rejected_record_num")? {
            None => Ok(DESCRIBED_DEFAULT),
            // StarRocks writes "all" as -1.
            Some("-1") => Ok(DESCRIBED_MAX),
            Some(text) => match text.parse::<usize>() {
                Ok(number) => Ok(number.clamp(DESCRIBED_DEFAULT, DESCRIBED_MAX)),
                Err(_) => Err(wrong("log_rejected_record_num", text, "write a whole number, -1 for all")),
            },
        }
    }

    fn compression(&self) -> Result<Compression, LoadError> {
        let mut compression = Compression::None;
        for name in [header::CONTENT_ENCODING.as_str(), "compression"] {
            match self.text(name)?.map(str::to_ascii_lowercase).as_deref() {
                None | Some("identity") => {}
                Some("gzip" | "x-gzip" | "gz") => compression = Compression::Gzip,
                Some(other) => return Err(wrong(name, other, "send the data plain or compressed with gzip")),
            }
        }
        Ok(compression)
    }

    fn partitions(&self) -> Result<Vec<String>, LoadError> {
        let text = self.text("partitions")?.unwrap_or_default();
        let names = text.split(',').map(|name| name.trim().trim_matches('`').to_owned());
        Ok(names.filter(|name| !name.is_empty()).collect())
    }

    fn refuse_what_is_not_done(&self) -> Result<(), LoadError> {
        for name in ["temporary_partitions", "merge_condition"] {
            if self.text(name)?.is_some() {
                return Err(LoadError::invalid(format!("the header {name} is not supported yet")));
            }
        }
        for name in ["partial_update", "two_phase_commit"] {
            if self.boolean(name)? {
                return Err(LoadError::invalid(format!("the header {name} is not supported yet")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn parse(headers: &[(&str, &str)]) -> Result<LoadOptions, LoadError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        LoadOptions::parse(&map)
    }

    #[test]
    fn defaults() {
        let options = parse(&[("user-agent", "curl"), ("x-unknown", "1")]).expect("options");
        assert_eq!(options.label, None);
        assert_eq!(options.rows.format, InputFormat::Csv(CsvFormat::default()));
        assert_eq!(options.rows.strictness, Strictness::Lenient);
        assert_eq!(options.max_filter_ratio, 0.0);
        assert_eq!(options.timeout, Duration::from_secs(600));
        assert_eq!(options.rows.described_max, DESCRIBED_DEFAULT);
        assert!(options.partitions.is_empty());
    }

    #[test]
    fn all_of_csv() {
        let options = parse(&[
            ("label", "load-1"),
            ("format", "CSV"),
            ("column_separator", "\\x01"),
            ("row_delimiter", "\\r\\n"),
            ("skip_header", "1"),
            ("trim_space", "TRUE"),
            ("enclose", "\""),
            ("escape", "\\"),
            ("where", "a > 1"),
            ("columns", "a, ä, c = a + 1"),
            ("partitions", "p1, `p2`"),
            ("max_filter_ratio", "0.2"),
            ("timeout", "10"),
            ("strict_mode", "true"),
            ("timezone", "+08:00"),
            ("content-encoding", "gzip"),
            ("log_rejected_record_num", "-1"),
        ])
        .expect("options");
        let expected = CsvFormat {
            column_separator: vec![1],
            row_delimiter: b"\r\n".to_vec(),
            skip_header: 1,
            trim_space: true,
            enclose: Some(b'"'),
            escape: Some(b'\\'),
        };
        assert_eq!(options.rows.format, InputFormat::Csv(expected));
        assert_eq!(options.rows.columns.map(|items| items.len()), Some(3));
        assert_eq!(options.partitions, ["p1", "p2"]);
        assert_eq!(options.compression, Compression::Gzip);
        assert_eq!(options.rows.strictness, Strictness::Strict);
        assert_eq!(options.rows.described_max, DESCRIBED_MAX);
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("label", "a b"),
            ("format", "orc"),
            ("max_filter_ratio", "1.1"),
            ("max_filter_ratio", "NaN"),
            ("timeout", "0"),
            ("timeout", "259201"),
            ("strict_mode", "yes"),
            ("enclose", "ab"),
            ("skip_header", "-1"),
            ("content-encoding", "br"),
            ("partial_update", "true"),
            ("temporary_partitions", "p"),
            ("where", "a >"),
        ] {
            let error = parse(&[(name, value)]).expect_err("refused").to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(parse(&[("format", "json"), ("jsonpaths", "$.a")]).is_err());
    }
}
