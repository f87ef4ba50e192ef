//! Result sets: column definitions, then rows, batch by batch, in the text or the binary protocol.
//!
//! A batch is asked for only when the socket has taken the one before, so a slow client holds the query back
//! and not its rows in memory. An error on the way takes the place of the end of rows.

use std::io;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use futures::StreamExt;
use opensrv_mysql::CapabilityFlags;
use tokio::io::AsyncWrite;

use super::cell::Cells;
use super::column::{self, WireType};
use super::packet::{PacketWriter, put_lenenc_int};
use super::{Prepared, Rows, WireError, errors, reply};

/// More columns than this do not fit the packet that counts them; MySQL's own limit is 4096.
const COLUMNS_MAX: usize = u16::MAX as usize;
const TEXT_NULL: u8 = 0xfb;
const BINARY_ROW_HEADER: u8 = 0x00;
/// The bitmap of a binary row begins with two unused bits.
const NULL_BITMAP_OFFSET: usize = 2;

/// How rows travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFormat {
    /// Answers COM_QUERY.
    Text,
    /// Answers COM_STMT_EXECUTE.
    Binary,
}

/// Sends column definitions and rows, but not what ends them. The outer error is the socket's, the inner
/// one is for the client.
pub(super) async fn send_rows<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    rows: &mut Rows,
    format: RowFormat,
    capabilities: CapabilityFlags,
) -> io::Result<Result<(), WireError>> {
    let schema = rows.schema.clone();
    if let Err(error) = check_width(&schema) {
        return Ok(Err(error));
    }
    let column_count = schema.fields().len() as u64;
    writer.packet(|out| put_lenenc_int(out, column_count));
    put_definitions(writer, &schema, capabilities);
    while let Some(batch) = rows.batches.next().await {
        let batch = match batch.and_then(|batch| check_shape(&schema, batch)) {
            Ok(batch) => batch,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = send_batch(writer, &schema, &batch, format).await? {
            return Ok(Err(error));
        }
        writer.flush().await?;
    }
    Ok(Ok(()))
}

/// Answers COM_STMT_PREPARE; `Err` when the statement cannot be announced.
pub(super) fn put_prepared<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    prepared: &Prepared,
    capabilities: CapabilityFlags,
) -> Result<(), WireError> {
    let column_count = prepared.columns.fields().len();
    if column_count > 0 {
        check_width(&prepared.columns)?;
    }
    writer.packet(|out| reply::prepared(out, prepared, column_count as u16));
    if prepared.parameter_count > 0 {
        for _ in 0..prepared.parameter_count {
            writer.packet(column::put_parameter_definition);
        }
        put_end_of_definitions(writer, capabilities);
    }
    if column_count > 0 {
        put_definitions(writer, &prepared.columns, capabilities);
    }
    Ok(())
}

/// Answers COM_FIELD_LIST but for its end: definitions, each with the column's default, which is not known.
pub(super) fn put_listed_fields<W: AsyncWrite + Unpin>(writer: &mut PacketWriter<W>, schema: &Schema) {
    for field in schema.fields() {
        writer.packet(|out| {
            column::put_definition(out, field);
            out.push(TEXT_NULL);
        });
    }
}

fn put_definitions<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &Schema,
    capabilities: CapabilityFlags,
) {
    for field in schema.fields() {
        writer.packet(|out| column::put_definition(out, field));
    }
    put_end_of_definitions(writer, capabilities);
}

fn put_end_of_definitions<W: AsyncWrite + Unpin>(writer: &mut PacketWriter<W>, capabilities: CapabilityFlags) {
    if !capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
        writer.packet(|out| reply::eof(out, 0, reply::status(false)));
    }
}

/// A result set without columns cannot be told from an OK packet.
fn check_width(schema: &Schema) -> Result<(), WireError> {
    match schema.fields().len() {
        1..=COLUMNS_MAX => Ok(()),
        count => Err(errors::internal(format!("a result of {count} columns cannot be sent"))),
    }
}

/// The announced schema decides how a client reads the rows, so a batch that differs must not be sent.
fn check_shape(schema: &Schema, batch: RecordBatch) -> Result<RecordBatch, WireError> {
    let fits = batch.num_columns() == schema.fields().len()
        && schema.fields().iter().zip(batch.columns()).all(|(field, array)| {
            WireType::of(field).carries(array.data_type()) || array.logical_null_count() == array.len()
        });
    match fits {
        true => Ok(batch),
        false => {
            Err(errors::internal(format!("rows of schema {} came for a result of schema {schema}", batch.schema())))
        }
    }
}

async fn send_batch<W: AsyncWrite + Unpin>(
    writer: &mut PacketWriter<W>,
    schema: &Schema,
    batch: &RecordBatch,
    format: RowFormat,
) -> io::Result<Result<(), WireError>> {
    let columns = batch.columns().iter().map(|array| Cells::new(array.as_ref()));
    let columns = match columns.collect::<Result<Vec<_>, WireError>>() {
        Ok(columns) => columns,
        Err(error) => return Ok(Err(error)),
    };
    let as_text: Vec<bool> =
        schema.fields().iter().map(|field| format == RowFormat::Text || WireType::of(field).is_text()).collect();
    for row in 0..batch.num_rows() {
        let written = writer.try_packet(|out| match format {
            RowFormat::Text => {
                put_text_row(out, &columns, row);
                Ok(())
            }
            RowFormat::Binary => put_binary_row(out, &columns, &as_text, row),
        });
        if let Err(error) = written {
            return Ok(Err(error));
        }
        if writer.is_full() {
            writer.flush().await?;
        }
    }
    Ok(Ok(()))
}

fn put_text_row(out: &mut Vec<u8>, columns: &[Cells<'_>], row: usize) {
    for cells in columns {
        match cells.is_null(row) {
            true => out.push(TEXT_NULL),
            false => cells.put_lenenc_text(row, out),
        }
    }
}

fn put_binary_row(out: &mut Vec<u8>, columns: &[Cells<'_>], as_text: &[bool], row: usize) -> Result<(), WireError> {
    out.push(BINARY_ROW_HEADER);
    let bitmap = out.len();
    let bitmap_bytes = (columns.len() + NULL_BITMAP_OFFSET).div_ceil(8);
    out.resize(bitmap + bitmap_bytes, 0);
    for (index, (cells, as_text)) in columns.iter().zip(as_text).enumerate() {
        if cells.is_null(row) {
            let bit = index + NULL_BITMAP_OFFSET;
            out[bitmap + bit / 8] |= 1 << (bit % 8);
        } else if *as_text {
            cells.put_lenenc_text(row, out);
        } else {
            cells.put_binary(row, out)?;
        }
    }
    Ok(())
}
