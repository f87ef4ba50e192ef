//! Decoding an object: has it the rows its node says, of the table's types, in the order of its sort key; does a delete
//! vector fit its segment?
//!
//! The bytes are those that somebody wrote: their digest was compared before. Whether they make sense is the question
//! here, so a decoder that fails, or even panics, on them is an answer.

use std::path::Path;

use super::census::Role;
use crate::digest::Digest;
use crate::ids::TabletId;
use crate::job::Gate;
use crate::repository::ObjectRef;
use crate::repository::format::DeletesEntry;
use crate::restore::{deletes_fit, segment_fits};
use crate::schema::TableDefinition;
use crate::segment::{OrderCheck, SegmentReader, SortKey, catch_panic};

/// Largest delete vector: one bit for each of as many rows as a segment can have, and its header.
const DELETES_BYTES_MAX: u64 = (1 << 29) + 64;

/// What is wrong with the file of an object; nothing when it is as it should be, or the job is to stop.
pub(super) fn check(
    path: &Path,
    object: &ObjectRef,
    role: Role,
    definition: Option<&TableDefinition>,
    gate: &Gate,
) -> Result<(), String> {
    let decode = || match (role, definition) {
        (Role::Segment { rows, .. }, Some(definition)) => segment(path, rows, definition, gate),
        (Role::Deletes { rows, of_rows }, _) => deletes(path, object, rows, of_rows),
        (Role::Segment { .. }, None) => Err("the definition of its table is not known".to_owned()),
    };
    catch_panic(decode)?
}

fn segment(path: &Path, rows: u64, definition: &TableDefinition, gate: &Gate) -> Result<(), String> {
    let schema = definition.to_arrow();
    segment_fits(path, rows, definition)?;
    let text = |error: crate::Error| match error {
        crate::Error::Corrupt { detail, .. } => format!("it does not decode: {detail}"),
        other => format!("it does not decode: {other}"),
    };
    let mut order = OrderCheck::new(SortKey::new(definition).map_err(text)?).map_err(text)?;
    let mut decoded = 0_u64;
    // It lies in no tablet.
    for batch in SegmentReader::open(TabletId(0), path, &schema).map_err(text)? {
        if gate.closed_because().is_some() {
            return Ok(());
        }
        let batch = batch.map_err(text)?;
        decoded += batch.rows.num_rows() as u64;
        if !order.goes_on(&batch.rows).map_err(text)? {
            return Err(format!(
                "its rows are not sorted: one of the {} rows before {decoded} is",
                batch.rows.num_rows()
            ));
        }
    }
    if decoded == rows { Ok(()) } else { Err(format!("it has {decoded} rows, its node says {rows}")) }
}

fn deletes(path: &Path, object: &ObjectRef, rows: u64, of_rows: u64) -> Result<(), String> {
    if object.bytes > DELETES_BYTES_MAX {
        return Err(format!("no delete vector has {} bytes", object.bytes));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let digest: Digest = object.digest;
    deletes_fit(&bytes, of_rows, &DeletesEntry { digest, bytes: object.bytes, rows })
}
