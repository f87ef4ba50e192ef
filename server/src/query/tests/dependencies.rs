//! Goal: no column is taken for one that determines others. Method: a computed column stands before the key of a GROUP BY, where
//! the engine takes the one for the other, below all that would believe it.

use datafusion::arrow::datatypes::DataType;

use super::support::*;

/// A table of eight keys, each with one value.
fn eight() -> Fixture {
    let f = Fixture::new();
    let rows = [["5", "1"], ["4", "1"], ["3", "1"], ["2", "2"], ["1", "2"], ["6", "2"], ["9", "1"], ["8", "1"]];
    let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
    f.table("t", &[batch(&[("k", DataType::Int32), ("v", DataType::Int32)], &rows)]);
    f
}

#[test]
fn a_computed_column_before_a_group_determines_nothing() {
    let f = eight();
    let hi = "SELECT if(sum(v) > 1, 'hi', 'lo') c, k FROM t GROUP BY k";
    check_rows(
        &f,
        &[
            (
                "SELECT round(sum(v)) s, k FROM t GROUP BY k ORDER BY s, k",
                &["1|3", "1|4", "1|5", "1|8", "1|9", "2|1", "2|2", "2|6"],
            ),
            ("SELECT round(sum(v)) s, k FROM t GROUP BY k ORDER BY s, k LIMIT 2", &["1|3", "1|4"]),
            (&format!("WITH w AS ({hi}) SELECT c, k FROM w ORDER BY c, k LIMIT 2 OFFSET 1"), &["hi|2", "hi|6"]),
            (&format!("SELECT DISTINCT c FROM ({hi}) w ORDER BY c"), &["hi", "lo"]),
            (&format!("SELECT c, count(*) FROM ({hi}) w GROUP BY c, k ORDER BY k LIMIT 2"), &["hi|1", "hi|1"]),
            (&format!("SELECT count(*) FROM (SELECT count(*) FROM ({hi}) w GROUP BY c, k) x"), &["8"]),
            (&format!("SELECT count(*) FROM (SELECT DISTINCT c FROM ({hi}) w) x"), &["2"]),
            (
                "SELECT z, count(*) FROM (SELECT v + 0 z, k FROM (SELECT k, max(v) v FROM t GROUP BY k) q) r GROUP BY z, k ORDER BY k LIMIT 3",
                &["2|1", "2|1", "1|1"],
            ),
            (
                &format!(
                    "SELECT 1 FROM t WHERE (SELECT count(*) FROM (SELECT DISTINCT c FROM ({hi}) w) x) = 2 LIMIT 1"
                ),
                &["1"],
            ),
            (
                &format!("SELECT row_number() OVER (ORDER BY c, k) n, c FROM ({hi}) w ORDER BY n, c LIMIT 2"),
                &["1|hi", "2|hi"],
            ),
        ],
    );
}

#[test]
fn groups_are_those_that_are_asked_for() {
    let mut f = eight();
    f.context.variables = variables("ONLY_FULL_GROUP_BY");
    let hi = "SELECT if(sum(v) > 1, 'hi', 'lo') c, k FROM t GROUP BY k";
    check_rows(
        &f,
        &[
            (&format!("SELECT c, count(*) FROM ({hi}) w GROUP BY c ORDER BY c"), &["hi|3", "lo|5"]),
            (&format!("WITH w AS ({hi}) SELECT c, max(k) FROM w GROUP BY c ORDER BY c"), &["hi|6", "lo|9"]),
            (&format!("SELECT c, count(*) FROM (SELECT * FROM ({hi}) w) w GROUP BY c ORDER BY c"), &["hi|3", "lo|5"]),
            (
                &format!("SELECT w.c, count(*) FROM t JOIN ({hi}) w ON w.k = t.k GROUP BY w.c ORDER BY 1"),
                &["hi|3", "lo|5"],
            ),
            // What the groups of a subquery determine may be shown, as in MySQL.
            (&format!("SELECT k, c FROM ({hi}) w GROUP BY k ORDER BY k LIMIT 3"), &["1|hi", "2|hi", "3|lo"]),
            // NULL for want of a partner and NULL as a key are one group.
            (
                "SELECT w.n, count(*) FROM t LEFT JOIN (SELECT nullif(v, 1) n, max(k) m FROM t GROUP BY nullif(v, 1)) w \
                 ON w.m > t.k AND t.k > 3 GROUP BY w.n ORDER BY 1",
                &["NULL|8", "2|2"],
            ),
        ],
    );
    assert!(
        f.error(&format!("SELECT c, k FROM ({hi}) w GROUP BY c")).contains("'w.k' must be an aggregate expression")
    );
}
