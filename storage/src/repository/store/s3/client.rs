//! The SDK's client for one repository: identity, region, endpoint, timeouts and retries.
//!
//! What the properties say is used and nothing else; only the SDK's default chain looks at the environment and the
//! profile of the server's user for who asks and in which region, because that is what it was asked for. Where requests go
//! the properties alone say, also for STS, and no proxy of the environment stands between.

use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, ConfigBag, IdentityCache, Intercept, RequestChecksumCalculation, ResponseChecksumValidation,
    RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;

use super::super::{StoreErrorKind, StoreStats};
use super::role::RoleProvider;
use super::{Patience, http};
use crate::clock::Random;
use crate::repository::RepositoryContext;
use crate::repository::properties::{AssumeRole, S3Credentials, S3Settings};

/// What of the time for an answer credentials may take when somebody waits, so that it is known what was too slow.
const CREDENTIALS_SHARE: f64 = 0.75;

/// What of that time the identity beneath a role may take, likewise: the rest is for STS.
const BASE_SHARE: f64 = 0.6;

/// First pause between attempts; the SDK doubles it and takes a random part of it.
const BACKOFF_INITIAL: Duration = Duration::from_millis(200);

/// Longest pause between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Name of the SDK's credentials that came from properties.
const PROVIDER_NAME: &str = "repository properties";

/// How long requests are tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// Time for a whole request, all its attempts together, when somebody waits for the answer of a statement.
    pub statement_timeout: Duration,
    /// Time for one attempt, body apart, in a job. Stores under load have been seen to take ten seconds and more.
    pub attempt_timeout: Duration,
    /// Attempts of one request in a job; the job itself tries again after those.
    pub attempts_max: u32,
    /// How long a body may stand still before its attempt is given up.
    pub stall_timeout: Duration,
    /// Slowest transfer of a body that is waited for; an attempt has the time its body takes at this rate besides.
    pub bytes_per_second_min: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits {
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(8),
            attempt_timeout: Duration::from_secs(30),
            attempts_max: 5,
            stall_timeout: Duration::from_secs(20),
            // An 8 MiB part may take four minutes.
            bytes_per_second_min: 32 * 1024,
        }
    }
}

/// Attempts when somebody waits: one to try, one in case the first met a broken connection.
const ATTEMPTS_INTERACTIVE: u32 = 2;

pub(super) struct Made {
    pub(super) client: Client,
    pub(super) region: String,
}

/// Why there is no client: a sentence and an advice.
pub(super) struct Unmade {
    pub(super) kind: StoreErrorKind,
    pub(super) message: String,
    pub(super) advice: String,
}

/// Makes the client.
pub(super) async fn make(
    settings: &S3Settings,
    patience: Patience,
    stats: Arc<StoreStats>,
    context: &RepositoryContext,
) -> Result<Made, Unmade> {
    let limits = &context.policy.requests;
    let http = http::client(settings, &context.policy).await;
    let http = http.map_err(|(message, advice)| Unmade { kind: StoreErrorKind::Invalid, message, advice })?;
    let credentials_timeout = match patience {
        Patience::Interactive => limits.statement_timeout.mul_f64(CREDENTIALS_SHARE),
        Patience::Job => limits.attempt_timeout,
    };
    let sdk = identity(settings, limits, credentials_timeout, &http, &*context.random).await;
    let Some(region) = sdk.region().map(ToString::to_string) else {
        return Err(Unmade {
            // There was one when the repository was made: the instance that tells it may only just have started.
            kind: if patience == Patience::Job { StoreErrorKind::Unavailable } else { StoreErrorKind::Invalid },
            message: "neither the properties nor the environment say which region the bucket is in".to_owned(),
            advice: "add aws.s3.region".to_owned(),
        });
    };
    let attempts = match patience {
        Patience::Interactive => ATTEMPTS_INTERACTIVE,
        Patience::Job => limits.attempts_max,
    };
    let retries = RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(BACKOFF_INITIAL)
        .with_max_backoff(BACKOFF_MAX);
    let stalls = StalledStreamProtectionConfig::enabled().grace_period(limits.stall_timeout).build();
    let config = Builder::from(&sdk)
        .http_client(http)
        .force_path_style(settings.path_style)
        .retry_config(retries)
        .timeout_config(timeout_config(limits, patience, 0))
        .identity_cache(IdentityCache::lazy().load_timeout(credentials_timeout).build())
        .stalled_stream_protection(stalls)
        // What is left of a budget of retries that an outage has used up must not be missing elsewhere: by default
        // every client of the process shares one.
        .retry_partition(RetryPartition::custom(PROVIDER_NAME).build())
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        // Every object is checked against its own digest, and some stores send wrong checksums with ranges.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(super::bounded::BoundAnswers)
        .interceptor(CountAttempts(stats));
    let config = match &settings.endpoint {
        Some(endpoint) => config.endpoint_url(endpoint),
        None => config,
    };
    Ok(Made { client: Client::from_conf(config.build()), region })
}

/// Time for one attempt with a body of `bytes`.
pub(super) fn attempt_timeout(limits: &RequestLimits, patience: Patience, bytes: u64) -> Duration {
    let fixed = match patience {
        Patience::Interactive => limits.statement_timeout,
        Patience::Job => limits.attempt_timeout,
    };
    fixed + Duration::from_secs(bytes / limits.bytes_per_second_min.max(1))
}

/// The same as an override for one request.
pub(super) fn timeouts(limits: &RequestLimits, patience: Patience, bytes: u64) -> Builder {
    aws_sdk_s3::Config::builder().timeout_config(timeout_config(limits, patience, bytes))
}

/// When somebody waits, the limit is on all attempts together: a slow store that answers is not given up early, and a
/// silent one is reported in time.
fn timeout_config(limits: &RequestLimits, patience: Patience, bytes: u64) -> TimeoutConfig {
    let attempt = attempt_timeout(limits, patience, bytes);
    let timeouts = TimeoutConfig::builder().connect_timeout(limits.connect_timeout).operation_attempt_timeout(attempt);
    match patience {
        Patience::Interactive => timeouts.operation_timeout(attempt).build(),
        Patience::Job => timeouts.build(),
    }
}

/// Who signs the requests, and in which region.
async fn identity(
    settings: &S3Settings,
    limits: &RequestLimits,
    credentials_timeout: Duration,
    http: &SharedHttpClient,
    random: &dyn Random,
) -> SdkConfig {
    let region = settings.region.clone().map(Region::new);
    let base = match &settings.credentials {
        S3Credentials::SdkDefault => {
            let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client_of_surroundings());
            let loader = match region {
                Some(region) => loader.region(region),
                None => loader,
            };
            of_surroundings(&loader.load().await)
        }
        S3Credentials::InstanceProfile => {
            let surroundings = ProviderConfig::default().with_http_client(http::client_of_surroundings());
            let provider = ImdsCredentialsProvider::builder().configure(&surroundings).build();
            explicit(region, SharedCredentialsProvider::new(provider))
        }
        S3Credentials::Static { access_key, secret_key, session_token } => {
            let token = session_token.as_ref().map(|token| token.expose().to_owned());
            let keys = Credentials::new(access_key.expose(), secret_key.expose(), token, None, PROVIDER_NAME);
            explicit(region, SharedCredentialsProvider::new(keys))
        }
    };
    match &settings.assume_role {
        Some(role) => assume(role, base, limits, credentials_timeout.mul_f64(BASE_SHARE), http, random),
        None => base,
    }
}

/// Who asks, and in which region, as the process's surroundings say. Where they send requests is left out: what the policy has
/// looked at is what the properties say, and no other place is asked.
fn of_surroundings(found: &SdkConfig) -> SdkConfig {
    let mut config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(found.region().cloned());
    config
        .set_credentials_provider(found.credentials_provider())
        .set_use_fips(found.use_fips())
        .set_use_dual_stack(found.use_dual_stack());
    config.build()
}

fn explicit(region: Option<Region>, provider: SharedCredentialsProvider) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(provider)
        .build()
}

/// Puts a role on top of an identity.
fn assume(
    role: &AssumeRole,
    base: SdkConfig,
    limits: &RequestLimits,
    base_timeout: Duration,
    http: &SharedHttpClient,
    random: &dyn Random,
) -> SdkConfig {
    // Whoever has no credentials asks for no role.
    let Some(provider) = base.credentials_provider() else {
        return base;
    };
    let region = role.sts_region.clone().map(Region::new).or_else(|| base.region().cloned());
    let mut config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .interceptor(super::bounded::BoundAnswers)
        .timeout_config(timeout_config(limits, Patience::Interactive, 0))
        .identity_cache(IdentityCache::no_cache())
        .http_client(http.clone());
    config
        .set_endpoint_url(role.sts_endpoint.clone())
        .set_use_fips(base.use_fips())
        .set_use_dual_stack(base.use_dual_stack());
    let provider = RoleProvider {
        sts: config.build(),
        base: provider,
        base_timeout,
        arn: role.arn.clone(),
        session_name: format!("ebla-{}", random.identifier()),
        external_id: role.external_id.clone(),
    };
    base.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// Counts each request that goes over the wire, retries included.
#[derive(Debug)]
struct CountAttempts(Arc<StoreStats>);

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.count_http_attempt();
        Ok(())
    }
}
