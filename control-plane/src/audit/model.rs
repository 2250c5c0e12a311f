//! What the audit log says about a change.

use std::net::IpAddr;

use jiff::Timestamp;
use rowhouse_domain::{Actor, ActorKind, AuditId, OrganizationId, TenantId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::size::fit;

/// Who asks for a change, and through which request.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    /// The party; the anonymous until a key was checked.
    pub(crate) actor: Actor,
    /// The address that the connection came from; what proxies claim is not believed.
    pub(crate) ip: Option<IpAddr>,
    /// The client's name for itself.
    pub(crate) user_agent: Option<String>,
    /// Names the request in the logs.
    pub(crate) request_id: Option<String>,
}

impl Requester {
    /// Rowhouse itself.
    pub(crate) const SYSTEM: Self = Self { actor: Actor::SYSTEM, ip: None, user_agent: None, request_id: None };
}

/// A change that was made.
pub(crate) struct Change {
    action: &'static str,
    resource: (&'static str, Uuid),
    organization: Option<OrganizationId>,
    tenant: Option<TenantId>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Change {
    /// A change named `<resource>.<verb>` of the resource `id`.
    pub(crate) fn new(action: &'static str, id: Uuid) -> Self {
        let resource = action.split('.').next().unwrap_or(action);
        Self { action, resource: (resource, id), organization: None, tenant: None, before: None, after: None }
    }

    /// The organization that it concerns.
    pub(crate) fn organization(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// The tenant that it concerns.
    pub(crate) fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The resource as it was. Views hold no secret, so what they show may be kept.
    pub(crate) fn before(mut self, view: &impl Serialize) -> Self {
        self.before = Some(json(view));
        self
    }

    /// The resource as it is now.
    pub(crate) fn after(mut self, view: &impl Serialize) -> Self {
        self.after = Some(json(view));
        self
    }

    pub(super) fn parts(&self) -> ChangeParts<'_> {
        ChangeParts {
            action: self.action,
            resource_type: self.resource.0,
            resource_id: self.resource.1,
            organization: self.organization,
            tenant: self.tenant,
            before: self.before.as_ref(),
            after: self.after.as_ref(),
        }
    }
}

fn json(view: &impl Serialize) -> Value {
    fit(serde_json::to_value(view).expect("views are plain values"))
}

/// A change as its columns.
pub(super) struct ChangeParts<'a> {
    pub(super) action: &'static str,
    pub(super) resource_type: &'static str,
    pub(super) resource_id: Uuid,
    pub(super) organization: Option<OrganizationId>,
    pub(super) tenant: Option<TenantId>,
    pub(super) before: Option<&'a Value>,
    pub(super) after: Option<&'a Value>,
}

/// One row of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditLog)]
pub(crate) struct AuditRow {
    /// The row's id.
    #[schema(value_type = String, example = "aud_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(super) id: AuditId,
    /// When it happened.
    pub(super) timestamp: Timestamp,
    /// What kind of party did it: `system`, `platform_key`, `organization_key`, `tenant_key`, `user` or `anonymous`.
    #[schema(value_type = String)]
    pub(super) actor_kind: ActorKind,
    /// Which one: the id of the key or person.
    pub(super) actor_id: Option<String>,
    /// The organization that it concerns.
    #[schema(value_type = Option<String>)]
    pub(super) organization_id: Option<OrganizationId>,
    /// The tenant that it concerns.
    #[schema(value_type = Option<String>)]
    pub(super) tenant_id: Option<TenantId>,
    /// What was done, `tenant.create` for one.
    pub(super) action: String,
    /// What kind of thing it was done to.
    pub(super) resource_type: String,
    /// The UUID of that thing.
    pub(super) resource_id: Option<Uuid>,
    /// `success`, `failure` or `denied`.
    pub(super) outcome: String,
    /// The thing as it was.
    #[schema(value_type = Option<Object>)]
    pub(super) before: Option<Value>,
    /// The thing as it became.
    #[schema(value_type = Option<Object>)]
    pub(super) after: Option<Value>,
    /// The address that the request came from.
    pub(super) ip: Option<String>,
    /// The client's name for itself.
    pub(super) user_agent: Option<String>,
    /// The request, as in its answer's `x-request-id`.
    pub(super) request_id: Option<String>,
    /// The session that it was done in, where there was one.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub(super) session_id: Option<Uuid>,
    /// How risky it looked, 0 to 1, where anybody judged it.
    pub(super) risk_score: Option<f64>,
    /// The rules that it has to be kept for, as far as anybody marked it.
    pub(super) compliance_flags: Vec<String>,
    /// Further particulars.
    #[schema(value_type = Object)]
    pub(super) details: Value,
}
