//! Users, passwords, roles, GRANT and REVOKE. Passwords are printed as they are; see the parent's head.

use std::fmt::{self, Display, Formatter};

use super::{display, ident, list, string, when, write_comment, write_properties};
use crate::sql::ast::account::{
    AlterUser, AlterUserAction, Authentication, ContainedKind, CreateRole, CreateUser, Credential, DropRole, DropUser,
    ExecuteAs, FunctionName, Grantee, NamedKind, PatternPart, PrivilegeGrant, PrivilegeObject, RelationKind,
    RoleChoice, RoleGrant, SetPassword, UserIdentity,
};

impl Display for UserIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", string(&self.user))?;
        match &self.host {
            Some(host) => write!(f, "@{}", string(host)),
            None => Ok(()),
        }
    }
}

/// With a space before it.
impl Display for Authentication {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" IDENTIFIED")?;
        if let Some(plugin) = &self.plugin {
            write!(f, " WITH {}", ident(plugin))?;
        }
        match &self.credential {
            Some(Credential::Plain(password)) => write!(f, " BY {}", string(password)),
            Some(Credential::Hash(hash)) if self.plugin.is_some() => write!(f, " AS {}", string(hash)),
            Some(Credential::Hash(hash)) => write!(f, " BY PASSWORD {}", string(hash)),
            None => Ok(()),
        }
    }
}

impl Display for CreateUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE USER {}{}", when(self.if_not_exists, "IF NOT EXISTS "), self.user)?;
        if let Some(authentication) = &self.authentication {
            write!(f, "{authentication}")?;
        }
        if !self.default_roles.is_empty() {
            write!(f, " DEFAULT ROLE {}", role_names(&self.default_roles))?;
        }
        write_properties(f, &self.properties)
    }
}

impl Display for AlterUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER USER {}{}", when(self.if_exists, "IF EXISTS "), self.user)?;
        match &self.action {
            AlterUserAction::Authentication(authentication) => write!(f, "{authentication}"),
            AlterUserAction::DefaultRole(roles) => write!(f, " DEFAULT ROLE {roles}"),
            AlterUserAction::Properties(properties) => write!(f, " SET PROPERTIES {properties}"),
        }
    }
}

impl Display for DropUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DROP USER {}{}", when(self.if_exists, "IF EXISTS "), self.user)
    }
}

impl Display for SetPassword {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SET PASSWORD")?;
        if let Some(user) = &self.user {
            write!(f, " FOR {user}")?;
        }
        match &self.credential {
            Credential::Plain(password) => write!(f, " = PASSWORD({})", string(password)),
            Credential::Hash(hash) => write!(f, " = {}", string(hash)),
        }
    }
}

impl Display for ExecuteAs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "EXECUTE AS {}{}", self.user, when(!self.revert, " WITH NO REVERT"))
    }
}

impl Display for CreateRole {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE ROLE {}{}", when(self.if_not_exists, "IF NOT EXISTS "), role_names(&self.roles))?;
        write_comment(f, self.comment.as_ref())
    }
}

impl Display for DropRole {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DROP ROLE {}{}", when(self.if_exists, "IF EXISTS "), role_names(&self.roles))
    }
}

/// Roles in quotes, so that none is taken for `ALL`, `NONE` or a privilege.
fn role_names(roles: &[String]) -> impl Display + '_ {
    display(move |f| {
        for (nth, role) in roles.iter().enumerate() {
            write!(f, "{}{}", when(nth > 0, ", "), string(role))?;
        }
        Ok(())
    })
}

impl Display for RoleChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { except } if except.is_empty() => f.write_str("ALL"),
            Self::All { except } => write!(f, "ALL EXCEPT {}", role_names(except)),
            Self::None => f.write_str("NONE"),
            Self::Default => f.write_str("DEFAULT"),
            Self::Roles(roles) => write!(f, "{}", role_names(roles)),
        }
    }
}

impl Display for Grantee {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "USER {user}"),
            Self::Role(role) => write!(f, "ROLE {}", string(role)),
        }
    }
}

/// `GRANT roles TO …`, `REVOKE roles FROM …`
pub(super) fn roles(f: &mut Formatter<'_>, verb: &str, grant: &RoleGrant, direction: &str) -> fmt::Result {
    write!(f, "{verb} {} {direction} {}", role_names(&grant.roles), list(&grant.grantees))
}

/// `GRANT privileges ON … TO …`, `REVOKE privileges ON … FROM …`
pub(super) fn privileges(f: &mut Formatter<'_>, verb: &str, grant: &PrivilegeGrant, direction: &str) -> fmt::Result {
    let option = when(grant.with_grant_option, " WITH GRANT OPTION");
    let privileges = list(&grant.privileges);
    write!(f, "{verb} {privileges} ON {} {direction} {}{option}", grant.object, list(&grant.grantees))
}

impl Display for PrivilegeObject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("SYSTEM"),
            Self::Relations { kind, names } => {
                let kind = match kind {
                    RelationKind::Table => "TABLE",
                    RelationKind::View => "VIEW",
                    RelationKind::MaterializedView => "MATERIALIZED VIEW",
                };
                write!(f, "{kind} {}", list(names))
            }
            Self::AllIn { kind, databases } => {
                let kind = match kind {
                    ContainedKind::Tables => "TABLES",
                    ContainedKind::Views => "VIEWS",
                    ContainedKind::MaterializedViews => "MATERIALIZED VIEWS",
                    ContainedKind::Functions => "FUNCTIONS",
                };
                if databases.is_empty() {
                    return write!(f, "ALL {kind} IN ALL DATABASES");
                }
                write!(f, "ALL {kind} IN DATABASE {}", super::bare_names(databases))
            }
            Self::Named { kind, names } => write!(f, "{} {}", named_kind(*kind), super::bare_names(names)),
            Self::All(NamedKind::Repository) => f.write_str("ALL REPOSITORIES"),
            Self::All(kind) => write!(f, "ALL {}S", named_kind(*kind)),
            Self::Functions { global, functions } => {
                write!(f, "{}FUNCTION {}", when(*global, "GLOBAL "), list(functions))
            }
            Self::AllGlobalFunctions => f.write_str("ALL GLOBAL FUNCTIONS"),
            Self::Users(users) => write!(f, "USER {}", list(users)),
            Self::AllUsers => f.write_str("ALL USERS"),
            Self::Pattern { database: PatternPart::Current, table } => write!(f, "{table}"),
            Self::Pattern { database, table } => write!(f, "{database}.{table}"),
        }
    }
}

impl Display for PatternPart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any | Self::Current => f.write_str("*"),
            Self::Name(name) => write!(f, "{}", ident(name)),
        }
    }
}

fn named_kind(kind: NamedKind) -> &'static str {
    match kind {
        NamedKind::Database => "DATABASE",
        NamedKind::Catalog => "CATALOG",
        NamedKind::Resource => "RESOURCE",
        NamedKind::ResourceGroup => "RESOURCE GROUP",
        NamedKind::StorageVolume => "STORAGE VOLUME",
        NamedKind::Repository => "REPOSITORY",
    }
}

impl Display for FunctionName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", ident(database))?;
        }
        write!(f, "{}({})", ident(&self.name), list(&self.arguments))
    }
}
