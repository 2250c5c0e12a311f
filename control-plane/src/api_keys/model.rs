//! What a key is, whose it can be, and which requests about one are valid.

use jiff::Timestamp;
use rowhouse_domain::{AccountId, KeyId, OrganizationId, Scope, TenantId};
use rowhouse_keys::KeyKind;
use rowhouse_problem::Result;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::input::{self, Complaints, present};
use crate::rate_limits::RateLimitView;

/// Whose keys: each owner has a table of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyOwner {
    /// The platform's admins.
    Platform,
    /// An organization.
    Organization(OrganizationId),
    /// A tenant, and its organization.
    Tenant(TenantId, OrganizationId),
}

impl KeyOwner {
    /// Which door such keys open.
    pub(super) fn kind(&self) -> KeyKind {
        match self {
            Self::Platform => KeyKind::Platform,
            Self::Organization(..) => KeyKind::Organization,
            Self::Tenant(..) => KeyKind::Tenant,
        }
    }

    /// The value of the owner's column; the platform's table has none.
    pub(super) fn id(&self) -> Option<Uuid> {
        match self {
            Self::Platform => None,
            Self::Organization(organization) => Some(organization.as_uuid()),
            Self::Tenant(tenant, ..) => Some(tenant.as_uuid()),
        }
    }

    /// The organization that changes of such keys concern.
    pub(super) fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::Platform => None,
            Self::Organization(organization) | Self::Tenant(_, organization) => Some(*organization),
        }
    }

    /// What such a key can be given.
    pub(super) fn scopes(&self) -> &'static [Scope] {
        match self {
            Self::Platform => &[Scope::PlatformAdmin],
            Self::Organization(..) => Scope::ORGANIZATION,
            Self::Tenant(..) => Scope::TENANT,
        }
    }

    /// Where such keys are listed.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Platform => "/v1/api-keys".to_owned(),
            Self::Organization(organization) => format!("/v1/organizations/{organization}/api-keys"),
            Self::Tenant(tenant, ..) => format!("/v1/tenants/{tenant}/api-keys"),
        }
    }
}

/// A key as it can be shown any time: neither the secret nor its hash.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ApiKey {
    /// The key's id.
    #[schema(value_type = String, example = "key_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: KeyId,
    /// What it is called.
    pub(crate) name: String,
    /// The public part that it is known by.
    pub(crate) prefix: String,
    /// What it may do.
    pub(crate) scopes: Vec<String>,
    /// The storage account that uploads with it are charged to as well; only keys of tenants can have one.
    #[schema(value_type = Option<String>)]
    pub(crate) account_id: Option<AccountId>,
    /// How often it may call the data plane, where that is not as its organization's tier has it; only keys of tenants can
    /// have one.
    pub(crate) rate_limit: Option<RateLimitView>,
    /// `production` or `sandbox`.
    #[schema(value_type = String)]
    pub(crate) environment: Environment,
    /// Whether it was not revoked.
    pub(crate) is_active: bool,
    /// When it ends to be accepted.
    pub(crate) expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub(crate) revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub(crate) last_used_at: Option<Timestamp>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    pub(crate) updated_at: Timestamp,
}

/// A key that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CreatedApiKey {
    #[serde(flatten)]
    pub(crate) api_key: ApiKey,
    /// The key itself, shown this once. A creation that is sent again with the same `Idempotency-Key` answers `null`:
    /// revoke the key and make another where the first answer was lost.
    pub(crate) key: Option<String>,
    /// Of a tenant's key: what S3 requests are signed with, the key's `prefix` being the access key id. Shown this once, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) s3_secret: Option<String>,
}

/// What a key is for: a label, nothing is refused by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Environment {
    Production,
    Sandbox,
}

impl Environment {
    /// As the column has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

/// The body of a creation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateApiKey {
    #[schema(example = "deploy")]
    name: String,
    /// What the key may do. Organizations: `manage_tenants`, `manage_members`, `manage_api_keys`, `read_usage`.
    /// Tenants: `read_files`, `write_files`, `manage_workspaces`, `read_usage`. Platform: `platform_admin`.
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
    /// `production` (the default) or `sandbox`.
    #[schema(value_type = Option<String>)]
    environment: Option<Environment>,
    /// For keys of tenants: the storage account that uploads with it are charged to as well. One of the tenant's, or of
    /// its organization that is no other tenant's.
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// For keys of tenants: how often it may call the data plane, within what its tenant may; as its organization's tier has it,
    /// unless given. Platform keys only.
    rate_limit: Option<RateLimitView>,
}

impl CreateApiKey {
    /// Whether it says anything of the rate limit.
    pub(super) fn sets_rate_limit(&self) -> bool {
        self.rate_limit.is_some()
    }
}

/// The body of a change of a tenant's key; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchApiKey {
    /// `null` for what its organization's tier has.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<RateLimitView>)]
    rate_limit: Option<Option<RateLimitView>>,
}

impl PatchApiKey {
    /// The key after the change, or everything that is wrong with it.
    pub(super) fn apply(self, current: &ApiKey) -> Result<ApiKey> {
        let mut next = current.clone();
        let mut complaints = Complaints::default();
        if let Some(limit) = self.rate_limit {
            next.rate_limit = limit.and_then(|limit| limit.take(&mut complaints));
        }
        complaints.finish()?;
        Ok(next)
    }
}

/// A key that does not exist yet.
#[derive(Debug)]
pub(super) struct NewApiKey {
    pub(super) id: KeyId,
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) environment: Environment,
    pub(super) account: Option<AccountId>,
    pub(super) rate_limit: Option<RateLimitView>,
}

impl NewApiKey {
    /// Reads a creation, naming everything that is wrong with it.
    pub(super) fn parse(body: CreateApiKey, owner: &KeyOwner, now: Timestamp) -> Result<Self> {
        let mut complaints = Complaints::default();
        let name = complaints.take("/name", input::text(&body.name, 200));
        complaints.require("/scopes", !body.scopes.is_empty(), format!("must name at least one of {}", listed(owner)));
        let mut scopes = Vec::new();
        for (index, text) in body.scopes.iter().enumerate() {
            let scope = text.parse::<Scope>().ok().filter(|scope| owner.scopes().contains(scope));
            let refusal = format!("must be one of {}: such a key can have no other scope", listed(owner));
            scopes.extend(complaints.take(&format!("/scopes/{index}"), scope.ok_or(refusal)));
        }
        scopes.sort_unstable();
        scopes.dedup();
        let in_future = body.expires_at.is_none_or(|at| at > now);
        complaints.require("/expires_at", in_future, "must be in the future");
        let is_tenants = matches!(owner, KeyOwner::Tenant(..));
        for (field, is_given) in
            [("/account_id", body.account_id.is_some()), ("/rate_limit", body.rate_limit.is_some())]
        {
            complaints.require(field, is_tenants || !is_given, "only keys of tenants can have one");
        }
        let rate_limit = body.rate_limit.and_then(|limit| limit.take(&mut complaints));
        let name = complaints.finish_with(name)?;
        Ok(Self {
            id: KeyId::new(),
            name,
            scopes,
            expires_at: body.expires_at,
            environment: body.environment.unwrap_or(Environment::Production),
            account: body.account_id,
            rate_limit,
        })
    }

    /// The first platform key, which nobody asks for over HTTP.
    pub(super) fn platform_admin(name: &str) -> Result<Self> {
        let mut complaints = Complaints::default();
        let name = complaints.take("name", input::text(name, 200));
        Ok(Self {
            id: KeyId::new(),
            name: complaints.finish_with(name)?,
            scopes: vec![Scope::PlatformAdmin],
            expires_at: None,
            environment: Environment::Production,
            account: None,
            rate_limit: None,
        })
    }
}

fn listed(owner: &KeyOwner) -> String {
    let quoted: Vec<String> = owner.scopes().iter().map(|scope| format!("`{scope}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(owner: &KeyOwner, body: serde_json::Value) -> Vec<String> {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let error = NewApiKey::parse(serde_json::from_value(body).unwrap(), owner, now).unwrap_err();
        error.fields().iter().map(|field| field.pointer.clone()).collect()
    }

    #[test]
    fn scopes_belong_to_kinds_of_keys() {
        let organization = KeyOwner::Organization(OrganizationId::new());
        let tenant = KeyOwner::Tenant(TenantId::new(), OrganizationId::new());
        assert_eq!(
            refused(&organization, json!({"name": "a", "scopes": ["manage_tenants", "write_files"]})),
            ["/scopes/1"]
        );
        assert_eq!(refused(&tenant, json!({"name": "a", "scopes": ["platform_admin"]})), ["/scopes/0"]);
        assert_eq!(refused(&KeyOwner::Platform, json!({"name": "a", "scopes": ["everything"]})), ["/scopes/0"]);
        assert_eq!(
            refused(&tenant, json!({"name": "", "scopes": [], "expires_at": "2020-01-01T00:00:00Z"})),
            ["/name", "/scopes", "/expires_at"]
        );
    }

    #[test]
    fn only_keys_of_tenants_are_charged_to_accounts_and_limited() {
        let limit = json!({"per_second": 1, "burst": 1});
        let body = json!({"name": "a", "scopes": [], "account_id": AccountId::new(), "rate_limit": limit});
        let (tenant, organization) = (TenantId::new(), OrganizationId::new());
        for (owner, complaints) in [
            (KeyOwner::Platform, vec!["/scopes", "/account_id", "/rate_limit"]),
            (KeyOwner::Organization(organization), vec!["/scopes", "/account_id", "/rate_limit"]),
            (KeyOwner::Tenant(tenant, organization), vec!["/scopes"]),
        ] {
            assert_eq!(refused(&owner, body.clone()), complaints, "{owner:?}");
        }
    }
}
