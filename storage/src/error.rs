//! What can go wrong in storage: rich inside, few kinds outside, each telling the caller what to do.
//!
//! Texts are for people: they name the thing and say what to do next. They never hold a secret.

use std::path::{Path, PathBuf};

use crate::catalog::Holder;
use crate::ids::TabletId;
use crate::repository::RepositoryError;

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in storage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thing that was named is not there.
    #[error("{noun} '{name}' does not exist")]
    NotFound {
        /// What kind of thing.
        noun: Noun,
        /// Its name as the user gave it.
        name: String,
    },
    /// A thing of that name is there already.
    #[error("{noun} '{name}' already exists")]
    AlreadyExists {
        /// What kind of thing.
        noun: Noun,
        /// Its name as the user gave it.
        name: String,
    },
    /// A name under which a running restore is going to create something.
    #[error("{noun} '{name}' already exists: restore job {} is going to create it; {holder}", holder.job)]
    Held {
        /// What kind of thing.
        noun: Noun,
        /// Its name as the user gave it.
        name: String,
        /// The restore.
        holder: Holder,
    },
    /// A thing that a running restore is going to replace.
    #[error("{noun} '{name}' is not in state NORMAL: restore job {} is going to replace it; {holder}", holder.job)]
    BeingRestored {
        /// What kind of thing.
        noun: Noun,
        /// Its name.
        name: String,
        /// The restore.
        holder: Holder,
    },
    /// The request makes no sense as it stands; the text says why and what would.
    #[error("{0}")]
    Invalid(String),
    /// The request is sound but not now: something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// A load label that is taken.
    #[error("Label [{label}] has already been used, relate to txn [{transaction}]")]
    LabelTaken {
        /// The label.
        label: String,
        /// The transaction that has it.
        transaction: i64,
        /// FINISHED, or RUNNING for one whose load has not ended.
        running: bool,
    },
    /// Bytes on disk are not what the catalog says they are.
    #[error("corrupt data in tablet {tablet}: {path}: {detail}", path = path.display())]
    Corrupt {
        /// The tablet.
        tablet: TabletId,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// Verb, such as `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk below the catalog refused; nothing has changed, or the text says that this is not known.
    #[error("cannot {action} the catalog {path}: {detail}", path = path.display())]
    CatalogDisk {
        /// Verb, such as `write`.
        action: &'static str,
        /// The catalog's file.
        path: PathBuf,
        /// What the disk said, and what to do.
        detail: String,
    },
    /// The catalog's database refused.
    #[error("catalog: {0}")]
    Catalog(#[from] rusqlite::Error),
    /// A catalog of a newer or broken form.
    #[error("cannot open the catalog: {0}")]
    Migration(#[from] rusqlite_migration::Error),
    /// Bytes of the catalog have changed on the disk.
    #[error(
        "the catalog {path} is damaged and not used: {detail}. Put back a copy of the data directory, or start with an \
         empty one and RESTORE from a repository; `ebla fsck --data-dir` tells what else is damaged",
        path = path.display()
    )]
    CatalogDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A stored value in the catalog does not read back.
    #[error("catalog holds a value that does not read back: {0}")]
    Stored(#[from] serde_json::Error),
    /// Arrow refused.
    #[error("{0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// Parquet refused.
    #[error("{0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A repository refused, failed or cannot be reached.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A background task died.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Kinds of things that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A database.
    Database,
    /// A table.
    Table,
    /// A partition.
    Partition,
    /// A column.
    Column,
    /// A repository.
    Repository,
    /// A user.
    User,
    /// A role.
    Role,
    /// A job.
    Job,
    /// A tablet.
    Tablet,
}

impl std::fmt::Display for Noun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Noun::Database => "database",
            Noun::Table => "table",
            Noun::Partition => "partition",
            Noun::Column => "column",
            Noun::Repository => "repository",
            Noun::User => "user",
            Noun::Role => "role",
            Noun::Job => "job",
            Noun::Tablet => "tablet",
        })
    }
}

impl Error {
    /// A named thing that is not there.
    pub fn not_found(noun: Noun, name: impl Into<String>) -> Self {
        Error::NotFound { noun, name: name.into() }
    }

    /// A name that is taken.
    pub fn already_exists(noun: Noun, name: impl Into<String>) -> Self {
        Error::AlreadyExists { noun, name: name.into() }
    }

    /// Whether the same call may work later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Repository(error) if error.is_retryable())
    }

    /// A request that makes no sense as it stands.
    pub fn invalid(text: impl Into<String>) -> Self {
        Error::Invalid(text.into())
    }
}

/// Adds the verb and the path to an operating system error.
pub trait IoContext<T> {
    /// Names what was done to which file.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.as_ref().to_owned(), source })
    }
}
