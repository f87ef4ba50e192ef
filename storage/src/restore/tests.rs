//! Restores through the job runner: what comes back, where it goes, what is refused, and what stays untouched.

mod hostile;
mod reserved;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::backup::{BackupObjects, TableSelection};
use crate::clock::SystemClock;
use crate::job::bed::{Action, Bed, assert_restored, damage, definition, files_below, restore_spec, rows, table_as};
use crate::repository::Access;
use crate::repository::store::Operation;
use crate::schema::{Column, DataType};

fn tables(selections: Vec<RestoreSelection>) -> RestoreObjects {
    RestoreObjects::Tables(selections)
}

fn partitions_of(table: &str, partitions: &[&str]) -> RestoreObjects {
    let partitions = partitions.iter().map(|name| name.to_string()).collect();
    tables(vec![RestoreSelection { partitions, ..RestoreSelection::whole(table) }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_comes_back_from_what_is_still_here() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 2);
    bed.load("t", &rows(0..200));
    bed.delete("t", &[3, 150]);
    let expected = bed.rows("t");
    bed.backup("x").await;
    bed.drop_table("t");
    let before = bed.repository().await.counts();
    let row = bed.restore("x").await;
    assert_restored(&row);
    assert_eq!(bed.rows("t"), expected);
    assert_eq!((row.objects.as_str(), row.allow_load, row.replication_num), ("t", false, 1));
    assert!(row.bytes_linked > 0 && row.bytes_downloaded == 0, "{row:?}");
    assert!(row.meta_prepared_at_ms.unwrap() <= row.snapshot_finished_at_ms.unwrap());
    assert!(row.download_finished_at_ms.unwrap() <= row.finished_at_ms.unwrap());
    let after = bed.repository().await.counts();
    assert_eq!(after.bytes_up(), before.bytes_up());
    bed.assert_nothing_left();
    // What was restored is the same tree: backing it up again uploads no file.
    let again = bed.backup("y").await;
    assert_eq!((again.state.as_str(), again.totals.objects_uploaded), ("FINISHED", 0));
    assert_eq!(bed.runner.restore_rows(Some("d")).unwrap(), [], "the last job is the backup");
    assert_eq!(bed.runner.restore_history().unwrap().len(), 1);
}

/// Goal: migration. Method: a second, empty store that knows only the repository; it has two storage roots.
#[tokio::test(flavor = "multi_thread")]
async fn another_store_restores_everything() {
    let (dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 2);
    bed.create_table("u", &[], 3);
    bed.create_table("empty", &[0, 10], 1);
    bed.load("t", &rows(0..200));
    bed.load("t", &rows(50..60));
    bed.load("u", &rows(0..30));
    bed.delete("u", &[7]);
    bed.backup("x").await;
    let other = Bed::open_with(&dir.path().join("other"), 2, Arc::new(SystemClock), Default::default());
    other.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadOnly).await;
    let id = {
        let spec = RestoreSpec { database: Some("new".into()), ..restore_spec("x", RestoreObjects::All) };
        other.runner.submit_restore(spec).await.unwrap()
    };
    other.ended(id).await;
    let row = other.restore_row(id);
    assert_restored(&row);
    assert_eq!((row.objects.as_str(), row.database.as_str()), ("empty, t, u", "new"));
    for table in ["t", "u", "empty"] {
        assert_eq!(other.rows_in("new", table), bed.rows(table), "{table}");
    }
    other.assert_nothing_left();
}

/// Goal: what is replaced, and what is not. Method: restore one of two changed partitions over the living table.
#[tokio::test(flavor = "multi_thread")]
async fn named_partitions_are_replaced_and_others_stay() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 1);
    bed.load("t", &rows(0..200));
    bed.backup("x").await;
    bed.delete("t", &(0..200).collect::<Vec<_>>());
    bed.load("t", &rows(90..110));
    let row = bed.restore_of("x", partitions_of("t", &["P0"])).await;
    assert_restored(&row);
    assert_eq!(row.objects, "t PARTITIONS [p0]");
    let mut expected = rows(0..100);
    expected.extend(rows(100..110));
    expected.sort();
    assert_eq!(bed.rows("t"), expected);
    bed.assert_nothing_left();
    // The replaced partition is kept for undo, and its name cannot be recovered over the new one.
    let left: i64 = bed
        .storage
        .catalog()
        .read(|read| {
            let sql = "SELECT count(*) FROM partitions WHERE dropped_at_ms IS NOT NULL AND NOT recoverable";
            Ok(read.query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_makes_another_table() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[], 1);
    bed.load("t", &rows(0..10));
    bed.backup("x").await;
    bed.load("t", &rows(10..20));
    let row = bed.restore_of("x", table_as("t", "copy")).await;
    assert_restored(&row);
    assert_eq!(row.objects, "t");
    assert_eq!((bed.rows("t"), bed.rows("copy")), (rows(0..20), rows(0..10)).sorted());
    let snapshot = bed.storage.table_snapshot("d", "copy").unwrap();
    assert_eq!(snapshot.state().partitions[0].partition.name, "copy");
    // Once more, over the existing copy of another name.
    bed.load("copy", &rows(50..60));
    assert_restored(&bed.restore_of("x", table_as("t", "copy")).await);
    assert_eq!(bed.rows("copy"), bed.rows("copy").sorted());
    assert_eq!(bed.rows("copy").len(), 10);
}

/// Goal: what somebody drops while it is restored is not called damaged. Method: another cluster drops and collects, that is,
/// removes the commit object and what it names.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_dropped_meanwhile_is_said_to_be() {
    for dropped in [true, false] {
        let (dir, bed) = Bed::temporary().await;
        bed.create_table("t", &[], 1);
        bed.load("t", &rows(0..10));
        bed.backup("x").await;
        let other = Bed::open_with(&dir.path().join("other"), 1, Arc::new(SystemClock), Default::default());
        other.add_repository(&format!("file://{}", dir.path().join("repository").display()), Access::ReadWrite).await;
        other.failpoints.arm(FailPoint::StepBegins("DOWNLOADING"), Action::Wait);
        let id = other.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap();
        other.failpoints.wait_for(FailPoint::StepBegins("DOWNLOADING")).await;
        let parts: &[&str] = if dropped { &["snapshots", "objects"] } else { &["objects"] };
        for file in files_below(&dir.path().join("repository")) {
            if parts.iter().any(|part| file.iter().any(|name| name == *part)) {
                std::fs::remove_file(file).unwrap();
            }
        }
        other.failpoints.disarm();
        assert_eq!(other.ended(id).await.state, "CANCELLED");
        let status = other.restore_row(id).status.to_string();
        let told = status.contains("snapshot x was dropped from repository r while it was restored");
        assert_eq!(told, dropped, "{status}");
        assert!(dropped || status.contains("is damaged"), "{status}");
    }
}

/// Goal: a refusal names everything, before a byte moves. Method: an existing table that differs in five ways.
#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_named_and_nothing_moves() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 2);
    bed.load("t", &rows(0..200));
    bed.backup("x").await;
    bed.drop_table("t");
    let mut other = definition(true, 3);
    other.columns[1].data_type = DataType::Varchar { length: 7 };
    other.columns.push(Column { id: crate::schema::ColumnId(3), name: "w".into(), ..other.columns[1].clone() });
    let partition = |name: &str, lower, upper, buckets| crate::catalog::NewPartition {
        name: name.into(),
        bounds: crate::job::bed::range(lower, upper),
        buckets,
        replication_num: 1,
        properties: Default::default(),
    };
    let partitions = [partition("p0", 0, 100, 3), partition("p1", 100, 150, 2)];
    bed.storage.create_table("d", "t", &other, &partitions).unwrap();
    let before = bed.repository().await.counts();
    let row = bed.restore("x").await;
    assert_eq!(row.state, "CANCELLED");
    assert_eq!(
        row.status.to_string(),
        "[COMMON_ERROR, msg: Table t already exist but with different schema, errMsg: number of columns: expected 2, \
         found 3, column 2 'v' type: expected varchar(100), found varchar(7), column 3: expected none, found w, \
         bucket num of partition 'p0' is inconsistent: expected 2, found 3; Partition p1 in table t has different \
         range with partition in repository: expected [(\"100\"), (\"200\")), found [(\"100\"), (\"150\")). Restore \
         under another name with AS, or drop the table first]"
    );
    let after = bed.repository().await.counts();
    assert_eq!(after.calls_of(Operation::Put), before.calls_of(Operation::Put));
    assert!(after.calls() - before.calls() < 10);
    assert_eq!(bed.rows("t"), []);
    bed.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn submission_is_refused_in_the_known_words() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..100));
    bed.backup("x").await;
    let refuse = async |spec: RestoreSpec, words: &str| {
        let error = bed.runner.submit_restore(spec).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let all = || restore_spec("x", RestoreObjects::All);
    refuse(RestoreSpec { repository: "q".into(), ..all() }, "Repository [q] does not exist").await;
    refuse(restore_spec("y", RestoreObjects::All), "Failed to get info of snapshot 'y' because: ").await;
    let mut wrong = all();
    wrong.properties.backup_timestamp = Some("2018-04-18-19-19-10-123".into());
    refuse(wrong, "Maybe specified wrong backup timestamp").await;
    refuse(RestoreSpec { source_database: Some("e".into()), ..all() }, "target database: e is not existed in snapshot")
        .await;
    let some = |objects| restore_spec("x", objects);
    refuse(some(table_as("nope", "t")), "Table nope does not exist in snapshot x").await;
    refuse(some(partitions_of("t", &["p9"])), "Partition p9 of table t does not exist in snapshot x").await;
    let twice = || RestoreSelection::whole("t");
    refuse(some(tables(vec![twice(), twice()])), "Duplicated table: t").await;
    // The form without milliseconds is understood.
    let timestamp = bed.repository().await.list_snapshots().await.unwrap().snapshots[0].timestamp.to_string();
    let mut short = all();
    short.properties.backup_timestamp = Some(timestamp[..19].to_owned());
    let id = bed.runner.submit_restore(short).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    assert_eq!(bed.restore_row(id).timestamp, timestamp);
}

/// Goal: the old table answers until the commit, and a failure at the last moment leaves everything. Method: stop right
/// before the commit, load into it, take it away behind the back of what protects it.
#[tokio::test(flavor = "multi_thread")]
async fn until_the_commit_nothing_has_happened() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100], 1);
    bed.load("t", &rows(0..100));
    bed.backup("x").await;
    bed.load("t", &rows(40..50));
    bed.failpoints.arm(FailPoint::RestoreBeforeCommit, Action::Wait);
    let id = bed.runner.submit_restore(restore_spec("x", RestoreObjects::All)).await.unwrap();
    bed.failpoints.wait_for(FailPoint::RestoreBeforeCommit).await;
    assert_eq!(bed.rows("t").len(), 110);
    bed.load("t", &rows(50..60));
    assert_eq!(bed.rows("t").len(), 120);
    let table = bed.storage.table_snapshot("d", "t").unwrap().state().table.id;
    bed.storage.catalog().write(|write| write.purge_table(table)).unwrap();
    bed.failpoints.disarm();
    let row = bed.ended(id).await;
    assert_eq!(row.state, "CANCELLED");
    let status = bed.restore_row(id).status.to_string();
    assert!(status.contains("table t has been dropped"), "{status}");
    bed.storage.collect_garbage().unwrap();
    bed.assert_nothing_left();
}

/// Goal: damage in the repository ends the job and shows nothing. Method: flip a byte of every object.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_not_restored() {
    let (dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[], 1);
    bed.load("t", &rows(0..1_000));
    bed.backup("x").await;
    files_below(&dir.path().join("repository/ebla/objects")).iter().for_each(|path| damage(path));
    let other = Bed::open(&dir.path().join("other"), &dir.path().join("repository"), 1).await;
    let row = other.restore("x").await;
    assert_eq!(row.state, "CANCELLED");
    assert!(row.status.to_string().starts_with("[BAD_FILE, msg: object 'ebla/objects/"), "{}", row.status);
    assert!(!other.has_table("t"));
    other.assert_nothing_left();
    // A damaged local file is not linked either: here, too, the object would be fetched.
    assert_restored(&bed.restore("x").await);
}

/// Goal: files are linked, not fetched, but only whole ones. Method: damage one of two local files.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_local_file_is_fetched_instead() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200], 1);
    bed.load("t", &rows(0..200));
    let expected = bed.rows("t");
    bed.backup_of("x", BackupObjects::Tables(vec![TableSelection { table: "t".into(), partitions: Vec::new() }])).await;
    let snapshot = bed.storage.table_snapshot("d", "t").unwrap();
    let tablet = &snapshot.state().partitions[0].tablets[0];
    damage(&snapshot.segment_path(tablet, &tablet.rowsets[0].segments[0]).unwrap());
    drop(snapshot);
    let row = bed.restore("x").await;
    assert_restored(&row);
    assert!(row.bytes_downloaded > 0 && row.bytes_linked > 0);
    assert_eq!(bed.rows("t"), expected);
}

/// Goal: a restore of everything does not look whole when the backup was not. Method: back up two partitions of three.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_in_part_is_shown_in_part() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[0, 100, 200, 300], 1);
    bed.create_table("whole", &[0, 100], 1);
    bed.load("t", &rows(0..300));
    let part = TableSelection { table: "t".into(), partitions: vec!["p0".into(), "p2".into()] };
    bed.backup_of("part", BackupObjects::AllWith(vec![part])).await;
    bed.backup("all").await;
    let row = bed.restore("part").await;
    assert_restored(&row);
    assert_eq!(row.objects, "t PARTITIONS [p0, p2], whole");
    assert_eq!(bed.restore("all").await.objects, "t, whole");
    // However a partition's name is spelled, it is shown as the snapshot has it.
    let selection = RestoreSelection { partitions: vec!["P1".into(), "p0".into()], ..RestoreSelection::whole("t") };
    assert_eq!(bed.restore_of("all", RestoreObjects::Tables(vec![selection])).await.objects, "t PARTITIONS [p1, p0]");
}

/// Goal: a timestamp that is none of the label's is told apart from a label that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_timestamp_is_spoken_of() {
    let (_dir, bed) = Bed::temporary().await;
    bed.create_table("t", &[], 1);
    bed.backup("x").await;
    for (label, timestamp, words) in [
        ("x", "yesterday", "none of this name has the timestamp 'yesterday'"),
        ("y", "yesterday", "it does not exist in the repository"),
    ] {
        let properties = BTreeMap::from([("backup_timestamp".to_owned(), timestamp.to_owned())]);
        let mut spec = restore_spec(label, RestoreObjects::All);
        spec.properties = RestoreProperties::parse(&properties).unwrap();
        let refused = bed.runner.submit_restore(spec).await.unwrap_err().to_string();
        let expected = format!(
            "Failed to get info of snapshot '{label}' because: {words}. Maybe specified wrong backup timestamp"
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn objects_are_shown_as_starrocks_does() {
    let selection = |table: &str, partitions: &[&str]| RestoreSelection {
        partitions: partitions.iter().map(|name| name.to_string()).collect(),
        ..RestoreSelection::whole(table)
    };
    let job = RestoreJob {
        state: RestoreState::Pending,
        repository_id: RepositoryId(1),
        repository: "r".into(),
        database: "d".into(),
        label: "l".into(),
        timestamp: "2023-02-07-14-45-53-143".parse().unwrap(),
        objects: RestoreObjects::All,
        shown: vec![selection("t1", &["p1", "p2"]), selection("t2", &[]), selection("t3", &["t3"])],
        replication_num: None,
        replication_num_shown: 1,
        allow_load: false,
        meta_prepared_at_ms: None,
        snapshot_finished_at_ms: None,
        download_finished_at_ms: None,
        files_downloaded: 0,
        bytes_downloaded: 0,
        bytes_linked: 0,
        status: JobStatus::OK,
    };
    assert_eq!(job.describe_objects(), "t1 PARTITIONS [p1, p2], t2, t3");
    let stored = encode_payload(&job).unwrap();
    assert_eq!(crate::job::decode_payload::<RestoreJob>(&stored).unwrap(), job);
}

/// Rows in order: tables here are compared as sets.
trait Sorted {
    fn sorted(self) -> Self;
}

impl<T: Ord> Sorted for Vec<T> {
    fn sorted(mut self) -> Self {
        self.sort();
        self
    }
}

impl<T: Ord> Sorted for (Vec<T>, Vec<T>) {
    fn sorted(self) -> Self {
        (self.0.sorted(), self.1.sorted())
    }
}
