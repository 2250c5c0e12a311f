//! Makes a cluster's template where there is none.

use std::time::Instant;

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_migrations::{Migrations, Options, unobserved};
use rowhouse_problem::{Error, Result};

use super::{fingerprints, store};
use crate::clusters::{ClusterLink, Kept, Lock, lock};
use crate::context::Context;

/// What is being made has a name that begins so.
pub(super) const UNFINISHED: &str = "rowhouse_making_template_";

/// The name of the template of a version.
pub(crate) fn name_of(version: u32) -> String {
    format!("template_v{version}")
}

/// The comment that says what a template was made of.
fn mark(migrations: &Migrations, version: u32) -> String {
    format!("rowhouse template v{version} {}", migrations.checksum(version))
}

/// The comment that a template of this name has; none where the name is no template's, or of a later release.
pub(crate) fn mark_of(migrations: &Migrations, name: &str) -> Option<String> {
    let version: u32 = name.strip_prefix("template_v")?.parse().ok()?;
    (version <= migrations.latest()).then(|| mark(migrations, version))
}

/// The template of a version is on the cluster.
pub(crate) async fn ensure(context: &Context, link: &ClusterLink, version: u32) -> Result<()> {
    if context.templates.contains(link.id(), version) {
        return Ok(());
    }
    let admin = context.administer_cluster(link).await?;
    if !is_there(context, &admin, link, version).await? {
        let begun = Instant::now();
        lock::wait_for(&admin, Lock::Templates).await?;
        if !is_there(context, &admin, link, version).await? {
            make(context, link, &admin, version).await?;
            tracing::info!(
                cluster = link.name,
                template = name_of(version),
                duration_ms = begun.elapsed().as_millis(),
                "made a template"
            );
        }
        lock::give_back(&admin, Lock::Templates).await?;
    }
    admin.give_back();
    let (name, checksum) = (name_of(version), context.tenant_migrations.checksum(version));
    let number = i32::try_from(version).map_err(Error::internal)?;
    store::publish(&context.platform.get().await?, link.id(), number, &name, &checksum).await?;
    context.templates.insert(link.id(), version);
    Ok(())
}

const FIND: &str = "
    select coalesce(shobj_description(oid, 'pg_database'), '') as comment,
        pg_get_userbyid(datdba) = 'rowhouse_owner' and datistemplate and not datallowconn and datconnlimit <> -2 as is_whole
    from pg_database where datname = $1::text::name";

/// Whether the template is there; an error where something else has its name.
async fn is_there(context: &Context, admin: &AdminConnection, link: &ClusterLink, version: u32) -> Result<bool> {
    let name = name_of(version);
    let rows = admin.query(FIND, &[&name]).await.context("looking for a template")?;
    let Some(row) = rows.first() else { return Ok(false) };
    let (comment, is_whole): (String, bool) = (row.column("comment")?, row.column("is_whole")?);
    if comment == mark(&context.tenant_migrations, version) && is_whole {
        return Ok(true);
    }
    Err(Error::internal(format!(
        "the database {name:?} on cluster {:?} is not the template of this release's migrations ({comment:?}): drop it",
        link.name
    )))
}

async fn make(context: &Context, link: &ClusterLink, admin: &Kept, version: u32) -> Result<()> {
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    drop_unfinished(admin).await?;
    let source = source(context, admin, link, version - 1).await;
    let unfinished = format!("{UNFINISHED}v{version}_{}", uuid::Uuid::now_v7().simple());
    clone(admin, &unfinished, &source).await?;
    let seen = {
        let mut inside = fingerprints::enter(context, link, &unfinished).await?;
        let options = Options { target: Some(version), ..Options::default() };
        rowhouse_migrations::run(inside.client(), &context.tenant_migrations, &options, &unobserved)
            .await
            .map_err(Error::unavailable)?;
        fingerprints::inspect(&mut inside).await?
    };
    let published = format!(
        "begin;
        alter database {unfinished} allow_connections false;
        alter database {unfinished} is_template true;
        comment on database {unfinished} is {mark};
        alter database {unfinished} rename to {name};
        commit",
        unfinished = quote_ident(&unfinished),
        mark = quote_literal(&mark(&context.tenant_migrations, version)),
        name = quote_ident(&name_of(version)),
    );
    admin.run(&published).await.context("publishing a template")?;
    admin.run("reset role").await.context("being oneself again")?;
    fingerprints::keep(context, link, version, &seen).await
}

/// What a template of a version is cloned from: itself or, where it is not there, what every template begins with.
pub(super) async fn source(context: &Context, admin: &AdminConnection, link: &ClusterLink, version: u32) -> String {
    if version > 0 && is_there(context, admin, link, version).await.unwrap_or(false) {
        name_of(version)
    } else {
        context.settings.provisioning.base.clone()
    }
}

/// Clones a database that is only for those who make templates.
pub(super) async fn clone(admin: &AdminConnection, name: &str, source: &str) -> Result<()> {
    let (name, source) = (quote_ident(name), quote_ident(source));
    let created = format!("create database {name} template {source} strategy wal_log");
    admin.run(&created).await.context("cloning what a template is made from")?;
    let closed =
        format!("revoke all on database {name} from public; grant connect on database {name} to rowhouse_control");
    admin.run(&closed).await.context("closing a template to the public")
}

const UNFINISHED_ONES: &str = "select datname::text as name from pg_database where starts_with(datname::text, $1)";

/// What makers left that died: the lock is ours, so none of them is at work.
pub(super) async fn drop_unfinished(admin: &AdminConnection) -> Result<()> {
    let rows = admin.query(UNFINISHED_ONES, &[&UNFINISHED]).await.context("looking for unfinished templates")?;
    for row in &rows {
        let name: String = row.column("name")?;
        let dropped = format!("drop database if exists {} with (force)", quote_ident(&name));
        admin.run(&dropped).await.context("dropping an unfinished template")?;
        tracing::info!(database = name, "dropped a template that was never finished");
    }
    Ok(())
}
