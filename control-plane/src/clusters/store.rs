//! Platform table `clusters`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, QueryError, ServerTls, Sql};
use rowhouse_domain::ClusterId;
use rowhouse_problem::{Code, Error, Result};
use serde_json::Value;
use tokio_postgres::Row;

use super::link::{ClusterLink, Credential};
use super::model::{Cluster, Health};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select cluster.id, name, host, port, login, credential_ref, sealed_password is not null as is_sealed,
                tls_mode::text as tls, tls_ca is not null as has_tls_ca, status::text as status, accepting, weight, budget,
                labels, cluster.created_at, cluster.updated_at, health.is_reachable, health.error, health.checked_at,
                health.seen_at, health.server_version, health.max_connections, health.used_connections, health.bytes,
                (select count(*) from tenants where tenants.cluster_id = cluster.id and status <> 'purged') as tenants
            from clusters cluster left join cluster_health health on health.cluster_id = cluster.id ",
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

const FIND: &str = select!("where cluster.id = $1");

/// The cluster with an id.
pub(super) async fn find(db: &impl Sql, id: ClusterId) -> Result<Option<Cluster>> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading a cluster")?;
    row.as_ref().map(from_row).transpose()
}

const LOCK: &str = "select id from clusters where id = $1 for update";

/// The same, kept from changing until the transaction ends.
pub(super) async fn lock(tx: &impl Sql, id: ClusterId) -> Result<Cluster> {
    tx.query_opt(LOCK, &[&id]).await.context("locking a cluster")?;
    find(tx, id).await?.ok_or_else(|| Error::not_found("cluster", id))
}

const FIND_BY_NAME: &str = select!("where name = $1");

/// The cluster with a name.
pub(crate) async fn find_by_name(db: &impl Sql, name: &str) -> Result<Option<Cluster>> {
    // What PostgreSQL takes for no text at all is the name of none.
    if name.contains('\0') {
        return Ok(None);
    }
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

const LIST: &str = select!("where ($1::uuid is null or cluster.id > $1) order by cluster.id limit $2");

/// All clusters, in the order of their registration.
pub(super) async fn list(db: &impl Sql, after: Option<ClusterId>, limit: i64) -> Result<Vec<Cluster>> {
    let rows = db.query(LIST, &[&after, &limit]).await.context("listing clusters")?;
    rows.iter().map(from_row).collect()
}

/// The columns of a cluster that an operator decides about.
pub(super) struct Settled<'a> {
    pub(super) name: &'a str,
    pub(super) link: &'a ClusterLink,
    pub(super) accepting: bool,
    pub(super) status: &'a str,
    pub(super) weight: i32,
    pub(super) budget: i32,
    pub(super) labels: &'a Value,
}

fn taken<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result
        .on_constraint("clusters_name_key", || Error::new(Code::NameTaken, "Another cluster has this name."))
        .on_constraint("clusters_host_port_key", || {
            Error::new(Code::ClusterRegistered, "A cluster is registered at this address.")
        })
        .on_constraint("clusters_system_identifier_key", || {
            Error::new(Code::ClusterRegistered, "This server is registered already, under another name or address.")
        })
}

const INSERT: &str = "
    insert into clusters (id, name, host, port, login, credential_ref, sealed_password, tls_mode, tls_ca, accepting, status,
        weight, budget, labels, system_identifier)
    values ($1, $2, $3, $4, $5, $6, $7, $8::text::cluster_tls_mode, $9, $10, $11::text::cluster_status, $12, $13, $14, $15)";
const UPDATE: &str = "
    update clusters set name = $2, host = $3, port = $4, login = $5, credential_ref = $6, sealed_password = $7,
        tls_mode = $8::text::cluster_tls_mode, tls_ca = $9, accepting = $10, status = $11::text::cluster_status,
        weight = $12, budget = $13, labels = $14, system_identifier = coalesce($15, system_identifier)
    where id = $1";

/// Records a cluster.
pub(super) async fn insert(tx: &impl Sql, cluster: &Settled<'_>, identifier: Option<&str>) -> Result<()> {
    write(tx, INSERT, cluster, identifier, "registering a cluster").await
}

/// Writes what an operator decided about a cluster; the row is locked.
pub(super) async fn update(tx: &impl Sql, cluster: &Settled<'_>, identifier: Option<&str>) -> Result<()> {
    write(tx, UPDATE, cluster, identifier, "changing a cluster").await
}

async fn write(
    tx: &impl Sql,
    sql: &'static str,
    cluster: &Settled<'_>,
    identifier: Option<&str>,
    doing: &str,
) -> Result<()> {
    let (server, credential) = (&cluster.link.server, &cluster.link.credential);
    let (reference, sealed) = match credential {
        Credential::Platform => (None, None),
        Credential::Settings(name) => (Some(name), None),
        Credential::Sealed(sealed) => (None, Some(sealed)),
    };
    let (mode, authority) = match &server.tls {
        ServerTls::Disabled => ("disable", None),
        ServerTls::VerifyFull { authority } => ("verify_full", authority.as_ref()),
    };
    let written = tx
        .execute(
            sql,
            &[
                &server.cluster,
                &cluster.name,
                &server.host,
                &i32::from(server.port),
                &cluster.link.login,
                &reference,
                &sealed,
                &mode,
                &authority,
                &cluster.accepting,
                &cluster.status,
                &cluster.weight,
                &cluster.budget,
                &cluster.labels,
                &identifier,
            ],
        )
        .await;
    taken(written).context(doing).map(drop)
}

const IS_ANOTHER: &str = "select coalesce(system_identifier <> $2, false) as is_another from clusters where id = $1";

/// Whether a server that calls itself so is another one than the cluster's; not where either is unknown.
pub(super) async fn is_another(tx: &impl Sql, id: ClusterId, identifier: Option<&str>) -> Result<bool> {
    let row = tx.query_one(IS_ANOTHER, &[&id, &identifier]).await.context("telling clusters apart")?;
    row.column("is_another")
}

const DELETE: &str = "delete from clusters where id = $1";
const FORGET: [&str; 3] = [
    "delete from stock_databases where cluster_id = $1",
    "delete from templates where cluster_id = $1",
    "delete from group_databases where cluster_id = $1",
];

/// Forgets a cluster that holds no tenant, with all that was recorded of it.
pub(super) async fn delete(tx: &impl Sql, id: ClusterId) -> Result<()> {
    for sql in FORGET {
        tx.execute(sql, &[&id]).await.context("forgetting what a cluster held")?;
    }
    tx.execute(DELETE, &[&id]).await.context("forgetting a cluster").map(drop)
}

fn from_row(row: &Row) -> Result<Cluster> {
    let port: i32 = row.column("port")?;
    let reference: Option<String> = row.column("credential_ref")?;
    Ok(Cluster {
        id: row.column("id")?,
        name: row.column("name")?,
        host: row.column("host")?,
        port: u16::try_from(port).map_err(Error::internal)?,
        login: row.column("login")?,
        credential: match reference {
            Some(name) => format!("settings:{name}"),
            None if row.column("is_sealed")? => "sealed".to_owned(),
            None => "platform".to_owned(),
        },
        tls: row.column("tls")?,
        has_tls_ca: row.column("has_tls_ca")?,
        status: row.column("status")?,
        accepting: row.column("accepting")?,
        weight: row.column("weight")?,
        budget: row.column("budget")?,
        labels: row.column("labels")?,
        tenants: row.column("tenants")?,
        health: health(row)?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}

fn health(row: &Row) -> Result<Option<Health>> {
    let Some(is_reachable) = row.column("is_reachable")? else { return Ok(None) };
    let (max, used): (Option<i32>, Option<i32>) = (row.column("max_connections")?, row.column("used_connections")?);
    Ok(Some(Health {
        is_reachable,
        error: row.column("error")?,
        checked_at: row.column("checked_at")?,
        seen_at: row.column("seen_at")?,
        server_version: row.column("server_version")?,
        max_connections: max,
        used_connections: used,
        free_connections: max.zip(used).map(|(max, used)| max - used),
        bytes: row.column("bytes")?,
    }))
}
