//! What the layer is to refuse: one operation, some, or everything that grows a file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Classes of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Bytes to a file.
    Write = 1,
    /// fsync of a file or a directory.
    Sync = 2,
    /// A new file.
    Create = 4,
    /// A name that changes.
    Rename = 8,
    /// One more name.
    Link = 16,
    /// A new directory.
    Mkdir = 32,
    /// A name, or an empty directory, that goes.
    Unlink = 64,
    /// A file's length.
    Truncate = 128,
    /// Bytes from a file.
    Read = 256,
}

/// What a disk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// Input/output error.
    Io = 5,
    /// No space left on device.
    NoSpace = 28,
}

/// Operations of a class whose path holds `area`.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which class.
    pub class: Class,
    /// Part of the path, as `/catalog.db`.
    pub area: &'static str,
    /// What they fail with.
    pub error: Errno,
    /// How many pass first.
    pub skip: u64,
    /// How many fail then.
    pub count: u64,
}

/// The control file of a server's layer. Where its fields lie is told in `layer.c`.
#[derive(Debug)]
pub struct Faults {
    file: File,
}

const CLASSES: u64 = 0;
const ERROR: u64 = 4;
const SKIP: u64 = 8;
const COUNT: u64 = 16;
const ROOM: u64 = 24;
const SEEN: u64 = 32;
const FAILED: u64 = 40;
const AREA: u64 = 48;
const AREA_LEN: usize = 256;

impl Faults {
    pub(super) fn new(path: &Path) -> Faults {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(AREA + AREA_LEN as u64).unwrap();
        let faults = Faults { file };
        faults.release();
        faults
    }

    /// From now on these operations fail. What failed before is forgotten.
    pub fn arm(&self, fault: Fault) {
        self.release();
        let mut area = [0; AREA_LEN];
        area[..fault.area.len()].copy_from_slice(fault.area.as_bytes());
        self.file.write_all_at(&area, AREA).unwrap();
        self.file.write_all_at(&(fault.error as i32).to_ne_bytes(), ERROR).unwrap();
        self.put(SKIP, fault.skip);
        self.put(COUNT, fault.count);
        // The last: until it is there nothing matches.
        self.file.write_all_at(&(fault.class as u32).to_ne_bytes(), CLASSES).unwrap();
    }

    /// From now on files may grow by so many bytes; then the disk is full.
    pub fn leave_room(&self, bytes: u64) {
        self.release();
        self.put(ROOM, bytes);
    }

    /// Everything works again.
    pub fn release(&self) {
        self.file.write_all_at(&0u32.to_ne_bytes(), CLASSES).unwrap();
        self.put(ROOM, u64::MAX);
        self.put(SEEN, 0);
        self.put(FAILED, 0);
    }

    /// Everything works again; what has been counted stays.
    pub fn disarm(&self) {
        self.file.write_all_at(&0u32.to_ne_bytes(), CLASSES).unwrap();
        self.put(ROOM, u64::MAX);
    }

    /// Operations that matched since the last call of [`Faults::arm`].
    pub fn seen(&self) -> u64 {
        self.get(SEEN)
    }

    /// Operations that were refused since then.
    pub fn failed(&self) -> u64 {
        self.get(FAILED)
    }

    fn put(&self, place: u64, number: u64) {
        self.file.write_all_at(&number.to_ne_bytes(), place).unwrap();
    }

    fn get(&self, place: u64) -> u64 {
        let mut number = [0; 8];
        self.file.read_exact_at(&mut number, place).unwrap();
        u64::from_ne_bytes(number)
    }
}
