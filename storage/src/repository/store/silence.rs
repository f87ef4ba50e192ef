//! For how long a store has said nothing to who waits for it.
//!
//! A job's request is given up after half a minute at the earliest, and made again some times before its error comes back:
//! for minutes nothing has failed, and nothing goes on either. Whoever wants to tell people of that works within a
//! [`Silence`] ([`Silence::kept`]). Calls to a store break it when they begin and end, and each time a piece of a body passes
//! ([`super::Passage`]); in between it lasts. Nothing ends because of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Arc<Silence>;
}

/// The silence of the stores that one piece of work calls.
#[derive(Debug, Default)]
pub struct Silence(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    under_way: usize,
    /// When the last of them began, moved something, or ended.
    sign_at: Option<Instant>,
}

/// A call under way; it has come to its end when this is dropped.
#[derive(Debug)]
pub(super) struct Call(Arc<Silence>);

impl Silence {
    /// Does work whose calls break this silence.
    pub async fn kept<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The one of the work under way in this task, if somebody wants to know.
    pub(super) fn current() -> Option<Arc<Silence>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// How long it has lasted by now; `None` when no call is under way.
    pub fn lasts(&self, now: Instant) -> Option<Duration> {
        let calls = self.0.lock();
        calls.sign_at.filter(|_| calls.under_way > 0).map(|at| now.saturating_duration_since(at))
    }

    /// A call begins.
    pub(super) fn call(self: Arc<Self>) -> Call {
        {
            let mut calls = self.0.lock();
            // That others are asked too is no sign of the store.
            if calls.under_way == 0 {
                calls.sign_at = Some(Instant::now());
            }
            calls.under_way += 1;
        }
        Call(self)
    }

    /// Something has come, or gone.
    pub(super) fn sign(&self) {
        self.0.lock().sign_at = Some(Instant::now());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.0.0.lock();
        calls.under_way -= 1;
        calls.sign_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_lasts_while_nothing_comes_and_goes() {
        let silence = Arc::new(Silence::default());
        let later = || Instant::now() + Duration::from_secs(3_600);
        let hour = Duration::from_secs(3_600);
        assert_eq!(silence.lasts(later()), None, "nobody is asked");
        let kept = Arc::clone(&silence).kept(async {
            let first = Silence::current().unwrap().call();
            let begun = Instant::now();
            assert!(silence.lasts(begun + hour).unwrap() >= hour);
            // The clock moves on in between, however coarse it is.
            while Instant::now() <= begun {
                tokio::task::yield_now().await;
            }
            let second = Silence::current().unwrap().call();
            assert!(silence.lasts(begun + hour).unwrap() >= hour, "another question is no answer");
            silence.sign();
            assert!(silence.lasts(begun + hour).unwrap() < hour, "a piece of a body is a sign");
            let moved = Instant::now();
            while Instant::now() <= moved {
                tokio::task::yield_now().await;
            }
            drop(first);
            assert!(silence.lasts(moved + hour).unwrap() < hour, "an answer is a sign");
            drop(second);
            assert_eq!(silence.lasts(later()), None);
        });
        kept.await;
        assert!(Silence::current().is_none());
    }
}
