//! Column types of the dialect and how each is kept in Arrow and Parquet.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field, Fields, TimeUnit};
use serde::{Deserialize, Serialize};

/// Arrow field metadata that names the dialect's type where Arrow's own is ambiguous.
pub const MYSQL_TYPE_KEY: &str = "ebla.mysql_type";

/// Arrow field metadata that becomes the Parquet field id.
pub const PARQUET_FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum DataType {
    /// TRUE or FALSE.
    Boolean,
    /// 8-bit signed integer.
    TinyInt,
    /// 16-bit signed integer.
    SmallInt,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    BigInt,
    /// 128-bit signed integer.
    LargeInt,
    /// 32-bit IEEE 754 number.
    Float,
    /// 64-bit IEEE 754 number.
    Double,
    /// Exact number of `precision` decimal digits, `scale` of them after the point.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// Day in the proleptic Gregorian calendar.
    Date,
    /// Day and time without zone, to the microsecond.
    DateTime,
    /// Text of at most `length` bytes, 1 to 255.
    Char {
        /// Most bytes.
        length: u32,
    },
    /// Text of at most `length` bytes, 1 to 1,048,576. STRING is VARCHAR(65533).
    Varchar {
        /// Most bytes.
        length: u32,
    },
    /// Bytes, at most `length` of them.
    Varbinary {
        /// Most bytes.
        length: u32,
    },
    /// A JSON document, kept as its text.
    Json,
    /// A list.
    Array {
        /// Type of the elements.
        element: Box<DataType>,
    },
    /// A list of key and value pairs.
    Map {
        /// Type of the keys.
        key: Box<DataType>,
        /// Type of the values.
        value: Box<DataType>,
    },
    /// Named fields.
    Struct {
        /// The fields, in order.
        fields: Vec<StructField>,
    },
}

/// One field of a STRUCT.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StructField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

impl DataType {
    /// Length of the type that the dialect calls STRING, in bytes.
    pub const STRING_LENGTH: u32 = 65_533;
    /// Longest VARCHAR and VARBINARY, in bytes.
    pub const VARCHAR_LENGTH_MAX: u32 = 1_048_576;
    /// Longest CHAR, in bytes.
    pub const CHAR_LENGTH_MAX: u32 = 255;
    /// Widest DECIMAL, in digits.
    pub const DECIMAL_PRECISION_MAX: u8 = 38;
    /// Digits of the Arrow decimal that carries a LARGEINT: the least that holds every 128-bit integer.
    pub const LARGEINT_PRECISION: u8 = 39;

    /// The Arrow type that carries values of this type.
    pub fn to_arrow(&self) -> ArrowType {
        match self {
            DataType::Boolean => ArrowType::Boolean,
            DataType::TinyInt => ArrowType::Int8,
            DataType::SmallInt => ArrowType::Int16,
            DataType::Int => ArrowType::Int32,
            DataType::BigInt => ArrowType::Int64,
            DataType::LargeInt => ArrowType::Decimal256(Self::LARGEINT_PRECISION, 0),
            DataType::Float => ArrowType::Float32,
            DataType::Double => ArrowType::Float64,
            DataType::Decimal { precision, scale } => {
                // The parser bounds scale by precision, at most 38, so the cast keeps the value.
                ArrowType::Decimal128(*precision, *scale as i8)
            }
            DataType::Date => ArrowType::Date32,
            DataType::DateTime => ArrowType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Char { .. } | DataType::Varchar { .. } | DataType::Json => ArrowType::Utf8,
            DataType::Varbinary { .. } => ArrowType::Binary,
            DataType::Array { element } => ArrowType::List(Arc::new(element.to_field("element", true))),
            DataType::Map { key, value } => {
                let entries = Fields::from(vec![key.to_field("key", false), value.to_field("value", true)]);
                let entries = Field::new("key_value", ArrowType::Struct(entries), false);
                ArrowType::Map(Arc::new(entries), false)
            }
            DataType::Struct { fields } => {
                ArrowType::Struct(fields.iter().map(|field| field.data_type.to_field(&field.name, true)).collect())
            }
        }
    }

    /// An Arrow field of this type, marked with the dialect's name for it where Arrow's is ambiguous.
    pub fn to_field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.to_arrow(), nullable);
        match self {
            DataType::LargeInt | DataType::Json | DataType::Char { .. } => {
                let mark = self.to_string();
                let mark = mark.split('(').next().unwrap_or_default().to_uppercase();
                field.with_metadata(HashMap::from([(MYSQL_TYPE_KEY.to_owned(), mark)]))
            }
            _ => field,
        }
    }

    /// Whether a column of this type may be part of a sort key, a partition key or a hash distribution.
    pub fn can_be_key(&self) -> bool {
        !matches!(
            self,
            DataType::Float
                | DataType::Double
                | DataType::Json
                | DataType::Varbinary { .. }
                | DataType::Array { .. }
                | DataType::Map { .. }
                | DataType::Struct { .. }
        )
    }

    /// Whether the type is one of the integers.
    pub fn is_integer(&self) -> bool {
        matches!(self, DataType::TinyInt | DataType::SmallInt | DataType::Int | DataType::BigInt | DataType::LargeInt)
    }

    /// Whether the type holds other types.
    pub fn is_nested(&self) -> bool {
        matches!(self, DataType::Array { .. } | DataType::Map { .. } | DataType::Struct { .. })
    }
}

/// The type as SHOW CREATE TABLE and DESC print it.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Boolean => f.write_str("boolean"),
            DataType::TinyInt => f.write_str("tinyint(4)"),
            DataType::SmallInt => f.write_str("smallint(6)"),
            DataType::Int => f.write_str("int(11)"),
            DataType::BigInt => f.write_str("bigint(20)"),
            DataType::LargeInt => f.write_str("largeint(40)"),
            DataType::Float => f.write_str("float"),
            DataType::Double => f.write_str("double"),
            DataType::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            DataType::Date => f.write_str("date"),
            DataType::DateTime => f.write_str("datetime"),
            DataType::Char { length } => write!(f, "char({length})"),
            DataType::Varchar { length } => write!(f, "varchar({length})"),
            DataType::Varbinary { length } => write!(f, "varbinary({length})"),
            DataType::Json => f.write_str("json"),
            DataType::Array { element } => write!(f, "array<{element}>"),
            DataType::Map { key, value } => write!(f, "map<{key},{value}>"),
            DataType::Struct { fields } => {
                f.write_str("struct<")?;
                for (position, field) in fields.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    // A field may bear any name, that of a keyword or one with blanks too.
                    write!(f, "{comma}`{}` {}", field.name.replace('`', "``"), field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}
