//! Goal: real data comes back as it was: TPC-H is loaded by Stream Load, backed up, dropped and restored, and the 22 queries
//! answer the same before and after; at scale 1 they answer what the specification says.
//! Method: `EBLA_TPCH_SCALE` sets the scale (0.01 unless it is set); the store is SeaweedFS behind a counting proxy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use ebla_tests::proxy::{Operation, S3Proxy};
use ebla_tests::server::Server;
use ebla_tests::tpch::{self, Order, Table};
use ebla_tests::wait::{assert_finished, wait_backup, wait_restore};
use ebla_tests::weed::Weed;

/// Requests a backup may make when there is nothing new to upload, whatever the tables' size.
const REQUESTS_WITHOUT_CHANGE_MAX: u64 = 10;

fn scale() -> f64 {
    std::env::var("EBLA_TPCH_SCALE").map_or(0.01, |text| text.parse().expect("EBLA_TPCH_SCALE is a number"))
}

#[tokio::test]
async fn tpch_is_backed_up_dropped_and_restored_whole() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let proxy = S3Proxy::start(&weed.endpoint());
    let bucket = proxy.bucket(&weed.bucket("tpch").await);
    let server = Server::start("tpch").await;
    let mut client = server.client().await;

    for loaded in tpch::load(&server, &mut client, "tpch", scale()).await {
        let (rows, bytes, seconds) = (loaded.rows, loaded.bytes, loaded.elapsed.as_secs_f64());
        eprintln!("loaded {:<10} {rows:>9} rows {bytes:>11} bytes {seconds:>7.2} s", loaded.table.name());
    }
    let before = tpch::run_queries(&mut client).await;
    #[expect(clippy::float_cmp, reason = "the scale whose answers are known is exactly 1")]
    if scale() == 1.0 {
        for (index, rows) in before.iter().enumerate() {
            tpch::compare(index + 1, rows).unwrap_or_else(|reason| panic!("{reason}"));
        }
    }
    let mut counts = Vec::new();
    for table in Table::ALL {
        counts.push(client.value(&format!("SELECT COUNT(*) FROM {}", table.name())).await);
    }

    client.query(&bucket.create_repository("repo", "tpch")).await;
    proxy.reset();
    client.query("BACKUP SNAPSHOT tpch.first TO repo").await;
    assert_finished(&wait_backup(&mut client, "tpch").await);
    eprintln!("full backup\n{}", proxy.tally());

    // Nothing has changed: no segment goes up, and the rest is a handful of requests.
    proxy.reset();
    client.query("BACKUP SNAPSHOT tpch.second TO repo").await;
    assert_finished(&wait_backup(&mut client, "tpch").await);
    let tally = proxy.tally();
    assert_eq!(tally.uploaded_bytes("objects/*.parquet"), 0, "{tally}");
    assert!(tally.requests() <= REQUESTS_WITHOUT_CHANGE_MAX, "{tally}");
    assert_eq!(tally.requests_of(Operation::DeleteObject) + tally.requests_of(Operation::CopyObject), 0, "{tally}");

    for table in Table::ALL {
        client.query(&format!("DROP TABLE {} FORCE", table.name())).await;
    }
    proxy.reset();
    client.query("RESTORE SNAPSHOT tpch.first FROM repo PROPERTIES (\"replication_num\" = \"1\")").await;
    assert_finished(&wait_restore(&mut client, "tpch").await);
    eprintln!("restore\n{}", proxy.tally());

    for (table, count) in Table::ALL.iter().zip(&counts) {
        assert_eq!(&client.value(&format!("SELECT COUNT(*) FROM {}", table.name())).await, count, "{}", table.name());
    }
    let after = tpch::run_queries(&mut client).await;
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(
            tpch::checksum(before, Order::Matters),
            tpch::checksum(after, Order::Matters),
            "query {}\nbefore\n{before}\nafter\n{after}",
            index + 1
        );
    }
}
