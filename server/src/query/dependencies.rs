//! What a plan knows of columns that determine others, and why it is forgotten.
//!
//! The engine notes that the columns of GROUP BY determine all others, and keeps track of them up the plan. On the way
//! through a projection it leaves out expressions that are no columns without leaving their places empty
//! (`calc_func_dependencies_for_project` of DataFusion 54; its issue 23027), so what was said of one column is then said of
//! another. Rules that believe it drop keys of ORDER BY and GROUP BY, and whole DISTINCTs. [`Forgotten`] stands before
//! each of these rules and takes all such knowledge out of the plan. What is lost by it is only that a key which is determined by
//! another one is compared as well.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, FunctionalDependencies};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, LogicalPlan, Projection, Window};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The engine's rules that believe it.
const BELIEVERS: [&str; 3] = ["eliminate_duplicated_expr", "replace_distinct_aggregate", "optimize_projections"];

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// A rule, with one before it that takes away what it must not believe.
pub(super) fn forget_before(rule: Rule) -> Vec<Rule> {
    match BELIEVERS.contains(&rule.name()) {
        true => vec![Arc::new(Forgotten), rule],
        false => vec![rule],
    }
}

#[derive(Debug)]
struct Forgotten;

impl OptimizerRule for Forgotten {
    fn name(&self) -> &str {
        "forget_dependencies"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(forget)
    }
}

/// The node without what it knows; its inputs have forgotten theirs.
fn forget(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(Transformed::no(plan));
    }
    Ok(Transformed::yes(match plan {
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
            LogicalPlan::Projection(Projection::try_new_with_schema(expr, input, plain(&schema)?)?)
        }
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) => {
            LogicalPlan::Aggregate(Aggregate::try_new_with_schema(input, group_expr, aggr_expr, plain(&schema)?)?)
        }
        LogicalPlan::Window(Window { input, window_expr, schema, .. }) => {
            LogicalPlan::Window(Window::try_new_with_schema(window_expr, input, plain(&schema)?)?)
        }
        other => other.recompute_schema()?,
    }))
}

fn plain(schema: &DFSchemaRef) -> Result<DFSchemaRef> {
    let schema = DFSchema::clone(schema).with_functional_dependencies(FunctionalDependencies::empty())?;
    Ok(Arc::new(schema))
}
