//! A client that costs little beside what it measures: one blocking connection, HTTP/1.1 with lengths, nothing kept of bodies
//! that nobody looks at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::content::{Noise, PIECE};

/// Headers that an answer may have.
const HEADERS: usize = 48;
/// What an answer's head may be long, and a body that is kept.
const KEPT: usize = 256 * 1024;
/// No server is waited for any longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server and how it is asked.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The key, where it wants one.
    pub(super) key: Option<String>,
}

impl Server {
    pub(super) fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(self.address).with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let key = self.key.as_ref().map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
        Ok(Client { stream, key, buffer: vec![0; PIECE] })
    }
}

/// A connection to it.
pub(super) struct Client {
    stream: TcpStream,
    key: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Sends a content and gives the answer's body.
    pub(super) fn upload(&mut self, path: &str, noise: &Noise, number: u64, size: usize) -> Result<Vec<u8>> {
        let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\n{}Content-Length: {size}\r\n\r\n", self.key);
        let mut head = Some(head.into_bytes());
        noise.pieces(number, size, |piece| match head.take() {
            // Together: a small content is one packet.
            Some(head) => self.stream.write_all(&[&head, piece].concat()),
            None => self.stream.write_all(piece),
        })?;
        let (status, body, _) = self.answer()?;
        ensure!(status == 201, "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Asks for something and gives how many bytes came.
    pub(super) fn download(&mut self, path: &str) -> Result<usize> {
        Ok(self.get(path)?.1)
    }

    /// Asks for something that is not long.
    pub(super) fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let (body, length) = self.get(path)?;
        ensure!(body.len() == length, "{path} has {length} bytes, of which not all are kept");
        Ok(body)
    }

    fn get(&mut self, path: &str) -> Result<(Vec<u8>, usize)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{}\r\n", self.key);
        self.stream.write_all(head.as_bytes())?;
        let (status, body, length) = self.answer()?;
        ensure!(status == 200, "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok((body, length))
    }

    /// The status, the beginning of the body, and how long all of it was.
    fn answer(&mut self) -> Result<(u16, Vec<u8>, usize)> {
        let mut received = Vec::new();
        let (status, head, length) = loop {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the server closed the connection");
            received.extend_from_slice(&self.buffer[..read]);
            if let Some(parsed) = parse(&received)? {
                break parsed;
            }
            ensure!(received.len() < KEPT, "an answer's head has no end");
        };
        let mut body = received.split_off(head);
        let mut came = body.len();
        while came < length {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the server closed the connection after {came} of {length} bytes");
            came += read;
            if body.len() < KEPT {
                body.extend_from_slice(&self.buffer[..read]);
            }
        }
        ensure!(came == length, "an answer was longer than it said");
        Ok((status, body, length))
    }
}

/// Status, where the body begins and how long it is.
fn parse(received: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else { return Ok(None) };
    let status = response.code.context("an answer has a status")?;
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.with_context(|| format!("an answer with status {status} does not say its length"))?;
    Ok(Some((status, head, std::str::from_utf8(length.value)?.trim().parse()?)))
}
