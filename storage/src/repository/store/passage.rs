//! How far a body has come while its request is under way.
//!
//! A transfer wants to tell people of every few kilobytes, and only the backend sees them pass. What lies between hands on
//! calls and knows nothing of it: the transfer names a [`Passage`] for the time of one call ([`watched`]), and a backend
//! that can tell asks for it ([`Passage::current`]). One that cannot is right all the same: what a call has moved in the
//! end is counted in any case, and what it did not move is taken back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Silence;
use crate::repository::Progress;

tokio::task_local! {
    static CURRENT: Arc<Passage>;
}

/// One body on its way, up or down.
#[derive(Debug, Default)]
pub struct Passage {
    passed: AtomicU64,
    news: Notify,
    /// What a piece that passes breaks, wherever it is seen passing.
    silence: Option<Arc<Silence>>,
}

impl Passage {
    /// The one of the call under way in this task, if somebody wants to know.
    pub fn current() -> Option<Arc<Passage>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The body begins to pass, perhaps not for the first time.
    pub fn begin(&self) {
        self.passed.store(0, Ordering::Relaxed);
        self.news.notify_one();
        self.break_silence();
    }

    /// So many more bytes have passed.
    pub fn pass(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::Relaxed);
        self.news.notify_one();
        self.break_silence();
    }

    fn break_silence(&self) {
        if let Some(silence) = &self.silence {
            silence.sign();
        }
    }
}

/// Makes a call that moves a body of `bytes` bytes, and tells how far it has come as it goes. When the call has failed,
/// nothing of it has moved.
pub async fn watched<T, E>(
    progress: &dyn Progress,
    bytes: u64,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let passage = Arc::new(Passage { silence: Silence::current(), ..Passage::default() });
    let mut call = pin!(CURRENT.scope(Arc::clone(&passage), call));
    let mut told = 0;
    let mut tell = |now: u64| {
        match now.checked_sub(told) {
            Some(more) => progress.moved(more),
            None => progress.moved_in_vain(told - now),
        }
        told = now;
    };
    loop {
        tokio::select! {
            biased;
            done = &mut call => {
                tell(if done.is_ok() { bytes } else { 0 });
                return done;
            }
            () = passage.news.notified() => tell(passage.passed.load(Ordering::Relaxed).min(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_told_as_it_goes_and_counted_by_how_it_ends() {
        let moved = AtomicU64::new(0);
        let pass = async |steps: &[u64], end: Result<(), ()>| {
            let passage = Passage::current().expect("somebody wants to know");
            let before = moved.load(Ordering::Relaxed);
            for attempt in 0..2 {
                passage.begin();
                for step in steps {
                    passage.pass(*step);
                    // Whoever watches comes to its turn.
                    tokio::task::yield_now().await;
                }
                let expected = before + steps.iter().sum::<u64>().min(100);
                assert_eq!(moved.load(Ordering::Relaxed), expected, "attempt {attempt}");
            }
            end
        };
        watched(&moved, 100, pass(&[10, 20, 30], Ok(()))).await.unwrap();
        assert_eq!(moved.load(Ordering::Relaxed), 100, "what did not pass by then is there all the same");
        watched(&moved, 100, pass(&[70, 80], Err(()))).await.unwrap_err();
        assert_eq!(moved.load(Ordering::Relaxed), 100);
        watched(&moved, 100, async { Ok::<_, ()>(()) }).await.unwrap();
        assert_eq!(moved.load(Ordering::Relaxed), 200);
        assert!(Passage::current().is_none());
    }
}
