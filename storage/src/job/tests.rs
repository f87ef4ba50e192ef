//! Jobs that are cancelled, run out of time or are interrupted: in every state, of both kinds. What becomes of jobs
//! whose process dies is played in `failpoint/tests.rs`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backup::BackupObjects;
use crate::catalog::JobKind;
use crate::clock::{ManualClock, SystemClock};
use crate::ids::JobId;
use crate::job::bed::{Action, Bed, DATABASE, Row, backup_spec, restore_spec, rows};
use crate::job::{FailPoint, JobConfig};
use crate::repository::Access;
use crate::repository::store::tests::servers;
use crate::restore::RestoreObjects;

/// Every place of a backup, in order.
const BACKUP_POINTS: [FailPoint; 10] = [
    FailPoint::StepBegins("PENDING"),
    FailPoint::StepBegins("SNAPSHOTING"),
    FailPoint::BackupPinned,
    FailPoint::StepBegins("UPLOAD_SNAPSHOT"),
    FailPoint::StepBegins("UPLOADING"),
    FailPoint::BackupFileUploaded,
    FailPoint::StepBegins("SAVE_META"),
    FailPoint::StepBegins("UPLOAD_INFO"),
    FailPoint::BackupBeforeCommit,
    FailPoint::BackupAfterCommit,
];

/// Every place of a restore, in order.
const RESTORE_POINTS: [FailPoint; 11] = [
    FailPoint::StepBegins("PENDING"),
    FailPoint::RestorePlanned,
    FailPoint::StepBegins("SNAPSHOTING"),
    FailPoint::RestoreHidden,
    FailPoint::StepBegins("DOWNLOAD"),
    FailPoint::StepBegins("DOWNLOADING"),
    FailPoint::RestoreFileFetched,
    FailPoint::StepBegins("COMMIT"),
    FailPoint::StepBegins("COMMITTING"),
    FailPoint::RestoreBeforeCommit,
    FailPoint::RestoreAfterCommit,
];

/// What is in the table when a backup begins.
fn before() -> Vec<Row> {
    rows(0..300)
}

/// A store with a table that is to be backed up.
async fn backup_bed(dir: &Path) -> Bed {
    let bed = Bed::open(&dir.join("data"), &dir.join("repository"), 1).await;
    bed.create_table("t", &[0, 100, 200, 300], 1);
    bed.load("t", &before());
    bed
}

/// A store with an older table and a snapshot, from another store, to restore over it: nothing can be linked.
async fn restore_bed(dir: &Path) -> Bed {
    let source = Bed::open(&dir.join("source"), &dir.join("repository"), 1).await;
    source.create_table("t", &[0, 100, 200, 300], 1);
    source.load("t", &before());
    assert_eq!(source.backup("x").await.state, "FINISHED");
    source.close().await;
    let bed = Bed::open(&dir.join("data"), &dir.join("repository"), 1).await;
    bed.create_table("t", &[0, 100, 200, 300], 1);
    bed.load("t", &rows(0..5));
    bed
}

async fn submit(bed: &Bed, kind: JobKind) -> JobId {
    match kind {
        JobKind::Backup => bed.runner.submit_backup(backup_spec("x", BackupObjects::All)).await.unwrap(),
        JobKind::Restore => bed.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap(),
        JobKind::Verify => unreachable!("verify has tests of its own"),
    }
}

/// Looks whether a job that ended well did what it should.
async fn assert_done(bed: &Bed, dir: &Path, kind: JobKind) {
    bed.assert_nothing_left();
    match kind {
        JobKind::Restore => assert_eq!(sorted(bed.rows("t")), sorted(before())),
        JobKind::Verify => unreachable!("verify has tests of its own"),
        JobKind::Backup => {
            let other = Bed::open(&dir.join("other"), &dir.join("repository"), 1).await;
            assert_eq!(other.restore("x").await.state, "FINISHED");
            assert_eq!(sorted(other.rows("t")), sorted(before()), "the snapshot is that of its cut");
        }
    }
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn points(kind: JobKind) -> &'static [FailPoint] {
    match kind {
        JobKind::Backup => &BACKUP_POINTS,
        JobKind::Restore => &RESTORE_POINTS,
        JobKind::Verify => unreachable!("verify has tests of its own"),
    }
}

async fn bed_of(kind: JobKind, dir: &Path) -> Bed {
    match kind {
        JobKind::Backup => backup_bed(dir).await,
        JobKind::Restore => restore_bed(dir).await,
        JobKind::Verify => unreachable!("verify has tests of its own"),
    }
}

/// Goal: a job resumes at every place when the server ends and starts again. Method: end it there; load more rows in
/// between, which a cut that was taken must not see.
async fn resumes_everywhere(kind: JobKind) {
    for point in points(kind).iter().copied() {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_of(kind, dir.path()).await;
        bed.failpoints.arm(point, Action::Wait);
        let id = submit(&bed, kind).await;
        bed.failpoints.wait_for(point).await;
        let cut = bed.storage.catalog().read(|read| read.job(id)).unwrap().unwrap().state;
        if kind == JobKind::Backup && !["PENDING", "SNAPSHOTING"].contains(&cut.as_str()) {
            bed.load("t", &rows(0..50));
            bed.compact("t");
            bed.storage.collect_garbage().unwrap();
        }
        // A job that is past its commit point does not let itself be stopped: the server is killed there instead.
        let committing = matches!(point, FailPoint::BackupAfterCommit | FailPoint::RestoreAfterCommit);
        if committing {
            bed.failpoints.disarm();
        }
        bed.close().await;
        let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
        let row = bed.ended(id).await;
        assert_eq!(row.state, "FINISHED", "{point:?}: {}", row.payload);
        assert_done(&bed, dir.path(), kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_resumes_everywhere() {
    resumes_everywhere(JobKind::Backup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_resumes_everywhere() {
    resumes_everywhere(JobKind::Restore).await;
}

/// Goal: CANCEL is prompt and clean at every place, or says that it is too late. Method: cancel there.
async fn cancels_everywhere(kind: JobKind) {
    for point in points(kind).iter().copied() {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_of(kind, dir.path()).await;
        let old = bed.rows("t");
        bed.failpoints.arm(point, Action::Wait);
        let id = submit(&bed, kind).await;
        bed.failpoints.wait_for(point).await;
        // The job would stand at this place for ever, so a cancel that waits for it does not come back.
        let cancelled = tokio::time::timeout(Duration::from_secs(60), bed.runner.cancel(kind, DATABASE)).await;
        let cancelled = cancelled.unwrap_or_else(|_| panic!("{point:?}: CANCEL waits for the job"));
        if matches!(point, FailPoint::BackupAfterCommit | FailPoint::RestoreAfterCommit) {
            let error = cancelled.unwrap_err().to_string();
            assert!(error.starts_with("Failed to cancel job: Job with label x can not be cancelled."), "{error}");
            bed.failpoints.disarm();
            assert_eq!(bed.ended(id).await.state, "FINISHED");
            continue;
        }
        cancelled.unwrap();
        let row = bed.ended(id).await;
        assert_eq!(row.state, "CANCELLED", "{point:?}");
        let status = match kind {
            JobKind::Backup => bed.backup_row(id).status.to_string(),
            JobKind::Restore => bed.restore_row(id).status.to_string(),
            JobKind::Verify => unreachable!("verify has tests of its own"),
        };
        let words = match kind {
            JobKind::Backup => "[COMMON_ERROR, msg: user cancelled]".to_owned(),
            JobKind::Restore => "[COMMON_ERROR, msg: user cancelled, current state: ".to_owned(),
            JobKind::Verify => unreachable!("verify has tests of its own"),
        };
        assert!(status.starts_with(&words), "{status}");
        bed.assert_nothing_left();
        assert_eq!(bed.rows("t"), old, "{point:?}");
        // Nothing stands in the way of doing it again.
        bed.failpoints.disarm();
        let id = submit(&bed, kind).await;
        assert_eq!(bed.ended(id).await.state, "FINISHED", "{point:?}");
        assert_done(&bed, dir.path(), kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_cancelled_everywhere() {
    cancels_everywhere(JobKind::Backup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_cancelled_everywhere() {
    cancels_everywhere(JobKind::Restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let bed = backup_bed(dir.path()).await;
    let cancel = async |kind| bed.runner.cancel(kind, DATABASE).await.unwrap_err().to_string();
    assert_eq!(cancel(JobKind::Backup).await, "No backup job is currently running");
    assert_eq!(cancel(JobKind::Restore).await, "No restore is currently running");
    bed.backup("x").await;
    assert_eq!(
        cancel(JobKind::Backup).await,
        "Failed to cancel job: Job with label x can not be cancelled. state: FINISHED"
    );
    assert_eq!(cancel(JobKind::Restore).await, "No restore is currently running");
}

/// Goal: a job whose row does not read ends, frees its database, and leaves nothing. Method: spoil the row of a restore
/// that has hidden tables, and of a backup that has pins, and start again.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_read_is_ended_with_all_it_made() {
    for (kind, point) in
        [(JobKind::Restore, FailPoint::StepBegins("COMMIT")), (JobKind::Backup, FailPoint::StepBegins("UPLOADING"))]
    {
        let dir = tempfile::tempdir().unwrap();
        let bed = bed_of(kind, dir.path()).await;
        let old = bed.rows("t");
        bed.failpoints.arm(point, Action::Wait);
        let id = submit(&bed, kind).await;
        bed.failpoints.wait_for(point).await;
        bed.storage
            .catalog()
            .write(|write| {
                let row = write.job(id)?.expect("the job");
                write.update_job(id, &row.state, "{\"format_version\":99}", false)
            })
            .unwrap();
        bed.close().await;
        let bed = Bed::open(&dir.path().join("data"), &dir.path().join("repository"), 1).await;
        assert_eq!(bed.ended(id).await.state, "CANCELLED");
        bed.storage.collect_garbage().unwrap();
        bed.assert_nothing_left();
        assert_eq!(bed.rows("t"), old);
        let id = submit(&bed, kind).await;
        assert_eq!(bed.ended(id).await.state, "FINISHED");
        assert_done(&bed, dir.path(), kind).await;
    }
}

/// Goal: the timeout counts from the submission and ends a job wherever it is. Method: a clock that is moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_cancelled() {
    for point in [FailPoint::StepBegins("PENDING"), FailPoint::BackupFileUploaded] {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(1_700_000_000_000);
        let bed = Bed::open_with(&dir.path().join("data"), 1, clock.clone(), JobConfig::default());
        bed.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadWrite).await;
        bed.create_table("t", &[], 1);
        bed.load("t", &rows(0..10));
        bed.failpoints.arm(point, Action::Wait);
        let mut spec = backup_spec("x", BackupObjects::All);
        spec.properties.timeout_ms = 600_000;
        let id = bed.runner.submit_backup(spec).await.unwrap();
        bed.failpoints.wait_for(point).await;
        clock.advance_ms(599_999);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(bed.backup_row(id).finished_at_ms.is_none());
        clock.advance_ms(2);
        assert_eq!(bed.ended(id).await.state, "CANCELLED");
        let status = bed.backup_row(id).status.to_string();
        assert!(status.starts_with("[TIMEOUT, msg: backup job with label: x timeout"), "{status}");
        bed.assert_nothing_left();
    }
}

/// Goal: history is bounded while the server runs. Method: backups an hour apart, more of them than are kept, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_are_forgotten_while_others_end() {
    const HOUR_MS: i64 = 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(1_700_000_000_000);
    let jobs = JobConfig { history_keep: Duration::from_secs(5 * 3_600), history_jobs_min: 2, ..JobConfig::default() };
    let bed = Bed::open_with(&dir.path().join("data"), 1, clock.clone(), jobs);
    bed.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadWrite).await;
    bed.create_table("t", &[], 1);
    for number in 0..12 {
        clock.advance_ms(HOUR_MS);
        assert_eq!(bed.backup(&format!("x{number}")).await.state, "FINISHED");
    }
    // Those of the last five hours, the one that ended just now among them.
    assert_eq!(bed.runner.backup_history().unwrap().len(), 5);
    clock.advance_ms(100 * HOUR_MS);
    assert_eq!(bed.backup("last").await.state, "FINISHED");
    assert_eq!(bed.runner.backup_history().unwrap().len(), 2);
}

/// Goal: progress is told while bytes move. Method: look in the middle of an upload.
#[tokio::test(flavor = "multi_thread")]
async fn progress_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let bed = backup_bed(dir.path()).await;
    bed.failpoints.arm(FailPoint::BackupFileUploaded, Action::Wait);
    let id = submit(&bed, JobKind::Backup).await;
    bed.failpoints.wait_for(FailPoint::BackupFileUploaded).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let row = bed.backup_row(id);
    assert_eq!(row.state, "UPLOADING");
    assert_eq!(row.unfinished_tasks, format!("{id}=10000"));
    let words = format!("[ task id: {id} -> finished part:3/ total number of subtasks:3, ");
    assert!(row.progress.starts_with(&words) && row.progress.contains("(100%)"), "{}", row.progress);
    assert!(row.snapshot_finished_at_ms.is_some() && row.upload_finished_at_ms.is_none());
    bed.failpoints.disarm();
    bed.ended(id).await;
}

/// Goal: different databases do not wait for each other. Method: one job stands still, another passes it.
#[tokio::test(flavor = "multi_thread")]
async fn databases_run_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let bed = backup_bed(dir.path()).await;
    bed.failpoints.arm(FailPoint::BackupPinned, Action::Wait);
    let standing = submit(&bed, JobKind::Backup).await;
    bed.failpoints.wait_for(FailPoint::BackupPinned).await;
    bed.storage.catalog().write(|write| write.create_database("e", &Default::default())).unwrap();
    let definition = crate::job::bed::definition(false, 1);
    bed.storage.create_table("e", "u", &definition, &[]).unwrap();
    let same_label = crate::backup::BackupSpec { database: "e".into(), ..backup_spec("x", BackupObjects::All) };
    let error = bed.runner.submit_backup(same_label.clone()).await.unwrap_err().to_string();
    assert_eq!(error, "Snapshot with name 'x' already exist in repository", "a running job has the label");
    // Let only jobs pass that come to the place from now on.
    bed.failpoints.forget();
    let passing = crate::backup::BackupSpec { label: "y".into(), ..same_label };
    let passing = bed.runner.submit_backup(passing).await.unwrap();
    assert_eq!(bed.ended(passing).await.state, "FINISHED");
    assert_eq!(bed.backup_row(standing).state, "SNAPSHOTING");
    bed.failpoints.disarm();
    assert_eq!(bed.ended(standing).await.state, "FINISHED");
}

/// Goal: the same story on S3. Method: a server in this process; backup, a load, an incremental backup, restore into
/// another store.
#[tokio::test(flavor = "multi_thread")]
async fn backup_and_restore_on_s3() {
    let (address, _root) = servers::in_process_s3().await;
    let properties = || servers::s3_properties(&format!("http://{address}"), servers::ACCESS_KEY, servers::SECRET_KEY);
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::open_with(&dir.path().join("data"), 1, Arc::new(SystemClock), JobConfig::default());
    bed.add_repository_with("s3a://bucket/backup", Access::ReadWrite, properties()).await;
    bed.create_table("t", &[0, 100, 200, 300], 2);
    bed.load("t", &before());
    assert_eq!(bed.backup("first").await.state, "FINISHED");
    bed.load("t", &rows(250..260));
    let expected = bed.rows("t");
    let requests = bed.repository().await.counts();
    let second = bed.backup("second").await;
    assert_eq!((second.state.as_str(), second.totals.objects_uploaded), ("FINISHED", 2), "{}", second.status);
    let requests = bed.repository().await.counts().calls() - requests.calls();
    assert!(requests <= 12, "{requests} requests");
    let requests = bed.repository().await.counts();
    let third = bed.backup("third").await;
    assert_eq!((third.state.as_str(), third.totals.bytes_uploaded), ("FINISHED", 0), "{}", third.status);
    let requests = bed.repository().await.counts().calls() - requests.calls();
    assert!(requests <= 10, "{requests} requests");

    let other = Bed::open_with(&dir.path().join("other"), 1, Arc::new(SystemClock), JobConfig::default());
    other.add_repository_with("s3://bucket/backup", Access::ReadOnly, properties()).await;
    let restored = other.restore("third").await;
    assert_eq!(restored.state, "FINISHED", "{}", restored.status);
    assert_eq!(other.rows("t"), expected);
    other.assert_nothing_left();
}
