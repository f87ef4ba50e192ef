//! Filters that find their columns.
//!
//! The engine's rule that moves filters down a plan, static ones and those that become known while a query runs, looks a
//! column up by its name in every operator on the way. Where two columns of an operator have one name, as behind a join
//! of tables with columns alike, it may find the wrong one, and rows are lost or kept that should not be. A semi join sends
//! a filter on its key to the other side by the name, too, whatever that is the name of there; and the parts of a union
//! may call their columns otherwise than the union. The join of NOT IN must not send one there at all: it would lose the
//! NULLs which NOT IN is to find.
//!
//! [`NamedFilters`] is that rule, kept to those parts of a plan in which a name tells a column. Above them filters stay
//! where they are.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::union::UnionExec;

/// What the names of the engine's rules begin with that move filters.
const RULES: &str = "FilterPushdown";

/// The rule, if it is one that moves filters, kept to where it is right; else as it is.
pub(super) fn keep_to_names(
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if rule.name().starts_with(RULES) { Arc::new(NamedFilters(rule)) } else { rule }
}

#[derive(Debug)]
struct NamedFilters(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for NamedFilters {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters start at the inputs of the topmost operator, so its own columns do not matter.
        if sends_by_name(plan.as_ref()) && plan.children().into_iter().all(names_tell) {
            return self.0.optimize(plan, config);
        }
        let children: Result<Vec<_>> =
            plan.children().into_iter().map(|child| self.optimize(Arc::clone(child), config)).collect();
        plan.with_new_children(children?)
    }
}

/// Whether in this part of a plan every operator has each name once, and its inputs mean the same by it.
fn names_tell(plan: &Arc<dyn ExecutionPlan>) -> bool {
    has_each_name_once(&plan.schema()) && sends_by_name(plan.as_ref()) && plan.children().into_iter().all(names_tell)
}

fn has_each_name_once(schema: &Schema) -> bool {
    let mut seen = HashSet::with_capacity(schema.fields().len());
    schema.fields().iter().all(|field| seen.insert(field.name().as_str()))
}

/// Whether a column's name means the same in an operator's inputs as in what it answers.
fn sends_by_name(plan: &dyn ExecutionPlan) -> bool {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && matches!(
            join.join_type(),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti
        )
    {
        let (left, right) = (join.left().schema(), join.right().schema());
        return !join.null_aware
            && join.on().iter().all(|(left_key, right_key)| {
                means_the_same(left_key, right_key, &right) && means_the_same(right_key, left_key, &left)
            });
    }
    if plan.is::<UnionExec>() {
        let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let own = names(&plan.schema());
        return plan.children().iter().all(|child| names(&child.schema()) == own);
    }
    true
}

/// Whether the other side of a join has, by the name of this key, its own key or nothing.
fn means_the_same(key: &Arc<dyn PhysicalExpr>, other: &Arc<dyn PhysicalExpr>, other_side: &Schema) -> bool {
    let name = |key: &Arc<dyn PhysicalExpr>| key.downcast_ref::<Column>().map(|column| column.name().to_owned());
    match name(key) {
        Some(key) => other_side.index_of(&key).is_err() || name(other).as_ref() == Some(&key),
        None => true,
    }
}
