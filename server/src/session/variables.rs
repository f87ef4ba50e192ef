//! Variables of a session and of the server: which there are, what they may be set to.
//!
//! Clients set and read many variables of MySQL that mean nothing here; those are kept and given back, so that drivers
//! and tools find what they put there. The few that do mean something say so beside their names.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// What a variable may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// ON, OFF, TRUE, FALSE, 1, 0; shown as `1` or `0` for MySQL's own, which clients parse as numbers.
    Switch,
    /// A whole number.
    Number,
    /// A whole number between these; what is out of their range becomes its nearest end, as in MySQL.
    Between(i128, i128),
    /// Any text.
    Text,
    /// Nothing: it tells a fact.
    Fact,
}

/// How long a client may be idle: from a second to a year.
const IDLE_SECONDS: Kind = Kind::Between(1, 31_536_000);

/// A variable with its default.
type Variable = (&'static str, Kind, &'static str);

/// Every variable but those whose value the server works out (see [`Variables::new`]), by name.
const VARIABLES: &[Variable] = &[
    ("activate_all_roles_on_login", Kind::Switch, "0"),
    ("auto_increment_increment", Kind::Number, "1"),
    ("auto_increment_offset", Kind::Number, "1"),
    ("autocommit", Kind::Switch, "1"),
    // Where MySQL is installed: tools look below it for what is not there.
    ("basedir", Kind::Fact, ""),
    ("big_tables", Kind::Switch, "0"),
    ("character_set_client", Kind::Text, "utf8mb4"),
    ("character_set_connection", Kind::Text, "utf8mb4"),
    ("character_set_database", Kind::Text, "utf8mb4"),
    ("character_set_filesystem", Kind::Text, "binary"),
    ("character_set_results", Kind::Text, "utf8mb4"),
    ("character_set_server", Kind::Text, "utf8mb4"),
    ("character_set_system", Kind::Fact, "utf8mb3"),
    ("collation_connection", Kind::Text, "utf8mb4_0900_bin"),
    ("collation_database", Kind::Text, "utf8mb4_0900_bin"),
    ("collation_server", Kind::Text, "utf8mb4_0900_bin"),
    // How often a recursive query may read its own rows again.
    ("cte_max_recursion_depth", Kind::Number, "1000"),
    ("default_storage_engine", Kind::Text, "OLAP"),
    ("default_week_format", Kind::Number, "0"),
    ("div_precision_increment", Kind::Number, "4"),
    // Whether an INSERT fails on the first row that does not fit, or leaves such rows out.
    ("enable_insert_strict", Kind::Switch, "1"),
    ("event_scheduler", Kind::Text, "OFF"),
    ("foreign_key_checks", Kind::Switch, "1"),
    // Bytes after which what GROUP_CONCAT joins is cut.
    ("group_concat_max_len", Kind::Between(4, i64::MAX as i128), "1024"),
    ("have_profiling", Kind::Fact, "NO"),
    ("have_query_cache", Kind::Fact, "NO"),
    ("have_ssl", Kind::Fact, "DISABLED"),
    ("hostname", Kind::Fact, "localhost"),
    // What MySQL 8's mysqldump sets first of all.
    ("information_schema_stats_expiry", Kind::Number, "86400"),
    ("init_connect", Kind::Text, ""),
    // What wait_timeout begins with where a person sits at the client.
    ("interactive_timeout", IDLE_SECONDS, "3600"),
    ("language", Kind::Fact, "english"),
    ("license", Kind::Fact, "Apache License 2.0"),
    ("local_infile", Kind::Fact, "0"),
    ("lock_wait_timeout", Kind::Number, "31536000"),
    ("log_bin", Kind::Fact, "0"),
    ("lower_case_table_names", Kind::Fact, "0"),
    ("max_execution_time", Kind::Number, "0"),
    ("net_buffer_length", Kind::Number, "16384"),
    ("net_read_timeout", Kind::Number, "60"),
    ("net_write_timeout", Kind::Number, "60"),
    ("optimizer_switch", Kind::Text, ""),
    ("performance_schema", Kind::Fact, "0"),
    ("port", Kind::Fact, "9030"),
    ("profiling", Kind::Switch, "0"),
    ("protocol_version", Kind::Fact, "10"),
    ("query_cache_size", Kind::Number, "0"),
    ("query_cache_type", Kind::Text, "0"),
    // Seconds after which a query is stopped.
    ("query_timeout", Kind::Number, "300"),
    ("read_only", Kind::Switch, "0"),
    ("session_track_schema", Kind::Switch, "1"),
    ("session_track_system_variables", Kind::Text, ""),
    ("session_track_transaction_info", Kind::Text, "OFF"),
    ("socket", Kind::Fact, ""),
    ("sql_auto_is_null", Kind::Switch, "0"),
    ("sql_big_selects", Kind::Switch, "1"),
    ("sql_log_bin", Kind::Switch, "1"),
    (
        "sql_mode",
        Kind::Text,
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO",
    ),
    ("sql_notes", Kind::Switch, "1"),
    ("sql_quote_show_create", Kind::Switch, "1"),
    ("sql_safe_updates", Kind::Switch, "0"),
    // Most rows of a SELECT without LIMIT.
    ("sql_select_limit", Kind::Number, "18446744073709551615"),
    ("sql_warnings", Kind::Switch, "0"),
    ("storage_engine", Kind::Text, "OLAP"),
    ("system_time_zone", Kind::Fact, "UTC"),
    // Zone of NOW(), and of every time that SHOW prints.
    ("time_zone", Kind::Text, "SYSTEM"),
    ("transaction_isolation", Kind::Text, "REPEATABLE-READ"),
    ("transaction_read_only", Kind::Switch, "0"),
    ("tx_isolation", Kind::Text, "REPEATABLE-READ"),
    ("tx_read_only", Kind::Switch, "0"),
    ("unique_checks", Kind::Switch, "1"),
    ("version_comment", Kind::Fact, "Ebla"),
    ("version_compile_machine", Kind::Fact, std::env::consts::ARCH),
    ("version_compile_os", Kind::Fact, std::env::consts::OS),
    // Seconds after which a client that sends nothing is sent away.
    ("wait_timeout", IDLE_SECONDS, "28800"),
];

/// The modes that MySQL, MariaDB and StarRocks know, so that clients of each may set what they are used to.
/// `ONLY_FULL_GROUP_BY`, `PIPES_AS_CONCAT` and `NO_BACKSLASH_ESCAPES` are the ones that could matter to a query.
const SQL_MODES: [&str; 38] = [
    "ALLOW_INVALID_DATES",
    "ANSI",
    "ANSI_QUOTES",
    "DB2",
    "EMPTY_STRING_IS_NULL",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "ERROR_IF_OVERFLOW",
    "FORBID_INVALID_DATE",
    "HIGH_NOT_PRECEDENCE",
    "IGNORE_BAD_TABLE_OPTIONS",
    "IGNORE_SPACE",
    "INVALID_DATES",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "NO_AUTO_CREATE_USER",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "NO_DIR_IN_CREATE",
    "NO_ENGINE_SUBSTITUTION",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ONLY_FULL_GROUP_BY",
    "ORACLE",
    "PAD_CHAR_TO_FULL_LENGTH",
    "PIPES_AS_CONCAT",
    "POSTGRESQL",
    "REAL_AS_FLOAT",
    "SORT_NULLS_LAST",
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "TIME_TRUNCATE_FRACTIONAL",
    "TRADITIONAL",
];

/// Values of variables by name: a session's, or the server's.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

impl Variables {
    /// The server's variables at start: defaults, then facts of this server, then what SET GLOBAL kept.
    pub fn new(facts: &[(&str, String)], kept: BTreeMap<String, String>) -> Variables {
        let mut values: BTreeMap<String, String> =
            VARIABLES.iter().map(|(name, _, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        values.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        // What an older version kept and this one does not know is passed over.
        values.extend(kept.into_iter().filter(|(name, _)| kind_of(name).is_some()));
        Variables { values }
    }

    /// The value of a variable, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// A number, when the variable is one.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Sets a variable; `None` gives it the value it has in `defaults`. Returns the value as kept.
    pub fn set(&mut self, name: &str, value: Option<&str>, defaults: &Variables) -> Result<String> {
        if !self.values.contains_key(name) {
            return Err(Error::UnknownVariable(name.to_owned()));
        }
        let bad = |value: &str| Error::BadVariableValue { name: name.to_owned(), value: value.to_owned() };
        let value = match (kind_of(name), value) {
            (None | Some(Kind::Fact), _) => {
                return Err(Error::ReadOnlyVariable(name.to_owned()));
            }
            (_, None) => defaults.get(name).unwrap_or_default().to_owned(),
            (Some(Kind::Switch), Some(value)) => match value.to_ascii_lowercase().as_str() {
                "1" | "on" | "true" => "1".to_owned(),
                "0" | "off" | "false" => "0".to_owned(),
                _ => return Err(bad(value)),
            },
            (Some(Kind::Number), Some(value)) => value.parse::<u64>().map_err(|_| bad(value))?.to_string(),
            (Some(Kind::Between(least, most)), Some(value)) => {
                value.parse::<i128>().map_err(|_| bad(value))?.clamp(least, most).to_string()
            }
            (Some(Kind::Text), Some(value)) => match name {
                "time_zone" => {
                    crate::query::TimeZone::parse(value).map_err(|_| bad(value))?;
                    value.to_owned()
                }
                "sql_mode" => sql_modes(value).map_err(|mode| match is_ansi(&mode) {
                    true => Error::AnsiQuotes(mode),
                    false => bad(&mode),
                })?,
                _ => value.to_owned(),
            },
        };
        self.values.insert(name.to_owned(), value.clone());
        // The two names of one thing.
        match name {
            "tx_isolation" => drop(self.values.insert("transaction_isolation".into(), value.clone())),
            "transaction_isolation" => drop(self.values.insert("tx_isolation".into(), value.clone())),
            _ => {}
        }
        Ok(value)
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Modes in which double quotes hold names. A statement has been read before its session's mode is looked at, and what
/// stands in double quotes is a text to the reader: with such a mode answers would be wrong without a word.
fn is_ansi(mode: &str) -> bool {
    ["ANSI", "ANSI_QUOTES", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"]
        .iter()
        .any(|ansi| ansi.eq_ignore_ascii_case(mode))
}

/// A list of SQL modes as it is kept: in capitals, each once. Errors with the first that is none or not to be had.
fn sql_modes(list: &str) -> Result<String, String> {
    let mut modes: Vec<String> = Vec::new();
    for mode in list.split(',').map(str::trim).filter(|mode| !mode.is_empty()) {
        let mode_upper = mode.to_ascii_uppercase();
        if !SQL_MODES.contains(&mode_upper.as_str()) || is_ansi(mode) {
            return Err(mode.to_owned());
        }
        if !modes.contains(&mode_upper) {
            modes.push(mode_upper);
        }
    }
    Ok(modes.join(","))
}

fn kind_of(name: &str) -> Option<Kind> {
    VARIABLES.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_kind() {
        let globals = Variables::new(&[("version", "8".into())], BTreeMap::new());
        let mut session = globals.clone();
        assert_eq!(session.set("autocommit", Some("OFF"), &globals).expect("a switch"), "0");
        assert_eq!(session.set("autocommit", None, &globals).expect("the default"), "1");
        assert_eq!(session.set("query_timeout", Some("5"), &globals).expect("a number"), "5");
        assert!(session.set("query_timeout", Some("x"), &globals).is_err());
        assert_eq!(session.set("wait_timeout", Some("0"), &globals).expect("the shortest"), "1");
        assert_eq!(session.set("wait_timeout", Some("99999999999"), &globals).expect("the longest"), "31536000");
        assert_eq!(session.set("group_concat_max_len", Some("-1"), &globals).expect("the shortest"), "4");
        assert!(session.set("wait_timeout", Some("soon"), &globals).is_err());
        assert!(session.set("version", Some("9"), &globals).is_err());
        assert!(session.set("nonsense", Some("9"), &globals).is_err());
        assert!(session.set("time_zone", Some("Mars/Olympus"), &globals).is_err());
        let modes = session.set("sql_mode", Some("pipes_as_concat, ONLY_FULL_GROUP_BY,PIPES_AS_CONCAT,"), &globals);
        assert_eq!(modes.expect("modes"), "PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY");
        assert_eq!(session.set("sql_mode", Some(""), &globals).expect("none"), "");
        assert!(session.set("sql_mode", Some("NO_ZERO_DATE,CAREFUL"), &globals).is_err());
        for ansi in ["ANSI_QUOTES", "STRICT_TRANS_TABLES,ansi", "Oracle"] {
            let refused = session.set("sql_mode", Some(ansi), &globals).expect_err(ansi);
            assert!(matches!(&refused, Error::AnsiQuotes(_)), "{refused:?}");
        }
        assert_eq!(session.get("sql_mode"), Some(""));
        session.set("tx_isolation", Some("READ-COMMITTED"), &globals).expect("a text");
        assert_eq!(session.get("transaction_isolation"), Some("READ-COMMITTED"));
    }
}
