//! Reading segments: pruning, deleted rows, older files, statistics.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use roaring::RoaringBitmap;

use super::support::{DATETIME, Fixture, batch, segment_of, write_parquet};
use crate::query::convert;
use crate::query::source::{Distribution, KeyPart, PartitionRange, PartitionView, SegmentFile, TableView, TabletView};
use crate::query::value::Value;

/// 7 monthly partitions of 2 buckets; bucket = user mod 2; days of the month in three segments a tablet.
fn events() -> Fixture {
    let fixture = Fixture::new();
    let columns = [("Day", DataType::Date32), ("User", DataType::Int32), ("At", DATETIME), ("Note", DataType::Utf8)];
    let mut partitions = Vec::new();
    for month in 1..=7u64 {
        let mut tablets = Vec::new();
        for bucket in 0..2u32 {
            let segments = (0..3)
                .map(|third| {
                    let rows: Vec<[String; 4]> = (1..=9)
                        .map(|day| {
                            let day = third * 9 + day;
                            let date = format!("2024-{month:02}-{day:02}");
                            let user = (day * 2) as u32 + bucket;
                            [date.clone(), user.to_string(), format!("{date} 12:00:00"), format!("n{user}")]
                        })
                        .collect();
                    let rows: Vec<Vec<&str>> =
                        rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
                    let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
                    fixture.segment(&batch(&columns, &rows))
                })
                .collect();
            tablets.push(TabletView { id: month * 10 + u64::from(bucket), bucket, segments });
        }
        let first = |month: u64| {
            let days = convert::datetime::days_of_civil(2024, u32::try_from(month).unwrap(), 1);
            vec![KeyPart::Value(Value::Date(i32::try_from(days).unwrap()))]
        };
        partitions.push(PartitionView {
            id: month,
            name: format!("p2024{month:02}"),
            range: Some(PartitionRange { lower: (month > 1).then(|| first(month)), upper: Some(first(month + 1)) }),
            buckets: 2,
            tablets,
        });
    }
    let schema = batch(&columns, &[]).schema();
    fixture.register(TableView {
        database: "db".to_owned(),
        name: "events".to_owned(),
        defaults: vec![Value::Null; 4],
        schema,
        partition_columns: vec![0],
        partitions,
        distribution: Some(Distribution {
            columns: vec![1],
            bucket_of: Arc::new(|columns: &[ArrayRef], buckets| {
                let users = convert::to_ints(&columns[0]).unwrap();
                Ok((0..users.len()).map(|row| (users.value(row) % i64::from(buckets)) as u32).collect())
            }),
        }),
        pin: Arc::new(()),
    });
    fixture
}

fn scan_of(f: &Fixture, predicate: &str) -> String {
    let plan = f.explain(&format!("SELECT note FROM events WHERE {predicate}"));
    let line = plan.lines().last().unwrap().trim().to_owned();
    line.split(" rows=").next().unwrap().to_owned()
}

#[test]
fn pruning_is_shown_and_right() {
    let f = events();
    let cases = [
        ("day = '2024-03-15'", "1/7", "2/14", "2/42", 2),
        ("day >= '2024-07-01'", "1/7", "2/14", "6/42", 54),
        ("day < '2024-02-01'", "1/7", "2/14", "6/42", 54),
        ("day BETWEEN '2024-02-20' AND '2024-03-05'", "2/7", "4/14", "4/42", 26),
        ("user = 7", "7/7", "7/14", "7/42", 7),
        ("user IN (7, 8)", "7/7", "14/14", "14/42", 14),
        ("user IN (7, 9) AND day = '2024-01-03'", "1/7", "1/14", "1/42", 1),
        ("user = 7 AND day >= '2024-06-01'", "2/7", "2/14", "2/42", 2),
        ("at >= '2024-07-27 00:00:00'", "7/7", "14/14", "2/42", 2),
        ("day IS NULL", "1/7", "2/14", "0/42", 0),
        ("year(day) = 2030", "7/7", "14/14", "42/42", 0),
        ("day > '2030-01-01'", "0/7", "0/14", "0/42", 0),
        ("user > 1000", "7/7", "14/14", "0/42", 0),
        ("day = '2024-03-15' OR day = '2024-05-15'", "2/7", "4/14", "4/42", 4),
    ];
    for (predicate, partitions, tablets, segments, rows) in cases {
        let expected = format!("db.events partitions={partitions} tablets={tablets} segments={segments}");
        assert_eq!(scan_of(&f, predicate), expected, "{predicate}");
        let count = f.value(&format!("SELECT count(*) FROM events WHERE {predicate}"));
        assert_eq!(count, rows.to_string(), "{predicate}");
    }
    assert_eq!(f.value("SELECT count(*) FROM events PARTITION (p202402, p202403)"), "108");
    let plan = f.explain("SELECT note FROM events WHERE day = '2024-03-15'");
    assert!(plan.contains("OlapScan: db.events partitions=1/7 tablets=2/14 segments=2/42"), "{plan}");
    assert!(plan.contains("predicate="), "{plan}");
}

#[test]
fn counts_come_from_statistics() {
    let f = events();
    let plan = f.explain("SELECT count(*) FROM events");
    assert!(!plan.contains("OlapScan:"), "{plan}");
    assert_eq!(f.value("SELECT count(*) FROM events"), "378");
    // Bounds of zones may be wide, so extremes are read.
    let plan = f.explain("SELECT max(user) FROM events");
    assert!(plan.contains("OlapScan:"), "{plan}");
    assert_eq!(f.value("SELECT max(user), min(day) FROM events"), "55|2024-01-01");
}

#[test]
fn deleted_rows_are_gone() {
    let f = Fixture::new();
    let rows: Vec<[String; 2]> = (0..3500).map(|n| [n.to_string(), format!("row {n}")]).collect();
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
    let data = batch(&[("n", DataType::Int64), ("s", DataType::Utf8)], &rows);
    let path = f.dir.path().join("deletes.parquet");
    write_parquet(&path, &data);
    let mut deleted: RoaringBitmap = (1000..2000).collect();
    deleted.extend([0, 5, 6, 7, 3499]);
    let mut view = Arc::unwrap_or_clone_view(f.table("t", std::slice::from_ref(&data)));
    view.partitions[0].tablets[0].segments = vec![segment_of(path, &data, Some(deleted))];
    f.register(view);
    assert_eq!(f.value("SELECT count(*) FROM t"), "2495");
    assert_eq!(
        f.value("SELECT count(n), min(n), max(n), sum(n) FROM t"),
        format!("2495|1|3498|{}", {
            (0..3500i64).filter(|n| !(1000..2000).contains(n) && ![0, 5, 6, 7, 3499].contains(n)).sum::<i64>()
        })
    );
    assert_eq!(f.rows("SELECT n FROM t WHERE n < 10 ORDER BY n"), ["1", "2", "3", "4", "8", "9"]);
    assert_eq!(f.value("SELECT count(*) FROM t WHERE n BETWEEN 990 AND 2010"), "21");
    assert_eq!(f.value("SELECT count(*) FROM t WHERE s LIKE 'row 34%'"), "110");
    assert_eq!(f.rows("SELECT n FROM t WHERE n = 1500"), Vec::<String>::new());
    assert_eq!(f.rows("SELECT n FROM t ORDER BY n DESC LIMIT 2"), ["3498", "3497"]);
}

#[test]
fn a_file_with_deleted_rows_is_split_between_threads() {
    let f = Fixture::new();
    // Text that does not compress, so that the file is large enough to be split.
    let mut state = 7u64;
    let rows: Vec<[String; 2]> = (0..4000)
        .map(|n| {
            let text: String = (0..250)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    format!("{:08x}", state >> 32)
                })
                .collect();
            [n.to_string(), text]
        })
        .collect();
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
    let data = batch(&[("n", DataType::Int64), ("s", DataType::Utf8)], &rows);
    let path = f.dir.path().join("split.parquet");
    write_parquet(&path, &data);
    assert!(std::fs::metadata(&path).unwrap().len() > 6 << 20);
    let deleted: RoaringBitmap = (500..1500).chain([0, 2999, 3999]).collect();
    let mut view = Arc::<TableView>::unwrap_or_clone_view(f.table("t", std::slice::from_ref(&data)));
    view.partitions[0].tablets[0].segments = vec![segment_of(path, &data, Some(deleted))];
    f.register(view);
    assert_eq!(f.value("SELECT count(s), count(DISTINCT n), min(n), max(n) FROM t"), "2997|2997|1|3998");
    assert_eq!(f.value("SELECT count(*) FROM t WHERE length(s) = 2000 AND n >= 1000"), "2498");
}

trait UnwrapView {
    fn unwrap_or_clone_view(view: Arc<TableView>) -> TableView;
}

impl UnwrapView for Arc<TableView> {
    fn unwrap_or_clone_view(view: Arc<TableView>) -> TableView {
        TableView {
            database: view.database.clone(),
            name: view.name.clone(),
            schema: Arc::clone(&view.schema),
            defaults: view.defaults.clone(),
            partition_columns: view.partition_columns.clone(),
            partitions: view.partitions.clone(),
            distribution: view.distribution.clone(),
            pin: Arc::clone(&view.pin),
        }
    }
}

fn with_ids(data: &RecordBatch, ids: &[i32]) -> RecordBatch {
    let fields: Vec<Field> = data
        .schema()
        .fields()
        .iter()
        .zip(ids)
        .map(|(field, id)| {
            let metadata = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), data.columns().to_vec()).unwrap()
}

#[test]
fn files_of_older_schemas_are_read() {
    let f = Fixture::new();
    // The file has (a, old, gone); the table renamed old to new, dropped gone, added later ones.
    let file = with_ids(
        &batch(
            &[("a", DataType::Int32), ("old", DataType::Utf8), ("gone", DataType::Int32)],
            &[&["1", "x", "7"], &["2", "y", "8"]],
        ),
        &[1, 2, 3],
    );
    let newer = with_ids(
        &batch(
            &[("A", DataType::Int64), ("New", DataType::Utf8), ("Added", DataType::Int32), ("Gone", DataType::Utf8)],
            &[&["3", "z", "5", "g"]],
        ),
        &[1, 2, 4, 5],
    );
    let segments: Vec<SegmentFile> = [&file, &newer].iter().map(|data| f.segment(data)).collect();
    let segments = segments.into_iter().map(|segment| SegmentFile { zones: Vec::new(), ..segment }).collect();
    f.register(TableView {
        database: "db".to_owned(),
        name: "t".to_owned(),
        schema: newer.schema(),
        defaults: vec![Value::Null, Value::Null, Value::Int(9), Value::Null],
        partition_columns: Vec::new(),
        partitions: vec![PartitionView {
            id: 1,
            name: "t".to_owned(),
            range: None,
            buckets: 1,
            tablets: vec![TabletView { id: 1, bucket: 0, segments }],
        }],
        distribution: None,
        pin: Arc::new(()),
    });
    assert_eq!(f.rows("SELECT * FROM t ORDER BY a"), ["1|x|9|NULL", "2|y|9|NULL", "3|z|5|g"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE added = 9 AND new = 'y'"), ["2"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE gone IS NULL ORDER BY a"), ["1", "2"]);
    assert_eq!(f.rows("SELECT new FROM t WHERE a > 1 ORDER BY new DESC"), ["z", "y"]);
}

#[test]
fn the_view_lives_as_long_as_its_stream() {
    let f = Fixture::new();
    let pin = Arc::new(());
    let data = batch(&[("n", DataType::Int64)], &[&["1"], &["2"]]);
    let view = f.table("t", std::slice::from_ref(&data));
    let mut view = Arc::<TableView>::unwrap_or_clone_view(view);
    view.pin = Arc::clone(&pin) as Arc<dyn std::any::Any + Send + Sync>;
    f.register(view);
    let planned = super::support::ENGINE.plan(&super::support::parse_query("SELECT n FROM t"), &f.context).unwrap();
    f.catalog.relations.lock().clear();
    assert!(Arc::strong_count(&pin) > 1, "the plan holds the pin");
    super::support::block_on(async {
        let stream = super::support::ENGINE.execute(planned).await.unwrap();
        assert_eq!(stream.collect_all().await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    });
    for _ in 0..100 {
        if Arc::strong_count(&pin) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the pin is still held");
}

#[test]
fn a_missing_or_broken_file_is_an_error_of_the_data() {
    let f = Fixture::new();
    let data = batch(&[("n", DataType::Int64)], &[&["1"]]);
    let view = f.table("t", std::slice::from_ref(&data));
    let path = view.partitions[0].tablets[0].segments[0].name.clone();
    let size = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![7u8; usize::try_from(size).unwrap()]).unwrap();
    assert!(matches!(f.try_query("SELECT n FROM t"), Err(crate::query::QueryError::Corrupt(_))));
    std::fs::remove_file(&path).unwrap();
    // What the data says of itself comes out unchanged, from the footer as from the rows.
    let error = f.error("SELECT n FROM t");
    assert_eq!(error, format!("Corrupt data: {path}: No such file or directory (os error 2)"));
}
