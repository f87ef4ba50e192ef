//! The model: what a database holds, as a few ordered sets.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Predicate, Row};

/// The tables of a database by name.
pub type Tables = BTreeMap<String, Table>;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The partitions of a table that is partitioned by range; `None` when it is not partitioned.
    pub slots: Option<BTreeSet<u8>>,
    /// Its rows, in no order.
    pub rows: Vec<Row>,
}

/// A snapshot, or what is restored of one.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub label: String,
    pub tables: Tables,
}

/// The two kinds of tables are no replacement for each other.
#[derive(Debug)]
pub struct DifferentSchema;

impl Table {
    /// A table as CREATE TABLE makes it.
    pub fn new(ranged: bool) -> Table {
        Table { slots: ranged.then(|| BTreeSet::from([0, 1])), rows: Vec::new() }
    }

    /// Whether there is a partition for every row.
    pub fn takes(&self, rows: &[Row]) -> bool {
        self.slots.as_ref().is_none_or(|slots| rows.iter().all(|row| slots.contains(&row.slot())))
    }

    /// Whether it has this partition.
    pub fn has(&self, slot: u8) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.contains(&slot))
    }

    /// Takes rows out of one partition, or out of all.
    pub fn remove(&mut self, slot: Option<u8>, is_removed: impl Fn(&Row) -> bool) {
        self.rows.retain(|row| slot.is_some_and(|slot| row.slot() != slot) || !is_removed(row));
    }

    /// DELETE.
    pub fn delete(&mut self, slot: Option<u8>, predicate: Predicate) {
        self.remove(slot, |row| predicate.holds(row));
    }

    /// One partition and its rows.
    pub fn only(&self, slot: u8) -> Table {
        let rows = self.rows.iter().filter(|row| row.slot() == slot).cloned().collect();
        Table { slots: Some(BTreeSet::from([slot])), rows }
    }

    /// The rows in an order of their own, for comparisons.
    pub fn sorted_rows(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    /// Puts the partitions of a snapshot's table in the place of those it has, and leaves the others alone.
    fn replace_with(&mut self, restored: &Table) -> Result<(), DifferentSchema> {
        match (&mut self.slots, &restored.slots) {
            (None, None) => self.rows.clone_from(&restored.rows),
            (Some(slots), Some(of_snapshot)) => {
                self.rows.retain(|row| !of_snapshot.contains(&row.slot()));
                self.rows.extend(restored.rows.iter().cloned());
                slots.extend(of_snapshot);
            }
            _ => return Err(DifferentSchema),
        }
        Ok(())
    }
}

/// What a database holds after these tables were restored into it: all of them, or, when one does not fit, none.
pub fn restored(tables: &Tables, snapshot: &Tables) -> Result<Tables, DifferentSchema> {
    let mut after = tables.clone();
    for (name, table) in snapshot {
        match after.get_mut(name) {
            Some(existing) => existing.replace_with(table)?,
            None => {
                after.insert(name.clone(), table.clone());
            }
        }
    }
    Ok(after)
}
