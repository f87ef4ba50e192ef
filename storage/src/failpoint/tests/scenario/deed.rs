//! What scenarios are made of: single operations, each of which may be asked for again when it has happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use tokio_util::sync::CancellationToken;

use super::{COLLECTIONS, GRACE, KEPT, LARGE_BYTES, LONG_BEFORE, OTHER, ROLE, ROOT_PASSWORD, Scenario, USER};
use crate::catalog::{FileKind, Grantee, LoadKind, TableRow, WriteTransaction};
use crate::delete::DeleteSpec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::FailPoint;
use crate::job::bed::{Action, Bed, DATABASE, REPOSITORY, batch, definition, files_below, rows};
use crate::lifecycle::{DropSpec, Lifecycle, LifecycleConfig, SnapshotChoice};
use crate::load::LoadSpec;
use crate::repository::{Access, ObjectRef};
use crate::verify::{Depth, VerifyProperties, VerifySpec};

/// Verifies the repository; nothing is wrong with it, whatever became of verifications before.
pub(super) async fn verify(bed: &Bed) {
    let properties = VerifyProperties { depth: Depth::Rows, ..VerifyProperties::default() };
    let spec = VerifySpec { repository: REPOSITORY.to_owned(), snapshot: None, properties };
    let id = bed.runner.submit_verify(spec).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "FINISHED");
    for row in bed.runner.verify_rows(None).unwrap() {
        assert_eq!((row.state.as_str(), row.counts.errors), ("FINISHED", 0), "{row:?}");
    }
}

pub(super) async fn add_repository(bed: &Bed, place: &Path) {
    bed.add_repository(&format!("file://{}", place.join("repository").display()), Access::ReadWrite).await;
}

pub(super) async fn load(bed: &Bed, label: &str, kind: LoadKind, keys: std::ops::Range<i64>) {
    match load_into(bed, "t", label, kind, keys).await {
        Ok(()) | Err(Error::LabelTaken { running: false, .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn load_into(
    bed: &Bed,
    table: &str,
    label: &str,
    kind: LoadKind,
    keys: std::ops::Range<i64>,
) -> Result<()> {
    let spec = LoadSpec {
        database: DATABASE.to_owned(),
        table: table.to_owned(),
        label: Some(label.to_owned()),
        kind,
        partitions: None,
        max_filter_ratio: 0.0,
    };
    let mut load = bed.storage.begin_load(spec).await?;
    for rows in rows(keys).chunks(20) {
        load.write(batch(&definition(false, 2), rows)).await?;
    }
    load.commit().await.map(drop)
}

pub(super) async fn delete(bed: &Bed, keys: std::ops::Range<i64>) {
    let spec = DeleteSpec {
        database: DATABASE.to_owned(),
        table: "t".to_owned(),
        partitions: None,
        columns: vec!["k".to_owned()],
        predicate: Arc::new(move |batch| {
            let found = batch.column(0).as_primitive::<Int64Type>();
            Ok(found.iter().map(|key| key.map(|key| keys.contains(&key))).collect())
        }),
    };
    bed.storage.delete(spec).await.unwrap();
}

/// What somebody who asks again is told when it had happened.
pub(super) fn done_or_there(result: Result<()>) {
    match result {
        Ok(()) | Err(Error::AlreadyExists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A load that is not over, with a file in staging and one in its tablet, and the directory of a job that has ended.
pub(super) fn leave_what_a_crash_leaves(bed: &Bed) {
    let (storage, roots) = (&bed.storage, bed.storage.roots());
    let begin = |label| {
        storage.catalog().write(|write| {
            let database = write.database(DATABASE)?.id;
            write.begin_load(database, "t", Some(label), LoadKind::StreamLoad)
        })
    };
    let transaction = begin("cut-off").unwrap().id;
    for root in roots.configured() {
        let staging = roots.create_staging(*root, &transaction.to_string()).unwrap();
        std::fs::write(staging.join("1-0"), b"half a segm").unwrap();
    }
    for path in segment_paths(bed, 0) {
        std::fs::write(path.with_file_name(format!("{}.parquet", Digest::of(b"unnamed"))), b"unnamed").unwrap();
    }
    let job = bed.data_dir.join("jobs/99");
    std::fs::create_dir_all(&job).unwrap();
    std::fs::write(job.join("plan.json"), b"{}").unwrap();
}

/// The segments of `t` on one of the roots.
pub(super) fn segment_paths(bed: &Bed, root: usize) -> Vec<std::path::PathBuf> {
    let roots = bed.storage.roots();
    let root = roots.configured()[root];
    let snapshot = bed.storage.table_snapshot(DATABASE, "t").unwrap();
    let tablets = snapshot.state().partitions.iter().flat_map(|partition| &partition.tablets);
    let paths = tablets.flat_map(|tablet| {
        tablet
            .segments()
            .map(|segment| roots.file_path(root, tablet.tablet.id, &segment.digest, FileKind::Segment).unwrap())
    });
    paths.collect()
}

/// Reports what is damaged on the first root, as a reader would, and has it rebuilt.
pub(super) fn repair(bed: &Bed) {
    let (storage, root) = (&bed.storage, bed.storage.roots().configured()[0]);
    for tablet in storage.catalog().read(|read| read.tablet_ids()).unwrap() {
        for file in storage.catalog().read(|read| read.tablet_files(tablet)).unwrap() {
            let path = storage.roots().file_path(root, tablet, &file.digest, file.kind).unwrap();
            let damaged = Digest::of_file(&path).is_ok_and(|(digest, _)| digest != file.digest);
            if damaged {
                storage.files().mark_copy_bad(tablet, &path, "the bytes do not match their digest");
            }
        }
    }
    storage.repair_replicas().unwrap().into_result().unwrap();
}

pub(super) async fn upload_large_file(bed: &Bed) {
    let bytes: Vec<u8> = (0..LARGE_BYTES).map(|position| (position / 7) as u8).collect();
    let path = bed.data_dir.join("large");
    std::fs::write(&path, &bytes).unwrap();
    let object = ObjectRef { kind: FileKind::Segment, digest: Digest::of(&bytes), bytes: bytes.len() as u64 };
    let repository = bed.repository().await;
    repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap();
    assert!(repository.has_object(&object).await.unwrap());
}

/// Sends a large file that is not the one it should be: what was sent is found wrong at its end.
pub(super) async fn abandon_large_file(bed: &Bed) {
    let path = bed.data_dir.join("large");
    std::fs::write(&path, vec![1; LARGE_BYTES]).unwrap();
    let digest = Digest::of(b"what the catalog says");
    let object = ObjectRef { kind: FileKind::Segment, digest, bytes: LARGE_BYTES as u64 };
    let repository = bed.repository().await;
    repository.put_object(&object, &path, &(), &CancellationToken::new()).await.unwrap_err();
    assert!(!repository.has_object(&object).await.unwrap());
}

pub(super) fn lifecycle(bed: &Bed) -> Arc<Lifecycle> {
    let config = LifecycleConfig { collection_grace: GRACE, ..LifecycleConfig::default() };
    let (storage, repositories) = (Arc::clone(&bed.storage), Arc::clone(&bed.repositories));
    Lifecycle::new(storage, repositories, Arc::clone(&bed.runner), config)
}

pub(super) async fn drop_snapshot(bed: &Bed, label: &str) {
    let choice = SnapshotChoice::Label(label.to_owned());
    let spec = DropSpec { repository: REPOSITORY.to_owned(), choice, force: false };
    match lifecycle(bed).drop_snapshots(&spec).await {
        Err(error) if !error.to_string().contains("does not exist") => panic!("{error}"),
        _ => {}
    }
}

/// As many turns as it takes, each long after the one before. In the end there is what the snapshot refers to and
/// nothing else.
pub(super) async fn collect_repository(bed: &Bed) {
    let place = bed.data_dir.parent().expect("the data lies in the place");
    let lifecycle = lifecycle(bed);
    for _ in 0..COLLECTIONS {
        for file in files_below(&place.join("repository")) {
            let file = std::fs::File::options().write(true).open(file).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - LONG_BEFORE).unwrap();
        }
        lifecycle.collect(REPOSITORY).await.unwrap();
    }
    let kept = std::fs::read_to_string(place.join(KEPT)).unwrap();
    assert_eq!(objects(place).to_string(), kept, "objects after {COLLECTIONS} turns");
    assert_eq!(files_below(&place.join("repository/ebla/garbage")), Vec::<std::path::PathBuf>::new(), "marks");
}

/// How many objects and nodes the repository has.
pub(super) fn objects(place: &Path) -> usize {
    let repository = place.join("repository/ebla");
    ["objects", "trees"].iter().map(|folder| files_below(&repository.join(folder)).len()).sum()
}

pub(super) fn drop_repository(bed: &Bed) {
    let drop = bed.storage.catalog().write(|write| match write.find_repository(REPOSITORY)? {
        Some(row) => write.drop_repository(row.id),
        None => Ok(()),
    });
    drop.unwrap();
}

/// Changes a table, unless that has been done and the table is not there any more.
pub(super) fn in_table(bed: &Bed, name: &str, change: impl FnOnce(&WriteTransaction<'_>, &TableRow) -> Result<()>) {
    let changed = bed.storage.catalog().write(|write| match write.find_table(write.database(DATABASE)?.id, name)? {
        Some(table) => change(write, &table),
        None => Ok(()),
    });
    changed.unwrap();
}

pub(super) fn recover(bed: &Bed) {
    let recovered = bed.storage.catalog().write(|write| {
        let database = write.database(DATABASE)?.id;
        match write.dropped_table(database, "t")? {
            Some(table) => write.recover_table(&table),
            None => Ok(()),
        }
    });
    recovered.unwrap();
}

pub(super) fn create_database(bed: &Bed) {
    done_or_there(bed.storage.catalog().write(|write| write.create_database(OTHER, &BTreeMap::new())).map(drop));
}

pub(super) fn drop_database(bed: &Bed) {
    let dropped = bed.storage.catalog().write(|write| match write.find_database(OTHER)? {
        Some(database) => write.drop_database(database.id),
        None => Ok(()),
    });
    dropped.unwrap();
}

pub(super) fn grantee(user: &str) -> Grantee {
    Grantee::User { name: user.to_owned(), host: "%".to_owned() }
}

pub(super) fn create_account(bed: &Bed) {
    done_or_there(bed.storage.catalog().write(|write| {
        write.create_user(USER, "%", Some(&[7; 20]))?;
        write.create_role(ROLE, false, "")?;
        write.grant_role(&grantee(USER), ROLE)
    }));
}

/// As a first start of the server does it.
pub(super) fn make_root(bed: &Bed) {
    let catalog = bed.storage.catalog();
    if catalog.read(|read| read.find_user("root", "%")).unwrap().is_none() {
        crate::disk::write_secret(&bed.data_dir.join(ROOT_PASSWORD), "secret").unwrap();
        catalog.write(|write| write.create_user("root", "%", Some(&[1; 20]))).unwrap();
    }
}

/// Submits a job and waits until it stands at a place.
pub(super) async fn stay_at(bed: &Bed, scenario: Scenario, point: FailPoint) {
    bed.failpoints.arm(point, Action::Wait);
    scenario.submit(bed).await.unwrap();
    bed.failpoints.wait_for(point).await;
}

/// Submits a job and cancels it at a place. A label that is taken says that it was published before it could be.
pub(super) async fn cancel_at(bed: &Bed, scenario: Scenario, point: FailPoint) {
    bed.failpoints.arm(point, Action::Wait);
    let id = match scenario.submit(bed).await {
        Ok(id) => id,
        Err(error) if error.to_string().contains("already exist") => return,
        Err(error) => panic!("{error}"),
    };
    bed.failpoints.wait_for(point).await;
    let last = bed.storage.catalog().read(|read| read.job(id)).unwrap().expect("the job");
    bed.runner.cancel(last.kind, DATABASE).await.unwrap();
    assert_eq!(bed.ended(id).await.state, "CANCELLED");
}
