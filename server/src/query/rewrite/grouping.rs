//! GROUP BY without ONLY_FULL_GROUP_BY: a column that is neither grouped nor aggregated shows any value of its group.
//!
//! Only used when the session's `sql_mode` allows it and the query cannot be planned as it stands.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, GroupByExpr, Query, Select, SelectItem, VisitMut, VisitorMut};

use super::expr::call;
use super::select::is_aggregate;
use super::within;

/// Makes bare columns of grouped SELECTs `any_value(column)`.
pub(super) fn relax(query: &mut Query) {
    struct Relaxer;
    impl VisitorMut for Relaxer {
        type Break = ();

        fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            relax_select(select);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(query, &mut Relaxer);
}

fn relax_select(select: &mut Select) {
    let grouped: Vec<Expr> = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) if !exprs.is_empty() => exprs.iter().flat_map(keys).cloned().collect(),
        _ => return,
    };
    let names: HashSet<String> = grouped.iter().filter_map(column_name).collect();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.to_lowercase())),
            _ => continue,
        };
        let ordinal = (index + 1).to_string();
        let is_key = grouped.iter().any(|key| key == expr || key.to_string() == ordinal)
            || alias.is_some_and(|alias| names.contains(&alias));
        if !is_key {
            relax_expr(expr, &names);
        }
    }
    if let Some(having) = &mut select.having {
        relax_expr(having, &names);
    }
}

fn relax_expr(expr: &mut Expr, grouped: &HashSet<String>) {
    within::change(expr, is_closed, |expr| {
        if column_name(expr).is_some_and(|name| !grouped.contains(&name)) {
            *expr = call("any_value", vec![expr.clone()]);
        }
    });
}

/// What is grouped by, with ROLLUP and its like too.
fn keys(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => sets.iter().flatten().collect(),
        expr => vec![expr],
    }
}

/// Calls whose arguments need not be grouped.
fn is_closed(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_aggregate(function) || function.over.is_some())
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) if !ident.value.starts_with('@') => Some(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) if !parts.first()?.value.starts_with('@') => {
            parts.last().map(|last| last.value.to_lowercase())
        }
        _ => None,
    }
}
