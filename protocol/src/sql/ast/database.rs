//! Databases: CREATE, DROP, ALTER, USE, and RECOVER of what was dropped.

use super::name::{Properties, TableName};

/// `CREATE DATABASE | SCHEMA [IF NOT EXISTS] [catalog.]d [PROPERTIES (…)]`
///
/// MySQL's `DEFAULT CHARACTER SET` and `COLLATE` are read and dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The catalog, when given.
    pub catalog: Option<String>,
    /// The database to make.
    pub database: String,
    /// `PROPERTIES (…)`
    pub properties: Properties,
}

/// `DROP DATABASE | SCHEMA [IF EXISTS] [catalog.]d [FORCE]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropDatabase {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The catalog, when given.
    pub catalog: Option<String>,
    /// The database to drop.
    pub database: String,
    /// `FORCE`: it cannot be recovered.
    pub force: bool,
}

/// `ALTER DATABASE d …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterDatabase {
    /// The database to change.
    pub database: String,
    /// What to do.
    pub action: AlterDatabaseAction,
}

/// What ALTER DATABASE does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterDatabaseAction {
    /// `RENAME new`
    Rename(String),
    /// `SET DATA QUOTA 10T`: the size as written.
    SetDataQuota(String),
    /// `SET REPLICA QUOTA n`
    SetReplicaQuota(u64),
    /// `SET ("k" = "v", …)`
    SetProperties(Properties),
}

/// `USE [catalog.]d`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The catalog, when given.
    pub catalog: Option<String>,
    /// The database that unqualified names belong to from now on.
    pub database: String,
}

/// `RECOVER DATABASE | TABLE | PARTITION …`: bring back what was dropped without FORCE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recover {
    /// `RECOVER DATABASE d`
    Database(String),
    /// `RECOVER TABLE [d.]t`
    Table(TableName),
    /// `RECOVER PARTITION p FROM [d.]t`
    Partition {
        /// The partition.
        partition: String,
        /// The table it belonged to.
        table: TableName,
    },
}
