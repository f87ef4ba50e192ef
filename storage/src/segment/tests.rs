//! Segments written and read back: every type, zone maps, cuts, equal bytes, columns added later.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::{Field, Schema};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::digest::Digest;
use crate::ids::TabletId;
use crate::schema::{Column, ColumnId, DataType, StructField, TableDefinition, Value};
use crate::storage::StorageConfig;
use crate::testing::{column, table_of};

pub(super) fn definition(columns: Vec<Column>, properties: &[(&str, &str)]) -> Arc<TableDefinition> {
    let properties = properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Arc::new(TableDefinition { properties, ..table_of(columns) })
}

pub(super) fn format(definition: &Arc<TableDefinition>) -> SegmentFormat {
    SegmentFormat::new(definition, &StorageConfig::new("unused")).unwrap()
}

pub(super) fn stream(batches: Vec<RecordBatch>) -> SortedStream {
    Box::new(batches.into_iter().map(Ok))
}

fn read(path: &Path, schema: &arrow_schema::SchemaRef) -> Vec<RecordBatch> {
    SegmentReader::open(TabletId(1), path, schema).unwrap().map(|batch| batch.unwrap().rows).collect()
}

pub(super) fn every_type() -> Arc<TableDefinition> {
    let array = DataType::Array { element: Box::new(DataType::Int) };
    let map = DataType::Map { key: Box::new(DataType::Varchar { length: 9 }), value: Box::new(DataType::Int) };
    let fields = vec![StructField { name: "x".to_owned(), data_type: DataType::Int }];
    let types = vec![
        DataType::Int,
        DataType::Boolean,
        DataType::TinyInt,
        DataType::SmallInt,
        DataType::BigInt,
        DataType::LargeInt,
        DataType::Float,
        DataType::Double,
        DataType::Decimal { precision: 15, scale: 2 },
        DataType::Decimal { precision: 38, scale: 9 },
        DataType::Date,
        DataType::DateTime,
        DataType::Char { length: 3 },
        DataType::Varchar { length: 80 },
        DataType::Varbinary { length: 80 },
        DataType::Json,
        array,
        map,
        DataType::Struct { fields },
    ];
    let columns = types.into_iter().zip(1..).map(|(data_type, id)| column(id, &format!("c{id}"), data_type)).collect();
    definition(columns, &[("bloom_filter_columns", "c1, C14,c17,c99")])
}

pub(super) fn batch_of_every_type(definition: &TableDefinition) -> RecordBatch {
    let schema = definition.to_arrow();
    let mut list = ListBuilder::new(Int32Builder::new()).with_field(match schema.field(16).data_type() {
        arrow_schema::DataType::List(field) => Arc::clone(field),
        _ => panic!("a list"),
    });
    list.append_value([Some(1), None]);
    list.append_null();
    let names = builder::MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let structs = StructArray::new(
        match schema.field(18).data_type() {
            arrow_schema::DataType::Struct(fields) => fields.clone(),
            _ => panic!("a struct"),
        },
        vec![Arc::new(Int32Array::from(vec![Some(7), None]))],
        Some(vec![true, false].into()),
    );
    let large = Decimal256Array::from(vec![Some(i256::from_i128(i128::MIN)), None]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(-5), Some(5)])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int8Array::from(vec![Some(i8::MIN), None])),
        Arc::new(Int16Array::from(vec![Some(i16::MAX), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
        Arc::new(large.with_precision_and_scale(39, 0).unwrap()),
        Arc::new(Float32Array::from(vec![Some(1.5), None])),
        Arc::new(Float64Array::from(vec![Some(-0.0), None])),
        Arc::new(Decimal128Array::from(vec![Some(-12345), None]).with_precision_and_scale(15, 2).unwrap()),
        Arc::new(Decimal128Array::from(vec![Some(10_i128.pow(37)), None]).with_precision_and_scale(38, 9).unwrap()),
        Arc::new(Date32Array::from(vec![Some(-1), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_456), None])),
        Arc::new(StringArray::from(vec![Some("abc"), None])),
        Arc::new(StringArray::from(vec![Some("héllo"), None])),
        Arc::new(BinaryArray::from(vec![Some(&b"\xff\x00"[..]), None])),
        Arc::new(StringArray::from(vec![Some("{}"), None])),
        Arc::new(list.finish()),
        arrow_cast::cast(&map.finish(), schema.field(17).data_type()).unwrap(),
        Arc::new(structs),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn every_type_round_trips_with_zone_maps_and_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let definition = every_type();
    let format = format(&definition);
    let batch = batch_of_every_type(&definition);
    let written = write_segments(&format, dir.path(), "s", stream(vec![batch.clone()]), 2, 1 << 30).unwrap();
    let [segment] = &written[..] else { panic!("one segment") };
    assert_eq!(Digest::of_file(&segment.path).unwrap(), (segment.meta.digest, segment.meta.bytes));
    assert_eq!(read(&segment.path, format.schema()), [batch]);

    let zone = |id: u32| segment.meta.zone_maps.iter().find(|zone| zone.column == ColumnId(id));
    let first = zone(1).unwrap();
    assert_eq!((&first.min, &first.max, first.nulls), (&Value::Int(-5), &Value::Int(5), 0));
    assert_eq!((&zone(6).unwrap().min, zone(6).unwrap().nulls), (&Value::Int(i128::MIN), 1));
    assert_eq!(zone(9).unwrap().min, Value::Decimal { unscaled: -12345, scale: 2 });
    assert_eq!(zone(14).unwrap().max, Value::String("héllo".to_owned()));
    assert!([16, 17, 18, 19].iter().all(|id| zone(*id).is_none()), "no zone maps of JSON and nested columns");

    let reader = SerializedFileReader::new(fs::File::open(&segment.path).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert!(metadata.file_metadata().created_by().unwrap().starts_with("ebla version "));
    let ids: Vec<i32> =
        metadata.file_metadata().schema().get_fields().iter().map(|field| field.get_basic_info().id()).collect();
    assert_eq!(ids, (1..=19).collect::<Vec<i32>>());
    let group = metadata.row_group(0);
    assert_eq!(group.sorting_columns().unwrap()[0].column_idx, 0);
    let blooms: Vec<bool> = group.columns().iter().map(|column| column.bloom_filter_offset().is_some()).collect();
    assert_eq!(blooms.iter().filter(|bloom| **bloom).count(), 2);
    assert!(blooms[0] && blooms[13]);
}

pub(super) fn numbers(definition: &TableDefinition, range: std::ops::Range<i32>) -> RecordBatch {
    let keys: ArrayRef = Arc::new(range.clone().collect::<Int32Array>());
    let texts: ArrayRef =
        Arc::new(range.map(|key| Some(format!("text {}", key.wrapping_mul(7919)))).collect::<StringArray>());
    RecordBatch::try_new(definition.to_arrow(), vec![keys, texts]).unwrap()
}

#[test]
fn large_inputs_are_cut_into_segments_and_the_bytes_are_the_same_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let definition =
        definition(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Varchar { length: 40 })], &[]);
    let mut config = StorageConfig::new("unused");
    config.row_group_rows_max = 20_000;
    let format = SegmentFormat::new(&definition, &config).unwrap();
    let batches: Vec<RecordBatch> = (0..20).map(|part| numbers(&definition, part * 5000..(part + 1) * 5000)).collect();
    let write =
        |name: &str| write_segments(&format, dir.path(), name, stream(batches.clone()), 100_000, 200_000).unwrap();
    let (first, again) = (write("a"), write("b"));
    assert!(first.len() > 1);
    assert_eq!(
        first.iter().map(|segment| &segment.meta).collect::<Vec<_>>(),
        again.iter().map(|segment| &segment.meta).collect::<Vec<_>>()
    );
    assert!(first[..first.len() - 1].iter().all(|segment| segment.meta.bytes > 40_000));
    assert_eq!(first.iter().map(|segment| segment.meta.rows).sum::<u64>(), 100_000);
    let mut next = 0;
    for segment in &first {
        let zone = &segment.meta.zone_maps[0];
        assert_eq!(zone.min, Value::Int(next.into()));
        next += segment.meta.rows as i32;
        assert_eq!(zone.max, Value::Int(i128::from(next) - 1));
    }
}

#[test]
fn columns_are_found_by_id_and_missing_ones_are_null() {
    let dir = tempfile::tempdir().unwrap();
    let before = definition(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Varchar { length: 40 })], &[]);
    let written =
        write_segments(&format(&before), dir.path(), "s", stream(vec![numbers(&before, 0..3)]), 3, 1 << 30).unwrap();
    let after = definition(
        vec![
            column(2, "renamed", DataType::Varchar { length: 40 }),
            column(3, "added", DataType::Double),
            column(1, "k", DataType::BigInt),
        ],
        &[],
    );
    let batches = read(&written[0].path, &after.to_arrow());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["text 0", "text 7919", "text 15838"])),
        Arc::new(Float64Array::from(vec![None; 3])),
        Arc::new(Int64Array::from(vec![0, 1, 2])),
    ];
    assert_eq!(batches, [RecordBatch::try_new(after.to_arrow(), columns).unwrap()]);

    let nothing = Arc::new(Schema::new(Vec::<Field>::new()));
    assert_eq!(read(&written[0].path, &nothing)[0].num_rows(), 3);
}

#[test]
fn deleted_rows_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let definition =
        definition(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Varchar { length: 40 })], &[]);
    let batches = vec![numbers(&definition, 0..20_000)];
    let written = write_segments(&format(&definition), dir.path(), "s", stream(batches), 20_000, 1 << 30).unwrap();
    let deletes = (0..20_000).filter(|row| row % 2 == 0).collect();
    let mut keys = Vec::new();
    for batch in SegmentReader::open(TabletId(1), &written[0].path, &definition.to_arrow()).unwrap() {
        let rows = batch.unwrap().live_rows(Some(&deletes)).unwrap();
        keys.extend(cast::as_primitive_array::<types::Int32Type>(rows.column(0)).values().iter().copied());
    }
    assert_eq!(keys, (0..20_000).filter(|row| row % 2 == 1).collect::<Vec<_>>());
}

#[test]
fn a_damaged_file_is_an_error_and_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let definition =
        definition(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Varchar { length: 40 })], &[]);
    let written =
        write_segments(&format(&definition), dir.path(), "s", stream(vec![numbers(&definition, 0..100)]), 100, 1 << 30)
            .unwrap();
    let bytes = fs::read(&written[0].path).unwrap();
    let path = dir.path().join("damaged");
    for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(SegmentReader::open(TabletId(1), &path, &definition.to_arrow()).is_err());
    }
}

#[test]
fn a_run_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let definition = every_type();
    let batch = batch_of_every_type(&definition);
    let path = dir.path().join("run");
    write_run(&format(&definition), &path, stream(vec![batch.clone()])).unwrap();
    assert_eq!(read(&path, &definition.to_arrow()), [batch]);
}

#[test]
fn a_row_that_no_reader_would_take_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let definition = definition(vec![column(1, "k", DataType::Int), column(2, "v", DataType::Json)], &[]);
    let write = |name: &str, texts: &[usize]| {
        let keys: ArrayRef = Arc::new((0..texts.len() as i32).collect::<Int32Array>());
        let texts: ArrayRef = Arc::new(texts.iter().map(|bytes| Some("x".repeat(*bytes))).collect::<StringArray>());
        let rows = RecordBatch::try_new(definition.to_arrow(), vec![keys, texts]).unwrap();
        write_segments(&format(&definition), dir.path(), name, stream(vec![rows]), 9, 1 << 30)
    };
    // Three rows that are too much for one page are written one after the other.
    let written = write("rows", &[60 << 20, 60 << 20, 60 << 20]).unwrap();
    assert_eq!(inspect(&written[0].path, &definition), Ok(3));
    let refusal = write("row", &[1, (128 << 20) + 1]).unwrap_err().to_string();
    assert!(refusal.contains("at most 134217728 can be stored"), "{refusal}");
}
