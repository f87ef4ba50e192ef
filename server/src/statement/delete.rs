//! DELETE: rows that meet a condition go into delete vectors, in one transaction.

use std::sync::Arc;

use ebla_protocol::sql::ast::dml::Delete;
use ebla_protocol::wire::{Completion, Outcome};
use ebla_storage::delete::{DeleteSpec, RowPredicate};
use sqlparser::ast::{Expr, Ident, visit_expressions, visit_expressions_mut};

use super::{query, resolve_own_table};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// DELETE.
pub async fn execute(session: &Session, statement: Delete) -> Result<Outcome> {
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("DELETE", Object::Table(&database, &name))?;
    let storage = Arc::clone(&session.server.storage);
    let table = storage.catalog().read(|read| read.table(read.database(&database)?.id, &name))?;
    let schema = table.definition.to_arrow();
    let mut selection = statement.selection;
    drop_qualifiers(&mut selection, &database, &name);
    let columns = named_columns(&selection, &schema);
    // Only the columns of the condition are read.
    let projected = schema.project(&columns).map_err(|error| Error::Internal(error.to_string()))?;
    let context = query::context(session)?;
    let engine = Arc::clone(&session.server.engine);
    let compiled = {
        let projected = projected.clone();
        tokio::task::spawn_blocking(move || engine.compile_expr(&selection, &projected, &context))
            .await
            .map_err(|error| Error::Internal(error.to_string()))??
    };
    let predicate: RowPredicate = Arc::new(move |batch| {
        compiled.evaluate_predicate(batch).map_err(|error| ebla_storage::Error::Invalid(error.to_string()))
    });
    let receipt = storage
        .delete(DeleteSpec {
            database,
            table: name,
            partitions: (!statement.partitions.is_empty()).then_some(statement.partitions),
            columns: projected.fields().iter().map(|field| field.name().clone()).collect(),
            predicate,
        })
        .await?;
    Ok(Outcome::Ok(Completion {
        affected_rows: receipt.rows,
        info: format!("{{'label':'{}', 'status':'VISIBLE', 'txnId':'{}'}}", receipt.label, receipt.transaction_id),
        ..Completion::default()
    }))
}

/// `t.c` and `db.t.c` to `c`: there is but one table.
fn drop_qualifiers(selection: &mut Expr, database: &str, table: &str) {
    let _ = visit_expressions_mut(selection, |expr| {
        if let Expr::CompoundIdentifier(parts) = expr {
            let names: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
            let qualifiers = match names.as_slice() {
                [first, second, _, ..] if *first == database && *second == table => 2,
                [first, _, ..] if *first == table => 1,
                _ => 0,
            };
            parts.drain(..qualifiers);
            if let [column] = parts.as_slice() {
                *expr = Expr::Identifier(column.clone());
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}

/// Positions of the table's columns that an expression names; the first column when it names none, since a condition
/// without columns still needs to know how many rows there are.
fn named_columns(selection: &Expr, schema: &arrow::datatypes::Schema) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut note = |ident: &Ident| {
        let found = schema.fields().iter().position(|field| {
            field.name().eq_ignore_ascii_case(&ident.value) || field.name().to_lowercase() == ident.value.to_lowercase()
        });
        positions.extend(found);
    };
    let _ = visit_expressions(selection, |expr| {
        match expr {
            Expr::Identifier(ident) => note(ident),
            Expr::CompoundIdentifier(parts) => parts.last().into_iter().for_each(&mut note),
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    positions.sort_unstable();
    positions.dedup();
    if positions.is_empty() && !schema.fields().is_empty() {
        positions.push(0);
    }
    positions
}
