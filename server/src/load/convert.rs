//! From any Arrow type to a column's type, as INSERT and Stream Load convert.
//!
//! A value that does not convert becomes NULL and its row is listed; what that means is decided by the assembler.
//! Texts are read strictly: a number is the whole text (blanks around it aside), never its leading digits. Decimals
//! round half away from zero, floating point numbers are cut to integers, whatever leaves the range of its type fails.
//! Where Arrow's own kernels mean the same, they are used.

pub(super) mod format;
mod nested;
mod number;
mod temporal;
pub(super) mod text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::FormatOptions;
use ebla_storage::schema::DataType;

use super::LoadError;
use crate::query::of_type;

/// A converted column.
#[derive(Debug)]
pub(super) struct Converted {
    /// The values, in the target's Arrow type.
    pub array: ArrayRef,
    /// Rows that held a value which did not convert, in ascending order. They are NULL in `array`.
    pub failed: Vec<u32>,
}

impl Converted {
    fn all(array: ArrayRef) -> Converted {
        Converted { array, failed: Vec::new() }
    }

    /// What a safe kernel made: values it turned into NULL have failed.
    fn of_kernel(source: &ArrayRef, array: ArrayRef) -> Converted {
        if array.null_count() == source.logical_null_count() {
            return Converted::all(array);
        }
        let nulls = source.logical_nulls();
        let was_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let failed = (0..array.len()).filter(|row| array.is_null(*row) && !was_null(*row)).map(|row| row as u32);
        let failed = failed.collect();
        Converted { array, failed }
    }

    /// The second of two conversions in a row. What failed in the first is NULL in the second, and still failed.
    fn after(self, failed_before: Vec<u32>) -> Converted {
        if failed_before.is_empty() {
            return self;
        }
        let mut failed = failed_before;
        failed.extend(self.failed);
        failed.sort_unstable();
        failed.dedup();
        Converted { array: self.array, failed }
    }
}

/// Arrow's cast with NULL for what does not convert.
const SAFE: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Converts a column. Errors when no value of the one type is ever a value of the other.
pub(super) fn convert(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    match source.data_type() {
        ArrowType::Null => Ok(Converted::all(new_null_array(&target.to_arrow(), source.len()))),
        ArrowType::Dictionary(_, values) => convert(&cast_with_options(source, values, &SAFE)?, target),
        ArrowType::RunEndEncoded(_, values) => convert(&cast_with_options(source, values.data_type(), &SAFE)?, target),
        ArrowType::Utf8 => text::convert(source, target),
        ArrowType::LargeUtf8 | ArrowType::Utf8View => {
            text::convert(&cast_with_options(source, &ArrowType::Utf8, &SAFE)?, target)
        }
        ArrowType::Binary if matches!(target, DataType::Varbinary { .. }) => Ok(Converted::all(Arc::clone(source))),
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            convert_bytes(source, target)
        }
        _ => match target {
            DataType::Char { .. } | DataType::Varchar { .. } => Ok(Converted::all(format::to_text(source)?)),
            DataType::Varbinary { .. } => {
                let text = format::to_text(source)?;
                Ok(Converted::all(cast_with_options(&text, &ArrowType::Binary, &SAFE)?))
            }
            DataType::Json => Ok(Converted::all(format::to_json(source)?)),
            DataType::Date | DataType::DateTime => temporal::convert(source, target),
            DataType::Array { .. } | DataType::Map { .. } | DataType::Struct { .. } => nested::convert(source, target),
            DataType::Boolean
            | DataType::TinyInt
            | DataType::SmallInt
            | DataType::Int
            | DataType::BigInt
            | DataType::LargeInt
            | DataType::Float
            | DataType::Double
            | DataType::Decimal { .. } => number::convert(source, target),
        },
    }
}

/// Bytes are taken as they are by VARBINARY, and as UTF-8 text by every other type.
fn convert_bytes(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    let bytes = cast_with_options(source, &ArrowType::Binary, &SAFE)?;
    if matches!(target, DataType::Varbinary { .. }) {
        return Ok(Converted::all(bytes));
    }
    let text = Converted::of_kernel(&bytes, cast_with_options(&bytes, &ArrowType::Utf8, &SAFE)?);
    Ok(text::convert(&text.array, target)?.after(text.failed))
}

/// Arrow's own conversion, where there is one.
fn by_kernel(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    let arrow = target.to_arrow();
    if !can_cast_types(source.data_type(), &arrow) {
        return Err(impossible(source, target));
    }
    Ok(Converted::of_kernel(source, cast_with_options(source, &arrow, &SAFE)?))
}

fn impossible(source: &ArrayRef, target: &DataType) -> LoadError {
    LoadError::invalid(format!("values of type {} cannot become {target}", of_type(source.data_type())))
}

/// The texts of a column of strings.
fn strings(array: &ArrayRef) -> Result<&arrow::array::StringArray, LoadError> {
    array.as_string_opt::<i32>().ok_or_else(|| LoadError::Internal(format!("{} is not text", array.data_type())))
}

#[cfg(test)]
mod tests;
