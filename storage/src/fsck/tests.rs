//! A check finds what is wrong, says where, and heals what has a whole copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::catalog::NewRepository;
use crate::clock::{ManualClock, SystemRandom};
use crate::testing::{config, create_table, insert, open, rows, table_rows};

fn check(dir: &Path, repair: bool, trust_catalog: bool) -> FsckReport {
    let options = FsckOptions { data_dir: dir.to_owned(), repair, trust_catalog, secret_key: None };
    let clock: Arc<dyn Clock> = ManualClock::at(1_700_000_000_000);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    fsck(&options, &clock, &random).unwrap()
}

fn found(report: &FsckReport) -> Vec<String> {
    report.findings().iter().map(|finding| format!("{}: {}", finding.place, finding.detail)).collect()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A data directory of two roots and one table, and its segments on the first root.
async fn directory(dir: &Path, roots: &[&str]) -> Vec<PathBuf> {
    let mut config = config(dir);
    config.roots = roots.iter().map(|root| dir.join(root)).collect();
    let storage = open(config);
    create_table(&storage, "t", 2);
    insert(&storage, "t", &rows(0..100)).await;
    let root = storage.roots().configured()[0];
    let mut files = Vec::new();
    for tablet in storage.roots().tablets_on_disk(root).unwrap() {
        for (digest, kind) in storage.roots().files_on_disk(root, tablet).unwrap() {
            files.push(storage.roots().file_path(root, tablet, &digest, kind).unwrap());
        }
    }
    files.sort();
    files
}

/// The configuration of a directory of one root.
fn reopened(dir: &Path) -> StorageConfig {
    let mut config = config(dir);
    config.roots = vec![dir.join("a")];
    config
}

#[tokio::test]
async fn a_whole_directory_is_said_to_be_whole() {
    let dir = tempfile::tempdir().unwrap();
    directory(dir.path(), &["a", "b"]).await;
    let report = check(dir.path(), false, false);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Whole, Vec::new()));
    assert_eq!((report.tablets, report.replicas, report.files), (2, 4, 4));
    assert!(report.to_string().ends_with("everything is what was written"), "{report}");

    let nothing = FsckOptions { data_dir: dir.path().join("a"), repair: true, trust_catalog: false, secret_key: None };
    let error = fsck(&nothing, &(ManualClock::at(1) as Arc<dyn Clock>), &(Arc::new(SystemRandom) as Arc<dyn Random>));
    assert!(error.unwrap_err().to_string().contains("holds no catalog"));
}

#[tokio::test]
async fn what_another_replica_has_is_healed_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let files = directory(dir.path(), &["a", "b"]).await;
    let good: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    flip(&files[0]);
    fs::remove_file(&files[1]).unwrap();
    let stray = files[0].with_file_name(format!("{}.parquet", crate::digest::Digest::of(b"stray")));
    fs::write(&stray, b"stray").unwrap();
    let foreign = files[0].with_file_name("README");
    fs::write(&foreign, b"not ours").unwrap();

    let report = check(dir.path(), false, false);
    assert_eq!(report.verdict(), Verdict::Healable);
    let said = found(&report).join("\n");
    for wants in
        ["table 'd.t'", "its bytes do not match its digest", "it is missing", "nothing names it", "none of ours"]
    {
        assert!(said.contains(wants), "{wants}: {said}");
    }
    assert_ne!(fs::read(&files[0]).unwrap(), good[0], "a check changes nothing");
    assert!(stray.exists());

    let report = check(dir.path(), true, false);
    assert_eq!((report.verdict(), report.healed().len()), (Verdict::Healable, 3), "{report}");
    assert!(report.to_string().contains("healed: everything is what was written now"), "{report}");
    for (path, good) in files.iter().zip(&good) {
        assert_eq!(fs::read(path).unwrap(), *good);
    }
    let name = stray.strip_prefix(dir.path().canonicalize().unwrap().join("a")).unwrap();
    assert_eq!(fs::read(dir.path().join("a/quarantine").join(name)).unwrap(), b"stray");
    assert!(foreign.exists());
    assert_eq!(check(dir.path(), false, false).verdict(), Verdict::Whole);
}

#[tokio::test]
async fn what_no_replica_has_is_lost_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let files = directory(dir.path(), &["a"]).await;
    flip(&files[0]);
    let damaged = fs::read(&files[0]).unwrap();
    for repair in [false, true] {
        let report = check(dir.path(), repair, false);
        assert_eq!(report.verdict(), Verdict::Lost);
        assert!(report.to_string().contains("LOST: "), "{report}");
        assert!(report.to_string().contains("restore the partitions"), "{report}");
        assert_eq!(fs::read(&files[0]).unwrap(), damaged, "the last copy is not touched");
    }
}

#[tokio::test]
async fn a_damaged_catalog_is_not_believed_unless_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let files = directory(dir.path(), &["a"]).await;
    flip(&files[0]);
    let catalog = dir.path().join("catalog.db");
    let connection = rusqlite::Connection::open(&catalog).unwrap();
    connection.execute("UPDATE tables SET created_at_ms = created_at_ms + 1", []).unwrap();
    drop(connection);
    let report = check(dir.path(), true, false);
    assert_eq!(report.verdict(), Verdict::Lost);
    let said = report.to_string();
    assert!(said.contains("the 1 rows of table 'tables' are not what was written"), "{said}");
    assert!(said.contains("its bytes do not match its digest"), "{said}");
    assert!(said.ends_with("--trust-catalog takes what it says for true"), "{said}");
    let refused = crate::Storage::open(config(dir.path()), ManualClock::at(1), Arc::new(SystemRandom));
    assert!(refused.unwrap_err().to_string().contains("is damaged and not used"));

    fs::remove_file(&files[0]).unwrap();
    let report = check(dir.path(), false, true);
    assert!(report.to_string().contains("trusted catalog"), "{report}");
    let report = check(dir.path(), false, false);
    assert_eq!(report.findings().len(), 1, "only the file is lost: {report}");
}

#[tokio::test]
async fn a_replica_that_was_marked_in_vain_is_good_again() {
    let dir = tempfile::tempdir().unwrap();
    directory(dir.path(), &["a", "b"]).await;
    let mut config = config(dir.path());
    config.roots = vec![dir.path().join("a"), dir.path().join("b")];
    let storage = open(config.clone());
    let (tablet, replicas) =
        storage.catalog().read(|read| read.replicas_by_tablet()).unwrap().into_iter().next().unwrap();
    storage.catalog().write(|write| write.set_replica_health(replicas[0].id, false)).unwrap();
    drop(storage);
    let report = check(dir.path(), false, false);
    assert!(
        found(&report)[0].contains(&format!("tablet {tablet} of partition 't' of table 'd.t' has every file whole"))
    );
    check(dir.path(), true, false);
    assert_eq!(check(dir.path(), false, false).verdict(), Verdict::Whole);
    assert_eq!(table_rows(&open(config), "t"), rows(0..100));
}

/// Goal: a key that has changed on the disk is told before somebody needs a backup. Method: each byte of its file becomes
/// another one; what it sealed is a repository's credentials.
#[tokio::test]
async fn a_secret_key_that_opens_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    directory(dir.path(), &["a"]).await;
    let vault = Vault::new(dir.path(), None);
    vault.make_key().unwrap();
    let new = NewRepository {
        name: "r".into(),
        identity: "x".into(),
        location: "s3://b/p".into(),
        read_only: false,
        broker: String::new(),
        properties: vault.seal("x", &Secret::new("CANARY")).unwrap(),
        created_at_ms: 1,
    };
    let storage = open(reopened(dir.path()));
    storage.catalog().write(|write| write.create_repository(&new)).unwrap();
    drop(storage);
    let report = check(dir.path(), false, false);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Whole, Vec::new()));

    let path = dir.path().join("secret.key");
    let key = fs::read(&path).unwrap();
    for position in 0..key.len() {
        let mut bytes = key.clone();
        bytes[position] ^= 1 << (position % 7);
        fs::write(&path, bytes).unwrap();
        let report = check(dir.path(), false, false);
        let [finding] = report.findings() else { panic!("byte {position}: {report}") };
        assert_eq!((&finding.kind, finding.place.as_str()), (&Kind::Sealed, "repository 'r'"), "byte {position}");
        let text = report.to_string();
        assert_eq!(report.verdict(), Verdict::Lost, "byte {position}: {text}");
        assert!(text.contains("credentials of repositories cannot be opened") && !text.contains("CANARY"), "{text}");
    }
    fs::remove_file(&path).unwrap();
    let report = check(dir.path(), false, false);
    assert!(report.to_string().contains("is missing, and the credentials of repositories are sealed with it"));
    // Where the key lies elsewhere, nothing is missing.
    let given = Some(Secret::new(String::from_utf8(key).unwrap()));
    let options =
        FsckOptions { data_dir: dir.path().to_owned(), repair: false, trust_catalog: false, secret_key: given };
    let clock: Arc<dyn Clock> = ManualClock::at(1_700_000_000_000);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    assert_eq!(fsck(&options, &clock, &random).unwrap().verdict(), Verdict::Whole);
}
