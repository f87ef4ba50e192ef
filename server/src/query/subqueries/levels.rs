//! How far out a subquery may read.
//!
//! The engine makes a join of a subquery and the query that it stands in, so the columns that the subquery reads from
//! outside are that query's own. One of a query further out is in scope, and the engine would say that it cannot be
//! resolved.

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use crate::query::error::QueryError;
use crate::query::rewrite::without_marks;

/// Refuses a query with a subquery that reads columns further out than of the query around it.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    for_each_subquery(plan, &mut |_, outer| {
        for_each_subquery(&outer.subquery, &mut |node, inner| {
            for column in &inner.outer_ref_columns {
                if let Expr::OuterReferenceColumn(_, column) = column
                    && !node.inputs().iter().any(|input| input.schema().has_column(column))
                {
                    return Err(too_far(&column.flat_name()).wrap());
                }
            }
            Ok(())
        })?;
        check(&outer.subquery)
    })
}

/// Shows the subqueries in expressions of a plan with the nodes that they are in, but not those in subqueries.
fn for_each_subquery(plan: &LogicalPlan, see: &mut dyn FnMut(&LogicalPlan, &Subquery) -> Result<()>) -> Result<()> {
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. })
                | Expr::ScalarSubquery(subquery) = expr
                {
                    see(node, subquery)?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn too_far(column: &str) -> QueryError {
    let column = without_marks(column);
    QueryError::Unsupported(format!(
        "Column '{column}' is read by a subquery within a subquery: join the inner one with the one around it, so that \
         the column is of the query next to it"
    ))
}
