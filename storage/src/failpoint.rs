//! Named places at which a test can make work fail, wait, or die with its whole process.
//!
//! There are two kinds. A **durable step** is something a crash can fall before or after: a commit, a sync, a rename, a
//! PUT ([`DurableStep`]). Whoever takes one wraps it in [`durable`] or [`durable_async`], so there are always both sides:
//! those on a disk are functions of [`crate::disk`], and clippy refuses what would pass them by; requests to a store pass
//! through [`crate::repository::store::Metered`].
//! Places **of jobs** are those where the order of writes matters to more than one of them; a job comes to them through
//! [`crate::job::JobContext::reach`], where it can also be held ([`StopAt`] does so for tests of a whole server).
//!
//! Durable steps cost nothing outside this crate's own tests: what watches them is compiled there only, and everywhere
//! else [`pass`] is an empty function. In production nobody listens to jobs either ([`NoFailPoints`]).
//!
//! The tests below play every operation once, note which places it comes to and how often, and then play it again for each
//! of these, in a process that dies just there. A place that no operation comes to fails them.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::JobId;

/// An enum of plain names with a list of all of them, so that neither can be had without the other.
macro_rules! listed {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every one there is.
            $vis const ALL: &[$name] = &[$($name::$variant),+];
        }
    };
}

listed! {
    /// Something that is on disk, or in a repository, once it is done.
    pub enum DurableStep {
        /// A transaction of the catalog.
        Commit,
        /// The bytes of a file.
        SyncFile,
        /// The names in a directory.
        SyncDirectory,
        /// A new directory.
        MakeDirectory,
        /// A file gets the name it stays under.
        Rename,
        /// A file gets a second name.
        Link,
        /// A file loses its name.
        Unlink,
        /// A directory goes with all that is in it.
        RemoveDirectory,
        /// An object is put whole.
        Put,
        /// An object in parts is begun.
        StartMultipart,
        /// A part of an object is put.
        PutPart,
        /// The parts become an object.
        CompleteMultipart,
        /// The parts are given up.
        AbortMultipart,
        /// An object is deleted.
        Delete,
    }
}

/// The places of jobs that have a name, and [`FailPoint`] with them.
macro_rules! fail_points {
    ($($(#[$doc:meta])* $variant:ident),+ $(,)?) => {
        /// A place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FailPoint {
            /// A step of a job is about to run in this state.
            StepBegins(&'static str),
            /// A step of a job has led to this state, which is not stored yet.
            StepDone(&'static str),
            /// A durable step is about to be taken.
            Before(DurableStep),
            /// A durable step has been taken, well or not.
            After(DurableStep),
            $($(#[$doc])* $variant),+
        }

        impl FailPoint {
            /// Every place but those of the states of jobs, which the runner names after the states themselves.
            pub fn all() -> Vec<FailPoint> {
                let steps = DurableStep::ALL.iter();
                let steps = steps.flat_map(|step| [FailPoint::Before(*step), FailPoint::After(*step)]);
                steps.chain([$(FailPoint::$variant),+]).collect()
            }
        }
    };
}

fail_points! {
    /// BACKUP: the files are pinned, the cut is not on disk.
    BackupPinned,
    /// BACKUP: one file has been uploaded.
    BackupFileUploaded,
    /// BACKUP: every node is in the repository, the commit object is not.
    BackupBeforeCommit,
    /// BACKUP: the commit object is in the repository, the job's end is not stored.
    BackupAfterCommit,
    /// RESTORE: the plan is made, and what it hides is in the catalog.
    RestorePlanned,
    /// RESTORE: the files to come are pinned, none is in its hidden tablet.
    RestoreHidden,
    /// RESTORE: one file has been fetched and verified.
    RestoreFileFetched,
    /// RESTORE: the hidden tablets hold everything, nothing is visible.
    RestoreBeforeCommit,
    /// RESTORE: everything is visible.
    RestoreAfterCommit,
    /// VERIFY: what was found in a batch of objects is stored.
    VerifyBatchStored,
    /// BACKUP: it is announced, no mark has been looked at.
    BackupAnnounced,
}

/// Takes a durable step.
#[inline(always)]
pub(crate) fn durable<T>(step: DurableStep, take: impl FnOnce() -> T) -> T {
    pass(FailPoint::Before(step));
    let taken = take();
    pass(FailPoint::After(step));
    taken
}

/// Takes a durable step that is waited for.
#[inline(always)]
pub(crate) async fn durable_async<T>(step: DurableStep, take: impl Future<Output = T>) -> T {
    pass(FailPoint::Before(step));
    let taken = take.await;
    pass(FailPoint::After(step));
    taken
}

/// Comes to a place.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn pass(_point: FailPoint) {}

/// Comes to a place: it is noted, or the process dies, when a test wants that.
#[cfg(test)]
pub(crate) fn pass(point: FailPoint) {
    watch::pass(point);
}

/// Whoever listens at the places of jobs.
#[async_trait]
pub trait FailPoints: fmt::Debug + Send + Sync + 'static {
    /// A job has come to a place. An error makes its step fail; not returning makes it wait.
    async fn reach(&self, job: JobId, point: FailPoint) -> Result<()>;
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFailPoints;

#[async_trait]
impl FailPoints for NoFailPoints {
    async fn reach(&self, _job: JobId, _point: FailPoint) -> Result<()> {
        Ok(())
    }
}

/// Jobs that come to a place stay there, until they are cancelled or the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopAt(String);

impl StopAt {
    /// The place as its [`fmt::Debug`] form names it, such as `BackupPinned` or `StepBegins("UPLOADING")`.
    pub fn new(place: impl Into<String>) -> StopAt {
        StopAt(place.into())
    }
}

#[async_trait]
impl FailPoints for StopAt {
    async fn reach(&self, job: JobId, point: FailPoint) -> Result<()> {
        if format!("{point:?}") != self.0 {
            return Ok(());
        }
        tracing::warn!(%job, place = self.0, "job stays at a place, as a test wants it");
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch;
