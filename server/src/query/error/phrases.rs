//! The engine's sentences: what kind of error each of them is, and what a client reads instead.
//!
//! Where the engine has no variant for what went wrong, its sentence is all there is. What none of these knows stays as
//! it is, in the words of the field, or is kept for the log when it speaks of the engine's inner parts.

use super::{FRAME_ORDER, QueryError, Reason, words};
use crate::query::subqueries;

/// Parts of sentences that tell a reason, with what is said instead; `None` for the sentence itself.
const REASONS: [(&str, Reason, Option<&str>); 11] = [
    (
        "Scalar subquery returned more than one row",
        Reason::Rows,
        Some("Subquery returns more than 1 row: add LIMIT 1 or an aggregate such as max"),
    ),
    (
        "Too many columns! The subquery should only return one column",
        Reason::Columns,
        Some("Operand should contain 1 column(s): the subquery returns more"),
    ),
    (
        "queries have different number of columns",
        Reason::SetColumns,
        Some("The used SELECT statements have a different number of columns"),
    ),
    ("RANGE requires exactly one ORDER BY column", Reason::FrameOrder, Some(FRAME_ORDER)),
    ("For SELECT DISTINCT, ORDER BY expressions", Reason::NotSelected, None),
    ("NTILE requires a positive integer", Reason::Argument, None),
    ("Percentile value must be between", Reason::Argument, None),
    ("Can't cast value", Reason::Value, None),
    ("Cannot cast string", Reason::Value, None),
    ("Cannot parse", Reason::Value, None),
    ("Error parsing timestamp", Reason::Value, None),
];

/// A call whose arguments no form of the function takes.
pub(super) fn from_call(text: &str) -> Option<QueryError> {
    // Functions of ours say themselves what is wrong; the engine puts its own sentence around that.
    if let Some((_, rest)) = text.split_once("user-defined coercion failed with: ")
        && let Some(own) = rest.strip_prefix("External error: ")
    {
        let own = own.split(". No function matches").next().unwrap_or(own);
        return Some(QueryError::Semantic(own.to_owned()));
    }
    if let Some((_, rest)) = text.split_once("No function matches the given name and argument types '") {
        let signature = rest.split_once("'.").map_or(rest, |(signature, _)| signature);
        return Some(QueryError::Semantic(format!(
            "No matching function with signature: {}; CAST the arguments to types that it takes",
            words::of_the_field(signature)
        )));
    }
    let name = text.strip_prefix("Function '").and_then(|rest| rest.split('\'').next())?;
    let refused = ["failed to match any signature", "user-defined coercion failed"];
    refused.iter().any(|phrase| text.contains(phrase)).then(|| {
        QueryError::Semantic(format!(
            "No matching function with signature: {name} of arguments of these types and number"
        ))
    })
}

/// A place that is none, and a table that is not among those of FROM.
fn from_place(text: &str) -> Option<QueryError> {
    if let Some(table) = text.strip_prefix("Invalid qualifier ") {
        return Some(QueryError::Refused(
            Reason::UnknownAlias,
            format!("Unknown table '{table}': FROM does not name it"),
        ));
    }
    let place = |column: &str, clause: &str| Some(QueryError::no_place(column.trim(), clause));
    if let Some(rest) = text.strip_prefix("Order by column out of bounds, specified: ") {
        return place(rest.split(',').next().unwrap_or(rest), "ORDER BY");
    }
    if text.starts_with("Order by index starts at 1") {
        return place("0", "ORDER BY");
    }
    let rest = text.strip_prefix("Cannot find column with position ")?;
    place(rest.split(' ').next().unwrap_or(rest), "GROUP BY")
}

/// What the engine says in words of its own, in those of the field. Everything it says comes through here; what still
/// speaks of its inner parts is kept for the log.
pub(super) fn from_phrase(text: &str) -> QueryError {
    let subquery = ["ScalarSubquery", "InSubquery", "Exists(", "Correlated", "correlated", "OuterReferenceColumn"];
    if text.contains("does not support logical expression") || text.contains("outer_ref") {
        if subquery.iter().any(|word| text.contains(word)) || text.contains("outer_ref") {
            return subqueries::not_of_this_form();
        }
        if text.contains("WindowFunction") {
            return QueryError::Unsupported(
                "A window function may stand only in a select list, in ORDER BY and in QUALIFY: use a subquery"
                    .to_owned(),
            );
        }
        if text.contains("AggregateFunction") {
            return QueryError::MisplacedAggregate;
        }
    }
    if let Some(error) = from_place(text) {
        return error;
    }
    if let Some(clause) = ["LIMIT", "OFFSET"].iter().find(|clause| text.contains(&format!("Expected {clause} to be"))) {
        return QueryError::Semantic(format!("{clause} takes a whole number from 0 to {}", u64::MAX));
    }
    if text.contains("Accessing outer reference columns") || text.contains("__always_true") {
        return subqueries::not_of_this_form();
    }
    if text.contains("Aggregate functions are not allowed in the WHERE clause") {
        return QueryError::MisplacedAggregate;
    }
    if let Some((_, reason)) = text.split_once("regex parse error:") {
        let reason = reason.lines().find_map(|line| line.trim().strip_prefix("error: ")).unwrap_or("it cannot be read");
        return QueryError::Refused(Reason::Pattern, format!("Invalid regular expression: {reason}"));
    }
    if let Some((_, pattern)) = text.split_once("Regular expression did not compile: ") {
        return QueryError::Refused(Reason::Pattern, format!("Invalid regular expression: {pattern}"));
    }
    if text.contains("Correlated scalar subquery must be aggregated") {
        return QueryError::Unsupported(
            "A correlated subquery that stands for a value must aggregate it: write max(column) or any_value(column)"
                .to_owned(),
        );
    }
    if text.contains("only support Literal types") {
        return QueryError::Unsupported("The offset and the default of LEAD and LAG must be literals".to_owned());
    }
    if text.contains("Row format support not yet implemented") {
        return QueryError::Unsupported(
            "Values of type MAP cannot be grouped, compared, sorted or made distinct: use their keys and values"
                .to_owned(),
        );
    }
    if text.contains("is too large to store in a") {
        return QueryError::OutOfRange(format!("{}; CAST to DOUBLE", words::of_the_field(text)));
    }
    let said = words::of_the_field(text);
    if let Some((_, reason, own)) = REASONS.iter().find(|(part, ..)| text.contains(part)) {
        return QueryError::Refused(*reason, own.map_or(said, str::to_owned));
    }
    if words::speaks_of_the_engine(&said) {
        tracing::warn!(text, "the engine refused a query in words of its own");
        return QueryError::Unsupported(
            "Not supported: the query in this form; write it in simpler parts, for instance with subqueries".to_owned(),
        );
    }
    QueryError::Semantic(said)
}
