//! Bytes on a connection, before and after the login: nothing panics, and the connection ends with its stream.
//!
//! The first byte chooses: even, and the rest is sent instead of a login; odd, and it follows one, cut into
//! packets where it says so (a length byte, then the payload), so that the fuzzer need not learn to frame.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::Schema;
use async_trait::async_trait;
use ebla_protocol::wire::{
    Completion, ConnectInfo, Credential, Handler, ListenerConfig, Outcome, Parameter, Prepared, Session, WireError,
    listener,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const TIME_LIMIT: Duration = Duration::from_secs(10);

struct Anyone;
struct Echo(u32);

#[async_trait]
impl Handler for Anyone {
    type Session = Echo;

    async fn credential(&self, _: &str, _: SocketAddr) -> Option<Credential> {
        Some(Credential::Empty)
    }

    async fn open(&self, _: ConnectInfo) -> Result<Echo, WireError> {
        Ok(Echo(0))
    }
}

#[async_trait]
impl Session for Echo {
    async fn query(&mut self, sql: &str) -> Result<Outcome, WireError> {
        Ok(Outcome::Ok(Completion { info: sql.to_owned(), ..Completion::default() }))
    }

    async fn use_database(&mut self, name: &str) -> Result<(), WireError> {
        Err(WireError::new(1049, *b"42000", name))
    }

    async fn prepare(&mut self, sql: &str) -> Result<Prepared, WireError> {
        self.0 += 1;
        let parameter_count = sql.matches('?').count() as u16;
        Ok(Prepared { statement_id: self.0, parameter_count, columns: Arc::new(Schema::empty()) })
    }

    async fn execute(&mut self, _: u32, parameters: Vec<Parameter>) -> Result<Outcome, WireError> {
        self.query(&format!("{parameters:?}")).await
    }

    async fn close_statement(&mut self, _: u32) {}

    async fn reset(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

/// Nothing panics, and the connection ends with its stream. The first byte chooses, as the file says.
pub fn wire_packets(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = Vec::new();
    if choice % 2 == 0 {
        bytes.extend_from_slice(rest);
    } else {
        put_login(&mut bytes);
        put_packets(&mut bytes, rest);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let served = tokio::time::timeout(TIME_LIMIT, talk(&bytes)).await;
        served.expect("the connection ends with its stream");
    });
}

/// A user without a password.
fn put_login(out: &mut Vec<u8>) {
    const PROTOCOL_41: u32 = 0x200;
    const SECURE_CONNECTION: u32 = 0x8000;
    const PLUGIN_AUTH: u32 = 0x8_0000;
    let mut payload = (PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH).to_le_bytes().to_vec();
    payload.extend_from_slice(&[0; 4 + 1 + 23]);
    payload.extend_from_slice(b"u\0\0mysql_native_password\0");
    out.extend_from_slice(&[payload.len() as u8, 0, 0, 1]);
    out.extend_from_slice(&payload);
}

fn put_packets(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some((length, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(*length)));
        out.extend_from_slice(&[payload.len() as u8, 0, 0, 0]);
        out.extend_from_slice(payload);
        rest = after;
    }
}

/// Sends everything, hangs up, and reads on until the other side has hung up, too.
async fn talk(bytes: &[u8]) {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (mut from_server, mut to_server) = tokio::io::split(client);
    let served = listener::serve_stream(
        server,
        SocketAddr::from(([127, 0, 0, 1], 1)),
        Arc::new(Anyone),
        ListenerConfig::default(),
        CancellationToken::new(),
    );
    let sent = async {
        let _ = to_server.write_all(bytes).await;
        let _ = to_server.shutdown().await;
    };
    let read = async {
        let _ = from_server.read_to_end(&mut Vec::new()).await;
    };
    tokio::join!(served, sent, read);
}
