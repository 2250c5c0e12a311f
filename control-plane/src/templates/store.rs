//! Platform tables `templates` and `template_fingerprints`. Owns their SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::ClusterId;
use rowhouse_migrations::{Entry, Fingerprint};
use rowhouse_problem::{Error, Result};

const PUBLISH: &str = "
    insert into templates (cluster_id, schema_version, database_name, checksum) values ($1, $2, $3, $4)
    on conflict (cluster_id, schema_version) do update
        set database_name = excluded.database_name, checksum = excluded.checksum
        where (templates.database_name, templates.checksum) <> (excluded.database_name, excluded.checksum)";

/// Records that a template is there.
pub(super) async fn publish(
    db: &impl Sql,
    cluster: ClusterId,
    version: i32,
    database: &str,
    checksum: &str,
) -> Result<()> {
    db.execute(PUBLISH, &[&cluster, &version, &database, &checksum]).await.context("recording a template").map(drop)
}

const FIND_FINGERPRINT: &str = "
    select entries from template_fingerprints
    where cluster_id = $1 and schema_version = $2 and checksum = $3 and server_version = $4";

/// What schemas of a version are made of, if it was read of these migrations on such a server.
pub(super) async fn find_fingerprint(
    db: &impl Sql,
    cluster: ClusterId,
    version: i32,
    checksum: &str,
    server: i32,
) -> Result<Option<Fingerprint>> {
    let row = db
        .query_opt(FIND_FINGERPRINT, &[&cluster, &version, &checksum, &server])
        .await
        .context("looking for a fingerprint")?;
    let Some(row) = row else { return Ok(None) };
    let entries: Vec<Entry> = serde_json::from_str(&row.column::<String>("entries")?).map_err(Error::internal)?;
    Ok(Some(Fingerprint::of(entries)))
}

const KEEP_FINGERPRINT: &str = "
    insert into template_fingerprints (cluster_id, schema_version, checksum, server_version, hash, entries)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (cluster_id, schema_version) do update
        set checksum = excluded.checksum, server_version = excluded.server_version, hash = excluded.hash,
            entries = excluded.entries";

/// Keeps it.
pub(super) async fn keep_fingerprint(
    db: &impl Sql,
    cluster: ClusterId,
    version: i32,
    checksum: &str,
    server: i32,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let entries = serde_json::to_string(&fingerprint.entries).map_err(Error::internal)?;
    db.execute(KEEP_FINGERPRINT, &[&cluster, &version, &checksum, &server, &fingerprint.hash, &entries])
        .await
        .context("keeping a fingerprint")
        .map(drop)
}
