//! ORDER BY columns of tables that an output hides by its alias.
//!
//! In `SELECT a + 1 AS a FROM t ORDER BY t.a` the name with its table is the table's column, and the planner would have
//! both under one name. So inside the engine the output is called something else; the user sees the alias all the same.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, SelectItem, SetExpr, Visit, VisitMut, Visitor, VisitorMut,
};

use super::Headers;
use super::select::is_aggregate;

/// Gives other names to the outputs of the outermost SELECT, which are all named, that hide columns of its ORDER BY.
pub(super) fn rename_hiding(query: &mut Query, headers: &mut Headers) {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), query.order_by.as_mut()) else {
        return;
    };
    let wanted = qualified_names(order_by);
    if wanted.is_empty() {
        return;
    }
    let mut taken: HashSet<String> = select.projection.iter().filter_map(alias_of).map(str::to_owned).collect();
    for item in &mut select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else {
            continue;
        };
        let hides = wanted.iter().any(|parts| {
            parts.last().is_some_and(|name| name.value.to_lowercase() == alias.value) && !is_column(expr, parts)
        });
        if !hides {
            continue;
        }
        let hidden_by = alias.value.clone();
        let mut number = 1;
        while !taken.insert(format!("{hidden_by}:{number}")) {
            number += 1;
        }
        alias.value = format!("{hidden_by}:{number}");
        headers.rename(&hidden_by, &alias.value);
        follow(order_by, &hidden_by, &alias.value);
    }
}

fn alias_of(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        _ => None,
    }
}

/// Whether an output is the column that ORDER BY names; with no table before it, it can be no other.
fn is_column(expr: &Expr, parts: &[Ident]) -> bool {
    let same = |a: &Ident, b: &Ident| a.value.eq_ignore_ascii_case(&b.value);
    match expr {
        Expr::Identifier(name) => parts.last().is_some_and(|last| same(name, last)),
        Expr::CompoundIdentifier(own) => own.iter().rev().zip(parts.iter().rev()).all(|(a, b)| same(a, b)),
        Expr::Nested(inner) => is_column(inner, parts),
        _ => false,
    }
}

/// The names of ORDER BY that say of which table they are, but not those of its subqueries.
fn qualified_names(order_by: &OrderBy) -> Vec<Vec<Ident>> {
    #[derive(Default)]
    struct Gatherer {
        depth: usize,
        names: Vec<Vec<Ident>>,
    }
    impl Visitor for Gatherer {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if self.depth == 0
                && let Expr::CompoundIdentifier(parts) = expr
                && parts.first().is_some_and(|first| !first.value.starts_with('@'))
            {
                self.names.push(parts.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut gatherer = Gatherer::default();
    let _ = order_by.visit(&mut gatherer);
    gatherer.names
}

/// What ORDER BY calls by the alias alone follows it to its new name; inside aggregates columns are meant.
fn follow(order_by: &mut OrderBy, from: &str, to: &str) {
    struct Follower<'a> {
        from: &'a str,
        to: &'a str,
        inside: usize,
    }
    impl VisitorMut for Follower<'_> {
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
            self.inside += usize::from(is_call(expr));
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            self.inside -= usize::from(is_call(expr));
            if self.inside == 0
                && let Expr::Identifier(name) = expr
                && name.value.to_lowercase() == self.from
            {
                *name = Ident::new(self.to);
            }
            ControlFlow::Continue(())
        }
    }
    fn is_call(expr: &Expr) -> bool {
        matches!(expr, Expr::Function(function) if is_aggregate(function))
    }
    if let OrderByKind::Expressions(exprs) = &mut order_by.kind {
        for order in exprs {
            let _ = VisitMut::visit(&mut order.expr, &mut Follower { from, to, inside: 0 });
        }
    }
}
