//! What tests of this crate share: small tables, rows in and out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};

use crate::catalog::{LoadKind, NewPartition};
use crate::clock::{ManualClock, SystemRandom};
use crate::load::{LoadReceipt, LoadSpec};
use crate::schema::{
    Bound, Column, ColumnId, DataType, Distribution, KeysType, PartitionBounds, PartitionKey, Partitioning,
    TableDefinition, Value,
};
use crate::storage::{Storage, StorageConfig};
use crate::table_snapshot::TableSnapshot;

/// One row of a test table: `k INT`, `v VARCHAR(20)`.
pub(crate) type Row = (Option<i32>, Option<String>);

pub(crate) fn column(id: u32, name: &str, data_type: DataType) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
        nullable: true,
        key: id == 1,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    }
}

/// A table of these columns, sorted by the first, in one partition of one random bucket.
pub(crate) fn table_of(columns: Vec<Column>) -> TableDefinition {
    TableDefinition {
        keys_type: KeysType::Duplicate,
        sort_key: vec![columns[0].id],
        columns,
        partitioning: Partitioning::Unpartitioned,
        distribution: Distribution::Random,
        buckets: 1,
        properties: BTreeMap::new(),
        indexes: Vec::new(),
        comment: String::new(),
    }
}

/// `k INT, v VARCHAR(20) DUPLICATE KEY (k)`, distributed by the hash of `k`.
pub(crate) fn definition(partitioning: Partitioning, buckets: u32) -> TableDefinition {
    TableDefinition {
        partitioning,
        distribution: Distribution::Hash { columns: vec![ColumnId(1)] },
        buckets,
        ..table_of(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Varchar { length: 20 })])
    }
}

pub(crate) fn config(data_dir: &Path) -> StorageConfig {
    let mut config = StorageConfig::new(data_dir);
    config.encode_threads = 2;
    config
}

pub(crate) fn open(config: StorageConfig) -> Arc<Storage> {
    Storage::open(config, ManualClock::at(1_700_000_000_000), Arc::new(SystemRandom)).unwrap()
}

fn new_partition(name: &str, bounds: PartitionBounds, definition: &TableDefinition, replicas: u32) -> NewPartition {
    let properties = BTreeMap::new();
    NewPartition { name: name.to_owned(), bounds, buckets: definition.buckets, replication_num: replicas, properties }
}

/// Makes database `d`, when it is not there, and a table without partitions in it.
pub(crate) fn create_table(storage: &Storage, name: &str, buckets: u32) {
    create_table_as(storage, name, &definition(Partitioning::Unpartitioned, buckets));
}

pub(crate) fn create_table_as(storage: &Storage, name: &str, definition: &TableDefinition) {
    ensure_database(storage);
    let replicas = storage.roots().default_replication_num();
    let partitions = [new_partition(name, PartitionBounds::All, definition, replicas)];
    storage.create_table("d", name, definition, &partitions).unwrap();
}

/// Makes a table with partitions `p0`, `p1`, … of ten keys each, from 0.
pub(crate) fn create_partitioned_table(storage: &Storage, name: &str, partitions: i32, buckets: u32) {
    ensure_database(storage);
    let definition = definition(Partitioning::Range { columns: vec![ColumnId(1)] }, buckets);
    let partitions: Vec<NewPartition> =
        (0..partitions).map(|number| partition_of_ten(storage, number, buckets)).collect();
    storage.create_table("d", name, &definition, &partitions).unwrap();
}

/// Partition `p<number>` of the keys from ten times its number.
pub(crate) fn partition_of_ten(storage: &Storage, number: i32, buckets: u32) -> NewPartition {
    let key = |value: i32| PartitionKey(vec![Bound::Value(Value::Int(value.into()))]);
    let bounds = PartitionBounds::Range { lower: key(number * 10), upper: key(number * 10 + 10) };
    let definition = definition(Partitioning::Unpartitioned, buckets);
    new_partition(&format!("p{number}"), bounds, &definition, storage.roots().default_replication_num())
}

fn ensure_database(storage: &Storage) {
    let known = storage.catalog().read(|read| read.find_database("d")).unwrap().is_some();
    if !known {
        storage.catalog().write(|write| write.create_database("d", &BTreeMap::new())).unwrap();
    }
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>());
    RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap()
}

/// Rows with these keys and a value that tells them.
pub(crate) fn rows(keys: impl IntoIterator<Item = i32>) -> Vec<Row> {
    keys.into_iter().map(|key| (Some(key), Some(format!("v{key}")))).collect()
}

pub(crate) fn spec(table: &str, kind: LoadKind) -> LoadSpec {
    LoadSpec {
        database: "d".to_owned(),
        table: table.to_owned(),
        label: None,
        kind,
        partitions: None,
        max_filter_ratio: 0.0,
    }
}

pub(crate) async fn load(storage: &Arc<Storage>, spec: LoadSpec, rows: &[Row]) -> crate::Result<LoadReceipt> {
    let mut load = storage.begin_load(spec).await?;
    for rows in rows.chunks(1000) {
        load.write(batch(rows)).await?;
    }
    load.commit().await
}

pub(crate) async fn insert(storage: &Arc<Storage>, table: &str, rows: &[Row]) -> LoadReceipt {
    load(storage, spec(table, LoadKind::Insert), rows).await.unwrap()
}

/// Every row of a snapshot, sorted. Checks on the way that each segment is sorted and its zone maps hold.
pub(crate) fn rows_of(snapshot: &TableSnapshot) -> Vec<Row> {
    let mut all = Vec::new();
    for partition in &snapshot.state().partitions {
        for tablet in &partition.tablets {
            for segment in tablet.segments() {
                let deletes = snapshot.delete_vector(tablet, segment).unwrap();
                let mut last = None;
                let mut live = 0;
                for part in snapshot.segment(tablet, segment).open(snapshot.schema()).unwrap() {
                    let part = part.unwrap();
                    let keys = part.rows.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
                    for key in keys {
                        assert!(last.is_none_or(|last| last <= key), "segment is not sorted");
                        last = Some(key);
                        let value = key.map_or(Value::Null, |key| Value::Int(key.into()));
                        let zone = &segment.zone_maps[0];
                        assert!(
                            key.is_none() || (zone.min.compare(&value).is_le() && value.compare(&zone.max).is_le())
                        );
                    }
                    let rows = part.live_rows(deletes.as_deref()).unwrap();
                    live += rows.num_rows() as u64;
                    let values = rows.column(1).as_string::<i32>();
                    let keys = rows.column(0).as_primitive::<Int32Type>();
                    all.extend(keys.iter().zip(values.iter().map(|value| value.map(str::to_owned))));
                }
                assert_eq!(live, segment.live_rows());
            }
        }
    }
    all.sort();
    all
}

pub(crate) fn table_rows(storage: &Storage, table: &str) -> Vec<Row> {
    rows_of(&storage.table_snapshot("d", table).unwrap())
}

/// Every segment of a table.
pub(crate) fn segment_count(storage: &Storage, table: &str) -> usize {
    let snapshot = storage.table_snapshot("d", table).unwrap();
    snapshot
        .state()
        .partitions
        .iter()
        .flat_map(|partition| &partition.tablets)
        .map(|tablet| tablet.segments().count())
        .sum()
}

/// Names of everything in the staging directories.
pub(crate) fn staged(storage: &Storage) -> Vec<String> {
    let mut names = Vec::new();
    for root in storage.roots().all() {
        for entry in std::fs::read_dir(root.path.join("staging")).unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
    }
    names
}
