//! Accounts: users, passwords, roles, privileges.
//!
//! Everything but one's own password and SET ROLE needs GRANT on SYSTEM. A password is hashed before it goes anywhere.
//!
//! Who holds GRANT and not the role root can neither get that role nor take it from anybody: not by the role, not by one
//! that brings it, and not by an account of the same name whose host pattern is nearer to where its holder comes from.
//! And `'root'@'%'` is never without it, so that there is always somebody who may do everything.

use ebla_protocol::sql::ast::account::{
    AlterUser, AlterUserAction, Authentication, ContainedKind, CreateRole, CreateUser, Credential, DropRole, DropUser,
    Grantee, NamedKind, PatternPart, PrivilegeGrant, PrivilegeObject, RelationKind, RoleChoice, RoleGrant,
    SetDefaultRole, SetPassword, UserIdentity,
};
use ebla_protocol::wire::{Completion, Outcome};
use ebla_storage::catalog::{self, PrivilegeRow};

use super::rows::{TextRows, text};
use super::{DEFAULT_CATALOG, done};
use crate::auth::privilege::{self, Object, ROLE_DB_ADMIN};
use crate::auth::{ANY_HOST, Identity, ROOT, hash_password, parse_password_hash};
use crate::error::{Error, Result};
use crate::query::source::INFORMATION_SCHEMA;
use crate::session::Session;

/// The privilege of 2.x that stands for the role db_admin.
const ADMIN_PRIV: &str = "ADMIN_PRIV";

/// Number of the warning that root has given up its role.
const ROOT_WITHOUT_ROLE: u16 = 5000;

/// The one way of authentication there is.
const NATIVE_PASSWORD: &str = "mysql_native_password";

/// CREATE USER.
pub fn create_user(session: &Session, statement: CreateUser) -> Result<Outcome> {
    require_grant(session)?;
    protect_role_root(session, &statement.default_roles)?;
    let user = identity(&statement.user);
    check_account_name(&user.user)?;
    protect_root(session, &user)?;
    let hash = match &statement.authentication {
        Some(authentication) => hash_of(authentication)?,
        None => None,
    };
    let made = session.server.storage.catalog().write(|write| {
        write.create_user(&user.user, &user.host, hash.as_ref().map(|hash| hash.as_slice()))?;
        for role in &statement.default_roles {
            write.grant_role(&user.grantee(), role)?;
        }
        write.set_default_roles(&user.grantee(), |_| true)
    });
    match made {
        Err(ebla_storage::Error::AlreadyExists { .. }) if statement.if_not_exists => done(),
        Err(ebla_storage::Error::AlreadyExists { name, .. }) => {
            Err(Error::refused(format!("Operation CREATE USER failed for {name} : user already exists")))
        }
        other => {
            other?;
            done()
        }
    }
}

/// ALTER USER.
pub fn alter_user(session: &mut Session, statement: AlterUser) -> Result<Outcome> {
    let user = identity(&statement.user);
    if user != session.identity {
        require_grant(session)?;
        protect_root(session, &user)?;
    }
    if !exists(session, &user)? {
        return if statement.if_exists { done() } else { Err(unknown_user("ALTER USER", &user)) };
    }
    match statement.action {
        AlterUserAction::Authentication(authentication) => change_password(session, &user, hash_of(&authentication)?)?,
        AlterUserAction::DefaultRole(roles) => return choose_default_roles(session, &user, &roles),
        AlterUserAction::Properties(_) => return Err(Error::not_yet("ALTER USER … SET PROPERTIES")),
    }
    done()
}

/// DROP USER.
pub fn drop_user(session: &Session, statement: DropUser) -> Result<Outcome> {
    require_grant(session)?;
    let user = identity(&statement.user);
    if is_builtin(&user.grantee()) {
        return Err(Error::refused("Operation DROP USER failed: root cannot be dropped"));
    }
    protect_root(session, &user)?;
    if !exists(session, &user)? {
        return if statement.if_exists { done() } else { Err(unknown_user("DROP USER", &user)) };
    }
    session.server.storage.catalog().write(|write| write.drop_user(&user.user, &user.host))?;
    done()
}

/// SET PASSWORD.
pub fn set_password(session: &Session, statement: SetPassword) -> Result<Outcome> {
    let user = match &statement.user {
        Some(user) => identity(user),
        None => session.identity.clone(),
    };
    if user != session.identity {
        require_grant(session)?;
        protect_root(session, &user)?;
    }
    if !exists(session, &user)? {
        return Err(unknown_user("SET PASSWORD", &user));
    }
    change_password(session, &user, hash_of_credential(&statement.credential)?)?;
    done()
}

fn change_password(session: &Session, user: &Identity, hash: Option<[u8; 20]>) -> Result<()> {
    let hash = hash.as_ref().map(|hash| hash.as_slice());
    session.server.storage.catalog().write(|write| write.set_password(&user.user, &user.host, hash))?;
    Ok(())
}

/// CREATE ROLE.
pub fn create_role(session: &Session, statement: CreateRole) -> Result<Outcome> {
    require_grant(session)?;
    statement.roles.iter().try_for_each(|role| check_account_name(role))?;
    session.server.storage.catalog().write(|write| {
        for role in &statement.roles {
            if statement.if_not_exists && write.find_role(role)?.is_some() {
                continue;
            }
            write.create_role(role, false, statement.comment.as_deref().unwrap_or_default())?;
        }
        Ok(())
    })?;
    done()
}

/// DROP ROLE.
pub fn drop_role(session: &Session, statement: DropRole) -> Result<Outcome> {
    require_grant(session)?;
    protect_role_root(session, &statement.roles)?;
    session.server.storage.catalog().write(|write| {
        for role in &statement.roles {
            if statement.if_exists && write.find_role(role)?.is_none() {
                continue;
            }
            write.drop_role(role)?;
        }
        Ok(())
    })?;
    done()
}

/// SET ROLE.
pub fn set_role(session: &mut Session, choice: RoleChoice) -> Result<Outcome> {
    let held = session.server.storage.catalog().read(|read| read.roles_of(&session.identity.grantee()))?;
    let is_held = |role: &String| {
        if held.iter().any(|(name, _)| name == role) {
            return Ok(());
        }
        Err(Error::refused(format!("Role {role} is not granted to {}", session.identity)))
    };
    session.active_roles = match choice {
        RoleChoice::Default => None,
        RoleChoice::None => Some(Vec::new()),
        RoleChoice::All { except } => {
            except.iter().try_for_each(is_held)?;
            Some(held.into_iter().map(|(name, _)| name).filter(|name| !except.contains(name)).collect())
        }
        RoleChoice::Roles(roles) => {
            roles.iter().try_for_each(is_held)?;
            Some(roles)
        }
    };
    done()
}

/// SET DEFAULT ROLE.
pub fn set_default_role(session: &mut Session, statement: SetDefaultRole) -> Result<Outcome> {
    let user = identity(&statement.user);
    if user != session.identity {
        require_grant(session)?;
        protect_root(session, &user)?;
    }
    if !exists(session, &user)? {
        return Err(unknown_user("SET DEFAULT ROLE", &user));
    }
    choose_default_roles(session, &user, &statement.roles)
}

fn choose_default_roles(session: &mut Session, user: &Identity, choice: &RoleChoice) -> Result<Outcome> {
    let grantee = user.grantee();
    let keeps_root = session.server.storage.catalog().write(|write| {
        let held: Vec<String> = write.roles_of(&grantee)?.into_iter().map(|(role, _)| role).collect();
        let chosen: Vec<String> = match choice {
            RoleChoice::None => Vec::new(),
            RoleChoice::All { except } => held.iter().filter(|role| !except.contains(role)).cloned().collect(),
            RoleChoice::Roles(roles) => roles.clone(),
            RoleChoice::Default => return Err(ebla_storage::Error::invalid("Name the roles, or say ALL or NONE")),
        };
        if let Some(role) = chosen.iter().find(|role| !held.contains(role)) {
            return Err(ebla_storage::Error::invalid(format!("Role {role} is not granted to {user}")));
        }
        write.set_default_roles(&grantee, |role| chosen.iter().any(|name| name == role))?;
        Ok(chosen.iter().any(|role| role == privilege::ROLE_ROOT))
    })?;
    if is_builtin(&grantee) && !keeps_root {
        let text = format!("{user} may do nothing from login on, until it says SET ROLE ALL");
        session.warnings.push(("Warning", ROOT_WITHOUT_ROLE, text));
        return Ok(Outcome::Ok(Completion { warnings: 1, ..Completion::default() }));
    }
    done()
}

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
            let (database, table) = super::resolve_table_name(session, name)?;
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
                let (database, table) = super::resolve_table_name(session, name)?;
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
            names.iter().try_for_each(|name| super::check_catalog(Some(name)))?;
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

fn require_grant(session: &Session) -> Result<()> {
    session.access()?.require("GRANT", Object::System)
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

/// Errors when somebody else than root is about to hand on, or take away, the role that may do everything.
fn protect_role_root(session: &Session, roles: &[String]) -> Result<()> {
    if !session.access()?.is_root && session.server.accounts.brings_root(roles.to_vec())? {
        return Err(Error::AccessDenied(
            "Access denied; only who holds the role root may give or take it, or a role that brings it".to_owned(),
        ));
    }
    Ok(())
}

/// Errors when somebody who may not do everything is about to take over, to take away, or to put another account before
/// one that may: of accounts of one name a connection gets the one with the most exact host.
fn protect_root(session: &Session, user: &Identity) -> Result<()> {
    if session.access()?.is_root {
        return Ok(());
    }
    let users = session.server.storage.catalog().read(|read| read.users())?;
    for row in users.into_iter().filter(|row| row.name == user.user) {
        let holder = Identity { user: row.name, host: row.host };
        if session.server.accounts.holds_root(&holder)? {
            return Err(Error::AccessDenied(format!(
                "Access denied; {holder} holds the role root, and only who holds it may make, change or drop an \
                 account of that name"
            )));
        }
    }
    Ok(())
}

/// Whether this is `'root'@'%'`, which is there from the first start on and stays what it is.
fn is_builtin(grantee: &catalog::Grantee) -> bool {
    matches!(grantee, catalog::Grantee::User { name, host } if name == ROOT && host == ANY_HOST)
}

fn identity(user: &UserIdentity) -> Identity {
    Identity { user: user.user.clone(), host: user.host.clone().unwrap_or_else(|| ANY_HOST.to_owned()) }
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

fn exists(session: &Session, user: &Identity) -> Result<bool> {
    Ok(session.server.storage.catalog().read(|read| read.find_user(&user.user, &user.host))?.is_some())
}

fn unknown_user(statement: &str, user: &Identity) -> Error {
    Error::refused(format!("Operation {statement} failed for {user} : user not exists"))
}

fn check_account_name(name: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.chars().count() <= 64
        && name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '$'));
    match fits {
        true => Ok(()),
        false => Err(Error::analysis(format!(
            "Incorrect user or role name '{name}': use 1 to 64 letters, digits, underscores, dashes or dots"
        ))),
    }
}

fn hash_of(authentication: &Authentication) -> Result<Option<[u8; 20]>> {
    match authentication.plugin.as_deref() {
        None => {}
        Some(plugin) if plugin.eq_ignore_ascii_case(NATIVE_PASSWORD) => {}
        Some(plugin) => return Err(Error::not_yet(format!("Authentication by {plugin} (use {NATIVE_PASSWORD})"))),
    }
    authentication.credential.as_ref().map_or(Ok(None), hash_of_credential)
}

fn hash_of_credential(credential: &Credential) -> Result<Option<[u8; 20]>> {
    match credential {
        Credential::Plain(password) => Ok(hash_password(password)),
        Credential::Hash(hash) => parse_password_hash(hash),
    }
}
