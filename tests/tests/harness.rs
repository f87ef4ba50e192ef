//! Goal: the harness itself can be believed: stores keep what they are given, the proxy changes nothing and counts right, waits
//! end, programs die when told.
//! Method: each piece against a real counterpart, without the server.

use std::process::Command;
use std::time::{Duration, Instant};

use ebla_tests::folder::Folder;
use ebla_tests::http::{Body, Request};
use ebla_tests::process::Process;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::{Bucket, S3Object};
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::wait::wait_until;
use ebla_tests::weed::Weed;

const SOON: Duration = Duration::from_secs(20);

/// Puts, lists, reads and deletes through a bucket, with keys that need encoding.
async fn use_bucket(bucket: &Bucket) {
    let keys = ["p/a.parquet", "p/b c+d.json", "q/e"];
    for (size, key) in keys.iter().enumerate() {
        bucket.put(key, &vec![b'x'; size * 1000]).await;
    }
    let listed = bucket.list("p/").await;
    let expected = [(keys[0], 0), (keys[1], 1000)];
    assert_eq!(listed, expected.map(|(key, size_bytes)| S3Object { key: key.to_string(), size_bytes }));
    assert_eq!(bucket.get(keys[2]).await.len(), 2000);
    bucket.delete(keys[2]).await;
    assert_eq!(bucket.list("").await.len(), 2);
}

#[tokio::test]
async fn seaweedfs_keeps_data_over_a_kill_and_checks_who_asks() {
    let Some(mut weed) = Weed::start().await else {
        return;
    };
    let bucket = weed.bucket("harness").await;
    use_bucket(&bucket).await;

    let wrong = weed.endpoint().with_keys(&weed.endpoint().access_key, "wrong").client();
    assert_eq!(wrong.send("GET", &format!("/{}", bucket.name), &[], &[]).await.unwrap().status, 403);
    let reader = bucket.through(weed.reader());
    assert_eq!(reader.get("p/b c+d.json").await.len(), 1000);
    let refused = weed.reader().client().send("PUT", &format!("/{}/new", bucket.name), &[], b"x").await.unwrap();
    assert_eq!(refused.status, 403);

    weed.kill9();
    weed.restart().await;
    assert_eq!(bucket.list("").await.len(), 2);
}

#[tokio::test]
async fn tests_share_a_seaweedfs_while_they_run() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let Some(again) = Weed::shared().await else {
        return;
    };
    assert_eq!(weed.endpoint(), again.endpoint());
    let (one, two) = (weed.bucket("shared").await, weed.bucket("shared").await);
    one.put("key", b"1").await;
    assert!(two.list("").await.is_empty());
}

#[tokio::test]
async fn s3s_fs_is_a_store_too() {
    let store = S3sFs::start();
    let bucket = store.bucket("harness").await;
    use_bucket(&bucket).await;
    let anonymous = Request::new("GET", &format!("/{}", bucket.name)).send(store.endpoint().addr()).await.unwrap();
    assert_eq!(anonymous.status, 403);
}

#[tokio::test]
async fn the_proxy_changes_nothing_and_counts_everything() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let direct = weed.bucket("proxy").await;
    let proxy = S3Proxy::start(&weed.endpoint());
    let bucket = proxy.bucket(&direct);
    use_bucket(&bucket).await;
    let tally = proxy.tally();
    assert_eq!(tally.requests_of(Operation::PutObject), 3, "{tally}");
    assert_eq!(tally.requests_of(Operation::ListObjectsV2), 2, "{tally}");
    assert_eq!(tally.requests_of(Operation::DeleteObject), 1, "{tally}");
    assert_eq!(tally.requests(), 7, "{tally}");

    proxy.reset();
    let body: Vec<u8> = (0..3_000_000u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    bucket.put("x/ebla/objects/0a/0a.parquet", &body).await;
    assert!(bucket.get("x/ebla/objects/0a/0a.parquet").await == body);
    let tally = proxy.tally();
    assert_eq!(tally.uploaded_bytes("objects/*.parquet"), 3_000_000, "{tally}");
    assert_eq!(tally.rows()[0].received_bytes, 3_000_000, "{tally}");
    assert!(tally.to_string().contains("objects/*.parquet"));
}

#[tokio::test]
async fn the_proxy_refuses_delays_and_stops_what_a_rule_picks() {
    let store = S3sFs::start();
    let direct = store.bucket("rules").await;
    let proxy = S3Proxy::start(&store.endpoint());
    let bucket = proxy.bucket(&direct);
    let client = bucket.endpoint.client();
    let path = |key: &str| format!("/{}/{key}", bucket.name);

    // The second PUT of a .parquet is refused, and only that.
    let refusal = proxy
        .rule(Rule::new(Fault::Refuse(503, "SlowDown")).on(Operation::PutObject).key(".parquet").after(1).times(1));
    for (key, status) in [("1.parquet", 200), ("1.json", 200), ("2.parquet", 503), ("3.parquet", 200)] {
        let answer = client.send("PUT", &path(key), &[], b"body").await.unwrap();
        assert_eq!(answer.status, status, "{key}: {}", answer.text());
    }
    assert_eq!(refusal.hits(), 1);
    assert_eq!(direct.list("").await.len(), 3);

    let late = proxy.rule(Rule::new(Fault::Delay(Duration::from_millis(300))).on(Operation::HeadObject));
    let start = Instant::now();
    assert_eq!(client.send("HEAD", &path("1.json"), &[], &[]).await.unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    late.lift();

    // A held request reaches the store when the rule is lifted, and not before.
    let hold = proxy.rule(Rule::new(Fault::Hold).key("held"));
    let (held, held_client) = (path("held"), client.clone());
    let put = tokio::spawn(async move { held_client.send("PUT", &held, &[], b"late").await.unwrap().status });
    hold.wait_hit(SOON).await;
    assert!(!put.is_finished());
    assert_eq!(direct.list("held").await.len(), 0);
    hold.lift();
    assert_eq!(put.await.unwrap(), 200);
    assert_eq!(direct.list("held").await.len(), 1);

    // A body that stops half-way ends in an error once the rule is lifted, and is no object.
    let stop = proxy.rule(Rule::new(Fault::StopAfter(100_000)).key("half"));
    let (half, half_client) = (path("half"), client.clone());
    let put = tokio::spawn(async move { half_client.send("PUT", &half, &[], &vec![7; 5_000_000]).await.is_err() });
    stop.wait_hit(SOON).await;
    stop.lift();
    assert!(put.await.unwrap());
    assert_eq!(direct.list("half").await.len(), 0);

    let slow = proxy.rule(Rule::new(Fault::Throttle(1_000_000)).key("slow"));
    let start = Instant::now();
    assert_eq!(client.send("PUT", &path("slow"), &[], &vec![7; 400_000]).await.unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(400));
    slow.lift();

    proxy.rule(Rule::new(Fault::Disconnect));
    assert!(client.send("GET", &path("1.json"), &[], &[]).await.is_err());
    let lost = proxy.exchanges().into_iter().next_back().unwrap();
    assert_eq!((lost.operation, lost.status), (Operation::GetObject, 0));
}

#[tokio::test]
async fn chunked_bodies_and_expectations_pass_the_proxy() {
    let store = S3sFs::start();
    let proxy = S3Proxy::start(&store.endpoint());
    let url = proxy.bucket(&store.bucket("chunks").await).endpoint.url;
    let chunks = (0..50).map(|i| vec![b'0' + i % 10; 1000]);
    let answer = Request::new("PUT", "/no-such-bucket/key")
        .header("Expect", "100-continue")
        .body(Body::Chunks(Box::new(chunks)))
        .send(url.trim_start_matches("http://"))
        .await
        .unwrap();
    // Unsigned, so it is refused; what counts is that the exchange ends in order.
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[tokio::test]
#[should_panic(expected = "last seen: the moon")]
async fn waiting_in_vain_says_what_was_seen() {
    wait_until::<(), _>(Duration::from_millis(50), async || Err("the moon".to_string())).await;
}

#[tokio::test]
async fn programs_end_when_told_and_leave_a_log() {
    let folder = Folder::new("process");
    let mut command = Command::new("sh");
    command.args(["-c", "echo hello; trap 'echo bye; exit 3' TERM; while true; do sleep 0.01; done"]);
    let mut process = Process::start("sh", command, folder.path());
    wait_until(SOON, async || if process.log().contains("hello") { Ok(()) } else { Err(process.log()) }).await;
    let status = process.terminate(SOON).await;
    assert_eq!(status.code(), Some(3));
    assert!(process.log_tail().contains("bye"));

    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut process = Process::start("sleep", command, folder.path());
    assert!(process.ended().is_none());
    process.kill9();
    assert!(process.ended().is_some());
}
