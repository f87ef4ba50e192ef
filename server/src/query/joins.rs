//! What joins lose on the way to a plan that runs: rows with NULL, and marks.
//!
//! A hash join tells the scan of its other side, once it knows its own, which keys it can find at all, and the scan
//! reads no other rows. NULL is never among those keys. That is right where NULL equals nothing, and loses rows where
//! it counts: in `NOT IN`, which a single NULL empties, and in EXCEPT, INTERSECT and `<=>`, where NULL equals NULL.
//! [`keep_nulls`] takes what these joins would tell from them; the scan then reads all rows.
//!
//! A condition on the key of one side of a join holds for the rows of the other side, too, where keys are equal, and the
//! engine filters both sides. In `x.b <> 1 AND x.b NOT IN (SELECT t.b …)` that would take the NULLs from t which make it
//! NULL for every row. [`keep_not_in`] moves conditions to the left side of such joins and nowhere else.
//!
//! A join for EXISTS or IN answers the columns of one of its sides, and a mark where they stand within OR, NOT or CASE. The
//! engine, when it moves a projection below a join, takes the first columns for those of the left side whatever the
//! join is, and projects the wrong ones. [`KeepSides`] gives these joins a projection of their own, of all their columns;
//! below a join that has one nothing is moved. Of one that has a projection already the engine shifts the columns when it
//! lets the inputs compute parts of the join's condition, also where they are the right side's alone; so that is done first.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Filter, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec};

/// The engine's name of its rule that moves filters.
const FILTER_RULE: &str = "push_down_filter";

/// The rule, if it is the one that moves filters, kept from the right side of NOT IN; else as it is.
pub(super) fn keep_not_in(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == FILTER_RULE { Arc::new(WholeNotIn(rule)) } else { rule }
}

#[derive(Debug)]
struct WholeNotIn(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WholeNotIn {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_over_not_in(&plan) {
            return self.0.rewrite(plan, config);
        }
        // The join answers columns of its left side alone, so all conditions are on these.
        let (mut plan, mut conditions) = (plan, Vec::new());
        while let LogicalPlan::Filter(filter) = plan {
            conditions.push(filter.predicate);
            plan = Arc::unwrap_or_clone(filter.input);
        }
        conditions.reverse();
        match (plan, conjunction(conditions)) {
            (LogicalPlan::Join(mut join), Some(condition)) => {
                join.left = Arc::new(LogicalPlan::Filter(Filter::try_new(condition, join.left)?));
                Ok(Transformed::yes(LogicalPlan::Join(join)))
            }
            (plan, _) => Ok(Transformed::no(plan)),
        }
    }
}

/// Whether a plan is a join for NOT IN, perhaps below filters.
fn is_over_not_in(mut plan: &LogicalPlan) -> bool {
    while let LogicalPlan::Filter(filter) = plan {
        plan = &filter.input;
    }
    matches!(plan, LogicalPlan::Join(join) if join.null_aware)
}

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

/// The rule that keeps the columns of one side, and marks, where they are.
#[derive(Debug)]
pub(super) struct KeepSides;

impl PhysicalOptimizerRule for KeepSides {
    fn name(&self) -> &str {
        "KeepSides"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let all = Some((0..node.schema().fields().len()).collect());
            if let Some(join) = node.downcast_ref::<HashJoinExec>()
                && is_one_sided(join.join_type())
                && !join.contains_projection()
            {
                return Ok(Transformed::yes(Arc::new(join.with_projection(all)?)));
            }
            if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
                && is_one_sided(join.join_type())
                && !join.contains_projection()
            {
                let node = ProjectionPushdown::new().optimize(Arc::clone(&node), config)?;
                return match node.downcast_ref::<NestedLoopJoinExec>() {
                    Some(join) if !join.contains_projection() => {
                        Ok(Transformed::yes(Arc::new(join.with_projection(all)?)))
                    }
                    _ => Ok(Transformed::yes(node)),
                };
            }
            Ok(Transformed::no(node))
        })
        .data()
    }
}

/// Whether a join's columns are not those of its left side and then those of its right side. Where they are the left
/// side's alone the engine sees by itself that nothing is left of the right one.
fn is_one_sided(join_type: &JoinType) -> bool {
    matches!(join_type, JoinType::LeftMark | JoinType::RightMark | JoinType::RightSemi | JoinType::RightAnti)
}
