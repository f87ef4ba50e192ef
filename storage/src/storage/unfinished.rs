//! What could not be cleared away behind work that failed, since the disk refused that as well: a full one, most often.
//!
//! It is remembered in memory, and made good before the next load begins and from time to time. A process that ends
//! before that leaves it to the next start, which aborts every load, empties staging and sweeps orphans anyway.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Storage;
use crate::catalog::FailedLoad;
use crate::error::Result;

/// What is still to be cleared away.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Loads that have failed and whose labels are still taken.
    aborts: Mutex<Vec<FailedLoad>>,
    /// Names of staging directories.
    staging: Mutex<Vec<String>>,
    /// Whether there may be files in tablets that nothing names.
    orphans: AtomicBool,
}

impl Storage {
    /// Aborts a load, which frees its label; if that cannot be written now, then as soon as it can.
    pub(crate) fn abort_load(&self, failed: FailedLoad) {
        if let Err(error) = self.catalog().write(|write| write.abort_load(&failed)) {
            tracing::error!(transaction = %failed.id, %error, "cannot abort the load yet");
            self.unfinished().aborts.lock().push(failed);
        }
    }

    /// Removes a staging directory whose name nobody uses again; if that cannot be done now, then later.
    pub(crate) fn clear_staging(&self, name: &str) {
        if let Err(error) = self.roots().remove_staging(name) {
            tracing::warn!(staging = name, %error, "cannot remove staging yet");
            self.unfinished().staging.lock().push(name.to_owned());
        }
    }

    /// Remembers that there are files in tablets that the catalog could not be told of.
    pub(crate) fn expect_orphans(&self) {
        self.unfinished().orphans.store(true, Ordering::Release);
    }

    /// Aborts the loads that could not be aborted when they failed, so that their labels are free again.
    pub(crate) fn finish_aborts(&self) -> Result<()> {
        let mut aborts = self.unfinished().aborts.lock();
        if aborts.is_empty() {
            return Ok(());
        }
        self.catalog().write(|write| aborts.iter().try_for_each(|failed| write.abort_load(failed)))?;
        aborts.clear();
        Ok(())
    }

    /// Clears away everything that could not be cleared away when it was to be. What cannot be now stays for the next time.
    pub(crate) fn finish_unfinished(&self) -> Result<()> {
        self.finish_aborts()?;
        // Taken out of the lock: removing may take long.
        let staging = std::mem::take(&mut *self.unfinished().staging.lock());
        staging.iter().for_each(|name| self.clear_staging(name));
        if self.unfinished().orphans.swap(false, Ordering::AcqRel) {
            self.sweep_orphans().inspect_err(|_| self.expect_orphans())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::catalog::{FailedLoad, LoadKind};
    use crate::digest::Digest;
    use crate::testing::{config, create_table, insert, load, open, rows, spec, staged, table_rows};

    /// Goal: what could not be cleared away on a full disk is, once there is room. Method: leave what a failed load leaves
    /// when neither the catalog nor its files could be changed.
    #[tokio::test]
    async fn what_failed_on_a_full_disk_is_cleared_away_later() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(config(dir.path()));
        create_table(&storage, "t", 1);
        insert(&storage, "t", &rows(0..3)).await;
        let snapshot = storage.table_snapshot("d", "t").unwrap();
        let label = || crate::load::LoadSpec { label: Some("l".to_owned()), ..spec("t", LoadKind::StreamLoad) };
        let database = snapshot.table().database_id;
        let failed = storage.catalog().write(|write| write.begin_load(database, "t", Some("l"), LoadKind::StreamLoad));
        assert!(load(&storage, label(), &rows(3..4)).await.is_err(), "the label is taken");

        storage.unfinished().aborts.lock().push(FailedLoad::uncounted(failed.unwrap().id, "no space"));
        let root = storage.roots().configured()[0];
        storage.roots().create_staging(root, "777").unwrap();
        storage.unfinished().staging.lock().push("777".to_owned());
        let tablet = snapshot.state().partitions[0].tablets[0].tablet.id;
        let orphan = storage.roots().tablet_dir(root, tablet).unwrap().join(format!("{}.parquet", Digest::of(b"x")));
        fs::write(&orphan, b"x").unwrap();
        storage.expect_orphans();

        load(&storage, label(), &rows(3..4)).await.unwrap();
        assert!(orphan.exists());
        storage.finish_unfinished().unwrap();
        assert!(!orphan.exists());
        assert_eq!(staged(&storage), Vec::<String>::new());
        assert_eq!(table_rows(&storage, "t"), rows(0..4));
    }
}
