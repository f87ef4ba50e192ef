//! Where the credentials of requests come from, and what to do when they do not come or do not work.

use crate::repository::properties::{S3Credentials, S3Settings};

/// When STS is silent.
pub(super) const STS_ADVICE: &str =
    "check aws.s3.sts.endpoint and aws.s3.sts.region, and that STS can be reached from this machine";

/// Where the credentials come from, for the advice when they do not come or do not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Keys of the properties, without a token.
    Keys,
    /// Keys of the properties, with a session token.
    TemporaryKeys,
    /// The role of the instance.
    InstanceProfile,
    /// Whatever the SDK's chain finds.
    SdkDefault,
    /// A role on top of any of these.
    Role,
}

impl Identity {
    pub(super) fn of(settings: &S3Settings) -> Identity {
        match (&settings.assume_role, &settings.credentials) {
            (Some(_), _) => Identity::Role,
            (None, S3Credentials::InstanceProfile) => Identity::InstanceProfile,
            (None, S3Credentials::SdkDefault) => Identity::SdkDefault,
            (None, S3Credentials::Static { session_token: Some(_), .. }) => Identity::TemporaryKeys,
            (None, S3Credentials::Static { .. }) => Identity::Keys,
        }
    }

    /// When no credentials come.
    pub(super) fn when_missing(self) -> &'static str {
        match self {
            Identity::Keys | Identity::TemporaryKeys => "check aws.s3.access_key and aws.s3.secret_key",
            Identity::InstanceProfile => {
                "give this machine's instance a role, and let its metadata service (IMDSv2) be reached; or give \
                 aws.s3.access_key and aws.s3.secret_key"
            }
            Identity::SdkDefault => {
                "give the server's process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a web identity or a \
                 container role; or give aws.s3.access_key and aws.s3.secret_key"
            }
            Identity::Role => {
                "check aws.s3.iam_role_arn, the role's trust policy, aws.s3.external_id if the policy asks for one, and \
                 that the base identity may call sts:AssumeRole"
            }
        }
    }

    /// When nobody says whether credentials come.
    pub(super) fn when_late(self) -> &'static str {
        match self {
            Identity::Role => STS_ADVICE,
            other => other.when_missing(),
        }
    }

    /// When the store does not know the key.
    pub(super) fn when_unknown(self) -> &'static str {
        match self {
            Identity::Keys => {
                "check aws.s3.access_key; keys that came with a session token need it as aws.s3.session_token"
            }
            Identity::TemporaryKeys => {
                "check aws.s3.access_key and aws.s3.session_token: temporary keys work together and only for a while; \
                 ALTER REPOSITORY gives new ones"
            }
            Identity::InstanceProfile => {
                "check that the instance's role belongs to the store that aws.s3.endpoint names"
            }
            Identity::SdkDefault => "check the credentials in the environment or the profile of the server's process",
            Identity::Role => "check that STS and the store belong together: aws.s3.sts.endpoint and aws.s3.endpoint",
        }
    }

    /// When the secret is not that of the key.
    pub(super) fn when_unsigned(self) -> &'static str {
        match self {
            Identity::Keys | Identity::TemporaryKeys => {
                "check aws.s3.secret_key: it does not belong to aws.s3.access_key"
            }
            _ => "check that nothing between this machine and the store changes requests, such as a proxy",
        }
    }

    /// When they were good once.
    pub(super) fn when_ended(self) -> &'static str {
        match self {
            Identity::Keys | Identity::TemporaryKeys => {
                "the temporary credentials have ended or were revoked: give new ones by ALTER REPOSITORY … PROPERTIES \
                 (aws.s3.access_key, aws.s3.secret_key, aws.s3.session_token), or an identity that renews itself"
            }
            Identity::InstanceProfile | Identity::SdkDefault | Identity::Role => {
                "the temporary credentials have ended or were revoked, and no newer ones came: check what hands them \
                 out, and this machine's clock"
            }
        }
    }
}
