//! What is wrong with a statement's text.

use std::fmt;

/// Why a text is not a statement, or is one that can only be refused.
///
/// `Display` is the text that clients see; it is StarRocks's form, and tools look for its beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    /// Which of the two kinds it is.
    pub kind: SyntaxErrorKind,
    /// The line, counted from 1.
    pub line: u64,
    /// The column in characters, counted from 1.
    pub column: u64,
    /// What was expected and what was found, or why it is refused. No full stop at the end.
    pub detail: String,
}

/// The two kinds of [`SyntaxError`], which clients see under different numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxErrorKind {
    /// The text is not in the grammar: MySQL error 1064.
    Syntax,
    /// The text is in the grammar and refused all the same, whatever the catalog holds: MySQL error 5064.
    Analysis,
}

impl SyntaxError {
    /// A text that is not in the grammar.
    pub fn syntax(line: u64, column: u64, detail: impl Into<String>) -> Self {
        Self { kind: SyntaxErrorKind::Syntax, line, column, detail: detail.into() }
    }

    /// A text that is in the grammar and refused.
    pub fn analysis(line: u64, column: u64, detail: impl Into<String>) -> Self {
        Self { kind: SyntaxErrorKind::Analysis, line, column, detail: detail.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SyntaxErrorKind::Syntax => write!(
                f,
                "Getting syntax error at line {}, column {}. Detail message: {}.",
                self.line, self.column, self.detail
            ),
            SyntaxErrorKind::Analysis => {
                write!(f, "Getting analyzing error. Detail message: {}.", self.detail)
            }
        }
    }
}
