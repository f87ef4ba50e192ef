//! A transparent HTTP/1.1 proxy before an S3 store: it counts what passes, and can make it late, stuck or refused.
//!
//! Bytes pass unchanged, the `Host` header included, because SigV4 signs it and the store checks the signature against the host it is
//! asked for. Every request that passes becomes an [`Exchange`]; a [`Rule`] picks requests and says what befalls them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::background::Background;
use crate::s3::{Bucket, S3Endpoint};
use crate::wait::wait_until;

mod operation;
mod relay;

pub use operation::{Operation, key_class};

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
    log: Mutex<Vec<Exchange>>,
    rules: Mutex<Vec<Arc<ActiveRule>>>,
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
}

/// Which requests, and what befalls them.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<Operation>,
    key_part: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

/// What befalls a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It starts this much later.
    Delay(Duration),
    /// It waits before the store sees any of it, until the rule is lifted.
    Hold,
    /// Bodies pass this many bytes a second, in both directions.
    Throttle(u64),
    /// At most this much of its body passes, and then nothing any more.
    StopAfter(u64),
    /// The store never sees it; the proxy answers with this status and S3 error code.
    Refuse(u16, &'static str),
    /// The store never sees it; the connection is closed.
    Disconnect,
}

impl Rule {
    /// Lets the fault befall every request.
    pub fn new(fault: Fault) -> Rule {
        Rule { operation: None, key_part: String::new(), skip: 0, times: usize::MAX, fault }
    }

    /// Only requests of this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Rule {
        self.operation = Some(operation);
        self
    }

    /// Only requests whose key holds this text.
    #[must_use]
    pub fn key(mut self, part: &str) -> Rule {
        self.key_part = part.to_string();
        self
    }

    /// Not the first `count` of these.
    #[must_use]
    pub fn after(mut self, count: usize) -> Rule {
        self.skip = count;
        self
    }

    /// And then this many only.
    #[must_use]
    pub fn times(mut self, count: usize) -> Rule {
        self.times = count;
        self
    }

    fn picks(&self, operation: Operation, key: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation) && key.contains(&self.key_part)
    }
}

/// A rule in force: how often it has struck, and whether it still does.
#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    seen: Mutex<usize>,
    lifted: watch::Sender<bool>,
}

impl ActiveRule {
    /// Counts a request that the rule picks; says whether the fault befalls it.
    fn strikes(&self) -> bool {
        let mut seen = self.seen.lock().unwrap();
        *seen += 1;
        !*self.lifted.borrow() && *seen > self.rule.skip && *seen - self.rule.skip <= self.rule.times
    }

    fn hits(&self) -> usize {
        self.seen.lock().unwrap().saturating_sub(self.rule.skip).min(self.rule.times)
    }
}

/// A rule's handle: to see it strike, and to lift it.
#[derive(Debug, Clone)]
pub struct RuleHandle {
    active: Arc<ActiveRule>,
}

impl RuleHandle {
    /// How many requests the fault has befallen.
    pub fn hits(&self) -> usize {
        self.active.hits()
    }

    /// Waits until it has struck once.
    pub async fn wait_hit(&self, patience: Duration) {
        wait_until(patience, async || {
            if self.hits() > 0 { Ok(()) } else { Err(format!("{:?} has not struck", self.active.rule)) }
        })
        .await;
    }

    /// Ends the rule; what it holds goes on.
    pub fn lift(&self) {
        self.active.lifted.send_replace(true);
    }
}

impl S3Proxy {
    /// A proxy before the store at this endpoint.
    pub fn start(endpoint: &S3Endpoint) -> S3Proxy {
        let background = Background::new("s3-proxy");
        let listener = background.listen();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { upstream: endpoint.addr().to_string(), log: Mutex::default(), rules: Mutex::default() });
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
        let active = Arc::new(ActiveRule { rule, seen: Mutex::new(0), lifted: watch::Sender::new(false) });
        self.shared.rules.lock().unwrap().push(Arc::clone(&active));
        RuleHandle { active }
    }

    /// Forgets what has passed.
    pub fn reset(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// What has passed, in the order of its ends.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.log.lock().unwrap().clone()
    }

    /// What has passed, counted.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.exchanges())
    }
}

impl Shared {
    /// The fault that befalls this request, with the switch that lifts it.
    fn fault(&self, operation: Operation, key: &str) -> Option<(Fault, watch::Receiver<bool>)> {
        let rules = self.rules.lock().unwrap();
        let mut struck = None;
        // Every rule counts what it picks, also behind one that strikes.
        for active in rules.iter().filter(|active| active.rule.picks(operation, key)) {
            if active.strikes() && struck.is_none() {
                struck = Some((active.rule.fault.clone(), active.lifted.subscribe()));
            }
        }
        struck
    }
}

/// Requests and bytes by operation and class of key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    rows: Vec<TallyRow>,
}

/// One line of a [`Tally`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyRow {
    /// What was asked.
    pub operation: Operation,
    /// Of what kind of object (see [`key_class`]).
    pub class: String,
    /// How often.
    pub requests: u64,
    /// How often in vain (status 400 and above, or no answer).
    pub failures: u64,
    /// Bytes of the requests' bodies.
    pub sent_bytes: u64,
    /// Bytes of the answers' bodies.
    pub received_bytes: u64,
}

impl Tally {
    fn of(exchanges: &[Exchange]) -> Tally {
        let mut tally = Tally::default();
        for exchange in exchanges {
            let class = key_class(&exchange.key);
            let same = |row: &TallyRow| row.operation == exchange.operation && row.class == class;
            let index = tally.rows.iter().position(same).unwrap_or_else(|| {
                let operation = exchange.operation;
                let class = class.clone();
                tally.rows.push(TallyRow {
                    operation,
                    class,
                    requests: 0,
                    failures: 0,
                    sent_bytes: 0,
                    received_bytes: 0,
                });
                tally.rows.len() - 1
            });
            let row = &mut tally.rows[index];
            row.requests += 1;
            row.failures += u64::from(exchange.status == 0 || exchange.status >= 400);
            row.sent_bytes += exchange.sent_bytes;
            row.received_bytes += exchange.received_bytes;
        }
        tally.rows.sort_by_key(|row| (row.operation, row.class.clone()));
        tally
    }

    /// The lines, by operation and class.
    pub fn rows(&self) -> &[TallyRow] {
        &self.rows
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.rows.iter().map(|row| row.requests).sum()
    }

    /// The requests of one operation.
    pub fn requests_of(&self, operation: Operation) -> u64 {
        self.rows.iter().filter(|row| row.operation == operation).map(|row| row.requests).sum()
    }

    /// Bytes written as objects of this class.
    pub fn uploaded_bytes(&self, class: &str) -> u64 {
        let written = |row: &&TallyRow| row.class == class && row.operation.writes();
        self.rows.iter().filter(written).map(|row| row.sent_bytes).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let (operation, class) = (format!("{:?}", row.operation), &row.class);
            write!(f, "{operation:<24} {class:<20} {:>6} requests", row.requests)?;
            writeln!(
                f,
                " {:>4} failed {:>12} bytes up {:>12} bytes down",
                row.failures, row.sent_bytes, row.received_bytes
            )?;
        }
        Ok(())
    }
}
