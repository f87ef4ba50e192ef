//! SeaweedFS as the S3 store of the tests: `weed mini`, all of it in one process on loopback.
//!
//! It verifies signatures, checksums of every kind and conditional writes, and keeps its data over a kill. It makes
//! a volume per bucket, which takes a while, so tests share one store through [`Weed::shared`] and have buckets of their own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::folder::Folder;
use crate::ports::free_ports;
use crate::process::Process;
use crate::s3::{Bucket, S3Endpoint};
use crate::skip;
use crate::wait::wait_until;

/// It is up after about a second on an idle machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Somebody may take one of its ports between our look and its start.
const START_ATTEMPTS: usize = 3;

const ADMIN: (&str, &str) = ("EBLATESTADMIN0000000", "ebla-test-admin-secret-0000000000000000");
/// A role that anybody with a key may have, and that may do everything in buckets whose names begin with `role-`.
pub const ROLE: &str = "arn:aws:iam::000000000000:role/BackupRole";

/// Below it every bucket is a host of its own; whoever asks must know the address of such names.
pub const DOMAIN: &str = "s3.localhost";

const READER: (&str, &str) = ("EBLATESTREADER000000", "ebla-test-reader-secret-000000000000000");

/// The ARN of a role of [`Weed::start_with_roles`].
pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::000000000000:role/{name}")
}

/// A running SeaweedFS.
#[derive(Debug)]
pub struct Weed {
    program: PathBuf,
    ports: [u16; 10],
    process: Process,
    // Dropped last: the process writes into it.
    folder: Folder,
}

impl Weed {
    /// The store that the tests of this process share; it ends with the last of them.
    /// `None` after a skip when SeaweedFS cannot be had.
    pub async fn shared() -> Option<Arc<Weed>> {
        static SHARED: Mutex<Weak<Weed>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(weed) = shared.upgrade() {
            return Some(weed);
        }
        let weed = Arc::new(Weed::start().await?);
        *shared = Arc::downgrade(&weed);
        Some(weed)
    }

    /// A store of one's own, to be killed and restarted.
    pub async fn start() -> Option<Weed> {
        Weed::start_with_roles(&[]).await
    }

    /// The same with further roles that anybody with a key may have: names, and the policies that they are bound to.
    pub async fn start_with_roles(further: &[(&str, serde_json::Value)]) -> Option<Weed> {
        let program = skip::counterpart("seaweedfs")?;
        let mut attempt = 1;
        loop {
            let folder = Folder::new("weed");
            std::fs::create_dir(folder.join("data")).unwrap();
            std::fs::write(folder.join("s3.json"), identities()).unwrap();
            std::fs::write(folder.join("iam.json"), roles(further)).unwrap();
            let ports = free_ports();
            let process = launch(&program, &folder, &ports);
            let mut weed = Weed { program: program.clone(), ports, process, folder };
            match weed.ready().await {
                Ok(()) => return Some(weed),
                Err(log) if attempt == START_ATTEMPTS => panic!("weed does not start:\n{log}"),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Where it listens, with the keys of a user who may do everything.
    pub fn endpoint(&self) -> S3Endpoint {
        S3Endpoint {
            url: format!("http://127.0.0.1:{}", self.ports[0]),
            region: "us-east-1".to_string(),
            access_key: ADMIN.0.to_string(),
            secret_key: ADMIN.1.to_string(),
        }
    }

    /// The same for a user who may list and read every bucket, and change nothing.
    pub fn reader(&self) -> S3Endpoint {
        self.endpoint().with_keys(READER.0, READER.1)
    }

    /// A new bucket whose name begins with `name`.
    pub async fn bucket(&self, name: &str) -> Bucket {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        self.endpoint().client().create_bucket(&name).await;
        Bucket { endpoint: self.endpoint(), name }
    }

    /// The same, of a bucket that keeps locks.
    pub async fn locking_bucket(&self, name: &str) -> Bucket {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        self.endpoint().client().create_locking_bucket(&name).await;
        Bucket { endpoint: self.endpoint(), name }
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again at the same address on the same data.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.program, &self.folder, &self.ports);
        if let Err(log) = self.ready().await {
            panic!("weed does not start again:\n{log}");
        }
    }

    /// Waits until it has taken, given back and deleted an object. Gives its log when it has ended instead.
    async fn ready(&mut self) -> Result<(), String> {
        let client = self.endpoint().client();
        let probe = [("PUT", "/ready", 200..300), ("PUT", "/ready/probe", 200..300), ("GET", "/ready/probe", 200..300)];
        let process = std::sync::Mutex::new(&mut self.process);
        wait_until(START_PATIENCE, async || {
            if process.lock().unwrap().ended().is_some() {
                return Ok(Err(process.lock().unwrap().log_tail()));
            }
            for (method, path, wanted) in &probe {
                match client.send(method, path, &[], &[]).await {
                    Ok(answer) if wanted.contains(&answer.status) => {}
                    // The bucket is there after a restart.
                    Ok(answer) if answer.status == 409 && *path == "/ready" => {}
                    Ok(answer) => {
                        return Err(format!("weed: {method} {path}: {} {}", answer.status, answer.text()));
                    }
                    Err(error) => return Err(format!("weed: {method} {path}: {error}")),
                }
            }
            Ok(Ok(()))
        })
        .await
    }
}

fn launch(program: &PathBuf, folder: &Folder, ports: &[u16; 10]) -> Process {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).arg("mini");
    // Only loopback, no telemetry, no consoles; a PUT makes no bucket and a DELETE empties none, as in AWS.
    command.args([
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
    ]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]);
    command.arg(format!("-s3.domainName={DOMAIN}"));
    command.arg("-s3.allowDeleteBucketNotEmpty=false");
    // A volume per bucket: without a ceiling of our own the free disk would set one.
    command.args(["-master.volumeSizeLimitMB=128", "-volume.max=1000"]);
    command.args(["-dir=data", "-s3.config=s3.json", "-s3.iam.config=iam.json"]);
    let services = ["s3", "master", "volume", "filer", "admin"];
    for (service, ports) in services.iter().zip(ports.chunks(2)) {
        command.arg(format!("-{service}.port={}", ports[0])).arg(format!("-{service}.port.grpc={}", ports[1]));
    }
    Process::start("weed", command, folder.path())
}

fn identities() -> String {
    let identity = |name: &str, keys: (&str, &str), actions: &[&str]| {
        let credentials = [serde_json::json!({ "accessKey": keys.0, "secretKey": keys.1 })];
        serde_json::json!({ "name": name, "credentials": credentials, "actions": actions })
    };
    let admin = identity("admin", ADMIN, &["Admin", "Read", "Write", "List", "Tagging"]);
    let reader = identity("reader", READER, &["Read", "List"]);
    serde_json::json!({ "identities": [admin, reader] }).to_string()
}

fn roles(further: &[(&str, serde_json::Value)]) -> String {
    let statement = |fields: serde_json::Value| serde_json::json!({ "Version": "2012-10-17", "Statement": [fields] });
    let policy = statement(serde_json::json!({
        "Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::role-*", "arn:aws:s3:::role-*/*"],
    }));
    let trust = statement(serde_json::json!({
        "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": ["sts:AssumeRole"],
    }));
    // Signs session tokens, in this process alone.
    let signing_key = "dGVzdC1zaWduaW5nLWtleS0zMi1jaGFyYWN0ZXJzLWxvbmc=";
    let mut policies = vec![serde_json::json!({ "name": "BackupPolicy", "document": policy })];
    let mut roles = vec![serde_json::json!({
        "roleName": "BackupRole", "roleArn": ROLE, "attachedPolicies": ["BackupPolicy"], "trustPolicy": trust,
    })];
    for (name, policy) in further {
        policies.push(serde_json::json!({ "name": name, "document": policy }));
        roles.push(serde_json::json!({
            "roleName": name, "roleArn": role_arn(name), "attachedPolicies": [name], "trustPolicy": trust,
        }));
    }
    serde_json::json!({
        "sts": {
            "tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "seaweedfs-sts", "signingKey": signing_key,
        },
        "policy": { "defaultEffect": "Deny", "storeType": "memory" },
        "policies": policies,
        "roles": roles,
    })
    .to_string()
}
