//! ALTER TABLE: partitions, names, properties, comments. Each action is one transaction.

use ebla_protocol::sql::ast::alter::{AlterAction, AlterTable, DropPartitionTarget, ModifyPartitionTarget};
use ebla_protocol::sql::ast::name::Properties;
use ebla_protocol::wire::Outcome;
use ebla_storage::catalog::{Removal, TableRow, WriteTransaction};

use super::definition::{
    DYNAMIC_PARTITION, check_compression, check_kept, check_not_dynamic, check_other_name, check_table_name,
    parse_replication_num,
};
use super::{done, partitions, resolve_own_table};
use crate::auth::privilege::Object;
use crate::error::{Error, Result};
use crate::session::Session;

/// What is wrong with dropping the last partition, on its way out of the transaction.
const LAST_PARTITION: &str = "Cannot remove all partitions, use DROP TABLE instead";

/// ALTER TABLE.
pub async fn execute(session: &Session, statement: AlterTable) -> Result<Outcome> {
    let (database, mut name) = resolve_own_table(session, &statement.table)?;
    session.access()?.require("ALTER", Object::Table(&database, &name))?;
    for action in &statement.actions {
        refuse_later_features(action)?;
    }
    for action in statement.actions {
        apply(session, &database, &name, &action).await?;
        if let AlterAction::Rename(new) = action {
            name = new;
        }
    }
    done()
}

async fn apply(session: &Session, database: &str, name: &str, action: &AlterAction) -> Result<()> {
    let storage = &session.server.storage;
    match action {
        AlterAction::AddPartition { partition, distribution, properties, .. } => {
            let table = table_row(session, database, name)?;
            if table.definition.partition_columns().is_empty() {
                return Err(Error::analysis(format!("Table '{name}' is not partitioned: it takes no more partitions")));
            }
            let existing = storage.catalog().read(|read| read.partitions(table.id))?;
            let replication_num = replication_of(&table, properties)?;
            let mut new = partitions::resolve_all(
                &table.definition,
                std::slice::from_ref(partition),
                &existing,
                replication_num,
            )?;
            if let Some(buckets) = distribution.as_ref().and_then(|distribution| distribution.buckets) {
                let buckets = super::definition::check_buckets(buckets)?;
                new.iter_mut().for_each(|partition| partition.buckets = buckets);
            }
            storage.add_partitions(database, name, &new)?;
        }
        AlterAction::DropPartition { if_exists, target, force, .. } => {
            let table = table_row(session, database, name)?;
            let names = match target {
                DropPartitionTarget::Names(names) => names.clone(),
                DropPartitionTarget::Batch(batch) => partitions::batch_names(&table.definition, batch)?,
                DropPartitionTarget::Where(_) => return Err(Error::not_yet("DROP PARTITIONS WHERE")),
            };
            let dropped = storage.catalog().write(|write| drop_partitions(write, &table, &names, *if_exists, *force));
            dropped.map_err(|error| match error {
                ebla_storage::Error::Invalid(text) if text == LAST_PARTITION => Error::LastPartition(text),
                other => Error::Storage(other),
            })?;
        }
        AlterAction::TruncatePartition(names) => storage.truncate(database, name, Some(names))?,
        AlterAction::Rename(new) => {
            check_table_name(new)?;
            in_table(session, database, name, |write, table| write.rename_table(table, new))?;
        }
        AlterAction::RenamePartition { from, to } => {
            check_other_name(to)?;
            in_table(session, database, name, |write, table| {
                let partition = write.partition(table.id, from)?;
                write.rename_partition(&partition, to)
            })?;
        }
        // Rows are sorted as they come.
        AlterAction::Keys { .. } => drop(table_row(session, database, name)?),
        AlterAction::Comment(comment) => {
            in_table(session, database, name, |write, table| {
                let mut definition = (*table.definition).clone();
                definition.comment.clone_from(comment);
                write.set_table_definition(table.id, &definition)
            })?;
        }
        AlterAction::Set(properties) => {
            for (key, value) in properties.iter() {
                check_changeable(session, key, value)?;
            }
            in_table(session, database, name, |write, table| {
                let mut definition = (*table.definition).clone();
                for (key, value) in properties.iter() {
                    let key = key.strip_prefix("default.").unwrap_or(key).to_ascii_lowercase();
                    definition.properties.insert(key, value.to_owned());
                }
                write.set_table_definition(table.id, &definition)
            })?;
        }
        AlterAction::ModifyPartition { target, properties } => {
            for (key, value) in properties.iter() {
                check_changeable(session, key, value)?;
            }
            in_table(session, database, name, |write, table| {
                let chosen = match target {
                    ModifyPartitionTarget::All => write.partitions(table.id)?,
                    ModifyPartitionTarget::Names(names) => {
                        names.iter().map(|name| write.partition(table.id, name)).collect::<Result<_, _>>()?
                    }
                };
                for partition in chosen {
                    let mut merged = partition.properties.clone();
                    merged.extend(properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
                    write.set_partition_properties(partition.id, &merged)?;
                }
                Ok(())
            })?;
        }
        AlterAction::Compact { .. } => storage.compact_table(database, name).await?,
        other => return Err(not_yet(other)),
    }
    Ok(())
}

fn in_table(
    session: &Session,
    database: &str,
    name: &str,
    change: impl FnOnce(&WriteTransaction<'_>, &TableRow) -> ebla_storage::Result<()>,
) -> Result<()> {
    session.server.storage.catalog().write(|write| {
        let table = write.table(write.database(database)?.id, name)?;
        change(write, &table)
    })?;
    Ok(())
}

fn table_row(session: &Session, database: &str, name: &str) -> Result<TableRow> {
    Ok(session.server.storage.catalog().read(|read| read.table(read.database(database)?.id, name))?)
}

fn drop_partitions(
    write: &WriteTransaction<'_>,
    table: &TableRow,
    names: &[String],
    if_exists: bool,
    force: bool,
) -> ebla_storage::Result<()> {
    if table.definition.partition_columns().is_empty() {
        return Err(ebla_storage::Error::invalid(format!(
            "Table '{}' is not partitioned: use TRUNCATE TABLE to empty it",
            table.name
        )));
    }
    let mut left = write.partitions(table.id)?;
    let mut dropped = Vec::new();
    for name in names {
        let Some(position) = left.iter().position(|partition| partition.name.eq_ignore_ascii_case(name)) else {
            if if_exists {
                continue;
            }
            return Err(ebla_storage::Error::not_found(ebla_storage::error::Noun::Partition, name));
        };
        dropped.push(left.remove(position));
        if left.is_empty() {
            return Err(ebla_storage::Error::invalid(LAST_PARTITION));
        }
    }
    write.drop_partitions(table.id, &dropped, if force { Removal::ForGood } else { Removal::Recoverable })
}

fn replication_of(table: &TableRow, properties: &Properties) -> Result<u32> {
    let text = properties
        .get("replication_num")
        .or_else(|| table.definition.properties.get("replication_num").map(String::as_str))
        .unwrap_or("1");
    parse_replication_num(text)
}

/// Errors unless a table's or a partition's property may be changed after its creation.
fn check_changeable(session: &Session, key: &str, value: &str) -> Result<()> {
    let key = key.strip_prefix("default.").unwrap_or(key).to_ascii_lowercase();
    match key.as_str() {
        "compression" => check_compression(value),
        // It holds for partitions made from now on.
        "replication_num" => Ok(session.server.storage.roots().check_replication_num(parse_replication_num(value)?)?),
        "in_memory"
        | "enable_persistent_index"
        | "replicated_storage"
        | "write_quorum"
        | "storage_medium"
        | "storage_cooldown_time"
        | "storage_cooldown_ttl"
        | "bucket_size"
        | "compaction_policy" => check_kept(&key, value),
        _ if key.starts_with(DYNAMIC_PARTITION) => check_not_dynamic(&key, value),
        _ => Err(Error::analysis(format!("Unknown table property or one that cannot be changed: [{key}]"))),
    }
}

fn refuse_later_features(action: &AlterAction) -> Result<()> {
    match action {
        AlterAction::AddPartition { temporary: true, .. } | AlterAction::DropPartition { temporary: true, .. } => {
            Err(Error::not_yet("TEMPORARY partitions (INSERT OVERWRITE replaces a partition's rows at once)"))
        }
        AlterAction::AddPartition { .. }
        | AlterAction::DropPartition { .. }
        | AlterAction::TruncatePartition(_)
        | AlterAction::ModifyPartition { .. }
        | AlterAction::Rename(_)
        | AlterAction::RenamePartition { .. }
        | AlterAction::Set(_)
        | AlterAction::Comment(_)
        | AlterAction::Keys { .. }
        | AlterAction::Compact { .. } => Ok(()),
        other => Err(not_yet(other)),
    }
}

/// What is not done to a table in place can be done by making another one.
fn not_yet(action: &AlterAction) -> Error {
    Error::not_yet(format!(
        "{} (make a table as it shall be, INSERT INTO it SELECT from this one, and RENAME both)",
        describe(action)
    ))
}

fn describe(action: &AlterAction) -> &'static str {
    match action {
        AlterAction::ReplacePartition { .. } => "ALTER TABLE … REPLACE PARTITION",
        AlterAction::RenameColumn { .. } => "ALTER TABLE … RENAME COLUMN",
        AlterAction::RenameRollup { .. } => "ALTER TABLE … RENAME ROLLUP",
        AlterAction::AddColumns { .. } => "ALTER TABLE … ADD COLUMN",
        AlterAction::DropColumn { .. } => "ALTER TABLE … DROP COLUMN",
        AlterAction::ModifyColumn { .. } => "ALTER TABLE … MODIFY COLUMN",
        AlterAction::OrderColumns { .. } => "ALTER TABLE … ORDER BY",
        AlterAction::AddRollup(_) => "ALTER TABLE … ADD ROLLUP",
        AlterAction::DropRollup(_) => "ALTER TABLE … DROP ROLLUP",
        AlterAction::AddIndex(_) => "ALTER TABLE … ADD INDEX",
        AlterAction::DropIndex(_) => "ALTER TABLE … DROP INDEX",
        AlterAction::SwapWith(_) => "ALTER TABLE … SWAP WITH",
        AlterAction::Distribution(_) => "ALTER TABLE … DISTRIBUTED BY",
        _ => "This form of ALTER TABLE",
    }
}
