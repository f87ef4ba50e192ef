//! `@v := expr` inside a SELECT list, as MariaDB's ODBC driver sends it.
//!
//! The items of a list are evaluated from left to right, so a later `@v` of the same row means what an earlier item
//! assigned. Here the later `@v` is replaced by that item's expression. This is exact where every branch of the item
//! assigns (which is what is sent); the variable of the session is left alone.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Select, SelectItem, VisitMut, VisitorMut};

/// Resolves the assignments of a SELECT list.
pub(super) fn resolve(select: &mut Select) {
    let mut known: HashMap<String, Expr> = HashMap::new();
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        let mut resolver = Resolver { known: &known, assigned: Vec::new() };
        let _ = VisitMut::visit(expr, &mut resolver);
        let assigned = resolver.assigned;
        for variable in assigned {
            known.insert(variable, Expr::Nested(Box::new(without_casts(expr).clone())));
        }
    }
}

struct Resolver<'a> {
    known: &'a HashMap<String, Expr>,
    assigned: Vec<String>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } = expr {
            if let Some(variable) = variable(left) {
                self.assigned.push(variable);
                let value = std::mem::replace(right.as_mut(), Expr::Tuple(Vec::new()));
                *expr = Expr::Nested(Box::new(value));
            }
        } else if let Some(name) = variable(expr)
            && let Some(value) = self.known.get(&name)
        {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}

fn variable(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) if ident.value.starts_with('@') && !ident.value.starts_with("@@") => {
            Some(ident.value.to_lowercase())
        }
        _ => None,
    }
}

/// What was assigned inside `CAST(... AS t)` is the inner value.
fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => without_casts(expr),
        other => other,
    }
}
