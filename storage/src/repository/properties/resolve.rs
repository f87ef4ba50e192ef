//! From pairs of texts to [`S3Settings`]: each value checked by itself, then all of them together.
//!
//! A set that says two things at once, or half of one, is refused with the property that is wrong and what to write
//! instead. What is left out gets its default here and nowhere else. Whoever gives properties now is asked for more than what
//! it takes to use them (`demands`).

mod demands;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::aws;
use super::keys::{self, Setting};
use super::{
    AssumeRole, Encryption, LockMode, ObjectLock, PropertiesError, RepositoryProperties, S3Credentials, S3Settings,
    Secret, WriteOptions,
};

/// Region sent to a custom endpoint when none is given: stores that have no regions accept it.
const REGION_OF_CUSTOM_ENDPOINTS: &str = "us-east-1";

/// Domains of other stores than AWS that want the bucket in the host name although the endpoint was given.
const VIRTUAL_HOST_DOMAINS: &[&str] = &["amazonaws.com", "amazonaws.com.cn", "aliyuncs.com", "myqcloud.com"];

/// Longest lock of an object, in days: the hundred years that S3 allows.
pub(super) const LOCK_DAYS_MAX: u32 = 36_500;

/// The given values, typed, without defaults.
pub(super) struct Given<'a> {
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
    ca_bundle: Option<&'a str>,
    sse: Option<&'a str>,
    sse_kms_key_id: Option<&'a str>,
    storage_class: Option<&'a str>,
    object_lock_mode: Option<&'a str>,
    object_lock_days: Option<&'a str>,
}

impl<'a> Given<'a> {
    /// The values by what they set, each checked by itself.
    pub(super) fn of(properties: &'a RepositoryProperties) -> Result<Given<'a>, PropertiesError> {
        let mut texts: BTreeMap<Setting, (&str, &str)> = BTreeMap::new();
        for pair in &properties.pairs {
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
            None | Some((_, "")) => Ok(None),
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
            ca_bundle: text(Setting::CaBundle),
            sse: text(Setting::Sse),
            sse_kms_key_id: text(Setting::SseKmsKeyId),
            storage_class: text(Setting::StorageClass),
            object_lock_mode: text(Setting::ObjectLockMode),
            object_lock_days: text(Setting::ObjectLockDays),
        })
    }

    /// The values together, with every default applied, for the bucket `bucket`.
    pub(super) fn resolve(&self, bucket: &str) -> Result<S3Settings, PropertiesError> {
        let credentials = self.credentials()?;
        let endpoint = self.endpoint(bucket)?;
        let region = self.region(endpoint.as_deref(), &credentials)?;
        let path_style = self.path_style.unwrap_or_else(|| path_style_by_default(endpoint.as_deref(), bucket));
        let assume_role = self.assume_role()?;
        Ok(S3Settings {
            ca_bundle: self.ca_bundle(endpoint.as_deref(), assume_role.as_ref())?,
            assume_role,
            unused_keys: self.access_key.is_some() && !matches!(credentials, S3Credentials::Static { .. }),
            writes: self.writes()?,
            credentials,
            region,
            endpoint,
            path_style,
        })
    }

    /// The first of these that is there: the SDK's chain, the instance profile, keys.
    fn credentials(&self) -> Result<S3Credentials, PropertiesError> {
        if self.use_sdk_default {
            return Ok(S3Credentials::SdkDefault);
        }
        if self.use_instance_profile {
            return Ok(S3Credentials::InstanceProfile);
        }
        match self.keys()? {
            Some(keys) => Ok(keys),
            None if self.iam_role_arn.is_some() => Err(incomplete(
                "aws.s3.iam_role_arn needs an identity that may assume the role: add \
                 \"aws.s3.use_instance_profile\" = \"true\", or aws.s3.access_key and aws.s3.secret_key, or \
                 \"aws.s3.use_aws_sdk_default_behavior\" = \"true\"",
            )),
            None => Err(incomplete(
                "no credentials are given: add aws.s3.access_key and aws.s3.secret_key, or \
                 \"aws.s3.use_instance_profile\" = \"true\", or \"aws.s3.use_aws_sdk_default_behavior\" = \"true\"",
            )),
        }
    }

    fn keys(&self) -> Result<Option<S3Credentials>, PropertiesError> {
        match (self.access_key, self.secret_key) {
            (Some(access_key), Some(secret_key)) => Ok(Some(S3Credentials::Static {
                access_key: Secret::new(access_key),
                secret_key: Secret::new(secret_key),
                session_token: self.session_token.map(Secret::new),
            })),
            (Some(_), None) => Err(incomplete("aws.s3.access_key is given without aws.s3.secret_key; give both")),
            (None, Some(_)) => Err(incomplete("aws.s3.secret_key is given without aws.s3.access_key; give both")),
            (None, None) if self.session_token.is_some() => Err(incomplete(
                "aws.s3.session_token is given without aws.s3.access_key and aws.s3.secret_key, the keys it came with; \
                 give all three",
            )),
            (None, None) => Ok(None),
        }
    }

    fn assume_role(&self) -> Result<Option<AssumeRole>, PropertiesError> {
        let Some(arn) = self.iam_role_arn else {
            let of_a_role = [
                (Setting::ExternalId, self.external_id),
                (Setting::StsRegion, self.sts_region),
                (Setting::StsEndpoint, self.sts_endpoint),
            ];
            return match of_a_role.iter().find(|(_, value)| value.is_some()) {
                Some((setting, _)) => Err(PropertiesError::Incomplete(format!(
                    "{} is given without aws.s3.iam_role_arn, the role it belongs to; give both, or neither",
                    setting.key()
                ))),
                None => Ok(None),
            };
        };
        let is_role = arn.starts_with("arn:") && arn.split(':').count() >= 6 && arn.contains(":role/");
        if !is_role {
            return Err(value_of(
                Setting::IamRoleArn,
                "must be a role ARN such as arn:aws:iam::123456789012:role/backup",
            ));
        }
        if self.sts_endpoint.is_some() && self.sts_region.is_none() {
            return Err(incomplete("aws.s3.sts.endpoint is given without aws.s3.sts.region; give both"));
        }
        if let Some(region) = self.sts_region {
            check_region(Setting::StsRegion, region)?;
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

    fn endpoint(&self, bucket: &str) -> Result<Option<String>, PropertiesError> {
        let Some(endpoint) = self.endpoint else {
            return match self.enable_ssl {
                Some(false) => Err(incomplete(
                    "\"aws.s3.enable_ssl\" = \"false\" is given without aws.s3.endpoint; AWS itself is reached over \
                     https, so name the endpoint that speaks http",
                )),
                _ => Ok(None),
            };
        };
        let url = endpoint_url(Setting::Endpoint, endpoint, self.enable_ssl)?;
        if let Some(host) = host_of(&url).strip_prefix(&format!("{bucket}."))
            && host.contains('.')
            // Every endpoint of a private network begins with the word "bucket".
            && !host.starts_with("vpce-")
        {
            let reason = format!("must not begin with the bucket's name, which the location has; write {host}");
            return Err(value_of(Setting::Endpoint, &reason));
        }
        Ok(Some(url))
    }

    fn region(&self, endpoint: Option<&str>, credentials: &S3Credentials) -> Result<Option<String>, PropertiesError> {
        let host = endpoint.map(|endpoint| host_of(endpoint).to_ascii_lowercase());
        let aws = host.as_deref().and_then(aws::s3_host);
        let of_endpoint = aws.and_then(|aws| aws.region);
        if let Some(region) = self.region {
            check_region(Setting::Region, region)?;
            return match of_endpoint {
                Some(other) if other != region => Err(PropertiesError::Incomplete(format!(
                    "aws.s3.region is '{region}' but aws.s3.endpoint is in '{other}'; make them agree, or leave \
                     aws.s3.endpoint out"
                ))),
                _ => Ok(Some(region.to_owned())),
            };
        }
        match endpoint {
            Some(_) if aws.is_some() && host.as_deref().is_some_and(|host| host.starts_with("s3-accelerate.")) => {
                Err(incomplete(
                    "aws.s3.region is missing: an accelerated endpoint serves every region, so give the bucket's",
                ))
            }
            Some(_) => Ok(Some(of_endpoint.unwrap_or(REGION_OF_CUSTOM_ENDPOINTS).to_owned())),
            None if *credentials == S3Credentials::SdkDefault => Ok(None),
            None => Err(incomplete(
                "aws.s3.region is missing: give the bucket's region, or aws.s3.endpoint for a store that is not AWS",
            )),
        }
    }

    fn ca_bundle(&self, endpoint: Option<&str>, role: Option<&AssumeRole>) -> Result<Option<PathBuf>, PropertiesError> {
        let Some(path) = self.ca_bundle else {
            return Ok(None);
        };
        // What is not named is AWS's own.
        let is_tls = |endpoint: Option<&str>| endpoint.is_none_or(|endpoint| endpoint.starts_with("https://"));
        if !is_tls(endpoint) && !role.is_some_and(|role| is_tls(role.sts_endpoint.as_deref())) {
            return Err(incomplete(
                "aws.s3.ca_bundle is given but the endpoint is reached over http, which has no certificates, and so is STS \
                 if there is a role; leave it out, or use https",
            ));
        }
        if !path.starts_with('/') {
            return Err(value_of(Setting::CaBundle, "must be the absolute path of a PEM file on the server"));
        }
        Ok(Some(PathBuf::from(path)))
    }

    fn writes(&self) -> Result<WriteOptions, PropertiesError> {
        let key_id = self.sse_kms_key_id.map(str::to_owned);
        let sse = self.sse.map(sse_of_hadoop);
        let encryption = match (sse, key_id) {
            (None, None) => None,
            (Some("AES256"), None) => Some(Encryption::Aes256),
            (Some("aws:kms"), key_id) => Some(Encryption::Kms { key_id }),
            (Some("aws:kms:dsse"), key_id) => Some(Encryption::KmsDsse { key_id }),
            (Some("AES256") | None, Some(_)) => {
                return Err(incomplete(
                    "aws.s3.sse_kms_key_id is given without \"aws.s3.sse\" = \"aws:kms\" or \"aws:kms:dsse\", which use \
                     it; give both, or neither",
                ));
            }
            (Some(_), _) => {
                let reason = "must be \"AES256\", \"aws:kms\" or \"aws:kms:dsse\"; keys that the client keeps are not \
                              supported";
                return Err(value_of(Setting::Sse, reason));
            }
        };
        // Hadoop's values are in lower case, S3's in capitals.
        let storage_class = self.storage_class.map(str::to_ascii_uppercase);
        // Other stores have classes of their own.
        let class_is_plausible =
            |class: &str| class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if storage_class.as_deref().is_some_and(|class| !class_is_plausible(class)) {
            let reason = "must be a storage class such as STANDARD_IA or INTELLIGENT_TIERING";
            return Err(value_of(Setting::StorageClass, reason));
        }
        // A class that must be thawed before it can be read makes every restore fail.
        if let Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) = storage_class.as_deref() {
            let reason =
                format!("must not be {class}: its objects cannot be read at once; use GLACIER_IR or STANDARD_IA");
            return Err(value_of(Setting::StorageClass, &reason));
        }
        Ok(WriteOptions { encryption, storage_class, lock: self.lock()? })
    }

    fn lock(&self) -> Result<Option<ObjectLock>, PropertiesError> {
        let (mode, days) = match (self.object_lock_mode, self.object_lock_days) {
            (None, None) => return Ok(None),
            (Some(mode), Some(days)) => (mode, days),
            (Some(_), None) => {
                return Err(incomplete("aws.s3.object_lock_mode is given without aws.s3.object_lock_days; give both"));
            }
            (None, Some(_)) => {
                return Err(incomplete("aws.s3.object_lock_days is given without aws.s3.object_lock_mode; give both"));
            }
        };
        let mode = match mode.to_ascii_uppercase().as_str() {
            "GOVERNANCE" => LockMode::Governance,
            "COMPLIANCE" => LockMode::Compliance,
            _ => return Err(value_of(Setting::ObjectLockMode, "must be \"GOVERNANCE\" or \"COMPLIANCE\"")),
        };
        match days.parse::<u32>() {
            Ok(days @ 1..=LOCK_DAYS_MAX) => Ok(Some(ObjectLock { mode, days })),
            _ => Err(value_of(Setting::ObjectLockDays, &format!("must be a number of days from 1 to {LOCK_DAYS_MAX}"))),
        }
    }
}

/// Hadoop's names of encryptions, as S3 writes them; anything else as it is.
fn sse_of_hadoop(name: &str) -> &str {
    match name {
        "SSE-S3" => "AES256",
        "SSE-KMS" => "aws:kms",
        "DSSE-KMS" => "aws:kms:dsse",
        other => other,
    }
}

fn incomplete(text: &str) -> PropertiesError {
    PropertiesError::Incomplete(text.to_owned())
}

fn value_of(setting: Setting, reason: &str) -> PropertiesError {
    PropertiesError::Value { key: setting.key().to_owned(), reason: reason.to_owned() }
}

/// A region becomes part of host names and of signatures; a sentence such as "US West (Oregon)" cannot.
fn check_region(setting: Setting, region: &str) -> Result<(), PropertiesError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if region.len() <= 63 && region.bytes().all(allowed) {
        return Ok(());
    }
    Err(value_of(setting, "must be a region's name such as us-west-2"))
}

/// The endpoint with its scheme and without a slash at the end. It has no path: what is asked for would be another
/// bucket than the one that the policy looks at.
fn endpoint_url(setting: Setting, endpoint: &str, enable_ssl: Option<bool>) -> Result<String, PropertiesError> {
    let wrong = |reason: &str| value_of(setting, reason);
    let (scheme, host) = match endpoint.split_once("://") {
        Some((scheme, host)) => (Some(scheme.to_ascii_lowercase()), host),
        None => (None, endpoint),
    };
    for meant in ["http:", "https:"] {
        // No host is called so: another slash is missing, or both.
        if scheme.is_none() && host.get(..meant.len()).is_some_and(|start| start.eq_ignore_ascii_case(meant)) {
            return Err(wrong(&format!("begins with '{meant}', which needs two slashes: write {meant}//host:port")));
        }
    }
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
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace) {
        return Err(wrong("has no host; write host:port"));
    }
    if host.contains('@') {
        return Err(wrong("must not carry credentials; use aws.s3.access_key and aws.s3.secret_key"));
    }
    if host.contains(['?', '#']) {
        return Err(wrong("must not have a query; write host:port"));
    }
    if let Some((authority, _)) = host.split_once('/') {
        let bucket = match setting {
            Setting::Endpoint => ": the bucket and its prefix belong into the location",
            _ => "",
        };
        return Err(wrong(&format!("must not have a path{bucket}; write {scheme}://{authority}")));
    }
    let url = format!("{scheme}://{host}");
    let name = host_of(&url);
    let is_host = name.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')));
    let port = port_of(&url);
    if !is_host || port.is_some_and(|port| port.parse::<u16>().is_err() || port == "0") {
        return Err(wrong("is no address; write host:port"));
    }
    Ok(url)
}

/// What follows the host's colon, if there is one.
fn port_of(endpoint: &str) -> Option<&str> {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let after = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((_, after)) => after,
        None => authority.find(':').map_or("", |colon| &authority[colon..]),
    };
    if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or(after)) }
}

/// Host of an endpoint with its scheme, without port and path.
pub(in crate::repository) fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    }
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
    if aws::s3_host(&host).is_some() {
        return false;
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
