//! The credentials of a role, from STS.
//!
//! The identity beneath the role is asked first, in a time of its own, so that people are told which of the two is
//! silent. STS is asked where the properties say, or at AWS's own place in the region: what the environment or a profile of
//! the server's process says of endpoints would pass the policy by. Nothing is kept here; the SDK asks again when what it
//! has is about to end.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::{Client, Config};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::repository::properties::Secret;

/// Name of these credentials within the SDK.
const PROVIDER_NAME: &str = "assumed role";

/// Asks STS for the credentials of a role.
#[derive(Debug)]
pub(super) struct RoleProvider {
    /// How STS is asked; who asks is put into it each time.
    pub(super) sts: Config,
    /// The identity beneath the role.
    pub(super) base: SharedCredentialsProvider,
    /// For how long that one is waited for.
    pub(super) base_timeout: Duration,
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) external_id: Option<Secret>,
}

/// Why there are no credentials of a role.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoleFailure {
    /// The identity beneath it has none.
    #[error("the identity that assumes the role has no credentials")]
    Base(#[source] CredentialsError),
    /// Nor did that one say so in time.
    #[error("the identity that assumes the role gave no credentials within {} s", .0.as_secs_f32())]
    BaseLate(Duration),
    /// STS refused, or could not be asked.
    #[error("STS does not give the role")]
    Sts(#[source] Box<SdkError<AssumeRoleError, HttpResponse>>),
}

impl RoleProvider {
    async fn credentials(&self) -> provider::Result {
        let base = match tokio::time::timeout(self.base_timeout, self.base.provide_credentials()).await {
            Ok(Ok(base)) => base,
            Ok(Err(error)) => return Err(CredentialsError::provider_error(RoleFailure::Base(error))),
            Err(_) => return Err(CredentialsError::provider_error(RoleFailure::BaseLate(self.base_timeout))),
        };
        let sts = Client::from_conf(self.sts.to_builder().credentials_provider(base).build());
        let request = sts.assume_role().role_arn(&self.arn).role_session_name(&self.session_name);
        let request = request.set_external_id(self.external_id.as_ref().map(|id| id.expose().to_owned()));
        let assumed = request.send().await;
        let assumed = assumed.map_err(|error| CredentialsError::provider_error(RoleFailure::Sts(Box::new(error))))?;
        let Some(given) = assumed.credentials else {
            return Err(CredentialsError::invalid_configuration("STS gives the role, and no credentials of it"));
        };
        let ends_at = SystemTime::try_from(given.expiration).map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token);
        Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(ends_at), PROVIDER_NAME))
    }
}

impl ProvideCredentials for RoleProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
