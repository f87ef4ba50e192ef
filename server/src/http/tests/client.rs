//! The other side of the socket.

use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::TestServer;

/// An open connection.
pub(super) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Checks that the load succeeded, and returns the answer.
    pub(super) fn success(&self) -> Value {
        let json = self.json();
        assert_eq!((self.code, &json["Status"], &json["Message"]), (200, &"Success".into(), &"OK".into()), "{json}");
        json
    }

    /// Checks that the load failed, and returns why.
    pub(super) fn failure(&self) -> String {
        let json = self.json();
        assert_eq!((self.code, &json["Status"]), (200, &"Fail".into()), "{json}");
        json["Message"].as_str().expect("a message").to_owned()
    }
}

impl Client {
    pub(super) async fn connect(server: &TestServer) -> Client {
        let stream = TcpStream::connect(server.address).await.expect("connects");
        Client { stream, received: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sends");
    }

    /// The head of a load into table `d.t` by root.
    pub(super) async fn send_head(&mut self, headers: &[(&str, &str)]) {
        self.send(head("/api/d/t/_stream_load", headers)).await;
    }

    pub(super) async fn send_chunk(&mut self, bytes: &str) {
        self.send(format!("{:x}\r\n{bytes}\r\n", bytes.len())).await;
    }

    /// Sends a chunk to a server that may not listen any more.
    pub(super) async fn try_send_chunk(&mut self, bytes: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{:x}\r\n{bytes}\r\n", bytes.len()).as_bytes()).await
    }

    /// Whether the server closes the connection in time, whatever it says before.
    pub(super) async fn ends_within(&mut self, time: Duration) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(time, self.stream.read_to_end(&mut rest)).await.is_ok()
    }

    /// Reads one answer whole.
    pub(super) async fn answer(&mut self) -> Answer {
        let read = async {
            let end = loop {
                if let Some(end) = find(&self.received, b"\r\n\r\n") {
                    break end + 4;
                }
                self.receive().await;
            };
            let headers = String::from_utf8(self.received.drain(..end).collect()).expect("text");
            let length: usize =
                header(&headers, "content-length").map_or(0, |length| length.parse().expect("a length"));
            while self.received.len() < length {
                self.receive().await;
            }
            let body = String::from_utf8(self.received.drain(..length).collect()).expect("text");
            let code = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
            Answer { code, headers, body }
        };
        tokio::time::timeout(Duration::from_secs(30), read).await.expect("answers in time")
    }

    async fn receive(&mut self) {
        let read = self.stream.read_buf(&mut self.received).await.expect("receives");
        assert_ne!(read, 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.received));
    }
}

/// The head of a PUT by root.
pub(super) fn head(path: &str, headers: &[(&str, &str)]) -> String {
    let credentials = base64::engine::general_purpose::STANDARD.encode("root:");
    let mut head = format!("PUT {path} HTTP/1.1\r\nHost: test:1\r\nAuthorization: Basic {credentials}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// Loads `body` into `d.t` in one piece.
pub(super) async fn load(server: &TestServer, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("Content-Length", &length));
    let mut client = Client::connect(server).await;
    client.send_head(&headers).await;
    client.send(body).await;
    client.answer().await
}

pub(super) async fn get(server: &TestServer, path: &str) -> Answer {
    let mut client = Client::connect(server).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    client.answer().await
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

pub(super) fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
