//! Which columns there are: of tables, subqueries, WITH queries and joins of these.
//!
//! The joins are made ones with ON on the way, for a join's columns tell by which of them the next one joins.

use sqlparser::ast::{
    Cte, Expr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};

use super::Common;
use super::scope::{Scope, Shown, join_scopes};
use crate::query::context::StatementContext;
use crate::query::error::QueryError;
use crate::query::rewrite::headers::{self, Headers, is_wildcard};
use crate::query::rewrite::names::{Relations, database_and_table};
use crate::query::rewrite::select::plain_join;

/// The names of columns, as written; `None` where they are not known.
pub(super) type Names = Option<Vec<String>>;

/// Answers what columns there are.
#[derive(Clone)]
pub(in crate::query::rewrite) struct Columns<'a> {
    context: &'a StatementContext,
    relations: &'a Relations,
    ctes: Vec<(String, Names)>,
}

impl<'a> Columns<'a> {
    pub(in crate::query::rewrite) fn new(
        context: &'a StatementContext,
        relations: &'a Relations,
        common: &Common,
    ) -> Self {
        Self { context, relations, ctes: common.ctes.clone() }
    }

    /// The columns of a WITH query, by its name.
    pub(in crate::query::rewrite) fn of_cte(&self, cte: &Cte) -> Result<(String, Names), QueryError> {
        Ok((cte.alias.name.value.clone(), renamed(self.of_query(&cte.query)?, Some(&cte.alias))))
    }

    fn of_query(&self, query: &Query) -> Result<Names, QueryError> {
        let mut inside = self.clone();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = inside.of_cte(cte)?;
            inside.ctes.push(columns);
        }
        inside.of_body(&query.body)
    }

    fn of_body(&self, body: &SetExpr) -> Result<Names, QueryError> {
        match body {
            SetExpr::Select(select) => self.of_select(select),
            SetExpr::Query(query) => self.of_query(query),
            SetExpr::SetOperation { left, .. } => self.of_body(left),
            SetExpr::Values(values) => {
                Ok(values.rows.first().map(|row| (1..=row.len()).map(|number| format!("column{number}")).collect()))
            }
            _ => Ok(None),
        }
    }

    fn of_select(&self, select: &Select) -> Result<Names, QueryError> {
        let mut select = select.clone();
        headers::name_nested(&mut select, &mut Headers::default());
        let Some(scope) = self.lower_all(&mut select.from)? else {
            return Ok(None);
        };
        let mut names = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => names.push(alias.value.clone()),
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => names.push(ident.value.clone()),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                    names.extend(parts.last().map(|last| last.value.clone()));
                }
                SelectItem::Wildcard(options) => {
                    names.extend(chosen(&scope.shown, options)?.into_iter().map(|column| column.written.clone()));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    names.extend(scope.of_table(name, options).into_iter().cloned());
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(names))
    }

    /// Spells out the `*` of the outermost SELECTs where there are several, so that each output can have a name of its own.
    pub(in crate::query::rewrite) fn spell_out_repeated(&self, query: &mut Query) -> Result<(), QueryError> {
        let mut inside = self.clone();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = inside.of_cte(cte)?;
            inside.ctes.push(columns);
        }
        inside.spell_out_in(&mut query.body)
    }

    fn spell_out_in(&self, body: &mut SetExpr) -> Result<(), QueryError> {
        match body {
            SetExpr::Query(query) => self.spell_out_repeated(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.spell_out_in(left)?;
                self.spell_out_in(right)
            }
            SetExpr::Select(select) => {
                let wildcards = select.projection.iter().filter(|item| is_wildcard(item)).count();
                if wildcards > 1 && !select.from.is_empty() {
                    select.projection = self.spelled_out(select)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The select list without `*`, or as it is where the columns are not known.
    fn spelled_out(&self, select: &Select) -> Result<Vec<SelectItem>, QueryError> {
        let Some(scope) = self.lower_all(&mut select.from.clone())? else {
            return Ok(select.projection.clone());
        };
        let mut items = Vec::with_capacity(scope.shown.len());
        let named = |expr, name: &str| SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) => {
                    let columns = chosen(&scope.shown, options)?.into_iter();
                    items.extend(columns.map(|column| named(column.value.clone(), &column.written)));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let columns = scope.of_table(name, options);
                    if columns.is_empty() {
                        // There is no such table; the planner says so.
                        return Ok(select.projection.clone());
                    }
                    items.extend(columns.into_iter().map(|column| {
                        let mut parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                        parts.push(Ident::new(column));
                        named(Expr::CompoundIdentifier(parts), column)
                    }));
                }
                item => items.push(item.clone()),
            }
        }
        Ok(items)
    }

    /// Makes the joins of a FROM clause ones with ON, and answers what they show.
    pub(super) fn lower_all(&self, from: &mut [TableWithJoins]) -> Result<Option<Scope>, QueryError> {
        let mut all = Some(Scope::default());
        for table in from {
            all = both(all, self.lower(table)?, |all, scope| {
                all.extend(scope);
                Ok(())
            })?;
        }
        Ok(all)
    }

    fn lower(&self, table: &mut TableWithJoins) -> Result<Option<Scope>, QueryError> {
        let mut left = self.factor(&mut table.relation)?;
        for join in &mut table.joins {
            join.join_operator = plain_join(std::mem::replace(&mut join.join_operator, JoinOperator::CrossApply));
            let right = self.factor(&mut join.relation)?;
            left = both(left, right, |left, right| join_scopes(&mut join.join_operator, left, right))?;
        }
        Ok(left)
    }

    fn factor(&self, factor: &mut TableFactor) -> Result<Option<Scope>, QueryError> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => self.lower(table_with_joins),
            TableFactor::Derived { subquery, alias: Some(alias), .. } => {
                let names = renamed(self.of_query(subquery)?, Some(alias));
                Ok(names.map(|names| self.scope(vec![alias.name.clone()], names)))
            }
            TableFactor::Table { name, alias, args: None, .. } => {
                let names = renamed(self.of_table(name)?, alias.as_ref());
                let called = match alias {
                    Some(alias) => vec![alias.name.clone()],
                    None => name.0.iter().filter_map(|part| part.as_ident().cloned()).collect(),
                };
                Ok(names.map(|names| self.scope(called, names)))
            }
            _ => Ok(None),
        }
    }

    fn of_table(&self, name: &ObjectName) -> Result<Names, QueryError> {
        let Some((database, table)) = database_and_table(name) else {
            return Ok(None);
        };
        if database.is_none()
            && let Some((_, columns)) = self.ctes.iter().rev().find(|(cte, _)| *cte == table)
        {
            return Ok(columns.clone());
        }
        self.context.columns_of(database.as_deref(), &table)
    }

    fn scope(&self, called: Vec<Ident>, names: Vec<String>) -> Scope {
        let table = called.last().map(|table| table.value.clone()).unwrap_or_default();
        let shown = names.iter().map(|written| {
            let mut parts = called.clone();
            parts.push(Ident::new(written.to_lowercase()));
            let value = self.relations.column(parts);
            Shown { name: written.to_lowercase(), written: written.clone(), value, common: false }
        });
        Scope { shown: shown.collect(), tables: vec![(table, names)] }
    }
}

impl Scope {
    /// The columns that `t.*` shows, or `t.* EXCEPT (…)`.
    fn of_table(&self, name: &ObjectName, options: &WildcardAdditionalOptions) -> Vec<&String> {
        let table = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.as_str());
        let left_out = left_out(options);
        let of_table = self.tables.iter().filter(|(name, _)| Some(name.as_str()) == table);
        of_table.flat_map(|(_, columns)| columns).filter(|column| !left_out.contains(&column.to_lowercase())).collect()
    }
}

/// The columns that `*` shows, or `* EXCEPT (…)`.
pub(super) fn chosen<'s>(
    shown: &'s [Shown],
    options: &WildcardAdditionalOptions,
) -> Result<Vec<&'s Shown>, QueryError> {
    let left_out = left_out(options);
    if let Some(column) = left_out.iter().find(|name| shown.iter().all(|column| column.name != **name)) {
        return Err(QueryError::UnknownColumn { column: column.clone(), hint: String::new() });
    }
    Ok(shown.iter().filter(|column| !left_out.contains(&column.name)).collect())
}

fn left_out(options: &WildcardAdditionalOptions) -> Vec<String> {
    let except = options.opt_except.iter();
    except
        .flat_map(|except| std::iter::once(&except.first_element).chain(&except.additional_elements))
        .map(|ident| ident.value.to_lowercase())
        .collect()
}

/// The names with those of a table alias in their place.
fn renamed(names: Names, alias: Option<&TableAlias>) -> Names {
    let columns = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    let mut names = names?;
    for (name, column) in names.iter_mut().zip(columns) {
        name.clone_from(&column.name.value);
    }
    Some(names)
}

/// The left scope with the right one brought in, where both are known.
fn both(
    left: Option<Scope>,
    right: Option<Scope>,
    bring_in: impl FnOnce(&mut Scope, Scope) -> Result<(), QueryError>,
) -> Result<Option<Scope>, QueryError> {
    let (Some(mut left), Some(right)) = (left, right) else {
        return Ok(None);
    };
    bring_in(&mut left, right)?;
    Ok(Some(left))
}
