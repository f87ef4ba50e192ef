//! An end for recursive queries.
//!
//! The engine runs the recursive part of `WITH RECURSIVE` again and again until it gives no more rows. [`limit`] puts a
//! counter around that part: the round after the last allowed one may find that there is nothing left, but not a row.
//! [`keep_columns`] mends what the optimizer would break. What a round gives is held in the query's memory, whose limit holds within a round.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlan, SubqueryAlias};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt as _;

use super::around::{Around, AroundExec};
use super::context::{StatementContext, VariableScope};
use super::error::QueryError;
use super::value::Value;

/// The session variable that says how many rounds there may be.
const VARIABLE: &str = "cte_max_recursion_depth";
/// Its default, as in MySQL.
const ROUNDS: u64 = 1000;
/// What the first part of a recursive query is called inside the engine.
const FIRST_PART: &str = "ebla_first";

/// How many rounds the session allows.
pub(super) fn rounds_max(context: &StatementContext) -> u64 {
    match context.variables.system(VariableScope::Session, VARIABLE) {
        Some(Value::Int(rounds)) => u64::try_from(rounds).unwrap_or(0),
        Some(Value::UInt(rounds)) => rounds,
        _ => ROUNDS,
    }
}

/// The plan with its recursive parts counted.
pub(super) fn limit(plan: Arc<dyn ExecutionPlan>, rounds_max: u64) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(query) = node.downcast_ref::<RecursiveQueryExec>() else {
            return Ok(Transformed::no(node));
        };
        let counted = Counted { rounds: Arc::new(AtomicU64::new(0)), rounds_max };
        let children =
            vec![Arc::clone(query.static_term()), AroundExec::put(Arc::clone(query.recursive_term()), counted)];
        Ok(Transformed::yes(node.with_new_children(children)?))
    })
    .data()
}

/// The plan with recursive queries that keep all their columns.
///
/// The optimizer would take from them the columns that nobody outside asks for, though the recursion itself reads them.
/// It lets those be whose first part is a subquery with a name of its own.
pub(super) fn keep_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::RecursiveQuery(mut query) => {
            query.static_term =
                Arc::new(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(query.static_term, FIRST_PART)?));
            Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// Counts how often its input is run. Before every round the engine makes the plan anew, so the count is shared.
#[derive(Debug, Clone)]
struct Counted {
    rounds: Arc<AtomicU64>,
    rounds_max: u64,
}

impl Around for Counted {
    const NAME: &'static str = "RecursionLimitExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: rounds={}", Self::NAME, self.rounds_max)
    }

    fn around(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed) + 1;
        if round <= self.rounds_max {
            return stream;
        }
        let schema = stream.schema();
        let ending = stream.map(move |batch| match batch {
            Ok(batch) if batch.num_rows() > 0 => Err(QueryError::RecursionTooDeep(round).wrap()),
            other => other,
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, ending))
    }
}
