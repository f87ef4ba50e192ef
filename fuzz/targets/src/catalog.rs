//! Bytes that claim to be the catalog of a data directory.

use std::fs;
use std::sync::Arc;

use ebla_storage::catalog::ReadTransaction;
use ebla_storage::clock::{ManualClock, SystemRandom};
use ebla_storage::{Result, Storage, StorageConfig};

/// A server over this catalog: it refuses to start, or every read is an error or a value; never a panic, and no file
/// appears outside the data directory.
pub fn catalog_file(data: &[u8]) {
    let Ok(outside) = tempfile::tempdir() else {
        return;
    };
    let data_dir = outside.path().join("data");
    if fs::create_dir(&data_dir).and_then(|()| fs::write(data_dir.join("catalog.db"), data)).is_err() {
        return;
    }
    let mut config = StorageConfig::new(&data_dir);
    config.encode_threads = 1;
    if let Ok(storage) = Storage::open(config, ManualClock::at(1_700_000_000_000), Arc::new(SystemRandom)) {
        let _ = storage.catalog().read(read_everything);
    }
    let beside = fs::read_dir(outside.path()).map(|entries| entries.count());
    assert_eq!(beside.ok(), Some(1), "files beside the data directory");
}

fn read_everything(read: &ReadTransaction<'_>) -> Result<()> {
    let _ = (read.jobs(), read.repositories(), read.garbage_count(), read.pin_count());
    for database in read.databases()? {
        for table in read.tables(database.id)? {
            let _ = read.indexes(table.id);
            for partition in read.partitions(table.id)? {
                for tablet in read.tablets(partition.id)? {
                    let _ = (read.replicas(tablet.id), read.rowsets(tablet.id));
                }
            }
        }
    }
    Ok(())
}
