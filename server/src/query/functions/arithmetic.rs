//! Arithmetic. `+`, `-` and `*` are [`checked`]; of `/`, `%` and DIV a division by zero is NULL, and decimals stay
//! decimals. A result that its type cannot hold is an error.
//!
//! Zero is one value: a DOUBLE that came out as -0.0 would be another one to comparisons, groups and joins, so no function
//! answers it.

pub(crate) mod checked;

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Float64Array};
use datafusion::arrow::compute::{binary, cast};
use datafusion::arrow::datatypes::{DataType, Decimal256Type, Float64Type, Int64Type, i256};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ScalarUDF};

use super::support::{Args, Returns, Scalar};
use crate::query::convert;
use crate::query::convert::LARGEINT;
use crate::query::error::QueryError;

/// The most digits of a 128-bit decimal.
pub(super) const DECIMAL128_DIGITS: u8 = 38;

pub(super) fn functions() -> Vec<Scalar> {
    vec![divide_entry(), integer_divide_entry(), modulo_entry(), positive_modulo_entry()]
}

/// `a / b`.
pub(crate) fn divide() -> Arc<ScalarUDF> {
    divide_entry().into_udf()
}

/// `a DIV b`.
pub(crate) fn integer_divide() -> Arc<ScalarUDF> {
    integer_divide_entry().into_udf()
}

/// `a % b`.
pub(crate) fn modulo() -> Arc<ScalarUDF> {
    modulo_entry().into_udf()
}

/// `+`, `-` or `*` of two DOUBLEs. Sums and differences of zeros that have no sign have none; products may get one.
pub(crate) fn on_doubles(left: Expr, op: Operator, right: Expr) -> Expr {
    if op == Operator::Multiply {
        return product_entry().into_udf().call(vec![left, right]);
    }
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// The same number, with zero for negative zero: the sum of the two zeros has no sign.
pub(crate) fn without_negative_zero(value: f64) -> f64 {
    value + 0.0
}

fn product_entry() -> Scalar {
    Scalar::double("multiply", 2, 2, |args| {
        let column = |index: usize| -> Result<Float64Array> { Ok(convert::to_doubles(&args.raw(index)?)?) };
        let (left, right) = (column(0)?, column(1)?);
        // A single value for all rows; NULL makes all of them NULL.
        let single = |values: &Float64Array| values.is_valid(0).then(|| values.value(0));
        let times = |a: f64, b: f64| without_negative_zero(a * b);
        let product: Float64Array = match (args.is_single(0), args.is_single(1)) {
            (true, false) => match single(&left) {
                Some(left) => right.unary(|right| times(left, right)),
                None => Float64Array::new_null(args.rows()),
            },
            (false, true) => match single(&right) {
                Some(right) => left.unary(|left| times(left, right)),
                None => Float64Array::new_null(args.rows()),
            },
            // Two columns, or two values for the one row.
            _ => binary(&left, &right, times)?,
        };
        Ok(Arc::new(product))
    })
}

fn divide_entry() -> Scalar {
    Scalar::new("divide", 2, 2, Returns::Of(quotient_type), |args| match args.return_type() {
        DataType::Decimal128(_, scale) => decimal_quotient(args, *scale),
        _ => {
            let (left, right) = (args.doubles(0)?, args.doubles(1)?);
            Ok(args.build::<Float64Type>(|row| {
                let (left, right) = (left.get(row)?, right.get(row)?);
                (right != 0.0).then(|| without_negative_zero(left / right))
            }))
        }
    })
}

fn integer_divide_entry() -> Scalar {
    Scalar::new("int_divide", 2, 2, Returns::Of(whole_quotient_type), |args| {
        if !exact(&args.data_type(0)) || !exact(&args.data_type(1)) {
            let (left, right) = (args.doubles(0)?, args.doubles(1)?);
            return args.try_build::<Int64Type>(|row| {
                let (Some(left), Some(right)) = (left.get(row), right.get(row).filter(|right| *right != 0.0)) else {
                    return Ok(None);
                };
                convert::number::double_to_int(left / right)
                    .map(Some)
                    .ok_or_else(|| QueryError::bigint_out_of_range(&format!("{left} DIV {right}")))
            });
        }
        if args.data_type(0).is_integer() && args.data_type(1).is_integer() {
            let (left, right) = (args.ints(0)?, args.ints(1)?);
            return args.try_build::<Int64Type>(|row| {
                let (Some(left), Some(right)) = (left.get(row), right.get(row).filter(|right| *right != 0)) else {
                    return Ok(None);
                };
                left.checked_div(right)
                    .map(Some)
                    .ok_or_else(|| QueryError::bigint_out_of_range(&format!("{left} DIV {right}")))
            });
        }
        let quotients = decimal_rows(args, |left, right| left.checked_div(right))?;
        if *args.return_type() == LARGEINT {
            let quotients: Decimal256Array = quotients.into_iter().collect();
            return Ok(Arc::new(quotients.with_data_type(LARGEINT)));
        }
        args.try_build::<Int64Type>(|row| {
            let Some(quotient) = quotients[row] else {
                return Ok(None);
            };
            let narrow = quotient.to_i128().and_then(|quotient| i64::try_from(quotient).ok());
            narrow.map(Some).ok_or_else(|| QueryError::bigint_out_of_range("DIV"))
        })
    })
}

/// LARGEINT as soon as one side is, else BIGINT.
fn whole_quotient_type(types: &[DataType]) -> DataType {
    if types.iter().all(exact) && types.iter().any(is_largeint) { LARGEINT } else { DataType::Int64 }
}

/// Whether the type is LARGEINT, or what arithmetic on it gives.
fn is_largeint(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(_, 0))
}

fn modulo_entry() -> Scalar {
    Scalar::new("mod", 2, 2, Returns::Of(remainder_type), |args| remainder(args, false))
}

fn positive_modulo_entry() -> Scalar {
    Scalar::new("pmod", 2, 2, Returns::Of(remainder_type), |args| remainder(args, true))
}

fn remainder(args: &Args<'_>, positive: bool) -> Result<ArrayRef> {
    match args.return_type() {
        DataType::Int64 => {
            let (left, right) = (args.ints(0)?, args.ints(1)?);
            Ok(args.build::<Int64Type>(|row| {
                let (left, right) = (left.get(row)?, right.get(row)?);
                if right == 0 {
                    return None;
                }
                let rest = left.checked_rem(right).unwrap_or(0);
                Some(if positive && rest < 0 { rest.wrapping_add(right.wrapping_abs()) } else { rest })
            }))
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let rows = decimal_rows(args, |left, right| rest_of(left, right, positive))?;
            let values: Decimal128Array = rows.iter().map(|value| value.and_then(i256::to_i128)).collect();
            Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
        }
        DataType::Decimal256(precision, scale) => {
            let rows = decimal_rows(args, |left, right| rest_of(left, right, positive))?;
            let values: Decimal256Array = rows.into_iter().collect();
            Ok(Arc::new(values.with_precision_and_scale(*precision, *scale)?))
        }
        _ => {
            let (left, right) = (args.doubles(0)?, args.doubles(1)?);
            Ok(args.build::<Float64Type>(|row| {
                let (left, right) = (left.get(row)?, right.get(row)?);
                if right == 0.0 {
                    return None;
                }
                let rest = left % right;
                Some(if positive && rest < 0.0 { rest + right.abs() } else { without_negative_zero(rest) })
            }))
        }
    }
}

fn rest_of(left: i256, right: i256, positive: bool) -> Option<i256> {
    let rest = left.checked_rem(right)?;
    Some(if positive && rest < i256::ZERO { rest.wrapping_add(right.wrapping_abs()) } else { rest })
}

/// Whether the type is exact: an integer or a decimal.
fn exact(data_type: &DataType) -> bool {
    data_type.is_integer() || convert::is_decimal(data_type)
}

/// Digits after the point; integers have none.
pub(super) fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// DECIMAL as soon as one side is and the other is exact, else DOUBLE. The quotient keeps six digits more than the
/// dividend, up to twelve.
fn quotient_type(types: &[DataType]) -> DataType {
    let [left, right] = types else {
        return DataType::Float64;
    };
    let decimal = convert::is_decimal(left) || convert::is_decimal(right);
    if !decimal || !exact(left) || !exact(right) || is_largeint(left) || is_largeint(right) {
        return DataType::Float64;
    }
    let scale = scale_of(left);
    let scale = match scale {
        ..=6 => scale + 6,
        7..=12 => 12,
        scale => scale,
    };
    DataType::Decimal128(DECIMAL128_DIGITS, scale)
}

fn remainder_type(types: &[DataType]) -> DataType {
    let [left, right] = types else {
        return DataType::Float64;
    };
    let null_or = |data_type: &DataType, test: fn(&DataType) -> bool| data_type.is_null() || test(data_type);
    if null_or(left, DataType::is_integer) && null_or(right, DataType::is_integer) {
        DataType::Int64
    } else if exact(left) && exact(right) && types.iter().any(|side| matches!(side, DataType::Decimal256(..))) {
        // A rest has no more digits than its divisor.
        DataType::Decimal256(76, scale_of(left).max(scale_of(right)))
    } else if exact(left) && exact(right) {
        DataType::Decimal128(DECIMAL128_DIGITS, scale_of(left).max(scale_of(right)))
    } else {
        DataType::Float64
    }
}

/// Both sides brought to one scale, combined row by row; NULL where a side is NULL or the divisor zero.
fn decimal_rows(args: &Args<'_>, combine: impl Fn(i256, i256) -> Option<i256>) -> Result<Vec<Option<i256>>> {
    let scale = scale_of(&args.data_type(0)).max(scale_of(&args.data_type(1)));
    let (left, right) = (wide(args, 0, scale)?, wide(args, 1, scale)?);
    Ok((0..args.rows())
        .map(|row| {
            at(&left, args.is_single(0), row)
                .zip(at(&right, args.is_single(1), row))
                .filter(|(_, right)| *right != i256::ZERO)
                .and_then(|(left, right)| combine(left, right))
        })
        .collect())
}

fn decimal_quotient(args: &Args<'_>, scale: i8) -> Result<ArrayRef> {
    // left / right at `scale` is left * 10^(scale + right scale - left scale) / right, rounded half away from zero.
    let (left_scale, right_scale) = (scale_of(&args.data_type(0)), scale_of(&args.data_type(1)));
    let (left, right) = (wide(args, 0, left_scale)?, wide(args, 1, right_scale)?);
    let shift = u32::try_from(i32::from(scale) + i32::from(right_scale) - i32::from(left_scale)).unwrap_or(0);
    let factor = i256::from_i128(10).checked_pow(shift);
    let out_of_range = || QueryError::decimal_out_of_range("/", DECIMAL128_DIGITS);
    let quotient_of = |left: i256, right: i256| {
        let dividend = left.checked_mul(factor?)?;
        let (quotient, rest) = (dividend.checked_div(right)?, dividend.checked_rem(right)?);
        let twice = rest.wrapping_abs().checked_mul(i256::from_i128(2))?;
        let rounded = if twice >= right.wrapping_abs() {
            let away = if (dividend < i256::ZERO) == (right < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
            quotient.checked_add(away)?
        } else {
            quotient
        };
        rounded.to_i128().filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(DECIMAL128_DIGITS)))
    };
    let values: Decimal128Array = (0..args.rows())
        .map(|row| {
            let sides = at(&left, args.is_single(0), row)
                .zip(at(&right, args.is_single(1), row))
                .filter(|(_, right)| *right != i256::ZERO);
            sides.map(|(left, right)| quotient_of(left, right).ok_or_else(out_of_range)).transpose()
        })
        .collect::<Result<_, QueryError>>()?;
    Ok(Arc::new(values.with_precision_and_scale(DECIMAL128_DIGITS, scale)?))
}

fn wide(args: &Args<'_>, index: usize, scale: i8) -> Result<Decimal256Array> {
    let array = cast(&args.raw(index)?, &DataType::Decimal256(76, scale))?;
    Ok(array.as_primitive::<Decimal256Type>().clone())
}

fn at(array: &Decimal256Array, single: bool, row: usize) -> Option<i256> {
    let row = if single { 0 } else { row };
    array.is_valid(row).then(|| array.value(row))
}
