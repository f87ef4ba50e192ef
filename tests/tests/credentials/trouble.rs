//! Trouble at whoever hands out credentials.

use std::time::{Duration, Instant};

use ebla_tests::cloud::{MetadataService, RoleService, Trouble, Trust};
use ebla_tests::folder::Folder;
use ebla_tests::keys::LiveKeys;
use ebla_tests::s3::Bucket;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::Server;
use ebla_tests::wait::{assert_finished, wait_backup, wait_until};

use super::{HOLD_PATIENCE, LONG_LIFE, ROLE, create, small_table};

/// What is promised to whoever waits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// What is wrong with the source of credentials for a while, and what it is told as meanwhile.
struct Source<'a> {
    name: &'a str,
    variables: Vec<(&'a str, &'a str)>,
    identity: Vec<(&'a str, &'a str)>,
    /// Puts it in trouble, and takes it out of it.
    trouble: Box<dyn Fn(Passing) + 'a>,
    told: &'a str,
    /// What ends a job at once.
    refusal: Option<&'a str>,
}

/// How the source of credentials is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passing {
    Well,
    InTrouble,
    Refusing,
}

/// Goal: what may pass at whoever hands out credentials ends no job, is told meanwhile, and to a statement within ten seconds; what
/// is a refusal ends a job at once. Method: each source is in trouble when a job's first request is to be signed, then well again.
#[tokio::test]
async fn trouble_at_the_source_of_credentials_is_waited_for() {
    let keys = LiveKeys::default();
    let store = S3sFs::with_keys(&keys);
    let bucket = store.bucket("trouble").await;
    let folder = Folder::new("trouble");
    let (base, process) = (keys.mint(LONG_LIFE), keys.mint(LONG_LIFE));
    let trust = Trust {
        role_arn: ROLE.to_string(),
        access_key: base.access_key.clone(),
        external_id: "right".to_string(),
        web_identity: "a-web-identity".to_string(),
    };
    let (minted, handed_out) = (keys.clone(), base.clone());
    let roles = RoleService::start(trust, move || minted.mint(LONG_LIFE));
    let metadata = MetadataService::start(move || handed_out.clone());
    let container_url = metadata.container_url();
    std::fs::write(folder.join("web-identity"), "a-web-identity").unwrap();
    let token_file = folder.join("web-identity").display().to_string();
    let (handed_out, away) = (folder.join("handed-out.json"), folder.join("away.json"));
    let json = serde_json::json!({
        "Version": 1, "AccessKeyId": process.access_key, "SecretAccessKey": process.secret_key,
        "SessionToken": process.session_token,
    });
    std::fs::write(&handed_out, json.to_string()).unwrap();
    let config = folder.join("config");
    std::fs::write(&config, format!("[profile process]\ncredential_process = cat {}\n", handed_out.display())).unwrap();
    let config = config.display().to_string();

    let chain = vec![("aws.s3.use_aws_sdk_default_behavior", "true")];
    let of_roles = |trouble: Trouble, refusal: Trouble| {
        let roles = &roles;
        move |now| {
            roles.set_trouble(match now {
                Passing::Well => None,
                Passing::InTrouble => Some(trouble.clone()),
                Passing::Refusing => Some(refusal.clone()),
            });
        }
    };
    let of_metadata = |trouble: Trouble| {
        let metadata = &metadata;
        move |now| {
            metadata.set_trouble(match now {
                Passing::Well => None,
                Passing::InTrouble => Some(trouble.clone()),
                Passing::Refusing => Some(Trouble::Answer(403, String::new())),
            });
        }
    };
    let web_identity = vec![
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.as_str()),
        ("AWS_ENDPOINT_URL_STS", roles.url()),
        ("AWS_REGION", "us-east-1"),
    ];
    let instance = vec![("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())];
    let invalid = Trouble::of_sts(400, "InvalidIdentityToken", "The token is not of this issuer.");
    let denied = Trouble::of_sts(403, "AccessDenied", "not authorized to perform: sts:AssumeRole");
    for source in [
        Source {
            name: "web-identity-503",
            variables: web_identity.clone(),
            identity: chain.clone(),
            trouble: Box::new(of_roles(Trouble::of_sts(503, "ServiceUnavailable", "It is too busy."), invalid.clone())),
            told: "STS does not take the web identity: It is too busy",
            refusal: Some("The token is not of this issuer"),
        },
        Source {
            name: "web-identity-throttled",
            variables: web_identity,
            identity: chain.clone(),
            trouble: Box::new(of_roles(Trouble::of_sts(400, "Throttling", "Rate exceeded"), invalid)),
            told: "STS does not take the web identity: Rate exceeded",
            refusal: None,
        },
        Source {
            name: "role-503",
            variables: vec![],
            identity: vec![
                ("aws.s3.access_key", base.access_key.as_str()),
                ("aws.s3.secret_key", base.secret_key.as_str()),
                ("aws.s3.iam_role_arn", ROLE),
                ("aws.s3.external_id", "right"),
                ("aws.s3.sts.region", "us-east-1"),
                ("aws.s3.sts.endpoint", roles.url()),
            ],
            trouble: Box::new(of_roles(Trouble::of_s3(503, "SlowDown", "It is too busy."), denied)),
            told: "STS cannot give the role now: It is too busy",
            refusal: Some("sts:AssumeRole"),
        },
        Source {
            name: "container-503",
            variables: vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", container_url.as_str())],
            identity: chain.clone(),
            trouble: Box::new(of_metadata(Trouble::Answer(503, String::new()))),
            told: "the container's endpoint of credentials answered with status 503",
            refusal: Some("status 403"),
        },
        Source {
            name: "process",
            variables: vec![("AWS_CONFIG_FILE", config.as_str()), ("AWS_PROFILE", "process")],
            identity: chain,
            trouble: Box::new(|now| match now {
                Passing::InTrouble => std::fs::rename(&handed_out, &away).unwrap(),
                _ => std::fs::rename(&away, &handed_out).unwrap(),
            }),
            told: "external process exited",
            refusal: None,
        },
        Source {
            name: "metadata-silent",
            variables: instance.clone(),
            identity: vec![("aws.s3.use_instance_profile", "true")],
            trouble: Box::new(of_metadata(Trouble::HangUp)),
            told: "the instance's metadata service cannot be reached",
            refusal: Some("status 403"),
        },
        Source {
            name: "metadata-503",
            variables: instance,
            identity: vec![("aws.s3.use_aws_sdk_default_behavior", "true")],
            trouble: Box::new(of_metadata(Trouble::Answer(503, String::new()))),
            told: "the instance's metadata service answered with status 503",
            refusal: None,
        },
    ] {
        wait_for_source(&bucket, source).await;
    }
}

async fn wait_for_source(bucket: &Bucket, source: Source<'_>) {
    let Source { name, variables, identity, trouble, told, refusal } = source;
    let server =
        variables.iter().fold(Server::configure(name), |server, (variable, value)| server.env(variable, value));
    let server = server.start().await;
    let mut client = server.client().await;
    small_table(&mut client).await;
    client.query(&create(bucket, &identity)).await;
    // What statements ask with is kept by now; the client of jobs has asked nobody yet.
    client.query("SHOW SNAPSHOT ON r").await;

    trouble(Passing::InTrouble);
    let (start, other) = (Instant::now(), create(bucket, &identity).replace("REPOSITORY r ", "REPOSITORY other "));
    let error = client.refused(&other).await.message;
    assert!(error.contains(told), "{name}: {error}");
    assert!(start.elapsed() < ANSWER_TIME_MAX, "{name}: it took {:?}", start.elapsed());
    if let Some(refusal) = refusal {
        trouble(Passing::Refusing);
        client.query("BACKUP SNAPSHOT d.refused TO r").await;
        let ended = wait_backup(&mut client, "d").await;
        assert_eq!(ended.field("State"), "CANCELLED", "{name}: {ended}");
        assert!(ended.field("Status").contains(refusal), "{name}: {ended}");
        trouble(Passing::InTrouble);
    }
    let label = name.replace('-', "_");
    client.query(&format!("BACKUP SNAPSHOT d.{label} TO r")).await;
    wait_until(HOLD_PATIENCE, async || {
        let job = client.query("SHOW BACKUP FROM d").await.record(0).unwrap();
        if job.field("TaskErrMsg").contains(told) { Ok(()) } else { Err(job.to_string()) }
    })
    .await;
    trouble(Passing::Well);
    assert_finished(&wait_backup(&mut client, "d").await);
}
