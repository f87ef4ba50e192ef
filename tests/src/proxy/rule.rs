//! Rules: which requests a fault befalls, how often, and until when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::Operation;
use crate::wait::wait_until;

/// Which requests, and what befalls them.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<Operation>,
    key_part: String,
    ranged: Option<bool>,
    skip: usize,
    times: usize,
    share: f64,
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
    /// The proxy answers with this status and body, which may lie; the store sees the request, or does not.
    Say(u16, String, Effect),
    /// Half of its body reaches the store. A request without a body is lost whole.
    CutRequest(Ending),
    /// The store does what it is asked, and half of the answer's body comes back; nothing of one that has no body.
    CutAnswer(Ending),
    /// The store does what it is asked, and nothing of its answer comes back.
    LoseAnswer(Ending),
    /// Half of the answer's body comes back, with a head that says that this is all.
    HalveAnswer,
    /// One bit of the request's body is another when it reaches the store.
    FlipRequest,
    /// The request's body reaches the store in the framing of a body that is sent in chunks (`aws-chunked`), and nothing
    /// says so: what a store does that takes no framing off.
    FrameRequest,
    /// One bit of the answer's body is another when it comes back.
    FlipAnswer,
    /// The answer to another request comes back: another object's bytes, another prefix's keys, whole and as they are.
    /// Where there is none that would do, the right one.
    AnswerOther,
    /// The listing that comes back lacks its last key, as if it were of a moment before that one was put.
    StaleListing,
    /// The answer comes back twice.
    AnswerTwice,
    /// The store is asked twice; the second answer comes back.
    AskTwice,
    /// The connection is reset, and the store sees the request this much later.
    Late(Duration),
}

/// Whether the store sees a request that the proxy answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    None,
    /// It does, and what it answers is thrown away.
    Applied,
}

/// How a conversation ends that does not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// RST.
    Reset,
    /// FIN, as if all were said.
    Close,
    /// Nothing is heard any more, until the rule is lifted.
    Silence,
}

impl Fault {
    /// A listing without a key, which is all there is.
    pub fn list_nothing() -> Fault {
        let nothing = "<?xml version=\"1.0\"?><ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>\
                       </ListBucketResult>";
        Fault::Say(200, nothing.to_string(), Effect::None)
    }
}

impl Rule {
    /// Lets the fault befall every request.
    pub fn new(fault: Fault) -> Rule {
        Rule { operation: None, key_part: String::new(), ranged: None, skip: 0, times: usize::MAX, share: 1.0, fault }
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

    /// Only requests for a part of an object, or only those for the whole of it.
    #[must_use]
    pub fn ranged(mut self, ranged: bool) -> Rule {
        self.ranged = Some(ranged);
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

    /// And of these only this share, drawn by the proxy's seed.
    #[must_use]
    pub fn share(mut self, share: f64) -> Rule {
        self.share = share;
        self
    }

    fn picks(&self, operation: Operation, key: &str, ranged: bool) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && key.contains(&self.key_part)
            && self.ranged.is_none_or(|wanted| wanted == ranged)
    }
}

/// A rule in force: how often it has struck, and whether it still does.
#[derive(Debug)]
pub(super) struct ActiveRule {
    rule: Rule,
    counts: Mutex<Counts>,
    lifted: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    seen: usize,
    hits: usize,
}

impl ActiveRule {
    pub(super) fn new(rule: Rule) -> ActiveRule {
        ActiveRule { rule, counts: Mutex::default(), lifted: watch::Sender::new(false) }
    }

    pub(super) fn picks(&self, operation: Operation, key: &str, ranged: bool) -> bool {
        self.rule.picks(operation, key, ranged)
    }

    /// Counts a request that the rule picks; gives the fault that befalls it, with the switch that lifts it.
    pub(super) fn strike(&self, dice: &Mutex<StdRng>) -> Option<(Fault, watch::Receiver<bool>)> {
        let mut counts = self.counts.lock().unwrap();
        counts.seen += 1;
        let strikes = !*self.lifted.borrow()
            && counts.seen > self.rule.skip
            && counts.hits < self.rule.times
            && (self.rule.share >= 1.0 || dice.lock().unwrap().random_bool(self.rule.share));
        if !strikes {
            return None;
        }
        counts.hits += 1;
        Some((self.rule.fault.clone(), self.lifted.subscribe()))
    }
}

/// A rule's handle: to see it strike, and to lift it.
#[derive(Debug, Clone)]
pub struct RuleHandle {
    active: Arc<ActiveRule>,
}

impl RuleHandle {
    pub(super) fn new(active: Arc<ActiveRule>) -> RuleHandle {
        RuleHandle { active }
    }

    /// How many requests the fault has befallen.
    pub fn hits(&self) -> usize {
        self.active.counts.lock().unwrap().hits
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
