//! The real `ebla` binary on a data directory of its own, started, killed and started again.
//!
//! The server chooses its ports and writes them to `<data-dir>/addresses.json` when it listens on all of them; that
//! file is what the harness waits for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::binary::ebla;
use crate::cli::Cli;
use crate::client::Client;
use crate::folder::Folder;
use crate::http::{Body, Request, Response};
use crate::process::Process;
use crate::skip;
use crate::wait::wait_until;

/// It is up after a fraction of a second on an idle machine, also when it has jobs to resume.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// SIGTERM drains what runs; no test leaves much.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Below the server's folder: names it takes for addresses, in the form of `/etc/hosts`.
const HOSTS: &str = "hosts";

/// Root's password on every server of the tests.
pub const ROOT_PASSWORD: &str = "Tabl3t-of-clay";

/// How to start a server.
#[derive(Debug)]
pub struct ServerBuilder {
    name: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Names and their addresses, in the form of `/etc/hosts`.
    hosts: Option<String>,
    /// Below the server's folder.
    data: PathBuf,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    addresses: Addresses,
    process: Process,
    started_in: Duration,
    // Dropped last: the process writes into it.
    folder: Folder,
}

#[derive(Debug)]
struct Addresses {
    mysql: String,
    http: String,
}

impl ServerBuilder {
    /// Adds an argument to `ebla serve`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> ServerBuilder {
        self.args.push(arg.to_string());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> ServerBuilder {
        self.env.insert(name.to_string(), value.to_string());
        self
    }

    /// Lets it take these names for these addresses, before it asks anybody. `None` after a skip.
    pub fn hosts(self, hosts: &[(&str, &str)]) -> Option<ServerBuilder> {
        let library = skip::counterpart("nss-wrapper")?;
        let builder = self.env("LD_PRELOAD", &library.display().to_string());
        Some(ServerBuilder { hosts: Some(lines(hosts)), ..builder })
    }

    /// Lets its clock be wrong by this many seconds; time passes as it does elsewhere. `None` after a skip.
    pub fn clock_ahead(self, seconds: i64) -> Option<ServerBuilder> {
        let library = skip::counterpart("faketime")?;
        let shift = self.env("FAKETIME", &format!("{seconds:+}")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Some(shift.env("LD_PRELOAD", &library.display().to_string()))
    }

    /// Takes a variable away again.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> ServerBuilder {
        self.env.remove(name);
        self
    }

    /// Has its data directory elsewhere below its folder than in `data`.
    #[must_use]
    pub fn data(mut self, path: &str) -> ServerBuilder {
        self.data = PathBuf::from(path);
        self
    }

    /// Starts it on an empty data directory.
    pub async fn start(self) -> Server {
        let folder = Folder::new(&self.name);
        self.start_in(folder).await
    }

    /// Starts it in a folder with whatever is there.
    pub async fn start_in(self, folder: Folder) -> Server {
        std::fs::create_dir_all(folder.join("home")).unwrap();
        let start = Instant::now();
        let mut process = self.launch(&folder);
        let addresses = listening(&mut process, &folder.path().join(&self.data)).await;
        Server { builder: self, addresses, process, started_in: start.elapsed(), folder }
    }

    fn launch(&self, folder: &Folder) -> Process {
        let data = folder.path().join(&self.data);
        // Those of the last run would be taken for the new ones.
        let _ = std::fs::remove_file(data.join("addresses.json"));
        let mut command = Command::new(ebla());
        command.arg("serve").arg("--data-dir").arg(&data);
        command.args(["--mysql-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]).args(&self.args);
        // Nothing of the developer's own settings or clouds: no profile, no keys, no metadata service.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("AWS_") || name.starts_with("EBLA_") {
                command.env_remove(name.as_ref());
            }
        }
        command.env("HOME", folder.join("home")).env("AWS_EC2_METADATA_DISABLED", "true");
        // Every folder of a test may hold a repository.
        command.env("EBLA_REPOSITORY_FILE_ROOT", folder.path().parent().unwrap());
        command.env("EBLA_ROOT_PASSWORD", ROOT_PASSWORD).env("RUST_BACKTRACE", "1").envs(&self.env);
        if let Some(hosts) = &self.hosts {
            std::fs::write(folder.join(HOSTS), hosts).unwrap();
            command.env("NSS_WRAPPER_HOSTS", folder.join(HOSTS));
        }
        Process::start(&self.name, command, folder.path())
    }
}

impl Server {
    /// A server that is to be configured before it starts; `name` names its folder and its log.
    pub fn configure(name: &str) -> ServerBuilder {
        ServerBuilder {
            name: name.to_string(),
            args: Vec::new(),
            env: BTreeMap::new(),
            hosts: None,
            data: PathBuf::from("data"),
        }
    }

    /// A server with nothing special.
    pub async fn start(name: &str) -> Server {
        Server::configure(name).start().await
    }

    /// `host:port` of the MySQL listener.
    pub fn mysql_addr(&self) -> &str {
        &self.addresses.mysql
    }

    /// `host:port` of the HTTP listener.
    pub fn http_addr(&self) -> &str {
        &self.addresses.http
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join(&self.builder.data)
    }

    /// A folder beside the data directory, for repositories on `file://` and the like.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it take these names for other addresses from now on; it was started with [`ServerBuilder::hosts`].
    pub fn change_hosts(&self, hosts: &[(&str, &str)]) {
        let mut file = File::create(self.folder().join(HOSTS)).unwrap();
        file.write_all(lines(hosts).as_bytes()).unwrap();
        // The wrapper reads the file again when its time is another, in whole seconds.
        file.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// From the start of the process until it listened, last time.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// A new connection as root.
    pub async fn client(&self) -> Client {
        self.client_as("root", ROOT_PASSWORD).await
    }

    /// A new connection as somebody.
    pub async fn client_as(&self, user: &str, password: &str) -> Client {
        Client::connect(self.mysql_addr(), user, password).await
    }

    /// The command-line client as root; `None` after a skip when there is none.
    pub fn cli(&self) -> Option<Cli> {
        Cli::new(self.mysql_addr(), "root", ROOT_PASSWORD)
    }

    /// SIGKILL: the machine has lost its power, as far as the server can tell.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGTERM; checks that it ends with 0.
    pub async fn terminate(&mut self) {
        let status = self.process.terminate(STOP_PATIENCE).await;
        assert!(status.success(), "after SIGTERM the server ended with {status}\n{}", self.process.log_tail());
    }

    /// Starts it again on the same data directory, after killing it when it still runs. Its ports are new.
    pub async fn restart(&mut self) {
        self.process.kill9();
        let start = Instant::now();
        self.process = self.builder.launch(&self.folder);
        let data = self.data_dir();
        self.addresses = listening(&mut self.process, &data).await;
        self.started_in = start.elapsed();
    }

    /// Starts it again on the same data directory, and kills it after so long, whether it listens by then or not.
    pub async fn restart_and_kill(&mut self, after: Duration) {
        self.process.kill9();
        self.process = self.builder.launch(&self.folder);
        tokio::time::sleep(after).await;
        if let Some(status) = self.process.ended() {
            panic!("the server ended with {status} while it started\n{}", self.process.log_tail());
        }
        self.process.kill9();
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// The same, with an argument or variable changed from now on.
    pub async fn restart_with(&mut self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) {
        self.reconfigure(change);
        self.restart().await;
    }

    /// Has an argument or variable changed from its next start on.
    pub fn reconfigure(&mut self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) {
        let builder = std::mem::replace(&mut self.builder, Server::configure(""));
        self.builder = change(builder);
    }

    /// Waits for the end of a process that is expected to end by itself (a failpoint that aborts, say).
    pub async fn wait_end(&mut self) -> std::process::ExitStatus {
        let process = std::sync::Mutex::new(&mut self.process);
        wait_until(START_PATIENCE, async || {
            process.lock().unwrap().ended().ok_or_else(|| "the server still runs".to_string())
        })
        .await
    }

    /// GET of a path on the HTTP listener, as root.
    pub async fn http_get(&self, path: &str) -> Response {
        let request = Request::new("GET", path).header("Authorization", &basic("root", ROOT_PASSWORD));
        request.send(self.http_addr()).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Stream Load as root, whatever comes of it: the JSON answer.
    pub async fn stream_load(&self, db: &str, table: &str, headers: &[(&str, &str)], body: Body) -> Value {
        let response = self.stream_load_as(("root", ROOT_PASSWORD), db, table, headers, body).await;
        let text = response.text();
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("Stream Load into {db}.{table}: {} {text}", response.status))
    }

    /// Stream Load that must succeed; gives the JSON answer.
    pub async fn load(&self, db: &str, table: &str, headers: &[(&str, &str)], body: Body) -> Value {
        let answer = self.stream_load(db, table, headers, body).await;
        assert_eq!(answer["Status"], "Success", "Stream Load into {db}.{table}: {answer:#}");
        answer
    }

    /// Stream Load as somebody: the HTTP answer.
    pub async fn stream_load_as(
        &self,
        (user, password): (&str, &str),
        db: &str,
        table: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response {
        let mut request = Request::new("PUT", &format!("/api/{db}/{table}/_stream_load"))
            .header("Authorization", &basic(user, password))
            .header("Expect", "100-continue")
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send(self.http_addr()).await;
        response.unwrap_or_else(|error| panic!("Stream Load into {db}.{table}: {error}"))
    }
}

fn lines(hosts: &[(&str, &str)]) -> String {
    hosts.iter().map(|(name, address)| format!("{address} {name}\n")).collect()
}

/// Waits until the server says where it listens.
async fn listening(process: &mut Process, data: &Path) -> Addresses {
    let file = data.join("addresses.json");
    let process = std::sync::Mutex::new(process);
    wait_until(START_PATIENCE, async || {
        let mut process = process.lock().unwrap();
        if let Some(status) = process.ended() {
            panic!("the server ended with {status} before it listened\n{}", process.log_tail());
        }
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let addresses: Value = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
        let address = |name: &str| addresses[name].as_str().map(str::to_string).ok_or(format!("{text}: no {name}"));
        Ok(Addresses { mysql: address("mysql")?, http: address("http")? })
    })
    .await
}

/// The value of an `Authorization` header.
pub fn basic(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = format!("{user}:{password}");
    let mut encoded = String::from("Basic ");
    for group in plain.as_bytes().chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            encoded.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::basic;

    #[test]
    fn credentials_are_base64() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("root", ""), "Basic cm9vdDo=");
        assert_eq!(basic("a", "b"), "Basic YTpi");
    }
}
