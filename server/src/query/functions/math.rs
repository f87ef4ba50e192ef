//! Mathematics. What has no value (the root of -1, a logarithm of 0) is NULL; exact types stay exact where they can.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use rand::{Rng as _, SeedableRng as _};

use super::support::{Args, Returns, Scalar};
use crate::query::convert::{self, number::double_to_int};

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::new("abs", 1, 1, Returns::Of(kept_number), abs),
        Scalar::int("ceil", 1, 1, |args| whole(args, f64::ceil)).alias(&["ceiling", "dceil"]),
        Scalar::int("floor", 1, 1, |args| whole(args, f64::floor)).alias(&["dfloor"]),
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
            Ok(args.build_strings(|row, out| {
                out.push_str(&format!("{:b}", values.get(row)?));
                Some(())
            }))
        }),
        Scalar::text("oct", 1, 1, |args| {
            let values = args.ints(0)?;
            Ok(args.build_strings(|row, out| {
                out.push_str(&format!("{:o}", values.get(row)?));
                Some(())
            }))
        }),
    ]
}

fn one(args: &Args<'_>, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let values = args.doubles(0)?;
    Ok(args.build::<Float64Type>(|row| Some(of(values.get(row)?)).filter(|value| value.is_finite())))
}

fn two(args: &Args<'_>, of: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.doubles(0)?, args.doubles(1)?);
    Ok(args.build::<Float64Type>(|row| Some(of(left.get(row)?, right.get(row)?)).filter(|value| value.is_finite())))
}

/// BIGINT for integers, the decimal itself, DOUBLE for everything else.
fn kept_number(types: &[DataType]) -> DataType {
    match types.first() {
        Some(integer) if integer.is_integer() => DataType::Int64,
        Some(DataType::Decimal128(precision, scale)) => DataType::Decimal128(*precision, *scale),
        _ => DataType::Float64,
    }
}

fn abs(args: &Args<'_>) -> Result<ArrayRef> {
    match args.return_type() {
        DataType::Int64 => {
            let values = args.ints(0)?;
            Ok(args.build::<Int64Type>(|row| values.get(row)?.checked_abs()))
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
        return Ok(args.build::<Int64Type>(|row| {
            if values.is_null(row) {
                return None;
            }
            let value = values.value(row);
            let floor = value.div_euclid(unit);
            let whole = floor + i128::from(up && value.rem_euclid(unit) != 0);
            i64::try_from(whole).ok()
        }));
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
            Ok(args.build::<Int64Type>(|row| {
                let value = i128::from(values.get(row)?);
                let digits = digits_of(row)?;
                if digits >= 0 {
                    return i64::try_from(value).ok();
                }
                i64::try_from(cut_to(value, u32::try_from(-digits).ok()?, round)).ok()
            }))
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
            let result: Decimal128Array = (0..args.rows())
                .map(|row| {
                    if values.is_null(row) {
                        return None;
                    }
                    let digits = digits_of(row)?.clamp(-38, i64::from(from));
                    let drop = u32::try_from(i64::from(from) - digits).ok()?;
                    let value = cut_to(values.value(row), drop, round);
                    // The result has `scale` digits after the point, `from` of them before this line.
                    value.checked_div(10i128.checked_pow(u32::try_from(from - scale).ok()?)?)
                })
                .collect();
            Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
        }
        _ => {
            let values = args.doubles(0)?;
            Ok(args.build::<Float64Type>(|row| {
                let value = values.get(row)?;
                let digits = i32::try_from(digits_of(row)?.clamp(-308, 308)).ok()?;
                Some(cut_double(value, digits, round))
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
    let factor = 10f64.powi(digits.abs());
    let cut = |x: f64| if round { x.round() } else { x.trunc() };
    let result = if digits >= 0 { cut(value * factor) / factor } else { cut(value / factor) * factor };
    if result.is_finite() { result } else { value }
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
    Ok(args.build_strings(|row, out| {
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
        out.extend(digits.iter().rev());
        Some(())
    }))
}
