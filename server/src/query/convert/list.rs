//! Texts as arrays: a JSON array, whose items are cast like any text.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, ListArray, StringArray, StringBuilder};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;

use crate::load::json::scan;

/// The arrays that texts spell out in JSON; NULL for what is none. An item that does not convert is NULL, as everywhere.
pub(super) fn lists_of(texts: &StringArray, item: &FieldRef) -> Result<ListArray, ArrowError> {
    let mut items = StringBuilder::new();
    let mut lengths = Vec::with_capacity(texts.len());
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
        let cells = text.and_then(|text| scan::array_items(text).ok());
        valid.push(cells.is_some());
        let cells = cells.unwrap_or_default();
        lengths.push(cells.len());
        cells.iter().for_each(|cell| match (cell.raw(), item.data_type()) {
            ("true", to) if to.is_numeric() => items.append_value("1"),
            ("false", to) if to.is_numeric() => items.append_value("0"),
            _ => items.append_option(cell.text()),
        });
    }
    let items: ArrayRef = Arc::new(items.finish());
    let items = match item.data_type() {
        DataType::Utf8 => items,
        to => super::cast(&items, to)?,
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::try_new(Arc::clone(item), offsets, items, Some(NullBuffer::from(valid)))
}
