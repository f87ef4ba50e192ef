//! NULLs in subqueries, set operations and joins.

use arrow::datatypes::DataType;

use super::support::{Fixture, batch, check_rows};

fn nulls() -> Fixture {
    let f = Fixture::new();
    let int = DataType::Int32;
    let columns = [("a", int.clone()), ("s", DataType::Utf8)];
    f.table("t", &[batch(&columns, &[&["1", "x"], &["2", "y"], &["\\N", "z"]])]);
    f.table("u", &[batch(&[("a", int.clone())], &[&["2"], &["\\N"]])]);
    f.table("plain", &[batch(&[("a", int.clone())], &[&["2"]])]);
    f.table("none", &[batch(&[("a", int.clone())], &[])]);
    f.table("pairs", &[batch(&columns, &[&["2", "x"], &["\\N", "y"], &["2", "w"]])]);
    f
}

#[test]
fn a_null_in_the_list_empties_not_in() {
    check_rows(
        &nulls(),
        &[
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u) AND s <> 'y'", &[]),
            ("SELECT a FROM t WHERE NOT a IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM plain)", &["1"]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u WHERE a IS NOT NULL)", &["1"]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM none) ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE a IN (SELECT a FROM u)", &["2"]),
        ],
    );
}

#[test]
fn conditions_on_the_key_leave_not_in_its_nulls() {
    let f = nulls();
    f.table("ones", &[batch(&[("a", DataType::Int32)], &[&["1"]])]);
    let derived = "(SELECT a FROM t WHERE a NOT IN (SELECT a FROM u))";
    check_rows(
        &f,
        &[
            ("SELECT a FROM t WHERE a <> 2 AND a NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE a = 1 AND a NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE a < 2 AND a NOT IN (SELECT a FROM u) AND s <> 'q'", &[]),
            (&format!("SELECT a FROM {derived} y WHERE a < 2"), &[]),
            (&format!("SELECT a FROM {derived} y WHERE a IN (1, 3, 4, 5) ORDER BY a LIMIT 1"), &[]),
            // What a join above learns while it runs is a condition as well.
            (&format!("SELECT o.a FROM ones o JOIN {derived} y ON o.a = y.a"), &[]),
            (&format!("SELECT o.a FROM ones o WHERE o.a IN (SELECT y.a FROM {derived} y)"), &[]),
            (&format!("SELECT o.a, y.a FROM ones o LEFT JOIN {derived} y ON o.a = y.a AND y.a < 3"), &["1|NULL"]),
            ("SELECT a FROM t WHERE a <> 2 AND a NOT IN (SELECT a FROM plain)", &["1"]),
            ("SELECT a FROM t WHERE a <> 1 AND a NOT IN (SELECT a FROM none)", &["2"]),
            ("SELECT a FROM t WHERE a <> 2 AND NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a)", &["1"]),
            ("SELECT a FROM t WHERE a IS NOT NULL EXCEPT SELECT a FROM u", &["1"]),
            ("SELECT a FROM (SELECT a FROM t EXCEPT SELECT a FROM u) e WHERE a <> 2", &["1"]),
            (
                "SELECT a FROM (SELECT a FROM t INTERSECT SELECT a FROM u) e WHERE a <> 1 OR a IS NULL ORDER BY a",
                &["NULL", "2"],
            ),
            ("SELECT t.a FROM t LEFT JOIN u ON t.a <=> u.a WHERE t.a IS NULL AND u.a IS NULL", &["NULL"]),
        ],
    );
}

#[test]
fn not_in_of_what_turns_out_to_be_a_constant() {
    check_rows(
        &nulls(),
        &[
            ("SELECT a FROM t WHERE coalesce(1, a) NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE coalesce(1, a) NOT IN (SELECT a FROM plain) ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE coalesce(2, a) NOT IN (SELECT a FROM plain)", &[]),
            ("SELECT a FROM t WHERE a + 1 NOT IN (SELECT a FROM plain)", &["2"]),
            ("SELECT a FROM t WHERE a + 1 NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE a + 1 NOT IN (SELECT a FROM none) ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE coalesce(a, 1) NOT IN (SELECT a FROM plain) ORDER BY a", &["NULL", "1"]),
        ],
    );
}

#[test]
fn null_equals_null_in_set_operations_and_null_safe_joins() {
    check_rows(
        &nulls(),
        &[
            ("SELECT a FROM t EXCEPT SELECT a FROM t", &[]),
            ("SELECT a FROM t EXCEPT SELECT a FROM u", &["1"]),
            ("SELECT a FROM t EXCEPT SELECT a FROM plain ORDER BY a", &["NULL", "1"]),
            ("SELECT a FROM t INTERSECT SELECT a FROM t ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t INTERSECT SELECT a FROM u ORDER BY a", &["NULL", "2"]),
            ("SELECT t.a FROM t JOIN u ON t.a <=> u.a ORDER BY 1", &["NULL", "2"]),
            ("SELECT t.s, u.a FROM t LEFT JOIN u ON t.a <=> u.a ORDER BY 1", &["x|NULL", "y|2", "z|NULL"]),
            ("SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a <=> t.a)", &["1"]),
            ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a <=> t.a) ORDER BY a", &["NULL", "2"]),
            ("SELECT t.a FROM t JOIN u ON t.a = u.a", &["2"]),
        ],
    );
}

#[test]
fn other_joins_still_tell_their_scans() {
    let f = nulls();
    let told = |sql: &str| f.explain(sql).contains("DynamicFilter");
    assert!(told("SELECT t.a FROM t JOIN u ON t.a = u.a"));
    let plan = f.explain("SELECT t.a FROM t JOIN u ON t.a <=> u.a");
    assert!(plan.contains("HashJoinExec"), "{plan}");
}

#[test]
fn in_within_other_conditions_is_true_false_or_unknown() {
    check_rows(
        &nulls(),
        &[
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM plain) OR s = 'q'", &["1"]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u) OR s = 'z'", &["NULL"]),
            ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM none) OR s = 'q' ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE a IN (SELECT a FROM u) OR s = 'x' ORDER BY a", &["1", "2"]),
            ("SELECT a FROM t WHERE (a IN (SELECT a FROM u)) IS NULL ORDER BY a", &["NULL", "1"]),
            ("SELECT a FROM t WHERE (a IN (SELECT a FROM plain)) IS NULL", &["NULL"]),
            ("SELECT a FROM t WHERE (a IN (SELECT a FROM plain)) IS FALSE", &["1"]),
            ("SELECT a FROM t WHERE (a IN (SELECT a FROM none)) IS FALSE ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE NOT (a IN (SELECT a FROM plain) OR s = 'q')", &["1"]),
            ("SELECT a FROM t WHERE NOT (a IN (SELECT a FROM u) AND s <> 'q')", &[]),
            ("SELECT a FROM t WHERE CASE WHEN a IN (SELECT a FROM u) THEN 0 ELSE 1 END = 1 ORDER BY a", &["NULL", "1"]),
            ("SELECT a FROM t WHERE 1 NOT IN (SELECT a FROM u)", &[]),
            ("SELECT a FROM t WHERE 1 NOT IN (SELECT a FROM plain) ORDER BY a", &["NULL", "1", "2"]),
            ("SELECT a FROM t WHERE 2 NOT IN (SELECT a FROM plain) OR s = 'x'", &["1"]),
        ],
    );
}

#[test]
fn not_in_of_a_correlated_subquery() {
    // pairs: x has 2, y has NULL, w has 2; z has none.
    check_rows(
        &nulls(),
        &[
            (
                "SELECT a, s FROM t WHERE a NOT IN (SELECT p.a FROM pairs p WHERE p.s = t.s) ORDER BY s",
                &["1|x", "NULL|z"],
            ),
            (
                "SELECT a, s FROM t WHERE a NOT IN (SELECT p.a FROM pairs p WHERE p.s = t.s) OR s = 'y' ORDER BY s",
                &["1|x", "2|y", "NULL|z"],
            ),
            (
                "SELECT a, s FROM t WHERE s IN ('q') OR a NOT IN (SELECT p.a FROM pairs p WHERE p.s = t.s) ORDER BY s",
                &["1|x", "NULL|z"],
            ),
            ("SELECT s FROM t WHERE (a IN (SELECT p.a FROM pairs p WHERE p.s = t.s)) IS NULL", &["y"]),
            ("SELECT s FROM t WHERE a NOT IN (SELECT p.a FROM pairs p WHERE p.s > t.s) ORDER BY s", &["y", "z"]),
            (
                "SELECT s FROM t WHERE a + 1 NOT IN (SELECT p.a + 1 FROM pairs p WHERE p.s = t.s) ORDER BY s",
                &["x", "z"],
            ),
            ("SELECT s FROM t WHERE a IN (SELECT p.a FROM pairs p WHERE p.s <> t.s) ORDER BY s", &["y"]),
        ],
    );
}

#[test]
fn marks_stay_where_they_are_when_columns_are_left_out() {
    let f = Fixture::new();
    let columns = [("k", DataType::Int32), ("m", DataType::Int32), ("d", DataType::Int32)];
    f.table("wide", &[batch(&columns, &[&["1", "9", "5"], &["2", "8", "7"], &["3", "7", "\\N"]])]);
    f.table("narrow", &[batch(&[("m", DataType::Int32)], &[&["6"], &["2"]])]);
    check_rows(
        &f,
        &[
            ("SELECT k FROM wide WHERE d > ALL (SELECT m FROM wide WHERE m < 0) ORDER BY k", &["1", "2", "3"]),
            ("SELECT k FROM wide WHERE d > ALL (SELECT m FROM narrow)", &["2"]),
            ("SELECT k FROM wide WHERE d > ANY (SELECT m FROM narrow) ORDER BY k", &["1", "2"]),
            ("SELECT k FROM wide WHERE d > ALL (SELECT m FROM narrow WHERE m > 5) OR k = 3 ORDER BY k", &["2", "3"]),
            ("SELECT m FROM wide WHERE k = 3 OR EXISTS (SELECT 1 FROM narrow n WHERE n.m > d) ORDER BY k", &["9", "7"]),
            ("SELECT m FROM wide WHERE k = 3 OR NOT d IN (SELECT m - 1 FROM narrow) ORDER BY k", &["8", "7"]),
        ],
    );
}
