//! Platform tables `platform_api_keys`, `org_api_keys` and `tenant_api_keys`. Owns their SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{AccountId, Actor, KeyId, OrganizationId, Scope, TenantId};
use rowhouse_keys::{ApiKeyHash, KeyKind};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use super::model::{ApiKey, Environment, KeyOwner, NewApiKey};
use crate::rate_limits::RateLimitView;

/// The same statements over one of the tables: they differ in their owner's columns only.
struct Statements {
    insert: &'static str,
    find: &'static str,
    list: &'static str,
    revoke: &'static str,
}

/// What only keys of tenants have.
macro_rules! tenants_own {
    () => {
        "account_id, rate_per_second, rate_burst"
    };
}

macro_rules! columns {
    ($tenants_own:expr) => {
        concat!(
            "id, key_name, key_prefix, scopes, environment::text as environment, is_active, expires_at, revoked_at,
            last_used_at, created_at, updated_at, ",
            $tenants_own
        )
    };
}

// `$1` is the owner, `$12` the account, `$13` and `$14` the rate limit: null, and asserted to be so, where the table has no such column.
macro_rules! statements {
    ($table:literal, $owner_columns:literal, $owner_values:literal, $insertable:literal, $owned:literal, $tenants_own:expr) => {
        Statements {
            insert: concat!(
                "insert into ",
                $table,
                " (",
                $owner_columns,
                "id, key_name, key_prefix, key_hash, pepper_version, scopes,
                    environment, expires_at, created_by_kind, created_by)
                select ",
                $owner_values,
                "$2, $3, $4, $5, $6, $7, $8::text::key_environment, $9, $10, $11 where ",
                $insertable,
                "
                returning ",
                columns!($tenants_own)
            ),
            find: concat!("select ", columns!($tenants_own), " from ", $table, " where ", $owned, " and id = $2"),
            list: concat!(
                "select ",
                columns!($tenants_own),
                " from ",
                $table,
                "
                where ",
                $owned,
                " and ($2::uuid is null or id > $2) order by id limit $3"
            ),
            revoke: concat!(
                "update ",
                $table,
                " set revoked_at = now() where ",
                $owned,
                " and id = $2 and revoked_at is null
                returning ",
                columns!($tenants_own)
            ),
        }
    };
}

static PLATFORM: Statements = statements!(
    "platform_api_keys",
    "",
    "",
    "$1::uuid is null and $12::uuid is null and $13::integer is null and $14::integer is null",
    "$1::uuid is null",
    "null::uuid as account_id, null::integer as rate_per_second, null::integer as rate_burst"
);
static ORGANIZATION: Statements = statements!(
    "org_api_keys",
    "organization_id, ",
    "$1::uuid, ",
    "$1::uuid is not null and $12::uuid is null and $13::integer is null and $14::integer is null",
    "organization_id = $1",
    "null::uuid as account_id, null::integer as rate_per_second, null::integer as rate_burst"
);
static TENANT: Statements = statements!(
    "tenant_api_keys",
    "tenant_id, account_id, rate_per_second, rate_burst, ",
    "$1::uuid, $12::uuid, $13::integer, $14::integer, ",
    "$1::uuid is not null",
    "tenant_id = $1",
    tenants_own!()
);

fn statements(owner: &KeyOwner) -> &'static Statements {
    match owner.kind() {
        KeyKind::Platform => &PLATFORM,
        KeyKind::Organization => &ORGANIZATION,
        KeyKind::Tenant => &TENANT,
    }
}

/// Records a key that does not exist yet; only its hash is kept.
pub(super) async fn insert(
    tx: &impl Sql,
    owner: &KeyOwner,
    new: &NewApiKey,
    (prefix, hash, pepper_version): (&str, &ApiKeyHash, i32),
    actor: &Actor,
) -> Result<ApiKey> {
    let (rate_per_second, rate_burst) = RateLimitView::columns(new.rate_limit);
    let scopes: Vec<&str> = new.scopes.iter().copied().map(Scope::as_str).collect();
    let row = tx
        .query_one(
            statements(owner).insert,
            &[
                &owner.id(),
                &new.id,
                &new.name,
                &prefix,
                &hash.as_bytes(),
                &pepper_version,
                &scopes,
                &new.environment.as_str(),
                &new.expires_at,
                &actor.kind,
                &actor.id,
                &new.account,
                &rate_per_second,
                &rate_burst,
            ],
        )
        .await
        .context("inserting an API key")?;
    from_row(&row)
}

const HOLD_ACCOUNT: &str = "
    select id from accounts
    where id = $1 and is_active and (tenant_id = $2 or (tenant_id is null and organization_id = $3))
    for key share";

/// Keeps an account from being deleted until the transaction ends; false where there is no such active one of the
/// tenant, or of its organization without being another tenant's.
pub(super) async fn hold_account(
    tx: &impl Sql,
    account: AccountId,
    tenant: TenantId,
    organization: OrganizationId,
) -> Result<bool> {
    let row =
        tx.query_opt(HOLD_ACCOUNT, &[&account, &tenant, &organization]).await.context("looking for an account")?;
    Ok(row.is_some())
}

/// One of the owner's keys.
pub(super) async fn find(db: &impl Sql, owner: &KeyOwner, id: KeyId) -> Result<Option<ApiKey>> {
    let row = db.query_opt(statements(owner).find, &[&owner.id(), &id]).await.context("reading an API key")?;
    row.as_ref().map(from_row).transpose()
}

/// The owner's keys in the order of their making.
pub(super) async fn list(db: &impl Sql, owner: &KeyOwner, after: Option<KeyId>, limit: i64) -> Result<Vec<ApiKey>> {
    let rows = db.query(statements(owner).list, &[&owner.id(), &after, &limit]).await.context("listing API keys")?;
    rows.iter().map(from_row).collect()
}

const LOCK_OF_TENANT: &str = concat!(
    "select ",
    columns!(tenants_own!()),
    " from tenant_api_keys where tenant_id = $1 and id = $2 for no key update"
);

/// One of a tenant's keys, kept from changing until the transaction ends.
pub(super) async fn lock_of_tenant(tx: &impl Sql, owner: &KeyOwner, id: KeyId) -> Result<Option<ApiKey>> {
    let row = tx.query_opt(LOCK_OF_TENANT, &[&owner.id(), &id]).await.context("locking an API key")?;
    row.as_ref().map(from_row).transpose()
}

const SET_RATE_LIMIT: &str = concat!(
    "update tenant_api_keys set rate_per_second = $3, rate_burst = $4 where tenant_id = $1 and id = $2 returning ",
    columns!(tenants_own!())
);

/// Gives a tenant's key, which is locked, a limit of its own, or its tier's.
pub(super) async fn set_rate_limit(
    tx: &impl Sql,
    owner: &KeyOwner,
    id: KeyId,
    limit: Option<RateLimitView>,
) -> Result<ApiKey> {
    let (per_second, burst) = RateLimitView::columns(limit);
    let row = tx.query_one(SET_RATE_LIMIT, &[&owner.id(), &id, &per_second, &burst]).await;
    from_row(&row.context("limiting an API key")?)
}

/// Revokes a key; none where it is revoked already or is not the owner's.
pub(super) async fn revoke(tx: &impl Sql, owner: &KeyOwner, id: KeyId) -> Result<Option<ApiKey>> {
    let row = tx.query_opt(statements(owner).revoke, &[&owner.id(), &id]).await.context("revoking an API key")?;
    row.as_ref().map(from_row).transpose()
}

const REVOKE_ALL: &str = "
    with tenants_keys as (
        update tenant_api_keys set revoked_at = now()
        where revoked_at is null and tenant_id in (select id from tenants where organization_id = $1)
    )
    update org_api_keys set revoked_at = now() where organization_id = $1 and revoked_at is null";

/// Revokes the keys of an organization and of its tenants.
pub(crate) async fn revoke_all_of(tx: &impl Sql, organization: OrganizationId) -> Result<()> {
    tx.execute(REVOKE_ALL, &[&organization]).await.context("revoking an organization's keys").map(drop)
}

fn from_row(row: &Row) -> Result<ApiKey> {
    let environment: &str = column(row)?;
    Ok(ApiKey {
        id: row.column("id")?,
        name: row.column("key_name")?,
        prefix: row.column("key_prefix")?,
        scopes: row.column("scopes")?,
        account_id: row.column("account_id")?,
        rate_limit: RateLimitView::from_row(row)?,
        environment: match environment {
            "production" => Environment::Production,
            "sandbox" => Environment::Sandbox,
            other => return Err(Error::internal(format!("unknown key environment {other:?}"))),
        },
        is_active: row.column("is_active")?,
        expires_at: row.column("expires_at")?,
        revoked_at: row.column("revoked_at")?,
        last_used_at: row.column("last_used_at")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}

fn column(row: &Row) -> Result<&str> {
    row.column("environment")
}
