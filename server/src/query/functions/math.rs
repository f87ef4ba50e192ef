//! Mathematics. What has no value (the root of -1, a logarithm of 0) is NULL; exact types stay exact where they can.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, i256};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use rand::{Rng as _, SeedableRng as _};

use super::arithmetic::{DECIMAL128_DIGITS, without_negative_zero};
use super::support::{Args, Returns, Scalar};
use crate::query::convert::{self, number::double_to_int};
use crate::query::error::QueryError;

/// The largest power of ten that a double can hold.
const DOUBLE_DIGITS: i64 = 308;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::new("abs", 1, 1, Returns::Of(kept_number), abs),
        Scalar::new("ceil", 1, 1, Returns::Of(whole_type), |args| whole(args, f64::ceil)).alias(&["ceiling", "dceil"]),
        Scalar::new("floor", 1, 1, Returns::Of(whole_type), |args| whole(args, f64::floor)).alias(&["dfloor"]),
        Scalar::new("round", 1, 2, Returns::From(rounded_type), |args| cut(args, true)).alias(&["dround"]),
        Scalar::new("truncate", 2, 2, Returns::From(rounded_type), |args| cut(args, false)),
        Scalar::int("sign", 1, 1, |args| {
            let values = args.doubles(0)?;
            Ok(args.build::<Int64Type>(|row| {
                let value = values.get(row)?;
                Some(i64::from(value > 0.0) - i64::from(value < 0.0))
            }))
        }),
        Scalar::double("sqrt", 1, 1, |args| one(args, f64::sqrt)).alias(&["dsqrt"]),
        Scalar::double("cbrt", 1, 1, |args| one(args, f64::cbrt)),
        Scalar::double("square", 1, 1, |args| one(args, |x| x * x)),
        Scalar::double("exp", 1, 1, |args| one(args, f64::exp)).alias(&["dexp"]),
        Scalar::double("ln", 1, 1, |args| one(args, f64::ln)).alias(&["dlog1"]),
        Scalar::double("log2", 1, 1, |args| one(args, f64::log2)),
        Scalar::double("log10", 1, 1, |args| one(args, f64::log10)).alias(&["dlog10"]),
        Scalar::double("log", 1, 2, |args| {
            if args.len() == 1 {
                return one(args, f64::ln);
            }
            two(args, |base, x| if base <= 0.0 || base == 1.0 || x <= 0.0 { f64::NAN } else { x.ln() / base.ln() })
        }),
        Scalar::double("power", 2, 2, |args| two(args, f64::powf)).alias(&["pow", "dpow", "fpow"]),
        Scalar::double("sin", 1, 1, |args| one(args, f64::sin)),
        Scalar::double("cos", 1, 1, |args| one(args, f64::cos)),
        Scalar::double("tan", 1, 1, |args| one(args, f64::tan)),
        Scalar::double("cot", 1, 1, |args| one(args, |x| 1.0 / x.tan())),
        Scalar::double("asin", 1, 1, |args| one(args, f64::asin)),
        Scalar::double("acos", 1, 1, |args| one(args, f64::acos)),
        Scalar::double("atan", 1, 2, |args| if args.len() == 1 { one(args, f64::atan) } else { two(args, f64::atan2) }),
        Scalar::double("atan2", 2, 2, |args| two(args, f64::atan2)),
        Scalar::double("sinh", 1, 1, |args| one(args, f64::sinh)),
        Scalar::double("cosh", 1, 1, |args| one(args, f64::cosh)),
        Scalar::double("tanh", 1, 1, |args| one(args, f64::tanh)),
        Scalar::double("degrees", 1, 1, |args| one(args, f64::to_degrees)),
        Scalar::double("radians", 1, 1, |args| one(args, f64::to_radians)),
        Scalar::double("pi", 0, 0, |args| Ok(args.build::<Float64Type>(|_| Some(std::f64::consts::PI)))),
        Scalar::double("e", 0, 0, |args| Ok(args.build::<Float64Type>(|_| Some(std::f64::consts::E)))),
        Scalar::double("rand", 0, 1, rand).alias(&["random"]).volatile(),
        Scalar::text("conv", 3, 3, conv),
        Scalar::text("bin", 1, 1, |args| {
            let values = args.ints(0)?;
            args.build_strings(|row, out| {
                out.push_str(&format!("{:b}", values.get(row)?));
                Some(())
            })
        }),
        Scalar::text("oct", 1, 1, |args| {
            let values = args.ints(0)?;
            args.build_strings(|row, out| {
                out.push_str(&format!("{:o}", values.get(row)?));
                Some(())
            })
        }),
    ]
}

fn one(args: &Args<'_>, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let values = args.doubles(0)?;
    Ok(args.build::<Float64Type>(|row| result(of(values.get(row)?))))
}

fn two(args: &Args<'_>, of: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.doubles(0)?, args.doubles(1)?);
    Ok(args.build::<Float64Type>(|row| result(of(left.get(row)?, right.get(row)?))))
}

/// What a function answers; `None` for what is no number.
fn result(value: f64) -> Option<f64> {
    value.is_finite().then(|| without_negative_zero(value))
}

/// BIGINT for integers, the decimal itself, DOUBLE for everything else.
fn kept_number(types: &[DataType]) -> DataType {
    match types.first() {
        Some(integer) if integer.is_integer() => DataType::Int64,
        Some(decimal @ (DataType::Decimal128(..) | DataType::Decimal256(..))) => decimal.clone(),
        _ => DataType::Float64,
    }
}

fn abs(args: &Args<'_>) -> Result<ArrayRef> {
    match args.return_type() {
        DataType::Int64 => {
            let values = args.ints(0)?;
            args.try_build::<Int64Type>(|row| {
                let Some(value) = values.get(row) else {
                    return Ok(None);
                };
                value.checked_abs().map(Some).ok_or_else(|| QueryError::bigint_out_of_range(&format!("abs({value})")))
            })
        }
        DataType::Decimal256(..) => {
            let array = args.array(0)?;
            // 76 digits are far from the end of 256 bits.
            let values = array.as_primitive::<Decimal256Type>().unary::<_, Decimal256Type>(i256::wrapping_abs);
            Ok(Arc::new(values.with_data_type(args.return_type().clone())))
        }
        DataType::Decimal128(precision, scale) => {
            let array = args.array(0)?;
            let values: Decimal128Array =
                array.as_primitive::<Decimal128Type>().iter().map(|value| value?.checked_abs()).collect();
            Ok(Arc::new(values.with_precision_and_scale(*precision, *scale)?))
        }
        _ => one(args, f64::abs),
    }
}

/// BIGINT where every result is one, else a decimal without digits after the point.
fn whole_type(types: &[DataType]) -> DataType {
    match types.first() {
        // Rounding up may need one digit more.
        Some(DataType::Decimal128(precision, scale)) if i16::from(*precision) - i16::from(*scale) + 1 > 18 => {
            let digits = i16::from(*precision) - i16::from(*scale) + 1;
            DataType::Decimal128(u8::try_from(digits).unwrap_or(DECIMAL128_DIGITS).min(DECIMAL128_DIGITS), 0)
        }
        Some(DataType::Decimal256(_, 0)) => types[0].clone(),
        _ => DataType::Int64,
    }
}

/// CEIL and FLOOR.
fn whole(args: &Args<'_>, of: fn(f64) -> f64) -> Result<ArrayRef> {
    let data_type = args.data_type(0);
    if data_type.is_integer() {
        let values = args.ints(0)?;
        return Ok(args.build::<Int64Type>(|row| values.get(row)));
    }
    if let DataType::Decimal128(_, scale) = data_type {
        let unit = 10i128.pow(u32::try_from(scale).unwrap_or(0));
        let up = of(0.5) > 0.0;
        let array = args.array(0)?;
        let values = array.as_primitive::<Decimal128Type>();
        let whole = |value: i128| value.div_euclid(unit) + i128::from(up && value.rem_euclid(unit) != 0);
        if let DataType::Decimal128(precision, _) = args.return_type() {
            let values: Decimal128Array = values.iter().map(|value| value.map(whole)).collect();
            return Ok(Arc::new(values.with_precision_and_scale(*precision, 0)?));
        }
        return Ok(args.build::<Int64Type>(|row| {
            values.is_valid(row).then(|| whole(values.value(row))).and_then(|value| i64::try_from(value).ok())
        }));
    }
    if matches!(args.return_type(), DataType::Decimal256(..)) {
        // LARGEINT is whole already.
        return args.array(0);
    }
    let values = args.doubles(0)?;
    Ok(args.build::<Int64Type>(|row| double_to_int(of(values.get(row)?))))
}

/// A decimal rounded to a literal number of digits has that many; everything else keeps its type.
fn rounded_type(types: &[DataType], literals: &[Option<&ScalarValue>]) -> DataType {
    let digits = match literals.get(1) {
        None => Some(0),
        Some(literal) => literal.and_then(|literal| match literal.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(digits)) => digits,
            _ => None,
        }),
    };
    match types.first() {
        Some(integer) if integer.is_integer() => DataType::Int64,
        Some(DataType::Decimal128(precision, scale)) => {
            let kept =
                digits.map_or(*scale, |digits| i8::try_from(digits.clamp(0, i64::from(*scale))).unwrap_or(*scale));
            // Rounding up may need one digit more before the point.
            let precision = (i16::from(*precision) - i16::from(*scale) + i16::from(kept) + 1).clamp(1, 38);
            DataType::Decimal128(u8::try_from(precision).unwrap_or(38), kept)
        }
        _ => DataType::Float64,
    }
}

/// ROUND (half away from zero) and TRUNCATE.
fn cut(args: &Args<'_>, round: bool) -> Result<ArrayRef> {
    let digits = if args.len() > 1 { Some(args.ints(1)?) } else { None };
    let digits_of = |row: usize| match &digits {
        Some(digits) => digits.get(row),
        None => Some(0),
    };
    match args.return_type() {
        DataType::Int64 => {
            let values = args.ints(0)?;
            args.try_build::<Int64Type>(|row| {
                let (Some(value), Some(digits)) = (values.get(row), digits_of(row)) else {
                    return Ok(None);
                };
                if digits >= 0 {
                    return Ok(Some(value));
                }
                let drop = u32::try_from(digits.unsigned_abs()).unwrap_or(u32::MAX);
                i64::try_from(cut_to(i128::from(value), drop, round))
                    .map(Some)
                    .map_err(|_| QueryError::bigint_out_of_range(&format!("round({value}, {digits})")))
            })
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let from = match args.data_type(0) {
                DataType::Decimal128(_, scale) => scale,
                _ => 0,
            };
            let array = args.array(0)?;
            let array = cast(&array, &DataType::Decimal128(38, from))?;
            let values = array.as_primitive::<Decimal128Type>();
            let limit = 10u128.pow(u32::from(precision));
            // The result has `scale` digits after the point, where the argument has `from`.
            let unit = 10i128.pow(u32::try_from(from - scale).unwrap_or(0));
            let result: Decimal128Array = (0..args.rows())
                .map(|row| {
                    let Some(digits) = digits_of(row).filter(|_| values.is_valid(row)) else {
                        return Ok(None);
                    };
                    let digits = digits.clamp(-i64::from(DECIMAL128_DIGITS), i64::from(from));
                    let drop = u32::try_from(i64::from(from) - digits).unwrap_or(u32::MAX);
                    let value = cut_to(values.value(row), drop, round) / unit;
                    if value.unsigned_abs() >= limit {
                        return Err(QueryError::decimal_out_of_range("round", precision));
                    }
                    Ok(Some(value))
                })
                .collect::<Result<_, QueryError>>()?;
            Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
        }
        _ => {
            let values = args.doubles(0)?;
            Ok(args.build::<Float64Type>(|row| {
                let value = values.get(row)?;
                let digits = i32::try_from(digits_of(row)?.clamp(-DOUBLE_DIGITS - 1, DOUBLE_DIGITS)).ok()?;
                Some(without_negative_zero(cut_double(value, digits, round)))
            }))
        }
    }
}

/// `value` with its last `drop` digits made zero.
fn cut_to(value: i128, drop: u32, round: bool) -> i128 {
    let Some(unit) = 10i128.checked_pow(drop) else {
        return 0;
    };
    let kept = value / unit * unit;
    let rest = value - kept;
    if round && rest.abs() >= unit - rest.abs() && rest != 0 { kept + unit * rest.signum() } else { kept }
}

fn cut_double(value: f64, digits: i32, round: bool) -> f64 {
    if !value.is_finite() {
        return value;
    }
    if round && digits >= 0 {
        // Through the shortest decimal text, so that 1.005 to two digits is 1.01 as it reads, not 1.00.
        let text = format!("{value}");
        let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if fraction <= digits.unsigned_abs() as usize {
            return value;
        }
        let scale = i8::try_from(digits.min(30)).unwrap_or(30);
        if let Some(rounded) = convert::number::parse_decimal(&text, scale) {
            return crate::query::value::decimal_text(rounded, scale).parse().unwrap_or(value);
        }
    }
    if i64::from(digits) < -DOUBLE_DIGITS {
        // Half of the unit is more than any number.
        return 0.0;
    }
    let factor = power_of_ten(digits.abs());
    let cut = |x: f64| if round { x.round() } else { x.trunc() };
    let result = if digits >= 0 { cut(value * factor) / factor } else { cut(value / factor) * factor };
    if result.is_finite() { result } else { value }
}

/// Ten to a power, exactly as it is written: multiplying up to it would be off by the last digits.
fn power_of_ten(exponent: i32) -> f64 {
    /// Powers up to this are whole numbers that a double holds exactly.
    const EXACT: i32 = 22;
    if exponent <= EXACT { 10f64.powi(exponent) } else { format!("1e{exponent}").parse().unwrap_or(f64::INFINITY) }
}

/// `RAND([seed])`: a seed gives the same numbers again.
fn rand(args: &Args<'_>) -> Result<ArrayRef> {
    if args.len() == 0 {
        let mut generator = rand::rng();
        return Ok(args.build::<Float64Type>(|_| Some(generator.random::<f64>())));
    }
    let seeds = args.ints(0)?;
    if args.is_single(0) {
        let mut generator = rand::rngs::SmallRng::seed_from_u64(seeds.get(0).unwrap_or(0).unsigned_abs());
        return Ok(args.build::<Float64Type>(|_| Some(generator.random::<f64>())));
    }
    Ok(args.build::<Float64Type>(|row| {
        let seed = seeds.get(row).unwrap_or(0).unsigned_abs();
        Some(rand::rngs::SmallRng::seed_from_u64(seed).random::<f64>())
    }))
}

/// CONV(number, from base, to base); a negative base to means a signed result.
fn conv(args: &Args<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (args.strings(0)?, args.ints(1)?, args.ints(2)?);
    args.build_strings(|row, out| {
        let text = texts.get(row)?.trim();
        let from = u32::try_from(from.get(row)?.abs()).ok().filter(|base| (2..=36).contains(base))?;
        let signed = to.get(row)? < 0;
        let to = u64::try_from(to.get(row)?.abs()).ok().filter(|base| (2..=36).contains(base))?;
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut value: u64 = 0;
        for digit in digits.chars().map_while(|c| c.to_digit(from)) {
            value = value
                .checked_mul(u64::from(from))
                .and_then(|value| value.checked_add(u64::from(digit)))
                .unwrap_or(u64::MAX);
        }
        if negative && !signed {
            value = value.wrapping_neg();
        }
        if signed && negative && value != 0 {
            out.push('-');
        }
        let mut digits = Vec::new();
        loop {
            // A digit in a base up to 36 is below 36.
            digits.push(char::from_digit((value % to) as u32, 36)?.to_ascii_uppercase());
            value /= to;
            if value == 0 {
                break;
            }
        }
        out.extend(digits.into_iter().rev());
        Some(())
    })
}
