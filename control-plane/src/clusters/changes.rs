//! Registering, changing and removing clusters.

use rowhouse_database::{Described, Sql, quote_ident};
use rowhouse_domain::ClusterId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch};

use super::link::{ClusterLink, find_link};
use super::model::Cluster;
use super::probe::probe;
use super::requests::{CreateCluster, PatchCluster, Wanted};
use super::store::{self, Settled};
use crate::audit::{self, Change};
use crate::authentication::Caller;
use crate::context::Context;
use crate::idempotency::{self, Begun};
use crate::{groups, stock, tenants};

/// Registers a cluster that was bootstrapped.
pub(super) async fn register(
    context: &Context,
    caller: &Caller,
    key: &IdempotencyKey,
    body: CreateCluster,
) -> Result<Cluster> {
    let wanted = Wanted::parse(context, body.clone())?;
    // Not inside the transaction: a server may take seconds to answer, or not to.
    let identifier = probe(context, &wanted.link).await?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let claim = match idempotency::begin(&tx, caller, key, "POST /v1/clusters", &body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => {
            let id: ClusterId = idempotency::recall(recorded)?;
            return store::find(&tx, id).await?.ok_or_else(|| Error::not_found("cluster", id));
        }
    };
    store::insert(&tx, &settled(&wanted), identifier.as_deref()).await?;
    let id = wanted.link.id();
    let cluster = store::find(&tx, id).await?.ok_or_else(|| Error::internal("the cluster was just registered"))?;
    audit::append(&tx, &caller.requester, &Change::new("cluster.create", id.as_uuid()).after(&cluster)).await?;
    claim.record(&tx, 201, &id).await?;
    tx.commit().await?;
    Ok(cluster)
}

fn settled(wanted: &Wanted) -> Settled<'_> {
    Settled {
        name: &wanted.link.name,
        link: &wanted.link,
        accepting: wanted.accepting,
        status: &wanted.status,
        weight: wanted.weight,
        budget: wanted.budget,
        labels: &wanted.labels,
    }
}

/// Changes a cluster. A new address, login or authority is tried before it counts.
pub(super) async fn update(
    context: &Context,
    caller: &Caller,
    id: ClusterId,
    if_match: &IfMatch,
    patch: PatchCluster,
) -> Result<Cluster> {
    let (cluster, link) = {
        let connection = context.platform.get().await?;
        let cluster = store::find(&connection, id).await?.ok_or_else(|| Error::not_found("cluster", id))?;
        (cluster, find_link(&connection, id).await?)
    };
    if_match.check(&ETag::of_row(cluster.updated_at))?;
    let as_it_was = format!("{link:?}");
    let wanted = Wanted::of(&cluster, link).patched(context, patch)?;
    let identifier = match format!("{:?}", wanted.link) == as_it_was {
        true => None,
        false => probe(context, &wanted.link).await?,
    };
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = store::lock(&tx, id).await?;
    if before.updated_at != cluster.updated_at {
        // Somebody else was quicker, and what was tried may not be what would be written.
        let detail = "The cluster was changed at the same time. Read it again.";
        return Err(Error::new(Code::PreconditionFailed, detail));
    }
    let is_another = store::is_another(&tx, id, identifier.as_deref()).await?;
    if is_another && before.tenants > 0 {
        let detail = "another server answers there, without the tenants that are on this cluster";
        return Err(Error::invalid_field("/host", detail));
    }
    store::update(&tx, &settled(&wanted), identifier.as_deref()).await?;
    let after = store::find(&tx, id).await?.ok_or_else(|| Error::internal("the cluster was just changed"))?;
    let change = Change::new("cluster.update", id.as_uuid()).before(&before).after(&after);
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await?;
    Ok(after)
}

const HELD: &str = "
    select (select count(*) from tenants where cluster_id = $1 and status <> 'purged') as tenants,
        (select count(*) from clusters) as clusters";

/// Removes a cluster that holds no tenants. What Rowhouse keeps there for tenants to come is dropped first, unless the
/// server is gone and `force` says so: then it is only forgotten.
pub(super) async fn remove(
    context: &Context,
    caller: &Caller,
    id: ClusterId,
    if_match: &IfMatch,
    force: bool,
) -> Result<()> {
    // Nothing is placed there from here on, so that what is counted stays true while the server is tidied.
    let link = {
        let mut connection = context.platform.get().await?;
        let tx = connection.transaction().await?;
        let before = store::lock(&tx, id).await?;
        if_match.check(&ETag::of_row(before.updated_at))?;
        refuse_in_use(&tx, id).await?;
        let link = find_link(&tx, id).await?;
        let mut wanted = Wanted::of(&before, link.clone());
        wanted.accepting = false;
        store::update(&tx, &settled(&wanted), None).await?;
        tx.commit().await?;
        link
    };
    match tidy(context, &link).await {
        Ok(()) => {}
        Err(error) if force => {
            tracing::warn!(cluster = link.name, error = error.chain(), "a cluster is forgotten as it is");
        }
        Err(error) => return Err(error),
    }
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = store::lock(&tx, id).await?;
    refuse_in_use(&tx, id).await?;
    store::delete(&tx, id).await?;
    audit::append(&tx, &caller.requester, &Change::new("cluster.delete", id.as_uuid()).before(&before)).await?;
    tx.commit().await?;
    context.templates.forget(id);
    Ok(())
}

async fn refuse_in_use(tx: &impl Sql, id: ClusterId) -> Result<()> {
    use rowhouse_database::Columns;
    let row = tx.query_one(HELD, &[&id]).await.context("counting what a cluster holds")?;
    let (tenants, clusters): (i64, i64) = (row.column("tenants")?, row.column("clusters")?);
    if tenants > 0 {
        let detail = format!(
            "{tenants} tenants are on the cluster, deleted ones that can be restored included. Purge them first."
        );
        return Err(Error::new(Code::ClusterInUse, detail).with("tenants", tenants));
    }
    if clusters == 1 {
        return Err(Error::new(Code::ClusterInUse, "It is the only cluster. Register another one first."));
    }
    Ok(())
}

/// Drops the stock and the empty group databases. Templates stay: another installation may use them too.
async fn tidy(context: &Context, link: &ClusterLink) -> Result<()> {
    let stocked = stock::store::list_free(&context.platform.get().await?, link.id()).await?;
    for one in &stocked {
        stock::drop_stock(context, link, one).await?;
    }
    let groups = groups::store::list(&context.platform.get().await?, link.id()).await?;
    let admin = context.administer_cluster(link).await?;
    for group in &groups {
        // The data plane's pools may still hold sessions in it, and only their end lets it be dropped.
        if let Some(role) = &group.role {
            let shut = format!("alter role {} nologin", quote_ident(role));
            match admin.run(&shut).await {
                Err(error) if error.sqlstate().is_some_and(|state| state.code() == "42704") => {}
                shut => shut.context("shutting a shared login")?,
            }
            tenants::end_sessions_of(context, link, role).await?;
        }
        admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
        let dropped = format!("drop database if exists {} with (force)", quote_ident(&group.database));
        admin.run(&dropped).await.context("dropping an empty group database")?;
        admin.run("reset role").await.context("being oneself again")?;
        if let Some(role) = &group.role {
            let dropped = format!("drop role if exists {}", quote_ident(role));
            admin.run(&dropped).await.context("dropping a shared login")?;
        }
    }
    admin.give_back();
    Ok(())
}
