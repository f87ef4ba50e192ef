//! A statement, at least, for each kind there is, and how the world is put right again after it.
//!
//! Names that begin with `z` are there. The same statements are said with a `y` instead, of things that are not there.

/// What must come of a statement for whoever holds enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is done.
    Done,
    /// It is refused with this number.
    Refused(u16),
    /// Anything but a refusal for privileges: it depends on what ran before.
    NotForbidden,
    /// It is a job; the next statement waits for its end.
    Job,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its kind and form, as the table in docs/sql.md has them.
    pub kind: &'static str,
    pub form: &'static str,
    pub sql: &'static str,
    pub then: Then,
    /// What root says before, and again after each time it was done; and right after it was done.
    pub before: &'static [&'static str],
    pub after: &'static [&'static str],
    /// What the account itself says before.
    pub prelude: &'static str,
}

const fn case(kind: &'static str, sql: &'static str) -> Case {
    Case { kind, form: "", sql, then: Then::Done, before: &[], after: &[], prelude: "" }
}

impl Case {
    const fn form(self, form: &'static str) -> Case {
        Case { form, ..self }
    }

    const fn then(self, then: Then) -> Case {
        Case { then, ..self }
    }

    const fn before(self, before: &'static [&'static str]) -> Case {
        Case { before, ..self }
    }

    const fn after(self, after: &'static [&'static str]) -> Case {
        Case { after, ..self }
    }

    const fn prelude(self, prelude: &'static str) -> Case {
        Case { prelude, ..self }
    }
}

/// What root makes before everything.
pub const WORLD: &[&str] = &[
    "CREATE DATABASE zvault",
    "CREATE TABLE zvault.zcoins (id INT, g INT) PARTITION BY RANGE (g) (PARTITION p0 VALUES LESS THAN (\"1\"), \
     PARTITION p1 VALUES LESS THAN (\"2\"), PARTITION p2 VALUES LESS THAN (\"3\"))",
    "CREATE TABLE zvault.znotes (id INT, g INT)",
    "CREATE TABLE zvault.next_door (id INT)",
    "INSERT INTO zvault.zcoins VALUES (1, 0), (2, 1), (3, 2)",
    "INSERT INTO zvault.znotes VALUES (4, 0)",
    "CREATE DATABASE elsewhere",
    "CREATE TABLE elsewhere.t (id INT)",
    "CREATE USER zbob IDENTIFIED BY 'b'",
    "CREATE ROLE zclerk",
    "CREATE REPOSITORY zrepo WITH BROKER ON LOCATION \"file://{folder}/repository\"",
    "BACKUP SNAPSHOT zvault.zsnap TO zrepo ON (zcoins, znotes)",
];

const NOT_YET: Then = Then::Refused(1235);
const OF_OTHERS: &str = "of others";
const GONE: &[&str] = &["DROP TABLE zvault.zmade FORCE"];
const DROP_MADE_REPOSITORY: &[&str] = &["DROP REPOSITORY zmade"];

/// All of them. Jobs come last, since a database that has one is not dropped.
pub const CASES: &[Case] = &[
    case("SELECT", "SELECT * FROM zvault.zcoins"),
    case("SELECT", "SELECT 1 UNION ALL SELECT n FROM (SELECT count(*) AS n FROM zvault.zcoins) x"),
    case(
        "SELECT",
        "WITH a AS (SELECT id FROM zvault.znotes) SELECT * FROM a WHERE id IN (SELECT id FROM zvault.zcoins)",
    ),
    case("EXPLAIN", "EXPLAIN SELECT * FROM zvault.zcoins"),
    case("EXPLAIN", "EXPLAIN ANALYZE SELECT * FROM zvault.zcoins"),
    case("EXPLAIN", "EXPLAIN DELETE FROM zvault.zcoins WHERE id = 1"),
    case("EXPLAIN", "EXPLAIN INSERT INTO zvault.znotes SELECT * FROM zvault.zcoins"),
    case("DESCRIBE", "DESC zvault.zcoins"),
    case("DESCRIBE", "DESC zvault.zcoins ALL"),
    case("CREATE DATABASE", "CREATE DATABASE zmade").after(&["DROP DATABASE zmade FORCE"]),
    case("DROP DATABASE", "DROP DATABASE zvault").after(&["RECOVER DATABASE zvault"]),
    case("ALTER DATABASE", "ALTER DATABASE zvault SET (\"k\" = \"v\")"),
    case("USE", "USE zvault"),
    case("RECOVER", "RECOVER DATABASE zspare")
        .form("DATABASE")
        .before(&["CREATE DATABASE zspare", "DROP DATABASE zspare"])
        .after(&["DROP DATABASE zspare FORCE"]),
    case("RECOVER", "RECOVER TABLE zvault.zcoins").form("TABLE").before(&["DROP TABLE zvault.zcoins"]),
    case("RECOVER", "RECOVER PARTITION p2 FROM zvault.zcoins")
        .form("PARTITION")
        .before(&["ALTER TABLE zvault.zcoins DROP PARTITION p2"]),
    case("CREATE TABLE", "CREATE TABLE zvault.zmade (id INT)").after(GONE),
    case("CREATE TABLE LIKE", "CREATE TABLE zvault.zmade LIKE zvault.znotes").after(GONE),
    case("CREATE TABLE AS SELECT", "CREATE TABLE zvault.zmade AS SELECT * FROM zvault.znotes").after(GONE),
    case("DROP TABLE", "DROP TABLE zvault.zcoins").after(&["RECOVER TABLE zvault.zcoins"]),
    case("TRUNCATE TABLE", "TRUNCATE TABLE zvault.zcoins"),
    case("TRUNCATE TABLE", "TRUNCATE TABLE zvault.zcoins PARTITION (p0)"),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins COMMENT = \"x\""),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins SET (\"storage_medium\" = \"SSD\")"),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins RENAME zmade").after(&["ALTER TABLE zvault.zmade RENAME zcoins"]),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins ADD PARTITION p3 VALUES LESS THAN (\"4\")")
        .after(&["ALTER TABLE zvault.zcoins DROP PARTITION p3 FORCE"]),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins DROP PARTITION p2")
        .after(&["RECOVER PARTITION p2 FROM zvault.zcoins"]),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins TRUNCATE PARTITION (p0)"),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins MODIFY PARTITION p0 SET (\"storage_medium\" = \"HDD\")"),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins RENAME PARTITION p0 p9")
        .after(&["ALTER TABLE zvault.zcoins RENAME PARTITION p9 p0"]),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins COMPACT"),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins SWAP WITH znotes").then(NOT_YET),
    case("ALTER TABLE", "ALTER TABLE zvault.zcoins ADD COLUMN c INT").then(NOT_YET),
    case("INSERT INTO", "INSERT INTO zvault.zcoins VALUES (5, 0)"),
    case("INSERT INTO", "INSERT INTO zvault.zcoins SELECT * FROM zvault.znotes").form("from a query"),
    case("INSERT INTO", "INSERT INTO zvault.zcoins VALUES ((SELECT 1), 0)").then(Then::NotForbidden),
    case("INSERT OVERWRITE", "INSERT OVERWRITE zvault.zcoins VALUES (6, 0)"),
    case("REPLACE INTO", "REPLACE INTO zvault.zcoins VALUES (7, 0)").then(NOT_YET),
    case("DELETE", "DELETE FROM zvault.zcoins WHERE id = 1"),
    case("CREATE VIEW", "CREATE VIEW zvault.zmade AS SELECT * FROM zvault.zcoins").then(NOT_YET),
    case("DROP VIEW", "DROP VIEW zvault.zmade").then(NOT_YET),
    case("UPDATE", "UPDATE zvault.zcoins SET id = 1 WHERE id = 2").then(NOT_YET),
    case("EXECUTE AS", "EXECUTE AS zbob WITH NO REVERT").then(NOT_YET),
    case("SHOW DATABASES", "SHOW DATABASES"),
    case("SHOW TABLES", "SHOW TABLES FROM zvault"),
    case("SHOW TABLES", "SHOW FULL TABLES FROM zvault LIKE '%'"),
    case("SHOW TABLE STATUS", "SHOW TABLE STATUS FROM zvault"),
    case("SHOW CREATE DATABASE", "SHOW CREATE DATABASE zvault"),
    case("SHOW LOAD", "SHOW LOAD FROM zvault"),
    case("SHOW COLUMNS", "SHOW COLUMNS FROM zvault.zcoins"),
    case("SHOW INDEX", "SHOW INDEX FROM zvault.zcoins"),
    case("SHOW CREATE TABLE", "SHOW CREATE TABLE zvault.zcoins"),
    case("SHOW PARTITIONS", "SHOW PARTITIONS FROM zvault.zcoins"),
    case("SHOW TABLET", "SHOW TABLET FROM zvault.zcoins"),
    case("SHOW TABLET", "SHOW TABLET {tablet}").form("of an id"),
    case("SHOW DATA", "SHOW DATA FROM zvault.zcoins"),
    case("SHOW VARIABLES", "SHOW GLOBAL VARIABLES"),
    case("SHOW STATUS", "SHOW STATUS"),
    case("SHOW PROCESSLIST", "SHOW FULL PROCESSLIST"),
    case("SHOW WARNINGS", "SHOW WARNINGS"),
    case("SHOW ERRORS", "SHOW ERRORS"),
    case("SHOW ENGINES", "SHOW ENGINES"),
    case("SHOW CHARSET", "SHOW CHARSET"),
    case("SHOW COLLATION", "SHOW COLLATION"),
    case("SHOW PLUGINS", "SHOW PLUGINS"),
    case("SHOW PROCEDURE STATUS", "SHOW PROCEDURE STATUS"),
    case("SHOW FUNCTION STATUS", "SHOW FUNCTION STATUS"),
    case("SHOW FUNCTIONS", "SHOW FUNCTIONS FROM zvault"),
    case("SHOW TRIGGERS", "SHOW TRIGGERS FROM zvault"),
    case("SHOW EVENTS", "SHOW EVENTS FROM zvault"),
    case("SHOW OPEN TABLES", "SHOW OPEN TABLES FROM zvault"),
    case("SHOW MATERIALIZED VIEWS", "SHOW MATERIALIZED VIEWS FROM zvault"),
    case("SHOW DYNAMIC PARTITION TABLES", "SHOW DYNAMIC PARTITION TABLES FROM zvault"),
    case("SHOW ALTER TABLE", "SHOW ALTER TABLE COLUMN FROM zvault"),
    case("SHOW PRIVILEGES", "SHOW PRIVILEGES"),
    case("SHOW COMPUTE NODES", "SHOW COMPUTE NODES"),
    case("SHOW BROKER", "SHOW BROKER"),
    case("SHOW CATALOGS", "SHOW CATALOGS"),
    case("SHOW MASTER STATUS", "SHOW MASTER STATUS"),
    case("SHOW BINARY LOGS", "SHOW BINARY LOGS"),
    case("SHOW REPLICA STATUS", "SHOW REPLICA STATUS"),
    case("SHOW PROFILES", "SHOW PROFILES"),
    case("SHOW CREATE VIEW", "SHOW CREATE VIEW zvault.zcoins").then(NOT_YET),
    case("SHOW CREATE MATERIALIZED VIEW", "SHOW CREATE MATERIALIZED VIEW zvault.zcoins").then(NOT_YET),
    case("SHOW CREATE USER", "SHOW CREATE USER zbob").then(NOT_YET),
    case("SHOW PROC", "SHOW PROC '/'").then(NOT_YET),
    case("SHOW GRANTS", "SHOW GRANTS"),
    case("SHOW GRANTS", "SHOW GRANTS FOR {self}"),
    case("SHOW GRANTS", "SHOW GRANTS FOR zbob").form(OF_OTHERS),
    case("SHOW GRANTS", "SHOW GRANTS FOR ROLE zclerk").form(OF_OTHERS),
    case("SHOW AUTHENTICATION", "SHOW AUTHENTICATION"),
    case("SHOW AUTHENTICATION", "SHOW ALL AUTHENTICATION").form(OF_OTHERS),
    case("SHOW AUTHENTICATION", "SHOW AUTHENTICATION FOR zbob").form(OF_OTHERS),
    case("SHOW USERS", "SHOW USERS"),
    case("SHOW ROLES", "SHOW ROLES"),
    case("SHOW FRONTENDS", "SHOW FRONTENDS"),
    case("SHOW BACKENDS", "SHOW BACKENDS"),
    case("SHOW REPOSITORIES", "SHOW REPOSITORIES"),
    case("SHOW CREATE REPOSITORY", "SHOW CREATE REPOSITORY FOR zrepo"),
    case("SHOW SNAPSHOT", "SHOW SNAPSHOT ON zrepo"),
    case("SHOW RESTORE", "SHOW RESTORE FROM zvault"),
    case("SHOW VERIFY", "SHOW VERIFY ON zrepo"),
    case("SHOW BACKUP", "SHOW BACKUP FROM zvault"),
    case("SET", "SET @x = 1"),
    case("SET", "SET SESSION query_timeout = 300"),
    case("SET", "SET GLOBAL query_timeout = 300").form("GLOBAL"),
    case("SET", "SET GLOBAL TRANSACTION READ WRITE").form("GLOBAL"),
    case("SET CATALOG", "SET CATALOG default_catalog"),
    case("BEGIN", "BEGIN"),
    case("COMMIT", "COMMIT"),
    case("ROLLBACK", "ROLLBACK"),
    case("SAVEPOINT", "SAVEPOINT s"),
    case("LOCK TABLES", "LOCK TABLES zvault.zcoins READ"),
    case("UNLOCK TABLES", "UNLOCK TABLES"),
    case("FLUSH", "FLUSH TABLES"),
    case("PREPARE", "PREPARE q FROM 'SELECT * FROM zvault.zcoins'"),
    case("EXECUTE", "EXECUTE q").prelude("PREPARE q FROM 'SELECT * FROM zvault.zcoins'"),
    case("DEALLOCATE", "DEALLOCATE PREPARE q").prelude("PREPARE q FROM 'SELECT * FROM zvault.zcoins'"),
    case("KILL", "KILL QUERY {connection}").then(Then::NotForbidden),
    case("KILL", "KILL QUERY {root}").form(OF_OTHERS),
    case("CREATE USER", "CREATE USER zmade").after(&["DROP USER zmade"]),
    case("DROP USER", "DROP USER zbob").after(&["CREATE USER zbob IDENTIFIED BY 'b'"]),
    case("CREATE ROLE", "CREATE ROLE zmade").after(&["DROP ROLE zmade"]),
    case("DROP ROLE", "DROP ROLE zclerk").after(&["CREATE ROLE zclerk"]),
    case("ALTER USER", "ALTER USER {self} IDENTIFIED BY 'w4x-and-wood'"),
    case("ALTER USER", "ALTER USER zbob IDENTIFIED BY 'b'").form(OF_OTHERS),
    case("SET PASSWORD", "SET PASSWORD = PASSWORD('w4x-and-wood')"),
    case("SET PASSWORD", "SET PASSWORD FOR zbob = PASSWORD('b')").form(OF_OTHERS),
    case("SET DEFAULT ROLE", "SET DEFAULT ROLE NONE TO {self}"),
    case("SET DEFAULT ROLE", "SET DEFAULT ROLE ALL TO zbob").form(OF_OTHERS),
    case("SET ROLE", "SET ROLE NONE"),
    case("GRANT", "GRANT SELECT ON TABLE zvault.zcoins TO USER zbob"),
    case("GRANT", "GRANT ALTER ON DATABASE zvault TO ROLE zclerk"),
    case("GRANT", "GRANT OPERATE ON SYSTEM TO USER zbob"),
    case("GRANT", "GRANT SELECT_PRIV ON zvault.* TO zbob"),
    case("GRANT", "GRANT ADMIN_PRIV ON *.* TO zbob"),
    case("GRANT", "GRANT zclerk TO USER zbob"),
    case("REVOKE", "REVOKE SELECT ON TABLE zvault.zcoins FROM USER zbob"),
    case("REVOKE", "REVOKE ALTER ON DATABASE zvault FROM ROLE zclerk"),
    case("REVOKE", "REVOKE ADMIN_PRIV ON *.* FROM zbob"),
    case("REVOKE", "REVOKE zclerk FROM USER zbob"),
    case("CREATE REPOSITORY", "CREATE REPOSITORY zmade WITH BROKER ON LOCATION \"file://{folder}/another\"")
        .after(DROP_MADE_REPOSITORY),
    case("ALTER REPOSITORY", "ALTER REPOSITORY zrepo PROPERTIES (\"some.key\" = \"v\")").then(Then::NotForbidden),
    case("DROP REPOSITORY", "DROP REPOSITORY zspare")
        .before(&["CREATE REPOSITORY zspare WITH BROKER ON LOCATION \"file://{folder}/spare\""]),
    case("DROP SNAPSHOT", "DROP SNAPSHOT zother ON zrepo").then(Then::Refused(5064)),
    case("DROP SNAPSHOT", "DROP SNAPSHOT ON zrepo WHERE SNAPSHOT = \"zother\""),
    case("ADMIN SHOW CONFIG", "ADMIN SHOW FRONTEND CONFIG"),
    case("ADMIN SET CONFIG", "ADMIN SET FRONTEND CONFIG (\"k\" = \"v\")").then(Then::Refused(5102)),
    case("ADMIN CLEAN REPOSITORY", "ADMIN CLEAN REPOSITORY zrepo").then(Then::NotForbidden),
    case("VERIFY REPOSITORY", "VERIFY REPOSITORY zrepo").then(Then::NotForbidden),
    case("VERIFY SNAPSHOT", "VERIFY SNAPSHOT zsnap ON zrepo").then(Then::NotForbidden),
    case("CANCEL VERIFY", "CANCEL VERIFY ON zrepo").then(Then::NotForbidden),
    case("BACKUP", "BACKUP SNAPSHOT zvault.z{next} TO zrepo").then(Then::Job),
    case("BACKUP", "BACKUP SNAPSHOT zvault.z{next} TO zrepo ON (zcoins PARTITION (p0))").then(Then::Job),
    case("BACKUP", "BACKUP DATABASE zvault SNAPSHOT z{next} TO zrepo EXCLUDE (znotes)").then(Then::Job),
    case("CANCEL BACKUP", "CANCEL BACKUP FROM zvault").then(Then::Refused(5064)),
    case("RESTORE", "RESTORE SNAPSHOT zvault.zsnap FROM zrepo ON (zcoins)").form("with ON").then(Then::Job),
    case("RESTORE", "RESTORE SNAPSHOT zsnap FROM zrepo DATABASE zvault AS zvault ON (znotes)")
        .form("with ON")
        .then(Then::Job),
    case("RESTORE", "RESTORE SNAPSHOT zvault.zsnap FROM zrepo").form("without ON").then(Then::Job),
    case("RESTORE", "RESTORE SNAPSHOT zmade.zsnap FROM zrepo")
        .form("into a new database")
        .then(Then::Job)
        .after(&["DROP DATABASE zmade FORCE"]),
    case("CANCEL RESTORE", "CANCEL RESTORE FROM zvault").then(Then::Refused(5064)),
];
