//! Sorting rows by a table's sort key, and merging sorted streams.
//!
//! Both are stable: rows of equal key stay in the order they came, streams in the order they are given. So the same
//! input gives the same segments. NULL is the least value.
//!
//! Memory: a sort holds its input, the row-encoded keys and sixteen bytes a row; a merge holds one batch of each
//! stream and those that its next output still needs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_row::{OwnedRow, RowConverter, Rows, SortField};
use arrow_schema::SortOptions;
use arrow_select::interleave::interleave_record_batch;

use crate::error::{Error, Result};
use crate::schema::TableDefinition;

/// Most rows of each batch that a sort or a merge gives.
pub(super) const OUTPUT_ROWS: usize = 8192;

/// About the most bytes of such a batch: far below what the offsets of one text array can count.
pub(super) const OUTPUT_BYTES: usize = 32 << 20;

/// What the rows of a table are sorted by.
#[derive(Debug, Clone)]
pub struct SortKey {
    positions: Vec<usize>,
    fields: Vec<SortField>,
}

/// A stream of sorted batches.
pub type SortedStream = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl SortKey {
    /// The sort key of a table.
    pub fn new(definition: &TableDefinition) -> Result<SortKey> {
        let mut positions = Vec::with_capacity(definition.sort_key.len());
        let mut fields = Vec::with_capacity(definition.sort_key.len());
        for id in &definition.sort_key {
            let position = definition
                .position(*id)
                .ok_or_else(|| Error::Internal(format!("sort key column {} is not in the table", id.0)))?;
            positions.push(position);
            fields.push(SortField::new_with_options(
                definition.columns[position].data_type.to_arrow(),
                SortOptions { descending: false, nulls_first: true },
            ));
        }
        Ok(SortKey { positions, fields })
    }

    /// Positions of the sort key's columns in the table.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(self.fields.clone())?)
    }

    fn rows(&self, converter: &RowConverter, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<_> = self.positions.iter().map(|position| Arc::clone(batch.column(*position))).collect();
        Ok(converter.convert_columns(&columns)?)
    }
}

/// Sees batch after batch whether rows are in the order of a sort key.
#[derive(Debug)]
pub struct OrderCheck {
    key: SortKey,
    converter: RowConverter,
    last: Option<OwnedRow>,
}

impl OrderCheck {
    /// Begins before the first row.
    pub fn new(key: SortKey) -> Result<OrderCheck> {
        let converter = key.converter()?;
        Ok(OrderCheck { key, converter, last: None })
    }

    /// Whether the rows of this batch, after those before it, are in order.
    pub fn goes_on(&mut self, batch: &RecordBatch) -> Result<bool> {
        if self.key.positions.is_empty() || batch.num_rows() == 0 {
            return Ok(true);
        }
        let rows = self.key.rows(&self.converter, batch)?;
        let first = rows.row(0);
        let sorted = self.last.as_ref().is_none_or(|last| last.row() <= first)
            && (1..rows.num_rows()).all(|row| rows.row(row - 1) <= rows.row(row));
        self.last = Some(rows.row(rows.num_rows() - 1).owned());
        Ok(sorted)
    }
}

/// The rows of these batches, sorted.
pub fn sort(key: &SortKey, batches: Vec<RecordBatch>) -> Result<SortedStream> {
    if key.positions.is_empty() {
        return Ok(Box::new(batches.into_iter().map(Ok)));
    }
    let converter = key.converter()?;
    let order = {
        let keys = batches.iter().map(|batch| key.rows(&converter, batch)).collect::<Result<Vec<_>>>()?;
        sorted_order(&keys)
    };
    let row_bytes: Vec<usize> = batches.iter().map(row_bytes).collect();
    let mut next = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        let mut indices: Vec<(usize, usize)> = Vec::with_capacity(OUTPUT_ROWS.min(order.len() - next));
        let mut bytes = 0;
        for entry in order[next..].iter().take(OUTPUT_ROWS) {
            if bytes >= OUTPUT_BYTES {
                break;
            }
            bytes += row_bytes[entry.batch as usize];
            indices.push((entry.batch as usize, entry.row as usize));
        }
        next += indices.len();
        (!indices.is_empty()).then(|| gather(&batches, &indices))
    })))
}

/// Bytes that the rows of a batch hold: what its arrays use of their buffers.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        // An array that cannot tell its share of the buffers is counted with all of them.
        .map(|array| array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()))
        .sum()
}

fn row_bytes(batch: &RecordBatch) -> usize {
    batch_bytes(batch) / batch.num_rows().max(1)
}

/// Where a row is, with the first bytes of its key so that most comparisons end there.
#[derive(Debug, Clone, Copy)]
struct Entry {
    prefix: u64,
    batch: u32,
    row: u32,
}

fn sorted_order(keys: &[Rows]) -> Vec<Entry> {
    let mut order = Vec::with_capacity(keys.iter().map(Rows::num_rows).sum());
    for (batch, rows) in keys.iter().enumerate() {
        for (position, row) in rows.iter().enumerate() {
            order.push(Entry { prefix: prefix(row.data()), batch: batch as u32, row: position as u32 });
        }
    }
    // Ties go by position, so that an unstable sort is stable.
    order.sort_unstable_by(|left, right| {
        left.prefix.cmp(&right.prefix).then_with(|| {
            let (a, b) =
                (keys[left.batch as usize].row(left.row as usize), keys[right.batch as usize].row(right.row as usize));
            a.cmp(&b).then_with(|| (left.batch, left.row).cmp(&(right.batch, right.row)))
        })
    });
    order
}

fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

/// One batch of the rows at these positions. Batches that are not named are passed over, as there may be many.
fn gather(batches: &[RecordBatch], indices: &[(usize, usize)]) -> Result<RecordBatch> {
    let mut named: Vec<usize> = indices.iter().map(|(batch, _)| *batch).collect();
    named.sort_unstable();
    named.dedup();
    let used: Vec<&RecordBatch> = named.iter().map(|batch| &batches[*batch]).collect();
    let indices: Vec<(usize, usize)> =
        indices.iter().map(|(batch, row)| (named.partition_point(|name| name < batch), *row)).collect();
    Ok(interleave_record_batch(&used, &indices)?)
}

/// Merges sorted streams into one.
pub fn merge(key: &SortKey, streams: Vec<SortedStream>) -> Result<SortedStream> {
    if key.positions.is_empty() || streams.len() < 2 {
        return Ok(Box::new(streams.into_iter().flatten()));
    }
    let mut merge = Merge {
        key: key.clone(),
        converter: key.converter()?,
        streams,
        heads: BinaryHeap::new(),
        batches: Vec::new(),
        indices: Vec::with_capacity(OUTPUT_ROWS),
        bytes: 0,
        failed: false,
    };
    for stream in 0..merge.streams.len() {
        merge.advance(stream)?;
    }
    Ok(Box::new(merge))
}

struct Merge {
    key: SortKey,
    converter: RowConverter,
    streams: Vec<SortedStream>,
    /// The next row of each stream that has one, least first.
    heads: BinaryHeap<Head>,
    /// Batches that `indices` or a head names.
    batches: Vec<RecordBatch>,
    /// The rows of the next output.
    indices: Vec<(usize, usize)>,
    /// About how many bytes they hold.
    bytes: usize,
    failed: bool,
}

/// A place in the current batch of a stream.
struct Head {
    stream: usize,
    rows: Rows,
    row: usize,
    row_bytes: usize,
    /// Position of the batch in `Merge::batches`.
    batch: usize,
}

impl Merge {
    /// Takes the next batch of a stream that has rows, if there is one.
    fn advance(&mut self, stream: usize) -> Result<()> {
        for batch in self.streams[stream].by_ref() {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = self.key.rows(&self.converter, &batch)?;
            let row_bytes = row_bytes(&batch);
            self.heads.push(Head { stream, rows, row: 0, row_bytes, batch: self.batches.len() });
            self.batches.push(batch);
            return Ok(());
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.indices.len() < OUTPUT_ROWS && self.bytes < OUTPUT_BYTES {
            let Some(mut head) = self.heads.pop() else { break };
            let room =
                (OUTPUT_BYTES - self.bytes).div_ceil(head.row_bytes.max(1)).min(OUTPUT_ROWS - self.indices.len());
            let taken = self.rows_before_others(&head).min(room);
            self.bytes += taken * head.row_bytes;
            self.indices.extend((head.row..head.row + taken).map(|row| (head.batch, row)));
            head.row += taken;
            if head.row < head.rows.num_rows() {
                self.heads.push(head);
            } else {
                self.advance(head.stream)?;
            }
        }
        if self.indices.is_empty() {
            return Ok(None);
        }
        let batch = gather(&self.batches, &self.indices)?;
        self.indices.clear();
        self.bytes = 0;
        self.forget_used_batches();
        Ok(Some(batch))
    }

    /// Rows of this head, one at least, that come before the head of every other stream.
    fn rows_before_others(&self, head: &Head) -> usize {
        let rows = head.rows.num_rows();
        let Some(other) = self.heads.peek() else { return rows - head.row };
        let limit = other.rows.row(other.row);
        let comes_first = |row: usize| match head.rows.row(row).cmp(&limit) {
            Ordering::Less => true,
            Ordering::Equal => head.stream < other.stream,
            Ordering::Greater => false,
        };
        // Doubling steps, then halving: cheap when streams alternate, and quick over long stretches.
        let (mut known, mut step) = (head.row + 1, 1);
        while known + step <= rows && comes_first(known + step - 1) {
            known += step;
            step *= 2;
        }
        let mut beyond = (known + step).min(rows + 1);
        while beyond - known > 1 {
            let middle = known + (beyond - known) / 2;
            if comes_first(middle - 1) {
                known = middle;
            } else {
                beyond = middle;
            }
        }
        known - head.row
    }

    /// Keeps only the batches of heads.
    fn forget_used_batches(&mut self) {
        let mut batches: Vec<Option<RecordBatch>> = std::mem::take(&mut self.batches).into_iter().map(Some).collect();
        let mut heads = std::mem::take(&mut self.heads).into_vec();
        for head in &mut heads {
            if let Some(batch) = batches[head.batch].take() {
                head.batch = self.batches.len();
                self.batches.push(batch);
            }
        }
        self.heads = heads.into();
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.transpose()
    }
}

/// The heap gives the greatest first, so the order is turned round: the least key, then the first stream.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = other.rows.row(other.row).cmp(&self.rows.row(self.row));
        key.then_with(|| other.stream.cmp(&self.stream))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Int32Array};
    use arrow_schema::{DataType as ArrowType, Field, Schema};
    use proptest::prelude::*;

    fn key() -> SortKey {
        let options = SortOptions { descending: false, nulls_first: true };
        SortKey { positions: vec![0], fields: vec![SortField::new_with_options(ArrowType::Int32, options)] }
    }

    fn batch(rows: &[(Option<i32>, i32)]) -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("k", ArrowType::Int32, true), Field::new("v", ArrowType::Int32, false)]);
        let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>());
        let values: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int32Array>());
        RecordBatch::try_new(Arc::new(schema), vec![keys, values]).unwrap()
    }

    fn rows(stream: SortedStream) -> Vec<(Option<i32>, i32)> {
        let mut rows = Vec::new();
        for batch in stream {
            let batch = batch.unwrap();
            let (keys, values) =
                (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int32Type>());
            rows.extend(keys.iter().zip(values.values().iter().copied()));
        }
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sort_and_merge_are_stable(
            streams in prop::collection::vec(prop::collection::vec(prop::collection::vec(prop::option::of(0..20), 0..30), 0..5), 0..6)
        ) {
            let mut counter = 0;
            let mut all = Vec::new();
            let mut sorted = Vec::new();
            for batches in streams {
                let batches: Vec<Vec<(Option<i32>, i32)>> = batches.into_iter()
                    .map(|keys| keys.into_iter().map(|key| { counter += 1; (key, counter) }).collect())
                    .collect();
                all.extend(batches.iter().flatten().copied());
                sorted.push(sort(&key(), batches.iter().map(|rows| batch(rows)).collect()).unwrap());
            }
            all.sort_by_key(|row| row.0);
            prop_assert_eq!(rows(merge(&key(), sorted).unwrap()), all);
        }
    }

    #[test]
    fn long_streams_come_out_in_full_batches() {
        let streams: Vec<SortedStream> = (0..3)
            .map(|stream| {
                let batches = (0..4).map(move |part| {
                    let rows: Vec<_> = (0..5000).map(|row| (Some(part * 5000 + row), stream)).collect();
                    Ok(batch(&rows))
                });
                Box::new(batches) as SortedStream
            })
            .collect();
        let merged: Vec<RecordBatch> = merge(&key(), streams).unwrap().collect::<Result<_>>().unwrap();
        let sizes: Vec<usize> = merged.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 60_000);
        assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == OUTPUT_ROWS), "{sizes:?}");
        let flat = rows(Box::new(merged.into_iter().map(Ok)));
        assert!(flat.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn a_failing_stream_ends_the_merge() {
        let bad: SortedStream = Box::new([Ok(batch(&[(Some(1), 1)])), Err(Error::Cancelled)].into_iter());
        let good: SortedStream = Box::new([Ok(batch(&[(Some(0), 0), (Some(9), 9)]))].into_iter());
        let mut merged = merge(&key(), vec![good, bad]).unwrap();
        assert!(merged.next().unwrap().is_err());
        assert!(merged.next().is_none());
    }
}
