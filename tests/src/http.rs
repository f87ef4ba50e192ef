//! A small HTTP/1.1 client: one connection a request, bodies of any length, `Expect: 100-continue`.
//!
//! It is written by hand so that tests see exactly what goes over the wire; [`message`] is shared with the proxy.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub mod message;

use message::{BodyLength, Head, Pace, copy_body, read_body, read_head};

/// No single exchange of the tests takes longer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an `Expect: 100-continue` waits for the server's word before the body is sent anyway, as curl does.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// A request to be sent.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query, encoded.
    pub target: String,
    /// All headers but those that describe the body.
    pub headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: Body,
}

/// A request's body.
pub enum Body {
    /// Sent with its `Content-Length`.
    Bytes(Vec<u8>),
    /// Made while it is sent, with `Transfer-Encoding: chunked`.
    Chunks(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Body::Chunks(_) => f.write_str("chunks"),
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head as it came.
    pub head: Head,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// Whether the server said `100 Continue` before the body was sent.
    pub continued: bool,
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, target: &str) -> Request {
        let (method, target) = (method.to_string(), target.to_string());
        Request { method, target, headers: Vec::new(), body: Body::Bytes(Vec::new()) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Request {
        self.body = body;
        self
    }

    /// Sends it to `host:port` and reads the whole answer.
    pub async fn send(self, addr: &str) -> io::Result<Response> {
        tokio::time::timeout(PATIENCE, self.exchange(addr)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{addr} did not answer within {PATIENCE:?}")))
        })
    }

    async fn exchange(mut self, addr: &str) -> io::Result<Response> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        write.write_all(self.head_text(addr).as_bytes()).await?;

        let mut continued = false;
        let mut early = None;
        if self.expects_continue() {
            match tokio::time::timeout(CONTINUE_PATIENCE, read_head(&mut read)).await {
                Ok(Ok(Some(head))) if head.status() == Some(100) => continued = true,
                Ok(answer) => early = answer?,
                Err(_) => {}
            }
        }
        if early.is_none() {
            // A server may answer and close before it has read everything; its answer is what counts.
            if let Err(error) = send_body(&mut write, &mut self.body).await
                && !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
            {
                return Err(error);
            }
            early = loop {
                match read_head(&mut read).await? {
                    Some(head) if head.status().is_some_and(|status| status < 200) => {}
                    other => break other,
                }
            };
        }
        let head = early.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let status = head.status().ok_or_else(|| io::Error::other(format!("not HTTP: {}", head.start_line())))?;
        let body = read_body(&mut read, BodyLength::of_response(&head, &self.method)).await?;
        Ok(Response { status, head, body, continued })
    }

    fn expects_continue(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("expect"))
    }

    fn head_text(&self, addr: &str) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("Host: {addr}\r\n"));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::Bytes(bytes) if bytes.is_empty() && matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE") => {}
            Body::Bytes(bytes) => text.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
            Body::Chunks(_) => text.push_str("Transfer-Encoding: chunked\r\n"),
        }
        text.push_str("Connection: close\r\n\r\n");
        text
    }
}

async fn send_body(write: &mut (impl tokio::io::AsyncWrite + Unpin), body: &mut Body) -> io::Result<()> {
    match body {
        Body::Bytes(bytes) => {
            copy_body(&mut bytes.as_slice(), write, BodyLength::Known(bytes.len() as u64), &Pace::free()).await?;
        }
        Body::Chunks(chunks) => {
            for chunk in chunks.filter(|chunk| !chunk.is_empty()) {
                write.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
                write.write_all(&chunk).await?;
                write.write_all(b"\r\n").await?;
            }
            write.write_all(b"0\r\n\r\n").await?;
        }
    }
    write.flush().await
}
