//! Arrays and maps, where the engine's own functions differ in name or type.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

use super::support::{Args, Scalar};
use crate::query::error::{QueryError, of_type};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::int("array_length", 1, 1, sizes),
        Scalar::int("cardinality", 1, 1, sizes),
        Scalar::int("map_size", 1, 1, sizes),
        Scalar::text("array_join", 2, 3, join).alias(&["array_to_string"]),
        Scalar::double("array_sum", 1, 1, |args| folded(args, |values| values.iter().sum())),
        Scalar::double("array_avg", 1, 1, |args| {
            folded(args, |values| values.iter().sum::<f64>() / values.len() as f64)
        }),
    ]
}

/// How many elements; NULL for no array.
fn sizes(args: &Args<'_>) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let size: Box<dyn Fn(usize) -> usize> = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>().clone();
            Box::new(move |row| usize::try_from(list.value_length(row)).unwrap_or(0))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>().clone();
            Box::new(move |row| usize::try_from(list.value_length(row)).unwrap_or(0))
        }
        DataType::Map(..) => {
            let map = array.as_map().clone();
            Box::new(move |row| usize::try_from(map.value_length(row)).unwrap_or(0))
        }
        DataType::Null => Box::new(|_| 0),
        other => return Err(QueryError::Semantic(format!("An ARRAY or MAP is wanted, not {}", of_type(other))).wrap()),
    };
    let null = *array.data_type() == DataType::Null;
    let sizes: Int64Array = (0..array.len())
        .map(|row| (!null && array.is_valid(row)).then(|| i64::try_from(size(row)).unwrap_or(i64::MAX)))
        .collect();
    Ok(Arc::new(sizes))
}

/// ARRAY_JOIN(array, separator [, what stands for NULL]): the elements as texts. NULL elements are left out when nothing
/// stands for them.
fn join(args: &Args<'_>) -> Result<ArrayRef> {
    let (array, separators) = (args.array(0)?, args.strings(1)?);
    let nulls = if args.len() > 2 { Some(args.strings(2)?) } else { None };
    let Some(list) = array.as_list_opt::<i32>() else {
        return Err(QueryError::Semantic("An ARRAY is wanted".to_owned()).wrap());
    };
    let items: Vec<_> = (0..list.len())
        .map(|row| list.is_valid(row).then(|| crate::query::convert::to_strings(&list.value(row))).transpose())
        .collect::<std::result::Result<_, _>>()?;
    args.build_strings(|row, out| {
        let (items, separator) = (items.get(row)?.as_ref()?, separators.get(row)?);
        let of_null = nulls.as_ref().and_then(|nulls| nulls.get(row));
        for (number, item) in items.iter().filter_map(|item| item.or(of_null)).enumerate() {
            if number > 0 {
                out.push_str(separator);
            }
            out.push_str(item);
        }
        Some(())
    })
}

/// A number out of the numbers of each array; NULL elements do not count, no elements give NULL.
fn folded(args: &Args<'_>, fold: impl Fn(&[f64]) -> f64) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let Some(list) = array.as_list_opt::<i32>() else {
        return Err(QueryError::Semantic("An ARRAY is wanted".to_owned()).wrap());
    };
    let values: Result<Vec<Option<f64>>> = (0..list.len())
        .map(|row| {
            if list.is_null(row) {
                return Ok(None);
            }
            let items = crate::query::convert::to_doubles(&list.value(row))?;
            let items: Vec<f64> = items.iter().flatten().collect();
            Ok((!items.is_empty()).then(|| fold(&items)))
        })
        .collect();
    Ok(Arc::new(datafusion::arrow::array::Float64Array::from(values?)))
}
