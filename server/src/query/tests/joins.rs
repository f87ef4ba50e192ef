//! Joins: the common columns of USING and NATURAL, the orders behind outer joins, the columns behind IN and EXISTS.

use arrow::datatypes::DataType::Int32;

use super::support::{Fixture, batch, check_rows};
use crate::query::QueryError;
use crate::query::error::Reason;

/// Tables that share column `a`. The engine goes by names where it should not, so these sort one way and the other.
fn common() -> Fixture {
    let f = Fixture::new();
    f.table("z", &[batch(&[("a", Int32), ("b", Int32)], &[&["1", "10"], &["2", "20"]])]);
    f.table("y", &[batch(&[("A", Int32), ("c", Int32)], &[&["1", "100"], &["3", "300"]])]);
    f.table("w", &[batch(&[("d", Int32), ("a", Int32)], &[&["1000", "1"], &["4000", "4"]])]);
    f
}

#[test]
fn star_shows_common_columns_first_and_once() {
    let f = common();
    check_rows(
        &f,
        &[
            ("SELECT * FROM z JOIN y USING (a)", &["1|10|100"]),
            ("SELECT * FROM z LEFT JOIN y USING (A) ORDER BY b", &["1|10|100", "2|20|NULL"]),
            ("SELECT * FROM z NATURAL LEFT JOIN y ORDER BY b", &["1|10|100", "2|20|NULL"]),
            // The table that keeps its rows leads.
            ("SELECT * FROM z RIGHT JOIN y USING (a) ORDER BY c", &["1|100|10", "3|300|NULL"]),
            ("SELECT * FROM z NATURAL RIGHT JOIN y ORDER BY c", &["1|100|10", "3|300|NULL"]),
            ("SELECT * FROM z FULL JOIN y USING (a) ORDER BY a", &["1|10|100", "2|20|NULL", "3|NULL|300"]),
            ("SELECT * FROM w LEFT JOIN z USING (a) ORDER BY a", &["1|1000|10", "4|4000|NULL"]),
            (
                "SELECT * FROM z LEFT JOIN y USING (a) LEFT JOIN w USING (a) ORDER BY b",
                &["1|10|100|1000", "2|20|NULL|NULL"],
            ),
            ("SELECT * FROM (z JOIN y USING (a)) JOIN w ON w.a = z.a", &["1|10|100|1000|1"]),
            ("SELECT * FROM z FULL JOIN y USING (a) JOIN w ON w.a = z.a", &["1|10|100|1000|1"]),
            ("SELECT * EXCEPT (a, c) FROM z LEFT JOIN y USING (a) ORDER BY b", &["10", "20"]),
            ("SELECT y.*, z.* FROM z LEFT JOIN y USING (a) ORDER BY b", &["1|100|1|10", "NULL|NULL|2|20"]),
            ("SELECT *, a + 1 FROM z LEFT JOIN y USING (a) ORDER BY b", &["1|10|100|2", "2|20|NULL|3"]),
            (
                "SELECT * FROM z NATURAL JOIN (SELECT c FROM y) AS s ORDER BY b, c",
                &["1|10|100", "1|10|300", "2|20|100", "2|20|300"],
            ),
            ("SELECT count(*) FROM z NATURAL LEFT JOIN (SELECT c FROM y WHERE c < 0) AS s", &["2"]),
        ],
    );
    assert_eq!(f.headers("SELECT * FROM z RIGHT JOIN y USING (a)"), ["A", "c", "b"]);
    assert_eq!(f.headers("SELECT * FROM y FULL JOIN z USING (a)"), ["A", "c", "b"]);
    assert_eq!(f.headers("SELECT a, z.a FROM y FULL JOIN z USING (a)"), ["a", "a"]);
}

#[test]
fn a_bare_name_is_the_value_of_the_side_that_keeps_its_rows() {
    check_rows(
        &common(),
        &[
            ("SELECT a, b, c FROM z RIGHT JOIN y USING (a) ORDER BY c", &["1|10|100", "3|NULL|300"]),
            ("SELECT a FROM y FULL JOIN z USING (a) ORDER BY 1", &["1", "2", "3"]),
            ("SELECT a, z.a, y.a FROM y FULL JOIN z USING (a) ORDER BY a DESC", &["3|NULL|3", "2|2|NULL", "1|1|1"]),
            ("SELECT a, count(*) FROM z RIGHT JOIN y USING (a) GROUP BY a ORDER BY a", &["1|1", "3|1"]),
            ("SELECT a, count(*) FROM z FULL JOIN y USING (a) GROUP BY a HAVING a > 1 ORDER BY a", &["2|1", "3|1"]),
            ("SELECT * FROM z LEFT JOIN y USING (a) WHERE a = 2", &["2|20|NULL"]),
            (
                "SELECT a, b, c, d FROM z LEFT JOIN y USING (a) LEFT JOIN w USING (a) ORDER BY a",
                &["1|10|100|1000", "2|20|NULL|NULL"],
            ),
            ("SELECT a FROM z FULL JOIN y USING (a) FULL JOIN w USING (a) ORDER BY a", &["1", "2", "3", "4"]),
            ("SELECT b FROM z LEFT JOIN y USING (a) ORDER BY a DESC", &["20", "10"]),
            ("SELECT b FROM z LEFT JOIN y USING (a) ORDER BY -a", &["20", "10"]),
            ("SELECT -a AS a FROM z LEFT JOIN y USING (a) ORDER BY a", &["-2", "-1"]),
            ("SELECT a, sum(a) OVER (ORDER BY a) FROM z FULL JOIN y USING (a) ORDER BY a", &["1|1", "2|3", "3|6"]),
            ("SELECT y.c FROM z JOIN y USING (a) JOIN (SELECT d FROM w) AS s ON s.d = a * 1000", &["100"]),
            ("SELECT DISTINCT a FROM z FULL JOIN y USING (a) ORDER BY a DESC", &["3", "2", "1"]),
            ("SELECT a FROM z RIGHT JOIN y USING (a) UNION ALL SELECT a FROM w ORDER BY a", &["1", "1", "3", "4"]),
        ],
    );
}

#[test]
fn common_columns_are_known_wherever_a_query_stands() {
    check_rows(
        &common(),
        &[
            ("SELECT s.a, b FROM (SELECT * FROM z RIGHT JOIN y USING (a)) AS s ORDER BY a", &["1|10", "3|NULL"]),
            ("SELECT a + 0 FROM (SELECT a, b FROM z FULL JOIN y USING (a)) AS s NATURAL JOIN w", &["1"]),
            (
                "WITH s (x, a) AS (SELECT b, a FROM z) SELECT a, x, c FROM s RIGHT JOIN y USING (a) ORDER BY a",
                &["1|10|100", "3|NULL|300"],
            ),
            // Inside its own definition the name is the table's.
            (
                "WITH z AS (SELECT a, b + 1 AS e FROM z JOIN y USING (a)) SELECT * FROM z RIGHT JOIN w USING (a) ORDER BY a",
                &["1|1000|11", "4|4000|NULL"],
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r JOIN z USING (a)) SELECT a FROM r ORDER BY a",
                &["1", "2", "3"],
            ),
            // A subquery sees the common column, unless a table of its own has the name.
            (
                "SELECT a, (SELECT count(*) FROM (SELECT b FROM z) AS s WHERE s.b = a * 10) FROM y FULL JOIN w USING (a) ORDER BY a",
                &["1|1", "3|0", "4|0"],
            ),
            ("SELECT c FROM z RIGHT JOIN y USING (a) WHERE EXISTS (SELECT 1 FROM w WHERE a = 4 AND y.a = 3)", &["300"]),
            ("SELECT c FROM z RIGHT JOIN y USING (a) WHERE a IN (SELECT a + 2 FROM w JOIN z USING (a))", &["300"]),
            ("SELECT l.a, l.b, r.c FROM db.z AS l LEFT JOIN db.y AS r USING (a) WHERE a = 2", &["2|20|NULL"]),
            ("SELECT db.z.b, a FROM db.z RIGHT JOIN db.y USING (a) ORDER BY a", &["10|1", "NULL|3"]),
        ],
    );
}

#[test]
fn columns_to_join_by_are_there_once() {
    let f = common();
    for sql in ["SELECT b FROM z JOIN y USING (b)", "SELECT b FROM z JOIN y USING (a, nothing)"] {
        assert!(matches!(f.try_query(sql), Err(QueryError::UnknownColumn { .. })), "{sql}");
    }
    for sql in
        ["SELECT b FROM z JOIN y ON z.a = y.a JOIN w USING (a)", "SELECT a FROM z JOIN y USING (a) JOIN w ON d = b"]
    {
        let error = f.try_query(sql);
        assert!(matches!(error, Err(QueryError::Refused(Reason::AmbiguousColumn, _))), "{sql}: {error:?}");
    }
    assert!(matches!(f.try_query("SELECT a FROM z JOIN nothing USING (a)"), Err(QueryError::UnknownTable(_))));
}

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
            // What both sides of the condition are computed of is no column of the answer.
            (
                "SELECT c, d, count(*) FROM y WHERE EXISTS (SELECT 1 FROM m WHERE y.c * 2 > m.a + 10) GROUP BY c, d",
                &["6|2|1"],
            ),
            ("SELECT d, c FROM y WHERE NOT EXISTS (SELECT 1 FROM m WHERE y.c * 2 > m.a + 10)", &["1|5"]),
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
