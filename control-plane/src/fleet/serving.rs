//! Which versions the data planes serve that are up: a schema at any other one is refused by them.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::{Code, Error, Result};
use serde_json::json;
use tokio_postgres::Row;

use super::model::ServingReplica;
use super::requests::Wanted;

const WITHOUT: &str = "
    select host, replica_id, oldest_version, newest_version from data_plane_replicas
    where expires_at > clock_timestamp() and not $1::integer between oldest_version and newest_version
    order by host, replica_id, epoch";

/// The data planes that are up and do not serve a version.
pub(super) async fn without(db: &impl Sql, version: i32) -> Result<Vec<ServingReplica>> {
    let rows = db.query(WITHOUT, &[&version]).await.context("asking which versions are served")?;
    let read = |row: &Row| {
        Ok(ServingReplica {
            host: row.column("host")?,
            replica_id: row.column("replica_id")?,
            oldest_version: row.column("oldest_version")?,
            newest_version: row.column("newest_version")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Those that do not serve what a run would bring schemas to. A dry run brings them nowhere.
pub(super) async fn against(db: &impl Sql, wanted: &Wanted) -> Result<Vec<ServingReplica>> {
    if wanted.dry_run.is_some() { Ok(Vec::new()) } else { without(db, wanted.target).await }
}

/// Some of them in words.
pub(super) fn said(replicas: &[ServingReplica]) -> String {
    let said: Vec<String> = replicas.iter().map(ToString::to_string).collect();
    said.join(", ")
}

/// Refuses what would leave tenants without an answer.
pub(super) async fn check(db: &impl Sql, wanted: &Wanted) -> Result<()> {
    let replicas = against(db, wanted).await?;
    if wanted.ignores_served_versions || replicas.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "Data planes that are up would refuse tenants at version {}: {}. Replace them first; `ignore_served_versions` goes on \
         nevertheless.",
        wanted.target,
        said(&replicas)
    );
    Err(Error::new(Code::VersionNotServed, detail).with("replicas", json!(replicas)))
}
