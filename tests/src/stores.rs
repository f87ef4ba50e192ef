//! S3 servers of other makers, as counterparts: what Ebla must work with, or must see through.
//!
//! | | what it is there for |
//! |---|---|
//! | ministack | close to AWS, and believes any key |
//! | moto | takes bodies whatever their checksum |
//! | juicefs | a gateway of 2022: neither conditional writes nor checksums |
//! | rclone | no conditional writes; keeps `aws-chunked` framing as data; speaks TLS |
//!
//! Each is pinned in `xtask`, runs on loopback in a folder of its own, and ends with the test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::folder::Folder;
use crate::http::Request;
use crate::ports::free_ports;
use crate::process::Process;
use crate::s3::{Bucket, S3Endpoint};
use crate::skip;
use crate::wait::wait_until;

/// Those in Python take some seconds, and longer beside others.
const START_PATIENCE: Duration = Duration::from_secs(120);

const KEYS: (&str, &str) = ("EBLATESTOTHER0000000", "ebla-test-other-secret-0000000000000000");

/// A running server.
#[derive(Debug)]
pub struct OtherStore {
    endpoint: S3Endpoint,
    process: Process,
    // Dropped last: the process writes into it.
    folder: Folder,
}

/// A certificate for 127.0.0.1 and the authority that has signed it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM file of the authority: what a client must trust.
    pub authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl OtherStore {
    /// ministack; `None` after a skip, as with the others.
    pub async fn ministack() -> Option<OtherStore> {
        let program = skip::counterpart("ministack")?;
        Some(
            launch("ministack", "/_ministack/health", |folder, port| {
                let mut command = python(&program);
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port.to_string())
                    .env("SERVICES", "s3,sts,iam,imds");
                command
                    .env("S3_PERSIST", "1")
                    .env("S3_DATA_DIR", folder.join("data"))
                    .env("STATE_DIR", folder.join("state"));
                command.env("MINISTACK_IMDS_V2_REQUIRED", "1");
                command
            })
            .await,
        )
    }

    /// moto.
    pub async fn moto() -> Option<OtherStore> {
        let program = skip::counterpart("moto")?;
        Some(
            launch("moto", "/moto-api/data.json", |_, port| {
                let mut command = python(&program);
                command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
                command
            })
            .await,
        )
    }

    /// The gateway of juicefs.
    pub async fn juicefs() -> Option<OtherStore> {
        let program = skip::counterpart("juicefs")?;
        Some(
            launch("juicefs", "/minio/health/live", |folder, port| {
                let meta = format!("sqlite3://{}", folder.join("meta.db").display());
                let mut format = Command::new(&program);
                format
                    .args(["format", "--storage", "file", "--bucket"])
                    .arg(format!("{}/", folder.join("data").display()));
                let formatted = format.args(["--trash-days", "0", &meta, "gateway"]).output().unwrap();
                assert!(formatted.status.success(), "juicefs format: {}", String::from_utf8_lossy(&formatted.stderr));
                let mut command = Command::new(&program);
                command.env("MINIO_ROOT_USER", KEYS.0).env("MINIO_ROOT_PASSWORD", KEYS.1);
                command.args([
                    "gateway",
                    "--no-usage-report",
                    "--no-banner",
                    "--multi-buckets",
                    "--keep-etag",
                    "--log",
                ]);
                command.arg(folder.join("gateway.log")).arg("--cache-dir").arg(folder.join("cache"));
                command.args([&meta, &format!("127.0.0.1:{port}")]);
                command
            })
            .await,
        )
    }

    /// rclone, over http.
    pub async fn rclone() -> Option<OtherStore> {
        let program = skip::counterpart("rclone")?;
        Some(launch("rclone", "/", |folder, port| rclone(&program, folder, port)).await)
    }

    /// rclone, over https.
    pub async fn rclone_tls(certificate: &Certificate) -> Option<OtherStore> {
        let program = skip::counterpart("rclone")?;
        let mut store = launch("rclone", "", |folder, port| {
            let mut command = rclone(&program, folder, port);
            command.arg("--cert").arg(&certificate.certificate).arg("--key").arg(&certificate.key);
            command
        })
        .await;
        store.endpoint.url = store.endpoint.url.replace("http://", "https://");
        Some(store)
    }

    /// Where it listens, with keys.
    pub fn endpoint(&self) -> S3Endpoint {
        self.endpoint.clone()
    }

    /// A new bucket whose name begins with `name`.
    pub async fn bucket(&self, name: &str) -> Bucket {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        self.endpoint.client().create_bucket(&name).await;
        Bucket { endpoint: self.endpoint(), name }
    }

    /// The same, of a bucket that keeps locks.
    pub async fn locking_bucket(&self, name: &str) -> Bucket {
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        self.endpoint().client().create_locking_bucket(&name).await;
        Bucket { endpoint: self.endpoint(), name }
    }

    /// Makes a directory that it shows as a bucket (rclone).
    pub fn bucket_folder(&self, name: &str) {
        std::fs::create_dir_all(self.folder.join("data").join(name)).unwrap();
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Certificate {
    /// A new one in this folder; `None` after a skip when there is no openssl.
    pub fn make(folder: &Path) -> Option<Certificate> {
        let openssl = skip::counterpart("openssl")?;
        let path = |name: &str| folder.join(name);
        std::fs::write(path("san.cnf"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        run(Command::new(&openssl).current_dir(folder).args(["req", "-x509"]).args(new_key).args([
            "-days",
            "2",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=ebla test authority",
        ]));
        run(Command::new(&openssl).current_dir(folder).arg("req").args(new_key).args([
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=localhost",
        ]));
        run(Command::new(&openssl)
            .current_dir(folder)
            .args(["x509", "-req", "-in", "server.csr", "-CA", "ca.pem"])
            .args(["-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", "server.pem", "-extfile", "san.cnf"]));
        Some(Certificate { authority: path("ca.pem"), certificate: path("server.pem"), key: path("server.key") })
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program that is a Python script, by the interpreter and the packages it was installed with: its own first line names
/// the folder it was made in, which is not the one it ended up in.
fn python(program: &Path) -> Command {
    let interpreter = program.with_file_name("python3");
    let packages = program.parent().and_then(Path::parent).expect("a program lies in a bin folder");
    let mut command = Command::new(if interpreter.exists() { &interpreter } else { Path::new("python3") });
    if !interpreter.exists() {
        command.env("PYTHONPATH", packages);
    }
    command.arg(program);
    command
}

fn rclone(program: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "s3"]).arg(folder.join("data")).args(["--config", "/dev/null", "--addr"]);
    command.arg(format!("127.0.0.1:{port}")).arg("--auth-key").arg(format!("{},{}", KEYS.0, KEYS.1));
    command
}

/// Starts a server and waits until it answers `ready`, or only listens when that is empty.
async fn launch(name: &str, ready: &str, command: impl Fn(&Path, u16) -> Command) -> OtherStore {
    let folder = Folder::new(name);
    std::fs::create_dir(folder.join("data")).unwrap();
    let [port] = free_ports();
    let mut command = command(folder.path(), port);
    command.current_dir(folder.path()).env("HOME", folder.path());
    let process = Process::start(name, command, folder.path());
    let endpoint = S3Endpoint {
        url: format!("http://127.0.0.1:{port}"),
        region: "us-east-1".to_string(),
        access_key: KEYS.0.to_string(),
        secret_key: KEYS.1.to_string(),
    };
    let mut store = OtherStore { endpoint, process, folder };
    let address = store.endpoint.addr().to_string();
    let process = std::sync::Mutex::new(&mut store.process);
    wait_until(START_PATIENCE, async || {
        {
            let mut process = process.lock().unwrap();
            if let Some(status) = process.ended() {
                panic!("{name} ended with {status} before it answered\n{}", process.log_tail());
            }
        }
        if ready.is_empty() {
            let connected = tokio::net::TcpStream::connect(&address).await;
            return connected.map(drop).map_err(|error| format!("{name}: {error}"));
        }
        match Request::new("GET", ready).send(&address).await {
            Ok(answer) if answer.status < 500 => Ok(()),
            Ok(answer) => Err(format!("{name}: {} {}", answer.status, answer.text())),
            Err(error) => Err(format!("{name}: {error}")),
        }
    })
    .await;
    store
}
