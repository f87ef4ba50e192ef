//! One SQL value outside an array: a variable, a parameter, a partition bound, the end of a zone.
//!
//! The rest of the server speaks in these; only this module turns them into the engine's scalars or into literals of
//! the syntax tree. Nothing is lost on the way: decimals keep their scale, times their microseconds.

use std::fmt;

use datafusion::arrow::datatypes::{DataType, TimeUnit, i256};
use datafusion::common::ScalarValue;
use sqlparser::ast::{self, DataType as SqlType, TimezoneInfo};

use super::convert::datetime;

/// A single SQL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Boolean(bool),
    /// TINYINT to BIGINT.
    Int(i64),
    /// A number above the range of BIGINT.
    UInt(u64),
    /// FLOAT and DOUBLE.
    Double(f64),
    /// DECIMAL and LARGEINT: the digits without the point, and the digits after the point.
    Decimal(i256, i8),
    /// DATE, in days since 1970-01-01.
    Date(i32),
    /// DATETIME, in microseconds since 1970-01-01 00:00:00 without a time zone.
    DateTime(i64),
    /// CHAR, VARCHAR, STRING and JSON.
    String(String),
    /// VARBINARY.
    Bytes(Vec<u8>),
}

impl Value {
    /// This value as a scalar of the column type given; `None` when the type cannot hold it exactly.
    pub(crate) fn to_scalar(&self, data_type: &DataType) -> Option<ScalarValue> {
        let natural = self.natural_scalar();
        if natural.data_type() == *data_type {
            return Some(natural);
        }
        if matches!(self, Self::Null) {
            return ScalarValue::try_from(data_type).ok();
        }
        let exact = match (self, data_type) {
            (Self::Int(_) | Self::UInt(_) | Self::Boolean(_), target) => {
                target.is_integer()
                    || target.is_floating()
                    || matches!(target, DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..))
            }
            (Self::Double(_), target) => target.is_floating(),
            (Self::Decimal(..), target) => matches!(target, DataType::Decimal128(..) | DataType::Decimal256(..)),
            (Self::Date(_), target) => matches!(target, DataType::Timestamp(..) | DataType::Date32),
            (Self::DateTime(_), target) => matches!(target, DataType::Timestamp(..)),
            (Self::String(_), target) => {
                matches!(target, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            }
            (Self::Bytes(_), target) => {
                matches!(target, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
            }
            (Self::Null, _) => true,
        };
        if !exact {
            return None;
        }
        natural.cast_to(data_type).ok().filter(|scalar| !scalar.is_null())
    }

    /// This value as a scalar of the type it has by itself.
    pub(crate) fn natural_scalar(&self) -> ScalarValue {
        match self {
            Self::Null => ScalarValue::Null,
            Self::Boolean(value) => ScalarValue::Boolean(Some(*value)),
            Self::Int(value) => ScalarValue::Int64(Some(*value)),
            Self::UInt(value) => ScalarValue::UInt64(Some(*value)),
            // Zero has no sign in the engine.
            Self::Double(value) => ScalarValue::Float64(Some(*value + 0.0)),
            Self::Decimal(digits, scale) => match digits.to_i128().filter(|d| d.unsigned_abs() < 10u128.pow(38)) {
                Some(digits) => ScalarValue::Decimal128(Some(digits), 38, *scale),
                None => ScalarValue::Decimal256(Some(*digits), 76, *scale),
            },
            Self::Date(days) => ScalarValue::Date32(Some(*days)),
            Self::DateTime(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
            Self::String(text) => ScalarValue::Utf8(Some(text.clone())),
            Self::Bytes(bytes) => ScalarValue::Binary(Some(bytes.clone())),
        }
    }

    /// The value of a scalar; `None` for the nested types, which have no single value.
    pub(crate) fn from_scalar(scalar: &ScalarValue) -> Option<Self> {
        if scalar.is_null() {
            return Some(Self::Null);
        }
        Some(match scalar {
            ScalarValue::Boolean(Some(value)) => Self::Boolean(*value),
            ScalarValue::Int8(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::Int16(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::Int32(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::Int64(Some(value)) => Self::Int(*value),
            ScalarValue::UInt8(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::UInt16(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::UInt32(Some(value)) => Self::Int(i64::from(*value)),
            ScalarValue::UInt64(Some(value)) => i64::try_from(*value).map_or(Self::UInt(*value), Self::Int),
            ScalarValue::Float32(Some(value)) => Self::Double(f64::from(*value)),
            ScalarValue::Float64(Some(value)) => Self::Double(*value),
            ScalarValue::Decimal128(Some(digits), _, scale) => Self::Decimal(i256::from_i128(*digits), *scale),
            ScalarValue::Decimal256(Some(digits), _, scale) => Self::Decimal(*digits, *scale),
            ScalarValue::Date32(Some(days)) => Self::Date(*days),
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                Self::String(text.clone())
            }
            ScalarValue::Binary(Some(bytes))
            | ScalarValue::LargeBinary(Some(bytes))
            | ScalarValue::BinaryView(Some(bytes)) => Self::Bytes(bytes.clone()),
            timestamp => match timestamp.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None)) {
                Ok(ScalarValue::TimestampMicrosecond(Some(micros), None)) => Self::DateTime(micros),
                _ => return None,
            },
        })
    }

    /// This value as a literal of the syntax tree, typed so that planning gives the same type back.
    pub(crate) fn to_ast(&self) -> ast::Expr {
        let literal = |value: ast::Value| ast::Expr::Value(value.into());
        match self {
            Self::Null => literal(ast::Value::Null),
            Self::Boolean(value) => literal(ast::Value::Boolean(*value)),
            Self::Int(value) if *value == i64::MIN => ast::Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: Box::new(literal(ast::Value::Number(value.unsigned_abs().to_string(), false))),
            },
            Self::Int(value) if *value < 0 => ast::Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: Box::new(literal(ast::Value::Number((-value).to_string(), false))),
            },
            Self::Int(value) => literal(ast::Value::Number(value.to_string(), false)),
            Self::UInt(value) => literal(ast::Value::Number(value.to_string(), false)),
            Self::Double(value) => typed(format!("{value:e}"), SqlType::Double(ast::ExactNumberInfo::None)),
            Self::Decimal(digits, scale) => {
                let text = decimal_text(*digits, *scale);
                match text.strip_prefix('-') {
                    Some(positive) => ast::Expr::UnaryOp {
                        op: ast::UnaryOperator::Minus,
                        expr: Box::new(literal(ast::Value::Number(positive.to_owned(), false))),
                    },
                    None => literal(ast::Value::Number(text, false)),
                }
            }
            Self::Date(days) => typed(datetime::format_date(*days), SqlType::Date),
            Self::DateTime(micros) => {
                typed(datetime::format_datetime(*micros), SqlType::Timestamp(None, TimezoneInfo::None))
            }
            Self::String(text) => literal(ast::Value::SingleQuotedString(text.clone())),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => literal(ast::Value::SingleQuotedString(text.to_owned())),
                Err(_) => {
                    literal(ast::Value::HexStringLiteral(bytes.iter().map(|byte| format!("{byte:02X}")).collect()))
                }
            },
        }
    }
}

impl fmt::Display for Value {
    /// The text MySQL's text protocol shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(value) => write!(f, "{}", u8::from(*value)),
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&super::convert::text::format_double(*value)),
            Self::Decimal(digits, scale) => f.write_str(&decimal_text(*digits, *scale)),
            Self::Date(days) => f.write_str(&datetime::format_date(*days)),
            Self::DateTime(micros) => f.write_str(&datetime::format_datetime(*micros)),
            Self::String(text) => f.write_str(text),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// A string literal cast to a type.
pub(crate) fn typed(text: String, data_type: SqlType) -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::TryCast,
        expr: Box::new(ast::Expr::Value(ast::Value::SingleQuotedString(text).into())),
        data_type,
        array: false,
        format: None,
    }
}

/// Digits with the point put in.
pub(crate) fn decimal_text(digits: i256, scale: i8) -> String {
    let text = digits.to_string();
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{text}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    if scale == 0 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
