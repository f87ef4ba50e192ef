//! GROUP BY without ONLY_FULL_GROUP_BY: a column that is neither grouped nor aggregated shows any value of its group.
//!
//! Only used when the session's `sql_mode` allows it and the query cannot be planned as it stands.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, GroupByExpr, Query, Select, SelectItem, VisitMut, VisitorMut};

use super::expr::call;
use super::select::is_aggregate;

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
        GroupByExpr::Expressions(exprs, _) if !exprs.is_empty() => exprs.clone(),
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
    struct Wrapper<'a> {
        grouped: &'a HashSet<String>,
        inside: usize,
    }
    impl VisitorMut for Wrapper<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.inside += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.inside -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            self.inside += usize::from(is_closed(expr));
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if is_closed(expr) {
                self.inside -= 1;
            } else if self.inside == 0
                && let Some(name) = column_name(expr)
                && !self.grouped.contains(&name)
            {
                *expr = call("any_value", vec![expr.clone()]);
            }
            ControlFlow::Continue(())
        }
    }
    let mut wrapper = Wrapper { grouped, inside: 0 };
    let _ = VisitMut::visit(expr, &mut wrapper);
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
