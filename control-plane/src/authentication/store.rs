//! Finds keys by their prefix. Owns its SQL; decides nothing.

use jiff::Timestamp;
use postgres_types::FromSql;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{KeyId, OrganizationId, OrganizationStatus};
use rowhouse_keys::ApiKeyHash;
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

/// A stored key, of whichever kind.
pub(super) struct StoredKey {
    pub(super) id: KeyId,
    pub(super) hash: ApiKeyHash,
    pub(super) pepper_version: i32,
    pub(super) scopes: Vec<String>,
    pub(super) is_expired: bool,
    pub(super) is_revoked: bool,
    /// Whether its last use was noted so long ago that this one is to be noted too.
    pub(super) is_stale: bool,
    pub(super) owner: Option<Owner>,
}

/// The organization that a key belongs to.
pub(super) struct Owner {
    pub(super) id: OrganizationId,
    pub(super) status: OrganizationStatus,
    pub(super) deleted_at: Option<Timestamp>,
}

const FIND_PLATFORM_KEY: &str = "
    select id, key_hash, pepper_version, scopes, revoked_at is not null as is_revoked,
        coalesce(expires_at <= now(), false) as is_expired,
        coalesce(last_used_at < now() - interval '1 minute', true) as is_stale
    from platform_api_keys where key_prefix = $1";

pub(super) async fn find_platform_key(db: &impl Sql, prefix: &str) -> Result<Option<StoredKey>> {
    let row = db.query_opt(FIND_PLATFORM_KEY, &[&prefix]).await.context("looking up a platform key")?;
    row.map(|row| stored(&row, None)).transpose()
}

const FIND_ORGANIZATION_KEY: &str = "
    select keys.id, keys.key_hash, keys.pepper_version, keys.scopes, keys.revoked_at is not null as is_revoked,
        coalesce(keys.expires_at <= now(), false) as is_expired,
        coalesce(keys.last_used_at < now() - interval '1 minute', true) as is_stale,
        organizations.id as organization_id, organizations.subscription_status, organizations.deleted_at
    from org_api_keys keys join organizations on organizations.id = keys.organization_id
    where keys.key_prefix = $1";

pub(super) async fn find_organization_key(db: &impl Sql, prefix: &str) -> Result<Option<StoredKey>> {
    let row = db.query_opt(FIND_ORGANIZATION_KEY, &[&prefix]).await.context("looking up an organization key")?;
    row.map(|row| {
        let owner = Owner {
            id: row.column("organization_id")?,
            status: row.column("subscription_status")?,
            deleted_at: row.column("deleted_at")?,
        };
        stored(&row, Some(owner))
    })
    .transpose()
}

fn stored(row: &Row, owner: Option<Owner>) -> Result<StoredKey> {
    let hash: &[u8] = column(row, "key_hash")?;
    Ok(StoredKey {
        id: row.column("id")?,
        hash: ApiKeyHash::from_bytes(hash).ok_or_else(|| Error::internal("a stored key hash has the wrong length"))?,
        pepper_version: row.column("pepper_version")?,
        scopes: row.column("scopes")?,
        is_expired: row.column("is_expired")?,
        is_revoked: row.column("is_revoked")?,
        is_stale: row.column("is_stale")?,
        owner,
    })
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T> {
    row.column(name)
}

const TOUCH_PLATFORM_KEY: &str = "update platform_api_keys set last_used_at = now() where id = $1";
const TOUCH_ORGANIZATION_KEY: &str = "update org_api_keys set last_used_at = now() where id = $1";

/// Notes that a key was used.
pub(super) async fn touch(db: &impl Sql, key: &StoredKey) -> Result<()> {
    let statement = if key.owner.is_some() { TOUCH_ORGANIZATION_KEY } else { TOUCH_PLATFORM_KEY };
    db.execute(statement, &[&key.id]).await.context("noting the use of a key").map(drop)
}

const AUDIT_REFUSED_KEY: &str = "select audit_refused_key($1, $2, $3, $4, $5, null, $6, $7, $8, $9, $10)";

/// What the audit log keeps of a refused key.
pub(super) struct RefusedKey {
    pub(super) reason: &'static str,
    pub(super) kind: &'static str,
    pub(super) prefix: String,
    pub(super) key: Option<KeyId>,
    pub(super) organization: Option<OrganizationId>,
    pub(super) requester: crate::audit::Requester,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
}

pub(super) async fn audit_refused_key(db: &impl Sql, refused: &RefusedKey) -> Result<()> {
    let requester = &refused.requester;
    db.query_one(
        AUDIT_REFUSED_KEY,
        &[
            &refused.reason,
            &refused.kind,
            &refused.prefix,
            &refused.key,
            &refused.organization,
            &requester.ip,
            &requester.user_agent,
            &requester.request_id,
            &refused.method,
            &refused.path,
        ],
    )
    .await
    .context("auditing a refused key")
    .map(drop)
}
