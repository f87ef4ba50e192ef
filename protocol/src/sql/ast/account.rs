//! Accounts: users, passwords, roles, privileges.

use std::fmt;

use super::name::{Properties, TableName};
use super::types::DataType;
use crate::sql::redact::MASK;

/// `'user'[@'host']`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserIdentity {
    /// The user's name.
    pub user: String,
    /// Where the user comes from; anywhere (`%`) when absent.
    pub host: Option<String>,
}

/// How a user proves who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// `WITH plugin`; `mysql_native_password` when absent.
    pub plugin: Option<String>,
    /// The password, or what the plugin needs.
    pub credential: Option<Credential>,
}

/// A password or its hash. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// `BY 'password'`, `PASSWORD('password')`: the password itself.
    Plain(String),
    /// `BY PASSWORD '*hash'`, `WITH plugin AS '*hash'`, `SET PASSWORD = '*hash'`: what the password hashes to.
    Hash(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Plain(_) => "Plain",
            Self::Hash(_) => "Hash",
        };
        f.debug_tuple(kind).field(&MASK).finish()
    }
}

/// `CREATE USER [IF NOT EXISTS] u [IDENTIFIED …] [DEFAULT ROLE …] [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUser {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The user to make.
    pub user: UserIdentity,
    /// `IDENTIFIED …`; an empty password when absent.
    pub authentication: Option<Authentication>,
    /// `DEFAULT ROLE r[, …]`
    pub default_roles: Vec<String>,
    /// `PROPERTIES (…)`
    pub properties: Properties,
}

/// `ALTER USER [IF EXISTS] u …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterUser {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The user to change.
    pub user: UserIdentity,
    /// What to change.
    pub action: AlterUserAction,
}

/// What ALTER USER changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterUserAction {
    /// `IDENTIFIED …`
    Authentication(Authentication),
    /// `DEFAULT ROLE …`
    DefaultRole(RoleChoice),
    /// `SET PROPERTIES (…)`
    Properties(Properties),
}

/// `DROP USER [IF EXISTS] u`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropUser {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The user to drop.
    pub user: UserIdentity,
}

/// `SET PASSWORD [FOR u] = PASSWORD('…') | '*hash'`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPassword {
    /// Whose password; one's own when absent.
    pub user: Option<UserIdentity>,
    /// The new password.
    pub credential: Credential,
}

/// `EXECUTE AS u [WITH NO REVERT]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecuteAs {
    /// Whom to act as.
    pub user: UserIdentity,
    /// False after `WITH NO REVERT`.
    pub revert: bool,
}

/// `CREATE ROLE [IF NOT EXISTS] r[, …] [COMMENT "…"]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRole {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The roles to make.
    pub roles: Vec<String>,
    /// `COMMENT "…"`
    pub comment: Option<String>,
}

/// `DROP ROLE [IF EXISTS] r[, …]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRole {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The roles to drop.
    pub roles: Vec<String>,
}

/// Which roles `SET ROLE` and `DEFAULT ROLE` name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChoice {
    /// `ALL [EXCEPT r, …]`
    All {
        /// The roles left out.
        except: Vec<String>,
    },
    /// `NONE`
    None,
    /// `DEFAULT`; only in SET ROLE
    Default,
    /// `r[, …]`
    Roles(Vec<String>),
}

/// `SET DEFAULT ROLE … TO u`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDefaultRole {
    /// The roles that are active after login.
    pub roles: RoleChoice,
    /// Whose.
    pub user: UserIdentity,
}

/// Who is granted something, or loses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// `[USER] u`
    User(UserIdentity),
    /// `ROLE r`
    Role(String),
}

/// `GRANT r[, …] TO …` and `REVOKE r[, …] FROM …` for roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleGrant {
    /// The roles.
    pub roles: Vec<String>,
    /// Who gets or loses them.
    pub grantees: Vec<Grantee>,
}

/// `GRANT p[, …] ON … TO …` and `REVOKE p[, …] ON … FROM …` for privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivilegeGrant {
    /// Privileges in upper case, words separated by one space: `SELECT`, `CREATE TABLE`, `ADMIN_PRIV`, `ALL`.
    /// `ALL PRIVILEGES` is `ALL`. The server knows which exist.
    pub privileges: Vec<String>,
    /// On what.
    pub object: PrivilegeObject,
    /// Who gets or loses them.
    pub grantees: Vec<Grantee>,
    /// `WITH GRANT OPTION`; never in REVOKE.
    pub with_grant_option: bool,
}

/// What a privilege is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivilegeObject {
    /// `SYSTEM`
    System,
    /// `TABLE | VIEW | MATERIALIZED VIEW [d.]t[, …]`
    Relations {
        /// Which kind.
        kind: RelationKind,
        /// The relations.
        names: Vec<TableName>,
    },
    /// `ALL TABLES | VIEWS | MATERIALIZED VIEWS | FUNCTIONS IN {DATABASE d | ALL DATABASES}`
    AllIn {
        /// Which kind.
        kind: ContainedKind,
        /// In which databases; in all when empty.
        databases: Vec<String>,
    },
    /// `DATABASE | CATALOG | RESOURCE | RESOURCE GROUP | STORAGE VOLUME | … name[, …]`
    Named {
        /// Which kind.
        kind: NamedKind,
        /// The names.
        names: Vec<String>,
    },
    /// `ALL DATABASES | CATALOGS | RESOURCES | …`
    All(NamedKind),
    /// `FUNCTION | GLOBAL FUNCTION f(types)[, …]`
    Functions {
        /// `GLOBAL`
        global: bool,
        /// The functions.
        functions: Vec<FunctionName>,
    },
    /// `ALL GLOBAL FUNCTIONS`
    AllGlobalFunctions,
    /// `USER u[, …]`, for IMPERSONATE
    Users(Vec<UserIdentity>),
    /// `ALL USERS`
    AllUsers,
    /// `ON d.t`, `ON d.*`, `ON *.*` or `ON t`, with no word for the kind: the form of 2.x. None stands for `*`.
    Pattern {
        /// The database.
        database: PatternPart,
        /// The table.
        table: PatternPart,
    },
}

/// One half of a 2.x pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPart {
    /// `*`
    Any,
    /// Left out: the session's database.
    Current,
    /// A name.
    Name(String),
}

/// Kinds of relation that a privilege may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// `TABLE`
    Table,
    /// `VIEW`
    View,
    /// `MATERIALIZED VIEW`
    MaterializedView,
}

/// Kinds of object that live in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainedKind {
    /// `TABLES`
    Tables,
    /// `VIEWS`
    Views,
    /// `MATERIALIZED VIEWS`
    MaterializedViews,
    /// `FUNCTIONS`
    Functions,
}

/// Kinds of object that have one plain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKind {
    /// `DATABASE`
    Database,
    /// `CATALOG`
    Catalog,
    /// `RESOURCE`
    Resource,
    /// `RESOURCE GROUP`
    ResourceGroup,
    /// `STORAGE VOLUME`
    StorageVolume,
    /// `REPOSITORY`: an extension, for privileges on one repository.
    Repository,
}

/// A function with its argument types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    /// The database, when given.
    pub database: Option<String>,
    /// The function.
    pub name: String,
    /// Its argument types.
    pub arguments: Vec<DataType>,
}
