//! INSERT INTO and INSERT OVERWRITE, and SHOW LOAD.
//!
//! Rows come from VALUES or from a query, become rows of the table's exact types, and are published in one transaction.
//! In strict mode (the default) one bad row fails the statement; otherwise bad rows are left out and counted as warnings.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use ebla_protocol::sql::ast::dml::{Insert, InsertMode, InsertSource, InsertValue};
use ebla_protocol::sql::ast::show::ShowTail;
use ebla_protocol::wire::{Completion, Outcome};
use ebla_storage::catalog::{LoadKind, LoadState, TableRow};
use ebla_storage::load::{Load, LoadSpec};
use ebla_storage::schema::TableDefinition;
use futures::StreamExt;
use sqlparser::ast::{Expr, UnaryOperator, Value as AstValue};

use super::rows::{TextRows, text};
use super::{query, resolve_own_table};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::load::assemble::{AssembleContext, Assembler, BadRow};
use crate::load::{LoadError, Strictness};
use crate::session::Session;

/// Bad rows whose reasons an error or a warning tells.
const BAD_ROWS_TOLD_MAX: usize = 5;

/// Warnings of an INSERT that are kept for SHOW WARNINGS.
const WARNINGS_KEPT_MAX: usize = 64;

/// INSERT.
pub async fn execute(session: &mut Session, statement: Insert) -> Result<Outcome> {
    let (database, name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("INSERT", Object::Table(&database, &name))?;
    execute_checked(session, statement).await
}

/// INSERT whose privileges have been checked.
pub async fn execute_checked(session: &mut Session, statement: Insert) -> Result<Outcome> {
    if statement.mode == InsertMode::Replace {
        return Err(Error::not_yet(
            "REPLACE INTO (it needs a PRIMARY KEY table; INSERT OVERWRITE replaces partitions)",
        ));
    }
    if statement.temporary_partitions {
        return Err(Error::not_yet("TEMPORARY partitions"));
    }
    if let Some(label) = statement.label.as_ref().filter(|label| !crate::load::is_label(label)) {
        return Err(Error::WrongLabel(label.clone()));
    }
    let (database, name) = resolve_own_table(session, &statement.table)?;
    let storage = Arc::clone(&session.server.storage);
    let table = storage.catalog().read(|read| read.table(read.database(&database)?.id, &name))?;
    let columns: Vec<String> = match statement.columns.is_empty() {
        true => table.definition.columns.iter().map(|column| column.name.clone()).collect(),
        false => statement.columns.clone(),
    };
    let strict = session.variables.is_on("enable_insert_strict");
    let kind = if statement.mode == InsertMode::Overwrite { LoadKind::Overwrite } else { LoadKind::Insert };
    let load = storage
        .begin_load(LoadSpec {
            database,
            table: name,
            label: statement.label.clone(),
            kind,
            partitions: (!statement.partitions.is_empty()).then(|| statement.partitions.clone()),
            max_filter_ratio: if strict { 0.0 } else { 1.0 },
        })
        .await?;
    let mut sink = Sink { load, table, strict, total: 0, bad: 0, told: Vec::new() };
    if let Err(error) = fill(session, &mut sink, &columns, statement.source).await {
        sink.load.abort(&error.to_string()).await;
        return Err(error);
    }
    let warnings = sink.warnings();
    let filtered = sink.bad;
    let receipt = sink.load.commit().await?;
    session.warnings.extend(warnings.into_iter().map(|text| ("Warning", 5000, text)));
    Ok(Outcome::Ok(Completion {
        affected_rows: receipt.rows,
        last_insert_id: 0,
        warnings: u16::try_from(filtered).unwrap_or(u16::MAX),
        info: format!("{{'label':'{}', 'status':'VISIBLE', 'txnId':'{}'}}", receipt.label, receipt.transaction_id),
    }))
}

/// Puts the rows of VALUES or of a query into the load. Errors when strict mode refuses one.
async fn fill(session: &Session, sink: &mut Sink, columns: &[String], source: InsertSource) -> Result<()> {
    match source {
        InsertSource::Values(rows) => insert_values(session, sink, columns, rows).await?,
        InsertSource::Query(source) => {
            let mut batches = query::stream(session, *source).await?;
            let given = batches.columns().fields().len();
            if given != columns.len() {
                return Err(Error::analysis(format!(
                    "Column count doesn't match value count: {} columns, {given} values",
                    columns.len()
                )));
            }
            let mut assembler = sink.assembler(session, columns)?;
            while let Some(batch) = batches.next().await {
                sink.write(&mut assembler, &batch?).await?;
            }
        }
    }
    sink.check_strict()
}

/// Where the rows of an INSERT go.
struct Sink {
    load: Load,
    table: TableRow,
    strict: bool,
    total: u64,
    bad: u64,
    told: Vec<String>,
}

impl Sink {
    fn assembler(&self, session: &Session, columns: &[String]) -> Result<Assembler> {
        let micros = session.server.now_ms().saturating_mul(1000);
        let storage = Arc::clone(&session.server.storage);
        let table = self.table.id;
        let context = AssembleContext {
            now_micros: session.time_zone().to_local(micros).unwrap_or(micros),
            random: Arc::clone(session.server.storage.catalog().random()),
            auto_increment: Some(Box::new(move |count| {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                storage.take_auto_increment(table, count).map_err(LoadError::Storage)
            })),
        };
        let strictness = if self.strict { Strictness::Strict } else { Strictness::Lenient };
        Assembler::new(&self.table.definition, columns, strictness, context).map_err(from_load)
    }

    async fn write(&mut self, assembler: &mut Assembler, batch: &RecordBatch) -> Result<()> {
        let assembled = assembler.assemble(batch).map_err(from_load)?;
        self.note(assembled.bad_row_count(), &assembled.bad_rows);
        self.load.add_filtered(assembled.bad_row_count());
        self.total += batch.num_rows() as u64;
        // In strict mode a bad row has decided the outcome: nothing more need be written.
        self.check_strict()?;
        let refused = self.load.write(assembled.batch).await?;
        for row in &refused.rows {
            if self.told.len() < WARNINGS_KEPT_MAX {
                self.told.push(row.reason.clone());
            }
        }
        self.bad += refused.count;
        self.check_strict()
    }

    fn note(&mut self, count: u64, rows: &[BadRow]) {
        for row in rows {
            if self.told.len() < WARNINGS_KEPT_MAX {
                self.told.push(format!(
                    "Row {}: column '{}': {}",
                    self.total + row.index as u64 + 1,
                    row.column,
                    row.reason
                ));
            }
        }
        self.bad += count;
    }

    fn check_strict(&self) -> Result<()> {
        if !self.strict || self.bad == 0 {
            return Ok(());
        }
        let told: Vec<&str> = self.told.iter().take(BAD_ROWS_TOLD_MAX).map(String::as_str).collect();
        Err(Error::refused(format!(
            "Insert has filtered data in strict mode; nothing was inserted. {}. Correct the rows, or set \
             enable_insert_strict = false to leave bad rows out",
            told.join("; ")
        )))
    }

    fn warnings(&self) -> Vec<String> {
        self.told.clone()
    }
}

/// Which columns a row of VALUES gives, and whether all its values are literals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RowShape {
    given: Vec<bool>,
    literal: bool,
}

async fn insert_values(
    session: &Session,
    sink: &mut Sink,
    columns: &[String],
    rows: Vec<Vec<InsertValue>>,
) -> Result<()> {
    let mut assemblers: HashMap<Vec<bool>, Assembler> = HashMap::new();
    let mut rows = rows.into_iter().peekable();
    while let Some(row) = rows.next() {
        let shape = shape_of(&row, columns.len())?;
        let mut run = vec![row];
        // Rows of one shape go together, so that the usual INSERT is one batch.
        while shape.literal
            && let Some(next) = rows.peek()
            && shape_of(next, columns.len())? == shape
            && let Some(next) = rows.next()
        {
            run.push(next);
        }
        let given: Vec<String> =
            columns.iter().zip(&shape.given).filter(|(_, given)| **given).map(|(name, _)| name.clone()).collect();
        let batch = match shape.literal {
            true => literal_batch(&sink.table.definition, &given, &run)?,
            false => computed_row(session, run.into_iter().flatten().collect()).await?,
        };
        if !assemblers.contains_key(&shape.given) {
            assemblers.insert(shape.given.clone(), sink.assembler(session, &given)?);
        }
        if let Some(assembler) = assemblers.get_mut(&shape.given) {
            sink.write(assembler, &batch).await?;
        }
    }
    Ok(())
}

fn shape_of(row: &[InsertValue], columns: usize) -> Result<RowShape> {
    if row.len() != columns {
        return Err(Error::analysis(format!(
            "Column count doesn't match value count: {columns} columns, {} values",
            row.len()
        )));
    }
    Ok(RowShape {
        given: row.iter().map(|value| !matches!(value, InsertValue::Default)).collect(),
        literal: row.iter().all(|value| match value {
            InsertValue::Default => true,
            InsertValue::Expr(expr) => literal_text(expr).is_some(),
        }),
    })
}

/// The text of a literal, exact for numbers of any size; the inner `None` is NULL. No literal is `None`.
fn literal_text(expr: &Expr) -> Option<Option<String>> {
    match expr {
        Expr::Nested(inner) => literal_text(inner),
        Expr::Value(value) => match &value.value {
            AstValue::Null => Some(None),
            AstValue::Number(digits, _) => Some(Some(digits.clone())),
            AstValue::SingleQuotedString(text) | AstValue::DoubleQuotedString(text) => Some(Some(text.clone())),
            AstValue::Boolean(flag) => Some(Some(if *flag { "1" } else { "0" }.to_owned())),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                AstValue::Number(digits, _) => Some(Some(format!("-{digits}"))),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a literal is a text, of which columns of integers take whole numbers only.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_text(inner),
        Expr::Value(value) => {
            matches!(value.value, AstValue::SingleQuotedString(_) | AstValue::DoubleQuotedString(_))
        }
        _ => false,
    }
}

/// A number's literal as a column of integers takes it, which is as a CAST does: without what stands behind the point.
/// One with an exponent is a DOUBLE.
fn whole_number(literal: String) -> String {
    if literal.contains(['e', 'E']) {
        return match literal.parse::<f64>() {
            Ok(number) if number.is_finite() => number.trunc().to_string(),
            _ => literal,
        };
    }
    match literal.split_once('.') {
        Some((whole, _)) if whole.ends_with(|last: char| last.is_ascii_digit()) => whole.to_owned(),
        Some((sign, _)) => format!("{sign}0"),
        None => literal,
    }
}

/// Rows of literals as columns of text, which the assembler reads exactly. Each value becomes one of its column's type
/// by itself: what stands beside it in other rows is of no consequence.
fn literal_batch(definition: &TableDefinition, given: &[String], rows: &[Vec<InsertValue>]) -> Result<RecordBatch> {
    let is_whole = |name: &String| {
        let column = definition.columns.iter().find(|column| column.is_named(name));
        column.is_some_and(|column| column.data_type.is_integer())
    };
    let mut builders: Vec<(StringBuilder, bool)> =
        given.iter().map(|name| (StringBuilder::new(), is_whole(name))).collect();
    for row in rows {
        let values = row.iter().filter_map(|value| match value {
            InsertValue::Default => None,
            InsertValue::Expr(expr) => Some(expr),
        });
        for ((builder, is_whole), expr) in builders.iter_mut().zip(values) {
            let text = literal_text(expr).flatten();
            builder.append_option(match *is_whole && !is_text(expr) {
                true => text.map(whole_number),
                false => text,
            });
        }
    }
    let mut builders: Vec<StringBuilder> = builders.into_iter().map(|(builder, _)| builder).collect();
    let columns: Vec<ArrayRef> = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
    let fields: Vec<Field> = given.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| Error::Internal(error.to_string()))
}

/// One row of expressions, worked out.
async fn computed_row(session: &Session, row: Vec<InsertValue>) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields = Vec::new();
    for value in row {
        let InsertValue::Expr(expr) = value else { continue };
        let column = match &expr {
            // The engine would read it as a number.
            Expr::Value(value) if let AstValue::HexStringLiteral(digits) = &value.value => {
                Arc::new(BinaryArray::from_iter_values([hex_bytes(digits)?])) as ArrayRef
            }
            _ => query::scalar_array(session, &expr).await?,
        };
        fields.push(Field::new(format!("c{}", fields.len()), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| Error::Internal(error.to_string()))
}

fn hex_bytes(digits: &str) -> Result<Vec<u8>> {
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| Error::analysis(format!("'{digits}' is not a hexadecimal literal")))
}

fn from_load(error: LoadError) -> Error {
    match error {
        LoadError::Storage(error) => Error::Storage(error),
        LoadError::Internal(text) => Error::Internal(text),
        other => Error::analysis(other.to_string()),
    }
}

/// SHOW LOAD: the loads of a database, newest first.
pub async fn show_load(session: &Session, database: Option<&str>, tail: &ShowTail) -> Result<Outcome> {
    let database = session.database_or_current(database)?;
    let access = session.access()?;
    access.require_database(&database)?;
    let loads = session.server.storage.catalog().read(|read| read.loads(read.database(&database)?.id))?;
    let mut rows = TextRows::new([
        "JobId",
        "Label",
        "State",
        "Progress",
        "Type",
        "Table",
        "ScanRows",
        "FilteredRows",
        "SinkRows",
        "ErrorMsg",
        "CreateTime",
        "LoadFinishTime",
    ])
    .numbers(&["JobId", "ScanRows", "FilteredRows", "SinkRows"]);
    for load in loads {
        if !access.sees_table(&database, &load.table_name) {
            continue;
        }
        let visible_rows = load.visible_rows();
        rows.push(vec![
            text(load.id),
            text(load.label),
            text(load_state(load.state)),
            text(if load.state == LoadState::Visible { "100%" } else { "" }),
            text(load.kind),
            text(load.table_name),
            text(load.rows + load.filtered_rows),
            text(load.filtered_rows),
            text(visible_rows),
            (!load.reason.is_empty()).then_some(load.reason),
            text(session.format_time(load.created_at_ms)),
            load.finished_at_ms.map(|at_ms| session.format_time(at_ms)),
        ]);
    }
    rows.tailed(session, tail).await
}

/// A load's state as SHOW LOAD names it.
pub fn load_state(state: LoadState) -> &'static str {
    match state {
        LoadState::Prepare => "LOADING",
        LoadState::Visible => "FINISHED",
        LoadState::Aborted => "CANCELLED",
    }
}
