//! One query of `saas_platform` decides on a key: the key, its tenant, its organization, its cluster.

use std::ops::RangeInclusive;

use rowhouse_database::{ActivePlacement, Columns, Described, Placement, Sql};
use rowhouse_domain::{AccountId, KeyId, OrganizationId, OrganizationStatus, Scopes, TenantId, TenantStatus};
use rowhouse_keys::{ApiKeyHash, PlainApiKey};
use rowhouse_problem::{Code, Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::caller::Caller;
use super::refusal::Circumstances;
use crate::placements;
use crate::state::AppState;

/// The tenant schema versions that this build can work with: its own, and the next one, which older builds must survive.
pub const SERVED_SCHEMAS: RangeInclusive<i32> = 6..=7;

/// Why a key was refused, and whose it is where that is known.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) key: Option<KeyId>,
    pub(super) organization: Option<OrganizationId>,
    pub(super) tenant: Option<TenantId>,
}

impl Refusal {
    /// Of a key whose secret nobody has compared.
    pub(super) fn unverified(error: Error) -> Self {
        Self { error, key: None, organization: None, tenant: None }
    }
}

const FIND: &str = "
    select key.id, key.account_id, key.key_hash, key.pepper_version, key.scopes,
        key.revoked_at is not null as revoked, coalesce(key.expires_at <= now(), false) as expired,
        coalesce(key.last_used_at < now() - interval '1 minute', true) as untouched,
        tenant.id as tenant_id, tenant.organization_id, tenant.status, tenant.isolation, tenant.cluster_id,
        tenant.database_name, tenant.schema_name, tenant.role_name, tenant.credential_version, tenant.generation,
        tenant.schema_version, organization.status as organization_status,
        organization.deleted_at is not null as organization_deleted, tenant.group_id, cluster.host, cluster.port,
        cluster.tls_mode::text as tls_mode, cluster.tls_ca, group_database.credential_version as group_credential_version
    from tenant_api_keys key
    join tenants tenant on tenant.id = key.tenant_id
    join organizations organization on organization.id = tenant.organization_id
    left join clusters cluster on cluster.id = tenant.cluster_id
    left join group_databases group_database on group_database.id = tenant.group_id
    where key.key_prefix = $1";

/// Looks a key up and decides. The outer error is ours, the inner one the key's.
pub(super) async fn find(state: &AppState, key: &PlainApiKey) -> Result<Result<Caller, Refusal>> {
    let connection = state.platform.get().await?;
    let row = connection.query_opt(FIND, &[&key.prefix()]).await.context("looking up an API key")?;
    drop(connection);
    let Some(row) = row else {
        // The same work as for a known prefix, so that the time tells nothing.
        let _ = key.hash(&state.master.pepper(state.settings.keys.pepper_version));
        return Ok(Err(Refusal::unverified(unknown_key())));
    };
    let hash = ApiKeyHash::from_bytes(row.column("key_hash")?).ok_or_else(|| Error::internal("a stored key hash"))?;
    if !key.matches(&state.master.pepper(row.column("pepper_version")?), &hash) {
        return Ok(Err(Refusal::unverified(unknown_key())));
    }
    let id: KeyId = row.column("id")?;
    match decide(&row)? {
        Ok(placement) => {
            if row.column("untouched")? && state.touched.first_in_a_while(id) {
                touch(state, id);
            }
            let scopes: Vec<String> = row.column("scopes")?;
            Ok(Ok(Caller {
                tenant: row.column("tenant_id")?,
                organization: row.column("organization_id")?,
                key: id,
                prefix: key.prefix().to_owned(),
                account: row.column::<Option<AccountId>>("account_id")?,
                scopes: Scopes::from_texts(&scopes),
                placement: ActivePlacement::vouch(placement),
            }))
        }
        Err(error) => Ok(Err(Refusal {
            error,
            key: Some(id),
            organization: row.column("organization_id")?,
            tenant: row.column("tenant_id")?,
        })),
    }
}

fn unknown_key() -> Error {
    Error::new(
        Code::UnknownKey,
        "No such key is known. Check that it was copied whole and belongs to this installation.",
    )
}

/// Whether the verified key opens anything now, and where its tenant is.
fn decide(row: &Row) -> Result<Result<Placement>> {
    if row.column("revoked")? {
        return Ok(Err(Error::new(Code::RevokedKey, "The key was revoked. Ask your organization for another.")));
    }
    if row.column("expired")? {
        return Ok(Err(Error::new(Code::ExpiredKey, "The key's time is over. Ask your organization for another.")));
    }
    let organization: OrganizationStatus = row.column("organization_status")?;
    let tenant: TenantStatus = row.column("status")?;
    // Who is gone has no keys: an old one is told nothing, not even that there was a tenant.
    if row.column("organization_deleted")? || matches!(tenant, TenantStatus::Deleted | TenantStatus::Purged) {
        return Ok(Err(unknown_key()));
    }
    if organization != OrganizationStatus::Active {
        let detail = format!("The organization is {organization}. Its tenants are served again when it is active.");
        return Ok(Err(Error::new(Code::OrganizationSuspended, detail)));
    }
    Ok(match tenant {
        TenantStatus::Active => placement(row)?,
        TenantStatus::Inactive | TenantStatus::Suspended => {
            Err(Error::new(Code::TenantSuspended, format!("The tenant is {tenant}.")))
        }
        TenantStatus::Provisioning | TenantStatus::Failed => {
            Err(Error::new(Code::TenantNotReady, "The tenant is still being set up. Try again in a moment."))
        }
        TenantStatus::Deleted | TenantStatus::Purged => Err(unknown_key()),
    })
}

fn placement(row: &Row) -> Result<Result<Placement>> {
    let version: i32 = row.column("schema_version")?;
    if !SERVED_SCHEMAS.contains(&version) {
        let (oldest, newest) = (SERVED_SCHEMAS.start(), SERVED_SCHEMAS.end());
        let detail = format!(
            "The tenant is at migration {version}; this release serves {oldest} to {newest}. It is being migrated, or this \
             release is being replaced."
        );
        return Ok(Err(Error::new(Code::SchemaNotServed, detail).with("schema_version", version)));
    }
    placements::from_row(row).map(Ok)
}

const TOUCH: &str = "select key_touch($1)";

/// Notes that the key was used, best effort and beside the request.
fn touch(state: &AppState, key: KeyId) {
    let platform = state.platform.clone();
    tokio::spawn(async move {
        let note = async {
            platform.get().await?.query_one(TOUCH, &[&key]).await.context("noting a key's use")?;
            Ok::<(), Error>(())
        };
        if let Err(error) = note.await {
            tracing::debug!(error = error.chain(), "a key's use could not be noted");
        }
    });
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
