//! Filters that the engine moves: to the column that is meant, where others have its name.

use arrow::datatypes::DataType;

use super::support::{Fixture, batch, check_rows};

const COLUMNS: [(&str, DataType); 4] =
    [("a", DataType::Int32), ("b", DataType::Int64), ("c", DataType::Int32), ("d", DataType::Float64)];

fn tables() -> Fixture {
    let f = Fixture::new();
    f.table(
        "t",
        &[
            batch(&COLUMNS, &[&["1", "1", "2", "0.5"], &["2", "5", "1", "\\N"]]),
            batch(&COLUMNS, &[&["3", "\\N", "7", "2"], &["4", "2", "2", "1"]]),
        ],
    );
    f.table(
        "v",
        &[
            batch(&COLUMNS, &[&["1", "6", "1", "0.5"], &["2", "2", "9", "0.5"]]),
            batch(&COLUMNS, &[&["7", "7", "3", "-9"]]),
        ],
    );
    f
}

#[test]
fn a_filter_over_an_outer_join_reads_the_side_that_is_named() {
    check_rows(
        &tables(),
        &[
            (
                "SELECT x.b, y.b FROM t x RIGHT JOIN v y ON y.b = x.c WHERE (1 - x.b) <= y.d ORDER BY 1, 2",
                &["1|2", "2|2"],
            ),
            (
                "SELECT x.b, y.b FROM v y LEFT JOIN t x ON y.b = x.c WHERE (1 - x.b) <= y.d ORDER BY 1, 2",
                &["1|2", "2|2"],
            ),
            (
                "SELECT x.a, y.a FROM t x LEFT JOIN v y ON x.c = y.b WHERE x.a + coalesce(y.a, 0) = 6 ORDER BY 1",
                &["4|2"],
            ),
            (
                "SELECT x.a, y.a, z.a FROM t x LEFT JOIN v y ON x.c = y.b LEFT JOIN v z ON z.b = x.c \
              WHERE coalesce(y.a, z.a, 0) - x.a = 1 ORDER BY 1, 2, 3",
                &["1|2|2"],
            ),
        ],
    );
}

#[test]
fn the_first_rows_of_an_order_are_those_of_its_column() {
    check_rows(
        &tables(),
        &[
            ("SELECT x.b, y.b FROM t x JOIN v y ON x.c >= y.a ORDER BY y.b DESC, x.b LIMIT 2", &["NULL|7", "NULL|6"]),
            ("SELECT y.c FROM t x LEFT JOIN v y ON x.c = y.b ORDER BY y.c DESC LIMIT 2", &["9", "9"]),
            ("SELECT a, b FROM t UNION ALL SELECT b, a FROM v ORDER BY a, b LIMIT 2", &["1|1", "2|2"]),
            ("SELECT c FROM t WHERE c IN (SELECT v.b FROM v WHERE v.c + t.a > 3) ORDER BY c LIMIT 2", &["2", "2"]),
        ],
    );
}

#[test]
fn no_rows_make_no_group_of_a_constant() {
    check_rows(
        &tables(),
        &[
            ("SELECT 5, count(*) FROM t WHERE a > 100 GROUP BY 2 + 3", &[]),
            ("SELECT 'x' AS z, count(*) FROM t WHERE a > 100 GROUP BY z", &[]),
            ("SELECT 5, count(*) FROM t GROUP BY 2 + 3", &["5|4"]),
            ("SELECT count(*) FROM t WHERE a > 100", &["0"]),
        ],
    );
}
