//! Goal: under a limit of the bandwidth a body goes evenly, is told of as it goes, and no store is blamed for the time that
//! takes. Method: one body is put through the layers within a low limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::pace::TokenBucket;
use super::super::*;
use super::servers::{ACCESS_KEY, SECRET_KEY, file_store, in_process_s3, s3_properties};
use super::{key, lacking};
use crate::repository::location::Location;
use crate::repository::{Progress, RepositoryContext, RepositoryPolicy};

/// The limit, in bytes a second.
const RATE: u64 = 64 * 1024;

/// What is put: more than three seconds' worth.
const BODY_BYTES: u64 = 224 * 1024;

/// What an attempt may take: less than the body does at this pace, and long for what remains.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Figures that must be told on the way; there are some forty pieces.
const FIGURES_MIN: usize = 20;

/// Every figure that was told.
#[derive(Default)]
struct Told(Mutex<Vec<u64>>);

impl Progress for Told {
    fn moved(&self, bytes: u64) {
        let mut told = self.0.lock();
        let now = told.last().copied().unwrap_or(0) + bytes;
        told.push(now);
    }

    fn moved_in_vain(&self, bytes: u64) {
        let mut told = self.0.lock();
        let now = told.last().copied().unwrap_or(0) - bytes;
        told.push(now);
    }
}

fn body() -> Bytes {
    (0..BODY_BYTES).map(|position| (position % 251) as u8).collect()
}

/// A client that gives an attempt up after [`ATTEMPT`], however large its body is.
async fn hasty_s3(endpoint: &str) -> S3Store {
    let properties = s3_properties(endpoint, ACCESS_KEY, SECRET_KEY);
    let Location::S3(location) = Location::parse("s3://bucket/p").unwrap() else {
        panic!("an S3 location");
    };
    let settings = properties.s3(location.bucket()).unwrap();
    let requests =
        RequestLimits { attempt_timeout: ATTEMPT, bytes_per_second_min: u64::MAX, ..RequestLimits::default() };
    let policy = Arc::new(RepositoryPolicy { requests, ..RepositoryPolicy::default() });
    let context = RepositoryContext { policy, ..RepositoryContext::default() };
    let (stats, secrets) = (StoreStats::new(), properties.secrets());
    S3Store::connect(&location, &settings, secrets, Patience::Job, Capabilities::ALL, stats, &context).await.unwrap()
}

async fn goes_evenly(backend: Arc<dyn ObjectStore>) {
    let limits = Arc::new(TransferLimits::new(4, PART_BYTES, Some(RATE)));
    let store = layered(backend, &StoreStats::new(), &limits, &lacking(Capabilities::ALL));
    let (key, start) = (key("ebla/x"), Instant::now());
    let told = Told::default();
    assert_eq!(watched(&told, BODY_BYTES, store.put_create(&key, body())).await.unwrap(), Put::Created);
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    let told = told.0.into_inner();
    assert!(told.len() >= FIGURES_MIN && told.last() == Some(&BODY_BYTES), "{told:?}");
    assert_eq!(store.get(&key, BODY_BYTES).await.unwrap(), body());
}

#[tokio::test]
async fn to_a_directory() {
    goes_evenly(file_store().store).await;
}

#[tokio::test]
async fn to_a_bucket_whose_answers_are_due_sooner() {
    let (address, _root) = in_process_s3().await;
    goes_evenly(Arc::new(hasty_s3(&format!("http://{address}")).await)).await;
}

/// A body that nobody wants any more leaves its place to others at once.
#[tokio::test]
async fn a_body_that_is_given_up_stops() {
    let (address, _root) = in_process_s3().await;
    let store = hasty_s3(&format!("http://{address}")).await;
    // An hour for each piece.
    let bucket = Arc::new(TokenBucket::new(1));
    let pace = Pace::new(Arc::clone(&bucket));
    let key = key("ebla/x");
    let put = Arc::clone(&pace).kept(store.put_create(&key, body()));
    let waited_for = async {
        while !pace.is_waited_for() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        put = put => panic!("{put:?}"),
        () = waited_for => {}
    }
    let stopped = async {
        while pace.is_waited_for() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), stopped).await.expect("it stops");
}
