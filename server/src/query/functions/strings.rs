//! Text: cut, joined, padded, searched, encoded. Positions count characters from 1, as in MySQL.

use base64::Engine as _;
use datafusion::arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::Result;

use super::bytes::{self, Bytes};
use super::support::{Args, MANY, Returns, Scalar, Strings};
use super::text::Text;
use crate::query::convert;
use crate::query::rewrite::FIRST_BYTES;

/// Longest text a function may make out of shorter ones (REPEAT, LPAD, SPACE): what a STRING column holds.
const GROWN_BYTES_MAX: usize = 1_048_576;

pub(super) fn functions() -> Vec<Scalar> {
    let mut functions = building();
    functions.extend(searching());
    functions.extend(encoding());
    functions
}

/// Functions that make a text out of texts.
fn building() -> Vec<Scalar> {
    vec![
        Scalar::new("concat", 1, MANY, bytes::of_bytes(), |args| {
            if bytes::wants_bytes(args) {
                return bytes::concat(args);
            }
            let parts = all_strings(args, 0)?;
            args.build_strings(|row, out| {
                for part in &parts {
                    out.push_str(part.get(row)?);
                }
                Some(())
            })
        }),
        Scalar::text("concat_ws", 1, MANY, |args| {
            let separators = args.strings(0)?;
            let parts = all_strings(args, 1)?;
            args.build_strings(|row, out| {
                let separator = separators.get(row)?;
                let mut first = true;
                for part in parts.iter().filter_map(|part| part.get(row)) {
                    if !first {
                        out.push_str(separator);
                    }
                    out.push_str(part);
                    first = false;
                }
                Some(())
            })
        }),
        Scalar::text("substring", 2, 3, substring).alias(&["substr", "mid"]),
        Scalar::text(FIRST_BYTES, 2, 2, |args| {
            let (texts, lengths) = (args.strings(0)?, args.ints(1)?);
            args.build_strings(|row, out| {
                let (text, bytes) = (texts.get(row)?, usize::try_from(lengths.get(row)?).unwrap_or(0));
                out.push_str(&text[..text.floor_char_boundary(bytes)]);
                Some(())
            })
        }),
        Scalar::new("left", 2, 2, bytes::of_bytes(), |args| {
            if bytes::wants_bytes(args) {
                return bytes::left(args);
            }
            let (texts, lengths) = (args.strings(0)?, args.ints(1)?);
            args.build_strings(|row, out| {
                out.push_str(take_chars(texts.get(row)?, lengths.get(row)?));
                Some(())
            })
        })
        .alias(&["strleft"]),
        Scalar::new("right", 2, 2, bytes::of_bytes(), |args| {
            if bytes::wants_bytes(args) {
                return bytes::right(args);
            }
            let (texts, lengths) = (args.strings(0)?, args.ints(1)?);
            args.build_strings(|row, out| {
                let (text, length) = (texts.get(row)?, lengths.get(row)?.max(0));
                let skip = char_count(text).saturating_sub(length);
                out.push_str(skip_chars(text, skip));
                Some(())
            })
        })
        .alias(&["strright"]),
        Scalar::text("substring_index", 3, 3, |args| {
            let (texts, delimiters, counts) = (args.strings(0)?, args.strings(1)?, args.ints(2)?);
            args.build_strings(|row, out| {
                out.push_str(substring_index(texts.get(row)?, delimiters.get(row)?, counts.get(row)?));
                Some(())
            })
        }),
        Scalar::text("split_part", 3, 3, |args| {
            let (texts, delimiters, positions) = (args.strings(0)?, args.strings(1)?, args.ints(2)?);
            args.build_strings(|row, out| {
                out.push_str(split_part(texts.get(row)?, delimiters.get(row)?, positions.get(row)?)?);
                Some(())
            })
        }),
        Scalar::new(
            "split",
            2,
            2,
            Returns::Type(DataType::List(std::sync::Arc::new(Field::new("item", DataType::Utf8, true)))),
            split,
        ),
        Scalar::text("lpad", 2, 3, |args| pad(args, true)),
        Scalar::text("rpad", 2, 3, |args| pad(args, false)),
        Scalar::text("repeat", 2, 2, |args| {
            let (texts, counts) = (args.strings(0)?, args.ints(1)?);
            args.build_strings(|row, out| {
                let (text, count) = (texts.get(row)?, usize::try_from(counts.get(row)?).unwrap_or(0));
                if text.len().checked_mul(count)? > GROWN_BYTES_MAX {
                    return None;
                }
                out.extend(std::iter::repeat_n(text, count));
                Some(())
            })
        }),
        Scalar::text("space", 1, 1, |args| {
            let counts = args.ints(0)?;
            args.build_strings(|row, out| {
                let count = usize::try_from(counts.get(row)?).unwrap_or(0);
                if count > GROWN_BYTES_MAX {
                    return None;
                }
                out.extend(std::iter::repeat_n(' ', count));
                Some(())
            })
        }),
        Scalar::text("reverse", 1, 1, |args| {
            map(args, |text, out| {
                out.extend(text.chars().rev());
                Some(())
            })
        }),
        Scalar::text("replace", 3, 3, |args| {
            let (texts, from, to) = (args.strings(0)?, args.strings(1)?, args.strings(2)?);
            args.build_strings(|row, out| {
                let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
                if from.is_empty() {
                    out.push_str(text);
                } else {
                    let mut rest = 0;
                    for (at, _) in text.match_indices(from) {
                        out.push_str(&text[rest..at]);
                        out.push_str(to);
                        rest = at + from.len();
                    }
                    out.push_str(&text[rest..]);
                }
                Some(())
            })
        }),
        Scalar::text("translate", 3, 3, |args| {
            let (texts, from, to) = (args.strings(0)?, args.strings(1)?, args.strings(2)?);
            args.build_strings(|row, out| {
                let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
                out.extend(text.chars().filter_map(|c| match from.chars().position(|f| f == c) {
                    Some(at) => to.chars().nth(at),
                    None => Some(c),
                }));
                Some(())
            })
        }),
        Scalar::text("insert", 4, 4, |args| {
            let (texts, positions, lengths, news) = (args.strings(0)?, args.ints(1)?, args.ints(2)?, args.strings(3)?);
            args.build_strings(|row, out| {
                let (text, position, length) = (texts.get(row)?, positions.get(row)?, lengths.get(row)?);
                let new = news.get(row)?;
                if position < 1 || position > char_count(text) {
                    out.push_str(text);
                    return Some(());
                }
                out.push_str(take_chars(text, position - 1));
                out.push_str(new);
                if length >= 0 {
                    out.push_str(skip_chars(text, (position - 1).saturating_add(length)));
                }
                Some(())
            })
        }),
        Scalar::text("trim", 1, 2, |args| trim(args, true, true)).alias(&["btrim"]),
        Scalar::text("ltrim", 1, 2, |args| trim(args, true, false)),
        Scalar::text("rtrim", 1, 2, |args| trim(args, false, true)),
        Scalar::text("upper", 1, 1, |args| {
            map(args, |text, out| {
                out.extend(text.chars().flat_map(char::to_uppercase));
                Some(())
            })
        })
        .alias(&["ucase"]),
        Scalar::text("lower", 1, 1, |args| {
            map(args, |text, out| {
                out.extend(text.chars().flat_map(char::to_lowercase));
                Some(())
            })
        })
        .alias(&["lcase"]),
        Scalar::text("initcap", 1, 1, |args| {
            map(args, |text, out| {
                let mut start = true;
                for c in text.chars() {
                    if start {
                        out.extend(c.to_uppercase());
                    } else {
                        out.extend(c.to_lowercase());
                    }
                    start = !c.is_alphanumeric();
                }
                Some(())
            })
        }),
        Scalar::text("append_trailing_char_if_absent", 2, 2, |args| {
            let (texts, tails) = (args.strings(0)?, args.strings(1)?);
            args.build_strings(|row, out| {
                let (text, tail) = (texts.get(row)?, tails.get(row)?);
                if char_count(tail) != 1 {
                    return None;
                }
                out.push_str(text);
                if !text.ends_with(tail) {
                    out.push_str(tail);
                }
                Some(())
            })
        }),
        Scalar::text("char", 1, MANY, |args| {
            let codes: Result<Vec<_>> = (0..args.len()).map(|index| args.ints(index)).collect();
            let codes = codes?;
            args.build_strings(|row, out| {
                for code in codes.iter().filter_map(|codes| codes.get(row)) {
                    out.push(char::from_u32(u32::try_from(code).ok()?)?);
                }
                Some(())
            })
        })
        .alias(&["chr"]),
        Scalar::text("elt", 2, MANY, |args| {
            let indexes = args.ints(0)?;
            let texts = all_strings(args, 1)?;
            args.build_strings(|row, out| {
                let index = usize::try_from(indexes.get(row)?.checked_sub(1)?).ok()?;
                out.push_str(texts.get(index)?.get(row)?);
                Some(())
            })
        }),
        Scalar::text("quote", 1, 1, |args| {
            map(args, |text, out| {
                out.push('\'');
                for c in text.chars() {
                    if matches!(c, '\'' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('\'');
                Some(())
            })
        }),
    ]
}

/// Functions that look into a text.
fn searching() -> Vec<Scalar> {
    vec![
        Scalar::int("length", 1, 1, |args| measure_bytes(args, |bytes| bytes.len() as i64)).alias(&["octet_length"]),
        Scalar::int("bit_length", 1, 1, |args| measure_bytes(args, |bytes| bytes.len() as i64 * 8)),
        Scalar::int("char_length", 1, 1, |args| measure(args, char_count)).alias(&["character_length"]),
        Scalar::int("ascii", 1, 1, |args| {
            measure_bytes(args, |bytes| bytes.first().map_or(0, |byte| i64::from(*byte)))
        }),
        Scalar::int("ord", 1, 1, |args| {
            measure(args, |text| {
                let length = text.chars().next().map_or(0, char::len_utf8);
                text.as_bytes()[..length].iter().fold(0, |code, byte| code << 8 | i64::from(*byte))
            })
        }),
        Scalar::int("locate", 2, 3, |args| locate(args, 0, 1)).alias(&["position"]),
        Scalar::int("instr", 2, 2, |args| locate(args, 1, 0)),
        Scalar::int("strpos", 2, 2, |args| locate(args, 1, 0)),
        Scalar::int("find_in_set", 2, 2, |args| {
            let (texts, sets) = (args.strings(0)?, args.strings(1)?);
            Ok(args.build::<Int64Type>(|row| {
                let (text, set) = (texts.get(row)?, sets.get(row)?);
                if text.contains(',') {
                    return Some(0);
                }
                let found = set.split(',').position(|item| item == text);
                Some(found.map_or(0, |index| index as i64 + 1))
            }))
        }),
        Scalar::int("field", 2, MANY, field),
        Scalar::boolean("starts_with", 2, 2, |args| compare(args, |text, part| text.starts_with(part))),
        Scalar::boolean("ends_with", 2, 2, |args| compare(args, |text, part| text.ends_with(part))),
        Scalar::boolean("null_or_empty", 1, 1, |args| {
            let texts = args.strings(0)?;
            Ok(args.build_booleans(|row| Some(texts.get(row).is_none_or(str::is_empty))))
        }),
        Scalar::int("strcmp", 2, 2, |args| {
            let (left, right) = (args.strings(0)?, args.strings(1)?);
            Ok(args.build::<Int64Type>(|row| Some(left.get(row)?.cmp(right.get(row)?) as i64)))
        }),
    ]
}

/// Functions between texts and their encodings.
fn encoding() -> Vec<Scalar> {
    vec![
        Scalar::text("hex", 1, 1, hex),
        Scalar::text("unhex", 1, 1, |args| {
            map(args, |text, out| {
                out.push_str(&String::from_utf8(unhex(text)?).ok()?);
                Some(())
            })
        }),
        Scalar::text("to_base64", 1, 1, |args| {
            let bytes = Bytes::of(args, 0)?;
            args.build_strings(|row, out| {
                out.push_str(&base64::engine::general_purpose::STANDARD.encode(bytes.get(row)?));
                Some(())
            })
        })
        .alias(&["base64_encode"]),
        Scalar::text("from_base64", 1, 1, |args| {
            map(args, |text, out| {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
                out.push_str(&String::from_utf8(bytes).ok()?);
                Some(())
            })
        })
        .alias(&["base64_decode_string"]),
        Scalar::text("url_encode", 1, 1, |args| {
            map(args, |text, out| {
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                        out.push(char::from(byte));
                    } else {
                        out.push_str(&format!("%{byte:02X}"));
                    }
                }
                Some(())
            })
        }),
        Scalar::text("url_decode", 1, 1, |args| {
            map(args, |text, out| {
                out.push_str(&url_decode(text)?);
                Some(())
            })
        }),
        Scalar::text("parse_url", 2, 3, parse_url),
        Scalar::text("format", 2, 3, |args| {
            let (values, digits) = (args.doubles(0)?, args.ints(1)?);
            args.build_strings(|row, out| {
                push_grouped(values.get(row)?, usize::try_from(digits.get(row)?.clamp(0, 30)).ok()?, out.short());
                Some(())
            })
        }),
        Scalar::text("money_format", 1, 1, |args| {
            let values = args.doubles(0)?;
            args.build_strings(|row, out| {
                push_grouped(values.get(row)?, 2, out.short());
                Some(())
            })
        }),
    ]
}

fn all_strings(args: &Args<'_>, first: usize) -> Result<Vec<Strings>> {
    (first..args.len()).map(|index| args.strings(index)).collect()
}

/// One text to another.
fn map(args: &Args<'_>, write: impl Fn(&str, &mut Text<'_>) -> Option<()>) -> Result<ArrayRef> {
    let texts = args.strings(0)?;
    args.build_strings(|row, out| write(texts.get(row)?, out))
}

fn measure(args: &Args<'_>, of: impl Fn(&str) -> i64) -> Result<ArrayRef> {
    let texts = args.strings(0)?;
    Ok(args.build::<Int64Type>(|row| texts.get(row).map(&of)))
}

fn measure_bytes(args: &Args<'_>, of: impl Fn(&[u8]) -> i64) -> Result<ArrayRef> {
    let bytes = Bytes::of(args, 0)?;
    Ok(args.build::<Int64Type>(|row| bytes.get(row).map(&of)))
}

fn compare(args: &Args<'_>, test: impl Fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (texts, parts) = (args.strings(0)?, args.strings(1)?);
    Ok(args.build_booleans(|row| Some(test(texts.get(row)?, parts.get(row)?))))
}

fn char_count(text: &str) -> i64 {
    if text.is_ascii() { text.len() as i64 } else { text.chars().count() as i64 }
}

/// The byte at which the character of this number (from 0) starts; the end of the text if it has fewer.
fn byte_at(text: &str, chars: i64) -> usize {
    let Ok(chars) = usize::try_from(chars) else {
        return 0;
    };
    if text.is_ascii() {
        return chars.min(text.len());
    }
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

fn take_chars(text: &str, chars: i64) -> &str {
    &text[..byte_at(text, chars)]
}

fn skip_chars(text: &str, chars: i64) -> &str {
    &text[byte_at(text, chars)..]
}

/// SUBSTRING(text, from [, length]): from the end when `from` is negative, nothing when it is 0.
fn substring(args: &Args<'_>) -> Result<ArrayRef> {
    let (texts, starts) = (args.strings(0)?, args.ints(1)?);
    let lengths = if args.len() > 2 { Some(args.ints(2)?) } else { None };
    args.build_strings(|row, out| {
        let (text, start) = (texts.get(row)?, starts.get(row)?);
        let length = match &lengths {
            Some(lengths) => lengths.get(row)?,
            None => i64::MAX,
        };
        let skip = match start {
            0 => return Some(()),
            start if start > 0 => start - 1,
            start => match char_count(text).checked_add(start) {
                Some(skip) if skip >= 0 => skip,
                _ => return Some(()),
            },
        };
        out.push_str(take_chars(skip_chars(text, skip), length));
        Some(())
    })
}

fn substring_index<'a>(text: &'a str, delimiter: &str, count: i64) -> &'a str {
    if count == 0 || delimiter.is_empty() {
        return "";
    }
    let nth = usize::try_from(count.unsigned_abs() - 1).unwrap_or(usize::MAX);
    if count > 0 {
        text.match_indices(delimiter).nth(nth).map_or(text, |(at, _)| &text[..at])
    } else {
        text.rmatch_indices(delimiter).nth(nth).map_or(text, |(at, _)| &text[at + delimiter.len()..])
    }
}

fn split_part<'a>(text: &'a str, delimiter: &str, position: i64) -> Option<&'a str> {
    let nth = usize::try_from(position.unsigned_abs().checked_sub(1)?).ok()?;
    if delimiter.is_empty() {
        let chars = char_count(text);
        let at = if position > 0 { position - 1 } else { chars + position };
        return (0..chars).contains(&at).then(|| take_chars(skip_chars(text, at), 1));
    }
    if position > 0 { text.split(delimiter).nth(nth) } else { text.rsplit(delimiter).nth(nth) }
}

fn split(args: &Args<'_>) -> Result<ArrayRef> {
    let (texts, delimiters) = (args.strings(0)?, args.strings(1)?);
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows() {
        let (Some(text), Some(delimiter)) = (texts.get(row), delimiters.get(row)) else {
            builder.append_null();
            continue;
        };
        if delimiter.is_empty() {
            text.chars().for_each(|c| builder.values().append_value(c.to_string()));
        } else {
            text.split(delimiter).for_each(|part| builder.values().append_value(part));
        }
        builder.append(true);
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

fn pad(args: &Args<'_>, left: bool) -> Result<ArrayRef> {
    let (texts, lengths) = (args.strings(0)?, args.ints(1)?);
    let fills = if args.len() > 2 { Some(args.strings(2)?) } else { None };
    args.build_strings(|row, out| {
        let (text, length) = (texts.get(row)?, lengths.get(row)?);
        let fill = match &fills {
            Some(fills) => fills.get(row)?,
            None => " ",
        };
        if length < 0 || usize::try_from(length).ok()? > GROWN_BYTES_MAX {
            return None;
        }
        let missing = length - char_count(text);
        if missing <= 0 {
            out.push_str(take_chars(text, length));
            return Some(());
        }
        if fill.is_empty() {
            out.push_str(text);
            return Some(());
        }
        let missing = usize::try_from(missing).ok()?;
        if left {
            out.extend(fill.chars().cycle().take(missing));
            out.push_str(text);
        } else {
            out.push_str(text);
            out.extend(fill.chars().cycle().take(missing));
        }
        Some(())
    })
}

/// TRIM family: spaces, or a whole text as often as it occurs at the ends.
fn trim(args: &Args<'_>, left: bool, right: bool) -> Result<ArrayRef> {
    let texts = args.strings(0)?;
    let removed = if args.len() > 1 { Some(args.strings(1)?) } else { None };
    args.build_strings(|row, out| {
        let mut text = texts.get(row)?;
        let part = match &removed {
            Some(removed) => removed.get(row)?,
            None => " ",
        };
        if !part.is_empty() {
            if left {
                text = text.trim_start_matches(part);
            }
            if right {
                text = text.trim_end_matches(part);
            }
        }
        out.push_str(text);
        Some(())
    })
}

/// Where a text lies in another, from 1; 0 when it does not.
fn locate(args: &Args<'_>, part_at: usize, text_at: usize) -> Result<ArrayRef> {
    let (parts, texts) = (args.strings(part_at)?, args.strings(text_at)?);
    let starts = if args.len() > 2 { Some(args.ints(2)?) } else { None };
    Ok(args.build::<Int64Type>(|row| {
        let (part, text) = (parts.get(row)?, texts.get(row)?);
        let start = match &starts {
            Some(starts) => starts.get(row)?,
            None => 1,
        };
        if start < 1 || start - 1 > char_count(text) {
            return Some(0);
        }
        let from = byte_at(text, start - 1);
        let found = text[from..].find(part);
        Some(found.map_or(0, |at| char_count(&text[..from + at]) + 1))
    }))
}

/// FIELD(x, a, b, ...): compares texts as texts and numbers as numbers; NULL is found nowhere.
fn field(args: &Args<'_>) -> Result<ArrayRef> {
    let numeric = (0..args.len()).all(|index| convert::is_number(&args.data_type(index)));
    if numeric {
        let values: Result<Vec<_>> = (0..args.len()).map(|index| args.doubles(index)).collect();
        let values = values?;
        return Ok(args.build::<Int64Type>(|row| {
            let wanted = values[0].get(row);
            let found = values[1..].iter().position(|value| wanted.is_some() && value.get(row) == wanted);
            Some(found.map_or(0, |index| index as i64 + 1))
        }));
    }
    let texts = all_strings(args, 0)?;
    Ok(args.build::<Int64Type>(|row| {
        let wanted = texts[0].get(row);
        let found = texts[1..].iter().position(|text| wanted.is_some() && text.get(row) == wanted);
        Some(found.map_or(0, |index| index as i64 + 1))
    }))
}

/// HEX of a number or of a text's bytes.
fn hex(args: &Args<'_>) -> Result<ArrayRef> {
    use std::fmt::Write as _;
    if convert::is_number(&args.data_type(0)) {
        let numbers = args.ints(0)?;
        return args.build_strings(|row, out| write!(out, "{:X}", numbers.get(row)?).ok());
    }
    let bytes = Bytes::of(args, 0)?;
    args.build_strings(|row, out| bytes.get(row)?.iter().try_for_each(|byte| write!(out, "{byte:02X}")).ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

fn url_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let pair = rest.get(..2)?;
                bytes.extend(unhex(std::str::from_utf8(pair).ok()?)?);
                rest = &rest[2..];
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// PARSE_URL(url, part [, key of the query]).
fn parse_url(args: &Args<'_>) -> Result<ArrayRef> {
    let (urls, parts) = (args.strings(0)?, args.strings(1)?);
    let keys = if args.len() > 2 { Some(args.strings(2)?) } else { None };
    args.build_strings(|row, out| {
        let part = parts.get(row)?.to_ascii_uppercase();
        let found = url_part(urls.get(row)?, &part)?;
        match &keys {
            Some(keys) => {
                let key = keys.get(row)?;
                let value = found.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key)?;
                out.push_str(value.1);
            }
            None => out.push_str(found),
        }
        Some(())
    })
}

fn url_part<'a>(url: &'a str, part: &str) -> Option<&'a str> {
    let (protocol, rest) = url.split_once("://")?;
    let (rest, reference) = rest.split_once('#').map_or((rest, None), |(rest, r)| (rest, Some(r)));
    let (location, query) = rest.split_once('?').map_or((rest, None), |(rest, q)| (rest, Some(q)));
    let (authority, path) = match location.find('/') {
        Some(at) => location.split_at(at),
        None => (location, ""),
    };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    let (host_name, port) = host.rsplit_once(':').map_or((host, None), |(h, p)| (h, Some(p)));
    match part {
        "PROTOCOL" => Some(protocol),
        "AUTHORITY" => Some(authority),
        "HOST" => Some(host_name),
        "PORT" => port,
        "USERINFO" => user,
        "PATH" => Some(path),
        "FILE" => {
            let start = url.find("://")? + 3 + authority.len();
            url.get(start..)?.split('#').next()
        }
        "QUERY" => query,
        "REF" => reference,
        _ => None,
    }
}

/// A number with commas between thousands.
fn push_grouped(value: f64, digits: usize, out: &mut String) {
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        out.push('-');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}
