//! Makes a database that was taken from the stock its tenant's.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_problem::Result;

use super::keep::drop_stock;
use super::store::Stocked;
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::tenants::Place;

/// What came of the stock for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// It has its database now, which was looked into when it was put into the stock.
    Now,
    /// There is a database with its names. Most likely by an earlier attempt, but nobody saw it.
    Before,
    /// What it took is gone or of no use: it is made the long way.
    Nothing,
}

/// Gives what the tenant took from the stock its names, and opens it.
pub(crate) async fn adopt(context: &Context, link: &ClusterLink, place: &Place, stocked: &Stocked) -> Result<Adopted> {
    let admin = context.administer_cluster(link).await?;
    // One transaction: all of the names, or none.
    let renamed = format!(
        "begin;
        alter role {old} rename to {role};
        alter role {role} login;
        set local role rowhouse_owner;
        alter database {old} rename to {database};
        alter database {database} allow_connections true;
        commit",
        old = quote_ident(&stocked.database),
        role = quote_ident(&place.role),
        database = quote_ident(&place.database),
    );
    let Err(error) = admin.run(&renamed).await else {
        admin.give_back();
        return Ok(Adopted::Now);
    };
    // A fresh look: this was done before, or there is nothing to be had.
    let admin = context.administer_cluster(link).await?;
    let found = look(&admin, &stocked.database, &place.database, &place.role).await?;
    if found.has_become_the_tenants {
        admin.give_back();
        return Ok(Adopted::Before);
    }
    if found.is_stocked {
        // Somebody is connected to it, or the server is in trouble; another attempt may do.
        return Err(error).context("giving a stock database its names");
    }
    tracing::warn!(database = stocked.database, "what was taken from the stock is of no use");
    drop_stock(context, link, stocked).await?;
    Ok(Adopted::Nothing)
}

struct Found {
    has_become_the_tenants: bool,
    is_stocked: bool,
}

const LOOK: &str = "
    select exists (select from pg_database where datname = $2::text::name)
            and exists (select from pg_roles where rolname = $3::text::name) as has_become_the_tenants,
        exists (select from pg_database where datname = $1::text::name and datconnlimit <> -2)
            and exists (select from pg_roles where rolname = $1::text::name) as is_stocked";

async fn look(admin: &AdminConnection, stocked: &str, database: &str, role: &str) -> Result<Found> {
    let rows = admin.query(LOOK, &[&stocked, &database, &role]).await.context("looking for a stock database")?;
    let found = rows.first().map(|row| {
        Ok(Found {
            has_become_the_tenants: row.column("has_become_the_tenants")?,
            is_stocked: row.column("is_stocked")?,
        })
    });
    found.unwrap_or(Ok(Found { has_become_the_tenants: false, is_stocked: false }))
}
