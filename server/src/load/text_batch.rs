//! Batches of text columns: what the readers make and the assembler takes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};

use super::{BAD_ROWS_DESCRIBED_MAX, BATCH_BYTES_MAX, BATCH_ROWS_MAX, LoadError, excerpt_of_bytes};

/// Cuts a stream of bytes into rows. Chunks may end anywhere, in the middle of a character too.
pub trait RowReader: Send {
    /// Takes the next bytes and adds the batches they complete to `out`.
    fn push(&mut self, chunk: &[u8], out: &mut ReadRows) -> Result<(), LoadError>;

    /// The input has ended: adds what is left.
    fn finish(&mut self, out: &mut ReadRows) -> Result<(), LoadError>;
}

/// What a reader made of the bytes it was given.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// Batches.
    pub batches: Vec<TextBatch>,
    /// How many rows could not be cut into columns.
    pub bad_rows: u64,
    /// The first of them.
    pub bad_texts: Vec<BadText>,
}

/// Rows cut out of an input, as text.
#[derive(Debug)]
pub struct TextBatch {
    /// One column of text for each column of the input.
    pub batch: RecordBatch,
    /// The number of each row in the input, counted from 1.
    pub row_numbers: Vec<u64>,
}

/// A row that could not be cut into columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadText {
    /// Its number in the input, counted from 1.
    pub row: u64,
    /// What is wrong with it.
    pub reason: String,
    /// How it begins.
    pub text: String,
}

impl ReadRows {
    /// Counts a bad row, and describes it when it is one of the first.
    pub(super) fn reject(&mut self, row: u64, reason: impl FnOnce() -> String, text: &[u8]) {
        self.bad_rows += 1;
        if self.bad_texts.len() < BAD_ROWS_DESCRIBED_MAX {
            self.bad_texts.push(BadText { row, reason: reason(), text: excerpt_of_bytes(text) });
        }
    }
}

/// Fills text batches row by row.
pub(super) struct TextBatchBuilder {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    row_numbers: Vec<u64>,
    bytes: usize,
}

impl TextBatchBuilder {
    /// A builder of batches with these columns.
    pub(super) fn new(names: &[String]) -> TextBatchBuilder {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, ArrowType::Utf8, true)).collect();
        TextBatchBuilder {
            schema: Arc::new(Schema::new(fields)),
            columns: names.iter().map(|_| StringBuilder::new()).collect(),
            row_numbers: Vec::new(),
            bytes: 0,
        }
    }

    /// How many columns a row has.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Adds a row. `values` gives one value a column, in order.
    pub(super) fn add<'a>(&mut self, row_number: u64, values: impl Iterator<Item = Option<&'a str>>) {
        let mut columns = self.columns.iter_mut();
        for value in values {
            let Some(column) = columns.next() else {
                break;
            };
            self.bytes += value.map_or(0, str::len);
            column.append_option(value);
        }
        for column in columns {
            column.append_null();
        }
        self.row_numbers.push(row_number);
    }

    /// Whether the batch is large enough.
    pub(super) fn is_full(&self) -> bool {
        self.row_numbers.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Ends the batch, if it has rows.
    pub(super) fn flush(&mut self, out: &mut ReadRows) -> Result<(), LoadError> {
        if self.row_numbers.is_empty() {
            return Ok(());
        }
        let row_numbers = std::mem::take(&mut self.row_numbers);
        self.bytes = 0;
        let columns: Vec<ArrayRef> =
            self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(row_numbers.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        out.batches.push(TextBatch { batch, row_numbers });
        Ok(())
    }
}
