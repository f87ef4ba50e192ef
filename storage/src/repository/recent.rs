//! Nodes that this process has put or read lately.
//!
//! A backup compares itself with the snapshot before it, whose nodes it has usually put itself. A node never changes, so
//! what is remembered is what is stored; only whoever wants to know what a repository *holds* must ask the repository.
//! The oldest are forgotten when there are too many bytes.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::digest::Digest;

/// Bytes of nodes that are remembered for one repository: those of some ten thousand partitions.
const BYTES_MAX: usize = 8 << 20;

/// The nodes, as they are stored.
#[derive(Debug, Default)]
pub(super) struct RecentNodes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    nodes: HashMap<Digest, Bytes>,
    /// Oldest first.
    order: VecDeque<Digest>,
    bytes: usize,
}

impl RecentNodes {
    /// Remembers a node.
    pub(super) fn keep(&self, digest: Digest, stored: &Bytes) {
        let mut kept = self.0.lock();
        if stored.len() > BYTES_MAX || kept.nodes.contains_key(&digest) {
            return;
        }
        // A copy: what came may be a small part of a large buffer.
        kept.nodes.insert(digest, Bytes::copy_from_slice(stored));
        kept.order.push_back(digest);
        kept.bytes += stored.len();
        while kept.bytes > BYTES_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.bytes -= kept.nodes.remove(&oldest).map_or(0, |stored| stored.len());
        }
    }

    /// The node of a digest, if it is remembered.
    pub(super) fn find(&self, digest: &Digest) -> Option<Bytes> {
        self.0.lock().nodes.get(digest).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let nodes = RecentNodes::default();
        let stored = Bytes::from(vec![7; BYTES_MAX / 4]);
        let digests: Vec<Digest> = (0..6_u8).map(|number| Digest::of(&[number])).collect();
        for digest in &digests {
            nodes.keep(*digest, &stored);
            nodes.keep(*digest, &stored);
        }
        let found: Vec<bool> = digests.iter().map(|digest| nodes.find(digest).is_some()).collect();
        assert_eq!(found, [false, false, true, true, true, true]);
        nodes.keep(digests[0], &Bytes::from(vec![7; BYTES_MAX + 1]));
        assert_eq!(nodes.find(&digests[0]), None);
    }
}
