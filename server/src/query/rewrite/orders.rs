//! ORDER BY columns of tables that an output hides by its alias.
//!
//! In `SELECT a + 1 AS a FROM t ORDER BY t.a` the name with its table is the table's column, and the planner would have
//! both under one name. So inside the engine the output is called something else. The user sees the alias all the same,
//! and so does the query around a subquery in FROM or WITH: what its columns are called is said behind it.

use std::collections::HashSet;

use sqlparser::ast::{
    Cte, Expr, Ident, OrderBy, OrderByKind, Query, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
};

use super::headers::{self, Headers};
use super::within;

/// Gives other names to outputs of the whole query, which are all named, that hide columns of its ORDER BY. A query in
/// parentheses that is a part of a UNION or its like has an ORDER BY of its own.
pub(super) fn rename_hiding(query: &mut Query, headers: &mut Headers) {
    for (from, to) in renamed(query) {
        headers.rename(&from, &to);
    }
    rename_parts(&mut query.body, headers);
}

fn rename_parts(body: &mut SetExpr, headers: &mut Headers) {
    match body {
        SetExpr::Query(query) => rename_hiding(query, headers),
        SetExpr::SetOperation { left, right, .. } => {
            rename_parts(left, headers);
            // What the later parts call their columns counts for nothing.
            rename_parts(right, &mut Headers::default());
        }
        _ => {}
    }
}

/// The same for a subquery in an expression, whose column nobody names.
pub(super) fn rename_in_expr(expr: &mut Expr) {
    if let Expr::Subquery(query) | Expr::InSubquery { subquery: query, .. } | Expr::Exists { subquery: query, .. } =
        expr
    {
        renamed(query);
    }
}

/// The same for a subquery in FROM.
pub(super) fn rename_in_from(factor: &mut TableFactor) {
    if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor {
        rename_behind(subquery, alias);
    }
}

/// The same for a query of WITH.
pub(super) fn rename_in_with(cte: &mut Cte) {
    rename_behind(&mut cte.query, &mut cte.alias);
}

fn rename_behind(query: &mut Query, alias: &mut TableAlias) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    // Of a `*` nobody knows here how many columns it shows.
    let Some(names) = select.projection.iter().map(headers::name_of).collect::<Option<Vec<_>>>() else { return };
    if !renamed(query).is_empty() && alias.columns.is_empty() {
        let named = |name: String| TableAliasColumnDef { name: Ident::new(name), data_type: None };
        alias.columns = names.into_iter().map(named).collect();
    }
}

/// Renames outputs of a query that is one SELECT; answers what they were called and are now.
fn renamed(query: &mut Query) -> Vec<(String, String)> {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), query.order_by.as_mut()) else {
        return Vec::new();
    };
    let wanted = qualified_names(order_by);
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut taken: HashSet<String> =
        select.projection.iter().filter_map(headers::name_of).map(|name| name.to_lowercase()).collect();
    let mut renamed = Vec::new();
    for item in &mut select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else {
            continue;
        };
        let hidden_by = alias.value.to_lowercase();
        let hides = wanted.iter().any(|parts| {
            parts.last().is_some_and(|name| name.value.to_lowercase() == hidden_by) && !is_column(expr, parts)
        });
        if !hides {
            continue;
        }
        let mut number = 1;
        while !taken.insert(format!("{hidden_by}:{number}")) {
            number += 1;
        }
        alias.value = format!("{hidden_by}:{number}");
        follow(order_by, &hidden_by, &alias.value);
        renamed.push((hidden_by, alias.value.clone()));
    }
    renamed
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
    let mut names = Vec::new();
    within::each(order_by, within::open, |expr| {
        if let Expr::CompoundIdentifier(parts) = expr
            && parts.first().is_some_and(|first| !first.value.starts_with('@'))
        {
            names.push(parts.clone());
        }
    });
    names
}

/// What ORDER BY calls by the alias alone follows it to its new name; inside aggregates columns are meant.
fn follow(order_by: &mut OrderBy, from: &str, to: &str) {
    let OrderByKind::Expressions(exprs) = &mut order_by.kind else { return };
    for order in exprs {
        within::change(&mut order.expr, within::aggregates, |expr| {
            if let Expr::Identifier(name) = expr
                && name.value.to_lowercase() == from
            {
                *name = Ident::new(to);
            }
        });
    }
}
