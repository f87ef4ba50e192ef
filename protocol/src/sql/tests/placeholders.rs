//! Prepared statements: counting and binding.

use sqlparser::ast::Value;

use super::one;
use crate::sql::bind::{BindError, bind, count_placeholders};

fn text(text: &str) -> Value {
    Value::SingleQuotedString(text.to_owned())
}

fn number(digits: &str) -> Value {
    Value::Number(digits.to_owned(), false)
}

#[test]
fn values_take_the_place_of_placeholders() {
    let cases = [
        (
            "SELECT ?, ? FROM t WHERE a = ? LIMIT ?",
            vec![number("1"), text("it's"), Value::Null, number("5")],
            "SELECT 1, 'it\\'s' FROM t WHERE a = NULL LIMIT 5",
        ),
        ("SELECT a FROM t LIMIT ?, ?", vec![number("1"), number("2")], "SELECT a FROM t LIMIT 1, 2"),
        ("SELECT a - ?", vec![number("-5")], "SELECT a - -5"),
        ("SELECT trim(BOTH ? FROM ?)", vec![text("x"), text("y")], "SELECT TRIM(BOTH 'x' FROM 'y')"),
        ("SELECT a LIKE ? ESCAPE ?", vec![text("x"), text("!")], "SELECT a LIKE 'x' ESCAPE '!'"),
        (
            "SELECT date_add(?, INTERVAL ? DAY)",
            vec![text("2024-01-01"), number("3")],
            "SELECT date_add('2024-01-01', INTERVAL 3 DAY)",
        ),
        (
            "SELECT (SELECT ? FROM t WHERE b IN (?, ?)) UNION SELECT ?",
            vec![number("1"), number("2"), number("3"), number("4")],
            "SELECT (SELECT 1 FROM t WHERE b IN (2, 3)) UNION SELECT 4",
        ),
        (
            "INSERT INTO t VALUES (?, DEFAULT), (?, ? + 1)",
            vec![number("1"), text("?"), number("2")],
            "INSERT INTO t VALUES (1, DEFAULT), ('?', 2 + 1)",
        ),
        ("INSERT INTO t SELECT ?", vec![Value::Boolean(true)], "INSERT INTO t SELECT true"),
        (
            "DELETE FROM t WHERE a BETWEEN ? AND ?",
            vec![number("1"), number("2")],
            "DELETE FROM t WHERE a BETWEEN 1 AND 2",
        ),
        (
            "UPDATE t SET a = ?, b = DEFAULT WHERE c = ?",
            vec![number("1"), number("2")],
            "UPDATE t SET a = 1, b = DEFAULT WHERE c = 2",
        ),
        ("EXPLAIN SELECT ?", vec![number("1")], "EXPLAIN SELECT 1"),
        ("SHOW TABLES WHERE a = ?", vec![text("x")], "SHOW TABLES WHERE a = 'x'"),
        (
            "SHOW PARTITIONS FROM t WHERE PartitionName = ? LIMIT 5",
            vec![text("p")],
            "SHOW PARTITIONS FROM t WHERE PartitionName = 'p' LIMIT 5",
        ),
        ("SET @x = ?, autocommit = ?", vec![number("1"), number("0")], "SET @x = 1, autocommit = 0"),
        ("CREATE TABLE t AS SELECT ? AS a", vec![number("1")], "CREATE TABLE t AS SELECT 1 AS a"),
        ("SELECT '?' /* ? */, `?`", vec![], "SELECT '?', `?`"),
        ("BACKUP SNAPSHOT d.l TO r", vec![], "BACKUP SNAPSHOT d.l TO r"),
    ];
    for (template, values, expected) in cases {
        let statement = one(template);
        assert_eq!(count_placeholders(&statement), values.len(), "{template}");
        let bound = bind(statement, &values).unwrap();
        assert_eq!(bound.to_string(), expected);
        assert_eq!(count_placeholders(&bound), 0, "{template}");
    }
}

#[test]
fn the_count_must_fit() {
    let refused = bind(one("SELECT ?, ?"), &[number("1")]).unwrap_err();
    assert_eq!(refused, BindError { expected: 2, given: 1 });
    assert_eq!(bind(one("SELECT 1"), &[number("1")]).unwrap_err(), BindError { expected: 0, given: 1 });
}

#[test]
fn each_statement_counts_its_own() {
    let statements = crate::sql::parse::parse("SELECT ?; SELECT ?, ?").unwrap();
    assert_eq!(statements.iter().map(count_placeholders).collect::<Vec<_>>(), [1, 2]);
}
