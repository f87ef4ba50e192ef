//! Functions that make much out of little, in an engine with little memory: they end their query, and nothing else.

use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::support::{Fixture, block_on, parse_query, rows_of};
use crate::query::{QueryConfig, QueryEngine, QueryError};

/// What queries may use here.
const MEMORY_BYTES: usize = 8 << 20;

/// Each of these would take a hundred times that.
const GROWING: &[&str] = &[
    "SELECT sum(length(repeat(v, 100000))) FROM t",
    "SELECT max(upper(to_base64(repeat(v, 50000)))) FROM t",
    "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 10000)))",
    "SELECT length(regexp_replace(repeat('a', 10000), '', repeat('b', 100000)))",
    "SELECT length(array_join(split(repeat('a,', 10000), ','), repeat('x', 100000)))",
    "SELECT json_array(repeat(v, 50000), repeat(v, 50000)) FROM t",
    "SELECT length(group_concat(repeat(v, 100000))) FROM t",
    // Lists double with every level, constants and columns alike.
    "WITH a AS (SELECT [1, 2, 3, 4, 5, 6, 7, 8] AS x), b AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM a), \
     c AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM b), e AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM c), \
     f AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM e), g AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM f), \
     h AS (SELECT array_concat(x, x, x, x, x, x, x, x) AS x FROM g) SELECT array_length(array_concat(x, x, x, x, x, x, x, x)) FROM h",
    "WITH a AS (SELECT [id, 2, 3, 4, 5, 6, 7, 8] AS x FROM t), b AS (SELECT [x, x, x, x, x, x, x, x] AS x FROM a), \
     c AS (SELECT [x, x, x, x, x, x, x, x] AS x FROM b), e AS (SELECT [x, x, x, x, x, x, x, x] AS x FROM c) \
     SELECT array_length([x, x, x, x, x, x, x, x]) FROM e",
];

#[test]
fn what_grows_asks_for_room_first() {
    let f = Fixture::new();
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, true), Field::new("v", DataType::Utf8, true)]);
    let ids = Int32Array::from_iter_values(0..1000);
    let texts = StringArray::from_iter_values((0..1000).map(|id| format!("row {id}")));
    f.table("t", &[RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(texts)]).unwrap()]);
    let engine = QueryEngine::new(&QueryConfig {
        memory_bytes: MEMORY_BYTES,
        spill_dir: f.dir.path().join("spill"),
        spill_bytes_max: 1 << 20,
        threads: 2,
    })
    .unwrap();
    let run = |sql: &str| {
        let planned = engine.plan(&parse_query(sql), &f.context)?;
        block_on(async { engine.execute(planned).await?.collect_all().await })
    };
    for sql in GROWING {
        let outcome = run(sql);
        assert!(
            matches!(outcome, Err(QueryError::OutOfMemory(_) | QueryError::TooLong { .. })),
            "{sql}\n  {:?}",
            outcome.map(|batches| batches.iter().map(RecordBatch::num_rows).sum::<usize>())
        );
    }
    // What is not large is in nobody's way, and everything was given back.
    let small = [
        ("SELECT sum(length(repeat(v, 100))) FROM t", "689000"),
        ("SELECT max(array_length(array_concat([id, 2], [3]))) FROM t", "3"),
        ("SELECT array_length(array_concat([1, 2], [3, 4]))", "4"),
    ];
    for (sql, expected) in small {
        let rows: Vec<_> = run(sql).unwrap().iter().flat_map(rows_of).collect();
        assert_eq!(rows, [[expected]], "{sql}");
    }
}
