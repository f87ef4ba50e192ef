//! Goal: the checker finds what it is there to find, and nothing else. Method: histories made by hand, each with one
//! anomaly, and the same ones put right.

use crate::explain::{Anomaly, Kind, check};
use crate::history::{Action, Content, History, Op, Outcome, Seen};

const ALL: u64 = 0xff;

/// A history under construction; every operation is given its process, its beginning and its end.
#[derive(Default)]
struct Story(History);

impl Story {
    fn with(mut self, process: u32, (begun, ended): (u64, u64), action: Action) -> Story {
        self.0.ops.push(Op { process, action, outcome: Outcome::Done, begun, ended });
        self
    }

    fn load(self, process: u32, at: (u64, u64), table: &str, load: u32) -> Story {
        self.with(process, at, Action::Load { table: table.to_owned(), load, rows: ALL })
    }

    fn delete(self, process: u32, at: (u64, u64), table: &str, rows: u64, taken: u64) -> Story {
        self.with(process, at, Action::Delete { table: table.to_owned(), rows, taken: Some(taken) })
    }

    fn overwrite(self, process: u32, at: (u64, u64), table: &str, load: u32) -> Story {
        self.with(process, at, Action::Overwrite { table: table.to_owned(), load, rows: ALL })
    }

    fn read(self, process: u32, at: (u64, u64), seen: &[(&str, &[(u32, u64)])]) -> Story {
        self.with(process, at, Action::Read { seen: of(seen) })
    }

    fn snapshot(self, process: u32, at: (u64, u64), seen: &[(&str, &[(u32, u64)])]) -> Story {
        self.with(process, at, Action::Snapshot { label: "s".to_owned(), seen: of(seen) })
    }

    fn restore(self, process: u32, at: (u64, u64), tables: &[(&str, &[(u32, u64)])]) -> Story {
        self.with(process, at, Action::Restore { label: "s".to_owned(), tables: of(tables) })
    }

    /// The outcome of the last operation.
    fn but(mut self, outcome: Outcome) -> Story {
        if let Some(op) = self.0.ops.last_mut() {
            op.outcome = outcome;
        }
        self
    }

    #[track_caller]
    fn passes(self) {
        if let Err(anomaly) = check(&self.0) {
            panic!("{anomaly}");
        }
    }

    /// Checks that it has this anomaly, told with so many operations.
    #[track_caller]
    fn has(self, kind: Kind, ops: usize) -> Anomaly {
        let anomaly = check(&self.0).expect_err("the history has an anomaly");
        assert_eq!((anomaly.kind, anomaly.ops.len()), (kind, ops), "{anomaly}");
        anomaly
    }
}

fn of(seen: &[(&str, &[(u32, u64)])]) -> Seen {
    seen.iter().map(|(table, loads)| ((*table).to_owned(), loads.iter().copied().collect::<Content>())).collect()
}

#[test]
fn what_overlaps_may_have_happened_or_not() {
    let loads = || Story::default().load(1, (0, 10), "a", 1).load(2, (5, 30), "b", 2);
    loads().read(3, (8, 12), &[("a", &[(1, ALL)]), ("b", &[])]).passes();
    loads().read(3, (8, 12), &[("a", &[]), ("b", &[(2, ALL)])]).passes();
    loads().read(3, (8, 12), &[("a", &[]), ("b", &[])]).passes();
    // Two queries may take different sides of a load, in the order in which they can be.
    let reads = loads().read(3, (11, 12), &[("b", &[])]).read(4, (11, 20), &[("b", &[(2, ALL)])]);
    reads.read(3, (13, 21), &[("b", &[])]).passes();
}

#[test]
fn a_query_without_a_load_that_was_acknowledged_is_stale() {
    let story = Story::default().load(1, (0, 10), "a", 1).load(1, (20, 30), "a", 2).load(2, (0, 90), "b", 3);
    let story = story.read(3, (31, 40), &[("a", &[(1, ALL), (2, ALL)])]);
    let anomaly = story.read(4, (50, 60), &[("a", &[(1, ALL)]), ("b", &[])]).has(Kind::StaleRead, 2);
    assert!(anomaly.explanation.contains("load 2 into a") && !anomaly.explanation.contains("load 1"), "{anomaly}");
}

#[test]
fn a_query_after_one_that_has_seen_more_is_stale() {
    let story = Story::default().load(1, (0, 90), "a", 1).read(2, (10, 20), &[("a", &[(1, ALL)])]);
    story.read(3, (30, 40), &[("a", &[])]).has(Kind::NoOrder, 3);
}

#[test]
fn a_load_that_is_never_seen_is_lost() {
    let story = Story::default().load(1, (0, 10), "a", 1).load(2, (5, 15), "a", 2);
    let story = story.read(3, (20, 30), &[("a", &[(2, ALL)])]).read(3, (40, 50), &[("a", &[(2, ALL)])]);
    let anomaly = story.has(Kind::LostUpdate, 2);
    assert!(anomaly.explanation.contains("load 1 into a"), "{anomaly}");
}

#[test]
fn a_delete_that_is_undone_by_what_it_met_is_found() {
    let story = || Story::default().load(1, (0, 10), "a", 1).delete(2, (20, 30), "a", 0b10, 1);
    story().read(3, (40, 50), &[("a", &[(1, ALL)])]).has(Kind::StaleRead, 3);
    story().read(3, (40, 50), &[("a", &[(1, ALL & !0b10)])]).passes();
    // It takes what was loaded before it, or not what was loaded after it, and says how much that was.
    let met = |taken| Story::default().load(1, (0, 40), "a", 1).delete(2, (20, 30), "a", 0b10, taken);
    met(1).read(3, (50, 60), &[("a", &[(1, ALL & !0b10)])]).passes();
    met(0).read(3, (50, 60), &[("a", &[(1, ALL)])]).passes();
    met(0).read(3, (50, 60), &[("a", &[(1, ALL & !0b10)])]).has(Kind::StaleRead, 3);
}

#[test]
fn tables_of_different_moments_are_fractured() {
    let story = || Story::default().load(1, (0, 10), "a", 1).load(1, (20, 30), "b", 2).load(2, (0, 50), "c", 3);
    let anomaly = story().read(3, (5, 40), &[("a", &[]), ("b", &[(2, ALL)]), ("c", &[])]).has(Kind::FracturedRead, 3);
    assert!(!anomaly.explanation.contains("load 3"), "{anomaly}");
    story().read(3, (5, 40), &[("a", &[(1, ALL)]), ("b", &[]), ("c", &[])]).passes();
    // The same table twice in one query.
    let story = Story::default().load(1, (0, 10), "a", 1);
    story.read(3, (0, 20), &[("a", &[]), ("a", &[(1, ALL)])]).has(Kind::FracturedRead, 2);
}

#[test]
fn two_queries_that_see_two_loads_in_opposite_orders_contradict_each_other() {
    let story = Story::default().load(1, (0, 100), "a", 1).load(2, (0, 100), "b", 2);
    let story = story.read(3, (10, 20), &[("a", &[(1, ALL)]), ("b", &[])]);
    story.read(4, (10, 20), &[("a", &[]), ("b", &[(2, ALL)])]).has(Kind::FracturedRead, 4);
}

#[test]
fn a_part_of_a_load_is_found() {
    let story = || Story::default().load(1, (0, 50), "a", 1).delete(2, (5, 60), "a", 0b10, 0);
    story().read(3, (10, 20), &[("a", &[(1, 0b1111)])]).has(Kind::NonAtomicLoad, 2);
    // What somebody may have deleted is no such part.
    let story = Story::default().load(1, (0, 50), "a", 1).delete(2, (5, 60), "a", 0b10, 1);
    story.read(3, (10, 20), &[("a", &[(1, ALL & !0b10)])]).passes();
}

#[test]
fn what_nobody_has_loaded_yet_or_at_all_is_found() {
    let story = || Story::default().load(1, (50, 60), "a", 1);
    story().but(Outcome::Refused).read(2, (70, 80), &[("a", &[(1, ALL)])]).has(Kind::AbortedRead, 2);
    story().but(Outcome::Refused).read(2, (70, 80), &[("a", &[])]).passes();
    story().read(2, (10, 20), &[("a", &[(1, ALL)])]).has(Kind::FutureRead, 2);
    story().read(2, (70, 80), &[("a", &[(1, ALL), (7, 1)])]).has(Kind::AbortedRead, 1);
}

#[test]
fn what_nobody_knows_of_may_have_happened_at_any_time_or_never() {
    let story = || Story::default().load(1, (0, u64::MAX), "a", 1).but(Outcome::Unknown);
    story().read(2, (10, 20), &[("a", &[])]).read(2, (30, 40), &[("a", &[(1, ALL)])]).passes();
    story().read(2, (10, 20), &[("a", &[])]).passes();
    let back = story().read(2, (10, 20), &[("a", &[(1, ALL)])]).read(2, (30, 40), &[("a", &[])]);
    back.has(Kind::NoOrder, 3);
}

#[test]
fn the_middle_of_an_overwrite_or_a_restore_is_found() {
    let story = || Story::default().load(1, (0, 10), "a", 1).overwrite(1, (20, 50), "a", 2);
    story().read(2, (30, 40), &[("a", &[])]).has(Kind::IntermediateRead, 3);
    story().read(2, (30, 40), &[("a", &[(1, ALL)])]).passes();
    story().read(2, (30, 40), &[("a", &[(2, ALL)])]).passes();
    story().read(2, (30, 40), &[("a", &[(1, ALL), (2, ALL)])]).has(Kind::IntermediateRead, 3);
    let story = || {
        let loads = Story::default().load(1, (0, 10), "a", 1).load(1, (11, 20), "b", 2);
        loads.restore(2, (30, 60), &[("a", &[]), ("b", &[])])
    };
    story().read(3, (40, 50), &[("a", &[(1, ALL)]), ("b", &[])]).has(Kind::FracturedRead, 4);
    story().read(3, (40, 50), &[("a", &[]), ("b", &[])]).read(3, (51, 52), &[("a", &[])]).passes();
}

#[test]
fn a_load_that_a_restore_has_passed_over_is_not_lost() {
    let story = || Story::default().load(1, (0, 10), "a", 1).restore(2, (20, 60), &[("a", &[])]);
    story().load(1, (30, 40), "a", 2).read(3, (70, 80), &[("a", &[])]).passes();
    story().load(1, (30, 40), "a", 2).read(3, (70, 80), &[("a", &[(2, ALL)])]).passes();
    story().load(1, (30, 40), "a", 2).read(3, (70, 80), &[("a", &[(1, ALL)])]).has(Kind::StaleRead, 3);
    story().load(1, (61, 62), "a", 2).read(3, (70, 80), &[("a", &[])]).has(Kind::LostUpdate, 3);
}

#[test]
fn a_snapshot_is_of_one_moment_of_its_backup() {
    let story = || Story::default().load(1, (0, 10), "a", 1).load(1, (20, 30), "b", 2).load(1, (60, 70), "a", 3);
    story().snapshot(2, (5, 50), &[("a", &[(1, ALL)]), ("b", &[])]).passes();
    story().snapshot(2, (5, 50), &[("a", &[(1, ALL)]), ("b", &[(2, ALL)])]).passes();
    story().snapshot(2, (5, 50), &[("a", &[]), ("b", &[(2, ALL)])]).has(Kind::TornSnapshot, 3);
    // Of a moment before the BACKUP was said, and after its cut was known.
    story().snapshot(2, (35, 50), &[("a", &[(1, ALL)]), ("b", &[])]).has(Kind::TornSnapshot, 2);
    story().snapshot(2, (35, 50), &[("a", &[(1, ALL), (3, ALL)]), ("b", &[(2, ALL)])]).has(Kind::FutureRead, 2);
}

#[test]
fn an_anomaly_in_a_long_history_is_told_in_a_few_lines() {
    let mut story = Story::default();
    for round in 0..200_u32 {
        let at = u64::from(round) * 100;
        story = story.load(1, (at, at + 50), "a", 2 * round).load(2, (at + 10, at + 60), "b", 2 * round + 1);
        let held = |odd: u32| (0..=round).map(|round| (2 * round + odd, ALL)).collect::<Vec<_>>();
        // The 150th query has b of its own moment, and a of one long past.
        let a = if round == 150 { held(0)[..140].to_vec() } else { held(0) };
        story = story.read(3, (at + 70, at + 80), &[("a", &a), ("b", &held(1))]);
    }
    story.has(Kind::StaleRead, 2);
}
