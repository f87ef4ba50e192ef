//! What a FROM clause shows: the columns under `*` and by bare names, and how a join brings two such scopes together.

use std::collections::{HashMap, HashSet};

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart};

use crate::query::error::{QueryError, Reason};
use crate::query::rewrite::expr::{call, number};
use crate::query::rewrite::select::constraint_mut;
use crate::query::rewrite::within;

/// A column that a FROM clause shows under `*` and by its bare name.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// In lower case.
    pub(super) name: String,
    pub(super) written: String,
    pub(super) value: Expr,
    /// Whether it stands for several columns.
    pub(super) common: bool,
}

/// What a FROM clause, or a part of it, shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) shown: Vec<Shown>,
    /// The columns of each table, by what it is called.
    pub(super) tables: Vec<(String, Vec<String>)>,
}

impl Scope {
    pub(super) fn extend(&mut self, other: Scope) {
        self.shown.extend(other.shown);
        self.tables.extend(other.tables);
    }

    /// The values of the common columns that a bare name tells.
    pub(super) fn common(&self) -> HashMap<String, Expr> {
        let unique = |column: &&Shown| self.shown.iter().filter(|other| other.name == column.name).count() == 1;
        let common = self.shown.iter().filter(|column| column.common).filter(unique);
        common.map(|column| (column.name.clone(), column.value.clone())).collect()
    }

    /// Takes the one column of this name out.
    fn take(&mut self, name: &str) -> Result<Shown, QueryError> {
        let mut places = (0..self.shown.len()).filter(|place| self.shown[*place].name == name);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(self.shown.remove(place)),
            (None, _) => Err(QueryError::UnknownColumn { column: name.to_owned(), hint: String::new() }),
            (Some(_), Some(_)) => {
                Err(QueryError::Refused(Reason::AmbiguousColumn, format!("Column '{name}' is ambiguous")))
            }
        }
    }
}

/// Which columns the common ones of a join are.
enum Kept {
    Left,
    Right,
    Both,
}

/// Makes a join one with ON. The left scope becomes that of the join.
pub(super) fn join_scopes(operator: &mut JoinOperator, left: &mut Scope, mut right: Scope) -> Result<(), QueryError> {
    let (kept, shows_left, shows_right) = match operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (Kept::Right, true, true),
        JoinOperator::FullOuter(_) => (Kept::Both, true, true),
        JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_) => (Kept::Left, true, false),
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => (Kept::Right, false, true),
        _ => (Kept::Left, true, true),
    };
    let names: Option<Vec<String>> = match constraint_mut(operator) {
        Some(JoinConstraint::Using(columns)) => {
            // A column that is named twice is the same column.
            let mut seen = HashSet::new();
            Some(columns.iter().filter_map(last_name).filter(|name| seen.insert(name.clone())).collect())
        }
        Some(JoinConstraint::Natural) => Some(names_of_both(left, &right)),
        Some(JoinConstraint::On(condition)) => {
            let mut all = left.clone();
            all.extend(right.clone());
            put_values(condition, &all.common());
            None
        }
        Some(JoinConstraint::None) | None => None,
    };
    let mut common = Vec::new();
    if let Some(names) = names {
        // `*` shows them in the order of the table that keeps its rows.
        let leading = if matches!(kept, Kept::Right) { &right } else { &*left };
        let order: Vec<String> = leading.shown.iter().map(|column| column.name.clone()).collect();
        let mut condition = None;
        for name in &names {
            let (of_left, of_right) = (left.take(name)?, right.take(name)?);
            condition = Some(and_equal(condition, of_left.value.clone(), of_right.value.clone()));
            common.push(one_of(of_left, of_right, &kept));
        }
        common.sort_by_key(|column| order.iter().position(|name| *name == column.name));
        join_on(operator, condition);
    }
    let (mut first, mut second) = (std::mem::take(&mut left.shown), right.shown);
    if !shows_left {
        first.clear();
        left.tables.clear();
    }
    if shows_right {
        left.tables.append(&mut right.tables);
    } else {
        second.clear();
    }
    if !common.is_empty() && matches!(kept, Kept::Right) {
        std::mem::swap(&mut first, &mut second);
    }
    left.shown = common.into_iter().chain(first).chain(second).collect();
    Ok(())
}

/// The join with a condition; without one it joins every row with every other.
fn join_on(operator: &mut JoinOperator, condition: Option<Expr>) {
    match condition {
        None if matches!(operator, JoinOperator::Inner(_)) => {
            *operator = JoinOperator::CrossJoin(JoinConstraint::None);
        }
        condition => {
            if let Some(constraint) = constraint_mut(operator) {
                let always = || and_equal(None, number("1"), number("1"));
                *constraint = JoinConstraint::On(condition.unwrap_or_else(always));
            }
        }
    }
}

/// Puts values in the place of bare names, but not inside subqueries, which have names of their own.
fn put_values(expr: &mut Expr, values: &HashMap<String, Expr>) {
    within::change(expr, within::open, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(value) = values.get(&ident.value.to_lowercase())
        {
            *expr = value.clone();
        }
    });
}

fn last_name(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_lowercase())
}

/// The names of columns on both sides, each once.
fn names_of_both(left: &Scope, right: &Scope) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = left.shown.iter().map(|column| &column.name);
    names
        .filter(|name| right.shown.iter().any(|column| column.name == **name) && seen.insert((*name).clone()))
        .cloned()
        .collect()
}

fn one_of(left: Shown, right: Shown, kept: &Kept) -> Shown {
    let column = match kept {
        Kept::Left => left,
        Kept::Right => right,
        Kept::Both => Shown { value: call("coalesce", vec![left.value, right.value]), ..left },
    };
    Shown { common: true, ..column }
}

fn and_equal(condition: Option<Expr>, left: Expr, right: Expr) -> Expr {
    let equal = Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Eq, right: Box::new(right) };
    match condition {
        Some(condition) => {
            Expr::BinaryOp { left: Box::new(condition), op: BinaryOperator::And, right: Box::new(equal) }
        }
        None => equal,
    }
}
