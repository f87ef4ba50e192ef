//! Goal: the policies of docs/operations.md suffice for what they are for, and allow nothing else. Method: read them from
//! the document, bind each to a role of a server that enforces policies, work with the roles, and try what each leaves out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::s3::{Bucket, S3Client};
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::{Weed, role_arn};

/// Until a collection has marked and swept, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const BUCKET: &str = "least-privilege";

const PREFIX: &str = "some/where";

/// The policy that follows these words in the document, for the bucket and prefix of this test.
fn policy(words: &str) -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, after) = text.split_once(&format!("\n{words}")).unwrap_or_else(|| panic!("no '{words}' in {path}"));
    let (before, block) = after.split_once("```json\n").unwrap();
    assert!(
        !before.contains("\n\n\n") && before.lines().count() <= 3,
        "'{words}' is followed by something else: {before}"
    );
    let block = block.split("```").next().unwrap();
    let filled = block.replace("<bucket>", BUCKET).replace("<prefix>", PREFIX);
    serde_json::from_str(&filled).unwrap_or_else(|error| panic!("'{words}': {error} in {filled}"))
}

fn create(access: &str, name: &str, bucket: &Bucket, role: &str, options: &str) -> String {
    let endpoint = &bucket.endpoint;
    format!(
        "CREATE {access}REPOSITORY {name} WITH BROKER ON LOCATION \"{}\" PROPERTIES (\"aws.s3.access_key\" = \"{}\", \
         \"aws.s3.secret_key\" = \"{}\", \"aws.s3.region\" = \"us-east-1\", \"aws.s3.endpoint\" = \"{}\", \
         \"aws.s3.iam_role_arn\" = \"{}\", \"aws.s3.sts.region\" = \"us-east-1\", \"aws.s3.sts.endpoint\" = \"{}\"{options})",
        bucket.location(PREFIX),
        endpoint.access_key,
        endpoint.secret_key,
        endpoint.url,
        role_arn(role),
        endpoint.url
    )
}

/// A table whose backup needs an upload in parts.
async fn tables(client: &mut Client) {
    client.query("CREATE DATABASE d").await;
    client
        .query(
            "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2 \
             PROPERTIES (\"replication_num\" = \"1\")",
        )
        .await;
    let rows: Vec<String> = (0..500).map(|id| format!("({id}, 'name {id}')")).collect();
    client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
}

/// What a client may and may not do, by the status of the answers.
async fn tries(client: &S3Client, wanted: &[(&str, &str, &[(&str, &str)], bool)]) {
    for (method, path, query, allowed) in wanted {
        let answer = client.send(method, &format!("/{BUCKET}{path}"), query, b"").await.unwrap();
        let said = format!("{method} {path} {query:?}: {} {}", answer.status, answer.text());
        assert_eq!(answer.status < 300, *allowed, "{said}");
        assert!(*allowed || answer.status == 403, "{said}");
    }
}

/// The id of an upload that somebody who may do everything has begun.
async fn begin_upload(admin: &S3Client, path: &str) -> String {
    let answer = admin.send("POST", &format!("/{BUCKET}{path}"), &[("uploads", "")], b"").await.unwrap();
    let text = answer.text();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
    id.unwrap_or_else(|| panic!("{} {text}", answer.status)).0.to_string()
}

/// Whether a role may abort an upload of others, and see and make longer the lock of an object.
async fn tries_uploads_and_locks(admin: &S3Client, own: &S3Client, role: &str, aborts: bool, locks: bool) {
    let path = format!("/{PREFIX}/ebla/of-{role}");
    let id = begin_upload(admin, &path).await;
    let answer = own.send("DELETE", &format!("/{BUCKET}{path}"), &[("uploadId", &id)], b"").await.unwrap();
    assert_eq!(answer.status, if aborts { 204 } else { 403 }, "{role} aborts: {}", answer.text());

    admin.put(BUCKET, path.trim_start_matches('/'), b"x").await;
    let lock = "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>";
    for (method, body) in [("PUT", lock), ("GET", "")] {
        let answer =
            own.send(method, &format!("/{BUCKET}{path}"), &[("retention", "")], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, if locks { 200 } else { 403 }, "{role}: {method} retention: {}", answer.text());
    }
}

#[tokio::test]
async fn the_documented_policies_suffice_and_allow_nothing_else() {
    let roles = [
        ("BackupOnly", policy("Back up and restore:")),
        ("LockingBackup", policy("Back up and restore with object locks")),
        ("RestoreOnly", policy("Restore only,")),
        ("Lifecycle", policy("Lifecycle:")),
    ];
    let Some(weed) = Weed::start_with_roles(&roles).await else {
        return;
    };
    let admin = weed.endpoint().client();
    admin.create_locking_bucket(BUCKET).await;
    let bucket = Bucket { endpoint: weed.endpoint(), name: BUCKET.to_string() };
    bucket.put("elsewhere/x", b"x").await;
    // What no snapshot needs is collected at once, when somebody asks for it and at no other time.
    let server = Server::configure("least")
        .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", "1")
        .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
        .start()
        .await;
    let mut client = server.client().await;
    tables(&mut client).await;
    let before = table_checksum(&mut client, "d.t").await;

    // Back up and restore, without a right to delete.
    client.query(&create("", "b", &bucket, "BackupOnly", "")).await;
    client.query("ALTER REPOSITORY b PROPERTIES (\"aws.s3.region\" = \"us-east-1\")").await;
    client.query("BACKUP SNAPSHOT d.s TO b").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    client.query("INSERT INTO d.t VALUES (1000, 'new')").await;
    client.query("BACKUP SNAPSHOT d.more TO b").await;
    assert_finished(&wait_backup(&mut client, "d").await);

    // Restore, without a right to put.
    let error = client.refused(&create("", "r", &bucket, "RestoreOnly", "")).await.message;
    assert!(error.contains("allow s3:PutObject on arn:aws:s3:::least-privilege/some/where/ebla/*"), "{error}");
    client.query(&create("READ ONLY ", "r", &bucket, "RestoreOnly", "")).await;
    let shown = client.query("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 's'").await;
    let timestamp = shown.record(0).unwrap().field("Timestamp").to_string();
    for repository in ["r", "b"] {
        client.query("DROP TABLE d.t FORCE").await;
        let properties = format!("PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")");
        client.query(&format!("RESTORE SNAPSHOT d.s FROM {repository} {properties}")).await;
        assert_finished(&wait_restore(&mut client, "d").await);
        assert_eq!(table_checksum(&mut client, "d.t").await, before);
    }

    // Locks need two rights more.
    let locking = ", \"aws.s3.object_lock_mode\" = \"GOVERNANCE\", \"aws.s3.object_lock_days\" = \"1\"";
    let error = client.refused(&create("", "l", &bucket, "BackupOnly", locking)).await.message;
    assert!(error.contains("s3:PutObjectRetention"), "{error}");
    client.query(&create("", "l", &bucket, "LockingBackup", locking)).await;
    client.query("BACKUP SNAPSHOT d.locked TO l").await;
    assert_finished(&wait_backup(&mut client, "d").await);

    // The end of snapshots needs a right to delete, also where there are locks, and no other one.
    let error = client.refused("DROP SNAPSHOT more ON b").await.message;
    assert!(error.contains("allow s3:DeleteObject on arn:aws:s3:::least-privilege/some/where/ebla/*"), "{error}");
    client.query(&create("", "c", &bucket, "Lifecycle", locking)).await;
    client.query("BACKUP SNAPSHOT d.last TO c").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    client.query("DROP SNAPSHOT more ON c").await;
    wait_until(PATIENCE, async || {
        let turn = client.query("ADMIN CLEAN REPOSITORY c").await;
        let removed: u64 = turn.record(0).unwrap().field("RemovedObjects").parse().unwrap();
        if removed > 0 { Ok(()) } else { Err(turn.to_string()) }
    })
    .await;

    // The server does enforce them, and they name no more than they must.
    let object = bucket.list(&format!("{PREFIX}/ebla/snapshots/")).await[0].key.clone();
    let (object, ours) = (format!("/{object}"), format!("/{PREFIX}/ebla/announced"));
    let listing = [("list-type", "2"), ("prefix", "some/where/ebla/snapshots/")];
    let everything = [("list-type", "2")];
    for (role, puts, deletes, locks) in [
        ("BackupOnly", true, false, false),
        ("LockingBackup", true, false, true),
        ("RestoreOnly", false, false, false),
        ("Lifecycle", true, true, true),
    ] {
        let own = admin.assume_role(&role_arn(role)).await;
        tries_uploads_and_locks(&admin, &own, role, puts, locks).await;
        tries(
            &own,
            &[
                ("GET", "", &listing, true),
                ("GET", "", &everything, false),
                ("GET", &object, &[], true),
                ("GET", "/elsewhere/x", &[], false),
                ("PUT", &ours, &[], puts),
                ("PUT", "/elsewhere/y", &[], false),
                ("DELETE", &ours, &[], deletes),
                ("DELETE", "/elsewhere/x", &[], false),
            ],
        )
        .await;
    }
}
