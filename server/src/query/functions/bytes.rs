//! Functions that take VARBINARY for the bytes that it is.
//!
//! What only counts, sums up or encodes reads the bytes of a text and of VARBINARY alike, through [`Bytes`]. What cuts and
//! joins answers VARBINARY where it is given some ([`of_bytes`]); letters are bytes there.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray, BinaryBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

use super::support::{Args, Returns, Strings};

/// Bytes by row.
pub(crate) enum Bytes {
    /// Those of a column of VARBINARY, or one value of it.
    Binary(BinaryArray, bool),
    /// Those of texts.
    Text(Strings),
}

impl Bytes {
    /// The bytes of an argument, which is converted to text unless it is VARBINARY.
    pub(crate) fn of(args: &Args<'_>, index: usize) -> Result<Self> {
        if !is_binary(&args.data_type(index)) {
            return Ok(Self::Text(args.strings(index)?));
        }
        let binary = cast(&args.raw(index)?, &DataType::Binary)?;
        Ok(Self::Binary(binary.as_binary::<i32>().clone(), args.is_single(index)))
    }

    /// The bytes of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Binary(array, single) => {
                let row = if *single { 0 } else { row };
                array.is_valid(row).then(|| array.value(row))
            }
            Self::Text(texts) => texts.get(row).map(str::as_bytes),
        }
    }
}

/// VARBINARY when one of the arguments is, else text.
pub(crate) fn of_bytes() -> Returns {
    Returns::Of(|types| if types.iter().any(is_binary) { DataType::Binary } else { DataType::Utf8 })
}

/// Whether bytes are wanted, and not text.
pub(crate) fn wants_bytes(args: &Args<'_>) -> bool {
    *args.return_type() == DataType::Binary
}

/// CONCAT of bytes.
pub(crate) fn concat(args: &Args<'_>) -> Result<ArrayRef> {
    let parts = (0..args.len()).map(|index| Bytes::of(args, index)).collect::<Result<Vec<_>>>()?;
    let of_row = |row| parts.iter().map(|part| part.get(row)).collect::<Option<Vec<_>>>();
    let lengths = (0..args.rows()).map(|row| of_row(row).map_or(0, |parts| parts.iter().map(|part| part.len()).sum()));
    let _room = args.room(lengths)?;
    let mut joined = BinaryBuilder::new();
    for row in 0..args.rows() {
        joined.append_option(of_row(row).map(|parts| parts.concat()));
    }
    Ok(Arc::new(joined.finish()))
}

/// The first bytes.
pub(crate) fn left(args: &Args<'_>) -> Result<ArrayRef> {
    cut(args, |bytes, length| bytes.get(..length).unwrap_or(bytes))
}

/// The last bytes.
pub(crate) fn right(args: &Args<'_>) -> Result<ArrayRef> {
    cut(args, |bytes, length| bytes.get(bytes.len().saturating_sub(length)..).unwrap_or(bytes))
}

fn cut(args: &Args<'_>, part: impl Fn(&[u8], usize) -> &[u8]) -> Result<ArrayRef> {
    let (bytes, lengths) = (Bytes::of(args, 0)?, args.ints(1)?);
    let of_row = |row| {
        let (bytes, length) = (bytes.get(row)?, lengths.get(row)?);
        Some(part(bytes, usize::try_from(length.max(0)).unwrap_or(usize::MAX)))
    };
    let _room = args.room((0..args.rows()).map(|row| of_row(row).map_or(0, <[u8]>::len)))?;
    let mut builder = BinaryBuilder::new();
    for row in 0..args.rows() {
        builder.append_option(of_row(row));
    }
    Ok(Arc::new(builder.finish()))
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}
