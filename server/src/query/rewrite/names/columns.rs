//! Names of columns that a query has to do with, wherever in it, and the relations that its subqueries name columns of.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select, SelectItem, TableAlias, TableFactor, TableWithJoins, Visit, Visitor};

use super::{alias_of, database_and_table};
use crate::query::context::StatementContext;
use crate::query::error::QueryError;

/// Gathers them.
#[derive(Debug, Default)]
pub(super) struct Gatherer {
    /// What stands before the point in names of columns, inside of subqueries whose own FROM does not name it.
    pub(super) qualifiers: HashSet<String>,
    /// Columns that the query itself names.
    names: Vec<String>,
    /// The tables it reads, with their databases where these are named.
    tables: HashSet<(Option<String>, String)>,
    depth: usize,
    /// The relations of each SELECT around.
    around: Vec<HashSet<String>>,
}

impl Gatherer {
    pub(super) fn of(node: &impl Visit) -> Self {
        let mut gatherer = Self::default();
        let _ = node.visit(&mut gatherer);
        gatherer
    }

    /// The names of all columns there are, in lower case.
    pub(super) fn named(self, context: &StatementContext) -> Result<HashSet<String>, QueryError> {
        let mut names: HashSet<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        for (database, table) in self.tables {
            let columns = context.columns_of(database.as_deref(), &table)?;
            names.extend(columns.into_iter().flatten().map(|name| name.to_lowercase()));
        }
        Ok(names)
    }

    fn alias(&mut self, alias: &TableAlias) {
        self.names.extend(alias.columns.iter().map(|column| column.name.value.clone()));
    }
}

impl Visitor for Gatherer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.alias(&cte.alias);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.names.extend(select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        }));
        let mut relations = HashSet::new();
        select.from.iter().for_each(|table| name_relations(table, &mut relations));
        self.around.push(relations);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                self.tables.extend(database_and_table(name));
                alias.iter().for_each(|alias| self.alias(alias));
            }
            TableFactor::Derived { alias: Some(alias), .. } | TableFactor::NestedJoin { alias: Some(alias), .. } => {
                self.alias(alias);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth > 1
            && let Expr::CompoundIdentifier(parts) = expr
            && let [.., relation, _] = parts.as_slice()
            && !self.around.last().is_some_and(|own| own.contains(&relation.value))
        {
            self.qualifiers.insert(relation.value.clone());
        }
        ControlFlow::Continue(())
    }
}

fn name_relations(table: &TableWithJoins, relations: &mut HashSet<String>) {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        match (alias_of(factor), factor) {
            (Some(alias), _) => {
                relations.insert(alias.name.value.clone());
            }
            (None, TableFactor::Table { name, .. }) => {
                relations.extend(database_and_table(name).map(|(_, table)| table));
            }
            (None, TableFactor::NestedJoin { table_with_joins, .. }) => name_relations(table_with_joins, relations),
            _ => {}
        }
    }
}
