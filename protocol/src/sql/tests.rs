//! What the dialect must keep, as data: every statement of `testdata/sql/*.sql` parses and prints to a text that parses to the
//! same statement; every refusal of `refusals.txt` has its text; no text panics.

mod accounts;
mod backup;
mod captured;
mod corpus;
mod expressions;
mod placeholders;
mod properties;
mod redaction;
mod refusals;
mod schema;

use super::ast::Statement;
use super::parse::parse;

/// The one statement of a text.
fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{error}\nin {text}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

/// The error of a text, as clients see it.
fn error(text: &str) -> String {
    match parse(text) {
        Ok(statements) => panic!("{text} parses to {statements:?}"),
        Err(error) => error.to_string(),
    }
}

/// Fails unless what is printed reads back as the same statement.
fn round_trip(statement: &Statement) {
    let text = statement.to_string();
    assert_eq!(&one(&text), statement, "{text}");
}

/// The statements of a data file: one a line, a trailing backslash joins lines, lines of comment and empty ones are left out.
fn lines(data: &str) -> Vec<String> {
    let joined = data.replace("\\\n", "");
    joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("-- "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_statement_of_the_list_reads_back() {
    let statements = lines(include_str!("../../testdata/sql/statements.sql"));
    assert!(statements.len() > 400, "{} statements", statements.len());
    for text in statements {
        round_trip(&one(&text));
    }
}

#[test]
fn a_text_is_cut_at_semicolons_and_empty_statements_vanish() {
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse(" ;; -- nothing\n /* at all */ ; /*M!100100 SET x = 1 */;").unwrap(), []);
    let kinds = |text| parse(text).unwrap().iter().map(Statement::kind).collect::<Vec<_>>();
    assert_eq!(kinds("SELECT ';' ; USE d;SHOW BACKUP"), ["SELECT", "USE", "SHOW BACKUP"]);
    assert_eq!(kinds("/*!40101 SET NAMES binary*/;"), ["SET"]);
    // All or nothing.
    assert!(parse("SELECT 1; nonsense; SELECT 2").is_err());
}

#[test]
fn words_are_the_same_in_any_case_and_strings_in_either_quote() {
    let upper = one("BACKUP SNAPSHOT d.l TO r ON (t PARTITION (p)) PROPERTIES (\"type\" = \"full\")");
    assert_eq!(one("backup Snapshot d.l to r on (t partition (p)) properties ('type' = 'full')"), upper);
}

#[test]
fn every_example_of_the_documentation_parses() {
    let page = include_str!("../../../docs/sql.md");
    let mut examples = 0;
    for block in page.split("```sql\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let statements = parse(text).unwrap_or_else(|error| panic!("{error}\nin {text}"));
        statements.iter().for_each(round_trip);
        examples += statements.len();
    }
    assert!(examples > 60, "{examples} examples");
}
