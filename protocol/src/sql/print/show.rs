//! SHOW and DESCRIBE.

use std::fmt::{self, Display, Formatter};

use super::schema::in_catalog;
use super::session::scope_word;
use super::{ident, names, string, tree, when};
use crate::sql::ast::name::TableName;
use crate::sql::ast::show::{AlterJobKind, Describe, Show, ShowFilter, ShowLimit, ShowTail};

impl Display for Describe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DESCRIBE {}{}", self.table, when(self.all, " ALL"))
    }
}

impl Display for Show {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW ")?;
        match self {
            Self::Databases { catalog, filter } => {
                f.write_str("DATABASES")?;
                write_from(f, catalog.as_deref())?;
                write_filter(f, filter)
            }
            Self::Tables { full, catalog, database, filter } => {
                write!(f, "{}TABLES", when(*full, "FULL "))?;
                if let Some(database) = database {
                    write!(f, " FROM {}", in_catalog(catalog.as_deref(), database))?;
                }
                write_filter(f, filter)
            }
            Self::TableStatus { database, filter } => of_database(f, "TABLE STATUS", database, filter),
            Self::Columns { full, table, filter } => {
                write!(f, "{}COLUMNS FROM {table}", when(*full, "FULL "))?;
                write_filter(f, filter)
            }
            Self::Index { table, filter } => {
                write!(f, "INDEX FROM {table}")?;
                write_filter(f, filter)
            }
            Self::CreateDatabase { if_not_exists, database } => {
                write!(f, "CREATE DATABASE {}{}", when(*if_not_exists, "IF NOT EXISTS "), ident(database))
            }
            Self::CreateTable(table) => write!(f, "CREATE TABLE {table}"),
            Self::CreateView(view) => write!(f, "CREATE VIEW {view}"),
            Self::CreateMaterializedView(view) => write!(f, "CREATE MATERIALIZED VIEW {view}"),
            Self::CreateRepository(repository) => write!(f, "CREATE REPOSITORY FOR {}", ident(repository)),
            Self::CreateUser(user) => write!(f, "CREATE USER {user}"),
            Self::Partitions { temporary, table, tail } => {
                write!(f, "{}PARTITIONS FROM {table}{tail}", when(*temporary, "TEMPORARY "))
            }
            Self::Tablets { table, partitions, tail } => write_tablets(f, table, partitions, tail),
            Self::Tablet(id) => write!(f, "TABLET {id}"),
            Self::Data(None) => f.write_str("DATA"),
            Self::Data(Some(table)) => write!(f, "DATA FROM {table}"),
            Self::Variables { scope, filter } => {
                write!(f, "{}VARIABLES", scope_word(*scope))?;
                write_filter(f, filter)
            }
            Self::Status { scope, filter } => {
                write!(f, "{}STATUS", scope_word(*scope))?;
                write_filter(f, filter)
            }
            Self::Processlist { full } => write!(f, "{}PROCESSLIST", when(*full, "FULL ")),
            Self::Warnings(limit) => write_limited(f, "WARNINGS", *limit),
            Self::Errors(limit) => write_limited(f, "ERRORS", *limit),
            Self::CountWarnings => f.write_str("COUNT(*) WARNINGS"),
            Self::CountErrors => f.write_str("COUNT(*) ERRORS"),
            Self::Engines => f.write_str("ENGINES"),
            Self::Charset(filter) => filtered(f, "CHARSET", filter),
            Self::Collation(filter) => filtered(f, "COLLATION", filter),
            Self::Plugins => f.write_str("PLUGINS"),
            Self::ProcedureStatus(filter) => filtered(f, "PROCEDURE STATUS", filter),
            Self::FunctionStatus(filter) => filtered(f, "FUNCTION STATUS", filter),
            Self::Functions { database, filter } => of_database(f, "FULL FUNCTIONS", database, filter),
            Self::Triggers { database, filter } => of_database(f, "TRIGGERS", database, filter),
            Self::Events { database, filter } => of_database(f, "EVENTS", database, filter),
            Self::OpenTables { database, filter } => of_database(f, "OPEN TABLES", database, filter),
            Self::MaterializedViews { database, filter } => of_database(f, "MATERIALIZED VIEWS", database, filter),
            Self::DynamicPartitionTables { database } => of_database(f, "DYNAMIC PARTITION TABLES", database, &None),
            Self::AlterJobs { kind, database, tail } => {
                f.write_str(match kind {
                    AlterJobKind::Column => "ALTER TABLE COLUMN",
                    AlterJobKind::Rollup => "ALTER TABLE ROLLUP",
                    AlterJobKind::Optimize => "ALTER TABLE OPTIMIZE",
                })?;
                write_from(f, database.as_deref())?;
                write!(f, "{tail}")
            }
            Self::Load { database, tail } => {
                f.write_str("LOAD")?;
                write_from(f, database.as_deref())?;
                write!(f, "{tail}")
            }
            Self::Grants(None) => f.write_str("GRANTS"),
            Self::Grants(Some(grantee)) => write!(f, "GRANTS FOR {grantee}"),
            Self::Users => f.write_str("USERS"),
            Self::Roles => f.write_str("ROLES"),
            Self::Authentication { all, user } => {
                write!(f, "{}AUTHENTICATION", when(*all, "ALL "))?;
                match user {
                    Some(user) => write!(f, " FOR {user}"),
                    None => Ok(()),
                }
            }
            Self::Privileges => f.write_str("PRIVILEGES"),
            Self::Frontends => f.write_str("FRONTENDS"),
            Self::Backends => f.write_str("BACKENDS"),
            Self::ComputeNodes => f.write_str("COMPUTE NODES"),
            Self::Broker => f.write_str("BROKER"),
            Self::Proc(path) => write!(f, "PROC {}", string(path)),
            Self::Catalogs(filter) => filtered(f, "CATALOGS", filter),
            Self::MasterStatus => f.write_str("MASTER STATUS"),
            Self::BinaryLogs => f.write_str("BINARY LOGS"),
            Self::ReplicaStatus => f.write_str("REPLICA STATUS"),
            Self::Profiles => f.write_str("PROFILES"),
            Self::Backup { database, like, tail } => jobs_of_database(f, "BACKUP", database, like, tail),
            Self::Restore { brief, database, like, tail } => {
                jobs_of_database(f, if *brief { "BRIEF RESTORE" } else { "RESTORE" }, database, like, tail)
            }
            Self::Snapshot(show) => write!(f, "SNAPSHOT {show}"),
            Self::Repositories => f.write_str("REPOSITORIES"),
            Self::Verify { repository, like, tail } => {
                f.write_str("VERIFY")?;
                if let Some(repository) = repository {
                    write!(f, " ON {}", ident(repository))?;
                }
                write_like(f, like)?;
                write!(f, "{tail}")
            }
        }
    }
}

fn filtered(f: &mut Formatter<'_>, what: &str, filter: &Option<ShowFilter>) -> fmt::Result {
    f.write_str(what)?;
    write_filter(f, filter)
}

fn of_database(
    f: &mut Formatter<'_>,
    what: &str,
    database: &Option<String>,
    filter: &Option<ShowFilter>,
) -> fmt::Result {
    f.write_str(what)?;
    write_from(f, database.as_deref())?;
    write_filter(f, filter)
}

fn jobs_of_database(
    f: &mut Formatter<'_>,
    what: &str,
    database: &Option<String>,
    like: &Option<String>,
    tail: &ShowTail,
) -> fmt::Result {
    f.write_str(what)?;
    write_from(f, database.as_deref())?;
    write_like(f, like)?;
    write!(f, "{tail}")
}

fn write_from(f: &mut Formatter<'_>, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => write!(f, " FROM {}", ident(name)),
        None => Ok(()),
    }
}

fn write_like(f: &mut Formatter<'_>, like: &Option<String>) -> fmt::Result {
    match like {
        Some(pattern) => write!(f, " LIKE {}", string(pattern)),
        None => Ok(()),
    }
}

fn write_filter(f: &mut Formatter<'_>, filter: &Option<ShowFilter>) -> fmt::Result {
    match filter {
        Some(ShowFilter::Like(pattern)) => write!(f, " LIKE {}", string(pattern)),
        Some(ShowFilter::Where(condition)) => write!(f, " WHERE {}", tree(condition)),
        None => Ok(()),
    }
}

fn write_limited(f: &mut Formatter<'_>, what: &str, limit: Option<ShowLimit>) -> fmt::Result {
    f.write_str(what)?;
    match limit {
        Some(limit) => write!(f, " {limit}"),
        None => Ok(()),
    }
}

fn write_tablets(f: &mut Formatter<'_>, table: &TableName, partitions: &[String], tail: &ShowTail) -> fmt::Result {
    write!(f, "TABLET FROM {table}")?;
    if !partitions.is_empty() {
        write!(f, " PARTITION {}", names(partitions))?;
    }
    write!(f, "{tail}")
}

/// With a space before it, when there is anything.
impl Display for ShowTail {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(selection) = &self.selection {
            write!(f, " WHERE {}", tree(selection))?;
        }
        for (nth, item) in self.order_by.iter().enumerate() {
            write!(f, "{}{}", if nth == 0 { " ORDER BY " } else { ", " }, tree(item))?;
        }
        match self.limit {
            Some(limit) => write!(f, " {limit}"),
            None => Ok(()),
        }
    }
}

impl Display for ShowLimit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LIMIT {}", self.count)?;
        if self.offset > 0 { write!(f, " OFFSET {}", self.offset) } else { Ok(()) }
    }
}
