//! Tenant table `idempotency_keys`. Owns its SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use uuid::Uuid;

use super::Request;
use crate::answer::Answer;

// A row past its time counts as none; so does one whose holder is gone, for the same request.
const CLAIM: &str = "
    insert into idempotency_keys as held (principal_kind, principal_id, route, key, request_hash, locked_by, locked_until,
        expires_at)
    values ('tenant_key', $1, $2, $3, $4, $5, now() + make_interval(secs => $6),
        greatest(now() + interval '24 hours', $7::timestamptz + interval '1 hour'))
    on conflict on constraint idempotency_keys_principal_route_key_key do update
    set state = 'in_flight', request_hash = excluded.request_hash, locked_by = excluded.locked_by,
        locked_until = excluded.locked_until, expires_at = excluded.expires_at,
        response_status = null, response_headers = '{}', response_body = null
    where held.expires_at <= now()
        or (held.state = 'in_flight' and held.locked_until <= now() and held.request_hash = excluded.request_hash)
    returning id";

pub(super) async fn claim(
    tenant: &impl Sql,
    request: &Request<'_>,
    key: &str,
    owner: Uuid,
    lease: Duration,
) -> Result<Option<Uuid>> {
    let lease = lease.as_secs_f64();
    let parameters: rowhouse_database::Parameters<'_> =
        &[&request.caller.key(), &request.route, &key, &request.hash, &owner, &lease, &request.until];
    let row = tenant.query_opt(CLAIM, parameters).await.context("claiming an idempotency key")?;
    row.map(|row| row.column("id")).transpose()
}

/// What is known of a key that somebody else claimed.
pub(super) struct Found {
    pub(super) request_hash: Vec<u8>,
    pub(super) answer: Option<Answer>,
}

const FIND: &str = "
    select request_hash, response_status, response_headers, response_body from idempotency_keys
    where principal_kind = 'tenant_key' and principal_id = $1 and route = $2 and key = $3";

pub(super) async fn find(tenant: &impl Sql, request: &Request<'_>, key: &str) -> Result<Option<Found>> {
    let row = tenant
        .query_opt(FIND, &[&request.caller.key(), &request.route, &key])
        .await
        .context("reading an idempotency key")?;
    let Some(row) = row else { return Ok(None) };
    let status: Option<i32> = row.column("response_status")?;
    let answer = match status {
        None => None,
        Some(status) => {
            let headers: Value = row.column("response_headers")?;
            let body: Option<Vec<u8>> = row.column("response_body")?;
            Some(Answer {
                status: u16::try_from(status).map_err(Error::internal)?,
                headers: serde_json::from_value(headers["list"].clone()).unwrap_or_default(),
                body: body.unwrap_or_default(),
            })
        }
    };
    Ok(Some(Found { request_hash: row.column("request_hash")?, answer }))
}

const COMPLETE: &str = "
    update idempotency_keys set state = 'done', response_status = $3, response_headers = $4, response_body = $5,
        locked_by = null, locked_until = null
    where id = $1 and locked_by = $2 and state = 'in_flight'";

pub(super) async fn complete(transaction: &impl Sql, row: Uuid, owner: Uuid, answer: &Answer) -> Result<bool> {
    // An array, because names may repeat; in an object, because the column takes one.
    let headers = serde_json::json!({ "list": answer.headers });
    let touched = transaction
        .execute(COMPLETE, &[&row, &owner, &i32::from(answer.status), &headers, &answer.body])
        .await
        .context("storing an answer")?;
    Ok(touched == 1)
}

const EXTEND: &str = "
    update idempotency_keys set locked_until = now() + make_interval(secs => $3)
    where id = $1 and locked_by = $2 and state = 'in_flight'";

pub(super) async fn extend(tenant: &impl Sql, row: Uuid, owner: Uuid, lease: Duration) -> Result<bool> {
    let touched =
        tenant.execute(EXTEND, &[&row, &owner, &lease.as_secs_f64()]).await.context("prolonging an idempotency key")?;
    Ok(touched == 1)
}

const RELEASE: &str = "delete from idempotency_keys where id = $1 and locked_by = $2 and state = 'in_flight'";

pub(super) async fn release(tenant: &impl Sql, row: Uuid, owner: Uuid) -> Result<()> {
    tenant.execute(RELEASE, &[&row, &owner]).await.context("giving an idempotency key back")?;
    Ok(())
}

const FORGET: &str = "delete from idempotency_keys where expires_at <= now()";

/// Removes keys past their time.
pub(crate) async fn forget_expired(tenant: &impl Sql) -> Result<u64> {
    tenant.execute(FORGET, &[]).await.context("forgetting idempotency keys")
}
