//! Prepared statements: counting and binding.

use sqlparser::ast::Value;
use sqlparser::tokenizer::Token;

use super::{lines, one};
use crate::sql::bind::{BindError, bind, count_placeholders};
use crate::sql::lex;
use crate::sql::parse::ParseOptions;
use crate::sql::template::{Template, TemplateError, prepare};

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

/// The one template of a text.
fn template(text: &str) -> Template {
    let mut templates = prepare(text, ParseOptions::default()).unwrap_or_else(|error| panic!("{error}\nin {text}"));
    assert_eq!(templates.len(), 1, "{text}");
    templates.remove(0)
}

#[test]
fn a_parameter_takes_the_place_of_any_literal() {
    let cases = [
        (
            "RESTORE SNAPSHOT d.l FROM r ON (t) PROPERTIES (\"backup_timestamp\" = ?, \"replication_num\" = ?)",
            vec![text("2024-01-01-00-00-00-000"), number("1")],
            "RESTORE SNAPSHOT d.l FROM r ON (t) PROPERTIES (\"backup_timestamp\" = '2024-01-01-00-00-00-000', \"replication_num\" = 1)",
        ),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = ? AND TIMESTAMP = ?",
            vec![text("l"), text("t")],
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'l' AND TIMESTAMP = 't'",
        ),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT IN (?, ?)",
            vec![text("l"), text("it's")],
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT IN ('l', 'it\\'s')",
        ),
        (
            "DROP SNAPSHOT ON r WHERE TIMESTAMP <= ? FORCE",
            vec![text("t")],
            "DROP SNAPSHOT ON r WHERE TIMESTAMP <= 't' FORCE",
        ),
        (
            "SHOW PARTITIONS FROM t WHERE PartitionName = ? LIMIT ?",
            vec![text("p"), number("5")],
            "SHOW PARTITIONS FROM t WHERE PartitionName = 'p' LIMIT 5",
        ),
        ("SHOW TABLES LIKE ?", vec![text("a%")], "SHOW TABLES LIKE 'a%'"),
        ("KILL QUERY ?", vec![number("12")], "KILL QUERY 12"),
        ("SET NAMES ?", vec![text("utf8mb4")], "SET NAMES 'utf8mb4'"),
        (
            "CREATE USER jack IDENTIFIED BY ?",
            vec![text("' OR '1'='1")],
            "CREATE USER jack IDENTIFIED BY '\\' OR \\'1\\'=\\'1'",
        ),
        // One parameter in the tree after one that is not.
        (
            "CREATE TABLE t PROPERTIES (\"compression\" = ?) AS SELECT ? AS a",
            vec![text("zstd"), number("-5")],
            "CREATE TABLE t PROPERTIES (\"compression\" = 'zstd') AS SELECT -5 AS a",
        ),
    ];
    for (with_parameters, values, expected) in cases {
        let template = template(with_parameters);
        assert_eq!(template.parameter_count(), values.len(), "{with_parameters}");
        assert_eq!(template.bind(&values).unwrap(), one(expected), "{with_parameters}");
    }
}

#[test]
fn what_is_no_place_for_a_parameter_is_refused_when_it_is_prepared() {
    for text in [
        "BACKUP SNAPSHOT d.? TO r",
        "SELECT * FROM ?",
        "SHOW SNAPSHOT ON r WHERE ? = SNAPSHOT",
        "BACKUP SNAPSHOT d.l TO r ON (?)",
        "? SNAPSHOT",
    ] {
        assert!(prepare(text, ParseOptions::default()).is_err(), "{text}");
    }
    let error = prepare("SELECT * FROM t; BACKUP SNAPSHOT d.? TO r", ParseOptions::default()).unwrap_err().to_string();
    assert!(error.contains("found '?' (a parameter"), "{error}");
}

#[test]
fn a_value_that_makes_no_sense_in_its_place_is_refused_when_it_is_bound() {
    let refused = template("KILL QUERY ?").bind(&[text("x")]).unwrap_err();
    assert!(refused.to_string().contains("a whole number"), "{refused}");
    let refused = template("SHOW TABLES LIKE ?").bind(&[]).unwrap_err();
    assert_eq!(refused, TemplateError::Count(BindError { expected: 1, given: 0 }));
}

/// Every literal of every statement in the list becomes a parameter, one at a time: what comes of binding it is the
/// statement as it was written, or PREPARE says no.
#[test]
fn any_literal_of_any_statement_may_be_a_parameter() {
    let (mut taken, mut refused) = (0, Vec::new());
    for text in lines(include_str!("../../../testdata/sql/statements.sql")) {
        let written = one(&text);
        let options = ParseOptions::default();
        let mut tokens = lex::split(options.dialect(), &text).unwrap().remove(0);
        if count_placeholders(&written) > 0 {
            continue;
        }
        for at in 0..tokens.tokens.len() {
            let value = match &tokens.tokens[at].token {
                Token::SingleQuotedString(text) => Value::SingleQuotedString(text.clone()),
                Token::Number(digits, long) => Value::Number(digits.clone(), *long),
                _ => continue,
            };
            let literal = std::mem::replace(&mut tokens.tokens[at].token, Token::Placeholder("$1".to_owned()));
            match Template::read(tokens.clone(), options) {
                Ok(template) => {
                    assert_eq!(template.bind(&[value]).unwrap(), written, "token {at} of {text}");
                    taken += 1;
                }
                Err(_) => refused.push(format!("{literal} of {text}")),
            }
            tokens.tokens[at].token = literal;
        }
    }
    // Lengths of types, signs of bounds, aliases, adjacent strings, addresses: nothing that a program would fill in.
    assert!(taken > 400 && refused.len() <= 16, "{taken} taken, {} refused:\n{}", refused.len(), refused.join("\n"));
}
