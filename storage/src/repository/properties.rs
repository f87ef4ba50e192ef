//! PROPERTIES of CREATE REPOSITORY: how to reach the store and as whom.
//!
//! [`RepositoryProperties`] keeps what the user wrote, in order, so that SHOW CREATE REPOSITORY can print it back
//! with secrets masked. [`RepositoryProperties::s3`] resolves it into [`S3Settings`]. Which identity is used, first
//! match wins: the SDK's default chain, the instance profile, static keys; a role ARN wraps whichever it is.
//!
//! Nothing here opens a connection, and no error, Debug or Display ever carries the value of a secret.

mod keys;
mod secret;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use secret::{MASK, Secret};

use keys::Setting;

/// Region sent to a custom endpoint when none is given: stores that have no regions accept it.
const REGION_OF_CUSTOM_ENDPOINTS: &str = "us-east-1";

/// Hosts (or their parent domains) that want the bucket in the host name although the endpoint was given.
const VIRTUAL_HOST_DOMAINS: &[&str] = &["amazonaws.com", "amazonaws.com.cn", "aliyuncs.com", "myqcloud.com"];

/// Longest value of one property, in bytes: session tokens reach a few KiB.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// What the user wrote between the brackets of PROPERTIES, checked key by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryProperties {
    pairs: Vec<Property>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Property {
    key: String,
    value: PropertyValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PropertyValue {
    Plain(String),
    Secret(Secret),
}

/// How to reach an S3-compatible store, with every default applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The identity requests are signed with, before a role is assumed.
    pub credentials: S3Credentials,
    /// The role to assume on top of it.
    pub assume_role: Option<AssumeRole>,
    /// The region; `None` only with the SDK's default chain, which then finds it.
    pub region: Option<String>,
    /// The endpoint with its scheme; `None` is AWS itself.
    pub endpoint: Option<String>,
    /// Whether the bucket goes into the path of the URL.
    pub path_style: bool,
}

/// Where the identity comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Credentials {
    /// Environment, profile, web identity, container, instance: whatever the AWS SDK finds.
    SdkDefault,
    /// The role of the EC2 instance, from its metadata service.
    InstanceProfile,
    /// Keys given in the properties.
    Static {
        /// The access key id.
        access_key: Secret,
        /// The secret access key.
        secret_key: Secret,
        /// The session token of temporary keys.
        session_token: Option<Secret>,
    },
}

/// A role to assume through STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// The external id its trust policy may ask for.
    pub external_id: Option<Secret>,
    /// Region of STS, when it is not the repository's.
    pub sts_region: Option<String>,
    /// Endpoint of STS with its scheme, when it is not AWS's own.
    pub sts_endpoint: Option<String>,
}

/// A property that cannot be used, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// An `aws.s3.*` key that does not exist.
    #[error("unknown repository property '{key}'; did you mean '{nearest}'?")]
    UnknownKey {
        /// As written.
        key: String,
        /// The known key most like it.
        nearest: &'static str,
    },
    /// One key, or two spellings of it, with two values.
    #[error("repository property '{key}' is given twice with different values; give it once")]
    Twice {
        /// The canonical spelling.
        key: String,
    },
    /// A value of the wrong form.
    #[error("repository property '{key}' {reason}")]
    Value {
        /// As written.
        key: String,
        /// What is wrong; never the value of a secret.
        reason: String,
    },
    /// Properties that do not make a whole.
    #[error("{0}")]
    Incomplete(String),
    /// The catalog's JSON cannot be read.
    #[error("stored repository properties cannot be read: {0}")]
    Stored(String),
}

impl RepositoryProperties {
    /// Checks pairs as the user wrote them. Unknown `aws.s3.*` keys are refused; other unknown keys are kept, shown
    /// and ignored, because scripts carry keys of other products along.
    pub fn parse<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, PropertiesError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let properties = Self::parse_pairs_only(pairs)?;
        // Values are checked here and not only when the store is opened, so that CREATE REPOSITORY names them.
        properties.settings()?;
        Ok(properties)
    }

    fn add(&mut self, key: String, value: String) -> Result<(), PropertiesError> {
        let known = keys::setting(&key);
        let strict = key.to_ascii_lowercase().starts_with(keys::STRICT_PREFIX);
        if known.is_none() && strict {
            let nearest = keys::nearest(&key);
            return Err(PropertiesError::UnknownKey { key, nearest });
        }
        if value.len() > VALUE_BYTES_MAX || value.chars().any(char::is_control) {
            let reason = "has a control character or is far too long; copy it again".to_owned();
            return Err(PropertiesError::Value { key, reason });
        }
        if self
            .pairs
            .iter()
            .any(|pair| pair.key.eq_ignore_ascii_case(&key) && pair.value.expose().trim() != value.trim())
        {
            return Err(PropertiesError::Twice { key });
        }
        let secret = known.map_or_else(|| keys::looks_secret(&key), Setting::is_secret);
        let value = if secret { PropertyValue::Secret(Secret::new(value)) } else { PropertyValue::Plain(value) };
        self.pairs.push(Property { key, value });
        Ok(())
    }

    /// Keys that nothing uses, in the order of the user: worth a warning, not an error.
    #[must_use]
    pub fn ignored_keys(&self) -> Vec<&str> {
        self.pairs.iter().map(|pair| pair.key.as_str()).filter(|key| keys::setting(key).is_none()).collect()
    }

    /// What SHOW CREATE REPOSITORY prints: the pairs in the order of the user, secrets as `***`.
    #[must_use]
    pub fn masked(&self) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .map(|pair| {
                let value = match &pair.value {
                    PropertyValue::Plain(text) => text.clone(),
                    PropertyValue::Secret(_) => MASK.to_owned(),
                };
                (pair.key.clone(), value)
            })
            .collect()
    }

    /// These properties with `changes` on top: what ALTER REPOSITORY stores. A change replaces every spelling of what it sets.
    pub fn with_changes<K, V>(&self, changes: impl IntoIterator<Item = (K, V)>) -> Result<Self, PropertiesError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let changes = Self::parse_pairs_only(changes)?;
        let replaced = |old: &Property| {
            changes.pairs.iter().any(|new| {
                new.key.eq_ignore_ascii_case(&old.key)
                    || keys::setting(&new.key).is_some_and(|setting| keys::setting(&old.key) == Some(setting))
            })
        };
        let mut pairs: Vec<Property> = self.pairs.iter().filter(|old| !replaced(old)).cloned().collect();
        pairs.extend(changes.pairs.iter().cloned());
        let changed = Self { pairs };
        changed.settings()?;
        Ok(changed)
    }

    fn parse_pairs_only<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, PropertiesError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut properties = Self::default();
        for (key, value) in pairs {
            properties.add(key.into().trim().to_owned(), value.into())?;
        }
        Ok(properties)
    }

    /// Every pair with its secret, for the catalog alone.
    pub(super) fn exposed_pairs(&self) -> Vec<(String, String)> {
        self.pairs.iter().map(|pair| (pair.key.clone(), pair.value.expose().to_owned())).collect()
    }

    /// Properties that were checked when they were stored.
    pub(super) fn from_exposed_pairs(pairs: Vec<(String, String)>) -> Result<Self, PropertiesError> {
        Self::parse_pairs_only(pairs)
    }

    /// Every secret value, for a scrubber to search for in texts that came from outside.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        self.pairs
            .iter()
            .filter_map(|pair| match &pair.value {
                PropertyValue::Secret(secret) => Some(secret.clone()),
                PropertyValue::Plain(_) => None,
            })
            .collect()
    }

    /// How to reach the bucket `bucket`.
    pub fn s3(&self, bucket: &str) -> Result<S3Settings, PropertiesError> {
        let given = self.settings()?;
        let credentials = given.credentials()?;
        let endpoint = given.endpoint()?;
        let region = given.region(endpoint.as_deref(), &credentials)?;
        let path_style = given.path_style.unwrap_or_else(|| path_style_by_default(endpoint.as_deref(), bucket));
        let assume_role = given.assume_role()?;
        Ok(S3Settings { credentials, assume_role, region, endpoint, path_style })
    }

    /// The values by what they set, each checked by itself.
    fn settings(&self) -> Result<Given<'_>, PropertiesError> {
        let mut texts: BTreeMap<Setting, (&str, &str)> = BTreeMap::new();
        for pair in &self.pairs {
            let (Some(setting), value) = (keys::setting(&pair.key), pair.value.expose().trim()) else {
                continue;
            };
            match texts.insert(setting, (&pair.key, value)) {
                Some((_, before)) if before != value => {
                    return Err(PropertiesError::Twice { key: setting.key().to_owned() });
                }
                _ => {}
            }
        }
        let flag = |setting| match texts.get(&setting) {
            None => Ok(None),
            Some((_, text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some((_, text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some((key, _)) => Err(PropertiesError::Value {
                key: (*key).to_owned(),
                reason: "must be \"true\" or \"false\"".to_owned(),
            }),
        };
        // An empty text is how generated scripts leave a property out.
        let text = |setting| texts.get(&setting).map(|(_, text)| *text).filter(|text| !text.is_empty());
        Ok(Given {
            access_key: text(Setting::AccessKey),
            secret_key: text(Setting::SecretKey),
            session_token: text(Setting::SessionToken),
            region: text(Setting::Region),
            endpoint: text(Setting::Endpoint),
            enable_ssl: flag(Setting::EnableSsl)?,
            path_style: flag(Setting::PathStyle)?,
            use_instance_profile: flag(Setting::UseInstanceProfile)?.unwrap_or(false),
            use_sdk_default: flag(Setting::UseSdkDefault)?.unwrap_or(false),
            iam_role_arn: text(Setting::IamRoleArn),
            external_id: text(Setting::ExternalId),
            sts_region: text(Setting::StsRegion),
            sts_endpoint: text(Setting::StsEndpoint),
        })
    }
}

/// The given values, typed, without defaults.
struct Given<'a> {
    access_key: Option<&'a str>,
    secret_key: Option<&'a str>,
    session_token: Option<&'a str>,
    region: Option<&'a str>,
    endpoint: Option<&'a str>,
    enable_ssl: Option<bool>,
    path_style: Option<bool>,
    use_instance_profile: bool,
    use_sdk_default: bool,
    iam_role_arn: Option<&'a str>,
    external_id: Option<&'a str>,
    sts_region: Option<&'a str>,
    sts_endpoint: Option<&'a str>,
}

impl Given<'_> {
    fn credentials(&self) -> Result<S3Credentials, PropertiesError> {
        if self.use_sdk_default {
            return Ok(S3Credentials::SdkDefault);
        }
        if self.use_instance_profile {
            return Ok(S3Credentials::InstanceProfile);
        }
        match (self.access_key, self.secret_key) {
            (Some(access_key), Some(secret_key)) => Ok(S3Credentials::Static {
                access_key: Secret::new(access_key),
                secret_key: Secret::new(secret_key),
                session_token: self.session_token.map(Secret::new),
            }),
            (Some(_), None) => Err(incomplete("aws.s3.access_key is given without aws.s3.secret_key; give both")),
            (None, Some(_)) => Err(incomplete("aws.s3.secret_key is given without aws.s3.access_key; give both")),
            (None, None) if self.iam_role_arn.is_some() => Err(incomplete(
                "aws.s3.iam_role_arn needs an identity that may assume the role: add \
                 \"aws.s3.use_instance_profile\" = \"true\", or aws.s3.access_key and aws.s3.secret_key, or \
                 \"aws.s3.use_aws_sdk_default_behavior\" = \"true\"",
            )),
            (None, None) => Err(incomplete(
                "no credentials are given: add aws.s3.access_key and aws.s3.secret_key, or \
                 \"aws.s3.use_instance_profile\" = \"true\", or \"aws.s3.use_aws_sdk_default_behavior\" = \"true\"",
            )),
        }
    }

    fn assume_role(&self) -> Result<Option<AssumeRole>, PropertiesError> {
        let Some(arn) = self.iam_role_arn else {
            return match self.external_id {
                Some(_) => {
                    Err(incomplete("aws.s3.external_id is given without aws.s3.iam_role_arn, the role it belongs to"))
                }
                None => Ok(None),
            };
        };
        if !arn.starts_with("arn:") {
            return Err(PropertiesError::Value {
                key: Setting::IamRoleArn.key().to_owned(),
                reason: "must be a role ARN such as arn:aws:iam::123456789012:role/backup".to_owned(),
            });
        }
        if self.sts_endpoint.is_some() && self.sts_region.is_none() {
            return Err(incomplete("aws.s3.sts.endpoint is given without aws.s3.sts.region; give both"));
        }
        Ok(Some(AssumeRole {
            arn: arn.to_owned(),
            external_id: self.external_id.map(Secret::new),
            sts_region: self.sts_region.map(str::to_owned),
            sts_endpoint: self
                .sts_endpoint
                .map(|endpoint| endpoint_url(Setting::StsEndpoint, endpoint, None))
                .transpose()?,
        }))
    }

    fn endpoint(&self) -> Result<Option<String>, PropertiesError> {
        self.endpoint.map(|endpoint| endpoint_url(Setting::Endpoint, endpoint, self.enable_ssl)).transpose()
    }

    fn region(&self, endpoint: Option<&str>, credentials: &S3Credentials) -> Result<Option<String>, PropertiesError> {
        if let Some(region) = self.region {
            return Ok(Some(region.to_owned()));
        }
        match endpoint {
            Some(endpoint) => {
                Ok(Some(region_of_aws_endpoint(host_of(endpoint)).unwrap_or(REGION_OF_CUSTOM_ENDPOINTS).to_owned()))
            }
            None if *credentials == S3Credentials::SdkDefault => Ok(None),
            None => Err(incomplete(
                "aws.s3.region is missing: give the bucket's region, or aws.s3.endpoint for a store that is not AWS",
            )),
        }
    }
}

fn incomplete(text: &str) -> PropertiesError {
    PropertiesError::Incomplete(text.to_owned())
}

/// The endpoint with its scheme and without a slash at the end.
fn endpoint_url(setting: Setting, endpoint: &str, enable_ssl: Option<bool>) -> Result<String, PropertiesError> {
    let wrong = |reason: &str| PropertiesError::Value { key: setting.key().to_owned(), reason: reason.to_owned() };
    let (scheme, host) = match endpoint.split_once("://") {
        Some((scheme, host)) => (Some(scheme.to_ascii_lowercase()), host),
        None => (None, endpoint),
    };
    let scheme = match (scheme.as_deref(), enable_ssl) {
        (Some("http"), Some(true)) => {
            return Err(wrong("begins with http:// but aws.s3.enable_ssl is \"true\"; make them agree"));
        }
        (Some("https"), Some(false)) => {
            return Err(wrong("begins with https:// but aws.s3.enable_ssl is \"false\"; make them agree"));
        }
        (Some(scheme @ ("http" | "https")), _) => scheme.to_owned(),
        (Some(_), _) => {
            return Err(wrong("must begin with http:// or https://, or have no scheme"));
        }
        (None, Some(false)) => "http".to_owned(),
        (None, _) => "https".to_owned(),
    };
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong("has no host; write host:port"));
    }
    if host.contains('@') {
        return Err(wrong("must not carry credentials; use aws.s3.access_key and aws.s3.secret_key"));
    }
    if host.contains(['?', '#']) {
        return Err(wrong("must not have a query; write host:port"));
    }
    Ok(format!("{scheme}://{host}"))
}

/// Host of an endpoint with its scheme, without port and path.
fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// The region that an AWS endpoint spells out, such as `s3.eu-west-1.amazonaws.com`.
fn region_of_aws_endpoint(host: &str) -> Option<&str> {
    let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = name.rsplit('.').next()?;
    let region = region.strip_prefix("s3-").unwrap_or(region);
    (region != "s3" && region.contains('-')).then_some(region)
}

/// AWS wants virtual hosts; a machine named by address, localhost and most other stores cannot have them.
fn path_style_by_default(endpoint: Option<&str>, bucket: &str) -> bool {
    if !is_dns_label(bucket) {
        return true;
    }
    let Some(endpoint) = endpoint else {
        return false;
    };
    let host = host_of(endpoint).to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    !VIRTUAL_HOST_DOMAINS.iter().any(|domain| host == *domain || host.ends_with(&format!(".{domain}")))
}

/// Whether the bucket can be one label of a host name under a wildcard certificate.
fn is_dns_label(bucket: &str) -> bool {
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !bucket.starts_with('-')
        && !bucket.ends_with('-')
}

impl PropertyValue {
    fn expose(&self) -> &str {
        match self {
            PropertyValue::Plain(text) => text,
            PropertyValue::Secret(secret) => secret.expose(),
        }
    }
}

#[cfg(test)]
mod tests;
