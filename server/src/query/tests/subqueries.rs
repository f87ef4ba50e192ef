//! Subqueries outside of WHERE, and correlated ones whose rows are not all there is to know.

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch, check_rows};

fn tables() -> Fixture {
    let f = Fixture::new();
    let int = DataType::Int32;
    let columns = |a, b| [(a, DataType::Int32), (b, DataType::Int32)];
    let pair = columns("k", "b");
    f.table(
        "t",
        &[batch(&columns("k", "a"), &[&["1", "10"], &["2", "20"], &["3", "30"], &["4", "\\N"], &["\\N", "50"]])],
    );
    f.table("u", &[batch(&pair, &[&["1", "100"], &["1", "110"], &["2", "200"], &["5", "500"], &["\\N", "900"]])]);
    // One row a key.
    f.table("v", &[batch(&pair, &[&["1", "7"], &["3", "9"], &["4", "\\N"]])]);
    f.table("none", &[batch(&pair, &[])]);
    f.table("keys", &[batch(&[("k", int)], &[&["1"], &["3"]])]);
    f
}

#[test]
fn values_in_select_lists() {
    check_rows(
        &tables(),
        &[
            ("SELECT k, (SELECT max(b) FROM u) FROM t WHERE k < 3 ORDER BY k", &["1|900", "2|900"]),
            (
                "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k) FROM t ORDER BY k",
                &["NULL|NULL", "1|110", "2|200", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT count(*) FROM u WHERE u.k = t.k) FROM t ORDER BY k",
                &["NULL|0", "1|2", "2|1", "3|0", "4|0"],
            ),
            (
                "SELECT k, (SELECT count(*) FROM u WHERE u.k = t.k GROUP BY u.k) FROM t ORDER BY k",
                &["NULL|NULL", "1|2", "2|1", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k LIMIT 1) FROM t WHERE k < 4 ORDER BY k",
                &["1|110", "2|200", "3|NULL"],
            ),
            // Not aggregated, and with one row.
            (
                "SELECT k, (SELECT b FROM v WHERE v.k = t.k) FROM t ORDER BY k",
                &["NULL|NULL", "1|7", "2|NULL", "3|9", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT b + 1 FROM v WHERE v.k = t.k) * 2 FROM t WHERE k < 4 ORDER BY k",
                &["1|16", "2|NULL", "3|20"],
            ),
            (
                "SELECT k, (SELECT DISTINCT k FROM u WHERE u.k = t.k) FROM t WHERE k < 4 ORDER BY k",
                &["1|1", "2|2", "3|NULL"],
            ),
            ("SELECT k FROM t WHERE (SELECT b FROM v WHERE v.k = t.k) > 7", &["3"]),
            ("SELECT k FROM t WHERE (SELECT b FROM v WHERE v.k = t.k) IS NULL ORDER BY k", &["NULL", "2", "4"]),
            // Several rows, of which nobody asks for more than one.
            (
                "SELECT k, (SELECT b FROM u WHERE u.k = t.k) FROM t WHERE k > 1 ORDER BY k",
                &["2|200", "3|NULL", "4|NULL"],
            ),
            ("SELECT k FROM t WHERE k = 2 AND (SELECT b FROM u WHERE u.k = t.k) = 200", &["2"]),
            (
                "SELECT k, (SELECT count(*) FROM u WHERE u.k % 4 = t.k) FROM t ORDER BY k",
                &["NULL|0", "1|3", "2|1", "3|0", "4|0"],
            ),
            (
                "SELECT k, (SELECT b FROM u WHERE u.k = t.k ORDER BY b DESC LIMIT 1) FROM t ORDER BY k",
                &["NULL|NULL", "1|110", "2|200", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT k FROM u WHERE u.k = t.k ORDER BY b LIMIT 1) FROM t WHERE k < 4 ORDER BY k",
                &["1|1", "2|2", "3|NULL"],
            ),
            (
                "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k GROUP BY b % 7) FROM t WHERE k > 1 ORDER BY k",
                &["2|200", "3|NULL", "4|NULL"],
            ),
        ],
    );
    let f = tables();
    for sql in [
        "SELECT k, (SELECT b FROM u WHERE u.k = t.k) FROM t",
        "SELECT k FROM t WHERE (SELECT b FROM u WHERE u.k = t.k) = 100",
        "SELECT k, (SELECT b FROM u WHERE u.k = t.k LIMIT 2) FROM t",
        "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k GROUP BY b) FROM t",
        "SELECT k, (SELECT b FROM u) FROM t",
    ] {
        assert!(f.error(sql).contains("Subquery returns more than 1 row"), "{sql}: {}", f.error(sql));
    }
}

#[test]
fn having_decides_about_the_value() {
    check_rows(
        &tables(),
        &[
            (
                "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k HAVING count(*) = 0) FROM t ORDER BY k",
                &["NULL|NULL", "1|NULL", "2|NULL", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT max(b) FROM u WHERE u.k = t.k HAVING count(*) > 1) FROM t ORDER BY k",
                &["NULL|NULL", "1|110", "2|NULL", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT k, (SELECT count(*) FROM u WHERE u.k = t.k HAVING count(*) <> 1) FROM t ORDER BY k",
                &["NULL|0", "1|2", "2|NULL", "3|0", "4|0"],
            ),
            (
                "SELECT k, (SELECT count(*) FROM u WHERE u.k = t.k HAVING max(b) > 150) FROM t ORDER BY k",
                &["NULL|NULL", "1|NULL", "2|1", "3|NULL", "4|NULL"],
            ),
        ],
    );
}

#[test]
fn exists_and_in_as_values() {
    check_rows(
        &tables(),
        &[
            (
                "SELECT k, EXISTS (SELECT 1 FROM u WHERE u.k = t.k) FROM t ORDER BY k",
                &["NULL|0", "1|1", "2|1", "3|0", "4|0"],
            ),
            (
                "SELECT k, NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k) x FROM t WHERE k < 4 ORDER BY k",
                &["1|0", "2|0", "3|1"],
            ),
            ("SELECT k, EXISTS (SELECT 1 FROM none), EXISTS (SELECT 1 FROM u) FROM t WHERE k = 1", &["1|0|1"]),
            ("SELECT k, k IN (SELECT k FROM u) FROM t ORDER BY k", &["NULL|NULL", "1|1", "2|1", "3|NULL", "4|NULL"]),
            ("SELECT k, k NOT IN (SELECT k FROM keys) FROM t ORDER BY k", &["NULL|NULL", "1|0", "2|1", "3|0", "4|1"]),
            (
                "SELECT k, k IN (SELECT k FROM none), k NOT IN (SELECT k FROM none) FROM t WHERE k IS NULL",
                &["NULL|0|1"],
            ),
            (
                "SELECT CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.k = t.k) THEN 'some' ELSE 'none' END x, count(*) FROM t GROUP BY x ORDER BY x",
                &["none|3", "some|2"],
            ),
            ("SELECT sum(k IN (SELECT k FROM keys)) FROM t", &["2"]),
            // One table inside and around, under one name.
            ("SELECT k, k IN (SELECT k FROM keys WHERE k = 3) FROM keys ORDER BY k", &["1|0", "3|1"]),
            ("SELECT k FROM t WHERE k >= ALL (SELECT k FROM t WHERE k IS NOT NULL)", &["4"]),
            ("SELECT k FROM t WHERE k < ANY (SELECT k FROM t WHERE k < 3)", &["1"]),
        ],
    );
}

#[test]
fn subqueries_in_orders_groups_and_calls() {
    check_rows(
        &tables(),
        &[
            (
                "SELECT k FROM t ORDER BY (SELECT max(b) FROM u WHERE u.k = t.k) DESC, k DESC",
                &["2", "1", "4", "3", "NULL"],
            ),
            ("SELECT * FROM t ORDER BY EXISTS (SELECT 1 FROM v WHERE v.k = t.k) DESC, k LIMIT 2", &["1|10", "3|30"]),
            ("SELECT sum((SELECT max(b) FROM u WHERE u.k = t.k)) FROM t", &["310"]),
            (
                "SELECT (SELECT count(*) FROM u WHERE u.k = t.k) n, count(*) FROM t GROUP BY n ORDER BY n",
                &["0|3", "1|1", "2|1"],
            ),
            (
                "SELECT (SELECT count(*) FROM u WHERE u.k = t.k) n, count(*) FROM t GROUP BY (SELECT count(*) FROM u WHERE u.k = t.k) HAVING n > 0 ORDER BY n",
                &["1|1", "2|1"],
            ),
            (
                "SELECT k, row_number() OVER (ORDER BY (SELECT max(b) FROM u WHERE u.k = t.k) DESC, k) FROM t WHERE k IS NOT NULL ORDER BY k",
                &["1|2", "2|1", "3|3", "4|4"],
            ),
        ],
    );
}

#[test]
fn subqueries_in_on() {
    check_rows(
        &tables(),
        &[
            ("SELECT t.k, u.b FROM t JOIN u ON t.k = u.k AND u.b = (SELECT max(b) FROM u WHERE k = 1)", &["1|110"]),
            (
                "SELECT t.k, u.b FROM t JOIN u ON t.k = u.k AND u.b = (SELECT max(b) FROM u x WHERE x.k = t.k) ORDER BY 1",
                &["1|110", "2|200"],
            ),
            (
                "SELECT t.k, u.b FROM t LEFT JOIN u ON t.k = u.k AND u.b = (SELECT max(b) FROM u x WHERE x.k = t.k) ORDER BY 1",
                &["NULL|NULL", "1|110", "2|200", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT t.k, u.b FROM t LEFT JOIN u ON t.k = u.k AND u.b IN (SELECT b FROM u WHERE b > 105) ORDER BY 1",
                &["NULL|NULL", "1|110", "2|200", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT t.k, u.b FROM t LEFT JOIN u ON t.k = u.k AND t.k NOT IN (SELECT k FROM keys) ORDER BY 1, 2",
                &["NULL|NULL", "1|NULL", "2|200", "3|NULL", "4|NULL"],
            ),
            (
                "SELECT t.k, u.b FROM t RIGHT JOIN u ON t.k = u.k AND EXISTS (SELECT 1 FROM v WHERE v.k = u.k) ORDER BY 2",
                &["1|100", "1|110", "NULL|200", "NULL|500", "NULL|900"],
            ),
            (
                "SELECT * FROM t JOIN u ON t.k = u.k AND EXISTS (SELECT 1 FROM u x WHERE x.k = t.k AND x.b > u.b)",
                &["1|10|1|100"],
            ),
            (
                "SELECT t.k, b FROM t JOIN u ON t.k = u.k AND u.b IN (SELECT b FROM u WHERE b > 105) ORDER BY 1",
                &["1|110", "2|200"],
            ),
            (
                "SELECT t.k, b FROM t FULL JOIN u ON t.k = u.k AND EXISTS (SELECT 1 FROM none) WHERE t.k = 1 OR b = 100 ORDER BY 1",
                &["NULL|100", "1|NULL"],
            ),
        ],
    );
    let error = tables()
        .error("SELECT * FROM t LEFT JOIN u ON t.k = u.k AND EXISTS (SELECT 1 FROM u x WHERE x.k = t.k AND x.b = u.b)");
    assert!(error.contains("A subquery in ON of an outer join"), "{error}");
}

#[test]
fn what_a_correlated_subquery_counts_is_not_lost() {
    check_rows(
        &tables(),
        &[
            // An aggregate without GROUP BY has a row whatever it is over.
            (
                "SELECT k FROM t WHERE EXISTS (SELECT count(*) FROM u WHERE u.k = t.k) ORDER BY k",
                &["NULL", "1", "2", "3", "4"],
            ),
            ("SELECT k FROM t WHERE NOT EXISTS (SELECT max(b) FROM u WHERE u.k = t.k)", &[]),
            ("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k HAVING count(*) > 1)", &["1"]),
            (
                "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k HAVING count(*) = 0) ORDER BY k",
                &["NULL", "3", "4"],
            ),
            ("SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k HAVING count(*) < 2)", &["1"]),
            ("SELECT k FROM t WHERE 0 IN (SELECT count(*) FROM u WHERE u.k = t.k) ORDER BY k", &["NULL", "3", "4"]),
            (
                "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k ORDER BY b LIMIT 1) ORDER BY k",
                &["1", "2"],
            ),
            ("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k LIMIT 0)", &[]),
        ],
    );
    // What cannot be told right is refused.
    let f = tables();
    for sql in [
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k LIMIT 1 OFFSET 1)",
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM (SELECT count(*) c FROM u WHERE u.k = t.k) q WHERE q.c = 0)",
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM (SELECT b FROM u WHERE u.k = t.k LIMIT 1) q WHERE q.b > 105)",
        "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM (SELECT rank() OVER (ORDER BY b) r FROM u WHERE u.k = t.k) q WHERE r = 2)",
        "SELECT k, (SELECT count(*) FROM (SELECT count(*) c FROM u WHERE u.k = t.k) q) FROM t",
        "SELECT k, (SELECT x.b FROM (SELECT max(b) b FROM u WHERE u.k = t.k) x) FROM t",
        "SELECT k, (SELECT max(z) FROM (SELECT sum(b) OVER () z FROM u WHERE u.k = t.k) q) FROM t",
        "SELECT k, (SELECT count(*) FROM u WHERE u.k + t.k = 2) FROM t",
        "SELECT k, (SELECT count(*) FROM u WHERE u.k < t.k) FROM t",
        "SELECT k, (SELECT b FROM u WHERE u.k = t.k LIMIT 1 OFFSET 1) FROM t",
        "SELECT k, (SELECT b FROM u WHERE u.k = t.k UNION ALL SELECT 1) FROM t",
    ] {
        assert!(f.error(sql).contains("A subquery of this form is not supported here"), "{sql}: {}", f.error(sql));
    }
}

#[test]
fn correlated_values_of_different_types_compare_as_elsewhere() {
    let f = Fixture::new();
    let decimal = DataType::Decimal128(10, 2);
    let outer = [("i", DataType::Int32), ("s", DataType::Utf8), ("d", DataType::Date32), ("b", DataType::Boolean)];
    let inner = [
        ("s", DataType::Utf8),
        ("at", DATETIME),
        ("m", decimal),
        ("f", DataType::Float64),
        ("l", DataType::Int64),
        ("w", DataType::Utf8),
    ];
    f.table(
        "o",
        &[batch(
            &outer,
            &[
                &["1", "01", "2024-01-01", "true"],
                &["2", "x", "2024-01-02", "false"],
                &["3", "2024-01-02 10:00:00", "2024-01-03", "\\N"],
                &["\\N", "\\N", "\\N", "\\N"],
            ],
        )],
    );
    f.table(
        "n",
        &[batch(
            &inner,
            &[
                &["1", "2024-01-01 00:00:00", "1.00", "1", "1", "a"],
                &[" 1.0", "2024-01-02 10:00:00", "1.50", "0", "0", "b"],
                &["x", "2024-01-03 00:00:00", "2.00", "3", "1", "c"],
                &["\\N", "\\N", "\\N", "\\N", "\\N", "\\N"],
            ],
        )],
    );
    check_rows(
        &f,
        &[
            // A number with a text, whose numbers may be written in several ways.
            ("SELECT i, (SELECT count(*) FROM n WHERE n.s = o.i) FROM o ORDER BY i", &["NULL|0", "1|2", "2|0", "3|0"]),
            ("SELECT i, (SELECT count(*) FROM n WHERE o.i = n.s) FROM o WHERE i < 3 ORDER BY i", &["1|2", "2|0"]),
            ("SELECT i, (SELECT max(w) FROM n WHERE n.l = o.s) FROM o WHERE i < 3 ORDER BY i", &["1|c", "2|NULL"]),
            (
                "SELECT i, (SELECT w FROM n WHERE n.s = o.i ORDER BY w DESC LIMIT 1) FROM o WHERE i < 3 ORDER BY i",
                &["1|b", "2|NULL"],
            ),
            ("SELECT i FROM o WHERE (SELECT count(*) FROM n WHERE n.s = o.i) > 1", &["1"]),
            ("SELECT i FROM o WHERE 2 IN (SELECT count(*) FROM n WHERE n.s = o.i)", &["1"]),
            ("SELECT i FROM o WHERE EXISTS (SELECT 1 FROM n WHERE n.s = o.i HAVING count(*) = 2)", &["1"]),
            ("SELECT i, EXISTS (SELECT 1 FROM n WHERE n.s = o.i) FROM o ORDER BY i", &["NULL|0", "1|1", "2|0", "3|0"]),
            ("SELECT i, 'b' IN (SELECT w FROM n WHERE n.s = o.i) FROM o WHERE i < 3 ORDER BY i", &["1|1", "2|0"]),
            // Dates with times and with texts.
            (
                "SELECT i, (SELECT max(w) FROM n WHERE n.at = o.d) FROM o ORDER BY i",
                &["NULL|NULL", "1|a", "2|NULL", "3|c"],
            ),
            (
                "SELECT i, (SELECT max(w) FROM n WHERE n.at = o.s) FROM o ORDER BY i",
                &["NULL|NULL", "1|NULL", "2|NULL", "3|b"],
            ),
            (
                "SELECT i, (SELECT max(w) FROM n WHERE date(n.at) = o.d) FROM o ORDER BY i",
                &["NULL|NULL", "1|a", "2|b", "3|c"],
            ),
            // Truth values, exact and other numbers.
            (
                "SELECT i, (SELECT max(w) FROM n WHERE n.l = o.b) FROM o ORDER BY i",
                &["NULL|NULL", "1|c", "2|b", "3|NULL"],
            ),
            ("SELECT i, (SELECT max(w) FROM n WHERE n.m = o.b) FROM o WHERE i < 3 ORDER BY i", &["1|a", "2|NULL"]),
            ("SELECT i, (SELECT max(w) FROM n WHERE n.f = o.b) FROM o WHERE i < 3 ORDER BY i", &["1|a", "2|b"]),
            (
                "SELECT i, (SELECT max(w) FROM n WHERE n.m = o.i) FROM o WHERE i < 4 ORDER BY i",
                &["1|a", "2|c", "3|NULL"],
            ),
            // Values that are several before they are compared and one then.
            (
                "SELECT i, (SELECT count(*) FROM n WHERE CAST(n.m AS INT) = o.i) FROM o WHERE i < 3 ORDER BY i",
                &["1|2", "2|1"],
            ),
            (
                "SELECT i, (SELECT count(*) FROM n WHERE n.l + 1 = o.i AND n.s = o.i) FROM o WHERE i < 3 ORDER BY i",
                &["1|1", "2|0"],
            ),
            // One within another.
            (
                "SELECT i, (SELECT count(*) FROM n WHERE n.s = o.i AND (SELECT count(*) FROM o q WHERE q.s = n.l) > 0) FROM o \
                 WHERE i < 3 ORDER BY i",
                &["1|1", "2|0"],
            ),
        ],
    );
}
