//! Whether a well-formed key is one of ours, and still good.

use rowhouse_domain::{KeyId, OrganizationId, OrganizationStatus, Scopes};
use rowhouse_keys::{ApiKeyHash, KeyKind, PlainApiKey};
use rowhouse_problem::{Code, Error, Result};

use super::caller::Principal;
use super::store::{self, StoredKey};
use crate::context::Context;

/// A key that is not accepted, and what is known about it.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) key: Option<KeyId>,
    pub(super) organization: Option<OrganizationId>,
}

impl Refusal {
    /// Refused for its form alone.
    pub(super) fn before_look_up(error: Error) -> Self {
        Self { error, key: None, organization: None }
    }
}

/// The holder of a good key.
pub(super) struct Holder {
    pub(super) key: KeyId,
    pub(super) principal: Principal,
}

impl Holder {
    /// Refused although the key is good.
    pub(super) fn refuse(self, error: Error) -> Refusal {
        let organization = match self.principal {
            Principal::Platform(_) => None,
            Principal::Organization { organization, .. } => Some(organization),
        };
        Refusal { error, key: Some(self.key), organization }
    }
}

/// Looks a platform or organization key up and checks it. Only a failed look-up is an error.
pub(super) async fn check(context: &Context, key: &PlainApiKey) -> Result<Result<Holder, Refusal>> {
    let connection = context.platform.get().await?;
    let found = match key.kind() {
        KeyKind::Platform => store::find_platform_key(&connection, key.prefix()).await?,
        KeyKind::Organization => store::find_organization_key(&connection, key.prefix()).await?,
        KeyKind::Tenant => None,
    };
    let Some(stored) = found else {
        // The same work as for a known prefix, so that the time tells nothing.
        let nobody = ApiKeyHash::from_bytes(&[0; 32]).expect("a hash has 32 bytes");
        let _ = key.matches(&context.master.pepper(context.settings.keys.pepper_version), &nobody);
        return Ok(Err(Refusal::before_look_up(unknown_key())));
    };
    let matches = key.matches(&context.master.pepper(stored.pepper_version), &stored.hash);
    if let Err(error) = judge(&stored, matches) {
        let organization = stored.owner.as_ref().map(|owner| owner.id);
        return Ok(Err(Refusal { error, key: Some(stored.id), organization }));
    }
    if stored.is_stale
        && let Err(error) = store::touch(&connection, &stored).await
    {
        // The note is for people; the request does not hang on it.
        tracing::warn!(error = error.chain(), "the use of a key could not be noted");
    }
    let principal = match stored.owner {
        None => Principal::Platform(stored.id),
        Some(owner) => Principal::Organization {
            key: stored.id,
            organization: owner.id,
            scopes: Scopes::from_texts(&stored.scopes),
        },
    };
    Ok(Ok(Holder { key: stored.id, principal }))
}

fn unknown_key() -> Error {
    Error::new(Code::UnknownKey, "There is no such key.")
}

/// Nothing but "unknown" is said to who does not hold the secret.
fn judge(stored: &StoredKey, matches: bool) -> Result<()> {
    if !matches {
        return Err(unknown_key());
    }
    let is_orphaned = stored.owner.as_ref().is_some_and(|owner| owner.deleted_at.is_some());
    if stored.is_revoked || is_orphaned {
        return Err(Error::new(Code::RevokedKey, "The key was revoked. Use another one."));
    }
    if stored.is_expired {
        return Err(Error::new(Code::ExpiredKey, "The key has expired. Use another one."));
    }
    match stored.owner.as_ref().map(|owner| owner.status) {
        None | Some(OrganizationStatus::Active) => Ok(()),
        Some(OrganizationStatus::Suspended) => Err(organization_suspended("suspended")),
        Some(OrganizationStatus::Cancelled) => Err(organization_suspended("cancelled")),
    }
}

fn organization_suspended(status: &str) -> Error {
    Error::new(Code::OrganizationSuspended, format!("The organization is {status}. Ask the operator of the platform."))
        .with("organization_status", status)
}
