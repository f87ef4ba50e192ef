//! Bytes that claim to be a segment: what a repository may bring along.

use std::fs;
use std::sync::Arc;

use ebla_storage::ids::TabletId;
use ebla_storage::schema::{Column, ColumnId, DataType, Distribution, KeysType, Partitioning, TableDefinition};
use ebla_storage::segment::{SegmentReader, inspect};

/// Rows that are read of one input: a few bytes can stand for as many rows as a segment may have.
const ROWS_READ_MAX: u64 = 1 << 20;

/// Refused, or its rows are read, or reading them is an error; never a panic, and no more memory than the fuzzer allows.
///
/// The first byte chooses: even, and the rest is the file; odd, and the rest is put together to one with both magics
/// and the right length of its footer, which the next two bytes give, so that the fuzzer need not learn them.
pub fn parquet_segment(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let bytes = if choice % 2 == 0 { rest.to_vec() } else { put_together(rest) };
    let Ok(directory) = tempfile::tempdir() else {
        return;
    };
    let path = directory.path().join("segment");
    let definition = segment_table();
    if fs::write(&path, bytes).is_err() {
        return;
    }
    let Ok(rows) = inspect(&path, &definition) else {
        return;
    };
    let Ok(reader) = SegmentReader::open(TabletId(1), &path, &definition.to_arrow()) else {
        return;
    };
    let mut read = 0;
    for batch in reader {
        let Ok(batch) = batch else { return };
        assert_eq!(batch.first_row, read);
        read += batch.rows.num_rows() as u64;
        if read > ROWS_READ_MAX {
            return;
        }
    }
    assert_eq!(read, rows, "what it says, and what is there");
}

/// The table whose segments the seeds are: one column of each kind that is stored in a way of its own.
pub fn segment_table() -> Arc<TableDefinition> {
    let types = [
        DataType::Int,
        DataType::Varchar { length: 40 },
        DataType::Decimal { precision: 30, scale: 4 },
        DataType::Array { element: Box::new(DataType::BigInt) },
        DataType::Double,
        DataType::Boolean,
        DataType::DateTime,
    ];
    let columns = types.into_iter().zip(1..).map(|(data_type, id)| Column {
        id: ColumnId(id),
        name: format!("c{id}"),
        data_type,
        nullable: id > 1,
        key: id == 1,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    });
    Arc::new(TableDefinition {
        columns: columns.collect(),
        keys_type: KeysType::Duplicate,
        sort_key: vec![ColumnId(1)],
        partitioning: Partitioning::Unpartitioned,
        distribution: Distribution::Random,
        buckets: 1,
        properties: Default::default(),
        indexes: Vec::new(),
        comment: String::new(),
    })
}

fn put_together(rest: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = b"PAR1";
    let [low, high, rest @ ..] = rest else {
        return rest.to_vec();
    };
    let footer = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (data, footer) = rest.split_at(rest.len() - footer);
    [MAGIC, data, footer, &(footer.len() as u32).to_le_bytes(), MAGIC].concat()
}
