//! What the SDK's default chain finds around the server, and what of the server's surroundings is not followed.

use ebla_tests::cloud::{MetadataService, Redirector, RoleService, Trust};
use ebla_tests::folder::Folder;
use ebla_tests::keys::LiveKeys;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;

use super::{LONG_LIFE, ROLE, create};

/// The SDK's chain: environment, profile file, credential process, container, web identity, each in a server's environment of its own.
#[tokio::test]
async fn the_default_chain_finds_what_the_server_has() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("chain").await;
    let folder = Folder::new("chain");

    let environment = keys.mint(LONG_LIFE);
    let profile = keys.mint(LONG_LIFE);
    let process = keys.mint(LONG_LIFE);
    let config = folder.join("config");
    let handed_out = serde_json::json!({
        "Version": 1, "AccessKeyId": process.access_key, "SecretAccessKey": process.secret_key,
        "SessionToken": process.session_token,
    });
    std::fs::write(folder.join("handed-out.json"), handed_out.to_string()).unwrap();
    let text = format!(
        "[profile backup]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n\
         [profile process]\ncredential_process = cat {}\n",
        profile.access_key,
        profile.secret_key,
        profile.session_token,
        folder.join("handed-out.json").display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let (container, web_identity) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    let handed_out = container.clone();
    let metadata = MetadataService::start(move || handed_out.clone());
    let container_url = metadata.container_url();
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: "nobody".to_string(),
        external_id: "nothing".to_string(),
        web_identity: "a-web-identity".to_string(),
    };
    let handed_out = web_identity.clone();
    let roles = RoleService::start(trust, move || handed_out.clone());
    std::fs::write(folder.join("web-identity"), "a-web-identity").unwrap();
    let token_file = folder.join("web-identity").display().to_string();

    for (name, variables, wanted) in [
        (
            "environment",
            vec![
                ("AWS_ACCESS_KEY_ID", environment.access_key.as_str()),
                ("AWS_SECRET_ACCESS_KEY", &environment.secret_key),
                ("AWS_SESSION_TOKEN", &environment.session_token),
            ],
            &environment,
        ),
        ("profile", vec![("AWS_CONFIG_FILE", config.as_str()), ("AWS_PROFILE", "backup")], &profile),
        ("process", vec![("AWS_CONFIG_FILE", config.as_str()), ("AWS_PROFILE", "process")], &process),
        ("container", vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", container_url.as_str())], &container),
        (
            "web-identity",
            vec![
                ("AWS_ROLE_ARN", ROLE),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.as_str()),
                ("AWS_ENDPOINT_URL_STS", roles.url()),
                ("AWS_REGION", "us-east-1"),
            ],
            &web_identity,
        ),
    ] {
        let mut server = Server::configure(name);
        for (variable, value) in &variables {
            server = server.env(variable, value);
        }
        let server = server.start().await;
        server.client().await.query(&create(&bucket, &[("aws.s3.use_aws_sdk_default_behavior", "true")])).await;
        assert!(keys.uses(&wanted.access_key) > 0, "{name}: its keys were not used");
    }
}

/// Where requests go the properties say, and what the policy has looked at. Method: endpoints in the server's environment that
/// would give every key, and a region that no endpoint of AWS can have, so that nothing is sent there.
#[tokio::test]
async fn the_environment_moves_no_endpoint() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("moved").await;
    let base = keys.mint(LONG_LIFE);
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "right".to_string(),
        web_identity: "nobody".to_string(),
    };
    let minted = keys.clone();
    let roles = RoleService::start(trust, move || minted.mint(LONG_LIFE));
    let server = Server::configure("moved")
        .env("AWS_ENDPOINT_URL", roles.url())
        .env("AWS_ENDPOINT_URL_S3", roles.url())
        .env("AWS_ENDPOINT_URL_STS", roles.url())
        .env("AWS_ACCESS_KEY_ID", &base.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &base.secret_key)
        .start()
        .await;
    let mut client = server.client().await;
    let own_keys = [("aws.s3.access_key", base.access_key.as_str()), ("aws.s3.secret_key", &base.secret_key)];
    let found_keys = [("aws.s3.use_aws_sdk_default_behavior", "true")];
    let role = [("aws.s3.iam_role_arn", ROLE), ("aws.s3.external_id", "right")];
    let (nowhere, here) = ([("aws.s3.sts.region", "nowhere_1")], [("aws.s3.sts.region", "us-east-1")]);
    for identity in [&own_keys[..], &found_keys] {
        let error = client.refused(&create(&bucket, &[identity, &role, &nowhere].concat())).await;
        assert!(error.message.contains("STS"), "{error}");
    }
    let of_aws = "CREATE REPOSITORY r WITH BROKER ON LOCATION \"s3://bucket/x\" PROPERTIES (\"aws.s3.region\" = \
                  \"nowhere_1\", \"aws.s3.use_aws_sdk_default_behavior\" = \"true\")";
    client.refused(of_aws).await;
    assert_eq!(roles.asked(), 0, "it was sent where the environment says");

    let named = [("aws.s3.sts.endpoint", roles.url())];
    client.query(&create(&bucket, &[&found_keys, &role[..], &here, &named].concat())).await;
    assert!(roles.asked() > 0);
}

/// Nor does a proxy in the environment: neither the store nor STS nor a metadata service is asked through one. Method: proxies
/// that would have to be asked, and services that are reached without them.
#[tokio::test]
async fn the_environment_puts_no_proxy_between() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("proxied").await;
    let (base, minted) = (keys.mint(LONG_LIFE), keys.clone());
    let handed_out = base.clone();
    let metadata = MetadataService::start(move || handed_out.clone());
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "right".to_string(),
        web_identity: "a-web-identity".to_string(),
    };
    let roles = RoleService::start(trust, move || minted.mint(LONG_LIFE));
    let proxy = Redirector::start(502, "http://127.0.0.1:1/");
    let folder = Folder::new("proxied");
    std::fs::write(folder.join("web-identity"), "a-web-identity").unwrap();
    let token_file = folder.join("web-identity").display().to_string();
    let proxied = |name: &str| {
        let all = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
        all.iter().fold(Server::configure(name), |server, variable| server.env(variable, proxy.url()))
    };

    let server = proxied("proxied-instance")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())
        .start()
        .await;
    let mut client = server.client().await;
    client.query(&create(&bucket, &[("aws.s3.use_instance_profile", "true")])).await;
    client.query("DROP REPOSITORY r").await;
    client.query(&create(&bucket, &[("aws.s3.use_aws_sdk_default_behavior", "true")])).await;
    // No region of AWS: its name is looked for, and nothing is sent.
    let of_aws = "CREATE REPOSITORY a WITH BROKER ON LOCATION \"s3://bucket/x\" PROPERTIES (\"aws.s3.region\" = \
                  \"nowhere-1\", \"aws.s3.access_key\" = \"AKID\", \"aws.s3.secret_key\" = \"secret-canary\")";
    let error = client.refused(of_aws).await.message;
    assert!(error.contains("s3.nowhere-1.amazonaws.com"), "{error}");

    let server = proxied("proxied-role")
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token_file)
        .env("AWS_ENDPOINT_URL_STS", roles.url())
        .env("AWS_REGION", "us-east-1")
        .start()
        .await;
    let mut client = server.client().await;
    client.query(&create(&bucket, &[("aws.s3.use_aws_sdk_default_behavior", "true")])).await;
    assert!(metadata.fetched() > 0 && roles.asked() > 0);
    assert_eq!(proxy.asked(), 0, "a request went to the proxy");
}
