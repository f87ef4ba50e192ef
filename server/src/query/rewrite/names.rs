//! Names of relations and columns.
//!
//! Tables and their aliases keep their case. `FROM db.t` is known to the rest of the query as `t`, as in MySQL, so
//! `db.t.c` is shortened to `t.c`; only where two tables of one name from two databases meet do both keep the database.
//!
//! The planner takes `t.c` for a field of the column `t` where there is one, before it looks for a table `t` further out.
//! So a relation that is named like a column gets a mark behind its name, which nobody sees ([`without_marks`]).

mod columns;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, Visit, Visitor};

use super::Headers;
use crate::query::context::StatementContext;
use crate::query::error::QueryError;

/// Between a table's name and the partitions wanted of it, inside one part of its name: cannot occur in a name.
const PARTITION_MARK: char = '\u{1}';

/// Behind the name of a relation that is the name of a column, too.
const RELATION_MARK: char = '\u{2}';

/// A text about relations with their names as the user knows them.
pub(crate) fn without_marks(text: &str) -> String {
    text.replace(RELATION_MARK, "")
}

/// A table name and the partitions that `FROM t PARTITION (...)` wants, taken apart again.
pub(crate) fn split_partitions(name: &str) -> (&str, Vec<String>) {
    match name.split_once(PARTITION_MARK) {
        Some((name, partitions)) => (name, partitions.split(PARTITION_MARK).map(str::to_owned).collect()),
        None => (name, Vec::new()),
    }
}

/// The relations a query names.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// Every table name, alias and CTE name.
    names: HashSet<String>,
    /// For each unaliased table name the databases it is taken from.
    databases: HashMap<String, HashSet<Option<String>>>,
    /// Those that get a mark.
    marked: HashSet<String>,
}

impl Relations {
    /// Gathers the relations of a query and all queries in it.
    pub(super) fn of(query: &Query) -> Self {
        struct Gatherer(Relations);
        impl Visitor for Gatherer {
            type Break = ();

            fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
                for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
                    self.0.names.insert(cte.alias.name.value.clone());
                }
                ControlFlow::Continue(())
            }

            fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
                self.0.gather(factor);
                ControlFlow::Continue(())
            }
        }
        let mut gatherer = Gatherer(Self::default());
        let _ = query.visit(&mut gatherer);
        gatherer.0
    }

    /// Marks the relations whose columns a subquery may name, if there are columns of their names.
    pub(super) fn mark(&mut self, query: &Query, context: &StatementContext) -> Result<(), QueryError> {
        let columns = columns::Gatherer::of(query);
        let wanted = columns.qualifiers.iter().filter(|name| self.names.contains(*name) && self.is_unique(name));
        let wanted: HashSet<String> = wanted.cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.marked = columns.named(context)?.intersection(&wanted).cloned().collect();
        self.names.extend(self.marked.iter().map(|name| format!("{name}{RELATION_MARK}")));
        Ok(())
    }

    fn put_mark(&self, relation: &mut Ident) {
        if self.marked.contains(&relation.value) {
            relation.value.push(RELATION_MARK);
        }
    }

    fn gather(&mut self, factor: &TableFactor) {
        if let Some(alias) = alias_of(factor) {
            self.names.insert(alias.name.value.clone());
            return;
        }
        if let TableFactor::Table { name, .. } = factor
            && let Some((database, table)) = database_and_table(name)
        {
            self.names.insert(table.clone());
            self.databases.entry(table).or_default().insert(database);
        }
    }

    /// Whether the table is known by its own name alone.
    fn is_unique(&self, table: &str) -> bool {
        self.databases.get(table).is_none_or(|databases| databases.len() == 1)
    }

    /// Gives a table of FROM its alias and drops what only steers MySQL's optimizer.
    pub(super) fn table_factor(&self, factor: &mut TableFactor, headers: &mut Headers) -> Result<(), QueryError> {
        match factor {
            TableFactor::Table { name, alias, index_hints, partitions, with_hints, sample, version, .. } => {
                if sample.is_some() || version.is_some() {
                    return Err(QueryError::Unsupported("TABLESAMPLE and table versions are not supported".to_owned()));
                }
                index_hints.clear();
                with_hints.clear();
                let own = database_and_table(name);
                drop_catalog(name)?;
                if let Some(alias) = alias {
                    self.put_mark(&mut alias.name);
                    lower_columns(alias, headers);
                } else if let Some((database, table)) = own
                    && (!partitions.is_empty()
                        || (database.is_some() && self.is_unique(&table))
                        || self.marked.contains(&table))
                {
                    let mut name = Ident::new(table);
                    self.put_mark(&mut name);
                    *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
                }
                mark_partitions(name, partitions);
            }
            TableFactor::UNNEST { .. } => return Err(QueryError::no_table_function("unnest")),
            TableFactor::Function { name, .. } => return Err(QueryError::no_table_function(&name.to_string())),
            TableFactor::TableFunction { expr, .. } => {
                let name = match expr {
                    Expr::Function(function) => function.name.to_string(),
                    other => other.to_string(),
                };
                return Err(QueryError::no_table_function(&name));
            }
            TableFactor::Derived { alias: Some(alias), .. } | TableFactor::NestedJoin { alias: Some(alias), .. } => {
                self.put_mark(&mut alias.name);
                lower_columns(alias, headers);
            }
            _ => {}
        }
        Ok(())
    }

    /// The name of a column, qualified or not, as the planner looks it up.
    pub(super) fn column(&self, mut parts: Vec<Ident>) -> Expr {
        // catalog.db.t.c and db.t.c to t.c, where t stands for that table.
        while parts.len() > 2 {
            let table = &parts[parts.len() - 2].value;
            let qualifies = parts.len() == 4 || (self.names.contains(table) && self.is_unique(table));
            if !qualifies {
                break;
            }
            parts.remove(0);
        }
        let relation_parts = match parts.len() {
            0 | 1 => 0,
            2 => usize::from(self.names.contains(&parts[0].value)),
            _ if self.names.contains(&parts[0].value) => 1,
            _ if self.names.contains(&parts[1].value) => 2,
            _ => 0,
        };
        for part in parts.iter_mut().skip(relation_parts) {
            part.value = part.value.to_lowercase();
        }
        if relation_parts == 1 {
            self.put_mark(&mut parts[0]);
        }
        for part in &mut parts {
            part.quote_style = None;
        }
        if parts.len() == 1 { Expr::Identifier(parts.remove(0)) } else { Expr::CompoundIdentifier(parts) }
    }

    /// The relation of `db.t.*` as the planner looks it up.
    pub(super) fn wildcard(&self, name: &mut ObjectName) {
        while name.0.len() > 1 {
            let unique = name
                .0
                .last()
                .and_then(ObjectNamePart::as_ident)
                .is_some_and(|table| self.names.contains(&table.value) && self.is_unique(&table.value));
            if !unique && name.0.len() == 2 {
                break;
            }
            name.0.remove(0);
        }
        if let [ObjectNamePart::Identifier(relation)] = name.0.as_mut_slice() {
            self.put_mark(relation);
        }
    }
}

/// The columns, in lower case, that the subqueries of an expression have to do with.
pub(super) fn columns_within(expr: &Expr, context: &StatementContext) -> Result<HashSet<String>, QueryError> {
    columns::Gatherer::of(expr).named(context)
}

/// The alias of a relation in FROM.
fn alias_of(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

/// A table's name, and its database where it is named.
pub(super) fn database_and_table(name: &ObjectName) -> Option<(Option<String>, String)> {
    let mut parts = name.0.iter().rev().map(|part| part.as_ident().map(|ident| ident.value.clone()));
    let table = parts.next()??;
    Some((parts.next().flatten(), table))
}

/// `default_catalog.db.t` to `db.t`; there is no other catalog.
fn drop_catalog(name: &mut ObjectName) -> Result<(), QueryError> {
    if name.0.len() < 3 {
        return Ok(());
    }
    let catalog = name.0[0].to_string();
    let is_default = catalog.trim_matches('`').eq_ignore_ascii_case("default_catalog");
    if name.0.len() > 3 || !is_default {
        return Err(QueryError::Semantic(format!("Unknown catalog '{}'", catalog.trim_matches('`'))));
    }
    name.0.remove(0);
    Ok(())
}

fn mark_partitions(name: &mut ObjectName, partitions: &mut Vec<Ident>) {
    if partitions.is_empty() {
        return;
    }
    if let Some(ObjectNamePart::Identifier(table)) = name.0.last_mut() {
        for partition in partitions.drain(..) {
            table.value.push(PARTITION_MARK);
            table.value.push_str(&partition.value);
        }
    }
}

fn lower_columns(alias: &mut TableAlias, headers: &mut Headers) {
    for column in &mut alias.columns {
        headers.spell(&column.name.value);
        column.name.value = column.name.value.to_lowercase();
        column.name.quote_style = None;
    }
}

/// `WITH t (A, B) AS ...`: the columns get lower-case names like all others.
pub(super) fn lower_cte_columns(query: &mut Query, headers: &mut Headers) {
    for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        lower_columns(&mut cte.alias, headers);
    }
}
