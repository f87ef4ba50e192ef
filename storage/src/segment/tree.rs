//! The hash tree of a segment: what lets a reader check some bytes of it without reading them all.
//!
//! A segment's digest is the root of a BLAKE3 tree. Kept here are the hashes of that tree's nodes over each group of
//! 64 KiB; merged upwards they must give the digest, so a tree proves itself and may come from anywhere: from a whole
//! read of the segment, or from the file `<digest>.tree` beside it, which is derived, never synced, in no catalog, and
//! made again whenever it is missing or wrong. A range is read in whole groups, and each group is hashed and compared
//! before a decoder sees a byte of it.

use std::io::{self, Read};
use std::ops::Range;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::digest::{DIGEST_LEN, Digest};

/// Bytes of a group: a power of two times BLAKE3's chunk, so that each group but the last is a whole subtree. Larger
/// groups make smaller trees, smaller ones waste less on a short read.
pub(crate) const GROUP_BYTES: u64 = 64 << 10;

/// Groups read at a time when a whole file is hashed.
const GROUPS_AT_ONCE: usize = 16;

/// The hash of every group of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentTree {
    digest: Digest,
    bytes: u64,
    /// Empty when the segment is one group, whose hash is the digest.
    groups: Vec<ChainingValue>,
}

impl SegmentTree {
    /// The tree of a segment that is one group at most: its digest says it all.
    pub(crate) fn of_one_group(digest: Digest, bytes: u64) -> Option<SegmentTree> {
        (bytes <= GROUP_BYTES).then(|| SegmentTree { digest, bytes, groups: Vec::new() })
    }

    /// Reads a whole segment. `None` when it is not the one of this digest and size.
    pub(crate) fn build(digest: Digest, bytes: u64, mut source: impl Read) -> io::Result<Option<SegmentTree>> {
        let mut groups = Vec::with_capacity(usize::try_from(bytes.div_ceil(GROUP_BYTES)).unwrap_or(0));
        let mut buffer = vec![0; GROUP_BYTES as usize * GROUPS_AT_ONCE];
        let mut left = bytes;
        while left > 0 {
            let part = &mut buffer[..left.min(GROUP_BYTES * GROUPS_AT_ONCE as u64) as usize];
            match source.read_exact(part) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            for group in part.chunks(GROUP_BYTES as usize) {
                groups.push(hash_group(groups.len() as u64, group));
            }
            left -= part.len() as u64;
        }
        if bytes <= GROUP_BYTES {
            let whole = Digest::of(&buffer[..bytes as usize]) == digest;
            return Ok(SegmentTree::of_one_group(digest, bytes).filter(|_| whole));
        }
        Ok(SegmentTree { digest, bytes, groups }.proven())
    }

    /// A tree from the bytes of its file. `None` when they are not the tree of this digest.
    pub(crate) fn decode(digest: Digest, bytes: u64, encoded: &[u8]) -> Option<SegmentTree> {
        let (groups, rest) = encoded.as_chunks::<DIGEST_LEN>();
        if !rest.is_empty() {
            return None;
        }
        SegmentTree { digest, bytes, groups: groups.to_vec() }.proven()
    }

    /// The bytes of its file: the hashes one after the other.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.groups.concat()
    }

    /// Whether it is worth a file: a segment of one group has nothing to keep.
    pub(crate) fn has_file(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The range widened to whole groups.
    pub(crate) fn whole_groups(&self, range: &Range<u64>) -> Range<u64> {
        let start = range.start / GROUP_BYTES * GROUP_BYTES;
        start..range.end.div_ceil(GROUP_BYTES).saturating_mul(GROUP_BYTES).min(self.bytes).max(start)
    }

    /// Whether `bytes`, whole groups from `start` on, are those of the segment. Gives the first group that is not.
    pub(crate) fn check(&self, start: u64, bytes: &[u8]) -> Result<(), u64> {
        let first = start / GROUP_BYTES;
        for (number, group) in (first..).zip(bytes.chunks(GROUP_BYTES as usize)) {
            let whole = if self.groups.is_empty() {
                number == 0 && Digest::of(group) == self.digest
            } else {
                self.groups.get(number as usize).is_some_and(|wanted| *wanted == hash_group(number, group))
            };
            if !whole {
                return Err(number);
            }
        }
        Ok(())
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<SegmentTree>() + self.groups.len() * DIGEST_LEN
    }

    fn proven(self) -> Option<SegmentTree> {
        let complete = self.groups.len() as u64 == self.bytes.div_ceil(GROUP_BYTES) && self.groups.len() > 1;
        (complete && root(&self.groups) == self.digest).then_some(self)
    }
}

/// The hash of one group as an inner node of the tree.
fn hash_group(number: u64, group: &[u8]) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(number * GROUP_BYTES).update(group).finalize_non_root()
}

/// The digest that two or more groups give. The left subtree is the largest that is whole.
fn root(groups: &[ChainingValue]) -> Digest {
    let (left, right) = groups.split_at(left_groups(groups.len()));
    Digest::from_bytes(*merge_subtrees_root(&node(left), &node(right), Mode::Hash).as_bytes())
}

fn node(groups: &[ChainingValue]) -> ChainingValue {
    match groups {
        [group] => *group,
        _ => {
            let (left, right) = groups.split_at(left_groups(groups.len()));
            merge_subtrees_non_root(&node(left), &node(right), Mode::Hash)
        }
    }
}

/// The largest power of two below the number of groups.
fn left_groups(groups: usize) -> usize {
    groups.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: u64) -> Vec<u8> {
        (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn a_tree_gives_the_digest_of_a_plain_hash() {
        for bytes in [0, 1, 1024, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000, 65_536 * 5, 65_536 * 17 + 3] {
            let content = content(bytes);
            let digest = Digest::of(&content);
            let tree = SegmentTree::build(digest, bytes, &content[..]).unwrap().expect("it is that segment");
            assert_eq!(tree.has_file(), bytes > GROUP_BYTES);
            assert_eq!(tree.check(0, &content), Ok(()), "{bytes}");
            if tree.has_file() {
                assert_eq!(SegmentTree::decode(digest, bytes, &tree.encode()), Some(tree));
            }
            assert_eq!(SegmentTree::build(Digest::of(b"other"), bytes, &content[..]).unwrap(), None);
            assert_eq!(SegmentTree::build(digest, bytes + 1, &content[..]).unwrap(), None);
        }
    }

    /// Goal: no changed byte passes, of the segment or of the tree. Method: change one in every place that matters.
    #[test]
    fn a_changed_byte_is_found_in_its_group() {
        let content = content(65_536 * 3 + 100);
        let (digest, bytes) = (Digest::of(&content), content.len() as u64);
        let tree = SegmentTree::build(digest, bytes, &content[..]).unwrap().unwrap();
        for at in (0..content.len()).step_by(7_919).chain([65_535, 65_536, content.len() - 1]) {
            let mut flipped = content.clone();
            flipped[at] ^= 0x10;
            let group = at as u64 / GROUP_BYTES;
            assert_eq!(tree.check(0, &flipped), Err(group));
            let range = tree.whole_groups(&(at as u64..at as u64 + 1));
            assert_eq!(tree.check(range.start, &flipped[range.start as usize..range.end as usize]), Err(group));
            assert_eq!(SegmentTree::build(digest, bytes, &flipped[..]).unwrap(), None);
        }
        let encoded = tree.encode();
        for at in 0..encoded.len() {
            let mut flipped = encoded.clone();
            flipped[at] ^= 1;
            assert_eq!(SegmentTree::decode(digest, bytes, &flipped), None);
        }
        assert_eq!(SegmentTree::decode(digest, bytes, &encoded[..encoded.len() - 1]), None);
        assert_eq!(SegmentTree::decode(digest, bytes, &[]), None);
        // Right bytes in a wrong place are wrong.
        assert_eq!(tree.check(GROUP_BYTES, &content[..GROUP_BYTES as usize]), Err(1));
    }
}
