//! Backups through the job runner against a directory: what is uploaded, what is not, and what is refused.

use std::sync::Arc;

use super::*;
use crate::catalog::FileKind;
use crate::clock::SystemClock;
use crate::job::bed::{Action, Bed, backup_spec, damage, rows, some_tables};
use crate::job::{BackupRow, decode_payload};
use crate::repository::Access;
use crate::repository::store::Operation;

fn assert_finished(row: &BackupRow) {
    assert_eq!((row.state.as_str(), row.status.to_string().as_str()), ("FINISHED", "[OK]"), "{row:?}");
}

async fn bed() -> (tempfile::TempDir, Bed) {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
    (dir, bed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_says_what_it_did() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[0, 100, 200], 2);
    bed.create_table("u", &[], 1);
    bed.load("t", &rows(0..150));
    bed.load("u", &rows(0..10));
    let row = bed.backup("monday").await;
    assert_finished(&row);
    assert_eq!(row.objects, "[d.t], [d.u]");
    assert_eq!(row.tables, ["t", "u"]);
    assert_eq!((row.totals.rows, row.totals.objects, row.totals.objects_uploaded), (160, 5, 5));
    assert!(row.totals.bytes > 0 && row.totals.bytes_uploaded > row.totals.bytes, "files and nodes");
    assert!(row.created_at_ms <= row.snapshot_finished_at_ms.unwrap());
    assert!(row.upload_finished_at_ms.unwrap() <= row.finished_at_ms.unwrap());
    assert_eq!((row.progress.as_str(), row.unfinished_tasks.as_str(), row.task_errors.as_str()), ("", "", ""));
    assert_eq!(row.timeout_s, 86_400);
    bed.assert_nothing_left();
    let repository = bed.repository().await;
    let listed = repository.list_snapshots().await.unwrap().snapshots;
    assert_eq!(listed.len(), 1);
    let manifest = repository.read_manifest("monday", &listed[0].timestamp).await.unwrap();
    assert_eq!(manifest.timestamp_ms, row.created_at_ms);
    assert_eq!((manifest.totals.rows, manifest.totals.partitions), (160, 3));
    assert_eq!(bed.runner.backup_rows(Some("d")).unwrap(), [row.clone()]);
    assert_eq!(bed.runner.backup_rows(None).unwrap(), [row]);
    assert_eq!(bed.runner.restore_rows(None).unwrap(), []);
}

/// Goal: a backup without changes costs the same few requests whatever the size. Method: count them.
#[tokio::test(flavor = "multi_thread")]
async fn without_changes_nothing_is_uploaded() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 4);
    bed.create_table("u", &[], 3);
    bed.load("t", &rows(0..100));
    bed.load("u", &rows(0..100));
    assert_finished(&bed.backup("first").await);
    let before = bed.repository().await.counts();
    let row = bed.backup("second").await;
    assert_finished(&row);
    let after = bed.repository().await.counts();
    assert_eq!((row.totals.objects_uploaded, row.totals.bytes_uploaded), (0, 0));
    assert!(after.calls() - before.calls() <= 4, "{} requests", after.calls() - before.calls());
    assert_eq!(after.calls_of(Operation::Put) - before.calls_of(Operation::Put), 1, "the commit object alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_load_uploads_its_files_alone() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[0, 1_000, 2_000, 3_000], 2);
    bed.load("t", &rows(0..3_000));
    let first = bed.backup("first").await;
    bed.load("t", &rows(2_000..2_030));
    let before = bed.repository().await.counts();
    let second = bed.backup("second").await;
    assert_finished(&second);
    let after = bed.repository().await.counts();
    assert_eq!(second.totals.objects_uploaded, 2, "a segment in each bucket of one partition");
    assert!(second.totals.bytes_uploaded < first.totals.bytes_uploaded / 2);
    assert!(after.calls() - before.calls() <= 12, "{} requests", after.calls() - before.calls());
    bed.compact("t");
    let third = bed.backup("third").await;
    assert_eq!(third.totals.objects_uploaded, 2, "what compaction rewrote");
}

/// Goal: partial backups do not hide from each other. Method: a backup of one table lies between two of all.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_snapshot_holds_is_not_uploaded_again() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 4);
    bed.create_table("u", &[], 1);
    bed.load("t", &rows(0..100));
    bed.load("u", &rows(0..10));
    assert_finished(&bed.backup("all").await);
    assert_finished(&bed.backup_of("only_u", some_tables(&["u"])).await);
    let row = bed.backup("all_again").await;
    assert_finished(&row);
    assert_eq!(row.totals.objects_uploaded, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_can_be_named() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[0, 100, 200, 300], 1);
    bed.load("t", &rows(0..300));
    let partitions = vec!["p0".into(), "P2".into()];
    let objects = BackupObjects::Tables(vec![TableSelection { table: "t".into(), partitions }]);
    let row = bed.backup_of("some", objects).await;
    assert_finished(&row);
    assert_eq!(row.objects, "[d.tPARTITIONS (p0, P2)]");
    assert_eq!(row.totals.rows, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn submission_is_refused_in_the_known_words() {
    let (dir, bed) = bed().await;
    let refuse = async |spec: BackupSpec, words: &str| {
        let error = bed.runner.submit_backup(spec).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    refuse(backup_spec("x", BackupObjects::All), "Database: d is empty").await;
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..100));
    let partition = |name: &str| {
        BackupObjects::Tables(vec![TableSelection { table: "t".into(), partitions: vec![name.to_owned()] }])
    };
    let spec = |repository: &str, database: &str| BackupSpec {
        repository: repository.into(),
        database: database.into(),
        ..backup_spec("x", BackupObjects::All)
    };
    refuse(spec("nowhere", "d"), "Repository [nowhere] does not exist").await;
    refuse(spec("r", "nowhere"), "database 'nowhere' does not exist").await;
    refuse(backup_spec("x", some_tables(&["nope"])), "table 'nope' does not exist").await;
    refuse(backup_spec("x", some_tables(&["t", "t"])), "Duplicated table: t").await;
    refuse(backup_spec("x", partition("p9")), "partition[p9] does not exist  in tablet").await;
    refuse(backup_spec("", BackupObjects::All), "Incorrect label name ''").await;
    assert_finished(&bed.backup("x").await);
    refuse(backup_spec("x", BackupObjects::All), "Snapshot with name 'x' already exist in repository").await;
    bed.failpoints.arm(FailPoint::BackupPinned, Action::Wait);
    let id = bed.runner.submit_backup(backup_spec("y", BackupObjects::All)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::BackupPinned).await;
    let busy = "Can only run one backup or restore job of a database at same time";
    refuse(backup_spec("z", BackupObjects::All), busy).await;
    bed.failpoints.disarm();
    assert_eq!(bed.ended(id).await.state, "FINISHED");

    let other = Bed::open_with(&dir.path().join("other"), 1, Arc::new(SystemClock), Default::default());
    other.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadOnly).await;
    other.create_table("t", &[], 1);
    let error = other.runner.submit_backup(backup_spec("q", BackupObjects::All)).await.unwrap_err();
    assert_eq!(error.to_string(), "Repository r is read only");
}

/// Goal: bit rot is reported, not backed up, and another replica stands in. Method: damage copies one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_taken_from_another_replica_or_ends_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 2).await;
    bed.create_table("t", &[], 1);
    let state = bed.storage.table_snapshot("d", "t").unwrap().state().partitions[0].tablets[0].clone();
    let (tablet, only) = (state.tablet.id, state.replicas[0].root_id);
    let other = *bed.storage.roots().configured().iter().find(|root| **root != only).unwrap();
    bed.storage.catalog().write(|write| write.create_replica(tablet, other)).unwrap();
    let damage_last = |root| {
        let snapshot = bed.storage.table_snapshot("d", "t").unwrap();
        let tablet = &snapshot.state().partitions[0].tablets[0];
        let digest = tablet.rowsets.last().unwrap().segments[0].digest;
        damage(&bed.storage.roots().file_path(root, tablet.tablet.id, &digest, FileKind::Segment).unwrap());
    };
    bed.load("t", &rows(0..1_000));
    damage_last(only);
    assert_finished(&bed.backup("first").await);
    bed.load("t", &rows(1_000..2_000));
    damage_last(only);
    damage_last(other);
    let row = bed.backup("second").await;
    let status = row.status.to_string();
    assert_eq!(row.state, "CANCELLED");
    assert!(status.starts_with("[BAD_FILE, msg: ") && status.contains("table d.t"), "{status}");
    assert!(status.contains(&tablet.to_string()), "{status}");
    bed.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_free_again_when_its_job_was_cancelled() {
    let (_dir, bed) = bed().await;
    bed.create_table("t", &[], 1);
    bed.load("t", &rows(0..100));
    bed.failpoints.arm(FailPoint::BackupBeforeCommit, Action::Fail);
    let row = bed.backup("x").await;
    assert_eq!(row.state, "CANCELLED");
    assert!(row.status.to_string().starts_with("[COMMON_ERROR, msg: internal error: failed on purpose"));
    bed.failpoints.disarm();
    assert_finished(&bed.backup("x").await);
    bed.assert_nothing_left();
}

#[test]
fn objects_are_shown_as_starrocks_does() {
    let selection = |table: &str, partitions: &[&str]| TableSelection {
        table: table.into(),
        partitions: partitions.iter().map(|name| name.to_string()).collect(),
    };
    let job = BackupJob {
        state: BackupState::Pending,
        repository_id: RepositoryId(1),
        repository: "r".into(),
        database: "sr_hub".into(),
        label: "l".into(),
        timestamp: "2023-02-07-14-45-53-143".parse().unwrap(),
        objects: BackupObjects::All,
        shown: vec![selection("t1", &[]), selection("t2", &["p1", "p2"])],
        ttl: None,
        parents: Vec::new(),
        snapshot_finished_at_ms: None,
        upload_finished_at_ms: None,
        totals: BackupTotals::default(),
        publishing: false,
        status: JobStatus::OK,
    };
    assert_eq!(job.describe_objects(), "[sr_hub.t1], [sr_hub.t2PARTITIONS (p1, p2)]");
    let stored = encode_payload(&job).unwrap();
    assert_eq!(decode_payload::<BackupJob>(&stored).unwrap(), job);
    let newer = stored.replace("\"format_version\":1", "\"format_version\":2");
    assert!(decode_payload::<BackupJob>(&newer).unwrap_err().to_string().contains("newer version"));
}
