//! Goal: what a store or a network does wrong ends in the right kind, within the time promised, with a text that
//! helps and no secret in it. Method: a server that answers whatever the test has written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::*;
use super::key;
use super::servers::{ACCESS_KEY, SECRET_KEY, s3_properties, s3_store};

/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 22;

/// How long a machine under load may take for what takes some seconds elsewhere. Whoever waits for an answer that never
/// comes waits an hour.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the server does with a request; the last one is repeated.
pub(super) enum Answer {
    /// Sends this and closes.
    Bytes(Vec<u8>),
    /// Closes without a word.
    Nothing,
    /// Never answers.
    Silence,
    /// Sends this, and then nothing.
    Stall(Vec<u8>),
    /// Sends this, and then chunks for as long as somebody reads.
    Endless(Vec<u8>),
}

pub(super) struct Canned {
    pub(super) endpoint: String,
    requests: Arc<AtomicUsize>,
    /// Bytes of endless answers that were sent.
    endless: Arc<AtomicUsize>,
}

/// Starts a server that gives these answers in turn.
pub(super) async fn canned(answers: Vec<Answer>) -> Canned {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (requests, endless) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counters, answers) = ((Arc::clone(&requests), Arc::clone(&endless)), Arc::new(answers));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (counters, answers) = (counters.clone(), Arc::clone(&answers));
            tokio::spawn(async move {
                let _ = answer(socket, &counters.0, &counters.1, &answers).await;
            });
        }
    });
    Canned { endpoint, requests, endless }
}

async fn answer(
    mut socket: TcpStream,
    counter: &AtomicUsize,
    endless: &AtomicUsize,
    answers: &[Answer],
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if request[0] == TLS_HANDSHAKE {
            break request.len(); // It will not become a request, so it is answered like any other nonsense.
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut missing = (head + length.unwrap_or(0)).saturating_sub(request.len());
    let mut sink = vec![0; 64 * 1024];
    while missing > 0 {
        let read = socket.read(&mut sink).await?;
        missing = if read == 0 { 0 } else { missing.saturating_sub(read) };
    }
    let turn = counter.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
    match &answers[turn] {
        Answer::Bytes(bytes) => socket.write_all(bytes).await,
        Answer::Nothing => Ok(()),
        Answer::Stall(bytes) => {
            socket.write_all(bytes).await?;
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
        Answer::Silence => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
        Answer::Endless(bytes) => {
            socket.write_all(bytes).await?;
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                socket.write_all(&chunk).await?;
                endless.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    }
}

fn http(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    Answer::Bytes((head + body).into_bytes())
}

pub(super) fn s3_error(status: &str, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>R1</RequestId></Error>"
    );
    http(status, "x-amz-request-id: R1\r\n", &body)
}

async fn interactive(endpoint: &str) -> S3Store {
    s3_store("s3://bucket/p", &s3_properties(endpoint, ACCESS_KEY, SECRET_KEY), Patience::Interactive).await
}

pub(super) async fn put(store: &S3Store) -> StoreResult<Put> {
    store.put_create(&key("ebla/x"), Bytes::from_static(b"x")).await
}

#[tokio::test]
async fn each_answer_has_its_kind_and_its_advice() {
    use StoreErrorKind::{Invalid, PermissionDenied, Throttled, Unavailable};
    for (status, code, message, kind, phrase) in [
        (
            "403 Forbidden",
            "AccessDenied",
            "Access Denied",
            PermissionDenied,
            "allow s3:PutObject on arn:aws:s3:::bucket/p/ebla/*",
        ),
        ("403 Forbidden", "InvalidAccessKeyId", "no such key", PermissionDenied, "check aws.s3.access_key"),
        ("403 Forbidden", "SignatureDoesNotMatch", "no match", PermissionDenied, "check aws.s3.secret_key"),
        ("400 Bad Request", "ExpiredToken", "expired", PermissionDenied, "temporary credentials have ended"),
        ("403 Forbidden", "RequestTimeTooSkewed", "skewed", PermissionDenied, "set this machine's clock"),
        ("404 Not Found", "NoSuchBucket", "no bucket", Invalid, "create the bucket"),
        ("404 Not Found", "NotFound", "what?", Invalid, "is an S3 endpoint"),
        (
            "400 Bad Request",
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            Invalid,
            "the bucket is in region 'eu-west-1'",
        ),
        ("301 Moved Permanently", "PermanentRedirect", "elsewhere", Invalid, "set aws.s3.region"),
        ("503 Slow Down", "SlowDown", "reduce your rate", Throttled, "S3 code SlowDown"),
        ("500 Internal Server Error", "InternalError", "oops", Unavailable, "HTTP status 500"),
        ("501 Not Implemented", "NotImplemented", "no", Invalid, "lacks a request"),
    ] {
        let server = canned(vec![s3_error(status, code, message)]).await;
        let error = put(&interactive(&server.endpoint).await).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{code}: {text}");
        assert!(text.contains(phrase), "{code}: {text}");
        assert!(text.contains("'p/ebla/x'") && text.contains("bucket 'bucket'"), "{text}");
        assert!(text.contains(&server.endpoint) && text.contains("request id R1"), "{text}");
        assert_eq!((error.code(), error.request_id()), (Some(code), Some("R1")));
    }
}

/// Goal: a clock that is set costs no job. Method: the first request is refused for its time, as the first one is that is signed by
/// the distance to the store's clock before it was set.
#[tokio::test]
async fn a_request_refused_for_its_time_is_signed_again() {
    let refused = s3_error("403 Forbidden", "RequestTimeTooSkewed", "skewed");
    let server = canned(vec![refused, http("200 OK", "", "")]).await;
    assert_eq!(put(&interactive(&server.endpoint).await).await.unwrap(), Put::Created);
}

#[tokio::test]
async fn the_region_a_store_names_is_passed_on() {
    let server = canned(vec![http("301 Moved Permanently", "x-amz-bucket-region: ap-south-1\r\n", "")]).await;
    let error = interactive(&server.endpoint).await.head(&key("ebla/x")).await.unwrap_err();
    assert!(error.to_string().contains("region 'ap-south-1'"), "{error}");
}

#[tokio::test]
async fn a_secret_that_a_store_repeats_is_taken_out() {
    let message = format!("you signed with {SECRET_KEY}, {ACCESS_KEY}");
    let server = canned(vec![s3_error("403 Forbidden", "SignatureDoesNotMatch", &message)]).await;
    let error = put(&interactive(&server.endpoint).await).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
}

/// Goal: a dead or deaf endpoint is reported when the time for a statement's request is over, which is below ten seconds,
/// and not asked again and again.
#[tokio::test]
async fn no_answer_is_reported_soon() {
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let deaf = canned(vec![Answer::Silence]).await;
    let hangs_up = canned(vec![Answer::Nothing]).await;
    for (endpoint, kind) in [
        (format!("http://{refused}"), StoreErrorKind::Unavailable),
        (deaf.endpoint.clone(), StoreErrorKind::Timeout),
        (hangs_up.endpoint.clone(), StoreErrorKind::Unavailable),
    ] {
        let store = interactive(&endpoint).await;
        let error = tokio::time::timeout(PATIENCE, put(&store)).await.expect("an answer").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.is_retryable() && error.to_string().contains("check that aws.s3.endpoint"), "{error}");
    }
    assert!(RequestLimits::default().statement_timeout < Duration::from_secs(10));
    assert_eq!(deaf.requests.load(Ordering::SeqCst), 1, "the whole time is for one request that is not answered");
    assert!(hangs_up.requests.load(Ordering::SeqCst) <= 2 * 4, "a retry storm");
}

#[tokio::test]
async fn https_to_an_http_port_is_explained() {
    let server = canned(vec![http("400 Bad Request", "", "")]).await;
    let error = put(&interactive(&server.endpoint.replace("http://", "https://")).await).await.unwrap_err();
    assert!(error.to_string().contains("aws.s3.enable_ssl"), "{error}");
}

#[tokio::test]
async fn two_conditional_writes_that_meet_are_tried_again() {
    let conflict = || s3_error("409 Conflict", "ConditionalRequestConflict", "conflict");
    let there = || s3_error("412 Precondition Failed", "PreconditionFailed", "it is there");
    let server = canned(vec![conflict(), conflict(), there()]).await;
    assert_eq!(put(&interactive(&server.endpoint).await).await.unwrap(), Put::Exists);
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);

    let server = canned(vec![s3_error("400 Bad Request", "BadDigest", "flipped"), http("200 OK", "", "")]).await;
    assert_eq!(put(&interactive(&server.endpoint).await).await.unwrap(), Put::Created);

    let server = canned(vec![conflict()]).await;
    let error = put(&interactive(&server.endpoint).await).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(server.requests.load(Ordering::SeqCst) <= 5, "a retry storm");
}

/// Goal: only a refusal of the checksum is taken for one. What passes is asked again or reported, and a store whose checks are
/// not known is made up for.
#[tokio::test]
async fn what_passes_says_nothing_of_checksums() {
    async fn probed(answers: Vec<Answer>) -> StoreResult<bool> {
        let store = interactive(&canned(answers).await.endpoint).await;
        store.refuses_checksum(&key("ebla/probe-checksum"), b"x", "AAAAAA==").await
    }
    for code in ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "InvalidRequest"] {
        assert!(probed(vec![s3_error("400 Bad Request", code, "refused")]).await.unwrap(), "{code}");
    }
    assert!(!probed(vec![http("200 OK", "", "")]).await.unwrap());
    assert!(!probed(vec![s3_error("412 Precondition Failed", "PreconditionFailed", "it is there")]).await.unwrap());
    assert!(!probed(vec![s3_error("400 Bad Request", "InvalidArgument", "something")]).await.unwrap());

    for (status, code) in [
        ("429 Too Many Requests", "TooManyRequests"),
        ("429 Too Many Requests", "SlowDown"),
        ("408 Request Timeout", "RequestTimeout"),
        ("400 Bad Request", "RequestTimeout"),
        ("400 Bad Request", "ExpiredToken"),
        ("403 Forbidden", "RequestTimeTooSkewed"),
        ("409 Conflict", "OperationAborted"),
        ("409 Conflict", "InvalidBucketState"),
        ("404 Not Found", "NoSuchBucket"),
        ("400 Bad Request", "IncompleteBody"),
    ] {
        let error = probed(vec![s3_error(status, code, "not now")]).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
    probed(vec![http("400 Bad Request", "", "")]).await.unwrap_err();
    // Asked again, the store comes to its verdict.
    let refusal = || s3_error("400 Bad Request", "BadDigest", "refused");
    assert!(probed(vec![s3_error("409 Conflict", "OperationAborted", "conflict"), refusal()]).await.unwrap());
    let taken = || http("200 OK", "", "");
    assert!(!probed(vec![s3_error("409 Conflict", "OperationAborted", "conflict"), taken()]).await.unwrap());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_fetched_again() {
    let cut = || Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n12345".to_vec());
    let server = canned(vec![cut(), cut(), http("200 OK", "", "1234567890")]).await;
    let store = interactive(&server.endpoint).await;
    assert_eq!(store.get(&key("ebla/x"), 10).await.unwrap(), "1234567890");

    let server = canned(vec![cut()]).await;
    let error = interactive(&server.endpoint).await.get(&key("ebla/x"), 10).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_body_without_length_is_bounded() {
    let endless =
        Answer::Bytes([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'x'; 100_000]].concat());
    let server = canned(vec![endless]).await;
    let error = interactive(&server.endpoint).await.get(&key("ebla/x"), 1000).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
}

/// Goal: no answer fills the memory, whatever was asked and whether it is a yes or a no. Method: answers that go on for as long as
/// somebody reads; what was sent is counted.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_end_is_bounded() {
    // A full listing of the longest keys has some 7 MB; what lies in buffers of the system comes on top.
    const SENT_BYTES_MAX: usize = 32 * 1024 * 1024;

    for status in ["200 OK", "400 Bad Request", "500 Internal Server Error"] {
        for operation in ["list", "put", "delete", "start", "get"] {
            if (status, operation) == ("200 OK", "get") {
                continue; // Bounded by what the object may have, see above.
            }
            let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
            let server = canned(vec![Answer::Endless(head.into_bytes())]).await;
            let store = interactive(&server.endpoint).await;
            let asked = async {
                match operation {
                    "list" => store.list("ebla/", None).await.map(drop),
                    "put" => put(&store).await.map(drop),
                    "delete" => store.delete(&key("ebla/x")).await,
                    "start" => store.start_multipart(&key("ebla/x"), 3).await.map(drop),
                    _ => store.get(&key("ebla/x"), 10).await.map(drop),
                }
            };
            let result = tokio::time::timeout(PATIENCE, asked).await.expect("an answer");
            let requests = server.requests.load(Ordering::SeqCst);
            let sent = server.endless.load(Ordering::SeqCst);
            assert!(sent <= requests * SENT_BYTES_MAX, "{status}, {operation}: {sent} bytes to {requests} requests");
            let error = result.unwrap_err();
            let is_told = error.to_string().contains("which no answer of S3 to such a request has");
            // Where the machine is very slow, the time for the request is over first.
            assert!(is_told || error.kind() == StoreErrorKind::Timeout, "{status}, {operation}: {error}");
        }
    }
}

/// Goal: an error in the body of a "200 OK" is an error, and the upload is given up.
#[tokio::test]
async fn a_completion_that_says_ok_and_is_not() {
    let begun =
        http("200 OK", "", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
    let part = http("200 OK", "etag: \"e\"\r\n", "");
    let lie = s3_error("200 OK", "InternalError", "We encountered an internal error");
    let server = canned(vec![begun, part, lie]).await;
    let store = interactive(&server.endpoint).await;
    let upload = store.start_multipart(&key("ebla/x"), 3).await.unwrap();
    upload.put_part(0, Bytes::from_static(b"abc")).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // Four times two attempts, and as many to abort.
    let requests = server.requests.load(Ordering::SeqCst);
    assert!(requests <= 2 + 8 + 2, "{requests} requests: a retry storm");
}

fn begun() -> Answer {
    http("200 OK", "", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
}

/// Goal: it is asked to complete again, and no part is sent again for that.
#[tokio::test]
async fn a_completion_that_failed_once_is_asked_for_again() {
    let part = http("200 OK", "etag: \"e\"\r\n", "");
    let lie = s3_error("200 OK", "InternalError", "We encountered an internal error");
    let done = http("200 OK", "", "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
    let server = canned(vec![begun(), part, lie, done]).await;
    let upload = interactive(&server.endpoint).await.start_multipart(&key("ebla/x"), 3).await.unwrap();
    upload.put_part(0, Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(upload.complete().await.unwrap(), Put::Created);
    assert_eq!(server.requests.load(Ordering::SeqCst), 4);
}

/// Goal: an upload that somebody removed while it ran, or whose name was damaged on its way, does not end a job.
#[tokio::test]
async fn an_upload_that_the_store_does_not_know_can_begin_anew() {
    let unknown = || s3_error("404 Not Found", "NoSuchUpload", "no such upload");
    let server = canned(vec![begun(), unknown()]).await;
    let upload = interactive(&server.endpoint).await.start_multipart(&key("ebla/x"), 3).await.unwrap();
    let error = upload.put_part(0, Bytes::from_static(b"abc")).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("incomplete uploads"), "{error}");

    let part = http("200 OK", "etag: \"e\"\r\n", "");
    let server = canned(vec![begun(), part, unknown(), http("404 Not Found", "", "")]).await;
    let upload = interactive(&server.endpoint).await.start_multipart(&key("ebla/x"), 3).await.unwrap();
    upload.put_part(0, Bytes::from_static(b"abc")).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

/// Goal: the budget of retries that one store's outage uses up is not missing when another needs a second attempt.
#[tokio::test]
async fn an_outage_here_costs_no_retries_elsewhere() {
    let down = canned(vec![s3_error("500 Internal Server Error", "InternalError", "down")]).await;
    let store = interactive(&down.endpoint).await;
    let asked = (0..60).map(|_| put(&store));
    assert!(futures::future::join_all(asked).await.iter().all(Result::is_err));
    assert!(down.requests.load(Ordering::SeqCst) < 120, "its own budget has ended");

    let blip = || s3_error("500 Internal Server Error", "InternalError", "a blip");
    let well = canned(vec![blip(), http("200 OK", "", "")]).await;
    assert_eq!(put(&interactive(&well.endpoint).await).await.unwrap(), Put::Created);
}

/// Goal: the time for a statement's request is for all attempts together, also when bodies stand still.
#[tokio::test]
async fn a_body_that_stands_still_is_not_waited_for_again() {
    let server = canned(vec![Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_vec())]).await;
    let store = interactive(&server.endpoint).await;
    let get = tokio::time::timeout(PATIENCE, async { store.get(&key("ebla/x"), 10).await });
    let error = get.await.expect("an answer").unwrap_err();
    assert_eq!((error.kind(), server.requests.load(Ordering::SeqCst)), (StoreErrorKind::Timeout, 1), "{error}");
}

#[tokio::test]
async fn listings_that_lie_are_refused() {
    let page = |keys: &[&str], more: &str| {
        let contents: String =
            keys.iter().map(|k| format!("<Contents><Key>{k}</Key><Size>1</Size></Contents>")).collect();
        http("200 OK", "", &format!("<ListBucketResult>{contents}{more}</ListBucketResult>"))
    };
    let last = "<IsTruncated>false</IsTruncated>";
    let more = "<IsTruncated>true</IsTruncated>";
    let more_with = |token| format!("{more}<NextContinuationToken>{token}</NextContinuationToken>");
    for answers in [
        vec![page(&["p/ebla/a"], &more_with("t"))],
        vec![page(&["p/ebla/a"], more)],
        vec![page(&["p/ebla/a"; 60], &more_with("t")), page(&["p/ebla/a"; 60], &more_with("u"))],
        vec![page(&["q/ebla/a"], last)],
        vec![page(&["../etc/passwd"], last)],
        // Cut short, where the parser does not mind.
        vec![page(&["p/ebla/a"], "")],
        vec![page(&["p/ebla/a"], &format!("<KeyCount>2</KeyCount>{last}"))],
        vec![http("200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount><Conte")],
    ] {
        let store = interactive(&canned(answers).await.endpoint).await;
        let error = for_each_listed(&store, "ebla/", 100, |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn a_listing_that_was_cut_short_is_asked_for_again() {
    let whole = "<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>\
                 <Contents><Key>p/ebla/a</Key><Size>1</Size></Contents></ListBucketResult>";
    let answers = vec![http("200 OK", "", &whole[..100]), http("200 OK", "", whole)];
    let store = interactive(&canned(answers).await.endpoint).await;
    assert_eq!(store.list("ebla/", None).await.unwrap().entries.len(), 1);
}

/// Goal: an upload that has begun goes on with the credentials of the time. Method: keys that change between two parts.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_follows_to_other_credentials() {
    let server = super::servers::RotatingS3::start().await;
    server.accept("first", "first-secret");
    let connect = async |access_key: &str, secret_key: &str| {
        let properties = s3_properties(&server.endpoint(), access_key, secret_key);
        s3_store("s3://bucket/p", &properties, Patience::Interactive).await
    };
    let store = connect("first", "first-secret").await;
    let bytes = super::super::PART_BYTES + 3;
    let upload = store.start_multipart(&key("ebla/x"), bytes).await.unwrap();
    let first = usize::try_from(super::super::PART_BYTES).unwrap();
    upload.put_part(0, Bytes::from(vec![b'x'; first])).await.unwrap();
    // The key stays: this server lets nobody else go on with an upload, which S3 does within an account.
    server.accept("first", "second-secret");
    let error = upload.put_part(1, Bytes::from_static(b"abc")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");
    store.follow(&connect("first", "second-secret").await);
    upload.put_part(1, Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(upload.complete().await.unwrap(), Put::Created);
    assert_eq!(store.head(&key("ebla/x")).await.unwrap().unwrap().bytes, bytes);
}

/// Goal: a store that replaces what is there is not taken for one that leaves it alone because its answer was lost. Method: the
/// upload is completed, unheard, and forgotten by then; the object is there all the same.
#[tokio::test]
async fn a_proof_in_parts_does_not_guess_what_a_lost_answer_said() {
    use crate::repository::probe::{PROBE_CONTENT, put_in_parts};

    // Whoever looks at the object now finds as many bytes as were put.
    let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId>";
    let begun = || http("200 OK", "", &format!("{begun:<0$}", PROBE_CONTENT.len()));
    let part = || http("200 OK", "etag: \"e\"\r\n", "");
    let completed = http("200 OK", "", "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>");
    let forgotten = s3_error("404 Not Found", "NoSuchUpload", "no such upload");
    let answers = vec![begun(), part(), Answer::Nothing, forgotten, begun(), part(), completed];
    let server = canned(answers).await;
    let put = put_in_parts(&interactive(&server.endpoint).await, &key("ebla/x")).await.unwrap();
    assert_eq!(put, Some(Put::Created));
    assert_eq!(server.requests.load(Ordering::SeqCst), 7);
}
