//! Platform table `tenants`. Owns its SQL; decides nothing.

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{Actor, ActorKind, ClusterId, Isolation, OrganizationId, TenantId, TenantStatus};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;

use super::model::{Place, Tenant};
use super::requests::NewTenant;
use crate::rate_limits::RateLimitView;

macro_rules! columns {
    () => {
        "id, organization_id, name, external_id, type, status, is_active, status_reason, suspended_by_kind, isolation,
            cluster_id, group_id, database_name, schema_name, role_name, credential_version, generation, schema_version,
            storage_quota, used_storage, reserved_storage, used_workspaces, custom_domain, identity_group, settings,
            metadata, rate_per_second, rate_burst, created_at, updated_at, deleted_at, purge_after, status_before_delete,
            deleted_by_kind, purge_begun_at is not null as is_being_purged"
    };
}

fn name_conflicts<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result
        .on_constraint("tenants_organization_id_name_key", || {
            Error::new(Code::TenantNameTaken, "The organization has a tenant of this name. Choose another name.")
        })
        .on_constraint("tenants_organization_id_external_id_key", || {
            Error::new(Code::ExternalIdTaken, "Another tenant of the organization has this external id.")
        })
        .on_constraint("tenants_custom_domain_key", || {
            Error::new(Code::CustomDomainTaken, "Another tenant has this custom domain.")
        })
}

const INSERT: &str = concat!(
    "insert into tenants (id, organization_id, name, external_id, type, isolation, cluster_id, storage_quota, settings,
        metadata, custom_domain, identity_group, created_by_kind, created_by, database_name, schema_name, role_name,
        generation, schema_version, rate_per_second, rate_burst)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        case when $15::text is null then 0 else 1 end, $18, $19, $20)
    returning ",
    columns!()
);

/// A database of the stock that becomes the tenant's.
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) schema_version: i32,
}

/// Records a tenant that does not exist yet, with its place where it takes one from the stock.
pub(super) async fn insert(
    tx: &impl Sql,
    organization: OrganizationId,
    new: &NewTenant,
    isolation: Isolation,
    cluster: Option<ClusterId>,
    taken: Option<&Taken>,
    actor: &Actor,
) -> Result<Tenant> {
    let place = taken.map(|taken| &taken.place);
    let (rate_per_second, rate_burst) = RateLimitView::columns(new.rate_limit);
    let row = tx
        .query_one(
            INSERT,
            &[
                &new.id,
                &organization,
                &new.name.as_str(),
                &new.external_id,
                &new.kind,
                &isolation,
                &cluster,
                &new.storage_quota,
                &new.settings,
                &new.metadata,
                &new.custom_domain,
                &new.identity_group,
                &actor.kind,
                &actor.id,
                &place.map(|place| &place.database),
                &place.map(|place| &place.schema),
                &place.map(|place| &place.role),
                &taken.map_or(0, |taken| taken.schema_version),
                &rate_per_second,
                &rate_burst,
            ],
        )
        .await;
    from_row(&name_conflicts(row).context("inserting a tenant")?)
}

const FIND: &str = concat!("select ", columns!(), " from tenants where id = $1");

/// A tenant in whatever state.
pub(crate) async fn find(db: &impl Sql, id: TenantId) -> Result<Option<Tenant>> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading a tenant")?;
    row.as_ref().map(from_row).transpose()
}

const LOCK: &str = concat!("select ", columns!(), " from tenants where id = $1 for no key update");

/// The same, kept from changing until the transaction ends. The organization's lock comes before it.
pub(crate) async fn lock(tx: &impl Sql, id: TenantId) -> Result<Tenant> {
    let row = tx.query_opt(LOCK, &[&id]).await.context("locking a tenant")?;
    row.as_ref().map(from_row).transpose()?.ok_or_else(|| Error::not_found("tenant", id))
}

const LIST: &str = concat!(
    "select ",
    columns!(),
    " from tenants
    where organization_id = $1 and ($2::uuid is null or id > $2)
        and case when $3::tenant_status is null then deleted_at is null else status = $3 end
        and ($4::text is null or external_id = $4) and ($5::text is null or name = $5)
    order by id limit $6"
);

/// Which tenants are wanted; deleted ones only where their status is asked for.
pub(super) struct Filter {
    pub(super) after: Option<TenantId>,
    pub(super) status: Option<TenantStatus>,
    pub(super) external_id: Option<String>,
    pub(super) name: Option<String>,
}

/// An organization's tenants in the order of their making.
pub(super) async fn list(
    db: &impl Sql,
    organization: OrganizationId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Tenant>> {
    let rows = db
        .query(LIST, &[&organization, &filter.after, &filter.status, &filter.external_id, &filter.name, &limit])
        .await
        .context("listing tenants")?;
    rows.iter().map(from_row).collect()
}

const COUNT_LIVE: &str = "select count(*) as count from tenants where organization_id = $1 and deleted_at is null";

/// How many tenants an organization has that are not deleted.
pub(crate) async fn count_live(db: &impl Sql, organization: OrganizationId) -> Result<i64> {
    db.query_one(COUNT_LIVE, &[&organization]).await.context("counting tenants")?.column("count")
}

const LARGEST_QUOTA: &str = "
    select id, storage_quota from tenants
    where organization_id = $1 and deleted_at is null and storage_quota is not null
    order by storage_quota desc, id limit 1";

/// The tenant with the largest quota of its own.
pub(crate) async fn largest_quota(db: &impl Sql, organization: OrganizationId) -> Result<Option<(TenantId, i64)>> {
    let row = db.query_opt(LARGEST_QUOTA, &[&organization]).await.context("reading the largest quota")?;
    row.map(|row| Ok((row.column("id")?, row.column("storage_quota")?))).transpose()
}

const UPDATE: &str = concat!(
    "update tenants set name = $2, external_id = $3, type = $4, storage_quota = $5, custom_domain = $6, settings = $7,
        metadata = $8, identity_group = $9, rate_per_second = $10, rate_burst = $11
    where id = $1 returning ",
    columns!()
);

/// Writes the fields that can be changed, but for the status; the row is locked.
pub(super) async fn update(tx: &impl Sql, next: &Tenant) -> Result<Tenant> {
    let (rate_per_second, rate_burst) = RateLimitView::columns(next.rate_limit);
    let row = tx
        .query_one(
            UPDATE,
            &[
                &next.id,
                &next.name,
                &next.external_id,
                &next.kind,
                &next.storage_quota,
                &next.custom_domain,
                &next.settings,
                &next.metadata,
                &next.identity_group,
                &rate_per_second,
                &rate_burst,
            ],
        )
        .await;
    from_row(&name_conflicts(row).context("updating a tenant")?)
}

const SET_STATUS: &str = concat!(
    "update tenants set status = $3::tenant_status, status_reason = $4,
        deleted_at = case when $3 in ('deleted', 'purged') then coalesce(deleted_at, now()) end,
        deleted_by_kind = case when $3 = 'deleted' then $6::actor_kind when $3 = 'purged' then deleted_by_kind end,
        purge_after = case when $3 = 'deleted' then now() + make_interval(days => $5) end,
        status_before_delete = case when $3 = 'deleted' then status end,
        suspended_by_kind = case
            when $3 = 'suspended' and status <> 'deleted' then $6::actor_kind
            when $3 in ('suspended', 'deleted') then suspended_by_kind end
    where id = $1 and status = $2 returning ",
    columns!()
);

/// Compare-and-set: moves a tenant from one status to another; none where it is in another one by now. A suspension
/// remembers who made it, also through a deletion and back. A deletion is for good after `retention` days.
pub(super) async fn set_status(
    tx: &impl Sql,
    id: TenantId,
    (from, to): (TenantStatus, TenantStatus),
    reason: Option<&str>,
    by: ActorKind,
    retention: i32,
) -> Result<Option<Tenant>> {
    let row = tx.query_opt(SET_STATUS, &[&id, &from, &to, &reason, &retention, &by]).await;
    let row = name_conflicts(row).context("changing a tenant's status")?;
    row.as_ref().map(from_row).transpose()
}

const SUSPEND_AGAIN: &str = concat!(
    "update tenants set suspended_by_kind = $2, status_reason = $3 where id = $1 and status = 'suspended' returning ",
    columns!()
);

/// Makes a suspension somebody else's; the row is locked and suspended.
pub(super) async fn suspend_again(tx: &impl Sql, id: TenantId, by: ActorKind, reason: Option<&str>) -> Result<Tenant> {
    let row = tx.query_one(SUSPEND_AGAIN, &[&id, &by, &reason]).await.context("taking a suspension over")?;
    from_row(&row)
}

const SET_PLACE: &str = concat!(
    "update tenants set cluster_id = $2, group_id = $3, database_name = $4, schema_name = $5, role_name = $6,
        generation = generation + 1
    where id = $1 and database_name is null returning ",
    columns!()
);

/// Records where a tenant is to live, once.
pub(super) async fn set_place(tx: &impl Sql, id: TenantId, place: &Place) -> Result<Option<Tenant>> {
    let row = tx
        .query_opt(SET_PLACE, &[&id, &place.cluster, &place.group, &place.database, &place.schema, &place.role])
        .await
        .context("recording a tenant's place")?;
    row.as_ref().map(from_row).transpose()
}

const BEGIN_PURGE: &str = concat!(
    "update tenants set purge_begun_at = coalesce(purge_begun_at, now()) where id = $1 and status = 'deleted' returning ",
    columns!()
);

/// Leaves a locked, deleted tenant no way back.
pub(super) async fn begin_purge(tx: &impl Sql, id: TenantId) -> Result<Option<Tenant>> {
    let row = tx.query_opt(BEGIN_PURGE, &[&id]).await.context("beginning a purge")?;
    row.as_ref().map(from_row).transpose()
}

const FORGET_PLACE: &str = "
    update tenants set cluster_id = null, group_id = null, database_name = null, schema_name = null, role_name = null,
        used_storage = 0, used_workspaces = 0
    where id = $1";

/// Forgets where a tenant was, once nothing of it is there.
pub(super) async fn forget_place(tx: &impl Sql, id: TenantId) -> Result<()> {
    tx.execute(FORGET_PLACE, &[&id]).await.context("forgetting a tenant's place").map(drop)
}

const OVERDUE: &str = "
    select id from tenants
    where status = 'deleted' and purge_after <= now() and purge_begun_at is null order by purge_after, id limit $1";

/// Deleted tenants whose time is over, longest first.
pub(super) async fn list_overdue(db: &impl Sql, limit: i64) -> Result<Vec<TenantId>> {
    let rows = db.query(OVERDUE, &[&limit]).await.context("listing tenants whose time is over")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const SET_SCHEMA_VERSION: &str = "update tenants set schema_version = $2 where id = $1 and schema_version <> $2";

/// Records which version a tenant's schema has.
pub(super) async fn set_schema_version(tx: &impl Sql, id: TenantId, version: i32) -> Result<()> {
    tx.execute(SET_SCHEMA_VERSION, &[&id, &version]).await.context("recording a schema version").map(drop)
}

// Whoever migrates the database writes to its row, too: one of the two waits for the other.
const SHARE_SCHEMA_VERSION: &str = "
    with shared as (
        select schema_version from group_databases
        where id = (select group_id from tenants where id = $1) for share)
    update tenants set schema_version = shared.schema_version from shared
    where tenants.id = $1 and tenants.schema_version <> shared.schema_version";

/// Records for a tenant which version the schema has that it shares.
pub(super) async fn share_schema_version(tx: &impl Sql, id: TenantId) -> Result<()> {
    tx.execute(SHARE_SCHEMA_VERSION, &[&id]).await.context("recording a shared schema's version").map(drop)
}

fn from_row(row: &Row) -> Result<Tenant> {
    let cluster: Option<ClusterId> = row.column("cluster_id")?;
    Ok(Tenant {
        id: row.column("id")?,
        organization_id: row.column("organization_id")?,
        name: row.column("name")?,
        external_id: row.column("external_id")?,
        kind: row.column("type")?,
        status: row.column("status")?,
        is_active: row.column("is_active")?,
        status_reason: row.column("status_reason")?,
        suspended_by_kind: row.column("suspended_by_kind")?,
        isolation: row.column("isolation")?,
        cluster_id: cluster,
        schema_version: row.column("schema_version")?,
        storage_quota: row.column("storage_quota")?,
        used_storage: row.column("used_storage")?,
        reserved_storage: row.column("reserved_storage")?,
        used_workspaces: row.column("used_workspaces")?,
        rate_limit: RateLimitView::from_row(row)?,
        custom_domain: row.column("custom_domain")?,
        identity_group: row.column("identity_group")?,
        settings: row.column("settings")?,
        metadata: row.column("metadata")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
        deleted_at: row.column::<Option<Timestamp>>("deleted_at")?,
        purge_after: row.column("purge_after")?,
        status_before_delete: row.column("status_before_delete")?,
        deleted_by_kind: row.column("deleted_by_kind")?,
        is_being_purged: row.column("is_being_purged")?,
        place: place(row, cluster)?,
    })
}

fn place(row: &Row, cluster: Option<ClusterId>) -> Result<Option<Place>> {
    let names: (Option<String>, Option<String>, Option<String>) =
        (row.column("database_name")?, row.column("schema_name")?, row.column("role_name")?);
    let (Some(cluster), (Some(database), Some(schema), Some(role))) = (cluster, names) else { return Ok(None) };
    let (generation, credential_version) = (row.column("generation")?, row.column("credential_version")?);
    let group = row.column("group_id")?;
    Ok(Some(Place { cluster, group, database, schema, role, generation, credential_version }))
}
