//! Names and properties, shared by every statement family.
//!
//! A name is kept as the user meant it: without quotes, in its own case. Whether it must be quoted again is
//! decided when a statement is printed (see `sql::print`), never stored.

use std::fmt;

use crate::sql::redact::{MASK, is_secret_key};

/// A table, view or materialized view: `[[catalog.]database.]table`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The catalog, when three parts were given.
    pub catalog: Option<String>,
    /// The database, when given; otherwise the session's.
    pub database: Option<String>,
    /// The table itself.
    pub table: String,
}

impl TableName {
    /// A table of the session's database.
    pub fn bare(table: impl Into<String>) -> Self {
        Self { catalog: None, database: None, table: table.into() }
    }

    /// A table of a named database.
    pub fn of(database: impl Into<String>, table: impl Into<String>) -> Self {
        Self { catalog: None, database: Some(database.into()), table: table.into() }
    }
}

/// `("key" = "value", …)` in the order written, duplicates included.
///
/// `Debug` masks the values of keys that look secret, so a statement may be logged with `{:?}`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    /// The value of a key; the last one wins when a key is given twice.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Keys and values in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// True when no property was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(k, v)| (k, if is_secret_key(k) { MASK } else { v }));
        f.debug_map().entries(shown).finish()
    }
}
