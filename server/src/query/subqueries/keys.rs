//! What a gathered subquery compares with the outer query, as columns of its own.
//!
//! The engine gathers a subquery's rows by the columns that conditions set equal to something of the outer query, and
//! takes nothing else for one: `CAST(s AS DOUBLE) = outer`, which a comparison of an INT with a VARCHAR is, it leaves alone
//! and then has no plan. So below an aggregate the inner side becomes a column, computed right below the condition. A cast
//! of a column becomes one too: the engine would gather by what is cast, and several of these may be one when they are.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator};

use super::binary;

/// Where the columns belong, lest they be taken for something of the query's own.
const KEYS: &str = "ebla_keys";

/// A correlated subquery's plan whose aggregates are over rows that compare columns with the outer query.
pub(super) fn in_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    below(plan, false, &mut 0)
}

fn below(plan: LogicalPlan, gathered: bool, keys: &mut usize) -> Result<LogicalPlan> {
    let gathered = match &plan {
        // Its parts have places, and no room for one more column; the engine has no plan for these anyhow.
        LogicalPlan::Union(_) => return Ok(plan),
        LogicalPlan::Aggregate(_) => true,
        _ => gathered,
    };
    let before = *keys;
    let plan = plan.map_children(|input| below(input, gathered, keys).map(Transformed::yes)).data()?;
    let plan = if *keys > before { plan.recompute_schema()? } else { plan };
    match plan {
        LogicalPlan::Filter(filter) if gathered && filter.predicate.contains_outer() => keyed(filter, keys),
        other => Ok(other),
    }
}

/// A condition whose equalities with the outer query are of columns.
fn keyed(filter: Filter, keys: &mut usize) -> Result<LogicalPlan> {
    let mut computed = Vec::new();
    let mut column = |inner: Expr| {
        let name = format!("key_{keys}");
        *keys += 1;
        computed.push(inner.alias_qualified(Some(KEYS), &name));
        Expr::Column(Column::new(Some(KEYS), name))
    };
    let parts = split_conjunction_owned(filter.predicate).into_iter().map(|part| match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (*left, *right) {
            (inner, outer) if is_inner(&inner) && is_outer(&outer) => binary(column(inner), Operator::Eq, outer),
            (outer, inner) if is_inner(&inner) && is_outer(&outer) => binary(outer, Operator::Eq, column(inner)),
            (left, right) => binary(left, Operator::Eq, right),
        },
        other => other,
    });
    let parts: Vec<Expr> = parts.collect();
    if computed.is_empty() {
        return Ok(LogicalPlan::Filter(Filter::try_new(all(parts), filter.input)?));
    }
    let mut columns: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.extend(computed);
    let rows = LogicalPlanBuilder::from(filter.input).project(columns)?.build()?;
    Ok(LogicalPlan::Filter(Filter::try_new(all(parts), Arc::new(rows))?))
}

fn all(parts: Vec<Expr>) -> Expr {
    conjunction(parts).unwrap_or_else(|| datafusion::logical_expr::lit(true))
}

/// Whether an expression is computed from the subquery's columns alone.
fn is_inner(expr: &Expr) -> bool {
    let is_plain = !matches!(expr, Expr::Column(_)) && !expr.contains_outer() && !expr.is_volatile();
    is_plain && !expr.column_refs().is_empty() && !has_subquery(expr)
}

/// Whether it is computed from the outer query's alone.
fn is_outer(expr: &Expr) -> bool {
    expr.contains_outer() && expr.column_refs().is_empty() && !has_subquery(expr)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    };
    // What never errs says false as well.
    expr.exists(is_subquery).unwrap_or(true)
}
