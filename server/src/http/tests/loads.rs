//! What becomes of loads.

use std::io::Write;
use std::time::Duration;

use super::client::{Client, head, load};
use super::*;

const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");
const COMMA: (&str, &str) = ("column_separator", ",");
const EXPECT: (&str, &str) = ("Expect", "100-continue");

#[tokio::test(flavor = "multi_thread")]
async fn csv_in_one_piece() {
    let server = TestServer::start().await;
    let answer = load(&server, &[COMMA, ("label", "first")], "1,a\n2,b\n3,\\N\n").await.success();
    assert_eq!(server.rows(), 3);
    let expected = serde_json::json!({
        "Label": "first", "NumberTotalRows": 3, "NumberLoadedRows": 3, "NumberFilteredRows": 0,
        "NumberUnselectedRows": 0, "LoadBytes": 13,
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&answer[key], value, "{key}");
    }
    let row = server.load("first").expect("the label is kept");
    assert_eq!(answer["TxnId"], row.id.0);
    assert_eq!(row.rows, 3);
    assert!(answer.get("ErrorURL").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn body_is_asked_for_only_when_it_is_wanted() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send_head(&[COMMA, EXPECT, ("Content-Length", "4")]).await;
    assert_eq!(client.answer().await.code, 100);
    client.send("1,a\n").await;
    client.answer().await.success();

    let refused = [
        ("/api/d/none/_stream_load", "timeout", "10", "Unknown table 'none'"),
        ("/api/none/t/_stream_load", "timeout", "10", "Unknown database 'none'"),
        ("/api/d/secret/_stream_load", "timeout", "10", "Access denied"),
        ("/api/d/t/_stream_load", "timeout", "never", "invalid timeout"),
        ("/api/d/t/_stream_load", "columns", "k, v = nothing", "'nothing' cannot be resolved"),
        ("/api/d/t/_stream_load", "columns", "v", "no default value, column: k"),
        ("/api/d/t/_stream_load", "partitions", "p9", "Unknown partition 'p9'"),
    ];
    for (path, name, value, reason) in refused {
        let mut client = Client::connect(&server).await;
        client.send(head(path, &[EXPECT, ("Content-Length", "1000000"), (name, value)])).await;
        let answer = client.answer().await;
        assert!(answer.failure().contains(reason), "{}", answer.body);
    }
    let mut client = Client::connect(&server).await;
    let request = "PUT /api/d/t/_stream_load HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    client.send(request).await;
    let answer = client.answer().await;
    assert_eq!((answer.code, answer.json()["Status"].as_str()), (401, Some("Fail")));
    assert_eq!((&answer.json()["TxnId"], &answer.json()["NumberLoadedRows"]), (&(-1).into(), &0.into()));
    assert!(answer.headers.to_lowercase().contains("www-authenticate: basic"), "{}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn label_is_loaded_once() {
    let server = TestServer::start().await;
    let mut slow = Client::connect(&server).await;
    slow.send_head(&[COMMA, CHUNKED, ("label", "once")]).await;
    slow.send_chunk("1,a\n").await;
    server.wait_until("the load began", |server| server.load("once").is_some()).await;

    let again = load(&server, &[COMMA, ("label", "once")], "1,a\n").await.json();
    assert_eq!((&again["Status"], &again["ExistingJobStatus"]), (&"Label Already Exists".into(), &"RUNNING".into()));
    slow.send("0\r\n\r\n").await;
    let first = slow.answer().await.success();

    let again = load(&server, &[COMMA, ("label", "once")], "1,a\n").await.json();
    assert_eq!((&again["Status"], &again["ExistingJobStatus"]), (&"Label Already Exists".into(), &"FINISHED".into()));
    assert_eq!(again["TxnId"], first["TxnId"]);
    assert_eq!(server.rows(), 1);

    load(&server, &[COMMA, ("label", "free")], "x,a\n").await.failure();
    load(&server, &[COMMA, ("label", "free")], "2,a\n").await.success();
    assert_eq!(server.rows(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_count_and_are_told() {
    let server = TestServer::start().await;
    // Too few columns, no number, too long, no partition; and two good ones.
    let body = "1\nx,a\n2,12345678901\n5000,b\n3,c\n4,d\n";
    let answer = load(&server, &[COMMA], body).await;
    let message = answer.failure();
    assert!(message.contains("too many filtered rows"), "{message}");
    assert_eq!(server.rows(), 0);

    let answer = load(&server, &[COMMA, ("max_filter_ratio", "0.5")], body).await;
    answer.failure();
    let answer = load(&server, &[COMMA, ("max_filter_ratio", "0.7")], body).await.success();
    assert_eq!((&answer["NumberLoadedRows"], &answer["NumberFilteredRows"]), (&2.into(), &4.into()));
    assert_eq!(server.rows(), 2);
    let url = answer["ErrorURL"].as_str().expect("an address");
    let log = client::get(&server, url.strip_prefix("http://test:1").expect("the host that was asked")).await;
    assert_eq!(log.code, 200);
    for expected in [
        "Value count does not match column count. Expect 2, but got 1",
        "Value 'x' is out of range or malformed. The type of 'k' is INT(11). Row 2: x,a",
        "is too long",
        "no partition",
        "Row 4: 5000,b",
    ] {
        assert!(log.body.contains(expected), "{expected}: {}", log.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_where() {
    let server = TestServer::start().await;
    let headers =
        [COMMA, ("columns", "skipped, tmp, k, v = tmp"), ("where", "k > 1"), ("skip_header", "1"), ("enclose", "\"")];
    let answer = load(&server, &headers, "h,h,h\nx,\"a,b\",1\ny,c,2\nz,d,3\n").await.success();
    assert_eq!((&answer["NumberLoadedRows"], &answer["NumberUnselectedRows"]), (&2.into(), &1.into()));
    assert_eq!(answer["NumberTotalRows"], 3);
    assert_eq!(server.rows(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_gzip() {
    let server = TestServer::start().await;
    let json = [("format", "json"), ("strip_outer_array", "true")];
    load(&server, &json, "[{\"k\": 1, \"v\": \"a\"}, {\"v\": null, \"K\": 2}]").await.success();
    let paths = [("format", "json"), ("jsonpaths", "[\"$.x.y\", \"$.z[1]\"]"), ("columns", "v, k")];
    load(&server, &paths, "{\"x\": {\"y\": \"a\"}, \"z\": [0, 3]}\n{\"z\": [0, 4]}").await.success();
    assert_eq!(server.rows(), 4);

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for k in 0..900 {
        writeln!(encoder, "{k},value").expect("writes");
    }
    let packed = encoder.finish().expect("packs");
    let answer = load(&server, &[COMMA, ("Content-Encoding", "gzip")], &packed).await.success();
    assert_eq!(answer["LoadBytes"], packed.len());
    assert_eq!(server.rows(), 904);
    let cut = load(&server, &[COMMA, ("Content-Encoding", "gzip")], &packed[..packed.len() / 2]).await;
    assert!(cut.failure().contains("not valid gzip"), "{}", cut.body);
    let outer = load(&server, &[("format", "json")], "[{\"k\": 1}]").await;
    assert!(outer.failure().contains("strip_outer_array"), "{}", outer.body);
    assert_eq!(server.rows(), 904);
}

/// However the connection breaks, half a body is never loaded and its label is free.
#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_load_nothing() {
    let server = TestServer::start().await;
    for (label, framing) in [("chunked", CHUNKED), ("sized", ("Content-Length", "1000"))] {
        let mut client = Client::connect(&server).await;
        client.send_head(&[COMMA, framing, ("label", label)]).await;
        match framing.0 {
            "Content-Length" => client.send("1,a\n2,b\n").await,
            _ => client.send_chunk("1,a\n2,b\n").await,
        }
        server.wait_until("the load began", |server| server.load(label).is_some()).await;
        drop(client);
        server.wait_until("the label is free", |server| server.load(label).is_none()).await;
    }
    assert_eq!(server.rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_large_bodies_end() {
    let limits =
        HttpLimits { body_bytes_max: 1_000, body_idle_timeout: Duration::from_millis(300), ..HttpLimits::default() };
    let server = TestServer::with_limits(limits).await;
    let mut idle = Client::connect(&server).await;
    idle.send_head(&[COMMA, CHUNKED, ("label", "idle")]).await;
    idle.send_chunk("1,a\n").await;
    assert!(idle.answer().await.failure().contains("sent nothing"));
    assert!(server.load("idle").is_none());

    let large = load(&server, &[COMMA], "1,a\n".repeat(1_000)).await;
    assert!(large.failure().contains("larger than 1000 bytes"), "{}", large.body);

    let mut slow = Client::connect(&server).await;
    slow.send_head(&[COMMA, CHUNKED, ("timeout", "1")]).await;
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The answer may come, and the connection close, while this still sends.
        if slow.try_send_chunk("1,a\n").await.is_err() {
            break;
        }
    }
    let answer = slow.answer().await;
    assert!(answer.failure().contains("timeout of 1 seconds"), "{}", answer.body);
    assert_eq!(server.rows(), 0);
}

/// More batches than one, through every queue.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send_head(&[COMMA, CHUNKED]).await;
    let chunk: String = (0..1_000).map(|k| format!("{k},value{k}\n")).collect();
    for _ in 0..100 {
        // Cut in the middle of a row.
        client.send_chunk(&chunk[..5_003]).await;
        client.send_chunk(&chunk[5_003..]).await;
    }
    client.send("0\r\n\r\n").await;
    let answer = client.answer().await.success();
    assert_eq!(answer["NumberLoadedRows"], 100_000);
    assert_eq!(server.rows(), 100_000);
}

/// The client most people use; it waits for leave to send, as its habit is with large bodies.
#[tokio::test(flavor = "multi_thread")]
async fn curl_loads_a_file() {
    let server = TestServer::start().await;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for k in 0..200_000 {
        writeln!(file, "{},value", k % 1_000).expect("writes");
    }
    let url = format!("http://{}/api/d/t/_stream_load", server.address);
    let arguments = ["-sS", "--max-time", "60", "--location-trusted", "-u", "root:", "-H", "column_separator:,", "-T"];
    let output = tokio::process::Command::new("curl").args(arguments).arg(file.path()).arg(&url).output().await;
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("{error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\"Status\":\"Success\""), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.rows(), 200_000);
}
