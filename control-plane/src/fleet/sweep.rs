//! Drops the clones that dry runs left: of workers that died, in runs that nobody went on with.

use rowhouse_database::{Columns, Described};
use rowhouse_problem::Result;
use uuid::Uuid;

use super::rehearsal::{CLONE, cloned_schema, drop_clone};
use super::store;
use crate::clusters::{self, ClusterLink};
use crate::context::Context;

/// Looks at every cluster.
pub(crate) async fn sweep(context: &Context) -> Result<()> {
    let links = clusters::all_links(&context.platform.get().await?).await?;
    let mut outcome = Ok(());
    for link in links {
        // One cluster that does not answer must not keep the others waiting.
        if let Err(error) = sweep_on(context, &link).await {
            outcome = Err(error);
        }
    }
    outcome
}

const CLONES: &str = "select datname::text as name from pg_database where starts_with(datname::text, $1)";

async fn sweep_on(context: &Context, link: &ClusterLink) -> Result<()> {
    let admin = context.administer_cluster(link).await?;
    let rows = admin.query(CLONES, &[&CLONE]).await.context("looking for the clones of dry runs")?;
    let mut found: Vec<(Uuid, String)> = Vec::new();
    for row in &rows {
        let name: String = row.column("name")?;
        found.extend(cloned_schema(&name).map(|schema| (schema, name)));
    }
    if !found.is_empty() {
        let schemas: Vec<Uuid> = found.iter().map(|(schema, _)| *schema).collect();
        let idle = store::not_rehearsed(&context.platform.get().await?, &schemas).await?;
        admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
        for (_, name) in found.iter().filter(|(schema, _)| idle.contains(schema)) {
            drop_clone(&admin, name).await?;
            tracing::info!(database = name, cluster = link.name, "dropped what a dry run had left");
        }
        admin.run("reset role").await.context("being oneself again")?;
    }
    admin.give_back();
    Ok(())
}
