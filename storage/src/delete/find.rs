//! Looking through one segment for the rows that a DELETE matches.

use arrow_array::{Array, BooleanArray};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use roaring::RoaringBitmap;

use super::RowPredicate;
use crate::catalog::{SegmentMeta, TabletState};
use crate::error::{Error, Result};
use crate::table_snapshot::TableSnapshot;

/// The rows of a segment that will be deleted, those that are deleted already included; `None` when there are no new
/// ones. Blocks.
pub(super) fn find(
    snapshot: &TableSnapshot,
    tablet: &TabletState,
    segment: &SegmentMeta,
    schema: &SchemaRef,
    predicate: &RowPredicate,
) -> Result<Option<RoaringBitmap>> {
    let segment = snapshot.segment(tablet, segment);
    let deletes = segment.delete_vector()?;
    let mut positions = deletes.as_deref().cloned().unwrap_or_default();
    let before = positions.len();
    for batch in segment.open(schema)? {
        let batch = batch?;
        // The condition sees only rows that exist: on others it might fail.
        let live = batch.live(deletes.as_deref());
        let matches = match &live {
            None => predicate(&batch.rows)?,
            Some(live) => predicate(&filter_record_batch(&batch.rows, live)?)?,
        };
        let seen = live.as_ref().map_or(batch.rows.num_rows(), BooleanArray::true_count);
        if matches.len() != seen {
            return Err(Error::Internal(format!("the condition answered for {} of {seen} rows", matches.len())));
        }
        // A segment has fewer rows than 32 bits count.
        let first = batch.first_row as u32;
        let mut matched = 0;
        for row in 0..batch.rows.num_rows() {
            if live.as_ref().is_some_and(|live| !live.value(row)) {
                continue;
            }
            // NULL is not true.
            if matches.is_valid(matched) && matches.value(matched) {
                positions.insert(first + row as u32);
            }
            matched += 1;
        }
    }
    Ok((positions.len() > before).then_some(positions))
}
