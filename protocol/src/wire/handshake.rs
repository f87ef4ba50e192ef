//! The connection phase: greeting, the client's answer, the password.
//!
//! Greeting (HandshakeV10, `mysql_native_password`) → HandshakeResponse41 → for a client that answered with
//! another plugin an AuthSwitchRequest and its answer → a [`Login`]. COM_CHANGE_USER enters at the second
//! step. This module neither opens sessions nor says OK; it never tells whether the user or the password
//! was wrong, and reads no more than [`PACKET_BYTES_MAX`] from a peer that has not proven who it is.
//!
//! The phase is ours and not opensrv's, which parses half of the client's answer, denies with 1698, and
//! will not learn the TLS and the plugins that come here later.

use std::io;
use std::net::SocketAddr;

use opensrv_mysql::CapabilityFlags;
use tokio::io::{AsyncRead, AsyncWrite};

use super::auth::{self, NATIVE_PASSWORD, SALT_BYTES};
use super::packet::{Fields, Inbound, PacketReader, PacketWriter};
use super::{Handler, WireError, errors, reply};

/// Names, a hash and the attributes clients describe themselves with: a few hundred bytes in practice.
pub(super) const PACKET_BYTES_MAX: usize = 64 << 10;

const PROTOCOL_VERSION: u8 = 10;
const AUTH_SWITCH_HEADER: u8 = 0xfe;
/// utf8mb4_general_ci. Whatever a client asks for (45, 33, 224, 255, …), both sides speak UTF-8.
const UTF8MB4_GENERAL_CI: u8 = 45;
/// Part of the salt that precedes the capabilities in the greeting.
const SALT_HEAD_BYTES: usize = 8;

/// What is offered. Not TLS and compression (not there yet), LOCAL_FILES (no LOAD DATA LOCAL),
/// SESSION_TRACK (changes the OK packet), QUERY_ATTRIBUTES (changes COM_QUERY and COM_STMT_EXECUTE).
const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_FOUND_ROWS)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_IGNORE_SPACE)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_INTERACTIVE)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// Who connected, proven.
#[derive(Debug)]
pub(super) struct Login {
    /// What both sides agreed on.
    pub capabilities: CapabilityFlags,
    pub user: String,
    pub database: Option<String>,
    pub attributes: Attributes,
}

/// What a client says about itself.
type Attributes = Vec<(String, String)>;

/// Why nobody did.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Send this and close.
    Tell(WireError),
    /// The socket is of no use any more.
    Gone,
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self::Tell(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// One socket's two directions, and the challenge it was greeted with.
pub(super) struct Door<'a, R, W> {
    pub reader: &'a mut PacketReader<R>,
    pub writer: &'a mut PacketWriter<W>,
    pub salt: &'a [u8; SALT_BYTES],
    pub peer: SocketAddr,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Door<'_, R, W> {
    /// The whole phase, from the first byte.
    pub(super) async fn enter<H: Handler>(
        mut self,
        handler: &H,
        server_version: &str,
        connection_id: u32,
    ) -> Result<Login, Refusal> {
        self.writer.packet(|out| {
            greeting(out, server_version, connection_id, self.salt);
        });
        self.writer.flush().await?;
        let answer = self.read().await?;
        let request = LoginRequest::from_handshake(&answer)?;
        self.authenticate(handler, request).await
    }

    /// COM_CHANGE_USER: `payload` is what follows the command's byte.
    pub(super) async fn change_user<H: Handler>(
        mut self,
        handler: &H,
        payload: &[u8],
        capabilities: CapabilityFlags,
    ) -> Result<Login, Refusal> {
        let request = LoginRequest::from_change_user(payload, capabilities)?;
        self.authenticate(handler, request).await
    }

    async fn authenticate<H: Handler>(&mut self, handler: &H, mut request: LoginRequest) -> Result<Login, Refusal> {
        if request.plugin != NATIVE_PASSWORD.as_bytes() {
            request.answer = self.switch_to_native().await?;
        }
        let credential = handler.credential(&request.login.user, self.peer).await;
        match auth::is_right(self.salt, &request.answer, credential.as_ref()) {
            true => Ok(request.login),
            false => {
                let with_password = !request.answer.is_empty();
                Err(errors::access_denied(&request.login.user, self.peer, with_password).into())
            }
        }
    }

    async fn switch_to_native(&mut self) -> Result<Vec<u8>, Refusal> {
        self.writer.packet(|out| {
            out.push(AUTH_SWITCH_HEADER);
            out.extend_from_slice(NATIVE_PASSWORD.as_bytes());
            out.push(0);
            out.extend_from_slice(self.salt);
            out.push(0);
        });
        self.writer.flush().await?;
        self.read().await
    }

    async fn read(&mut self) -> Result<Vec<u8>, Refusal> {
        let inbound = self.reader.read(PACKET_BYTES_MAX).await?;
        self.writer.set_sequence(self.reader.next_sequence());
        match inbound {
            Inbound::Packet(payload) => Ok(payload),
            Inbound::TooLarge => Err(errors::packet_too_large().into()),
            Inbound::Closed => Err(Refusal::Gone),
        }
    }
}

fn greeting(out: &mut Vec<u8>, server_version: &str, connection_id: u32, salt: &[u8; SALT_BYTES]) {
    let [low, lower, upper, high] = CAPABILITIES.bits().to_le_bytes();
    let (salt_head, salt_tail) = salt.split_at(SALT_HEAD_BYTES);
    out.push(PROTOCOL_VERSION);
    out.extend(server_version.bytes().filter(|byte| *byte != 0));
    out.push(0);
    out.extend_from_slice(&connection_id.to_le_bytes());
    out.extend_from_slice(salt_head);
    out.push(0);
    out.extend_from_slice(&[low, lower]);
    out.push(UTF8MB4_GENERAL_CI);
    out.extend_from_slice(&reply::status(false).bits().to_le_bytes());
    out.extend_from_slice(&[upper, high]);
    out.push(SALT_BYTES as u8 + 1);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(salt_tail);
    out.push(0);
    out.extend_from_slice(NATIVE_PASSWORD.as_bytes());
    out.push(0);
}

/// What a client sends to be let in.
#[derive(Debug)]
struct LoginRequest {
    login: Login,
    answer: Vec<u8>,
    plugin: Vec<u8>,
}

impl LoginRequest {
    fn from_handshake(payload: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::new(payload);
        let low = fields.u16().ok_or_else(errors::bad_handshake)?;
        let asked = CapabilityFlags::from_bits_truncate(u32::from(low));
        if !asked.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
            return Err(errors::old_client());
        }
        Self::parse_handshake(low, fields).ok_or_else(errors::bad_handshake)
    }

    fn parse_handshake(low: u16, mut fields: Fields<'_>) -> Option<Self> {
        let asked = u32::from(low) | u32::from(fields.u16()?) << 16;
        let capabilities = CapabilityFlags::from_bits_truncate(asked) & CAPABILITIES;
        // The client's own packet limit, its character set, filler.
        fields.take(4 + 1 + 23)?;
        if fields.is_empty() {
            // A request for TLS, which was not offered.
            return None;
        }
        let user = fields.nul_string();
        let answer = if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            fields.lenenc_bytes()?
        } else if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
            let length = fields.u8()?;
            fields.take(usize::from(length))?
        } else {
            fields.nul_string()
        };
        let database = match capabilities.contains(CapabilityFlags::CLIENT_CONNECT_WITH_DB) {
            true => fields.nul_string(),
            false => b"",
        };
        let (plugin, attributes) = plugin_and_attributes(fields, capabilities)?;
        Some(Self {
            login: Login {
                capabilities,
                user: text(user),
                database: Some(text(database)).filter(|name| !name.is_empty()),
                attributes,
            },
            answer: answer.to_vec(),
            plugin,
        })
    }

    fn from_change_user(payload: &[u8], capabilities: CapabilityFlags) -> Result<Self, WireError> {
        Self::parse_change_user(Fields::new(payload), capabilities).ok_or_else(errors::malformed_packet)
    }

    fn parse_change_user(mut fields: Fields<'_>, capabilities: CapabilityFlags) -> Option<Self> {
        let user = fields.nul_string();
        let length = fields.u8()?;
        let answer = fields.take(usize::from(length))?;
        let database = fields.nul_string();
        if !fields.is_empty() {
            fields.u16()?; // character set
        }
        let (plugin, attributes) = plugin_and_attributes(fields, capabilities)?;
        Some(Self {
            login: Login {
                capabilities,
                user: text(user),
                database: Some(text(database)).filter(|name| !name.is_empty()),
                attributes,
            },
            answer: answer.to_vec(),
            plugin,
        })
    }
}

/// The last two fields of both requests. A client that names no plugin means the native one.
fn plugin_and_attributes(mut fields: Fields<'_>, capabilities: CapabilityFlags) -> Option<(Vec<u8>, Attributes)> {
    let mut plugin = NATIVE_PASSWORD.as_bytes();
    if capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH) && !fields.is_empty() {
        plugin = match fields.nul_string() {
            b"" => plugin,
            named => named,
        };
    }
    let mut attributes = Vec::new();
    if capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS) && !fields.is_empty() {
        let mut pairs = Fields::new(fields.lenenc_bytes()?);
        while !pairs.is_empty() {
            attributes.push((text(pairs.lenenc_bytes()?), text(pairs.lenenc_bytes()?)));
        }
    }
    Some((plugin.to_vec(), attributes))
}

/// Names that are not UTF-8 name nothing here, so a lossy reading leads to the right refusal.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
