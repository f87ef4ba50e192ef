//! Clauses of SELECT that MySQL reads in its own way.

use std::collections::{HashMap, HashSet};

use sqlparser::ast::{
    BinaryOperator, Expr, Function, GroupByExpr, GroupByWithModifier, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowExpr, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Value, Visit,
};

use super::expr::{null, number, truth};
use super::within;
use crate::query::error::QueryError;
use crate::query::operators::CELL;

/// Aggregates by name: a HAVING that uses one belongs to the groups, else to the rows.
const AGGREGATES: [&str; 44] = [
    "any_value",
    "approx_count_distinct",
    "approx_distinct",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "count_if",
    "covar_pop",
    "covar_samp",
    "every",
    "first_value",
    "group_concat",
    "grouping",
    "grouping_id",
    "last_value",
    "max",
    "max_by",
    "median",
    "min",
    "min_by",
    "multi_distinct_count",
    "multi_distinct_sum",
    "ndv",
    "percentile_approx",
    "percentile_cont",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "sum_distinct",
    "var_pop",
    "var_samp",
    "variance",
    "variance_pop",
    "variance_samp",
    "approx_percentile_cont",
];

/// Drops what the query's end says only to MySQL's locks, and limits that no table reaches.
pub(super) fn query_clauses(query: &mut Query) {
    query.locks.clear();
    query.limit_clause = query.limit_clause.take().map(countable);
    if let Some(order_by) = &query.order_by
        && matches!(&order_by.kind, OrderByKind::Expressions(exprs) if exprs.iter().all(|order| is_null(&order.expr)))
    {
        // ORDER BY NULL asks for no order.
        query.order_by = None;
    }
}

/// A LIMIT that the planner can count to. Its numbers end at BIGINT, those of MySQL at 2^64, and tools ask for all rows
/// by the last of these.
fn countable(clause: LimitClause) -> LimitClause {
    let beyond = |expr: &Expr| matches!(expr, Expr::Value(value) if is_beyond(&value.value));
    let far = |expr: &mut Expr| {
        if beyond(expr) {
            *expr = number(&i64::MAX.to_string());
        }
    };
    match clause {
        LimitClause::LimitOffset { limit, mut offset, limit_by } => {
            if let Some(offset) = &mut offset {
                far(&mut offset.value);
            }
            LimitClause::LimitOffset { limit: limit.filter(|limit| !beyond(limit)), offset, limit_by }
        }
        LimitClause::OffsetCommaLimit { mut offset, mut limit } => {
            far(&mut offset);
            far(&mut limit);
            LimitClause::OffsetCommaLimit { offset, limit }
        }
    }
}

/// Whether a number is one that MySQL counts to and BIGINT does not hold.
fn is_beyond(value: &Value) -> bool {
    matches!(value, Value::Number(text, _) if text.parse::<u64>().is_ok_and(|number| i64::try_from(number).is_err()))
}

/// Gives a name to every cell of VALUES with several rows, because the planner brings their types together by rules of
/// its own.
pub(super) fn name_cells(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) if values.rows.len() > 1 => {
            for cell in values.rows.iter_mut().flat_map(|row| row.iter_mut()) {
                let written = std::mem::replace(cell, null());
                let op = BinaryOperator::Custom(CELL.to_owned());
                *cell = Expr::BinaryOp { left: Box::new(written), op, right: Box::new(null()) };
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_cells(left);
            name_cells(right);
        }
        _ => {}
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, sqlparser::ast::Value::Null))
}

/// Before the expressions inside are rewritten. Subqueries in HAVING have columns of these names of their own.
pub(super) fn before(select: &mut Select, own: &HashSet<String>) -> Result<(), QueryError> {
    select.select_modifiers = None;
    select.optimizer_hints.clear();
    if select.into.is_some() {
        return Err(QueryError::Unsupported("SELECT ... INTO is not supported".to_owned()));
    }
    super::assignments::resolve(select);
    drop_dual(select);
    for table in &mut select.from {
        for join in &mut table.joins {
            join.join_operator = plain_join(std::mem::replace(&mut join.join_operator, JoinOperator::CrossApply));
        }
    }
    rollup(&mut select.group_by);
    places(&mut select.group_by, &select.projection)?;
    having(select, own);
    for window in &mut select.named_window {
        window.0.value = window.0.value.to_lowercase();
        if let NamedWindowExpr::WindowSpec(window) = &mut window.1 {
            super::frames::plain(window)?;
        }
    }
    Ok(())
}

/// After the expressions inside are rewritten: conditions take any value for its truth.
pub(super) fn after(select: &mut Select) {
    select.selection = select.selection.take().map(truth);
    select.having = select.having.take().map(truth);
    select.qualify = select.qualify.take().map(truth);
    for table in &mut select.from {
        for join in &mut table.joins {
            if let Some(JoinConstraint::On(condition)) = constraint_mut(&mut join.join_operator) {
                let on = std::mem::replace(condition, Expr::Tuple(Vec::new()));
                *condition = truth(on);
            }
        }
    }
}

/// FROM DUAL is no FROM.
fn drop_dual(select: &mut Select) {
    let is_dual = |factor: &TableFactor| match factor {
        TableFactor::Table { name, .. } => match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => {
                ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("dual")
            }
            _ => false,
        },
        _ => false,
    };
    if let [table] = select.from.as_slice()
        && table.joins.is_empty()
        && is_dual(&table.relation)
    {
        select.from.clear();
    }
}

/// The join without MySQL's extras: STRAIGHT_JOIN only fixes an order, CROSS and INNER mean the same.
pub(super) fn plain_join(operator: JoinOperator) -> JoinOperator {
    match operator {
        JoinOperator::StraightJoin(constraint) => inner(constraint),
        JoinOperator::CrossJoin(constraint) => inner(constraint),
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => inner(constraint),
        JoinOperator::Semi(constraint) => JoinOperator::LeftSemi(constraint),
        JoinOperator::Anti(constraint) => JoinOperator::LeftAnti(constraint),
        other => other,
    }
}

fn inner(constraint: JoinConstraint) -> JoinOperator {
    match constraint {
        JoinConstraint::None => JoinOperator::CrossJoin(JoinConstraint::None),
        constraint => JoinOperator::Inner(constraint),
    }
}

/// What a join says of the rows that belong together, if it may say anything.
pub(super) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint) => Some(constraint),
        _ => None,
    }
}

/// GROUP BY a, b WITH ROLLUP is GROUP BY ROLLUP (a, b).
fn rollup(group_by: &mut GroupByExpr) {
    if let GroupByExpr::Expressions(exprs, modifiers) = group_by {
        let modifiers = std::mem::take(modifiers);
        for modifier in modifiers {
            let sets = || exprs.iter().map(|expr| vec![expr.clone()]).collect();
            match modifier {
                GroupByWithModifier::Rollup => *exprs = vec![Expr::Rollup(sets())],
                GroupByWithModifier::Cube => *exprs = vec![Expr::Cube(sets())],
                GroupByWithModifier::GroupingSets(expr) => exprs.push(expr),
                GroupByWithModifier::Totals => {}
            }
        }
    }
}

/// Puts expressions of the select list in the place of their numbers inside of ROLLUP and its like. Outside of these the
/// planner does.
fn places(group_by: &mut GroupByExpr, projection: &[SelectItem]) -> Result<(), QueryError> {
    let GroupByExpr::Expressions(exprs, _) = group_by else { return Ok(()) };
    for expr in exprs {
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = expr else { continue };
        for key in sets.iter_mut().flatten() {
            let Expr::Value(value) = &key else { continue };
            let Value::Number(place, _) = &value.value else { continue };
            let item = place.parse::<usize>().ok().and_then(|place| projection.get(place.checked_sub(1)?));
            match item {
                Some(SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) => {
                    *key = item.clone();
                }
                // Behind a `*` nobody knows here which column it is.
                Some(_) => {}
                None => return Err(QueryError::no_place(place, "GROUP BY")),
            }
        }
    }
    Ok(())
}

/// In HAVING a select alias comes before a column of that name. Without groups and aggregates HAVING filters rows, so
/// it joins WHERE.
fn having(select: &mut Select, own: &HashSet<String>) {
    let Some(mut having) = select.having.take() else {
        return;
    };
    let aliases: HashMap<String, Expr> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => Some((plain_name(&alias.value), expr.clone())),
            _ => None,
        })
        .collect();
    replace_aliases(&mut having, &aliases, own);

    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
    };
    let aggregated = grouped || has_call(&having, is_aggregate) || has_call(&select.projection, is_aggregate);
    if aggregated {
        select.having = Some(having);
    } else if has_call(&having, |function| function.over.is_some()) {
        select.qualify = Some(match select.qualify.take() {
            Some(qualify) => and(qualify, having),
            None => having,
        });
    } else {
        select.selection = Some(match select.selection.take() {
            Some(selection) => and(selection, having),
            None => having,
        });
    }
}

/// An alias without the number that made it unique.
fn plain_name(alias: &str) -> String {
    let base = alias
        .rsplit_once(':')
        .filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty())
        .map_or(alias, |(base, _)| base);
    base.to_lowercase()
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(left))),
        op: BinaryOperator::And,
        right: Box::new(Expr::Nested(Box::new(right))),
    }
}

/// Puts expressions in the place of aliases, but not inside aggregates, where only columns are meant. In subqueries their
/// own columns come first.
fn replace_aliases(expr: &mut Expr, aliases: &HashMap<String, Expr>, own: &HashSet<String>) {
    within::change_deep(expr, within::aggregates, |expr, in_subquery| {
        if let Expr::Identifier(ident) = expr
            && let name = ident.value.to_lowercase()
            && !(in_subquery && own.contains(&name))
            && let Some(replacement) = aliases.get(&name)
        {
            *expr = Expr::Nested(Box::new(replacement.clone()));
        }
    });
}

/// Whether a call aggregates rows.
pub(super) fn is_aggregate(function: &Function) -> bool {
    function.over.is_none()
        && function
            .name
            .0
            .last()
            .and_then(ObjectNamePart::as_ident)
            .is_some_and(|name| is_aggregate_name(&name.value.to_lowercase()))
}

/// Whether an aggregate has this name, in lower case.
pub(super) fn is_aggregate_name(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Whether a call of this kind occurs, outside of subqueries.
fn has_call(node: &impl Visit, test: impl Fn(&Function) -> bool) -> bool {
    let mut found = false;
    within::each(node, within::open, |expr| found |= matches!(expr, Expr::Function(function) if test(function)));
    found
}
