//! `WITH RECURSIVE`: the columns of a query that reads itself.
//!
//! The planner takes them, names and types alike, from the first SELECT, and insists that every other SELECT has the very
//! same. So `t (a, b) AS (SELECT x, y …)` becomes `t AS (SELECT x AS a, y AS b …)`, and each column is passed through
//! [`PLAIN`], which takes from it what it has from a table: where it lies in files, how it was spelled.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Expr, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor, Visit, Visitor,
};

use super::expr::call;

/// The function that answers its argument and forgets where it comes from.
pub(crate) const PLAIN: &str = "ebla_plain";

/// Spells out the columns of the recursive queries that a query defines.
pub(super) fn spell_out(query: &mut Query) {
    let Some(with) = query.with.as_mut().filter(|with| with.recursive) else {
        return;
    };
    for cte in with.cte_tables.iter_mut().filter(|cte| reads_itself(cte)) {
        let names: Vec<Ident> = cte.alias.columns.iter().map(|column| column.name.clone()).collect();
        let all_named = name_columns(&mut cte.query.body, &names);
        if all_named {
            cte.alias.columns.clear();
        }
        make_plain(&mut cte.query.body);
    }
}

fn reads_itself(cte: &Cte) -> bool {
    struct Finder<'a>(&'a str);
    impl Visitor for Finder<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { name, .. } => match name.0.as_slice() {
                    [ObjectNamePart::Identifier(ident)] if ident.value == self.0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                },
                _ => ControlFlow::Continue(()),
            }
        }
    }
    cte.query.visit(&mut Finder(&cte.alias.name.value)).is_break()
}

/// Gives the first SELECT its aliases; `false` when that SELECT is not one column a name.
fn name_columns(body: &mut SetExpr, names: &[Ident]) -> bool {
    match body {
        SetExpr::SetOperation { left, .. } => name_columns(left, names),
        SetExpr::Query(query) => name_columns(&mut query.body, names),
        SetExpr::Select(select) => {
            let plain =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            if names.len() != select.projection.len() || !select.projection.iter().all(plain) {
                return false;
            }
            for (item, name) in select.projection.iter_mut().zip(names) {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name.clone() };
                }
            }
            true
        }
        _ => false,
    }
}

fn make_plain(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            make_plain(left);
            make_plain(right);
        }
        SetExpr::Query(query) => make_plain(&mut query.body),
        SetExpr::Select(select) => plain_columns(select),
        _ => {}
    }
}

fn plain_columns(select: &mut Select) {
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let alias = match &*expr {
                    Expr::Identifier(ident) => ident.clone(),
                    Expr::CompoundIdentifier(parts) => match parts.last() {
                        Some(last) => last.clone(),
                        None => continue,
                    },
                    other => Ident::new(other.to_string()),
                };
                *item = SelectItem::ExprWithAlias { expr: call(PLAIN, vec![expr.clone()]), alias };
            }
            SelectItem::ExprWithAlias { expr, .. } => *expr = call(PLAIN, vec![expr.clone()]),
            _ => {}
        }
    }
}
