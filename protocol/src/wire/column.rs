//! Column definitions: what clients are told about a result's columns.
//!
//! The Arrow type decides. A field's metadata may refine it: [`MYSQL_TYPE`] holds the SQL type as the user
//! declared it, [`TABLE`] and [`DATABASE`] where the column comes from. Types only refine what the binary
//! protocol sends in the same way; a refinement that does not fit the Arrow type is passed over.
//!
//! Written here and not by opensrv, whose columns have neither length nor decimals nor character set:
//! Connector/J reads the scale of a DECIMAL and the precision of a VARCHAR from them, and tells bytes from
//! text by the character set.

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use opensrv_mysql::{ColumnFlags, ColumnType};

use super::packet::put_lenenc_bytes;

/// Metadata key: the SQL type, such as `VARCHAR(20)`, `LARGEINT`, `JSON`, `BOOLEAN`.
pub const MYSQL_TYPE: &str = "ebla.mysql_type";
/// Metadata key: the table a column comes from.
pub const TABLE: &str = "ebla.table";
/// Metadata key: the database of that table.
pub const DATABASE: &str = "ebla.database";

const CATALOG: &[u8] = b"def";
/// Length of what follows in a definition.
const FIXED_FIELDS_BYTES: u8 = 0x0c;
const UTF8MB4_GENERAL_CI: u16 = 45;
const BINARY_CHARSET: u16 = 63;
const BYTES_PER_CHARACTER: u32 = 4;
/// Characters of a STRING, which is what text without a declared length is.
const STRING_CHARACTERS: u32 = 65_533;
/// Decimals of a number without fixed decimals.
const DECIMALS_OPEN: u8 = 31;
const MICROSECOND_DECIMALS: u8 = 6;

/// How a column is announced, and thereby how its values travel in the binary protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WireType {
    pub column_type: ColumnType,
    length: u32,
    decimals: u8,
    charset: u16,
    flags: ColumnFlags,
}

impl WireType {
    pub(super) fn of(field: &Field) -> Self {
        let natural = Self::natural(field.data_type());
        match field.metadata().get(MYSQL_TYPE) {
            Some(declared) => natural.refined(declared),
            None => natural,
        }
    }

    /// Whether values go out as length-encoded text in the binary protocol, whatever they are.
    pub(super) fn is_text(self) -> bool {
        matches!(
            self.column_type,
            ColumnType::MYSQL_TYPE_VAR_STRING
                | ColumnType::MYSQL_TYPE_STRING
                | ColumnType::MYSQL_TYPE_JSON
                | ColumnType::MYSQL_TYPE_NEWDECIMAL
        )
    }

    /// Whether a client that was told of this type reads values of that Arrow type rightly.
    pub(super) fn carries(self, data_type: &DataType) -> bool {
        let other = Self::natural(data_type);
        let unsigned = ColumnFlags::UNSIGNED_FLAG;
        self.is_text()
            || self.column_type == other.column_type && self.flags.contains(unsigned) == other.flags.contains(unsigned)
    }

    /// What the Arrow type alone says.
    pub(super) fn natural(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::binary(ColumnType::MYSQL_TYPE_NULL, 0, 0),
            DataType::Boolean => Self::number(ColumnType::MYSQL_TYPE_TINY, 1, 0),
            DataType::Int8 => Self::number(ColumnType::MYSQL_TYPE_TINY, 4, 0),
            DataType::Int16 => Self::number(ColumnType::MYSQL_TYPE_SHORT, 6, 0),
            DataType::Int32 => Self::number(ColumnType::MYSQL_TYPE_LONG, 11, 0),
            DataType::Int64 => Self::number(ColumnType::MYSQL_TYPE_LONGLONG, 20, 0),
            DataType::UInt8 => Self::number(ColumnType::MYSQL_TYPE_TINY, 3, 0).unsigned(),
            DataType::UInt16 => Self::number(ColumnType::MYSQL_TYPE_SHORT, 5, 0).unsigned(),
            DataType::UInt32 => Self::number(ColumnType::MYSQL_TYPE_LONG, 10, 0).unsigned(),
            DataType::UInt64 => Self::number(ColumnType::MYSQL_TYPE_LONGLONG, 20, 0).unsigned(),
            DataType::Float16 | DataType::Float32 => Self::number(ColumnType::MYSQL_TYPE_FLOAT, 12, DECIMALS_OPEN),
            DataType::Float64 => Self::number(ColumnType::MYSQL_TYPE_DOUBLE, 22, DECIMALS_OPEN),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => Self::decimal(*precision, *scale),
            DataType::Date32 | DataType::Date64 => Self::binary(ColumnType::MYSQL_TYPE_DATE, 10, 0),
            DataType::Timestamp(TimeUnit::Second, _) => Self::binary(ColumnType::MYSQL_TYPE_DATETIME, 19, 0),
            DataType::Timestamp(_, _) => Self::binary(ColumnType::MYSQL_TYPE_DATETIME, 26, MICROSECOND_DECIMALS),
            DataType::Time32(TimeUnit::Second) => Self::binary(ColumnType::MYSQL_TYPE_TIME, 10, 0),
            DataType::Time32(_) | DataType::Time64(_) => {
                Self::binary(ColumnType::MYSQL_TYPE_TIME, 17, MICROSECOND_DECIMALS)
            }
            DataType::Duration(_)
            | DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => {
                Self::text(64)
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::bytes()
            }
            DataType::Dictionary(_, values) => Self::natural(values),
            // Text, and what is shown as text: lists, structs, maps.
            _ => Self::text(STRING_CHARACTERS),
        }
    }

    /// Applies a declared SQL type where it travels as the natural one does.
    fn refined(self, declared: &str) -> Self {
        let (name, arguments) = match declared.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end_matches(')')),
            None => (declared, ""),
        };
        let length = || arguments.trim().parse::<u32>().ok();
        match name.trim().to_ascii_uppercase().as_str() {
            "BOOLEAN" | "BOOL" if self.column_type == ColumnType::MYSQL_TYPE_TINY => Self { length: 1, ..self },
            "CHAR" if self.is_text() => {
                Self { column_type: ColumnType::MYSQL_TYPE_STRING, ..Self::text(length().unwrap_or(1)) }
            }
            "VARCHAR" if self.is_text() => Self::text(length().unwrap_or(STRING_CHARACTERS)),
            "STRING" if self.is_text() => Self::text(STRING_CHARACTERS),
            "LARGEINT" if self.is_text() => Self::number(ColumnType::MYSQL_TYPE_NEWDECIMAL, 40, 0),
            "BINARY" | "VARBINARY" if self.is_text() => Self::bytes(),
            "JSON" if self.is_text() => {
                Self { column_type: ColumnType::MYSQL_TYPE_JSON, length: u32::MAX, ..Self::text(0) }
            }
            _ => self,
        }
    }

    fn decimal(precision: u8, scale: i8) -> Self {
        let decimals = scale.clamp(0, i8::MAX) as u8;
        let zeros = u32::from(scale.min(0).unsigned_abs());
        let point = u32::from(decimals > 0);
        // The sign counts, too.
        let length = u32::from(precision) + zeros + point + 1;
        Self::number(ColumnType::MYSQL_TYPE_NEWDECIMAL, length, decimals)
    }

    fn number(column_type: ColumnType, length: u32, decimals: u8) -> Self {
        // Without BINARY_FLAG: with it, Connector/J reads a TINYINT(1) as bytes and not as a boolean.
        Self { flags: ColumnFlags::empty(), ..Self::binary(column_type, length, decimals) }
    }

    fn binary(column_type: ColumnType, length: u32, decimals: u8) -> Self {
        Self { column_type, length, decimals, charset: BINARY_CHARSET, flags: ColumnFlags::BINARY_FLAG }
    }

    fn bytes() -> Self {
        Self::binary(ColumnType::MYSQL_TYPE_VAR_STRING, STRING_CHARACTERS, 0)
    }

    fn text(characters: u32) -> Self {
        Self {
            column_type: ColumnType::MYSQL_TYPE_VAR_STRING,
            length: characters.saturating_mul(BYTES_PER_CHARACTER),
            decimals: 0,
            charset: UTF8MB4_GENERAL_CI,
            flags: ColumnFlags::empty(),
        }
    }

    fn unsigned(mut self) -> Self {
        self.flags |= ColumnFlags::UNSIGNED_FLAG;
        self
    }
}

/// Appends the definition of a result's column.
pub(super) fn put_definition(out: &mut Vec<u8>, field: &Field) {
    let metadata = |key: &str| field.metadata().get(key).map_or("", String::as_str);
    let mut wire_type = WireType::of(field);
    let not_null = !field.is_nullable();
    wire_type.flags.set(ColumnFlags::NOT_NULL_FLAG, not_null);
    put(out, metadata(DATABASE), metadata(TABLE), field.name(), wire_type);
}

/// Appends the definition of a parameter, of which nothing is known before it is bound.
pub(super) fn put_parameter_definition(out: &mut Vec<u8>) {
    let unknown = WireType::binary(ColumnType::MYSQL_TYPE_VAR_STRING, 0, 0);
    put(out, "", "", "?", unknown);
}

fn put(out: &mut Vec<u8>, database: &str, table: &str, name: &str, wire_type: WireType) {
    put_lenenc_bytes(out, CATALOG);
    // An alias and what it stands for are not told apart, so each name comes twice.
    for name in [database, table, table, name, name] {
        put_lenenc_bytes(out, name.as_bytes());
    }
    out.push(FIXED_FIELDS_BYTES);
    out.extend_from_slice(&wire_type.charset.to_le_bytes());
    out.extend_from_slice(&wire_type.length.to_le_bytes());
    out.push(wire_type.column_type as u8);
    out.extend_from_slice(&wire_type.flags.bits().to_le_bytes());
    out.push(wire_type.decimals);
    out.extend_from_slice(&[0, 0]);
}
