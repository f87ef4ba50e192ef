//! Tables and their materialized indexes.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Row};

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{DatabaseId, IndexId, JobId, TableId};
use crate::schema::TableDefinition;

/// Stored name of every table's base index; SHOW prints the table's name instead.
pub const BASE_INDEX_NAME: &str = "base";

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// Its identity.
    pub id: TableId,
    /// The database it is in.
    pub database_id: DatabaseId,
    /// Its name, case-sensitive.
    pub name: String,
    /// What it is.
    pub definition: Arc<TableDefinition>,
    /// The next value of its AUTO_INCREMENT column.
    pub auto_increment_next: i64,
    /// When it was created.
    pub created_at_ms: i64,
    /// The job it belongs to until that job commits.
    pub hidden_by: Option<JobId>,
    /// When it was dropped, for one that waits to be recovered or purged.
    pub dropped_at_ms: Option<i64>,
}

/// One materialized index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Its identity.
    pub id: IndexId,
    /// Its table.
    pub table_id: TableId,
    /// Its name; [`BASE_INDEX_NAME`] for the base index.
    pub name: String,
    /// Whether it is the base index.
    pub base: bool,
}

const COLUMNS: &str = "id, database_id, name, definition, auto_increment_next, created_at_ms, hidden_by, dropped_at_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<TableRow>> {
    let definition: String = row.get(3)?;
    let definition = match serde_json::from_str(&definition) {
        Ok(definition) => Arc::new(definition),
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(Ok(TableRow {
        id: row.get(0)?,
        database_id: row.get(1)?,
        name: row.get(2)?,
        definition,
        auto_increment_next: row.get(4)?,
        created_at_ms: row.get(5)?,
        hidden_by: row.get::<_, Option<i64>>(6)?.map(JobId),
        dropped_at_ms: row.get(7)?,
    }))
}

impl ReadTransaction<'_> {
    /// Live tables of a database in the order of their names.
    pub fn tables(&self, database: DatabaseId) -> Result<Vec<TableRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tables WHERE database_id = ?1 AND dropped_at_ms IS NULL AND hidden_by IS NULL
             ORDER BY name"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([database], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// The live table of this name, if there is one.
    pub fn find_table(&self, database: DatabaseId, name: &str) -> Result<Option<TableRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tables
             WHERE database_id = ?1 AND name = ?2 AND dropped_at_ms IS NULL AND hidden_by IS NULL"
        );
        self.prepare_cached(&sql)?.query_row((database, name), from_row).optional()?.transpose()
    }

    /// The live table of this name.
    pub fn table(&self, database: DatabaseId, name: &str) -> Result<TableRow> {
        self.find_table(database, name)?.ok_or_else(|| Error::not_found(Noun::Table, name))
    }

    /// The live table of this name and how often what a reader sees of it has changed, if there is one: as long as
    /// both stand still, a state read before is current.
    pub fn find_table_changes(&self, database: DatabaseId, name: &str) -> Result<Option<(TableId, i64)>> {
        let found = self
            .prepare_cached(
                "SELECT id, changes FROM tables
                 WHERE database_id = ?1 AND name = ?2 AND dropped_at_ms IS NULL AND hidden_by IS NULL",
            )?
            .query_row((database, name), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found)
    }

    /// How often what a reader sees of a table has changed, whatever the table's state.
    pub fn table_changes(&self, id: TableId) -> Result<Option<i64>> {
        let changes = self
            .prepare_cached("SELECT changes FROM tables WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(changes)
    }

    /// The table of this id, whatever its state.
    pub fn table_by_id(&self, id: TableId) -> Result<Option<TableRow>> {
        let sql = format!("SELECT {COLUMNS} FROM tables WHERE id = ?1");
        self.prepare_cached(&sql)?.query_row([id], from_row).optional()?.transpose()
    }

    /// The table of this name that was dropped last, if one waits.
    pub fn dropped_table(&self, database: DatabaseId, name: &str) -> Result<Option<TableRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tables WHERE database_id = ?1 AND name = ?2 AND dropped_at_ms IS NOT NULL
             ORDER BY dropped_at_ms DESC, id DESC LIMIT 1"
        );
        self.prepare_cached(&sql)?.query_row((database, name), from_row).optional()?.transpose()
    }

    /// Tables dropped at or before `before_ms`.
    pub fn tables_dropped_before(&self, before_ms: i64) -> Result<Vec<TableId>> {
        let mut statement = self.prepare_cached("SELECT id FROM tables WHERE dropped_at_ms <= ?1")?;
        let rows = statement.query_map([before_ms], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Tables a job made and has not shown yet.
    pub fn tables_hidden_by(&self, job: JobId) -> Result<Vec<TableRow>> {
        let sql = format!("SELECT {COLUMNS} FROM tables WHERE hidden_by = ?1 ORDER BY id");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([job], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// Every table of a database, dropped and hidden ones included.
    pub fn table_ids_of_database(&self, database: DatabaseId) -> Result<Vec<TableId>> {
        let mut statement = self.prepare_cached("SELECT id FROM tables WHERE database_id = ?1")?;
        let rows = statement.query_map([database], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The materialized indexes of a table, base index first.
    pub fn indexes(&self, table: TableId) -> Result<Vec<IndexRow>> {
        let mut statement = self.prepare_cached(
            "SELECT id, table_id, name, base FROM indexes WHERE table_id = ?1 ORDER BY base DESC, name",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok(IndexRow { id: row.get(0)?, table_id: row.get(1)?, name: row.get(2)?, base: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// Makes a table with its base index and no partition. Unless it is hidden, errors when the name is taken, or a
    /// running restore is going to take it.
    pub fn create_table(
        &self,
        database: DatabaseId,
        name: &str,
        definition: &TableDefinition,
        hidden_by: Option<JobId>,
    ) -> Result<TableId> {
        if hidden_by.is_none() {
            self.refuse_taken_table(database, name)?;
        }
        let id = TableId(self.next_id()?);
        self.prepare_cached(
            "INSERT INTO tables (id, database_id, name, definition, created_at_ms, hidden_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((id, database, name, serde_json::to_string(definition)?, self.now_ms(), hidden_by))?;
        let index = IndexId(self.next_id()?);
        self.prepare_cached("INSERT INTO indexes (id, table_id, name, base) VALUES (?1, ?2, ?3, 1)")?.execute((
            index,
            id,
            BASE_INDEX_NAME,
        ))?;
        self.forget_live_table_grants(id)?;
        Ok(id)
    }

    /// Renames a live table. Errors when the name is taken, or a running restore is going to take it or to replace what
    /// is in the table.
    pub fn rename_table(&self, table: &TableRow, name: &str) -> Result<()> {
        self.refuse_restored_table(table.id)?;
        self.refuse_taken_table(table.database_id, name)?;
        self.rename_table_grants(table.id, name)?;
        self.prepare_cached("UPDATE tables SET name = ?2 WHERE id = ?1")?.execute((table.id, name))?;
        if table.definition.partition_columns().is_empty() {
            // The one partition of an unpartitioned table bears the table's name.
            self.prepare_cached(
                "UPDATE partitions SET name = ?2 WHERE table_id = ?1 AND dropped_at_ms IS NULL AND hidden_by IS NULL",
            )?
            .execute((table.id, name))?;
        }
        Ok(())
    }

    /// Replaces a table's definition.
    pub fn set_table_definition(&self, id: TableId, definition: &TableDefinition) -> Result<()> {
        self.prepare_cached("UPDATE tables SET definition = ?2 WHERE id = ?1")?
            .execute((id, serde_json::to_string(definition)?))?;
        Ok(())
    }

    /// Takes `count` AUTO_INCREMENT values and returns the first.
    pub fn take_auto_increment(&self, id: TableId, count: i64) -> Result<i64> {
        let first = self
            .prepare_cached(
                "UPDATE tables SET auto_increment_next = auto_increment_next + ?2 WHERE id = ?1
                 RETURNING auto_increment_next - ?2",
            )?
            .query_row((id, count), |row| row.get(0))?;
        Ok(first)
    }

    /// Raises the AUTO_INCREMENT counter so that it never hands out a value below `next`.
    pub fn raise_auto_increment(&self, id: TableId, next: i64) -> Result<()> {
        self.prepare_cached("UPDATE tables SET auto_increment_next = max(auto_increment_next, ?2) WHERE id = ?1")?
            .execute((id, next))?;
        Ok(())
    }

    /// Raises the AUTO_INCREMENT counter to `next`, and above what it is: whoever has taken values from it and keeps them for
    /// later sees that they are not to be used. Rows have come that may hold them.
    pub fn pass_auto_increment(&self, id: TableId, next: i64) -> Result<()> {
        self.prepare_cached("UPDATE tables SET auto_increment_next = max(auto_increment_next + 1, ?2) WHERE id = ?1")?
            .execute((id, next))?;
        Ok(())
    }

    fn refuse_taken_table(&self, database: DatabaseId, name: &str) -> Result<()> {
        match self.find_table(database, name)? {
            Some(_) => Err(Error::already_exists(Noun::Table, name)),
            None => self.refuse_held_table(database, name),
        }
    }

    /// Puts a live table where RECOVER can find it. Errors when a running restore is going to replace what is in it.
    pub fn drop_table(&self, id: TableId) -> Result<()> {
        self.refuse_restored_table(id)?;
        self.set_table_grants_aside(id)?;
        self.prepare_cached("UPDATE tables SET dropped_at_ms = ?2 WHERE id = ?1")?.execute((id, self.now_ms()))?;
        Ok(())
    }

    /// Takes a live table away with nothing left to recover. Errors as [`WriteTransaction::drop_table`] does.
    pub fn drop_table_for_good(&self, id: TableId) -> Result<()> {
        self.refuse_restored_table(id)?;
        self.purge_table(id)
    }

    /// Brings a dropped table back. Errors when its name is taken by now, or a running restore is going to take it.
    pub fn recover_table(&self, table: &TableRow) -> Result<()> {
        self.refuse_taken_table(table.database_id, &table.name)?;
        self.prepare_cached("UPDATE tables SET dropped_at_ms = NULL WHERE id = ?1")?.execute([table.id])?;
        self.bring_table_grants_back(table.id)
    }

    /// Shows a table that a job made. Errors when its name is taken by now.
    pub fn show_hidden_table(&self, id: TableId) -> Result<()> {
        let table = self.table_by_id(id)?.ok_or_else(|| Error::not_found(Noun::Table, id.to_string()))?;
        if self.find_table(table.database_id, &table.name)?.is_some() {
            return Err(Error::already_exists(Noun::Table, &table.name));
        }
        self.prepare_cached("UPDATE tables SET hidden_by = NULL WHERE id = ?1")?.execute([id])?;
        self.forget_live_table_grants(id)?;
        Ok(())
    }

    /// Takes a table out of the catalog for good; its files become garbage.
    pub fn purge_table(&self, id: TableId) -> Result<()> {
        self.purge_table_grants(id)?;
        for partition in self.partition_ids_of_table(id)? {
            self.purge_partition(partition)?;
        }
        self.prepare_cached("DELETE FROM tables WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}
