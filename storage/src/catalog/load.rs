//! Loads and their labels: a label is loaded at most once, across restarts.

use std::fmt;
use std::str::FromStr;

use rusqlite::{OptionalExtension, Row};

use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::{DatabaseId, TransactionId};

/// What a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadKind {
    /// INSERT INTO.
    Insert,
    /// INSERT OVERWRITE.
    Overwrite,
    /// DELETE.
    Delete,
    /// Stream Load.
    StreamLoad,
}

/// How far a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadState {
    /// Rows are being written; nothing is visible.
    Prepare,
    /// Published.
    Visible,
    /// Failed or given up; its label is free again.
    Aborted,
}

/// One load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRow {
    /// Its transaction id.
    pub id: TransactionId,
    /// The database its label belongs to.
    pub database_id: DatabaseId,
    /// The table it writes.
    pub table_name: String,
    /// Its label.
    pub label: String,
    /// What it is.
    pub kind: LoadKind,
    /// How far it has come.
    pub state: LoadState,
    /// Rows that were loaded or deleted; good rows of one that was aborted.
    pub rows: u64,
    /// Rows that were left out as bad.
    pub filtered_rows: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Why it was aborted; empty otherwise.
    pub reason: String,
    /// When it began.
    pub created_at_ms: i64,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
}

impl LoadRow {
    /// Rows that a query can see: none of a load that was aborted.
    #[must_use]
    pub fn visible_rows(&self) -> u64 {
        if self.state == LoadState::Visible { self.rows } else { 0 }
    }
}

/// How a load failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLoad {
    /// Its transaction id.
    pub id: TransactionId,
    /// Why.
    pub reason: String,
    /// Good rows it had seen, so far as they were counted.
    pub rows: u64,
    /// Bad rows it had seen.
    pub filtered_rows: u64,
}

impl FailedLoad {
    /// A load that ended before its rows were counted.
    pub fn uncounted(id: TransactionId, reason: impl Into<String>) -> FailedLoad {
        FailedLoad { id, reason: reason.into(), rows: 0, filtered_rows: 0 }
    }
}

macro_rules! text_enum {
    ($type:ident, $($variant:ident = $text:literal),*) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$variant => $text),* })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok($type::$variant),)*
                    _ => Err(Error::Internal(format!(concat!("'{}' is no ", stringify!($type)), text))),
                }
            }
        }
    };
}
pub(super) use text_enum;

text_enum!(LoadKind, Insert = "INSERT", Overwrite = "OVERWRITE", Delete = "DELETE", StreamLoad = "STREAM LOAD");
text_enum!(LoadState, Prepare = "PREPARE", Visible = "VISIBLE", Aborted = "ABORTED");

const COLUMNS: &str = "id, database_id, table_name, label, kind, state, rows, filtered_rows, bytes, reason, \
                       created_at_ms, finished_at_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<LoadRow>> {
    let kind = row.get_ref(4)?.as_str()?.parse();
    let state = row.get_ref(5)?.as_str()?.parse();
    let (kind, state) = match (kind, state) {
        (Ok(kind), Ok(state)) => (kind, state),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
    };
    let number = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(Ok(LoadRow {
        id: row.get(0)?,
        database_id: row.get(1)?,
        table_name: row.get(2)?,
        label: row.get(3)?,
        kind,
        state,
        rows: number(6)?,
        filtered_rows: number(7)?,
        bytes: number(8)?,
        reason: row.get(9)?,
        created_at_ms: row.get(10)?,
        finished_at_ms: row.get(11)?,
    }))
}

impl ReadTransaction<'_> {
    /// The load that holds this label, if one does.
    pub fn load_by_label(&self, database: DatabaseId, label: &str) -> Result<Option<LoadRow>> {
        let sql = format!("SELECT {COLUMNS} FROM loads WHERE database_id = ?1 AND label = ?2 AND state <> 'ABORTED'");
        self.prepare_cached(&sql)?.query_row((database, label), from_row).optional()?.transpose()
    }

    /// Loads of a database, newest first.
    pub fn loads(&self, database: DatabaseId) -> Result<Vec<LoadRow>> {
        let sql = format!("SELECT {COLUMNS} FROM loads WHERE database_id = ?1 ORDER BY id DESC");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([database], from_row)?;
        rows.map(|row| row?).collect()
    }
}

impl WriteTransaction<'_> {
    /// Begins a load. Errors with [`Error::LabelTaken`] when the label is in use or was loaded before.
    pub fn begin_load(
        &self,
        database: DatabaseId,
        table_name: &str,
        label: Option<&str>,
        kind: LoadKind,
    ) -> Result<LoadRow> {
        let id = TransactionId(self.next_id()?);
        let label = match label {
            Some(label) => label.to_owned(),
            None => format!("{}_{id}", kind.to_string().to_lowercase().replace(' ', "_")),
        };
        if let Some(other) = self.load_by_label(database, &label)? {
            return Err(Error::LabelTaken {
                label,
                transaction: other.id.0,
                running: other.state == LoadState::Prepare,
            });
        }
        self.prepare_cached(
            "INSERT INTO loads (id, database_id, table_name, label, kind, state, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 'PREPARE', ?6)",
        )?
        .execute((id, database, table_name, &label, kind.to_string(), self.now_ms()))?;
        Ok(LoadRow {
            id,
            database_id: database,
            table_name: table_name.to_owned(),
            label,
            kind,
            state: LoadState::Prepare,
            rows: 0,
            filtered_rows: 0,
            bytes: 0,
            reason: String::new(),
            created_at_ms: self.now_ms(),
            finished_at_ms: None,
        })
    }

    /// Marks a load as published. Errors when it is not running: it was aborted meanwhile.
    pub fn finish_load(&self, id: TransactionId, rows: u64, filtered_rows: u64, bytes: u64) -> Result<()> {
        let changed = self
            .prepare_cached(
                "UPDATE loads SET state = 'VISIBLE', rows = ?2, filtered_rows = ?3, bytes = ?4, finished_at_ms = ?5
                 WHERE id = ?1 AND state = 'PREPARE'",
            )?
            .execute((id, rows as i64, filtered_rows as i64, bytes as i64, self.now_ms()))?;
        if changed == 0 {
            return Err(Error::Conflict(format!("transaction {id} is not running any more: load again")));
        }
        Ok(())
    }

    /// Marks a running load as aborted, which frees its label.
    pub fn abort_load(&self, failed: &FailedLoad) -> Result<()> {
        self.prepare_cached(
            "UPDATE loads SET state = 'ABORTED', reason = ?2, rows = ?3, filtered_rows = ?4, finished_at_ms = ?5
             WHERE id = ?1 AND state = 'PREPARE'",
        )?
        .execute((
            failed.id,
            &failed.reason,
            failed.rows as i64,
            failed.filtered_rows as i64,
            self.now_ms(),
        ))?;
        Ok(())
    }

    /// Aborts every load that was running when the last process ended. Returns how many.
    pub fn abort_orphaned_loads(&self) -> Result<usize> {
        let changed = self.execute(
            "UPDATE loads SET state = 'ABORTED', reason = 'the server stopped', finished_at_ms = ?1
             WHERE state = 'PREPARE'",
            [self.now_ms()],
        )?;
        Ok(changed)
    }

    /// Forgets loads that ended at or before `before_ms`, with their labels.
    pub fn forget_loads(&self, before_ms: i64) -> Result<usize> {
        Ok(self.execute("DELETE FROM loads WHERE finished_at_ms <= ?1", [before_ms])?)
    }
}
