//! Turns at a thing: any number of takers beside each other, or one alone.
//!
//! They are taken in the order in which they are asked for, so nobody waits for ever, and who waits for one thing does not
//! wait for another. A turn is no lock on what the catalog holds: its transactions check that themselves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::ids::TableId;

/// Who may show rows of a table: a load takes its turn beside others, only around the transaction that shows its rows. A
/// DELETE that was overtaken by loads takes the next turn alone, and they wait for it.
pub(crate) type PublishTurns = Turns<TableId>;

/// A turn beside others, until it is dropped.
pub(crate) type SharedTurn = OwnedRwLockReadGuard<()>;

/// A turn alone, until it is dropped.
pub(crate) type OwnTurn = OwnedRwLockWriteGuard<()>;

/// The turns of all things of a kind.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    things: Mutex<HashMap<K, Weak<RwLock<()>>>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Turns { things: Mutex::default() }
    }
}

impl<K: Eq + Hash> Turns<K> {
    /// Waits for a turn beside others.
    pub(crate) async fn beside_others(&self, thing: K) -> SharedTurn {
        self.of(thing).read_owned().await
    }

    /// Waits for a turn alone.
    pub(crate) async fn alone(&self, thing: K) -> OwnTurn {
        self.of(thing).write_owned().await
    }

    /// How many have a turn or wait for one.
    #[cfg(test)]
    pub(crate) fn takers(&self, thing: &K) -> usize {
        self.things.lock().get(thing).map_or(0, Weak::strong_count)
    }

    fn of(&self, thing: K) -> Arc<RwLock<()>> {
        let mut things = self.things.lock();
        if let Some(turns) = things.get(&thing).and_then(Weak::upgrade) {
            return turns;
        }
        // Those that nobody uses now.
        things.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::default();
        things.insert(thing, Arc::downgrade(&turns));
        turns
    }
}
