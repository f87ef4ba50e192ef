//! Columns that a subquery compares with the outer query, apart from others of their name.
//!
//! The engine makes a condition that reads the outer query one of a join, above all that the subquery does with its rows,
//! and hands it the columns that it needs under their bare names. Of `EXISTS (SELECT t.a FROM t JOIN u … WHERE u.a = z.k)`
//! two columns would come up as `a`, and the first one be compared. So a column whose name is not the only one of its kind
//! on the way up becomes a column of its own, right below the condition.
//!
//! Runs last, when conditions are what the engine will see.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Subquery};
use datafusion::optimizer::AnalyzerRule;

use super::not_of_this_form;

/// Where the columns belong, lest they be taken for something of the query's own.
const APART: &str = "ebla_apart";

/// The analyzer rule.
#[derive(Debug)]
pub(crate) struct ApartColumns;

impl AnalyzerRule for ApartColumns {
    fn name(&self) -> &str {
        "apart_columns"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut made = 0;
        plan.transform_up_with_subqueries(|plan| plan.map_expressions(|expr| in_expr(expr, &mut made))).data()
    }
}

fn in_expr(expr: Expr, made: &mut usize) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::ScalarSubquery(subquery) => in_subquery(subquery, made)?.update_data(Expr::ScalarSubquery),
            Expr::Exists(Exists { subquery, negated }) => {
                in_subquery(subquery, made)?.update_data(|subquery| Expr::Exists(Exists { subquery, negated }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => in_subquery(subquery, made)?
                .update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated })),
            other => Transformed::no(other),
        })
    })
}

fn in_subquery(subquery: Subquery, made: &mut usize) -> Result<Transformed<Subquery>> {
    if subquery.outer_ref_columns.is_empty() {
        return Ok(Transformed::no(subquery));
    }
    let outer = subquery.outer_ref_columns.iter().filter_map(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
        _ => None,
    });
    let mut apart = Apart { outer: outer.collect(), made: *made, names: BTreeSet::new() };
    let plan = apart.below(subquery.subquery.as_ref().clone(), &mut Vec::new())?;
    if apart.made == *made {
        return Ok(Transformed::no(subquery));
    }
    *made = apart.made;
    // What it answers stays what it was.
    let columns: Vec<Expr> = subquery.subquery.schema().columns().into_iter().map(Expr::Column).collect();
    let plan = match plan.schema().fields().len() == columns.len() {
        true => plan,
        false => LogicalPlanBuilder::from(plan).project(columns)?.build()?,
    };
    Ok(Transformed::yes(subquery.with_plan(Arc::new(plan))))
}

/// A node that a condition's columns pass on their way up.
#[derive(Debug)]
struct Step {
    schema: DFSchemaRef,
    /// The name of the table that it makes of what is below.
    table: Option<TableReference>,
    /// Columns computed under the name of another.
    computed: BTreeSet<Column>,
}

impl Step {
    fn of(plan: &LogicalPlan) -> Self {
        let mut step = Self { schema: Arc::clone(plan.schema()), table: None, computed: BTreeSet::new() };
        match plan {
            LogicalPlan::SubqueryAlias(alias) => step.table = Some(alias.alias.clone()),
            LogicalPlan::Projection(projection) => {
                let pairs = projection.expr.iter().zip(projection.schema.columns());
                let computed = pairs.filter(|(expr, column)| !matches!(expr, Expr::Column(own) if own == column));
                step.computed.extend(computed.map(|(_, column)| column));
            }
            _ => {}
        }
        step
    }
}

/// Whether a column could be taken for another, or be lost, on its way up; the last step comes first.
fn loses(way: &[Step], column: &Column) -> bool {
    let mut column = column.clone();
    let mut has_it = true;
    for step in way.iter().rev() {
        let mut alike = step.schema.iter().filter(|(_, field)| *field.name() == column.name);
        if let Some(table) = &step.table {
            // The engine hands up what the table has, and nothing more.
            if !has_it || alike.count() != 1 {
                return true;
            }
            column.relation = Some(table.clone());
            continue;
        }
        has_it = step.schema.has_column(&column);
        if step.computed.contains(&column) || alike.any(|(table, _)| table != column.relation.as_ref()) {
            return true;
        }
    }
    false
}

/// Sets columns of one subquery apart.
struct Apart {
    /// What it reads of the outer query.
    outer: BTreeSet<Column>,
    /// How many columns there are; no two of a statement have one name.
    made: usize,
    /// What they are called.
    names: BTreeSet<String>,
}

impl Apart {
    fn below(&mut self, plan: LogicalPlan, way: &mut Vec<Step>) -> Result<LogicalPlan> {
        // Its parts have places, and no room for one more column; the engine has no plan for these anyhow.
        if matches!(plan, LogicalPlan::Union(_)) {
            return Ok(plan);
        }
        let before = self.made;
        way.push(Step::of(&plan));
        let plan = plan.map_children(|input| self.below(input, way).map(Transformed::yes)).data()?;
        let plan = if self.made > before { self.handed_up(plan, way)? } else { plan };
        let plan = match plan {
            LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => self.in_condition(filter, way)?,
            other => other,
        };
        way.pop();
        Ok(plan)
    }

    /// A node above columns that are set apart. What a table is made of shows them, for the engine adds none there.
    fn handed_up(&self, plan: LogicalPlan, way: &[Step]) -> Result<LogicalPlan> {
        let own = |plan: &LogicalPlan| -> Vec<Column> {
            plan.schema().columns().into_iter().filter(|column| self.names.contains(&column.name)).collect()
        };
        match plan {
            LogicalPlan::Projection(mut projection) if way.iter().any(|step| step.table.is_some()) => {
                projection.expr.extend(own(&projection.input).into_iter().map(Expr::Column));
                LogicalPlan::Projection(projection).recompute_schema()
            }
            LogicalPlan::SubqueryAlias(alias) if own(&alias.input).is_empty() => Err(not_of_this_form().wrap()),
            other => other.recompute_schema(),
        }
    }

    fn in_condition(&mut self, filter: Filter, way: &[Step]) -> Result<LogicalPlan> {
        let mut apart: Vec<(Column, Column)> = Vec::new();
        // The engine forgets what a table directly below hands up, unless there is a projection between.
        let is_direct = matches!(filter.input.as_ref(), LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_));
        let all = is_direct && !filter.input.all_out_ref_exprs().is_empty();
        let mut parts = Vec::new();
        for part in split_conjunction_owned(filter.predicate) {
            if !part.contains_outer() {
                parts.push(part);
                continue;
            }
            let part = part.transform(|expr| {
                let Expr::Column(column) = &expr else {
                    return Ok(Transformed::no(expr));
                };
                if !all && !self.outer.contains(column) && !loses(way, column) {
                    return Ok(Transformed::no(expr));
                }
                let known = apart.iter().find(|(from, _)| from == column).map(|(_, own)| own.clone());
                let own = known.unwrap_or_else(|| {
                    let own = Column::new(Some(APART), format!("apart_{}", self.made));
                    self.made += 1;
                    self.names.insert(own.name.clone());
                    apart.push((column.clone(), own.clone()));
                    own
                });
                Ok(Transformed::new(Expr::Column(own), true, TreeNodeRecursion::Jump))
            });
            parts.push(part.data()?);
        }
        let predicate = conjunction(parts).unwrap_or_else(|| datafusion::logical_expr::lit(true));
        if apart.is_empty() {
            return Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?));
        }
        let mut columns: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
        let own = apart.into_iter().map(|(from, own)| Expr::Column(from).alias_qualified(own.relation, own.name));
        columns.extend(own);
        let rows = LogicalPlanBuilder::from(filter.input).project(columns)?.build()?;
        Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(rows))?))
    }
}
