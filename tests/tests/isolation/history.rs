//! A history: what was asked and seen, by whom, from when to when.
//!
//! A table holds loads; a load is a number and a mask of rows, one bit a row. Row 0 of a load is never deleted alone, so a
//! load is there or not, and each DELETE takes the same rows from every load that is there at its moment: a load that still
//! has them is younger than the DELETE, one that lacks them is older. So what a query sees tells which statements came
//! before it, and in which order, wherever they could be told apart at all.

use std::collections::BTreeMap;
use std::fmt;

/// Rows of a load, at most.
pub const ROWS_MAX: u32 = 8;

/// The loads that a table holds: the rows of each. None without rows.
pub type Content = BTreeMap<u32, u64>;

/// Tables by name, with what each holds.
pub type Seen = Vec<(String, Content)>;

/// What a statement, or a job, does or sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// INSERT or Stream Load.
    Load { table: String, load: u32, rows: u64 },
    /// DELETE of these rows of every load; `taken` is how many it said they were.
    Delete { table: String, rows: u64, taken: Option<u64> },
    /// INSERT OVERWRITE: nothing but this load.
    Overwrite { table: String, load: u32, rows: u64 },
    /// TRUNCATE TABLE.
    Truncate { table: String },
    /// RESTORE over what is there: each of these tables as it was in the snapshot.
    Restore { label: String, tables: Seen },
    /// One query. A table that it reads twice is there twice.
    Read { seen: Seen },
    /// BACKUP, and what its snapshot was found to hold when it was restored elsewhere.
    Snapshot { label: String, seen: Seen },
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged, or answered.
    Done,
    /// It was refused: it must have done nothing.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One operation of a process. A process has one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    pub process: u32,
    pub action: Action,
    pub outcome: Outcome,
    /// When it was said, in microseconds.
    pub begun: u64,
    /// When its answer was there. Later than anything for what nobody knows.
    pub ended: u64,
}

/// Operations in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub ops: Vec<Op>,
}

impl Action {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Action::Read { .. } | Action::Snapshot { .. })
    }

    /// What it has seen; nothing for what changes something.
    pub fn seen(&self) -> &[(String, Content)] {
        match self {
            Action::Read { seen } | Action::Snapshot { seen, .. } => seen,
            _ => &[],
        }
    }

    /// The tables it is about.
    pub fn tables(&self) -> Vec<&str> {
        match self {
            Action::Load { table, .. }
            | Action::Delete { table, .. }
            | Action::Overwrite { table, .. }
            | Action::Truncate { table } => vec![table],
            Action::Restore { tables: seen, .. } | Action::Read { seen } | Action::Snapshot { seen, .. } => {
                seen.iter().map(|(table, _)| table.as_str()).collect()
            }
        }
    }

    /// The load it brings.
    pub fn load(&self) -> Option<(&str, u32, u64)> {
        match self {
            Action::Load { table, load, rows } | Action::Overwrite { table, load, rows } => Some((table, *load, *rows)),
            _ => None,
        }
    }
}

impl Op {
    /// Whether it was over before the other began.
    pub fn is_before(&self, other: &Op) -> bool {
        self.outcome == Outcome::Done && self.ended < other.begun
    }
}

impl History {
    /// The names of the tables.
    pub fn tables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ops.iter().flat_map(|op| op.action.tables()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The same history, seen by somebody who knows less. If there is an order that explains the whole, it explains this
    /// as well, so what cannot be explained here cannot be explained at all.
    pub fn through(&self, lens: &Lens) -> History {
        let content = |content: &Content| -> Content {
            let kept = content.iter().map(|(load, rows)| (*load, rows & lens.rows_of(*load)));
            kept.filter(|(_, rows)| *rows != 0).collect()
        };
        let seen = |seen: &Seen| -> Seen {
            let kept = seen.iter().filter(|(table, _)| lens.knows(table));
            kept.map(|(table, held)| (table.clone(), content(held))).collect()
        };
        let ops = self.ops.iter().filter_map(|op| {
            let mut action = op.action.clone();
            let is_known = match &mut action {
                Action::Load { table, load, rows } => {
                    *rows &= lens.rows_of(*load);
                    lens.knows(table) && *rows != 0
                }
                Action::Overwrite { table, load, rows } => {
                    *rows &= lens.rows_of(*load);
                    lens.knows(table)
                }
                Action::Delete { table, rows, taken } => {
                    *rows &= lens.rows;
                    *taken = taken.filter(|_| lens.counts);
                    lens.knows(table) && *rows != 0
                }
                Action::Truncate { table } => lens.knows(table),
                Action::Restore { tables: held, .. }
                | Action::Read { seen: held }
                | Action::Snapshot { seen: held, .. } => {
                    *held = seen(held);
                    !held.is_empty()
                }
            };
            is_known.then(|| Op { action, ..op.clone() })
        });
        History { ops: ops.collect() }
    }
}

/// What somebody knows of who looks at a history.
#[derive(Debug, Clone)]
pub struct Lens {
    pub tables: Vec<String>,
    pub loads: Vec<u32>,
    /// Rows of each load.
    pub rows: u64,
    /// How many rows each DELETE has taken: to be known only with every load and row.
    pub counts: bool,
}

impl Lens {
    fn knows(&self, table: &str) -> bool {
        self.tables.iter().any(|name| name == table)
    }

    fn rows_of(&self, load: u32) -> u64 {
        if self.loads.contains(&load) { self.rows } else { 0 }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
        let ended = if self.outcome == Outcome::Unknown { "?".to_owned() } else { millis(self.ended) };
        write!(f, "p{:<3} {:>10} – {:>10} ms  ", self.process, millis(self.begun), ended)?;
        match &self.action {
            Action::Load { table, load, rows } => write!(f, "load {load} into {table}, rows {rows:#04x}")?,
            Action::Delete { table, rows, taken } => {
                write!(f, "delete rows {rows:#04x} of every load in {table}")?;
                if let Some(taken) = taken {
                    write!(f, ": {taken} taken")?;
                }
            }
            Action::Overwrite { table, load, rows } => {
                write!(f, "overwrite {table} with load {load}, rows {rows:#04x}")?
            }
            Action::Truncate { table } => write!(f, "truncate {table}")?,
            Action::Restore { label, tables } => write!(f, "restore {label}: {}", told(tables))?,
            Action::Read { seen } => write!(f, "query sees {}", told(seen))?,
            Action::Snapshot { label, seen } => write!(f, "snapshot {label} holds {}", told(seen))?,
        }
        match self.outcome {
            Outcome::Done => Ok(()),
            Outcome::Refused => write!(f, " (refused)"),
            Outcome::Unknown => write!(f, " (nobody knows whether)"),
        }
    }
}

/// What tables hold, for people.
pub fn told(seen: &[(String, Content)]) -> String {
    let tables = seen.iter().map(|(table, content)| {
        let loads: Vec<String> = content.iter().map(|(load, rows)| format!("{load}:{rows:#04x}")).collect();
        format!("{table} {{{}}}", loads.join(" "))
    });
    tables.collect::<Vec<_>>().join(", ")
}
