//! Goal: whatever is wrong with a repository's configuration, one message says what, and what to do, within ten seconds.
//! Method: more than seventy mistakes against real servers, and through a proxy that answers as S3 does where no server at hand
//! can; the messages are golden files, read in review.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod identity;

use std::time::{Duration, Instant};

use ebla_tests::client::Client;
use ebla_tests::golden;
use ebla_tests::golden::{Normaliser, without_request_id};
use ebla_tests::proxy::{Fault, Operation, Rule, S3Proxy};
use ebla_tests::s3::{Bucket, S3Endpoint};
use ebla_tests::server::Server;
use ebla_tests::stores::OtherStore;
use ebla_tests::weed::{Weed, role_arn};

/// What is promised to whoever waits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

const ROLE: &str = "arn:aws:iam::000000000000:role/BackupRole";

/// A server, and the mistakes made with it so far.
struct Mistakes {
    server: Server,
    client: Client,
    normaliser: Normaliser,
    text: String,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

impl Mistakes {
    async fn new(name: &str) -> Mistakes {
        Mistakes::on(Server::start(name).await).await
    }

    async fn on(server: Server) -> Mistakes {
        let client = server.client().await;
        let normaliser = Normaliser::new()
            .literal(server.http_addr(), "127.0.0.1:<http port>")
            .literal(&server.folder().display().to_string(), "<folder>")
            .literal(&server.folder().parent().unwrap().display().to_string(), "<file root>");
        Mistakes { server, client, normaliser, text: String::new() }
    }

    /// Texts that differ from run to run.
    fn literal(&mut self, text: &str, placeholder: &str) {
        self.normaliser = std::mem::take(&mut self.normaliser).literal(text, placeholder);
    }

    fn bucket(&mut self, bucket: &Bucket) {
        self.literal(&bucket.name, "bucket");
        self.literal(&bucket.endpoint.url, "http://127.0.0.1:<port>");
    }

    /// Makes one, and writes down what is said.
    async fn make(&mut self, what: &str, location: &str, properties: Pairs<'_>) {
        self.make_as("", what, location, properties).await;
    }

    async fn make_as(&mut self, read_only: &str, what: &str, location: &str, properties: Pairs<'_>) {
        let listed: Vec<String> = properties.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
        let properties = if listed.is_empty() { String::new() } else { format!(" PROPERTIES ({})", listed.join(", ")) };
        let statement = format!("CREATE {read_only}REPOSITORY r WITH BROKER ON LOCATION \"{location}\"{properties}");
        let start = Instant::now();
        let error = self.client.refused(&statement).await;
        let elapsed = start.elapsed();
        assert!(elapsed < ANSWER_TIME_MAX, "{what}: it took {elapsed:?} to say {error}");
        assert!(!error.message.contains("canary"), "{what}: a secret shows in {error}");
        let said = without_request_id(&self.normaliser.apply(&error.to_string()));
        self.text += &format!("{what}\n    {}\n\n", said.trim_end());
    }

    /// One for each property set beside keys that are right.
    async fn make_with_keys(&mut self, what: &str, bucket: &Bucket, more: Pairs<'_>) {
        let endpoint = bucket.endpoint.clone();
        let mut pairs = keys_of(&endpoint);
        pairs.retain(|(key, _)| !more.iter().any(|(other, _)| key == other));
        pairs.extend(more);
        self.make(what, &bucket.location("x"), &pairs).await;
    }

    fn golden(self, name: &str) {
        // It still works after all that.
        drop(self.server);
        golden!(name, self.text);
    }
}

fn keys_of(endpoint: &S3Endpoint) -> Vec<(&str, &str)> {
    vec![
        ("aws.s3.access_key", endpoint.access_key.as_str()),
        ("aws.s3.secret_key", &endpoint.secret_key),
        ("aws.s3.region", &endpoint.region),
        ("aws.s3.endpoint", &endpoint.url),
    ]
}

/// What is wrong by its words alone.
#[tokio::test]
async fn properties_and_places() {
    let mut mistakes = Mistakes::new("properties").await;
    let here = "s3://bucket/x";
    let keys = [("aws.s3.access_key", "AKIDCANARY"), ("aws.s3.secret_key", "secret-canary")];
    let with_keys = |more: Pairs<'static>| keys.iter().chain(more).copied().collect::<Vec<_>>();

    mistakes.make("no credentials", here, &[("aws.s3.region", "us-west-2")]).await;
    mistakes.make("an access key alone", here, &keys[..1]).await;
    mistakes.make("a secret key alone", here, &keys[1..]).await;
    mistakes.make("a session token alone", here, &[("aws.s3.session_token", "canary")]).await;
    mistakes.make("a key misspelt", here, &with_keys(&[("aws.s3.regoin", "us-west-2")])).await;
    mistakes.make("one thing said twice", here, &with_keys(&[("aws.s3.region", "a-1"), ("s3.region", "b-1")])).await;
    mistakes.make("neither true nor false", here, &[("aws.s3.use_instance_profile", "yes")]).await;
    mistakes.make("a profile without a region", here, &[("aws.s3.use_instance_profile", "true")]).await;
    mistakes.make("keys without region or endpoint", here, &with_keys(&[])).await;
    mistakes.make("a region's title", here, &with_keys(&[("aws.s3.region", "US West (Oregon)")])).await;
    mistakes.make("a role of nobody", here, &[("aws.s3.iam_role_arn", ROLE), ("aws.s3.region", "us-west-2")]).await;
    mistakes
        .make("a role by its name", here, &with_keys(&[("aws.s3.iam_role_arn", "backup"), ("aws.s3.region", "a-1")]))
        .await;
    for (what, arn) in [
        ("a role without a name", ("aws.s3.iam_role_arn", "arn:aws:iam::123456789012:role/")),
        ("a role of no account", ("aws.s3.iam_role_arn", "arn:aws:iam::1:role/backup")),
    ] {
        mistakes.make(what, here, &[keys[0], keys[1], ("aws.s3.region", "a-1"), arn]).await;
    }
    mistakes
        .make(
            "http to the store, and a role service without a scheme",
            here,
            &with_keys(&[
                ("aws.s3.iam_role_arn", ROLE),
                ("aws.s3.endpoint", "store:9000"),
                ("aws.s3.enable_ssl", "false"),
                ("aws.s3.sts.region", "a-1"),
                ("aws.s3.sts.endpoint", "store:9001"),
            ]),
        )
        .await;
    for (what, class) in [
        ("a storage class misspelt", "STANDRAD_IA"),
        ("a storage class of nobody", "TIER2"),
        ("a storage class to be thawed", "glacier"),
    ] {
        let class = ("aws.s3.storage_class", class);
        mistakes.make(what, here, &[keys[0], keys[1], ("aws.s3.region", "a-1"), class]).await;
    }
    mistakes.make("the default chain and no region", here, &[("aws.s3.use_aws_sdk_default_behavior", "true")]).await;
    mistakes
        .make(
            "an external id without a role",
            here,
            &with_keys(&[("aws.s3.external_id", "x"), ("aws.s3.region", "a-1")]),
        )
        .await;
    mistakes
        .make(
            "an endpoint of STS without its region",
            here,
            &with_keys(&[
                ("aws.s3.iam_role_arn", ROLE),
                ("aws.s3.region", "a-1"),
                ("aws.s3.sts.endpoint", "https://sts.example.com"),
            ]),
        )
        .await;
    mistakes
        .make(
            "http and TLS at once",
            here,
            &with_keys(&[("aws.s3.endpoint", "http://h:9000"), ("aws.s3.enable_ssl", "true")]),
        )
        .await;
    mistakes
        .make("an endpoint with a path for a port", here, &with_keys(&[("aws.s3.endpoint", "https://h:bucket")]))
        .await;
    mistakes
        .make(
            "the bucket in the endpoint",
            here,
            &with_keys(&[("aws.s3.endpoint", "https://bucket.s3.eu-west-1.amazonaws.com")]),
        )
        .await;
    mistakes
        .make(
            "two regions",
            here,
            &with_keys(&[("aws.s3.endpoint", "s3.eu-west-1.amazonaws.com"), ("aws.s3.region", "us-west-2")]),
        )
        .await;
    mistakes.make("a metadata service", here, &with_keys(&[("aws.s3.endpoint", "http://169.254.169.254")])).await;
    mistakes
        .make(
            "an encryption key and no encryption",
            here,
            &with_keys(&[("aws.s3.sse_kms_key_id", "k"), ("aws.s3.region", "a-1")]),
        )
        .await;
    mistakes.make("half a lock", here, &with_keys(&[("aws.s3.object_lock_days", "7"), ("aws.s3.region", "a-1")])).await;
    let certificates = mistakes.server.data_dir().join("certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::write(certificates.join("none.pem"), "no certificate").unwrap();
    for (what, path) in [
        ("a CA bundle that is not there", certificates.join("nowhere.pem")),
        ("a CA bundle that is none", certificates.join("none.pem")),
        ("a CA bundle elsewhere", "/etc/hostname".into()),
        ("a CA bundle elsewhere that is not there", "/nowhere/ca.pem".into()),
    ] {
        let path = path.display().to_string();
        let pairs = [keys[0], keys[1], ("aws.s3.endpoint", "https://127.0.0.1:1"), ("aws.s3.ca_bundle", &path)];
        mistakes.make(what, here, &pairs).await;
    }
    for (what, key, value) in [
        ("a key of Hadoop misspelt", "fs.s3a.acess.key", "canary"),
        ("a key of Doris misspelt", "s3.sesion_token", "canary"),
        ("a key of nobody", "no.such.key", "canary"),
        ("a key of the client's own, by a property of nobody", "aws.s3.sse_customer_key", "canary"),
        ("an endpoint that a template did not fill in", "aws.s3.endpoint", ""),
        ("an endpoint with one slash", "aws.s3.endpoint", "http:/127.0.0.1:9000"),
        ("credentials of Hadoop's own", "fs.s3a.aws.credentials.provider", "org.apache.hadoop.fs.s3a.X"),
        ("an ACL", "fs.s3a.acl.default", "PublicRead"),
        ("a key of the client's own", "fs.s3a.encryption.algorithm", "SSE-C"),
        ("another cloud", "fs.oss.accessKeySecret", "canary"),
        ("a key and a value the wrong way round", "secret-canary", "aws.s3.secret_key"),
    ] {
        mistakes.make(what, here, &[keys[0], keys[1], ("aws.s3.region", "a-1"), (key, value)]).await;
    }
    let directory = format!("file://{}/directory", mistakes.server.folder().display());
    for (what, key, value) in [
        ("a lock for a directory", "aws.s3.object_lock_days", "30"),
        ("an encryption for a directory", "aws.s3.sse", "AES256"),
        ("half a key pair for a directory", "aws.s3.access_key", "AKIDCANARY"),
        ("a key of nobody for a directory", "no.such.key", "canary"),
    ] {
        mistakes.make(what, &directory, &[(key, value)]).await;
    }
    mistakes.make("a location without a scheme", "bucket/x", &keys).await;
    mistakes.make("credentials in the location", "s3://AKID:canary@bucket/x", &[]).await;
    mistakes.make("a host in the location", "s3://127.0.0.1:9000/bucket", &keys).await;
    mistakes.make("a directory outside the root", "file:///etc/ebla", &[]).await;
    mistakes
        .make_as(
            "READ ONLY ",
            "nothing there to read",
            &format!("file://{}/none", mistakes.server.folder().display()),
            &[],
        )
        .await;
    mistakes.golden("wrong_config/properties");
}

/// What a server refuses.
#[tokio::test]
async fn refused_by_a_store() {
    let allow = |actions: &[&str]| {
        let everywhere = ["arn:aws:s3:::*", "arn:aws:s3:::*/*"];
        serde_json::json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": everywhere },
        ]})
    };
    let roles = [
        ("NoList", allow(&["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"])),
        ("NoRead", allow(&["s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"])),
        ("NoWrite", allow(&["s3:ListBucket", "s3:GetObject"])),
    ];
    let Some(weed) = Weed::start_with_roles(&roles).await else {
        return;
    };
    let mut mistakes = Mistakes::new("refused").await;
    let bucket = weed.bucket("wrong").await;
    mistakes.bucket(&bucket);
    for (what, role) in [
        ("a role that may not list", "NoList"),
        ("a role that may not read", "NoRead"),
        ("a role that may not write", "NoWrite"),
    ] {
        let (arn, url) = (role_arn(role), bucket.endpoint.url.clone());
        let role = [
            ("aws.s3.iam_role_arn", arn.as_str()),
            ("aws.s3.sts.region", "us-east-1"),
            ("aws.s3.sts.endpoint", url.as_str()),
        ];
        mistakes.make_with_keys(what, &bucket, &role).await;
    }
    let arn = role_arn("NoList");
    for (what, key, value) in [
        ("a role asked for with an unknown access key", "aws.s3.access_key", "AKIDNOBODY0000000000"),
        ("a role asked for with a wrong secret key", "aws.s3.secret_key", "wrong-canary"),
    ] {
        let url = bucket.endpoint.url.clone();
        let role = [
            ("aws.s3.iam_role_arn", arn.as_str()),
            ("aws.s3.sts.region", "us-east-1"),
            ("aws.s3.sts.endpoint", url.as_str()),
            (key, value),
        ];
        mistakes.make_with_keys(what, &bucket, &role).await;
    }
    mistakes.make_with_keys("an unknown access key", &bucket, &[("aws.s3.access_key", "AKIDNOBODY0000000000")]).await;
    mistakes.make_with_keys("a wrong secret key", &bucket, &[("aws.s3.secret_key", "wrong-canary")]).await;
    let swapped = [("aws.s3.access_key", "secret/canary+xyz"), ("aws.s3.secret_key", "AKIDCANARY")];
    mistakes.make_with_keys("access and secret key swapped", &bucket, &swapped).await;
    let nowhere = Bucket { name: "no-such-bucket".to_string(), ..bucket.clone() };
    mistakes.make_with_keys("a bucket that is not there", &nowhere, &[]).await;
    mistakes.make_with_keys("keys that may only read", &bucket.through(weed.reader()), &[]).await;
    let tls = bucket.endpoint.url.replace("http://", "https://");
    mistakes.literal(&tls, "https://127.0.0.1:<port>");
    mistakes.make_with_keys("TLS to a port that speaks http", &bucket, &[("aws.s3.endpoint", &tls)]).await;
    mistakes.make_with_keys("a region of another form", &bucket, &[("aws.s3.region", "us west")]).await;

    let proxy = S3Proxy::start(&bucket.endpoint);
    let bucket = proxy.bucket(&bucket);
    mistakes.literal(&bucket.endpoint.url, "http://127.0.0.1:<port>");
    for (what, operation, status, code) in [
        ("the wrong region, and no word of the right one", Operation::ListObjectsV2, 301, "PermanentRedirect"),
        ("a clock that is wrong", Operation::ListObjectsV2, 403, "RequestTimeTooSkewed"),
        ("a bucket whose names are on their way", Operation::ListObjectsV2, 307, "TemporaryRedirect"),
        ("an account that is closed", Operation::ListObjectsV2, 403, "AllAccessDisabled"),
        ("a token that is none", Operation::ListObjectsV2, 400, "InvalidToken"),
        ("an encryption key that may not be used", Operation::PutObject, 400, "KMS.DisabledException"),
        ("a store that asks for patience", Operation::ListObjectsV2, 503, "SlowDown"),
    ] {
        let rule = proxy.rule(Rule::new(Fault::Refuse(status, code)).on(operation));
        mistakes.make_with_keys(what, &bucket, &[]).await;
        rule.lift();
    }
    let rule = proxy.rule(Rule::new(Fault::Hold));
    mistakes.make_with_keys("a store that does not answer", &bucket, &[]).await;
    rule.lift();
    let rule = proxy.rule(Rule::new(Fault::Disconnect));
    mistakes.make_with_keys("a store that hangs up", &bucket, &[]).await;
    rule.lift();
    mistakes.golden("wrong_config/store");
}

/// What ministack knows of regions.
#[tokio::test]
async fn another_region() {
    let Some(store) = OtherStore::ministack().await else {
        return;
    };
    let mut mistakes = Mistakes::new("region").await;
    let bucket = store.bucket("wrong").await;
    mistakes.bucket(&bucket);
    mistakes.make_with_keys("the wrong region", &bucket, &[("aws.s3.region", "eu-west-3")]).await;
    mistakes.golden("wrong_config/region");
}

/// What moto knows of storage classes.
#[tokio::test]
async fn another_storage_class() {
    let Some(store) = OtherStore::moto().await else {
        return;
    };
    let mut mistakes = Mistakes::new("class").await;
    let bucket = store.bucket("wrong").await;
    mistakes.bucket(&bucket);
    let class = [("aws.s3.storage_class", "NO_SUCH_CLASS")];
    mistakes.make_with_keys("a storage class it does not have", &bucket, &class).await;
    mistakes.golden("wrong_config/class");
}

/// Stores that give back something else than they were given: moto, which looks at no checksum and no signature, with what
/// comes and goes changed on its way.
#[tokio::test]
async fn bodies_that_are_not_kept() {
    let Some(store) = OtherStore::moto().await else {
        return;
    };
    let mut mistakes = Mistakes::new("bodies").await;
    let bucket = store.bucket("wrong").await;
    let proxy = S3Proxy::start(&bucket.endpoint);
    let through = proxy.bucket(&bucket);
    mistakes.bucket(&through);
    let probe = |fault, operation| Rule::new(fault).on(operation).key("ebla/probe");
    for (number, (what, rule)) in [
        ("a store that keeps the framing of bodies", probe(Fault::FrameRequest, Operation::PutObject)),
        ("a store that keeps the framing of parts", probe(Fault::FrameRequest, Operation::UploadPart)),
        ("a store that keeps other bytes", probe(Fault::FlipRequest, Operation::PutObject)),
        ("a store that gives other bytes", probe(Fault::FlipAnswer, Operation::GetObject).ranged(false)),
        ("a store that gives half of them", probe(Fault::HalveAnswer, Operation::GetObject).ranged(false)),
        ("a store that gives other bytes of a part", probe(Fault::FlipAnswer, Operation::GetObject).ranged(true)),
    ]
    .into_iter()
    .enumerate()
    {
        // What was spoilt stays: each store has a place of its own.
        let location = through.location(&format!("place-{number}"));
        let rule = proxy.rule(rule);
        mistakes.make(what, &location, &keys_of(&through.endpoint)).await;
        assert!(rule.hits() > 0, "{what}: nothing was spoilt");
        rule.lift();
        assert_eq!(
            bucket.list(&format!("place-{number}/ebla/repository.json")).await,
            [],
            "{what}: a repository came to be"
        );
    }
    mistakes.golden("wrong_config/bodies");
}
