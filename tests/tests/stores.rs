//! Goal: Ebla works with the S3 servers people have, and sees through the bad ones. Method: the same story on each of
//! them, through a proxy that counts and can hold a request: create, back up, back up again with little new, look,
//! restore, cancel. What a server lacks is a golden text: the comments of SHOW CREATE REPOSITORY, and whether encryption,
//! storage class and locks can be had.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::folder::Folder;
use ebla_tests::golden;
use ebla_tests::golden::{Normaliser, without_request_id};
use ebla_tests::http::Body;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy, Tally};
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::stores::{Certificate, OtherStore};
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// Long enough for a backup to reach its first object on a busy machine.
const HOLD_PATIENCE: Duration = Duration::from_secs(60);

/// More than what is put with one request, also when it is compressed: letters of base 64 shrink to three quarters.
const LARGE_BYTES: usize = 25 << 20;

/// Least bytes of such an object: beyond this it is put in parts.
const PARTS_BYTES_MIN: u64 = 16 << 20;

/// Most bytes of a segment of one row.
const ONE_ROW_BYTES_MAX: u64 = 16 << 10;

const LARGE_TABLE: &str = "CREATE TABLE d.large (id BIGINT, noise STRING) DUPLICATE KEY(id) \
                           DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES (\"replication_num\" = \"1\")";

/// Lines of `number,letters` that no compression makes much smaller.
fn noise() -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut lines = Vec::with_capacity(LARGE_BYTES + 4096);
    let mut id = 0;
    while lines.len() < LARGE_BYTES {
        lines.extend_from_slice(format!("{id},").as_bytes());
        let random: [u8; 1024] = rand::random();
        lines.extend(random.iter().map(|byte| LETTERS[usize::from(byte % 64)]));
        lines.push(b'\n');
        id += 1;
    }
    lines
}

const CREATE_TABLE: &str = "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) \
                            DISTRIBUTED BY HASH(id) BUCKETS 2 PROPERTIES (\"replication_num\" = \"1\")";

async fn insert(client: &mut Client, ids: std::ops::Range<u32>) {
    let rows: Vec<String> = ids.map(|id| format!("({id}, 'name {id}')")).collect();
    client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
}

async fn timestamp(client: &mut Client, label: &str) -> String {
    let rows = client.query(&format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = '{label}'")).await;
    rows.record(0).unwrap_or_else(|| panic!("snapshot {label} is not there")).field("Timestamp").to_string()
}

/// The whole story; gives what SHOW CREATE REPOSITORY says of the store.
async fn story(name: &str, bucket: &Bucket) -> String {
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(bucket);
    let server = Server::start(name).await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    insert(&mut client, 0..200).await;
    client.query(LARGE_TABLE).await;
    server.load("d", "large", &[("column_separator", ",")], Body::Bytes(noise())).await;

    client.query(&bucket.create_repository("r", "some_pre fix/below")).await;
    let created = client.query("SHOW CREATE REPOSITORY FOR r").await;
    let statement = created.record(0).unwrap().field("Create Repository").to_string();

    proxy.reset();
    client.query("BACKUP SNAPSHOT d.full TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    let before = table_checksum(&mut client, "d.t").await;
    let large_before = table_checksum(&mut client, "d.large").await;
    assert_large_object(&proxy.tally(), !statement.contains("no multipart upload"));

    // With nothing new, no object is uploaded again.
    proxy.reset();
    client.query("BACKUP SNAPSHOT d.again TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    let tally = proxy.tally();
    assert_eq!(tally.uploaded_bytes("objects/*.parquet"), 0, "{tally}");
    assert_eq!(tally.requests_of(Operation::DeleteObject), 0, "{tally}");

    // With one row new, that and nothing else is.
    insert(&mut client, 1000..1001).await;
    proxy.reset();
    client.query("BACKUP SNAPSHOT d.more TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    let tally = proxy.tally();
    let uploaded = tally.uploaded_bytes("objects/*.parquet");
    assert!((1..=ONE_ROW_BYTES_MAX).contains(&uploaded), "{uploaded} bytes of segments\n{tally}");
    let puts = tally.rows().iter().filter(|row| row.operation.writes() && row.class == "objects/*.parquet");
    assert_eq!(puts.map(|row| row.requests - row.failures).sum::<u64>(), 1, "{tally}");
    assert_eq!(tally.requests_of(Operation::DeleteObject), 0, "{tally}");
    let shown = client.query("SHOW SNAPSHOT ON r").await;
    let mut labels = shown.column("Snapshot");
    labels.sort_unstable();
    assert_eq!(labels, ["again", "full", "more"]);

    // A cancelled backup leaves no snapshot, and nothing in the way of the next one.
    insert(&mut client, 2000..2001).await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/objects/"));
    client.query("BACKUP SNAPSHOT d.cancelled TO r").await;
    held.wait_hit(HOLD_PATIENCE).await;
    client.query("CANCEL BACKUP FROM d").await;
    held.lift();
    let cancelled = wait_backup(&mut client, "d").await;
    assert_eq!(cancelled.field("State"), "CANCELLED", "{cancelled}");
    client.query("BACKUP SNAPSHOT d.after TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);

    // Without local copies every byte comes from the store.
    let full = timestamp(&mut client, "full").await;
    client.query("DROP TABLE d.t FORCE").await;
    client.query("DROP TABLE d.large FORCE").await;
    proxy.reset();
    client.query(&format!("RESTORE SNAPSHOT d.full FROM r PROPERTIES (\"backup_timestamp\" = \"{full}\")")).await;
    assert_finished(&wait_restore(&mut client, "d").await);
    assert_eq!(table_checksum(&mut client, "d.t").await, before);
    assert_eq!(table_checksum(&mut client, "d.large").await, large_before);
    let tally = proxy.tally();
    let fetched: u64 =
        tally.rows().iter().filter(|row| row.class == "objects/*.parquet").map(|row| row.received_bytes).sum();
    assert!(fetched > PARTS_BYTES_MIN, "{fetched} bytes of segments came from the store\n{tally}");

    let said: Vec<&str> = statement.lines().filter(|line| line.starts_with("-- ")).collect();
    let said = if said.is_empty() { "nothing is lacking".to_string() } else { said.join("\n") };
    format!("{said}\n\n{}", settings(&mut client, &bucket).await)
}

const KMS_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012";

/// What the store makes of encryption, storage class and locks: each as CREATE REPOSITORY finds it, in a bucket with locks
/// where there are such. Whatever is refused leaves no repository behind.
async fn settings(client: &mut Client, bucket: &Bucket) -> String {
    let locking = Bucket { name: format!("locking-{:08x}", rand::random::<u32>()), ..bucket.clone() };
    let lock = [("x-amz-bucket-object-lock-enabled", "true")];
    let path = format!("/{}", locking.name);
    let made = locking.endpoint.client().send_with("PUT", &path, &[], &lock, &[]).await.unwrap();
    let locking = if made.status == 200 { &locking } else { bucket };
    let normaliser = Normaliser::new()
        .literal(&bucket.name, "bucket")
        .literal(&locking.name, "bucket")
        .literal(&bucket.endpoint.url, "http://127.0.0.1:<port>");

    let mut text = String::new();
    for (number, (bucket, options)) in [
        (bucket, vec![("aws.s3.sse", "AES256")]),
        (bucket, vec![("aws.s3.sse", "aws:kms"), ("aws.s3.sse_kms_key_id", KMS_KEY)]),
        (bucket, vec![("aws.s3.sse", "aws:kms:dsse"), ("aws.s3.sse_kms_key_id", KMS_KEY)]),
        (bucket, vec![("aws.s3.storage_class", "STANDARD_IA")]),
        (locking, vec![("aws.s3.object_lock_mode", "GOVERNANCE"), ("aws.s3.object_lock_days", "1")]),
    ]
    .into_iter()
    .enumerate()
    {
        let prefix = format!("settings-{number}");
        let more: String = options.iter().map(|(key, value)| format!(",\n\"{key}\" = \"{value}\"")).collect();
        let create = bucket.create_repository(&format!("s{number}"), &prefix).replacen("\n)", &format!("{more}\n)"), 1);
        let said = match client.try_query(&create).await {
            Ok(_) => "kept".to_string(),
            Err(error) => {
                assert_eq!(bucket.list(&format!("{prefix}/ebla/repository.json")).await, [], "{error}");
                without_request_id(normaliser.apply(&error.message).trim_end())
            }
        };
        let (key, value) = options[0];
        text += &format!("{key} = {value}: {said}\n");
    }
    text
}

/// The large table's segment went in several parts of one upload, or whole where there are none.
fn assert_large_object(tally: &Tally, in_parts: bool) {
    let uploaded = tally.uploaded_bytes("objects/*.parquet");
    assert!(uploaded > PARTS_BYTES_MIN, "{uploaded} bytes of segments\n{tally}");
    let parts = tally.requests_of(Operation::UploadPart);
    let completed = tally.requests_of(Operation::CompleteMultipartUpload);
    match in_parts {
        true => assert!(completed >= 1 && parts >= 3, "{parts} parts, {completed} uploads completed\n{tally}"),
        false => assert_eq!((parts, completed), (0, 0), "{tally}"),
    }
}

#[tokio::test]
async fn seaweedfs() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    golden!("stores/seaweedfs", story("on-weed", &weed.bucket("stores").await).await);
}

#[tokio::test]
async fn s3s_fs() {
    let store = S3sFs::start();
    golden!("stores/s3s-fs", story("on-s3s-fs", &store.bucket("stores").await).await);
}

#[tokio::test]
async fn ministack() {
    let Some(store) = OtherStore::ministack().await else {
        return;
    };
    golden!("stores/ministack", story("on-ministack", &store.bucket("stores").await).await);
}

#[tokio::test]
async fn moto() {
    let Some(store) = OtherStore::moto().await else {
        return;
    };
    golden!("stores/moto", story("on-moto", &store.bucket("stores").await).await);
}

#[tokio::test]
async fn juicefs() {
    let Some(store) = OtherStore::juicefs().await else {
        return;
    };
    golden!("stores/juicefs", story("on-juicefs", &store.bucket("stores").await).await);
}

#[tokio::test]
async fn rclone() {
    let Some(store) = OtherStore::rclone().await else {
        return;
    };
    golden!("stores/rclone", story("on-rclone", &store.bucket("stores").await).await);
}

/// A certificate that only a CA bundle makes trusted, and a bucket whose name no host can have.
#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let folder = Folder::new("authority");
    let Some(certificate) = Certificate::make(folder.path()) else {
        return;
    };
    let Some(store) = OtherStore::rclone_tls(&certificate).await else {
        return;
    };
    store.bucket_folder("Under_score");
    let root = folder.path().display().to_string();
    let server = Server::configure("tls").env("EBLA_S3_CA_BUNDLE_ROOT", &root).start().await;
    let mut client = server.client().await;
    let endpoint = store.endpoint();
    let create = |name: &str, more: &str| {
        format!(
            "CREATE REPOSITORY {name} WITH S3 ON LOCATION \"s3://Under_score//\" PROPERTIES (\
             \"s3.access_key\" = \"{}\", \"s3.secret_key\" = \"{}\", \"s3.endpoint\" = \"{}/\"{more})",
            endpoint.access_key,
            endpoint.secret_key,
            endpoint.url.trim_start_matches("https://"),
        )
    };
    let error = client.refused(&create("r", "")).await.message;
    assert!(error.contains("aws.s3.ca_bundle"), "{error}");
    let bundle = format!(", \"aws.s3.ca_bundle\" = \"{}\"", certificate.authority.display());
    client.query(&create("r", &bundle)).await;
    client.query("SHOW SNAPSHOT ON r").await;

    // The configuration's bundle serves repositories that name none.
    let authority = certificate.authority.display().to_string();
    let server = Server::configure("tls-config").env("EBLA_S3_CA_BUNDLE", &authority).start().await;
    server.client().await.query(&create("r", "")).await;
}

/// The IAM action that allows a request.
fn action(operation: Operation) -> &'static str {
    match operation {
        Operation::ListObjectsV2 | Operation::ListObjects | Operation::HeadBucket => "s3:ListBucket",
        Operation::GetObject | Operation::HeadObject => "s3:GetObject",
        Operation::PutObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::CompleteMultipartUpload => "s3:PutObject",
        Operation::AbortMultipartUpload => "s3:AbortMultipartUpload",
        Operation::PutObjectRetention => "s3:PutObjectRetention",
        Operation::DeleteObject | Operation::DeleteObjects => "s3:DeleteObject",
        _ => "something else",
    }
}

/// Uploads in parts that a proof finds to be of no use are given up after the statement has been answered.
async fn given_up(proxy: &S3Proxy) {
    wait_until(HOLD_PATIENCE, async || {
        let exchanges = proxy.exchanges();
        let of = |operation| exchanges.iter().filter(move |passed| passed.operation == operation);
        let begun = of(Operation::CreateMultipartUpload).filter(|passed| passed.status == 200).count();
        let completed = of(Operation::CompleteMultipartUpload).filter(|passed| passed.status == 200).count();
        let aborted = of(Operation::AbortMultipartUpload).count();
        match begun > 0 && begun == completed + aborted {
            true => Ok(()),
            false => Err(format!("of {begun} uploads in parts {completed} were completed and {aborted} given up")),
        }
    })
    .await;
}

/// The policies of docs/operations.md are enough: what each statement was seen to need.
#[tokio::test]
async fn actions_of_each_statement() {
    let store = S3sFs::start();
    let bucket = store.bucket("actions").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    let server = Server::start("actions").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    insert(&mut client, 0..100).await;

    let mut text = String::new();
    let mut note = |statement: &str| {
        let mut actions: Vec<&str> = proxy.exchanges().iter().map(|passed| action(passed.operation)).collect();
        actions.sort_unstable();
        actions.dedup();
        proxy.reset();
        text += &format!("{statement}: {}\n", actions.join(", "));
    };
    client.query(&bucket.create_repository("r", "x")).await;
    given_up(&proxy).await;
    note("CREATE REPOSITORY");
    client.query("ALTER REPOSITORY r PROPERTIES (\"aws.s3.region\" = \"us-east-1\")").await;
    given_up(&proxy).await;
    note("ALTER REPOSITORY");
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    note("BACKUP");
    let snapshot = timestamp(&mut client, "s").await;
    note("SHOW SNAPSHOT");
    let read_only = bucket.create_repository("reader", "x").replacen("CREATE", "CREATE READ ONLY", 1);
    client.query(&read_only).await;
    note("CREATE READ ONLY REPOSITORY");
    client.query("DROP TABLE d.t FORCE").await;
    let restore = format!("RESTORE SNAPSHOT d.s FROM reader PROPERTIES (\"backup_timestamp\" = \"{snapshot}\")");
    client.query(&restore).await;
    assert_finished(&wait_restore(&mut client, "d").await);
    note("RESTORE");
    client.query("DROP REPOSITORY r").await;
    note("DROP REPOSITORY");
    golden!("stores/actions", text);
}
