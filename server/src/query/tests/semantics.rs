//! Values: arithmetic, comparison, truth, casts.

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch};

/// Each expression and the one value it has.
fn check(f: &Fixture, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (expr, expected) in cases {
        let actual = match f.try_query(&format!("SELECT {expr}")) {
            Ok((_, rows)) => rows.concat().join("|"),
            Err(error) => format!("error: {error}"),
        };
        if actual != *expected {
            wrong.push(format!("{expr}\n    expected {expected}\n    got      {actual}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn arithmetic() {
    check(
        &Fixture::new(),
        &[
            ("1 + 1", "2"),
            ("7 / 2", "3.5"),
            ("6 / 3", "2"),
            ("1 / 0", "NULL"),
            ("1.0 / 0", "NULL"),
            ("1e0 / 0", "NULL"),
            ("7 DIV 2", "3"),
            ("7 DIV 0", "NULL"),
            ("-7 DIV 2", "-3"),
            ("7 % 4", "3"),
            ("-7 % 4", "-3"),
            ("7 % 0", "NULL"),
            ("mod(7.5, 2)", "1.5"),
            ("0.1 + 0.2 = 0.3", "1"),
            ("0.1 + 0.2", "0.3"),
            ("10.0 / 4", "2.5000000"),
            ("1.5 * 2", "3.0"),
            ("1e3 + 1", "1001"),
            ("'5' + 3", "8"),
            ("'1.5' * '2'", "3"),
            ("'abc' + 1", "NULL"),
            ("true + true", "2"),
            ("(1 > 0) + (2 > 1)", "2"),
            ("NULL + 1", "NULL"),
            ("-(3)", "-3"),
            ("- '3'", "-3"),
            ("2147483647 + 1", "2147483648"),
            ("5 & 3, 5 | 3, 5 ^ 3, 1 << 4, 256 >> 2, ~0", "1|7|6|16|64|-1"),
            ("date '2024-01-31' + 1", "20240132"),
        ],
    );
}

#[test]
fn integers_of_columns_do_not_overflow_their_type() {
    let f = Fixture::new();
    f.table(
        "t",
        &[batch(
            &[("a", DataType::Int32), ("b", DataType::Int8), ("f", DataType::Float32)],
            &[&["2000000000", "100", "0.1"]],
        )],
    );
    assert_eq!(
        f.value("SELECT a + a, a * b, b + b, a / b, f + 1 > 1 FROM t"),
        "4000000000|200000000000|200|20000000|1"
    );
}

#[test]
fn truth() {
    check(
        &Fixture::new(),
        &[
            ("1 AND 1, 1 AND 0, NULL AND 0, NULL AND 1", "1|0|0|NULL"),
            ("1 OR NULL, 0 OR NULL", "1|NULL"),
            ("NOT 5, NOT 0, !1, NOT NULL", "0|1|0|NULL"),
            ("1 XOR 1, 1 XOR 0, 1 XOR NULL", "0|1|NULL"),
            ("1 || 0, 0 || 0", "1|0"),
            ("1 && 0", "0"),
            ("2 IS TRUE, 0 IS FALSE, NULL IS TRUE, NULL IS NOT TRUE", "1|1|0|1"),
            ("if(2, 'y', 'n'), if(0, 'y', 'n'), if(NULL, 'y', 'n')", "y|n|n"),
            ("CASE WHEN 1 THEN 'a' ELSE 'b' END", "a"),
            ("CASE 2 WHEN '2' THEN 'a' ELSE 'b' END", "a"),
            ("true, false, true = 1, false = 0, true = 2", "1|0|1|1|0"),
            ("1 <=> NULL, NULL <=> NULL, 1 <=> 1, 'a' <=> 'a'", "0|1|1|1"),
        ],
    );
    let f = Fixture::new();
    f.table("t", &[batch(&[("a", DataType::Int32), ("ok", DataType::Boolean)], &[&["0", "true"], &["5", "false"]])]);
    assert_eq!(f.rows("SELECT a FROM t WHERE a"), ["5"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE ok"), ["0"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE ok = 0"), ["5"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE ok = 'true'"), ["0"]);
    assert_eq!(f.rows("SELECT a FROM t WHERE NOT a"), ["0"]);
    assert_eq!(f.value("SELECT count(*) FROM t x JOIN t y ON x.a"), "2");
}

#[test]
fn comparison_of_different_types() {
    check(
        &Fixture::new(),
        &[
            ("'10' > 9, '10' = 10.0, '1e1' = 10", "1|1|1"),
            ("'abc' = 0", "NULL"),
            ("5 IN ('5', '6'), 5 IN ('7', NULL), '5' IN (5, 6)", "1|NULL|1"),
            ("5 BETWEEN '1' AND '9', '5' BETWEEN 1 AND 9, 5 NOT BETWEEN '6' AND '9'", "1|1|1"),
            ("date '2024-01-31' = '2024-01-31', date '2024-01-31' < '2024-02-01'", "1|1"),
            ("date '2024-01-31' < '2024-01-31 00:00:01'", "1"),
            ("date '2024-01-31' = 20240131", "1"),
            ("timestamp '2024-01-31 10:00:00' > date '2024-01-31'", "1"),
            ("timestamp '2024-01-31 00:00:00' = date '2024-01-31'", "1"),
            ("date '2024-01-31' IN ('2024-01-31', '2024-02-01')", "1"),
            ("(1, 2) = (1, 2), (1, 2) IN ((1, 3), (1, 2))", "1|1"),
            ("'a' = 'A', 'a' LIKE 'A', 'abc' LIKE 'a%', 'a_c' LIKE 'a\\_c', 'abc' LIKE 'a\\_c'", "0|0|1|1|0"),
            ("'abc' REGEXP '^a.c$', 'abc' RLIKE 'b', 'abc' NOT REGEXP 'x'", "1|1|1"),
            ("123 LIKE '12%'", "1"),
            ("\"double\" = 'double'", "1"),
        ],
    );
}

#[test]
fn comparison_keeps_the_column_bare() {
    let f = Fixture::new();
    f.table(
        "t",
        &[batch(
            &[("d", DataType::Date32), ("n", DataType::Int32), ("ts", DATETIME), ("s", DataType::Utf8)],
            &[&["2024-01-31", "5", "2024-01-31 10:00:00", "7"], &["2023-01-01", "6", "2023-01-01 00:00:00", "x"]],
        )],
    );
    for predicate in [
        "d >= '2024-01-01'",
        "n = '5'",
        "ts > '2024-01-01'",
        "n IN ('5', '9')",
        "d BETWEEN '2024-01-01' AND '2024-12-31'",
    ] {
        assert_eq!(f.value(&format!("SELECT count(*) FROM t WHERE {predicate}")), "1", "{predicate}");
        let plan = f.explain(&format!("SELECT n FROM t WHERE {predicate}"));
        assert!(!plan.to_lowercase().contains("cast"), "{predicate}:\n{plan}");
    }
    assert_eq!(f.value("SELECT n FROM t WHERE s = 7"), "5");
    assert_eq!(f.value("SELECT n FROM t WHERE d = 20230101"), "6");
}

#[test]
fn casts() {
    check(
        &Fixture::new(),
        &[
            ("CAST('12' AS SIGNED), CAST('12' AS UNSIGNED), CAST('x' AS SIGNED)", "12|12|NULL"),
            ("CAST('9223372036854775807' AS SIGNED)", "9223372036854775807"),
            ("CAST('170141183460469231731687303715884105727' AS LARGEINT)", "170141183460469231731687303715884105727"),
            // An integer is what stands before the point, whatever it is made of.
            ("CAST('1.5' AS INT), CAST('-1.5' AS BIGINT), CAST('2.7' AS UNSIGNED), CAST('.9' AS INT)", "1|-1|2|0"),
            ("CAST(1.5 AS INT), CAST(-1.5 AS INT), CAST(1.5e0 AS INT), CAST('1.5e1' AS INT)", "1|-1|1|15"),
            ("CAST('2.5' AS LARGEINT), CAST(2.5 AS LARGEINT), CAST(-2.5e0 AS LARGEINT)", "2|2|-2"),
            (
                "CAST('12abc' AS INT), CAST('' AS INT), CAST(' 12 ' AS INT), CAST('99999999999' AS INT)",
                "NULL|NULL|12|NULL",
            ),
            ("CAST(1.9 AS SIGNED), CAST('1.5' AS DECIMAL(10,1)), CAST('1.25' AS DECIMAL(10,1))", "1|1.5|1.3"),
            ("CAST(123 AS CHAR), CAST('abcdef' AS CHAR(3)), CAST(1.50 AS STRING)", "123|abc|1.50"),
            (
                "CAST('2024-01-31' AS DATE), CAST('2024-1-5 10:00' AS DATETIME), CAST('nope' AS DATE)",
                "2024-01-31|2024-01-05 10:00:00|NULL",
            ),
            ("CAST('2024-01-31 10:11:12' AS DATE), CAST(20240131 AS DATE)", "2024-01-31|2024-01-31"),
            (
                "CAST(timestamp '2024-01-31 10:00:00' AS CHAR), CAST(date '2024-01-31' AS SIGNED)",
                "2024-01-31 10:00:00|20240131",
            ),
            ("CAST(true AS CHAR), CAST('true' AS BOOLEAN), CAST(3 AS BOOLEAN)", "1|1|1"),
            ("CONVERT('5', SIGNED), CONVERT('x' USING utf8mb4), CAST('1.5e2' AS DOUBLE)", "5|x|150"),
            ("CAST(1.5 AS DOUBLE), CAST(1/3 AS FLOAT)", "1.5|0.33333334"),
            ("CAST(11 + 5 AS signed integer)", "16"),
            ("BINARY 'x' = 'x'", "1"),
        ],
    );
}

#[test]
fn intervals() {
    check(
        &Fixture::new(),
        &[
            ("date '2024-01-31' + INTERVAL 1 MONTH", "2024-02-29"),
            ("date '2024-01-31' - INTERVAL 1 DAY", "2024-01-30"),
            ("INTERVAL 1 DAY + date '2024-01-31'", "2024-02-01"),
            ("date '2024-01-31' + INTERVAL 1 HOUR", "2024-01-31 01:00:00"),
            ("timestamp '2024-01-31 10:00:00' + INTERVAL '90' MINUTE", "2024-01-31 11:30:00"),
            ("date '1998-12-01' - interval '90' day", "1998-09-02"),
            ("date_add('2024-01-31', INTERVAL 1 YEAR)", "2025-01-31 00:00:00"),
            (
                "date_sub(date '2024-03-31', INTERVAL 1 QUARTER), adddate(date '2024-01-01', 31)",
                "2023-12-31|2024-02-01",
            ),
            ("date_add(date '2024-01-31', INTERVAL -1 WEEK)", "2024-01-24"),
            (
                "MAKEDATE(YEAR(date '2024-05-05'), 1) + INTERVAL (QUARTER(date '2024-05-05')) QUARTER - INTERVAL '1' QUARTER",
                "2024-04-01",
            ),
            ("timestamp '2024-01-31 10:00:00' + INTERVAL 1.5 SECOND", "2024-01-31 10:00:01.500000"),
            ("date '9999-12-31' + INTERVAL 1 DAY", "NULL"),
        ],
    );
}

#[test]
fn session() {
    let mut f = Fixture::new();
    check(
        &f,
        &[
            (
                "database(), schema(), user(), current_user(), current_user, connection_id()",
                "db|db|'root'@'127.0.0.1'|'root'@'%'|'root'@'%'|7",
            ),
            ("version(), current_version(), current_role(), last_insert_id()", "8.0.33-ebla-0.1.0|0.1.0|root|3"),
            ("@@version_comment, @@session.autocommit, @@global.autocommit, @x, @unset", "Ebla|1|1|42|NULL"),
            ("@@sql_mode, @@SQL_MODE", "STRICT_TRANS_TABLES|STRICT_TRANS_TABLES"),
            ("now(), current_timestamp, localtime()", "2024-01-31 12:34:56|2024-01-31 12:34:56|2024-01-31 12:34:56"),
            (
                "now(6), curdate(), current_date, curtime(), utc_timestamp()",
                "2024-01-31 12:34:56.123456|2024-01-31|2024-01-31|12:34:56|2024-01-31 12:34:56",
            ),
            (
                "unix_timestamp(), unix_timestamp('1970-01-01 00:00:10'), from_unixtime(10)",
                "1706704496|10|1970-01-01 00:00:10",
            ),
            ("concat(@@sql_mode, ',X')", "STRICT_TRANS_TABLES,X"),
        ],
    );
    assert!(f.error("SELECT @@missing").contains("Unknown system variable 'missing'"));
    f.context.time_zone = crate::query::TimeZone::parse("+08:00").unwrap();
    check(
        &f,
        &[(
            "now(), curdate(), unix_timestamp('1970-01-01 08:00:10'), from_unixtime(10, '%H:%i')",
            "2024-01-31 20:34:56|2024-01-31|10|08:00",
        )],
    );
    f.context.database = None;
    assert_eq!(f.value("SELECT database()"), "NULL");
    assert!(f.error("SELECT 1 FROM t").contains("No database selected"));
}

#[test]
fn unknown_functions_are_named() {
    let f = Fixture::new();
    assert!(f.error("SELECT frobnicate(1)").contains("No matching function with name: frobnicate"));
    assert!(f.error("SELECT left('a')").contains("argument"));
}
