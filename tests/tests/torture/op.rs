//! What a client does to its database: chosen by random numbers among what the model says can be done.

use rand::Rng;
use rand::rngs::StdRng;

use crate::state::{ROWS_MAX, SLOTS, Table, Tables, Which, checksum, first_rows, rows_of, slot_mask, text, text_sql};

/// Tables a database may have. The first letter says whether they have partitions, so that every snapshot of one can be
/// restored over the other.
const NAMES: [&str; 5] = ["r0", "r1", "r2", "u0", "u1"];

/// Loads that a table may hold before it is rather emptied than filled: bounds the time of a look.
const LOADS_MAX: usize = 40;

/// A statement, or a Stream Load, that leads from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Create(String),
    Drop {
        table: String,
        force: bool,
    },
    Rename {
        from: String,
        to: String,
    },
    Truncate {
        table: String,
        slot: Option<u8>,
    },
    AddPartition {
        table: String,
        slot: u8,
    },
    DropPartition {
        table: String,
        slot: u8,
        force: bool,
    },
    StreamLoad {
        table: String,
        load: u32,
        mask: u64,
    },
    Insert {
        table: String,
        load: u32,
        mask: u64,
    },
    Overwrite {
        table: String,
        load: u32,
        mask: u64,
    },
    /// INSERT … SELECT of one load from another table, or the same.
    Copy {
        from: String,
        source: u32,
        to: String,
        load: u32,
    },
    Delete {
        table: String,
        which: Which,
    },
    Compact {
        table: String,
    },
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Op(Op),
    /// Begins a backup of the whole database and does not wait for it.
    Backup(Ttl),
    /// Gives up the backup that runs.
    CancelBackup,
    /// Waits until the backup that runs has ended.
    AwaitBackup,
    /// Restores a snapshot, meant by any number, over what is there.
    Restore(usize),
    /// Restores one table of a snapshot under another name.
    RestoreAs(usize),
    /// Restores a snapshot into an empty database, and compares.
    RestoreCopy(usize),
    /// Has a snapshot verified, and waits for it.
    Verify(usize),
    /// Drops a snapshot.
    DropSnapshot(usize),
}

/// How long a snapshot is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// For ever, as nothing else is said.
    Ever,
    /// Longer than any run.
    Week,
    /// So short that it is gone at the next rest.
    Seconds,
}

impl Ttl {
    /// What BACKUP is told.
    pub fn properties(self) -> &'static str {
        match self {
            Ttl::Ever => "",
            Ttl::Week => " PROPERTIES (\"ttl\" = \"1 WEEK\")",
            Ttl::Seconds => " PROPERTIES (\"ttl\" = \"2 SECOND\")",
        }
    }
}

/// Whether tables of this name have partitions.
pub fn is_ranged(name: &str) -> bool {
    name.starts_with('r')
}

/// Names that a table of the same kind may have.
pub fn names_like(name: &str) -> impl Iterator<Item = &'static str> + use<> {
    let ranged = is_ranged(name);
    NAMES.into_iter().filter(move |other| is_ranged(other) == ranged)
}

impl Step {
    /// The next step. `load` is the number of the next load.
    pub fn choose(random: &mut StdRng, tables: &Tables, load: u32, backup_runs: bool) -> Step {
        let number = random.random::<u32>() as usize;
        match random.random_range(0..100) {
            0..9 if !backup_runs && !tables.is_empty() => Step::Backup(match number % 5 {
                0 => Ttl::Seconds,
                1 => Ttl::Week,
                _ => Ttl::Ever,
            }),
            0..2 => Step::CancelBackup,
            2..9 => Step::AwaitBackup,
            9..13 => Step::Restore(number),
            13..16 => Step::RestoreAs(number),
            16..19 => Step::RestoreCopy(number),
            19..21 => Step::Verify(number),
            21..23 => Step::DropSnapshot(number),
            _ => Step::Op(Op::choose(random, tables, load)),
        }
    }
}

impl Op {
    fn choose(random: &mut StdRng, tables: &Tables, load: u32) -> Op {
        let free: Vec<&str> = NAMES.into_iter().filter(|name| !tables.contains_key(*name)).collect();
        let names: Vec<&String> = tables.keys().collect();
        if names.len() < 2 {
            return Op::Create(free[random.random_range(0..free.len())].to_owned());
        }
        let table = names[random.random_range(0..names.len())].clone();
        let held = &tables[&table];
        let mask = held.taken(first_rows(random.random_range(1..=ROWS_MAX)));
        let slot = random.random_range(0..SLOTS);
        let has_slot = held.slots.as_ref().is_some_and(|slots| slots.contains(&slot));
        let force = random.random();
        match random.random_range(0..100) {
            _ if held.loads.len() > LOADS_MAX => Op::Truncate { table, slot: None },
            0..28 if mask != 0 => Op::StreamLoad { table, load, mask },
            28..44 if mask != 0 => Op::Insert { table, load, mask },
            44..49 if mask != 0 => Op::Overwrite { table, load, mask },
            49..54 => match held.loads.keys().next_back() {
                Some(source) => {
                    let to = names[random.random_range(0..names.len())].clone();
                    // A row without a partition fails the statement; that is not what is looked at here.
                    let mask = held.loads[source];
                    let fits = tables[&to].taken(mask) == mask;
                    Op::Copy { from: table.clone(), source: *source, to: if fits { to } else { table }, load }
                }
                None => Op::Compact { table },
            },
            54..68 => {
                let loads: Vec<u32> = held.loads.keys().copied().collect();
                let which = match random.random_range(0..3) {
                    0 if !loads.is_empty() => Which::Load(loads[random.random_range(0..loads.len())]),
                    1 => Which::Slot(slot),
                    _ => Which::Fifth(random.random_range(0..5)),
                };
                Op::Delete { table, which }
            }
            68..78 => Op::Compact { table },
            78..81 => Op::Truncate { table, slot: has_slot.then_some(slot) },
            81..86 if is_ranged(&table) && !has_slot => Op::AddPartition { table, slot },
            81..86 if has_slot && held.slots.as_ref().is_some_and(|slots| slots.len() > 1) => {
                Op::DropPartition { table, slot, force }
            }
            86..91 if !free.is_empty() => Op::Create(free[random.random_range(0..free.len())].to_owned()),
            91..95 => match names_like(&table).find(|name| !tables.contains_key(*name)) {
                Some(to) => Op::Rename { from: table, to: to.to_owned() },
                None => Op::Compact { table },
            },
            95..99 => Op::Drop { table, force },
            _ => Op::Compact { table },
        }
    }

    /// What it leads to.
    pub fn apply(&self, tables: &Tables) -> Tables {
        let mut after = tables.clone();
        let mut change = |name: &String, change: &dyn Fn(&mut Table)| {
            if let Some(table) = after.get_mut(name) {
                change(table);
            }
        };
        match self {
            Op::Create(name) => drop(after.insert(name.clone(), Table::new(is_ranged(name)))),
            Op::Drop { table, .. } => drop(after.remove(table)),
            Op::Rename { from, to } => {
                if let Some(table) = after.remove(from) {
                    after.insert(to.clone(), table);
                }
            }
            Op::Truncate { table, slot } => {
                change(table, &|table| table.remove(|_| slot.map_or(u64::MAX, slot_mask)));
            }
            Op::AddPartition { table, slot } => change(table, &|table| {
                table.slots.as_mut().map(|slots| slots.insert(*slot));
            }),
            Op::DropPartition { table, slot, .. } => change(table, &|table| {
                table.slots.as_mut().map(|slots| slots.remove(slot));
                table.remove(|_| slot_mask(*slot));
            }),
            Op::StreamLoad { table, load, mask } | Op::Insert { table, load, mask } => {
                change(table, &|table| table.add(*load, *mask));
            }
            Op::Overwrite { table, load, mask } => change(table, &|table| {
                table.loads.clear();
                table.add(*load, *mask);
            }),
            Op::Copy { from, source, to, load } => {
                let mask = tables.get(from).and_then(|table| table.loads.get(source)).copied().unwrap_or(0);
                change(to, &|table| table.add(*load, mask));
            }
            Op::Delete { table, which } => change(table, &|table| table.remove(|load| which.of(load))),
            Op::Compact { .. } => {}
        }
        after
    }

    /// The label it is loaded under.
    pub fn label(&self) -> Option<String> {
        match self {
            Op::StreamLoad { load, .. }
            | Op::Insert { load, .. }
            | Op::Overwrite { load, .. }
            | Op::Copy { load, .. } => Some(format!("load_{load}")),
            _ => None,
        }
    }

    /// The statement; nothing for a Stream Load.
    pub fn sql(&self, db: &str) -> Option<String> {
        let label = self.label().unwrap_or_default();
        let forced = |force: &bool| if *force { " FORCE" } else { "" };
        Some(match self {
            Op::Create(name) => create(db, name),
            Op::Drop { table, force } => format!("DROP TABLE {db}.{table}{}", forced(force)),
            Op::Rename { from, to } => format!("ALTER TABLE {db}.{from} RENAME {to}"),
            Op::Truncate { table, slot } => {
                let only = slot.map_or(String::new(), |slot| format!(" PARTITION (p{slot})"));
                format!("TRUNCATE TABLE {db}.{table}{only}")
            }
            Op::AddPartition { table, slot } => format!("ALTER TABLE {db}.{table} ADD {}", partition(*slot)),
            Op::DropPartition { table, slot, force } => {
                format!("ALTER TABLE {db}.{table} DROP PARTITION p{slot}{}", forced(force))
            }
            Op::StreamLoad { .. } => return None,
            Op::Insert { table, load, mask } => {
                format!("INSERT INTO {db}.{table} WITH LABEL {label} VALUES {}", values(*load, *mask))
            }
            Op::Overwrite { table, load, mask } => {
                format!("INSERT OVERWRITE {db}.{table} WITH LABEL {label} VALUES {}", values(*load, *mask))
            }
            Op::Copy { from, source, to, load } => format!(
                "INSERT INTO {db}.{to} WITH LABEL {label} SELECT {load} * 64 + r, g, {load}, r, b, \
                 {load} * 1000003 + r * 7919, IF(v = {}, {}, v) FROM {db}.{from} WHERE l = {source}",
                text_sql("l"),
                text_sql(&load.to_string()),
            ),
            Op::Delete { table, which } => {
                let condition = match which {
                    Which::Load(load) => format!("l = {load}"),
                    Which::Fifth(first) => format!("r % 5 = {first}"),
                    Which::Slot(slot) => format!("g = {slot}"),
                };
                format!("DELETE FROM {db}.{table} WHERE {condition}")
            }
            Op::Compact { table } => format!("ALTER TABLE {db}.{table} COMPACT"),
        })
    }

    /// The table and the body of a Stream Load.
    pub fn body(&self) -> Option<(&str, String)> {
        match self {
            Op::StreamLoad { table, load, mask } => {
                let line = |row| cells(*load, row, "").join(",") + "\n";
                Some((table, rows_of(*mask).map(line).collect()))
            }
            _ => None,
        }
    }
}

fn create(db: &str, name: &str) -> String {
    let partitions: Vec<String> = (0..SLOTS - 1).map(partition).collect();
    let by =
        if is_ranged(name) { format!(" PARTITION BY RANGE (g) ({})", partitions.join(", ")) } else { String::new() };
    format!(
        "CREATE TABLE {db}.{name} (k BIGINT NOT NULL, g INT NOT NULL, l INT NOT NULL, r INT NOT NULL, b BIGINT NOT NULL, \
         s BIGINT NOT NULL, v VARCHAR(100)) DUPLICATE KEY (k){by} DISTRIBUTED BY HASH(k) BUCKETS 2"
    )
}

fn partition(slot: u8) -> String {
    format!("PARTITION p{slot} VALUES [(\"{slot}\"), (\"{}\"))", slot + 1)
}

fn values(load: u32, mask: u64) -> String {
    let rows: Vec<String> = rows_of(mask).map(|row| format!("({})", cells(load, row, "'").join(", "))).collect();
    rows.join(", ")
}

/// The cells of a row: its key, its partition, its two numbers, its bit, its checksum, its text.
fn cells(load: u32, row: u32, quote: &str) -> [String; 7] {
    [
        (load * 64 + row).to_string(),
        (row % u32::from(SLOTS)).to_string(),
        load.to_string(),
        row.to_string(),
        (1_u64 << row).to_string(),
        checksum(load, row).to_string(),
        format!("{quote}{}{quote}", text(load, row)),
    ]
}
