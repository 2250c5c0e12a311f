//! `Idempotency-Key`: a repeated creation has one effect, and every repetition gets the first one's answer.
//!
//! A key is claimed and its answer stored in the tenant's own database, in the transaction that does the work. Where the
//! work spans more than one transaction (uploads), the claim is a lease that others meet as `request_in_flight`.

mod store;

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::Sql;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, fingerprint};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Answer;
use crate::authentication::Caller;

pub(crate) use store::forget_expired;

/// A request under a key: who sends it, where to, and a hash of what is asked for.
pub struct Request<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// Method and path.
    pub route: &'a str,
    /// The key, where one was sent.
    pub key: &'a IdempotencyKey,
    /// From `rowhouse_web::fingerprint`.
    pub hash: Vec<u8>,
    /// How long repetitions may come for, where that is longer than any key is kept.
    pub until: Option<Timestamp>,
}

impl<'a> Request<'a> {
    /// A request for `body` at `route`.
    pub fn new(caller: &'a Caller, route: &'a str, key: &'a IdempotencyKey, body: &impl Serialize) -> Self {
        Self { caller, route, key, hash: fingerprint(route, body), until: None }
    }
}

/// The right to answer for a key.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    row: Uuid,
    owner: Uuid,
}

/// What the key says about a request.
pub enum Claim {
    /// Nobody has done it yet; a ticket where a key was sent.
    Fresh(Option<Ticket>),
    /// It was done, and this was the answer.
    Replay(Answer),
}

/// Claims the request's key for `lease`.
///
/// # Errors
/// `idempotency_mismatch` where the key was used for something else, `request_in_flight` where somebody is at it.
pub async fn claim(tenant: &impl Sql, request: &Request<'_>, lease: Duration) -> Result<Claim> {
    let Some(key) = &request.key.0 else { return Ok(Claim::Fresh(None)) };
    let owner = Uuid::now_v7();
    if let Some(row) = store::claim(tenant, request, key, owner, lease).await? {
        return Ok(Claim::Fresh(Some(Ticket { row, owner })));
    }
    match store::find(tenant, request, key).await? {
        Some(found) if found.request_hash != request.hash => Err(mismatch()),
        Some(store::Found { answer: Some(answer), .. }) => Ok(Claim::Replay(answer)),
        // In flight, or given up a moment ago.
        Some(_) | None => {
            Err(Error::new(Code::RequestInFlight, "Wait for its answer, or repeat the request in a moment.")
                .retry_after(Duration::from_secs(1)))
        }
    }
}

/// The key stands for another request.
pub fn mismatch() -> Error {
    let detail = "The key was sent before with another request. Use a new key for a new request.";
    Error::new(Code::IdempotencyMismatch, detail)
}

/// The lease ran out, and a repetition answers for the key now.
pub fn taken_over() -> Error {
    Error::new(Code::RequestInFlight, "A repetition of this request has taken over. Repeat it for its answer.")
}

impl Ticket {
    /// Stores the answer, in the transaction that does the work.
    ///
    /// # Errors
    /// `request_in_flight` where the lease ran out and another request took over.
    pub async fn complete(self, transaction: &impl Sql, answer: &Answer) -> Result<()> {
        if store::complete(transaction, self.row, self.owner, answer).await? {
            return Ok(());
        }
        Err(taken_over())
    }

    /// Prolongs the lease. Says whether it was still held.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn extend(self, tenant: &impl Sql, lease: Duration) -> Result<bool> {
        store::extend(tenant, self.row, self.owner, lease).await
    }

    /// Gives the key back: the request came to nothing and may be repeated.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn release(self, tenant: &impl Sql) -> Result<()> {
        store::release(tenant, self.row, self.owner).await
    }
}
