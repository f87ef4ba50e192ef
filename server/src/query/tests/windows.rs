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

#[test]
fn a_range_with_lengths_is_one_of_numbers_or_times() {
    let f = table();
    let columns = [("s", DataType::Utf8), ("n", DataType::Int32), ("b", DataType::Boolean), ("d", DataType::Date32)];
    f.table(
        "texts",
        &[batch(
            &columns,
            &[&["a", "1", "false", "2024-01-01"], &["b", "2", "true", "2024-01-02"], &["c", "4", "true", "2024-01-04"]],
        )],
    );
    let refused = |order: &str, length: &str, phrase: &str| {
        let frame = format!("RANGE BETWEEN {length} PRECEDING AND CURRENT ROW");
        let sql = format!("SELECT sum(n) OVER ({order} {frame}) FROM texts");
        assert!(f.error(&sql).contains(phrase), "{sql}: {}", f.error(&sql));
    };
    let one = "requires exactly one ORDER BY expression, of numeric or temporal type";
    for order in ["", "ORDER BY s", "ORDER BY s, n", "ORDER BY n, s"] {
        refused(order, "1", one);
    }
    refused("ORDER BY s", "INTERVAL 1 DAY", one);
    refused("ORDER BY d", "1", "write the length as INTERVAL n DAY");
    refused("ORDER BY n", "INTERVAL 1 DAY", "write the length as a number");
    check_rows(
        &f,
        &[
            (
                "SELECT sum(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM texts ORDER BY n",
                &["1", "3", "4"],
            ),
            (
                "SELECT sum(n) OVER (ORDER BY b RANGE BETWEEN 0 PRECEDING AND CURRENT ROW) FROM texts ORDER BY n",
                &["1", "6", "6"],
            ),
            (
                "SELECT sum(n) OVER (ORDER BY b DESC RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM texts ORDER BY n",
                &["1", "7", "7"],
            ),
            (
                "SELECT sum(n) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW) FROM texts ORDER BY n",
                &["1", "3", "4"],
            ),
            (
                "SELECT sum(n) OVER (ORDER BY s RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM texts ORDER BY n",
                &["1", "3", "7"],
            ),
        ],
    );
}
