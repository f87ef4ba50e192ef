//! How a job is doing, in the form that SHOW BACKUP and SHOW RESTORE print: `[OK]` or `[CODE, msg: text]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::repository::format::FormatError;
use crate::repository::{RepositoryError, StoreErrorKind};

/// The word scripts look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusCode {
    /// Nothing is wrong.
    Ok,
    /// Something that was named is not there.
    NotFound,
    /// Bytes are not what they are recorded to be.
    BadFile,
    /// The job did not end in time.
    Timeout,
    /// The repository could not be reached, for longer than is worth waiting.
    BadConnection,
    /// Whatever has no word of its own, a cancel by the user among them.
    CommonError,
    /// This version cannot do it.
    Unsupported,
}

/// How a job is doing: a word for scripts, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The word.
    pub code: StatusCode,
    /// The sentence; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl JobStatus {
    /// Nothing is wrong.
    pub const OK: JobStatus = JobStatus { code: StatusCode::Ok, message: String::new() };

    /// Something is wrong.
    pub fn new(code: StatusCode, message: impl Into<String>) -> JobStatus {
        JobStatus { code, message: message.into() }
    }

    /// What ended a job, told by the error of its last step.
    pub fn of_error(error: &Error) -> JobStatus {
        JobStatus::new(StatusCode::of_error(error), error.to_string())
    }
}

impl StatusCode {
    fn of_error(error: &Error) -> StatusCode {
        match error {
            Error::NotFound { .. } => StatusCode::NotFound,
            Error::Corrupt { .. } | Error::Parquet(_) => StatusCode::BadFile,
            Error::Repository(error) => StatusCode::of_repository_error(error),
            _ => StatusCode::CommonError,
        }
    }

    fn of_repository_error(error: &RepositoryError) -> StatusCode {
        match error {
            RepositoryError::Format { source: FormatError::Newer { .. }, .. } => StatusCode::Unsupported,
            RepositoryError::Format { .. }
            | RepositoryError::CorruptObject { .. }
            | RepositoryError::CorruptLocal { .. } => StatusCode::BadFile,
            RepositoryError::SnapshotNotFound { .. } | RepositoryError::NotARepository { .. } => StatusCode::NotFound,
            RepositoryError::Store(error) if error.is_retryable() => StatusCode::BadConnection,
            RepositoryError::Store(error) if error.kind() == StoreErrorKind::NotFound => StatusCode::NotFound,
            _ => StatusCode::CommonError,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            StatusCode::Ok => "OK",
            StatusCode::NotFound => "NOT_FOUND",
            StatusCode::BadFile => "BAD_FILE",
            StatusCode::Timeout => "TIMEOUT",
            StatusCode::BadConnection => "BAD_CONNECTION",
            StatusCode::CommonError => "COMMON_ERROR",
            StatusCode::Unsupported => "UNSUPPORTED",
        }
    }
}

impl Default for JobStatus {
    fn default() -> Self {
        JobStatus::OK
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            StatusCode::Ok => f.write_str("[OK]"),
            code => write!(f, "[{}, msg: {}]", code.as_str(), self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Noun;

    #[test]
    fn status_prints_as_scripts_expect() {
        assert_eq!(JobStatus::OK.to_string(), "[OK]");
        let cancelled = JobStatus::new(StatusCode::CommonError, "user cancelled");
        assert_eq!(cancelled.to_string(), "[COMMON_ERROR, msg: user cancelled]");
        let gone = JobStatus::of_error(&Error::not_found(Noun::Table, "t"));
        assert_eq!(gone.to_string(), "[NOT_FOUND, msg: table 't' does not exist]");
        let stored = serde_json::to_string(&cancelled).unwrap();
        assert_eq!(stored, r#"{"code":"COMMON_ERROR","message":"user cancelled"}"#);
    }
}
