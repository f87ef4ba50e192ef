//! Byte by byte: what a well-behaved client would never send, and what it would never show.

use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PROTOCOL_41: u32 = 0x200;
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;
const DEPRECATE_EOF: u32 = 0x100_0000;
pub(super) const PLAIN: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;

/// A client without manners.
pub(super) struct Raw<S> {
    stream: S,
}

/// A packet as received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub sequence: u8,
    pub payload: Vec<u8>,
}

impl Received {
    pub(super) fn is_ok(&self) -> bool {
        self.payload.first() == Some(&0)
    }

    /// Number, state and text of an error.
    fn error(&self) -> (u16, String, String) {
        assert_eq!(self.payload[0], 0xff, "{self:?}");
        assert_eq!(self.payload[3], b'#');
        (
            u16::from_le_bytes([self.payload[1], self.payload[2]]),
            String::from_utf8(self.payload[4..9].to_vec()).unwrap(),
            String::from_utf8(self.payload[9..].to_vec()).unwrap(),
        )
    }

    fn code(&self) -> u16 {
        self.error().0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends bytes; a peer that has hung up is found out by reading.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(super) async fn send(&mut self, sequence: u8, payload: &[u8]) {
        let [low, middle, high, _] = (payload.len() as u32).to_le_bytes();
        self.send_bytes(&[low, middle, high, sequence]).await;
        self.send_bytes(payload).await;
    }

    pub(super) async fn command(&mut self, code: u8, rest: &[u8]) {
        self.send(0, &[&[code], rest].concat()).await;
    }

    /// The next packet; `None` when the server hung up.
    pub(super) async fn receive(&mut self) -> Option<Received> {
        let packet = async {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await.ok()?;
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Received { sequence: header[3], payload })
        };
        tokio::time::timeout(PATIENCE, packet).await.expect("an answer in time")
    }

    async fn answer(&mut self) -> Received {
        self.receive().await.expect("an answer")
    }

    async fn ask(&mut self, code: u8, rest: &[u8]) -> Received {
        self.command(code, rest).await;
        self.answer().await
    }

    async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }

    /// Reads the greeting and returns the salt.
    pub(super) async fn greeting(&mut self) -> Vec<u8> {
        let greeting = self.answer().await.payload;
        assert_eq!(greeting[0], 10);
        let after_version = greeting.iter().position(|byte| *byte == 0).unwrap() + 1;
        let head = after_version + 4;
        let tail = head + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10;
        [&greeting[head..head + 8], &greeting[tail..tail + 12]].concat()
    }

    /// Logs in as root, who has no password.
    pub(super) async fn login(&mut self, capabilities: u32) {
        self.greeting().await;
        self.send(1, &login(capabilities, "root", &[], "mysql_native_password")).await;
        assert!(self.answer().await.is_ok());
    }
}

fn login(capabilities: u32, user: &str, answer: &[u8], plugin: &str) -> Vec<u8> {
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend_from_slice(&[0; 4]);
    payload.push(255);
    payload.extend_from_slice(&[0; 23]);
    payload.extend_from_slice(user.as_bytes());
    payload.push(0);
    payload.push(answer.len() as u8);
    payload.extend_from_slice(answer);
    payload.extend_from_slice(plugin.as_bytes());
    payload.push(0);
    payload
}

fn proof(salt: &[u8], password: &str) -> Vec<u8> {
    let first = Sha1::digest(password);
    let mask = Sha1::digest([salt, &Sha1::digest(first)].concat());
    first.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

async fn knock(server: &Server) -> Raw<TcpStream> {
    Raw::new(TcpStream::connect(server.address).await.unwrap())
}

async fn enter(server: &Server) -> Raw<TcpStream> {
    let mut client = knock(server).await;
    client.login(PLAIN).await;
    client
}

#[tokio::test]
async fn greetings_differ() {
    let server = Server::start().await;
    let mut first = knock(&server).await;
    let mut second = knock(&server).await;
    assert_ne!(first.greeting().await, second.greeting().await);
}

#[tokio::test]
async fn one_too_many_is_told_so() {
    let server = Server::start_with(|config| config.connections_max = 1).await;
    let first = enter(&server).await;
    let mut second = knock(&server).await;
    let refused = second.answer().await;
    assert_eq!(refused.sequence, 0);
    // Without SQLSTATE, since the client has not said yet what it understands.
    assert_eq!(refused.payload, [&[0xff, 0x10, 0x04], &b"Too many connections"[..]].concat());
    assert!(second.is_closed().await);
    drop(first);
    // The place is free once the server has noticed.
    let freed = async {
        while knock(&server).await.answer().await.payload[0] != 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place becomes free");
}

#[tokio::test]
async fn a_silent_peer_is_sent_away() {
    let server = Server::start_with(|config| config.handshake_timeout = Duration::from_millis(200)).await;
    let mut client = knock(&server).await;
    client.greeting().await;
    assert_eq!(client.answer().await.code(), 1159);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn bad_handshakes_are_refused() {
    let server = Server::start().await;
    let tls_request = [&(PLAIN | 0x800).to_le_bytes()[..], &[0; 28]].concat();
    let cut_short = login(PLAIN, "root", &[1, 2, 3], "")[..39].to_vec();
    for (payload, code) in [
        (vec![], 1043),
        (vec![0xff; 3], 1043),
        (tls_request, 1043),
        (cut_short, 1043),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1251),
        (vec![0; 70_000], 1153),
    ] {
        let mut client = knock(&server).await;
        client.greeting().await;
        client.send(1, &payload).await;
        let refused = client.answer().await;
        assert_eq!(refused.code(), code);
        assert_eq!(refused.sequence, 2);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn other_plugins_are_switched_to_native() {
    let server = Server::start().await;
    for (password, opens) in [("secret", true), ("wrong", false)] {
        let mut client = knock(&server).await;
        let salt = client.greeting().await;
        client.send(1, &login(PLAIN, "ada", &[7; 32], "caching_sha2_password")).await;
        let switch = client.answer().await;
        assert_eq!(switch.sequence, 2);
        let expected = [b"\xfemysql_native_password\0", &salt[..], b"\0"].concat();
        assert_eq!(switch.payload, expected);
        client.send(3, &proof(&salt, password)).await;
        let answer = client.answer().await;
        assert_eq!(answer.sequence, 4);
        assert_eq!(answer.is_ok(), opens);
        if !opens {
            assert_eq!(answer.code(), 1045);
            assert!(client.is_closed().await);
        }
    }
}

#[tokio::test]
async fn clients_without_plugins_use_the_native_one() {
    let server = Server::start().await;
    let mut client = knock(&server).await;
    let salt = client.greeting().await;
    let mut payload = login(PROTOCOL_41 | SECURE_CONNECTION, "ada", &proof(&salt, "secret"), "");
    payload.pop();
    client.send(1, &payload).await;
    assert!(client.answer().await.is_ok());
}

#[tokio::test]
async fn too_large_a_packet_is_skipped() {
    let server = Server::start_with(|config| config.max_allowed_packet_bytes = 1000).await;
    let mut client = enter(&server).await;
    for length in [1001, 300_000] {
        let refused = client.ask(0x03, &vec![b'x'; length - 1]).await;
        let (code, state, message) = refused.error();
        assert_eq!((code, state.as_str()), (1153, "08S01"));
        assert_eq!(message, "Got a packet bigger than 'max_allowed_packet' bytes");
    }
    // Over several frames, too.
    client.send_bytes(&[0xff, 0xff, 0xff, 0]).await;
    client.send_bytes(&vec![b'x'; 0xff_ffff]).await;
    client.send(1, b"rest").await;
    let refused = client.answer().await;
    assert_eq!((refused.code(), refused.sequence), (1153, 2));
    let letters = format!("say {}", "x".repeat(995));
    assert_eq!(client.ask(0x03, letters.as_bytes()).await.payload, [1]);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    for code in [0x02, 0x03, 0x16] {
        let (code, state, message) = client.ask(code, b"say gr\xfc\xdfe").await.error();
        assert_eq!((code, state.as_str()), (1300, "HY000"));
        assert!(message.starts_with("Invalid utf8mb4 character string: '\\xFC\\xDFe'"), "{message}");
    }
    assert!(client.ask(0x0e, b"").await.is_ok());
}

#[tokio::test]
async fn commands_that_carry_no_statement_are_answered() {
    let mut server = Server::start().await;
    let mut client = enter(&server).await;
    assert!(client.ask(0x0e, b"").await.is_ok());
    let statistics = String::from_utf8(client.ask(0x09, b"").await.payload).unwrap();
    assert!(statistics.starts_with("Uptime: ") && statistics.contains("Threads: 1 "), "{statistics}");
    assert!(client.ask(0x1f, b"").await.is_ok());
    server.wait_for(Event::Reset).await;
    assert!(client.ask(0x02, b"d").await.is_ok());
    assert_eq!(client.ask(0x02, b"nowhere").await.code(), 1049);
    assert_eq!(client.ask(0x1b, &[1, 0]).await.payload[0], 0xfe);
    assert_eq!(client.ask(0x1b, &[9, 0]).await.code(), 1047);
    for unknown in [0x00, 0x05, 0x07, 0x08, 0x0a, 0x0d, 0x12, 0x1d, 0x20, 0xfe, 0xff] {
        let (code, state, message) = client.ask(unknown, b"abc").await.error();
        assert_eq!((code, state.as_str(), message.as_str()), (1047, "08S01", "Unknown command"));
    }
    client.send(0, b"").await;
    assert_eq!(client.answer().await.code(), 1047);
    client.command(0x01, b"").await;
    assert!(client.is_closed().await);
    server.wait_for(Event::Closed(CloseReason::Quit)).await;
}

#[tokio::test]
async fn what_opensrv_would_answer_itself_reaches_the_session() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    for sql in ["SELECT @@max_allowed_packet", "select @@version"] {
        assert_eq!(client.ask(0x03, sql.as_bytes()).await.payload, [4]);
        for _ in 0..4 + 3 {
            client.answer().await; // definitions, EOF, row, EOF
        }
    }
    assert_eq!(client.ask(0x03, b"USE d").await.code(), 1064);
    // COM_PROCESS_KILL is a statement.
    client.command(0x0c, &7_u32.to_le_bytes()).await;
    let mut answer = Vec::new();
    for _ in 0..5 {
        answer.push(client.answer().await.payload);
    }
    assert_eq!(answer[3], b"\x06KILL 7");
}

#[tokio::test]
async fn listed_fields_have_defaults() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    client.command(0x04, b"t\0%").await;
    for _ in samples::samples() {
        assert_eq!(client.answer().await.payload.last(), Some(&0xfb));
    }
    assert_eq!(client.answer().await.payload, [0xfe, 0, 0, 2, 0]);
    assert_eq!(client.ask(0x04, b"unknown\0").await.payload, [0xfe, 0, 0, 2, 0]);
}

#[tokio::test]
async fn rows_end_as_the_client_wants() {
    let server = Server::start().await;
    for (capabilities, packets, end) in
        [(PLAIN, 5, &[0xfe, 0, 0, 2, 0][..]), (PLAIN | DEPRECATE_EOF, 4, &[0xfe, 0, 0, 2, 0, 0, 0][..])]
    {
        let mut client = knock(&server).await;
        client.login(capabilities).await;
        client.command(0x03, b"say x").await;
        let mut received = Vec::new();
        for sequence in 1..=packets {
            let packet = client.answer().await;
            assert_eq!(packet.sequence, sequence);
            received.push(packet.payload);
        }
        assert_eq!(received.pop().unwrap(), end);
        assert_eq!(received.pop().unwrap(), b"\x01x");
    }
}

/// Prepares `echo` with parameters and returns the statement's id.
async fn prepare(client: &mut Raw<TcpStream>, sql: &str) -> [u8; 4] {
    let prepared = client.ask(0x16, sql.as_bytes()).await;
    assert!(prepared.is_ok());
    let id = prepared.payload[1..5].try_into().unwrap();
    let parameters = sql.matches('?').count();
    // As many columns as parameters, and an EOF after each kind.
    for _ in 0..2 * (parameters + 1) {
        client.answer().await;
    }
    id
}

/// Executes and returns the values of the one row, or the error.
async fn execute(client: &mut Raw<TcpStream>, payload: &[u8]) -> Result<Vec<String>, u16> {
    let first = client.ask(0x17, payload).await;
    if first.payload[0] == 0xff {
        return Err(first.code());
    }
    let columns = usize::from(first.payload[0]);
    for _ in 0..columns + 1 {
        client.answer().await;
    }
    let row = client.answer().await.payload;
    assert_eq!(client.answer().await.payload[0], 0xfe);
    let mut rest = &row[1 + (columns + 9) / 8..];
    let mut values = Vec::new();
    for _ in 0..columns {
        let (value, after) = rest[1..].split_at(usize::from(rest[0]));
        values.push(String::from_utf8(value.to_vec()).unwrap());
        rest = after;
    }
    Ok(values)
}

fn shown(parameters: &[Parameter]) -> Result<Vec<String>, u16> {
    Ok(parameters.iter().map(|p| format!("{p:?}")).collect())
}

#[tokio::test]
async fn parameters_in_odd_forms_arrive() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    let id = prepare(&mut client, "echo ?,?").await;
    let run = |rest: &[u8]| [&id[..], &[0, 1, 0, 0, 0], rest].concat();

    // No types yet.
    assert_eq!(execute(&mut client, &run(&[0, 0])).await, Err(1210));
    // FLOAT and an unsigned TINY.
    let mut typed = vec![0, 1, 4, 0, 1, 0x80];
    typed.extend_from_slice(&0.5_f32.to_le_bytes());
    typed.push(200);
    let expected = shown(&[Parameter::Float(0.5), Parameter::UInt(200)]);
    assert_eq!(execute(&mut client, &run(&typed)).await, expected);
    // The same types again, unsent; then the first one NULL.
    let untyped = [&[0, 0][..], &typed[6..]].concat();
    assert_eq!(execute(&mut client, &run(&untyped)).await, expected);
    let with_null = [1, 0, 200];
    let expected = shown(&[Parameter::Null, Parameter::UInt(200)]);
    assert_eq!(execute(&mut client, &run(&with_null)).await, expected);
    // Cut anywhere, of unknown type, of impossible length.
    for cut in 0..typed.len() {
        assert_eq!(execute(&mut client, &run(&typed[..cut])).await, Err(1835), "cut at {cut}");
    }
    assert_eq!(execute(&mut client, &run(&[0, 1, 99, 0, 1, 0])).await, Err(1210));
    assert_eq!(execute(&mut client, &run(&[0, 1, 12, 0, 12, 0, 5, 1, 2, 3, 4, 5])).await, Err(1835));
    assert_eq!(
        execute(&mut client, &run(&[0, 1, 253, 0, 253, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])).await,
        Err(1835)
    );
    // Unknown statements.
    assert_eq!(execute(&mut client, &[9, 9, 9, 9, 0, 1, 0, 0, 0]).await, Err(1243));
    assert_eq!(execute(&mut client, &[1, 2]).await, Err(1835));
    assert_eq!(client.ask(0x1a, &[9, 9, 9, 9]).await.code(), 1243);
    assert_eq!(client.ask(0x1c, &[&id[..], &[1, 0, 0, 0]].concat()).await.code(), 1421);
}

#[tokio::test]
async fn long_data_arrives_and_can_be_taken_back() {
    let mut server = Server::start_with(|config| config.max_allowed_packet_bytes = 1000).await;
    let mut client = enter(&server).await;
    let id = prepare(&mut client, "echo ?,?").await;
    let long = |parameter: u8, data: &[u8]| [&id[..], &[parameter, 0], data].concat();
    let run = [&id[..], &[0, 1, 0, 0, 0, 0, 1, 252, 0, 1, 0, 42]].concat();

    client.command(0x18, &long(0, b"in two ")).await;
    client.command(0x18, &long(0, b"parts")).await;
    let expected = shown(&[Parameter::Bytes(b"in two parts".to_vec()), Parameter::Int(42)]);
    assert_eq!(execute(&mut client, &run).await, expected);

    client.command(0x18, &long(0, b"forget this")).await;
    assert!(client.ask(0x1a, &id).await.is_ok());
    assert_eq!(execute(&mut client, &run).await, Err(1835));

    for _ in 0..3 {
        client.command(0x18, &long(0, &[b'x'; 400])).await;
    }
    assert_eq!(execute(&mut client, &run).await, Err(1210));
    // Neither of these has an answer.
    client.command(0x18, &long(7, b"no such parameter")).await;
    client.command(0x18, &[1]).await;
    client.command(0x19, &id).await;
    server.wait_for(Event::StatementClosed(1)).await;
    assert_eq!(execute(&mut client, &run).await, Err(1243));
}

#[tokio::test]
async fn statements_without_parameters_need_none() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    let prepared = client.ask(0x16, b"say hello").await;
    let id: [u8; 4] = prepared.payload[1..5].try_into().unwrap();
    assert_eq!(prepared.payload[5..9], [0; 4]);
    assert_eq!(execute(&mut client, &id).await, Ok(vec!["hello".to_owned()]));
}

#[tokio::test]
async fn commands_sent_ahead_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    client.command(0x03, b"sleep 50").await;
    client.send(200, b"\x0e").await;
    client.send(255, b"\x0e").await;
    client.command(0x02, b"nowhere").await;
    assert!(client.answer().await.is_ok());
    assert_eq!(client.answer().await.sequence, 201);
    assert_eq!(client.answer().await.sequence, 0);
    assert_eq!(client.answer().await.code(), 1049);
}

#[tokio::test]
async fn an_idle_client_is_told_of_the_shutdown() {
    let server = Server::start().await;
    let mut client = enter(&server).await;
    let mut outside = knock(&server).await;
    outside.greeting().await;
    server.shutdown.cancel();
    let told = client.answer().await;
    assert_eq!((told.sequence, told.code()), (0, 1053));
    assert!(client.is_closed().await);
    assert_eq!(outside.answer().await.code(), 1053);
    drop(outside);
    server.stopped().await;
}

#[tokio::test]
async fn a_client_that_is_idle_for_too_long_is_sent_away() {
    const INTERACTIVE: u32 = 1 << 10;
    let mut server = Server::start().await;
    let mut patient = enter(&server).await;
    let mut client = knock(&server).await;
    client.login(PLAIN | INTERACTIVE).await;
    let told = client.answer().await;
    assert_eq!((told.sequence, told.code()), (0, 4031));
    assert!(client.is_closed().await);
    server.wait_for(Event::Closed(CloseReason::Idle)).await;
    assert!(patient.ask(0x0e, &[]).await.is_ok());
}
