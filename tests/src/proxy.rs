//! An HTTP/1.1 proxy before an S3 store: it counts what passes, and can make it late, stuck, refused, broken or untrue.
//!
//! Without a rule bytes pass unchanged, the `Host` header included, because SigV4 signs it and the store checks the signature against
//! the host it is asked for. Every request that passes becomes an [`Exchange`]; a [`Rule`] picks requests and says what befalls them:
//! `relay` has the faults that bytes can meet on their way, `whole` those for which a message is taken apart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use crate::background::Background;
use crate::s3::{Bucket, S3Endpoint};

mod held;
mod operation;
mod relay;
mod rule;
mod swap;
mod tally;
mod whole;

pub use operation::{Operation, key_class};
pub use rule::{Effect, Ending, Fault, Rule, RuleHandle};
pub use tally::{Tally, TallyRow};

use rule::ActiveRule;

/// A running proxy; it ends when dropped, and cuts what passes then.
#[derive(Debug)]
pub struct S3Proxy {
    url: String,
    shared: Arc<Shared>,
    _background: Background,
}

/// What the proxy's connections share.
#[derive(Debug)]
struct Shared {
    upstream: String,
    /// The store, for questions of the proxy's own.
    endpoint: S3Endpoint,
    log: Mutex<Vec<Exchange>>,
    /// Requests that reached the store after their connections had been reset.
    late: Mutex<Vec<Exchange>>,
    rules: Mutex<Vec<Arc<ActiveRule>>>,
    /// Decides what is left to chance.
    dice: Mutex<StdRng>,
}

/// A request that passed, and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What was asked.
    pub operation: Operation,
    /// The object's key; the prefix for a listing.
    pub key: String,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// Bytes of the request's body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub received_bytes: u64,
    /// From the request's head to the end of the answer.
    pub elapsed: Duration,
    /// Whether a fault befell it.
    pub disturbed: bool,
}

impl S3Proxy {
    /// A proxy before the store at this endpoint.
    pub fn start(endpoint: &S3Endpoint) -> S3Proxy {
        S3Proxy::seeded(endpoint, 0)
    }

    /// The same, with a seed for what its faults leave to chance.
    pub fn seeded(endpoint: &S3Endpoint, seed: u64) -> S3Proxy {
        let background = Background::new("s3-proxy");
        let listener = background.listen();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            upstream: endpoint.addr().to_string(),
            endpoint: endpoint.clone(),
            log: Mutex::default(),
            late: Mutex::default(),
            rules: Mutex::default(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let relay = Arc::clone(&shared);
        background.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay::serve(client, Arc::clone(&relay)));
            }
        });
        S3Proxy { url, shared, _background: background }
    }

    /// The bucket as seen through the proxy.
    pub fn bucket(&self, bucket: &Bucket) -> Bucket {
        bucket.through(bucket.endpoint.at(&self.url))
    }

    /// Puts a rule in force, after those there are; the first that strikes a request decides.
    pub fn rule(&self, rule: Rule) -> RuleHandle {
        let active = Arc::new(ActiveRule::new(rule));
        self.shared.rules.lock().unwrap().push(Arc::clone(&active));
        RuleHandle::new(active)
    }

    /// Forgets what has passed.
    pub fn reset(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// What has passed, in the order of its ends. An answer that has come whole is among it.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.log.lock().unwrap().clone()
    }

    /// What reached the store late, after its connection had been reset.
    pub fn late(&self) -> Vec<Exchange> {
        self.shared.late.lock().unwrap().clone()
    }

    /// What has passed, counted.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.exchanges())
    }
}

impl Shared {
    /// The fault that befalls this request, with the switch that lifts it.
    fn fault(&self, operation: Operation, key: &str, ranged: bool) -> Option<(Fault, watch::Receiver<bool>)> {
        let rules = self.rules.lock().unwrap();
        let mut struck = None;
        // Every rule counts what it picks, also behind one that strikes.
        for active in rules.iter().filter(|active| active.picks(operation, key, ranged)) {
            let strikes = active.strike(&self.dice);
            struck = struck.or(strikes);
        }
        struck
    }
}

#[cfg(test)]
mod tests;
