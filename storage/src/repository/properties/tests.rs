//! Goal: the precedence and defaults of the properties, and that no secret ever shows. Method: small property lists.

use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<RepositoryProperties, PropertiesError> {
    RepositoryProperties::parse(pairs.iter().copied())
}

fn s3(pairs: &[(&str, &str)]) -> Result<S3Settings, PropertiesError> {
    parse(pairs)?.s3("bucket")
}

const KEYS: [(&str, &str); 2] = [("aws.s3.access_key", "AKIDCANARY"), ("aws.s3.secret_key", "SECRETCANARY")];

fn with_keys(more: &[(&str, &str)]) -> Vec<(String, String)> {
    KEYS.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn s3_with_keys(more: &[(&str, &str)]) -> Result<S3Settings, PropertiesError> {
    RepositoryProperties::parse(with_keys(more))?.s3("bucket")
}

#[test]
fn identity_precedence() {
    let all = [
        ("aws.s3.use_aws_sdk_default_behavior", "true"),
        ("aws.s3.use_instance_profile", "TRUE"),
        ("aws.s3.access_key", "a"),
        ("aws.s3.secret_key", "s"),
        ("aws.s3.region", "eu-west-1"),
    ];
    assert_eq!(s3(&all).unwrap().credentials, S3Credentials::SdkDefault);
    assert_eq!(s3(&all[1..]).unwrap().credentials, S3Credentials::InstanceProfile);
    assert_eq!(
        s3(&all[2..]).unwrap().credentials,
        S3Credentials::Static { access_key: Secret::new("a"), secret_key: Secret::new("s"), session_token: None }
    );
}

#[test]
fn a_role_wraps_any_identity() {
    let settings = s3(&[
        ("aws.s3.use_instance_profile", "true"),
        ("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/r"),
        ("aws.s3.external_id", "x"),
        ("aws.s3.sts.region", "eu-west-1"),
        ("aws.s3.sts.endpoint", "sts.eu-west-1.amazonaws.com"),
        ("aws.s3.region", "eu-west-1"),
    ])
    .unwrap();
    let role = settings.assume_role.unwrap();
    assert_eq!(settings.credentials, S3Credentials::InstanceProfile);
    assert_eq!(role.sts_endpoint.as_deref(), Some("https://sts.eu-west-1.amazonaws.com"));
    assert_eq!(role.external_id, Some(Secret::new("x")));
}

#[test]
fn legacy_keys_mean_the_same() {
    let settings = s3(&[
        ("fs.s3a.access.key", "a"),
        ("fs.s3a.secret.key", "s"),
        ("fs.s3a.endpoint", "storage.googleapis.com"),
        ("fs.s3a.connection.ssl.enabled", "true"),
        ("fs.s3a.path.style.access", "false"),
    ])
    .unwrap();
    assert_eq!(settings.endpoint.as_deref(), Some("https://storage.googleapis.com"));
    assert!(!settings.path_style);
    assert_eq!(
        s3(&[("AWS_ACCESS_KEY", "a"), ("AWS_SECRET_KEY", "s"), ("AWS_REGION", "x-1")]).unwrap().region.as_deref(),
        Some("x-1")
    );
}

#[test]
fn endpoint_region_and_style_defaults() {
    for (endpoint, more, url, region, path_style) in [
        ("127.0.0.1:9000", Some(("aws.s3.enable_ssl", "false")), "http://127.0.0.1:9000", "us-east-1", true),
        ("http://[::1]:9000/", None, "http://[::1]:9000", "us-east-1", true),
        ("HTTPS://minio.example.com", None, "https://minio.example.com", "us-east-1", true),
        ("s3.eu-west-1.amazonaws.com", None, "https://s3.eu-west-1.amazonaws.com", "eu-west-1", false),
        ("s3.cn-north-1.amazonaws.com.cn", None, "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1", false),
        ("s3.amazonaws.com", None, "https://s3.amazonaws.com", "us-east-1", false),
        ("oss-cn-hangzhou.aliyuncs.com", None, "https://oss-cn-hangzhou.aliyuncs.com", "us-east-1", false),
        ("localhost", Some(("aws.s3.enable_path_style_access", "false")), "https://localhost", "us-east-1", false),
    ] {
        let mut pairs = vec![("aws.s3.endpoint", endpoint)];
        pairs.extend(more);
        let settings = s3_with_keys(&pairs).unwrap();
        assert_eq!(settings.endpoint.as_deref(), Some(url), "{endpoint}");
        assert_eq!(settings.region.as_deref(), Some(region), "{endpoint}");
        assert_eq!(settings.path_style, path_style, "{endpoint}");
    }
    let aws = s3_with_keys(&[("aws.s3.region", "eu-west-1")]).unwrap();
    assert_eq!((aws.endpoint, aws.path_style), (None, false));
    let properties = RepositoryProperties::parse(with_keys(&[("aws.s3.region", "x-1")])).unwrap();
    assert!(properties.s3("bucket_s3").unwrap().path_style);
}

/// Goal: each refusal names the property and says what to do. Method: a phrase of each text.
#[test]
fn refusals() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "no credentials are given"),
        (&[("aws.s3.access_key", "a")], "without aws.s3.secret_key"),
        (&[("aws.s3.secret_key", "a")], "without aws.s3.access_key"),
        (&[("aws.s3.use_instance_profile", "true")], "aws.s3.region is missing"),
        (&[("aws.s3.use_instance_profile", "yes")], "must be \"true\" or \"false\""),
        (&[("aws.s3.acess_key", "a")], "did you mean 'aws.s3.access_key'"),
        (&[("aws.s3.iam_role_arn", "arn:x")], "needs an identity"),
        (&[("aws.s3.session_token", "t")], "aws.s3.session_token is given without"),
        (&[("aws.s3.region", "a"), ("fs.s3a.endpoint.region", "b")], "'aws.s3.region' is given twice"),
        (&[("aws.s3.region", "a"), ("AWS.s3.region", "b")], "is given twice"),
        (
            &[("aws.s3.use_aws_sdk_default_behavior", "true"), ("aws.s3.external_id", "x")],
            "without aws.s3.iam_role_arn",
        ),
        (
            &[("aws.s3.use_aws_sdk_default_behavior", "true"), ("aws.s3.sts.region", "x-1")],
            "aws.s3.sts.region is given without aws.s3.iam_role_arn",
        ),
        (&[("aws.s3.use_aws_sdk_default_behavior", "true"), ("aws.s3.iam_role_arn", "backup")], "must be a role ARN"),
        (
            &[
                ("aws.s3.use_aws_sdk_default_behavior", "true"),
                ("aws.s3.iam_role_arn", "arn:aws:iam::1:role/r"),
                ("aws.s3.sts.endpoint", "x"),
            ],
            "without aws.s3.sts.region",
        ),
    ];
    for (pairs, phrase) in cases {
        let error = s3(pairs).unwrap_err().to_string();
        assert!(error.contains(phrase), "{pairs:?}: {error}");
    }
    for (endpoint, ssl, phrase) in [
        ("http://h", "true", "make them agree"),
        ("https://h", "false", "make them agree"),
        ("ftp://h", "true", "must begin with http://"),
        ("https://", "true", "has no host"),
        ("https://u:p@h", "true", "must not carry credentials"),
        ("h?x=1", "true", "must not have a query"),
        ("https:///h", "true", "has no host"),
        ("h:9000/secret", "true", "belong into the location; write https://h:9000"),
        ("HTTP://h//", "false", "must not have a path"),
        ("http:/h:9000", "false", "which needs two slashes: write http://host:port"),
        ("HTTPS:/h:9000", "true", "which needs two slashes: write https://host:port"),
        ("http:h", "false", "which needs two slashes: write http://host:port"),
        ("h\\\\secret", "true", "is no address"),
    ] {
        let error = s3_with_keys(&[("aws.s3.endpoint", endpoint), ("aws.s3.enable_ssl", ssl)]).unwrap_err().to_string();
        assert!(error.contains(phrase), "{endpoint}: {error}");
    }
}

/// Goal: no endpoint leads to another bucket than the location's, also of a repository that was stored when it was taken.
#[test]
fn endpoints_have_no_path() {
    for path in ["secret", "secret/", "//", "a/b", "/bucket", "..", "%2e"] {
        for host in ["http://127.0.0.1:24400", "s3.eu-west-1.amazonaws.com"] {
            let endpoint = format!("{host}/{path}");
            let given = [("aws.s3.endpoint", endpoint.as_str()), ("aws.s3.enable_path_style_access", "true")];
            let error = s3_with_keys(&given).unwrap_err().to_string();
            let right = format!("; write {}{host}", if host.contains("://") { "" } else { "https://" });
            assert!(error.contains("'aws.s3.endpoint' must not have a path") && error.ends_with(&right), "{error}");
            let stored = RepositoryProperties::from_exposed_pairs(with_keys(&given)).unwrap();
            assert_eq!(stored.s3("bucket").unwrap_err().to_string(), error);
            let right = stored.with_changes([("aws.s3.endpoint", host)]).unwrap();
            right.s3("bucket").unwrap();
        }
        let of_sts = [
            ("aws.s3.region", "x-1"),
            ("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/r"),
            ("aws.s3.sts.region", "x-1"),
            ("aws.s3.sts.endpoint", &format!("sts.example.com/{path}")),
        ];
        let error = s3_with_keys(&of_sts).unwrap_err().to_string();
        assert!(
            error.ends_with("'aws.s3.sts.endpoint' must not have a path; write https://sts.example.com"),
            "{error}"
        );
    }
}

/// Goal: what contradicts itself, or is only half there, is refused by name. Method: each set beside good keys.
#[test]
fn contradictions() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("aws.s3.region", "US West (Oregon)")], "'aws.s3.region' must be a region's name"),
        (
            &[("aws.s3.region", "us-west-2"), ("aws.s3.endpoint", "s3.eu-west-1.amazonaws.com")],
            "aws.s3.region is 'us-west-2' but aws.s3.endpoint is in 'eu-west-1'",
        ),
        (&[("aws.s3.region", "x-1"), ("aws.s3.enable_ssl", "false")], "without aws.s3.endpoint"),
        (&[("aws.s3.endpoint", "bucket.s3.eu-west-1.amazonaws.com")], "write s3.eu-west-1.amazonaws.com"),
        (&[("aws.s3.endpoint", "h:port")], "is no address"),
        (&[("aws.s3.endpoint", "h:1:2")], "is no address"),
        (&[("aws.s3.endpoint", "http://h"), ("aws.s3.ca_bundle", "/ca.pem")], "has no certificates"),
        (&[("aws.s3.endpoint", "https://h"), ("aws.s3.ca_bundle", "ca.pem")], "absolute path"),
        (&[("aws.s3.region", "x-1"), ("aws.s3.sse", "aes")], "must be \"AES256\""),
        (&[("aws.s3.region", "x-1"), ("aws.s3.sse_kms_key_id", "k")], "without \"aws.s3.sse\" = \"aws:kms\""),
        (&[("aws.s3.region", "x-1"), ("aws.s3.storage_class", "GLACIER")], "GLACIER_IR"),
        (&[("aws.s3.region", "x-1"), ("aws.s3.storage_class", "cheap one")], "such as STANDARD_IA"),
        (&[("aws.s3.region", "x-1"), ("aws.s3.object_lock_mode", "GOVERNANCE")], "without aws.s3.object_lock_days"),
        (&[("aws.s3.region", "x-1"), ("aws.s3.object_lock_days", "1")], "without aws.s3.object_lock_mode"),
        (
            &[("aws.s3.region", "x-1"), ("aws.s3.object_lock_mode", "WORM"), ("aws.s3.object_lock_days", "1")],
            "\"GOVERNANCE\" or \"COMPLIANCE\"",
        ),
        (
            &[("aws.s3.region", "x-1"), ("aws.s3.object_lock_mode", "compliance"), ("aws.s3.object_lock_days", "0")],
            "from 1 to 36500",
        ),
    ];
    for (pairs, phrase) in cases {
        let error = s3_with_keys(pairs).unwrap_err().to_string();
        assert!(error.contains(phrase), "{pairs:?}: {error}");
    }
}

#[test]
fn what_the_store_is_asked_to_do() {
    let settings = s3_with_keys(&[
        ("aws.s3.region", "x-1"),
        ("aws.s3.sse", "aws:kms"),
        ("aws.s3.sse_kms_key_id", "alias/backup"),
        ("aws.s3.storage_class", "STANDARD_IA"),
        ("aws.s3.object_lock_mode", "GOVERNANCE"),
        ("aws.s3.object_lock_days", "30"),
    ])
    .unwrap();
    assert_eq!(
        settings.writes,
        WriteOptions {
            encryption: Some(Encryption::Kms { key_id: Some("alias/backup".into()) }),
            storage_class: Some("STANDARD_IA".into()),
            lock: Some(ObjectLock { mode: LockMode::Governance, days: 30 }),
        }
    );
}

#[test]
fn keys_without_consequence_are_kept_and_listed() {
    let properties = parse(&[
        ("aws.s3.use_aws_sdk_default_behavior", "true"),
        ("hadoop.username", "u"),
        ("fs.s3a.threads.max", "20"),
        ("password", "CANARY"),
        ("fs.s3a.requester.pays.enabled", "false"),
    ])
    .unwrap();
    assert_eq!(
        properties.ignored_keys(),
        ["hadoop.username", "fs.s3a.threads.max", "password", "fs.s3a.requester.pays.enabled"]
    );
    assert_eq!(properties.masked()[2], ("fs.s3a.threads.max".to_owned(), "20".to_owned()));
    assert_eq!(properties.masked()[3], ("password".to_owned(), "***".to_owned()));
}

/// Goal: half a set of keys is refused whoever signs, and a whole one is not.
#[test]
fn half_a_set_of_keys() {
    let (access, secret, token) =
        (("aws.s3.access_key", "AKIDCANARY"), ("aws.s3.secret_key", "CANARY"), ("aws.s3.session_token", "CANARY"));
    let location = "s3://bucket/x".parse().unwrap();
    for identity in ["aws.s3.use_aws_sdk_default_behavior", "aws.s3.use_instance_profile", "hadoop.x"] {
        for (half, phrase) in [
            (&[access][..], "aws.s3.access_key is given without aws.s3.secret_key"),
            (&[access, token], "aws.s3.access_key is given without aws.s3.secret_key"),
            (&[secret], "aws.s3.secret_key is given without aws.s3.access_key"),
            (&[token], "aws.s3.session_token is given without aws.s3.access_key and aws.s3.secret_key"),
        ] {
            let pairs = [&[(identity, "true"), ("aws.s3.region", "x-1")], half].concat();
            let error = parse(&pairs).unwrap().check(&location).unwrap_err().to_string();
            assert!(error.contains(phrase) && !error.contains("CANARY"), "{pairs:?}: {error}");
        }
        for whole in [&[access, secret][..], &[access, secret, token]] {
            let pairs = [&[(identity, "true"), ("aws.s3.region", "x-1")], whole].concat();
            parse(&pairs).unwrap().check(&location).unwrap();
        }
    }
}

/// Goal: nothing that asks for something is passed over. Method: keys that nobody knows, and those of other products that
/// are not served, with a phrase of what is said.
#[test]
fn keys_that_are_refused() {
    for (key, value, phrase) in [
        ("fs.s3a.acess.key", "CANARY", "did you mean 'fs.s3a.access.key'?"),
        ("s3.sesion_token", "CANARY", "did you mean 's3.session_token'?"),
        ("fs.s3a.object.lock.days", "9", "unknown repository property 'fs.s3a.object.lock.days'"),
        ("asw.s3.object_lock_days", "9", "did you mean 'aws.s3.object_lock_days'?"),
        ("some.api_token", "CANARY", "leave it out"),
        ("location", "s3://other/place", "a repository stays where it is"),
        ("fs.s3a.aws.credentials.provider", "org.x.Provider", "aws.s3.use_instance_profile"),
        ("fs.s3a.acl.default", "BucketOwnerFullControl", "no ACL of their own"),
        ("s3.sse.type", "kms", "write aws.s3.sse"),
        ("fs.s3a.bucket.mine.endpoint", "h", "without 'bucket.' and its name"),
        ("fs.oss.accessKeySecret", "CANARY", "S3 interface"),
        ("fs.s3a.proxy.host", "h", "without a proxy"),
        ("fs.s3a.requester.pays.enabled", "true", "bucket of yours"),
        ("fs.s3a.encryption.algorithm", "SSE-C", "keys that the client keeps are not supported"),
        ("CANARY-secret", "aws.s3.secret_key", "'aws.s3.secret_key' stands where a value belongs"),
        ("no\nsuch", "x", "of 7 characters"),
        ("aws.s3.secret_key=CANARY", "", "unknown repository property 'aws.s3.secret_key…'; did you mean"),
        ("CANARYsecretASkey", "x", "unknown repository property of 17 characters; leave it out"),
        ("hadoop.token=CANARY", "x", "unknown repository property 'hadoop.token…'"),
        ("fs.oss.accessKeySecret=CANARY", "x", "unknown repository property 'fs.oss.accessKeySecret…'"),
    ] {
        let error = s3_with_keys(&[("aws.s3.region", "x-1"), (key, value)]).unwrap_err().to_string();
        assert!(error.contains(phrase), "{key}: {error}");
        assert!(!error.contains("CANARY") && !error.contains('\n'), "{key}: {error}");
    }
    // What an empty text asks for is nothing.
    s3_with_keys(&[("aws.s3.region", "x-1"), ("fs.s3a.acl.default", "")]).unwrap();
}

/// Goal: a directory takes no property, so that nobody relies on a lock or an encryption that is not there.
#[test]
fn directories_have_no_properties() {
    let directory = Location::parse("file:///somewhere").unwrap();
    let bucket = Location::parse("s3://bucket/x").unwrap();
    for (key, value) in [
        ("aws.s3.object_lock_mode", "COMPLIANCE"),
        ("aws.s3.sse", "AES256"),
        ("aws.s3.access_key", "half"),
        ("fs.s3a.create.storage.class", "standard_ia"),
        ("aws.s3.use_instance_profile", "false"),
        ("fs.s3a.threads.max", "5"),
    ] {
        let error = parse(&[(key, value)]).unwrap().check(&directory).unwrap_err().to_string();
        assert!(error.contains(&format!("'{key}'")) && error.contains("file:// repository"), "{error}");
    }
    let empty = parse(&[("fs.s3a.threads.max", ""), ("password", " ")]).unwrap();
    empty.check(&directory).unwrap();
    assert_eq!(empty.masked(), []);
    parse(&[]).unwrap().check(&directory).unwrap();
    parse(&[]).unwrap().check(&bucket).unwrap_err();
    RepositoryProperties::parse(with_keys(&[("aws.s3.region", "x-1")])).unwrap().check(&bucket).unwrap();
}

#[test]
fn settings_of_hadoop() {
    for (algorithm, encryption) in [
        ("AES256", Encryption::Aes256),
        ("SSE-S3", Encryption::Aes256),
        ("SSE-KMS", Encryption::Kms { key_id: None }),
        ("DSSE-KMS", Encryption::KmsDsse { key_id: None }),
    ] {
        let settings =
            s3_with_keys(&[("aws.s3.region", "x-1"), ("fs.s3a.server-side-encryption-algorithm", algorithm)]).unwrap();
        assert_eq!(settings.writes.encryption, Some(encryption), "{algorithm}");
    }
    let more = [
        ("fs.s3a.endpoint.region", "x-1"),
        ("fs.s3a.encryption.algorithm", "SSE-KMS"),
        ("fs.s3a.encryption.key", "alias/k"),
        ("fs.s3a.create.storage.class", "standard_ia"),
    ];
    let writes = s3_with_keys(&more).unwrap().writes;
    assert_eq!(writes.encryption, Some(Encryption::Kms { key_id: Some("alias/k".into()) }));
    assert_eq!(writes.storage_class.as_deref(), Some("STANDARD_IA"));
    let glacier = [("aws.s3.region", "x-1"), ("fs.s3a.create.storage.class", "glacier")];
    assert!(s3_with_keys(&glacier).unwrap_err().to_string().contains("must not be GLACIER"));
}

#[test]
fn endpoints_of_aws_say_their_region() {
    for (endpoint, region) in [
        ("bucket.vpce-1a-2b.s3.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
    ] {
        let settings = s3_with_keys(&[("aws.s3.endpoint", endpoint)]).unwrap();
        assert_eq!((settings.region.as_deref(), settings.path_style), (Some(region), false), "{endpoint}");
    }
    let accelerated = ("aws.s3.endpoint", "https://s3-accelerate.amazonaws.com");
    let error = s3_with_keys(&[accelerated]).unwrap_err().to_string();
    assert!(error.contains("aws.s3.region is missing"), "{error}");
    s3_with_keys(&[accelerated, ("aws.s3.region", "eu-west-1")]).unwrap();
}

/// Goal: a template that was not filled in is not taken for a property that was left out, whichever it is.
#[test]
fn a_setting_without_a_value_is_refused() {
    for (key, _) in super::keys::KEYS {
        for empty in ["", " "] {
            let error = parse(&[(key, empty)]).unwrap_err().to_string();
            assert_eq!(error, format!("repository property '{key}' is empty: give a value, or leave the property out"));
        }
    }
    let kept = vec![("aws.s3.endpoint".to_owned(), String::new()), ("aws.s3.region".to_owned(), "x-1".to_owned())];
    let kept = RepositoryProperties::from_exposed_pairs(kept).unwrap();
    assert!(kept.with_changes(with_keys(&[])).unwrap().s3("bucket").unwrap().endpoint.is_none());
}

/// Goal: what older servers have stored is still read, and can be taken away, but not given anew.
#[test]
fn what_was_taken_before() {
    let pairs = [("aws.s3.use_aws_sdk_default_behavior", "true"), ("some.api_token", "CANARY")];
    let stored = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let old = RepositoryProperties::from_exposed_pairs(stored).unwrap();
    assert_eq!(old.ignored_keys(), ["some.api_token"]);
    assert_eq!(old.masked()[1].1, "***");
    old.with_changes([("aws.s3.region", "x-1")]).unwrap();
    old.with_changes([("some.api_token", "other")]).unwrap_err();
    old.with_changes([("some.other_token", "")]).unwrap_err();
    assert!(old.with_changes([("some.api_token", "")]).unwrap().ignored_keys().is_empty());
}

#[test]
fn nothing_shows_a_secret() {
    let properties = RepositoryProperties::parse(with_keys(&[
        ("aws.s3.session_token", "TOKENCANARY"),
        ("aws.s3.region", "eu-west-1"),
    ]))
    .unwrap();
    let (masked, settings, secrets) = (properties.masked(), properties.s3("bucket"), properties.secrets());
    let seen = format!("{properties:?} {masked:?} {settings:?} {secrets:?}");
    assert!(!seen.contains("CANARY"), "{seen}");
    assert!(seen.contains("eu-west-1"));
}

#[test]
fn changes_replace_every_spelling() {
    let properties =
        parse(&[("fs.s3a.access.key", "a"), ("fs.s3a.secret.key", "s"), ("aws.s3.region", "x-1")]).unwrap();
    let rotated = properties.with_changes([("aws.s3.access_key", "b"), ("aws.s3.secret_key", "t")]).unwrap();
    let S3Credentials::Static { access_key, .. } = rotated.s3("bucket").unwrap().credentials else {
        panic!("static keys expected");
    };
    assert_eq!(access_key.expose(), "b");
    assert_eq!(rotated.masked().len(), 3);
}

#[test]
fn changes_take_away_what_goes_with_the_old_keys() {
    let properties = parse(&[
        ("aws.s3.access_key", "a"),
        ("aws.s3.secret_key", "s"),
        ("s3.session_token", "old"),
        ("aws.s3.region", "x-1"),
    ])
    .unwrap();
    let token = |properties: &RepositoryProperties| match properties.s3("bucket").unwrap().credentials {
        S3Credentials::Static { session_token, .. } => session_token.map(|token| token.expose().to_owned()),
        other => panic!("static keys expected, not {other:?}"),
    };
    let rotated = properties.with_changes([("aws.s3.access_key", "b"), ("aws.s3.secret_key", "t")]).unwrap();
    assert_eq!(token(&rotated), None);
    let renewed = properties.with_changes([("aws.s3.session_token", "new")]).unwrap();
    assert_eq!(token(&renewed).as_deref(), Some("new"));
    let without = properties.with_changes([("aws.s3.session_token", "")]).unwrap();
    assert_eq!(token(&without), None);
    assert_eq!(without.masked().len(), 3);
}
