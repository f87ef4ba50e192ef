//! Dealing the rows of a batch to tablets: checked, then partition by partition, then bucket by bucket.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;

use super::check::{RefusedRows, check};
use super::{Load, LoadState, Target};
use crate::error::{Error, Result};
use crate::schema::{Distribution, TableDefinition, Value};
use crate::tablet::bucket_of;

impl Load {
    /// Checks a batch and deals its rows to the tablets.
    pub(super) fn deal(&mut self, batch: &RecordBatch) -> Result<(Vec<(usize, RecordBatch)>, u64, RefusedRows)> {
        let state = &self.state;
        let definition = state.format.definition();
        let mut checked = check(definition, &self.unchecked, batch)?;
        let mut partitions = self.router.route(checked.rows())?;
        for (row, partition) in partitions.iter().enumerate() {
            if partition.is_none() && checked.is_kept(row) {
                let reason = no_partition(definition, &state.table_name, checked.rows(), row);
                checked.refuse(row, || reason);
            }
        }
        let mut row = 0;
        partitions.retain(|_| {
            row += 1;
            checked.is_kept(row - 1)
        });
        let (rows, refused) = checked.finish(state.format.schema())?;
        let kept = rows.num_rows() as u64;
        if kept == 0 {
            return Ok((Vec::new(), 0, refused));
        }

        let slots: Vec<u32> = if self.distribution.is_empty() {
            let turn = self.turn;
            self.turn += 1;
            partitions
                .iter()
                .map(|partition| state.slot(*partition, |buckets| turn % buckets))
                .collect::<Result<_>>()?
        } else {
            let key: Vec<_> = self.distribution.iter().map(|column| Arc::clone(rows.column(*column))).collect();
            let mut slots = Vec::with_capacity(partitions.len());
            // Partitions may have bucket counts of their own.
            let mut by_count: Vec<(usize, Vec<u32>)> = Vec::new();
            for (row, partition) in partitions.iter().enumerate() {
                let count = state.target(*partition)?.tablets.len();
                let known = match by_count.iter().position(|(known, _)| *known == count) {
                    Some(known) => known,
                    None => {
                        by_count.push((count, bucket_of(&key, count as u32)?));
                        by_count.len() - 1
                    }
                };
                let bucket = by_count[known].1[row] as usize;
                slots.push(state.slot(*partition, |_| bucket)?);
            }
            slots
        };
        Ok((split(&rows, &slots)?, kept, refused))
    }
}

impl LoadState {
    fn target(&self, partition: Option<usize>) -> Result<&Target> {
        partition
            .and_then(|partition| self.targets.get(partition))
            .filter(|target| !target.tablets.is_empty())
            .ok_or_else(|| Error::Internal("a row was dealt to no tablet".to_owned()))
    }

    fn slot(&self, partition: Option<usize>, bucket: impl FnOnce(usize) -> usize) -> Result<u32> {
        let target = self.target(partition)?;
        // Tables have far fewer tablets than 32 bits count.
        Ok((target.first_slot + bucket(target.tablets.len())) as u32)
    }
}

/// Positions of the columns that distribute rows over buckets; none for random distribution.
pub(super) fn distribution_positions(definition: &TableDefinition) -> Result<Vec<usize>> {
    let Distribution::Hash { columns } = &definition.distribution else { return Ok(Vec::new()) };
    columns
        .iter()
        .map(|id| {
            definition
                .position(*id)
                .ok_or_else(|| Error::Internal(format!("distribution column {} is not in the table", id.0)))
        })
        .collect()
}

/// Why a row has no partition.
fn no_partition(definition: &TableDefinition, table: &str, rows: &RecordBatch, row: usize) -> String {
    let mut key = Vec::new();
    for id in definition.partition_columns() {
        if let Some(position) = definition.position(*id) {
            let value = Value::from_array(rows.column(position), row);
            let value = value.map_or_else(String::new, |value| value.to_string());
            key.push(format!("{} = {value}", definition.columns[position].name));
        }
    }
    format!("no partition of table '{table}' that is being loaded holds the row with {}", key.join(", "))
}

/// The rows of each slot. Rows keep their order.
fn split(rows: &RecordBatch, slots: &[u32]) -> Result<Vec<(usize, RecordBatch)>> {
    let Some(first) = slots.first() else { return Ok(Vec::new()) };
    if slots.iter().all(|slot| slot == first) {
        return Ok(vec![(*first as usize, rows.clone())]);
    }
    let mut order: Vec<u32> = (0..slots.len() as u32).collect();
    order.sort_by_key(|row| slots[*row as usize]);
    let mut pieces = Vec::new();
    for piece in order.chunk_by(|left, right| slots[*left as usize] == slots[*right as usize]) {
        let indices = UInt32Array::from(piece.to_vec());
        pieces.push((slots[piece[0] as usize] as usize, take_record_batch(rows, &indices)?));
    }
    Ok(pieces)
}
