//! What correlated subqueries answer, in the forms that the engine makes right joins of.
//!
//! It gathers the subquery's rows by the columns that it compares with the outer query, so it wants one aggregate on top
//! of them and nothing below that that depends on which rows there are. So
//!
//! - a value without an aggregate is gathered here: the first in order where LIMIT 1 says so, else the only one, and more
//!   than one is error 1242 if a row asks for it;
//! - HAVING of a value becomes a part of the value, NULL where it does not hold;
//! - EXISTS of an aggregate without GROUP BY is true, with HAVING it is HAVING's truth; IN of one is a comparison;
//! - what a condition below compares with the outer query is a column ([`keys`]);
//! - what is left of LIMIT, window functions and aggregates below is refused. The engine would answer something else.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{array_agg, first_value};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    Expr, FetchType, Filter, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection, ScalarUDF, SkipType, Sort,
    Subquery, lit, when,
};

use super::{binary, keys, not_of_this_form};
use crate::query::error::{QueryError, Reason};
use crate::query::functions::support::{Args, Returns, Scalar};

/// What a gathered value is called.
const VALUE: &str = "ebla_value";

/// The item of a list that has one, NULL for none.
static ONLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let item = |types: &[DataType]| match types.first() {
        Some(DataType::List(item)) => item.data_type().clone(),
        _ => DataType::Null,
    };
    // Volatile, so that it stays where the rows are that ask for it: others may have several.
    Scalar::new("ebla_only", 1, 1, Returns::Of(item), the_only).volatile().into_udf()
});

/// An expression whose correlated subqueries answer what they should.
pub(super) fn settled(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarSubquery(subquery) if is_correlated(&subquery) => Ok(Transformed::yes(value(subquery)?)),
        Expr::Exists(test) if is_correlated(&test.subquery) => Ok(Transformed::yes(exists(test)?)),
        Expr::InSubquery(test) if is_correlated(&test.subquery) => Ok(Transformed::yes(is_in(test)?)),
        other => Ok(Transformed::no(other)),
    })
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

/// A subquery that stands for a value.
fn value(subquery: Subquery) -> Result<Expr> {
    let plan = subquery.subquery.as_ref().clone();
    let (plan, first) = match plan {
        LogicalPlan::Limit(limit) => {
            let rows = rows_at_least_one(&limit)?.ok_or_else(|| not_of_this_form().wrap())?;
            (limit.input.as_ref().clone(), rows == 1)
        }
        other => (other, false),
    };
    if let Some(aggregated) = aggregated(&plan)? {
        check(&aggregated, Top::Aggregate)?;
        return Ok(Expr::ScalarSubquery(with_plan(subquery, aggregated)?));
    }
    let (rows, item, order) = ordered(plan)?;
    check(&rows, Top::Rows)?;
    let gathered = |call: Expr| -> Result<LogicalPlan> {
        LogicalPlanBuilder::from(rows)
            .aggregate(Vec::<Expr>::new(), [call.alias(VALUE)])?
            .project([Expr::Column(Column::new_unqualified(VALUE))])?
            .build()
    };
    if first {
        let plan = gathered(first_value(item, order))?;
        return Ok(Expr::ScalarSubquery(with_plan(subquery, plan)?));
    }
    let plan = gathered(array_agg(item))?;
    Ok(ONLY.call(vec![Expr::ScalarSubquery(with_plan(subquery, plan)?)]))
}

/// EXISTS.
fn exists(test: Exists) -> Result<Expr> {
    let Exists { subquery, negated } = test;
    let mut plan = subquery.subquery.as_ref().clone();
    // What it does to rows, and in which order, is of no consequence to whether there are any.
    let mut below = plan.clone();
    loop {
        below = match below {
            LogicalPlan::Limit(limit) => {
                let Some(rows) = rows_at_least_one(&limit)? else {
                    return match (limit.get_skip_type()?, limit.get_fetch_type()?) {
                        (_, FetchType::Literal(Some(0))) => Ok(lit(negated)),
                        _ => Err(not_of_this_form().wrap()),
                    };
                };
                debug_assert!(rows > 0, "a limit of no rows was seen to");
                plan = limit.input.as_ref().clone();
                plan.clone()
            }
            LogicalPlan::Sort(sort) => {
                plan = sort.input.as_ref().clone();
                plan.clone()
            }
            LogicalPlan::Projection(projection) => projection.input.as_ref().clone(),
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref().clone(),
            other => break below_projections(subquery, plan, other, negated),
        };
    }
}

/// EXISTS of a plan that is this below its projections.
fn below_projections(subquery: Subquery, plan: LogicalPlan, below: LogicalPlan, negated: bool) -> Result<Expr> {
    match below {
        below if is_one_group(&below) => Ok(lit(!negated)),
        LogicalPlan::Filter(having) if is_one_group(&having.input) => {
            check_plain(&having.predicate)?;
            let truth = having.predicate.alias(VALUE);
            let plan = LogicalPlan::Projection(Projection::try_new(vec![truth], having.input)?);
            check(&plan, Top::Aggregate)?;
            let holds = Box::new(Expr::ScalarSubquery(with_plan(subquery, plan)?));
            Ok(if negated { Expr::IsNotTrue(holds) } else { Expr::IsTrue(holds) })
        }
        _ => {
            check(&plan, Top::Rows)?;
            Ok(Expr::Exists(Exists { subquery: with_plan(subquery, plan)?, negated }))
        }
    }
}

/// IN.
fn is_in(test: InSubquery) -> Result<Expr> {
    let InSubquery { expr, subquery, negated } = test;
    let plan = subquery.subquery.as_ref().clone();
    if matches!(&plan, LogicalPlan::Projection(projection) if is_one_group(&projection.input)) {
        check(&plan, Top::Aggregate)?;
        let subquery = with_plan(subquery, plan)?;
        let op = if negated { Operator::NotEq } else { Operator::Eq };
        return Ok(binary(*expr, op, Expr::ScalarSubquery(subquery)));
    }
    check(&plan, Top::Rows)?;
    let subquery = with_plan(subquery, plan)?;
    Ok(Expr::InSubquery(InSubquery { expr, subquery, negated }))
}

/// The plan of a value that is aggregated, without HAVING; `None` when it may have several rows.
fn aggregated(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = plan else {
        return Ok(None);
    };
    Ok(match projection.input.as_ref() {
        LogicalPlan::Filter(Filter { predicate, input, .. }) if is_one_group(input) => {
            check_plain(predicate)?;
            let [written] = projection.expr.as_slice() else {
                return Err(QueryError::columns(1).wrap());
            };
            let (qualifier, field) = projection.schema.qualified_field(0);
            let value = when(predicate.clone(), written.clone().unalias()).end()?;
            let value = value.alias_qualified(qualifier.cloned(), field.name());
            Some(LogicalPlan::Projection(Projection::try_new(vec![value], Arc::clone(input))?))
        }
        input if is_one_group(input) => Some(plan.clone()),
        _ => None,
    })
}

/// An aggregate without GROUP BY, which has one row whatever it is over.
fn is_one_group(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() && !aggregate.aggr_expr.is_empty())
}

/// Rows without the order they are in, the first column's value over them, and that order.
fn ordered(plan: LogicalPlan) -> Result<(LogicalPlan, Expr, Vec<datafusion::logical_expr::SortExpr>)> {
    let first_column = |plan: &LogicalPlan| Expr::Column(Column::from(plan.schema().qualified_field(0)));
    Ok(match plan {
        LogicalPlan::Sort(Sort { expr, input, .. }) => {
            let item = first_column(&input);
            (input.as_ref().clone(), item, expr)
        }
        LogicalPlan::Projection(projection) if matches!(projection.input.as_ref(), LogicalPlan::Sort(_)) => {
            match (projection.expr.as_slice(), projection.input.as_ref()) {
                ([item], LogicalPlan::Sort(sort)) => {
                    (sort.input.as_ref().clone(), item.clone().unalias(), sort.expr.clone())
                }
                _ => return Err(QueryError::columns(1).wrap()),
            }
        }
        other => {
            let item = first_column(&other);
            (other, item, Vec::new())
        }
    })
}

/// How many rows a LIMIT leaves, when it leaves the first ones and one at least.
fn rows_at_least_one(limit: &Limit) -> Result<Option<usize>> {
    Ok(match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(0), FetchType::Literal(Some(rows))) if rows > 0 => Some(rows),
        _ => None,
    })
}

/// What the engine expects on top of a subquery's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    /// An aggregate without GROUP BY below one projection.
    Aggregate,
    /// Nothing that it need know of.
    Rows,
}

/// Errors where which rows the outer query asks for would decide about more than these rows.
fn check(plan: &LogicalPlan, top: Top) -> Result<()> {
    let rest = match (top, plan) {
        (Top::Aggregate, LogicalPlan::Projection(projection)) => projection.input.inputs(),
        _ => vec![plan],
    };
    rest.into_iter().try_for_each(check_rows)
}

fn check_rows(plan: &LogicalPlan) -> Result<()> {
    let is_cut = match plan {
        LogicalPlan::Limit(_) | LogicalPlan::Window(_) => true,
        plan => is_one_group(plan),
    };
    if is_cut && plan.inputs().iter().any(|input| !input.all_out_ref_exprs().is_empty()) {
        return Err(not_of_this_form().wrap());
    }
    plan.inputs().into_iter().try_for_each(check_rows)
}

/// Errors when a HAVING that becomes a value has subqueries.
fn check_plain(having: &Expr) -> Result<()> {
    let subquery = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    };
    if having.exists(subquery)? { Err(not_of_this_form().wrap()) } else { Ok(()) }
}

fn with_plan(subquery: Subquery, plan: LogicalPlan) -> Result<Subquery> {
    Ok(subquery.with_plan(Arc::new(keys::in_columns(plan)?)))
}

fn the_only(args: &Args<'_>) -> Result<ArrayRef> {
    let lists = args.array(0)?;
    let Some(lists) = lists.as_list_opt::<i32>() else {
        return Err(QueryError::Internal("rows of a subquery were not gathered".to_owned()).wrap());
    };
    let mut places = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        places.push(match lists.value_length(row) {
            _ if lists.is_null(row) => None,
            0 => None,
            1 => Some(lists.value_offsets()[row].unsigned_abs()),
            _ => {
                let text = "Subquery returns more than 1 row: add LIMIT 1 or an aggregate such as max";
                return Err(QueryError::Refused(Reason::Rows, text.to_owned()).wrap());
            }
        });
    }
    Ok(take(lists.values(), &UInt32Array::from(places), None)?)
}
