//! Where the credentials of requests come from, and what to do when they do not come or do not work.

use crate::repository::properties::{S3Credentials, S3Settings};

/// When STS is silent.
pub(super) const STS_ADVICE: &str =
    "check aws.s3.sts.endpoint and aws.s3.sts.region, and that STS can be reached from this machine";

/// When STS refuses the role.
pub(super) const ROLE_ADVICE: &str = "check aws.s3.iam_role_arn, the role's trust policy, aws.s3.external_id if the \
                                      policy asks for one, and that the base identity may call sts:AssumeRole";

/// Who asks, for the advice when credentials do not come or do not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// This one itself.
    Own(Base),
    /// A role on top of it.
    Role(Base),
}

/// Where credentials come from before a role is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Keys of the properties, without a token.
    Keys,
    /// Keys of the properties, with a session token.
    TemporaryKeys,
    /// Keys of the properties, of which the access key has what secret keys have and the ids of AWS never.
    SwappedKeys,
    /// The role of the instance.
    InstanceProfile(Beside),
    /// Whatever the SDK's chain finds.
    SdkDefault(Beside),
}

/// What the properties give besides, which the identity before it leaves unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing.
    Nothing,
    /// Keys.
    Keys,
}

impl Identity {
    pub(super) fn of(settings: &S3Settings) -> Identity {
        let beside = if settings.unused_keys { Beside::Keys } else { Beside::Nothing };
        let base = match &settings.credentials {
            S3Credentials::InstanceProfile => Base::InstanceProfile(beside),
            S3Credentials::SdkDefault => Base::SdkDefault(beside),
            // Other stores take any text as an access key, so it is no fault until the store says so.
            S3Credentials::Static { access_key, .. } if access_key.expose().contains(['/', '+']) => Base::SwappedKeys,
            S3Credentials::Static { session_token: Some(_), .. } => Base::TemporaryKeys,
            S3Credentials::Static { .. } => Base::Keys,
        };
        match &settings.assume_role {
            Some(_) => Identity::Role(base),
            None => Identity::Own(base),
        }
    }

    /// The identity beneath the role, or the only one.
    pub(super) fn base(self) -> Base {
        match self {
            Identity::Own(base) | Identity::Role(base) => base,
        }
    }

    /// When nobody says whether credentials come.
    pub(super) fn when_late(self) -> &'static str {
        match self {
            // The identity beneath has a limit of its own, which is over before.
            Identity::Role(_) => STS_ADVICE,
            Identity::Own(base) => base.when_missing(),
        }
    }

    /// When the store does not know the key.
    pub(super) fn when_unknown(self) -> &'static str {
        match self {
            Identity::Own(Base::Keys) => {
                "check aws.s3.access_key; keys that came with a session token need it as aws.s3.session_token"
            }
            Identity::Own(Base::TemporaryKeys) => TEMPORARY_ADVICE,
            Identity::Own(Base::SwappedKeys) => SWAPPED_ADVICE,
            Identity::Own(Base::InstanceProfile(_)) => {
                "check that the instance's role belongs to the store that aws.s3.endpoint names"
            }
            Identity::Own(Base::SdkDefault(_)) => {
                "check the credentials in the environment or the profile of the server's process"
            }
            Identity::Role(_) => {
                "check that STS and the store belong together: aws.s3.sts.endpoint and aws.s3.endpoint"
            }
        }
    }

    /// When the store cannot read the key.
    pub(super) fn when_malformed(self) -> &'static str {
        match self {
            Identity::Own(Base::SwappedKeys) => SWAPPED_ADVICE,
            Identity::Own(Base::Keys | Base::TemporaryKeys) => "check aws.s3.access_key: the store cannot read it",
            _ => self.when_unknown(),
        }
    }

    /// When the secret is not that of the key.
    pub(super) fn when_unsigned(self) -> &'static str {
        match self {
            Identity::Own(base @ (Base::Keys | Base::TemporaryKeys | Base::SwappedKeys)) => base.when_unsigned_at_sts(),
            _ => "check that nothing between this machine and the store changes requests, such as a proxy",
        }
    }

    /// When the store no longer takes what it took when the repository was made.
    pub(super) fn when_replaced(self) -> Option<&'static str> {
        matches!(self, Identity::Own(Base::Keys | Base::TemporaryKeys | Base::SwappedKeys)).then_some(
            "if the keys were revoked or replaced, give ones that are valid by ALTER REPOSITORY … PROPERTIES \
             (aws.s3.access_key, aws.s3.secret_key), and repeat the job",
        )
    }

    /// When they were good once.
    pub(super) fn when_ended(self) -> &'static str {
        match self {
            Identity::Own(base) => base.when_ended(),
            Identity::Role(_) => NO_NEWER_ADVICE,
        }
    }
}

/// When a key is unknown, or cannot be read, that has letters of a secret key.
const SWAPPED_ADVICE: &str =
    "aws.s3.access_key looks like a secret key: are aws.s3.access_key and aws.s3.secret_key swapped?";

/// When keys with a session token are unknown.
const TEMPORARY_ADVICE: &str = "check aws.s3.access_key and aws.s3.session_token: temporary keys work together and only \
                                for a while; ALTER REPOSITORY gives new ones";

/// When what renews itself has not.
const NO_NEWER_ADVICE: &str = "the temporary credentials have ended or were revoked, and no newer ones came: check what \
                               hands them out, and this machine's clock";

impl Base {
    /// When no credentials come.
    pub(super) fn when_missing(self) -> &'static str {
        match self {
            Base::Keys | Base::TemporaryKeys | Base::SwappedKeys => "check aws.s3.access_key and aws.s3.secret_key",
            Base::InstanceProfile(Beside::Nothing) => {
                "give this machine's instance a role, and let its metadata service (IMDSv2) be reached; or give \
                 aws.s3.access_key and aws.s3.secret_key instead of aws.s3.use_instance_profile"
            }
            Base::InstanceProfile(Beside::Keys) => {
                "give this machine's instance a role, and let its metadata service (IMDSv2) be reached; or leave \
                 aws.s3.use_instance_profile out: before it the keys that are given count for nothing"
            }
            Base::SdkDefault(Beside::Nothing) => {
                "give the server's process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a web identity or a \
                 container role; or give aws.s3.access_key and aws.s3.secret_key instead of \
                 aws.s3.use_aws_sdk_default_behavior"
            }
            Base::SdkDefault(Beside::Keys) => {
                "give the server's process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a web identity or a \
                 container role; or leave aws.s3.use_aws_sdk_default_behavior out: before it the keys that are given \
                 count for nothing"
            }
        }
    }

    /// When STS does not know the key that asks for a role.
    pub(super) fn when_unknown_at_sts(self) -> &'static str {
        match self {
            Base::Keys => {
                "check aws.s3.access_key, and that it belongs to the STS that aws.s3.sts.endpoint names; keys that came \
                 with a session token need it as aws.s3.session_token"
            }
            Base::TemporaryKeys => TEMPORARY_ADVICE,
            Base::SwappedKeys => SWAPPED_ADVICE,
            Base::InstanceProfile(_) => {
                "check that the instance's role belongs to the STS that aws.s3.sts.endpoint names"
            }
            Base::SdkDefault(_) => {
                "check the credentials in the environment or the profile of the server's process, and that they belong \
                 to the STS that aws.s3.sts.endpoint names"
            }
        }
    }

    /// When STS finds that the secret is not that of the key.
    pub(super) fn when_unsigned_at_sts(self) -> &'static str {
        match self {
            Base::Keys | Base::TemporaryKeys | Base::SwappedKeys => {
                "check aws.s3.secret_key: it does not belong to aws.s3.access_key"
            }
            Base::InstanceProfile(_) => {
                "check that nothing between this machine and STS changes requests, such as a proxy"
            }
            Base::SdkDefault(_) => {
                "check the secret access key in the environment or the profile of the server's process: it does not \
                 belong to its access key id"
            }
        }
    }

    /// When they were good once.
    pub(super) fn when_ended(self) -> &'static str {
        match self {
            Base::Keys | Base::TemporaryKeys | Base::SwappedKeys => {
                "the temporary credentials have ended or were revoked: give new ones by ALTER REPOSITORY … PROPERTIES \
                 (aws.s3.access_key, aws.s3.secret_key, aws.s3.session_token), or an identity that renews itself"
            }
            Base::InstanceProfile(_) | Base::SdkDefault(_) => NO_NEWER_ADVICE,
        }
    }
}
