//! The credentials of a role, from STS.
//!
//! STS is asked where the properties say, or at AWS's own place in the region: what the environment or a profile of the
//! server's process says of endpoints would pass the policy by. Nothing is kept here; the SDK asks again when what it has
//! is about to end.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sts::Client;

use crate::repository::properties::Secret;

/// Name of these credentials within the SDK.
const PROVIDER_NAME: &str = "assumed role";

/// Asks STS for the credentials of a role.
#[derive(Debug)]
pub(super) struct RoleProvider {
    pub(super) sts: Client,
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) external_id: Option<Secret>,
}

impl RoleProvider {
    async fn credentials(&self) -> provider::Result {
        let request = self.sts.assume_role().role_arn(&self.arn).role_session_name(&self.session_name);
        let request = request.set_external_id(self.external_id.as_ref().map(|id| id.expose().to_owned()));
        let assumed = request.send().await.map_err(CredentialsError::provider_error)?;
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
