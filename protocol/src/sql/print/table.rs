//! CREATE, ALTER, DROP, TRUNCATE of tables and views.

use std::fmt::{self, Display, Formatter};

use super::{bare_names, double_quoted, ident, list, names, tree, when, write_comment, write_properties};
use crate::sql::ast::alter::{
    AlterAction, AlterTable, ColumnPosition, CompactKind, DropPartitionTarget, ModifyPartitionTarget,
};
use crate::sql::ast::name::Properties;
use crate::sql::ast::partition::PartitionDef;
use crate::sql::ast::table::{
    Aggregation, ColumnDef, CreateTable, CreateTableAs, CreateTableLike, CreateView, DefaultValue, DropTable, DropView,
    IndexDef, Keys, RollupDef, TableModel, TableOptions, TruncateTable, ViewColumn,
};

impl Display for CreateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CREATE {}{}TABLE {}{} ({}",
            when(self.temporary, "TEMPORARY "),
            when(self.external, "EXTERNAL "),
            when(self.if_not_exists, "IF NOT EXISTS "),
            self.table,
            list(&self.columns)
        )?;
        for index in &self.options.indexes {
            write!(f, ", INDEX {index}")?;
        }
        f.write_str(")")?;
        write_options(f, &self.options)
    }
}

impl Display for CreateTableLike {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (temporary, exists) = (when(self.temporary, "TEMPORARY "), when(self.if_not_exists, "IF NOT EXISTS "));
        write!(f, "CREATE {temporary}TABLE {exists}{} LIKE {}", self.table, self.source)?;
        write_properties(f, &self.properties)
    }
}

impl Display for CreateTableAs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (temporary, exists) = (when(self.temporary, "TEMPORARY "), when(self.if_not_exists, "IF NOT EXISTS "));
        write!(f, "CREATE {temporary}TABLE {exists}{}", self.table)?;
        if !self.columns.is_empty() {
            write!(f, " {}", names(&self.columns))?;
        }
        write_options(f, &self.options)?;
        write!(f, " AS {}", tree(self.query.as_ref()))
    }
}

/// Everything after the column list, each with a space before it. Indexes stand in the column list.
fn write_options(f: &mut Formatter<'_>, options: &TableOptions) -> fmt::Result {
    if let Some(engine) = &options.engine {
        write!(f, " ENGINE = {}", ident(engine))?;
    }
    if let Some(keys) = &options.keys {
        write!(f, " {keys}")?;
    }
    write_comment(f, options.comment.as_ref())?;
    if let Some(partition_by) = &options.partition_by {
        write!(f, " PARTITION BY {partition_by}")?;
    }
    if let Some(distribution) = &options.distribution {
        write!(f, " {distribution}")?;
    }
    if !options.rollups.is_empty() {
        write!(f, " ROLLUP ({})", list(&options.rollups))?;
    }
    if !options.order_by.is_empty() {
        write!(f, " ORDER BY {}", names(&options.order_by))?;
    }
    write_properties(f, &options.properties)
}

impl Display for ColumnDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", ident(&self.name), self.data_type, when(self.is_key, " KEY"))?;
        if let Some(aggregation) = self.aggregation {
            write!(f, " {aggregation}")?;
        }
        match self.nullable {
            Some(true) => f.write_str(" NULL")?,
            Some(false) => f.write_str(" NOT NULL")?,
            None => {}
        }
        if let Some(default) = &self.default {
            write!(f, " DEFAULT {default}")?;
        }
        f.write_str(when(self.auto_increment, " AUTO_INCREMENT"))?;
        if let Some(expr) = &self.generated {
            write!(f, " AS ({})", tree(expr))?;
        }
        write_comment(f, self.comment.as_ref())
    }
}

impl Display for Aggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Replace => "REPLACE",
            Self::ReplaceIfNotNull => "REPLACE_IF_NOT_NULL",
            Self::HllUnion => "HLL_UNION",
            Self::BitmapUnion => "BITMAP_UNION",
            Self::PercentileUnion => "PERCENTILE_UNION",
        })
    }
}

impl Display for DefaultValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "{}", double_quoted(text)),
            Self::Null => f.write_str("NULL"),
            Self::CurrentTimestamp { precision: None } => f.write_str("CURRENT_TIMESTAMP"),
            Self::CurrentTimestamp { precision: Some(precision) } => write!(f, "CURRENT_TIMESTAMP({precision})"),
            Self::Function(name) => write!(f, "({}())", ident(name)),
        }
    }
}

impl Display for Keys {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} KEY{}", self.model, names(&self.columns))
    }
}

impl Display for TableModel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "DUPLICATE",
            Self::Aggregate => "AGGREGATE",
            Self::Unique => "UNIQUE",
            Self::Primary => "PRIMARY",
        })
    }
}

/// Without the word INDEX.
impl Display for IndexDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", ident(&self.name), names(&self.columns))?;
        if let Some(index_type) = &self.index_type {
            write!(f, " USING {}", ident(index_type))?;
            if !self.properties.is_empty() {
                write!(f, " {}", self.properties)?;
            }
        }
        write_comment(f, self.comment.as_ref())
    }
}

impl Display for RollupDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", ident(&self.name), names(&self.columns))?;
        if !self.duplicate_key.is_empty() {
            write!(f, " DUPLICATE KEY {}", names(&self.duplicate_key))?;
        }
        if let Some(from) = &self.from {
            write!(f, " FROM {}", ident(from))?;
        }
        write_properties(f, &self.properties)
    }
}

impl Display for DropTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (temporary, exists) = (when(self.temporary, "TEMPORARY "), when(self.if_exists, "IF EXISTS "));
        write!(f, "DROP {temporary}TABLE {exists}{}{}", self.table, when(self.force, " FORCE"))
    }
}

impl Display for TruncateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "TRUNCATE TABLE {}", self.table)?;
        if self.partitions.is_empty() { Ok(()) } else { write!(f, " PARTITION {}", names(&self.partitions)) }
    }
}

impl Display for CreateView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (replace, exists) = (when(self.or_replace, "OR REPLACE "), when(self.if_not_exists, "IF NOT EXISTS "));
        write!(f, "CREATE {replace}VIEW {exists}{}", self.view)?;
        if !self.columns.is_empty() {
            write!(f, " ({})", list(&self.columns))?;
        }
        write_comment(f, self.comment.as_ref())?;
        write!(f, " AS {}", tree(self.query.as_ref()))
    }
}

impl Display for ViewColumn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ident(&self.name))?;
        write_comment(f, self.comment.as_ref())
    }
}

impl Display for DropView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DROP VIEW {}{}", when(self.if_exists, "IF EXISTS "), self.view)
    }
}

impl Display for AlterTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER TABLE {} {}", self.table, list(&self.actions))
    }
}

impl Display for AlterAction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddPartition { temporary, partition, distribution, properties } => {
                let plural = when(matches!(partition, PartitionDef::Batch(_)), "S");
                write!(f, "ADD {}PARTITION{plural} {partition}", when(*temporary, "TEMPORARY "))?;
                if let Some(distribution) = distribution {
                    write!(f, " {distribution}")?;
                }
                write_properties(f, properties)
            }
            Self::DropPartition { temporary, if_exists, target, force } => {
                let plural = when(!matches!(target, DropPartitionTarget::Names(names) if names.len() == 1), "S");
                let (temporary, exists) = (when(*temporary, "TEMPORARY "), when(*if_exists, "IF EXISTS "));
                write!(f, "DROP {temporary}PARTITION{plural} {exists}")?;
                match target {
                    DropPartitionTarget::Names(partitions) if partitions.len() == 1 => {
                        write!(f, "{}", bare_names(partitions))?
                    }
                    DropPartitionTarget::Names(partitions) => write!(f, "{}", names(partitions))?,
                    DropPartitionTarget::Batch(batch) => write!(f, "{batch}")?,
                    DropPartitionTarget::Where(condition) => write!(f, "WHERE {}", tree(condition))?,
                }
                f.write_str(when(*force, " FORCE"))
            }
            Self::TruncatePartition(partitions) => write!(f, "TRUNCATE PARTITION {}", names(partitions)),
            Self::ModifyPartition { target, properties } => match target {
                ModifyPartitionTarget::All => write!(f, "MODIFY PARTITION (*) SET {properties}"),
                ModifyPartitionTarget::Names(partitions) => {
                    write!(f, "MODIFY PARTITION {} SET {properties}", names(partitions))
                }
            },
            Self::ReplacePartition { partitions, temporary_partitions, properties } => {
                write!(f, "REPLACE PARTITION {}", names(partitions))?;
                write!(f, " WITH TEMPORARY PARTITION {}", names(temporary_partitions))?;
                write_properties(f, properties)
            }
            Self::Rename(name) => write!(f, "RENAME {}", ident(name)),
            Self::RenamePartition { from, to } => write!(f, "RENAME PARTITION {} {}", ident(from), ident(to)),
            Self::RenameColumn { from, to } => write!(f, "RENAME COLUMN {} TO {}", ident(from), ident(to)),
            Self::RenameRollup { from, to } => write!(f, "RENAME ROLLUP {} {}", ident(from), ident(to)),
            Self::Set(properties) => write!(f, "SET {properties}"),
            Self::Comment(text) => write!(f, "COMMENT = {}", double_quoted(text)),
            Self::AddColumns { columns, position, rollup, properties } => {
                match columns.as_slice() {
                    [column] => write!(f, "ADD COLUMN {column}")?,
                    columns => write!(f, "ADD COLUMN ({})", list(columns))?,
                }
                write_position(f, position.as_ref())?;
                write_rollup(f, "TO", rollup.as_ref(), properties)
            }
            Self::DropColumn { column, rollup, properties } => {
                write!(f, "DROP COLUMN {}", ident(column))?;
                write_rollup(f, "FROM", rollup.as_ref(), properties)
            }
            Self::ModifyColumn { column, position, rollup, properties } => {
                write!(f, "MODIFY COLUMN {column}")?;
                write_position(f, position.as_ref())?;
                write_rollup(f, "FROM", rollup.as_ref(), properties)
            }
            Self::OrderColumns { columns, rollup, properties } => {
                write!(f, "ORDER BY {}", names(columns))?;
                write_rollup(f, "FROM", rollup.as_ref(), properties)
            }
            Self::AddRollup(rollups) => write!(f, "ADD ROLLUP {}", list(rollups)),
            Self::DropRollup(rollups) => write!(f, "DROP ROLLUP {}", bare_names(rollups)),
            Self::AddIndex(index) => write!(f, "ADD INDEX {index}"),
            Self::DropIndex(index) => write!(f, "DROP INDEX {}", ident(index)),
            Self::Keys { enabled } => f.write_str(if *enabled { "ENABLE KEYS" } else { "DISABLE KEYS" }),
            Self::SwapWith(table) => write!(f, "SWAP WITH {}", ident(table)),
            Self::Compact { kind, partitions } => {
                let kind = match kind {
                    CompactKind::Any => "",
                    CompactKind::Base => "BASE ",
                    CompactKind::Cumulative => "CUMULATIVE ",
                };
                write!(f, "{kind}COMPACT")?;
                if partitions.is_empty() { Ok(()) } else { write!(f, " {}", names(partitions)) }
            }
            Self::Distribution(distribution) => write!(f, "{distribution}"),
        }
    }
}

fn write_position(f: &mut Formatter<'_>, position: Option<&ColumnPosition>) -> fmt::Result {
    match position {
        Some(ColumnPosition::First) => f.write_str(" FIRST"),
        Some(ColumnPosition::After(column)) => write!(f, " AFTER {}", ident(column)),
        None => Ok(()),
    }
}

fn write_rollup(f: &mut Formatter<'_>, word: &str, rollup: Option<&String>, properties: &Properties) -> fmt::Result {
    if let Some(rollup) = rollup {
        write!(f, " {word} {}", ident(rollup))?;
    }
    write_properties(f, properties)
}
