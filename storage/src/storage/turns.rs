//! Who may show rows of a table: any number of loads at a time, or one statement that must know all rows there are.
//!
//! A load takes its turn beside others, only around the transaction that shows its rows. A DELETE that was overtaken by
//! loads takes the next turn alone, and they wait for it. Turns are taken in the order in which they are asked for, so
//! neither waits for ever. A turn is no lock on what the catalog holds: its transactions check that themselves.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::ids::TableId;

/// The turns of all tables.
#[derive(Debug, Default)]
pub(crate) struct PublishTurns {
    tables: Mutex<HashMap<TableId, Weak<RwLock<()>>>>,
}

impl PublishTurns {
    /// Waits for a turn beside others.
    pub(crate) async fn beside_others(&self, table: TableId) -> OwnedRwLockReadGuard<()> {
        self.of(table).read_owned().await
    }

    /// Waits for a turn alone.
    pub(crate) async fn alone(&self, table: TableId) -> OwnedRwLockWriteGuard<()> {
        self.of(table).write_owned().await
    }

    fn of(&self, table: TableId) -> Arc<RwLock<()>> {
        let mut tables = self.tables.lock();
        if let Some(turns) = tables.get(&table).and_then(Weak::upgrade) {
            return turns;
        }
        // Those of tables that nobody uses now.
        tables.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::default();
        tables.insert(table, Arc::downgrade(&turns));
        turns
    }
}
