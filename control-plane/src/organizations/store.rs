//! Platform tables `organizations` and `tier_limits`. Owns their SQL; decides nothing.

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, OrganizationId, OrganizationStatus, Tier};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;

use super::model::{NewOrganization, Organization, TierLimits};

macro_rules! columns {
    () => {
        "id, name, display_name, domain, subscription_tier, subscription_status, status, status_reason, email, user_id,
            technical_contact, storage_quota, used_storage, reserved_storage, max_workspaces, max_members, max_tenants,
            api_key_prefix, security_settings, feature_flags, created_at, updated_at"
    };
}

const INSERT: &str = concat!(
    "insert into organizations (id, name, display_name, domain, subscription_tier, email, user_id, technical_contact,
        storage_quota, max_workspaces, max_members, max_tenants, api_key_prefix, security_settings, feature_flags,
        created_by_kind, created_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    returning ",
    columns!()
);

/// Records an organization that does not exist yet; limits that it leaves open become its tier's.
pub(super) async fn insert(tx: &impl Sql, new: &NewOrganization, actor: &Actor) -> Result<Organization> {
    let row = tx
        .query_one(
            INSERT,
            &[
                &new.id,
                &new.name,
                &new.display_name,
                &new.domain,
                &new.subscription_tier,
                &new.email,
                &new.user_id,
                &new.technical_contact,
                &new.storage_quota,
                &new.max_workspaces,
                &new.max_members,
                &new.max_tenants,
                &new.api_key_prefix,
                &new.security_settings,
                &new.feature_flags,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    from_row(&email_taken(row).context("inserting an organization")?)
}

fn email_taken<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result.on_constraint("organizations_email_key", || {
        Error::new(Code::EmailTaken, "Another organization has this e-mail address. Use another one.")
    })
}

const FIND: &str = concat!("select ", columns!(), " from organizations where id = $1 and deleted_at is null");

/// An organization that is not deleted.
pub(crate) async fn find(db: &impl Sql, id: OrganizationId) -> Result<Option<Organization>> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading an organization")?;
    row.as_ref().map(from_row).transpose()
}

// NO KEY: what refers to the organization may still be inserted, and uploads take the same lock in the same order.
const LOCK: &str =
    concat!("select ", columns!(), " from organizations where id = $1 and deleted_at is null for no key update");

/// The same, kept from changing until the transaction ends. Taken before any lock on what belongs to it.
pub(crate) async fn lock(tx: &impl Sql, id: OrganizationId) -> Result<Organization> {
    let row = tx.query_opt(LOCK, &[&id]).await.context("locking an organization")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("organization", id))
}

const LIST: &str = concat!(
    "select ",
    columns!(),
    " from organizations
    where deleted_at is null and ($1::uuid is null or id > $1)
        and ($2::subscription_status is null or subscription_status = $2)
        and ($3::subscription_tier is null or subscription_tier = $3)
        and ($4::text is null or lower(email) = lower($4))
        and ($5::text is null or name = $5)
    order by id limit $6"
);

/// Which organizations are wanted.
pub(super) struct Filter {
    pub(super) after: Option<OrganizationId>,
    pub(super) status: Option<OrganizationStatus>,
    pub(super) tier: Option<Tier>,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
}

/// Organizations in the order of their making.
pub(super) async fn list(db: &impl Sql, filter: &Filter, limit: i64) -> Result<Vec<Organization>> {
    let rows = db
        .query(LIST, &[&filter.after, &filter.status, &filter.tier, &filter.email, &filter.name, &limit])
        .await
        .context("listing organizations")?;
    rows.iter().map(from_row).collect()
}

const UPDATE: &str = concat!(
    "update organizations set name = $2, display_name = $3, domain = $4, email = $5, user_id = $6, technical_contact = $7,
        subscription_tier = $8, subscription_status = $9, status_reason = $10, storage_quota = $11, max_workspaces = $12,
        max_members = $13, max_tenants = $14, security_settings = $15, feature_flags = $16
    where id = $1
    returning ",
    columns!()
);

/// Writes the fields that can be changed; the row is locked.
pub(super) async fn update(tx: &impl Sql, next: &Organization) -> Result<Organization> {
    let row = tx
        .query_one(
            UPDATE,
            &[
                &next.id,
                &next.name,
                &next.display_name,
                &next.domain,
                &next.email,
                &next.user_id,
                &next.technical_contact,
                &next.subscription_tier,
                &next.subscription_status,
                &next.status_reason,
                &next.storage_quota,
                &next.max_workspaces,
                &next.max_members,
                &next.max_tenants,
                &next.security_settings,
                &next.feature_flags,
            ],
        )
        .await;
    from_row(&email_taken(row).context("updating an organization")?)
}

// The address is given free: it is unique, and the organization may come back.
const DELETE: &str = "update organizations set deleted_at = now(), email = null where id = $1";

/// Marks an organization as deleted; the row is locked.
pub(super) async fn delete(tx: &impl Sql, id: OrganizationId) -> Result<()> {
    tx.execute(DELETE, &[&id]).await.context("deleting an organization").map(drop)
}

const REMOVE_WORKSPACES: &str = "
    update organizations set used_workspaces = greatest(0, used_workspaces - $2) where id = $1";

/// Takes the workspaces of a tenant that is being deleted out of the count; the row is locked.
pub(crate) async fn remove_workspaces(tx: &impl Sql, id: OrganizationId, count: i32) -> Result<()> {
    tx.execute(REMOVE_WORKSPACES, &[&id, &count]).await.context("uncounting a tenant's workspaces").map(drop)
}

const ADD_WORKSPACES: &str = "
    update organizations set used_workspaces = used_workspaces + $2
    where id = $1 and ($2 = 0 or used_workspaces + $2 <= max_workspaces)";

/// Counts the workspaces of a tenant that is being restored; false where there is no room for them.
pub(crate) async fn add_workspaces(tx: &impl Sql, id: OrganizationId, count: i32) -> Result<bool> {
    let touched = tx.execute(ADD_WORKSPACES, &[&id, &count]).await.context("counting a tenant's workspaces")?;
    Ok(touched == 1)
}

const TIER: &str =
    "select storage_quota, max_workspaces, max_members, max_tenants, feature_flags from tier_limits where tier = $1";

/// What a tier gives.
pub(super) async fn tier(db: &impl Sql, tier: Tier) -> Result<TierLimits> {
    let row = db.query_one(TIER, &[&tier]).await.context("reading a tier's limits")?;
    Ok(TierLimits {
        storage_quota: row.column("storage_quota")?,
        max_workspaces: row.column("max_workspaces")?,
        max_members: row.column("max_members")?,
        max_tenants: row.column("max_tenants")?,
        feature_flags: row.column("feature_flags")?,
    })
}

fn from_row(row: &Row) -> Result<Organization> {
    Ok(Organization {
        id: row.column("id")?,
        name: row.column("name")?,
        display_name: row.column("display_name")?,
        domain: row.column("domain")?,
        subscription_tier: row.column("subscription_tier")?,
        subscription_status: row.column("subscription_status")?,
        status: row.column("status")?,
        status_reason: row.column("status_reason")?,
        email: row.column("email")?,
        user_id: row.column("user_id")?,
        technical_contact: row.column("technical_contact")?,
        storage_quota: row.column("storage_quota")?,
        used_storage: row.column("used_storage")?,
        reserved_storage: row.column("reserved_storage")?,
        max_workspaces: row.column("max_workspaces")?,
        max_members: row.column("max_members")?,
        max_tenants: row.column("max_tenants")?,
        api_key_prefix: row.column("api_key_prefix")?,
        security_settings: row.column("security_settings")?,
        feature_flags: row.column("feature_flags")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}
