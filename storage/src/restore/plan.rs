//! What a restore will do, decided before it does anything.
//!
//! A [`RestorePlan`] is a pure value, made from what the snapshot says ([`Source`]), what the user asked for and what
//! is here now ([`Target`]). Every refusal happens while it is made, and names everything that is in the way, not only
//! the first thing. It is stored with the job, so that a resumed restore does what was decided; whether the target
//! still fits is asked once more in the transaction that commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{RestoreObjects, RestoreSelection};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::{DatabaseId, TableId};
use crate::job::human_bytes;
use crate::schema::{ColumnId, DataType, PartitionBounds, TableDefinition};

/// What a snapshot holds, so far as planning needs it. Its parts have been checked one by one (see
/// [`super::check`]); the plan puts them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The snapshot's label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: String,
    /// The database it was taken of.
    pub database: String,
    /// Its tables, those that are wanted at least.
    pub tables: Vec<SourceTable>,
}

/// One table of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// Its name.
    pub name: String,
    /// What it is.
    pub definition: TableDefinition,
    /// The next value of its AUTO_INCREMENT column.
    pub auto_increment_next: i64,
    /// Its partitions, those that are wanted at least.
    pub partitions: Vec<SourcePartition>,
}

/// One partition of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePartition {
    /// Its name.
    pub name: String,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Its buckets.
    pub buckets: u32,
    /// Replicas it had.
    pub replication_num: u32,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// The node that names its files.
    pub node: Digest,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
}

/// What is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name of the database to restore into.
    pub database: String,
    /// The database, if it exists.
    pub database_id: Option<DatabaseId>,
    /// Its tables, those at least whose names matter.
    pub tables: BTreeMap<String, TargetTable>,
    /// Storage roots that new replicas may lie on.
    pub roots: u32,
}

/// One table that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    /// Its identity.
    pub id: TableId,
    /// What it is.
    pub definition: TableDefinition,
    /// Its partitions.
    pub partitions: Vec<TargetPartition>,
}

/// One partition that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPartition {
    /// Its name.
    pub name: String,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Its buckets.
    pub buckets: u32,
    /// Its replicas.
    pub replication_num: u32,
}

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The snapshot's label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: String,
    /// The database it was taken of.
    pub source_database: String,
    /// The database that is restored into.
    pub database: String,
    /// That database; `None` when the restore makes it.
    pub database_id: Option<DatabaseId>,
    /// The tables.
    pub tables: Vec<TablePlan>,
}

/// What a restore will do to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its name in the snapshot.
    pub source: String,
    /// Its name here.
    pub target: String,
    /// The table whose partitions are replaced; `None` when the restore makes the table.
    pub existing: Option<TableId>,
    /// What it is, by the snapshot.
    pub definition: TableDefinition,
    /// The next value of its AUTO_INCREMENT column, at least.
    pub auto_increment_next: i64,
    /// Its partitions.
    pub partitions: Vec<PartitionPlan>,
}

/// What a restore will do to one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPlan {
    /// Its name in the snapshot.
    pub source: String,
    /// Its name here.
    pub target: String,
    /// Whether one of that name is here and is replaced.
    pub replaces: bool,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Its buckets.
    pub buckets: u32,
    /// Its replicas.
    pub replication_num: u32,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// The node that names its files.
    pub node: Digest,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
}

impl RestoreObjects {
    /// What is wanted of a snapshot that holds `tables`, in the order of the snapshot. Errors with the first name that
    /// is given twice or is not there, and when nothing is wanted: such a restore would end well with nothing done.
    pub fn select(&self, label: &str, tables: &[&str]) -> Result<Vec<RestoreSelection>> {
        let wanted = self.wanted(label, tables)?;
        match (wanted.is_empty(), self) {
            (false, _) => Ok(wanted),
            (true, RestoreObjects::AllBut(_)) => Err(Error::invalid(format!(
                "Nothing to restore: EXCLUDE names every table of snapshot {label}. Leave out at least one of them"
            ))),
            (true, _) => Err(Error::invalid(format!("Nothing to restore: snapshot {label} holds no table"))),
        }
    }

    fn wanted(&self, label: &str, tables: &[&str]) -> Result<Vec<RestoreSelection>> {
        let everything = || tables.iter().map(|name| RestoreSelection::whole(*name));
        match self {
            RestoreObjects::All => Ok(everything().collect()),
            RestoreObjects::AllBut(names) => {
                if let Some(name) = names.iter().find(|name| !tables.contains(&name.as_str())) {
                    return Err(missing_table(name, label));
                }
                Ok(everything().filter(|selection| !names.contains(&selection.table)).collect())
            }
            RestoreObjects::AllWith(selections) => {
                let named = |name: &&str| selections.iter().find(|selection| selection.table == **name).cloned();
                let merged: Vec<RestoreSelection> =
                    tables.iter().map(|name| named(name).unwrap_or_else(|| RestoreSelection::whole(*name))).collect();
                check_selections(selections, tables, label)?;
                check_selections(&merged, tables, label)?;
                Ok(merged)
            }
            RestoreObjects::Tables(selections) => {
                check_selections(selections, tables, label)?;
                Ok(selections.clone())
            }
        }
    }
}

/// Errors with the first table that is given twice, comes under the name of another, or is not in the snapshot.
fn check_selections(selections: &[RestoreSelection], tables: &[&str], label: &str) -> Result<()> {
    let mut sources = BTreeSet::new();
    let mut targets = BTreeSet::new();
    for selection in selections {
        if !sources.insert(&selection.table) {
            return Err(Error::invalid(format!("Duplicated table: {}", selection.table)));
        }
        if !targets.insert(selection.target()) {
            return Err(Error::invalid(format!("Duplicated alias name: {}", selection.target())));
        }
        if !tables.contains(&selection.table.as_str()) {
            return Err(missing_table(&selection.table, label));
        }
    }
    Ok(())
}

fn missing_table(name: &str, label: &str) -> Error {
    Error::invalid(format!("Table {name} does not exist in snapshot {label}"))
}

impl RestorePlan {
    /// Decides what to do, or says everything that is in the way. `selections` comes from [`RestoreObjects::select`];
    /// `replication_num` is what the user asked for, if anything.
    pub fn make(
        source: &Source,
        selections: &[RestoreSelection],
        target: &Target,
        replication_num: Option<u32>,
    ) -> Result<RestorePlan> {
        let mut refusals = Vec::new();
        let mut tables = Vec::with_capacity(selections.len());
        for selection in selections {
            let table = source
                .tables
                .iter()
                .find(|table| table.name == selection.table)
                .ok_or_else(|| missing_table(&selection.table, &source.label))?;
            let partitions = wanted_partitions(table, selection, &source.label)?;
            let name = selection.target();
            let existing = target.tables.get(name);
            if let Some(existing) = existing {
                refuse_different_schema(name, table, &partitions, existing, &mut refusals);
            }
            let choice = ReplicationChoice { asked: replication_num, roots: target.roots };
            let partitions = partitions
                .into_iter()
                .map(|partition| plan_partition(name, table, partition, existing, choice, &mut refusals))
                .collect();
            tables.push(TablePlan {
                source: table.name.clone(),
                target: name.to_owned(),
                existing: existing.map(|existing| existing.id),
                definition: table.definition.clone(),
                auto_increment_next: table.auto_increment_next,
                partitions,
            });
        }
        if !refusals.is_empty() {
            return Err(Error::invalid(format!(
                "{}. Restore under another name with AS, or drop the table first",
                refusals.join("; ")
            )));
        }
        Ok(RestorePlan {
            label: source.label.clone(),
            timestamp: source.timestamp.clone(),
            source_database: source.database.clone(),
            database: target.database.clone(),
            database_id: target.database_id,
            tables,
        })
    }

    /// Every partition with its table.
    pub fn partitions(&self) -> impl Iterator<Item = (&TablePlan, &PartitionPlan)> {
        self.tables.iter().flat_map(|table| table.partitions.iter().map(move |partition| (table, partition)))
    }
}

/// The partitions of a table that are wanted, in the order of the snapshot.
fn wanted_partitions<'a>(
    table: &'a SourceTable,
    selection: &RestoreSelection,
    label: &str,
) -> Result<Vec<&'a SourcePartition>> {
    for name in &selection.partitions {
        if !table.partitions.iter().any(|partition| partition.name.eq_ignore_ascii_case(name)) {
            return Err(Error::invalid(format!(
                "Partition {name} of table {} does not exist in snapshot {label}",
                table.name
            )));
        }
    }
    let wanted = |partition: &&SourcePartition| {
        selection.partitions.is_empty()
            || selection.partitions.iter().any(|name| name.eq_ignore_ascii_case(&partition.name))
    };
    Ok(table.partitions.iter().filter(wanted).collect())
}

/// Notes every difference between the definitions, and between the buckets of partitions on both sides.
fn refuse_different_schema(
    name: &str,
    table: &SourceTable,
    partitions: &[&SourcePartition],
    existing: &TargetTable,
    refusals: &mut Vec<String>,
) {
    let mut differences: Vec<String> = table
        .definition
        .differences(&existing.definition)
        .into_iter()
        .map(|difference| format!("{}: expected {}, found {}", difference.item, difference.expected, difference.found))
        .collect();
    for partition in partitions {
        if let Some(local) = existing.counterpart(partition)
            && local.buckets != partition.buckets
        {
            differences.push(format!(
                "bucket num of partition '{}' is inconsistent: expected {}, found {}",
                local.name, partition.buckets, local.buckets
            ));
        }
    }
    if !differences.is_empty() {
        refusals
            .push(format!("Table {name} already exist but with different schema, errMsg: {}", differences.join(", ")));
    }
}

/// How the number of replicas is found.
#[derive(Clone, Copy)]
struct ReplicationChoice {
    asked: Option<u32>,
    roots: u32,
}

/// The types of a table's partition columns.
fn partition_types(definition: &TableDefinition) -> Vec<Option<&DataType>> {
    let type_of = |id: &ColumnId| definition.column_by_id(*id).map(|column| &column.data_type);
    definition.partition_columns().iter().map(type_of).collect()
}

fn plan_partition(
    table: &str,
    source: &SourceTable,
    partition: &SourcePartition,
    existing: Option<&TargetTable>,
    choice: ReplicationChoice,
    refusals: &mut Vec<String>,
) -> PartitionPlan {
    let unpartitioned = partition.bounds == PartitionBounds::All;
    // Where one side is partitioned and the other is not, that has been noted, and ranges say nothing more.
    let existing = existing.filter(|existing| existing.definition.partition_columns().is_empty() == unpartitioned);
    // Nor do they between columns of different types, whose values have no order among each other.
    let is_comparable =
        existing.is_some_and(|existing| partition_types(&existing.definition) == partition_types(&source.definition));
    let local = existing.and_then(|existing| existing.counterpart(partition));
    let target = match local {
        Some(local) => local.name.clone(),
        // The one partition of an unpartitioned table bears the table's name.
        None if unpartitioned => table.to_owned(),
        None => partition.name.clone(),
    };
    match local {
        Some(local) if is_comparable && local.bounds != partition.bounds => refusals.push(format!(
            "Partition {target} in table {table} has different range with partition in repository: \
             expected {}, found {}",
            partition.bounds, local.bounds
        )),
        None if is_comparable => {
            let mut others = existing.into_iter().flat_map(|existing| &existing.partitions);
            if let Some(other) = others.find(|other| other.bounds.overlaps(&partition.bounds)) {
                refusals.push(format!(
                    "Partition {target} in table {table} has conflict range with existing ranges: \
                     {} overlaps {} of partition {}",
                    partition.bounds, other.bounds, other.name
                ));
            }
        }
        _ => {}
    }
    let roots = choice.roots.max(1);
    // More replicas than roots are never refused here: data that is back matters more than how often.
    let replication_num = match (choice.asked, local) {
        (Some(asked), Some(local)) if asked.min(roots) != local.replication_num.min(roots) => {
            refusals.push(format!(
                "Partition {target} in table {table} has different replication num '{}' with partition in repository, \
                 which is {asked}: leave replication_num out to keep the table's own",
                local.replication_num
            ));
            asked
        }
        (Some(asked), _) => asked,
        (None, Some(local)) => local.replication_num,
        (None, None) => partition.replication_num,
    };
    PartitionPlan {
        source: partition.name.clone(),
        target,
        replaces: local.is_some(),
        bounds: partition.bounds.clone(),
        buckets: partition.buckets,
        replication_num: replication_num.clamp(1, roots),
        properties: partition.properties.clone(),
        node: partition.node,
        rows: partition.rows,
        bytes: partition.bytes,
        files: partition.files,
    }
}

impl TargetTable {
    /// The local partition that a partition of the snapshot replaces: the one of its name, or the only one there is.
    fn counterpart(&self, partition: &SourcePartition) -> Option<&TargetPartition> {
        let unpartitioned = partition.bounds == PartitionBounds::All;
        self.partitions.iter().find(|local| {
            local.name.eq_ignore_ascii_case(&partition.name) || (unpartitioned && local.bounds == PartitionBounds::All)
        })
    }
}

impl RestoreSelection {
    /// A whole table under its own name.
    pub fn whole(table: impl Into<String>) -> RestoreSelection {
        RestoreSelection { table: table.into(), partitions: Vec::new(), alias: None }
    }

    /// Its name here.
    pub fn target(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.table)
    }
}

/// The plan as people read it, one line a table and a partition.
impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let making = if self.database_id.is_none() { " (to be created)" } else { "" };
        writeln!(
            f,
            "restore snapshot '{}' of {} taken of database '{}' into database '{}'{making}",
            self.label, self.timestamp, self.source_database, self.database
        )?;
        for table in &self.tables {
            let alias = if table.source == table.target { String::new() } else { format!(" as '{}'", table.target) };
            let action = if table.existing.is_some() { "replace in" } else { "create" };
            writeln!(f, "  {action} table '{}'{alias}", table.source)?;
            for partition in &table.partitions {
                let action = if partition.replaces { "replace" } else { "add" };
                let PartitionPlan { target, buckets, replication_num, rows, files, bounds, .. } = partition;
                let bytes = human_bytes(partition.bytes);
                writeln!(
                    f,
                    "    {action} partition '{target}' {bounds}: buckets {buckets}, replicas {replication_num}, \
                     rows {rows}, files {files}, {bytes}"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
