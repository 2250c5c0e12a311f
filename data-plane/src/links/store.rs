//! Tenant table `links`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{FileId, ItemName, KeyId, LinkId};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Grant, Link};
use crate::files::model::Place;

fn from_row(row: &Row) -> Result<Link> {
    let grant = match row.column("file_id")? {
        Some(file) => {
            Grant::Download { file, version: row.column("version_number")?, inline: row.column("is_inline")? }
        }
        None => {
            let size: i64 = row.column("size")?;
            let place = Place {
                workspace: row.column("workspace_id")?,
                folder: row.column("folder_id")?,
                name: ItemName::parse(row.column("name")?).map_err(Error::internal)?,
            };
            let size = u64::try_from(size).map_err(Error::internal)?;
            Grant::Upload { place, size, media_type: row.column("mime_type")? }
        }
    };
    Ok(Link {
        id: row.column("id")?,
        grant,
        key: row.column("key_id")?,
        expires_at: row.column("expires_at")?,
        revoked_at: row.column("revoked_at")?,
        created_at: row.column("created_at")?,
    })
}

const INSERT: &str = "
    insert into links (id, kind, file_id, version_number, is_inline, workspace_id, folder_id, name, size, mime_type, key_id,
        expires_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Records a link.
pub(super) async fn insert(transaction: &impl Sql, link: &Link) -> Result<()> {
    let (mut file, mut version, mut is_inline) = (None, None, false);
    let (mut place, mut bytes, mut kind) = (None, None, None);
    match &link.grant {
        Grant::Download { file: id, version: number, inline } => {
            (file, version, is_inline) = (Some(*id), *number, *inline);
        }
        Grant::Upload { place: to, size, media_type } => {
            (place, kind) = (Some(to), media_type.as_deref());
            bytes = Some(i64::try_from(*size).map_err(Error::internal)?);
        }
    }
    let what = if file.is_some() { "download" } else { "upload" };
    transaction
        .execute(
            INSERT,
            &[
                &link.id,
                &what,
                &file,
                &version,
                &is_inline,
                &place.map(|place| place.workspace),
                &place.and_then(|place| place.folder),
                &place.map(|place| place.name.as_str()),
                &bytes,
                &kind,
                &link.key,
                &link.expires_at,
            ],
        )
        .await
        .context("inserting a link")?;
    Ok(())
}

const OPENS: &str = "select revoked_at is null as opens from links where id = $1 and expires_at > now()";

/// Whether a link still opens anything. By the server's clock as well: of two clocks the stricter one counts.
pub(crate) async fn opens(tenant: &impl Sql, id: LinkId) -> Result<bool> {
    let row = tenant.query_opt(OPENS, &[&id]).await.context("reading a link")?;
    row.map_or(Ok(false), |row| row.column("opens"))
}

const FIND: &str = "
    select id, file_id, version_number, is_inline, workspace_id, folder_id, name, size, mime_type, key_id, expires_at,
        revoked_at, created_at
    from links where id = $1";

/// A link.
pub(super) async fn find(tenant: &impl Sql, id: LinkId) -> Result<Link> {
    let row = tenant.query_opt(FIND, &[&id]).await.context("reading a link")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("link", id))
}

const LIST: &str = "
    select id, file_id, version_number, is_inline, workspace_id, folder_id, name, size, mime_type, key_id, expires_at,
        revoked_at, created_at
    from links where id > $1 order by id limit $2";
const LIST_OF_FILE: &str = "
    select id, file_id, version_number, is_inline, workspace_id, folder_id, name, size, mime_type, key_id, expires_at,
        revoked_at, created_at
    from links where file_id = $3 and ($4::uuid is null or key_id = $4) and id > $1 order by id limit $2";
const LIST_OF_KEY: &str = "
    select id, file_id, version_number, is_inline, workspace_id, folder_id, name, size, mime_type, key_id, expires_at,
        revoked_at, created_at
    from links where key_id = $3 and id > $1 order by id limit $2";

/// Links in the order of their making, after `after`: all, or those to a file, or those of a key, or both.
pub(super) async fn list(
    tenant: &impl Sql,
    file: Option<FileId>,
    key: Option<KeyId>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Link>> {
    let rows = match (file, key) {
        (None, None) => tenant.query(LIST, &[&after, &limit]).await,
        (Some(file), key) => tenant.query(LIST_OF_FILE, &[&after, &limit, &file, &key]).await,
        (None, Some(key)) => tenant.query(LIST_OF_KEY, &[&after, &limit, &key]).await,
    };
    rows.context("listing links")?.iter().map(from_row).collect()
}

const REVOKE: &str = "update links set revoked_at = now() where id = $1 and revoked_at is null";

/// Takes a link back; one that was is fine.
pub(super) async fn revoke(tenant: &impl Sql, id: LinkId) -> Result<()> {
    tenant.execute(REVOKE, &[&id]).await.context("revoking a link")?;
    Ok(())
}

const REVOKE_OF_FILE: &str = "update links set revoked_at = now() where file_id = $1 and revoked_at is null";

/// Takes all links to a file back.
pub(super) async fn revoke_of_file(tenant: &impl Sql, file: FileId) -> Result<()> {
    tenant.execute(REVOKE_OF_FILE, &[&file]).await.context("revoking a file's links")?;
    Ok(())
}

const REVOKE_OF_KEY: &str = "update links set revoked_at = now() where key_id = $1 and revoked_at is null";

/// Takes all links that a key made back.
pub(super) async fn revoke_of_key(tenant: &impl Sql, key: KeyId) -> Result<()> {
    tenant.execute(REVOKE_OF_KEY, &[&key]).await.context("revoking a key's links")?;
    Ok(())
}

const FORGET_EXPIRED: &str = "
    delete from links where id in (
        select id from links where expires_at < now() - interval '30 days' order by expires_at limit 1000)";

/// Removes links that opened nothing for a month: until then a list says what became of them.
pub(crate) async fn forget_expired(tenant: &impl Sql) -> Result<()> {
    tenant.execute(FORGET_EXPIRED, &[]).await.context("forgetting expired links")?;
    Ok(())
}
