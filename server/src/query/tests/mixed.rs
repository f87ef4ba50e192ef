//! Values of different types in one place: a DOUBLE beside a decimal is a DOUBLE, anything beside a text is a text.

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch, check_rows};

fn numbers() -> Fixture {
    let f = Fixture::new();
    let columns = [
        ("k", DataType::Int32),
        ("d", DataType::Float64),
        ("x", DataType::Float32),
        ("m", DataType::Decimal128(10, 2)),
    ];
    f.table(
        "g",
        &[batch(
            &columns,
            &[
                &["1", "1e-20", "1e-20", "1.50"],
                &["2", "-1e-20", "1e-9", "0.10"],
                &["3", "0", "0", "0"],
                &["4", "0.1", "0.5", "0.10"],
                &["5", "3.0000000000000004", "3", "3"],
            ],
        )],
    );
    // Beyond what the digits of a decimal common type would hold.
    f.table(
        "big",
        &[batch(&columns, &[&["1", "1e20", "1e9", "2.50"], &["2", "2.5", "2.5", "2.50"], &["3", "\\N", "\\N", "\\N"]])],
    );
    f
}

#[test]
fn a_double_and_a_decimal_are_compared_as_doubles() {
    check_rows(
        &numbers(),
        &[
            ("SELECT k FROM g WHERE d > 0.0 ORDER BY k", &["1", "4", "5"]),
            ("SELECT k FROM g WHERE d = 0.0", &["3"]),
            ("SELECT k FROM g WHERE 0.0 > d", &["2"]),
            ("SELECT k FROM g WHERE x = 0.0", &["3"]),
            ("SELECT k FROM g WHERE x = 0.5", &["4"]),
            ("SELECT k FROM g WHERE x > 0.0 ORDER BY k", &["1", "2", "4", "5"]),
            ("SELECT k FROM g WHERE d = 0.1", &["4"]),
            ("SELECT k FROM g WHERE d = 3.0", &[]),
            ("SELECT k FROM g WHERE d BETWEEN 0.0 AND 0.1 ORDER BY k", &["1", "3", "4"]),
            ("SELECT k FROM g WHERE d IN (0.0, 0.1) ORDER BY k", &["3", "4"]),
            ("SELECT k FROM g WHERE d NOT IN (0.0, 0.1) ORDER BY k", &["1", "2", "5"]),
            ("SELECT k FROM g WHERE d = m ORDER BY k", &["3", "4"]),
            ("SELECT k FROM g WHERE CASE d WHEN 0.0 THEN 1 ELSE 0 END = 1", &["3"]),
            ("SELECT k FROM g WHERE d IN (SELECT m FROM g) ORDER BY k", &["3", "4"]),
            ("SELECT k FROM g WHERE d NOT IN (SELECT m FROM g) ORDER BY k", &["1", "2", "5"]),
            ("SELECT l.k, r.k FROM g l JOIN g r ON l.d = r.m ORDER BY 1, 2", &["3|3", "4|2", "4|4"]),
            ("SELECT d FROM g WHERE k > 2 INTERSECT SELECT m FROM g ORDER BY 1", &["0", "0.1"]),
            ("SELECT k FROM big WHERE d > 5.5", &["1"]),
            ("SELECT k FROM big WHERE x > 1.05 ORDER BY k", &["1", "2"]),
            ("SELECT k FROM big WHERE d < (SELECT max(m) FROM big) + 0.5", &["2"]),
            ("SELECT k FROM big WHERE m < 1e30 ORDER BY k", &["1", "2"]),
            ("SELECT l.k FROM big l JOIN big r ON l.d = r.m AND r.k = 2", &["2"]),
            ("SELECT count(*) FROM big l JOIN big r ON l.d >= r.m", &["4"]),
            ("SELECT k FROM big WHERE d <=> 2.5", &["2"]),
        ],
    );
}

#[test]
fn a_double_beside_a_decimal_stays_a_double() {
    check_rows(
        &numbers(),
        &[
            ("SELECT CASE WHEN k > 0 THEN d ELSE 1.5 END FROM big ORDER BY k", &["1e20", "2.5", "NULL"]),
            ("SELECT if(k = 1, x, 2.5) FROM big ORDER BY k", &["1000000000", "2.5", "2.5"]),
            ("SELECT coalesce(d, 1.5) FROM big ORDER BY k", &["1e20", "2.5", "1.5"]),
            ("SELECT ifnull(x, 0.5) FROM big ORDER BY k", &["1000000000", "2.5", "0.5"]),
            ("SELECT nullif(d, 2.5) FROM big ORDER BY k", &["1e20", "NULL", "NULL"]),
            ("SELECT d FROM big WHERE k = 1 UNION ALL SELECT m FROM big WHERE k = 2 ORDER BY 1", &["2.5", "1e20"]),
            ("SELECT m FROM big WHERE k = 2 UNION ALL SELECT d FROM big WHERE k = 1 ORDER BY 1", &["2.5", "1e20"]),
            ("SELECT d * 1.5, d + 0.5, d / 0.5, d % 1.5 FROM big WHERE k = 2", &["3.75|3|5|1"]),
            ("SELECT d - 0.5 > 1.0, x + 1.5 FROM big ORDER BY k", &["1|1000000001.5", "1|4", "NULL|NULL"]),
            ("SELECT greatest(d, 1.5), least(1.5, d) FROM big WHERE k = 1", &["1e20|1.5"]),
            ("SELECT sum(v) FROM (SELECT d AS v FROM big UNION ALL SELECT 0.5) s WHERE v < 3.5", &["3"]),
        ],
    );
}

#[test]
fn zones_prune_doubles_by_decimal_literals() {
    let f = Fixture::new();
    let columns = [("d", DataType::Float64), ("x", DataType::Float32)];
    f.table("z", &[batch(&columns, &[&["1", "1"], &["2", "2"]]), batch(&columns, &[&["10", "10"], &["20", "20"]])]);
    for predicate in ["d > 5.5", "x > 5.5", "x > 5.1", "d = 10.0", "x BETWEEN 9.9 AND 11.5", "d IN (10.0, 11.5)"] {
        let plan = f.explain(&format!("SELECT d FROM z WHERE {predicate}"));
        assert!(plan.contains("segments=1/2"), "{predicate}\n{plan}");
    }
}

#[test]
fn a_value_that_a_filter_cannot_compute_is_no_corrupt_data() {
    let f = Fixture::new();
    f.table("b", &[batch(&[("n", DataType::Int64)], &[&["9223372036854775807"]])]);
    let error = f.try_query("SELECT n FROM b WHERE n * 2 > 5").unwrap_err();
    assert!(matches!(error, crate::query::QueryError::OutOfRange(_)), "{error:?}");
    assert!(error.to_string().contains("BIGINT value is out of range in"), "{error}");
}

#[test]
fn the_first_that_is_not_null_beside_a_text_is_a_text() {
    let f = Fixture::new();
    f.table(
        "t",
        &[batch(
            &[
                ("b", DataType::Int32),
                ("c", DataType::Utf8),
                ("d", DataType::Date32),
                ("at", DATETIME),
                ("ok", DataType::Boolean),
            ],
            &[&["1", "x", "2024-01-31", "2024-01-31 10:00:00", "true"], &["\\N", "\\N", "\\N", "\\N", "\\N"]],
        )],
    );
    check_rows(
        &f,
        &[
            ("SELECT ifnull(b, 'none') FROM t ORDER BY b", &["none", "1"]),
            ("SELECT nvl(b, 'none'), coalesce(b, c, 'none') FROM t ORDER BY b", &["none|none", "1|1"]),
            ("SELECT ifnull(c, 0) FROM t ORDER BY b", &["0", "x"]),
            (
                "SELECT ifnull(d, 'none'), ifnull(at, 'none') FROM t ORDER BY b",
                &["none|none", "2024-01-31|2024-01-31 10:00:00"],
            ),
            ("SELECT ifnull(CAST(NULL AS DATE), 'none')", &["none"]),
            ("SELECT coalesce(d, at) FROM t ORDER BY b", &["NULL", "2024-01-31 00:00:00"]),
            ("SELECT ifnull(ok, 'none') FROM t ORDER BY b", &["none", "1"]),
            (
                "SELECT if(b = 1, at, 'none'), CASE WHEN b = 1 THEN d ELSE 'none' END FROM t ORDER BY b",
                &["none|none", "2024-01-31 10:00:00|2024-01-31"],
            ),
            ("SELECT concat(ifnull(b, '-'), '!') FROM t ORDER BY b", &["-!", "1!"]),
            ("SELECT ifnull(b, '-') v, count(*) FROM t GROUP BY v ORDER BY v", &["-|1", "1|1"]),
            ("SELECT b FROM t WHERE ifnull(b, '-') = '-'", &["NULL"]),
            ("SELECT ifnull(b, 0) + 1 FROM t ORDER BY b", &["1", "2"]),
            ("SELECT ifnull(b, 0.5), ifnull(sum(b), 0) FROM t GROUP BY b ORDER BY b", &["0.5|0", "1.0|1"]),
        ],
    );
}

#[test]
fn rows_of_values_have_one_type() {
    check_rows(
        &Fixture::new(),
        &[
            ("SELECT v FROM (VALUES (1.5), (1e20), (2)) AS x (v) ORDER BY v", &["1.5", "2", "1e20"]),
            ("SELECT sum(v * 2) + 0.5 FROM (VALUES (1.5), (1e0)) AS x (v)", &["5.5"]),
            ("SELECT v FROM (VALUES ('a'), (1.5), (NULL)) AS x (v) ORDER BY v", &["NULL", "1.5", "a"]),
            ("SELECT v FROM (VALUES (1), (1.5)) AS x (v) ORDER BY v", &["1.0", "1.5"]),
            (
                "SELECT v, w FROM (VALUES (1 + 1, 'b'), (CAST('2.5' AS DOUBLE), 3)) AS x (v, w) ORDER BY v",
                &["2|b", "2.5|3"],
            ),
            (
                "SELECT v FROM (VALUES (1.5), (2)) AS x (v) UNION ALL VALUES (1e20), (0.5) ORDER BY v",
                &["0.5", "1.5", "2", "1e20"],
            ),
            ("SELECT count(*) FROM (VALUES (DATE '2024-01-31'), (NULL)) AS x (v) WHERE v > '2024-01-01'", &["1"]),
        ],
    );
}

#[test]
fn any_and_all_compare_as_their_operator_does() {
    check_rows(
        &numbers(),
        &[
            ("SELECT k FROM big WHERE d = ANY (SELECT m FROM big) ORDER BY k", &["2"]),
            ("SELECT k FROM big WHERE m = ANY (SELECT d FROM big) ORDER BY k", &["1", "2"]),
            ("SELECT k FROM big WHERE d <> ALL (SELECT m FROM big WHERE m > 1)", &["1"]),
            ("SELECT k FROM big WHERE d <> ALL (SELECT m FROM big)", &[]),
            ("SELECT k FROM big WHERE d > ALL (SELECT m FROM big WHERE m > 1)", &["1"]),
            ("SELECT k FROM big WHERE d > ALL (SELECT m FROM big)", &[]),
            ("SELECT k FROM big WHERE d >= ANY (SELECT m FROM big) ORDER BY k", &["1", "2"]),
            ("SELECT k FROM big WHERE k < ALL (SELECT k FROM g WHERE k > 2) ORDER BY k", &["1", "2"]),
            (
                "SELECT k FROM big b WHERE k <= SOME (SELECT g.k FROM g WHERE g.k < b.k + 1) ORDER BY k",
                &["1", "2", "3"],
            ),
        ],
    );
}

#[test]
fn lag_and_lead_take_a_default_of_another_type() {
    check_rows(
        &numbers(),
        &[
            ("SELECT lag(d, 1, 1.5) OVER (ORDER BY k) FROM big ORDER BY k", &["1.5", "1e20", "2.5"]),
            ("SELECT lag(x, 1, 0.5) OVER (ORDER BY k) FROM big ORDER BY k", &["0.5", "1000000000", "2.5"]),
            ("SELECT lag(m, 1, 1e20) OVER (ORDER BY k) FROM big ORDER BY k", &["1e20", "2.5", "2.5"]),
            ("SELECT lead(k, 1, 1.5) OVER (ORDER BY k) FROM big ORDER BY k", &["2.0", "3.0", "1.5"]),
            ("SELECT lead(k, 1, 'x') OVER (ORDER BY k) FROM big ORDER BY k", &["2", "3", "x"]),
            ("SELECT lead(k, 1, '7') OVER (ORDER BY k) + 1 FROM big ORDER BY k", &["3", "4", "8"]),
            ("SELECT lead(k, 1, NULL) OVER (ORDER BY k) FROM big ORDER BY k", &["2", "3", "NULL"]),
        ],
    );
}

#[test]
fn items_of_an_array_have_one_type() {
    check_rows(
        &numbers(),
        &[
            ("SELECT [1.5, 1e20]", &["[1.5,1e20]"]),
            ("SELECT array_max([d, m]) FROM big WHERE k = 1", &["1e20"]),
            ("SELECT [1, 'a']", &["[\"1\",\"a\"]"]),
        ],
    );
}
