//! Health, metrics, and how serving ends.

use super::client::{Client, get, load};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn other_paths() {
    let server = TestServer::start().await;
    let health = get(&server, "/api/health").await;
    assert_eq!((health.code, health.json()), (200, serde_json::json!({"status": "OK", "version": "1.2.3"})));
    let metrics = get(&server, "/metrics").await;
    assert_eq!(metrics.code, 200);
    assert!(metrics.headers.contains("text/plain; version=0.0.4"), "{}", metrics.headers);
    assert_eq!(get(&server, "/api/nothing").await.code, 404);
    assert_eq!(get(&server, "/api/_load_error_log?file=error_log_x").await.code, 404);
    assert_eq!(get(&server, "/api/_load_error_log").await.code, 404);
    assert_eq!(get(&server, "/api/d/t/_stream_load").await.code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_many_loads() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        client.send_head(&[("column_separator", ","), ("Content-Length", "4")]).await;
        client.send("1,a\n").await;
        client.answer().await.success();
    }
    assert_eq!(server.rows(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_end() {
    let limits = HttpLimits { header_timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut client = Client::connect(&server).await;
    client.send("PUT /api/d/t/_stream_load HTTP/1.1\r\nHost: x\r\n").await;
    assert!(client.ends_within(Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_end_before_serving_does() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send_head(&[("column_separator", ","), ("label", "last"), ("Content-Length", "8")]).await;
    client.send("1,a\n").await;
    server.wait_until("the load began", |server| server.load("last").is_some()).await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!server.serving.is_finished());
    client.send("2,b\n").await;
    client.answer().await.success();
    let rows = server.rows();
    server.serving.await.expect("ends").expect("serves");
    assert_eq!(rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_that_do_not_end_are_stopped() {
    let limits = HttpLimits { drain_grace: Duration::from_millis(200), ..HttpLimits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut client = Client::connect(&server).await;
    client.send_head(&[("column_separator", ","), ("label", "stuck"), ("Content-Length", "8")]).await;
    client.send("1,a\n").await;
    server.wait_until("the load began", |server| server.load("stuck").is_some()).await;
    server.shutdown.cancel();
    assert!(client.answer().await.failure().contains("the server is stopping"));
    assert!(server.load("stuck").is_none());
    assert_eq!(server.rows(), 0);
    server.serving.await.expect("ends").expect("serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_wait_for_each_other() {
    let server = TestServer::with_limits(HttpLimits { loads_max: 1, ..HttpLimits::default() }).await;
    let mut first = Client::connect(&server).await;
    first.send_head(&[("column_separator", ","), ("label", "first"), ("Content-Length", "8")]).await;
    first.send("1,a\n").await;
    server.wait_until("the load began", |server| server.load("first").is_some()).await;
    let refused = load(&server, &[("timeout", "1"), ("column_separator", ",")], "3,c\n").await;
    assert!(refused.failure().contains("waited for other loads"), "{}", refused.body);
    first.send("2,b\n").await;
    first.answer().await.success();
    load(&server, &[("column_separator", ",")], "3,c\n").await.success();
    assert_eq!(server.rows(), 3);
}
