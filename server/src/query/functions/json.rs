//! JSON kept as text: parsed where it is looked into, never stored otherwise.
//!
//! Paths are `$.a.b[0]`, `$.a[*]` being left to a later day; `a.b[0]` without the dollar is accepted, as StarRocks does.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use serde_json::{Map, Number, Value};

use super::arithmetic::without_negative_zero;
use super::support::{Args, MANY, Returns, Scalar};
use super::text::Text;
use crate::query::convert;

/// Longest JSON text that is looked into. The values of a text may take thirty times as much memory as the text itself.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        query_entry(),
        Scalar::new("json_extract", 2, 2, Returns::Json, |args| found(args, push_json)).alias(&["get_json_object"]),
        string_entry(),
        Scalar::int("get_json_int", 2, 2, |args| {
            values(args, |args, value| {
                args.build::<Int64Type>(|row| match value(row)? {
                    Value::Number(number) => {
                        number.as_i64().or_else(|| convert::number::double_to_int(number.as_f64()?))
                    }
                    Value::Bool(value) => Some(i64::from(value)),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                })
            })
        })
        .alias(&["get_json_bigint"]),
        Scalar::double("get_json_double", 2, 2, |args| {
            values(args, |args, value| {
                args.build::<Float64Type>(|row| match value(row)? {
                    Value::Number(number) => number.as_f64().map(without_negative_zero),
                    Value::Bool(value) => Some(f64::from(value)),
                    Value::String(text) => convert::number::parse_double(&text),
                    _ => None,
                })
            })
        }),
        Scalar::boolean("get_json_bool", 2, 2, |args| {
            values(args, |args, value| {
                args.build_booleans(|row| match value(row)? {
                    Value::Bool(value) => Some(value),
                    Value::Number(number) => Some(number.as_f64()? != 0.0),
                    _ => None,
                })
            })
        }),
        Scalar::boolean("json_exists", 2, 2, |args| {
            let (texts, paths) = (args.strings(0)?, args.strings(1)?);
            Ok(args.build_booleans(|row| Some(lookup(texts.get(row)?, paths.get(row)?).is_some())))
        }),
        Scalar::int("json_length", 1, 2, |args| {
            let texts = args.strings(0)?;
            let paths = if args.len() > 1 { Some(args.strings(1)?) } else { None };
            Ok(args.build::<Int64Type>(|row| {
                let path = match &paths {
                    Some(paths) => paths.get(row)?,
                    None => "$",
                };
                Some(match lookup(texts.get(row)?, path)? {
                    Value::Array(items) => items.len() as i64,
                    Value::Object(fields) => fields.len() as i64,
                    _ => 1,
                })
            }))
        }),
        Scalar::new("json_keys", 1, 2, Returns::Json, |args| {
            let texts = args.strings(0)?;
            let paths = if args.len() > 1 { Some(args.strings(1)?) } else { None };
            args.build_strings(|row, out| {
                let path = match &paths {
                    Some(paths) => paths.get(row)?,
                    None => "$",
                };
                let Value::Object(fields) = lookup(texts.get(row)?, path)? else {
                    return None;
                };
                push_json(&Value::Array(fields.into_iter().map(|(key, _)| Value::String(key)).collect()), out)
            })
        }),
        Scalar::boolean("json_valid", 1, 1, |args| {
            let texts = args.strings(0)?;
            Ok(args.build_booleans(|row| Some(serde_json::from_str::<serde::de::IgnoredAny>(texts.get(row)?).is_ok())))
        }),
        Scalar::new("parse_json", 1, 1, Returns::Json, |args| {
            let texts = args.strings(0)?;
            args.build_strings(|row, out| push_json(&parsed(texts.get(row)?)?, out))
        }),
        Scalar::text("json_string", 1, 1, |args| {
            let texts = args.strings(0)?;
            args.build_strings(|row, out| {
                out.push_str(texts.get(row)?);
                Some(())
            })
        }),
        Scalar::text("json_unquote", 1, 1, |args| {
            let texts = args.strings(0)?;
            args.build_strings(|row, out| {
                let text = texts.get(row)?;
                match parsed(text) {
                    Some(Value::String(inner)) => out.push_str(&inner),
                    _ => out.push_str(text),
                }
                Some(())
            })
        }),
        Scalar::new("json_quote", 1, 1, Returns::Json, |args| {
            let texts = args.strings(0)?;
            args.build_strings(|row, out| push_json(&Value::String(texts.get(row)?.to_owned()), out))
        }),
        Scalar::new("json_array", 0, MANY, Returns::Json, |args| {
            let columns = columns(args, 0)?;
            args.build_strings(|row, out| {
                let items = columns.iter().map(|column| column(row)).collect();
                push_json(&Value::Array(items), out)
            })
        }),
        Scalar::new("json_object", 0, MANY, Returns::Json, |args| {
            let columns = columns(args, 0)?;
            args.build_strings(|row, out| {
                let mut fields = Map::new();
                for pair in columns.chunks(2) {
                    let key = match pair[0](row) {
                        Value::String(key) => key,
                        Value::Null => return None,
                        other => other.to_string(),
                    };
                    let value = pair.get(1).map_or(Value::Null, |value| value(row));
                    fields.insert(key, value);
                }
                push_json(&Value::Object(fields), out)
            })
        }),
    ]
}

/// `json -> path`.
pub(crate) fn query() -> Arc<ScalarUDF> {
    query_entry().into_udf()
}

/// `json ->> path`.
pub(crate) fn string() -> Arc<ScalarUDF> {
    string_entry().into_udf()
}

fn query_entry() -> Scalar {
    Scalar::new("json_query", 2, 2, Returns::Json, |args| found(args, push_json))
}

fn string_entry() -> Scalar {
    Scalar::text("get_json_string", 2, 2, |args| {
        found(args, |value, out| match value {
            Value::Null => None,
            Value::String(text) => {
                out.push_str(text);
                Some(())
            }
            other => push_json(other, out),
        })
    })
}

/// Texts made of what a path leads to.
fn found(args: &Args<'_>, write: impl Fn(&Value, &mut Text<'_>) -> Option<()>) -> Result<ArrayRef> {
    let (texts, paths) = (args.strings(0)?, args.strings(1)?);
    args.build_strings(|row, out| write(&lookup(texts.get(row)?, paths.get(row)?)?, out))
}

fn values(args: &Args<'_>, build: impl Fn(&Args<'_>, &dyn Fn(usize) -> Option<Value>) -> ArrayRef) -> Result<ArrayRef> {
    let (texts, paths) = (args.strings(0)?, args.strings(1)?);
    Ok(build(args, &|row| lookup(texts.get(row)?, paths.get(row)?)))
}

fn push_json(value: &Value, out: &mut Text<'_>) -> Option<()> {
    push_spaced(value, out)
}

/// JSON as StarRocks prints it: one space after commas and colons.
fn push_spaced(value: &Value, out: &mut Text<'_>) -> Option<()> {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_spaced(item, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&serde_json::to_string(key).ok()?);
                out.push_str(": ");
                push_spaced(value, out)?;
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
    Some(())
}

/// A JSON text as a value; none when it is no JSON, or so long that its value would fill memory.
fn parsed(text: &str) -> Option<Value> {
    if text.len() > JSON_BYTES_MAX {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// What a path leads to in a JSON text.
fn lookup(text: &str, path: &str) -> Option<Value> {
    let mut value = parsed(text)?;
    for step in steps(path)? {
        value = match (value, step) {
            (Value::Object(mut fields), Step::Key(key)) => fields.shift_remove(key)?,
            (Value::Array(mut items), Step::Index(index)) if index < items.len() => items.swap_remove(index),
            _ => return None,
        };
    }
    Some(value)
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.trim();
    rest = rest.strip_prefix('$').unwrap_or(rest);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']')?;
            match index.trim().strip_prefix(['"', '\'']) {
                Some(key) => steps.push(Step::Key(key.strip_suffix(['"', '\''])?)),
                None => steps.push(Step::Index(index.trim().parse().ok()?)),
            }
            rest = tail;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(tail) = rest.strip_prefix('"') {
            let (key, tail) = tail.split_once('"')?;
            steps.push(Step::Key(key));
            rest = tail;
            continue;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        steps.push(Step::Key(&rest[..end]));
        rest = &rest[end..];
    }
    Some(steps)
}

type Column<'a> = Box<dyn Fn(usize) -> Value + 'a>;

/// Arguments as JSON values, by row.
fn columns<'a>(args: &'a Args<'_>, first: usize) -> Result<Vec<Column<'a>>> {
    (first..args.len())
        .map(|index| {
            let data_type = args.data_type(index);
            let column: Column<'a> = if data_type == DataType::Boolean {
                let array = args.array(index)?;
                let values = array.as_boolean().clone();
                Box::new(move |row| if values.is_null(row) { Value::Null } else { Value::Bool(values.value(row)) })
            } else if data_type.is_integer() {
                let values = args.ints(index)?;
                Box::new(move |row| values.get(row).map_or(Value::Null, |value| Value::Number(value.into())))
            } else if convert::is_number(&data_type) {
                let values = args.doubles(index)?;
                Box::new(move |row| values.get(row).and_then(Number::from_f64).map_or(Value::Null, Value::Number))
            } else {
                let texts = args.strings(index)?;
                Box::new(move |row| texts.get(row).map_or(Value::Null, |text| Value::String(text.to_owned())))
            };
            Ok(column)
        })
        .collect()
}
