//! Keeps as many databases ready as the settings say. The leader's work: nobody else makes any.

use rowhouse_database::{Columns, Described, quote_ident};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

use super::store::{self, Stocked};
use crate::clusters::{self, ClusterLink};
use crate::context::Context;
use crate::fleet::birth_version;
use crate::templates;
use crate::tenants::provision::{clone_template, finish_stock, login, mark, pin};

/// Brings the stock of every cluster to what it should be: what is of another version or unfinished goes, what is missing
/// is made.
pub(crate) async fn keep(context: &Context) -> Result<()> {
    store::delete_used(&context.platform.get().await?).await?;
    let links = clusters::all_links(&context.platform.get().await?).await?;
    let mut outcome = Ok(());
    for link in links {
        let accepting = clusters::store::is_accepting(&context.platform.get().await?, link.id()).await?;
        let wanted = if accepting { context.settings.provisioning.stock } else { 0 };
        // One cluster that does not answer must not keep the others waiting.
        if let Err(error) = keep_on(context, &link, wanted).await {
            tracing::warn!(cluster = link.name, error = error.chain(), "the stock could not be kept");
            outcome = Err(error);
        }
    }
    outcome
}

async fn keep_on(context: &Context, link: &ClusterLink, wanted: usize) -> Result<()> {
    // What has its tenant's names by now is not found under its own, and stays.
    for stocked in store::list_abandoned(&context.platform.get().await?, link.id()).await? {
        drop_stock(context, link, &stocked).await?;
    }
    let version = birth_version(context, &context.platform.get().await?).await?;
    let version = i32::try_from(version).map_err(Error::internal)?;
    let stock = store::list_free(&context.platform.get().await?, link.id()).await?;
    if stock.is_empty() && wanted == 0 {
        return Ok(());
    }
    let present = present(context, link, &stock).await?;
    let (mut ready, mut unfinished) = (0, 0);
    for stocked in stock {
        let is_good = stocked.is_ready && stocked.schema_version == version && present.contains(&stocked.database);
        if is_good && ready < wanted {
            ready += 1;
        } else if stocked.is_ready || stocked.is_forgotten {
            discard(context, link, &stocked).await?;
        } else {
            unfinished += 1;
        }
    }
    // What is unfinished counts until it is forgotten: where nothing can be made, the attempts must not pile up.
    for _ in ready + unfinished..wanted {
        make(context, link, version).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge of a handful")]
    metrics::gauge!("rowhouse_stock_databases", "cluster" => link.name.clone()).set(wanted.max(ready) as f64);
    Ok(())
}

const PRESENT: &str = "
    select datname::text as name from pg_database where datname::text = any ($1) and datconnlimit <> -2";

/// Which of them have a database at all.
async fn present(context: &Context, link: &ClusterLink, stock: &[Stocked]) -> Result<Vec<String>> {
    let names: Vec<&str> = stock.iter().map(|stocked| stocked.database.as_str()).collect();
    let admin = context.administer_cluster(link).await?;
    let rows = admin.query(PRESENT, &[&names]).await.context("looking for the stock")?;
    admin.give_back();
    rows.iter().map(|row| row.column("name")).collect()
}

async fn make(context: &Context, link: &ClusterLink, version: i32) -> Result<()> {
    let template = u32::try_from(version).map_err(Error::internal)?;
    templates::ensure(context, link, template).await?;
    let id = TenantId::new();
    let name = format!("rowhouse_stock_v{version}_{}", id.as_uuid().simple());
    store::insert(&context.platform.get().await?, id, link.id(), &name, version).await?;
    let admin = context.administer_cluster(link).await?;
    login::create(context, &admin, &name, id, 1).await?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    clone_template(context, link, &admin, (&name, template)).await?.context("making a stock database")?;
    admin.run(&login::grants(&name, &name, &mark(id))).await.context("granting access to a stock database")?;
    admin.run("reset role").await.context("being oneself again")?;
    pin::set(&admin, &name, &name, "public", Some(id)).await?;
    // Its first connections also leave the server's cache of the catalog in the database, which makes later ones quicker.
    finish_stock(context, link, &admin, id, (&name, version)).await?;
    admin.give_back();
    store::set_ready(&context.platform.get().await?, id).await
}

async fn discard(context: &Context, link: &ClusterLink, stocked: &Stocked) -> Result<()> {
    if stocked.is_ready && !store::withdraw(&context.platform.get().await?, stocked.id).await? {
        return Ok(());
    }
    drop_stock(context, link, stocked).await?;
    tracing::info!(database = stocked.database, cluster = link.name, "dropped a stock database");
    Ok(())
}

/// Drops a stock database with its login, and forgets it. Nobody has put anything into it.
pub(crate) async fn drop_stock(context: &Context, link: &ClusterLink, stocked: &Stocked) -> Result<()> {
    let admin = context.administer_cluster(link).await?;
    let name = quote_ident(&stocked.database);
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    admin.run(&format!("drop database if exists {name} with (force)")).await.context("dropping a stock database")?;
    admin.run("reset role").await.context("being oneself again")?;
    admin.run(&format!("drop role if exists {name}")).await.context("dropping a stock login")?;
    admin.give_back();
    store::delete(&context.platform.get().await?, stocked.id).await
}
