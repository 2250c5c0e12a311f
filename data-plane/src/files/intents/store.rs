//! Tenant table `upload_intents`. Owns its SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{Actor, ReservationId};
use rowhouse_problem::{Error, Result};
use uuid::Uuid;

use super::{Expired, Intent};

const INSERT: &str = "
    insert into upload_intents (id, bucket, object_key, reservation_id, bytes, expires_at, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8)";

/// Says that an object may come to exist, before it does.
pub(in crate::files) async fn insert(
    transaction: &impl Sql,
    intent: &Intent,
    bucket: &str,
    bytes: Option<i64>,
    ttl: Duration,
    actor: Actor,
) -> Result<()> {
    transaction
        .execute(
            INSERT,
            &[
                &intent.id,
                &bucket,
                &intent.object.to_string(),
                &intent.reservation,
                &bytes,
                &ttl.as_secs_f64(),
                &actor.kind,
                &actor.id,
            ],
        )
        .await
        .context("inserting an upload intent")?;
    Ok(())
}

const INSERT_COPY: &str = "
    insert into upload_intents (id, bucket, object_key, bytes, expires_at) values ($1, $2, $3, $4, now() + interval '1 day')";

/// The same of a copy, without anything that is reserved for it.
pub(super) async fn insert_copy(transaction: &impl Sql, intent: &Intent, bucket: &str, bytes: i64) -> Result<()> {
    let inserted = transaction.execute(INSERT_COPY, &[&intent.id, &bucket, &intent.object.to_string(), &bytes]).await;
    inserted.context("inserting an intent to copy an object").map(drop)
}

const EXTEND: &str =
    "update upload_intents set expires_at = now() + make_interval(secs => $2) where id = $1 and state = 'pending'";

/// A sign of life. Says whether the intent still stood: else its object is being removed.
pub(in crate::files) async fn extend(tenant: &impl Sql, id: Uuid, ttl: Duration) -> Result<bool> {
    Ok(tenant.execute(EXTEND, &[&id, &ttl.as_secs_f64()]).await.context("prolonging an upload intent")? == 1)
}

const NAME_UPLOAD: &str = "update upload_intents set store_upload = $2 where id = $1 and state = 'pending'";

/// Says what the store calls the upload of the object. Says whether the intent still stood: else its object is being removed.
pub(crate) async fn name_upload(tenant: &impl Sql, id: Uuid, name: &str) -> Result<bool> {
    Ok(tenant.execute(NAME_UPLOAD, &[&id, &name]).await.context("naming an upload")? == 1)
}

const FULFIL: &str = "delete from upload_intents where id = $1 and state = 'pending'";

/// The object has become a blob. Says whether the intent still stood: else its object is being removed.
pub(crate) async fn fulfil(transaction: &impl Sql, id: Uuid) -> Result<bool> {
    Ok(transaction.execute(FULFIL, &[&id]).await.context("fulfilling an upload intent")? == 1)
}

// Without its reservation: that one ends with the upload's usage event.
const ABANDON: &str = "
    update upload_intents set state = 'abandoned', reservation_id = null, expires_at = now()
    where id = $1 and state = 'pending'";

/// The content was there already, so the object is to go. Says whether the intent still stood.
pub(crate) async fn abandon(transaction: &impl Sql, id: Uuid) -> Result<bool> {
    Ok(transaction.execute(ABANDON, &[&id]).await.context("abandoning an upload intent")? == 1)
}

const DELETE: &str = "delete from upload_intents where id = $1";

/// Nothing is left of the upload.
pub(in crate::files) async fn delete(tenant: &impl Sql, id: Uuid) -> Result<()> {
    tenant.execute(DELETE, &[&id]).await.context("deleting an upload intent")?;
    Ok(())
}

// Past its time nobody can fulfil it any more: the state decides between the two.
const EXPIRE: &str = "
    update upload_intents set state = 'abandoned'
    where id in (
        select id from upload_intents where state in ('pending', 'abandoned') and expires_at <= now()
        order by expires_at, id limit $1 for update skip locked
    )
    returning id, object_key, store_upload, reservation_id";

/// Takes uploads past their time out of reach of whoever was at them.
pub(in crate::files) async fn expire(tenant: &impl Sql, limit: i64) -> Result<Vec<Expired>> {
    let rows = tenant.query(EXPIRE, &[&limit]).await.context("expiring upload intents")?;
    rows.iter()
        .map(|row| {
            let object_key: String = row.column("object_key")?;
            Ok(Expired {
                id: row.column("id")?,
                object: object_key.parse().map_err(|error| Error::internal(format!("{object_key:?}: {error}")))?,
                store_upload: row.column("store_upload")?,
                reservation: row.column("reservation_id")?,
                object_key,
            })
        })
        .collect()
}

const UNKNOWN: &str = "
    select reserved.id from unnest($1::uuid[]) reserved (id)
    where not exists (select from upload_intents
            where tenant_id = app_tenant_id() and reservation_id = reserved.id and id is distinct from $2)
        and not exists (select from upload_sessions
            where tenant_id = app_tenant_id() and reservation_id = reserved.id and made_version is null)
        and not exists (select from jobs where tenant_id = app_tenant_id() and subject_id = reserved.id and kind = 'usage')";

/// Of reservations those that stand for no upload but the one that `ends`, and for no event that is still to be counted. In one
/// statement: an upload's commit replaces the one by the other.
pub(in crate::files) async fn unknown(
    tenant: &impl Sql,
    reservations: &[ReservationId],
    ends: Option<Uuid>,
) -> Result<Vec<ReservationId>> {
    let rows = tenant.query(UNKNOWN, &[&reservations, &ends]).await.context("looking for forgotten reservations")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const POSTPONE: &str = "
    update upload_intents set expires_at = now() + interval '1 minute' where id = $1 and state = 'abandoned'";

/// Leaves an upload past its time for a while, behind those that wait.
pub(in crate::files) async fn postpone(tenant: &impl Sql, id: Uuid) -> Result<()> {
    tenant.execute(POSTPONE, &[&id]).await.context("postponing an upload's end")?;
    Ok(())
}

const NEXT_EXPIRY: &str = "
    select expires_at from upload_intents where state in ('pending', 'abandoned') order by expires_at limit 1";

/// When the next one is past its time, where there is any.
pub(in crate::files) async fn next_expiry(tenant: &impl Sql) -> Result<Option<jiff::Timestamp>> {
    let row = tenant.query_opt(NEXT_EXPIRY, &[]).await.context("looking for the next upload to expire")?;
    row.map(|row| row.column("expires_at")).transpose()
}
