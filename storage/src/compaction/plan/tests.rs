//! Each case is a tablet, written as its segments' sizes, and the merge that should come of it.
//!
//! `12` is a segment of 12 MiB with all its rows, `12-40` one that has lost 40 percent of them. The target is 64 MiB.

use super::*;
use crate::catalog::DeleteVectorMeta;
use crate::digest::Digest;
use crate::ids::TabletId;

const MIB: u64 = 1 << 20;

fn policy() -> CompactionPolicy {
    CompactionPolicy { segment_bytes_target: 64 * MIB, fan_in: 4, deleted_percent: 30 }
}

/// One rowset a segment, in KiB when the number has a `k`.
fn tablet(sizes: &str) -> Vec<RowsetRow> {
    let segment = |(position, text): (usize, &str)| {
        let (size, deleted) = text.split_once('-').unwrap_or((text, "0"));
        let bytes = match size.strip_suffix('k') {
            Some(size) => size.parse::<u64>().unwrap() << 10,
            None => size.parse::<u64>().unwrap() * MIB,
        };
        let rows: u64 = deleted.parse().unwrap();
        let deletes = (rows > 0).then_some(DeleteVectorMeta { digest: Digest::of(b""), bytes: 1, rows });
        let segment = SegmentMeta {
            digest: Digest::of(&position.to_le_bytes()),
            rows: 100,
            bytes,
            zone_maps: Vec::new(),
            deletes,
        };
        RowsetRow {
            id: RowsetId(position as i64),
            tablet_id: TabletId(1),
            version: position as i64,
            created_at_ms: 0,
            segments: vec![segment],
        }
    };
    sizes.split_whitespace().enumerate().map(segment).collect()
}

fn show(plan: Option<CompactionPlan>) -> String {
    match plan {
        None => "nothing".to_owned(),
        Some(plan) => {
            let inputs: Vec<String> = plan.inputs.iter().map(|place| place.rowset.to_string()).collect();
            format!("{:?} {} cut at {}", plan.reason, inputs.join(" "), plan.bytes_target / MIB)
        }
    }
}

#[test]
fn background_merges() {
    for (sizes, wants) in [
        ("", "nothing"),
        ("1", "nothing"),
        // Tiny ones are merged as soon as there are four, however they differ.
        ("1k 2k 3k", "nothing"),
        ("1k 2k 60k 3k", "Small 0 1 2 3 cut at 128"),
        // A tier waits until it is full; the tiers below join in.
        ("8 9 30", "nothing"),
        ("8 9 30 31", "Small 0 1 2 3 cut at 128"),
        ("1k 8 9 30 3 31", "Small 0 1 2 3 4 5 cut at 128"),
        ("3 3 3 8 9 30", "nothing"),
        ("3 3 3 3 8 9 30", "Small 0 1 2 3 cut at 128"),
        ("20 25 30 31", "Small 0 1 2 3 cut at 53"),
        // The largest full tier, not the first.
        ("1k 1k 1k 1k 3 3 3 3", "Small 0 1 2 3 4 5 6 7 cut at 128"),
        // From half the target on, a segment is final.
        ("32 40 64 70 33 100", "nothing"),
        ("31 31 31 31 64 64", "Small 0 1 2 3 cut at 62"),
        ("8 8 8 8", "Small 0 1 2 3 cut at 128"),
        // Lost rows.
        ("64-30 64 1-30", "nothing"),
        ("64-31 64", "Deleted 0 cut at 128"),
        ("64-90 64-50 64", "Deleted 0 1 cut at 128"),
        ("64-31 64-31 64-31 64", "Deleted 0 1 2 cut at 66"),
        ("64-100 64-31 1k-100", "Emptied 0 2 cut at 64"),
        ("64-50 1k 1k 1k 1k", "Small 1 2 3 4 cut at 128"),
        // No more than eight targets at a time, but two at least.
        ("200-50 200-50 200-50 200-50", "Deleted 0 1 cut at 66"),
        ("900-50 900-50 900-50", "Deleted 0 1 cut at 64"),
    ] {
        assert_eq!(show(policy().next(&tablet(sizes))), wants, "{sizes}");
    }
}

#[test]
fn requested_merges() {
    for (sizes, wants) in [
        ("", "nothing"),
        ("1", "nothing"),
        ("64 64 1", "nothing"),
        ("1 64 2", "Requested 0 2 cut at 128"),
        // Four times as large as all smaller ones together is too large to be worth it.
        ("3 10 1 3 1", "Requested 0 1 2 3 4 cut at 128"),
        ("1 31 1 3 2", "Requested 0 2 3 4 cut at 128"),
        ("31 7", "nothing"),
        ("31 6 1", "nothing"),
        ("31 64 2 64-31", "Requested 0 2 3 cut at 128"),
        ("64-31", "Requested 0 cut at 128"),
        ("1-31", "Requested 0 cut at 128"),
        ("1-30", "nothing"),
        ("1-100", "Emptied 0 cut at 64"),
    ] {
        assert_eq!(show(policy().next_requested(&tablet(sizes))), wants, "{sizes}");
    }
}

#[test]
fn one_merge_takes_the_smallest_of_many() {
    let sizes: Vec<String> = (1..=100).rev().map(|size| format!("{size}k")).collect();
    let plan = policy().next(&tablet(&sizes.join(" "))).unwrap();
    let inputs: Vec<i64> = plan.inputs.iter().map(|place| place.rowset.0).collect();
    assert_eq!(inputs, (68..100).collect::<Vec<i64>>());
}

/// Loads of one size, compacted whenever the plan says so, with segments of just the bytes that went in.
#[test]
fn segments_stay_few_and_bytes_are_rewritten_about_once_a_tier() {
    let policy = CompactionPolicy { segment_bytes_target: 192 * MIB, fan_in: 8, deleted_percent: 30 };
    for load_bytes in [2 << 10, 100 << 10, MIB, 7 * MIB, 50 * MIB, 192 * MIB] {
        let mut rowsets: Vec<RowsetRow> = Vec::new();
        let (mut loaded, mut rewritten, mut small_max) = (0_u64, 0_u64, 0);
        for load in 0..3000_u64 {
            let mut rowset = tablet("1").remove(0);
            rowset.id = RowsetId(load as i64 * 100);
            rowset.segments[0].bytes = load_bytes;
            rowsets.push(rowset);
            loaded += load_bytes;
            let mut turn = 0;
            while let Some(plan) = policy.next(&rowsets) {
                turn += 1;
                let is_input = |rowset: &RowsetRow| plan.inputs.iter().any(|place| place.rowset == rowset.id);
                let bytes: u64 =
                    rowsets.iter().filter(|rowset| is_input(rowset)).map(|rowset| rowset.segments[0].bytes).sum();
                rowsets.retain(|rowset| !is_input(rowset));
                rewritten += bytes;
                let mut left = bytes;
                while left > 0 {
                    let mut rowset = tablet("1").remove(0);
                    rowset.id = RowsetId(load as i64 * 100 + turn);
                    turn += 1;
                    rowset.segments[0].bytes = left.min(plan.bytes_target);
                    left -= rowset.segments[0].bytes;
                    rowsets.push(rowset);
                }
            }
            let small = rowsets.iter().filter(|rowset| !policy.is_final(&rowset.segments[0])).count();
            small_max = small_max.max(small);
        }
        let amplification = rewritten as f64 / loaded as f64;
        assert!(small_max <= 7 * 4, "{small_max} small segments with loads of {load_bytes} bytes");
        // The tiny tier is rewritten more often: a whole tier of it costs less than opening its files.
        let most = if load_bytes < TINY_BYTES { 12.0 } else { 4.0 };
        assert!(amplification < most, "loads of {load_bytes} bytes are rewritten {amplification:.1} times");
    }
}
