//! Joins for which NULL is a value like others.
//!
//! A hash join tells the scan of its other side, once it knows its own, which keys it can find at all, and the scan
//! reads no other rows. NULL is never among those keys. That is right where NULL equals nothing, and loses rows where
//! it counts: in `NOT IN`, which a single NULL empties, and in EXCEPT, INTERSECT and `<=>`, where NULL equals NULL.
//! [`keep_nulls`] takes what these joins would tell from them; the scan then reads all rows.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder};

/// The plan in which every join that counts NULLs gets to see them.
pub(super) fn keep_nulls(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        let counts_nulls = join.null_aware || join.null_equality() == NullEquality::NullEqualsNull;
        if !counts_nulls || join.dynamic_filter_expr().is_none() {
            return Ok(Transformed::no(node));
        }
        // The scan keeps its end of the filter, which nobody narrows any more: it lets all rows pass.
        Ok(Transformed::yes(HashJoinExecBuilder::from(join).reset_state().build_exec()?))
    })
    .data()
}
