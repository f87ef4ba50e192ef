//! Goal: a byte that flips on a local disk becomes no answer and no backup, is reported with its table, and is healed.
//! Method: bytes of segments are changed in the data directory of a running server, under replicas, under one replica
//! with a repository, and under one without; then people do what they do. A stopped directory is given to `ebla fsck`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ebla_tests::binary::ebla;
use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_until};

/// Repair is told at once; the machine may be busy.
const HEALED_SOON: Duration = Duration::from_secs(120);

const ROWS: u64 = 20_000;

/// Reads every byte of every column of the table.
const CHECKSUM: &str = "SELECT count(*), sum(k), sum(length(v)), min(v), max(v), count(DISTINCT v) FROM d.t";

/// A server with these storage roots and one table of one tablet.
struct World {
    server: Server,
    client: Client,
    roots: Vec<PathBuf>,
    checksum: Vec<Vec<Option<String>>>,
    // Dropped last.
    _disks: tempfile::TempDir,
}

impl World {
    async fn new(name: &str, roots: &[&str]) -> World {
        let disks = tempfile::tempdir().unwrap();
        let roots: Vec<PathBuf> = roots.iter().map(|root| disks.path().join(root)).collect();
        let list: Vec<&str> = roots.iter().map(|root| root.to_str().unwrap()).collect();
        let server = Server::configure(name).env("EBLA_STORAGE_ROOTS", &list.join(",")).start().await;
        let mut client = server.client().await;
        client.query("CREATE DATABASE d").await;
        client
            .query("CREATE TABLE d.t (k BIGINT, v VARCHAR(100)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1")
            .await;
        let text =
            |key: u64| format!("{:x}-{:x}", key.wrapping_mul(0x9e37_79b9_7f4a_7c15), key.wrapping_mul(0xd120_5b2d));
        let lines = (0..ROWS).map(move |key| format!("{key}\t{}\n", text(key)).into_bytes());
        server.load("d", "t", &[], Body::Chunks(Box::new(lines))).await;
        let checksum = client.query(CHECKSUM).await.rows;
        World { server, client, roots, checksum, _disks: disks }
    }

    /// The one segment of the table on a root.
    fn segment(&self, root: usize) -> PathBuf {
        let mut found = segments_below(&self.roots[root]);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    async fn create_repository(&mut self) {
        fs::create_dir(self.server.folder().join("repository")).unwrap();
        let location = format!("file://{}", self.server.folder().join("repository").display());
        self.client.query(&format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"{location}\"")).await;
    }

    /// What SHOW TABLET calls the states of the replicas.
    async fn states(&mut self) -> Vec<String> {
        let tablets = self.client.query("SHOW TABLET FROM d.t").await;
        tablets.column("State").into_iter().map(str::to_owned).collect()
    }

    /// Waits until the file has these bytes again and every replica is good.
    async fn wait_healed(&mut self, path: &Path, good: &[u8]) {
        let client = tokio::sync::Mutex::new(&mut self.client);
        wait_until(HEALED_SOON, async || {
            let tablets = client.lock().await.query("SHOW TABLET FROM d.t").await;
            let bad = tablets.column("State").into_iter().any(|state| state != "NORMAL");
            match fs::read(path) {
                Ok(bytes) if bytes == good && !bad => Ok(()),
                other => Err(format!("{tablets}\n{:?} bytes", other.map(|bytes| bytes.len()))),
            }
        })
        .await;
    }
}

fn segments_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(segments_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}

/// Changes a byte of column data: behind the magic, far before the footer.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

fn fsck(server: &Server, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(ebla()).arg("fsck").arg("--data-dir").arg(server.data_dir()).args(arguments).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

#[tokio::test]
async fn a_select_reads_the_other_replica_and_the_damaged_one_is_rebuilt() {
    let mut world = World::new("rot_replicas", &["a", "b"]).await;
    for root in [0, 1] {
        let path = world.segment(root);
        let good = fs::read(&path).unwrap();
        flip(&path);
        // Of two replicas a query reads one: several turns meet the damage wherever it is.
        assert_eq!(world.client.query(CHECKSUM).await.rows, world.checksum);
        if root == 0 {
            let log = world.server.process().log();
            assert!(log.contains("replica is bad") && log.contains("d.t"), "the log does not say it:\n{log}");
            world.wait_healed(&path, &good).await;
        } else {
            // Nobody reads it: it is met when the first goes.
            let first = world.segment(0);
            let kept = fs::read(&first).unwrap();
            fs::remove_file(&first).unwrap();
            let error = world.client.refused(CHECKSUM).await;
            assert!(error.message.contains("partition 't' of table 'd.t'"), "{error}");
            assert!(world.states().await.contains(&"BAD".to_owned()));
            fs::write(&first, &kept).unwrap();
            assert_eq!(world.client.query(CHECKSUM).await.rows, world.checksum);
            // A whole copy is back, and nothing rings for it: the next turn of housekeeping finds it.
            world.wait_healed(&path, &good).await;
        }
        assert_eq!(world.client.query(CHECKSUM).await.rows, world.checksum);
    }
}

#[tokio::test]
async fn the_only_replica_is_fetched_from_a_repository() {
    let mut world = World::new("rot_repository", &["a"]).await;
    world.create_repository().await;
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    assert_finished(&wait_backup(&mut world.client, "d").await);
    let path = world.segment(0);
    let good = fs::read(&path).unwrap();
    flip(&path);
    match world.client.try_query(CHECKSUM).await {
        Ok(rows) => assert_eq!(rows.rows, world.checksum),
        Err(error) => assert!(error.message.contains("fetched by itself from a repository"), "{error}"),
    }
    world.wait_healed(&path, &good).await;
    assert_eq!(world.client.query(CHECKSUM).await.rows, world.checksum);
    let metrics = world.server.http_get("/metrics").await.text();
    assert!(metrics.lines().any(|line| line.trim() == "ebla_rescued_files_total 1"), "{metrics}");
}

#[tokio::test]
async fn without_a_good_copy_the_error_says_what_helps_and_no_backup_takes_it() {
    let mut world = World::new("rot_alone", &["a"]).await;
    world.create_repository().await;
    let path = world.segment(0);
    let good = fs::read(&path).unwrap();
    flip(&path);
    let error = world.client.refused(CHECKSUM).await;
    let name = path.file_name().unwrap().to_str().unwrap();
    for wants in
        ["Corrupt data", "tablet", name, "partition 't' of table 'd.t'", "restore this partition from a snapshot"]
    {
        assert!(error.message.contains(wants), "{wants}: {error}");
    }
    assert_eq!(world.states().await, ["BAD"]);
    // What does not read those bytes is answered.
    assert_eq!(world.client.value("SELECT count(*) FROM d.t").await, ROWS.to_string());
    world.client.query("BACKUP SNAPSHOT d.s TO repo").await;
    let backup = wait_backup(&mut world.client, "d").await;
    assert_eq!(backup.field("State"), "CANCELLED", "{backup}");
    assert!(backup.field("Status").contains("d.t"), "{backup}");
    assert!(world.client.query("SHOW SNAPSHOT ON repo").await.rows.is_empty());

    world.server.terminate().await;
    let (code, said) = fsck(&world.server, &["--repair"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("LOST: ") && said.contains("table 'd.t'"), "{said}");
    // The operator finds a copy elsewhere.
    fs::write(&path, &good).unwrap();
    let (code, said) = fsck(&world.server, &["--repair"]);
    assert_eq!(code, 1, "{said}");
    let (code, said) = fsck(&world.server, &[]);
    assert_eq!((code, said.trim_end().ends_with("everything is what was written")), (0, true), "{said}");
    world.server.restart().await;
    let mut client = world.server.client().await;
    assert_eq!(client.query(CHECKSUM).await.rows, world.checksum);
}

#[tokio::test]
async fn a_damaged_catalog_is_refused_at_start_and_by_fsck() {
    let mut world = World::new("rot_catalog", &["a"]).await;
    world.server.terminate().await;
    let path = world.server.data_dir().join("catalog.db");
    let good = fs::read(&path).unwrap();
    // The name of a column, wherever it is written: a catalog that still reads well, and would answer for another table.
    let name = "\"name\":\"v\"".as_bytes();
    let mut bytes = good.clone();
    let mut found = 0;
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at + 8] = b'w';
        found += 1;
    }
    assert!(found > 0, "the definition names the column");
    fs::write(&path, &bytes).unwrap();
    let refused = Command::new(ebla())
        .args(["serve", "--mysql-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(world.server.data_dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("table 'tables' are not what was written"), "{said}");
    let (code, said) = fsck(&world.server, &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("damaged catalog: ") && said.contains("RESTORE from a repository"), "{said}");
    fs::write(&path, &good).unwrap();
    world.server.restart().await;
    let mut client = world.server.client().await;
    assert_eq!(client.query(CHECKSUM).await.rows, world.checksum);
}
