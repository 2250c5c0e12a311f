//! Connections of data-plane replicas that are no longer heard of: given on when the cluster has no session of theirs left.
//!
//! Replicas do this for each other too, and need a connection for it, which one that has just come may not have.

use rowhouse_database::{Columns, Described, Sql, replica_application};
use rowhouse_domain::ClusterId;
use rowhouse_problem::Result;
use uuid::Uuid;

use super::link::find_link;
use crate::context::Context;

const ENDED: &str = "
    select cluster_id, replica_id, epoch from connection_leases
    where expires_at <= now() and (held > floor or updated_at < now() - interval '1 minute')
    order by cluster_id, expires_at limit 100";
const SESSIONS: &str = "select count(*)::integer as sessions from pg_stat_activity where application_name = $1";
const GONE: &str = "select connections_gone($1, $2, $3, $4, make_interval(secs => $5))";

/// Counts what is left of each replica whose lease ran out. The leader's work.
pub(crate) async fn bury(context: &Context) -> Result<()> {
    let rows = context.platform.get().await?.query(ENDED, &[]).await.context("looking for leases that ran out")?;
    for row in rows {
        let (cluster, replica, epoch): (ClusterId, Uuid, i64) =
            (row.column("cluster_id")?, row.column("replica_id")?, row.column("epoch")?);
        if let Err(error) = count(context, cluster, replica, epoch).await {
            tracing::warn!(cluster.id = %cluster, error = error.chain(), "a replica that is gone could not be counted");
        }
    }
    Ok(())
}

async fn count(context: &Context, cluster: ClusterId, replica: Uuid, epoch: i64) -> Result<()> {
    let link = find_link(&context.platform.get().await?, cluster).await?;
    let admin = context.administer_cluster(&link).await?;
    let rows = admin.query(SESSIONS, &[&replica_application(replica, epoch)]).await;
    let rows = rows.context("counting a replica's sessions")?;
    admin.give_back();
    let sessions: i32 = rows.first().map_or(Ok(0), |row| row.column("sessions"))?;
    let kept = context.settings.pools.floor_kept.as_secs_f64();
    let connection = context.platform.get().await?;
    connection.query_one(GONE, &[&cluster, &replica, &epoch, &sessions, &kept]).await.context("recording it").map(drop)
}
