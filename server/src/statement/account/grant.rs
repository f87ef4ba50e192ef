//! GRANT and REVOKE of roles and privileges: all that a statement names, or none.
//!
//! Roles need GRANT on SYSTEM; a privilege may also be handed on by who holds it WITH GRANT OPTION. Never invents what is
//! not there: an object, an account, or a privilege that there is none of on such an object.

use ebla_protocol::sql::ast::account::{
    ContainedKind, Grantee, NamedKind, PatternPart, PrivilegeGrant, PrivilegeObject, RelationKind, RoleGrant,
};
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{self, PrivilegeRow};

use super::super::{check_catalog, done, resolve_table_name};
use super::{exists, identity, is_builtin, protect_role_root, require_grant};
use crate::auth::privilege::{self, Object, ROLE_DB_ADMIN};
use crate::error::{Error, Result};
use crate::query::source::INFORMATION_SCHEMA;
use crate::session::Session;

/// The privilege of 2.x that stands for the role db_admin.
const ADMIN_PRIV: &str = "ADMIN_PRIV";

/// GRANT of roles.
pub fn grant_roles(session: &Session, statement: RoleGrant) -> Result<Outcome> {
    change_roles(session, &statement, |write, grantee, role| write.grant_role(grantee, role))
}

/// REVOKE of roles.
pub fn revoke_roles(session: &Session, statement: RoleGrant) -> Result<Outcome> {
    change_roles(session, &statement, |write, grantee, role| {
        if role == privilege::ROLE_ROOT && is_builtin(grantee) {
            return Err(ebla_storage::Error::invalid(
                "Operation REVOKE failed: the built-in account 'root'@'%' keeps the role root, so that somebody may \
                 always do everything; give it a password that nobody knows when nobody shall use it",
            ));
        }
        write.revoke_role(grantee, role)
    })
}

fn change_roles(
    session: &Session,
    statement: &RoleGrant,
    change: impl Fn(&catalog::WriteTransaction<'_>, &catalog::Grantee, &str) -> ebla_storage::Result<()>,
) -> Result<Outcome> {
    require_grant(session)?;
    protect_role_root(session, &statement.roles)?;
    let grantees = grantees(session, &statement.grantees)?;
    session.server.storage.catalog().write(|write| {
        for grantee in &grantees {
            for role in &statement.roles {
                change(write, grantee, role)?;
            }
        }
        Ok(())
    })?;
    done()
}

/// What a GRANT or REVOKE of privileges comes to.
struct Wanted {
    /// Whether ADMIN_PRIV of 2.x is among them: the role db_admin of 3.x.
    admin: bool,
    /// The privileges, one row each.
    rows: Vec<PrivilegeRow>,
}

/// GRANT of privileges: all that are named, or none.
pub fn grant_privileges(session: &Session, statement: PrivilegeGrant) -> Result<Outcome> {
    if matches!(statement.object, PrivilegeObject::Users(_) | PrivilegeObject::AllUsers) {
        return Err(Error::not_yet("GRANT on users (EXECUTE AS is not there: connect as the user)"));
    }
    let wanted = resolve(session, &statement)?;
    require_wanted(session, &wanted)?;
    check_objects(session, &statement.object)?;
    let grantees = grantees(session, &statement.grantees)?;
    session.server.storage.catalog().write(|write| {
        for grantee in &grantees {
            if wanted.admin {
                grant_admin(write, grantee)?;
            }
            for row in &wanted.rows {
                write.grant_privilege(grantee, row)?;
            }
        }
        Ok(())
    })?;
    done()
}

/// ADMIN_PRIV of 2.x is the role db_admin of 3.x, active from login on.
fn grant_admin(write: &catalog::WriteTransaction<'_>, grantee: &catalog::Grantee) -> ebla_storage::Result<()> {
    write.grant_role(grantee, ROLE_DB_ADMIN)?;
    let defaults: Vec<String> = write
        .roles_of(grantee)?
        .into_iter()
        .filter(|(role, is_default)| *is_default || role == ROLE_DB_ADMIN)
        .map(|(role, _)| role)
        .collect();
    write.set_default_roles(grantee, |role| defaults.iter().any(|name| name == role))
}

/// REVOKE of privileges: all that are named, or none. What they are on need not be there any more, so that whatever
/// SHOW GRANTS shows can be taken back.
pub fn revoke_privileges(session: &Session, statement: PrivilegeGrant) -> Result<Outcome> {
    let wanted = resolve(session, &statement)?;
    require_wanted(session, &wanted)?;
    let grantees = grantees(session, &statement.grantees)?;
    session.server.storage.catalog().write(|write| {
        for grantee in &grantees {
            if wanted.admin {
                write.revoke_role(grantee, ROLE_DB_ADMIN)?;
            }
            for row in &wanted.rows {
                write.revoke_privilege(grantee, row)?;
            }
        }
        Ok(())
    })?;
    done()
}

/// Whether ADMIN_PRIV is among the privileges. It is none on less than everything there is, and nobody hands it on.
fn names_admin(statement: &PrivilegeGrant) -> Result<bool> {
    let PrivilegeObject::Pattern { database, table } = &statement.object else { return Ok(false) };
    if !statement.privileges.iter().any(|privilege| privilege == ADMIN_PRIV) {
        return Ok(false);
    }
    match (database, table) {
        (PatternPart::Any, PatternPart::Any) if statement.with_grant_option => Err(Error::analysis(
            "ADMIN_PRIV is the role db_admin, which only who holds GRANT on SYSTEM hands on: leave WITH GRANT OPTION \
             out, or name the privileges that are meant",
        )),
        (PatternPart::Any, PatternPart::Any) => Ok(true),
        _ => Err(Error::analysis("ADMIN_PRIV is on everything: write ON *.*, or name the privileges that are meant")),
    }
}

/// What a GRANT or REVOKE is about. Errors with the first privilege that there is none of on such an object.
fn resolve(session: &Session, statement: &PrivilegeGrant) -> Result<Wanted> {
    let admin = names_admin(statement)?;
    let objects = objects(session, &statement.object)?;
    let mut rows = Vec::new();
    for (kind, database, name) in objects {
        let known = privilege::privileges_on(kind);
        let mut names: Vec<&str> = Vec::new();
        for wanted in &statement.privileges {
            match (wanted.as_str(), kind) {
                (ADMIN_PRIV, _) if admin => {}
                ("ALL", _) => names.extend(known),
                ("SELECT_PRIV", "TABLE") => names.push("SELECT"),
                ("LOAD_PRIV", "TABLE") => names.extend(["INSERT", "DELETE", "EXPORT"]),
                ("ALTER_PRIV", "TABLE") => names.push("ALTER"),
                ("DROP_PRIV", "TABLE") => names.push("DROP"),
                (wanted, _) => names.push(
                    known
                        .iter()
                        .find(|known| **known == wanted)
                        .copied()
                        .ok_or_else(|| unknown_privilege(wanted, kind, &statement.object))?,
                ),
            }
        }
        rows.extend(names.into_iter().map(|privilege| PrivilegeRow {
            privilege: privilege.to_owned(),
            object_kind: kind.to_owned(),
            object_database: database.clone(),
            object_name: name.clone(),
            with_grant: statement.with_grant_option,
        }));
    }
    Ok(Wanted { admin, rows })
}

/// What is said of a privilege that there is none of on such an object. Those of 2.x that are on something else by now
/// are told where.
fn unknown_privilege(wanted: &str, kind: &str, object: &PrivilegeObject) -> Error {
    let now = match (object, wanted) {
        (PrivilegeObject::Pattern { .. }, "NODE_PRIV") => "NODE ON SYSTEM",
        (PrivilegeObject::Pattern { .. }, "GRANT_PRIV") => "GRANT ON SYSTEM",
        (PrivilegeObject::Pattern { .. }, "CREATE_PRIV") => {
            "CREATE TABLE ON DATABASE, or CREATE DATABASE ON CATALOG default_catalog"
        }
        _ => {
            let known = privilege::privileges_on(kind).join(", ");
            return Error::analysis(format!("Cannot grant {wanted} to {kind}, only support [{known}]"));
        }
    };
    Error::analysis(format!("{wanted} is none of the privileges on tables: name {now} in a statement of its own"))
}

/// Errors when a table or database that is named is not there. Asked once the privilege is there: a refusal tells
/// nobody.
fn check_objects(session: &Session, object: &PrivilegeObject) -> Result<()> {
    let catalog = session.server.storage.catalog();
    // A grant keeps names, and this one stands for all of them.
    let check_name = |name: &str| match name {
        "*" => Err(Error::analysis("A privilege cannot be on a table or database whose name is * alone: rename it")),
        _ => Ok(()),
    };
    let check_table = |database: &str, table: &str| {
        check_name(database)?;
        check_name(table)?;
        catalog.read(|read| read.table(read.database(database)?.id, table))?;
        Ok(())
    };
    let check_database = |name: &String| {
        check_name(name)?;
        // It is no database of the catalog, and always there.
        if name.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
            return Ok(());
        }
        catalog.read(|read| read.database(name))?;
        Ok(())
    };
    match object {
        PrivilegeObject::Relations { kind: RelationKind::Table, names } => names.iter().try_for_each(|name| {
            let (database, table) = resolve_table_name(session, name)?;
            check_table(&database, &table)
        }),
        PrivilegeObject::Named { kind: NamedKind::Database, names }
        | PrivilegeObject::AllIn { kind: ContainedKind::Tables, databases: names } => {
            names.iter().try_for_each(check_database)
        }
        PrivilegeObject::Pattern { database: PatternPart::Any, .. } => Ok(()),
        PrivilegeObject::Pattern { database, table } => {
            let database = match database {
                PatternPart::Name(name) => name.clone(),
                PatternPart::Any | PatternPart::Current => session.database_or_current(None)?,
            };
            match table {
                PatternPart::Name(table) => check_table(&database, table),
                PatternPart::Any | PatternPart::Current => check_database(&database),
            }
        }
        _ => Ok(()),
    }
}

/// Kind, database and name of each object; `*` stands for all.
fn objects(session: &Session, object: &PrivilegeObject) -> Result<Vec<(&'static str, String, String)>> {
    let any = || "*".to_owned();
    Ok(match object {
        PrivilegeObject::System => vec![("SYSTEM", any(), any())],
        PrivilegeObject::Relations { kind: RelationKind::Table, names } => names
            .iter()
            .map(|name| {
                let (database, table) = resolve_table_name(session, name)?;
                Ok(("TABLE", database, table))
            })
            .collect::<Result<_>>()?,
        PrivilegeObject::AllIn { kind: ContainedKind::Tables, databases } if databases.is_empty() => {
            vec![("TABLE", any(), any())]
        }
        PrivilegeObject::AllIn { kind: ContainedKind::Tables, databases } => {
            databases.iter().map(|database| ("TABLE", database.clone(), any())).collect()
        }
        PrivilegeObject::Named { kind: NamedKind::Database, names } => {
            names.iter().map(|name| ("DATABASE", name.clone(), any())).collect()
        }
        PrivilegeObject::All(NamedKind::Database) => vec![("DATABASE", any(), any())],
        PrivilegeObject::Named { kind: NamedKind::Catalog, names } => {
            names.iter().try_for_each(|name| check_catalog(Some(name)))?;
            vec![("CATALOG", any(), any())]
        }
        PrivilegeObject::All(NamedKind::Catalog) => vec![("CATALOG", any(), any())],
        PrivilegeObject::Users(users) => users.iter().map(|user| ("USER", any(), identity(user).to_string())).collect(),
        PrivilegeObject::AllUsers => vec![("USER", any(), any())],
        PrivilegeObject::Pattern { database, table } => {
            let database = match database {
                PatternPart::Any => any(),
                PatternPart::Current => session.database_or_current(None)?,
                PatternPart::Name(name) => name.clone(),
            };
            let table = match table {
                PatternPart::Name(name) => name.clone(),
                PatternPart::Any | PatternPart::Current => any(),
            };
            vec![("TABLE", database, table)]
        }
        _ => return Err(Error::not_yet("GRANT and REVOKE on this kind of object")),
    })
}

/// Errors unless the session may hand on what is wanted.
fn require_wanted(session: &Session, wanted: &Wanted) -> Result<()> {
    if wanted.admin {
        require_grant(session)?;
    }
    require_grantable(session, &wanted.rows)
}

/// Errors unless the session may hand on these privileges: as an administrator, or holding each with GRANT OPTION.
fn require_grantable(session: &Session, rows: &[PrivilegeRow]) -> Result<()> {
    let access = session.access()?;
    let may_all = access.allows("GRANT", Object::System);
    let holds = |row: &PrivilegeRow| {
        access.privileges.iter().any(|held| {
            held.with_grant
                && held.privilege == row.privilege
                && held.object_kind == row.object_kind
                && (held.object_database == "*" || held.object_database == row.object_database)
                && (held.object_name == "*" || held.object_name == row.object_name)
        })
    };
    if may_all || rows.iter().all(holds) { Ok(()) } else { access.require("GRANT", Object::System) }
}

fn grantees(session: &Session, grantees: &[Grantee]) -> Result<Vec<catalog::Grantee>> {
    grantees
        .iter()
        .map(|grantee| match grantee {
            Grantee::User(user) => {
                let user = identity(user);
                if !exists(session, &user)? {
                    return Err(Error::refused(format!("cannot find user {user}!")));
                }
                Ok(user.grantee())
            }
            Grantee::Role(role) => {
                let found = session.server.storage.catalog().read(|read| read.find_role(role))?;
                match found {
                    None => Err(Error::refused(format!("cannot find role {role}!"))),
                    Some(row) if row.builtin && role != privilege::ROLE_PUBLIC => {
                        Err(Error::refused(format!("role {role} is built in and cannot be changed")))
                    }
                    Some(_) => Ok(catalog::Grantee::Role(role.clone())),
                }
            }
        })
        .collect()
}
