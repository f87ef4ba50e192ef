//! AUTO_INCREMENT values, handed out from ranges that the catalog gives away in one go.
//!
//! What a stopped server had not handed out is lost: values rise and are never used twice, but they have gaps.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::Storage;
use crate::error::{Error, Noun, Result};
use crate::ids::TableId;

/// Values taken from the catalog at a time. Small, so that a restart leaves small gaps; a load takes as many as it needs.
const RANGE: i64 = 1000;

/// Ranges taken from the catalog and not yet handed out.
#[derive(Debug, Default)]
pub(super) struct AutoIncrementRanges(Mutex<HashMap<TableId, Range>>);

/// From `next`, included, to `end`, excluded.
#[derive(Debug, Clone, Copy)]
struct Range {
    next: i64,
    end: i64,
}

impl Storage {
    /// Takes `count` values in a row for a table's AUTO_INCREMENT column and returns the first.
    pub fn take_auto_increment(&self, table: TableId, count: i64) -> Result<i64> {
        if count < 0 {
            return Err(Error::Internal(format!("{count} values were asked for")));
        }
        let mut ranges = self.auto_increment.0.lock();
        if let Some(range) = ranges.get_mut(&table)
            && range.end - range.next >= count
            // Somebody else may have raised the counter: a restore, or a load of values of its own.
            && self.catalog.read(|read| read.table_by_id(table))?.map(|row| row.auto_increment_next) == Some(range.end)
        {
            let first = range.next;
            range.next += count;
            return Ok(first);
        }
        let taken = count.max(RANGE);
        let first = self.catalog.write(|write| {
            write.table_by_id(table)?.ok_or_else(|| Error::not_found(Noun::Table, table.to_string()))?;
            write.take_auto_increment(table, taken)
        })?;
        ranges.insert(table, Range { next: first + count, end: first.saturating_add(taken) });
        Ok(first)
    }
}
