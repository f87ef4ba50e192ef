//! Why nobody could sign a request: whoever hands out credentials refuses them, has none, or is in trouble that may pass.
//!
//! What may pass is `Unavailable` or `Timeout`, as with a store, so that a running job waits for it as long as for a store: a
//! role service or a metadata service that asks for patience or cannot be reached, a file of credentials that is just being
//! written anew, a process that fails. Only what is surely a refusal, or surely nobody, is one at once. The SDK tells some of
//! it in words alone; those are looked at here and nowhere else.

use std::error::Error;
use std::io;

use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::super::StoreErrorKind;
use super::super::identity::{Base, Identity};
use super::super::role::RoleFailure;
use super::sts::{self, About, Said};
use super::{Verdict, in_chain, innermost};

/// How the SDK begins what it tells of a container's endpoint that did not answer with success; the status follows.
const CONTAINER_ANSWERED: &str = "Non-success status from HTTP credential provider: StatusCode(";

/// What the SDK's chain looks for, in its order.
const NOBODY: &str =
    "no credentials were found in the environment, a profile, a web identity, a container or the instance";

/// What to do about a web identity.
const WEB_IDENTITY_ADVICE: &str = "check the role that AWS_ROLE_ARN or the profile names, that its trust policy has the \
                                   issuer of the web identity, and the token in the file";

/// What to do about a role of a profile.
const PROFILE_ROLE_ADVICE: &str = "check role_arn and its source in the profile of the server's process, and the role's \
                                   trust policy";

/// What to do when STS cannot be reached from the SDK's chain.
const CHAINS_STS_ADVICE: &str = "check that STS can be reached from this machine, where AWS_ENDPOINT_URL_STS or the profile \
                                 says if one of them does";

/// Why there are no credentials.
pub(super) fn verdict(identity: Identity, error: &CredentialsError) -> Verdict {
    let base = identity.base();
    let of_role = |mut verdict: Verdict| {
        verdict.message = format!("the identity that assumes the role cannot be used: {}", verdict.message);
        verdict
    };
    match in_chain::<RoleFailure>(error) {
        Some(RoleFailure::Sts(refusal)) => sts::verdict(identity, refusal),
        Some(RoleFailure::Base(error)) => of_role(of_base(base, error)),
        Some(RoleFailure::BaseLate(_)) => of_role(late(base)),
        None => of_base(base, error),
    }
}

/// Nothing came from whoever hands them out.
fn late(base: Base) -> Verdict {
    Verdict::of(StoreErrorKind::Timeout, "credentials did not come in time").advise(base.when_missing())
}

/// Why an identity that no role stands on has no credentials.
fn of_base(base: Base, error: &CredentialsError) -> Verdict {
    let error = innermost_of_its_kind(error);
    if let CredentialsError::ProviderTimedOut(_) = error {
        return late(base);
    }
    if let Some(error) = in_chain::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error) {
        return by_the_chains_sts("STS does not take the web identity", WEB_IDENTITY_ADVICE, Said::of(error));
    }
    if let Some(error) = in_chain::<SdkError<AssumeRoleError, HttpResponse>>(error) {
        return by_the_chains_sts("STS does not give the role of the profile", PROFILE_ROLE_ADVICE, Said::of(error));
    }
    let told = metadata_service(error).or_else(|| container(error)).or_else(|| file(error));
    let (kind, message) = match (told, error) {
        (Some(told), _) => told,
        (None, CredentialsError::CredentialsNotLoaded(_)) => nobody(error),
        (None, CredentialsError::InvalidConfiguration(_)) => {
            (StoreErrorKind::PermissionDenied, format!("credentials could not be got: {}", innermost(error)))
        }
        // What is not known to be final is given the time of what may pass.
        (None, _) => (StoreErrorKind::Unavailable, format!("credentials could not be got: {}", innermost(error))),
    };
    Verdict::of(kind, message).advise(base.when_missing())
}

/// A profile's provider wraps what the one beneath it says; that one knows what it is.
fn innermost_of_its_kind(error: &CredentialsError) -> &CredentialsError {
    let mut found = error;
    while let Some(inner) = found.source().and_then(in_chain::<CredentialsError>) {
        found = inner;
    }
    found
}

/// What the STS says that the SDK's chain asks.
fn by_the_chains_sts(what: &str, advice: &str, said: Said) -> Verdict {
    match said {
        Said::Refusal(refusal) if refusal.about() == About::Sts => {
            refusal.verdict(what, "the fault lies with STS: look there, or try again later")
        }
        Said::Refusal(refusal) => refusal.verdict(what, advice),
        Said::NoSts(status, words) => {
            Verdict::of(kind_of(status), format!("{what}: the answer is no answer of STS{words}"))
                .with_status(status)
                .advise(CHAINS_STS_ADVICE)
        }
        Said::Nothing(kind, cause) => {
            Verdict::of(kind, format!("{what}: it cannot be reached: {cause}")).advise(CHAINS_STS_ADVICE)
        }
    }
}

/// Whether what answers with this status may answer otherwise later.
fn kind_of(status: u16) -> StoreErrorKind {
    match status {
        400..=407 | 409..=428 | 430..=499 | 501 => StoreErrorKind::PermissionDenied,
        _ => StoreErrorKind::Unavailable,
    }
}

/// No provider says that it is one: nobody is there, unless the instance's metadata service just cannot be reached.
fn nobody(error: &CredentialsError) -> (StoreErrorKind, String) {
    let Some(chain) = in_chain::<ProviderChainError<CredentialsError>>(error) else {
        return (StoreErrorKind::PermissionDenied, format!("no credentials were found: {}", innermost(error)));
    };
    match chain.attempts().iter().find_map(|attempt| metadata_service(attempt.error())) {
        Some((kind, said)) => (kind, format!("{NOBODY}: {said}")),
        None => (StoreErrorKind::PermissionDenied, NOBODY.to_owned()),
    }
}

/// What the instance's metadata service has to do with it. (Its own words may hold anything, and are not repeated.)
fn metadata_service(error: &CredentialsError) -> Option<(StoreErrorKind, String)> {
    let answered = |status| (kind_of(status), format!("the instance's metadata service answered with status {status}"));
    let silent = |cause: String| {
        (StoreErrorKind::Unavailable, format!("the instance's metadata service cannot be reached: {cause}"))
    };
    if let Some(error) = in_chain::<SdkError<TokenError, HttpResponse>>(error) {
        return Some(match error {
            // A success that is no token comes from something that stands in its place for now.
            SdkError::ServiceError(service) => answered(service.raw().status().as_u16()),
            _ => silent(innermost(error)),
        });
    }
    match in_chain::<ImdsError>(error)? {
        ImdsError::ErrorResponse(answer) => Some(answered(answer.response().status().as_u16())),
        error => Some(silent(innermost(error))),
    }
}

/// What a container's endpoint has to do with it, when it answered.
fn container(error: &CredentialsError) -> Option<(StoreErrorKind, String)> {
    let cause = innermost(error);
    let (_, after) = cause.split_once(CONTAINER_ANSWERED)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    let status: u16 = digits.parse().ok()?;
    Some((kind_of(status), format!("the container's endpoint of credentials answered with status {status}")))
}

/// What a file has to do with it that holds a token: it may be there in a moment.
fn file(error: &CredentialsError) -> Option<(StoreErrorKind, String)> {
    // Deeper in the chain it is an error of a connection.
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied => StoreErrorKind::PermissionDenied,
        _ => StoreErrorKind::Unavailable,
    };
    Some((kind, format!("the file with the token of the identity cannot be read: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::super::super::identity::Beside;
    use super::*;

    /// Goal: what may pass is told from what is final, where the SDK tells it in words or by its kinds. Method: its errors, made
    /// as it makes them; those of services that answer are in the tests of the whole.
    #[test]
    fn what_may_pass_and_what_is_final() {
        let container = |status: &str| CredentialsError::provider_error(format!("{CONTAINER_ANSWERED}{status})"));
        let read = |kind| CredentialsError::provider_error(io::Error::from(kind));
        let process = "Error retrieving credentials: external process exited with code exit status: 1. Stderr: ";
        for (error, passes, phrase) in [
            (container("503"), true, "the container's endpoint of credentials answered with status 503;"),
            (container("429"), true, "status 429;"),
            (container("403"), false, "status 403;"),
            (container("404"), false, "status 404;"),
            (read(io::ErrorKind::NotFound), true, "the file with the token"),
            (read(io::ErrorKind::PermissionDenied), false, "the file with the token"),
            (CredentialsError::provider_error(process), true, "external process exited"),
            (CredentialsError::unhandled("what it says is no JSON"), true, "no JSON"),
            (CredentialsError::invalid_configuration("a loop of profiles"), false, "a loop of profiles"),
            (CredentialsError::not_loaded("IMDS disabled"), false, "no credentials were found: IMDS disabled"),
            (CredentialsError::provider_error(read(io::ErrorKind::NotFound)), true, "the file with the token"),
            (CredentialsError::provider_error(CredentialsError::not_loaded("nobody")), false, "were found: nobody"),
            (CredentialsError::provider_timed_out(std::time::Duration::ZERO), true, "did not come in time"),
        ] {
            let verdict = verdict(Identity::Own(Base::SdkDefault(Beside::Nothing)), &error);
            let is_passing = matches!(verdict.kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout);
            assert_eq!(is_passing, passes, "{error:?}");
            let said = format!("{}; {}", verdict.message, verdict.advice.unwrap());
            assert!(said.contains(phrase) && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
        }
    }

    /// Goal: who hangs, or is nobody, is blamed, and not STS, which was not asked.
    #[test]
    fn the_identity_beneath_a_role_is_blamed() {
        let identity = Identity::Role(Base::InstanceProfile(Beside::Keys));
        let nobody = RoleFailure::Base(CredentialsError::not_loaded("IMDS disabled"));
        let late = RoleFailure::BaseLate(std::time::Duration::from_secs(3));
        for (failure, kind) in [(nobody, StoreErrorKind::PermissionDenied), (late, StoreErrorKind::Timeout)] {
            let verdict = verdict(identity, &CredentialsError::provider_error(failure));
            let advice = verdict.advice.unwrap();
            assert_eq!(verdict.kind, kind);
            assert!(verdict.message.starts_with("the identity that assumes the role"), "{}", verdict.message);
            assert!(advice.contains("aws.s3.use_instance_profile out") && !advice.contains("sts"), "{advice}");
        }
    }
}
