//! Tables are made, grown and emptied whole or not at all, and their replicas fill the roots evenly.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::catalog::SegmentMeta;
use crate::clock::{ManualClock, SystemRandom};
use crate::digest::Digest;
use crate::schema::{Bound, ColumnId, DataType, PartitionKey, Partitioning, Value};
use crate::storage::StorageConfig;
use crate::testing::{column, table_of};

fn definition() -> TableDefinition {
    TableDefinition {
        partitioning: Partitioning::Range { columns: vec![ColumnId(1)] },
        ..table_of(vec![column(1, "k", DataType::Int)])
    }
}

fn range(name: &str, lower: i128, upper: i128) -> NewPartition {
    let key = |value| PartitionKey(vec![Bound::Value(Value::Int(value))]);
    NewPartition {
        name: name.to_owned(),
        bounds: PartitionBounds::Range { lower: key(lower), upper: key(upper) },
        buckets: 1,
        replication_num: 1,
        properties: BTreeMap::new(),
    }
}

fn open(roots: &[&str]) -> (tempfile::TempDir, Arc<Storage>) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = StorageConfig::new(dir.path());
    config.roots = roots.iter().map(|root| dir.path().join(root)).collect();
    let storage = Storage::open(config, ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
    storage.catalog().write(|write| write.create_database("d", &BTreeMap::new())).unwrap();
    (dir, storage)
}

fn names(storage: &Storage, table: TableId) -> Vec<String> {
    let partitions = storage.catalog().read(|read| read.partitions(table)).unwrap();
    partitions.into_iter().map(|partition| partition.name).collect()
}

#[test]
fn a_table_comes_with_its_partitions_or_not_at_all() {
    let (_dir, storage) = open(&[]);
    let partitions = [range("p2", 10, 20), range("p1", 0, 10)];
    let table = storage.create_table("d", "t", &definition(), &partitions).unwrap();
    assert_eq!(names(&storage, table), ["p1", "p2"]);

    let text = |result: Result<TableId>| result.unwrap_err().to_string();
    assert_eq!(text(storage.create_table("x", "t", &definition(), &[])), "database 'x' does not exist");
    assert_eq!(text(storage.create_table("d", "t", &definition(), &[])), "table 't' already exists");
    for (partitions, wants) in [
        (vec![range("p", 0, 1), range("P", 1, 2)], "partition 'P' already exists"),
        (vec![range("a", 0, 10), range("b", 9, 20)], "partition 'b' intersects with range"),
        (vec![range("a", 5, 5)], "holds no value"),
        (vec![range("a", 0, 1), NewPartition { replication_num: 2, ..range("b", 1, 2) }], "there is 1 storage root"),
    ] {
        let error = text(storage.create_table("d", "u", &definition(), &partitions));
        assert!(error.contains(wants), "{error}");
    }
    let tables = storage.catalog().read(|read| read.tables(read.database("d")?.id)).unwrap();
    assert_eq!(tables.len(), 1);
}

#[test]
fn partitions_are_added_all_or_none() {
    let (_dir, storage) = open(&[]);
    let table = storage.create_table("d", "t", &definition(), &[range("p1", 0, 10)]).unwrap();
    storage.add_partitions("d", "t", &[range("p3", 20, 30), range("p2", 10, 20)]).unwrap();
    for (new, wants) in [
        ([range("p4", 30, 40), range("p5", 25, 28)], "partition 'p5' intersects with range [(\"20\"), (\"30\"))"),
        ([range("p4", 30, 40), range("p5", -5, 1)], "partition 'p5' intersects"),
        ([range("p4", 30, 40), range("P1", 50, 60)], "partition 'P1' already exists"),
    ] {
        let error = storage.add_partitions("d", "t", &new).unwrap_err().to_string();
        assert!(error.contains(wants), "{error}");
    }
    assert_eq!(names(&storage, table), ["p1", "p2", "p3"]);
    assert!(storage.add_partitions("d", "x", &[]).is_err());
}

#[test]
fn replicas_fill_the_roots_evenly() {
    let (_dir, storage) = open(&["a", "b", "c"]);
    let counts = || {
        let counts = storage.catalog().read(|read| read.replica_counts()).unwrap();
        counts.into_values().collect::<Vec<u64>>()
    };
    let partitions: Vec<NewPartition> = (0..30).map(|n| range(&format!("p{n}"), n, n + 1)).collect();
    storage.create_table("d", "one", &definition(), &partitions).unwrap();
    assert_eq!(counts(), [10, 10, 10]);
    for n in 0..3 {
        let wide = NewPartition { buckets: 2, replication_num: 2, ..range("p", 0, 1) };
        storage.create_table("d", &format!("two{n}"), &definition(), &[wide]).unwrap();
    }
    // A partition's first root is the emptiest; where its replicas wrap around, one root gets one more.
    let counts = counts();
    assert_eq!(counts.iter().sum::<u64>(), 42);
    assert!(counts.iter().all(|count| (13..=15).contains(count)), "{counts:?}");
    let tablet_roots: Vec<i64> = storage
        .catalog()
        .read(|read| {
            let mut most =
                read.prepare("SELECT count(DISTINCT root_id) - count(*) FROM replicas GROUP BY tablet_id")?;
            Ok(most.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
        .unwrap();
    assert!(tablet_roots.iter().all(|difference| *difference == 0));
}

#[test]
fn truncate_empties_at_the_next_version() {
    let (_dir, storage) = open(&["a", "b"]);
    let partition = |name, lower| NewPartition { buckets: 2, replication_num: 2, ..range(name, lower, lower + 10) };
    let table = storage.create_table("d", "t", &definition(), &[partition("p1", 0), partition("p2", 10)]).unwrap();
    let fill = || {
        storage
            .catalog()
            .write(|write| {
                for partition in write.partitions(table)? {
                    let version = write.raise_visible_version(partition.id)?;
                    for tablet in write.tablets(partition.id)? {
                        let digest = Digest::of(&tablet.id.0.to_le_bytes());
                        let segment = SegmentMeta { digest, rows: 1, bytes: 1, zone_maps: Vec::new(), deletes: None };
                        write.create_rowset(tablet.id, version, &[segment])?;
                    }
                }
                Ok(())
            })
            .unwrap();
    };
    let state = || {
        let state = storage.catalog().read(|read| read.table_state(table)).unwrap();
        let partitions = state.partitions.iter();
        partitions.map(|state| (state.partition.visible_version, state.live_rows())).collect::<Vec<_>>()
    };
    let garbage = || storage.catalog().read(|read| read.garbage_count()).unwrap();
    fill();
    assert_eq!(state(), [(2, 2), (2, 2)]);
    let unknown = storage.truncate("d", "t", Some(&["p1".to_owned(), "p9".to_owned()]));
    assert!(unknown.unwrap_err().to_string().contains("'p9'"));
    assert_eq!((state(), garbage()), (vec![(2, 2), (2, 2)], 0));

    storage.truncate("d", "t", Some(&["P1".to_owned(), "p1".to_owned()])).unwrap();
    assert_eq!((state(), garbage()), (vec![(3, 0), (2, 2)], 4));
    storage.truncate("d", "t", None).unwrap();
    assert_eq!((state(), garbage()), (vec![(4, 0), (3, 0)], 8));
    fill();
    assert_eq!((state(), garbage()), (vec![(5, 2), (4, 2)], 0), "the same files are taken off the list");
}
