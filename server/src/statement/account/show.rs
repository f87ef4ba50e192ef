//! What SHOW tells of accounts, roles and privileges. Never shows a password, nor its hash.

use ebla_protocol::sql::ast::account::{Grantee, UserIdentity};
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{self, PrivilegeRow};

use super::super::DEFAULT_CATALOG;
use super::super::rows::{TextRows, text};
use super::{NATIVE_PASSWORD, exists, identity, require_grant, unknown_user};
use crate::auth::{Identity, privilege};
use crate::error::{Error, Result};
use crate::session::Session;

/// SHOW GRANTS.
pub fn show_grants(session: &Session, grantee: Option<Grantee>) -> Result<Outcome> {
    let (grantee, shown) = match grantee {
        None => (session.identity.grantee(), session.identity.to_string()),
        Some(Grantee::User(user)) => {
            let user = identity(&user);
            if user != session.identity {
                require_grant(session)?;
            }
            if !exists(session, &user)? {
                return Err(unknown_user("SHOW GRANTS", &user));
            }
            (user.grantee(), user.to_string())
        }
        Some(Grantee::Role(role)) => {
            require_grant(session)?;
            if session.server.storage.catalog().read(|read| read.find_role(&role))?.is_none() {
                return Err(Error::refused(format!("cannot find role {role}!")));
            }
            (catalog::Grantee::Role(role.clone()), role)
        }
    };
    let (kind, heading) = match &grantee {
        catalog::Grantee::User { .. } => ("USER", "UserIdentity"),
        catalog::Grantee::Role(_) => ("ROLE", "RoleName"),
    };
    let target = match &grantee {
        catalog::Grantee::User { .. } => shown.clone(),
        catalog::Grantee::Role(role) => format!("'{role}'"),
    };
    let (roles, mut privileges) =
        session.server.storage.catalog().read(|read| Ok((read.roles_of(&grantee)?, read.privileges_of(&grantee)?)))?;
    if let catalog::Grantee::Role(role) = &grantee {
        privileges.extend(privilege::builtin_privileges(role));
    }
    let mut rows = TextRows::new([heading, "Catalog", "Grants"]);
    if !roles.is_empty() {
        let names: Vec<String> = roles.iter().map(|(role, _)| format!("'{role}'")).collect();
        rows.push(vec![text(&shown), None, Some(format!("GRANT {} TO {kind} {target}", names.join(", ")))]);
    }
    for group in privileges.chunk_by(|left, right| same_object(left, right) && left.with_grant == right.with_grant) {
        let names: Vec<&str> = group.iter().map(|row| row.privilege.as_str()).collect();
        let option = if group[0].with_grant { " WITH GRANT OPTION" } else { "" };
        let in_catalog = !matches!(group[0].object_kind.as_str(), "SYSTEM" | "USER");
        rows.push(vec![
            text(&shown),
            in_catalog.then(|| DEFAULT_CATALOG.to_owned()),
            Some(format!("GRANT {} ON {} TO {kind} {target}{option}", names.join(", "), object_text(&group[0]))),
        ]);
    }
    rows.into_outcome()
}

fn same_object(left: &PrivilegeRow, right: &PrivilegeRow) -> bool {
    (&left.object_kind, &left.object_database, &left.object_name)
        == (&right.object_kind, &right.object_database, &right.object_name)
}

fn object_text(row: &PrivilegeRow) -> String {
    match (row.object_kind.as_str(), row.object_database.as_str(), row.object_name.as_str()) {
        ("SYSTEM", ..) => "SYSTEM".to_owned(),
        ("CATALOG", ..) => format!("CATALOG {DEFAULT_CATALOG}"),
        ("DATABASE", "*", _) => "ALL DATABASES".to_owned(),
        ("DATABASE", database, _) => format!("DATABASE {database}"),
        ("TABLE", "*", _) => "ALL TABLES IN ALL DATABASES".to_owned(),
        ("TABLE", database, "*") => format!("ALL TABLES IN DATABASE {database}"),
        ("TABLE", database, table) => format!("TABLE {database}.{table}"),
        ("USER", _, "*") => "ALL USERS".to_owned(),
        (kind, _, name) => format!("{kind} {name}"),
    }
}

/// SHOW USERS.
pub fn show_users(session: &Session) -> Result<Outcome> {
    require_grant(session)?;
    let mut rows = TextRows::new(["User"]);
    for user in session.server.storage.catalog().read(|read| read.users())? {
        rows.push(vec![text(Identity { user: user.name, host: user.host })]);
    }
    rows.into_outcome()
}

/// SHOW ROLES.
pub fn show_roles(session: &Session) -> Result<Outcome> {
    require_grant(session)?;
    let mut rows = TextRows::new(["Name", "Builtin", "Comment"]);
    for role in session.server.storage.catalog().read(|read| read.roles())? {
        rows.push(vec![text(role.name), text(role.builtin), text(role.comment)]);
    }
    rows.into_outcome()
}

/// SHOW AUTHENTICATION.
pub fn show_authentication(session: &Session, all: bool, user: Option<UserIdentity>) -> Result<Outcome> {
    let wanted = user.as_ref().map_or_else(|| session.identity.clone(), identity);
    if all || wanted != session.identity {
        require_grant(session)?;
    }
    let mut rows = TextRows::new(["UserIdentity", "Password", "AuthPlugin", "UserForAuthPlugin"]);
    for user in session.server.storage.catalog().read(|read| read.users())? {
        let has_password = user.password_hash.is_some();
        let user = Identity { user: user.name, host: user.host };
        if all || user == wanted {
            rows.push(vec![text(user), text(if has_password { "Yes" } else { "No" }), text(NATIVE_PASSWORD), None]);
        }
    }
    rows.into_outcome()
}
