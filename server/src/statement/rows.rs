//! Rows that a statement makes itself: what SHOW answers. Columns are texts, as clients of this family expect.
//!
//! WHERE and ORDER BY compare the columns that a statement has declared to be numbers as such, so that 9 comes before 10,
//! and all others as texts, whatever stands in them. They choose rows; what is answered are the texts, unchanged.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use ebla_protocol::sql::ast::show::{ShowFilter, ShowLimit, ShowTail};
use ebla_protocol::wire::{Outcome, Rows};

use crate::auth::like;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::statement::query;

/// Name of the column that numbers the rows while they are chosen from. No column of a statement has a blank in front.
const POSITION: &str = " position";

/// Rows of texts under construction.
#[derive(Debug, Clone)]
pub struct TextRows {
    columns: Vec<String>,
    /// Those of the columns that WHERE and ORDER BY take as numbers.
    numbers: &'static [&'static str],
    /// Whether LIKE tells capitals from small letters.
    exact: bool,
    rows: Vec<Vec<Option<String>>>,
}

/// A cell from anything that prints.
pub fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

impl TextRows {
    /// No rows yet, under these columns.
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> TextRows {
        TextRows {
            columns: columns.into_iter().map(Into::into).collect(),
            numbers: &[],
            exact: false,
            rows: Vec::new(),
        }
    }

    /// Declares that these columns hold whole numbers.
    #[must_use]
    pub fn numbers(mut self, numbers: &'static [&'static str]) -> TextRows {
        debug_assert!(numbers.iter().all(|name| self.columns.iter().any(|column| column == name)), "{numbers:?}");
        self.numbers = numbers;
        self
    }

    /// Declares that names which differ in case alone are names of different things, as those of tables are.
    #[must_use]
    pub fn exact(mut self) -> TextRows {
        self.exact = true;
        self
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
            Some(ShowFilter::Like(pattern)) => self.like(0, Some(pattern)).into_outcome(),
            Some(ShowFilter::Where(condition)) => {
                let tail = ShowTail { selection: Some(condition.clone()), ..ShowTail::default() };
                self.tailed(session, &tail).await
            }
        }
    }

    /// The rows whose column at this place is like a pattern, when there is one.
    #[must_use]
    pub fn like(mut self, column: usize, pattern: Option<&str>) -> TextRows {
        if let Some(pattern) = pattern {
            // MySQL compares names without regard to case here, but for those of tables.
            let spelled = |text: &str| if self.exact { text.to_owned() } else { text.to_lowercase() };
            let pattern = spelled(pattern);
            self.rows.retain(|row| {
                row.get(column).and_then(Option::as_deref).is_some_and(|name| like(&pattern, &spelled(name)))
            });
        }
        self
    }

    /// The rows after `WHERE`, `ORDER BY` and `LIMIT`, as an outcome.
    pub async fn tailed(self, session: &Session, tail: &ShowTail) -> Result<Outcome> {
        let numbers = self.numbers;
        let mut batch = self.into_batch()?;
        if tail.selection.is_some() || !tail.order_by.is_empty() {
            let asked = comparable(&batch, numbers)?;
            let chosen = query::over_batch(session, asked, tail.selection.clone(), tail.order_by.clone()).await?;
            batch = take_chosen(&batch, &chosen)?;
        }
        Ok(Outcome::Rows(Rows::from_batch(limited(batch, tail.limit))))
    }
}

/// The rows as WHERE and ORDER BY are to see them: these columns as numbers, and at the end where each row stands.
fn comparable(batch: &RecordBatch, numbers: &[&str]) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns() + 1);
    let mut columns = Vec::with_capacity(batch.num_columns() + 1);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if numbers.contains(&field.name().as_str()) {
            let texts = column.as_string::<i32>();
            let values: Int64Array = texts.iter().map(|text| text.and_then(|text| text.parse().ok())).collect();
            fields.push(Field::new(field.name(), DataType::Int64, true));
            columns.push(Arc::new(values) as ArrayRef);
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    let positions: Int64Array = (0_i64..).take(batch.num_rows()).map(Some).collect();
    fields.push(Field::new(POSITION, DataType::Int64, true));
    columns.push(Arc::new(positions));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| Error::Internal(error.to_string()))
}

/// The rows of `batch` that the query over [`comparable`] has left, in its order.
fn take_chosen(batch: &RecordBatch, chosen: &[RecordBatch]) -> Result<RecordBatch> {
    let mut positions = Vec::new();
    for part in chosen {
        let last = part.columns().last().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let last = last.ok_or_else(|| Error::Internal("a query over rows has lost where they stand".to_owned()))?;
        positions.extend_from_slice(last.values());
    }
    take_record_batch(batch, &Int64Array::from(positions)).map_err(|error| Error::Internal(error.to_string()))
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
