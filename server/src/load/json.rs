//! JSON as Stream Load reads it: objects one after another, or in one array; columns by name or by path.
//!
//! [`split`] finds where each row begins and ends while bytes arrive, without reading what is inside; a row is then
//! read whole by [`scan`]. Values stay text: numbers keep every digit until they meet their column's type.
//! `json_root` is the exception to streaming: the document it points into is held whole, up to a limit.
//!
//! A row that is not valid JSON, or no object where names are asked for, is bad. A name that is missing is NULL.

pub mod path;
pub(crate) mod scan;
mod split;

use std::borrow::Cow;
use std::collections::HashMap;

use ebla_storage::schema::DataType;

use super::text_batch::{ReadRows, RowReader, TextBatchBuilder};
use super::{LoadError, ROW_BYTES_MAX};
use path::JsonPath;
use scan::{Cell, ScanError};
use split::{Shape, Splitter};

/// The longest document that `json_root` points into, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 100 << 20;

/// How the rows of a JSON input are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonFormat {
    /// Whether the rows are the elements of one outer array.
    pub strip_outer_array: bool,
    /// Where in the document the rows are.
    pub json_root: Option<JsonPath>,
    /// For each column, where in the row its value is; by the columns' names when `None`.
    pub paths: Option<Vec<JsonPath>>,
}

/// A column of a JSON input.
#[derive(Debug, Clone)]
pub struct JsonColumn {
    /// Its name.
    pub name: String,
    /// The type of the table's column that it becomes, where it does so without an expression. Tells a JSON string
    /// from its text, and lets `true` be a number.
    pub data_type: Option<DataType>,
}

/// Cuts JSON into rows.
pub struct JsonReader {
    format: JsonFormat,
    splitter: Splitter,
    rows: Rows,
}

/// Rows read so far, and how to read one.
struct Rows {
    columns: Vec<JsonColumn>,
    by_name: HashMap<String, usize>,
    builder: TextBatchBuilder,
    rows: u64,
}

impl JsonReader {
    /// A reader of rows with these columns.
    pub fn new(format: JsonFormat, columns: Vec<JsonColumn>) -> Result<JsonReader, LoadError> {
        if let Some(paths) = &format.paths
            && paths.len() != columns.len()
        {
            return Err(LoadError::invalid(format!(
                "jsonpaths names {} values, but there are {} columns",
                paths.len(),
                columns.len()
            )));
        }
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        // Exact names come last, so that they win over names that differ in case only.
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (position, name) in names.iter().enumerate() {
            by_name.insert(name.to_lowercase(), position);
        }
        for (position, name) in names.iter().enumerate() {
            by_name.insert(name.clone(), position);
        }
        let (shape, bytes_max) = match (&format.json_root, format.strip_outer_array) {
            (Some(_), _) => (Shape::Documents, DOCUMENT_BYTES_MAX),
            (None, true) => (Shape::OuterArray, ROW_BYTES_MAX),
            (None, false) => (Shape::Rows, ROW_BYTES_MAX),
        };
        let rows = Rows { builder: TextBatchBuilder::new(&names), columns, by_name, rows: 0 };
        Ok(JsonReader { format, splitter: Splitter::new(shape, bytes_max), rows })
    }
}

impl RowReader for JsonReader {
    fn push(&mut self, chunk: &[u8], out: &mut ReadRows) -> Result<(), LoadError> {
        let JsonReader { format, splitter, rows } = self;
        splitter.push(chunk, &mut |value| rows.take_value(format, value, out))
    }

    fn finish(&mut self, out: &mut ReadRows) -> Result<(), LoadError> {
        let JsonReader { format, splitter, rows } = self;
        splitter.finish(&mut |value| rows.take_value(format, value, out))?;
        rows.builder.flush(out)
    }
}

impl Rows {
    /// Takes what the splitter found: a row, or a document that holds rows.
    fn take_value(&mut self, format: &JsonFormat, value: &[u8], out: &mut ReadRows) -> Result<(), LoadError> {
        let Some(root) = &format.json_root else {
            return self.take_row(format, value, out);
        };
        let text =
            std::str::from_utf8(value).map_err(|_| LoadError::Input("the JSON document is not UTF-8".to_owned()))?;
        let broken = |error: ScanError| LoadError::Input(format!("the JSON document is not valid: {error}"));
        let Some(found) = root.find(scan::value(text).map_err(broken)?).map_err(broken)? else {
            return Err(LoadError::Input(format!("json_root {root} is not in the document")));
        };
        if !format.strip_outer_array {
            return self.take_row(format, found.raw().as_bytes(), out);
        }
        let items = scan::array_items(found.raw())
            .map_err(|_| LoadError::Input(format!("json_root {root} is no array: set strip_outer_array to false")))?;
        items.into_iter().try_for_each(|item| self.take_row(format, item.raw().as_bytes(), out))
    }

    fn take_row(&mut self, format: &JsonFormat, row: &[u8], out: &mut ReadRows) -> Result<(), LoadError> {
        self.rows += 1;
        let number = self.rows;
        let Ok(text) = std::str::from_utf8(row) else {
            out.reject(number, || "The row is not UTF-8".to_owned(), row);
            return Ok(());
        };
        let cells = match &format.paths {
            Some(paths) => by_path(text, paths),
            None => self.by_name(text),
        };
        match cells {
            Ok(cells) => {
                let values: Vec<Option<Cow<'_, str>>> = cells
                    .iter()
                    .zip(&self.columns)
                    .map(|(cell, column)| match (cell, &column.data_type) {
                        (None, _) => None,
                        (Some(cell), Some(data_type)) => cell.text_for(data_type),
                        (Some(cell), None) => cell.text(),
                    })
                    .collect();
                self.builder.add(number, values.iter().map(Option::as_deref));
                if self.builder.is_full() {
                    self.builder.flush(out)?;
                }
            }
            Err(error) => out.reject(number, || format!("The row is not valid JSON: {error}"), row),
        }
        Ok(())
    }

    /// The values of an object under the columns' names. Of a name that comes twice, the last value counts.
    fn by_name<'a>(&self, text: &'a str) -> Result<Vec<Option<Cell<'a>>>, ScanError> {
        let mut cells = vec![None; self.columns.len()];
        scan::each_entry(text, |name, cell| {
            let position = self.by_name.get(name.as_ref()).or_else(|| self.by_name.get(&name.to_lowercase()));
            if let Some(position) = position {
                cells[*position] = Some(cell);
            }
        })?;
        Ok(cells)
    }
}

/// The values under these paths.
fn by_path<'a>(text: &'a str, paths: &[JsonPath]) -> Result<Vec<Option<Cell<'a>>>, ScanError> {
    let row = scan::value(text)?;
    paths.iter().map(|path| path.find(row)).collect()
}

#[cfg(test)]
mod tests;
