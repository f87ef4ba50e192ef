//! Joins: the orders behind outer joins, the columns behind IN and EXISTS.

use arrow::datatypes::DataType::Int32;

use super::support::{Fixture, batch, check_rows};

fn padded() -> Fixture {
    let f = Fixture::new();
    f.table("p1", &[batch(&[("k", Int32)], &[&["1"], &["2"], &["3"]])]);
    f.table("p2", &[batch(&[("k", Int32), ("c", Int32)], &[&["1", "1"], &["9", "2"]])]);
    f
}

#[test]
fn a_constant_of_a_padded_side_is_ordered_with_its_nulls() {
    check_rows(
        &padded(),
        &[
            (
                "SELECT p1.k, p2.c FROM p1 LEFT JOIN p2 ON p2.k = p1.k AND p2.c = 1 ORDER BY p2.c, p1.k",
                &["2|NULL", "3|NULL", "1|1"],
            ),
            (
                "SELECT p1.k, q.c FROM (SELECT * FROM p2 WHERE c = 1) AS q RIGHT JOIN p1 ON q.k = p1.k ORDER BY q.c, p1.k",
                &["2|NULL", "3|NULL", "1|1"],
            ),
            (
                "SELECT p1.k, q.c FROM p1 FULL JOIN (SELECT * FROM p2 WHERE c = 2) AS q ON q.k = p1.k ORDER BY q.c, p1.k",
                &["1|NULL", "2|NULL", "3|NULL", "NULL|2"],
            ),
            (
                "SELECT p1.k, q.c FROM p1 LEFT JOIN (SELECT k, 'x' AS c FROM p2) AS q ON q.k = p1.k ORDER BY q.c, p1.k",
                &["2|NULL", "3|NULL", "1|x"],
            ),
            (
                "SELECT p1.k, q.c FROM p1 LEFT JOIN (SELECT k, 'x' AS c FROM p2) AS q ON q.k < p1.k ORDER BY q.c, p1.k",
                &["1|NULL", "2|x", "3|x"],
            ),
            (
                "SELECT p1.k, q.c, rank() OVER (ORDER BY q.c) FROM p1 LEFT JOIN (SELECT k, c FROM p2 WHERE c = 1) AS q \
                 ON q.k = p1.k ORDER BY p1.k",
                &["1|1|3", "2|NULL|1", "3|NULL|1"],
            ),
            (
                "SELECT p1.k, sum(p1.k) OVER (PARTITION BY q.c ORDER BY p1.k) FROM p1 \
                 LEFT JOIN (SELECT k, c FROM p2 WHERE c = 1) AS q ON q.k = p1.k ORDER BY p1.k",
                &["1|1", "2|2", "3|5"],
            ),
            (
                "SELECT q.c, count(*) FROM p1 LEFT JOIN (SELECT k, c FROM p2 WHERE c = 1) AS q ON q.k = p1.k \
                 GROUP BY q.c ORDER BY q.c",
                &["NULL|2", "1|1"],
            ),
        ],
    );
}

#[test]
fn a_side_that_is_not_padded_keeps_its_constants() {
    let f = padded();
    let inner = f.explain("SELECT p1.k FROM p1 JOIN p2 ON p2.k = p1.k WHERE p2.c = 1 ORDER BY p2.c, p1.k");
    assert!(!inner.contains("PaddedExec"), "{inner}");
    let outer = f.explain("SELECT p1.k FROM p1 LEFT JOIN p2 ON p2.k = p1.k AND p2.c = 1 ORDER BY p2.c, p1.k");
    assert!(outer.contains("PaddedExec"), "{outer}");
    assert!(outer.contains("predicate=c@"), "{outer}");
}

#[test]
fn behind_in_and_exists_columns_are_told_from_others_of_their_name() {
    let f = Fixture::new();
    f.table("x", &[batch(&[("a", Int32), ("c", Int32)], &[&["1", "1"], &["2", "2"]])]);
    f.table("y", &[batch(&[("c", Int32), ("d", Int32)], &[&["5", "1"], &["6", "2"]])]);
    f.table("m", &[batch(&[("a", Int32), ("b", Int32)], &[&["1", "1"], &["2", "2"]])]);
    check_rows(
        &f,
        &[
            ("SELECT x.a, y.c FROM x JOIN y ON x.a = y.d WHERE x.c IN (SELECT a FROM m) ORDER BY 1", &["1|5", "2|6"]),
            (
                "SELECT y.c, sum(x.a * y.c) FROM x JOIN y ON x.a = y.d WHERE x.c IN (SELECT a FROM x) GROUP BY y.c ORDER BY 1",
                &["5|5", "6|12"],
            ),
            (
                "SELECT y.c, count(x.a + y.c) FROM x, y WHERE EXISTS (SELECT 1 FROM x AS z WHERE z.a = x.c) \
                 GROUP BY y.c ORDER BY 1",
                &["5|2", "6|2"],
            ),
            (
                "SELECT x.a, y.c FROM x JOIN y ON x.a = y.d WHERE NOT EXISTS (SELECT 1 FROM m WHERE m.a = x.c + 1) ORDER BY 1",
                &["2|6"],
            ),
            (
                "SELECT y.c, sum(x.a) FROM x, y WHERE EXISTS (SELECT 1 FROM m WHERE m.a < x.c) GROUP BY y.c ORDER BY 1",
                &["5|2", "6|2"],
            ),
        ],
    );
}

#[test]
fn a_case_that_is_never_null_may_be_grouped() {
    check_rows(
        &padded(),
        &[
            ("SELECT CASE WHEN k >= c THEN k ELSE 0 END FROM p2 INTERSECT SELECT k FROM p1", &["1"]),
            ("SELECT DISTINCT CASE WHEN k >= c THEN k ELSE 0 END AS v FROM p2 ORDER BY v", &["1", "9"]),
            ("SELECT CASE WHEN k >= c THEN k ELSE 0 END FROM p2 WHERE c IS NULL INTERSECT SELECT k FROM p1", &[]),
        ],
    );
}
