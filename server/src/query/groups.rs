//! Groups of constants.
//!
//! The engine leaves out of GROUP BY what is the same for all rows of a group, and where that is everything it groups by
//! nothing. But without GROUP BY there is one row even of no rows, and with it there is none. [`ConstantGroups`] is that
//! rule, kept from taking the last column.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

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
