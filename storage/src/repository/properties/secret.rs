//! A text that must not be seen.

use std::fmt;

/// What stands for a secret wherever one would be printed.
pub const MASK: &str = "***";

/// A key, token or password. It prints as `***`, cannot be serialised, and is only readable through
/// [`Secret::expose`], so that every place that reads it is found by searching for that word.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that must not be seen from here on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log, print or store what this returns outside the catalog.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
