//! Subqueries in places where the engine takes none: select lists, ORDER BY, GROUP BY, arguments of aggregates and window
//! functions, ON.
//!
//! The engine makes joins of EXISTS and IN below WHERE and HAVING, and of correlated values in select lists and there. So
//!
//! - in a select list EXISTS becomes a count of rows compared with 0, and IN is spelled out by EXISTS;
//! - in ON of an inner join a condition with a subquery moves behind the join, where it means the same;
//! - everywhere else a subquery's value is a column that the input is given, and that is gone above.
//!
//! What a subquery answers is settled before, in [`super::rows`]. Runs when types are final.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Sort, Subquery,
    Window, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::{Place, binary, condition, keys, not_of_this_form, rows};
use crate::query::error::QueryError;

/// What the columns are called that hold values of subqueries.
const COLUMN: &str = "ebla_subquery";
/// What a count of a subquery's rows is called.
const COUNT: &str = "ebla_count";

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct PlacedSubqueries;

impl AnalyzerRule for PlacedSubqueries {
    fn name(&self) -> &str {
        "placed_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            if !has_subquery(&plan)? {
                return Ok(Transformed::no(plan));
            }
            let names = NamePreserver::new(&plan);
            let plan = plan
                .map_expressions(|expr| {
                    let name = names.save(&expr);
                    Ok(rows::settled(expr)?.update_data(|expr| name.restore(expr)))
                })?
                .data;
            placed(plan)?.recompute_schema().map(Transformed::yes)
        })
        .data()
    }
}

fn placed(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let schema = Arc::clone(projection.input.schema());
            let names = NamePreserver::new_for_projection();
            let values = projection.expr.into_iter().map(|expr| {
                let name = names.save(&expr);
                Ok(name.restore(value(expr, &schema)?))
            });
            Ok(LogicalPlan::Projection(Projection::try_new(values.collect::<Result<_>>()?, projection.input)?))
        }
        LogicalPlan::Sort(sort) => in_order(sort),
        LogicalPlan::Aggregate(aggregate) => in_groups(aggregate),
        LogicalPlan::Window(window) => in_windows(window),
        LogicalPlan::Join(join) => in_condition(join),
        other => Ok(other),
    }
}

/// An expression of a select list.
fn value(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = condition(expr, schema, Place::Value)?;
    expr.transform_up(|expr| match expr {
        Expr::Exists(test) => Ok(Transformed::yes(counted(test)?)),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// EXISTS as a count that is not 0.
fn counted(test: Exists) -> Result<Expr> {
    let Exists { subquery: Subquery { subquery, outer_ref_columns, spans }, negated } = test;
    let rows = LogicalPlanBuilder::from(subquery);
    // One row is as good as many; below a correlated one the engine knows no limit.
    let rows = if outer_ref_columns.is_empty() { rows.limit(0, Some(1))? } else { rows };
    let counted = rows
        .aggregate(Vec::<Expr>::new(), [count(lit(1i64)).alias(COUNT)])?
        .project([Expr::Column(Column::new_unqualified(COUNT))])?
        .build()?;
    let counted = if outer_ref_columns.is_empty() { counted } else { keys::in_columns(counted)? };
    let number = Expr::ScalarSubquery(Subquery { subquery: Arc::new(counted), outer_ref_columns, spans });
    Ok(binary(number, if negated { Operator::Eq } else { Operator::Gt }, lit(0i64)))
}

/// ORDER BY.
fn in_order(sort: Sort) -> Result<LogicalPlan> {
    let mut columns = Columns::default();
    let mut order = Vec::with_capacity(sort.expr.len());
    for mut by in sort.expr {
        by.expr = columns.take(by.expr)?;
        order.push(by);
    }
    let schema = Arc::clone(sort.input.schema());
    let input = columns.beside(sort.input)?;
    only(LogicalPlan::Sort(Sort { expr: order, input, fetch: sort.fetch }), &schema)
}

/// GROUP BY, and arguments of aggregates.
fn in_groups(aggregate: Aggregate) -> Result<LogicalPlan> {
    let names = NamePreserver::new_for_projection();
    let mut columns = Columns::default();
    let mut group = Vec::with_capacity(aggregate.group_expr.len());
    for expr in aggregate.group_expr {
        if matches!(expr, Expr::GroupingSet(_)) && has_unit(&expr)? {
            return Err(not_of_this_form().wrap());
        }
        let name = names.save(&expr);
        group.push(name.restore(columns.take(expr)?));
    }
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for expr in aggregate.aggr_expr {
        let name = names.save(&expr);
        calls.push(name.restore(columns.take(expr)?));
    }
    let input = columns.beside(aggregate.input)?;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group, calls)?))
}

/// Arguments, partitions and orders of window functions.
fn in_windows(window: Window) -> Result<LogicalPlan> {
    let names = NamePreserver::new_for_projection();
    let mut columns = Columns::default();
    let mut calls = Vec::with_capacity(window.window_expr.len());
    for expr in window.window_expr {
        let name = names.save(&expr);
        calls.push(name.restore(columns.take(expr)?));
    }
    let input = columns.beside(window.input)?;
    only(LogicalPlan::Window(Window::try_new(calls, input)?), &window.schema)
}

/// ON.
fn in_condition(mut join: Join) -> Result<LogicalPlan> {
    let Some(filter) = join.filter.take() else {
        return Ok(LogicalPlan::Join(join));
    };
    let mut kept = Vec::new();
    let mut behind = Vec::new();
    let (mut left, mut right) = (Columns::default(), Columns { first: usize::MAX / 2, ..Columns::default() });
    let schema = Arc::clone(&join.schema);
    for part in split_conjunction_owned(filter) {
        if !has_unit(&part)? {
            kept.push(part);
        } else if join.join_type == JoinType::Inner {
            behind.push(part);
        } else {
            let part = part.transform_down(|expr| {
                if !is_unit(&expr) {
                    return Ok(Transformed::no(expr));
                }
                let side = match reads(&expr) {
                    read if read.iter().all(|column| join.left.schema().has_column(column)) => &mut left,
                    read if read.iter().all(|column| join.right.schema().has_column(column)) => &mut right,
                    _ => return Err(of_both_sides().wrap()),
                };
                Ok(Transformed::new(side.put(expr), true, TreeNodeRecursion::Jump))
            });
            kept.push(part.data()?);
        }
    }
    join.filter = conjunction(kept);
    if let Some(behind) = conjunction(behind) {
        let joined = Arc::new(LogicalPlan::Join(join));
        return Ok(LogicalPlan::Filter(Filter::try_new(behind, joined)?));
    }
    join.left = left.beside(join.left)?;
    join.right = right.beside(join.right)?;
    only(LogicalPlan::Join(join).recompute_schema()?, &schema)
}

/// Values of subqueries on their way to be columns.
#[derive(Default)]
struct Columns {
    values: Vec<Expr>,
    /// The first one's number, lest two sides of a join have one name.
    first: usize,
}

impl Columns {
    /// The expression with columns in the place of its subqueries.
    fn take(&mut self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| match is_unit(&expr) {
            true => Ok(Transformed::new(self.put(expr), true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(expr)),
        })
        .data()
    }

    fn put(&mut self, value: Expr) -> Expr {
        let name = format!("{COLUMN}_{}", self.first + self.values.len());
        self.values.push(value.alias(&name));
        Expr::Column(Column::new_unqualified(name))
    }

    /// The input with these beside its own columns.
    fn beside(self, input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        if self.values.is_empty() {
            return Ok(input);
        }
        let schema = Arc::clone(input.schema());
        let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        for expr in self.values {
            columns.push(value(expr, &schema)?);
        }
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)))
    }
}

/// These columns of a plan and no others.
fn only(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// Whether an expression is a subquery that the engine takes in few places. A value that does not depend on the row it
/// takes everywhere.
fn is_unit(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
        Expr::Exists(_) | Expr::InSubquery(_) => true,
        _ => false,
    }
}

fn has_unit(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(is_unit(expr)))
}

/// The columns around a subquery that it reads.
fn reads(unit: &Expr) -> Vec<Column> {
    let (beside, subquery) = match unit {
        Expr::ScalarSubquery(subquery) => (None, subquery),
        Expr::Exists(Exists { subquery, .. }) => (None, subquery),
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => (Some(expr), subquery),
        _ => return Vec::new(),
    };
    let outer = subquery.outer_ref_columns.iter().filter_map(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
        _ => None,
    });
    let beside = beside.into_iter().flat_map(|expr| expr.column_refs().into_iter().cloned().collect::<Vec<_>>());
    outer.chain(beside).collect()
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || has_unit(expr)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn of_both_sides() -> QueryError {
    QueryError::Unsupported(
        "A subquery in ON of an outer join may depend on columns of one of its sides only: compute what it needs of the \
         other in a subquery of FROM"
            .to_owned(),
    )
}
