//! Goal: no column is taken for one that determines others. Method: a computed column stands before the key of a GROUP BY, where
//! the engine takes the one for the other, below all that would believe it.

use datafusion::arrow::datatypes::DataType;

use super::support::*;

#[test]
fn a_computed_column_before_a_group_determines_nothing() {
    let f = Fixture::new();
    let rows = [["5", "1"], ["4", "1"], ["3", "1"], ["2", "2"], ["1", "2"], ["6", "2"], ["9", "1"], ["8", "1"]];
    let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
    f.table("t", &[batch(&[("k", DataType::Int32), ("v", DataType::Int32)], &rows)]);
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
