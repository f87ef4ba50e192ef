//! Numbers, booleans and dates to number and BOOLEAN columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, PrimitiveArray};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType as ArrowType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, i256};
use ebla_storage::schema::DataType;

use super::{Converted, SAFE, by_kernel, temporal};
use crate::load::LoadError;

/// Converts a column of numbers, booleans or dates.
pub(super) fn convert(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    let Converted { array, failed } = convert_signed(source, target)?;
    Ok(Converted { array: without_negative_zeros(array), failed })
}

/// A column without negative zeros: comparisons, groups and joins would take them for other values than zero.
fn without_negative_zeros(array: ArrayRef) -> ArrayRef {
    if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        let is_negative = |value: &f64| *value == 0.0 && value.is_sign_negative();
        if values.values().iter().any(is_negative) {
            return Arc::new(values.unary::<_, Float64Type>(|value| value + 0.0));
        }
    }
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        let is_negative = |value: &f32| *value == 0.0 && value.is_sign_negative();
        if values.values().iter().any(is_negative) {
            return Arc::new(values.unary::<_, Float32Type>(|value| value + 0.0));
        }
    }
    array
}

fn convert_signed(source: &ArrayRef, target: &DataType) -> Result<Converted, LoadError> {
    match (source.data_type(), target) {
        // A day counts as the number 20240131, a moment as 20240131120000.
        (ArrowType::Date32 | ArrowType::Date64 | ArrowType::Timestamp(..), target) if *target != DataType::Boolean => {
            let numbers: Int64Array = temporal::numbers(source)?;
            convert(&(Arc::new(numbers) as ArrayRef), target)
        }
        (from, DataType::Boolean) if is_decimal(from) => {
            let doubles = cast_with_options(source, &ArrowType::Float64, &SAFE)?;
            Ok(by_kernel(&doubles, target)?.after(Vec::new()))
        }
        (ArrowType::Boolean, DataType::Decimal { .. } | DataType::LargeInt) => {
            let small = cast_with_options(source, &ArrowType::Int8, &SAFE)?;
            convert(&small, target)
        }
        (ArrowType::Float64, DataType::Float) => Ok(narrow_doubles(source)),
        (ArrowType::Decimal256(_, 0), DataType::LargeInt) => check_large_integers(source),
        (from, DataType::LargeInt) if !matches!(from, ArrowType::Decimal256(..)) => {
            let converted = by_kernel(source, target)?;
            Ok(check_large_integers(&converted.array)?.after(converted.failed))
        }
        (ArrowType::Decimal256(..), DataType::LargeInt) => {
            let converted = by_kernel(source, target)?;
            Ok(check_large_integers(&converted.array)?.after(converted.failed))
        }
        (ArrowType::Decimal128(precision, scale), DataType::Decimal { .. })
            if source.data_type() == &target.to_arrow() =>
        {
            check_decimals(source, *precision, *scale)
        }
        _ if source.data_type() == &target.to_arrow() => Ok(Converted::all(Arc::clone(source))),
        _ => by_kernel(source, target),
    }
}

fn is_decimal(data_type: &ArrowType) -> bool {
    matches!(
        data_type,
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..)
    )
}

/// FLOAT of DOUBLE: what is beyond the range of FLOAT fails and is not infinite.
fn narrow_doubles(source: &ArrayRef) -> Converted {
    let doubles = source.as_primitive::<Float64Type>();
    let narrow: Float32Array = doubles.unary_opt(|value| {
        let narrow = value as f32;
        (narrow.is_finite() || !value.is_finite()).then_some(narrow)
    });
    Converted::of_kernel(source, Arc::new(narrow.reinterpret_cast::<Float32Type>()))
}

/// The decimal that carries LARGEINT holds more numbers than LARGEINT does.
fn check_large_integers(source: &ArrayRef) -> Result<Converted, LoadError> {
    let numbers = source.as_primitive::<Decimal256Type>();
    let target = DataType::LargeInt.to_arrow();
    if source.data_type() == &target && numbers.iter().flatten().all(|number| number.to_i128().is_some()) {
        return Ok(Converted::all(Arc::clone(source)));
    }
    let checked: PrimitiveArray<Decimal256Type> = numbers.unary_opt(|number| number.to_i128().map(i256::from_i128));
    let checked = checked.with_precision_and_scale(DataType::LARGEINT_PRECISION, 0)?;
    Ok(Converted::of_kernel(source, Arc::new(checked)))
}

/// Arithmetic may leave more digits in a decimal than its type says.
fn check_decimals(source: &ArrayRef, precision: u8, scale: i8) -> Result<Converted, LoadError> {
    let numbers = source.as_primitive::<Decimal128Type>();
    let Some(limit) = 10u128.checked_pow(u32::from(precision)) else {
        return Ok(Converted::all(Arc::clone(source)));
    };
    let fits = |number: i128| number.unsigned_abs() < limit;
    if numbers.iter().flatten().all(fits) {
        return Ok(Converted::all(Arc::clone(source)));
    }
    let checked: PrimitiveArray<Decimal128Type> = numbers.unary_opt(|number| fits(number).then_some(number));
    Ok(Converted::of_kernel(source, Arc::new(checked.with_precision_and_scale(precision, scale)?)))
}
