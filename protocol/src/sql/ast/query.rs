//! EXPLAIN. Queries themselves are `sqlparser::ast::Query`, so that they pass on to the query engine as they are.

use super::Statement;

/// `EXPLAIN [level] statement`
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// How much to tell.
    pub level: ExplainLevel,
    /// What to explain: a query, or INSERT, DELETE, UPDATE, CREATE TABLE AS.
    pub statement: Box<Statement>,
}

/// How much EXPLAIN tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainLevel {
    /// No word: the physical plan.
    Normal,
    /// `LOGICAL`
    Logical,
    /// `VERBOSE`
    Verbose,
    /// `COSTS`
    Costs,
    /// `ANALYZE`: run it and tell what happened.
    Analyze,
}
