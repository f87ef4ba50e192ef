//! Opening, locking, and who shares a snapshot.

mod model;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::{ManualClock, SystemRandom};
use crate::schema::{DataType, TableDefinition};
use crate::testing::{column, table_of};

fn definition() -> TableDefinition {
    table_of(vec![column(1, "k", DataType::Int)])
}

#[test]
fn a_second_server_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || Storage::open(StorageConfig::new(dir.path().join("data")), ManualClock::at(1), Arc::new(SystemRandom));
    let first = open().unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("is in use by another server"), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(first);
    open().unwrap();
}

/// Goal: no other account of the machine reads what is stored, unless somebody has set it up so. Method: directories that the
/// server makes, and one that was there. (A umask of 077 would make this true by itself; the usual 022 does not.)
#[test]
fn directories_that_are_made_are_private_and_those_that_are_there_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let [data, root, there] = ["above/data", "root", "there"].map(|name| dir.path().join(name));
    std::fs::create_dir(&there).unwrap();
    std::fs::set_permissions(&there, Permissions::from_mode(0o755)).unwrap();
    let config = StorageConfig { roots: vec![root.clone(), there.clone()], ..StorageConfig::new(&data) };
    let _storage = Storage::open(config, ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
    assert_eq!((mode(&data), mode(&root), mode(&there)), (0o700, 0o700, 0o755));
}

#[test]
fn a_snapshot_is_shared_until_its_table_changes() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::open(StorageConfig::new(dir.path()), ManualClock::at(1), Arc::new(SystemRandom)).unwrap();
    let catalog = storage.catalog();
    let database = catalog.write(|write| write.create_database("d", &BTreeMap::new())).unwrap();
    let table = catalog.write(|write| write.create_table(database, "t", &definition(), None)).unwrap();
    let other = catalog.write(|write| write.create_table(database, "other", &definition(), None)).unwrap();

    let snapshot = storage.table_snapshot("d", "t").unwrap();
    assert!(Arc::ptr_eq(&snapshot, &storage.table_snapshot("d", "t").unwrap()));
    catalog.write(|write| write.set_table_definition(other, &definition())).unwrap();
    catalog.write(|write| write.take_auto_increment(table, 10)).unwrap();
    assert!(Arc::ptr_eq(&snapshot, &storage.table_snapshot("d", "t").unwrap()));
    assert!(Arc::ptr_eq(&snapshot, &storage.table_snapshot_by_id(table).unwrap()));

    let row = snapshot.table().clone();
    catalog.write(|write| write.rename_table(&row, "u")).unwrap();
    assert!(storage.table_snapshot("d", "t").is_err());
    let renamed = storage.table_snapshot("d", "u").unwrap();
    assert_eq!(renamed.table().name, "u");
    catalog.write(|write| write.rename_database(database, "e")).unwrap();
    assert_eq!(storage.table_snapshot("e", "u").unwrap().database(), "e");
    assert!(storage.table_snapshot("d", "u").is_err());
}

/// Goal: several tables are seen at one moment. Method: one thread raises the versions of two tables together, another
/// compares them.
#[test]
fn several_tables_are_seen_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let storage = crate::testing::open(crate::testing::config(dir.path()));
    let names = ["a", "b", "none"].map(|table| ("d".to_owned(), table.to_owned()));
    crate::testing::create_table(&storage, "a", 1);
    crate::testing::create_table(&storage, "b", 1);
    let partition = |table| storage.table_snapshot("d", table).unwrap().state().partitions[0].partition.clone();
    let partitions = [partition("a").id, partition("b").id];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..100 {
                let raise = |write: &crate::catalog::WriteTransaction<'_>| {
                    partitions.iter().try_for_each(|id| write.raise_visible_version(*id).map(drop))
                };
                storage.catalog().write(raise).unwrap();
            }
        });
        while !writer.is_finished() {
            let snapshots = storage.table_snapshots(&names).unwrap();
            let version = |at: usize| {
                snapshots[at].as_ref().map(|snapshot| snapshot.state().partitions[0].partition.visible_version)
            };
            assert_eq!(version(0), version(1));
            assert!(version(0).is_some() && version(2).is_none());
        }
    });
}
