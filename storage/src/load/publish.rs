//! The end of a load: its rows become segments, the segments go into their tablets, one transaction shows them.

use std::sync::Arc;

use super::memtable::{Run, TakenRows};
use super::{LoadReceipt, LoadState};
use crate::catalog::{FileKind, LoadKind, SegmentMeta, WriteTransaction};
use crate::digest::Digest;
use crate::error::{Error, IoContext, Noun, Result};
use crate::ids::TabletId;
use crate::roots::StagedFile;
use crate::segment::{SegmentReader, SortedStream, merge, sort, write_segments};
use crate::storage::blocking;
use crate::tablet::{StagedTablet, check_staged, staging_for};

/// What a load adds to one tablet.
#[derive(Debug)]
pub(super) struct EncodedTablet {
    /// Position of its partition in the load's targets.
    target: usize,
    tablet: TabletId,
    segments: Vec<SegmentMeta>,
    staged: StagedTablet,
}

impl LoadState {
    /// Sorts what is left in memory, merges it with the runs and writes the segments of every tablet, several at a
    /// time.
    pub(super) async fn encode(self: &Arc<Self>) -> Result<Vec<EncodedTablet>> {
        let mut waiting = Vec::new();
        for (slot, memtable) in self.memtables.iter().enumerate() {
            let mut memtable = memtable.lock();
            if memtable.rows() > 0 {
                waiting.push((slot, memtable.take(&self.storage)?, memtable.take_runs(), memtable.rows()));
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (slot, taken, runs, rows) in waiting {
            let load = Arc::clone(self);
            let permit = self.storage.encoder().await?;
            tasks.spawn(blocking(move || {
                let _permit = permit;
                load.encode_tablet(slot, taken, runs, rows)
            }));
        }
        let mut encoded = Vec::with_capacity(tasks.len());
        let mut failure = None;
        // Every task is waited for, so that nothing writes to staging once this returns.
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(tablet)) => encoded.push(tablet),
                Ok(Err(error)) => failure = Some(error),
                Err(error) => failure = Some(Error::Internal(format!("an encoding task ended early: {error}"))),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => {
                encoded.sort_by_key(|tablet| tablet.tablet);
                Ok(encoded)
            }
        }
    }

    fn encode_tablet(&self, slot: usize, taken: TakenRows, runs: Vec<Run>, rows: u64) -> Result<EncodedTablet> {
        let (target, tablet) = self.tablet(slot);
        let id = tablet.tablet.id;
        let _span = tracing::debug_span!("encode_tablet", tablet = %id, transaction = %self.id).entered();
        let roots = self.storage.roots();
        let (root, directory) = staging_for(roots, id, &tablet.replicas, &self.staging)?;

        let mut streams: Vec<SortedStream> = Vec::with_capacity(runs.len() + 1);
        for run in &runs {
            check_staged(id, &run.path, run.digest, Digest::of_file(&run.path).at("read", &run.path)?.0)?;
            let reader = SegmentReader::open(id, &run.path, self.format.schema())?;
            streams.push(Box::new(reader.map(|batch| Ok(batch?.rows))));
        }
        streams.push(sort(self.format.sort_key(), taken.batches)?);
        let merged = merge(self.format.sort_key(), streams)?;
        let target_bytes = self.storage.config().segment_bytes_target;
        let written = write_segments(&self.format, &directory, &id.to_string(), merged, rows, target_bytes)?;
        for run in &runs {
            // Staging is removed as a whole in the end: this only frees the space sooner.
            let _ = crate::disk::remove_file(&run.path);
        }
        let files = written
            .iter()
            .map(|segment| StagedFile {
                path: segment.path.clone(),
                digest: segment.meta.digest,
                kind: FileKind::Segment,
            })
            .collect();
        let staged = StagedTablet::stage(roots, &self.staging, id, &tablet.replicas, root, files)?;
        let segments = written.into_iter().map(|segment| segment.meta).collect();
        Ok(EncodedTablet { target, tablet: id, segments, staged })
    }

    /// Moves the segments into their tablets and shows them. Until the transaction at the end commits, nobody sees
    /// anything of the load; from then on everybody does.
    pub(super) fn publish(&self, mut tablets: Vec<EncodedTablet>, rows: u64, filtered: u64) -> Result<LoadReceipt> {
        let _guard = self.storage.pins().install_guard();
        let receipt = self.install(&mut tablets).and_then(|()| self.show(&tablets, rows, filtered));
        if receipt.is_err() {
            self.discard(&tablets);
        }
        receipt
    }

    /// One transaction: the rowsets, the versions, the label.
    fn show(&self, tablets: &[EncodedTablet], rows: u64, filtered: u64) -> Result<LoadReceipt> {
        let bytes = tablets.iter().flat_map(|tablet| &tablet.segments).map(|segment| segment.bytes).sum();
        self.storage.catalog().write(|write| {
            self.check_targets(write)?;
            if self.kind == LoadKind::Overwrite {
                for target in &self.targets {
                    for tablet in write.tablets(target.partition)? {
                        write.clear_tablet(tablet.id)?;
                    }
                }
            }
            for (position, target) in self.targets.iter().enumerate() {
                let mut added = tablets.iter().filter(|tablet| tablet.target == position).peekable();
                if added.peek().is_none() && self.kind != LoadKind::Overwrite {
                    continue;
                }
                let version = write.raise_visible_version(target.partition)?;
                for tablet in added {
                    write.create_rowset(tablet.tablet, version, &tablet.segments)?;
                    tablet.staged.mark_bad_replicas(write)?;
                }
            }
            write.finish_load(self.id, rows, filtered, bytes)
        })?; // Commit point.
        Ok(LoadReceipt { transaction_id: self.id, label: self.label.clone(), rows, filtered_rows: filtered, bytes })
    }

    /// Hands installed files that nothing names to the collector.
    fn discard(&self, tablets: &[EncodedTablet]) {
        let discarded = self.storage.catalog().write(|write| {
            for tablet in tablets {
                for segment in &tablet.segments {
                    write.discard_file(tablet.tablet, &segment.digest, FileKind::Segment)?;
                }
            }
            Ok(())
        });
        if let Err(error) = discarded {
            tracing::warn!(transaction = %self.id, %error, "files of a failed load stay for a while");
            self.storage.expect_orphans();
        }
    }

    /// Renames and syncs, several tablets at a time: each of them waits for the disk.
    fn install(&self, tablets: &mut [EncodedTablet]) -> Result<()> {
        let roots = self.storage.roots();
        let threads = self.storage.config().encode_threads.max(1);
        let share = tablets.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = tablets
                .chunks_mut(share)
                .map(|chunk| scope.spawn(move || chunk.iter_mut().try_for_each(|tablet| tablet.staged.install(roots))))
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::Internal("an installing thread ended early".to_owned())))
            })
        })
    }

    /// Errors unless the table and every partition the load writes are what they were when it began.
    fn check_targets(&self, write: &WriteTransaction<'_>) -> Result<()> {
        let table = write
            .table_by_id(self.table)?
            .filter(|table| table.dropped_at_ms.is_none() && table.hidden_by.is_none())
            .ok_or_else(|| Error::not_found(Noun::Table, &self.table_name))?;
        let database = write.database_by_id(table.database_id)?.filter(|database| database.dropped_at_ms.is_none());
        if database.is_none() {
            return Err(Error::not_found(Noun::Table, &self.table_name));
        }
        if table.definition.columns != self.format.definition().columns {
            return Err(Error::Conflict(format!(
                "the columns of table '{}' changed while rows were loaded: load them again",
                self.table_name
            )));
        }
        for target in &self.targets {
            let live = write.partition_by_id(target.partition)?.is_some_and(|partition| {
                partition.table_id == self.table && partition.dropped_at_ms.is_none() && partition.hidden_by.is_none()
            });
            if !live && (self.kind == LoadKind::Overwrite || self.has_rows(target)) {
                return Err(Error::Conflict(format!(
                    "partition '{}' of table '{}' was dropped or replaced while rows were loaded: load them again",
                    target.name, self.table_name
                )));
            }
        }
        Ok(())
    }
}
