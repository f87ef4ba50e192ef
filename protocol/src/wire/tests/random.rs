//! Random packets and random bytes: nothing panics, nothing hangs.
//!
//! Framed rubbish leaves the connection usable, or ends it in order; unframed rubbish at least ends with the
//! stream.

use proptest::collection::vec;
use proptest::prelude::*;

use super::raw::{PLAIN, Raw};
use super::*;

/// Every command there is, sent more often than those there are not.
const COMMANDS: [u8; 14] = [0x02, 0x03, 0x04, 0x09, 0x0c, 0x0e, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1f];
const PING_SEQUENCE: u8 = 77;

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(vec![
        "types",
        "nulls",
        "say x",
        "echo ?,?",
        "change 300",
        "broken",
        "wrong",
        "year",
        "count 20",
        "say a;broken;say b",
        "",
    ]);
    let statement =
        (prop::sample::select(vec![0x03_u8, 0x16]), text).prop_map(|(code, text)| [&[code], text.as_bytes()].concat());
    let execute =
        (1_u32..4, vec(any::<u8>(), 0..40)).prop_map(|(id, rest)| [&[0x17], &id.to_le_bytes()[..], &rest].concat());
    let command = (prop::sample::select(COMMANDS.to_vec()), vec(any::<u8>(), 0..30))
        .prop_map(|(code, rest)| [&[code], &rest[..]].concat());
    prop_oneof![statement, execute, command, vec(any::<u8>(), 0..60),]
}

/// Serves one end of a pipe; the task ends when the connection does.
fn serve_pipe() -> (Raw<tokio::io::DuplexStream>, JoinHandle<()>) {
    const PIPE_BYTES: usize = 1 << 20;
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let (handler, _) = scripted();
    let served = tokio::spawn(listener::serve_stream(
        server,
        SocketAddr::from(([127, 0, 0, 1], 1)),
        handler,
        ListenerConfig::default(),
        CancellationToken::new(),
    ));
    (Raw::new(client), served)
}

async fn ends(served: JoinHandle<()>) {
    let ended = tokio::time::timeout(PATIENCE, served).await;
    ended.expect("the connection ends").expect("without a panic");
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn framed_rubbish_is_answered(packets in vec(packet(), 0..20)) {
        block_on(async {
            let (mut client, served) = serve_pipe();
            client.login(PLAIN).await;
            for packet in &packets {
                client.send(0, packet).await;
            }
            client.send(PING_SEQUENCE, b"\x0e").await;
            // Only a goodbye and a failed change of user hang up; else the ping is answered in the end.
            let may_end = packets.iter().any(|p| matches!(p.first(), Some(0x01 | 0x11)));
            loop {
                match client.receive().await {
                    Some(packet) if packet.sequence == PING_SEQUENCE + 1 && packet.is_ok() => break,
                    Some(_) => {}
                    None => {
                        assert!(may_end, "hung up after {packets:?}");
                        break;
                    }
                }
            }
            drop(client);
            ends(served).await;
        });
    }

    #[test]
    fn bytes_after_the_login_end_with_the_stream(bytes in vec(any::<u8>(), 0..4000)) {
        block_on(async {
            let (mut client, served) = serve_pipe();
            client.login(PLAIN).await;
            client.send_bytes(&bytes).await;
            drop(client);
            ends(served).await;
        });
    }

    #[test]
    fn bytes_before_the_login_end_with_the_stream(
        bytes in vec(any::<u8>(), 0..300),
        payload in vec(any::<u8>(), 0..200),
        capabilities: u32,
    ) {
        block_on(async {
            let (mut client, served) = serve_pipe();
            client.send_bytes(&bytes).await;
            drop(client);
            ends(served).await;
            // One frame that may be a login.
            let (mut client, served) = serve_pipe();
            let capabilities = (capabilities | 0x200).to_le_bytes();
            client.send(1, &[&capabilities[..], &payload].concat()).await;
            client.send(3, &payload).await;
            drop(client);
            ends(served).await;
        });
    }
}
