//! Bytes that lie on a disk for a while only: the catalog's log when the process was killed, and the rows that a load has
//! spilled.
//!
//! An orderly stop leaves no log, which `flips` sees. After a kill the catalog and its log are one thing. A byte of either
//! must be found by the check of every start, or mean nothing; but for what docs/reliability.md says openly: a byte of the
//! very last transaction of the log looks like a transaction that was being written, which is dropped whole.

use super::*;
use crate::error::Error;

/// One of so many flips is of these: each takes as long as a hundred of the others.
const SHARE: u64 = 25;

/// The state of the catalog, in the order of its transactions.
struct Killed {
    db: Vec<u8>,
    log: Vec<u8>,
    /// Where the last transaction begins in the log.
    last_at: usize,
    before_last: Contents,
    whole: Contents,
}

impl Killed {
    /// What a process leaves that is killed after some work.
    async fn new() -> Killed {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(config(dir.path()));
        // In the file, and not in the log: some of its pages are replaced by the log.
        create_table(&storage, "t", 2);
        insert(&storage, "t", &rows(0..10)).await;
        drop(storage);
        let storage = open(config(dir.path()));
        create_partitioned_table(&storage, "p", 3, 2);
        insert(&storage, "p", &rows(0..30)).await;
        for turn in 0..4 {
            insert(&storage, "t", &rows(turn..turn + 1)).await;
        }
        let path = dir.path().join("catalog.db");
        let files = || (fs::read(&path).unwrap(), fs::read(dir.path().join("catalog.db-wal")).unwrap());
        let (db, log_before) = files();
        let before_last = contents_of(&db, &log_before);
        storage.catalog().write(|write| write.rename_table(&table(&storage, "t"), "renamed")).unwrap();
        let (db_after, log) = files();
        assert!(
            db == db_after && log.starts_with(&log_before) && log.len() > log_before.len(),
            "one log, one more in it"
        );
        let whole = contents_of(&db, &log);
        assert_ne!(before_last, whole);
        Killed { db, last_at: log_before.len(), log, before_last, whole }
    }
}

fn table(storage: &Storage, name: &str) -> crate::catalog::TableRow {
    storage.table_snapshot("d", name).unwrap().table().clone()
}

/// Writes a catalog with its log into a directory; gives back its path.
fn lay(dir: &Path, db: &[u8], log: &[u8]) -> PathBuf {
    let path = dir.join("catalog.db");
    fs::write(&path, db).unwrap();
    fs::write(dir.join("catalog.db-wal"), log).unwrap();
    path
}

fn contents_of(db: &[u8], log: &[u8]) -> Contents {
    let dir = tempfile::tempdir().unwrap();
    contents(&lay(dir.path(), db, log))
}

#[tokio::test]
async fn no_flipped_byte_of_a_killed_servers_log_is_believed() {
    let killed = Killed::new().await;
    let seed = setting("EBLA_FLIPS_SEED", 1);
    let mut numbers = Numbers(seed);
    let flips = setting("EBLA_FLIPS", FLIPS).div_ceil(SHARE);
    let (mut found, mut meaningless, mut dropped) = (0_u64, 0_u64, 0_u64);
    for flip in 0..flips {
        let (mut db, mut log) = (killed.db.clone(), killed.log.clone());
        // The log is the larger part of what is asked here.
        let in_log = numbers.below(4) > 0;
        let bytes = if in_log { &mut log } else { &mut db };
        // Its header and its ends are a small part of it, and the part that matters most.
        let near = match numbers.below(8) {
            0 => 0,
            1 if in_log => killed.last_at - 64,
            2 => bytes.len() - 64,
            _ => numbers.below(bytes.len() as u64 - 64) as usize,
        };
        let at = near + numbers.below(64) as usize;
        bytes[at] ^= (1 + numbers.below(255)) as u8;
        let dir = tempfile::tempdir().unwrap();
        let path = lay(dir.path(), &db, &log);
        let told = format!("flip {flip} of seed {seed}: byte {at} of the {}", if in_log { "log" } else { "catalog" });
        if Catalog::find_damage(&path, CatalogCheck::Full).unwrap().is_some() {
            found += 1;
            continue;
        }
        let said = contents(&path);
        if said == killed.whole {
            meaningless += 1;
        } else {
            assert!(in_log && at >= killed.last_at, "{told} was believed");
            assert_eq!(said, killed.before_last, "{told}: the last transaction is neither there nor gone");
            dropped += 1;
        }
    }
    println!(
        "{flips} flips of a catalog and its log: {found} found, {meaningless} meaningless, {dropped} in the last transaction"
    );
    assert!(found * 2 > flips || flips < 100, "{found} of {flips} were found");
}

/// A load reads back what it has spilled: a byte that has changed there ends it, and the same load given again is whole.
#[tokio::test]
async fn no_flipped_byte_of_what_was_spilled_becomes_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.roots = vec![dir.path().join("a"), dir.path().join("b")];
    config.memtable_bytes_max = 1;
    let storage = open(config);
    create_table(&storage, "t", 1);
    let seed = setting("EBLA_FLIPS_SEED", 1);
    let mut numbers = Numbers(seed);
    let given = noisy_rows(0..400);
    let labelled =
        || crate::load::LoadSpec { label: Some("l".to_owned()), ..spec("t", crate::catalog::LoadKind::Insert) };
    for flip in 0..setting("EBLA_FLIPS", FLIPS).div_ceil(SHARE * 4) {
        let mut load = storage.begin_load(labelled()).await.unwrap();
        for part in given.chunks(200) {
            load.write(batch(part)).await.unwrap();
        }
        let runs = spilled(&storage);
        assert!(!runs.is_empty(), "rows are spilled at once");
        let run = &runs[numbers.below(runs.len() as u64) as usize];
        let mut bytes = fs::read(run).unwrap();
        let at = numbers.below(bytes.len() as u64) as usize;
        bytes[at] ^= (1 + numbers.below(255)) as u8;
        fs::write(run, bytes).unwrap();
        let told = format!("flip {flip} of seed {seed}: byte {at} of {}", run.display());
        let error = load.commit().await.expect_err(&told);
        assert!(matches!(&error, Error::Corrupt { path, .. } if path == run), "{told}: {error}");
        assert_eq!((table_rows(&storage, "t"), staged(&storage)), (Vec::new(), Vec::new()), "{told}");
    }
    load(&storage, labelled(), &given).await.unwrap();
    let mut wanted = given;
    wanted.sort();
    assert_eq!(table_rows(&storage, "t"), wanted);
}

/// The runs in staging.
fn spilled(storage: &Storage) -> Vec<PathBuf> {
    let mut runs = Vec::new();
    for root in storage.roots().all() {
        for name in staged(storage) {
            let entries = fs::read_dir(root.path.join("staging").join(name)).into_iter().flatten();
            runs.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    runs.sort();
    runs
}
