//! Column types as StarRocks names them.
//!
//! Aliases are resolved while parsing (`INTEGER` is [`DataType::Int`], `BOOL` is [`DataType::Boolean`], `TEXT` is
//! [`DataType::String`]) and display widths such as `INT(11)` are dropped. Limits (precision, length) are the
//! server's to check, since they differ from one type of use to another.

/// The type of a column, of a function's argument, or of an element of a nested type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// `BOOLEAN`
    Boolean,
    /// `TINYINT`, 8 bits
    TinyInt,
    /// `SMALLINT`, 16 bits
    SmallInt,
    /// `INT`, 32 bits
    Int,
    /// `BIGINT`, 64 bits
    BigInt,
    /// `LARGEINT`, 128 bits
    LargeInt,
    /// `FLOAT`, 32 bits
    Float,
    /// `DOUBLE`, 64 bits
    Double,
    /// `DECIMAL[(precision[, scale])]`
    Decimal {
        /// Digits in all; 10 when absent.
        precision: Option<u8>,
        /// Digits after the point; 0 when absent.
        scale: Option<u8>,
    },
    /// `DATE`
    Date,
    /// `DATETIME`, microseconds
    DateTime,
    /// `TIME`
    Time,
    /// `CHAR[(length)]`; 1 when absent
    Char(Option<u32>),
    /// `VARCHAR[(length)]`; 1 when absent
    Varchar(Option<u32>),
    /// `STRING`
    String,
    /// `BINARY[(length)]`
    Binary(Option<u32>),
    /// `VARBINARY[(length)]`
    Varbinary(Option<u32>),
    /// `JSON`
    Json,
    /// `ARRAY<element>`
    Array(Box<DataType>),
    /// `MAP<key, value>`
    Map(Box<DataType>, Box<DataType>),
    /// `STRUCT<name type, …>`
    Struct(Vec<StructField>),
    /// `BITMAP`
    Bitmap,
    /// `HLL`
    Hll,
    /// `PERCENTILE`
    Percentile,
}

/// One field of a `STRUCT<…>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructField {
    /// The field's name.
    pub name: String,
    /// The field's type.
    pub data_type: DataType,
}
