//! What a disk may hold when the power goes.
//!
//! The recorded operations are played onto a model of a directory. For each file it knows which bytes were synced and which
//! writes came after; for each name, whether the directory was synced since it was given or taken. A loss of power keeps
//! what was synced and decides about the rest by lot:
//!
//! - **Data.** Each write that was not synced is there, is not, or is torn: any of its sectors, of 512 bytes or 4 KiB, may
//!   be missing. What is missing holds what was there before, or zeros. The file is as long as what arrived, or already
//!   as long as it was to be. A cut of a file reaches the disk before what was written beyond the cut afterwards: the new
//!   blocks are given out after the old ones are taken. (A file system that journals sizes keeps this order.)
//! - **Names**, in one of two ways:
//!   - [`Order::Journal`]: names reach the disk in the order in which they were given, and syncing any file or directory
//!     takes along all that came before. So do ext4 and XFS, whose journals have one order.
//!   - [`Order::Letter`]: only what POSIX says. A directory's sync makes the names in it durable and nothing else; a
//!     file's sync makes no name durable; any other change may be there or not, whatever came before or after it. The
//!     order of changes to one name is kept, a rename is done as a whole, and a directory goes after what was in it.
//! - **A sync of a file that failed** makes nothing durable, and no later one makes up for it: the kernel has marked as
//!   clean what it could not write. Only what is written anew is written. After one of a directory a later one does: names
//!   are in the journal, and a file system whose journal cannot be written goes read-only.
//!
//! The memory of a program is gone. So is what it wrote through `mmap`: SQLite's `-shm` files are left out everywhere.

mod image;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rand::Rng;
use rand::rngs::StdRng;

use super::log::{Event, Operation};
pub use image::Image;

/// In which order names reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In one order, as ext4 and XFS journal them.
    Journal,
    /// In any order that POSIX allows.
    Letter,
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is lost.
    Lost,
    /// All of it has arrived.
    Kept,
    /// Each piece by lot: this many of a hundred arrive.
    Percent(u32),
}

/// One way to lose power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The order of names.
    pub order: Order,
    /// Names that were not synced.
    pub names: Fate,
    /// Data that was not synced.
    pub data: Fate,
    /// Bytes that arrive together.
    pub sector: u64,
}

impl Loss {
    /// The hardest one: nothing that was not synced is there.
    pub const HARDEST: Loss = Loss { order: Order::Letter, names: Fate::Lost, data: Fate::Lost, sector: 512 };

    /// One by lot; the extremes come often, as most faults show there.
    pub fn random(rng: &mut StdRng) -> Loss {
        let mut fate = || match rng.random_range(0..10) {
            0..4 => Fate::Lost,
            4..6 => Fate::Kept,
            6 => Fate::Percent(90),
            _ => Fate::Percent(50),
        };
        let (names, data) = (fate(), fate());
        let order = if rng.random() { Order::Journal } else { Order::Letter };
        Loss { order, names, data, sector: if rng.random() { 512 } else { 4096 } }
    }
}

type Node = usize;

/// A name: its directory, and the last part of its path.
type Name = (Node, String);

const ROOT: Node = 0;

/// A directory as its program saw it, and what of it is on disk for sure.
#[derive(Debug)]
pub struct Disk {
    nodes: Vec<Thing>,
    by_inode: HashMap<u64, Node>,
    now: BTreeMap<Name, Node>,
    /// Every change of a name, from the beginning.
    changes: Vec<Change>,
    /// Those of them that are not durable.
    open: BTreeSet<usize>,
    /// By the order of a journal, the changes before this one are durable.
    journaled: usize,
    /// Paths whose syncs are passed over.
    deaf: fn(&str) -> bool,
}

#[derive(Debug)]
struct Thing {
    /// Where it was named last; to tell what it is, not to find it.
    path: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    File(File),
}

#[derive(Debug, Default)]
struct File {
    mode: u32,
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    what: Data,
    /// A sync of it has failed.
    lost: bool,
}

#[derive(Debug)]
enum Data {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug)]
struct Change {
    names: Vec<(Name, Option<Node>)>,
    /// A directory that goes by it.
    removes: Option<Node>,
    durable: bool,
}

impl Disk {
    /// An empty, durable directory.
    pub fn new() -> Disk {
        Disk::deaf_to(|_| false)
    }

    /// The same, but syncs of these paths (below the root) are not believed: what a program would leave behind that forgot
    /// them.
    pub fn deaf_to(deaf: fn(&str) -> bool) -> Disk {
        Disk {
            nodes: vec![Thing { path: String::new(), kind: Kind::Directory }],
            by_inode: HashMap::new(),
            now: BTreeMap::new(),
            changes: Vec::new(),
            open: BTreeSet::new(),
            journaled: 0,
            deaf,
        }
    }

    /// Plays operations onto it.
    pub fn play<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            self.apply(&event.operation);
        }
    }

    /// The inode of the root is not in the log: it was there before.
    pub fn know_root(&mut self, root: &Path) {
        let inode = fs::metadata(root).unwrap().ino();
        self.by_inode.insert(inode, ROOT);
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { path, inode, mode } => {
                let file = File { mode: *mode, ..File::default() };
                self.create(path, *inode, Kind::File(file));
            }
            Operation::Mkdir { path, inode } => self.create(path, *inode, Kind::Directory),
            Operation::Write { inode, offset, bytes } => {
                let what = Data::Write { offset: *offset as usize, bytes: bytes.clone() };
                self.file(*inode).change(what);
            }
            Operation::SetLen { inode, len } => self.file(*inode).change(Data::SetLen(*len as usize)),
            Operation::Sync { inode } => self.sync(*inode),
            Operation::SyncFailed { inode } => self.sync_failed(*inode),
            Operation::Unlink { path } => self.rename(vec![(path, None)], None),
            Operation::Rmdir { path } => {
                let gone = self.find(path);
                self.rename(vec![(path, None)], Some(gone));
            }
            Operation::Rename { from, to } => {
                let node = self.find(from);
                // Two names of one file: then nothing happens.
                if self.now.get(&self.name(to)) != Some(&node) {
                    self.rename(vec![(from, None), (to, Some(node))], None);
                }
            }
            Operation::Link { from, to } => {
                let node = self.find(from);
                self.rename(vec![(to, Some(node))], None);
            }
        }
    }

    fn create(&mut self, path: &str, inode: u64, kind: Kind) {
        let node = self.nodes.len();
        self.nodes.push(Thing { path: path.to_string(), kind });
        self.by_inode.insert(inode, node);
        self.rename(vec![(path, Some(node))], None);
    }

    fn rename(&mut self, names: Vec<(&str, Option<Node>)>, removes: Option<Node>) {
        let names: Vec<(Name, Option<Node>)> = names
            .into_iter()
            .map(|(path, node)| {
                if let Some(node) = node {
                    self.nodes[node].path = path.to_string();
                }
                (self.name(path), node)
            })
            .collect();
        give(&mut self.now, &names);
        self.open.insert(self.changes.len());
        self.changes.push(Change { names, removes, durable: false });
    }

    fn sync(&mut self, inode: u64) {
        let node = self.node(inode);
        let thing = &mut self.nodes[node];
        if (self.deaf)(&thing.path) {
            return;
        }
        match &mut thing.kind {
            Kind::File(file) => file.sync(),
            Kind::Directory => {
                let wanted = |change: &Change| change.names.iter().any(|((dir, _), _)| *dir == node);
                let durable = self.with_what_they_need(|_, change| wanted(change));
                self.open.retain(|index| !durable.contains(index));
                for index in durable {
                    self.changes[index].durable = true;
                }
            }
        }
        self.journaled = self.changes.len();
    }

    fn sync_failed(&mut self, inode: u64) {
        let node = self.node(inode);
        if let Kind::File(file) = &mut self.nodes[node].kind {
            file.pending.iter_mut().for_each(|pending| pending.lost = true);
        }
    }

    /// The changes that are chosen of those that are not durable, and those before them without which they cannot be:
    /// earlier ones of the same names, and for a directory that goes, all that were made in it.
    fn with_what_they_need(&self, mut chosen: impl FnMut(usize, &Change) -> bool) -> BTreeSet<usize> {
        let mut names: HashSet<&Name> = HashSet::new();
        let mut emptied: HashSet<Node> = HashSet::new();
        let mut found = BTreeSet::new();
        for index in self.open.iter().rev().copied() {
            let change = &self.changes[index];
            let needed = change.names.iter().any(|(name, _)| names.contains(name) || emptied.contains(&name.0));
            if chosen(index, change) || needed {
                found.insert(index);
                names.extend(change.names.iter().map(|(name, _)| name));
                emptied.extend(change.removes);
            }
        }
        found
    }

    fn node(&self, inode: u64) -> Node {
        *self.by_inode.get(&inode).unwrap_or_else(|| panic!("inode {inode} was never made: the log has a hole"))
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let node = self.node(inode);
        match &mut self.nodes[node].kind {
            Kind::File(file) => file,
            Kind::Directory => panic!("inode {inode} is a directory"),
        }
    }

    fn name(&self, path: &str) -> Name {
        match path.rsplit_once('/') {
            Some((dir, name)) => (self.find(dir), name.to_string()),
            None => (ROOT, path.to_string()),
        }
    }

    fn find(&self, path: &str) -> Node {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(ROOT, |dir, part| {
            let found = self.now.get(&(dir, part.to_string()));
            *found.unwrap_or_else(|| panic!("'{path}' is not there: the log has a hole"))
        })
    }

    /// What the disk holds when the power goes now.
    pub fn power_loss(&self, loss: Loss, rng: &mut StdRng) -> Image {
        let mut arrives = |fate: Fate| match fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::Percent(percent) => rng.random_range(0..100) < percent,
        };
        let chosen = match loss.order {
            Order::Journal => {
                let open = self.changes.len() - self.journaled;
                let share = match loss.names {
                    Fate::Lost => 0,
                    Fate::Kept => open,
                    Fate::Percent(_) => rng.random_range(0..=open),
                };
                let end = self.journaled + share;
                self.with_what_they_need(|index, _| index < end)
            }
            Order::Letter => self.with_what_they_need(|_, _| arrives(loss.names)),
        };
        let mut names = BTreeMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            if change.durable || chosen.contains(&index) {
                give(&mut names, &change.names);
            }
        }
        let mut files = HashMap::new();
        for node in names.values().copied().collect::<BTreeSet<Node>>() {
            if let Kind::File(file) = &self.nodes[node].kind {
                files.insert(node, (file.mode, file.after(loss, rng)));
            }
        }
        Image { names, files }
    }

    /// An operation for people: with paths, without data.
    pub fn describe(&self, event: &Event) -> String {
        let path = |inode: &u64| match self.by_inode.get(inode) {
            Some(node) => format!("/{}", self.nodes[*node].path),
            None => format!("inode {inode}"),
        };
        match &event.operation {
            Operation::Write { inode, offset, bytes } => {
                format!("write {} {offset}+{}", path(inode), bytes.len())
            }
            Operation::SetLen { inode, len } => format!("set length {} {len}", path(inode)),
            Operation::Sync { inode } => format!("sync {}", path(inode)),
            Operation::SyncFailed { inode } => format!("sync failed {}", path(inode)),
            other => format!("{other:?}"),
        }
    }

    /// Everything as its program saw it last.
    pub fn image(&self) -> Image {
        let mut files = HashMap::new();
        for node in self.now.values() {
            if let Kind::File(file) = &self.nodes[*node].kind {
                files.insert(*node, (file.mode, file.now.clone()));
            }
        }
        Image { names: self.now.clone(), files }
    }
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::new()
    }
}

fn give(tree: &mut BTreeMap<Name, Node>, names: &[(Name, Option<Node>)]) {
    for (name, node) in names {
        match node {
            Some(node) => tree.insert(name.clone(), *node),
            None => tree.remove(name),
        };
    }
}

impl File {
    fn change(&mut self, what: Data) {
        what.apply(&mut self.now, |_| true, 1);
        self.pending.push(Pending { what, lost: false });
    }

    fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.lost {
                false => pending.what.apply(&mut self.durable, |_| true, 1),
                // Its pages are clean, so they are not written now either; the size is, with the inode.
                true => self.durable.resize(self.durable.len().max(pending.what.end()), 0),
            }
        }
    }

    fn after(&self, loss: Loss, rng: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // What lies beyond a cut that has not arrived cannot have been written anew.
        let mut ceiling = usize::MAX;
        for pending in &self.pending {
            let percent = match (loss.data, pending.lost) {
                (Fate::Kept, false) => 100,
                (Fate::Percent(percent), false) => percent,
                _ => 0,
            };
            match &pending.what {
                Data::SetLen(len) if rng.random_range(0..100) < percent => {
                    bytes.resize((*len).min(ceiling), 0);
                }
                Data::SetLen(len) => ceiling = ceiling.min(*len),
                // Whole, torn or missing.
                write if percent > 0 && (percent == 100 || rng.random_range(0..100) < percent) => {
                    let torn = percent < 100 && rng.random_range(0..100) >= percent;
                    let mut arrives = |start: usize| start < ceiling && (!torn || rng.random());
                    write.apply(&mut bytes, &mut arrives, loss.sector as usize);
                }
                Data::Write { .. } => {}
            }
        }
        // The size may have been written without the data.
        if matches!(loss.data, Fate::Percent(_)) && self.now.len() > bytes.len() && rng.random() {
            bytes.resize(self.now.len(), 0);
        }
        bytes
    }
}

impl Data {
    /// Does it to `bytes`, sector by sector as `arrives` has it for each one's start.
    fn apply(&self, bytes: &mut Vec<u8>, mut arrives: impl FnMut(usize) -> bool, sector: usize) {
        match self {
            Data::SetLen(len) => bytes.resize(*len, 0),
            Data::Write { offset, bytes: new } if sector == 1 => {
                let end = offset + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(new);
            }
            Data::Write { offset, bytes: new } => {
                let (mut at, end) = (*offset, offset + new.len());
                while at < end {
                    let next = ((at / sector + 1) * sector).min(end);
                    if arrives(at) {
                        bytes.resize(bytes.len().max(next), 0);
                        bytes[at..next].copy_from_slice(&new[at - offset..next - offset]);
                    }
                    at = next;
                }
            }
        }
    }

    fn end(&self) -> usize {
        match self {
            Data::SetLen(len) => *len,
            Data::Write { offset, bytes } => offset + bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests;
