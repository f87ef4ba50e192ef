//! BACKUP, RESTORE, their CANCEL, and what is done to snapshots.
//!
//! Both grammars, the one of 2.x (`BACKUP SNAPSHOT db.label …`) and the one of 3.4 (`BACKUP DATABASE db SNAPSHOT label …`),
//! come to the same values. Clauses that cannot stand together the parser has refused. Objects that are named twice or in
//! a way they cannot be ([`Backup::refusal`], [`Restore::refusal`]) are refused in their turn, after repository and database.

use std::collections::HashSet;

use super::name::Properties;
use super::show::ShowTail;

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

impl Backup {
    /// Why its objects can only be refused, whatever there is; none when they can be looked for.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let aliased =
            self.scope.objects().iter().filter_map(ObjectRef::name_and_alias).find(|(_, alias)| alias.is_some());
        match aliased {
            Some((name, _)) => Some(format!("Can not set alias for table in Backup Stmt: {name}")),
            None => self.scope.refusal(),
        }
    }
}

impl Restore {
    /// Why its objects can only be refused, whatever there is; none when they can be looked for.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.scope.refusal()
    }
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
        /// The database it was qualified by, which is refused.
        database: Option<String>,
        /// The function; all its overloads.
        name: String,
        /// `AS name`; only in RESTORE.
        alias: Option<String>,
    },
    /// `ALL TABLES`, `ALL MATERIALIZED VIEWS`, `ALL VIEWS`, `ALL FUNCTIONS`
    All(ObjectKind),
}

impl ObjectScope {
    fn objects(&self) -> &[ObjectRef] {
        match self {
            Self::Everything => &[],
            Self::On(objects) | Self::Exclude(objects) => objects,
        }
    }

    /// A qualified name, an object, partition or alias that is there twice, an alias that is another object's name.
    /// Functions have names of their own.
    fn refusal(&self) -> Option<String> {
        if let Some((database, name)) = self.objects().iter().find_map(ObjectRef::qualified) {
            return Some(format!("Names in ON must not be qualified by a database: {database}.{name}"));
        }
        let is_function = |object: &&ObjectRef| matches!(object, ObjectRef::Function { .. });
        let (functions, relations): (Vec<_>, Vec<_>) = self.objects().iter().partition(is_function);
        for (group, what) in [(relations, "table"), (functions, "function")] {
            let named: Vec<_> = group.into_iter().filter_map(ObjectRef::name_and_alias).collect();
            let mut names = HashSet::new();
            if let Some((twice, _)) = named.iter().find(|(name, _)| !names.insert(*name)) {
                return Some(format!("Duplicated {what}: {twice}"));
            }
            let mut aliases = named.iter().filter_map(|(name, alias)| alias.filter(|alias| alias != name));
            if let Some(twice) = aliases.find(|alias| !names.insert(*alias)) {
                return Some(format!("Duplicated alias name: {twice}"));
            }
        }
        self.objects().iter().find_map(|object| {
            let ObjectRef::Relation(relation) = object else { return None };
            let mut seen = HashSet::new();
            if let Some(twice) = relation.partitions.iter().find(|name| !seen.insert(name.to_lowercase())) {
                return Some(format!("Duplicated partition: {twice} of table {}", relation.name));
            }
            let aliased = matches!(self, Self::Exclude(_)) && relation.alias.is_some();
            aliased.then(|| format!("Can not set alias for table in EXCLUDE: {}", relation.name))
        })
    }
}

impl ObjectRef {
    fn name_and_alias(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::Relation(relation) => Some((&relation.name, relation.alias.as_deref())),
            Self::Function { name, alias, .. } => Some((name, alias.as_deref())),
            Self::All(_) => None,
        }
    }

    fn qualified(&self) -> Option<(&str, &str)> {
        match self {
            Self::Relation(RelationRef { database, name, .. }) | Self::Function { database, name, .. } => {
                database.as_deref().map(|database| (database, name.as_str()))
            }
            Self::All(_) => None,
        }
    }
}

/// A table, view or materialized view of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationRef {
    /// The kind it was said to be; none for a bare name, which may be any of the three.
    pub kind: Option<RelationKind>,
    /// The database it was qualified by, which is refused.
    pub database: Option<String>,
    /// Its name.
    pub name: String,
    /// Only these partitions; all when empty.
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

/// `SHOW SNAPSHOT ON r [WHERE …] [ORDER BY …] [LIMIT …]`, with `WHERE` in one of the three forms there are.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowSnapshot {
    /// The repository.
    pub repository: String,
    /// `SNAPSHOT = 'x'` or `SNAPSHOT IN ('x', …)`; every snapshot when empty.
    pub labels: Vec<String>,
    /// `AND TIMESTAMP = 't'`: shows Database and Details too. Only together with exactly one label.
    pub timestamp: Option<String>,
    /// `ORDER BY` and `LIMIT`; what is after WHERE stands above.
    pub tail: ShowTail,
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
