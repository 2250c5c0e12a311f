//! Making and revoking keys. The secret exists in the first answer only; a hash of it goes to the database.

use jiff::Timestamp;
use rowhouse_database::Sql;
use rowhouse_domain::KeyId;
use rowhouse_keys::PlainApiKey;
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{ETag, IdempotencyKey, IfMatch};
use secrecy::ExposeSecret;

use super::model::{ApiKey, CreateApiKey, CreatedApiKey, KeyOwner, NewApiKey, PatchApiKey};
use super::store;
use crate::audit::{self, Change, Requester};
use crate::authentication::Caller;
use crate::context::Context;
use crate::idempotency::{self, Begun};
use crate::{organizations, rate_limits, tenants};

/// Makes a key for the owner, once for each idempotency key; a replay does not show the secret again.
pub(super) async fn create(
    context: &Context,
    caller: &Caller,
    owner: &KeyOwner,
    key: &IdempotencyKey,
    body: CreateApiKey,
) -> Result<CreatedApiKey> {
    rate_limits::may_set(caller, body.sets_rate_limit())?;
    let new = NewApiKey::parse(body.clone(), owner, Timestamp::now())?;
    not_above_own_level(caller, owner, &new)?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let route = format!("POST {}", owner.path());
    let claim = match idempotency::begin(&tx, caller, key, &route, &body).await? {
        Begun::First(claim) => claim,
        Begun::Replay(recorded) => return idempotency::recall(recorded),
    };
    // The prefix says whose key it is, to who finds one in a log.
    let prefix = match owner.organization() {
        Some(organization) => organizations::locked_active(&tx, organization).await?.api_key_prefix,
        None => String::new(),
    };
    if let KeyOwner::Tenant(tenant, _) = owner {
        tenants::store::lock(&tx, *tenant).await?.require_alive()?;
    }
    hold_account(&tx, owner, &new).await?;
    let (plain, api_key) = issue(context, &tx, owner, &prefix, &new, &caller.requester).await?;
    let mut created = CreatedApiKey { api_key, key: None, s3_secret: None };
    claim.record(&tx, 201, &created).await?;
    tx.commit().await?;
    created.key = Some(plain.reveal().to_owned());
    if let KeyOwner::Tenant(..) = owner {
        created.s3_secret = Some(context.master.s3_secret(created.api_key.id).expose_secret().to_owned());
    }
    Ok(created)
}

/// The account that is named is one that the tenant's uploads can be charged to.
async fn hold_account(tx: &impl Sql, owner: &KeyOwner, new: &NewApiKey) -> Result<()> {
    let (Some(account), KeyOwner::Tenant(tenant, organization)) = (new.account, owner) else { return Ok(()) };
    if store::hold_account(tx, account, *tenant, *organization).await? {
        return Ok(());
    }
    let detail = "must be the id of an active storage account of the tenant or its organization";
    Err(Error::invalid_field("/account_id", detail))
}

/// An organization's key can't make one that may do more than itself in the control plane.
fn not_above_own_level(caller: &Caller, owner: &KeyOwner, new: &NewApiKey) -> Result<()> {
    let KeyOwner::Organization(..) = owner else { return Ok(()) };
    match new.scopes.iter().find(|scope| !caller.holds(**scope)) {
        None => Ok(()),
        Some(scope) => {
            let detail = format!("The key can't grant `{scope}`, which it has not itself.");
            Err(Error::new(Code::MissingScope, detail).with("scope", scope.as_str()))
        }
    }
}

/// Makes a platform-admin key outside of any request.
pub(crate) async fn issue_platform_key(context: &Context, name: &str) -> Result<PlainApiKey> {
    let new = NewApiKey::platform_admin(name)?;
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let (plain, _) = issue(context, &tx, &KeyOwner::Platform, "", &new, &Requester::SYSTEM).await?;
    tx.commit().await?;
    Ok(plain)
}

async fn issue(
    context: &Context,
    tx: &impl Sql,
    owner: &KeyOwner,
    prefix: &str,
    new: &NewApiKey,
    requester: &Requester,
) -> Result<(PlainApiKey, ApiKey)> {
    let plain = PlainApiKey::generate(owner.kind(), prefix);
    let version = context.settings.keys.pepper_version;
    let hash = plain.hash(&context.master.pepper(version));
    let api_key = store::insert(tx, owner, new, (plain.prefix(), &hash, version), &requester.actor).await?;
    audit::append(tx, requester, &about(owner, Change::new("api_key.create", new.id.as_uuid()).after(&api_key)))
        .await?;
    Ok((plain, api_key))
}

/// Changes a tenant's key.
pub(super) async fn update(
    context: &Context,
    caller: &Caller,
    owner: &KeyOwner,
    id: KeyId,
    if_match: &IfMatch,
    patch: PatchApiKey,
) -> Result<ApiKey> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = store::lock_of_tenant(&tx, owner, id).await?.ok_or_else(|| Error::not_found("API key", id))?;
    if_match.check(&ETag::of_row(before.updated_at))?;
    let wanted = patch.apply(&before)?;
    let after = store::set_rate_limit(&tx, owner, id, wanted.rate_limit).await?;
    let change = Change::new("api_key.update", id.as_uuid()).before(&before).after(&after);
    audit::append(&tx, &caller.requester, &about(owner, change)).await?;
    tx.commit().await?;
    Ok(after)
}

/// Revokes a key. Whoever revokes it again finds it revoked, which is what was wanted.
pub(super) async fn revoke(context: &Context, caller: &Caller, owner: &KeyOwner, id: KeyId) -> Result<()> {
    let mut connection = context.platform.get().await?;
    let tx = connection.transaction().await?;
    let before = store::find(&tx, owner, id).await?.ok_or_else(|| Error::not_found("API key", id))?;
    if let Some(after) = store::revoke(&tx, owner, id).await? {
        let change = Change::new("api_key.revoke", id.as_uuid()).before(&before).after(&after);
        audit::append(&tx, &caller.requester, &about(owner, change)).await?;
    }
    tx.commit().await
}

fn about(owner: &KeyOwner, change: Change) -> Change {
    match owner {
        KeyOwner::Platform => change,
        KeyOwner::Organization(organization) => change.organization(*organization),
        KeyOwner::Tenant(tenant, organization) => change.organization(*organization).tenant(*tenant),
    }
}
