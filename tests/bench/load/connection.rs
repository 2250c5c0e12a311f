//! One keep-alive connection: at most one request on it at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Headers that an answer may have.
const HEADERS: usize = 32;

/// A request on its way.
#[derive(Clone, Copy)]
pub(super) struct InFlight {
    pub(super) planned: Instant,
    pub(super) target: usize,
}

/// A connection of the load generator.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) in_flight: Option<InFlight>,
    received: Vec<u8>,
}

/// An answer that is whole.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether the body begins as it should.
    pub(super) is_marked: bool,
    /// Whether the server is about to close the connection.
    pub(super) is_last: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, in_flight: None, received: Vec::with_capacity(PIECE) })
    }

    /// Sends a request. They are small: what does not go out at once never will.
    pub(super) fn send(&mut self, request: &[u8], in_flight: InFlight) -> Result<()> {
        self.received.clear();
        self.in_flight = Some(in_flight);
        self.stream.write_all(request).context("sending a request")
    }

    /// Takes what has come. Gives an answer when it is whole.
    pub(super) fn receive(&mut self, marker: &[u8]) -> Result<Option<Answer>> {
        loop {
            let known = self.received.len();
            self.received.resize(known + PIECE, 0);
            let read = self.stream.read(&mut self.received[known..]);
            self.received.truncate(known + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => bail!("the server closed the connection"),
                Ok(PIECE) => {}
                Ok(_) => return parse(&self.received, marker),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return parse(&self.received, marker),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
    }
}

fn parse(received: &[u8], marker: &[u8]) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else { return Ok(None) };
    let (mut length, mut is_last) = (None, false);
    for header in &*response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(std::str::from_utf8(header.value)?.trim().parse::<usize>()?);
        }
        is_last |= header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close");
    }
    let status = response.code.context("an answer has a status")?;
    let length = length.with_context(|| format!("an answer with status {status} does not say its length"))?;
    let Some(body) = received.get(head..head + length) else { return Ok(None) };
    Ok(Some(Answer { status, is_marked: body.starts_with(marker), is_last }))
}
