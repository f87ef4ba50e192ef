//! From what the SDK reports to one kind and one sentence with an advice.
//!
//! Where no request was sent because nobody could sign it, `credentials` says why, and `sts` what STS had to do with it;
//! where one was refused, `permission` says what would have it allowed.

mod credentials;
mod permission;
mod sts;

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::error::{NO_ANSWER, NO_ANSWER_ADVICE};
use super::super::{Operation, StoreError, StoreErrorKind};
use super::lock::LOCKLESS_ADVICE;
use super::{Inner, Patience};
use crate::repository::properties::{Encryption, MASK, Secret};

/// Header in which S3 names the region a bucket is really in.
const BUCKET_REGION_HEADER: &str = "x-amz-bucket-region";

/// Headers in which stores name a request.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-amz-request-id", "x-amz-id-2"];

/// Secrets shorter than this are not searched for: they would blot out half of every text.
const SECRET_CHARS_MIN: usize = 4;

/// The same for what stands between two slashes of one.
const PART_CHARS_MIN: usize = 6;

/// A failed attempt, and whether the same request is worth another one here.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: StoreError,
    pub(super) again: bool,
}

impl Failed {
    pub(super) fn for_good(error: StoreError) -> Self {
        Self { error, again: false }
    }

    pub(super) fn with_advice(self, advice: &str) -> Self {
        Self { error: self.error.with_advice(advice), ..self }
    }

    pub(super) fn worth_another_try(error: StoreError) -> Self {
        Self { error, again: true }
    }
}

/// Takes known secrets out of texts that came from outside.
#[derive(Debug)]
pub(super) struct Scrubber {
    secrets: Vec<Secret>,
    /// What stands between two slashes of one: a store takes a secret key in the place of the access key apart there, and
    /// may repeat a part of it.
    parts: Vec<Secret>,
}

impl Scrubber {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        let secrets: Vec<Secret> =
            secrets.into_iter().filter(|secret| secret.expose().len() >= SECRET_CHARS_MIN).collect();
        let parts = secrets
            .iter()
            .filter(|secret| secret.expose().contains('/'))
            .flat_map(|secret| secret.expose().split('/'))
            .filter(|part| part.len() >= PART_CHARS_MIN)
            .map(Secret::new)
            .collect();
        Self { secrets, parts }
    }

    /// A text of ours, in which a part of a secret may be an innocent word.
    fn clean(&self, text: &str) -> String {
        without(text, &self.secrets)
    }

    /// A text of the store's.
    fn clean_foreign(&self, text: &str) -> String {
        without(&self.clean(text), &self.parts)
    }
}

fn without(text: &str, secrets: &[Secret]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), MASK))
}

/// What code and people are told about a failed request.
pub(super) fn failed<E>(inner: &Inner, operation: Operation, key: &str, error: &SdkError<E, HttpResponse>) -> Failed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let verdict = match error {
        SdkError::ServiceError(service) => from_answer(inner, operation, key, service.err(), service.raw()),
        SdkError::ResponseError(response) => {
            let verdict = no_s3_answer(operation, response.raw().status().as_u16());
            match in_chain::<super::bounded::TooLong>(error) {
                Some(long) => Verdict { message: long.to_string(), ..verdict },
                None => verdict,
            }
        }
        _ => from_silence(inner, error),
    };
    let answer = error.raw_response();
    let header = |name: &str| answer.and_then(|answer| answer.headers().get(name));
    let request_id = REQUEST_ID_HEADERS.iter().find_map(|name| header(name));
    let again = verdict.again;
    let mut result =
        StoreError::new(verdict.kind, operation, &inner.place, key, inner.scrubber.clean_foreign(&verdict.message))
            .with_response(verdict.status, verdict.code.as_deref(), request_id);
    if let Some(advice) = &verdict.advice {
        result = result.with_advice(inner.scrubber.clean(advice));
    }
    Failed { error: result, again }
}

/// The last cause in a chain of errors, which is the one that says something.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

struct Verdict {
    kind: StoreErrorKind,
    message: String,
    advice: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    again: bool,
}

impl Verdict {
    fn of(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), advice: None, status: None, code: None, again: false }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn with_code(mut self, code: &str) -> Self {
        self.code = (!code.is_empty()).then(|| code.to_owned());
        self
    }
}

/// The store answered, and not with success.
fn from_answer(
    inner: &Inner,
    operation: Operation,
    key: &str,
    error: &dyn ProvideErrorMetadata,
    raw: &HttpResponse,
) -> Verdict {
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    if (code, message) == ("", "") && matches!(status, 200..=299 | 400) {
        return no_s3_answer(operation, status);
    }
    let region = raw.headers().get(BUCKET_REGION_HEADER).or_else(|| region_in(message));
    let (kind, advice, again) = classify(inner, operation, key, status, (code, message), region);
    let message = match (message, code) {
        ("", "") => format!("the store answered {}", status_text(status)),
        ("", code) => format!("the store answered {code}"),
        (message, _) => message.to_owned(),
    };
    let advice = match message.to_lowercase() {
        message if message.contains("object lock") => Some(LOCKLESS_ADVICE.to_owned()),
        // A right that is missing on the key is told as one that is missing on the object.
        message if kind == StoreErrorKind::PermissionDenied && message.contains("kms:") => Some(kms_advice(inner)),
        _ => advice,
    };
    Verdict { kind, message, advice, status: Some(status), code: (!code.is_empty()).then(|| code.to_owned()), again }
}

/// The store answered, and not as S3 does: another protocol, another program.
fn no_s3_answer(operation: Operation, status: u16) -> Verdict {
    let kind = if (400..500).contains(&status) { StoreErrorKind::Invalid } else { StoreErrorKind::Unavailable };
    let mut verdict = Verdict::of(kind, "the answer is no S3 answer")
        .with_status(status)
        .advise("check that aws.s3.endpoint is an S3 endpoint, and that http or https and aws.s3.region are right");
    // Whether it was a yes is learned by asking again: before all parts are sent again, or the store is thought to have no
    // uploads in parts.
    verdict.again =
        matches!(operation, Operation::StartMultipart | Operation::CompleteMultipart) && (200..300).contains(&status);
    verdict
}

fn classify(
    inner: &Inner,
    operation: Operation,
    key: &str,
    status: u16,
    (code, message): (&str, &str),
    region: Option<&str>,
) -> (StoreErrorKind, Option<String>, bool) {
    use StoreErrorKind::{
        AlreadyExists, Corrupt, Invalid, NotFound, PermissionDenied, Throttled, Timeout, Unavailable,
    };
    let advice = |kind, text: &str| (kind, Some(text.to_owned()), false);
    match (code, status) {
        ("NoSuchBucket" | "InvalidBucketName", _) => advice(Invalid, "create the bucket, or correct the location"),
        ("InvalidAccessKeyId" | "InvalidAccessKey" | "InvalidClientTokenId", _) => {
            (PermissionDenied, Some(or_replaced(inner, inner.identity.when_unknown())), false)
        }
        ("SignatureDoesNotMatch", _) => {
            (PermissionDenied, Some(or_replaced(inner, inner.identity.when_unsigned())), false)
        }
        ("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "ExpiredTokenException", _) => {
            advice(PermissionDenied, inner.identity.when_ended())
        }
        // The SDK signs by the store's time, which it knows from the last answer. When this machine's clock has been set
        // since, what it knows is wrong, and this answer has told it anew.
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            let text = "set this machine's clock: it is too far from the store's";
            (PermissionDenied, Some(text.to_owned()), true)
        }
        ("AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError", _) if is_about_the_key(message) => {
            advice(PermissionDenied, inner.identity.when_malformed())
        }
        (
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "InvalidRegion",
            _,
        )
        | (_, 301) => (
            Invalid,
            Some(match region {
                Some(region) => format!("the bucket is in region '{region}': set aws.s3.region to it"),
                None => {
                    "set aws.s3.region to the bucket's region, and leave aws.s3.endpoint out or make it that region's"
                        .to_owned()
                }
            }),
            false,
        ),
        // So S3 answers for a bucket whose names are on their way; it is not followed, the next try may meet the bucket.
        ("TemporaryRedirect" | "Redirect", 307) => {
            let advice = match region {
                Some(region) => format!("if the bucket is in region '{region}', set aws.s3.region to it; a bucket"),
                None => "a bucket".to_owned(),
            };
            let advice = format!(
                "{advice} that was just made can be reached by its region's endpoint at once, elsewhere after some \
                 hours: set aws.s3.endpoint to that, or try again later"
            );
            (Unavailable, Some(advice), false)
        }
        (_, 300..=399) => advice(
            Invalid,
            "redirects are not followed: set aws.s3.endpoint to the address of the store itself, with https:// if it \
             sends http there",
        ),
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests", _)
        | (_, 429) => advice(Throttled, "the store asks for fewer requests: try again later"),
        ("RequestTimeout", _) | (_, 408) => (Timeout, None, false),
        ("PreconditionFailed", _) | (_, 412) => (AlreadyExists, None, false),
        ("ConditionalRequestConflict" | "OperationAborted", _) => (Unavailable, None, true),
        (
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody",
            _,
        ) => (Unavailable, Some("the bytes were damaged on their way to the store".to_owned()), true),
        // The list of parts is ours and is right: it was damaged on its way, where no checksum protects it.
        ("MalformedXML" | "InvalidPart" | "InvalidPartOrder", _) if operation == Operation::CompleteMultipart => {
            (Unavailable, Some("the list of parts was damaged on its way to the store".to_owned()), true)
        }
        ("InvalidRange", _) | (_, 416) => advice(Corrupt, "the object is shorter than it should be"),
        ("NotImplemented" | "MethodNotAllowed", _) | (_, 405 | 501) => {
            advice(Invalid, "this store lacks a request that repositories need")
        }
        ("NoSuchUpload", _) => (NotFound, None, false),
        _ if code.starts_with("KMS.") => (PermissionDenied, Some(kms_advice(inner)), false),
        (_, 401 | 403) => {
            let asked = permission::Asked { operation, key, bucket: &inner.bucket, place: &inner.place };
            (PermissionDenied, Some(permission::advice(&asked, code, message)), false)
        }
        // Only something that was to be read can be missing; whoever says so of a listing is no S3 server.
        (_, 404) if matches!(operation, Operation::List | Operation::Put | Operation::StartMultipart) => {
            advice(Invalid, "check that aws.s3.endpoint is an S3 endpoint, and the bucket")
        }
        (_, 404) => (NotFound, None, false),
        // "200 OK" with an error in its body is how S3 says that a completion failed after it had begun to answer. The
        // SDK, which looks at the status, does not try again, and without it all parts would have to be sent again.
        (_, 200..=299) => (Unavailable, None, true),
        ("InternalError" | "ServiceUnavailable", _) | (_, 500..) => (Unavailable, None, false),
        ("InvalidStorageClass", _) => advice(Invalid, "correct aws.s3.storage_class: this store does not know it"),
        ("ObjectLockConfigurationNotFoundError" | "InvalidBucketObjectLockConfiguration", _) => {
            advice(Invalid, LOCKLESS_ADVICE)
        }
        _ => (Invalid, None, false),
    }
}

/// What to do about keys that are not taken: those of a job were, when the repository was made.
fn or_replaced(inner: &Inner, advice: &str) -> String {
    match inner.identity.when_replaced().filter(|_| inner.patience == Patience::Job) {
        Some(replaced) => format!("{advice}; {replaced}"),
        None => advice.to_owned(),
    }
}

/// What is wrong with the key that a store encrypts with, or with the rights on it.
fn kms_advice(inner: &Inner) -> String {
    let key = match inner.writes.encryption.as_ref().and_then(Encryption::key_id) {
        Some(_) => "check aws.s3.sse_kms_key_id: that key",
        None => "the key that the bucket encrypts with",
    };
    format!(
        "{key} must be there, enabled and in the bucket's region, and these credentials need kms:GenerateDataKey and \
         kms:Decrypt on it"
    )
}

/// Whether what is malformed of a request's authorization is who asks, which stands in it as
/// `Credential=<access key>/<day>/<region>/…`, and not the region.
fn is_about_the_key(message: &str) -> bool {
    let message = message.to_lowercase();
    let tells_of_key = message.contains("credential") || message.contains("akid") || message.contains("access key");
    tells_of_key && !message.contains("the region ")
}

/// The region in a message such as "the region 'us-east-1' is wrong; expecting 'eu-west-1'".
fn region_in(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("expecting '")?;
    after.split('\'').next().filter(|region| !region.is_empty())
}

fn status_text(status: u16) -> &'static str {
    match status {
        301 => "that the bucket is elsewhere",
        300..=399 => "that something else is to be asked",
        400 => "that the request is wrong",
        401 | 403 => "that access is denied",
        404 => "that it is not there",
        500.. => "that something is wrong with itself",
        _ => "with an error",
    }
}

/// No answer came: the request could not be made, sent, or did not come back.
fn from_silence<E>(inner: &Inner, error: &SdkError<E, HttpResponse>) -> Verdict
where
    E: Error + Send + Sync + 'static,
{
    if let Some(credentials) = in_chain::<CredentialsError>(error) {
        return credentials::verdict(inner.identity, credentials);
    }
    let cause = innermost(error);
    let lower = cause.to_lowercase();
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Verdict::of(StoreErrorKind::Invalid, cause).advise("check the repository's location and properties");
    }
    match tls_trouble(&cause) {
        Some(TlsTrouble::Certificate) => {
            return Verdict::of(StoreErrorKind::Invalid, format!("the TLS handshake failed: {cause}")).advise(
                "give the file of the CA that signed the endpoint's certificate as aws.s3.ca_bundle, or use an endpoint \
                 whose certificate this machine trusts",
            );
        }
        Some(TlsTrouble::NoTls) => {
            return Verdict::of(StoreErrorKind::Invalid, format!("the endpoint does not speak TLS: {cause}")).advise(
                "if it speaks http, set \"aws.s3.enable_ssl\" = \"false\" or write http:// in aws.s3.endpoint",
            );
        }
        None => {}
    }
    if lower.contains("identity resolver timed out") {
        return Verdict::of(StoreErrorKind::Timeout, "credentials did not come in time")
            .advise(inner.identity.when_late());
    }
    let timed_out = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    if timed_out {
        return Verdict::of(StoreErrorKind::Timeout, NO_ANSWER).advise(NO_ANSWER_ADVICE);
    }
    let advice = match inner.place.endpoint.starts_with("http://") && hangs_up(&lower) {
        true => format!("{NO_ANSWER_ADVICE}; if its port speaks TLS, write https:// there"),
        false => NO_ANSWER_ADVICE.to_owned(),
    };
    Verdict::of(StoreErrorKind::Unavailable, format!("cannot reach it: {cause}")).advise(advice)
}

/// Whether the other side ended the connection in place of an answer, as one does that is greeted in another protocol.
fn hangs_up(cause: &str) -> bool {
    cause.contains("connection reset") || cause.contains("connection closed before message completed")
}

/// The first error of this type among an error and its causes.
fn in_chain<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What may be wrong with TLS.
enum TlsTrouble {
    /// The certificate is not trusted.
    Certificate,
    /// The other side speaks something else.
    NoTls,
}

fn tls_trouble(cause: &str) -> Option<TlsTrouble> {
    let lower = cause.to_lowercase();
    if lower.contains("certificate") || lower.contains("unknownissuer") {
        return Some(TlsTrouble::Certificate);
    }
    let other =
        lower.contains("invalidcontenttype") || lower.contains("corrupt message") || lower.contains("wrong version");
    other.then_some(TlsTrouble::NoTls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_region_names_the_right_one() {
        let message = "The authorization header is malformed; the region 'a' is wrong; expecting 'eu-west-1'";
        assert_eq!(region_in(message), Some("eu-west-1"));
        assert_eq!(region_in("nothing"), None);
    }

    #[test]
    fn a_key_that_cannot_be_read_is_no_wrong_region() {
        for (message, about_key) in [
            (
                "The authorization header is malformed; the Credential is mal-formed; expecting \
                 \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
                true,
            ),
            ("The authorization header is malformed; a non-empty Access Key (AKID) must be provided.", true),
            ("The authorization header is malformed; the region 'a' is wrong; expecting 'b'", false),
            ("Error parsing the X-Amz-Credential parameter; the region is wrong; expecting 'b'", false),
            ("The authorization header is malformed", false),
        ] {
            assert_eq!(is_about_the_key(message), about_key, "{message}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_foreign_texts() {
        let scrubber = Scrubber::new(vec![Secret::new("CANARY"), Secret::new("x")]);
        assert_eq!(scrubber.clean("got CANARY/x in CANARY"), "got ***/x in ***");
        let scrubber = Scrubber::new(vec![Secret::new("firstCANARY/secondCANARY/a")]);
        let said = "incorrect date format \"secondCANARY\" of firstCANARY/secondCANARY/a and firstCANARY";
        assert_eq!(scrubber.clean("secondCANARY is a word of ours"), "secondCANARY is a word of ours");
        assert_eq!(scrubber.clean_foreign(said), "incorrect date format \"***\" of *** and ***");
    }
}
