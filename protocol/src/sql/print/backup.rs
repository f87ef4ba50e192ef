//! Repositories, BACKUP, RESTORE, snapshots. The older grammar where it can say the same.

use std::fmt::{self, Display, Formatter};

use super::{ident, list, names, string, when, write_properties};
use crate::sql::ast::backup::{
    Backup, CancelTarget, CatalogRef, CatalogScope, DropSnapshot, DropSnapshotTarget, ObjectKind, ObjectRef,
    ObjectScope, RelationKind, RelationRef, Restore, ShowSnapshot, SnapshotFilter, VerifySnapshot,
};
use crate::sql::ast::repository::{
    AlterRepository, CreateRepository, DropRepository, RepositoryStorage, VerifyRepository,
};

impl Display for CreateRepository {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (read_only, exists) = (when(self.read_only, "READ ONLY "), when(self.if_not_exists, "IF NOT EXISTS "));
        write!(f, "CREATE {read_only}REPOSITORY {exists}{} WITH ", ident(&self.name))?;
        match &self.storage {
            RepositoryStorage::Broker(None) => f.write_str("BROKER")?,
            RepositoryStorage::Broker(Some(broker)) => write!(f, "BROKER {}", ident(broker))?,
            RepositoryStorage::S3 => f.write_str("S3")?,
            RepositoryStorage::Hdfs => f.write_str("HDFS")?,
        }
        write!(f, " ON LOCATION {}", super::double_quoted(&self.location))?;
        write_properties(f, &self.properties)
    }
}

impl Display for AlterRepository {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER REPOSITORY {} PROPERTIES {}", ident(&self.name), self.properties)
    }
}

impl Display for DropRepository {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DROP REPOSITORY {}{}", when(self.if_exists, "IF EXISTS "), ident(&self.name))
    }
}

impl Display for VerifyRepository {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "VERIFY REPOSITORY {}", ident(&self.name))?;
        write_properties(f, &self.properties)
    }
}

impl Display for Backup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("BACKUP ")?;
        if let Some(catalogs) = &self.catalogs {
            write!(f, "{catalogs} ")?;
        }
        f.write_str("SNAPSHOT ")?;
        write_qualified(f, self.database.as_deref(), &self.label)?;
        write!(f, " TO {}{}", ident(&self.repository), self.scope)?;
        write_properties(f, &self.properties)
    }
}

impl Display for Restore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("RESTORE SNAPSHOT ")?;
        match &self.source_database {
            None => write_qualified(f, self.target_database.as_deref(), &self.label)?,
            Some(_) => write!(f, "{}", ident(&self.label))?,
        }
        write!(f, " FROM {}", ident(&self.repository))?;
        if let Some(catalogs) = &self.catalogs {
            write!(f, " {catalogs}")?;
        }
        if let Some(source) = &self.source_database {
            write!(f, " DATABASE {}", ident(source))?;
            write_alias(f, self.target_database.as_ref())?;
        }
        write!(f, "{}", self.scope)?;
        write_properties(f, &self.properties)
    }
}

fn write_qualified(f: &mut Formatter<'_>, database: Option<&str>, name: &str) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", ident(database))?;
    }
    write!(f, "{}", ident(name))
}

fn write_alias(f: &mut Formatter<'_>, alias: Option<&String>) -> fmt::Result {
    match alias {
        Some(alias) => write!(f, " AS {}", ident(alias)),
        None => Ok(()),
    }
}

impl Display for CatalogScope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL EXTERNAL CATALOGS"),
            Self::Named(catalogs) => write!(f, "EXTERNAL CATALOGS ({})", list(catalogs)),
        }
    }
}

impl Display for CatalogRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ident(&self.name))?;
        write_alias(f, self.alias.as_ref())
    }
}

/// With a space before it, when there is anything.
impl Display for ObjectScope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => Ok(()),
            Self::On(objects) => write!(f, " ON ({})", list(objects)),
            Self::Exclude(objects) => write!(f, " EXCLUDE ({})", list(objects)),
        }
    }
}

impl Display for ObjectRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relation(relation) => write!(f, "{relation}"),
            Self::Function { database, name, alias } => {
                f.write_str("FUNCTION ")?;
                write_qualified(f, database.as_deref(), name)?;
                write_alias(f, alias.as_ref())
            }
            Self::All(ObjectKind::Tables) => f.write_str("ALL TABLES"),
            Self::All(ObjectKind::Views) => f.write_str("ALL VIEWS"),
            Self::All(ObjectKind::MaterializedViews) => f.write_str("ALL MATERIALIZED VIEWS"),
            Self::All(ObjectKind::Functions) => f.write_str("ALL FUNCTIONS"),
        }
    }
}

impl Display for RelationRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            None => "",
            Some(RelationKind::Table) => "TABLE ",
            Some(RelationKind::View) => "VIEW ",
            Some(RelationKind::MaterializedView) => "MATERIALIZED VIEW ",
        })?;
        write_qualified(f, self.database.as_deref(), &self.name)?;
        if !self.partitions.is_empty() {
            write!(f, "{} PARTITION {}", when(self.temporary_partitions, " TEMPORARY"), names(&self.partitions))?;
        }
        write_alias(f, self.alias.as_ref())
    }
}

/// With a space before it, when there is anything.
impl Display for CancelTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(None) => Ok(()),
            Self::Database(Some(database)) => write!(f, " FROM {}", ident(database)),
            Self::ExternalCatalog => f.write_str(" FOR EXTERNAL CATALOG"),
        }
    }
}

/// Without `SHOW SNAPSHOT`.
impl Display for ShowSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ON {}", ident(&self.repository))?;
        if !self.labels.is_empty() {
            let filter = SnapshotFilter {
                labels: self.labels.clone(),
                timestamp: self.timestamp.clone(),
                ..SnapshotFilter::default()
            };
            write!(f, " WHERE {filter}")?;
        }
        self.tail.fmt(f)
    }
}

impl Display for SnapshotFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut conditions = Vec::new();
        match self.labels.as_slice() {
            [] => {}
            [label] => conditions.push(format!("SNAPSHOT = {}", string(label))),
            labels => {
                let labels: Vec<String> = labels.iter().map(|label| string(label).to_string()).collect();
                conditions.push(format!("SNAPSHOT IN ({})", labels.join(", ")));
            }
        }
        for (operator, value) in [("=", &self.timestamp), (">=", &self.not_before), ("<=", &self.not_after)] {
            if let Some(value) = value {
                conditions.push(format!("TIMESTAMP {operator} {}", string(value)));
            }
        }
        f.write_str(&conditions.join(" AND "))
    }
}

impl Display for DropSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let force = when(self.force, " FORCE");
        match &self.target {
            DropSnapshotTarget::Label(label) => {
                write!(f, "DROP SNAPSHOT {} ON {}{force}", ident(label), ident(&self.repository))
            }
            DropSnapshotTarget::Where(filter) => {
                write!(f, "DROP SNAPSHOT ON {} WHERE {filter}{force}", ident(&self.repository))
            }
        }
    }
}

impl Display for VerifySnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "VERIFY SNAPSHOT {} ON {}", ident(&self.label), ident(&self.repository))?;
        if let Some(timestamp) = &self.timestamp {
            write!(f, " WHERE TIMESTAMP = {}", string(timestamp))?;
        }
        write_properties(f, &self.properties)
    }
}
