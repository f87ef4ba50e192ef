//! Global variables that were SET, kept across restarts.

use std::collections::BTreeMap;

use super::{ReadTransaction, WriteTransaction};
use crate::error::Result;

impl ReadTransaction<'_> {
    /// Every global variable that was SET.
    pub fn variables(&self) -> Result<BTreeMap<String, String>> {
        let mut statement = self.prepare_cached("SELECT name, value FROM variables")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// Keeps the value of a global variable.
    pub fn set_variable(&self, name: &str, value: &str) -> Result<()> {
        self.prepare_cached(
            "INSERT INTO variables (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute((name, value))?;
        Ok(())
    }
}
