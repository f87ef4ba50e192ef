//! The explorer: one schedule for each seed, on as many threads as there are.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};

use super::actors::{
    GRACE_MS, TIMEOUTS_S, UNIVERSE, Writer, WriterRule, collect, collector, drop_label, drop_snapshots,
};
use super::world::{Dice, Fate, Lies, Start, World};
use crate::lifecycle::collect::Rule;
use crate::repository::Put;
use crate::repository::store::ObjectStore;

/// Schedules of one run in CI: a minute and a half of one core in a debug build.
const SCHEDULES_CI: u64 = 100_000;

/// Schedules of one run elsewhere.
const SCHEDULES: u64 = 10_000;

/// Requests of one schedule before it is wound up.
const REQUESTS_MAX: usize = 160;

/// Schedules until a broken protocol must have been caught.
const SCHEDULES_BROKEN_MAX: u64 = 100_000;

/// One schedule in so many is played to its very end, to see that garbage goes.
const WOUND_UP_EVERY: u64 = 64;

/// What is left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Broken {
    collector: Option<Rule>,
    writer: Option<WriterRule>,
    /// What the store does not list; no mistake of the protocol's.
    lies: Lies,
}

impl Broken {
    const fn collector(rule: Rule) -> Broken {
        Broken { collector: Some(rule), writer: None, lies: Lies::None }
    }

    const fn before_a_liar(rule: Rule, lies: Lies) -> Broken {
        Broken { collector: Some(rule), writer: None, lies }
    }

    const fn writer(rule: WriterRule) -> Broken {
        Broken { collector: None, writer: Some(rule), lies: Lies::None }
    }
}

/// Rules without which chance loses something, with the first seed at which to look for it: one that has found it. Those
/// that chance would seldom need have schedules of their own (`by_hand`).
const NEEDED: &[(Broken, u64)] = &[
    (Broken::collector(Rule::WaitForWriters), 1_000_093),
    (Broken::collector(Rule::Fence), 1_002_362),
    (Broken::collector(Rule::LookAgain), 1_000_036),
    (Broken::collector(Rule::Claim), 1_000_720),
    (Broken::collector(Rule::LookAfterClaim), 1_004_946),
    (Broken::collector(Rule::KeepTombstone), 1_000_086),
    (Broken::writer(WriterRule::Announce), 1_011_247),
    (Broken::writer(WriterRule::Look), 1_000_412),
    (Broken::writer(WriterRule::LookThenPresence), 1_004_186),
    (Broken::writer(WriterRule::WaitForClaim), 1_008_082),
    (Broken::writer(WriterRule::InTime), 1_000_204),
    (Broken::before_a_liar(Rule::KnownSnapshots, Lies::Snapshots), 1_000_150),
    (Broken::before_a_liar(Rule::LookForWriter, Lies::Announcements), 1_000_517),
];

/// Rules that keep nothing from being lost: without them work would be done that is undone at once.
const THRIFTY: [Rule; 2] = [Rule::MarkOld, Rule::SweepLater];

/// Somebody at work.
pub(super) struct Actor {
    pub(super) future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Flag>,
    /// The backup it is, to be taken up again after a crash.
    writer: Option<Arc<Writer>>,
    /// In how many of a hundred cases it is passed over: the stalled move seldom.
    sloth: usize,
    /// At which event it is looked at again: what it has asked for is on its way for so long.
    asleep_until: usize,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Actor {
    fn new(future: impl Future<Output = ()> + 'static, sloth: usize) -> Actor {
        Actor {
            future: Some(Box::pin(future)),
            woken: Arc::new(Flag(AtomicBool::new(true))),
            writer: None,
            sloth,
            asleep_until: 0,
        }
    }

    fn poll(&mut self) {
        while self.woken.0.swap(false, Ordering::Relaxed) {
            let Some(future) = &mut self.future else { return };
            let waker = Waker::from(Arc::clone(&self.woken));
            if future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
                self.future = None;
            }
        }
    }
}

pub(super) struct Schedule {
    pub(super) world: World,
    dice: Dice,
    pub(super) actors: Vec<Actor>,
    broken: Broken,
    last: usize,
    /// Events so far.
    events: usize,
    /// In how many of a hundred cases a request fails, and an answer is lost.
    faults: usize,
}

/// Where schedules begin: with nothing; with two snapshots; with one, and garbage; with garbage that is marked, and the
/// grace over.
pub(super) static STARTS: LazyLock<[Start; 4]> = LazyLock::new(|| {
    let mut schedule = Schedule::bare(0, Broken::default(), false);
    let empty = schedule.world.save();
    for (number, set) in [(100, 7), (101, 3)] {
        let (world, dice) = (schedule.world.clone(), schedule.fork());
        schedule.run_alone(Writer::new(number, set, TIMEOUTS_S[0], None).run(world, dice));
        schedule.advance(1_000);
    }
    let two = schedule.world.save();
    schedule.run_alone(drop_label(schedule.world.clone(), "7-100"));
    schedule.advance(2 * GRACE_MS);
    let garbage = schedule.world.save();
    schedule.mark();
    schedule.advance(2 * GRACE_MS);
    [empty, two, garbage, schedule.world.save()]
});

/// More of these: a backup that needs garbage was announced, then the garbage was marked, and the mark is due. With the
/// backup's timeout and beginning.
pub(super) static WITH_BACKUP: LazyLock<[(u64, i64, Start); 2]> = LazyLock::new(|| {
    [TIMEOUTS_S[1], TIMEOUTS_S[2]].map(|timeout_s| {
        let mut schedule = Schedule::bare(0, Broken::default(), false);
        schedule.world.load(&STARTS[2]);
        let began_ms = schedule.world.now_ms();
        let writer = Writer::before_its_end(7, timeout_s, began_ms, None);
        schedule.run_alone(writer.announce(schedule.world.clone()));
        schedule.mark();
        schedule.advance(GRACE_MS + 60_000);
        (timeout_s, began_ms, schedule.world.save())
    })
});

impl Schedule {
    /// Nobody at work.
    pub(super) fn bare(seed: u64, broken: Broken, traced: bool) -> Schedule {
        let world = World::new(seed, Arc::clone(&UNIVERSE.bits), |label| UNIVERSE.needs(label), traced);
        Schedule { world, dice: Dice::new(seed), actors: Vec::new(), broken, last: 0, events: 0, faults: 0 }
    }

    fn new(seed: u64, broken: Broken, traced: bool) -> Schedule {
        let mut schedule = Schedule::bare(seed, broken, traced);
        schedule.faults = [0, 0, 3, 12][schedule.dice.below(4)];
        let pauses = [0, 2, 8, 20][schedule.dice.below(4)];
        let start = schedule.dice.below(STARTS.len() + WITH_BACKUP.len());
        let mut writers = Vec::new();
        if let Some(start) = STARTS.get(start) {
            schedule.world.load(start);
        } else {
            let (timeout_s, began_ms, start) = &WITH_BACKUP[start - STARTS.len()];
            schedule.world.load(start);
            let writer = Writer::before_its_end(7, *timeout_s, *began_ms, broken.writer);
            schedule.add_writer(&writer);
            writers.push(writer);
        }
        {
            let mut state = schedule.world.0.lock();
            state.pauses = pauses;
            state.lie(broken.lies);
        }
        for number in 0..1 + schedule.dice.below(2) {
            let set = 1 + schedule.dice.below(7);
            let timeout_s = TIMEOUTS_S[schedule.dice.below(TIMEOUTS_S.len())];
            let writer = Writer::new(number, set, timeout_s, broken.writer);
            schedule.add_writer(&writer);
            // Some are of the collectors' own cluster.
            if schedule.dice.chance(50) {
                writers.push(writer);
            }
        }
        if schedule.dice.chance(70) {
            let (world, dice, sloth) = (schedule.world.clone(), schedule.fork(), schedule.sloth());
            let drops = 1 + schedule.dice.below(2);
            schedule.actors.push(Actor::new(drop_snapshots(world, dice, drops), sloth));
        }
        for _ in 0..1 + schedule.dice.below(2) {
            let (world, dice, sloth) = (schedule.world.clone(), schedule.fork(), schedule.sloth());
            let turns = 1 + schedule.dice.below(4);
            schedule.actors.push(Actor::new(collect(world, dice, turns, writers.clone(), broken.collector), sloth));
        }
        schedule
    }

    fn sloth(&mut self) -> usize {
        [0, 0, 50, 90][self.dice.below(4)]
    }

    /// A first turn of collection, alone.
    pub(super) fn mark(&mut self) {
        let (world, dice) = (self.world.clone(), self.fork());
        self.run_alone(collect(world, dice, 1, Vec::new(), None));
    }

    /// Lets somebody begin.
    pub(super) fn begin(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        self.actors.push(Actor::new(future, 0));
        let last = self.actors.len() - 1;
        self.poll(last);
        last
    }

    /// Lets somebody come to an end, alone.
    pub(super) fn run_alone(&mut self, future: impl Future<Output = ()> + 'static) {
        let last = self.begin(future);
        self.finish(last);
    }

    /// The same with somebody who has begun.
    pub(super) fn finish(&mut self, position: usize) {
        loop {
            let next = {
                let state = self.world.0.lock();
                let mut own = state.waiting.iter().filter(|(_, waiting)| waiting.actor == position);
                own.next().map(|(id, waiting)| (*id, waiting.until_ms))
            };
            match next {
                Some((id, None)) => self.grant(id, position, Fate::Answered),
                Some((_, Some(until_ms))) => {
                    let wait_ms = (until_ms - self.world.now_ms()).max(0);
                    self.advance(wait_ms);
                }
                None => return,
            }
        }
    }

    pub(super) fn fork(&mut self) -> Dice {
        Dice::new(self.dice.next())
    }

    fn add_writer(&mut self, writer: &Arc<Writer>) {
        let sloth = self.sloth();
        let (world, dice, begins) = (self.world.clone(), self.fork(), self.dice.below(4));
        let run = Arc::clone(writer);
        let future = async move {
            if begins > 0 {
                world.sleep_ms([0, 60_000, GRACE_MS, 2 * GRACE_MS][begins]).await;
            }
            run.run(world, dice).await;
        };
        let mut actor = Actor::new(future, sloth);
        actor.writer = Some(Arc::clone(writer));
        self.actors.push(actor);
    }

    fn poll(&mut self, position: usize) {
        self.world.0.lock().actor = position;
        self.actors[position].poll();
    }

    /// Plays until nothing moves, the requests are used up, or a snapshot lacks something.
    fn play(&mut self) {
        for position in 0..self.actors.len() {
            self.poll(position);
        }
        for _ in 0..REQUESTS_MAX {
            if self.world.0.lock().violation.is_some() || !self.step() {
                return;
            }
        }
    }

    /// One event. Returns whether there was one.
    fn step(&mut self) -> bool {
        self.events += 1;
        match self.dice.below(100) {
            0..4 => {
                self.world.advance_somehow();
                self.wake_due();
            }
            4 => self.crash(),
            5..15 => self.world.deliver(&mut self.dice),
            15..19 => {
                let position = self.dice.below(self.actors.len());
                self.actors[position].asleep_until = self.events + 10 + self.dice.below(40);
            }
            _ => {}
        }
        let requests: Vec<(u64, usize)> = {
            let state = self.world.0.lock();
            let asks = state.waiting.iter().filter(|(_, waiting)| waiting.until_ms.is_none());
            asks.map(|(id, waiting)| (*id, waiting.actor)).collect()
        };
        if requests.is_empty() {
            return self.wake_sleeper() || self.resume();
        }
        let awake = |(_, actor): &(u64, usize)| self.actors[*actor].asleep_until <= self.events;
        let requests = match requests.iter().copied().filter(awake).collect::<Vec<_>>() {
            awake if awake.is_empty() => requests,
            awake => awake,
        };
        let mut chosen = requests[self.dice.below(requests.len())];
        if self.dice.chance(60)
            && let Some(again) = requests.iter().find(|(_, actor)| *actor == self.last)
        {
            chosen = *again; // Runs of one actor's requests come more often than chance would have it.
        }
        if self.dice.chance(self.actors[chosen.1].sloth) {
            return true; // It stalls.
        }
        let fate = match self.dice.below(100) {
            lot if lot < self.faults / 3 => Fate::Failed,
            lot if lot < self.faults * 2 / 3 => Fate::AnswerLost,
            lot if lot < self.faults => Fate::Late,
            _ => Fate::Answered,
        };
        self.grant(chosen.0, chosen.1, fate);
        true
    }

    pub(super) fn grant(&mut self, id: u64, actor: usize, fate: Fate) {
        self.last = actor;
        self.world.grant(id, fate);
        self.poll(actor);
    }

    pub(super) fn advance(&mut self, by_ms: i64) {
        self.world.0.lock().now_ms += by_ms;
        self.wake_due();
    }

    fn wake_due(&mut self) {
        let due: Vec<(u64, usize)> = {
            let state = self.world.0.lock();
            let is_due = |waiting: &super::world::Waiting| waiting.until_ms.is_some_and(|at| at <= state.now_ms);
            state.waiting.iter().filter(|(_, waiting)| is_due(waiting)).map(|(id, w)| (*id, w.actor)).collect()
        };
        for (id, actor) in due {
            self.grant(id, actor, Fate::Answered);
        }
    }

    /// Lets the time go on to when somebody sleeps no longer.
    fn wake_sleeper(&mut self) -> bool {
        let until_ms = self.world.0.lock().waiting.values().filter_map(|waiting| waiting.until_ms).min();
        let Some(until_ms) = until_ms else { return false };
        {
            let mut state = self.world.0.lock();
            state.now_ms = state.now_ms.max(until_ms);
        }
        self.wake_due();
        true
    }

    /// Somebody dies; a backup may be taken up again at once.
    fn crash(&mut self) {
        let position = self.dice.below(self.actors.len());
        self.actors[position].future = None;
        if self.dice.chance(50) {
            self.resume();
        }
    }

    /// A backup that has not ended goes on in another process.
    fn resume(&mut self) -> bool {
        let stopped = |actor: &Actor| {
            let writer = actor.writer.as_ref().filter(|writer| !writer.is_over());
            writer.filter(|_| actor.future.is_none()).map(Arc::clone)
        };
        let found = self.actors.iter().enumerate().find_map(|(position, actor)| Some((position, stopped(actor)?)));
        let Some((position, writer)) = found else { return false };
        self.actors[position].writer = None;
        self.add_writer(&writer);
        let last = self.actors.len() - 1;
        self.poll(last);
        true
    }

    /// Lets everybody come to an end without faults, and collects until nothing is left to collect.
    fn wind_up(&mut self) {
        self.faults = 0;
        {
            let mut state = self.world.0.lock();
            (state.pauses, state.lies) = (0, Lies::None);
        }
        for actor in &mut self.actors {
            actor.sloth = 0;
        }
        self.run_dry();
        while self.resume() {
            self.run_dry();
        }
        for _ in 0..6 {
            self.advance(3 * GRACE_MS);
            let world = self.world.clone();
            let without = self.broken.collector;
            self.run_alone(async move {
                let turn = collector(&world, &[], without).turn().await;
                world.note(|| format!("last turns: {turn:?}"));
            });
        }
    }

    fn run_dry(&mut self) {
        loop {
            let request = {
                let state = self.world.0.lock();
                let found = state.waiting.iter().find(|(_, waiting)| waiting.until_ms.is_none());
                found.map(|(id, waiting)| (*id, waiting.actor))
            };
            match request {
                Some((id, actor)) => self.grant(id, actor, Fate::Answered),
                None if self.wake_sleeper() => {}
                None => return,
            }
        }
    }
}

/// Plays a schedule. Returns what went wrong, if anything did, and how many contents were removed.
fn play(seed: u64, broken: Broken, traced: bool) -> (Option<String>, u64, Vec<String>) {
    let mut schedule = Schedule::new(seed, broken, traced);
    schedule.play();
    if seed.is_multiple_of(WOUND_UP_EVERY) && schedule.world.0.lock().violation.is_none() {
        schedule.wind_up();
        let mut state = schedule.world.0.lock();
        let (garbage, left) = (state.garbage(), state.objects.keys().cloned().collect::<Vec<_>>());
        if state.violation.is_none() && garbage != 0 {
            state.violation = Some(format!("garbage stays for ever: {garbage:b} of {left:?}"));
        }
    }
    schedule.actors.clear();
    let mut state = schedule.world.0.lock();
    (state.violation.take(), state.removed_contents, state.trace.take().unwrap_or_default())
}

/// Plays schedules from `first` on, until `count` are played or one goes wrong. Returns the first that did, and how many
/// contents were removed in all.
fn explore(first: u64, count: u64, broken: Broken) -> (Option<(u64, String)>, u64) {
    let (next, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    let found = parking_lot::Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while found.lock().is_none() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let (violation, gone, _) = play(first + number, broken, false);
                    removed.fetch_add(gone, Ordering::Relaxed);
                    if let Some(violation) = violation {
                        found.lock().get_or_insert((first + number, violation));
                    }
                }
            });
        }
    });
    (found.into_inner(), removed.into_inner())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_schedule_takes_anything_from_a_snapshot() {
    if let Some(seed) = number("EBLA_LIFECYCLE_SEED") {
        let (violation, _, trace) = play(seed, Broken::default(), true);
        assert!(violation.is_none(), "schedule {seed}: {violation:?}\n{}", trace.join("\n"));
        return;
    }
    let usual = if std::env::var_os("CI").is_some() { SCHEDULES_CI } else { SCHEDULES };
    let count = number("EBLA_LIFECYCLE_SCHEDULES").unwrap_or(usual);
    let began = std::time::Instant::now();
    let (found, removed) = explore(0, count, Broken::default());
    println!("{count} schedules in {:?}, {removed} contents removed", began.elapsed());
    if let Some((seed, violation)) = found {
        let (_, _, trace) = play(seed, Broken::default(), true);
        panic!("schedule {seed}: {violation}; EBLA_LIFECYCLE_SEED={seed} plays it again\n{}", trace.join("\n"));
    }
    assert!(removed > count / 8, "collections collect: {removed} contents in {count} schedules");
}

/// Goal: what a listing leaves out is not lost. Method: a store that leaves out all snapshots, most times; one that leaves
/// out all announcements, once.
#[test]
fn listings_that_lie_take_nothing_from_a_snapshot() {
    for lies in [Lies::Snapshots, Lies::Announcements] {
        let count = number("EBLA_LIFECYCLE_SCHEDULES").unwrap_or(SCHEDULES);
        let (found, removed) = explore(3_000_000, count, Broken { lies, ..Broken::default() });
        assert!(found.is_none(), "{lies:?}: {found:?}");
        assert!(removed > 0, "{lies:?}: collections collect");
    }
}

/// Goal: a mended copy lives as long as its content, and no longer. Method: copies of one segment that a snapshot needs and
/// of one that none needs any more.
#[test]
fn mended_copies_go_with_their_contents() {
    let mut schedule = Schedule::bare(0, Broken::default(), false);
    schedule.world.load(&STARTS[1]);
    let [needed, other] = [0, 2].map(|number| UNIVERSE.mended(number));
    for (key, body) in [needed.clone(), other.clone()] {
        let world = schedule.world.clone();
        schedule.run_alone(async move { assert_eq!(world.put_create(&key, body).await.unwrap(), Put::Created) });
    }
    schedule.run_alone(drop_label(schedule.world.clone(), "7-100"));
    for _ in 0..2 {
        schedule.advance(2 * GRACE_MS);
        let (world, dice) = (schedule.world.clone(), schedule.fork());
        schedule.run_alone(collect(world, dice, 1, Vec::new(), None));
    }
    let state = schedule.world.0.lock();
    assert!(state.violation.is_none(), "{:?}", state.violation);
    assert!(state.objects.contains_key(needed.0.as_str()), "the copy of what is needed stays");
    assert!(!state.objects.contains_key(other.0.as_str()), "the copy goes with what it stands for");
    assert_eq!(state.garbage(), 0);
}

/// Goal: the explorer would find a mistake. Method: make each, one at a time.
#[test]
fn rules_that_are_left_out_are_missed() {
    let only = std::env::var("EBLA_LIFECYCLE_RULE").unwrap_or_default();
    let mut missed = Vec::new();
    for (broken, first) in NEEDED.iter().filter(|(broken, _)| format!("{broken:?}").contains(&only)) {
        let began = std::time::Instant::now();
        let (found, _) = explore(*first, SCHEDULES_BROKEN_MAX, *broken);
        println!("{broken:?}, {:.1} s: {found:?}", began.elapsed().as_secs_f64());
        if found.is_none() {
            missed.push(broken);
        }
    }
    assert!(missed.is_empty(), "nobody misses {missed:?}");
}

/// Goal: what is said of the other rules is true. Method: nothing is lost without them, either.
#[test]
fn rules_that_only_save_work_may_be_left_out() {
    for rule in THRIFTY {
        let (found, _) = explore(2_000_000, SCHEDULES / THRIFTY.len() as u64, Broken::collector(rule));
        assert!(found.is_none(), "{rule:?} is needed: {found:?}");
    }
}
