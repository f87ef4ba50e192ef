//! Queries and expressions where the dialect is not sqlparser's MySQL: precedence, literals, depth.

use sqlparser::ast::{Expr, SetExpr, Value};

use super::{error, one, round_trip};
use crate::sql::ast::Statement;
use crate::sql::parse::{ParseOptions, parse_with};

/// The first expression of the SELECT list.
fn selected(statement: &Statement) -> Expr {
    let Statement::Query(query) = statement else { panic!("{statement}") };
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("{statement}") };
    match &select.projection[0] {
        sqlparser::ast::SelectItem::UnnamedExpr(expr) => expr.clone(),
        other => panic!("{other}"),
    }
}

/// The tree with all its parentheses.
fn shape(expr: &Expr) -> String {
    match expr {
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shape(left), shape(right)),
        other => other.to_string(),
    }
}

#[test]
fn operators_bind_as_mysql_has_it() {
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a DIV b + c", "((a DIV b) + c)"),
        ("a + b DIV c", "(a + (b DIV c))"),
        ("a MOD b * c", "((a % b) * c)"),
        ("j -> 'a' = 1", "((j -> 'a') = 1)"),
        ("j ->> 'a' + 1 * k -> 'b' -> 'c'", "((j ->> 'a') + (1 * ((k -> 'b') -> 'c')))"),
        ("j -> 'a' IS NOT NULL", "j -> 'a' IS NOT NULL"),
        ("a OR b AND c", "(a OR (b AND c))"),
        ("a OR b XOR c", "(a OR (b XOR c))"),
        ("a = 1 XOR b = 2", "((a = 1) XOR (b = 2))"),
        ("a XOR b AND c", "(a XOR (b AND c))"),
        ("a & b = c", "((a & b) = c)"),
        ("a | b & c", "(a | (b & c))"),
        ("a & b << c", "(a & (b << c))"),
        ("a << b + c", "(a << (b + c))"),
        ("a * b ^ c", "(a * (b ^ c))"),
        ("a || b", "(a OR b)"),
        ("a && b OR c", "((a AND b) OR c)"),
        ("@x := 1 + 2", "(@x := (1 + 2))"),
        ("@x := a OR b", "(@x := (a OR b))"),
        ("a OR b OR c OR d OR e", "(((a OR b) OR (c OR d)) OR e)"),
    ] {
        let statement = one(&format!("SELECT {text}"));
        assert_eq!(shape(&selected(&statement)), expected, "{text}");
        round_trip(&statement);
    }
}

/// `3e` begins a number in exponential form only where digits follow.
#[test]
fn names_begin_with_digits() {
    for (text, expected) in
        [("t.3d", "t.3d"), ("t.3ecret", "t.3ecret"), ("3ecret", "3ecret"), ("3E + t.4e", "(3E + t.4e)")]
    {
        let statement = one(&format!("SELECT {text}"));
        assert_eq!(shape(&selected(&statement)), expected, "{text}");
        round_trip(&statement);
    }
    assert_eq!(shape(&selected(&one("SELECT 3e2 + 4e"))), "(3e2 + 4e)");
    round_trip(&one("CREATE INDEX a.3ecret ON b. 3ecret(c.3 e)"));
    assert_ne!(one("SELECT 3 e"), one("SELECT 3e"));
}

#[test]
fn pipes_join_strings_when_the_session_says_so() {
    let options = ParseOptions { pipes_as_concat: true };
    let statement = parse_with("SELECT a || b = c", options).unwrap().remove(0);
    assert_eq!(shape(&selected(&statement)), "(concat(a, b) = c)");
    round_trip(&statement);
}

#[test]
fn strings_are_what_mysql_reads() {
    for (text, expected) in [
        (r"'it''s'", "it's"),
        (r"'it\'s'", "it's"),
        (r#""say ""x""""#, "say \"x\""),
        (r#""it's""#, "it's"),
        (r"'a\\b'", "a\\b"),
        (r"'a\nb\tc\0d\Ze'", "a\nb\tc\0d\u{1a}e"),
        (r"'50\%'", "50\\%"),
        (r"'\\%'", "\\%"),
        (r"'\q'", "q"),
        (r"N'n'", "n"),
        (r"_utf8mb4'u'", "u"),
        (r#"'a' 'b' "c""#, "abc"),
        ("'\u{1f600} 状态'", "\u{1f600} 状态"),
        (r"''''''", "''"),
        (r"'\\\''", "\\'"),
    ] {
        let statement = one(&format!("SELECT {text}"));
        let Expr::Value(value) = selected(&statement) else { panic!("{text}") };
        assert_eq!(value.value, Value::SingleQuotedString(expected.to_owned()), "{text}");
        round_trip(&statement);
    }
}

#[test]
fn dual_locks_and_hints_mean_nothing() {
    assert_eq!(one("SELECT 1 FROM dual"), one("SELECT 1"));
    assert_eq!(one("SELECT a FROM t FOR UPDATE"), one("SELECT a FROM t"));
    assert_eq!(one("SELECT /*+ SET_VAR(x = 1) */ a FROM t JOIN [SHUFFLE] u"), one("SELECT a FROM t JOIN u"));
    assert_eq!(one("SELECT a AS 'x y' FROM t AS \"u\""), one("SELECT a AS `x y` FROM t AS `u`"));
    // Not when it is somebody's table.
    assert_ne!(one("SELECT 1 FROM `dual`"), one("SELECT 1"));
    assert_ne!(one("SELECT 1 FROM dual d"), one("SELECT 1"));
}

#[test]
fn a_query_changes_nothing() {
    for text in [
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "SELECT a INTO b FROM t",
        "SELECT * FROM (INSERT INTO t VALUES (1))",
    ] {
        error(text);
    }
}

/// An eighth of the stack that the server's threads have. What passes the limits must be parsed, printed, compared and
/// dropped on it.
const STACK_BYTES: usize = 8 << 20;

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}

#[test]
fn long_chains_of_and_and_or_are_balanced() {
    on_a_small_stack(|| {
        let terms: Vec<String> = (0..20_000).map(|n| format!("a = {n}")).collect();
        for word in [" OR ", " AND ", " || ", " && "] {
            let statement = one(&format!("SELECT 1 FROM t WHERE {}", terms.join(word)));
            round_trip(&statement);
        }
    });
}

#[test]
fn what_is_too_deep_is_refused_and_what_is_not_is_safe() {
    on_a_small_stack(|| {
        for (name, make) in [
            ("sum", (|n| format!("SELECT {}", vec!["1"; n].join(" + "))) as fn(usize) -> String),
            ("minus", |n| format!("SELECT {}1", "- ".repeat(n))),
            ("not", |n| format!("SELECT {}1", "NOT ".repeat(n))),
            ("parentheses", |n| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n))),
            ("open", |n| format!("SELECT {}", "(".repeat(n))),
            ("from", |n| format!("SELECT * FROM {}t{}", "(".repeat(n), ")".repeat(n))),
            ("calls", |n| format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n))),
            ("subqueries", |n| format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n))),
            ("derived", |n| format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n))),
            ("unions", |n| format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n))),
            ("is null", |n| format!("SELECT a{}", " IS NULL".repeat(n))),
            ("between", |n| format!("SELECT a{}", " BETWEEN 1 AND 2".repeat(n))),
            ("distinct from", |n| format!("SELECT a{}", " IS DISTINCT FROM limit".repeat(n))),
            ("odd names", |n| format!("SELECT 1{}", " + limit + where * group".repeat(n))),
            ("like", |n| format!("SELECT a{}", " LIKE from".repeat(n))),
            ("cases", |n| format!("SELECT {}", vec!["CASE WHEN a THEN b END"; n].join(" + "))),
            ("nested cases", |n| format!("SELECT {}1{}", "CASE WHEN ".repeat(n), " THEN 1 END".repeat(n))),
            ("subscripts", |n| format!("SELECT a{}", "[1]".repeat(n))),
            ("arrays", |n| format!("SELECT {}1{}", "[".repeat(n), "]".repeat(n))),
            ("types", |n| format!("SELECT CAST(a AS {}INT{})", "ARRAY<".repeat(n), ">".repeat(n))),
            ("columns", |n| format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(n), ">".repeat(n))),
            ("structs", |n| format!("CREATE TABLE t (a {}INT{})", "STRUCT<b ".repeat(n), ">".repeat(n))),
            ("intervals", |n| format!("SELECT {}1 DAY", "INTERVAL ".repeat(n))),
            ("explain", |n| format!("{}SELECT 1", "EXPLAIN ".repeat(n))),
            ("exists", |n| format!("SELECT {}1{}", "EXISTS (SELECT ".repeat(n), ")".repeat(n))),
            ("in", |n| format!("SELECT {}1{}", "a IN (".repeat(n), ")".repeat(n))),
            ("with", |n| format!("{}SELECT 1{}", "WITH x AS (".repeat(n), ") SELECT 1".repeat(n))),
            ("joins", |n| format!("SELECT * FROM t{}", " JOIN u ON a = b".repeat(n))),
            ("arrows", |n| format!("SELECT a{}", " -> 'x'".repeat(n))),
            ("collate", |n| format!("SELECT a{}", " COLLATE x".repeat(n))),
            ("assign", |n| format!("SELECT {}1", "@a := ".repeat(n))),
            ("binary", |n| format!("SELECT {}1", "BINARY ".repeat(n))),
            ("grants", |n| format!("GRANT USAGE ON FUNCTION f({}INT{}) TO u", "MAP<INT,".repeat(n), ">".repeat(n))),
        ] {
            for size in [10, 60, 90, 130, 199, 450, 5_000] {
                let text = make(size);
                let begun = std::time::Instant::now();
                if let Ok(statements) = crate::sql::parse::parse(&text) {
                    for statement in &statements {
                        round_trip(&statement.clone());
                    }
                }
                let took = begun.elapsed();
                assert!(took.as_secs() < 20, "{name} of {size}: {took:?}");
            }
        }
    });
}

#[test]
fn an_alias_in_quotes_reads_back_whatever_backticks_it_has() {
    for (text, printed) in [
        ("SELECT 1 AS 'a`b'", "SELECT 1 AS `a``b`"),
        ("SELECT 1 AS 'a``b'", "SELECT 1 AS 'a``b'"),
        ("SELECT 1 AS \"``\"", "SELECT 1 AS '``'"),
        ("SELECT 1 AS 'it''s a``b'", "SELECT 1 AS \"it's a``b\""),
        ("SELECT 1 AS 'a``\"b'", "SELECT 1 AS 'a``\"b'"),
        ("SELECT x.* FROM (SELECT 1) AS '```' (c)", "SELECT x.* FROM (SELECT 1) AS '```' (c)"),
    ] {
        let statement = one(text);
        assert_eq!(statement.to_string(), printed);
        round_trip(&statement);
    }
    for text in ["SELECT 1 AS 'it''s \"a``b\"'", r"SELECT 1 AS 'a``\\b'"] {
        assert!(error(text).contains("two backticks side by side"), "{text}");
    }
}
