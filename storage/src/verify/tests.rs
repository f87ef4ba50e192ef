//! Goal: whatever is lost or damaged in a repository is found, with who needs it, and comes back by the next backup.
//! Method: a small store and a directory as repository; its files are deleted, cut, flipped and swapped by hand.

mod rot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rows;
use super::*;
use crate::backup::BackupObjects;
use crate::catalog::{FindingRow, JobKind, Problem};
use crate::job::bed::{
    Action, Bed, assert_backed_up, assert_restored, definition, files_below, rows as some_rows, truncate,
};
use crate::job::{FailPoint, JobConfig, VerifyRow};
use crate::restore::RestoreObjects;

/// A store with a partitioned table and a small one, both with deleted rows where `deletes` says so.
fn fill(bed: &Bed) {
    bed.create_table("t", &[0, 100, 200, 300], 2);
    bed.load("t", &some_rows(0..300));
    bed.delete("t", &[1, 2, 3, 150]);
    bed.create_table("u", &[], 1);
    bed.load("u", &some_rows(0..50));
}

async fn verify(bed: &Bed, label: Option<&str>, depth: Depth) -> VerifyRow {
    let id = bed.runner.submit_verify(spec(label, depth)).await.expect("the verification is accepted");
    bed.ended(id).await;
    row(bed, id)
}

fn spec(label: Option<&str>, depth: Depth) -> VerifySpec {
    VerifySpec {
        repository: crate::job::bed::REPOSITORY.into(),
        snapshot: label.map(|label| WantedSnapshot { label: label.into(), timestamp: None }),
        properties: VerifyProperties { depth, ..VerifyProperties::default() },
    }
}

fn row(bed: &Bed, id: JobId) -> VerifyRow {
    bed.runner.verify_rows(None).unwrap().into_iter().find(|row| row.job_id == id).expect("a verification")
}

fn findings(bed: &Bed, row: &VerifyRow) -> Vec<FindingRow> {
    bed.storage.catalog().read(|read| read.findings(row.job_id)).unwrap()
}

/// Files of the repository below a prefix.
fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    files_below(&dir.join("repository/ebla").join(prefix))
}

fn extension(files: Vec<PathBuf>, wanted: &str) -> Vec<PathBuf> {
    files.into_iter().filter(|path| path.extension().is_some_and(|found| found == wanted)).collect()
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let (left, right) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    std::fs::write(one, right).unwrap();
    std::fs::write(other, left).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_depth_finds_what_it_looks_for() {
    let (dir, bed) = Bed::temporary().await;
    fill(&bed);
    assert_backed_up(&bed.backup("s").await);
    let objects = (files(dir.path(), "objects").len(), files(dir.path(), "trees").len());
    for depth in Depth::ALL {
        for label in [None, Some("s")] {
            let row = verify(&bed, label, depth).await;
            assert_eq!((row.state.as_str(), row.status.to_string().as_str()), ("FINISHED", "[OK]"), "{row:?}");
            let VerifyCounts { objects: seen, tree_objects, errors, unreferenced, foreign, bytes, .. } = row.counts;
            assert_eq!((seen as usize, tree_objects as usize), (objects.0, objects.1 + 1), "{row:?}");
            assert_eq!((errors, unreferenced, foreign), (0, 0, 0), "{row:?}");
            assert_eq!(bytes > 0, depth >= Depth::Digest);
        }
    }

    let segments = extension(files(dir.path(), "objects"), "parquet");
    let [missing, short, flipped, ..] = segments.as_slice() else { panic!("some segments") };
    std::fs::remove_file(missing).unwrap();
    truncate(short);
    flip(flipped);
    let keys = |problem: Option<Problem>, row: &VerifyRow| -> Vec<String> {
        let found =
            findings(&bed, row).into_iter().filter(|found| problem.is_none_or(|problem| found.problem == problem));
        found.map(|found| found.object_key.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    for (depth, errors) in [(Depth::Exists, 1), (Depth::Length, 2), (Depth::Digest, 3), (Depth::Rows, 3)] {
        for label in [None, Some("s")] {
            let row = verify(&bed, label, depth).await;
            assert_eq!((row.state.as_str(), row.counts.errors), ("FINISHED", errors), "{row:?}");
            assert_eq!(keys(Some(Problem::Missing), &row), [name(missing)]);
            if depth >= Depth::Length {
                assert_eq!(keys(Some(Problem::Length), &row), [name(short)]);
            }
            if depth >= Depth::Digest {
                assert_eq!(keys(Some(Problem::Digest), &row), [name(flipped)]);
            }
            for found in findings(&bed, &row) {
                assert_eq!(found.snapshots, 1, "{found:?}");
                assert!(found.needed_by.starts_with("s (20"), "{found:?}");
                assert!(found.held_by == "d.t" || found.held_by == "d.u", "{found:?}");
            }
            let status = row.status.to_string();
            assert!(status.starts_with(&format!("[BAD_FILE, msg: {errors} of ")), "{status}");
            assert!(status.contains("the next BACKUP of d puts them again"), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_backup_puts_again_what_was_found_damaged() {
    let (dir, bed) = Bed::temporary().await;
    fill(&bed);
    assert_backed_up(&bed.backup("one").await);
    let segments = extension(files(dir.path(), "objects"), "parquet");
    let vectors = extension(files(dir.path(), "objects"), "dv");
    let nodes = files(dir.path(), "trees");
    std::fs::remove_file(&segments[0]).unwrap();
    truncate(&segments[1]);
    flip(&segments[2]);
    swap(&vectors[0], &vectors[1]);
    flip(&nodes[0]);
    std::fs::remove_file(&nodes[1]).unwrap();
    // A flipped node hides what it refers to; so does a missing one. Look, mend the tree, look again.
    let row = verify(&bed, None, Depth::Digest).await;
    assert!(row.counts.errors >= 2, "{row:?}");
    assert_backed_up(&bed.backup("two").await);
    verify(&bed, None, Depth::Digest).await;
    assert_backed_up(&bed.backup("three").await);
    let row = verify(&bed, None, Depth::Rows).await;
    assert_eq!((row.counts.errors, row.status.to_string().as_str()), (0, "[OK]"), "{row:?}");
    assert!(row.counts.mended >= 4, "truncated, flipped and swapped ones are read from their copies: {row:?}");
    assert!(!files(dir.path(), "mended/objects").is_empty() && !files(dir.path(), "mended/trees").is_empty());
    let damage = bed.storage.catalog().read(|read| read.damage(RepositoryId(repository_id(&bed)))).unwrap();
    assert!(damage.is_empty(), "{damage:?}");

    // Every snapshot restores, also where nothing can be linked.
    let expected = (bed.rows("t"), bed.rows("u"));
    for label in ["one", "three"] {
        let other = dir.path().join(format!("other-{label}"));
        let other = Bed::open(&other, &dir.path().join("repository"), 1).await;
        assert_restored(&other.restore_of(label, RestoreObjects::All).await);
        assert_eq!((other.rows("t"), other.rows("u")), expected);
        other.close().await;
    }

    // With nothing damaged any more a backup asks for as little as ever.
    let before = bed.repository().await.counts();
    assert_backed_up(&bed.backup("four").await);
    let after = bed.repository().await.counts();
    assert!(after.calls() - before.calls() <= 10, "{after:?}");
}

/// The labels of snapshots that are known to be damaged, with how many objects each lacks.
fn damaged(bed: &Bed) -> Vec<(String, u64)> {
    let damaged = bed.storage.catalog().read(|read| {
        let row = read.find_repository(crate::job::bed::REPOSITORY)?.expect("the repository");
        read.damaged_snapshots(&row.identity, None)
    });
    damaged.unwrap().into_iter().map(|((label, _), damage)| (label, damage.objects)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_damaged_is_said_of_the_snapshots_that_need_it_until_it_is_whole() {
    let (dir, bed) = Bed::temporary().await;
    fill(&bed);
    assert_backed_up(&bed.backup("one").await);
    let before = files(dir.path(), "objects");
    bed.create_table("v", &[], 1);
    bed.load("v", &some_rows(0..10));
    assert_backed_up(&bed.backup("two").await);
    let of_two: Vec<PathBuf> = files(dir.path(), "objects").into_iter().filter(|path| !before.contains(path)).collect();
    let [object] = of_two.as_slice() else { panic!("one new segment: {of_two:?}") };
    let two = || vec![("two".to_owned(), 1)];

    flip(object);
    verify(&bed, None, Depth::Length).await;
    assert_eq!(damaged(&bed), [], "its length is right");
    verify(&bed, None, Depth::Digest).await;
    assert_eq!(damaged(&bed), two());
    verify(&bed, Some("two"), Depth::Length).await;
    verify(&bed, Some("one"), Depth::Rows).await;
    assert_eq!(damaged(&bed), two(), "nobody has looked at it again");
    flip(object);
    verify(&bed, Some("two"), Depth::Digest).await;
    assert_eq!(damaged(&bed), []);

    // What lies below a node that cannot be read has not been looked at.
    flip(object);
    verify(&bed, None, Depth::Digest).await;
    let commit = files(dir.path(), "snapshots/two").remove(0);
    flip(&commit);
    verify(&bed, Some("two"), Depth::Digest).await;
    assert_eq!(damaged(&bed), [("two".to_owned(), 2)]);
    flip(&commit);
    flip(object);
    verify(&bed, Some("two"), Depth::Digest).await;
    assert_eq!(damaged(&bed), []);

    // A commit object is of its own snapshot alone; what both need is missed by both.
    flip(&commit);
    verify(&bed, None, Depth::Exists).await;
    assert_eq!(damaged(&bed), two());
    flip(&commit);
    std::fs::remove_file(&before[0]).unwrap();
    verify(&bed, None, Depth::Exists).await;
    assert_eq!(damaged(&bed), [("one".to_owned(), 1), ("two".to_owned(), 1)]);
    assert_backed_up(&bed.backup("three").await);
    assert_eq!(damaged(&bed), [], "the backup has put it again");
}

fn repository_id(bed: &Bed) -> i64 {
    let row = bed.storage.catalog().read(|read| read.find_repository(crate::job::bed::REPOSITORY)).unwrap();
    row.unwrap().id.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_refers_to_is_counted_and_what_is_foreign_is_named() {
    let (dir, bed) = Bed::temporary().await;
    fill(&bed);
    assert_backed_up(&bed.backup("one").await);
    bed.create_table("v", &[], 1);
    bed.load("v", &some_rows(0..10));
    assert_backed_up(&bed.backup_of("two", BackupObjects::All).await);
    let two = files(dir.path(), "snapshots/two");
    std::fs::remove_file(&two[0]).unwrap();
    let root = dir.path().join("repository/ebla");
    for known in ["writers/c-1.json", "garbage/1/mark.json.zst"] {
        std::fs::create_dir_all(root.join(known).parent().unwrap()).unwrap();
        std::fs::write(root.join(known), "x").unwrap();
    }
    std::fs::write(root.join("notes.txt"), "x").unwrap();
    std::fs::write(root.join("snapshots/one/notes.txt"), "x").unwrap();
    let row = verify(&bed, None, Depth::Digest).await;
    assert_eq!(row.status.to_string(), "[OK]", "{row:?}");
    // Of `two` its new table: a segment, a partition node, a table node.
    assert_eq!((row.counts.snapshots, row.counts.unreferenced, row.counts.foreign), (1, 3, 2), "{row:?}");
    assert!(row.counts.unreferenced_bytes > 0);
    let found: Vec<(String, Problem)> =
        findings(&bed, &row).into_iter().map(|found| (found.object_key, found.problem)).collect();
    assert_eq!(
        found,
        [
            ("ebla/notes.txt".to_owned(), Problem::Foreign),
            ("ebla/snapshots/one/notes.txt".to_owned(), Problem::Foreign)
        ]
    );

    // What stands above the objects is looked at as well.
    flip(&files(dir.path(), "snapshots/one")[0]);
    flip(&root.join("repository.json"));
    let row = verify(&bed, None, Depth::Exists).await;
    assert_eq!((row.counts.errors, row.counts.snapshots), (2, 0), "{row:?}");
    assert!(row.first_error.unwrap().starts_with("ebla/repository.json: digest, expected "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_cancelled_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let config = || JobConfig { verify_batch_objects_max: 2, ..JobConfig::default() };
    let open = async || {
        let bed = Bed::open_with(&dir.path().join("data"), 1, std::sync::Arc::new(crate::clock::SystemClock), config());
        let location = format!("file://{}", dir.path().join("repository").display());
        bed.add_repository(&location, crate::repository::Access::ReadWrite).await;
        bed
    };
    let bed = open().await;
    fill(&bed);
    assert_backed_up(&bed.backup("s").await);
    let mut objects = files(dir.path(), "objects");
    objects.sort_by_key(|path| path.file_name().unwrap().to_owned());
    flip(&objects[0]);

    bed.failpoints.arm(FailPoint::VerifyBatchStored, Action::Wait);
    let id = bed.runner.submit_verify(spec(None, Depth::Digest)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::VerifyBatchStored).await;
    assert_eq!(row(&bed, id).counts.objects, 2);
    assert_eq!(row(&bed, id).counts.errors, 1, "what was found is told while the job runs");
    let again = bed.runner.submit_verify(spec(Some("s"), Depth::Exists)).await.unwrap_err().to_string();
    assert!(again.starts_with("Can only run one verify job of a repository at same time. Running: job "), "{again}");
    assert_backed_up(&bed.backup("meanwhile").await);
    bed.close().await;

    let bed = open().await;
    // Whatever is flipped now among what was looked at is not looked at again.
    flip(&objects[1]);
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    let done = row(&bed, id);
    assert_eq!((done.counts.objects as usize, done.counts.errors), (objects.len(), 1), "{done:?}");
    assert_eq!(findings(&bed, &done)[0].snapshots, 2, "of both snapshots there are in the end");
    bed.assert_nothing_left();

    bed.failpoints.arm(FailPoint::VerifyBatchStored, Action::Wait);
    let id = bed.runner.submit_verify(spec(None, Depth::Rows)).await.unwrap();
    // The place itself was come to before, by the job that was resumed.
    let stored = async {
        while row(&bed, id).counts.objects == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), stored).await.expect("a batch is stored");
    bed.runner.cancel_verify(crate::job::bed::REPOSITORY).await.unwrap();
    bed.ended(id).await;
    let cancelled = row(&bed, id);
    // The backup in between has mended what was found before; what was found now stays.
    assert_eq!((cancelled.state.as_str(), cancelled.counts.errors), ("CANCELLED", 1), "{cancelled:?}");
    assert_eq!(cancelled.counts.mended, 1, "{cancelled:?}");
    assert_eq!(cancelled.status.to_string(), "[COMMON_ERROR, msg: user cancelled]");
    let none = bed.runner.cancel_verify(crate::job::bed::REPOSITORY).await.unwrap_err().to_string();
    assert_eq!(none, "No verify job of repository r is currently running");
    bed.assert_nothing_left();
    assert_eq!(bed.storage.catalog().read(|read| read.job(id)).unwrap().unwrap().kind, JobKind::Verify);
}

/// Goal: a segment whose digest is right and whose rows are wrong is told. Method: segments of a table looked at with
/// numbers and definitions that are not theirs.
#[test]
fn rows_are_counted_and_ordered() {
    let dir = tempfile::tempdir().unwrap();
    let definition = definition(false, 1);
    let schema = definition.to_arrow();
    let write = |name: &str, keys: &[i64]| {
        let path = dir.path().join(name);
        let batch = arrow_array::RecordBatch::try_new(
            std::sync::Arc::clone(&schema),
            vec![
                std::sync::Arc::new(arrow_array::Int64Array::from(keys.to_vec())),
                std::sync::Arc::new(arrow_array::StringArray::from_iter_values(keys.iter().map(|key| key.to_string()))),
            ],
        )
        .unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, std::sync::Arc::clone(&schema), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    };
    let gate = crate::job::Gate::default();
    let check = |path: &Path, rows: u64, definition: &crate::schema::TableDefinition| {
        let (digest, bytes) = Digest::of_file(path).unwrap();
        let object = crate::repository::ObjectRef { kind: FileKind::Segment, digest, bytes };
        rows::check(path, &object, census::Role::Segment { rows, definition: 0 }, Some(definition), &gate)
    };
    let sorted = write("sorted", &[1, 2, 2, 3]);
    assert_eq!(check(&sorted, 4, &definition), Ok(()));
    assert!(check(&sorted, 5, &definition).unwrap_err().contains("it has 4 rows, by the snapshot 5"));
    let unsorted = write("unsorted", &[1, 3, 2]);
    assert!(check(&unsorted, 3, &definition).unwrap_err().contains("not sorted"));
    let mut other = definition.clone();
    other.columns[0].data_type = crate::schema::DataType::Int;
    assert!(check(&sorted, 4, &other).unwrap_err().contains("in the table"));
    let torn = dir.path().join("torn");
    std::fs::write(&torn, b"PAR1 no parquet PAR1").unwrap();
    assert!(check(&torn, 4, &definition).unwrap_err().contains("no Parquet file"));

    let vector: roaring::RoaringBitmap = [1, 2].into_iter().collect();
    let (bytes, digest) = crate::segment::DeleteVector::encode(&vector);
    let path = dir.path().join("vector");
    std::fs::write(&path, &bytes).unwrap();
    let object = crate::repository::ObjectRef { kind: FileKind::DeleteVector, digest, bytes: bytes.len() as u64 };
    let check = |rows, of_rows| rows::check(&path, &object, census::Role::Deletes { rows, of_rows }, None, &gate);
    assert_eq!(check(2, 3), Ok(()));
    assert!(check(1, 3).unwrap_err().contains("deletes 2 rows"));
    assert!(check(2, 2).unwrap_err().contains("deletes row 2"));
    let problems: BTreeMap<&str, bool> = [
        ("missing", true),
        ("length", true),
        ("digest", true),
        ("content", false),
        ("newer", false),
        ("foreign", false),
    ]
    .into();
    for (text, damage) in problems {
        assert_eq!(text.parse::<Problem>().unwrap().is_damage(), damage, "{text}");
    }
}
