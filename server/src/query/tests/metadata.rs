//! What clients ask on their own: variables, information_schema, Superset's charts.
//!
//! `client_queries.sql` was seen on the wire. Every statement of it must plan and run over tables that have the columns
//! it names; a few answers are checked.

use std::sync::LazyLock;

use arrow::datatypes::DataType;

use super::support::{DATETIME, Fixture, batch};

const CORPUS: &str = include_str!("client_queries.sql");

/// A virtual table of text columns, but for those whose names start with `#`, which are numbers.
fn virtual_table(fixture: &Fixture, name: &str, columns: &str, rows: &[&[&str]]) {
    let columns: Vec<(&str, DataType)> = columns
        .split_whitespace()
        .map(|column| match column.strip_prefix('#') {
            Some(number) => (number, DataType::Int64),
            None => (column, DataType::Utf8),
        })
        .collect();
    fixture.virtual_table(name, batch(&columns, rows));
}

static CLIENTS: LazyLock<Fixture> = LazyLock::new(|| {
    let mut f = Fixture::new();
    f.context.database = Some("probe_db".to_owned());
    virtual_table(
        &f,
        "tables",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE #TABLE_ROWS TABLE_COMMENT",
        &[
            &["def", "probe_db", "dd", "BASE TABLE", "OLAP", "2", ""],
            &["def", "probe_db", "v", "VIEW", "\\N", "\\N", "a view"],
            &["def", "information_schema", "tables", "SYSTEM VIEW", "MEMORY", "\\N", ""],
        ],
    );
    virtual_table(
        &f,
        "columns",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME #ORDINAL_POSITION COLUMN_DEFAULT IS_NULLABLE DATA_TYPE \
         #CHARACTER_MAXIMUM_LENGTH #CHARACTER_OCTET_LENGTH #NUMERIC_PRECISION #NUMERIC_SCALE #DATETIME_PRECISION \
         COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA COLUMN_COMMENT GENERATION_EXPRESSION",
        &[
            &[
                "def", "probe_db", "dd", "id", "1", "\\N", "NO", "int", "\\N", "\\N", "10", "0", "\\N", "\\N",
                "int(11)", "PRI", "", "", "",
            ],
            &[
                "def",
                "probe_db",
                "dd",
                "v",
                "2",
                "x",
                "YES",
                "varchar",
                "10",
                "40",
                "\\N",
                "\\N",
                "\\N",
                "utf8mb4_bin",
                "varchar(10)",
                "",
                "",
                "",
                "",
            ],
        ],
    );
    virtual_table(
        &f,
        "statistics",
        "TABLE_SCHEMA TABLE_NAME #NON_UNIQUE INDEX_NAME #SEQ_IN_INDEX COLUMN_NAME COLLATION #CARDINALITY",
        &[&["probe_db", "dd", "0", "PRIMARY", "1", "id", "A", "2"]],
    );
    virtual_table(
        &f,
        "key_column_usage",
        "CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME COLUMN_NAME #ORDINAL_POSITION \
         #POSITION_IN_UNIQUE_CONSTRAINT REFERENCED_TABLE_SCHEMA REFERENCED_TABLE_NAME REFERENCED_COLUMN_NAME",
        &[],
    );
    virtual_table(
        &f,
        "table_constraints",
        "CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE",
        &[],
    );
    virtual_table(
        &f,
        "referential_constraints",
        "CONSTRAINT_SCHEMA CONSTRAINT_NAME UNIQUE_CONSTRAINT_NAME UPDATE_RULE DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME",
        &[],
    );
    virtual_table(&f, "routines", "ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE ROUTINE_COMMENT SPECIFIC_NAME", &[]);
    virtual_table(
        &f,
        "files",
        "FILE_NAME FILE_TYPE TABLESPACE_NAME LOGFILE_GROUP_NAME ENGINE #TOTAL_EXTENTS #EXTENT_SIZE #INITIAL_SIZE EXTRA",
        &[],
    );
    virtual_table(&f, "partitions", "TABLE_SCHEMA TABLE_NAME TABLESPACE_NAME", &[]);
    virtual_table(&f, "keywords", "WORD #RESERVED", &[&["SELECT", "1"], &["ABS", "0"]]);
    virtual_table(&f, "schemata", "CATALOG_NAME SCHEMA_NAME", &[&["def", "probe_db"], &["def", "information_schema"]]);
    virtual_table(&f, "triggers", "TRIGGER_NAME EVENT_OBJECT_SCHEMA EVENT_OBJECT_TABLE", &[]);
    virtual_table(&f, "views", "TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION", &[]);
    virtual_table(&f, "parameters", "SPECIFIC_SCHEMA SPECIFIC_NAME PARAMETER_NAME", &[]);
    virtual_table(
        &f,
        "tables_config",
        "TABLE_SCHEMA TABLE_NAME TABLE_ENGINE TABLE_MODEL",
        &[&["probe_db", "dd", "OLAP", "DUP_KEYS"]],
    );

    let mut dd =
        f.table("dd", &[batch(&[("id", DataType::Int32), ("v", DataType::Utf8)], &[&["1", "a"], &["2", "b"]])]);
    let mut superset = f.table(
        "t_superset",
        &[batch(
            &[
                ("id", DataType::Int32),
                ("cat", DataType::Utf8),
                ("amount", DataType::Decimal128(18, 4)),
                ("ts", DATETIME),
            ],
            &[
                &["1", "c1", "1.25", "2024-02-15 10:20:00"],
                &["2", "c1", "2.25", "2024-02-15 10:40:00"],
                &["3", "c0", "5.00", "2024-05-16 11:00:00"],
                &["4", "c2", "9.00", "2024-05-16 11:00:00"],
            ],
        )],
    );
    // The same tables in the database of the captured statements.
    let mut relations = f.catalog.relations.lock();
    for view in [&mut dd, &mut superset] {
        let name = view.name.clone();
        let relation = relations.get(&("db".to_owned(), name.clone())).unwrap().clone();
        relations.insert(("probe_db".to_owned(), name), relation);
    }
    drop(relations);
    f
});

fn statements() -> impl Iterator<Item = &'static str> {
    CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with("--"))
}

/// The captured statement that holds all of some texts.
fn statement(parts: &[&str]) -> &'static str {
    statements()
        .find(|line| parts.iter().all(|part| line.contains(part)))
        .unwrap_or_else(|| panic!("no statement with {parts:?}"))
}

#[test]
fn every_statement_of_the_clients_runs() {
    let mut wrong = Vec::new();
    for sql in statements() {
        if sql.contains('?') {
            let query = super::support::parse_query(sql);
            if let Err(error) = super::support::ENGINE.describe(&query, &CLIENTS.context) {
                wrong.push(format!("{sql}\n    {error:?}"));
            }
        } else if let Err(error) = CLIENTS.try_query(sql) {
            wrong.push(format!("{sql}\n    {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn having_filters_by_alias() {
    let sql = statement(&["HAVING TABLE_TYPE IN ('TABLE','VIEW',null,null,null)"]);
    let (headers, rows) = CLIENTS.try_query(sql).unwrap();
    assert_eq!(headers[..4], ["TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE"]);
    let kinds: Vec<(&str, &str)> = rows.iter().map(|row| (row[2].as_str(), row[3].as_str())).collect();
    assert_eq!(kinds, [("dd", "TABLE"), ("v", "VIEW")]);
}

#[test]
fn assignments_inside_a_list_are_seen_by_later_items() {
    let sql = statement(&["@dt:= IF(NUMERIC_PRECISION=1,(-7), (-2))"]);
    let (headers, rows) = CLIENTS.try_query(sql).unwrap();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let column = |name: &str| -> Vec<&str> { rows.iter().map(|row| row[at(name)].as_str()).collect() };
    assert_eq!(column("DATA_TYPE"), ["4", "-9"]);
    assert_eq!(column("TYPE_NAME"), ["INT", "VARCHAR"]);
    assert_eq!(column("COLUMN_SIZE"), ["10", "10"]);
    assert_eq!(column("BUFFER_LENGTH"), ["4", "40"]);
    assert_eq!(column("SQL_DATA_TYPE"), ["4", "-9"]);
}

#[test]
fn superset_grains() {
    let rows = |part: &str| {
        CLIENTS.rows(&format!("SELECT {part} AS g, sum(amount) FROM t_superset GROUP BY {part} ORDER BY 1"))
    };
    assert_eq!(rows("DATE(ts)"), ["2024-02-15|3.5000", "2024-05-16|14.0000"]);
    assert_eq!(
        rows("DATE(DATE_SUB(ts, INTERVAL (DAYOFMONTH(ts) - 1) DAY))"),
        ["2024-02-01|3.5000", "2024-05-01|14.0000"]
    );
    assert_eq!(
        rows("DATE(DATE_SUB(ts, INTERVAL (DAYOFWEEK(ts) - 1) DAY))"),
        ["2024-02-11|3.5000", "2024-05-12|14.0000"]
    );
    assert_eq!(rows("DATE(DATE_SUB(ts, INTERVAL (DAYOFYEAR(ts) - 1) DAY))"), ["2024-01-01|17.5000"]);
    assert_eq!(
        rows("MAKEDATE(YEAR(ts), 1) + INTERVAL (QUARTER(ts)) QUARTER - INTERVAL '1' QUARTER"),
        ["2024-01-01|3.5000", "2024-04-01|14.0000"]
    );
    assert_eq!(
        rows("DATE_ADD(DATE(ts), INTERVAL (HOUR(ts)) HOUR)"),
        ["2024-02-15 10:00:00|3.5000", "2024-05-16 11:00:00|14.0000"]
    );
    assert_eq!(rows("DATE_ADD(DATE(ts), INTERVAL (HOUR(ts) * 60 + MINUTE(ts)) MINUTE)").len(), 3);
    let chart = statement(&["SELECT DATE(ts) AS __timestamp", "series_limit"]);
    let (headers, mut found) = CLIENTS.try_query(chart).unwrap();
    assert_eq!(headers, ["__timestamp", "cat", "s"]);
    found.sort();
    assert_eq!(found, [["2024-02-15", "c1", "3.5000"], ["2024-05-16", "c0", "5.0000"]]);
}

#[test]
fn information_schema_matches_in_any_case() {
    assert_eq!(CLIENTS.value("SELECT count(*) FROM INFORMATION_SCHEMA.TABLES"), "3");
    assert_eq!(CLIENTS.headers("SELECT * FROM information_schema.Schemata"), ["CATALOG_NAME", "SCHEMA_NAME"]);
    assert_eq!(CLIENTS.value("SELECT t.table_name FROM information_schema.tables t WHERE t.Engine = 'OLAP'"), "dd");
    assert_eq!(
        CLIENTS
            .value("SELECT information_schema.tables.table_name FROM INFORMATION_SCHEMA.tables WHERE Engine = 'OLAP'"),
        "dd"
    );
    let error = CLIENTS.error("SELECT * FROM information_schema.nothing");
    assert!(error.contains("Unknown table 'information_schema.nothing'"), "{error}");
}
