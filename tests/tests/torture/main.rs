//! Goal: a server that is killed at any moment, again and again, under everything that can be asked of it at once, loses
//! nothing that it has acknowledged, does nothing by halves and leaves nothing behind.
//!
//! Method: each of a few clients works in a database of its own (`worker`): loads with labels, deletes, compactions, DDL,
//! backups that it does not wait for, some with a ttl, restores over what is there and beside it, snapshots that are
//! verified and dropped. The server gets SIGKILL at random moments, also while it starts. After each start every client finds out what became of what it had under way and compares all of
//! its database with its model (`state`, `look`). Now and then everything comes to rest: jobs end, snapshots are restored
//! and compared, the repository's list is compared, and every file in the data directory is held against the catalog
//! (`disk`). `run` is the order of events, `op` is what can be asked.
//!
//! The seed decides the moments and what every client chooses; what it chooses among depends on what became of what was
//! under way, so a run with the same seed is alike, not the same. `EBLA_TORTURE_KILLS` and `EBLA_TORTURE_SEED` set both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a failing helper is a failing test")]

mod disk;
mod look;
mod op;
mod run;
mod state;
mod worker;

use std::path::PathBuf;

use ebla_tests::folder::Folder;
use ebla_tests::weed::Weed;

use run::Torture;
use state::Table;

/// Kills of a run when nobody says how many: a few minutes in a debug build.
const KILLS: u32 = 200;

/// Chooses the run when nobody else does.
const SEED: u64 = 1;

/// Kills before the oracle is lied to.
const KILLS_BEFORE_LIES: u32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_half_done_however_often_it_is_killed() {
    let Some(weed) = Weed::shared().await else {
        return;
    };
    let (kills, seed) =
        (number("EBLA_TORTURE_KILLS").unwrap_or(u64::from(KILLS)), number("EBLA_TORTURE_SEED").unwrap_or(SEED));
    let repository = weed.bucket("torture").await.create_repository("repo", "torture");
    let mut torture = Torture::begin(seed, &repository).await;
    let found = torture.run(kills.try_into().expect("as many kills as fit a number")).await;
    println!("{}", torture.report());
    if let Err(found) = found {
        panic!("seed {seed}: {found}");
    }
}

/// Goal: the oracle is no oracle unless it can complain. Method: after a short run that pleases it, change what it
/// remembers, one thing at a time, and what lies on the disk; each time it must name what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_complains_about_whatever_it_is_lied_to() {
    let folder = Folder::new("torture-repository");
    let repository = format!("CREATE REPOSITORY repo WITH BROKER ON LOCATION \"file://{}\"", folder.path().display());
    let mut torture = Torture::begin(SEED, &repository).await;
    torture.run(KILLS_BEFORE_LIES).await.unwrap();

    // Something to lie about, whatever the run has left.
    let at = torture.address();
    let mut client = torture.server.client().await;
    let db = torture.workers[0].db.clone();
    client.query(&format!("DROP DATABASE {db} FORCE")).await;
    client.query(&format!("CREATE DATABASE {db}")).await;
    let create = op::Op::Create("r0".to_owned());
    let load = op::Op::Insert { table: "r0".to_owned(), load: 9_000, mask: 0b0111_0111 };
    for op in [&create, &load] {
        client.query(&op.sql(&db).unwrap()).await;
    }
    let worker = &mut torture.workers[0];
    worker.state = load.apply(&create.apply(&state::Tables::new()));
    worker.back_up(&at).await.unwrap();
    torture.look_again().await.unwrap();
    let truth = torture.workers[0].state.clone();

    let lies: [(&str, fn(&mut Table)); 5] = [
        ("rows 0x77 of load 9000 and not 0x7f", |table| table.add(9_000, 0b1000)),
        ("rows 0x77 of load 9000 and not 0x76", |table| table.remove(|_| 1)),
        ("rows 0x0 of load 9001 and not 0x1", |table| table.add(9_001, 1)),
        ("rows 0x77 of load 9000 and not 0x0", |table| table.loads.clear()),
        ("partitions", |table| table.slots = None),
    ];
    for (complaint, lie) in lies {
        lie(torture.workers[0].state.get_mut("r0").unwrap());
        let found = torture.look_again().await.unwrap_err();
        assert!(found.contains(complaint), "{complaint}: {found}");
        torture.workers[0].state.clone_from(&truth);
    }

    // A snapshot that is not of its cut; one that is not there; one that nobody knows of.
    let newest = torture.workers[0].snapshots.len() - 1;
    let label = torture.workers[0].snapshots[newest].label.clone();
    torture.workers[0].snapshots[newest].cuts = vec![state::Tables::new()];
    let found = torture.rest().await.unwrap_err();
    assert!(found.contains(&format!("snapshot {label} restores to what never was")), "{found}");
    torture.workers[0].forget_copy();
    client.query(&format!("DROP DATABASE {db}_copy FORCE")).await;
    torture.workers[0].snapshots[newest].cuts = vec![truth.clone()];
    let mut missing = torture.workers[0].snapshots[newest].clone();
    missing.label = format!("{db}_999");
    torture.workers[0].snapshots.insert(0, missing);
    let found = torture.rest().await.unwrap_err();
    assert!(found.contains(&format!("{db}_999")), "{found}");
    torture.workers[0].snapshots.remove(0);
    let known = torture.workers[0].snapshots.pop().unwrap();
    let found = torture.rest().await.unwrap_err();
    assert!(found.contains(&format!("lists [\"{}\"] that no backup finished", known.label)), "{found}");
    torture.workers[0].snapshots.push(known);

    // A snapshot that is damaged: VERIFY says so, and SHOW SNAPSHOT from then on, until it is found whole.
    torture.workers[0].verify_newest(&at).await.unwrap();
    let object = newest_object(folder.path());
    let bytes = std::fs::read(&object).unwrap();
    std::fs::write(&object, &bytes[..bytes.len() - 1]).unwrap();
    let found = torture.workers[0].verify_newest(&at).await.unwrap_err();
    assert!(found.contains(&format!("a verification of {label} ends with")), "{found}");
    std::fs::write(&object, &bytes).unwrap();
    let found = torture.rest().await.unwrap_err();
    assert!(found.contains("SHOW SNAPSHOT says") && found.contains("missing or damaged"), "{found}");
    torture.workers[0].verify_newest(&at).await.unwrap();
    torture.rest().await.unwrap();

    // Rows that are there twice, and cells of another row.
    for (statement, complaint) in [
        (format!("INSERT INTO {db}.r0 SELECT * FROM {db}.r0 WHERE r = 1"), "rows are there twice"),
        (
            format!("INSERT OVERWRITE {db}.r0 SELECT k, g, l, r, b, s + IF(r = 1, 1, 0), v FROM {db}.r0"),
            "cells of others",
        ),
        (
            format!(
                "INSERT OVERWRITE {db}.r0 SELECT k, g, l, r, b, s, IF(r = 1, REPEAT('?', LENGTH(v)), v) FROM {db}.r0"
            ),
            "the texts of 5 of them are theirs",
        ),
    ] {
        client.query(&statement).await;
        let found = torture.look_again().await.unwrap_err();
        assert!(found.contains(complaint), "{found}");
        client.query(&format!("DROP TABLE {db}.r0 FORCE")).await;
        client.query(&create.sql(&db).unwrap()).await;
        client
            .query(
                &op::Op::Insert { table: "r0".to_owned(), load: 9_000, mask: 0b0111_0111 }
                    .sql(&db)
                    .unwrap()
                    .replace(" WITH LABEL load_9000", ""),
            )
            .await;
        torture.look_again().await.unwrap();
    }

    // Files without a name, and names without a file. The server sweeps only when it starts.
    torture.rest().await.unwrap();
    let some_file = a_segment(&torture.server.data_dir());
    let stray = some_file.with_file_name(format!("{}.parquet", "ab".repeat(32)));
    std::fs::write(&stray, b"stray").unwrap();
    let found = disk::walk(&torture.server.data_dir()).unwrap_err();
    assert!(found.iter().any(|complaint| complaint.contains("nothing names")), "{found:?}");
    std::fs::remove_file(&stray).unwrap();
    std::fs::remove_file(&some_file).unwrap();
    let found = disk::walk(&torture.server.data_dir()).unwrap_err();
    assert!(found.iter().any(|complaint| complaint.contains("lacks")), "{found:?}");
}

/// The segment that came last into a repository.
fn newest_object(repository: &std::path::Path) -> PathBuf {
    let folders = std::fs::read_dir(repository.join("ebla/objects")).unwrap().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "parquet"));
    segments.max_by_key(|file| file.metadata().unwrap().modified().unwrap()).unwrap().path()
}

/// Any segment of a data directory.
fn a_segment(data_dir: &std::path::Path) -> PathBuf {
    let tablets = std::fs::read_dir(data_dir.join("storage/tablets")).unwrap().flatten();
    let mut files = tablets.flat_map(|tablet| std::fs::read_dir(tablet.path()).unwrap().flatten());
    files.find(|file| file.path().extension().is_some_and(|extension| extension == "parquet")).unwrap().path()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is '{text}', which is no number")))
}
