//! Goal: snapshots end as they should: dropped by hand or by their ttl, refused when somebody needs them, and what they
//! alone held is collected while everything else stays whole. Method: two servers share a repository on a real S3 store; what a
//! person sees is golden, what is in the bucket is counted, and what remains is restored and compared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::golden;
use ebla_tests::golden::Normaliser;
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::Bucket;
use ebla_tests::server::Server;
use ebla_tests::tpch::table_checksum;
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore, wait_until};
use ebla_tests::weed::Weed;

/// For what happens by itself every second, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long a collection leaves alone what nothing names.
const GRACE: Duration = Duration::from_secs(1);

const CREATE_TABLE: &str = "CREATE TABLE d.t (id BIGINT, name STRING) DUPLICATE KEY(id) \
                            DISTRIBUTED BY HASH(id) BUCKETS 2 PROPERTIES (\"replication_num\" = \"1\")";

/// A server that keeps a grace of a second and does nothing by itself.
async fn server(name: &str) -> Server {
    Server::configure(name)
        .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
        .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
        .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "0")
        .start()
        .await
}

async fn insert(client: &mut Client, ids: std::ops::Range<u32>) {
    let rows: Vec<String> = ids.map(|id| format!("({id}, 'name {id}')")).collect();
    client.query(&format!("INSERT INTO d.t VALUES {}", rows.join(", "))).await;
}

async fn backup(client: &mut Client, label: &str, properties: &str) {
    client.query(&format!("BACKUP SNAPSHOT d.{label} TO r {properties}")).await;
    assert_finished(&wait_backup(client, "d").await);
}

async fn timestamp(client: &mut Client, label: &str) -> String {
    let rows = client.query(&format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = '{label}'")).await;
    rows.record(0).unwrap_or_else(|| panic!("snapshot {label} is not there")).field("Timestamp").to_string()
}

async fn labels(client: &mut Client) -> Vec<String> {
    let rows = client.query("SHOW SNAPSHOT ON r").await;
    let mut labels: Vec<String> = rows.column("Snapshot").into_iter().map(str::to_owned).collect();
    labels.sort_unstable();
    labels
}

/// Keys of segments, delete vectors and nodes.
async fn contents(bucket: &Bucket) -> Vec<String> {
    let mut keys = Vec::new();
    for prefix in ["p/ebla/objects/", "p/ebla/trees/"] {
        keys.extend(bucket.list(prefix).await.into_iter().map(|object| object.key));
    }
    keys.sort_unstable();
    keys
}

/// Turns of collection until this many objects are gone. Returns what the last one said.
async fn collect(client: &mut Client, gone: u64) -> String {
    let removed = std::cell::Cell::new(0);
    wait_until(PATIENCE, async || {
        let turn = client.query("ADMIN CLEAN REPOSITORY r").await;
        let turn = turn.record(0).ok_or("no row")?;
        removed.set(removed.get() + turn.field("RemovedObjects").parse::<u64>().unwrap());
        if removed.get() >= gone { Ok(turn.to_string()) } else { Err(format!("{} removed; {turn}", removed.get())) }
    })
    .await
}

async fn restored_checksum(client: &mut Client, label: &str) -> u64 {
    let at = timestamp(client, label).await;
    client.query(&format!("RESTORE SNAPSHOT back.{label} FROM r PROPERTIES (\"backup_timestamp\" = \"{at}\")")).await;
    assert_finished(&wait_restore(client, "back").await);
    let sum = table_checksum(client, "back.t").await;
    client.query("DROP DATABASE back FORCE").await;
    sum
}

#[tokio::test]
async fn dropped_collected_and_the_rest_restored() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle").await;
    let (one, two) = (server("life-one").await, server("life-two").await);
    let (mut here, mut there) = (one.client().await, two.client().await);
    for client in [&mut here, &mut there] {
        client.query("CREATE DATABASE d").await;
        client.query(CREATE_TABLE).await;
        client.query(&bucket.create_repository("r", "p")).await;
    }
    insert(&mut here, 0..100).await;
    backup(&mut here, "first", "").await;
    let first = table_checksum(&mut here, "d.t").await;
    insert(&mut here, 100..200).await;
    backup(&mut here, "second", "PROPERTIES (\"ttl\" = \"7 DAY\")").await;
    insert(&mut there, 1_000..1_100).await;
    backup(&mut there, "others", "").await;
    let others = table_checksum(&mut there, "d.t").await;
    let everything = contents(&bucket).await;
    let written = Instant::now();

    // What another cluster wrote needs FORCE.
    let refused = there.refused("DROP SNAPSHOT second ON r").await.to_string();
    assert!(refused.contains("was created by cluster") && refused.contains("FORCE"), "{refused}");
    let refused = here.refused("DROP SNAPSHOT never ON r").await.to_string();
    assert!(refused.contains("Snapshot does not exist in repository r: never"), "{refused}");
    here.query("DROP SNAPSHOT second ON r").await;
    assert_eq!(labels(&mut here).await, ["first", "others"]);
    assert_eq!(labels(&mut there).await, ["first", "others"]);
    assert_eq!(contents(&bucket).await, everything, "a drop removes no content");

    // The label is free again, and what the dropped snapshot held is put to use before it is collected.
    // A mark takes what is older than the grace, by the store's clock: all of it, or the counts below would be of a part.
    tokio::time::sleep_until((written + 3 * GRACE).into()).await;
    let said = here.query("ADMIN CLEAN REPOSITORY r").await;
    let marked: u64 = said.record(0).unwrap().field("MarkedObjects").parse().unwrap();
    assert!(marked >= 3, "segments of the second load, and nodes: {marked}");
    backup(&mut here, "second", "").await;
    let second = table_checksum(&mut here, "d.t").await;
    // The mark was cancelled by that backup: nothing goes.
    let after = wait_until(PATIENCE, async || {
        let said = here.query("ADMIN CLEAN REPOSITORY r").await;
        let said = said.record(0).unwrap();
        assert_eq!(said.field("RemovedObjects"), "0", "{said}");
        if said.field("Notes").is_empty() { Ok(said) } else { Err(said.to_string()) }
    })
    .await;
    assert_eq!(after.field("MarkedObjects"), "0", "{after}");
    assert_eq!(contents(&bucket).await, everything);

    // Dropped for good, its contents go; everything else stays, here and there.
    there.query("DROP SNAPSHOT ON r WHERE SNAPSHOT = 'second' FORCE").await;
    collect(&mut there, marked).await;
    let left = contents(&bucket).await;
    assert_eq!(left.len() as u64, everything.len() as u64 - marked, "{left:?}");
    assert_eq!(restored_checksum(&mut here, "first").await, first);
    assert_eq!(restored_checksum(&mut there, "others").await, others);

    // The next backup puts again what is needed, and no more.
    backup(&mut here, "third", "").await;
    assert_eq!(contents(&bucket).await, everything);
    here.query("DROP TABLE d.t FORCE").await;
    assert_eq!(restored_checksum(&mut here, "third").await, second);
}

#[tokio::test]
async fn a_snapshot_in_use_is_not_dropped() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle-busy").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    let server = server("life-busy").await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    client.query(&bucket.create_repository("r", "p")).await;
    insert(&mut client, 0..100).await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::PutObject).key("ebla/objects/"));
    client.query("BACKUP SNAPSHOT d.x TO r").await;
    held.wait_hit(PATIENCE).await;
    let refused = client.refused("DROP SNAPSHOT x ON r FORCE").await.to_string();
    assert!(refused.contains("Can not drop snapshot x: a backup is writing it"), "{refused}");
    held.lift();
    assert_finished(&wait_backup(&mut client, "d").await);

    let at = timestamp(&mut client, "x").await;
    client.query("DROP TABLE d.t FORCE").await;
    let held = proxy.rule(Rule::new(Fault::Hold).on(Operation::GetObject).key("ebla/objects/"));
    client.query(&format!("RESTORE SNAPSHOT back.x FROM r PROPERTIES (\"backup_timestamp\" = \"{at}\")")).await;
    held.wait_hit(PATIENCE).await;
    let refused = client.refused("DROP SNAPSHOT x ON r").await.to_string();
    assert!(refused.contains("Can not drop snapshot x: a restore is reading it"), "{refused}");
    held.lift();
    assert_finished(&wait_restore(&mut client, "back").await);
    client.query("DROP SNAPSHOT x ON r").await;
    assert_eq!(labels(&mut client).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_has_lived_its_time_goes_by_itself() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle-ttl").await;
    let server = Server::configure("life-ttl")
        .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
        .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "1")
        .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "1")
        .start()
        .await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    client.query(&bucket.create_repository("r", "p")).await;
    insert(&mut client, 0..100).await;
    backup(&mut client, "kept", "").await;
    let kept = contents(&bucket).await;
    let sum = table_checksum(&mut client, "d.t").await;
    insert(&mut client, 100..200).await;
    backup(&mut client, "short", "PROPERTIES (\"ttl\" = \"2 SECOND\")").await;
    wait_until(PATIENCE, async || match labels(&mut client).await.as_slice() {
        [only] if only == "kept" => Ok(()),
        labels => Err(format!("{labels:?}")),
    })
    .await;
    wait_until(PATIENCE, async || {
        let left = contents(&bucket).await;
        if left == kept { Ok(()) } else { Err(format!("{} objects instead of {}", left.len(), kept.len())) }
    })
    .await;
    assert_eq!(restored_checksum(&mut client, "kept").await, sum);
    let metrics = server.http_get("/metrics").await.text();
    assert!(metrics.contains("ebla_snapshots_expired_total{outcome=\"ok\"} 1"), "{metrics}");
}

/// What a metric has come to; zero before it is first counted.
async fn counted(server: &Server, metric: &str) -> u64 {
    let metrics = server.http_get("/metrics").await.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// Goal: the metrics of the lifecycle count what is done, once each. Method: they are compared with what statements say, after
/// drops, turns of collection that succeed and fail, expiries that succeed and fail, and an answer that came wrong.
#[tokio::test]
async fn what_ends_is_counted() {
    const EXPIRED: [&str; 2] = ["ok", "error"];
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle-counted").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let server = Server::configure("life-counted")
        .env("EBLA_REPOSITORY_COLLECTION_GRACE_S", &GRACE.as_secs().to_string())
        .env("EBLA_REPOSITORY_COLLECTION_INTERVAL_S", "0")
        .env("EBLA_SNAPSHOT_EXPIRY_INTERVAL_S", "1")
        .start()
        .await;
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    client.query(&proxy.bucket(&bucket).create_repository("r", "p")).await;
    insert(&mut client, 0..50).await;
    backup(&mut client, "kept", "").await;
    let kept = contents(&bucket).await.len();
    for (number, label) in [(1, "one"), (2, "two")] {
        insert(&mut client, number * 50..number * 50 + 50).await;
        backup(&mut client, label, "").await;
    }
    let garbage = (contents(&bucket).await.len() - kept) as u64;
    assert_eq!(counted(&server, "ebla_snapshots_dropped_total").await, 0);
    client.query("DROP SNAPSHOT ON r WHERE SNAPSHOT IN ('one', 'two')").await;
    client.refused("DROP SNAPSHOT one ON r").await;
    assert_eq!(counted(&server, "ebla_snapshots_dropped_total").await, 2);

    // Every turn says what it has done, and the metrics are the sums.
    let columns = ["MarkedObjects", "RemovedObjects", "RemovedBytes"];
    let (mut turns, mut sums) = (0, [0_u64; 3]);
    wait_until(PATIENCE, async || {
        let turn = client.query("ADMIN CLEAN REPOSITORY r").await;
        let turn = turn.record(0).ok_or("no row")?;
        turns += 1;
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum += turn.field(column).parse::<u64>().unwrap();
        }
        if sums[1] == garbage { Ok(()) } else { Err(format!("{sums:?} of {garbage}; {turn}")) }
    })
    .await;
    let metrics = ["marked_objects", "removed_objects", "removed_bytes"];
    for (metric, sum) in metrics.into_iter().zip(sums) {
        assert_eq!(counted(&server, &format!("ebla_repository_{metric}_total")).await, sum, "{metric}");
    }
    assert_eq!(sums[0], garbage);
    assert!(sums[2] > 0);
    let refused = proxy.rule(Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::PutObject).key("clock.json"));
    client.refused("ADMIN CLEAN REPOSITORY r").await;
    refused.lift();
    assert_eq!(counted(&server, "ebla_repository_collections_total{outcome=\"ok\"}").await, turns);
    assert_eq!(counted(&server, "ebla_repository_collections_total{outcome=\"error\"}").await, 1);

    // A ttl that is over, with a store that lets nothing go, and then does.
    let expired = EXPIRED.map(|outcome| format!("ebla_snapshots_expired_total{{outcome=\"{outcome}\"}}"));
    let rule = Rule::new(Fault::Refuse(403, "AccessDenied")).on(Operation::DeleteObject).key("ebla/snapshots/");
    let refused = proxy.rule(rule);
    backup(&mut client, "short", "PROPERTIES (\"ttl\" = \"1 SECOND\")").await;
    wait_until(PATIENCE, async || match counted(&server, &expired[1]).await {
        0 => Err("no expiry has failed".to_owned()),
        _ => Ok(()),
    })
    .await;
    assert_eq!(counted(&server, &expired[0]).await, 0);
    refused.lift();
    let count = wait_until(PATIENCE, async || match counted(&server, &expired[0]).await {
        0 => Err("nothing has expired".to_owned()),
        count => Ok(count),
    })
    .await;
    assert_eq!(count, 1);
    assert_eq!(labels(&mut client).await, ["kept"]);
    assert_eq!(counted(&server, "ebla_snapshots_dropped_total").await, 3, "an expiry is a drop too");

    let wrong = "ebla_repository_wrong_answers_total";
    let (before, at) = (counted(&server, wrong).await, timestamp(&mut client, "kept").await);
    proxy.rule(Rule::new(Fault::HalveAnswer).on(Operation::GetObject).key("ebla/snapshots/kept/").times(1));
    client.query(&format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'kept' AND TIMESTAMP = '{at}'")).await;
    assert_eq!(counted(&server, wrong).await, before + 1);
}

#[tokio::test]
async fn a_listing_that_leaves_out_snapshots_is_not_believed() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle-hidden").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let (mut one, two) = (server("life-hidden-one").await, server("life-hidden-two").await);
    let (mut here, mut there) = (one.client().await, two.client().await);
    for client in [&mut here, &mut there] {
        client.query(&proxy.bucket(&bucket).create_repository("r", "p")).await;
    }
    here.query("CREATE DATABASE d").await;
    here.query(CREATE_TABLE).await;
    insert(&mut here, 0..50).await;
    backup(&mut here, "kept", "").await;
    let (kept, sum) = (contents(&bucket).await, table_checksum(&mut here, "d.t").await);
    insert(&mut here, 50..100).await;
    backup(&mut here, "gone", "").await;
    // The other one has seen them, once.
    there.query("ADMIN CLEAN REPOSITORY r").await;
    here.query("DROP SNAPSHOT gone ON r").await;
    let hidden = proxy.rule(Rule::new(Fault::list_nothing()).on(Operation::ListObjectsV2).key("ebla/snapshots/"));
    // What is known is known to the next process, too.
    one.restart().await;
    here = one.client().await;
    // For so long that a mark could be made and swept.
    let start = Instant::now();
    while start.elapsed() < 5 * GRACE {
        for client in [&mut here, &mut there] {
            let refused = client.refused("ADMIN CLEAN REPOSITORY r").await.to_string();
            assert!(refused.contains("a listing leaves out the snapshot 'kept'"), "{refused}");
        }
    }
    assert!(contents(&bucket).await.len() > kept.len(), "nothing was removed");
    hidden.lift();
    wait_until(PATIENCE, async || {
        here.query("ADMIN CLEAN REPOSITORY r").await;
        let left = contents(&bucket).await;
        if left == kept { Ok(()) } else { Err(format!("{} objects instead of {}", left.len(), kept.len())) }
    })
    .await;
    assert_eq!(restored_checksum(&mut here, "kept").await, sum);
}

#[tokio::test]
async fn a_person_sees_it() {
    let Some(weed) = Weed::shared().await else { return };
    let bucket = weed.bucket("lifecycle-seen").await;
    let server = server("life-seen").await;
    let Some(cli) = server.cli() else { return };
    let mut client = server.client().await;
    client.query("CREATE DATABASE d").await;
    client.query(CREATE_TABLE).await;
    client.query(&bucket.create_repository("r", "p")).await;
    insert(&mut client, 0..10).await;
    backup(&mut client, "weekly", "PROPERTIES (\"ttl\" = \"7 DAY\")").await;
    let at = timestamp(&mut client, "weekly").await;
    let cluster = client.query("ADMIN SHOW FRONTEND CONFIG LIKE 'cluster_id'").await;
    let cluster = cluster.record(0).unwrap().field("Value").to_string();
    let tidy = Normaliser::new().literal(&cluster, "<cluster>");
    // Without Details: what is in it is told elsewhere.
    let shown = client.query(&format!("SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'weekly' AND TIMESTAMP = '{at}'")).await;
    let shown = shown.record(0).unwrap();
    let mut seen = String::new();
    for column in ["Snapshot", "Database", "Status", "ClusterId", "FinishTime", "TTL", "ExpireTime"] {
        seen += &tidy.apply(&format!("{column}: {}\n", shown.field(column)));
    }
    seen += &tidy.apply(&cli.transcript("DROP SNAPSHOT weekly ON r; SHOW SNAPSHOT ON r;\n").await);
    seen += &cli.error("DROP SNAPSHOT weekly ON r;\n").await;
    seen += &cli.error("DROP SNAPSHOT weekly ON nowhere;\n").await;
    seen += &cli.error("ADMIN CLEAN REPOSITORY nowhere;\n").await;
    golden!("lifecycle/seen", seen);
}
