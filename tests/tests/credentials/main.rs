//! Goal: every way to credentials works end to end, also while they change under a running job, and ends in a Status
//! that says so when they are gone. Method: a store that knows which keys live, a metadata service and a role service
//! that hand such keys out, and the real server between them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod chain;
mod change;
mod trouble;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::cloud::{MetadataService, RoleService, Trust};
use ebla_tests::http::Body;
use ebla_tests::keys::LiveKeys;
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup};
use ebla_tests::weed::Weed;

const ROLE: &str = "arn:aws:iam::000000000000:role/BackupRole";

/// How long keys live that are to end during a backup.
const SHORT_LIFE: Duration = Duration::from_secs(3);

/// Longer than any test.
const LONG_LIFE: Duration = Duration::from_secs(3600);

/// How long a machine under load may take until something is seen.
const HOLD_PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of the table that is backed up slowly: as random as its text, so that they do not shrink.
const SLOW_BYTES: usize = 6 << 20;

/// A third of a second for each of its objects, nine seconds in all: three lives of short keys.
const SLOW_BYTES_PER_SECOND: usize = SLOW_BYTES / 9;

fn create(bucket: &Bucket, properties: &[(&str, &str)]) -> String {
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
    format!(
        "CREATE REPOSITORY r WITH BROKER ON LOCATION \"{}\" PROPERTIES ({}, \"aws.s3.region\" = \"us-east-1\", \
         \"aws.s3.endpoint\" = \"{}\")",
        bucket.location("backup"),
        properties.join(", "),
        bucket.endpoint.url
    )
}

/// A database with one small table.
async fn small_table(client: &mut Client) {
    client.query("CREATE DATABASE d").await;
    client
        .query(
            "CREATE TABLE d.t (id BIGINT, text STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 24 \
             PROPERTIES (\"replication_num\" = \"1\")",
        )
        .await;
    let rows: Vec<String> = (0..200).map(|id| format!("({id}, 'x')")).collect();
    client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
}

async fn back_up(client: &mut Client) {
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    assert_finished(&wait_backup(client, "d").await);
}

/// Nothing the server wrote down holds a secret.
fn assert_no_secret(server: &Server, secrets: &[&str]) {
    fn look(path: &Path, secrets: &[&str]) {
        if path.is_dir() {
            return std::fs::read_dir(path).unwrap().for_each(|entry| look(&entry.unwrap().path(), secrets));
        }
        let Ok(bytes) = std::fs::read(path) else {
            return; // Gone meanwhile.
        };
        for secret in secrets {
            let held = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!held, "{} holds a secret", path.display());
        }
    }
    look(server.folder(), secrets);
}

#[tokio::test]
async fn keys_by_the_spellings_of_three_products() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("keys").await;
    let server = Server::start("keys").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let mine = keys.mint(LONG_LIFE);
    let (access, secret, token) = (mine.access_key.as_str(), mine.secret_key.as_str(), mine.session_token.as_str());
    for [access_key, secret_key, session_token] in [
        ["aws.s3.access_key", "aws.s3.secret_key", "aws.s3.session_token"],
        ["s3.access_key", "s3.secret_key", "s3.session_token"],
        ["fs.s3a.access.key", "fs.s3a.secret.key", "fs.s3a.session.token"],
    ] {
        let idle = ("fs.s3a.threads.max", "20");
        let pairs = [(access_key, access), (secret_key, secret), (session_token, token), idle];
        client.query(&create(&bucket, &pairs)).await;
        client.query("SHOW SNAPSHOT ON r").await;
        let shown = client.query("SHOW CREATE REPOSITORY FOR r").await.to_string();
        assert!(shown.contains("***") && !shown.contains(secret) && !shown.contains(token), "{shown}");
        assert!(shown.contains("fs.s3a.threads.max\" is of no consequence here"), "{shown}");
        client.query("DROP REPOSITORY r").await;
    }
    client.query(&create(&bucket, &[("aws.s3.access_key", access), ("aws.s3.secret_key", secret)])).await;
    back_up(&mut client).await;
    assert_no_secret(&server, &[access, secret, token]);
}

/// Keys of three seconds' life, a backup of nine: every request goes out with keys that live.
#[tokio::test]
async fn an_instance_profile_renews_itself_during_a_backup() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("profile").await;
    let minted = keys.clone();
    // CREATE REPOSITORY also tries an upload in parts, which this store lets one key alone go on with.
    let short = Arc::new(AtomicBool::new(false));
    let is_short = Arc::clone(&short);
    let metadata = MetadataService::start(move || {
        minted.mint(if is_short.load(Ordering::SeqCst) { SHORT_LIFE } else { LONG_LIFE })
    });
    let server = Server::configure("profile")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())
        .env("EBLA_MAX_BACKUP_BANDWIDTH", &SLOW_BYTES_PER_SECOND.to_string())
        .start()
        .await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    server.load("d", "t", &[("column_separator", ",")], Body::Bytes(noise())).await;
    client.query(&create(&bucket, &[("aws.s3.use_instance_profile", "true")])).await;
    short.store(true, Ordering::SeqCst);
    let start = Instant::now();
    back_up(&mut client).await;
    assert!(start.elapsed() > 2 * SHORT_LIFE, "the backup was over before its keys: {:?}", start.elapsed());
    assert!(metadata.fetched() > 3, "credentials were fetched {} times", metadata.fetched());
    assert!(keys.used() > 3, "{} keys were used", keys.used());
    assert_no_secret(&server, &["live-secret-", "live-token-"]);
}

/// The same with a role, whose keys come from STS for an external id that is asked for each time.
#[tokio::test]
async fn a_role_renews_itself_during_a_backup() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("renewed").await;
    let base = keys.mint(LONG_LIFE);
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "an-external-id".to_string(),
        web_identity: "nobody".to_string(),
    };
    let (minted, short) = (keys.clone(), Arc::new(AtomicBool::new(false)));
    let is_short = Arc::clone(&short);
    let roles = RoleService::start(trust, move || {
        minted.mint(if is_short.load(Ordering::SeqCst) { SHORT_LIFE } else { LONG_LIFE })
    });
    let server =
        Server::configure("renewed").env("EBLA_MAX_BACKUP_BANDWIDTH", &SLOW_BYTES_PER_SECOND.to_string()).start().await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    server.load("d", "t", &[("column_separator", ",")], Body::Bytes(noise())).await;
    let properties = [
        ("aws.s3.access_key", base.access_key.as_str()),
        ("aws.s3.secret_key", &base.secret_key),
        ("aws.s3.iam_role_arn", ROLE),
        ("aws.s3.external_id", "an-external-id"),
        ("aws.s3.sts.region", "us-east-1"),
        ("aws.s3.sts.endpoint", roles.url()),
    ];
    client.query(&create(&bucket, &properties)).await;
    short.store(true, Ordering::SeqCst);
    let (start, asked) = (Instant::now(), roles.asked());
    back_up(&mut client).await;
    assert!(start.elapsed() > 2 * SHORT_LIFE, "the backup was over before its keys: {:?}", start.elapsed());
    assert!(roles.asked() > asked + 2, "STS was asked {} times more", roles.asked() - asked);
    assert!(keys.used() > 3, "{} keys were used", keys.used());
    assert_eq!(keys.uses(&base.access_key), 0, "the base identity's keys only ask for the role");
}

/// Lines of `number,hex` that no compression makes much smaller.
fn noise() -> Vec<u8> {
    let mut lines = String::with_capacity(SLOW_BYTES * 2 + 4096);
    let mut id = 0;
    while lines.len() < SLOW_BYTES * 2 {
        lines.push_str(&format!("{id},{:032x}{:032x}\n", rand::random::<u128>(), rand::random::<u128>()));
        id += 1;
    }
    lines.into_bytes()
}

#[tokio::test]
async fn a_role_on_top_of_keys_with_its_external_id() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("role").await;
    let base = keys.mint(LONG_LIFE);
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "an-external-id".to_string(),
        web_identity: "nobody".to_string(),
    };
    let minted = keys.clone();
    let roles = RoleService::start(trust, move || minted.mint(LONG_LIFE));
    let server = Server::start("role").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let properties = |external_id: &'static str| {
        vec![
            ("aws.s3.access_key", base.access_key.clone()),
            ("aws.s3.secret_key", base.secret_key.clone()),
            ("aws.s3.iam_role_arn", ROLE.to_string()),
            ("aws.s3.external_id", external_id.to_string()),
            ("aws.s3.sts.region", "us-east-1".to_string()),
            ("aws.s3.sts.endpoint", roles.url().to_string()),
        ]
    };
    let statement = |properties: Vec<(&str, String)>| {
        let pairs: Vec<(&str, &str)> = properties.iter().map(|(key, value)| (*key, value.as_str())).collect();
        create(&bucket, &pairs)
    };
    let error = client.refused(&statement(properties("another-id"))).await.message;
    assert!(error.contains("STS does not give the role") && error.contains("aws.s3.external_id"), "{error}");
    assert!(!error.contains("another-id"), "{error}");

    client.query(&statement(properties("an-external-id"))).await;
    back_up(&mut client).await;
    assert!(roles.asked() >= 2);
    assert_eq!(keys.uses(&base.access_key), 0, "the base identity's keys only ask for the role");
    assert_no_secret(&server, &[&base.secret_key, "an-external-id", "live-secret-", "live-token-"]);
}

/// The same on top of what is no key of the properties: the instance's role, and what the SDK's chain finds.
#[tokio::test]
async fn a_role_on_top_of_an_instance_profile_and_of_the_default_chain() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("above").await;
    let (base, stranger) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    let handed_out = base.clone();
    let metadata = MetadataService::start(move || handed_out.clone());
    for (name, identity, trusted) in [
        ("above-profile", "aws.s3.use_instance_profile", true),
        ("above-chain", "aws.s3.use_aws_sdk_default_behavior", true),
        ("above-stranger", "aws.s3.use_aws_sdk_default_behavior", false),
    ] {
        let trust = Trust {
            role_arn: ROLE.to_string(),
            access_key: base.access_key.clone(),
            external_id: "an-external-id".to_string(),
            web_identity: "nobody".to_string(),
        };
        let minted = keys.clone();
        let roles = RoleService::start(trust, move || minted.mint(LONG_LIFE));
        let mut server = Server::configure(name);
        if identity == "aws.s3.use_instance_profile" {
            server = server
                .env("AWS_EC2_METADATA_DISABLED", "false")
                .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url());
        } else {
            let own = if trusted { &base } else { &stranger };
            server = server
                .env("AWS_ACCESS_KEY_ID", &own.access_key)
                .env("AWS_SECRET_ACCESS_KEY", &own.secret_key)
                .env("AWS_SESSION_TOKEN", &own.session_token);
        }
        let server = server.start().await;
        let mut client = server.client().await;
        let statement = |external_id: &str| {
            let properties = [
                (identity, "true"),
                ("aws.s3.iam_role_arn", ROLE),
                ("aws.s3.external_id", external_id),
                ("aws.s3.sts.region", "us-east-1"),
                ("aws.s3.sts.endpoint", roles.url()),
            ];
            create(&bucket, &properties)
        };
        let error = client.refused(&statement("another-id")).await.message;
        let said = if trusted { "STS does not give the role" } else { "STS does not know the access key" };
        assert!(error.contains(said), "{name}: {error}");
        if !trusted {
            let error = client.refused(&statement("an-external-id")).await.message;
            assert!(error.contains("InvalidClientTokenId"), "{name}: {error}");
            assert_eq!(keys.uses(&stranger.access_key), 0, "nobody falls back to the base identity");
            continue;
        }
        small_table(&mut client).await;
        let used = keys.used();
        client.query(&statement("an-external-id")).await;
        back_up(&mut client).await;
        client.query("DROP REPOSITORY r").await;
        assert!(roles.asked() >= 2 && keys.used() > used, "{name}: the role's keys were not used");
        assert_eq!(keys.uses(&base.access_key), 0, "{name}: the base identity's keys only ask for the role");
        assert_no_secret(&server, &[&base.secret_key, "an-external-id", "live-secret-", "live-token-"]);
        // The next server's backup is another repository's.
        bucket_below(&bucket, "backup").await;
    }
    assert!(metadata.fetched() > 0, "the metadata service was not asked");
}

/// Empties what lies below a prefix.
async fn bucket_below(bucket: &Bucket, prefix: &str) {
    for object in bucket.list(prefix).await {
        bucket.delete(&object.key).await;
    }
}

/// The role of a real store: scoped by its policy, given by its STS.
#[tokio::test]
async fn a_role_of_seaweedfs_reaches_its_buckets_only() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let server = Server::start("weed-role").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let endpoint = weed.endpoint();
    let properties = [
        ("aws.s3.access_key", endpoint.access_key.as_str()),
        ("aws.s3.secret_key", &endpoint.secret_key),
        ("aws.s3.iam_role_arn", ebla_tests::weed::ROLE),
        ("aws.s3.sts.region", "us-east-1"),
        ("aws.s3.sts.endpoint", &endpoint.url),
    ];
    let other = weed.bucket("other").await;
    let error = client.refused(&create(&other, &properties)).await.message;
    assert!(error.contains("allow s3:ListBucket on arn:aws:s3:::other-"), "{error}");
    client.query(&create(&weed.bucket("role").await, &properties)).await;
    back_up(&mut client).await;
}
