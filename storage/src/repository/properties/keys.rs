//! The property keys a repository understands, in every spelling users bring along.

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

/// Prefix of the keys of which an unknown one is refused: a typing error there is never harmless.
pub(super) const STRICT_PREFIX: &str = "aws.s3.";

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
    ("aws_access_key", Setting::AccessKey),
    ("aws_secret_key", Setting::SecretKey),
    ("aws_token", Setting::SessionToken),
    ("aws_region", Setting::Region),
    ("aws_endpoint", Setting::Endpoint),
    ("aws_role_arn", Setting::IamRoleArn),
    ("aws_external_id", Setting::ExternalId),
];

/// What `key` sets; case does not matter.
pub(super) fn setting(key: &str) -> Option<Setting> {
    KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, setting)| *setting)
}

/// Words that mark the value of an unknown key as a secret.
const SECRET_WORDS: &[&str] = &["secret", "password", "token", "key", "credential"];

/// Whether the value of an ignored key is masked: when in doubt, yes.
pub(super) fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The known `aws.s3.*` key that is most like `key`.
pub(super) fn nearest(key: &str) -> &'static str {
    let key = key.to_ascii_lowercase();
    KEYS.iter()
        .map(|(known, _)| *known)
        .filter(|known| known.starts_with(STRICT_PREFIX))
        .min_by_key(|known| edit_distance(&key, known))
        .unwrap_or_default()
}

/// Insertions, deletions and replacements that turn one text into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key() {
        assert_eq!(nearest("aws.s3.acces_key"), "aws.s3.access_key");
        assert_eq!(nearest("aws.s3.accessKey"), "aws.s3.access_key");
        assert_eq!(nearest("AWS.S3.REGIN"), "aws.s3.region");
        assert_eq!(nearest("aws.s3.path_style_access"), "aws.s3.enable_path_style_access");
        assert_eq!(nearest("aws.s3.use_instance_profil"), "aws.s3.use_instance_profile");
    }

    #[test]
    fn every_setting_names_itself_as_starrocks_does() {
        for (_, setting) in KEYS {
            assert!(setting.key().starts_with(STRICT_PREFIX), "{setting:?}");
        }
    }
}
