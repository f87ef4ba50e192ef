//! One column of a table.

use std::collections::HashMap;
use std::fmt;

use arrow_schema::Field;
use serde::{Deserialize, Serialize};

use super::data_type::{DataType, PARQUET_FIELD_ID_KEY};

/// A column's identity: unique in its table for ever, kept across renames, the Parquet field id in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnId(pub u32);

/// How a value column of an AGGREGATE table combines rows of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Adds.
    Sum,
    /// Keeps the least.
    Min,
    /// Keeps the greatest.
    Max,
    /// Keeps the last loaded.
    Replace,
    /// Keeps the last loaded that is not NULL.
    ReplaceIfNotNull,
}

/// What a column gets when a load does not name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultValue {
    /// A constant, as the text the user wrote.
    Constant(String),
    /// The moment of the load.
    CurrentTimestamp,
    /// A random UUID as text.
    Uuid,
    /// A random 128-bit number.
    UuidNumeric,
}

/// As a definition has it after DEFAULT.
impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultValue::Constant(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            DefaultValue::CurrentTimestamp => f.write_str("CURRENT_TIMESTAMP"),
            DefaultValue::Uuid => f.write_str("(uuid())"),
            DefaultValue::UuidNumeric => f.write_str("(uuid_numeric())"),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its identity.
    pub id: ColumnId,
    /// Its name as defined; matched without regard to case.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Whether it is part of the table's key.
    #[serde(default)]
    pub key: bool,
    /// How values combine; only in AGGREGATE tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<Aggregation>,
    /// What it gets when a load does not name it; `None` is NULL, or an error where NULL is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultValue>,
    /// Whether rows that leave it out get the next number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_increment: bool,
    /// COMMENT, empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

impl Column {
    /// The Arrow field of this column: its defined name, its type, its field id.
    pub fn to_field(&self) -> Field {
        let field = self.data_type.to_field(&self.name, self.nullable);
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        metadata.insert(PARQUET_FIELD_ID_KEY.to_owned(), self.id.0.to_string());
        field.with_metadata(metadata)
    }

    /// Whether `name` names this column.
    pub fn is_named(&self, name: &str) -> bool {
        names_equal(&self.name, name)
    }
}

/// Whether two column (or partition) names are the same name: case does not matter.
pub(super) fn names_equal(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Aggregation::Sum => "SUM",
            Aggregation::Min => "MIN",
            Aggregation::Max => "MAX",
            Aggregation::Replace => "REPLACE",
            Aggregation::ReplaceIfNotNull => "REPLACE_IF_NOT_NULL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_read_as_they_are_written() {
        for (default, text) in [
            (DefaultValue::Constant("it's \"q\" \\".into()), r#""it's \"q\" \\""#),
            (DefaultValue::CurrentTimestamp, "CURRENT_TIMESTAMP"),
            (DefaultValue::Uuid, "(uuid())"),
            (DefaultValue::UuidNumeric, "(uuid_numeric())"),
        ] {
            assert_eq!(default.to_string(), text);
        }
    }
}
