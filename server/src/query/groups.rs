//! Groups: of constants, and over values that are never NULL.
//!
//! The engine leaves out of GROUP BY what is the same for all rows of a group, and where that is everything it groups by
//! nothing. But without GROUP BY there is one row even of no rows, and with it there is none. [`ConstantGroups`] is that
//! rule, kept from taking the last column.
//!
//! The engine compares what it knew of a group's input when it planned with what it knows when it runs, and refuses a plan
//! where these differ. They may in one thing: of a CASE it finds out in two ways that it is never NULL, and one of them
//! sees through casts. [`SameInput`] compares the rest in its place.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};

/// The engine's name of its rule.
const RULE: &str = "eliminate_group_by_constant";

/// The rule, if it is the one that leaves groups out, kept to where it is right; else as it is.
pub(super) fn keep_last(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == RULE { Arc::new(ConstantGroups(rule)) } else { rule }
}

#[derive(Debug)]
struct ConstantGroups(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for ConstantGroups {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Aggregate(aggregate) = &plan
            && aggregate.group_expr.iter().all(|expr| expr.column_refs().is_empty())
        {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

/// The check, a rule that changes nothing. It runs first, on the plan as it was made.
#[derive(Debug)]
pub(super) struct SameInput;

impl PhysicalOptimizerRule for SameInput {
    fn name(&self) -> &str {
        "SameInput"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.apply(|node| match node.downcast_ref::<AggregateExec>() {
            Some(group) if group.mode().input_mode() == AggregateInputMode::Raw && !has_same_input(group) => {
                let (planned, found) = (group.input_schema(), group.input().schema());
                Err(DataFusionError::Internal(format!("input of groups was planned as {planned:?} and is {found:?}")))
            }
            _ => Ok(TreeNodeRecursion::Continue),
        })?;
        Ok(plan)
    }
}

fn has_same_input(group: &AggregateExec) -> bool {
    let (planned, found) = (group.input_schema(), group.input().schema());
    planned.fields().len() == found.fields().len()
        && planned.fields().iter().zip(found.fields()).all(|(planned, found)| {
            planned.name() == found.name() && planned.data_type().equals_datatype(found.data_type())
        })
}
