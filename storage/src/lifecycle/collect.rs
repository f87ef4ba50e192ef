//! One turn of collection in one repository: fence and clean up, sweep what was marked, mark what is garbage now.
//!
//! A turn knows nothing of the turns before it: all there is to know lies in the repository, so any cluster goes on with
//! any mark, and a turn that dies anywhere is taken up by the next. The rules of [`crate::lifecycle`] say why it is safe.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream};

use super::survey::{CONTENTS_MAX, Contents, Window, subtract_referenced};
use super::{CLAIM_TIME, CLAIM_WAIT, Monotonic};
use crate::clock::Random;
use crate::error::{Error, Result};
use crate::repository::format::{
    Announcement, Content, Decision, FORMAT_VERSION, MARK_CANDIDATES_MAX, Mark, MarkWriters, SweepDecision, Tombstone,
};
use crate::repository::layout::MarkPart;
use crate::repository::{
    AnnouncementListing, AnnouncementName, CommitListing, CommitName, Entombed, MarkListing, Put, Repository,
    RepositoryError, RepositoryResult,
};

/// Objects that are removed at the same time.
const REMOVALS_IN_FLIGHT_MAX: usize = 16;

/// How old a leftover of a mark must be to be removed: younger ones may belong to a turn that has just begun.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);

/// The rules that keep a collection apart from backups. Tests leave one out at a time, and see that it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// The announcements are listed after the mark is there.
    MarkThenWriters,
    /// Nothing is swept before every writer of the mark is over.
    WaitForWriters,
    /// Of the writers of a mark are also those that a later listing shows to be older than it.
    OlderWriters,
    /// A writer whose announcement is not listed is looked for.
    LookForWriter,
    /// A tombstone ends a backup once it has stood for as long as a removal may be on its way.
    LastingTombstone,
    /// A listing that leaves out a snapshot which is known to be there is not believed.
    KnownSnapshots,
    /// A writer whose time has passed is over when a tombstone says so, not before.
    Fence,
    /// What snapshots refer to by now is taken out.
    LookAgain,
    /// Nothing is swept unless the claim was created.
    Claim,
    /// The mark must be there after it was claimed.
    LookAfterClaim,
    /// Nothing is removed after the claim's time.
    InTime,
    /// A mark that somebody has claimed is left alone until nothing is on its way under it any more.
    LeaveClaimed,
    /// Of a mark, `mark.json` goes first.
    MarkGoesFirst,
    /// A mark stays while a removal under it may be on its way.
    WaitForRemovals,
    /// Announcements are listed before snapshots.
    AnnouncementsFirst,
    /// An announcement stays until nobody can be on the way with its snapshot.
    KeepAnnouncement,
    /// A tombstone stays as long as its announcement.
    KeepTombstone,
    /// Only what is older than the grace is marked.
    MarkOld,
    /// A mark is swept a grace later, not at once.
    SweepLater,
}

/// What this cluster knows of the repository without asking it.
#[async_trait]
pub(crate) trait Knowledge: fmt::Debug + Send + Sync {
    /// Whether the backup that announced this has ended: it will not try to publish any more. False when that is not known.
    async fn has_ended(&self, announcement: &Announcement) -> bool;

    /// The snapshots that were published or seen in the repository, and not yet seen to be gone.
    async fn known_snapshots(&self) -> Result<HashSet<CommitName>>;

    /// From now on these snapshots are known, and those are gone.
    async fn learn(&self, new: Vec<CommitName>, gone: Vec<CommitName>) -> Result<()>;
}

/// A collector of one repository.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) repository: Arc<Repository>,
    pub(crate) cluster_id: String,
    pub(crate) own: Arc<dyn Knowledge>,
    pub(crate) grace: Duration,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) timer: Arc<dyn Monotonic>,
    /// A rule that is left out.
    #[cfg(test)]
    pub(crate) without: Option<Rule>,
}

/// What a turn of collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionReport {
    /// Objects that were marked.
    pub marked_objects: u64,
    /// Their bytes.
    pub marked_bytes: u64,
    /// Objects that were removed.
    pub removed_objects: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Backups that had not ended in their time and can no longer publish.
    pub fenced: u64,
    /// What the turn waits for, or what stood in its way; one sentence each.
    pub notes: Vec<String>,
}

/// What a turn goes by.
struct Look {
    /// By the store's clock.
    now_ms: i64,
    announcements: Vec<AnnouncementListing>,
    commits: Vec<CommitListing>,
}

/// What became of a mark.
enum Swept {
    /// It is over.
    Over,
    /// It stays, for the reason given.
    Stays(String),
}

impl Collector {
    /// One turn.
    pub(crate) async fn turn(&self) -> RepositoryResult<CollectionReport> {
        self.repository.check_collectable()?;
        let mut report = CollectionReport::default();
        let (now_ms, marks) = self.read_clock().await?;
        let mut look = self.look(now_ms).await?;
        self.bury_ended(&mut look).await?;
        report.fenced = self.fence_overdue(&mut look).await?;
        self.retire(&look).await?;
        let mut open = 0;
        for (id, listing) in &marks {
            match self.advance(id, listing, now_ms, &mut report).await? {
                Swept::Over => {}
                Swept::Stays(why) => {
                    open += 1;
                    report.notes.push(why);
                }
            }
        }
        if open == 0 {
            self.mark(now_ms, &mut report).await?;
        }
        Ok(report)
    }

    /// The time by the store's clock, and the marks there are. The right to remove is tried first, on an object that is
    /// not there: who lacks it leaves nothing behind.
    async fn read_clock(&self) -> RepositoryResult<(i64, BTreeMap<String, MarkListing>)> {
        let id = self.random.identifier();
        self.repository.remove_mark_part(&id, MarkPart::Clock).await?;
        let content = MarkWriters { format_version: FORMAT_VERSION, writers: Vec::new() };
        self.repository.put_mark_part(&id, MarkPart::Clock, &content).await?;
        let mut marks = self.repository.list_marks().await?;
        self.repository.remove_mark_part(&id, MarkPart::Clock).await?;
        match marks.remove(&id).and_then(|clock| clock.clock_at_ms).filter(|now_ms| *now_ms > 0) {
            Some(now_ms) => Ok((now_ms, marks)),
            None => Err(self.repository.not_collectable(
                "its store does not say when an object was put; move the repository to a store that does",
            )),
        }
    }

    /// Announcements before snapshots: one that is gone had its commit object, so a later listing has it too.
    async fn look(&self, now_ms: i64) -> RepositoryResult<Look> {
        if !self.keeps(Rule::AnnouncementsFirst) {
            let commits = self.commits().await?;
            return Ok(Look { now_ms, announcements: self.repository.list_announcements().await?, commits });
        }
        let announcements = self.repository.list_announcements().await?;
        let commits = self.commits().await?;
        Ok(Look { now_ms, announcements, commits })
    }

    /// What stands at the keys of commit objects. What a snapshot needs is told from garbage by this listing alone, so one
    /// that leaves out what is known to be there, twice, ends the turn.
    async fn commits(&self) -> RepositoryResult<Vec<CommitListing>> {
        if !self.keeps(Rule::KnownSnapshots) {
            return self.repository.list_commits().await;
        }
        // Before the listing: what is published meanwhile need not be in it.
        let known = self.own.known_snapshots().await.map_err(|error| self.unknown(&error))?;
        let (mut commits, mut gone) = (self.repository.list_commits().await?, Vec::new());
        for asked_again in [false, true] {
            let listed: HashSet<&CommitName> = commits.iter().map(|commit| &commit.name).collect();
            gone.clear();
            let mut hidden = None;
            let left_out: Vec<&CommitName> = known.iter().filter(|name| !listed.contains(*name)).collect();
            for name in left_out {
                if self.repository.has_commit(name).await? {
                    hidden = Some(name);
                    break;
                }
                gone.push(name.clone());
            }
            match hidden {
                None => break,
                Some((label, timestamp)) if asked_again => {
                    return Err(self.repository.not_collectable(format!(
                        "a listing leaves out the snapshot '{label}' of {timestamp}, which is there, so what snapshots \
                         refer to cannot be told from garbage; see that the store, and whatever lies before it, lists \
                         all that it holds"
                    )));
                }
                Some(_) => commits = self.repository.list_commits().await?,
            }
        }
        let (tombstones, snapshots): (Vec<_>, Vec<_>) = commits.iter().partition(|commit| commit.is_tombstone());
        let new = snapshots.into_iter().map(|commit| &commit.name).filter(|name| !known.contains(*name));
        let new: Vec<CommitName> = new.cloned().collect();
        gone.extend(tombstones.into_iter().map(|commit| &commit.name).filter(|name| known.contains(*name)).cloned());
        if !new.is_empty() || !gone.is_empty() {
            self.own.learn(new, gone).await.map_err(|error| self.unknown(&error))?;
        }
        Ok(commits)
    }

    fn unknown(&self, error: &Error) -> RepositoryError {
        self.repository.not_collectable(format!("what is known of its snapshots can be neither read nor kept: {error}"))
    }

    /// Puts a tombstone for every backup of this cluster that has ended and has nothing at its key: its snapshot was
    /// dropped by somebody who did not come to the tombstone, or it was cancelled and could not take its word back. Marks
    /// would wait for it until its timeout.
    async fn bury_ended(&self, look: &mut Look) -> RepositoryResult<()> {
        let standing: HashSet<&CommitName> = look.commits.iter().map(|commit| &commit.name).collect();
        let mut buried = false;
        for listed in look.announcements.iter().filter(|listed| !standing.contains(&listed.name)) {
            let Some(announcement) = self.repository.read_announcement(listed).await? else { continue };
            if announcement.cluster_id == self.cluster_id && self.own.has_ended(&announcement).await {
                buried |= self.repository.entomb(&listed.name, Tombstone::Withdrawn).await? == Entombed::Yes;
            }
        }
        if buried {
            *look = self.look(look.now_ms).await?;
        }
        Ok(())
    }

    /// Puts a tombstone for every backup whose time has passed and that has not published.
    async fn fence_overdue(&self, look: &mut Look) -> RepositoryResult<u64> {
        let mut fenced = 0;
        for announcement in &look.announcements {
            if announcement.deadline_ms() > look.now_ms || look.commits.iter().any(|c| c.name == announcement.name) {
                continue;
            }
            if !self.keeps(Rule::Fence) {
                continue;
            }
            if self.repository.entomb(&announcement.name, Tombstone::Fenced).await? == Entombed::Yes {
                let (label, timestamp) = &announcement.name;
                tracing::info!(label, %timestamp, "a backup has not ended in its time and can no longer publish");
                fenced += 1;
            }
        }
        if fenced > 0 {
            *look = self.look(look.now_ms).await?;
        }
        Ok(fenced)
    }

    /// Removes announcements that are over, and tombstones, once nobody who knew of them can be on the way any more.
    async fn retire(&self, look: &Look) -> RepositoryResult<()> {
        let keep_ms = self.grace_ms();
        let committed: HashSet<&CommitName> = look.commits.iter().map(|commit| &commit.name).collect();
        for announcement in &look.announcements {
            let over = committed.contains(&announcement.name);
            let passed = announcement.deadline_ms().saturating_add(keep_ms) <= look.now_ms;
            if over && (passed || !self.keeps(Rule::KeepAnnouncement)) {
                self.repository.remove_announcement(announcement).await?;
            }
        }
        let mut announced: HashSet<CommitName> =
            look.announcements.iter().map(|announced| announced.name.clone()).collect();
        let mut tombstones: Vec<&CommitListing> = look.commits.iter().filter(|commit| commit.is_tombstone()).collect();
        if self.keeps(Rule::KeepTombstone) {
            let passed = |commit: &CommitListing| commit.modified_at_ms.saturating_add(keep_ms) <= look.now_ms;
            tombstones.retain(|commit| passed(commit) && !announced.contains(&commit.name));
            if !tombstones.is_empty() {
                // Once more, because nothing else tells of an announcement that one listing leaves out.
                announced.extend(self.repository.list_announcements().await?.into_iter().map(|listed| listed.name));
                tombstones.retain(|commit| !announced.contains(&commit.name));
            }
        }
        for tombstone in tombstones {
            self.repository.remove_tombstone(&tombstone.name).await?;
        }
        Ok(())
    }

    /// Brings one mark as far as it can be.
    async fn advance(
        &self,
        id: &str,
        listing: &MarkListing,
        now_ms: i64,
        report: &mut CollectionReport,
    ) -> RepositoryResult<Swept> {
        let Some(marked_at_ms) = listing.marked_at_ms else {
            if listing.latest_at_ms.saturating_add(millis(LEFTOVER_AGE)) <= now_ms {
                self.remove_mark(id).await?;
            }
            return Ok(Swept::Over);
        };
        if let Some(decided_at_ms) = listing.decided_at_ms {
            return self.clean_decided(id, decided_at_ms, now_ms).await;
        }
        let due_ms = marked_at_ms.saturating_add(self.grace_ms());
        if due_ms > now_ms && self.keeps(Rule::SweepLater) {
            let seconds = (due_ms - now_ms).div_euclid(1_000) + 1;
            return Ok(Swept::Stays(format!("mark {id} is swept in {seconds} s at the earliest")));
        }
        self.sweep(id, marked_at_ms, now_ms, report).await
    }

    /// A mark that was decided about: cancelled ones go, claimed ones when their time is over.
    async fn clean_decided(&self, id: &str, decided_at_ms: i64, now_ms: i64) -> RepositoryResult<Swept> {
        let cancelled = match self.repository.read_mark_part::<SweepDecision>(id, MarkPart::Sweep).await {
            Ok(decided) => decided.is_none_or(|decided| decided.decision == Decision::Cancelled),
            Err(RepositoryError::Format { .. }) => false,
            Err(error) => return Err(error),
        };
        let late = decided_at_ms.saturating_add(millis(CLAIM_WAIT)) <= now_ms || !self.keeps(Rule::LeaveClaimed);
        if cancelled || late {
            self.remove_mark(id).await?;
            return Ok(Swept::Over);
        }
        Ok(Swept::Stays(format!(
            "mark {id} is being swept, or its sweep broke off: it is over in half an hour at most"
        )))
    }

    /// Removes what was marked and is still garbage.
    async fn sweep(
        &self,
        id: &str,
        marked_at_ms: i64,
        now_ms: i64,
        report: &mut CollectionReport,
    ) -> RepositoryResult<Swept> {
        let mark: Mark = match self.repository.read_mark_part(id, MarkPart::Mark).await {
            Ok(Some(mark)) => mark,
            Ok(None) => return Ok(Swept::Over),
            Err(error @ RepositoryError::Format { .. }) => return self.give_up(id, &error).await,
            Err(error) => return Err(error),
        };
        let Some(mut writers) = self.writers_of(id).await? else {
            return Ok(Swept::Over);
        };
        let look = self.look(now_ms).await?;
        if self.keeps(Rule::OlderWriters) {
            // They are among the writers already, unless the listing from which these were written down left them out.
            let older = look.announcements.iter().filter(|announced| announced.modified_at_ms <= marked_at_ms);
            writers.extend(older.map(AnnouncementListing::full_name));
        }
        for writer in &writers {
            if !self.is_over(writer, &look).await? {
                let (label, timestamp, _) = writer;
                return Ok(Swept::Stays(format!(
                    "mark {id} waits for the backup '{label}' of {timestamp}: until it has ended for good, or until its \
                     timeout has passed"
                )));
            }
        }
        let mut garbage: Contents = mark.candidates.iter().copied().collect();
        if self.keeps(Rule::LookAgain) {
            let dropped = subtract_referenced(&self.repository, &look.commits, &mut garbage).await?;
            let is_writer = |name: &&CommitName| writers.iter().any(|(label, at, _)| (label, at) == (&name.0, &name.1));
            if let Some((label, timestamp)) =
                dropped.iter().find(is_writer).filter(|_| self.keeps(Rule::LastingTombstone))
            {
                return Ok(Swept::Stays(format!(
                    "mark {id} waits: snapshot '{label}' of {timestamp} is being dropped"
                )));
            }
        }
        // The time runs from before the claim is put: nobody sees it earlier.
        let claimed_at = self.timer.elapsed();
        if !self.claim(id).await? {
            return Ok(Swept::Stays(format!("mark {id} was claimed by another collection, or cancelled by a backup")));
        }
        if self.keeps(Rule::LookAfterClaim) && !self.repository.has_mark_part(id, MarkPart::Mark).await? {
            self.remove_mark(id).await?;
            return Ok(Swept::Over);
        }
        self.remove(id, garbage, claimed_at, report).await
    }

    /// A mark that cannot be read is cancelled, as anybody may.
    async fn give_up(&self, id: &str, error: &RepositoryError) -> RepositoryResult<Swept> {
        tracing::warn!(mark = id, %error, "a mark cannot be read; it is cancelled");
        let cancel = SweepDecision::new(Decision::Cancelled, &self.cluster_id, self.random.identifier());
        self.repository.put_mark_part(id, MarkPart::Sweep, &cancel).await?;
        Ok(Swept::Stays(format!("mark {id} cannot be read and is given up ({error}); the next turn marks anew")))
    }

    /// Those who may not have seen the mark; written down now if the turn that marked could not. Nothing when the mark
    /// is over.
    async fn writers_of(&self, id: &str) -> RepositoryResult<Option<Vec<AnnouncementName>>> {
        if let Some(written) = self.repository.read_mark_part::<MarkWriters>(id, MarkPart::Writers).await? {
            return Ok(Some(written.writers));
        }
        self.write_down_writers(id).await?;
        let written = self.repository.read_mark_part::<MarkWriters>(id, MarkPart::Writers).await?;
        Ok(written.map(|written| written.writers))
    }

    async fn write_down_writers(&self, id: &str) -> RepositoryResult<()> {
        let writers = self.announced_writers().await?;
        self.repository.put_mark_part(id, MarkPart::Writers, &writers).await?;
        Ok(())
    }

    async fn announced_writers(&self) -> RepositoryResult<MarkWriters> {
        let mut writers: Vec<AnnouncementName> =
            self.repository.list_announcements().await?.iter().map(AnnouncementListing::full_name).collect();
        writers.sort_unstable();
        writers.dedup();
        Ok(MarkWriters { format_version: FORMAT_VERSION, writers })
    }

    /// Whether a backup can no longer publish, or has: its announcement is gone, or something stands at its key and stays
    /// there.
    async fn is_over(&self, writer: &AnnouncementName, look: &Look) -> RepositoryResult<bool> {
        let is_its = |name: &CommitName| (&name.0, &name.1) == (&writer.0, &writer.1);
        let stands = |commit: &CommitListing| is_its(&commit.name) && self.lasts(commit, look.now_ms);
        if !self.keeps(Rule::WaitForWriters) || look.commits.iter().any(stands) {
            return Ok(true);
        }
        let fences = self.keeps(Rule::Fence);
        let announced: Vec<&AnnouncementListing> =
            look.announcements.iter().filter(|announced| is_its(&announced.name)).collect();
        if !announced.is_empty() {
            return Ok(announced.iter().all(|announced| !fences && announced.deadline_ms() <= look.now_ms));
        }
        Ok(!self.keeps(Rule::LookForWriter) || !self.repository.has_announcement(writer).await?)
    }

    /// Whether what stands at the key of a commit object is there to stay. A removal of the commit object whose answer was
    /// lost may still come, and take the tombstone away that has followed; so may a put of the commit object after it.
    fn lasts(&self, commit: &CommitListing, now_ms: i64) -> bool {
        let wait_ms = millis(CLAIM_WAIT).min(self.grace_ms());
        !commit.is_tombstone()
            || !self.keeps(Rule::LastingTombstone)
            || commit.modified_at_ms.saturating_add(wait_ms) <= now_ms
    }

    /// Creates the decision. Returns whether it is ours.
    async fn claim(&self, id: &str) -> RepositoryResult<bool> {
        let claim = SweepDecision::new(Decision::Claimed, &self.cluster_id, self.random.identifier());
        if self.repository.put_mark_part(id, MarkPart::Sweep, &claim).await? == Put::Created {
            return Ok(true);
        }
        if !self.keeps(Rule::Claim) {
            return Ok(true);
        }
        // It may be our own, of an attempt whose answer was lost.
        let found = self.repository.read_mark_part::<SweepDecision>(id, MarkPart::Sweep).await?;
        Ok(found.as_ref() == Some(&claim))
    }

    /// Removes garbage under a claim, as far as the claim's time goes.
    async fn remove(
        &self,
        id: &str,
        garbage: Contents,
        claimed_at: Duration,
        report: &mut CollectionReport,
    ) -> RepositoryResult<Swept> {
        let mut garbage: Vec<(Content, u64)> = garbage.into_iter().collect();
        garbage.sort_unstable();
        // No copy comes after this look: who needs one of these contents has cancelled the mark, or waits for it.
        let mended = &self.repository.list_mended().await?;
        let mut removals = stream::iter(0..garbage.len())
            .map(|position| {
                let (content, bytes) = garbage[position];
                async move { (bytes, self.remove_one(&content, mended, claimed_at).await) }.boxed()
            })
            .buffer_unordered(REMOVALS_IN_FLIGHT_MAX);
        let (mut unknown, mut failures) = (false, 0_u64);
        while let Some((bytes, removed)) = removals.next().await {
            match removed {
                Ok(true) => {
                    report.removed_objects += 1;
                    report.removed_bytes = report.removed_bytes.saturating_add(bytes);
                }
                Ok(false) => {}
                Err(error) => {
                    // Whoever gave no answer may still carry it out.
                    unknown |= error.is_retryable();
                    if failures == 0 {
                        report.notes.push(format!("not everything could be removed: {error}"));
                    }
                    failures += 1;
                }
            }
        }
        drop(removals);
        if unknown && self.keeps(Rule::WaitForRemovals) {
            return Ok(Swept::Stays(format!("mark {id} stays claimed for half an hour: some removals had no answer")));
        }
        self.remove_mark(id).await?;
        Ok(Swept::Over)
    }

    /// Removes one content, its mended copy first: what is left when it breaks off is marked again under its own name.
    /// Returns whether there was time for it.
    async fn remove_one(
        &self,
        content: &Content,
        mended: &HashSet<Content>,
        claimed_at: Duration,
    ) -> RepositoryResult<bool> {
        let has_time = || !self.keeps(Rule::InTime) || self.timer.elapsed().saturating_sub(claimed_at) < CLAIM_TIME;
        if mended.contains(content) {
            if !has_time() {
                return Ok(false);
            }
            self.repository.remove_mended(content).await?;
        }
        if !has_time() {
            return Ok(false);
        }
        self.repository.remove_content(content).await?;
        Ok(true)
    }

    /// Ends a mark. The mark goes first: what is without it means nothing to anybody.
    async fn remove_mark(&self, id: &str) -> RepositoryResult<()> {
        let mut parts = [MarkPart::Mark, MarkPart::Writers, MarkPart::Sweep, MarkPart::Clock];
        if !self.keeps(Rule::MarkGoesFirst) {
            parts.reverse();
        }
        for part in parts {
            self.repository.remove_mark_part(id, part).await?;
        }
        Ok(())
    }

    /// Marks what no snapshot refers to, when there is any.
    async fn mark(&self, now_ms: i64, report: &mut CollectionReport) -> RepositoryResult<()> {
        let oldest_ms = now_ms.saturating_sub(self.grace_ms());
        let first = self.random.next_u64().to_le_bytes()[0];
        let (mut window, mut ageless) = (Window::new(first, CONTENTS_MAX), 0_u64);
        self.repository
            .for_each_content(|content, bytes, modified_at_ms| match modified_at_ms {
                ..=0 => ageless += 1,
                at_ms if at_ms <= oldest_ms || !self.keeps(Rule::MarkOld) => window.add(content, bytes),
                _ => {}
            })
            .await?;
        if ageless > 0 {
            report.notes.push(format!("{ageless} objects are left alone: the store does not say when they were put"));
        }
        let mut garbage = window.into_contents();
        let commits = self.commits().await?;
        subtract_referenced(&self.repository, &commits, &mut garbage).await?;
        if garbage.is_empty() {
            return Ok(());
        }
        let mut candidates: Vec<(Content, u64)> = garbage.into_iter().collect();
        candidates.sort_unstable();
        candidates.truncate(MARK_CANDIDATES_MAX);
        let id = self.random.identifier();
        let early = if self.keeps(Rule::MarkThenWriters) { None } else { Some(self.announced_writers().await?) };
        report.marked_objects = candidates.len() as u64;
        report.marked_bytes = candidates.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        self.repository.put_mark_part(&id, MarkPart::Mark, &Mark::new(&self.cluster_id, candidates)).await?;
        match early {
            None => self.write_down_writers(&id).await,
            Some(writers) => self.repository.put_mark_part(&id, MarkPart::Writers, &writers).await.map(drop),
        }
    }

    fn grace_ms(&self) -> i64 {
        millis(self.grace)
    }

    /// Whether a rule is kept: always, outside tests.
    #[cfg(not(test))]
    fn keeps(&self, _rule: Rule) -> bool {
        true
    }

    /// Whether a rule is kept.
    #[cfg(test)]
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
