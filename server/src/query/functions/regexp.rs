//! Regular expressions, case-sensitive, in the engine's (RE2-like) syntax.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::kernels::regexp::regexp_match;
use datafusion::arrow::compute::regexp_is_match;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::support::{Args, Scalar};
use super::text::Room;
use crate::query::convert;

/// Results of REGEXP_REPLACE that together take no more than this are made without asking for room.
const SMALL_BYTES: usize = 1024 * 1024;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::boolean("regexp", 2, 2, |args| {
            let (texts, patterns) = (column(args, 0)?, column(args, 1)?);
            Ok(Arc::new(regexp_is_match(&texts, &patterns, None::<&StringArray>)?))
        })
        .alias(&["rlike", "regexp_like"]),
        Scalar::text("regexp_extract", 2, 3, extract),
        Scalar::text("regexp_replace", 3, 3, replace),
    ]
}

fn column(args: &Args<'_>, index: usize) -> Result<StringArray> {
    Ok(convert::to_strings(&args.array(index)?)?)
}

/// REGEXP_EXTRACT(text, pattern [, group]): the empty text when nothing matches.
fn extract(args: &Args<'_>) -> Result<ArrayRef> {
    let texts: ArrayRef = Arc::new(column(args, 0)?);
    // In parentheses the whole match is the first group, so that group 0 can be asked for like any other.
    let whole: StringArray =
        column(args, 1)?.iter().map(|pattern| pattern.map(|pattern| format!("({pattern})"))).collect();
    let patterns: ArrayRef = Arc::new(whole);
    let groups = if args.len() > 2 { Some(args.ints(2)?) } else { None };
    let found = regexp_match(&texts, &patterns, None)?;
    let found = found.as_list::<i32>();
    args.build_strings(|row, out| {
        if texts.is_null(row) || patterns.is_null(row) {
            return None;
        }
        let group = match &groups {
            Some(groups) => usize::try_from(groups.get(row)?).ok(),
            None => Some(1),
        };
        if found.is_valid(row)
            && let Some(group) = group
        {
            let captures = convert::to_strings(&found.value(row)).ok()?;
            let group = if groups.is_none() && captures.len() == 1 { 0 } else { group };
            if group < captures.len() && captures.is_valid(group) {
                out.push_str(captures.value(group));
            }
        }
        Some(())
    })
}

/// REGEXP_REPLACE(text, pattern, replacement): every match; `\1` stands for the first group.
fn replace(args: &Args<'_>) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(column(args, 0)?), Arc::new(column(args, 1)?), Arc::new(column(args, 2)?)];
    let rows = args.rows();
    let _room = room_to_replace(args, &columns)?;
    let flags: ArrayRef = Arc::new(StringArray::from(vec!["g"; rows]));
    let replaced = engines(
        &datafusion::functions::regex::regexp_replace(),
        columns.into_iter().chain([flags]).collect(),
        DataType::Utf8,
        rows,
    )?;
    let replaced = replaced.as_string::<i32>();
    args.build_strings(|row, out| {
        out.push_str(replaced.is_valid(row).then(|| replaced.value(row))?);
        Some(())
    })
}

/// The memory that the results of REGEXP_REPLACE may take, asked for before they are made: the engine's function does not
/// ask. A result has at most the text, the replacement for every match, and the text again for every `\1` in the replacement.
fn room_to_replace(args: &Args<'_>, columns: &[ArrayRef]) -> Result<Option<Room>> {
    let (texts, replacements) = (columns[0].as_string::<i32>(), columns[2].as_string::<i32>());
    let longest = |row: usize, matches: usize| {
        if texts.is_null(row) || replacements.is_null(row) {
            return 0;
        }
        let (text, replacement) = (texts.value(row).len(), replacements.value(row));
        let groups = replacement.bytes().filter(|byte| *byte == b'\\').count();
        text.saturating_mul(groups + 1).saturating_add(matches.saturating_mul(replacement.len()))
    };
    // There are no more matches than places between letters; usually that is enough to know.
    let most = (0..args.rows()).map(|row| longest(row, texts.value(row).len() + 1)).fold(0, usize::saturating_add);
    if most <= SMALL_BYTES {
        return Ok(None);
    }
    let counted =
        engines(&datafusion::functions::regex::regexp_count(), columns[..2].to_vec(), DataType::Int64, args.rows())?;
    let counted = counted.as_primitive::<Int64Type>();
    let patterns = columns[1].as_string::<i32>();
    let matches = |row: usize| {
        // The empty pattern matches everywhere, and is not counted.
        let everywhere = patterns.is_valid(row) && patterns.value(row).is_empty();
        let counted = if counted.is_valid(row) { usize::try_from(counted.value(row)).unwrap_or(0) } else { 0 };
        if everywhere { texts.value(row).len() + 1 } else { counted }
    };
    args.room((0..args.rows()).map(|row| longest(row, matches(row)))).map(Some)
}

/// Calls a function of the engine with columns.
fn engines(function: &ScalarUDF, columns: Vec<ArrayRef>, returns: DataType, rows: usize) -> Result<ArrayRef> {
    let result = function.invoke_with_args(ScalarFunctionArgs {
        arg_fields: columns.iter().map(|column| Arc::new(Field::new("", column.data_type().clone(), true))).collect(),
        args: columns.into_iter().map(ColumnarValue::Array).collect(),
        number_rows: rows,
        return_field: Arc::new(Field::new("", returns, true)),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    result.into_array(rows)
}
