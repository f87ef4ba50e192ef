//! Rows that a statement makes itself: what SHOW answers. Columns are texts, as clients of this family expect.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ebla_protocol::sql::ast::show::{ShowFilter, ShowLimit, ShowTail};
use ebla_protocol::wire::{Outcome, Rows};

use crate::auth::like;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::statement::query;

/// Rows of texts under construction.
#[derive(Debug, Clone)]
pub struct TextRows {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// A cell from anything that prints.
pub fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

impl TextRows {
    /// No rows yet, under these columns.
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> TextRows {
        TextRows { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell a column.
    pub fn push(&mut self, row: Vec<Option<String>>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a row has one cell a column");
        self.rows.push(row);
    }

    /// Adds a row, and returns the rows.
    pub fn with(mut self, row: Vec<Option<String>>) -> TextRows {
        self.push(row);
        self
    }

    /// The rows as one batch.
    pub fn into_batch(self) -> Result<RecordBatch> {
        let fields: Vec<Field> = self.columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let columns: Vec<ArrayRef> = (0..self.columns.len())
            .map(|column| {
                let mut builder = StringBuilder::new();
                for row in &self.rows {
                    builder.append_option(row.get(column).and_then(Option::as_deref));
                }
                Arc::new(builder.finish()) as ArrayRef
            })
            .collect();
        if columns.is_empty() {
            return Ok(RecordBatch::new_empty(schema));
        }
        RecordBatch::try_new(schema, columns).map_err(|error| Error::Internal(error.to_string()))
    }

    /// The rows as an outcome.
    pub fn into_outcome(self) -> Result<Outcome> {
        Ok(Outcome::Rows(Rows::from_batch(self.into_batch()?)))
    }

    /// The rows that pass `LIKE` on the first column or `WHERE` on any, as an outcome.
    pub async fn filtered(self, session: &Session, filter: Option<&ShowFilter>) -> Result<Outcome> {
        match filter {
            None => self.into_outcome(),
            Some(ShowFilter::Like(pattern)) => self.like(Some(pattern)).into_outcome(),
            Some(ShowFilter::Where(condition)) => {
                let tail = ShowTail { selection: Some(condition.clone()), ..ShowTail::default() };
                self.tailed(session, &tail).await
            }
        }
    }

    /// The rows whose first column is like a pattern, when there is one.
    #[must_use]
    pub fn like(mut self, pattern: Option<&str>) -> TextRows {
        if let Some(pattern) = pattern {
            // MySQL compares names without regard to case here.
            let pattern = pattern.to_lowercase();
            self.rows.retain(|row| {
                row.first().and_then(Option::as_deref).is_some_and(|name| like(&pattern, &name.to_lowercase()))
            });
        }
        self
    }

    /// The rows after `LIMIT`, as an outcome.
    pub fn limited(self, limit: Option<ShowLimit>) -> Result<Outcome> {
        Ok(Outcome::Rows(Rows::from_batch(limited(self.into_batch()?, limit))))
    }

    /// The rows after `WHERE`, `ORDER BY` and `LIMIT`, as an outcome.
    pub async fn tailed(self, session: &Session, tail: &ShowTail) -> Result<Outcome> {
        let mut batch = self.into_batch()?;
        if tail.selection.is_some() || !tail.order_by.is_empty() {
            batch = with_numbers(&batch)?;
            let batches =
                query::over_batch(session, batch.clone(), tail.selection.clone(), tail.order_by.clone()).await?;
            batch = concat_batches(&batch.schema(), &batches).map_err(|error| Error::Internal(error.to_string()))?;
        }
        Ok(Outcome::Rows(Rows::from_batch(limited(batch, tail.limit))))
    }
}

/// The same rows with columns of whole numbers as numbers, so that 9 sorts before 10.
fn with_numbers(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let texts = column.as_string::<i32>();
        let is_number = |text: Option<&str>| text.is_none_or(|text| text.parse::<i64>().is_ok());
        if texts.null_count() < texts.len() && texts.iter().all(is_number) {
            let numbers: Int64Array = texts.iter().map(|text| text.and_then(|text| text.parse().ok())).collect();
            fields.push(Field::new(field.name(), DataType::Int64, true));
            columns.push(Arc::new(numbers) as ArrayRef);
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| Error::Internal(error.to_string()))
}

fn limited(batch: RecordBatch, limit: Option<ShowLimit>) -> RecordBatch {
    let Some(limit) = limit else { return batch };
    let rows = batch.num_rows();
    let offset = usize::try_from(limit.offset).unwrap_or(usize::MAX).min(rows);
    let count = usize::try_from(limit.count).unwrap_or(usize::MAX).min(rows - offset);
    batch.slice(offset, count)
}

/// One column of texts, for answers that have just one.
pub fn single_column(name: &str, values: Vec<String>) -> Result<Outcome> {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]));
    let column: ArrayRef = Arc::new(StringArray::from(values));
    let batch = RecordBatch::try_new(schema, vec![column]).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Outcome::Rows(Rows::from_batch(batch)))
}
