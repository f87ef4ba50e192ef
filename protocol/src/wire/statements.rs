//! The prepared statements of a connection, as far as the wire must know them to decode their parameters.
//!
//! COM_STMT_EXECUTE sends the parameters' types only when they changed, and long values may have come ahead
//! in COM_STMT_SEND_LONG_DATA, so both are remembered here. opensrv keeps the same things, but panics on a
//! type it does not know and on a short packet, and cannot forget long data when told to.

use std::collections::HashMap;

use opensrv_mysql::ColumnType;

use super::packet::Fields;
use super::{DateParameter, DateTimeParameter, Parameter, TimeParameter, WireError, errors};

/// MySQL's default for the whole server; here it keeps one connection from filling memory.
const STATEMENTS_MAX: usize = 16_382;
const UNSIGNED: u8 = 0x80;
/// Cursor flags (1 byte) and the iteration count (4 bytes) precede the parameters; neither means anything.
const EXECUTE_PREFIX_BYTES: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Statements {
    by_id: HashMap<u32, Statement>,
    /// All values sent ahead, of all statements: what the limit is for.
    long_data_bytes: usize,
}

#[derive(Debug, Default)]
struct Statement {
    parameter_count: u16,
    /// Types as last sent; empty before the first execution.
    types: Vec<ParameterType>,
    long_data: LongData,
}

#[derive(Debug, Clone, Copy)]
struct ParameterType {
    column_type: ColumnType,
    unsigned: bool,
}

/// Values sent ahead of the next execution.
#[derive(Debug, Default)]
struct LongData {
    by_parameter: HashMap<u16, Vec<u8>>,
    bytes: usize,
    too_large: bool,
}

impl Statements {
    /// Whether one more may be prepared.
    pub(super) fn check_room(&self) -> Result<(), WireError> {
        match self.by_id.len() < STATEMENTS_MAX {
            true => Ok(()),
            false => Err(errors::too_many_statements(STATEMENTS_MAX)),
        }
    }

    pub(super) fn opened(&mut self, id: u32, parameter_count: u16) {
        let statement = Statement { parameter_count, ..Statement::default() };
        self.close(id);
        self.by_id.insert(id, statement);
    }

    /// Forgets a statement; false when there was none.
    pub(super) fn close(&mut self, id: u32) -> bool {
        let closed = self.by_id.remove(&id);
        if let Some(statement) = &closed {
            self.long_data_bytes -= statement.long_data.bytes;
        }
        closed.is_some()
    }

    /// Forgets all and returns their ids.
    pub(super) fn close_all(&mut self) -> Vec<u32> {
        self.long_data_bytes = 0;
        self.by_id.drain().map(|(id, _)| id).collect()
    }

    /// COM_STMT_RESET: forgets what was sent ahead.
    pub(super) fn reset(&mut self, id: u32) -> Result<(), WireError> {
        self.take_long_data(id, "mysqld_stmt_reset").map(drop)
    }

    pub(super) fn check_open(&mut self, id: u32, command: &str) -> Result<(), WireError> {
        self.get(id, command).map(|_| ())
    }

    /// COM_STMT_SEND_LONG_DATA, which has no answer: what is wrong with it is told at execution.
    pub(super) fn append(&mut self, id: u32, parameter: u16, data: &[u8], bytes_max: usize) {
        let Some(statement) = self.by_id.get_mut(&id) else {
            return;
        };
        if parameter >= statement.parameter_count {
            return;
        }
        let long_data = &mut statement.long_data;
        if self.long_data_bytes + data.len() > bytes_max {
            long_data.too_large = true;
        } else {
            long_data.bytes += data.len();
            self.long_data_bytes += data.len();
            let value = long_data.by_parameter.entry(parameter).or_default();
            value.extend_from_slice(data);
        }
    }

    /// The parameters of COM_STMT_EXECUTE; `payload` is what follows the statement's id.
    pub(super) fn parameters(&mut self, id: u32, payload: &[u8]) -> Result<Vec<Parameter>, WireError> {
        const COMMAND: &str = "mysqld_stmt_execute";
        let long_data = self.take_long_data(id, COMMAND)?;
        if long_data.too_large {
            return Err(errors::long_data_too_large());
        }
        self.get(id, COMMAND)?.decode(Fields::new(payload), long_data)
    }

    fn take_long_data(&mut self, id: u32, command: &str) -> Result<LongData, WireError> {
        let long_data = std::mem::take(&mut self.get(id, command)?.long_data);
        self.long_data_bytes -= long_data.bytes;
        Ok(long_data)
    }

    fn get(&mut self, id: u32, command: &str) -> Result<&mut Statement, WireError> {
        self.by_id.get_mut(&id).ok_or_else(|| errors::unknown_statement(id, command))
    }
}

impl Statement {
    fn decode(&mut self, mut fields: Fields<'_>, mut long_data: LongData) -> Result<Vec<Parameter>, WireError> {
        let count = usize::from(self.parameter_count);
        if count == 0 {
            return Ok(Vec::new());
        }
        let malformed = errors::malformed_packet;
        fields.take(EXECUTE_PREFIX_BYTES).ok_or_else(malformed)?;
        let nulls = fields.take(count.div_ceil(8)).ok_or_else(malformed)?;
        if fields.u8().ok_or_else(malformed)? != 0 {
            self.types = types(fields.take(2 * count).ok_or_else(malformed)?)?;
        }
        if self.types.len() != count {
            return Err(errors::parameters_not_bound());
        }
        let mut parameters = Vec::with_capacity(count);
        for (index, parameter_type) in (0_u16..).zip(&self.types) {
            let is_null = nulls[usize::from(index / 8)] & (1 << (index % 8)) != 0;
            parameters.push(if let Some(data) = long_data.by_parameter.remove(&index) {
                bytes(data, parameter_type.column_type)
            } else if is_null {
                Parameter::Null
            } else {
                value(&mut fields, *parameter_type).ok_or_else(malformed)?
            });
        }
        Ok(parameters)
    }
}

fn types(codes: &[u8]) -> Result<Vec<ParameterType>, WireError> {
    codes
        .chunks_exact(2)
        .map(|pair| {
            let column_type = ColumnType::try_from(pair[0]).map_err(|_| errors::parameter_type(pair[0]))?;
            Ok(ParameterType { column_type, unsigned: pair[1] & UNSIGNED != 0 })
        })
        .collect()
}

/// Takes one value of the binary protocol; `None` when the payload is too short or contradicts itself.
fn value(fields: &mut Fields<'_>, parameter_type: ParameterType) -> Option<Parameter> {
    let ParameterType { column_type, unsigned } = parameter_type;
    Some(match column_type {
        ColumnType::MYSQL_TYPE_NULL => Parameter::Null,
        ColumnType::MYSQL_TYPE_TINY => integer(fields.array::<1>()?, unsigned),
        ColumnType::MYSQL_TYPE_SHORT | ColumnType::MYSQL_TYPE_YEAR => integer(fields.array::<2>()?, unsigned),
        ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 => integer(fields.array::<4>()?, unsigned),
        ColumnType::MYSQL_TYPE_LONGLONG => integer(fields.array::<8>()?, unsigned),
        ColumnType::MYSQL_TYPE_FLOAT => Parameter::Float(f32::from_le_bytes(fields.array()?)),
        ColumnType::MYSQL_TYPE_DOUBLE => Parameter::Double(f64::from_le_bytes(fields.array()?)),
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => Parameter::Date(datetime(fields)?.date),
        ColumnType::MYSQL_TYPE_DATETIME
        | ColumnType::MYSQL_TYPE_DATETIME2
        | ColumnType::MYSQL_TYPE_TIMESTAMP
        | ColumnType::MYSQL_TYPE_TIMESTAMP2 => Parameter::DateTime(datetime(fields)?),
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => Parameter::Time(time(fields)?),
        _ => bytes(fields.lenenc_bytes()?.to_vec(), column_type),
    })
}

/// Widens a little-endian integer of N bytes.
fn integer<const N: usize>(bytes: [u8; N], unsigned: bool) -> Parameter {
    let negative = !unsigned && bytes[N - 1] & 0x80 != 0;
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..N].copy_from_slice(&bytes);
    match unsigned {
        true => Parameter::UInt(u64::from_le_bytes(wide)),
        false => Parameter::Int(i64::from_le_bytes(wide)),
    }
}

/// A date with time of day, cut short after the last part that is not zero.
fn datetime(fields: &mut Fields<'_>) -> Option<DateTimeParameter> {
    let length = fields.u8()?;
    let mut value = DateTimeParameter::default();
    if !matches!(length, 0 | 4 | 7 | 11) {
        return None;
    }
    if length >= 4 {
        value.date = DateParameter { year: fields.u16()?, month: fields.u8()?, day: fields.u8()? };
    }
    if length >= 7 {
        value.hour = fields.u8()?;
        value.minute = fields.u8()?;
        value.second = fields.u8()?;
    }
    if length >= 11 {
        value.microsecond = fields.u32()?;
    }
    Some(value)
}

fn time(fields: &mut Fields<'_>) -> Option<TimeParameter> {
    let length = fields.u8()?;
    let mut value = TimeParameter::default();
    if !matches!(length, 0 | 8 | 12) {
        return None;
    }
    if length >= 8 {
        value.negative = fields.u8()? != 0;
        value.days = fields.u32()?;
        value.hours = fields.u8()?;
        value.minutes = fields.u8()?;
        value.seconds = fields.u8()?;
    }
    if length >= 12 {
        value.microseconds = fields.u32()?;
    }
    Some(value)
}

fn bytes(value: Vec<u8>, column_type: ColumnType) -> Parameter {
    let is_binary = matches!(
        column_type,
        ColumnType::MYSQL_TYPE_TINY_BLOB
            | ColumnType::MYSQL_TYPE_BLOB
            | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
            | ColumnType::MYSQL_TYPE_LONG_BLOB
            | ColumnType::MYSQL_TYPE_BIT
            | ColumnType::MYSQL_TYPE_GEOMETRY
    );
    let is_decimal = matches!(column_type, ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL);
    if is_binary {
        return Parameter::Bytes(value);
    }
    match String::from_utf8(value) {
        Ok(text) if is_decimal => Parameter::Decimal(text),
        Ok(text) => Parameter::Text(text),
        Err(error) => Parameter::Bytes(error.into_bytes()),
    }
}
