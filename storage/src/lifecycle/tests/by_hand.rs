//! Schedules written by hand: rules that chance would seldom need, each with a schedule that loses something without it. Goal:
//! every rule is needed, and sufficient there. Method: those who work on the repository are led to the requests at which
//! the rule decides; the schedule is played with the rule and without.

use std::sync::Arc;

use super::actors::{GRACE_MS, TIMEOUTS_S, Writer, WriterRule, collector, drop_label};
use super::explore::{Broken, STARTS, Schedule, WITH_BACKUP};
use super::world::{Fate, Lies, Start};
use crate::lifecycle::collect::Rule;
use crate::lifecycle::{CLAIM_WAIT, drop};
use crate::repository::store::Operation;
use crate::repository::{Repository, layout};

/// The snapshot that backups here write: of everything, so that it needs all there is to collect.
const ALL: usize = 7;

/// A while that is longer than a claim is waited for.
const LONG_MS: i64 = CLAIM_WAIT.as_millis() as i64 + 600_000;

impl Schedule {
    /// Begins there, with nobody at work.
    fn at(start: &Start) -> Schedule {
        let schedule = Schedule::bare(0, Broken::default(), true);
        schedule.world.load(start);
        schedule
    }

    /// Leads somebody to a request of which this holds. The request waits there.
    fn lead(&mut self, position: usize, mut stands: impl FnMut(Operation, &str) -> bool) -> u64 {
        loop {
            let (id, (operation, key)) = {
                let state = self.world.0.lock();
                let mut own = state.waiting.iter().filter(|(_, waiting)| waiting.actor == position);
                let (id, waiting) = own.next().unwrap_or_else(|| panic!("it does not come to it: {:#?}", state.trace));
                (*id, waiting.asks.clone().expect("it asks for something"))
            };
            if stands(operation, &key) {
                return id;
            }
            self.grant(id, position, Fate::Answered);
        }
    }

    /// A turn of collection that has not begun to ask.
    fn collector(&mut self, without: Option<Rule>) -> usize {
        let world = self.world.clone();
        self.begin(async move {
            let turn = collector(&world, &[], without).turn().await;
            world.note(|| format!("turn: {turn:?}"));
        })
    }

    /// A turn of collection, to its end.
    fn collect(&mut self, without: Option<Rule>) {
        let position = self.collector(without);
        self.finish(position);
    }

    /// A backup that goes on from where it stands.
    fn writer(&mut self, writer: &Arc<Writer>) -> usize {
        let (world, dice) = (self.world.clone(), self.fork());
        self.begin(Arc::clone(writer).run(world, dice))
    }

    /// A backup, to its end.
    fn back_up(&mut self, writer: &Arc<Writer>) {
        let position = self.writer(writer);
        self.finish(position);
    }

    /// The process of somebody ends.
    fn kill(&mut self, position: usize) {
        self.actors[position].future = None;
    }

    /// Somebody does this alone, and the first request of it has this fate.
    fn do_alone(&mut self, fate: Fate, future: impl Future<Output = ()> + 'static) {
        let position = self.begin(future);
        let request = self.lead(position, |_, _| true);
        self.grant(request, position, fate);
        self.finish(position);
    }

    /// The commit object of a backup is put twice; the first put had no answer, and is on its way.
    fn put_twice(&mut self, writer: &Arc<Writer>) {
        for fate in [Fate::Late, Fate::Answered] {
            let (world, writer) = (self.world.clone(), Arc::clone(writer));
            self.do_alone(fate, async move {
                let put = Repository::over(world).put_manifest(&writer.manifest()).await;
                assert_eq!(put.is_ok(), fate == Fate::Answered);
            });
        }
    }

    fn violation(&self) -> Option<String> {
        self.world.0.lock().violation.clone()
    }
}

/// The rule keeps something from being lost.
fn assert_needed<R: Copy + std::fmt::Debug>(rule: R, play: impl Fn(Option<R>) -> Schedule) {
    let schedule = play(Some(rule));
    assert!(schedule.violation().is_some(), "nothing is lost without {rule:?}: {:#?}", schedule.world.0.lock().trace);
    let schedule = play(None);
    assert_eq!(schedule.violation(), None, "{:#?}", schedule.world.0.lock().trace);
}

fn puts(part: &'static str) -> impl FnMut(Operation, &str) -> bool {
    move |operation, key| operation == Operation::Put && key.contains(part)
}

fn removes(part: &'static str) -> impl FnMut(Operation, &str) -> bool {
    move |operation, key| operation == Operation::Delete && key.contains(part)
}

fn removes_content(operation: Operation, key: &str) -> bool {
    operation == Operation::Delete && (key.starts_with(layout::OBJECTS) || key.starts_with(layout::TREES))
}

/// Goal: a removal that comes after the tombstone, and takes it away, costs no snapshot anything. Method: the commit object of
/// a backup that a mark waits for is put twice and removed twice; the first of each had no answer and comes in the end, after a
/// turn of collection that finds the tombstone there. That is how a dropped snapshot may come back: whole.
#[test]
fn a_removal_that_comes_after_the_tombstone_costs_nothing() {
    let play = |without: Option<Rule>| {
        let (timeout_s, began_ms, start) = &WITH_BACKUP[1];
        let mut schedule = Schedule::at(start);
        let writer = Writer::before_its_end(ALL, *timeout_s, *began_ms, None);
        let (name, key) = (writer.name.clone(), layout::snapshot(&writer.name.0, &writer.name.1).unwrap());
        schedule.put_twice(&writer);
        let world = schedule.world.clone();
        schedule.do_alone(Fate::Late, async move {
            Repository::over(world).remove_commit(&name).await.unwrap_err();
        });
        schedule.run_alone(drop_label(schedule.world.clone(), "7-200"));
        schedule.collect(without);
        for position in [1, 0] {
            schedule.world.deliver_nth(position);
        }
        let state = schedule.world.0.lock();
        assert!(state.objects.contains_key(key.as_str()), "it is back: {:?}", state.trace);
        std::mem::drop(state);
        schedule
    };
    assert_needed(Rule::LastingTombstone, play);
    // Without its announcement the backup would not be waited for.
    assert_needed(Rule::KeepAnnouncement, play);
}

/// Goal: a put that comes after the drop finds the tombstone. Method: the commit object is put twice, the first put had no answer
/// and comes in the end; the snapshot is dropped in between, with and without leaving a tombstone.
#[test]
fn a_put_that_comes_after_the_drop_brings_nothing_back() {
    let is_back = |buries: bool| {
        let mut schedule = Schedule::at(&STARTS[1]);
        let writer = Writer::before_its_end(ALL, TIMEOUTS_S[2], schedule.world.now_ms(), None);
        schedule.run_alone(Arc::clone(&writer).announce(schedule.world.clone()));
        schedule.put_twice(&writer);
        let (world, name) = (schedule.world.clone(), writer.name.clone());
        schedule.run_alone(async move {
            let repository = Repository::over(world.clone());
            match buries {
                true => drop::remove_snapshot(&repository, &world, &name).await.unwrap(),
                false => repository.remove_commit(&name).await.unwrap(),
            }
        });
        schedule.world.deliver_nth(0);
        let (world, name) = (schedule.world.clone(), writer.name.clone());
        let found = Arc::new(parking_lot::Mutex::new(None));
        let seen = Arc::clone(&found);
        schedule.run_alone(async move {
            *seen.lock() = Some(Repository::over(world).has_commit(&name).await.unwrap());
        });
        let back = found.lock().expect("it was looked for");
        assert_eq!(schedule.violation(), None);
        back
    };
    assert!(is_back(false), "a drop that leaves no tombstone is undone");
    assert!(!is_back(true));
}

/// Goal: a backup that the mark's list of writers lacks is waited for all the same. Method: it is announced when a turn marks
/// what it needs, and no listing of that turn shows it.
#[test]
fn a_backup_that_was_not_listed_is_waited_for() {
    assert_needed(Rule::OlderWriters, |without| {
        let mut schedule = Schedule::at(&STARTS[2]);
        let writer = Writer::before_its_end(ALL, TIMEOUTS_S[2], schedule.world.now_ms(), None);
        schedule.run_alone(Arc::clone(&writer).announce(schedule.world.clone()));
        schedule.world.0.lock().lie(Lies::AllAnnouncements);
        schedule.collect(None);
        schedule.world.0.lock().lie(Lies::None);
        schedule.advance(GRACE_MS + 60_000);
        schedule.collect(without);
        schedule.back_up(&writer);
        schedule
    });
}

/// Goal: who is announced right before the mark is among its writers. Method: a backup announces itself, has found everything
/// present, and no listing of the turn that sweeps shows it.
#[test]
fn writers_are_listed_after_the_mark_is_there() {
    assert_needed(Rule::MarkThenWriters, |without| {
        let mut schedule = Schedule::at(&STARTS[2]);
        let writer = Writer::before_its_end(ALL, TIMEOUTS_S[2], schedule.world.now_ms(), None);
        let marking = schedule.collector(without);
        schedule.lead(marking, puts("mark.json"));
        schedule.run_alone(Arc::clone(&writer).announce(schedule.world.clone()));
        schedule.finish(marking);
        schedule.advance(GRACE_MS + 60_000);
        schedule.world.0.lock().lie(Lies::AllAnnouncements);
        schedule.collect(without);
        schedule.world.0.lock().lie(Lies::None);
        schedule.back_up(&writer);
        schedule
    });
}

/// Goal: who has claimed and then stood still removes nothing. Method: it stands still for longer than a backup waits, before
/// its first removal.
#[test]
fn nothing_is_removed_after_the_time_of_the_claim() {
    assert_needed(Rule::InTime, |without| {
        let mut schedule = Schedule::at(&STARTS[3]);
        let sweeping = schedule.collector(without);
        schedule.lead(sweeping, |operation, key| operation == Operation::List && key == layout::MENDED);
        schedule.world.0.lock().next_pause_ms = Some(LONG_MS);
        let request = schedule.lead(sweeping, |_, _| true);
        schedule.grant(request, sweeping, Fate::Answered);
        schedule.back_up(&Writer::new(0, ALL, TIMEOUTS_S[2], None));
        schedule.finish(sweeping);
        schedule
    });
}

/// Goal: a mark that is being swept is not ended by others. Method: a second collection comes between claim and removals, and
/// then a backup that looks for marks.
#[test]
fn a_claimed_mark_is_left_alone() {
    assert_needed(Rule::LeaveClaimed, |without| {
        let mut schedule = Schedule::at(&STARTS[3]);
        let sweeping = schedule.collector(without);
        schedule.lead(sweeping, removes_content);
        schedule.collect(without);
        schedule.back_up(&Writer::new(0, ALL, TIMEOUTS_S[2], None));
        schedule.finish(sweeping);
        schedule
    });
}

/// Goal: a mark that was decided about is not decided about again. Method: a collection is about to claim, a backup cancels, and
/// a second collection has half cleaned up.
#[test]
fn of_a_mark_the_mark_goes_first() {
    assert_needed(Rule::MarkGoesFirst, |without| {
        let mut schedule = Schedule::at(&STARTS[3]);
        let sweeping = schedule.collector(without);
        schedule.lead(sweeping, puts("sweep.json"));
        let writing = schedule.writer(&Writer::new(0, ALL, TIMEOUTS_S[2], None));
        schedule.lead(writing, puts(layout::SNAPSHOTS));
        let cleaning = schedule.collector(without);
        schedule.lead(cleaning, removes("mark.json"));
        schedule.finish(sweeping);
        schedule.finish(writing);
        schedule.finish(cleaning);
        schedule
    });
}

/// Goal: a removal that is on its way meets nobody's content. Method: one has no answer, a backup comes that needs what it
/// removes, and then the removal arrives.
#[test]
fn a_mark_stays_while_a_removal_may_be_on_its_way() {
    assert_needed(Rule::WaitForRemovals, |without| {
        let mut schedule = Schedule::at(&STARTS[3]);
        let sweeping = schedule.collector(without);
        let removal = schedule.lead(sweeping, removes_content);
        schedule.grant(removal, sweeping, Fate::Late);
        schedule.finish(sweeping);
        schedule.back_up(&Writer::new(0, ALL, TIMEOUTS_S[2], None));
        schedule.world.deliver_nth(0);
        schedule
    });
}

/// Goal: a backup that has published is seen to be over or to be announced. Method: it publishes between the two listings of a
/// collection that stands still there, and another removes its announcement and dies.
#[test]
fn announcements_are_listed_before_snapshots() {
    assert_needed(Rule::AnnouncementsFirst, |without| {
        let (timeout_s, began_ms, start) = &WITH_BACKUP[0];
        let mut schedule = Schedule::at(start);
        let sweeping = schedule.collector(without);
        let mut has_read_mark = false;
        let listing = schedule.lead(sweeping, |operation, key| {
            has_read_mark |= operation == Operation::Get && key.contains("mark.json");
            has_read_mark && operation == Operation::List
        });
        schedule.world.0.lock().next_pause_ms = Some(3 * GRACE_MS);
        schedule.grant(listing, sweeping, Fate::Answered);
        schedule.back_up(&Writer::before_its_end(ALL, *timeout_s, *began_ms, None));
        // Until its announcement may go.
        schedule.advance(timeout_s.cast_signed() * 1_000);
        let retiring = schedule.collector(without);
        let removal = schedule.lead(retiring, removes(layout::WRITERS));
        schedule.grant(removal, retiring, Fate::Answered);
        schedule.kill(retiring);
        schedule.finish(sweeping);
        schedule
    });
}

/// Goal: who has found something present is announced. Method: it is marked when a backup has found it present, or would do so
/// next, and swept before the backup publishes.
#[test]
fn a_backup_announces_itself_before_it_looks() {
    assert_needed(WriterRule::AnnounceFirst, |without| {
        let mut schedule = Schedule::at(&STARTS[2]);
        let writer = Writer::new(0, ALL, TIMEOUTS_S[2], without);
        let writing = schedule.writer(&writer);
        schedule.lead(writing, puts(layout::WRITERS));
        schedule.collect(None);
        schedule.advance(60_000);
        schedule.lead(writing, puts(layout::SNAPSHOTS));
        schedule.kill(writing);
        schedule.advance(GRACE_MS + 60_000);
        schedule.collect(None);
        schedule.back_up(&writer);
        schedule
    });
}

/// Goal: a backup that was given up long ago does not publish. Method: it is taken up again once its announcement and its
/// tombstone are gone, by a process whose clock was set back, so that it believes to be in time.
#[test]
fn a_backup_that_is_taken_up_again_is_still_announced() {
    assert_needed(WriterRule::StillAnnounced, |without| {
        let (timeout_s, _, start) = &WITH_BACKUP[0];
        let mut schedule = Schedule::at(start);
        for _ in 0..6 {
            schedule.advance(2 * GRACE_MS);
            schedule.collect(None);
        }
        let began_ms = schedule.world.now_ms();
        schedule.back_up(&Writer::before_its_end(ALL, *timeout_s, began_ms, without));
        schedule
    });
}
