//! One input on its way into one table: bytes in, batches of the table's exact types out.
//!
//! [`TableRows`] owns the reader, the column plan, the assembler and the condition of a Stream Load, and counts what
//! becomes of every row: loaded, filtered (bad), unselected (the condition is not true for it). It does no I/O; whoever
//! runs the load feeds it and writes what comes out. Its memory is one chunk, one row and a few batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use ebla_storage::schema::TableDefinition;
use sqlparser::ast::Expr;

use super::assemble::{AssembleContext, Assembled, Assembler, shown};
use super::columns::{ColumnItem, ColumnPlan, Expression, Expressions};
use super::csv::{CsvFormat, CsvReader};
use super::json::{JsonColumn, JsonFormat, JsonReader};
use super::text_batch::{BadText, ReadRows, RowReader, TextBatch};
use super::{LoadError, Strictness, excerpt};

/// How the input is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputFormat {
    /// CSV.
    Csv(CsvFormat),
    /// JSON.
    Json(JsonFormat),
}

/// What a load does with its input.
#[derive(Debug, Clone)]
pub struct RowsSpec {
    /// How the input is written.
    pub format: InputFormat,
    /// What its columns are; all columns of the table in order when `None`.
    pub columns: Option<Vec<ColumnItem>>,
    /// Which rows are loaded; all when `None`. Over the columns of the table.
    pub condition: Option<Expr>,
    /// What happens to values that do not convert.
    pub strictness: Strictness,
    /// How many bad rows are described.
    pub described_max: usize,
}

/// What became of the rows so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// All rows of the input.
    pub total: u64,
    /// Rows handed on to be loaded.
    pub loaded: u64,
    /// Bad rows.
    pub filtered: u64,
    /// Good rows for which the condition is not true.
    pub unselected: u64,
}

/// Rows ready to be written.
#[derive(Debug)]
pub struct ReadyBatch {
    /// The rows, in the table's exact types.
    pub batch: RecordBatch,
    /// The number of each row in the input, counted from 1.
    pub row_numbers: Vec<u64>,
}

/// One input on its way into one table.
pub struct TableRows {
    reader: Box<dyn RowReader>,
    plan: ColumnPlan,
    given_schema: SchemaRef,
    assembler: Assembler,
    condition: Option<Box<dyn Expression>>,
    counts: RowCounts,
    described_max: usize,
    bad_rows: Vec<BadText>,
}

impl TableRows {
    /// Checks and compiles everything that can be wrong with a load before its input comes.
    pub fn new(
        definition: &TableDefinition,
        spec: RowsSpec,
        expressions: &dyn Expressions,
        context: AssembleContext,
    ) -> Result<TableRows, LoadError> {
        let plan = ColumnPlan::new(definition, spec.columns, expressions)?;
        let assembler = Assembler::new(definition, plan.names(), spec.strictness, context)?;
        let condition =
            spec.condition.map(|condition| expressions.compile(&condition, assembler.schema())).transpose()?;
        let reader: Box<dyn RowReader> = match spec.format {
            InputFormat::Csv(format) => {
                let names: Vec<String> = plan.sources().iter().map(|source| source.name.clone()).collect();
                Box::new(CsvReader::new(format, &names))
            }
            InputFormat::Json(format) => {
                let columns = plan
                    .sources()
                    .iter()
                    .map(|source| JsonColumn { name: source.name.clone(), data_type: source.data_type.clone() });
                Box::new(JsonReader::new(format, columns.collect())?)
            }
        };
        Ok(TableRows {
            reader,
            // Types vary from column to column and are known only once there is a batch; names suffice here.
            given_schema: Arc::new(Schema::empty()),
            plan,
            assembler,
            condition,
            counts: RowCounts::default(),
            described_max: spec.described_max,
            bad_rows: Vec::new(),
        })
    }

    /// Takes the next bytes of the input and returns the batches they complete.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<ReadyBatch>, LoadError> {
        let mut read = ReadRows::default();
        self.reader.push(chunk, &mut read)?;
        self.take(read)
    }

    /// The input is over: returns the last batches.
    pub fn finish(&mut self) -> Result<Vec<ReadyBatch>, LoadError> {
        let mut read = ReadRows::default();
        self.reader.finish(&mut read)?;
        self.take(read)
    }

    /// What became of the rows so far.
    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// The first bad rows.
    pub fn bad_rows(&self) -> &[BadText] {
        &self.bad_rows
    }

    /// Counts rows of a ready batch as bad after all: storage has no place for them. `described` gives the position in
    /// the batch and the reason of some of them.
    pub fn refuse<'a>(&mut self, ready: &ReadyBatch, count: u64, described: impl Iterator<Item = (usize, &'a str)>) {
        self.counts.loaded = self.counts.loaded.saturating_sub(count);
        self.counts.filtered += count;
        let room = self.described_max.saturating_sub(self.bad_rows.len());
        for (index, reason) in described.take(room) {
            let row = ready.row_numbers.get(index).copied().unwrap_or_default();
            self.bad_rows.push(BadText { row, reason: reason.to_owned(), text: text_of_row(&ready.batch, index) });
        }
    }

    fn take(&mut self, read: ReadRows) -> Result<Vec<ReadyBatch>, LoadError> {
        self.counts.total += read.bad_rows;
        self.counts.filtered += read.bad_rows;
        let room = self.described_max.saturating_sub(self.bad_rows.len());
        self.bad_rows.extend(read.bad_texts.into_iter().take(room));
        let mut batches = Vec::with_capacity(read.batches.len());
        for text in read.batches {
            let ready = self.take_batch(text)?;
            if ready.batch.num_rows() > 0 {
                self.counts.loaded += ready.batch.num_rows() as u64;
                batches.push(ready);
            }
        }
        Ok(batches)
    }

    fn take_batch(&mut self, text: TextBatch) -> Result<ReadyBatch, LoadError> {
        let rows = text.batch.num_rows();
        self.counts.total += rows as u64;
        let given = self.plan.apply(&text.batch)?;
        let given = self.given_batch(given, rows)?;
        let assembled = self.assembler.assemble(&given)?;
        self.counts.filtered += assembled.bad_row_count();
        self.describe(&text, &assembled);
        let mut row_numbers = text.row_numbers;
        if let Some(kept) = &assembled.kept {
            retain(&mut row_numbers, kept);
        }
        let ready = ReadyBatch { batch: assembled.batch, row_numbers };
        self.select(ready)
    }

    fn given_batch(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, LoadError> {
        let fits = self.given_schema.fields().len() == columns.len()
            && self
                .given_schema
                .fields()
                .iter()
                .zip(&columns)
                .all(|(field, column)| field.data_type() == column.data_type());
        if !fits {
            let fields: Vec<Field> = self
                .plan
                .names()
                .iter()
                .zip(&columns)
                .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
                .collect();
            self.given_schema = Arc::new(Schema::new(fields));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.given_schema), columns, &options)?)
    }

    /// Keeps the descriptions of bad rows, as long as there is room.
    fn describe(&mut self, text: &TextBatch, assembled: &Assembled) {
        let room = self.described_max.saturating_sub(self.bad_rows.len());
        for bad in assembled.bad_rows.iter().take(room) {
            self.bad_rows.push(BadText {
                row: text.row_numbers.get(bad.index).copied().unwrap_or_default(),
                reason: bad.reason.clone(),
                text: text_of_row(&text.batch, bad.index),
            });
        }
    }

    /// The rows for which the condition is true.
    fn select(&mut self, mut ready: ReadyBatch) -> Result<ReadyBatch, LoadError> {
        let Some(condition) = &self.condition else {
            return Ok(ready);
        };
        let holds = condition.evaluate(&ready.batch)?;
        let holds = match holds.as_boolean_opt() {
            Some(holds) => holds.clone(),
            // As MySQL does, any number but zero is true.
            None => cast(&holds, &ArrowType::Boolean)?.as_boolean().clone(),
        };
        let holds: BooleanArray = if holds.null_count() > 0 { prep_null_mask_filter(&holds) } else { holds };
        let selected = filter_record_batch(&ready.batch, &holds)?;
        self.counts.unselected += (ready.batch.num_rows() - selected.num_rows()) as u64;
        ready.batch = selected;
        retain(&mut ready.row_numbers, &holds);
        Ok(ready)
    }
}

/// Keeps the numbers of the rows that stay. `kept` has no NULL.
fn retain(row_numbers: &mut Vec<u64>, kept: &BooleanArray) {
    let mut row = 0;
    row_numbers.retain(|_| {
        row += 1;
        kept.value(row - 1)
    });
}

/// The values of a row, for people.
fn text_of_row(batch: &RecordBatch, row: usize) -> String {
    let values: Vec<String> = batch.columns().iter().map(|column| shown(column, row)).collect();
    excerpt(&values.join(","))
}
