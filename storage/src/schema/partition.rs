//! Which rows a partition holds.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::value::Value;

/// One end of a range in one column. The order of the variants is the order of the values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Below every value, NULL included.
    MinValue,
    /// A value.
    Value(Value),
    /// Above every value.
    MaxValue,
}

impl Bound {
    /// Orders two bounds of one column. NULL is the least value.
    pub fn compare(&self, other: &Bound) -> Ordering {
        match (self, other) {
            (Bound::Value(left), Bound::Value(right)) => left.compare(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Bound::MinValue => 0,
            Bound::Value(_) => 1,
            Bound::MaxValue => 2,
        }
    }
}

/// One end of a range over all partition columns, compared column by column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionKey(pub Vec<Bound>);

impl PartitionKey {
    /// Orders two keys. A column that one key leaves out counts as the least.
    pub fn compare(&self, other: &PartitionKey) -> Ordering {
        let columns = self.0.len().max(other.0.len());
        (0..columns)
            .map(|column| {
                let left = self.0.get(column).unwrap_or(&Bound::MinValue);
                let right = other.0.get(column).unwrap_or(&Bound::MinValue);
                left.compare(right)
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Which rows a partition holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBounds {
    /// Every row: the one partition of an unpartitioned table.
    All,
    /// Rows whose partition columns are at least `lower` and below `upper`.
    Range {
        /// The least key, included.
        lower: PartitionKey,
        /// The first key beyond, excluded.
        upper: PartitionKey,
    },
}

impl PartitionBounds {
    /// Whether a row with these partition-column values belongs here.
    pub fn contains(&self, key: &[Value]) -> bool {
        match self {
            PartitionBounds::All => true,
            PartitionBounds::Range { lower, upper } => {
                let key = PartitionKey(key.iter().cloned().map(Bound::Value).collect());
                lower.compare(&key).is_le() && key.compare(upper).is_lt()
            }
        }
    }

    /// Whether some row could belong to both.
    pub fn overlaps(&self, other: &PartitionBounds) -> bool {
        match (self, other) {
            (
                PartitionBounds::Range { lower, upper },
                PartitionBounds::Range { lower: other_lower, upper: other_upper },
            ) => lower.compare(other_upper).is_lt() && other_lower.compare(upper).is_lt(),
            _ => true,
        }
    }

    /// Whether no row can belong here.
    pub fn is_empty(&self) -> bool {
        match self {
            PartitionBounds::All => false,
            PartitionBounds::Range { lower, upper } => lower.compare(upper).is_ge(),
        }
    }
}

/// The bounds as an ADD PARTITION clause writes them: `[("2024-01-01"), ("2024-02-01"))`.
impl fmt::Display for PartitionBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionBounds::All => f.write_str("(all)"),
            PartitionBounds::Range { lower, upper } => write!(f, "[{lower}, {upper})"),
        }
    }
}

/// The key as DDL writes it and reads it again. The least values at its end are left out, as they are where a bound
/// names fewer values than there are columns.
impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0.iter().rposition(|bound| *bound != Bound::MinValue).map_or(1, |last| last + 1);
        f.write_str("(")?;
        for (position, bound) in self.0.iter().take(said).enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            match bound {
                Bound::MinValue => f.write_str("MINVALUE")?,
                Bound::MaxValue => f.write_str("MAXVALUE")?,
                Bound::Value(Value::Null) => f.write_str("NULL")?,
                Bound::Value(value) => {
                    let text = value.to_string().replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, "\"{text}\"")?;
                }
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_ddl_reads_it() {
        let value = |text: &str| Bound::Value(Value::String(text.to_owned()));
        for (key, text) in [
            (vec![value("5"), Bound::MinValue], "(\"5\")"),
            (vec![Bound::MinValue, Bound::MinValue], "(MINVALUE)"),
            (vec![value("5"), Bound::MinValue, value("7")], "(\"5\", MINVALUE, \"7\")"),
            (vec![value("5"), Bound::MaxValue], "(\"5\", MAXVALUE)"),
            (vec![Bound::Value(Value::Null), value("NULL")], "(NULL, \"NULL\")"),
            (vec![value("a\"b\\c")], r#"("a\"b\\c")"#),
        ] {
            assert_eq!(PartitionKey(key).to_string(), text);
        }
    }
}
