//! Repositories as this cluster knows them: a name for a location and the means to reach it.

use rusqlite::{OptionalExtension, Row};

use super::{Catalog, ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::RepositoryId;

/// One repository.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Its identity in this cluster.
    pub id: RepositoryId,
    /// Its name, case-sensitive.
    pub name: String,
    /// The identity it carries itself, the same in every cluster.
    pub identity: String,
    /// Where it lies, as the user wrote it.
    pub location: String,
    /// Whether BACKUP to it is refused.
    pub read_only: bool,
    /// The broker's name; empty when none was given.
    pub broker: String,
    /// How to reach it, as `repository::Attachment` stores itself, sealed by `repository::Vault`.
    pub properties: String,
    /// When it was created, by the repository's own record.
    pub created_at_ms: i64,
    /// Why the last check failed, with its time; `None` when it is well.
    pub error: Option<String>,
}

/// What a new repository is to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRepository {
    /// Its name.
    pub name: String,
    /// The identity it carries itself.
    pub identity: String,
    /// Where it lies.
    pub location: String,
    /// Whether BACKUP to it is refused.
    pub read_only: bool,
    /// The broker's name; empty when none was given.
    pub broker: String,
    /// How to reach it, sealed.
    pub properties: String,
    /// When it was created.
    pub created_at_ms: i64,
}

// Written by hand because the properties hold secrets.
impl std::fmt::Debug for RepositoryRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryRow")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

// Written by hand because the properties hold secrets.
impl std::fmt::Debug for NewRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewRepository")
            .field("name", &self.name)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "id, name, identity, location, read_only, broker, properties, created_at_ms, error";

fn from_row(row: &Row<'_>) -> rusqlite::Result<RepositoryRow> {
    Ok(RepositoryRow {
        id: row.get(0)?,
        name: row.get(1)?,
        identity: row.get(2)?,
        location: row.get(3)?,
        read_only: row.get(4)?,
        broker: row.get(5)?,
        properties: row.get(6)?,
        created_at_ms: row.get(7)?,
        error: row.get(8)?,
    })
}

impl ReadTransaction<'_> {
    /// Every repository in the order they came.
    pub fn repositories(&self) -> Result<Vec<RepositoryRow>> {
        let mut statement = self.prepare_cached(&format!("SELECT {COLUMNS} FROM repositories ORDER BY id"))?;
        let rows = statement.query_map([], from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The repository of this name, if there is one.
    pub fn find_repository(&self, name: &str) -> Result<Option<RepositoryRow>> {
        let sql = format!("SELECT {COLUMNS} FROM repositories WHERE name = ?1");
        Ok(self.prepare_cached(&sql)?.query_row([name], from_row).optional()?)
    }

    /// The repository of this id, if it is still there.
    pub fn repository_by_id(&self, id: RepositoryId) -> Result<Option<RepositoryRow>> {
        let sql = format!("SELECT {COLUMNS} FROM repositories WHERE id = ?1");
        Ok(self.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
    }
}

impl Catalog {
    /// Writes the file anew and empties the log, so that neither holds what was deleted or replaced before.
    pub fn erase_deleted(&self) -> Result<()> {
        let writer = self.writer.lock();
        writer.execute_batch("VACUUM")?;
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

impl WriteTransaction<'_> {
    /// Keeps a repository. Errors when the name is taken.
    pub fn create_repository(&self, new: &NewRepository) -> Result<RepositoryId> {
        if self.find_repository(&new.name)?.is_some() {
            return Err(Error::already_exists(Noun::Repository, &new.name));
        }
        let id = RepositoryId(self.next_id()?);
        self.prepare_cached(
            "INSERT INTO repositories (id, name, identity, location, read_only, broker, properties, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            id,
            &new.name,
            &new.identity,
            &new.location,
            new.read_only,
            &new.broker,
            &new.properties,
            new.created_at_ms,
        ))?;
        Ok(id)
    }

    /// Replaces how a repository is reached.
    pub fn set_repository_properties(&self, id: RepositoryId, properties: &str) -> Result<()> {
        self.prepare_cached("UPDATE repositories SET properties = ?2 WHERE id = ?1")?.execute((id, properties))?;
        Ok(())
    }

    /// Keeps the outcome of the last check.
    pub fn set_repository_error(&self, id: RepositoryId, error: Option<&str>) -> Result<()> {
        self.prepare_cached("UPDATE repositories SET error = ?2 WHERE id = ?1")?.execute((id, error))?;
        Ok(())
    }

    /// Forgets a repository; nothing in it changes. Errors while a job uses it.
    pub fn drop_repository(&self, id: RepositoryId) -> Result<()> {
        let busy: bool = self
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM jobs WHERE repository_id = ?1
                 AND state NOT IN ('FINISHED', 'CANCELLED'))",
            )?
            .query_row([id], |row| row.get(0))?;
        if busy {
            return Err(Error::Conflict(
                "Backup or restore job is running on this repository. Can not drop it".to_owned(),
            ));
        }
        self.prepare_cached("DELETE FROM repositories WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}
