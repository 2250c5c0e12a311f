//! A content on its way in: reserved, written and hashed as it comes, then handed to [`finalize`](super::finalize).

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use rowhouse_blobs::BlobWriter;
use rowhouse_domain::{ReservationId, UploadId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, fingerprint};
use serde::Serialize;
use serde_json::Value;

use super::cleanup::Debris;
use super::destination::Destination;
use super::digest::Expected;
use super::finalize::{self, Plan};
use super::intents::{self, Intent};
use super::pulse::{LEASE, Pulse};
use super::reservation::Reservation;
use super::slots::Slot;
use crate::answer::Answer;
use crate::authentication::Caller;
use crate::contents::{OpenKey, blob_failure};
use crate::idempotency::{self, Claim, Request, Ticket};
use crate::state::AppState;
use crate::workspaces::model::Room;

/// First bytes that the media type is judged by.
const HEAD: usize = 8 * 1024;
/// A busy sender's chunks are of this order; hashing so many inline delays other requests by less than a millisecond.
pub(super) const LARGEST_PIECE: usize = 256 * 1024;

/// What the sender says of the content.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Its exact length.
    pub(super) length: Option<u64>,
    /// Its media type.
    pub(super) media_type: Option<String>,
    /// What else is said of it, by S3.
    pub(super) user_metadata: Option<Value>,
    /// What has changed with it.
    pub(super) change_summary: Option<String>,
    /// Its hashes.
    pub(super) hashes: Expected,
}

/// A retry of the same upload is told by this.
pub(super) struct Identity<'a> {
    pub(super) route: &'a str,
    pub(super) key: &'a IdempotencyKey,
    pub(super) hash: Vec<u8>,
    /// How long retries may come for, where that is longer than any key is kept.
    pub(super) until: Option<Timestamp>,
}

impl<'a> Identity<'a> {
    /// From everything that is known before the body.
    pub(super) fn new(route: &'a str, key: &'a IdempotencyKey, request: &impl Serialize) -> Self {
        Self { route, key, hash: fingerprint(route, request), until: None }
    }
}

/// What comes of beginning an upload.
pub(super) enum Begun {
    /// The body may be read.
    Upload(Box<Upload>),
    /// It was uploaded before, and this was the answer; the place is for finding out whether it is the same content.
    Replay(Answer, Slot),
}

/// An upload under way. Dropping it removes all its traces.
pub(crate) struct Upload {
    state: AppState,
    caller: Caller,
    destination: Destination,
    declared: Declared,
    room: Room,
    intent: Intent,
    ticket: Option<Ticket>,
    reservation: Arc<Reservation>,
    pulse: Pulse,
    slot: Slot,
    head: Vec<u8>,
    writer: BlobWriter,
    debris: Debris,
}

/// Does everything that can be done before the body: whatever is refused here costs the sender no byte. What came in parts
/// takes over their upload's reservation, and ends it.
pub(super) async fn begin(
    state: &AppState,
    caller: &Caller,
    destination: Destination,
    declared: Declared,
    identity: &Identity<'_>,
    slot: Slot,
    parts: Option<(UploadId, ReservationId)>,
) -> Result<Begun> {
    check_size(state, declared.length.unwrap_or(0))?;
    let ttl = state.settings.uploads.reservation_ttl;
    let mut intent = Intent::new(caller.tenant());
    if let Some((upload, reservation)) = parts {
        intent.reservation = reservation;
        intent.ends = Some(upload);
    }
    let (room, ticket, content_key) = {
        let mut tenant = caller.connection(state).await?;
        let transaction = tenant.transaction().await?;
        let (route, key, until) = (identity.route, identity.key, identity.until);
        let request = Request { caller, route, key, hash: identity.hash.clone(), until };
        let ticket = match idempotency::claim(&transaction, &request, LEASE).await? {
            Claim::Replay(answer) => return Ok(Begun::Replay(answer, slot)),
            Claim::Fresh(ticket) => ticket,
        };
        let room = destination.check(&transaction).await?;
        room.check(declared.length.unwrap_or(0))?;
        let bytes = declared.length.map(i64::try_from).transpose().map_err(Error::internal)?;
        let content_key = state.contents.current_key(&transaction, caller.tenant()).await?;
        let bucket = finalize::bucket(state);
        intents::store::insert(&transaction, &intent, bucket, bytes, ttl, caller.actor()).await?;
        transaction.commit().await?;
        (room, ticket, content_key)
    };
    intent.content_key = content_key.as_ref().map(OpenKey::id);
    let reservation = Arc::new(Reservation::new(state.clone(), caller.clone(), intent.reservation));
    let mut debris = Debris::new(state.clone(), caller.clone(), intent.clone(), ticket, Arc::clone(&reservation));
    let reserved = match parts {
        Some(_) => reservation.adopt(declared.length.unwrap_or(0)).await,
        None => reservation.open(declared.length).await,
    };
    if let Err(error) = reserved {
        debris.clear().await;
        return Err(error);
    }
    Ok(Begun::Upload(Box::new(Upload {
        pulse: Pulse::start(state, caller, &intent, ticket, Arc::clone(&reservation)),
        writer: writer(state, caller, &intent, content_key.as_ref(), &declared),
        state: state.clone(),
        caller: caller.clone(),
        head: Vec::new(),
        destination,
        declared,
        room,
        intent,
        ticket,
        reservation,
        slot,
        debris,
    })))
}

fn writer(
    state: &AppState,
    caller: &Caller,
    intent: &Intent,
    key: Option<&OpenKey>,
    declared: &Declared,
) -> BlobWriter {
    let writer = intents::writer(state, caller, intent, key);
    if declared.hashes.md5.is_some() { writer.with_md5() } else { writer }
}

/// Refuses what is larger than any file may be.
pub(super) fn check_size(state: &AppState, size: u64) -> Result<()> {
    let limit = state.settings.uploads.max_bytes;
    if size <= limit {
        return Ok(());
    }
    Err(Error::new(Code::TooLarge, format!("A file holds at most {limit} bytes.")).with("limit", limit))
}

impl Upload {
    /// Takes the body in. On an error everything is cleaned up before it returns.
    pub(crate) async fn receive(&mut self, body: impl Stream<Item = Result<Bytes>>) -> Result<()> {
        let result = self.stream(body).await;
        if result.is_err() {
            self.debris.clear().await;
        }
        result
    }

    async fn stream(&mut self, body: impl Stream<Item = Result<Bytes>>) -> Result<()> {
        let mut body = std::pin::pin!(body);
        loop {
            let chunk = tokio::select! {
                biased;
                error = self.pulse.lost() => return Err(error),
                chunk = body.next() => chunk,
            };
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
        if let Some(length) = self.declared.length.filter(|length| size > *length) {
            return Err(Error::new(Code::TooLarge, format!("{length} bytes are expected.")).with("limit", length));
        }
        self.room.check(size)?;
        self.reservation.cover(size).await?;
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..missing.min(chunk.len())]);
        while !chunk.is_empty() {
            let piece = chunk.split_to(LARGEST_PIECE.min(chunk.len()));
            self.writer.write(piece).await.map_err(blob_failure)?;
        }
        Ok(())
    }

    /// Removes all traces: what came is not wanted.
    pub(crate) async fn discard(mut self: Box<Self>) {
        self.debris.clear().await;
    }

    /// Stores and records what came. It runs to its end also when the request is dropped meanwhile: nobody could tell
    /// afterwards how far it had come.
    pub(crate) async fn finish(self: Box<Self>) -> Result<Answer> {
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
            reservation: self.reservation,
            pulse: self.pulse,
            slot: self.slot,
        };
        let task = tokio::spawn(tracing::Instrument::in_current_span(finalize::finalize(plan)));
        task.await.map_err(Error::internal)?
    }
}
