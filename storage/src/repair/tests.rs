//! Two roots, one of them damaged: reads fall over to the other, and repair makes the replica whole.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::catalog::FileKind;
use crate::testing::{config, create_table, insert, open, rows, table_rows};

fn storage_with_roots(dir: &Path, roots: &[&str]) -> Arc<Storage> {
    let mut config = config(dir);
    config.roots = roots.iter().map(|root| dir.join(root)).collect();
    open(config)
}

/// Every file of the table on one root.
fn files_on(storage: &Storage, root: usize) -> Vec<PathBuf> {
    let root = storage.roots().configured()[root];
    let mut paths = Vec::new();
    for tablet in storage.roots().tablets_on_disk(root).unwrap() {
        for (digest, kind) in storage.roots().files_on_disk(root, tablet).unwrap() {
            paths.push(storage.roots().file_path(root, tablet, &digest, kind).unwrap());
        }
    }
    paths.sort();
    paths
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn bad_replicas(storage: &Storage) -> usize {
    let replicas = storage.catalog().read(|read| read.replicas_by_tablet()).unwrap();
    replicas.values().flatten().filter(|replica| !replica.healthy).count()
}

#[tokio::test]
async fn a_missing_file_is_read_elsewhere_and_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage_with_roots(dir.path(), &["a", "b"]);
    create_table(&storage, "t", 2);
    insert(&storage, "t", &rows(0..100)).await;
    insert(&storage, "t", &rows(100..200)).await;
    let before: Vec<(PathBuf, Vec<u8>)> =
        files_on(&storage, 0).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert_eq!(before.len(), 4);
    fs::remove_file(&before[0].0).unwrap();
    fs::write(&before[3].0, b"short").unwrap();

    assert_eq!(table_rows(&storage, "t"), rows(0..200));
    // The second tablet is read from the other root first: nobody has met its bad file yet.
    assert_eq!(bad_replicas(&storage), 1);
    let report = storage.repair_replicas().unwrap();
    assert_eq!((report.repaired_replicas, report.copied_files), (1, 2));
    for (path, bytes) in &before {
        assert_eq!(fs::read(path).unwrap(), *bytes);
    }
    assert_eq!(bad_replicas(&storage), 0);
    assert_eq!(storage.repair_replicas().unwrap(), RepairReport::default());
    assert_eq!(crate::testing::staged(&storage), Vec::<String>::new());
}

#[tokio::test]
async fn a_whole_disk_is_filled_again_without_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage_with_roots(dir.path(), &["a", "b"]);
    create_table(&storage, "t", 2);
    insert(&storage, "t", &rows(0..100)).await;
    let files = files_on(&storage, 1);
    fs::remove_dir_all(dir.path().join("b/tablets")).unwrap();
    let report = storage.repair_replicas().unwrap();
    assert_eq!((report.copied_files, report.lost.len()), (2, 0));
    assert_eq!(files_on(&storage, 1), files);
    fs::remove_dir_all(dir.path().join("a/tablets")).unwrap();
    assert_eq!(table_rows(&storage, "t"), rows(0..100));
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_digest_and_never_copied() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage_with_roots(dir.path(), &["a", "b"]);
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..100)).await;
    let (here, there) = (files_on(&storage, 0).remove(0), files_on(&storage, 1).remove(0));
    let good = fs::read(&here).unwrap();
    let tablet = storage.roots().tablets_on_disk(storage.roots().configured()[0]).unwrap()[0];
    flip_a_byte(&here);
    storage.files().mark_copy_bad(tablet, &here, "as a reader found");
    assert_eq!(table_rows(&storage, "t"), rows(0..100));
    assert_eq!(storage.repair_bad_replicas().unwrap().repaired_replicas, 1);
    assert_eq!(fs::read(&here).unwrap(), good);

    // One replica lacks the file and the other's copy is damaged: nothing is whole any more, and it is said where.
    fs::remove_file(&here).unwrap();
    flip_a_byte(&there);
    let report = storage.repair_replicas().unwrap();
    assert_eq!(report.copied_files, 0);
    let [lost] = report.lost.as_slice() else { panic!("{report:?}") };
    assert_eq!((lost.database.as_str(), lost.table.as_str(), lost.tablet), ("d", "t", tablet));
    assert!(report.into_result().unwrap_err().to_string().contains("of table 'd.t'"));
    assert!(!here.exists(), "damaged bytes are not copied");

    // A whole copy comes back, from wherever: both replicas are rebuilt from it.
    fs::write(&there, &good).unwrap();
    assert_eq!(storage.repair_replicas().unwrap().copied_files, 1);
    assert_eq!((fs::read(&here).unwrap(), bad_replicas(&storage)), (good, 0));
}

#[tokio::test]
async fn what_is_garbage_by_now_is_not_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage_with_roots(dir.path(), &["a", "b"]);
    create_table(&storage, "t", 1);
    insert(&storage, "t", &rows(0..100)).await;
    let owner = storage.roots().tablets_on_disk(storage.roots().configured()[0]).unwrap()[0];
    let files = storage.catalog().read(|read| read.tablet_files(owner)).unwrap();
    let replicas = storage.catalog().read(|read| read.replicas(owner)).unwrap();
    fs::remove_file(files_on(&storage, 0).remove(0)).unwrap();
    storage.truncate("d", "t", None).unwrap();
    let file = files.first().unwrap();
    assert_eq!(file.kind, FileKind::Segment);
    let fetched = storage.fetch(owner, replicas[0].root_id, &replicas, file).unwrap();
    assert!(matches!(fetched, Fetched::NotNeeded));
    assert_eq!(files_on(&storage, 0), Vec::<PathBuf>::new());
}
