//! PROPERTIES of CREATE REPOSITORY: how to reach the store and as whom.
//!
//! [`RepositoryProperties`] keeps what the user wrote, in order, so that SHOW CREATE REPOSITORY can print it back
//! with secrets masked. [`RepositoryProperties::s3`] resolves it into [`S3Settings`]. Which identity is used, first
//! match wins: the SDK's default chain, the instance profile, static keys; a role ARN wraps whichever it is. A directory
//! has no use for any of them, so [`RepositoryProperties::check`] refuses them there.
//!
//! Nothing here opens a connection, and no error, Debug or Display ever carries the value of a secret.

pub(in crate::repository) mod aws;
mod keys;
mod nearest;
mod resolve;
mod secret;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::location::Location;

pub use secret::{MASK, Secret};

use keys::{Known, Setting};
use resolve::Given;
pub(in crate::repository) use resolve::host_of;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

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
    /// Whether keys are given that count for nothing, because another identity goes before them.
    pub unused_keys: bool,
    /// The role to assume on top of it.
    pub assume_role: Option<AssumeRole>,
    /// The region; `None` only with the SDK's default chain, which then finds it.
    pub region: Option<String>,
    /// The endpoint with its scheme; `None` is AWS itself.
    pub endpoint: Option<String>,
    /// Whether the bucket goes into the path of the URL.
    pub path_style: bool,
    /// A file of certificates that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// What the store is asked to do with what it is given.
    pub writes: WriteOptions,
}

/// What the store is asked to do with the objects it is given. It takes part in every request that creates one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Encryption by the store; `None` leaves it to the bucket's default.
    pub encryption: Option<Encryption>,
    /// Storage class of segments and delete vectors; everything else is small and read often.
    pub storage_class: Option<String>,
    /// For how long objects cannot be deleted or replaced.
    pub lock: Option<ObjectLock>,
}

/// Encryption by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of the store's own: `AES256`.
    Aes256,
    /// With a key of the key management service; `None` is the account's default key for S3.
    Kms {
        /// The key's id, ARN or alias.
        key_id: Option<String>,
    },
    /// Twice, with a key of the key management service.
    KmsDsse {
        /// The key's id, ARN or alias.
        key_id: Option<String>,
    },
}

impl Encryption {
    /// Its name in S3's headers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Encryption::Aes256 => "AES256",
            Encryption::Kms { .. } => "aws:kms",
            Encryption::KmsDsse { .. } => "aws:kms:dsse",
        }
    }

    /// The key that was asked for by name.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Encryption::Aes256 => None,
            Encryption::Kms { key_id } | Encryption::KmsDsse { key_id } => key_id.as_deref(),
        }
    }
}

impl WriteOptions {
    /// Whether anything is asked for that an answer can tell, locks apart, which have a proof of their own.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        self.encryption.is_some() || self.storage_class.is_some()
    }
}

/// A lock on every object of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// How long it holds from the backup on.
    pub days: u32,
}

/// Who may lift an object lock; the stricter is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LockMode {
    /// Whoever has s3:BypassGovernanceRetention.
    Governance,
    /// Nobody.
    Compliance,
}

impl ObjectLock {
    /// How long every object of a snapshot is to be locked when the snapshot comes to be.
    #[must_use]
    pub fn wanted_ms(&self) -> i64 {
        i64::from(self.days) * DAY_MS
    }

    /// How long an object is locked when it is put or locked anew: an eighth longer than wanted, at least a day. For
    /// that long, backups that refer to it again need not ask for another lock.
    #[must_use]
    pub fn granted_ms(&self) -> i64 {
        let longer = self.wanted_ms() + (self.wanted_ms() / 8).max(DAY_MS);
        longer.min(i64::from(resolve::LOCK_DAYS_MAX) * DAY_MS)
    }
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
    /// A key that does not exist.
    #[error("unknown repository property {key}; {}", what_else(.nearest))]
    UnknownKey {
        /// What may be said of it: in quotes as far as it can be no secret, or its length.
        key: String,
        /// The known key most like it, if one is.
        nearest: Option<&'static str>,
    },
    /// A key of other products whose meaning nothing here has.
    #[error("repository property '{key}' is not supported: {instead}")]
    Unsupported {
        /// As written.
        key: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A known key stands where its value belongs; the value is not repeated, it may be a secret.
    #[error("repository property '{key}' stands where a value belongs; write \"{key}\" = \"…\"")]
    Swapped {
        /// The known key.
        key: String,
    },
    /// A property of S3 for a repository in a directory.
    #[error(
        "a file:// repository has no use for property '{key}': leave it out, or give an s3:// location if you need \
         what it asks for"
    )]
    NotForDirectories {
        /// As written.
        key: String,
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
    /// Checks pairs as the user wrote them. Unknown keys are refused, so are settings without a value, and those of other
    /// products that ask for what is not done; those that only tune other products are kept, shown, and said to be of no consequence.
    pub fn parse<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, PropertiesError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut properties = Self::default();
        for (key, value) in pairs {
            let (key, value) = (key.into().trim().to_owned(), value.into());
            // Not the same as left out: without the endpoint that a template did not fill in, the keys of another store
            // would go to AWS.
            if value.trim().is_empty() && keys::setting(&key).is_some() {
                let reason = "is empty: give a value, or leave the property out".to_owned();
                return Err(PropertiesError::Value { key, reason });
            }
            properties.add_given(key, value)?;
        }
        // What sets nothing here asks for nothing when it is empty, and is not shown as if it did.
        properties.pairs.retain(|pair| !pair.value.expose().trim().is_empty());
        // Values are checked here and not only when the store is opened, so that CREATE REPOSITORY names them.
        Given::of(&properties)?;
        Ok(properties)
    }

    /// Errors unless these properties, which somebody gives now, are a whole for a repository at `location`. Of what was
    /// kept before less is asked ([`RepositoryProperties::s3`]).
    pub fn check(&self, location: &Location) -> Result<(), PropertiesError> {
        match location {
            Location::S3(place) => {
                let given = Given::of(self)?;
                given.check(&given.resolve(place.bucket())?)
            }
            Location::File(_) => match self.pairs.iter().find(|pair| !pair.value.expose().trim().is_empty()) {
                Some(pair) => Err(PropertiesError::NotForDirectories { key: pair.key.clone() }),
                None => Ok(()),
            },
        }
    }

    /// A pair that somebody gives now.
    fn add_given(&mut self, key: String, value: String) -> Result<(), PropertiesError> {
        // No key that is known has other letters; what follows them may be a value, and a secret.
        let known = if keys::has_form(&key) { keys::known(&key, value.trim()) } else { None };
        match known {
            Some(Known::Setting(_) | Known::Idle) => self.add(key, value),
            Some(Known::Refused(instead)) => Err(PropertiesError::Unsupported { key, instead }),
            None if keys::setting(value.trim()).is_some() => {
                Err(PropertiesError::Swapped { key: value.trim().to_owned() })
            }
            None => {
                let (key, nearest) = keys::unknown(&key);
                Err(PropertiesError::UnknownKey { key, nearest })
            }
        }
    }

    /// A pair whose key passed before, when it was given.
    fn add(&mut self, key: String, value: String) -> Result<(), PropertiesError> {
        let known = keys::setting(&key);
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

    /// Keys that nothing uses, in the order of the user: SHOW CREATE REPOSITORY says so of each.
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

    /// These properties with `changes` on top: what ALTER REPOSITORY stores. A change replaces every spelling of what
    /// it sets; an empty value takes a property away. A new access key takes the old session token away with the old
    /// keys, unless a new token comes with it.
    pub fn with_changes<K, V>(&self, changes: impl IntoIterator<Item = (K, V)>) -> Result<Self, PropertiesError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut given = Self::default();
        for (key, value) in changes {
            let (key, value) = (key.into().trim().to_owned(), value.into());
            // Whatever is there can be taken away, also what would no longer be taken.
            let removes = value.trim().is_empty() && self.pairs.iter().any(|old| old.key.eq_ignore_ascii_case(&key));
            if removes { given.add(key, value)? } else { given.add_given(key, value)? }
        }
        let changes = given;
        let sets = |wanted| changes.pairs.iter().any(|new| keys::setting(&new.key) == Some(wanted));
        let stale_token = sets(Setting::AccessKey);
        let replaced = |old: &Property| match keys::setting(&old.key) {
            Some(Setting::SessionToken) if stale_token => true,
            Some(setting) => sets(setting),
            None => changes.pairs.iter().any(|new| new.key.eq_ignore_ascii_case(&old.key)),
        };
        let mut pairs: Vec<Property> = self.pairs.iter().filter(|old| !replaced(old)).cloned().collect();
        pairs.extend(changes.pairs.iter().filter(|new| !new.value.expose().trim().is_empty()).cloned());
        let changed = Self { pairs };
        Given::of(&changed)?;
        Ok(changed)
    }

    /// Every pair with its secret, for the catalog alone.
    pub(super) fn exposed_pairs(&self) -> Vec<(String, String)> {
        self.pairs.iter().map(|pair| (pair.key.clone(), pair.value.expose().to_owned())).collect()
    }

    /// Properties that were checked when they were stored.
    pub(super) fn from_exposed_pairs(pairs: Vec<(String, String)>) -> Result<Self, PropertiesError> {
        let mut properties = Self::default();
        pairs.into_iter().try_for_each(|(key, value)| properties.add(key, value))?;
        Ok(properties)
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
        Given::of(self)?.resolve(bucket)
    }
}

fn what_else(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "leave it out, or use one of those that docs/sql.md lists".to_owned(),
    }
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
