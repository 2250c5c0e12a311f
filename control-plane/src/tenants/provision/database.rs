//! The tenant's database: cloned closed, and closed to everybody but its login before it is opened.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_problem::{Error, Result};

use super::{OWNER, Site};

/// What is found under the name that the database is to have.
struct Found {
    owner: String,
    comment: Option<String>,
    is_open: bool,
    /// What an interrupted DROP DATABASE leaves behind.
    is_invalid: bool,
}

/// The database exists, is this tenant's, and nobody but its login and the control plane may connect.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let admin = site.work.context.administer_cluster(&site.cluster).await?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    let database = quote_ident(&site.place.database);
    match find(&admin, &site.place.database).await? {
        Some(found) if is_ours(&found, site) && found.is_invalid => {
            admin.run(&format!("drop database {database}")).await.context("dropping the rest of a database")?;
            create(&admin, site).await?;
        }
        Some(found) if is_ours(&found, site) => {}
        Some(_) => return Err(somebody_elses(site)),
        None => create(&admin, site).await?,
    }
    // A clone inherits neither its template's REVOKE nor its comment.
    let closed = format!(
        "comment on database {database} is {mark};
        revoke all on database {database} from public;
        grant connect on database {database} to {role}, rowhouse_control",
        mark = quote_literal(&site.mark()),
        role = quote_ident(&site.place.role),
    );
    admin.run(&closed).await.context("granting access to a database")
}

async fn create(admin: &AdminConnection, site: &Site<'_>) -> Result<()> {
    let settings = &site.work.context.settings.provisioning;
    let create = format!(
        "create database {database} template {template} allow_connections false connection limit {limit}",
        database = quote_ident(&site.place.database),
        template = quote_ident(&settings.base),
        limit = settings.connection_limit,
    );
    let Err(error) = admin.run(&create).await else { return Ok(()) };
    // Another process made it at the same moment, sooner (42P04) or just now (23505): then it is looked at.
    if !error.sqlstate().is_some_and(|state| ["42P04", "23505"].contains(&state.code())) {
        return Err(error).context("creating a database");
    }
    match find(admin, &site.place.database).await? {
        Some(found) if is_ours(&found, site) => Ok(()),
        Some(_) | None => Err(somebody_elses(site)),
    }
}

/// The name holds the tenant's whole id; besides, the owner must be right and the mark. A database without a mark is
/// ours only as long as it was never opened: it is marked before that.
fn is_ours(found: &Found, site: &Site<'_>) -> bool {
    found.owner == OWNER
        && match &found.comment {
            Some(comment) => *comment == site.mark(),
            None => !found.is_open,
        }
}

fn somebody_elses(site: &Site<'_>) -> Error {
    Error::internal(format!("the database {:?} belongs to somebody else", site.place.database))
}

async fn find(admin: &AdminConnection, name: &str) -> Result<Option<Found>> {
    const FIND: &str = "
        select pg_get_userbyid(datdba)::text as owner, shobj_description(oid, 'pg_database') as comment,
            datallowconn as is_open, datconnlimit = -2 as is_invalid
        from pg_database where datname = $1::text::name";
    let rows = admin.query(FIND, &[&name]).await.context("looking for a database")?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Found {
        owner: row.column("owner")?,
        comment: row.column("comment")?,
        is_open: row.column("is_open")?,
        is_invalid: row.column("is_invalid")?,
    }))
}
