//! Goal: a statement ends when its store is silent, whatever it waits for, and goes on as long as it answers. Method: a store
//! that answers as often as it may and then never again; nothing in it has a timeout of its own, so a wait that nobody
//! ends does not end.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests::servers::file_store;
use super::super::{Capabilities, KnownCapabilities, StoreStats};
use super::super::{StoreErrorKind, TransferLimits, layered};
use super::*;

/// Short, so that the tests are; what is waited for here never comes, so no machine is too slow for it.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long a machine under load may take until it sees that it is over.
const SOON: Duration = Duration::from_secs(120);

/// Answers so many listings.
#[derive(Debug)]
struct Falling {
    inner: Arc<dyn ObjectStore>,
    answers: AtomicUsize,
    asked: AtomicUsize,
}

#[async_trait]
impl StoreLayer for Falling {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn list(&self, _prefix: &str, _page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let left = self.answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            // At once, so that no deadline is too short for it.
            Ok(_) => Ok(ListPage::default()),
            Err(_) => std::future::pending().await,
        }
    }
}

/// A store with all its layers that answers so many listings, with room for one request at a time.
fn falling(answers: usize) -> (Arc<Falling>, Arc<dyn ObjectStore>) {
    let test = file_store();
    let (answers, asked) = (AtomicUsize::new(answers), AtomicUsize::new(0));
    let falling = Arc::new(Falling { inner: test.store, answers, asked });
    let (limits, known) = (TransferLimits::new(1, 1, None), KnownCapabilities::new(Capabilities::ALL));
    let backend = Arc::clone(&falling) as Arc<dyn ObjectStore>;
    let store = layered(backend, &StoreStats::new(), &Arc::new(limits), &Arc::new(known));
    (falling, store)
}

async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it ends")
}

#[tokio::test]
async fn whoever_waits_for_a_permit_is_told_in_time_too() {
    let (falling, store) = falling(0);
    let statements = (0..5).map(|_| within(PATIENCE, store.list("snapshots/", None)));
    for result in ends(futures::future::join_all(statements)).await {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Timeout, Operation::List), "{error}");
        assert!(error.to_string().contains("cannot list 'snapshots/'"), "{error}");
    }
    assert!(falling.asked.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn an_answer_gives_as_much_time_again() {
    let (_, store) = falling(1);
    let statement = within(PATIENCE, async {
        let deadline = Deadline::current().unwrap();
        let first = deadline.at();
        // The clock moves on in between, however coarse it is.
        while Instant::now() + PATIENCE <= first {
            tokio::task::yield_now().await;
        }
        store.list("snapshots/", None).await.unwrap();
        let second = deadline.at();
        assert!(second > first, "the answer has moved it");
        store.list("snapshots/", None).await.unwrap_err();
        assert_eq!(deadline.at(), second, "silence is no answer");
        assert!(Instant::now() >= second, "and was waited for");
    });
    ends(statement).await;
}

#[tokio::test]
async fn what_has_no_deadline_waits() {
    let (falling, store) = falling(1);
    store.list("snapshots/", None).await.unwrap();
    let waiting = tokio::spawn(async move { store.list("snapshots/", None).await.map(drop) });
    ends(async {
        while falling.asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(PATIENCE, async { Deadline::current().unwrap().over().await }).await;
    assert!(!waiting.is_finished(), "the deadline of another statement is none of its business");
    waiting.abort();
}

#[tokio::test]
async fn what_else_was_waited_for_is_told() {
    let (_, store) = falling(1);
    let statement = within(PATIENCE, async {
        let deadline = Deadline::current().unwrap();
        deadline.note_wait("another", PATIENCE / 5);
        deadline.note_wait("another", PATIENCE / 5);
        store.list("snapshots/", None).await.unwrap();
        assert_eq!(deadline.waited(), None, "there is as much time again");
        deadline.note_wait("nothing much", PATIENCE / 100);
        assert_eq!(deadline.waited(), None);
        deadline.note_wait("another", PATIENCE / 2);
        store.list("snapshots/", None).await.unwrap_err().to_string()
    });
    let error = ends(statement).await;
    assert!(error.contains("no answer in time (of 0.1 s, 0.0 s were spent waiting for another)"), "{error}");
}
