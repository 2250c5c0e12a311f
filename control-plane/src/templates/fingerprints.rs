//! What a schema of a version is made of on a cluster: read once from a database that nobody has touched, then remembered.

use std::sync::Arc;

use rowhouse_database::{AdminConnection, Described, quote_ident};
use rowhouse_migrations::{Fingerprint, Inspection, Options, Set, unobserved};
use rowhouse_problem::{Error, Result};

use super::make::{self, UNFINISHED};
use super::store;
use crate::clusters::{ClusterLink, Kept, Lock, lock};
use crate::context::Context;

/// The fingerprint that schemas of a version have on a cluster whose server is of this major version.
pub(crate) async fn fingerprint(
    context: &Context,
    link: &ClusterLink,
    version: u32,
    server: u32,
) -> Result<Arc<Fingerprint>> {
    let key = (link.id(), version, server);
    if let Some(known) = context.templates.fingerprint(key) {
        return Ok(known);
    }
    let kept = find(context, link, version, server).await?;
    let fingerprint = match kept {
        Some(kept) => kept,
        None => read(context, link, version, server).await?,
    };
    let fingerprint = Arc::new(fingerprint);
    context.templates.remember(key, Arc::clone(&fingerprint));
    Ok(fingerprint)
}

async fn find(context: &Context, link: &ClusterLink, version: u32, server: u32) -> Result<Option<Fingerprint>> {
    let checksum = context.tenant_migrations.checksum(version);
    let connection = context.platform.get().await?;
    store::find_fingerprint(&connection, link.id(), number(version)?, &checksum, number(server)?).await
}

/// Keeps what was read of a database that nobody has touched.
pub(super) async fn keep(context: &Context, link: &ClusterLink, version: u32, seen: &Inspection) -> Result<()> {
    let checksum = context.tenant_migrations.checksum(version);
    let connection = context.platform.get().await?;
    if let Some(glance) = seen.glance.clone() {
        context.templates.learn((link.id(), version, seen.server), glance);
    }
    let (version, server) = (number(version)?, number(seen.server)?);
    store::keep_fingerprint(&connection, link.id(), version, &checksum, server, &seen.fingerprint).await
}

fn number(number: u32) -> Result<i32> {
    i32::try_from(number).map_err(Error::internal)
}

/// Makes a database of the version, for as long as it takes to look at it.
async fn read(context: &Context, link: &ClusterLink, version: u32, server: u32) -> Result<Fingerprint> {
    if version == 0 || version > context.tenant_migrations.latest() {
        let newest = context.tenant_migrations.latest();
        let what = format!("it is at version {version}, and this release knows 1 to {newest}");
        return Err(Error::internal(what));
    }
    let admin = context.administer_cluster(link).await?;
    lock::wait_for(&admin, Lock::Templates).await?;
    // Whoever had the lock may have read it.
    if let Some(kept) = find(context, link, version, server).await? {
        lock::give_back(&admin, Lock::Templates).await?;
        admin.give_back();
        return Ok(kept);
    }
    let name = format!("{UNFINISHED}look_v{version}_{}", uuid::Uuid::now_v7().simple());
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    make::drop_unfinished(&admin).await?;
    let seen = look(context, link, &admin, &name, version).await;
    // As its owner, who may not end our own session there if that is still on its way out: it is waited for instead.
    let dropped = format!("drop database if exists {}", quote_ident(&name));
    if let Err(error) = admin.run(&dropped).await.context("dropping what a fingerprint was read from") {
        // It goes with the next template that is made, or the next look.
        tracing::warn!(database = name, error = error.chain(), "what a fingerprint was read from is left");
    }
    let seen = seen?;
    admin.run("reset role").await.context("being oneself again")?;
    lock::give_back(&admin, Lock::Templates).await?;
    admin.give_back();
    keep(context, link, version, &seen).await?;
    tracing::info!(cluster = link.name, version, hash = seen.fingerprint.hash, "read the fingerprint of a version");
    Ok(seen.fingerprint)
}

async fn look(context: &Context, link: &ClusterLink, admin: &Kept, name: &str, version: u32) -> Result<Inspection> {
    let source = make::source(context, admin, link, version).await;
    make::clone(admin, name, &source).await?;
    let mut inside = enter(context, link, name).await?;
    let options = Options { target: Some(version), ..Options::default() };
    rowhouse_migrations::run(inside.client(), &context.tenant_migrations, &options, &unobserved)
        .await
        .map_err(Error::unavailable)?;
    inspect(&mut inside).await
}

/// Opens a database that is being made, as its owner.
pub(super) async fn enter(context: &Context, link: &ClusterLink, database: &str) -> Result<AdminConnection> {
    link.open_in(context, database, "public").await
}

/// Reads all that there is in it.
pub(super) async fn inspect(inside: &mut AdminConnection) -> Result<Inspection> {
    let seen =
        rowhouse_migrations::inspect(inside.client(), Set::Tenant, "public").await.map_err(Error::unavailable)?;
    seen.ok_or_else(|| Error::unavailable("somebody migrates what nobody knows of"))
}
