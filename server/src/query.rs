//! SELECT: from a syntax tree to batches, in the StarRocks dialect. The only module that names DataFusion.
//!
//! ```text
//! syntax tree ─ rewrite ─→ tree with MySQL's forms spelled out ─ SqlToRel + binder + operators ─→ logical plan
//!             ─ coerce, optimise ─→ ─ scan: prune partitions, tablets, segments ─→ physical plan ─ stream ─→ batches
//! ```
//!
//! The rest of the server meets [`QueryEngine`] (one per server), [`StatementContext`] (one per statement) and the seam
//! to storage in [`source`]. Values that cross are [`Value`]s and Arrow batches; errors are [`QueryError`]s.

mod around;
mod binder;
mod coerce;
mod context;
mod convert;
mod dependencies;
mod effort;
mod engine;
mod error;
mod explain;
mod expression;
mod filters;
mod functions;
mod groups;
mod interrupt;
mod joins;
mod lists;
mod operators;
mod orders;
mod padding;
mod recursion;
mod rewrite;
mod scan;
pub mod source;
mod stream;
mod subqueries;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use context::{StatementContext, TimeZone, VariableScope, Variables};
pub use engine::{Description, PlannedQuery, QueryConfig, QueryEngine};
pub use error::{QueryError, Reason, of_type};
pub use explain::ExplainMode;
pub use expression::{CompiledExpr, convert_array};
pub use stream::QueryStream;
pub use value::Value;
