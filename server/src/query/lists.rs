//! Conditions on one value that are not taken together.
//!
//! The engine makes one list of two: `a IN (…) AND a NOT IN (…)` becomes one IN of what is left of the first. It takes
//! items for different that are not the same expression, and for equal whatever is spelled alike, NULL as well; and what
//! is left empty it calls FALSE, or TRUE of `a NOT IN (…) OR a NOT IN (…)`, even where a is NULL. Equalities joined by OR
//! are lists to it, too.
//!
//! [`ListsApart`] is that rule, given conditions whose tests of one value are hidden from each other, each behind a name,
//! which [`apart`] gives and [`together`] takes. Only what holds for any value stays one list: `a = 1 OR a IN (…)`, and
//! `a NOT IN (…) AND a NOT IN (…)`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Alias, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The engine's name of its rule.
const RULE: &str = "simplify_expressions";
/// The name that a test hides behind.
const TEST: &str = "ebla_test";

/// The rule, if it is the one that makes lists of lists, kept to where it is right; else as it is.
pub(super) fn keep_apart(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == RULE { Arc::new(ListsApart(rule)) } else { rule }
}

#[derive(Debug)]
struct ListsApart(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for ListsApart {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        let hide = |expr: Expr| {
            let name = names.save(&expr);
            Ok(apart(expr)?.update_data(|expr| name.restore(expr)))
        };
        let hidden = plan.map_expressions(|expr| match expr {
            // A set of groups takes no name; its members do.
            Expr::GroupingSet(_) => expr.map_children(&hide),
            expr => hide(expr),
        })?;
        let simplified = self.0.rewrite(hidden.data, config)?;
        if !hidden.transformed {
            return Ok(simplified);
        }
        // The rule may have put a projection on top.
        let shown = simplified.data.transform_down(|plan| plan.map_expressions(together)).data()?;
        Ok(Transformed::yes(shown))
    }
}

/// The expression with its tests of one value hidden from each other.
pub(super) fn apart(expr: Expr) -> Result<Transformed<Expr>> {
    if !tests_one_value_twice(&expr)? {
        return Ok(Transformed::no(expr));
    }
    expr.transform_up(|expr| {
        if let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) = &expr
            && let (Some(first), Some(second)) = (hidden(left), hidden(right))
            && makes_one_list(first, *op, second)
        {
            let both = BinaryExpr::new(Box::new(first.clone()), *op, Box::new(second.clone()));
            return Ok(Transformed::yes(Expr::BinaryExpr(both).alias(TEST)));
        }
        Ok(if tested(&expr).is_some() { Transformed::yes(expr.alias(TEST)) } else { Transformed::no(expr) })
    })
}

/// The expression with all tests in sight again.
pub(super) fn together(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::Alias(Alias { expr, relation: None, name, .. }) if name == TEST => Transformed::yes(*expr),
            Expr::Not(inner) => match *inner {
                Expr::InList(InList { expr, list, negated }) => {
                    Transformed::yes(Expr::InList(InList::new(expr, list, !negated)))
                }
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left, Operator::NotEq, right)))
                }
                inner => Transformed::no(Expr::Not(Box::new(inner))),
            },
            other => Transformed::no(other),
        })
    })
}

/// What a test tests, and whether it is NOT IN. An equality with a constant is a list of one item to the engine, which also
/// takes casts from values where it can.
fn tested(expr: &Expr) -> Option<(&Expr, bool)> {
    match expr {
        Expr::InList(list) => Some((without_casts(&list.expr), list.negated)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (left.any_column_refs(), right.any_column_refs()) {
                (true, false) => Some((without_casts(left), false)),
                (false, true) => Some((without_casts(right), false)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn without_casts(mut expr: &Expr) -> &Expr {
    loop {
        expr = match expr {
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            other => return other,
        };
    }
}

fn tests_one_value_twice(expr: &Expr) -> Result<bool> {
    let mut seen = HashSet::new();
    let mut twice = false;
    expr.apply(|expr| {
        if let Some((value, _)) = tested(expr) {
            twice |= !seen.insert(value);
        }
        Ok(if twice { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(twice)
}

/// The test that hides here.
fn hidden(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Alias(Alias { expr, relation: None, name, .. }) if name == TEST => Some(expr),
        _ => None,
    }
}

/// Whether two tests, each perhaps of several already, are of one value and hold or fail together like one list.
fn makes_one_list(first: &Expr, op: Operator, second: &Expr) -> bool {
    let negated = op == Operator::And;
    match (some_test(first), some_test(second)) {
        (Some(first), Some(second)) => first == second && first.1 == negated,
        _ => false,
    }
}

/// One of the tests; they are all of one value and all negated or none.
fn some_test(mut expr: &Expr) -> Option<(&Expr, bool)> {
    while let Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, right, .. }) = expr {
        expr = right;
    }
    tested(expr)
}
