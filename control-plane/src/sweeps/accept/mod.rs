//! Saying of what differs in a schema that it is meant, such as an index that one large tenant has more.
//!
//! It is accepted by its content: each difference has a hash, and a schema is blocked by any that was not accepted, also where
//! an object that was accepted has changed since. Where tenants share a schema, it counts for all of them, as a hold does.

mod store;

use std::collections::BTreeSet;

use rowhouse_database::Sql;
use rowhouse_domain::{SchemaCheckState, TenantId};
use rowhouse_problem::{Code, Error, Result};
use uuid::Uuid;

use super::check::{Seen, shown};
use super::model::{Acceptance, ObjectDifference};
use super::store::block_again;
use crate::audit::{self, Change, Requester};
use crate::authentication::Caller;
use crate::context::Context;
use crate::fleet;
use crate::input::{Complaints, text};

pub(super) use store::{forget, lock, read};

/// Whether all that a look saw to differ is meant. What was accepted and is gone is accepted no more: should it come again, it is
/// not what somebody has looked at.
pub(super) async fn covers(tx: &impl Sql, schema: Uuid, seen: &Seen) -> Result<bool> {
    if seen.state == SchemaCheckState::Unreadable {
        return Ok(false);
    }
    let Some(accepted) = store::find(tx, schema).await? else { return Ok(false) };
    let there = hashes(&seen.differences);
    let (kept, gone): (Vec<_>, Vec<_>) =
        accepted.differences.iter().cloned().partition(|one| there.contains(one.hash.as_str()));
    if !gone.is_empty() {
        narrow(tx, schema, &accepted, &kept).await?;
        tracing::info!(schema.id = %schema, what = shown(&gone), "differences that were accepted are gone, and accepted no more");
    }
    Ok(is_covered(&kept, &seen.differences))
}

async fn narrow(tx: &impl Sql, schema: Uuid, before: &Acceptance, kept: &[ObjectDifference]) -> Result<()> {
    let after = store::narrow(tx, schema, kept).await?;
    let mut change = match &after {
        Some(after) => Change::new("schema_acceptance.put", schema).after(after),
        None => Change::new("schema_acceptance.delete", schema),
    };
    if let Some(tenant) = store::tenant_of(tx, schema).await? {
        change = change.tenant(tenant);
    }
    audit::append(tx, &Requester::SYSTEM, &change.before(before)).await
}

fn is_covered(accepted: &[ObjectDifference], differences: &[ObjectDifference]) -> bool {
    let accepted = hashes(accepted);
    // Fingerprints that differ in nothing that could be named are nothing that anybody has looked at.
    !differences.is_empty() && differences.iter().all(|one| accepted.contains(one.hash.as_str()))
}

fn hashes(differences: &[ObjectDifference]) -> BTreeSet<&str> {
    differences.iter().map(|one| one.hash.as_str()).collect()
}

/// Accepts what was seen to differ in a tenant's schema, where that is what the caller has looked at.
pub(super) async fn put(
    context: &Context,
    caller: &Caller,
    tenant: TenantId,
    reason: &str,
    looked_at: &[String],
) -> Result<Acceptance> {
    let mut complaints = Complaints::default();
    let reason = complaints.take("/reason", text(reason, 1000));
    let reason = complaints.finish_with(reason)?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let schema = fleet::schema_of(&tx, tenant).await?.ok_or_else(|| Error::not_found("tenant", tenant))?;
    store::lock(&tx, schema).await?;
    let seen = store::seen(&tx, schema).await?;
    let differs = |state| matches!(state, SchemaCheckState::Different | SchemaCheckState::Accepted);
    let Some((_, differences)) = seen.filter(|(state, differences)| differs(*state) && !differences.is_empty()) else {
        let detail = format!(
            "The schema of {tenant} did not differ from its template when it was last compared. Compare it again first."
        );
        return Err(Error::new(Code::InvalidTransition, detail));
    };
    if hashes(&differences) != looked_at.iter().map(String::as_str).collect() {
        let detail = format!(
            "These are not the differences of {tenant} that were seen last: {}. Look at them first.",
            shown(&differences)
        );
        return Err(Error::new(Code::PreconditionFailed, detail));
    }
    let before = store::find(&tx, schema).await?;
    let acceptance = store::put(&tx, schema, &reason, &differences, &caller.requester).await?;
    let mut change = Change::new("schema_acceptance.put", schema).tenant(tenant).after(&acceptance);
    if let Some(before) = &before {
        change = change.before(before);
    }
    audit::append(&tx, &caller.requester, &change).await?;
    tx.commit().await?;
    Ok(acceptance)
}

/// Takes it back: what differs blocks the schema again, as if it had been seen for the first time. That nothing was accepted is no error.
pub(super) async fn remove(context: &Context, caller: &Caller, tenant: TenantId) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let schema = fleet::schema_of(&tx, tenant).await?.ok_or_else(|| Error::not_found("tenant", tenant))?;
    store::lock(&tx, schema).await?;
    if let Some(before) = store::find(&tx, schema).await? {
        store::remove(&tx, schema).await?;
        block_again(&tx, schema).await?;
        let change = Change::new("schema_acceptance.delete", schema).tenant(tenant).before(&before);
        audit::append(&tx, &caller.requester, &change).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hashes: &[&str]) -> Vec<ObjectDifference> {
        let one = |hash: &&str| ObjectDifference {
            kind: "index".to_owned(),
            name: "files_tags_idx".to_owned(),
            expected: None,
            found: None,
            hash: (*hash).to_owned(),
            repair: None,
            is_outside: false,
            by_hand: None,
        };
        hashes.iter().map(one).collect()
    }

    #[test]
    fn a_schema_is_covered_that_differs_in_nothing_else() {
        assert!(is_covered(&of(&["a", "b"]), &of(&["a", "b"])));
        assert!(is_covered(&of(&["a", "b"]), &of(&["b"])));
        assert!(!is_covered(&of(&["a"]), &of(&["a", "b"])));
        assert!(!is_covered(&of(&["a"]), &of(&["A"])));
        assert!(!is_covered(&of(&["a"]), &of(&[])));
    }
}
