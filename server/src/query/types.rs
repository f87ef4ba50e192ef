//! SQL type names to Arrow types, as storage maps them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};

use super::convert::{DATETIME, LARGEINT};
use super::error::QueryError;
use super::scan::MYSQL_TYPE;

/// DECIMAL without digits given.
const DECIMAL_DEFAULT: (u8, i8) = (10, 0);
/// The most digits of a 128-bit decimal.
const DECIMAL128_DIGITS_MAX: u8 = 38;

/// Answers the planner what a SQL type is.
#[derive(Debug)]
pub(crate) struct MySqlTypes;

impl TypePlanner for MySqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        field_of(sql_type).map(Some).map_err(QueryError::wrap)
    }
}

/// A nullable field of the type; its metadata tells LARGEINT and JSON apart from their carriers.
pub(crate) fn field_of(sql_type: &SqlType) -> Result<FieldRef, QueryError> {
    let data_type = arrow_type(sql_type)?;
    let mut field = Field::new("", data_type, true);
    if let Some(name) = mysql_name(sql_type) {
        field = field.with_metadata(HashMap::from([(MYSQL_TYPE.to_owned(), name.to_owned())]));
    }
    Ok(Arc::new(field))
}

fn mysql_name(sql_type: &SqlType) -> Option<&'static str> {
    match sql_type {
        SqlType::JSON | SqlType::JSONB => Some("JSON"),
        SqlType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("largeint") => Some("LARGEINT"),
        SqlType::Int128 | SqlType::HugeInt => Some("LARGEINT"),
        _ => None,
    }
}

/// The Arrow type of a SQL type.
pub(crate) fn arrow_type(sql_type: &SqlType) -> Result<DataType, QueryError> {
    Ok(match sql_type {
        SqlType::Bool | SqlType::Boolean => DataType::Boolean,
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) | SqlType::TinyIntUnsigned(_) => DataType::Int16,
        SqlType::Int(_)
        | SqlType::Integer(_)
        | SqlType::Int4(_)
        | SqlType::MediumInt(_)
        | SqlType::SmallIntUnsigned(_)
        | SqlType::Int2Unsigned(_)
        | SqlType::MediumIntUnsigned(_) => DataType::Int32,
        SqlType::BigInt(_)
        | SqlType::Int8(_)
        | SqlType::Signed
        | SqlType::SignedInteger
        | SqlType::IntUnsigned(_)
        | SqlType::IntegerUnsigned(_)
        | SqlType::Int4Unsigned(_)
        | SqlType::Int16
        | SqlType::Int32
        | SqlType::Int64 => DataType::Int64,
        SqlType::Unsigned | SqlType::UnsignedInteger => DataType::UInt64,
        SqlType::BigIntUnsigned(_) | SqlType::Int8Unsigned(_) | SqlType::Int128 | SqlType::HugeInt => LARGEINT,
        SqlType::Float(_) | SqlType::FloatUnsigned(_) | SqlType::Float4 | SqlType::Float32 => DataType::Float32,
        SqlType::Double(_)
        | SqlType::DoublePrecision
        | SqlType::DoubleUnsigned(_)
        | SqlType::DoublePrecisionUnsigned
        | SqlType::Real
        | SqlType::RealUnsigned
        | SqlType::Float8
        | SqlType::Float64 => DataType::Float64,
        SqlType::Decimal(digits)
        | SqlType::Dec(digits)
        | SqlType::Numeric(digits)
        | SqlType::DecimalUnsigned(digits)
        | SqlType::DecUnsigned(digits)
        | SqlType::BigDecimal(digits)
        | SqlType::BigNumeric(digits) => decimal(digits)?,
        SqlType::Date | SqlType::Date32 => DataType::Date32,
        SqlType::Datetime(_) | SqlType::Datetime64(..) | SqlType::Timestamp(..) | SqlType::TimestampNtz(_) => DATETIME,
        // There is no TIME type; times of the day are texts, as everywhere a TIME is the result.
        SqlType::Time(..)
        | SqlType::Char(_)
        | SqlType::Character(_)
        | SqlType::CharVarying(_)
        | SqlType::CharacterVarying(_)
        | SqlType::Varchar(_)
        | SqlType::Nvarchar(_)
        | SqlType::Text
        | SqlType::TinyText
        | SqlType::MediumText
        | SqlType::LongText
        | SqlType::String(_)
        | SqlType::FixedString(_)
        | SqlType::Clob(_)
        | SqlType::CharLargeObject(_)
        | SqlType::CharacterLargeObject(_)
        | SqlType::JSON
        | SqlType::JSONB
        | SqlType::Uuid
        | SqlType::Enum(..)
        | SqlType::Set(_) => DataType::Utf8,
        SqlType::Binary(_)
        | SqlType::Varbinary(_)
        | SqlType::Blob(_)
        | SqlType::TinyBlob
        | SqlType::MediumBlob
        | SqlType::LongBlob
        | SqlType::Bytes(_)
        | SqlType::Bytea => DataType::Binary,
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => DataType::List(Arc::new(Field::new("item", arrow_type(item)?, true))),
        SqlType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", arrow_type(key)?, false),
                Field::new("value", arrow_type(value)?, true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        SqlType::Struct(fields, _) => {
            let fields: Result<Vec<Field>, QueryError> = fields
                .iter()
                .enumerate()
                .map(|(index, field)| {
                    let name = field
                        .field_name
                        .as_ref()
                        .map_or_else(|| format!("col{}", index + 1), |name| name.value.to_lowercase());
                    Ok(Field::new(name, arrow_type(&field.field_type)?, true))
                })
                .collect();
            DataType::Struct(Fields::from(fields?))
        }
        SqlType::Custom(name, arguments) => custom(&name.to_string(), arguments)?,
        other => return Err(QueryError::Unsupported(format!("Unsupported type '{other}'"))),
    })
}

/// Types that the parser knows only by name.
fn custom(name: &str, arguments: &[String]) -> Result<DataType, QueryError> {
    match name.to_ascii_lowercase().as_str() {
        "largeint" => Ok(LARGEINT),
        "string" => Ok(DataType::Utf8),
        "decimalv2" | "decimal32" | "decimal64" | "decimal128" => {
            let number = |index: usize| arguments.get(index).map(|text| text.trim().parse::<u64>());
            match (number(0), number(1)) {
                (Some(Ok(precision)), Some(Ok(scale))) => {
                    decimal(&ExactNumberInfo::PrecisionAndScale(precision, i64::try_from(scale).unwrap_or(i64::MAX)))
                }
                (Some(Ok(precision)), None) => decimal(&ExactNumberInfo::Precision(precision)),
                (None, None) => decimal(&ExactNumberInfo::None),
                _ => Err(QueryError::Semantic(format!("Invalid arguments of type '{name}'"))),
            }
        }
        "signed" => Ok(DataType::Int64),
        "unsigned" => Ok(DataType::UInt64),
        "varbinary" => Ok(DataType::Binary),
        _ => Err(QueryError::Unsupported(format!("Unsupported type '{name}'"))),
    }
}

fn decimal(digits: &ExactNumberInfo) -> Result<DataType, QueryError> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => (u64::from(DECIMAL_DEFAULT.0), i64::from(DECIMAL_DEFAULT.1)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let valid = (1..=76).contains(&precision)
        && i64::try_from(precision).is_ok_and(|precision| (0..=precision).contains(&scale));
    let (true, Ok(precision), Ok(scale)) = (valid, u8::try_from(precision), i8::try_from(scale)) else {
        return Err(QueryError::Semantic(format!(
            "Invalid DECIMAL({precision},{scale}): precision is 1 to 76, scale 0 to precision"
        )));
    };
    Ok(if precision <= DECIMAL128_DIGITS_MAX {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    })
}

/// For callers that speak the engine's errors.
impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        error.wrap()
    }
}
