//! Deleted rows: a delete vector becomes the row selection of each row group.

use std::sync::Arc;

use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::object_store::{ObjectMeta, ObjectStore};
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringBitmap;

use crate::query::error::QueryError;
use crate::query::source::SegmentFile;

/// Which rows of the file to read. Only the footer is fetched, and it stays cached for the scan itself.
pub(super) async fn access_plan(
    store: &dyn ObjectStore,
    cache: &Arc<dyn FileMetadataCache>,
    meta: &ObjectMeta,
    segment: &SegmentFile,
) -> Result<ParquetAccessPlan> {
    let data = Arc::clone(&segment.data);
    let deleted = tokio::task::spawn_blocking(move || data.deleted())
        .await
        .map_err(|error| QueryError::Internal(format!("reading a delete vector: {error}")).wrap())?
        .map_err(QueryError::wrap)?
        .unwrap_or_default();
    let footer =
        DFParquetMetadata::new(store, meta).with_file_metadata_cache(Some(Arc::clone(cache))).fetch_metadata().await?;
    let mut first = 0u64;
    let mut groups = Vec::with_capacity(footer.num_row_groups());
    for group in footer.row_groups() {
        let rows = u64::try_from(group.num_rows())
            .map_err(|_| QueryError::Corrupt(format!("{}: negative row count", meta.location)).wrap())?;
        groups.push(group_access(first, rows, &deleted));
        first += rows;
    }
    Ok(ParquetAccessPlan::new(groups))
}

/// What to read of the row group of rows `first..first + rows`.
fn group_access(first: u64, rows: u64, deleted: &RoaringBitmap) -> RowGroupAccess {
    // Row numbers past u32 cannot be in the bitmap.
    let (Ok(start), Ok(end)) = (u32::try_from(first), u32::try_from(first + rows)) else {
        return RowGroupAccess::Scan;
    };
    let gone = deleted.range_cardinality(start..end);
    if gone == 0 {
        return RowGroupAccess::Scan;
    }
    if gone == rows {
        return RowGroupAccess::Skip;
    }
    let mut selectors = Vec::new();
    let mut next = start;
    let mut holes = deleted.range(start..end).peekable();
    while let Some(hole) = holes.next() {
        let mut after = hole + 1;
        while holes.next_if_eq(&after).is_some() {
            after += 1;
        }
        if hole > next {
            selectors.push(RowSelector::select((hole - next) as usize));
        }
        selectors.push(RowSelector::skip((after - hole) as usize));
        next = after;
    }
    if next < end {
        selectors.push(RowSelector::select((end - next) as usize));
    }
    RowGroupAccess::Selection(RowSelection::from(selectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_skips_exactly_the_deleted_rows() {
        let deleted: RoaringBitmap = [0, 1, 5, 9, 20, 21, 22, 23, 24].into_iter().collect();
        let RowGroupAccess::Selection(selection) = group_access(0, 10, &deleted) else {
            panic!("a group with some rows deleted is a selection");
        };
        let selectors: Vec<RowSelector> = selection.into();
        assert_eq!(
            selectors,
            vec![
                RowSelector::skip(2),
                RowSelector::select(3),
                RowSelector::skip(1),
                RowSelector::select(3),
                RowSelector::skip(1),
            ]
        );
        assert_eq!(group_access(10, 10, &deleted), RowGroupAccess::Scan);
        assert_eq!(group_access(20, 5, &deleted), RowGroupAccess::Skip);
    }
}
