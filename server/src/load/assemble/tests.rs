//! What an assembler fills, converts and refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use ebla_storage::clock::SystemRandom;
use ebla_storage::schema::{ColumnId, Distribution, KeysType, Partitioning};

use super::*;

fn column(id: u32, name: &str, data_type: DataType) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
        nullable: true,
        key: false,
        aggregation: None,
        default: None,
        auto_increment: false,
        comment: String::new(),
    }
}

fn table(columns: Vec<Column>) -> TableDefinition {
    TableDefinition {
        sort_key: vec![columns[0].id],
        columns,
        keys_type: KeysType::Duplicate,
        partitioning: Partitioning::Unpartitioned,
        distribution: Distribution::Random,
        buckets: 1,
        properties: BTreeMap::new(),
        indexes: Vec::new(),
        comment: String::new(),
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
}

fn context() -> AssembleContext {
    let mut next = 100;
    AssembleContext {
        // 2024-01-31 12:00:00.344
        now_micros: 1_706_702_400_344_000,
        random: Arc::new(SystemRandom),
        auto_increment: Some(Box::new(move |count| {
            next += count as i64;
            Ok(next - count as i64)
        })),
    }
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| shown(column, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn fills_what_is_not_given() {
    let mut id = column(0, "id", DataType::BigInt);
    id.auto_increment = true;
    id.nullable = false;
    let mut state = column(2, "state", DataType::Varchar { length: 10 });
    state.default = Some(DefaultValue::Constant("new".into()));
    let mut at = column(3, "at", DataType::DateTime);
    at.default = Some(DefaultValue::CurrentTimestamp);
    let mut key = column(4, "uid", DataType::Varchar { length: 36 });
    key.default = Some(DefaultValue::Uuid);
    let mut number = column(5, "number", DataType::LargeInt);
    number.default = Some(DefaultValue::UuidNumeric);
    let definition =
        table(vec![id, column(1, "v", DataType::Int), state, at, key, number, column(6, "n", DataType::Json)]);
    let mut assembler = Assembler::new(&definition, &["V"], Strictness::Strict, context()).expect("fits");
    let given = batch(vec![("v", texts(&[Some("1"), Some("x"), None]))]);
    let assembled = assembler.assemble(&given).expect("assembles");
    assert_eq!(assembled.batch.schema(), definition.to_arrow());
    assert_eq!(assembled.bad_row_count(), 1);
    assert_eq!(assembled.bad_rows[0].index, 1);
    assert_eq!(assembled.bad_rows[0].reason, "Value 'x' is out of range or malformed. The type of 'v' is INT(11)");
    let shown_rows = rows(&assembled.batch);
    assert!(shown_rows[0].starts_with("100|1|new|2024-01-31 12:00:00|"), "{shown_rows:?}");
    // The bad row took no number.
    assert!(shown_rows[1].starts_with("101|NULL|new|2024-01-31 12:00:00|"), "{shown_rows:?}");
    let uuid = shown(assembled.batch.column(4), 0);
    assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
    assert_ne!(uuid, shown(assembled.batch.column(4), 1));
}

#[test]
fn given_numbers_stay_and_missing_ones_are_filled() {
    let mut id = column(0, "id", DataType::BigInt);
    id.auto_increment = true;
    id.nullable = false;
    let definition = table(vec![id]);
    let mut assembler = Assembler::new(&definition, &["id"], Strictness::Strict, context()).expect("fits");
    let given = batch(vec![("id", Arc::new(Int64Array::from(vec![Some(7), None, Some(8), None])))]);
    assert_eq!(rows(&assembler.assemble(&given).expect("assembles").batch), ["7", "100", "8", "101"]);
}

#[test]
fn strict_and_lenient() {
    let mut required = column(0, "k", DataType::Int);
    required.nullable = false;
    let definition =
        table(vec![required, column(1, "v", DataType::TinyInt), column(2, "s", DataType::Varchar { length: 3 })]);
    let given = batch(vec![
        ("k", texts(&[Some("1"), Some("x"), None, Some("4"), Some("5")])),
        ("v", texts(&[Some("1"), Some("2"), Some("3"), Some("400"), Some("5")])),
        ("s", texts(&[Some("abc"), Some("b"), Some("c"), Some("d"), Some("äé")])),
    ]);
    let run = |strictness| {
        let mut assembler = Assembler::new(&definition, &["k", "v", "s"], strictness, context()).expect("fits");
        assembler.assemble(&given).expect("assembles")
    };
    let strict = run(Strictness::Strict);
    assert_eq!(rows(&strict.batch), ["1|1|abc"]);
    let reasons: Vec<(usize, &str)> = strict.bad_rows.iter().map(|bad| (bad.index, bad.column.as_str())).collect();
    assert_eq!(reasons, [(1, "k"), (2, "k"), (3, "v"), (4, "s")]);
    let lenient = run(Strictness::Lenient);
    assert_eq!(rows(&lenient.batch), ["1|1|abc", "4|NULL|d"]);
    assert_eq!(lenient.bad_rows[1].reason, "NULL value in non-nullable column 'k'");
    assert!(lenient.bad_rows[2].reason.contains("is too long"), "{}", lenient.bad_rows[2].reason);
}

#[test]
fn right_types_are_not_copied() {
    let definition = table(vec![column(0, "k", DataType::Int)]);
    let mut assembler = Assembler::new(&definition, &["k"], Strictness::Strict, context()).expect("fits");
    let array = Int32Array::from(vec![1, 2]);
    let before = array.values().inner().as_ptr();
    let assembled = assembler.assemble(&batch(vec![("k", Arc::new(array))])).expect("assembles");
    let after = assembled.batch.column(0).to_data().buffers()[0].as_ptr();
    assert_eq!(before, after);
}

#[test]
fn refuses_what_cannot_work() {
    let mut required = column(0, "k", DataType::Int);
    required.nullable = false;
    let mut odd = column(1, "d", DataType::Int);
    odd.default = Some(DefaultValue::Constant("many".into()));
    let text = |columns: Vec<Column>, given: &[&str]| {
        Assembler::new(&table(columns), given, Strictness::Strict, context()).expect_err("refused").to_string()
    };
    assert_eq!(text(vec![required.clone()], &["x"]), "Unknown column 'x'");
    assert_eq!(text(vec![required.clone()], &["k", "K"]), "Column 'K' specified twice");
    assert!(
        text(vec![required.clone(), column(1, "v", DataType::Int)], &["v"]).contains("no default value, column: k")
    );
    assert!(text(vec![column(0, "k", DataType::Int), odd], &["k"]).contains("DEFAULT 'many'"));
    let definition = table(vec![required]);
    let mut assembler = Assembler::new(&definition, &["k"], Strictness::Strict, context()).expect("fits");
    let two = batch(vec![("a", texts(&[None])), ("b", texts(&[None]))]);
    assert!(assembler.assemble(&two).is_err());
}

#[test]
fn no_rows_and_many_bad_rows() {
    let definition = table(vec![column(0, "k", DataType::Int)]);
    let mut assembler = Assembler::new(&definition, &["k"], Strictness::Strict, context()).expect("fits");
    assert_eq!(assembler.assemble(&batch(vec![("k", texts(&[]))])).expect("assembles").batch.num_rows(), 0);
    let many: Vec<Option<&str>> = vec![Some("x"); 1_000];
    let assembled = assembler.assemble(&batch(vec![("k", texts(&many))])).expect("assembles");
    assert_eq!((assembled.bad_row_count(), assembled.bad_rows.len()), (1_000, BAD_ROWS_DESCRIBED_MAX));
}
