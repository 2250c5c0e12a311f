//! Platform table `clusters`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::ClusterId;
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;

use super::model::Cluster;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, name, host, port, status::text as status, accepting, weight, budget, labels, created_at, updated_at,
                (select count(*) from tenants where tenants.cluster_id = clusters.id and status <> 'purged') as tenants
            from clusters ",
            $rest
        )
    };
}

const REGISTER_FIRST: &str = "
    insert into clusters (id, name, host, port, tls_mode)
    select $1, 'default', $2, $3, case when $4 then 'verify_full' else 'disable' end::cluster_tls_mode
    where not exists (select from clusters)
    on conflict do nothing";

/// Registers the server that `saas_platform` is on, where no cluster was ever registered. Says whether it did.
pub(crate) async fn register_first(db: &impl Sql, host: &str, port: u16, tls: bool) -> Result<bool> {
    let made = db
        .execute(REGISTER_FIRST, &[&ClusterId::new(), &host, &i32::from(port), &tls])
        .await
        .context("registering the first cluster")?;
    Ok(made == 1)
}

const FIND_BY_NAME: &str = select!("where name = $1");

/// The cluster with a name.
pub(crate) async fn find_by_name(db: &impl Sql, name: &str) -> Result<Option<Cluster>> {
    let row = db.query_opt(FIND_BY_NAME, &[&name]).await.context("reading a cluster by name")?;
    row.as_ref().map(from_row).transpose()
}

const ACCEPTING: &str = "
    select id from clusters
    where accepting and status = 'active' and weight > 0 and labels @> coalesce($1, '{}'::jsonb) limit 2";
const CHOOSE: &str = "
    with load as (
        select cluster.id, cluster.name, cluster.weight, count(tenant.id)::float8 as tenants,
            coalesce(sum(tenant.used_storage), 0)::float8 as bytes
        from clusters cluster
        left join tenants tenant on tenant.cluster_id = cluster.id and tenant.status <> 'purged'
        where cluster.accepting and cluster.status = 'active' and cluster.weight > 0
            and cluster.labels @> coalesce($1, '{}'::jsonb)
        group by cluster.id)
    select id from load
    order by (tenants / greatest(sum(tenants) over (), 1) + bytes / greatest(sum(bytes) over (), 1)) / weight, name
    limit 1";

/// The cluster that a new tenant belongs on: of those that accept any and have all of the labels, the one whose share of
/// tenants and of their bytes is the smallest for its weight.
pub(crate) async fn choose(db: &impl Sql, labels: Option<&Value>) -> Result<Option<ClusterId>> {
    let accepting = db.query(ACCEPTING, &[&labels]).await.context("looking for a cluster")?;
    // Weighing reads every tenant, and most installations have nothing to weigh.
    if let [] | [_] = accepting.as_slice() {
        return accepting.first().map(|row| row.column("id")).transpose();
    }
    let row = db.query_opt(CHOOSE, &[&labels]).await.context("choosing a cluster")?;
    row.map(|row| row.column("id")).transpose()
}

const IS_ACCEPTING: &str = "select accepting and status = 'active' as is_accepting from clusters where id = $1";

/// Whether a cluster takes new tenants.
pub(crate) async fn is_accepting(db: &impl Sql, id: ClusterId) -> Result<bool> {
    let row = db.query_opt(IS_ACCEPTING, &[&id]).await.context("asking whether a cluster accepts tenants")?;
    row.map_or(Ok(false), |row| row.column("is_accepting"))
}

const LIST: &str = select!("where ($1::uuid is null or id > $1) order by id limit $2");

/// All clusters, in the order of their registration.
pub(super) async fn list(db: &impl Sql, after: Option<ClusterId>, limit: i64) -> Result<Vec<Cluster>> {
    let rows = db.query(LIST, &[&after, &limit]).await.context("listing clusters")?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Cluster> {
    let port: i32 = row.column("port")?;
    Ok(Cluster {
        id: row.column("id")?,
        name: row.column("name")?,
        host: row.column("host")?,
        port: u16::try_from(port).map_err(Error::internal)?,
        status: row.column("status")?,
        accepting: row.column("accepting")?,
        weight: row.column("weight")?,
        budget: row.column("budget")?,
        labels: row.column("labels")?,
        tenants: row.column("tenants")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}
