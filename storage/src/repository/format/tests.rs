//! Goal: what was written is read for ever, equal things have equal bytes, and hostile bytes end in an error.
//! Method: a checked-in fixture of each released format, damaged and invented bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::catalog::ZoneMap;
use crate::digest::Digest;
use crate::schema::{Bound, ColumnId, PartitionBounds, PartitionKey, Value};

const FIXTURE_INFO: &[u8] = include_bytes!("fixtures/v1/repository.json");
const FIXTURE_MANIFEST: &[u8] = include_bytes!("fixtures/v1/snapshot.json");
const FIXTURE_TABLE: &[u8] = include_bytes!("fixtures/v1/table.json.zst");
const FIXTURE_PARTITION: &[u8] = include_bytes!("fixtures/v1/partition.json.zst");

fn info() -> RepositoryInfo {
    RepositoryInfo {
        format_version: 1,
        repository_id: "00112233445566778899aabbccddeeff".into(),
        created_at_ms: 1_675_780_000_000,
        engine_version: "0.1.0".into(),
    }
}

fn partition() -> PartitionNode {
    let zone = |column, min, max, nulls| ZoneMap { column: ColumnId(column), min, max, nulls };
    let segment = |text: &str, rows, deletes| SegmentEntry {
        digest: Digest::of(text.as_bytes()),
        rows,
        bytes: rows * 100,
        zone_maps: vec![
            zone(1, Value::Int(-5), Value::Int(i128::MAX), 0),
            zone(2, Value::String("a\"\\\u{7}".into()), Value::String("ü".into()), 3),
            zone(3, Value::Float(0.1), Value::Float(f64::NAN), 0),
            zone(4, Value::Decimal { unscaled: -1234, scale: 2 }, Value::Null, 1),
            zone(5, Value::Date(19_000), Value::DateTime(1_675_781_153_143_000), 0),
            zone(6, Value::Boolean(false), Value::Binary(vec![0, 255]), 0),
        ],
        deletes,
    };
    let deletes = DeletesEntry { digest: Digest::of(b"deletes"), bytes: 17, rows: 2 };
    PartitionNode::new(vec![
        TabletEntry { index: 0, bucket: 1, rowsets: vec![RowsetEntry { segments: vec![segment("c", 7, None)] }] },
        TabletEntry { index: 0, bucket: 2, rowsets: vec![] },
        TabletEntry {
            index: 0,
            bucket: 0,
            rowsets: vec![
                RowsetEntry { segments: vec![segment("a", 10, Some(deletes)), segment("b", 1, None)] },
                RowsetEntry { segments: vec![] },
            ],
        },
    ])
}

fn table() -> TableNode {
    let node = encode_node(&partition()).unwrap().node;
    let (objects, rows, bytes) = partition().totals().unwrap();
    let bounds = PartitionBounds::Range {
        lower: PartitionKey(vec![Bound::MinValue]),
        upper: PartitionKey(vec![Bound::Value(Value::Date(19_000))]),
    };
    let entry = PartitionEntry {
        name: "p1".into(),
        bounds,
        buckets: 3,
        replication_num: 1,
        properties: [("storage_medium".to_owned(), "SSD".to_owned())].into(),
        node,
        objects,
        rows,
        bytes,
    };
    let mut definition = crate::repository::tests::definition();
    definition.properties.insert("compression".into(), "ZSTD".into());
    TableNode::new(definition, Some(101), vec![IndexEntry { name: "base".into() }], vec![entry])
}

fn manifest() -> SnapshotManifest {
    let node = encode_node(&table()).unwrap().node;
    let tables = vec![SnapshotTable::of("sr_member", &table(), node).unwrap()];
    SnapshotManifest {
        format_version: 1,
        engine_version: "0.1.0".into(),
        repository_id: info().repository_id,
        cluster_id: "ffeeddccbbaa99887766554433221100".into(),
        database: "sr_hub".into(),
        label: "sr_member_backup".into(),
        timestamp: "2023-02-07-14-45-53-143".parse().unwrap(),
        timestamp_ms: 1_675_781_153_143,
        cut_at_ms: 1_675_781_153_243,
        finished_at_ms: 1_675_781_160_000,
        ttl: Some("7 DAY".into()),
        expires_at_ms: Some(1_676_385_960_000),
        locked: None,
        totals: SnapshotManifest::totals_of(&tables, 1234).unwrap(),
        tables,
    }
}

/// Writes the fixtures of the current version when `EBLA_WRITE_FIXTURES` is set: once, when a version is released,
/// and never to mend a failing test.
#[test]
fn write_fixtures() {
    if std::env::var_os("EBLA_WRITE_FIXTURES").is_none() {
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/repository/format/fixtures/v1");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("repository.json"), info().to_stored().unwrap()).unwrap();
    std::fs::write(folder.join("snapshot.json"), manifest().to_stored().unwrap()).unwrap();
    std::fs::write(folder.join("table.json.zst"), encode_node(&table()).unwrap().stored).unwrap();
    std::fs::write(folder.join("partition.json.zst"), encode_node(&partition()).unwrap().stored).unwrap();
}

#[test]
fn version_1_is_read_and_written_as_it_was() {
    assert_eq!(RepositoryInfo::from_stored(FIXTURE_INFO).unwrap(), info());
    assert_eq!(info().to_stored().unwrap(), FIXTURE_INFO);
    assert_eq!(SnapshotManifest::from_stored(FIXTURE_MANIFEST).unwrap(), manifest());
    assert_eq!(manifest().to_stored().unwrap(), FIXTURE_MANIFEST);

    let stored = |bytes: &'static [u8]| NodeRef { digest: Digest::of(bytes), bytes: bytes.len() as u64 };
    assert_eq!(decode_node::<TableNode>(&stored(FIXTURE_TABLE), FIXTURE_TABLE).unwrap(), table());
    let read = decode_node::<PartitionNode>(&stored(FIXTURE_PARTITION), FIXTURE_PARTITION).unwrap();
    // NaN is not equal to itself, its text is.
    assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&partition()).unwrap());
    assert_eq!(encode_node(&table()).unwrap().stored, FIXTURE_TABLE);
    assert_eq!(encode_node(&partition()).unwrap().stored, FIXTURE_PARTITION);
}

#[test]
fn entries_agree_with_what_they_refer_to() {
    manifest().tables[0].check(&table()).unwrap();
    table().partitions[0].check(&partition(), 1).unwrap();
    assert_eq!(partition().totals().unwrap(), (4, 16, 1817));
    let mut fewer = partition();
    fewer.tables_pop();
    assert!(table().partitions[0].check(&fewer, 1).is_err());
    let mut narrow = table().partitions[0].clone();
    narrow.buckets = 1;
    assert!(narrow.check(&partition(), 1).is_err());
    assert!(table().partitions[0].check(&partition(), 0).is_err());
    let mut entry = manifest().tables[0].clone();
    entry.rows += 1;
    assert!(entry.check(&table()).is_err());
}

impl PartitionNode {
    fn tables_pop(&mut self) {
        self.tablets.pop();
    }
}

#[test]
fn unknown_fields_are_ignored_and_optional_ones_may_be_missing() {
    let mut json: serde_json::Value = serde_json::to_value(table()).unwrap();
    json["from_the_future"] = serde_json::json!({"x": [1, 2.5]});
    json["partitions"][0].as_object_mut().unwrap().remove("properties");
    json.as_object_mut().unwrap().remove("auto_increment_next");
    let (node, stored) = compressed(json.to_string().as_bytes());
    let read: TableNode = decode_node(&node, &stored).unwrap();
    assert_eq!((read.auto_increment_next, read.partitions[0].properties.len()), (None, 0));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut newer = manifest();
    newer.format_version = 7;
    newer.engine_version = "9.9.9".into();
    let sealed = seal::seal(&newer).unwrap();
    for bytes in [&sealed[..], b"{\"format_version\": 7, \"engine_version\": \"9.9.9\", \"other\": true}"] {
        let error = SnapshotManifest::from_stored(bytes).unwrap_err().to_string();
        assert!(error.contains("version 7") && error.contains("up to 1") && error.contains("9.9.9"), "{error}");
    }
    let (node, stored) = compressed(b"{\"format_version\":2}");
    assert!(matches!(decode_node::<TableNode>(&node, &stored), Err(FormatError::Newer { found: 2, .. })));
    assert!(newer.to_stored().is_err());
    let (node, stored) = compressed(b"{\"format_version\":0}");
    assert!(matches!(decode_node::<TableNode>(&node, &stored), Err(FormatError::Inconsistent(_))));
}

#[test]
fn a_node_of_the_other_kind_is_refused() {
    let json = serde_json::to_string(&partition()).unwrap().replace("\"partition\"", "\"table\"");
    let (node, stored) = compressed(json.as_bytes());
    assert!(matches!(decode_node::<PartitionNode>(&node, &stored), Err(FormatError::Inconsistent(_))));
    let encoded = encode_node(&partition()).unwrap();
    assert!(decode_node::<TableNode>(&encoded.node, &encoded.stored).is_err());
}

#[test]
fn contradictions_are_refused() {
    let refuse = |change: &dyn Fn(&mut PartitionNode)| {
        let mut node = partition();
        change(&mut node);
        assert!(encode_node(&node).is_err());
        let (reference, stored) = compressed(&serde_json::to_vec(&node).unwrap());
        assert!(matches!(decode_node::<PartitionNode>(&reference, &stored), Err(FormatError::Inconsistent(_))));
    };
    refuse(&|node| node.tablets.swap(0, 1));
    refuse(&|node| node.tablets[1].bucket = 0);
    refuse(&|node| node.tablets[0].rowsets[0].segments[0].rows = 1);
    refuse(&|node| node.tablets[0].rowsets[0].segments[0].bytes = u64::MAX);
    refuse(&|node| node.tablets[0].rowsets[0].segments[1].rows = u64::MAX);

    let refuse = |change: &dyn Fn(&mut TableNode)| {
        let mut node = table();
        change(&mut node);
        assert!(encode_node(&node).is_err());
    };
    refuse(&|node| node.partitions.push(node.partitions[0].clone()));
    refuse(&|node| node.partitions[0].buckets = 0);
    refuse(&|node| node.partitions[0].name = String::new());
    refuse(&|node| node.indexes.clear());
    refuse(&|node| node.definition.columns.clear());

    let refuse = |change: &dyn Fn(&mut SnapshotManifest)| {
        let mut snapshot = manifest();
        change(&mut snapshot);
        assert!(snapshot.to_stored().is_err());
        let sealed = seal::seal(&snapshot).unwrap();
        assert!(SnapshotManifest::from_stored(&sealed).is_err());
    };
    refuse(&|snapshot| snapshot.tables.push(snapshot.tables[0].clone()));
    refuse(&|snapshot| snapshot.totals.rows += 1);
    refuse(&|snapshot| snapshot.tables[0].bytes = u64::MAX);
    refuse(&|snapshot| snapshot.label = String::new());
    refuse(&|snapshot| snapshot.database = "x\0".into());
}

/// Goal: a small object cannot make a large allocation. Method: zeros, which compress a thousandfold and more.
#[test]
fn bombs_are_defused() {
    let zeros = vec![b' '; 1 << 20];
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..=NODE_BYTES_MAX >> 20 {
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!((bomb.len() as u64) < NODE_STORED_BYTES_MAX);
    let node = NodeRef { digest: Digest::of(&bomb), bytes: bomb.len() as u64 };
    assert!(matches!(decode_node::<TableNode>(&node, &bomb), Err(FormatError::TooLarge { .. })));

    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(27).unwrap();
    wide.long_distance_matching(true).unwrap();
    std::io::Write::write_all(&mut wide, &zeros).unwrap();
    let wide = wide.finish().unwrap();
    let node = NodeRef { digest: Digest::of(&wide), bytes: wide.len() as u64 };
    assert!(matches!(decode_node::<TableNode>(&node, &wide), Err(FormatError::Compression(_))));

    // What tells its type somewhere inside is kept whole until it is found: sixteen times its size.
    let list = format!("[{}0]", "0,".repeat(MEMBER_BYTES_MAX / 2));
    let typed =
        serde_json::to_string(&table()).unwrap().replacen("{\"type\":", &format!("{{\"x\":{list},\"type\":"), 1);
    let (node, stored) = compressed(typed.as_bytes());
    let what = "a member beside its list";
    let error = decode_node::<TableNode>(&node, &stored).unwrap_err();
    assert!(matches!(error, FormatError::TooLarge { what: found, .. } if found == what), "{error}");
    let mut node = partition();
    node.tablets[0].rowsets = vec![RowsetEntry { segments: Vec::new() }; CHILDREN_MAX + 1];
    assert!(matches!(node.check(), Err(FormatError::TooLarge { .. })));

    let deep = format!("{{\"format_version\":1,\"x\":{}", "[".repeat(1_000_000));
    let (node, stored) = compressed(deep.as_bytes());
    assert!(matches!(decode_node::<TableNode>(&node, &stored), Err(FormatError::Syntax { .. })));
    assert!(SnapshotManifest::from_stored(deep.as_bytes()).is_err());
}

fn compressed(json: &[u8]) -> (NodeRef, Bytes) {
    let stored = zstd::bulk::compress(json, 3).unwrap();
    (NodeRef { digest: Digest::of(&stored), bytes: stored.len() as u64 }, stored.into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = RepositoryInfo::from_stored(&bytes);
        let _ = SnapshotManifest::from_stored(&bytes);
        let node = NodeRef { digest: Digest::of(&bytes), bytes: bytes.len() as u64 };
        prop_assert!(decode_node::<TableNode>(&node, &bytes).is_err());
        let (node, stored) = compressed(&bytes);
        prop_assert!(decode_node::<PartitionNode>(&node, &stored).is_err());
    }

    #[test]
    fn a_cut_or_flipped_object_is_refused(cut in 0..FIXTURE_MANIFEST.len(), bit in 0..8_u32) {
        prop_assert!(SnapshotManifest::from_stored(&FIXTURE_MANIFEST[..cut]).is_err());
        let mut flipped = FIXTURE_MANIFEST.to_vec();
        flipped[cut] ^= 1 << bit;
        prop_assert!(SnapshotManifest::from_stored(&flipped).is_err());
    }

    /// Valid JSON with its digest in order but one value replaced: an error or a value that checks out, never a panic.
    #[test]
    fn replaced_values_are_checked(pick in any::<prop::sample::Index>(), with in prop::sample::select(vec![
        "null", "-1", "18446744073709551615", "1e300", "\"\"", "[]", "{}", "\"\\u0000\"", "true",
    ])) {
        for json in [serde_json::to_string(&table()).unwrap(), serde_json::to_string(&partition()).unwrap()] {
            let colons: Vec<usize> = json.match_indices("\":").map(|(at, _)| at + 2).collect();
            let at = colons[pick.index(colons.len())];
            let end = at + json[at..].find([',', '}']).unwrap();
            let changed = format!("{}{with}{}", &json[..at], &json[end..]);
            let (node, stored) = compressed(changed.as_bytes());
            let _ = decode_node::<TableNode>(&node, &stored);
            let _ = decode_node::<PartitionNode>(&node, &stored);
        }
    }
}
