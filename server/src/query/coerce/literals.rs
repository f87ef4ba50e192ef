//! Literals in the type of what they are compared with, so that a column beside one stays bare.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use super::cast_scalar;
use crate::query::convert::{self, DATETIME, datetime, number};

/// A literal, perhaps cast or negated.
pub(super) fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::TryCast(cast) => is_constant(&cast.expr),
        Expr::Negative(inner) => is_constant(inner),
        Expr::Alias(alias) => is_constant(&alias.expr),
        _ => false,
    }
}

/// The value of a literal that is not NULL.
pub(super) fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(scalar, _) if !scalar.is_null() => Some(scalar.clone()),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// The literal in the type of the other side, if it is there exactly what it was.
pub(super) fn meet(scalar: &ScalarValue, target: &DataType) -> Option<ScalarValue> {
    let from = scalar.data_type();
    match target {
        DataType::Boolean => match text_or_number(scalar)? {
            0.0 => Some(ScalarValue::Boolean(Some(false))),
            1.0 => Some(ScalarValue::Boolean(Some(true))),
            _ => None,
        },
        integer if integer.is_integer() && convert::is_string(&from) => {
            let (digits, scale) = number::plain_decimal(scalar.try_as_str()??)?;
            if scale != 0 {
                return None;
            }
            cast_scalar(&ScalarValue::Decimal256(Some(digits), 76, 0), integer).filter(|scalar| !scalar.is_null())
        }
        decimal if convert::is_decimal(decimal) && convert::is_string(&from) => {
            let (digits, scale) = number::plain_decimal(scalar.try_as_str()??)?;
            let exact = ScalarValue::Decimal256(Some(digits), 76, scale);
            let cast = exact.cast_to(decimal).ok().filter(|scalar| !scalar.is_null())?;
            (cast.cast_to(&exact.data_type()).ok()? == exact).then_some(cast)
        }
        float if float.is_floating() && convert::is_string(&from) => {
            let value = number::parse_double(scalar.try_as_str()??)?;
            ScalarValue::Float64(Some(value)).cast_to(float).ok()
        }
        // A DOUBLE is compared with the DOUBLE next to the literal; a FLOAT only takes what it can say exactly, for the
        // comparison is one of DOUBLEs.
        float if float.is_floating() && convert::is_number(&from) => {
            let double = cast_scalar(scalar, &DataType::Float64).filter(|double| !double.is_null())?;
            let narrow = double.cast_to(float).ok()?;
            (narrow.cast_to(&DataType::Float64).ok()? == double).then_some(narrow)
        }
        DataType::Date32 => {
            let micros = moment(scalar)?;
            (micros.rem_euclid(datetime::DAY) == 0).then(|| ScalarValue::Date32(Some(datetime::days_of(micros))))
        }
        DataType::Timestamp(..) => ScalarValue::TimestampMicrosecond(Some(moment(scalar)?), None).cast_to(target).ok(),
        _ => None,
    }
}

fn text_or_number(scalar: &ScalarValue) -> Option<f64> {
    if let Some(text) = scalar.try_as_str() {
        return convert::text::parse_bool(text?).map(f64::from);
    }
    match scalar.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(value) => value,
        _ => None,
    }
}

/// The literal read as a DATETIME.
fn moment(scalar: &ScalarValue) -> Option<i64> {
    if let Some(text) = scalar.try_as_str() {
        return datetime::parse_datetime(text?);
    }
    match scalar {
        ScalarValue::Date32(Some(days)) => Some(datetime::micros_of_days(*days)),
        scalar if convert::is_temporal(&scalar.data_type()) => match scalar.cast_to(&DATETIME).ok()? {
            ScalarValue::TimestampMicrosecond(micros, _) => micros,
            _ => None,
        },
        scalar if scalar.data_type().is_integer() => match scalar.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => datetime::datetime_of_number(value?),
            _ => None,
        },
        _ => None,
    }
}
