//! Sorts that the engine takes away and that are needed all the same.
//!
//! The engine's own rule moves sorts down, through window functions too when the order that a window asks for is no less
//! strict than that of the sort. To a window whose columns a filter fixes (`OVER (PARTITION BY a) … WHERE a = 1`) it
//! compares wrongly: the window then asks for nothing, every order counts as the stricter one, and the sort is gone. The
//! engine's last check would refuse the plan. [`KeepOrders`] runs right behind that rule and gives every operator the
//! order that it asks for and does not get. It never takes a sort away and never changes one that is there.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_expr::{LexOrdering, LexRequirement};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};

/// The rule.
#[derive(Debug)]
pub(super) struct KeepOrders;

impl PhysicalOptimizerRule for KeepOrders {
    fn name(&self) -> &str {
        "KeepOrders"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let mut missing = false;
            let mut children = Vec::with_capacity(node.children().len());
            for (child, wanted) in node.children().into_iter().zip(node.required_input_ordering()) {
                children.push(match wanted.map(|wanted| wanted.into_single()) {
                    Some(order) if !child.equivalence_properties().ordering_satisfy_requirement(order.clone())? => {
                        missing = true;
                        sorted(Arc::clone(child), order)
                    }
                    _ => Arc::clone(child),
                });
            }
            Ok(if missing { Transformed::yes(node.with_new_children(children)?) } else { Transformed::no(node) })
        })
        .data()
    }
}

/// The plan with its rows in order, within each of its partitions.
fn sorted(plan: Arc<dyn ExecutionPlan>, order: LexRequirement) -> Arc<dyn ExecutionPlan> {
    let several = plan.output_partitioning().partition_count() > 1;
    Arc::new(SortExec::new(LexOrdering::from(order), plan).with_preserve_partitioning(several))
}
