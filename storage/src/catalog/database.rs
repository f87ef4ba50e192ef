//! Databases.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row};

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{DatabaseId, JobId};

/// One database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    /// Its identity.
    pub id: DatabaseId,
    /// Its name, case-sensitive.
    pub name: String,
    /// PROPERTIES as shown back.
    pub properties: BTreeMap<String, String>,
    /// When it was created.
    pub created_at_ms: i64,
    /// The restore that made it, until that restore commits.
    pub hidden_by: Option<JobId>,
    /// When it was dropped, for one that waits to be recovered or purged.
    pub dropped_at_ms: Option<i64>,
}

const COLUMNS: &str = "id, name, properties, created_at_ms, hidden_by, dropped_at_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<(DatabaseRow, String)> {
    let database = DatabaseRow {
        id: row.get(0)?,
        name: row.get(1)?,
        properties: BTreeMap::new(),
        created_at_ms: row.get(3)?,
        hidden_by: row.get(4)?,
        dropped_at_ms: row.get(5)?,
    };
    Ok((database, row.get(2)?))
}

fn with_properties((mut database, properties): (DatabaseRow, String)) -> Result<DatabaseRow> {
    database.properties = serde_json::from_str(&properties)?;
    Ok(database)
}

impl ReadTransaction<'_> {
    /// Live databases in the order of their names.
    pub fn databases(&self) -> Result<Vec<DatabaseRow>> {
        let sql =
            format!("SELECT {COLUMNS} FROM databases WHERE dropped_at_ms IS NULL AND hidden_by IS NULL ORDER BY name");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([], from_row)?;
        rows.map(|row| with_properties(row?)).collect()
    }

    /// The live database of this name, if there is one.
    pub fn find_database(&self, name: &str) -> Result<Option<DatabaseRow>> {
        let sql =
            format!("SELECT {COLUMNS} FROM databases WHERE name = ?1 AND dropped_at_ms IS NULL AND hidden_by IS NULL");
        let row = self.prepare_cached(&sql)?.query_row([name], from_row).optional()?;
        row.map(with_properties).transpose()
    }

    /// The live database of this name.
    pub fn database(&self, name: &str) -> Result<DatabaseRow> {
        self.find_database(name)?.ok_or_else(|| Error::not_found(Noun::Database, name))
    }

    /// The database of this id, dropped or not.
    pub fn database_by_id(&self, id: DatabaseId) -> Result<Option<DatabaseRow>> {
        let sql = format!("SELECT {COLUMNS} FROM databases WHERE id = ?1");
        let row = self.prepare_cached(&sql)?.query_row([id], from_row).optional()?;
        row.map(with_properties).transpose()
    }

    /// The database of this name that was dropped last, if one waits.
    pub fn dropped_database(&self, name: &str) -> Result<Option<DatabaseRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM databases WHERE name = ?1 AND dropped_at_ms IS NOT NULL
             ORDER BY dropped_at_ms DESC, id DESC LIMIT 1"
        );
        let row = self.prepare_cached(&sql)?.query_row([name], from_row).optional()?;
        row.map(with_properties).transpose()
    }

    /// The database a job made and has not shown yet, if it made one.
    pub fn database_hidden_by(&self, job: JobId) -> Result<Option<DatabaseRow>> {
        let sql = format!("SELECT {COLUMNS} FROM databases WHERE hidden_by = ?1");
        let row = self.prepare_cached(&sql)?.query_row([job], from_row).optional()?;
        row.map(with_properties).transpose()
    }

    /// Databases dropped at or before `before_ms`.
    pub fn databases_dropped_before(&self, before_ms: i64) -> Result<Vec<DatabaseId>> {
        let mut statement = self.prepare_cached("SELECT id FROM databases WHERE dropped_at_ms <= ?1")?;
        let rows = statement.query_map([before_ms], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// Makes a database. Errors when the name is taken, or a running restore is going to take it.
    pub fn create_database(&self, name: &str, properties: &BTreeMap<String, String>) -> Result<DatabaseId> {
        self.refuse_taken_database(name)?;
        self.forget_database_grants(name)?;
        let id = DatabaseId(self.next_id()?);
        self.prepare_cached("INSERT INTO databases (id, name, properties, created_at_ms) VALUES (?1, ?2, ?3, ?4)")?
            .execute((id, name, serde_json::to_string(properties)?, self.now_ms()))?;
        Ok(id)
    }

    /// Makes a database that nobody sees until its job shows it. While the job runs, nobody else gets its name.
    pub fn create_hidden_database(&self, name: &str, job: JobId) -> Result<DatabaseId> {
        let id = DatabaseId(self.next_id()?);
        self.prepare_cached("INSERT INTO databases (id, name, created_at_ms, hidden_by) VALUES (?1, ?2, ?3, ?4)")?
            .execute((id, name, self.now_ms(), job))?;
        Ok(id)
    }

    /// Shows the database that a job made. Errors when its name is taken.
    pub fn show_hidden_database(&self, hidden: &DatabaseRow) -> Result<()> {
        if self.find_database(&hidden.name)?.is_some() {
            return Err(Error::already_exists(Noun::Database, &hidden.name));
        }
        self.forget_database_grants(&hidden.name)?;
        self.prepare_cached("UPDATE databases SET hidden_by = NULL WHERE id = ?1")?.execute([hidden.id])?;
        Ok(())
    }

    /// Renames a live database, and with it the jobs that have ended in it. Errors when the name is taken, or a running
    /// restore is going to take it.
    pub fn rename_database(&self, id: DatabaseId, name: &str) -> Result<()> {
        self.refuse_taken_database(name)?;
        self.rename_database_grants(id, name)?;
        if let Some(database) = self.database_by_id(id)? {
            self.rename_database_of_jobs(&database.name, name)?;
        }
        self.prepare_cached("UPDATE databases SET name = ?2 WHERE id = ?1")?.execute((id, name))?;
        Ok(())
    }

    /// Replaces a database's properties.
    pub fn set_database_properties(&self, id: DatabaseId, properties: &BTreeMap<String, String>) -> Result<()> {
        self.prepare_cached("UPDATE databases SET properties = ?2 WHERE id = ?1")?
            .execute((id, serde_json::to_string(properties)?))?;
        Ok(())
    }

    /// Puts a database, with all it holds, where RECOVER can find it.
    pub fn drop_database(&self, id: DatabaseId) -> Result<()> {
        self.set_database_grants_aside(id)?;
        self.prepare_cached("UPDATE databases SET dropped_at_ms = ?2 WHERE id = ?1")?.execute((id, self.now_ms()))?;
        Ok(())
    }

    /// Brings a dropped database back. Errors when its name is taken by now, or a running restore is going to take it.
    pub fn recover_database(&self, database: &DatabaseRow) -> Result<()> {
        self.refuse_taken_database(&database.name)?;
        self.prepare_cached("UPDATE databases SET dropped_at_ms = NULL WHERE id = ?1")?.execute([database.id])?;
        self.bring_database_grants_back(database.id)
    }

    fn refuse_taken_database(&self, name: &str) -> Result<()> {
        match self.find_database(name)? {
            Some(_) => Err(Error::already_exists(Noun::Database, name)),
            None => self.refuse_held_database(name),
        }
    }

    /// Takes a database out of the catalog for good; its files become garbage.
    pub fn purge_database(&self, id: DatabaseId) -> Result<()> {
        self.purge_database_grants(id)?;
        for table in self.table_ids_of_database(id)? {
            self.purge_table(table)?;
        }
        self.prepare_cached("DELETE FROM databases WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}
