//! The garbage collector: deletes files that nobody needs any more.
//!
//! A file of a tablet is on disk for one of four reasons: a row names it, the list of garbage does, a job has pinned
//! it, or a restore is putting it into a tablet that is still hidden. Taking a file out of use lists it as garbage in
//! the same transaction; a pass of the collector then
//!
//! 1. purges what was dropped longer ago than it can be recovered, which lists more garbage, and forgets old labels;
//! 2. takes garbage that neither a job nor a living [`crate::TableSnapshot`] needs, some hundred files at a time:
//!    unlinks, syncs the directories, and only then takes them off the list, so that a crash in between leaves names
//!    of files that are gone, never files without a name;
//! 3. removes the directories of tablets that are gone.
//!
//! While it unlinks, nobody installs files or begins to read (see [`crate::storage::Pins`]). A pass is never in a
//! hurry: what it cannot delete now waits for the next one. It never deletes what a row names, and never looks into a
//! hidden tablet. What a crash left in tablets without a name is found by [`Storage::sweep_orphans`].

mod orphans;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::catalog::{FileKind, GarbageRow};
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::ids::TabletId;
use crate::roots::{TREE_EXTENSION, sync_dir};
use crate::storage::Storage;

/// Files unlinked between two moments in which others may install files and begin to read.
const BATCH_FILES: usize = 512;

/// Dropped partitions purged in one transaction: bounds how long writers wait.
const PURGE_PARTITIONS: usize = 64;

/// What one pass of the collector did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GarbageReport {
    /// Databases that can no longer be recovered.
    pub purged_databases: u64,
    /// Tables that can no longer be recovered.
    pub purged_tables: u64,
    /// Partitions that can no longer be recovered, or were replaced that long ago.
    pub purged_partitions: u64,
    /// Labels that are free again.
    pub forgotten_loads: u64,
    /// Files deleted.
    pub deleted_files: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Directories of tablets removed.
    pub removed_tablets: u64,
    /// Garbage that is left: somebody still needs it, or it could not be deleted.
    pub left_files: u64,
    /// The first file that could not be deleted, and why.
    pub failure: Option<String>,
}

/// What the collector remembers from one pass to the next.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// One pass at a time.
    running: Mutex<()>,
    /// The catalog version at which no directory of a tablet was left to be removed.
    swept_at: AtomicI64,
}

impl Storage {
    /// Runs one pass of the collector. It blocks: call it where that is fine.
    pub fn collect_garbage(&self) -> Result<GarbageReport> {
        let _running = self.collector().running.lock();
        let mut report = GarbageReport::default();
        self.purge_expired(&mut report)?;
        self.delete_garbage(&mut report)?;
        self.remove_gone_tablets(&mut report)?;
        report.left_files = self.catalog().read(|read| read.garbage_count())?;
        report.publish();
        Ok(report)
    }

    /// Takes out of the catalog what was dropped too long ago to come back, and labels old enough to be used again.
    fn purge_expired(&self, report: &mut GarbageReport) -> Result<()> {
        let now_ms = self.clock().now_ms();
        let before_ms = now_ms - self.config().trash_expire.as_millis() as i64;
        let loads_before_ms = now_ms - self.config().label_keep.as_millis() as i64;
        let expired = self.catalog().read(|read| read.expired(before_ms, loads_before_ms))?;
        if expired.loads {
            report.forgotten_loads = self.catalog().write(|write| write.forget_loads(loads_before_ms))? as u64;
        }
        if !expired.dropped {
            return Ok(());
        }
        // Each list is asked for inside the transaction that purges, so that nothing just recovered is lost.
        report.purged_databases = self.catalog().write(|write| {
            let databases = write.databases_dropped_before(before_ms)?;
            databases.iter().try_for_each(|database| write.purge_database(*database))?;
            Ok(databases.len() as u64)
        })?;
        report.purged_tables = self.catalog().write(|write| {
            let tables = write.tables_dropped_before(before_ms)?;
            tables.iter().try_for_each(|table| write.purge_table(*table))?;
            Ok(tables.len() as u64)
        })?;
        loop {
            let (purged, left) = self.catalog().write(|write| {
                let partitions = write.partitions_dropped_before(before_ms)?;
                let now = &partitions[..partitions.len().min(PURGE_PARTITIONS)];
                now.iter().try_for_each(|partition| write.purge_partition(*partition))?;
                Ok((now.len(), partitions.len() - now.len()))
            })?;
            report.purged_partitions += purged as u64;
            if left == 0 {
                return Ok(());
            }
        }
    }

    fn delete_garbage(&self, report: &mut GarbageReport) -> Result<()> {
        let mut after = 0;
        loop {
            let batch = self.catalog().read(|read| {
                let batch = read.unpinned_garbage(after, BATCH_FILES)?;
                if after == 0 && !batch.is_empty() {
                    self.drop_stale_snapshots(read)?;
                }
                Ok(batch)
            })?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.id;
            let Some(unlinked) = self.unlink(&batch, report)? else { return Ok(()) };
            for directory in unlinked.iter().map(|(_, directory)| directory).collect::<BTreeSet<_>>() {
                match sync_dir(directory) {
                    Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                    synced => synced?,
                }
            }
            let rows: Vec<GarbageRow> = unlinked.into_iter().map(|(row, _)| row).collect();
            if !rows.is_empty() {
                self.catalog().write(|write| write.forget_garbage(&rows))?;
            }
        }
    }

    /// Unlinks those files of a batch that nobody needs. Returns them with their directories; `None` when others are
    /// busy installing.
    fn unlink(&self, batch: &[GarbageRow], report: &mut GarbageReport) -> Result<Option<Vec<(GarbageRow, PathBuf)>>> {
        let Some(_alone) = self.pins().collect_guard() else { return Ok(None) };
        // The list may have changed before the gate closed; now it cannot, but for jobs that let go of pins.
        let (first, last) = match (batch.first(), batch.last()) {
            (Some(first), Some(last)) => (first.id, last.id),
            _ => return Ok(None),
        };
        let mut rows = self.catalog().read(|read| read.unpinned_garbage(first - 1, batch.len()))?;
        rows.retain(|row| row.id <= last);
        let wanted: HashSet<_> = rows.iter().map(|row| (row.tablet_id, row.digest)).collect();
        let named = self.pins().named_among(&wanted);
        rows.retain(|row| !named.contains(&(row.tablet_id, row.digest)));

        let mut unlinked = Vec::with_capacity(rows.len());
        for row in rows {
            let path = self.roots().file_path(row.root_id, row.tablet_id, &row.digest, row.kind)?;
            let directory = self.roots().tablet_dir(row.root_id, row.tablet_id)?;
            let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if row.kind == FileKind::Segment {
                // First, so that none outlives its segment. One that stays is in nobody's way.
                let _ = disk::remove_file(&path.with_extension(TREE_EXTENSION));
            }
            match disk::remove_file(&path).at("delete", &path) {
                Ok(()) => {
                    report.deleted_files += 1;
                    report.deleted_bytes += bytes;
                }
                // An earlier pass was cut short before it could say so.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    report.failure.get_or_insert_with(|| error.to_string());
                    continue;
                }
            }
            unlinked.push((row, directory));
        }
        Ok(Some(unlinked))
    }

    /// Removes the directories of tablets that the catalog does not know any more and that nobody reads.
    fn remove_gone_tablets(&self, report: &mut GarbageReport) -> Result<()> {
        let version = self.catalog().version();
        if self.collector().swept_at.load(Ordering::Relaxed) == version {
            return Ok(());
        }
        let mut left = 0;
        for root in self.roots().all() {
            // Listed first: a directory is made after its tablet's row, so a new tablet is not taken for a gone one.
            let mut gone: HashSet<TabletId> = self.roots().tablets_on_disk(root.id)?.into_iter().collect();
            if gone.is_empty() {
                continue;
            }
            let known = self.catalog().read(|read| read.tablet_ids())?;
            gone.retain(|tablet| !known.contains(tablet));
            if gone.is_empty() {
                continue;
            }
            let Some(_alone) = self.pins().collect_guard() else { return Ok(()) };
            let read = self.pins().read_among(&gone);
            for tablet in gone {
                let pinned = self.catalog().read(|read| read.pinned_files(tablet))?;
                if read.contains(&tablet) || !pinned.is_empty() {
                    left += 1;
                    continue;
                }
                let directory = self.roots().tablet_dir(root.id, tablet)?;
                match disk::remove_dir_all(&directory).at("remove", &directory) {
                    Ok(()) => report.removed_tablets += 1,
                    Err(error) => {
                        report.failure.get_or_insert_with(|| error.to_string());
                        left += 1;
                    }
                }
            }
        }
        if left == 0 {
            self.collector().swept_at.store(version, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl GarbageReport {
    /// A failure, when a file could not be deleted.
    pub(crate) fn into_result(self) -> Result<GarbageReport> {
        match self.failure {
            Some(failure) => Err(Error::Internal(failure)),
            None => Ok(self),
        }
    }

    fn publish(&self) {
        metrics::counter!("ebla_garbage_deleted_files_total").increment(self.deleted_files);
        metrics::counter!("ebla_garbage_deleted_bytes_total").increment(self.deleted_bytes);
        metrics::gauge!("ebla_garbage_files").set(self.left_files as f64);
        let purged = self.purged_databases + self.purged_tables + self.purged_partitions;
        if purged + self.deleted_files + self.removed_tablets > 0 {
            tracing::info!(
                files = self.deleted_files,
                bytes = self.deleted_bytes,
                tablets = self.removed_tablets,
                purged_databases = self.purged_databases,
                purged_tables = self.purged_tables,
                purged_partitions = self.purged_partitions,
                left = self.left_files,
                "garbage is collected"
            );
        }
    }
}

#[cfg(test)]
mod tests;
