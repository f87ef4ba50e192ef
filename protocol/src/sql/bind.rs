//! Placeholders of prepared statements: how many there are, and putting values in their place.
//!
//! The lexer has numbered them `$1, $2, …` in the order of the text, so nothing here depends on the order in which a tree is
//! walked. Values become literals; the statement that comes out has no placeholders left.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, UnaryOperator, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut};

use super::ast::Statement;
use super::ast::alter::{AlterAction, DropPartitionTarget};
use super::ast::dml::{InsertSource, InsertValue};
use super::ast::partition::PartitionBy;
use super::ast::session::{SetItem, SetValue};
use super::ast::show::{Show, ShowFilter, ShowTail};
use super::ast::table::{ColumnDef, TableOptions};

/// Not as many values as placeholders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("incorrect arguments to EXECUTE: {expected} values expected, {given} given")]
pub struct BindError {
    /// How many placeholders the statement has.
    pub expected: usize,
    /// How many values were given.
    pub given: usize,
}

/// How many `?` a statement has in its queries and expressions.
pub fn count_placeholders(statement: &Statement) -> usize {
    let mut counter = Counter::default();
    walk(statement, &mut counter);
    counter.0.len()
}

/// The statement with `values` in place of its placeholders, in the order of the text.
pub fn bind(mut statement: Statement, values: &[Value]) -> Result<Statement, BindError> {
    let expected = count_placeholders(&statement);
    if expected != values.len() {
        return Err(BindError { expected, given: values.len() });
    }
    if expected > 0 {
        walk_mut(&mut statement, &mut Binder(values));
    }
    Ok(statement)
}

/// The numbers that were met: a tree may hold one twice, and need not hold every one.
#[derive(Default)]
struct Counter(BTreeSet<usize>);

impl Visitor for Counter {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        self.0.extend(number(&value.value));
        ControlFlow::Continue(())
    }
}

struct Binder<'a>(&'a [Value]);

impl Binder<'_> {
    fn bound(&self, value: &Value) -> Option<Value> {
        number(value).and_then(|number| self.0.get(number - 1)).cloned()
    }
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    /// A negative number is a minus before a number, as the parser has it.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Some(Value::Number(digits, long)) = self.bound(&value.value)
            && let Some(positive) = digits.strip_prefix('-')
        {
            let positive = Expr::value(Value::Number(positive.to_owned(), long));
            *expr = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(positive) };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Some(bound) = self.bound(&value.value) {
            value.value = bound;
        }
        ControlFlow::Continue(())
    }
}

/// The number of `$n`, from 1.
fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Placeholder(name) => name.strip_prefix('$')?.parse().ok().filter(|number| *number > 0),
        _ => None,
    }
}

/// Writes the two walks over a statement's expressions, one that looks and one that changes: they differ in nothing but
/// `mut`, and must not come apart.
macro_rules! walks {
    ($walk:ident, $visitor:ident, $visit:ident, $as_ref:ident, $($mutability:tt)?) => {
        /// Shows the visitor every query and expression of a statement.
        fn $walk<V: $visitor<Break = ()>>(statement: & $($mutability)? Statement, visitor: &mut V) {
            fn visit<T: $visit, V: $visitor<Break = ()>>(tree: & $($mutability)? T, visitor: &mut V) {
                // These visitors never break, so there is nothing to learn from the answer.
                let _: ControlFlow<()> = tree.visit(visitor);
            }
            fn value<V: $visitor<Break = ()>>(value: & $($mutability)? InsertValue, visitor: &mut V) {
                if let InsertValue::Expr(expr) = value {
                    visit(expr, visitor);
                }
            }
            fn column<V: $visitor<Break = ()>>(column: & $($mutability)? ColumnDef, visitor: &mut V) {
                if let Some(expr) = & $($mutability)? column.generated {
                    visit(expr, visitor);
                }
            }
            fn options<V: $visitor<Break = ()>>(options: & $($mutability)? TableOptions, visitor: &mut V) {
                if let Some(PartitionBy::Expression { exprs, .. }) = & $($mutability)? options.partition_by {
                    visit(exprs, visitor);
                }
            }
            fn filter<V: $visitor<Break = ()>>(filter: & $($mutability)? Option<ShowFilter>, visitor: &mut V) {
                if let Some(ShowFilter::Where(expr)) = filter {
                    visit(expr, visitor);
                }
            }
            fn tail<V: $visitor<Break = ()>>(tail: & $($mutability)? ShowTail, visitor: &mut V) {
                visit(& $($mutability)? tail.selection, visitor);
                visit(& $($mutability)? tail.order_by, visitor);
            }
            fn show<V: $visitor<Break = ()>>(show: & $($mutability)? Show, visitor: &mut V) {
                match show {
                    Show::Databases { filter: found, .. }
                    | Show::Tables { filter: found, .. }
                    | Show::TableStatus { filter: found, .. }
                    | Show::Columns { filter: found, .. }
                    | Show::Index { filter: found, .. }
                    | Show::Variables { filter: found, .. }
                    | Show::Status { filter: found, .. }
                    | Show::Functions { filter: found, .. }
                    | Show::Triggers { filter: found, .. }
                    | Show::Events { filter: found, .. }
                    | Show::OpenTables { filter: found, .. }
                    | Show::MaterializedViews { filter: found, .. }
                    | Show::Charset(found)
                    | Show::Collation(found)
                    | Show::ProcedureStatus(found)
                    | Show::FunctionStatus(found)
                    | Show::Catalogs(found) => filter(found, visitor),
                    Show::Partitions { tail: found, .. }
                    | Show::Tablets { tail: found, .. }
                    | Show::AlterJobs { tail: found, .. }
                    | Show::Backup { tail: found, .. }
                    | Show::Restore { tail: found, .. }
                    | Show::Verify { tail: found, .. }
                    | Show::Load { tail: found, .. } => tail(found, visitor),
                    Show::Snapshot(found) => tail(& $($mutability)? found.tail, visitor),
                    _ => {}
                }
            }
            match statement {
                Statement::Query(query) => visit(query.$as_ref(), visitor),
                Statement::Explain(explain) => $walk(& $($mutability)? explain.statement, visitor),
                Statement::CreateTable(create) => {
                    for found in & $($mutability)? create.columns {
                        column(found, visitor);
                    }
                    options(& $($mutability)? create.options, visitor);
                }
                Statement::CreateTableAs(create) => {
                    options(& $($mutability)? create.options, visitor);
                    visit(create.query.$as_ref(), visitor);
                }
                Statement::CreateView(create) => visit(create.query.$as_ref(), visitor),
                Statement::AlterTable(alter) => {
                    for action in & $($mutability)? alter.actions {
                        match action {
                            AlterAction::DropPartition { target: DropPartitionTarget::Where(expr), .. } => visit(expr, visitor),
                            AlterAction::AddColumns { columns, .. } => {
                                for found in columns {
                                    column(found, visitor);
                                }
                            }
                            AlterAction::ModifyColumn { column: found, .. } => column(found, visitor),
                            _ => {}
                        }
                    }
                }
                Statement::Insert(insert) => match & $($mutability)? insert.source {
                    InsertSource::Query(query) => visit(query.$as_ref(), visitor),
                    InsertSource::Values(rows) => {
                        for row in rows {
                            for found in row {
                                value(found, visitor);
                            }
                        }
                    }
                },
                Statement::Delete(delete) => visit(& $($mutability)? delete.selection, visitor),
                Statement::Update(update) => {
                    for (_, found) in & $($mutability)? update.assignments {
                        value(found, visitor);
                    }
                    visit(& $($mutability)? update.selection, visitor);
                }
                Statement::Show(found) => show(found, visitor),
                Statement::Set(items) => {
                    for item in items {
                        match item {
                            SetItem::Variable { value: SetValue::Expr(expr), .. }
                            | SetItem::UserVariable { value: expr, .. } => visit(expr, visitor),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    };
}

walks!(walk, Visitor, Visit, as_ref,);
walks!(walk_mut, VisitorMut, VisitMut, as_mut, mut);
