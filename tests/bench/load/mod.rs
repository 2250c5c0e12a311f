//! A load generator that leaves the machine to what it measures: one thread, no runtime, keep-alive connections.
//!
//! With an open loop, requests have planned times that do not depend on answers, and a request's latency counts from its
//! planned time: where the server falls behind, the waiting is seen. With a closed loop each connection sends its next
//! request at once, which gives the highest rate and latencies that mean little.

mod choice;
mod connection;
mod engine;
mod outcome;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub(crate) use choice::Choice;
pub(crate) use outcome::{Outcome, percentile_of_rounds};

/// No run is longer, whatever was asked for.
const LONGEST: Duration = Duration::from_secs(900);

/// A request that is sent as it is, and what its answer must begin with.
#[derive(Clone)]
pub(crate) struct Target {
    request: Vec<u8>,
    marker: Vec<u8>,
}

impl Target {
    /// `GET path` with a key. An answer of 200 whose body does not begin with `marker` counts as wrong.
    pub(crate) fn get(path: &str, key: &str, marker: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n");
        Self { request: request.into_bytes(), marker: marker.as_bytes().to_vec() }
    }

    /// The metadata of a file. Its id is the answer's first field, so another tenant's answer is noticed.
    pub(crate) fn file(file: &str, key: &str) -> Self {
        Self::get(&format!("/v1/files/{file}"), key, &format!("{{\"id\":\"{file}\""))
    }
}

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whatever becomes of the earlier ones.
    Open(f64),
    /// Each connection's next one when its last one is answered.
    Closed,
}

/// What a run does.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Connections go to these in turn.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) targets: Arc<[Target]>,
    pub(crate) choice: Choice,
    pub(crate) pace: Pace,
    /// The most requests in flight; with an open loop, those that find none free wait, and their waiting counts.
    pub(crate) connections: usize,
    /// What happens first and is not counted.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// The groups of the first targets, which have latencies of their own, too.
    pub(crate) groups: Arc<[usize]>,
    /// So that runs can be told apart, and each be repeated.
    pub(crate) seed: u64,
}

impl Plan {
    /// One address, a uniform choice, a closed loop of 32 connections, one second not counted.
    pub(crate) fn new(address: SocketAddr, targets: Arc<[Target]>, duration: Duration) -> Self {
        Self {
            addresses: vec![address],
            targets,
            choice: Choice::Uniform,
            pace: Pace::Closed,
            connections: 32,
            warm_up: Duration::from_secs(1),
            duration,
            groups: Arc::default(),
            seed: 1,
        }
    }

    /// The same as an open loop.
    pub(crate) fn at(self, rate: f64) -> Self {
        // Enough that none is waited for unless the server is late by tens of milliseconds.
        Self { pace: Pace::Open(rate), connections: 128, ..self }
    }

    /// Sends, waits, counts.
    pub(crate) async fn run(self) -> Result<Outcome> {
        self.run_until(Arc::default()).await
    }

    /// The same, ended early when `stop` is set.
    pub(crate) async fn run_until(self, stop: Arc<AtomicBool>) -> Result<Outcome> {
        ensure!(self.warm_up + self.duration <= LONGEST, "a run may take {} s at most", LONGEST.as_secs());
        ensure!(!self.targets.is_empty() && !self.addresses.is_empty() && self.connections > 0, "a run of nothing");
        tokio::task::spawn_blocking(move || engine::run(&self, &stop)).await.context("the load generator")?
    }
}

/// The address in `http://127.0.0.1:7500`.
pub(crate) fn address(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("the address {url}"))
}
