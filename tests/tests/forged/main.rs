//! Goal: who may write a bucket cannot harm the server that reads it. A forged snapshot ends with words that say what is
//! wrong with it; the server answers on, takes a bounded amount of memory, writes nothing outside its data directory,
//! and shows no table of it.
//! Method: a server and an S3 store. Snapshots are forged whose digests are right and whose content is not: names that
//! lead elsewhere, absurd numbers, bombs, nodes in the place of others, one node for a thousand tables, segments that
//! make no sense. Each is asked for with SHOW SNAPSHOT, RESTORE and VERIFY through the port.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod forger;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ebla_tests::client::{Client, Record};
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::usage::{memory_bytes, memory_peak_bytes, reset_memory_peak};
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_backup, wait_restore, wait_until};
use serde_json::{Value, json};

use crate::forger::{Forger, PREFIX, bytes_of, sealed, with_raw};

/// Memory that no forged snapshot may make a server take beyond what it took before. The largest node a reader must bear has
/// 256 MiB of JSON, and is in memory together with what is made of it.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

struct World {
    server: Server,
    client: Client,
    forger: Forger,
    _store: S3sFs,
}

/// What came of a forged snapshot.
struct Answers {
    show: String,
    restore: String,
    verify: Record,
}

impl World {
    async fn new(name: &str) -> World {
        let store = S3sFs::start();
        let bucket = store.bucket(name).await;
        let server = Server::start(name).await;
        let mut client = server.client().await;
        client.query("CREATE DATABASE d").await;
        let columns = "(k BIGINT, v VARCHAR(100)) DUPLICATE KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 1";
        client.query(&format!("CREATE TABLE d.t {columns}")).await;
        let values: Vec<String> = (0..60).map(|k| format!("({k}, 'row {k}')")).collect();
        client.query(&format!("INSERT INTO d.t VALUES {}", values.join(", "))).await;
        client.query(&bucket.create_repository("repo", PREFIX)).await;
        client.query("BACKUP SNAPSHOT d.s TO repo").await;
        assert_finished(&wait_backup(&mut client, "d").await);
        let forger = Forger::new(bucket).await;
        reset_memory_peak(server.process().pid());
        World { server, client, forger, _store: store }
    }

    /// Asks for a snapshot in every way, and gives what was said.
    async fn ask(&mut self, label: &str) -> Answers {
        let at = format!("WHERE SNAPSHOT = '{label}' AND TIMESTAMP = '{}'", self.forger.timestamp);
        let show = match self.client.try_query(&format!("SHOW SNAPSHOT ON repo {at}")).await {
            Ok(rows) => rows.record(0).map_or_else(String::new, |row| row.field("Status").to_owned()),
            Err(error) => error.message,
        };
        let restore = match self.client.try_query(&format!("RESTORE SNAPSHOT r.{label} FROM repo")).await {
            Err(error) => error.message,
            Ok(_) => {
                let job = wait_restore(&mut self.client, "r").await;
                if job.field("State") == "FINISHED" { "FINISHED".to_owned() } else { job.field("Status").to_owned() }
            }
        };
        self.client.query(&format!("VERIFY SNAPSHOT {label} ON repo PROPERTIES (\"depth\" = \"rows\")")).await;
        let verify = wait_until(JOB_PATIENCE, async || {
            let rows = self.client.query("SHOW VERIFY").await;
            let Some(job) = rows.rows.len().checked_sub(1).and_then(|last| rows.record(last)) else {
                return Err("SHOW VERIFY is empty".to_owned());
            };
            let ended = matches!(job.field("State"), "FINISHED" | "CANCELLED");
            if ended { Ok(job) } else { Err(job.to_string()) }
        })
        .await;
        Answers { show, restore, verify }
    }

    /// Asks for a snapshot that RESTORE refuses with these words, and VERIFY finds fault with. Nothing of it is there.
    async fn refused(&mut self, what: &str, label: &str, words: &str) -> Answers {
        let answers = self.ask(label).await;
        assert!(answers.restore.contains(words), "{what}: {}", answers.restore);
        let unhappy = answers.verify.field("State") == "CANCELLED" || answers.verify.field("Errors") != "0";
        assert!(unhappy, "{what}\n{}", answers.verify);
        assert_eq!(self.client.value("SELECT COUNT(*) FROM d.t").await, "60", "{what}");
        let tables =
            self.client.query("SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = 'r'").await;
        assert!(tables.rows.is_empty(), "{what}: {tables:?}");
        answers
    }

    /// Looks once more at everything that must hold whatever was asked for.
    fn assert_unharmed(&mut self, files_before: &[PathBuf]) {
        assert!(self.server.is_running());
        let log = self.server.process().log();
        assert!(!log.contains("panicked") && !log.contains("internal error"), "{log}");
        let server = &self.server;
        let outside: Vec<PathBuf> =
            files_below(server.folder()).into_iter().filter(|path| !path.starts_with(server.data_dir())).collect();
        assert_eq!(outside, files_before, "beside the data directory");
        let escaped: Vec<PathBuf> = files_below(&server.data_dir())
            .into_iter()
            .filter(|path| path.to_string_lossy().contains("escaped"))
            .collect();
        assert_eq!(escaped, Vec::<PathBuf>::new(), "a name from a repository is no path");
        assert!(!Path::new("/tmp/escaped").exists());
    }

    fn files_beside(&self) -> Vec<PathBuf> {
        let data = self.server.data_dir();
        files_below(self.server.folder()).into_iter().filter(|path| !path.starts_with(&data)).collect()
    }
}

/// All files below a directory, sorted.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(directory) = rest.pop() {
        // What is removed meanwhile is not there.
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() { rest.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_forged_commit_object_is_refused_with_words() {
    let mut world = World::new("forged-commit").await;
    let beside = world.files_beside();
    let whole = world.forger.parts().await.commit;
    let with = |change: fn(&mut Value)| {
        let mut commit = whole.clone();
        change(&mut commit);
        commit
    };
    let cases: [(&str, Value, &str); 9] = [
        ("a list that is an object", with(|commit| commit["tables"] = json!({})), "does not read as"),
        ("a number that is a text", with(|commit| commit["totals"]["rows"] = json!("60")), "does not read as"),
        ("a number beyond all", with(|commit| commit["totals"]["bytes"] = json!(u64::MAX)), "contradicts itself"),
        (
            "sums beyond all",
            with(|commit| {
                commit["tables"][0]["rows"] = json!(u64::MAX);
                commit["totals"]["rows"] = json!(u64::MAX);
            }),
            "contradicts itself",
        ),
        ("a negative number", with(|commit| commit["tables"][0]["bytes"] = json!(-1)), "does not read as"),
        (
            "a table twice",
            with(|commit| {
                let table = commit["tables"][0].clone();
                commit["tables"].as_array_mut().unwrap().push(table);
            }),
            "named twice",
        ),
        (
            "a digest that leads elsewhere",
            with(|commit| commit["tables"][0]["node"]["digest"] = json!("../../escaped")),
            "does not read as",
        ),
        ("a newer format", with(|commit| commit["format_version"] = json!(99)), "format version 99"),
        ("another time", with(|commit| commit["timestamp"] = json!("2001-01-01-00-00-00-000")), "it says that it is"),
    ];
    for (what, commit, words) in cases {
        let label = world.forger.put_commit(commit).await;
        let answers = world.refused(what, &label, words).await;
        assert!(
            answers.show.starts_with("ERROR: Failed to get info") && answers.show.contains(words),
            "{what}: {}",
            answers.show
        );
    }

    let mut commit = whole.clone();
    commit["label"] = json!("bytes");
    let right = sealed(commit);
    let mut flipped = right.clone();
    flipped[40] ^= 1;
    let cut = right[..right.len() - 1].to_vec();
    let deep = format!("{{\"format_version\":1,\"x\":{}", "[".repeat(1_000_000)).into_bytes();
    let huge = vec![b' '; (64 << 20) + 1];
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("a bit", flipped, "its bytes are damaged"),
        ("cut off", cut, "does not end in its digest"),
        ("a million brackets", deep, "does not end in its digest"),
        ("larger than any", huge, "more than the 67108864 it may have"),
    ];
    for (what, bytes, words) in cases {
        world.forger.put_commit_bytes("bytes", &bytes).await;
        let answers = world.refused(what, "bytes", words).await;
        assert!(answers.show.contains(words), "{what}: {}", answers.show);
    }
    // A million brackets under the right seal.
    let open = format!("{{\"format_version\":1,\"x\":{}", "[".repeat(1_000_000));
    let seal = format!(",\"blake3\":\"{}\"}}\n", blake3::hash(open.as_bytes()).to_hex());
    world.forger.put_commit_bytes("bytes", (open + &seal).as_bytes()).await;
    world.refused("sealed brackets", "bytes", "does not read as").await;
    world.assert_unharmed(&beside);
}

#[tokio::test]
async fn names_of_a_repository_lead_nowhere() {
    let mut world = World::new("forged-names").await;
    let beside = world.files_beside();
    for (turn, name) in
        ["../../../escaped", "/tmp/escaped", "..", "escaped/../..", "escaped\\..", "escaped\n", "%2e%2e%2fescaped"]
            .into_iter()
            .enumerate()
    {
        let mut parts = world.forger.parts().await;
        for text in ["database", "cluster_id", "engine_version"] {
            parts.commit[text] = json!(name);
        }
        parts.commit["tables"][0]["name"] = json!(name);
        parts.table["partitions"][0]["name"] = json!(name);
        parts.table["definition"]["comment"] = json!(name);
        parts.table["definition"]["columns"][1]["name"] = json!(name);
        let label = world.forger.put(parts).await;
        // Whether such a table comes to be is for those to say who judge names; here it is about files.
        world.client.query(&format!("CREATE DATABASE r{turn}")).await;
        let restored = world.client.try_query(&format!("RESTORE SNAPSHOT r{turn}.{label} FROM repo")).await;
        if restored.is_ok() {
            let job = wait_restore(&mut world.client, &format!("r{turn}")).await;
            assert!(matches!(job.field("State"), "FINISHED" | "CANCELLED"), "{job}");
        }
        let _ = world.client.try_query(&format!("RESTORE SNAPSHOT {label} FROM repo")).await;
        world.ask(&label).await;
        world.client.query("DROP DATABASE IF EXISTS r FORCE").await;
        world.assert_unharmed(&beside);
    }
    // A key that no snapshot can have, and one whose label decodes to a path.
    let at = world.forger.timestamp.clone();
    let whole = bytes_of(&world.forger.parts().await.commit);
    for label in ["%2E%2E%2Fescaped", "..%2Fescaped", "%2fescaped", "a%ZZ"] {
        world.forger.bucket.put(&format!("{PREFIX}/ebla/snapshots/{label}/{at}.json"), &whole).await;
    }
    let shown = world.client.query("SHOW SNAPSHOT ON repo").await;
    assert!(shown.column("Status").iter().any(|status| status.starts_with("Invalid: ")), "{shown:?}");
    world.refused("a label that is a path", "`../escaped`", "").await;
    world.assert_unharmed(&beside);
}

#[tokio::test]
async fn a_forged_tree_is_refused_with_words() {
    let mut world = World::new("forged-tree").await;
    let beside = world.files_beside();
    let whole = world.forger.parts().await;

    // In the place of another: a partition for a table, a table for its own partition (there is no cycle, as nobody can
    // name the digest of what names it), the commit object for a table, a segment for a node.
    let mut parts = whole.clone();
    parts.commit["tables"][0]["node"] = whole.table["partitions"][0]["node"].clone();
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a partition for a table", &label, "does not read as").await;
    let mut parts = whole.clone();
    parts.table["partitions"][0]["node"] = whole.commit["tables"][0]["node"].clone();
    parts.commit["tables"][0]["node"] = world.forger.put_node(&bytes_of(&parts.table)).await;
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a table for a partition", &label, "does not read as").await;
    let mut parts = whole.clone();
    let mut confused = whole.table.clone();
    confused["kind"] = json!("partition");
    parts.commit["tables"][0]["node"] = world.forger.put_node(&bytes_of(&confused)).await;
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a kind that is another's", &label, "a table was expected").await;
    let mut parts = whole.clone();
    let segment = parts.segment().clone();
    let bytes = world.forger.segment(&segment).await;
    parts.commit["tables"][0]["node"] = world.forger.put_object("trees", "json.zst", &bytes).await;
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a segment for a node", &label, "cannot be decompressed").await;

    // Absurd numbers, and wrong digests.
    let mut parts = whole.clone();
    parts.commit["tables"][0]["node"]["bytes"] = json!(u64::MAX);
    let label = world.forger.put_commit(parts.commit).await;
    let answers = world.ask(&label).await;
    assert!(
        matches!(answers.restore.as_str(), "FINISHED"),
        "the size of a node is a bound and no more: {}",
        answers.restore
    );
    world.client.query("DROP DATABASE r FORCE").await;
    let mut parts = whole.clone();
    parts.commit["tables"][0]["node"]["bytes"] = json!(3);
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a size that is too small", &label, "ebla/trees/").await;
    let mut parts = whole.clone();
    let digest = blake3::hash(b"something else").to_hex().to_string();
    let key = format!("{PREFIX}/ebla/trees/{}/{digest}.json.zst", &digest[..2]);
    world.forger.bucket.put(&key, b"not that").await;
    parts.commit["tables"][0]["node"] = json!({"digest": digest, "bytes": 8});
    let label = world.forger.put_commit(parts.commit).await;
    world.refused("a wrong digest", &label, "its bytes are damaged").await;

    let changes: [(&str, fn(&mut forger::Parts), &str); 8] = [
        ("no bucket", |parts| parts.table["partitions"][0]["buckets"] = json!(0), "0 buckets"),
        (
            "buckets without end",
            |parts| parts.table["partitions"][0]["buckets"] = json!(u32::MAX),
            "4294967295 buckets",
        ),
        (
            "a bucket too far",
            |parts| parts.partition["tablets"][0]["bucket"] = json!(7),
            "beyond the partition's buckets",
        ),
        ("rows that do not add up", |parts| parts.segment()["rows"] = json!(61), "contradicts itself"),
        (
            "a segment without end",
            |parts| {
                parts.segment()["bytes"] = json!(1_u64 << 62);
                parts.say("bytes", 1 << 62);
            },
            "larger than an object can be",
        ),
        (
            "more rows than any segment",
            |parts| {
                parts.segment()["rows"] = json!(1_u64 << 40);
                parts.say("rows", 1 << 40);
            },
            "1099511627776 rows",
        ),
        ("no column", |parts| parts.table["definition"]["columns"] = json!([]), "at least one column"),
        (
            "a type that is nested without end",
            |parts| {
                let mut of = json!({"type": "int"});
                for _ in 0..50 {
                    of = json!({"type": "array", "element": of});
                }
                parts.table["definition"]["columns"][1]["data_type"] = of;
            },
            "nested too deeply",
        ),
    ];
    for (what, change, words) in changes {
        let mut parts = whole.clone();
        change(&mut parts);
        let label = world.forger.put(parts).await;
        world.refused(what, &label, words).await;
    }
    world.assert_unharmed(&beside);
}

#[tokio::test]
async fn a_forged_segment_is_refused_with_words() {
    let mut world = World::new("forged-segment").await;
    let beside = world.files_beside();
    let mut whole = world.forger.parts().await;
    let entry = whole.segment().clone();
    let bytes = world.forger.segment(&entry).await;
    let over = |at: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let end = bytes.len() - 8;
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("no Parquet", vec![b'x'; bytes.len()], "it is no Parquet file"),
        ("a footer of 4 GiB", over(end, b"\xff\xff\xff\xffPAR1"), "its footer has 4294967295 bytes"),
        ("a footer that makes no sense", over(end, b"\0\0\0\0PAR1"), "its footer makes no sense"),
        ("a page that becomes 2 GiB", over(4, b"\x15\x04\x15\xfe\xff\xff\xff\x0f"), "the page at 4"),
        ("a page of no type", over(4, b"\x15\x0e"), "which no segment has"),
    ];
    for (what, bytes, words) in cases {
        let mut parts = whole.clone();
        let object = world.forger.put_object("objects", "parquet", &bytes).await;
        parts.segment()["digest"] = object["digest"].clone();
        let label = world.forger.put(parts).await;
        world.refused(what, &label, words).await;
    }

    // The name of the object is right, and not its content; then one that is longer than the node says; one that says it
    // is a terabyte; one that is not there.
    let digest = blake3::hash(b"something else").to_hex().to_string();
    let key = format!("{PREFIX}/ebla/objects/{}/{digest}.parquet", &digest[..2]);
    world.forger.bucket.put(&key, &bytes).await;
    let mut parts = whole.clone();
    parts.segment()["digest"] = json!(digest);
    let label = world.forger.put(parts).await;
    world.refused("a wrong digest", &label, &digest).await;
    let name = entry["digest"].as_str().unwrap();
    // The store is asked only where there is room for what it is said to have.
    for (what, size, words) in [("a size that is too small", 100_u64, name), ("a terabyte", 1 << 40, "make room")] {
        let mut parts = whole.clone();
        parts.segment()["bytes"] = json!(size);
        parts.say("bytes", size);
        let label = world.forger.put(parts).await;
        world.refused(what, &label, words).await;
    }
    let mut parts = whole.clone();
    let missing = blake3::hash(b"nowhere").to_hex().to_string();
    parts.segment()["digest"] = json!(missing);
    let label = world.forger.put(parts).await;
    world.refused("nowhere", &label, &missing).await;

    // Delete vectors: no such thing, and one that deletes what is not there.
    let size = entry["bytes"].as_u64().unwrap();
    let mut header = b"EBDV\x01\0\0\0".to_vec();
    header.extend_from_slice(&u64::MAX.to_le_bytes());
    for (what, deletes) in [("no delete vector", b"nonsense".to_vec()), ("rows without end", header)] {
        let mut parts = whole.clone();
        let object = world.forger.put_object("objects", "dv", &deletes).await;
        parts.segment()["deletes"] = json!({"digest": object["digest"], "bytes": deletes.len(), "rows": 2});
        parts.say("objects", 2);
        parts.say("rows", 58);
        parts.say("bytes", size + deletes.len() as u64);
        let label = world.forger.put(parts).await;
        world.refused(what, &label, object["digest"].as_str().unwrap()).await;
    }
    let pid = world.server.process().pid();
    let (now, most) = (memory_bytes(pid), memory_peak_bytes(pid));
    assert!(most < now + (256 << 20), "{} MiB, at most {} MiB", now >> 20, most >> 20);
    world.assert_unharmed(&beside);
}

/// Few bytes that stand for many: each of these would take gigabytes of memory if it were read as it is.
#[tokio::test]
async fn a_bomb_does_not_go_off() {
    let mut world = World::new("forged-bomb").await;
    let beside = world.files_beside();
    let whole = world.forger.parts().await;
    let pid = world.server.process().pid();
    let before = memory_bytes(pid);

    let zeros = world.forger.put_node(&vec![b' '; 300 << 20]).await;
    // A value of a type is kept whole until its type is known: sixteen times its size.
    let mut of_type = whole.table.clone();
    of_type["definition"]["columns"][1]["data_type"] = json!({"x": "@", "type": "int"});
    let of_type = world.forger.put_node(&with_raw(&of_type, &format!("[{}0]", "0,".repeat(100 << 20)))).await;
    // Each of ten letters takes a hundred bytes once it is a property.
    let mut of_properties = whole.table.clone();
    of_properties["partitions"][0]["properties"] = json!("@");
    let mut raw = String::from("{");
    for number in 10_000_000..18_000_000 {
        write!(raw, "\"{number}\":\"\",").unwrap();
    }
    raw += "\"\":\"\"}";
    let of_properties = world.forger.put_node(&with_raw(&of_properties, &raw)).await;
    drop(raw);
    let mut cases = Vec::new();
    for (what, node, words) in [
        ("300 MiB of nothing", zeros, "at most 268435456"),
        ("eight million properties of a partition", of_properties, "the properties of its partitions"),
        ("a hundred million numbers in a type", of_type, "a member beside its list"),
    ] {
        let mut commit = whole.commit.clone();
        commit["tables"][0]["node"] = node;
        cases.push((what, commit, words));
    }
    // Many of them in one table, which are read at the same time.
    let mut partition = whole.partition.clone();
    partition["tablets"][0]["rowsets"] = json!("@");
    let mut table = whole.table.clone();
    let entry = table["partitions"][0].clone();
    table["partitions"] = json!([]);
    table["definition"]["partitioning"] = json!({"type": "range", "columns": [1]});
    for turn in 0..5 {
        // Each another node.
        let raw = format!("[{}{{\"segments\":[]}}]", "{\"segments\":[]},".repeat((2 << 20) + turn));
        let mut entry = entry.clone();
        entry["name"] = json!(format!("p{turn}"));
        let key = |at: usize| json!([{"value": {"int": at.to_string()}}]);
        entry["bounds"] = json!({"range": {"lower": key(turn), "upper": key(turn + 1)}});
        entry["node"] = world.forger.put_node(&with_raw(&partition, &raw)).await;
        table["partitions"].as_array_mut().unwrap().push(entry);
    }
    let mut commit = whole.commit.clone();
    multiply(&mut commit, 1, 5);
    commit["tables"][0]["node"] = world.forger.put_node(&bytes_of(&table)).await;
    cases.push(("five partitions of two million rowsets", commit, "the lists of rowsets"));
    for (what, commit, words) in cases {
        reset_memory_peak(pid);
        let label = world.forger.put_commit(commit).await;
        world.refused(what, &label, words).await;
        let most = memory_peak_bytes(pid).saturating_sub(before);
        println!("{what}: {} MiB", most >> 20);
        assert!(most < MEMORY_BYTES_MAX, "{what}: {} MiB", most >> 20);
    }
    world.assert_unharmed(&beside);
}

/// One node can be that of many tables, and of many partitions: a repository of kilobytes with millions of tablets.
#[tokio::test]
async fn a_tree_that_is_larger_than_its_nodes_is_refused() {
    let mut world = World::new("forged-many").await;
    let beside = world.files_beside();
    let whole = world.forger.parts().await;
    let pid = world.server.process().pid();
    let before = memory_bytes(pid);
    reset_memory_peak(pid);

    // Two million tablets, of which each table has no more than one may have.
    let mut table = whole.table.clone();
    table["partitions"][0]["buckets"] = json!(100_000);
    let mut commit = whole.commit.clone();
    commit["tables"][0]["node"] = world.forger.put_node(&bytes_of(&table)).await;
    multiply(&mut commit, 20, 1);
    let label = world.forger.put_commit(commit).await;
    let answers = world.ask(&label).await;
    assert!(answers.restore.contains("more than 1000000 tablets"), "{}", answers.restore);
    assert!(answers.restore.contains("restore its tables one after the other"), "{}", answers.restore);

    // Four million names of partitions.
    let mut table = whole.table.clone();
    let entry = table["partitions"][0].clone();
    let named = |turn: usize| {
        let mut entry = entry.clone();
        entry["name"] = json!(format!("p{turn}"));
        entry
    };
    table["partitions"] = (0..20_000).map(named).collect();
    let mut commit = whole.commit.clone();
    commit["tables"][0]["node"] = world.forger.put_node(&bytes_of(&table)).await;
    multiply(&mut commit, 200, 20_000);
    let label = world.forger.put_commit(commit.clone()).await;
    let answers = world.refused("names without end", &label, "").await;
    assert!(answers.show.contains("more names than one answer holds"), "{}", answers.show);
    // The same, backed up in part: the job would show each name.
    for table in commit["tables"].as_array_mut().unwrap() {
        table["partial"] = json!(true);
    }
    let label = world.forger.put_commit(commit).await;
    world.refused("names without end, in part", &label, "more names of partitions than a job can show").await;

    let most = memory_peak_bytes(pid).saturating_sub(before);
    println!("many tables: {} MiB", most >> 20);
    assert!(most < MEMORY_BYTES_MAX, "{} MiB", most >> 20);
    world.assert_unharmed(&beside);
}

/// Makes so many tables of the only one of a commit object, each of so many times what its partition is.
fn multiply(commit: &mut Value, tables: u64, partitions: u64) {
    let mut table = commit["tables"][0].clone();
    for what in ["partitions", "objects", "rows", "bytes"] {
        let number = table[what].as_u64().unwrap() * partitions;
        table[what] = json!(number);
        commit["totals"][what] = json!(number * tables);
    }
    commit["totals"]["tables"] = json!(tables);
    let named = |turn: u64| {
        let mut table = table.clone();
        table["name"] = json!(format!("t{turn:06}"));
        table
    };
    commit["tables"] = (0..tables).map(named).collect();
}
