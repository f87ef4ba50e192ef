//! Window functions over tables of several files: their orders, whatever a filter says of the columns.

use arrow::datatypes::DataType;

use super::support::{Fixture, batch, check_rows};

fn table() -> Fixture {
    let f = Fixture::new();
    let columns = [("a", DataType::Int32), ("b", DataType::Int32), ("c", DataType::Int32)];
    f.table(
        "t",
        &[
            batch(&columns, &[&["1", "1", "1"], &["1", "6", "2"], &["2", "5", "1"]]),
            batch(&columns, &[&["1", "3", "1"], &["1", "0", "2"], &["2", "6", "2"]]),
            batch(&columns, &[&["1", "8", "1"], &["1", "2", "2"], &["2", "9", "2"]]),
        ],
    );
    f.table("u", &[batch(&columns, &[&["1", "7", "7"]]), batch(&columns, &[&["1", "4", "4"], &["3", "2", "2"]])]);
    f
}

#[test]
fn a_window_over_fixed_columns_leaves_the_others_their_orders() {
    check_rows(
        &table(),
        &[
            (
                "SELECT b, sum(b) OVER (ORDER BY b), row_number() OVER (PARTITION BY a) > 0 FROM t WHERE a = 1 ORDER BY b",
                &["0|0|1", "1|1|1", "2|3|1", "3|6|1", "6|12|1", "8|20|1"],
            ),
            (
                "SELECT sum(b) OVER (ORDER BY b), count(*) OVER (ORDER BY a) FROM t WHERE a = 1 ORDER BY 1",
                &["0|6", "1|6", "3|6", "6|6", "12|6", "20|6"],
            ),
            (
                "SELECT b, count(*) OVER (PARTITION BY a), ntile(2) OVER (ORDER BY b DESC, a) FROM t WHERE a = 1 \
                 ORDER BY b DESC",
                &["8|6|1", "6|6|1", "3|6|1", "2|6|2", "1|6|2", "0|6|2"],
            ),
            (
                "SELECT b, cume_dist() OVER (PARTITION BY a ORDER BY a), sum(b) OVER (ORDER BY b DESC) FROM t \
                 WHERE a = 1 AND c = 1 ORDER BY b DESC",
                &["8|1|8", "3|1|11", "1|1|12"],
            ),
            (
                "SELECT b, last_value(b) OVER (PARTITION BY a ORDER BY a, b), rank() OVER (PARTITION BY c ORDER BY b) \
                 FROM t WHERE a = 1 ORDER BY c, b",
                &["1|1|1", "3|3|2", "8|8|3", "0|0|1", "2|2|2", "6|6|3"],
            ),
            (
                "SELECT t.b, ntile(2) OVER (PARTITION BY t.a) > 0, lead(t.b) OVER (ORDER BY u.c DESC, t.b) \
                 FROM t JOIN u ON t.a = u.a WHERE t.a = 1 AND t.c = 1 ORDER BY u.c DESC, t.b",
                &["1|1|3", "3|1|8", "8|1|1", "1|1|3", "3|1|8", "8|1|NULL"],
            ),
            (
                "SELECT b, count(*) OVER (PARTITION BY a), max(b) OVER (ORDER BY c, b) \
                 FROM (SELECT a, b, max(c) AS c FROM t WHERE a = 1 GROUP BY a, b) AS s ORDER BY c, b LIMIT 3",
                &["1|6|1", "3|6|3", "8|6|8"],
            ),
        ],
    );
}

#[test]
fn aggregates_over_windows_of_one_column_are_told_apart() {
    check_rows(
        &table(),
        &[
            (
                "SELECT sum(b) OVER (PARTITION BY b), \
                 sum(b) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) \
                 FROM t WHERE a = 1 AND c = 1 ORDER BY 1",
                &["1|12", "3|12", "8|12"],
            ),
            (
                "SELECT avg(b) OVER (ORDER BY b), sum(b) OVER (PARTITION BY b), \
             sum(b) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) \
             FROM t WHERE a = 1 AND c = 1 ORDER BY 1",
                &["1|1|12", "2|3|12", "4|8|12"],
            ),
        ],
    );
}
