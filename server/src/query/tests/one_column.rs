//! Values of different types that become one column: truth values among numbers, dates among times, the two zeros.

use arrow::datatypes::DataType;

use super::support::{DATETIME, ENGINE, Fixture, batch, block_on, check_rows, parse_query, rows_of};
use crate::query::Value;

fn truths() -> Fixture {
    let f = Fixture::new();
    let columns =
        [("k", DataType::Int32), ("b", DataType::Boolean), ("m", DataType::Decimal128(10, 2)), ("v", DataType::Utf8)];
    f.table(
        "a",
        &[batch(&columns, &[&["1", "true", "1.50", "1"], &["2", "false", "2.50", "x"], &["3", "\\N", "\\N", "\\N"]])],
    );
    f
}

#[test]
fn truth_values_are_numbers_among_numbers() {
    check_rows(
        &truths(),
        &[
            ("SELECT ifnull(b, 0) FROM a ORDER BY k", &["1", "0", "0"]),
            ("SELECT coalesce(b, 2) FROM a ORDER BY k", &["1", "0", "2"]),
            ("SELECT coalesce(b, 5e-1) FROM a ORDER BY k", &["1", "0", "0.5"]),
            ("SELECT coalesce(b, m) FROM a ORDER BY k", &["1.00", "0.00", "NULL"]),
            ("SELECT ifnull(m, b), coalesce(NULL, b, 2.5) FROM a ORDER BY k", &["1.50|1.0", "2.50|0.0", "NULL|2.5"]),
            ("SELECT sum(coalesce(b, m)) + 1, max(coalesce(b, 1.25)) FROM a", &["2.00|1.25"]),
            ("SELECT coalesce(b, CAST(1 AS DECIMAL(50, 3))) FROM a ORDER BY k", &["1.000", "0.000", "1.000"]),
            ("SELECT k FROM a WHERE coalesce(b, m) = 1", &["1"]),
            ("SELECT if(1 > 0, true, 0), if(1 < 0, true, 5)", &["1|5"]),
            ("SELECT CASE WHEN k > 1 THEN b ELSE 3 END FROM a ORDER BY k", &["3", "0", "NULL"]),
            ("SELECT CASE WHEN k > 1 THEN 3 ELSE b END + 1 FROM a ORDER BY k", &["2", "4", "4"]),
            ("SELECT CASE k WHEN 1 THEN b WHEN 2 THEN 7 END FROM a ORDER BY k", &["1", "7", "NULL"]),
            ("SELECT sum(coalesce(k > 1, 0)), sum(if(b, 1, b)) FROM a", &["2|1"]),
            ("SELECT sum(CASE WHEN b THEN true ELSE 2 END) FROM a", &["5"]),
            ("SELECT k FROM a WHERE if(k IS NULL, 0, k > 1) ORDER BY k", &["2", "3"]),
            ("SELECT k FROM a WHERE if(k IS NULL, b, 2) AND coalesce(b, 0) ORDER BY k", &["1"]),
            ("SELECT k FROM a WHERE NOT coalesce(b, 0) ORDER BY k", &["2", "3"]),
            ("SELECT k FROM a WHERE coalesce(b, 5) > 1", &["3"]),
            ("SELECT count(*) FROM a GROUP BY ifnull(b, 0) ORDER BY 1", &["1", "2"]),
            ("SELECT 1 UNION SELECT true", &["1"]),
            ("SELECT true UNION ALL SELECT 2 ORDER BY 1", &["1", "2"]),
            ("SELECT b FROM a UNION SELECT 2.5 ORDER BY 1", &["NULL", "0.0", "1.0", "2.5"]),
            ("SELECT CASE k WHEN 1 THEN b WHEN 2 THEN m END FROM a ORDER BY k", &["1.00", "2.50", "NULL"]),
            ("SELECT CAST(true AS DECIMAL(3, 1))", &["1.0"]),
            ("SELECT b FROM a UNION SELECT 25e-1 ORDER BY 1", &["NULL", "0", "1", "2.5"]),
            ("SELECT sum(x), max(x) FROM (SELECT true AS x UNION ALL SELECT 7) t", &["8|7"]),
            ("SELECT x + 1 FROM (SELECT true AS x UNION ALL SELECT 2) t WHERE x ORDER BY 1", &["2", "3"]),
            ("SELECT if(x, 'y', 'n') FROM (SELECT false AS x UNION ALL SELECT 2) t ORDER BY x", &["n", "y"]),
            ("SELECT x FROM (SELECT false AS x UNION ALL SELECT 2) t WHERE NOT x OR x AND x > 2", &["0"]),
            ("SELECT x FROM (VALUES (true), (2), (NULL)) t (x) ORDER BY x", &["NULL", "1", "2"]),
            ("SELECT x FROM (VALUES (true), (false)) t (x) WHERE x", &["1"]),
            ("SELECT x FROM (VALUES (true), (25e-1)) t (x) ORDER BY x", &["1", "2.5"]),
            ("SELECT [true, 2]", &["[1,2]"]),
            ("SELECT lag(k, 1, false) OVER (ORDER BY k) FROM a ORDER BY k", &["0", "1", "2"]),
            ("SELECT true INTERSECT SELECT 1", &["1"]),
            ("SELECT k FROM a EXCEPT SELECT b FROM a ORDER BY 1", &["2", "3"]),
        ],
    );
}

#[test]
fn in_of_a_subquery_compares_as_the_operator_does() {
    check_rows(
        &truths(),
        &[
            ("SELECT k FROM a WHERE b IN (SELECT 1)", &["1"]),
            ("SELECT k FROM a WHERE b NOT IN (SELECT 1)", &["2"]),
            ("SELECT k FROM a WHERE k IN (SELECT b FROM a)", &["1"]),
            ("SELECT k FROM a WHERE k NOT IN (SELECT b FROM a WHERE b IS NOT NULL) ORDER BY k", &["2", "3"]),
            ("SELECT k FROM a WHERE k IN (SELECT v FROM a)", &["1"]),
            ("SELECT k FROM a WHERE v IN (SELECT k FROM a)", &["1"]),
            ("SELECT k FROM a WHERE k NOT IN (SELECT v FROM a WHERE v = '1') ORDER BY k", &["2", "3"]),
            ("SELECT k FROM a o WHERE k IN (SELECT v FROM a i WHERE i.k = o.k)", &["1"]),
        ],
    );
}

/// 9999-12-31 is beyond what nanoseconds of 64 bits can say.
fn validity() -> Fixture {
    let f = Fixture::new();
    f.table(
        "sc",
        &[batch(
            &[("id", DataType::Int32), ("valid_to", DATETIME), ("ended", DataType::Date32)],
            &[
                &["1", "9999-12-31 00:00:00", "\\N"],
                &["2", "\\N", "2022-01-01"],
                &["3", "1000-01-01 00:00:01", "9999-12-31"],
            ],
        )],
    );
    f
}

#[test]
fn dates_and_times_of_any_year_become_one_column() {
    check_rows(
        &validity(),
        &[
            ("SELECT coalesce(DATE '9999-12-31', now())", &["9999-12-31 00:00:00"]),
            (
                "SELECT ifnull(ended, valid_to) FROM sc ORDER BY id",
                &["9999-12-31 00:00:00", "2022-01-01 00:00:00", "9999-12-31 00:00:00"],
            ),
            (
                "SELECT coalesce(valid_to, ended) FROM sc ORDER BY id",
                &["9999-12-31 00:00:00", "2022-01-01 00:00:00", "1000-01-01 00:00:01"],
            ),
            ("SELECT id FROM sc WHERE coalesce(ended, valid_to) > '2021-01-01' ORDER BY id", &["1", "2", "3"]),
            ("SELECT id FROM sc WHERE coalesce(valid_to, ended) < '2022-01-01 00:00:01' ORDER BY id", &["2", "3"]),
            (
                "SELECT if(id = 1, valid_to, ended) FROM sc ORDER BY id",
                &["9999-12-31 00:00:00", "2022-01-01 00:00:00", "9999-12-31 00:00:00"],
            ),
            (
                "SELECT CASE WHEN id = 2 THEN ended ELSE valid_to END FROM sc ORDER BY id",
                &["9999-12-31 00:00:00", "2022-01-01 00:00:00", "1000-01-01 00:00:01"],
            ),
            (
                "SELECT ended FROM sc WHERE id = 3 UNION ALL SELECT valid_to FROM sc WHERE id = 3 ORDER BY 1",
                &["1000-01-01 00:00:01", "9999-12-31 00:00:00"],
            ),
            (
                "SELECT v FROM (VALUES (DATE '9999-12-31'), (TIMESTAMP '1000-01-01 00:00:01')) t (v) ORDER BY v",
                &["1000-01-01 00:00:01", "9999-12-31 00:00:00"],
            ),
            ("SELECT id FROM sc WHERE valid_to IN (SELECT ended FROM sc)", &["1"]),
            ("SELECT id FROM sc WHERE ended IN (SELECT valid_to FROM sc)", &["3"]),
            ("SELECT id FROM sc WHERE ended IN (SELECT '2022-01-01')", &["2"]),
            ("SELECT x.id, y.id FROM sc x JOIN sc y ON x.valid_to = y.ended", &["1|3"]),
            ("SELECT ended FROM sc INTERSECT SELECT valid_to FROM sc ORDER BY 1", &["NULL", "9999-12-31"]),
            (
                "SELECT [DATE '9999-12-31', valid_to] FROM sc WHERE id = 3",
                &["[\"9999-12-31 00:00:00\",\"1000-01-01 00:00:01\"]"],
            ),
            ("SELECT if(id = 2, ended, 0) FROM sc ORDER BY id", &["0", "2022-01-01", "0"]),
        ],
    );
}

#[test]
fn zero_has_no_sign() {
    let f = Fixture::new();
    f.table(
        "g",
        &[batch(&[("k", DataType::Int32), ("f", DataType::Float64)], &[&["1", "-0.0"], &["2", "0"], &["3", "-2"]])],
    );
    check_rows(
        &f,
        &[
            ("SELECT k FROM g WHERE f = 0 ORDER BY k", &["1", "2"]),
            ("SELECT k FROM g WHERE f < 0", &["3"]),
            ("SELECT f, count(*) FROM g GROUP BY f ORDER BY f", &["-2|1", "0|2"]),
            ("SELECT DISTINCT f * -1e0 FROM g ORDER BY 1", &["0", "2"]),
            ("SELECT k FROM g WHERE -f = 0 ORDER BY k", &["1", "2"]),
            ("SELECT 0 * -1e0, 0 * -1e0 = 0, -0e0, 1e0 * -0e0", &["0|1|0|0"]),
            ("SELECT 0e0 / -1e0, -4e0 % 2e0, round(-0.4e0), truncate(-0.4e0, 0), pow(-1e-200, 3)", &["0|0|0|0|0"]),
            ("SELECT log2(1), CAST('-0' AS DOUBLE), CAST('-0.0' AS FLOAT), '-0' + 0", &["0|0|0|0"]),
            ("SELECT x.k, y.k FROM g x JOIN g y ON x.f * -1e0 = y.f ORDER BY 1, 2", &["1|1", "1|2", "2|1", "2|2"]),
            ("SELECT k FROM g WHERE f IN (0e0 * -1) ORDER BY k", &["1", "2"]),
            ("SELECT 2e0 * 3, 2e0 * NULL, k * 1.5e0 FROM g ORDER BY k", &["6|NULL|1.5", "6|NULL|3", "6|NULL|4.5"]),
        ],
    );
    let query = parse_query("SELECT k FROM g WHERE f = ? ORDER BY k");
    let planned = ENGINE.plan_with(&query, &[Value::Double(-0.0)], &f.context).unwrap();
    let batches = block_on(async { ENGINE.execute(planned).await?.collect_all().await }).unwrap();
    assert_eq!(batches.iter().flat_map(rows_of).collect::<Vec<_>>(), [["1"], ["2"]]);
}

#[test]
fn only_the_first_select_of_a_union_names_columns() {
    let f = truths();
    check_rows(
        &f,
        &[
            ("SELECT * FROM (SELECT 1 x, 2 y UNION ALL SELECT k, k FROM a WHERE k > 2) z ORDER BY x", &["1|2", "3|3"]),
            (
                "WITH z AS (SELECT 1 x, 2 y UNION ALL SELECT a.k, k FROM a WHERE k = 3 UNION ALL SELECT k AS q, 9 AS q FROM a WHERE k = 2) SELECT y, x FROM z ORDER BY x",
                &["2|1", "9|2", "3|3"],
            ),
            ("SELECT * FROM (SELECT k, v FROM a EXCEPT SELECT k, k FROM a) z ORDER BY k", &["2|x", "3|NULL"]),
            ("SELECT * FROM (SELECT k x, k + 1 y FROM a INTERSECT SELECT 1, 2 FROM a) z", &["1|2"]),
            (
                "SELECT * FROM (SELECT 1 a, 2 b, 3 c UNION ALL (SELECT k, k, k FROM a ORDER BY k DESC LIMIT 1)) z ORDER BY 1",
                &["1|2|3", "3|3|3"],
            ),
            (
                "SELECT * FROM (SELECT 0 w, 1 k, true b, 2 m, 3 v UNION ALL SELECT k, a.* FROM a WHERE k = 1) z ORDER BY w",
                &["0|1|1|2.00|3", "1|1|1|1.50|1"],
            ),
        ],
    );
    let error = f.try_query("SELECT * FROM (SELECT k, k FROM a UNION ALL SELECT 1, 2) z").unwrap_err();
    assert!(error.to_string().contains("Duplicate column name"), "{error}");
}

#[test]
fn order_by_takes_a_column_with_its_table_for_the_column() {
    let f = Fixture::new();
    f.table("z", &[batch(&[("a", DataType::Int32), ("b", DataType::Int32)], &[&["1", "6"], &["2", "5"], &["3", "4"]])]);
    check_rows(
        &f,
        &[
            ("SELECT a + 1 AS a FROM z ORDER BY z.a DESC", &["4", "3", "2"]),
            ("SELECT -a AS a FROM z ORDER BY z.a", &["-1", "-2", "-3"]),
            ("SELECT -a AS a FROM z ORDER BY a", &["-3", "-2", "-1"]),
            ("SELECT b AS a FROM z ORDER BY z.a", &["6", "5", "4"]),
            ("SELECT b AS A FROM z ORDER BY z.A DESC", &["4", "5", "6"]),
            ("SELECT b AS a, 1 FROM z ORDER BY z.a % 2, a", &["5|1", "4|1", "6|1"]),
            ("SELECT z.a AS a FROM z ORDER BY z.a DESC", &["3", "2", "1"]),
            ("SELECT x.a AS a FROM z x JOIN z y ON x.a = y.b - 3 ORDER BY y.a", &["3", "2", "1"]),
            ("SELECT a % 2 AS a, count(*) FROM z GROUP BY z.a ORDER BY z.a DESC", &["1|1", "0|1", "1|1"]),
            ("SELECT *, -a AS a FROM z ORDER BY z.a DESC", &["3|4|-3", "2|5|-2", "1|6|-1"]),
        ],
    );
    assert_eq!(f.headers("SELECT a + 1 AS A FROM z ORDER BY z.a"), ["A"]);
    assert_eq!(f.headers("SELECT *, a + 1 AS B FROM z ORDER BY z.b"), ["a", "b", "B"]);
}

#[test]
fn an_aggregate_that_is_no_window_function_says_so() {
    let error = truths().try_query("SELECT group_concat(k) OVER (ORDER BY k) FROM a").unwrap_err();
    assert!(error.to_string().starts_with("Function group_concat is no window function"), "{error}");
}

#[test]
fn a_union_of_three_has_the_type_of_all_three() {
    let f = truths();
    check_rows(
        &f,
        &[
            ("SELECT 1.5 x UNION ALL SELECT 1e-20 UNION ALL SELECT 1e-20 ORDER BY 1", &["1e-20", "1e-20", "1.5"]),
            ("SELECT 1.5 x UNION ALL SELECT 1e300 UNION ALL SELECT 1e300 ORDER BY 1", &["1.5", "1e300", "1e300"]),
            ("SELECT NULL x UNION ALL SELECT 1.5 UNION ALL SELECT 2.5e0 ORDER BY 1", &["NULL", "1.5", "2.5"]),
            ("SELECT true UNION SELECT 2 UNION SELECT 3 ORDER BY 1", &["1", "2", "3"]),
            ("SELECT 1 = 1 UNION ALL SELECT 0 UNION ALL SELECT 7 ORDER BY 1", &["0", "1", "7"]),
            (
                "SELECT x FROM (SELECT true x UNION ALL SELECT 2 UNION ALL SELECT 3.5 UNION ALL SELECT 4e0) z ORDER BY x",
                &["1", "2", "3.5", "4"],
            ),
        ],
    );
}
