//! What can go wrong with a repository, and whether trying again may help.

use std::path::PathBuf;

use super::format::{FormatError, Tombstone};
use super::layout::LabelError;
use super::location::LocationError;
use super::policy::NotAllowed;
use super::properties::PropertiesError;
use super::store::{StoreError, StoreErrorKind};
use super::vault::VaultError;
use crate::digest::Digest;

/// The result of a repository operation.
pub type RepositoryResult<T> = Result<T, RepositoryError>;

/// What can go wrong with a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The location is no location.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The properties cannot be used.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
    /// The operator's policy does not allow it.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The credentials in the catalog cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The label cannot be used.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The store refused, failed or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object that was read is damaged, of a newer format, or not what it should be.
    #[error("object '{key}' of the repository cannot be used: {source}{}", source.advice())]
    Format {
        /// The object.
        key: String,
        /// Why.
        source: FormatError,
    },
    /// Something that was to be written cannot be.
    #[error("cannot describe the snapshot: {0}")]
    Encode(FormatError),
    /// A segment or delete vector in the repository is not what its name says, also after reading it again.
    #[error("object '{key}' of the repository is damaged: {detail}")]
    CorruptObject {
        /// The object.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// A local file is not what the catalog says it is, so it is not uploaded.
    #[error("local file {path} is damaged: {detail}", path = path.display())]
    CorruptLocal {
        /// The file.
        path: PathBuf,
        /// The digest it should have.
        digest: Digest,
        /// What is wrong.
        detail: String,
    },
    /// A local file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    LocalIo {
        /// Verb, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A read-only repository was to be written.
    #[error("the repository at {location} is read only")]
    ReadOnly {
        /// Where it is.
        location: String,
    },
    /// Nothing there to read.
    #[error(
        "there is no repository at {location}: '{key}' is missing; correct the location, or create the repository \
         without READ ONLY"
    )]
    NotARepository {
        /// Where it should be.
        location: String,
        /// The object that was looked for.
        key: String,
    },
    /// What should lead to a repository leads to none.
    #[error(
        "there is no repository where the new properties of {location} lead: '{key}' is missing; give the endpoint and \
         credentials with which it was made, or those of a place that it was copied to"
    )]
    LedAstray {
        /// Where it should be.
        location: String,
        /// The object that was looked for.
        key: String,
    },
    /// Another repository is where one was.
    #[error(
        "the repository at {location} is not the one it was: its id is {found} instead of {expected}; drop it and \
         create it again if that is meant"
    )]
    Replaced {
        /// Where it is.
        location: String,
        /// The id the catalog has.
        expected: String,
        /// The id that is there.
        found: String,
    },
    /// The store does not keep what it is given.
    #[error("the store at {location} cannot hold a repository: {detail}")]
    UnfitStore {
        /// Where it is.
        location: String,
        /// What it does wrong.
        detail: String,
    },
    /// No snapshot of that name.
    #[error("snapshot '{label}' with timestamp '{timestamp}' does not exist in the repository")]
    SnapshotNotFound {
        /// Its label.
        label: String,
        /// Its timestamp.
        timestamp: String,
    },
    /// A different snapshot of that name.
    #[error("Snapshot with name '{label}' already exist in repository")]
    SnapshotExists {
        /// Its label.
        label: String,
        /// Its timestamp.
        timestamp: String,
    },
    /// A tombstone stands where the snapshot's commit object was to go.
    #[error("snapshot '{label}' of {timestamp} can no longer be published: {}", why_fenced(.tombstone))]
    SnapshotFenced {
        /// Its label.
        label: String,
        /// Its timestamp.
        timestamp: String,
        /// What the tombstone says.
        tombstone: Tombstone,
    },
    /// Garbage cannot be collected safely, or not at all, as things are.
    #[error("the garbage of the repository at {location} cannot be collected: {detail}")]
    NotCollectable {
        /// Where it is.
        location: String,
        /// Why, and what to do.
        detail: String,
    },
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl RepositoryError {
    /// Whether the same call may work later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, RepositoryError::Store(error) if error.is_retryable())
    }

    /// Whether it says that an object has not the bytes it should have.
    #[must_use]
    pub fn is_corrupt_object(&self) -> bool {
        matches!(self, RepositoryError::CorruptObject { .. }) || self.store_kind() == Some(StoreErrorKind::Corrupt)
    }

    /// What the store said, when it is the store's error.
    #[must_use]
    pub fn store_kind(&self) -> Option<StoreErrorKind> {
        match self {
            RepositoryError::Store(error) => Some(error.kind()),
            _ => None,
        }
    }
}

fn why_fenced(tombstone: &Tombstone) -> &'static str {
    match tombstone {
        Tombstone::Dropped => "it was dropped meanwhile; back up again",
        Tombstone::Fenced => {
            "it did not come within the backup's timeout, and a collection of garbage has gone on without it; back up \
             again, with a longer \"timeout\" if need be"
        }
        Tombstone::Withdrawn => "the backup was cancelled; back up again",
    }
}
