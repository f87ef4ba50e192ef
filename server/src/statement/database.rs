//! Databases: CREATE, DROP, ALTER, USE, RECOVER.

use std::collections::BTreeMap;

use ebla_protocol::sql::ast::database::{
    AlterDatabase, AlterDatabaseAction, CreateDatabase, DropDatabase, Recover, Use,
};
use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::sql::is_secret_key;
use ebla_protocol::wire::{Completion, Outcome};

use super::{check_catalog, check_own_database, done, resolve_own_table};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// Longest database name, in characters.
const NAME_LENGTH_MAX: usize = 256;

/// CREATE DATABASE.
pub fn create(session: &Session, statement: CreateDatabase) -> Result<Outcome> {
    check_catalog(statement.catalog.as_deref())?;
    session.access()?.require("CREATE DATABASE", Object::Catalog)?;
    check_name(&statement.database)?;
    check_properties(&statement.properties)?;
    let properties: BTreeMap<String, String> =
        statement.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let created =
        session.server.storage.catalog().write(|write| write.create_database(&statement.database, &properties));
    match created {
        Err(ebla_storage::Error::AlreadyExists { .. }) if statement.if_not_exists => done(),
        other => {
            other?;
            Ok(Outcome::Ok(Completion { affected_rows: 1, ..Completion::default() }))
        }
    }
}

/// DROP DATABASE.
pub fn drop(session: &mut Session, statement: DropDatabase) -> Result<Outcome> {
    check_catalog(statement.catalog.as_deref())?;
    let name = &statement.database;
    check_own_database(name)?;
    session.access()?.require("DROP", Object::Database(name))?;
    let dropped = session.server.storage.catalog().write(|write| {
        let Some(database) = write.find_database(name)? else { return Ok(false) };
        if write.running_job(name)?.is_some() {
            return Err(ebla_storage::Error::Conflict(format!(
                "a backup or restore job is running in database '{name}': wait for it or cancel it"
            )));
        }
        if statement.force {
            write.purge_database(database.id)?;
        } else {
            write.drop_database(database.id)?;
        }
        Ok(true)
    })?;
    if !dropped && !statement.if_exists {
        return Err(Error::NoDatabaseToDrop(name.clone()));
    }
    if dropped && session.database.as_deref() == Some(name) {
        session.database = None;
        session.process.set_database(None);
    }
    done()
}

/// ALTER DATABASE.
pub fn alter(session: &mut Session, statement: AlterDatabase) -> Result<Outcome> {
    let name = &statement.database;
    check_own_database(name)?;
    session.access()?.require("ALTER", Object::Database(name))?;
    match &statement.action {
        AlterDatabaseAction::Rename(new) => check_name(new)?,
        AlterDatabaseAction::SetDataQuota(_) | AlterDatabaseAction::SetReplicaQuota(_) => {
            return Err(Error::not_yet(
                "quotas of a database (SHOW DATA tells what each table takes; the file systems of the storage roots bound it)",
            ));
        }
        AlterDatabaseAction::SetProperties(properties) => check_properties(properties)?,
    }
    session.server.storage.catalog().write(|write| {
        let database = write.database(name)?;
        match &statement.action {
            AlterDatabaseAction::Rename(new) => {
                if write.running_job(name)?.is_some() {
                    return Err(ebla_storage::Error::Conflict(format!(
                        "a backup or restore job is running in database '{name}': wait for it or cancel it"
                    )));
                }
                write.rename_database(database.id, new)
            }
            AlterDatabaseAction::SetProperties(properties) => {
                let mut merged = database.properties.clone();
                merged.extend(properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
                write.set_database_properties(database.id, &merged)
            }
            // Refused above.
            AlterDatabaseAction::SetDataQuota(_) | AlterDatabaseAction::SetReplicaQuota(_) => Ok(()),
        }
    })?;
    if let AlterDatabaseAction::Rename(new) = statement.action
        && session.database.as_deref() == Some(name)
    {
        session.database = Some(new);
        session.process.set_database(session.database.as_deref());
    }
    done()
}

/// USE.
pub fn use_database(session: &mut Session, statement: Use) -> Result<Outcome> {
    check_catalog(statement.catalog.as_deref())?;
    session.use_named_database(&statement.database)?;
    done()
}

/// RECOVER.
pub fn recover(session: &Session, statement: Recover) -> Result<Outcome> {
    let access = session.access()?;
    let catalog = session.server.storage.catalog();
    match statement {
        Recover::Database(name) => {
            access.require("CREATE DATABASE", Object::Catalog)?;
            catalog.write(|write| {
                let database = write.dropped_database(&name)?.ok_or_else(|| nothing_to_recover("database", &name))?;
                write.recover_database(&database)
            })?;
        }
        Recover::Table(table) => {
            let (database, table) = resolve_own_table(session, &table)?;
            access.require("CREATE TABLE", Object::Database(&database))?;
            catalog.write(|write| {
                let database = write.database(&database)?;
                let table =
                    write.dropped_table(database.id, &table)?.ok_or_else(|| nothing_to_recover("table", &table))?;
                write.recover_table(&table)
            })?;
        }
        Recover::Partition { partition, table } => {
            let (database, table) = resolve_own_table(session, &table)?;
            access.require("ALTER", Object::Table(&database, &table))?;
            catalog.write(|write| {
                let database = write.database(&database)?;
                let table = write.table(database.id, &table)?;
                let partition = write
                    .dropped_partition(table.id, &partition)?
                    .ok_or_else(|| nothing_to_recover("partition", &partition))?;
                write.recover_partition(&partition)
            })?;
        }
    }
    done()
}

fn nothing_to_recover(kind: &str, name: &str) -> ebla_storage::Error {
    ebla_storage::Error::invalid(format!(
        "Unknown {kind} '{name}': nothing of that name was dropped within the last day without FORCE"
    ))
}

/// Errors when a property tells of a secret. They are kept as they are, and none has a use for one.
fn check_properties(properties: &Properties) -> Result<()> {
    match properties.iter().find(|(key, _)| is_secret_key(key)) {
        None => Ok(()),
        Some((key, _)) => Err(Error::analysis(format!(
            "Property '{key}' seems to be a secret, and a database keeps none: give it to CREATE REPOSITORY"
        ))),
    }
}

/// What a database may be called, for whoever makes one.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.eq_ignore_ascii_case(crate::query::source::INFORMATION_SCHEMA) {
        return Err(Error::analysis(format!(
            "Incorrect database name '{name}': it is that of the database whose tables the server works out; choose another"
        )));
    }
    let bad = name.is_empty()
        || name.chars().count() > NAME_LENGTH_MAX
        || name.chars().any(|letter| letter.is_control() || matches!(letter, '/' | '\\' | '`' | '.'));
    if bad {
        return Err(Error::analysis(format!(
            "Incorrect database name '{name}': use 1 to {NAME_LENGTH_MAX} characters without dot, slash, backslash or \
             backquote"
        )));
    }
    Ok(())
}
