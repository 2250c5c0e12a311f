//! A verified key: whose it is, what it may do, and where its tenant's data is.

use std::fmt;
use std::sync::Arc;

use rowhouse_database::{ActivePlacement, TenantConnection};
use rowhouse_domain::{AccountId, Actor, ActorKind, KeyId, OrganizationId, Scope, TenantId};
use rowhouse_problem::{Code, Error, Result};

use super::cache::Remembered;
use super::known::Facts;
use crate::rate_limits::Standing;
use crate::state::AppState;

/// Whoever holds a tenant key that is valid now. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    pub(super) entry: Arc<Remembered>,
    /// As decided for this request.
    pub(super) placement: ActivePlacement,
}

impl Caller {
    /// The tenant that the key belongs to.
    pub fn tenant(&self) -> TenantId {
        self.facts().tenant
    }

    /// The tenant's organization.
    pub fn organization(&self) -> OrganizationId {
        self.facts().organization
    }

    /// The key.
    pub fn key(&self) -> KeyId {
        self.facts().key
    }

    /// What the key begins with, which names it and is no secret.
    pub(crate) fn key_prefix(&self) -> &str {
        &self.facts().prefix
    }

    /// The storage account that uploads are charged to, where the key names one.
    pub fn account(&self) -> Option<AccountId> {
        self.facts().account
    }

    /// The caller as it is recorded with what it makes.
    pub fn actor(&self) -> Actor {
        Actor { kind: ActorKind::TenantKey, id: Some(self.key().as_uuid()) }
    }

    /// Borrows a connection that is pinned to the caller's tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room.
    pub async fn connection(&self, state: &AppState) -> Result<TenantConnection> {
        state.tenants.checkout(&self.placement).await
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.entry.known.facts
    }

    /// Counts a request for the key and its tenant.
    pub(crate) fn count(&self, standing: &mut Standing) -> Result<()> {
        self.entry.buckets.count(standing)
    }

    /// Refuses where the key lacks a scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<()> {
        if self.entry.known.scopes.allow(scope) {
            return Ok(());
        }
        let detail = format!("This needs a key with the scope `{scope}`.");
        Err(Error::new(Code::MissingScope, detail).with("scope", scope.as_str()))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Caller({} of {})", self.key(), self.tenant())
    }
}
