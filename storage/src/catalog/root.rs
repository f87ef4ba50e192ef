//! Storage roots: the directories, one a disk, that hold tablets.

use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::StorageRootId;

/// One storage root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRootRow {
    /// Its identity.
    pub id: StorageRootId,
    /// Its directory.
    pub path: PathBuf,
}

impl ReadTransaction<'_> {
    /// Every storage root ever used, in the order they came.
    pub fn storage_roots(&self) -> Result<Vec<StorageRootRow>> {
        let mut statement = self.prepare_cached("SELECT id, path FROM storage_roots ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            let path: String = row.get(1)?;
            Ok(StorageRootRow { id: row.get(0)?, path: path.into() })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// The root at `path`, registered when it is new.
    pub fn ensure_storage_root(&self, path: &Path) -> Result<StorageRootId> {
        let text = path.to_str().ok_or_else(|| {
            Error::invalid(format!("storage root {} is not valid UTF-8: choose another path", path.display()))
        })?;
        let known = self
            .prepare_cached("SELECT id FROM storage_roots WHERE path = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        let id = StorageRootId(self.next_id()?);
        self.prepare_cached("INSERT INTO storage_roots (id, path, created_at_ms) VALUES (?1, ?2, ?3)")?.execute((
            id,
            text,
            self.now_ms(),
        ))?;
        Ok(id)
    }
}
