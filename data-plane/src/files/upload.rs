//! A content on its way in: reserved, written and hashed as it comes, then handed to [`finalize`](super::finalize).

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rowhouse_blobs::{BlobKey, BlobWriter};
use rowhouse_domain::ReservationId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, fingerprint};
use serde::Serialize;
use uuid::Uuid;

use super::cleanup::Debris;
use super::destination::Destination;
use super::digest::Expected;
use super::failure::blob_failure;
use super::finalize::{self, Plan};
use super::intents::{self, Intent};
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::idempotency::{self, Claim, Request, Ticket};
use crate::quota;
use crate::state::AppState;
use crate::workspaces::model::Room;

/// What a body of unknown length reserves at a time.
const BLOCK: u64 = 8 * 1024 * 1024;
/// First bytes that the media type is judged by.
const HEAD: usize = 8 * 1024;
/// A busy sender's chunks are of this order; hashing so many inline delays other requests by less than a millisecond.
const LARGEST_PIECE: usize = 256 * 1024;

/// What the sender says of the content.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Its exact length.
    pub(super) length: Option<u64>,
    /// Its media type.
    pub(super) media_type: Option<String>,
    /// Its hashes.
    pub(super) hashes: Expected,
}

/// A retry of the same upload is told by this.
pub(super) struct Identity<'a> {
    pub(super) route: &'a str,
    pub(super) key: &'a IdempotencyKey,
    pub(super) hash: Vec<u8>,
}

impl<'a> Identity<'a> {
    /// From everything that is known before the body.
    pub(super) fn new(route: &'a str, key: &'a IdempotencyKey, request: &impl Serialize) -> Self {
        Self { route, key, hash: fingerprint(route, request) }
    }
}

/// What comes of beginning an upload.
pub(super) enum Begun {
    /// The body may be read.
    Upload(Box<Upload>),
    /// It was uploaded before, and this was the answer.
    Replay(Answer),
}

/// An upload under way. Dropping it removes all its traces.
pub(super) struct Upload {
    state: AppState,
    caller: Caller,
    destination: Destination,
    declared: Declared,
    room: Room,
    intent: Intent,
    ticket: Option<Ticket>,
    reserved: u64,
    head: Vec<u8>,
    writer: BlobWriter,
    debris: Debris,
    last_sign_of_life: Instant,
}

/// Does everything that can be done before the body: whatever is refused here costs the sender no byte.
pub(super) async fn begin(
    state: &AppState,
    caller: &Caller,
    destination: Destination,
    declared: Declared,
    identity: &Identity<'_>,
) -> Result<Begun> {
    check_size(state, declared.length.unwrap_or(0))?;
    let ttl = state.settings.uploads.reservation_ttl;
    let intent = Intent {
        id: Uuid::now_v7(),
        object: BlobKey::random(caller.tenant().as_uuid()),
        reservation: ReservationId::new(),
    };
    let (room, ticket) = {
        let mut tenant = caller.connection(state).await?;
        let transaction = tenant.transaction().await?;
        let request = Request { caller, route: identity.route, key: identity.key, hash: identity.hash.clone() };
        let ticket = match idempotency::claim(&transaction, &request, ttl).await? {
            Claim::Replay(answer) => return Ok(Begun::Replay(answer)),
            Claim::Fresh(ticket) => ticket,
        };
        let room = destination.check(&transaction).await?;
        room.check(declared.length.unwrap_or(0))?;
        let bytes = declared.length.map(i64::try_from).transpose().map_err(Error::internal)?;
        let bucket = finalize::bucket(state);
        intents::store::insert(&transaction, &intent, bucket, bytes, ttl, caller.actor()).await?;
        transaction.commit().await?;
        (room, ticket)
    };
    let mut upload = Box::new(Upload {
        debris: Debris::new(state.clone(), caller.clone(), intent.clone(), ticket),
        writer: writer(state, &intent, &declared),
        state: state.clone(),
        caller: caller.clone(),
        destination,
        room,
        intent,
        ticket,
        reserved: 0,
        head: Vec::new(),
        last_sign_of_life: Instant::now(),
        declared,
    });
    // Marks the tenant as having work, too.
    let first = upload.declared.length.unwrap_or(0);
    if let Err(error) = upload.reserve(first).await {
        upload.debris.clear().await;
        return Err(error);
    }
    Ok(Begun::Upload(upload))
}

fn writer(state: &AppState, intent: &Intent, declared: &Declared) -> BlobWriter {
    let writer = state.blobs.writer(intent.object);
    if declared.hashes.md5.is_some() { writer.with_md5() } else { writer }
}

fn check_size(state: &AppState, size: u64) -> Result<()> {
    let limit = state.settings.uploads.max_bytes;
    if size <= limit {
        return Ok(());
    }
    Err(Error::new(Code::TooLarge, format!("A file holds at most {limit} bytes.")).with("limit", limit))
}

impl Upload {
    /// Takes the body in. On an error everything is cleaned up before it returns.
    pub(super) async fn receive(&mut self, body: impl Stream<Item = Result<Bytes>>) -> Result<()> {
        let result = self.stream(body).await;
        if result.is_err() {
            self.debris.clear().await;
        }
        result
    }

    async fn stream(&mut self, body: impl Stream<Item = Result<Bytes>>) -> Result<()> {
        let idle = self.state.settings.uploads.idle_timeout;
        let mut body = std::pin::pin!(body);
        loop {
            let chunk = tokio::time::timeout(idle, body.next()).await.map_err(|_| stalled(idle))?;
            let Some(chunk) = chunk else { break };
            self.take(chunk?).await?;
        }
        match self.declared.length {
            Some(length) if length != self.writer.size() => {
                let detail = format!("The body ended after {} of {length} bytes.", self.writer.size());
                Err(Error::new(Code::MalformedRequest, detail))
            }
            _ => Ok(()),
        }
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<()> {
        let size = self.writer.size() + chunk.len() as u64;
        check_size(&self.state, size)?;
        self.room.check(size)?;
        if size > self.reserved {
            self.reserve_more(size).await?;
        }
        self.show_life().await;
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..missing.min(chunk.len())]);
        while !chunk.is_empty() {
            let piece = chunk.split_to(LARGEST_PIECE.min(chunk.len()));
            self.writer.write(piece).await.map_err(blob_failure)?;
        }
        Ok(())
    }

    async fn reserve(&mut self, bytes: u64) -> Result<()> {
        let ttl = self.state.settings.uploads.reservation_ttl;
        let (tenant, account) = (self.caller.tenant(), self.caller.account());
        quota::reserve(&self.state.platform, self.intent.reservation, tenant, account, bytes, ttl).await?;
        self.reserved += bytes;
        Ok(())
    }

    /// A block at a time; near the limit, where no block fits, just what is needed, so that it stays exact.
    async fn reserve_more(&mut self, size: u64) -> Result<()> {
        let needed = size - self.reserved;
        let block = needed.max(BLOCK.min(self.state.settings.uploads.max_bytes.saturating_sub(self.reserved)));
        match self.reserve(block).await {
            Err(error) if error.code() == Code::QuotaExceeded && block > needed => self.reserve(needed).await,
            result => result,
        }
    }

    /// Keeps the reservation, the intent and the idempotency key of a long upload from running out.
    async fn show_life(&mut self) {
        let ttl = self.state.settings.uploads.reservation_ttl;
        if self.last_sign_of_life.elapsed() < ttl / 3 {
            return;
        }
        self.last_sign_of_life = Instant::now();
        if let Err(error) = self.prolong(ttl).await {
            // There are two more tries before it matters.
            tracing::warn!(error = error.chain(), "an upload could not be prolonged");
        }
    }

    async fn prolong(&mut self, ttl: Duration) -> Result<()> {
        self.reserve(0).await?;
        let tenant = self.caller.connection(&self.state).await?;
        intents::store::extend(&tenant, self.intent.id, ttl).await?;
        if let Some(ticket) = self.ticket {
            ticket.extend(&tenant, ttl).await?;
        }
        Ok(())
    }

    /// Removes all traces: what came is not wanted.
    pub(super) async fn discard(mut self: Box<Self>) {
        self.debris.clear().await;
    }

    /// Stores and records what came. It runs to its end also when the request is dropped meanwhile: nobody could tell
    /// afterwards how far it had come.
    pub(super) async fn finish(self: Box<Self>) -> Result<Answer> {
        let plan = Plan {
            state: self.state,
            caller: self.caller,
            destination: self.destination,
            declared: self.declared,
            intent: self.intent,
            ticket: self.ticket,
            head: self.head,
            writer: self.writer,
            debris: self.debris,
        };
        let task = tokio::spawn(tracing::Instrument::in_current_span(finalize::finalize(plan)));
        task.await.map_err(Error::internal)?
    }
}

fn stalled(idle: Duration) -> Error {
    Error::new(Code::DeadlineExceeded, format!("No byte came for {} s.", idle.as_secs()))
}
