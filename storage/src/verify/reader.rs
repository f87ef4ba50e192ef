//! Reading a repository to judge it: what cannot be read is either damage, which is a finding, or trouble, which is
//! tried again and in the end ends the job.

use std::future::Future;

use crate::catalog::Problem;
use crate::error::{Error, Result};
use crate::job::JobContext;
use crate::repository::format::FormatError;
use crate::repository::{Inspection, Repository, RepositoryError, RepositoryResult, StoreErrorKind};

/// Longest text of a fault: some of it comes from outside.
const FAULT_CHARS_MAX: usize = 300;

/// What a verification reads with.
pub(super) struct Reader<'a> {
    pub(super) context: &'a JobContext,
    pub(super) repository: &'a Repository,
}

/// What reading something came to.
#[derive(Debug)]
pub(super) enum Read<T> {
    /// It is as it should be.
    Whole(T),
    /// It is not.
    Damaged(Fault),
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) problem: Problem,
    pub(super) expected: String,
    pub(super) found: String,
}

/// An object and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) key: String,
    pub(super) fault: Fault,
}

impl<'a> Reader<'a> {
    pub(super) fn new(context: &'a JobContext, repository: &'a Repository) -> Reader<'a> {
        Reader { context, repository }
    }

    /// Asks the repository, again while that may help. Errors only when there is no telling.
    pub(super) async fn read<T, F>(&self, what: &str, attempt: impl Fn() -> F) -> Result<Read<T>>
    where
        F: Future<Output = RepositoryResult<T>>,
    {
        match self.ask(what, attempt).await {
            Ok(value) => Ok(Read::Whole(value)),
            Err(Error::Repository(error)) => match Fault::of(&error) {
                Some(fault) => Ok(Read::Damaged(fault)),
                None => Err(error.into()),
            },
            Err(error) => Err(error),
        }
    }

    /// Asks the repository, again while that may help.
    pub(super) async fn ask<T, F>(&self, what: &str, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = RepositoryResult<T>>,
    {
        self.context
            .retry(what, || {
                let attempt = attempt();
                async move { Ok(attempt.await?) }
            })
            .await
    }
}

impl Fault {
    pub(super) fn new(problem: Problem, expected: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault { problem, expected: bounded(&expected.into()), found: bounded(&found.into()) }
    }

    /// Bytes that are those that were written, and make no sense.
    pub(super) fn content(found: impl Into<String>) -> Fault {
        Fault::new(Problem::Content, "content that agrees with itself and with what refers to it", found)
    }

    /// What an inspection says is wrong; nothing when the object is whole.
    pub(super) fn of_inspection(inspection: Inspection, digest: &str, bytes: u64) -> Option<Fault> {
        match inspection {
            Inspection::Whole => None,
            Inspection::Missing => Some(Fault::new(Problem::Missing, format!("{bytes} bytes"), "no such object")),
            Inspection::Length { found } => {
                Some(Fault::new(Problem::Length, format!("{bytes} bytes"), format!("{found} bytes")))
            }
            Inspection::Digest { found } => Some(Fault::new(Problem::Digest, digest, found.to_string())),
        }
    }

    /// What an error says is wrong with what was to be read; nothing when it only says that it could not be.
    pub(super) fn of(error: &RepositoryError) -> Option<Fault> {
        match error {
            RepositoryError::Format { source, .. } => Some(match source {
                FormatError::WrongDigest { expected, found } => {
                    Fault::new(Problem::Digest, expected.to_string(), found.to_string())
                }
                FormatError::NotSealed => Fault::new(Problem::Digest, "an end that is its digest", "another end"),
                FormatError::Newer { found, supported, .. } => {
                    let expected = format!("format version {supported} or older");
                    Fault::new(Problem::Newer, expected, format!("format version {found}"))
                }
                other => Fault::content(other.to_string()),
            }),
            RepositoryError::SnapshotNotFound { .. } | RepositoryError::NotARepository { .. } => {
                Some(Fault::new(Problem::Missing, "an object", "no such object"))
            }
            RepositoryError::Store(store) => match store.kind() {
                StoreErrorKind::NotFound => Some(Fault::new(Problem::Missing, "an object", "no such object")),
                StoreErrorKind::Corrupt => Some(Fault::new(Problem::Digest, "its bytes", error.to_string())),
                _ => None,
            },
            RepositoryError::CorruptObject { detail, .. } => Some(Fault::new(Problem::Digest, "its bytes", detail)),
            _ => None,
        }
    }
}

fn bounded(text: &str) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut bounded: String = plain.clone().take(FAULT_CHARS_MAX).collect();
    if plain.count() > FAULT_CHARS_MAX {
        bounded.push('…');
    }
    bounded
}
