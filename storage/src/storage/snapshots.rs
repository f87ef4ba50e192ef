//! The current snapshot of each table that somebody reads, kept until the table changes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Storage;
use crate::catalog::ReadTransaction;
use crate::error::{Error, Noun, Result};
use crate::ids::TableId;
use crate::table_snapshot::TableSnapshot;

/// Snapshots by table, and the tables by name as of one catalog version.
#[derive(Debug, Default)]
pub(super) struct SnapshotCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    tables: HashMap<TableId, CachedTable>,
    /// What names meant at `names_version`; empty at every other.
    names: HashMap<(String, String), TableId>,
    names_version: i64,
}

#[derive(Debug)]
struct CachedTable {
    snapshot: Arc<TableSnapshot>,
    /// `tables.changes` when the snapshot was read.
    changes: i64,
    /// The last catalog version at which the snapshot was found current.
    current_at: i64,
}

impl SnapshotCache {
    fn by_name(&self, version: i64, database: &str, table: &str) -> Option<Arc<TableSnapshot>> {
        let cached = self.0.lock();
        if cached.names_version != version {
            return None;
        }
        let id = cached.names.get(&(database.to_owned(), table.to_owned()))?;
        let entry = cached.tables.get(id)?;
        (entry.current_at == version).then(|| Arc::clone(&entry.snapshot))
    }

    /// The kept snapshot, if the table has not changed since.
    fn by_id(&self, id: TableId, changes: i64, database: &str) -> Option<Arc<TableSnapshot>> {
        let cached = self.0.lock();
        let entry = cached.tables.get(&id)?;
        let current = entry.changes == changes && entry.snapshot.database() == database;
        current.then(|| Arc::clone(&entry.snapshot))
    }

    fn keep(&self, version: i64, name: Option<(&str, &str)>, changes: i64, snapshot: &Arc<TableSnapshot>) {
        let mut cached = self.0.lock();
        let id = snapshot.table().id;
        let newer = cached.tables.get(&id).is_some_and(|entry| entry.changes > changes);
        if newer {
            return;
        }
        cached.tables.insert(id, CachedTable { snapshot: Arc::clone(snapshot), changes, current_at: version });
        if cached.names_version < version {
            cached.names.clear();
            cached.names_version = version;
        }
        if let Some((database, table)) = name
            && cached.names_version == version
        {
            cached.names.insert((database.to_owned(), table.to_owned()), id);
        }
    }

    /// Drops snapshots that are not current, so that they do not keep files.
    fn drop_stale(&self, read: &ReadTransaction<'_>) -> Result<()> {
        let kept: Vec<(TableId, i64)> = self.0.lock().tables.iter().map(|(id, entry)| (*id, entry.changes)).collect();
        for (id, changes) in kept {
            if read.table_changes(id)? != Some(changes) {
                let mut cached = self.0.lock();
                if cached.tables.get(&id).is_some_and(|entry| entry.changes == changes) {
                    cached.tables.remove(&id);
                }
            }
        }
        Ok(())
    }
}

impl Storage {
    /// Lets go of kept snapshots that are not current, so that only readers keep files.
    pub(crate) fn drop_stale_snapshots(&self, read: &ReadTransaction<'_>) -> Result<()> {
        self.snapshots.drop_stale(read)
    }

    /// The table as it is now. While nothing about the table changes, everybody gets the same snapshot.
    pub fn table_snapshot(&self, database: &str, table: &str) -> Result<Arc<TableSnapshot>> {
        // The version is asked for before the catalog is read: what is read is that new or newer.
        let version = self.catalog.version();
        if let Some(snapshot) = self.snapshots.by_name(version, database, table) {
            return Ok(snapshot);
        }
        let _gate = self.pins.install_guard();
        self.catalog.read(|read| {
            let id = read.database(database)?.id;
            let (id, changes) =
                read.find_table_changes(id, table)?.ok_or_else(|| Error::not_found(Noun::Table, table))?;
            self.current_snapshot(read, version, Some((database, table)), id, changes, database)
        })
    }

    /// Several tables as they are at one moment, in the order of their names (database, table); `None` where there is
    /// none. What one transaction changes in several of them is in all of these snapshots or in none.
    pub fn table_snapshots(&self, names: &[(String, String)]) -> Result<Vec<Option<Arc<TableSnapshot>>>> {
        match names {
            [] => return Ok(Vec::new()),
            // One table is of one moment anyhow, and mostly need not be asked of the catalog.
            [(database, table)] => {
                return match self.table_snapshot(database, table) {
                    Err(Error::NotFound { .. }) => Ok(vec![None]),
                    found => Ok(vec![Some(found?)]),
                };
            }
            _ => {}
        }
        let version = self.catalog.version();
        let _gate = self.pins.install_guard();
        self.catalog.read(|read| {
            let find = |(database, table): &(String, String)| {
                let Some(row) = read.find_database(database)? else { return Ok(None) };
                let Some((id, changes)) = read.find_table_changes(row.id, table)? else { return Ok(None) };
                self.current_snapshot(read, version, Some((database, table)), id, changes, database).map(Some)
            };
            names.iter().map(find).collect()
        })
    }

    /// The table of this id as it is now, whatever its state.
    pub fn table_snapshot_by_id(&self, id: TableId) -> Result<Arc<TableSnapshot>> {
        let version = self.catalog.version();
        let _gate = self.pins.install_guard();
        self.catalog.read(|read| {
            let gone = || Error::not_found(Noun::Table, id.to_string());
            let changes = read.table_changes(id)?.ok_or_else(gone)?;
            let table = read.table_by_id(id)?.ok_or_else(gone)?;
            let database = read.database_by_id(table.database_id)?.ok_or_else(gone)?;
            self.current_snapshot(read, version, None, id, changes, &database.name)
        })
    }

    fn current_snapshot(
        &self,
        read: &ReadTransaction<'_>,
        version: i64,
        name: Option<(&str, &str)>,
        id: TableId,
        changes: i64,
        database: &str,
    ) -> Result<Arc<TableSnapshot>> {
        let snapshot = match self.snapshots.by_id(id, changes, database) {
            Some(snapshot) => snapshot,
            None => {
                let state = read.table_state(id)?;
                let snapshot = Arc::new(TableSnapshot::new(database.to_owned(), state, Arc::clone(&self.files)));
                self.pins.register(&snapshot);
                snapshot
            }
        };
        self.snapshots.keep(version, name, changes, &snapshot);
        Ok(snapshot)
    }
}
