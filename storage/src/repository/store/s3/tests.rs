//! Goal: whatever is put carries what the properties ask for. Method: the requests, looked at before they are sent.

use super::*;
use crate::repository::properties::LockMode;
use crate::repository::{Location, RepositoryPolicy, RepositoryProperties};

/// A store that is asked for everything, or for what `more` leaves of it.
async fn store(more: &[(&str, &str)]) -> S3Store {
    let pairs = [("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s"), ("aws.s3.endpoint", "http://127.0.0.1:9")];
    let properties = RepositoryProperties::parse(pairs.iter().chain(more).copied()).unwrap();
    let Location::S3(place) = Location::parse("s3://bucket/x").unwrap() else {
        panic!("it is a bucket");
    };
    let (settings, context) = (properties.s3("bucket").unwrap(), RepositoryContext::default());
    let (secrets, stats) = (Vec::new(), StoreStats::new());
    S3Store::connect(&place, &settings, secrets, Patience::Job, Capabilities::ALL, stats, &context).await.unwrap()
}

const ALL: [(&str, &str); 5] = [
    ("aws.s3.sse", "aws:kms"),
    ("aws.s3.sse_kms_key_id", "alias/backup"),
    ("aws.s3.storage_class", "STANDARD_IA"),
    ("aws.s3.object_lock_mode", "COMPLIANCE"),
    ("aws.s3.object_lock_days", "1"),
];

#[tokio::test]
async fn every_proof_is_put_as_a_segment_is() {
    let inner = store(&ALL).await.inner();
    let segment = layout::object(crate::catalog::FileKind::Segment, &crate::digest::Digest::of(b"x"));
    let parts =
        [LockMode::Governance, LockMode::Compliance].map(|mode| layout::probe_lock_parts(mode, &"0a".repeat(16)));
    for key in layout::probes().iter().chain(&parts).chain([&segment]) {
        let (put, upload) = (inner.creating_put(key.as_str()), inner.creating_upload(key.as_str()));
        let (put, upload) = (put.as_input(), upload.as_input());
        assert_eq!(put.get_if_none_match().as_deref(), Some(NOTHING), "{key}");
        assert_eq!(put.get_server_side_encryption(), &Some(ServerSideEncryption::AwsKms), "{key}");
        assert_eq!(put.get_ssekms_key_id().as_deref(), Some("alias/backup"), "{key}");
        assert_eq!(put.get_storage_class(), &Some(StorageClass::StandardIa), "{key}");
        // Proofs stay free, but the one of this lock.
        let locked = *key == segment || *key == layout::probe_lock(LockMode::Compliance) || *key == parts[1];
        assert_eq!(put.get_object_lock_mode().is_some(), locked, "{key}");
        assert_eq!(put.get_object_lock_retain_until_date().is_some(), locked, "{key}");

        assert_eq!(upload.get_server_side_encryption(), put.get_server_side_encryption(), "{key}");
        assert_eq!(upload.get_ssekms_key_id(), put.get_ssekms_key_id(), "{key}");
        assert_eq!(upload.get_storage_class(), put.get_storage_class(), "{key}");
        assert_eq!(upload.get_object_lock_mode(), put.get_object_lock_mode(), "{key}");
    }
    let info = inner.creating_put(layout::repository_info().as_str());
    assert_eq!(info.as_input().get_server_side_encryption(), &Some(ServerSideEncryption::AwsKms));
    assert_eq!(info.as_input().get_storage_class(), &None);
}

/// Goal: the configuration's certificates are of consequence where there are such. Method: a file that is not there.
#[tokio::test]
async fn certificates_do_not_matter_over_http() {
    let policy = RepositoryPolicy { ca_bundle: Some("/nowhere/ca.pem".into()), ..RepositoryPolicy::default() };
    let keys = [("aws.s3.access_key", "a"), ("aws.s3.secret_key", "s"), ("aws.s3.region", "x-1")];
    let role = [("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/r"), ("aws.s3.sts.region", "x-1")];
    let of_sts = |endpoint: &'static str| [&role[..], &[("aws.s3.sts.endpoint", endpoint)]].concat();
    for (endpoint, more, over_tls) in [
        (Some("http://127.0.0.1:9"), vec![], false),
        (Some("https://127.0.0.1:9"), vec![], true),
        (None, vec![], true),
        (Some("http://127.0.0.1:9"), role.to_vec(), true),
        (Some("http://127.0.0.1:9"), of_sts("https://127.0.0.1:9"), true),
        (Some("http://127.0.0.1:9"), of_sts("http://127.0.0.1:9"), false),
    ] {
        let endpoint = endpoint.map(|endpoint| ("aws.s3.endpoint", endpoint));
        let pairs = keys.iter().chain(&more).copied().chain(endpoint);
        let settings = RepositoryProperties::parse(pairs).unwrap().s3("bucket").unwrap();
        match http::client(&settings, &policy).await {
            Ok(_) => assert!(!over_tls, "{settings:?}"),
            Err((said, _)) => assert!(over_tls && said.contains("/nowhere/ca.pem"), "{settings:?}: {said}"),
        }
    }
}
