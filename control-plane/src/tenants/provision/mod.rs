//! Making a tenant's role and database, as the steps of an operation: reserve → role → database → pin → migrate →
//! verify → activate.
//!
//! Each step asks the world first and may run twice. What is found under the names that a tenant will have is used
//! only after it proved to be that tenant's: a database and a role carry its id in their comments.

mod activate;
mod database;
mod reserve;
mod role;
mod schema;
mod verify;

use rowhouse_database::PlatformTransaction;
use rowhouse_domain::{DatabaseName, RoleName, TenantName, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::login;
use super::model::{Place, Tenant};
use super::store;
use crate::clusters::{self, Cluster};
use crate::operations::{Outcome, Work};

/// The schema of a tenant that has a database of its own.
const SCHEMA: &str = "public";
/// The role that owns databases and what is in them.
const OWNER: &str = "rowhouse_owner";

/// A tenant that is being made, and where.
struct Site<'a> {
    work: &'a Work,
    tenant: Tenant,
    place: Place,
    cluster: Cluster,
}

/// Runs a step of an operation of this kind.
pub(crate) async fn run_step(work: &Work, step: &str) -> Result<Outcome> {
    let id = work.tenant()?;
    let tenant = store::find(&work.context.platform.get().await?, id).await?;
    let tenant = tenant.ok_or_else(|| Error::not_found("tenant", id))?;
    if tenant.status != TenantStatus::Provisioning {
        // Deleted in the meantime; or active, where the record of the last step was lost.
        login::sync_login(work).await?;
        return Ok(if tenant.status == TenantStatus::Active { Outcome::Done } else { Outcome::Obsolete });
    }
    if step == "reserve" {
        return reserve::ensure(work, &tenant).await.map(|()| Outcome::Done);
    }
    let site = Site::of(work, tenant).await?;
    match step {
        "role" => role::ensure(&site).await?,
        "database" => database::ensure(&site).await?,
        "pin" => role::ensure_pin(&site).await?,
        "migrate" => schema::ensure(&site).await?,
        "verify" => verify::ensure(&site).await?,
        "activate" => return activate::ensure(&site).await,
        other => return Err(Error::internal(format!("no step {other:?}"))),
    }
    Ok(Outcome::Done)
}

/// Records that a tenant could not be made. It can be tried again (`resume`) or deleted.
pub(crate) async fn give_up(tx: &PlatformTransaction<'_>, work: &Work, error: &Error) -> Result<()> {
    activate::give_up(tx, work, error).await
}

impl<'a> Site<'a> {
    async fn of(work: &'a Work, tenant: Tenant) -> Result<Self> {
        let place = tenant.place.clone().ok_or_else(|| Error::internal("no place was reserved"))?;
        let cluster = clusters::store::find(&work.context.platform.get().await?, place.cluster).await?;
        let cluster = cluster.ok_or_else(|| Error::internal("the cluster is not registered"))?;
        Ok(Self { work, tenant, place, cluster })
    }

    /// The comment on what belongs to this tenant.
    fn mark(&self) -> String {
        format!("rowhouse tenant {}", self.tenant.id.as_uuid())
    }
}

/// The names that a tenant's database and login get, from what it is called when they are chosen.
fn names(tenant: &Tenant) -> Result<(DatabaseName, RoleName)> {
    let name = TenantName::parse(&tenant.name).map_err(Error::internal)?;
    Ok(rowhouse_domain::names::database_and_role(&name, tenant.id))
}
