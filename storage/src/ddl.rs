//! Changes of what tables are: making them, adding partitions, emptying them.
//!
//! Each method is one catalog transaction, so a statement happens whole or not at all, and a crash in between leaves
//! what was before. Renaming, dropping and recovering need no more than the catalog's own methods. Nothing here touches
//! a data file: what is taken out of use becomes garbage, and the collector deletes it.

mod spread;

use std::collections::HashSet;

pub use spread::RootSpread;

use crate::catalog::{HeldPartitions, NewPartition, PartitionRow, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{PartitionId, TableId};
use crate::schema::{PartitionBounds, TableDefinition};
use crate::storage::Storage;

impl Storage {
    /// Makes a table with its partitions. Errors when the database is not there, when the name is taken, when two of
    /// the partitions have one name or meet, or when they ask for more replicas than there are storage roots.
    pub fn create_table(
        &self,
        database: &str,
        name: &str,
        definition: &TableDefinition,
        partitions: &[NewPartition],
    ) -> Result<TableId> {
        self.catalog().write(|write| {
            let database = write.database(database)?.id;
            let table = write.create_table(database, name, definition, None)?;
            self.create_partitions(write, table, &[], partitions)?;
            Ok(table)
        })
    }

    /// Adds partitions to a table: all of them or none. Errors as [`Storage::create_table`] does.
    pub fn add_partitions(&self, database: &str, table: &str, new: &[NewPartition]) -> Result<()> {
        self.catalog().write(|write| {
            let table = write.table(write.database(database)?.id, table)?.id;
            let existing = write.partitions(table)?;
            self.create_partitions(write, table, &existing, new)
        })
    }

    /// Empties these partitions, or all of them: they stand at their next version with no row in it.
    ///
    /// The partitions stay the same ones, so that loads which are running publish into them afterwards. Readers go on
    /// with the snapshot they have. What was in them cannot be recovered.
    pub fn truncate(&self, database: &str, table: &str, partitions: Option<&[String]>) -> Result<()> {
        self.catalog().write(|write| {
            let table = write.table(write.database(database)?.id, table)?.id;
            for partition in named_partitions(write, table, partitions)? {
                for tablet in write.tablets(partition)? {
                    write.clear_tablet(tablet.id)?;
                }
                write.raise_visible_version(partition)?;
            }
            Ok(())
        })
    }

    fn create_partitions(
        &self,
        write: &WriteTransaction<'_>,
        table: TableId,
        existing: &[PartitionRow],
        new: &[NewPartition],
    ) -> Result<()> {
        check_partitions_fit(existing, new)?;
        if let Some(held) = write.held_partitions(table)? {
            check_none_is_held(&held, new)?;
        }
        let mut spread = RootSpread::new(write, self.roots().configured())?;
        for partition in new {
            write.create_checked_partition(table, partition, &spread.order(), None)?;
            spread.count(partition);
        }
        Ok(())
    }
}

/// The partitions of these names, each once, or all.
fn named_partitions(
    write: &WriteTransaction<'_>,
    table: TableId,
    names: Option<&[String]>,
) -> Result<Vec<PartitionId>> {
    let Some(names) = names else {
        return Ok(write.partitions(table)?.into_iter().map(|partition| partition.id).collect());
    };
    let mut ids =
        names.iter().map(|name| Ok(write.partition(table, name)?.id)).collect::<Result<Vec<PartitionId>>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Errors when a new partition has the name of another, new or existing, or meets its bounds.
fn check_partitions_fit(existing: &[PartitionRow], new: &[NewPartition]) -> Result<()> {
    let mut names: HashSet<String> = existing.iter().map(|partition| partition.name.to_lowercase()).collect();
    for partition in new {
        if !names.insert(partition.name.to_lowercase()) {
            return Err(Error::already_exists(Noun::Partition, &partition.name));
        }
        if partition.bounds.is_empty() {
            return Err(Error::invalid(format!(
                "range {} of partition '{}' holds no value: its upper bound must be above its lower one",
                partition.bounds, partition.name
            )));
        }
    }
    match first_overlap(existing, new) {
        None => Ok(()),
        Some((new, other)) => Err(Error::invalid(format!(
            "range {} of partition '{}' intersects with range {} of partition '{}'",
            new.bounds, new.name, other.bounds, other.name
        ))),
    }
}

/// Errors when a new partition has the name of one that a running restore is going to show, or meets its bounds.
fn check_none_is_held(held: &HeldPartitions, new: &[NewPartition]) -> Result<()> {
    let names: HashSet<String> = held.partitions.iter().map(|partition| partition.name.to_lowercase()).collect();
    if let Some(taken) = new.iter().find(|partition| names.contains(&partition.name.to_lowercase())) {
        return Err(held.taken(&taken.name));
    }
    match first_overlap(&held.partitions, new) {
        None => Ok(()),
        Some((new, other)) => Err(held.meets(new.name, new.bounds, other.name, other.bounds)),
    }
}

/// A partition by what it is called and what belongs into it.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    bounds: &'a PartitionBounds,
    new: bool,
}

/// A new partition and another, old or new, that meets it. Sorted once and compared with its neighbour only: a statement
/// may bring thousands of partitions. Those that are there do not meet one another.
fn first_overlap<'a>(there: &'a [PartitionRow], new: &'a [NewPartition]) -> Option<(Named<'a>, Named<'a>)> {
    let there = there.iter().map(|row| Named { name: &row.name, bounds: &row.bounds, new: false });
    let new = new.iter().map(|new| Named { name: &new.name, bounds: &new.bounds, new: true });
    let mut ranges: Vec<Named<'a>> = there.chain(new).collect();
    ranges.sort_by(|left, right| match (left.bounds, right.bounds) {
        (PartitionBounds::Range { lower: left, .. }, PartitionBounds::Range { lower: right, .. }) => {
            left.compare(right)
        }
        _ => std::cmp::Ordering::Equal,
    });
    ranges.windows(2).find_map(|pair| match pair {
        [first, second] if first.bounds.overlaps(second.bounds) => {
            Some(if second.new { (*second, *first) } else { (*first, *second) })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;
