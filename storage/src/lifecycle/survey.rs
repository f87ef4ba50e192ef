//! What of some contents no snapshot refers to.
//!
//! The contents in question are in memory, bounded by their number; snapshots are read one after the other, and what
//! they refer to is taken out. A node that several snapshots share is read once. Whatever cannot be read stops the survey: what an unreadable
//! snapshot refers to cannot be told from garbage.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::repository::format::{Content, NodeRef, PartitionNode, SnapshotManifest, TableNode};
use crate::repository::{
    CommitListing, CommitName, HeldNode, Repository, RepositoryError, RepositoryResult, StoreErrorKind,
};

/// Contents that are held in memory at a time: some 100 MB.
pub(super) const CONTENTS_MAX: usize = 1_000_000;

/// Nodes that are read at the same time.
const NODES_IN_FLIGHT_MAX: usize = 8;

/// Contents with their sizes.
pub(super) type Contents = HashMap<Content, u64>;

/// Contents that are listed, as many as may be held: those whose digests begin in a window of byte values. When there
/// are too many the window shrinks; it begins at a random place, so that in time every content is in one.
#[derive(Debug)]
pub(super) struct Window {
    first: u8,
    width: usize,
    contents_max: usize,
    count: usize,
    /// By distance from the first byte value.
    shards: Vec<Contents>,
}

impl Window {
    /// A window of everything that begins at this byte value.
    pub(super) fn new(first: u8, contents_max: usize) -> Window {
        Window { first, width: 256, contents_max, count: 0, shards: vec![Contents::new(); 256] }
    }

    /// Adds a content, if it is inside; one that comes again with a mended copy takes as much more.
    pub(super) fn add(&mut self, content: Content, bytes: u64) {
        let byte = content.digest().as_bytes().first().copied().unwrap_or(0);
        let distance = usize::from(byte.wrapping_sub(self.first));
        if distance >= self.width {
            return;
        }
        match self.shards[distance].entry(content) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().saturating_add(bytes),
            Entry::Vacant(new) => {
                new.insert(bytes);
                self.count += 1;
            }
        }
        while self.count > self.contents_max && self.width > 1 {
            self.width -= 1;
            self.count -= std::mem::take(&mut self.shards[self.width]).len();
        }
    }

    /// What is inside.
    pub(super) fn into_contents(self) -> Contents {
        self.shards.into_iter().flatten().collect()
    }
}

/// Takes out of `contents` what the snapshots refer to. Returns those that were dropped meanwhile.
pub(super) async fn subtract_referenced(
    repository: &Repository,
    commits: &[CommitListing],
    contents: &mut Contents,
) -> RepositoryResult<Vec<CommitName>> {
    let (mut seen, mut dropped) = (HashSet::new(), Vec::new());
    for commit in commits.iter().filter(|commit| !commit.is_tombstone()) {
        if contents.is_empty() {
            return Ok(dropped);
        }
        let (label, timestamp) = &commit.name;
        let manifest = match repository.read_manifest(label, timestamp).await {
            Ok(manifest) => manifest,
            Err(error @ RepositoryError::SnapshotNotFound { .. }) => {
                refuse_present(repository, commit, error).await?;
                dropped.push(commit.name.clone());
                continue;
            }
            Err(error) => return Err(unreadable(repository, commit, error)),
        };
        if let Err(error) = subtract_snapshot(repository, &manifest, &mut seen, contents).await {
            let lost = matches!(&error, RepositoryError::Store(error) if error.kind() == StoreErrorKind::NotFound);
            // Nodes go only after their snapshots.
            if lost
                && let Err(error @ RepositoryError::SnapshotNotFound { .. }) =
                    repository.read_manifest(label, timestamp).await
            {
                refuse_present(repository, commit, error).await?;
                dropped.push(commit.name.clone());
                continue;
            }
            return Err(unreadable(repository, commit, error));
        }
    }
    Ok(dropped)
}

/// Errors when a snapshot is there all the same: the answer to another request, or none, came in the place of its commit
/// object.
async fn refuse_present(
    repository: &Repository,
    commit: &CommitListing,
    error: RepositoryError,
) -> RepositoryResult<()> {
    match repository.has_commit(&commit.name).await? {
        true => Err(unreadable(repository, commit, error)),
        false => Ok(()),
    }
}

/// Whatever passes by itself stays what it is.
fn unreadable(repository: &Repository, commit: &CommitListing, error: RepositoryError) -> RepositoryError {
    if error.is_retryable() || error.store_kind() == Some(StoreErrorKind::PermissionDenied) {
        return error;
    }
    let (label, timestamp) = &commit.name;
    repository.not_collectable(format!(
        "what snapshot '{label}' of {timestamp} refers to cannot be told ({error}); use the version that wrote it, or drop \
         it with DROP SNAPSHOT … FORCE if it is beyond help"
    ))
}

async fn subtract_snapshot(
    repository: &Repository,
    manifest: &SnapshotManifest,
    seen: &mut HashSet<Digest>,
    contents: &mut Contents,
) -> RepositoryResult<()> {
    for table in &manifest.tables {
        contents.remove(&Content::Node(table.node.digest));
        if seen.contains(&table.node.digest) {
            continue;
        }
        let node: HeldNode<TableNode> = repository.recall_node(&table.node).await?;
        for partition in &node.partitions {
            contents.remove(&Content::Node(partition.node.digest));
        }
        let mut unseen: Vec<NodeRef> =
            node.partitions.iter().map(|entry| entry.node).filter(|node| !seen.contains(&node.digest)).collect();
        unseen.sort_unstable_by_key(|node| node.digest);
        unseen.dedup();
        let mut nodes = stream::iter(0..unseen.len())
            .map(|position| {
                let node = &unseen[position];
                async move { RepositoryResult::Ok((node.digest, repository.recall_node::<PartitionNode>(node).await?)) }
                    .boxed()
            })
            .buffer_unordered(NODES_IN_FLIGHT_MAX);
        while let Some((digest, partition)) = nodes.try_next().await? {
            for segment in partition.segments() {
                contents.remove(&Content::Object(FileKind::Segment, segment.digest));
                if let Some(deletes) = segment.deletes {
                    contents.remove(&Content::Object(FileKind::DeleteVector, deletes.digest));
                }
            }
            // Seen is what has been taken out with all below it; what failed half-way must be read again.
            seen.insert(digest);
        }
        seen.insert(table.node.digest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_as_many_as_it_may() {
        let content = |number: u32| Content::Node(Digest::of(&number.to_le_bytes()));
        let mut whole = Window::new(7, 10_000);
        let mut bounded = Window::new(200, 300);
        for number in 0..3_000 {
            whole.add(content(number), 1);
            bounded.add(content(number), 1);
        }
        assert_eq!(whole.into_contents().len(), 3_000);
        let width = bounded.width;
        let kept = bounded.into_contents();
        assert!(kept.len() <= 300 && kept.len() > 200, "{}", kept.len());
        let inside = |number: &u32| usize::from(content(*number).digest().as_bytes()[0].wrapping_sub(200)) < width;
        let expected = (0..3_000).filter(inside).count();
        assert_eq!(kept.len(), expected, "every content whose digest begins inside is there");
    }
}
