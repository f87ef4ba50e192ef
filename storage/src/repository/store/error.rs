//! What a store can answer instead of what was asked: one kind that tells code what to do, and one sentence that
//! tells people.
//!
//! A sentence names the operation, the object, where it was sent and what came back, then what to do. Texts that
//! come from outside are cut, kept on one line and searched for known secrets before they get here.

use std::fmt;

use super::deadline::Waited;

/// The result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// Longest text of the store's own that a message repeats, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// What is said of a store that does not answer.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// What to do about one that cannot be reached.
pub(super) const NO_ANSWER_ADVICE: &str = "check that aws.s3.endpoint is right and can be reached from this machine";

/// What code does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The object is not there.
    NotFound,
    /// Something is there that must not be.
    AlreadyExists,
    /// The credentials are wrong, have ended, or lack a permission.
    PermissionDenied,
    /// The store cannot be reached or says that it is at fault. Worth another try.
    Unavailable,
    /// The store asks for fewer requests. Worth another try, later.
    Throttled,
    /// No answer in time. Worth another try.
    Timeout,
    /// What came back, or what is stored, is not what it should be.
    Corrupt,
    /// The request cannot work as the repository is configured.
    Invalid,
}

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Making the client, before any request.
    Connect,
    /// Create an object with one request.
    Put,
    /// Begin an object of several parts.
    StartMultipart,
    /// Put one part.
    PutPart,
    /// Finish an object of several parts.
    CompleteMultipart,
    /// Give up an object of several parts.
    AbortMultipart,
    /// Read a whole object.
    Get,
    /// Read a part of an object.
    GetRange,
    /// Look whether an object is there.
    Head,
    /// List one page.
    List,
    /// Delete an object.
    Delete,
    /// Lock an object for longer.
    Lock,
}

/// A failed operation. Cheap to move; everything of interest is behind accessors.
#[derive(Clone)]
pub struct StoreError(Box<Failure>);

#[derive(Clone)]
struct Failure {
    kind: StoreErrorKind,
    operation: Operation,
    key: String,
    place: Place,
    http_status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    message: String,
    advice: Option<String>,
}

/// Where requests go, for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// URL of the endpoint, or empty for a directory.
    pub endpoint: String,
    /// The bucket, or the directory.
    pub bucket: String,
    /// What precedes keys, with its slash; empty when nothing does.
    pub prefix: String,
}

impl StoreErrorKind {
    /// What to do where nothing more is known than the kind.
    fn advice(self) -> Option<&'static str> {
        match self {
            StoreErrorKind::Unavailable => {
                Some("the fault lies with the store or the network: look there, then run the statement again")
            }
            StoreErrorKind::Timeout => {
                Some("look whether the store and the network are well, then run the statement again")
            }
            StoreErrorKind::Corrupt => {
                Some("look at the object with another client: either it is damaged, or what comes between changes it")
            }
            _ => None,
        }
    }
}

impl Operation {
    /// Every operation, each at the place of its discriminant.
    pub const ALL: [Operation; 12] = [
        Operation::Connect,
        Operation::Put,
        Operation::StartMultipart,
        Operation::PutPart,
        Operation::CompleteMultipart,
        Operation::AbortMultipart,
        Operation::Get,
        Operation::GetRange,
        Operation::Head,
        Operation::List,
        Operation::Delete,
        Operation::Lock,
    ];

    /// The name metrics use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Put => "put",
            Operation::StartMultipart => "start_multipart",
            Operation::PutPart => "put_part",
            Operation::CompleteMultipart => "complete_multipart",
            Operation::AbortMultipart => "abort_multipart",
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::Head => "head",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Lock => "lock",
        }
    }

    /// The IAM action that allows it.
    #[must_use]
    pub fn iam_action(self) -> &'static str {
        match self {
            Operation::Connect | Operation::List => "s3:ListBucket",
            Operation::Get | Operation::GetRange | Operation::Head => "s3:GetObject",
            Operation::Put | Operation::StartMultipart | Operation::PutPart | Operation::CompleteMultipart => {
                "s3:PutObject"
            }
            Operation::AbortMultipart => "s3:AbortMultipartUpload",
            Operation::Delete => "s3:DeleteObject",
            Operation::Lock => "s3:PutObjectRetention",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Operation::Connect => "connect to",
            Operation::Put => "put",
            Operation::StartMultipart => "begin the upload of",
            Operation::PutPart => "upload a part of",
            Operation::CompleteMultipart => "complete the upload of",
            Operation::AbortMultipart => "abort the upload of",
            Operation::Get => "get",
            Operation::GetRange => "get a part of",
            Operation::Head => "look up",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Lock => "extend the lock of",
        }
    }
}

impl StoreError {
    /// An error of this kind, with the store's own words or ours.
    pub(crate) fn new(
        kind: StoreErrorKind,
        operation: Operation,
        place: &Place,
        key: &str,
        message: impl AsRef<str>,
    ) -> Self {
        Self(Box::new(Failure {
            kind,
            operation,
            key: one_line(key),
            place: place.clone(),
            http_status: None,
            code: None,
            request_id: None,
            message: one_line(message.as_ref()),
            advice: None,
        }))
    }

    /// Nothing came back from the store in the time there was, of which something else may have taken a part.
    pub(super) fn no_answer(operation: Operation, place: &Place, key: &str, waited: Option<&Waited>) -> Self {
        let message = waited.map_or_else(|| NO_ANSWER.to_owned(), |waited| format!("{NO_ANSWER} ({waited})"));
        let error = Self::new(StoreErrorKind::Timeout, operation, place, key, message);
        // A directory has no endpoint to check.
        if place.endpoint.is_empty() { error } else { error.with_advice(NO_ANSWER_ADVICE) }
    }

    pub(crate) fn with_response(
        mut self,
        http_status: Option<u16>,
        code: Option<&str>,
        request_id: Option<&str>,
    ) -> Self {
        self.0.http_status = http_status;
        self.0.code = code.map(one_line);
        self.0.request_id = request_id.map(one_line);
        self
    }

    pub(crate) fn with_kind(mut self, kind: StoreErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_advice(mut self, advice: impl AsRef<str>) -> Self {
        self.0.advice = Some(one_line(advice.as_ref()));
        self
    }

    /// What code does about it.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// URL of the endpoint; empty for a directory.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.place.endpoint
    }

    /// The bucket, or the directory.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.0.place.bucket
    }

    /// The key or prefix below the location.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// The HTTP status, when there was an answer.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// S3's error code, when there was one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The store's name for the request, for its operator.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Whether the store says that it does not know this kind of request.
    #[must_use]
    pub fn is_not_implemented(&self) -> bool {
        matches!(self.0.http_status, Some(405 | 501))
            || matches!(self.code(), Some("NotImplemented" | "MethodNotAllowed"))
    }

    /// Whether the store answered with success, in a form that cannot be read.
    #[must_use]
    pub fn is_unreadable_yes(&self) -> bool {
        self.code().is_none() && matches!(self.0.http_status, Some(200..=299))
    }

    /// Whether the same request may work later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, StoreErrorKind::Unavailable | StoreErrorKind::Throttled | StoreErrorKind::Timeout)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoint.as_str() {
            "" => write!(f, "directory '{}'", self.bucket),
            endpoint => write!(f, "bucket '{}' at {endpoint}", self.bucket),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { operation, place, key, message, .. } = &*self.0;
        write!(f, "cannot {}", operation.verb())?;
        if *operation != Operation::Connect {
            write!(f, " '{}{key}' in", place.prefix)?;
        }
        write!(f, " {place}: {message}")?;
        let details: Vec<String> = [
            self.0.http_status.map(|status| format!("HTTP status {status}")),
            self.0.code.as_ref().map(|code| format!("S3 code {code}")),
            self.0.request_id.as_ref().map(|id| format!("request id {id}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !details.is_empty() {
            write!(f, " ({})", details.join(", "))?;
        }
        match self.0.advice.as_deref().or(self.kind().advice()) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreError({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for StoreError {}

/// The text cut to a bearable length and kept on one line.
pub(super) fn one_line(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let text = text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty());
    let text = text.collect::<Vec<_>>().join(" ");
    let mut line: String = text.chars().take(MESSAGE_CHARS_MAX).collect();
    if text.chars().nth(MESSAGE_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_helpful_sentence() {
        let place = Place { endpoint: "https://s3.example.com".into(), bucket: "b".into(), prefix: "backup/".into() };
        let denied =
            StoreError::new(StoreErrorKind::PermissionDenied, Operation::Put, &place, "ebla/x", "Access\nDenied.")
                .with_response(Some(403), Some("AccessDenied"), Some("R1"))
                .with_advice("allow s3:PutObject");
        assert_eq!(
            denied.to_string(),
            "cannot put 'backup/ebla/x' in bucket 'b' at https://s3.example.com: Access Denied \
             (HTTP status 403, S3 code AccessDenied, request id R1); allow s3:PutObject"
        );
        assert!(!denied.is_retryable());
        let long = StoreError::new(StoreErrorKind::Timeout, Operation::List, &place, "", "x".repeat(10_000));
        assert!(long.to_string().chars().count() < 500 && long.is_retryable());
    }
}
