//! What can happen in a case. Tables, partitions and snapshots are chosen by numbers, so that whatever is there can be
//! meant by any number and a case stays playable when it is shrunk; what cannot be done is passed over.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Names a table may have.
pub const NAMES: [&str; 4] = ["t0", "t1", "t2", "Tab le"];

/// Partitions a table may have: `p<slot>` takes the rows whose `g` is in a range of [`SLOT_WIDTH`] that begins at
/// `slot * SLOT_WIDTH`.
pub const SLOTS: u8 = 4;

/// Values of `g` in a partition.
pub const SLOT_WIDTH: i32 = 10;

/// Texts of `v`: nothing, nearly nothing, and what has to be quoted.
const TEXTS: [Option<&str>; 6] = [None, Some(""), Some("clay"), Some("it's"), Some("\u{12000} 𒀀"), Some("a \\ b")];

/// Operations of one case after those that every case begins with.
const OPS: std::ops::Range<usize> = 6..24;

/// A row of every table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub k: i32,
    pub g: i32,
    pub v: Option<&'static str>,
}

/// What DELETE looks for.
#[derive(Debug, Clone, Copy)]
pub enum Predicate {
    KeyBelow(i32),
    GroupFrom(i32),
    TextIs(&'static str),
    TextIsNot(&'static str),
    NoText,
    Between(i32, i32),
}

/// What of the database is backed up.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    Database,
    /// One bit a table, in the order of the names.
    Tables(u8),
    AllBut(u8),
    Partition(u8, u8),
}

/// What of a snapshot is restored, and where to.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    InPlace,
    Tables(u8),
    Partition(u8, u8),
    As(u8, u8),
    OtherDatabase,
    OtherServer,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Op {
    Create { name: u8, ranged: bool },
    Drop { table: u8, force: bool },
    Truncate { table: u8, slot: Option<u8> },
    Rename { table: u8, name: u8 },
    AddPartition { table: u8, slot: u8 },
    DropPartition { table: u8, slot: u8, force: bool },
    Insert { table: u8, rows: Vec<Row> },
    StreamLoad { table: u8, rows: Vec<Row> },
    Overwrite { table: u8, rows: Vec<Row> },
    Copy { from: u8, to: u8 },
    Delete { table: u8, slot: Option<u8>, predicate: Predicate },
    Compact { table: u8 },
    Backup(Scope),
    CancelBackup,
    Restore { snapshot: u8, target: Target, meanwhile: Meanwhile },
    Kill,
}

/// What happens while a restore runs.
#[derive(Debug, Clone, Copy)]
pub enum Meanwhile {
    Nothing,
    /// A load into a table that is not restored.
    Load,
    Kill,
}

/// All cases: two tables with rows, and then anything.
pub fn cases() -> impl Strategy<Value = Vec<Op>> {
    (rows(1..60), rows(1..60), vec(op(), OPS)).prop_map(|(first, second, ops)| {
        let mut all = vec![
            Op::Create { name: 0, ranged: true },
            Op::StreamLoad { table: 0, rows: within(first, 2) },
            Op::Create { name: 1, ranged: false },
            Op::Insert { table: 1, rows: second },
        ];
        all.extend(ops);
        all
    })
}

fn op() -> impl Strategy<Value = Op> {
    let table = any::<u8>;
    let slot = || 0..SLOTS;
    let some_slot = || proptest::option::weighted(0.4, 0..SLOTS);
    prop_oneof![
        3 => (table(), any::<bool>()).prop_map(|(name, ranged)| Op::Create { name, ranged }),
        2 => (table(), any::<bool>()).prop_map(|(table, force)| Op::Drop { table, force }),
        2 => (table(), some_slot()).prop_map(|(table, slot)| Op::Truncate { table, slot }),
        2 => (table(), table()).prop_map(|(table, name)| Op::Rename { table, name }),
        3 => (table(), slot()).prop_map(|(table, slot)| Op::AddPartition { table, slot }),
        2 => (table(), slot(), any::<bool>())
            .prop_map(|(table, slot, force)| Op::DropPartition { table, slot, force }),
        5 => (table(), rows(1..30)).prop_map(|(table, rows)| Op::Insert { table, rows }),
        5 => (table(), rows(1..120)).prop_map(|(table, rows)| Op::StreamLoad { table, rows }),
        2 => (table(), rows(1..20)).prop_map(|(table, rows)| Op::Overwrite { table, rows }),
        2 => (table(), table()).prop_map(|(from, to)| Op::Copy { from, to }),
        5 => (table(), some_slot(), predicate())
            .prop_map(|(table, slot, predicate)| Op::Delete { table, slot, predicate }),
        4 => table().prop_map(|table| Op::Compact { table }),
        8 => scope().prop_map(Op::Backup),
        1 => Just(Op::CancelBackup),
        7 => (any::<u8>(), target(), meanwhile())
            .prop_map(|(snapshot, target, meanwhile)| Op::Restore { snapshot, target, meanwhile }),
        1 => Just(Op::Kill),
    ]
}

fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    // Now and then a row of a group that few tables have a partition for.
    let groups = prop_oneof![12 => Just(2), 1 => Just(i32::from(SLOTS))];
    let row = (0..100, 0..SLOT_WIDTH * i32::from(SLOTS), select(&TEXTS[..])).prop_map(|(k, g, v)| Row { k, g, v });
    (vec(row, count), groups).prop_map(|(rows, slots)| within(rows, slots))
}

/// The rows moved into the first so many partitions.
fn within(mut rows: Vec<Row>, slots: i32) -> Vec<Row> {
    for row in &mut rows {
        row.g %= slots * SLOT_WIDTH;
    }
    rows
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let texts: Vec<&'static str> = TEXTS.iter().flatten().copied().collect();
    prop_oneof![
        (0..100).prop_map(Predicate::KeyBelow),
        (0..20).prop_map(Predicate::GroupFrom),
        select(texts.clone()).prop_map(Predicate::TextIs),
        select(texts).prop_map(Predicate::TextIsNot),
        Just(Predicate::NoText),
        (0..80, 1..40).prop_map(|(from, width)| Predicate::Between(from, from + width)),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        4 => Just(Scope::Database),
        2 => any::<u8>().prop_map(Scope::Tables),
        1 => any::<u8>().prop_map(Scope::AllBut),
        2 => (any::<u8>(), 0..SLOTS).prop_map(|(table, slot)| Scope::Partition(table, slot)),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        4 => Just(Target::InPlace),
        2 => any::<u8>().prop_map(Target::Tables),
        2 => (any::<u8>(), 0..SLOTS).prop_map(|(table, slot)| Target::Partition(table, slot)),
        2 => any::<(u8, u8)>().prop_map(|(table, name)| Target::As(table, name)),
        1 => Just(Target::OtherDatabase),
        2 => Just(Target::OtherServer),
    ]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        8 => Just(Meanwhile::Nothing),
        4 => Just(Meanwhile::Load),
        1 => Just(Meanwhile::Kill),
    ]
}

impl Row {
    /// The partition it belongs to.
    pub fn slot(&self) -> u8 {
        u8::try_from(self.g / SLOT_WIDTH).expect("groups are few")
    }
}

impl Predicate {
    /// What stands after WHERE.
    pub fn sql(self) -> String {
        match self {
            Predicate::KeyBelow(key) => format!("k < {key}"),
            Predicate::GroupFrom(group) => format!("g >= {group}"),
            Predicate::TextIs(text) => format!("v = {}", quoted(text)),
            Predicate::TextIsNot(text) => format!("v <> {}", quoted(text)),
            Predicate::NoText => "v IS NULL".to_string(),
            Predicate::Between(from, to) => format!("k >= {from} AND k < {to}"),
        }
    }

    /// Whether it is true of a row: neither false nor unknown.
    pub fn holds(self, row: &Row) -> bool {
        match self {
            Predicate::KeyBelow(key) => row.k < key,
            Predicate::GroupFrom(group) => row.g >= group,
            Predicate::TextIs(text) => row.v == Some(text),
            Predicate::TextIsNot(text) => row.v.is_some_and(|v| v != text),
            Predicate::NoText => row.v.is_none(),
            Predicate::Between(from, to) => (from..to).contains(&row.k),
        }
    }
}

/// A string literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The text of the model that reads like this.
pub fn known_text(text: &str) -> Option<&'static str> {
    TEXTS.iter().flatten().copied().find(|known| *known == text)
}
