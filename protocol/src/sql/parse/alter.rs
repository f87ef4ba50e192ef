//! ALTER TABLE.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Result};
use super::{partition, table};
use crate::sql::ast::Statement;
use crate::sql::ast::alter::{
    AlterAction, AlterTable, ColumnPosition, CompactKind, DropPartitionTarget, ModifyPartitionTarget,
};
use crate::sql::ast::name::Properties;

/// `ALTER TABLE t action[, action …]`
pub(super) fn alter_table(c: &mut Cursor) -> Result<Statement> {
    c.need("ALTER TABLE")?;
    let table = c.table_name()?;
    Ok(Statement::AlterTable(AlterTable { table, actions: c.list(action)? }))
}

fn action(c: &mut Cursor) -> Result<AlterAction> {
    let Some(word) = c.word(0) else { return Err(c.expected("what to alter")) };
    match word.as_str() {
        "ADD" => add(c),
        "DROP" => drop_action(c),
        "MODIFY" => modify(c),
        "RENAME" => rename(c),
        "TRUNCATE" => {
            c.skip(1);
            if !c.is_any(&["PARTITION", "PARTITIONS"]) {
                return Err(c.expected("PARTITION"));
            }
            c.partitions().map(AlterAction::TruncatePartition)
        }
        "REPLACE" => replace_partition(c),
        "SET" => {
            c.skip(1);
            c.property_list().map(AlterAction::Set)
        }
        "COMMENT" => match c.comment()? {
            Some(text) => Ok(AlterAction::Comment(text)),
            None => Err(c.expected("a comment in quotes")),
        },
        "ORDER" => {
            c.need("ORDER BY")?;
            let columns = c.names("a column")?;
            Ok(AlterAction::OrderColumns { columns, rollup: from_rollup(c)?, properties: c.properties()? })
        }
        "SWAP" => {
            c.need("SWAP WITH")?;
            c.name("a table").map(AlterAction::SwapWith)
        }
        "DISABLE" | "ENABLE" => {
            let enabled = c.accept("ENABLE");
            c.need(if enabled { "KEYS" } else { "DISABLE KEYS" })?;
            Ok(AlterAction::Keys { enabled })
        }
        "COMPACT" | "BASE" | "CUMULATIVE" => compact(c),
        "DISTRIBUTED" => match partition::distribution(c)? {
            Some(distribution) => Ok(AlterAction::Distribution(distribution)),
            None => Err(c.expected("DISTRIBUTED BY")),
        },
        _ => Err(c.expected("what to alter")),
    }
}

fn add(c: &mut Cursor) -> Result<AlterAction> {
    c.need("ADD")?;
    let temporary = c.accept("TEMPORARY");
    if c.accept_any(&["PARTITION", "PARTITIONS"]) {
        let partition = partition::definition(c)?;
        let distribution = partition::distribution(c)?;
        // Properties of the partition may stand before or after the distribution, with or without their word.
        c.accept("PROPERTIES");
        let properties = if c.is_symbol(&Token::LParen) { c.property_list()? } else { Properties::default() };
        return Ok(AlterAction::AddPartition { temporary, partition, distribution, properties });
    }
    if temporary {
        return Err(c.expected("PARTITION"));
    }
    if c.accept("ROLLUP") {
        return c.list(table::rollup).map(AlterAction::AddRollup);
    }
    if c.accept_any(&["INDEX", "KEY"]) {
        return table::index(c).map(AlterAction::AddIndex);
    }
    c.accept("COLUMN");
    let (columns, position) = if c.is_symbol(&Token::LParen) {
        (c.parenthesised(|c| table::column(c, None))?, None)
    } else {
        (vec![table::column(c, None)?], column_position(c)?)
    };
    let rollup = if c.accept_any(&["TO", "IN"]) { Some(c.name("a rollup")?) } else { None };
    Ok(AlterAction::AddColumns { columns, position, rollup, properties: c.properties()? })
}

fn drop_action(c: &mut Cursor) -> Result<AlterAction> {
    c.need("DROP")?;
    let temporary = c.accept("TEMPORARY");
    if c.accept_any(&["PARTITION", "PARTITIONS"]) {
        let if_exists = c.accept("IF EXISTS");
        let target = if c.is("START") && *c.peek(1) == Token::LParen {
            DropPartitionTarget::Batch(partition::batch(c)?)
        } else if c.accept("WHERE") {
            DropPartitionTarget::Where(c.expr()?)
        } else {
            DropPartitionTarget::Names(c.name_or_names("a partition")?)
        };
        return Ok(AlterAction::DropPartition { temporary, if_exists, target, force: c.accept("FORCE") });
    }
    if temporary {
        return Err(c.expected("PARTITION"));
    }
    if c.accept("ROLLUP") {
        return c.list(|c| c.name("a rollup")).map(AlterAction::DropRollup);
    }
    if c.accept_any(&["INDEX", "KEY"]) {
        return c.name("an index").map(AlterAction::DropIndex);
    }
    c.accept("COLUMN");
    let column = c.name("a column")?;
    Ok(AlterAction::DropColumn { column, rollup: from_rollup(c)?, properties: c.properties()? })
}

fn modify(c: &mut Cursor) -> Result<AlterAction> {
    c.need("MODIFY")?;
    if c.accept_any(&["PARTITION", "PARTITIONS"]) {
        let all = *c.peek(0) == Token::LParen && *c.peek(1) == Token::Mul && *c.peek(2) == Token::RParen;
        let target = if all {
            c.skip(3);
            ModifyPartitionTarget::All
        } else {
            ModifyPartitionTarget::Names(c.name_or_names("a partition")?)
        };
        c.need("SET")?;
        return Ok(AlterAction::ModifyPartition { target, properties: c.property_list()? });
    }
    c.accept("COLUMN");
    let column = Box::new(table::column(c, None)?);
    let position = column_position(c)?;
    Ok(AlterAction::ModifyColumn { column, position, rollup: from_rollup(c)?, properties: c.properties()? })
}

fn rename(c: &mut Cursor) -> Result<AlterAction> {
    c.need("RENAME")?;
    if c.accept("PARTITION") {
        let (from, to) = two_names(c, "a partition")?;
        return Ok(AlterAction::RenamePartition { from, to });
    }
    if c.accept("COLUMN") {
        let (from, to) = two_names(c, "a column")?;
        return Ok(AlterAction::RenameColumn { from, to });
    }
    // A table may be renamed to `rollup`; then nothing follows.
    if c.is("ROLLUP") && c.is_name_at(1) {
        c.skip(1);
        let (from, to) = two_names(c, "a rollup")?;
        return Ok(AlterAction::RenameRollup { from, to });
    }
    c.accept_any(&["TO", "AS"]);
    c.name("a table").map(AlterAction::Rename)
}

fn two_names(c: &mut Cursor, what: &str) -> Result<(String, String)> {
    let from = c.name(what)?;
    c.accept("TO");
    Ok((from, c.name(what)?))
}

fn replace_partition(c: &mut Cursor) -> Result<AlterAction> {
    c.need("REPLACE")?;
    let partitions = c.partitions()?;
    c.need("WITH TEMPORARY")?;
    let temporary_partitions = c.partitions()?;
    if partitions.is_empty() || temporary_partitions.is_empty() {
        return Err(c.expected("PARTITION"));
    }
    Ok(AlterAction::ReplacePartition { partitions, temporary_partitions, properties: c.properties()? })
}

fn compact(c: &mut Cursor) -> Result<AlterAction> {
    let kind = if c.accept("BASE") {
        CompactKind::Base
    } else if c.accept("CUMULATIVE") {
        CompactKind::Cumulative
    } else {
        CompactKind::Any
    };
    c.need("COMPACT")?;
    let named = c.is_symbol(&Token::LParen) || c.is_name_at(0);
    let partitions = if named { c.name_or_names("a partition")? } else { Vec::new() };
    Ok(AlterAction::Compact { kind, partitions })
}

fn column_position(c: &mut Cursor) -> Result<Option<ColumnPosition>> {
    if c.accept("FIRST") {
        return Ok(Some(ColumnPosition::First));
    }
    if c.accept("AFTER") {
        return c.name("a column").map(|column| Some(ColumnPosition::After(column)));
    }
    Ok(None)
}

fn from_rollup(c: &mut Cursor) -> Result<Option<String>> {
    if c.accept("FROM") { c.name("a rollup").map(Some) } else { Ok(None) }
}
