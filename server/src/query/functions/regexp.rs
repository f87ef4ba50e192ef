//! Regular expressions, case-sensitive, in the engine's (RE2-like) syntax.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::kernels::regexp::regexp_match;
use datafusion::arrow::compute::regexp_is_match;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::support::{Args, Scalar};
use crate::query::convert;

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
    Ok(args.build_strings(|row, out| {
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
    }))
}

/// REGEXP_REPLACE(text, pattern, replacement): every match; `\1` stands for the first group.
fn replace(args: &Args<'_>) -> Result<ArrayRef> {
    let rows = args.rows();
    let flags = StringArray::from(vec!["g"; rows]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(column(args, 0)?), Arc::new(column(args, 1)?), Arc::new(column(args, 2)?), Arc::new(flags)];
    let field = Arc::new(Field::new("", DataType::Utf8, true));
    let result = datafusion::functions::regex::regexp_replace().invoke_with_args(ScalarFunctionArgs {
        arg_fields: vec![Arc::clone(&field); columns.len()],
        args: columns.into_iter().map(ColumnarValue::Array).collect(),
        number_rows: rows,
        return_field: field,
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    result.into_array(rows)
}
