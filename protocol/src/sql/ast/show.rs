//! SHOW in all its forms, and DESCRIBE.
//!
//! WHERE is kept as an expression over the result's columns; the server filters the rows it would have shown.

use sqlparser::ast::{Expr, OrderByExpr};

use super::account::Grantee;
use super::backup::ShowSnapshot;
use super::name::TableName;
use super::session::VariableScope;

/// `SHOW …`
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// `SHOW DATABASES | SCHEMAS [FROM catalog] [filter]`
    Databases {
        /// The catalog, when given.
        catalog: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW [FULL] TABLES [FROM [catalog.]d] [filter]`
    Tables {
        /// `FULL`: with the kind of each.
        full: bool,
        /// The catalog, when given.
        catalog: Option<String>,
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW TABLE STATUS [FROM d] [filter]`
    TableStatus {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW [FULL] COLUMNS | FIELDS FROM t [FROM d] [filter]`
    Columns {
        /// `FULL`: with collation, privileges and comment.
        full: bool,
        /// The table; a trailing `FROM d` is its database.
        table: TableName,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW INDEX | INDEXES | KEYS FROM t [FROM d] [WHERE …]`
    Index {
        /// The table.
        table: TableName,
        /// `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW CREATE DATABASE | SCHEMA [IF NOT EXISTS] d`
    CreateDatabase {
        /// `IF NOT EXISTS`: the shown statement shall have it.
        if_not_exists: bool,
        /// The database.
        database: String,
    },
    /// `SHOW CREATE TABLE t`
    CreateTable(TableName),
    /// `SHOW CREATE VIEW v`
    CreateView(TableName),
    /// `SHOW CREATE MATERIALIZED VIEW v`
    CreateMaterializedView(TableName),
    /// `SHOW CREATE REPOSITORY [FOR] r`
    CreateRepository(String),
    /// `SHOW CREATE USER u`, a MySQL form that tools send
    CreateUser(super::account::UserIdentity),
    /// `SHOW [TEMPORARY] PARTITIONS FROM t [WHERE] [ORDER BY] [LIMIT]`
    Partitions {
        /// `TEMPORARY`
        temporary: bool,
        /// The table.
        table: TableName,
        /// What follows.
        tail: ShowTail,
    },
    /// `SHOW TABLET[S] FROM t [PARTITION (…)] [WHERE] [ORDER BY] [LIMIT]`
    Tablets {
        /// The table.
        table: TableName,
        /// Only these partitions; all when empty.
        partitions: Vec<String>,
        /// What follows.
        tail: ShowTail,
    },
    /// `SHOW TABLET id`
    Tablet(u64),
    /// `SHOW DATA [FROM t]`
    Data(Option<TableName>),
    /// `SHOW [GLOBAL | SESSION] VARIABLES [filter]`
    Variables {
        /// Whose.
        scope: VariableScope,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW [GLOBAL | SESSION] STATUS [filter]`
    Status {
        /// Whose.
        scope: VariableScope,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW [FULL] PROCESSLIST`
    Processlist {
        /// `FULL`: statements whole.
        full: bool,
    },
    /// `SHOW WARNINGS [LIMIT]`
    Warnings(Option<ShowLimit>),
    /// `SHOW ERRORS [LIMIT]`
    Errors(Option<ShowLimit>),
    /// `SHOW COUNT(*) WARNINGS`
    CountWarnings,
    /// `SHOW COUNT(*) ERRORS`
    CountErrors,
    /// `SHOW [STORAGE] ENGINES`
    Engines,
    /// `SHOW CHARSET | CHARACTER SET [filter]`
    Charset(Option<ShowFilter>),
    /// `SHOW COLLATION [filter]`
    Collation(Option<ShowFilter>),
    /// `SHOW PLUGINS`
    Plugins,
    /// `SHOW PROCEDURE STATUS [filter]`
    ProcedureStatus(Option<ShowFilter>),
    /// `SHOW FUNCTION STATUS [filter]`
    FunctionStatus(Option<ShowFilter>),
    /// `SHOW [FULL] [BUILTIN | GLOBAL] FUNCTIONS [FROM d] [LIKE]`
    Functions {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW TRIGGERS [FROM d] [filter]`
    Triggers {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW EVENTS [FROM d] [filter]`
    Events {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW OPEN TABLES [FROM d] [filter]`
    OpenTables {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW MATERIALIZED VIEWS [FROM d] [filter]`
    MaterializedViews {
        /// The database; the session's when absent.
        database: Option<String>,
        /// `LIKE` or `WHERE`
        filter: Option<ShowFilter>,
    },
    /// `SHOW DYNAMIC PARTITION TABLES [FROM d]`
    DynamicPartitionTables {
        /// The database; the session's when absent.
        database: Option<String>,
    },
    /// `SHOW ALTER TABLE COLUMN | ROLLUP | OPTIMIZE [FROM d] [WHERE] [ORDER BY] [LIMIT]`
    AlterJobs {
        /// Which jobs.
        kind: AlterJobKind,
        /// The database; the session's when absent.
        database: Option<String>,
        /// What follows.
        tail: ShowTail,
    },
    /// `SHOW LOAD [FROM d] [WHERE] [ORDER BY] [LIMIT]`
    Load {
        /// The database; the session's when absent.
        database: Option<String>,
        /// What follows.
        tail: ShowTail,
    },
    /// `SHOW GRANTS [FOR u | FOR ROLE r]`
    Grants(Option<Grantee>),
    /// `SHOW USERS`
    Users,
    /// `SHOW ROLES`
    Roles,
    /// `SHOW [ALL] AUTHENTICATION [FOR u]`
    Authentication {
        /// `ALL`
        all: bool,
        /// Whose; one's own when absent.
        user: Option<super::account::UserIdentity>,
    },
    /// `SHOW PRIVILEGES`
    Privileges,
    /// `SHOW FRONTENDS`
    Frontends,
    /// `SHOW BACKENDS`
    Backends,
    /// `SHOW COMPUTE NODES`
    ComputeNodes,
    /// `SHOW BROKER`
    Broker,
    /// `SHOW PROC 'path'`
    Proc(String),
    /// `SHOW CATALOGS [filter]`
    Catalogs(Option<ShowFilter>),
    /// `SHOW MASTER STATUS`, `SHOW BINARY LOG STATUS`
    MasterStatus,
    /// `SHOW BINARY | MASTER LOGS`
    BinaryLogs,
    /// `SHOW [ALL] SLAVE[S] | REPLICA[S] STATUS`
    ReplicaStatus,
    /// `SHOW PROFILES`
    Profiles,
    /// `SHOW BACKUP [{FROM | IN} d] [LIKE …] [tail]`
    Backup {
        /// The database; every one when absent.
        database: Option<String>,
        /// `LIKE`
        like: Option<String>,
        /// `WHERE`, `ORDER BY`, `LIMIT`
        tail: ShowTail,
    },
    /// `SHOW [BRIEF] RESTORE [{FROM | IN} d] [LIKE …] [tail]`
    Restore {
        /// `BRIEF`: without the long columns.
        brief: bool,
        /// The database; every one when absent.
        database: Option<String>,
        /// `LIKE`
        like: Option<String>,
        /// `WHERE`, `ORDER BY`, `LIMIT`
        tail: ShowTail,
    },
    /// `SHOW SNAPSHOT ON r [WHERE …] [ORDER BY …] [LIMIT …]`
    Snapshot(ShowSnapshot),
    /// `SHOW REPOSITORIES`
    Repositories,
    /// `SHOW VERIFY [{FROM | ON} r] [LIKE …] [tail]`
    Verify {
        /// The repository; every one when absent.
        repository: Option<String>,
        /// `LIKE`
        like: Option<String>,
        /// `WHERE`, `ORDER BY`, `LIMIT`
        tail: ShowTail,
    },
}

/// `LIKE 'pattern'` or `WHERE expr`
#[expect(clippy::large_enum_variant, reason = "one a statement")]
#[derive(Debug, Clone, PartialEq)]
pub enum ShowFilter {
    /// `LIKE 'pattern'` on the first column.
    Like(String),
    /// `WHERE expr` over the result's columns.
    Where(Expr),
}

/// `[WHERE …] [ORDER BY …] [LIMIT …]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShowTail {
    /// `WHERE` over the result's columns.
    pub selection: Option<Expr>,
    /// `ORDER BY` over the result's columns.
    pub order_by: Vec<OrderByExpr>,
    /// `LIMIT`
    pub limit: Option<ShowLimit>,
}

/// `LIMIT count [OFFSET offset]` or `LIMIT offset, count`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShowLimit {
    /// How many rows at most.
    pub count: u64,
    /// How many rows are passed over first.
    pub offset: u64,
}

/// Which jobs SHOW ALTER TABLE speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterJobKind {
    /// `COLUMN`
    Column,
    /// `ROLLUP`, also `SHOW ALTER MATERIALIZED VIEW`
    Rollup,
    /// `OPTIMIZE`
    Optimize,
}

/// `DESC | DESCRIBE t [ALL]`, also `EXPLAIN t` as MySQL has it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Describe {
    /// The table.
    pub table: TableName,
    /// `ALL`: every index of it.
    pub all: bool,
}
