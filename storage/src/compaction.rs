//! Compaction: keeps the number of segments bounded and lets go of deleted rows.
//!
//! One compaction works on one tablet: the [`plan`] names segments, a merge writes their live rows, in the table's sort
//! order, as few new ones, and one transaction puts these in place of the others. Nothing that a reader sees changes
//! but the number of files. Loads and deletes are never held up: what they did to an input meanwhile is noticed in that
//! transaction, and the compaction is given up and tried again later.
//!
//! A segment that is rewritten is uploaded again by the next backup, so large segments are left alone (see [`plan`]).
//! Inputs are checked against their digests before they are read: damaged bytes must never get a new, valid name.

mod merge;
pub mod plan;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{PartitionState, RowsetRow, TableState, TabletState};
use crate::error::{Error, Result};
use crate::ids::{RowsetId, TabletId};
use crate::schema::KeysType;
use crate::storage::{Storage, blocking};
use crate::table_snapshot::TableSnapshot;
use plan::{CompactionPlan, CompactionPolicy, CompactionReason};

/// How long a tablet is left alone after its first failed compaction; doubled with each that follows.
const RETRY_AFTER_MS: i64 = 1_000;

/// The most that becomes.
const RETRY_AFTER_MS_MAX: i64 = 600_000;

/// Times a requested compaction of a tablet may be overtaken by loads and deletes before it is given up.
const OVERTAKEN_MAX: u32 = 8;

/// What one compaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionReport {
    /// The tablet.
    pub tablet: TabletId,
    /// Why.
    pub reason: CompactionReason,
    /// Segments that were replaced.
    pub input_segments: usize,
    /// Their bytes.
    pub input_bytes: u64,
    /// Segments that took their place.
    pub output_segments: usize,
    /// Their bytes.
    pub output_bytes: u64,
    /// Rows in them.
    pub rows: u64,
}

/// What became of a look at one tablet.
#[derive(Debug)]
enum Outcome {
    /// There is nothing to do.
    Idle,
    /// Segments were replaced.
    Done(CompactionReport),
    /// Another change was faster; what was written is thrown away.
    Overtaken,
}

/// What decides which tablet is looked at next.
#[derive(Debug, Default)]
pub(crate) struct Compactor(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    /// The catalog version at which tablets were last gathered.
    gathered_at: i64,
    /// The newest rowset that was seen.
    newest: RowsetId,
    /// Tablets that may need something.
    waiting: BTreeSet<TabletId>,
    /// Tablets that are left alone for a while, with their failures in a row.
    resting: HashMap<TabletId, (u32, i64)>,
    /// Where the round has come to.
    last: TabletId,
}

impl Storage {
    /// Does the most useful compaction there is, if any is. One runs at a time.
    pub async fn compact_once(self: &Arc<Self>) -> Result<Option<CompactionReport>> {
        let storage = Arc::clone(self);
        blocking(move || storage.compact_next()).await
    }

    /// Merges everything in a table that is not final (see [`plan`]), tablet by tablet. Returns when that is done.
    pub async fn compact_table(self: &Arc<Self>, database: &str, table: &str) -> Result<()> {
        let snapshot = self.table_snapshot(database, table)?;
        let tablets: Vec<TabletId> = snapshot
            .state()
            .partitions
            .iter()
            .flat_map(|partition| &partition.tablets)
            .map(|tablet| tablet.tablet.id)
            .collect();
        drop(snapshot);
        for tablet in tablets {
            let storage = Arc::clone(self);
            blocking(move || storage.compact_requested(tablet)).await?;
        }
        Ok(())
    }

    /// [`Storage::compact_once`] on the thread of the caller.
    pub(crate) fn compact_next(&self) -> Result<Option<CompactionReport>> {
        let mut queue = self.compactor().0.lock();
        queue.gather(self)?;
        while let Some(tablet) = queue.next(self.clock().now_ms()) {
            let outcome = self.compact_tablet(tablet, |policy, rowsets| policy.next(rowsets));
            match outcome {
                Ok(Outcome::Idle) => {
                    queue.waiting.remove(&tablet);
                    queue.resting.remove(&tablet);
                }
                Ok(Outcome::Done(report)) => {
                    queue.resting.remove(&tablet);
                    return Ok(Some(report));
                }
                Ok(Outcome::Overtaken) => queue.rest(tablet, self.clock().now_ms()),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    queue.rest(tablet, self.clock().now_ms());
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn compact_requested(&self, tablet: TabletId) -> Result<()> {
        let mut overtaken = 0;
        let mut small_before = usize::MAX;
        loop {
            // Taken for each merge anew, so that background work is not kept out for long.
            let _alone = self.compactor().0.lock();
            let policy = CompactionPolicy::new(self.config());
            let mut small = 0;
            let outcome = self.compact_tablet(tablet, |policy, rowsets| {
                let segments = rowsets.iter().flat_map(|rowset| &rowset.segments);
                small = segments.filter(|segment| !policy.is_final(segment) || segment.deletes.is_some()).count();
                // Rows that compress better than was thought may leave small segments again: once is enough.
                if small >= small_before { None } else { policy.next_requested(rowsets) }
            })?;
            match outcome {
                Outcome::Idle => return Ok(()),
                Outcome::Done(report) if report.reason == CompactionReason::Emptied => {}
                Outcome::Done(_) => small_before = small,
                Outcome::Overtaken if overtaken < OVERTAKEN_MAX => overtaken += 1,
                Outcome::Overtaken => {
                    return Err(Error::Conflict(format!(
                        "tablet {tablet} is written too often to be compacted to {} bytes a segment: try again later",
                        policy.segment_bytes_target
                    )));
                }
            }
        }
    }

    /// Compacts one tablet once, as `choose` says.
    fn compact_tablet(
        &self,
        tablet: TabletId,
        choose: impl FnOnce(&CompactionPolicy, &[RowsetRow]) -> Option<CompactionPlan>,
    ) -> Result<Outcome> {
        let Some(snapshot) = self.tablet_snapshot(tablet)? else { return Ok(Outcome::Idle) };
        let policy = CompactionPolicy::new(self.config());
        let Some(plan) = choose(&policy, &only_tablet(&snapshot)?.rowsets) else { return Ok(Outcome::Idle) };
        let _span = tracing::info_span!("compaction", %tablet, table = %snapshot.table().name).entered();
        let began_ms = self.clock().now_ms();
        let outcome = merge::run(self, &snapshot, &plan);
        let result = match &outcome {
            Ok(Outcome::Done(report)) => {
                report.publish(self.clock().now_ms() - began_ms);
                "done"
            }
            Ok(Outcome::Overtaken) => {
                tracing::debug!("compaction is overtaken");
                "overtaken"
            }
            Ok(Outcome::Idle) | Err(Error::Cancelled) => return outcome,
            Err(_) => "failed",
        };
        metrics::counter!("ebla_compactions_total", "result" => result).increment(1);
        outcome
    }

    /// One tablet of a table as a snapshot of its own, which keeps its files; nothing when it is not to be compacted.
    fn tablet_snapshot(&self, tablet: TabletId) -> Result<Option<Arc<TableSnapshot>>> {
        let _gate = self.pins().install_guard();
        self.catalog().read(|read| {
            let Some(owner) = read.tablet_owner(tablet)? else { return Ok(None) };
            // Rows of equal key are combined in the order of their versions there, which a merge of some would lose.
            let ordered = owner.table.definition.keys_type == KeysType::Aggregate;
            if !owner.live || owner.hidden || ordered {
                return Ok(None);
            }
            let replicas = read.replicas(tablet)?;
            let rowsets = read.rowsets(tablet)?;
            let tablets = vec![TabletState { tablet: owner.tablet, replicas, rowsets }];
            let state = TableState {
                table: owner.table,
                catalog_version: read.version()?,
                partitions: vec![Arc::new(PartitionState { partition: owner.partition, tablets })],
            };
            let snapshot = Arc::new(TableSnapshot::new(owner.database, state, Arc::clone(self.files())));
            self.pins().register(&snapshot);
            Ok(Some(snapshot))
        })
    }
}

fn only_tablet(snapshot: &TableSnapshot) -> Result<&TabletState> {
    let tablet = snapshot.state().partitions.first().and_then(|partition| partition.tablets.first());
    tablet.ok_or_else(|| Error::Internal("a snapshot of one tablet holds none".to_owned()))
}

impl Default for Queue {
    fn default() -> Self {
        // Below every version, rowset and tablet there is: the first look gathers all of them.
        Queue {
            gathered_at: 0,
            newest: RowsetId(0),
            waiting: BTreeSet::new(),
            resting: HashMap::new(),
            last: TabletId(0),
        }
    }
}

impl Queue {
    /// Adds the tablets that have changed since the last time.
    fn gather(&mut self, storage: &Storage) -> Result<()> {
        let version = storage.catalog().version();
        if self.gathered_at == version {
            return Ok(());
        }
        let percent = storage.config().compaction_deleted_percent;
        let (changed, newest, deleted) = storage.catalog().read(|read| {
            let (changed, newest) = read.tablets_changed_since(self.newest)?;
            Ok((changed, newest, read.tablets_with_deleted_percent(percent)?))
        })?;
        self.waiting.extend(changed);
        self.waiting.extend(deleted);
        self.newest = newest;
        self.gathered_at = version;
        Ok(())
    }

    /// The next tablet of the round that is not resting.
    fn next(&mut self, now_ms: i64) -> Option<TabletId> {
        let after = self.waiting.range((Bound::Excluded(self.last), Bound::Unbounded));
        let before = self.waiting.range(..=self.last);
        let rested = |tablet: &&TabletId| self.resting.get(tablet).is_none_or(|(_, until_ms)| *until_ms <= now_ms);
        let next = after.chain(before).find(rested).copied()?;
        self.last = next;
        Some(next)
    }

    fn rest(&mut self, tablet: TabletId, now_ms: i64) {
        let failures = self.resting.get(&tablet).map_or(0, |(failures, _)| *failures);
        let pause_ms = RETRY_AFTER_MS.saturating_mul(1 << failures.min(20)).min(RETRY_AFTER_MS_MAX);
        self.resting.insert(tablet, (failures.saturating_add(1), now_ms.saturating_add(pause_ms)));
    }
}

impl CompactionReport {
    fn publish(&self, took_ms: i64) {
        metrics::counter!("ebla_compaction_input_bytes_total").increment(self.input_bytes);
        metrics::counter!("ebla_compaction_output_bytes_total").increment(self.output_bytes);
        metrics::histogram!("ebla_compaction_seconds").record(took_ms as f64 / 1000.0);
        tracing::info!(
            reason = ?self.reason,
            input_segments = self.input_segments,
            input_bytes = self.input_bytes,
            output_segments = self.output_segments,
            output_bytes = self.output_bytes,
            rows = self.rows,
            took_ms,
            "tablet is compacted"
        );
    }
}

#[cfg(test)]
mod tests;
