//! The expressions that belong to a node itself: not those of the subqueries in it, where names mean something else, and
//! not those within a closed expression, such as an aggregate, where columns are meant and no aliases.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Visit, VisitMut, Visitor, VisitorMut};

use super::select::is_aggregate;

/// Shows all of them, from the inside out.
pub(super) fn each(node: &impl Visit, is_closed: fn(&Expr) -> bool, mut see: impl FnMut(&Expr)) {
    let see = |expr: &Expr, in_subquery: bool| {
        if !in_subquery {
            see(expr);
        }
    };
    let _ = node.visit(&mut Within { queries: 0, closed: 0, is_closed, see });
}

/// Gives all of them away to be changed, from the inside out. What one has become is not looked into.
pub(super) fn change(node: &mut impl VisitMut, is_closed: fn(&Expr) -> bool, mut change: impl FnMut(&mut Expr)) {
    change_deep(node, is_closed, |expr, in_subquery| {
        if !in_subquery {
            change(expr);
        }
    });
}

/// The same with those of subqueries, of which it says that they are.
pub(super) fn change_deep(node: &mut impl VisitMut, is_closed: fn(&Expr) -> bool, see: impl FnMut(&mut Expr, bool)) {
    let _ = VisitMut::visit(node, &mut Within { queries: 0, closed: 0, is_closed, see });
}

/// No expression is closed.
pub(super) fn open(_: &Expr) -> bool {
    false
}

/// A call that aggregates rows is closed.
pub(super) fn aggregates(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_aggregate(function))
}

struct Within<F> {
    /// How many subqueries it is in.
    queries: usize,
    /// How many closed expressions it is in.
    closed: usize,
    is_closed: fn(&Expr) -> bool,
    see: F,
}

impl<F: FnMut(&Expr, bool)> Visitor for Within<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.closed += usize::from((self.is_closed)(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if (self.is_closed)(expr) {
            self.closed -= 1;
        } else if self.closed == 0 {
            (self.see)(expr, self.queries > 0);
        }
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&mut Expr, bool)> VisitorMut for Within<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.closed += usize::from((self.is_closed)(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if (self.is_closed)(expr) {
            self.closed -= 1;
        } else if self.closed == 0 {
            (self.see)(expr, self.queries > 0);
        }
        ControlFlow::Continue(())
    }
}
