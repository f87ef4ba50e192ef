//! The StarRocks dialect: text → [`Statement`](ast::Statement) → text.
//!
//! Expressions and queries are sqlparser's, read by its tokenizer and parser under a dialect of our own; the statements
//! around them are ours. Knows no storage and no server: a statement here is what was said, not what it means.
//!
//! A text goes in by [`parse()`] and comes out by `Display`, which reads back as the same statement, or by
//! [`Statement::redacted`](ast::Statement::redacted) and [`redact()`], which show no secret. [`prepare()`] reads a text
//! with `?` in the place of values. Order of events: `lex` cuts and simplifies, `limits` bounds the depth, `parse` reads by `dialect` and `words`.

pub mod ast;
mod bind;
mod dialect;
mod error;
mod lex;
mod limits;
mod parse;
pub mod print;
mod redact;
mod template;
mod words;

#[cfg(test)]
mod tests;

// The front door: what a server needs besides the tree and the printing of names.
pub use bind::{BindError, bind, count_placeholders};
pub use error::{SyntaxError, SyntaxErrorKind};
pub use parse::{ParseOptions, parse, parse_with};
pub use redact::{MASK, is_secret_key, redact};
pub use template::{Template, TemplateError, prepare};
