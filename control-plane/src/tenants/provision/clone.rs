//! Copies a template, a few at a time: more slow each other down.

use std::time::Duration;

use rowhouse_database::{Columns, Described, QueryError, quote_ident};
use rowhouse_problem::{Error, Result};

use crate::clusters::{ClusterLink, Kept};
use crate::context::Context;
use crate::templates;

/// Places are looked for again after this.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// First number of the advisory locks that stand for places; the second is the place.
const PLACES: i32 = 0x524f_5748;

const TAKE_PLACE: &str = "
    select place from generate_series(1, $2::integer) as place where pg_try_advisory_lock($1::integer, place) limit 1";
const LEAVE_PLACE: &str = "select pg_advisory_unlock($1::integer, $2::integer)";

/// Creates a closed database that is a copy of the template of a version, which is made if need be. The connection acts as the owner.
///
/// What fails is handed on as it is, so that the caller tells a name that is taken from other trouble.
pub(crate) async fn clone_template(
    context: &Context,
    link: &ClusterLink,
    admin: &Kept,
    (database, version): (&str, u32),
) -> Result<Result<(), QueryError>> {
    let template = templates::name_of(version);
    templates::ensure(context, link, version).await?;
    let outcome = clone_closed(context, admin, database, &template).await?;
    let missing = outcome.as_ref().is_err_and(|error| error.sqlstate().is_some_and(|state| state.code() == "3D000"));
    if !missing {
        return Ok(outcome);
    }
    // Somebody dropped the template.
    context.templates.forget(link.id());
    templates::ensure(context, link, version).await?;
    clone_closed(context, admin, database, &template).await
}

/// Creates a closed copy of any template, in turn.
pub(crate) async fn clone_closed(
    context: &Context,
    admin: &Kept,
    database: &str,
    template: &str,
) -> Result<Result<(), QueryError>> {
    let settings = &context.settings.provisioning;
    let places = i32::try_from(settings.clones).map_err(Error::internal)?;
    let place: i32 = loop {
        let rows = admin.query(TAKE_PLACE, &[&PLACES, &places]).await.context("waiting for a turn to clone")?;
        match rows.first() {
            Some(row) => break row.column("place")?,
            None => tokio::time::sleep(BETWEEN_TRIES).await,
        }
    };
    let create = format!(
        "create database {database} template {template} strategy wal_log allow_connections false connection limit {limit}",
        database = quote_ident(database),
        template = quote_ident(template),
        limit = settings.connection_limit,
    );
    let outcome = admin.run(&create).await;
    // Where this fails the connection is of no use to anybody, and its locks end with it.
    admin.query(LEAVE_PLACE, &[&PLACES, &place]).await.context("leaving the turn to clone")?;
    Ok(outcome)
}
