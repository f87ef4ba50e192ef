//! The engine's words in those of the field: its types under the names that a definition has for them.
//!
//! Only texts of errors come here, so a word that is not known stays as it is.

use datafusion::arrow::datatypes::DataType;

/// Names of the engine's types without digits or parts, with the names that users know.
const TYPES: [(&str, &str); 27] = [
    ("Null", "NULL"),
    ("Boolean", "BOOLEAN"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("UInt8", "SMALLINT"),
    ("UInt16", "INT"),
    ("UInt32", "BIGINT"),
    ("UInt64", "BIGINT"),
    ("Float16", "FLOAT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Utf8", "VARCHAR"),
    ("LargeUtf8", "VARCHAR"),
    ("Utf8View", "VARCHAR"),
    ("Binary", "VARBINARY"),
    ("LargeBinary", "VARBINARY"),
    ("BinaryView", "VARBINARY"),
    ("Date32", "DATE"),
    ("Date64", "DATETIME"),
    ("Decimal32", "DECIMAL"),
    ("Decimal64", "DECIMAL"),
    ("Decimal128", "DECIMAL"),
    ("Decimal256", "DECIMAL"),
    ("TRY_CAST", "CAST"),
    ("array_has", "array_contains"),
];

/// Types written with parts in parentheses, of which users see the name alone.
const NESTED: [(&str, &str); 8] = [
    ("List", "ARRAY"),
    ("LargeList", "ARRAY"),
    ("FixedSizeList", "ARRAY"),
    ("Map", "MAP"),
    ("Struct", "STRUCT"),
    ("Timestamp", "DATETIME"),
    ("Interval", "INTERVAL"),
    ("Duration", "INTERVAL"),
];

/// Words that only someone who knows the engine can do something with.
const INNER: [&str; 15] = [
    "logical expression",
    "logical plan",
    "LogicalPlan",
    "hysical plan",
    "hysicalExpr",
    "execution plan",
    "ExecutionPlan",
    "ast node",
    "ValueWithSpan",
    "SortField",
    "Arrow ",
    "DataFusion",
    "Candidate functions",
    "coercion",
    "UserDefined",
];

/// The name of a type as users know it.
pub fn of_type(data_type: &DataType) -> String {
    if matches!(data_type, DataType::Decimal256(39, 0)) {
        return "LARGEINT".to_owned();
    }
    of_the_field(&data_type.to_string())
}

/// The text with the names of types that users know.
pub(super) fn of_the_field(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if let Some((_, name)) = NESTED.iter().find(|(engine, _)| *engine == word)
            && let Some(parts) = parenthesised(rest)
        {
            out.push_str(name);
            rest = &rest[parts..];
        } else {
            out.push_str(TYPES.iter().find(|(engine, _)| *engine == word).map_or(word, |(_, name)| name));
        }
    }
    out.push_str(rest);
    out
}

/// Whether a text is of use only to who knows the engine.
pub(super) fn speaks_of_the_engine(text: &str) -> bool {
    // A part of its trees looks like `Column { name: … }`.
    let tree = |(at, _): (usize, &str)| text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    INNER.iter().any(|word| text.contains(word)) || text.match_indices(" { ").any(tree)
}

/// How long the parenthesis is that a text begins with.
fn parenthesised(text: &str) -> Option<usize> {
    if !text.starts_with('(') {
        return None;
    }
    let mut depth = 0usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_definitions() {
        let cases = [
            ("sum(Int64, Utf8)", "sum(BIGINT, VARCHAR)"),
            ("a value of Decimal128(38, 10) type", "a value of DECIMAL(38, 10) type"),
            ("List(Int32, field: 'element') = Int64", "ARRAY = BIGINT"),
            ("Map(\"key_value\": non-null Struct(\"key\": non-null Utf8), unsorted) is", "MAP is"),
            ("Interval(MonthDayNano) to Timestamp(µs)", "INTERVAL to DATETIME"),
            ("Int64s and MyInt64 and List (of names", "Int64s and MyInt64 and List (of names"),
            ("unfinished List(Int64", "unfinished List(BIGINT"),
        ];
        for (engine, field) in cases {
            assert_eq!(of_the_field(engine), field);
        }
        assert_eq!(of_type(&crate::query::convert::LARGEINT), "LARGEINT");
    }
}
