//! Mistakes with who asks, where, and over which certificates.

use std::time::Duration;

use ebla_tests::cloud::{Redirector, RoleService, Trouble, Trust};
use ebla_tests::folder::Folder;
use ebla_tests::keys::LiveKeys;
use ebla_tests::ports::free_ports;
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::stores::{Certificate, OtherStore};

use super::{Mistakes, Pairs, ROLE};

/// What is not there, or not what it seems.
#[tokio::test]
async fn identities_and_endpoints() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let mut mistakes = Mistakes::new("identities").await;
    let bucket = store.bucket("wrong").await;
    mistakes.bucket(&bucket);
    let [port] = free_ports();
    let dead = format!("http://127.0.0.1:{port}");
    mistakes.literal(&dead, "http://127.0.0.1:<dead port>");
    mistakes.make_with_keys("an endpoint where nobody listens", &bucket, &[("aws.s3.endpoint", &dead)]).await;
    let http = format!("http://{}", mistakes.server.http_addr());
    mistakes.make_with_keys("an endpoint that is no store", &bucket, &[("aws.s3.endpoint", &http)]).await;

    let endpoint = bucket.endpoint.url.clone();
    let location = bucket.location("x");
    let identity = |more: Pairs<'_>| -> Vec<(String, String)> {
        let fixed = [("aws.s3.region", "us-east-1"), ("aws.s3.endpoint", &endpoint)];
        fixed.iter().chain(more).map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect()
    };
    let base = keys.mint(Duration::from_secs(3600));
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "our-own-id".to_string(),
        web_identity: "nobody".to_string(),
    };
    let minted = keys.clone();
    let roles = RoleService::start(trust, move || minted.mint(Duration::from_secs(3600)));
    let role = |external_id: &str, sts: &str| {
        identity(&[
            ("aws.s3.access_key", &base.access_key),
            ("aws.s3.secret_key", &base.secret_key),
            ("aws.s3.iam_role_arn", ROLE),
            ("aws.s3.external_id", external_id),
            ("aws.s3.sts.region", "us-east-1"),
            ("aws.s3.sts.endpoint", sts),
        ])
    };
    let ended = keys.mint(Duration::from_secs(3600));
    keys.revoke(&ended.access_key);
    let session = identity(&[
        ("aws.s3.access_key", &ended.access_key),
        ("aws.s3.secret_key", &ended.secret_key),
        ("aws.s3.session_token", &ended.session_token),
    ]);
    // Connections wait in its queue, and nobody takes them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    mistakes.literal(&silent.0, "http://127.0.0.1:<silent port>");
    let redirector = Redirector::start(308, "https://elsewhere.example/");
    mistakes.literal(redirector.url(), "http://127.0.0.1:<redirecting port>");
    mistakes
        .make_with_keys("an endpoint that sends elsewhere", &bucket, &[("aws.s3.endpoint", redirector.url())])
        .await;
    let role_of_nobody = identity(&[
        ("aws.s3.use_instance_profile", "true"),
        ("aws.s3.iam_role_arn", ROLE),
        ("aws.s3.sts.region", "us-east-1"),
        ("aws.s3.sts.endpoint", roles.url()),
    ]);
    for (what, properties) in [
        ("a session that has ended", session),
        ("a role service that does not answer", role("our-own-id", &silent.0)),
        ("a role on top of an instance that is none", role_of_nobody),
        ("an instance profile and no instance", identity(&[("aws.s3.use_instance_profile", "true")])),
        ("the default chain and nothing in it", identity(&[("aws.s3.use_aws_sdk_default_behavior", "true")])),
        ("a role with the wrong external id", role("wrong", roles.url())),
        ("a role service that is not there", role("our-own-id", &dead)),
        ("a role service that is a metadata service", role("our-own-id", "http://169.254.169.254")),
        ("TLS to a role service that speaks http", role("our-own-id", &endpoint.replace("http://", "https://"))),
        ("a role service that is none", role("wrong", &http)),
    ] {
        let pairs: Vec<(&str, &str)> = properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        mistakes.make(what, &location, &pairs).await;
    }
    let refused = role("our-own-id", roles.url());
    let refused: Vec<(&str, &str)> = refused.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let not_activated = "STS is not activated in this region for account:000000000000.";
    for (what, trouble) in [
        (
            "base keys that STS does not know",
            Trouble::of_sts(403, "InvalidClientTokenId", "The security token is invalid."),
        ),
        ("base keys that a store's STS does not know", Trouble::of_s3(403, "InvalidAccessKeyId", "No such key.")),
        ("a base secret that is wrong", Trouble::of_sts(403, "SignatureDoesNotMatch", "The signature does not match.")),
        ("a base session that has ended", Trouble::of_sts(403, "ExpiredToken", "The security token is expired.")),
        (
            "a clock that STS finds wrong",
            Trouble::of_sts(
                403,
                "SignatureDoesNotMatch",
                "Signature expired: 20260101T000000Z is now earlier than it may be.",
            ),
        ),
        (
            "a clock that a store's STS finds wrong",
            Trouble::of_s3(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the time here is too large.",
            ),
        ),
        ("a region in which STS is off", Trouble::of_sts(403, "RegionDisabledException", not_activated)),
        ("a role that STS finds malformed", Trouble::of_sts(400, "ValidationError", "1 validation error detected.")),
        ("an STS that asks for patience", Trouble::of_sts(400, "Throttling", "Rate exceeded")),
        ("a store that is no STS", Trouble::of_s3(405, "MethodNotAllowed", "It is not allowed against this resource.")),
    ] {
        roles.set_trouble(Some(trouble));
        mistakes.make(what, &location, &refused).await;
    }
    mistakes.golden("wrong_config/identity");
}

/// What the server's own surroundings hand out, or do not. Method: a profile file that is written anew for each.
#[tokio::test]
async fn surroundings() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let (bucket, base) = (store.bucket("wrong").await, keys.mint(Duration::from_secs(3600)));
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "right".to_string(),
        web_identity: "right".to_string(),
    };
    let minted = keys.clone();
    let roles = RoleService::start(trust, move || minted.mint(Duration::from_secs(3600)));
    let folder = Folder::new("surroundings-profile");
    let (config, token, pipe) = (folder.join("config"), folder.join("token"), folder.join("pipe"));
    std::fs::write(&token, "wrong").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let profile = |name: &str| std::fs::write(&config, format!("[default]\n{name}\n")).unwrap();
    let server = Server::configure("surroundings")
        .env("AWS_CONFIG_FILE", &config.display().to_string())
        .env("AWS_ENDPOINT_URL_STS", roles.url())
        .start()
        .await;
    let mut mistakes = Mistakes::on(server).await;
    mistakes.bucket(&bucket);
    mistakes.literal(&folder.path().display().to_string(), "<profile's folder>");
    let fixed = [("aws.s3.region", "us-east-1"), ("aws.s3.endpoint", bucket.endpoint.url.as_str())];
    let role =
        [("aws.s3.iam_role_arn", ROLE), ("aws.s3.sts.region", "us-east-1"), ("aws.s3.sts.endpoint", roles.url())];
    let chain = [("aws.s3.use_aws_sdk_default_behavior", "true")];
    let instance = [("aws.s3.use_instance_profile", "true")];
    let own = [("aws.s3.access_key", base.access_key.as_str()), ("aws.s3.secret_key", &base.secret_key)];
    let location = bucket.location("x");
    let role_of_profile = format!(
        "role_arn = {ROLE}\nsource_profile = keys\n[profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}",
        base.access_key, base.secret_key
    );
    let web_identity = format!("role_arn = {ROLE}\nweb_identity_token_file = {}", token.display());
    let no_token = format!("role_arn = {ROLE}\nweb_identity_token_file = {}", folder.join("nowhere").display());
    let hangs = format!("credential_process = cat {}", pipe.display());
    let fails = "credential_process = sh -c 'echo the vault is closed >&2; exit 1'".to_string();
    for (what, text) in [
        ("a profile's role that is refused", &role_of_profile),
        ("a web identity that is refused", &web_identity),
        ("a web identity whose token is not there", &no_token),
        ("a credential process that fails", &fails),
        ("a credential process that hangs", &hangs),
    ] {
        profile(text);
        mistakes.make(what, &location, &[&fixed[..], &chain].concat()).await;
        let on_top = format!("{what}, beneath a role");
        mistakes.make(&on_top, &location, &[&fixed[..], &chain, &role].concat()).await;
    }
    // Whoever still waits at the pipe finds its end.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap());
    mistakes
        .make("keys that count for nothing beside an instance", &location, &[&fixed[..], &instance, &own].concat())
        .await;
    profile("");
    mistakes
        .make("keys that count for nothing beside the default chain", &location, &[&fixed[..], &chain, &own].concat())
        .await;
    mistakes.golden("wrong_config/surroundings");
}

/// What TLS says.
#[tokio::test]
async fn certificates() {
    let folder = Folder::new("authority");
    let Some(certificate) = Certificate::make(folder.path()) else {
        return;
    };
    let Some(tls) = OtherStore::rclone_tls(&certificate).await else {
        return;
    };
    tls.bucket_folder("there");
    let mut mistakes = Mistakes::new("certificates").await;
    let endpoint = tls.endpoint();
    mistakes.literal(&endpoint.url, "https://127.0.0.1:<tls port>");
    let bucket = Bucket { endpoint: endpoint.clone(), name: "there".to_string() };
    mistakes.make_with_keys("a certificate of an unknown authority", &bucket, &[]).await;
    let plain = endpoint.url.replace("https://", "http://");
    mistakes.literal(&plain, "http://127.0.0.1:<tls port>");
    mistakes.make_with_keys("http to a port that speaks TLS", &bucket, &[("aws.s3.endpoint", &plain)]).await;
    for (what, sts) in
        [("a role service of an unknown authority", &endpoint.url), ("http to a role service that speaks TLS", &plain)]
    {
        let role =
            [("aws.s3.iam_role_arn", ROLE), ("aws.s3.sts.region", "us-east-1"), ("aws.s3.sts.endpoint", sts.as_str())];
        mistakes.make_with_keys(what, &bucket, &role).await;
    }
    // The store speaks http, and STS has the certificate.
    let plain_store = S3sFs::start();
    let plain_bucket = plain_store.bucket("plain").await;
    mistakes.bucket(&plain_bucket);
    let root = mistakes.server.data_dir().join("certificates");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy(&certificate.authority, root.join("ca.pem")).unwrap();
    let bundle = root.join("ca.pem").display().to_string();
    let role = [
        ("aws.s3.iam_role_arn", ROLE),
        ("aws.s3.sts.region", "us-east-1"),
        ("aws.s3.sts.endpoint", endpoint.url.as_str()),
    ];
    let trusted = [&role[..], &[("aws.s3.ca_bundle", bundle.as_str())]].concat();
    mistakes.make_with_keys("the same beside a store over http", &plain_bucket, &role).await;
    mistakes.make_with_keys("its authority beside a store over http", &plain_bucket, &trusted).await;
    mistakes
        .make_with_keys("an authority that nobody needs", &plain_bucket, &[("aws.s3.ca_bundle", bundle.as_str())])
        .await;
    mistakes.golden("wrong_config/certificates");
}
