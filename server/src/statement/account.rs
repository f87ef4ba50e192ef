//! Accounts: users, passwords, roles, privileges.
//!
//! Everything but one's own password and SET ROLE needs GRANT on SYSTEM. A password is hashed before it goes anywhere.
//!
//! Who holds GRANT and not the role root can neither get that role nor take it from anybody: not by the role, not by one
//! that brings it, and not by an account of the same name whose host pattern is nearer to where its holder comes from.
//! And `'root'@'%'` is never without it, so that there is always somebody who may do everything.

mod grant;
mod show;

use ebla_protocol::sql::ast::account::{
    AlterUser, AlterUserAction, Authentication, CreateRole, CreateUser, Credential, DropRole, DropUser, RoleChoice,
    SetDefaultRole, SetPassword, UserIdentity,
};
use ebla_protocol::wire::{Completion, Outcome};
use ebla_storage::catalog;

use super::done;
use crate::auth::privilege::{self, Object};
use crate::auth::{ANY_HOST, Identity, ROOT, hash_password, parse_password_hash};
use crate::error::{Error, Result};
use crate::session::Session;

pub use grant::{grant_privileges, grant_roles, revoke_privileges, revoke_roles};
pub use show::{show_authentication, show_grants, show_roles, show_users};

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

fn require_grant(session: &Session) -> Result<()> {
    session.access()?.require("GRANT", Object::System)
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
