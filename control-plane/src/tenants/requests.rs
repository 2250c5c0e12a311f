//! Which requests about a tenant are valid.

use rowhouse_domain::{Isolation, TenantId, TenantName, TenantStatus, TenantType};
use rowhouse_problem::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::model::Tenant;
use crate::input::{self, Complaints, present};
use crate::rate_limits::RateLimitView;

/// The body of a creation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTenant {
    #[schema(example = "acme-prod")]
    name: String,
    external_id: Option<String>,
    /// `enterprise`, `standard` (the default), `trial` or `demo`.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<TenantType>,
    /// `dedicated`: a database of its own; `schema`: a schema of its own in a database with others; `shared`: rows among
    /// others'. The operator's default for the organization's tier (`dedicated`, unless configured), unless given.
    #[schema(value_type = Option<String>)]
    isolation: Option<Isolation>,
    /// The name of the cluster to place it on; chosen for it, unless given.
    cluster: Option<String>,
    /// Labels that the cluster must have; all of them.
    #[schema(value_type = Option<Object>)]
    cluster_labels: Option<Map<String, Value>>,
    /// At most the organization's.
    storage_quota: Option<i64>,
    /// How often it may call the data plane; as its organization's tier has it, unless given. Platform keys only.
    rate_limit: Option<RateLimitView>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    custom_domain: Option<String>,
    /// The group at the identity provider that belongs to it.
    identity_group: Option<String>,
}

impl CreateTenant {
    /// Whether it says anything of the rate limit.
    pub(super) fn sets_rate_limit(&self) -> bool {
        self.rate_limit.is_some()
    }
}

/// A tenant that does not exist yet.
#[derive(Debug)]
pub(super) struct NewTenant {
    pub(super) id: TenantId,
    pub(super) name: TenantName,
    pub(super) external_id: Option<String>,
    pub(super) kind: TenantType,
    pub(super) isolation: Option<Isolation>,
    pub(super) cluster: Option<String>,
    pub(super) cluster_labels: Option<Value>,
    pub(super) storage_quota: Option<i64>,
    pub(super) rate_limit: Option<RateLimitView>,
    pub(super) settings: Value,
    pub(super) metadata: Value,
    pub(super) custom_domain: Option<String>,
    pub(super) identity_group: Option<String>,
}

impl NewTenant {
    /// Reads a creation, naming everything that is wrong with it.
    pub(super) fn parse(body: CreateTenant) -> Result<Self> {
        let mut complaints = Complaints::default();
        let name = complaints.take("/name", TenantName::parse(&body.name));
        let external_id = complaints.take_opt("/external_id", body.external_id, |text| input::text(&text, 200));
        let cluster = complaints.take_opt("/cluster", body.cluster, |text| input::text(&text, 63));
        let storage_quota = complaints.take_opt("/storage_quota", body.storage_quota, input::not_negative);
        let rate_limit = body.rate_limit.and_then(|limit| limit.take(&mut complaints));
        let settings = complaints.take("/settings", input::object(body.settings.unwrap_or_default()));
        let metadata = complaints.take("/metadata", input::object(body.metadata.unwrap_or_default()));
        let custom_domain = complaints.take_opt("/custom_domain", body.custom_domain, |text| input::hostname(&text));
        let identity_group =
            complaints.take_opt("/identity_group", body.identity_group, |text| input::text(&text, 200));
        let ((name, settings), metadata) = complaints.finish_with(name.zip(settings).zip(metadata))?;
        Ok(Self {
            id: TenantId::new(),
            name,
            external_id,
            kind: body.kind.unwrap_or(TenantType::Standard),
            isolation: body.isolation,
            cluster,
            cluster_labels: body.cluster_labels.map(Value::Object),
            storage_quota,
            rate_limit,
            settings,
            metadata,
            custom_domain,
            identity_group,
        })
    }
}

/// The body of a change; what is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchTenant {
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// `enterprise`, `standard`, `trial` or `demo`.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<TenantType>,
    /// `active` or `inactive`: the organization's own switch. Suspending is a call of its own.
    #[schema(value_type = Option<String>)]
    status: Option<TenantStatus>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    storage_quota: Option<Option<i64>>,
    /// `null` for what its organization's tier has. Platform keys only.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<RateLimitView>)]
    rate_limit: Option<Option<RateLimitView>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    custom_domain: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    identity_group: Option<Option<String>>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl PatchTenant {
    /// Whether it says anything of the rate limit.
    pub(super) fn sets_rate_limit(&self) -> bool {
        self.rate_limit.is_some()
    }

    /// The tenant after the change, or everything that is wrong with it.
    pub(super) fn apply(self, current: &Tenant) -> Result<Tenant> {
        let mut next = current.clone();
        let mut complaints = Complaints::default();
        if let Some(name) = complaints.take_opt("/name", self.name, |text| TenantName::parse(&text)) {
            next.name = name.as_str().to_owned();
        }
        if let Some(external_id) = self.external_id {
            next.external_id = complaints.take_opt("/external_id", external_id, |text| input::text(&text, 200));
        }
        next.kind = self.kind.unwrap_or(current.kind);
        if let Some(status) = self.status {
            let own_switch = matches!(status, TenantStatus::Active | TenantStatus::Inactive);
            complaints.require(
                "/status",
                own_switch,
                "must be `active` or `inactive`; the others have calls of their own",
            );
            next.status = status;
        }
        if let Some(quota) = self.storage_quota {
            next.storage_quota = complaints.take_opt("/storage_quota", quota, input::not_negative);
        }
        if let Some(limit) = self.rate_limit {
            next.rate_limit = limit.and_then(|limit| limit.take(&mut complaints));
        }
        if let Some(domain) = self.custom_domain {
            next.custom_domain = complaints.take_opt("/custom_domain", domain, |text| input::hostname(&text));
        }
        if let Some(group) = self.identity_group {
            next.identity_group = complaints.take_opt("/identity_group", group, |text| input::text(&text, 200));
        }
        if let Some(settings) = complaints.take_opt("/settings", self.settings, input::object) {
            next.settings = settings;
        }
        if let Some(metadata) = complaints.take_opt("/metadata", self.metadata, input::object) {
            next.metadata = metadata;
        }
        complaints.finish()?;
        Ok(next)
    }
}

/// The body of a suspension; it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuspendTenant {
    /// Why, for whoever meets the suspended tenant.
    pub(super) reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_is_wrong_is_named() {
        let body =
            serde_json::from_value(json!({"name": "ten_01jz3x5v8qf6k9m2n4p7r0s1t3", "storage_quota": -1, "rate_limit": {"per_second": 1, "burst": 0}})).unwrap();
        let pointers: Vec<String> =
            NewTenant::parse(body).unwrap_err().fields().iter().map(|field| field.pointer.clone()).collect();
        assert_eq!(pointers, ["/name", "/storage_quota", "/rate_limit/burst"]);
    }
}
