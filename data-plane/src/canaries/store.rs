//! What `saas_platform` says of canaries, and is told of them.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};
use uuid::Uuid;

use super::Counted;

const WATCHED: &str = "select tenant_id from canaries_watched()";

/// The tenants that a run watches now.
pub(super) async fn watched(db: &impl Sql) -> Result<Vec<TenantId>> {
    let rows = db.query(WATCHED, &[]).await.context("asking for the canaries of a run")?;
    rows.iter().map(|row| row.column("tenant_id")).collect()
}

const ADD: &str = "select canaries_add($1, $2, $3)";

/// Adds what was counted.
pub(super) async fn add(db: &impl Sql, counted: &[Counted]) -> Result<()> {
    let number = |value: u64| i64::try_from(value).map_err(Error::internal);
    let tenants: Vec<Uuid> = counted.iter().map(|one| one.tenant.as_uuid()).collect();
    let requests: Vec<i64> = counted.iter().map(|one| number(one.requests)).collect::<Result<_>>()?;
    let errors: Vec<i64> = counted.iter().map(|one| number(one.errors)).collect::<Result<_>>()?;
    db.query_one(ADD, &[&tenants, &requests, &errors]).await.context("telling of the canaries of a run").map(drop)
}
