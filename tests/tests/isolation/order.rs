//! Looks for an order: one in which every operation happens at one moment between its beginning and its end, and every
//! query and snapshot is exactly what the operations before it have left. Strict serializability of single statements is
//! that there is one.
//!
//! The history is walked in the order of its beginnings and ends. What is kept are the worlds that are possible at that
//! point: what the tables hold, and which of the operations under way have happened already. An operation that ends must
//! have happened, so each world is continued in every way in which it can have; a world in which it cannot is given up.
//! When none is left, no order explains the history. A query that fits a world has happened in it at once: that hinders
//! nothing later, so queries never multiply the worlds, they only end some.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::history::{Action, Content, History, Op, Outcome};

/// Worlds that may be possible at one moment. More than a few hundred are possible only when next to nothing is read.
const WORLDS_MAX: usize = 200_000;

/// That there is an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// The most worlds that were possible at one moment.
    pub worlds_most: usize,
}

/// That there is none.
#[derive(Debug, Clone)]
pub struct Stuck {
    /// The operation that ends and cannot have happened: its place in the history.
    pub op: usize,
    /// What the tables can have held before it.
    pub worlds: Vec<BTreeMap<String, Content>>,
}

/// What a table holds. Its fingerprint is worked out once, since worlds are compared often.
#[derive(Debug, Clone, Default)]
struct Held {
    content: Rc<Content>,
    fingerprint: u64,
}

/// One way in which things may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    tables: Vec<Held>,
    /// Operations under way that have happened, by process.
    happened: u64,
}

impl Held {
    fn new(content: Rc<Content>) -> Held {
        // Odd factors spread loads and rows over all bits; the order of loads is that of their numbers.
        let mix = |all: u64, (load, rows): (&u32, &u64)| {
            (all.rotate_left(9) ^ u64::from(*load).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rows)
                .wrapping_mul(0xff51_afd7_ed55_8ccd)
        };
        let fingerprint = content.iter().fold(0, mix);
        Held { content, fingerprint }
    }

    fn change(&mut self, change: impl FnOnce(&mut Content)) {
        change(Rc::make_mut(&mut self.content));
        *self = Held::new(std::mem::take(&mut self.content));
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.fingerprint == other.fingerprint
            && (Rc::ptr_eq(&self.content, &other.content) || self.content == other.content)
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.fingerprint.hash(hasher);
    }
}

/// The history with tables as numbers, and processes too.
struct Walk<'a> {
    ops: &'a [Op],
    tables: Vec<String>,
    slots: Vec<u32>,
    /// The operation under way of each process.
    under_way: Vec<Option<usize>>,
}

/// Finds an order, or where there is none.
pub fn find(history: &History) -> Result<Explained, Stuck> {
    let mut processes: Vec<u32> = history.ops.iter().map(|op| op.process).collect();
    processes.sort_unstable();
    processes.dedup();
    assert!(processes.len() <= 64, "{} processes are more than a mask has bits", processes.len());
    let slot = |op: &Op| processes.binary_search(&op.process).expect("every process is in the list") as u32;
    let mut walk = Walk {
        ops: &history.ops,
        tables: history.tables(),
        slots: history.ops.iter().map(slot).collect(),
        under_way: vec![None; processes.len()],
    };
    let mut worlds = HashSet::from([World { tables: vec![Held::default(); walk.tables.len()], happened: 0 }]);
    let mut most = 1;
    for (place, ends) in moments(&history.ops) {
        let slot = walk.slots[place] as usize;
        if !ends {
            assert_eq!(walk.under_way[slot], None, "a process does one thing at a time: {}", history.ops[place]);
            walk.under_way[slot] = Some(place);
            worlds = worlds.into_iter().map(|world| walk.settled(world)).collect();
            continue;
        }
        let before = worlds;
        worlds = before.iter().flat_map(|world| walk.ways(world, place)).collect();
        walk.under_way[slot] = None;
        most = most.max(worlds.len());
        assert!(worlds.len() <= WORLDS_MAX, "{} worlds are possible: too little was read", worlds.len());
        if worlds.is_empty() {
            let told = |world: &World| {
                walk.tables.iter().cloned().zip(world.tables.iter().map(|held| Content::clone(&held.content))).collect()
            };
            let mut worlds: Vec<BTreeMap<String, Content>> = before.iter().map(told).collect();
            worlds.sort();
            worlds.dedup();
            return Err(Stuck { op: place, worlds });
        }
    }
    Ok(Explained { worlds_most: most })
}

/// Beginnings and ends in their order. What begins when another ends overlaps it. What was refused has not happened, and
/// what nobody knows has no end.
fn moments(ops: &[Op]) -> Vec<(usize, bool)> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (place, op) in ops.iter().enumerate().filter(|(_, op)| op.outcome != Outcome::Refused) {
        moments.push((op.begun, false, place));
        if op.outcome == Outcome::Done {
            moments.push((op.ended, true, place));
        }
    }
    moments.sort_unstable();
    moments.into_iter().map(|(_, ends, place)| (place, ends)).collect()
}

impl Walk<'_> {
    /// Every world that comes of this one once an operation has happened, with no more of the others than it takes.
    fn ways(&self, world: &World, ending: usize) -> Vec<World> {
        let bit = 1_u64 << self.slots[ending];
        let mut found = Vec::new();
        let mut known = HashSet::from([world.clone()]);
        let mut open = vec![world.clone()];
        while let Some(world) = open.pop() {
            if world.happened & bit != 0 {
                found.push(World { happened: world.happened & !bit, ..world });
                continue;
            }
            for place in self.under_way.iter().flatten() {
                if let Some(next) = self.after(&world, *place).filter(|next| known.insert(next.clone())) {
                    open.push(next);
                }
            }
        }
        found
    }

    /// The world after an operation under way that changes something; `None` when it has happened or cannot now.
    fn after(&self, world: &World, place: usize) -> Option<World> {
        let bit = 1_u64 << self.slots[place];
        let action = &self.ops[place].action;
        if world.happened & bit != 0 || action.is_read() {
            return None;
        }
        let mut next = World { tables: world.tables.clone(), happened: world.happened | bit };
        match action {
            Action::Load { table, load, rows } => {
                next.tables[self.number(table)].change(|held| *held.entry(*load).or_default() |= rows);
            }
            Action::Delete { table, rows, taken } => {
                let held = &mut next.tables[self.number(table)];
                let count: u64 = held.content.values().map(|held| u64::from((held & rows).count_ones())).sum();
                if taken.is_some_and(|taken| taken != count) {
                    return None;
                }
                held.change(|held| {
                    held.retain(|_, held| {
                        *held &= !rows;
                        *held != 0
                    });
                });
            }
            Action::Overwrite { table, load, rows } => {
                let only = if *rows == 0 { Content::new() } else { Content::from([(*load, *rows)]) };
                next.tables[self.number(table)] = Held::new(Rc::new(only));
            }
            Action::Truncate { table } => next.tables[self.number(table)] = Held::default(),
            Action::Restore { tables, .. } => {
                for (table, content) in tables {
                    next.tables[self.number(table)] = Held::new(Rc::new(content.clone()));
                }
            }
            Action::Read { .. } | Action::Snapshot { .. } => return None,
        }
        Some(self.settled(next))
    }

    /// The same world, in which every query under way that fits it has happened.
    fn settled(&self, mut world: World) -> World {
        for place in self.under_way.iter().flatten() {
            let action = &self.ops[*place].action;
            let fits = |(table, content): &(String, Content)| *world.tables[self.number(table)].content == *content;
            if action.is_read() && action.seen().iter().all(fits) {
                world.happened |= 1 << self.slots[*place];
            }
        }
        world
    }

    fn number(&self, table: &str) -> usize {
        self.tables.binary_search_by(|name| name.as_str().cmp(table)).expect("every table is in the list")
    }
}
