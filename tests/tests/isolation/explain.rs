//! From a history without an order to the few operations that show it, and the name of what went wrong.
//!
//! What is wrong with one query alone is told at once. Otherwise the history is made smaller for as long as it still has
//! no order: what came later goes, then tables, queries, loads and rows that do not matter. What is left is read by people.

use std::fmt;

use crate::history::{Action, History, Lens, Op, Outcome, ROWS_MAX, told};
use crate::order::{Explained, Stuck, find};

/// What can be wrong with a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A query or snapshot shows what a refused statement, or nobody, has loaded.
    AbortedRead,
    /// It shows what was loaded only afterwards.
    FutureRead,
    /// It shows a part of what one statement has loaded.
    NonAtomicLoad,
    /// A snapshot is of no moment between the beginning of its backup and its cut.
    TornSnapshot,
    /// Tables in one query are of different moments.
    FracturedRead,
    /// A query shows what was there in the middle of a statement or job.
    IntermediateRead,
    /// A query shows what was no longer so when it was asked.
    StaleRead,
    /// What was acknowledged is never seen again.
    LostUpdate,
    /// Something else without an order.
    NoOrder,
}

/// What is wrong, and the least that shows it.
#[derive(Debug, Clone)]
pub struct Anomaly {
    pub kind: Kind,
    /// The operations, in the order of their beginnings.
    pub ops: Vec<Op>,
    pub explanation: String,
}

/// Checks a history.
pub fn check(history: &History) -> Result<Explained, Anomaly> {
    if let Some(anomaly) = by_itself(history) {
        return Err(anomaly);
    }
    find(history).map_err(|stuck| {
        let (minimal, stuck) = minimal(history, stuck);
        let kind = kind(history, &minimal, &minimal.ops[stuck.op]);
        let mut ops = minimal.ops.clone();
        ops.sort_by_key(|op| (op.begun, op.ended));
        let last = &minimal.ops[stuck.op];
        let worlds: Vec<String> = stuck.worlds.iter().take(3).map(|world| {
            told(&world.iter().map(|(table, held)| (table.clone(), held.clone())).collect::<Vec<_>>())
        }).collect();
        let explanation = format!(
            "no order explains these:\n{}\nthe one that fits nowhere is\n  {last}\nbefore it the tables hold one of\n  {}",
            listed(&ops),
            worlds.join("\n  ")
        );
        Anomaly { kind, ops, explanation }
    })
}

/// What one query or snapshot alone shows to be wrong.
fn by_itself(history: &History) -> Option<Anomaly> {
    for seer in history.ops.iter().filter(|op| op.outcome == Outcome::Done) {
        for (table, content) in seer.action.seen() {
            for (load, held) in content {
                let is_it =
                    |op: &&Op| op.action.load().is_some_and(|(into, number, _)| into == table && number == *load);
                let loaded = history.ops.iter().find(is_it);
                let anomaly = |kind, text: &str| {
                    let ops: Vec<Op> = loaded.into_iter().chain([seer]).cloned().collect();
                    let explanation = format!("{text}:\n{}", listed(&ops));
                    Some(Anomaly { kind, ops, explanation })
                };
                let Some(op) = loaded else {
                    return anomaly(Kind::AbortedRead, &format!("nobody has loaded {load} into {table}"));
                };
                let (_, _, rows) = op.action.load().expect("it was found by its load");
                if op.outcome == Outcome::Refused {
                    return anomaly(Kind::AbortedRead, &format!("load {load} was refused"));
                }
                if op.begun > seer.ended {
                    return anomaly(Kind::FutureRead, &format!("load {load} was not yet begun"));
                }
                if held & !rows != 0 {
                    return anomaly(Kind::AbortedRead, &format!("load {load} has no such rows"));
                }
                let deleted: u64 = history
                    .ops
                    .iter()
                    .filter(|other| other.outcome != Outcome::Refused && other.begun <= seer.ended)
                    .map(|other| match &other.action {
                        Action::Delete { table: from, rows, .. } if from == table && other.ended >= op.begun => *rows,
                        _ => 0,
                    })
                    .fold(0, |all, rows| all | rows);
                if rows & !held & !deleted != 0 {
                    return anomaly(
                        Kind::NonAtomicLoad,
                        &format!("rows of load {load} are missing that nobody has deleted"),
                    );
                }
            }
        }
    }
    None
}

/// The smallest history that was found to have no order either.
fn minimal(history: &History, stuck: Stuck) -> (History, Stuck) {
    let mut best = (until(history, stuck.op), stuck);
    if let Err(stuck) = find(&best.0) {
        best.1 = stuck;
    }
    let loads = |history: &History| -> Vec<u32> {
        let mut loads: Vec<u32> = history.ops.iter().filter_map(|op| Some(op.action.load()?.1)).collect();
        loads.sort_unstable();
        loads.dedup();
        loads
    };
    let whole = Lens { tables: best.0.tables(), loads: loads(&best.0), rows: (1 << ROWS_MAX) - 1, counts: true };
    without_some(&mut best, &whole.tables, |history, tables| {
        history.through(&Lens { tables: tables.to_vec(), ..whole.clone() })
    });
    let reads = places(&best.0, |op| op.action.is_read());
    without_some(&mut best, &reads, |history, kept| {
        let keep = |op: &Op| !op.action.is_read() || kept.contains(&key(op));
        History { ops: history.ops.iter().filter(|op| keep(op)).cloned().collect() }
    });
    // Counts of deleted rows are known with all loads only: when it is they that have no order, the loads stay.
    let lens = Lens { tables: best.0.tables(), counts: false, ..whole };
    if replace(&mut best, |history| history.through(&lens)) {
        without_some(&mut best, &lens.loads, |history, loads| {
            history.through(&Lens { loads: loads.to_vec(), ..lens.clone() })
        });
        let rows: Vec<u32> = (0..ROWS_MAX).collect();
        let everything = Lens { loads: loads(&best.0), ..lens };
        without_some(&mut best, &rows, |history, rows| {
            history.through(&Lens { rows: rows.iter().map(|row| 1 << row).sum(), ..everything.clone() })
        });
    }
    let refused = places(&best.0, |op| op.outcome == Outcome::Refused);
    replace(&mut best, |history| History {
        ops: history.ops.iter().filter(|op| !refused.contains(&key(op))).cloned().collect(),
    });
    best
}

/// Takes another history for the best when it has no order and is no longer.
fn replace(best: &mut (History, Stuck), change: impl Fn(&History) -> History) -> bool {
    let candidate = change(&best.0);
    match find(&candidate) {
        Ok(_) => false,
        Err(stuck) => {
            *best = (until(&candidate, stuck.op), stuck);
            // Places have changed with what was cut away.
            if let Err(stuck) = find(&best.0) {
                best.1 = stuck;
            }
            true
        }
    }
}

/// Leaves out as many of these as can be left out: first many at a time, in the end one by one.
fn without_some<T: Clone + PartialEq>(
    best: &mut (History, Stuck),
    all: &[T],
    with_only: impl Fn(&History, &[T]) -> History,
) {
    let mut kept = all.to_vec();
    let mut size = kept.len().max(1);
    loop {
        let mut start = 0;
        while start < kept.len() {
            let end = (start + size).min(kept.len());
            let rest: Vec<T> = kept[..start].iter().chain(&kept[end..]).cloned().collect();
            if replace(best, |history| with_only(history, &rest)) {
                kept = rest;
            } else {
                start = end;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2);
    }
}

/// The history until an operation ends. What had begun by then and not ended has perhaps happened.
fn until(history: &History, last: usize) -> History {
    let end = history.ops[last].ended;
    let ops = history.ops.iter().filter(|op| op.begun <= end).filter_map(|op| match op.outcome {
        Outcome::Done if op.ended > end && op.action.is_read() => None,
        Outcome::Done if op.ended > end => Some(Op { outcome: Outcome::Unknown, ..op.clone() }),
        _ => Some(op.clone()),
    });
    History { ops: ops.collect() }
}

fn key(op: &Op) -> (u32, u64) {
    (op.process, op.begun)
}

fn places(history: &History, wanted: impl Fn(&Op) -> bool) -> Vec<(u32, u64)> {
    history.ops.iter().filter(|op| wanted(op)).map(key).collect()
}

/// The name of what the smallest history shows.
fn kind(whole: &History, minimal: &History, last: &Op) -> Kind {
    let reads: Vec<&Op> = minimal.ops.iter().filter(|op| op.action.is_read()).collect();
    if reads.iter().any(|op| matches!(op.action, Action::Snapshot { .. })) {
        return Kind::TornSnapshot;
    }
    // A table that was seen twice in one query, and not as the same, counts as two.
    let is_of_two = |op: &&Op| op.action.seen().windows(2).any(|pair| pair[0] != pair[1]);
    if reads.iter().any(is_of_two) {
        return Kind::FracturedRead;
    }
    let replaces =
        |op: &&Op| matches!(op.action, Action::Overwrite { .. } | Action::Truncate { .. } | Action::Restore { .. });
    let seer = reads.iter().max_by_key(|op| op.begun).copied().unwrap_or(last);
    if minimal.ops.iter().filter(replaces).any(|op| op.begun < seer.ended && seer.begun < op.ended) {
        return Kind::IntermediateRead;
    }
    for op in minimal.ops.iter().filter(|op| op.is_before(seer)) {
        let Some((table, load, _)) = op.action.load() else { continue };
        let shows =
            |other: &Op| other.action.seen().iter().any(|(name, content)| name == table && content.contains_key(&load));
        if !shows(seer) {
            let seen_later = whole.ops.iter().any(|other| op.is_before(other) && shows(other));
            return if seen_later { Kind::StaleRead } else { Kind::LostUpdate };
        }
    }
    let changes_before = |op: &&Op| !op.action.is_read() && op.is_before(seer);
    if minimal.ops.iter().any(|op| changes_before(&op)) { Kind::StaleRead } else { Kind::NoOrder }
}

fn listed(ops: &[Op]) -> String {
    ops.iter().map(|op| format!("  {op}")).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::AbortedRead => "aborted read",
            Kind::FutureRead => "read of the future",
            Kind::NonAtomicLoad => "load that is not atomic",
            Kind::TornSnapshot => "torn snapshot",
            Kind::FracturedRead => "fractured read",
            Kind::IntermediateRead => "intermediate read",
            Kind::StaleRead => "stale read",
            Kind::LostUpdate => "lost update",
            Kind::NoOrder => "no order",
        };
        write!(f, "{name}: {}", self.explanation)
    }
}
