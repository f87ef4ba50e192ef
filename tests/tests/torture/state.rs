//! The model: what a database holds, as numbers of loads and bits of rows.
//!
//! A load has at most [`ROWS_MAX`] rows, and a row is known by its load `l` and its number `r` there. So what a table
//! holds of a load is one bit mask, which the server can sum up too: a mask that is neither the one before a statement
//! nor the one after it is a statement that was half done, and a count that is not the mask's is a row that is there twice.

use std::collections::{BTreeMap, BTreeSet};

/// Rows of a load at most: the bits of a BIGINT that cannot make it negative when they are summed up.
pub const ROWS_MAX: u32 = 60;

/// Partitions a partitioned table may have: `p<slot>` takes the rows whose number leaves this rest.
pub const SLOTS: u8 = 4;

/// The tables of a database by name.
pub type Tables = BTreeMap<String, Table>;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// The partitions of a table that is partitioned; `None` when it is not.
    pub slots: Option<BTreeSet<u8>>,
    /// The rows of each load that it holds. No load without rows.
    pub loads: BTreeMap<u32, u64>,
}

/// Which rows a DELETE takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of one load.
    Load(u32),
    /// Every fifth row, from this one on.
    Fifth(u8),
    /// Those of one partition, whether the table has partitions or not.
    Slot(u8),
}

impl Table {
    /// A table as CREATE TABLE makes it.
    pub fn new(ranged: bool) -> Table {
        Table { slots: ranged.then(|| (0..SLOTS - 1).collect()), loads: BTreeMap::new() }
    }

    /// Those of these rows that it has a partition for.
    pub fn taken(&self, mask: u64) -> u64 {
        match &self.slots {
            None => mask,
            Some(slots) => slots.iter().map(|slot| mask & slot_mask(*slot)).sum(),
        }
    }

    /// Adds rows.
    pub fn add(&mut self, load: u32, mask: u64) {
        if mask != 0 {
            *self.loads.entry(load).or_default() |= mask;
        }
    }

    /// Takes rows out of every load.
    pub fn remove(&mut self, of: impl Fn(u32) -> u64) {
        self.loads.retain(|load, mask| {
            *mask &= !of(*load);
            *mask != 0
        });
    }

    /// What RESTORE makes of it: partitions that the snapshot has are replaced, others stay.
    fn replace_with(&mut self, restored: &Table) {
        match (&mut self.slots, &restored.slots) {
            (Some(slots), Some(of_snapshot)) => {
                let replaced: u64 = of_snapshot.iter().map(|slot| slot_mask(*slot)).sum();
                slots.extend(of_snapshot);
                self.remove(|_| replaced);
                for (load, mask) in &restored.loads {
                    self.add(*load, *mask);
                }
            }
            _ => *self = restored.clone(),
        }
    }
}

impl Which {
    /// The rows of a load that it means.
    pub fn of(self, load: u32) -> u64 {
        match self {
            Which::Load(wanted) if wanted == load => u64::MAX,
            Which::Load(_) => 0,
            Which::Fifth(first) => every(5, first),
            Which::Slot(slot) => slot_mask(slot),
        }
    }
}

/// The rows of a partition.
pub fn slot_mask(slot: u8) -> u64 {
    every(u32::from(SLOTS), slot)
}

fn every(step: u32, first: u8) -> u64 {
    (u32::from(first)..ROWS_MAX).step_by(step as usize).map(|row| 1 << row).sum()
}

/// The first so many rows of a load.
pub fn first_rows(count: u32) -> u64 {
    (1 << count.min(ROWS_MAX)) - 1
}

/// The numbers of the rows in a mask.
pub fn rows_of(mask: u64) -> impl Iterator<Item = u32> {
    (0..ROWS_MAX).filter(move |row| mask & (1 << row) != 0)
}

/// What column `s` holds of a row: it depends on both numbers, so that a row with another's cells is noticed.
pub fn checksum(load: u32, row: u32) -> u64 {
    u64::from(load) * 1_000_003 + u64::from(row) * 7_919
}

/// A text of a row, so that files are not all the same size.
pub fn text(load: u32, row: u32) -> String {
    let length = 8 + checksum(load, row) % 40;
    let letter = char::from(b'a' + (load % 26) as u8);
    letter.to_string().repeat(length as usize)
}

/// The same text for the server, of row `r` of this load: so that it can compare every letter where it reads them.
pub fn text_sql(load: &str) -> String {
    format!(
        "REPEAT(SUBSTRING('abcdefghijklmnopqrstuvwxyz', CAST({load} AS BIGINT) % 26 + 1, 1), \
         8 + (CAST({load} AS BIGINT) * 1000003 + r * 7919) % 40)"
    )
}

/// What a database holds after these tables were restored into it.
pub fn restored(tables: &Tables, snapshot: &Tables) -> Tables {
    let mut after = tables.clone();
    for (name, table) in snapshot {
        match after.get_mut(name) {
            Some(existing) => existing.replace_with(table),
            None => drop(after.insert(name.clone(), table.clone())),
        }
    }
    after
}

/// Where two states differ, for people.
pub fn difference(wanted: &Tables, found: &Tables) -> String {
    let mut told = Vec::new();
    for name in wanted.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        match (wanted.get(name), found.get(name)) {
            (Some(_), None) => told.push(format!("table {name} is missing")),
            (None, Some(_)) => told.push(format!("table {name} should not be there")),
            (Some(wanted), Some(found)) if wanted != found => told.push(difference_of(name, wanted, found)),
            _ => {}
        }
    }
    told.join("; ")
}

fn difference_of(name: &str, wanted: &Table, found: &Table) -> String {
    let mut told = Vec::new();
    if wanted.slots != found.slots {
        told.push(format!("partitions {:?} and not {:?}", found.slots, wanted.slots));
    }
    for load in wanted.loads.keys().chain(found.loads.keys()).collect::<BTreeSet<_>>() {
        let mask = |table: &Table| table.loads.get(load).copied().unwrap_or(0);
        if mask(wanted) != mask(found) {
            told.push(format!("rows {:#x} of load {load} and not {:#x}", mask(found), mask(wanted)));
        }
    }
    format!("{name} has {}", told.join(", "))
}
