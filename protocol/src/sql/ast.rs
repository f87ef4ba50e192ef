//! What a client can say: one [`Statement`] for each, typed.
//!
//! One file a family. Names are plain strings without quotes; expressions and queries are sqlparser's own, so that they pass
//! on to the query engine as they are. Nothing here knows how it is parsed (`sql::parse`) or printed (`sql::print`).

pub mod account;
pub mod admin;
pub mod alter;
pub mod backup;
pub mod database;
pub mod dml;
pub mod name;
pub mod partition;
pub mod query;
pub mod repository;
pub mod session;
pub mod show;
pub mod table;
pub mod types;

use sqlparser::ast::Query;

use account::{
    AlterUser, CreateRole, CreateUser, DropRole, DropUser, ExecuteAs, PrivilegeGrant, RoleChoice, RoleGrant,
    SetDefaultRole, SetPassword,
};
use admin::{Admin, NotYet};
use alter::AlterTable;
use backup::{Backup, CancelTarget, DropSnapshot, Restore, VerifySnapshot};
use database::{AlterDatabase, CreateDatabase, DropDatabase, Recover, Use};
use dml::{Delete, Insert, Update};
use query::Explain;
use repository::{AlterRepository, CreateRepository, DropRepository, VerifyRepository};
use session::{Kill, LockTable, Prepared, SetItem, Transaction};
use show::{Describe, Show};
use table::{CreateTable, CreateTableAs, CreateTableLike, CreateView, DropTable, DropView, TruncateTable};

/// One statement of the dialect.
///
/// `Display` prints text that parses to an equal statement, secrets included; logs want `redacted()`.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT, WITH, VALUES, UNION, …
    Query(Box<Query>),
    /// EXPLAIN of a statement
    Explain(Explain),
    /// DESC, DESCRIBE
    Describe(Describe),

    /// CREATE DATABASE
    CreateDatabase(CreateDatabase),
    /// DROP DATABASE
    DropDatabase(DropDatabase),
    /// ALTER DATABASE
    AlterDatabase(AlterDatabase),
    /// USE
    Use(Use),
    /// RECOVER
    Recover(Recover),

    /// CREATE TABLE with columns
    CreateTable(Box<CreateTable>),
    /// CREATE TABLE LIKE
    CreateTableLike(CreateTableLike),
    /// CREATE TABLE AS SELECT
    CreateTableAs(Box<CreateTableAs>),
    /// DROP TABLE
    DropTable(DropTable),
    /// TRUNCATE TABLE
    TruncateTable(TruncateTable),
    /// ALTER TABLE
    AlterTable(AlterTable),
    /// CREATE VIEW
    CreateView(CreateView),
    /// DROP VIEW
    DropView(DropView),

    /// INSERT, also REPLACE INTO
    Insert(Box<Insert>),
    /// DELETE
    Delete(Box<Delete>),
    /// UPDATE
    Update(Box<Update>),

    /// SHOW
    Show(Box<Show>),

    /// SET of variables, names, character set, transaction
    Set(Vec<SetItem>),
    /// SET CATALOG
    SetCatalog(String),
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT
    Transaction(Transaction),
    /// LOCK TABLES
    LockTables(Vec<LockTable>),
    /// UNLOCK TABLES
    UnlockTables,
    /// FLUSH: what is to be flushed, in upper case; nothing to do
    Flush(String),
    /// KILL
    Kill(Kill),
    /// PREPARE, EXECUTE, DEALLOCATE
    Prepared(Prepared),

    /// CREATE USER
    CreateUser(CreateUser),
    /// ALTER USER
    AlterUser(AlterUser),
    /// DROP USER
    DropUser(DropUser),
    /// SET PASSWORD
    SetPassword(SetPassword),
    /// EXECUTE AS
    ExecuteAs(ExecuteAs),
    /// CREATE ROLE
    CreateRole(CreateRole),
    /// DROP ROLE
    DropRole(DropRole),
    /// SET ROLE
    SetRole(RoleChoice),
    /// SET DEFAULT ROLE
    SetDefaultRole(SetDefaultRole),
    /// GRANT of privileges
    GrantPrivileges(PrivilegeGrant),
    /// REVOKE of privileges
    RevokePrivileges(PrivilegeGrant),
    /// GRANT of roles
    GrantRoles(RoleGrant),
    /// REVOKE of roles
    RevokeRoles(RoleGrant),

    /// CREATE REPOSITORY
    CreateRepository(CreateRepository),
    /// ALTER REPOSITORY
    AlterRepository(AlterRepository),
    /// DROP REPOSITORY
    DropRepository(DropRepository),
    /// VERIFY REPOSITORY
    VerifyRepository(VerifyRepository),
    /// BACKUP
    Backup(Backup),
    /// CANCEL BACKUP
    CancelBackup(CancelTarget),
    /// RESTORE
    Restore(Restore),
    /// CANCEL RESTORE
    CancelRestore(CancelTarget),
    /// DROP SNAPSHOT
    DropSnapshot(DropSnapshot),
    /// VERIFY SNAPSHOT
    VerifySnapshot(VerifySnapshot),
    /// CANCEL VERIFY ON r: the one job that verifies this repository or a snapshot in it
    CancelVerify(String),

    /// ADMIN SHOW / SET FRONTEND CONFIG
    Admin(Admin),
    /// Known to StarRocks, not to Ebla yet
    NotYet(NotYet),
}

impl Statement {
    /// The statement's leading words in upper case, for logs, metrics and refusals: `BACKUP`, `CREATE TABLE`, `SHOW BACKUP`.
    /// The set is small and fixed, so it may label a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Query(_) => "SELECT",
            Self::Explain(_) => "EXPLAIN",
            Self::Describe(_) => "DESCRIBE",
            Self::CreateDatabase(_) => "CREATE DATABASE",
            Self::DropDatabase(_) => "DROP DATABASE",
            Self::AlterDatabase(_) => "ALTER DATABASE",
            Self::Use(_) => "USE",
            Self::Recover(_) => "RECOVER",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateTableLike(_) => "CREATE TABLE LIKE",
            Self::CreateTableAs(_) => "CREATE TABLE AS SELECT",
            Self::DropTable(_) => "DROP TABLE",
            Self::TruncateTable(_) => "TRUNCATE TABLE",
            Self::AlterTable(_) => "ALTER TABLE",
            Self::CreateView(_) => "CREATE VIEW",
            Self::DropView(_) => "DROP VIEW",
            Self::Insert(insert) => match insert.mode {
                dml::InsertMode::Into => "INSERT INTO",
                dml::InsertMode::Overwrite => "INSERT OVERWRITE",
                dml::InsertMode::Replace => "REPLACE INTO",
            },
            Self::Delete(_) => "DELETE",
            Self::Update(_) => "UPDATE",
            Self::Show(show) => show.kind(),
            Self::Set(_) => "SET",
            Self::SetCatalog(_) => "SET CATALOG",
            Self::Transaction(transaction) => match transaction {
                Transaction::Begin(_) => "BEGIN",
                Transaction::Commit => "COMMIT",
                Transaction::Rollback | Transaction::RollbackTo(_) => "ROLLBACK",
                Transaction::Savepoint(_) | Transaction::Release(_) => "SAVEPOINT",
            },
            Self::LockTables(_) => "LOCK TABLES",
            Self::UnlockTables => "UNLOCK TABLES",
            Self::Flush(_) => "FLUSH",
            Self::Kill(_) => "KILL",
            Self::Prepared(prepared) => match prepared {
                Prepared::Prepare { .. } => "PREPARE",
                Prepared::Execute { .. } => "EXECUTE",
                Prepared::Deallocate { .. } => "DEALLOCATE",
            },
            Self::CreateUser(_) => "CREATE USER",
            Self::AlterUser(_) => "ALTER USER",
            Self::DropUser(_) => "DROP USER",
            Self::SetPassword(_) => "SET PASSWORD",
            Self::ExecuteAs(_) => "EXECUTE AS",
            Self::CreateRole(_) => "CREATE ROLE",
            Self::DropRole(_) => "DROP ROLE",
            Self::SetRole(_) => "SET ROLE",
            Self::SetDefaultRole(_) => "SET DEFAULT ROLE",
            Self::GrantPrivileges(_) | Self::GrantRoles(_) => "GRANT",
            Self::RevokePrivileges(_) | Self::RevokeRoles(_) => "REVOKE",
            Self::CreateRepository(_) => "CREATE REPOSITORY",
            Self::AlterRepository(_) => "ALTER REPOSITORY",
            Self::DropRepository(_) => "DROP REPOSITORY",
            Self::VerifyRepository(_) => "VERIFY REPOSITORY",
            Self::Backup(_) => "BACKUP",
            Self::CancelBackup(_) => "CANCEL BACKUP",
            Self::Restore(_) => "RESTORE",
            Self::CancelRestore(_) => "CANCEL RESTORE",
            Self::DropSnapshot(_) => "DROP SNAPSHOT",
            Self::VerifySnapshot(_) => "VERIFY SNAPSHOT",
            Self::CancelVerify(_) => "CANCEL VERIFY",
            Self::Admin(Admin::ShowConfig { .. }) => "ADMIN SHOW CONFIG",
            Self::Admin(Admin::SetConfig { .. }) => "ADMIN SET CONFIG",
            Self::Admin(Admin::CleanRepository { .. }) => "ADMIN CLEAN REPOSITORY",
            Self::NotYet(not_yet) => not_yet.name,
        }
    }
}

impl Show {
    /// See [`Statement::kind`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Databases { .. } => "SHOW DATABASES",
            Self::Tables { .. } => "SHOW TABLES",
            Self::TableStatus { .. } => "SHOW TABLE STATUS",
            Self::Columns { .. } => "SHOW COLUMNS",
            Self::Index { .. } => "SHOW INDEX",
            Self::CreateDatabase { .. } => "SHOW CREATE DATABASE",
            Self::CreateTable(_) => "SHOW CREATE TABLE",
            Self::CreateView(_) => "SHOW CREATE VIEW",
            Self::CreateMaterializedView(_) => "SHOW CREATE MATERIALIZED VIEW",
            Self::CreateRepository(_) => "SHOW CREATE REPOSITORY",
            Self::CreateUser(_) => "SHOW CREATE USER",
            Self::Partitions { .. } => "SHOW PARTITIONS",
            Self::Tablets { .. } | Self::Tablet(_) => "SHOW TABLET",
            Self::Data(_) => "SHOW DATA",
            Self::Variables { .. } => "SHOW VARIABLES",
            Self::Status { .. } => "SHOW STATUS",
            Self::Processlist { .. } => "SHOW PROCESSLIST",
            Self::Warnings(_) | Self::CountWarnings => "SHOW WARNINGS",
            Self::Errors(_) | Self::CountErrors => "SHOW ERRORS",
            Self::Engines => "SHOW ENGINES",
            Self::Charset(_) => "SHOW CHARSET",
            Self::Collation(_) => "SHOW COLLATION",
            Self::Plugins => "SHOW PLUGINS",
            Self::ProcedureStatus(_) => "SHOW PROCEDURE STATUS",
            Self::FunctionStatus(_) => "SHOW FUNCTION STATUS",
            Self::Functions { .. } => "SHOW FUNCTIONS",
            Self::Triggers { .. } => "SHOW TRIGGERS",
            Self::Events { .. } => "SHOW EVENTS",
            Self::OpenTables { .. } => "SHOW OPEN TABLES",
            Self::MaterializedViews { .. } => "SHOW MATERIALIZED VIEWS",
            Self::DynamicPartitionTables { .. } => "SHOW DYNAMIC PARTITION TABLES",
            Self::AlterJobs { .. } => "SHOW ALTER TABLE",
            Self::Load { .. } => "SHOW LOAD",
            Self::Grants(_) => "SHOW GRANTS",
            Self::Users => "SHOW USERS",
            Self::Roles => "SHOW ROLES",
            Self::Authentication { .. } => "SHOW AUTHENTICATION",
            Self::Privileges => "SHOW PRIVILEGES",
            Self::Frontends => "SHOW FRONTENDS",
            Self::Backends => "SHOW BACKENDS",
            Self::ComputeNodes => "SHOW COMPUTE NODES",
            Self::Broker => "SHOW BROKER",
            Self::Proc(_) => "SHOW PROC",
            Self::Catalogs(_) => "SHOW CATALOGS",
            Self::MasterStatus => "SHOW MASTER STATUS",
            Self::BinaryLogs => "SHOW BINARY LOGS",
            Self::ReplicaStatus => "SHOW REPLICA STATUS",
            Self::Profiles => "SHOW PROFILES",
            Self::Backup { .. } => "SHOW BACKUP",
            Self::Restore { .. } => "SHOW RESTORE",
            Self::Snapshot(_) => "SHOW SNAPSHOT",
            Self::Repositories => "SHOW REPOSITORIES",
            Self::Verify { .. } => "SHOW VERIFY",
        }
    }
}
