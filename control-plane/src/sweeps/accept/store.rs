//! Platform table `schema_acceptances`, and what of `schema_checks` follows from it. Owns their SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{SchemaCheckState, TenantId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::audit::Requester;
use crate::sweeps::model::{Acceptance, ObjectDifference};

const LOCK: &str =
    "select pg_advisory_xact_lock(hashtextextended('rowhouse.schema_check', 0) # hashtextextended($1::text, 0))";

/// Has whoever looks at a schema and whoever accepts what differs take turns, until the transaction is over: what is recorded of a
/// look is always decided on what is accepted by then.
pub(in crate::sweeps) async fn lock(tx: &impl Sql, schema: Uuid) -> Result<()> {
    tx.query(LOCK, &[&schema.to_string()]).await.context("waiting for others who look at a schema").map(drop)
}

const SEEN: &str = "select state, differences from schema_checks where schema_id = $1";

/// What was seen of a schema the last time.
pub(super) async fn seen(db: &impl Sql, schema: Uuid) -> Result<Option<(SchemaCheckState, Vec<ObjectDifference>)>> {
    let row = db.query_opt(SEEN, &[&schema]).await.context("reading what was seen of a schema")?;
    row.map(|row| Ok((row.column("state")?, differences(row.column("differences")?)?))).transpose()
}

macro_rules! columns {
    () => {
        "schema_id, reason, differences, accepted_by_kind, accepted_by, accepted_at"
    };
}

const FIND: &str = concat!("select ", columns!(), " from schema_acceptances where schema_id = $1");

/// What is accepted of a schema.
pub(super) async fn find(db: &impl Sql, schema: Uuid) -> Result<Option<Acceptance>> {
    let row = db.query_opt(FIND, &[&schema]).await.context("reading what is accepted of a schema")?;
    row.map(|row| read(&row, row.column("differences")?)).transpose()
}

const PUT: &str = concat!(
    "insert into schema_acceptances (schema_id, reason, differences, accepted_by_kind, accepted_by) values ($1, $2, $3, $4, $5)
    on conflict (schema_id) do update set reason = excluded.reason, differences = excluded.differences,
        accepted_by_kind = excluded.accepted_by_kind, accepted_by = excluded.accepted_by, accepted_at = excluded.accepted_at
    returning ",
    columns!()
);
const LET_GO: &str = "
    update schema_checks set state = 'accepted', is_blocking = false, accepted_at = clock_timestamp()
    where schema_id = $1 and state = 'different'";

/// Accepts differences in place of those that were accepted before.
pub(super) async fn put(
    tx: &impl Sql,
    schema: Uuid,
    reason: &str,
    differences: &[ObjectDifference],
    requester: &Requester,
) -> Result<Acceptance> {
    let stored = serde_json::to_value(differences).map_err(Error::internal)?;
    let parameters: rowhouse_database::Parameters<'_> =
        &[&schema, &reason, &stored, &requester.actor.kind, &requester.actor.id];
    let row = tx.query_one(PUT, parameters).await.context("accepting what differs in a schema")?;
    tx.execute(LET_GO, &[&schema]).await.context("letting runs come to a schema")?;
    read(&row, row.column("differences")?)
}

const REMOVE: &str = "delete from schema_acceptances where schema_id = $1";
const NARROW: &str =
    concat!("update schema_acceptances set differences = $2 where schema_id = $1 returning ", columns!());

/// Keeps only these of the differences that were accepted; what is accepted then, if anything is.
pub(super) async fn narrow(tx: &impl Sql, schema: Uuid, kept: &[ObjectDifference]) -> Result<Option<Acceptance>> {
    if kept.is_empty() {
        tx.execute(REMOVE, &[&schema]).await.context("forgetting what was accepted and is gone")?;
        return Ok(None);
    }
    let stored = serde_json::to_value(kept).map_err(Error::internal)?;
    let row = tx.query_one(NARROW, &[&schema, &stored]).await.context("forgetting some of what was accepted")?;
    read(&row, row.column("differences")?).map(Some)
}

const TENANT_OF: &str = "select tenant_id from fleet_schemas where schema_id = $1";

/// The tenant whose schema it is; none where several share it.
pub(super) async fn tenant_of(db: &impl Sql, schema: Uuid) -> Result<Option<TenantId>> {
    let row = db.query_opt(TENANT_OF, &[&schema]).await.context("looking for a schema's tenant")?;
    Ok(row.map(|row| row.column::<Option<TenantId>>("tenant_id")).transpose()?.flatten())
}

/// Accepts nothing of a schema any more.
pub(super) async fn remove(tx: &impl Sql, schema: Uuid) -> Result<()> {
    tx.execute(REMOVE, &[&schema]).await.context("accepting nothing of a schema any more").map(drop)
}

const FORGET: &str = "
    delete from schema_acceptances one where not exists (select from tenants where tenants.id = one.schema_id and status <> 'purged')
        and not exists (select from group_databases where group_databases.id = one.schema_id)";

/// Forgets schemas that are gone for good.
pub(in crate::sweeps) async fn forget(db: &impl Sql) -> Result<()> {
    db.execute(FORGET, &[]).await.context("forgetting what was accepted of schemas that are gone").map(drop)
}

/// A row with what is accepted, and the differences of it.
pub(in crate::sweeps) fn read(row: &Row, stored: Value) -> Result<Acceptance> {
    Ok(Acceptance {
        schema_id: row.column("schema_id")?,
        reason: row.column("reason")?,
        differences: differences(stored)?,
        accepted_by_kind: row.column("accepted_by_kind")?,
        accepted_by: row.column("accepted_by")?,
        accepted_at: row.column("accepted_at")?,
    })
}

fn differences(stored: Value) -> Result<Vec<ObjectDifference>> {
    serde_json::from_value(stored).map_err(Error::internal)
}
