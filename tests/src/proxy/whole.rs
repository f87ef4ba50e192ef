//! Faults that need a whole message: request and answer are read to their ends, changed, and passed on.
//!
//! Each exchange has a connection of its own to the store. Bodies must say how long they are.

use std::io;
use std::sync::{Arc, Mutex};

use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::relay::{After, Client, halves, wait_lifted};
use super::{Effect, Ending, Exchange, Fault, Shared, swap};
use crate::http::message::{BodyLength, Head, read_body, read_head};

/// A request that has come to its end.
struct Asked {
    head: Vec<u8>,
    method: String,
    body: Vec<u8>,
}

/// An answer that has come to its end.
struct Answered {
    head: Head,
    body: Vec<u8>,
}

/// Passes one exchange with a fault in it.
pub(super) async fn pass(
    head: &Head,
    client: &mut Client,
    shared: &Arc<Shared>,
    exchange: &mut Exchange,
    (fault, mut lifted): (Fault, watch::Receiver<bool>),
) -> io::Result<After> {
    let mut asked = read_request(head, client).await?;
    exchange.sent_bytes = asked.body.len() as u64;
    exchange.disturbed = true;
    match fault {
        Fault::Say(status, body, effect) => {
            if effect == Effect::Applied {
                ask(&shared.upstream, &asked).await?;
            }
            exchange.status = status;
            exchange.received_bytes = body.len() as u64;
            let body = if asked.method == "HEAD" { "" } else { &body };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Said\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            client.write.write_all(answer.as_bytes()).await?;
            client.write.flush().await?;
            Ok(After::Keep)
        }
        Fault::CutRequest(ending) => {
            let mut upstream = halves(TcpStream::connect(&shared.upstream).await?);
            let half = &asked.body[..asked.body.len() / 2];
            if !asked.body.is_empty() {
                upstream.write.write_all(&[&asked.head, half].concat()).await?;
                upstream.write.flush().await?;
            }
            if ending == Ending::Reset {
                upstream.write.as_ref().set_zero_linger()?;
            }
            hang_up(client, ending, &mut lifted).await
        }
        Fault::LoseAnswer(ending) => {
            exchange.status = 0;
            ask(&shared.upstream, &asked).await?;
            hang_up(client, ending, &mut lifted).await
        }
        Fault::CutAnswer(ending) => {
            let answer = ask(&shared.upstream, &asked).await?;
            exchange.status = answer.head.status().unwrap_or(0);
            if !answer.body.is_empty() {
                let half = &answer.body[..answer.body.len() / 2];
                exchange.received_bytes = half.len() as u64;
                // The head of the whole: what is missing is missed.
                let wire = [&with_length(&answer.head, answer.body.len())[..], half].concat();
                client.write.write_all(&wire).await?;
                client.write.flush().await?;
            }
            hang_up(client, ending, &mut lifted).await
        }
        Fault::Late(time) => {
            let (shared, mut log) = (Arc::clone(shared), exchange.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                if let Ok(answer) = ask(&shared.upstream, &asked).await {
                    log.status = answer.head.status().unwrap_or(0);
                    shared.late.lock().unwrap().push(log);
                }
            });
            hang_up(client, Ending::Reset, &mut lifted).await
        }
        Fault::FlipRequest => {
            exchange.disturbed = flip(&mut asked.body, &shared.dice);
            let answer = ask(&shared.upstream, &asked).await?;
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::FrameRequest => {
            exchange.disturbed = !asked.body.is_empty();
            asked.body = framed(&asked.body);
            asked.head = with_length(head, asked.body.len());
            let answer = ask(&shared.upstream, &asked).await?;
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::FlipAnswer => {
            let mut answer = ask(&shared.upstream, &asked).await?;
            exchange.disturbed = flip(&mut answer.body, &shared.dice);
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::HalveAnswer => {
            let mut answer = ask(&shared.upstream, &asked).await?;
            exchange.disturbed = !answer.body.is_empty();
            answer.body.truncate(answer.body.len() / 2);
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::AnswerOther => {
            let own = ask(&shared.upstream, &asked).await?;
            let other = swap::answer(shared, head, exchange).await;
            exchange.disturbed = other.is_some();
            let answer = other.map_or(own, |other| Answered { head: other.head, body: other.body });
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::StaleListing => {
            let mut answer = ask(&shared.upstream, &asked).await?;
            exchange.disturbed = leave_out_last(&mut answer.body);
            give(client, exchange, &asked, &answer, 1).await
        }
        Fault::AnswerTwice => {
            let answer = ask(&shared.upstream, &asked).await?;
            give(client, exchange, &asked, &answer, 2).await
        }
        Fault::AskTwice => {
            ask(&shared.upstream, &asked).await?;
            let answer = ask(&shared.upstream, &asked).await?;
            give(client, exchange, &asked, &answer, 1).await
        }
        other => Err(io::Error::other(format!("{other:?} needs no whole message"))),
    }
}

async fn read_request(head: &Head, client: &mut Client) -> io::Result<Asked> {
    let length = BodyLength::of_request(head);
    if length == BodyLength::Chunked {
        return Err(io::Error::other("the request does not say how long it is"));
    }
    if head.says("expect", "100-continue") {
        client.write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        client.write.release().await?;
    }
    let body = read_body(&mut client.read, length).await?;
    let method = head.request().map_or("", |(method, _)| method).to_string();
    Ok(Asked { head: head.bytes().to_vec(), method, body })
}

/// Asks the store, over a connection of its own.
async fn ask(upstream: &str, asked: &Asked) -> io::Result<Answered> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let mut upstream = halves(stream);
    upstream.write.write_all(&asked.head).await?;
    upstream.write.write_all(&asked.body).await?;
    upstream.write.flush().await?;
    loop {
        let head = read_head(&mut upstream.read).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if matches!(head.status(), Some(100..200)) {
            continue;
        }
        let length = BodyLength::of_response(&head, &asked.method);
        let body = read_body(&mut upstream.read, length).await?;
        return Ok(Answered { head, body });
    }
}

/// Passes an answer on, so many times.
async fn give(
    client: &mut Client,
    exchange: &mut Exchange,
    asked: &Asked,
    answer: &Answered,
    times: usize,
) -> io::Result<After> {
    exchange.status = answer.head.status().unwrap_or(0);
    exchange.received_bytes = answer.body.len() as u64;
    let wire = match asked.method.as_str() {
        // Its head says how long the body would be.
        "HEAD" => answer.head.bytes().to_vec(),
        _ => [&with_length(&answer.head, answer.body.len())[..], &answer.body].concat(),
    };
    client.write.write_all(&wire.repeat(times)).await?;
    client.write.flush().await?;
    Ok(if answer.head.says("connection", "close") { After::Close } else { After::Keep })
}

/// The head with another length of the body.
fn with_length(head: &Head, bytes: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(head.bytes());
    let is_framing = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name == "content-length" || name == "transfer-encoding"
    };
    let lines: Vec<&str> = text.trim_end().split("\r\n").filter(|line| !is_framing(line)).collect();
    format!("{}\r\nContent-Length: {bytes}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// The body as one chunk and a trailer, as newer clients send it; an empty one as it is.
fn framed(body: &[u8]) -> Vec<u8> {
    match body.len() {
        0 => Vec::new(),
        bytes => {
            let head = format!("{bytes:x}\r\n").into_bytes();
            [&head, body, b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"].concat()
        }
    }
}

/// Turns one bit over, if there is one.
fn flip(body: &mut [u8], dice: &Mutex<StdRng>) -> bool {
    if body.is_empty() {
        return false;
    }
    let mut dice = dice.lock().unwrap();
    let at = dice.random_range(0..body.len());
    body[at] ^= 1 << dice.random_range(0..8);
    true
}

/// Takes the last key out of a listing, and out of its count, if there is one.
fn leave_out_last(listing: &mut Vec<u8>) -> bool {
    const END: &str = "</Contents>";
    let text = String::from_utf8_lossy(listing);
    let (Some(begin), Some(end)) = (text.rfind("<Contents>"), text.rfind(END)) else { return false };
    let mut stale = [&text[..begin], &text[end + END.len()..]].concat();
    if let Some((before, rest)) = stale.split_once("<KeyCount>")
        && let Some((count, after)) = rest.split_once('<')
        && let Ok(count) = count.parse::<u64>()
    {
        stale = format!("{before}<KeyCount>{}<{after}", count.saturating_sub(1));
    }
    *listing = stale.into_bytes();
    true
}

/// Ends the conversation with the client.
async fn hang_up(client: &mut Client, ending: Ending, lifted: &mut watch::Receiver<bool>) -> io::Result<After> {
    match ending {
        Ending::Reset => client.write.inner().as_ref().set_zero_linger()?,
        Ending::Close => {}
        // Until the rule is lifted or the client has had enough.
        Ending::Silence => tokio::select! {
            () = wait_lifted(lifted) => {}
            _ = client.read.fill_buf() => {}
        },
    }
    Ok(After::Close)
}
