//! What running restores hold: names that they are going to create, and tables and partitions that they are going to
//! replace.
//!
//! A restore holds the name of its database and those of its tables from the moment it is submitted, and partitions
//! from the moment its plan is made: the partitions it has hidden in a table are the ones that will be seen there.
//! Whoever makes, renames, drops or recovers something asks here, in the transaction of the change itself, so nothing
//! can come between. Nobody gives anything back: a job that has ended holds nothing.

use std::fmt;

use rusqlite::{OptionalExtension, Params};

use super::partition::PartitionRow;
use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Noun, Result};
use crate::ids::{DatabaseId, JobId, TableId};
use crate::schema::PartitionBounds;

/// A running restore that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The job.
    pub job: JobId,
    /// The database it restores into.
    pub database: String,
}

/// Partitions that a running restore is going to show in a table.
#[derive(Debug)]
pub(crate) struct HeldPartitions {
    pub(crate) holder: Holder,
    pub(crate) partitions: Vec<PartitionRow>,
}

impl fmt::Display for Holder {
    /// The end of a sentence that says what the restore is going to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.database.replace('`', "``");
        write!(f, "wait until it ends, or stop it with CANCEL RESTORE FROM `{database}`")
    }
}

impl ReadTransaction<'_> {
    /// Errors when a running restore is going to create a database of this name, which is not there.
    pub(super) fn refuse_held_database(&self, name: &str) -> Result<()> {
        let holder = self.running_restore(
            "SELECT id, database FROM jobs
             WHERE database = ?1 AND kind = 'RESTORE' AND state NOT IN ('FINISHED', 'CANCELLED')",
            [name],
        )?;
        refuse(Noun::Database, name, holder)
    }

    /// Errors when a running restore is going to create a table of this name, which is not there.
    pub(super) fn refuse_held_table(&self, database: DatabaseId, name: &str) -> Result<()> {
        refuse(Noun::Table, name, self.table_holder(database, name)?)
    }

    /// Errors when a running restore is going to replace what is in this table.
    pub(super) fn refuse_restored_table(&self, id: TableId) -> Result<()> {
        let Some(table) = self.table_by_id(id)? else { return Ok(()) };
        match self.table_holder(table.database_id, &table.name)? {
            None => Ok(()),
            Some(holder) => Err(Error::BeingRestored { noun: Noun::Table, name: table.name, holder }),
        }
    }

    /// The partitions that a running restore is going to show in a table, if one is.
    pub(crate) fn held_partitions(&self, table: TableId) -> Result<Option<HeldPartitions>> {
        let holder = self.running_restore(
            "SELECT id, database FROM jobs WHERE state NOT IN ('FINISHED', 'CANCELLED')
             AND id IN (SELECT hidden_by FROM partitions WHERE table_id = ?1 AND hidden_by IS NOT NULL)",
            [table],
        )?;
        let Some(holder) = holder else { return Ok(None) };
        let mut partitions = self.partitions_hidden_by(holder.job)?;
        partitions.retain(|partition| partition.table_id == table);
        Ok(Some(HeldPartitions { holder, partitions }))
    }

    /// Errors when a running restore is going to show a partition of this name, or one that meets these bounds.
    pub(super) fn refuse_held_partition(&self, table: TableId, name: &str, bounds: &PartitionBounds) -> Result<()> {
        let Some(held) = self.held_partitions(table)? else { return Ok(()) };
        for partition in &held.partitions {
            if partition.name.eq_ignore_ascii_case(name) {
                return Err(held.taken(name));
            }
            if partition.bounds.overlaps(bounds) {
                return Err(held.meets(name, bounds, &partition.name, &partition.bounds));
            }
        }
        Ok(())
    }

    fn table_holder(&self, database: DatabaseId, name: &str) -> Result<Option<Holder>> {
        self.running_restore(
            "SELECT jobs.id, jobs.database FROM jobs JOIN databases ON databases.name = jobs.database
             WHERE databases.id = ?1 AND jobs.state NOT IN ('FINISHED', 'CANCELLED')
             AND EXISTS (SELECT 1 FROM restore_targets WHERE job_id = jobs.id AND table_name = ?2)",
            (database, name),
        )
    }

    fn running_restore(&self, sql: &str, values: impl Params) -> Result<Option<Holder>> {
        let row = |row: &rusqlite::Row<'_>| Ok(Holder { job: row.get(0)?, database: row.get(1)? });
        Ok(self.prepare_cached(sql)?.query_row(values, row).optional()?)
    }
}

impl WriteTransaction<'_> {
    /// Holds the names of tables for a restore, as long as it runs.
    pub(super) fn hold_tables(&self, job: JobId, names: &[String]) -> Result<()> {
        for name in names {
            self.prepare_cached("INSERT INTO restore_targets (job_id, table_name) VALUES (?1, ?2)")?
                .execute((job, name))?;
        }
        Ok(())
    }
}

impl HeldPartitions {
    /// Errors when `partition`, which is there, is going to be replaced.
    pub(super) fn refuse_replaced(&self, partition: &PartitionRow) -> Result<()> {
        let replaces = |held: &PartitionRow| {
            held.name.eq_ignore_ascii_case(&partition.name) || held.bounds.overlaps(&partition.bounds)
        };
        if self.partitions.iter().any(replaces) {
            let (name, holder) = (partition.name.clone(), self.holder.clone());
            return Err(Error::BeingRestored { noun: Noun::Partition, name, holder });
        }
        Ok(())
    }

    /// The error about a name that belongs to a partition to come.
    pub(crate) fn taken(&self, name: &str) -> Error {
        Error::Held { noun: Noun::Partition, name: name.to_owned(), holder: self.holder.clone() }
    }

    /// The error about bounds that meet those of a partition to come.
    pub(crate) fn meets(
        &self,
        name: &str,
        bounds: &PartitionBounds,
        held: &str,
        held_bounds: &PartitionBounds,
    ) -> Error {
        Error::Conflict(format!(
            "range {bounds} of partition '{name}' intersects with range {held_bounds} of partition '{held}', which restore \
             job {} is going to create: {}",
            self.holder.job, self.holder
        ))
    }
}

fn refuse(noun: Noun, name: &str, holder: Option<Holder>) -> Result<()> {
    match holder {
        None => Ok(()),
        Some(holder) => Err(Error::Held { noun, name: name.to_owned(), holder }),
    }
}
