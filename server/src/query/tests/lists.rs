//! Several conditions on one value: IN, NOT IN and equalities beside each other, with NULL in lists and columns.

use arrow::datatypes::{DataType, Schema};

use super::support::{ENGINE, Fixture, batch, check_rows, parse_expr};

const COLUMNS: [(&str, DataType); 3] = [("a", DataType::Int32), ("b", DataType::Int32), ("c", DataType::Int32)];

fn table() -> Fixture {
    let f = Fixture::new();
    let rows: [&[&str]; 4] = [&["1", "1", "1"], &["2", "5", "2"], &["\\N", "1", "1"], &["4", "4", "\\N"]];
    f.table("t", &[batch(&COLUMNS, &rows)]);
    f
}

#[test]
fn a_null_in_a_list_stays_there() {
    check_rows(
        &table(),
        &[
            ("SELECT a FROM t WHERE a NOT IN (NULL) AND a IN (NULL, 2)", &[]),
            ("SELECT a FROM t WHERE a IN (NULL, 2) AND a NOT IN (NULL, 7)", &[]),
            ("SELECT a FROM t WHERE a IN (1, 2, 3, 4, 5) AND a NOT IN (1, NULL, 7, 8, 9)", &[]),
            ("SELECT a FROM t WHERE a NOT IN (1, 2 + NULL, 7, 8, 9) AND a IN (1, 2, 3, 4, nullif(1, 1))", &[]),
            ("SELECT a FROM t WHERE a = 2 AND a NOT IN (NULL)", &[]),
            ("SELECT a FROM t WHERE NOT (a IN (NULL, 2) AND a IN (3, 4)) ORDER BY a", &["1", "2"]),
            ("SELECT a FROM t WHERE NOT (a IN (NULL, 2) OR a NOT IN (1, 2)) ORDER BY a", &[]),
            ("SELECT a FROM t WHERE a IN (NULL, 2) AND a IN (2, 4)", &["2"]),
            ("SELECT a FROM t WHERE a IN (NULL, 2) OR a = 4 ORDER BY a", &["2", "4"]),
            ("SELECT a IN (NULL, 2) AND a NOT IN (NULL, 2) FROM t ORDER BY a", &["NULL", "NULL", "0", "NULL"]),
        ],
    );
}

#[test]
fn conditions_without_a_common_value_are_unknown_of_null() {
    check_rows(
        &table(),
        &[
            ("SELECT a FROM t WHERE a NOT IN (1, 2) OR a NOT IN (3, 4) ORDER BY a", &["1", "2", "4"]),
            ("SELECT a FROM t WHERE NOT (a IN (1, 2, 7, 8) AND a IN (3, 4, 5, 6)) ORDER BY a", &["1", "2", "4"]),
            ("SELECT a FROM t WHERE NOT ((a = 1 OR a = 2) AND (a = 3 OR a = 4)) ORDER BY a", &["1", "2", "4"]),
            ("SELECT a FROM t WHERE NOT (a = 1 OR a = 2) OR NOT (a = 3 OR a = 4) ORDER BY a", &["1", "2", "4"]),
            ("SELECT b FROM t WHERE (a IN (1) AND a IN (2)) IS NULL", &["1"]),
            ("SELECT a IN (1, 2) AND a NOT IN (1, 2) FROM t ORDER BY a", &["NULL", "0", "0", "0"]),
            ("SELECT (a = 1 OR a = 2) AND a IN (3, 4) AS x FROM t GROUP BY 1 ORDER BY x", &["NULL", "0"]),
            ("SELECT sum(CASE WHEN a NOT IN (1, 2) OR a NOT IN (3) THEN 1 ELSE 0 END) FROM t", &["3"]),
        ],
    );
}

#[test]
fn items_that_are_not_constants_may_be_equal() {
    check_rows(
        &table(),
        &[
            ("SELECT a FROM t WHERE a IN (b, 7) AND a IN (c, 8)", &["1"]),
            ("SELECT a FROM t WHERE a IN (b, 7) AND a NOT IN (c, 8)", &[]),
            ("SELECT a FROM t WHERE a NOT IN (b, 7) OR a NOT IN (c, 8) ORDER BY a", &["2"]),
            ("SELECT a FROM t WHERE a + 0 IN (b, 7) AND a + 0 IN (c, 8)", &["1"]),
        ],
    );
}

#[test]
fn what_is_one_list_still_becomes_one() {
    let f = table();
    let plan = f.explain("SELECT a FROM t WHERE (a = 1 OR a IN (2, 3) OR a = 4) AND a NOT IN (3, 4, 5, 6)");
    assert!(plan.contains("IN (SET) ([1, 2, 3, 4])"), "{plan}");
    check_rows(
        &f,
        &[
            ("SELECT a FROM t WHERE (a = 1 OR a IN (2, 3) OR a = 4) AND a NOT IN (3, 4, 5, 6) ORDER BY a", &["1", "2"]),
            ("SELECT a FROM t WHERE a NOT IN (1, 7, 8, 9) AND a NOT IN (2, 7) AND NOT a = 5", &["4"]),
            ("SELECT (a = 1 OR a = 2) FROM t ORDER BY a", &["NULL", "1", "1", "0"]),
        ],
    );
    assert_eq!(f.headers("SELECT a IN (1) AND a IN (2) FROM t"), ["a IN (1) AND a IN (2)"]);
}

#[test]
fn lone_expressions_know_null_too() {
    let f = table();
    let rows = batch(&COLUMNS, &[&["1", "1", "1"], &["2", "5", "2"], &["\\N", "1", "1"]]);
    let schema: Schema = rows.schema().as_ref().clone();
    let kept = |sql: &str| {
        let compiled = ENGINE.compile_expr(&parse_expr(sql), &schema, &f.context).unwrap();
        compiled.evaluate_predicate(&rows).unwrap().iter().map(|value| value == Some(true)).collect::<Vec<_>>()
    };
    assert_eq!(kept("a NOT IN (NULL) AND a IN (NULL, 2)"), [false, false, false]);
    assert_eq!(kept("a NOT IN (1, 2) OR a NOT IN (3, 4)"), [true, true, false]);
    assert_eq!(kept("a IN (b, 7) AND a IN (c, 8)"), [true, false, false]);
    assert_eq!(kept("a IN (1, 2) AND a NOT IN (2, 3)"), [true, false, false]);
}
