//! BACKUP, RESTORE, their CANCEL, and what is done to snapshots.
//!
//! Both grammars, the one of 2.x (`BACKUP SNAPSHOT db.label …`) and the one of 3.4 (`BACKUP DATABASE db SNAPSHOT label …`),
//! come to the same values. What can be refused without asking the catalog or the repository (an alias in BACKUP, a
//! database named twice, …) the parser has refused.

use super::name::Properties;

/// `BACKUP [catalogs] [DATABASE d] SNAPSHOT [d.]label TO r [ON | EXCLUDE (…)] [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The database, in whichever form it was named; the session's when absent.
    pub database: Option<String>,
    /// The snapshot's name.
    pub label: String,
    /// The repository it goes to.
    pub repository: String,
    /// External catalogs to back up instead of a database. Never given together with `database` or a scope.
    pub catalogs: Option<CatalogScope>,
    /// What of the database.
    pub scope: ObjectScope,
    /// `PROPERTIES (…)`
    pub properties: Properties,
}

/// `RESTORE SNAPSHOT [d.]label FROM r [catalogs] [DATABASE d [AS e]] [ON | EXCLUDE (…)] [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The database to restore into: of `d.label`, or `e` of `DATABASE d AS e`. When absent: `source_database`, then the
    /// snapshot's own.
    pub target_database: Option<String>,
    /// `d` of `DATABASE d`: must be the database that the snapshot records.
    pub source_database: Option<String>,
    /// The snapshot's name.
    pub label: String,
    /// The repository it is in.
    pub repository: String,
    /// External catalogs to restore instead of a database.
    pub catalogs: Option<CatalogScope>,
    /// What of the snapshot.
    pub scope: ObjectScope,
    /// `PROPERTIES (…)`, in them `backup_timestamp`.
    pub properties: Properties,
}

/// `ALL EXTERNAL CATALOGS` or `EXTERNAL CATALOG[S] (…)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogScope {
    /// Every one.
    All,
    /// These ones.
    Named(Vec<CatalogRef>),
}

/// A catalog to back up or restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRef {
    /// Its name.
    pub name: String,
    /// `AS name`; only in RESTORE.
    pub alias: Option<String>,
}

/// Which objects a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectScope {
    /// No clause: all of them.
    Everything,
    /// `ON (…)`: these ones.
    On(Vec<ObjectRef>),
    /// `EXCLUDE (…)`: all but these ones.
    Exclude(Vec<ObjectRef>),
}

/// One entry of `ON (…)` or `EXCLUDE (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectRef {
    /// `[TABLE | VIEW | MATERIALIZED VIEW] t [PARTITION (…)] [AS u]`
    Relation(RelationRef),
    /// `FUNCTION f [AS g]`
    Function {
        /// The function; all its overloads.
        name: String,
        /// `AS name`; only in RESTORE.
        alias: Option<String>,
    },
    /// `ALL TABLES`, `ALL MATERIALIZED VIEWS`, `ALL VIEWS`, `ALL FUNCTIONS`
    All(ObjectKind),
}

/// A table, view or materialized view of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationRef {
    /// The kind it was said to be; none for a bare name, which may be any of the three.
    pub kind: Option<RelationKind>,
    /// Its name, never qualified.
    pub name: String,
    /// Only these partitions; all when empty. No name occurs twice.
    pub partitions: Vec<String>,
    /// `TEMPORARY PARTITION (…)`: parsed so that the server can refuse it in its turn.
    pub temporary_partitions: bool,
    /// `AS name`; only in RESTORE.
    pub alias: Option<String>,
}

/// What a relation was said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// `TABLE`
    Table,
    /// `VIEW`
    View,
    /// `MATERIALIZED VIEW`
    MaterializedView,
}

/// What `ALL …` speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// `ALL TABLES`
    Tables,
    /// `ALL VIEWS`
    Views,
    /// `ALL MATERIALIZED VIEWS`
    MaterializedViews,
    /// `ALL FUNCTIONS`
    Functions,
}

/// Which job CANCEL BACKUP or CANCEL RESTORE ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelTarget {
    /// `[{FROM | IN} d]`: the database's; the session's database when absent.
    Database(Option<String>),
    /// `FOR EXTERNAL CATALOG`: the one job about catalogs.
    ExternalCatalog,
}

/// `SHOW SNAPSHOT ON r [WHERE …]`, in one of the three forms there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShowSnapshot {
    /// The repository.
    pub repository: String,
    /// `SNAPSHOT = 'x'` or `SNAPSHOT IN ('x', …)`; every snapshot when empty.
    pub labels: Vec<String>,
    /// `AND TIMESTAMP = 't'`: shows Database and Details too. Only together with exactly one label.
    pub timestamp: Option<String>,
}

/// `DROP SNAPSHOT label ON r [FORCE]` or `DROP SNAPSHOT ON r WHERE … [FORCE]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropSnapshot {
    /// The repository.
    pub repository: String,
    /// Which snapshots.
    pub target: DropSnapshotTarget,
    /// `FORCE`: also what another cluster wrote.
    pub force: bool,
}

/// What DROP SNAPSHOT names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropSnapshotTarget {
    /// This one; an error when it does not exist.
    Label(String),
    /// Whatever fits, perhaps nothing.
    Where(SnapshotFilter),
}

/// `SNAPSHOT = | IN …`, `TIMESTAMP = | <= | >= …`, joined by AND. At least one is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotFilter {
    /// `SNAPSHOT = 'x'` or `SNAPSHOT IN (…)`; any when empty.
    pub labels: Vec<String>,
    /// `TIMESTAMP = 't'`
    pub timestamp: Option<String>,
    /// `TIMESTAMP >= 't'`
    pub not_before: Option<String>,
    /// `TIMESTAMP <= 't'`
    pub not_after: Option<String>,
}

/// `VERIFY SNAPSHOT label ON r [WHERE TIMESTAMP = 't'] [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifySnapshot {
    /// The snapshot's name.
    pub label: String,
    /// The repository it is in.
    pub repository: String,
    /// `WHERE TIMESTAMP = 't'`; the label's only one when absent.
    pub timestamp: Option<String>,
    /// `PROPERTIES (…)`, such as `"depth"` and `"backup_timestamp"`.
    pub properties: Properties,
}
