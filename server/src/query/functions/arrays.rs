//! Arrays and maps, where the engine's own functions differ in name or type.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, ArrowNativeTypeOp as _, AsArray, Int64Array, PrimitiveArray};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Int64Type};
use datafusion::error::Result;

use super::arithmetic::DECIMAL128_DIGITS;
use super::support::{Args, Returns, Scalar};
use crate::query::error::{QueryError, of_type};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::int("array_length", 1, 1, sizes),
        Scalar::int("cardinality", 1, 1, sizes),
        Scalar::int("map_size", 1, 1, sizes),
        Scalar::text("array_join", 2, 3, join).alias(&["array_to_string"]),
        Scalar::new("array_sum", 1, 1, Returns::Of(|types| sum_type(types.first())), sum),
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

/// What a sum of an array is: exact where its items are.
fn sum_type(array: Option<&DataType>) -> DataType {
    match array {
        Some(DataType::List(item)) => match item.data_type() {
            whole if whole.is_integer() || *whole == DataType::Boolean => DataType::Int64,
            DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL128_DIGITS, *scale),
            DataType::Decimal256(digits, scale) => DataType::Decimal256(*digits, *scale),
            _ => DataType::Float64,
        },
        _ => DataType::Float64,
    }
}

/// ARRAY_SUM(array): NULL items do not count, no items give NULL.
fn sum(args: &Args<'_>) -> Result<ArrayRef> {
    match args.return_type() {
        DataType::Int64 => summed::<Int64Type>(args),
        DataType::Decimal128(..) => summed::<Decimal128Type>(args),
        DataType::Decimal256(..) => summed::<Decimal256Type>(args),
        _ => folded(args, |values| values.iter().sum()),
    }
}

/// The exact sum of each array, in the type that the function returns.
fn summed<T: ArrowPrimitiveType>(args: &Args<'_>) -> Result<ArrayRef> {
    let array = args.array(0)?;
    let Some(list) = array.as_list_opt::<i32>() else {
        return Err(QueryError::Semantic("An ARRAY is wanted".to_owned()).wrap());
    };
    let total = |row: usize| -> Result<Option<T::Native>> {
        if list.is_null(row) {
            return Ok(None);
        }
        let items = crate::query::convert::cast(&list.value(row), args.return_type())?;
        let mut total = None;
        for item in items.as_primitive::<T>().iter().flatten() {
            let sum = total.unwrap_or(T::Native::ZERO).add_checked(item);
            total = Some(sum.map_err(|_| out_of_range(args.return_type()).wrap())?);
        }
        Ok(total)
    };
    let sums: PrimitiveArray<T> = (0..list.len()).map(total).collect::<Result<_>>()?;
    Ok(Arc::new(sums.with_data_type(args.return_type().clone())))
}

fn out_of_range(sum: &DataType) -> QueryError {
    match sum {
        DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _) => {
            QueryError::decimal_out_of_range("array_sum", *digits)
        }
        _ => QueryError::bigint_out_of_range("array_sum"),
    }
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
