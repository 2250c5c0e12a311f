//! A database of the tenant's own: cloned closed, and closed to everybody but its login before it is opened.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_problem::{Error, Result};

use super::clone::clone_template;
use super::{OWNER, Site, login};
use crate::clusters::Kept;
use crate::fleet::birth_version;
use crate::templates;

/// What is found under the name that the database is to have.
struct Found {
    owner: String,
    comment: Option<String>,
    is_open: bool,
    /// What an interrupted DROP DATABASE leaves behind.
    is_invalid: bool,
}

/// The database exists, is this tenant's, and is closed unless it was granted to the login before.
pub(super) async fn clone(site: &Site<'_>) -> Result<()> {
    let version = birth_version(site.context, &site.context.platform.get().await?).await?;
    templates::ensure(site.context, site.link, version).await?;
    let admin = site.context.administer_cluster(site.link).await?;
    admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
    // Looked for only where the name turns out to be taken: mostly it is not.
    let wanted = (site.place.database.as_str(), version);
    let created = clone_template(site.context, site.link, &admin, wanted).await?;
    if let Err(error) = created {
        // It is there (42P04), or is being made at this moment by another process (23505): then it is looked at.
        if !error.sqlstate().is_some_and(|state| ["42P04", "23505"].contains(&state.code())) {
            return Err(error).context("creating a database");
        }
        claim_found(site, &admin, wanted).await?;
    }
    admin.run("reset role").await.context("being oneself again")?;
    admin.give_back();
    Ok(())
}

async fn claim_found(site: &Site<'_>, admin: &Kept, wanted: (&str, u32)) -> Result<()> {
    match find(admin, &site.place.database).await? {
        Some(found) if is_ours(&found, site) && found.is_invalid => {
            let dropped = format!("drop database {}", quote_ident(&site.place.database));
            admin.run(&dropped).await.context("dropping the rest of a database")?;
            clone_template(site.context, site.link, admin, wanted).await?.context("creating a database")
        }
        Some(found) if is_ours(&found, site) => Ok(()),
        Some(_) => Err(somebody_elses(site)),
        // Its maker gave up.
        None => Err(Error::unavailable("another process was making the same database")),
    }
}

/// The database is marked as the tenant's, and nobody but its login and the control plane may connect.
pub(super) async fn ensure(site: &Site<'_>) -> Result<()> {
    let admin = site.context.administer_cluster(site.link).await?;
    let found = find(&admin, &site.place.database).await?;
    if !found.is_some_and(|found| is_ours(&found, site)) {
        return Err(somebody_elses(site));
    }
    let closed = format!(
        "begin; set local role rowhouse_owner; {}; commit",
        login::grants(&site.place.database, &site.place.role, &site.mark())
    );
    admin.run(&closed).await.context("granting access to a database")?;
    admin.give_back();
    Ok(())
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
    Error::internal(format!("the database {:?} is not this tenant's", site.place.database))
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
