//! `IN (SELECT …)` with its third truth value.
//!
//! `x IN (s, …)` is TRUE where an x is found, else NULL where x or one of the s is NULL, else FALSE. As a condition of
//! its own the engine gets that right: `IN` keeps the rows where x is found, and `NOT IN` becomes a join that counts
//! NULLs. Anywhere else it only knows found and not found, and a NOT would take what is not known for not found. There
//! the rule spells it out in terms of EXISTS, which has no third value: x is found, or NULL if there is a NULL to blame.
//!
//! Runs when types are final, on conditions of WHERE and HAVING. What subqueries answer and where else they may stand is
//! settled before, in [`rows`] and [`places`]; names are behind, in [`apart`].

mod apart;
mod keys;
pub(crate) mod levels;
mod places;
mod rows;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema as _, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, not,
};
use datafusion::optimizer::AnalyzerRule;

use super::error::QueryError;

pub(crate) use apart::ApartColumns;
pub(crate) use places::PlacedSubqueries;

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct ThreeValuedIn;

impl AnalyzerRule for ThreeValuedIn {
    fn name(&self) -> &str {
        "three_valued_in"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Filter(filter) = plan else {
                return Ok(Transformed::no(plan));
            };
            let predicate = condition(filter.predicate, filter.input.schema(), Place::Conjunct)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        })
        .data()
    }
}

/// What the values are called that IN looks among.
const ITEM: &str = "ebla_item";

/// What becomes of a truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It must be TRUE for the row to stay.
    Conjunct,
    /// Being TRUE it may keep the row; NULL counts for as little as FALSE.
    Alternative,
    /// NULL and FALSE are different things.
    Exact,
    /// As before, and the engine takes no IN.
    Value,
}

fn condition(expr: Expr, schema: &DFSchema, place: Place) -> Result<Expr> {
    let exact = if place == Place::Value { Place::Value } else { Place::Exact };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let place = match (op, place) {
                (Operator::Or, Place::Conjunct) => Place::Alternative,
                (_, place) => place,
            };
            Ok(binary(condition(*left, schema, place)?, op, condition(*right, schema, place)?))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(mut test) => {
                test.negated = !test.negated;
                in_subquery(test, schema, place)
            }
            inner => Ok(not(condition(inner, schema, exact)?)),
        },
        Expr::InSubquery(test) => in_subquery(test, schema, place),
        other => other.map_children(|child| condition(child, schema, exact).map(Transformed::yes)).data(),
    }
}

fn in_subquery(test: InSubquery, schema: &DFSchema, place: Place) -> Result<Expr> {
    let correlated = !test.subquery.outer_ref_columns.is_empty();
    let left_to_the_engine = match place {
        Place::Conjunct if test.negated => !correlated && is_column(&test.expr),
        Place::Conjunct | Place::Alternative => !test.negated,
        Place::Exact | Place::Value => false,
    };
    if left_to_the_engine {
        return Ok(Expr::InSubquery(test));
    }
    let InSubquery { expr, subquery, negated } = test;
    if expr.contains_outer() || (correlated && cuts_rows(&subquery.subquery)?) {
        return Err(not_exists_instead());
    }
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let item = Expr::Column(Column::from((qualifier, field)));
    let mut blame = Vec::new();
    if field.is_nullable() {
        blame.push(Expr::Exists(Exists {
            subquery: narrowed(&subquery, item.clone().is_null(), Vec::new())?,
            negated: false,
        }));
    }
    if expr.nullable(schema)? {
        let any = Expr::Exists(Exists { subquery: subquery.clone(), negated: false });
        blame.push(binary(expr.as_ref().clone().is_null(), Operator::And, any));
    }
    let found = if correlated || !has_column(&expr) || place == Place::Value {
        let (expr, columns) = seen_from_inside(*expr, schema)?;
        // Under a name of its own, for the subquery's table may be named like the one that the expression is about.
        let item = item.alias(ITEM);
        let rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery)).project([item])?.build()?;
        let subquery = subquery.with_plan(Arc::new(rows));
        let found = binary(expr, Operator::Eq, Expr::Column(Column::new_unqualified(ITEM)));
        Expr::Exists(Exists { subquery: narrowed(&subquery, found, columns)?, negated: false })
    } else {
        Expr::InSubquery(InSubquery { expr, subquery, negated: false })
    };
    if negated && matches!(place, Place::Conjunct | Place::Alternative) {
        // TRUE only where nothing is found and there is nothing to blame.
        return Ok(blame.into_iter().map(not).fold(not(found), |all, next| binary(all, Operator::And, next)));
    }
    let value = match blame.into_iter().reduce(|any, next| binary(any, Operator::Or, next)) {
        Some(blame) => {
            let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
            binary(found, Operator::Or, binary(blame, Operator::And, unknown))
        }
        None => found,
    };
    Ok(if negated { not(value) } else { value })
}

/// The subquery with only the rows of a condition, which may read these columns of the outer query.
fn narrowed(subquery: &Subquery, condition: Expr, columns: Vec<Expr>) -> Result<Subquery> {
    let mut outer_ref_columns = subquery.outer_ref_columns.clone();
    outer_ref_columns.extend(columns);
    let filter = Filter::try_new(condition, Arc::clone(&subquery.subquery))?;
    Ok(Subquery { subquery: Arc::new(LogicalPlan::Filter(filter)), outer_ref_columns, spans: subquery.spans.clone() })
}

/// An expression of the outer query as the subquery reads it, and the columns it has.
fn seen_from_inside(expr: Expr, schema: &DFSchema) -> Result<(Expr, Vec<Expr>)> {
    let mut columns = Vec::new();
    let expr = expr
        .transform(|expr| {
            let Expr::Column(column) = expr else {
                return Ok(Transformed::no(expr));
            };
            let field = Arc::clone(schema.field_from_column(&column)?);
            let outer = Expr::OuterReferenceColumn(field, column);
            columns.push(outer.clone());
            Ok(Transformed::yes(outer))
        })
        .data()?;
    Ok((expr, columns))
}

/// A column, whatever becomes of the expression. What is computed may turn out to be a constant, and the join that counts
/// NULLs takes none for a key.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        Expr::TryCast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

fn has_column(expr: &Expr) -> bool {
    !expr.column_refs().is_empty()
}

/// Whether which rows there are depends on more than conditions on single rows, so that one more condition on top
/// cannot become one of a join.
fn cuts_rows(plan: &LogicalPlan) -> Result<bool> {
    let mut cuts = false;
    plan.apply(|node| {
        cuts |= matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Limit(_) | LogicalPlan::Window(_));
        Ok(if cuts { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(cuts)
}

fn not_exists_instead() -> datafusion::error::DataFusionError {
    QueryError::Unsupported(
        "NOT IN of a subquery of this form is not supported: write NOT EXISTS (SELECT … WHERE its column = the value)"
            .to_owned(),
    )
    .wrap()
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// A subquery that the engine cannot make a join of.
pub(crate) fn not_of_this_form() -> QueryError {
    QueryError::Unsupported(
        "A subquery of this form is not supported here: write it as a join, or put its value in by hand".to_owned(),
    )
}
