//! One connection through the proxy: request after request, each passed on as it comes and its answer passed back.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::held::HeldBack;
use super::{Exchange, Fault, Operation, Shared, whole};
use crate::http::message::{BodyLength, Head, Pace, copy_body, read_body, read_head};

/// Between socket and proxy; as large as a part of a body that passes at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A connection's two directions.
pub(super) struct Half<W = OwnedWriteHalf> {
    pub(super) read: BufReader<OwnedReadHalf>,
    pub(super) write: W,
}

/// The side that asks.
pub(super) type Client = Half<HeldBack<OwnedWriteHalf>>;

/// Whether the connection can carry another request.
#[derive(PartialEq)]
pub(super) enum After {
    Keep,
    Close,
}

/// Serves a client until either side closes. Errors end the connection, as they would without a proxy between.
pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let Half { read, write } = halves(client);
    let mut client = Half { read, write: HeldBack::new(write) };
    let mut upstream = None;
    while let Ok(Some(head)) = read_head(&mut client.read).await {
        let start = Instant::now();
        let (operation, key) = Operation::of(&head);
        let mut exchange = Exchange {
            operation,
            key,
            status: 0,
            sent_bytes: 0,
            received_bytes: 0,
            elapsed: start.elapsed(),
            disturbed: false,
        };
        let after = pass(&head, &mut client, &mut upstream, &shared, &mut exchange).await;
        exchange.elapsed = start.elapsed();
        shared.log.lock().unwrap().push(exchange);
        if client.write.release().await.is_err() {
            break;
        }
        if !matches!(after, Ok(After::Keep)) {
            break;
        }
    }
}

async fn pass(
    head: &Head,
    client: &mut Client,
    upstream: &mut Option<Half>,
    shared: &Arc<Shared>,
    exchange: &mut Exchange,
) -> io::Result<After> {
    let mut pace = Pace::free();
    let mut lifted = None;
    let struck = shared.fault(exchange.operation, &exchange.key, head.header("range").is_some());
    exchange.disturbed = struck.is_some();
    match struck {
        None => {}
        Some((Fault::Delay(time), _)) => tokio::time::sleep(time).await,
        Some((Fault::Hold, mut lifted)) => wait_lifted(&mut lifted).await,
        Some((Fault::Throttle(rate), _)) => pace.bytes_per_second = Some(rate),
        Some((Fault::StopAfter(bytes), switch)) => {
            pace.stop_after = Some(bytes);
            lifted = Some(switch);
        }
        Some((Fault::Refuse(status, code), _)) => {
            return refuse(head, client, exchange, status, code).await;
        }
        Some((Fault::Disconnect, _)) => return Ok(After::Close),
        Some(struck) => return whole::pass(head, client, shared, exchange, struck).await,
    }
    let upstream = match upstream {
        Some(upstream) => upstream,
        none => {
            let stream = TcpStream::connect(&shared.upstream).await?;
            stream.set_nodelay(true)?;
            none.insert(halves(stream))
        }
    };
    let relayed = relay(head, client, upstream, &pace, exchange);
    match lifted {
        None => relayed.await,
        // A body that was stopped half-way cannot go on; lifting the rule ends its connection.
        Some(mut lifted) => tokio::select! {
            after = relayed => after,
            () = wait_lifted(&mut lifted) => Ok(After::Close),
        },
    }
}

/// Passes request and answer at the same time: a store may answer before it has read the whole body.
async fn relay(
    head: &Head,
    client: &mut Client,
    upstream: &mut Half,
    pace: &Pace,
    exchange: &mut Exchange,
) -> io::Result<After> {
    let method = head.request().map_or("", |(method, _)| method);
    let mut keep = !head.says("connection", "close");
    let (sent_bytes, status, received_bytes) =
        (&mut exchange.sent_bytes, &mut exchange.status, &mut exchange.received_bytes);

    let send = async {
        upstream.write.write_all(head.bytes()).await?;
        *sent_bytes = copy_body(&mut client.read, &mut upstream.write, BodyLength::of_request(head), pace).await?;
        io::Result::Ok(())
    };
    let receive = async {
        loop {
            let answer = read_head(&mut upstream.read).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            client.write.write_all(answer.bytes()).await?;
            *status = answer.status().unwrap_or(0);
            if (100..200).contains(status) {
                client.write.release().await?;
            } else {
                let length = BodyLength::of_response(&answer, method);
                *received_bytes = copy_body(&mut upstream.read, &mut client.write, length, pace).await?;
                return io::Result::Ok(length != BodyLength::UntilClose && !answer.says("connection", "close"));
            }
        }
    };
    tokio::pin!(send, receive);
    let mut sent = false;
    loop {
        tokio::select! {
            outcome = &mut send, if !sent => {
                outcome?;
                sent = true;
            }
            outcome = &mut receive => {
                // With part of the request's body unread, the connection is of no more use.
                keep &= outcome? && sent;
                return Ok(if keep { After::Keep } else { After::Close });
            }
        }
    }
}

async fn refuse(
    head: &Head,
    client: &mut Client,
    exchange: &mut Exchange,
    status: u16,
    code: &str,
) -> io::Result<After> {
    if head.says("expect", "100-continue") {
        client.write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        client.write.release().await?;
    }
    exchange.sent_bytes = read_body(&mut client.read, BodyLength::of_request(head)).await?.len() as u64;
    exchange.status = status;
    let is_head = head.request().is_some_and(|(method, _)| method == "HEAD");
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>refused by the test</Message></Error>");
    let answer = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        if is_head { "" } else { &body }
    );
    client.write.write_all(answer.as_bytes()).await?;
    client.write.flush().await?;
    Ok(After::Keep)
}

pub(super) async fn wait_lifted(lifted: &mut watch::Receiver<bool>) {
    // The sender lives as long as the proxy; without it nobody can lift the rule.
    if lifted.wait_for(|lifted| *lifted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

pub(super) fn halves(stream: TcpStream) -> Half {
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    Half { read: BufReader::with_capacity(BUFFER_BYTES, read), write }
}
