//! Which host names are AWS's own, and which region they spell out.
//!
//! Below AWS's domains lie machines and load balancers of its customers too, so a domain says nothing: only the names
//! under which S3 and STS themselves are reached count, in every partition, with or without dual stack or FIPS,
//! accelerated, or as an interface endpoint of a private network.

/// The domains of AWS's partitions.
const PARTITION_DOMAINS: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "csp.hci.ic.gov",
    "cloud.adc-e.uk",
];

/// A host of one of AWS's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) struct AwsHost<'a> {
    /// The region it is of; `None` for those that serve several.
    pub(in crate::repository) region: Option<&'a str>,
}

/// The host as one that S3 is reached at.
pub(in crate::repository) fn s3_host(host: &str) -> Option<AwsHost<'_>> {
    service_host(host, "s3")
}

/// The host as one that STS is reached at.
pub(in crate::repository) fn sts_host(host: &str) -> Option<AwsHost<'_>> {
    service_host(host, "sts")
}

/// `host` is in lower case.
fn service_host<'a>(host: &'a str, service: &str) -> Option<AwsHost<'a>> {
    let name = PARTITION_DOMAINS.iter().find_map(|domain| host.strip_suffix(domain)?.strip_suffix('.'))?;
    let labels: Vec<&str> = name.split('.').collect();
    // `[bucket.]vpce-<id>.s3.<region>.vpce`: an interface endpoint.
    if let [before @ .., id, of, region, "vpce"] = labels.as_slice() {
        let is_one = before.len() <= 1 && id.starts_with("vpce-") && *of == service && is_region(region);
        return is_one.then_some(AwsHost { region: Some(region) });
    }
    let (first, rest) = labels.split_first()?;
    let suffix = first.strip_prefix(service)?;
    let rest = match rest {
        ["dualstack", rest @ ..] => rest,
        rest => rest,
    };
    let region = match (suffix.strip_prefix("-fips").unwrap_or(suffix), rest) {
        ("" | "-accelerate", []) => None,
        ("-external-1", []) => Some("us-east-1"),
        ("", [region]) if is_region(region) => Some(*region),
        // `s3-eu-west-1`, as it was once written.
        (old, []) => Some(old.strip_prefix('-').filter(|region| is_region(region))?),
        _ => return None,
    };
    Some(AwsHost { region })
}

/// `us-west-2`, `us-gov-east-1`, `eusc-de-east-1`: letters, then words, then a number.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    match parts.as_slice() {
        [area, words @ .., number] => {
            (2..=4).contains(&area.len())
                && area.bytes().all(|b| b.is_ascii_lowercase())
                && !words.is_empty()
                && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_s3() {
        for (host, region) in [
            ("s3.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.dualstack.us-west-2.amazonaws.com", Some("us-west-2")),
            ("s3-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("s3-fips-us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("s3-fips.dualstack.us-east-2.amazonaws.com", Some("us-east-2")),
            ("s3-external-1.amazonaws.com", Some("us-east-1")),
            ("s3-accelerate.amazonaws.com", None),
            ("s3-accelerate.dualstack.amazonaws.com", None),
            ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("s3.dualstack.cn-northwest-1.amazonaws.com.cn", Some("cn-northwest-1")),
            ("s3.eusc-de-east-1.amazonaws.eu", Some("eusc-de-east-1")),
            ("s3.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1")),
            ("bucket.vpce-0a1b-2c3d.s3.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
            ("vpce-0a1b-2c3d.s3.eu-central-1.vpce.amazonaws.com", Some("eu-central-1")),
        ] {
            assert_eq!(s3_host(host), Some(AwsHost { region }), "{host}");
        }
        assert_eq!(sts_host("sts.eu-west-1.amazonaws.com"), Some(AwsHost { region: Some("eu-west-1") }));
        assert_eq!(sts_host("sts.amazonaws.com"), Some(AwsHost { region: None }));
        assert!(sts_host("vpce-1-2.sts.us-east-1.vpce.amazonaws.com").is_some());
    }

    /// Goal: what a customer of AWS can name is not taken for AWS.
    #[test]
    fn hosts_of_others() {
        for host in [
            "amazonaws.com",
            "s3.amazonaws.com.example.com",
            "evil-s3.amazonaws.com",
            "s3.evilamazonaws.com",
            "ec2-203-0-113-1.compute-1.amazonaws.com",
            "s3-123456.us-east-1.elb.amazonaws.com",
            "s3.123456.us-east-1.elb.amazonaws.com",
            "abc.execute-api.us-east-1.amazonaws.com",
            "s3.execute-api.us-east-1.amazonaws.com",
            "s3-website-us-east-1.amazonaws.com",
            "s3.us-east-1.vpce.amazonaws.com",
            "vpce-1.vpce-svc-2.us-east-1.vpce.amazonaws.com",
            "a.b.vpce-1.s3.us-east-1.vpce.amazonaws.com",
            "sts.us-east-1.amazonaws.com",
            "s3.",
            "",
        ] {
            assert_eq!(s3_host(host), None, "{host}");
        }
    }
}
