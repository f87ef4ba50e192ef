//! Goal: no place is reached that the policy forbids, by whatever spelling. Method: the checks, on tables of endpoints.

use super::*;
use crate::repository::RepositoryProperties;

fn policy(allowlist: &[&str]) -> RepositoryPolicy {
    let location_allowlist = allowlist.iter().map(|pattern| pattern.parse().unwrap()).collect();
    RepositoryPolicy { location_allowlist, ..RepositoryPolicy::default() }
}

fn settings(endpoint: &str) -> S3Settings {
    let mut pairs = vec![("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s")];
    match endpoint {
        "" => pairs.push(("aws.s3.region", "eu-west-1")),
        endpoint if endpoint.contains("s3-accelerate") => {
            pairs.extend([("aws.s3.region", "eu-west-1"), ("aws.s3.endpoint", endpoint)]);
        }
        endpoint => pairs.push(("aws.s3.endpoint", endpoint)),
    }
    RepositoryProperties::parse(pairs).unwrap().s3("backup").unwrap()
}

fn settings_of_sts(endpoint: &str) -> S3Settings {
    let pairs = [
        ("aws.s3.access_key", "a"),
        ("aws.s3.secret_key", "s"),
        ("aws.s3.region", "eu-west-1"),
        ("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/r"),
        ("aws.s3.sts.region", "eu-west-1"),
        ("aws.s3.sts.endpoint", endpoint),
    ];
    RepositoryProperties::parse(pairs).unwrap().s3("backup").unwrap()
}

/// Goal: no spelling of a metadata service passes, for S3 or STS, unless the operator names its address.
#[test]
fn metadata_services_are_refused() {
    for endpoint in [
        "http://169.254.169.254",
        "http://169.254.170.2:80/",
        "http://169.254.170.23",
        "http://168.63.129.16",
        "http://100.100.100.200",
        "http://[fe80::1]",
        "http://[fd00:ec2::23]",
        "http://[fd00:ec2::254]",
        "http://[::ffff:169.254.169.254]",
        "http://[::ffff:a9fe:a9fe]",
        "http://[::169.254.169.254]",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[64:ff9b:1::1]",
        "http://METADATA.google.internal",
        "http://2852039166",
        "http://0251.0376.0251.0376",
        "http://169.254.169.254.",
        "http://0XA9.254.0251.254",
    ] {
        for allowlist in [&[][..], &["*"], &["*/*"], &["1*/*", "[::ffff:1.2.3.4]/*"]] {
            for settings in [settings(endpoint), settings_of_sts(endpoint)] {
                let error = policy(allowlist).check_bucket("backup", &settings).unwrap_err().to_string();
                assert!(error.contains("link-local or metadata address"), "{endpoint}: {error}");
            }
        }
    }
    policy(&["169.254.1.1/*"]).check_bucket("backup", &settings("http://169.254.1.1")).unwrap();
    assert!(policy(&["169.254.1.1/*"]).allows_address("169.254.1.1".parse().unwrap()));
    policy(&[]).check_bucket("backup", &settings("http://127.0.0.1:9000")).unwrap();
    policy(&[]).check_bucket("backup", &settings("http://[::1]:9000")).unwrap();
    assert!(!policy(&[]).allows_address("169.254.169.254".parse().unwrap()));
    assert!(!policy(&["s3.example.com/*"]).allows_address("64:ff9b::a9fe:a9fe".parse().unwrap()));
    assert!(policy(&[]).allows_address("10.0.0.1".parse().unwrap()));
}

/// A bucket's name stands before the host where hosts are virtual, so numbers must not be put together with it.
#[test]
fn addresses_are_written_in_one_way() {
    for (endpoint, said) in [
        ("http://127.1:9000", "write it as 127.0.0.1"),
        ("http://0x7f000001", "write it as 127.0.0.1"),
        ("http://254.169.254", "write it as 254.169.0.254"),
        ("http://1.2.3.4.5", "neither a host's name nor an address"),
    ] {
        let error = policy(&[]).check_bucket("backup", &settings(endpoint)).unwrap_err().to_string();
        assert!(error.contains(said), "{endpoint}: {error}");
    }
}

#[test]
fn the_allowlist_has_buckets_of_aws_and_buckets_of_hosts() {
    for (allowlist, endpoint, allowed) in [
        (&["backup"][..], "", true),
        (&["back*"], "", true),
        (&["other"], "", false),
        // The endpoints of AWS are AWS, in every partition.
        (&["backup"], "https://s3.eu-west-1.amazonaws.com", true),
        (&["backup"], "https://s3.dualstack.eu-west-1.amazonaws.com", true),
        (&["backup"], "https://s3-fips.us-gov-west-1.amazonaws.com", true),
        (&["backup"], "https://s3-accelerate.amazonaws.com", true),
        (&["backup"], "https://s3.cn-north-1.amazonaws.com.cn", true),
        (&["backup"], "https://bucket.vpce-1a-2b.s3.eu-west-1.vpce.amazonaws.com", true),
        (&["other"], "https://s3.eu-west-1.amazonaws.com", false),
        // A machine of a customer of AWS is not.
        (&["backup"], "https://ec2-203-0-113-1.compute-1.amazonaws.com", false),
        (&["backup"], "https://s3-1.us-east-1.elb.amazonaws.com", false),
        // A bucket of AWS is no licence to send it elsewhere, and its pattern is no host's.
        (&["backup"], "https://evil.example.com", false),
        (&["backup"], "https://backup", false),
        (&["back*"], "https://backups.evil.example.com", false),
        (&["*"], "https://evil.example.com", false),
        (&["s3.example.com"], "https://s3.example.com", false),
        // Nor is a host's pattern a bucket's.
        (&["backup/x"], "", false),
        (&["*.example.com/*"], "https://s3.EXAMPLE.com:9000", true),
        (&["*.example.com/*"], "https://s3.example.com.", true),
        (&["*.example.com/*"], "https://s3.example.org", false),
        (&["s3.example.com/back*"], "https://s3.example.com", true),
        (&["s3.example.com/other"], "https://s3.example.com", false),
        (&["s3.example.com/backup"], "", false),
        (&["*/*"], "https://s3.example.com", true),
        (&["*/*"], "", true),
        (&["s3.eu-west-1.amazonaws.com/backup"], "", true),
        (&["s3.eu-west-2.amazonaws.com/backup"], "", false),
        (&["127.0.0.1/*"], "http://127.0.0.1:9000", true),
        (&["[::1]/*"], "http://[::1]:9000", true),
    ] {
        let checked = policy(allowlist).check_bucket("backup", &settings(endpoint));
        assert_eq!(checked.is_ok(), allowed, "{allowlist:?} {endpoint}: {checked:?}");
    }
    let error = policy(&["x"]).check_bucket("backup", &settings("http://s3.example.com:9000")).unwrap_err();
    assert!(error.to_string().contains("add 's3.example.com/backup' there"), "{error}");
    let error = policy(&["x"]).check_bucket("backup", &settings("")).unwrap_err();
    assert!(error.to_string().contains("bucket 'backup' of AWS") && error.to_string().contains("add 'backup' there"));
}

#[test]
fn the_allowlist_has_hosts_of_sts() {
    for (allowlist, endpoint, allowed) in [
        (&["backup"][..], "https://sts.eu-west-1.amazonaws.com", true),
        (&["backup"], "https://sts.cn-north-1.amazonaws.com.cn", true),
        (&["backup"], "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com", true),
        (&["backup"], "https://sts.example.com", false),
        (&["backup"], "https://ec2-203-0-113-1.compute-1.amazonaws.com", false),
        (&["backup", "sts.example.com/*"], "https://sts.example.com", true),
        (&["backup", "sts.example.com"], "https://sts.example.com", false),
    ] {
        let checked = policy(allowlist).check_bucket("backup", &settings_of_sts(endpoint));
        assert_eq!(checked.is_ok(), allowed, "{allowlist:?} {endpoint}: {checked:?}");
    }
}

#[test]
fn directories_stay_below_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("there")).unwrap();
    std::os::unix::fs::symlink("/", root.join("way-out")).unwrap();
    let policy = RepositoryPolicy { file_root: Some(root.clone()), ..RepositoryPolicy::default() };
    policy.check_directory(&root.join("there")).unwrap();
    policy.check_directory(&root.join("not/yet/there")).unwrap();
    for outside in [root.clone(), dir.path().join("rooted"), root.join("way-out/tmp/x"), "/etc".into()] {
        let error = policy.check_directory(&outside).unwrap_err().to_string();
        assert!(error.contains("repository_file_root"), "{error}");
    }
}

/// Goal: a CA bundle tells nothing of files elsewhere. Method: what is said of one that is there and of one that is not.
#[test]
fn certificates_stay_below_their_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("certificates");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("ca.pem"), "x").unwrap();
    std::fs::write(dir.path().join("there"), "x").unwrap();
    std::os::unix::fs::symlink(dir.path().join("there"), root.join("link")).unwrap();
    let policy = RepositoryPolicy { ca_bundle_root: Some(root.clone()), ..RepositoryPolicy::default() };
    assert!(policy.ca_bundle_file(&root.join("ca.pem")).unwrap().ends_with("certificates/ca.pem"));
    policy.ca_bundle_file(&root.join("not-there.pem")).unwrap();
    let said = |path: PathBuf| {
        let error = policy.ca_bundle_file(&path).unwrap_err().to_string();
        error.replace(&path.display().to_string(), "<it>")
    };
    let there = said(dir.path().join("there"));
    assert!(there.contains("s3_ca_bundle_root"), "{there}");
    assert_eq!(there, said(dir.path().join("nowhere")));
    assert_eq!(there, said(dir.path().join("there/below-a-file")));
    assert_eq!(there, said(root.join("link")));
    assert_eq!(there, said(root.join("../there")));
    policy.ca_bundle_file(&root).unwrap_err();
}

/// Goal: certificates that cannot be used are told of when a server starts, with their path.
#[tokio::test]
async fn bundles_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.pem");
    std::fs::write(&none, "no certificate").unwrap();
    for (path, reason) in [
        (folder.path().join("nowhere.pem"), "No such file"),
        (folder.path().to_owned(), "it is no regular file"),
        (none, "there is no certificate in it"),
    ] {
        let policy = RepositoryPolicy { ca_bundle: Some(path.clone()), ..RepositoryPolicy::default() };
        let error = policy.check_ca_bundle().await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("s3_ca_bundle is {}, which", path.display())), "{error}");
        assert!(error.contains(reason) && error.contains("or leave it out"), "{error}");
    }
    RepositoryPolicy::default().check_ca_bundle().await.unwrap();
}
