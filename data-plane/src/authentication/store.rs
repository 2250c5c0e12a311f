//! What authentication asks of `saas_platform` and tells it.

use std::sync::Arc;

use rowhouse_database::{Columns, Described, Placement, Sql};
use rowhouse_domain::KeyId;
use rowhouse_problem::Result;
use uuid::Uuid;

use super::known::Facts;
use super::refusal::Circumstances;

const FIND: &str = "
    select key.id, key.key_prefix, key.account_id, key.key_hash, key.pepper_version, key.scopes,
        key.revoked_at is not null as is_revoked, key.expires_at,
        key.rate_per_second as key_rate_per_second, key.rate_burst as key_rate_burst,
        coalesce(key.last_used_at >= now() - interval '1 minute', false) as is_noted,
        tenant.id as tenant_id, tenant.organization_id, tenant.status, tenant.isolation, tenant.cluster_id,
        tenant.database_name, tenant.schema_name, tenant.role_name, tenant.credential_version, tenant.generation,
        tenant.schema_version, tenant.rate_per_second, tenant.rate_burst, organization.status as organization_status,
        organization.subscription_tier,
        organization.deleted_at is not null as organization_is_deleted, tenant.group_id, cluster.host, cluster.port,
        cluster.tls_mode::text as tls_mode, cluster.tls_ca, group_database.credential_version as group_credential_version
    from tenant_api_keys key
    join tenants tenant on tenant.id = key.tenant_id
    join organizations organization on organization.id = tenant.organization_id
    left join clusters cluster on cluster.id = tenant.cluster_id
    left join group_databases group_database on group_database.id = tenant.group_id
    where key.key_prefix = any($1)";

/// Everything that decides on the keys of these prefixes, in one query: the keys, their tenants with their organizations,
/// and where those are; and whether their use was noted within the last minute.
pub(super) async fn find(platform: &impl Sql, prefixes: &[&str]) -> Result<Vec<(Facts, Option<Arc<Placement>>, bool)>> {
    let rows = platform.query(FIND, &[&prefixes]).await.context("looking up API keys")?;
    let all_read = rows.iter().map(|row| {
        let facts = Facts::from_row(row)?;
        let placement = facts.placement_in(row)?;
        Ok((facts, placement, row.column("is_noted")?))
    });
    if prefixes.len() == 1 {
        return all_read.collect();
    }
    // One that can't be read is looked up by itself when it is used, and keeps none of the others waiting.
    let readable = all_read.filter_map(|read: Result<_>| {
        read.inspect_err(|error| tracing::error!(error = error.chain(), "a key can't be read")).ok()
    });
    Ok(readable.collect())
}

const SEQUENCE: &str = "select value from auth_sequence";

/// The number of the last notice that was committed.
pub(super) async fn sequence(platform: &impl Sql) -> Result<i64> {
    platform.query_one(SEQUENCE, &[]).await.context("reading the number of the last notice")?.column("value")
}

const TOUCH: &str = "select key_touch($1)";

/// Notes that the key was used.
pub(super) async fn touch(platform: &impl Sql, key: KeyId) -> Result<()> {
    platform.query_one(TOUCH, &[&key]).await.context("noting a key's use")?;
    Ok(())
}

const AUDIT: &str = "select audit_refused_key($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Adds a refused key to the audit log: why, under which circumstances, and whose it is (key, organization, tenant).
pub(super) async fn audit_refusal(
    platform: &impl Sql,
    reason: &str,
    circumstances: &Circumstances,
    [key, organization, tenant]: [Option<Uuid>; 3],
) -> Result<()> {
    let Circumstances { kind, prefix, address, user_agent, request_id, method, path } = circumstances;
    platform
        .query_one(
            AUDIT,
            &[&reason, kind, prefix, &key, &organization, &tenant, address, user_agent, request_id, method, path],
        )
        .await
        .context("recording a refused key")?;
    Ok(())
}
