//! Backups through the job runner against a directory: what is uploaded, what is not, and what is refused.

use std::sync::Arc;

use super::*;
use crate::catalog::FileKind;
use crate::clock::{ManualClock, SystemClock};
use crate::job::bed::{
    Action, Bed, assert_backed_up, assert_restored, backup_spec, damage, files_below, restore_spec, rows, some_tables,
    truncate,
};
use crate::job::{JobConfig, decode_payload};
use crate::repository::Access;
use crate::repository::store::Operation;
use crate::restore::{RestoreObjects, RestoreSelection};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backup_says_what_it_did() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 2);
    bed.create_table("u", &[], 1);
    bed.load("t", &rows(0..150));
    bed.load("u", &rows(0..10));
    let row = bed.backup("monday").await;
    assert_backed_up(&row);
    assert_eq!(row.objects, "[d.t], [d.u]");
    assert_eq!(row.tables, ["t", "u"]);
    assert_eq!((row.totals.rows, row.totals.objects, row.totals.objects_uploaded), (160, 5, 5));
    assert!(
        row.totals.bytes > 0 && row.totals.bytes_uploaded == row.totals.bytes && row.totals.node_bytes_uploaded > 0
    );
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
    assert_eq!(bed.runner.backup_rows(Some("d")).unwrap(), std::slice::from_ref(&row));
    assert_eq!(bed.runner.backup_rows(None).unwrap(), [row]);
    assert_eq!(bed.runner.restore_rows(None).unwrap(), []);
}

/// Goal: a backup without changes costs the same few requests whatever the size. Method: count them.
#[tokio::test(flavor = "multi_thread")]
async fn without_changes_nothing_is_uploaded() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 4);
    bed.create_table("u", &[], 3);
    bed.load("t", &rows(0..100));
    bed.load("u", &rows(0..100));
    assert_backed_up(&bed.backup("first").await);
    let before = bed.repository().await.counts();
    let row = bed.backup("second").await;
    assert_backed_up(&row);
    let after = bed.repository().await.counts();
    assert_eq!((row.totals.objects_uploaded, row.totals.bytes_uploaded), (0, 0));
    assert!(after.calls() - before.calls() <= 6, "{} requests", after.calls() - before.calls());
    let puts = after.calls_of(Operation::Put) - before.calls_of(Operation::Put);
    assert_eq!(puts, 2, "the announcement and the commit object");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_load_uploads_its_files_alone() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 1_000, 2_000, 3_000], 2);
    bed.load("t", &rows(0..3_000));
    let first = bed.backup("first").await;
    bed.load("t", &rows(2_000..2_030));
    let before = bed.repository().await.counts();
    let second = bed.backup("second").await;
    assert_backed_up(&second);
    let after = bed.repository().await.counts();
    assert_eq!(second.totals.objects_uploaded, 2, "a segment in each bucket of one partition");
    assert!(second.totals.bytes_uploaded < first.totals.bytes_uploaded / 2);
    assert!(after.calls() - before.calls() <= 14, "{} requests", after.calls() - before.calls());
    bed.compact("t");
    let third = bed.backup("third").await;
    assert_eq!(third.totals.objects_uploaded, 2, "what compaction rewrote");
}

/// Goal: partial backups do not hide from each other. Method: a backup of one table lies between two of all.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_snapshot_holds_is_not_uploaded_again() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 4);
    bed.create_table("u", &[], 1);
    bed.load("t", &rows(0..100));
    bed.load("u", &rows(0..10));
    assert_backed_up(&bed.backup("all").await);
    assert_backed_up(&bed.backup_of("only_u", some_tables(&["u"])).await);
    let row = bed.backup("all_again").await;
    assert_backed_up(&row);
    assert_eq!(row.totals.objects_uploaded, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_can_be_named() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200, 300], 1);
    bed.load("t", &rows(0..300));
    let partitions = vec!["p0".into(), "P2".into()];
    let objects = BackupObjects::Tables(vec![TableSelection { table: "t".into(), partitions }]);
    let row = bed.backup_of("some", objects).await;
    assert_backed_up(&row);
    assert_eq!(row.objects, "[d.tPARTITIONS (p0, p2)]");
    assert_eq!(row.totals.rows, 200);
}

/// Goal: jobs go with their database when it is renamed, and one that takes its old name begins without them.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_follow_a_database_that_is_renamed() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..100));
    let done = bed.backup("x").await;
    let catalog = bed.storage.catalog();
    let database_of_last = |name: &str| {
        let last = catalog.read(|read| read.last_job(name)).unwrap();
        last.map(|job| (job.id, job.database))
    };
    catalog.write(|write| write.rename_database(write.database("d")?.id, "e")).unwrap();
    catalog.write(|write| write.create_database("d", &Default::default())).unwrap();
    assert_eq!(database_of_last("e"), Some((done.job_id, "e".to_owned())));
    assert_eq!(database_of_last("d"), None);
    let row = bed.backup_row(done.job_id);
    assert_eq!((row.database.as_str(), row.objects.as_str()), ("e", "[d.t]"), "the snapshot has it under its old name");
    let again = BackupSpec { database: "e".into(), ..backup_spec("y", BackupObjects::All) };
    let again = bed.runner.submit_backup(again).await.unwrap();
    bed.ended(again).await;
    assert_backed_up(&bed.backup_row(again));
}

#[tokio::test(flavor = "multi_thread")]
async fn submission_is_refused_in_the_known_words() {
    let (dir, bed) = Bed::temporary().await;
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
    assert_backed_up(&bed.backup("x").await);
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

/// Goal: an old snapshot that is beyond use keeps nobody from making a new one. Method: cut short, in turn, each node
/// that the next backup would look into, and the commit object; the new snapshot must restore elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_parent_is_no_obstacle() {
    for damaged in ["snapshots", "trees"] {
        let (dir, bed) = Bed::temporary().await;
        bed.create_table("t", &[0, 100, 200], 1);
        bed.load("t", &rows(0..200));
        assert_backed_up(&bed.backup("first").await);
        // The next process remembers no node that this one has put.
        bed.close().await;
        let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
        files_below(&dir.path().join("repository/ebla").join(damaged)).iter().for_each(|path| truncate(path));
        // Both partitions and the table change, so none of the damaged nodes is wanted again.
        bed.load("t", &rows(50..150));
        let row = bed.backup("second").await;
        assert_backed_up(&row);
        let other = Bed::open(&dir.path().join("other"), &dir.path().join("repository"), 1).await;
        assert_restored(&other.restore("second").await);
        assert_eq!(other.rows("t"), bed.rows("t"), "{damaged}");
    }
}

/// Goal: a resumed backup publishes nothing that refers to what another repository held. Method: put another one in its
/// place while no process looks after the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_replaced_meanwhile_gets_no_snapshot() {
    let (dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[], 1);
    bed.load("t", &rows(0..100));
    bed.failpoints.arm(FailPoint::StepBegins("UPLOAD_INFO"), Action::Wait);
    let id = bed.runner.submit_backup(backup_spec("x", BackupObjects::All)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::StepBegins("UPLOAD_INFO")).await;
    bed.close().await;
    let repository = dir.path().join("repository");
    std::fs::remove_dir_all(&repository).unwrap();
    Bed::open(&dir.path().join("stranger"), &repository, 1).await.close().await;
    let bed = Bed::open(&dir.path().join("data"), &repository, 1).await;
    assert_eq!(bed.ended(id).await.state, "CANCELLED");
    assert!(!repository.join("ebla/snapshots").exists() || files_below(&repository.join("ebla/snapshots")).is_empty());
    bed.assert_nothing_left();
}

/// Goal: a snapshot never refers to a node or a file that is known to be damaged. Method: cut everything short, forget
/// the parent, and back up the same data again: it is put beside what is damaged. When that is damaged as well, only
/// somebody who may delete can help.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_but_damaged_is_not_taken_for_whole() {
    for damaged in ["trees", "objects"] {
        let (dir, bed) = Bed::temporary().await;
        bed.create_table("t", &[], 1);
        bed.load("t", &rows(0..100));
        assert_backed_up(&bed.backup("first").await);
        let repository = dir.path().join("repository/ebla");
        let forget =
            || files_below(&repository.join("snapshots")).iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let (originals, copies) = (repository.join(damaged), repository.join("mended").join(damaged));
        forget();
        files_below(&originals).iter().for_each(|path| truncate(path));
        assert_backed_up(&bed.backup("second").await);
        assert_eq!(files_below(&copies).len(), files_below(&originals).len());
        let other = Bed::open(&dir.path().join("other"), &dir.path().join("repository"), 1).await;
        assert_restored(&other.restore("second").await);
        assert_eq!(other.rows("t"), bed.rows("t"));
        other.close().await;

        forget();
        files_below(&copies).iter().for_each(|path| truncate(path));
        let row = bed.backup("third").await;
        let status = row.status.to_string();
        assert_eq!(row.state, "CANCELLED");
        assert!(status.starts_with("[BAD_FILE, msg: object 'ebla/") && status.contains("remove both"), "{status}");
        assert_eq!(bed.repository().await.list_snapshots().await.unwrap().snapshots, []);
        bed.assert_nothing_left();
        // As the message says: remove both, and it is put again.
        for path in files_below(&originals).into_iter().chain(files_below(&copies)) {
            std::fs::remove_file(path).unwrap();
        }
        assert_backed_up(&bed.backup("fourth").await);
    }
}

/// Goal: two clusters that write one label at one time hurt neither. Method: stop both before they publish; once with
/// the same clock to the millisecond, where one must lose and say so, once with another.
#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_may_write_one_label_at_one_time() {
    for between_ms in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let location = format!("file://{}", dir.path().join("repository").display());
        let mut beds = Vec::new();
        let mut jobs = Vec::new();
        for (number, keys) in [(0, 0..10), (1, 10..30)] {
            let clock = ManualClock::at(1_700_000_000_000 + number * between_ms);
            let bed = Bed::open_with(&dir.path().join(number.to_string()), 1, clock, JobConfig::default());
            bed.add_repository(&location, Access::ReadWrite).await;
            bed.create_table("t", &[], 1);
            bed.load("t", &rows(keys));
            bed.failpoints.arm(FailPoint::BackupBeforeCommit, Action::Wait);
            jobs.push(bed.runner.submit_backup(backup_spec("nightly", BackupObjects::All)).await.unwrap());
            bed.failpoints.wait_for(FailPoint::BackupBeforeCommit).await;
            beds.push(bed);
        }
        let mut ended = Vec::new();
        for (bed, id) in beds.iter().zip(jobs) {
            bed.failpoints.disarm();
            bed.ended(id).await;
            ended.push(bed.backup_row(id));
        }
        let listed = beds[0].repository().await.list_snapshots().await.unwrap().snapshots;
        assert_backed_up(&ended[0]);
        if between_ms == 0 {
            assert_eq!((ended[1].state.as_str(), listed.len()), ("CANCELLED", 1));
            assert!(ended[1].status.to_string().contains("already exist"), "{}", ended[1].status);
        } else {
            assert_backed_up(&ended[1]);
            assert_eq!(listed.len(), 2);
        }
        for (snapshot, source) in listed.iter().zip(&beds) {
            let mut spec = restore_spec("nightly", RestoreObjects::All);
            spec.properties.backup_timestamp = Some(snapshot.timestamp.to_string());
            spec.database = Some(format!("of {}", snapshot.timestamp));
            let id = beds[0].runner.submit_restore(spec).await.unwrap();
            beds[0].ended(id).await;
            let row = beds[0].restore_row(id);
            assert_restored(&row);
            assert_eq!(beds[0].rows_in(&row.database, "t"), source.rows("t"));
        }
    }
}

/// Goal: a clock that goes back costs nothing and confuses nobody. Method: set it back an hour between backups.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_changes_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(1_700_000_000_000);
    let bed = Bed::open_with(&dir.path().join("data"), 1, clock.clone(), JobConfig::default());
    bed.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadWrite).await;
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..50));
    assert_backed_up(&bed.backup("monday").await);
    clock.advance_ms(-3_600_000);
    bed.load("t", &rows(50..60));
    let earlier = bed.backup("tuesday").await;
    assert_backed_up(&earlier);
    assert_eq!(earlier.totals.objects_uploaded, 1, "what monday has is not sent again");
    let again = bed.backup("wednesday").await;
    assert_backed_up(&again);
    assert_eq!(again.totals.objects_uploaded, 0);
    let expected = bed.rows("t");
    bed.drop_table("t");
    assert_restored(&bed.restore("tuesday").await);
    assert_eq!(bed.rows("t"), expected);
    bed.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_may_be_wanted_and_of_one_only_a_part() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 1);
    bed.create_table("u", &[], 1);
    bed.load("t", &rows(0..200));
    bed.load("u", &rows(0..10));
    let some = |table: &str, partitions: &[&str]| {
        let partitions = partitions.iter().map(|name| name.to_string()).collect();
        BackupObjects::AllWith(vec![TableSelection { table: table.into(), partitions }])
    };
    let row = bed.backup_of("x", some("t", &["p1"])).await;
    assert_backed_up(&row);
    assert_eq!((row.objects.as_str(), row.totals.rows), ("[d.tPARTITIONS (p1)], [d.u]", 110));
    let refused = bed.runner.submit_backup(backup_spec("y", some("nope", &[]))).await.unwrap_err();
    assert_eq!(refused.to_string(), "table 'nope' does not exist");
    let alias = RestoreSelection { alias: Some("v".into()), ..RestoreSelection::whole("t") };
    let row = bed.restore_of("x", RestoreObjects::AllWith(vec![alias])).await;
    assert_restored(&row);
    assert_eq!((bed.rows("t").len(), bed.rows("v").len(), bed.rows("u").len()), (200, 100, 10));
    let clash = RestoreSelection { alias: Some("u".into()), ..RestoreSelection::whole("t") };
    let spec = restore_spec("x", RestoreObjects::AllWith(vec![clash]));
    let refused = bed.runner.submit_restore(spec).await.unwrap_err();
    assert_eq!(refused.to_string(), "Duplicated alias name: u");
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
    assert_backed_up(&bed.backup("first").await);
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
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[], 1);
    bed.load("t", &rows(0..100));
    bed.failpoints.arm(FailPoint::BackupBeforeCommit, Action::Fail);
    let row = bed.backup("x").await;
    assert_eq!(row.state, "CANCELLED");
    assert!(row.status.to_string().starts_with("[COMMON_ERROR, msg: internal error: failed on purpose"));
    bed.failpoints.disarm();
    assert_backed_up(&bed.backup("x").await);
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
