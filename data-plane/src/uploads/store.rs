//! Tenant tables `upload_sessions` and `upload_parts`. Owns their SQL; decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{Actor, FileId, ReservationId, UploadId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;

use super::{NewPart, NewSession, Protocol, Session, Stored};
use crate::contents::Object;

const INSERT: &str = "
    insert into upload_sessions (id, protocol, workspace_id, folder_id, name, mime_type, length, metadata, pieces,
        reservation_id, expires_at, created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12, $13)
    returning expires_at";

/// Records an upload of which nothing has come yet. Returns until when it is kept.
pub(super) async fn insert(
    transaction: &impl Sql,
    new: &NewSession,
    reservation: ReservationId,
    ttl: Duration,
    actor: Actor,
) -> Result<Timestamp> {
    let row = transaction
        .query_one(
            INSERT,
            &[
                &new.id,
                &new.protocol.as_str(),
                &new.workspace,
                &new.folder,
                &new.name,
                &new.media_type,
                &new.length,
                &new.metadata,
                &new.pieces,
                &reservation,
                &ttl.as_secs_f64(),
                &actor.kind,
                &actor.id,
            ],
        )
        .await
        .context("inserting an upload")?;
    row.column("expires_at")
}

fn from_row(row: &Row, protocol: Protocol) -> Result<Session> {
    let version: Option<i32> = row.column("made_version")?;
    let sha256: Option<Vec<u8>> = row.column("made_checksum")?;
    Ok(Session {
        new: NewSession {
            id: row.column("id")?,
            protocol,
            workspace: row.column("workspace_id")?,
            folder: row.column("folder_id")?,
            name: row.column("name")?,
            media_type: row.column("mime_type")?,
            length: row.column("length")?,
            metadata: row.column("metadata")?,
            pieces: row.column("pieces")?,
        },
        received: row.column("received")?,
        reservation: row.column("reservation_id")?,
        made: version.zip(sha256),
        expires_at: row.column("expires_at")?,
        created_at: row.column("created_at")?,
    })
}

const FIND: &str = "
    select id, workspace_id, folder_id, name, mime_type, length, metadata, pieces, received, reservation_id, made_version,
        made_checksum, expires_at, created_at
    from upload_sessions where id = $1 and protocol = $2 and expires_at > now()";

/// An upload that is not forgotten.
pub(crate) async fn find(tenant: &impl Sql, id: UploadId, protocol: Protocol) -> Result<Session> {
    let row = tenant.query_opt(FIND, &[&id, &protocol.as_str()]).await.context("reading an upload")?;
    row.as_ref().map(|row| from_row(row, protocol)).transpose()?.ok_or_else(|| Error::not_found("upload", id))
}

const LIST: &str = "
    select id, workspace_id, folder_id, name, mime_type, length, metadata, pieces, received, reservation_id, made_version,
        made_checksum, expires_at, created_at
    from upload_sessions
    where workspace_id = $1 and protocol = 's3' and made_version is null and expires_at > now()
        and starts_with(name, $2) and (name collate \"C\" > $3 or (name = $3 and id > $4))
    order by name collate \"C\", id limit $5";

/// Where a list of uploads goes on: behind a key, or behind an upload of it.
pub(crate) struct Behind<'a> {
    pub(crate) key: &'a str,
    pub(crate) upload: Option<UploadId>,
}

/// A workspace's uploads under way by S3 whose keys begin with `prefix`, in the order of their keys and of their making.
pub(crate) async fn list(
    tenant: &impl Sql,
    workspace: WorkspaceId,
    prefix: &str,
    behind: &Behind<'_>,
    limit: i64,
) -> Result<Vec<Session>> {
    let parameters: rowhouse_database::Parameters<'_> = &[&workspace, &prefix, &behind.key, &behind.upload, &limit];
    let rows = tenant.query(LIST, parameters).await.context("listing uploads")?;
    rows.iter().map(|row| from_row(row, Protocol::S3)).collect()
}

const ADVANCE: &str = "
    update upload_sessions set received = received + $3, expires_at = now() + make_interval(secs => $4)
    where id = $1 and received = $2 and (length is null or received + $3 <= length) and made_version is null
        and expires_at > now()";

/// Counts bytes that came at an offset, and keeps the upload for longer. Says whether it was there, and open, and long enough.
pub(super) async fn advance(
    transaction: &impl Sql,
    id: UploadId,
    offset: i64,
    bytes: i64,
    ttl: Duration,
) -> Result<bool> {
    let parameters: rowhouse_database::Parameters<'_> = &[&id, &offset, &bytes, &ttl.as_secs_f64()];
    Ok(transaction.execute(ADVANCE, parameters).await.context("counting an upload's bytes")? == 1)
}

const SET_LENGTH: &str = "
    update upload_sessions set length = $2
    where id = $1 and length is null and received <= $2 and made_version is null and expires_at > now()";

/// Says how long an upload is whose length was left open. Says whether it was, and no longer than that.
pub(super) async fn set_length(tenant: &impl Sql, id: UploadId, length: i64) -> Result<bool> {
    let touched = tenant.execute(SET_LENGTH, &[&id, &length]).await.context("stating an upload's length")?;
    Ok(touched == 1)
}

const TOUCH: &str = "
    update upload_sessions set expires_at = now() + make_interval(secs => $2)
    where id = $1 and made_version is null and expires_at > now()";

/// Keeps an upload for longer. Says whether it is open.
pub(super) async fn touch(transaction: &impl Sql, id: UploadId, ttl: Duration) -> Result<bool> {
    let touched = transaction.execute(TOUCH, &[&id, &ttl.as_secs_f64()]).await.context("keeping an upload")?;
    Ok(touched == 1)
}

const INSERT_PART: &str = "
    insert into upload_parts (upload_id, number, bucket, object_key, size, checksum, content_key_id)
    values ($1, $2, $3, $4, $5, $6, $7)";

/// Records a part.
pub(super) async fn insert_part(transaction: &impl Sql, id: UploadId, bucket: &str, part: &NewPart) -> Result<()> {
    transaction
        .execute(
            INSERT_PART,
            &[&id, &part.number, &bucket, &part.object.to_string(), &part.size, &part.sha256, &part.content_key],
        )
        .await
        .on_constraint("upload_parts_pkey", || {
            Error::new(Code::RequestInFlight, "The same part came twice at once. Ask for the upload's state.")
        })
        .context("inserting a part")?;
    Ok(())
}

const LEAVE_PART: &str = "
    insert into upload_intents (bucket, object_key, state, expires_at)
    select bucket, object_key, 'abandoned', now() from upload_parts where upload_id = $1 and number = $2";
const DELETE_PART: &str = "delete from upload_parts where upload_id = $1 and number = $2 returning size";

/// Leaves a part's object to the sweep. Says how large it was: nothing where there was none.
pub(super) async fn drop_part(transaction: &impl Sql, id: UploadId, number: i32) -> Result<i64> {
    transaction.execute(LEAVE_PART, &[&id, &number]).await.context("giving a part up")?;
    let row = transaction.query_opt(DELETE_PART, &[&id, &number]).await.context("deleting a part")?;
    row.map_or(Ok(0), |row| row.column("size"))
}

const SIZES: &str = "
    select coalesce(sum(size), 0)::bigint as parts, coalesce(sum(size) filter (where number = $2), 0)::bigint as part
    from upload_parts where upload_id = $1";

/// Bytes of all parts, and of the one of this number: nothing where there is none.
pub(super) async fn sizes(tenant: &impl Sql, id: UploadId, number: i32) -> Result<(i64, i64)> {
    let row = tenant.query_one(SIZES, &[&id, &number]).await.context("measuring an upload's parts")?;
    Ok((row.column("parts")?, row.column("part")?))
}

const PARTS: &str = "
    select part.number, part.object_key, part.size, part.checksum, part.created_at, part.content_key_id,
        content_key.sealed as sealed_content_key
    from upload_parts part
    left join content_keys content_key on content_key.id = part.content_key_id
    where part.upload_id = $1 order by part.number";

/// The parts that have come, in their order.
pub(crate) async fn parts(tenant: &impl Sql, id: UploadId) -> Result<Vec<Stored>> {
    let rows = tenant.query(PARTS, &[&id]).await.context("reading an upload's parts")?;
    rows.iter()
        .map(|row| {
            Ok(Stored {
                number: row.column("number")?,
                object: Object::from_row(row)?,
                size: row.column("size")?,
                sha256: row.column("checksum")?,
                created_at: row.column("created_at")?,
            })
        })
        .collect()
}

const LEAVE_PARTS: &str = "
    insert into upload_intents (bucket, object_key, state, expires_at)
    select bucket, object_key, 'abandoned', now() from upload_parts where upload_id = any($1)";
const DELETE_PARTS: &str = "delete from upload_parts where upload_id = any($1)";

/// Leaves the objects of all parts of these uploads to the sweep.
pub(super) async fn drop_parts(transaction: &impl Sql, ids: &[UploadId]) -> Result<()> {
    transaction.execute(LEAVE_PARTS, &[&ids]).await.context("giving parts up")?;
    transaction.execute(DELETE_PARTS, &[&ids]).await.context("deleting parts")?;
    Ok(())
}

const FINISH: &str = "
    update upload_sessions set made_file_id = $2, made_version = $3, made_checksum = $4, received = coalesce(length, received)
    where id = $1 and made_version is null
    returning pieces";

/// Says what an upload has become. Gives the pieces that it was made of; nothing where it was not open.
pub(super) async fn finish(
    transaction: &impl Sql,
    id: UploadId,
    file: FileId,
    version: i32,
    sha256: &[u8],
) -> Result<Option<Vec<UploadId>>> {
    let row = transaction.query_opt(FINISH, &[&id, &file, &version, &sha256]).await.context("finishing an upload")?;
    row.map(|row| row.column("pieces")).transpose()
}

const LOCK_PIECES: &str = "
    select id from upload_sessions where id = any($1) and protocol = 'tus' and name is null order by id for update";

/// Keeps partial uploads from others until the transaction ends, as far as they are there.
pub(super) async fn lock_pieces(transaction: &impl Sql, ids: &[UploadId]) -> Result<Vec<UploadId>> {
    let rows = transaction.query(LOCK_PIECES, &[&ids]).await.context("locking partial uploads")?;
    rows.iter().map(|row| row.column("id")).collect()
}

// What has become a file has given its reservation to the file's event.
const LOCK: &str = "
    select case when made_version is null then reservation_id end as reservation_id
    from upload_sessions where id = $1 and protocol = $2 for update";

/// Keeps an upload from others until the transaction ends, where it is there; its reservation, where that is still its own.
pub(super) async fn lock(
    transaction: &impl Sql,
    id: UploadId,
    protocol: Protocol,
) -> Result<Option<Option<ReservationId>>> {
    let row = transaction.query_opt(LOCK, &[&id, &protocol.as_str()]).await.context("locking an upload")?;
    row.map(|row| row.column("reservation_id")).transpose()
}

const DELETE: &str = "delete from upload_sessions where id = any($1)";

/// Forgets uploads.
pub(super) async fn delete(transaction: &impl Sql, ids: &[UploadId]) -> Result<()> {
    transaction.execute(DELETE, &[&ids]).await.context("deleting uploads")?;
    Ok(())
}

const EXPIRED: &str = "
    select id, case when made_version is null then reservation_id end as reservation_id
    from upload_sessions where expires_at <= now() order by expires_at, id limit $1
    for update skip locked";

/// Uploads past their time, and their reservations, where these are still their own.
pub(super) async fn expired(transaction: &impl Sql, limit: i64) -> Result<Vec<(UploadId, Option<ReservationId>)>> {
    let rows = transaction.query(EXPIRED, &[&limit]).await.context("looking for forgotten uploads")?;
    rows.iter().map(|row| Ok((row.column("id")?, row.column("reservation_id")?))).collect()
}

const NEXT_EXPIRY: &str = "select expires_at from upload_sessions order by expires_at limit 1";

/// When the next one is past its time, where there is any.
pub(crate) async fn next_expiry(tenant: &impl Sql) -> Result<Option<Timestamp>> {
    let row = tenant.query_opt(NEXT_EXPIRY, &[]).await.context("looking for the next upload to be forgotten")?;
    row.map(|row| row.column("expires_at")).transpose()
}
