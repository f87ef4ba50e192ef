//! The property keys a repository understands, in every spelling users bring along, and what becomes of all others.
//!
//! A key is a setting; or it is of no consequence here, which SHOW CREATE REPOSITORY says; or it has a meaning that is
//! not served, and is refused with what to use instead; or nobody knows it, and it is refused with the nearest that is
//! known: a typing error may be a lock or an encryption that somebody relies on.

use super::nearest;

/// What a property sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Setting {
    AccessKey,
    SecretKey,
    SessionToken,
    Region,
    Endpoint,
    EnableSsl,
    PathStyle,
    UseInstanceProfile,
    UseSdkDefault,
    IamRoleArn,
    ExternalId,
    StsRegion,
    StsEndpoint,
    CaBundle,
    Sse,
    SseKmsKeyId,
    StorageClass,
    ObjectLockMode,
    ObjectLockDays,
}

impl Setting {
    /// The spelling that messages use.
    pub(super) fn key(self) -> &'static str {
        // Every setting is in the table, and its own spelling is the first.
        KEYS.iter().find(|(_, setting)| *setting == self).map_or("", |(key, _)| key)
    }

    /// Whether the value is never shown. Access keys are no secrets by themselves, but nobody needs to read them back.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Setting::AccessKey | Setting::SecretKey | Setting::SessionToken | Setting::ExternalId)
    }
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It sets something.
    Setting(Setting),
    /// It tunes another product, or says what is so anyway.
    Idle,
    /// It asks for what is not done; the text says what to do instead.
    Refused(&'static str),
}

/// Prefix of the spelling that messages use.
pub(super) const CANONICAL_PREFIX: &str = "aws.s3.";

/// Each spelling with what it sets: StarRocks's own first, then Hadoop's, then those of other products.
pub(super) const KEYS: &[(&str, Setting)] = &[
    ("aws.s3.access_key", Setting::AccessKey),
    ("aws.s3.secret_key", Setting::SecretKey),
    ("aws.s3.session_token", Setting::SessionToken),
    ("aws.s3.region", Setting::Region),
    ("aws.s3.endpoint", Setting::Endpoint),
    ("aws.s3.enable_ssl", Setting::EnableSsl),
    ("aws.s3.enable_path_style_access", Setting::PathStyle),
    ("aws.s3.use_instance_profile", Setting::UseInstanceProfile),
    ("aws.s3.use_aws_sdk_default_behavior", Setting::UseSdkDefault),
    ("aws.s3.iam_role_arn", Setting::IamRoleArn),
    ("aws.s3.external_id", Setting::ExternalId),
    ("aws.s3.sts.region", Setting::StsRegion),
    ("aws.s3.sts.endpoint", Setting::StsEndpoint),
    ("aws.s3.ca_bundle", Setting::CaBundle),
    ("aws.s3.sse", Setting::Sse),
    ("aws.s3.sse_kms_key_id", Setting::SseKmsKeyId),
    ("aws.s3.storage_class", Setting::StorageClass),
    ("aws.s3.object_lock_mode", Setting::ObjectLockMode),
    ("aws.s3.object_lock_days", Setting::ObjectLockDays),
    ("fs.s3a.access.key", Setting::AccessKey),
    ("fs.s3a.secret.key", Setting::SecretKey),
    ("fs.s3a.session.token", Setting::SessionToken),
    ("fs.s3a.endpoint", Setting::Endpoint),
    ("fs.s3a.endpoint.region", Setting::Region),
    ("fs.s3a.connection.ssl.enabled", Setting::EnableSsl),
    ("fs.s3a.path.style.access", Setting::PathStyle),
    ("fs.s3a.assumed.role.arn", Setting::IamRoleArn),
    ("fs.s3a.assumed.role.external.id", Setting::ExternalId),
    ("fs.s3a.assumed.role.sts.endpoint", Setting::StsEndpoint),
    ("fs.s3a.assumed.role.sts.endpoint.region", Setting::StsRegion),
    ("fs.s3a.server-side-encryption-algorithm", Setting::Sse),
    ("fs.s3a.encryption.algorithm", Setting::Sse),
    ("fs.s3a.server-side-encryption.key", Setting::SseKmsKeyId),
    ("fs.s3a.encryption.key", Setting::SseKmsKeyId),
    ("fs.s3a.create.storage.class", Setting::StorageClass),
    ("fs.s3n.awsAccessKeyId", Setting::AccessKey),
    ("fs.s3n.awsSecretAccessKey", Setting::SecretKey),
    ("s3.access_key", Setting::AccessKey),
    ("s3.secret_key", Setting::SecretKey),
    ("s3.session_token", Setting::SessionToken),
    ("s3.region", Setting::Region),
    ("s3.endpoint", Setting::Endpoint),
    ("s3.role_arn", Setting::IamRoleArn),
    ("s3.external_id", Setting::ExternalId),
    ("s3.connection.ssl.enabled", Setting::EnableSsl),
    ("use_path_style", Setting::PathStyle),
    ("s3.path-style-access", Setting::PathStyle),
    ("s3.access-key-id", Setting::AccessKey),
    ("s3.secret-access-key", Setting::SecretKey),
    ("s3.session-token", Setting::SessionToken),
    ("aws_access_key", Setting::AccessKey),
    ("aws_secret_key", Setting::SecretKey),
    ("aws_token", Setting::SessionToken),
    ("aws_region", Setting::Region),
    ("aws_endpoint", Setting::Endpoint),
    ("aws_role_arn", Setting::IamRoleArn),
    ("aws_external_id", Setting::ExternalId),
];

/// Keys that ask for something that is not done, or not by this key: the value with which they ask for nothing, and what
/// to do instead.
const REFUSED: &[(&str, Option<&str>, &str)] = &[
    ("location", None, LOCATION_STAYS),
    ("broker", None, LOCATION_STAYS),
    ("read_only", None, LOCATION_STAYS),
    ("fs.s3a.aws.credentials.provider", None, WHOSE_CREDENTIALS),
    ("fs.s3a.assumed.role.credentials.provider", None, WHOSE_CREDENTIALS),
    ("s3.credentials_provider_type", None, WHOSE_CREDENTIALS),
    ("aws_credentials_provider_type", None, WHOSE_CREDENTIALS),
    ("fs.s3a.security.credential.provider.path", None, NO_CREDENTIAL_FILES),
    ("hadoop.security.credential.provider.path", None, NO_CREDENTIAL_FILES),
    ("fs.s3a.delegation.token.binding", None, WHOSE_CREDENTIALS),
    ("fs.s3a.assumed.role.policy", None, "narrow the policy of the role that aws.s3.iam_role_arn names"),
    ("fs.s3a.assumed.role.session.name", None, "sessions have names of their own; leave it out"),
    ("fs.s3a.acl.default", None, NO_ACL),
    ("s3.acl", None, NO_ACL),
    ("fs.s3a.encryption.context", None, NO_ENCRYPTION_CONTEXT),
    ("fs.s3a.server-side-encryption.context", None, NO_ENCRYPTION_CONTEXT),
    ("s3.sse.type", Some("none"), SSE_INSTEAD),
    ("s3.sse.key", None, SSE_INSTEAD),
    ("fs.s3a.encryption.cse.v1.compatibility.enabled", Some("false"), "backups are not encrypted by the client"),
    ("s3.write.storage-class", None, "write it as aws.s3.storage_class"),
    (
        "fs.s3a.requester.pays.enabled",
        Some("false"),
        "requests are paid for by the bucket's owner; use a bucket of yours",
    ),
    ("fs.s3a.accesspoint.required", Some("false"), "access points are not supported; name the bucket"),
    ("fs.s3a.endpoint.fips", Some("false"), "name the FIPS endpoint as aws.s3.endpoint"),
    ("fs.s3a.signing-algorithm", None, "requests are signed with version 4; leave it out"),
    ("fs.s3a.custom.signers", None, "requests are signed with version 4; leave it out"),
    ("fs.s3a.proxy.host", None, NO_PROXY),
    ("fs.s3a.proxy.port", None, NO_PROXY),
    ("fs.s3a.proxy.username", None, NO_PROXY),
    ("fs.s3a.proxy.password", None, NO_PROXY),
    ("s3.root.path", None, "the location has the prefix; leave it out"),
    ("s3.bucket", None, "the location has the bucket; leave it out"),
    ("aws_bucket", None, "the location has the bucket; leave it out"),
    ("aws_root_path", None, "the location has the prefix; leave it out"),
];

/// The same for all keys that begin so.
const REFUSED_FAMILIES: &[(&str, &str)] = &[
    ("fs.s3a.bucket.", "a repository is one bucket: write the option without 'bucket.' and its name"),
    ("fs.oss.", OTHER_CLOUDS),
    ("fs.cosn.", OTHER_CLOUDS),
    ("fs.obs.", OTHER_CLOUDS),
    ("oss.", OTHER_CLOUDS),
    ("cos.", OTHER_CLOUDS),
    ("obs.", OTHER_CLOUDS),
    ("gcp.gcs.", OTHER_CLOUDS),
    ("fs.gs.", OTHER_CLOUDS),
    ("azure.", "repositories lie in stores that speak S3, or in a directory"),
    ("fs.azure.", "repositories lie in stores that speak S3, or in a directory"),
];

const LOCATION_STAYS: &str =
    "a repository stays where it is and what it is; create another one with the location, broker and access you want";
const WHOSE_CREDENTIALS: &str = "say whose credentials requests carry by aws.s3.access_key and aws.s3.secret_key, \
                                 aws.s3.use_instance_profile, aws.s3.use_aws_sdk_default_behavior or aws.s3.iam_role_arn";
const NO_CREDENTIAL_FILES: &str =
    "Hadoop's credential files are not read; give aws.s3.access_key and aws.s3.secret_key, which are kept sealed";
const NO_ACL: &str =
    "objects get no ACL of their own; let the bucket's policy and object ownership say who may read them";
const NO_ENCRYPTION_CONTEXT: &str = "objects are encrypted without a context; use a key whose policy asks for none";
const SSE_INSTEAD: &str = "write aws.s3.sse and aws.s3.sse_kms_key_id";
const NO_PROXY: &str = "stores are reached without a proxy; name an endpoint that this machine can reach";
const OTHER_CLOUDS: &str =
    "reach the store by its S3 interface: an s3:// location, aws.s3.endpoint, aws.s3.access_key and aws.s3.secret_key";

/// Keys that tune other products' clients, or ask for what is so anyway.
const IDLE: &[&str] = &[
    "fs.s3a.assumed.role.session.duration",
    "fs.s3a.attempts.maximum",
    "fs.s3a.block.size",
    "fs.s3a.buffer.dir",
    "fs.s3a.change.detection.mode",
    "fs.s3a.change.detection.source",
    "fs.s3a.change.detection.version.required",
    "fs.s3a.connection.acquisition.timeout",
    "fs.s3a.connection.establish.timeout",
    "fs.s3a.connection.expect.continue",
    "fs.s3a.connection.idle.time",
    "fs.s3a.connection.keepalive",
    "fs.s3a.connection.maximum",
    "fs.s3a.connection.part.upload.timeout",
    "fs.s3a.connection.request.timeout",
    "fs.s3a.connection.timeout",
    "fs.s3a.connection.ttl",
    "fs.s3a.create.checksum.algorithm",
    "fs.s3a.create.conditional.enabled",
    "fs.s3a.create.performance",
    "fs.s3a.cross.region.access.enabled",
    "fs.s3a.directory.marker.retention",
    "fs.s3a.downgrade.syncable.exceptions",
    "fs.s3a.etag.checksum.enabled",
    "fs.s3a.executor.capacity",
    "fs.s3a.experimental.fadvise",
    "fs.s3a.experimental.input.fadvise",
    "fs.s3a.fast.upload",
    "fs.s3a.fast.upload.active.blocks",
    "fs.s3a.fast.upload.buffer",
    "fs.s3a.impl",
    "fs.s3a.impl.disable.cache",
    "fs.s3a.list.version",
    "fs.s3a.max.total.tasks",
    "fs.s3a.multiobjectdelete.enable",
    "fs.s3a.multipart.purge",
    "fs.s3a.multipart.purge.age",
    "fs.s3a.multipart.size",
    "fs.s3a.multipart.threshold",
    "fs.s3a.multipart.uploads.enabled",
    "fs.s3a.optimized.copy.from.local.enabled",
    "fs.s3a.paging.maximum",
    "fs.s3a.performance.flags",
    "fs.s3a.readahead.range",
    "fs.s3a.retry.interval",
    "fs.s3a.retry.limit",
    "fs.s3a.retry.throttle.interval",
    "fs.s3a.retry.throttle.limit",
    "fs.s3a.socket.recv.buffer",
    "fs.s3a.socket.send.buffer",
    "fs.s3a.ssl.channel.mode",
    "fs.s3a.threads.core",
    "fs.s3a.threads.keepalivetime",
    "fs.s3a.threads.max",
    "fs.s3a.user.agent.prefix",
    "fs.s3.impl",
    "fs.s3n.impl",
    "fs.AbstractFileSystem.s3a.impl",
    "s3.connection.maximum",
    "s3.connection.request.timeout",
    "s3.connection.timeout",
    "aws_max_connections",
    "aws_request_timeout_ms",
    "aws_connection_timeout_ms",
    // What older scripts tell a broker, which there is none of.
    "username",
    "password",
];

/// The same for all keys that begin so: Hadoop's own machinery, and file systems that no location here is on.
const IDLE_FAMILIES: &[&str] = &[
    "fs.s3a.audit.",
    "fs.s3a.committer.",
    "fs.s3a.metadatastore.",
    "fs.s3a.prefetch.",
    "fs.s3a.s3guard.",
    "fs.s3a.vectored.",
    "hadoop.",
    "dfs.",
];

/// What `key` sets; case does not matter.
pub(super) fn setting(key: &str) -> Option<Setting> {
    KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, setting)| *setting)
}

/// What becomes of `key` with this value; `None` when nobody knows it.
pub(super) fn known(key: &str, value: &str) -> Option<Known> {
    if let Some(setting) = setting(key) {
        return Some(Known::Setting(setting));
    }
    if let Some((_, idle_value, instead)) = REFUSED.iter().find(|(known, ..)| known.eq_ignore_ascii_case(key)) {
        // An empty text is how generated scripts leave a property out.
        let asks_nothing = value.is_empty() || idle_value.is_some_and(|idle| value.eq_ignore_ascii_case(idle));
        return Some(if asks_nothing { Known::Idle } else { Known::Refused(instead) });
    }
    let begins = |family: &str| key.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    if let Some((_, instead)) = REFUSED_FAMILIES.iter().find(|(family, _)| begins(family)) {
        return Some(if value.is_empty() { Known::Idle } else { Known::Refused(instead) });
    }
    let idle = IDLE.iter().any(|known| known.eq_ignore_ascii_case(key)) || IDLE_FAMILIES.iter().any(|f| begins(f));
    idle.then_some(Known::Idle)
}

/// Words that mark the value of a key without a setting as a secret, wherever they stand in it.
const SECRET_WORDS: &[&str] =
    &["secret", "password", "passwd", "passphrase", "pwd", "token", "key", "credential", "signature"];

/// Words that do so as a whole part of the key: they stand within innocent ones.
const SECRET_PARTS: &[&str] = &["ak", "sk", "pass", "pw", "auth"];

/// Whether the value of a key without a setting is masked: when in doubt, yes.
pub(super) fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || key.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| SECRET_PARTS.contains(&part))
}

/// Longest part of a key, between two dots, that a message repeats: no known key has a longer one.
const PART_CHARS_MAX: usize = 32;

/// Most that a message repeats of a key that nobody knows.
const SHOWN_CHARS_MAX: usize = 80;

fn is_of_keys(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Whether a key has the letters that known ones have, and no others.
pub(super) fn has_form(key: &str) -> bool {
    key.chars().all(is_of_keys)
}

/// What may be said of a key that nobody knows, and the known one that is meant, perhaps. Whoever puts quotes in the wrong
/// place writes secrets into keys (`'aws.s3.secret_key=…'`), so it is repeated only as far as it is like one.
pub(super) fn unknown(key: &str) -> (String, Option<&'static str>) {
    let end = key.find(|c| !is_of_keys(c)).unwrap_or(key.len());
    let (start, rest) = key.split_at(end);
    let begins = |known: &str| start.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known));
    let secrets = KEYS.iter().filter(|(_, setting)| setting.is_secret()).map(|(known, _)| *known);
    // What a secret's own key goes on with, without anything between them, is the secret as likely as not.
    if let Some(known) = secrets.filter(|known| begins(known)).max_by_key(|known| known.len()) {
        return (format!("'{known}…'"), Some(known));
    }
    let nearest = nearest::nearest(start);
    let is_like_a_key = nearest.is_some() || start.trim_matches('.').contains('.');
    let is_short = start.len() <= SHOWN_CHARS_MAX && start.split('.').all(|part| part.len() <= PART_CHARS_MAX);
    match (is_like_a_key && is_short, rest) {
        (true, "") => (format!("'{start}'"), nearest),
        (true, _) => (format!("'{start}…'"), nearest),
        (false, _) => (format!("of {} characters", key.chars().count()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: of a key nothing is repeated that may be a secret, and of a misspelt one enough to find it.
    #[test]
    fn what_is_said_of_unknown_keys() {
        for (key, said, meant) in [
            ("aws.s3.secret_key=canaryInKey", "'aws.s3.secret_key…'", Some("aws.s3.secret_key")),
            ("AWS.S3.Secret_Key:canary", "'aws.s3.secret_key…'", Some("aws.s3.secret_key")),
            ("aws.s3.secret_keycanary", "'aws.s3.secret_key…'", Some("aws.s3.secret_key")),
            ("aws.s3.secret_key.canary", "'aws.s3.secret_key…'", Some("aws.s3.secret_key")),
            ("aws.s3.secretkey=canary", "'aws.s3.secretkey…'", Some("aws.s3.secret_key")),
            ("aws.s3.regoin = canary", "'aws.s3.regoin…'", Some("aws.s3.region")),
            ("hadoop.x=canary", "'hadoop.x…'", None),
            ("canarySECRETasKey", "of 17 characters", None),
            ("canary/with+letters=", "of 20 characters", None),
            ("canary.", "of 7 characters", None),
            ("=canary", "of 7 characters", None),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4.canary", "of 71 characters", None),
            ("no.such.key", "'no.such.key'", None),
            ("aws_regoin", "'aws_regoin'", Some("aws_region")),
            ("", "of 0 characters", None),
            ("tüpfel", "of 6 characters", None),
        ] {
            assert_eq!(unknown(key), (said.to_owned(), meant), "{key}");
            assert!(!unknown(key).0.contains("canary"));
        }
        assert!(KEYS.iter().all(|(key, _)| has_form(key) && key.split('.').all(|part| part.len() <= PART_CHARS_MAX)));
    }

    #[test]
    fn every_setting_names_itself_as_starrocks_does() {
        for (_, setting) in KEYS {
            assert!(setting.key().starts_with(CANONICAL_PREFIX), "{setting:?}");
        }
    }

    /// Goal: one table says what becomes of a key, and only one.
    #[test]
    fn no_key_is_in_two_tables() {
        let mut all: Vec<String> = KEYS.iter().map(|(key, _)| key.to_ascii_lowercase()).collect();
        all.extend(REFUSED.iter().map(|(key, ..)| key.to_ascii_lowercase()));
        all.extend(IDLE.iter().map(|key| key.to_ascii_lowercase()));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_becomes_of_a_key() {
        assert_eq!(known("FS.S3A.ENDPOINT", "x"), Some(Known::Setting(Setting::Endpoint)));
        assert_eq!(known("fs.s3a.Threads.Max", "9"), Some(Known::Idle));
        assert_eq!(known("dfs.nameservices", "x"), Some(Known::Idle));
        assert_eq!(known("fs.s3a.requester.pays.enabled", "FALSE"), Some(Known::Idle));
        assert!(matches!(known("fs.s3a.requester.pays.enabled", "true"), Some(Known::Refused(_))));
        assert!(matches!(known("fs.s3a.acl.default", "PublicRead"), Some(Known::Refused(_))));
        assert!(matches!(known("fs.s3a.bucket.mine.endpoint", "h"), Some(Known::Refused(_))));
        assert_eq!(known("fs.s3a.object.lock.days", "9"), None);
        assert_eq!(known("tüpfel", "x"), None);
    }

    #[test]
    fn keys_whose_values_are_masked() {
        for key in ["db.passwd", "my_pwd", "key.passphrase", "s3.ak", "s3.SK", "x-sk", "proxy.pass", "fs.x.accessKey"] {
            assert!(looks_secret(key), "{key}");
        }
        for key in ["hadoop.username", "fs.s3a.threads.max", "task.limit", "fs.s3a.block.size", "disk.kind", "compass"]
        {
            assert!(!looks_secret(key), "{key}");
        }
    }
}
