//! Turning text and query results into rows of a table.
//!
//! The way of a load: a reader ([`csv`], [`json`]) cuts bytes into batches of text columns; [`columns`] renames, drops
//! and computes columns as the `columns` header asks; [`assemble`] converts them to the table's exact types and fills
//! what was not given; the `where` header selects; what is left goes to storage. INSERT enters at [`assemble`] with the
//! batches of a query. [`rows`] ties these together for Stream Load.
//!
//! A bad row never fails a load here: it is counted, a few are described, and whoever runs the load decides. What fails
//! a load is text that cannot be cut into rows at all, a column that does not exist, or storage.
//! Nothing here opens a socket or a file.

pub mod assemble;
pub mod columns;
mod convert;
pub mod csv;
pub mod json;
pub mod rows;
pub mod text_batch;

use arrow::error::ArrowError;

/// Rows of one batch of text columns: enough to make columnar work pay, few enough to keep a load's memory small.
pub const BATCH_ROWS_MAX: usize = 16_384;

/// Text of one batch of text columns, after which the batch ends early.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// Bad rows that one call describes; the others are only counted.
pub const BAD_ROWS_DESCRIBED_MAX: usize = 100;

/// The longest row of an input, in bytes. A row is buffered whole, so this bounds memory; it leaves room for a JSON
/// document of the greatest size beside a few of the longest VARCHARs.
pub const ROW_BYTES_MAX: usize = 32 << 20;

/// How much of a bad row or value is told to the user, in characters.
pub const EXCERPT_CHARS_MAX: usize = 256;

/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 128;

/// What a label may be made of, in words.
pub const LABEL_RULE: &str = "use at most 128 letters, digits, dashes, underscores, dots and colons";

/// Whether a text may be the label of a load.
pub fn is_label(text: &str) -> bool {
    let is_fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':');
    text.chars().count() <= LABEL_CHARS_MAX && text.chars().all(is_fine)
}

/// What happens to a value that does not convert to its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Its row is bad.
    Strict,
    /// It becomes NULL where the column may hold NULL; elsewhere its row is bad.
    Lenient,
}

/// What fails a whole load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The request makes no sense for this table; the text says why and what would.
    #[error("{0}")]
    Invalid(String),
    /// The input cannot be cut into rows.
    #[error("{0}")]
    Input(String),
    /// The load was stopped from outside: its connection broke, its time was over, the server stops.
    #[error("{0}")]
    Interrupted(String),
    /// The account may not load into this table.
    #[error("{0}")]
    AccessDenied(String),
    /// Storage refused.
    #[error("{}", crate::error::storage_text(.0))]
    Storage(#[from] ebla_storage::Error),
    /// A fault of the server.
    #[error("internal error: {0}")]
    Internal(String),
}

impl LoadError {
    /// A request that makes no sense.
    pub fn invalid(text: impl Into<String>) -> Self {
        LoadError::Invalid(text.into())
    }
}

impl From<ArrowError> for LoadError {
    fn from(error: ArrowError) -> Self {
        LoadError::Internal(error.to_string())
    }
}

/// The beginning of a text, cut at a character.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The beginning of bytes that should be text.
pub(crate) fn excerpt_of_bytes(bytes: &[u8]) -> String {
    // No character is longer than four bytes.
    let head = &bytes[..bytes.len().min(4 * (EXCERPT_CHARS_MAX + 1))];
    excerpt(&String::from_utf8_lossy(head))
}
