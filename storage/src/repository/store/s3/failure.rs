//! From what the SDK reports to one kind and one sentence with an advice.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::{Operation, StoreError, StoreErrorKind};
use super::Inner;
use crate::repository::properties::{MASK, Secret};

/// Header in which S3 names the region a bucket is really in.
const BUCKET_REGION_HEADER: &str = "x-amz-bucket-region";

/// Headers in which stores name a request.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-amz-request-id", "x-amz-id-2"];

/// Secrets shorter than this are not searched for: they would blot out half of every text.
const SECRET_CHARS_MIN: usize = 4;

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

    pub(super) fn worth_another_try(error: StoreError) -> Self {
        Self { error, again: true }
    }
}

/// Takes known secrets out of texts that came from outside.
#[derive(Debug)]
pub(super) struct Scrubber {
    secrets: Vec<Secret>,
}

impl Scrubber {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets: secrets.into_iter().filter(|secret| secret.expose().len() >= SECRET_CHARS_MIN).collect() }
    }

    fn clean(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), MASK))
    }
}

/// What code and people are told about a failed request.
pub(super) fn failed<E>(inner: &Inner, operation: Operation, key: &str, error: &SdkError<E, HttpResponse>) -> Failed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let verdict = match error {
        SdkError::ServiceError(service) => from_answer(inner, operation, service.err(), service.raw()),
        SdkError::ResponseError(response) => {
            Verdict::of(StoreErrorKind::Unavailable, format!("the answer is no S3 answer: {}", innermost(error)))
                .advise("check that aws.s3.endpoint is an S3 endpoint and that http or https is right")
                .with_status(response.raw().status().as_u16())
        }
        _ => from_silence(error),
    };
    let answer = error.raw_response();
    let header = |name: &str| answer.and_then(|answer| answer.headers().get(name));
    let request_id = REQUEST_ID_HEADERS.iter().find_map(|name| header(name));
    let again = verdict.again;
    let mut result =
        StoreError::new(verdict.kind, operation, &inner.place, key, inner.scrubber.clean(&verdict.message))
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
}

/// The store answered, and not with success.
fn from_answer(inner: &Inner, operation: Operation, error: &dyn ProvideErrorMetadata, raw: &HttpResponse) -> Verdict {
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    let region = raw.headers().get(BUCKET_REGION_HEADER).or_else(|| region_in(message));
    let (kind, advice, again) = classify(inner, operation, status, code, region);
    let message = match (message, code) {
        ("", "") => format!("the store answered {}", status_text(status)),
        ("", code) => format!("the store answered {code}"),
        (message, _) => message.to_owned(),
    };
    Verdict { kind, message, advice, status: Some(status), code: (!code.is_empty()).then(|| code.to_owned()), again }
}

fn classify(
    inner: &Inner,
    operation: Operation,
    status: u16,
    code: &str,
    region: Option<&str>,
) -> (StoreErrorKind, Option<String>, bool) {
    use StoreErrorKind::{
        AlreadyExists, Corrupt, Invalid, NotFound, PermissionDenied, Throttled, Timeout, Unavailable,
    };
    let advice = |kind, text: &str| (kind, Some(text.to_owned()), false);
    match (code, status) {
        ("NoSuchBucket" | "InvalidBucketName", _) => advice(Invalid, "create the bucket, or correct the location"),
        ("InvalidAccessKeyId" | "InvalidAccessKey", _) => {
            advice(PermissionDenied, "check aws.s3.access_key, and aws.s3.session_token if the keys are temporary")
        }
        ("SignatureDoesNotMatch", _) => {
            advice(PermissionDenied, "check aws.s3.secret_key: it does not belong to aws.s3.access_key")
        }
        ("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "ExpiredTokenException", _) => advice(
            PermissionDenied,
            "the temporary credentials have ended: give new keys with their aws.s3.session_token, or an identity that renews itself",
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            advice(PermissionDenied, "set this machine's clock: it is too far from the store's")
        }
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "Redirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "InvalidRegion",
            _,
        )
        | (_, 301 | 307) => (
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
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests", _)
        | (_, 429) => (Throttled, None, false),
        ("RequestTimeout", _) | (_, 408) => (Timeout, None, true),
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
        ("InvalidRange", _) | (_, 416) => advice(Corrupt, "the object is shorter than it should be"),
        ("NotImplemented" | "MethodNotAllowed", _) | (_, 405 | 501) => {
            advice(Invalid, "this store lacks a request that repositories need")
        }
        ("NoSuchUpload", _) => (NotFound, None, false),
        _ if code.starts_with("KMS.") => advice(
            PermissionDenied,
            "allow kms:GenerateDataKey and kms:Decrypt on the bucket's key for these credentials",
        ),
        (_, 401 | 403) => (PermissionDenied, Some(permission_advice(inner, operation)), false),
        // Only something that was to be read can be missing; whoever says so of a listing is no S3 server.
        (_, 404) if matches!(operation, Operation::List | Operation::Put | Operation::StartMultipart) => {
            advice(Invalid, "check that aws.s3.endpoint is an S3 endpoint, and the bucket")
        }
        (_, 404) => (NotFound, None, false),
        // "200 OK" with an error in its body is how S3 says that a completion failed after it had begun to answer.
        ("InternalError" | "ServiceUnavailable", _) | (_, 200..=299 | 500..) => (Unavailable, None, false),
        _ => (Invalid, None, false),
    }
}

/// Which statement of an IAM policy is missing.
fn permission_advice(inner: &Inner, operation: Operation) -> String {
    let resource = match operation {
        Operation::List | Operation::Connect => inner.bucket.clone(),
        _ => format!("{}/{}*", inner.bucket, inner.place.prefix),
    };
    format!("allow {} on arn:aws:s3:::{resource} for these credentials", operation.iam_action())
}

/// The region in a message such as "the region 'us-east-1' is wrong; expecting 'eu-west-1'".
fn region_in(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("expecting '")?;
    after.split('\'').next().filter(|region| !region.is_empty())
}

fn status_text(status: u16) -> &'static str {
    match status {
        301 => "that the bucket is elsewhere",
        400 => "that the request is wrong",
        401 | 403 => "that access is denied",
        404 => "that it is not there",
        500.. => "that something is wrong with itself",
        _ => "with an error",
    }
}

/// No answer came: the request could not be made, sent, or did not come back.
fn from_silence<E>(error: &SdkError<E, HttpResponse>) -> Verdict
where
    E: Error + Send + Sync + 'static,
{
    if let Some(credentials) = credentials_error(error) {
        return from_missing_credentials(credentials);
    }
    let cause = innermost(error);
    let lower = cause.to_lowercase();
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Verdict::of(StoreErrorKind::Invalid, cause).advise("check the repository's location and properties");
    }
    if lower.contains("certificate") || lower.contains("unknownissuer") {
        return Verdict::of(StoreErrorKind::Invalid, format!("the TLS handshake failed: {cause}"))
            .advise("use an endpoint whose certificate this machine trusts, or add its CA to the system's store");
    }
    if lower.contains("invalidcontenttype") || lower.contains("corrupt message") || lower.contains("wrong version") {
        return Verdict::of(StoreErrorKind::Invalid, format!("the endpoint does not speak TLS: {cause}"))
            .advise("if it speaks http, set \"aws.s3.enable_ssl\" = \"false\" or write http:// in aws.s3.endpoint");
    }
    let timed_out = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    let advice = "check that aws.s3.endpoint is right and can be reached from this machine";
    if timed_out {
        return Verdict::of(StoreErrorKind::Timeout, "no answer in time").advise(advice);
    }
    Verdict::of(StoreErrorKind::Unavailable, format!("cannot reach it: {cause}")).advise(advice)
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn from_missing_credentials(error: &CredentialsError) -> Verdict {
    let cause = innermost(error);
    match error {
        CredentialsError::ProviderTimedOut(_) => {
            Verdict::of(StoreErrorKind::Timeout, format!("credentials did not come in time: {cause}"))
                .advise("is this machine an EC2 instance with a role, and can it reach its metadata service?")
        }
        CredentialsError::CredentialsNotLoaded(_) => {
            Verdict::of(StoreErrorKind::PermissionDenied, format!("no credentials were found: {cause}"))
                .advise("give the instance a role, or give aws.s3.access_key and aws.s3.secret_key")
        }
        _ => Verdict::of(StoreErrorKind::PermissionDenied, format!("credentials could not be got: {cause}"))
            .advise("check the instance's role, and with aws.s3.iam_role_arn its trust policy and aws.s3.external_id"),
    }
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
    fn secrets_are_taken_out_of_foreign_texts() {
        let scrubber = Scrubber::new(vec![Secret::new("CANARY"), Secret::new("x")]);
        assert_eq!(scrubber.clean("got CANARY/x in CANARY"), "got ***/x in ***");
    }
}
