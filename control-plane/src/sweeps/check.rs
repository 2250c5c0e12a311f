//! One schema, held against the template of its version.

use rowhouse_database::AdminConnection;
use rowhouse_domain::SchemaCheckState;
use rowhouse_migrations::{Difference, Error as MigrationError, Fingerprint, Glance, Repair, Set, difference, repair};
use rowhouse_problem::{Error, Result};

use super::model::ObjectDifference;
use crate::clusters::ClusterLink;
use crate::context::Context;
use crate::templates;

/// What was seen of a schema.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) state: SchemaCheckState,
    pub(crate) version: Option<i32>,
    pub(crate) differences: Vec<ObjectDifference>,
    pub(crate) error: Option<String>,
}

/// Objects that a sentence names.
const NAMED: usize = 10;

/// What differs, in one sentence.
pub(crate) fn shown(differences: &[ObjectDifference]) -> String {
    let one = |one: &ObjectDifference| {
        let what = match (&one.expected, &one.found) {
            (Some(_), None) => "is missing",
            (None, _) => "should not be there",
            (Some(_), Some(_)) => "has changed",
        };
        format!("{} {} {what}", one.kind, one.name)
    };
    let named: Vec<String> = differences.iter().take(NAMED).map(one).collect();
    let more = match differences.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

/// Looks into a schema by a connection of its own; none where a worker is migrating it.
pub(super) async fn look(context: &Context, link: &ClusterLink, database: &str, schema: &str) -> Result<Option<Seen>> {
    let mut inside = link.open_in(context, database, schema).await?;
    look_inside(context, link, &mut inside, schema).await
}

/// The same by the owner's connection.
pub(crate) async fn look_inside(
    context: &Context,
    link: &ClusterLink,
    inside: &mut AdminConnection,
    schema: &str,
) -> Result<Option<Seen>> {
    let Some(seen) = compare(context, link, inside, schema).await? else { return Ok(None) };
    if seen.state == SchemaCheckState::Same {
        return Ok(Some(seen));
    }
    // A worker may have come while the first look was under way, and be through.
    compare(context, link, inside, schema).await
}

async fn compare(
    context: &Context,
    link: &ClusterLink,
    inside: &mut AdminConnection,
    schema: &str,
) -> Result<Option<Seen>> {
    if let Some(seen) = recognise(context, link, inside, schema).await {
        metrics::counter!("rowhouse_schema_looks_total", "depth" => "glance").increment(1);
        return Ok(Some(seen));
    }
    metrics::counter!("rowhouse_schema_looks_total", "depth" => "whole").increment(1);
    let found = match rowhouse_migrations::inspect(inside.client(), Set::Tenant, schema).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(error @ MigrationError::NoSchema) => return Err(Error::internal(error)),
        Err(error) => return Err(Error::unavailable(error)),
    };
    let version = found.version.unwrap_or(0);
    let expected = templates::fingerprint(context, link, version, found.server).await?;
    let expected = expected.with(context.tenant_migrations.history(version));
    let whole = found.whole();
    let is_same = expected.hash == whole.hash;
    if let Some(glance) = found.glance.filter(|_| is_same) {
        // Functions of the server see what somebody has changed since the look began, the rows of its snapshot don't: what is
        // there afterwards as well is what both have seen.
        let again = rowhouse_migrations::glance(inside.client(), Set::Tenant, schema).await.ok().flatten();
        if again.and_then(|again| again.hash).as_ref() == Some(&glance) {
            context.templates.learn((link.id(), version, found.server), glance);
        }
    }
    let differences = if is_same { Vec::new() } else { difference(&expected, &whole) };
    let seen = Seen {
        state: if is_same { SchemaCheckState::Same } else { SchemaCheckState::Different },
        version: i32::try_from(version).ok(),
        differences: differences.into_iter().map(|one| described(&expected, schema, one)).collect(),
        error: None,
    };
    Ok(Some(seen))
}

/// What costs a tenth of the full look, and is enough where another schema was the same that had the same rows in its catalog.
async fn recognise(context: &Context, link: &ClusterLink, inside: &mut AdminConnection, schema: &str) -> Option<Seen> {
    // Whatever is wrong, the full look says it.
    let Glance { version, server, hash } =
        rowhouse_migrations::glance(inside.client(), Set::Tenant, schema).await.ok().flatten()?;
    let version = version.unwrap_or(0);
    let is_known = context.templates.recognises((link.id(), version, server), &hash?);
    is_known.then(|| Seen {
        state: SchemaCheckState::Same,
        version: i32::try_from(version).ok(),
        differences: Vec::new(),
        error: None,
    })
}

fn described(expected: &Fingerprint, schema: &str, one: Difference) -> ObjectDifference {
    let (repair, is_outside, by_hand) = match repair(expected, schema, &one) {
        Repair::Transactional(sql) => (Some(sql), false, None),
        Repair::Outside(sql) => (Some(sql), true, None),
        Repair::ByHand(reason) => (None, false, Some(reason)),
    };
    let Difference { kind, name, expected, found, hash } = one;
    ObjectDifference { kind, name, expected, found, hash, repair, is_outside, by_hand }
}
