//! Object locks of a backup: when the commit object is put, everything the snapshot is going to name is locked for as
//! long as `aws.s3.object_lock_days` says, whoever had put it, and whenever.
//!
//! What this job puts is locked with the put. What was there before has the lock of an earlier day; whether that still
//! lasts is known without a request: a commit object says how long everything it names was locked at least, so the
//! parent tells for all that is taken over from it. Locks are granted longer than is asked for, so that most backups
//! find the parent's long enough, and then nothing is asked of the store. Otherwise each object is locked anew, with one
//! request for each.
//!
//! Run again, it locks again; a lock is never shortened.

use std::collections::HashSet;

use futures::{FutureExt, TryStreamExt, stream};

use super::cut::{Cut, CutPartition, CutTable};
use super::plan::{UploadPlan, WantedObject, objects_of};
use super::{publish, upload};
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::job::JobContext;
use crate::repository::format::{NodeRef, SnapshotLock};
use crate::repository::{ObjectLock, Repository};

/// What a lock must last beyond what is asked for to be taken over: between the promise and the commit object, nodes
/// are put and locks extended.
const MARGIN_MS: i64 = 3_600_000;

/// Objects that are locked together: a partition by itself may have too few to keep all requests busy.
const BATCH_OBJECTS_MIN: usize = 1_024;

/// Why a backup ends whose locks were taken away while it ran.
const WEAKENED: &str = "the object locks of the repository were made weaker while the backup ran; back up again: what has \
                        been uploaded is not uploaded again";

/// When the locks end that are known without a request; 0 where nothing is known.
struct Known {
    /// Of what this job has put.
    put_until_ms: i64,
    /// Of what the parent names.
    parent_until_ms: i64,
}

impl Known {
    fn of(context: &JobContext, lock: ObjectLock, plan: &UploadPlan) -> Known {
        // ALTER REPOSITORY may have asked for other locks since the first put.
        let put_so = plan.lock.filter(|put| put.mode >= lock.mode && put.granted_ms() >= lock.granted_ms());
        let parent = plan.parent_lock.filter(|parent| parent.mode >= lock.mode);
        Known {
            // Nothing was put before the job was submitted.
            put_until_ms: put_so.map_or(0, |_| context.created_at_ms.saturating_add(lock.granted_ms())),
            parent_until_ms: parent.map_or(0, |parent| parent.until_ms),
        }
    }
}

/// How long everything the snapshot names will be locked at least, for its commit object to say.
pub(super) fn promise(context: &JobContext, repository: &Repository, plan: &UploadPlan) -> Option<SnapshotLock> {
    let lock = repository.object_lock()?;
    let now_ms = context.now_ms();
    let known = Known::of(context, lock, plan);
    let least = now_ms.saturating_add(lock.wanted_ms()).saturating_add(MARGIN_MS);
    // A lock that ends earlier is going to be extended, and then lasts as long as one that is put now.
    let lasting = [known.put_until_ms, known.parent_until_ms].into_iter().filter(|until_ms| *until_ms >= least);
    let until_ms = lasting.fold(now_ms.saturating_add(lock.granted_ms()), i64::min);
    Some(SnapshotLock { mode: lock.mode, until_ms })
}

/// Extends the locks that would end too early.
/// Retries what may pass. What turns out to be gone is put again.
pub(super) async fn extend(
    context: &JobContext,
    repository: &Repository,
    database: &str,
    plan: &UploadPlan,
) -> Result<()> {
    let promised = publish::load_manifest(context).await?;
    let now_ms = context.now_ms().max(promised.finished_at_ms);
    // What ALTER REPOSITORY has changed since the promise was written down.
    let kept = |promised: &SnapshotLock, lock: &ObjectLock| {
        lock.mode >= promised.mode && now_ms.saturating_add(lock.granted_ms()) >= promised.until_ms
    };
    let lock = match (repository.object_lock(), &promised.locked) {
        (None, None) => return Ok(()),
        (Some(lock), Some(promised)) if kept(promised, &lock) => lock,
        (Some(lock), None) => lock,
        (_, Some(_)) => return Err(Error::invalid(WEAKENED)),
    };
    let known = Known::of(context, lock, plan);
    let promised_until_ms = promised.locked.map_or(0, |locked| locked.until_ms);
    let least = now_ms.saturating_add(lock.wanted_ms()).max(promised_until_ms);
    let locks = Locks { context, repository, database };
    locks.objects(&plan.present).await?;
    if known.put_until_ms < least {
        locks.objects(&plan.objects).await?;
    }
    if known.parent_until_ms < least {
        locks.taken_over(plan).await?;
    }
    Ok(())
}

/// What locks are asked with.
struct Locks<'a> {
    context: &'a JobContext,
    repository: &'a Repository,
    database: &'a str,
}

impl Locks<'_> {
    /// Locks everything that the snapshot names and the plan does not, and the repository's identity.
    async fn taken_over(&self, plan: &UploadPlan) -> Result<()> {
        let (context, repository) = (self.context, self.repository);
        context.retry("lock repository", || async { Ok(repository.lock_identity().await?) }).await?;
        context.retry("lock mended copies", || async { Ok(repository.lock_mended().await?) }).await?;
        let cut = Cut::load(context).await?;
        let put: HashSet<(FileKind, Digest)> =
            plan.objects.iter().chain(&plan.present).map(|object| (object.kind, object.digest)).collect();
        let put_nodes: HashSet<Digest> =
            plan.partition_nodes.iter().chain(&plan.table_nodes).map(|node| node.digest).collect();
        let taken_over = |node: &NodeRef| !put_nodes.contains(&node.digest);
        let mut nodes: Vec<NodeRef> = cut.tables.iter().map(|table| table.entry.node).filter(taken_over).collect();
        let mut batch = Vec::new();
        for (table, partition) in partitions(&cut) {
            nodes.extend(Some(partition.node).filter(taken_over));
            let objects = objects_of(context, table, partition).await?;
            batch.extend(objects.into_iter().filter(|object| !put.contains(&(object.kind, object.digest))));
            if batch.len() >= BATCH_OBJECTS_MIN {
                self.objects(&batch).await?;
                batch.clear();
            }
        }
        self.objects(&batch).await?;
        nodes.sort_unstable_by_key(|node| node.digest);
        nodes.dedup();
        self.nodes(&nodes).await
    }

    async fn objects(&self, objects: &[WantedObject]) -> Result<()> {
        stream::iter((0..objects.len()).map(Ok::<usize, Error>))
            .try_for_each_concurrent(self.in_flight_max(), |position| self.object(&objects[position]).boxed())
            .await
    }

    async fn nodes(&self, nodes: &[NodeRef]) -> Result<()> {
        stream::iter((0..nodes.len()).map(Ok::<usize, Error>))
            .try_for_each_concurrent(self.in_flight_max(), |position| self.node(nodes[position]).boxed())
            .await
    }

    async fn object(&self, wanted: &WantedObject) -> Result<()> {
        let (object, repository) = (wanted.object(), self.repository);
        let what = format!("lock {}.{}", wanted.digest, wanted.kind);
        let is_there = self.context.retry(what, || async { Ok(repository.lock_object(&object).await?) }).await?;
        match is_there {
            true => Ok(()),
            false => upload::upload(self.context, repository, self.database, wanted).await,
        }
    }

    async fn node(&self, node: NodeRef) -> Result<()> {
        let repository = self.repository;
        let is_there = self.context.retry("lock node", || async { Ok(repository.lock_node(&node).await?) }).await?;
        match is_there {
            true => Ok(()),
            false => publish::put_node(self.context, repository, node).await,
        }
    }

    fn in_flight_max(&self) -> usize {
        self.context.config.upload_concurrency_max.max(1)
    }
}

fn partitions(cut: &Cut) -> impl Iterator<Item = (&CutTable, &CutPartition)> {
    cut.tables.iter().flat_map(|table| table.partitions.iter().map(move |partition| (table, partition)))
}
