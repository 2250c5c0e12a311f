//! How the clusters are. The leader looks; whoever asks is told what was seen last.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use super::link::{ClusterLink, all_links};
use super::probe;
use crate::context::Context;

/// A cluster that takes longer to say how it is counts as one that does not answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// Looks in a row that must have found a cluster away before nothing is placed there any more.
const FAILURES: i32 = 3;

/// Looks at every cluster once.
pub(crate) async fn watch(context: &Context) -> Result<()> {
    let links = all_links(&context.platform.get().await?).await?;
    futures::future::join_all(links.iter().map(|link| async move {
        let seen = tokio::time::timeout(PATIENCE, look(context, link)).await;
        let seen = seen.unwrap_or_else(|elapsed| Err(Error::unavailable(elapsed)));
        if let Err(error) = &seen {
            tracing::warn!(cluster = link.name, error = error.chain(), "a cluster does not answer");
        }
        record(context, link, seen).await
    }))
    .await
    .into_iter()
    .collect()
}

const LOOK: &str = "
    select current_setting('server_version') as server_version,
        current_setting('max_connections')::integer as max_connections,
        (select count(*)::integer from pg_stat_activity where backend_type = 'client backend') as used_connections,
        has_function_privilege('pg_control_system()', 'execute') as is_identifiable";

struct Seen {
    server_version: String,
    max_connections: i32,
    used_connections: i32,
    identifier: Option<String>,
}

async fn look(context: &Context, link: &ClusterLink) -> Result<Seen> {
    let admin = context.administer_cluster(link).await?;
    let rows = admin.query(LOOK, &[]).await.context("asking a cluster how it is")?;
    let row: &Row = rows.first().ok_or_else(|| Error::internal("no answer from a cluster"))?;
    let identifier = probe::identifier(&admin, row.column("is_identifiable")?).await?;
    let seen = Seen {
        server_version: row.column("server_version")?,
        max_connections: row.column("max_connections")?,
        used_connections: row.column("used_connections")?,
        identifier,
    };
    admin.give_back();
    Ok(seen)
}

const RECORD: &str = "
    insert into cluster_health (cluster_id, is_reachable, error, checked_at, seen_at, server_version, max_connections,
        used_connections, failures, bytes)
    select $1, $2, $3, now(), case when $2 then now() end, $4, $5, $6, case when $2 then 0 else 1 end,
        (select coalesce(sum(used_storage), 0)::bigint from tenants where cluster_id = $1)
    on conflict (cluster_id) do update set is_reachable = excluded.is_reachable, error = excluded.error,
        checked_at = excluded.checked_at, seen_at = coalesce(excluded.seen_at, cluster_health.seen_at),
        server_version = coalesce(excluded.server_version, cluster_health.server_version),
        max_connections = coalesce(excluded.max_connections, cluster_health.max_connections),
        used_connections = excluded.used_connections, bytes = excluded.bytes,
        failures = case when excluded.is_reachable then 0 else cluster_health.failures + 1 end
    returning failures";
// An operator's decision to drain or retire a cluster stands.
const FOLLOW: &str = "
    update clusters set status = case when $2 then 'active' else 'unreachable' end::cluster_status
    where id = $1 and status = case when $2 then 'unreachable' else 'active' end::cluster_status";
// The first cluster was never asked. Another row that has it already keeps it: two names for one server.
const IDENTIFY: &str = "
    update clusters set system_identifier = $2 where id = $1 and system_identifier is null
        and not exists (select from clusters other where other.system_identifier = $2)";

async fn record(context: &Context, link: &ClusterLink, seen: Result<Seen>) -> Result<()> {
    measure(link, seen.as_ref().ok());
    let (seen, error) = match seen {
        Ok(seen) => (Some(seen), None),
        Err(error) => (None, Some(error.detail().to_owned())),
    };
    let connection = context.platform.get().await?;
    let row = connection
        .query_one(
            RECORD,
            &[
                &link.id(),
                &seen.is_some(),
                &error,
                &seen.as_ref().map(|seen| &seen.server_version),
                &seen.as_ref().map(|seen| seen.max_connections),
                &seen.as_ref().map(|seen| seen.used_connections),
            ],
        )
        .await
        .context("recording how a cluster is")?;
    let failures: i32 = row.column("failures")?;
    if (1..FAILURES).contains(&failures) {
        return Ok(());
    }
    if let Some(identifier) = seen.as_ref().and_then(|seen| seen.identifier.as_ref()) {
        connection.execute(IDENTIFY, &[&link.id(), identifier]).await.context("telling clusters apart")?;
    }
    let followed = connection.execute(FOLLOW, &[&link.id(), &seen.is_some()]).await.context("following a cluster")?;
    if followed > 0 {
        tracing::warn!(cluster = link.name, reachable = seen.is_some(), "a cluster's status changed");
    }
    Ok(())
}

fn measure(link: &ClusterLink, seen: Option<&Seen>) {
    let reachable = f64::from(u8::from(seen.is_some()));
    metrics::gauge!("rowhouse_cluster_reachable", "cluster" => link.name.clone()).set(reachable);
    if let Some(seen) = seen {
        let used = f64::from(seen.used_connections);
        metrics::gauge!("rowhouse_cluster_connections", "cluster" => link.name.clone()).set(used);
        let most = f64::from(seen.max_connections);
        metrics::gauge!("rowhouse_cluster_max_connections", "cluster" => link.name.clone()).set(most);
    }
}
