//! What a backup says before it takes any object for present, what it does about marks, and how it takes its word back.
//!
//! The order is that of [`crate::lifecycle`]: announce, then look at the marks, then find out what is present. When this
//! has been done, no collection removes what the snapshot needs until the backup is over.

use super::BackupJob;
use super::cut::{Cut, load_node};
use super::publish::{PUBLISHED_WAIT, load_manifest};
use crate::catalog::FileKind;
use crate::error::{Error, Result};
use crate::job::{FailPoint, JobContext};
use crate::lifecycle::{MARK_POLL, MarkWatch, Monotonic, SystemTimer};
use crate::repository::format::{Announcement, Content, FORMAT_VERSION, Mark, PartitionNode, Tombstone};
use crate::repository::{Entombed, Repository, RepositoryError};

/// What came of taking an announcement back.
pub(super) enum Withdrawn {
    /// The snapshot is not there and will never be.
    Yes,
    /// It had been published.
    Published,
}

impl BackupJob {
    /// What is announced: the same bytes each time.
    pub(super) fn announcement(&self, context: &JobContext) -> Announcement {
        Announcement {
            format_version: FORMAT_VERSION,
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: context.storage.catalog().cluster_id().to_owned(),
            job_id: context.id.0,
            label: self.label.clone(),
            timestamp: self.timestamp.clone(),
            // Rounded up: who counts from the announcement must not come to an end sooner.
            timeout_s: context.timeout_ms.unsigned_abs().div_ceil(1_000),
        }
    }

    /// Announces the snapshot and does away with the marks that stand against it.
    pub(super) async fn announce(&self, context: &JobContext, repository: &Repository, cut: &Cut) -> Result<()> {
        let announcement = self.announcement(context);
        context.retry("announce the backup", || async { Ok(repository.announce(&announcement).await?) }).await?;
        context.reach(FailPoint::BackupAnnounced).await?;
        let open = context.retry("list marks", || async { Ok(MarkWatch::list(repository).await?) }).await?;
        let (timer, watch) = (SystemTimer::default(), MarkWatch::new(&announcement.cluster_id));
        let mut trouble = context.trouble();
        for open in &open {
            let needed = match open.mark() {
                Some(mark) => needs(context, cut, mark).await?,
                None => true,
            };
            if !needed {
                continue;
            }
            loop {
                let token = context.storage.catalog().random().identifier();
                let settled = context
                    .retry("cancel a mark", || async {
                        Ok(watch.settle(repository, open, timer.elapsed(), token.clone()).await?)
                    })
                    .await?;
                if settled {
                    tracing::info!(mark = open.id(), "a mark named what the backup needs; it is settled");
                    break;
                }
                trouble.tell(format!(
                    "waiting for the collection of garbage under mark {}: it removes what this backup has to put again",
                    open.id()
                ));
                let slept = context.gate.token().run_until_cancelled(tokio::time::sleep(MARK_POLL)).await;
                slept.ok_or(Error::Cancelled)?;
            }
        }
        Ok(())
    }

    /// Errors when the announcement is gone: then the backup has been given up, long ago.
    pub(super) async fn check_announced(&self, context: &JobContext, repository: &Repository) -> Result<()> {
        let announcement = self.announcement(context);
        let there = context
            .retry("look for the announcement", || async { Ok(repository.is_announced(&announcement).await?) })
            .await?;
        if there {
            return Ok(());
        }
        Err(RepositoryError::SnapshotFenced {
            label: self.label.clone(),
            timestamp: self.timestamp.to_string(),
            tombstone: Tombstone::Fenced,
        }
        .into())
    }

    /// Puts a tombstone where the snapshot would come, so that nobody waits for it, and learns whether it was there
    /// already.
    pub(super) async fn withdraw(&self, context: &JobContext) -> Result<Withdrawn> {
        let asked = tokio::time::timeout(PUBLISHED_WAIT, async {
            let repository = context.repository(self.repository_id).await?;
            let name = (self.label.clone(), self.timestamp.clone());
            if repository.entomb(&name, Tombstone::Withdrawn).await? == Entombed::Yes {
                return Ok(Withdrawn::Yes);
            }
            if !self.publishing {
                return Ok(Withdrawn::Yes); // Somebody else's, of the same name.
            }
            let own = load_manifest(context).await?;
            match repository.read_manifest(&self.label, &self.timestamp).await {
                Ok(found) if found == own => Ok(Withdrawn::Published),
                Ok(_) | Err(RepositoryError::SnapshotNotFound { .. }) => Ok(Withdrawn::Yes),
                Err(error) => Err(error.into()),
            }
        });
        match asked.await {
            Ok(withdrawn) => withdrawn,
            Err(_) => Err(Error::Conflict("the repository did not answer in time".to_owned())),
        }
    }
}

/// Whether the snapshot needs something that a mark names. Asks nobody: the cut lies beside the job.
async fn needs(context: &JobContext, cut: &Cut, mark: &Mark) -> Result<bool> {
    for table in &cut.tables {
        if mark.names(&Content::Node(table.entry.node.digest)) {
            return Ok(true);
        }
        for partition in &table.partitions {
            if mark.names(&Content::Node(partition.node.digest)) {
                return Ok(true);
            }
            let node: PartitionNode = load_node(context, partition.node).await?;
            let named = node.segments().any(|segment| {
                mark.names(&Content::Object(FileKind::Segment, segment.digest))
                    || segment
                        .deletes
                        .is_some_and(|deletes| mark.names(&Content::Object(FileKind::DeleteVector, deletes.digest)))
            });
            if named {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
