//! A store in memory whose every request waits for the scheduler's leave: it may be carried out, be carried out without
//! an answer, fail, or come so late that it is refused. Requests are carried out one at a time, each at once, as a
//! strongly consistent store does. After every change the store looks whether each snapshot has all it needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::actors::GRACE_MS;
use crate::clock::Random;
use crate::lifecycle::{CLAIM_WAIT, Monotonic};
use crate::repository::format::TOMBSTONE_BYTES;
use crate::repository::layout::MarkPart;
use crate::repository::store::{
    ListEntry, ListPage, MultipartUpload, ObjectDelete, ObjectKey, ObjectMeta, ObjectStore, Operation, PageToken,
    Place, Put, StoreError, StoreErrorKind, StoreResult,
};
use crate::repository::{CommitName, ObjectLock, layout};

/// How late a request may be carried out: what the protocol assumes, and S3's signatures bear out.
pub(super) const DELIVERY_MAX_MS: i64 = 20 * 60_000;

/// For how long somebody stands still.
const PAUSES_MS: [i64; 6] = [60_000, 300_000, DELIVERY_MAX_MS, 2 * DELIVERY_MAX_MS, GRACE_MS, 2 * GRACE_MS];

/// When the world begins.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Small random numbers, the same for one seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d);
        dice.next();
        dice.next();
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 33) as usize) % end.max(1)
    }

    /// True in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    AnswerLost,
    Failed,
    /// Who asked is told that it failed, and it is carried out later.
    Late,
}

/// What listings leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lies {
    /// Nothing.
    #[default]
    None,
    /// Every snapshot, most times.
    Snapshots,
    /// Every announcement, once.
    Announcements,
    /// Every announcement, each time.
    AllAnnouncements,
}

/// A change that somebody has asked for, believes to have failed, and that is still on its way.
#[derive(Debug)]
struct OnItsWay {
    since_ms: i64,
    key: String,
    /// What is put; nothing for a removal.
    body: Option<Bytes>,
}

/// A request or a sleep that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) actor: usize,
    since_ms: i64,
    /// When a sleep ends; nothing for a request.
    pub(super) until_ms: Option<i64>,
    /// What is asked for, and of which key or prefix; nothing for a sleep.
    pub(super) asks: Option<(Operation, String)>,
    fate: Option<Fate>,
    waker: Waker,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now_ms: i64,
    pub(super) objects: BTreeMap<String, (Bytes, i64)>,
    pub(super) waiting: BTreeMap<u64, Waiting>,
    next: u64,
    /// Who is being polled.
    pub(super) actor: usize,
    /// What each content of the universe is, as a bit.
    bits: Arc<HashMap<String, u64>>,
    /// The bits that are there.
    present: u64,
    /// Snapshots with what they need, by key.
    committed: BTreeMap<String, u64>,
    /// Keys at which a tombstone has stood: nothing may come to be there any more.
    buried: HashSet<String>,
    on_their_way: Vec<OnItsWay>,
    /// In how many of a hundred cases somebody stands still after an answer.
    pub(super) pauses: usize,
    /// For how long somebody stands still after the next answer.
    pub(super) next_pause_ms: Option<i64>,
    /// What snapshots of each label need.
    needs: fn(&str) -> u64,
    /// What the catalog of the collectors' cluster says of snapshots.
    pub(super) known: HashSet<CommitName>,
    pub(super) lies: Lies,
    /// Listings of announcements so far, and which of them lies.
    announcement_listings: (usize, usize),
    pub(super) violation: Option<String>,
    pub(super) removed_contents: u64,
    dice: Dice,
    pub(super) trace: Option<Vec<String>>,
}

/// What a store holds at some moment: where schedules begin.
#[derive(Debug, Clone)]
pub(super) struct Start {
    now_ms: i64,
    objects: BTreeMap<String, (Bytes, i64)>,
    present: u64,
    committed: BTreeMap<String, u64>,
}

/// The store.
#[derive(Debug, Clone)]
pub(super) struct World(pub(super) Arc<Mutex<State>>);

impl World {
    pub(super) fn new(seed: u64, bits: Arc<HashMap<String, u64>>, needs: fn(&str) -> u64, traced: bool) -> World {
        World(Arc::new(Mutex::new(State {
            now_ms: BEGIN_MS,
            objects: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            actor: 0,
            bits,
            present: 0,
            committed: BTreeMap::new(),
            buried: HashSet::new(),
            on_their_way: Vec::new(),
            pauses: 0,
            next_pause_ms: None,
            needs,
            known: HashSet::new(),
            lies: Lies::None,
            announcement_listings: (0, 0),
            violation: None,
            removed_contents: 0,
            dice: Dice::new(seed ^ 0xabcd),
            trace: traced.then(Vec::new),
        })))
    }

    /// What it holds now.
    pub(super) fn save(&self) -> Start {
        let state = self.0.lock();
        Start {
            now_ms: state.now_ms,
            objects: state.objects.clone(),
            present: state.present,
            committed: state.committed.clone(),
        }
    }

    /// Begins from there.
    pub(super) fn load(&self, start: &Start) {
        let Start { now_ms, objects, present, committed } = start.clone();
        let mut state = self.0.lock();
        (state.now_ms, state.objects, state.present, state.committed) = (now_ms, objects, present, committed);
        state.known = state.committed.keys().filter_map(|key| layout::parse_snapshot(key)).collect();
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.0.lock().now_ms
    }

    /// Lets time go on, by some while or to when something is due.
    pub(super) fn advance_somehow(&self) {
        let mut state = self.0.lock();
        let by_ms = state.draw_duration(&[1_000, 60_000, DELIVERY_MAX_MS / 2, DELIVERY_MAX_MS, GRACE_MS]);
        state.now_ms += by_ms;
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        let mut state = self.0.lock();
        let (actor, now_ms) = (state.actor, state.now_ms - BEGIN_MS);
        if let Some(trace) = &mut state.trace {
            trace.push(format!("{:>7} s  actor {actor}: {}", now_ms / 1000, text()));
        }
    }

    pub(super) async fn sleep_ms(&self, duration_ms: i64) {
        let until_ms = self.now_ms() + duration_ms;
        self.wait(Some(until_ms), None).await;
    }

    /// Lets a request or a sleep come to its end.
    pub(super) fn grant(&self, id: u64, fate: Fate) {
        let mut state = self.0.lock();
        let now_ms = state.now_ms;
        let waiting = state.waiting.get_mut(&id).expect("it waits");
        let late = waiting.until_ms.is_none() && now_ms - waiting.since_ms > DELIVERY_MAX_MS;
        waiting.fate = Some(if late { Fate::Failed } else { fate });
        waiting.waker.wake_by_ref();
    }

    async fn wait(&self, until_ms: Option<i64>, mut asks: Option<(Operation, String)>) -> Fate {
        let mut ticket = Ticket { world: self, id: None };
        poll_fn(|context| {
            let ticket = &mut ticket;
            let mut state = self.0.lock();
            match ticket.id {
                None => {
                    let id = state.next;
                    state.next += 1;
                    let waiting = Waiting {
                        actor: state.actor,
                        since_ms: state.now_ms,
                        until_ms,
                        asks: asks.take(),
                        fate: None,
                        waker: context.waker().clone(),
                    };
                    state.waiting.insert(id, waiting);
                    ticket.id = Some(id);
                    Poll::Pending
                }
                Some(id) => match state.waiting.get_mut(&id) {
                    Some(waiting) => match waiting.fate {
                        Some(fate) => {
                            state.waiting.remove(&id);
                            ticket.id = None;
                            Poll::Ready(fate)
                        }
                        None => {
                            waiting.waker = context.waker().clone();
                            Poll::Pending
                        }
                    },
                    None => Poll::Ready(Fate::Failed),
                },
            }
        })
        .await
    }

    async fn request<T>(
        &self,
        operation: Operation,
        key: &str,
        body: Option<Bytes>,
        act: impl FnOnce(&mut State) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let since_ms = self.now_ms();
        let fate = self.wait(None, Some((operation, key.to_owned()))).await;
        let gone = || StoreError::new(StoreErrorKind::Timeout, operation, &self.place(), key, "no answer");
        if fate == Fate::Late && !matches!(operation, Operation::Put | Operation::Delete) {
            self.note(|| format!("{} {key}: fails", operation.name()));
            return Err(gone());
        }
        if fate == Fate::Late {
            self.note(|| format!("{} {key}: on its way, no answer", operation.name()));
            self.0.lock().on_their_way.push(OnItsWay { since_ms, key: key.to_owned(), body });
            return Err(gone());
        }
        if fate == Fate::Failed {
            self.note(|| format!("{} {key}: fails", operation.name()));
            return Err(gone());
        }
        let result = act(&mut self.0.lock());
        self.note(|| {
            let outcome = result.as_ref().map(|_| "ok").map_err(StoreError::kind);
            format!(
                "{} {key}: {outcome:?}{}",
                operation.name(),
                if fate == Fate::AnswerLost { ", answer lost" } else { "" }
            )
        });
        self.stand_still().await;
        if fate == Fate::AnswerLost { Err(gone()) } else { result }
    }

    /// A process that is suspended, or waits for its processor: nothing of its own goes on in between. It never stands
    /// still between its look at the clock and the request that depends on it, which is what the twenty minutes of a
    /// request are for.
    async fn stand_still(&self) {
        let pause_ms = {
            let mut state = self.0.lock();
            let percent = state.pauses;
            match state.next_pause_ms.take() {
                Some(pause_ms) => pause_ms,
                None if state.dice.chance(percent) => state.draw_duration(&PAUSES_MS),
                None => return,
            }
        };
        self.note(|| format!("stands still for {} s", pause_ms / 1_000));
        self.sleep_ms(pause_ms).await;
    }

    /// Carries out one of the changes that are on their way, or forgets it when it comes too late.
    pub(super) fn deliver(&self, dice: &mut Dice) {
        let count = self.0.lock().on_their_way.len();
        if count > 0 {
            self.deliver_nth(dice.below(count));
        }
    }

    /// The same with this one of them.
    pub(super) fn deliver_nth(&self, position: usize) {
        let arrived = {
            let mut state = self.0.lock();
            let change = state.on_their_way.swap_remove(position);
            if state.now_ms - change.since_ms > DELIVERY_MAX_MS {
                return;
            }
            match &change.body {
                Some(body) => {
                    state.put(&change.key, body.clone());
                }
                None => {
                    // Whoever has lost the answer to a removal may have put the tombstone that this one meets, and the
                    // snapshot be back: whole, and to be dropped once more.
                    state.buried.remove(&change.key);
                    state.delete(&change.key);
                }
            }
            change
        };
        self.note(|| {
            format!("{} {} arrives", if arrived.body.is_some() { "put of" } else { "removal of" }, arrived.key)
        });
    }
}

/// A crash drops the futures of an actor; what it had asked for is not carried out.
struct Ticket<'a> {
    world: &'a World,
    id: Option<u64>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.world.0.lock().waiting.remove(&id);
        }
    }
}

impl State {
    fn put(&mut self, key: &str, body: Bytes) -> Put {
        if self.objects.contains_key(key) {
            return Put::Exists;
        }
        if let Some(bit) = self.bits.get(key) {
            self.present |= bit;
        }
        if let Some((label, _)) = layout::parse_snapshot(key).filter(|_| body.len() as u64 != TOMBSTONE_BYTES) {
            self.committed.insert(key.to_owned(), (self.needs)(&label));
            if self.buried.contains(key) && self.violation.is_none() {
                self.violation = Some(format!("{key} is back, though a tombstone stood in its place"));
            }
        } else if layout::parse_snapshot(key).is_some() {
            self.buried.insert(key.to_owned());
        }
        self.objects.insert(key.to_owned(), (body, self.now_ms));
        self.check();
        Put::Created
    }

    /// One of these durations, or as long as it takes until something is due: chance alone would seldom meet the moments
    /// at which the protocol decides.
    fn draw_duration(&mut self, durations_ms: &[i64]) -> i64 {
        let moments = self.moments_ms();
        if moments.is_empty() || self.dice.chance(40) {
            return durations_ms[self.dice.below(durations_ms.len())];
        }
        let moment_ms = moments[self.dice.below(moments.len())];
        moment_ms - self.now_ms + [0, 1_000, DELIVERY_MAX_MS / 2][self.dice.below(3)]
    }

    /// When, from now on, a backup's time is over, a mark is due, a claim has had its time.
    fn moments_ms(&self) -> Vec<i64> {
        let due_ms = |(key, (_, at_ms)): (&String, &(Bytes, i64))| match layout::parse_mark(key) {
            Some((_, MarkPart::Mark)) => Some(at_ms + GRACE_MS),
            Some((_, MarkPart::Sweep)) => Some(at_ms + CLAIM_WAIT.as_millis() as i64),
            Some(_) => None,
            None => layout::parse_announcement(key).map(|(_, _, timeout_s)| at_ms + timeout_s as i64 * 1_000),
        };
        self.objects.iter().filter_map(due_ms).filter(|due_ms| *due_ms >= self.now_ms).collect()
    }

    fn delete(&mut self, key: &str) {
        if let Some(bit) = self.bits.get(key) {
            self.removed_contents += u64::from(self.present & bit != 0);
            self.present &= !bit;
        }
        self.committed.remove(key);
        self.objects.remove(key);
        self.check();
    }

    /// Whether a listing lies.
    fn hides(&mut self, prefix: &str) -> bool {
        match self.lies {
            Lies::Snapshots if prefix.starts_with(layout::SNAPSHOTS) => self.dice.chance(80),
            Lies::Announcements if prefix == layout::WRITERS => {
                let (count, lying) = self.announcement_listings;
                self.announcement_listings.0 += 1;
                count == lying
            }
            Lies::AllAnnouncements => prefix == layout::WRITERS,
            _ => false,
        }
    }

    /// From here on listings lie.
    pub(super) fn lie(&mut self, lies: Lies) {
        self.lies = lies;
        self.announcement_listings = (0, self.dice.below(8));
    }

    /// Every snapshot has all it needs.
    fn check(&mut self) {
        let present = self.present;
        if let Some((key, _)) = self.committed.iter().find(|(_, needs)| *needs & !present != 0)
            && self.violation.is_none()
        {
            self.violation = Some(format!("{key} lacks something it needs"));
        }
    }

    /// Contents that are there though no snapshot needs them.
    pub(super) fn garbage(&self) -> u64 {
        self.present & !self.committed.values().fold(0, |all, needs| all | needs)
    }
}

#[async_trait]
impl ObjectStore for World {
    fn place(&self) -> Place {
        Place::default()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        self.request(Operation::Put, key.as_str(), Some(body.clone()), |state| Ok(state.put(key.as_str(), body))).await
    }

    async fn start_multipart(&self, key: &ObjectKey, _bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        let message = "nothing here is so large";
        Err(StoreError::new(StoreErrorKind::Invalid, Operation::StartMultipart, &self.place(), key.as_str(), message))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        let place = self.place();
        self.request(Operation::Get, key.as_str(), None, |state| {
            let error = |kind, text| StoreError::new(kind, Operation::Get, &place, key.as_str(), text);
            match state.objects.get(key.as_str()) {
                None => Err(error(StoreErrorKind::NotFound, "not there")),
                Some((body, _)) if body.len() as u64 > bytes_max => Err(error(StoreErrorKind::Corrupt, "too large")),
                Some((body, _)) => Ok(body.clone()),
            }
        })
        .await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let body = self.get(key, u64::MAX).await?;
        Ok(body.slice(offset as usize..(offset + bytes) as usize))
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.request(Operation::Head, key.as_str(), None, |state| {
            Ok(state.objects.get(key.as_str()).map(|(body, _)| ObjectMeta { bytes: body.len() as u64 }))
        })
        .await
    }

    async fn list(&self, prefix: &str, _page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.request(Operation::List, prefix, None, |state| {
            let hides = state.hides(prefix);
            let below = state.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
            let entries = below
                .filter(|(_, (body, _))| !hides || body.len() as u64 == TOMBSTONE_BYTES)
                .map(|(key, (body, at_ms))| ListEntry {
                    key: key.clone(),
                    bytes: body.len() as u64,
                    modified_at_ms: *at_ms,
                })
                .collect();
            Ok(ListPage { entries, next: None })
        })
        .await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        None
    }

    async fn renew_lock(&self, _key: &ObjectKey) -> StoreResult<()> {
        Ok(())
    }
}

#[async_trait]
impl ObjectDelete for World {
    async fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
        self.request(Operation::Delete, key.as_str(), None, |state| {
            state.delete(key.as_str());
            Ok(())
        })
        .await
    }
}

impl Monotonic for World {
    fn elapsed(&self) -> Duration {
        Duration::from_millis((self.now_ms() - BEGIN_MS) as u64)
    }
}

impl Random for World {
    fn next_u64(&self) -> u64 {
        self.0.lock().dice.next()
    }
}
