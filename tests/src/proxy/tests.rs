//! Goal: each fault does what its name says, to the client and to the store. Method: a store in this process, one request
//! through the proxy for each fault, and a look past the proxy at what has come of it.

use std::io;
use std::time::Duration;

use super::{Effect, Ending, Fault, Operation, Rule, S3Proxy};
use crate::http::Response;
use crate::s3::Bucket;
use crate::s3sfs::S3sFs;
use crate::wait::wait_until;

/// Far above what a request to a store in this process takes.
const SOON: Duration = Duration::from_secs(60);

struct Bed {
    proxy: S3Proxy,
    direct: Bucket,
    through: Bucket,
    _store: S3sFs,
}

impl Bed {
    async fn new() -> Bed {
        let store = S3sFs::start();
        let direct = store.bucket("faults").await;
        let proxy = S3Proxy::seeded(&store.endpoint(), 7);
        let through = proxy.bucket(&direct);
        Bed { proxy, direct, through, _store: store }
    }

    async fn send(&self, method: &str, key: &str, body: &[u8]) -> io::Result<Response> {
        let path = format!("/{}/{key}", self.through.name);
        self.through.endpoint.client().send(method, &path, &[], body).await
    }

    /// One request with this fault.
    async fn suffer(&self, fault: Fault, method: &str, key: &str, body: &[u8]) -> io::Result<Response> {
        let rule = self.proxy.rule(Rule::new(fault).times(1));
        let answer = self.send(method, key, body).await;
        assert_eq!(rule.hits(), 1);
        answer
    }

    async fn keys(&self) -> Vec<String> {
        self.direct.list("").await.into_iter().map(|object| object.key).collect()
    }
}

#[tokio::test]
async fn answers_that_are_lost_cut_changed_or_made_up() {
    let bed = Bed::new().await;
    let body: Vec<u8> = (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    bed.direct.put("there", &body).await;

    for ending in [Ending::Reset, Ending::Close] {
        assert!(bed.suffer(Fault::CutAnswer(ending), "GET", "there", &[]).await.is_err(), "{ending:?}");
        assert!(bed.suffer(Fault::LoseAnswer(ending), "PUT", "applied", b"x").await.is_err(), "{ending:?}");
        assert_eq!(bed.direct.get("applied").await, b"x", "the store has done it");
        bed.direct.delete("applied").await;
    }
    let half = bed.suffer(Fault::HalveAnswer, "GET", "there", &[]).await.unwrap();
    assert!(half.status == 200 && half.body == body[..50_000]);
    let flipped = bed.suffer(Fault::FlipAnswer, "GET", "there", &[]).await.unwrap().body;
    let bits: u32 = flipped.iter().zip(&body).map(|(one, other)| (one ^ other).count_ones()).sum();
    assert_eq!((flipped.len(), bits), (body.len(), 1));
    assert!(bed.proxy.exchanges().last().unwrap().disturbed);

    let said = Fault::Say(200, "<Error/>".to_string(), Effect::None);
    assert_eq!(bed.suffer(said, "PUT", "said", b"x").await.unwrap().text(), "<Error/>");
    let said = Fault::Say(500, "<Error/>".to_string(), Effect::Applied);
    assert_eq!(bed.suffer(said, "PUT", "done", b"x").await.unwrap().status, 500);
    assert_eq!(bed.keys().await, ["done", "there"]);

    let rule = bed.proxy.rule(Rule::new(Fault::StaleListing).times(1));
    let listed: Vec<String> = bed.through.list("").await.into_iter().map(|object| object.key).collect();
    assert_eq!((listed, rule.hits()), (vec!["done".to_owned()], 1));

    // Nothing to change in an answer without a body: it passes, and nobody says that it was disturbed.
    assert_eq!(bed.suffer(Fault::FlipAnswer, "HEAD", "there", &[]).await.unwrap().status, 200);
    assert!(!bed.proxy.exchanges().last().unwrap().disturbed);
}

#[tokio::test]
async fn requests_that_are_cut_changed_repeated_or_late() {
    let bed = Bed::new().await;
    let body = vec![7; 500_000];
    for ending in [Ending::Reset, Ending::Close] {
        assert!(bed.suffer(Fault::CutRequest(ending), "PUT", "cut", &body).await.is_err(), "{ending:?}");
    }
    // The store checks the digest that is signed.
    let flipped = bed.suffer(Fault::FlipRequest, "PUT", "flipped", &body).await.unwrap();
    assert!(flipped.status >= 400, "{}", flipped.status);
    assert!(bed.keys().await.is_empty());

    assert_eq!(bed.suffer(Fault::AskTwice, "PUT", "twice", &body).await.unwrap().status, 200);
    assert_eq!(bed.suffer(Fault::AnswerTwice, "PUT", "again", &body).await.unwrap().status, 200);
    assert!(bed.suffer(Fault::Late(Duration::from_millis(100)), "PUT", "late", &body).await.is_err());
    wait_until(SOON, async || match bed.proxy.late().as_slice() {
        [late] if late.status == 200 && late.operation == Operation::PutObject => Ok(()),
        late => Err(format!("{late:?}")),
    })
    .await;
    assert_eq!(bed.keys().await, ["again", "late", "twice"]);
}

#[tokio::test]
async fn silence_lasts_until_the_rule_is_lifted() {
    let bed = Bed::new().await;
    bed.direct.put("there", b"0123456789").await;
    let faults =
        [Fault::CutRequest(Ending::Silence), Fault::CutAnswer(Ending::Silence), Fault::LoseAnswer(Ending::Silence)];
    for fault in faults {
        let rule = bed.proxy.rule(Rule::new(fault.clone()).times(1));
        let mut asking = std::pin::pin!(bed.send("GET", "there", &[]));
        let waited = tokio::time::timeout(Duration::from_millis(200), &mut asking).await;
        assert!(waited.is_err(), "{fault:?}: {waited:?}");
        rule.lift();
        assert!(asking.await.is_err(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_share_of_requests_is_drawn_by_the_seed() {
    let bed = Bed::new().await;
    bed.direct.put("there", b"x").await;
    let rule = bed.proxy.rule(Rule::new(Fault::Disconnect).on(Operation::GetObject).share(0.5));
    let mut outcomes = Vec::new();
    for _ in 0..40 {
        outcomes.push(bed.send("GET", "there", &[]).await.is_ok());
    }
    let passed = outcomes.iter().filter(|passed| **passed).count();
    assert!((5..=35).contains(&passed), "{passed} of 40");
    assert_eq!(rule.hits(), 40 - passed);
}
