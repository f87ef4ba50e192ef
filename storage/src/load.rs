//! Loads: rows come in as batches and become visible all at once, or not at all.
//!
//! 1. [`Storage::begin_load`] takes the label and fixes the partitions that the load may write.
//! 2. [`Load::write`] checks each batch, deals its rows to tablets and keeps them in memtables, which spill to sorted
//!    runs in staging when memory runs short.
//! 3. [`Load::commit`] sorts and merges what there is of each tablet into few large segments, syncs them, moves them to
//!    every replica, and shows them by one catalog transaction, which also closes the label. A DELETE that was overtaken
//!    has its turn first.
//!
//! A load that is dropped or fails leaves nothing: staging is removed and the label is free again. One that a crash cut
//! off is aborted at the next start. A label that was committed is refused until it expires: a client that does not know
//! whether its load arrived sends it again under the same label.

mod check;
mod deal;
mod memtable;
mod publish;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::Instrument;

pub use check::{REFUSED_ROWS_NAMED_MAX, RefusedRow, RefusedRows};
pub(crate) use memtable::MemtableBudget;

use crate::catalog::{FailedLoad, LoadKind, TabletState};
use crate::error::{Error, Noun, Result};
use crate::ids::{PartitionId, TableId, TransactionId};
use crate::segment::{SegmentFormat, sort, write_run};
use crate::storage::{Storage, blocking};
use crate::tablet::{PartitionRouter, staging_for};
use check::unchecked_schema;
use deal::distribution_positions;
use memtable::{Memtable, Run, TakenRows};

/// What is to be loaded.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The label; one is made up when there is none.
    pub label: Option<String>,
    /// What kind of load it is. [`LoadKind::Overwrite`] replaces what the partitions hold.
    pub kind: LoadKind,
    /// The partitions the rows may go to; all when not given.
    pub partitions: Option<Vec<String>>,
    /// The share of rows, from 0 to 1, that may be filtered before the load fails.
    pub max_filter_ratio: f64,
}

/// What became of a load that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReceipt {
    /// Its transaction.
    pub transaction_id: TransactionId,
    /// Its label.
    pub label: String,
    /// Rows that were loaded or deleted.
    pub rows: u64,
    /// Rows that were left out.
    pub filtered_rows: u64,
    /// Bytes that were written, of one replica.
    pub bytes: u64,
}

/// A load that is running. Dropping it aborts it.
#[derive(Debug)]
#[must_use = "a load that is dropped is aborted"]
pub struct Load {
    state: Arc<LoadState>,
    unchecked: SchemaRef,
    router: PartitionRouter,
    /// Positions of the columns that distribute rows over buckets; none for random distribution.
    distribution: Vec<usize>,
    /// The next bucket of a random distribution: batches take turns.
    turn: usize,
    rows: u64,
    filtered_rows: u64,
    max_filter_ratio: f64,
    span: tracing::Span,
}

/// What the parts of a load share. When the last of them lets go, what was not committed is aborted.
#[derive(Debug)]
pub(crate) struct LoadState {
    storage: Arc<Storage>,
    id: TransactionId,
    label: String,
    kind: LoadKind,
    table: TableId,
    table_name: String,
    format: SegmentFormat,
    targets: Vec<Target>,
    /// One for each tablet, partition by partition.
    memtables: Vec<Mutex<Memtable>>,
    /// Name of its staging directories.
    staging: String,
    /// Spills under way.
    spills: AtomicUsize,
    spills_ended: Notify,
    failure: Mutex<Option<SpillFailure>>,
    ending: AtomicBool,
    /// Whether it was committed or aborted.
    ended: AtomicBool,
    began_at_ms: i64,
    runs_named: AtomicU64,
}

/// Why rows of a load could not be spilled.
#[derive(Debug)]
struct SpillFailure {
    /// Until somebody is told: the load ends with it.
    error: Option<Error>,
    text: String,
}

/// A partition the load may write.
#[derive(Debug)]
struct Target {
    partition: PartitionId,
    name: String,
    /// Its tablets by bucket.
    tablets: Vec<TabletState>,
    /// Position of the first one's memtable.
    first_slot: usize,
}

impl Storage {
    /// Begins a load. Errors when the label is taken, or when the table or a partition is not there.
    pub async fn begin_load(self: &Arc<Self>, spec: LoadSpec) -> Result<Load> {
        let storage = Arc::clone(self);
        let load = blocking(move || Load::begin(storage, spec)).await?;
        self.memtables().register(&load.state);
        Ok(load)
    }
}

impl Load {
    fn begin(storage: Arc<Storage>, spec: LoadSpec) -> Result<Load> {
        let snapshot = storage.table_snapshot(&spec.database, &spec.table)?;
        let table = snapshot.table();
        let definition = Arc::clone(&table.definition);
        let format = SegmentFormat::new(&definition, storage.config())?;
        let mut names = spec.partitions;
        let mut targets = Vec::new();
        let mut bounds = Vec::new();
        let mut slots = 0;
        for state in &snapshot.state().partitions {
            let partition = &state.partition;
            if let Some(names) = &mut names {
                let before = names.len();
                names.retain(|name| !name.eq_ignore_ascii_case(&partition.name));
                if names.len() == before {
                    continue;
                }
            }
            // Tablets come by index, and the base index is the oldest.
            let base = state.tablets.first().map(|tablet| tablet.tablet.index_id);
            let mut tablets: Vec<TabletState> = Vec::with_capacity(partition.buckets as usize);
            for tablet in state.tablets.iter().filter(|tablet| Some(tablet.tablet.index_id) == base) {
                // What is in them does not matter here.
                tablets.push(TabletState { rowsets: Vec::new(), ..tablet.clone() });
            }
            let first_slot = slots;
            slots += tablets.len();
            bounds.push(partition.bounds.clone());
            targets.push(Target { partition: partition.id, name: partition.name.clone(), tablets, first_slot });
        }
        if let Some(name) = names.and_then(|names| names.into_iter().next()) {
            return Err(Error::not_found(Noun::Partition, name));
        }
        let router = PartitionRouter::new(&definition, &bounds)?;
        let distribution = distribution_positions(&definition)?;

        storage.finish_aborts()?;
        let row = storage
            .catalog()
            .write(|write| write.begin_load(table.database_id, &table.name, spec.label.as_deref(), spec.kind))?;
        let span = tracing::info_span!("load", transaction = %row.id, table = %table.name);
        let state = LoadState {
            id: row.id,
            label: row.label,
            kind: spec.kind,
            table: table.id,
            table_name: table.name.clone(),
            format,
            targets,
            memtables: (0..slots).map(|_| Mutex::new(Memtable::default())).collect(),
            staging: row.id.to_string(),
            spills: AtomicUsize::new(0),
            spills_ended: Notify::new(),
            failure: Mutex::new(None),
            ending: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            began_at_ms: row.created_at_ms,
            runs_named: AtomicU64::new(0),
            storage,
        };
        Ok(Load {
            unchecked: unchecked_schema(&definition),
            router,
            distribution,
            turn: row.id.0.unsigned_abs() as usize,
            rows: 0,
            filtered_rows: 0,
            max_filter_ratio: spec.max_filter_ratio,
            state: Arc::new(state),
            span,
        })
    }

    /// Its transaction.
    pub fn transaction_id(&self) -> TransactionId {
        self.state.id
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.state.label
    }

    /// The Arrow schema of the table: what [`Load::write`] takes without converting.
    pub fn schema(&self) -> &SchemaRef {
        self.state.format.schema()
    }

    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows left out so far.
    pub fn filtered_rows(&self) -> u64 {
        self.filtered_rows
    }

    /// Takes in rows: every column of the table, found by name. Gives back the rows that were refused, which count as
    /// filtered; the others are kept. May wait until there is memory.
    ///
    /// Errors when a column is missing or unknown, and when an earlier write could not be kept: the load cannot commit
    /// then.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<RefusedRows> {
        self.state.check_failure()?;
        let (pieces, kept, refused) = self.span.clone().in_scope(|| self.deal(&batch))?;
        self.rows += kept;
        self.filtered_rows += refused.count;
        self.state.storage.memtables().put(&self.state, pieces).await?;
        self.state.check_failure()?;
        Ok(refused)
    }

    /// What of a batch a write would leave out. Its rows are counted, and nothing of it is kept: for a load that fails
    /// anyway, and says of all its rows what is wrong with them.
    pub fn refuse(&mut self, batch: &RecordBatch) -> Result<RefusedRows> {
        let (_, good, refused) = self.span.clone().in_scope(|| self.deal(batch))?;
        self.rows += good;
        self.filtered_rows += refused.count;
        Ok(refused)
    }

    /// Counts rows that the caller left out.
    pub fn add_filtered(&mut self, rows: u64) {
        self.filtered_rows += rows;
    }

    /// Makes everything that was written visible. Errors, and aborts the load, when more rows were filtered than the
    /// load allows, when the table changed under it, or when the disk fails: then nothing is visible.
    pub async fn commit(self) -> Result<LoadReceipt> {
        let span = self.span.clone();
        self.try_commit().instrument(span).await
    }

    async fn try_commit(self) -> Result<LoadReceipt> {
        let state = Arc::clone(&self.state);
        let (rows, filtered_rows) = (self.rows, self.filtered_rows);
        let result = self.encode_and_publish().await;
        match &result {
            Ok(receipt) => {
                let took_ms = state.storage.clock().now_ms() - state.began_at_ms;
                metrics::counter!("ebla_loads_total", "state" => "visible").increment(1);
                metrics::counter!("ebla_load_rows_total").increment(receipt.rows);
                metrics::counter!("ebla_load_bytes_total").increment(receipt.bytes);
                metrics::histogram!("ebla_load_seconds").record(took_ms as f64 / 1000.0);
                tracing::debug!(rows = receipt.rows, bytes = receipt.bytes, took_ms, "load is visible");
            }
            Err(error) => {
                tracing::info!(%error, "load failed");
                state.abort(FailedLoad { id: state.id, reason: error.to_string(), rows, filtered_rows }).await;
            }
        }
        result
    }

    async fn encode_and_publish(self) -> Result<LoadReceipt> {
        self.check_filter_ratio()?;
        self.state.wait_for_spills().await;
        self.state.check_failure()?;
        let tablets = self.state.encode().await?;
        let (state, rows, filtered) = (Arc::clone(&self.state), self.rows, self.filtered_rows);
        let turn = state.storage.publish_turns().beside_others(state.table).await;
        blocking(move || {
            let _turn = turn;
            let receipt = state.publish(tablets, rows, filtered)?;
            state.ended.store(true, Ordering::Release);
            state.storage.clear_staging(&state.staging);
            Ok(receipt)
        })
        .await
    }

    /// Gives the load up: nothing of it becomes visible and its label is free again. The rows it saw are told with it.
    pub async fn abort(self, reason: &str) {
        self.state.wait_for_spills().await;
        let reason = reason.to_owned();
        let (rows, filtered_rows) = (self.rows, self.filtered_rows);
        self.state.abort(FailedLoad { id: self.state.id, reason, rows, filtered_rows }).await;
    }

    fn check_filter_ratio(&self) -> Result<()> {
        let seen = self.rows + self.filtered_rows;
        // A ratio of whole counts: the comparison is exact for any load that fits a disk.
        if self.filtered_rows as f64 > self.max_filter_ratio * seen as f64 {
            return Err(Error::invalid(format!(
                "too many filtered rows: {} of {seen} rows do not fit the table, and max_filter_ratio is {}",
                self.filtered_rows, self.max_filter_ratio
            )));
        }
        Ok(())
    }
}

impl LoadState {
    /// The tablet of a memtable, with the position of its partition.
    fn tablet(&self, slot: usize) -> (usize, &TabletState) {
        let target = self.targets.partition_point(|target| target.first_slot <= slot) - 1;
        (target, &self.targets[target].tablets[slot - self.targets[target].first_slot])
    }

    fn has_rows(&self, target: &Target) -> bool {
        let slots = target.first_slot..target.first_slot + target.tablets.len();
        self.memtables[slots].iter().any(|memtable| memtable.lock().rows() > 0)
    }

    /// Sorts rows and writes them to staging as a run.
    async fn spill(self: &Arc<Self>, slot: usize, taken: TakenRows) -> Result<()> {
        let permit = self.storage.encoder().await?;
        let load = Arc::clone(self);
        blocking(move || {
            let _permit = permit;
            let (_, tablet) = load.tablet(slot);
            let (_, directory) = staging_for(load.storage.roots(), tablet.tablet.id, &tablet.replicas, &load.staging)?;
            let number = load.runs_named.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("run-{number}"));
            let sequence = taken.sequence;
            let digest = write_run(&load.format, &path, sort(load.format.sort_key(), taken.batches)?)?;
            load.memtables[slot].lock().add_run(Run { sequence, path, digest });
            Ok(())
        })
        .await
    }

    async fn wait_for_spills(&self) {
        // From here on nobody begins another one.
        self.ending.store(true, Ordering::SeqCst);
        loop {
            let ended = self.spills_ended.notified();
            if self.spills.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn fail(&self, error: Error) {
        tracing::error!(transaction = %self.id, %error, "rows cannot be spilled");
        self.failure.lock().get_or_insert_with(|| SpillFailure { text: error.to_string(), error: Some(error) });
    }

    fn check_failure(&self) -> Result<()> {
        match self.failure.lock().as_mut() {
            None => Ok(()),
            // The first who asks gets the error as it is: a full disk is no fault of the program.
            Some(failure) => Err(failure.error.take().unwrap_or_else(|| Error::Conflict(failure.text.clone()))),
        }
    }

    async fn abort(self: &Arc<Self>, failed: FailedLoad) {
        let load = Arc::clone(self);
        let aborted = blocking(move || {
            load.abort_now(failed);
            Ok(())
        });
        if let Err(error) = aborted.await {
            tracing::error!(transaction = %self.id, %error, "cannot abort the load");
        }
    }

    fn abort_now(&self, failed: FailedLoad) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            abort(&self.storage, &self.staging, failed);
        }
    }
}

impl Drop for LoadState {
    fn drop(&mut self) {
        let bytes: u64 = self.memtables.iter().map(|memtable| memtable.lock().bytes()).sum();
        self.storage.memtables().release(bytes);
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (storage, id, staging) = (Arc::clone(&self.storage), self.id, self.staging.clone());
        let failed = FailedLoad::uncounted(id, "the statement was stopped, or its client went away");
        let end = move || abort(&storage, &staging, failed);
        match tokio::runtime::Handle::try_current() {
            // A runtime that stops may not run it: then the next start does.
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

/// Frees the label and removes staging. What fails here is made good later.
fn abort(storage: &Storage, staging: &str, failed: FailedLoad) {
    metrics::counter!("ebla_loads_total", "state" => "aborted").increment(1);
    storage.abort_load(failed);
    storage.clear_staging(staging);
}

#[cfg(test)]
mod tests;
