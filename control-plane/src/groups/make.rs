//! Makes a database for several tenants where none has room.

use rowhouse_database::{Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::{ClusterId, GroupId, Isolation};
use rowhouse_keys::scram_verifier_of_derived;
use rowhouse_problem::{Error, Result};

use super::store::{self, Group};
use crate::clusters::{self, ClusterLink, Kept, Lock, lock};
use crate::context::Context;
use crate::fleet::birth_version;
use crate::tenants::provision::{PUBLIC, bring_to, clone_closed, clone_template};

/// How many tenants one group takes.
pub(crate) fn size(context: &Context, isolation: Isolation) -> i64 {
    match isolation {
        Isolation::Shared => context.settings.tenancy.shared_size,
        Isolation::Dedicated | Isolation::Schema => context.settings.tenancy.group_size,
    }
}

/// A group of the cluster has room for a tenant when this returns; others may take it.
pub(crate) async fn ensure_room(context: &Context, cluster: ClusterId, isolation: Isolation) -> Result<()> {
    if has_room(context, cluster, isolation).await? {
        return Ok(());
    }
    let link = clusters::find_link(&context.platform.get().await?, cluster).await?;
    let admin = context.administer_cluster(&link).await?;
    // One maker on a cluster at a time, so that a name that is free stays free.
    lock::wait_for(&admin, Lock::Groups).await?;
    if !has_room(context, cluster, isolation).await? {
        make(context, &link, &admin, isolation).await?;
    }
    lock::give_back(&admin, Lock::Groups).await?;
    admin.give_back();
    Ok(())
}

async fn has_room(context: &Context, cluster: ClusterId, isolation: Isolation) -> Result<bool> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    Ok(store::lock_with_room(&tx, cluster, isolation, size(context, isolation)).await?.is_some())
}

async fn make(context: &Context, link: &ClusterLink, admin: &Kept, isolation: Isolation) -> Result<()> {
    let group = begin(context, link, admin, isolation).await?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    if find(admin, &group.database).await?.is_none() {
        let cloned = match isolation {
            Isolation::Shared => {
                let version = birth_version(context, &context.platform.get().await?).await?;
                clone_template(context, link, admin, (&group.database, version)).await?
            }
            Isolation::Dedicated | Isolation::Schema => {
                clone_closed(context, admin, &group.database, &context.settings.provisioning.base).await?
            }
        };
        cloned.context("making a group database")?;
    }
    let database = quote_ident(&group.database);
    let closed = format!(
        "comment on database {database} is {mark};
        alter database {database} connection limit -1;
        revoke all on database {database} from public;
        grant connect on database {database} to rowhouse_control",
        mark = quote_literal(&mark(group.id)),
    );
    admin.run(&closed).await.context("closing a group database")?;
    admin.run("reset role").await.context("being oneself again")?;
    if let Some(role) = &group.role {
        create_login(context, admin, &group, role).await?;
    }
    let opened = format!("set role rowhouse_owner; alter database {database} allow_connections true; reset role");
    admin.run(&opened).await.context("opening a group database")?;
    let inside = link.open(context, &group.database).await?;
    let mut granted = "set role rowhouse_owner; revoke all on schema public from public".to_owned();
    if let Some(role) = &group.role {
        let role = quote_ident(role);
        granted
            .push_str(&format!("; grant usage on schema public to {role}; grant usage on schema extensions to {role}"));
    }
    inside.run(&granted).await.context("closing the schemas of a group database")?;
    let version = if group.role.is_some() { bring_on(context, link, &group.database).await? } else { 0 };
    tracing::info!(database = group.database, cluster = link.name, "made a group database");
    store::set_ready(&context.platform.get().await?, group.id, version).await
}

/// Brings what tenants share to the version that they are born at, and says which it has: a maker of an earlier release may have
/// cloned it, or one that died before the last run.
async fn bring_on(context: &Context, link: &ClusterLink, database: &str) -> Result<i32> {
    let mut inside = link.open_in(context, database, PUBLIC).await?;
    let wanted = birth_version(context, &context.platform.get().await?).await?;
    let mut version = rowhouse_migrations::current_version(inside.client()).await.map_err(Error::unavailable)?;
    if version != Some(wanted) {
        version = Some(bring_to(context, &mut inside, wanted).await?);
    }
    i32::try_from(version.unwrap_or(0)).map_err(Error::internal)
}

/// The one that somebody began to make, or a new one under the next free number.
async fn begin(context: &Context, link: &ClusterLink, admin: &Kept, isolation: Isolation) -> Result<Group> {
    let connection = context.platform.get().await?;
    if let Some(group) = store::find_unfinished(&connection, link.id(), isolation).await? {
        // The lock is ours: what has the name and no comment yet is what its maker had just cloned.
        match find(admin, &group.database).await? {
            None => return Ok(group),
            Some(comment) if comment.is_empty() || comment == mark(group.id) => return Ok(group),
            Some(_) => store::delete_unfinished(&connection, group.id).await?,
        }
    }
    let prefix = match isolation {
        Isolation::Shared => "tenant_shared_",
        Isolation::Dedicated | Isolation::Schema => "tenant_group_",
    };
    let database = format!("{prefix}{}", next_number(admin, prefix).await?);
    let role = (isolation == Isolation::Shared).then(|| database.clone());
    let group = Group { id: GroupId::new(), cluster: link.id(), isolation, database, role, credential_version: 1 };
    store::insert(&connection, &group).await?;
    Ok(group)
}

/// The comment on what belongs to a group.
pub(crate) fn mark(id: GroupId) -> String {
    format!("rowhouse group {}", id.as_uuid())
}

const NEXT_NUMBER: &str = "
    select coalesce(max(substr(name, length($1) + 1)::bigint), 0) + 1 as number
    from (
        select datname::text as name from pg_database union all select rolname::text from pg_roles) names
    where starts_with(name, $1) and substr(name, length($1) + 1) ~ '^[0-9]{1,9}$'";

/// Counted on the cluster, because other installations may use it too.
async fn next_number(admin: &Kept, prefix: &str) -> Result<i64> {
    let rows = admin.query(NEXT_NUMBER, &[&prefix]).await.context("numbering a group database")?;
    rows.first().ok_or_else(|| Error::internal("no number for a group database"))?.column("number")
}

const FIND: &str = "
    select coalesce(shobj_description(oid, 'pg_database'), '') as comment from pg_database where datname = $1::text::name";

/// The comment on a database; none where there is no such database.
async fn find(admin: &Kept, database: &str) -> Result<Option<String>> {
    let rows = admin.query(FIND, &[&database]).await.context("looking for a group database")?;
    rows.first().map(|row| row.column("comment")).transpose()
}

/// The login that the pool of a shared database uses. It has no pin: each transaction brings its own.
async fn create_login(context: &Context, admin: &Kept, group: &Group, role: &str) -> Result<()> {
    let settings = &context.settings.provisioning;
    let verifier =
        scram_verifier_of_derived(&context.master.group_database_password(group.id, group.credential_version));
    let (quoted, database) = (quote_ident(role), quote_ident(&group.database));
    let exists = "select from pg_roles where rolname = $1::text::name";
    if admin.query(exists, &[&role]).await.context("looking for a shared login")?.is_empty() {
        admin
            .run(&format!("create role {quoted} nologin in role tenant_app"))
            .await
            .context("creating a shared login")?;
    }
    let limited = format!(
        "begin;
        comment on role {quoted} is {mark};
        alter role {quoted} login password {verifier};
        alter role {quoted} set statement_timeout = {statement};
        alter role {quoted} set idle_in_transaction_session_timeout = {idle};
        alter role {quoted} set temp_file_limit = {temp};
        alter role {quoted} in database {database} set search_path = public, extensions, pg_temp;
        set local role rowhouse_owner;
        grant connect on database {database} to {quoted};
        commit",
        mark = quote_literal(&mark(group.id)),
        verifier = quote_literal(&verifier),
        statement = quote_literal(&format!("{}ms", settings.statement_timeout.as_millis())),
        idle = quote_literal(&format!("{}ms", settings.idle_in_transaction_timeout.as_millis())),
        temp = quote_literal(&format!("{}MB", settings.temp_file_limit_mib)),
    );
    admin.run(&limited).await.context("limiting a shared login")
}
