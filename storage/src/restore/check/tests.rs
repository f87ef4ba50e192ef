//! Snapshots that make no sense are refused, one kind of nonsense at a time.

use super::*;
use crate::digest::Digest;
use crate::job::bed::{definition, range};
use crate::repository::format::{
    DeletesEntry, IndexEntry, NodeRef, PartitionEntry, RowsetEntry, SegmentEntry, TabletEntry,
};
use crate::schema::{StructField, TableDefinition};

fn entry(name: &str, bounds: PartitionBounds) -> PartitionEntry {
    PartitionEntry {
        name: name.into(),
        bounds,
        buckets: 2,
        replication_num: 1,
        properties: Default::default(),
        node: NodeRef { digest: Digest::of(b"node"), bytes: 1 },
        objects: 0,
        rows: 0,
        bytes: 0,
    }
}

fn node(change: impl FnOnce(&mut TableNode)) -> TableNode {
    let partitions = vec![entry("p0", range(0, 10)), entry("p1", range(10, 20))];
    let indexes = vec![IndexEntry { name: "base".into() }];
    let mut node = TableNode::new(definition(true, 2), None, indexes, partitions);
    change(&mut node);
    node
}

fn segment() -> SegmentEntry {
    let value = |value| Value::Int(value);
    SegmentEntry {
        digest: Digest::of(b"segment"),
        rows: 10,
        bytes: 100,
        zone_maps: vec![ZoneMap { column: ColumnId(1), min: value(1), max: value(9), nulls: 0 }],
        deletes: None,
    }
}

fn files(segment: SegmentEntry) -> PartitionNode {
    let rowsets = vec![RowsetEntry { segments: vec![segment] }];
    PartitionNode::new(vec![TabletEntry { index: 0, bucket: 0, rowsets }])
}

#[test]
fn what_makes_sense_passes() {
    table("t", &node(|_| {})).unwrap();
    partition(&definition(true, 2), &files(segment())).unwrap();
    partition(&definition(true, 2), &PartitionNode::new(Vec::new())).unwrap();
}

#[test]
fn tables_that_cannot_be_are_refused() {
    let deep = (0..100).fold(DataType::Int, |inner, _| DataType::Array { element: Box::new(inner) });
    let empty_struct = DataType::Struct { fields: Vec::<StructField>::new() };
    let with_type = |data_type: DataType| node(|node| node.definition.columns[1].data_type = data_type);
    let nonsense: Vec<(&str, TableNode)> = vec![
        ("one id", node(|node| node.definition.columns[1].id = ColumnId(1))),
        ("one name", node(|node| node.definition.columns[1].name = "K".into())),
        ("sort key", node(|node| node.definition.sort_key = vec![ColumnId(9)])),
        ("distribution", node(|node| node.definition.distribution = Distribution::Hash { columns: vec![ColumnId(9)] })),
        ("no hash column", node(|node| node.definition.distribution = Distribution::Hash { columns: Vec::new() })),
        ("no range column", node(|node| node.definition.partitioning = Partitioning::Range { columns: Vec::new() })),
        ("range of no partitioning", node(|node| node.definition.partitioning = Partitioning::Unpartitioned)),
        ("all of a range", node(|node| node.partitions[0].bounds = PartitionBounds::All)),
        ("overlap", node(|node| node.partitions[1].bounds = range(5, 20))),
        ("upside down", node(|node| node.partitions[1].bounds = range(20, 10))),
        (
            "wrong bound",
            node(|node| {
                let key = || PartitionKey(vec![Bound::Value(Value::String("x".into()))]);
                node.partitions[1].bounds =
                    PartitionBounds::Range { lower: key(), upper: PartitionKey(vec![Bound::MaxValue]) };
            }),
        ),
        ("no replica", node(|node| node.partitions[0].replication_num = 0)),
        ("tablets", node(|node| node.partitions[0].buckets = 1_000_000)),
        ("rollup", node(|node| node.indexes.push(IndexEntry { name: "r".into() }))),
        ("counter", node(|node| node.auto_increment_next = Some(0))),
        ("decimal", with_type(DataType::Decimal { precision: 77, scale: 0 })),
        ("scale", with_type(DataType::Decimal { precision: 5, scale: 6 })),
        ("nesting", with_type(deep)),
        ("fields", with_type(empty_struct)),
    ];
    for (what, node) in nonsense {
        assert!(matches!(table("t", &node), Err(FormatError::Inconsistent(_))), "{what}");
    }
}

#[test]
fn files_that_cannot_be_are_refused() {
    let changed = |change: fn(&mut SegmentEntry)| {
        let mut segment = segment();
        change(&mut segment);
        files(segment)
    };
    let nonsense: Vec<(&str, PartitionNode)> = vec![
        ("no rows", changed(|segment| segment.rows = 0)),
        ("rows", changed(|segment| segment.rows = 1 << 32)),
        ("no bytes", changed(|segment| segment.bytes = 0)),
        ("zone map of another type", changed(|segment| segment.zone_maps[0].min = Value::String("x".into()))),
        ("zone map upside down", changed(|segment| segment.zone_maps[0].max = Value::Int(0))),
        ("nulls", changed(|segment| segment.zone_maps[0].nulls = 11)),
        (
            "deletes",
            changed(|segment| {
                segment.deletes = Some(DeletesEntry { digest: segment.digest, bytes: 1, rows: 1 });
            }),
        ),
    ];
    let of: TableDefinition = definition(true, 2);
    for (what, node) in nonsense {
        assert!(matches!(partition(&of, &node), Err(FormatError::Inconsistent(_))), "{what}");
    }
}
