//! Changes of what tables are: making them, adding partitions, emptying them.
//!
//! Each method is one catalog transaction, so a statement happens whole or not at all, and a crash in between leaves
//! what was before. Renaming, dropping and recovering need no more than the catalog's own methods. Nothing here touches
//! a data file: what is taken out of use becomes garbage, and the collector deletes it.

mod spread;

use std::collections::HashSet;

pub use spread::RootSpread;

use crate::catalog::{NewPartition, PartitionRow, WriteTransaction};
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

/// Errors when a new partition has the name of another, new or existing, or meets its bounds. Sorted once and compared
/// with its neighbour only: a statement may bring thousands of partitions.
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
    let mut ranges: Vec<(&PartitionBounds, &str, bool)> = existing
        .iter()
        .map(|partition| (&partition.bounds, partition.name.as_str(), false))
        .chain(new.iter().map(|partition| (&partition.bounds, partition.name.as_str(), true)))
        .collect();
    ranges.sort_by(|(left, ..), (right, ..)| match (left, right) {
        (PartitionBounds::Range { lower: left, .. }, PartitionBounds::Range { lower: right, .. }) => {
            left.compare(right)
        }
        _ => std::cmp::Ordering::Equal,
    });
    for pair in ranges.windows(2) {
        let [(first, first_name, _), (second, second_name, second_is_new)] = pair else { continue };
        if first.overlaps(second) {
            let (new, new_name, other, other_name) = if *second_is_new {
                (second, second_name, first, first_name)
            } else {
                (first, first_name, second, second_name)
            };
            return Err(Error::invalid(format!(
                "range {new} of partition '{new_name}' intersects with range {other} of partition '{other_name}'"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
