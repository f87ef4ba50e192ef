//! Column types. Nesting is bounded by `sql::limits`, which counts angle brackets.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use crate::sql::ast::types::{DataType, StructField};

/// A type, with MySQL's display widths and the aliases that tools use.
pub(super) fn data_type(c: &mut Cursor) -> Result<DataType> {
    let found = nested_type(c)?;
    if std::mem::take(&mut c.pending_gt) { Err(c.refuse("there is a '>' too many")) } else { Ok(found) }
}

fn nested_type(c: &mut Cursor) -> Result<DataType> {
    let Some(word) = c.word(0) else { return Err(c.expected("a type")) };
    c.skip(1);
    let found = match word.as_str() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" => integer(c, DataType::TinyInt)?,
        "SMALLINT" => integer(c, DataType::SmallInt)?,
        "MEDIUMINT" | "INT" | "INTEGER" => integer(c, DataType::Int)?,
        "BIGINT" => integer(c, DataType::BigInt)?,
        "LARGEINT" => integer(c, DataType::LargeInt)?,
        "SIGNED" => {
            c.accept_any(&["INT", "INTEGER"]);
            DataType::Int
        }
        "FLOAT" => real(c, DataType::Float)?,
        "DOUBLE" => {
            c.accept("PRECISION");
            real(c, DataType::Double)?
        }
        "DECIMAL" | "DECIMALV2" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256" | "NUMERIC" | "NUMBER" => {
            let (precision, scale) = precision_and_scale(c)?;
            refuse_unsigned(c)?;
            DataType::Decimal { precision, scale }
        }
        "DATE" => DataType::Date,
        "DATETIME" => {
            length(c)?;
            DataType::DateTime
        }
        "TIME" => {
            length(c)?;
            DataType::Time
        }
        "CHAR" => DataType::Char(length(c)?),
        "VARCHAR" => DataType::Varchar(length(c)?),
        "STRING" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" => {
            length(c)?;
            DataType::String
        }
        "BINARY" => DataType::Binary(length(c)?),
        "VARBINARY" => DataType::Varbinary(length(c)?),
        "JSON" => DataType::Json,
        "BITMAP" => DataType::Bitmap,
        "HLL" => DataType::Hll,
        "PERCENTILE" => DataType::Percentile,
        "ARRAY" => {
            c.need_symbol(&Token::Lt)?;
            let element = nested_type(c)?;
            close(c)?;
            DataType::Array(Box::new(element))
        }
        "MAP" => {
            c.need_symbol(&Token::Lt)?;
            let key = nested_type(c)?;
            if c.pending_gt {
                return Err(c.expected("the type of a map's values"));
            }
            c.need_symbol(&Token::Comma)?;
            let value = nested_type(c)?;
            close(c)?;
            DataType::Map(Box::new(key), Box::new(value))
        }
        "STRUCT" => {
            c.need_symbol(&Token::Lt)?;
            let mut fields = vec![struct_field(c)?];
            // After `>>` the comma belongs to what is outside.
            while !c.pending_gt && c.accept_symbol(&Token::Comma) {
                fields.push(struct_field(c)?);
            }
            close(c)?;
            DataType::Struct(fields)
        }
        "TIMESTAMP" => return Err(c.refuse_last("there is no type TIMESTAMP; use DATETIME")),
        "UNSIGNED" => return Err(unsigned(c)),
        _ => return Err(c.refuse_last(format!("there is no type '{word}'"))),
    };
    Ok(found)
}

/// `name type`, also `name: type`
fn struct_field(c: &mut Cursor) -> Result<StructField> {
    let name = c.name("a field")?;
    c.accept_symbol(&Token::Colon);
    Ok(StructField { name, data_type: nested_type(c)? })
}

/// `>`, also as a half of `>>`
fn close(c: &mut Cursor) -> Result<()> {
    if std::mem::take(&mut c.pending_gt) {
        return Ok(());
    }
    if c.accept_symbol(&Token::ShiftRight) {
        c.pending_gt = true;
        return Ok(());
    }
    c.need_symbol(&Token::Gt)
}

fn integer(c: &mut Cursor, data_type: DataType) -> Result<DataType> {
    length(c)?;
    c.accept("SIGNED");
    refuse_unsigned(c)?;
    Ok(data_type)
}

fn real(c: &mut Cursor, data_type: DataType) -> Result<DataType> {
    precision_and_scale(c)?;
    refuse_unsigned(c)?;
    Ok(data_type)
}

fn refuse_unsigned(c: &Cursor) -> Result<()> {
    if c.is_any(&["UNSIGNED", "ZEROFILL"]) { Err(unsigned(c)) } else { Ok(()) }
}

fn unsigned(c: &Cursor) -> crate::sql::error::SyntaxError {
    c.refuse(
        "there are no UNSIGNED types; use the next wider type (BIGINT for INT UNSIGNED, LARGEINT for BIGINT UNSIGNED)",
    )
}

/// `(n)` if it comes next.
fn length(c: &mut Cursor) -> Result<Option<u32>> {
    if !c.accept_symbol(&Token::LParen) {
        return Ok(None);
    }
    let length = c.number("a length")?;
    c.need_symbol(&Token::RParen)?;
    Ok(Some(length))
}

/// `(p[, s])` if it comes next.
fn precision_and_scale(c: &mut Cursor) -> Result<(Option<u8>, Option<u8>)> {
    if !c.accept_symbol(&Token::LParen) {
        return Ok((None, None));
    }
    let precision = c.number("a precision")?;
    let scale = if c.accept_symbol(&Token::Comma) { Some(c.number("a scale")?) } else { None };
    c.need_symbol(&Token::RParen)?;
    Ok((Some(precision), scale))
}
