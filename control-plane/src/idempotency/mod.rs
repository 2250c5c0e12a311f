//! `Idempotency-Key`: a creation that is sent again has one effect and one answer.
//!
//! The key is claimed in the transaction of the effect, so both exist or neither does. A request that comes
//! while the first is still in its transaction waits on the unique index and then finds the answer.
//! An answer that held a secret is stored without it: a key is shown once, also to who asks twice.

mod store;

pub(crate) use store::sweep;

use rowhouse_database::Sql;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{IdempotencyKey, fingerprint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::authentication::Caller;

/// What a creation starts with.
pub(crate) enum Begun {
    /// Nobody has asked for this before: go on.
    First(Claim),
    /// It was done; this is what was recorded of it.
    Replay(Value),
}

/// The right, and the duty, to record what came of it; empty where no key was sent.
#[must_use]
pub(crate) struct Claim(Option<uuid::Uuid>);

/// Claims the request's key, if it has one. `route` is the method and path as called.
pub(crate) async fn begin(
    tx: &impl Sql,
    caller: &Caller,
    key: &IdempotencyKey,
    route: &str,
    request: &impl Serialize,
) -> Result<Begun> {
    let Some(key) = &key.0 else { return Ok(Begun::First(Claim(None))) };
    let actor = caller.principal.actor();
    let hash = fingerprint(route, request);
    if let Some(id) = store::claim(tx, &actor, route, key, &hash).await? {
        return Ok(Begun::First(Claim(Some(id))));
    }
    let Some(recorded) = store::find(tx, &actor, route, key).await? else {
        // It was swept away between the two statements.
        return Err(Error::new(Code::RequestInFlight, "The key has just expired. Try again."));
    };
    if recorded.request_hash != hash {
        let detail = "Another request was sent under this key. Use a new key for a new request.";
        return Err(Error::new(Code::IdempotencyMismatch, detail));
    }
    recorded
        .body
        .map(Begun::Replay)
        .ok_or_else(|| Error::new(Code::RequestInFlight, "The first request is not finished. Try again in a moment."))
}

impl Claim {
    /// Records the answer, before the commit.
    pub(crate) async fn record(self, tx: &impl Sql, status: u16, body: &impl Serialize) -> Result<()> {
        let Some(id) = self.0 else { return Ok(()) };
        let body = serde_json::to_vec(body).expect("answers are plain values");
        store::record(tx, id, i32::from(status), &body).await
    }
}

/// Reads what was recorded back.
pub(crate) fn recall<T: DeserializeOwned>(recorded: Value) -> Result<T> {
    serde_json::from_value(recorded).map_err(Error::internal)
}
