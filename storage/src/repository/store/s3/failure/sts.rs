//! What STS says when it gives no credentials: which of those who take part is wrong, and whether that may pass.
//!
//! STS is asked for a role of the properties, by the SDK's chain for the role of a profile, and by it again with a web identity.
//! Stores that are an STS as well answer in the form of S3's errors, which the SDK does not read: that is done here.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::super::StoreErrorKind;
use super::super::identity::{Base, Identity, ROLE_ADVICE, STS_ADVICE};
use super::{TlsTrouble, Verdict, innermost, tls_trouble};

/// What STS says with a status of 400 and takes back later.
const PASSING_CODES: [&str; 5] =
    ["Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "IDPCommunicationError"];

/// What a store says in the form of S3's errors when it is an STS. Whatever else it says there is no answer of one.
const CODES_OF_STORES: [&str; 3] = ["AccessDenied", "NoSuchEntity", "NoSuchRole"];

/// When STS is at fault, or asks for fewer requests.
const LATER_ADVICE: &str = "the fault lies with STS: look there, or try again later";

/// What came of a request to STS.
pub(super) enum Said {
    /// It does not give what it was asked for.
    Refusal(Refusal),
    /// Somebody answered in its place, and not as it does: with this status, and these words.
    NoSts(u16, String),
    /// Nothing came back.
    Nothing(StoreErrorKind, String),
}

/// That STS does not give what it was asked for.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// STS itself: it may pass.
    Sts,
    /// The key of who asks is unknown.
    Key,
    /// The secret is not that of the key.
    Secret,
    /// The credentials of who asks were good once.
    Ended,
    /// The time of this machine.
    Clock,
    /// STS is switched off in the region.
    Region,
    /// The request has not the form it should have.
    Form,
    /// Anything else: who may have what.
    Trust,
}

impl Said {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Said
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let (code, message) =
                    (service.err().code().unwrap_or_default(), service.err().message().unwrap_or_default());
                if (code, message) != ("", "") {
                    return Said::Refusal(Refusal { status, code: code.to_owned(), message: message.to_owned() });
                }
                match service.raw().body().bytes().and_then(in_the_form_of_s3) {
                    Some((code, message)) => Said::by_a_store(Refusal { status, code, message }),
                    None => Said::NoSts(status, String::new()),
                }
            }
            SdkError::ResponseError(response) => Said::NoSts(response.raw().status().as_u16(), String::new()),
            SdkError::TimeoutError(_) => Said::Nothing(StoreErrorKind::Timeout, innermost(error)),
            _ => Said::Nothing(StoreErrorKind::Unavailable, innermost(error)),
        }
    }

    fn by_a_store(refusal: Refusal) -> Said {
        let lacks_it = matches!(refusal.status, 405 | 501);
        let is_known = refusal.about() != About::Trust || CODES_OF_STORES.contains(&refusal.code.as_str());
        if is_known && !lacks_it {
            return Said::Refusal(refusal);
        }
        Said::NoSts(refusal.status, format!(": {}", refusal.words()))
    }
}

impl Refusal {
    /// What STS says, for people.
    pub(super) fn words(&self) -> &str {
        if self.message.is_empty() { &self.code } else { &self.message }
    }

    pub(super) fn about(&self) -> About {
        let message = self.message.to_lowercase();
        match self.code.as_str() {
            code if PASSING_CODES.contains(&code) => About::Sts,
            _ if self.status >= 500 || matches!(self.status, 408 | 429) => About::Sts,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => About::Clock,
            // What AWS's own STS calls a wrong clock.
            "SignatureDoesNotMatch" if message.contains("expired") || message.contains("not yet current") => {
                About::Clock
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => About::Secret,
            "InvalidClientTokenId" | "InvalidAccessKeyId" | "InvalidAccessKey" | "UnrecognizedClientException" => {
                About::Key
            }
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken" => About::Ended,
            "RegionDisabledException" => About::Region,
            "ValidationError" | "MalformedInput" | "InvalidParameterValue" => About::Form,
            _ => About::Trust,
        }
    }

    /// This one as a verdict that begins with `what`.
    pub(super) fn verdict(&self, what: &str, advice: &str) -> Verdict {
        let kind = match self.about() {
            About::Sts => StoreErrorKind::Unavailable,
            About::Region | About::Form => StoreErrorKind::Invalid,
            _ => StoreErrorKind::PermissionDenied,
        };
        let verdict = Verdict::of(kind, format!("{what}: {}", self.words()));
        verdict.with_status(self.status).with_code(&self.code).advise(advice)
    }
}

/// The role of the properties was not given.
pub(super) fn verdict(identity: Identity, error: &SdkError<AssumeRoleError, HttpResponse>) -> Verdict {
    match Said::of(error) {
        Said::Refusal(refusal) => refused(identity.base(), &refusal),
        Said::NoSts(status, words) => {
            let kind = match status {
                400..=499 | 501 => StoreErrorKind::Invalid,
                _ => StoreErrorKind::Unavailable,
            };
            Verdict::of(kind, format!("the answer of the role service is no answer of STS{words}"))
                .with_status(status)
                .advise("check that aws.s3.sts.endpoint is an STS endpoint, and that its http:// or https:// is right")
        }
        Said::Nothing(kind, cause) => match tls_trouble(&cause) {
            Some(TlsTrouble::Certificate) => {
                Verdict::of(StoreErrorKind::Invalid, format!("the TLS handshake with STS failed: {cause}")).advise(
                    "give the file of the CA that signed the certificate of aws.s3.sts.endpoint as aws.s3.ca_bundle, or as \
                     s3_ca_bundle in the server's configuration, or use an endpoint whose certificate this machine trusts",
                )
            }
            Some(TlsTrouble::NoTls) => {
                Verdict::of(StoreErrorKind::Invalid, format!("the endpoint of STS does not speak TLS: {cause}"))
                    .advise("if it speaks http, write http:// in aws.s3.sts.endpoint")
            }
            None => Verdict::of(kind, format!("STS cannot be reached: {cause}")).advise(STS_ADVICE),
        },
    }
}

/// STS says what is wrong with who asks for a role of the properties, or with the role.
fn refused(base: Base, refusal: &Refusal) -> Verdict {
    let (what, advice) = match refusal.about() {
        About::Sts => ("STS cannot give the role now", LATER_ADVICE),
        About::Key => {
            ("STS does not know the access key of the identity that assumes the role", base.when_unknown_at_sts())
        }
        About::Secret => {
            ("STS finds the signature of the identity that assumes the role wrong", base.when_unsigned_at_sts())
        }
        About::Ended => {
            ("STS does not take the session token of the identity that assumes the role", base.when_ended())
        }
        About::Clock => {
            ("STS finds the time of the request wrong", "set this machine's clock: it is too far from that of STS")
        }
        About::Region => (
            "STS is switched off in its region",
            "set aws.s3.sts.region to a region in which STS is active for the account of the base identity, or let that \
             account's administrator activate it there",
        ),
        About::Form => (
            "STS does not understand what it is asked for",
            "check aws.s3.iam_role_arn and aws.s3.external_id: STS takes one of them for malformed",
        ),
        About::Trust => ("STS does not give the role", ROLE_ADVICE),
    };
    let mut verdict = refusal.verdict(what, advice);
    // The SDK has learned STS's time from this very answer.
    verdict.again = refusal.about() == About::Clock;
    verdict
}

/// Code and message of an error as S3 writes it: `<Error><Code>…</Code><Message>…</Message></Error>`.
fn in_the_form_of_s3(body: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, error) = text.split_once("<Error>")?;
    let code = element(error, "Code").filter(|code| !code.is_empty())?;
    Some((code, element(error, "Message").unwrap_or_default()))
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = after.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let inner = entities.iter().fold(inner.trim().to_owned(), |text, (entity, letter)| text.replace(entity, letter));
    Some(inner.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_the_form_of_s3_are_read() {
        let body =
            b"<?xml version=\"1.0\"?>\n<Error><Code>InvalidAccessKeyId</Code><Message>no &quot;key&quot; &amp;lt;\
                     </Message><Resource>/</Resource></Error>";
        let read = in_the_form_of_s3(body).unwrap();
        assert_eq!((read.0.as_str(), read.1.as_str()), ("InvalidAccessKeyId", "no \"key\" &lt;"));
        assert_eq!(in_the_form_of_s3(b"<Error><Code>SlowDown</Code></Error>").unwrap().1, "");
        for other in [&b"<html>no</html>"[..], b"<Error><Code></Code></Error>", b"<Error><Code>x", b"\xff<Error>"] {
            assert_eq!(in_the_form_of_s3(other), None);
        }
    }

    /// Goal: each refusal blames who is wrong, and only what may pass is tried again.
    #[test]
    fn refusals_tell_apart_who_is_wrong() {
        for (status, code, message, about) in [
            (403, "AccessDenied", "not authorized", About::Trust),
            (403, "InvalidClientTokenId", "", About::Key),
            (403, "InvalidAccessKeyId", "", About::Key),
            (403, "SignatureDoesNotMatch", "The request signature we calculated does not match", About::Secret),
            (403, "SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than", About::Clock),
            (403, "SignatureDoesNotMatch", "Signature not yet current: 20260101T000000Z", About::Clock),
            (403, "RequestTimeTooSkewed", "", About::Clock),
            (403, "ExpiredToken", "", About::Ended),
            (403, "RegionDisabledException", "", About::Region),
            (400, "ValidationError", "", About::Form),
            (400, "Throttling", "", About::Sts),
            (400, "IDPCommunicationError", "", About::Sts),
            (503, "ServiceUnavailable", "", About::Sts),
            (500, "AccessDenied", "", About::Sts),
        ] {
            let refusal = Refusal { status, code: code.to_owned(), message: message.to_owned() };
            assert_eq!(refusal.about(), about, "{status} {code} {message}");
            let kind = refused(Base::Keys, &refusal).kind;
            assert_eq!(kind == StoreErrorKind::Unavailable, about == About::Sts, "{status} {code} {message}");
        }
    }

    #[test]
    fn a_store_that_is_no_sts_is_told_as_such() {
        let by_a_store =
            |status, code: &str| Said::by_a_store(Refusal { status, code: code.to_owned(), message: String::new() });
        for (status, code) in [(405, "MethodNotAllowed"), (501, "NotImplemented"), (400, "InvalidRequest")] {
            assert!(matches!(by_a_store(status, code), Said::NoSts(..)), "{code}");
        }
        for (status, code) in
            [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (503, "SlowDown")]
        {
            assert!(matches!(by_a_store(status, code), Said::Refusal(_)), "{code}");
        }
    }
}
