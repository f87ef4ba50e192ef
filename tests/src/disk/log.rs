//! The log of the layer, read: what was done to a directory, in its order.

use std::path::Path;

/// Something that was done, with the place in the log where its record begins and ends.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where its record ends: whoever had seen a log of this length or more may rely on it.
    pub end: u64,
    /// What it was.
    pub operation: Operation,
}

/// What can be done. Files are named by inodes, names by paths below the root (the root is the empty path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new, empty file.
    Create {
        /// Its name.
        path: String,
        /// Its inode.
        inode: u64,
        /// Its permissions.
        mode: u32,
    },
    /// Bytes were written.
    Write {
        /// To which file.
        inode: u64,
        /// From where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut, or grew by zeros.
    SetLen {
        /// Which file.
        inode: u64,
        /// To what length.
        len: u64,
    },
    /// A file or a directory was synced.
    Sync {
        /// Which.
        inode: u64,
    },
    /// A sync was refused. The kernel has dropped what it could not write, and believes it clean from then on.
    SyncFailed {
        /// Of which file or directory.
        inode: u64,
    },
    /// A new directory.
    Mkdir {
        /// Its name.
        path: String,
        /// Its inode.
        inode: u64,
    },
    /// An empty directory went.
    Rmdir {
        /// Its name.
        path: String,
    },
    /// A name went.
    Unlink {
        /// Which.
        path: String,
    },
    /// A name changed, and took the place of another one where there was one.
    Rename {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// A file got one more name.
    Link {
        /// Its old one.
        from: String,
        /// The new one.
        to: String,
    },
}

/// Bytes of a record before its paths: four numbers of 32 bits and two of 64, in the machine's order.
const HEAD_LEN: usize = 32;

/// Reads a log. A record that is cut short at its end (its program was killed) is left out.
pub fn read(path: &Path) -> Vec<Event> {
    let log = std::fs::read(path).unwrap();
    let mut events = Vec::new();
    let mut at = 0;
    while let Some(head) = log.get(at..at + HEAD_LEN) {
        let small = |place: usize| u32::from_ne_bytes(head[place..place + 4].try_into().unwrap());
        let large = |place: usize| u64::from_ne_bytes(head[place..place + 8].try_into().unwrap());
        let mut rest = at + HEAD_LEN;
        let mut take = |len: u32| {
            let taken = log.get(rest..rest + len as usize);
            rest += len as usize;
            taken.map(<[u8]>::to_vec)
        };
        let (Some(path), Some(other), Some(bytes)) = (take(small(4)), take(small(8)), take(small(12))) else { break };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_start_matches('/').to_string();
        let (path, other, inode, number) = (text(path), text(other), large(16), large(24));
        let operation = match small(0) {
            1 => Operation::Create { path, inode, mode: number as u32 },
            2 => Operation::Write { inode, offset: number, bytes },
            3 => Operation::SetLen { inode, len: number },
            4 => Operation::Sync { inode },
            5 => Operation::SyncFailed { inode },
            6 => Operation::Mkdir { path, inode },
            7 => Operation::Rmdir { path },
            8 => Operation::Unlink { path },
            9 => Operation::Rename { from: path, to: other },
            10 => Operation::Link { from: path, to: other },
            other => panic!("operation {other} of the log at byte {at} is not known here"),
        };
        at = rest;
        events.push(Event { end: at as u64, operation });
    }
    events
}

impl Operation {
    /// Whether it makes something durable, or gives or takes a name: where a loss of power hurts most is around these.
    pub fn is_turning_point(&self) -> bool {
        !matches!(self, Operation::Write { .. } | Operation::SetLen { .. })
    }
}
