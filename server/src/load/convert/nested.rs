//! ARRAY, MAP and STRUCT columns: from JSON text and from other nested types.
//!
//! Both ways end in the same place: the inner values are laid out as one flat column, which is converted like any other,
//! and wrapped again. An inner value that does not convert fails the whole value it is in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StringBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType as ArrowType, Field};
use ebla_storage::schema::DataType;

use super::{Converted, SAFE, convert as convert_column, impossible};
use crate::load::LoadError;
use crate::load::json::scan::{self, Cell};

/// Converts nested values to a nested type.
pub(super) fn convert(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    match (source.data_type(), target) {
        (ArrowType::List(_), DataType::Array { element }) => {
            let list = source.as_list::<i32>();
            let (values, offsets) = flatten(list.values(), list.value_offsets());
            let values = convert_column(&values, element)?;
            list_of(target, offsets, values, list.nulls().cloned())
        }
        (
            ArrowType::LargeList(field)
            | ArrowType::FixedSizeList(field, _)
            | ArrowType::ListView(field)
            | ArrowType::LargeListView(field),
            DataType::Array { .. },
        ) => convert(&cast_with_options(source, &ArrowType::List(Arc::clone(field)), &SAFE)?, target),
        (ArrowType::Map(..), DataType::Map { key, value }) => {
            let map = source.as_map();
            let (keys, offsets) = flatten(map.keys(), map.value_offsets());
            let (values, _) = flatten(map.values(), map.value_offsets());
            let (keys, values) = (convert_column(&keys, key)?, convert_column(&values, value)?);
            map_of(target, offsets, keys, values, map.nulls().cloned())
        }
        (ArrowType::Struct(source_fields), DataType::Struct { fields }) => {
            if source_fields.len() != fields.len() {
                return Err(impossible(source, target));
            }
            let columns = source.as_struct().columns();
            let converted = columns
                .iter()
                .zip(fields)
                .map(|(column, field)| convert_column(column, &field.data_type))
                .collect::<Result<Vec<_>, _>>()?;
            struct_of(target, converted, source.nulls().cloned(), source.len())
        }
        _ => Err(impossible(source, target)),
    }
}

/// The inner values that are in use, and offsets into them that begin at zero.
fn flatten(values: &ArrayRef, offsets: &[i32]) -> (ArrayRef, Vec<i32>) {
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    // Offsets of an array ascend and lie within its values.
    let values = values.slice(first as usize, (last - first) as usize);
    (values, offsets.iter().map(|offset| offset - first).collect())
}

/// Reads nested values out of JSON text.
pub(super) fn from_text(texts: &StringArray, target: &DataType) -> Result<Converted, LoadError> {
    match target {
        DataType::Array { element } => {
            let mut rows = Rows::new(texts.len());
            let mut items = StringBuilder::new();
            for text in texts.iter() {
                let read = text.map(|text| scan::array_items(text));
                rows.add(read, |cells| cells.iter().for_each(|cell| append(&mut items, cell, element)))?;
            }
            let items: ArrayRef = Arc::new(items.finish());
            let items = convert_column(&items, element)?;
            Ok(list_of(target, rows.offsets, items, Some(NullBuffer::from(rows.valid)))?.after(rows.failed))
        }
        DataType::Map { key, value } => {
            let mut rows = Rows::new(texts.len());
            let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
            for text in texts.iter() {
                let read = text.map(|text| scan::object_entries(text));
                rows.add(read, |entries| {
                    for (name, cell) in entries {
                        keys.append_value(name);
                        append(&mut values, cell, value);
                    }
                })?;
            }
            let (keys, values): (ArrayRef, ArrayRef) = (Arc::new(keys.finish()), Arc::new(values.finish()));
            let (keys, values) = (convert_column(&keys, key)?, convert_column(&values, value)?);
            Ok(map_of(target, rows.offsets, keys, values, Some(NullBuffer::from(rows.valid)))?.after(rows.failed))
        }
        DataType::Struct { fields } => {
            let mut rows = Rows::new(texts.len());
            let mut columns: Vec<StringBuilder> = fields.iter().map(|_| StringBuilder::new()).collect();
            for text in texts.iter() {
                let entries = match text.map(|text| scan::object_entries(text)) {
                    Some(Ok(entries)) => rows.end(true, false, 0).map(|()| entries)?,
                    Some(Err(_)) => rows.end(false, true, 0).map(|()| Vec::new())?,
                    None => rows.end(false, false, 0).map(|()| Vec::new())?,
                };
                for (field, column) in fields.iter().zip(&mut columns) {
                    match entries.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(&field.name)) {
                        Some((_, cell)) => append(column, cell, &field.data_type),
                        None => column.append_null(),
                    }
                }
            }
            let converted = fields
                .iter()
                .zip(&mut columns)
                .map(|(field, column)| convert_column(&(Arc::new(column.finish()) as ArrayRef), &field.data_type))
                .collect::<Result<Vec<_>, _>>()?;
            let valid = NullBuffer::from(rows.valid);
            Ok(struct_of(target, converted, Some(valid), texts.len())?.after(rows.failed))
        }
        other => Err(LoadError::Internal(format!("{other} is not nested"))),
    }
}

/// Appends one JSON value as text that its column's type can read.
fn append(column: &mut StringBuilder, cell: &Cell<'_>, data_type: &DataType) {
    match cell.text_for(data_type) {
        Some(text) => column.append_value(text),
        None => column.append_null(),
    }
}

/// The rows of a nested column while they are read.
struct Rows {
    offsets: Vec<i32>,
    valid: Vec<bool>,
    failed: Vec<u32>,
}

impl Rows {
    fn new(rows: usize) -> Rows {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Rows { offsets, valid: Vec::with_capacity(rows), failed: Vec::new() }
    }

    /// Adds a row of the items that were read.
    fn add<T, E>(&mut self, read: Option<Result<Vec<T>, E>>, mut append: impl FnMut(&[T])) -> Result<(), LoadError> {
        match read {
            Some(Ok(items)) => {
                append(&items);
                self.end(true, false, items.len())
            }
            Some(Err(_)) => self.end(false, true, 0),
            None => self.end(false, false, 0),
        }
    }

    fn end(&mut self, valid: bool, failed: bool, items: usize) -> Result<(), LoadError> {
        if failed {
            self.failed.push(self.valid.len() as u32);
        }
        self.valid.push(valid);
        let last = self.offsets.last().copied().unwrap_or(0);
        let next = i32::try_from(items).ok().and_then(|items| last.checked_add(items));
        self.offsets.push(next.ok_or_else(|| LoadError::Input("too many nested values in one batch".to_owned()))?);
        Ok(())
    }
}

fn list_of(
    target: &DataType,
    offsets: Vec<i32>,
    values: Converted,
    nulls: Option<NullBuffer>,
) -> Result<Converted, LoadError> {
    let ArrowType::List(field) = target.to_arrow() else {
        return Err(LoadError::Internal(format!("{target} is not an array")));
    };
    let (nulls, failed) = fail_owners(&offsets, &values.failed, nulls);
    let list = ListArray::try_new(field, OffsetBuffer::new(offsets.into()), values.array, nulls)?;
    Ok(Converted { array: Arc::new(list), failed })
}

fn map_of(
    target: &DataType,
    offsets: Vec<i32>,
    keys: Converted,
    values: Converted,
    nulls: Option<NullBuffer>,
) -> Result<Converted, LoadError> {
    let ArrowType::Map(entries_field, _) = target.to_arrow() else {
        return Err(LoadError::Internal(format!("{target} is not a map")));
    };
    let ArrowType::Struct(fields) = entries_field.data_type() else {
        return Err(LoadError::Internal(format!("{target} has no entries")));
    };
    let mut failed = values.failed;
    failed.extend(keys.failed);
    failed.sort_unstable();
    failed.dedup();
    let (nulls, failed) = fail_owners(&offsets, &failed, nulls);
    // Arrow allows no NULL key. A key that failed is in a map that is NULL, so any value will do in its place.
    let keys = without_nulls(keys.array, &fields[0])?;
    let entries = StructArray::try_new(fields.clone(), vec![keys, values.array], None)?;
    let map = MapArray::try_new(entries_field, OffsetBuffer::new(offsets.into()), entries, nulls, false)?;
    Ok(Converted { array: Arc::new(map), failed })
}

/// The same values, each NULL replaced by whatever lies beneath it.
fn without_nulls(array: ArrayRef, field: &Field) -> Result<ArrayRef, LoadError> {
    if array.null_count() == 0 {
        return Ok(array);
    }
    let data = array.to_data().into_builder().nulls(None).build()?;
    let array = arrow::array::make_array(data);
    if array.data_type() != field.data_type() {
        return Err(LoadError::Internal(format!("map keys of type {}", array.data_type())));
    }
    Ok(array)
}

fn struct_of(
    target: &DataType,
    columns: Vec<Converted>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<Converted, LoadError> {
    let ArrowType::Struct(fields) = target.to_arrow() else {
        return Err(LoadError::Internal(format!("{target} is not a struct")));
    };
    let mut failed: Vec<u32> = columns.iter().flat_map(|column| column.failed.iter().copied()).collect();
    failed.sort_unstable();
    failed.dedup();
    failed.retain(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row as usize)));
    let nulls = with_nulls(nulls, &failed, rows);
    let arrays = columns.into_iter().map(|column| column.array).collect();
    let array = StructArray::try_new_with_length(fields, arrays, nulls, rows)?;
    Ok(Converted { array: Arc::new(array), failed })
}

/// The rows whose inner values failed, and the nulls with those rows among them.
fn fail_owners(offsets: &[i32], failed_values: &[u32], nulls: Option<NullBuffer>) -> (Option<NullBuffer>, Vec<u32>) {
    if failed_values.is_empty() {
        return (nulls, Vec::new());
    }
    let mut failed: Vec<u32> = Vec::new();
    for value in failed_values {
        // The row whose range holds the value is the last that begins at or before it.
        let row = offsets.partition_point(|offset| *offset as i64 <= i64::from(*value)).saturating_sub(1) as u32;
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row as usize));
        if !is_null && failed.last() != Some(&row) {
            failed.push(row);
        }
    }
    let nulls = with_nulls(nulls, &failed, offsets.len() - 1);
    (nulls, failed)
}

fn with_nulls(nulls: Option<NullBuffer>, failed: &[u32], rows: usize) -> Option<NullBuffer> {
    if failed.is_empty() {
        return nulls;
    }
    let mut valid: Vec<bool> = match &nulls {
        Some(nulls) => nulls.iter().collect(),
        None => vec![true; rows],
    };
    failed.iter().for_each(|row| valid[*row as usize] = false);
    Some(NullBuffer::from(valid))
}
