//! Platform table `templates`. Owns its SQL; decides nothing.

use rowhouse_database::{Described, Sql};
use rowhouse_domain::ClusterId;
use rowhouse_problem::Result;

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
