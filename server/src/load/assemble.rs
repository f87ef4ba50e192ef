//! Rows in the table's exact types, whatever types they came in.
//!
//! An [`Assembler`] is made once for a load. For each batch it converts the given columns, checks NOT NULL and length,
//! takes the bad rows out, then fills what was not given: DEFAULT, AUTO_INCREMENT, NULL. Columns that have the right
//! type already are passed on without a copy.
//!
//! Numbers for AUTO_INCREMENT are taken last, for the rows that stay. A bad row is counted and, up to a limit, described.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Decimal256Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Int64Type, SchemaRef, i256};
use ebla_storage::clock::Random;
use ebla_storage::schema::{Column, DataType, DefaultValue, TableDefinition};

use super::convert::{Converted, convert, format};
use super::{BAD_ROWS_DESCRIBED_MAX, LoadError, Strictness, excerpt};

/// Hands out AUTO_INCREMENT numbers: takes a count and returns the first of that many.
pub type AutoIncrement = Box<dyn FnMut(u64) -> Result<i64, LoadError> + Send>;

/// What an [`Assembler`] asks of its surroundings.
pub struct AssembleContext {
    /// CURRENT_TIMESTAMP for the whole load: microseconds since 1970-01-01 00:00:00 in the session's time zone.
    pub now_micros: i64,
    /// Makes UUIDs.
    pub random: Arc<dyn Random>,
    /// Numbers for the AUTO_INCREMENT column; needed only where the table has one.
    pub auto_increment: Option<AutoIncrement>,
}

/// Makes batches of a table out of batches of some of its columns.
pub struct Assembler {
    schema: SchemaRef,
    slots: Vec<Slot>,
    given: usize,
    strictness: Strictness,
    context: AssembleContext,
}

/// One batch in the table's exact types.
#[derive(Debug)]
pub struct Assembled {
    /// The good rows.
    pub batch: RecordBatch,
    /// For each row that came in, whether it is in `batch`; `None` when all are.
    pub kept: Option<BooleanArray>,
    /// The first of the bad rows.
    pub bad_rows: Vec<BadRow>,
}

impl Assembled {
    /// How many rows were bad.
    pub fn bad_row_count(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.false_count() as u64)
    }
}

/// A row that cannot be in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Its position in the batch that came in.
    pub index: usize,
    /// The column that spoils it.
    pub column: String,
    /// What is wrong, with an excerpt of the value.
    pub reason: String,
}

/// One column of the table and where its values come from.
struct Slot {
    column: Column,
    source: Source,
}

enum Source {
    /// A column of the batches that come in.
    Given(usize),
    /// One value for every row, in the column's type.
    Constant(ArrayRef),
    /// A random UUID for each row.
    Uuid,
    /// A random 128-bit number for each row.
    UuidNumeric,
    /// The next numbers.
    AutoIncrement,
}

impl Assembler {
    /// An assembler for batches whose columns are, in order, these columns of the table.
    pub fn new(
        definition: &TableDefinition,
        columns: &[impl AsRef<str>],
        strictness: Strictness,
        context: AssembleContext,
    ) -> Result<Assembler, LoadError> {
        let mut positions: Vec<Option<usize>> = vec![None; definition.columns.len()];
        for (given, name) in columns.iter().enumerate() {
            let name = name.as_ref();
            let position = definition
                .columns
                .iter()
                .position(|column| column.is_named(name))
                .ok_or_else(|| LoadError::invalid(format!("Unknown column '{name}'")))?;
            if positions[position].replace(given).is_some() {
                return Err(LoadError::invalid(format!("Column '{name}' specified twice")));
            }
        }
        let mut slots = Vec::with_capacity(definition.columns.len());
        for (column, given) in definition.columns.iter().zip(positions) {
            let source = match given {
                Some(given) => Source::Given(given),
                None => absent(column, context.now_micros)?,
            };
            slots.push(Slot { column: column.clone(), source });
        }
        let numbers = slots.iter().any(|slot| slot.column.auto_increment);
        if numbers && context.auto_increment.is_none() {
            return Err(LoadError::Internal("no source of AUTO_INCREMENT numbers".to_owned()));
        }
        Ok(Assembler { schema: definition.to_arrow(), slots, given: columns.len(), strictness, context })
    }

    /// The schema of every batch that comes out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Converts one batch.
    pub fn assemble(&mut self, batch: &RecordBatch) -> Result<Assembled, LoadError> {
        if batch.num_columns() != self.given {
            return Err(LoadError::invalid(format!(
                "Column count doesn't match value count: {} columns, {} values",
                self.given,
                batch.num_columns()
            )));
        }
        let mut bad = BadRows::new(batch.num_rows());
        let mut converted: Vec<Option<ArrayRef>> = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            converted.push(match slot.source {
                Source::Given(position) => {
                    Some(convert_given(&slot.column, batch.column(position), self.strictness, &mut bad)?)
                }
                _ => None,
            });
        }
        let kept = bad.kept();
        let rows = kept.as_ref().map_or(batch.num_rows(), BooleanArray::true_count);
        let converted = match &kept {
            Some(kept) => converted
                .into_iter()
                .map(|array| array.map(|array| arrow::compute::filter(&array, kept)).transpose())
                .collect::<Result<Vec<_>, _>>()?,
            None => converted,
        };
        let mut columns = Vec::with_capacity(self.slots.len());
        for (slot, array) in self.slots.iter().zip(converted) {
            columns.push(match array {
                Some(array) if slot.column.auto_increment => fill_numbers(slot, array, rows, &mut self.context)?,
                Some(array) => array,
                None => fill(slot, rows, &mut self.context)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Assembled { batch, kept, bad_rows: bad.described })
    }
}

/// The rows of a batch whose `kept` is true, in step with what an assembled batch kept.
pub fn keep_rows(batch: &RecordBatch, kept: &BooleanArray) -> Result<RecordBatch, LoadError> {
    Ok(filter_record_batch(batch, kept)?)
}

/// Where the values of a column come from that a load does not give.
fn absent(column: &Column, now_micros: i64) -> Result<Source, LoadError> {
    if column.auto_increment {
        return Ok(Source::AutoIncrement);
    }
    let constant = |text: ArrayRef, shown: &str| {
        let Converted { array, failed } = convert(&text, &column.data_type)?;
        let too_long = length_max(&column.data_type).is_some_and(|max| byte_length(&array, 0) > max);
        if !failed.is_empty() || too_long || (array.is_null(0) && !column.nullable) {
            return Err(LoadError::invalid(format!(
                "DEFAULT '{shown}' of column '{}' is not a value of its type {}",
                column.name, column.data_type
            )));
        }
        Ok(Source::Constant(array))
    };
    match &column.default {
        Some(DefaultValue::Constant(text)) => constant(Arc::new(StringArray::from_iter_values([text.as_str()])), text),
        Some(DefaultValue::CurrentTimestamp) => {
            // CURRENT_TIMESTAMP without digits is a second, here as in a query.
            let seconds = now_micros - now_micros.rem_euclid(1_000_000);
            constant(Arc::new(TimestampMicrosecondArray::from_value(seconds, 1)), "CURRENT_TIMESTAMP")
        }
        Some(DefaultValue::Uuid) => Ok(Source::Uuid),
        Some(DefaultValue::UuidNumeric) => Ok(Source::UuidNumeric),
        None if column.nullable => Ok(Source::Constant(new_null_array(&column.data_type.to_arrow(), 1))),
        None => Err(LoadError::invalid(format!(
            "Column has no default value, column: {}. Give it a value for every row",
            column.name
        ))),
    }
}

/// Converts a given column, noting the rows it spoils.
fn convert_given(
    column: &Column,
    source: &ArrayRef,
    strictness: Strictness,
    bad: &mut BadRows,
) -> Result<ArrayRef, LoadError> {
    let Converted { array, failed } = convert(source, &column.data_type).map_err(|error| match error {
        LoadError::Invalid(text) => LoadError::Invalid(format!("column '{}': {text}", column.name)),
        other => other,
    })?;
    let null_is_fine = column.nullable || column.auto_increment;
    if strictness == Strictness::Strict || !null_is_fine {
        for row in &failed {
            bad.add(*row as usize, column, || {
                format!(
                    "Value '{}' is out of range or malformed. The type of '{}' is {}",
                    shown(source, *row as usize),
                    column.name,
                    column.data_type.to_string().to_uppercase()
                )
            });
        }
    }
    if !null_is_fine && array.null_count() > 0 {
        for row in 0..array.len() {
            if array.is_null(row) {
                bad.add(row, column, || format!("NULL value in non-nullable column '{}'", column.name));
            }
        }
    }
    if let Some(max) = length_max(&column.data_type) {
        check_lengths(column, &array, max, bad);
    }
    Ok(array)
}

/// Notes rows whose text or bytes are longer than the column allows. They are bad in either strictness: cutting them
/// or dropping them to NULL would lose data that converted well.
fn check_lengths(column: &Column, array: &ArrayRef, max: usize, bad: &mut BadRows) {
    let offsets = match &column.data_type {
        DataType::Varbinary { .. } => array.as_binary::<i32>().value_offsets(),
        _ => array.as_string::<i32>().value_offsets(),
    };
    let too_long = |pair: &[i32]| pair[1].abs_diff(pair[0]) as usize > max;
    if !offsets.windows(2).any(too_long) {
        return;
    }
    for (row, pair) in offsets.windows(2).enumerate() {
        if too_long(pair) && array.is_valid(row) {
            bad.add(row, column, || {
                format!(
                    "String '{}' (length: {}) is too long. The max length of '{}' is {max} bytes",
                    shown(array, row),
                    byte_length(array, row),
                    column.name
                )
            });
        }
    }
}

/// The most bytes of a value, for types that bound them.
fn length_max(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Char { length } | DataType::Varchar { length } | DataType::Varbinary { length } => {
            Some(*length as usize)
        }
        _ => None,
    }
}

fn byte_length(array: &ArrayRef, row: usize) -> usize {
    if array.is_null(row) {
        return 0;
    }
    array
        .as_string_opt::<i32>()
        .map(|strings| strings.value(row).len())
        .or_else(|| array.as_binary_opt::<i32>().map(|bytes| bytes.value(row).len()))
        .unwrap_or(0)
}

/// Values for a column that was not given.
fn fill(slot: &Slot, rows: usize, context: &mut AssembleContext) -> Result<ArrayRef, LoadError> {
    let data_type = &slot.column.data_type;
    match &slot.source {
        Source::Constant(value) => Ok(take(value, &UInt32Array::from_value(0, rows), None)?),
        Source::Uuid => {
            let mut uuids = StringBuilder::with_capacity(rows, rows * 36);
            for _ in 0..rows {
                uuids.append_value(uuid(context.random.as_ref()));
            }
            converted_well(&slot.column, convert(&(Arc::new(uuids.finish()) as ArrayRef), data_type)?)
        }
        Source::UuidNumeric => {
            let numbers = Decimal256Array::from_iter_values((0..rows).map(|_| {
                let bits = u128::from(context.random.next_u64()) << 64 | u128::from(context.random.next_u64());
                // Without the sign bit, so that the number is positive.
                i256::from_i128((bits >> 1) as i128)
            }))
            .with_precision_and_scale(DataType::LARGEINT_PRECISION, 0)?;
            converted_well(&slot.column, convert(&(Arc::new(numbers) as ArrayRef), data_type)?)
        }
        Source::AutoIncrement => {
            let nulls = new_null_array(&data_type.to_arrow(), rows);
            fill_numbers(slot, nulls, rows, context)
        }
        Source::Given(_) => Err(LoadError::Internal(format!("column '{}' was given", slot.column.name))),
    }
}

/// Puts the next numbers where the AUTO_INCREMENT column is NULL.
fn fill_numbers(
    slot: &Slot,
    array: ArrayRef,
    rows: usize,
    context: &mut AssembleContext,
) -> Result<ArrayRef, LoadError> {
    let missing = array.null_count();
    if missing == 0 || rows == 0 {
        return Ok(array);
    }
    let Some(allocate) = context.auto_increment.as_mut() else {
        return Err(LoadError::Internal("no source of AUTO_INCREMENT numbers".to_owned()));
    };
    let mut next = allocate(missing as u64)?;
    let given = convert(&array, &DataType::BigInt)?.array;
    let given = given.as_primitive::<Int64Type>();
    let filled: Int64Array = given
        .iter()
        .map(|value| {
            value.unwrap_or_else(|| {
                let number = next;
                next = next.saturating_add(1);
                number
            })
        })
        .map(Some)
        .collect();
    converted_well(&slot.column, convert(&(Arc::new(filled) as ArrayRef), &slot.column.data_type)?)
}

/// Values that the server made up must fit their column, or the column was defined badly.
fn converted_well(column: &Column, converted: Converted) -> Result<ArrayRef, LoadError> {
    if converted.failed.is_empty() {
        return Ok(converted.array);
    }
    Err(LoadError::invalid(format!(
        "generated values of column '{}' are out of range of its type {}",
        column.name, column.data_type
    )))
}

/// A random (version 4) UUID.
fn uuid(random: &dyn Random) -> String {
    let (high, low) = (random.next_u64(), random.next_u64());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A value as people read it.
pub(crate) fn shown(array: &ArrayRef, row: usize) -> String {
    format::text_of(array, row).map_or_else(|| "NULL".to_owned(), |text| excerpt(&text))
}

/// Which rows of a batch are bad, and why the first ones are.
struct BadRows {
    rows: usize,
    bad: Option<Vec<bool>>,
    described: Vec<BadRow>,
}

impl BadRows {
    fn new(rows: usize) -> BadRows {
        BadRows { rows, bad: None, described: Vec::new() }
    }

    /// Notes a bad row. What is found first in a row is what is told.
    fn add(&mut self, row: usize, column: &Column, reason: impl FnOnce() -> String) {
        let bad = self.bad.get_or_insert_with(|| vec![false; self.rows]);
        if !std::mem::replace(&mut bad[row], true) && self.described.len() < BAD_ROWS_DESCRIBED_MAX {
            self.described.push(BadRow { index: row, column: column.name.clone(), reason: reason() });
        }
    }

    /// For each row whether it stays; `None` when all do.
    fn kept(&self) -> Option<BooleanArray> {
        let bad = self.bad.as_ref()?;
        let mut kept = BooleanBufferBuilder::new(self.rows);
        bad.iter().for_each(|bad| kept.append(!bad));
        Some(BooleanArray::new(kept.finish(), None))
    }
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler")
            .field("given", &self.given)
            .field("strictness", &self.strictness)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
