//! What writers, droppers and collectors of one repository tell each other, one object at a time.
//!
//! Here are the single reads, creates and removals; [`crate::lifecycle`] has their order, and says why it is safe. What
//! is removed goes through [`ObjectDelete`](super::store::ObjectDelete), which nothing else of a repository uses.

use std::collections::{BTreeMap, HashSet};

use super::checked;
use super::commit::Commit;
use super::error::{RepositoryError, RepositoryResult};
use super::format::{Announcement, Content, Record, TOMBSTONE_BYTES, Tombstone};
use super::layout::{self, MarkPart};
use super::store::{self, ListEntry, ObjectKey, Put, StoreErrorKind};
use super::timestamp::SnapshotTimestamp;
use super::{OBJECTS_MAX, Repository, SNAPSHOTS_MAX};

/// Most objects of marks that are listed: there is one open mark as a rule.
const MARK_OBJECTS_MAX: usize = 10_000;

/// How often a tombstone is offered to a key that is taken and free in turn.
const ENTOMB_ATTEMPTS_MAX: u32 = 5;

/// The name of a commit object.
pub(crate) type CommitName = (String, SnapshotTimestamp);

/// The name of an announcement: that of the commit object, and the timeout in seconds.
pub(crate) type AnnouncementName = (String, SnapshotTimestamp, u64);

/// What stands at the key of a commit object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitListing {
    /// Label and timestamp.
    pub(crate) name: CommitName,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it came to be, by the store's clock.
    pub(crate) modified_at_ms: i64,
}

/// An announcement, as its key tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnnouncementListing {
    /// The commit object that is announced.
    pub(crate) name: CommitName,
    /// Seconds from its creation within which that one comes.
    pub(crate) timeout_s: u64,
    /// When it came to be, by the store's clock.
    pub(crate) modified_at_ms: i64,
}

/// What is there of a mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MarkListing {
    /// When the mark came to be, by the store's clock; it is over when it is gone.
    pub(crate) marked_at_ms: Option<i64>,
    /// When it was decided about.
    pub(crate) decided_at_ms: Option<i64>,
    /// When its clock object came to be.
    pub(crate) clock_at_ms: Option<i64>,
    /// When the latest of its objects came to be.
    pub(crate) latest_at_ms: i64,
}

/// Outcome of putting a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entombed {
    /// A tombstone stands there, this one or an earlier one.
    Yes,
    /// A commit object was faster.
    Committed,
}

impl CommitListing {
    /// Whether it is a tombstone.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.bytes == TOMBSTONE_BYTES
    }
}

impl AnnouncementListing {
    /// Its name, with the timeout.
    pub(crate) fn full_name(&self) -> AnnouncementName {
        let (label, timestamp) = self.name.clone();
        (label, timestamp, self.timeout_s)
    }

    /// When its time is over, by the store's clock.
    pub(crate) fn deadline_ms(&self) -> i64 {
        let timeout_ms = i64::try_from(self.timeout_s).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.modified_at_ms.saturating_add(timeout_ms)
    }
}

impl Repository {
    /// Says that a snapshot is going to be written. It having been said before is as good.
    pub(crate) async fn announce(&self, announcement: &Announcement) -> RepositoryResult<()> {
        self.check_writable()?;
        let key = layout::announcement(&announcement.label, &announcement.timestamp, announcement.timeout_s)?;
        self.store.put_create(&key, announcement.to_stored().map_err(RepositoryError::Encode)?).await?;
        Ok(())
    }

    /// Whether an announcement is there.
    pub(crate) async fn is_announced(&self, announcement: &Announcement) -> RepositoryResult<bool> {
        let Announcement { label, timestamp, timeout_s, .. } = announcement.clone();
        self.has_announcement(&(label, timestamp, timeout_s)).await
    }

    /// Whether an announcement of this name is there. Asks for it alone, and no listing.
    pub(crate) async fn has_announcement(&self, name: &AnnouncementName) -> RepositoryResult<bool> {
        let (label, timestamp, timeout_s) = name;
        Ok(self.store.head(&layout::announcement(label, timestamp, *timeout_s)?).await?.is_some())
    }

    /// Whether a commit object of this name is there, and no tombstone. Asks for it alone, and no listing.
    pub(crate) async fn has_commit(&self, name: &CommitName) -> RepositoryResult<bool> {
        let found = self.store.head(&layout::snapshot(&name.0, &name.1)?).await?;
        Ok(found.is_some_and(|meta| meta.bytes != TOMBSTONE_BYTES))
    }

    /// Every announcement that is there.
    pub(crate) async fn list_announcements(&self) -> RepositoryResult<Vec<AnnouncementListing>> {
        let mut announcements = Vec::new();
        store::for_each_listed(&*self.store, layout::WRITERS, SNAPSHOTS_MAX, |entry| {
            if let Some((label, timestamp, timeout_s)) = layout::parse_announcement(&entry.key) {
                let modified_at_ms = entry.modified_at_ms;
                announcements.push(AnnouncementListing { name: (label, timestamp), timeout_s, modified_at_ms });
            }
        })
        .await?;
        Ok(announcements)
    }

    /// What an announcement says; `None` when it is gone, or says nothing that can be read.
    pub(crate) async fn read_announcement(
        &self,
        listed: &AnnouncementListing,
    ) -> RepositoryResult<Option<Announcement>> {
        let (label, timestamp) = &listed.name;
        let key = layout::announcement(label, timestamp, listed.timeout_s)?;
        let bytes_max = Announcement::BYTES_MAX;
        match checked::read(&*self.store, &key, bytes_max, |stored| Announcement::from_stored(stored)).await {
            Ok(announcement) if announcement.label == *label && announcement.timestamp == *timestamp => {
                Ok(Some(announcement))
            }
            Ok(_) | Err(RepositoryError::Format { .. }) => Ok(None),
            Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an announcement.
    pub(crate) async fn remove_announcement(&self, announcement: &AnnouncementListing) -> RepositoryResult<()> {
        let (label, timestamp) = &announcement.name;
        self.remove(&layout::announcement(label, timestamp, announcement.timeout_s)?).await
    }

    /// What stands at the keys of commit objects, tombstones among it.
    pub(crate) async fn list_commits(&self) -> RepositoryResult<Vec<CommitListing>> {
        let mut commits = Vec::new();
        store::for_each_listed(&*self.store, layout::SNAPSHOTS, SNAPSHOTS_MAX, |entry| {
            if let Some(name) = layout::parse_snapshot(&entry.key) {
                commits.push(CommitListing { name, bytes: entry.bytes, modified_at_ms: entry.modified_at_ms });
            }
        })
        .await?;
        Ok(commits)
    }

    /// Puts a tombstone where a commit object would come, unless one is there.
    pub(crate) async fn entomb(&self, name: &CommitName, tombstone: Tombstone) -> RepositoryResult<Entombed> {
        self.check_writable()?;
        let key = layout::snapshot(&name.0, &name.1)?;
        for _ in 0..ENTOMB_ATTEMPTS_MAX {
            if self.store.put_create(&key, tombstone.to_stored()).await? == Put::Created {
                return Ok(Entombed::Yes);
            }
            // The size tells them apart, and unlike bytes it cannot be those of another snapshot's tombstone.
            match self.store.head(&key).await? {
                Some(meta) if meta.bytes == TOMBSTONE_BYTES => return Ok(Entombed::Yes),
                Some(_) => return Ok(Entombed::Committed),
                // It was there and is not: somebody is dropping it.
                None => {}
            }
        }
        let message = "the store says again and again that the object exists, and then that it does not";
        Err(self.unsteady(&key, message))
    }

    /// Removes a snapshot's commit object: from here on the snapshot does not exist.
    pub(crate) async fn remove_commit(&self, name: &CommitName) -> RepositoryResult<()> {
        self.remove(&layout::snapshot(&name.0, &name.1)?).await
    }

    /// Removes a tombstone. Whatever else is there stays.
    pub(crate) async fn remove_tombstone(&self, name: &CommitName) -> RepositoryResult<()> {
        match self.read_commit(&name.0, &name.1).await {
            Ok(Commit::Tombstone(_)) => self.remove(&layout::snapshot(&name.0, &name.1)?).await,
            Ok(Commit::Snapshot(_)) | Err(RepositoryError::Format { .. }) => Ok(()),
            Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Every mark of which anything is there.
    pub(crate) async fn list_marks(&self) -> RepositoryResult<BTreeMap<String, MarkListing>> {
        let mut marks: BTreeMap<String, MarkListing> = BTreeMap::new();
        store::for_each_listed(&*self.store, layout::GARBAGE, MARK_OBJECTS_MAX, |entry| {
            if let Some((id, part)) = layout::parse_mark(&entry.key) {
                let mark = marks.entry(id).or_default();
                mark.latest_at_ms = mark.latest_at_ms.max(entry.modified_at_ms);
                match part {
                    MarkPart::Mark => mark.marked_at_ms = Some(entry.modified_at_ms),
                    MarkPart::Writers => {}
                    MarkPart::Sweep => mark.decided_at_ms = Some(entry.modified_at_ms),
                    MarkPart::Clock => mark.clock_at_ms = Some(entry.modified_at_ms),
                }
            }
        })
        .await?;
        Ok(marks)
    }

    /// Creates a part of a mark.
    pub(crate) async fn put_mark_part<R: Record>(&self, id: &str, part: MarkPart, record: &R) -> RepositoryResult<Put> {
        self.check_writable()?;
        let stored = record.to_stored().map_err(RepositoryError::Encode)?;
        Ok(self.store.put_create(&self.mark_key(id, part)?, stored).await?)
    }

    /// Reads a part of a mark; `None` when it is gone.
    pub(crate) async fn read_mark_part<R: Record>(&self, id: &str, part: MarkPart) -> RepositoryResult<Option<R>> {
        let key = self.mark_key(id, part)?;
        match checked::read(&*self.store, &key, R::BYTES_MAX, |stored| R::from_stored(stored)).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a part of a mark is there.
    pub(crate) async fn has_mark_part(&self, id: &str, part: MarkPart) -> RepositoryResult<bool> {
        Ok(self.store.head(&self.mark_key(id, part)?).await?.is_some())
    }

    /// Removes a part of a mark.
    pub(crate) async fn remove_mark_part(&self, id: &str, part: MarkPart) -> RepositoryResult<()> {
        self.remove(&self.mark_key(id, part)?).await
    }

    /// Every segment, delete vector and node with its size and when it came to be; one that has a mended copy comes
    /// twice.
    pub(crate) async fn for_each_content(
        &self,
        mut each: impl FnMut(Content, u64, i64) + Send,
    ) -> RepositoryResult<()> {
        for prefix in [layout::OBJECTS, layout::TREES] {
            store::for_each_listed(&*self.store, prefix, OBJECTS_MAX, |entry| {
                if let Some(content) = Content::of_key(&entry.key) {
                    each(content, entry.bytes, entry.modified_at_ms);
                }
            })
            .await?;
        }
        self.for_each_mended(|content, entry| each(content, entry.bytes, entry.modified_at_ms)).await
    }

    /// What has a mended copy. One request as a rule: there is none.
    pub(crate) async fn list_mended(&self) -> RepositoryResult<HashSet<Content>> {
        let mut copies = HashSet::new();
        self.for_each_mended(|content, _| {
            copies.insert(content);
        })
        .await?;
        Ok(copies)
    }

    async fn for_each_mended(&self, mut each: impl FnMut(Content, &ListEntry) + Send) -> RepositoryResult<()> {
        store::for_each_listed(&*self.store, layout::MENDED, OBJECTS_MAX, |entry| {
            if let Some(content) = layout::parse_mended(&entry.key).as_deref().and_then(Content::of_key) {
                each(content, &entry);
            }
        })
        .await?;
        Ok(())
    }

    /// Removes a segment, delete vector or node.
    pub(crate) async fn remove_content(&self, content: &Content) -> RepositoryResult<()> {
        self.remove(&content.key()).await
    }

    /// Removes the mended copy of a segment, delete vector or node.
    pub(crate) async fn remove_mended(&self, content: &Content) -> RepositoryResult<()> {
        self.remove(&layout::mended(&content.key())).await
    }

    /// Errors unless creating decides who is first, on which everything about collection rests.
    pub(crate) fn check_collectable(&self) -> RepositoryResult<()> {
        self.check_writable()?;
        if self.known.get().conditional_put {
            return Ok(());
        }
        Err(self.not_collectable(
            "its store does not know create-only PUT (If-None-Match), so nobody could tell a backup from a collection \
             that was faster; move the repository to a store that does, or leave its garbage where it is",
        ))
    }

    /// Whether creating decides who is first.
    pub(crate) fn creates_atomically(&self) -> bool {
        self.known.get().conditional_put
    }

    pub(crate) fn not_collectable(&self, detail: impl Into<String>) -> RepositoryError {
        RepositoryError::NotCollectable { location: self.location.to_string(), detail: detail.into() }
    }

    pub(crate) fn unsteady(&self, key: &ObjectKey, message: &str) -> RepositoryError {
        let place = self.store.place();
        let kind = StoreErrorKind::Unavailable;
        store::StoreError::new(kind, store::Operation::Put, &place, key.as_str(), message).into()
    }

    async fn remove(&self, key: &ObjectKey) -> RepositoryResult<()> {
        self.check_writable()?;
        Ok(self.deletes.delete(key).await?)
    }

    fn mark_key(&self, id: &str, part: MarkPart) -> RepositoryResult<ObjectKey> {
        layout::mark(id, part).map_err(|error| self.not_collectable(error.to_string()))
    }

    /// A repository on a store of a test's own.
    #[cfg(test)]
    pub(crate) fn over<S: store::ObjectStore + store::ObjectDelete + Clone>(store: S) -> Repository {
        use std::sync::Arc;

        use parking_lot::RwLock;

        use super::format::{FORMAT_VERSION, RepositoryInfo};
        use super::{Access, Attachment, Capabilities, KnownCapabilities, Location, Patience, RepositoryProperties};

        let info = RepositoryInfo {
            format_version: FORMAT_VERSION,
            repository_id: "of a test".into(),
            created_at_ms: 0,
            engine_version: String::new(),
        };
        let properties = RepositoryProperties::default();
        let attachment = Attachment { info: info.clone(), capabilities: Capabilities::ALL, properties };
        Repository {
            location: Location::parse("s3://bucket/test").unwrap(),
            info,
            attachment: RwLock::new(attachment),
            access: Access::ReadWrite,
            patience: Patience::Job,
            store: Arc::new(store.clone()),
            deletes: Arc::new(store),
            s3: None,
            known: Arc::new(KnownCapabilities::new(Capabilities::ALL)),
            stats: Arc::default(),
            limits: Arc::default(),
            recent: super::RecentNodes::default(),
        }
    }
}
