//! Which words cannot be plain names.
//!
//! A reserved word is no name unless it stands in backticks. Many more words mean something only in their place (`SNAPSHOT`,
//! `LABEL`, `TYPE`, …) and are fine as names; they are quoted when printed all the same, so that what is printed reads
//! back as the same statement whatever stands around the name.

/// No names unless quoted. Fewer than StarRocks reserves: only those that would make a statement ambiguous.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "ALL", "ALTER", "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "COLLATE", "COLUMN", "CREATE", "CROSS", "DATABASE",
    "DATABASES", "DEFAULT", "DELETE", "DESC", "DESCRIBE", "DISTINCT", "DISTRIBUTED", "DROP", "ELSE", "EXCEPT",
    "EXISTS", "EXPLAIN", "FALSE", "FOR", "FORCE", "FROM", "FULL", "GRANT", "GROUP", "HAVING", "IF", "IGNORE", "IN",
    "INDEX", "INNER", "INSERT", "INTERSECT", "INTO", "IS", "JOIN", "KEY", "KEYS", "KILL", "LEFT", "LIKE", "LIMIT",
    "LOAD", "MAXVALUE", "MINUS", "NOT", "NULL", "ON", "OR", "ORDER", "OUTER", "OVER", "PARTITION", "PRIMARY",
    "PROCEDURE", "PROPERTIES", "QUALIFY", "REGEXP", "RENAME", "REPLACE", "REVOKE", "RIGHT", "RLIKE", "SCHEMA",
    "SCHEMAS", "SELECT", "SET", "SHOW", "TABLE", "THEN", "TO", "TRUE", "UNION", "UNIQUE", "UNSIGNED", "UPDATE", "USE",
    "USING", "VALUES", "WHEN", "WHERE", "WITH",
];

/// Names all right, and quoted when printed.
#[rustfmt::skip]
const QUOTED: &[&str] = &[
    "ACCESS", "ADD", "ADMIN", "AFTER", "AGGREGATE", "ALWAYS", "ANALYZE", "ARRAY", "AUTHENTICATION", "AUTO_INCREMENT",
    "BACKENDS", "BACKUP", "BASE", "BEGIN", "BIGINT", "BINARY", "BITMAP", "BITMAP_UNION", "BOOL", "BOOLEAN", "BRIEF",
    "BROKER", "BUCKETS", "BUILTIN", "CANCEL", "CATALOG", "CATALOGS", "CHAIN", "CHAR", "CHARACTER", "CHARSET",
    "COLLATION", "COLUMNS", "COMMENT", "COMMIT", "COMPACT", "COMPUTE", "CONFIG", "CONNECTION", "CONSTRAINT", "COSTS",
    "COUNT", "CUMULATIVE", "DATA", "DATE", "DATETIME", "DEALLOCATE", "DECIMAL", "DIV", "DOUBLE", "DUAL", "DUPLICATE",
    "DYNAMIC", "END", "ENGINE", "ENGINES", "ERRORS", "EVENTS", "EVERY", "EXCLUDE", "EXECUTE", "EXTERNAL", "FIELDS",
    "FIRST", "FLOAT", "FLUSH", "FRONTEND", "FRONTENDS", "FUNCTION", "FUNCTIONS", "GENERATED", "GLOBAL", "GRANTS",
    "HASH", "HDFS", "HLL", "HLL_UNION", "IDENTIFIED", "INDEXES", "INT", "INTEGER", "INTERVAL", "JSON", "LABEL",
    "LARGEINT", "LATERAL", "LESS", "LIST", "LOCAL", "LOCK", "LOGICAL", "LOGS", "LOW_PRIORITY", "MAP", "MASTER",
    "MATERIALIZED", "MAX", "MIN", "MOD", "MODIFY", "NAMES", "NATURAL", "NO", "NONE", "NUMERIC", "OFFSET", "ONLY",
    "OPEN", "OPTIMIZE", "OPTION", "OVERWRITE", "PARTITIONS", "PASSWORD", "PERCENTILE", "PERCENTILE_UNION", "PERSIST",
    "PLUGINS", "PREPARE", "PRIVILEGES", "PROC", "PROCESSLIST", "PROFILES", "QUERY", "QUOTA", "RANDOM", "RANGE",
    "READ", "RECOVER", "RELEASE", "REPLACE_IF_NOT_NULL", "REPLICA", "REPOSITORIES", "REPOSITORY", "RESOURCE",
    "RESOURCES", "RESTORE", "ROLE", "ROLES", "ROLLBACK", "ROLLUP", "S3", "SAVEPOINT", "SESSION", "SIGNED", "SMALLINT",
    "SNAPSHOT", "START", "STATUS", "STORAGE", "STRING", "STRUCT", "SUM", "SWAP", "SYSTEM", "TABLES", "TABLET",
    "TABLETS", "TEMPORARY", "TEXT", "THAN", "TIME", "TIMESTAMP", "TINYINT", "TRANSACTION", "TRIGGERS", "TRUNCATE",
    "TYPE", "UNLOCK", "USER", "USERS", "VARBINARY", "VARCHAR", "VARIABLES", "VERBOSE", "VERIFY", "VIEW", "VIEWS",
    "VOLUME", "VOLUMES", "WARNINGS", "WORK", "WRITE", "XOR",
];

/// True for a word that is no name unless quoted.
pub(crate) fn is_reserved(word: &str) -> bool {
    contains(RESERVED, word)
}

/// True for a name that is printed in backticks.
pub(crate) fn needs_quotes(name: &str) -> bool {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // Charset introducers make what follows a string, see `sql::dialect`.
    !plain || name.starts_with('_') || contains(RESERVED, name) || contains(QUOTED, name)
}

/// Both lists are sorted, which a test guards.
fn contains(sorted: &[&str], word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    sorted.binary_search(&word.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted() && QUOTED.is_sorted());
    }
}
