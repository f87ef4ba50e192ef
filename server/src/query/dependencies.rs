//! What a plan knows of columns that determine others, where it is put right and where it is forgotten.
//!
//! The engine notes that the columns of GROUP BY determine all others, and keeps track of them up the plan. On the way
//! through a projection it leaves out expressions that are no columns without leaving their places empty
//! (`calc_func_dependencies_for_project` of DataFusion 54; its issue 23027), so what was said of one column is then said of
//! another.
//!
//! The planner believes it and adds to GROUP BY what its columns determine; then a SELECT may show these, as in MySQL. By
//! a column that determines nothing there would be more groups than were asked for. So [`TrueDependencies`] puts right what is known of each
//! relation of FROM, and nothing is believed of one that an outer join fills up with NULLs ([`part_padded`]): the NULLs of
//! the join and those of the relation are one group then, and determine nothing.
//!
//! Optimizer rules that believe it drop keys of ORDER BY and GROUP BY, and whole DISTINCTs. [`Forgotten`] stands before
//! each of these rules and takes all such knowledge out of the plan. What is lost by it is only that a key which is determined by
//! another one is compared as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{DFSchema, DFSchemaRef, FunctionalDependencies};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, Window};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use sqlparser::ast::{JoinOperator, TableFactor, TableWithJoins};

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

/// Puts the relations of an outer join that may be filled up with NULLs in parentheses of their own, where
/// [`TrueDependencies`] finds them.
pub(super) fn part_padded(table: &mut TableWithJoins) {
    for place in 0..table.joins.len() {
        let (left, right) = match &table.joins[place].join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        if left {
            part(&mut table.relation);
            table.joins[..place].iter_mut().for_each(|join| part(&mut join.relation));
        }
        if right {
            part(&mut table.joins[place].relation);
        }
    }
}

fn part(relation: &mut TableFactor) {
    if !matches!(relation, TableFactor::Table { .. } | TableFactor::Derived { lateral: false, .. }) {
        return;
    }
    let table = TableWithJoins { relation: relation.clone(), joins: Vec::new() };
    *relation = TableFactor::NestedJoin { table_with_joins: Box::new(table), alias: None };
}

fn is_parted(relation: &TableFactor) -> bool {
    matches!(relation, TableFactor::NestedJoin { table_with_joins, .. } if table_with_joins.joins.is_empty())
}

/// Plans the relations of FROM as the engine does, and puts right what it believes of their columns. One serves one
/// statement.
#[derive(Debug, Default)]
pub(super) struct TrueDependencies {
    /// The next relation is one that was handed back to the engine, which asks about it again before any other.
    handed_back: AtomicBool,
}

impl RelationPlanner for TrueDependencies {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if self.handed_back.swap(false, Ordering::Relaxed) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let padded = is_parted(&relation);
        self.handed_back.store(true, Ordering::Relaxed);
        let plan = context.plan(relation)?;
        let plan = if plan.schema().functional_dependencies().is_empty() {
            plan
        } else if padded {
            plan.transform_up(forget).data()?
        } else {
            plan.transform_up(put_right).data()?
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// The node with what is true of its columns, where that is so of its inputs.
fn put_right(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(Transformed::no(plan));
    }
    let LogicalPlan::Projection(Projection { expr, input, schema, .. }) = plan else {
        return plan.recompute_schema().map(Transformed::yes);
    };
    // No column of the input is in the place of what is computed.
    let places: Vec<usize> = expr.iter().map(|expr| place_of(expr, input.schema()).unwrap_or(usize::MAX)).collect();
    let known = input.schema().functional_dependencies().project_functional_dependencies(&places, places.len());
    let schema = DFSchema::clone(&schema).with_functional_dependencies(known)?;
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new_with_schema(expr, input, Arc::new(schema))?)))
}

/// The place in the input of a column that is shown as it is.
fn place_of(expr: &Expr, input: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => place_of(&alias.expr, input),
        Expr::Column(column) => input.maybe_index_of_column(column),
        _ => None,
    }
}
