//! How fast bodies go up: what the configured `max_backup_bandwidth` allows, shared by all.
//!
//! A body is sent piece by piece, and each piece waits for its turn just before it goes: what is told of the progress is then
//! what has gone, and no body goes out at once after a long pause. Only a backend sees the pieces, and what lies between hands
//! on calls and knows nothing of it: the budget names a [`Pace`] for the time of one call ([`Pace::kept`]), and the backend
//! asks for it ([`Pace::current`]).
//!
//! No store is blamed for the time that is spent so: [`Pace::store_time`] sleeps for as long as the store has had, and each
//! turn that comes breaks its silence.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::Silence;

/// How much of a second's bandwidth may be used at once after a pause.
const BURST: Duration = Duration::from_millis(250);

/// Pieces that a second's bandwidth is handed out in, when it is scarce: with all requests under way, each body moves every
/// second or so, and no store takes it for stalled.
const PIECES_PER_SECOND: u64 = 16;

/// Smallest of them.
const PIECE_BYTES_MIN: u64 = 1024;

/// Shortest sleep of those that are added for what a body has waited: it waits in many short ones.
const STORE_TIME_TICK: Duration = Duration::from_millis(20);

tokio::task_local! {
    static CURRENT: Arc<Pace>;
}

/// Hands out bytes at a steady rate, in the order they are asked for. Who gives up while it waits leaves no debt behind, so a
/// job that is cancelled does not hold up those that go on.
#[derive(Debug)]
pub(super) struct TokenBucket {
    bytes_per_second: u64,
    /// When the bytes handed out so far will have been paid for.
    free_at: Mutex<Option<Instant>>,
}

/// At what pace the bodies of one call go up: one after the other, each attempt anew.
#[derive(Debug)]
pub struct Pace {
    bucket: Arc<TokenBucket>,
    waits: Mutex<Waits>,
    silence: Option<Arc<Silence>>,
}

/// Time that the bodies of one call have waited for their turn.
#[derive(Debug, Default)]
struct Waits {
    under_way: usize,
    /// Since when at least one is under way.
    since: Option<Instant>,
    /// All that are over.
    over: Duration,
}

/// The wait of a piece for its turn. What has not been paid by then is given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    pace: Arc<Pace>,
    cost: Duration,
    paid_at: Instant,
    /// `None` when it need not wait.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TokenBucket {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(None) }
    }

    /// Counts bytes that do not wait.
    pub(super) fn count(&self, bytes: u64) {
        self.charge(self.cost(bytes));
    }

    fn cost(&self, bytes: u64) -> Duration {
        Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second as f64).unwrap_or(Duration::MAX)
    }

    /// Puts a cost behind what was handed out before. Returns when it will have been paid.
    fn charge(&self, cost: Duration) -> Instant {
        let mut free_at = self.free_at.lock();
        let now = Instant::now();
        let begins_at = free_at.map_or(now, |at| at.max(now));
        let paid_at = begins_at.checked_add(cost).unwrap_or(begins_at);
        *free_at = Some(paid_at);
        paid_at
    }

    fn give_back(&self, cost: Duration) {
        let mut free_at = self.free_at.lock();
        *free_at = free_at.and_then(|at| at.checked_sub(cost));
    }
}

impl Pace {
    pub(super) fn new(bucket: Arc<TokenBucket>) -> Arc<Self> {
        Arc::new(Self { bucket, waits: Mutex::default(), silence: Silence::current() })
    }

    /// The one of the call under way in this task, if there is a limit.
    pub fn current() -> Option<Arc<Pace>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Makes a call whose bodies keep this pace.
    pub(super) async fn kept<T>(self: Arc<Self>, call: impl Future<Output = T>) -> T {
        CURRENT.scope(self, call).await
    }

    /// How many bytes to ask for at a time, by a backend that hands on `bytes_max` where there is no limit.
    pub fn piece_bytes(&self, bytes_max: usize) -> usize {
        let piece = (self.bucket.bytes_per_second / PIECES_PER_SECOND).max(PIECE_BYTES_MIN);
        usize::try_from(piece).unwrap_or(bytes_max).min(bytes_max)
    }

    /// The turn of the next `bytes` bytes.
    pub fn turn(self: &Arc<Self>, bytes: usize) -> Turn {
        let cost = self.bucket.cost(bytes as u64);
        let paid_at = self.bucket.charge(cost);
        // The rest is the burst, which may be used at once.
        let at = paid_at.checked_sub(BURST).filter(|at| *at > Instant::now());
        let sleep = at.map(|at| Box::pin(tokio::time::sleep_until(at)));
        if sleep.is_some() {
            self.waits.lock().begin();
        }
        Turn { pace: Arc::clone(self), cost, paid_at, sleep }
    }

    /// How long bodies have waited for their turns so far.
    fn waited(&self) -> Duration {
        let waits = self.waits.lock();
        waits.over + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether a body waits for its turn now.
    #[cfg(test)]
    pub(super) fn is_waited_for(&self) -> bool {
        self.waits.lock().under_way > 0
    }

    /// Sleeps until the store has had so much time, which the waits for turns are not.
    pub async fn store_time(&self, time: Duration) {
        let mut waited = self.waited();
        tokio::time::sleep(time).await;
        loop {
            let now = self.waited();
            let more = now.saturating_sub(waited);
            if more.is_zero() {
                return;
            }
            waited = now;
            tokio::time::sleep(more.max(STORE_TIME_TICK)).await;
        }
    }
}

impl Waits {
    fn begin(&mut self) {
        self.under_way += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0
            && let Some(since) = self.since.take()
        {
            self.over += since.elapsed();
        }
    }
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
            self.pace.waits.lock().end();
            if let Some(silence) = &self.pace.silence {
                silence.sign();
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.sleep.is_some() {
            self.pace.waits.lock().end();
            self.pace.bucket.give_back(self.paid_at.saturating_duration_since(Instant::now()).min(self.cost));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn pace(bytes_per_second: u64) -> Arc<Pace> {
        Pace::new(Arc::new(TokenBucket::new(bytes_per_second)))
    }

    #[tokio::test]
    async fn bandwidth_is_shared_by_all_who_ask() {
        let bucket = Arc::new(TokenBucket::new(1_000_000));
        let start = Instant::now();
        let takers: Vec<_> = (0..5)
            .map(|_| {
                let pace = Pace::new(Arc::clone(&bucket));
                tokio::spawn(async move {
                    for _ in 0..10 {
                        pace.turn(10_000).await;
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.await.unwrap();
        }
        // Half a second's worth of bytes, less what may be used at once.
        assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_debt() {
        let pace = pace(1_000_000);
        // Two hours' worth, given up, and behind it some that never came to their turn.
        let (mut first, mut behind) = (Box::pin(pace.turn(7_200_000_000)), Box::pin(pace.turn(7_200_000_000)));
        assert!((&mut first).now_or_never().is_none() && (&mut behind).now_or_never().is_none());
        drop((first, behind));
        let next = tokio::time::timeout(Duration::from_secs(60), pace.turn(100_000)).await;
        assert!(next.is_ok(), "what others gave up is still waited for");
    }

    #[tokio::test]
    async fn what_is_small_counts_and_does_not_wait() {
        let pace = pace(1_000);
        let start = Instant::now();
        let _data = pace.turn(60_000);
        pace.bucket.count(4_000);
        let free_at = pace.bucket.free_at.lock().expect("two have asked");
        assert!(free_at >= start + Duration::from_secs(64), "{:?}", free_at - start);
    }

    #[test]
    fn pieces_are_as_small_as_the_bandwidth_is_scarce() {
        for (bytes_per_second, expected) in [(1, 1_024), (160_000, 10_000), (u64::MAX, 65_536)] {
            assert_eq!(pace(bytes_per_second).piece_bytes(65_536), expected, "{bytes_per_second}");
        }
    }

    /// The time of the store does not pass while a body waits for its turn, however many waits that are.
    #[tokio::test]
    async fn what_a_body_waits_is_not_the_stores_time() {
        let (pace, time) = (pace(20_000), Duration::from_millis(200));
        let start = Instant::now();
        let body = async {
            for _ in 0..20 {
                pace.turn(1_000).await;
            }
            start.elapsed()
        };
        let (sent, over) = tokio::join!(body, async {
            pace.store_time(time).await;
            start.elapsed()
        });
        assert!(sent >= Duration::from_millis(750), "{sent:?}");
        assert!(over >= pace.waited() + time && !pace.is_waited_for(), "{over:?} {:?}", pace.waited());
    }
}
