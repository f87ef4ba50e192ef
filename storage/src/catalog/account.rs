//! Accounts: users, roles and what each may do. What a privilege means is the server's business.

use std::fmt;

use rusqlite::OptionalExtension;

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};

/// Who holds a role or a privilege.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grantee {
    /// A user, by name and host pattern.
    User {
        /// Its name.
        name: String,
        /// Its host pattern, `%` for any.
        host: String,
    },
    /// A role.
    Role(String),
}

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its name.
    pub name: String,
    /// The host pattern it may come from.
    pub host: String,
    /// SHA1(SHA1(password)), 20 bytes; `None` is the empty password.
    pub password_hash: Option<Vec<u8>>,
    /// When it was created.
    pub created_at_ms: i64,
}

// Written by hand: a password's hash is not for logs.
impl fmt::Debug for UserRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

/// One role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// Whether it comes with the server and cannot be dropped.
    pub builtin: bool,
    /// COMMENT.
    pub comment: String,
}

/// One privilege that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrivilegeRow {
    /// Its name, such as SELECT.
    pub privilege: String,
    /// Kind of object, such as TABLE or SYSTEM.
    pub object_kind: String,
    /// Database of the object; `*` for all.
    pub object_database: String,
    /// Name of the object; `*` for all.
    pub object_name: String,
    /// Whether the holder may grant it on.
    pub with_grant: bool,
}

impl Grantee {
    fn kind(&self) -> &'static str {
        match self {
            Grantee::User { .. } => "USER",
            Grantee::Role(_) => "ROLE",
        }
    }

    fn key(&self) -> String {
        match self {
            Grantee::User { name, host } => format!("{name}@{host}"),
            Grantee::Role(name) => name.clone(),
        }
    }
}

impl ReadTransaction<'_> {
    /// Every user, by name and host.
    pub fn users(&self) -> Result<Vec<UserRow>> {
        let mut statement =
            self.prepare_cached("SELECT name, host, password_hash, created_at_ms FROM users ORDER BY name, host")?;
        let rows = statement.query_map([], |row| {
            Ok(UserRow { name: row.get(0)?, host: row.get(1)?, password_hash: row.get(2)?, created_at_ms: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The user of this name and host pattern, if there is one.
    pub fn find_user(&self, name: &str, host: &str) -> Result<Option<UserRow>> {
        let user = self
            .prepare_cached("SELECT name, host, password_hash, created_at_ms FROM users WHERE name = ?1 AND host = ?2")?
            .query_row((name, host), |row| {
                Ok(UserRow {
                    name: row.get(0)?,
                    host: row.get(1)?,
                    password_hash: row.get(2)?,
                    created_at_ms: row.get(3)?,
                })
            })
            .optional()?;
        Ok(user)
    }

    /// Every role, by name.
    pub fn roles(&self) -> Result<Vec<RoleRow>> {
        let mut statement = self.prepare_cached("SELECT name, builtin, comment FROM roles ORDER BY name")?;
        let rows = statement
            .query_map([], |row| Ok(RoleRow { name: row.get(0)?, builtin: row.get(1)?, comment: row.get(2)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The role of this name, if there is one.
    pub fn find_role(&self, name: &str) -> Result<Option<RoleRow>> {
        Ok(self.roles()?.into_iter().find(|role| role.name == name))
    }

    /// The roles a grantee holds, each with whether it is active from login on.
    pub fn roles_of(&self, grantee: &Grantee) -> Result<Vec<(String, bool)>> {
        let mut statement = self.prepare_cached(
            "SELECT role, is_default FROM role_grants WHERE grantee_kind = ?1 AND grantee = ?2 ORDER BY role",
        )?;
        let rows = statement.query_map((grantee.kind(), grantee.key()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// This role, and those that whoever holds it holds by it.
    fn brought_by(&self, role: &str) -> Result<Vec<String>> {
        let mut brought = vec![role.to_owned()];
        // The list grows while it is walked. An older version took roles that bring each other.
        let mut next = 0;
        while next < brought.len() {
            for (inner, _) in self.roles_of(&Grantee::Role(brought[next].clone()))? {
                if !brought.contains(&inner) {
                    brought.push(inner);
                }
            }
            next += 1;
        }
        Ok(brought)
    }

    /// The privileges a grantee holds itself, but for those on what has been dropped.
    pub fn privileges_of(&self, grantee: &Grantee) -> Result<Vec<PrivilegeRow>> {
        let mut statement = self.prepare_cached(
            "SELECT privilege, object_kind, object_database, object_name, with_grant FROM privileges
             WHERE grantee_kind = ?1 AND grantee = ?2 AND object_kind NOT LIKE 'DROPPED %'
             ORDER BY object_kind, object_database, object_name, privilege",
        )?;
        let rows = statement.query_map((grantee.kind(), grantee.key()), |row| {
            Ok(PrivilegeRow {
                privilege: row.get(0)?,
                object_kind: row.get(1)?,
                object_database: row.get(2)?,
                object_name: row.get(3)?,
                with_grant: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// Makes a user. Errors when it exists.
    pub fn create_user(&self, name: &str, host: &str, password_hash: Option<&[u8]>) -> Result<()> {
        if self.find_user(name, host)?.is_some() {
            return Err(Error::already_exists(Noun::User, format!("'{name}'@'{host}'")));
        }
        self.prepare_cached("INSERT INTO users (name, host, password_hash, created_at_ms) VALUES (?1, ?2, ?3, ?4)")?
            .execute((name, host, password_hash, self.now_ms()))?;
        Ok(())
    }

    /// Replaces a user's password. Errors when there is no such user.
    pub fn set_password(&self, name: &str, host: &str, password_hash: Option<&[u8]>) -> Result<()> {
        let changed = self
            .prepare_cached("UPDATE users SET password_hash = ?3 WHERE name = ?1 AND host = ?2")?
            .execute((name, host, password_hash))?;
        if changed == 0 {
            return Err(Error::not_found(Noun::User, format!("'{name}'@'{host}'")));
        }
        Ok(())
    }

    /// Takes a user and its grants away. Errors when there is no such user.
    pub fn drop_user(&self, name: &str, host: &str) -> Result<()> {
        let changed = self.prepare_cached("DELETE FROM users WHERE name = ?1 AND host = ?2")?.execute((name, host))?;
        if changed == 0 {
            return Err(Error::not_found(Noun::User, format!("'{name}'@'{host}'")));
        }
        self.forget_grantee(&Grantee::User { name: name.to_owned(), host: host.to_owned() })
    }

    /// Makes a role. Errors when it exists.
    pub fn create_role(&self, name: &str, builtin: bool, comment: &str) -> Result<()> {
        if self.find_role(name)?.is_some() {
            return Err(Error::already_exists(Noun::Role, name));
        }
        self.prepare_cached("INSERT INTO roles (name, builtin, comment) VALUES (?1, ?2, ?3)")?
            .execute((name, builtin, comment))?;
        Ok(())
    }

    /// Takes a role and its grants away. Errors when there is none or when it is built in.
    pub fn drop_role(&self, name: &str) -> Result<()> {
        match self.find_role(name)? {
            None => return Err(Error::not_found(Noun::Role, name)),
            Some(role) if role.builtin => {
                return Err(Error::invalid(format!("role '{name}' is built in and cannot be dropped")));
            }
            Some(_) => {}
        }
        self.prepare_cached("DELETE FROM roles WHERE name = ?1")?.execute([name])?;
        self.forget_grantee(&Grantee::Role(name.to_owned()))
    }

    /// Gives a role to a grantee; giving it twice changes nothing. Errors when a role would come to bring itself.
    pub fn grant_role(&self, grantee: &Grantee, role: &str) -> Result<()> {
        if self.find_role(role)?.is_none() {
            return Err(Error::not_found(Noun::Role, role));
        }
        if let Grantee::Role(holder) = grantee
            && self.brought_by(role)?.contains(holder)
        {
            let reason =
                if role == holder { "they are one" } else { "that one is granted to it, directly or by another" };
            return Err(Error::invalid(format!(
                "role '{role}' cannot be granted to role '{holder}': {reason}, and no role may bring itself"
            )));
        }
        self.prepare_cached("INSERT OR IGNORE INTO role_grants (grantee_kind, grantee, role) VALUES (?1, ?2, ?3)")?
            .execute((grantee.kind(), grantee.key(), role))?;
        Ok(())
    }

    /// Takes a role from a grantee.
    pub fn revoke_role(&self, grantee: &Grantee, role: &str) -> Result<()> {
        self.prepare_cached("DELETE FROM role_grants WHERE grantee_kind = ?1 AND grantee = ?2 AND role = ?3")?
            .execute((grantee.kind(), grantee.key(), role))?;
        Ok(())
    }

    /// Chooses which of a grantee's roles are active from login on.
    pub fn set_default_roles(&self, grantee: &Grantee, is_default: impl Fn(&str) -> bool) -> Result<()> {
        let mut update = self.prepare_cached(
            "UPDATE role_grants SET is_default = ?4 WHERE grantee_kind = ?1 AND grantee = ?2 AND role = ?3",
        )?;
        for (role, _) in self.roles_of(grantee)? {
            update.execute((grantee.kind(), grantee.key(), &role, is_default(&role)))?;
        }
        Ok(())
    }

    /// Gives a privilege to a grantee.
    pub fn grant_privilege(&self, grantee: &Grantee, privilege: &PrivilegeRow) -> Result<()> {
        self.prepare_cached(
            "INSERT INTO privileges (grantee_kind, grantee, privilege, object_kind, object_database, object_name,
                                     with_grant)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET with_grant = max(with_grant, excluded.with_grant)",
        )?
        .execute((
            grantee.kind(),
            grantee.key(),
            &privilege.privilege,
            &privilege.object_kind,
            &privilege.object_database,
            &privilege.object_name,
            privilege.with_grant,
        ))?;
        Ok(())
    }

    /// Takes a privilege from a grantee, so that RECOVER does not bring it back either. Returns whether it held it.
    pub fn revoke_privilege(&self, grantee: &Grantee, privilege: &PrivilegeRow) -> Result<bool> {
        let changed = self
            .prepare_cached(
                "DELETE FROM privileges WHERE grantee_kind = ?1 AND grantee = ?2 AND privilege = ?3
                 AND (object_kind = ?4 OR object_kind LIKE ?7) AND object_database = ?5 AND object_name = ?6",
            )?
            .execute((
                grantee.kind(),
                grantee.key(),
                &privilege.privilege,
                &privilege.object_kind,
                &privilege.object_database,
                &privilege.object_name,
                privilege.waiting_pattern(),
            ))?;
        Ok(changed > 0)
    }

    fn forget_grantee(&self, grantee: &Grantee) -> Result<()> {
        for table in ["privileges", "role_grants"] {
            self.execute(
                &format!("DELETE FROM {table} WHERE grantee_kind = ?1 AND grantee = ?2"),
                (grantee.kind(), grantee.key()),
            )?;
        }
        Ok(())
    }
}
