//! From the syntax tree as the user wrote it to one the planner reads the same way.
//!
//! The planner below knows neither MySQL's names nor its forms, so one pass over the tree: gives columns lower-case
//! names (tables keep their case), turns variables and session functions into literals, spells MySQL's own expressions
//! as functions ([`expr`], [`calls`]), and names every output ([`select`]). What headers the user shall see is noted
//! before anything is changed.
//!
//! Types are not known here; what depends on them is left to `operators` and `coerce`.

mod assignments;
mod calls;
mod common;
mod expansion;
mod expr;
mod frames;
mod grouping;
mod headers;
mod names;
mod orders;
mod recursive;
mod select;
mod within;

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, VisitMut, VisitorMut,
};

pub(crate) use calls::FIRST_BYTES;
pub(crate) use headers::Headers;
pub(crate) use names::{split_partitions, without_marks};
pub(crate) use recursive::PLAIN;

use super::context::StatementContext;
use super::dependencies::part_padded;
use super::error::QueryError;

/// What GROUP BY demands of the other columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// ONLY_FULL_GROUP_BY: they are grouped or aggregated.
    Full,
    /// Nothing: they show any value of their group.
    Relaxed,
}

/// Names of all functions there are, to tell unknown ones early.
pub(crate) type FunctionNames = HashSet<String>;

/// Rewrites a query in place and answers what its result columns are called.
pub(crate) fn rewrite_query(
    query: &mut Query,
    grouping: Grouping,
    context: &StatementContext,
    functions: &FunctionNames,
) -> Result<Headers, QueryError> {
    expansion::check(query)?;
    let mut headers = Headers::default();
    let mut relations = names::Relations::of(query);
    relations.mark(query, context)?;
    common::Columns::new(context, &relations, &common::Common::default()).spell_out_repeated(query)?;
    headers::name_outputs(&mut query.body, &mut headers);
    orders::rename_hiding(query, &mut headers);
    if grouping == Grouping::Relaxed {
        grouping::relax(query);
    }
    let common = common::Common::of(query);
    let mut rewriter = Rewriter { context, functions, relations, common, headers: &mut headers };
    match VisitMut::visit(query, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(headers),
    }
}

/// Rewrites a lone expression in place: a predicate of DELETE, a value of INSERT, a filter of SHOW.
pub(crate) fn rewrite_expr(
    expr: &mut Expr,
    context: &StatementContext,
    functions: &FunctionNames,
) -> Result<(), QueryError> {
    let mut headers = Headers::default();
    let common = common::Common::of(expr);
    let relations = names::Relations::default();
    let mut rewriter = Rewriter { context, functions, relations, common, headers: &mut headers };
    match VisitMut::visit(expr, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Puts values in the place of `?`, in order; too few or too many are an error.
pub(crate) fn bind(query: &mut Query, values: &[super::value::Value]) -> Result<(), QueryError> {
    struct Binder<'a> {
        values: std::slice::Iter<'a, super::value::Value>,
    }
    impl VisitorMut for Binder<'_> {
        type Break = QueryError;

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
            if is_placeholder(expr) {
                match self.values.next() {
                    Some(value) => *expr = value.to_ast(),
                    None => {
                        return ControlFlow::Break(QueryError::Semantic(
                            "Incorrect arguments to EXECUTE: too few parameters".to_owned(),
                        ));
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut binder = Binder { values: values.iter() };
    if let ControlFlow::Break(error) = VisitMut::visit(query, &mut binder) {
        return Err(error);
    }
    match binder.values.next() {
        None => Ok(()),
        Some(_) => Err(QueryError::Semantic("Incorrect arguments to EXECUTE: too many parameters".to_owned())),
    }
}

/// How many `?` a query has.
pub(crate) fn count_placeholders(query: &Query) -> usize {
    struct Counter(usize);
    impl ast::Visitor for Counter {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.0 += usize::from(is_placeholder(expr));
            ControlFlow::Continue(())
        }
    }
    let mut counter = Counter(0);
    let _ = ast::Visit::visit(query, &mut counter);
    counter.0
}

fn is_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)))
}

struct Rewriter<'a> {
    context: &'a StatementContext,
    functions: &'a FunctionNames,
    relations: names::Relations,
    common: common::Common,
    headers: &'a mut Headers,
}

impl Rewriter<'_> {
    /// Rewrites the queries of WITH, each before its name is known to what follows it, and enters the query.
    fn enter_query(&mut self, query: &mut Query) -> Result<(), QueryError> {
        let outside = self.common.ctes();
        let mut with = query.with.take();
        let recursive = with.as_ref().is_some_and(|with| with.recursive);
        for cte in with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            let columns = self.columns().of_cte(cte)?;
            if recursive {
                self.common.define(columns.clone());
            }
            if let ControlFlow::Break(error) = VisitMut::visit(&mut cte.query, self) {
                return Err(error);
            }
            if !recursive {
                self.common.define(columns);
            }
        }
        self.common.enter_query(query, with, outside);
        Ok(())
    }

    fn columns(&self) -> common::Columns<'_> {
        common::Columns::new(self.context, &self.relations, &self.common)
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        recursive::spell_out(query);
        query.with.iter_mut().flat_map(|with| &mut with.cte_tables).for_each(orders::rename_in_with);
        names::lower_cte_columns(query, self.headers);
        headers::name_later(&mut query.body);
        select::query_clauses(query);
        if self.common.is_wanted()
            && let Err(error) = self.enter_query(query)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        select::name_cells(&mut query.body);
        if self.common.is_wanted() {
            self.common.leave_query(query);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        headers::name_nested(select, self.headers);
        for item in &mut select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item
                && alias.value.chars().count() > headers::HEADER_LETTERS_MAX
            {
                let beginning: String = alias.value.chars().take(100).collect();
                return ControlFlow::Break(QueryError::NameTooLong(beginning));
            }
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                self.relations.wildcard(name);
            }
        }
        let own = select.having.as_ref().map(|having| names::columns_within(having, self.context)).transpose();
        if let Err(error) = own.and_then(|own| select::before(select, &own.unwrap_or_default())) {
            return ControlFlow::Break(error);
        }
        if self.common.is_wanted() {
            let columns = common::Columns::new(self.context, &self.relations, &self.common);
            if let Err(error) = common::enter_select(&mut self.common, columns, select, self.headers) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        select::after(select);
        select.from.iter_mut().for_each(part_padded);
        if self.common.is_wanted() {
            self.common.leave_select(select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        orders::rename_in_from(factor);
        match self.relations.table_factor(factor, self.headers) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        orders::rename_in_expr(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match self.expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Whether a set expression reads nothing but values, so that its names are positions.
fn is_values(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Values(_))
}
