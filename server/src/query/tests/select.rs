//! Names, headers, clauses.

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch, check_rows};

fn people() -> Fixture {
    let fixture = Fixture::new();
    fixture.table(
        "people",
        &[batch(
            &[
                ("Id", DataType::Int32),
                ("Name", DataType::Utf8),
                ("City", DataType::Utf8),
                ("Salary", DataType::Decimal128(10, 2)),
                ("Born", DataType::Date32),
                ("Active", DataType::Boolean),
                ("Seen", DATETIME),
            ],
            &[
                &["1", "Ann", "Rome", "100.50", "1990-01-31", "true", "2024-01-31 10:00:00"],
                &["2", "Bob", "Oslo", "200.00", "1985-06-15", "false", "2024-02-01 11:30:00"],
                &["3", "Cid", "Rome", "\\N", "2000-12-01", "true", "\\N"],
                &["4", "Dan", "\\N", "50.25", "\\N", "\\N", "2024-02-01 23:59:59.5"],
            ],
        )],
    );
    fixture.table(
        "cities",
        &[batch(
            &[("City", DataType::Utf8), ("Country", DataType::Utf8)],
            &[&["Rome", "Italy"], &["Oslo", "Norway"], &["Bern", "Swiss"]],
        )],
    );
    fixture
}

#[test]
fn columns_match_in_any_case_and_tables_do_not() {
    let f = people();
    assert_eq!(f.rows("SELECT ID, nAmE FROM people WHERE id = 1"), ["1|Ann"]);
    assert_eq!(f.rows("SELECT P.id FROM people P WHERE P.NAME = 'Bob'"), ["2"]);
    assert!(f.error("SELECT 1 FROM People").contains("Unknown table 'db.People'"));
    assert!(f.error("SELECT 1 FROM nodb.people").contains("Unknown database 'nodb'"));
    assert!(f.error("SELECT nam FROM people").contains("Column 'nam' cannot be resolved; did you mean 'name'?"));
}

#[test]
fn headers_are_what_the_user_wrote() {
    let f = people();
    assert_eq!(f.headers("SELECT * FROM people"), ["Id", "Name", "City", "Salary", "Born", "Active", "Seen"]);
    assert_eq!(
        f.headers(
            "SELECT ID, name AS FullName, count(*), 1 + 1, 'x', NULL, @@version_comment FROM people GROUP BY id, name"
        ),
        ["ID", "FullName", "count(*)", "1 + 1", "x", "NULL", "@@version_comment"]
    );
    assert_eq!(f.headers("SELECT * FROM (SELECT id AS Foo, COUNT(*) FROM people GROUP BY id) t"), ["Foo", "COUNT(*)"]);
    assert_eq!(
        f.headers("SELECT p.*, id FROM people p"),
        ["Id", "Name", "City", "Salary", "Born", "Active", "Seen", "id"]
    );
    assert_eq!(f.headers("SELECT people.Id FROM people UNION SELECT 3"), ["Id"]);
}

#[test]
fn output_names_may_repeat() {
    let f = people();
    assert_eq!(f.headers("SELECT id, id, ID FROM people"), ["id", "id", "ID"]);
    assert_eq!(f.rows("SELECT count(*), count(*) FROM people"), ["4|4"]);
    assert_eq!(f.headers("SELECT a.id, b.id FROM people a JOIN people b ON a.id = b.id"), ["id", "id"]);
    assert_eq!(f.rows("SELECT id x, name x FROM people WHERE id = 2"), ["2|Bob"]);
    assert_eq!(f.rows("SELECT 1, 1, 1"), ["1|1|1"]);
    assert_eq!(f.rows("SELECT *, id FROM cities, people WHERE id = 1 AND Country = 'Swiss'").len(), 1);
    assert_eq!(f.rows("SELECT 1 AS a, 1 UNION ALL SELECT 2, 2 ORDER BY a"), ["1|1", "2|2"]);
}

#[test]
fn databases_may_be_named() {
    let f = people();
    assert_eq!(f.value("SELECT count(*) FROM db.people"), "4");
    assert_eq!(f.value("SELECT count(*) FROM default_catalog.db.people"), "4");
    assert_eq!(f.value("SELECT db.people.Name FROM db.people WHERE people.id = 1"), "Ann");
    assert_eq!(f.value("SELECT people.name FROM `db`.`people` WHERE db.people.id = 2"), "Bob");
    assert_eq!(f.headers("SELECT db.people.* FROM people")[0], "Id");
    assert!(f.error("SELECT 1 FROM hive.db.people").contains("Unknown catalog 'hive'"));
}

#[test]
fn grouping_and_having_know_aliases_and_ordinals() {
    let f = people();
    assert_eq!(
        f.rows("SELECT upper(City) c, count(*) n FROM people GROUP BY c HAVING n > 1 ORDER BY n DESC, c"),
        ["ROME|2"]
    );
    assert_eq!(
        f.rows("SELECT city, sum(salary) AS salary FROM people GROUP BY 1 HAVING salary > 60 ORDER BY 2"),
        ["Rome|100.50", "Oslo|200.00"]
    );
    assert_eq!(f.rows("SELECT id AS k FROM people HAVING k > 3"), ["4"]);
    assert_eq!(
        f.rows("SELECT CASE WHEN id > 2 THEN 'big' ELSE 'small' END AS City FROM people HAVING City IN ('big', NULL) ORDER BY City"),
        ["big", "big"]
    );
    assert_eq!(
        f.rows("SELECT year(born), count(*) FROM people GROUP BY year(born) ORDER BY year(born) DESC LIMIT 1"),
        ["2000|1"]
    );
    // The session's sql_mode has no ONLY_FULL_GROUP_BY; with it this is an error.
    assert_eq!(
        f.rows("SELECT city, name, count(*) FROM people WHERE id < 3 GROUP BY city ORDER BY 1"),
        ["Oslo|Bob|1", "Rome|Ann|1"]
    );
    let mut strict = people();
    strict.context.variables = super::support::variables("ONLY_FULL_GROUP_BY");
    assert!(
        strict
            .error("SELECT id, city FROM people GROUP BY city")
            .contains("must be an aggregate expression or appear in GROUP BY")
    );
    assert_eq!(f.rows("SELECT count(*) FROM people HAVING count(*) > 100"), Vec::<String>::new());
}

#[test]
fn rollup_cube_and_grouping_sets() {
    let f = people();
    assert_eq!(
        f.rows("SELECT city, count(*) FROM people GROUP BY city WITH ROLLUP ORDER BY grouping(city), city"),
        ["NULL|1", "Oslo|1", "Rome|2", "NULL|4"]
    );
    assert_eq!(f.rows("SELECT city, active, count(*) FROM people GROUP BY CUBE(city, active)").len(), 10);
    assert_eq!(
        f.rows("SELECT city, count(*) FROM people GROUP BY GROUPING SETS ((city), ()) ORDER BY 2 DESC LIMIT 1"),
        ["NULL|4"]
    );
}

#[test]
fn joins() {
    let f = people();
    assert_eq!(
        f.rows("SELECT name, country FROM people JOIN cities USING (CITY) ORDER BY id"),
        ["Ann|Italy", "Bob|Norway", "Cid|Italy"]
    );
    assert_eq!(
        f.rows("SELECT p.name, c.country FROM people p LEFT JOIN cities c ON p.city = c.city WHERE c.city IS NULL"),
        ["Dan|NULL"]
    );
    assert_eq!(f.value("SELECT count(*) FROM people STRAIGHT_JOIN cities"), "12");
    assert_eq!(f.value("SELECT STRAIGHT_JOIN count(*) FROM people p, cities c WHERE p.city = c.city"), "3");
    assert_eq!(f.value("SELECT count(*) FROM people CROSS JOIN cities"), "12");
    assert_eq!(f.value("SELECT count(*) FROM people NATURAL JOIN cities"), "3");
    assert_eq!(
        f.rows("SELECT c.country FROM people p RIGHT JOIN cities c ON p.city = c.city WHERE p.id IS NULL"),
        ["Swiss"]
    );
    assert_eq!(f.value("SELECT count(*) FROM people USE INDEX (a) WHERE id > 0"), "4");
}

#[test]
fn subqueries_and_ctes() {
    let f = people();
    assert_eq!(
        f.rows("SELECT name FROM people p WHERE salary = (SELECT max(salary) FROM people q WHERE q.city = p.city) ORDER BY 1"),
        ["Ann", "Bob"]
    );
    assert_eq!(
        f.rows("SELECT country FROM cities c WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.city = c.city)"),
        ["Swiss"]
    );
    assert_eq!(
        f.rows("SELECT name FROM people WHERE city IN (SELECT CITY FROM cities WHERE country LIKE 'I%') ORDER BY 1"),
        ["Ann", "Cid"]
    );
    assert_eq!(
        f.rows("WITH Rich (Who, Pay) AS (SELECT name, salary FROM people WHERE salary > 60) SELECT who FROM Rich ORDER BY PAY"),
        ["Ann", "Bob"]
    );
    assert_eq!(
        f.rows("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n"),
        ["15"]
    );
    assert_eq!(f.value("SELECT (SELECT name FROM people WHERE id = 3)"), "Cid");
    assert_eq!(f.rows("SELECT x.n FROM (SELECT name AS n FROM people) AS x WHERE N = 'Bob'"), ["Bob"]);
}

#[test]
fn windows_and_qualify() {
    let f = people();
    assert_eq!(
        f.rows("SELECT name, row_number() OVER (PARTITION BY city ORDER BY id) rn FROM people WHERE city IS NOT NULL ORDER BY id"),
        ["Ann|1", "Bob|1", "Cid|2"]
    );
    assert_eq!(
        f.rows(
            "SELECT name FROM people QUALIFY row_number() OVER (PARTITION BY city ORDER BY id DESC) = 1 ORDER BY name"
        ),
        ["Bob", "Cid", "Dan"]
    );
    assert_eq!(
        f.rows("SELECT id, lag(id) OVER (ORDER BY id), sum(id) OVER (ORDER BY id) FROM people ORDER BY id LIMIT 2"),
        ["1|NULL|1", "2|1|3"]
    );
    assert_eq!(f.rows("SELECT id, row_number() OVER (ORDER BY id) - 3 AS d FROM people ORDER BY id LIMIT 1"), ["1|-2"]);
}

#[test]
fn limits_and_order() {
    let f = people();
    assert_eq!(f.rows("SELECT id FROM people ORDER BY id LIMIT 1, 2"), ["2", "3"]);
    assert_eq!(f.rows("SELECT id FROM people ORDER BY id LIMIT 1 OFFSET 3"), ["4"]);
    // NULL is the smallest value.
    assert_eq!(f.rows("SELECT salary FROM people ORDER BY salary"), ["NULL", "50.25", "100.50", "200.00"]);
    assert_eq!(f.rows("SELECT salary FROM people ORDER BY salary DESC"), ["200.00", "100.50", "50.25", "NULL"]);
    assert_eq!(f.rows("SELECT id FROM people ORDER BY salary * -1, ID LIMIT 2"), ["3", "2"]);
    assert_eq!(f.value("SELECT 1 FROM DUAL"), "1");
    let mut limited = people();
    limited.context.select_limit = Some(2);
    assert_eq!(limited.rows("SELECT id FROM people").len(), 2);
    assert_eq!(limited.rows("SELECT id FROM people LIMIT 3").len(), 3);
}

#[test]
fn partitions_may_be_named() {
    let f = people();
    assert_eq!(f.value("SELECT count(*) FROM people PARTITION (people)"), "4");
    assert!(f.error("SELECT 1 FROM people PARTITION (p9)").contains("Unknown partition 'p9'"));
}

#[test]
fn set_operations() {
    let f = people();
    assert_eq!(
        f.rows("SELECT city FROM people WHERE city IS NOT NULL INTERSECT SELECT city FROM cities ORDER BY 1"),
        ["Oslo", "Rome"]
    );
    assert_eq!(f.rows("SELECT city FROM cities EXCEPT SELECT city FROM people"), ["Bern"]);
    assert_eq!(f.rows("(SELECT 1 AS a) UNION (SELECT 2) ORDER BY A DESC"), ["2", "1"]);
    assert_eq!(f.rows("SELECT 1 UNION ALL SELECT 'a' ORDER BY 1"), ["1", "a"]);
}

#[test]
fn distinct_aggregates() {
    let f = people();
    assert_eq!(f.value("SELECT count(DISTINCT city) FROM people"), "2");
    assert_eq!(f.value("SELECT count(DISTINCT city, active) FROM people"), "2");
    assert_eq!(f.value("SELECT group_concat(name ORDER BY id DESC SEPARATOR '/') FROM people"), "Dan/Cid/Bob/Ann");
    assert_eq!(f.value("SELECT group_concat(DISTINCT city ORDER BY city) FROM people"), "Oslo,Rome");
    // As long as group_concat_max_len says, in whole characters.
    for joined in ["repeat('ü', 600)", "'a', repeat('ü', 600)", "DISTINCT repeat('ü', 600)"] {
        let bytes = if joined.starts_with('\'') { "1023" } else { "1024" };
        assert_eq!(f.value(&format!("SELECT length(group_concat({joined})) FROM people")), bytes, "{joined}");
    }
    assert_eq!(
        f.value("SELECT length(group_concat(repeat('x', 600))) > 1000 FROM people HAVING group_concat(id) > ''"),
        "1"
    );
    assert_eq!(f.value("SELECT group_concat(id, ':', name ORDER BY id) FROM people WHERE id < 3"), "1:Ann,2:Bob");
    assert_eq!(f.value("SELECT max_by(name, salary) FROM people"), "Bob");
    assert_eq!(f.value("SELECT sum(active), sum(city = 'Rome'), avg(id) FROM people"), "2|2|2.5");
    assert_eq!(f.value("SELECT ndv(city), approx_count_distinct(id) FROM people"), "2|4");
    assert_eq!(
        f.value("SELECT stddev(id), variance(id), stddev_samp(id) > stddev(id) FROM people"),
        "1.118033988749895|1.25|1"
    );
}

#[test]
fn a_limit_beyond_bigint_is_none() {
    let f = Fixture::new();
    f.table("few", &[batch(&[("k", DataType::Int32)], &[&["1"], &["2"], &["3"]])]);
    check_rows(
        &f,
        &[
            ("SELECT k FROM few ORDER BY k LIMIT 18446744073709551615", &["1", "2", "3"]),
            ("SELECT k FROM few ORDER BY k LIMIT 1, 18446744073709551615", &["2", "3"]),
            ("SELECT k FROM few ORDER BY k LIMIT 18446744073709551615 OFFSET 2", &["3"]),
            ("SELECT k FROM few ORDER BY k LIMIT 18446744073709551614 OFFSET 18446744073709551615", &[]),
            ("SELECT k FROM few ORDER BY k LIMIT 18446744073709551615, 18446744073709551615", &[]),
            ("SELECT max(k) FROM (SELECT k FROM few ORDER BY k LIMIT 9223372036854775808) AS s", &["3"]),
            ("SELECT k FROM few UNION ALL SELECT 4 ORDER BY k LIMIT 2, 18446744073709551615", &["3", "4"]),
        ],
    );
    // One more than MySQL's last.
    assert!(f.try_query("SELECT k FROM few LIMIT 18446744073709551616").is_err());
}
