//! Changing members. The organization's row is locked first, so that two changes can't both remove "the other" owner.

use jiff::Timestamp;
use rowhouse_database::Sql;
use rowhouse_domain::MemberId;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch};

use super::model::{CreateMember, Member, NewMember, Ownership, PatchMember};
use super::store;
use crate::audit::{self, Change};
use crate::authentication::OrganizationAccess;
use crate::context::Context;
use crate::idempotency::{self, Begun};
use crate::organizations;

/// Invites somebody, or adds an existing user.
pub(super) async fn create(
    context: &Context,
    access: &OrganizationAccess,
    key: &IdempotencyKey,
    body: CreateMember,
) -> Result<Member> {
    let new = NewMember::parse(body.clone())?;
    let organization = access.organization.id;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let route = format!("POST /v1/organizations/{organization}/members");
    let claim = match idempotency::begin(&tx, &access.caller, key, &route, &body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => return idempotency::recall(recorded),
    };
    let limit = i64::from(organizations::locked_active(&tx, organization).await?.max_members);
    let email = match (&new.email, new.user_id) {
        (_, Some(user)) => store::user_email(&tx, user)
            .await?
            .ok_or_else(|| Error::invalid_field("/user_id", "must be the id of an active user"))?,
        (Some(email), None) => email.clone(),
        (None, None) => return Err(Error::invalid_field("/email", "must be given")),
    };
    let count = store::count(&tx, organization).await?;
    // A duplicate is the more telling of the two complaints, so the insert comes first.
    let member = store::insert(&tx, organization, &new, &email, &access.caller.requester.actor).await?;
    if count >= limit {
        let detail = format!("The organization may have {limit} members. Remove one, or raise `max_members`.");
        return Err(Error::new(Code::LimitReached, detail).with("limit", limit).with("limit_name", "max_members"));
    }
    let change = Change::new("member.create", member.id.as_uuid()).organization(organization).after(&member);
    audit::append(&tx, &access.caller.requester, &change).await?;
    claim.record(&tx, 201, &member).await?;
    tx.commit().await?;
    Ok(member)
}

/// Changes a member.
pub(super) async fn update(
    context: &Context,
    access: &OrganizationAccess,
    id: MemberId,
    if_match: &IfMatch,
    patch: PatchMember,
) -> Result<Member> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = locked(&tx, access, id, if_match).await?;
    let wanted = patch.apply(&before, Timestamp::now())?;
    keep_an_owner(&tx, &before, wanted.ownership()).await?;
    let after = store::update(&tx, &wanted).await?;
    let change =
        Change::new("member.update", id.as_uuid()).organization(after.organization_id).before(&before).after(&after);
    audit::append(&tx, &access.caller.requester, &change).await?;
    tx.commit().await?;
    Ok(after)
}

/// Removes a member.
pub(super) async fn delete(
    context: &Context,
    access: &OrganizationAccess,
    id: MemberId,
    if_match: &IfMatch,
) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = locked(&tx, access, id, if_match).await?;
    keep_an_owner(&tx, &before, Ownership::None).await?;
    store::delete(&tx, id).await?;
    let change = Change::new("member.delete", id.as_uuid()).organization(before.organization_id).before(&before);
    audit::append(&tx, &access.caller.requester, &change).await?;
    tx.commit().await
}

async fn locked(tx: &impl Sql, access: &OrganizationAccess, id: MemberId, if_match: &IfMatch) -> Result<Member> {
    let organization = organizations::store::lock(tx, access.organization.id).await?;
    let member = store::find(tx, organization.id, id).await?.ok_or_else(|| Error::not_found("member", id))?;
    if_match.check(&ETag::of_row(member.updated_at))?;
    Ok(member)
}

/// Whoever stops being an owner leaves another one behind, of at least the same standing.
async fn keep_an_owner(tx: &impl Sql, before: &Member, after: Ownership) -> Result<()> {
    if after >= before.ownership() {
        return Ok(());
    }
    let others = store::other_owners(tx, before.organization_id, before.id).await?;
    if others.iter().any(|other| other.ownership() >= before.ownership()) {
        return Ok(());
    }
    Err(Error::new(Code::LastOwner, "This is the organization's last owner. Make another member an owner first."))
}
