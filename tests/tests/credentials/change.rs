//! Credentials that change, or end, while they are in use.

use ebla_tests::client::Rows;
use ebla_tests::keys::LiveKeys;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore};

use super::{HOLD_PATIENCE, LONG_LIFE, assert_no_secret, back_up, create, small_table};

/// A backup that has begun goes on with the keys that ALTER REPOSITORY gives.
#[tokio::test]
async fn a_running_backup_takes_altered_credentials() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("alter").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    let server = Server::start("alter").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let (old, new) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    client
        .query(&create(&bucket, &[("aws.s3.access_key", &old.access_key), ("aws.s3.secret_key", &old.secret_key)]))
        .await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/objects/").after(1));
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    held.wait_hit(HOLD_PATIENCE).await;

    // What does not work changes nothing.
    let alter = |access_key: &str, secret_key: &str| {
        format!(
            "ALTER REPOSITORY r PROPERTIES (\"aws.s3.access_key\" = \"{access_key}\", \"aws.s3.secret_key\" = \
             \"{secret_key}\")"
        )
    };
    let error = client.refused(&alter(&new.access_key, "wrong-canary")).await.message;
    assert!(error.contains("Failed to alter repository") && !error.contains("canary"), "{error}");

    client.query(&alter(&new.access_key, &new.secret_key)).await;
    let (old_uses, new_uses) = (keys.uses(&old.access_key), keys.uses(&new.access_key));
    held.lift();
    assert_finished(&wait_backup(&mut client, "d").await);
    // What was held had been signed before; there is at most one of those for each request in flight.
    let late = keys.uses(&old.access_key) - old_uses;
    assert!(late <= held.hits(), "{late} requests with the old keys after the change, {} held", held.hits());
    assert!(keys.uses(&new.access_key) > new_uses, "the new keys were not used");
    assert_no_secret(&server, &[&old.secret_key, &new.secret_key]);
}

/// A restore that has begun does so, too.
#[tokio::test]
async fn a_running_restore_takes_altered_credentials() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("alter-restore").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    let server = Server::start("alter-restore").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let before = table_checksum(&mut client, "d.t").await;
    let (old, new) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    client
        .query(&create(&bucket, &[("aws.s3.access_key", &old.access_key), ("aws.s3.secret_key", &old.secret_key)]))
        .await;
    back_up(&mut client).await;
    let snapshot = client.query("SHOW SNAPSHOT ON r").await.record(0).unwrap().field("Timestamp").to_string();
    client.query("DROP TABLE d.t FORCE").await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::GetObject).key("ebla/objects/").after(1));
    client.query(&format!("RESTORE SNAPSHOT d.s FROM r PROPERTIES (\"backup_timestamp\" = \"{snapshot}\")")).await;
    held.wait_hit(HOLD_PATIENCE).await;
    client
        .query(&format!(
            "ALTER REPOSITORY r PROPERTIES (\"aws.s3.access_key\" = \"{}\", \"aws.s3.secret_key\" = \"{}\")",
            new.access_key, new.secret_key
        ))
        .await;
    let (old_uses, new_uses) = (keys.uses(&old.access_key), keys.uses(&new.access_key));
    held.lift();
    assert_finished(&wait_restore(&mut client, "d").await);
    assert_eq!(table_checksum(&mut client, "d.t").await, before);
    // What was held had been signed before.
    let late = keys.uses(&old.access_key) - old_uses;
    assert!(late <= held.hits(), "{late} requests with the old keys after the change, {} held", held.hits());
    assert!(keys.uses(&new.access_key) > new_uses, "the new keys were not used");
    assert_no_secret(&server, &[&old.secret_key, &new.secret_key]);
}

/// With another key for what is sealed, SHOW REPOSITORIES says so; with the right one again it does not.
#[tokio::test]
async fn a_wrong_secret_key_shows() {
    let mut server = Server::start("sealed").await;
    let mut client = server.client().await;
    let location = format!("file://{}/repository", server.folder().display());
    client.query(&format!("CREATE REPOSITORY r WITH BROKER ON LOCATION \"{location}\"")).await;
    let said = |rows: &Rows| rows.record(0).unwrap().get("ErrMsg").map(str::to_string);
    assert_eq!(said(&client.query("SHOW REPOSITORIES").await), None);
    drop(client);
    server.restart_with(|server| server.env("EBLA_SECRET_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")).await;
    let mut client = server.client().await;
    let error = said(&client.query("SHOW REPOSITORIES").await).unwrap();
    assert!(error.contains("sealed with secret key") && error.contains("EBLA_SECRET_KEY"), "{error}");
    assert!(!error.contains("BwcHBwcH"), "{error}");
    drop(client);
    server.restart_with(|server| server.without_env("EBLA_SECRET_KEY")).await;
    let mut client = server.client().await;
    assert_eq!(said(&client.query("SHOW REPOSITORIES").await), None);
}

/// Keys that end under a running backup end it, with a Status that says why and what to do.
#[tokio::test]
async fn revoked_credentials_end_a_backup_with_a_status() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("revoked").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    let server = Server::start("revoked").await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    let mine = keys.mint(LONG_LIFE);
    let properties = [
        ("aws.s3.access_key", mine.access_key.as_str()),
        ("aws.s3.secret_key", &mine.secret_key),
        ("aws.s3.session_token", &mine.session_token),
    ];
    client.query(&create(&bucket, &properties)).await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/objects/"));
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    held.wait_hit(HOLD_PATIENCE).await;
    keys.revoke(&mine.access_key);
    held.lift();
    let ended = wait_backup(&mut client, "d").await;
    assert_eq!(ended.field("State"), "CANCELLED", "{ended}");
    let status = ended.field("Status");
    assert!(status.contains("temporary credentials have ended") && status.contains("ALTER REPOSITORY"), "{status}");
    assert_no_secret(&server, &[&mine.secret_key, &mine.session_token]);
}
