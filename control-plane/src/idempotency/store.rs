//! Platform table `idempotency_keys`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::Actor;
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use uuid::Uuid;

/// What was recorded under a key.
pub(super) struct Recorded {
    pub(super) request_hash: Vec<u8>,
    pub(super) body: Option<Value>,
}

// An expired row is taken over as if it were not there.
const CLAIM: &str = "
    insert into idempotency_keys as held (principal_kind, principal_id, route, key, request_hash)
    values ($1, $2, $3, $4, $5)
    on conflict (principal_kind, principal_id, route, key) do update
    set request_hash = excluded.request_hash, state = 'in_flight', response_status = null, response_headers = '{}',
        response_body = null, expires_at = excluded.expires_at
    where held.expires_at < now()
    returning id";

pub(super) async fn claim(tx: &impl Sql, actor: &Actor, route: &str, key: &str, hash: &[u8]) -> Result<Option<Uuid>> {
    let principal = actor.id.unwrap_or_default();
    let row = tx
        .query_opt(CLAIM, &[&actor.kind, &principal, &route, &key, &hash])
        .await
        .context("claiming an idempotency key")?;
    row.map(|row| row.column("id")).transpose()
}

const FIND: &str = "
    select request_hash, response_body from idempotency_keys
    where principal_kind = $1 and principal_id = $2 and route = $3 and key = $4";

pub(super) async fn find(tx: &impl Sql, actor: &Actor, route: &str, key: &str) -> Result<Option<Recorded>> {
    let principal = actor.id.unwrap_or_default();
    let row =
        tx.query_opt(FIND, &[&actor.kind, &principal, &route, &key]).await.context("reading an idempotency key")?;
    row.map(|row| {
        let body: Option<&[u8]> = row.column("response_body")?;
        Ok(Recorded {
            request_hash: row.column("request_hash")?,
            body: body.map(serde_json::from_slice).transpose().map_err(Error::internal)?,
        })
    })
    .transpose()
}

const RECORD: &str = "
    update idempotency_keys set state = 'done', response_status = $2, response_body = $3 where id = $1";

pub(super) async fn record(tx: &impl Sql, id: Uuid, status: i32, body: &[u8]) -> Result<()> {
    tx.execute(RECORD, &[&id, &status, &body]).await.context("recording an answer").map(drop)
}

const SWEEP: &str = "delete from idempotency_keys where expires_at < now()";

/// Forgets keys that have expired.
pub(crate) async fn sweep(db: &impl Sql) -> Result<u64> {
    db.execute(SWEEP, &[]).await.context("sweeping idempotency keys")
}
