//! Fitting a batch to its table: columns by name, values within their types, no NULL where none may be.
//!
//! A row that does not fit is refused with a reason; the rest of the batch goes on. Which is worse for the user, a load
//! that fails or one that leaves rows out, is the caller's to decide.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::filter::filter;

use crate::error::{Error, Result};
use crate::schema::{Column, DataType, TableDefinition};

/// Refused rows of one batch that are named with their reason; the others are only counted.
pub const REFUSED_ROWS_NAMED_MAX: usize = 64;

/// Rows of one batch that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedRows {
    /// How many.
    pub count: u64,
    /// The first of them, in no particular order.
    pub rows: Vec<RefusedRow>,
}

/// One row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its position in the batch.
    pub index: usize,
    /// Why, for people.
    pub reason: String,
}

/// A batch being checked.
#[derive(Debug)]
pub(super) struct CheckedBatch {
    /// Columns of the table, in its order. NULL may still be where it must not.
    rows: RecordBatch,
    refused: RefusedRows,
    /// Whether each row stays; `None` while all do.
    keep: Option<Vec<bool>>,
}

/// The table's schema with every column nullable, for rows that are not checked yet.
pub(super) fn unchecked_schema(definition: &TableDefinition) -> SchemaRef {
    let fields: Vec<Field> = definition.columns.iter().map(|column| column.to_field().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// Brings a batch to the table's columns and checks every value. `schema` is the table's [`unchecked_schema`].
/// Errors when a column is missing, unknown, or of a type that cannot become the table's.
pub(super) fn check(definition: &TableDefinition, schema: &SchemaRef, batch: &RecordBatch) -> Result<CheckedBatch> {
    let rows = batch.num_rows();
    let given = batch.schema();
    for field in given.fields() {
        if definition.column(field.name()).is_none() {
            return Err(Error::invalid(format!("Unknown column '{}' in the rows to load", field.name())));
        }
    }
    let mut refusals = Refusals::new(rows);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(definition.columns.len());
    for (column, field) in definition.columns.iter().zip(schema.fields()) {
        let position = given
            .fields()
            .iter()
            .position(|given| column.is_named(given.name()))
            .ok_or_else(|| Error::invalid(format!("column '{}' is missing from the rows to load", column.name)))?;
        let array = convert(column, field, batch.column(position), &mut refusals)?;
        check_values(column, &array, &mut refusals);
        if !column.nullable && array.null_count() > 0 {
            for row in (0..rows).filter(|row| array.is_null(*row)) {
                refusals.refuse(row, || format!("NULL value in non-nullable column '{}'", column.name));
            }
        }
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    Ok(CheckedBatch { rows, refused: refusals.refused, keep: refusals.keep })
}

impl CheckedBatch {
    /// All the rows, refused ones included.
    pub(super) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Whether a row stays.
    pub(super) fn is_kept(&self, row: usize) -> bool {
        self.keep.as_ref().is_none_or(|keep| keep[row])
    }

    /// Leaves a row out.
    pub(super) fn refuse(&mut self, row: usize, reason: impl FnOnce() -> String) {
        let mut refusals =
            Refusals { rows: self.rows.num_rows(), refused: std::mem::take(&mut self.refused), keep: self.keep.take() };
        refusals.refuse(row, reason);
        (self.refused, self.keep) = (refusals.refused, refusals.keep);
    }

    /// The rows that stay, in the table's schema, and those that do not.
    pub(super) fn finish(self, schema: &SchemaRef) -> Result<(RecordBatch, RefusedRows)> {
        let columns = match self.keep {
            None => self.rows.columns().to_vec(),
            Some(keep) => {
                let keep = BooleanArray::from(keep);
                self.rows.columns().iter().map(|column| filter(column, &keep)).collect::<Result<_, _>>()?
            }
        };
        Ok((RecordBatch::try_new(Arc::clone(schema), columns)?, self.refused))
    }
}

struct Refusals {
    rows: usize,
    refused: RefusedRows,
    keep: Option<Vec<bool>>,
}

impl Refusals {
    fn new(rows: usize) -> Self {
        Refusals { rows, refused: RefusedRows::default(), keep: None }
    }

    /// Only the first reason of a row counts.
    fn refuse(&mut self, row: usize, reason: impl FnOnce() -> String) {
        let keep = self.keep.get_or_insert_with(|| vec![true; self.rows]);
        if !std::mem::replace(&mut keep[row], false) {
            return;
        }
        self.refused.count += 1;
        if self.refused.rows.len() < REFUSED_ROWS_NAMED_MAX {
            self.refused.rows.push(RefusedRow { index: row, reason: reason() });
        }
    }
}

/// The column in the table's type. A value that the type cannot hold becomes NULL and its row is refused.
fn convert(column: &Column, field: &Field, array: &ArrayRef, refusals: &mut Refusals) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let converted = cast_with_options(array, field.data_type(), &options)
        .map_err(|error| Error::invalid(format!("column '{}' cannot take these values: {error}", column.name)))?;
    if converted.null_count() > array.null_count() {
        for row in (0..array.len()).filter(|row| converted.is_null(*row) && array.is_valid(*row)) {
            refusals.refuse(row, || {
                format!("value of column '{}' is out of the range of type {}", column.name, column.data_type)
            });
        }
    }
    Ok(converted)
}

fn check_values(column: &Column, array: &ArrayRef, refusals: &mut Refusals) {
    match &column.data_type {
        DataType::Char { length } | DataType::Varchar { length } => {
            let texts = array.as_string::<i32>();
            let limit = *length as usize;
            refuse_longer(column, limit, texts.offsets(), |row| texts.is_valid(row), refusals);
        }
        DataType::Varbinary { length } => {
            let values = array.as_binary::<i32>();
            let limit = *length as usize;
            refuse_longer(column, limit, values.offsets(), |row| values.is_valid(row), refusals);
        }
        DataType::Decimal { precision, .. } => {
            let values = array.as_primitive::<Decimal128Type>();
            if values.validate_decimal_precision(*precision).is_ok() {
                return;
            }
            let limit = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX).unsigned_abs();
            for row in 0..values.len() {
                if values.is_valid(row) && values.value(row).unsigned_abs() >= limit {
                    refusals.refuse(row, || {
                        let (name, data_type) = (&column.name, &column.data_type);
                        format!("value of column '{name}' is out of the range of type {data_type}")
                    });
                }
            }
        }
        DataType::LargeInt => {
            let values = array.as_primitive::<Decimal256Type>();
            for row in 0..values.len() {
                if values.is_valid(row) && values.value(row).to_i128().is_none() {
                    refusals.refuse(row, || {
                        format!("value of column '{}' is out of the range of type LARGEINT", column.name)
                    });
                }
            }
        }
        _ => {}
    }
}

fn refuse_longer(
    column: &Column,
    limit: usize,
    offsets: &[i32],
    is_valid: impl Fn(usize) -> bool,
    refusals: &mut Refusals,
) {
    for (row, pair) in offsets.windows(2).enumerate() {
        // Offsets of an array never fall.
        let length = (pair[1] - pair[0]) as usize;
        if length > limit && is_valid(row) {
            refusals.refuse(row, || {
                let (name, data_type) = (&column.name, &column.data_type);
                format!("value of column '{name}' is too long: {length} bytes do not fit into {data_type}")
            });
        }
    }
}
