//! The engine around a query: cancelling, memory, parameters, lone expressions.

use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;

use super::support::{ENGINE, Fixture, batch, block_on, parse_expr, parse_query};
use crate::query::{QueryConfig, QueryEngine, QueryError, Value};

/// How long a machine under load may take for what is done in a moment; what must not be waited for takes far longer.
const SOON: Duration = Duration::from_secs(120);

fn numbers(f: &Fixture, rows: i64) {
    let values: Vec<String> = (0..rows).map(|n| n.to_string()).collect();
    let cells: Vec<[&str; 1]> = values.iter().map(|value| [value.as_str()]).collect();
    let cells: Vec<&[&str]> = cells.iter().map(<[&str; 1]>::as_slice).collect();
    f.table("numbers", &[batch(&[("n", DataType::Int64)], &cells)]);
}

#[test]
fn sleep_waits_and_stops_when_dropped() {
    let f = Fixture::new();
    let start = Instant::now();
    assert_eq!(f.value("SELECT SLEEP(0.2)"), "1");
    assert!(start.elapsed() >= Duration::from_millis(200));
    let planned = ENGINE.plan(&parse_query("SELECT sleep(3600)"), &f.context).unwrap();
    let start = Instant::now();
    block_on(async {
        let mut stream = ENGINE.execute(planned).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
        assert!(waited.is_err(), "it sleeps");
    });
    assert!(start.elapsed() < SOON);
}

#[test]
fn a_dropped_join_stops() {
    let f = Fixture::new();
    // So many pairs of rows that no machine is through with them before it is looked at.
    numbers(&f, 400_000);
    // A nested loop that finds nothing, and a hash join that multiplies every row.
    for condition in ["a.n + b.n = -1", "a.n % 2 = b.n % 2 AND a.n + b.n = -1", "a.n - a.n = b.n - b.n"] {
        let sql = format!("SELECT count(a.n + b.n), max(a.n) FROM numbers a JOIN numbers b ON {condition}");
        let planned = ENGINE.plan(&parse_query(&sql), &f.context).unwrap();
        block_on(async {
            let mut stream = ENGINE.execute(planned).await.unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
            assert!(waited.is_err(), "it has ended: {condition}: {waited:?}");
        });
        // Were the threads still busy with it, this would wait.
        let start = Instant::now();
        assert_eq!(f.value("SELECT count(n + 0) FROM numbers"), "400000");
        assert!(start.elapsed() < SOON, "{condition}: {:?}", start.elapsed());
    }
}

#[test]
fn memory_is_limited_and_sorts_spill() {
    let f = Fixture::new();
    numbers(&f, 600_000);
    let dir = tempfile::tempdir().unwrap();
    let engine = QueryEngine::new(&QueryConfig {
        memory_bytes: 32 << 20,
        spill_dir: dir.path().join("spill"),
        spill_bytes_max: 1 << 30,
        threads: 2,
    })
    .unwrap();
    let run = |sql: &str| -> Result<Vec<RecordBatch>, QueryError> {
        let planned = engine.plan(&parse_query(sql), &f.context)?;
        block_on(async { engine.execute(planned).await?.collect_all().await })
    };
    let sorted = run("SELECT n, concat('padding to make it larger ', n) FROM numbers ORDER BY 2").unwrap();
    assert_eq!(sorted.iter().map(RecordBatch::num_rows).sum::<usize>(), 600_000);
    // The table of a hash join must fit.
    let side = "(SELECT concat('padding to make it larger ', n) AS k FROM numbers)";
    let error = run(&format!("SELECT count(*) FROM {side} a JOIN {side} b ON a.k = b.k")).unwrap_err();
    assert!(matches!(error, QueryError::OutOfMemory(_)), "{error:?}");
    assert!(!error.to_string().contains("DataFusion"), "{error}");
}

#[test]
fn parameters() {
    let f = Fixture::new();
    numbers(&f, 10);
    let query = parse_query("SELECT n, ? AS p, 'x' FROM numbers WHERE n > ? LIMIT ?");
    let description = ENGINE.describe(&query, &f.context).unwrap();
    assert_eq!(description.parameters, 3);
    let names: Vec<&str> = description.columns.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["n", "p", "x"]);
    assert_eq!(description.columns.field(0).data_type(), &DataType::Int64);
    let planned = ENGINE
        .plan_with(&query, &[Value::String("it's".to_owned()), Value::Int(6), Value::Int(2)], &f.context)
        .unwrap();
    let batches = block_on(async { ENGINE.execute(planned).await.unwrap().collect_all().await }).unwrap();
    let rows: Vec<Vec<String>> = batches.iter().flat_map(super::support::rows_of).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][1], "it's");
    assert!(ENGINE.plan_with(&query, &[Value::Null], &f.context).is_err());
    assert!(ENGINE.plan(&query, &f.context).is_err());
    for value in [
        Value::Null,
        Value::Boolean(true),
        Value::Int(i64::MIN),
        Value::UInt(u64::MAX),
        Value::Double(-1.5e300),
        Value::Decimal(arrow::datatypes::i256::from_i128(-12345), 2),
        Value::Date(19_753),
        Value::DateTime(1_706_704_496_123_456),
        Value::String("a\\b'c".to_owned()),
    ] {
        let planned = ENGINE.plan_with(&parse_query("SELECT ?"), std::slice::from_ref(&value), &f.context).unwrap();
        let batches = block_on(async { ENGINE.execute(planned).await.unwrap().collect_all().await }).unwrap();
        let scalar = datafusion::common::ScalarValue::try_from_array(batches[0].column(0), 0).unwrap();
        let back = Value::from_scalar(&scalar).unwrap();
        assert_eq!(back.to_string(), value.to_string());
    }
}

#[test]
fn lone_expressions() {
    let f = Fixture::new();
    let data =
        batch(&[("Id", DataType::Int32), ("Name", DataType::Utf8)], &[&["1", "ann"], &["2", "\\N"], &["3", "cid"]]);
    let compiled = ENGINE.compile_expr(&parse_expr("ID * 2 + 1"), &data.schema(), &f.context).unwrap();
    assert_eq!(compiled.data_type(), &DataType::Int64);
    let values = compiled.evaluate(&data).unwrap();
    assert_eq!(values.as_primitive::<Int64Type>().values(), &[3, 5, 7]);
    let predicate =
        ENGINE.compile_expr(&parse_expr("name LIKE '%n%' OR id IN ('3')"), &data.schema(), &f.context).unwrap();
    let kept: Vec<Option<bool>> = predicate.evaluate_predicate(&data).unwrap().iter().collect();
    assert_eq!(kept, [Some(true), None, Some(true)]);
    assert_eq!(ENGINE.constant(&parse_expr("concat('a', 1 + 1)"), &f.context).unwrap(), Value::String("a2".to_owned()));
    assert_eq!(ENGINE.constant(&parse_expr("-1.50"), &f.context).unwrap().to_string(), "-1.50");
    let unknown = ENGINE.compile_expr(&parse_expr("nope + 1"), &data.schema(), &f.context).unwrap_err();
    assert!(matches!(unknown, QueryError::UnknownColumn { .. }), "{unknown:?}");
}

#[test]
fn plans_tell_their_tables() {
    let f = Fixture::new();
    numbers(&f, 1);
    let planned =
        ENGINE.plan(&parse_query("SELECT 1 FROM numbers a JOIN db.numbers b ON a.n = b.n"), &f.context).unwrap();
    assert_eq!(planned.tables(), [("db".to_owned(), "numbers".to_owned())]);
}

#[test]
fn long_lists_and_chains_plan() {
    let f = Fixture::new();
    numbers(&f, 100);
    let list: Vec<String> = (50..10_050).map(|n| n.to_string()).collect();
    assert_eq!(f.value(&format!("SELECT count(*) FROM numbers WHERE n IN ({})", list.join(", "))), "50");
    let quoted: Vec<String> = (50..1050).map(|n| format!("'{n}'")).collect();
    assert_eq!(f.value(&format!("SELECT count(*) FROM numbers WHERE n IN ({})", quoted.join(", "))), "50");
    let chain: Vec<String> = (0..500).map(|n| format!("n = {n}")).collect();
    assert_eq!(f.value(&format!("SELECT count(*) FROM numbers WHERE {}", chain.join(" OR "))), "100");
}

#[test]
fn planning_is_cheap() {
    let f = Fixture::new();
    numbers(&f, 1);
    let query = parse_query("SELECT n, count(*) FROM numbers WHERE n > 5 GROUP BY n ORDER BY n LIMIT 10");
    let before = cpu_time();
    for _ in 0..20 {
        ENGINE.plan(&query, &f.context).unwrap();
    }
    let each = (cpu_time() - before) / 20;
    // Generous for a debug build; a registry rebuilt for each statement would show.
    assert!(each < Duration::from_millis(50), "{each:?}");
}

/// The processor time this thread has had: what others do meanwhile on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}
