//! Privileges follow what they are on.
//!
//! A grant names its object, and belongs to the one that bore the name then, not to the name: when a table or database is
//! renamed, its grants are; when it is dropped, they wait with it, seen by nobody, and come back with RECOVER; when it is
//! purged, they go. So nobody gets at a new table by what was granted on an old one.
//!
//! A grant that waits keeps its names, and its kind says what it waits for: `DROPPED <id> TABLE`, where the id is that of
//! the table, or of the database it was dropped with. Grants on all tables, or all databases, belong to no object.

use rusqlite::OptionalExtension as _;

use super::{PrivilegeRow, WriteTransaction};
use crate::error::Result;
use crate::ids::{DatabaseId, TableId};

/// The kinds of object of a database: itself and what is in it.
const KINDS: [&str; 2] = ["DATABASE", "TABLE"];

/// What stands for every name. A grant with it belongs to no single table or database.
const ANY: &str = "*";

/// The kind of a grant that waits for an object with this id.
fn waiting(id: i64, kind: &str) -> String {
    format!("DROPPED {id} {kind}")
}

impl WriteTransaction<'_> {
    /// Takes away what is granted on a table of this name: for one that begins, or is gone for good.
    pub(super) fn forget_table_grants(&self, database: &str, table: &str) -> Result<()> {
        if database != ANY && table != ANY {
            self.prepare_cached(
                "DELETE FROM privileges WHERE object_kind = 'TABLE' AND object_database = ?1 AND object_name = ?2",
            )?
            .execute((database, table))?;
        }
        Ok(())
    }

    /// Takes away what is granted on a database of this name and on what is in it.
    pub(super) fn forget_database_grants(&self, database: &str) -> Result<()> {
        if database != ANY {
            self.prepare_cached(
                "DELETE FROM privileges WHERE object_kind IN ('DATABASE', 'TABLE') AND object_database = ?1",
            )?
            .execute([database])?;
        }
        Ok(())
    }

    /// Takes away what is granted on a live table, as when it begins: an older version kept the grants of dropped ones.
    pub(super) fn forget_live_table_grants(&self, id: TableId) -> Result<()> {
        match self.live_table_name(id)? {
            Some((database, table)) => self.forget_table_grants(&database, &table),
            None => Ok(()),
        }
    }

    /// Moves the grants on a live table to its new name.
    pub(super) fn rename_table_grants(&self, id: TableId, name: &str) -> Result<()> {
        let Some((database, table)) = self.live_table_name(id)? else { return Ok(()) };
        if table == name || table == ANY || name == ANY {
            return Ok(());
        }
        self.forget_table_grants(&database, name)?;
        self.prepare_cached(
            "UPDATE privileges SET object_name = ?3
             WHERE object_kind = 'TABLE' AND object_database = ?1 AND object_name = ?2",
        )?
        .execute((database, table, name))?;
        Ok(())
    }

    /// Moves the grants on a live database, and on what is in it, to its new name.
    pub(super) fn rename_database_grants(&self, id: DatabaseId, name: &str) -> Result<()> {
        let Some(database) = self.live_database_name(id)? else { return Ok(()) };
        if database == name || database == ANY || name == ANY {
            return Ok(());
        }
        self.forget_database_grants(name)?;
        self.prepare_cached(
            "UPDATE privileges SET object_database = ?2
             WHERE object_kind IN ('DATABASE', 'TABLE') AND object_database = ?1",
        )?
        .execute((database, name))?;
        // Grants that wait for tables of it come back under its new name.
        let mut update = self.prepare_cached("UPDATE privileges SET object_database = ?2 WHERE object_kind = ?1")?;
        for table in self.table_ids_of_database(id)? {
            update.execute((waiting(table.0, "TABLE"), name))?;
        }
        Ok(())
    }

    /// Lets the grants on a live table wait, because it is dropped.
    pub(super) fn set_table_grants_aside(&self, id: TableId) -> Result<()> {
        let Some((database, table)) = self.live_table_name(id)? else { return Ok(()) };
        if database == ANY || table == ANY {
            return Ok(());
        }
        self.prepare_cached(
            "UPDATE privileges SET object_kind = ?3
             WHERE object_kind = 'TABLE' AND object_database = ?1 AND object_name = ?2",
        )?
        .execute((database, table, waiting(id.0, "TABLE")))?;
        Ok(())
    }

    /// Lets the grants on a live database, and on what is in it, wait, because it is dropped.
    pub(super) fn set_database_grants_aside(&self, id: DatabaseId) -> Result<()> {
        let Some(database) = self.live_database_name(id)? else { return Ok(()) };
        if database == ANY {
            return Ok(());
        }
        let mut update = self
            .prepare_cached("UPDATE privileges SET object_kind = ?3 WHERE object_kind = ?2 AND object_database = ?1")?;
        for kind in KINDS {
            update.execute((&database, kind, waiting(id.0, kind)))?;
        }
        Ok(())
    }

    /// Brings back the grants that wait for an object that is recovered. None may be in their way.
    fn bring_grants_back(&self, id: i64) -> Result<()> {
        let mut update = self.prepare_cached("UPDATE privileges SET object_kind = ?2 WHERE object_kind = ?1")?;
        for kind in KINDS {
            update.execute((waiting(id, kind), kind))?;
        }
        Ok(())
    }

    /// Brings back the grants on a table that is recovered.
    pub(super) fn bring_table_grants_back(&self, id: TableId) -> Result<()> {
        self.forget_live_table_grants(id)?;
        self.bring_grants_back(id.0)
    }

    /// Brings back the grants on a database that is recovered, and on what is in it.
    pub(super) fn bring_database_grants_back(&self, id: DatabaseId) -> Result<()> {
        if let Some(database) = self.live_database_name(id)? {
            self.forget_database_grants(&database)?;
        }
        self.bring_grants_back(id.0)
    }

    /// Takes away the grants on a table that goes for good, dropped before or not.
    pub(super) fn purge_table_grants(&self, id: TableId) -> Result<()> {
        self.forget_live_table_grants(id)?;
        self.forget_waiting_grants(id.0)
    }

    /// Takes away the grants on a database that goes for good, dropped before or not, and on what is in it.
    pub(super) fn purge_database_grants(&self, id: DatabaseId) -> Result<()> {
        if let Some(database) = self.live_database_name(id)? {
            self.forget_database_grants(&database)?;
        }
        self.forget_waiting_grants(id.0)
    }

    fn forget_waiting_grants(&self, id: i64) -> Result<()> {
        let mut delete = self.prepare_cached("DELETE FROM privileges WHERE object_kind = ?1")?;
        for kind in KINDS {
            delete.execute([waiting(id, kind)])?;
        }
        Ok(())
    }

    /// The names of a table and its database, when both are live: not dropped, and not hidden by a restore.
    fn live_table_name(&self, id: TableId) -> Result<Option<(String, String)>> {
        let names = self
            .prepare_cached(
                "SELECT databases.name, tables.name FROM tables JOIN databases ON databases.id = tables.database_id
                 WHERE tables.id = ?1 AND tables.dropped_at_ms IS NULL AND tables.hidden_by IS NULL
                   AND databases.dropped_at_ms IS NULL AND databases.hidden_by IS NULL",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(names)
    }

    /// The name of a database that is not dropped, and not hidden by a restore.
    fn live_database_name(&self, id: DatabaseId) -> Result<Option<String>> {
        let name = self
            .prepare_cached("SELECT name FROM databases WHERE id = ?1 AND dropped_at_ms IS NULL AND hidden_by IS NULL")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(name)
    }
}

impl PrivilegeRow {
    /// The kind under which a grant on the same names waits, as LIKE finds it.
    pub(super) fn waiting_pattern(&self) -> String {
        format!("DROPPED % {}", self.object_kind)
    }
}

#[cfg(test)]
mod tests;
