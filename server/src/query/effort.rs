//! Refuses plans that would keep the planner busy for minutes, before the first pass over them.
//!
//! A common table expression stands in the plan wherever it is named; how often that is, is counted in the syntax tree
//! already (`rewrite::expansion`). And the engine's passes look at the subqueries of an expression several times, at each level
//! again: what is nested in ten of them is looked at a hundred thousand times. So every node counts, and counts [`AGAIN`] times
//! as much for each subquery around it.

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::error::QueryError;

/// What a plan may come to: some seconds in a debug build.
pub(super) const EFFORT_MAX: u64 = 30_000;
/// How often a subquery is looked at where the query around it is looked at once.
const AGAIN: u64 = 3;

/// Refuses a plan that takes too long to plan.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut effort = 0;
    add(plan, 1, &mut effort)?;
    if effort > EFFORT_MAX { Err(too_much()) } else { Ok(()) }
}

/// Says that a query comes to more than that.
pub(super) fn too_much() -> QueryError {
    QueryError::Unsupported(
        "The query is too complex to be planned: subqueries contain each other too deep, or common table expressions \
         name each other too often; put an inner result into a table first"
            .to_owned(),
    )
}

/// Adds what a plan comes to, and goes no further when that is too much already.
fn add(plan: &LogicalPlan, each: u64, effort: &mut u64) -> Result<()> {
    *effort += each;
    if *effort > EFFORT_MAX {
        return Ok(());
    }
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            let inner = match expr {
                Expr::ScalarSubquery(subquery) => Some(subquery),
                Expr::Exists(exists) => Some(&exists.subquery),
                Expr::InSubquery(tested) => Some(&tested.subquery),
                Expr::SetComparison(compared) => Some(&compared.subquery),
                _ => None,
            };
            if let Some(subquery) = inner {
                add(&subquery.subquery, each * AGAIN, effort)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    plan.inputs().into_iter().try_for_each(|input| add(input, each, effort))
}
