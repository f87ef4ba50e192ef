//! Privileges: which there are, what the built-in roles hold, and the one check that every statement goes through.

use ebla_storage::catalog::PrivilegeRow;

use crate::error::{Error, Result};

/// Holds every privilege.
pub const ROLE_ROOT: &str = "root";
/// Holds every privilege on data and repositories.
pub const ROLE_DB_ADMIN: &str = "db_admin";
/// Makes users and roles and grants.
pub const ROLE_USER_ADMIN: &str = "user_admin";
/// Looks after the cluster.
pub const ROLE_CLUSTER_ADMIN: &str = "cluster_admin";
/// Held by everybody.
pub const ROLE_PUBLIC: &str = "public";

/// The roles that come with the server, with their comments.
pub const BUILTIN_ROLES: [(&str, &str); 5] = [
    (ROLE_ROOT, "built-in root role which has all privileges on all objects"),
    (ROLE_CLUSTER_ADMIN, "built-in cluster administration role"),
    (ROLE_DB_ADMIN, "built-in database administration role"),
    (ROLE_USER_ADMIN, "built-in user administration role"),
    (ROLE_PUBLIC, "built-in public role which is owned by any user"),
];

/// Privileges on SYSTEM.
pub const SYSTEM_PRIVILEGES: [&str; 12] = [
    "GRANT",
    "NODE",
    "OPERATE",
    "REPOSITORY",
    "BLACKLIST",
    "FILE",
    "PLUGIN",
    "CREATE RESOURCE",
    "CREATE RESOURCE GROUP",
    "CREATE EXTERNAL CATALOG",
    "CREATE STORAGE VOLUME",
    "CREATE GLOBAL FUNCTION",
];
/// Privileges on a catalog.
pub const CATALOG_PRIVILEGES: [&str; 3] = ["USAGE", "CREATE DATABASE", "DROP"];
/// Privileges on a database.
pub const DATABASE_PRIVILEGES: [&str; 6] =
    ["ALTER", "DROP", "CREATE TABLE", "CREATE VIEW", "CREATE FUNCTION", "CREATE MATERIALIZED VIEW"];
/// Privileges on a table.
pub const TABLE_PRIVILEGES: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "EXPORT", "ALTER", "DROP"];
/// Privileges on a user: none can be granted, but older versions did, and REVOKE takes them away.
pub const USER_PRIVILEGES: [&str; 1] = ["IMPERSONATE"];

/// Stands for the tables of a database whose names are not told.
const ALL_TABLES: &str = "*";

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// The server as a whole.
    System,
    /// The one catalog there is.
    Catalog,
    /// A database.
    Database(&'a str),
    /// A table of a database.
    Table(&'a str, &'a str),
}

/// What somebody may do at one moment.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Whether everything is allowed.
    pub is_root: bool,
    /// Roles in force.
    pub active_roles: Vec<String>,
    /// Roles held but not in force.
    pub inactive_roles: Vec<String>,
    /// Every privilege, one's own and of the roles in force.
    pub privileges: Vec<PrivilegeRow>,
}

impl Object<'_> {
    /// The kind as GRANT names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::System => "SYSTEM",
            Object::Catalog => "CATALOG",
            Object::Database(_) => "DATABASE",
            Object::Table(..) => "TABLE",
        }
    }

    fn name(&self) -> String {
        match self {
            Object::System => String::new(),
            Object::Catalog => " default_catalog".to_owned(),
            Object::Database(database) => format!(" {database}"),
            Object::Table(_, table) => format!(" {table}"),
        }
    }

    fn is_covered_by(&self, row: &PrivilegeRow) -> bool {
        let covers = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        row.object_kind == self.kind()
            && match self {
                Object::System | Object::Catalog => true,
                Object::Database(database) => covers(&row.object_database, database),
                Object::Table(database, table) => {
                    covers(&row.object_database, database) && covers(&row.object_name, table)
                }
            }
    }
}

impl Access {
    /// Whether this privilege on this object is held.
    pub fn allows(&self, privilege: &str, object: Object<'_>) -> bool {
        self.is_root || self.privileges.iter().any(|row| row.privilege == privilege && object.is_covered_by(row))
    }

    /// Whether any privilege on the table, or anything of it, is held: then it may be seen in lists.
    pub fn sees_table(&self, database: &str, table: &str) -> bool {
        self.is_root || self.privileges.iter().any(|row| Object::Table(database, table).is_covered_by(row))
    }

    /// Whether any privilege on the database or on a table in it is held.
    pub fn sees_database(&self, database: &str) -> bool {
        database.eq_ignore_ascii_case("information_schema")
            || self.is_root
            || self.privileges.iter().any(|row| {
                matches!(row.object_kind.as_str(), "DATABASE" | "TABLE")
                    && (row.object_database == "*" || row.object_database == database)
            })
    }

    /// Errors with 5203 unless this privilege on this object is held.
    pub fn require(&self, privilege: &str, object: Object<'_>) -> Result<()> {
        self.require_any(&[privilege], object)
    }

    /// Errors with 5203 unless one of these privileges on this object is held.
    pub fn require_any(&self, privileges: &[&str], object: Object<'_>) -> Result<()> {
        if privileges.iter().any(|privilege| self.allows(privilege, object)) {
            return Ok(());
        }
        Err(self.denied(&privileges.join(", "), object.kind(), &object.name()))
    }

    /// Errors with 5203 unless any privilege on the database or on something in it is held. Asked before the database is
    /// looked up: a refusal tells nobody whether it is there.
    pub fn require_database(&self, database: &str) -> Result<()> {
        if self.sees_database(database) { Ok(()) } else { Err(self.denied_any(Object::Database(database))) }
    }

    /// Errors with 5203 unless any privilege on the table is held; see [`Access::require_database`].
    pub fn require_table(&self, database: &str, table: &str) -> Result<()> {
        if self.sees_table(database, table) { Ok(()) } else { Err(self.denied_any(Object::Table(database, table))) }
    }

    /// Errors with 5203 unless this privilege is held on a table that the statement has not named: nobody learns the
    /// name of one that they may not see.
    pub fn require_unnamed(&self, privilege: &str, database: &str, table: &str) -> Result<()> {
        let shown = if self.sees_table(database, table) { table } else { ALL_TABLES };
        if self.allows(privilege, Object::Table(database, table)) {
            return Ok(());
        }
        Err(self.denied(privilege, "TABLE", &format!(" {shown}")))
    }

    fn denied_any(&self, object: Object<'_>) -> Error {
        self.denied("ANY", object.kind(), &object.name())
    }

    fn denied(&self, privileges: &str, kind: &str, name: &str) -> Error {
        let list = |roles: &[String]| if roles.is_empty() { "NONE".to_owned() } else { roles.join(", ") };
        Error::AccessDenied(format!(
            "Access denied; you need (at least one of) the {privileges} privilege(s) on {kind}{name} for this \
             operation. Please ask the admin to grant permission(s) or try activating existing roles using \
             <set [default] role>. Current role(s): [{}]. Inactivated role(s): [{}].",
            list(&self.active_roles),
            list(&self.inactive_roles)
        ))
    }
}

/// What a built-in role holds besides what was granted to it.
pub fn builtin_privileges(role: &str) -> Vec<PrivilegeRow> {
    let rows = |kind: &str, privileges: &[&str]| {
        privileges
            .iter()
            .map(|privilege| PrivilegeRow {
                privilege: (*privilege).to_owned(),
                object_kind: kind.to_owned(),
                object_database: "*".to_owned(),
                object_name: "*".to_owned(),
                with_grant: false,
            })
            .collect::<Vec<_>>()
    };
    match role {
        ROLE_DB_ADMIN => [
            rows("SYSTEM", &["REPOSITORY", "FILE", "PLUGIN", "BLACKLIST", "CREATE RESOURCE"]),
            rows("CATALOG", &CATALOG_PRIVILEGES),
            rows("DATABASE", &DATABASE_PRIVILEGES),
            rows("TABLE", &TABLE_PRIVILEGES),
        ]
        .concat(),
        ROLE_USER_ADMIN => rows("SYSTEM", &["GRANT"]),
        ROLE_CLUSTER_ADMIN => rows("SYSTEM", &["NODE", "OPERATE"]),
        _ => Vec::new(),
    }
}

/// The privileges there are on a kind of object.
pub fn privileges_on(kind: &str) -> &'static [&'static str] {
    match kind {
        "SYSTEM" => &SYSTEM_PRIVILEGES,
        "CATALOG" => &CATALOG_PRIVILEGES,
        "DATABASE" => &DATABASE_PRIVILEGES,
        "TABLE" => &TABLE_PRIVILEGES,
        "USER" => &USER_PRIVILEGES,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn db_admin_backs_up_and_nobody_else() {
        for (role, allowed) in [(ROLE_DB_ADMIN, true), (ROLE_USER_ADMIN, false), (ROLE_CLUSTER_ADMIN, false)] {
            let access = Access { privileges: builtin_privileges(role), ..Access::default() };
            assert_eq!(access.allows("REPOSITORY", Object::System), allowed, "{role}");
            assert_eq!(access.allows("EXPORT", Object::Table("d", "t")), allowed, "{role}");
        }
    }

    #[test]
    fn refusal_names_privilege_object_and_roles() {
        let access = Access { inactive_roles: vec!["db_admin".into()], ..Access::default() };
        let error = access.require("REPOSITORY", Object::System).expect_err("nothing is held").to_string();
        assert!(error.starts_with(
            "Access denied; you need (at least one of) the REPOSITORY privilege(s) on SYSTEM for this operation."
        ));
        assert!(error.ends_with("Current role(s): [NONE]. Inactivated role(s): [db_admin]."));
    }
}
