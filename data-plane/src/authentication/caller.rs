//! A verified key: whose it is, what it may do, and where its tenant's data is.

use rowhouse_database::{ActivePlacement, TenantConnection};
use rowhouse_domain::{AccountId, Actor, ActorKind, KeyId, OrganizationId, Scope, Scopes, TenantId};
use rowhouse_problem::{Code, Error, Result};

use crate::state::AppState;

/// Whoever holds a tenant key that is valid now.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) tenant: TenantId,
    pub(super) organization: OrganizationId,
    pub(super) key: KeyId,
    pub(super) prefix: String,
    pub(super) account: Option<AccountId>,
    pub(super) scopes: Scopes,
    pub(super) placement: ActivePlacement,
}

impl Caller {
    /// The tenant that the key belongs to.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The tenant's organization.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The storage account that uploads are charged to, where the key names one.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The caller as it is recorded with what it makes.
    pub fn actor(&self) -> Actor {
        Actor { kind: ActorKind::TenantKey, id: Some(self.key.as_uuid()) }
    }

    /// Borrows a connection that is pinned to the caller's tenant.
    ///
    /// # Errors
    /// Unavailable, where the cluster does not answer or is out of room.
    pub async fn connection(&self, state: &AppState) -> Result<TenantConnection> {
        state.tenants.checkout(&self.placement).await
    }

    pub(super) fn require(&self, scope: Scope) -> Result<()> {
        if self.scopes.allow(scope) {
            return Ok(());
        }
        let detail = format!("This needs a key with the scope `{scope}`.");
        Err(Error::new(Code::MissingScope, detail).with("scope", scope.as_str()))
    }
}
