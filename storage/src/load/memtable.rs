//! Rows in memory: one memtable for each tablet of each load, and the one budget they share.
//!
//! Beyond half the budget, the largest memtables are sorted and written to staging as runs, in the background; beyond
//! the whole of it, writers wait. Whoever runs over the budget spills the largest memtable of any load, so that a load
//! whose client sleeps cannot hold up the others.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::LoadState;
use crate::digest::Digest;
use crate::error::Result;
use crate::segment::batch_bytes;
use crate::storage::Storage;

/// Small batches are put together until they have this many rows: sorting thousands of tiny ones is slow.
const COALESCE_ROWS: usize = 4096;

/// A memtable of this size is spilled whatever the budget: what is sorted at once should fit the machine's caches and
/// the offsets of one array.
const MEMTABLE_BYTES_MAX: u64 = 512 << 20;

/// The rows of one tablet that a load has not written yet, and the runs it has.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    batches: Vec<RecordBatch>,
    small: Vec<RecordBatch>,
    small_rows: usize,
    bytes: u64,
    /// Rows in all, spilled ones included.
    rows: u64,
    runs: Vec<Run>,
    runs_started: u64,
}

/// A sorted file of rows in staging.
#[derive(Debug)]
pub(super) struct Run {
    /// Its place in the order the rows came.
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    /// What it must be when it is read again: from here on a changed byte would be a row that nobody sent.
    pub(super) digest: Digest,
}

/// What a memtable held. It counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct TakenRows {
    pub(super) batches: Vec<RecordBatch>,
    /// Place of these rows in the order they came.
    pub(super) sequence: u64,
    _leaving: Leaving,
}

/// Bytes on their way from memory to staging.
#[derive(Debug)]
struct Leaving {
    storage: Arc<Storage>,
    bytes: u64,
}

impl Memtable {
    fn push(&mut self, batch: RecordBatch, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        self.rows += batch.num_rows() as u64;
        if batch.num_rows() < COALESCE_ROWS {
            self.small_rows += batch.num_rows();
            self.small.push(batch);
            if self.small_rows < COALESCE_ROWS {
                return Ok(());
            }
            return self.coalesce();
        }
        // The order of arrival is kept.
        self.coalesce()?;
        self.batches.push(batch);
        Ok(())
    }

    fn coalesce(&mut self) -> Result<()> {
        let small = std::mem::take(&mut self.small);
        self.small_rows = 0;
        match &small[..] {
            [] => {}
            [one] => self.batches.push(one.clone()),
            [first, ..] => self.batches.push(concat_batches(first.schema_ref(), &small)?),
        }
        Ok(())
    }

    pub(super) fn take(&mut self, storage: &Arc<Storage>) -> Result<TakenRows> {
        self.coalesce()?;
        let sequence = self.runs_started;
        self.runs_started += 1;
        let leaving = Leaving::begin(storage, std::mem::take(&mut self.bytes));
        Ok(TakenRows { batches: std::mem::take(&mut self.batches), sequence, _leaving: leaving })
    }

    pub(super) fn add_run(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// The runs in the order their rows came.
    pub(super) fn take_runs(&mut self) -> Vec<Run> {
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_by_key(|run| run.sequence);
        runs
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The budget that the memtables of all loads share.
#[derive(Debug)]
pub(crate) struct MemtableBudget {
    bytes_max: u64,
    /// In memtables and on the way from there to staging.
    used: AtomicU64,
    /// Of these, on the way.
    leaving: AtomicU64,
    freed: Notify,
    loads: Mutex<Vec<Weak<LoadState>>>,
}

impl MemtableBudget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        MemtableBudget {
            bytes_max: bytes_max.max(1),
            used: AtomicU64::new(0),
            leaving: AtomicU64::new(0),
            freed: Notify::new(),
            loads: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn register(&self, load: &Arc<LoadState>) {
        let mut loads = self.loads.lock();
        loads.retain(|load| load.strong_count() > 0);
        loads.push(Arc::downgrade(load));
    }

    /// Puts rows into a memtable and spills what is too much: in the background while there is room, and waiting
    /// otherwise.
    pub(super) async fn put(&self, load: &Arc<LoadState>, pieces: Vec<(usize, RecordBatch)>) -> Result<()> {
        for (slot, batch) in pieces {
            let bytes = batch_bytes(&batch) as u64;
            self.used.fetch_add(bytes, Ordering::Relaxed);
            metrics::gauge!("ebla_memtable_bytes").increment(bytes as f64);
            let mut memtable = load.memtables[slot].lock();
            memtable.push(batch, bytes)?;
            let too_large = memtable.bytes >= MEMTABLE_BYTES_MAX;
            drop(memtable);
            if too_large {
                self.spill_in_background(load, slot);
            }
        }
        while self.idle_bytes() > self.bytes_max / 2 {
            let Some((victim, slot)) = self.largest() else { break };
            self.spill_in_background(&victim, slot);
        }
        loop {
            let freed = self.freed.notified();
            // What stays in memtables is at most half the budget by now: the rest will come free.
            if self.used.load(Ordering::Relaxed) <= self.bytes_max || self.leaving.load(Ordering::Relaxed) == 0 {
                return Ok(());
            }
            freed.await;
        }
    }

    #[cfg(test)]
    pub(super) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Gives back bytes that were in memtables and are gone.
    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        metrics::gauge!("ebla_memtable_bytes").decrement(bytes as f64);
        self.freed.notify_waiters();
    }

    fn idle_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed).saturating_sub(self.leaving.load(Ordering::Relaxed))
    }

    /// The largest memtable of all loads.
    fn largest(&self) -> Option<(Arc<LoadState>, usize)> {
        let loads: Vec<Arc<LoadState>> = self.loads.lock().iter().filter_map(Weak::upgrade).collect();
        loads
            .into_iter()
            .filter(|load| !load.is_ending())
            .filter_map(|load| {
                let sizes = load.memtables.iter().map(|memtable| memtable.lock().bytes);
                let (slot, bytes) = sizes.enumerate().max_by_key(|(_, bytes)| *bytes)?;
                (bytes > 0).then_some((bytes, load, slot))
            })
            .max_by_key(|(bytes, _, _)| *bytes)
            .map(|(_, load, slot)| (load, slot))
    }

    fn spill_in_background(&self, load: &Arc<LoadState>, slot: usize) {
        // The load's end waits for every spill counted before it; one counted later finds that it is ending.
        let spill = Spill::begin(load);
        if load.is_ending() {
            return;
        }
        let taken = load.memtables[slot].lock().take(&load.storage);
        let taken = match taken {
            Ok(taken) if taken.batches.is_empty() => return,
            Ok(taken) => taken,
            Err(error) => return load.fail(error),
        };
        metrics::counter!("ebla_memtable_spills_total").increment(1);
        tokio::spawn(async move {
            if let Err(error) = spill.0.spill(slot, taken).await {
                spill.0.fail(error);
            }
        });
    }
}

impl Leaving {
    fn begin(storage: &Arc<Storage>, bytes: u64) -> Self {
        storage.memtables().leaving.fetch_add(bytes, Ordering::Relaxed);
        Leaving { storage: Arc::clone(storage), bytes }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let budget = self.storage.memtables();
        budget.leaving.fetch_sub(self.bytes, Ordering::Relaxed);
        budget.release(self.bytes);
    }
}

/// A spill that is under way.
#[derive(Debug)]
struct Spill(Arc<LoadState>);

impl Spill {
    fn begin(load: &Arc<LoadState>) -> Self {
        load.spills.fetch_add(1, Ordering::SeqCst);
        Spill(Arc::clone(load))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.0.spills.fetch_sub(1, Ordering::SeqCst);
        self.0.spills_ended.notify_waiters();
    }
}
