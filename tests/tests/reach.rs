//! Goal: a store is reached as its properties say, also with a wrong clock, and what must not be (a name that leads to a
//! forbidden address, a redirect, another region) is refused and explained. Method: real stores, with the names of hosts
//! and the clock of the server's process changed from outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::Duration;

use ebla_tests::client::Client;
use ebla_tests::cloud::Redirector;
use ebla_tests::proxy::S3Proxy;
use ebla_tests::s3::{Bucket, S3Endpoint};
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::stores::OtherStore;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::{DOMAIN, Weed};

const PATIENCE: Duration = Duration::from_secs(60);

/// More than the quarter of an hour by which clocks may differ.
const WRONG_BY_SECONDS: i64 = 2 * 3_600;

const TABLE: &str = "CREATE TABLE d.t (id BIGINT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2 \
                     PROPERTIES (\"replication_num\" = \"1\")";

/// What metadata services listen at.
const METADATA: &str = "169.254.169.254";

fn create(bucket: &Bucket, endpoint: &str, region: &str, more: &str) -> String {
    format!(
        "CREATE REPOSITORY r WITH BROKER ON LOCATION \"{}\" PROPERTIES (\"aws.s3.access_key\" = \"{}\", \
         \"aws.s3.secret_key\" = \"{}\", \"aws.s3.region\" = \"{region}\", \"aws.s3.endpoint\" = \"{endpoint}\"{more})",
        bucket.location("x"),
        bucket.endpoint.access_key,
        bucket.endpoint.secret_key
    )
}

async fn refused(client: &mut Client, statement: &str) -> String {
    client.refused(statement).await.message
}

/// Each bucket a host of its own: create, back up, restore.
#[tokio::test]
async fn virtual_hosts() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let bucket = weed.bucket("virtual").await;
    let host = format!("{}.{DOMAIN}", bucket.name);
    // The name of the endpoint alone is known to nobody: only the bucket's own host is asked.
    let Some(builder) = Server::configure("virtual").hosts(&[(&host, "127.0.0.1")]) else {
        return;
    };
    let server = builder.start().await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(TABLE).await;
    client.query("INSERT INTO d.t VALUES (1), (2), (3)").await;
    let before = table_checksum(&mut client, "d.t").await;
    let port = bucket.endpoint.addr().rsplit_once(':').unwrap().1.to_string();
    let endpoint = format!("http://{DOMAIN}:{port}");
    let error = refused(&mut client, &create(&bucket, &endpoint, "us-east-1", "")).await;
    assert!(error.contains("cannot reach it"), "in path style, which is what a custom endpoint gets: {error}");

    let virtual_hosts = ", \"aws.s3.enable_path_style_access\" = \"false\"";
    client.query(&create(&bucket, &endpoint, "us-east-1", virtual_hosts)).await;
    client.query("BACKUP SNAPSHOT d.s TO r").await;
    assert_finished(&wait_backup(&mut client, "d").await);
    let timestamp = client.query("SHOW SNAPSHOT ON r").await.record(0).unwrap().field("Timestamp").to_string();
    client.query("DROP TABLE d.t FORCE").await;
    client.query(&format!("RESTORE SNAPSHOT d.s FROM r PROPERTIES (\"backup_timestamp\" = \"{timestamp}\")")).await;
    assert_finished(&wait_restore(&mut client, "d").await);
    assert_eq!(table_checksum(&mut client, "d.t").await, before);
    assert!(!bucket.list("x/ebla/snapshots/").await.is_empty(), "it lies in the bucket that path style names");
}

/// A name may be innocent and its address not; also the bucket's own host, and STS's.
#[tokio::test]
async fn names_that_lead_to_metadata_services() {
    let names = [("store.example", METADATA), ("bucket.s3.example", METADATA), ("sts.example", METADATA)];
    let Some(builder) = Server::configure("names").hosts(&names) else {
        return;
    };
    let server = builder.start().await;
    let mut client = server.client().await;
    let nowhere = S3Endpoint {
        url: "http://store.example".to_string(),
        region: "us-east-1".to_string(),
        access_key: "AKID".to_string(),
        secret_key: "secret".to_string(),
    };
    let bucket = Bucket { endpoint: nowhere, name: "bucket".to_string() };
    let role = ", \"aws.s3.iam_role_arn\" = \"arn:aws:iam::000000000000:role/r\", \"aws.s3.sts.region\" = \"us-east-1\", \"aws.s3.sts.endpoint\" = \"http://sts.example\"";
    for (endpoint, more) in [
        ("http://store.example", ""),
        ("http://s3.example", ", \"aws.s3.enable_path_style_access\" = \"false\""),
        ("http://127.0.0.1:1", role),
    ] {
        let error = refused(&mut client, &create(&bucket, endpoint, "us-east-1", more)).await;
        assert!(
            error.contains("resolves to the link-local or metadata address 169.254.169.254"),
            "{endpoint}: {error}"
        );
    }
}

/// Every address that is forbidden, by its text and behind a name.
#[tokio::test]
async fn addresses_of_metadata_services() {
    let forbidden = [
        METADATA,
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fe80::1",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ];
    let names: Vec<String> = (0..forbidden.len()).map(|nth| format!("store{nth}.example")).collect();
    let hosts: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(forbidden).collect();
    let Some(builder) = Server::configure("addresses").hosts(&hosts) else {
        return;
    };
    let server = builder.start().await;
    let mut client = server.client().await;
    let endpoint = S3Endpoint {
        url: "http://nowhere.example".to_string(),
        region: "us-east-1".to_string(),
        access_key: "AKID".to_string(),
        secret_key: "secret".to_string(),
    };
    let bucket = Bucket { endpoint, name: "bucket".to_string() };
    for (name, address) in hosts {
        let error = refused(&mut client, &create(&bucket, &format!("http://{name}"), "us-east-1", "")).await;
        assert!(error.contains("resolves to the link-local or metadata address"), "{name} at {address}: {error}");
    }
    let written = forbidden.iter().map(|address| match address.contains(':') {
        true => format!("[{address}]"),
        false => (*address).to_string(),
    });
    let spelt = ["[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"];
    for host in written.chain(spelt.map(str::to_string)) {
        let error = refused(&mut client, &create(&bucket, &format!("http://{host}"), "us-east-1", "")).await;
        assert!(error.contains("must not be the link-local or metadata address"), "{host}: {error}");
    }
}

/// A name is looked up for each connection: where it led when the repository was made is no licence.
#[tokio::test]
async fn a_name_that_changes_its_address() {
    let Some(builder) = Server::configure("rebinding").hosts(&[("store.example", "127.0.0.1")]) else {
        return;
    };
    let store = S3sFs::start();
    let bucket = store.bucket("rebinding").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let through = proxy.bucket(&bucket);
    let server = builder.start().await;
    let mut client = server.client().await;
    let port = through.endpoint.addr().rsplit_once(':').unwrap().1.to_string();
    client.query(&create(&through, &format!("http://store.example:{port}"), "us-east-1", "")).await;
    client.query("SHOW SNAPSHOT ON r").await;
    server.change_hosts(&[("store.example", METADATA)]);
    // Connections that are open end with it.
    drop(proxy);
    wait_until(PATIENCE, async || match client.try_query("SHOW SNAPSHOT ON r").await {
        Err(error) if error.message.contains("resolves to the link-local or metadata address 169.254.169.254") => {
            Ok(())
        }
        Err(error) => Err(error.message),
        Ok(rows) => Err(rows.to_string()),
    })
    .await;
}

/// Nobody is followed: what a store sends elsewhere does not arrive there.
#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Redirector::start(200, "nowhere");
    let server = Server::start("redirects").await;
    let mut client = server.client().await;
    for status in [301, 302, 303, 307, 308] {
        for to in [target.url(), "http://169.254.169.254/latest/meta-data/iam/security-credentials/"] {
            let sending = Redirector::start(status, to);
            let endpoint = S3Endpoint {
                url: sending.url().to_string(),
                region: "us-east-1".to_string(),
                access_key: "AKID".to_string(),
                secret_key: "secret".to_string(),
            };
            let bucket = Bucket { endpoint, name: "bucket".to_string() };
            let error = refused(&mut client, &create(&bucket, sending.url(), "us-east-1", "")).await;
            assert!(error.contains(&format!("HTTP status {status}")), "{error}");
            let advice = if status == 301 { "set aws.s3.region to" } else { "set aws.s3.endpoint to" };
            assert!(error.contains(advice), "{error}");
            assert!(sending.asked() > 0);
        }
    }
    assert_eq!(target.asked(), 0, "a redirect was followed");
}

/// A store refuses requests whose time is far from its own. It says what its time is, and that is enough to go on.
#[tokio::test]
async fn a_clock_that_is_wrong() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    for seconds in [WRONG_BY_SECONDS, -WRONG_BY_SECONDS] {
        let bucket = weed.bucket("clock").await;
        let proxy = S3Proxy::start(&bucket.endpoint);
        let bucket = proxy.bucket(&bucket);
        let Some(builder) = Server::configure("clock").clock_ahead(seconds) else {
            return;
        };
        let server = builder.start().await;
        let mut client = server.client().await;
        client.query("CREATE DATABASE d").await;
        client.query(TABLE).await;
        client.query("INSERT INTO d.t VALUES (1), (2), (3)").await;
        client.query(&create(&bucket, &bucket.endpoint.url, "us-east-1", "")).await;
        let refused = proxy.exchanges().iter().filter(|passed| passed.status == 403).count();
        assert!(refused > 0, "the store believes any clock: {}", proxy.tally());
        client.query("BACKUP SNAPSHOT d.s TO r").await;
        assert_finished(&wait_backup(&mut client, "d").await);
    }
}

/// A server that knows where its buckets are.
#[tokio::test]
async fn another_region() {
    let Some(store) = OtherStore::ministack().await else {
        return;
    };
    let bucket = store.bucket("region").await;
    let server = Server::start("region").await;
    let mut client = server.client().await;
    let error = refused(&mut client, &create(&bucket, &bucket.endpoint.url, "eu-west-3", "")).await;
    assert!(error.contains("HTTP status 301") && error.contains("the bucket is in region 'us-east-1'"), "{error}");
    client.query(&create(&bucket, &bucket.endpoint.url, "us-east-1", "")).await;
}
