//! What to merge in one tablet: a pure value, decided from nothing but the sizes of its segments.
//!
//! A segment of at least half the target size is *final*: it is never rewritten for its size, because merging such
//! segments saves few files and costs an upload of every byte at the next backup. Smaller ones are sorted into tiers by
//! size, each [`CompactionPolicy::fan_in`] times below the next; the last tier holds everything that is tiny. When a
//! tier is full, it is merged together with the tiers below it, so a row is rewritten about once a tier on its way up.
//!
//! When somebody asks for a merge, tiers need not be full; but a segment that is [`CompactionPolicy::fan_in`] times as large as all
//! smaller ones together stays, because rewriting it would save one file and cost an upload of all its bytes.
//!
//! Deleted rows are another reason: a segment that has lost all its rows is dropped unread, and one that has lost more
//! than [`CompactionPolicy::deleted_percent`] of them is rewritten, final or not.

use crate::catalog::{RowsetRow, SegmentMeta};
use crate::ids::RowsetId;
use crate::storage::StorageConfig;

/// Below this size all segments are in one tier: opening them costs more than reading them.
const TINY_BYTES: u64 = 64 << 10;

/// Segments that one merge reads: each holds a file open and some decoded pages in memory.
const INPUTS_MAX: usize = 32;

/// Bytes that one merge reads, in target sizes: bounds the space it needs and what is lost when it has to be given up.
const INPUT_TARGETS_MAX: u64 = 8;

/// When segments are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Size a segment should have.
    pub segment_bytes_target: u64,
    /// Segments of one tier that start a merge.
    pub fan_in: usize,
    /// Percent of a segment's rows that must be deleted before it is rewritten for that alone.
    pub deleted_percent: u64,
}

/// Why segments are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactionReason {
    /// They have lost all their rows.
    Emptied,
    /// A tier is full.
    Small,
    /// They have lost many rows.
    Deleted,
    /// Somebody asked for it.
    Requested,
}

/// One segment, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentPlace {
    /// Its rowset.
    pub rowset: RowsetId,
    /// Its position in the rowset.
    pub ordinal: usize,
}

/// One merge in one tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionPlan {
    /// Why.
    pub reason: CompactionReason,
    /// The segments to read and to replace, in the order they were published.
    pub inputs: Vec<SegmentPlace>,
    /// The size to cut the new segments at.
    pub bytes_target: u64,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    place: SegmentPlace,
    bytes: u64,
    /// About what is left of the bytes without the deleted rows.
    live_bytes: u64,
    emptied: bool,
    deleted: bool,
    is_final: bool,
}

impl CompactionPolicy {
    /// The policy of a configuration.
    pub fn new(config: &StorageConfig) -> CompactionPolicy {
        CompactionPolicy {
            segment_bytes_target: config.segment_bytes_target.max(2),
            fan_in: config.compaction_fan_in.max(2),
            deleted_percent: config.compaction_deleted_percent,
        }
    }

    /// What background work should merge next in a tablet with these rowsets, if anything.
    pub fn next(&self, rowsets: &[RowsetRow]) -> Option<CompactionPlan> {
        let candidates = self.candidates(rowsets);
        self.emptied(&candidates).or_else(|| self.full_tier(&candidates)).or_else(|| self.deleted(&candidates))
    }

    /// What to merge next when everything that is not final is to be merged, as far as that is worth it. Nothing, once
    /// that is one segment.
    pub fn next_requested(&self, rowsets: &[RowsetRow]) -> Option<CompactionPlan> {
        let candidates = self.candidates(rowsets);
        if let Some(plan) = self.emptied(&candidates) {
            return Some(plan);
        }
        let wanted: Vec<Candidate> =
            candidates.into_iter().filter(|candidate| !candidate.is_final || candidate.deleted).collect();
        let wanted = self.without_giants(wanted);
        match wanted.as_slice() {
            [] => None,
            [one] if !one.deleted => None,
            _ => Some(self.merge_smallest(CompactionReason::Requested, wanted)),
        }
    }

    /// Leaves out what is so much larger than everything smaller together that a merge with it is not worth it.
    fn without_giants(&self, mut wanted: Vec<Candidate>) -> Vec<Candidate> {
        wanted.sort_by_key(|candidate| (candidate.deleted, candidate.live_bytes));
        // What is rewritten for its deleted rows stands last and is there to merge with, whatever its size.
        let deleted = wanted.split_off(wanted.partition_point(|candidate| !candidate.deleted));
        let fan_in = self.fan_in as u64;
        let mut smaller: u64 = wanted.iter().chain(&deleted).map(|candidate| candidate.live_bytes).sum();
        while let Some(largest) = wanted.last() {
            smaller -= largest.live_bytes;
            if largest.live_bytes < smaller.saturating_mul(fan_in) {
                break;
            }
            wanted.pop();
        }
        wanted.extend(deleted);
        wanted
    }

    /// Whether a segment is large enough to be left alone.
    pub fn is_final(&self, segment: &SegmentMeta) -> bool {
        segment.bytes >= self.segment_bytes_target.div_ceil(2)
    }

    fn candidates(&self, rowsets: &[RowsetRow]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for rowset in rowsets {
            for (ordinal, segment) in rowset.segments.iter().enumerate() {
                let (rows, live) = (segment.rows.max(1), segment.live_rows());
                candidates.push(Candidate {
                    place: SegmentPlace { rowset: rowset.id, ordinal },
                    bytes: segment.bytes,
                    live_bytes: (u128::from(segment.bytes) * u128::from(live) / u128::from(rows)) as u64,
                    emptied: live == 0,
                    deleted: (segment.rows - live).saturating_mul(100) > rows.saturating_mul(self.deleted_percent),
                    is_final: self.is_final(segment),
                });
            }
        }
        candidates
    }

    fn emptied(&self, candidates: &[Candidate]) -> Option<CompactionPlan> {
        let inputs: Vec<SegmentPlace> =
            candidates.iter().filter(|candidate| candidate.emptied).map(|candidate| candidate.place).collect();
        let plan =
            CompactionPlan { reason: CompactionReason::Emptied, inputs, bytes_target: self.segment_bytes_target };
        (!plan.inputs.is_empty()).then_some(plan)
    }

    /// The largest tier that is full, with everything smaller.
    fn full_tier(&self, candidates: &[Candidate]) -> Option<CompactionPlan> {
        let small: Vec<Candidate> = candidates.iter().filter(|candidate| !candidate.is_final).copied().collect();
        let tier_of = |candidate: &Candidate| self.tier(candidate.bytes);
        let tiers = small.iter().map(tier_of).max()? + 1;
        let full = (0..tiers).find(|tier| small.iter().filter(|one| tier_of(one) == *tier).count() >= self.fan_in)?;
        let wanted = small.into_iter().filter(|candidate| tier_of(candidate) >= full).collect();
        Some(self.merge_smallest(CompactionReason::Small, wanted))
    }

    fn deleted(&self, candidates: &[Candidate]) -> Option<CompactionPlan> {
        let wanted: Vec<Candidate> = candidates.iter().filter(|candidate| candidate.deleted).copied().collect();
        (!wanted.is_empty()).then(|| self.merge_smallest(CompactionReason::Deleted, wanted))
    }

    /// The tier of a segment that is not final: 0 is the one below the final ones.
    fn tier(&self, bytes: u64) -> u32 {
        let mut tier = 0;
        let mut least = self.segment_bytes_target / 2 / self.fan_in as u64;
        while bytes < least && least >= TINY_BYTES {
            tier += 1;
            least /= self.fan_in as u64;
        }
        tier
    }

    /// A merge of the smallest of these, as many as one merge takes.
    fn merge_smallest(&self, reason: CompactionReason, mut wanted: Vec<Candidate>) -> CompactionPlan {
        let bytes_max = self.segment_bytes_target.saturating_mul(INPUT_TARGETS_MAX);
        wanted.sort_by_key(|candidate| candidate.bytes);
        let mut bytes = 0_u64;
        let mut taken: Vec<Candidate> = Vec::new();
        for candidate in wanted.into_iter().take(INPUTS_MAX) {
            bytes = bytes.saturating_add(candidate.bytes);
            // Two at least, or nothing would ever come of them.
            if bytes > bytes_max && taken.len() >= 2 {
                break;
            }
            taken.push(candidate);
        }
        let live_bytes: u64 = taken.iter().map(|candidate| candidate.live_bytes).sum();
        CompactionPlan {
            reason,
            bytes_target: self.cut_at(live_bytes),
            inputs: in_order(taken.into_iter().map(|candidate| candidate.place)),
        }
    }

    /// Where to cut so many bytes so that all parts are about equal and of about the target size.
    fn cut_at(&self, bytes: u64) -> u64 {
        let target = self.segment_bytes_target;
        let parts = (bytes.saturating_add(target / 2) / target).max(1);
        match parts {
            // What should be one segment is not cut for being a little larger than thought.
            1 => target.saturating_mul(2),
            parts => bytes / parts,
        }
    }
}

/// Ids are handed out in the order of publication, but for the rowsets that a compaction made: they are as new as
/// their id says, and where rows of equal key end up does not matter.
fn in_order(places: impl Iterator<Item = SegmentPlace>) -> Vec<SegmentPlace> {
    let mut places: Vec<SegmentPlace> = places.collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests;
