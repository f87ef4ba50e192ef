//! Goal: what a subquery compares with the outer query is the column that was written, whatever else is called like it.
//! Method: each query runs over tables that share their columns' names, and again over the same rows where no two columns
//! are called the same; some answers are also written out.

use arrow::datatypes::DataType;

use super::support::{Fixture, batch, check_rows};

const P: &[&[&str]] = &[&["1", "2"], &["2", "3"], &["3", "\\N"], &["4", "1"], &["\\N", "5"], &["2", "2"]];
const Q: &[&[&str]] = &[&["2", "1"], &["3", "2"], &["5", "3"], &["1", "4"], &["\\N", "1"], &["5", "2"]];
const Z: &[&[&str]] = &[&["1", "1"], &["2", "3"], &["3", "2"], &["4", "\\N"], &["5", "5"], &["\\N", "2"]];

fn tables() -> Fixture {
    let f = Fixture::new();
    let pair = |one, two| [(one, DataType::Int32), (two, DataType::Int32)];
    f.table("p", &[batch(&pair("a", "b"), P)]);
    f.table("q", &[batch(&pair("a", "b"), Q)]);
    f.table("z", &[batch(&pair("a", "b"), Z)]);
    f.table("p1", &[batch(&pair("pa", "pb"), P)]);
    f.table("q1", &[batch(&pair("qa", "qb"), Q)]);
    f.table("z1", &[batch(&pair("za", "zb"), Z)]);
    f
}

/// Checks that a query whose columns are written in braces answers the same over both sets of tables.
fn check_alike(f: &Fixture, sql: &str) {
    let (mut alike, mut different) = (sql.to_owned(), sql.to_owned());
    for table in ["p", "q", "z"] {
        for column in ["a", "b"] {
            let written = format!("{{{table}.{column}}}");
            alike = alike.replace(&written, &format!("{table}.{column}"));
            different = different.replace(&written, &format!("{table}.{table}{column}"));
        }
        let written = format!("{{{table}}}");
        alike = alike.replace(&written, table);
        different = different.replace(&written, &format!("{table}1 {table}"));
    }
    let sorted = |sql: &str| {
        let (_, mut rows) = f.try_query(sql).unwrap_or_else(|error| panic!("{sql}\n  {error}"));
        rows.sort();
        rows
    };
    assert_eq!(sorted(&alike), sorted(&different), "{alike}\n{different}");
}

#[test]
fn the_column_that_was_written_is_compared() {
    check_rows(
        &tables(),
        &[(
            "SELECT z.a FROM z WHERE EXISTS (SELECT p.a FROM p JOIN q ON p.b = q.b WHERE q.a = z.a) ORDER BY 1",
            &["2", "3", "5"],
        )],
    );
}

#[test]
fn names_of_columns_make_no_difference() {
    let f = tables();
    let conditions = [
        "{q.a} = {z.a}",
        "{p.a} = {z.a} AND {q.a} = {z.b}",
        "{q.b} = {z.a} AND {p.b} > {z.b}",
        "{q.a} + 1 = {z.a}",
        "{p.a} + {q.a} = {z.a}",
        "{q.a} < {z.a} OR {p.a} = {z.b}",
    ];
    for condition in conditions {
        for from in ["{p} JOIN {q} ON {p.b} = {q.b}", "{p}, {q}", "{q} LEFT JOIN {p} ON {p.a} = {q.b}"] {
            for outer in [
                "EXISTS (SELECT {p.a} FROM FROM_ WHERE COND)",
                "NOT EXISTS (SELECT {p.a} FROM FROM_ WHERE COND)",
                "EXISTS (SELECT {p.b} FROM FROM_ WHERE COND) OR {z.a} = 5",
                "{z.a} IN (SELECT {p.a} FROM FROM_ WHERE COND)",
                "{z.b} IN (SELECT {q.b} + 1 AS a FROM FROM_ WHERE COND)",
                "{z.a} NOT IN (SELECT {p.a} FROM FROM_ WHERE COND)",
                "({z.a} IN (SELECT {q.b} FROM FROM_ WHERE COND)) IS NULL",
                "EXISTS (SELECT 1 FROM (SELECT {p.b} AS a FROM FROM_ WHERE COND) d WHERE d.a = {z.b})",
                "EXISTS (SELECT 1 FROM (SELECT {p.b} AS a, {q.b} AS b FROM FROM_ WHERE COND) p WHERE p.a > 1)",
            ] {
                let outer = outer.replace("FROM_", from).replace("COND", condition);
                check_alike(&f, &format!("SELECT {{z.a}}, {{z.b}} FROM {{z}} WHERE {outer}"));
            }
        }
    }
}

#[test]
fn names_make_no_difference_to_values() {
    let f = tables();
    for condition in ["{q.a} = {z.a}", "{p.a} = {z.a} AND {q.a} = {z.b}", "{q.a} + 1 = {z.a}", "{p.a} + {q.b} = {z.b}"]
    {
        for from in ["{p} JOIN {q} ON {p.b} = {q.b}", "{p}, {q}", "{q} LEFT JOIN {p} ON {p.a} = {q.b}"] {
            for value in [
                "(SELECT max({p.a}) FROM FROM_ WHERE COND)",
                "(SELECT count({p.a}) AS a FROM FROM_ WHERE COND)",
                "(SELECT count({p.a}) AS a FROM FROM_ WHERE COND HAVING max({p.a}) > 1)",
                "(SELECT {p.a} FROM FROM_ WHERE COND ORDER BY {p.a} LIMIT 1)",
                "(SELECT DISTINCT 7 AS a FROM FROM_ WHERE COND)",
                "EXISTS (SELECT {p.a} FROM FROM_ WHERE COND)",
                "{z.a} IN (SELECT {p.a} FROM FROM_ WHERE COND)",
                "(SELECT sum(d.a) FROM (SELECT {p.b} AS a FROM FROM_ WHERE COND) d)",
            ] {
                let value = value.replace("FROM_", from).replace("COND", condition);
                check_alike(&f, &format!("SELECT {{z.a}}, {{z.b}}, {value} FROM {{z}}"));
                if !value.contains("ORDER BY") {
                    check_alike(&f, &format!("SELECT {{z.a}}, {{z.b}} FROM {{z}} WHERE {value} > 0"));
                }
            }
        }
    }
}
