//! Goal: a store is asked for what a repository's properties say (locks, encryption, storage class), for every object of
//! a snapshot, also for those that were there before it. Method: back up to stores that keep what they are asked for, then
//! look at each object with a client of our own; count the requests in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::{Duration, SystemTime};

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::noise::noise;
use ebla_tests::proxy::{Fault, Operation, Rule, RuleHandle, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::stores::OtherStore;
use ebla_tests::wait::{assert_finished, wait_backup};
use ebla_tests::weed::Weed;

const DAY: Duration = Duration::from_secs(86_400);

/// Clocks of one machine, and whole seconds.
const TOLERANCE: Duration = Duration::from_secs(2);

async fn table(client: &mut Client) {
    client.query("CREATE DATABASE d").await;
    client
        .query(
            "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 3 \
             PROPERTIES (\"replication_num\" = \"1\")",
        )
        .await;
    insert(client, 0..60).await;
}

async fn insert(client: &mut Client, ids: std::ops::Range<u32>) {
    let rows: Vec<String> = ids.map(|id| format!("({id}, 'name {id}')")).collect();
    client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
}

fn create(bucket: &Bucket, options: &[(&str, &str)]) -> String {
    let options: String = options.iter().map(|(key, value)| format!(",\n\"{key}\" = \"{value}\"")).collect();
    bucket.create_repository("r", "x").replacen("\n)", &format!("{options}\n)"), 1)
}

fn locks(mode: &'static str, days: &'static str) -> [(&'static str, &'static str); 2] {
    [("aws.s3.object_lock_mode", mode), ("aws.s3.object_lock_days", days)]
}

/// Backs up, and gives a moment that is not before the snapshot came to be.
async fn back_up(client: &mut Client, label: &str) -> SystemTime {
    client.query(&format!("BACKUP SNAPSHOT d.{label} TO r")).await;
    assert_finished(&wait_backup(client, "d").await);
    SystemTime::now()
}

/// The objects that snapshots are made of.
async fn objects(bucket: &Bucket) -> Vec<String> {
    let all = bucket.list("x/ebla/").await.into_iter().map(|object| object.key);
    // Proofs of creation and announcements of backups are no part of a snapshot, and are removed one day.
    let passing = |key: &String| ["ebla/probe", "ebla/writers/"].iter().any(|part| key.contains(part));
    let (proofs, parts): (Vec<String>, Vec<String>) = all.partition(passing);
    for key in proofs.iter().filter(|key| !key.contains("probe-lock")) {
        assert_eq!(bucket.head(key).await.header("x-amz-object-lock-mode"), None, "{key} can be taken away");
    }
    for kind in ["ebla/repository.json", "ebla/objects/", "ebla/trees/", "ebla/snapshots/"] {
        assert!(parts.iter().any(|key| key.contains(kind)), "there is no {kind}: {parts:?}");
    }
    parts
}

/// Every such object of the repository is locked in this mode, for so long after that moment.
async fn assert_locked(bucket: &Bucket, which: impl Fn(&str) -> bool, mode: &str, since: SystemTime, days: u32) {
    let least = since + DAY * days - TOLERANCE;
    for key in objects(bucket).await.into_iter().filter(|key| which(key)) {
        let head = bucket.head(&key).await;
        assert_eq!(head.header("x-amz-object-lock-mode"), Some(mode), "{key}");
        let until = instant(head.header("x-amz-object-lock-retain-until-date").unwrap());
        assert!(until >= least, "{key} is locked until {until:?}, which is before {least:?}");
    }
}

/// Requests for longer locks.
fn extended(proxy: &S3Proxy) -> u64 {
    proxy.tally().requests_of(Operation::PutObjectRetention)
}

/// `2026-11-23T06:00:00Z`, perhaps with a fraction of the second.
fn instant(text: &str) -> SystemTime {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 of a date, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}

async fn alter(client: &mut Client, options: &[(&str, &str)]) {
    let options: Vec<String> = options.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
    client.query(&format!("ALTER REPOSITORY r PROPERTIES ({})", options.join(", "))).await;
}

/// Locked with the put; known to be locked without a request while that lasts; extended, all of it, when it does not.
#[tokio::test]
async fn every_object_of_a_snapshot_is_locked_and_re_used_ones_for_longer() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.locking_bucket("lock").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let server = Server::start("lock").await;
    let mut client = server.client().await;
    table(&mut client).await;
    client.query(&create(&proxy.bucket(&bucket), &locks("GOVERNANCE", "1"))).await;
    let end = back_up(&mut client, "first").await;
    assert_locked(&bucket, |_| true, "GOVERNANCE", end, 1).await;

    // The locks last for more than a day yet: nothing is asked for.
    proxy.reset();
    let end = back_up(&mut client, "again").await;
    assert_eq!(extended(&proxy), 0, "{}", proxy.tally());
    assert_locked(&bucket, |key| !key.contains("/first/"), "GOVERNANCE", end, 1).await;

    // They do not last for forty: one request for each object that is not new, and for the repository's identity.
    proxy.reset();
    alter(&mut client, &locks("GOVERNANCE", "40")).await;
    assert_eq!(extended(&proxy), 1, "the proof: {}", proxy.tally());
    let there = objects(&bucket).await.iter().filter(|key| !key.contains("ebla/snapshots/")).count() as u64;
    proxy.reset();
    let end = back_up(&mut client, "longer").await;
    assert_eq!(extended(&proxy), there, "{}", proxy.tally());
    let old = |key: &str| key.contains("/first/") || key.contains("/again/");
    assert_locked(&bucket, |key| !old(key), "GOVERNANCE", end, 40).await;

    // Now they do.
    insert(&mut client, 100..101).await;
    proxy.reset();
    let end = back_up(&mut client, "more").await;
    assert_eq!(extended(&proxy), 0, "{}", proxy.tally());
    assert_locked(&bucket, |key| !old(key), "GOVERNANCE", end, 40).await;

    // A lock can be made stricter by whoever may lift it.
    alter(&mut client, &locks("COMPLIANCE", "40")).await;
    let end = back_up(&mut client, "stricter").await;
    // (Nodes that were replaced since are no part of it.)
    let certain = |key: &str| key.contains("ebla/objects/") || key.contains("/stricter/") || key.ends_with(".json");
    assert_locked(
        &bucket,
        |key| certain(key) && !key.contains("/more/") && !old(key) && !key.contains("/longer/"),
        "COMPLIANCE",
        end,
        40,
    )
    .await;

    // The store means it.
    let key = objects(&bucket).await.into_iter().find(|key| key.contains("ebla/objects/")).unwrap();
    let version = bucket.head(&key).await.header("x-amz-version-id").unwrap().to_string();
    let path = format!("/{}/{key}", bucket.name);
    let refused = bucket.endpoint.client().send("DELETE", &path, &[("versionId", &version)], &[]).await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
}

/// A repository that asks for locks later locks what its next snapshot takes over; an object that is gone is put again.
#[tokio::test]
async fn locks_that_are_asked_for_later() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.locking_bucket("later").await;
    let server = Server::start("later").await;
    let mut client = server.client().await;
    table(&mut client).await;
    client.query(&create(&bucket, &[])).await;
    back_up(&mut client, "free").await;
    let lost = objects(&bucket).await.into_iter().find(|key| key.contains("ebla/objects/")).unwrap();
    assert_eq!(bucket.head(&lost).await.header("x-amz-object-lock-mode"), None);
    let version = bucket.head(&lost).await.header("x-amz-version-id").unwrap().to_string();
    let path = format!("/{}/{lost}", bucket.name);
    let deleted = bucket.endpoint.client().send("DELETE", &path, &[("versionId", &version)], &[]).await.unwrap();
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    alter(&mut client, &locks("COMPLIANCE", "7")).await;
    let end = back_up(&mut client, "locked").await;
    assert_locked(&bucket, |key| !key.contains("/free/"), "COMPLIANCE", end, 7).await;
    assert!(objects(&bucket).await.contains(&lost), "{lost} was not put again");
}

/// A store that refuses to remove what is locked is quoted with the end of the lock; one that takes it keeps what it was.
#[tokio::test]
async fn a_removal_that_is_refused() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.locking_bucket("refused").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let server = Server::start("refused").await;
    let mut client = server.client().await;
    table(&mut client).await;
    client.query(&create(&proxy.bucket(&bucket), &locks("COMPLIANCE", "1"))).await;
    back_up(&mut client, "kept").await;
    let refusal = proxy.rule(Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::DeleteObject));
    let error = client.refused("DROP SNAPSHOT kept ON r").await.message;
    assert!(error.contains("the object is locked (COMPLIANCE) until 20"), "{error}");
    // A snapshot that could not be removed is still there.
    assert_eq!(client.query("SHOW SNAPSHOT ON r").await.rows.len(), 1);
    refusal.lift();

    // A removal that names no version is taken: the snapshot is gone, and what it was is still there below.
    let snapshot = bucket.list("x/ebla/snapshots/").await.remove(0).key;
    let segment = objects(&bucket).await.into_iter().find(|key| key.contains("ebla/objects/")).unwrap();
    let version = bucket.head(&snapshot).await.header("x-amz-version-id").unwrap().to_string();
    client.query("DROP SNAPSHOT kept ON r").await;
    assert_eq!(client.query("SHOW SNAPSHOT ON r").await.rows.len(), 0);
    let path = format!("/{}/{snapshot}", bucket.name);
    let raw = bucket.endpoint.client();
    let old = raw.send("GET", &path, &[("versionId", &version)], &[]).await.unwrap();
    assert!(old.status == 200 && old.text().contains("\"kept\""), "{}: {}", old.status, old.text());
    let refused = raw.send("DELETE", &path, &[("versionId", &version)], &[]).await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(bucket.head(&segment).await.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
    // The label is free again.
    back_up(&mut client, "kept").await;
    assert_eq!(client.query("SHOW SNAPSHOT ON r").await.rows.len(), 1);
}

/// Who asks for locks where none are kept is told at once, also where a repository is already.
#[tokio::test]
async fn locks_that_cannot_be_had() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let server = Server::start("no-locks").await;
    let mut client = server.client().await;
    let bucket = weed.bucket("free").await;
    let locking = create(&bucket, &locks("GOVERNANCE", "1"));
    let error = client.refused(&locking).await.message;
    assert!(error.contains("make the bucket with Object Lock"), "{error}");
    assert_eq!(bucket.list("x/ebla/repository.json").await, [], "a repository came to be");
    client.query(&create(&bucket, &[])).await;
    client.query("DROP REPOSITORY r").await;
    let error = client.refused(&locking).await.message;
    assert!(error.contains("make the bucket with Object Lock"), "{error}");

    // They take the header, and forget it.
    let (Some(juicefs), Some(rclone)) = (OtherStore::juicefs().await, OtherStore::rclone().await) else {
        return;
    };
    let s3s_fs = S3sFs::start();
    for bucket in [s3s_fs.bucket("none").await, juicefs.bucket("none").await, rclone.bucket("none").await] {
        let locking = create(&bucket, &locks("COMPLIANCE", "1"));
        for _ in 0..2 {
            let error = client.refused(&locking).await.message;
            assert!(error.contains("Object Lock") && error.contains("aws.s3.object_lock_mode"), "{error}");
            assert_eq!(bucket.list("x/ebla/repository.json").await, [], "a repository came to be: {error}");
        }
    }
}

/// Segments and delete vectors are large, and there are many: the storage class is theirs alone.
async fn assert_settings(bucket: &Bucket, sse: &str, key: Option<&str>, class: &str) {
    for object in objects(bucket).await {
        let head = bucket.head(&object).await;
        let header = |name: &str| head.header(name).map(str::to_string);
        assert_eq!(header("x-amz-server-side-encryption").as_deref(), Some(sse), "{object}");
        assert_eq!(header("x-amz-server-side-encryption-aws-kms-key-id").as_deref(), key, "{object}");
        // S3 names every class but the standard one.
        let told = header("x-amz-storage-class").filter(|class| class != "STANDARD");
        assert_eq!(told.as_deref(), object.contains("ebla/objects/").then_some(class), "{object}");
    }
}

const KMS_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012";

/// Encryption and lock on every object, the storage class on segments and delete vectors.
#[tokio::test]
async fn encryption_storage_class_and_lock_of_every_object() {
    let Some(moto) = OtherStore::moto().await else {
        return;
    };
    let server = Server::start("options").await;
    let mut client = server.client().await;
    table(&mut client).await;
    for (label, sse, key) in
        [("plain", "AES256", None), ("kms", "aws:kms", Some(KMS_KEY)), ("dsse", "aws:kms:dsse", Some(KMS_KEY))]
    {
        let bucket = moto.locking_bucket("options").await;
        let mut options = vec![("aws.s3.sse", sse), ("aws.s3.storage_class", "STANDARD_IA")];
        options.extend(key.map(|key| ("aws.s3.sse_kms_key_id", key)));
        options.extend(locks("COMPLIANCE", "3"));
        client.query(&create(&bucket, &options)).await;
        let end = back_up(&mut client, label).await;
        assert_locked(&bucket, |_| true, "COMPLIANCE", end, 3).await;
        // moto shows no key beside the third.
        assert_settings(&bucket, sse, key.filter(|_| label != "dsse"), "STANDARD_IA").await;
        client.query("DROP REPOSITORY r").await;
    }
}

/// The same where an object is put in parts, rows are deleted, and a later backup takes most of it over and wants longer
/// locks.
async fn settings_of_all_kinds_of_objects(name: &str, bucket: &Bucket, sse: &[(&str, &str)], key: Option<&str>) {
    const LARGE_BYTES: usize = 24 << 20;
    const ROW_BYTES: usize = 32 << 10;
    const PARTS_BYTES_MIN: u64 = 16 << 20;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let server = Server::start(name).await;
    let mut client = server.client().await;
    table(&mut client).await;
    client
        .query(
            "CREATE TABLE d.p (id BIGINT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1 \
             PROPERTIES (\"replication_num\" = \"1\")",
        )
        .await;
    let noise = noise(1, LARGE_BYTES);
    let rows = noise.as_bytes().chunks(ROW_BYTES).enumerate();
    let lines: String = rows.map(|(id, text)| format!("{id},{}\n", String::from_utf8_lossy(text))).collect();
    server.load("d", "p", &[("column_separator", ",")], Body::Bytes(lines.into_bytes())).await;
    client.query("DELETE FROM d.p WHERE id = 1").await;

    let mut options = sse.to_vec();
    options.push(("aws.s3.storage_class", "STANDARD_IA"));
    options.extend(locks("GOVERNANCE", "2"));
    client.query(&create(&proxy.bucket(bucket), &options)).await;
    let end = back_up(&mut client, "full").await;
    let tally = proxy.tally();
    assert!(tally.requests_of(Operation::CompleteMultipartUpload) >= 1, "{tally}");
    let large = bucket.list("x/ebla/objects/").await.into_iter().find(|object| object.size_bytes > PARTS_BYTES_MIN);
    let large = large.expect("the noise is in one segment").key;
    assert_locked(bucket, |_| true, "GOVERNANCE", end, 2).await;
    assert_settings(bucket, sse[0].1, key, "STANDARD_IA").await;
    let of_full = objects(bucket).await;
    assert!(of_full.iter().any(|key| key.ends_with(".dv")), "{of_full:?}");

    alter(&mut client, &locks("GOVERNANCE", "50")).await;
    client.query("DELETE FROM d.p WHERE id = 2").await;
    insert(&mut client, 100..103).await;
    proxy.reset();
    let end = back_up(&mut client, "more").await;
    let tally = proxy.tally();
    assert!(tally.uploaded_bytes("objects/*.parquet") < PARTS_BYTES_MIN, "the large one was put again\n{tally}");
    let all = objects(bucket).await;
    let new: Vec<&String> = all.iter().filter(|key| !of_full.contains(key)).collect();
    assert!(new.iter().any(|key| key.ends_with(".dv")) && new.iter().any(|key| key.ends_with(".parquet")), "{new:?}");
    // What was replaced since, or merged, is no part of the second snapshot; these are.
    let is_part = |key: &str| key == large || key.ends_with("/repository.json") || new.iter().any(|new| *new == key);
    assert_locked(bucket, is_part, "GOVERNANCE", end, 50).await;
    assert_settings(bucket, sse[0].1, key, "STANDARD_IA").await;
}

#[tokio::test]
async fn settings_of_all_kinds_of_objects_on_seaweedfs() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.locking_bucket("kinds").await;
    settings_of_all_kinds_of_objects("kinds-weed", &bucket, &[("aws.s3.sse", "AES256")], None).await;
}

#[tokio::test]
async fn settings_of_all_kinds_of_objects_on_moto() {
    let Some(moto) = OtherStore::moto().await else {
        return;
    };
    // It forgets the lock of what is put in parts, which is found out and made up for.
    let bucket = moto.locking_bucket("kinds").await;
    let sse = [("aws.s3.sse", "aws:kms"), ("aws.s3.sse_kms_key_id", KMS_KEY)];
    settings_of_all_kinds_of_objects("kinds-moto", &bucket, &sse, Some(KMS_KEY)).await;
}

async fn shown(client: &mut Client) -> String {
    client.query("SHOW CREATE REPOSITORY FOR r").await.to_string()
}

/// Settings are proven also where a repository is already, whose proofs were put without them; a refusal changes nothing.
#[tokio::test]
async fn settings_that_are_asked_for_later() {
    let Some(moto) = OtherStore::moto().await else {
        return;
    };
    let bucket = moto.bucket("settings").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let through = proxy.bucket(&bucket);
    let server = Server::start("settings").await;
    let mut client = server.client().await;
    client.query(&create(&through, &[])).await;
    let before = shown(&mut client).await;
    assert_eq!(bucket.list("x/ebla/probe-settings-").await, [], "nothing was asked for");

    // moto believes in every key, so the proxy refuses it in S3's words, to whom it has not been shown before.
    let kms = [("aws.s3.sse", "aws:kms"), ("aws.s3.sse_kms_key_id", KMS_KEY)];
    let unknown =
        Rule::new(Fault::Refuse(400, "KMS.NotFoundException")).on(Operation::PutObject).key("probe-settings-");
    let unknown = proxy.rule(unknown);
    let altering = "ALTER REPOSITORY r PROPERTIES (\"aws.s3.sse\" = \"aws:kms\", \"aws.s3.sse_kms_key_id\" = \"";
    let elsewhere = create(&through, &kms).replacen("REPOSITORY r", "REPOSITORY other", 1);
    for statement in [format!("{altering}{KMS_KEY}\")"), elsewhere.clone()] {
        let error = client.refused(&statement).await.message;
        assert!(error.contains("check aws.s3.sse_kms_key_id: that key must be there"), "{error}");
        assert_eq!(shown(&mut client).await, before);
    }
    unknown.lift();
    alter(&mut client, &kms).await;
    let proofs = bucket.list("x/ebla/probe-settings-").await;
    assert_eq!(proofs.len(), 1, "{proofs:?}");
    let head = bucket.head(&proofs[0].key).await;
    assert_eq!(head.header("x-amz-server-side-encryption-aws-kms-key-id"), Some(KMS_KEY));

    // Another cluster proves them again. That its object can be read counts, too.
    let other = Server::start("settings-other").await;
    let mut client = other.client().await;
    let unreadable = Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::GetObject).key("probe-settings-");
    let unreadable = proxy.rule(unreadable);
    let error = client.refused(&elsewhere).await.message;
    assert!(error.contains("cannot get 'x/ebla/probe-settings-") && error.contains("s3:GetObject"), "{error}");
    unreadable.lift();

    // The answer to a HEAD does not say why it is refused; what is said to a read is the reason.
    let on = |operation, status, code| Rule::new(Fault::Refuse(status, code)).on(operation).key("probe-settings-");
    let rules = [on(Operation::HeadObject, 400, "ExpiredToken"), on(Operation::GetObject, 400, "ExpiredToken")];
    let rules = rules.map(|rule| proxy.rule(rule));
    let error = client.refused(&elsewhere).await.message;
    assert!(error.contains("S3 code ExpiredToken") && error.contains("have ended or were revoked"), "{error}");
    rules.iter().for_each(RuleHandle::lift);
    let once = proxy.rule(on(Operation::HeadObject, 403, "RequestTimeTooSkewed").times(1));
    client.query(&elsewhere).await;
    assert_eq!(once.hits(), 1, "another try was good");
    // What becomes of objects of earlier proofs, by a rule of the bucket for example, is no matter.
    for proof in bucket.list("x/ebla/probe-settings-").await {
        bucket.put(&proof.key, &bucket.get(&proof.key).await).await; // Without any encryption.
    }
    client.query(&elsewhere.replacen("other", "another", 1)).await;
}
