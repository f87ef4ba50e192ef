//! Common columns: `JOIN … USING (a)` and `NATURAL JOIN`.
//!
//! Such a join has conditions and a scope. Two columns of one name become one: `*` shows it once and first, and its bare name
//! is no longer ambiguous. Which of the two it is depends on the join: the one of the side that keeps all its rows, and of
//! both what is not NULL in a FULL JOIN. The planner below takes any of them. So the join becomes one with ON, `*` becomes
//! the columns it stands for, and the bare name of a common column, wherever it means this FROM, becomes its value.
//! Qualified names stay what they are.
//!
//! Which columns there are is asked of the catalog and of the subqueries in FROM. Where that is not known, a table is
//! missing, and the planner says so in its own words.

mod columns;
mod scope;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, JoinConstraint, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Visit, Visitor, With,
};

pub(super) use columns::Columns;

use super::headers::Headers;
use super::select::constraint_mut;
use crate::query::error::QueryError;
use columns::{Names, chosen};
use scope::Scope;

/// Whether a query joins by columns' names anywhere.
fn joins_by_name(node: &impl Visit) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            if select.from.iter().any(table_joins_by_name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    node.visit(&mut Finder).is_break()
}

fn table_joins_by_name(table: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => table_joins_by_name(table_with_joins),
        _ => false,
    };
    nested(&table.relation)
        || table.joins.iter().any(|join| {
            let mut operator = join.join_operator.clone();
            let by_name = constraint_mut(&mut operator)
                .is_some_and(|constraint| matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural));
            by_name || nested(&join.relation)
        })
}

/// The names that a SELECT knows while its expressions are looked at.
#[derive(Debug, Default)]
struct Frame {
    /// Columns that are found here and nowhere further out; `None` where they are not known.
    names: Option<HashSet<String>>,
    /// Those of them that stand for several, with their values.
    common: HashMap<String, Expr>,
    /// Of a query that is one SELECT: its ORDER BY knows the names of that SELECT.
    takes_order: bool,
}

/// Where the rewriting pass stands: what surrounds the expression that is next.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// Whether the statement joins by name anywhere; else nothing is asked or kept here.
    wanted: bool,
    /// The columns of every WITH query in scope, the innermost last.
    ctes: Vec<(String, Names)>,
    /// Of each query around: its WITH, rewritten already, and how many there were outside.
    withs: Vec<(Option<With>, usize)>,
    frames: Vec<Frame>,
}

impl Common {
    /// At the beginning of a statement, or of an expression.
    pub(super) fn of(node: &impl Visit) -> Self {
        Self { wanted: joins_by_name(node), ..Self::default() }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// How many WITH queries are in scope.
    pub(super) fn ctes(&self) -> usize {
        self.ctes.len()
    }

    /// Brings a WITH query into scope.
    pub(super) fn define(&mut self, cte: (String, Names)) {
        self.ctes.push(cte);
    }

    /// The value of a bare name that stands for several columns.
    pub(super) fn value(&self, name: &str) -> Option<Expr> {
        let name = name.to_lowercase();
        for frame in self.frames.iter().rev() {
            if let Some(value) = frame.common.get(&name) {
                return Some(value.clone());
            }
            if frame.names.as_ref().is_none_or(|names| names.contains(&name)) {
                return None;
            }
        }
        None
    }

    /// Enters a query whose WITH is taken out and rewritten.
    pub(super) fn enter_query(&mut self, query: &Query, with: Option<With>, ctes_outside: usize) {
        self.withs.push((with, ctes_outside));
        let takes_order = matches!(*query.body, SetExpr::Select(_));
        self.frames.push(Frame { names: Some(HashSet::new()), takes_order, ..Frame::default() });
    }

    /// Leaves a query and gives it its WITH back.
    pub(super) fn leave_query(&mut self, query: &mut Query) {
        self.frames.pop();
        if let Some((with, ctes_outside)) = self.withs.pop() {
            query.with = with;
            self.ctes.truncate(ctes_outside);
        }
    }

    /// Leaves a SELECT. What comes behind it in its query is ORDER BY, where the names of its outputs come first.
    pub(super) fn leave_select(&mut self, select: &Select) {
        let Some(mut frame) = self.frames.pop() else {
            return;
        };
        if let Some(query) = self.frames.last_mut().filter(|query| query.takes_order) {
            for item in &select.projection {
                if let SelectItem::ExprWithAlias { alias, .. } = item {
                    frame.common.remove(&alias.value.to_lowercase());
                }
            }
            frame.takes_order = true;
            *query = frame;
        }
    }
}

/// Makes the joins of a SELECT ones with ON, and spells out its `*` where they have common columns.
pub(super) fn enter_select(
    common: &mut Common,
    columns: Columns<'_>,
    select: &mut Select,
    headers: &mut Headers,
) -> Result<(), QueryError> {
    let scope = columns.lower_all(&mut select.from)?;
    let Some(scope) = scope else {
        common.frames.push(Frame::default());
        return Ok(());
    };
    if scope.shown.iter().any(|column| column.common) {
        spell_out(select, &scope, headers)?;
    }
    let values = scope.common();
    name_values(select, &values);
    common.frames.push(Frame {
        names: Some(scope.shown.iter().map(|column| column.name.clone()).collect()),
        common: values,
        takes_order: false,
    });
    Ok(())
}

/// Keeps the names of outputs that are common columns and get values with no name of their own.
fn name_values(select: &mut Select, values: &HashMap<String, Expr>) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(ident)) = item
            && let Some(value) = values.get(&ident.value.to_lowercase()).filter(|value| !is_plain(value))
        {
            let alias = Ident::new(ident.value.to_lowercase());
            *item = SelectItem::ExprWithAlias { expr: value.clone(), alias };
        }
    }
}

/// Puts the columns that `*` stands for in its place.
fn spell_out(select: &mut Select, scope: &Scope, headers: &mut Headers) -> Result<(), QueryError> {
    let aliases = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    });
    let plain = scope.shown.iter().filter(|column| is_plain(&column.value)).map(|column| column.name.clone());
    let mut taken: HashSet<String> = aliases.chain(plain).collect();
    let mut items = Vec::with_capacity(scope.shown.len());
    for item in std::mem::take(&mut select.projection) {
        let SelectItem::Wildcard(options) = item else {
            items.push(item);
            continue;
        };
        for column in chosen(&scope.shown, &options)? {
            if is_plain(&column.value) {
                items.push(SelectItem::UnnamedExpr(column.value.clone()));
                continue;
            }
            let (mut name, mut number) = (column.name.clone(), 0);
            while !taken.insert(name.clone()) {
                number += 1;
                name = format!("{}:{number}", column.name);
            }
            headers.spell_as(&name, &column.written);
            items.push(SelectItem::ExprWithAlias { expr: column.value.clone(), alias: Ident::new(name) });
        }
    }
    select.projection = items;
    Ok(())
}

fn is_plain(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}
