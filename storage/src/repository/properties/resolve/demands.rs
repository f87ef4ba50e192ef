//! What is asked of properties when they are given, beyond what it takes to use them.
//!
//! A repository that an older version has kept goes on with what it has, as long as that says who asks whom. Whoever gives
//! properties now, by CREATE or ALTER REPOSITORY, is told of what is half, or cannot be what was meant.

use aws_sdk_s3::types::StorageClass;

use super::super::keys::Setting;
use super::super::{PropertiesError, S3Settings, aws, nearest};
use super::{Given, host_of, value_of};

/// Digits of an account of AWS.
const ACCOUNT_DIGITS: usize = 12;

/// Longest name of a role, in characters.
const ROLE_NAME_CHARS_MAX: usize = 64;

/// How many letters may be wrong for a known class to be what was meant.
const CLASS_DISTANCE_MAX: usize = 4;

impl Given<'_> {
    /// Errors when these properties, which are `settings`, would better be others.
    pub(in crate::repository::properties) fn check(&self, settings: &S3Settings) -> Result<(), PropertiesError> {
        // Half a set of keys is a mistake also where nobody uses them: they may be what was meant.
        self.keys()?;
        self.check_sts_scheme()?;
        self.check_role(settings)?;
        check_storage_class(settings)
    }

    /// `aws.s3.enable_ssl` speaks of the store. STS answers with keys in the clear, so plain http is asked for in so many
    /// words, or not at all.
    fn check_sts_scheme(&self) -> Result<(), PropertiesError> {
        match self.sts_endpoint {
            Some(endpoint) if self.enable_ssl == Some(false) && !endpoint.contains("://") => {
                let reason = "has no scheme, and aws.s3.enable_ssl, which is \"false\", speaks of the store alone; write \
                              https:// or http:// before it";
                Err(value_of(Setting::StsEndpoint, reason))
            }
            _ => Ok(()),
        }
    }

    /// A role of AWS has an account and a name. Other stores leave the account out, or have tenants there.
    fn check_role(&self, settings: &S3Settings) -> Result<(), PropertiesError> {
        let Some(role) = &settings.assume_role else {
            return Ok(());
        };
        let wrong = |what: &str| {
            let reason = format!("{what}; a role's ARN is such as arn:aws:iam::123456789012:role/backup");
            Err(value_of(Setting::IamRoleArn, &reason))
        };
        let parts: Vec<&str> = role.arn.splitn(6, ':').collect();
        let &["arn", partition, service, _, account, resource] = parts.as_slice() else {
            return wrong("is no ARN of a role");
        };
        let name = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next()).unwrap_or("");
        if name.is_empty() {
            return wrong("names no role");
        }
        let of_aws =
            role.sts_endpoint.as_deref().is_none_or(|sts| aws::sts_host(&host_of(sts).to_lowercase()).is_some());
        if !of_aws {
            return Ok(());
        }
        let is_account = account.len() == ACCOUNT_DIGITS && account.bytes().all(|b| b.is_ascii_digit());
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !partition.starts_with("aws") || service != "iam" {
            return wrong("is of no service of AWS that has roles");
        }
        if !is_account {
            return wrong("has no account of twelve digits");
        }
        if name.chars().count() > ROLE_NAME_CHARS_MAX || !name.chars().all(is_of_name) {
            return wrong("has a name that no role can have");
        }
        Ok(())
    }
}

/// Of AWS it is known which classes there are. Other stores have classes of their own: there the proof asks the store.
fn check_storage_class(settings: &S3Settings) -> Result<(), PropertiesError> {
    let of_aws = settings.endpoint.as_deref().is_none_or(|url| aws::s3_host(&host_of(url).to_lowercase()).is_some());
    let Some(class) = settings.writes.storage_class.as_deref().filter(|_| of_aws) else {
        return Ok(());
    };
    let known = StorageClass::values();
    if known.contains(&class) {
        return Ok(());
    }
    let nearest = known
        .iter()
        .map(|known| (nearest::edit_distance(class, known), known))
        .min()
        .filter(|(distance, _)| *distance <= CLASS_DISTANCE_MAX);
    Err(match nearest {
        Some((_, nearest)) => {
            value_of(Setting::StorageClass, &format!("is none of S3's storage classes; did you mean {nearest}?"))
        }
        None => value_of(
            Setting::StorageClass,
            "is none of S3's storage classes; use one such as STANDARD_IA or INTELLIGENT_TIERING, or give aws.s3.endpoint \
             for a store with classes of its own",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::RepositoryProperties;
    use crate::repository::Location;

    const KEYS: [(&str, &str); 2] = [("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s")];

    fn properties(more: &[(&str, &str)]) -> RepositoryProperties {
        RepositoryProperties::parse(more.iter().copied()).unwrap()
    }

    fn location() -> Location {
        "s3://bucket/x".parse().unwrap()
    }

    fn check_with_keys(more: &[(&str, &str)]) -> Result<(), String> {
        let pairs: Vec<(&str, &str)> = KEYS.iter().chain(more).copied().collect();
        properties(&pairs).check(&location()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_role_of_aws_has_an_account_and_a_name() {
        let role = |arn: &str, sts: &[(&str, &str)]| {
            let mut pairs = vec![("aws.s3.iam_role_arn", arn), ("aws.s3.region", "us-west-2")];
            pairs.extend(sts);
            check_with_keys(&pairs)
        };
        let other = [("aws.s3.sts.endpoint", "https://sts.example.com"), ("aws.s3.sts.region", "a-1")];
        let own = [("aws.s3.sts.endpoint", "https://sts.us-west-2.amazonaws.com"), ("aws.s3.sts.region", "us-west-2")];
        for good in [
            "arn:aws:iam::123456789012:role/backup",
            "arn:aws-cn:iam::123456789012:role/path/below/Back_up+=,.@-1",
            "arn:aws-us-gov:iam::000000000000:role/r",
        ] {
            for sts in [&[][..], &other, &own] {
                assert_eq!(role(good, sts), Ok(()), "{good}");
            }
        }
        for (bad, phrase) in [
            ("arn:aws:iam::1:role/r", "no account of twelve digits"),
            ("arn:aws:iam:::role/r", "no account of twelve digits"),
            ("arn:aws:iam::12345678901x:role/r", "no account of twelve digits"),
            ("arn:aws:iam::123456789012:role/r r", "a name that no role can have"),
            ("arn:aws:sts::123456789012:role/r", "no service of AWS that has roles"),
            ("arn:minio:iam::123456789012:role/r", "no service of AWS that has roles"),
        ] {
            for sts in [&[][..], &own] {
                let error = role(bad, sts).unwrap_err();
                assert!(error.contains(phrase) && error.contains("arn:aws:iam::123456789012:role/backup"), "{error}");
            }
            // What others make of the account is theirs.
            assert_eq!(role(bad, &other), Ok(()), "{bad}");
        }
        for nameless in ["arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:role/path/"] {
            for sts in [&[][..], &other] {
                assert!(role(nameless, sts).unwrap_err().contains("names no role"), "{nameless}");
            }
        }
    }

    #[test]
    fn classes_of_aws_are_known() {
        let class = |class: &str, place: (&str, &str)| check_with_keys(&[("aws.s3.storage_class", class), place]);
        let (aws, other) = (("aws.s3.region", "us-west-2"), ("aws.s3.endpoint", "http://127.0.0.1:1"));
        for good in ["STANDARD", "standard_ia", "INTELLIGENT_TIERING", "GLACIER_IR", "ONEZONE_IA", "EXPRESS_ONEZONE"] {
            assert_eq!(class(good, aws), Ok(()));
            assert_eq!(class(good, other), Ok(()));
        }
        let spelled = ("aws.s3.endpoint", "https://s3.us-west-2.amazonaws.com");
        for place in [aws, spelled] {
            assert!(class("STANDRAD_IA", place).unwrap_err().contains("did you mean STANDARD_IA?"));
            assert!(class("TIER2", place).unwrap_err().contains("none of S3's storage classes; use one such as"));
        }
        assert_eq!(class("TIER2", other), Ok(()), "another store may have it");
        assert!(class("deep archive", other).is_err());
    }

    #[test]
    fn plain_http_to_sts_is_asked_for_in_words() {
        let role = [
            ("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/backup"),
            ("aws.s3.endpoint", "store:9000"),
            ("aws.s3.enable_ssl", "false"),
            ("aws.s3.sts.region", "a-1"),
        ];
        let sts = |endpoint| check_with_keys(&[&role[..], &[("aws.s3.sts.endpoint", endpoint)]].concat());
        assert!(sts("store:9001").unwrap_err().contains("speaks of the store alone; write https:// or http://"));
        assert_eq!((sts("http://store:9001"), sts("https://store:9001")), (Ok(()), Ok(())));
    }

    /// What an older version has kept is used as it was, and told of when it is changed.
    #[test]
    fn what_was_kept_goes_on() {
        for half in [("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s"), ("aws.s3.session_token", "t")] {
            for identity in ["aws.s3.use_instance_profile", "aws.s3.use_aws_sdk_default_behavior"] {
                let kept = properties(&[half, (identity, "true"), ("aws.s3.region", "us-west-2")]);
                kept.s3("bucket").unwrap();
                assert!(kept.check(&location()).unwrap_err().to_string().contains("is given without"), "{half:?}");
                let mended = kept.with_changes([(half.0, "")]).unwrap();
                mended.check(&location()).unwrap();
            }
        }
    }
}
